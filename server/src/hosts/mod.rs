//! Hosts: the Docker Engines that Drover reaches, and what is on them.
//!
//! | part | what |
//! | --- | --- |
//! | [`driver`] | speaks to one engine |
//! | [`connection`] | one task per host: connects, watches, reconnects, says how it stands |
//! | `drain` | shows how a host gets empty |
//! | [`index`] | every container of every host, in memory; all lists come from it |
//! | [`labels`] | what Drover marks its own with |
//! | [`usage`] | CPU, memory and disk in use, with a short history |
//! | [`resources`] | images, volumes and networks |
//! | [`detail`] | a container's details; whether it could take over its host |
//! | [`logs`], [`exec`], [`stats`] | what a container's page streams |
//! | `store` | the table `hosts` |
//!
//! What a person wants of a host is its row; how it stands is a [`LiveHost`], which its connection
//! alone changes. Each replica of the server keeps its own connections and its own index.

pub mod connection;
pub mod detail;
mod drain;
pub mod driver;
pub mod exec;
pub mod index;
pub mod labels;
pub mod logs;
mod model;
mod probe;
pub mod resources;
mod routes;
pub(crate) mod socket;
pub mod stats;
mod store;
pub mod usage;

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use drover_api::{Container, Endpoint, Host, HostAgent, HostEvent, HostMode, HostState};
use time::OffsetDateTime;
use tokio::sync::{Notify, broadcast};
use uuid::Uuid;

pub use connection::spawn;
pub use model::HostRow;
pub(crate) use model::check_labels;
pub(crate) use routes::{belongs_to_others, check_takeover};
pub use routes::{router, streams};
pub(crate) use store::{get as get_row, insert as insert_row};

use crate::{
    agents::{self, AgentRow},
    app::App,
    error::{Error, Result},
};
use driver::{Docker, DockerError, ErrorKind, RegistryAuth};
use index::{Entry, Index, IndexChange};

/// How many of a host's recent events are kept.
const KEPT_EVENTS: usize = 300;

/// All hosts as this process sees them. Lives in [`crate::app::AppState`].
pub struct Hosts {
    live: RwLock<HashMap<Uuid, Arc<LiveHost>>>,
    index: Index,
    changes: broadcast::Sender<ContainerChange>,
    rows_changed: Notify,
}

/// A container has changed; what reconcilers wake up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerChange {
    /// Where.
    pub environment_id: Uuid,
    /// On which host.
    pub host_id: Uuid,
    /// Of which stack; `None` for containers that Drover did not make.
    pub stack_id: Option<Uuid>,
}

impl Default for Hosts {
    fn default() -> Self {
        Self::new()
    }
}

impl Hosts {
    /// No hosts yet; [`connection::spawn`] brings them.
    pub fn new() -> Self {
        Self {
            live: RwLock::default(),
            index: Index::new(),
            changes: broadcast::Sender::new(1024),
            rows_changed: Notify::new(),
        }
    }

    /// Every container of every host.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// A host as it stands.
    pub fn live(&self, environment_id: Uuid, host_id: Uuid) -> Option<Arc<LiveHost>> {
        let live = read(&self.live).get(&host_id).cloned();
        live.filter(|host| host.environment_id == environment_id)
    }

    /// The environment of a host.
    pub fn environment_of(&self, host_id: Uuid) -> Option<Uuid> {
        read(&self.live).get(&host_id).map(|host| host.environment_id)
    }

    /// All hosts of an environment, the oldest first.
    pub fn in_environment(&self, environment_id: Uuid) -> Vec<Arc<LiveHost>> {
        let live = read(&self.live);
        let mut found: Vec<_> =
            live.values().filter(|host| host.environment_id == environment_id).cloned().collect();
        found.sort_by_key(|host| host.id);
        found
    }

    /// All hosts of all environments.
    pub fn all(&self) -> Vec<Arc<LiveHost>> {
        read(&self.live).values().cloned().collect()
    }

    /// A host's engine, ready to be called.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a host that is not there, [`ErrorKind::HostUnreachable`] with
    /// the reason in words for one that is not connected.
    pub fn docker(&self, environment_id: Uuid, host_id: Uuid) -> driver::Result<Docker> {
        self.live(environment_id, host_id)
            .ok_or_else(|| DockerError::new(ErrorKind::NotFound, "There is no such host."))?
            .docker()
    }

