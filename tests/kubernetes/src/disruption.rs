//! Disruption budgets: how many pods may be taken away on purpose.

use serde_json::{Value, json};

use crate::{
    clock,
    cluster::{Cluster, storage},
    selectors::{Labels, label_map},
    status::{ApiError, Result},
    store::Object,
};

/// Takes one disruption from the pod's budget.
///
/// # Errors
/// When there is none left: 429, as Kubernetes answers.
pub fn take(cluster: &Cluster, pod: &Object, dry: bool) -> Result<()> {
    let value = pod.value();
    let phase = value["status"]["phase"].as_str().unwrap_or_default();
    if matches!(phase, "Succeeded" | "Failed" | "Pending") || pod.deleting {
        return Ok(());
    }
    let budgets: Vec<Value> = cluster
        .store
        .values("policy", "poddisruptionbudgets", Some(&pod.namespace))
        .into_iter()
        .filter(|budget| {
            Labels::of_object(&budget["spec"]["selector"])
                .is_some_and(|selector| selector.matches(&pod.labels))
        })
        .collect();
    let budget = match budgets.as_slice() {
        [] => return Ok(()),
        [one] => one,
        _ => {
            return Err(ApiError::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
    };
    let name = budget["metadata"]["name"].as_str().unwrap_or_default();
    let status = counts(cluster, budget);
    let ready = is_ready(&value);
    if !ready
        && status["currentHealthy"].as_i64() >= status["desiredHealthy"].as_i64()
        && status["desiredHealthy"].as_i64().unwrap_or(0) > 0
    {
        return Ok(());
    }
    if status["disruptionsAllowed"].as_i64().unwrap_or(0) < 1 {
        return Err(refused(name, &status));
    }
    if dry {
        return Ok(());
    }
    let key = storage("policy", "poddisruptionbudgets");
    cluster.modify(&key, &pod.namespace, name, |budget| {
        let mut status = status.clone();
        let left = status["disruptionsAllowed"].as_i64().unwrap_or(0) - 1;
        status["disruptionsAllowed"] = json!(left);
        status["disruptedPods"][&pod.name] = json!(clock::stamp());
        status["observedGeneration"] = budget["metadata"]["generation"].clone();
        budget["status"] = status;
        true
    });
    Ok(())
}

fn refused(name: &str, status: &Value) -> ApiError {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut error = ApiError::too_many_requests(message, 10);
    error.details = Some(json!({
        "causes": [{
            "reason": "DisruptionBudget",
            "message": format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                status["desiredHealthy"], status["currentHealthy"]
            ),
        }],
    }));
    // Kubernetes sends no Retry-After here: clients wait as they like.
    error.retry_after = None;
    error
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// What the budget's status says now.
pub fn counts(cluster: &Cluster, budget: &Value) -> Value {
    let namespace = budget["metadata"]["namespace"].as_str().unwrap_or_default();
    let selector = Labels::of_object(&budget["spec"]["selector"]);
    let pods: Vec<_> = cluster
        .store
        .values("", "pods", Some(namespace))
        .into_iter()
        .filter(|pod| {
            let phase = pod["status"]["phase"].as_str().unwrap_or_default();
            selector.as_ref().is_some_and(|s| s.matches(&label_map(&pod["metadata"]["labels"])))
                && !matches!(phase, "Succeeded" | "Failed")
        })
        .collect();
    let healthy = pods
        .iter()
        .filter(|pod| is_ready(pod) && pod["metadata"]["deletionTimestamp"].is_null())
        .count();
    let healthy = i64::try_from(healthy).unwrap_or(0);
    let expected = expected(cluster, namespace, &pods);
    let spec = &budget["spec"];
    let desired = match (&spec["minAvailable"], &spec["maxUnavailable"]) {
        (Value::Null, Value::Null) => 0,
        (Value::Null, most) => (expected - scaled(most, expected)).max(0),
        (least, _) => scaled(least, expected),
    };
    let allowed = if expected == 0 { 0 } else { (healthy - desired).max(0) };
    let reason =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    json!({
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "disruptionsAllowed": allowed,
        "observedGeneration": budget["metadata"]["generation"],
        "conditions": [{
            "type": "DisruptionAllowed",
            "status": reason.0,
            "reason": reason.1,
            "message": "",
            "lastTransitionTime": clock::stamp(),
            "observedGeneration": budget["metadata"]["generation"],
        }],
    })
}

/// How many pods there should be: what their owners want.
fn expected(cluster: &Cluster, namespace: &str, pods: &[Value]) -> i64 {
    let mut owners: Vec<(String, i64)> = Vec::new();
    let mut alone = 0;
    for pod in pods {
        let owner = pod["metadata"]["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|owner| owner["controller"] == true);
        let Some(owner) = owner else {
            alone += 1;
            continue;
        };
        let uid = owner["uid"].as_str().unwrap_or_default();
        if owners.iter().any(|(one, _)| one == uid) {
            continue;
        }
        let name = owner["name"].as_str().unwrap_or_default();
        let plural = match owner["kind"].as_str() {
            Some("ReplicaSet") => "replicasets",
            Some("StatefulSet") => "statefulsets",
            _ => {
                alone += 1;
                continue;
            }
        };
        let owner = cluster.store.value("apps", plural, namespace, name).unwrap_or_default();
        owners.push((uid.to_owned(), owner["spec"]["replicas"].as_i64().unwrap_or(0)));
    }
    owners.iter().map(|(_, count)| count).sum::<i64>() + alone
}

/// A number, or a share of it, rounded up.
pub fn scaled(value: &Value, of: i64) -> i64 {
    match value {
        Value::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            (of * percent + 99) / 100
        }
        other => other.as_i64().unwrap_or(0),
    }
}
