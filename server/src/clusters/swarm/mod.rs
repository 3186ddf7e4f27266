//! Docker Swarm, over the environment's hosts.
//!
//! | part | what |
//! | --- | --- |
//! | [`spec`] | how a project becomes services, networks, secrets and configs of a swarm |
//! | [`check`] | what of a project a swarm does not take |
//! | [`plan`], [`worker`] | one worker a stack compares what is wanted with what is in the swarm, and takes the next steps |
//! | [`watch`], [`view`], [`live`] | the swarm as it is, in memory; all lists come from it |
//! | [`standing`] | how a swarm stands, in words |
//! | [`membership`] | makes swarms, and has hosts join and leave them |
//! | [`keys`], [`store`] | what lets machines in; the table `swarms` |
//! | [`routes`] | HTTP |
//!
//! What should run is in PostgreSQL, as for every engine. What a swarm is (its nodes and their
//! roles, services that others made) its managers know, and nobody else.

mod check;
mod keys;
mod live;
mod membership;
mod plan;
mod routes;
mod spec;
mod standing;
mod store;
mod takeover;
mod view;
mod watch;
mod worker;

use std::sync::Arc;

use drover_api::ClusterKind;
use drover_compose::{Diagnostic, Project};
use tokio::sync::Notify;
use uuid::Uuid;

pub use live::Swarms;
pub use routes::router;

use super::{
    Observed, Orchestrator,
    lead::{self, Wakers, Work},
};
use crate::app::App;

/// A swarm as an orchestrator.
pub(super) struct Engine<'a>(pub &'a App);

impl Orchestrator for Engine<'_> {
    fn wake(&self, _: Uuid, stack: Uuid) {
        self.0.swarms.stacks.wake(stack);
    }

    fn observe(&self, environment: Uuid, stack: Uuid) -> Observed {
        self.0.swarms.live(environment).view().observe(stack)
    }

    fn check(&self, project: &Project) -> Vec<Diagnostic> {
        let mut found = super::only_in_kubernetes(project);
        found.extend(check::check(project));
        found
    }

    fn has_own_secrets(&self) -> bool {
        true
    }
}

/// One worker a stack.
struct Stacks;

impl Work for Stacks {
    const LOCK: i64 = 0x7377_6172_6d73;

    type Task = Uuid;

    fn id(task: Uuid) -> Uuid {
        task
    }

    fn wakers(app: &App) -> &Wakers {
        &app.swarms.stacks
    }

    async fn list(app: &App) -> sqlx::Result<Vec<Uuid>> {
        lead::stacks_of(app, ClusterKind::Swarm).await
    }

    async fn run(app: App, stack: Uuid, waker: Arc<Notify>) {
        worker::run(app, stack, waker).await;
    }
}

/// One worker a swarm: makes it, and changes who is in it.
struct Clusters;

impl Work for Clusters {
    const LOCK: i64 = 0x7377_6172_6d63;

    type Task = Uuid;

    fn id(task: Uuid) -> Uuid {
        task
    }

    fn wakers(app: &App) -> &Wakers {
        &app.swarms.clusters
    }

    async fn list(app: &App) -> sqlx::Result<Vec<Uuid>> {
        store::environments(&app.db).await
    }

    async fn run(app: App, environment: Uuid, waker: Arc<Notify>) {
        membership::run(app, environment, waker).await;
    }
}

/// Starts the engine's tasks.
pub fn start(app: &App) {
    tokio::spawn(watch::supervise(app.clone()));
    tokio::spawn(lead::lead::<Stacks>(app.clone()));
    tokio::spawn(lead::lead::<Clusters>(app.clone()));
    tokio::spawn(lead::wake_on_events(app.clone(), Stacks::wakers));
}
