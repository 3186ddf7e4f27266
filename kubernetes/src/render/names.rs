//! Names and labels of what a stack has in a cluster.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The stack's id.
pub const STACK: &str = "drover.io/stack";
/// The environment's id.
pub const ENVIRONMENT: &str = "drover.io/environment";
/// The service's name in its stack, on workloads and their pods.
pub const SERVICE: &str = "drover.io/service";
/// Begins the labels of pods that name the other services whose containers are in them.
const SIDEKICK: &str = "sidekick.drover.io/";
/// The stack's revision that an object was last written by. An annotation.
pub const REVISION: &str = "drover.io/revision";
/// The digest of the template that a pod was made from. An annotation of pods.
pub const TEMPLATE: &str = "drover.io/template";
/// The digest of an object as it should be. An annotation.
pub const DIGEST: &str = "drover.io/digest";
/// How often people asked for new pods. An annotation of pod templates.
pub const GENERATION: &str = "drover.io/generation";
/// Lets a stack take an object that is there and not its own. An annotation in manifests.
pub const ADOPT: &str = "drover.io/adopt";
/// Who manages an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// The longest label of a DNS name (RFC 1035).
const LONGEST: usize = 63;
/// What controllers add to the name of a workload must fit, too.
const LONGEST_WORKLOAD: usize = 50;

/// A DNS label of these parts, joined by `-`; with a digest where it would be too long, or where
/// letters had to be left out.
pub fn label(parts: &[&str]) -> String {
    limited(parts, LONGEST)
}

/// The name of a workload.
pub(super) fn workload(stack: &str, service: &str) -> String {
    limited(&[stack, service], LONGEST_WORKLOAD)
}

fn limited(parts: &[&str], longest: usize) -> String {
    let given = parts.join("-");
    let mut name: String = given
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    // The names of Services begin with a letter (RFC 1035).
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name.insert(0, 's');
    }
    let odd = given.chars().any(|c| !(c.is_ascii_alphanumeric() || c == '-'))
        || given.chars().any(|c| c.is_ascii_uppercase())
        || given.ends_with('-');
    if odd || name.len() > longest {
        // Two names that differ only in what a label cannot have stay two.
        name.truncate(longest - 7);
        name = format!("{}-{}", name.trim_end_matches('-'), hex(&Sha256::digest(&given), 3));
    }
    name
}

/// The host name of a service's pods, by which the others in its stack reach it.
pub fn host(service: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if service.len() <= LONGEST && service.chars().all(plain) && !service.ends_with('-') {
        return service.to_owned();
    }
    // What people most likely mean by `my_db`.
    let simple = service.to_ascii_lowercase().replace(['_', '.'], "-");
    let simple = simple.trim_end_matches('-');
    if simple.is_empty() { label(&[service]) } else { simple.to_owned() }
}

/// The label that says that another service's containers are in a pod, too.
pub(super) fn sidekick(service: &str) -> String {
    format!("{SIDEKICK}{service}")
}

/// The service that such a label names.
pub fn sidekick_of(label: &str) -> Option<&str> {
    label.strip_prefix(SIDEKICK)
}

/// The Service whose subdomain has the stack's names. Not the stack's own name: a service of
/// another stack may have that, which would then be found in its place.
pub fn network(stack: &str) -> String {
    label(&[stack, "net"])
}

/// What marks all that a stack has.
pub fn stack_labels(stack: Uuid, environment: Uuid) -> BTreeMap<String, String> {
    [(STACK, stack.to_string()), (ENVIRONMENT, environment.to_string())]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
}

/// The digest of a value under a key of the stack's own: without it, nobody can try out what a
/// secret in it may be.
pub(super) fn digest(salt: &[u8], value: &Value) -> String {
    // A JSON value always serialises.
    digest_bytes(salt, &serde_json::to_vec(value).unwrap_or_default())
}

pub(super) fn digest_bytes(salt: &[u8], bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update([0]);
    hash.update(bytes);
    hex(&hash.finalize(), 12)
}

fn hex(bytes: &[u8], most: usize) -> String {
    bytes.iter().take(most).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text can be the key of a label or annotation.
pub(super) fn is_key(key: &str) -> bool {
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            let label = |part: &str| {
                !part.is_empty()
                    && part
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                    && !part.starts_with('-')
                    && !part.ends_with('-')
            };
            if prefix.len() > 253 || !prefix.split('.').all(label) {
                return false;
            }
            name
        }
        None => key,
    };
    (1..=LONGEST).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Whether a text can be the value of a label.
pub(super) fn is_label_value(value: &str) -> bool {
    value.is_empty() || (value.len() <= LONGEST && is_key(value) && !value.contains('/'))
}

/// The mapping under these keys, made where there is nothing yet; none where something else stands.
pub(super) fn mapping<'v>(
    value: &'v mut Value,
    keys: &[&str],
) -> Option<&'v mut Map<String, Value>> {
    let mut at = value;
    for key in keys {
        at = at.as_object_mut()?.entry(*key).or_insert(Value::Null);
        if at.is_null() {
            *at = json!({});
        }
    }
    at.as_object_mut()
}

/// How an object is referred to in this module: what every one begins with.
pub(super) fn object(api: &str, kind: &str, name: &str) -> Value {
    json!({ "apiVersion": api, "kind": kind, "metadata": { "name": name } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        assert_eq!(label(&["blog", "db"]), "blog-db");
        assert_eq!(label(&["2048"]), "s2048");
        assert_ne!(label(&["a", "b_c"]), label(&["a", "b-c"]));
        assert_ne!(label(&["a", "b_c"]), label(&["a", "b.c"]));
        let long = workload(&"x".repeat(40), &"y".repeat(63));
        assert_eq!(long.len(), LONGEST_WORKLOAD);
        for name in [label(&["a", "B_"]), long, label(&["a-", "-"])] {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.chars().all(fits) && !name.ends_with('-'), "{name}");
            assert!(name.starts_with(|c: char| c.is_ascii_lowercase()), "{name}");
        }
    }

    #[test]
    fn hosts_are_what_the_text_calls_them() {
        assert_eq!(host("db"), "db");
        assert_eq!(host("My_db"), "my-db");
        assert_eq!(host("2048"), "2048");
    }

    #[test]
    fn keys_are_qualified_names() {
        for key in ["a", "a.b/c", "traefik.http.routers.x.rule", "A_b"] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", "/a", "a/", "a:b", "A/b", "-a", "a b"] {
            assert!(!is_key(key), "{key}");
        }
    }
}
