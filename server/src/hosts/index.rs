//! The live index: every container of every host, in memory, compact, always in order.
//!
//! Owned by the connections: the task of a host alone writes that host's containers
//! ([`Index::replace_host`], [`Index::upsert`], [`Index::remove`]); everybody reads. A write takes
//! microseconds, since it moves one row within the orders that have been asked for. A read filters
//! an order that is there already, and whole answers are kept as bytes until the environment's
//! revision moves on ([`Index::page_bytes`]).

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    io::Write,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{self, AtomicU64},
    },
    time::Instant,
};

use bytes::Bytes;
use drover_api::{
    Container, ContainerCounts, ContainerState, Freshness, Health, List, PublishedPort, Timestamp,
};
use drover_kubernetes::index::{contains_ignoring_case, natural};
use flate2::{Compression, write::GzEncoder};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{driver::ContainerSummary, labels};

/// A container, as small as can be: 10,000 of them take a few MiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The engine's id.
    pub id: Arc<str>,
    /// Without the leading slash.
    pub name: Box<str>,
    /// Where it is.
    pub host: Arc<HostRef>,
    /// The image as asked for.
    pub image: Arc<str>,
    /// The image's id.
    pub image_id: Arc<str>,
    /// Where it stands.
    pub state: ContainerState,
    /// What its health check says.
    pub health: Option<Health>,
    /// Of the last run, when ended.
    pub exit_code: Option<i64>,
    /// When it was made, seconds since the Unix epoch.
    pub created: i64,
    /// Published and exposed ports.
    pub ports: Box<[Port]>,
    /// What of Drover's it is; `None` for containers that Drover did not make.
    pub owner: Option<Box<Owner>>,
    /// Made by another environment or installation of Drover: hands off.
    pub foreign: bool,
    /// The named volumes that it has mounted.
    pub volumes: Box<[Arc<str>]>,
    /// The names of its networks.
    pub networks: Box<[Arc<str>]>,
}

/// A host's id and name, shared by its containers.
#[derive(Debug, PartialEq, Eq)]
pub struct HostRef {
    /// The host's id.
    pub id: Uuid,
    /// Its name.
    pub name: Box<str>,
}

/// What Drover's labels say of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The stack's id.
    pub stack_id: Uuid,
    /// The stack's name.
    pub stack_name: Arc<str>,
    /// The service in that stack.
    pub service: Arc<str>,
    /// The instance that this container is one try of.
    pub instance: Option<Uuid>,
    /// The stack's revision that it was made from.
    pub revision: i32,
    /// The digest of all that it was made from.
    pub spec: Arc<str>,
}

