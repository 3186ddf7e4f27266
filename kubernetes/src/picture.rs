//! The picture of an application: what leads to it from outside, its workloads, their pods, and the
//! claims that those mount, each with how it fares and why. Drawn from the index alone.
//!
//! The core is pure: [`Parts`] are rows of one namespace, [`Parts::draw`] makes the picture.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde::Serialize;

use crate::{
    client::{Failure, FailureKind, Result},
    facts::{EventFacts, Facts, Health, several},
    index::{Index, Live, Row, Scope, natural},
};

/// What a picture is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One workload (or a pod of its own): its type as `plural.group`, and its name.
    Workload {
        /// E.g. `deployments.apps`.
        resource: String,
        /// Its name.
        name: String,
    },
    /// Everything with a label, e.g. `app.kubernetes.io/instance`.
    Label {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Picture {
    /// How the whole fares: as the worst of what it is made of.
    pub health: Health,
    /// Why it does not fare well, in one sentence.
    pub why: Option<String>,
    /// The objects, from the outside inwards.
    pub nodes: Vec<Node>,
    /// What leads where.
    pub edges: Vec<Edge>,
    /// So many pods are not in it, since there are too many.
    pub pods_left_out: usize,
}

/// An object in a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Unique in the picture: `resource/name`.
    pub id: String,
    /// The type, as `plural.group`.
    pub resource: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// It is named by others but not there.
    pub missing: bool,
    /// How it fares.
    pub health: Health,
    /// Why it does not fare well, in one sentence.
    pub why: Option<String>,
    /// The node where the reason lies, where that is another one.
    pub because: Option<String>,
    /// The newest warning about it.
    pub event: Option<Warning>,
    /// A few words: `2 of 3 ready`, `shop.example.com`, `http:80/TCP`.
    pub detail: String,
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// E.g. `FailedMount`.
    pub reason: String,
    /// In words.
    pub message: String,
    /// How often.
    pub count: u32,
    /// When last, seconds since the Unix epoch.
    pub last: i64,
}

/// What leads from one object to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Edge {
    /// A node's id.
    pub from: String,
    /// A node's id.
    pub to: String,
    /// How they belong together.
    pub kind: EdgeKind,
    /// A few words: the host and path of a route.
    pub label: String,
}

/// How two objects belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeKind {
    /// A route leads to a Service.
    Routes,
    /// A Service leads to a workload's pods.
    Selects,
    /// An object has made the other.
    Owns,
    /// A pod mounts a claim.
    Mounts,
    /// An autoscaler scales a workload.
    Scales,
}

/// More pods than this are not drawn.
const MOST_PODS: usize = 200;

const INGRESSES: &str = "ingresses.networking.k8s.io";
const ROUTES: &str = "httproutes.gateway.networking.k8s.io";
const SERVICES: &str = "services";
const AUTOSCALERS: &str = "horizontalpodautoscalers.autoscaling";
const REPLICA_SETS: &str = "replicasets.apps";
const JOBS: &str = "jobs.batch";
const PODS: &str = "pods";
const CLAIMS: &str = "persistentvolumeclaims";
const EVENTS: &str = "events";

/// The types of a picture, from the outside inwards.
const LAYERS: [&str; 12] = [
    INGRESSES,
    ROUTES,
    SERVICES,
    AUTOSCALERS,
    "cronjobs.batch",
    "deployments.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    JOBS,
    REPLICA_SETS,
    PODS,
    CLAIMS,
];

fn kind_of(resource: &str) -> &'static str {
    match resource {
        INGRESSES => "Ingress",
        ROUTES => "HTTPRoute",
        SERVICES => "Service",
        AUTOSCALERS => "HorizontalPodAutoscaler",
        "cronjobs.batch" => "CronJob",
        "deployments.apps" => "Deployment",
        "statefulsets.apps" => "StatefulSet",
        "daemonsets.apps" => "DaemonSet",
        JOBS => "Job",
        REPLICA_SETS => "ReplicaSet",
        PODS => "Pod",
        CLAIMS => "PersistentVolumeClaim",
        _ => "",
    }
}

