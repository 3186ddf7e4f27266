//! CustomResourceDefinitions: what they add to what is served, and their own status.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    clock,
    cluster::{Cluster, storage},
    resources::{ALL_VERBS, BUILT_IN, CustomVersion, Origin, ResourceType, Subresource},
    schema::Schema,
};

/// Serves what the definitions say now, and nothing that they no longer say.
pub fn refresh(cluster: &Cluster) {
    let key = storage("apiextensions.k8s.io", "customresourcedefinitions");
    for definition in cluster.store.list(&key, None).objects {
        let value = definition.value();
        if value["status"]["acceptedNames"]["plural"].is_null() {
            establish(cluster, &key, &definition.name);
        }
    }
    let mut others = Vec::new();
    for definition in cluster.store.list(&key, None).objects {
        others.extend(resources(&definition.value()));
    }
    others.extend(crate::metrics::resources(cluster));
    cluster.catalog.set_others(others);
}

fn condition(kind: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": clock::stamp(),
    })
}

/// Accepts the names, as the controller in the real server does a moment after the creation.
fn establish(cluster: &Cluster, key: &crate::resources::StorageKey, name: &str) {
    cluster.modify_quietly(key, name, |definition| {
        definition["status"] = json!({
            "acceptedNames": definition["spec"]["names"],
            "conditions": [
                condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ],
            "storedVersions": definition["spec"]["versions"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|version| version["storage"] == true)
                .map(|version| version["name"].clone())
                .collect::<Vec<_>>(),
        });
    });
}

fn words(value: &Value) -> Vec<String> {
    value
        .as_array()
        .map(|all| all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect())
        .unwrap_or_default()
}

/// The resource types of one definition: one for each served version.
pub fn resources(definition: &Value) -> Vec<Arc<ResourceType>> {
    let spec = &definition["spec"];
    let names = &spec["names"];
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, plural, kind) =
        (word(&spec["group"]), word(&names["plural"]), word(&names["kind"]));
    let mut versions: Vec<&Value> = spec["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|version| version["served"] == true)
        .collect();
    versions.sort_by_key(|version| priority(version["name"].as_str().unwrap_or_default()));
    versions
        .into_iter()
        .map(|version| {
            let name = word(&version["name"]);
            let modify = || vec!["get".to_owned(), "patch".to_owned(), "update".to_owned()];
            let mut subresources = Vec::new();
            if version["subresources"]["status"].is_object() {
                subresources.push(Subresource {
                    name: "status".to_owned(),
                    group: group.clone(),
                    version: name.clone(),
                    kind: kind.clone(),
                    verbs: modify(),
                });
            }
            if version["subresources"]["scale"].is_object() {
                subresources.push(Subresource {
                    name: "scale".to_owned(),
                    group: "autoscaling".to_owned(),
                    version: "v1".to_owned(),
                    kind: "Scale".to_owned(),
                    verbs: modify(),
                });
            }
            let raw = &version["schema"]["openAPIV3Schema"];
            let preserve = spec["preserveUnknownFields"] == true;
            let schema = if preserve {
                Schema::of_custom(&BUILT_IN.definitions, &Value::Null)
            } else {
                Schema::of_custom(&BUILT_IN.definitions, raw)
            };
            Arc::new(ResourceType {
                group: group.clone(),
                version: name,
                kind: kind.clone(),
                list_kind: names["listKind"]
                    .as_str()
                    .map_or_else(|| format!("{kind}List"), str::to_owned),
                plural: plural.clone(),
                singular: names["singular"]
                    .as_str()
                    .map_or_else(|| kind.to_lowercase(), str::to_owned),
                short_names: words(&names["shortNames"]),
                categories: words(&names["categories"]),
                namespaced: spec["scope"] == "Namespaced",
                verbs: ALL_VERBS.iter().map(|&verb| verb.to_owned()).collect(),
                subresources,
                storage: (group.clone(), plural.clone()),
                schema,
                origin: Origin::Custom(Arc::new(CustomVersion {
                    columns: version["additionalPrinterColumns"]
                        .as_array()
                        .cloned()
                        .unwrap_or_default(),
                    subresources: version["subresources"].clone(),
                    selectable: version["selectableFields"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(|field| field["jsonPath"].as_str().map(str::to_owned))
                        .collect(),
                    definition: word(&definition["metadata"]["name"]),
                })),
            })
        })
        .collect()
}

/// GA before beta before alpha, newer before older, all others by name after them.
fn priority(version: &str) -> (u8, i64, i64, String) {
    let pattern = version.strip_prefix('v').and_then(|rest| {
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        let major: i64 = rest[..digits].parse().ok()?;
        match &rest[digits..] {
            "" => Some((0, major, 0)),
            rest => {
                let (rank, minor) = rest
                    .strip_prefix("beta")
                    .map(|minor| (1, minor))
                    .or_else(|| rest.strip_prefix("alpha").map(|minor| (2, minor)))?;
                Some((rank, major, minor.parse().ok()?))
            }
        }
    });
    match pattern {
        Some((rank, major, minor)) => (rank, -major, -minor, String::new()),
        None => (3, 0, 0, version.to_owned()),
    }
}

/// Ends a definition that is being deleted: its objects go, and with the last one its watches end.
pub fn remove(cluster: &Cluster, definition: &Value) {
    let spec = &definition["spec"];
    let key = storage(
        spec["group"].as_str().unwrap_or_default(),
        spec["names"]["plural"].as_str().unwrap_or_default(),
    );
    for object in cluster.store.list(&key, None).objects {
        // Finalizers of objects whose kind goes are honoured by Kubernetes, too.
        let held =
            object.value()["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        if held {
            cluster.modify(&key, &object.namespace, &object.name, |value| {
                value["metadata"]["deletionTimestamp"] = json!(clock::stamp());
                true
            });
        } else if cluster.store.remove(&key, &object).is_err() {
            return;
        }
    }
    if !cluster.store.list(&key, None).objects.is_empty() {
        return;
    }
    let definitions = storage("apiextensions.k8s.io", "customresourcedefinitions");
    let name = definition["metadata"]["name"].as_str().unwrap_or_default();
    let written = cluster.modify(&definitions, "", name, |value| {
        let Some(finalizers) = value["metadata"]["finalizers"].as_array_mut() else { return false };
        finalizers.retain(|one| one != CLEANUP);
        true
    });
    if let Some(object) = written {
        crate::handlers::finish(cluster, &definitions, object);
    }
    refresh(cluster);
    cluster.store.drop_collection(&key);
}

/// The finalizer that keeps a definition until its objects are gone.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_an_order() {
        let mut versions = ["v1beta1", "v2", "v1", "foo", "v1alpha1", "v11"];
        versions.sort_by_key(|version| priority(version));
        assert_eq!(versions, ["v11", "v2", "v1", "v1beta1", "v1alpha1", "foo"]);
    }
}
