//! The model: what a Compose text means once short forms, defaults and variables are resolved.
//! Serialised, it is what a deployment is compared by, so the order of fields is stable.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A set of services with what they share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Project {
    /// `name`, if the text gives one.
    pub name: Option<String>,
    /// The services, in the text's order.
    pub services: IndexMap<String, Service>,
    /// The networks that services name; `default` is there when one uses it.
    pub networks: IndexMap<String, Network>,
    /// Named volumes.
    pub volumes: IndexMap<String, Volume>,
    /// Secrets.
    pub secrets: IndexMap<String, FileSource>,
    /// Configs.
    pub configs: IndexMap<String, FileSource>,
    /// `x-drover-namespace`: where on a Kubernetes cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `x-drover-adopt`: on a Kubernetes cluster, what is there under the names that this text
    /// leads to becomes the stack's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub adopt: bool,
    /// The objects of a text that is Kubernetes manifests. Its services are then the workloads
    /// among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Manifest>,
}

/// A Kubernetes object as a text has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// Where it stands in the text, from 1.
    #[serde(skip)]
    pub line: u32,
    /// The service that it makes, if it is a workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The object.
    pub object: serde_json::Value,
}

/// A service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Where the service stands in the text, from 1. Not part of what a deployment is compared by.
    #[serde(skip)]
    pub line: u32,
    /// The image.
    pub image: String,
    /// `always`, `missing` (the default) or `never`.
    pub pull_policy: Option<PullPolicy>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Environment variables.
    pub environment: IndexMap<String, String>,
    /// Ports to publish.
    pub ports: Vec<Port>,
    /// Ports to expose to other services, `PORT[/PROTOCOL]`.
    pub expose: Vec<String>,
    /// `x-drover-ingress`: under which names and paths people reach it over HTTP, where the
    /// cluster has something that lets them in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<Ingress>,
    /// What to mount.
    pub volumes: Vec<Mount>,
    /// The networks to be in, by the name in the text.
    pub networks: IndexMap<String, NetworkAttachment>,
    /// `host`, `none`, `bridge`, `service:NAME` or `container:ID` instead of `networks`.
    pub network_mode: Option<String>,
    /// What must be there first.
    pub depends_on: IndexMap<String, Dependency>,
    /// The health check; absent: the image's own.
    pub healthcheck: Option<Healthcheck>,
    /// The check that the server makes. No part of what a container is made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthProbe>,
    /// When to start it again.
    pub restart: Option<Restart>,
    /// Labels of the containers.
    pub labels: IndexMap<String, String>,
    /// How many, where, and how to change them.
    pub deploy: Deploy,
    /// Secrets to mount as files.
    pub secrets: Vec<FileMount>,
    /// Configs to mount as files.
    pub configs: Vec<FileMount>,
    /// `HOST → ADDRESS` for /etc/hosts.
    pub extra_hosts: Vec<(String, String)>,
    /// Limits by name.
    pub ulimits: IndexMap<String, Ulimit>,
    /// Capabilities to add.
    pub cap_add: Vec<String>,
    /// Capabilities to drop.
    pub cap_drop: Vec<String>,
    /// All capabilities and devices.
    pub privileged: bool,
    /// `HOST[:CONTAINER[:rwm]]`.
    pub devices: Vec<String>,
    /// Security options, as Docker takes them.
    pub security_opt: Vec<String>,
    /// `USER[:GROUP]`.
    pub user: Option<String>,
    /// More groups.
    pub group_add: Vec<String>,
    /// User namespace, e.g. `host`.
    pub userns_mode: Option<String>,
    /// IPC namespace.
    pub ipc: Option<String>,
    /// PID namespace.
    pub pid: Option<String>,
    /// UTS namespace.
    pub uts: Option<String>,
    /// Cgroup namespace, `host` or `private`.
    pub cgroup: Option<String>,
    /// The parent cgroup.
    pub cgroup_parent: Option<String>,
    /// Kernel parameters.
    pub sysctls: IndexMap<String, String>,
    /// The working directory.
    pub working_dir: Option<String>,
    /// In-memory file systems, `PATH[:OPTIONS]`.
    pub tmpfs: Vec<String>,
    /// The size of /dev/shm, bytes.
    pub shm_size: Option<u64>,
    /// Where logs go.
    pub logging: Option<Logging>,
    /// The signal that asks it to end.
    pub stop_signal: Option<String>,
    /// How long it may take to end, milliseconds.
    pub stop_grace_period_ms: Option<u64>,
    /// The container's host name.
    pub hostname: Option<String>,
    /// The container's domain name.
    pub domainname: Option<String>,
    /// DNS servers.
    pub dns: Vec<String>,
    /// DNS search domains.
    pub dns_search: Vec<String>,
    /// DNS options.
    pub dns_opt: Vec<String>,
    /// A read-only root file system.
    pub read_only: bool,
    /// With a terminal.
    pub tty: bool,
    /// With standard input kept open.
    pub stdin_open: bool,
    /// An init process that reaps.
    pub init: Option<bool>,
    /// e.g. `linux/arm64`
    pub platform: Option<String>,
    /// The OCI runtime.
    pub runtime: Option<String>,
    /// Do not end it for want of memory.
    pub oom_kill_disable: bool,
    /// −1000 to 1000.
    pub oom_score_adj: Option<i64>,
}

