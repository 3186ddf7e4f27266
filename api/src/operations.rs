//! Operations: long work, as rows that outlive the server.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// A stack's first deployment.
    Install,
    /// A stack's change to a new revision.
    Upgrade,
    /// A stack's return to an earlier revision.
    Rollback,
    /// A change of a service's scale.
    Scale,
    /// All containers of a service or stack made anew.
    Restart,
    /// A stack stopped, its volumes kept.
    Stop,
    /// A stopped stack started.
    Start,
    /// A stack removed.
    Remove,
    /// A host's containers moved elsewhere.
    Drain,
    /// An image pulled onto hosts.
    Pull,
    /// An environment and all in it removed.
    RemoveEnvironment,
    /// A swarm made of hosts.
    CreateSwarm,
    /// Hosts added to a swarm.
    JoinSwarm,
    /// A node taken out of a swarm.
    LeaveSwarm,
    /// A swarm dissolved: all hosts leave it.
    RemoveSwarm,
    /// A new swarm made of one manager of a swarm that had lost its quorum.
    ForceNewCluster,
}

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Waits to be taken up.
    Queued,
    /// Is worked on.
    Running,
    /// Has ended well.
    Succeeded,
    /// Has ended badly; the error says why.
    Failed,
    /// Was stopped by a person, or replaced by a newer one.
    Cancelled,
}

impl OperationState {
    /// True when nothing more happens to it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// Long work: who, what, how far, how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Operation {
    /// The operation's id.
    pub id: Uuid,
    /// Where it happens.
    pub environment_id: Uuid,
    /// What kind of work.
    pub kind: OperationKind,
    /// `stack`, `host`, `environment` or `swarm` (the id is the environment's).
    pub target_kind: String,
    /// The id of what it is done to.
    pub target_id: Uuid,
    /// Its name, as it was then.
    pub target_name: String,
    /// Where it stands.
    pub state: OperationState,
    /// How far it is, from 0 to 1.
    pub progress: f64,
    /// What is being done now, in words.
    pub message: String,
    /// Why it failed.
    pub error: Option<OperationError>,
    /// The login of who asked for it; absent for Drover itself.
    pub created_by: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When work on it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationError {
    /// Stable, for programs: e.g. `image_not_found`, `port_taken`, `host_unreachable`,
    /// `disk_full`, `unhealthy`.
    pub code: String,
    /// A sentence that says what happened and what to do.
    pub message: String,
    /// The service that it happened to.
    pub service: Option<String>,
    /// The host that it happened on.
    pub host: Option<String>,
}

/// A line of an operation's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationLogLine {
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub message: String,
}
