//! Deployments, ReplicaSets, StatefulSets and DaemonSets.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Work, hash, owner,
    view::{View, count, deleting, is_active, is_ready, list, name, namespace, word},
};
use crate::{clock, cluster::storage, disruption::scaled};

const REVISION: &str = "deployment.kubernetes.io/revision";

/// Looks after all of them.
pub async fn reconcile(work: &Work, view: &View) {
    for deployment in view.all("apps", "deployments").filter(|one| !deleting(one)) {
        self::deployment(work, view, deployment).await;
    }
    for set in view.all("apps", "replicasets").filter(|one| !deleting(one)) {
        replica_set(work, view, set).await;
    }
    for set in view.all("apps", "statefulsets").filter(|one| !deleting(one)) {
        stateful_set(work, view, set).await;
    }
    for set in view.all("apps", "daemonsets").filter(|one| !deleting(one)) {
        daemon_set(work, view, set).await;
    }
}

/// A template without what the deployment adds to it.
fn bare(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove("pod-template-hash");
    }
    template
}

fn revision(set: &Value) -> i64 {
    word(&set["metadata"]["annotations"][REVISION]).parse().unwrap_or(0)
}

async fn deployment(work: &Work, view: &View, deployment: &Arc<Value>) {
    let spec = &deployment["spec"];
    let sets: Vec<&Arc<Value>> = view.owned("apps", "replicasets", deployment).collect();
    let wanted = bare(&spec["template"]);
    let new = sets.iter().find(|set| bare(&set["spec"]["template"]) == wanted).copied();
    let highest = sets.iter().map(|set| revision(set)).max().unwrap_or(0);
    let paused = spec["paused"] == true;
    match new {
        None if !paused => {
            new_set(work, deployment, &sets, highest + 1).await;
            return;
        }
        Some(new) if revision(new) < highest && !paused => {
            // A template that was there before is the newest again.
            set_revision(work, new, highest + 1);
        }
        _ => {}
    }
    if let Some(new) = new {
        let current = if paused {
            revision(new)
        } else {
            revision(new).max(if revision(new) < highest { highest + 1 } else { highest })
        };
        annotate(work, deployment, current);
        scale(work, view, deployment, new, &sets);
        if !paused {
            clean(work, deployment, new, &sets);
        }
    } else if let Some(old) = sets.iter().find(|set| revision(set) == highest) {
        // Paused before the new template was begun: only the number counts.
        resize(work, deployment, old, count(&spec["replicas"]));
    }
    deployment_status(work, deployment, new, &sets, paused);
}

async fn new_set(work: &Work, deployment: &Arc<Value>, sets: &[&Arc<Value>], number: i64) {
    let spec = &deployment["spec"];
    let mark = hash(&spec["template"]);
    let mut template = spec["template"].clone();
    template["metadata"]["labels"]["pod-template-hash"] = json!(mark);
    let mut selector = spec["selector"].clone();
    selector["matchLabels"]["pod-template-hash"] = json!(mark);
    let mut annotations =
        deployment["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    annotations.insert(REVISION.to_owned(), json!(number.to_string()));
    let replicas = count(&spec["replicas"]);
    let (surge, _) = limits(spec, replicas);
    annotations.insert(
        "deployment.kubernetes.io/desired-replicas".to_owned(),
        json!(replicas.to_string()),
    );
    annotations.insert(
        "deployment.kubernetes.io/max-replicas".to_owned(),
        json!((replicas + surge).to_string()),
    );
    let there: i64 = sets.iter().map(|set| count(&set["spec"]["replicas"])).sum();
    let first = if spec["strategy"]["type"] == "Recreate" && there > 0 {
        0
    } else {
        replicas.min((replicas + surge - there).max(0))
    };
    let set_name = format!("{}-{mark}", name(deployment));
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": set_name,
            "namespace": namespace(deployment),
            "labels": template["metadata"]["labels"],
            "annotations": annotations,
            "ownerReferences": [owner(deployment, "apps/v1", "Deployment")],
        },
        "spec": {
            "replicas": first,
            "minReadySeconds": count(&spec["minReadySeconds"]),
            "selector": selector,
            "template": template,
        },
    });
    if work.create("apps", "replicasets", "deployment-controller", set).await.is_ok() {
        work.event(
            deployment,
            "Deployment",
            "Normal",
            "ScalingReplicaSet",
            &format!("Scaled up replica set {set_name} from 0 to {first}"),
        );
        work.cluster.modify(
            &storage("apps", "deployments"),
            namespace(deployment),
            name(deployment),
            |object| {
                progressing(
                    object,
                    "True",
                    "NewReplicaSetCreated",
                    &format!("Created new replica set \"{set_name}\""),
                );
                true
            },
        );
    }
}

