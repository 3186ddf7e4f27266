//! The clusters as they are, in memory. Each replica of the server is connected to every cluster.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Instant,
};

use drover_api::{ClusterSource, ClusterState};
use drover_kubernetes::{
    client::Cluster,
    discovery::Discovery,
    health::Deprecated,
    index::{Index, Options},
};
use time::OffsetDateTime;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use uuid::Uuid;

use super::{
    engine::Stacks,
    metrics::Metrics,
    schemas::Schemas,
    seen::Seen,
    store::{ClusterRow, Share},
};
use crate::error::{Error, Result};

/// All clusters that this replica knows.
#[derive(Default)]
pub struct Kubernetes {
    clusters: RwLock<HashMap<Uuid, Arc<Live>>>,
    /// The list of clusters has changed, or what environments have of them.
    pub(super) changed: Notify,
    /// The engine of stacks.
    pub(super) stacks: Stacks,
}

/// How a cluster stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    pub state: ClusterState,
    /// What is wrong, and what to do.
    pub reason: Option<String>,
    pub last_contact: Option<OffsetDateTime>,
    pub seen: Seen,
}

/// A cluster. Its connection alone changes its status.
pub struct Live {
    /// Its id.
    pub id: Uuid,
    /// Its API.
    pub cluster: Cluster,
    /// All that is in it, as far as somebody looks.
    pub index: Index,
    /// What its nodes and pods use, as measured.
    pub metrics: Metrics,
    /// The schemas of its types.
    pub schemas: Schemas,
    /// Its APIs in use that go away, and when they were asked for: the answer has some MiB.
    pub(super) deprecated: AsyncMutex<Option<(Instant, Vec<Deprecated>)>>,
    row: RwLock<Arc<ClusterRow>>,
    status: RwLock<Arc<Status>>,
    shares: watch::Sender<Arc<[Share]>>,
    /// Why the roles in it are not as they should be.
    kept: RwLock<Option<String>>,
    /// When its agent last told as whom it speaks to it.
    pub(super) account_at: Mutex<Option<Instant>>,
    /// It may be there again, or otherwise: ask now.
    pub(super) ask: Notify,
    /// What Drover keeps in it may have to change.
    pub(super) keep: Notify,
}

impl Live {
    pub(super) fn new(row: ClusterRow, cluster: Cluster) -> Self {
        let status = Status {
            state: match row.source {
                ClusterSource::Agent if row.last_contact.is_none() => ClusterState::Waiting,
                _ => ClusterState::Connecting,
            },
            reason: None,
            last_contact: row.last_contact,
            seen: row.seen.clone().unwrap_or_default(),
        };
        Self {
            id: row.id,
            index: Index::start(cluster.clone(), Options::default()),
            metrics: Metrics::default(),
            schemas: Schemas::default(),
            deprecated: AsyncMutex::default(),
            cluster,
            row: RwLock::new(Arc::new(row)),
            status: RwLock::new(Arc::new(status)),
            shares: watch::Sender::new(Arc::new([])),
            kept: RwLock::new(None),
            account_at: Mutex::new(None),
            ask: Notify::new(),
            keep: Notify::new(),
        }
    }

    /// Its row.
    pub(super) fn row(&self) -> Arc<ClusterRow> {
        self.row.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_row(&self, row: ClusterRow) {
        *self.row.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(row);
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        let known = self.heard();
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut status = Status::clone(&known);
        // Whatever it was that was answered last.
        status.last_contact = self.cluster.last_contact().or(status.last_contact);
        if let (Some(why), ClusterState::Active) = (kept, status.state) {
            status.state = ClusterState::Degraded;
            status.reason =
                Some(format!("Drover cannot keep the roles of its environments there: {why}"));
        }
        status
    }

    /// What it last said of itself.
    pub(super) fn heard(&self) -> Arc<Status> {
        self.status.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_kept(&self, problem: Option<String>) {
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Its name here.
    pub fn name(&self) -> String {
        self.row().name.clone()
    }

    /// What environments have of it.
    pub fn shares(&self) -> Arc<[Share]> {
        self.shares.borrow().clone()
    }

    /// The same, with the word that it changed.
    pub fn watch_shares(&self) -> watch::Receiver<Arc<[Share]>> {
        self.shares.subscribe()
    }

    /// True when that has changed.
    pub(super) fn set_shares(&self, shares: Vec<Share>) -> bool {
        self.shares.send_if_modified(|known| {
            let changed = **known != *shares;
            if changed {
                *known = shares.into();
            }
            changed
        })
    }

    pub(super) fn set_status(&self, status: Status) {
        *self.status.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(status);
    }

    /// The types that it has, as last told.
    ///
    /// # Errors
    /// 503 before it has told them once.
    pub fn discovery(&self) -> Result<Arc<Discovery>> {
        if let Some(known) = self.index.discovery() {
            return Ok(known);
        }
        self.connected()?;
        let why = "The cluster has not told its resource types yet. Try again in a moment.";
        Err(Error::unavailable("cluster_unreachable", why))
    }

    /// Its API, unless it is known not to answer.
    ///
    /// # Errors
    /// 503 with the reason.
    pub fn connected(&self) -> Result<&Cluster> {
        let status = self.status();
        match status.state {
            ClusterState::Active | ClusterState::Degraded | ClusterState::Connecting => {
                Ok(&self.cluster)
            }
            ClusterState::Waiting | ClusterState::Away | ClusterState::Unauthorized => {
                let why = status.reason.clone();
                let why = why.unwrap_or_else(|| "The cluster does not answer.".to_owned());
                Err(Error::unavailable("cluster_unreachable", why))
            }
        }
    }
}

impl Kubernetes {
    /// A cluster that this replica knows.
    pub fn live(&self, id: Uuid) -> Option<Arc<Live>> {
        self.clusters.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The cluster that an environment stands on, and what the environment has of it.
    pub fn of_environment(&self, environment: Uuid) -> Option<(Arc<Live>, Share)> {
        let clusters = self.clusters.read().unwrap_or_else(PoisonError::into_inner);
        clusters.values().find_map(|live| {
            let shares = live.shares();
            let share = shares.iter().find(|share| share.environment_id == environment)?;
            Some((live.clone(), share.clone()))
        })
    }

    /// A cluster's agent has connected.
    pub fn try_again(&self, id: Uuid) {
        if let Some(live) = self.live(id) {
            live.ask.notify_one();
        }
    }

    /// Agents may have connected.
    pub fn try_all_again(&self) {
        let all = self.clusters.read().unwrap_or_else(PoisonError::into_inner);
        all.values().for_each(|live| live.ask.notify_one());
    }

    pub(super) fn put(&self, live: Arc<Live>) {
        self.clusters.write().unwrap_or_else(PoisonError::into_inner).insert(live.id, live);
    }

    pub(super) fn remove(&self, id: Uuid) {
        self.clusters.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}
