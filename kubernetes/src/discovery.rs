//! Which resource types a cluster has: built-in ones, custom ones, and those of aggregated APIs.
//!
//! By aggregated discovery where the cluster has it (two requests), else by one request a group
//! version. A group that does not answer is told, and spoils nothing else.
//!
//! <https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api>

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt, stream};
use serde::Deserialize;

use crate::client::{Cluster, Failure, Identity, Result, error::unreadable};

/// A resource type, in the version that the cluster prefers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceType {
    /// `plural.group`, or `plural` for the core group, as kubectl takes it: `deployments.apps`.
    pub name: Arc<str>,
    /// The API group; empty for the core group.
    pub group: String,
    /// The version that is used.
    pub version: String,
    /// All versions that the group serves it in, the preferred one first.
    pub versions: Vec<String>,
    /// E.g. `Deployment`.
    pub kind: String,
    /// E.g. `deployments`.
    pub plural: String,
    /// E.g. `deployment`; may be empty.
    pub singular: String,
    /// E.g. `deploy`.
    pub short_names: Vec<String>,
    /// E.g. `all`.
    pub categories: Vec<String>,
    /// Its objects are in namespaces.
    pub namespaced: bool,
    /// E.g. `get`, `list`, `watch`.
    pub verbs: Vec<String>,
    /// E.g. `scale`, `log`, each with its verbs.
    pub subresources: Vec<Subresource>,
}

/// A subresource of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subresource {
    /// E.g. `scale`.
    pub name: String,
    /// E.g. `get`, `patch`, `create`.
    pub verbs: Vec<String>,
}

impl ResourceType {
    /// `group/version`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        group_version(&self.group, &self.version)
    }

    /// True when it can be listed and watched.
    pub fn is_watchable(&self) -> bool {
        self.has_verb("list") && self.has_verb("watch")
    }

    /// True when it has that verb.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }

    /// True when it has that subresource.
    pub fn has_subresource(&self, name: &str) -> bool {
        self.subresources.iter().any(|known| known.name == name)
    }

    /// The path of a list: of all namespaces, or of one.
    pub fn list_path(&self, namespace: Option<&str>) -> String {
        let base = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{base}/namespaces/{namespace}/{}", self.plural),
            None => format!("{base}/{}", self.plural),
        }
    }

    /// The path of an object. The caller has checked that names have no slash.
    pub fn object_path(&self, namespace: Option<&str>, name: &str) -> String {
        format!("{}/{name}", self.list_path(namespace))
    }
}

/// A group version that did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// E.g. `metrics.k8s.io/v1beta1`.
    pub group_version: String,
    /// In words, with what to do.
    pub why: String,
}

/// All resource types of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovery {
    types: Vec<Arc<ResourceType>>,
    by_name: HashMap<Arc<str>, usize>,
    unavailable: Vec<Unavailable>,
}

impl Discovery {
    /// Puts types in order: the core group first, then by the cluster's order.
    pub fn new(types: Vec<ResourceType>, unavailable: Vec<Unavailable>) -> Self {
        let mut discovery = Self { unavailable, ..Self::default() };
        for found in types {
            if !discovery.by_name.contains_key(&found.name) {
                discovery.by_name.insert(found.name.clone(), discovery.types.len());
                discovery.types.push(Arc::new(found));
            }
        }
        discovery
    }

    /// All types.
    pub fn types(&self) -> &[Arc<ResourceType>] {
        &self.types
    }

    /// The group versions that did not answer; their types may be missing.
    pub fn unavailable(&self) -> &[Unavailable] {
        &self.unavailable
    }

    /// The type of exactly that `plural.group`.
    pub fn get(&self, name: &str) -> Option<&Arc<ResourceType>> {
        self.types.get(*self.by_name.get(name)?)
    }

    /// The type that a person means: `plural.group`, plural, singular, short name or kind, each
    /// perhaps with `.group` or `.version.group` behind it. Letters' case does not matter. Among
    /// several, the one whose group the cluster names first.
    pub fn find(&self, text: &str) -> Option<&Arc<ResourceType>> {
        let text = text.trim().to_ascii_lowercase();
        if let Some(exact) = self.get(&text) {
            return Some(exact);
        }
        let (word, group) = match text.split_once('.') {
            Some((word, group)) => (word, Some(group)),
            None => (text.as_str(), None),
        };
        let in_group = |found: &&Arc<ResourceType>| {
            group.is_none_or(|group| {
                found.group == group
                    || group.split_once('.').is_some_and(|(version, group)| {
                        found.group == group && found.versions.iter().any(|known| known == version)
                    })
            })
        };
        let mut all = self.types.iter().filter(in_group);
        // As kubectl: names win over short names, and those over kinds.
        let by = |matches: fn(&ResourceType, &str) -> bool| {
            self.types.iter().filter(in_group).find(|found| matches(found, word))
        };
        all.find(|found| found.plural == word)
            .or_else(|| by(|found, word| found.singular == word))
            .or_else(|| by(|found, word| found.short_names.iter().any(|name| name == word)))
            .or_else(|| by(|found, word| found.kind.eq_ignore_ascii_case(word)))
    }

