//! What whole objects tell: a few facts that lists and pictures need, and whether the object is
//! healthy, with one sentence why it is not. Pure: text in, facts out. The index keeps the facts
//! and drops the object.

mod input;
mod network;
mod node;
mod other;
mod pod;
pub mod quantity;
mod storage;
mod workload;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use input::{Meta, sentence};
use input::{Object, Skipped};

use crate::index::{Label, Pool, Selector};

/// How an object fares. In this order: what needs somebody first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It does not work and will not by itself.
    Failed,
    /// It works in part, or not well.
    Degraded,
    /// It is on its way.
    Progressing,
    /// Nothing is known of it, e.g. because its node is away.
    Unknown,
    /// As it should be.
    Healthy,
}

impl Health {
    /// All of them, worst first.
    pub const ALL: [Health; 5] =
        [Self::Failed, Self::Degraded, Self::Progressing, Self::Unknown, Self::Healthy];

    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Degraded => "degraded",
            Self::Progressing => "progressing",
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
        }
    }
}

/// How an object fares, and why it does not fare well: one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How.
    pub health: Health,
    /// Why; nothing when healthy.
    pub why: Option<String>,
}

impl Verdict {
    /// All is well.
    pub fn healthy() -> Self {
        Self { health: Health::Healthy, why: None }
    }

    pub(crate) fn new(health: Health, why: impl Into<String>) -> Self {
        Self { health, why: Some(why.into()) }
    }
}

/// CPU and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Thousandths of a CPU.
    pub cpu_milli: u32,
    /// Bytes.
    pub memory: u64,
}

impl std::ops::AddAssign for Amounts {
    fn add_assign(&mut self, other: Self) {
        self.cpu_milli = self.cpu_milli.saturating_add(other.cpu_milli);
        self.memory = self.memory.saturating_add(other.memory);
    }
}

/// What an object tells beyond its columns, by kind. All moments are seconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Facts {
    /// Nothing that is kept.
    #[default]
    None,
    Pod(Box<PodFacts>),
    Workload(Box<WorkloadFacts>),
    CronJob(Box<CronJobFacts>),
    Autoscaler(Box<AutoscalerFacts>),
    Node(Box<NodeFacts>),
    Service(Box<ServiceFacts>),
    Route(Box<RouteFacts>),
    Claim(Box<ClaimFacts>),
    Volume(Box<VolumeFacts>),
    Event(Box<EventFacts>),
}

/// Of a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// Its phase, e.g. `Running`.
    pub phase: Arc<str>,
    /// Where it runs; nothing while it is not scheduled.
    pub node: Option<Arc<str>>,
    /// How many of its containers are ready.
    pub ready: u16,
    /// How many containers it has.
    pub containers: u16,
    /// How often its containers were restarted.
    pub restarts: u32,
    /// When one was last restarted.
    pub restarted: Option<i64>,
    /// What it asks for.
    pub requests: Amounts,
    /// What it may take; 0 where a container has no limit.
    pub limits: Amounts,
    /// The images of its containers.
    pub images: Arc<[Arc<str>]>,
    /// The PersistentVolumeClaims that it mounts.
    pub claims: Arc<[Arc<str>]>,
    /// The Ready condition is true.
    pub is_ready: bool,
}

/// Of a Deployment, ReplicaSet, StatefulSet, DaemonSet, ReplicationController or Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadFacts {
    /// How many pods there should be; of a Job, how many are to complete.
    pub desired: u32,
    /// How many are ready; of a Job, how many have completed.
    pub ready: u32,
    /// How many are of the newest template.
    pub updated: u32,
    /// How many are available; of a Job, how many are running.
    pub available: u32,
    /// It was paused or suspended.
    pub paused: bool,
    /// The revision, where it tells one.
    pub revision: Option<u32>,
    /// Which pods are its own.
    pub selector: Selector,
    /// The labels of its pods.
    pub pod_labels: Arc<[Label]>,
    /// The images of its containers.
    pub images: Arc<[Arc<str>]>,
    /// What each pod asks for.
    pub requests: Amounts,
    /// The PersistentVolumeClaims that its pods mount; of a StatefulSet also the names of its
    /// claim templates.
    pub claims: Arc<[Arc<str>]>,
    /// Of a Job: when it began.
    pub started: Option<i64>,
    /// Of a Job: when it ended.
    pub ended: Option<i64>,
}

/// Of a CronJob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronJobFacts {
    /// It was suspended.
    pub suspended: bool,
    /// E.g. `*/5 * * * *`.
    pub schedule: Arc<str>,
    /// How many of its jobs run.
    pub active: u32,
    /// When a job was last made.
    pub last_schedule: Option<i64>,
    /// When a job last succeeded.
    pub last_success: Option<i64>,
    /// The images of its containers.
    pub images: Arc<[Arc<str>]>,
}

