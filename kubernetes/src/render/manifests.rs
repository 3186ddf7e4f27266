//! Stacks that are manifests already: their objects as they are, with what marks them, and with
//! what people set by hand.

use drover_compose::Project;
use serde_json::Value;

use super::{Made, Stack, names};

pub(super) fn render(stack: &Stack<'_>, project: &Project) -> Vec<Made> {
    let mut all: Vec<Made> = project
        .manifests
        .iter()
        .filter_map(|manifest| {
            let mut value = manifest.object.clone();
            // What a server adds by itself is nothing to ask for.
            value.as_object_mut()?.remove("status");
            let metadata = value["metadata"].as_object_mut()?;
            for key in
                ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"]
            {
                metadata.remove(key);
            }
            let adopt = metadata
                .get_mut("annotations")
                .and_then(Value::as_object_mut)
                .and_then(|annotations| annotations.remove(names::ADOPT))
                .is_some_and(|value| value == "true");
            if stack.stopped && !stop(&mut value) {
                return None;
            }
            if let Some(service) = &manifest.service {
                workload(stack, project, service, &mut value);
            }
            let service = manifest.service.clone();
            Some(Made { value, service, line: manifest.line, adopt })
        })
        .collect();
    // What others need comes first, in the text's order otherwise.
    all.sort_by_key(|made| rank(&made.value));
    all
}

/// In which order kinds are applied.
fn rank(value: &Value) -> u8 {
    match value["kind"].as_str().unwrap_or_default() {
        "Namespace" | "CustomResourceDefinition" | "PriorityClass" | "StorageClass" => 0,
        "ServiceAccount" | "Role" | "ClusterRole" | "ResourceQuota" | "LimitRange" => 1,
        "RoleBinding" | "ClusterRoleBinding" | "Secret" | "ConfigMap" => 2,
        "PersistentVolume" | "PersistentVolumeClaim" | "NetworkPolicy" => 3,
        "Service" => 4,
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Pod" | "Job" | "CronJob" => 5,
        "HorizontalPodAutoscaler" | "PodDisruptionBudget" | "Ingress" => 7,
        _ => 6,
    }
}

/// Makes a workload stop; false for one that has to go for that.
fn stop(value: &mut Value) -> bool {
    let (key, quiet) = match value["kind"].as_str().unwrap_or_default() {
        "Deployment" | "StatefulSet" | "ReplicaSet" => ("replicas", 0.into()),
        "CronJob" => ("suspend", true.into()),
        "DaemonSet" | "Job" | "Pod" | "HorizontalPodAutoscaler" => return false,
        _ => return true,
    };
    if let Some(spec) = names::mapping(value, &["spec"]) {
        spec.insert(key.into(), quiet);
    }
    true
}

/// Marks the pods of a workload as the stack's, and gives it the scale and the restarts that
/// people asked for.
fn workload(stack: &Stack<'_>, project: &Project, service: &str, value: &mut Value) {
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    if matches!(kind.as_str(), "Deployment" | "StatefulSet" | "ReplicaSet") && !stack.stopped {
        // What the text leaves open may be somebody else's to say, e.g. an autoscaler's.
        let written = value["spec"]["replicas"].as_u64();
        let wanted = project.services.get(service).map_or(1, |service| service.deploy.replicas);
        if written.unwrap_or(1) != u64::from(wanted)
            && let Some(spec) = names::mapping(value, &["spec"])
        {
            spec.insert("replicas".into(), wanted.into());
        }
    }
    let within = |keys: &[&'static str]| {
        let template: &[&str] = if kind == "Pod" { &[] } else { &["spec", "template"] };
        [template, keys].concat()
    };
    if let Some(labels) = names::mapping(value, &within(&["metadata", "labels"])) {
        for (key, text) in names::stack_labels(stack.id, stack.environment) {
            labels.insert(key, text.into());
        }
        if names::is_label_value(service) {
            labels.insert(names::SERVICE.into(), service.into());
        }
    }
    // A Job cannot be changed, nor can a Pod.
    let generation = stack.generations.get(service).copied().unwrap_or_default();
    if generation > 0
        && !matches!(kind.as_str(), "Job" | "Pod")
        && let Some(annotations) = names::mapping(value, &within(&["metadata", "annotations"]))
    {
        annotations.insert(names::GENERATION.into(), generation.to_string().into());
    }
}
