//! The connections to hosts: one supervisor, and one task per host that is not switched off.
//!
//! The supervisor compares the table `hosts` with what runs, whenever it is told of a change (by
//! this replica or another) and every half a minute. A host's task connects, reads what is there,
//! follows the engine's events, and starts over with growing pauses when the connection breaks. It
//! alone changes its [`LiveHost`] and its part of the index.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use drover_api::{
    Change, Endpoint, Event, Health, HostEvent, HostMode, HostState, TlsCredentials, Topic,
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use indexmap::IndexSet;
use time::OffsetDateTime;
use tokio::{
    sync::broadcast::error::{RecvError, TryRecvError},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

use super::{
    ContainerChange, HostRow, Hosts, LiveHost, container_object, drain,
    driver::{
        ContainerSummary, Dialer, Docker, DockerError, ErrorKind, Filter, Result,
        stream::EngineEvent,
    },
    index::IndexChange,
    read, resources, stack_of, store, usage, write,
};
use crate::{app::App, events};

/// How often everything on a host is read again, in case an event was missed.
const RESYNC: Duration = Duration::from_secs(60);
/// A host that has said nothing for so long is asked whether it is there.
const QUIET: Duration = Duration::from_secs(15);
/// News of resources waits for a moment, since they come in bursts.
const SOON: Duration = Duration::from_millis(250);
/// After so many events at once that all was read, all is read again when they have settled.
const SETTLED: Duration = Duration::from_secs(2);
/// The longest pause between tries to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long an agent may take to say that it is there.
const AGENT: Duration = Duration::from_secs(3);
/// How often the table is read without being told.
const RELOAD: Duration = Duration::from_secs(30);
/// More containers than this are read by one list of all.
const MOST_BY_ID: usize = 64;
/// So many are read at a time.
const AT_ONCE: usize = 8;
/// More changes than this at once are told as one.
const MOST_TOLD: usize = 200;

/// Starts the supervisor, and what watches the drains.
pub fn spawn(app: App) {
    tokio::spawn(drain::watch(app.clone()));
    tokio::spawn(supervise(app));
}

/// A host whose row is known.
struct Supervised {
    host: Arc<LiveHost>,
    /// Its connection, unless it is switched off.
    connection: Option<Connection>,
}

struct Connection {
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Connection {
    async fn stop(self) {
        self.cancel.cancel();
        let _ = self.task.await;
    }
}

async fn supervise(app: App) {
    let mut events = app.events.subscribe();
    let mut known: HashMap<Uuid, Supervised> = HashMap::new();
    loop {
        let read_at = Instant::now();
        let pause = match store::all(&app.db).await {
            Ok(rows) => {
                reconcile(&app, &mut known, rows).await;
                RELOAD
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read the hosts; those known stay connected");
                Duration::from_secs(2)
            }
        };
        let told = async {
            loop {
                match events.recv().await {
                    Ok(told) if concerns_rows(&told.event) => return,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = told => {}
            () = app.hosts.rows_changed.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        // A server with a thousand hosts hears of all of them when it starts.
        tokio::time::sleep_until(read_at + SOON).await;
        while let Ok(_) | Err(TryRecvError::Lagged(_)) = events.try_recv() {}
    }
}

fn concerns_rows(event: &Event) -> bool {
    match event.topic {
        // Those that carry an object tell of use, not of rows.
        Topic::Host => event.object.is_none(),
        Topic::Environment => event.change == Change::Removed,
        _ => false,
    }
}

async fn reconcile(app: &App, known: &mut HashMap<Uuid, Supervised>, rows: Vec<HostRow>) {
    let ids: HashSet<Uuid> = rows.iter().map(|row| row.id).collect();
    let gone: Vec<Uuid> = known.keys().filter(|id| !ids.contains(id)).copied().collect();
    for id in gone {
        let Some(supervised) = known.remove(&id) else { continue };
        if let Some(connection) = supervised.connection {
            connection.stop().await;
        }
        write(&app.hosts.live).remove(&id);
        // Its agent asks again, and is told that the host is gone.
        app.tunnels.cut(id);
        let host = supervised.host;
        tell(app, &host, app.hosts.index.remove_host(host.environment_id, id));
        tracing::info!(host = %host.row().name, "host removed");
    }
    for row in rows {
        match known.get_mut(&row.id) {
            Some(supervised) => change(app, supervised, row).await,
            None => {
                app.hosts.index.set_host(row.environment_id, row.id, &row.name);
                let id = row.id;
                let host = Arc::new(LiveHost::new(row));
                write(&app.hosts.live).insert(id, host.clone());
                let mut supervised = Supervised { host, connection: None };
                start(app, &mut supervised);
                known.insert(id, supervised);
            }
        }
    }
}

/// Takes a new version of a host's row.
async fn change(app: &App, supervised: &mut Supervised, row: HostRow) {
    let before = supervised.host.row();
    if before.version == row.version {
        return;
    }
    let reconnect = before.endpoint != row.endpoint
        || before.tls != row.tls
        || (before.mode == HostMode::Inactive) != (row.mode == HostMode::Inactive);
    app.hosts.index.set_host(row.environment_id, row.id, &row.name);
    *write(&supervised.host.row) = Arc::new(row);
    if reconnect {
        if let Some(connection) = supervised.connection.take() {
            connection.stop().await;
        }
        start(app, supervised);
    } else {
        supervised.host.take_mode(app);
    }
}

fn start(app: &App, supervised: &mut Supervised) {
    let host = supervised.host.clone();
    let index = app.hosts.index();
    if host.row().mode == HostMode::Inactive {
        // What is on a host that nobody watches is not known.
        let gone = index.remove_host(host.environment_id, host.id);
        index.set_host(host.environment_id, host.id, &host.row().name);
        index.set_away(host.environment_id, host.id, None);
        tell(app, &host, gone);
        host.stand(app, HostState::Inactive, None, None);
        return;
    }
    host.stand(app, HostState::Connecting, None, None);
    let cancel = CancellationToken::new();
    let task = {
        let (app, cancel) = (app.clone(), cancel.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = keep_connected(&app, &host) => {}
                () = cancel.cancelled() => host.lose(&app),
            }
        })
    };
    supervised.connection = Some(Connection { cancel, task });
}

/// Connects again and again.
async fn keep_connected(app: &App, host: &Arc<LiveHost>) {
    let mut tries = 0;
    loop {
        let Err(error) = session(app, host, &mut tries).await;
        host.lose(app);
        let state = match error.kind() {
            // Only a person can mend these. Tried again all the same: the person may do so on the
            // host.
            ErrorKind::TlsFailed | ErrorKind::Refused => HostState::Error,
            _ => HostState::Reconnecting,
        };
        tracing::warn!(host = %host.row().name, host_id = %host.id, %error, "host not connected");
        // Whether the engine is gone or the agent: what to do differs.
        let agent = match host.row().endpoint {
            Endpoint::Agent => app.tunnels.way(host.id).why_not(AGENT).await,
            _ => None,
        };
        let reason = agent.unwrap_or_else(|| error.message().to_owned());
        host.stand(app, state, Some(reason), None);
        tokio::select! {
            () = tokio::time::sleep(pause_after(tries)) => tries += 1,
            // Its agent has connected.
            () = host.again.notified() => {}
        }
    }
}

/// Half a second, doubled with each try in vain, with a part left to chance so that many hosts
/// do not all come at once.
fn pause_after(tries: u32) -> Duration {
    let pause = Duration::from_millis(500 << tries.min(6)).min(LONGEST_PAUSE);
    pause.mul_f64(0.75 + rand::random::<f64>() / 4.0)
}

/// One connection, from its beginning to its end, which is always an error.
async fn session(app: &App, host: &Arc<LiveHost>, tries: &mut u32) -> Result<Infallible> {
    let docker = Docker::connect(dialer(app, &host.row())?).await?;
    // Before the list, so that nothing falls between.
    let mut events = docker.events().await?.ready_chunks(512);
    learn_facts(app, host, &docker).await?;
    read_all(app, host, &docker).await?;
    *tries = 0;
    let state = connected_state(host.row().mode);
    host.stand(app, state, None, Some(docker.clone()));
    tracing::info!(host = %host.row().name, host_id = %host.id, "host connected");

    let _measuring = AbortOnDropHandle::new(tokio::spawn(usage::measure(
        app.clone(),
        host.clone(),
        docker.clone(),
    )));
    let mut resync = tokio::time::interval_at(Instant::now() + RESYNC, RESYNC);
    resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reader = Reader::new(docker.clone());
    let mut resources_told: Option<Instant> = None;
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            told = events.next() => {
                let told = told.ok_or_else(|| DockerError::new(
                    ErrorKind::HostUnreachable,
                    "The engine closed the connection; it may be restarting.",
                ))?;
                heard = Instant::now();
                host.hear();
                for event in told {
                    if take_event(app, host, event?, &mut reader) {
                        resources_told.get_or_insert_with(|| Instant::now() + SOON);
                    }
                }
                if reader.wanted.len() > MOST_BY_ID {
                    reader.wanted.clear();
                    read_all(app, host, &docker).await?;
                    resync.reset_after(SETTLED);
                }
            }
            (id, answer) = reader.next() => match answer {
                Ok(Some(summary)) => take_container(app, host, summary),
                Ok(None) => drop_container(app, host, &id),
                Err(error) if error.kind() == ErrorKind::HostUnreachable => return Err(error),
                // The next reading of all tells it.
                Err(error) => tracing::warn!(host_id = %host.id, container = %id, %error, "cannot read a container"),
            },
            () = at(resources_told) => {
                resources_told = None;
                app.events.publish_local(events::event(
                    Topic::HostResources, Some(host.environment_id), host.id, Change::Updated,
                ));
            }
            _ = resync.tick() => {
                read_all(app, host, &docker).await?;
                learn_facts(app, host, &docker).await?;
                heard = Instant::now();
                host.hear();
            }
            () = tokio::time::sleep_until(heard + QUIET) => {
                docker.ping().await?;
                heard = Instant::now();
                host.hear();
            }
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

type Reading = BoxFuture<'static, (String, Result<Option<ContainerSummary>>)>;

/// Reads containers that events have named: a few at a time, and each once for all the events
/// that come while it waits. A container that the engine is slow to tell of holds up no other.
struct Reader {
    docker: Docker,
    wanted: IndexSet<String>,
    reading: FuturesUnordered<Reading>,
    in_flight: HashSet<String>,
}

impl Reader {
    fn new(docker: Docker) -> Self {
        Self {
            docker,
            wanted: IndexSet::new(),
            reading: FuturesUnordered::new(),
            in_flight: HashSet::new(),
        }
    }

    fn want(&mut self, id: &str) {
        self.wanted.insert(id.to_owned());
    }

    /// The next container read; waits while there is none.
    async fn next(&mut self) -> (String, Result<Option<ContainerSummary>>) {
        self.start();
        match self.reading.next().await {
            Some((id, answer)) => {
                self.in_flight.remove(&id);
                (id, answer)
            }
            None => std::future::pending().await,
        }
    }

    fn start(&mut self) {
        while self.in_flight.len() < AT_ONCE {
            // One that is being read is read again afterwards: what is under way may be too old.
            let free = self.wanted.iter().find(|id| !self.in_flight.contains(*id)).cloned();
            let Some(id) = free else { return };
            self.wanted.shift_remove(&id);
            self.in_flight.insert(id.clone());
            let docker = self.docker.clone();
            self.reading.push(Box::pin(async move {
                let answer = docker.container_summary(&id).await;
                (id, answer)
            }));
        }
    }
}

/// Opens a host's way with its credentials.
fn dialer(app: &App, row: &HostRow) -> Result<Dialer> {
    if row.endpoint == Endpoint::Agent {
        return Ok(Dialer::through(app.tunnels.way(row.id)));
    }
    let tls = match &row.tls {
        None => None,
        Some(sealed) => Some(open_tls(app, sealed)?),
    };
    Dialer::new(&row.endpoint, tls.as_ref())
}

/// Decrypts stored TLS credentials.
pub(super) fn open_tls(app: &App, sealed: &[u8]) -> Result<TlsCredentials> {
    let wrong = |why: String| {
        DockerError::new(
            ErrorKind::TlsFailed,
            format!("The TLS credentials cannot be read: {why}."),
        )
    };
    let plain = app.cipher.open(sealed).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_slice(&plain).map_err(|_| wrong("they are not as expected".into()))
}

fn connected_state(mode: HostMode) -> HostState {
    if mode == HostMode::Draining { HostState::Draining } else { HostState::Active }
}

/// Asks the engine about itself, and keeps what is new.
async fn learn_facts(app: &App, host: &LiveHost, docker: &Docker) -> Result<()> {
    let facts = docker.facts().await?;
    let kept = if host.row().facts.as_ref() == Some(&facts) {
        store::set_last_contact(&app.db, host.id, OffsetDateTime::now_utc()).await
    } else {
        let row = HostRow { facts: Some(facts.clone()), ..HostRow::clone(&host.row()) };
        *write(&host.row) = Arc::new(row);
        store::set_facts(&app.db, host.id, &facts).await
    };
    if let Err(error) = kept {
        // The connection is worth more than the record of it.
        tracing::warn!(%error, host_id = %host.id, "cannot keep what the host says of itself");
    }
    Ok(())
}

/// Reads all containers of a host anew.
async fn read_all(app: &App, host: &LiveHost, docker: &Docker) -> Result<()> {
    let index = app.hosts.index();
    let Some(host_ref) = index.host_ref(host.environment_id, host.id) else { return Ok(()) };
    let mut found = Vec::new();
    docker
        .each_container(&Filter::default(), |mut summary| {
            // The list names an image by its id once its tag has moved on.
            if summary.image.starts_with("sha256:")
                && let Some(before) = index.get(host.environment_id, host.id, &summary.id)
            {
                summary.image = before.image.to_string();
            }
            found.push(index.entry(host.environment_id, &host_ref, summary));
        })
        .await?;
    tell(app, host, index.replace_host(host.environment_id, host.id, found));
    Ok(())
}

fn take_container(app: &App, host: &LiveHost, summary: ContainerSummary) {
    let index = app.hosts.index();
    let Some(host_ref) = index.host_ref(host.environment_id, host.id) else { return };
    let entry = index.entry(host.environment_id, &host_ref, summary);
    tell(app, host, index.upsert(host.environment_id, entry).into_iter().collect());
}

fn drop_container(app: &App, host: &LiveHost, id: &str) {
    let gone = app.hosts.index().remove(host.environment_id, host.id, id);
    tell(app, host, gone.into_iter().collect());
}

/// Does what an event asks for; true when it tells of images, volumes or networks.
fn take_event(app: &App, host: &LiveHost, event: EngineEvent, reader: &mut Reader) -> bool {
    let resources = match event.kind.as_str() {
        "container" if event.action == "destroy" => {
            reader.wanted.shift_remove(&event.actor.id);
            drop_container(app, host, &event.actor.id);
            false
        }
        "container" => {
            reader.want(&event.actor.id);
            false
        }
        kind => {
            if kind == "network"
                && let Some(container) = event.actor.attributes.get("container")
            {
                reader.want(container);
            }
            let kind = resources::Kind::parse(kind);
            host.resources.forget(kind.as_slice());
            kind.is_some()
        }
    };
    host.keep_event(to_api(event));
    resources
}

fn to_api(event: EngineEvent) -> HostEvent {
    let attribute = |key: &str| event.actor.attributes.get(key).cloned();
    let at = OffsetDateTime::from_unix_timestamp_nanos(event.time_nano.into());
    HostEvent {
        at: at.unwrap_or(OffsetDateTime::UNIX_EPOCH).into(),
        name: attribute("name").unwrap_or_else(|| event.actor.id.clone()),
        container_id: attribute("container"),
        exit_code: attribute("exitCode").and_then(|code| code.parse().ok()),
        id: event.actor.id.clone(),
        kind: event.kind,
        action: event.action,
    }
}

/// Tells browsers and reconcilers of changed containers.
fn tell(app: &App, host: &LiveHost, changes: Vec<IndexChange>) {
    if changes.is_empty() {
        return;
    }
    let stacks: HashSet<Option<Uuid>> = changes.iter().map(stack_of).collect();
    let (environment_id, host_id) = (host.environment_id, host.id);
    let event = |id: &str, change, object| Event {
        topic: Topic::Container,
        environment_id: Some(environment_id),
        id: id.to_owned(),
        host_id: Some(host_id),
        change,
        object,
    };
    if changes.len() > MOST_TOLD {
        app.events.publish_local(event("", Change::Updated, None));
    } else {
        for change in &changes {
            let entry = change.entry();
            app.events.publish_local(match change {
                IndexChange::Updated(_) => {
                    event(&entry.id, Change::Updated, container_object(entry))
                }
                IndexChange::Removed(_) => event(&entry.id, Change::Removed, None),
            });
        }
    }
    app.hosts.tell_reconcilers(host, stacks);
}

/// Takes what the server's own health checks say of a container, and tells of it.
pub(crate) fn show_health(app: &App, host: &LiveHost, id: &str, health: Option<Health>) {
    let changed = app.hosts.index().set_checked(host.environment_id, host.id, id, health);
    tell(app, host, changed.into_iter().collect());
}

impl Hosts {
    fn tell_reconcilers(&self, host: &LiveHost, stacks: HashSet<Option<Uuid>>) {
        for stack_id in stacks {
            // Nobody may be listening.
            let _ = self.changes.send(ContainerChange {
                environment_id: host.environment_id,
                host_id: host.id,
                stack_id,
            });
        }
    }
}

impl LiveHost {
    /// Takes a new standing and tells of it.
    fn stand(&self, app: &App, state: HostState, reason: Option<String>, docker: Option<Docker>) {
        let connected = docker.is_some();
        let changed = {
            let mut standing = write(&self.standing);
            let changed = standing.state != state
                || standing.reason != reason
                || standing.docker.is_some() != connected;
            standing.state = state;
            standing.reason = reason;
            standing.docker = docker;
            if connected {
                standing.last_contact_at = Some(OffsetDateTime::now_utc());
            }
            changed
        };
        if connected {
            app.hosts.index.set_away(self.environment_id, self.id, None);
        }
        if changed {
            self.tell_standing(app);
        }
    }

    /// The connection has ended.
    fn lose(&self, app: &App) {
        self.resources.forget(&resources::Kind::ALL);
        let lost = write(&self.standing).docker.take().is_some();
        if lost {
            let now = std::time::Instant::now();
            app.hosts.index.set_away(self.environment_id, self.id, Some(now));
        }
    }

    /// The engine has said something.
    fn hear(&self) {
        write(&self.standing).last_contact_at = Some(OffsetDateTime::now_utc());
    }

    /// A connected host was set to drain, or back.
    fn take_mode(&self, app: &App) {
        let mode = self.row().mode;
        {
            let mut standing = write(&self.standing);
            if standing.docker.is_some() {
                standing.state = connected_state(mode);
            }
        }
        self.tell_standing(app);
    }

    fn tell_standing(&self, app: &App) {
        app.events.publish_local(events::event(
            Topic::Host,
            Some(self.environment_id),
            self.id,
            Change::Updated,
        ));
        // Where a host stands decides what can be placed on it: every stack may care.
        app.hosts.tell_reconcilers(self, HashSet::from([None]));
    }

    /// Its name, for messages.
    pub fn name(&self) -> String {
        read(&self.row).name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute() {
        assert!(pause_after(0) <= Duration::from_millis(500));
        assert!(pause_after(3) > Duration::from_secs(2));
        for tries in [6, 20, u32::MAX] {
            let pause = pause_after(tries);
            assert!(pause <= LONGEST_PAUSE && pause >= LONGEST_PAUSE.mul_f64(0.7), "{pause:?}");
        }
    }

    #[test]
    fn only_rows_wake_the_supervisor() {
        let mut event = events::event(Topic::Host, None, "x", Change::Updated);
        assert!(concerns_rows(&event));
        event.object = Some(serde_json::json!({}));
        assert!(!concerns_rows(&event));
        let environment = events::event(Topic::Environment, None, "x", Change::Removed);
        assert!(concerns_rows(&environment));
        assert!(!concerns_rows(&events::event(Topic::Stack, None, "x", Change::Updated)));
    }
}
