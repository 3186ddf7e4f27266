//! Kubernetes clusters, and environments that stand on them.
//!
//! Administrators bring clusters in (`/v1/kubernetes/clusters…`) and make environments out of
//! them: the whole cluster, or a set of its namespaces. Members work in the environment
//! (`/v1/environments/{environment_id}/kubernetes…`), with `kubectl` through
//! `/k8s/clusters/{cluster_id}`, or both. A resource type is named `plural.group`, as `kubectl`
//! takes it: `pods`, `deployments.apps`, `certificates.cert-manager.io`. The namespace of what has
//! none is `-` in addresses.
//!
//! | route | what |
//! | --- | --- |
//! | `GET /v1/kubernetes/clusters`, `…/{cluster_id}` | [`KubernetesCluster`]s |
//! | `POST /v1/kubernetes/clusters` [`ImportCluster`] | [`KubernetesCluster`] |
//! | `POST /v1/kubernetes/clusters/check` [`CheckKubeconfig`] | [`KubeconfigCheck`] |
//! | `PATCH /v1/kubernetes/clusters/{cluster_id}` [`UpdateCluster`] | [`KubernetesCluster`] |
//! | `DELETE /v1/kubernetes/clusters/{cluster_id}` | 204: forgets it; what runs in it goes on |
//! | `POST /v1/kubernetes/clusters/{cluster_id}/manifest` | [`ClusterManifest`]: an address for `kubectl apply -f`, once |
//! | `GET /v1/kubernetes/clusters/{cluster_id}/namespaces` | [`ClusterNamespace`]s |
//! | `GET /v1/kubernetes/clusters/{cluster_id}/health` | [`ClusterHealth`] |
//! | `GET …/kubernetes` | [`EnvironmentCluster`] |
//! | `GET …/kubernetes/health` | [`ClusterHealth`], as far as it concerns the environment |
//! | `PATCH …/kubernetes` [`UpdateEnvironmentCluster`] | [`EnvironmentCluster`] |
//! | `POST …/kubernetes/namespaces` [`NewNamespace`], `DELETE …/namespaces/{namespace}` | the environment's namespaces |
//! | `GET …/kubernetes/types` | [`ResourceType`]s |
//! | `GET …/kubernetes/resources/{type}` | [`ResourceList`] |
//! | `GET …/kubernetes/resources/{type}/groups?by=` | [`ResourceGroup`]s |
//! | `GET …/kubernetes/objects/{type}/{namespace}/{name}` | [`ObjectDetail`] |
//! | `DELETE …/kubernetes/objects/{type}/{namespace}/{name}?propagation=` | 204 |
//! | `POST …/kubernetes/objects/{type}/{namespace}/{name}/actions` [`ObjectAction`] | [`ActionDone`] |
//! | `GET …/kubernetes/objects/{type}/{namespace}/{name}/revisions` | [`RolloutRevision`]s |
//! | `GET …/kubernetes/objects/{type}/{namespace}/{name}/picture` | [`Picture`] |
//! | `POST …/kubernetes/apply` [`Apply`] | [`Applied`] |
//! | `GET …/kubernetes/schema/{type}` | JSON Schema |
//! | `GET …/kubernetes/pods/{namespace}/{pod}/exec/ws`, `…/logs/ws` | WebSockets, as of containers |
//! | `GET …/kubernetes/pods/{namespace}/{pod}/files?path=&container=`, `PUT` | a tar archive out of a pod, and into it |
//! | `GET …/kubernetes/logs`, `…/logs/ws` `?type=&namespace=&name=` | of all pods of a workload |
//! | `GET …/kubernetes/metrics` | [`ClusterMetrics`] |
//! | `POST …/kubernetes/kubeconfig` [`NewKubeconfig`] | a kubeconfig with an API key of the caller's |
//! | `POST …/kubernetes/port-forwards` [`NewPortForward`] | [`PortForward`] |
//!
//! Lists take `q`, `sort`, `cursor`, `limit`, `namespace`, `selector` (a label selector), `health`
//! (states, with commas between), `owner`, and a column's id with the text that its cells must
//! contain; groups take the same, and `by`: `namespace`, `owner`, `health`, `label:<key>` or a
//! column's id. Logs take `container`, `previous`, `follow`, `tail`, `since`, and `format=text` for
//! a download; those of a workload answer [`PodLogMessage`]s, and take a pod as well
//! (`type=pods`). A shell takes `container`, `columns`, `rows`.