/// Draws the picture of something in a namespace.
///
/// # Errors
/// [`FailureKind::NotFound`] when the scope does not have it, and why a list did not come.
pub async fn draw(
    index: &Index,
    scope: &Scope,
    namespace: &str,
    target: &Target,
) -> Result<Picture> {
    if namespace.is_empty() || !scope.allows(namespace) {
        return Err(nothing());
    }
    let mut parts = Parts::default();
    for resource in LAYERS {
        match index.open(resource).await {
            Ok(live) => parts.add(resource, in_picture(&live, scope, resource, namespace)),
            // A cluster without the Gateway API, or without autoscalers.
            Err(failure) if failure.is_not_found() => {}
            Err(failure) => return Err(failure),
        }
    }
    // Without events the picture still says what is wrong.
    if let Ok(live) = index.open(EVENTS).await {
        parts.set_events(live.in_namespace(namespace));
    }
    parts.draw(namespace, target).ok_or_else(nothing)
}

fn nothing() -> Failure {
    Failure::new(FailureKind::NotFound, "There is no such workload here.")
}

fn in_picture(live: &Live, scope: &Scope, resource: &str, namespace: &str) -> Vec<Arc<Row>> {
    if resource != ROUTES {
        return live.in_namespace(namespace);
    }
    // Routes may lead into other namespaces.
    live.select(scope, |row| match &row.facts {
        Facts::Route(route) => route
            .backends
            .iter()
            .any(|backend| **backend.namespace.as_ref().unwrap_or(&row.namespace) == *namespace),
        _ => false,
    })
}

/// The warnings about an object, newest first.
pub fn warnings_about(events: &[Arc<Row>], kind: &str, row: &Row) -> Vec<Arc<Row>> {
    let mut found: Vec<Arc<Row>> = events
        .iter()
        .filter(|event| {
            about(event).is_some_and(|facts| facts.warning && concerns(facts, kind, row))
        })
        .cloned()
        .collect();
    found.sort_by_key(|event| std::cmp::Reverse(about(event).map_or(0, |facts| facts.last)));
    found
}

fn about(event: &Row) -> Option<&EventFacts> {
    match &event.facts {
        Facts::Event(facts) => Some(facts),
        _ => None,
    }
}

fn concerns(event: &EventFacts, kind: &str, row: &Row) -> bool {
    *event.kind == *kind
        && *event.name == *row.name
        // Those of an object of the same name that was there before are not about this one.
        && (event.uid.is_empty() || *event.uid == *row.uid)
}

/// The rows of a namespace that a picture may be made of.
#[derive(Default)]
pub struct Parts {
    rows: HashMap<&'static str, Vec<Arc<Row>>>,
    /// Warnings by kind and name of what they are about.
    warnings: HashMap<(Arc<str>, Arc<str>), Vec<Arc<Row>>>,
}

impl Parts {
    /// Adds rows of a type; others than those of pictures are left out.
    pub fn add(&mut self, resource: &str, rows: Vec<Arc<Row>>) {
        if let Some(known) = LAYERS.into_iter().find(|known| *known == resource) {
            self.rows.insert(known, rows);
        }
    }

    /// Takes events.
    pub fn set_events(&mut self, events: Vec<Arc<Row>>) {
        for event in events {
            if let Some(facts) = about(&event).filter(|facts| facts.warning) {
                let key = (facts.kind.clone(), facts.name.clone());
                self.warnings.entry(key).or_default().push(event);
            }
        }
    }

    fn of(&self, resource: &str) -> &[Arc<Row>] {
        self.rows.get(resource).map_or(&[], Vec::as_slice)
    }

    /// Makes the picture; `None` when there is nothing like the target.
    pub fn draw(&self, namespace: &str, target: &Target) -> Option<Picture> {
        let mut drawing = Drawing {
            parts: self,
            namespace,
            nodes: HashMap::new(),
            edges: Vec::new(),
            known_edges: HashSet::new(),
            pods_left_out: 0,
        };
        let mut seeds = Vec::new();
        for resource in LAYERS {
            for row in self.of(resource) {
                let wanted = match target {
                    Target::Workload { resource: of, name } => {
                        *of == resource && *row.name == **name
                    }
                    Target::Label { key, value } => row.label(key) == Some(value),
                };
                if wanted && (resource == ROUTES || *row.namespace == *namespace) {
                    seeds.push((resource, row.clone()));
                }
            }
        }
        for (resource, row) in &seeds {
            drawing.add(resource, row);
            drawing.inwards(resource, row);
        }
        if drawing.nodes.is_empty() {
            return None;
        }
        drawing.outwards();
        drawing.mounts();
        Some(drawing.finish())
    }
}