fn progressing(object: &mut Value, state: &str, reason: &str, message: &str) {
    let before = list(&object["status"]["conditions"])
        .iter()
        .find(|one| one["type"] == "Progressing")
        .cloned();
    let same =
        before.as_ref().is_some_and(|one| one["reason"] == reason && one["message"] == message);
    let updated = if same { before.map(|one| one["lastUpdateTime"].clone()) } else { None };
    super::set_condition(object, "Progressing", state, reason, message);
    for one in object["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if one["type"] == "Progressing" {
            one["lastUpdateTime"] = updated.clone().unwrap_or_else(|| json!(clock::stamp()));
        }
    }
}

fn set_revision(work: &Work, set: &Value, number: i64) {
    let old = word(&set["metadata"]["annotations"][REVISION]).to_owned();
    work.cluster.modify(&storage("apps", "replicasets"), namespace(set), name(set), |set| {
        let annotations = &mut set["metadata"]["annotations"];
        annotations[REVISION] = json!(number.to_string());
        let history = word(&annotations["deployment.kubernetes.io/revision-history"]);
        let history = if history.is_empty() { old.clone() } else { format!("{history},{old}") };
        annotations["deployment.kubernetes.io/revision-history"] = json!(history);
        true
    });
}

fn annotate(work: &Work, deployment: &Value, number: i64) {
    if word(&deployment["metadata"]["annotations"][REVISION]) == number.to_string() {
        return;
    }
    work.cluster.modify(
        &storage("apps", "deployments"),
        namespace(deployment),
        name(deployment),
        |object| {
            object["metadata"]["annotations"][REVISION] = json!(number.to_string());
            true
        },
    );
}