use crate::{AgentFit, Freshness, Role, Timestamp};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How Drover reaches a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClusterSource {
    /// By the address and credentials of a kubeconfig.
    Kubeconfig,
    /// Through `drover agent` in the cluster, which dials out.
    Agent,
}

/// How a cluster stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClusterState {
    /// Its agent has not come yet: apply the manifest.
    Waiting,
    /// It is being connected to.
    Connecting,
    /// It answers, and its watches are up to date.
    Active,
    /// It answers, but something is wrong: the reason says what.
    Degraded,
    /// It does not answer. What was last seen is shown, with its age.
    Away,
    /// It answers, and refuses Drover: the credentials must be renewed.
    Unauthorized,
}

/// A Kubernetes cluster, as administrators see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KubernetesCluster {
    /// Its id here.
    pub id: Uuid,
    /// Its name here.
    pub name: String,
    /// How it is reached.
    pub source: ClusterSource,
    /// How it stands.
    pub state: ClusterState,
    /// What is wrong, and what to do, when the state is not `active`.
    pub reason: Option<String>,
    /// When it last answered.
    pub last_contact: Option<Timestamp>,
    /// The agent that connected last, of a cluster that is reached by one.
    pub agent: Option<ClusterAgent>,
    /// The address of its API server, of a kubeconfig.
    pub server: Option<String>,
    /// Whether that may be an address of the Drover server itself, or a link-local one.
    pub allow_private_address: bool,
    /// E.g. `v1.33.2`.
    pub version: Option<String>,
    /// What it is made with, guessed: e.g. `k3s`, `EKS`, `kubeadm`.
    pub provider: Option<String>,
    /// How many nodes it has.
    pub nodes: u32,
    /// How many of them are ready.
    pub nodes_ready: u32,
    /// How many pods it has.
    pub pods: u32,
    /// The environments on it.
    pub environments: Vec<ClusterEnvironment>,
    /// When it was brought in.
    pub created_at: Timestamp,
    /// For `If-Match`.
    pub version_number: i64,
}

/// A cluster's agent, as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterAgent {
    /// Its version, e.g. `0.1.0`.
    pub version: String,
    /// How that stands to the server's own.
    pub fit: AgentFit,
    /// From where it dialled, as the server saw it.
    pub address: Option<String>,
}

/// An environment that stands on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterEnvironment {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its namespaces; `None` when it is the whole cluster.
    pub namespaces: Option<Vec<String>>,
}

/// `POST /v1/kubernetes/clusters`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportCluster {
    /// Its name here, unique: letters, digits, `-`, `_`, `.` and spaces, at most 100.
    pub name: String,
    /// A kubeconfig with its certificates and tokens inside; none for a cluster whose agent will
    /// dial in. At most 256 KiB. Kept encrypted.
    #[serde(default)]
    pub kubeconfig: Option<String>,
    /// Which of its contexts; the current one when absent.
    #[serde(default)]
    pub context: Option<String>,
    /// Allow an address of the Drover server itself, or a link-local one.
    #[serde(default)]
    pub allow_private_address: bool,
}

/// `PATCH /v1/kubernetes/clusters/{cluster_id}`. What is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateCluster {
    /// A new name.
    #[serde(default)]
    pub name: Option<String>,
    /// Another address, or renewed credentials.
    #[serde(default)]
    pub kubeconfig: Option<String>,
    /// Which context of the new kubeconfig.
    #[serde(default)]
    pub context: Option<String>,
    /// See [`ImportCluster::allow_private_address`].
    #[serde(default)]
    pub allow_private_address: Option<bool>,
}

/// `POST /v1/kubernetes/clusters/check`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckKubeconfig {
    /// The kubeconfig.
    pub kubeconfig: String,
    /// Try to connect with this context; none is tried when absent.
    #[serde(default)]
    pub context: Option<String>,
    /// See [`ImportCluster::allow_private_address`].
    #[serde(default)]
    pub allow_private_address: bool,
}

/// What is in a kubeconfig.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KubeconfigCheck {
    /// Its contexts.
    pub contexts: Vec<KubeconfigContext>,
    /// The one that it names as current.
    pub current: Option<String>,
    /// What the cluster answered, when a connection was tried.
    pub connection: Option<ClusterAnswer>,
}

