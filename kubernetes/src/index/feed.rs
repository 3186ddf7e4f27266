//! The tasks that feed an index: one a resource type ([`run`]), one that knows whether the cluster
//! is there ([`supervise`]), and one that knows what it has ([`keep_discovered`]).

use std::{collections::HashSet, convert::Infallible, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use indexmap::IndexMap;
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout};

use super::{
    Change, Changes, Kept, MOST_TOLD, Shared, Status, TypeState,
    cell::Column,
    lock, now, read,
    row::Row,
    rows::ChangeKind,
    table::{self, Context, Event, ListPage},
    write,
};
use crate::{
    client::{Body, Failure, FailureKind, Identity, Result, get_request, read_body},
    discovery::{ResourceType, discover},
    facts,
};

/// Pages of a first list are made to be about so large.
const PAGE_BYTES: usize = 1 << 20;
/// So many objects are asked for while it is not known how large they are.
const FIRST_PAGE: u32 = 50;
/// Larger pages are not read: 500 objects of the largest size.
const MOST_PAGE_BYTES: usize = 800 << 20;
/// A longer line of a watch is not read: more than the largest object, as a Table.
const LONGEST_LINE: usize = 32 << 20;
/// How long a page of a list may take.
const PAGE_LIMIT: Duration = Duration::from_secs(120);
/// A watch is asked to end after some 5 to 10 minutes, so that it moves on to other API servers.
const WATCH_SECONDS: u64 = 300;
/// A watch that was open for so long has worked.
const LONG_ENOUGH: Duration = Duration::from_secs(10);
/// Events that come closer together are taken together.
const TOGETHER: Duration = Duration::from_millis(40);
/// So many are taken at once at most: a write holds up readers while it lasts.
const AT_ONCE: usize = 256;
/// The longest pause between tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause that a cluster may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(60);
/// A cluster that has said nothing for so long is asked whether it is there.
const QUIET: Duration = Duration::from_secs(10);
/// It is asked at least so often, which also shows whether its credentials are still good.
const PROBE: Duration = Duration::from_secs(30);
/// How long it may take to say so.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// How often idle types are looked for.
const SWEEP: Duration = Duration::from_secs(20);
/// Discovery is read anew at least so often.
const REDISCOVER: Duration = Duration::from_secs(600);
/// And so often while a group of it does not answer.
const REDISCOVER_MISSING: Duration = Duration::from_secs(60);

/// The types whose changes change what the cluster has.
const DEFINE_TYPES: [&str; 2] =
    ["customresourcedefinitions.apiextensions.k8s.io", "apiservices.apiregistration.k8s.io"];

/// Feeds one resource type, for ever.
pub(super) async fn run(shared: Arc<Shared>, kept: Arc<Kept>) {
    let mut feeder = Feeder { shared, kept, version: None, tries: 0, page: 0 };
    loop {
        let Err(failure) = feeder.session().await;
        feeder.rest(failure).await;
    }
}

struct Feeder {
    shared: Arc<Shared>,
    kept: Arc<Kept>,
    /// How far the watch has come; `None` before the first list.
    version: Option<String>,
    /// Failures in a row.
    tries: u32,
    /// How many objects the next page asks for.
    page: u32,
}

impl Feeder {
    /// Lists if it must, then watches again and again. Ends with what went wrong.
    async fn session(&mut self) -> Result<Infallible> {
        loop {
            let version = match self.version.clone() {
                Some(version) => version,
                None => self.list().await?,
            };
            self.version = Some(version);
            let began = Instant::now();
            let ended = self.watch().await;
            if began.elapsed() >= LONG_ENOUGH {
                self.tries = 0;
            }
            ended?;
            if began.elapsed() < Duration::from_secs(1) {
                // Something ends watches as soon as they begin.
                tokio::time::sleep(pause_after(2)).await;
            }
        }
    }

