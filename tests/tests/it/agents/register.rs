//! How machines become hosts, and what a token is good for.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use drover_api::{
    AuditEntry, CreatedRegistrationToken, Endpoint, Host, List, RegisterAgent, RegisteredAgent,
    RegistrationToken, RegistrationTokenState,
};
use drover_server::{agent::state::NewKey, agents::handshake};
use drover_tests::{Agent, Client, TestServer, active_host, assert_no_secret, eventually};
use serde_json::json;
use uuid::Uuid;

use super::Fixture;

/// What an agent with a new key sends.
fn request(token: &str, name: &str) -> RegisterAgent {
    let key = NewKey::generate().unwrap().key().unwrap();
    RegisterAgent {
        token: token.into(),
        public_key: STANDARD.encode(handshake::public(&key)),
        name: name.into(),
        version: "0.1.0".into(),
        labels: Default::default(),
        signature: handshake::sign(&key, &handshake::to_be_signed_once(token)),
    }
}

async fn make(
    admin: &Client,
    environment: Uuid,
    more: serde_json::Value,
) -> CreatedRegistrationToken {
    let mut new = json!({ "name": "rack", "expires_in_hours": 1 });
    new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let path = format!("/v1/environments/{environment}/registration-tokens");
    admin.post(&path, new).await.expect(201).json()
}

async fn state(admin: &Client, environment: Uuid, id: Uuid) -> RegistrationTokenState {
    let path = format!("/v1/environments/{environment}/registration-tokens");
    let list: List<RegistrationToken> = admin.get(&path).await.expect(200).json();
    list.items.into_iter().find(|token| token.id == id).unwrap().state
}

#[tokio::test]
async fn a_machine_becomes_a_host_by_its_token() {
    let fixture = Fixture::start().await;
    let host = &fixture.host;
    assert_eq!(host.endpoint, Endpoint::Agent);
    let agent = host.agent.as_ref().unwrap();
    assert!(agent.connected);
    assert_eq!(agent.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(agent.address.as_deref(), Some("127.0.0.1"));
    let facts = host.facts.as_ref().unwrap();
    assert_eq!(facts.engine_id, fixture.docker.run(&["info", "--format", "{{.ID}}"]));
    // It says so itself.
    let said = fixture.agent.says("Connected to").await;
    assert!(said.contains("Host node in Default of http://127.0.0.1:"), "{said}");
    assert!(said.contains("Docker answers"), "{said}");
    assert!(fixture.agent.status().1);
    // And what the machine uses.
    let used = eventually("the machine is measured", Duration::from_secs(20), async || {
        let path = format!("{}/{}", fixture.hosts(), host.id);
        let host: Host = fixture.admin.get(&path).await.expect(200).json();
        host.usage.and_then(|usage| usage.machine)
    })
    .await;
    assert!(used.memory > 10 << 20 && used.disk_total >= used.disk && used.disk > 0, "{used:?}");
    // Neither token nor key stands where it must not.
    assert_no_secret(&fixture.server.log(), &[&fixture.registration]);
    assert_no_secret(&fixture.agent.log(), &[&fixture.registration]);
    // Who let it in is in the audit log.
    let path = format!("/v1/environments/{}/audit?action=host.register", fixture.environment);
    let list: List<AuditEntry> = fixture.admin.get(&path).await.expect(200).json();
    assert!(list.items[0].actor.starts_with("registration token drvreg_"), "{list:?}");
    assert_no_secret(&format!("{list:?}"), &[&fixture.registration]);
}

#[tokio::test]
async fn tokens_have_an_end_and_a_count() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    let nobody = server.client();
    let register = async |token: &str, name: &str| {
        nobody.post("/v1/agents/register", request(token, name)).await
    };

    let twice =
        make(&admin, environment, json!({ "most_hosts": 2, "labels": { "disk": "ssd" } })).await;
    register(&twice.secret, "a").await.expect(200);
    register(&twice.secret, "b").await.expect(200);
    register(&twice.secret, "c").await.problem(403, "registration_refused");
    assert_eq!(state(&admin, environment, twice.token.id).await, RegistrationTokenState::UsedUp);
    let hosts: List<Host> =
        admin.get(&format!("/v1/environments/{environment}/hosts")).await.expect(200).json();
    assert_eq!(hosts.items.len(), 2);
    assert!(hosts.items.iter().all(|host| host.labels["disk"] == "ssd"));

    let revoked = make(&admin, environment, json!({})).await;
    let path = format!("/v1/environments/{environment}/registration-tokens/{}", revoked.token.id);
    admin.delete(&path).await.expect(204);
    register(&revoked.secret, "d").await.problem(403, "registration_refused");
    assert_eq!(state(&admin, environment, revoked.token.id).await, RegistrationTokenState::Revoked);

    let expired = make(&admin, environment, json!({})).await;
    sqlx::query(
        "UPDATE registration_tokens SET expires_at = now() - interval '1 second' WHERE id = $1",
    )
    .bind(expired.token.id)
    .execute(&mut server.database().connect().await)
    .await
    .unwrap();
    register(&expired.secret, "e").await.problem(403, "registration_refused");
    assert_eq!(state(&admin, environment, expired.token.id).await, RegistrationTokenState::Expired);

    register("drvreg_nonsense", "f").await.problem(403, "registration_refused");
    for bad in [
        json!({ "expires_in_hours": 0 }),
        json!({ "most_hosts": 0 }),
        json!({ "name": "x".repeat(65) }),
    ] {
        let mut new = json!({ "expires_in_hours": 1 });
        new.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
        let path = format!("/v1/environments/{environment}/registration-tokens");
        admin.post(&path, new).await.expect(422);
    }
}

