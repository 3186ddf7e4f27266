//! The swarm as last seen, in memory and compact: what all lists are answered from. The watcher
//! alone writes it, part by part; everybody reads.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use drover_api::{
    NodeAvailability, NodeRole, ServiceMode, ServiceUpdate, SwarmFile, SwarmNetwork, SwarmNode,
    SwarmService, SwarmServiceState, SwarmStack, SwarmTask, Timestamp,
};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::spec::{IMAGE, NAMESPACE};
use crate::{
    clusters::{Observed, ObservedService},
    hosts::{
        driver::{
            models,
            swarm::{Blob, BlobKind, Node, Service, Task},
        },
        labels,
    },
};

/// All that was seen.
#[derive(Clone, Default)]
pub(super) struct View {
    pub cluster: Option<Arc<ClusterFacts>>,
    pub nodes: Arc<Vec<Node>>,
    /// By id.
    pub services: Arc<BTreeMap<String, SeenService>>,
    pub tasks: Arc<Vec<SeenTask>>,
    pub secrets: Arc<Vec<SeenBlob>>,
    pub configs: Arc<Vec<SeenBlob>>,
    pub networks: Arc<Vec<SeenNetwork>>,
    /// Grows with each change.
    pub revision: u64,
    /// When it was last whole.
    pub read_at: Option<Instant>,
}

/// What managers say of the swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClusterFacts {
    pub id: String,
    pub autolock: bool,
    pub ca_rotating: bool,
    pub task_history: Option<u32>,
}

/// What of Drover's something is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Belongs {
    /// The stack on the command line.
    pub namespace: Option<String>,
    /// This environment's stack.
    pub stack_id: Option<Uuid>,
    /// The service in it.
    pub service: Option<String>,
    /// Of another environment or installation.
    pub foreign: bool,
}

impl Belongs {
    pub fn read(environment: Uuid, labels: &HashMap<String, String>) -> Self {
        let stack_id = labels::stack(environment, labels);
        Self {
            namespace: labels.get(NAMESPACE).cloned(),
            stack_id,
            service: labels.get(labels::SERVICE).cloned().filter(|_| stack_id.is_some()),
            foreign: stack_id.is_none() && labels.contains_key(labels::STACK),
        }
    }
}

/// A service.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SeenService {
    pub id: String,
    pub name: String,
    pub belongs: Belongs,
    pub mode: ServiceMode,
    /// How many are asked for; none of global ones.
    pub replicas: Option<u32>,
    pub image: String,
    pub digest: Option<String>,
    pub ports: Vec<String>,
    pub update: Option<Update>,
    /// Which run of a job is the newest.
    pub job_iteration: Option<u64>,
    /// The digest of what its containers are made from, by Drover or by nobody.
    pub task_digest: Option<String>,
    pub force_update: u64,
    pub networks: Vec<String>,
    /// Ids of secrets.
    pub secrets: Vec<String>,
    /// Ids of configs.
    pub configs: Vec<String>,
    pub tty: bool,
    pub created_at: Option<OffsetDateTime>,
    pub updated_at: Option<OffsetDateTime>,
}

/// How an update goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Update {
    pub state: &'static str,
    pub message: String,
    pub started_at: Option<OffsetDateTime>,
    pub completed_at: Option<OffsetDateTime>,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeenTask {
    pub id: String,
    pub service_id: String,
    pub slot: u32,
    pub node_id: Option<String>,
    pub state: &'static str,
    pub desired: &'static str,
    pub error: Option<Box<str>>,
    pub message: Box<str>,
    pub container_id: Option<String>,
    pub exit_code: i64,
    pub image: Arc<str>,
    pub task_digest: Option<Arc<str>>,
    pub force_update: u64,
    pub job_iteration: Option<u64>,
    pub ports: Vec<String>,
    pub at: Option<OffsetDateTime>,
    pub created_at: Option<OffsetDateTime>,
}

/// A secret or config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeenBlob {
    pub id: String,
    pub name: String,
    pub belongs: Belongs,
    pub labels: BTreeMap<String, String>,
    pub created_at: Option<OffsetDateTime>,
}

