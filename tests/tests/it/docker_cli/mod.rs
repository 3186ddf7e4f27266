//! The native Docker command line: the real `docker` and `docker-compose` through Drover.

mod commands;
mod images;
mod roles;
mod streams;

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use drover_api::{CreatedApiKey, Host, HostState, List, Role};
use drover_tests::{Client, Docker, TestServer, eventually};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(20);

/// A server with the tests' engine as its host *local*, and things on it that end with the test.
struct Fixture {
    server: TestServer,
    docker: Docker,
    environment: Uuid,
    host: Uuid,
    label: String,
}

/// Somebody with an API key and Docker's command line.
struct Person {
    key: CreatedApiKey,
    client: Client,
    browser: Client,
    base: String,
    host: Uuid,
    config: TempDir,
}

impl Fixture {
    async fn start() -> Self {
        let docker = Docker::start().await;
        let server = TestServer::builder().docker().public().start().await;
        let environment = server.default_environment().await.id;
        let host = first_host(&server, environment).await;
        let label = format!("drover-test={}", Uuid::now_v7().simple());
        Self { server, docker, environment, host, label }
    }

    /// Somebody with this role.
    async fn person(&self, role: Role) -> Person {
        person(&self.server, self.environment, self.host, role).await
    }

    fn name(&self, short: &str) -> String {
        format!("{short}-{}", &self.label[self.label.len() - 12..])
    }

    /// Has a person run a container that sleeps; its name.
    async fn sleeper(&self, person: &Person, name: &str) -> String {
        let name = self.name(name);
        let label = ["--name", &name, "--label", &self.label];
        let all = [&["run", "--detach"], &label[..], &["drover-test/sleep:1"]].concat();
        person.docker(&all).await;
        name
    }

    fn host_path(&self, rest: &str) -> String {
        format!("/docker/hosts/{}{rest}", self.host)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.docker.clean(&self.label);
    }
}

async fn first_host(server: &TestServer, environment: Uuid) -> Uuid {
    let admin = server.admin().await;
    let hosts = format!("/v1/environments/{environment}/hosts");
    eventually("the first host is active", SOON, async || {
        let list: List<Host> = admin.get(&hosts).await.expect(200).json();
        list.items.into_iter().find(|host| host.state == HostState::Active)
    })
    .await
    .id
}

async fn person(server: &TestServer, environment: Uuid, host: Uuid, role: Role) -> Person {
    let login = format!("{}-{}", role.as_str(), &Uuid::new_v4().simple().to_string()[..8]);
    let browser = server.member(&login, environment, role).await;
    let (key, client) = server.key(&browser, None, None).await;
    let config = TempDir::with_prefix("drover-docker-config-").unwrap();
    let headers = json!({"HttpHeaders": {"Authorization": format!("Bearer {}", key.token)}});
    std::fs::write(config.path().join("config.json"), headers.to_string()).unwrap();
    Person { key, client, browser, base: server.base(), host, config }
}

impl Person {
    /// The engine's address, as the host's page shows it.
    fn address(&self) -> String {
        format!("{}/docker/hosts/{}", self.base.replacen("http", "tcp", 1), self.host)
    }

    /// A program with Docker's settings for this person.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("DOCKER_CONFIG", self.config.path())
            .env("DOCKER_HOST", self.address())
            .env("DOCKER_BUILDKIT", "0")
            .stdin(Stdio::null());
        for proxy in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env_remove(proxy);
        }
        command
    }

    /// Runs `docker` to its end, in a thread of its own.
    async fn try_docker(&self, arguments: &[&str]) -> Output {
        let mut command = self.command("docker");
        command.args(arguments);
        run(command).await
    }

    /// The same, where it must succeed: what it prints, trimmed.
    #[track_caller]
    fn docker(&self, arguments: &[&str]) -> impl Future<Output = String> {
        let asked = format!("docker {arguments:?}");
        let mut command = self.command("docker");
        command.args(arguments);
        async move {
            let output = run(command).await;
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{asked}: {error}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        }
    }

    /// The same, where it must be refused: what it says.
    async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.try_docker(arguments).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "docker {arguments:?} is not refused");
        error
    }
}

/// Runs a program to its end; kills it after a minute.
async fn run(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let asked = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    let child = command.kill_on_drop(true).spawn().unwrap();
    tokio::time::timeout(Duration::from_secs(60), child.wait_with_output())
        .await
        .unwrap_or_else(|_| panic!("{asked} does not end"))
        .unwrap()
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}
