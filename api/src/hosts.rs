//! Hosts, and the images, volumes and networks on them.

use crate::Timestamp;
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
