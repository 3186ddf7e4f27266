//! Making swarms, and who is in them.

use super::*;
use drover_api::{NodeAvailability, NodeRole, Role, SwarmKeys, SwarmPart};

#[tokio::test]
async fn a_swarm_is_made_grown_and_dissolved() {
    let fixture = Fixture::start(3).await;
    let nobody = json!({ "managers": [] });
    fixture.admin.post(&fixture.path("swarm"), nobody).await.problem(422, "invalid_input");
    let twice = json!({ "managers": [fixture.node(0)], "workers": [fixture.node(0)] });
    fixture.admin.post(&fixture.path("swarm"), twice).await.problem(422, "invalid_input");
    fixture.admin.get(&fixture.path("swarm/keys")).await.problem(409, "no_swarm");

    // One manager, one worker.
    let body = json!({
        "managers": [fixture.node(0)], "workers": [fixture.node(1)],
        "defaults": { "publish_mode": "host", "endpoint_mode": "dnsrr" },
    });
    let operation: Operation =
        fixture.admin.post(&fixture.path("swarm"), &body).await.expect(202).json();
    fixture.succeeds(&operation).await;
    let swarm = fixture.swarm_when("two nodes", |s| s.state == SwarmState::Active && s.nodes == 2);
    let swarm = swarm.await;
    assert_eq!((swarm.managers, swarm.quorum, swarm.good_manager_count), (1, 1, true));
    let parts: Vec<SwarmPart> = swarm.hosts.iter().map(|host| host.part).collect();
    assert_eq!(parts, [SwarmPart::Manager, SwarmPart::Worker, SwarmPart::None]);
    fixture.admin.post(&fixture.path("swarm"), &body).await.problem(422, "invalid_input");

    // The third joins as a manager: two are no better than one.
    let join = json!({ "managers": [fixture.node(2)] });
    let operation: Operation =
        fixture.admin.post(&fixture.path("swarm/join"), join).await.expect(202).json();
    fixture.succeeds(&operation).await;
    let swarm = fixture.swarm_when("two managers", |swarm| swarm.managers == 2).await;
    assert!(!swarm.good_manager_count);
    assert!(swarm.advice.unwrap().contains("no more failures than 1"));
    let worker = fixture.node_of(1).await;
    let path = fixture.path(&format!("swarm/nodes/{}", worker.id));
    fixture.admin.patch(&path, json!({ "role": "manager" })).await.expect(200);
    let swarm = fixture
        .swarm_when("three managers", |s| s.managers == 3 && s.reachable_managers == 3)
        .await;
    assert_eq!((swarm.quorum, swarm.good_manager_count), (2, true));
    let nodes = fixture.prints(&["node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}"]);
    assert_eq!(nodes.lines().count(), 3);
    assert!(nodes.lines().all(|line| line.ends_with("Leader") || line.ends_with("Reachable")));

    // Back to a worker, with labels and another availability.
    let change = json!({ "role": "worker", "availability": "pause", "labels": { "disk": "ssd" } });
    let node: SwarmNode = fixture.admin.patch(&path, change).await.expect(200).json();
    assert_eq!((node.role, node.availability), (NodeRole::Worker, NodeAvailability::Pause));
    let labels = fixture.prints(&["node", "inspect", &node.id, "--format", "{{.Spec.Labels}}"]);
    assert_eq!(labels, "map[disk:ssd]");

    // It leaves, and joins again.
    let leave = fixture.path(&format!("swarm/nodes/{}/leave", worker.id));
    let operation: Operation = fixture.admin.post(&leave, json!({})).await.expect(202).json();
    fixture.succeeds(&operation).await;
    fixture.swarm_when("two nodes again", |swarm| swarm.nodes == 2).await;
    let join = json!({ "workers": [fixture.node(1)] });
    let operation: Operation =
        fixture.admin.post(&fixture.path("swarm/join"), join).await.expect(202).json();
    fixture.succeeds(&operation).await;
    fixture.swarm_when("three nodes again", |swarm| swarm.nodes == 3).await;

    // Dissolved, with the name typed by a person.
    let remove = |confirm: &str| {
        let request = fixture.admin.request(reqwest::Method::DELETE, &fixture.path("swarm"));
        request.json(&json!({ "confirm": confirm }))
    };
    fixture.admin.send(remove("no")).await.problem(422, "invalid_input");
    let operation: Operation = fixture.admin.send(remove("Swarm")).await.expect(202).json();
    fixture.succeeds(&operation).await;
    let swarm = fixture
        .swarm_when("gone", |swarm| {
            swarm.state == SwarmState::None
                && swarm.hosts.iter().all(|host| host.part == SwarmPart::None)
        })
        .await;
    assert_eq!(swarm.cluster_id, None);
}

