//! Watching swarms: for each environment that stands on one, a task asks its hosts for their part,
//! picks a manager that answers, reads everything from it, and then what its events name. A swarm
//! tells no events of tasks, so those are read again: soon while something moves or a container of
//! the environment changes, and seldom when all is quiet.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use drover_api::{Change, Topic};
use futures_util::{StreamExt, future::join_all};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{
    live::Live,
    standing::HostPart,
    store,
    view::{ClusterFacts, Names, SeenBlob, SeenNetwork, SeenService, SeenTask},
};
use crate::{
    app::App,
    events,
    hosts::driver::{Docker, DockerError, ErrorKind, Result, swarm::BlobKind},
};

/// How often the hosts are asked for their part.
const ASK: Duration = Duration::from_secs(5);
/// How often tasks are read while something moves.
const QUICK: Duration = Duration::from_millis(700);
/// How often they are read when all is quiet.
const SLOW: Duration = Duration::from_secs(10);
/// How often nodes are read: their reachability has no event.
const NODES: Duration = Duration::from_secs(5);
/// How often everything is read, in case an event was missed.
const ALL: Duration = Duration::from_secs(60);
/// Events come in bursts.
const SOON: Duration = Duration::from_millis(120);
/// How often the list of environments is read.
const ENVIRONMENTS: Duration = Duration::from_secs(10);
/// More services than this are told of as one.
const MOST_TOLD: usize = 20;

/// Keeps a watcher for each environment that stands on a swarm.
pub(super) async fn supervise(app: App) {
    let mut watchers: HashMap<Uuid, AbortOnDropHandle<()>> = HashMap::new();
    let mut events = app.events.subscribe();
    loop {
        match store::environments(&app.db).await {
            Ok(environments) => {
                watchers.retain(|id, watcher| environments.contains(id) && !watcher.is_finished());
                app.swarms.keep(&environments);
                for id in environments {
                    watchers.entry(id).or_insert_with(|| {
                        let watching = watch(app.clone(), id, app.swarms.live(id));
                        AbortOnDropHandle::new(tokio::spawn(watching))
                    });
                }
            }
            Err(error) => tracing::warn!(%error, "cannot read the environments on swarms"),
        }
        let told = async {
            loop {
                match events.recv().await {
                    Ok(event) if event.event.topic == Topic::Environment => return,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = told => {}
            () = sleep(ENVIRONMENTS) => {}
        }
    }
}

async fn watch(app: App, environment: Uuid, live: Arc<Live>) {
    tokio::join!(
        ask_hosts(&app, environment, &live),
        follow(&app, environment, &live),
        wake_on_containers(&app, environment, &live),
    );
}

/// Asks the hosts for their part, again and again.
async fn ask_hosts(app: &App, environment: Uuid, live: &Live) {
    loop {
        match store::get(&app.db, environment).await {
            Ok(row) => live.set_row(row),
            Err(error) => tracing::warn!(%error, "cannot read a swarm's row"),
        }
        let asking = app.hosts.in_environment(environment).into_iter().map(|host| async move {
            let row = host.row();
            let said = match host.docker() {
                Ok(docker) => docker.local_swarm().await,
                Err(error) => Err(error),
            };
            let said = said.map_err(|error| error.message().to_owned());
            let facts = row.facts.as_ref();
            let part = HostPart {
                host_id: host.id,
                host_name: row.name.clone(),
                said,
                known_node: facts.and_then(|facts| facts.swarm_node_id.clone()),
            };
            live.set_part(part);
        });
        join_all(asking).await;
        let hosts = app.hosts.in_environment(environment);
        let known: HashSet<Uuid> = hosts.iter().map(|host| host.id).collect();
        live.keep_parts(&known);
        tell_standing(app, environment, live);
        tokio::select! {
            () = sleep(ASK) => {}
            () = live.ask.notified() => {}
        }
    }
}

/// Tells browsers when the swarm stands otherwise than before.
fn tell_standing(app: &App, environment: Uuid, live: &Live) {
    if live.standing_changed() {
        tell(app, environment, Topic::Swarm, &environment.to_string());
    }
}

fn tell(app: &App, environment: Uuid, topic: Topic, id: &str) {
    app.events.publish_local(events::event(topic, Some(environment), id, Change::Updated));
}

/// Follows the swarm through whichever manager answers.
async fn follow(app: &App, environment: Uuid, live: &Live) {
    let mut last: Option<Uuid> = None;
    loop {
        let Some(host) = live.pick_manager(last) else {
            live.parts_changed.notified().await;
            continue;
        };
        last = Some(host);
        let ended = match app.hosts.docker(environment, host) {
            Ok(docker) => session(app, environment, live, host, &docker).await,
            Err(error) => error,
        };
        tracing::info!(%environment, %host, error = %ended, "a swarm's manager no longer answers");
        live.set_lost(ended.kind(), ended.message());
        tell_standing(app, environment, live);
        tokio::select! {
            () = sleep(Duration::from_secs(1)) => {}
            () = live.poke.notified() => {}
        }
    }
}

/// What is to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Swarm,
    Nodes,
    Services,
    Tasks,
    Secrets,
    Configs,
    Networks,
}

impl Part {
    const ALL: [Self; 7] = [
        Self::Swarm,
        Self::Nodes,
        Self::Services,
        Self::Tasks,
        Self::Secrets,
        Self::Configs,
        Self::Networks,
    ];

    /// What an event of this kind has changed.
    fn of_event(kind: &str) -> &'static [Self] {
        match kind {
            "service" => &[Self::Services, Self::Tasks],
            "node" => &[Self::Nodes, Self::Tasks],
            "secret" => &[Self::Secrets],
            "config" => &[Self::Configs],
            "network" => &[Self::Networks],
            _ => &[],
        }
    }
}

