//! Stacks on a Kubernetes cluster: one worker a stack renders its project into objects, applies
//! what differs, and watches how the cluster's own controllers go about it.
//!
//! | part | what |
//! | --- | --- |
//! | [`place`] | the namespace that a stack is in, and as whom its objects are applied |
//! | [`api`] | the calls of the cluster's API that this needs |
//! | [`plan`] | the next steps, from what is wanted and what is there. Pure |
//! | [`worker`] | looks, plans, takes the steps |
//! | [`observing`] | how services are, from the live index |
//! | [`store`] | the table `kubernetes_stacks` |
//!
//! How a project becomes objects, and how a workload stands, is in the crate
//! (`drover_kubernetes::{render, standing}`).

mod api;
mod observing;
mod place;
mod plan;
mod store;
mod worker;

use std::sync::Arc;

use drover_api::ClusterKind;
use drover_compose::{Diagnostic, Project, Takeover};
use drover_kubernetes::render;
use tokio::sync::Notify;
use uuid::Uuid;

pub(super) use observing::follow;

use self::observing::Counts;
use crate::{
    app::App,
    clusters::{
        Observed, Orchestrator,
        lead::{self, Wakers, Work},
    },
};

/// The engine's state. Lives in [`super::Kubernetes`].
#[derive(Default)]
pub(super) struct Stacks {
    wakers: Wakers,
    counts: Counts,
}

/// A cluster as an orchestrator of stacks.
pub(in crate::clusters) struct Engine<'a>(pub &'a App);

impl Orchestrator for Engine<'_> {
    fn wake(&self, _: Uuid, stack: Uuid) {
        self.0.kubernetes.stacks.wakers.wake(stack);
    }

    fn observe(&self, environment: Uuid, stack: Uuid) -> Observed {
        let kubernetes = &self.0.kubernetes;
        let found = kubernetes.of_environment(environment);
        found.map(|(live, _)| kubernetes.stacks.counts.of(&live, stack)).unwrap_or_default()
    }

    fn check(&self, project: &Project) -> Vec<Diagnostic> {
        render::check::check(project)
    }

    fn takeovers(&self, project: &Project) -> Vec<Takeover> {
        render::takeover::takeovers(project)
    }

    fn has_own_secrets(&self) -> bool {
        true
    }
}

/// One worker a stack.
struct Engines;

impl Work for Engines {
    const LOCK: i64 = 0x6b38_7374_6163;

    type Task = Uuid;

    fn id(task: Uuid) -> Uuid {
        task
    }

    fn wakers(app: &App) -> &Wakers {
        &app.kubernetes.stacks.wakers
    }

    async fn list(app: &App) -> sqlx::Result<Vec<Uuid>> {
        lead::stacks_of(app, ClusterKind::Kubernetes).await
    }

    async fn run(app: App, stack: Uuid, waker: Arc<Notify>) {
        worker::run(app, stack, waker).await;
    }
}

/// Starts the engine's tasks.
pub(super) fn start(app: &App) {
    tokio::spawn(lead::lead::<Engines>(app.clone()));
    tokio::spawn(lead::wake_on_events(app.clone(), Engines::wakers));
}