    /// The type of a kind, as an object names it by `apiVersion` and `kind`.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Arc<ResourceType>> {
        let (group, version) = match api_version.split_once('/') {
            Some((group, version)) => (group, version),
            None => ("", api_version),
        };
        self.types.iter().find(|found| {
            found.kind == kind
                && found.group == group
                && found.versions.iter().any(|known| known == version)
        })
    }
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Both shapes that aggregated discovery has had; clusters answer the newest that they know.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
/// Larger answers are not read.
const MOST_BYTES: usize = 32 << 20;
/// So many group versions are asked at a time, where each is asked alone.
const AT_ONCE: usize = 8;

/// Asks a cluster for its types, as Drover itself.
///
/// # Errors
/// When the cluster does not answer; never for a single group.
pub async fn discover(cluster: &Cluster) -> Result<Discovery> {
    let (core, groups) = tokio::try_join!(ask(cluster, "/api"), ask(cluster, "/apis"))?;
    let mut types = Vec::new();
    let mut unavailable = Vec::new();
    for answer in [core, groups] {
        match answer {
            Answer::Aggregated(list) => read_aggregated(list, &mut types, &mut unavailable),
            Answer::Versions(versions) => {
                let wanted = Group { name: String::new(), preferred: 0, versions };
                read_legacy(cluster, vec![wanted], &mut types, &mut unavailable).await;
            }
            Answer::Groups(groups) => {
                read_legacy(cluster, groups, &mut types, &mut unavailable).await;
            }
        }
    }
    Ok(Discovery::new(types, unavailable))
}

enum Answer {
    Aggregated(AggregatedList),
    Versions(Vec<String>),
    Groups(Vec<Group>),
}

/// An API group as the older discovery tells it.
struct Group {
    name: String,
    /// Which of the versions is preferred.
    preferred: usize,
    versions: Vec<String>,
}

async fn ask(cluster: &Cluster, path: &str) -> Result<Answer> {
    let bytes = cluster.get(path, AGGREGATED, Identity::Drover, MOST_BYTES).await?;
    parse_answer(&bytes)
}

fn parse_answer(bytes: &[u8]) -> Result<Answer> {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    let wrong = |error: serde_json::Error| unreadable(&error);
    let kind: Kind = serde_json::from_slice(bytes).map_err(wrong)?;
    match kind.kind.as_str() {
        "APIGroupDiscoveryList" => {
            serde_json::from_slice(bytes).map(Answer::Aggregated).map_err(wrong)
        }
        "APIVersions" => {
            let list: LegacyVersions = serde_json::from_slice(bytes).map_err(wrong)?;
            Ok(Answer::Versions(list.versions))
        }
        _ => {
            let list: LegacyGroups = serde_json::from_slice(bytes).map_err(wrong)?;
            Ok(Answer::Groups(list.groups.into_iter().map(LegacyGroup::into_group).collect()))
        }
    }
}

#[derive(Deserialize)]
struct AggregatedList {
    #[serde(default)]
    items: Vec<AggregatedGroup>,
}

#[derive(Deserialize)]
struct AggregatedGroup {
    #[serde(default)]
    metadata: AggregatedName,
    #[serde(default)]
    versions: Vec<AggregatedVersion>,
}

