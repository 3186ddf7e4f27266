//! Stacks on the engine *cattle*, against real Docker Engines.

mod accidents;
mod catalog;
mod hosts;
mod install;
mod limits;
mod upgrade;

use std::time::Duration;

use drover_api::{
    CreateStack, Host, HostState, List, Operation, OperationState, Stack, StackDetail,
    StackOperation, StackSource, StackState,
};
use drover_tests::{Builder, Client, Docker, TestServer, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(30);
const LATER: Duration = Duration::from_secs(90);

/// A server with an engine as its host *local*; what its stacks make ends with the test.
struct Fixture {
    server: TestServer,
    docker: Docker,
    admin: Client,
    environment: Uuid,
}

impl Fixture {
    /// On the tests' engine.
    async fn start() -> Self {
        Self::on(Docker::start().await, TestServer::builder()).await
    }

    async fn on(docker: Docker, builder: Builder) -> Self {
        let server = builder.set("DROVER_DOCKER_SOCKET", docker.socket()).start().await;
        let admin = server.admin().await;
        let environment = server.default_environment().await.id;
        let fixture = Self { server, docker, admin, environment };
        fixture.host("local").await;
        fixture
    }

    /// Waits until a host is active.
    async fn host(&self, name: &str) -> Host {
        let hosts = self.path("hosts");
        eventually(&format!("the host {name} is active"), SOON, async || {
            let list: List<Host> = self.admin.get(&hosts).await.expect(200).json();
            list.items.into_iter().find(|h| h.name == name && h.state == HostState::Active)
        })
        .await
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/environments/{}/{rest}", self.environment)
    }

    fn stack_path(&self, stack: &Stack, rest: &str) -> String {
        self.path(&format!("stacks/{}{rest}", stack.id))
    }

    /// The body that installs a Compose text.
    fn compose(name: &str, compose: &str) -> CreateStack {
        CreateStack {
            name: name.into(),
            description: String::new(),
            source: StackSource::Compose {
                compose: compose.into(),
                variables: [].into(),
                secret_variables: Vec::new(),
            },
        }
    }

    /// Asks for a stack, and does not wait.
    async fn begin(&self, name: &str, compose: &str) -> StackOperation {
        let body = Self::compose(name, compose);
        self.admin.post(&self.path("stacks"), body).await.expect(202).json()
    }

    /// Installs a stack, and waits until it is there.
    async fn install(&self, name: &str, compose: &str) -> Stack {
        let begun = self.begin(name, compose).await;
        self.succeeds(&begun.operation).await;
        begun.stack
    }

    /// Changes a stack's text, and does not wait.
    async fn change(&self, stack: &Stack, compose: &str) -> Operation {
        self.ask(stack, "PUT", "", json!({ "compose": compose })).await
    }

    /// Any change of a stack; the operation that it begins.
    async fn ask(&self, stack: &Stack, method: &str, rest: &str, body: Value) -> Operation {
        let method = method.parse().unwrap();
        let request = self.admin.request(method, &self.stack_path(stack, rest)).json(&body);
        let answer: StackOperation = self.admin.send(request).await.expect(202).json();
        answer.operation
    }

    async fn operation(&self, id: Uuid) -> Operation {
        self.admin.get(&self.path(&format!("operations/{id}"))).await.expect(200).json()
    }

    /// Waits for an operation's end.
    async fn ends(&self, operation: &Operation) -> Operation {
        eventually(&format!("{:?} ends", operation.kind), LATER, async || {
            let now = self.operation(operation.id).await;
            now.finished_at.is_some().then_some(now)
        })
        .await
    }

    async fn succeeds(&self, operation: &Operation) {
        let ended = self.ends(operation).await;
        assert_eq!(ended.state, OperationState::Succeeded, "{ended:?}");
    }

    /// Waits for an operation's failure; the code and the sentence.
    async fn fails(&self, operation: &Operation) -> (String, String) {
        let ended = self.ends(operation).await;
        assert_eq!(ended.state, OperationState::Failed, "{ended:?}");
        let error = ended.error.unwrap();
        (error.code, error.message)
    }

    async fn detail(&self, stack: &Stack) -> StackDetail {
        self.admin.get(&self.stack_path(stack, "")).await.expect(200).json()
    }

    /// Waits until a stack stands like this.
    async fn stands(&self, stack: &Stack, state: StackState) -> StackDetail {
        eventually(&format!("the stack is {state:?}"), LATER, async || {
            Some(self.detail(stack).await).filter(|detail| detail.stack.state == state)
        })
        .await
    }

    /// What Docker has of a stack: names and images of the containers that run, sorted.
    fn running(&self, stack: &str) -> Vec<(String, String)> {
        running(&self.docker, stack, self.environment)
    }

    /// The names of a stack's containers, running or not, sorted.
    fn names(&self, stack: &str) -> Vec<String> {
        let filters = filters(stack, self.environment);
        let mut arguments = vec!["ps", "--all", "--format", "{{.Names}}"];
        arguments.extend(filters.iter().map(String::as_str));
        let mut names: Vec<String> = self.docker.run(&arguments).lines().map(Into::into).collect();
        names.sort();
        names
    }

    fn label(&self) -> String {
        format!("io.drover.environment={}", self.environment)
    }

    /// Runs a command in a container.
    fn exec(&self, container: &str, command: &str) -> String {
        self.docker.run(&["exec", container, "sh", "-c", command])
    }
}

fn filters(stack: &str, environment: Uuid) -> [String; 2] {
    [
        format!("--filter=label=io.drover.stack_name={stack}"),
        format!("--filter=label=io.drover.environment={environment}"),
    ]
}

fn running(docker: &Docker, stack: &str, environment: Uuid) -> Vec<(String, String)> {
    let filters = filters(stack, environment);
    let mut arguments = vec!["ps", "--format", "{{.Names}} {{.Image}}"];
    arguments.extend(filters.iter().map(String::as_str));
    let mut found: Vec<(String, String)> = docker
        .run(&arguments)
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, image)| (name.to_owned(), image.to_owned()))
        .collect();
    found.sort();
    found
}

/// A name that no other test has.
fn unique(short: &str) -> String {
    let id = Uuid::new_v4().simple().to_string();
    format!("{short}-{}", &id[..8])
}

/// A port that nothing listens on.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // Else the server brings back what is removed.
        self.server.kill();
        self.docker.clean(&self.label());
    }
}
