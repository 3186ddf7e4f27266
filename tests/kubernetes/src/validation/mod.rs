//! The rules that objects of each kind keep, with the fields and words of Kubernetes.

mod custom;
mod immutable;
mod kinds;
mod pods;
pub mod quantity;

use serde_json::{Value, json};

use crate::{cluster::Cluster, names, resources::ResourceType, status::Cause};

pub use pods::pod_spec;

/// What is wrong with a new object.
pub fn create(cluster: &Cluster, resource: &ResourceType, object: &Value) -> Vec<Cause> {
    let mut causes = metadata(resource, object);
    causes.extend(content(cluster, resource, object, None));
    causes
}

/// What is wrong with a change.
pub fn update(
    cluster: &Cluster,
    resource: &ResourceType,
    before: &Value,
    object: &Value,
) -> Vec<Cause> {
    let mut causes = metadata(resource, object);
    causes.extend(deletion(before, object));
    causes.extend(content(cluster, resource, object, Some(before)));
    if !resource.is_custom() {
        causes.extend(immutable::changed(resource, before, object));
    }
    causes
}

/// What is wrong with a change of a part.
pub fn update_part(
    resource: &ResourceType,
    before: &Value,
    object: &Value,
    part: &str,
) -> Vec<Cause> {
    if resource.is_custom() {
        return custom::check(&resource.schema, object);
    }
    match (resource.plural.as_str(), part) {
        ("pods", "ephemeralcontainers") => pods::ephemeral(before, object),
        ("pods", "status") => {
            if before["spec"] == object["spec"] {
                Vec::new()
            } else {
                vec![Cause::forbidden("spec", "may not be changed through status")]
            }
        }
        _ => Vec::new(),
    }
}

fn content(
    cluster: &Cluster,
    resource: &ResourceType,
    object: &Value,
    before: Option<&Value>,
) -> Vec<Cause> {
    if resource.is_custom() {
        return custom::check(&resource.schema, object);
    }
    kinds::check(cluster, resource, object, before)
}

/// New finalizers are not taken by what is being deleted.
fn deletion(before: &Value, object: &Value) -> Vec<Cause> {
    if !before["metadata"]["deletionTimestamp"].is_string() {
        return Vec::new();
    }
    let list =
        |value: &Value| value["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let old = list(before);
    let new: Vec<_> = list(object).into_iter().filter(|one| !old.contains(one)).collect();
    if new.is_empty() {
        return Vec::new();
    }
    let names: Vec<_> = new.iter().map(|one| one.to_string()).collect();
    vec![Cause::forbidden(
        "metadata.finalizers",
        format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            names.join(", ")
        ),
    )]
}

/// How the names of a kind are to be.
fn name_rule(resource: &ResourceType) -> fn(&str) -> Option<String> {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces") => names::label,
        ("", "services") => names::label_1035,
        ("rbac.authorization.k8s.io", _) => names::path_segment,
        ("certificates.k8s.io", _) => names::subdomain,
        _ => names::subdomain,
    }
}

fn metadata(resource: &ResourceType, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else if let Some(why) = name_rule(resource)(name) {
        causes.push(Cause::invalid("metadata.name", &json!(name), why));
    }
    if resource.namespaced && metadata["namespace"].as_str().unwrap_or_default().is_empty() {
        causes.push(Cause::required("metadata.namespace", ""));
    }
    causes.extend(labels("metadata.labels", &metadata["labels"]));
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        size += key.len() + value.as_str().unwrap_or_default().len();
        if let Some(why) = names::qualified_name(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), why));
        }
    }
    if size > 256 * 1024 {
        causes.push(Cause::too_long("metadata.annotations", 256 * 1024));
    }
    for owner in metadata["ownerReferences"].as_array().into_iter().flatten() {
        let at = "metadata.ownerReferences";
        for (key, why) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            let value = &owner[key];
            if value.as_str().unwrap_or_default().is_empty() {
                causes.push(Cause::invalid(format!("{at}.{key}"), &json!(""), why));
            }
        }
    }
    let controllers = metadata["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|owner| owner["controller"] == true)
        .count();
    if controllers > 1 {
        causes.push(Cause::invalid(
            "metadata.ownerReferences",
            &metadata["ownerReferences"],
            "Only one reference can have Controller set to true",
        ));
    }
    for (index, finalizer) in metadata["finalizers"].as_array().into_iter().flatten().enumerate() {
        let text = finalizer.as_str().unwrap_or_default();
        let known = matches!(text, "foregroundDeletion" | "orphan" | "kubernetes");
        // Definitions of custom resources are validated by a server of their own, as these are.
        let is_core = !resource.is_custom() && resource.group != "apiextensions.k8s.io";
        if let Some(why) = names::qualified_name(text) {
            causes.push(Cause::invalid("metadata.finalizers", finalizer, why));
        } else if !text.contains('/') && !known && is_core {
            causes.push(Cause::invalid(
                format!("metadata.finalizers[{index}]"),
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
    causes
}

/// What is wrong with labels.
pub fn labels(field: &str, labels: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        if let Some(why) = names::qualified_name(key) {
            causes.push(Cause::invalid(field, &json!(key), why));
        }
        if let Some(why) = names::label_value(value.as_str().unwrap_or_default()) {
            causes.push(Cause::invalid(field, value, why));
        }
    }
    causes
}

/// What is wrong with a label selector.
pub fn selector(field: &str, selector: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        if let Some(why) = names::qualified_name(key) {
            causes.push(Cause::invalid(format!("{field}.matchLabels"), &json!(key), why));
        }
        if let Some(why) = names::label_value(value.as_str().unwrap_or_default()) {
            causes.push(Cause::invalid(format!("{field}.matchLabels"), value, why));
        }
    }
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    for (index, expression) in expressions.enumerate() {
        let at = format!("{field}.matchExpressions[{index}]");
        let values = expression["values"].as_array().map_or(0, Vec::len);
        match expression["operator"].as_str() {
            Some("In" | "NotIn") if values == 0 => causes.push(Cause::required(
                format!("{at}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            Some("Exists" | "DoesNotExist") if values > 0 => causes.push(Cause::forbidden(
                format!("{at}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            Some("In" | "NotIn" | "Exists" | "DoesNotExist") => {}
            _ => causes.push(Cause::invalid(
                format!("{at}.operator"),
                &expression["operator"],
                "not a valid selector operator",
            )),
        }
        if let Some(why) = names::qualified_name(expression["key"].as_str().unwrap_or_default()) {
            causes.push(Cause::invalid(format!("{at}.key"), &expression["key"], why));
        }
    }
    causes
}

/// What is allowed, but worth a warning.
pub fn warnings(resource: &ResourceType, object: &Value) -> Vec<String> {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "endpoints") => vec![
            "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
                .to_owned(),
        ],
        ("", "componentstatuses") => vec!["v1 ComponentStatus is deprecated in v1.19+".to_owned()],
        ("", "pods") => pods::warnings(&object["spec"], "spec"),
        ("apps", "deployments" | "replicasets" | "daemonsets" | "statefulsets")
        | ("batch", "jobs") => {
            pods::warnings(&object["spec"]["template"]["spec"], "spec.template.spec")
        }
        _ => Vec::new(),
    }
}
