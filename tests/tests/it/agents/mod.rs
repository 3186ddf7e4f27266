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
}
