//! Logs of pods, and of all pods of a workload.

use std::collections::VecDeque;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use drover_api::{List, LogLine, LogMessage, LogStream, Permission, PodLogLine, PodLogMessage};
use drover_kubernetes::{
    client::Failure,
    facts::Facts,
    index::{Row, Selector},
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    super::{
        failed,
        pod_logs::{self, Merged, Of, Part},
    },
    target::{Place, Target},
};
use crate::{
    error::{Error, Result},
    extract::{Path, Query},
    hosts::{
        logs::Moment,
        socket::{self, Feed},
        streams::Upgrade,
    },
};

/// How many lines come when nothing is said.
const DEFAULT_TAIL: u32 = 500;
/// The most lines in one JSON answer.
const MOST_LINES: u32 = 10_000;
/// The most bytes in one JSON answer.
const MOST_BYTES: usize = 16 << 20;

/// Whose log.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfQuery {
    /// `pods`, or the type of a workload, a Service or a CronJob.
    #[serde(rename = "type")]
    #[param(example = "deployments.apps")]
    kind: String,
    /// The namespace.
    #[param(example = "shop")]
    namespace: String,
    /// The name.
    #[param(example = "web")]
    name: String,
}

/// Which part of a log.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LogsQuery {
    /// Of one container only. Default: all.
    container: Option<String>,
    /// What the container wrote before its last restart.
    previous: Option<bool>,
    /// Lines after this moment: RFC 3339, or seconds since the Unix epoch. To resume, the `at` of
    /// the last line seen.
    since: Option<String>,
    /// The last lines only, of each container; `all` for all there are. Default: 500, or all with
    /// `since`.
    tail: Option<String>,
    /// For WebSockets: go on as the containers write. Default: true.
    follow: Option<bool>,
    /// For answers: `json` (default; at most the last 10,000 lines) or `text`, a download.
    format: Option<String>,
    /// For text: begin each line with its time. Default: true.
    timestamps: Option<bool>,
}

impl LogsQuery {
    fn part(&self, follow: bool) -> Result<Part> {
        let wrong = |detail: &str| Error::new(StatusCode::BAD_REQUEST, "invalid_query", detail);
        let since =
            match self.since.as_deref() {
                None | Some("") => None,
                Some(text) => Some(Moment::parse(text).ok_or_else(|| {
                    wrong("`since` must be an RFC 3339 time or seconds since 1970.")
                })?),
            };
        let tail = match self.tail.as_deref() {
            None | Some("") if since.is_some() => None,
            None | Some("") => Some(DEFAULT_TAIL),
            Some("all") => None,
            Some(text) => {
                let tail = text.parse();
                Some(tail.map_err(|_| wrong("`tail` must be a number of lines or `all`."))?)
            }
        };
        let container = self.container.clone().filter(|name| !name.is_empty());
        Ok(Part { follow, since, tail, container, previous: self.previous.unwrap_or_default() })
    }

    fn follows(&self) -> bool {
        self.follow.unwrap_or(true)
    }

    fn is_text(&self) -> bool {
        self.format.as_deref() == Some("text")
    }
}

impl Target {
    async fn open_log(&self, place: &Place, part: Part) -> Result<Merged> {
        self.cluster()?;
        let namespace = place.namespace.as_deref().ok_or_else(|| Error::not_found("object"))?;
        let of = match &*place.kind.name {
            "pods" => Of::Pod(place.name.clone()),
            _ => Of::Pods(self.pods_of(place, namespace).await?),
        };
        let live = self.live.clone();
        Merged::open(live, self.user()?, namespace, of, part).await.map_err(failed)
    }

