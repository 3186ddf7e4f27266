//! Several hosts: where containers go, and how they leave.

use super::*;
use drover_api::OperationKind;
use drover_tests::Engine;

/// The tests' engine as *local*, labelled `disk=ssd`, and one more as *second*.
async fn two_hosts() -> (Fixture, Engine, Docker, Host, Host) {
    let engine = Engine::start("server").await;
    let second = engine.docker().await;
    let fixture = Fixture::start().await;
    // The tests' engine is not to become part of a swarm: other tests use it too.
    let off = json!({ "scheduling": { "cross_host_network": "off" } });
    let environment = format!("/v1/environments/{}", fixture.environment);
    fixture.admin.patch(&environment, off).await.expect(200);
    let body = json!({
        "name": "second", "labels": { "disk": "hdd" },
        "endpoint": { "kind": "tcp", "address": engine.address() },
        "tls": engine.certificates.credentials("ca", "client"),
    });
    fixture.admin.post(&fixture.path("hosts"), body).await.expect(201);
    let (one, two) = (fixture.host("local").await, fixture.host("second").await);
    let labels = json!({ "labels": { "disk": "ssd" } });
    fixture.admin.patch(&fixture.path(&format!("hosts/{}", one.id)), labels).await.expect(200);
    (fixture, engine, second, one, two)
}

#[tokio::test]
async fn placement_spreads_and_keeps_to_constraints_and_a_drain_moves() {
    let (fixture, _engine, second, local, _) = two_hosts().await;
    let on = |docker: &Docker, name: &str| running(docker, name, fixture.environment).len();
    let both = |name: &str| (on(&fixture.docker, name), on(&second, name));

    let spread = unique("spread");
    let text = "services: {web: {image: 'drover-test/web:1', stop_grace_period: 0s, deploy: {replicas: 4}}}";
    fixture.install(&spread, text).await;
    assert_eq!(both(&spread), (2, 2));

    let fast = unique("fast");
    let text = "services: {web: {image: 'drover-test/web:1', stop_grace_period: 0s, deploy: {replicas: 2, placement: {constraints: ['node.labels.disk == ssd']}}}}";
    fixture.install(&fast, text).await;
    assert_eq!(both(&fast), (2, 0));

    let everywhere = unique("global");
    let text = "services: {web: {image: 'drover-test/web:1', stop_grace_period: 0s, deploy: {mode: global}}}";
    fixture.install(&everywhere, text).await;
    assert_eq!(both(&everywhere), (1, 1));

    let nowhere =
        text.replace("mode: global", "placement: {constraints: ['node.labels.disk == tape']}");
    let begun = fixture.begin(&unique("tape"), &nowhere).await;
    let (code, message) = fixture.fails(&begun.operation).await;
    assert_eq!(code, "no_host_fits");
    for word in ["local", "second", "node.labels.disk == tape"] {
        assert!(message.contains(word), "{message}");
    }

    let path = fixture.path(&format!("hosts/{}", local.id));
    fixture.admin.patch(&path, json!({ "mode": "draining" })).await.expect(200);
    eventually("what may leave has left", LATER, async || {
        (both(&spread) == (0, 4) && both(&everywhere) == (0, 1)).then_some(())
    })
    .await;
    // What may run nowhere else ends there too, and says what rules it out.
    let drain = eventually("there is a drain", SOON, async || {
        let list: List<Operation> =
            fixture.admin.get(&fixture.path("operations")).await.expect(200).json();
        list.items.into_iter().find(|operation| operation.kind == OperationKind::Drain)
    })
    .await;
    assert_eq!(drain.target_id, local.id);

    fixture.admin.patch(&path, json!({ "mode": "active" })).await.expect(200);
    eventually("what may run only there is back", LATER, async || {
        (both(&fast) == (2, 0) && both(&everywhere) == (1, 1)).then_some(())
    })
    .await;
    second.clean(&fixture.label());
}
