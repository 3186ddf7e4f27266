//! Health checks that the server makes, of containers whose text asks for them.
//!
//! | part | what |
//! | --- | --- |
//! | [`verdict`] | from the results of checks to healthy or not. Pure |
//! | [`check`] | one check, over HTTP or TCP, through the container's host |
//!
//! The worker of a stack keeps a [`Probe`] for each running container, so that checks end with the
//! engine's lock. What a probe finds is written to the instance's row: another server goes on from
//! there, and [`follow`] takes it into this replica's index, where it is shown like the engine's
//! own.

mod check;
mod verdict;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use drover_api::{Change, Health, Topic};
use drover_compose::HealthProbe;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, broadcast::error::RecvError, watch};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use self::verdict::Judge;
use super::store;
use crate::{app::App, hosts::connection};

/// What is kept of a container's health in its instance's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The engine's id of the container that it is about.
    pub container: String,
    /// What the server's checks say; none when the engine's own count.
    #[serde(default)]
    pub health: Option<Health>,
    /// The last failure, in words.
    #[serde(default)]
    pub why: Option<String>,
    /// It is out of DNS.
    #[serde(default)]
    pub hidden: bool,
}

/// What is found of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub health: Health,
    pub why: Option<String>,
}

/// What a probe looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub environment: Uuid,
    pub stack: Uuid,
    pub host: Uuid,
    pub instance: Uuid,
    pub container: String,
    pub probe: HealthProbe,
}

/// Checks a container again and again, until it is dropped.
pub(super) struct Probe {
    pub subject: Subject,
    found: watch::Receiver<Finding>,
    _task: AbortOnDropHandle<()>,
}

impl Probe {
    /// `before` is what was found by another process, or before a pause.
    pub fn start(app: &App, subject: Subject, before: Option<Finding>, waker: Arc<Notify>) -> Self {
        let first = before.unwrap_or(Finding { health: Health::Starting, why: None });
        let (tell, found) = watch::channel(first.clone());
        let task = tokio::spawn(run(app.clone(), subject.clone(), first, tell, waker));
        Self { subject, found, _task: AbortOnDropHandle::new(task) }
    }

    pub fn found(&self) -> Finding {
        self.found.borrow().clone()
    }
}

async fn run(
    app: App,
    subject: Subject,
    first: Finding,
    tell: watch::Sender<Finding>,
    waker: Arc<Notify>,
) {
    let mut judge = Judge::new(&subject.probe, first.health);
    let mut told: Option<Finding> = None;
    let mut address = check::Address::default();
    let started = tokio::time::Instant::now();
    let mut timer = tokio::time::interval(Duration::from_millis(subject.probe.interval_ms.max(1)));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let result = check::check(&app, &subject, &mut address).await;
        let why = match result {
            // The host is away, which says nothing of the container.
            Err(check::Failure::Unknown) => continue,
            Err(check::Failure::Failed(why)) => Some(why),
            Ok(()) => None,
        };
        let health = judge.take(why.is_none(), started.elapsed());
        let why = why.filter(|_| health != Health::Healthy);
        let finding = Finding { health, why };
        if told.as_ref().is_some_and(|told| told.health == finding.health) {
            tell.send_replace(finding);
            continue;
        }
        match store::set_health(&app.db, &subject, &finding).await {
            Ok(()) => {
                if told.is_some() || finding.health != first.health {
                    tracing::info!(
                        container = %subject.container, health = ?finding.health, why = finding.why,
                        "the health of a container has changed"
                    );
                }
                told = Some(finding.clone());
                tell.send_replace(finding);
                app.events.updated(Topic::Stack, Some(subject.environment), subject.stack).await;
                waker.notify_one();
            }
            Err(error) => tracing::warn!(%error, "cannot write what a health check has found"),
        }
    }
}

/// Takes what was found into this replica's index: at the start, and whenever a stack changes.
pub(super) async fn follow(app: App) {
    let mut events = app.events.subscribe();
    let mut shown: HashMap<Uuid, HashSet<(Uuid, Uuid, String)>> = HashMap::new();
    read_in(&app, &mut shown, None).await;
    loop {
        match events.recv().await {
            Ok(event) if event.event.topic == Topic::Stack => {
                let stack: Option<Uuid> = event.event.id.parse().ok();
                if let (Some(stack), Change::Removed) = (stack, event.event.change) {
                    for (environment, host, container) in shown.remove(&stack).unwrap_or_default() {
                        show(&app, environment, host, &container, None);
                    }
                    continue;
                }
                read_in(&app, &mut shown, stack).await;
            }
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => read_in(&app, &mut shown, None).await,
            Err(RecvError::Closed) => return,
        }
    }
}

/// Reads what is kept of one stack, or of all.
async fn read_in(
    app: &App,
    shown: &mut HashMap<Uuid, HashSet<(Uuid, Uuid, String)>>,
    stack: Option<Uuid>,
) {
    let rows = match store::healths(&app.db, stack).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::debug!(%error, "cannot read the health of containers");
            return;
        }
    };
    let mut now: HashMap<Uuid, HashSet<(Uuid, Uuid, String)>> = HashMap::new();
    for row in rows {
        let Some(health) = row.kept.health else { continue };
        show(app, row.environment, row.host, &row.kept.container, Some(health));
        let key = (row.environment, row.host, row.kept.container);
        now.entry(row.stack).or_default().insert(key);
    }
    let stacks: Vec<Uuid> = match stack {
        Some(stack) => vec![stack],
        None => shown.keys().copied().collect(),
    };
    for stack in stacks {
        let current = now.get(&stack);
        for key in shown.remove(&stack).unwrap_or_default() {
            if current.is_none_or(|current| !current.contains(&key)) {
                show(app, key.0, key.1, &key.2, None);
            }
        }
    }
    shown.extend(now);
}

fn show(app: &App, environment: Uuid, host: Uuid, container: &str, health: Option<Health>) {
    match app.hosts.live(environment, host) {
        Some(host) => connection::show_health(app, &host, container, health),
        // Not known here yet; the index has it when the host is.
        None => {
            app.hosts.index().set_checked(environment, host, container, health);
        }
    }
}