/// A port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// In the container.
    pub container: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: Protocol,
    /// On the host.
    pub host: Option<u16>,
    /// The host's address.
    pub ip: Option<IpAddr>,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    fn parse(text: &str) -> Self {
        match text {
            "udp" => Self::Udp,
            "sctp" => Self::Sctp,
            _ => Self::Tcp,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl Entry {
    /// As the API tells it.
    pub fn to_api(&self) -> Container {
        let owner = self.owner.as_deref();
        Container {
            id: self.id.to_string(),
            name: self.name.to_string(),
            host_id: self.host.id,
            host_name: self.host.name.to_string(),
            image: self.image.to_string(),
            state: self.state,
            health: self.health,
            status: self.status(),
            exit_code: self.exit_code,
            created_at: timestamp(self.created),
            ports: self
                .ports
                .iter()
                .map(|port| PublishedPort {
                    host_ip: port.ip.map(|ip| ip.to_string()),
                    host_port: port.host,
                    container_port: port.container,
                    protocol: port.protocol.as_str().to_owned(),
                })
                .collect(),
            stack_id: owner.map(|owner| owner.stack_id),
            stack_name: owner.map(|owner| owner.stack_name.to_string()),
            service: owner.map(|owner| owner.service.to_string()),
            managed: owner.is_some(),
        }
    }

    /// In the engine's words but without its times, which would grow old here.
    fn status(&self) -> String {
        let state = match self.state {
            ContainerState::Created => "Created",
            ContainerState::Running => "Up",
            ContainerState::Paused => "Paused",
            ContainerState::Restarting => "Restarting",
            ContainerState::Removing => "Removing",
            ContainerState::Exited => "Exited",
            ContainerState::Dead => "Dead",
        };
        let health = match self.health {
            Some(Health::Starting) => " (health: starting)",
            Some(Health::Healthy) => " (healthy)",
            Some(Health::Unhealthy) => " (unhealthy)",
            None => "",
        };
        match self.exit_code {
            Some(code) => format!("{state} ({code})"),
            None => format!("{state}{health}"),
        }
    }

    fn matches_text(&self, needle: &str) -> bool {
        contains_ignoring_case(&self.name, needle)
            || contains_ignoring_case(&self.image, needle)
            || contains_ignoring_case(&self.host.name, needle)
            || self.id.starts_with(needle)
            || self.owner.as_deref().is_some_and(|owner| {
                contains_ignoring_case(&owner.service, needle)
                    || contains_ignoring_case(&owner.stack_name, needle)
            })
    }
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp(OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH))
}

/// What a list can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the fields of api::Container")]
pub enum Field {
    Name,
    State,
    Host,
    Image,
    Stack,
    Service,
    CreatedAt,
}

impl Field {
    /// All of them, by their names in the API.
    pub const NAMES: [(&'static str, Field); 7] = [
        ("name", Field::Name),
        ("state", Field::State),
        ("host_name", Field::Host),
        ("image", Field::Image),
        ("stack_name", Field::Stack),
        ("service", Field::Service),
        ("created_at", Field::CreatedAt),
    ];

    /// The field of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }

    fn compare(self, a: &Entry, b: &Entry) -> Ordering {
        fn owner(entry: &Entry) -> (&str, &str) {
            entry.owner.as_deref().map_or(("", ""), |o| (&o.stack_name, &o.service))
        }
        match self {
            Self::Name => natural(&a.name, &b.name),
            Self::State => a.state.cmp(&b.state).then(a.health.cmp(&b.health)),
            Self::Host => natural(&a.host.name, &b.host.name),
            Self::Image => natural(&a.image, &b.image),
            Self::Stack => natural(owner(a).0, owner(b).0),
            Self::Service => natural(owner(a).1, owner(b).1),
            Self::CreatedAt => a.created.cmp(&b.created),
        }
    }

    /// Like [`Field::compare`], but never equal for two containers.
    fn compare_whole(self, a: &Entry, b: &Entry) -> Ordering {
        self.compare(a, b)
            .then_with(|| natural(&a.name, &b.name))
            .then_with(|| a.id.cmp(&b.id))
            .then_with(|| a.host.id.cmp(&b.host.id))
    }
}

/// Which containers, in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerQuery {
    /// Any of these; all when empty.
    pub states: Vec<ContainerState>,
    /// With this health.
    pub health: Option<Health>,
    /// On this host.
    pub host: Option<Uuid>,
    /// Of this stack.
    pub stack: Option<Uuid>,
    /// Of services of this name.
    pub service: Option<String>,
    /// Made by Drover, or not.
    pub managed: Option<bool>,
    /// With this text in name, image, host, stack or service, or at the id's beginning.
    pub text: Option<String>,
    /// By these fields, `true` for descending; by name when empty.
    pub sort: Vec<(Field, bool)>,
    /// How many to skip.
    pub offset: usize,
    /// How many to answer.
    pub limit: usize,
}

impl ContainerQuery {
    fn matches(&self, entry: &Entry) -> bool {
        (self.states.is_empty() || self.states.contains(&entry.state))
            && self.host.is_none_or(|host| entry.host.id == host)
            && self.managed.is_none_or(|managed| entry.owner.is_some() == managed)
            && self.health.is_none_or(|health| entry.health == Some(health))
            && self
                .stack
                .is_none_or(|stack| entry.owner.as_deref().is_some_and(|o| o.stack_id == stack))
            && self.service.as_deref().is_none_or(|service| {
                entry.owner.as_deref().is_some_and(|o| *o.service == *service)
            })
            && self.text.as_deref().is_none_or(|text| entry.matches_text(text))
    }
}

/// An answer to a [`ContainerQuery`].
#[derive(Debug)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Arc<Entry>>,
    /// How many match in all.
    pub total: usize,
    /// The revision that it was read at.
    pub revision: u64,
}

/// What a write has changed.
#[derive(Debug, Clone)]
pub enum IndexChange {
    /// New, or other than before.
    Updated(Arc<Entry>),
    /// Gone.
    Removed(Arc<Entry>),
}

impl IndexChange {
    /// The container that it is about.
    pub fn entry(&self) -> &Arc<Entry> {
        match self {
            Self::Updated(entry) | Self::Removed(entry) => entry,
        }
    }
}

/// See the module's first lines.
pub struct Index {
    environments: RwLock<HashMap<Uuid, Arc<Environment>>>,
    names: Mutex<Names>,
    pages: Mutex<Pages>,
    /// What health checks of the server's own say, by container: it wins over the engine's.
    checked: RwLock<HashMap<String, Health>>,
}

struct Environment {
    revision: AtomicU64,
    rows: RwLock<Rows>,
}

#[derive(Default)]
struct Rows {
    slots: Vec<Option<Arc<Entry>>>,
    free: Vec<u32>,
    hosts: HashMap<Uuid, HostRows>,
    /// Slots in order, for the fields that have been asked for. Dropped by big writes and built
    /// again by the next read.
    orders: HashMap<Field, Vec<u32>>,
}

struct HostRows {
    host: Arc<HostRef>,
    by_id: HashMap<Arc<str>, u32>,
    counts: ContainerCounts,
    /// Since when nothing has been heard of it.
    away_since: Option<Instant>,
}

