//! One task a stack: looks, plans, takes the steps, looks again. What it keeps in memory only
//! saves time (what it has just done and the index does not show yet, pauses); all that matters is
//! in PostgreSQL and on the hosts.

mod ending;
mod joining;
mod memory;
mod placing;
mod preparing;
mod steps;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use drover_api::{OperationError, OperationKind, Topic};
use drover_compose::{FailureAction, Healthcheck, Service};
use futures_util::{StreamExt, future::BoxFuture, stream};
use indexmap::IndexMap;
use tokio::sync::Notify;
use uuid::Uuid;

use self::memory::Memory;
use super::{
    plan::{self, Seen, View},
    store,
};
use crate::{
    app::App,
    error::Result,
    hosts::driver::{Docker, DockerError},
    operations::{self, OpenOperation},
    secrets,
    stacks::{self, Desired, StackRow, Wanted},
};

/// How many steps are taken at once.
const AT_ONCE: usize = 8;
/// How long a new container may take to become ready, beside what its health check grants it.
const LONGEST_START: Duration = Duration::from_secs(120);
/// Without a change, look again after this long.
const LOOK: Duration = Duration::from_secs(15);

/// Why a step did not work.
struct Failed {
    error: OperationError,
    /// It may well work a little later, with nothing changed by a person.
    transient: bool,
}

/// What to do after a pass.
enum Next {
    /// Look again at once.
    Again,
    /// Look again when something changes, or after this long.
    Wait(Duration),
    /// The stack is gone.
    End,
}