/// A network of the swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeenNetwork {
    pub id: String,
    pub name: String,
    pub driver: String,
    pub subnets: Vec<String>,
    pub attachable: bool,
    pub internal: bool,
    pub encrypted: bool,
    pub ingress: bool,
    pub belongs: Belongs,
    pub created_at: Option<OffsetDateTime>,
}

/// A state by its name, without a text of its own for each task.
fn known(state: &str) -> &'static str {
    const ALL: [&str; 21] = [
        "new",
        "allocated",
        "pending",
        "assigned",
        "accepted",
        "preparing",
        "ready",
        "starting",
        "running",
        "complete",
        "shutdown",
        "failed",
        "rejected",
        "remove",
        "orphaned",
        "updating",
        "paused",
        "completed",
        "rollback_started",
        "rollback_paused",
        "rollback_completed",
    ];
    ALL.into_iter().find(|known| *known == state).unwrap_or("unknown")
}

/// Nothing more happens to a task in this state.
pub(super) fn has_ended(state: &str) -> bool {
    matches!(state, "complete" | "shutdown" | "failed" | "rejected" | "remove" | "orphaned")
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    // Go's zero time means none.
    OffsetDateTime::parse(text, &Rfc3339).ok().filter(|at| at.year() > 1970)
}

/// Splits the digest from an image.
pub(super) fn split_digest(image: &str) -> (&str, Option<&str>) {
    image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)))
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(|item| item[key].as_str().map(str::to_owned)).collect()
}

fn string_map(value: &Value) -> HashMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
}

impl SeenService {
    pub fn read(environment: Uuid, service: &Service) -> Self {
        let spec = &service.spec;
        let task = &spec["TaskTemplate"];
        let container = &task["ContainerSpec"];
        let labels = string_map(&spec["Labels"]);
        let number = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
        let mode = &spec["Mode"];
        let (mode, replicas) = if !mode["Global"].is_null() {
            (ServiceMode::Global, None)
        } else if !mode["GlobalJob"].is_null() {
            (ServiceMode::GlobalJob, None)
        } else if !mode["ReplicatedJob"].is_null() {
            let runs = &mode["ReplicatedJob"];
            let total = number(&runs["TotalCompletions"]).or(number(&runs["MaxConcurrent"]));
            (ServiceMode::ReplicatedJob, Some(total.unwrap_or(1)))
        } else {
            (ServiceMode::Replicated, Some(number(&mode["Replicated"]["Replicas"]).unwrap_or(1)))
        };
        let pinned = container["Image"].as_str().unwrap_or_default();
        let (image, digest) = split_digest(pinned);
        let asked = labels.get(IMAGE).map_or(image, |asked| split_digest(asked).0);
        let networks =
            if task["Networks"].is_array() { &task["Networks"] } else { &spec["Networks"] };
        Self {
            id: service.id.clone(),
            name: service.name().to_owned(),
            mode,
            replicas,
            image: if asked.is_empty() { image } else { asked }.to_owned(),
            digest: digest.map(str::to_owned),
            ports: service.endpoint.ports.iter().map(port_text).collect(),
            update: service.update_status.as_ref().filter(|u| !u.state.is_empty()).map(|update| {
                Update {
                    state: known(&update.state),
                    message: update.message.clone(),
                    started_at: update.started_at.as_deref().and_then(moment),
                    completed_at: update.completed_at.as_deref().and_then(moment),
                }
            }),
            job_iteration: service.job_status.as_ref().map(|job| job.job_iteration.index),
            task_digest: container["Labels"][labels::SPEC].as_str().map(str::to_owned),
            force_update: task["ForceUpdate"].as_u64().unwrap_or_default(),
            networks: texts(networks, "Target"),
            secrets: texts(&container["Secrets"], "SecretID"),
            configs: texts(&container["Configs"], "ConfigID"),
            tty: container["TTY"].as_bool().unwrap_or_default(),
            created_at: moment(&service.created_at),
            updated_at: moment(&service.updated_at),
            belongs: Belongs::read(environment, &labels),
        }
    }

    pub fn is_job(&self) -> bool {
        matches!(self.mode, ServiceMode::ReplicatedJob | ServiceMode::GlobalJob)
    }

