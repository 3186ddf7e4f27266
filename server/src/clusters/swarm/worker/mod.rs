//! One task a stack: looks, plans, takes the steps, looks again. What it keeps in memory only
//! saves time; all that matters is in PostgreSQL and in the swarm.

mod ending;
mod looking;
mod writing;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use drover_api::{OperationError, SwarmState};
use indexmap::IndexMap;
use tokio::sync::Notify;
use uuid::Uuid;

use self::looking::Seen;
use super::{
    live::Live,
    plan::{self, Failure, Plan, Situation},
};
use crate::{
    app::App,
    clusters::work::{self, Compiled, Failed, LONGEST_START, Next, operation_error, rolls_back},
    error::Result,
    hosts::{
        driver::{Docker, DockerError, stream::LogOptions},
        logs::Lines,
    },
    operations::{self, OpenOperation},
    stacks::{self, StackRow, Wanted},
};

/// What cannot run ends sooner than this, as a rule.
const STEADY: Duration = Duration::from_millis(800);
/// A task that has found no node for so long is not waiting for one that is just starting.
const HOMELESS: Duration = Duration::from_secs(15);
/// How long the end of a rollout waits for the lists to show it.
const SHOWN: Duration = Duration::from_secs(5);
/// How often to look while something is under way.
const BUSY: Duration = Duration::from_millis(700);
/// Without a change, look again after this long.
const LOOK: Duration = Duration::from_secs(30);

impl From<DockerError> for Failed {
    fn from(error: DockerError) -> Self {
        Self {
            transient: error.is_transient() || error.is_out_of_sequence(),
            error: operation_error(error.code(), error.message()),
        }
    }
}

impl From<crate::error::Error> for Failed {
    fn from(error: crate::error::Error) -> Self {
        Self {
            transient: error.status().is_server_error(),
            error: operation_error(error.code(), error.detail()),
        }
    }
}

/// What a worker remembers.
#[derive(Default)]
struct Memory {
    compiled: Compiled,
    /// The rollout under way: since when this process follows it, and the tasks that had failed
    /// before.
    rollout: Option<(Uuid, Instant, HashSet<String>)>,
    /// Since when each service has been as it should.
    ready_since: HashMap<String, Instant>,
    /// Since when each task has had no node.
    pending_since: HashMap<String, Instant>,
    /// Images with their digests, as they were looked up for an operation.
    digests: HashMap<(Uuid, String), String>,
    /// Something that is no longer wanted may still be in use.
    prune: bool,
    failures: u32,
}