#[derive(Default, Deserialize)]
struct AggregatedName {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct AggregatedVersion {
    version: String,
    #[serde(default)]
    resources: Vec<AggregatedResource>,
    #[serde(default)]
    freshness: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AggregatedResource {
    resource: String,
    response_kind: Option<AggregatedKind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    singular_resource: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    subresources: Vec<AggregatedSubresource>,
}

#[derive(Deserialize)]
struct AggregatedKind {
    #[serde(default)]
    kind: String,
}

#[derive(Deserialize)]
struct AggregatedSubresource {
    subresource: String,
    #[serde(default)]
    verbs: Vec<String>,
}

fn read_aggregated(
    list: AggregatedList,
    types: &mut Vec<ResourceType>,
    unavailable: &mut Vec<Unavailable>,
) {
    for group in list.items {
        let name = group.metadata.name;
        for version in &group.versions {
            if version.freshness == "Stale" {
                unavailable.push(stale(&name, &version.version));
            }
        }
        let mut found: Vec<ResourceType> = Vec::new();
        // The cluster tells the versions it prefers first.
        for version in group.versions {
            for resource in version.resources {
                let known = found.iter_mut().find(|known| known.plural == resource.resource);
                match known {
                    Some(known) => known.versions.push(version.version.clone()),
                    None => found.push(resource.into_type(&name, &version.version)),
                }
            }
        }
        types.append(&mut found);
    }
}

fn stale(group: &str, version: &str) -> Unavailable {
    Unavailable {
        group_version: group_version(group, version),
        why: format!(
            "The API server behind {} does not answer. See `kubectl describe apiservice {version}.{group}`.",
            group_version(group, version)
        ),
    }
}

impl AggregatedResource {
    fn into_type(self, group: &str, version: &str) -> ResourceType {
        ResourceType {
            name: type_name(&self.resource, group),
            group: group.to_owned(),
            version: version.to_owned(),
            versions: vec![version.to_owned()],
            kind: self.response_kind.map(|kind| kind.kind).unwrap_or_default(),
            plural: self.resource,
            singular: self.singular_resource,
            short_names: self.short_names,
            categories: self.categories,
            namespaced: self.scope == "Namespaced",
            verbs: self.verbs,
            subresources: self
                .subresources
                .into_iter()
                .map(|sub| Subresource { name: sub.subresource, verbs: sub.verbs })
                .collect(),
        }
    }
}

/// `plural.group`, or `plural` for the core group.
pub fn type_name(plural: &str, group: &str) -> Arc<str> {
    if group.is_empty() { plural.into() } else { format!("{plural}.{group}").into() }
}

#[derive(Deserialize)]
struct LegacyVersions {
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Deserialize)]
struct LegacyGroups {
    #[serde(default)]
    groups: Vec<LegacyGroup>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LegacyGroup {
    name: String,
    #[serde(default)]
    versions: Vec<LegacyVersion>,
    preferred_version: Option<LegacyVersion>,
}

#[derive(Deserialize)]
struct LegacyVersion {
    version: String,
}

impl LegacyGroup {
    fn into_group(self) -> Group {
        let versions: Vec<String> = self.versions.into_iter().map(|v| v.version).collect();
        let preferred = self
            .preferred_version
            .and_then(|preferred| versions.iter().position(|v| *v == preferred.version))
            .unwrap_or_default();
        Group { name: self.name, preferred, versions }
    }
}

#[derive(Deserialize)]
struct LegacyResources {
    #[serde(default)]
    resources: Vec<LegacyResource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LegacyResource {
    name: String,
    #[serde(default)]
    singular_name: String,
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
}

async fn read_legacy(
    cluster: &Cluster,
    groups: Vec<Group>,
    types: &mut Vec<ResourceType>,
    unavailable: &mut Vec<Unavailable>,
) {
    let wanted: Vec<(String, String)> = groups
        .into_iter()
        .flat_map(|mut group| {
            if group.preferred < group.versions.len() {
                group.versions[..=group.preferred].rotate_right(1);
            }
            let name = group.name;
            group.versions.into_iter().map(move |version| (name.clone(), version))
        })
        .collect();
    let mut answers = stream::iter(wanted)
        .map(|(group, version)| async move {
            let answer = legacy_resources(cluster, &group, &version).await;
            (group, version, answer)
        })
        .buffered(AT_ONCE);
    while let Some((group, version, answer)) = answers.next().await {
        match answer {
            Ok(resources) => read_resources(&group, &version, resources, types),
            Err(why) => unavailable.push(Unavailable {
                group_version: group_version(&group, &version),
                why: why.to_string(),
            }),
        }
    }
}

async fn legacy_resources(
    cluster: &Cluster,
    group: &str,
    version: &str,
) -> Result<Vec<LegacyResource>, Failure> {
    let path = if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    };
    let list: LegacyResources = cluster.get_json(&path, Identity::Drover).await?;
    Ok(list.resources)
}

fn read_resources(
    group: &str,
    version: &str,
    resources: Vec<LegacyResource>,
    types: &mut Vec<ResourceType>,
) {
    let (whole, parts): (Vec<_>, Vec<_>) =
        resources.into_iter().partition(|resource| !resource.name.contains('/'));
    for resource in whole {
        let name = type_name(&resource.name, group);
        if let Some(known) = types.iter_mut().find(|known| known.name == name) {
            known.versions.push(version.to_owned());
            continue;
        }
        let subresources = parts
            .iter()
            .filter_map(|part| {
                let (of, sub) = part.name.split_once('/')?;
                (of == resource.name)
                    .then(|| Subresource { name: sub.to_owned(), verbs: part.verbs.clone() })
            })
            .collect();
        types.push(ResourceType {
            name,
            group: group.to_owned(),
            version: version.to_owned(),
            versions: vec![version.to_owned()],
            kind: resource.kind,
            plural: resource.name,
            singular: resource.singular_name,
            short_names: resource.short_names,
            categories: resource.categories,
            namespaced: resource.namespaced,
            verbs: resource.verbs,
            subresources,
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn aggregated() -> Discovery {
        let body = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": [
            {"metadata": {}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
                {"resource": "pods", "responseKind": {"group": "", "version": "v1", "kind": "Pod"}, "scope": "Namespaced",
                 "singularResource": "pod", "verbs": ["get", "list", "watch"], "shortNames": ["po"], "categories": ["all"],
                 "subresources": [{"subresource": "log", "responseKind": {"kind": "Pod"}, "verbs": ["get"]}]},
                {"resource": "events", "responseKind": {"kind": "Event"}, "scope": "Namespaced", "singularResource": "event", "verbs": ["list"]},
            ]}]},
            {"metadata": {"name": "apps"}, "versions": [
                {"version": "v2", "resources": [{"resource": "deployments", "responseKind": {"kind": "Deployment"}, "scope": "Namespaced",
                    "singularResource": "deployment", "verbs": ["list", "watch"], "shortNames": ["deploy"]}]},
                {"version": "v1", "resources": [{"resource": "deployments", "responseKind": {"kind": "Deployment"}, "scope": "Namespaced", "verbs": ["list"]}]}]},
            {"metadata": {"name": "events.k8s.io"}, "versions": [{"version": "v1", "resources": [
                {"resource": "events", "responseKind": {"kind": "Event"}, "scope": "Namespaced", "verbs": ["list"]}]}]},
            {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "freshness": "Stale"}]},
        ]});
        let Ok(Answer::Aggregated(list)) = parse_answer(body.to_string().as_bytes()) else {
            panic!("not read as aggregated")
        };
        let (mut types, mut unavailable) = (Vec::new(), Vec::new());
        read_aggregated(list, &mut types, &mut unavailable);
        Discovery::new(types, unavailable)
    }

    #[test]
    fn types_are_found_as_people_name_them() {
        let found = aggregated();
        let name = |text| found.find(text).map(|found| &*found.name);
        for text in ["pods", "pod", "po", "Pod", "PODS"] {
            assert_eq!(name(text), Some("pods"), "{text}");
        }
        for text in
            ["deployments.apps", "deploy", "deployment.apps", "deployments.v1.apps", "Deployment"]
        {
            assert_eq!(name(text), Some("deployments.apps"), "{text}");
        }
        assert_eq!(name("events"), Some("events"));
        assert_eq!(name("events.events.k8s.io"), Some("events.events.k8s.io"));
        assert_eq!(name("pods.apps"), None);
        assert_eq!(name("deployments.v9.apps"), None);
        assert_eq!(found.of_kind("apps/v1", "Deployment").unwrap().version, "v2");
        assert!(found.of_kind("apps/v3", "Deployment").is_none());
    }

    #[test]
    fn a_group_that_does_not_answer_is_told() {
        let found = aggregated();
        assert_eq!(found.unavailable()[0].group_version, "metrics.k8s.io/v1beta1");
        assert!(found.unavailable()[0].why.contains("apiservice v1beta1.metrics.k8s.io"));
        assert_eq!(found.types().len(), 4);
    }

    #[test]
    fn paths() {
        let found = aggregated();
        let pods = found.find("pods").unwrap();
        assert_eq!(pods.list_path(None), "/api/v1/pods");
        assert_eq!(pods.object_path(Some("a"), "b"), "/api/v1/namespaces/a/pods/b");
        let deployments = found.find("deploy").unwrap();
        assert_eq!(deployments.list_path(None), "/apis/apps/v2/deployments");
        assert_eq!(deployments.api_version(), "apps/v2");
        assert!(pods.has_subresource("log") && pods.is_watchable());
    }

    #[test]
    fn older_clusters_tell_a_group_at_a_time() {
        let groups = json!({"kind": "APIGroupList", "groups": [{"name": "apps",
            "versions": [{"groupVersion": "apps/v1", "version": "v1"}, {"groupVersion": "apps/v2", "version": "v2"}],
            "preferredVersion": {"groupVersion": "apps/v2", "version": "v2"}}]});
        let Ok(Answer::Groups(groups)) = parse_answer(groups.to_string().as_bytes()) else {
            panic!("not read as groups")
        };
        assert_eq!((groups[0].preferred, groups[0].versions.len()), (1, 2));
        let resources: LegacyResources = serde_json::from_value(json!({"kind": "APIResourceList", "resources": [
            {"name": "deployments", "singularName": "deployment", "namespaced": true, "kind": "Deployment", "verbs": ["list"], "shortNames": ["deploy"]},
            {"name": "deployments/scale", "namespaced": true, "kind": "Scale", "verbs": ["get", "patch"]}]})).unwrap();
        let mut types = Vec::new();
        read_resources("apps", "v2", resources.resources, &mut types);
        assert_eq!(&*types[0].name, "deployments.apps");
        assert_eq!(types[0].subresources[0].name, "scale");
    }
}