/// Of a HorizontalPodAutoscaler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoscalerFacts {
    /// The kind that it scales.
    pub target_kind: Arc<str>,
    /// The name of what it scales.
    pub target_name: Arc<str>,
    /// The least.
    pub min: u32,
    /// The most.
    pub max: u32,
    /// How many there are.
    pub current: u32,
    /// How many it wants.
    pub desired: u32,
}

/// Of a Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// The Ready condition is true.
    pub ready: bool,
    /// It was cordoned.
    pub unschedulable: bool,
    /// What it has.
    pub capacity: Amounts,
    /// What pods may ask for.
    pub allocatable: Amounts,
    /// How many pods may run on it.
    pub pods: u32,
    /// E.g. `control-plane`.
    pub roles: Arc<[Arc<str>]>,
    /// E.g. `v1.33.1`.
    pub kubelet: Arc<str>,
    /// `provider://…`, from which the provider is guessed; may be empty.
    pub provider_id: Arc<str>,
    /// The conditions that are true besides Ready, e.g. `MemoryPressure`.
    pub conditions: Arc<[Arc<str>]>,
    /// How many taints keep pods away.
    pub taints: u16,
}

/// Of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceFacts {
    /// E.g. `ClusterIP`.
    pub kind: Arc<str>,
    /// Which pods it leads to; empty where somebody else keeps its endpoints.
    pub selector: Arc<[Label]>,
    /// Its ports, e.g. `http:80/TCP`.
    pub ports: Arc<[Arc<str>]>,
    /// Addresses that lead to it from outside.
    pub external: Arc<[Arc<str>]>,
}

/// Of an Ingress, or a route of the Gateway API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteFacts {
    /// The ingress class, or the gateways as `namespace/name`.
    pub parents: Arc<[Arc<str>]>,
    /// The names that it answers to; none for all.
    pub hosts: Arc<[Arc<str>]>,
    /// Where it leads.
    pub backends: Box<[Backend]>,
    /// It has TLS.
    pub tls: bool,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// The Service's namespace, where it is another than the route's.
    pub namespace: Option<Arc<str>>,
    /// The Service.
    pub service: Arc<str>,
    /// The port, by name or number; may be empty.
    pub port: Arc<str>,
    /// For which host and path, e.g. `shop.example.com/api`.
    pub rule: Arc<str>,
}

/// Of a PersistentVolumeClaim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimFacts {
    /// E.g. `Bound`.
    pub phase: Arc<str>,
    /// The volume.
    pub volume: Option<Arc<str>>,
    /// The storage class.
    pub class: Option<Arc<str>>,
    /// Bytes that it has.
    pub capacity: u64,
    /// Bytes that it asks for.
    pub requested: u64,
}

/// Of a PersistentVolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeFacts {
    /// E.g. `Released`.
    pub phase: Arc<str>,
    /// The claim that it is bound to: namespace and name.
    pub claim: Option<(Arc<str>, Arc<str>)>,
    /// The storage class.
    pub class: Option<Arc<str>>,
    /// Bytes.
    pub capacity: u64,
}

/// Of an Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFacts {
    /// `Warning` rather than `Normal`.
    pub warning: bool,
    /// E.g. `FailedScheduling`.
    pub reason: Arc<str>,
    /// In words.
    pub message: Arc<str>,
    /// The kind of what it is about.
    pub kind: Arc<str>,
    /// The namespace of what it is about; may be empty.
    pub namespace: Arc<str>,
    /// The name of what it is about.
    pub name: Arc<str>,
    /// The uid of what it is about; may be empty.
    pub uid: Arc<str>,
    /// How often.
    pub count: u32,
    /// When first.
    pub first: i64,
    /// When last.
    pub last: i64,
}

/// All that is read of an object.
#[derive(Debug)]
pub(crate) struct Reading {
    pub facts: Facts,
    pub verdict: Verdict,
}

/// The types whose whole objects are read.
const WHOLE: [&str; 18] = [
    "pods",
    "nodes",
    "namespaces",
    "services",
    "events",
    "persistentvolumeclaims",
    "persistentvolumes",
    "replicationcontrollers",
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "jobs.batch",
    "cronjobs.batch",
    "horizontalpodautoscalers.autoscaling",
    "ingresses.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
];

/// Whether Drover reads more of this type's objects than their metadata.
pub fn reads_whole(resource: &str) -> bool {
    WHOLE.contains(&resource)
}

