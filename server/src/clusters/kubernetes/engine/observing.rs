//! How the services of stacks are, from the live index: on every replica, whether its workers look
//! after them or not.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use drover_kubernetes::{
    facts::Facts,
    index::{Changes, Row, Scope},
    render::names,
};
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use super::super::Live;
use crate::{app::App, clusters::Observed};

/// The types whose changes a stack's worker wants to hear of.
const WATCHED: [&str; 5] =
    ["pods", "deployments.apps", "statefulsets.apps", "daemonsets.apps", "jobs.batch"];

/// All stacks of a cluster, counted once for each state of its lists.
type Counted = HashMap<Uuid, (u64, Arc<HashMap<Uuid, Observed>>)>;

/// What was counted last, by cluster.
#[derive(Default)]
pub(super) struct Counts(Mutex<Counted>);

impl Counts {
    /// How the services of a stack are.
    pub fn of(&self, live: &Live, stack: Uuid) -> Observed {
        let Some(pods) = live.index.opened("pods") else { return Observed::new() };
        let agents = live.index.opened("daemonsets.apps");
        let revision =
            pods.freshness().revision + agents.as_ref().map_or(0, |l| l.freshness().revision);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&live.id).cloned();
        let all = match known {
            Some((known, all)) if known == revision => all,
            _ => {
                let own = |row: &Row| row.label(names::STACK).is_some();
                let pods = pods.select(&Scope::all(), own);
                let agents = agents.map(|list| list.select(&Scope::all(), own));
                let all = Arc::new(count(&pods, &agents.unwrap_or_default()));
                let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                kept.insert(live.id, (revision, all.clone()));
                all
            }
        };
        all.get(&stack).cloned().unwrap_or_default()
    }
}

fn stack_of(row: &Row) -> Option<Uuid> {
    row.label(names::STACK)?.parse().ok()
}

fn count(pods: &[Arc<Row>], agents: &[Arc<Row>]) -> HashMap<Uuid, Observed> {
    let mut all: HashMap<Uuid, Observed> = HashMap::new();
    for row in pods {
        let (Some(stack), Some(service), None) =
            (stack_of(row), row.label(names::SERVICE), row.deleting)
        else {
            continue;
        };
        let Facts::Pod(pod) = &row.facts else { continue };
        let services = all.entry(stack).or_default();
        let sidekicks = row.labels.iter().filter_map(|label| names::sidekick_of(&label.0));
        for name in std::iter::once(service).chain(sidekicks) {
            let counted = services.entry(name.to_owned()).or_default();
            match &*pod.phase {
                "Succeeded" => {
                    counted.all += 1;
                    counted.completed += 1;
                }
                // Controllers keep pods that have failed only to be looked at.
                "Failed" => {}
                phase => {
                    counted.all += 1;
                    counted.running += u32::from(phase == "Running");
                    counted.healthy += u32::from(pod.is_ready);
                }
            }
        }
    }
    for row in agents {
        let (Some(stack), Some(service)) = (stack_of(row), row.label(names::SERVICE)) else {
            continue;
        };
        let Facts::Workload(workload) = &row.facts else { continue };
        let services = all.entry(stack).or_default();
        services.entry(service.to_owned()).or_default().scale = Some(workload.desired);
    }
    all
}

/// Wakes the workers of the stacks whose pods and workloads change in a cluster.
pub(in super::super) async fn follow(app: &App, live: &Live) {
    let wakers = &app.kubernetes.stacks.wakers;
    let mut changes = live.index.changes();
    loop {
        match changes.recv().await {
            Ok(changed) if WATCHED.contains(&&*changed.resource.name) => {
                match stacks_in(live, &changed) {
                    Some(stacks) => {
                        stacks.into_iter().for_each(|stack| wakers.of(stack).notify_one());
                    }
                    None => wakers.wake_all(),
                }
            }
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => wakers.wake_all(),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// The stacks that changed objects belong to; none where more has changed than is told.
fn stacks_in(live: &Live, changes: &Changes) -> Option<HashSet<Uuid>> {
    let rows = changes.rows.as_ref()?;
    let list = live.index.opened(&changes.resource.name)?;
    let scope = Scope::all();
    let of = |change: &drover_kubernetes::index::Change| {
        stack_of(&*list.get(&scope, &change.namespace, &change.name)?)
    };
    Some(rows.iter().filter_map(of).collect())
}