    /// The labels of an object's pods.
    async fn pods_of(&self, place: &Place, namespace: &str) -> Result<Selector> {
        let list = self.live.index.open(&place.kind.name).await.map_err(failed)?;
        let scope = self.scope(&place.kind);
        let row = list.get(&scope, namespace, &place.name);
        let row = row.ok_or_else(|| Error::not_found("object"))?;
        let selector = match &row.facts {
            Facts::Workload(workload) => Some(workload.selector.clone()),
            Facts::Service(service) => {
                let labels = service.selector.iter().map(|(key, value)| (&**key, &**value));
                Some(Selector::of_labels(labels))
            }
            Facts::CronJob(_) => self.jobs_of(&row).await?,
            _ => None,
        };
        selector.filter(|selector| !selector.is_empty()).ok_or_else(|| {
            let why = format!("A {} has no pods of its own.", place.kind.kind);
            Error::conflict("no_pods", why)
        })
    }

    /// The labels of the pods of a CronJob's Jobs.
    async fn jobs_of(&self, cron: &Row) -> Result<Option<Selector>> {
        let jobs = self.live.index.open("jobs.batch").await.map_err(failed)?;
        let jobs = jobs.owned_by(&cron.namespace, &cron.uid);
        let names: Vec<&str> = jobs.iter().map(|job| &*job.name).collect();
        if names.is_empty() {
            return Err(Error::conflict("no_pods", "This CronJob has not run yet."));
        }
        let text = format!("job-name in ({})", names.join(","));
        Ok(Selector::parse(&text).ok())
    }
}

/// The last lines of a log that is read to its end.
async fn last_lines(mut log: Merged) -> Result<Vec<PodLogLine>> {
    let mut kept: VecDeque<PodLogLine> = VecDeque::new();
    let mut bytes = 0;
    while let Some(batch) = log.next().await.map_err(failed)? {
        bytes += batch.iter().map(|line| line.text.len()).sum::<usize>();
        kept.extend(batch);
        while bytes > MOST_BYTES || kept.len() > MOST_LINES as usize {
            let Some(first) = kept.pop_front() else { break };
            bytes -= first.text.len();
        }
    }
    let mut lines: Vec<PodLogLine> = kept.into();
    pod_logs::in_order(&mut lines);
    Ok(lines)
}

fn download(log: Merged, name: &str, many: bool, timestamps: bool) -> Response {
    let chunks = futures_util::stream::try_unfold(log, move |mut log| async move {
        let Some(batch) = log.next().await? else { return Ok(None) };
        let mut text = String::new();
        batch.iter().for_each(|line| pod_logs::as_text(line, many, timestamps, &mut text));
        Ok::<_, Failure>(Some((text, log)))
    });
    let mut response = Body::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // Names of objects are plain ASCII.
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}.log\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// Read the log of a pod or of all pods of a workload
///
/// In order of time. With `format=text`, a download of all that is asked for.
#[utoipa::path(get, tag = "kubernetes",
    path = "/v1/environments/{environment_id}/kubernetes/logs",
    params(("environment_id" = Uuid, Path), OfQuery, LogsQuery),
    responses((status = 200, body = List<PodLogLine>)))]
pub(super) async fn read(
    target: Target,
    Query(of): Query<OfQuery>,
    Query(query): Query<LogsQuery>,
) -> Result<Response> {
    let place = target.place(&of.kind, &of.namespace, &of.name)?;
    let mut part = query.part(false)?;
    if query.is_text() {
        if query.tail.is_none() {
            part.tail = None;
        }
        let many = &*place.kind.name != "pods" || part.container.is_none();
        let log = target.open_log(&place, part).await?;
        return Ok(download(log, &place.name, many, query.timestamps.unwrap_or(true)));
    }
    part.tail = Some(part.tail.unwrap_or(MOST_LINES).min(MOST_LINES));
    let lines = last_lines(target.open_log(&place, part).await?).await?;
    Ok(axum::Json(List::whole(lines)).into_response())
}