#[tokio::test]
async fn tokens_keys_and_certificates_are_made_anew() {
    let fixture = Fixture::start(1).await;
    fixture.make(1).await;
    let keys = async || fixture.get::<SwarmKeys>("swarm/keys").await;
    let before = keys().await;
    assert!(before.worker_token.starts_with("SWMTKN-1-") && before.unlock_key.is_none());
    assert_eq!(before.managers.len(), 1);
    let rotate = fixture.path("swarm/rotate");
    fixture.admin.post(&rotate, json!({})).await.problem(422, "invalid_input");
    fixture.admin.post(&rotate, json!({ "worker_token": true })).await.expect(200);
    let after = keys().await;
    assert_ne!(after.worker_token, before.worker_token);
    assert_eq!(after.manager_token, before.manager_token);

    // Locked managers: Drover keeps the key, and unlocks them.
    fixture.admin.patch(&fixture.path("swarm"), json!({ "autolock": true })).await.expect(200);
    let key = keys().await.unlock_key.unwrap();
    assert_eq!(fixture.prints(&["swarm", "unlock-key", "--quiet"]), key);
    let host = &fixture.lan.hosts()[0];
    host.stop_dockerd();
    host.start_dockerd();
    let locked = fixture.swarm_is("locked", SwarmState::Locked).await;
    assert!(locked.reason.unwrap().contains("node-1"));
    // The key that was kept is still told.
    assert_eq!(keys().await.unlock_key.unwrap(), key);
    fixture.admin.post(&fixture.path("swarm/unlock"), json!({})).await.expect(200);
    fixture.swarm_is("active again", SwarmState::Active).await;
    fixture.admin.patch(&fixture.path("swarm"), json!({ "autolock": false })).await.expect(200);

    let ca = fixture.prints(&["swarm", "ca"]);
    fixture.admin.post(&rotate, json!({ "certificate_authority": true })).await.expect(200);
    eventually("another certificate authority", SOON, async || {
        (fixture.prints(&["swarm", "ca"]) != ca).then_some(())
    })
    .await;

    // Who may only deploy sees the swarm, and neither its keys nor how to change it.
    let member = fixture.server.member("restricted", fixture.environment, Role::Restricted).await;
    member.get(&fixture.path("swarm")).await.expect(200);
    member.get(&fixture.path("swarm/keys")).await.problem(403, "forbidden");
    member.post(&rotate, json!({ "worker_token": true })).await.problem(403, "forbidden");
    // Keys stand neither in the log nor in what the API tells of the swarm.
    let shown = fixture.admin.get(&fixture.path("swarm")).await.text;
    let manager = after.manager_token;
    drover_tests::assert_no_secret(&shown, &[&key, &manager]);
    drover_tests::assert_no_secret(&fixture.server.log(), &[&key, &manager]);
}

#[tokio::test]
async fn a_swarm_that_is_there_is_taken_over() {
    let fixture = Fixture::start(2).await;
    let address = fixture.lan.hosts()[0].address().to_string();
    fixture.prints(&["swarm", "init", "--advertise-addr", &address]);
    let token = fixture.prints(&["swarm", "join-token", "--quiet", "worker"]);
    let other = fixture.lan.hosts()[1].address().to_string();
    let manager = format!("{address}:2377");
    let join = ["swarm", "join", "--token", &token, "--advertise-addr", &other, &manager];
    fixture.docker(1).run(&join);
    fixture.prints(&[
        "service",
        "create",
        "--detach",
        "--name",
        "old",
        "--endpoint-mode",
        "dnsrr",
        "drover-test/sleep:1",
    ]);

    let found = fixture.swarm_is("found", SwarmState::Found).await;
    assert!(found.reason.unwrap().contains("node-1"));
    // Until it is taken over, nothing is deployed into it.
    let text = "services: {web: {image: 'drover-test/sleep:1'}}";
    let begun = fixture.begin("early", text).await;
    assert_eq!(fixture.fails(&begun.operation).await.0, "no_swarm");
    fixture.admin.post(&fixture.path("swarm/take-over"), json!({})).await.expect(200);
    let swarm = fixture.swarm_when("active", |s| s.state == SwarmState::Active && s.nodes == 2);
    assert_eq!(swarm.await.managers, 1);
    fixture
        .admin
        .post(&fixture.path("swarm/take-over"), json!({}))
        .await
        .problem(409, "swarm_exists");
    let old = fixture.service_when("old", "running", |service| service.running == 1).await;
    assert!(!old.foreign && old.stack.is_none() && old.stack_id.is_none());
    fixture.act(&begun.stack, "deploy", json!({})).await;
}

#[tokio::test]
async fn a_manager_that_is_needed_stays_one() {
    let fixture = Fixture::swarm(3).await;
    // With one of three away, both others are needed.
    fixture.lan.hosts()[2].stop_dockerd();
    let swarm = fixture.swarm_is("degraded", SwarmState::Degraded).await;
    assert!(swarm.reason.unwrap().contains("node-3"));
    assert_eq!((swarm.managers, swarm.reachable_managers, swarm.quorum), (3, 2, 2));
    let second = fixture.node_of(1).await;
    let path = fixture.path(&format!("swarm/nodes/{}", second.id));
    let demote = json!({ "role": "worker" });
    fixture.admin.patch(&path, &demote).await.problem(409, "quorum_lost");
    let leave = format!("{path}/leave");
    fixture.admin.post(&leave, json!({})).await.problem(409, "quorum_lost");

    // The one that is away for good is removed, and then the other may go.
    let nodes: Vec<SwarmNode> = fixture.list("swarm/nodes").await;
    let away = nodes.iter().find(|node| node.hostname == "node-3").unwrap();
    eventually("it counts as down", SOON, async || {
        let node: SwarmNode = fixture.get(&format!("swarm/nodes/{}", away.id)).await;
        (node.state == "down").then_some(())
    })
    .await;
    fixture.admin.delete(&fixture.path(&format!("swarm/nodes/{}", away.id))).await.expect(204);
    fixture.swarm_when("two managers", |swarm| swarm.managers == 2).await;
    fixture.admin.patch(&path, &demote).await.expect(200);
    let swarm = fixture.swarm_when("one manager", |swarm| swarm.managers == 1).await;
    assert_eq!(swarm.quorum, 1);
    let first = fixture.node_of(0).await;
    let path = fixture.path(&format!("swarm/nodes/{}", first.id));
    fixture.admin.patch(&path, &demote).await.problem(409, "last_manager");
}

#[tokio::test]
async fn other_environments_have_no_swarm() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    for rest in ["swarm", "swarm/nodes", "swarm/services", "swarm/secrets"] {
        let path = format!("/v1/environments/{environment}/{rest}");
        admin.get(&path).await.problem(409, "not_a_swarm");
    }
}
