//! Objects as people compare them, and their names.

use serde_json::Value;

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
