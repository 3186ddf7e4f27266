//! `drover agent` processes of a test.

use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use drover_api::{CreateRegistrationToken, CreatedRegistrationToken, Host, HostState, List};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{Client, TestServer, eventually, server::drover};

/// How long an agent may take to be a host that can be used.
const CONNECTED: Duration = Duration::from_secs(20);

/// A registration token of an environment, for any number of hosts.
pub async fn registration_token(client: &Client, environment: Uuid) -> String {
    let new = CreateRegistrationToken {
        name: "test".into(),
        expires_in_hours: 1,
        most_hosts: None,
        labels: Default::default(),
    };
    let path = format!("/v1/environments/{environment}/registration-tokens");
    let made: CreatedRegistrationToken = client.post(&path, new).await.expect(201).json();
    made.secret
}

/// The host of this name, when it can be used.
pub async fn active_host(client: &Client, environment: Uuid, name: &str) -> Host {
    host_when(client, environment, name, |host| host.state == HostState::Active).await
}

/// The host of this name, when it is as wanted.
pub async fn host_when(
    client: &Client,
    environment: Uuid,
    name: &str,
    wanted: impl Fn(&Host) -> bool,
) -> Host {
    let path = format!("/v1/environments/{environment}/hosts?limit=1000");
    let mut last = None;
    let found = eventually_or(CONNECTED, async || {
        let list: List<Host> = client.get(&path).await.expect(200).json();
        last = list.items.into_iter().find(|host| host.name == name);
        last.clone().filter(|host| wanted(host))
    })
    .await;
    found.unwrap_or_else(|| panic!("the host {name} is not as wanted: {last:#?}"))
}

async fn eventually_or<T>(
    limit: Duration,
    mut attempt: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let start = std::time::Instant::now();
    while start.elapsed() < limit {
        if let Some(value) = attempt().await {
            return Some(value);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    None
}

/// An agent on this machine, with a folder of its own. Ends when it is dropped.
pub struct Agent {
    folder: TempDir,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    process: Option<Child>,
}

impl Agent {
    /// One that would register at a server under this name, for the engine on this socket. Not
    /// started yet.
    pub fn new(server: &str, token: &str, name: &str, socket: &str) -> Self {
        let folder = TempDir::with_prefix("drover-agent-").unwrap();
        let arguments = ["--server", server, "--token", token, "--name", name]
            .iter()
            .chain(&["--docker-socket", socket])
            .map(|&word| word.to_owned())
            .collect();
        Self { folder, program: drover(), arguments, environment: Vec::new(), process: None }
    }

    /// Registers at a server, and starts.
    pub fn start(server: &TestServer, token: &str, name: &str, socket: &str) -> Self {
        let mut agent = Self::new(&server.base(), token, name, socket);
        agent.run();
        agent
    }

    /// One more argument.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&word| word.to_owned()));
        self
    }

    /// One more setting.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// From a copy of the program, which it may replace.
    pub fn from_copy(mut self) -> Self {
        let copy = self.folder.path().join("drover");
        std::fs::copy(&self.program, &copy).unwrap();
        self.program = copy;
        self
    }

    /// Where it keeps who it is.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Starts it (again).
    pub fn run(&mut self) {
        self.kill();
        let log = self.folder.path().join("log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let process = self.command(&["agent"]).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.process = Some(process.unwrap());
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// What `drover agent status` prints, and whether it says that all is well.
    pub fn status(&self) -> (String, bool) {
        let output = Command::new(&self.program)
            .args(["agent", "status", "--state-dir"])
            .arg(self.state())
            .output()
            .unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.success())
    }

    /// Waits until its status has these words.
    pub async fn says(&self, words: &str) -> String {
        eventually(&format!("the agent says `{words}`"), CONNECTED, async || {
            Some(self.status().0).filter(|said| said.contains(words))
        })
        .await
    }

    /// A second machine with all that this one has on its disk. Not started yet.
    pub fn cloned(&self) -> Self {
        let folder = TempDir::with_prefix("drover-agent-").unwrap();
        let copied = Command::new("cp").arg("-r").arg(self.state()).arg(folder.path()).status();
        assert!(copied.unwrap().success());
        Self {
            folder,
            program: self.program.clone(),
            arguments: self.arguments.clone(),
            environment: self.environment.clone(),
            process: None,
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).args(&self.arguments);
        command.arg("--state-dir").arg(self.state()).stdin(Stdio::null());
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the agent's log:\n{}", self.log());
        }
    }
}
