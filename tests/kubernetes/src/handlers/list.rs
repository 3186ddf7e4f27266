//! Reading: one object, and lists with selectors, pages and versions.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use hyper::HeaderMap;
use serde_json::{Value, json};

use crate::{
    handlers::{
        Accepts, Context, Form, answer_object,
        negotiate::{partial, wire},
    },
    resources::ResourceType,
    respond::{self, Answer},
    selectors::{Fields, Labels},
    status::{About, ApiError, Cause, Result},
    store::{Object, Snapshot},
    table,
};

/// What a list or watch selects.
pub struct Selection {
    labels: Labels,
    fields: Fields,
}

impl Selection {
    /// As the query says.
    ///
    /// # Errors
    /// When a selector cannot be read.
    pub fn of(context: &Context) -> Result<Self> {
        let query = &context.info.query;
        let labels = query.get("labelSelector").unwrap_or_default();
        let labels = Labels::parse(labels)
            .map_err(|why| ApiError::bad_request(format!("unable to parse requirement: {why}")))?;
        let fields = query.get("fieldSelector").unwrap_or_default();
        Ok(Self { labels, fields: Fields::parse(fields, &context.resource)? })
    }

    /// Whether it selects all.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether it selects that object.
    pub fn selects(&self, object: &Object) -> bool {
        if !self.labels.matches(&object.labels) {
            return false;
        }
        if self.fields.is_empty() {
            return true;
        }
        if self.fields.only_keys() {
            return self.fields.matches_key(&object.namespace, &object.name);
        }
        self.fields.matches(&object.value())
    }
}

/// One object.
///
/// # Errors
/// When it is not there.
pub fn get(context: &Context, headers: &HeaderMap) -> Result<Answer> {
    let name = &context.info.name;
    let object = context
        .cluster
        .store
        .get(&context.resource.storage, context.namespace(), name)
        .ok_or_else(|| ApiError::not_found(context.resource.about(name)))?;
    answer_object(context, headers, 200, &object, &[])
}

/// How a list's version is meant.
enum At {
    Newest,
    Exact(u64),
}

fn option_error(field: &str, detail: &str) -> ApiError {
    let about = About { group: "meta.k8s.io", resource: "ListOptions", name: "" };
    ApiError::invalid(about, &[Cause::forbidden(field, detail)])
}

/// Reads a version of a query.
///
/// # Errors
/// When it is none.
pub fn version(text: &str) -> Result<u64> {
    text.parse().map_err(|_| {
        ApiError::bad_request(format!(
            "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
        ))
    })
}

/// Refuses a version that is not there yet.
///
/// # Errors
/// Then.
pub fn not_from_the_future(wanted: u64, current: u64) -> Result<()> {
    if wanted <= current {
        return Ok(());
    }
    let message = format!("Too large resource version: {wanted}, current: {current}");
    let mut error = ApiError::new(504, "Timeout", format!("Timeout: {message}"));
    error.details = Some(json!({
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }));
    error.retry_after = Some(1);
    Err(error)
}

