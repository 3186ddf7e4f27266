//! Watches: what is there, then what changes, until the caller goes or the time is over.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use hyper::HeaderMap;
use serde_json::{Value, json};
use tokio::{sync::watch, time::Sleep};

use crate::{
    faults::WatchFault,
    handlers::{
        Accepts, Context, Form,
        list::{Selection, not_from_the_future, version},
        negotiate::{partial, wire},
    },
    resources::{ResourceType, StorageKey},
    respond::{self, Answer},
    status::{About, ApiError, Cause, Result},
    store::{Change, Object, Store},
    table,
};

/// How many changes are read at once.
const BATCH: usize = 200;

struct Watch {
    store: Arc<Store>,
    resource: Arc<ResourceType>,
    key: StorageKey,
    namespace: Option<String>,
    selection: Selection,
    accepts: Accepts,
    maker: Option<table::Maker>,
    first_row: bool,
    /// Up to where changes were sent.
    cursor: u64,
    /// Up to where nothing is left to send, for bookmarks.
    seen: u64,
    /// What is there at the beginning and was not sent yet.
    initial: VecDeque<Arc<Object>>,
    /// Whether a bookmark ends the beginning.
    announce: bool,
    bookmarks: Option<Duration>,
    next_bookmark: Pin<Box<Sleep>>,
    deadline: Pin<Box<Sleep>>,
    newest: watch::Receiver<u64>,
    ended: watch::Receiver<u64>,
    orders: watch::Receiver<(u64, WatchFault)>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Open,
    /// The next bytes are the last ones, cut short.
    Cut,
    Done,
}

/// Where a watch begins.
enum Start {
    /// With what is there now.
    There,
    /// After a version.
    After(u64),
}

fn option_error(detail: &str) -> ApiError {
    let about = About { group: "meta.k8s.io", resource: "ListOptions", name: "" };
    ApiError::invalid(about, &[Cause::forbidden("sendInitialEvents", detail)])
}

/// Begins a watch.
///
/// # Errors
/// When the query cannot be answered.
pub fn handle(context: &Context, headers: &HeaderMap) -> Result<Answer> {
    let accepts = watch_accepts(headers, context)?;
    let selection = Selection::of(context)?;
    let query = &context.info.query;
    let store = &context.cluster.store;
    let initial_events = query.get("sendInitialEvents").is_some_and(|v| v == "true" || v == "1");
    let matching = query.get("resourceVersionMatch");
    if query.get("sendInitialEvents").is_some() && matching != Some("NotOlderThan") {
        return Err(option_error(
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ));
    }
    if query.get("sendInitialEvents").is_none() && matching.is_some() {
        let about = About { group: "meta.k8s.io", resource: "ListOptions", name: "" };
        let cause = Cause::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        );
        return Err(ApiError::invalid(about, &[cause]));
    }
    let wanted = query.get("resourceVersion").map(version).transpose()?.unwrap_or(0);
    let start = match wanted {
        _ if initial_events => Start::There,
        0 if query.get("sendInitialEvents").is_some() => Start::After(store.version()),
        0 => Start::There,
        wanted => Start::After(wanted),
    };
    not_from_the_future(wanted, store.version())?;
    let key = context.resource.storage.clone();
    let (newest, ended) = store.follow(&key);
    let namespace = (context.resource.namespaced && !context.info.namespace.is_empty())
        .then(|| context.info.namespace.clone());
    let mut gone = false;
    let (cursor, initial) = match start {
        Start::There => {
            let snapshot = store.list(&key, namespace.as_deref());
            let selected = snapshot.objects.into_iter().filter(|object| selection.selects(object));
            (snapshot.version, selected.collect())
        }
        Start::After(version) => {
            gone = context.cluster.faults.take_gone_watch();
            (version, VecDeque::new())
        }
    };
    let seconds = query.number("timeoutSeconds")?.unwrap_or(0);
    let seconds = u64::try_from(seconds).ok().filter(|&s| s > 0).unwrap_or(1800 + cursor % 1800);
    let bookmarks =
        query.flag("allowWatchBookmarks").then_some(context.cluster.options.bookmark_every);
    let mut orders = context.cluster.faults.watch_orders();
    orders.mark_unchanged();
    let maker = match accepts.form {
        Form::Table(include) => {
            Some(table::Maker::new(&context.resource, include, accepts.meta_version))
        }
        _ => None,
    };
    let watch = Watch {
        store: Arc::clone(store),
        resource: Arc::clone(&context.resource),
        key,
        namespace,
        selection,
        accepts,
        maker,
        first_row: true,
        cursor,
        seen: cursor,
        initial,
        announce: initial_events && bookmarks.is_some(),
        bookmarks,
        next_bookmark: Box::pin(tokio::time::sleep(
            bookmarks.unwrap_or(Duration::from_secs(24 * 3600)),
        )),
        deadline: Box::pin(tokio::time::sleep(Duration::from_secs(seconds))),
        newest,
        ended,
        orders,
        state: State::Open,
    };
    if gone || watch.store.changes(&watch.key, watch.cursor, 1).is_err() {
        // Kubernetes answers 200, and says it in the stream.
        let oldest =
            watch.store.changes(&watch.key, watch.cursor, 1).err().map_or(cursor + 1, |e| e.oldest);
        let error = too_old(cursor, oldest);
        return Ok(respond::bytes(200, "application/json", error));
    }
    Ok(respond::stream("application/json", stream::unfold(watch, next)))
}

