//! Takes the tunnels of agents.

use std::{io, net::IpAddr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use drover_api::{AgentClone, Change, Event, Topic};
use uuid::Uuid;

use super::{
    handshake::{self, Challenge, Hello, Refusal, Verdict},
    store,
    version::{OLDEST_PROTOCOL, PROTOCOL, VERSION, common},
};
use crate::{
    app::App,
    tunnel::{
        Mux, Tunnel,
        websocket::{Bytestream, Socket, receive_json, send_json},
    },
};

/// How long the tunnel that a host has already may take to show that its agent is there.
const ALIVE: Duration = Duration::from_secs(3);
/// Names and versions are cut to this many characters.
const LONGEST_WORD: usize = 64;

/// Who has come in.
struct Admitted {
    host_id: Uuid,
    /// None of a cluster's.
    environment_id: Option<Uuid>,
    process: Uuid,
    version: String,
}

/// Greets an agent, and holds its tunnel until it ends.
pub(super) async fn serve(app: App, address: IpAddr, mut socket: Socket) {
    match greet(&app, address, &mut socket).await {
        Ok(Some(admitted)) => {
            let host_id = admitted.host_id;
            if let Err(error) = hold(&app, address, admitted, socket).await {
                tracing::warn!(%host_id, %error, "cannot list an agent's tunnel");
            }
        }
        Ok(None) => {}
        Err(error) => tracing::debug!(%address, %error, "an agent's greeting has failed"),
    }
}

async fn greet(app: &App, address: IpAddr, socket: &mut Socket) -> io::Result<Option<Admitted>> {
    let nonce = STANDARD.encode(rand::random::<[u8; 32]>());
    let challenge = Challenge {
        nonce: nonce.clone(),
        version: VERSION.into(),
        protocols: (OLDEST_PROTOCOL, PROTOCOL),
    };
    send_json(socket, &challenge).await?;
    let mut hello: Hello = receive_json(socket).await?;
    for word in [&mut hello.version, &mut hello.hostname] {
        *word = word.chars().filter(|c| !c.is_control()).take(LONGEST_WORD).collect();
    }
    match judge(app, address, &nonce, &hello).await {
        Ok((admitted, name)) => {
            send_json(socket, &Verdict::Welcome { host: name }).await?;
            Ok(Some(admitted))
        }
        Err((code, message)) => {
            tracing::info!(host_id = %hello.host_id, %address, ?code, "an agent is refused");
            send_json(socket, &Verdict::Refused { code, message }).await?;
            // So that the words arrive before the end does.
            let _ = futures_util::SinkExt::close(socket).await;
            Ok(None)
        }
    }
}

async fn judge(
    app: &App,
    address: IpAddr,
    nonce: &str,
    hello: &Hello,
) -> Result<(Admitted, String), (Refusal, String)> {
    let host = hello.host_id;
    let later = |error: sqlx::Error| {
        tracing::warn!(%error, "cannot look up an agent");
        (Refusal::TryAgain, "The server's database does not answer.".to_owned())
    };
    let known = store::known(&app.db, host).await.map_err(later)?.ok_or_else(|| {
        let why = "This host was removed in Drover. To add the machine again, remove the agent's state folder and register it with a new token.";
        (Refusal::UnknownHost, why.to_owned())
    })?;
    let text = handshake::to_be_signed(nonce, host, hello.process);
    if !handshake::is_signed(&known.public_key, &text, &hello.signature) {
        return Err((Refusal::WrongKey, "The agent's key is not the one of this host.".into()));
    }
    if common(hello.protocols).is_none() {
        if hello.protocols.0 > PROTOCOL {
            let why = format!("This agent is too new for the server, which is {VERSION}.");
            return Err((Refusal::TooNew, why));
        }
        store::too_old(&app.db, host, &hello.version, &address.to_string()).await.map_err(later)?;
        tell(app, known.environment_id, host, "refused").await;
        let what = match known.environment_id {
            Some(_) => {
                "Run the install command of *Add host* again: it keeps the host and its containers."
            }
            None => "Apply a new manifest of the cluster.",
        };
        let why =
            format!("This agent ({}) is too old for the server ({VERSION}). {what}", hello.version);
        return Err((Refusal::TooOld, why));
    }
    if known.process.is_some_and(|process| process != hello.process)
        && app.tunnels.way(host).is_alive(ALIVE).await
    {
        let clone = AgentClone {
            at: time::OffsetDateTime::now_utc().into(),
            address: address.to_string(),
            hostname: hello.hostname.clone(),
        };
        if known.environment_id.is_some() {
            store::set_clone(&app.db, host, Some(&clone)).await.map_err(later)?;
        }
        tell(app, known.environment_id, host, "refused").await;
        let why = format!(
            "Another machine is connected as the host {}, with the same key: was this one cloned from it? Remove the agent's state folder here and register this machine with a token of its own.",
            known.name
        );
        return Err((Refusal::Clone, why));
    }
    let admitted = Admitted {
        host_id: host,
        environment_id: known.environment_id,
        process: hello.process,
        version: hello.version.clone(),
    };
    Ok((admitted, known.name))
}

async fn hold(app: &App, address: IpAddr, who: Admitted, socket: Socket) -> sqlx::Result<()> {
    let (host, environment) = (who.host_id, who.environment_id);
    let id = Uuid::now_v7();
    // Agents open no streams.
    let (mux, driver) = Mux::new(Bytestream::new(socket, true), false, drop);
    let driver = tokio::spawn(driver);
    let tunnel = Tunnel { id, process: who.process, mux, driver: driver.abort_handle() };
    let listed = async {
        app.tunnels.opened(host, tunnel).await?;
        let address = address.to_string();
        if environment.is_none() {
            return store::cluster_connected(&app.db, host, &who.version, &address).await;
        }
        store::connected(&app.db, host, &who.version, &address).await?;
        store::note_return(&app.db, host, &who.version).await
    };
    if let Err(error) = listed.await {
        driver.abort();
        app.tunnels.ended(host, id).await?;
        return Err(error);
    }
    metrics::gauge!("drover_agent_tunnels").increment(1.0);
    tracing::info!(host_id = %host, %address, version = %who.version, "an agent has connected");
    tell(app, environment, host, "open").await;
    // Why matters to nobody: the agent is back, or says so itself.
    let ended = driver.await;
    tracing::info!(host_id = %host, ?ended, "an agent's tunnel has ended");
    metrics::gauge!("drover_agent_tunnels").decrement(1.0);
    if app.tunnels.ended(host, id).await? {
        tell(app, environment, host, "closed").await;
    }
    Ok(())
}

/// Tells every replica, and browsers, that the tunnel of a host, or of a cluster, which is in no
/// environment, is not as it was.
pub(super) async fn tell(app: &App, environment: Option<Uuid>, agent: Uuid, tunnel: &str) {
    app.events
        .publish(Event {
            topic: match environment {
                Some(_) => Topic::Host,
                None => Topic::KubernetesCluster,
            },
            environment_id: environment,
            id: agent.to_string(),
            host_id: None,
            change: Change::Updated,
            object: Some(serde_json::json!({
                "tunnel": tunnel,
                "replica": app.events.replica(),
            })),
        })
        .await;
}

/// Has the connections of hosts follow their tunnels, on whichever replica these end.
pub(super) async fn follow(app: App) {
    use tokio::sync::broadcast::error::RecvError;
    let mut events = app.events.subscribe();
    loop {
        let told = match events.recv().await {
            Ok(told) => told,
            Err(RecvError::Lagged(_)) => {
                app.hosts.try_again(None);
                app.kubernetes.try_all_again();
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let event = &told.event;
        let of_agents = matches!(event.topic, Topic::Host | Topic::KubernetesCluster);
        let Some(object) = event.object.as_ref().filter(|_| of_agents) else { continue };
        let (Some(tunnel), Ok(host)) = (object["tunnel"].as_str(), event.id.parse()) else {
            continue;
        };
        if tunnel == "open" {
            // What is left of an earlier one here would lead nowhere.
            if object["replica"] != serde_json::json!(app.events.replica()) {
                app.tunnels.cut(host);
            }
            match event.topic {
                Topic::Host => app.hosts.try_again(Some(host)),
                _ => app.kubernetes.try_again(host),
            }
        }
    }
}
