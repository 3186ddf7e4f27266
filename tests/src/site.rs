//! A server, and hosts on a network of their own that are connected to it by agents.

use std::time::Duration;

use drover_api::{Host, HostState, List, Operation, Stack, StackOperation};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Builder, Client, HostProcess, Lan, LanHost, Shell, TestServer, eventually, registration_token,
    server,
};

const SOON: Duration = Duration::from_secs(30);
/// How long an operation may take.
const LATER: Duration = Duration::from_secs(120);

/// A server on the network of its hosts, an agent on each.
pub struct Site {
    // Dropped in this order: the server would bring back what is on its hosts.
    /// The agents, by host.
    pub agents: Vec<LanAgent>,
    /// The server.
    pub server: TestServer,
    /// The hosts.
    pub lan: Lan,
    /// An administrator, by an API key.
    pub admin: Client,
    /// That key.
    pub token: String,
    /// The environment of the hosts.
    pub environment: Uuid,
}

impl Site {
    /// With this many hosts, all of them connected.
    pub async fn start(hosts: usize) -> Self {
        Self::start_with(hosts, |builder| builder).await
    }

    /// The same, with a server that is started in another way.
    pub async fn start_with(hosts: usize, how: impl FnOnce(Builder) -> Builder) -> Self {
        let mut site = Self::without_agents(hosts, how).await;
        let token = site.registration_token().await;
        let base = site.server.base();
        for host in site.lan.hosts() {
            site.agents.push(LanAgent::start(host, &base, &token, &[]));
        }
        for host in site.lan.hosts() {
            site.host_in(host.name(), HostState::Active).await;
        }
        site
    }

    /// The same, before any agent is started.
    pub async fn without_agents(hosts: usize, how: impl FnOnce(Builder) -> Builder) -> Self {
        let lan = Lan::start(hosts).await;
        let server = how(TestServer::builder().listen(lan.address()).public()).start().await;
        let browser = server.admin().await;
        let (made, admin) = server.key(&browser, None, None).await;
        let environment = server.default_environment().await.id;
        Self { agents: Vec::new(), server, lan, admin, token: made.token, environment }
    }

    /// The path of something in the environment.
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/environments/{}/{rest}", self.environment)
    }

    /// Makes a registration token, and answers its secret.
    pub async fn registration_token(&self) -> String {
        registration_token(&self.admin, self.environment).await
    }

    /// The hosts as the server shows them.
    pub async fn hosts(&self) -> Vec<Host> {
        self.hosts_by(&self.admin).await
    }

    /// The hosts as another replica of the server shows them.
    pub async fn hosts_by(&self, client: &Client) -> Vec<Host> {
        let list: List<Host> = client.get(&self.path("hosts")).await.expect(200).json();
        list.items
    }

    /// Waits until a host is as wanted.
    pub async fn host_when(
        &self,
        name: &str,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Host) -> bool,
    ) -> Host {
        let mut last = None;
        let found = tokio::time::timeout(limit, async {
            loop {
                last = self.hosts().await.into_iter().find(|host| host.name == name);
                if let Some(host) = last.take_if(|host| wanted(host)) {
                    return host;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("{name} is not {what} within {limit:?}: {last:?}"))
    }

    /// Waits until a host is in a state.
    pub async fn host_in(&self, name: &str, state: HostState) -> Host {
        self.host_when(name, &format!("{state:?}"), SOON, |host| host.state == state).await
    }

    /// Asks for a stack, and does not wait.
    pub async fn begin(&self, name: &str, compose: &str) -> StackOperation {
        let body = json!({ "name": name, "source": { "kind": "compose", "compose": compose } });
        self.admin.post(&self.path("stacks"), body).await.expect(202).json()
    }

    /// Installs a stack, and waits until it is there.
    pub async fn install(&self, name: &str, compose: &str) -> Stack {
        let begun = self.begin(name, compose).await;
        self.succeeds(begun.operation.id).await;
        begun.stack
    }

    /// Waits until an operation has succeeded.
    pub async fn succeeds(&self, operation: Uuid) {
        let path = self.path(&format!("operations/{operation}"));
        let ended = eventually("the operation ends", LATER, async || {
            let now: Operation = self.admin.get(&path).await.expect(200).json();
            now.finished_at.is_some().then_some(now)
        })
        .await;
        assert_eq!(ended.state, drover_api::OperationState::Succeeded, "{ended:?}");
    }

    /// Opens a shell in a container, once the server shows it.
    pub async fn shell(&self, host: &Host, container: &str) -> Shell {
        let base = self.server.base();
        let path = self.path(&format!("hosts/{}/containers/{container}", host.id));
        eventually("the container is listed", SOON, async || {
            (self.admin.get(&path).await.status == 200).then_some(())
        })
        .await;
        Shell::open(&base, &self.token, &format!("{path}/exec/ws")).await
    }

    /// The stacks' containers that run on a host: their names, sorted.
    pub fn running(&self, host: &LanHost) -> Vec<String> {
        let filter = format!("label=io.drover.environment={}", self.environment);
        let format = ["ps", "--format", "{{.Names}}", "--filter", &filter];
        let mut names: Vec<String> = host.docker().run(&format).lines().map(Into::into).collect();
        names.sort();
        names
    }
}

/// A real `drover agent` on a host, which keeps its state where agents do.
pub struct LanAgent {
    process: Option<HostProcess>,
    words: Vec<String>,
    log: String,
}

impl LanAgent {
    /// Starts one. It registers by the token, unless the host is registered.
    pub fn start(host: &LanHost, server: &str, token: &str, more: &[&str]) -> Self {
        Self::start_with(host, server, token, more, &[])
    }

    /// The same, with these settings besides.
    pub fn start_with(
        host: &LanHost,
        server: &str,
        token: &str,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let program = server::drover().display().to_string();
        let mut words: Vec<String> =
            [&program, "agent", "--server", server, "--token", token].map(Into::into).into();
        words.extend(more.iter().map(|&word| word.to_owned()));
        let mut agent =
            Self { process: None, words, log: format!("agent-{}.log", Uuid::new_v4().simple()) };
        agent.start_again(host, environment);
        agent
    }

    /// Starts it again as it was started, with these settings besides.
    pub fn start_again(&mut self, host: &LanHost, environment: &[(&str, &str)]) {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        self.process = Some(host.spawn(&self.log, &words, environment));
    }

    /// Its process.
    pub fn process(&mut self) -> &mut HostProcess {
        self.process.as_mut().expect("the agent was started")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process().kill();
    }

    /// What `drover agent status` says, and whether that is good.
    pub fn status(host: &LanHost) -> (bool, String) {
        let program = server::drover().display().to_string();
        let output = host.try_run(&[&program, "agent", "status"]);
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }
}
