//! The live index of one cluster: every object of every resource type that is looked at, in memory,
//! compact, always in order.
//!
//! One task a resource type ([`feed`]) alone writes that type's rows: it lists, watches, and lists
//! anew when it must, whoever looks. Everybody reads ([`Live`]). A type is started when it is first
//! asked for, and dropped when nobody has asked for some minutes, but for a core that every page
//! needs. While the cluster is away, its last known state stays, and tells its age.

mod cell;
mod feed;
mod pool;
mod query;
mod row;
mod rows;
mod selector;
mod table;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

pub use cell::{
    Cell, Column, ColumnKind, contains_ignoring_case, human, key_of, natural, parse_duration,
};
pub use pool::{Label, Owner, Pool};
pub use query::{Comparison, Field, Filter, Group, Namespaces, Page, Query, Scope, Usage};
pub use row::Row;
pub use rows::ChangeKind;
pub use selector::{ObjectSelector, Requirement, Selector, Test};
use time::OffsetDateTime;
use tokio::{
    sync::{Notify, Semaphore, broadcast, watch},
    task::AbortHandle,
    time::timeout,
};

use crate::{
    client::{Cluster, Failure, FailureKind, Result},
    discovery::{Discovery, ResourceType},
};

/// The types that are always kept, where the cluster has them: what overviews, roles and pictures
/// need at once.
pub const CORE: [&str; 13] = [
    "pods",
    "nodes",
    "namespaces",
    "services",
    "events",
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "jobs.batch",
    "cronjobs.batch",
    "customresourcedefinitions.apiextensions.k8s.io",
    "apiservices.apiregistration.k8s.io",
];

/// How an index is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// The types that are always kept; others come and go. See [`CORE`].
    pub core: Vec<String>,
    /// A type that nobody has asked for so long is dropped.
    pub idle: Duration,
    /// A question waits so long for a type's first list.
    pub first_sync: Duration,
    /// Changes are told at most so often for each type.
    pub tell_every: Duration,
    /// The most objects of one page of a first list.
    pub page: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            core: CORE.iter().map(|name| (*name).to_owned()).collect(),
            idle: Duration::from_secs(300),
            first_sync: Duration::from_secs(15),
            tell_every: Duration::from_millis(60),
            page: 500,
        }
    }
}

/// The index of one cluster. Cheap to clone; when the last clone goes, its tasks end.
#[derive(Clone)]
pub struct Index(Arc<Running>);

struct Running {
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        for feed in write(&self.shared.feeds).drain().map(|(_, feed)| feed) {
            feed.task.abort();
        }
    }
}

/// What the tasks of an index have in common.
pub(crate) struct Shared {
    cluster: Cluster,
    options: Options,
    pool: Mutex<Pool>,
    feeds: RwLock<HashMap<Arc<str>, Feed>>,
    discovery: watch::Sender<Option<Arc<Discovery>>>,
    /// Asks for discovery anew.
    rediscover: Notify,
    changes: broadcast::Sender<Arc<Changes>>,
    status: watch::Sender<Status>,
    /// Asks whether the cluster is there.
    probe: Notify,
    /// So many lists are read at a time.
    listing: Semaphore,
    /// Counted up when the cluster has come back, so that all try again at once.
    back: watch::Sender<u64>,
    /// Counted up when what seems open cannot be alive any more.
    cut: watch::Sender<u64>,
}

struct Feed {
    kept: Arc<Kept>,
    task: AbortHandle,
}

/// One resource type as it is kept.
pub(crate) struct Kept {
    resource: Arc<ResourceType>,
    rows: RwLock<rows::Rows>,
    revision: AtomicU64,
    pages: Mutex<Pages>,
    state: watch::Sender<TypeState>,
    /// When it was last asked for, seconds since the Unix epoch.
    used: AtomicI64,
    keep: bool,
}

/// How a resource type stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeState {
    /// All of its objects are known, or were once.
    pub synced: bool,
    /// It is watched right now.
    pub live: bool,
    /// Since when it is not watched any more; the rows are as they were then.
    pub away_since: Option<OffsetDateTime>,
    /// Why it is not watched, in words.
    pub error: Option<Failure>,
}

/// How a resource type stands, and how much there is of it.
#[derive(Debug, Clone)]
pub struct TypeStatus {
    /// The type.
    pub resource: Arc<ResourceType>,
    /// How it stands.
    pub state: TypeState,
    /// How many objects there are, in all namespaces.
    pub count: usize,
}

/// How the cluster stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// It answers.
    pub connected: bool,
    /// Since when that is so.
    pub since: OffsetDateTime,
    /// When it last answered.
    pub last_contact: Option<OffsetDateTime>,
    /// Why it does not answer.
    pub failure: Option<Failure>,
    /// E.g. `v1.33.1`; empty until known.
    pub version: String,
}