struct Drawing<'a> {
    parts: &'a Parts,
    namespace: &'a str,
    nodes: HashMap<String, (&'static str, Arc<Row>, Node)>,
    edges: Vec<Edge>,
    known_edges: HashSet<(String, String)>,
    pods_left_out: usize,
}

fn id(resource: &str, name: &str) -> String {
    format!("{resource}/{name}")
}

impl Drawing<'_> {
    fn add(&mut self, resource: &'static str, row: &Arc<Row>) -> String {
        let id = id(resource, &row.name);
        if !self.nodes.contains_key(&id) {
            let node = self.node(&id, resource, row);
            self.nodes.insert(id.clone(), (resource, row.clone(), node));
        }
        id
    }

    fn edge(&mut self, from: &str, to: &str, kind: EdgeKind, label: &str) {
        if self.known_edges.insert((from.to_owned(), to.to_owned())) {
            self.edges.push(Edge { from: from.into(), to: to.into(), kind, label: label.into() });
        }
    }

    fn node(&self, id: &str, resource: &str, row: &Row) -> Node {
        let mut node = Node {
            id: id.to_owned(),
            resource: resource.to_owned(),
            namespace: row.namespace.to_string(),
            name: row.name.to_string(),
            missing: false,
            health: row.health,
            why: row.why.as_deref().map(str::to_owned),
            because: None,
            event: None,
            detail: detail(row),
        };
        if node.health != Health::Healthy {
            node.event = self.warning(kind_of(resource), row);
            explain_by_event(&mut node);
        }
        node
    }

    fn warning(&self, kind: &str, row: &Row) -> Option<Warning> {
        let found = self.parts.warnings.get(&(kind.into(), row.name.clone()))?;
        let newest = found
            .iter()
            .filter_map(|event| about(event))
            .filter(|facts| concerns(facts, kind, row))
            .max_by_key(|facts| facts.last)?;
        Some(Warning {
            reason: newest.reason.to_string(),
            message: newest.message.to_string(),
            count: newest.count,
            last: newest.last,
        })
    }

    /// Adds what an object has made.
    fn inwards(&mut self, resource: &'static str, row: &Arc<Row>) {
        let from = id(resource, &row.name);
        let makes: &[&'static str] = match resource {
            "cronjobs.batch" => &[JOBS],
            "deployments.apps" => &[REPLICA_SETS],
            REPLICA_SETS | "statefulsets.apps" | "daemonsets.apps" | JOBS => &[PODS],
            _ => return,
        };
        for made in makes {
            let mut own: Vec<&Arc<Row>> = self
                .parts
                .of(made)
                .iter()
                .filter(|other| other.owners.iter().any(|owner| *owner.uid == *row.uid))
                .filter(|other| !is_over(other))
                .collect();
            // Those that need somebody are drawn in any case.
            own.sort_by(|a, b| a.health.cmp(&b.health).then_with(|| natural(&a.name, &b.name)));
            for other in own {
                if *made == PODS && self.pods() >= MOST_PODS {
                    self.pods_left_out += 1;
                    continue;
                }
                let to = self.add(made, other);
                self.edge(&from, &to, EdgeKind::Owns, "");
                self.inwards(made, other);
            }
        }
    }

    fn pods(&self) -> usize {
        self.nodes.values().filter(|(resource, ..)| *resource == PODS).count()
    }

    /// Adds what leads to the workloads and pods that are there.
    fn outwards(&mut self) {
        for row in self.parts.of(AUTOSCALERS) {
            let Facts::Autoscaler(scaler) = &row.facts else { continue };
            let target = self.nodes.iter().find(|(_, (resource, target, _))| {
                kind_of(resource) == &*scaler.target_kind && *target.name == *scaler.target_name
            });
            if let Some((to, _)) = target {
                let to = to.clone();
                let from = self.add(AUTOSCALERS, row);
                self.edge(
                    &from,
                    &to,
                    EdgeKind::Scales,
                    &format!("{} to {}", scaler.min, scaler.max),
                );
            }
        }
        for row in self.parts.of(SERVICES) {
            self.service(row);
        }
        for resource in [INGRESSES, ROUTES] {
            for row in self.parts.of(resource) {
                self.route(resource, row);
            }
        }
    }

    fn service(&mut self, row: &Arc<Row>) {
        let Facts::Service(service) = &row.facts else { return };
        if service.selector.is_empty() {
            return;
        }
        let selects = |labels: &[crate::index::Label]| {
            service.selector.iter().all(|wanted| labels.binary_search(wanted).is_ok())
        };
        // A Service leads to the outermost workload whose pods it selects.
        let mut found: Vec<String> = Vec::new();
        for (id, (resource, target, _)) in &self.nodes {
            let labels = match &target.facts {
                Facts::Workload(workload) => &workload.pod_labels,
                Facts::Pod(_) => &target.labels,
                _ => continue,
            };
            let is_owned = target.controller().is_some_and(|owner| {
                self.nodes.values().any(|(_, other, _)| *other.uid == *owner.uid)
            });
            if !is_owned && selects(labels) && *resource != JOBS {
                found.push(id.clone());
            }
        }
        let known = self.nodes.contains_key(&id(SERVICES, &row.name));
        if found.is_empty() && !known {
            return;
        }
        let from = self.add(SERVICES, row);
        for to in found {
            self.edge(&from, &to, EdgeKind::Selects, "");
        }
        let mut selected = self.parts.of(PODS).iter().filter(|pod| selects(&pod.labels)).peekable();
        let none = selected.peek().is_none();
        let ready = selected.any(|pod| matches!(&pod.facts, Facts::Pod(facts) if facts.is_ready));
        if !ready
            && let Some((_, _, node)) = self.nodes.get_mut(&from)
            && node.health >= Health::Progressing
        {
            node.health = Health::Failed;
            node.why = Some(if none {
                let selector: Vec<String> =
                    service.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!("It leads nowhere: no pod has the labels {}.", selector.join(","))
            } else {
                "It leads nowhere: none of its pods is ready.".to_owned()
            });
        }
    }

    fn route(&mut self, resource: &'static str, row: &Arc<Row>) {
        let Facts::Route(route) = &row.facts else { return };
        let own = |backend: &crate::facts::Backend| {
            **backend.namespace.as_ref().unwrap_or(&row.namespace) == *self.namespace
        };
        let backends: Vec<_> = route.backends.iter().filter(|backend| own(backend)).collect();
        let known = self.nodes.contains_key(&id(resource, &row.name));
        let leads_here =
            backends.iter().any(|backend| self.nodes.contains_key(&id(SERVICES, &backend.service)));
        if !known && !leads_here {
            return;
        }
        let from = self.add(resource, row);
        for backend in backends {
            let to = id(SERVICES, &backend.service);
            let service = self.parts.of(SERVICES).iter().find(|row| *row.name == *backend.service);
            match service {
                Some(service) => {
                    if !self.nodes.contains_key(&to) {
                        self.add(SERVICES, service);
                    }
                }
                None => {
                    self.missing(SERVICES, &backend.service, row);
                    if let Some((_, _, node)) = self.nodes.get_mut(&from) {
                        node.health = node.health.min(Health::Degraded);
                        node.why = Some(format!(
                            "It leads to the Service `{}`, which is not there.",
                            backend.service
                        ));
                    }
                }
            }
            self.edge(&from, &to, EdgeKind::Routes, &backend.rule);
        }
    }

    fn mounts(&mut self) {
        let pods: Vec<Arc<Row>> = self
            .nodes
            .values()
            .filter(|(resource, ..)| *resource == PODS)
            .map(|(_, row, _)| row.clone())
            .collect();
        for pod in pods {
            let Facts::Pod(facts) = &pod.facts else { continue };
            for claim in facts.claims.iter() {
                let from = id(PODS, &pod.name);
                let to = id(CLAIMS, claim);
                match self.parts.of(CLAIMS).iter().find(|row| row.name == *claim) {
                    Some(row) => {
                        self.add(CLAIMS, row);
                    }
                    None => self.missing(CLAIMS, claim, &pod),
                }
                self.edge(&from, &to, EdgeKind::Mounts, "");
            }
        }
    }

    /// Adds something that is named but not there.
    fn missing(&mut self, resource: &'static str, name: &str, named_by: &Arc<Row>) {
        let id = id(resource, name);
        let node = Node {
            id: id.clone(),
            resource: resource.to_owned(),
            namespace: self.namespace.to_owned(),
            name: name.to_owned(),
            missing: true,
            health: Health::Failed,
            why: Some(format!("There is no {} `{name}`.", kind_of(resource))),
            because: None,
            event: None,
            detail: String::new(),
        };
        self.nodes.entry(id).or_insert_with(|| (resource, named_by.clone(), node));
    }

    fn finish(mut self) -> Picture {
        self.blame();
        let mut nodes: Vec<Node> = self.nodes.into_values().map(|(_, _, node)| node).collect();
        let layer = |node: &Node| LAYERS.iter().position(|resource| *resource == node.resource);
        nodes.sort_by(|a, b| layer(a).cmp(&layer(b)).then_with(|| natural(&a.name, &b.name)));
        let whole = nodes.iter().filter(|node| {
            node.resource != PODS || node.health == Health::Healthy || !owned(&self.edges, node)
        });
        // The innermost reason says most.
        let worst = whole.rev().min_by_key(|node| node.health).cloned();
        self.edges.sort_by(|a, b| natural(&a.from, &b.from).then_with(|| natural(&a.to, &b.to)));
        Picture {
            health: worst.as_ref().map_or(Health::Healthy, |node| node.health),
            why: worst.filter(|node| node.health != Health::Healthy).and_then(|node| {
                Some(format!("{} `{}`: {}", kind_of(&node.resource), node.name, node.why?))
            }),
            nodes,
            edges: self.edges,
            pods_left_out: self.pods_left_out,
        }
    }

    /// Tells of workloads that do not fare well which pod or claim is the reason, from the inside
    /// outwards.
    fn blame(&mut self) {
        for resource in LAYERS.into_iter().rev() {
            let ids: Vec<String> = self
                .nodes
                .iter()
                .filter(|(_, (known, _, node))| {
                    *known == resource && node.health != Health::Healthy
                })
                .map(|(id, _)| id.clone())
                .collect();
            for id in ids {
                let Some(culprit) = self.culprit(&id) else { continue };
                let words = culprit.why.clone().unwrap_or_default();
                let because = culprit.because.clone().unwrap_or_else(|| culprit.id.clone());
                let Some((_, _, node)) = self.nodes.get_mut(&id) else { continue };
                let own = node.why.clone().unwrap_or_default();
                // Whoever is to blame deeper inside has been named by the one between.
                let reason = words.rsplit(" Reason: ").next().unwrap_or(&words);
                node.why = Some(format!("{own} Reason: {reason}").trim_start().to_owned());
                node.because = Some(because);
            }
        }
    }

    /// The worst of what an object has made, selects or mounts.
    fn culprit(&self, of: &str) -> Option<&Node> {
        self.edges
            .iter()
            .filter(|edge| {
                edge.from == of
                    && matches!(edge.kind, EdgeKind::Owns | EdgeKind::Selects | EdgeKind::Mounts)
            })
            .filter_map(|edge| self.nodes.get(&edge.to))
            .map(|(_, _, node)| node)
            .filter(|node| node.health != Health::Healthy && node.why.is_some())
            .min_by(|a, b| a.health.cmp(&b.health).then_with(|| natural(&a.name, &b.name)))
    }
}