    /// Whether a task is of the make that the service has now.
    fn is_current(&self, task: &SeenTask) -> bool {
        let same_run = match (self.job_iteration, task.job_iteration) {
            (Some(service), Some(task)) => service == task,
            _ => true,
        };
        same_run
            && task.force_update == self.force_update
            && match (&self.task_digest, &task.task_digest) {
                (Some(service), Some(task)) => **service == **task,
                _ => split_digest(&task.image) == (self.image.as_str(), self.digest.as_deref()),
            }
    }
}

fn port_text(port: &crate::hosts::driver::swarm::EndpointPort) -> String {
    let mode = if port.publish_mode == "host" { " (host)" } else { "" };
    if port.published_port == 0 {
        return format!("{}/{}{mode}", port.target_port, port.protocol);
    }
    format!("{}:{}/{}{mode}", port.published_port, port.target_port, port.protocol)
}

/// Reads tasks into the compact form, sharing what many have in common.
#[derive(Default)]
pub(super) struct Names(HashSet<Arc<str>>);

impl Names {
    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.0.insert(new.clone());
        new
    }

    pub fn task(&mut self, task: Task) -> SeenTask {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let container = task.status.container_status;
        SeenTask {
            slot: task.slot.try_into().unwrap_or_default(),
            node_id: some(task.node_id),
            state: known(&task.status.state),
            desired: known(&task.desired_state),
            error: some(task.status.err).map(Into::into),
            message: task.status.message.into(),
            container_id: some(container.container_id),
            exit_code: container.exit_code,
            image: self.share(&task.spec.container_spec.image),
            task_digest: task.spec.container_spec.labels.get(labels::SPEC).map(|d| self.share(d)),
            force_update: task.spec.force_update,
            job_iteration: task.job_iteration.map(|version| version.index),
            ports: {
                // Told once for IPv4 and once for IPv6.
                let ports = task.status.port_status.ports.iter().map(port_text);
                ports.collect::<BTreeSet<_>>().into_iter().collect()
            },
            at: moment(&task.status.timestamp),
            created_at: moment(&task.created_at),
            id: task.id,
            service_id: task.service_id,
        }
    }
}

impl SeenTask {
    pub fn runs(&self) -> bool {
        self.state == "running" && self.desired == "running"
    }

    /// What is on its way to another state.
    pub fn is_moving(&self) -> bool {
        !has_ended(self.state)
            && match self.desired {
                "running" => !matches!(self.state, "running" | "pending"),
                "complete" => !matches!(self.state, "running" | "pending"),
                _ => true,
            }
    }

    /// Which instance of its service it is a try at.
    fn instance(&self) -> (&str, u32, &str) {
        let node = if self.slot == 0 { self.node_id.as_deref().unwrap_or_default() } else { "" };
        (&self.service_id, self.slot, node)
    }
}

impl SeenBlob {
    pub fn read(environment: Uuid, blob: Blob) -> Self {
        Self {
            belongs: Belongs::read(environment, &blob.spec.labels),
            created_at: moment(&blob.created_at),
            id: blob.id,
            name: blob.spec.name,
            labels: blob.spec.labels.into_iter().collect(),
        }
    }
}

impl SeenNetwork {
    /// `None` for networks of one host.
    pub fn read(environment: Uuid, network: models::Network) -> Option<Self> {
        if network.scope.as_deref() != Some("swarm") {
            return None;
        }
        let labels = network.labels.unwrap_or_default();
        let pools = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        let options = network.options.unwrap_or_default();
        Some(Self {
            id: network.id.unwrap_or_default(),
            name: network.name.unwrap_or_default(),
            driver: network.driver.unwrap_or_default(),
            subnets: pools.into_iter().filter_map(|pool| pool.subnet).collect(),
            attachable: network.attachable.unwrap_or_default(),
            internal: network.internal.unwrap_or_default(),
            encrypted: options.get("encrypted").is_some_and(|value| value != "false"),
            ingress: network.ingress.unwrap_or_default(),
            belongs: Belongs::read(environment, &labels),
            created_at: network.created.as_deref().and_then(moment),
        })
    }
}

/// A host of the environment: id and name, by its node.
pub(super) type HostsByNode = HashMap<String, (Uuid, String)>;

impl View {
    fn tasks_of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a SeenTask> {
        self.tasks.iter().filter(move |task| task.service_id == service)
    }

