//! Objects as people edit and compare them.

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

/// As YAML.
pub fn to_yaml(value: &Value) -> String {
    serde_norway::to_string(value).unwrap_or_default()
}

/// What differs between two objects (`None`: not there), as a unified diff of YAML; nothing where
/// they are the same.
pub fn diff(before: Option<&Value>, after: Option<&Value>) -> Option<String> {
    let text = |value: Option<&Value>| value.map(to_yaml).unwrap_or_default();
    let (before, after) = (text(before), text(after));
    if before == after {
        return None;
    }
    let patch = diffy::create_patch(&before, &after).to_string();
    // Its first two lines name files that there are not.
    let mut lines = patch
        .split_inclusive('\n')
        .skip_while(|line| line.starts_with("--- ") || line.starts_with("+++ "));
    let first = lines.next().unwrap_or_default();
    Some(std::iter::once(first).chain(lines).collect())
}

/// Whether a text can be part of a path: the name of an object or a namespace.
pub fn is_path_segment(name: &str) -> bool {
    // Kubernetes' own rule for names in paths, which RBAC's names with colons pass too.
    (1..=253).contains(&name.len())
        && !matches!(name, "." | "..")
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
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

    #[test]
    fn differences_are_told_as_yaml() {
        let (before, after) = (json!({"a": 1, "b": 2}), json!({"a": 1, "b": 3}));
        assert_eq!(diff(Some(&before), Some(&before)), None);
        let told = diff(Some(&before), Some(&after)).unwrap_or_default();
        assert!(told.starts_with("@@ "), "{told}");
        assert!(told.contains("\n-b: 2\n+b: 3\n"), "{told}");
        assert!(diff(None, Some(&after)).unwrap_or_default().contains("+a: 1"));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for good in ["web", "system:node", "a.b-c_d", "kube-root-ca.crt"] {
            assert!(is_path_segment(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a?b", "a%2fb", "a b", "a#"] {
            assert!(!is_path_segment(bad), "{bad}");
        }
    }
}
