//! Discovery: which groups, versions and resources there are, the old way and aggregated.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use crate::{
    resources::{ResourceType, Served, Subresource, api_version},
    respond::{self, Answer},
};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Whether aggregated discovery is what is asked for first.
pub fn wants_aggregated(accept: &str) -> bool {
    accept
        .split(',')
        .map(str::trim)
        .find(|range| {
            range.starts_with("application/json")
                || range.starts_with("*/*")
                || is_aggregated(range)
        })
        .is_some_and(is_aggregated)
}

fn is_aggregated(range: &str) -> bool {
    let has = |part: &str| range.split(';').any(|one| one.trim() == part);
    has("application/json")
        && has("g=apidiscovery.k8s.io")
        && has("v=v2")
        && has("as=APIGroupDiscoveryList")
}

/// Aggregated discovery of the core, or of all other groups;
/// who has it already (`If-None-Match`) is told so.
pub fn aggregated(served: &Served, core: bool, known: Option<&str>) -> Answer {
    let items: Vec<_> = served
        .groups()
        .into_iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Vec<_> = versions
                .iter()
                .map(|version| {
                    json!({
                        "version": version,
                        "freshness": "Current",
                        "resources": served
                            .of_version(&group, version)
                            .into_iter()
                            .map(|resource| aggregated_resource(resource))
                            .collect::<Vec<_>>(),
                    })
                })
                .collect();
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    });
    let text = list.to_string();
    let digest = ring::digest::digest(&ring::digest::SHA512, text.as_bytes());
    let mark: String = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    let mark = format!("\"{mark}\"");
    let mut answer = if known == Some(mark.as_str()) {
        respond::bytes(304, AGGREGATED, "")
    } else {
        respond::bytes(200, AGGREGATED, text)
    };
    if let Ok(mark) = hyper::header::HeaderValue::from_str(&mark) {
        answer.headers_mut().insert(hyper::header::ETAG, mark);
    }
    answer.headers_mut().insert("vary", hyper::header::HeaderValue::from_static("Accept"));
    answer
}

/// The kind that an address gives. Built-in resources leave out what their group says anyway.
fn kind(resource: &ResourceType, group: &str, version: &str, kind: &str) -> Value {
    let same = group == resource.group && version == resource.version;
    let (group, version) = if same && !resource.is_custom() { ("", "") } else { (group, version) };
    json!({"group": group, "version": version, "kind": kind})
}

fn aggregated_resource(resource: &ResourceType) -> Value {
    let scope = if resource.namespaced { "Namespaced" } else { "Cluster" };
    let mut value = json!({
        "resource": resource.plural,
        "responseKind": kind(resource, &resource.group, &resource.version, &resource.kind),
        "scope": scope,
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        value["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        value["categories"] = json!(resource.categories);
    }
    let subs: Vec<_> = resource
        .subresources
        .iter()
        .map(|sub| {
            json!({
                "subresource": sub.name,
                "responseKind": kind(resource, &sub.group, &sub.version, &sub.kind),
                "verbs": sub.verbs,
            })
        })
        .collect();
    if !subs.is_empty() {
        value["subresources"] = json!(subs);
    }
    value
}

/// `/api`.
pub fn core_versions() -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}],
    })
}

fn group_value(name: &str, versions: &[String]) -> Value {
    let versions: Vec<_> = versions
        .iter()
        .map(|version| json!({"groupVersion": api_version(name, version), "version": version}))
        .collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

/// `/apis`.
pub fn group_list(served: &Served) -> Value {
    let groups: Vec<_> = served
        .groups()
        .iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| group_value(group, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/{group}`.
pub fn group(served: &Served, name: &str) -> Option<Value> {
    let (group, versions) = served.groups().into_iter().find(|(group, _)| group == name)?;
    let mut value = group_value(&group, &versions);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    Some(value)
}

/// `/apis/{group}/{version}`.
pub fn resource_list(served: &Served, group: &str, version: &str) -> Value {
    let mut resources = Vec::new();
    for resource in served.of_version(group, version) {
        resources.push(resource_value(resource));
        resources.extend(resource.subresources.iter().map(|sub| sub_value(resource, sub)));
    }
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version(group, version),
        "resources": resources,
    })
}

fn resource_value(resource: &ResourceType) -> Value {
    let mut value = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        value["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        value["categories"] = json!(resource.categories);
    }
    if resource.verbs.iter().any(|verb| verb == "list") {
        value["storageVersionHash"] = json!(hash(&resource.storage.0, &resource.kind));
    }
    value
}

fn sub_value(resource: &ResourceType, sub: &Subresource) -> Value {
    let mut value = json!({
        "name": format!("{}/{}", resource.plural, sub.name),
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": sub.kind,
        "verbs": sub.verbs,
    });
    if (&sub.group, &sub.version) != (&resource.group, &resource.version) {
        value["group"] = json!(sub.group);
        value["version"] = json!(sub.version);
    }
    value
}

fn hash(group: &str, kind: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{group}/{kind}").as_bytes());
    BASE64.encode(&digest.as_ref()[..8])
}

/// `/`.
pub fn paths(served: &Served) -> Value {
    let mut paths = vec![
        "/.well-known/openid-configuration".to_owned(),
        "/api".to_owned(),
        "/api/v1".to_owned(),
        "/apis".to_owned(),
    ];
    for (group, versions) in served.groups() {
        if group.is_empty() {
            continue;
        }
        paths.push(format!("/apis/{group}"));
        paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
    }
    for path in
        ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
    {
        paths.push(path.to_owned());
    }
    json!({"paths": paths})
}