/// A context of a kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KubeconfigContext {
    /// Its name.
    pub name: String,
    /// The API server's address.
    pub server: String,
    /// The user's name in the file.
    pub user: String,
    /// Why it cannot be used, and what to do instead.
    pub problem: Option<String>,
}

/// What a cluster answered to a first call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterAnswer {
    /// Its version, when it could be asked.
    pub version: Option<String>,
    /// Why it cannot be used, or what Drover may not do there.
    pub problem: Option<String>,
}

/// `POST /v1/kubernetes/clusters/{cluster_id}/manifest`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NewManifest {
    /// For how many hours the address is good: 1 to 168; 24 when absent.
    pub hours: Option<u32>,
    /// The agent's image. When absent it is pulled from the Drover server itself, whose certificate
    /// the nodes must trust.
    pub image: Option<String>,
}

/// An address for `kubectl apply -f`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterManifest {
    /// The address of the manifest. It can be fetched once.
    pub url: String,
    /// The line to paste.
    pub command: String,
    /// Until when it can be fetched, and its agent come.
    pub expires_at: Timestamp,
}

/// A namespace of a cluster, for making environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterNamespace {
    /// Its name.
    pub name: String,
    /// The environment that it belongs to.
    pub environment: Option<String>,
    /// One of the cluster's own: `kube-system` and the like.
    pub system: bool,
}

/// `GET /v1/kubernetes/clusters/{cluster_id}/health`, and of an environment's cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterHealth {
    /// The checks of `/readyz?verbose`.
    pub checks: Vec<ClusterCheck>,
    /// APIs in use that a coming version no longer has.
    pub deprecations: Vec<ApiDeprecation>,
    /// Certificates that end, the first one first.
    pub certificates: Vec<ExpiringCertificate>,
    /// What all nodes have, and what of it is asked for and used.
    pub capacity: ClusterCapacity,
    /// The nodes, by name.
    #[serde(default)]
    pub nodes: Vec<ClusterNode>,
    /// The newest warnings, the newest first; at most 100.
    #[serde(default)]
    pub warnings: Vec<ClusterEvent>,
}

/// A node, as the cluster's page shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterNode {
    /// Its name.
    pub name: String,
    /// It takes part.
    pub ready: bool,
    /// New pods may come to it.
    pub schedulable: bool,
    /// E.g. `control-plane`.
    pub roles: Vec<String>,
    /// The kubelet's version.
    pub version: String,
    /// Its first internal address.
    pub address: Option<String>,
    /// What it says of itself.
    pub conditions: Vec<NodeCondition>,
    /// What it has, and what of it is asked for and used.
    pub capacity: ClusterCapacity,
    /// When it joined.
    pub created_at: Option<Timestamp>,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeCondition {
    /// E.g. `DiskPressure`.
    pub kind: String,
    /// Whether it is as it should be: `Ready` is true, the others are false.
    pub ok: bool,
    /// What it says.
    pub message: Option<String>,
}

/// A warning about an object of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterEvent {
    /// About what, e.g. `Pod web-7d4b9c-x2x`.
    pub object: String,
    /// In which namespace.
    pub namespace: Option<String>,
    /// The reason, in a word.
    pub reason: String,
    /// What it says.
    pub message: String,
    /// How often.
    pub count: u32,
    /// When last.
    pub at: Option<Timestamp>,
}

/// A check of the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterCheck {
    /// E.g. `etcd`.
    pub name: String,
    /// Whether it passes.
    pub ok: bool,
    /// What it says when not.
    pub message: Option<String>,
}

/// An API in use that will be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiDeprecation {
    /// E.g. `flowschemas.flowcontrol.apiserver.k8s.io/v1beta3`.
    pub api: String,
    /// The version without it.
    pub removed_in: Option<String>,
    /// Who asked for it, where known.
    pub used_by: Option<String>,
}