    /// A host as the API tells it: its row, with how it stands.
    pub fn to_api(&self, row: HostRow) -> Host {
        let live = self.live(row.environment_id, row.id);
        let standing = live.as_ref().map(|live| read(&live.standing).clone());
        let standing = standing.unwrap_or_else(|| Standing::first(&row));
        let reason = match &row.agent {
            Some(agent) if agent.too_old => Some(format!(
                "Its agent ({}) is too old for this server ({}). Run the install command of *Add host* on it again.",
                agent.version,
                agents::version::VERSION
            )),
            _ => standing.reason,
        };
        Host {
            id: row.id,
            environment_id: row.environment_id,
            mode: row.mode,
            state: standing.state,
            reason,
            last_contact_at: standing.last_contact_at.map(Into::into),
            facts: row.facts,
            usage: live.and_then(|live| live.usage.newest()).filter(|_| standing.docker.is_some()),
            agent: row.agent.map(|agent| agent_to_api(agent, standing.last_contact_at)),
            containers: self.index.counts(row.environment_id, row.id),
            name: row.name,
            labels: row.labels,
            endpoint: row.endpoint,
            created_at: row.created_at.into(),
            version: row.version,
        }
    }

    /// Follows changes of containers. A receiver that lags behind has missed some: look at all.
    pub fn changes(&self) -> broadcast::Receiver<ContainerChange> {
        self.changes.subscribe()
    }

    /// Has a host that is not connected be tried again now; every one, when none is named.
    pub fn try_again(&self, host: Option<Uuid>) {
        let live = read(&self.live);
        match host {
            Some(host) => live.get(&host).into_iter().for_each(|host| host.again.notify_one()),
            None => live.values().for_each(|host| host.again.notify_one()),
        }
    }

    /// The table `hosts` was changed here: read it again now.
    pub fn rows_changed(&self) {
        self.rows_changed.notify_one();
    }
}

/// A host as this process sees it.
pub struct LiveHost {
    /// The host's id.
    pub id: Uuid,
    /// The environment that it belongs to.
    pub environment_id: Uuid,
    row: RwLock<Arc<HostRow>>,
    standing: RwLock<Standing>,
    events: Mutex<VecDeque<HostEvent>>,
    /// Its connection need not wait for the next try.
    again: Notify,
    /// What is in use on it.
    pub usage: usage::History,
    /// Its images, volumes and networks, as last read.
    pub resources: resources::Cache,
    /// The measurements that viewers share.
    pub stats: stats::Hub,
}

/// How a host stands.
#[derive(Clone)]
struct Standing {
    state: HostState,
    reason: Option<String>,
    last_contact_at: Option<OffsetDateTime>,
    docker: Option<Docker>,
}

impl Standing {
    fn first(row: &HostRow) -> Self {
        let inactive = row.mode == HostMode::Inactive;
        Self {
            state: if inactive { HostState::Inactive } else { HostState::Connecting },
            reason: None,
            last_contact_at: row.last_contact_at,
            docker: None,
        }
    }
}

impl LiveHost {
    fn new(row: HostRow) -> Self {
        Self {
            id: row.id,
            environment_id: row.environment_id,
            standing: RwLock::new(Standing::first(&row)),
            row: RwLock::new(Arc::new(row)),
            events: Mutex::default(),
            again: Notify::new(),
            usage: usage::History::default(),
            resources: resources::Cache::default(),
            stats: stats::Hub::default(),
        }
    }

    /// What a person wants of it.
    pub fn row(&self) -> Arc<HostRow> {
        read(&self.row).clone()
    }

    /// Where it stands.
    pub fn state(&self) -> HostState {
        read(&self.standing).state
    }

    /// When it was last heard of, by this server or, before it was started, by another.
    pub fn last_contact_at(&self) -> Option<OffsetDateTime> {
        read(&self.standing).last_contact_at
    }

