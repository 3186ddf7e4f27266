//! One task a stack: looks, plans, takes the steps, looks again. What it keeps in memory only
//! saves time; all that matters is in PostgreSQL and in the cluster.

mod ending;
mod looking;
mod writing;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use drover_api::{OperationError, Topic};
use drover_kubernetes::{
    client::{Failure, FailureKind},
    standing::Standing,
};
use indexmap::IndexMap;
use tokio::sync::Notify;
use uuid::Uuid;

use self::looking::Seen;
use super::{
    Engine,
    api::Api,
    place::Place,
    plan::{self, Plan, Situation},
};
use crate::{
    app::App,
    clusters::{
        Observed, Orchestrator,
        work::{self, Compiled, Failed, LONGEST_START, Next, operation_error, rolls_back},
    },
    error::Result,
    operations::{self, OpenOperation},
    stacks::{self, StackRow, Wanted},
};

/// What cannot run ends sooner than this, as a rule. Kubelets look at their containers once a
/// second: one that ends at once may be shown as ready for as long.
const STEADY: Duration = Duration::from_secs(2);
/// A trouble that has lasted for so long does not pass by itself.
const LASTING: Duration = Duration::from_secs(30);
/// How often to look while something is under way.
const BUSY: Duration = Duration::from_millis(700);
/// Without a change, look again after this long.
const LOOK: Duration = Duration::from_secs(20);
/// Between two looks, at least.
const PAUSE: Duration = Duration::from_millis(300);
/// How long the end of a rollout waits for the lists to show it.
const SHOWN: Duration = Duration::from_secs(5);
/// So often a refusal is taken for one that passes: roles and namespaces of a new environment are
/// made at the same time.
const PATIENT: u32 = 5;

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        let fields = failure.causes().iter().any(|cause| cause.reason == "FieldManagerConflict");
        let transient = match failure.kind() {
            FailureKind::Unauthorized | FailureKind::Certificate => true,
            FailureKind::Conflict | FailureKind::Expired => !fields,
            _ => failure.is_transient(),
        };
        let said = failure.message();
        let more = failure.causes().iter().filter(|cause| !said.contains(&cause.message)).take(5);
        let more: String =
            more.map(|cause| format!(" {}: {}", cause.field, cause.message)).collect();
        let message = format!("{said}{more}");
        Self { transient, error: operation_error(failure.kind().code(), &message) }
    }
}

/// What a worker remembers.
#[derive(Default)]
struct Memory {
    compiled: Compiled,
    /// The rollout under way, and since when this process follows it.
    rollout: Option<(Uuid, Instant)>,
    /// Since when each service has been as it should.
    ready_since: HashMap<String, Instant>,
    /// Since when each trouble has lasted.
    trouble_since: HashMap<String, Instant>,
    /// The rollout for which the names of the namespace were looked at.
    names_checked: Option<Uuid>,
    failures: u32,
    /// How the services were when that was last told.
    shown: Option<Observed>,
    /// When it last looked.
    looked: Option<Instant>,
}

/// Looks after a stack until it is gone.
pub(super) async fn run(app: App, stack: Uuid, waker: Arc<Notify>) {
    work::run(Worker { app, memory: Memory::default() }, stack, waker).await;
}

struct Worker {
    app: App,
    memory: Memory,
}

impl work::Worker for Worker {
    fn app(&self) -> &App {
        &self.app
    }

    async fn keep_running(&mut self, row: &StackRow) -> Result<Next> {
        self.run_on(row).await
    }

    async fn keep_stopped(&mut self, row: &StackRow) -> Result<Next> {
        self.stop(row).await
    }

    async fn remove(&mut self, row: &StackRow) -> Result<Next> {
        self.take_away(row).await
    }
}

impl Worker {
    async fn run_on(&mut self, row: &StackRow) -> Result<Next> {
        // Pods that come and go all the time wake it as often.
        if let Some(rest) = self.memory.looked.and_then(|at| PAUSE.checked_sub(at.elapsed())) {
            tokio::time::sleep(rest).await;
            // The row is read anew: what was asked for meanwhile is not to be judged by the old one.
            return Ok(Next::Again);
        }
        self.memory.looked = Some(Instant::now());
        let operation = operations::open_for(&self.app.db, row.id).await?;
        let wanted = match self.memory.compiled.get(&self.app, row).await {
            Ok(wanted) => wanted,
            Err(error) => {
                let error = operation_error(error.code(), error.detail());
                work::hopeless(&self.app, row, operation.as_ref(), error).await?;
                return Ok(Next::Wait(LOOK));
            }
        };
        match self.pass(row, &wanted, operation.as_ref()).await? {
            Ok(next) => Ok(next),
            Err((service, failed)) => {
                self.stumble(row, &wanted, operation.as_ref(), &service, failed).await
            }
        }
    }

