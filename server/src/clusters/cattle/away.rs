//! Hosts that are away: since when, and from when on their containers are placed elsewhere.
//!
//! When a host was last heard of is in PostgreSQL too, so that a restart of the server does not
//! begin to count anew. But a server that has been away itself, or whose own network is broken,
//! sees every host away: nothing is moved unless another host of the environment has been
//! connected for a while.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use drover_api::{HostMode, Scheduling};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{app::App, hosts::LiveHost};

/// How long some host of an environment must have been connected until another counts as gone.
/// Longer than the pauses between tries to connect.
const GRACE: Duration = Duration::from_secs(60);
/// How often the hosts are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Since when each environment has had a connected host without a break.
pub(super) type Reachable = HashMap<Uuid, Instant>;

/// Whether a host has been away for longer than its environment allows.
pub(super) fn is_gone(app: &App, host: &LiveHost, scheduling: &Scheduling) -> bool {
    let row = host.row();
    if row.mode == HostMode::Inactive || host.docker().is_ok() {
        return false;
    }
    let heard = host.last_contact_at().unwrap_or(row.created_at);
    let away = (OffsetDateTime::now_utc() - heard).try_into().unwrap_or(Duration::ZERO);
    let limit = Duration::from_secs(scheduling.host_gone_after_seconds.into());
    counts_as_gone(away, limit, app.cattle.reachable_for(host.environment_id))
}

/// `others` is how long another host has been connected without a break.
fn counts_as_gone(away: Duration, limit: Duration, others: Option<Duration>) -> bool {
    away >= limit && others.is_some_and(|others| others >= GRACE)
}

/// Keeps up since when environments have had a connected host, and wakes the workers when a host
/// has begun to count as gone.
pub(super) async fn watch(app: App) {
    let mut timer = tokio::time::interval(LOOK);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut gone: HashSet<Uuid> = HashSet::new();
    let mut settings: HashMap<Uuid, (Instant, Scheduling)> = HashMap::new();
    loop {
        timer.tick().await;
        let hosts = app.hosts.all();
        let connected: HashSet<Uuid> = hosts
            .iter()
            .filter(|host| host.docker().is_ok())
            .map(|host| host.environment_id)
            .collect();
        app.cattle.note_reachable(&connected);
        let mut now_gone = HashSet::new();
        for host in hosts.iter().filter(|host| host.docker().is_err()) {
            if let Some(scheduling) = setting(&app, &mut settings, host.environment_id).await
                && is_gone(&app, host, &scheduling)
            {
                now_gone.insert(host.id);
            }
        }
        if now_gone != gone {
            for host in
                hosts.iter().filter(|host| now_gone.contains(&host.id) && !gone.contains(&host.id))
            {
                tracing::warn!(host = %host.row().name, "the host counts as gone");
            }
            app.cattle.wakers.wake_all();
            gone = now_gone;
        }
    }
}

/// An environment's settings, read anew now and then.
async fn setting(
    app: &App,
    known: &mut HashMap<Uuid, (Instant, Scheduling)>,
    environment: Uuid,
) -> Option<Scheduling> {
    if let Some((read, scheduling)) = known.get(&environment)
        && read.elapsed() < 10 * LOOK
    {
        return Some(*scheduling);
    }
    match super::store::scheduling(&app.db, environment).await {
        Ok(scheduling) => {
            known.insert(environment, (Instant::now(), scheduling));
            Some(scheduling)
        }
        Err(error) => {
            tracing::debug!(%error, "cannot read an environment's settings");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_gone_only_while_others_are_there() {
        let seconds = Duration::from_secs;
        let limit = seconds(300);
        assert!(counts_as_gone(seconds(301), limit, Some(seconds(1000))));
        // A short outage.
        assert!(!counts_as_gone(seconds(20), limit, Some(seconds(1000))));
        // All are away: the server's own network.
        assert!(!counts_as_gone(seconds(1000), limit, None));
        // One has just come back; the others follow within moments.
        assert!(!counts_as_gone(seconds(1000), limit, Some(seconds(5))));
        // Also where the limit is shorter than the pauses between tries to connect.
        assert!(!counts_as_gone(seconds(31), seconds(30), Some(seconds(30))));
        assert!(counts_as_gone(seconds(31), seconds(30), Some(seconds(61))));
    }
}
