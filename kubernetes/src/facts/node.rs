//! Nodes.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    Facts, Health, Meta, NodeFacts, Reading, Verdict,
    input::{Condition, Labels, Object, or_default, sentence},
    pod::quantities,
};
use crate::index::Pool;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec<'a> {
    unschedulable: bool,
    #[serde(borrow, rename = "providerID", deserialize_with = "or_default")]
    provider_id: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    taints: Vec<Taint<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Taint<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    effect: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    capacity: Labels<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    allocatable: Labels<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    conditions: Vec<Condition<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    node_info: Info<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Info<'a> {
    #[serde(borrow)]
    kubelet_version: Cow<'a, str>,
}

const ROLE: &str = "node-role.kubernetes.io/";

pub fn read<'a>(text: &'a str, pool: &mut Pool) -> serde_json::Result<(Meta<'a>, Reading)> {
    let node: Object<'a, Spec<'a>, Status<'a>> = serde_json::from_str(text)?;
    let Object { metadata, spec, status } = node;
    let ready = status.conditions.iter().any(|condition| condition.is("Ready", "True"));
    let true_ones = status
        .conditions
        .iter()
        .filter(|condition| condition.status == "True" && condition.kind != "Ready")
        .map(|condition| &*condition.kind);
    let roles = metadata.labels.pairs().filter_map(|(key, _)| key.strip_prefix(ROLE));
    let pods = status.allocatable.pairs().find(|(key, _)| *key == "pods");
    // Cordons and lost nodes are told in other ways.
    let taints = spec.taints.iter().filter(|taint| {
        taint.effect != "PreferNoSchedule" && !taint.key.starts_with("node.kubernetes.io/")
    });
    let facts = NodeFacts {
        ready,
        unschedulable: spec.unschedulable,
        capacity: quantities(&status.capacity),
        allocatable: quantities(&status.allocatable),
        pods: pods.and_then(|(_, count)| count.parse().ok()).unwrap_or_default(),
        roles: pool.list(roles),
        kubelet: pool.text(&status.node_info.kubelet_version),
        provider_id: pool.text(&spec.provider_id),
        conditions: pool.list(true_ones),
        taints: taints.count() as u16,
    };
    let verdict = judge(&spec, &status);
    Ok((metadata, Reading { facts: Facts::Node(Box::new(facts)), verdict }))
}

fn judge(spec: &Spec<'_>, status: &Status<'_>) -> Verdict {
    let find = |kind: &str| status.conditions.iter().find(|condition| condition.kind == kind);
    match find("Ready") {
        Some(ready) if ready.status == "False" => {
            return Verdict::new(
                Health::Failed,
                format!("It is not ready: {}", sentence(&ready.message)),
            );
        }
        Some(ready) if ready.status == "Unknown" => {
            return Verdict::new(
                Health::Failed,
                "Its kubelet has not been heard of: the machine, its network or its kubelet is down.",
            );
        }
        Some(_) => {}
        None => return Verdict::new(Health::Unknown, "Its kubelet has told nothing yet."),
    }
    let pressed: Vec<&str> = [
        ("MemoryPressure", "memory"),
        ("DiskPressure", "disk space"),
        ("PIDPressure", "process ids"),
    ]
    .into_iter()
    .filter(|(kind, _)| find(kind).is_some_and(|condition| condition.status == "True"))
    .map(|(_, what)| what)
    .collect();
    if !pressed.is_empty() {
        return Verdict::new(
            Health::Degraded,
            format!("It runs out of {}; pods are evicted.", pressed.join(" and ")),
        );
    }
    if let Some(network) = find("NetworkUnavailable").filter(|condition| condition.status == "True")
    {
        return Verdict::new(
            Health::Degraded,
            format!("Its network is not set up: {}", sentence(&network.message)),
        );
    }
    if spec.unschedulable {
        return Verdict::new(Health::Degraded, "It is cordoned: no new pods come to it.");
    }
    Verdict::healthy()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::tests::{read_value, why},
        *,
    };

    fn node(conditions: Value, unschedulable: bool) -> Value {
        json!({"metadata": {"name": "n1", "labels": {"node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": unschedulable, "providerID": "aws:///x", "taints": [
                {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}, {"key": "dedicated", "effect": "NoSchedule"}]},
            "status": {"capacity": {"cpu": "4", "memory": "8Gi"}, "allocatable": {"cpu": "3900m", "memory": "7Gi", "pods": "110"},
                "conditions": conditions, "nodeInfo": {"kubeletVersion": "v1.33.1"}}})
    }

    #[test]
    fn nodes() {
        let ready = json!({"type": "Ready", "status": "True"});
        assert_eq!(why("nodes", &node(json!([ready]), false)).0, Health::Healthy);
        assert!(why("nodes", &node(json!([ready]), true)).1.contains("cordoned"));
        let pressed = json!([ready, {"type": "DiskPressure", "status": "True"}, {"type": "MemoryPressure", "status": "False"}]);
        assert!(why("nodes", &node(pressed, false)).1.contains("disk space;"));
        let down =
            json!([{"type": "Ready", "status": "False", "message": "container runtime is down"}]);
        assert_eq!(
            why("nodes", &node(down, false)),
            (Health::Failed, "It is not ready: container runtime is down.".into())
        );
        assert!(
            why("nodes", &node(json!([{"type": "Ready", "status": "Unknown"}]), false))
                .1
                .contains("kubelet")
        );
        assert_eq!(why("nodes", &node(json!([]), false)).0, Health::Unknown);
    }

    #[test]
    fn facts_of_a_node() {
        let (Facts::Node(facts), _) =
            read_value("nodes", &node(json!([{"type": "Ready", "status": "True"}]), false))
        else {
            panic!("no facts")
        };
        assert!(facts.ready);
        assert_eq!(
            (facts.capacity.cpu_milli, facts.allocatable.cpu_milli, facts.pods, facts.taints),
            (4000, 3900, 110, 1)
        );
        assert_eq!((&*facts.roles[0], &*facts.kubelet), ("control-plane", "v1.33.1"));
    }
}