/// When to pull a service's image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// At each deployment.
    Always,
    /// When it is not there.
    Missing,
    /// Never.
    Never,
}

/// A port to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The address on the host; all of them when absent.
    pub host_ip: Option<String>,
    /// The port on the host; any free one when absent.
    pub published: Option<u16>,
    /// The port in the container.
    pub target: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// For clusters with a routing mesh: on every host, or only where a container runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<PublishMode>,
}

/// A name and path under which a service is reached over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ingress {
    /// The host name; absent: any.
    pub host: Option<String>,
    /// Begins with `/`.
    pub path: String,
    /// The container's port; 0: the first one that the service has.
    pub port: u16,
    /// The Secret with the certificate.
    pub tls: Option<String>,
    /// Who lets people in; absent: the cluster's default.
    pub class: Option<String>,
    /// For who lets people in.
    pub annotations: IndexMap<String, String>,
}

/// Where a port is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishMode {
    /// On every host of the cluster.
    Ingress,
    /// On the hosts that a container runs on.
    Host,
}

/// Something to mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it stands in the text, from 1.
    #[serde(skip)]
    pub line: u32,
    /// What kind.
    pub kind: MountKind,
    /// A volume's name in the text or a path on the host; absent: an anonymous volume or tmpfs.
    pub source: Option<String>,
    /// The path in the container.
    pub target: String,
    /// Not writable.
    pub read_only: bool,
    /// Do not copy the image's files into a new volume.
    pub nocopy: bool,
    /// For binds: e.g. `rprivate`.
    pub propagation: Option<String>,
    /// For tmpfs: bytes.
    pub tmpfs_size: Option<u64>,
}

/// What kind of thing is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A named or anonymous volume.
    Volume,
    /// A path of the host.
    Bind,
    /// Memory.
    Tmpfs,
}

/// How a service is in a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkAttachment {
    /// More names than the service's.
    pub aliases: Vec<String>,
    /// A fixed address.
    pub ipv4_address: Option<String>,
    /// A fixed address.
    pub ipv6_address: Option<String>,
}

/// A service that another one waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What it waits for.
    pub condition: DependencyCondition,
    /// Be restarted when the other one is changed.
    pub restart: bool,
    /// False: go on without it.
    pub required: bool,
}

