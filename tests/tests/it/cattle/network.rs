//! One network across hosts: names, traffic, and how it is set up and mended.

use super::*;

/// The ids and start times of all of a stack's containers.
fn lives(fixture: &Fixture, host: usize, stack: &str) -> Vec<String> {
    let filter = format!("--filter=label=io.drover.stack_name={stack}");
    let docker = fixture.docker(host);
    let ids = docker.run(&["ps", "--quiet", "--no-trunc", &filter]);
    ids.lines()
        .map(|id| docker.run(&["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", id]))
        .collect()
}

#[tokio::test]
async fn names_reach_across_hosts_and_nothing_is_restarted_for_it() {
    let fixture = Fixture::empty(3, json!({})).await;
    let web = |host: &str| {
        format!(
            "services: {{web: {{{WEB}, deploy: {{placement: {{constraints: ['node.hostname == {host}']}}}}}}}}"
        )
    };
    let pair = format!(
        "services: {{near: {{{SLEEP}, deploy: {{placement: {{constraints: ['node.hostname == node-1']}}}}}}, web: {{{WEB}, deploy: {{mode: global}}}}}}"
    );
    // On one host a bridge is enough, and other stacks are known by their names too.
    fixture.add(0, json!({})).await;
    fixture.install("pair", &pair).await;
    fixture.install("solo", &web("node-1")).await;
    fixture.answers("pair-near-1", "web").await;
    fixture.answers("pair-near-1", "web.solo").await;
    let before = lives(&fixture, 0, "pair");

    // With more hosts the same containers reach further.
    fixture.add(1, json!({})).await;
    fixture.add(2, json!({})).await;
    let status = fixture.joined(3).await;
    let addresses: Vec<_> = status.hosts.iter().filter_map(|host| host.address.clone()).collect();
    let expected: Vec<String> =
        fixture.lan.hosts().iter().map(|host| host.address().to_string()).collect();
    assert_eq!(addresses, expected);
    fixture.install("far", &web("node-3")).await;
    fixture.answers("pair-near-1", "web.far").await;
    eventually("the global service is everywhere", SOON, async || {
        (fixture.spread("pair") == [2, 1, 1]).then_some(())
    })
    .await;
    let after = lives(&fixture, 0, "pair");
    assert_eq!(before, after, "containers were started anew");
    // The one on its own host is one of the answers; the others are reached by their own names.
    for web in ["pair-web-1", "pair-web-2", "pair-web-3"] {
        fixture.answers("pair-near-1", web).await;
    }

    // Encrypted, the networks are others; so far as the kernel can, all is as before.
    fixture.set(json!({ "cross_host_network": "encrypted" })).await;
    eventually("there are encrypted networks", LATER, async || {
        let docker = fixture.docker(0);
        let names =
            docker.run(&["network", "ls", "--format", "{{.Name}}", "--filter", "driver=overlay"]);
        let encrypted: Vec<&str> =
            names.lines().filter(|name| name.ends_with("-encrypted")).collect();
        (encrypted.len() >= 2).then(|| {
            for name in encrypted {
                let options =
                    docker.run(&["network", "inspect", name, "--format", "{{json .Options}}"]);
                assert!(options.contains("\"encrypted\""), "{name}: {options}");
            }
        })
    })
    .await;
    assert_eq!(before, lives(&fixture, 0, "pair"), "containers were started anew");
}

#[tokio::test]
async fn hosts_that_fall_out_of_the_network_are_joined_again() {
    let fixture = Fixture::start(3, json!({})).await;
    fixture.joined(3).await;
    let everywhere = format!("services: {{web: {{{WEB}, deploy: {{mode: global}}}}}}");
    fixture.install("all", &everywhere).await;
    let reach = async |from: &str| {
        for to in ["all-web-1", "all-web-2", "all-web-3"] {
            fixture.answers(from, to).await;
        }
    };
    reach("all-web-1").await;

    // Somebody has a host leave.
    let on_third = fixture.running("all")[2][0].clone();
    fixture.docker(2).run(&["swarm", "leave", "--force"]);
    eventually("it was noticed", LATER, async || {
        let state = fixture.docker(2).run(&["info", "--format", "{{.Swarm.LocalNodeState}}"]);
        (state == "active").then_some(())
    })
    .await;
    fixture.joined(3).await;
    reach(&on_third).await;

    // A host is installed anew: another engine, without anything.
    fixture.lan.hosts()[1].wipe();
    let images =
        fixture.docker(0).run(&["image", "ls", "--quiet", "--filter", "reference=drover-test/*"]);
    assert!(!images.is_empty());
    let archive = fixture.lan.hosts()[1].folder().join("images.tar");
    let archive = archive.to_str().unwrap();
    fixture.docker(0).run(&["save", "--output", archive, "drover-test/web:1"]);
    fixture.docker(1).run(&["load", "--input", archive]);
    fixture.is(&fixture.lan.hosts()[1], HostState::Active).await;
    fixture.joined(3).await;
    eventually("its container is there again", LATER, async || {
        (fixture.spread("all") == [1, 1, 1]).then_some(())
    })
    .await;
    let on_second = fixture.running("all")[1][0].clone();
    reach(&on_second).await;
    // What it was before is no node any more.
    eventually("only the three are nodes", LATER, async || {
        let nodes = fixture.docker(0).run(&["node", "ls", "--format", "{{.Status}}"]);
        (nodes.lines().count() == 3 && nodes.lines().all(|state| state == "Ready")).then_some(())
    })
    .await;

    // A host that is no longer the environment's leaves.
    let host = fixture.host(2).await;
    let path = fixture.path(&format!("/hosts/{}?force=true", host.id));
    fixture.admin.delete(&path).await.expect(200);
    eventually("it has left", LATER, async || {
        let state = fixture.docker(2).run(&["info", "--format", "{{.Swarm.LocalNodeState}}"]);
        (state == "inactive").then_some(())
    })
    .await;
}

#[tokio::test]
async fn somebody_elses_swarm_is_left_alone_and_the_reason_is_given() {
    let fixture = Fixture::empty(2, json!({})).await;
    let address = fixture.lan.hosts()[0].address().to_string();
    fixture.docker(0).run(&["swarm", "init", "--advertise-addr", &address]);
    fixture.add(0, json!({})).await;
    fixture.add(1, json!({})).await;
    let status = eventually("it is said", SOON, async || {
        fixture.network().await.filter(|s| s.state == CrossHostNetworkState::Unavailable)
    })
    .await;
    let reason = status.reason.unwrap();
    assert!(
        reason.contains("node-1 is in a swarm that Drover did not make, and node-2 is not"),
        "{reason}"
    );
    assert!(status.hosts.iter().all(|host| host.reason.as_deref() == Some(&*reason)));
    assert_eq!(
        fixture.docker(1).run(&["info", "--format", "{{.Swarm.LocalNodeState}}"]),
        "inactive"
    );
    // Without a network, what talks to each other stays together.
    let text = format!("services: {{a: {{{WEB}}}, b: {{{SLEEP}, deploy: {{replicas: 3}}}}}}");
    fixture.install("near", &text).await;
    let mut spread = fixture.spread("near");
    spread.sort_unstable();
    assert_eq!(spread, [0, 4]);
    let docker_a = "near-b-1";
    fixture.answers(docker_a, "a").await;

    // When all are in it, it is used.
    let token = fixture.docker(0).run(&["swarm", "join-token", "-q", "worker"]);
    fixture.docker(1).run(&["swarm", "join", "--token", &token, &format!("{address}:2377")]);
    fixture.joined(2).await;
}