/// One manager, for as long as it answers; the end is always an error.
async fn session(
    app: &App,
    environment: Uuid,
    live: &Live,
    host: Uuid,
    docker: &Docker,
) -> DockerError {
    match read_on(app, environment, live, host, docker).await {
        Ok(()) => DockerError::new(ErrorKind::NotManager, "The manager is not one any more."),
        Err(error) => error,
    }
}

async fn read_on(
    app: &App,
    environment: Uuid,
    live: &Live,
    host: Uuid,
    docker: &Docker,
) -> Result<()> {
    // Before the lists, so that nothing falls between.
    let mut told = docker.swarm_events().await?.ready_chunks(256);
    let mut due: BTreeMap<Part, Instant> = Part::ALL.map(|part| (part, Instant::now())).into();
    let mut names = Names::default();
    loop {
        let now = Instant::now();
        let ready: Vec<Part> =
            due.iter().filter(|(_, at)| **at <= now).map(|(part, _)| *part).collect();
        for part in ready {
            read(app, environment, live, docker, part, &mut names).await?;
            due.insert(part, Instant::now() + pause(part, live));
        }
        if live.set_answering(host, docker) {
            tell_standing(app, environment, live);
            app.swarms.wake_all();
        }
        let next = due.values().min().copied().unwrap_or(now + ALL);
        let mut soon = |part: Part| {
            let at = Instant::now() + SOON;
            let known = due.entry(part).or_insert(at);
            *known = at.min(*known);
        };
        tokio::select! {
            events = told.next() => {
                let events = events.ok_or_else(|| DockerError::new(
                    ErrorKind::HostUnreachable,
                    "The manager closed the connection; it may be restarting.",
                ))?;
                for event in events {
                    Part::of_event(&event?.kind).iter().for_each(|part| soon(*part));
                }
            }
            () = live.poke.notified() => Part::ALL.into_iter().for_each(soon),
            () = live.tasks_changed.notified() => soon(Part::Tasks),
            () = live.parts_changed.notified() => {
                if !live.is_manager(host) {
                    return Ok(());
                }
            }
            () = sleep_until(next) => {}
        }
    }
}

/// How long until a part is read again by itself.
fn pause(part: Part, live: &Live) -> Duration {
    match part {
        Part::Nodes => NODES,
        Part::Tasks | Part::Services if live.view().is_moving() => QUICK,
        Part::Tasks => SLOW,
        Part::Swarm => Duration::from_secs(20),
        _ => ALL,
    }
}

