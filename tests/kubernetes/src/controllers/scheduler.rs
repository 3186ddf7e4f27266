//! Which node a pod goes to, and why to none, in the words of the scheduler.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    Work,
    view::{View, deleting, list, name, namespace, word},
};
use crate::{cluster::storage, validation::quantity};

/// Whether a node is one that the pod asks for.
pub fn selects(spec: &Value, node: &Value) -> bool {
    let labels = &node["metadata"]["labels"];
    let plain =
        spec["nodeSelector"].as_object().into_iter().flatten().all(|(k, v)| labels[k] == *v);
    let required =
        &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    if !required.is_object() {
        return plain;
    }
    plain
        && list(&required["nodeSelectorTerms"]).iter().any(|term| {
            let expressions = list(&term["matchExpressions"]).iter().all(|one| {
                let label = labels[word(&one["key"])].as_str();
                expression(one, label)
            });
            let fields =
                list(&term["matchFields"]).iter().all(|one| expression(one, Some(name(node))));
            expressions && fields
        })
}

fn expression(one: &Value, label: Option<&str>) -> bool {
    let values = list(&one["values"]);
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
    match word(&one["operator"]) {
        "In" => label.is_some_and(|label| values.iter().any(|value| value == label)),
        "NotIn" => label.is_none_or(|label| !values.iter().any(|value| value == label)),
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        "Gt" => number(label) > number(values.first().and_then(Value::as_str)),
        "Lt" => label.is_some() && number(label) < number(values.first().and_then(Value::as_str)),
        _ => false,
    }
}

/// The first taint of a node that keeps the pod away.
pub fn untolerated(spec: &Value, node: &Value) -> Option<(String, String)> {
    list(&node["spec"]["taints"])
        .iter()
        .filter(|taint| taint["effect"] != "PreferNoSchedule")
        .find(|taint| {
            !list(&spec["tolerations"]).iter().any(|one| {
                let effect = word(&one["effect"]);
                let key = word(&one["key"]);
                let right_effect = effect.is_empty() || one["effect"] == taint["effect"];
                let right_key =
                    key.is_empty() && one["operator"] == "Exists" || one["key"] == taint["key"];
                let right_value =
                    one["operator"] == "Exists" || word(&one["value"]) == word(&taint["value"]);
                right_effect && right_key && right_value
            })
        })
        .map(|taint| (word(&taint["key"]).to_owned(), word(&taint["value"]).to_owned()))
}

/// What a pod asks for, in thousandths.
pub fn request(spec: &Value, resource: &str) -> i128 {
    let of = |container: &Value| {
        quantity::of(&container["resources"]["requests"][resource]).unwrap_or(0)
    };
    let sum: i128 = list(&spec["containers"]).iter().map(of).sum();
    let most = list(&spec["initContainers"]).iter().map(of).max().unwrap_or(0);
    sum.max(most)
}

#[derive(Default, Clone, Copy)]
struct Used {
    cpu: i128,
    memory: i128,
    pods: i128,
}

impl Used {
    fn of(spec: &Value) -> Self {
        Self { cpu: request(spec, "cpu"), memory: request(spec, "memory"), pods: 1 }
    }

    fn add(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.memory += other.memory;
        self.pods += other.pods;
    }
}

/// Gives each pod that has no node one, or says why not.
pub fn reconcile(work: &Work, view: &View) {
    let waiting: Vec<&Arc<Value>> = view
        .all("", "pods")
        .filter(|pod| word(&pod["spec"]["nodeName"]).is_empty() && !deleting(pod))
        .filter(|pod| word(&pod["spec"]["schedulerName"]) == "default-scheduler")
        .collect();
    if waiting.is_empty() {
        return;
    }
    let mut used: BTreeMap<String, Used> = BTreeMap::new();
    for pod in view.all("", "pods") {
        let ended = matches!(word(&pod["status"]["phase"]), "Succeeded" | "Failed");
        if !word(&pod["spec"]["nodeName"]).is_empty() && !ended {
            used.entry(word(&pod["spec"]["nodeName"]).to_owned())
                .or_default()
                .add(Used::of(&pod["spec"]));
        }
    }
    for pod in waiting {
        if !list(&pod["spec"]["schedulingGates"]).is_empty() {
            say(
                work,
                pod,
                "SchedulingGated",
                "Scheduling is blocked due to non-empty scheduling gates",
            );
            continue;
        }
        match choose(view, pod, &used) {
            Ok(node) => {
                used.entry(node.clone()).or_default().add(Used::of(&pod["spec"]));
                super::bind(&work.cluster, namespace(pod), name(pod), &node);
                let message =
                    format!("Successfully assigned {}/{} to {node}", namespace(pod), name(pod));
                work.event(pod, "Pod", "Normal", "Scheduled", &message);
            }
            Err(message) => {
                let told = list(&pod["status"]["conditions"])
                    .iter()
                    .any(|one| one["type"] == "PodScheduled" && one["message"] == message);
                say(work, pod, "Unschedulable", &message);
                if !told {
                    work.event(pod, "Pod", "Warning", "FailedScheduling", &message);
                }
            }
        }
    }
}