    /// The newest try at each instance.
    fn newest(&self) -> HashSet<&str> {
        let mut newest: HashMap<_, &SeenTask> = HashMap::new();
        for task in self.tasks.iter() {
            let known = newest.entry(task.instance()).or_insert(task);
            // What is wanted counts before what is only newer, as during an update.
            let rank = |task: &SeenTask| (task.desired == "running", task.created_at);
            if rank(task) > rank(known) {
                *known = task;
            }
        }
        newest.into_values().map(|task| task.id.as_str()).collect()
    }

    /// All services, as the API tells them.
    pub fn services(&self) -> Vec<SwarmService> {
        let mut by_service: HashMap<&str, Vec<&SeenTask>> = HashMap::new();
        for task in self.tasks.iter() {
            by_service.entry(&task.service_id).or_default().push(task);
        }
        let none = Vec::new();
        self.services
            .values()
            .map(|service| to_api(service, by_service.get(&*service.id).unwrap_or(&none)))
            .collect()
    }

    /// A service by its id or name.
    pub fn find_service(&self, id: &str) -> Option<&SeenService> {
        self.services.get(id).or_else(|| self.services.values().find(|service| service.name == id))
    }

    /// A service, as the API tells it.
    pub fn service(&self, service: &SeenService) -> SwarmService {
        to_api(service, &self.tasks_of(&service.id).collect::<Vec<_>>())
    }

    /// Tasks that `wanted` likes, as the API tells them.
    pub fn tasks(&self, hosts: &HostsByNode, wanted: impl Fn(&SeenTask) -> bool) -> Vec<SwarmTask> {
        let newest = self.newest();
        let nodes: HashMap<&str, &str> = self
            .nodes
            .iter()
            .map(|node| (node.id.as_str(), node.description.hostname.as_str()))
            .collect();
        self.tasks
            .iter()
            .filter(|task| wanted(task))
            .map(|task| {
                let service = self.services.get(&task.service_id);
                let service_name = service.map_or("", |service| service.name.as_str());
                let node = task.node_id.as_deref();
                SwarmTask {
                    id: task.id.clone(),
                    name: self.task_name(task),
                    service_id: task.service_id.clone(),
                    service_name: service_name.to_owned(),
                    slot: Some(task.slot).filter(|slot| *slot > 0),
                    node_id: task.node_id.clone(),
                    node_hostname: node.and_then(|id| nodes.get(id)).map(|&name| name.to_owned()),
                    host_id: node.and_then(|id| hosts.get(id)).map(|(id, _)| *id),
                    container_id: task.container_id.clone(),
                    state: task.state.to_owned(),
                    desired_state: task.desired.to_owned(),
                    current: newest.contains(task.id.as_str()),
                    error: task.error.as_deref().map(str::to_owned),
                    exit_code: (has_ended(task.state) && task.container_id.is_some())
                        .then_some(task.exit_code),
                    image: split_digest(&task.image).0.to_owned(),
                    ports: task.ports.clone(),
                    at: task.at.map(Timestamp),
                    created_at: task.created_at.map(Timestamp),
                }
            })
            .collect()
    }

    /// e.g. `web_app.2`, or of global services `web_app.NODE`.
    fn task_name(&self, task: &SeenTask) -> String {
        let service = self.services.get(&task.service_id);
        let service = service.map_or(task.service_id.as_str(), |service| service.name.as_str());
        match (task.slot, task.node_id.as_deref()) {
            (0, Some(node)) => format!("{service}.{node}"),
            (0, None) => service.to_owned(),
            (slot, _) => format!("{service}.{slot}"),
        }
    }

    /// The name of a task, if it is known.
    pub fn name_of_task(&self, id: &str) -> Option<String> {
        self.tasks.iter().find(|task| task.id == id).map(|task| self.task_name(task))
    }