fn owned(edges: &[Edge], node: &Node) -> bool {
    edges.iter().any(|edge| edge.to == node.id && edge.kind == EdgeKind::Owns)
}

/// Old ReplicaSets that are scaled to nothing, and pods of Jobs that are done, are history.
fn is_over(row: &Row) -> bool {
    match &row.facts {
        Facts::Workload(workload) => {
            row.owners.iter().any(|owner| &*owner.kind == "Deployment")
                && workload.desired == 0
                && workload.ready == 0
                && workload.updated == 0
        }
        _ => false,
    }
}

/// What the event knows better than the object: the object only says that it is on its way.
fn explain_by_event(node: &mut Node) {
    let Some(event) = &node.event else { return };
    let message = event.message.trim_end_matches('.');
    let why = match event.reason.as_str() {
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume"
            if node.health == Health::Progressing =>
        {
            format!("A volume of it cannot be mounted: {message}.")
        }
        "FailedCreatePodSandBox" if node.health == Health::Progressing => {
            format!("Its node cannot set it up: {message}.")
        }
        "ProvisioningFailed" => format!("No volume can be made for it: {message}."),
        "FailedBinding" => format!("It has no volume: {message}."),
        "Unhealthy" if node.why.as_deref().is_some_and(|why| why.contains("probe")) => {
            format!("{} {message}.", node.why.as_deref().unwrap_or_default())
        }
        "FailedCreate" if node.health == Health::Progressing => {
            format!("Its pods cannot be made: {message}.")
        }
        _ => return,
    };
    node.health = node.health.min(Health::Degraded);
    node.why = Some(why);
}

