//! Drains: politely, to their end, whatever happens in between.

use super::*;
use drover_api::OperationKind;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

async fn drain_of(fixture: &Fixture) -> Operation {
    eventually("there is a drain", SOON, async || {
        let list: List<Operation> =
            fixture.admin.get(&fixture.path("/operations")).await.expect(200).json();
        list.items.into_iter().find(|operation| operation.kind == OperationKind::Drain)
    })
    .await
}

#[tokio::test]
async fn a_drain_leaves_no_gap_and_names_what_stays() {
    let fixture = Fixture::start(3, json!({})).await;
    fixture.joined(3).await;
    // One container, so that each moment without it would be seen.
    let web = format!(
        "services: {{web: {{{WEB}, ports: ['9100:8080'], healthcheck: {{test: 'echo ok', interval: 1s}}, labels: {{'io.drover.scheduler.affinity:host_label_soft': 'first=yes'}}}}}}"
    );
    fixture.change_host(0, json!({ "labels": { "first": "yes" } })).await;
    let web = fixture.install("web", &web).await;
    assert_eq!(fixture.spread("web"), [1, 0, 0]);
    let keep = format!(
        "services: {{db: {{{SLEEP}, volumes: ['data:/data'], labels: {{'io.drover.scheduler.affinity:host_label_soft': 'first=yes'}}}}}}\nvolumes: {{data: {{}}}}"
    );
    fixture.install("keep", &keep).await;
    assert_eq!(fixture.spread("keep"), [1, 0, 0]);
    let client = format!(
        "services: {{ask: {{{SLEEP}, deploy: {{placement: {{constraints: ['node.hostname == node-3']}}}}}}}}"
    );
    fixture.install("client", &client).await;
    fixture.answers("client-ask-1", "web.web").await;

    let (asked, missed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let done = Arc::new(AtomicBool::new(false));
    let asking = {
        let (asked, missed, done) = (asked.clone(), missed.clone(), done.clone());
        let docker = fixture.docker(2);
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                // A name is looked up for each try, as by any client; one try may meet a container
                // that has just left.
                let ask = "for i in 1 2 3; do page=$(printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 web.web 8080); case \"$page\" in *version*) echo \"$page\"; exit 0;; esac; done";
                let output = docker.try_run(&["exec", "client-ask-1", "sh", "-c", ask]);
                asked.fetch_add(1, Ordering::Relaxed);
                if !String::from_utf8_lossy(&output.stdout).contains("version 1") {
                    missed.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    fixture.change_host(0, json!({ "mode": "draining" })).await;
    eventually("it has moved", LATER, async || {
        let spread = fixture.spread("web");
        (spread[0] == 0 && spread[1] + spread[2] == 1).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    done.store(true, Ordering::Relaxed);
    asking.join().unwrap();
    let (asked, missed) = (asked.load(Ordering::Relaxed), missed.load(Ordering::Relaxed));
    println!("asked {asked} times, missed {missed}");
    assert!(asked > 10 && missed == 0, "{missed} of {asked} were not answered");
    fixture.stands(&web, StackState::Running).await;

    // What has its data there stays, and the drain says so.
    let drain = drain_of(&fixture).await;
    let path = fixture.path(&format!("/operations/{}", drain.id));
    let message = eventually("the drain names what stays", SOON, async || {
        let now: Operation = fixture.admin.get(&path).await.expect(200).json();
        assert!(now.finished_at.is_none(), "{now:?}");
        now.message.contains("Its volumes").then_some(now.message)
    })
    .await;
    assert!(message.contains("keep-db-1"), "{message}");
    assert_eq!(fixture.spread("keep"), [1, 0, 0]);
}

#[tokio::test]
async fn a_server_killed_in_the_midst_of_a_drain_ends_it() {
    let mut fixture = Fixture::start(2, json!({})).await;
    fixture.joined(2).await;
    let text = format!("services: {{web: {{{WEB}, deploy: {{replicas: 8}}}}}}");
    let web = fixture.install("web", &text).await;
    assert_eq!(fixture.spread("web"), [4, 4]);
    fixture.change_host(0, json!({ "mode": "draining" })).await;
    for pause in [400, 900, 1600] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        fixture.server.kill();
        let all: usize = fixture.spread("web").iter().sum();
        assert!(all >= 8, "only {all} run");
        fixture.server.restart().await;
    }
    let drain = drain_of(&fixture).await;
    let ended = fixture.ends(&drain).await;
    assert_eq!(ended.state, OperationState::Succeeded, "{ended:?}");
    eventually("all are on the other host, once", LATER, async || {
        (fixture.spread("web") == [0, 8]).then_some(())
    })
    .await;
    let mut names = fixture.running("web")[1].clone();
    names.dedup();
    assert_eq!(names.len(), 8);
    let detail = fixture.stands(&web, StackState::Running).await;
    assert_eq!(detail.service_list[0].running, 8);
}