    /// All nodes, as the API tells them.
    pub fn nodes(&self, hosts: &HostsByNode) -> Vec<SwarmNode> {
        let mut running: HashMap<&str, u32> = HashMap::new();
        for node in
            self.tasks.iter().filter(|task| task.runs()).filter_map(|t| t.node_id.as_deref())
        {
            *running.entry(node).or_default() += 1;
        }
        self.nodes
            .iter()
            .map(|node| {
                let host = hosts.get(&node.id);
                let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
                let manager = node.manager_status.as_ref();
                SwarmNode {
                    id: node.id.clone(),
                    hostname: node.description.hostname.clone(),
                    host_id: host.map(|(id, _)| *id),
                    host_name: host.map(|(_, name)| name.clone()),
                    role: role(node),
                    availability: match node.spec.availability.as_str() {
                        "pause" => NodeAvailability::Pause,
                        "drain" => NodeAvailability::Drain,
                        _ => NodeAvailability::Active,
                    },
                    state: node.status.state.clone(),
                    message: some(&node.status.message),
                    leader: manager.is_some_and(|manager| manager.leader),
                    reachability: manager.map(|manager| manager.reachability.clone()),
                    address: node.status.addr.clone(),
                    labels: sorted(&node.spec.labels),
                    engine_labels: sorted(&node.description.engine.labels),
                    engine_version: node.description.engine.engine_version.clone(),
                    platform: format!(
                        "{}/{}",
                        node.description.platform.os, node.description.platform.architecture
                    ),
                    cpus: node.description.resources.nano_cpus as f64 / 1e9,
                    memory: node.description.resources.memory_bytes.try_into().unwrap_or_default(),
                    running_tasks: running.get(node.id.as_str()).copied().unwrap_or_default(),
                    created_at: moment(&node.created_at).map(Timestamp),
                }
            })
            .collect()
    }

    /// The stacks, as `docker stack ls` shows them.
    pub fn stacks(&self) -> Vec<SwarmStack> {
        let mut all: BTreeMap<String, SwarmStack> = BTreeMap::new();
        let services = self.services();
        for service in services.into_iter().filter(|service| service.stack.is_some()) {
            let name = service.stack.unwrap_or_default();
            let stack = all.entry(name.clone()).or_insert_with(|| SwarmStack {
                name,
                stack_id: None,
                foreign: false,
                services: 0,
                desired: 0,
                running: 0,
            });
            stack.stack_id = stack.stack_id.or(service.stack_id);
            stack.foreign |= service.foreign;
            stack.services += 1;
            stack.desired += service.replicas;
            stack.running += service.running + service.completed;
        }
        all.into_values().collect()
    }

    /// Secrets or configs, as the API tells them.
    pub fn files(&self, kind: BlobKind) -> Vec<SwarmFile> {
        let blobs = match kind {
            BlobKind::Secret => &self.secrets,
            BlobKind::Config => &self.configs,
        };
        blobs.iter().map(|blob| self.file(kind, blob)).collect()
    }

    /// A secret or config by its id or name.
    pub fn find_file(&self, kind: BlobKind, id: &str) -> Option<&SeenBlob> {
        let blobs = match kind {
            BlobKind::Secret => &self.secrets,
            BlobKind::Config => &self.configs,
        };
        blobs.iter().find(|blob| blob.id == id || blob.name == id)
    }

    /// See [`View::files`].
    pub fn file(&self, kind: BlobKind, blob: &SeenBlob) -> SwarmFile {
        SwarmFile {
            id: blob.id.clone(),
            name: blob.name.clone(),
            stack: blob.belongs.namespace.clone(),
            stack_id: blob.belongs.stack_id,
            labels: blob.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            services: self.users_of(kind, &blob.id).map(|service| service.name.clone()).collect(),
            created_at: blob.created_at.map(Timestamp),
        }
    }

