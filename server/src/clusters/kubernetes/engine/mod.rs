//! Stacks on a Kubernetes cluster: one worker a stack renders its project into objects, applies
//! what differs, and watches how the cluster's own controllers go about it.
//!
//! | part | what |
//! | --- | --- |
//! | [`place`] | the namespace that a stack is in, and as whom its objects are applied |
//! | [`api`] | the calls of the cluster's API that this needs |
//! | [`plan`] | the next steps, from what is wanted and what is there. Pure |
//! | [`worker`] | looks, plans, takes the steps |
//! | [`store`] | the table `kubernetes_stacks` |
//!
//! How a project becomes objects, and how a workload stands, is in the crate
//! (`drover_kubernetes::{render, standing}`).

mod api;
mod place;
mod plan;
mod store;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use drover_api::ClusterKind;
use drover_compose::{Diagnostic, Project, Takeover};
use drover_kubernetes::{discovery::Discovery, render};
use tokio::sync::Notify;
use uuid::Uuid;

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
    /// How the services of each stack were when last looked at.
    seen: Mutex<HashMap<Uuid, Arc<Observed>>>,
    /// What each cluster has, and when it was asked.
    discovered: Mutex<HashMap<Uuid, (Instant, Arc<Discovery>)>>,
}

impl Stacks {
    fn observed(&self, stack: Uuid) -> Option<Arc<Observed>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&stack).cloned()
    }

    /// True when that is news.
    fn note(&self, stack: Uuid, observed: Observed) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.insert(stack, Arc::new(observed.clone()));
        before.is_none_or(|before| *before != observed)
    }

    fn discovered(&self, cluster: Uuid) -> Option<(Instant, Arc<Discovery>)> {
        self.discovered.lock().unwrap_or_else(PoisonError::into_inner).get(&cluster).cloned()
    }

    fn set_discovered(&self, cluster: Uuid, at: Instant, found: Arc<Discovery>) {
        let mut all = self.discovered.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(cluster, (at, found));
    }

    fn forget(&self, stack: Uuid) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&stack);
    }
}

/// A cluster as an orchestrator of stacks.
pub(in crate::clusters) struct Engine<'a>(pub &'a App);

impl Orchestrator for Engine<'_> {
    fn wake(&self, _: Uuid, stack: Uuid) {
        self.0.kubernetes.stacks.wakers.wake(stack);
    }

    fn observe(&self, _: Uuid, stack: Uuid) -> Observed {
        let seen = self.0.kubernetes.stacks.observed(stack);
        seen.map(|seen| Observed::clone(&seen)).unwrap_or_default()
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