/// More changes than this at once drop the orders rather than mending them.
const BULK: usize = 256;

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// An empty index.
    pub fn new() -> Self {
        Self {
            environments: RwLock::default(),
            names: Mutex::default(),
            pages: Mutex::new(Pages::new(16 << 20)),
            checked: RwLock::default(),
        }
    }

    /// Adds a host, or gives it another name. It counts as away until [`Index::set_away`].
    pub fn set_host(&self, environment: Uuid, host: Uuid, name: &str) {
        let environment = self.environment_or_new(environment);
        let mut rows = write(&environment.rows);
        let known = rows.hosts.get(&host);
        if known.is_some_and(|known| *known.host.name == *name) {
            return;
        }
        let host_ref = Arc::new(HostRef { id: host, name: name.into() });
        match rows.hosts.get_mut(&host) {
            None => {
                let new = HostRows {
                    host: host_ref,
                    by_id: HashMap::new(),
                    counts: ContainerCounts::default(),
                    away_since: Some(Instant::now()),
                };
                rows.hosts.insert(host, new);
            }
            Some(known) => {
                known.host = host_ref.clone();
                let slots: Vec<u32> = known.by_id.values().copied().collect();
                rows.orders.clear();
                for slot in slots {
                    if let Some(entry) = rows.slots[slot as usize].as_mut() {
                        Arc::make_mut(entry).host = host_ref.clone();
                    }
                }
            }
        }
        environment.changed();
    }

    /// Tells since when a host has not been heard of; `None` when it is connected.
    pub fn set_away(&self, environment: Uuid, host: Uuid, since: Option<Instant>) {
        let Some(environment) = self.environment(environment) else {
            return;
        };
        if let Some(host) = write(&environment.rows).hosts.get_mut(&host) {
            host.away_since = since;
        }
    }

    /// Removes a host and its containers.
    pub fn remove_host(&self, environment: Uuid, host: Uuid) -> Vec<IndexChange> {
        let Some(environment) = self.environment(environment) else {
            return Vec::new();
        };
        let mut rows = write(&environment.rows);
        let ids: Vec<Arc<str>> = rows
            .hosts
            .get(&host)
            .map(|host| host.by_id.keys().cloned().collect())
            .unwrap_or_default();
        if ids.len() > BULK {
            rows.orders.clear();
        }
        let gone = ids.iter().filter_map(|id| rows.remove(host, id)).collect();
        rows.hosts.remove(&host);
        environment.changed();
        gone
    }

    /// Takes `found` as all the containers of a host, and answers what that changed.
    pub fn replace_host(
        &self,
        environment: Uuid,
        host: Uuid,
        found: Vec<Entry>,
    ) -> Vec<IndexChange> {
        let Some(environment) = self.environment(environment) else {
            return Vec::new();
        };
        let mut rows = write(&environment.rows);
        let Some(known) = rows.hosts.get(&host) else {
            return Vec::new();
        };
        let ids: HashSet<Arc<str>> = found.iter().map(|entry| entry.id.clone()).collect();
        let gone: Vec<Arc<str>> =
            known.by_id.keys().filter(|id| !ids.contains(*id)).cloned().collect();
        let new = found.iter().filter(|entry| !known.by_id.contains_key(&entry.id)).count();
        if gone.len() + new > BULK {
            rows.orders.clear();
        }
        let mut changes: Vec<IndexChange> =
            gone.iter().filter_map(|id| rows.remove(host, id)).collect();
        changes.extend(found.into_iter().filter_map(|entry| rows.upsert(entry)));
        if !changes.is_empty() {
            environment.changed();
        }
        changes
    }

    /// Adds or changes one container. `None` when that changed nothing, or its host is unknown.
    pub fn upsert(&self, environment: Uuid, entry: Entry) -> Option<IndexChange> {
        let environment = self.environment(environment)?;
        let change = write(&environment.rows).upsert(entry)?;
        environment.changed();
        Some(change)
    }

    /// Takes what the server's own checks say of a container; `None` when it is not checked.
    pub fn set_checked(
        &self,
        environment: Uuid,
        host: Uuid,
        id: &str,
        health: Option<Health>,
    ) -> Option<IndexChange> {
        match health {
            Some(health) => write(&self.checked).insert(id.to_owned(), health),
            None => write(&self.checked).remove(id),
        };
        let entry = self.get(environment, host, id)?;
        // Without a check of its own, the next reading tells what the engine says.
        let health = health.filter(|_| entry.state == ContainerState::Running);
        if health.is_none() || entry.health == health {
            return None;
        }
        self.upsert(environment, Entry { health, ..Entry::clone(&entry) })
    }

    /// Removes one container.
    pub fn remove(&self, environment: Uuid, host: Uuid, id: &str) -> Option<IndexChange> {
        let environment = self.environment(environment)?;
        let change = write(&environment.rows).remove(host, id)?;
        environment.changed();
        Some(change)
    }

    /// A container by its whole id.
    pub fn get(&self, environment: Uuid, host: Uuid, id: &str) -> Option<Arc<Entry>> {
        let environment = self.environment(environment)?;
        let rows = read(&environment.rows);
        let slot = rows.hosts.get(&host)?.by_id.get(id)?;
        rows.slots[*slot as usize].clone()
    }

    /// A container by its id, by an unambiguous beginning of it (8 digits at least), or by name.
    pub fn find(&self, environment: Uuid, host: Uuid, id: &str) -> Option<Arc<Entry>> {
        let environment = self.environment(environment)?;
        let rows = read(&environment.rows);
        let host = rows.hosts.get(&host)?;
        let entry = |slot: &u32| rows.slots[*slot as usize].clone();
        if let Some(slot) = host.by_id.get(id) {
            return entry(slot);
        }
        let all = || host.by_id.values().filter_map(entry);
        if let Some(named) = all().find(|entry| *entry.name == *id) {
            return Some(named);
        }
        let mut short = all().filter(|entry| id.len() >= 8 && entry.id.starts_with(id));
        let first = short.next()?;
        short.next().is_none().then_some(first)
    }

    /// All containers of a host.
    pub fn of_host(&self, environment: Uuid, host: Uuid) -> Vec<Arc<Entry>> {
        let Some(environment) = self.environment(environment) else {
            return Vec::new();
        };
        let rows = read(&environment.rows);
        let Some(host) = rows.hosts.get(&host) else {
            return Vec::new();
        };
        host.by_id.values().filter_map(|slot| rows.slots[*slot as usize].clone()).collect()
    }

    /// All containers of a stack, over all hosts of the environment.
    pub fn of_stack(&self, environment: Uuid, stack: Uuid) -> Vec<Arc<Entry>> {
        self.select(environment, |entry| {
            entry.owner.as_deref().is_some_and(|owner| owner.stack_id == stack)
        })
    }

    /// All containers of an environment that `wanted` likes.
    pub fn select(&self, environment: Uuid, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let Some(environment) = self.environment(environment) else {
            return Vec::new();
        };
        let rows = read(&environment.rows);
        rows.slots.iter().flatten().filter(|entry| wanted(entry)).cloned().collect()
    }

    /// A host's containers by state.
    pub fn counts(&self, environment: Uuid, host: Uuid) -> ContainerCounts {
        self.environment(environment)
            .and_then(|environment| Some(read(&environment.rows).hosts.get(&host)?.counts))
            .unwrap_or_default()
    }

    /// How fresh an environment's part of the index is.
    pub fn freshness(&self, environment: Uuid) -> Freshness {
        let Some(environment) = self.environment(environment) else {
            return Freshness { revision: 0, age_ms: 0 };
        };
        let away = read(&environment.rows).hosts.values().filter_map(|host| host.away_since).min();
        Freshness {
            revision: environment.revision(),
            age_ms: away.map_or(0, |since| since.elapsed().as_millis() as u64),
        }
    }

    /// Filters, sorts and cuts.
    pub fn query(&self, environment: Uuid, query: &ContainerQuery) -> Page {
        let Some(environment) = self.environment(environment) else {
            return Page { rows: Vec::new(), total: 0, revision: 0 };
        };
        let (field, descending) = query.sort.first().copied().unwrap_or((Field::Name, false));
        let rows = environment.rows_ordered_by(field);
        let revision = environment.revision();
        let Some(order) = rows.orders.get(&field) else {
            return Page { rows: Vec::new(), total: 0, revision };
        };
        let matching = order
            .iter()
            .filter_map(|slot| rows.slots[*slot as usize].as_ref())
            .filter(|entry| query.matches(entry));
        if query.sort.len() > 1 {
            let mut found: Vec<Arc<Entry>> = matching.cloned().collect();
            drop(rows);
            found.sort_by(|a, b| compare_by(&query.sort, a, b));
            let total = found.len();
            let rows = found.into_iter().skip(query.offset).take(query.limit).collect();
            return Page { rows, total, revision };
        }
        let mut page = Page { rows: Vec::new(), total: 0, revision };
        let end = query.offset.saturating_add(query.limit);
        let mut take = |entry: &Arc<Entry>| {
            if (query.offset..end).contains(&page.total) {
                page.rows.push(entry.clone());
            }
            page.total += 1;
        };
        // Not `matching.rev()` for both: a boxed iterator would cost more than the filter.
        if descending {
            matching.rev().for_each(&mut take)
        } else {
            matching.for_each(&mut take)
        }
        page
    }

    /// The whole answer to a list, as JSON. `key` is the request's query string, `parse` makes the
    /// query of it and is called only when there is no answer of this revision yet. The answer may
    /// come in the given encoding, or plain.
    pub fn page_bytes<E>(
        &self,
        environment: Uuid,
        key: &str,
        accepted: Encoding,
        parse: impl FnOnce() -> Result<ContainerQuery, E>,
    ) -> Result<PageBytes, E> {
        let freshness = self.freshness(environment);
        let kept = lock(&self.pages).get(environment, key, freshness.revision);
        let kept = match kept {
            Some(kept) => kept,
            None => {
                let query = parse()?;
                let page = self.query(environment, &query);
                let fresh = Arc::new(KeptPage::new(&query, &page));
                if key.len() <= LONGEST_KEY {
                    lock(&self.pages).put(environment, key, fresh.clone());
                }
                fresh
            }
        };
        if freshness.age_ms > 0 {
            // A host is away: the age grows with each answer.
            let bytes = kept.with_age(freshness.age_ms);
            return Ok(PageBytes { bytes, encoding: Encoding::Plain });
        }
        let encoding = if kept.plain.len() > LEAST_COMPRESSED { accepted } else { Encoding::Plain };
        Ok(PageBytes { bytes: kept.encoded(encoding), encoding })
    }

    /// Makes an entry of what an engine's list says. `environment` decides whether Drover's labels
    /// on it count: another installation's containers are not ours.
    pub fn entry(
        &self,
        environment: Uuid,
        host: &Arc<HostRef>,
        summary: ContainerSummary,
    ) -> Entry {
        let mut names = lock(&self.names);
        let state = parse_state(&summary.state);
        let owner = labels::owner(environment, &summary.labels, |text| names.share(text));
        let mut ports: Vec<Port> = summary
            .ports
            .iter()
            .map(|port| Port {
                container: port.private_port,
                protocol: Protocol::parse(&port.protocol),
                host: port.public_port.filter(|port| *port != 0),
                ip: port.ip.as_deref().and_then(|ip| ip.parse().ok()),
            })
            .collect();
        // Engines tell them in no order, which would look like a change each time.
        ports.sort_unstable();
        let mut networks: Vec<Arc<str>> =
            summary.network_settings.networks.keys().map(|name| names.share(name)).collect();
        networks.sort_unstable();
        let mut volumes: Vec<Arc<str>> = summary
            .mounts
            .iter()
            .filter(|mount| mount.kind == "volume")
            .map(|mount| names.share(&mount.name))
            .collect();
        volumes.sort_unstable();
        // Legacy links add names like `/other/alias`.
        let own = |name: &&String| !name.trim_start_matches('/').contains('/');
        let name = summary.names.iter().find(own).or(summary.names.first());
        let name = name.map_or("", |name| name.trim_start_matches('/'));
        let ended = matches!(state, ContainerState::Exited | ContainerState::Restarting);
        Entry {
            id: summary.id.as_str().into(),
            name: name.into(),
            host: host.clone(),
            image: names.share(&summary.image),
            image_id: names.share(&summary.image_id),
            state,
            // Of others the list does not tell it.
            health: (state == ContainerState::Running)
                .then(|| {
                    let own = parse_health(&summary.status);
                    let checked = read(&self.checked).get(&summary.id).copied();
                    checked.filter(|_| own != Some(Health::Unhealthy)).or(own)
                })
                .flatten(),
            exit_code: ended.then(|| parse_exit_code(&summary.status)).flatten(),
            created: summary.created,
            ports: ports.into(),
            foreign: owner.is_none() && summary.labels.contains_key(labels::STACK),
            owner: owner.map(Box::new),
            volumes: volumes.into(),
            networks: networks.into(),
        }
    }

    /// The shared id and name of a host that [`Index::set_host`] has made known.
    pub fn host_ref(&self, environment: Uuid, host: Uuid) -> Option<Arc<HostRef>> {
        Some(read(&self.environment(environment)?.rows).hosts.get(&host)?.host.clone())
    }

    fn environment(&self, id: Uuid) -> Option<Arc<Environment>> {
        read(&self.environments).get(&id).cloned()
    }

    fn environment_or_new(&self, id: Uuid) -> Arc<Environment> {
        if let Some(found) = self.environment(id) {
            return found;
        }
        // Begins at the clock, so that it grows over restarts too.
        let revision = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        write(&self.environments)
            .entry(id)
            .or_insert_with(|| {
                Arc::new(Environment {
                    revision: AtomicU64::new(revision as u64),
                    rows: RwLock::default(),
                })
            })
            .clone()
    }
}