    /// The services that use a secret or config.
    pub fn users_of<'a>(
        &'a self,
        kind: BlobKind,
        id: &'a str,
    ) -> impl Iterator<Item = &'a SeenService> {
        self.services.values().filter(move |service| {
            let used = match kind {
                BlobKind::Secret => &service.secrets,
                BlobKind::Config => &service.configs,
            };
            used.iter().any(|used| used == id)
        })
    }

    /// All networks, as the API tells them.
    pub fn networks(&self) -> Vec<SwarmNetwork> {
        self.networks
            .iter()
            .map(|network| SwarmNetwork {
                id: network.id.clone(),
                name: network.name.clone(),
                driver: network.driver.clone(),
                subnets: network.subnets.clone(),
                attachable: network.attachable,
                internal: network.internal,
                encrypted: network.encrypted,
                ingress: network.ingress,
                stack: network.belongs.namespace.clone(),
                stack_id: network.belongs.stack_id,
                services: self
                    .services
                    .values()
                    .filter(|s| s.networks.iter().any(|n| *n == network.id || *n == network.name))
                    .map(|service| service.name.clone())
                    .collect(),
                created_at: network.created_at.map(Timestamp),
            })
            .collect()
    }

    /// How the services of a stack of Drover's are.
    pub fn observe(&self, stack: Uuid) -> Observed {
        let own = self.services.values().filter(|s| s.belongs.stack_id == Some(stack));
        own.filter_map(|service| {
            let name = service.belongs.service.clone()?;
            let told = self.service(service);
            let wanted =
                self.tasks_of(&service.id).filter(|task| task.desired == "running").count();
            let observed = ObservedService {
                all: wanted as u32,
                running: told.running,
                // A swarm counts a task with a health check as running once it is healthy.
                healthy: told.running,
                completed: told.completed,
                scale: Some(told.replicas),
            };
            Some((name, observed))
        })
        .collect()
    }

    /// Something is on its way: look again soon.
    pub fn is_moving(&self) -> bool {
        self.tasks.iter().any(SeenTask::is_moving)
            || self.services.values().any(|service| {
                let update = service.update.as_ref().map(|update| update.state);
                matches!(update, Some("updating" | "rollback_started"))
            })
    }
}

pub(super) fn role(node: &Node) -> NodeRole {
    if node.spec.role == "manager" { NodeRole::Manager } else { NodeRole::Worker }
}

fn sorted(labels: &HashMap<String, String>) -> indexmap::IndexMap<String, String> {
    let sorted: BTreeMap<_, _> = labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    sorted.into_iter().collect()
}

fn to_api(service: &SeenService, tasks: &[&SeenTask]) -> SwarmService {
    let wanted = || tasks.iter().filter(|task| task.desired == "running");
    let running = tasks.iter().filter(|task| task.runs()).count() as u32;
    let completed = tasks
        .iter()
        .filter(|task| service.is_job() && task.state == "complete" && service.is_current(task))
        .count() as u32;
    let job_runs = tasks
        .iter()
        .filter(|task| service.is_current(task) && !matches!(task.state, "failed" | "rejected"))
        .count() as u32;
    let replicas = match service.mode {
        ServiceMode::Replicated | ServiceMode::ReplicatedJob => service.replicas.unwrap_or(1),
        ServiceMode::Global => wanted().count() as u32,
        ServiceMode::GlobalJob => job_runs,
    };
    let done = tasks.iter().filter(|task| task.runs() && service.is_current(task)).count() as u32;
    let update = service.update.as_ref().map(|update| ServiceUpdate {
        state: update.state.to_owned(),
        message: update.message.clone(),
        done,
        started_at: update.started_at.map(Timestamp),
        completed_at: update.completed_at.map(Timestamp),
    });
    let state = match update.as_ref().map(|update| update.state.as_str()) {
        Some("updating") => SwarmServiceState::Updating,
        Some("rollback_started") => SwarmServiceState::RollingBack,
        Some("paused" | "rollback_paused") => SwarmServiceState::Paused,
        _ if service.is_job() && completed >= replicas => SwarmServiceState::Completed,
        _ if replicas == 0 => SwarmServiceState::Stopped,
        _ if running + completed >= replicas => SwarmServiceState::Running,
        _ => SwarmServiceState::Degraded,
    };
    let reason = match state {
        SwarmServiceState::Running | SwarmServiceState::Completed | SwarmServiceState::Stopped => {
            None
        }
        SwarmServiceState::Paused => service.update.as_ref().map(|update| update.message.clone()),
        _ => why_not_running(tasks.iter().copied()),
    };
    SwarmService {
        id: service.id.clone(),
        name: service.name.clone(),
        state,
        reason,
        stack: service.belongs.namespace.clone(),
        stack_id: service.belongs.stack_id,
        stack_service: service.belongs.service.clone(),
        foreign: service.belongs.foreign,
        mode: service.mode,
        replicas,
        running,
        completed,
        image: service.image.clone(),
        digest: service.digest.clone(),
        ports: service.ports.clone(),
        update,
        created_at: service.created_at.map(Timestamp),
        updated_at: service.updated_at.map(Timestamp),
    }
}

