//! How a stack becomes objects of Kubernetes. Pure. The rules are in `docs/kubernetes.md`.
//!
//! | part | what |
//! | --- | --- |
//! | [`check`](mod@check) | what of a project a cluster does not take, or takes otherwise than one may think |
//! | [`names`] | names and labels |
//! | `pods`, `workloads` | containers, pods and what keeps them running |
//! | `placing` | which nodes they may run on |
//! | `storage`, `files` | volumes, secrets and configs |
//! | `network` | names, published ports, Ingress |
//! | `manifests` | stacks that are manifests already |
//! | [`takeover`] | what the role *restricted* may not deploy |

pub mod check;
mod files;
mod manifests;
pub mod names;
mod network;
mod placing;
mod pods;
mod storage;
pub mod takeover;
mod workloads;

#[cfg(test)]
mod tests;

use drover_compose::{DependencyCondition, Project, Restart, Service};
use indexmap::IndexMap;
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

/// What a stack is rendered from, besides its project.
pub struct Stack<'a> {
    /// Its id.
    pub id: Uuid,
    /// The environment's id.
    pub environment: Uuid,
    /// Its name.
    pub name: &'a str,
    /// The revision that is wanted.
    pub revision: i32,
    /// The namespace of what names none.
    pub namespace: &'a str,
    /// The cluster's domain, as a rule `cluster.local`.
    pub domain: &'a str,
    /// How often people asked for new pods, by service.
    pub generations: &'a IndexMap<String, u32>,
    /// Nothing of it is to run.
    pub stopped: bool,
    /// Images are pulled at each start.
    pub pull: bool,
    /// Random, and the stack's own: what digests are made with.
    pub salt: &'a [u8],
    /// The values of its secret variables: what contains one goes into a Secret.
    pub secrets: &'a [SecretString],
    /// The registries that images may come from.
    pub registries: &'a [Registry],
    /// The secrets and configs of each service.
    pub files: &'a IndexMap<String, Vec<File>>,
}

/// The credentials of a registry.
#[derive(Clone)]
pub struct Registry {
    /// As Docker's configuration file has it, e.g. `registry.example.com:5000`.
    pub address: String,
    /// Who pulls.
    pub username: String,
    /// With which password.
    pub password: SecretString,
}

/// A secret or config as a file.
#[derive(Clone)]
pub struct File {
    /// Its name in the text.
    pub source: String,
    /// It is a secret, and no config.
    pub secret: bool,
    /// It is in the cluster, as `NAME` or `NAME/KEY`; its content is not known here.
    pub own: Option<String>,
    /// Absolute path in the container.
    pub path: String,
    /// E.g. `0o444`.
    pub mode: u32,
    /// What it holds.
    pub content: Vec<u8>,
}

/// An object that a stack should have.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The object.
    pub value: Value,
    /// The digest of it, which stands in its annotations too.
    pub digest: String,
    /// The service that it keeps running, if it is a workload.
    pub service: Option<String>,
    /// Where it stands in the text, from 1; 0 for what Drover adds.
    pub line: u32,
    /// What is there under its name may be taken.
    pub adopt: bool,
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    /// Its group and version, e.g. `apps/v1`.
    pub fn api_version(&self) -> &str {
        self.value["apiVersion"].as_str().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Its namespace, if it names one.
    pub fn namespace(&self) -> Option<&str> {
        self.value["metadata"]["namespace"].as_str()
    }
}

/// Why a stack cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A ConfigMap or Secret holds at most 1 MiB.
    #[error("`{0}` is larger than 1 MiB, which is the most that a cluster keeps in one object.")]
    TooLarge(String),
}

/// Renders a stack: what its services need first, then the services in the text's order, then
/// what lets people in.
pub fn render(stack: &Stack<'_>, project: &Project) -> Result<Vec<Object>, RenderError> {
    let made = if project.manifests.is_empty() {
        compose(stack, project)?
    } else {
        manifests::render(stack, project)
    };
    Ok(made.into_iter().map(|made| mark(stack, project, made)).collect())
}

/// An object without what marks it.
struct Made {
    value: Value,
    service: Option<String>,
    line: u32,
    adopt: bool,
}

impl Made {
    fn shared(value: Value) -> Self {
        Self { value, service: None, line: 0, adopt: false }
    }
}

