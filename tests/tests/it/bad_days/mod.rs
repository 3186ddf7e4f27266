//! Bad days of networks, machines and servers, with agents on several real hosts.

mod accidents;
mod replicas;
mod streams;

use std::time::Duration;

use drover_api::{Host, HostState};
use drover_tests::{LanHost, Site};

const SOON: Duration = Duration::from_secs(20);
const LATER: Duration = Duration::from_secs(120);

/// Runs a container on a host; its id.
fn run(host: &LanHost, more: &[&str], image_and_command: &[&str]) -> String {
    host.docker().run(&[&["run", "--detach"], more, image_and_command].concat())
}

/// When a container was started, and as which process: the same as long as nobody touches it.
fn life(host: &LanHost, container: &str) -> String {
    let format = "{{.State.StartedAt}} {{.State.Pid}} {{.State.Running}} {{.RestartCount}}";
    host.docker().run(&["inspect", "--format", format, container])
}

/// When the tunnel was opened: another one is a new one.
fn tunnel(host: &Host) -> String {
    let agent = host.agent.as_ref().unwrap();
    assert!(agent.connected, "{host:?}");
    serde_json::to_string(&agent.since).unwrap()
}

/// The one host of a site.
async fn only(site: &Site) -> Host {
    site.host_when("node-1", "connected", LATER, |host| {
        host.state == HostState::Active && host.agent.as_ref().is_some_and(|agent| agent.connected)
    })
    .await
}
