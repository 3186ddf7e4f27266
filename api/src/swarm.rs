//! Docker Swarm as an environment's cluster: `/v1/environments/{environment_id}/swarm…`.
//!
//! Ids of nodes, services, tasks, secrets, configs and networks are the engine's own texts. All of
//! it is there only in environments whose [`ClusterKind`](crate::ClusterKind) is `swarm`: in others
//! these routes answer 409 `not_a_swarm`. While the swarm cannot be asked they answer what was last
//! seen, with the age in [`Freshness`]; changes answer 503 with the reason.
//!
//! | route | what |
//! | --- | --- |
//! | `GET /swarm` | [`Swarm`] |
//! | `POST /swarm` [`CreateSwarm`] | 202 [`Operation`](crate::Operation) |
//! | `PATCH /swarm` [`UpdateSwarm`] | [`Swarm`] |
//! | `DELETE /swarm` [`RemoveSwarm`] | 202 operation: all hosts leave |
//! | `POST /swarm/take-over` | [`Swarm`]: takes over the swarm that the hosts are in |
//! | `POST /swarm/join` [`JoinHosts`] | 202 operation |
//! | `POST /swarm/force-new-cluster` [`ForceNewCluster`] | 202 operation |
//! | `POST /swarm/unlock` [`UnlockSwarm`] | [`Swarm`] |
//! | `POST /swarm/rotate` [`RotateSwarm`] | [`Swarm`]: join tokens, unlock key, certificate authority |
//! | `GET /swarm/keys` | [`SwarmKeys`]: join tokens and unlock key, for those who manage hosts |
//! | `GET /swarm/nodes`, `/swarm/nodes/{node_id}` | [`SwarmNode`]s |
//! | `PATCH /swarm/nodes/{node_id}` [`UpdateNode`] | [`SwarmNode`] |
//! | `POST /swarm/nodes/{node_id}/leave` [`LeaveNode`] | 202 operation |
//! | `DELETE /swarm/nodes/{node_id}?force=` | 204: forgets a node that is down |
//! | `GET /swarm/services`, `/swarm/services/{service_id}` | [`SwarmService`]s, [`SwarmServiceDetail`] |
//! | `POST /swarm/services/{service_id}/scale` [`ScaleSwarmService`] | [`SwarmService`] |
//! | `POST /swarm/services/{service_id}/update` [`UpdateSwarmService`] | [`SwarmService`] |
//! | `POST /swarm/services/{service_id}/rollback` | [`SwarmService`] |
//! | `DELETE /swarm/services/{service_id}` | 204 |
//! | `GET /swarm/services/{service_id}/logs`, `…/logs/ws` | [`ServiceLogLine`]s, [`ServiceLogMessage`]s |
//! | `GET /swarm/tasks`, `/swarm/tasks/{task_id}` | [`SwarmTask`]s |
//! | `GET /swarm/tasks/{task_id}/logs`, `…/logs/ws` | as of services |
//! | `GET /swarm/stacks` | [`SwarmStack`]s |
//! | `DELETE /swarm/stacks/{name}` | 204: removes one made on the command line |
//! | `GET`, `POST /swarm/networks` [`CreateSwarmNetwork`], `DELETE /swarm/networks/{network_id}` | [`SwarmNetwork`]s |
//! | `GET`, `POST /swarm/secrets` [`CreateSwarmFile`], `DELETE /swarm/secrets/{secret_id}` | [`SwarmFile`]s |
//! | `POST /swarm/secrets/{secret_id}/rotate` [`RotateSwarmFile`] | [`SwarmFile`] |
//! | `…/swarm/configs` likewise, and `GET /swarm/configs/{config_id}` | [`SwarmFile`]s, [`SwarmConfig`] |
//!
//! Shells and measurements of a task go by its [`SwarmTask::host_id`] and
//! [`SwarmTask::container_id`], as of any container. Changes are told by the topics
//! [`Topic::Swarm`](crate::Topic), `SwarmService` and `SwarmResources`.

use crate::{Freshness, LogStream, Timestamp};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How a swarm stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SwarmState {
    /// None of the environment's hosts is in a swarm: make one.
    None,
    /// Hosts are in a swarm that Drover has not taken over: take it over, or let them leave.
    Found,
    /// It is being made.
    Pending,
    /// It works.
    Active,
    /// It works, but something is wrong, e.g. a manager is away.
    Degraded,
    /// All its managers that can be reached are locked.
    Locked,
    /// Too few managers are there: what runs goes on, nothing can be changed.
    NoQuorum,
    /// No manager can be reached.
    Unreachable,
    /// It cannot be used; the reason says why.
    Error,
}