impl Environment {
    fn revision(&self) -> u64 {
        self.revision.load(atomic::Ordering::Acquire)
    }

    /// To be called after the rows have changed. A reader may then see new rows at the old
    /// revision, and reads once more than needed; never old rows at the new one.
    fn changed(&self) {
        self.revision.fetch_add(1, atomic::Ordering::AcqRel);
    }

    fn rows_ordered_by(&self, field: Field) -> RwLockReadGuard<'_, Rows> {
        loop {
            let rows = read(&self.rows);
            if rows.orders.contains_key(&field) {
                return rows;
            }
            drop(rows);
            write(&self.rows).build_order(field);
        }
    }
}

impl Rows {
    fn build_order(&mut self, field: Field) {
        let mut rows: Vec<(u32, &Entry)> = (0u32..)
            .zip(&self.slots)
            .filter_map(|(slot, entry)| Some((slot, entry.as_deref()?)))
            .collect();
        rows.sort_unstable_by(|(_, a), (_, b)| field.compare_whole(a, b));
        let order = rows.into_iter().map(|(slot, _)| slot).collect();
        self.orders.insert(field, order);
    }

    fn upsert(&mut self, entry: Entry) -> Option<IndexChange> {
        let host = self.hosts.get_mut(&entry.host.id)?;
        let entry = Arc::new(entry);
        let slot = match host.by_id.get(&entry.id) {
            Some(slot) => {
                let slot = *slot;
                if self.slots[slot as usize].as_deref() == Some(&*entry) {
                    return None;
                }
                self.take_out(slot);
                slot
            }
            None => {
                let slot = match self.free.pop() {
                    Some(slot) => slot,
                    None => {
                        self.slots.push(None);
                        (self.slots.len() - 1) as u32
                    }
                };
                host.by_id.insert(entry.id.clone(), slot);
                slot
            }
        };
        if let Some(host) = self.hosts.get_mut(&entry.host.id) {
            *count_of(&mut host.counts, entry.state) += 1;
        }
        for (field, order) in &mut self.orders {
            let at = order.partition_point(|other| {
                self.slots[*other as usize]
                    .as_deref()
                    .is_some_and(|other| field.compare_whole(other, &entry).is_lt())
            });
            order.insert(at, slot);
        }
        self.slots[slot as usize] = Some(entry.clone());
        Some(IndexChange::Updated(entry))
    }