/// A certificate that ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExpiringCertificate {
    /// Whose: the API server's, Drover's own, or a Secret's.
    pub of: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// CPU in thousandths of a core, memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ClusterCapacity {
    /// Cores that pods can have.
    pub cpu_millis: u64,
    /// What pods ask for.
    pub cpu_requested: u64,
    /// What is used, where metrics.k8s.io tells.
    pub cpu_used: Option<u64>,
    /// Memory that pods can have.
    pub memory: u64,
    /// What pods ask for.
    pub memory_requested: u64,
    /// What is used.
    pub memory_used: Option<u64>,
    /// How many pods fit.
    pub pods: u64,
    /// How many there are.
    pub pods_used: u64,
}

/// What pods of an environment's namespaces must keep to (Pod Security Standards).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PodSecurity {
    /// Nothing that could take over a node, for anybody.
    #[default]
    Baseline,
    /// Members may make any pod; the role *restricted* still keeps to *baseline*.
    Privileged,
}

/// `GET /v1/environments/{environment_id}/kubernetes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnvironmentCluster {
    /// The cluster's id here.
    pub cluster_id: Uuid,
    /// Its name here.
    pub cluster_name: String,
    /// How it stands.
    pub state: ClusterState,
    /// What is wrong, and what to do.
    pub reason: Option<String>,
    /// When it last answered.
    pub last_contact: Option<Timestamp>,
    /// Its version.
    pub version: Option<String>,
    /// The environment is the whole cluster.
    pub whole_cluster: bool,
    /// The environment's namespaces, by name. Of a whole cluster: all that there are.
    pub namespaces: Vec<String>,
    /// What its pods must keep to.
    pub pod_security: PodSecurity,
    /// The limits of each of its namespaces.
    pub limits: NamespaceLimits,
    /// The address for `kubectl`.
    pub api_address: String,
}

/// What each namespace of an environment may use. Quantities as Kubernetes writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NamespaceLimits {
    /// Hard limits of a ResourceQuota, e.g. `requests.cpu`: `4`, `pods`: `50`.
    pub quota: IndexMap<String, String>,
    /// What a container may use when it says nothing, e.g. `cpu`: `500m`.
    pub default_limit: IndexMap<String, String>,
    /// What a container asks for when it says nothing.
    pub default_request: IndexMap<String, String>,
}

/// `PATCH /v1/environments/{environment_id}/kubernetes`. What is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct UpdateEnvironmentCluster {
    /// The namespaces that belong to the environment; for administrators only.
    pub namespaces: Option<Vec<String>>,
    /// What pods must keep to.
    pub pod_security: Option<PodSecurity>,
    /// Limits of each namespace.
    pub limits: Option<NamespaceLimits>,
}

/// On which cluster, and on how much of it, a new environment stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClusterShare {
    /// The cluster.
    pub cluster_id: Uuid,
    /// The namespaces; the whole cluster when absent. Those that do not exist are made.
    #[serde(default)]
    pub namespaces: Option<Vec<String>>,
}

/// A new namespace of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewNamespace {
    /// Its name: a DNS label.
    pub name: String,
}

/// A resource type of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResourceType {
    /// `plural.group`, or `plural` of the core group.
    pub id: String,
    /// The group; empty for the core group.
    pub group: String,
    /// The version that Drover asks for.
    pub version: String,
    /// The kind, e.g. `Deployment`.
    pub kind: String,
    /// The plural.
    pub plural: String,
    /// Short names, e.g. `deploy`.
    pub short_names: Vec<String>,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// What the caller may do with it: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verbs: Vec<String>,
    /// A custom resource, or one of an aggregated API.
    pub custom: bool,
    /// How many there are in the environment, where it is watched now.
    pub count: Option<u64>,
}

/// The health of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ObjectHealth {
    /// It cannot work as it is.
    Failed,
    /// It works in part, or not as it should.
    Degraded,
    /// It is on its way.
    Progressing,
    /// It is as it should be.
    Healthy,
    /// It is switched off: scaled to nothing, suspended, completed.
    Idle,
}

/// A column of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResourceColumn {
    /// The name to sort and filter by: lower case, `_` for gaps.
    pub id: String,
    /// The heading, in the server's words.
    pub name: String,
    /// What its cells are.
    pub kind: ColumnKind,
    /// Shown only where there is room.
    pub wide: bool,
    /// What it means.
    pub description: Option<String>,
}

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Text.
    Text,
    /// A number.
    Number,
    /// RFC 3339: shown as an age.
    Time,
}

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResourceRow {
    /// Its namespace, if its type has them.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The cells, as many as there are columns.
    pub cells: Vec<serde_json::Value>,
    /// How it is, where Drover knows its kind.
    pub health: Option<ObjectHealth>,
    /// Why it is not healthy, in a sentence.
    pub reason: Option<String>,
    /// Its labels.
    pub labels: IndexMap<String, String>,
    /// What it belongs to, e.g. `replicasets.apps/web-7d4b9c`.
    pub owner: Option<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// It is being deleted.
    pub terminating: bool,
}