/// How ports are published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PublishMode {
    /// On every node, by Swarm's routing mesh. Needs IPVS in the kernel.
    #[default]
    Ingress,
    /// On the nodes that a task runs on.
    Host,
}

/// What a service's name resolves to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EndpointMode {
    /// One virtual address, which spreads connections over the tasks. Needs IPVS in the kernel.
    #[default]
    Vip,
    /// The addresses of its tasks.
    Dnsrr,
}

/// `GET /v1/environments/{environment_id}/swarm`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Swarm {
    /// How it stands.
    pub state: SwarmState,
    /// What is wrong, when the state is not `active`.
    pub reason: Option<String>,
    /// What to do about it, or about its number of managers.
    pub advice: Option<String>,
    /// The engine's id of it.
    pub cluster_id: Option<String>,
    /// How many nodes it has.
    pub nodes: u32,
    /// How many of them are managers.
    pub managers: u32,
    /// How many managers can be reached by the others.
    pub reachable_managers: u32,
    /// How many managers must be there for anything to be changed.
    pub quorum: u32,
    /// The number of managers is 1, 3, 5 or 7: an even number stands no more failures than the one
    /// below it.
    pub good_manager_count: bool,
    /// Managers that start anew must be unlocked.
    pub autolock: bool,
    /// A new certificate authority is being spread to the nodes.
    pub ca_rotating: bool,
    /// How many ended tasks of each instance are kept.
    pub task_history: Option<u32>,
    /// What services get that say nothing themselves.
    pub defaults: SwarmDefaults,
    /// The environment's hosts, and the part of each.
    pub hosts: Vec<SwarmHost>,
    /// The operation that is under way.
    pub operation_id: Option<Uuid>,
    /// How old this is.
    pub freshness: Freshness,
    /// Grows with each change of its settings; the `ETag`.
    pub version: i64,
}

/// What services of stacks get that say nothing themselves. For swarms where the routing mesh does
/// not work: `host` and `dnsrr`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SwarmDefaults {
    /// How ports are published.
    pub publish_mode: PublishMode,
    /// What names resolve to.
    pub endpoint_mode: EndpointMode,
}

/// A host of the environment, and its part in a swarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SwarmHost {
    /// The host's id.
    pub host_id: Uuid,
    /// Its name.
    pub host_name: String,
    /// Its part.
    pub part: SwarmPart,
    /// Its node in the swarm.
    pub node_id: Option<String>,
    /// Where the other nodes reach it.
    pub address: Option<String>,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// A host's part in a swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SwarmPart {
    /// It cannot be asked now.
    Unknown,
    /// In none.
    None,
    /// A worker.
    Worker,
    /// A manager.
    Manager,
    /// A manager that must be unlocked.
    Locked,
    /// It joins, or cannot take part: see the error.
    Error,
    /// In another swarm than the environment's.
    Other,
}

/// `POST /v1/environments/{environment_id}/swarm`: makes a swarm of hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateSwarm {
    /// The hosts that become managers, 1 to 7: the first one begins it. 1, 3 or 5 are wise.
    pub managers: Vec<NewNode>,
    /// The hosts that become workers.
    #[serde(default)]
    pub workers: Vec<NewNode>,
    /// Lock managers that start anew. Drover keeps the key, and unlocks them when asked.
    #[serde(default)]
    pub autolock: bool,
    /// VXLAN's UDP port, default 4789.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_path_port: Option<u16>,
    /// Networks that overlay networks are cut from, e.g. `10.20.0.0/16`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub address_pools: Vec<String>,
    /// What services get that say nothing themselves.
    #[serde(default)]
    pub defaults: SwarmDefaults,
}

/// A host that becomes a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewNode {
    /// The host.
    pub host_id: Uuid,
    /// Where the other nodes reach it: an address or the name of a network interface, with or
    /// without a port. Default: what the engine finds, which fails on hosts with several addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise_address: Option<String>,
    /// Where containers' traffic goes; default: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_path_address: Option<String>,
}

/// `POST …/swarm/join`: hosts join the environment's swarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinHosts {
    /// Those that become managers.
    #[serde(default)]
    pub managers: Vec<NewNode>,
    /// Those that become workers.
    #[serde(default)]
    pub workers: Vec<NewNode>,
}

