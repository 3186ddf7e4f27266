//! One task a stack: looks, plans, takes the steps, looks again. What it keeps in memory only
//! saves time (what it has just done and the index does not show yet, pauses); all that matters is
//! in PostgreSQL and on the hosts.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use drover_api::{Change, ContainerState, HostMode, HostState, OperationError, Topic};
use drover_compose::{FailureAction, PullPolicy, Service};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use indexmap::IndexMap;
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    container::{self, Make},
    place::{self, Candidate},
    plan::{self, Instance, Seen, Step, View},
    store,
};
use crate::{
    app::App,
    error::Result,
    events,
    hosts::{
        self,
        driver::{
            ContainerFile, Docker, DockerError, ErrorKind, Filter, models::NetworkConnectRequest,
        },
        labels,
    },
    operations, secrets,
    stacks::{self, Desired, StackRow, Wanted},
};

/// How many steps are taken at once.
const AT_ONCE: usize = 8;
/// How long what was just done counts though the index does not show it.
const INDEX_LAG: Duration = Duration::from_secs(5);
/// How long a new container may take to become ready, beside what its health check grants.
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

#[derive(Default)]
struct Memory {
    /// Containers made or started a moment ago, by id.
    fresh: HashMap<String, (Instant, Seen)>,
    /// Containers removed a moment ago.
    gone: HashMap<String, Instant>,
    /// When each container was first seen running.
    running_since: HashMap<String, Instant>,
    /// When each container was first seen at all.
    seen_since: HashMap<String, Instant>,
    /// How often a container was started again, and when next.
    restarts: HashMap<String, (u32, Instant)>,
    /// When the last batch of a service's update became ready.
    batch_ended: HashMap<String, Instant>,
    /// How many instances of the wanted make each service had ready.
    ready: HashMap<String, usize>,
    /// Steps that failed: not tried again before.
    not_before: Option<Instant>,
    failures: u32,
    /// Images pulled for this operation.
    pulled: HashSet<(Uuid, String, Uuid)>,
    compiled: Option<(i64, i64, Arc<Wanted>)>,
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

    // ---- running

