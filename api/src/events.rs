//! What `GET /v1/events` sends.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What kind of thing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// A container: `id` is the engine's id, `host_id` is set.
    Container,
    /// A host: `id` is its id. Sent too when its use was measured anew.
    Host,
    /// Images, volumes or networks of the host `id`.
    HostResources,
    /// A stack or one of its services: `id` is the stack's.
    Stack,
    /// An operation.
    Operation,
    /// An environment, its members or the caller's role in it.
    Environment,
    /// A user.
    User,
    /// A catalog.
    Catalog,
    /// Secrets, certificates or registries.
    Secret,
    /// An identity provider.
    Provider,
    /// A setting.
    Setting,
    /// A swarm or one of its nodes: `id` is the environment's.
    Swarm,
    /// A service of a swarm, or its tasks: `id` is the engine's; empty for many at once.
    SwarmService,
    /// Secrets, configs or networks of a swarm.
    SwarmResources,
    /// A Kubernetes cluster, or what an environment has of it: `id` is the cluster's.
    KubernetesCluster,
    /// Objects in an environment's cluster: `id` is their type, e.g. `pods`. Told at most a few
    /// times a second for each type. Where they are few, `object` names them:
    /// `{"names": ["shop/web-0"]}`, with `-` where there is no namespace.
    KubernetesResources,
}

/// Something has changed. Tells what to fetch again; carries the new state of an operation or
/// container, so that lists need not ask.
///
/// As a server-sent event: `id` is a number to resume after by `Last-Event-ID`, `event` is
/// `change`, `data` is this. An `event: reset` means that the server cannot resume from there:
/// fetch everything shown again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// What kind of thing.
    pub topic: Topic,
    /// The environment that it is in; absent for global things.
    pub environment_id: Option<Uuid>,
    /// Which one.
    pub id: String,
    /// The host, for containers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host_id: Option<Uuid>,
    /// What happened.
    pub change: Change,
    /// The new state where it is small: a [`Container`](crate::Container), an
    /// [`Operation`](crate::Operation) or a [`HostUsage`](crate::HostUsage).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub object: Option<serde_json::Value>,
}

/// What happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is there, new or changed.
    Updated,
    /// It is gone.
    Removed,
}