    fn remove(&mut self, host: Uuid, id: &str) -> Option<IndexChange> {
        let slot = self.hosts.get_mut(&host)?.by_id.remove(id)?;
        let entry = self.take_out(slot)?;
        self.free.push(slot);
        Some(IndexChange::Removed(entry))
    }

    /// Takes a row out of its slot, the orders and the counts.
    fn take_out(&mut self, slot: u32) -> Option<Arc<Entry>> {
        let entry = self.slots[slot as usize].clone()?;
        for (field, order) in &mut self.orders {
            let at = order.binary_search_by(|other| {
                self.slots[*other as usize]
                    .as_deref()
                    .map_or(Ordering::Less, |other| field.compare_whole(other, &entry))
            });
            if let Ok(at) = at {
                order.remove(at);
            }
        }
        self.slots[slot as usize] = None;
        if let Some(host) = self.hosts.get_mut(&entry.host.id) {
            let count = count_of(&mut host.counts, entry.state);
            *count = count.saturating_sub(1);
        }
        Some(entry)
    }
}

fn count_of(counts: &mut ContainerCounts, state: ContainerState) -> &mut u32 {
    match state {
        ContainerState::Running => &mut counts.running,
        ContainerState::Paused => &mut counts.paused,
        _ => &mut counts.stopped,
    }
}

