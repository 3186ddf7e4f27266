//! What controllers see: all objects of the kinds that they look after, read again only when they
//! have changed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    cluster::storage,
    resources::StorageKey,
    store::{ObjectKey, Store},
};

type Seen = BTreeMap<ObjectKey, (u64, Arc<Value>)>;

/// The objects as they were a moment ago.
#[derive(Debug, Default)]
pub struct View {
    kinds: HashMap<StorageKey, Seen>,
}

const KINDS: &[(&str, &str)] = &[
    ("", "namespaces"),
    ("", "nodes"),
    ("", "pods"),
    ("", "services"),
    ("", "serviceaccounts"),
    ("", "secrets"),
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("", "resourcequotas"),
    ("", "endpoints"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("apps", "controllerrevisions"),
    ("batch", "jobs"),
    ("batch", "cronjobs"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("policy", "poddisruptionbudgets"),
    ("discovery.k8s.io", "endpointslices"),
    ("storage.k8s.io", "storageclasses"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
];

impl View {
    /// Looks again.
    pub fn refresh(&mut self, store: &Store) {
        for (group, plural) in KINDS {
            let key = storage(group, plural);
            let there = store.list(&key, None).objects;
            let seen = self.kinds.entry(key).or_default();
            let mut next = Seen::new();
            for object in there {
                let kept = seen
                    .remove(&object.key())
                    .filter(|(version, _)| *version == object.version)
                    .unwrap_or_else(|| (object.version, Arc::new(object.value())));
                next.insert(object.key(), kept);
            }
            *seen = next;
        }
    }

    /// All objects of a kind.
    pub fn all(&self, group: &str, plural: &str) -> impl Iterator<Item = &Arc<Value>> {
        self.kinds
            .get(&storage(group, plural))
            .into_iter()
            .flat_map(|seen| seen.values().map(|(_, value)| value))
    }

    /// Those of a namespace.
    pub fn within<'a>(
        &'a self,
        group: &str,
        plural: &str,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Value>> {
        self.all(group, plural).filter(move |value| value["metadata"]["namespace"] == namespace)
    }

    /// One.
    pub fn get(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
        name: &str,
    ) -> Option<&Arc<Value>> {
        let key = (namespace.to_owned(), name.to_owned());
        self.kinds.get(&storage(group, plural))?.get(&key).map(|(_, value)| value)
    }

    /// Those that an object controls.
    pub fn owned<'a>(
        &'a self,
        group: &str,
        plural: &str,
        owner: &'a Value,
    ) -> impl Iterator<Item = &'a Arc<Value>> {
        let uid = &owner["metadata"]["uid"];
        let namespace = owner["metadata"]["namespace"].as_str().unwrap_or_default();
        self.within(group, plural, namespace).filter(move |value| {
            value["metadata"]["ownerReferences"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|one| one["controller"] == true && one["uid"] == *uid)
        })
    }
}

/// A text of an object.
pub fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A number of an object; nothing is none.
pub fn count(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// The entries of a list; nothing is none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The object's name.
pub fn name(object: &Value) -> &str {
    word(&object["metadata"]["name"])
}

/// The object's namespace.
pub fn namespace(object: &Value) -> &str {
    word(&object["metadata"]["namespace"])
}

/// Whether it is being deleted.
pub fn deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// The state of a condition.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    list(&object["status"]["conditions"])
        .iter()
        .find(|one| one["type"] == kind)
        .map(|one| word(&one["status"]))
        .unwrap_or_default()
}

/// Whether a pod is ready.
pub fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready") == "True"
}

/// Whether a pod still counts: it has not ended.
pub fn is_active(pod: &Value) -> bool {
    !matches!(word(&pod["status"]["phase"]), "Succeeded" | "Failed") && !deleting(pod)
}
