//! A `drover serve` of the test's own.

use std::{
    ffi::OsString,
    fs::File,
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use drover_api::{
    CreateApiKey, CreateEnvironment, CreateUser, CreatedApiKey, Environment, List, Role, SetMember,
    SetupRequest, User,
};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::{Client, Database, Events, eventually};

/// The login of the administrator that [`TestServer::admin`] makes.
pub const ADMIN: &str = "ada";
/// The password of every account that the harness makes.
pub const PASSWORD: &str = "correct horse battery";

/// The program.
pub fn drover() -> PathBuf {
    std::env::var_os("DROVER_BIN").map(PathBuf::from).unwrap_or_else(|| {
        // target/debug/deps/it-… → target/debug/drover
        let test = std::env::current_exe().unwrap();
        test.ancestors().nth(2).unwrap().join("drover")
    })
}

/// The resident memory of a process, MiB.
pub fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

/// `drover` with nothing of this process' settings.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(drover());
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| name.starts_with("DROVER_"));
        if ours || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
}

/// How a `drover` that ends by itself has ended.
#[derive(Debug)]
pub struct Exit {
    /// Whether it says that all went well.
    pub success: bool,
    /// What it printed for programs.
    pub stdout: String,
    /// What it printed for people.
    pub stderr: String,
}