fn list_version(context: &Context, limited: bool) -> Result<At> {
    let query = &context.info.query;
    let wanted = query.get("resourceVersion");
    let how = query.get("resourceVersionMatch");
    if query.get("sendInitialEvents").is_some() {
        return Err(option_error("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    if how.is_some() && wanted.is_none() {
        return Err(option_error(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ));
    }
    let Some(wanted) = wanted else { return Ok(At::Newest) };
    let wanted = version(wanted)?;
    match how {
        None | Some("NotOlderThan" | "Exact") => {}
        Some(other) => {
            let about = About { group: "meta.k8s.io", resource: "ListOptions", name: "" };
            let cause = Cause::not_supported(
                "resourceVersionMatch",
                &json!(other),
                &["Exact", "NotOlderThan", ""],
            );
            return Err(ApiError::invalid(about, &[cause]));
        }
    }
    if how == Some("Exact") && wanted == 0 {
        return Err(option_error(
            "resourceVersionMatch",
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        ));
    }
    not_from_the_future(wanted, context.cluster.store.version())?;
    let exact = how == Some("Exact") || how.is_none() && limited && wanted != 0;
    Ok(if exact { At::Exact(wanted) } else { At::Newest })
}

/// Where a page ends: the version of the list, and the last key.
fn continue_token(version: u64, key: &(String, String)) -> String {
    let start = if key.0.is_empty() { key.1.clone() } else { format!("{}/{}", key.0, key.1) };
    BASE64.encode(
        json!({"v": "meta.k8s.io/v1", "rv": version, "start": format!("{start}\u{0}")}).to_string(),
    )
}

fn read_token(text: &str) -> Result<(i64, (String, String))> {
    let wrong = |why: &str| ApiError::bad_request(format!("continue key is not valid: {why}"));
    let bytes =
        BASE64.decode(text.trim_end_matches('=')).map_err(|error| wrong(&error.to_string()))?;
    let token: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(&error.to_string()))?;
    let start = token["start"].as_str().unwrap_or_default().trim_end_matches('\u{0}');
    let key = match start.split_once('/') {
        Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
        None => (String::new(), start.to_owned()),
    };
    Ok((token["rv"].as_i64().unwrap_or_default(), key))
}

const EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

fn snapshot(context: &Context, limited: bool) -> Result<(Snapshot, Option<(String, String)>)> {
    let store = &context.cluster.store;
    let key = &context.resource.storage;
    let namespace = match context.info.namespace.as_str() {
        "" => None,
        _ if !context.resource.namespaced => None,
        namespace => Some(namespace),
    };
    if let Some(token) = context.info.query.get("continue") {
        if context.info.query.get("resourceVersion").is_some_and(|v| v != "0") {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let (version, after) = read_token(token)?;
        let Ok(version) = u64::try_from(version) else {
            return Ok((store.list(key, namespace), Some(after)));
        };
        return match store.list_at(key, namespace, version) {
            Ok(snapshot) => Ok((snapshot, Some(after))),
            Err(_) => {
                let start = if after.0.is_empty() {
                    after.1.clone()
                } else {
                    format!("{}/{}", after.0, after.1)
                };
                let token = BASE64.encode(
                    json!({"v": "meta.k8s.io/v1", "rv": -1, "start": format!("{start}\u{0}")})
                        .to_string(),
                );
                Err(ApiError::expired(EXPIRED).with_list_continue(token))
            }
        };
    }
    match list_version(context, limited)? {
        At::Newest => Ok((store.list(key, namespace), None)),
        At::Exact(version) => store
            .list_at(key, namespace, version)
            .map(|snapshot| (snapshot, None))
            .map_err(|_| {
                ApiError::expired(
                    "The provided resource version is too old. etcdserver: mvcc: required revision has been compacted",
                )
            }),
    }
}

/// A list.
///
/// # Errors
/// When the query cannot be answered.
pub fn handle(context: &Context, headers: &HeaderMap) -> Result<Answer> {
    let accepts = Accepts::of(headers, context, true)?;
    let selection = Selection::of(context)?;
    let limit = context.info.query.number("limit")?.unwrap_or(0);
    let limit = usize::try_from(limit).unwrap_or(0);
    let (snapshot, after) = snapshot(context, limit > 0)?;
    let mut objects = snapshot.objects;
    if let Some(after) = after {
        let start = objects
            .partition_point(|object| (&object.namespace, &object.name) <= (&after.0, &after.1));
        objects.drain(..start);
    }
    let all = selection.is_empty();
    if !all && limit == 0 {
        objects.retain(|object| selection.selects(object));
    }
    let mut metadata = json!({"resourceVersion": snapshot.version.to_string()});
    if limit > 0 {
        let (page, more) = page(objects, limit, &selection);
        if more > 0
            && let Some(last) = page.last()
        {
            metadata["continue"] = json!(continue_token(snapshot.version, &last.key()));
            if all {
                metadata["remainingItemCount"] = json!(more);
            }
        }
        objects = page;
    }
    answer_list(&context.resource, accepts, metadata, objects)
}

/// The first selected objects, and how many follow, selected or not.
fn page(
    objects: Vec<Arc<Object>>,
    limit: usize,
    selection: &Selection,
) -> (Vec<Arc<Object>>, usize) {
    let total = objects.len();
    let mut page = Vec::new();
    for (index, object) in objects.into_iter().enumerate() {
        if selection.selects(&object) {
            page.push(object);
            if page.len() == limit {
                return (page, total - index - 1);
            }
        }
    }
    (page, 0)
}

fn answer_list(
    resource: &Arc<ResourceType>,
    accepts: Accepts,
    metadata: Value,
    objects: Vec<Arc<Object>>,
) -> Result<Answer> {
    let resource = Arc::clone(resource);
    let custom = resource.is_custom();
    let version = accepts.meta_version;
    match accepts.form {
        Form::Object if accepts.yaml => {
            let items: Vec<Value> = objects
                .iter()
                .map(|object| {
                    serde_json::from_slice(&wire(&resource, object, custom)).unwrap_or_default()
                })
                .collect();
            let list = json!({
                "kind": resource.list_kind,
                "apiVersion": resource.api_version(),
                "metadata": metadata,
                "items": items,
            });
            let text = serde_norway::to_string(&list)
                .map_err(|error| ApiError::internal(error.to_string()))?;
            Ok(respond::bytes(200, "application/yaml", text))
        }
        Form::Object => {
            let head = format!(
                "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
                resource.list_kind,
                resource.api_version()
            );
            Ok(chunks(head, "]}", objects, move |object| wire(&resource, object, custom)))
        }
        Form::Metadata => {
            let head = format!(
                "{{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/{version}\",\"metadata\":{metadata},\"items\":["
            );
            Ok(chunks(head, "]}", objects, move |object| {
                Bytes::from(partial(object, version).to_string())
            }))
        }
        Form::Table(include) => {
            let maker = table::Maker::new(&resource, include, version);
            let head = maker.head(&metadata);
            Ok(chunks(head, "]}", objects, move |object| maker.row(object)))
        }
    }
}

/// Sends a list in pieces, so that a large one is never whole in memory.
fn chunks(
    head: String,
    tail: &'static str,
    objects: Vec<Arc<Object>>,
    encode: impl Fn(&Object) -> Bytes + Send + 'static,
) -> Answer {
    const PIECE: usize = 128 * 1024;
    if objects.len() < 50 {
        let mut body = BytesMut::from(head.as_bytes());
        for (index, object) in objects.iter().enumerate() {
            if index > 0 {
                body.put_u8(b',');
            }
            body.put(encode(object));
        }
        body.put(tail.as_bytes());
        return respond::bytes(200, "application/json", body.freeze());
    }
    let state = (objects.into_iter(), Some(head), false, encode);
    let pieces = stream::unfold(Some(state), move |state| async move {
        let (mut objects, mut head, mut some, encode) = state?;
        let mut piece = BytesMut::with_capacity(PIECE + 16 * 1024);
        if let Some(head) = head.take() {
            piece.put(head.as_bytes());
        }
        while piece.len() < PIECE {
            let Some(object) = objects.next() else {
                piece.put(tail.as_bytes());
                return Some((Ok(piece.freeze()), None));
            };
            if some {
                piece.put_u8(b',');
            }
            some = true;
            piece.put(encode(&object));
        }
        tokio::task::yield_now().await;
        Some((Ok(piece.freeze()), Some((objects, head, some, encode))))
    });
    respond::stream("application/json", pieces)
}
