//! Hosts, and the images, volumes and networks on them.

use crate::{HostAgent, MachineUsage, Timestamp};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How the server reaches a host's Docker Engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Endpoint {
    /// A Unix socket on the server's own machine.
    Socket {
        /// e.g. `/var/run/docker.sock`
        path: String,
    },
    /// TCP with mutual TLS.
    Tcp {
        /// `HOST:PORT`, e.g. `10.0.0.7:2376`
        address: String,
    },
    /// Through the tunnel of the agent on it, which has registered itself with a token.
    Agent,
}

/// The credentials for [`Endpoint::Tcp`], each PEM. Write-only: stored encrypted, never answered.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TlsCredentials {
    /// The certificate authority that signed the engine's certificate.
    pub ca: String,
    /// The client certificate.
    pub certificate: String,
    /// The client certificate's private key.
    pub key: String,
}

/// Where a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// The first connection is being made.
    Connecting,
    /// Connected; takes new containers.
    Active,
    /// The connection was lost and is being made again.
    Reconnecting,
    /// Switched off by a person; not connected.
    Inactive,
    /// Connected; its containers are being moved elsewhere, and it takes no new ones.
    Draining,
    /// It cannot be used until a person acts; the reason says why.
    Error,
}

/// What a person wants of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HostMode {
    /// Be connected and take containers.
    Active,
    /// Do not connect.
    Inactive,
    /// Be connected, move containers elsewhere, take no new ones.
    Draining,
}

/// A Linux machine that runs Docker Engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Host {
    /// The host's id.
    pub id: Uuid,
    /// The environment that it belongs to.
    pub environment_id: Uuid,
    /// Unique in its environment.
    pub name: String,
    /// For placement constraints (`node.labels.KEY==VALUE`) and for people.
    pub labels: IndexMap<String, String>,
    /// How the server reaches it.
    pub endpoint: Endpoint,
    /// What is wanted of it.
    pub mode: HostMode,
    /// Where it stands.
    pub state: HostState,
    /// Why, in words, when the state is not `active`.
    pub reason: Option<String>,
    /// When the engine last answered.
    pub last_contact_at: Option<Timestamp>,
    /// What the engine says of itself; absent until it has been reached once.
    pub facts: Option<HostFacts>,
    /// What is in use now; absent while it is not connected.
    pub usage: Option<HostUsage>,
    /// For hosts that are reached through an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<HostAgent>,
    /// Its containers by state.
    pub containers: ContainerCounts,
    /// When it was added.
    pub created_at: Timestamp,
    /// Grows with each change; the `ETag`.
    pub version: i64,
}

/// What an engine says of itself and its machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostFacts {
    /// The engine's own id.
    pub engine_id: String,
    /// The version of Docker Engine.
    pub engine_version: String,
    /// The engine's newest API version.
    pub api_version: String,
    /// The operating system in words.
    pub operating_system: String,
    /// The kernel's version.
    pub kernel: String,
    /// e.g. `x86_64`
    pub architecture: String,
    /// The machine's own name.
    pub hostname: String,
    /// How images and layers are stored, e.g. `overlay2`.
    pub storage_driver: String,
    /// CPUs, in cores.
    pub cpus: u32,
    /// Memory, bytes.
    pub memory: u64,
    /// Where the engine keeps its data.
    pub data_root: String,
    /// What the engine warns of.
    pub warnings: Vec<String>,
    /// Its node in a swarm, by the engine's id; absent when it is in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swarm_node_id: Option<String>,
}

/// What is in use on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostUsage {
    /// When this was measured.
    pub at: Timestamp,
    /// CPU of all its containers, in cores.
    pub cpu: f64,
    /// Memory of all its containers, bytes.
    pub memory: u64,
    /// Disk that images, containers, volumes and the build cache take, bytes.
    pub disk: Option<u64>,
    /// The whole machine, where an agent measures it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineUsage>,
}

/// Containers by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContainerCounts {
    /// Running ones.
    pub running: u32,
    /// Paused ones.
    pub paused: u32,
    /// All others.
    pub stopped: u32,
}

/// `POST /v1/environments/{environment_id}/hosts`, and its `…/hosts/test`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateHost {
    /// Unique in the environment, 1 to 64 characters.
    pub name: String,
    /// For placement and people.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
    /// How to reach it.
    pub endpoint: Endpoint,
    /// Required for `tcp`.
    #[serde(default)]
    pub tls: Option<TlsCredentials>,
}

/// `PATCH /v1/environments/{environment_id}/hosts/{host_id}`: what is absent stays.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateHost {
    /// Unique in the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Replaces all labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<IndexMap<String, String>>,
    /// How to reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// New credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsCredentials>,
    /// Activate, deactivate or drain it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<HostMode>,
}

/// The answer to `DELETE /v1/environments/{environment_id}/hosts/{host_id}`: what is left on the
/// machine, which Drover no longer looks after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RemovedHost {
    /// The names of the containers that Drover had made there, as last seen. Empty unless the
    /// removal was forced.
    pub remaining_containers: Vec<String>,
}

/// `GET …/hosts/{host_id}/usage`: what was in use lately, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostUsageHistory {
    /// One every few seconds, for the last 15 minutes; gaps where the host was away.
    pub items: Vec<HostUsage>,
}

/// Something that happened on a host, as its engine told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostEvent {
    /// When.
    pub at: Timestamp,
    /// `container`, `image`, `volume`, `network` or `daemon`.
    pub kind: String,
    /// In the engine's words, e.g. `start`, `die`, `health_status: unhealthy`, `connect`.
    pub action: String,
    /// What it happened to: the engine's id, or a volume's name.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// For events of networks and volumes: the container that was joined to it or taken from it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub container_id: Option<String>,
    /// For `die`: the exit code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exit_code: Option<i64>,
}