/// Runs `drover` to its end, with `input` as its standard input; kills it after half a minute.
pub async fn run(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Exit {
    let mut command = command(arguments);
    command.envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut command = tokio::process::Command::from(command);
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output())
        .await
        .unwrap_or_else(|_| panic!("drover {arguments:?} does not end"))
        .unwrap();
    Exit {
        success: output.status.success(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// How to start one.
pub struct Builder {
    environment: Vec<(String, OsString)>,
    database: Option<Database>,
    own_database: bool,
    public: bool,
    address: IpAddr,
}

impl Builder {
    /// One more setting.
    pub fn set(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// As one more replica of this server: on its database, with its key.
    pub fn replica_of(mut self, other: &TestServer) -> Self {
        for (name, value) in other.environment() {
            if ["DATABASE_URL", "DROVER_ENCRYPTION_KEY"].contains(&name) {
                self = self.set(name, value);
            }
        }
        self.own_database = true;
        self
    }

    /// In this database rather than in a new one.
    pub fn database(mut self, database: Database) -> Self {
        self.database = Some(database);
        self
    }

    /// With Drover's private PostgreSQL.
    pub fn private_database(mut self) -> Self {
        self.own_database = true;
        self
    }

    /// With [`TestServer::base`] as its public address: browsers that come back from a provider
    /// have their cookies there.
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// On this address of the machine's rather than on loopback: hosts of a [`crate::Lan`] reach
    /// it there.
    pub fn listen(mut self, address: impl Into<IpAddr>) -> Self {
        self.address = address.into();
        self
    }

    /// With the tests' Docker Engine as the first host.
    pub fn docker(self) -> Self {
        self.set("DROVER_DOCKER_SOCKET", crate::setting("DROVER_TEST_DOCKER"))
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> TestServer {
        let folder = TempDir::with_prefix("drover-test-").unwrap();
        let database = match (self.database, self.own_database) {
            (Some(database), _) => Some(database),
            (None, false) => Some(Database::create().await),
            (None, true) => None,
        };
        let path = folder.path();
        let mut environment: Vec<(String, OsString)> = vec![
            ("DROVER_DATA_DIR".into(), path.join("data").into()),
            ("DROVER_SETUP_LINK_FILE".into(), path.join("setup-link").into()),
            ("DROVER_DOCKER_SOCKET".into(), path.join("no-docker.sock").into()),
            ("DROVER_DATABASE_CONNECTIONS".into(), "8".into()),
        ];
        if let Some(database) = &database {
            let key = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
            environment.push(("DATABASE_URL".into(), database.url().into()));
            environment.push(("DROVER_ENCRYPTION_KEY".into(), STANDARD.encode(key).into()));
        }
        let address = SocketAddr::new(self.address, free_port());
        if self.public {
            environment.push(("DROVER_PUBLIC_URL".into(), format!("http://{address}").into()));
        }
        // The later of two settings of one name counts.
        environment.extend(self.environment);
        let mut server = TestServer {
            process: None,
            address,
            environment,
            database,
            folder,
            admin: OnceCell::new(),
        };
        server.restart().await;
        server
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A running server. Ends, with its database, when it is dropped; a panic in its log fails the
/// test.
pub struct TestServer {
    process: Option<Child>,
    address: SocketAddr,
    environment: Vec<(String, OsString)>,
    database: Option<Database>,
    folder: TempDir,
    admin: OnceCell<Client>,
}

impl TestServer {
    /// Says how to start one.
    pub fn builder() -> Builder {
        Builder {
            environment: Vec::new(),
            database: None,
            own_database: false,
            public: false,
            address: Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// One with a new database and no Docker.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Where it is.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its database.
    pub fn database(&self) -> &Database {
        self.database.as_ref().unwrap()
    }

    /// A folder of its own, ended with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The settings that it was started with.
    pub fn environment(&self) -> Vec<(&str, &str)> {
        self.environment
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str()?)))
            .collect()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// All that it has logged and printed, from the first start on.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = command(&["serve", "--listen", &self.address.to_string()]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(command.spawn().unwrap());
    }

    /// Ends it if it runs, starts it, and waits until it is ready.
    pub async fn restart(&mut self) {
        self.kill();
        self.spawn();
        let start = std::time::Instant::now();
        let client = crate::http_client().build().unwrap();
        let url = format!("{}/readyz", self.base());
        loop {
            if let Ok(answer) = client.get(&url).send().await
                && answer.status() == 200
            {
                return;
            }
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            let late = start.elapsed() > Duration::from_secs(30);
            assert!(ended.is_none() && !late, "drover does not get ready: {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// SIGTERM, and waits for the end. Whether it ended well.
    pub async fn stop(&mut self) -> bool {
        let mut process = self.process.take().unwrap();
        signal(process.id(), "TERM");
        eventually("drover stops", Duration::from_secs(30), async || {
            process.try_wait().unwrap().map(|status| status.success())
        })
        .await
    }

    /// The token of the set-up link.
    pub fn setup_token(&self) -> String {
        let link = std::fs::read_to_string(self.folder.path().join("setup-link")).unwrap();
        link.trim().split_once("#token=").unwrap().1.to_owned()
    }

    /// Nobody yet.
    pub fn client(&self) -> Client {
        Client::new(&self.base())
    }

    /// A new session of this account.
    pub async fn sign_in(&self, login: &str) -> Client {
        Client::sign_in(&self.base(), login, PASSWORD).await
    }

    /// The administrator; completes the set-up the first time.
    pub async fn admin(&self) -> Client {
        let set_up = async || {
            let client = self.client();
            let request = SetupRequest {
                token: self.setup_token(),
                login: ADMIN.into(),
                display_name: Some("Ada Admin".into()),
                password: PASSWORD.into(),
            };
            let answer = client.post("/v1/setup", request).await.expect(201);
            client.opened(&answer.json())
        };
        self.admin.get_or_init(set_up).await.clone()
    }

    /// Makes a user who may do nothing yet.
    pub async fn user(&self, login: &str) -> User {
        let new = CreateUser {
            login: login.into(),
            display_name: None,
            email: None,
            password: PASSWORD.into(),
            global_role: None,
        };
        self.admin().await.post("/v1/users", new).await.expect(201).json()
    }

    /// Makes a user with a role in an environment, and signs in.
    pub async fn member(&self, login: &str, environment: Uuid, role: Role) -> Client {
        let user = self.user(login).await;
        self.set_member(environment, &user, role).await;
        self.sign_in(login).await
    }

    /// Gives a user a role.
    pub async fn set_member(&self, environment: Uuid, user: &User, role: Role) {
        let path = format!("/v1/environments/{environment}/members");
        let member = SetMember { principal_id: user.principal_id.clone(), role };
        self.admin().await.put(&path, member).await.expect(204);
    }

    /// Makes an environment.
    pub async fn environment_named(&self, name: &str) -> Environment {
        let new = CreateEnvironment { name: name.into(), ..Default::default() };
        self.admin().await.post("/v1/environments", new).await.expect(201).json()
    }

    /// The environment that the first start makes.
    pub async fn default_environment(&self) -> Environment {
        let list: List<Environment> =
            self.admin().await.get("/v1/environments?q=Default").await.expect(200).json();
        list.items.into_iter().next().unwrap()
    }

    /// Makes an API key of `owner`.
    pub async fn key(
        &self,
        owner: &Client,
        environment_id: Option<Uuid>,
        role: Option<Role>,
    ) -> (CreatedApiKey, Client) {
        let new = CreateApiKey { name: "test".into(), environment_id, role, expires_at: None };
        let made: CreatedApiKey = owner.post("/v1/api-keys", new).await.expect(201).json();
        let client = Client::with_key(&self.base(), &made.token);
        (made, client)
    }

    /// Follows `/v1/events` as somebody, optionally after an event's id.
    pub async fn events(&self, client: &Client, after: Option<&str>) -> Events {
        Events::open(client, after).await
    }
}

/// Sends a signal to a process.
fn signal(pid: u32, name: &str) {
    Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(process) = &self.process
            && self.database.is_none()
        {
            // It has to stop its own PostgreSQL.
            signal(process.id(), "TERM");
            if let Some(mut process) = self.process.take() {
                let _ = process.wait();
            }
        }
        self.kill();
        let log = self.log();
        if std::thread::panicking() {
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            let mut out = std::io::stderr();
            for line in tail.into_iter().rev() {
                let _ = writeln!(out, "drover: {line}");
            }
        } else if let Some(line) = log.lines().find(|line| line.contains("panicked")) {
            panic!("the server panicked: {line}");
        }
    }
}