/// How fresh a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// Counted up with every change.
    pub revision: u64,
    /// How old the list is: nothing while it is live.
    pub age: Duration,
}

/// What has changed of one resource type, in a moment.
#[derive(Debug, Clone)]
pub struct Changes {
    /// The type.
    pub resource: Arc<ResourceType>,
    /// The list's revision after that.
    pub revision: u64,
    /// What; `None` when it is more than is worth telling, or all was read anew.
    pub rows: Option<Vec<Change>>,
}

/// A changed object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    /// What has happened to it.
    pub kind: ChangeKind,
    /// Its namespace; empty for none.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// More changes than this at once are told as one.
const MOST_TOLD: usize = 200;
/// So many resource types read their first lists at a time.
const LISTS_AT_ONCE: usize = 3;

impl Index {
    /// Starts to keep a cluster. To be called within a Tokio runtime.
    pub fn start(cluster: Cluster, options: Options) -> Self {
        let shared = Arc::new(Shared::new(cluster, options));
        let tasks = vec![
            tokio::spawn(feed::supervise(shared.clone())).abort_handle(),
            tokio::spawn(feed::keep_discovered(shared.clone())).abort_handle(),
        ];
        Self(Arc::new(Running { shared, tasks }))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.shared().cluster
    }

    /// How the cluster stands.
    pub fn status(&self) -> Status {
        let mut status = self.shared().status.borrow().clone();
        status.last_contact = self.shared().cluster.last_contact();
        status
    }

    /// Follows how the cluster stands.
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.shared().status.subscribe()
    }

    /// How all the types stand that are kept now.
    pub fn types(&self) -> Vec<TypeStatus> {
        let mut types: Vec<TypeStatus> =
            read(&self.shared().feeds).values().map(|feed| feed.kept.status()).collect();
        types.sort_unstable_by(|a, b| a.resource.name.cmp(&b.resource.name));
        types
    }

    /// What the cluster has, as last told; `None` until it has answered once.
    pub fn discovery(&self) -> Option<Arc<Discovery>> {
        self.shared().discovery.borrow().clone()
    }

    /// Follows what the cluster has.
    pub fn watch_discovery(&self) -> watch::Receiver<Option<Arc<Discovery>>> {
        self.shared().discovery.subscribe()
    }

    /// Asks the cluster anew what it has, and waits a little for the answer.
    pub async fn rediscover(&self) {
        let mut discovery = self.shared().discovery.subscribe();
        discovery.mark_unchanged();
        self.shared().rediscover.notify_one();
        let _ = timeout(Duration::from_secs(10), discovery.changed()).await;
    }

    /// Follows all changes of the types that are kept. A reader that is too slow is told so, and
    /// then reads what it shows anew.
    pub fn changes(&self) -> broadcast::Receiver<Arc<Changes>> {
        self.shared().changes.subscribe()
    }

    /// The live list of a type, by any name that [`Discovery::find`] knows. Starts it when nobody
    /// has asked before, and waits for its first list.
    ///
    /// # Errors
    /// [`FailureKind::NotFound`] when there is no such type, [`FailureKind::BadRequest`] when it
    /// cannot be listed, and why the first list did not come.
    pub async fn open(&self, resource: &str) -> Result<Live> {
        let shared = self.shared();
        let deadline = tokio::time::Instant::now() + shared.options.first_sync;
        let found = tokio::time::timeout_at(deadline, shared.find(resource)).await;
        let found = match found {
            Ok(found) => found?,
            Err(_) => return Err(self.why_not_yet(None)),
        };
        let kept = shared.feed(&found)?;
        kept.touch();
        let mut state = kept.state.subscribe();
        let synced = async {
            // The error of a type that is not the cluster's being away is told at once.
            let told = |state: &TypeState| {
                state.synced
                    || state.error.as_ref().is_some_and(|error| error.kind() != FailureKind::Away)
            };
            state.wait_for(told).await.map(|state| state.clone())
        };
        match tokio::time::timeout_at(deadline, synced).await {
            Ok(Ok(TypeState { synced: false, error: Some(error), .. })) => Err(error),
            Ok(Ok(_)) => Ok(Live { kept }),
            Ok(Err(_)) => Err(Failure::away("The cluster is being disconnected.")),
            Err(_) => Err(self.why_not_yet(kept.state.borrow().error.clone())),
        }
    }

    fn why_not_yet(&self, error: Option<Failure>) -> Failure {
        error.or_else(|| self.shared().status.borrow().failure.clone()).unwrap_or_else(|| {
            Failure::away("The cluster has not told its first list yet. Try again in a moment.")
        })
    }

    /// The live list of a type by its exact `plural.group`, if it is kept and has been read once.
    pub fn opened(&self, resource: &str) -> Option<Live> {
        let kept = read(&self.shared().feeds).get(resource)?.kept.clone();
        kept.touch();
        kept.state.borrow().synced.then_some(())?;
        Some(Live { kept })
    }

    /// Texts that are held now, for those who measure.
    pub fn pooled_texts(&self) -> usize {
        lock(&self.shared().pool).len()
    }
}

