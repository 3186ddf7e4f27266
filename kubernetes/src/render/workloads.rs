//! What keeps pods running.

use drover_compose::{Project, Restart, Service};
use serde_json::{Value, json};

use super::{Kind, Stack, kind, names, pod_of, pods, storage};

/// How long a new pod may take to become ready, beside what its health check grants it, seconds.
const LONGEST_START: u64 = 120;

/// The workload of a service; none for one whose containers run in the pods of another, and for
/// one that is stopped and cannot be scaled to nothing.
pub(super) fn workload(
    stack: &Stack<'_>,
    project: &Project,
    name: &str,
    service: &Service,
) -> Option<Value> {
    if pod_of(project, name) != name {
        return None;
    }
    let template = pods::template(stack, project, name);
    let kind = kind(project, name, service);
    if stack.stopped && matches!(kind, Kind::DaemonSet | Kind::Job) {
        return None;
    }
    let base = names::workload(stack.name, name);
    let replicas = if stack.stopped { 0 } else { service.deploy.replicas };
    let mut value = match kind {
        Kind::Job => job(stack, service, &base, template),
        Kind::DaemonSet => daemon_set(stack, name, service, &base, template),
        Kind::StatefulSet => {
            let mut value = names::object("apps/v1", "StatefulSet", &base);
            value["spec"] = json!({
                "replicas": replicas,
                "serviceName": names::network(stack.name),
                "selector": { "matchLabels": pods::selector(stack, name) },
                "template": template,
                "volumeClaimTemplates": storage::claim_templates(project, name),
                // As on Docker, one pod does not wait for the other.
                "podManagementPolicy": "Parallel",
                "updateStrategy": { "type": "RollingUpdate" },
                "minReadySeconds": min_ready(service),
            });
            value
        }
        Kind::Deployment => {
            let mut value = names::object("apps/v1", "Deployment", &base);
            value["spec"] = json!({
                "replicas": replicas,
                "selector": { "matchLabels": pods::selector(stack, name) },
                "template": template,
                "strategy": strategy(project, name, service),
                "minReadySeconds": min_ready(service),
                "progressDeadlineSeconds": deadline(service),
                "revisionHistoryLimit": 5,
            });
            value
        }
    };
    for (key, text) in service.deploy.labels.iter().filter(|(key, _)| names::is_key(key)) {
        value["metadata"]["annotations"][key] = text.as_str().into();
    }
    Some(value)
}

/// How long a new pod is watched before it counts, seconds.
fn min_ready(service: &Service) -> u64 {
    let update = &service.deploy.update;
    update.monitor_ms.max(update.delay_ms).div_ceil(1000).min(3600)
}

/// How long a rollout may stand still, seconds.
fn deadline(service: &Service) -> u64 {
    let granted = match (&service.health, &service.healthcheck) {
        (Some(probe), _) => probe.initializing_ms,
        (None, Some(check)) => {
            let round = check.interval_ms.unwrap_or(30_000) + check.timeout_ms.unwrap_or(30_000);
            let rounds = round.saturating_mul(check.retries.unwrap_or(3));
            check.start_period_ms.unwrap_or(0).saturating_add(rounds)
        }
        (None, None) => 0,
    };
    // More than what a new pod is watched for: the cluster refuses less.
    (LONGEST_START + granted.div_ceil(1000) + min_ready(service)).min(86_400)
}

/// Two pods must not write to what one should have alone.
fn strategy(project: &Project, name: &str, service: &Service) -> Value {
    let update = &service.deploy.update;
    let alone = super::members(project, name)
        .iter()
        .any(|(_, member)| storage::writes_alone(project, member));
    if alone && !update.start_first && service.deploy.replicas <= 1 {
        return json!({ "type": "Recreate" });
    }
    // 0 means all at once.
    let most: Value = match update.parallelism {
        0 => "100%".into(),
        most => most.into(),
    };
    let none = Value::from(0);
    let (surge, unavailable) = if update.start_first { (most, none) } else { (none, most) };
    let rolling = json!({ "maxSurge": surge, "maxUnavailable": unavailable });
    json!({ "type": "RollingUpdate", "rollingUpdate": rolling })
}

fn daemon_set(
    stack: &Stack<'_>,
    name: &str,
    service: &Service,
    base: &str,
    template: Value,
) -> Value {
    let most: Value = match service.deploy.update.parallelism {
        0 => "100%".into(),
        most => most.into(),
    };
    let mut value = names::object("apps/v1", "DaemonSet", base);
    value["spec"] = json!({
        "selector": { "matchLabels": pods::selector(stack, name) },
        "template": template,
        "updateStrategy": {
            "type": "RollingUpdate",
            "rollingUpdate": { "maxSurge": 0, "maxUnavailable": most },
        },
        "minReadySeconds": min_ready(service),
    });
    value
}

/// Jobs cannot be changed: another make has another name, and the one before is pruned.
fn job(stack: &Stack<'_>, service: &Service, base: &str, mut template: Value) -> Value {
    let (policy, tries) = match service.restart {
        Some(Restart::No) => ("Never", 0),
        Some(Restart::OnFailure(most)) if most > 0 => ("OnFailure", most),
        _ => ("OnFailure", 6),
    };
    template["spec"]["restartPolicy"] = policy.into();
    let spec = json!({
        "completions": service.deploy.replicas,
        "parallelism": service.deploy.replicas,
        "backoffLimit": tries.min(1000),
        "template": template,
    });
    let digest = names::digest(stack.salt, &spec);
    let mut value = names::object("batch/v1", "Job", &format!("{base}-{}", &digest[..8]));
    value["spec"] = spec;
    value
}