#[tokio::test]
async fn a_stolen_token_takes_over_no_host() {
    let fixture = Fixture::start().await;
    let nobody = fixture.server.client();
    // The same name makes another host.
    let new = request(&fixture.registration, "NODE");
    let made: RegisteredAgent =
        nobody.post("/v1/agents/register", new.clone()).await.expect(200).json();
    assert_eq!(made.name, "NODE-2");
    assert_ne!(made.host_id, fixture.host.id);
    // The same key again is the same host: an answer may have got lost.
    let again: RegisteredAgent =
        nobody.post("/v1/agents/register", new.clone()).await.expect(200).json();
    assert_eq!(again, made);
    // A key that is not the caller's own registers nothing.
    let mut forged = request(&fixture.registration, "forged");
    forged.public_key = new.public_key.clone();
    nobody.post("/v1/agents/register", forged).await.problem(403, "wrong_signature");
    // Nor does another token's signature.
    let mut replayed = new;
    replayed.token = "drvreg_other".into();
    nobody.post("/v1/agents/register", replayed).await.problem(403, "wrong_signature");
    let host = active_host(&fixture.admin, fixture.environment, "node").await;
    assert_eq!(host.agent, fixture.host.agent);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_words() {
    let server = TestServer::start().await;
    let agent = Agent::new(&server.base(), "drvreg_wrong", "node", "/nowhere/docker.sock");
    let (said, ok) = agent.status();
    assert!(!ok && said.contains("Not registered"), "{said}");
    let mut agent = agent;
    agent.run();
    eventually("the refusal is told", Duration::from_secs(10), async || {
        agent.log().contains("Make a new one in Drover").then_some(())
    })
    .await;

    // One without Docker.
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    let token = drover_tests::registration_token(&admin, environment).await;
    let agent = Agent::start(&server, &token, "bare", "/nowhere/docker.sock");
    let said = agent.says("Connected to").await;
    assert!(said.contains("Docker does not answer at /nowhere/docker.sock"), "{said}");
    assert!(!agent.status().1);
    let host = drover_tests::host_when(&admin, environment, "bare", |host| {
        host.reason.as_ref().is_some_and(|why| why.contains("there is no Docker socket"))
    })
    .await;
    assert!(host.agent.unwrap().connected);

    // One whose host was removed.
    let path = format!("/v1/environments/{environment}/hosts/{}?force=true", host.id);
    admin.delete(&path).await.expect(200);
    agent.says("This host was removed in Drover").await;
}