/// The live list of one resource type. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    kept: Arc<Kept>,
}

impl Live {
    /// The type.
    pub fn resource(&self) -> &Arc<ResourceType> {
        &self.kept.resource
    }

    /// Its columns, as the cluster or the CRD defines them.
    pub fn columns(&self) -> Arc<[Column]> {
        read(&self.kept.rows).columns().clone()
    }

    /// How fresh it is.
    pub fn freshness(&self) -> Freshness {
        let away = self.kept.state.borrow().away_since;
        let age = away.map_or(Duration::ZERO, |since| {
            Duration::try_from(OffsetDateTime::now_utc() - since).unwrap_or_default()
        });
        Freshness { revision: self.kept.revision(), age }
    }

    /// How it stands.
    pub fn status(&self) -> TypeStatus {
        self.kept.status()
    }

    /// Filters, sorts and cuts. Answers are kept until the list changes, so that the same question
    /// costs next to nothing; those with an age in a filter for a second at most.
    ///
    /// # Errors
    /// [`FailureKind::BadRequest`] when there is no such field, or its value makes no sense.
    pub fn page(&self, query: &Query) -> Result<Arc<Page>> {
        self.kept.touch();
        self.kept.page(query)
    }

    /// Counts the rows of a question by what they have in common.
    ///
    /// # Errors
    /// As [`Live::page`].
    pub fn groups(&self, query: &Query, by: &Field) -> Result<Vec<Group>> {
        self.kept.touch();
        read(&self.kept.rows).groups(query, by, now())
    }

    /// How many rows of a scope there are, by health in the order of
    /// [`Health::ALL`](crate::facts::Health::ALL).
    pub fn counts(&self, scope: &Scope) -> [usize; 5] {
        read(&self.kept.rows).counts(scope)
    }

    /// An object, where the scope allows it.
    pub fn get(&self, scope: &Scope, namespace: &str, name: &str) -> Option<Arc<Row>> {
        let allowed = if &*self.kept.resource.name == NAMESPACES {
            scope.sees_namespace(name)
        } else {
            scope.allows(namespace)
        };
        allowed.then(|| read(&self.kept.rows).get(namespace, name).cloned()).flatten()
    }

    /// What an object uses, as last measured.
    pub fn usage(&self, namespace: &str, name: &str) -> Option<Usage> {
        read(&self.kept.rows).usage(namespace, name)
    }

    /// The objects of a scope that `wanted` likes.
    pub fn select(&self, scope: &Scope, wanted: impl Fn(&Row) -> bool) -> Vec<Arc<Row>> {
        read(&self.kept.rows).select(scope, wanted)
    }

    /// The objects of a namespace that the object of that uid owns.
    pub fn owned_by(&self, namespace: &str, uid: &str) -> Vec<Arc<Row>> {
        read(&self.kept.rows).owned_by(namespace, uid)
    }

    /// All objects of a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<Row>> {
        read(&self.kept.rows).in_namespace(namespace).cloned().collect()
    }

    /// Takes what was measured of all objects (namespace, name, use); those not named are not
    /// measured any more.
    pub fn set_usage<'a>(&self, measured: impl IntoIterator<Item = (&'a str, &'a str, Usage)>) {
        write(&self.kept.rows).set_usage(measured);
        self.kept.changed();
    }
}

const NAMESPACES: &str = "namespaces";

impl Shared {
    fn new(cluster: Cluster, options: Options) -> Self {
        let status = Status {
            connected: false,
            since: OffsetDateTime::now_utc(),
            last_contact: None,
            failure: None,
            version: String::new(),
        };
        Self {
            cluster,
            options,
            pool: Mutex::default(),
            feeds: RwLock::default(),
            discovery: watch::Sender::new(None),
            rediscover: Notify::new(),
            probe: Notify::new(),
            listing: Semaphore::new(LISTS_AT_ONCE),
            changes: broadcast::Sender::new(256),
            status: watch::Sender::new(status),
            back: watch::Sender::new(0),
            cut: watch::Sender::new(0),
        }
    }