    /// Waits as long as is right after a failure, and tells it.
    async fn rest(&mut self, failure: Failure) {
        self.tries += 1;
        let name = &self.kept.resource.name;
        match failure.kind() {
            FailureKind::Expired => {
                self.version = None;
                // What happens now and then is no news.
                if self.tries == 1 {
                    tracing::debug!(resource = %name, "watch expired, listing anew");
                    tokio::time::sleep(pause_after(0).mul_f64(0.2)).await;
                    return;
                }
            }
            FailureKind::NotFound => {
                // The type is gone, and all of its objects with it.
                self.version = None;
                self.replace(HashSet::new());
                self.shared.rediscover.notify_one();
            }
            FailureKind::Away | FailureKind::TooManyRequests => {}
            _ => {
                // E.g. an event that cannot be read: a list gets past it.
                if self.tries > 1 {
                    self.version = None;
                }
            }
        }
        tracing::debug!(resource = %name, tries = self.tries, %failure, "resource type not watched");
        self.lose(&failure);
        if failure.kind() == FailureKind::Away {
            self.shared.probe.notify_one();
        }
        let pause = match failure.retry_after() {
            Some(asked) => asked.min(LONGEST_ASKED).mul_f64(1.0 + rand::random::<f64>() / 4.0),
            None => pause_after(self.tries),
        };
        let mut back = self.shared.back.subscribe();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // Not all in the same moment.
            _ = back.changed(), if failure.retry_after().is_none() => {
                tokio::time::sleep(Duration::from_millis(300).mul_f64(rand::random())).await;
            }
        }
    }

    fn lose(&self, failure: &Failure) {
        self.kept.state.send_modify(|state| {
            state.live = false;
            state.away_since.get_or_insert_with(OffsetDateTime::now_utc);
            state.error = Some(failure.clone());
        });
    }

    fn live(&self) {
        self.kept.state.send_if_modified(|state| {
            let live = TypeState { synced: true, live: true, away_since: None, error: None };
            let changed = *state != live;
            *state = live;
            changed
        });
    }

    /// Reads all objects, page by page, and answers the version that a watch may begin at.
    async fn list(&mut self) -> Result<String> {
        // The pages of a few lists at a time: they are what a cluster costs most memory for.
        let shared = self.shared.clone();
        let _turn = shared.listing.acquire().await;
        if self.page == 0 {
            self.page = FIRST_PAGE;
        }
        let mut next = String::new();
        let mut seen: HashSet<(Arc<str>, Arc<str>)> = HashSet::new();
        let known = read(&self.kept.rows).len() > 0;
        loop {
            let page = match self.list_page(&next).await {
                Ok(page) => page,
                Err(failure) => {
                    // The pages have taken longer than the cluster keeps the list for.
                    if failure.kind() == FailureKind::Expired && !next.is_empty() {
                        self.page = self.shared.options.page.saturating_mul(10);
                    }
                    return Err(failure);
                }
            };
            if known {
                seen.extend(page.rows.iter().map(|row| (row.namespace.clone(), row.name.clone())));
            }
            self.take_page(page.columns, page.rows);
            if page.next.is_empty() {
                if known {
                    self.replace(seen);
                }
                self.live();
                self.tell_all();
                return Ok(page.resource_version);
            }
            next = page.next;
        }
    }

    async fn list_page(&mut self, next: &str) -> Result<ListPage> {
        let mut path = format!("{}&limit={}", self.path(), self.page);
        if !next.is_empty() {
            path.push_str("&continue=");
            path.extend(next.bytes().map(escaped));
        }
        let request = get_request(&path, table::ACCEPT)?;
        let answer = self.shared.cluster.request(request, Identity::Drover).await?;
        let bytes = timeout(PAGE_LIMIT, read_body(answer.into_body(), MOST_PAGE_BYTES))
            .await
            .map_err(|_| Failure::away("A page of a list did not come to its end in time."))??;
        let page = {
            let mut pool = lock(&self.shared.pool);
            table::read_list(&bytes, &mut self.context(&mut pool))?
        };
        if self.page <= self.shared.options.page && !page.rows.is_empty() {
            let each = (bytes.len() / page.rows.len()).max(1);
            self.page = ((PAGE_BYTES / each) as u32).clamp(10, self.shared.options.page);
        }
        Ok(page)
    }

    /// The path of lists and watches, with what is wanted of each object.
    fn path(&self) -> String {
        let resource = &self.kept.resource;
        let part = if facts::reads_whole(&resource.name) { "Object" } else { "Metadata" };
        format!("{}?includeObject={part}", resource.list_path(None))
    }

    fn context<'a>(&'a self, pool: &'a mut super::Pool) -> Context<'a> {
        Context { resource: &self.kept.resource, now: now(), pool }
    }

    fn take_page(&self, columns: Arc<[Column]>, found: Vec<Row>) {
        write(&self.kept.rows).set_columns(columns);
        let mut found = found.into_iter().peekable();
        while found.peek().is_some() {
            let mut rows = write(&self.kept.rows);
            if rows.len() == 0 {
                rows.expect(usize::MAX);
            }
            for row in found.by_ref().take(AT_ONCE) {
                rows.upsert(row, now());
            }
        }
        self.kept.changed();
    }

    /// Drops the rows that a whole list has not had.
    fn replace(&self, seen: HashSet<(Arc<str>, Arc<str>)>) {
        let gone: Vec<(Arc<str>, Arc<str>)> = read(&self.kept.rows)
            .iter()
            .map(|row| (row.namespace.clone(), row.name.clone()))
            .filter(|key| !seen.contains(key))
            .collect();
        if gone.is_empty() {
            return;
        }
        let mut rows = write(&self.kept.rows);
        rows.expect(gone.len());
        for (namespace, name) in gone {
            rows.remove(&namespace, &name);
        }
        drop(rows);
        self.kept.changed();
        self.tell_all();
    }

    fn tell_all(&self) {
        let changes = Changes {
            resource: self.kept.resource.clone(),
            revision: self.kept.revision(),
            rows: None,
        };
        // Nobody may be listening.
        let _ = self.shared.changes.send(Arc::new(changes));
        if DEFINE_TYPES.contains(&&*self.kept.resource.name) {
            self.shared.rediscover.notify_one();
        }
    }

    /// One watch, from its beginning to its end.
    async fn watch(&mut self) -> Result<()> {
        let seconds = WATCH_SECONDS + rand::random_range(0..WATCH_SECONDS);
        let version = self.version.clone().unwrap_or_default();
        let mut path = format!(
            "{}&watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion=",
            self.path()
        );
        path.extend(version.bytes().map(escaped));
        let mut cut = self.shared.cut.subscribe();
        cut.mark_unchanged();
        let request = get_request(&path, table::ACCEPT)?;
        let answer = self.shared.cluster.request(request, Identity::Drover).await?;
        self.live();
        let mut taking = Taking::default();
        let over = Instant::now() + Duration::from_secs(seconds + 30);
        let ended = tokio::select! {
            ended = self.follow(answer.into_body(), &mut taking) => ended,
            _ = cut.changed() => Err(Failure::away("The cluster did not answer; its watches were given up.")),
            () = tokio::time::sleep_until(over) => Err(Failure::away("The cluster did not end a watch in time.")),
        };
        // What has come is taken, however it ended.
        self.take(&mut taking);
        self.tell(&mut taking);
        ended
    }

    async fn follow(&mut self, mut body: Body, taking: &mut Taking) -> Result<()> {
        let columns = read(&self.kept.rows).columns().clone();
        let mut buffer = BytesMut::new();
        loop {
            let frame = tokio::select! {
                // Timers first: a flood of events must not keep them waiting.
                biased;
                () = at(taking.take_at) => {
                    self.take(taking);
                    continue;
                }
                () = at(taking.tell_at) => {
                    self.tell(taking);
                    continue;
                }
                frame = body.frame() => frame,
            };
            let Some(frame) = frame else {
                // A part of an event may be left: the next watch tells it whole.
                return Ok(());
            };
            let Ok(data) = frame.map_err(Failure::from)?.into_data() else { continue };
            self.shared.cluster.hear();
            buffer.extend_from_slice(&data);
            self.read_lines(&mut buffer, &columns, taking)?;
            if buffer.len() > LONGEST_LINE {
                return Err(Failure::new(
                    FailureKind::TooLarge,
                    "The cluster told an object that is too large to be listed.",
                ));
            }
            if buffer.is_empty() && buffer.capacity() > 256 << 10 {
                // After one large object, not for ever.
                buffer = BytesMut::new();
            }
        }
    }

    fn read_lines(
        &mut self,
        buffer: &mut BytesMut,
        columns: &Arc<[Column]>,
        taking: &mut Taking,
    ) -> Result<()> {
        let Some(last) = buffer.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        let mut lines = buffer.split_to(last + 1);
        while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
            let line = lines.split_to(end);
            lines.advance(1);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let event = {
                let mut pool = lock(&self.shared.pool);
                table::read_event(&line, columns, &mut self.context(&mut pool))
            };
            // What came before an error counts.
            let event = event?;
            let version = match &event {
                Event::Upsert { version, .. }
                | Event::Remove { version, .. }
                | Event::Bookmark { version } => version,
            };
            if !version.is_empty() {
                taking.version = Some(version.clone());
            }
            // A watch that tells something works.
            self.tries = 0;
            if !matches!(event, Event::Bookmark { .. }) {
                taking.events.push(event);
            } else if taking.events.is_empty() {
                self.version = taking.version.take().or(self.version.take());
            }
            if taking.events.len() >= AT_ONCE {
                self.take(taking);
            }
        }
        if !taking.events.is_empty() && taking.take_at.is_none() {
            // The first after a quiet time is taken at once.
            let soon = taking.taken_at.map_or_else(Instant::now, |taken| taken + TOGETHER);
            if soon <= Instant::now() {
                self.take(taking);
            } else {
                taking.take_at = Some(soon);
            }
        }
        Ok(())
    }

    /// Puts events into the rows.
    fn take(&mut self, taking: &mut Taking) {
        taking.take_at = None;
        if let Some(version) = taking.version.take() {
            self.version = Some(version);
        }
        if taking.events.is_empty() {
            return;
        }
        taking.taken_at = Some(Instant::now());
        let mut changed = Vec::new();
        {
            let moment = now();
            let mut rows = write(&self.kept.rows);
            for event in taking.events.drain(..) {
                match event {
                    Event::Upsert { row, .. } => {
                        if let Some((kind, row)) = rows.upsert(*row, moment) {
                            changed.push((kind, row));
                        }
                    }
                    Event::Remove { namespace, name, .. } => {
                        if let Some(row) = rows.remove(&namespace, &name) {
                            changed.push((ChangeKind::Removed, row));
                        }
                    }
                    Event::Bookmark { .. } => {}
                }
            }
        }
        if changed.is_empty() {
            return;
        }
        self.kept.changed();
        for (kind, row) in changed {
            taking.untold.insert((row.namespace.clone(), row.name.clone()), kind);
        }
        let soon =
            taking.told_at.map_or_else(Instant::now, |told| told + self.shared.options.tell_every);
        if soon <= Instant::now() {
            self.tell(taking);
        } else {
            taking.tell_at.get_or_insert(soon);
        }
    }

    /// Tells what has changed since it was last told.
    fn tell(&mut self, taking: &mut Taking) {
        taking.tell_at = None;
        if taking.untold.is_empty() {
            return;
        }
        taking.told_at = Some(Instant::now());
        let untold = std::mem::take(&mut taking.untold);
        let rows = (untold.len() <= MOST_TOLD).then(|| {
            untold
                .into_iter()
                .map(|((namespace, name), kind)| Change { kind, namespace, name })
                .collect()
        });
        let changes =
            Changes { resource: self.kept.resource.clone(), revision: self.kept.revision(), rows };
        // Nobody may be listening.
        let _ = self.shared.changes.send(Arc::new(changes));
        if DEFINE_TYPES.contains(&&*self.kept.resource.name) {
            self.shared.rediscover.notify_one();
        }
    }
}

