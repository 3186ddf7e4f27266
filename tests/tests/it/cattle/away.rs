//! Hosts that are gone, and come back.

use super::*;

/// So long a host may be away in these tests, seconds: the least that can be set.
const LIMIT: u64 = 30;

#[tokio::test]
async fn what_a_gone_host_had_runs_elsewhere_and_nothing_twice_afterwards() {
    let fixture = Fixture::start(3, json!({ "host_gone_after_seconds": LIMIT })).await;
    fixture.joined(3).await;
    let text = format!("services: {{web: {{{WEB}, deploy: {{replicas: 3}}}}}}");
    let web = fixture.install("web", &text).await;
    let keep = format!(
        "services: {{db: {{{SLEEP}, volumes: ['data:/data'], deploy: {{placement: {{constraints: ['node.hostname == node-3']}}}}}}}}\nvolumes: {{data: {{}}}}"
    );
    let keep = fixture.install("keep", &keep).await;
    assert_eq!(fixture.spread("web"), [1, 1, 1]);

    // A short outage moves nothing.
    let third = &fixture.lan.hosts()[2];
    third.stop_dockerd();
    tokio::time::sleep(Duration::from_secs(5)).await;
    third.start_dockerd();
    fixture.is(third, HostState::Active).await;
    eventually("all run again", SOON, async || (fixture.spread("web") == [1, 1, 1]).then_some(()))
        .await;

    third.stop_dockerd();
    eventually("it runs elsewhere", LATER, async || {
        let spread = fixture.spread("web");
        (spread[0] + spread[1] == 3).then_some(())
    })
    .await;
    let detail = fixture.stands(&web, StackState::Running).await;
    assert_eq!((detail.stack.running, detail.stack.desired), (3, 3));
    let waiting = fixture.stands(&keep, StackState::Degraded).await;
    let why = waiting.service_list[0].reason.clone().unwrap();
    assert!(why.contains("node-3") && why.contains("its volumes are there"), "{why}");
    assert_eq!(fixture.spread("keep"), [0, 0, 0]);

    // Back again: what had data goes on there, and what was moved is not there twice.
    third.start_dockerd();
    fixture.is(third, HostState::Active).await;
    eventually("nothing runs twice", LATER, async || {
        let filter = "--filter=label=io.drover.stack_name=web";
        let left = fixture.docker(2).run(&["ps", "--all", "--quiet", filter]);
        (left.is_empty() && fixture.spread("keep") == [0, 0, 1]).then_some(())
    })
    .await;
    let detail = fixture.stands(&web, StackState::Running).await;
    assert_eq!(detail.service_list[0].running, 3);
    fixture.stands(&keep, StackState::Running).await;
    let spread = fixture.spread("web");
    assert_eq!(spread[0] + spread[1], 3);
}

#[tokio::test]
async fn a_restart_of_the_server_does_not_begin_to_count_anew_and_with_all_away_nothing_moves() {
    let mut fixture = Fixture::start(2, json!({ "host_gone_after_seconds": LIMIT })).await;
    fixture.joined(2).await;
    let text = format!("services: {{web: {{{WEB}, deploy: {{replicas: 2}}}}}}");
    let web = fixture.install("web", &text).await;
    let before = fixture.running("web");
    assert_eq!(fixture.spread("web"), [1, 1]);

    // All at once, for longer than the limit: as when the server's own network is broken.
    for host in fixture.lan.hosts() {
        host.kill_dockerd();
    }
    tokio::time::sleep(Duration::from_secs(LIMIT + 10)).await;
    for host in fixture.lan.hosts() {
        host.start_dockerd();
    }
    for host in fixture.lan.hosts() {
        fixture.is(host, HostState::Active).await;
    }
    fixture.stands(&web, StackState::Running).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(fixture.running("web"), before);

    // Away while the server is not there either.
    fixture.lan.hosts()[1].stop_dockerd();
    fixture.server.kill();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let start = std::time::Instant::now();
    fixture.server.restart().await;
    eventually("it runs on the other", LATER, async || {
        (fixture.spread("web") == [2, 0]).then_some(())
    })
    .await;
    // The grace after the start, and not the limit on top of it.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(60 + LIMIT - 5), "{took:?}");
}
