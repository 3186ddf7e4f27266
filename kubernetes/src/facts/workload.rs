//! Workloads: Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, CronJobs, and what scales
//! them.

use std::{borrow::Cow, sync::Arc};

use serde::Deserialize;

use super::{
    AutoscalerFacts, CronJobFacts, Facts, Health, Meta, Reading, Verdict, WorkloadFacts,
    input::{Condition, Labels, Moment, Object, or_default, sentence},
    pod::{PodSpec, amounts, claims},
};
use crate::index::{ObjectSelector, Pool, Selector};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec<'a> {
    replicas: Option<u32>,
    selector: Option<AnySelector>,
    paused: bool,
    suspend: Option<bool>,
    completions: Option<u32>,
    parallelism: Option<u32>,
    #[serde(borrow, deserialize_with = "or_default")]
    template: Template<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    volume_claim_templates: Vec<ClaimTemplate<'a>>,
}

/// A selector as newer kinds have it, or bare labels as a ReplicationController's.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum AnySelector {
    Labels(std::collections::BTreeMap<String, String>),
    Object(ObjectSelector),
}

impl AnySelector {
    fn read(&self) -> Selector {
        match self {
            Self::Object(selector) => Selector::from(selector),
            Self::Labels(labels) => Selector::of_labels(
                labels.iter().map(|(key, value)| (key.as_str(), value.as_str())),
            ),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Template<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    metadata: TemplateMeta<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    spec: PodSpec<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TemplateMeta<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    labels: Labels<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimTemplate<'a> {
    #[serde(borrow)]
    metadata: ClaimTemplateMeta<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimTemplateMeta<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status<'a> {
    observed_generation: i64,
    replicas: u32,
    ready_replicas: u32,
    updated_replicas: u32,
    available_replicas: u32,
    #[serde(borrow, deserialize_with = "or_default")]
    current_revision: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    update_revision: Cow<'a, str>,
    // DaemonSets.
    desired_number_scheduled: u32,
    number_ready: u32,
    updated_number_scheduled: u32,
    number_available: u32,
    // Jobs.
    active: u32,
    succeeded: u32,
    failed: u32,
    start_time: Moment,
    completion_time: Moment,
    #[serde(borrow, deserialize_with = "or_default")]
    conditions: Vec<Condition<'a>>,
}

impl Status<'_> {
    fn condition(&self, kind: &str, status: &str) -> Option<&Condition<'_>> {
        self.conditions.iter().find(|condition| condition.is(kind, status))
    }
}

type Workload<'a> = Object<'a, Spec<'a>, Status<'a>>;

/// What all of them have in common; the counts are put in by each.
fn facts(workload: &Workload<'_>, pool: &mut Pool) -> WorkloadFacts {
    let spec = &workload.spec;
    let pods = &spec.template.spec;
    let mut names: Vec<Arc<str>> = claims(&pods.volumes, "", pool).to_vec();
    names.extend(spec.volume_claim_templates.iter().map(|claim| pool.text(&claim.metadata.name)));
    let (requests, _) = amounts(pods);
    let revision = workload.metadata.annotations.revision.as_deref();
    WorkloadFacts {
        desired: spec.replicas.unwrap_or(1),
        ready: workload.status.ready_replicas,
        updated: workload.status.updated_replicas,
        available: workload.status.available_replicas,
        paused: spec.paused || spec.suspend.unwrap_or_default(),
        revision: revision.and_then(|revision| revision.parse().ok()),
        selector: spec.selector.as_ref().map(AnySelector::read).unwrap_or_default(),
        pod_labels: pool.labels(spec.template.metadata.labels.pairs()),
        images: pool.list(pods.containers.iter().map(|container| &*container.image)),
        requests,
        claims: pool.list(names.iter().map(|name| &**name)),
        started: None,
        ended: None,
    }
}

fn reading(facts: WorkloadFacts, verdict: Verdict) -> Reading {
    Reading { facts: Facts::Workload(Box::new(facts)), verdict }
}

fn not_taken_up(workload: &Workload<'_>) -> Option<Verdict> {
    (workload.status.observed_generation < workload.metadata.generation).then(|| {
        Verdict::new(
            Health::Progressing,
            "The newest change has not been taken up by the cluster's controller yet.",
        )
    })
}