    /// The type of a name, as soon as the cluster has told its types.
    async fn find(&self, name: &str) -> Result<Arc<ResourceType>> {
        let mut discovery = self.discovery.subscribe();
        let discovery = match discovery.wait_for(Option::is_some).await {
            Ok(known) => known.clone().unwrap_or_default(),
            Err(_) => return Err(Failure::away("The cluster is being disconnected.")),
        };
        discovery.find(name).cloned().ok_or_else(|| no_such_type(name))
    }

    /// The feed of a type, started if it is not there.
    fn feed(self: &Arc<Self>, resource: &Arc<ResourceType>) -> Result<Arc<Kept>> {
        if let Some(feed) = read(&self.feeds).get(&resource.name) {
            return Ok(feed.kept.clone());
        }
        if !resource.is_watchable() {
            return Err(Failure::new(
                FailureKind::BadRequest,
                format!("The cluster cannot list and watch {}.", resource.name),
            ));
        }
        let mut feeds = write(&self.feeds);
        let feed = feeds.entry(resource.name.clone()).or_insert_with(|| {
            let keep = self.options.core.iter().any(|name| **name == *resource.name);
            let kept = Arc::new(Kept::new(resource.clone(), keep));
            let task = tokio::spawn(feed::run(self.clone(), kept.clone())).abort_handle();
            Feed { kept, task }
        });
        Ok(feed.kept.clone())
    }
}

fn no_such_type(name: &str) -> Failure {
    Failure::new(
        FailureKind::NotFound,
        format!(
            "The cluster has no resource type `{name}`. See `kubectl api-resources` for those it has."
        ),
    )
}

impl Kept {
    fn new(resource: Arc<ResourceType>, keep: bool) -> Self {
        // Begins at the clock, so that it grows over restarts too.
        let revision = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        Self {
            rows: RwLock::new(rows::Rows::new(&*resource.name == NAMESPACES)),
            resource,
            revision: AtomicU64::new(revision as u64),
            pages: Mutex::default(),
            state: watch::Sender::new(TypeState {
                synced: false,
                live: false,
                away_since: None,
                error: None,
            }),
            used: AtomicI64::new(now()),
            keep,
        }
    }

    fn touch(&self) {
        self.used.store(now(), Ordering::Relaxed);
    }

    fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// To be called after the rows have changed. A reader may then see new rows at the old
    /// revision, and reads once more than needed; never old rows at the new one.
    fn changed(&self) -> u64 {
        self.revision.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn status(&self) -> TypeStatus {
        TypeStatus {
            resource: self.resource.clone(),
            state: self.state.borrow().clone(),
            count: read(&self.rows).len(),
        }
    }

    fn page(&self, query: &Query) -> Result<Arc<Page>> {
        let revision = self.revision();
        // Ages pass, so that a page that is filtered by one does not stay right.
        let second = if query.filters.is_empty() { 0 } else { now() };
        let page = lock(&self.pages).at(revision, second, query);
        page.get_or_init(|| self.read_page(query, revision).map(Arc::new)).clone()
    }

    fn read_page(&self, query: &Query, revision: u64) -> Result<Page> {
        loop {
            let rows = read(&self.rows);
            if rows.has_order(query)? {
                return rows.query(query, revision, now());
            }
            drop(rows);
            write(&self.rows).build_order(query)?;
        }
    }
}

type KeptPage = Arc<OnceLock<Result<Arc<Page>>>>;

/// Answers of the newest revision. Many who ask the same at once wait for one answer.
#[derive(Default)]
struct Pages {
    revision: u64,
    pages: HashMap<Query, (i64, KeptPage)>,
}

/// So many different questions' answers are kept.
const MOST_PAGES: usize = 64;

impl Pages {
    fn at(&mut self, revision: u64, second: i64, query: &Query) -> KeptPage {
        if self.revision != revision || self.pages.len() >= MOST_PAGES {
            self.pages.clear();
            self.revision = revision;
        }
        if let Some((kept_at, page)) = self.pages.get(query)
            && *kept_at == second
        {
            return page.clone();
        }
        let page = KeptPage::default();
        self.pages.insert(query.clone(), (second, page.clone()));
        page
    }
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
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
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::{table::tests::resource, *};

    /// The row of an object, as a cluster without Tables would tell it.
    pub fn row_of(name: &str, object: &Value) -> Row {
        let (plural, group) = name.split_once('.').unwrap_or((name, ""));
        let resource = resource(plural, group);
        let mut pool = Pool::default();
        let mut context =
            table::Context { resource: &resource, now: 1_800_000_000, pool: &mut pool };
        let list = json!({"kind": "List", "items": [object]}).to_string();
        table::read_list(list.as_bytes(), &mut context).unwrap().rows.remove(0)
    }
}