/// A watch sends each object of a list: it takes the forms of one object.
fn watch_accepts(headers: &HeaderMap, context: &Context) -> Result<Accepts> {
    Accepts::of(headers, context, false)
}

fn too_old(wanted: u64, oldest: u64) -> Bytes {
    let error = ApiError::expired(format!("too old resource version: {wanted} ({oldest})"));
    line("ERROR", error.status().to_string().as_bytes())
}

fn line(kind: &str, object: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(object.len() + 40);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
    out.freeze()
}

async fn next(mut watch: Watch) -> Option<(std::io::Result<Bytes>, Watch)> {
    let cut = || std::io::Error::other("cut on purpose");
    match watch.state {
        State::Done => return None,
        State::Cut => {
            watch.state = State::Done;
            return Some((Err(cut()), watch));
        }
        State::Open => {}
    }
    loop {
        if let Some(bytes) = watch.ready() {
            return Some((Ok(bytes), watch));
        }
        if watch.state == State::Done {
            return None;
        }
        tokio::select! {
            biased;
            _ = watch.orders.changed() => {
                let (_, order) = *watch.orders.borrow_and_update();
                match order {
                    WatchFault::End => return None,
                    WatchFault::Gone => {
                        watch.state = State::Done;
                        let bytes = too_old(watch.cursor, watch.store.version());
                        return Some((Ok(bytes), watch));
                    }
                    WatchFault::CutInEvent => {
                        watch.state = State::Cut;
                        let whole = watch.any_event();
                        let half = whole.slice(..whole.len() / 2);
                        return Some((Ok(half), watch));
                    }
                }
            }
            _ = watch.ended.changed() => return None,
            changed = watch.newest.changed() => {
                if changed.is_err() {
                    return None;
                }
            }
            () = &mut watch.next_bookmark => {
                let bytes = watch.bookmark(watch.seen, false);
                watch.again();
                if watch.bookmarks.is_some() {
                    return Some((Ok(bytes), watch));
                }
            }
            () = &mut watch.deadline => {
                watch.state = State::Done;
                if watch.bookmarks.is_some() {
                    let bytes = watch.bookmark(watch.seen, false);
                    return Some((Ok(bytes), watch));
                }
                return None;
            }
        }
    }
}

impl Watch {
    fn again(&mut self) {
        let every = self.bookmarks.unwrap_or(Duration::from_secs(24 * 3600));
        self.next_bookmark.as_mut().reset(tokio::time::Instant::now() + every);
    }