    /// One pass. The inner error is of the service that it failed at, empty for the whole stack.
    async fn pass(
        &mut self,
        row: &StackRow,
        wanted: &Wanted,
        operation: Option<&OpenOperation>,
    ) -> Result<std::result::Result<Next, (String, Failed)>> {
        let whole = |failed: Failed| (String::new(), failed);
        let place = match Place::of(&self.app, row).await {
            Ok(place) => place,
            Err(failed) => return Ok(Err(whole(failed))),
        };
        if let Err(error) = place.live.connected() {
            // Whatever it says, it may be there again.
            let mut failed = Failed::from(error);
            failed.transient = true;
            return Ok(Err(whole(failed)));
        }
        let api = Api { cluster: &place.live.cluster, user: &place.user };
        let blocked = operation.is_none() && row.outcome.as_deref() != Some("succeeded");
        let seen = match self.look(&api, &place, row, wanted, operation, false).await {
            Ok(seen) => seen,
            Err(failed) => return Ok(Err(whole(failed))),
        };
        self.note(row).await;
        self.follow_rollout(operation, &seen);
        let plan = self.plan(wanted, &seen, operation, blocked);
        self.note_ready(&seen);
        let mut problems: IndexMap<String, String> = IndexMap::new();
        if blocked {
            problems.insert(String::new(), work::why_stopped(&self.app, row).await?);
        }
        for (service, why) in &plan.waiting {
            problems.entry(service.clone()).or_insert_with(|| why.clone());
        }
        if let (Some(open), Some(failure)) = (operation, &plan.failed) {
            return self.fail(row, wanted, open, &api, &seen, failure).await.map(Ok);
        }
        if let Some(open) = operation {
            self.tell_progress(open, &plan, &problems).await?;
        }
        if !plan.steps.is_empty() {
            let taken = self.take_steps(&api, row, wanted, &seen, &plan.steps, operation).await;
            if let Err(failed) = taken {
                return Ok(Err(failed));
            }
            self.memory.failures = 0;
            work::tell_problems(&self.app, row, &problems).await?;
            return Ok(Ok(Next::Wait(Duration::from_millis(100))));
        }
        self.memory.failures = 0;
        work::tell_problems(&self.app, row, &problems).await?;
        if let Some(open) = operation
            && plan.settled
            && problems.is_empty()
        {
            if self.is_shown(row, &seen) {
                stacks::rollout_succeeded(&self.app, row, open).await?;
                return Ok(Ok(Next::Again));
            }
            // So that what people read next is what they were waiting for.
            return Ok(Ok(Next::Wait(Duration::from_millis(150))));
        }
        Ok(Ok(Next::Wait(if operation.is_some() { BUSY } else { LOOK })))
    }

    fn plan(
        &self,
        wanted: &Wanted,
        seen: &Seen,
        operation: Option<&OpenOperation>,
        blocked: bool,
    ) -> Plan {
        let memory = &self.memory;
        let longer = |since: Option<&Instant>, limit| since.is_some_and(|at| at.elapsed() >= limit);
        plan::plan(&Situation {
            project: &wanted.project,
            wanted: &seen.wanted,
            there: &seen.there,
            applied: &seen.applied,
            standings: &seen.standings,
            rollout: operation.is_some(),
            blocked,
            steady: &|service| longer(memory.ready_since.get(service), STEADY),
            overdue: &|service| {
                let since = memory.rollout.as_ref().map(|(_, at)| at);
                longer(since, patience(wanted, service))
            },
            lasting: &|key| longer(memory.trouble_since.get(key), LASTING),
        })
    }

    /// Remembers since when a rollout is followed, and since when each trouble lasts.
    fn follow_rollout(&mut self, operation: Option<&OpenOperation>, seen: &Seen) {
        let memory = &mut self.memory;
        let Some(open) = operation else {
            memory.rollout = None;
            memory.trouble_since.clear();
            return;
        };
        if memory.rollout.as_ref().is_none_or(|(known, _)| *known != open.id) {
            memory.rollout = Some((open.id, Instant::now()));
            memory.ready_since.clear();
            memory.trouble_since.clear();
        }
        let troubles: Vec<&String> = seen
            .standings
            .values()
            .flat_map(|standing| &standing.troubles)
            .map(|trouble| &trouble.key)
            .collect();
        memory.trouble_since.retain(|key, _| troubles.contains(&key));
        for key in troubles {
            memory.trouble_since.entry(key.clone()).or_insert_with(Instant::now);
        }
    }

    fn note_ready(&mut self, seen: &Seen) {
        for (service, standing) in &seen.standings {
            if standing.settled {
                self.memory.ready_since.entry(service.clone()).or_insert_with(Instant::now);
            } else {
                self.memory.ready_since.remove(service);
            }
        }
    }

