//! What goes when something else goes: contents of namespaces, objects without owners, objects of
//! kinds that are no more. And what every namespace has.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use super::{
    Work,
    view::{View, deleting, list, name, namespace, word},
};
use crate::{clock, cluster::storage, handlers::finish, resources::StorageKey, store::Object};

/// Takes one step everywhere.
pub async fn reconcile(work: &Work, view: &View) {
    for namespace in view.all("", "namespaces") {
        if deleting(namespace) {
            terminate(work, namespace);
        } else {
            furnish(work, view, name(namespace));
        }
    }
    for definition in view.all("apiextensions.k8s.io", "customresourcedefinitions") {
        if deleting(definition) {
            crate::custom::remove(&work.cluster, definition);
        }
    }
    dependents(work);
    protected(work, view);
    tokens(work, view);
}

fn furnish(work: &Work, view: &View, namespace: &str) {
    let there =
        work.cluster.store.get(&storage("", "serviceaccounts"), namespace, "default").is_some()
            && work
                .cluster
                .store
                .get(&storage("", "configmaps"), namespace, "kube-root-ca.crt")
                .is_some();
    if !there && view.get("", "namespaces", "", namespace).is_some() {
        crate::bootstrap::in_namespace(&work.cluster, namespace);
    }
}

/// Empties a namespace, and lets it go when it is empty.
fn terminate(work: &Work, object: &Arc<Value>) {
    let store = &work.cluster.store;
    let space = name(object);
    let mut left: Vec<(String, usize)> = Vec::new();
    let mut finalizers: Vec<(String, usize)> = Vec::new();
    let mut keys = store.storages();
    // Events go last: they tell of what went before.
    keys.sort_by_key(|key| key.1 == "events");
    for key in keys {
        let objects = store.list(&key, Some(space)).objects;
        if objects.is_empty() {
            continue;
        }
        for one in &objects {
            remove(work, &key, one);
        }
        let still = store.list(&key, Some(space)).objects;
        if still.is_empty() {
            continue;
        }
        left.push((crate::status::qualified(&key.1, &key.0), still.len()));
        for one in still {
            for finalizer in list(&one.value()["metadata"]["finalizers"]) {
                let finalizer = word(finalizer).to_owned();
                match finalizers.iter_mut().find(|(there, _)| *there == finalizer) {
                    Some((_, count)) => *count += 1,
                    None => finalizers.push((finalizer, 1)),
                }
            }
        }
    }
    let key = storage("", "namespaces");
    let empty = left.is_empty();
    let sentence = |all: &[(String, usize)], what: &str| {
        all.iter()
            .map(|(name, count)| format!("{name}{what} {count} resource instances"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let written = work.cluster.modify(&key, "", space, |object| {
        let mut say = |kind: &str, on: bool, yes: (&str, String), no: (&str, &str)| {
            let (state, reason, message) =
                if on { ("True", yes.0, yes.1) } else { ("False", no.0, no.1.to_owned()) };
            super::set_condition(object, kind, state, reason, &message);
        };
        say(
            "NamespaceDeletionDiscoveryFailure",
            false,
            ("", String::new()),
            ("ResourcesDiscovered", "All resources successfully discovered"),
        );
        say(
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            ("", String::new()),
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        );
        say(
            "NamespaceDeletionContentFailure",
            false,
            ("", String::new()),
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        );
        say(
            "NamespaceContentRemaining",
            !empty,
            (
                "SomeResourcesRemain",
                format!("Some resources are remaining: {}", sentence(&left, ". has")),
            ),
            ("ContentRemoved", "All content successfully removed"),
        );
        say(
            "NamespaceFinalizersRemaining",
            !finalizers.is_empty(),
            (
                "SomeFinalizersRemain",
                format!(
                    "Some content in the namespace has finalizers remaining: {}",
                    finalizers
                        .iter()
                        .map(|(name, count)| format!("{name} in {count} resource instances"))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            ),
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        );
        if empty {
            object["spec"] = json!({});
        }
        true
    });
    if let (true, Some(object)) = (empty, written) {
        finish(&work.cluster, &key, object);
    }
}

/// Takes an object away, or marks it where it is held.
fn remove(work: &Work, key: &StorageKey, object: &Arc<Object>) {
    let value = object.value();
    let held = !list(&value["metadata"]["finalizers"]).is_empty();
    let graceful =
        key.1 == "pods" && key.0.is_empty() && !word(&value["spec"]["nodeName"]).is_empty();
    if !held && !graceful {
        // It may have been written meanwhile: then the next round takes it.
        let _ = work.cluster.store.remove(key, object);
        return;
    }
    if object.deleting {
        return;
    }
    work.cluster.modify(key, &object.namespace, &object.name, |value| {
        value["metadata"]["deletionTimestamp"] = json!(clock::stamp());
        if graceful {
            value["metadata"]["deletionGracePeriodSeconds"] = json!(1);
        }
        true
    });
}

/// Objects whose owners are all gone go; owners that wait for them (foreground) go after them, or
/// leave them behind (orphan).
fn dependents(work: &Work) {
    let store = &work.cluster.store;
    let keys = store.storages();
    let mut alive: BTreeSet<String> = BTreeSet::new();
    let mut owned: Vec<(StorageKey, Arc<Object>)> = Vec::new();
    let mut waiting: Vec<(StorageKey, Arc<Object>)> = Vec::new();
    for key in &keys {
        for object in store.list(key, None).objects {
            alive.insert(object.uid.clone());
            if object.deleting {
                waiting.push((key.clone(), Arc::clone(&object)));
            }
            if !object.owners.is_empty() {
                owned.push((key.clone(), object));
            }
        }
    }
    for (key, object) in &owned {
        if object.owners.iter().all(|owner| !alive.contains(owner)) {
            background(work, key, object);
        }
    }
    for (key, owner) in waiting {
        let finalizers = owner.value()["metadata"]["finalizers"].clone();
        let has = |name: &str| list(&finalizers).iter().any(|one| one == name);
        let children: Vec<_> =
            owned.iter().filter(|(_, child)| child.owners.contains(&owner.uid)).collect();
        let done = if has("orphan") {
            for (key, child) in &children {
                work.cluster.modify(key, &child.namespace, &child.name, |value| {
                    if let Some(owners) = value["metadata"]["ownerReferences"].as_array_mut() {
                        owners.retain(|one| one["uid"] != owner.uid);
                    }
                    true
                });
            }
            Some("orphan")
        } else if has("foregroundDeletion") {
            let mut blocked = false;
            for (key, child) in &children {
                if !child.deleting {
                    foreground(work, key, child);
                }
                let value = child.value();
                blocked |= list(&value["metadata"]["ownerReferences"])
                    .iter()
                    .any(|one| one["uid"] == owner.uid && one["blockOwnerDeletion"] == true)
                    && store.get(key, &child.namespace, &child.name).is_some();
            }
            (!blocked).then_some("foregroundDeletion")
        } else {
            None
        };
        if let Some(finalizer) = done {
            let written = work.cluster.modify(&key, &owner.namespace, &owner.name, |value| {
                if let Some(all) = value["metadata"]["finalizers"].as_array_mut() {
                    all.retain(|one| one != finalizer);
                }
                true
            });
            if let Some(object) = written {
                finish(&work.cluster, &key, object);
            }
        }
    }
}

fn background(work: &Work, key: &StorageKey, object: &Arc<Object>) {
    remove(work, key, object);
}

fn foreground(work: &Work, key: &StorageKey, object: &Arc<Object>) {
    if key.1 == "pods" {
        remove(work, key, object);
        return;
    }
    work.cluster.modify(key, &object.namespace, &object.name, |value| {
        let mut finalizers = list(&value["metadata"]["finalizers"]).to_vec();
        if !finalizers.iter().any(|one| one == "foregroundDeletion") {
            finalizers.push(json!("foregroundDeletion"));
        }
        value["metadata"]["finalizers"] = json!(finalizers);
        value["metadata"]["deletionTimestamp"] = json!(clock::stamp());
        value["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        true
    });
}

/// Claims and volumes that nobody uses any more may go.
fn protected(work: &Work, view: &View) {
    for (plural, finalizer) in [
        ("persistentvolumeclaims", "kubernetes.io/pvc-protection"),
        ("persistentvolumes", "kubernetes.io/pv-protection"),
    ] {
        for object in view.all("", plural).filter(|object| deleting(object)) {
            let used = if plural == "persistentvolumeclaims" {
                view.within("", "pods", namespace(object)).any(|pod| {
                    !matches!(word(&pod["status"]["phase"]), "Succeeded" | "Failed")
                        && list(&pod["spec"]["volumes"]).iter().any(|volume| {
                            volume["persistentVolumeClaim"]["claimName"] == name(object)
                        })
                })
            } else {
                object["status"]["phase"] == "Bound"
            };
            if used {
                continue;
            }
            let key = storage("", plural);
            let written = work.cluster.modify(&key, namespace(object), name(object), |value| {
                if let Some(all) = value["metadata"]["finalizers"].as_array_mut() {
                    all.retain(|one| one != finalizer);
                }
                true
            });
            if let Some(object) = written {
                finish(&work.cluster, &key, object);
            }
        }
    }
}

/// Secrets that ask for the token of a service account get one.
fn tokens(work: &Work, view: &View) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    for secret in view.all("", "secrets") {
        if secret["type"] != "kubernetes.io/service-account-token"
            || secret["data"]["token"].is_string()
        {
            continue;
        }
        let account =
            word(&secret["metadata"]["annotations"]["kubernetes.io/service-account.name"]);
        let Some(there) = view.get("", "serviceaccounts", namespace(secret), account) else {
            continue;
        };
        let uid = word(&there["metadata"]["uid"]).to_owned();
        let (token, _) = work.cluster.tokens.issue(&crate::authn::ServiceAccountToken {
            namespace: namespace(secret),
            name: account,
            uid: &uid,
            seconds: None,
            audiences: vec![crate::authn::ISSUER.to_owned()],
            pod: None,
        });
        work.cluster.modify(&storage("", "secrets"), namespace(secret), name(secret), |value| {
            value["metadata"]["annotations"]["kubernetes.io/service-account.uid"] = json!(uid);
            value["data"]["token"] = json!(STANDARD.encode(&token));
            value["data"]["ca.crt"] = json!(STANDARD.encode(work.cluster.authority.pem()));
            value["data"]["namespace"] = json!(STANDARD.encode(namespace(secret)));
            true
        });
    }
}
