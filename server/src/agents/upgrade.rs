//! Has agents become newer: by hand, or by themselves where the setting says so.

use std::time::Duration;

use drover_api::AgentUpgrade;
use semver::Version;
use time::OffsetDateTime;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::timeout,
};
use uuid::Uuid;

use super::{connect::tell, store, version::VERSION};
use crate::{
    app::App,
    error::{Error, Result},
    settings,
    tunnel::Target,
};

/// How long a download may take.
const LIMIT: Duration = Duration::from_secs(600);
/// How often outdated agents are looked for.
const LOOK: Duration = Duration::from_secs(30);
/// The longest line that an agent says about its upgrade.
const LONGEST: usize = 500;

/// Asks a host's agent to become this server's version.
///
/// # Errors
/// 503 when the agent is not connected.
pub(super) async fn start(app: &App, environment: Uuid, host: Uuid) -> Result<()> {
    let stream = app
        .tunnels
        .way(host)
        .open(&Target::Upgrade { version: VERSION.into() })
        .await
        .map_err(|error| Error::unavailable("agent_not_connected", error.to_string()))?;
    let mut upgrade = AgentUpgrade {
        version: VERSION.into(),
        asked_at: OffsetDateTime::now_utc().into(),
        error: None,
    };
    store::set_upgrade(&app.db, host, &upgrade).await?;
    tell(app, Some(environment), host, "upgrade").await;
    let app = app.clone();
    tokio::spawn(async move {
        let failed = timeout(LIMIT, follow(stream))
            .await
            .unwrap_or_else(|_| Some("It did not end within 10 minutes.".into()));
        // Without an error the agent starts anew, and shows its version when it connects.
        let Some(error) = failed else { return };
        tracing::warn!(host_id = %host, %error, "an agent's upgrade has failed");
        upgrade.error = Some(error);
        match store::set_upgrade(&app.db, host, &upgrade).await {
            Ok(()) => tell(&app, Some(environment), host, "upgrade").await,
            Err(error) => tracing::warn!(%error, "cannot keep an agent's failed upgrade"),
        }
    });
    Ok(())
}

/// Reads what the agent tells of its upgrade; answers why it has failed.
async fn follow(stream: crate::tunnel::Stream) -> Option<String> {
    let mut lines = BufReader::new(stream).lines();
    // An agent that starts anew cuts the stream off: that is the good end.
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(error) = line.strip_prefix("error: ") {
            return Some(error.chars().take(LONGEST).collect());
        }
    }
    None
}

/// Upgrades agents by themselves, while the setting says so. Each replica looks after the tunnels
/// that end on it.
pub(super) async fn keep_current(app: App) {
    let mut timer = tokio::time::interval(LOOK);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        if let Err(error) = look(&app).await {
            tracing::debug!(%error, "cannot look for outdated agents");
        }
    }
}

async fn look(app: &App) -> Result<()> {
    if !settings::agents_upgrade_themselves(&app.db).await? {
        return Ok(());
    }
    let Ok(own) = Version::parse(VERSION) else { return Ok(()) };
    for (environment, host, version) in store::outdated(&app.db, VERSION).await? {
        let older = Version::parse(&version).is_ok_and(|version| version < own);
        if older && app.tunnels.local(host).is_some() {
            start(app, environment, host).await?;
        }
    }
    Ok(())
}