/// Why pods cannot be made, in the words of who refused them: mostly a quota or a policy.
fn refused(condition: &Condition<'_>) -> Verdict {
    let message = &condition.message;
    let why = match message.split_once("exceeded quota: ") {
        Some((_, quota)) => format!("Its pods are refused by a quota: {}", sentence(quota)),
        None => format!("Its pods cannot be made: {}", sentence(message)),
    };
    Verdict::new(Health::Failed, why)
}

fn ready_of(ready: u32, desired: u32) -> String {
    format!("{ready} of {desired} {} ready", if desired == 1 { "pod is" } else { "pods are" })
}

/// Fewer pods than there should be, while nothing is being changed.
fn too_few(ready: u32, desired: u32) -> Verdict {
    let health = if ready == 0 { Health::Failed } else { Health::Degraded };
    Verdict::new(health, format!("Only {}.", ready_of(ready, desired)))
}

pub fn read_deployment<'a>(
    text: &'a str,
    pool: &mut Pool,
) -> serde_json::Result<(Meta<'a>, Reading)> {
    let workload: Workload<'a> = serde_json::from_str(text)?;
    let facts = facts(&workload, pool);
    let verdict = judge_deployment(&workload, &facts);
    Ok((workload.metadata, reading(facts, verdict)))
}

fn judge_deployment(workload: &Workload<'_>, facts: &WorkloadFacts) -> Verdict {
    let status = &workload.status;
    if let Some(condition) = status.condition("ReplicaFailure", "True") {
        return refused(condition);
    }
    if let Some(verdict) = not_taken_up(workload) {
        return verdict;
    }
    let (ready, desired) = (facts.available.min(facts.ready), facts.desired);
    if status
        .condition("Progressing", "False")
        .is_some_and(|c| c.reason == "ProgressDeadlineExceeded")
    {
        let health = if ready == 0 && desired > 0 { Health::Failed } else { Health::Degraded };
        return Verdict::new(
            health,
            format!(
                "Its rollout is stuck: {}, and none became ready within its deadline.",
                ready_of(ready, desired)
            ),
        );
    }
    if facts.updated < desired {
        if facts.paused {
            return Verdict::new(
                Health::Progressing,
                format!(
                    "Its rollout is paused: {} of {desired} pods are of the newest template.",
                    facts.updated
                ),
            );
        }
        return Verdict::new(
            Health::Progressing,
            format!(
                "It is being rolled out: {} of {desired} pods are of the newest template.",
                facts.updated
            ),
        );
    }
    if status.replicas > facts.updated {
        return Verdict::new(
            Health::Progressing,
            format!(
                "It is being rolled out: pods of the older template go ({} left).",
                status.replicas - facts.updated
            ),
        );
    }
    if ready < desired {
        let rolled_out = status
            .condition("Progressing", "True")
            .is_some_and(|c| c.reason == "NewReplicaSetAvailable");
        return if rolled_out {
            too_few(ready, desired)
        } else {
            Verdict::new(
                Health::Progressing,
                format!("It is being rolled out: {}.", ready_of(ready, desired)),
            )
        };
    }
    Verdict::healthy()
}

pub fn read_replica_set<'a>(
    text: &'a str,
    pool: &mut Pool,
) -> serde_json::Result<(Meta<'a>, Reading)> {
    let workload: Workload<'a> = serde_json::from_str(text)?;
    let mut facts = facts(&workload, pool);
    facts.updated = workload.status.replicas;
    let verdict = if let Some(condition) = workload.status.condition("ReplicaFailure", "True") {
        refused(condition)
    } else if facts.ready < facts.desired {
        Verdict::new(
            Health::Progressing,
            format!("{}.", capital(&ready_of(facts.ready, facts.desired))),
        )
    } else {
        Verdict::healthy()
    };
    Ok((workload.metadata, reading(facts, verdict)))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

pub fn read_stateful_set<'a>(
    text: &'a str,
    pool: &mut Pool,
) -> serde_json::Result<(Meta<'a>, Reading)> {
    let workload: Workload<'a> = serde_json::from_str(text)?;
    let facts = facts(&workload, pool);
    let verdict = judge_stateful_set(&workload, &facts);
    Ok((workload.metadata, reading(facts, verdict)))
}

