//! What autoscalers, disruption budgets and quotas say of the moment.

use serde_json::{Value, json};

use super::{
    Work, set_condition,
    view::{View, count, list, name, namespace, word},
};
use crate::{admission::quota, cluster::storage, disruption};

/// Writes all of it.
pub fn reconcile(work: &Work, view: &View) {
    for budget in view.all("policy", "poddisruptionbudgets") {
        let status = disruption::counts(&work.cluster, budget);
        let key = storage("policy", "poddisruptionbudgets");
        work.cluster.modify(&key, namespace(budget), name(budget), |budget| {
            let before = budget["status"].clone();
            budget["status"] = status.clone();
            // The time of a condition changes with its state alone.
            if before["conditions"][0]["status"] == status["conditions"][0]["status"] {
                budget["status"]["conditions"] = before["conditions"].clone();
            }
            true
        });
    }
    for quota in view.all("", "resourcequotas") {
        let used = quota::used(&work.cluster, quota);
        work.cluster.modify(
            &storage("", "resourcequotas"),
            namespace(quota),
            name(quota),
            |quota| {
                quota["status"] = json!({"hard": quota["spec"]["hard"], "used": used});
                true
            },
        );
    }
    for scaler in view.all("autoscaling", "horizontalpodautoscalers") {
        self::scaler(work, view, scaler);
    }
}

fn scaler(work: &Work, view: &View, scaler: &Value) {
    let target = &scaler["spec"]["scaleTargetRef"];
    let plural = match word(&target["kind"]) {
        "Deployment" => "deployments",
        "StatefulSet" => "statefulsets",
        "ReplicaSet" => "replicasets",
        _ => return,
    };
    let there = view.get("apps", plural, namespace(scaler), word(&target["name"]));
    let (least, most) = (
        scaler["spec"]["minReplicas"].as_i64().unwrap_or(1),
        count(&scaler["spec"]["maxReplicas"]),
    );
    let current = there.map(|there| count(&there["spec"]["replicas"]));
    let wanted = current.map(|current| current.clamp(least, most));
    if let (Some(current), Some(wanted), Some(there)) = (current, wanted, there)
        && current != wanted
        && current != 0
    {
        let reason = if wanted > current {
            "Current number of replicas below Spec.MinReplicas"
        } else {
            "Current number of replicas above Spec.MaxReplicas"
        };
        work.cluster.modify(&storage("apps", plural), namespace(there), name(there), |object| {
            object["spec"]["replicas"] = json!(wanted);
            let generation = count(&object["metadata"]["generation"]);
            object["metadata"]["generation"] = json!(generation + 1);
            true
        });
        work.event(
            scaler,
            "HorizontalPodAutoscaler",
            "Normal",
            "SuccessfulRescale",
            &format!("New size: {wanted}; reason: {reason}"),
        );
    }
    let metrics = work.cluster.options.metrics;
    let key = storage("autoscaling", "horizontalpodautoscalers");
    work.cluster.modify(&key, namespace(scaler), name(scaler), |object| {
        let name = word(&object["spec"]["scaleTargetRef"]["name"]).to_owned();
        let conditions = object["status"]["conditions"].clone();
        object["status"] = json!({
            "currentReplicas": current.unwrap_or(0),
            "desiredReplicas": wanted.unwrap_or(0),
            "currentMetrics": null,
            "conditions": conditions,
        });
        let Some(_) = current else {
            let message = format!("the HPA controller was unable to get the target's current scale: {plural}.apps \"{name}\" not found");
            set_condition(object, "AbleToScale", "False", "FailedGetScale", &message);
            return true;
        };
        set_condition(object, "AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size");
        if metrics {
            let all: Vec<Value> = list(&object["spec"]["metrics"])
                .iter()
                .filter(|metric| metric["type"] == "Resource")
                .map(|metric| json!({"type": "Resource", "resource": {"name": metric["resource"]["name"], "current": {"averageUtilization": 40, "averageValue": "40m"}}}))
                .collect();
            object["status"]["currentMetrics"] = json!(all);
            set_condition(object, "ScalingActive", "True", "ValidMetricFound", "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)");
        } else {
            set_condition(object, "ScalingActive", "False", "FailedGetResourceMetric", "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)");
        }
        set_condition(object, "ScalingLimited", "False", "DesiredWithinRange", "the desired count is within the acceptable range");
        true
    });
}
