//! Drover's own engine, over the Docker hosts of an environment.
//!
//! One [`worker`] a stack compares what is wanted (revision, instances) with what is there (the
//! index), and takes the next steps that the pure [`plan`] names. [`place`] chooses hosts, [`away`]
//! says which of them count as gone, [`container`] how a service becomes a container, [`network`]
//! joins the hosts, [`health`] asks containers how they are. An advisory lock in PostgreSQL lets
//! one replica of the server do it.

mod away;
mod container;
mod health;
mod network;
mod place;
mod plan;
mod store;
mod worker;

pub use network::let_go;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use drover_api::{ClusterKind, ContainerState, Health};
use drover_compose::{Diagnostic, Project, Severity};
use time::OffsetDateTime;
use tokio::sync::Notify;
use uuid::Uuid;

use self::{away::Reachable, network::Reach};
use super::{
    Observed, Orchestrator,
    lead::{self, Wakers, Work},
};
use crate::{app::App, hosts::index::Entry};

/// For so long after the last contact what was there is taken to be there still.
const BELIEVED: time::Duration = time::Duration::seconds(30);

/// The engine's state. Lives in [`crate::app::AppState`].
#[derive(Default)]
pub struct Cattle {
    /// Of stacks, and of what looks after the networks of environments.
    wakers: Wakers,
    /// How far the network of each environment reaches.
    reaches: Mutex<HashMap<Uuid, Arc<Reach>>>,
    /// In each environment one stack at a time is placed, and on each host one makes the network
    /// for all.
    turns: Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>>,
    reachable: Mutex<Reachable>,
}

impl Cattle {
    /// How far the network of an environment reaches.
    fn reach(&self, environment: Uuid) -> Arc<Reach> {
        let reaches = self.reaches.lock().unwrap_or_else(PoisonError::into_inner);
        reaches.get(&environment).cloned().unwrap_or_default()
    }

    /// It reaches further, or not so far any more: every stack may care.
    fn set_reach(&self, environment: Uuid, reach: Reach) {
        let mut reaches = self.reaches.lock().unwrap_or_else(PoisonError::into_inner);
        let before = reaches.insert(environment, Arc::new(reach.clone()));
        drop(reaches);
        if *before.unwrap_or_default() != reach {
            self.wakers.wake_all();
        }
    }

    /// Hold it while a stack of this environment is placed, or while the network for all is made
    /// on this host.
    fn turn(&self, id: Uuid) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(id).or_default().clone()
    }

    /// For how long an environment has had a connected host without a break.
    fn reachable_for(&self, environment: Uuid) -> Option<Duration> {
        let reachable = self.reachable.lock().unwrap_or_else(PoisonError::into_inner);
        reachable.get(&environment).map(Instant::elapsed)
    }

    /// These environments have a connected host now, and no others.
    fn note_reachable(&self, environments: &HashSet<Uuid>) {
        let mut reachable = self.reachable.lock().unwrap_or_else(PoisonError::into_inner);
        reachable.retain(|environment, _| environments.contains(environment));
        for environment in environments {
            reachable.entry(*environment).or_insert_with(Instant::now);
        }
    }
}

/// The engine as an orchestrator.
pub(super) struct Engine<'a>(pub &'a App);

impl Engine<'_> {
    /// Of what nothing was heard for a while, nobody can say that it runs.
    fn is_believed(&self, environment: Uuid, entry: &Entry) -> bool {
        self.0.hosts.live(environment, entry.host.id).is_none_or(|host| {
            let heard = host.last_contact_at().unwrap_or(OffsetDateTime::UNIX_EPOCH);
            host.docker().is_ok() || OffsetDateTime::now_utc() - heard < BELIEVED
        })
    }
}

impl Orchestrator for Engine<'_> {
    fn wake(&self, _: Uuid, stack: Uuid) {
        self.0.cattle.wakers.wake(stack);
    }

    fn observe(&self, environment: Uuid, stack: Uuid) -> Observed {
        let mut observed = Observed::new();
        // While an instance moves, or after its host was away, there are two of it.
        let (mut running, mut healthy) = (HashSet::new(), HashSet::new());
        for entry in self.0.hosts.index().of_stack(environment, stack) {
            let Some(owner) = entry.owner.as_deref() else { continue };
            if !self.is_believed(environment, &entry) {
                continue;
            }
            let service = observed.entry(owner.service.to_string()).or_default();
            service.all += 1;
            if entry.state == ContainerState::Running {
                let first = |known: &mut HashSet<Uuid>| {
                    u32::from(owner.instance.is_none_or(|instance| known.insert(instance)))
                };
                service.running += first(&mut running);
                if matches!(entry.health, None | Some(Health::Healthy)) {
                    service.healthy += first(&mut healthy);
                }
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
        let mut found = super::only_in_kubernetes(project);
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

/// What one replica does for all: one worker a stack, and one keeper of each environment's network.
struct Engines;

/// What one task looks after.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Care {
    /// A stack.
    Stack(Uuid),
    /// The network across the hosts of an environment.
    Network(Uuid),
}

impl Work for Engines {
    const LOCK: i64 = 0x6472_6f76_6572;

    type Task = Care;

    fn id(care: Care) -> Uuid {
        match care {
            Care::Stack(id) | Care::Network(id) => id,
        }
    }

    fn wakers(app: &App) -> &Wakers {
        &app.cattle.wakers
    }

    async fn begin(app: &App) -> sqlx::Result<()> {
        for row in store::networks(&app.db).await? {
            app.cattle.set_reach(row.id, network::reach_before(&row));
        }
        Ok(())
    }

    async fn list(app: &App) -> sqlx::Result<Vec<Care>> {
        let stacks = lead::stacks_of(app, ClusterKind::Cattle).await?.into_iter().map(Care::Stack);
        let networks = store::networks(&app.db).await?.into_iter().map(|row| Care::Network(row.id));
        Ok(stacks.chain(networks).collect())
    }

    async fn run(app: App, care: Care, waker: Arc<Notify>) {
        match care {
            Care::Stack(stack) => worker::run(app, stack, waker).await,
            Care::Network(environment) => network::run(app, environment, waker).await,
        }
    }
}

/// Starts the engine's tasks.
pub fn start(app: &App) {
    tokio::spawn(lead::lead::<Engines>(app.clone()));
    tokio::spawn(away::watch(app.clone()));
    tokio::spawn(health::follow(app.clone()));
    tokio::spawn(lead::wake_on_containers(app.clone(), Engines::wakers));
    tokio::spawn(lead::wake_on_events(app.clone(), Engines::wakers));
}