    async fn keep_running(&mut self, row: &StackRow) -> Result<Next> {
        let operation = operations::open_for(&self.app.db, row.id).await?;
        let wanted = match self.compiled(row).await {
            Ok(wanted) => wanted,
            Err(error) => {
                self.fail(
                    row,
                    operation.as_ref().map(|open| open.id),
                    None,
                    error.code(),
                    error.detail(),
                )
                .await?;
                return Ok(Next::Wait(LOOK));
            }
        };
        let mut problems = IndexMap::new();
        let instances = self.place_instances(row, &wanted, &mut problems).await?;
        let seen = self.look(row, &wanted);
        let blocked = row.outcome.as_deref() == Some("failed") && operation.is_none();
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
                overdue: &|id| {
                    memory.seen_since.get(id).is_some_and(|at| at.elapsed() > LONGEST_START)
                },
            })
        };
        self.note_batches(&wanted, &seen);
        for (service, why) in plan.waiting.iter().chain(&plan.failed) {
            problems.entry(service.clone()).or_insert_with(|| why.clone());
        }
        if let (Some(open), Some((service, why))) = (&operation, &plan.failed) {
            let why = format!("{why}{}", self.last_words(row, &seen, service).await);
            self.fail(row, Some(open.id), Some(service), "unhealthy", &why).await?;
            self.roll_back_if_asked(row, &wanted, service).await?;
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
        self.tell_problems(row, &problems).await?;
        if let Some(open) = &operation {
            if plan.settled && problems.is_empty() {
                if row.outcome.is_none() {
                    stacks::set_outcome(&self.app.db, row.id, row.revision, "succeeded").await?;
                }
                self.remove_unused_networks(row, &wanted).await;
                operations::finish(&self.app, open.id, None).await?;
                self.app.events.updated(Topic::Stack, Some(row.environment_id), row.id).await;
            } else {
                let fraction = plan.done as f64 / plan.total.max(1) as f64;
                operations::progress(&self.app, open.id, fraction, &describe(&plan, &problems))
                    .await?;
            }
        }
        // Pauses, watches and rests end without an event.
        Ok(Next::Wait(if plan.settled { LOOK } else { Duration::from_millis(500) }))
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

    /// Makes the rows of instances what they should be, and returns them.
    async fn place_instances(
        &self,
        row: &StackRow,
        wanted: &Wanted,
        problems: &mut IndexMap<String, String>,
    ) -> Result<Vec<Instance>> {
        let mut instances = store::instances(&self.app.db, row.id).await?;
        let candidates = self.candidates(row).await?;
        let extra: Vec<Uuid> = instances
            .iter()
            .filter(|instance| !self.belongs(instance, wanted, &candidates, problems))
            .map(|instance| instance.id)
            .collect();
        if !extra.is_empty() {
            store::remove(&self.app.db, &extra).await?;
            instances.retain(|instance| !extra.contains(&instance.id));
        }
        for (name, service) in &wanted.project.services {
            let missing: Vec<(i32, Result<Uuid, String>)> = if service.deploy.global {
                let hosts = place::matching(service, &candidates).enumerate();
                hosts
                    .filter(|(_, host)| {
                        !instances.iter().any(|i| i.service == *name && i.host_id == host.id)
                    })
                    .map(|(_, host)| Ok(host.id))
                    .zip((1..).filter(|n| {
                        !instances.iter().any(|i| i.service == *name && i.ordinal == *n)
                    }))
                    .map(|(host, ordinal)| (ordinal, host))
                    .collect()
            } else {
                (1..=service.deploy.replicas as i32)
                    .filter(|n| !instances.iter().any(|i| i.service == *name && i.ordinal == *n))
                    .map(|ordinal| (ordinal, Err(String::new())))
                    .collect()
            };
            for (ordinal, host) in missing {
                let host = host.or_else(|_| {
                    place::place(&wanted.project, name, service, &instances, &candidates)
                });
                match host {
                    Ok(host) => instances
                        .extend(store::add(&self.app.db, row.id, name, ordinal, host).await?),
                    Err(why) => {
                        problems.insert(name.clone(), why);
                    }
                }
            }
        }
        Ok(instances)
    }

    /// Whether an instance is still wanted where it is.
    fn belongs(
        &self,
        instance: &Instance,
        wanted: &Wanted,
        hosts: &[Candidate],
        problems: &mut IndexMap<String, String>,
    ) -> bool {
        let Some(service) = wanted.project.services.get(&instance.service) else { return false };
        if !service.deploy.global && instance.ordinal > service.deploy.replicas as i32 {
            return false;
        }
        let Some(host) = hosts.iter().find(|host| host.id == instance.host_id) else {
            return false;
        };
        let draining = host.closed.as_deref() == Some(DRAINING);
        if draining && has_local_data(service) {
            let why = format!(
                "Its volumes are on {}, which is being drained: move the data, or end the drain.",
                host.name
            );
            problems.insert(instance.service.clone(), why);
            return true;
        }
        !draining
    }

    async fn candidates(&self, row: &StackRow) -> Result<Vec<Candidate>> {
        let load: HashMap<Uuid, i64> =
            store::load(&self.app.db, row.environment_id).await?.into_iter().collect();
        let live = self.app.hosts.in_environment(row.environment_id);
        Ok(live
            .into_iter()
            .map(|host| {
                let host_row = host.row();
                let closed = match (host_row.mode, host.state()) {
                    (HostMode::Draining, _) => Some(DRAINING.to_owned()),
                    (_, HostState::Active) => None,
                    (HostMode::Inactive, _) => Some("it is inactive".to_owned()),
                    _ => Some("it is not connected".to_owned()),
                };
                let facts = host_row.facts.as_ref();
                let taken_ports = self
                    .app
                    .hosts
                    .index()
                    .of_host(row.environment_id, host.id)
                    .iter()
                    .filter(|entry| {
                        entry.owner.as_ref().is_none_or(|owner| owner.stack_id != row.id)
                    })
                    .flat_map(|entry| entry.to_api().ports)
                    .filter_map(|port| Some((port.host_port?, port.protocol)))
                    .collect();
                Candidate {
                    id: host.id,
                    name: host_row.name.clone(),
                    hostname: facts.map_or(String::new(), |facts| facts.hostname.clone()),
                    architecture: facts.map_or(String::new(), |facts| facts.architecture.clone()),
                    labels: host_row.labels.clone(),
                    closed,
                    load: load.get(&host.id).copied().unwrap_or_default(),
                    taken_ports,
                }
            })
            .collect())
    }

    /// The stack's containers: the index, corrected by what was done a moment ago.
    fn look(&mut self, row: &StackRow, wanted: &Wanted) -> Vec<Seen> {
        let now = Instant::now();
        let memory = &mut self.memory;
        memory.fresh.retain(|_, (at, _)| now.duration_since(*at) < INDEX_LAG);
        memory.gone.retain(|_, at| now.duration_since(*at) < INDEX_LAG);
        let mut seen: Vec<Seen> = self
            .app
            .hosts
            .index()
            .of_stack(row.environment_id, row.id)
            .iter()
            .filter(|entry| !memory.gone.contains_key(&*entry.id.to_string()))
            .filter_map(|entry| {
                let owner = entry.owner.as_deref()?;
                Some(Seen {
                    id: entry.id.to_string(),
                    name: entry.name.to_string(),
                    host_id: entry.host.id,
                    service: owner.service.to_string(),
                    instance: owner.instance,
                    spec: owner.spec.to_string(),
                    state: entry.state,
                    health: entry.health,
                    exit_code: entry.exit_code,
                    watched: false,
                })
            })
            .collect();
        for (id, (_, fresh)) in &memory.fresh {
            match seen.iter_mut().find(|seen| seen.id == *id) {
                // The index is behind: it was started since.
                Some(seen) if seen.state == ContainerState::Created => seen.state = fresh.state,
                Some(_) => {}
                None => seen.push(fresh.clone()),
            }
        }
        for container in &mut seen {
            memory.seen_since.entry(container.id.clone()).or_insert(now);
            if container.state == ContainerState::Running {
                let since = *memory.running_since.entry(container.id.clone()).or_insert(now);
                let monitor = wanted
                    .project
                    .services
                    .get(&container.service)
                    .map_or(0, |service| service.deploy.update.monitor_ms);
                container.watched = now.duration_since(since) >= Duration::from_millis(monitor);
                if now.duration_since(since) > Duration::from_secs(60) {
                    memory.restarts.remove(&container.id);
                }
            } else {
                memory.running_since.remove(&container.id);
            }
        }
        let ids: HashSet<&String> = seen.iter().map(|seen| &seen.id).collect();
        memory.seen_since.retain(|id, _| ids.contains(id));
        memory.running_since.retain(|id, _| ids.contains(id));
        memory.restarts.retain(|id, _| ids.contains(id));
        seen
    }

    /// Notes when more instances of a service became ready: the pause between batches counts from
    /// there.
    fn note_batches(&mut self, wanted: &Wanted, seen: &[Seen]) {
        for (name, spec) in &wanted.specs {
            let ready = seen
                .iter()
                .filter(|s| s.service == *name && s.spec == *spec && s.is_ready())
                .count();
            if self.memory.ready.insert(name.clone(), ready).is_some_and(|before| before < ready) {
                self.memory.batch_ended.insert(name.clone(), Instant::now());
            }
        }
    }

    // ---- steps

    #[expect(clippy::too_many_arguments, reason = "each is a part of one pass")]
    async fn take_steps(
        &mut self,
        row: &StackRow,
        wanted: &Wanted,
        instances: &[Instance],
        seen: &[Seen],
        steps: &[Step],
        operation: Option<&operations::OpenOperation>,
        mut problems: IndexMap<String, String>,
    ) -> Result<Next> {
        let prepared = self.prepare(row, wanted, instances, steps, operation).await;
        let results: Vec<(String, Result<Done, Failed>)> = match prepared {
            Err((service, failed)) => vec![(service, Err(failed))],
            Ok(()) => {
                let this = &*self;
                let mut work: Vec<BoxFuture<'_, _>> = Vec::new();
                for step in steps {
                    let service = service_of(step, instances, seen);
                    let taking = this.take(row, wanted, instances, seen, step);
                    work.push(taking.map(|done| (service, done)).boxed());
                }
                a_few_at_once(work).await
            }
        };
        let mut worst: Option<(String, Failed)> = None;
        for (service, result) in results {
            match result {
                Ok(done) => self.remember(done),
                Err(failed) => {
                    problems.insert(service.clone(), failed.error.message.clone());
                    if worst.as_ref().is_none_or(|(_, known)| known.transient) {
                        worst = Some((service, failed));
                    }
                }
            }
        }
        self.tell_problems(row, &problems).await?;
        let Some((service, failed)) = worst else {
            self.memory.failures = 0;
            return Ok(Next::Again);
        };
        if let Some(open) = operation {
            if failed.transient {
                operations::progress(&self.app, open.id, 0.0, &failed.error.message).await?;
            } else {
                let error = OperationError { service: Some(service), ..failed.error };
                self.finish_failed(row, open.id, error).await?;
                return Ok(Next::Again);
            }
        }
        self.memory.failures = (self.memory.failures + 1).min(6);
        let rest = Duration::from_millis(500 << self.memory.failures);
        self.memory.not_before = Some(Instant::now() + rest);
        Ok(Next::Wait(rest))
    }

    fn remember(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Running(seen) => {
                if seen.exit_code.is_some() || self.memory.seen_since.contains_key(&seen.id) {
                    let (count, until) =
                        self.memory.restarts.entry(seen.id.clone()).or_insert((0, now));
                    *count += 1;
                    *until = now + Duration::from_secs((1 << (*count).min(6)).min(60));
                }
                self.memory.fresh.insert(seen.id.clone(), (now, seen));
            }
            Done::Removed(id) => {
                self.memory.fresh.remove(&id);
                self.memory.gone.insert(id, now);
            }
        }
    }

    /// Images, networks and volumes that the new containers need.
    async fn prepare(
        &mut self,
        row: &StackRow,
        wanted: &Wanted,
        instances: &[Instance],
        steps: &[Step],
        operation: Option<&operations::OpenOperation>,
    ) -> Result<(), (String, Failed)> {
        let mut images = HashSet::new();
        let mut on_hosts: HashMap<Uuid, Vec<&Service>> = HashMap::new();
        for step in steps {
            let Step::Create { instance, .. } = step else { continue };
            let Some(instance) = instances.iter().find(|i| i.id == *instance) else { continue };
            let Some(service) = wanted.project.services.get(&instance.service) else { continue };
            images.insert((instance.host_id, service.image.clone(), instance.service.clone()));
            on_hosts.entry(instance.host_id).or_default().push(service);
        }
        let pull_all = operation.is_some_and(|open| open.input["pull"].as_bool() == Some(true));
        let this = &*self;
        let operation_id = operation.map(|open| open.id);
        let mut pulls: Vec<BoxFuture<'_, _>> = Vec::new();
        for (host, image, name) in images {
            let policy = wanted.project.services.get(&name).and_then(|s| s.pull_policy);
            let key = (host, image, operation_id.unwrap_or_default());
            let always = pull_all || policy == Some(PullPolicy::Always);
            let anew = always && !this.memory.pulled.contains(&key);
            let pull = async move {
                let done = this.image(row, host, &key.1, policy, anew, operation_id).await;
                done.map(|()| key).map_err(|failed| (name, failed))
            };
            pulls.push(pull.boxed());
        }
        let mut setting_up: Vec<BoxFuture<'_, _>> = Vec::new();
        for (host, services) in on_hosts {
            let work = async move { this.shared(row, wanted, host, &services).await };
            setting_up.push(work.boxed());
        }
        let (images, shared) = tokio::join!(a_few_at_once(pulls), a_few_at_once(setting_up));
        for image in images {
            self.memory.pulled.insert(image?);
        }
        shared.into_iter().collect::<Result<(), _>>().map_err(|failed| (String::new(), failed))
    }

    async fn image(
        &self,
        row: &StackRow,
        host: Uuid,
        image: &str,
        policy: Option<PullPolicy>,
        anew: bool,
        operation: Option<Uuid>,
    ) -> Result<(), Failed> {
        let docker = self.docker(row, host)?;
        let named = |error| self.failed(row, host, error);
        let there = docker.find_image(image).await.map_err(named)?.is_some();
        if there && !anew {
            return Ok(());
        }
        if policy == Some(PullPolicy::Never) {
            let why =
                format!("The image {image} is not on the host, and `pull_policy` is `never`.");
            return Err(self.failed(row, host, DockerError::new(ErrorKind::ImageNotFound, why)));
        }
        let auth =
            hosts::registry_auth(&self.app, row.environment_id, image).await.map_err(|error| {
                Failed {
                    transient: error.status().is_server_error(),
                    error: operation_error(error.code(), error.detail()),
                }
            })?;
        let (progress, mut told) = tokio::sync::watch::channel(String::new());
        let telling = async {
            while told.changed().await.is_ok() {
                let message = format!("Pulling {image}: {}", *told.borrow_and_update());
                if let Some(id) = operation
                    && let Err(error) = operations::progress(&self.app, id, 0.0, &message).await
                {
                    tracing::debug!(%error, "cannot tell of a pull");
                }
                // Often enough to watch, seldom enough for the database.
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let pulling = async {
            let pulled = docker
                .pull_image(image, auth.as_ref(), |at| {
                    progress.send_replace(format!("{} ({:.0} %)", at.message, at.fraction * 100.0));
                })
                .await;
            drop(progress);
            pulled
        };
        let (pulled, ()) = tokio::join!(pulling, telling);
        if let Some(id) = operation
            && pulled.is_ok()
        {
            operations::log(&self.app, id, &format!("Pulled {image}.")).await.map_err(|error| {
                Failed { transient: true, error: operation_error(error.code(), error.detail()) }
            })?;
        }
        pulled.map_err(named)
    }

    /// The networks and volumes of these services on a host.
    async fn shared(
        &self,
        row: &StackRow,
        wanted: &Wanted,
        host: Uuid,
        services: &[&Service],
    ) -> Result<(), Failed> {
        let docker = self.docker(row, host)?;
        let named = |error| self.failed(row, host, error);
        let mut networks: Vec<&String> = services
            .iter()
            .filter(|service| service.network_mode.is_none())
            .flat_map(|service| service.networks.keys())
            .collect();
        networks.sort();
        networks.dedup();
        for name in networks {
            let Some(network) = wanted.project.networks.get(name) else { continue };
            let request = container::network(row, name, network);
            let full = if network.external && network.name.is_none() {
                name.clone()
            } else {
                request.name.clone()
            };
            let found = docker.find_network(&full).await.map_err(named)?;
            match found {
                Some(_) if network.external => {}
                Some(found) => {
                    let labels = found.labels.unwrap_or_default();
                    if labels::stack(row.environment_id, &labels) != Some(row.id) {
                        let why = format!(
                            "The host has a network {full} that is not this stack's. Remove it, or give the stack another name."
                        );
                        return Err(named(DockerError::new(ErrorKind::Conflict, why)));
                    }
                }
                None if network.external => {
                    let why = format!("There is no network {full} on the host.");
                    return Err(named(DockerError::new(ErrorKind::NotFound, why)));
                }
                None => {
                    docker.create_network(request).await.map_err(named)?;
                }
            }
        }
        let mut volumes: Vec<&String> = services
            .iter()
            .flat_map(|service| &service.volumes)
            .filter(|mount| mount.kind == drover_compose::MountKind::Volume)
            .filter_map(|mount| mount.source.as_ref())
            .collect();
        volumes.sort();
        volumes.dedup();
        for name in volumes {
            let Some(volume) = wanted.project.volumes.get(name) else { continue };
            let full = if volume.external && volume.name.is_none() {
                name.clone()
            } else {
                container::own_name(row, name, volume.name.as_deref())
            };
            match docker.find_volume(&full).await.map_err(named)? {
                Some(_) if volume.external => {}
                Some(found) if !is_own(row, &found.labels) => {
                    let why = format!(
                        "The host has a volume {full} that is not this stack's. Name it with `external: true` to use it, or give the stack another name."
                    );
                    return Err(named(DockerError::new(ErrorKind::Conflict, why)));
                }
                Some(_) => {}
                None if volume.external => {
                    let why = format!("There is no volume {full} on the host.");
                    return Err(named(DockerError::new(ErrorKind::NotFound, why)));
                }
                None => {
                    docker
                        .create_volume(container::volume(row, name, volume))
                        .await
                        .map_err(named)?;
                }
            }
        }
        Ok(())
    }

    async fn take(
        &self,
        row: &StackRow,
        wanted: &Wanted,
        instances: &[Instance],
        seen: &[Seen],
        step: &Step,
    ) -> Result<Done, Failed> {
        match step {
            Step::Create { instance, aside } => {
                let instance = instances.iter().find(|i| i.id == *instance).ok_or_else(vanished)?;
                let docker = self.docker(row, instance.host_id)?;
                let named = |error| self.failed(row, instance.host_id, error);
                if let Some(old) = aside.as_ref().and_then(|id| seen.iter().find(|s| s.id == *id)) {
                    let short: String = old.id.chars().take(8).collect();
                    let name = format!(
                        "{}-old-{short}",
                        container::name(row, &instance.service, instance.ordinal)
                    );
                    docker.rename_container(&old.id, &name).await.map_err(named)?;
                }
                let make = self.make(row, wanted, instance, instances, seen)?;
                let id = self.create(&docker, &make).await.map_err(named)?;
                self.finish_and_start(&docker, &make, wanted, &id).await.map_err(named)?;
                Ok(Done::Running(fresh(&id, row, instance, make.spec)))
            }
            Step::Start { container, instance } => {
                let instance = instances.iter().find(|i| i.id == *instance).ok_or_else(vanished)?;
                let docker = self.docker(row, instance.host_id)?;
                let known = seen.iter().find(|s| s.id == *container).ok_or_else(vanished)?;
                let make = self.make(row, wanted, instance, instances, seen)?;
                let started = if known.state == ContainerState::Created {
                    // A server that was killed may have left it half made.
                    self.finish_and_start(&docker, &make, wanted, container).await
                } else {
                    docker.start_container(container).await
                };
                started.map_err(|error| self.failed(row, instance.host_id, error))?;
                let spec = known.spec.clone();
                Ok(Done::Running(Seen {
                    spec,
                    exit_code: Some(0),
                    ..fresh(container, row, instance, "")
                }))
            }
            Step::Remove { container } => {
                let known = seen.iter().find(|s| s.id == *container).ok_or_else(vanished)?;
                let docker = self.docker(row, known.host_id)?;
                remove_container(&docker, container)
                    .await
                    .map_err(|error| self.failed(row, known.host_id, error))?;
                Ok(Done::Removed(container.clone()))
            }
        }
    }

    fn make<'a>(
        &self,
        row: &'a StackRow,
        wanted: &'a Wanted,
        instance: &'a Instance,
        instances: &[Instance],
        seen: &[Seen],
    ) -> Result<Make<'a>, Failed> {
        let service = wanted.project.services.get(&instance.service).ok_or_else(vanished)?;
        let shared = service.network_mode.as_deref().and_then(|mode| mode.strip_prefix("service:"));
        let shares_network_of = shared.and_then(|name| {
            let other = instances
                .iter()
                .find(|i| i.service == name && i.ordinal == instance.ordinal)
                .or_else(|| instances.iter().find(|i| i.service == name))?;
            seen.iter().find(|s| s.instance == Some(other.id)).map(|s| s.id.clone())
        });
        let awaited = wanted.project.services.values().any(|other| {
            other.depends_on.get(&instance.service).is_some_and(|dependency| {
                dependency.condition == drover_compose::DependencyCondition::Completed
            })
        });
        Ok(Make {
            stack: row,
            project: &wanted.project,
            service_name: &instance.service,
            service,
            spec: wanted.specs.get(&instance.service).map_or("", String::as_str),
            instance: instance.id,
            ordinal: instance.ordinal,
            shares_network_of,
            awaited,
        })
    }

    /// Makes the container, or finds the one that was made before.
    async fn create(&self, docker: &Docker, make: &Make<'_>) -> hosts::driver::Result<String> {
        let name = container::name(make.stack, make.service_name, make.ordinal);
        let made = docker.create_container(&name, container::create_body(make)).await;
        let Err(error) = made else { return made };
        if error.kind() != ErrorKind::Conflict {
            return Err(error);
        }
        let Ok(found) = docker.inspect_container(&name).await else { return Err(error) };
        let found_labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        let id = found.id.unwrap_or_default();
        let own = |key: &str, value: String| found_labels.get(key) == Some(&value);
        if !own(labels::STACK, make.stack.id.to_string())
            && labels::stack(make.stack.environment_id, &found_labels)
                .is_none_or(|id| id != make.stack.id)
        {
            let why = format!(
                "The host has a container {name} that is not this stack's. Remove it, or give the stack another name."
            );
            return Err(DockerError::new(ErrorKind::Conflict, why));
        }
        if own(labels::INSTANCE, make.instance.to_string())
            && own(labels::SPEC, make.spec.to_owned())
        {
            return Ok(id);
        }
        // A left-over of this stack's: an instance that is no longer wanted.
        remove_container(docker, &id).await?;
        docker.create_container(&name, container::create_body(make)).await
    }

    /// The other networks, the files, and off it goes.
    async fn finish_and_start(
        &self,
        docker: &Docker,
        make: &Make<'_>,
        wanted: &Wanted,
        id: &str,
    ) -> hosts::driver::Result<()> {
        for (network, settings) in container::endpoints(make).into_iter().skip(1) {
            let request =
                NetworkConnectRequest { container: id.to_owned(), endpoint_config: Some(settings) };
            match docker.connect_network(&network, request).await {
                // It is in it already: the server was killed in between.
                Err(error)
                    if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Refused)
                        && error.message().contains("already") => {}
                other => other?,
            }
        }
        let files: Vec<ContainerFile> = wanted
            .files
            .get(make.service_name)
            .into_iter()
            .flatten()
            .map(|file| ContainerFile {
                path: file.path.clone(),
                mode: file.mode,
                uid: file.uid,
                gid: file.gid,
                content: file.content.clone(),
            })
            .collect();
        if !files.is_empty() {
            docker.put_files(id, &files).await?;
        }
        docker.start_container(id).await
    }

    // ---- stopped and removed

    async fn keep_stopped(&mut self, row: &StackRow) -> Result<Next> {
        let operation = operations::open_for(&self.app.db, row.id).await?;
        let left = self.take_down(row).await?;
        let Some(open) = operation else { return Ok(Next::Wait(LOOK)) };
        if left.is_empty() {
            self.tell_problems(row, &IndexMap::new()).await?;
            operations::finish(&self.app, open.id, None).await?;
            self.app.events.updated(Topic::Stack, Some(row.environment_id), row.id).await;
            return Ok(Next::Wait(LOOK));
        }
        operations::progress(&self.app, open.id, 0.5, &left.join(" ")).await?;
        Ok(Next::Wait(Duration::from_secs(1)))
    }

    async fn remove(&mut self, row: &StackRow) -> Result<Next> {
        let operation = operations::open_for(&self.app.db, row.id).await?;
        let mut left = self.take_down(row).await?;
        if left.is_empty() {
            left = self.remove_shared(row).await;
        }
        if let Some(open) = &operation {
            if !left.is_empty() && !row.force_remove {
                operations::progress(&self.app, open.id, 0.5, &left.join(" ")).await?;
                return Ok(Next::Wait(Duration::from_secs(1)));
            }
            for what in &left {
                operations::log(&self.app, open.id, &format!("Left behind: {what}")).await?;
            }
            operations::finish(&self.app, open.id, None).await?;
        } else if !left.is_empty() && !row.force_remove {
            return Ok(Next::Wait(Duration::from_secs(2)));
        }
        stacks::delete_row(&self.app.db, row.id).await?;
        self.app
            .events
            .publish(events::event(Topic::Stack, Some(row.environment_id), row.id, Change::Removed))
            .await;
        Ok(Next::End)
    }

    /// Removes all containers; says what is left and why.
    async fn take_down(&mut self, row: &StackRow) -> Result<Vec<String>> {
        let mut left = Vec::new();
        let placed: HashSet<Uuid> =
            store::instances(&self.app.db, row.id).await?.iter().map(|i| i.host_id).collect();
        for host in self.app.hosts.in_environment(row.environment_id) {
            let docker = match host.docker() {
                Ok(docker) => docker,
                Err(error) => {
                    if placed.contains(&host.id) {
                        left.push(format!(
                            "Containers on {}: {}",
                            host.row().name,
                            error.message()
                        ));
                    }
                    continue;
                }
            };
            let filter = Filter::label(format!("{}={}", labels::STACK, row.id));
            let containers = match docker.list_containers(&filter).await {
                Ok(containers) => containers,
                Err(error) => {
                    left.push(format!("Containers on {}: {}", host.row().name, error.message()));
                    continue;
                }
            };
            let mut removing: Vec<BoxFuture<'_, _>> = Vec::new();
            for container in &containers {
                removing.push(remove_container(&docker, &container.id).boxed());
            }
            let removed = a_few_at_once(removing).await;
            left.extend(removed.into_iter().filter_map(|result| {
                let error = result.err()?;
                Some(format!("A container on {}: {}", host.row().name, error.message()))
            }));
        }
        if left.is_empty() {
            let ids: Vec<Uuid> =
                store::instances(&self.app.db, row.id).await?.iter().map(|i| i.id).collect();
            store::remove(&self.app.db, &ids).await?;
        }
        self.memory.fresh.clear();
        Ok(left)
    }

    /// Removes the stack's networks and, where asked for, its volumes; says what is left and why.
    async fn remove_shared(&self, row: &StackRow) -> Vec<String> {
        let mut left = Vec::new();
        for host in self.app.hosts.in_environment(row.environment_id) {
            let Ok(docker) = host.docker() else { continue };
            let name = host.row().name.clone();
            let own = |labels: &HashMap<String, String>| {
                labels::stack(row.environment_id, labels) == Some(row.id)
            };
            let mut results = Vec::new();
            match docker.list_networks().await {
                Ok(networks) => {
                    for network in networks {
                        if own(&network.labels.unwrap_or_default()) {
                            results
                                .push(docker.remove_network(&network.id.unwrap_or_default()).await);
                        }
                    }
                }
                Err(error) => results.push(Err(error)),
            }
            if row.remove_volumes {
                match docker.list_volumes().await {
                    Ok(volumes) => {
                        for volume in volumes.into_iter().filter(|volume| own(&volume.labels)) {
                            results.push(docker.remove_volume(&volume.name, false).await);
                        }
                    }
                    Err(error) => results.push(Err(error)),
                }
            }
            left.extend(results.into_iter().filter_map(|result| {
                let error = result.err().filter(|error| !error.is_not_found())?;
                Some(format!("On {name}: {}", error.message()))
            }));
        }
        left
    }

    /// Networks that a new revision no longer has. They are in nobody's way: errors only cost
    /// tidiness.
    async fn remove_unused_networks(&self, row: &StackRow, wanted: &Wanted) {
        let names: HashSet<String> = wanted
            .project
            .networks
            .iter()
            .map(|(name, network)| container::own_name(row, name, network.name.as_deref()))
            .collect();
        for host in self.app.hosts.in_environment(row.environment_id) {
            let Ok(docker) = host.docker() else { continue };
            for network in docker.list_networks().await.unwrap_or_default() {
                let (Some(id), Some(name)) = (network.id, network.name) else { continue };
                let own = labels::stack(row.environment_id, &network.labels.unwrap_or_default())
                    == Some(row.id);
                if own
                    && !names.contains(&name)
                    && let Err(error) = docker.remove_network(&id).await
                {
                    tracing::debug!(%error, network = name, "cannot remove an unused network");
                }
            }
        }
    }

    // ---- words

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

    async fn fail(
        &self,
        row: &StackRow,
        operation: Option<Uuid>,
        service: Option<&str>,
        code: &str,
        message: &str,
    ) -> Result<()> {
        let Some(id) = operation else {
            let problems = [(service.unwrap_or_default().to_owned(), message.to_owned())].into();
            return self.tell_problems(row, &problems).await;
        };
        let mut error = operation_error(code, message);
        error.service = service.map(str::to_owned);
        self.finish_failed(row, id, error).await
    }

    async fn finish_failed(
        &self,
        row: &StackRow,
        operation: Uuid,
        error: OperationError,
    ) -> Result<()> {
        stacks::set_outcome(&self.app.db, row.id, row.revision, "failed").await?;
        operations::finish(&self.app, operation, Some(error)).await?;
        self.app.events.updated(Topic::Stack, Some(row.environment_id), row.id).await;
        Ok(())
    }

    async fn roll_back_if_asked(
        &self,
        row: &StackRow,
        wanted: &Wanted,
        service: &str,
    ) -> Result<()> {
        let action = wanted.project.services.get(service).map(|s| s.deploy.update.failure_action);
        if action == Some(FailureAction::Rollback) {
            stacks::roll_back_to_last_good(&self.app, row).await?;
        }
        Ok(())
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

/// Why a host takes no new containers while it is drained.
const DRAINING: &str = "it is being drained";

/// What a step has led to.
enum Done {
    /// A container that runs; with an exit code, one that had ended before.
    Running(Seen),
    Removed(String),
}

fn fresh(id: &str, row: &StackRow, instance: &Instance, spec: &str) -> Seen {
    Seen {
        id: id.to_owned(),
        name: container::name(row, &instance.service, instance.ordinal),
        host_id: instance.host_id,
        service: instance.service.clone(),
        instance: Some(instance.id),
        spec: spec.to_owned(),
        state: ContainerState::Running,
        // Until the index knows better: one with a health check must not count as ready.
        health: Some(drover_api::Health::Starting),
        exit_code: None,
        watched: false,
    }
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

fn service_of(step: &Step, instances: &[Instance], seen: &[Seen]) -> String {
    let id = match step {
        Step::Create { instance, .. } | Step::Start { instance, .. } => Some(*instance),
        Step::Remove { container } => {
            seen.iter().find(|s| s.id == *container).and_then(|s| s.instance)
        }
    };
    id.and_then(|id| instances.iter().find(|i| i.id == id))
        .map_or(String::new(), |instance| instance.service.clone())
}

/// Drives all of them, [`AT_ONCE`] at a time.
async fn a_few_at_once<T>(work: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    stream::iter(work).buffer_unordered(AT_ONCE).collect().await
}

/// Stops politely and removes, with anonymous volumes. Fine when it is gone.
async fn remove_container(docker: &Docker, id: &str) -> hosts::driver::Result<()> {
    let stopped = docker.stop_container(id, None).await;
    let removed = match stopped {
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) if error.is_transient() => return Err(error),
        _ => docker.remove_container(id, true, true).await,
    };
    match removed {
        Err(error) if error.is_not_found() => Ok(()),
        // Somebody else is removing it at this moment.
        Err(error) if error.message().contains("already in progress") => Ok(()),
        other => other,
    }
}

/// A volume is the stack's own when this stack made it, or one of the same name in the same
/// environment that was removed with its volumes kept.
fn is_own(row: &StackRow, found: &HashMap<String, String>) -> bool {
    found.get(labels::ENVIRONMENT) == Some(&row.environment_id.to_string())
        && found.get(labels::STACK_NAME) == Some(&row.name)
}

fn has_local_data(service: &Service) -> bool {
    service
        .volumes
        .iter()
        .any(|mount| mount.kind == drover_compose::MountKind::Volume && mount.source.is_some())
}

fn describe(plan: &plan::Plan, problems: &IndexMap<String, String>) -> String {
    let mut words = format!("{} of {} containers are ready.", plan.done, plan.total);
    if let Some((service, why)) = problems.iter().next() {
        words.push_str(&format!(" {service}: {why}"));
    }
    words
}