fn detail(row: &Row) -> String {
    match &row.facts {
        Facts::Pod(pod) => {
            let mut text = format!("{} of {} ready", pod.ready, pod.containers);
            if pod.restarts > 0 {
                text.push_str(&format!(", {}", several(pod.restarts, "restart")));
            }
            text
        }
        Facts::Workload(workload) => format!("{} of {} ready", workload.ready, workload.desired),
        Facts::CronJob(cron) => cron.schedule.to_string(),
        Facts::Autoscaler(scaler) => {
            format!("{} of {} to {}", scaler.current, scaler.min, scaler.max)
        }
        Facts::Service(service) => service.ports.join(", "),
        Facts::Route(route) => route.hosts.join(", "),
        Facts::Claim(claim) => match claim.capacity.max(claim.requested) {
            0 => String::new(),
            bytes => crate::facts::quantity::show_bytes(bytes),
        },
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::index::tests::row_of;

    fn meta(name: &str, uid: &str, owner: Option<(&str, &str)>) -> Value {
        let owners: Vec<Value> = owner
            .into_iter()
            .map(|(kind, uid)| json!({"apiVersion": "apps/v1", "kind": kind, "name": "x", "uid": uid, "controller": true}))
            .collect();
        json!({"name": name, "namespace": "team", "uid": uid, "labels": {"app": "web"}, "ownerReferences": owners})
    }

    fn rows(resource: &str, objects: Vec<Value>) -> Vec<Arc<Row>> {
        objects.iter().map(|object| Arc::new(row_of(resource, object))).collect()
    }

    /// An application with one pod whose image is missing.
    fn parts() -> Parts {
        let mut parts = Parts::default();
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nope:1"}]}});
        parts.add(INGRESSES, rows(INGRESSES, vec![json!({"metadata": meta("front", "i", None), "spec": {"rules": [{"host": "shop.test", "http": {"paths": [
            {"path": "/", "backend": {"service": {"name": "web", "port": {"number": 80}}}}, {"path": "/old", "backend": {"service": {"name": "gone", "port": {"number": 80}}}}]}}]}})]));
        parts.add(SERVICES, rows(SERVICES, vec![
            json!({"metadata": meta("web", "s", None), "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}),
            json!({"metadata": meta("other", "s2", None), "spec": {"selector": {"app": "other"}}})]));
        parts.add("deployments.apps", rows("deployments.apps", vec![json!({"metadata": meta("web", "d", None), "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template},
            "status": {"replicas": 1, "updatedReplicas": 1, "unavailableReplicas": 1}})]));
        parts.add(REPLICA_SETS, rows(REPLICA_SETS, vec![
            json!({"metadata": meta("web-2", "r2", Some(("Deployment", "d"))), "spec": {"replicas": 1, "template": template}, "status": {"replicas": 1}}),
            json!({"metadata": meta("web-1", "r1", Some(("Deployment", "d"))), "spec": {"replicas": 0, "template": template}})]));
        parts.add(PODS, rows(PODS, vec![json!({"metadata": meta("web-2-x", "p", Some(("ReplicaSet", "r2"))),
            "spec": {"containers": [{"name": "c", "image": "nope:1"}], "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]},
            "status": {"phase": "Pending", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}}]}})]));
        parts
    }

    fn web() -> Target {
        Target::Workload { resource: "deployments.apps".into(), name: "web".into() }
    }

    fn find<'a>(picture: &'a Picture, id: &str) -> &'a Node {
        picture.nodes.iter().find(|node| node.id == id).unwrap_or_else(|| panic!("no {id}"))
    }

    #[test]
    fn a_picture_from_the_outside_inwards() {
        let picture = parts().draw("team", &web()).unwrap();
        let ids: Vec<&str> = picture.nodes.iter().map(|node| node.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "ingresses.networking.k8s.io/front",
                "services/gone",
                "services/web",
                "deployments.apps/web",
                "replicasets.apps/web-2",
                "pods/web-2-x",
                "persistentvolumeclaims/data",
            ]
        );
        let edges: Vec<(&str, &str, EdgeKind)> = picture
            .edges
            .iter()
            .map(|edge| (edge.from.as_str(), edge.to.as_str(), edge.kind))
            .collect();
        assert_eq!(
            edges,
            [
                ("deployments.apps/web", "replicasets.apps/web-2", EdgeKind::Owns),
                ("ingresses.networking.k8s.io/front", "services/gone", EdgeKind::Routes),
                ("ingresses.networking.k8s.io/front", "services/web", EdgeKind::Routes),
                ("pods/web-2-x", "persistentvolumeclaims/data", EdgeKind::Mounts),
                ("replicasets.apps/web-2", "pods/web-2-x", EdgeKind::Owns),
                ("services/web", "deployments.apps/web", EdgeKind::Selects),
            ]
        );
        assert_eq!(picture.edges[2].label, "shop.test/");
    }

    #[test]
    fn the_reason_is_told_up_to_the_whole() {
        let mut parts = parts();
        let claim = json!({"metadata": meta("data", "c", None), "spec": {"volumeName": "v"}, "status": {"phase": "Bound"}});
        parts.add(CLAIMS, rows(CLAIMS, vec![claim]));
        let picture = parts.draw("team", &web()).unwrap();
        let deployment = find(&picture, "deployments.apps/web");
        assert_eq!(deployment.because.as_deref(), Some("pods/web-2-x"));
        assert!(
            deployment.why.as_deref().unwrap().contains("Reason: The image `nope:1`"),
            "{deployment:?}"
        );
        assert_eq!(find(&picture, "services/web").health, Health::Failed);
        assert_eq!(find(&picture, "ingresses.networking.k8s.io/front").health, Health::Degraded);
        assert_eq!(picture.health, Health::Failed);
        assert!(picture.why.is_some());
    }

    #[test]
    fn what_is_named_but_not_there_is_drawn() {
        let picture = parts().draw("team", &web()).unwrap();
        for id in ["persistentvolumeclaims/data", "services/gone"] {
            assert!(find(&picture, id).missing, "{id}");
        }
        assert_eq!(
            find(&picture, "pods/web-2-x").because.as_deref(),
            Some("persistentvolumeclaims/data")
        );
    }

    #[test]
    fn events_say_what_objects_do_not() {
        let mut parts = parts();
        let event = |uid: &str, last: &str, message: &str| {
            json!({"metadata": {"name": format!("e-{message}"), "namespace": "team"}, "type": "Warning", "reason": "FailedMount", "message": message,
            "involvedObject": {"kind": "Pod", "namespace": "team", "name": "web-2-x", "uid": uid}, "lastTimestamp": last})
        };
        parts.add(PODS, rows(PODS, vec![json!({"metadata": meta("web-2-x", "p", Some(("ReplicaSet", "r2"))),
            "status": {"phase": "Pending", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]}})]));
        parts.set_events(rows(
            EVENTS,
            vec![
                event("p", "2027-01-15T07:00:00Z", "old"),
                event("p", "2027-01-15T07:10:00Z", "secret \"db\" not found"),
                event("before", "2027-01-15T07:20:00Z", "of another pod"),
            ],
        ));
        let picture = parts.draw("team", &web()).unwrap();
        let pod = find(&picture, "pods/web-2-x");
        assert_eq!(pod.health, Health::Degraded);
        assert_eq!(
            pod.why.as_deref(),
            Some("A volume of it cannot be mounted: secret \"db\" not found.")
        );
        assert_eq!(pod.event.as_ref().unwrap().reason, "FailedMount");
    }

    #[test]
    fn by_label_and_of_nothing() {
        let label = Target::Label { key: "app".into(), value: "web".into() };
        let picture = parts().draw("team", &label).unwrap();
        assert!(picture.nodes.iter().any(|node| node.id == "services/other"));
        assert_eq!(
            parts().draw("team", &Target::Label { key: "app".into(), value: "x".into() }),
            None
        );
        assert_eq!(parts().draw("other", &label), None);
    }

    #[test]
    fn many_pods_are_left_out() {
        let mut parts = parts();
        let pods = (0..300).map(|number| json!({"metadata": meta(&format!("p-{number}"), &format!("p{number}"), Some(("ReplicaSet", "r2")))}));
        parts.add(PODS, rows(PODS, pods.collect()));
        let picture = parts.draw("team", &web()).unwrap();
        assert_eq!(picture.pods_left_out, 100);
    }
}
