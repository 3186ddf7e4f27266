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

use drover_api::OperationError;
use drover_compose::Service;
use futures_util::{StreamExt, future::BoxFuture, stream};
use indexmap::IndexMap;
use tokio::sync::Notify;
use uuid::Uuid;

use self::memory::Memory;
use super::{
    network::Reach,
    plan::{self, Seen, View},
};
use crate::{
    app::App,
    clusters::work::{self, Failed, LONGEST_START, Next, operation_error, rolls_back},
    error::Result,
    hosts::driver::{Docker, DockerError},
    operations,
    stacks::{self, StackRow},
};

/// How many steps are taken at once.
const AT_ONCE: usize = 8;
/// Without a change, look again after this long.
const LOOK: Duration = Duration::from_secs(15);

/// Looks after a stack until it is gone.
pub(super) async fn run(app: App, stack: Uuid, waker: Arc<Notify>) {
    let reach = Arc::default();
    work::run(Worker { app, memory: Memory::default(), reach }, stack, waker).await;
}

struct Worker {
    app: App,
    memory: Memory,
    /// How far the environment's network reached when this look began. One look goes by one answer:
    /// else a container could be made for networks that were not prepared.
    reach: Arc<Reach>,
}

impl work::Worker for Worker {
    fn app(&self) -> &App {
        &self.app
    }

    async fn keep_running(&mut self, row: &StackRow) -> Result<Next> {
        self.reach = self.app.cattle.reach(row.environment_id);
        self.run_on(row).await
    }

    async fn keep_stopped(&mut self, row: &StackRow) -> Result<Next> {
        self.reach = self.app.cattle.reach(row.environment_id);
        self.stop(row).await
    }

    async fn remove(&mut self, row: &StackRow) -> Result<Next> {
        self.reach = self.app.cattle.reach(row.environment_id);
        self.take_away(row).await
    }
}

impl Worker {
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
            work::tell_problems(&self.app, row, &problems).await?;
            work::give_up(&self.app, row, open, error, rolls_back(&wanted, &service)).await?;
            return Ok(Next::Again);
        }
        if blocked {
            problems.insert(String::new(), work::why_stopped(&self.app, row).await?);
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
            work::tell_problems(&self.app, row, &[(service.clone(), why)].into()).await?;
            work::give_up(&self.app, row, open, error, rolls_back(&wanted, service)).await?;
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
        work::tell_problems(&self.app, row, &problems).await?;
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
    let engine = service.healthcheck.as_ref().map_or(Duration::ZERO, work::time_to_health);
    let server = service.health.as_ref().map_or(0, |probe| {
        let round = probe.interval_ms.saturating_add(probe.timeout_ms);
        let rounds = round.saturating_mul(probe.healthy_threshold.saturating_add(1).into());
        probe.initializing_ms.saturating_add(rounds)
    });
    engine.max(Duration::from_millis(server))
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
