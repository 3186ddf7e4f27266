//! Drover's own engine, over the Docker hosts of an environment.
//!
//! One [`worker`] a stack compares what is wanted (revision, instances) with what is there (the
//! index), and takes the next steps that the pure [`plan`] names. [`place`] chooses hosts,
//! [`container`] says how a service becomes a container. An advisory lock in PostgreSQL lets one
//! replica of the server do it.

mod container;
mod place;
mod plan;
mod store;
mod worker;

pub(super) use store::set_problems;

use std::sync::Arc;

use drover_api::{ClusterKind, ContainerState, Health};
use drover_compose::{Diagnostic, Project, Severity};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    Observed, Orchestrator,
    lead::{self, Wakers, Work},
};
use crate::app::App;

/// The engine's state. Lives in [`crate::app::AppState`].
#[derive(Default)]
pub struct Cattle {
    wakers: Wakers,
}

/// The engine as an orchestrator.
pub(super) struct Engine<'a>(pub &'a App);

impl Orchestrator for Engine<'_> {
    fn wake(&self, _: Uuid, stack: Uuid) {
        self.0.cattle.wakers.wake(stack);
    }

    fn observe(&self, environment: Uuid, stack: Uuid) -> Observed {
        let mut observed = Observed::new();
        for entry in self.0.hosts.index().of_stack(environment, stack) {
            let Some(owner) = entry.owner.as_deref() else { continue };
            let service = observed.entry(owner.service.to_string()).or_default();
            service.all += 1;
            if entry.state == ContainerState::Running {
                service.running += 1;
                service.healthy += u32::from(matches!(entry.health, None | Some(Health::Healthy)));
            } else if entry.state == ContainerState::Exited && entry.exit_code == Some(0) {
                service.completed += 1;
            }
        }
        for service in observed.values_mut() {
            service.scale = Some(service.all.max(1));
        }
        observed
    }

    fn check(&self, project: &Project) -> Vec<Diagnostic> {
        let unsupported = |name: &str, line: u32, key: &str, message: &str| Diagnostic {
            severity: Severity::Unsupported,
            line,
            column: 1,
            path: format!("services.{name}.deploy.{key}"),
            code: "unsupported".into(),
            message: message.into(),
        };
        let mut found = Vec::new();
        for (name, service) in &project.services {
            if service.deploy.job {
                let message = "Jobs need a swarm. Here, use `restart: \"no\"`.";
                found.push(unsupported(name, service.line, "mode", message));
            }
            if !service.deploy.reservations.generic.is_empty() {
                let message = "Generic resources need a swarm. Here, use `devices`.";
                found.push(unsupported(name, service.line, "resources", message));
            }
        }
        found
    }

    fn has_own_secrets(&self) -> bool {
        false
    }
}

/// One worker a stack.
struct Stacks;

impl Work for Stacks {
    const LOCK: i64 = 0x6472_6f76_6572;

    fn wakers(app: &App) -> &Wakers {
        &app.cattle.wakers
    }

    async fn list(app: &App) -> sqlx::Result<Vec<Uuid>> {
        lead::stacks_of(app, ClusterKind::Cattle).await
    }

    async fn run(app: App, stack: Uuid, waker: Arc<Notify>) {
        worker::run(app, stack, waker).await;
    }
}

/// Starts the engine's tasks.
pub fn start(app: &App) {
    tokio::spawn(lead::lead::<Stacks>(app.clone()));
    tokio::spawn(lead::wake_on_containers(app.clone(), Stacks::wakers));
    tokio::spawn(lead::wake_on_events(app.clone(), Stacks::wakers));
}
