//! Environments and their members.

use crate::{ClusterShare, Permission, Principal, Role, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Whether an environment is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentState {
    /// Desired state is kept up.
    Active,
    /// Nothing is changed in it, by people or by Drover; what runs goes on.
    Inactive,
    /// Its stacks are being removed; it goes when they are gone.
    Removing,
}

/// Which control plane schedules an environment's containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClusterKind {
    /// Drover's own engine, over the environment's hosts.
    #[default]
    Cattle,
    /// Docker Swarm, over the environment's hosts.
    Swarm,
    /// A Kubernetes cluster, or some of its namespaces.
    Kubernetes,
}

impl ClusterKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cattle, Self::Swarm, Self::Kubernetes];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cattle => "cattle",
            Self::Swarm => "swarm",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// The inverse of [`ClusterKind::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// How Drover's own engine chooses among the hosts that a container may go to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SchedulingStrategy {
    /// The emptiest one: what fails takes as little as possible along.
    #[default]
    Spread,
    /// The fullest one that still has room: other hosts stay free, and can be switched off.
    Pack,
}

/// Whether containers on different hosts of an environment reach each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CrossHostNetwork {
    /// No: the services of a stack that talk to each other stay on one host.
    Off,
    /// Yes, as soon as the environment has two hosts that can be joined.
    #[default]
    On,
    /// Yes, and what goes between hosts is encrypted (IPsec, by Docker).
    Encrypted,
}

/// Where the containers of an environment go, and how they reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Scheduling {
    /// Which of the hosts that fit is taken.
    pub strategy: SchedulingStrategy,
    /// How long a host may be away until its containers without local volumes are placed
    /// elsewhere, seconds: 30 to 86,400.
    pub host_gone_after_seconds: u32,
    /// Whether containers on different hosts reach each other.
    pub cross_host_network: CrossHostNetwork,
}

impl Default for Scheduling {
    fn default() -> Self {
        Self {
            strategy: SchedulingStrategy::default(),
            host_gone_after_seconds: 300,
            cross_host_network: CrossHostNetwork::default(),
        }
    }
}

/// A change of [`Scheduling`]: what is absent stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateScheduling {
    /// Which of the hosts that fit is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<SchedulingStrategy>,
    /// 30 to 86,400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_gone_after_seconds: Option<u32>,
    /// Whether containers on different hosts reach each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_host_network: Option<CrossHostNetwork>,
}

/// How the network across the hosts of an environment stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CrossHostNetworkStatus {
    /// Where it stands.
    pub state: CrossHostNetworkState,
    /// Why, in words, when not `ready`.
    pub reason: Option<String>,
    /// Each host of the environment that is connected or was joined before.
    pub hosts: Vec<HostNetworkStatus>,
}

/// Where the network across hosts stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CrossHostNetworkState {
    /// Switched off.
    Off,
    /// Not needed yet: there are no two connected hosts.
    OneHost,
    /// It is being set up or mended.
    Joining,
    /// All connected hosts are in it.
    Ready,
    /// Some hosts are in it, others cannot be joined: stacks spread over those that are.
    Partial,
    /// It cannot be set up: the services of a stack stay on one host.
    Unavailable,
}

/// How a host stands in the network across hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostNetworkStatus {
    /// The host's id.
    pub host_id: Uuid,
    /// The host's name.
    pub name: String,
    /// True when its containers reach those of the other hosts that are joined.
    pub joined: bool,
    /// The address that the other hosts reach it by.
    pub address: Option<String>,
    /// Its id as a node of the swarm that carries the network.
    #[serde(default)]
    pub node_id: Option<String>,
    /// Why it is not joined, in words.
    pub reason: Option<String>,
}

/// The unit that people get roles in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Environment {
    /// The environment's id.
    pub id: Uuid,
    /// Unique, 1 to 64 characters.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether it is worked on.
    pub state: EnvironmentState,
    /// Which control plane schedules its containers.
    pub cluster_kind: ClusterKind,
    /// Where its containers go, and how they reach each other across hosts.
    #[serde(default)]
    pub scheduling: Scheduling,
    /// How the network across its hosts stands; absent until the engine has looked at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_host_network: Option<CrossHostNetworkStatus>,
    /// The caller's role in it: the strongest of all that reach the caller.
    pub role: Role,
    /// What the caller may do in it.
    pub permissions: Vec<Permission>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Grows with each change; the `ETag`.
    pub version: i64,
}

/// `POST /v1/environments`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateEnvironment {
    /// Unique, 1 to 64 characters.
    pub name: String,
    /// What it is for; at most 1,000 characters.
    #[serde(default)]
    pub description: String,
    /// Which control plane schedules its containers; it stays so.
    #[serde(default)]
    pub cluster_kind: ClusterKind,
    /// For `kubernetes`: which cluster, and what of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<ClusterShare>,
}

/// `PATCH /v1/environments/{environment_id}`: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateEnvironment {
    /// Unique, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `active` or `inactive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<EnvironmentState>,
    /// Where its containers go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<UpdateScheduling>,
}

/// A principal with a role in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Member {
    /// Who.
    pub principal: Principal,
    /// With which role.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
}

/// `PUT /v1/environments/{environment_id}/members`: adds a member or changes its role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetMember {
    /// Who: [`Principal::id`].
    pub principal_id: String,
    /// With which role.
    pub role: Role,
}

/// `GET /v1/environments/{environment_id}/overview`: the dashboard's figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Overview {
    /// Hosts by state.
    pub hosts: Vec<StateCount>,
    /// Stacks by state.
    pub stacks: Vec<StateCount>,
    /// Containers by state.
    pub containers: Vec<StateCount>,
    /// CPU in use over all active hosts, in cores.
    pub cpu_used: f64,
    /// CPU there is, in cores.
    pub cpu_total: f64,
    /// Memory in use, bytes.
    pub memory_used: u64,
    /// Memory there is, bytes.
    pub memory_total: u64,
}

/// How many there are in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StateCount {
    /// The state's name.
    pub state: String,
    /// How many.
    pub count: u64,
}
