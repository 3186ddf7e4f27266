//! Bad days of swarms and of the server that looks after them.

use super::*;

const APP: &str =
    "services: {app: {image: 'drover-test/sleep:1', stop_grace_period: 0s, deploy: {replicas: 3}}}";

#[tokio::test]
async fn a_lost_quorum_is_said_and_forced_to_an_end() {
    let fixture = Fixture::swarm(3).await;
    fixture.install("quorum", APP).await;
    fixture.lan.hosts()[1].kill_dockerd();
    fixture.lan.hosts()[2].kill_dockerd();
    let lost = fixture.swarm_is("without quorum", SwarmState::NoQuorum).await;
    assert!(lost.reason.unwrap().contains("2 of its 3 managers"));
    assert!(lost.advice.unwrap().contains("force a new cluster"));
    // What was last seen is still told, and a change is refused with the reason.
    let nodes: Vec<SwarmNode> = fixture.list("swarm/nodes").await;
    assert_eq!(nodes.len(), 3);
    let path = fixture.path("swarm/networks");
    fixture.admin.post(&path, json!({ "name": "x" })).await.problem(503, "swarm_no_quorum");
    // The host itself stays connected.
    let host: Host = fixture.get(&format!("hosts/{}", fixture.hosts[0].id)).await;
    assert_eq!(host.state, HostState::Active, "{host:?}");

    let force = fixture.path("swarm/force-new-cluster");
    let body =
        |n: usize, confirm: &str| json!({ "host_id": fixture.hosts[n].id, "confirm": confirm });
    fixture.admin.post(&force, body(0, "")).await.problem(422, "invalid_input");
    eventually("node-2 is known to be away", LATER, async || {
        let host: Host = fixture.get(&format!("hosts/{}", fixture.hosts[1].id)).await;
        (host.state != HostState::Active).then_some(())
    })
    .await;
    fixture.admin.post(&force, body(1, "Swarm")).await.problem(422, "invalid_input");
    let operation: Operation =
        fixture.admin.post(&force, body(0, "Swarm")).await.expect(202).json();
    fixture.succeeds(&operation).await;
    fixture
        .swarm_when("active again, alone", |swarm| {
            swarm.state == SwarmState::Active && (swarm.managers, swarm.nodes) == (1, 1)
        })
        .await;
    // The service is all there. Whether its tasks start at once is the engine's: Docker 20.10 makes
    // no overlay network after this until it is started anew, as docs/swarm.md says.
    fixture.service_when("quorum_app", "still wanted", |service| service.replicas == 3).await;
}

#[tokio::test]
async fn a_manager_that_dies_is_missed_by_nobody() {
    let fixture = Fixture::swarm(3).await;
    let stack = fixture.install("away", APP).await;
    // Whichever was asked until now, another one answers.
    fixture.lan.hosts()[0].kill_dockerd();
    let swarm = fixture.swarm_is("degraded", SwarmState::Degraded).await;
    assert_eq!((swarm.reachable_managers, swarm.quorum), (2, 2));
    fixture.act(&stack, "services/app/scale", json!({ "scale": 4 })).await;
    let running = fixture.running("away_app").await;
    assert!(running.iter().filter(|task| task.host_id != Some(fixture.hosts[0].id)).count() >= 2);
    fixture.lan.hosts()[0].start_dockerd();
    fixture
        .swarm_when("whole again", |s| s.state == SwarmState::Active && s.reachable_managers == 3)
        .await;
    fixture.service_when("away_app", "running", |service| service.running == 4).await;
}

#[tokio::test]
async fn a_killed_server_ends_in_the_same_place() {
    let mut fixture = Fixture::swarm(1).await;
    let text = |round: usize| {
        format!(
            "services: {{web: {{image: 'drover-test/web:{}', stop_grace_period: 0s, secrets: [key], deploy: {{replicas: 2, update_config: {{monitor: 1s, parallelism: 2}}}}}}, app: {{image: 'drover-test/sleep:1', stop_grace_period: 0s, depends_on: [web]}}}}\nsecrets: {{key: {{content: 'round-{round}'}}}}",
            1 + round % 2
        )
    };
    let mut stack = None;
    // Killed ever later: before the first step, in the midst of them, and after the last.
    for (round, pause) in [100, 500, 1200].into_iter().enumerate() {
        let operation = match &stack {
            None => {
                let begun = fixture.begin("kill", &text(round)).await;
                stack = Some(begun.stack);
                begun.operation
            }
            Some(stack) => fixture.change(stack, &text(round)).await,
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        fixture.server.restart().await;
        fixture.succeeds(&operation).await;
        let services = fixture.prints(&["service", "ls", "--format", "{{.Name}} {{.Replicas}}"]);
        let mut lines: Vec<&str> = services.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["kill_app 1/1", "kill_web 2/2"], "after round {round}");
        let image = format!("drover-test/web:{}", 1 + round % 2);
        fixture.service_when("kill_web", "as wanted", |s| s.running == 2 && s.image == image).await;
    }
    eventually("one secret is left", LATER, async || {
        let secrets = fixture.prints(&["secret", "ls", "--format", "{{.Name}}"]);
        (secrets.lines().count() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_swarm_is_made_by_a_server_that_is_killed_meanwhile() {
    let mut fixture = Fixture::start(3).await;
    let body = json!({
        "managers": [fixture.node(0)],
        "workers": [fixture.node(1), fixture.node(2)],
    });
    let operation: Operation =
        fixture.admin.post(&fixture.path("swarm"), body).await.expect(202).json();
    tokio::time::sleep(Duration::from_millis(700)).await;
    fixture.server.restart().await;
    fixture.succeeds(&operation).await;
    let swarm =
        fixture.swarm_when("three nodes", |s| s.state == SwarmState::Active && s.nodes == 3).await;
    assert_eq!(swarm.managers, 1);
}
