//! What k8s-openapi's schemas leave out: which lists merge, and by what. From the API reference
//! and the `x-kubernetes-*` extensions that Kubernetes documents for each type.

use serde_json::{Value, json};

/// Type, field, keys of apply, key of strategic merge (`-`: it does not merge there).
const LISTS: &[(&str, &str, &[&str], &str)] = &[
    ("Container", "env", &["name"], "name"),
    ("Container", "ports", &["containerPort", "protocol"], "containerPort"),
    ("Container", "volumeMounts", &["mountPath"], "mountPath"),
    ("Container", "volumeDevices", &["devicePath"], "devicePath"),
    ("EphemeralContainer", "env", &["name"], "name"),
    ("EphemeralContainer", "ports", &["containerPort", "protocol"], "containerPort"),
    ("EphemeralContainer", "volumeMounts", &["mountPath"], "mountPath"),
    ("EphemeralContainer", "volumeDevices", &["devicePath"], "devicePath"),
    ("ResourceRequirements", "claims", &["name"], "-"),
    ("PodSpec", "containers", &["name"], "name"),
    ("PodSpec", "initContainers", &["name"], "name"),
    ("PodSpec", "ephemeralContainers", &["name"], "name"),
    ("PodSpec", "volumes", &["name"], "name"),
    ("PodSpec", "imagePullSecrets", &["name"], "name"),
    ("PodSpec", "hostAliases", &["ip"], "ip"),
    ("PodSpec", "topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"], "topologyKey"),
    ("PodSpec", "schedulingGates", &["name"], "name"),
    ("PodSpec", "resourceClaims", &["name"], "name"),
    ("PodStatus", "podIPs", &["ip"], "ip"),
    ("PodStatus", "resourceClaimStatuses", &["name"], "name"),
    ("NodeStatus", "addresses", &["type"], "type"),
    ("ObjectMeta", "ownerReferences", &["uid"], "uid"),
    ("ServiceSpec", "ports", &["port", "protocol"], "port"),
    ("ServiceAccount", "secrets", &["name"], "name"),
    ("ValidatingWebhookConfiguration", "webhooks", &["name"], "name"),
    ("MutatingWebhookConfiguration", "webhooks", &["name"], "name"),
    ("ValidatingWebhook", "matchConditions", &["name"], "name"),
    ("MutatingWebhook", "matchConditions", &["name"], "name"),
    ("CSINodeSpec", "drivers", &["name"], "name"),
    ("Endpoint", "conditions", &[], "-"),
];

/// Lists in which each value stands once.
const SETS: &[(&str, &str)] =
    &[("ObjectMeta", "finalizers"), ("NodeSpec", "podCIDRs"), ("NamespaceSpec", "finalizers")];

/// Types that are one value for apply.
const ATOMIC: &[&str] = &[
    "LabelSelector",
    "NodeSelector",
    "NodeSelectorTerm",
    "ObjectReference",
    "LocalObjectReference",
    "SecretReference",
    "SecretKeySelector",
    "ConfigMapKeySelector",
    "ObjectFieldSelector",
    "ResourceFieldSelector",
    "TypedLocalObjectReference",
    "CrossVersionObjectReference",
    "ScopeSelector",
    "TopologySelectorTerm",
    "RoleRef",
    "Subject",
];

/// Maps that are one value for apply.
const ATOMIC_MAPS: &[(&str, &str)] = &[
    ("PodSpec", "nodeSelector"),
    ("ServiceSpec", "selector"),
    ("ReplicationControllerSpec", "selector"),
];

/// Writes the extensions into a schema, and makes it one of OpenAPI v3.
pub fn annotate(name: &str, schema: &mut Value) {
    let kind = name.rsplit('.').next().unwrap_or_default();
    if ATOMIC.contains(&kind) {
        schema["x-kubernetes-map-type"] = json!("atomic");
    }
    match kind {
        "IntOrString" => {
            schema["format"] = json!("int-or-string");
            schema["oneOf"] = json!([{"type": "integer"}, {"type": "string"}]);
            remove(schema, "x-kubernetes-int-or-string");
        }
        "Quantity" => {
            remove(schema, "type");
            schema["oneOf"] = json!([{"type": "string"}, {"type": "number"}]);
        }
        _ => {}
    }
    // k8s-openapi has no optional spec; Kubernetes does not ask for one.
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|field| field != "metadata" && field != "spec" && field != "template");
        if required.is_empty() {
            remove(schema, "required");
        }
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (field, property) in properties {
            merge_rules(kind, field, property);
            references(property);
        }
    }
}

fn merge_rules(kind: &str, field: &str, property: &mut Value) {
    if ATOMIC_MAPS.contains(&(kind, field)) {
        property["x-kubernetes-map-type"] = json!("atomic");
    }
    if property["type"] != "array" {
        return;
    }
    let conditions = field == "conditions" && kind.ends_with("Status") && kind != "ComponentStatus";
    if SETS.contains(&(kind, field)) {
        property["x-kubernetes-list-type"] = json!("set");
        property["x-kubernetes-patch-strategy"] = json!("merge");
        return;
    }
    let known = LISTS.iter().find(|row| row.0 == kind && row.1 == field);
    let (keys, patch_key): (&[&str], &str) = match known {
        Some(row) => (row.2, row.3),
        None if conditions => (&["type"], "type"),
        None => (&[], "-"),
    };
    if keys.is_empty() {
        property["x-kubernetes-list-type"] = json!("atomic");
    } else {
        property["x-kubernetes-list-type"] = json!("map");
        property["x-kubernetes-list-map-keys"] = json!(keys);
    }
    if patch_key != "-" {
        let strategy = if field == "volumes" { "merge,retainKeys" } else { "merge" };
        property["x-kubernetes-patch-strategy"] = json!(strategy);
        property["x-kubernetes-patch-merge-key"] = json!(patch_key);
    }
}

/// OpenAPI 3.0 forgets what stands beside a reference, so it stands around it.
fn references(property: &mut Value) {
    let Some(fields) = property.as_object_mut() else { return };
    if fields.len() > 1
        && let Some(reference) = fields.remove("$ref")
    {
        fields.insert("allOf".to_owned(), json!([{"$ref": reference}]));
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(inner) {
            references(inner);
        }
    }
}

fn remove(schema: &mut Value, key: &str) {
    if let Some(fields) = schema.as_object_mut() {
        fields.remove(key);
    }
}