/// What a service waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DependencyCondition {
    /// It runs.
    #[serde(rename = "service_started")]
    Started,
    /// Its health check passes.
    #[serde(rename = "service_healthy")]
    Healthy,
    /// It has ended with exit code 0.
    #[serde(rename = "service_completed_successfully")]
    Completed,
}

/// A health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Healthcheck {
    /// As Docker takes it: `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", "…"]`; absent: the image's.
    pub test: Option<Vec<String>>,
    /// Milliseconds.
    pub interval_ms: Option<u64>,
    /// Milliseconds.
    pub timeout_ms: Option<u64>,
    /// Milliseconds.
    pub start_period_ms: Option<u64>,
    /// Failures until it is unhealthy.
    pub retries: Option<u64>,
}

/// A health check that the server makes, over HTTP or TCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthProbe {
    /// The container's port.
    pub port: u16,
    /// What to ask for there; absent: that it takes a TCP connection is enough.
    pub http: Option<HttpProbe>,
    /// Between two checks, milliseconds.
    pub interval_ms: u64,
    /// How long an answer may take, milliseconds.
    pub timeout_ms: u64,
    /// So many in a row make it healthy.
    pub healthy_threshold: u32,
    /// So many failures in a row make it unhealthy.
    pub unhealthy_threshold: u32,
    /// How long a new container may take until it is healthy, milliseconds.
    pub initializing_ms: u64,
    /// What is done about one that is unhealthy.
    pub strategy: HealthStrategy,
    /// Nothing is done about it while fewer than these are healthy.
    pub quorum: u32,
}

impl Default for HealthProbe {
    fn default() -> Self {
        Self {
            port: 0,
            http: None,
            interval_ms: 2000,
            timeout_ms: 2000,
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            initializing_ms: 60_000,
            strategy: HealthStrategy::Recreate,
            quorum: 0,
        }
    }
}

/// What a [`HealthProbe`] asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpProbe {
    /// Begins with `/`.
    pub path: String,
    /// The answer's status; absent: any from 200 to 399.
    pub status: Option<u16>,
}

impl Default for HttpProbe {
    fn default() -> Self {
        Self { path: "/".into(), status: None }
    }
}

/// What is done about an unhealthy container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStrategy {
    /// A new one takes its place.
    #[default]
    Recreate,
    /// It is only shown, and left out of DNS.
    None,
}

/// When to start a container again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never.
    No,
    /// Always.
    Always,
    /// When it ends with another code than 0, at most so often (0: without limit).
    OnFailure(u64),
    /// Unless a person stopped it.
    UnlessStopped,
}

/// How many, where, and how to change them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deploy {
    /// One on each matching host.
    pub global: bool,
    /// Run to the end, and not again.
    pub job: bool,
    /// How many.
    pub replicas: u32,
    /// What it may use at most.
    pub limits: Resources,
    /// What is set aside for it.
    pub reservations: Resources,
    /// e.g. `node.labels.disk == ssd`
    pub constraints: Vec<Constraint>,
    /// Labels whose values to spread over.
    pub spread: Vec<String>,
    /// At most so many on one host (0: without limit).
    pub max_replicas_per_node: u32,
    /// How to change it.
    pub update: UpdateConfig,
    /// How to go back.
    pub rollback: Option<UpdateConfig>,
    /// Labels of the service.
    pub labels: IndexMap<String, String>,
    /// What the service's name resolves to, for clusters with virtual addresses.
    pub endpoint_mode: Option<EndpointMode>,
    /// When a container that has ended is followed by another one, for clusters that wait.
    pub restart: RestartPauses,
}

/// What a service's name resolves to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointMode {
    /// One virtual address.
    Vip,
    /// The addresses of its containers.
    Dnsrr,
}

/// The pauses of `deploy.restart_policy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartPauses {
    /// Before the next one is started, milliseconds.
    pub delay_ms: Option<u64>,
    /// How long one must run to count as started, milliseconds.
    pub window_ms: Option<u64>,
}

