//! What goes through a tunnel, who may open one, and what happens to it.

use std::time::Duration;

use drover_api::{AgentFit, Container, Host, HostState, List};
use drover_tests::{
    Agent, Docker, TestServer, active_host, eventually, host_when, registration_token,
};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use uuid::Uuid;

use super::Fixture;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn containers_logs_and_shells_go_through() {
    let fixture = Fixture::start().await;
    let label = format!("drover-test={}", Uuid::now_v7().simple());
    let name = format!("tunnel-{}", &label[label.len() - 12..]);
    let id = fixture.docker.run(&[
        "run",
        "--detach",
        "--name",
        &name,
        "--label",
        &label,
        "drover-test/sleep:1",
        "sh",
        "-c",
        "echo hello; sleep 1000",
    ]);
    let path = format!("/v1/environments/{}/containers?q={name}", fixture.environment);
    eventually("the container is listed", SOON, async || {
        let list: List<Container> = fixture.admin.get(&path).await.expect(200).json();
        list.items.into_iter().find(|container| container.name == name)
    })
    .await;
    let container = format!("{}/{}/containers/{id}", fixture.hosts(), fixture.host.id);
    eventually("its log has come", SOON, async || {
        let log = fixture.admin.get(&format!("{container}/logs")).await.expect(200);
        log.text.contains("hello").then_some(())
    })
    .await;
    let url = format!(
        "{}{container}/exec/ws?command=%5B%22cat%22%5D",
        fixture.server.base().replacen("http", "ws", 1)
    );
    let mut request = url.into_client_request().unwrap();
    let bearer = format!("Bearer {}", fixture.token).parse().unwrap();
    request.headers_mut().insert("authorization", bearer);
    let (mut shell, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    shell.send(Message::binary("echo me\n")).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("echo me") {
        let message = tokio::time::timeout(SOON, shell.next()).await.unwrap().unwrap().unwrap();
        if let Message::Binary(bytes) = message {
            seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    fixture.docker.clean(&label);
}

#[tokio::test]
async fn a_server_that_is_back_has_its_agents_back_and_containers_notice_nothing() {
    let mut fixture = Fixture::start().await;
    let label = format!("drover-test={}", Uuid::now_v7().simple());
    let id = fixture.docker.run(&["run", "--detach", "--label", &label, "drover-test/sleep:1"]);
    let started =
        || fixture.docker.run(&["inspect", "--format", "{{.State.StartedAt}} {{.State.Pid}}", &id]);
    let before = started();
    fixture.server.kill();
    fixture.agent.says("It tries again").await;
    fixture.server.restart().await;
    let host = active_host(&fixture.admin, fixture.environment, "node").await;
    assert_eq!(host.id, fixture.host.id);
    // The agent itself may come and go as well.
    fixture.agent.kill();
    let host = host_when(&fixture.admin, fixture.environment, "node", |host| {
        host.state == HostState::Reconnecting
            && host.reason.as_ref().is_some_and(|why| why.contains("drover agent status"))
    })
    .await;
    assert!(!host.agent.unwrap().connected);
    let (said, ok) = fixture.agent.status();
    assert!(!ok && said.contains("Not running"), "{said}");
    fixture.agent.run();
    active_host(&fixture.admin, fixture.environment, "node").await;
    assert_eq!(started(), before);
    fixture.docker.clean(&label);
}

#[tokio::test]
async fn a_key_of_its_own_is_needed() {
    let fixture = Fixture::start().await;
    // Another host's key under this host's id.
    let other =
        Agent::start(&fixture.server, &fixture.registration, "other", fixture.docker.socket());
    other.says("Connected to").await;
    let mut thief = other.cloned();
    let file = thief.state().join("agent.json");
    let mut identity: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    identity["host_id"] = fixture.host.id.to_string().into();
    std::fs::write(&file, identity.to_string()).unwrap();
    thief.run();
    thief.says("key is not the one of this host").await;
    assert!(
        active_host(&fixture.admin, fixture.environment, "node").await.agent.unwrap().connected
    );
}

#[tokio::test]
async fn an_old_agent_becomes_the_servers_version() {
    let docker = Docker::start().await;
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    let token = registration_token(&admin, environment).await;
    let mut agent = Agent::new(&server.base(), &token, "node", docker.socket())
        .with(&["--pretend-version", "0.0.9"])
        .from_copy();
    agent.run();
    let host = active_host(&admin, environment, "node").await;
    assert_eq!(host.agent.unwrap().fit, AgentFit::Outdated);
    let pid = agent.pid();
    let path = format!("/v1/environments/{environment}/hosts/{}/agent/upgrade", host.id);
    let asked: Host = admin.post(&path, ()).await.expect(202).json();
    assert!(asked.agent.unwrap().upgrade.is_some());
    let host = host_when(&admin, environment, "node", |host| {
        host.agent.as_ref().is_some_and(|agent| agent.fit == AgentFit::Current)
    })
    .await;
    assert_eq!(host.agent.unwrap().upgrade, None);
    // The same process: it has only become another program.
    assert_eq!(agent.pid(), pid);
    agent.says("Connected to").await;
}

#[tokio::test]
async fn agents_upgrade_by_themselves_where_the_setting_says_so() {
    let docker = Docker::start().await;
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    let settings = serde_json::json!({ "agents_upgrade_themselves": true });
    admin.patch("/v1/settings", settings).await.expect(200);
    let token = registration_token(&admin, environment).await;
    let mut agent = Agent::new(&server.base(), &token, "node", docker.socket())
        .with(&["--pretend-version", "0.0.9"])
        .from_copy();
    agent.run();
    eventually("the agent is current", Duration::from_secs(60), async || {
        let path = format!("/v1/environments/{environment}/hosts");
        let list: List<Host> = admin.get(&path).await.expect(200).json();
        let agent = list.items.into_iter().next()?.agent?;
        (agent.fit == AgentFit::Current && agent.connected).then_some(())
    })
    .await;
}
