//! A thousand agents: the real code of agents and tunnels, in this process, each before a made-up
//! engine of its own.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use drover_api::{Container, Host, HostState, List, RegisterAgent, RegisteredAgent};
use drover_server::{
    agent::{
        Agent, Serves, keep_connected,
        state::{Identity, NewKey, Stand},
    },
    agents::{handshake, version},
    tunnel::dial::{ServerDialer, Trust},
};
use drover_tests::{Client, FakeDocker, TestServer, eventually, registration_token, resident};
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::cpu_seconds;
use crate::Row;

const AGENTS: usize = 1000;
const CONTAINERS: usize = 10;

pub async fn rows() -> [Row; 3] {
    let mut server = TestServer::start().await;
    let browser = server.admin().await;
    let (_, admin) = server.key(&browser, None, None).await;
    let environment = server.default_environment().await.id;
    let secret = registration_token(&admin, environment).await;
    // The made-up engines cannot be joined to a network.
    let alone = json!({ "scheduling": { "cross_host_network": "off" } });
    admin.patch(&format!("/v1/environments/{environment}"), alone).await.expect(200);
    let folder = server.folder().join("engines");
    std::fs::create_dir(&folder).unwrap();

    let base = server.base();
    let mut engines = Vec::new();
    let mut agents = JoinSet::new();
    let made: Vec<(Agent, FakeDocker)> = stream::iter(0..AGENTS)
        .map(|number| {
            let socket = folder.join(format!("{number}.sock"));
            agent(&admin, &base, &secret, number, socket)
        })
        .buffer_unordered(8)
        .collect()
        .await;
    for (agent, engine) in made {
        engines.push(engine);
        agents.spawn(keep_connected(Arc::new(agent)));
    }
    all_listed(&admin, environment).await;

    // Until the first looks at everything are over.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (before, start) = (cpu_seconds(server.pid()), Instant::now());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let cores = (cpu_seconds(server.pid()) - before) / start.elapsed().as_secs_f64();
    let mib = resident(server.pid());

    let start = Instant::now();
    server.restart().await;
    all_listed(&admin, environment).await;
    let back = start.elapsed().as_secs_f64();
    let again = resident(server.pid());
    [
        Row {
            what: "Resident memory with 1,000 agents, 10 containers behind each",
            goal: "< 512 MiB",
            measured: format!("{mib:.0} MiB ({again:.0} MiB just after a restart)"),
            met: mib.max(again) < 512.0,
        },
        Row {
            what: "CPU with 1,000 agents when nobody asks, over a minute",
            goal: "< 0.5 cores",
            measured: format!("{cores:.2} cores"),
            met: cores < 0.5,
        },
        Row {
            what: "1,000 agents back and their 10,000 containers listed, from the kill of the server",
            goal: "< 30 s",
            measured: format!("{back:.1} s"),
            met: back < 30.0,
        },
    ]
}

/// Registers an agent, which is not started yet.
async fn agent(
    admin: &Client,
    server: &str,
    secret: &str,
    number: usize,
    socket: PathBuf,
) -> (Agent, FakeDocker) {
    let engine = FakeDocker::start(&socket, CONTAINERS);
    let new = NewKey::generate().unwrap();
    let key = new.key().unwrap();
    let input = RegisterAgent {
        token: secret.to_owned(),
        public_key: STANDARD.encode(handshake::public(&key)),
        name: format!("node-{number}"),
        version: version::VERSION.into(),
        labels: [].into(),
        signature: handshake::sign(&key, &handshake::to_be_signed_once(secret)),
    };
    let registered: RegisteredAgent =
        admin.post("/v1/agents/register", input).await.expect(200).json();
    let host_id = registered.host_id;
    let identity = Identity::new(server, registered, &new);
    let agent = Agent {
        server: server.to_owned(),
        dialer: ServerDialer::new(server, &Trust::default(), None).unwrap(),
        host_id,
        key: identity.key().unwrap(),
        serves: Serves::Docker(socket),
        process: Uuid::new_v4(),
        version: version::VERSION.into(),
        protocols: (version::OLDEST_PROTOCOL, version::PROTOCOL),
        hostname: format!("node-{number}"),
        disk: PathBuf::from("/"),
        stand: Stand::nowhere(&identity),
        options: None,
    };
    (agent, engine)
}

/// Waits until all hosts are active and all containers are listed.
async fn all_listed(admin: &Client, environment: Uuid) {
    let path = format!("/v1/environments/{environment}");
    let limit = Duration::from_secs(180);
    eventually("all agents are connected", limit, async || {
        let list: List<Host> =
            admin.get(&format!("{path}/hosts?limit=1000")).await.expect(200).json();
        let active = list.items.iter().filter(|host| host.state == HostState::Active).count();
        (active == AGENTS).then_some(())
    })
    .await;
    eventually("all containers are listed", limit, async || {
        let list: List<Container> =
            admin.get(&format!("{path}/containers?limit=1")).await.expect(200).json();
        (list.total == (AGENTS * CONTAINERS) as u64).then_some(())
    })
    .await;
}
