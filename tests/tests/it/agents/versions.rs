//! Agents of neighbouring versions.

use super::*;
use drover_api::AgentFit;
use drover_tests::{Agent, eventually};

#[tokio::test]
async fn older_and_newer_agents_work_and_one_that_is_too_old_is_told() {
    let mut site = Site::without_agents(3, |builder| builder).await;
    let token = site.registration_token().await;
    let base = site.server.base();
    let pretend: [&[&str]; 3] = [
        &["--pretend-version", "0.0.9"],
        &["--pretend-version", "9.9.9"],
        &["--pretend-version", "0.0.1", "--pretend-protocol", "0"],
    ];
    for (host, more) in site.lan.hosts().iter().zip(pretend) {
        site.agents.push(Agent::start(host, &base, &token, more));
    }
    for (name, version, fit) in
        [("node-1", "0.0.9", AgentFit::Outdated), ("node-2", "9.9.9", AgentFit::Newer)]
    {
        let host = site.host_in(name, HostState::Active).await;
        let agent = host.agent.as_ref().unwrap();
        assert_eq!((agent.version.as_str(), agent.fit), (version, fit));
    }
    let container = run(&site.lan.hosts()[0], &[], &["drover-test/sleep:1"]);
    let mut shell = site.shell(&site.host_in("node-1", HostState::Active).await, &container).await;
    shell.type_in("echo he''llo\n").await;
    shell.until("hello").await;

    let refused = site
        .host_when("node-3", "refused", SOON, |host| {
            host.agent.as_ref().is_some_and(|agent| agent.fit == AgentFit::TooOld)
        })
        .await;
    let reason = refused.reason.unwrap();
    assert!(reason.contains("0.0.1") && reason.contains("too old"), "{reason}");
    assert_ne!(refused.state, HostState::Active);
    let said = eventually("the agent says so", SOON, async || {
        let (good, said) = Agent::status(&site.lan.hosts()[2]);
        assert!(!good, "{said}");
        said.contains("Refused").then_some(said)
    })
    .await;
    assert!(said.contains("too old"), "{said}");
}