/// Follow the log of a pod or of all pods of a workload
///
/// A WebSocket of text messages, each a [`PodLogMessage`]. Pods that come later join in. After `end`
/// it closes. To resume after a break, open it again with `since` set to the last line's `at`.
#[utoipa::path(get, tag = "kubernetes",
    path = "/v1/environments/{environment_id}/kubernetes/logs/ws",
    params(("environment_id" = Uuid, Path), OfQuery, LogsQuery),
    responses((status = 101, description = "A WebSocket of `PodLogMessage`s", body = PodLogMessage)))]
pub(super) async fn follow(
    target: Target,
    Query(of): Query<OfQuery>,
    Query(query): Query<LogsQuery>,
    upgrade: Upgrade,
) -> Result<Response> {
    let place = target.place(&of.kind, &of.namespace, &of.name)?;
    let part = query.part(query.follows())?;
    let log = target.open_log(&place, part).await?;
    let feed = MergedFeed { log, ended: false };
    Ok(upgrade.0.on_upgrade(move |socket| async move {
        let Target { app, caller, access, .. } = target;
        let revoked = app.identities.revoked(&caller, access.id, Permission::View);
        socket::send_all(socket, feed, revoked).await;
    }))
}

struct MergedFeed {
    log: Merged,
    ended: bool,
}

impl MergedFeed {
    async fn lines(&mut self) -> std::result::Result<Vec<PodLogLine>, Option<String>> {
        if self.ended {
            return Err(None);
        }
        let reason = match self.log.next().await {
            Ok(Some(lines)) => return Ok(lines),
            Ok(None) => "These are all the lines that there are.".to_owned(),
            Err(failure) => failure.message().to_owned(),
        };
        self.ended = true;
        Err(Some(reason))
    }
}

impl Feed for MergedFeed {
    type Message = PodLogMessage;

    async fn next(&mut self) -> Option<PodLogMessage> {
        match self.lines().await {
            Ok(lines) => Some(PodLogMessage::Lines { lines }),
            Err(reason) => reason.map(|reason| PodLogMessage::End { reason }),
        }
    }

    fn end(reason: String) -> PodLogMessage {
        PodLogMessage::End { reason }
    }
}

/// Follow the log of a pod's container
///
/// A WebSocket of text messages, each a [`LogMessage`], as of containers of hosts.
#[utoipa::path(get, tag = "kubernetes",
    path = "/v1/environments/{environment_id}/kubernetes/pods/{namespace}/{pod}/logs/ws",
    params(("environment_id" = Uuid, Path), ("namespace" = String, Path), ("pod" = String, Path), LogsQuery),
    responses((status = 101, description = "A WebSocket of `LogMessage`s", body = LogMessage)))]
pub(super) async fn follow_pod(
    target: Target,
    Path((_environment, namespace, pod)): Path<(Uuid, String, String)>,
    Query(query): Query<LogsQuery>,
    upgrade: Upgrade,
) -> Result<Response> {
    let place = target.place("pods", &namespace, &pod)?;
    let part = query.part(query.follows())?;
    let log = target.open_log(&place, part).await?;
    let feed = PodFeed(MergedFeed { log, ended: false });
    Ok(upgrade.0.on_upgrade(move |socket| async move {
        let Target { app, caller, access, .. } = target;
        let revoked = app.identities.revoked(&caller, access.id, Permission::View);
        socket::send_all(socket, feed, revoked).await;
    }))
}

struct PodFeed(MergedFeed);

impl Feed for PodFeed {
    type Message = LogMessage;

    async fn next(&mut self) -> Option<LogMessage> {
        // A kubelet does not tell which output a line came from.
        let line =
            |line: PodLogLine| LogLine { at: line.at, stream: LogStream::Stdout, text: line.text };
        match self.0.lines().await {
            Ok(lines) => Some(LogMessage::Lines { lines: lines.into_iter().map(line).collect() }),
            Err(reason) => reason.map(|reason| LogMessage::End { reason }),
        }
    }

    fn end(reason: String) -> LogMessage {
        LogMessage::End { reason }
    }
}