fn judge_stateful_set(workload: &Workload<'_>, facts: &WorkloadFacts) -> Verdict {
    if let Some(verdict) = not_taken_up(workload) {
        return verdict;
    }
    let status = &workload.status;
    let (ready, desired) = (facts.ready, facts.desired);
    if status.current_revision != status.update_revision && facts.updated < desired {
        return Verdict::new(
            Health::Progressing,
            format!(
                "It is being rolled out, one pod after the other: {} of {desired} are of the newest template.",
                facts.updated
            ),
        );
    }
    if ready < desired {
        return if status.replicas < desired {
            Verdict::new(
                Health::Progressing,
                format!("Its pods are made one after the other: {}.", ready_of(ready, desired)),
            )
        } else {
            too_few(ready, desired)
        };
    }
    Verdict::healthy()
}

pub fn read_daemon_set<'a>(
    text: &'a str,
    pool: &mut Pool,
) -> serde_json::Result<(Meta<'a>, Reading)> {
    let workload: Workload<'a> = serde_json::from_str(text)?;
    let mut facts = facts(&workload, pool);
    let status = &workload.status;
    facts.desired = status.desired_number_scheduled;
    facts.ready = status.number_ready;
    facts.updated = status.updated_number_scheduled;
    facts.available = status.number_available;
    let verdict = if let Some(verdict) = not_taken_up(&workload) {
        verdict
    } else if facts.updated < facts.desired {
        Verdict::new(
            Health::Progressing,
            format!(
                "It is being rolled out: {} of {} nodes have the newest template.",
                facts.updated, facts.desired
            ),
        )
    } else if facts.ready < facts.desired {
        let health = if facts.ready == 0 { Health::Failed } else { Health::Degraded };
        Verdict::new(
            health,
            format!("It is ready on {} of {} nodes only.", facts.ready, facts.desired),
        )
    } else {
        Verdict::healthy()
    };
    Ok((workload.metadata, reading(facts, verdict)))
}

pub fn read_job<'a>(text: &'a str, pool: &mut Pool) -> serde_json::Result<(Meta<'a>, Reading)> {
    let workload: Workload<'a> = serde_json::from_str(text)?;
    let mut facts = facts(&workload, pool);
    let status = &workload.status;
    facts.desired = workload.spec.completions.or(workload.spec.parallelism).unwrap_or(1);
    facts.ready = status.succeeded;
    facts.updated = status.active;
    facts.available = status.active;
    facts.started = status.start_time.known();
    let failed = status.condition("Failed", "True");
    facts.ended = status
        .completion_time
        .known()
        .or_else(|| failed.and_then(|condition| condition.last_transition_time.known()));
    let verdict = if let Some(condition) = failed {
        let why = match &*condition.reason {
            "BackoffLimitExceeded" => {
                format!("It has failed: all {} tries ended in errors.", status.failed)
            }
            "DeadlineExceeded" => {
                "It has failed: it ran longer than its deadline allows.".to_owned()
            }
            _ => format!("It has failed: {}", sentence(&condition.message)),
        };
        Verdict::new(Health::Failed, why)
    } else if status.condition("Complete", "True").is_some() || facts.paused {
        Verdict::healthy()
    } else if status.failed > 0 {
        Verdict::new(
            Health::Degraded,
            format!("{} of its tries ended in errors; it tries again.", status.failed),
        )
    } else {
        Verdict::new(
            Health::Progressing,
            format!("It runs: {} of {} completed.", facts.ready, facts.desired),
        )
    };
    Ok((workload.metadata, reading(facts, verdict)))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CronSpec<'a> {
    #[serde(borrow)]
    schedule: Cow<'a, str>,
    suspend: Option<bool>,
    #[serde(borrow, deserialize_with = "or_default")]
    job_template: JobTemplate<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JobTemplate<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    spec: Spec<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CronStatus {
    #[serde(deserialize_with = "or_default")]
    active: Vec<serde::de::IgnoredAny>,
    last_schedule_time: Moment,
    last_successful_time: Moment,
}

pub fn read_cron_job<'a>(
    text: &'a str,
    pool: &mut Pool,
) -> serde_json::Result<(Meta<'a>, Reading)> {
    let cron: Object<'a, CronSpec<'a>, CronStatus> = serde_json::from_str(text)?;
    let containers = &cron.spec.job_template.spec.template.spec.containers;
    let facts = CronJobFacts {
        suspended: cron.spec.suspend.unwrap_or_default(),
        schedule: pool.text(&cron.spec.schedule),
        active: cron.status.active.len() as u32,
        last_schedule: cron.status.last_schedule_time.known(),
        last_success: cron.status.last_successful_time.known(),
        images: pool.list(containers.iter().map(|container| &*container.image)),
    };
    let reading = Reading { facts: Facts::CronJob(Box::new(facts)), verdict: Verdict::healthy() };
    Ok((cron.metadata, reading))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AutoscalerSpec<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    scale_target_ref: Target<'a>,
    min_replicas: Option<u32>,
    max_replicas: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Target<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AutoscalerStatus<'a> {
    current_replicas: u32,
    desired_replicas: u32,
    #[serde(borrow, deserialize_with = "or_default")]
    conditions: Vec<Condition<'a>>,
}