    /// Its engine, ready to be called.
    ///
    /// # Errors
    /// [`ErrorKind::HostUnreachable`] with the reason in words.
    pub fn docker(&self) -> driver::Result<Docker> {
        let standing = read(&self.standing);
        if let Some(docker) = &standing.docker {
            return Ok(docker.clone());
        }
        let name = &self.row().name;
        let why = match (&standing.reason, standing.state) {
            (Some(reason), _) => format!("The host {name} is not connected. {reason}"),
            (None, HostState::Inactive) => {
                format!("The host {name} is switched off. Activate it first.")
            }
            _ => format!("The host {name} is being connected. Try again in a moment."),
        };
        Err(DockerError::new(ErrorKind::HostUnreachable, why))
    }

    /// Its recent events, newest first; of one container when `container` is its id.
    pub fn recent_events(&self, container: Option<&str>, limit: usize) -> Vec<HostEvent> {
        let events = lock(&self.events);
        let wanted = |event: &&HostEvent| {
            container.is_none_or(|id| {
                event.kind == "container" && event.id == id
                    || event.container_id.as_deref() == Some(id)
            })
        };
        events.iter().rev().filter(wanted).take(limit).cloned().collect()
    }

    fn keep_event(&self, event: HostEvent) {
        let mut events = lock(&self.events);
        if events.len() == KEPT_EVENTS {
            events.pop_front();
        }
        events.push_back(event);
    }
}

/// At the first start: makes the Docker of this machine the host *local* of an environment, where
/// its socket is there.
///
/// # Errors
/// Only the database's.
pub async fn ensure_local_host(app: &App, environment_id: Uuid, socket: &Path) -> Result<bool> {
    if !tokio::fs::try_exists(socket).await.unwrap_or_default() {
        return Ok(false);
    }
    let endpoint = Endpoint::Socket { path: socket.to_string_lossy().into_owned() };
    let made =
        store::insert(&app.db, environment_id, "local", &Default::default(), &endpoint, None)
            .await
            .map(|_| true);
    match made {
        Err(error) if crate::error::is_unique_violation(&error) => Ok(false),
        made => {
            app.hosts.rows_changed();
            Ok(made?)
        }
    }
}

/// The credentials stored for the registry of an image, if there are any.
///
/// # Errors
/// The database's; or when the stored password cannot be decrypted.
pub async fn registry_auth(
    app: &App,
    environment_id: Uuid,
    image: &str,
) -> Result<Option<RegistryAuth>> {
    let address = driver::registry_of(image);
    let Some((username, sealed)) = store::registry(&app.db, environment_id, address).await? else {
        return Ok(None);
    };
    let password = app.cipher.open(&sealed).map_err(Error::internal)?;
    let password = String::from_utf8(password).map_err(Error::internal)?;
    Ok(Some(RegistryAuth { address: address.to_owned(), username, password: password.into() }))
}

fn agent_to_api(row: AgentRow, last_contact_at: Option<OffsetDateTime>) -> HostAgent {
    HostAgent {
        fit: agents::version::fit(&row.version, row.too_old),
        version: row.version,
        connected: row.open_since.is_some(),
        since: row.open_since.or(last_contact_at).map(Into::into),
        address: row.address,
        upgrade: row.upgrade,
        clone: row.clone,
    }
}

/// A container as events carry it.
fn container_object(entry: &Entry) -> Option<serde_json::Value> {
    let container: Container = entry.to_api();
    serde_json::to_value(container).ok()
}

fn stack_of(change: &IndexChange) -> Option<Uuid> {
    change.entry().owner.as_deref().map(|owner| owner.stack_id)
}

impl From<DockerError> for Error {
    fn from(error: DockerError) -> Self {
        use axum::http::StatusCode;
        let status = match error.kind() {
            ErrorKind::NotFound | ErrorKind::ImageNotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict
            | ErrorKind::PortTaken
            | ErrorKind::NotInSwarm
            | ErrorKind::InSwarm => StatusCode::CONFLICT,
            ErrorKind::Refused | ErrorKind::CommandNotFound => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::HostUnreachable
            | ErrorKind::NotManager
            | ErrorKind::SwarmLocked
            | ErrorKind::NoQuorum => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::TlsFailed
            | ErrorKind::RegistryDenied
            | ErrorKind::RegistryUnreachable
            | ErrorKind::EngineError => StatusCode::BAD_GATEWAY,
        };
        Self::new(status, error.code(), error.message())
    }
}

// A panic while a lock was held leaves the values whole: each is replaced in one step.

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
