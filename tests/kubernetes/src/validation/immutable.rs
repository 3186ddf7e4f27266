//! Fields that do not change once they are set.

use serde_json::Value;

use crate::{resources::ResourceType, status::Cause};

const IMMUTABLE: &str = "field is immutable";

fn same(causes: &mut Vec<Cause>, before: &Value, object: &Value, path: &[&str]) {
    let at = |value: &Value| path.iter().fold(value.clone(), |value, field| value[*field].clone());
    let (old, new) = (at(before), at(object));
    if old != new {
        causes.push(Cause::invalid(path.join("."), &new, IMMUTABLE));
    }
}

/// What was changed and may not be.
pub fn changed(resource: &ResourceType, before: &Value, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("apps", "deployments" | "replicasets" | "daemonsets") => {
            same(&mut causes, before, object, &["spec", "selector"]);
        }
        ("apps", "statefulsets") => stateful_set(&mut causes, before, object),
        ("batch", "jobs") => job(&mut causes, before, object),
        ("", "services") => service(&mut causes, before, object),
        ("", "persistentvolumeclaims") => claim(&mut causes, before, object),
        ("", "persistentvolumes") => volume(&mut causes, before, object),
        ("", "configmaps" | "secrets") => kept(&mut causes, resource, before, object),
        ("", "pods") => pod(&mut causes, before, object),
        ("", "nodes") => {
            let old = &before["spec"]["providerID"];
            if old.is_string() && *old != object["spec"]["providerID"] {
                causes.push(Cause::forbidden(
                    "spec.providerID",
                    "node updates may not change providerID except from \"\" to valid",
                ));
            }
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            if before["roleRef"] != object["roleRef"] {
                causes.push(Cause::invalid("roleRef", &object["roleRef"], "cannot change roleRef"));
            }
        }
        ("storage.k8s.io", "storageclasses") => {
            for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
                if before[field] != object[field] {
                    causes.push(Cause::forbidden(
                        field,
                        format!("updates to {field} are forbidden."),
                    ));
                }
            }
        }
        ("scheduling.k8s.io", "priorityclasses") => {
            for field in ["value", "preemptionPolicy"] {
                if before[field] != object[field] {
                    causes.push(Cause::forbidden(field, "may not be changed in an update."));
                }
            }
        }
        ("networking.k8s.io", "ingressclasses") => {
            same(&mut causes, before, object, &["spec", "controller"]);
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            for path in [
                ["spec", "group"].as_slice(),
                &["spec", "scope"],
                &["spec", "names", "plural"],
                &["spec", "names", "kind"],
            ] {
                same(&mut causes, before, object, path);
            }
        }
        ("node.k8s.io", "runtimeclasses") => same(&mut causes, before, object, &["handler"]),
        ("coordination.k8s.io", "leases") | ("", "namespaces") => {}
        _ => {}
    }
    causes
}

fn without(value: &Value, paths: &[&[&str]]) -> Value {
    let mut value = value.clone();
    for path in paths {
        let Some((last, holders)) = path.split_last() else { continue };
        let mut place = &mut value;
        for field in holders {
            if !place[*field].is_object() {
                break;
            }
            place = &mut place[*field];
        }
        if let Some(fields) = place.as_object_mut() {
            fields.remove(*last);
        }
    }
    value
}

fn stateful_set(causes: &mut Vec<Cause>, before: &Value, object: &Value) {
    const FREE: &[&[&str]] = &[
        &["replicas"],
        &["ordinals"],
        &["template"],
        &["updateStrategy"],
        &["revisionHistoryLimit"],
        &["persistentVolumeClaimRetentionPolicy"],
        &["minReadySeconds"],
    ];
    if without(&before["spec"], FREE) != without(&object["spec"], FREE) {
        causes.push(Cause::forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ));
    }
}