/// `GET …/kubernetes/resources/{type}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResourceList {
    /// The columns.
    pub columns: Vec<ResourceColumn>,
    /// The rows of this page.
    pub items: Vec<ResourceRow>,
    /// Pass as `?cursor=` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_cursor: Option<String>,
    /// How many match, over all pages.
    pub total: u64,
    /// How fresh it is.
    pub freshness: Freshness,
    /// What is wrong with the watch behind it, while it is.
    pub problem: Option<String>,
}

/// A group of a list, and how many are in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResourceGroup {
    /// What they have in common; empty for those that have nothing there.
    pub value: String,
    /// How many.
    pub count: u64,
    /// How many of them are failed or degraded.
    pub unhealthy: u64,
}

/// `GET …/kubernetes/objects/{type}/{namespace}/{name}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObjectDetail {
    /// The whole object. Values of Secrets are left out for who may not see them.
    pub object: serde_json::Value,
    /// The same as YAML, without what the server manages.
    pub yaml: String,
    /// How it is.
    pub health: Option<ObjectHealth>,
    /// Why it is not healthy.
    pub reason: Option<String>,
    /// Its newest events.
    pub events: Vec<ObjectEvent>,
    /// What the caller may do with it: `update`, `patch`, `delete`, `scale`, `exec`…
    pub verbs: Vec<String>,
}

/// An event of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObjectEvent {
    /// `Normal` or `Warning`.
    pub kind: String,
    /// The reason, in a word.
    pub reason: String,
    /// What it says.
    pub message: String,
    /// How often.
    pub count: u32,
    /// When last.
    pub at: Option<Timestamp>,
}

/// A text message of the WebSocket of a workload's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PodLogMessage {
    /// Lines, the oldest first as far as they came together.
    Lines {
        /// The lines.
        lines: Vec<PodLogLine>,
    },
    /// The log has ended, and why. The WebSocket closes after it.
    End {
        /// In words.
        reason: String,
    },
}

/// A line of a pod's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PodLogLine {
    /// When, RFC 3339 with nanoseconds, as the kubelet says it: resume with `?since=` this.
    pub at: String,
    /// The pod.
    pub pod: String,
    /// The container in it.
    pub container: String,
    /// The text, with its ANSI escapes, without the line's end.
    pub text: String,
}

/// `POST …/kubernetes/apply`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// YAML with one or many documents, at most 3 MiB.
    pub yaml: String,
    /// The namespace of those that name none.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Only show what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// Take fields from whoever else owns them.
    #[serde(default)]
    pub force: bool,
}

/// What applying has led to, document by document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Applied {
    /// One for each document, in their order.
    pub items: Vec<AppliedObject>,
}

/// What applying a document has led to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppliedObject {
    /// The line where the document begins, from 1.
    pub line: u32,
    /// Its type.
    pub type_id: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// What was done, or would be.
    pub outcome: ApplyOutcome,
    /// What changes, as a unified diff of YAML.
    pub diff: Option<String>,
    /// Fields that somebody else owns.
    pub conflicts: Vec<FieldConflict>,
    /// Why it was refused.
    pub error: Option<String>,
    /// What the server warns of.
    pub warnings: Vec<String>,
}

/// See [`AppliedObject::outcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApplyOutcome {
    /// It is new.
    Created,
    /// It has changed.
    Changed,
    /// Nothing has changed.
    Unchanged,
    /// Others own fields of it: see the conflicts.
    Conflict,
    /// It was refused: see the error.
    Refused,
}

/// A field that somebody else owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldConflict {
    /// E.g. `.spec.replicas`.
    pub field: String,
    /// The field manager that owns it.
    pub manager: String,
}

