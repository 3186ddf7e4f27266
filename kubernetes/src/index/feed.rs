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
const TOGETHER: Duration = Duration::from_millis(20);
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
            _ = back.changed(), if failure.kind() == FailureKind::Away => {
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
                disconnected(&shared, failure);
                if failed == 2 {
                    // Connections that look open are dead.
                    shared.cut.send_modify(|count| *count += 1);
                }
            }
        }
        loop {
            let pause = if failed > 0 {
                pause_after(failed.min(5))
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