async fn read(
    app: &App,
    environment: Uuid,
    live: &Live,
    docker: &Docker,
    part: Part,
    names: &mut Names,
) -> Result<()> {
    match part {
        Part::Swarm => {
            let swarm = docker.swarm().await?;
            let facts = ClusterFacts {
                autolock: swarm.spec["EncryptionConfig"]["AutoLockManagers"] == true,
                ca_rotating: swarm.root_rotation_in_progress,
                task_history: swarm.spec["Orchestration"]["TaskHistoryRetentionLimit"]
                    .as_u64()
                    .and_then(|n| n.try_into().ok()),
                id: swarm.id,
            };
            if live.update(|view| replace(&mut view.cluster, Some(Arc::new(facts)))) {
                tell(app, environment, Topic::Swarm, &environment.to_string());
            }
        }
        Part::Nodes => {
            let mut nodes = docker.list_nodes().await?;
            nodes.sort_by(|a, b| a.description.hostname.cmp(&b.description.hostname));
            // The version grows with each heartbeat of a manager's status too.
            if live.update(|view| replace(&mut view.nodes, Arc::new(nodes))) {
                tell(app, environment, Topic::Swarm, &environment.to_string());
            }
        }
        Part::Services => {
            let found = docker.list_services(&[]).await?;
            let services: BTreeMap<String, SeenService> = found
                .iter()
                .map(|service| (service.id.clone(), SeenService::read(environment, service)))
                .collect();
            let before = live.view().services.clone();
            if live.update(|view| replace(&mut view.services, Arc::new(services))) {
                let after = live.view().services.clone();
                let changed = differing(&before, &after);
                let stacks = changed.iter().flat_map(|id| {
                    [before.get(*id), after.get(*id)].into_iter().flatten().filter_map(stack_of)
                });
                app.swarms.wake(stacks.collect::<HashSet<_>>());
                tell_services(app, environment, changed.into_iter());
            }
        }
        Part::Tasks => {
            let found = docker.list_tasks("", &[]).await?;
            let tasks: Vec<SeenTask> = found
                .into_iter()
                // Tasks without a service are networks that containers are attached to.
                .filter(|task| !task.service_id.is_empty())
                .map(|task| names.task(task))
                .collect();
            let before = live.view().tasks.clone();
            if live.update(|view| replace(&mut view.tasks, Arc::new(tasks))) {
                let view = live.view();
                let changed = changed_tasks(&before, &view.tasks);
                let services = changed.iter().filter_map(|id| view.services.get(*id));
                app.swarms.wake(services.filter_map(stack_of).collect::<HashSet<_>>());
                tell_services(app, environment, changed.into_iter());
            }
        }
        Part::Secrets | Part::Configs => {
            let kind = if part == Part::Secrets { BlobKind::Secret } else { BlobKind::Config };
            let found = docker.list_blobs(kind, &[]).await?;
            let blobs: Vec<_> =
                found.into_iter().map(|blob| SeenBlob::read(environment, blob)).collect();
            let changed = live.update(|view| {
                let place =
                    if kind == BlobKind::Secret { &mut view.secrets } else { &mut view.configs };
                replace(place, Arc::new(blobs))
            });
            if changed {
                tell(app, environment, Topic::SwarmResources, "");
            }
        }
        Part::Networks => {
            let found = docker.list_networks().await?;
            let networks: Vec<_> =
                found.into_iter().filter_map(|n| SeenNetwork::read(environment, n)).collect();
            if live.update(|view| replace(&mut view.networks, Arc::new(networks))) {
                tell(app, environment, Topic::SwarmResources, "");
            }
        }
    }
    Ok(())
}

/// Puts a value in place; true when it is another one.
fn replace<T: PartialEq>(place: &mut T, new: T) -> bool {
    let changed = *place != new;
    if changed {
        *place = new;
    }
    changed
}

fn stack_of(service: &SeenService) -> Option<Uuid> {
    service.belongs.stack_id
}

fn differing<'a>(
    before: &'a BTreeMap<String, SeenService>,
    after: &'a BTreeMap<String, SeenService>,
) -> HashSet<&'a str> {
    let ids: HashSet<&String> = before.keys().chain(after.keys()).collect();
    ids.into_iter().filter(|id| before.get(*id) != after.get(*id)).map(String::as_str).collect()
}

/// The services of tasks that are new, other or gone.
fn changed_tasks<'a>(before: &'a [SeenTask], after: &'a [SeenTask]) -> HashSet<&'a str> {
    let old: HashMap<&str, &SeenTask> =
        before.iter().map(|task| (task.id.as_str(), task)).collect();
    let new: HashSet<&str> = after.iter().map(|task| task.id.as_str()).collect();
    let changed = after.iter().filter(|task| old.get(task.id.as_str()) != Some(task));
    let gone = before.iter().filter(|task| !new.contains(task.id.as_str()));
    changed.chain(gone).map(|task| task.service_id.as_str()).collect()
}

fn tell_services<'a>(
    app: &App,
    environment: Uuid,
    changed: impl ExactSizeIterator<Item = &'a str>,
) {
    if changed.len() > MOST_TOLD {
        tell(app, environment, Topic::SwarmService, "");
    } else {
        changed.for_each(|id| tell(app, environment, Topic::SwarmService, id));
    }
}

/// A container on one of the hosts has changed: it may be a task's.
async fn wake_on_containers(app: &App, environment: Uuid, live: &Live) {
    let mut changes = app.hosts.changes();
    loop {
        match changes.recv().await {
            Ok(change) if change.environment_id == environment => live.tasks_changed.notify_one(),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => live.tasks_changed.notify_one(),
            Err(RecvError::Closed) => return,
        }
    }
}