/// `PATCH /v1/environments/{environment_id}/swarm`: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateSwarm {
    /// Lock managers that start anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autolock: Option<bool>,
    /// How many ended tasks of each instance are kept, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_history: Option<u32>,
    /// What services get that say nothing themselves; services take it with their next change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<SwarmDefaults>,
}

/// `DELETE /v1/environments/{environment_id}/swarm`: every host leaves, and the swarm with all its
/// services, secrets and configs is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RemoveSwarm {
    /// The environment's name, typed by a person.
    pub confirm: String,
}

/// `POST …/swarm/force-new-cluster`: makes a new swarm, with one manager, of what that manager
/// knows of the old one. For a swarm that has lost its quorum for good. Services, secrets, configs
/// and workers stay; the other managers are no longer part of it and must leave and join again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ForceNewCluster {
    /// The manager that it is made of.
    pub host_id: Uuid,
    /// See [`NewNode::advertise_address`]; default: the one that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise_address: Option<String>,
    /// The environment's name, typed by a person.
    pub confirm: String,
}

/// `POST …/swarm/unlock`: unlocks managers that were started anew.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnlockSwarm {
    /// The key; default: the one that Drover keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// `POST …/swarm/rotate`: makes anew what is asked for. What was before lets nobody in any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotateSwarm {
    /// The join token of workers.
    #[serde(default)]
    pub worker_token: bool,
    /// The join token of managers.
    #[serde(default)]
    pub manager_token: bool,
    /// The key that unlocks managers.
    #[serde(default)]
    pub unlock_key: bool,
    /// The certificate authority; the nodes get new certificates one by one.
    #[serde(default)]
    pub certificate_authority: bool,
}

/// `GET …/swarm/keys`: what lets machines into the swarm.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SwarmKeys {
    /// For `docker swarm join` as a worker.
    pub worker_token: String,
    /// For `docker swarm join` as a manager.
    pub manager_token: String,
    /// For `docker swarm unlock`; absent when managers are not locked.
    pub unlock_key: Option<String>,
    /// `ADDRESS:PORT` of the managers.
    pub managers: Vec<String>,
}

/// What a node does in its swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// Decides, and runs tasks too.
    Manager,
    /// Runs tasks.
    Worker,
}

/// Whether a node takes tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum NodeAvailability {
    /// It takes tasks.
    Active,
    /// It keeps what it has and takes no new ones.
    Pause,
    /// Its tasks go elsewhere.
    Drain,
}

/// A node of the swarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SwarmNode {
    /// The engine's id of it.
    pub id: String,
    /// The machine's own name.
    pub hostname: String,
    /// The environment's host that it is; absent for machines that are no hosts of it.
    pub host_id: Option<Uuid>,
    /// That host's name.
    pub host_name: Option<String>,
    /// What it does.
    pub role: NodeRole,
    /// Whether it takes tasks.
    pub availability: NodeAvailability,
    /// `ready`, `down`, `disconnected` or `unknown`.
    pub state: String,
    /// Why, in the engine's words.
    pub message: Option<String>,
    /// It leads the managers.
    pub leader: bool,
    /// For managers: `reachable`, `unreachable` or `unknown`.
    pub reachability: Option<String>,
    /// Where the others reach it.
    pub address: String,
    /// For constraints `node.labels.KEY==VALUE`.
    pub labels: IndexMap<String, String>,
    /// For constraints `engine.labels.KEY==VALUE`: set on the machine.
    pub engine_labels: IndexMap<String, String>,
    /// The version of Docker Engine.
    pub engine_version: String,
    /// e.g. `linux/x86_64`
    pub platform: String,
    /// In cores.
    pub cpus: f64,
    /// Bytes.
    pub memory: u64,
    /// How many tasks run on it.
    pub running_tasks: u32,
    /// When it joined.
    pub created_at: Option<Timestamp>,
}

/// `PATCH …/swarm/nodes/{node_id}`: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateNode {
    /// Promote or demote it. Refused where the swarm would lose its quorum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<NodeRole>,
    /// Activate, pause or drain it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<NodeAvailability>,
    /// Replaces all labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<IndexMap<String, String>>,
}

/// `POST …/swarm/nodes/{node_id}/leave`: its tasks move elsewhere, a manager is made a worker, and
/// it leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaveNode {
    /// Leave at once, though the swarm may lose its quorum by it or its host cannot be reached.
    #[serde(default)]
    pub force: bool,
}

