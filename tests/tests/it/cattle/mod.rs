//! Stacks over several hosts, each with a real Docker Engine on a network of its own.

mod away;
mod draining;
mod health;
mod network;
mod placing;

use std::time::Duration;

use drover_api::{
    CreateStack, CrossHostNetworkState, CrossHostNetworkStatus, Environment, Host, HostState, List,
    Operation, OperationState, Stack, StackDetail, StackOperation, StackSource, StackState,
};
use drover_tests::{Client, Docker, Lan, LanHost, TestServer, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(30);
const LATER: Duration = Duration::from_secs(120);

/// Some hosts, and a server that has them in one environment.
struct Fixture {
    server: TestServer,
    admin: Client,
    environment: Uuid,
    lan: Lan,
}

impl Fixture {
    /// `count` hosts, all added.
    async fn start(count: usize, scheduling: Value) -> Self {
        let fixture = Self::empty(count, scheduling).await;
        for index in 0..count {
            fixture.add(index, json!({})).await;
        }
        fixture
    }

    /// `count` hosts, none of them added yet.
    async fn empty(count: usize, scheduling: Value) -> Self {
        let lan = Lan::start(count).await;
        let server = TestServer::start().await;
        let admin = server.admin().await;
        let environment = server.default_environment().await.id;
        let fixture = Self { server, admin, environment, lan };
        fixture.set(scheduling).await;
        fixture
    }

    /// Changes the environment's scheduling.
    async fn set(&self, scheduling: Value) {
        let change = json!({ "scheduling": scheduling });
        self.admin.patch(&self.path(""), change).await.expect(200);
    }

    /// Adds a host of the network, and waits until it is connected.
    async fn add(&self, index: usize, labels: Value) -> Host {
        let host = &self.lan.hosts()[index];
        let body = json!({
            "name": host.name(), "labels": labels,
            "endpoint": { "kind": "socket", "path": host.socket() },
        });
        self.admin.post(&self.path("/hosts"), body).await.expect(201);
        self.is(host, HostState::Active).await
    }

    /// Waits until a host stands like this.
    async fn is(&self, host: &LanHost, state: HostState) -> Host {
        eventually(&format!("{} is {state:?}", host.name()), LATER, async || {
            let list: List<Host> = self.admin.get(&self.path("/hosts")).await.expect(200).json();
            list.items.into_iter().find(|h| h.name == host.name() && h.state == state)
        })
        .await
    }

    async fn host(&self, index: usize) -> Host {
        let list: List<Host> = self.admin.get(&self.path("/hosts")).await.expect(200).json();
        let name = self.lan.hosts()[index].name();
        list.items.into_iter().find(|host| host.name == name).unwrap()
    }

    async fn change_host(&self, index: usize, change: Value) {
        let host = self.host(index).await;
        let path = self.path(&format!("/hosts/{}", host.id));
        self.admin.patch(&path, change).await.expect(200);
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/environments/{}{rest}", self.environment)
    }

    async fn network(&self) -> Option<CrossHostNetworkStatus> {
        let environment: Environment = self.admin.get(&self.path("")).await.expect(200).json();
        environment.cross_host_network
    }

    /// Waits until so many hosts are joined, and the network is ready.
    async fn joined(&self, count: usize) -> CrossHostNetworkStatus {
        eventually(&format!("{count} hosts are joined"), LATER, async || {
            let status = self.network().await?;
            let joined = status.hosts.iter().filter(|host| host.joined).count();
            (status.state == CrossHostNetworkState::Ready && joined == count).then_some(status)
        })
        .await
    }

    async fn begin(&self, name: &str, compose: &str) -> StackOperation {
        let body = CreateStack {
            name: name.into(),
            description: String::new(),
            source: StackSource::Compose {
                compose: compose.into(),
                variables: [].into(),
                secret_variables: Vec::new(),
            },
        };
        self.admin.post(&self.path("/stacks"), body).await.expect(202).json()
    }

    async fn install(&self, name: &str, compose: &str) -> Stack {
        let begun = self.begin(name, compose).await;
        let ended = self.ends(&begun.operation).await;
        assert_eq!(ended.state, OperationState::Succeeded, "{ended:?}");
        begun.stack
    }

    /// The code and the sentence of an install that fails.
    async fn fails(&self, name: &str, compose: &str) -> (String, String) {
        let begun = self.begin(name, compose).await;
        let ended = self.ends(&begun.operation).await;
        assert_eq!(ended.state, OperationState::Failed, "{ended:?}");
        let error = ended.error.unwrap();
        (error.code, error.message)
    }

    async fn ends(&self, operation: &Operation) -> Operation {
        let path = self.path(&format!("/operations/{}", operation.id));
        eventually(&format!("{:?} ends", operation.kind), LATER, async || {
            let now: Operation = self.admin.get(&path).await.expect(200).json();
            now.finished_at.is_some().then_some(now)
        })
        .await
    }

    async fn detail(&self, stack: &Stack) -> StackDetail {
        self.admin.get(&self.path(&format!("/stacks/{}", stack.id))).await.expect(200).json()
    }

    async fn stands(&self, stack: &Stack, state: StackState) -> StackDetail {
        eventually(&format!("the stack is {state:?}"), LATER, async || {
            Some(self.detail(stack).await).filter(|detail| detail.stack.state == state)
        })
        .await
    }

    fn docker(&self, index: usize) -> Docker {
        self.lan.hosts()[index].docker()
    }

    /// The names of a stack's running containers, by host.
    fn running(&self, stack: &str) -> Vec<Vec<String>> {
        let filter = format!("--filter=label=io.drover.stack_name={stack}");
        self.lan
            .hosts()
            .iter()
            .map(|host| {
                // An engine that is down has none.
                let output = host.docker().try_run(&["ps", "--format", "{{.Names}}", &filter]);
                let text = String::from_utf8(output.stdout).unwrap();
                let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
                names.sort();
                names
            })
            .collect()
    }

    /// How many of them each host has.
    fn spread(&self, stack: &str) -> Vec<usize> {
        self.running(stack).iter().map(Vec::len).collect()
    }

    /// The host that has a container.
    fn host_of(&self, container: &str) -> Option<usize> {
        let stack = container.split('-').next().unwrap();
        self.running(stack).iter().position(|names| names.iter().any(|name| name == container))
    }

    /// What `container` gets on port 8080 of `name`.
    fn ask(&self, container: &str, name: &str) -> Option<String> {
        let host = self.host_of(container)?;
        let ask = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {name} 8080");
        let output = self.docker(host).try_run(&["exec", container, "sh", "-c", &ask]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.contains("200 OK").then_some(text)
    }

    async fn answers(&self, container: &str, name: &str) {
        eventually(&format!("{name} answers {container}"), LATER, async || {
            self.ask(container, name)
        })
        .await;
    }
}

/// A service that answers on 8080, and one that only is there.
const WEB: &str = "image: 'drover-test/web:1', stop_grace_period: 0s";
const SLEEP: &str = "image: 'drover-test/sleep:1', stop_grace_period: 0s";
