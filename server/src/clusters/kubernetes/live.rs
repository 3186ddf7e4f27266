//! The clusters as they are, in memory. Each replica of the server is connected to every cluster.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Instant,
};

use drover_api::{ClusterSource, ClusterState};
use drover_kubernetes::client::Cluster;
use time::OffsetDateTime;
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    engine::Stacks,
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
    row: RwLock<Arc<ClusterRow>>,
    status: RwLock<Arc<Status>>,
    shares: RwLock<Arc<[Share]>>,
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
            cluster,
            row: RwLock::new(Arc::new(row)),
            status: RwLock::new(Arc::new(status)),
            shares: RwLock::new(Arc::new([])),
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
    pub fn status(&self) -> Arc<Status> {
        let status = self.status.read().unwrap_or_else(PoisonError::into_inner).clone();
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner).clone();
        match kept {
            Some(why) if status.state == ClusterState::Active => Arc::new(Status {
                state: ClusterState::Degraded,
                reason: Some(format!(
                    "Drover cannot keep the roles of its environments there: {why}"
                )),
                ..Status::clone(&status)
            }),
            _ => status,
        }
    }

    pub(super) fn set_kept(&self, problem: Option<String>) {
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// What environments have of it.
    pub fn shares(&self) -> Arc<[Share]> {
        self.shares.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True when that has changed.
    pub(super) fn set_shares(&self, shares: Vec<Share>) -> bool {
        let mut known = self.shares.write().unwrap_or_else(PoisonError::into_inner);
        let changed = **known != *shares;
        if changed {
            *known = shares.into();
        }
        changed
    }

    pub(super) fn set_status(&self, status: Status) {
        *self.status.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(status);
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