/// The answer to a test of a connection: what was tried, step by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectionTest {
    /// True when the engine answered.
    pub ok: bool,
    /// The steps, in order; the last one is the one that failed, if any did.
    pub steps: Vec<ConnectionTestStep>,
    /// What the engine says of itself, when it answered.
    pub facts: Option<HostFacts>,
}

/// One step of a [`ConnectionTest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectionTestStep {
    /// e.g. `address`, `connect`, `tls`, `ping`, `version`
    pub name: String,
    /// Whether it worked.
    pub ok: bool,
    /// What was found, or what is wrong and what to do.
    pub message: String,
}

/// An image on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Image {
    /// `sha256:…`
    pub id: String,
    /// `NAME:TAG`s.
    pub tags: Vec<String>,
    /// `NAME@sha256:…`s.
    pub digests: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// When it was built.
    pub created_at: Timestamp,
    /// How many containers use it.
    pub containers: u32,
}

/// An image with all that its page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageDetail {
    /// What lists show.
    #[serde(flatten)]
    pub image: Image,
    /// e.g. `amd64`
    pub architecture: String,
    /// e.g. `linux`
    pub os: String,
    /// What runs, before the command.
    pub entrypoint: Vec<String>,
    /// What runs when nothing else is asked for.
    pub command: Vec<String>,
    /// As whom; empty for root.
    pub user: String,
    /// Where.
    pub working_dir: String,
    /// The ports that it listens on, e.g. `80/tcp`.
    pub ports: Vec<String>,
    /// The names of the environment variables that it sets.
    pub environment: Vec<String>,
    /// Its labels.
    pub labels: IndexMap<String, String>,
    /// How many layers it has.
    pub layers: u32,
    /// The names of the containers that use it.
    pub used_by: Vec<String>,
}

/// `POST …/images`: pulls an image onto the host. Answers `application/x-ndjson`: one
/// [`PullMessage`] a line, the last one `done` or `failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PullImage {
    /// e.g. `registry.example.com/team/app:1.2`; without tag or digest: `latest`.
    pub image: String,
}

/// A line of the answer to [`PullImage`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PullMessage {
    /// How far it is.
    Progress {
        /// From 0 to 1; never falls.
        fraction: f64,
        /// In words.
        message: String,
    },
    /// The image is there.
    Done {
        /// Its id.
        image_id: String,
    },
    /// It was not pulled.
    Failed {
        /// Stable: e.g. `image_not_found`, `registry_denied`, `disk_full`.
        code: String,
        /// What happened and what to do.
        message: String,
    },
}

/// `POST …/volumes`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateVolume {
    /// Letters, digits, `_`, `.` and `-`.
    pub name: String,
    /// e.g. `local`, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// For the driver. Options that mount a path of the host need the permission `host_takeover`.
    #[serde(default)]
    pub options: IndexMap<String, String>,
    /// For people.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
}

/// `POST …/networks`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateNetwork {
    /// Letters, digits, `_`, `.` and `-`; unique on the host.
    pub name: String,
    /// e.g. `bridge`, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// e.g. `10.7.0.0/24`; the engine picks one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// Without a way out.
    #[serde(default)]
    pub internal: bool,
    /// For people.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
}

/// A volume on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Volume {
    /// Unique on its host.
    pub name: String,
    /// e.g. `local`
    pub driver: String,
    /// Where it lies on the host.
    pub mountpoint: String,
    /// Its labels.
    pub labels: IndexMap<String, String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Bytes, where the engine knows.
    pub size: Option<u64>,
    /// The names of the containers that use it.
    pub used_by: Vec<String>,
    /// The stack that it belongs to.
    pub stack_id: Option<Uuid>,
}

/// A network on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Network {
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// e.g. `bridge`
    pub driver: String,
    /// `local`, `swarm` or `global`.
    pub scope: String,
    /// True when it has no way out.
    pub internal: bool,
    /// Its subnets, e.g. `172.18.0.0/16`.
    pub subnets: Vec<String>,
    /// Its labels.
    pub labels: IndexMap<String, String>,
    /// The names of the containers in it.
    pub containers: Vec<String>,
    /// True for the engine's own (`bridge`, `host`, `none`), which cannot be removed.
    pub predefined: bool,
    /// The stack that it belongs to.
    pub stack_id: Option<Uuid>,
}

/// What a prune takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PruneKind {
    /// Stopped containers that Drover does not keep.
    Containers,
    /// Images without a tag that no container uses.
    DanglingImages,
    /// All images that no container uses.
    UnusedImages,
    /// Volumes that no container uses and no stack owns.
    Volumes,
    /// Networks that no container uses and no stack owns.
    Networks,
}

/// What a prune would take (`GET …/prune?kind=`) or took (`POST`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PrunePreview {
    /// What kind of thing.
    pub kind: PruneKind,
    /// What goes, by name or id.
    pub items: Vec<PruneItem>,
    /// How much disk that frees, bytes, where the engine knows.
    pub bytes: u64,
}

/// One thing that a prune takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PruneItem {
    /// The engine's id or name.
    pub id: String,
    /// For people.
    pub name: String,
    /// Bytes, where the engine knows.
    pub size: Option<u64>,
}

/// `POST …/prune`: takes exactly what the preview showed and is still unused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PruneRequest {
    /// What kind of thing.
    pub kind: PruneKind,
    /// The ids from the preview.
    pub ids: Vec<String>,
}