fn compare_by(sort: &[(Field, bool)], a: &Entry, b: &Entry) -> Ordering {
    sort.iter()
        .map(|(field, descending)| {
            let order = field.compare(a, b);
            if *descending { order.reverse() } else { order }
        })
        .find(|order| order.is_ne())
        .unwrap_or_else(|| Field::Name.compare_whole(a, b))
}

/// Texts that many containers share, each held once.
#[derive(Default)]
struct Names {
    known: HashSet<Arc<str>>,
    sweep_at: usize,
}

impl Names {
    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|text| Arc::strong_count(text) > 1);
            self.sweep_at = (self.known.len() * 2).max(1024);
        }
        let text: Arc<str> = text.into();
        self.known.insert(text.clone());
        text
    }
}

/// A whole answer to a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageBytes {
    /// JSON.
    pub bytes: Bytes,
    /// How it is compressed.
    pub encoding: Encoding,
}

/// A content encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Encoding {
    Plain,
    Gzip,
    Brotli,
}

/// Longer query strings are not worth keeping an answer for.
const LONGEST_KEY: usize = 1024;
/// Shorter answers are not compressed.
const LEAST_COMPRESSED: usize = 1024;

/// A whole answer, made once for its revision.
struct KeptPage {
    revision: u64,
    /// As long as all hosts are connected.
    plain: Bytes,
    /// Where in `plain` the freshness begins.
    freshness_at: usize,
    gzip: OnceLock<Bytes>,
    brotli: OnceLock<Bytes>,
}

impl KeptPage {
    fn new(query: &ContainerQuery, page: &Page) -> Self {
        let next = query.offset.saturating_add(query.limit);
        let list = List {
            items: page.rows.iter().map(|entry| entry.to_api()).collect(),
            next_cursor: (next < page.total).then(|| next.to_string()),
            total: page.total as u64,
            freshness: None,
        };
        let mut plain = serde_json::to_vec(&list).unwrap_or_default();
        // The freshness is the last field, so that it can be put in its place alone.
        plain.pop();
        let freshness_at = plain.len();
        plain.extend_from_slice(&freshness_json(page.revision, 0));
        Self {
            revision: page.revision,
            plain: plain.into(),
            freshness_at,
            gzip: OnceLock::new(),
            brotli: OnceLock::new(),
        }
    }

    fn with_age(&self, age_ms: u64) -> Bytes {
        let mut bytes = self.plain[..self.freshness_at].to_vec();
        bytes.extend_from_slice(&freshness_json(self.revision, age_ms));
        bytes.into()
    }

    /// Compressed once for all who ask.
    fn encoded(&self, encoding: Encoding) -> Bytes {
        // Writing into memory does not fail.
        match encoding {
            Encoding::Plain => self.plain.clone(),
            Encoding::Gzip => self
                .gzip
                .get_or_init(|| {
                    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
                    let _ = gzip.write_all(&self.plain);
                    gzip.finish().unwrap_or_default().into()
                })
                .clone(),
            Encoding::Brotli => self
                .brotli
                .get_or_init(|| {
                    let mut out = Vec::new();
                    let params =
                        brotli::enc::BrotliEncoderParams { quality: 4, ..Default::default() };
                    let _ = brotli::BrotliCompress(&mut &self.plain[..], &mut out, &params);
                    out.into()
                })
                .clone(),
        }
    }

    /// With room for the compressed forms.
    fn cost(&self) -> usize {
        self.plain.len() + self.plain.len() / 2
    }
}

fn freshness_json(revision: u64, age_ms: u64) -> Vec<u8> {
    let freshness = Freshness { revision, age_ms };
    let mut json = b",\"freshness\":".to_vec();
    json.extend(serde_json::to_vec(&freshness).unwrap_or_default());
    json.push(b'}');
    json
}

/// Whole answers, kept until their environment's revision moves on or there are too many.
struct Pages {
    by_environment: HashMap<Uuid, HashMap<Box<str>, Kept>>,
    bytes: usize,
    most_bytes: usize,
    clock: u64,
}

struct Kept {
    page: Arc<KeptPage>,
    used: u64,
}

impl Pages {
    fn new(most_bytes: usize) -> Self {
        Self { by_environment: HashMap::new(), bytes: 0, most_bytes, clock: 0 }
    }

    fn get(&mut self, environment: Uuid, key: &str, revision: u64) -> Option<Arc<KeptPage>> {
        let kept = self.by_environment.get_mut(&environment)?.get_mut(key)?;
        if kept.page.revision != revision {
            return None;
        }
        self.clock += 1;
        kept.used = self.clock;
        Some(kept.page.clone())
    }

    fn put(&mut self, environment: Uuid, key: &str, page: Arc<KeptPage>) {
        if page.cost() > self.most_bytes / 8 {
            return;
        }
        self.clock += 1;
        self.bytes += page.cost();
        let kept = Kept { page, used: self.clock };
        let pages = self.by_environment.entry(environment).or_default();
        if let Some(old) = pages.insert(key.into(), kept) {
            self.bytes -= old.page.cost();
        }
        if self.bytes > self.most_bytes {
            self.sweep();
        }
    }