fn job(causes: &mut Vec<Cause>, before: &Value, object: &Value) {
    let (old, new) = (&before["spec"], &object["spec"]);
    if old["completions"] != new["completions"] && new["completionMode"] != "Indexed" {
        causes.push(Cause::invalid("spec.completions", &new["completions"], IMMUTABLE));
    }
    same(causes, before, object, &["spec", "selector"]);
    let suspended = old["suspend"] == true && before["status"]["startTime"].is_null();
    let template = |spec: &Value| {
        if suspended {
            without(
                &spec["template"],
                &[
                    &["spec", "nodeSelector"],
                    &["spec", "tolerations"],
                    &["spec", "affinity"],
                    &["metadata", "labels"],
                    &["metadata", "annotations"],
                    &["spec", "schedulingGates"],
                ],
            )
        } else {
            spec["template"].clone()
        }
    };
    if template(old) != template(new) {
        causes.push(Cause::invalid("spec.template", &new["template"], IMMUTABLE));
    }
    same(causes, before, object, &["spec", "completionMode"]);
    same(causes, before, object, &["spec", "podFailurePolicy"]);
    same(causes, before, object, &["spec", "backoffLimitPerIndex"]);
}

fn service(causes: &mut Vec<Cause>, before: &Value, object: &Value) {
    let (old, new) = (&before["spec"], &object["spec"]);
    if old["type"] == "ExternalName" || new["type"] == "ExternalName" {
        return;
    }
    let there = old["clusterIP"].as_str().unwrap_or_default();
    if !there.is_empty() && old["clusterIP"] != new["clusterIP"] {
        causes.push(Cause::invalid(
            "spec.clusterIPs[0]",
            &new["clusterIPs"],
            "may not change once set",
        ));
    }
}

fn claim(causes: &mut Vec<Cause>, before: &Value, object: &Value) {
    const FREE: &[&[&str]] =
        &[&["resources", "requests", "storage"], &["volumeAttributesClassName"], &["volumeName"]];
    let (old, new) = (&before["spec"], &object["spec"]);
    let named = old["volumeName"].is_string() && old["volumeName"] != new["volumeName"];
    if named || without(old, FREE) != without(new, FREE) {
        causes.push(Cause::forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ));
    }
    let size =
        |spec: &Value| super::quantity::of(&spec["resources"]["requests"]["storage"]).unwrap_or(0);
    if size(new) < size(old) {
        causes.push(Cause::forbidden(
            "spec.resources.requests.storage",
            "field can not be less than status.capacity",
        ));
    } else if size(new) > size(old) && before["status"]["phase"] != "Bound" {
        causes.push(Cause::forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ));
    }
}

fn volume(causes: &mut Vec<Cause>, before: &Value, object: &Value) {
    const SOURCES: &[&str] = &["hostPath", "nfs", "csi", "local", "iscsi", "fc"];
    if SOURCES.iter().any(|source| before["spec"][*source] != object["spec"][*source]) {
        causes.push(Cause::forbidden(
            "spec.persistentvolumesource",
            "spec.persistentvolumesource is immutable after creation",
        ));
    }
    same(causes, before, object, &["spec", "volumeMode"]);
}

fn kept(causes: &mut Vec<Cause>, resource: &ResourceType, before: &Value, object: &Value) {
    if resource.plural == "secrets" && before["type"] != object["type"] {
        causes.push(Cause::invalid("type", &object["type"], IMMUTABLE));
    }
    if before["immutable"] != true {
        return;
    }
    if object["immutable"] != true {
        causes.push(Cause::forbidden("immutable", "field is immutable when `immutable` is set"));
    }
    for field in ["data", "binaryData"] {
        if before[field] != object[field] {
            causes.push(Cause::forbidden(field, "field is immutable when `immutable` is set"));
        }
    }
}

fn pod(causes: &mut Vec<Cause>, before: &Value, object: &Value) {
    let bare = |spec: &Value| {
        let mut spec = spec.clone();
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                if let Some(fields) = container.as_object_mut() {
                    fields.remove("image");
                }
            }
            if spec[list].is_null()
                && let Some(fields) = spec.as_object_mut()
            {
                fields.remove(list);
            }
        }
        without(
            &spec,
            &[
                &["activeDeadlineSeconds"],
                &["tolerations"],
                &["terminationGracePeriodSeconds"],
                &["schedulingGates"],
            ],
        )
    };
    let count = |spec: &Value, list: &str| spec[list].as_array().map_or(0, Vec::len);
    let (old, new) = (&before["spec"], &object["spec"]);
    for list in ["containers", "initContainers"] {
        if count(old, list) != count(new, list) {
            causes.push(Cause::forbidden(
                format!("spec.{list}"),
                "pod updates may not add or remove containers",
            ));
            return;
        }
    }
    if bare(old) != bare(new) {
        causes.push(Cause::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
}