/// How many tasks a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ServiceMode {
    /// So many as are asked for.
    Replicated,
    /// One on each matching node.
    Global,
    /// So many runs to the end as are asked for.
    ReplicatedJob,
    /// One run to the end on each matching node.
    GlobalJob,
}

/// How a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SwarmServiceState {
    /// As many tasks run as should.
    Running,
    /// Its tasks are being changed.
    Updating,
    /// They are being changed back.
    RollingBack,
    /// An update has stopped, and waits for a person.
    Paused,
    /// Too few tasks run.
    Degraded,
    /// A job that has ended well.
    Completed,
    /// It was scaled to nothing.
    Stopped,
}

/// A service of the swarm, whoever made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SwarmService {
    /// The engine's id of it.
    pub id: String,
    /// Its name, e.g. `web_app`.
    pub name: String,
    /// How it stands.
    pub state: SwarmServiceState,
    /// Why, when it is not `running`: its update's message, or a task's error.
    pub reason: Option<String>,
    /// The stack on the command line (`docker stack ls`) that it belongs to.
    pub stack: Option<String>,
    /// Drover's stack that it belongs to: change it there.
    pub stack_id: Option<Uuid>,
    /// The service's name in that stack.
    pub stack_service: Option<String>,
    /// Made by another environment or installation of Drover: not to be changed here.
    pub foreign: bool,
    /// How many tasks it has.
    pub mode: ServiceMode,
    /// How many are asked for; of global ones, how many nodes match.
    pub replicas: u32,
    /// How many run.
    pub running: u32,
    /// Of jobs: how many have ended well.
    pub completed: u32,
    /// The image, without its digest.
    pub image: String,
    /// The digest that is pinned, `sha256:…`.
    pub digest: Option<String>,
    /// Published ports, e.g. `8080:80/tcp (host)`.
    pub ports: Vec<String>,
    /// How its last update goes or went.
    pub update: Option<ServiceUpdate>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it was last changed.
    pub updated_at: Option<Timestamp>,
}

/// How an update of a service goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceUpdate {
    /// `updating`, `paused`, `completed`, `rollback_started`, `rollback_paused` or
    /// `rollback_completed`.
    pub state: String,
    /// In the engine's words.
    pub message: String,
    /// How many tasks are of the new make and run, of [`SwarmService::replicas`].
    pub done: u32,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// A service with all that its page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SwarmServiceDetail {
    /// What lists show.
    #[serde(flatten)]
    pub service: SwarmService,
    /// Its tasks with their history, newest first.
    pub tasks: Vec<SwarmTask>,
    /// Its labels.
    pub labels: IndexMap<String, String>,
    /// Its environment variables; the values are `null` for callers who may not see secrets.
    pub environment: IndexMap<String, Option<String>>,
    /// What runs, instead of the image's own.
    pub command: Vec<String>,
    /// Rules for its nodes, e.g. `node.labels.disk == ssd`.
    pub constraints: Vec<String>,
    /// The names of the networks that it is in.
    pub networks: Vec<String>,
    /// The names of its secrets.
    pub secrets: Vec<String>,
    /// The names of its configs.
    pub configs: Vec<String>,
    /// What is mounted, e.g. `data:/var/lib/data (volume)`.
    pub mounts: Vec<String>,
    /// There is a spec from before the last update to go back to.
    pub can_roll_back: bool,
    /// The engine's whole answer, with the values of environment variables hidden from callers
    /// who may not see secrets.
    pub inspect: serde_json::Value,
}

/// A task: one try at one instance of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SwarmTask {
    /// The engine's id of it.
    pub id: String,
    /// e.g. `web_app.2`
    pub name: String,
    /// Its service.
    pub service_id: String,
    /// That service's name.
    pub service_name: String,
    /// Which instance of a replicated service, from 1.
    pub slot: Option<u32>,
    /// The node; absent until there is one for it.
    pub node_id: Option<String>,
    /// That node's machine.
    pub node_hostname: Option<String>,
    /// The environment's host that the node is: for shells and measurements.
    pub host_id: Option<Uuid>,
    /// Its container on that host.
    pub container_id: Option<String>,
    /// `new`, `pending`, `assigned`, `accepted`, `preparing`, `ready`, `starting`, `running`,
    /// `complete`, `shutdown`, `failed`, `rejected`, `remove` or `orphaned`.
    pub state: String,
    /// What the swarm wants of it: `running`, `complete`, `shutdown` or `remove`.
    pub desired_state: String,
    /// It is the newest try at its instance.
    pub current: bool,
    /// In the engine's words, e.g. `no suitable node (scheduling constraints not satisfied)`.
    pub error: Option<String>,
    /// Of its last run, when ended.
    pub exit_code: Option<i64>,
    /// The image, without its digest.
    pub image: String,
    /// Ports that it publishes on its node.
    pub ports: Vec<String>,
    /// When its state last changed.
    pub at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// `POST …/swarm/services/{service_id}/scale`. Services of Drover's stacks are scaled in their
/// stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScaleSwarmService {
    /// 0 to 1,000.
    pub replicas: u32,
}

/// `POST …/swarm/services/{service_id}/update`: replaces its tasks, by its own update rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateSwarmService {
    /// Another image; absent: the same, looked up anew, so that a tag that has moved on is pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Replace the tasks though nothing has changed.
    #[serde(default)]
    pub force: bool,
}

/// A line of a service's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceLogLine {
    /// RFC 3339 with nanoseconds.
    pub at: String,
    /// Which output.
    pub stream: LogStream,
    /// Without the line's end.
    pub text: String,
    /// The task that wrote it.
    pub task_id: Option<String>,
    /// That task's name, e.g. `web_app.2`.
    pub task_name: Option<String>,
}

/// A message of `…/swarm/services/{service_id}/logs/ws`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServiceLogMessage {
    /// Lines, in order of each task.
    Lines {
        /// At most some hundred.
        lines: Vec<ServiceLogLine>,
    },
    /// Nothing more comes.
    End {
        /// Why, in words.
        reason: String,
    },
}

/// A stack in the swarm, as `docker stack ls` shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SwarmStack {
    /// Its name.
    pub name: String,
    /// Drover's stack that it is; absent for those made on the command line.
    pub stack_id: Option<Uuid>,
    /// Made by another environment or installation of Drover: not to be changed here.
    pub foreign: bool,
    /// How many services it has.
    pub services: u32,
    /// How many tasks should run.
    pub desired: u32,
    /// How many do.
    pub running: u32,
}

/// A network of the swarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SwarmNetwork {
    /// The engine's id of it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// e.g. `overlay`
    pub driver: String,
    /// e.g. `10.0.1.0/24`
    pub subnets: Vec<String>,
    /// Containers that are no tasks may be in it.
    pub attachable: bool,
    /// No way out.
    pub internal: bool,
    /// Its traffic between hosts is encrypted.
    pub encrypted: bool,
    /// It is the one of the routing mesh.
    pub ingress: bool,
    /// The stack on the command line that it belongs to.
    pub stack: Option<String>,
    /// Drover's stack that it belongs to.
    pub stack_id: Option<Uuid>,
    /// The names of the services in it.
    pub services: Vec<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// `POST …/swarm/networks`: makes an overlay network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateSwarmNetwork {
    /// Its name.
    pub name: String,
    /// Containers that are no tasks may be in it.
    #[serde(default)]
    pub attachable: bool,
    /// No way out.
    #[serde(default)]
    pub internal: bool,
    /// Encrypt its traffic between hosts.
    #[serde(default)]
    pub encrypted: bool,
    /// e.g. `10.40.0.0/24`; default: from the swarm's pools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
}

/// A secret or config of the swarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SwarmFile {
    /// The engine's id of it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The stack on the command line that it belongs to.
    pub stack: Option<String>,
    /// Drover's stack that it belongs to: change it there.
    pub stack_id: Option<Uuid>,
    /// Its labels.
    pub labels: IndexMap<String, String>,
    /// The names of the services that use it.
    pub services: Vec<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
}

/// A config with its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SwarmConfig {
    /// What lists show.
    #[serde(flatten)]
    pub config: SwarmFile,
    /// What it holds; absent when that is no text.
    pub content: Option<String>,
}

/// `POST …/swarm/secrets` and `…/swarm/configs`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateSwarmFile {
    /// 1 to 64 letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// What it holds, at most 500 KiB (configs: 1,000 KiB). Of secrets never shown again.
    pub content: String,
    /// Its labels.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
}

/// `POST …/swarm/secrets/{secret_id}/rotate` and `…/swarm/configs/{config_id}/rotate`: makes a new
/// one and has the services that use the old one use it under the same path, one by one by their
/// update rules. The old one goes once nobody uses it.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotateSwarmFile {
    /// What it holds from now on.
    pub content: String,
}
