//! What the agent keeps on disk: `agent.json`, who it is (only root may read it: it holds the
//! key), and `status.json`, how it stands.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

const IDENTITY: &str = "agent.json";
const KEY: &str = "key.json";
const STATUS: &str = "status.json";

/// Who an agent is.
#[derive(Clone, Serialize, Deserialize)]
pub struct Identity {
    /// The server that it has registered at.
    pub server: String,
    /// The host that it is.
    pub host_id: Uuid,
    /// The host's name, as it was then.
    pub name: String,
    /// The name of its environment, as it was then.
    pub environment: String,
    /// Its Ed25519 key, PKCS #8 in base64.
    key: String,
}

impl Identity {
    /// With this key.
    pub fn new(server: &str, registered: drover_api::RegisteredAgent, key: &NewKey) -> Self {
        Self {
            server: server.to_owned(),
            host_id: registered.host_id,
            name: registered.name,
            environment: registered.environment,
            key: key.key.clone(),
        }
    }

    /// What is kept in a folder, if there is something.
    ///
    /// # Errors
    /// When it cannot be read, or is not as expected.
    pub fn load(folder: &Path) -> io::Result<Option<Self>> {
        load(&folder.join(IDENTITY))
    }

    /// What a file says.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or is not as expected.
    pub fn read(file: &Path) -> io::Result<Self> {
        load(file)?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("there is no {}", file.display()))
        })
    }

    /// Of a cluster's agent.
    pub fn of_cluster(server: &str, id: Uuid, name: &str, key: &NewKey) -> Self {
        Self {
            server: server.to_owned(),
            host_id: id,
            name: name.to_owned(),
            environment: String::new(),
            key: key.key.clone(),
        }
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        write_whole(&folder.join(IDENTITY), &serde_json::to_vec_pretty(self)?)?;
        // It is in the identity now.
        fs::remove_file(folder.join(KEY)).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
    }

    /// Its key, ready to sign.
    ///
    /// # Errors
    /// When it is none.
    pub fn key(&self) -> io::Result<Ed25519KeyPair> {
        parse_key(&self.key)
    }
}

/// A key that has not registered yet. Kept before it is used, so that a registration whose answer
/// was lost can be asked for again.
#[derive(Serialize, Deserialize)]
pub struct NewKey {
    key: String,
}

impl NewKey {
    /// The one in a folder; made when there is none.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub fn ensure(folder: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if let Some(kept) = load(&folder.join(KEY))? {
            return Ok(kept);
        }
        let new = Self::generate()?;
        write_whole(&folder.join(KEY), &serde_json::to_vec(&new)?)?;
        Ok(new)
    }

    /// A new one, kept nowhere.
    ///
    /// # Errors
    /// When the machine gives no random numbers.
    pub fn generate() -> io::Result<Self> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| io::Error::other("the machine gives no random numbers"))?;
        Ok(Self { key: STANDARD.encode(pkcs8.as_ref()) })
    }

    /// Ready to sign.
    ///
    /// # Errors
    /// When it is none.
    pub fn key(&self) -> io::Result<Ed25519KeyPair> {
        parse_key(&self.key)
    }
}

fn parse_key(key: &str) -> io::Result<Ed25519KeyPair> {
    let bytes = STANDARD.decode(key).map_err(io::Error::other)?;
    Ed25519KeyPair::from_pkcs8(&bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the agent's key is damaged"))
}

/// How an agent stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The agent's process on this machine.
    pub pid: u32,
    /// When that was started: the clock ticks since boot, so that another process with the same
    /// number is not taken for it.
    pub started: Option<u64>,
    /// The agent's version.
    pub version: String,
    /// The server's address.
    pub server: String,
    /// The host that it is.
    pub host: String,
    /// Its environment.
    pub environment: String,
    /// The Docker Engine's socket; none of an agent in a cluster.
    pub docker_socket: Option<PathBuf>,
    /// How the connection stands.
    pub connection: Connection,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// How the connection to the server stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Connection {
    /// It is being made.
    Connecting,
    /// It is there.
    Connected,
    /// It is not, and is tried again.
    Away {
        /// Why, in words.
        why: String,
    },
    /// The server refuses this agent; it asks again every minute.
    Refused {
        /// Why, in words.
        why: String,
    },
    /// The agent was stopped.
    Stopped,
}

/// Writes down how an agent stands.
pub struct Stand {
    /// Where; nowhere for agents in tests.
    path: Option<PathBuf>,
    now: Mutex<Status>,
}

impl Stand {
    /// In the agent's folder.
    pub fn in_folder(folder: &Path, identity: &Identity, docker: Option<PathBuf>) -> Self {
        Self::new(Some(folder.join(STATUS)), identity, docker)
    }

    /// Nowhere.
    pub fn nowhere(identity: &Identity) -> Self {
        Self::new(None, identity, None)
    }

    fn new(path: Option<PathBuf>, identity: &Identity, docker_socket: Option<PathBuf>) -> Self {
        let pid = std::process::id();
        let now = Status {
            pid,
            started: started(pid),
            version: env!("CARGO_PKG_VERSION").into(),
            server: identity.server.clone(),
            host: identity.name.clone(),
            environment: identity.environment.clone(),
            docker_socket,
            connection: Connection::Connecting,
            since: OffsetDateTime::now_utc(),
        };
        Self { path, now: Mutex::new(now) }
    }

    /// It stands so now.
    pub fn set(&self, connection: Connection) {
        let status = {
            let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
            if now.connection == connection {
                return;
            }
            now.connection = connection;
            now.since = OffsetDateTime::now_utc();
            now.clone()
        };
        let Some(path) = &self.path else { return };
        let written = serde_json::to_vec_pretty(&status)
            .map_err(io::Error::from)
            .and_then(|text| write_whole(path, &text));
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "cannot write the status");
        }
    }

    /// The agent ends.
    pub fn ended(&self) {
        self.set(Connection::Stopped);
    }
}

impl Status {
    /// What an agent has written last.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(folder: &Path) -> io::Result<Option<Self>> {
        load(&folder.join(STATUS))
    }

    /// Whether the process that wrote it runs still.
    pub fn is_running(&self) -> bool {
        self.connection != Connection::Stopped
            && started(self.pid).is_some_and(|at| self.started.is_none_or(|then| then == at))
    }
}

/// When a process was started, in clock ticks since boot (proc(5), `stat`, field 22).
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold spaces.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn load<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::from).map_err(named),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(named(error)),
    }
}

/// All of it or nothing, readable for its owner only.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(fresh, path)
}
