//! Where containers go, and which rule ruled out which host.

use super::*;

/// One after the other on the same hosts, as engines take their time to start.
#[tokio::test]
async fn rules_and_strategies_decide_over_hosts() {
    let fixture = Fixture::empty(3, json!({})).await;
    fixture.add(0, json!({ "disk": "ssd" })).await;
    fixture.add(1, json!({ "disk": "hdd" })).await;
    fixture.add(2, json!({ "disk": "ssd" })).await;
    fixture.joined(3).await;

    // Spread, though the services talk to each other.
    fixture
        .install("spread", &format!("services: {{a: {{{WEB}, deploy: {{replicas: 3}}}}, b: {{{SLEEP}, deploy: {{replicas: 3}}}}}}"))
        .await;
    assert_eq!(fixture.spread("spread"), [2, 2, 2]);

    // Pack: on the fullest, here on one.
    fixture.set(json!({ "strategy": "pack" })).await;
    fixture
        .install("pack", &format!("services: {{a: {{{SLEEP}, deploy: {{replicas: 3}}}}}}"))
        .await;
    let mut packed = fixture.spread("pack");
    packed.sort_unstable();
    assert_eq!(packed, [0, 0, 3]);

    // Apart from itself, packed or not; the fourth has nowhere to go, and each host has its reason.
    let apart = |replicas| {
        format!(
            "services: {{a: {{{SLEEP}, deploy: {{replicas: {replicas}}}, labels: {{'io.rancher.scheduler.affinity:container_label_ne': 'io.rancher.stack_service.name=$${{stack_name}}/$${{service_name}}'}}}}}}"
        )
    };
    fixture.install("apart", &apart(3)).await;
    assert_eq!(fixture.spread("apart"), [1, 1, 1]);
    let (code, why) = fixture.fails("toomany", &apart(4)).await;
    assert_eq!(code, "no_host_fits");
    for host in ["node-1", "node-2", "node-3"] {
        assert!(why.contains(&format!("{host}: `container_label_ne")), "{why}");
    }

    // By host label, must and should.
    fixture
        .install("must", &format!("services: {{a: {{{SLEEP}, deploy: {{replicas: 4}}, labels: {{'io.drover.scheduler.affinity:host_label': 'disk=hdd'}}}}}}"))
        .await;
    assert_eq!(fixture.spread("must"), [0, 4, 0]);
    fixture
        .install("should", &format!("services: {{a: {{{SLEEP}, labels: {{'io.drover.scheduler.affinity:host_label_soft_ne': 'disk=ssd'}}}}}}"))
        .await;
    assert_eq!(fixture.spread("should"), [0, 1, 0]);

    // A global service is on each host that fits, and comes with labels.
    let global = fixture
        .install("global", &format!("services: {{a: {{{SLEEP}, labels: {{'io.rancher.scheduler.global': 'true', 'io.rancher.scheduler.affinity:host_label': 'disk=ssd'}}}}}}"))
        .await;
    assert_eq!(fixture.spread("global"), [1, 0, 1]);
    fixture.change_host(1, json!({ "labels": { "disk": "ssd" } })).await;
    eventually("it comes with the label", SOON, async || {
        (fixture.spread("global") == [1, 1, 1]).then_some(())
    })
    .await;
    fixture.stands(&global, StackState::Running).await;

    // Sidekicks stand beside their primary, number by number.
    fixture.set(json!({ "strategy": "spread" })).await;
    let pair = format!(
        "services: {{log: {{{SLEEP}}}, app: {{{WEB}, labels: {{io.drover.sidekicks: log}}, deploy: {{replicas: 3}}}}}}"
    );
    fixture.install("kicks", &pair).await;
    for names in fixture.running("kicks") {
        let [app, log] = names.as_slice() else { panic!("{names:?}") };
        assert_eq!(app.rsplit('-').next(), log.rsplit('-').next());
    }

    // A port is held once on each host, whoever holds it: Drover, or somebody else.
    fixture.docker(0).run(&["run", "--detach", "--publish", "9000:80", "drover-test/sleep:1"]);
    let ports = |replicas: u32, port: &str| {
        format!(
            "services: {{a: {{{WEB}, ports: ['{port}:8080'], deploy: {{replicas: {replicas}}}}}}}"
        )
    };
    eventually("the stranger's port is known", SOON, async || {
        let path = fixture.path("/containers?managed=false");
        let text = fixture.admin.get(&path).await.expect(200).text;
        text.contains("9000").then_some(())
    })
    .await;
    fixture.install("ports", &ports(2, "9000")).await;
    assert_eq!(fixture.spread("ports"), [0, 1, 1]);
    let (code, why) = fixture.fails("full", &ports(1, "9000")).await;
    assert_eq!(code, "port_taken", "{why}");
    assert!(why.contains("node-1: port 9000 is already taken"), "{why}");
    fixture.install("other", &ports(1, "9000").replace("8080'", "8080/udp'")).await;

    // What is reserved is not there for others.
    let memory = fixture.host(0).await.facts.unwrap().memory;
    let reserve = |share: u64| {
        let bytes = memory * share / 100;
        format!(
            "services: {{a: {{{SLEEP}, deploy: {{resources: {{reservations: {{memory: '{bytes}'}}}}}}}}}}"
        )
    };
    for name in ["big1", "big2", "big3"] {
        fixture.install(name, &reserve(60)).await;
    }
    let (code, why) = fixture.fails("big4", &reserve(60)).await;
    assert_eq!(code, "not_enough_room", "{why}");
    assert!(why.contains("node-2:") && why.contains("of memory are not reserved"), "{why}");
    fixture.install("small", &reserve(30)).await;
}
