<<<<<<< HEAD
//! Agents on real hosts: the bad days of networks, machines and servers.

mod accidents;
mod replicas;
mod streams;
mod versions;

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
    site.host_in("node-1", HostState::Active).await
=======
//! Agents: the real program, on this machine, against a real server and a real Docker Engine.

mod install;
mod register;
mod tunnel;
mod way_out;

use drover_api::Host;
use drover_tests::{Agent, Client, Docker, TestServer, active_host, registration_token};
use uuid::Uuid;

/// A server with one host, whose agent is connected.
struct Fixture {
    server: TestServer,
    docker: Docker,
    admin: Client,
    token: String,
    environment: Uuid,
    registration: String,
    agent: Agent,
    host: Host,
}

impl Fixture {
    async fn start() -> Self {
        let docker = Docker::start().await;
        let server = TestServer::start().await;
        let (made, admin) = server.key(&server.admin().await, None, None).await;
        let environment = server.default_environment().await.id;
        let registration = registration_token(&admin, environment).await;
        let agent = Agent::start(&server, &registration, "node", docker.socket());
        let host = active_host(&admin, environment, "node").await;
        Self { server, docker, admin, token: made.token, environment, registration, agent, host }
    }

    fn hosts(&self) -> String {
        format!("/v1/environments/{}/hosts", self.environment)
    }
>>>>>>> main
}