pub fn read_autoscaler<'a>(
    text: &'a str,
    pool: &mut Pool,
) -> serde_json::Result<(Meta<'a>, Reading)> {
    let scaler: Object<'a, AutoscalerSpec<'a>, AutoscalerStatus<'a>> = serde_json::from_str(text)?;
    let facts = AutoscalerFacts {
        target_kind: pool.text(&scaler.spec.scale_target_ref.kind),
        target_name: pool.text(&scaler.spec.scale_target_ref.name),
        min: scaler.spec.min_replicas.unwrap_or(1),
        max: scaler.spec.max_replicas,
        current: scaler.status.current_replicas,
        desired: scaler.status.desired_replicas,
    };
    let conditions = &scaler.status.conditions;
    let find = |kind: &str| conditions.iter().find(|condition| condition.is(kind, "False"));
    let verdict = if let Some(condition) = find("AbleToScale") {
        Verdict::new(
            Health::Degraded,
            format!("It cannot scale {}: {}", facts.target_name, sentence(&condition.message)),
        )
    } else if let Some(condition) = find("ScalingActive").filter(|c| c.reason != "ScalingDisabled")
    {
        let hint = if condition.reason.contains("Metric") {
            " Is a metrics server installed, and do all containers request what is measured?"
        } else {
            ""
        };
        Verdict::new(
            Health::Degraded,
            format!("It does not know how much is used: {}{hint}", sentence(&condition.message)),
        )
    } else {
        Verdict::healthy()
    };
    let reading = Reading { facts: Facts::Autoscaler(Box::new(facts)), verdict };
    Ok((scaler.metadata, reading))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::tests::{read_value, why},
        *,
    };

    fn deployment(replicas: u32, status: Value) -> Value {
        json!({"metadata": {"name": "web", "generation": 2, "annotations": {"deployment.kubernetes.io/revision": "4"}},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"image": "nginx:1", "resources": {"requests": {"cpu": "1"}}}]}}},
            "status": status})
    }

    fn judged(status: Value) -> (Health, String) {
        why("deployments.apps", &deployment(3, status))
    }

    #[test]
    fn deployments() {
        let rolled =
            json!([{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]);
        let counts = |ready: u32, updated: u32, replicas: u32| json!({"observedGeneration": 2, "replicas": replicas, "readyReplicas": ready, "availableReplicas": ready, "updatedReplicas": updated});
        assert_eq!(judged(counts(3, 3, 3)).0, Health::Healthy);
        assert_eq!(
            judged(counts(3, 1, 4)),
            (
                Health::Progressing,
                "It is being rolled out: 1 of 3 pods are of the newest template.".into()
            )
        );
        assert!(judged(counts(3, 3, 5)).1.contains("2 left"));
        assert_eq!(judged(counts(1, 3, 3)).0, Health::Progressing);
        let mut down = counts(1, 3, 3);
        down["conditions"] = rolled;
        assert_eq!(judged(down.clone()), (Health::Degraded, "Only 1 of 3 pods are ready.".into()));
        down["availableReplicas"] = 0.into();
        assert_eq!(judged(down).0, Health::Failed);
        assert_eq!(judged(json!({"observedGeneration": 1})).0, Health::Progressing);
        let mut stuck = counts(2, 1, 3);
        stuck["conditions"] = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
        assert!(judged(stuck).1.contains("stuck: 2 of 3"));
        let quota = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "pods \"web-1\" is forbidden: exceeded quota: small, requested: cpu=1, used: cpu=2, limited: cpu=2"}]);
        let (health, said) = judged(json!({"observedGeneration": 2, "conditions": quota}));
        assert_eq!(
            (health, said.as_str()),
            (
                Health::Failed,
                "Its pods are refused by a quota: small, requested: cpu=1, used: cpu=2, limited: cpu=2."
            )
        );
        assert_eq!(
            why("deployments.apps", &deployment(0, json!({"observedGeneration": 2}))).0,
            Health::Healthy
        );
    }

    #[test]
    fn facts_of_a_deployment() {
        let (Facts::Workload(facts), _) =
            read_value("deployments.apps", &deployment(3, json!({"readyReplicas": 2})))
        else {
            panic!("no facts")
        };
        assert_eq!(
            (facts.desired, facts.ready, facts.revision, facts.requests.cpu_milli),
            (3, 2, Some(4), 1000)
        );
        assert_eq!(facts.selector.to_string(), "app=web");
        assert_eq!(&*facts.images[0], "nginx:1");
    }

    #[test]
    fn a_replication_controller_selects_by_bare_labels() {
        let (Facts::Workload(facts), _) = read_value(
            "replicationcontrollers",
            &json!({"metadata": {"name": "a"}, "spec": {"replicas": 1, "selector": {"app": "web"}}}),
        ) else {
            panic!("no facts")
        };
        assert_eq!(facts.selector.to_string(), "app=web");
    }

    #[test]
    fn stateful_and_daemon_sets() {
        let set = |status: Value| {
            why(
                "statefulsets.apps",
                &json!({"metadata": {"name": "db"}, "spec": {"replicas": 3}, "status": status}),
            )
        };
        assert_eq!(set(json!({"replicas": 1, "readyReplicas": 0})).0, Health::Progressing);
        assert_eq!(set(json!({"replicas": 3, "readyReplicas": 2})).0, Health::Degraded);
        assert!(set(json!({"replicas": 3, "readyReplicas": 3, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"})).1.contains("1 of 3"));
        let set = |status: Value| {
            why("daemonsets.apps", &json!({"metadata": {"name": "log"}, "status": status}))
        };
        assert_eq!(
            set(
                json!({"desiredNumberScheduled": 3, "numberReady": 3, "updatedNumberScheduled": 3})
            )
            .0,
            Health::Healthy
        );
        assert!(
            set(
                json!({"desiredNumberScheduled": 3, "numberReady": 2, "updatedNumberScheduled": 3})
            )
            .1
            .contains("2 of 3 nodes")
        );
    }

    #[test]
    fn jobs() {
        let job = |status: Value| {
            why(
                "jobs.batch",
                &json!({"metadata": {"name": "a"}, "spec": {"completions": 2}, "status": status}),
            )
        };
        assert_eq!(
            job(json!({"active": 1})),
            (Health::Progressing, "It runs: 0 of 2 completed.".into())
        );
        assert_eq!(job(json!({"active": 1, "failed": 2})).0, Health::Degraded);
        assert_eq!(
            job(json!({"succeeded": 2, "conditions": [{"type": "Complete", "status": "True"}]})).0,
            Health::Healthy
        );
        assert!(job(json!({"failed": 6, "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]})).1.contains("all 6 tries"));
    }

    #[test]
    fn autoscalers() {
        let (health, said) = why(
            "horizontalpodautoscalers.autoscaling",
            &json!({"metadata": {"name": "a"}, "status": {"conditions": [
            {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": "the HPA was unable to compute the replica count"}]}}),
        );
        assert_eq!(health, Health::Degraded);
        assert!(said.contains("metrics server"), "{said}");
    }
}