/// Looks after a stack until it is gone.
pub(super) async fn run(app: App, stack: Uuid, waker: Arc<Notify>) {
    work::run(Worker { app, memory: Memory { prune: true, ..Memory::default() } }, stack, waker)
        .await;
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
    fn live(&self, row: &StackRow) -> Arc<Live> {
        self.app.swarms.live(row.environment_id)
    }

    async fn run_on(&mut self, row: &StackRow) -> Result<Next> {
        let operation = operations::open_for(&self.app.db, row.id).await?;
        let wanted = match self.memory.compiled.get(&self.app, row).await {
            Ok(wanted) => wanted,
            Err(error) => {
                let error = operation_error(error.code(), error.detail());
                work::hopeless(&self.app, row, operation.as_ref(), error).await?;
                return Ok(Next::Wait(LOOK));
            }
        };
        let live = self.live(row);
        let docker = match live.docker() {
            Ok(docker) => docker,
            Err(error) => {
                let error = operation_error(error.code(), error.detail());
                let state = live.standing().state;
                if matches!(state, SwarmState::None | SwarmState::Found) {
                    work::hopeless(&self.app, row, operation.as_ref(), error).await?;
                    return Ok(Next::Wait(LOOK));
                }
                if let Some(open) = &operation {
                    operations::progress(&self.app, open.id, 0.0, &error.message).await?;
                }
                return Ok(Next::Wait(Duration::from_secs(2)));
            }
        };
        let blocked = operation.is_none() && row.outcome.as_deref() != Some("succeeded");
        let seen = match self.look(&docker, row, &wanted, !blocked).await {
            Ok(seen) => seen,
            Err(failed) => return self.stumble(row, &wanted, operation.as_ref(), "", failed).await,
        };
        self.follow_rollout(operation.as_ref(), &seen);
        let plan = self.plan(&wanted, &seen, operation.as_ref(), blocked);
        self.note_ready(&seen);
        let mut problems: IndexMap<String, String> = IndexMap::new();
        if blocked {
            problems.insert(String::new(), work::why_stopped(&self.app, row).await?);
        }
        for (service, why) in &plan.waiting {
            problems.entry(service.clone()).or_insert_with(|| why.clone());
        }
        if let (Some(open), Some(failure)) = (&operation, &plan.failed) {
            return self.fail(row, &wanted, open, &docker, failure).await;
        }
        if let Some(open) = &operation {
            self.tell_progress(open, &plan, &problems).await?;
        }
        if !plan.steps.is_empty() {
            let written = self
                .take_steps(&docker, row, &wanted, &seen, &plan.steps, operation.as_ref())
                .await;
            return match written {
                Ok(()) => {
                    self.memory.failures = 0;
                    self.memory.prune = true;
                    live.poke.notify_one();
                    work::tell_problems(&self.app, row, &problems).await?;
                    Ok(Next::Again)
                }
                Err((service, failed)) => {
                    self.stumble(row, &wanted, operation.as_ref(), &service, failed).await
                }
            };
        }
        work::tell_problems(&self.app, row, &problems).await?;
        if plan.settled && self.memory.prune {
            self.memory.prune = !self.prune(&docker, row, &wanted).await;
        }
        if let Some(open) = &operation
            && plan.settled
            && problems.is_empty()
        {
            if self.is_shown(&live, row, &seen) {
                stacks::rollout_succeeded(&self.app, row, open).await?;
                return Ok(Next::Again);
            }
            // So that what people read next is what they were waiting for.
            live.poke.notify_one();
            return Ok(Next::Wait(Duration::from_millis(150)));
        }
        Ok(Next::Wait(if operation.is_some() { BUSY } else { LOOK }))
    }

    fn plan(
        &self,
        wanted: &Wanted,
        seen: &Seen,
        operation: Option<&OpenOperation>,
        blocked: bool,
    ) -> Plan {
        let memory = &self.memory;
        let none = HashSet::new();
        let old_failures = memory.rollout.as_ref().map_or(&none, |(_, _, failed)| failed);
        let longer = |since: Option<&Instant>, limit| since.is_some_and(|at| at.elapsed() >= limit);
        plan::plan(&Situation {
            project: &wanted.project,
            wanted: &seen.wanted,
            live: &seen.live,
            operation: operation.map(|open| open.id),
            blocked,
            old_failures,
            steady: &|service| longer(memory.ready_since.get(service), STEADY),
            overdue: &|service| {
                let granted = wanted
                    .project
                    .services
                    .get(service)
                    .and_then(|service| service.healthcheck.as_ref())
                    .map_or(Duration::ZERO, work::time_to_health);
                let since = memory.rollout.as_ref().map(|(_, at, _)| at);
                longer(since, (LONGEST_START + granted) * rounds(wanted, service))
            },
            homeless: &|task| longer(memory.pending_since.get(task), HOMELESS),
        })
    }

    /// Remembers since when a rollout is followed, and what had failed before it.
    fn follow_rollout(&mut self, operation: Option<&OpenOperation>, seen: &Seen) {
        let memory = &mut self.memory;
        let Some(open) = operation else {
            memory.rollout = None;
            memory.digests.clear();
            return;
        };
        if memory.rollout.as_ref().is_none_or(|(known, _, _)| *known != open.id) {
            let failed = seen
                .live
                .iter()
                .flat_map(|service| &service.tasks)
                .filter(|task| matches!(task.state, "failed" | "rejected"))
                .map(|task| task.id.clone())
                .collect();
            memory.rollout = Some((open.id, Instant::now(), failed));
            memory.ready_since.clear();
        }
        let pending: HashSet<&String> = seen
            .live
            .iter()
            .flat_map(|service| &service.tasks)
            .filter(|task| task.state == "pending")
            .map(|task| &task.id)
            .collect();
        memory.pending_since.retain(|id, _| pending.contains(id));
        for id in pending {
            memory.pending_since.entry(id.clone()).or_insert_with(Instant::now);
        }
    }

    /// Whether the lists show what this worker sees; if they do not in a while, they are not waited
    /// for.
    fn is_shown(&self, live: &Live, row: &StackRow, seen: &Seen) -> bool {
        let observed = live.view().observe(row.id);
        let shown = |name: &str, done: u32| {
            observed.get(name).is_some_and(|service| service.running + service.completed >= done)
        };
        let long_ready =
            self.memory.ready_since.values().all(|since| since.elapsed() > STEADY + SHOWN);
        long_ready
            || seen.wanted.iter().all(|wanted| {
                let found = seen.live.iter().find(|live| live.name == wanted.name);
                found.is_none_or(|live| shown(&wanted.name, live.standing(wanted).0))
            })
    }

    fn note_ready(&mut self, seen: &Seen) {
        for wanted in &seen.wanted {
            let live = seen.live.iter().find(|live| live.name == wanted.name);
            let ready = live.is_some_and(|live| {
                let (done, expected) = live.standing(wanted);
                live.digest == wanted.digest && done >= expected
            });
            if ready {
                self.memory.ready_since.entry(wanted.name.clone()).or_insert_with(Instant::now);
            } else {
                self.memory.ready_since.remove(&wanted.name);
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
        let mut words = format!("{} of {} tasks are ready.", plan.done, plan.total);
        if let Some((service, why)) = problems.iter().next() {
            words.push_str(&format!(" {service}: {why}"));
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
        if let Some(open) = operation {
            if !failed.transient {
                let roll_back = rolls_back(wanted, service);
                let service = Some(service.to_owned()).filter(|service| !service.is_empty());
                let error = OperationError { service, ..failed.error };
                work::give_up(&self.app, row, open, error, roll_back).await?;
                return Ok(Next::Again);
            }
            operations::progress(&self.app, open.id, 0.0, &failed.error.message).await?;
        } else if !failed.transient {
            let problems = [(service.to_owned(), failed.error.message)].into();
            work::tell_problems(&self.app, row, &problems).await?;
        }
        self.memory.failures = (self.memory.failures + 1).min(6);
        Ok(Next::Wait(Duration::from_millis(250 << self.memory.failures)))
    }

    /// A rollout has failed by what its tasks do.
    async fn fail(
        &mut self,
        row: &StackRow,
        wanted: &Wanted,
        open: &OpenOperation,
        docker: &Docker,
        failure: &Failure,
    ) -> Result<Next> {
        let said = match &failure.task {
            Some(task) => last_words(docker, task).await,
            None => String::new(),
        };
        let message = format!("{}{said}", failure.message);
        let service = failure.service.clone();
        work::tell_problems(&self.app, row, &[(service.clone(), message.clone())].into()).await?;
        let roll_back = rolls_back(wanted, &service);
        let error =
            OperationError { service: Some(service), ..operation_error(&failure.code, &message) };
        work::give_up(&self.app, row, open, error, roll_back).await?;
        Ok(Next::Again)
    }
}

/// The last line that a task wrote, as a sentence; nothing when it cannot be had at once.
async fn last_words(docker: &Docker, task: &str) -> String {
    let reading = async {
        let options = LogOptions {
            follow: false,
            since: None,
            until: None,
            tail: Some(1),
            stdout: true,
            stderr: true,
        };
        let frames = docker.task_logs(task, false, &options).await.ok()?;
        let lines = Lines::of(frames, false, None).next(10).await.ok()??;
        let line = lines.into_iter().next_back()?.text;
        let (_, text) = crate::hosts::driver::swarm::LogSource::split(&line);
        Some(text.trim().chars().take(200).collect::<String>())
    };
    match tokio::time::timeout(Duration::from_secs(3), reading).await {
        Ok(Some(line)) if !line.is_empty() => format!(" It said: {line}"),
        _ => String::new(),
    }
}

/// In how many batches a service is updated: each may take its time.
fn rounds(wanted: &Wanted, service: &str) -> u32 {
    let Some(service) = wanted.project.services.get(service) else { return 1 };
    match service.deploy.update.parallelism {
        0 => 1,
        most => service.deploy.replicas.div_ceil(most).max(1),
    }
}
