//! Clusters: the control planes that schedule containers. Stacks, catalog, API and app speak to
//! [`Orchestrator`] and never ask which one stands behind it: [`of`] alone knows.

pub mod cattle;
pub mod kubernetes;
mod lead;
pub mod swarm;
mod work;

use std::collections::HashMap;

use drover_api::ClusterKind;
use drover_compose::{Diagnostic, Project, Severity, Takeover};
use uuid::Uuid;

use crate::app::App;

/// A control plane. What is wanted is in PostgreSQL; an orchestrator makes it so by itself, and
/// says what it sees.
pub trait Orchestrator: Send + Sync {
    /// What is wanted of a stack has changed: look now rather than in a while.
    fn wake(&self, environment_id: Uuid, stack_id: Uuid);

    /// How the services of a stack are now. Logs, shells and measurements of each container go by
    /// its host and id.
    fn observe(&self, environment_id: Uuid, stack_id: Uuid) -> Observed;

    /// What of a project it does not take, or takes otherwise than one may think.
    fn check(&self, project: &Project) -> Vec<Diagnostic>;

    /// What of a project only those may deploy who may take over a host.
    fn takeovers(&self, project: &Project) -> Vec<Takeover> {
        project.takeovers()
    }

    /// Whether it has secrets and configs of its own, which a project may name as external.
    fn has_own_secrets(&self) -> bool;
}

/// How the services of a stack are, by name.
pub type Observed = HashMap<String, ObservedService>;

/// How a service is, in numbers of its containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ObservedService {
    /// All that there are.
    pub all: u32,
    /// Those that run.
    pub running: u32,
    /// Those of them that are healthy, or have no health check.
    pub healthy: u32,
    /// Those that have ended with exit code 0.
    pub completed: u32,
    /// How many there should be, where only the cluster knows: of global services.
    pub scale: Option<u32>,
}

/// The orchestrator of a kind of cluster.
pub fn of(app: &App, kind: ClusterKind) -> Box<dyn Orchestrator + '_> {
    match kind {
        ClusterKind::Cattle => Box::new(cattle::Engine(app)),
        ClusterKind::Swarm => Box::new(swarm::Engine(app)),
        ClusterKind::Kubernetes => Box::new(kubernetes::Engine(app)),
    }
}

/// Starts the engines' tasks.
pub fn start(app: &App) {
    cattle::start(app);
    kubernetes::start(app);
    swarm::start(app);
}

/// What of a project only a Kubernetes cluster takes: for the other engines to refuse, or to warn
/// of.
fn only_in_kubernetes(project: &Project) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut add = |severity, line, path: String, message: &str| {
        let (code, message) = ("only_in_kubernetes".to_owned(), message.to_owned());
        found.push(Diagnostic { severity, line, column: 1, path, code, message });
    };
    if let Some(first) = project.manifests.first() {
        let message = "These are manifests of Kubernetes: install them in an environment that stands on a Kubernetes cluster.";
        add(Severity::Unsupported, first.line, String::new(), message);
        return found;
    }
    for (name, service) in &project.services {
        if !service.ingress.is_empty() {
            let message = "Only Kubernetes clusters have an Ingress: it is left out.";
            let path = format!("services.{name}.x-drover-ingress");
            add(Severity::Warning, service.line, path, message);
        }
    }
    found
}
