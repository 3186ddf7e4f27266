//! Which pods of a node are evicted when it is drained, by the rules of `kubectl drain`.
//!
//! <https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/>

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What whoever drains has agreed to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// Pods with volumes that are deleted with them.
    pub local_data: bool,
    /// Pods that nothing makes anew.
    pub unmanaged: bool,
}

/// What a drain does with a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is evicted.
    Evict,
    /// It stays: of a DaemonSet, or of the node's own kubelet.
    Stay,
    /// It would lose the data in its `emptyDir` volumes.
    LosesData,
    /// Nothing would make it anew.
    Unmanaged,
}

/// What a drain does with a pod.
pub fn fate(pod: &Value, agreed: Agreed) -> Fate {
    let metadata = &pod["metadata"];
    if !metadata["annotations"]["kubernetes.io/config.mirror"].is_null() {
        return Fate::Stay;
    }
    let owners = metadata["ownerReferences"].as_array();
    let controller = owners.and_then(|all| all.iter().find(|owner| owner["controller"] == true));
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    match controller.and_then(|owner| owner["kind"].as_str()) {
        // It would be made anew at once, on the same node.
        Some("DaemonSet") if !ended => return Fate::Stay,
        None if !ended && !agreed.unmanaged => return Fate::Unmanaged,
        _ => {}
    }
    let volumes = pod["spec"]["volumes"].as_array();
    let local = volumes.is_some_and(|all| all.iter().any(|volume| !volume["emptyDir"].is_null()));
    if local && !ended && !agreed.local_data {
        return Fate::LosesData;
    }
    Fate::Evict
}

/// `namespace/name` of a pod.
pub fn name(pod: &Value) -> String {
    let part = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", part("namespace"), part("name"))
}

/// Why a drain needs more agreement, naming the pods; nothing where it can begin.
pub fn objection(pods: &[Value], agreed: Agreed) -> Option<String> {
    let named = |wanted: Fate| {
        let all: Vec<String> =
            pods.iter().filter(|pod| fate(pod, agreed) == wanted).map(name).collect();
        (!all.is_empty()).then(|| {
            let more = all.len().saturating_sub(5);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{more}", all[..all.len().min(5)].join(", "))
        })
    };
    let unmanaged = named(Fate::Unmanaged)
        .map(|pods| format!("Nothing makes these pods anew: {pods}. Agree with `force`."));
    let local = named(Fate::LosesData).map(|pods| {
        format!("These pods would lose the data in their emptyDir volumes: {pods}. Agree with `delete_local_data`.")
    });
    let all: Vec<String> = unmanaged.into_iter().chain(local).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(owner: Option<&str>, volumes: Value) -> Value {
        let owners: Vec<Value> =
            owner.iter().map(|kind| json!({"kind": kind, "controller": true})).collect();
        json!({"metadata": {"namespace": "a", "name": "b", "ownerReferences": owners},
            "spec": {"volumes": volumes}, "status": {"phase": "Running"}})
    }

    #[test]
    fn pods_are_treated_as_kubectl_treats_them() {
        let (no, yes) = (Agreed::default(), Agreed { local_data: true, unmanaged: true });
        let local = json!([{"name": "a", "emptyDir": {}}]);
        for (pod, agreed, expected) in [
            (pod(Some("ReplicaSet"), json!([])), no, Fate::Evict),
            (pod(Some("DaemonSet"), local.clone()), no, Fate::Stay),
            (pod(None, json!([])), no, Fate::Unmanaged),
            (pod(None, json!([])), yes, Fate::Evict),
            (pod(Some("ReplicaSet"), local.clone()), no, Fate::LosesData),
            (pod(Some("ReplicaSet"), local.clone()), yes, Fate::Evict),
        ] {
            assert_eq!(fate(&pod, agreed), expected, "{pod}");
        }
        let mut mirror = pod(None, json!([]));
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        assert_eq!(fate(&mirror, no), Fate::Stay);
        let mut ended = pod(None, local);
        ended["status"]["phase"] = json!("Succeeded");
        assert_eq!(fate(&ended, no), Fate::Evict);
    }

    #[test]
    fn what_needs_agreement_is_named() {
        let pods = [pod(None, json!([])), pod(Some("Job"), json!([{"emptyDir": {}}]))];
        let told = objection(&pods, Agreed::default()).unwrap_or_default();
        assert!(
            told.contains("a/b") && told.contains("force") && told.contains("delete_local_data")
        );
        assert_eq!(objection(&pods, Agreed { local_data: true, unmanaged: true }), None);
    }
}