fn say(work: &Work, pod: &Value, reason: &str, message: &str) {
    work.cluster.modify(&storage("", "pods"), namespace(pod), name(pod), |pod| {
        super::set_condition(pod, "PodScheduled", "False", reason, message);
        true
    });
}

fn choose(view: &View, pod: &Value, used: &BTreeMap<String, Used>) -> Result<String, String> {
    let nodes: Vec<&Arc<Value>> = view.all("", "nodes").collect();
    if let Some(why) = unbound(view, pod) {
        return Err(format!(
            "0/{0} nodes are available: {why}. preemption: 0/{0} nodes are available: {0} Preemption is not helpful for scheduling.",
            nodes.len()
        ));
    }
    let wanted = Used::of(&pod["spec"]);
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut hopeless = 0;
    let mut victims = 0;
    let mut best: Option<(i128, String)> = None;
    for node in &nodes {
        let mut why = Vec::new();
        let mut helpless = true;
        if node["spec"]["unschedulable"] == true && !tolerates_cordon(&pod["spec"]) {
            why.push("node(s) were unschedulable".to_owned());
        } else if let Some((key, value)) = untolerated(&pod["spec"], node) {
            why.push(format!("node(s) had untolerated taint {{{key}: {value}}}"));
        } else if !selects(&pod["spec"], node) {
            why.push("node(s) didn't match Pod's node affinity/selector".to_owned());
        } else {
            let there = used.get(name(node)).copied().unwrap_or_default();
            let room = |resource: &str| {
                quantity::of(&node["status"]["allocatable"][resource]).unwrap_or(0)
            };
            for (resource, wanted, there, word) in [
                ("cpu", wanted.cpu, there.cpu, "Insufficient cpu"),
                ("memory", wanted.memory, there.memory, "Insufficient memory"),
                ("pods", 1000, there.pods * 1000, "Too many pods"),
            ] {
                if wanted > 0 && there + wanted > room(resource) {
                    why.push(word.to_owned());
                    // More than the whole node has: nothing that goes away helps.
                    helpless = wanted > room(resource);
                }
            }
        }
        if why.is_empty() {
            let there = used.get(name(node)).copied().unwrap_or_default();
            let load = there.pods * 1000 + there.cpu;
            if best.as_ref().is_none_or(|(least, _)| load < *least) {
                best = Some((load, name(node).to_owned()));
            }
            continue;
        }
        if helpless {
            hopeless += 1
        } else {
            victims += 1
        }
        for one in why {
            *reasons.entry(one).or_default() += 1;
        }
    }
    if let Some((_, node)) = best {
        return Ok(node);
    }
    let total = nodes.len();
    if total == 0 {
        return Err("no nodes available to schedule pods".to_owned());
    }
    let mut parts: Vec<_> =
        reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    let mut preemption = Vec::new();
    if victims > 0 {
        preemption.push(format!("{victims} No preemption victims found for incoming pod"));
    }
    if hopeless > 0 {
        preemption.push(format!("{hopeless} Preemption is not helpful for scheduling"));
    }
    Err(format!(
        "0/{total} nodes are available: {}. preemption: 0/{total} nodes are available: {}.",
        parts.join(", "),
        preemption.join(", ")
    ))
}

fn tolerates_cordon(spec: &Value) -> bool {
    let node = serde_json::json!({"spec": {"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}});
    untolerated(spec, &node).is_none()
}

/// A claim that keeps the pod from any node.
fn unbound(view: &View, pod: &Value) -> Option<String> {
    for volume in list(&pod["spec"]["volumes"]) {
        let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() else { continue };
        let Some(there) = view.get("", "persistentvolumeclaims", namespace(pod), claim) else {
            return Some(format!("persistentvolumeclaim \"{claim}\" not found"));
        };
        let late = view.all("storage.k8s.io", "storageclasses").any(|class| {
            name(class) == word(&there["spec"]["storageClassName"])
                && class["volumeBindingMode"] == "WaitForFirstConsumer"
        });
        if there["status"]["phase"] != "Bound" && !late {
            return Some("pod has unbound immediate PersistentVolumeClaims".to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn taints_and_selectors_keep_pods_away() {
        let node = json!({
            "metadata": {"name": "a", "labels": {"zone": "one"}},
            "spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]},
        });
        assert!(untolerated(&json!({}), &node).is_some());
        let spec = json!({"tolerations": [{"key": "gpu", "operator": "Exists"}], "nodeSelector": {"zone": "one"}});
        assert!(untolerated(&spec, &node).is_none() && selects(&spec, &node));
        assert!(!selects(&json!({"nodeSelector": {"zone": "two"}}), &node));
    }
}