    async fn tell_progress(
        &self,
        open: &OpenOperation,
        plan: &Plan,
        problems: &IndexMap<String, String>,
    ) -> Result<()> {
        let fraction = f64::from(plan.done) / f64::from(plan.total.max(1));
        let mut words = format!("{} of {} pods are ready.", plan.done, plan.total);
        if let Some((service, why)) = problems.iter().next() {
            words.push(' ');
            if !service.is_empty() {
                words.push_str(&format!("{service}: "));
            }
            words.push_str(why);
        }
        operations::progress(&self.app, open.id, fraction * 0.99, &words).await
    }

    /// A call has failed.
    async fn stumble(
        &mut self,
        row: &StackRow,
        wanted: &Wanted,
        operation: Option<&OpenOperation>,
        service: &str,
        failed: Failed,
    ) -> Result<Next> {
        let passing = matches!(failed.error.code.as_str(), "forbidden_by_cluster" | "not_found")
            && self.memory.failures < PATIENT;
        if failed.transient || passing {
            if let Some(open) = operation {
                operations::progress(&self.app, open.id, 0.0, &failed.error.message).await?;
            }
        } else if let Some(open) = operation {
            let roll_back = rolls_back(wanted, service);
            let service = Some(service.to_owned()).filter(|service| !service.is_empty());
            let error = OperationError { service, ..failed.error };
            work::give_up(&self.app, row, open, error, roll_back).await?;
            self.memory.failures = 0;
            return Ok(Next::Again);
        } else {
            let problems = [(service.to_owned(), failed.error.message)].into();
            work::tell_problems(&self.app, row, &problems).await?;
        }
        self.memory.failures = (self.memory.failures + 1).min(6);
        Ok(Next::Wait(Duration::from_millis(250 << self.memory.failures)))
    }

    /// A rollout has failed by what its pods do.
    async fn fail(
        &mut self,
        row: &StackRow,
        wanted: &Wanted,
        open: &OpenOperation,
        api: &Api<'_>,
        seen: &Seen,
        failure: &plan::Failure,
    ) -> Result<Next> {
        let trouble = &failure.trouble;
        let mut message = trouble.message.clone();
        if let Some((pod, container)) = &trouble.said_by {
            let reading = api.last_line(&seen.namespace, pod, container);
            let line = tokio::time::timeout(Duration::from_secs(5), reading).await.ok().flatten();
            if let Some(line) = line {
                message.push_str(&format!(" It said: {line}"));
            }
        }
        let service = failure.service.clone();
        work::tell_problems(&self.app, row, &[(service.clone(), message.clone())].into()).await?;
        let roll_back = rolls_back(wanted, &service);
        let error =
            OperationError { service: Some(service), ..operation_error(trouble.code, &message) };
        work::give_up(&self.app, row, open, error, roll_back).await?;
        Ok(Next::Again)
    }

    /// Tells the lists how services are, when that is news.
    async fn note(&mut self, row: &StackRow) {
        let now = Engine(&self.app).observe(row.environment_id, row.id);
        if self.memory.shown.as_ref() != Some(&now) {
            self.memory.shown = Some(now);
            self.app.events.updated(Topic::Stack, Some(row.environment_id), row.id).await;
        }
    }

    /// Whether the lists show what this worker sees; if they do not in a while, they are not waited
    /// for.
    fn is_shown(&self, row: &StackRow, seen: &Seen) -> bool {
        let observed = Engine(&self.app).observe(row.environment_id, row.id);
        let shown = |name: &String, standing: &Standing| {
            observed
                .get(name)
                .is_some_and(|service| service.healthy + service.completed >= standing.done)
        };
        let late = STEADY + SHOWN;
        self.memory.ready_since.values().all(|since| since.elapsed() > late)
            || seen.standings.iter().all(|(name, standing)| shown(name, standing))
    }
}

/// How long a service may take to become ready.
fn patience(wanted: &Wanted, service: &str) -> Duration {
    let Some(service) = wanted.project.services.get(service) else { return LONGEST_START };
    let granted = match (&service.health, &service.healthcheck) {
        (Some(probe), _) => Duration::from_millis(probe.initializing_ms),
        (None, Some(check)) => work::time_to_health(check),
        (None, None) => Duration::ZERO,
    };
    let update = &service.deploy.update;
    let watched = Duration::from_millis(update.monitor_ms.max(update.delay_ms));
    let rounds = match update.parallelism {
        0 => 1,
        most => service.deploy.replicas.div_ceil(most).max(1),
    };
    // Deployments have a deadline of their own for standing still; this is for what has none, and
    // for pods that are not even made. It also has to let those before it become ready.
    let before = wanted.project.services.len() as u32;
    (LONGEST_START + granted + watched) * (rounds + before)
}