/// The newest error among a service's tasks, in words.
pub(super) fn why_not_running<'a>(tasks: impl Iterator<Item = &'a SeenTask>) -> Option<String> {
    let newest = tasks.filter(|task| !task.runs()).max_by_key(|task| task.created_at)?;
    match (&newest.error, newest.state) {
        (Some(error), _) => Some(format!("A task says: {error}.")),
        (None, state) if !has_ended(state) => Some(format!("A task is {state}.")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(json: serde_json::Value) -> SeenService {
        let service: Service = serde_json::from_value(json).unwrap();
        SeenService::read(Uuid::from_u128(2), &service)
    }

    fn task(id: &str, slot: u64, state: &str, desired: &str, created: u32) -> SeenTask {
        let json = json!({
            "ID": id, "ServiceID": "s", "Slot": slot, "NodeID": "n", "DesiredState": desired,
            "CreatedAt": format!("2026-01-31T08:30:{created:02}Z"),
            "Spec": { "ContainerSpec": { "Image": "app:1@sha256:00" } },
            "Status": { "State": state, "Err": if state == "failed" { "task: non-zero exit (1)" } else { "" } },
        });
        Names::default().task(serde_json::from_value(json).unwrap())
    }

    fn view(tasks: Vec<SeenTask>) -> View {
        let service = service(json!({
            "ID": "s", "Spec": {
                "Name": "shop_web",
                "Labels": { NAMESPACE: "shop", IMAGE: "app:1",
                    labels::ENVIRONMENT: Uuid::from_u128(2).to_string(),
                    labels::STACK: Uuid::from_u128(1).to_string(), labels::SERVICE: "web" },
                "Mode": { "Replicated": { "Replicas": 2 } },
                "TaskTemplate": { "ContainerSpec": { "Image": "app:1@sha256:00" } },
            },
            "Endpoint": { "Ports": [{ "Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host" }] },
        }));
        View {
            services: Arc::new([(service.id.clone(), service)].into()),
            tasks: Arc::new(tasks),
            ..View::default()
        }
    }

    #[test]
    fn a_service_is_told_by_its_tasks() {
        let view = view(vec![
            task("old", 1, "failed", "shutdown", 1),
            task("a", 1, "running", "running", 2),
            task("b", 2, "running", "running", 3),
        ]);
        let told = view.services().pop().unwrap();
        assert_eq!((told.running, told.replicas, told.state), (2, 2, SwarmServiceState::Running));
        assert_eq!((told.image.as_str(), told.digest.as_deref()), ("app:1", Some("sha256:00")));
        assert_eq!(told.ports, ["8080:80/tcp (host)"]);
        let tasks = view.tasks(&HostsByNode::new(), |_| true);
        let current: Vec<_> = tasks.iter().filter(|t| t.current).map(|t| t.id.as_str()).collect();
        assert_eq!(current, ["a", "b"]);
        assert_eq!(tasks[1].name, "shop_web.1");
        let observed = view.observe(Uuid::from_u128(1));
        assert_eq!(observed["web"].healthy, 2);
        assert_eq!(view.stacks()[0].name, "shop");
        assert!(!view.is_moving());
    }

    #[test]
    fn a_service_that_fails_says_why() {
        let view = view(vec![
            task("a", 1, "failed", "shutdown", 1),
            task("b", 1, "ready", "running", 2),
            task("c", 2, "failed", "shutdown", 9),
        ]);
        let told = view.services().pop().unwrap();
        assert_eq!(told.state, SwarmServiceState::Degraded);
        assert_eq!(told.reason.as_deref(), Some("A task says: task: non-zero exit (1)."));
        assert!(view.is_moving());
    }

    #[test]
    fn what_others_made_is_known() {
        let labels = HashMap::from([
            (labels::ENVIRONMENT.to_owned(), Uuid::from_u128(9).to_string()),
            (labels::STACK.to_owned(), Uuid::from_u128(1).to_string()),
        ]);
        let belongs = Belongs::read(Uuid::from_u128(2), &labels);
        assert!(belongs.foreign && belongs.stack_id.is_none());
    }
}
