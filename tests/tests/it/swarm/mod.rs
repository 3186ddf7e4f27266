//! Docker Swarm as an environment's cluster, on three real engines. The kernel has no IPVS, so
//! that ports are published on the hosts and names resolve to tasks.

mod bad_days;
mod catalog;
mod command_line;
mod membership;
mod stacks;

use std::time::Duration;

use drover_api::{
    ClusterKind, CreateEnvironment, Environment, Host, HostState, List, Operation, OperationState,
    Stack, StackDetail, StackOperation, Swarm, SwarmNode, SwarmService, SwarmState, SwarmTask,
};
use drover_tests::{Builder, Client, Docker, Lan, TestServer, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(30);
const LATER: Duration = Duration::from_secs(150);

/// A server with an environment for a swarm, and hosts of it.
struct Fixture {
    // Ends first, so that it does not see its hosts go.
    server: TestServer,
    lan: Lan,
    admin: Client,
    token: String,
    environment: Uuid,
    hosts: Vec<Host>,
}

impl Fixture {
    /// With so many hosts, in no swarm.
    async fn start(hosts: usize) -> Self {
        Self::with(hosts, TestServer::builder()).await
    }

    async fn with(hosts: usize, builder: Builder) -> Self {
        let lan = Lan::start(hosts).await;
        let server = builder.start().await;
        let browser = server.admin().await;
        let (made, admin) = server.key(&browser, None, None).await;
        let new = CreateEnvironment {
            name: "Swarm".into(),
            cluster_kind: ClusterKind::Swarm,
            ..CreateEnvironment::default()
        };
        let environment: Environment = admin.post("/v1/environments", new).await.expect(201).json();
        assert_eq!(environment.cluster_kind, ClusterKind::Swarm);
        let mut fixture = Self {
            server,
            lan,
            admin,
            token: made.token,
            environment: environment.id,
            hosts: Vec::new(),
        };
        for host in fixture.lan.hosts() {
            let new = json!({
                "name": host.name(),
                "endpoint": { "kind": "socket", "path": host.socket() },
            });
            let path = fixture.path("hosts");
            let host: Host = fixture.admin.post(&path, new).await.expect(201).json();
            fixture.hosts.push(host);
        }
        for host in &fixture.hosts {
            let path = fixture.path(&format!("hosts/{}", host.id));
            eventually("the host is active", SOON, async || {
                let now: Host = fixture.admin.get(&path).await.expect(200).json();
                (now.state == HostState::Active).then_some(())
            })
            .await;
        }
        fixture.swarm_is("none", SwarmState::None).await;
        fixture
    }

    /// With three hosts in a swarm, the first so many of them managers.
    async fn swarm(managers: usize) -> Self {
        let fixture = Self::start(3).await;
        fixture.make(managers).await;
        fixture
    }

    /// Makes a swarm of all hosts.
    async fn make(&self, managers: usize) {
        let node = |n: usize| self.node(n);
        let all: Vec<usize> = (0..self.hosts.len()).collect();
        let body = json!({
            "managers": all[..managers].iter().map(|n| node(*n)).collect::<Vec<_>>(),
            "workers": all[managers..].iter().map(|n| node(*n)).collect::<Vec<_>>(),
            "defaults": { "publish_mode": "host", "endpoint_mode": "dnsrr" },
        });
        let operation: Operation =
            self.admin.post(&self.path("swarm"), body).await.expect(202).json();
        self.succeeds(&operation).await;
        self.swarm_is("active", SwarmState::Active).await;
    }

    /// A host as it joins: engines cannot guess which of their addresses is meant.
    fn node(&self, n: usize) -> Value {
        let address = self.lan.hosts()[n].address().to_string();
        json!({ "host_id": self.hosts[n].id, "advertise_address": address })
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/environments/{}/{rest}", self.environment)
    }

    fn docker(&self, n: usize) -> Docker {
        self.lan.hosts()[n].docker()
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, rest: &str) -> T {
        self.admin.get(&self.path(rest)).await.expect(200).json()
    }

    async fn list<T: serde::de::DeserializeOwned>(&self, rest: &str) -> Vec<T> {
        let list: List<T> = self.get(rest).await;
        list.items
    }

    /// Waits until the swarm is in a state.
    async fn swarm_is(&self, what: &str, state: SwarmState) -> Swarm {
        self.swarm_when(&format!("the swarm is {what}"), |swarm| swarm.state == state).await
    }

    async fn swarm_when(&self, what: &str, wanted: impl Fn(&Swarm) -> bool) -> Swarm {
        let mut last = None;
        let found = tokio::time::timeout(LATER, async {
            loop {
                let swarm: Swarm = self.get("swarm").await;
                if wanted(&swarm) {
                    return swarm;
                }
                last = Some(swarm);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("not in time: {what}: {last:?}"))
    }

    /// The node that a host is.
    async fn node_of(&self, n: usize) -> SwarmNode {
        let id = self.hosts[n].id;
        eventually("the host's node is listed", SOON, async || {
            let nodes: Vec<SwarmNode> = self.list("swarm/nodes").await;
            nodes.into_iter().find(|node| node.host_id == Some(id))
        })
        .await
    }

    async fn ended(&self, operation: &Operation) -> Operation {
        let path = self.path(&format!("operations/{}", operation.id));
        let mut last = None;
        let found = tokio::time::timeout(LATER, async {
            loop {
                let now: Operation = self.admin.get(&path).await.expect(200).json();
                if now.state.is_final() {
                    return now;
                }
                last = Some(now);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("the operation does not end: {last:?}"))
    }

    async fn succeeds(&self, operation: &Operation) {
        let ended = self.ended(operation).await;
        assert_eq!(ended.state, OperationState::Succeeded, "{ended:?}");
    }

    /// Waits until an operation has failed: code and message.
    async fn fails(&self, operation: &Operation) -> (String, String) {
        let ended = self.ended(operation).await;
        assert_eq!(ended.state, OperationState::Failed, "{ended:?}");
        let error = ended.error.unwrap();
        (error.code, error.message)
    }

    /// Asks for a stack, and does not wait.
    async fn begin(&self, name: &str, compose: &str) -> StackOperation {
        let body = json!({ "name": name, "source": { "kind": "compose", "compose": compose } });
        self.admin.post(&self.path("stacks"), body).await.expect(202).json()
    }

    async fn install(&self, name: &str, compose: &str) -> Stack {
        let begun = self.begin(name, compose).await;
        self.succeeds(&begun.operation).await;
        begun.stack
    }

    /// Changes a stack's text, and does not wait.
    async fn change(&self, stack: &Stack, compose: &str) -> Operation {
        let path = self.path(&format!("stacks/{}", stack.id));
        let body = json!({ "compose": compose });
        let begun: StackOperation = self.admin.put(&path, body).await.expect(202).json();
        begun.operation
    }

    /// Does something with a stack, and waits until it is done.
    async fn act(&self, stack: &Stack, what: &str, body: Value) {
        let path = self.path(&format!("stacks/{}/{what}", stack.id));
        let begun: StackOperation = self.admin.post(&path, body).await.expect(202).json();
        self.succeeds(&begun.operation).await;
    }

    async fn remove(&self, stack: &Stack, query: &str) {
        let path = self.path(&format!("stacks/{}{query}", stack.id));
        let begun: StackOperation = self.admin.delete(&path).await.expect(202).json();
        self.succeeds(&begun.operation).await;
    }

    async fn stack(&self, stack: &Stack) -> StackDetail {
        self.get(&format!("stacks/{}", stack.id)).await
    }

    /// Waits until a service is as wanted.
    async fn service_when(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&SwarmService) -> bool,
    ) -> SwarmService {
        let mut last = None;
        let found = tokio::time::timeout(LATER, async {
            loop {
                let all: Vec<SwarmService> = self.list("swarm/services").await;
                last = all.into_iter().find(|service| service.name == name);
                if let Some(service) = last.take_if(|service| wanted(service)) {
                    return service;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("{name} is not {what} in time: {last:?}"))
    }

    /// The tasks of a service that run.
    async fn running(&self, service: &str) -> Vec<SwarmTask> {
        self.list(&format!("swarm/tasks?service={service}&state=running&limit=1000")).await
    }

    /// What `docker` prints on a manager.
    fn prints(&self, words: &[&str]) -> String {
        self.docker(0).run(words)
    }

    /// What a container's service answers on a port of a host.
    fn page(&self, n: usize, port: u16) -> Option<String> {
        use std::io::{Read, Write};
        let address = (self.lan.hosts()[n].address(), port);
        let mut stream = std::net::TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.split("\r\n\r\n").nth(1).map(|page| page.trim().to_owned())
    }
}