/// Reads an object of a type (`plural.group`).
///
/// # Errors
/// When the text is no object.
pub(crate) fn read<'a>(
    resource: &str,
    text: &'a str,
    pool: &mut Pool,
) -> serde_json::Result<(Meta<'a>, Reading)> {
    let (meta, mut reading) = match read_kind(resource, text, pool) {
        Ok(read) => read,
        // A field that is not what it was when this was written: the object is there all the same.
        Err(error) => {
            tracing::debug!(resource, %error, "an object is read by its metadata only");
            let verdict = Verdict::new(
                Health::Unknown,
                "Drover cannot read this object; it may be of a newer version of Kubernetes.",
            );
            let object: Object<'a, Skipped, Skipped> = serde_json::from_str(text)?;
            (object.metadata, Reading { facts: Facts::None, verdict })
        }
    };
    if meta.deletion_timestamp.is_some() && resource != "namespaces" {
        reading.verdict = deleting(&meta);
    }
    Ok((meta, reading))
}

fn read_kind<'a>(
    resource: &str,
    text: &'a str,
    pool: &mut Pool,
) -> serde_json::Result<(Meta<'a>, Reading)> {
    Ok(match resource {
        "pods" => pod::read(text, pool)?,
        "deployments.apps" => workload::read_deployment(text, pool)?,
        "replicasets.apps" | "replicationcontrollers" => workload::read_replica_set(text, pool)?,
        "statefulsets.apps" => workload::read_stateful_set(text, pool)?,
        "daemonsets.apps" => workload::read_daemon_set(text, pool)?,
        "jobs.batch" => workload::read_job(text, pool)?,
        "cronjobs.batch" => workload::read_cron_job(text, pool)?,
        "horizontalpodautoscalers.autoscaling" => workload::read_autoscaler(text, pool)?,
        "nodes" => node::read(text, pool)?,
        "services" => network::read_service(text, pool)?,
        "ingresses.networking.k8s.io" => network::read_ingress(text, pool)?,
        "httproutes.gateway.networking.k8s.io" => network::read_http_route(text, pool)?,
        "persistentvolumeclaims" => storage::read_claim(text, pool)?,
        "persistentvolumes" => storage::read_volume(text, pool)?,
        "events" => other::read_event(text, pool)?,
        "namespaces" => other::read_namespace(text)?,
        "customresourcedefinitions.apiextensions.k8s.io" => other::read_definition(text)?,
        _ => {
            let object: Object<'a, Skipped, Skipped> = serde_json::from_str(text)?;
            (object.metadata, Reading { facts: Facts::None, verdict: Verdict::healthy() })
        }
    })
}

/// What is being deleted is on its way, unless finalizers hold it up: then it says which.
fn deleting(meta: &Meta<'_>) -> Verdict {
    let held: Vec<String> = meta.finalizers.iter().map(|name| format!("`{name}`")).collect();
    let why = match held.as_slice() {
        [] => "It is being deleted.".to_owned(),
        [one] => format!(
            "It is being deleted, and waits for the finalizer {one}. If that stays, its controller is gone or fails."
        ),
        several => format!(
            "It is being deleted, and waits for the finalizers {}. If they stay, their controllers are gone or fail.",
            several.join(", ")
        ),
    };
    Verdict::new(Health::Progressing, why)
}

/// `1 pod`, `2 pods`.
pub(crate) fn several(count: u32, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The facts and the verdict of an object.
    pub fn read_value(resource: &str, object: &Value) -> (Facts, Verdict) {
        let mut pool = Pool::default();
        let text = object.to_string();
        let (_, reading) = read(resource, &text, &mut pool).unwrap();
        (reading.facts, reading.verdict)
    }

    pub fn why(resource: &str, object: &Value) -> (Health, String) {
        let (_, verdict) = read_value(resource, object);
        (verdict.health, verdict.why.unwrap_or_default())
    }

    #[test]
    fn what_is_being_deleted_says_what_it_waits_for() {
        let (health, why) = why(
            "configmaps",
            &json!({"metadata": {"name": "a", "deletionTimestamp": "2027-01-15T07:00:00Z", "finalizers": ["example.com/keep"]}}),
        );
        assert_eq!(health, Health::Progressing);
        assert!(why.contains("`example.com/keep`"), "{why}");
    }

    #[test]
    fn objects_with_nothing_in_them_are_read() {
        for resource in WHOLE {
            for object in [
                json!({"metadata": {"name": "a"}}),
                json!({"metadata": {"name": "a", "labels": null, "annotations": null, "ownerReferences": null}, "spec": null, "status": null}),
                json!({"metadata": {"name": "a"}, "spec": {}, "status": {}}),
            ] {
                read_value(resource, &object);
            }
        }
    }

    #[test]
    fn an_object_that_cannot_be_read_spoils_no_list() {
        let (facts, verdict) =
            read_value("pods", &json!({"metadata": {"name": "a"}, "spec": {"containers": 3}}));
        assert_eq!((facts, verdict.health), (Facts::None, Health::Unknown));
        let mut pool = Pool::default();
        assert!(read("pods", "3", &mut pool).is_err());
    }

    #[test]
    fn health_is_in_order() {
        assert!(Health::ALL.is_sorted());
        for (number, health) in Health::ALL.into_iter().enumerate() {
            assert_eq!(health as usize, number);
        }
    }
}
