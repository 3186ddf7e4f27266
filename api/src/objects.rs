//! Objects of Kubernetes as people edit them: the server compares and shows them so, and the browser's
//! forms write them so.

use serde_json::{Map, Value};

/// What the server or a controller writes into every object, and nobody edits.
const OF_SERVER: [&str; 7] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
];
/// Annotations that tools write for themselves.
const OF_TOOLS: [&str; 2] =
    ["deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration"];
/// The last configuration that kubectl applied: of a Secret it has the values.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object without what the server manages: as it is edited, applied and compared.
pub fn editable(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("uid");
        OF_SERVER.iter().for_each(|field| {
            metadata.remove(*field);
        });
        remove_annotations(metadata, &OF_TOOLS);
    }
    object
}

fn remove_annotations(metadata: &mut Map<String, Value>, names: &[&str]) {
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else {
        return;
    };
    names.iter().for_each(|name| {
        annotations.remove(*name);
    });
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}

/// Takes the values out of a Secret, and leaves the names of what it holds.
pub fn without_secret_values(object: &mut Value) {
    for field in ["data", "stringData"] {
        let values = object.get_mut(field).and_then(Value::as_object_mut);
        values.into_iter().flat_map(Map::values_mut).for_each(|value| *value = Value::Null);
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        remove_annotations(metadata, &[LAST_APPLIED]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_manages_is_left_out() {
        let object = json!({"kind": "A", "status": {"a": 1}, "spec": {"b": 2}, "metadata": {
            "name": "a", "uid": "u", "resourceVersion": "1", "managedFields": [],
            "annotations": {"deployment.kubernetes.io/revision": "2"}}});
        assert_eq!(
            editable(&object),
            json!({"kind": "A", "spec": {"b": 2}, "metadata": {"name": "a"}})
        );
        assert_eq!(editable(&Value::Null), Value::Null);
    }

    #[test]
    fn values_of_secrets_are_nowhere_left() {
        let mut secret = json!({"data": {"password": "c2VjcmV0"}, "stringData": {"b": "secret"},
            "metadata": {"name": "a", "annotations": {LAST_APPLIED: "{\"data\": \"c2VjcmV0\"}"}}});
        without_secret_values(&mut secret);
        assert_eq!(secret["data"], json!({"password": null}));
        assert!(!secret.to_string().contains("ecret\""), "{secret}");
        assert!(!secret.to_string().contains("c2Vjcm"));
    }
}
