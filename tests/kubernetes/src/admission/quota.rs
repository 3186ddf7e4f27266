//! Resource quotas: what is used in a namespace, and whether one more fits.

use serde_json::{Map, Value, json};

use super::{Operation, Request};
use crate::{
    cluster::Cluster,
    controllers::scheduler::request as requested,
    resources::StorageKey,
    status::{ApiError, Result},
    validation::quantity,
};

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// What an object takes of a quota's resource, in thousandths.
fn takes(key: &StorageKey, object: &Value, resource: &str) -> i128 {
    let qualified = crate::status::qualified(&key.1, &key.0);
    if resource == format!("count/{qualified}") {
        return 1000;
    }
    let spec = &object["spec"];
    match (qualified.as_str(), resource) {
        ("pods", "pods") => i128::from(counts(object)) * 1000,
        ("pods", "cpu" | "requests.cpu") if counts(object) => requested(spec, "cpu"),
        ("pods", "memory" | "requests.memory") if counts(object) => requested(spec, "memory"),
        ("pods", "limits.cpu") if counts(object) => limit(spec, "cpu"),
        ("pods", "limits.memory") if counts(object) => limit(spec, "memory"),
        ("services", "services")
        | ("secrets", "secrets")
        | ("configmaps", "configmaps")
        | ("persistentvolumeclaims", "persistentvolumeclaims")
        | ("replicationcontrollers", "replicationcontrollers")
        | ("resourcequotas", "resourcequotas") => 1000,
        ("services", "services.nodeports")
            if matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer")) =>
        {
            i128::try_from(list(&spec["ports"]).len()).unwrap_or(0) * 1000
        }
        ("services", "services.loadbalancers") if spec["type"] == "LoadBalancer" => 1000,
        ("persistentvolumeclaims", "requests.storage") => {
            quantity::of(&spec["resources"]["requests"]["storage"]).unwrap_or(0)
        }
        _ => 0,
    }
}

fn counts(pod: &Value) -> bool {
    !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn limit(spec: &Value, resource: &str) -> i128 {
    list(&spec["containers"])
        .iter()
        .map(|one| quantity::of(&one["resources"]["limits"][resource]).unwrap_or(0))
        .sum()
}

/// Whether a quota's scopes are about this object.
fn in_scope(quota: &Value, object: &Value) -> bool {
    let best_effort = crate::defaults::qos(&object["spec"]) == "BestEffort";
    let ends = object["spec"]["activeDeadlineSeconds"].is_number();
    list(&quota["spec"]["scopes"]).iter().all(|scope| match scope.as_str() {
        Some("BestEffort") => best_effort,
        Some("NotBestEffort") => !best_effort,
        Some("Terminating") => ends,
        Some("NotTerminating") => !ends,
        _ => true,
    })
}

const KINDS: &[(&str, &str)] = &[
    ("", "pods"),
    ("", "services"),
    ("", "secrets"),
    ("", "configmaps"),
    ("", "persistentvolumeclaims"),
    ("", "replicationcontrollers"),
    ("", "resourcequotas"),
];

fn kinds(resource: &str) -> Vec<StorageKey> {
    if let Some(counted) = resource.strip_prefix("count/") {
        let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
        return vec![(group.to_owned(), plural.to_owned())];
    }
    KINDS.iter().map(|(group, plural)| ((*group).to_owned(), (*plural).to_owned())).collect()
}

fn used_of(cluster: &Cluster, quota: &Value, resource: &str) -> i128 {
    let namespace = quota["metadata"]["namespace"].as_str();
    kinds(resource)
        .iter()
        .flat_map(|key| {
            cluster.store.list(key, namespace).objects.into_iter().map(move |object| {
                let value = object.value();
                if in_scope(quota, &value) { takes(key, &value, resource) } else { 0 }
            })
        })
        .sum()
}

fn shown(resource: &str, milli: i128) -> String {
    quantity::shown(milli, resource.contains("memory") || resource.contains("storage"))
}

/// What is used of each of a quota's resources.
pub fn used(cluster: &Cluster, quota: &Value) -> Value {
    let mut used = Map::new();
    for (resource, _) in quota["spec"]["hard"].as_object().into_iter().flatten() {
        used.insert(resource.clone(), json!(shown(resource, used_of(cluster, quota, resource))));
    }
    Value::Object(used)
}

/// Refuses what does not fit any more.
///
/// # Errors
/// Then.
pub fn check(request: &Request, object: &Value) -> Result<()> {
    let context = request.context;
    let grows = request.operation == Operation::Create
        || request.operation == Operation::Update
            && matches!(context.resource.plural.as_str(), "services" | "persistentvolumeclaims");
    if !grows || !request.subresource.is_empty() || !context.resource.namespaced {
        return Ok(());
    }
    let cluster = &context.cluster;
    let key = &context.resource.storage;
    for quota in cluster.store.values("", "resourcequotas", Some(&context.info.namespace)) {
        if !in_scope(&quota, object) {
            continue;
        }
        let name = quota["metadata"]["name"].as_str().unwrap_or_default();
        let hard = quota["spec"]["hard"].as_object().cloned().unwrap_or_default();
        let about = context.resource.about(request.name);
        if key.1 == "pods" && request.operation == Operation::Create {
            let missing = unspecified(&hard, object);
            if !missing.is_empty() {
                let why = format!("failed quota: {name}: must specify {}", missing.join("; "));
                return Err(ApiError::forbidden(about, &why));
            }
        }
        let (mut wanted, mut there, mut most) = (Vec::new(), Vec::new(), Vec::new());
        for (resource, limit) in &hard {
            let before = request.before.map_or(0, |before| takes(key, before, resource));
            let more = takes(key, object, resource) - before;
            if more <= 0 {
                continue;
            }
            let used = used_of(cluster, &quota, resource);
            if used + more > quantity::of(limit).unwrap_or(0) {
                wanted.push(format!("{resource}={}", shown(resource, more)));
                there.push(format!("{resource}={}", shown(resource, used)));
                most.push(format!(
                    "{resource}={}",
                    limit.as_str().map_or_else(|| limit.to_string(), str::to_owned)
                ));
            }
        }
        if !wanted.is_empty() {
            let why = format!(
                "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
                wanted.join(","),
                there.join(","),
                most.join(",")
            );
            return Err(ApiError::forbidden(about, &why));
        }
    }
    Ok(())
}

/// What a pod must say when a quota counts it.
fn unspecified(hard: &Map<String, Value>, pod: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    for resource in hard.keys() {
        let (list_name, one) = match resource.as_str() {
            "cpu" | "requests.cpu" => ("requests", "cpu"),
            "memory" | "requests.memory" => ("requests", "memory"),
            "limits.cpu" => ("limits", "cpu"),
            "limits.memory" => ("limits", "memory"),
            _ => continue,
        };
        let names: Vec<&str> = list(&pod["spec"]["containers"])
            .iter()
            .filter(|container| container["resources"][list_name][one].is_null())
            .filter_map(|container| container["name"].as_str())
            .collect();
        if !names.is_empty() {
            missing.push(format!("{resource} for: {}", names.join(",")));
        }
    }
    missing
}