    /// What can be sent at once.
    fn ready(&mut self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        while let Some(object) = self.initial.pop_front() {
            out.extend_from_slice(&self.event("ADDED", &object));
            if out.len() > 128 * 1024 {
                return Some(out.freeze());
            }
        }
        if self.announce {
            self.announce = false;
            out.extend_from_slice(&self.bookmark(self.cursor, true));
        }
        // Seen before reading, so that what comes meanwhile wakes us again.
        self.newest.mark_unchanged();
        let seen = self.store.version();
        loop {
            match self.store.changes(&self.key, self.cursor, BATCH) {
                Err(expired) => {
                    out.extend_from_slice(&too_old(self.cursor, expired.oldest));
                    self.state = State::Done;
                    break;
                }
                Ok(changes) => {
                    let whole = changes.len() < BATCH;
                    for change in &changes {
                        self.cursor = change.version;
                        if let Some(event) = self.change(change) {
                            out.extend_from_slice(&event);
                        }
                    }
                    if whole {
                        self.seen = self.cursor.max(seen);
                    }
                    if whole || out.len() > 128 * 1024 {
                        break;
                    }
                }
            }
        }
        (!out.is_empty()).then(|| out.freeze())
    }

    /// A change as this watch sees it: what leaves the selection is deleted for it.
    fn change(&mut self, change: &Change) -> Option<Bytes> {
        let here = self.namespace.as_ref().is_none_or(|one| *one == change.after.namespace);
        if !here {
            return None;
        }
        let before = change.before.as_ref().is_some_and(|object| self.selection.selects(object));
        let after = !change.deleted && self.selection.selects(&change.after);
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(self.event("ADDED", &change.after)),
            (true, true) => Some(self.event("MODIFIED", &change.after)),
            (true, false) if change.deleted => Some(self.event("DELETED", &change.after)),
            (true, false) => {
                // The object as it was, with the version at which it left.
                let before = change.before.as_ref()?;
                let mut value = before.value();
                value["metadata"]["resourceVersion"] = json!(change.version.to_string());
                let object = Object {
                    namespace: before.namespace.clone(),
                    name: before.name.clone(),
                    uid: before.uid.clone(),
                    version: change.version,
                    labels: before.labels.clone(),
                    owners: Vec::new(),
                    deleting: before.deleting,
                    bytes: Bytes::from(value.to_string()),
                };
                Some(self.event("DELETED", &object))
            }
        }
    }

    fn event(&mut self, kind: &str, object: &Object) -> Bytes {
        match self.accepts.form {
            Form::Object => line(kind, &wire(&self.resource, object, true)),
            Form::Metadata => {
                line(kind, partial(object, self.accepts.meta_version).to_string().as_bytes())
            }
            Form::Table(_) => {
                let Some(maker) = &self.maker else { return Bytes::new() };
                let metadata = json!({"resourceVersion": object.version.to_string()});
                let table = maker.table(&metadata, &[object], self.first_row);
                self.first_row = false;
                line(kind, &table)
            }
        }
    }

    fn bookmark(&mut self, version: u64, announce: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if !self.resource.is_custom() {
            metadata["creationTimestamp"] = Value::Null;
        }
        if announce {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let mut value = json!({"metadata": metadata});
        match self.resource.kind.as_str() {
            "Pod" => value["spec"] = json!({"containers": null}),
            _ if self.resource.is_custom() => {}
            _ => {}
        }
        let object = Object {
            namespace: String::new(),
            name: String::new(),
            uid: String::new(),
            version,
            labels: Default::default(),
            owners: Vec::new(),
            deleting: false,
            bytes: Bytes::from(value.to_string()),
        };
        self.event("BOOKMARK", &object)
    }

    /// The bytes of some event, to be cut in the middle.
    fn any_event(&mut self) -> Bytes {
        let there = self.store.list(&self.key, self.namespace.as_deref());
        match there.objects.first() {
            Some(object) => self.event("MODIFIED", object),
            None => self.bookmark(self.cursor, false),
        }
    }
}