    /// Drops the half that was used longest ago.
    fn sweep(&mut self) {
        let mut used: Vec<u64> =
            self.by_environment.values().flat_map(|pages| pages.values().map(|k| k.used)).collect();
        used.sort_unstable();
        let keep_from = used.get(used.len() / 2).copied().unwrap_or_default();
        for pages in self.by_environment.values_mut() {
            pages.retain(|_, kept| kept.used > keep_from);
        }
        self.by_environment.retain(|_, pages| !pages.is_empty());
        self.bytes = self
            .by_environment
            .values()
            .flat_map(|pages| pages.values().map(|kept| kept.page.cost()))
            .sum();
    }
}

fn parse_state(text: &str) -> ContainerState {
    match text {
        "running" => ContainerState::Running,
        "paused" => ContainerState::Paused,
        "restarting" => ContainerState::Restarting,
        "removing" => ContainerState::Removing,
        "exited" => ContainerState::Exited,
        "dead" => ContainerState::Dead,
        _ => ContainerState::Created,
    }
}

/// The health in a list's status, e.g. `Up 3 minutes (healthy)`: engines before API 1.52 tell it
/// nowhere else in lists.
fn parse_health(status: &str) -> Option<Health> {
    if status.ends_with("(healthy)") {
        Some(Health::Healthy)
    } else if status.ends_with("(unhealthy)") {
        Some(Health::Unhealthy)
    } else if status.ends_with("(health: starting)") {
        Some(Health::Starting)
    } else {
        None
    }
}

/// The exit code in a list's status, e.g. `Exited (137) 3 minutes ago`.
fn parse_exit_code(status: &str) -> Option<i64> {
    let (_, rest) = status.split_once('(')?;
    rest.split_once(')')?.0.parse().ok()
}