/// Looks after a stack until it is gone.
pub(super) async fn run(app: App, stack: Uuid, waker: Arc<Notify>) {
    let mut worker = Worker { app, stack, memory: Memory::default() };
    loop {
        let wait = match worker.pass().await {
            Ok(Next::Again) => continue,
            Ok(Next::Wait(wait)) => wait,
            Ok(Next::End) => return,
            Err(error) => {
                tracing::warn!(%stack, %error, "cannot look after a stack; trying again");
                Duration::from_secs(2)
            }
        };
        tokio::select! {
            () = waker.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

struct Worker {
    app: App,
    stack: Uuid,
    memory: Memory,
}

impl Worker {
    async fn pass(&mut self) -> Result<Next> {
        let Some(row) = stacks::find_row(&self.app.db, self.stack).await? else {
            return Ok(Next::End);
        };
        match row.desired {
            Desired::Running => self.keep_running(&row).await,
            Desired::Stopped => self.keep_stopped(&row).await,
            Desired::Removed => self.remove(&row).await,
        }
    }

    async fn keep_running(&mut self, row: &StackRow) -> Result<Next> {
        let operation = operations::open_for(&self.app.db, row.id).await?;
        let wanted = match self.compiled(row).await {
            Ok(wanted) => wanted,
            Err(error) => {
                let error = operation_error(error.code(), error.detail());
                match &operation {
                    Some(open) => self.give_up(row, open, error, false).await?,
                    None => {
                        let problems = [(String::new(), error.message)].into();
                        self.tell_problems(row, &problems).await?;
                    }
                }
                return Ok(Next::Wait(LOOK));
            }
        };
        let mut problems = IndexMap::new();
        let mut seen = self.look(row, &wanted);
        // A rollout that has failed, or that a person has cancelled.
        let blocked = operation.is_none() && row.outcome.as_deref() != Some("succeeded");
        let placed = self.place_instances(row, &wanted, &seen, blocked, &mut problems).await?;
        let instances = placed.instances;
        if let (Some(open), Some((service, unplaced))) = (&operation, placed.hopeless) {
            let error = OperationError {
                service: Some(service.clone()),
                ..operation_error(unplaced.code, &unplaced.why)
            };
            self.tell_problems(row, &problems).await?;
            self.give_up(row, open, error, rolls_back(&wanted, &service)).await?;
            return Ok(Next::Again);
        }
        if blocked {
            problems.insert(String::new(), self.why_stopped(row).await?);
        }
        self.check_health(row, &wanted, &instances, &mut seen).await?;
        let still = blocked || operation.is_some();
        let replaceable = self.leave_dns(row, &wanted, &instances, &seen, still).await?;
        let plan = {
            let memory = &self.memory;
            let now = Instant::now();
            plan::plan(&View {
                project: &wanted.project,
                specs: &wanted.specs,
                instances: &instances,
                seen: &seen,
                blocked,
                resting: &|id| memory.restarts.get(id).is_some_and(|(_, until)| *until > now),
                pausing: &|service| {
                    let delay = wanted
                        .project
                        .services
                        .get(service)
                        .map_or(0, |s| s.deploy.update.delay_ms);
                    memory
                        .batch_ended
                        .get(service)
                        .is_some_and(|at| at.elapsed() < Duration::from_millis(delay))
                },
                overdue: &|seen| {
                    let granted = wanted
                        .project
                        .services
                        .get(&seen.service)
                        .map_or(Duration::ZERO, time_to_health);
                    let since = memory.seen_since.get(&seen.id);
                    since.is_some_and(|at| at.elapsed() > LONGEST_START + granted)
                },
                crashes: &|id| memory.crashes.get(id).copied().unwrap_or_default(),
                away: &|host| self.docker(row, host).is_err(),
                replace: &|seen| replaceable.contains(&seen.id),
            })
        };
        self.note_batches(&wanted, &seen);
        for (service, why) in plan.waiting.iter().chain(&plan.failed) {
            problems.entry(service.clone()).or_insert_with(|| why.clone());
        }
        if let (Some(open), Some((service, why))) = (&operation, &plan.failed) {
            let why = format!("{why}{}", self.last_words(row, &seen, service).await);
            let error = OperationError {
                service: Some(service.clone()),
                ..operation_error("unhealthy", &why)
            };
            self.tell_problems(row, &[(service.clone(), why)].into()).await?;
            self.give_up(row, open, error, rolls_back(&wanted, service)).await?;
            return Ok(Next::Again);
        }
        let resting = self.memory.not_before.is_some_and(|at| at > Instant::now());
        if !plan.steps.is_empty() && !resting {
            if let Some(open) = &operation {
                let fraction = plan.done as f64 / plan.total.max(1) as f64;
                let message = describe(&plan, &problems);
                operations::progress(&self.app, open.id, fraction, &message).await?;
            }
            return self
                .take_steps(
                    row,
                    &wanted,
                    &instances,
                    &seen,
                    &plan.steps,
                    operation.as_ref(),
                    problems,
                )
                .await;
        }
        self.join_networks(row, &wanted, &instances, &seen, &mut problems).await;
        self.tell_problems(row, &problems).await?;
        if let Some(open) = &operation {
            if plan.settled && problems.is_empty() {
                self.remove_unused_networks(row, &wanted).await;
                stacks::rollout_succeeded(&self.app, row, open).await?;
            } else {
                let fraction = plan.done as f64 / plan.total.max(1) as f64;
                operations::progress(&self.app, open.id, fraction, &describe(&plan, &problems))
                    .await?;
            }
        }
        // Pauses, watches and rests end without an event; a host that is back makes one.
        let for_hosts = plan.waiting_for_hosts > 0
            && plan.waiting_for_hosts == plan.waiting.len()
            && plan.steps.is_empty();
        let quiet = plan.settled || for_hosts;
        Ok(Next::Wait(if quiet { LOOK } else { Duration::from_millis(500) }))
    }

    async fn compiled(&mut self, row: &StackRow) -> Result<Arc<Wanted>> {
        let secrets = secrets::generation(&self.app.db, row.environment_id).await?;
        if let Some((version, generation, wanted)) = &self.memory.compiled
            && (*version, *generation) == (row.version, secrets)
        {
            return Ok(wanted.clone());
        }
        let wanted = Arc::new(stacks::wanted(&self.app, row).await?);
        self.memory.compiled = Some((row.version, secrets, wanted.clone()));
        Ok(wanted)
    }

    /// Why the rollout of the wanted revision has stopped.
    async fn why_stopped(&self, row: &StackRow) -> Result<String> {
        let error = operations::last_error(&self.app.db, row.id).await?;
        Ok(match (row.outcome.as_deref(), error) {
            (Some("failed"), Some(error)) => format!("The rollout has failed: {}", error.message),
            (Some("failed"), None) => "The rollout has failed.".into(),
            _ => "The rollout was cancelled. Deploy it again, or roll back.".into(),
        })
    }

    /// The last health output or log line of the container that failed.
    async fn last_words(&self, row: &StackRow, seen: &[Seen], service: &str) -> String {
        let Some(bad) = seen.iter().rfind(|s| s.service == service && !s.is_ready()) else {
            return String::new();
        };
        let Ok(docker) = self.docker(row, bad.host_id) else { return String::new() };
        let Ok(found) = docker.inspect_container(&bad.id).await else { return String::new() };
        let state = found.state.unwrap_or_default();
        let health = state.health.and_then(|health| health.log?.pop()?.output);
        let said = health.or(state.error).unwrap_or_default();
        let line: String =
            said.trim().lines().last().unwrap_or_default().chars().take(200).collect();
        if line.is_empty() { line } else { format!(" It said: {line}") }
    }

    async fn tell_problems(
        &self,
        row: &StackRow,
        problems: &IndexMap<String, String>,
    ) -> Result<()> {
        if store::set_problems(&self.app.db, row.id, problems).await? {
            self.app.events.updated(Topic::Stack, Some(row.environment_id), row.id).await;
        }
        Ok(())
    }

    /// Ends a rollout that cannot go on.
    async fn give_up(
        &self,
        row: &StackRow,
        open: &OpenOperation,
        error: OperationError,
        roll_back: bool,
    ) -> Result<()> {
        // A rollback that fails is not rolled back once more.
        let roll_back = roll_back && open.kind != OperationKind::Rollback;
        stacks::rollout_failed(&self.app, row, open, error, roll_back).await
    }

    fn docker(&self, row: &StackRow, host: Uuid) -> Result<Docker, Failed> {
        self.app
            .hosts
            .docker(row.environment_id, host)
            .map_err(|error| self.failed(row, host, error))
    }

    fn failed(&self, row: &StackRow, host: Uuid, error: DockerError) -> Failed {
        let name =
            self.app.hosts.live(row.environment_id, host).map(|host| host.row().name.clone());
        Failed {
            transient: error.is_transient(),
            error: OperationError { host: name, ..operation_error(error.code(), error.message()) },
        }
    }
}

/// How long the health checks of a service may take until they say that a container is not healthy.
fn time_to_health(service: &Service) -> Duration {
    let engine = service.healthcheck.as_ref().map_or(Duration::ZERO, time_to_engine_health);
    let server = service.health.as_ref().map_or(0, |probe| {
        let round = probe.interval_ms.saturating_add(probe.timeout_ms);
        let rounds = round.saturating_mul(probe.healthy_threshold.saturating_add(1).into());
        probe.initializing_ms.saturating_add(rounds)
    });
    engine.max(Duration::from_millis(server))
}

/// Of the engine's own check. Defaults are Docker's.
fn time_to_engine_health(check: &Healthcheck) -> Duration {
    let round = check.interval_ms.unwrap_or(30_000) + check.timeout_ms.unwrap_or(30_000);
    let rounds = round.saturating_mul(check.retries.unwrap_or(3));
    Duration::from_millis(check.start_period_ms.unwrap_or(0).saturating_add(rounds))
}

/// Whether an update of this service that fails is to be rolled back.
fn rolls_back(wanted: &Wanted, service: &str) -> bool {
    wanted
        .project
        .services
        .get(service)
        .is_some_and(|service| service.deploy.update.failure_action == FailureAction::Rollback)
}

fn operation_error(code: &str, message: &str) -> OperationError {
    OperationError { code: code.into(), message: message.into(), service: None, host: None }
}

fn vanished() -> Failed {
    Failed {
        error: operation_error("changed_meanwhile", "What was to be done has changed meanwhile."),
        transient: true,
    }
}

/// Drives all of them, [`AT_ONCE`] at a time.
async fn a_few_at_once<T>(work: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    stream::iter(work).buffer_unordered(AT_ONCE).collect().await
}

fn describe(plan: &plan::Plan, problems: &IndexMap<String, String>) -> String {
    let mut words = format!("{} of {} containers are ready.", plan.done, plan.total);
    if let Some((service, why)) = problems.iter().next() {
        words.push_str(&format!(" {service}: {why}"));
    }
    words
}