/// `POST …/kubernetes/objects/{type}/{namespace}/{name}/actions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum ObjectAction {
    /// Another number of replicas.
    Scale {
        /// How many.
        replicas: u32,
    },
    /// Restarts the pods, one after the other, as the workload rolls out.
    Restart,
    /// Pauses a Deployment's rollout.
    Pause,
    /// Goes on with it.
    Resume,
    /// Back to a revision; the one before when absent.
    Undo {
        /// The revision.
        #[serde(default)]
        revision: Option<i64>,
    },
    /// Runs a CronJob now.
    Run,
    /// Suspends a CronJob or Job.
    Suspend,
    /// The opposite.
    Unsuspend,
    /// No new pods on this node.
    Cordon,
    /// The opposite.
    Uncordon,
    /// Evicts the pods of a node, as disruption budgets allow. An operation.
    Drain {
        /// Also pods with volumes that are deleted with them.
        #[serde(default)]
        delete_local_data: bool,
        /// Also pods that nothing makes anew.
        #[serde(default)]
        force: bool,
        /// How long to try, in seconds; 600 when absent.
        #[serde(default)]
        timeout_seconds: Option<u32>,
    },
    /// Evicts a pod, as disruption budgets allow.
    Evict,
    /// Adds a container to a running pod, to look at it.
    Debug {
        /// The image.
        image: String,
        /// The container whose processes it sees.
        #[serde(default)]
        target: Option<String>,
    },
}

/// What an action has led to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActionDone {
    /// In words.
    pub message: String,
    /// What it made: a Job's name, or an ephemeral container's.
    pub name: Option<String>,
    /// The operation to follow, of what takes long.
    pub operation_id: Option<Uuid>,
}

/// A revision of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RolloutRevision {
    /// Its number.
    pub revision: i64,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// What `kubernetes.io/change-cause` says.
    pub cause: Option<String>,
    /// The images.
    pub images: Vec<String>,
    /// It is the one that is wanted now.
    pub current: bool,
    /// What it differs in from the one that is wanted now, as a unified diff of YAML.
    pub diff: String,
}

/// A picture of an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Picture {
    /// The objects.
    pub nodes: Vec<PictureNode>,
    /// From which to which, as places in `nodes`.
    pub edges: Vec<(u32, u32)>,
}

/// An object in a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PictureNode {
    /// Its type.
    pub type_id: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The column that it stands in, from the left: 0 for what lets people in.
    pub rank: u32,
    /// How it is.
    pub health: Option<ObjectHealth>,
    /// Why it is not healthy.
    pub reason: Option<String>,
    /// The event or log line behind that.
    pub evidence: Option<String>,
}

/// `GET …/kubernetes/metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterMetrics {
    /// Whether the cluster has metrics.k8s.io; how to install it when not.
    pub available: bool,
    /// How to install it.
    pub advice: Option<String>,
    /// One for each node or pod.
    pub items: Vec<ObjectMetrics>,
}

/// What a node or pod uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObjectMetrics {
    /// Its namespace, of pods.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Samples, the oldest first.
    pub samples: Vec<MetricSample>,
}

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricSample {
    /// When.
    pub at: Timestamp,
    /// In thousandths of a core.
    pub cpu_millis: u64,
    /// In bytes.
    pub memory: u64,
}

/// `POST …/kubernetes/kubeconfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewKubeconfig {
    /// The role of its API key; the caller's when absent.
    #[serde(default)]
    pub role: Option<Role>,
    /// For how many days the key is good; 30 when absent, at most 365.
    #[serde(default)]
    pub days: Option<u32>,
}

/// `POST …/kubernetes/port-forwards`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewPortForward {
    /// Of what.
    pub kind: PortForwardKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The port's number, or its name.
    pub port: String,
    /// The application speaks HTTPS on it; HTTP when absent.
    #[serde(default)]
    pub https: bool,
    /// For how many minutes the address is good; 480 when absent, at most 1440.
    #[serde(default)]
    pub minutes: Option<u32>,
}

/// What has a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PortForwardKind {
    /// A Service.
    Service,
    /// A Pod.
    Pod,
}

/// An address in the browser for a port in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PortForward {
    /// The address. Whoever has it reaches the application: it is a secret.
    pub url: String,
    /// Until when it is good. It ends earlier with the session, the API key or the role that it
    /// was made with.
    pub expires_at: Timestamp,
}
