//! Logs of containers: what was written, by time, by number, and as it is written.

use std::{sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use hyper::{Request, body::Incoming};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::watch;

use super::{Line, Log};
use crate::{
    clock,
    handlers::Context,
    respond::{self, Answer},
    status::{About, ApiError, Cause, Result},
};

struct Options {
    follow: bool,
    previous: bool,
    timestamps: bool,
    since: Option<OffsetDateTime>,
    tail: Option<usize>,
    limit: Option<usize>,
}

impl Options {
    fn of(context: &Context) -> Result<Self> {
        let query = &context.info.query;
        let mut causes = Vec::new();
        let tail = query.number("tailLines")?;
        if let Some(lines) = tail.filter(|lines| *lines < 0) {
            causes.push(Cause::invalid(
                "tailLines",
                &json!(lines),
                "must be greater than or equal to 0",
            ));
        }
        let limit = query.number("limitBytes")?;
        if let Some(bytes) = limit.filter(|bytes| *bytes < 1) {
            causes.push(Cause::invalid("limitBytes", &json!(bytes), "must be greater than 0"));
        }
        let seconds = query.number("sinceSeconds")?;
        if let Some(seconds) = seconds.filter(|seconds| *seconds < 1) {
            causes.push(Cause::invalid("sinceSeconds", &json!(seconds), "must be greater than 0"));
        }
        let time = query.get("sinceTime");
        if seconds.is_some() && time.is_some() {
            causes.push(Cause::forbidden(
                "",
                "at most one of `sinceTime` or `sinceSeconds` may be specified",
            ));
        }
        if !causes.is_empty() {
            let about = About { group: "", resource: "PodLogOptions", name: &context.info.name };
            return Err(ApiError::invalid(about, &causes));
        }
        let since = match (seconds, time) {
            (Some(seconds), _) => Some(clock::now() - time::Duration::seconds(seconds)),
            (None, Some(text)) => Some(clock::parse(text).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse"
                ))
            })?),
            (None, None) => None,
        };
        let size = |number: Option<i64>| number.and_then(|number| usize::try_from(number).ok());
        Ok(Self {
            follow: query.flag("follow"),
            previous: query.flag("previous"),
            timestamps: query.flag("timestamps"),
            since,
            tail: size(tail),
            limit: size(limit),
        })
    }
}

/// The state of a container, as the pod says it.
fn status_of<'a>(pod: &'a Value, name: &str) -> &'a Value {
    ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"]
        .iter()
        .flat_map(|list| pod["status"][*list].as_array().into_iter().flatten())
        .find(|status| status["name"] == name)
        .unwrap_or(&Value::Null)
}

/// Answers a request for a log.
///
/// # Errors
/// When there is none, in the words of the kubelet.
pub fn handle(context: &Context, _request: &Request<Incoming>) -> Result<Answer> {
    let options = Options::of(context)?;
    let name = &context.info.name;
    let pod = super::pod(&context.cluster, context.namespace(), name)?;
    let container = super::container(&pod, context.info.query.get("container"))?;
    if pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty() {
        // A pod that is nowhere has written nothing.
        return Ok(respond::bytes(204, "text/plain", ""));
    }
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let log = context.cluster.containers.log(uid, &container, options.previous);
    let Some(log) = log else { return Err(missing(&pod, &container, options.previous)) };
    let (lines, seen) = log.after(0);
    let mut lines: Vec<Line> = lines
        .into_iter()
        .filter(|line| options.since.is_none_or(|since| line.time >= since))
        .collect();
    if let Some(tail) = options.tail {
        lines.drain(..lines.len().saturating_sub(tail));
    }
    let mut text = written(&lines, options.timestamps);
    if let Some(limit) = options.limit {
        text.truncate(limit);
    }
    if !options.follow {
        return Ok(respond::bytes(200, "text/plain", text.freeze()));
    }
    let orders = context.cluster.faults.watch_orders();
    let state = Follow {
        count: log.follow(),
        log,
        seen,
        timestamps: options.timestamps,
        first: Some(text.freeze()),
        orders,
    };
    Ok(respond::stream("text/plain", stream::unfold(state, next)))
}

fn missing(pod: &Value, container: &str, previous: bool) -> ApiError {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    if previous {
        return ApiError::bad_request(format!(
            "previous terminated container \"{container}\" in pod \"{name}\" not found"
        ));
    }
    let waiting = &status_of(pod, container)["state"]["waiting"]["reason"];
    match waiting.as_str() {
        Some("ErrImagePull" | "ImagePullBackOff") => ApiError::bad_request(format!(
            "container \"{container}\" in pod \"{name}\" is waiting to start: trying and failing to pull image"
        )),
        Some("CreateContainerConfigError" | "ContainerCreating" | "PodInitializing") => {
            ApiError::bad_request(format!(
                "container \"{container}\" in pod \"{name}\" is waiting to start: {}",
                waiting.as_str().unwrap_or_default()
            ))
        }
        _ => ApiError::bad_request(format!(
            "container \"{container}\" in pod \"{name}\" is waiting to start: ContainerCreating"
        )),
    }
}

fn written(lines: &[Line], timestamps: bool) -> BytesMut {
    let mut text = BytesMut::new();
    for line in lines {
        if timestamps {
            text.put(clock::nanos(line.time).as_bytes());
            text.put_u8(b' ');
        }
        text.put(line.text.as_bytes());
        text.put_u8(b'\n');
    }
    text
}

struct Follow {
    log: Arc<Log>,
    count: watch::Receiver<(usize, bool)>,
    seen: usize,
    timestamps: bool,
    first: Option<Bytes>,
    orders: watch::Receiver<(u64, crate::faults::WatchFault)>,
}

async fn next(mut state: Follow) -> Option<(std::io::Result<Bytes>, Follow)> {
    if let Some(first) = state.first.take().filter(|first| !first.is_empty()) {
        return Some((Ok(first), state));
    }
    loop {
        let open = state.count.borrow_and_update().1;
        let (lines, seen) = state.log.after(state.seen);
        state.seen = seen;
        if !lines.is_empty() {
            let text = written(&lines, state.timestamps).freeze();
            return Some((Ok(text), state));
        }
        if !open {
            return None;
        }
        tokio::select! {
            changed = state.count.changed() => changed.ok()?,
            changed = state.orders.changed() => {
                changed.ok()?;
                return None;
            }
            () = tokio::time::sleep(Duration::from_secs(4 * 3600)) => return None,
        }
    }
}