/// What a watch has told and is not in the rows yet, or not told on.
#[derive(Default)]
struct Taking {
    events: Vec<Event>,
    version: Option<String>,
    take_at: Option<Instant>,
    taken_at: Option<Instant>,
    untold: IndexMap<(Arc<str>, Arc<str>), ChangeKind>,
    tell_at: Option<Instant>,
    told_at: Option<Instant>,
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Half a second, doubled with each try in vain, with a part left to chance so that not all come at
/// once.
fn pause_after(tries: u32) -> Duration {
    let pause = Duration::from_millis(500 << tries.saturating_sub(1).min(6)).min(LONGEST_PAUSE);
    pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

/// Versions and continue tokens are opaque.
fn escaped(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// Knows whether the cluster is there, and drops types that nobody asks for.
pub(super) async fn supervise(shared: Arc<Shared>) {
    let mut failed = 0u32;
    let mut swept = Instant::now();
    loop {
        let probed = Instant::now();
        match probe(&shared).await {
            Ok(version) => {
                let was_away = failed > 0;
                failed = 0;
                connected(&shared, version);
                if was_away {
                    shared.back.send_modify(|count| *count += 1);
                }
            }
            Err(failure) => {
                failed += 1;
                let away = failure.kind() == FailureKind::Away;
                disconnected(&shared, failure);
                if away && failed == 2 {
                    // Connections that look open are dead.
                    shared.cut.send_modify(|count| *count += 1);
                }
            }
        }
        loop {
            let pause = if failed > 0 {
                pause_after(failed.min(4))
            } else {
                let heard = shared.cluster.last_contact().map_or(QUIET, |heard| {
                    Duration::try_from(OffsetDateTime::now_utc() - heard).unwrap_or_default()
                });
                if heard >= QUIET || probed.elapsed() >= PROBE {
                    Duration::ZERO
                } else {
                    QUIET - heard
                }
            };
            if swept.elapsed() >= SWEEP {
                swept = Instant::now();
                drop_idle(&shared);
            }
            let asked = tokio::select! {
                () = shared.probe.notified() => true,
                () = tokio::time::sleep(pause.min(SWEEP)) => false,
            };
            let due = failed > 0 || probed.elapsed() >= PROBE || pause.is_zero();
            if asked {
                // A feed has lost the cluster: not more than once in a while.
                tokio::time::sleep_until(probed + Duration::from_millis(500)).await;
            }
            if asked || due {
                break;
            }
        }
    }
}

/// Asks for the version, which every account may.
async fn probe(shared: &Shared) -> Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        #[serde(default)]
        git_version: String,
    }
    let asked = shared.cluster.get_json::<Version>("/version", Identity::Drover);
    match timeout(PROBE_LIMIT, asked).await {
        Ok(Ok(version)) => Ok(version.git_version),
        // It is there; the version stays unknown.
        Ok(Err(failure)) if failure.kind() == FailureKind::Forbidden => Ok(String::new()),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(Failure::away("The cluster's API server did not answer within 5 seconds.")),
    }
}

fn connected(shared: &Shared, version: String) {
    shared.status.send_if_modified(|status| {
        let changed = !status.connected || status.version != version || status.failure.is_some();
        if changed {
            let since = if status.connected { status.since } else { OffsetDateTime::now_utc() };
            *status = Status { connected: true, since, failure: None, version, ..status.clone() };
        }
        changed
    });
}

fn disconnected(shared: &Shared, failure: Failure) {
    tracing::debug!(%failure, "cluster not connected");
    shared.status.send_if_modified(|status| {
        let changed = status.connected || status.failure.as_ref() != Some(&failure);
        if status.connected {
            status.since = OffsetDateTime::now_utc();
        }
        status.connected = false;
        status.failure = Some(failure);
        changed
    });
}

fn drop_idle(shared: &Shared) {
    let least = now() - shared.options.idle.as_secs() as i64;
    let idle =
        |kept: &Kept| !kept.keep && kept.used.load(std::sync::atomic::Ordering::Relaxed) < least;
    let mut dropped = false;
    write(&shared.feeds).retain(|_, feed| {
        let idle = idle(&feed.kept);
        if idle {
            dropped = true;
            end(feed);
        }
        !idle
    });
    if dropped {
        lock(&shared.pool).sweep();
    }
}

/// Ends a feed. Whoever still holds its list sees that it grows old.
fn end(feed: &super::Feed) {
    feed.task.abort();
    feed.kept.state.send_modify(|state| {
        state.live = false;
        state.away_since.get_or_insert_with(OffsetDateTime::now_utc);
    });
}

/// Knows which resource types the cluster has, and starts those that are always kept.
pub(super) async fn keep_discovered(shared: Arc<Shared>) {
    let mut tries = 0;
    let mut back = shared.back.subscribe();
    loop {
        let pause = match discover(&shared.cluster).await {
            Ok(discovery) => {
                tries = 0;
                let missing = !discovery.unavailable().is_empty();
                let discovery = Arc::new(discovery);
                drop_gone(&shared, &discovery);
                // Told even when it is the same: somebody may be waiting for the answer.
                shared.discovery.send_replace(Some(discovery.clone()));
                for name in &shared.options.core {
                    if let Some(found) = discovery.get(name) {
                        // A type that cannot be watched is not kept.
                        let _ = shared.feed(found);
                    }
                }
                if missing { REDISCOVER_MISSING } else { REDISCOVER }
            }
            Err(failure) => {
                tries += 1;
                tracing::debug!(%failure, "discovery failed");
                pause_after(tries)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = back.changed() => {}
            () = shared.rediscover.notified() => {
                // A new definition is served a moment after it was told.
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
    }
}

/// Ends the feeds of types that are gone, or are served in another version now.
fn drop_gone(shared: &Shared, discovery: &crate::discovery::Discovery) {
    let unavailable = |resource: &ResourceType| {
        discovery.unavailable().iter().any(|group| {
            let name = group.group_version.split('/').next().unwrap_or_default();
            name == resource.group
        })
    };
    write(&shared.feeds).retain(|name, feed| {
        let resource = &feed.kept.resource;
        let stays = match discovery.get(name) {
            Some(found) => {
                found.version == resource.version && found.namespaced == resource.namespaced
            }
            // A group that does not answer just now may well have it still.
            None => unavailable(resource),
        };
        if !stays {
            end(feed);
        }
        stays
    });
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        io,
        sync::Mutex,
        sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use async_trait::async_trait;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::{
        client::{Access, Cluster, Credentials, Dial, Stream},
        index::{Index, Live, Options, Query, Scope},
    };

    /// An API server in memory that answers by a script.
    #[derive(Clone)]
    struct Scripted(Arc<Script>);

    struct Script {
        answer: Box<dyn Fn(&str, usize) -> Reply + Send + Sync>,
        /// What was asked, with how often that path (without its query) was asked before.
        asked: Mutex<Vec<(Instant, String)>>,
        counts: Mutex<BTreeMap<String, usize>>,
        away: AtomicBool,
        dialled: AtomicUsize,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum End {
        /// As HTTP has it.
        Whole,
        /// The connection breaks.
        Cut,
        /// Nothing more comes.
        Open,
    }

    struct Reply {
        status: u16,
        headers: &'static str,
        body: String,
        end: End,
    }

    impl Reply {
        fn json(body: &Value) -> Self {
            Self { status: 200, headers: "", body: body.to_string(), end: End::Whole }
        }

        fn status(code: u16, reason: &str) -> Self {
            let body =
                json!({"kind": "Status", "code": code, "reason": reason, "message": "as told"});
            Self { status: code, headers: "", body: body.to_string(), end: End::Whole }
        }

        fn watch(events: &[Value], end: End) -> Self {
            let body = events.iter().map(|event| format!("{event}\n")).collect();
            Self { status: 200, headers: "", body, end }
        }
    }

    #[async_trait]
    impl Dial for Scripted {
        async fn dial(&self) -> io::Result<Box<dyn Stream>> {
            self.0.dialled.fetch_add(1, Ordering::Relaxed);
            if self.0.away.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = tokio::io::duplex(64 << 10);
            tokio::spawn(serve(self.clone(), theirs));
            Ok(Box::new(ours))
        }
    }

    async fn serve(script: Scripted, mut stream: DuplexStream) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).ok()?;
        let path = head.split(' ').nth(1)?.to_owned();
        lock(&script.0.asked).push((Instant::now(), path.clone()));
        let key = format!(
            "{}{}",
            path.split('?').next()?,
            if path.contains("watch=1") { " watch" } else { "" }
        );
        let count = {
            let mut counts = lock(&script.0.counts);
            let count = counts.entry(key).or_default();
            *count += 1;
            *count - 1
        };
        let reply = (script.0.answer)(&path, count);
        let head = format!(
            "HTTP/1.1 {} X\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n{}\r\n",
            reply.status, reply.headers
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        if !reply.body.is_empty() {
            let chunk = format!("{:x}\r\n{}\r\n", reply.body.len(), reply.body);
            stream.write_all(chunk.as_bytes()).await.ok()?;
        }
        match reply.end {
            End::Whole => stream.write_all(b"0\r\n\r\n").await.ok()?,
            End::Cut => {}
            End::Open => {
                // Until the client goes, or the server.
                while !script.0.away.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
        Some(())
    }

    fn columns() -> Value {
        json!([{"name": "Name", "type": "string", "format": "name"}, {"name": "Data", "type": "integer"}])
    }

    fn row(name: &str, data: u64, version: u64) -> Value {
        json!({"cells": [name, data], "object": {"metadata": {"name": name, "namespace": "team", "uid": name, "resourceVersion": version.to_string()}}})
    }

    fn list(rows: &[Value], version: u64, next: &str) -> Reply {
        Reply::json(
            &json!({"kind": "Table", "metadata": {"resourceVersion": version.to_string(), "continue": next},
            "columnDefinitions": columns(), "rows": rows}),
        )
    }

    fn event(kind: &str, row: Value) -> Value {
        json!({"type": kind, "object": {"kind": "Table", "metadata": {}, "columnDefinitions": null, "rows": [row]}})
    }

    fn bookmark(version: u64) -> Value {
        json!({"type": "BOOKMARK", "object": {"kind": "Table", "metadata": {"resourceVersion": version.to_string()}, "rows": []}})
    }

    fn discovery(path: &str) -> Option<Reply> {
        let resources = json!([{"resource": "configmaps", "responseKind": {"kind": "ConfigMap"}, "scope": "Namespaced",
            "singularResource": "configmap", "verbs": ["list", "watch"], "shortNames": ["cm"]}]);
        let items = match path {
            "/version" => return Some(Reply::json(&json!({"gitVersion": "v1.99.0"}))),
            "/api" => {
                json!([{"metadata": {"name": ""}, "versions": [{"version": "v1", "resources": resources}]}])
            }
            "/apis" => json!([]),
            _ => return None,
        };
        Some(Reply::json(&json!({"kind": "APIGroupDiscoveryList", "items": items})))
    }

    /// An index of a server that answers lists (`watch` is false) and watches of config maps so.
    fn start(
        answer: impl Fn(&str, bool, usize) -> Reply + Send + Sync + 'static,
    ) -> (Index, Scripted) {
        let answer = move |path: &str, count| {
            discovery(path).unwrap_or_else(|| answer(path, path.contains("watch=1"), count))
        };
        let script = Scripted(Arc::new(Script {
            answer: Box::new(answer),
            asked: Mutex::default(),
            counts: Mutex::default(),
            away: AtomicBool::new(false),
            dialled: AtomicUsize::new(0),
        }));
        let access = Access {
            server: "http://cluster.test".into(),
            ca_pem: None,
            tls_server_name: None,
            insecure: false,
            credentials: Credentials::token("x".to_owned().into()),
            namespace: None,
        };
        let cluster = Cluster::new(&access, Arc::new(script.clone())).unwrap();
        (Index::start(cluster, Options::default()), script)
    }

    impl Scripted {
        fn asked(&self, part: &str) -> Vec<(Instant, String)> {
            lock(&self.0.asked).iter().filter(|(_, path)| path.contains(part)).cloned().collect()
        }
    }

    fn names(live: &Live) -> Vec<String> {
        let mut query = Query::new(Scope::all());
        query.limit = 10_000;
        live.page(&query).unwrap().rows.iter().map(|row| row.name.to_string()).collect()
    }

    async fn until(what: &str, mut is: impl FnMut() -> bool) {
        for _ in 0..1500 {
            if is() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not in 15 seconds: {what}");
    }

    #[tokio::test]
    async fn pages_and_changes_are_taken() {
        let (index, script) = start(|path, watch, count| match (watch, count) {
            (false, _) if path.contains("continue=a%2Bb") => list(&[row("c", 1, 3)], 10, ""),
            (false, _) => list(&[row("a", 1, 1), row("b", 1, 2)], 10, "a+b"),
            (true, 0) => Reply::watch(
                &[
                    event("ADDED", row("d", 1, 11)),
                    event("MODIFIED", row("a", 2, 12)),
                    event("DELETED", row("b", 1, 13)),
                    bookmark(20),
                ],
                End::Whole,
            ),
            _ => Reply::watch(&[], End::Open),
        });
        let mut changes = index.changes();
        let live = index.open("cm").await.unwrap();
        until("the changes", || names(&live) == ["a", "c", "d"]).await;
        let row = live.get(&Scope::all(), "team", "a").unwrap();
        assert_eq!(row.cells[1], crate::index::Cell::Integer(2));
        assert!(live.get(&Scope::namespaces(["other"]), "team", "a").is_none());
        // The next watch goes on where the bookmark was.
        until("the next watch", || script.asked("watch=1").len() == 2).await;
        assert!(script.asked("watch=1")[0].1.ends_with("resourceVersion=10"));
        assert!(script.asked("watch=1")[1].1.ends_with("resourceVersion=20"));
        assert!(script.asked("limit=")[0].1.contains("includeObject=Metadata"));
        let mut told = Vec::new();
        while told.len() < 3 {
            let batch = timeout(Duration::from_secs(5), changes.recv()).await.unwrap().unwrap();
            told.extend(batch.rows.clone().unwrap_or_default());
        }
        told.sort_by(|a, b| a.name.cmp(&b.name));
        let told: Vec<_> = told.iter().map(|change| (&*change.name, change.kind)).collect();
        assert_eq!(
            told,
            [("a", ChangeKind::Updated), ("b", ChangeKind::Removed), ("d", ChangeKind::Added)]
        );
        assert!(live.freshness().age.is_zero() && live.status().state.live);
        until("the version", || index.status().version == "v1.99.0").await;
    }

    #[tokio::test]
    async fn a_watch_that_is_cut_within_an_event_goes_on() {
        let (index, script) = start(|_, watch, count| match (watch, count) {
            (false, _) => list(&[row("a", 1, 1)], 10, ""),
            (true, 0) => {
                let mut reply = Reply::watch(&[event("ADDED", row("b", 1, 11))], End::Cut);
                reply.body.push_str("{\"type\":\"ADDED\",\"object\":{\"kind\":\"Tab");
                reply
            }
            _ => Reply::watch(&[event("ADDED", row("c", 1, 12))], End::Open),
        });
        let live = index.open("configmaps").await.unwrap();
        until("both", || names(&live) == ["a", "b", "c"]).await;
        assert!(script.asked("watch=1")[1].1.ends_with("resourceVersion=11"));
        assert_eq!(script.asked("limit=").len(), 1);
    }

    #[tokio::test]
    async fn gone_means_a_new_list() {
        let (index, script) = start(|_, watch, count| match (watch, count) {
            (false, 0) => list(&[row("a", 1, 1), row("b", 1, 2)], 10, ""),
            (false, _) => list(&[row("b", 2, 20), row("c", 1, 21)], 30, ""),
            (true, 0) => Reply::watch(
                &[
                    json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}}),
                ],
                End::Whole,
            ),
            _ => Reply::watch(&[], End::Open),
        });
        let live = index.open("configmaps").await.unwrap();
        until("the new list", || names(&live) == ["b", "c"]).await;
        until("the new watch", || script.asked("watch=1").len() == 2).await;
        assert!(script.asked("watch=1")[1].1.ends_with("resourceVersion=30"));
    }

    #[tokio::test]
    async fn a_pause_that_is_asked_for_is_kept() {
        let (index, script) = start(|_, watch, count| match (watch, count) {
            (false, 0) => {
                Reply { headers: "Retry-After: 1\r\n", ..Reply::status(429, "TooManyRequests") }
            }
            (false, _) => list(&[row("a", 1, 1)], 10, ""),
            _ => Reply::watch(&[], End::Open),
        });
        let error = index.open("configmaps").await.err().unwrap();
        assert_eq!(error.kind(), FailureKind::TooManyRequests);
        until("the list", || index.opened("configmaps").is_some()).await;
        let asked = script.asked("limit=");
        assert!(asked[1].0 - asked[0].0 >= Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_type_that_is_gone_has_no_objects_any_more() {
        let (index, _script) = start(|_, watch, count| match (watch, count) {
            (false, 0) => list(&[row("a", 1, 1)], 10, ""),
            (true, 0) => Reply::watch(&[], End::Whole),
            _ => Reply::status(404, "NotFound"),
        });
        let live = index.open("configmaps").await.unwrap();
        until("nothing", || names(&live).is_empty()).await;
        let state = live.status().state;
        assert_eq!(state.error.map(|error| error.kind()), Some(FailureKind::NotFound));
        let unknown = index.open("nosuchthings.example.com").await.err().unwrap();
        assert_eq!(unknown.kind(), FailureKind::NotFound);
    }

    #[tokio::test]
    async fn while_the_cluster_is_away_the_last_state_stays() {
        let (index, script) = start(|_, watch, count| match (watch, count) {
            (false, _) => list(&[row("a", 1, 1)], 10, ""),
            (true, 0) => Reply::watch(&[], End::Open),
            _ => Reply::watch(&[event("ADDED", row("b", 1, 11))], End::Open),
        });
        let live = index.open("configmaps").await.unwrap();
        script.0.away.store(true, Ordering::Relaxed);
        until("away", || !index.status().connected && !live.freshness().age.is_zero()).await;
        assert_eq!(names(&live), ["a"]);
        let status = index.status();
        assert!(status.failure.unwrap().message().contains("API server"));
        assert!(status.last_contact.is_some());
        script.0.away.store(false, Ordering::Relaxed);
        until("back", || index.status().connected && names(&live) == ["a", "b"]).await;
        assert!(live.freshness().age.is_zero());
    }

    #[tokio::test]
    async fn a_flood_is_taken_together() {
        const EVENTS: u64 = 5000;
        let (index, _script) = start(|_, watch, _| {
            if !watch {
                return list(&[], 10, "");
            }
            let events: Vec<Value> = (0..EVENTS)
                .map(|number| {
                    event("ADDED", row(&format!("n-{}", number % 1000), number, 100 + number))
                })
                .collect();
            Reply::watch(&events, End::Open)
        });
        let mut changes = index.changes();
        let live = index.open("configmaps").await.unwrap();
        let last = || {
            let row = live.get(&Scope::all(), "team", "n-999")?;
            Some(row.cells[1] == crate::index::Cell::Integer(EVENTS as i64 - 1))
        };
        until("the last", || last() == Some(true)).await;
        assert_eq!(names(&live).len(), 1000);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut batches = 0;
        while let Ok(batch) = changes.try_recv() {
            batches += 1;
            assert!(batch.rows.as_ref().is_none_or(|rows| rows.len() <= MOST_TOLD));
        }
        assert!(batches < 200, "{batches}");
    }

    #[tokio::test]
    async fn an_index_that_is_dropped_asks_no_more() {
        let (index, script) =
            start(
                |_, watch, _| {
                    if watch { Reply::watch(&[], End::Whole) } else { list(&[], 10, "") }
                },
            );
        index.open("configmaps").await.unwrap();
        drop(index);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let asked = script.asked("").len();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(script.asked("").len(), asked);
    }
}