impl Default for Deploy {
    fn default() -> Self {
        Self {
            global: false,
            job: false,
            replicas: 1,
            limits: Resources::default(),
            reservations: Resources::default(),
            constraints: Vec::new(),
            spread: Vec::new(),
            max_replicas_per_node: 0,
            update: UpdateConfig::default(),
            rollback: None,
            labels: IndexMap::new(),
            endpoint_mode: None,
            restart: RestartPauses::default(),
        }
    }
}

/// CPU, memory and processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Billionths of a core.
    pub nano_cpus: Option<i64>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub pids: Option<i64>,
    /// What nodes were told that they have, e.g. `gpu: 2`, or by the name of one, `gpu: UUID1`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub generic: Vec<(String, String)>,
}

/// A rule for the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// `node.hostname`, `node.id`, `node.labels.KEY`, `node.platform.os`, `node.platform.arch`.
    pub key: String,
    /// True for `==`, false for `!=`.
    pub equal: bool,
    /// The value.
    pub value: String,
}

/// How to change a service's containers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateConfig {
    /// How many at once; 0: all.
    pub parallelism: u32,
    /// Between batches, milliseconds.
    pub delay_ms: u64,
    /// Start the new one before the old one is stopped.
    pub start_first: bool,
    /// What to do when it fails.
    pub failure_action: FailureAction,
    /// How long a new container is watched, milliseconds.
    pub monitor_ms: u64,
    /// The share of new containers that may fail.
    pub max_failure_ratio: f64,
}

impl Default for UpdateConfig {
    fn default() -> Self {
        Self {
            parallelism: 1,
            delay_ms: 0,
            start_first: false,
            failure_action: FailureAction::Pause,
            monitor_ms: 5000,
            max_failure_ratio: 0.0,
        }
    }
}

/// What to do when an update fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureAction {
    /// Stop there.
    #[default]
    Pause,
    /// Go on.
    Continue,
    /// Go back.
    Rollback,
}

/// A secret or config as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMount {
    /// The name in the text.
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// The owner.
    pub uid: Option<String>,
    /// The owner's group.
    pub gid: Option<String>,
    /// The mode, e.g. 0o444.
    pub mode: Option<u32>,
}

/// Where the content of a secret or config comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSource {
    /// It stands in the text.
    Content(String),
    /// It is the value of a variable.
    Environment(String),
    /// It is a secret of the environment, by this name.
    External(String),
}

/// A limit of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Where a warning comes.
    pub soft: i64,
    /// Where it ends.
    pub hard: i64,
}

/// Where logs go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// e.g. `json-file`
    pub driver: Option<String>,
    /// The driver's options.
    pub options: IndexMap<String, String>,
}

/// A network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Where it stands in the text, from 1.
    #[serde(skip)]
    pub line: u32,
    /// e.g. `bridge`
    pub driver: Option<String>,
    /// The driver's options.
    pub driver_opts: IndexMap<String, String>,
    /// No way out.
    pub internal: bool,
    /// Containers may be attached by hand.
    pub attachable: bool,
    /// With IPv6.
    pub enable_ipv6: bool,
    /// `SUBNET` and, where given, `GATEWAY` and `IP_RANGE`.
    pub ipam: Vec<(String, Option<String>, Option<String>)>,
    /// Its labels.
    pub labels: IndexMap<String, String>,
    /// Its own name, not the stack's.
    pub name: Option<String>,
    /// It is there already, and is not the stack's.
    pub external: bool,
}

/// A named volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Where it stands in the text, from 1.
    #[serde(skip)]
    pub line: u32,
    /// e.g. `local`
    pub driver: Option<String>,
    /// The driver's options.
    pub driver_opts: IndexMap<String, String>,
    /// Its labels.
    pub labels: IndexMap<String, String>,
    /// Its own name, not the stack's.
    pub name: Option<String>,
    /// It is there already, and is not the stack's.
    pub external: bool,
}