/// How many pods may be too many, and how many too few.
fn limits(spec: &Value, replicas: i64) -> (i64, i64) {
    let rolling = &spec["strategy"]["rollingUpdate"];
    if spec["strategy"]["type"] == "Recreate" {
        return (0, replicas);
    }
    let surge = scaled(&rolling["maxSurge"], replicas);
    let unavailable = match rolling["maxUnavailable"].as_str() {
        Some(text) => replicas * text.trim_end_matches('%').parse::<i64>().unwrap_or(0) / 100,
        None => count(&rolling["maxUnavailable"]),
    };
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

fn resize(work: &Work, deployment: &Value, set: &Value, replicas: i64) {
    let before = count(&set["spec"]["replicas"]);
    if before == replicas {
        return;
    }
    let wanted = count(&deployment["spec"]["replicas"]);
    work.cluster.modify(&storage("apps", "replicasets"), namespace(set), name(set), |set| {
        set["spec"]["replicas"] = json!(replicas);
        let generation = count(&set["metadata"]["generation"]);
        set["metadata"]["generation"] = json!(generation + 1);
        set["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] =
            json!(wanted.to_string());
        true
    });
    let way = if replicas > before { "up" } else { "down" };
    work.event(
        deployment,
        "Deployment",
        "Normal",
        "ScalingReplicaSet",
        &format!("Scaled {way} replica set {} from {before} to {replicas}", name(set)),
    );
}

fn scale(work: &Work, view: &View, deployment: &Value, new: &Arc<Value>, sets: &[&Arc<Value>]) {
    let spec = &deployment["spec"];
    let wanted = count(&spec["replicas"]);
    let old: Vec<&&Arc<Value>> = sets.iter().filter(|set| name(set) != name(new)).collect();
    let old_total: i64 = old.iter().map(|set| count(&set["spec"]["replicas"])).sum();
    let there = count(&new["spec"]["replicas"]);
    if old_total == 0
        && !(spec["strategy"]["type"] == "Recreate"
            && there == 0
            && old.iter().any(|set| view.owned("", "pods", set).next().is_some()))
    {
        resize(work, deployment, new, wanted);
        return;
    }
    if spec["paused"] == true {
        return;
    }
    if spec["strategy"]["type"] == "Recreate" {
        for set in old {
            resize(work, deployment, set, 0);
        }
        return;
    }
    let (surge, unavailable) = limits(spec, wanted);
    if there < wanted {
        let room = (wanted + surge - there - old_total).max(0);
        if room > 0 {
            resize(work, deployment, new, wanted.min(there + room));
            return;
        }
    } else if there > wanted {
        resize(work, deployment, new, wanted);
        return;
    }
    let available = |set: &Value| count(&set["status"]["availableReplicas"]);
    let least = wanted - unavailable;
    let not_yet = there - available(new);
    let mut may_go = there + old_total - least - not_yet;
    let mut ordered = old;
    ordered.sort_by_key(|set| revision(set));
    // First those that do not run anyway, then those that do.
    for set in &ordered {
        let size = count(&set["spec"]["replicas"]);
        let idle = (size - available(set)).max(0).min(may_go.max(0));
        if idle > 0 {
            resize(work, deployment, set, size - idle);
            return;
        }
    }
    let all: i64 = sets.iter().map(|set| available(set)).sum();
    may_go = may_go.min(all - least);
    for set in ordered {
        let size = count(&set["spec"]["replicas"]);
        let less = size.min(may_go.max(0));
        if less > 0 {
            resize(work, deployment, set, size - less);
            return;
        }
    }
}

fn clean(work: &Work, deployment: &Value, new: &Value, sets: &[&Arc<Value>]) {
    let most = usize::try_from(deployment["spec"]["revisionHistoryLimit"].as_i64().unwrap_or(10))
        .unwrap_or(10);
    let mut old: Vec<_> = sets
        .iter()
        .filter(|set| {
            name(set) != name(new)
                && count(&set["spec"]["replicas"]) == 0
                && count(&set["status"]["replicas"]) == 0
        })
        .collect();
    old.sort_by_key(|set| revision(set));
    let surplus = old.len().saturating_sub(most);
    for set in old.into_iter().take(surplus) {
        work.delete("apps", "replicasets", set);
    }
}

fn deployment_status(
    work: &Work,
    deployment: &Arc<Value>,
    new: Option<&Arc<Value>>,
    sets: &[&Arc<Value>],
    paused: bool,
) {
    let sum = |field: &str| -> i64 { sets.iter().map(|set| count(&set["status"][field])).sum() };
    let wanted = count(&deployment["spec"]["replicas"]);
    let (replicas, ready, available) =
        (sum("replicas"), sum("readyReplicas"), sum("availableReplicas"));
    let updated = new.map_or(0, |set| count(&set["status"]["replicas"]));
    let (_, unavailable) = limits(&deployment["spec"], wanted);
    let enough = available >= wanted - unavailable;
    let failure = sets
        .iter()
        .flat_map(|set| list(&set["status"]["conditions"]))
        .find(|one| one["type"] == "ReplicaFailure" && one["status"] == "True")
        .cloned();
    let complete = updated == wanted && replicas == wanted && available == wanted;
    let set_name = new.map(|set| name(set)).unwrap_or_default().to_owned();
    let deadline = deployment["spec"]["progressDeadlineSeconds"].as_i64().unwrap_or(600);
    work.cluster.modify(
        &storage("apps", "deployments"),
        namespace(deployment),
        name(deployment),
        |object| {
            let old = object["status"].clone();
            let mut status = json!({
                "observedGeneration": object["metadata"]["generation"],
                "conditions": old["conditions"],
            });
            for (field, value) in [
                ("replicas", replicas),
                ("updatedReplicas", updated),
                ("readyReplicas", ready),
                ("availableReplicas", available),
                ("unavailableReplicas", (wanted - available).max(0)),
            ] {
                if value > 0 {
                    status[field] = json!(value);
                }
            }
            let moved = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
                .iter()
                .any(|field| count(&old[*field]) != count(&status[*field]));
            object["status"] = status;
            if enough {
                dated(
                    object,
                    "Available",
                    "True",
                    "MinimumReplicasAvailable",
                    "Deployment has minimum availability.",
                );
            } else {
                dated(
                    object,
                    "Available",
                    "False",
                    "MinimumReplicasUnavailable",
                    "Deployment does not have minimum availability.",
                );
            }
            if paused {
                progressing(object, "Unknown", "DeploymentPaused", "Deployment is paused");
            } else if complete {
                progressing(
                    object,
                    "True",
                    "NewReplicaSetAvailable",
                    &format!("ReplicaSet \"{set_name}\" has successfully progressed."),
                );
            } else {
                let there = list(&object["status"]["conditions"])
                    .iter()
                    .find(|one| one["type"] == "Progressing")
                    .cloned()
                    .unwrap_or_default();
                let since = there["lastUpdateTime"].as_str().and_then(clock::parse);
                let late =
                    since.is_some_and(|since| (clock::now() - since).whole_seconds() >= deadline);
                if moved
                    || there.is_null()
                    || matches!(
                        word(&there["reason"]),
                        "NewReplicaSetAvailable" | "DeploymentPaused"
                    )
                {
                    let text = format!("ReplicaSet \"{set_name}\" is progressing.");
                    progressing(object, "True", "ReplicaSetUpdated", &text);
                    for one in object["status"]["conditions"].as_array_mut().into_iter().flatten() {
                        if one["type"] == "Progressing" && moved {
                            one["lastUpdateTime"] = json!(clock::stamp());
                        }
                    }
                } else if late {
                    progressing(
                        object,
                        "False",
                        "ProgressDeadlineExceeded",
                        &format!("ReplicaSet \"{set_name}\" has timed out progressing."),
                    );
                }
            }
            match &failure {
                Some(failure) => dated(
                    object,
                    "ReplicaFailure",
                    "True",
                    word(&failure["reason"]),
                    word(&failure["message"]),
                ),
                None => {
                    if let Some(all) = object["status"]["conditions"].as_array_mut() {
                        all.retain(|one| one["type"] != "ReplicaFailure");
                    }
                }
            }
            true
        },
    );
}

/// A condition with the time of its last update.
fn dated(object: &mut Value, kind: &str, state: &str, reason: &str, message: &str) {
    let before =
        list(&object["status"]["conditions"]).iter().find(|one| one["type"] == kind).cloned();
    let same = before.as_ref().is_some_and(|one| {
        one["status"] == state && one["reason"] == reason && one["message"] == message
    });
    if same {
        return;
    }
    super::set_condition(object, kind, state, reason, message);
    for one in object["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if one["type"] == kind {
            one["lastUpdateTime"] = json!(clock::stamp());
        }
    }
}

/// The pod that a workload wants.
pub fn pod_of(owner: &Value, api: &str, kind: &str, template: &Value) -> Value {
    let mut metadata = json!({
        "generateName": format!("{}-", name(owner)),
        "namespace": namespace(owner),
        "ownerReferences": [super::owner(owner, api, kind)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        let value = &template["metadata"][field];
        if !value.is_null() {
            metadata[field] = value.clone();
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

async fn replica_set(work: &Work, view: &View, set: &Arc<Value>) {
    let pods: Vec<&Arc<Value>> = view.owned("", "pods", set).collect();
    let mut active: Vec<&&Arc<Value>> = pods.iter().filter(|pod| is_active(pod)).collect();
    let wanted = count(&set["spec"]["replicas"]);
    let there = i64::try_from(active.len()).unwrap_or(0);
    let mut failure: Option<(&str, String)> = None;
    for _ in there..wanted {
        let pod = pod_of(set, "apps/v1", "ReplicaSet", &set["spec"]["template"]);
        match work.create("", "pods", "replicaset-controller", pod).await {
            Ok(pod) => work.event(
                set,
                "ReplicaSet",
                "Normal",
                "SuccessfulCreate",
                &format!("Created pod: {pod}"),
            ),
            Err(error) => {
                if !work.terminating(namespace(set)) {
                    work.event(
                        set,
                        "ReplicaSet",
                        "Warning",
                        "FailedCreate",
                        &format!("Error creating: {}", error.message),
                    );
                }
                failure = Some(("FailedCreate", error.message));
                break;
            }
        }
    }
    if there > wanted {
        // Those that do not run go first.
        active.sort_by_key(|pod| {
            (is_ready(pod), word(&pod["metadata"]["creationTimestamp"]).to_owned())
        });
        let surplus = usize::try_from(there - wanted).unwrap_or(0);
        for pod in active.drain(..surplus) {
            work.delete("", "pods", pod);
            work.event(
                set,
                "ReplicaSet",
                "Normal",
                "SuccessfulDelete",
                &format!("Deleted pod: {}", name(pod)),
            );
        }
    }
    let least = count(&set["spec"]["minReadySeconds"]);
    let ready = pods.iter().filter(|pod| is_active(pod) && is_ready(pod)).count();
    let available = pods.iter().filter(|pod| is_active(pod) && is_available(pod, least)).count();
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    let labelled = pods
        .iter()
        .filter(|pod| {
            is_active(pod)
                && labels
                    .as_object()
                    .into_iter()
                    .flatten()
                    .all(|(key, value)| pod["metadata"]["labels"][key] == *value)
        })
        .count();
    let total = pods.iter().filter(|pod| is_active(pod)).count();
    work.cluster.modify(&storage("apps", "replicasets"), namespace(set), name(set), |object| {
        let mut status = json!({
            "observedGeneration": object["metadata"]["generation"],
            "replicas": total,
        });
        for (field, value) in [
            ("fullyLabeledReplicas", labelled),
            ("readyReplicas", ready),
            ("availableReplicas", available),
        ] {
            if value > 0 {
                status[field] = json!(value);
            }
        }
        status["conditions"] = object["status"]["conditions"].clone();
        object["status"] = status;
        match &failure {
            Some((reason, message)) => {
                super::set_condition(object, "ReplicaFailure", "True", reason, message)
            }
            None if there < wanted || total as i64 >= wanted => {
                if let Some(all) = object["status"]["conditions"].as_array_mut() {
                    all.retain(|one| one["type"] != "ReplicaFailure");
                }
            }
            None => {}
        }
        if list(&object["status"]["conditions"]).is_empty()
            && let Some(status) = object["status"].as_object_mut()
        {
            status.remove("conditions");
        }
        true
    });
}

/// Whether a pod has been ready for long enough.
fn is_available(pod: &Value, least: i64) -> bool {
    if !is_ready(pod) {
        return false;
    }
    let since = list(&pod["status"]["conditions"])
        .iter()
        .find(|one| one["type"] == "Ready")
        .and_then(|one| one["lastTransitionTime"].as_str())
        .and_then(clock::parse);
    least == 0 || since.is_some_and(|since| (clock::now() - since).whole_seconds() >= least)
}

async fn revision_of(work: &Work, view: &View, set: &Value, kind: &str) -> String {
    let mark = hash(&set["spec"]["template"]);
    let revision_name = format!("{}-{mark}", name(set));
    if view.get("apps", "controllerrevisions", namespace(set), &revision_name).is_none() {
        let highest = view
            .owned("apps", "controllerrevisions", set)
            .map(|one| count(&one["revision"]))
            .max()
            .unwrap_or(0);
        let mut labels = set["spec"]["template"]["metadata"]["labels"].clone();
        labels["controller.kubernetes.io/hash"] = json!(mark);
        let controller =
            if kind == "DaemonSet" { "daemonset-controller" } else { "statefulset-controller" };
        let made = json!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision",
            "metadata": {
                "name": revision_name, "namespace": namespace(set), "labels": labels,
                "ownerReferences": [owner(set, "apps/v1", kind)],
            },
            "data": {"spec": {"template": set["spec"]["template"]}},
            "revision": highest + 1,
        });
        // Somebody may have been quicker: then it is there.
        let _ = work.create("apps", "controllerrevisions", controller, made).await;
    }
    if kind == "DaemonSet" { mark } else { revision_name }
}

async fn stateful_set(work: &Work, view: &View, set: &Arc<Value>) {
    let spec = &set["spec"];
    let update = revision_of(work, view, set, "StatefulSet").await;
    let wanted = count(&spec["replicas"]);
    let first = count(&spec["ordinals"]["start"]);
    let pods: Vec<&Arc<Value>> = view.owned("", "pods", set).collect();
    let find = |ordinal: i64| {
        let wanted = format!("{}-{ordinal}", name(set));
        pods.iter().find(|pod| name(pod) == wanted).copied()
    };
    let ordered = spec["podManagementPolicy"] != "Parallel";
    let partition = count(&spec["updateStrategy"]["rollingUpdate"]["partition"]);
    let mut held = false;
    for ordinal in first..first + wanted {
        match find(ordinal) {
            None => {
                claims(work, view, set, ordinal).await;
                let mut pod = pod_of(set, "apps/v1", "StatefulSet", &spec["template"]);
                let pod_name = format!("{}-{ordinal}", name(set));
                let old = word(&set["status"]["currentRevision"]);
                let mark = if ordinal < partition && !old.is_empty() {
                    old.to_owned()
                } else {
                    update.clone()
                };
                pod["metadata"]["name"] = json!(pod_name);
                pod["metadata"].as_object_mut().map(|metadata| metadata.remove("generateName"));
                let labels = &mut pod["metadata"]["labels"];
                labels["statefulset.kubernetes.io/pod-name"] = json!(pod_name);
                labels["apps.kubernetes.io/pod-index"] = json!(ordinal.to_string());
                labels["controller-revision-hash"] = json!(mark);
                pod["spec"]["hostname"] = json!(pod_name);
                if spec["serviceName"].is_string() {
                    pod["spec"]["subdomain"] = spec["serviceName"].clone();
                }
                volumes(set, ordinal, &mut pod);
                match work.create("", "pods", "statefulset-controller", pod).await {
                    Ok(_) => work.event(
                        set,
                        "StatefulSet",
                        "Normal",
                        "SuccessfulCreate",
                        &format!("create Pod {pod_name} in StatefulSet {} successful", name(set)),
                    ),
                    Err(error) => work.event(
                        set,
                        "StatefulSet",
                        "Warning",
                        "FailedCreate",
                        &format!(
                            "create Pod {pod_name} in StatefulSet {} failed error: {}",
                            name(set),
                            error.message
                        ),
                    ),
                }
                held = true;
            }
            Some(pod) if deleting(pod) => held = true,
            Some(pod) if matches!(word(&pod["status"]["phase"]), "Failed" | "Succeeded") => {
                work.delete("", "pods", pod);
                held = true;
            }
            Some(pod) => held |= !is_ready(pod),
        }
        if held && ordered {
            break;
        }
    }
    if !held || !ordered {
        let mut surplus: Vec<_> = pods
            .iter()
            .filter(|pod| ordinal_of(pod) >= first + wanted || ordinal_of(pod) < first)
            .collect();
        surplus.sort_by_key(|pod| -ordinal_of(pod));
        if let Some(pod) = surplus.into_iter().find(|pod| !deleting(pod)) {
            work.delete("", "pods", pod);
            work.event(
                set,
                "StatefulSet",
                "Normal",
                "SuccessfulDelete",
                &format!("delete Pod {} in StatefulSet {} successful", name(pod), name(set)),
            );
        } else if !held && spec["updateStrategy"]["type"] == "RollingUpdate" {
            let stale = (first + partition..first + wanted)
                .rev()
                .filter_map(find)
                .find(|pod| pod["metadata"]["labels"]["controller-revision-hash"] != update);
            if let Some(pod) = stale.filter(|pod| !deleting(pod)) {
                work.delete("", "pods", pod);
            }
        }
    }
    let of = |mark: &str| {
        pods.iter()
            .filter(|pod| {
                pod["metadata"]["labels"]["controller-revision-hash"] == mark && is_active(pod)
            })
            .count()
    };
    let ready = pods.iter().filter(|pod| is_active(pod) && is_ready(pod)).count();
    let total = pods.iter().filter(|pod| is_active(pod)).count();
    let updated = of(&update);
    work.cluster.modify(&storage("apps", "statefulsets"), namespace(set), name(set), |object| {
        let old = word(&object["status"]["currentRevision"]).to_owned();
        let done = i64::try_from(updated).unwrap_or(0) == wanted
            && i64::try_from(ready).unwrap_or(0) == wanted;
        let current = if old.is_empty() || done { update.clone() } else { old };
        let mut status = json!({
            "observedGeneration": object["metadata"]["generation"],
            "replicas": total,
            "availableReplicas": ready,
            "currentRevision": current,
            "updateRevision": update,
            "collisionCount": 0,
        });
        for (field, value) in [
            ("readyReplicas", ready),
            ("updatedReplicas", updated),
            ("currentReplicas", of(&current)),
        ] {
            if value > 0 {
                status[field] = json!(value);
            }
        }
        object["status"] = status;
        true
    });
}

fn ordinal_of(pod: &Value) -> i64 {
    name(pod).rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(-1)
}

async fn claims(work: &Work, view: &View, set: &Value, ordinal: i64) {
    for template in list(&set["spec"]["volumeClaimTemplates"]) {
        let claim_name = format!("{}-{}-{ordinal}", name(template), name(set));
        if view.get("", "persistentvolumeclaims", namespace(set), &claim_name).is_some() {
            continue;
        }
        let mut labels = template["metadata"]["labels"].clone();
        for (key, value) in set["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten()
        {
            labels[key] = value.clone();
        }
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim_name, "namespace": namespace(set), "labels": labels},
            "spec": template["spec"],
        });
        if let Err(error) =
            work.create("", "persistentvolumeclaims", "statefulset-controller", claim).await
        {
            work.event(set, "StatefulSet", "Warning", "FailedCreate", &error.message);
        }
    }
}

fn volumes(set: &Value, ordinal: i64, pod: &mut Value) {
    let mut all = list(&pod["spec"]["volumes"]).to_vec();
    for template in list(&set["spec"]["volumeClaimTemplates"]) {
        all.retain(|volume| volume["name"] != template["metadata"]["name"]);
        all.push(json!({
            "name": name(template),
            "persistentVolumeClaim": {"claimName": format!("{}-{}-{ordinal}", name(template), name(set))},
        }));
    }
    if !all.is_empty() {
        pod["spec"]["volumes"] = json!(all);
    }
}

async fn daemon_set(work: &Work, view: &View, set: &Arc<Value>) {
    let mark = revision_of(work, view, set, "DaemonSet").await;
    let pods: Vec<&Arc<Value>> = view.owned("", "pods", set).collect();
    let mut template = set["spec"]["template"].clone();
    for (key, effect) in [
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ] {
        let mut all = list(&template["spec"]["tolerations"]).to_vec();
        all.push(json!({"key": key, "operator": "Exists", "effect": effect}));
        template["spec"]["tolerations"] = json!(all);
    }
    let on = |pod: &Value| {
        pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            ["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]
            .as_str()
            .unwrap_or_else(|| word(&pod["spec"]["nodeName"]))
            .to_owned()
    };
    let (mut wanted, mut current, mut ready, mut updated) = (0, 0, 0, 0);
    let mut replaced = false;
    let mut surplus: Vec<&&Arc<Value>> = pods.iter().collect();
    for node in view.all("", "nodes") {
        let fits = super::scheduler::selects(&template["spec"], node)
            && super::scheduler::untolerated(&template["spec"], node).is_none();
        if !fits {
            continue;
        }
        wanted += 1;
        let there = pods.iter().find(|pod| {
            on(pod) == name(node)
                && !matches!(word(&pod["status"]["phase"]), "Failed" | "Succeeded")
        });
        surplus.retain(|pod| {
            on(pod) != name(node) || matches!(word(&pod["status"]["phase"]), "Failed" | "Succeeded")
        });
        match there {
            None => {
                let mut pod = pod_of(set, "apps/v1", "DaemonSet", &template);
                pod["metadata"]["labels"]["controller-revision-hash"] = json!(mark);
                pod["metadata"]["labels"]["pod-template-generation"] =
                    json!(count(&set["metadata"]["generation"]).to_string());
                pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
                    "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name(node)]}]}],
                });
                match work.create("", "pods", "daemon-set-controller", pod).await {
                    Ok(pod) => work.event(
                        set,
                        "DaemonSet",
                        "Normal",
                        "SuccessfulCreate",
                        &format!("Created pod: {pod}"),
                    ),
                    Err(error) => work.event(
                        set,
                        "DaemonSet",
                        "Warning",
                        "FailedCreate",
                        &format!("Error creating: {}", error.message),
                    ),
                }
            }
            Some(pod) => {
                current += 1;
                let is_new = pod["metadata"]["labels"]["controller-revision-hash"] == mark;
                ready += i64::from(is_ready(pod));
                updated += i64::from(is_new);
                let rolling = set["spec"]["updateStrategy"]["type"] == "RollingUpdate";
                if deleting(pod) || is_new && !is_ready(pod) {
                    replaced = true;
                } else if !is_new && rolling && !replaced {
                    replaced = true;
                    work.delete("", "pods", pod);
                }
            }
        }
    }
    for pod in surplus.into_iter().filter(|pod| !deleting(pod)) {
        work.delete("", "pods", pod);
    }
    work.cluster.modify(&storage("apps", "daemonsets"), namespace(set), name(set), |object| {
        let mut status = json!({
            "observedGeneration": object["metadata"]["generation"],
            "desiredNumberScheduled": wanted,
            "currentNumberScheduled": current,
            "numberMisscheduled": 0,
            "numberReady": ready,
        });
        for (field, value) in [
            ("updatedNumberScheduled", updated),
            ("numberAvailable", ready),
            ("numberUnavailable", wanted - ready),
        ] {
            if value > 0 {
                status[field] = json!(value);
            }
        }
        object["status"] = status;
        true
    });
}