// A panic while a lock was held leaves rows that are still whole: go on.

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENVIRONMENT: Uuid = Uuid::from_u128(1);
    const HOST: Uuid = Uuid::from_u128(2);

    fn index() -> Index {
        let index = Index::new();
        index.set_host(ENVIRONMENT, HOST, "one");
        index.set_away(ENVIRONMENT, HOST, None);
        index
    }

    fn summary(id: &str, name: &str, state: &str) -> ContainerSummary {
        serde_json::from_value(serde_json::json!({
            "Id": id, "Names": [format!("/{name}")], "Image": "nginx:1", "State": state,
            "Status": if state == "exited" { "Exited (137) 2 minutes ago" } else { "Up 5 minutes (healthy)" },
            "Created": 1_700_000_000,
        }))
        .unwrap()
    }

    fn put(index: &Index, id: &str, name: &str, state: &str) -> Option<IndexChange> {
        let host = index.host_ref(ENVIRONMENT, HOST).unwrap();
        index.upsert(ENVIRONMENT, index.entry(ENVIRONMENT, &host, summary(id, name, state)))
    }

    fn names(index: &Index, query: ContainerQuery) -> Vec<String> {
        let query = ContainerQuery { limit: 1000, ..query };
        index.query(ENVIRONMENT, &query).rows.iter().map(|row| row.name.to_string()).collect()
    }

    #[test]
    fn numbers_sort_by_value() {
        assert_eq!(natural("web-9", "web-10"), Ordering::Less);
        assert_eq!(natural("Web-9", "web-09"), Ordering::Equal);
        assert_eq!(natural("a", "ab"), Ordering::Less);
        assert_eq!(natural("a1b2", "a1b10"), Ordering::Less);
    }

    #[test]
    fn a_row_is_found_sorted_and_filtered() {
        let index = index();
        put(&index, "aaaaaaaa1", "web-10", "running");
        put(&index, "bbbbbbbb1", "web-9", "exited");
        put(&index, "cccccccc1", "DB", "running");
        assert_eq!(names(&index, ContainerQuery::default()), ["DB", "web-9", "web-10"]);
        let descending = ContainerQuery { sort: vec![(Field::Name, true)], ..Default::default() };
        assert_eq!(names(&index, descending), ["web-10", "web-9", "DB"]);
        let running =
            ContainerQuery { states: vec![ContainerState::Running], ..Default::default() };
        assert_eq!(names(&index, running), ["DB", "web-10"]);
        let text = ContainerQuery { text: Some("db".into()), ..Default::default() };
        assert_eq!(names(&index, text), ["DB"]);
        let two = ContainerQuery {
            sort: vec![(Field::State, true), (Field::Name, false)],
            ..Default::default()
        };
        assert_eq!(names(&index, two), ["web-9", "DB", "web-10"]);
        assert_eq!(&*index.find(ENVIRONMENT, HOST, "web-9").unwrap().id, "bbbbbbbb1");
        assert_eq!(&*index.find(ENVIRONMENT, HOST, "cccccccc").unwrap().name, "DB");
        assert!(index.find(ENVIRONMENT, HOST, "cccc").is_none());
        let counts = index.counts(ENVIRONMENT, HOST);
        assert_eq!((counts.running, counts.stopped), (2, 1));
    }

    #[test]
    fn the_status_says_exit_code_and_health_without_times() {
        let index = index();
        put(&index, "a", "a", "exited");
        put(&index, "b", "b", "running");
        let page = index.query(ENVIRONMENT, &ContainerQuery { limit: 9, ..Default::default() });
        let rows: Vec<Container> = page.rows.iter().map(|row| row.to_api()).collect();
        assert_eq!((rows[0].exit_code, rows[0].status.as_str()), (Some(137), "Exited (137)"));
        assert_eq!((rows[1].exit_code, rows[1].status.as_str()), (None, "Up (healthy)"));
        assert_eq!(rows[1].health, Some(Health::Healthy));
    }

    #[test]
    fn only_changes_change_the_revision() {
        let index = index();
        assert!(put(&index, "a", "a", "running").is_some());
        let before = index.freshness(ENVIRONMENT).revision;
        assert!(put(&index, "a", "a", "running").is_none());
        assert_eq!(index.freshness(ENVIRONMENT).revision, before);
        assert!(put(&index, "a", "a", "exited").is_some());
        assert!(index.freshness(ENVIRONMENT).revision > before);
    }

    #[test]
    fn pages_are_kept_until_something_changes() {
        let index = index();
        put(&index, "a", "a", "running");
        let get = |parse: bool| {
            index.page_bytes(ENVIRONMENT, "limit=5", Encoding::Plain, || {
                if parse { Ok(ContainerQuery { limit: 5, ..Default::default() }) } else { Err(()) }
            })
        };
        let first = get(true).unwrap();
        assert_eq!(get(false), Ok(first));
        put(&index, "b", "b", "running");
        assert_eq!(get(false), Err(()));
        let list: List<Container> = serde_json::from_slice(&get(true).unwrap().bytes).unwrap();
        assert_eq!((list.items.len(), list.total, list.freshness.unwrap().age_ms), (2, 2, 0));

        // While a host is away the rows are still kept; the age is new each time.
        let since = Instant::now() - std::time::Duration::from_secs(5);
        index.set_away(ENVIRONMENT, HOST, Some(since));
        let list: List<Container> = serde_json::from_slice(&get(false).unwrap().bytes).unwrap();
        assert_eq!(list.items.len(), 2);
        assert!(list.freshness.unwrap().age_ms >= 5000);
    }

    #[test]
    fn a_page_can_come_compressed() {
        let index = index();
        for number in 0..100 {
            put(&index, &format!("id-{number}"), &format!("web-{number}"), "running");
        }
        let get = |encoding| {
            let query = ContainerQuery { limit: 100, ..Default::default() };
            index.page_bytes(ENVIRONMENT, "", encoding, || Ok::<_, ()>(query)).unwrap()
        };
        let plain = get(Encoding::Plain).bytes;
        let (brotli, gzip) = (get(Encoding::Brotli), get(Encoding::Gzip));
        assert_eq!((brotli.encoding, gzip.encoding), (Encoding::Brotli, Encoding::Gzip));
        assert!(brotli.bytes.len() * 4 < plain.len() && gzip.bytes.len() * 4 < plain.len());
        let mut back = Vec::new();
        brotli::BrotliDecompress(&mut &brotli.bytes[..], &mut back).unwrap();
        assert_eq!(back, plain);
        back.clear();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip.bytes[..]), &mut back)
            .unwrap();
        assert_eq!(back, plain);
    }

    #[test]
    fn a_host_that_is_away_shows_in_the_age() {
        let index = index();
        let since = Instant::now() - std::time::Duration::from_secs(5);
        index.set_away(ENVIRONMENT, HOST, Some(since));
        assert!(index.freshness(ENVIRONMENT).age_ms >= 5000);
    }

    #[test]
    fn kept_pages_stay_within_bounds() {
        let page = Page { rows: Vec::new(), total: 0, revision: 1 };
        let page = Arc::new(KeptPage::new(&ContainerQuery::default(), &page));
        let mut pages = Pages::new(page.cost() * 10);
        for number in 0..100 {
            pages.put(ENVIRONMENT, &number.to_string(), page.clone());
            assert!(pages.bytes <= page.cost() * 10);
        }
        assert!(pages.get(ENVIRONMENT, "99", 1).is_some());
        assert!(pages.get(ENVIRONMENT, "0", 1).is_none());
        assert!(pages.get(ENVIRONMENT, "99", 2).is_none());
    }

    proptest! {
        /// Whatever is written in whatever order, each order holds each row once, in order.
        #[test]
        fn orders_stay_in_order(writes in prop::collection::vec((0u8..40, 0u8..6, "[a-c][0-9]{0,2}"), 1..200)) {
            let index = index();
            let mut model: HashMap<String, String> = HashMap::new();
            for field in [Field::Name, Field::State, Field::CreatedAt] {
                let _ = index.query(ENVIRONMENT, &ContainerQuery { sort: vec![(field, false)], ..Default::default() });
            }
            for (id, what, name) in writes {
                let id = format!("id-{id}");
                if what == 0 {
                    index.remove(ENVIRONMENT, HOST, &id);
                    model.remove(&id);
                } else {
                    put(&index, &id, &name, if what % 2 == 0 { "running" } else { "exited" });
                    model.insert(id, name);
                }
            }
            for field in [Field::Name, Field::State, Field::CreatedAt, Field::Image] {
                let query = ContainerQuery { sort: vec![(field, false)], limit: 1000, ..Default::default() };
                let page = index.query(ENVIRONMENT, &query);
                prop_assert_eq!(page.total, model.len());
                prop_assert!(page.rows.is_sorted_by(|a, b| field.compare_whole(a, b).is_lt()));
                prop_assert!(page.rows.iter().all(|row| model[&*row.id] == *row.name));
            }
        }
    }
}