fn compose(stack: &Stack<'_>, project: &Project) -> Result<Vec<Made>, RenderError> {
    let mut all = Vec::new();
    all.extend(files::registries(stack, project).map(Made::shared));
    all.extend(files::shared(stack)?.into_iter().map(Made::shared));
    for (name, service) in &project.services {
        all.extend(files::environment(stack, name, service)?.map(Made::shared));
    }
    all.extend(storage::claims(stack, project).into_iter().map(Made::shared));
    all.push(Made::shared(network::names(stack)));
    for (name, service) in &project.services {
        all.extend(network::services(stack, project, name, service).into_iter().map(Made::shared));
    }
    for (name, service) in &project.services {
        if let Some(value) = workloads::workload(stack, project, name, service) {
            all.push(Made { value, service: Some(name.clone()), line: service.line, adopt: false });
        }
    }
    for (name, service) in &project.services {
        all.extend(network::ingress(stack, name, service).into_iter().map(Made::shared));
    }
    for made in &mut all {
        made.value["metadata"]["namespace"] = stack.namespace.into();
    }
    Ok(all)
}

/// Adds what says whose an object is, and what it was made from.
fn mark(stack: &Stack<'_>, project: &Project, made: Made) -> Object {
    let Made { mut value, service, line, adopt } = made;
    if service.is_some() {
        mark_template(stack, &mut value);
    }
    if let Some(labels) = names::mapping(&mut value, &["metadata", "labels"]) {
        for (key, text) in names::stack_labels(stack.id, stack.environment) {
            labels.insert(key, text.into());
        }
        labels.insert(names::MANAGED_BY.into(), "drover".into());
        let mut say = |key: &str, text: &str| {
            labels.entry(key).or_insert_with(|| text.into());
        };
        say("app.kubernetes.io/instance", stack.name);
        if let Some(service) = service.as_deref().filter(|name| names::is_label_value(name)) {
            say(names::SERVICE, service);
            say("app.kubernetes.io/name", service);
        }
    }
    let digest = names::digest(stack.salt, &value);
    if let Some(annotations) = names::mapping(&mut value, &["metadata", "annotations"]) {
        annotations.insert(names::DIGEST.into(), digest.as_str().into());
        annotations.insert(names::REVISION.into(), stack.revision.to_string().into());
    }
    Object { value, digest, service, line, adopt: adopt || project.adopt }
}

/// Says in each pod what template it was made from.
fn mark_template(stack: &Stack<'_>, value: &mut Value) {
    let (made_from, place): (&Value, &[&str]) = match value["kind"].as_str() {
        Some("Pod") => (&value["spec"], &["metadata", "annotations"]),
        _ => (&value["spec"]["template"], &["spec", "template", "metadata", "annotations"]),
    };
    let digest = names::digest(stack.salt, made_from);
    if let Some(annotations) = names::mapping(value, place) {
        annotations.insert(names::TEMPLATE.into(), digest.into());
    }
}

/// What keeps a service running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet: each pod has volumes of its own.
    StatefulSet,
    /// A DaemonSet: one on each node.
    DaemonSet,
    /// A Job: it ends.
    Job,
}

/// What keeps a service running. One that others wait for to complete, and one that is not started
/// again, is a Job.
pub fn kind(project: &Project, name: &str, service: &Service) -> Kind {
    let awaited = project.services.values().any(|other| {
        other
            .depends_on
            .get(name)
            .is_some_and(|dependency| dependency.condition == DependencyCondition::Completed)
    });
    if service.deploy.job || awaited || service.restart == Some(Restart::No) {
        Kind::Job
    } else if service.deploy.global {
        Kind::DaemonSet
    } else if storage::has_own_volumes(project, service) {
        Kind::StatefulSet
    } else {
        Kind::Deployment
    }
}

/// The service in whose pods a service's containers run: the one whose sidekick it is or whose
/// network it shares, or itself.
pub fn pod_of<'a>(project: &'a Project, name: &'a str) -> &'a str {
    let mut at = name;
    // As many steps as there are services lead to the end of every chain.
    for _ in 0..project.services.len() {
        let service = project.services.get(at);
        let next = service
            .and_then(Service::shares_network_of)
            .and_then(|other| project.services.get_key_value(other))
            .map_or_else(|| project.primary_of(at), |(name, _)| name.as_str());
        if next == at {
            break;
        }
        at = next;
    }
    at
}

/// The services whose containers run in the pods of this one, itself first.
fn members<'a>(project: &'a Project, name: &'a str) -> Vec<(&'a str, &'a Service)> {
    let own = project.services.get_key_value(name);
    let others = project
        .services
        .iter()
        .filter(|(other, _)| other.as_str() != name && pod_of(project, other) == name);
    own.into_iter().chain(others).map(|(name, service)| (name.as_str(), service)).collect()
}
