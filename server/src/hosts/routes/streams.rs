//! What streams to the browser: logs, a shell, measurements.

use std::collections::VecDeque;

use axum::{
    body::Body,
    extract::{State, WebSocketUpgrade},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use drover_api::{
    ContainerState, ExecEvent, List, LogLine, LogMessage, LogStream, Permission, StatsMessage,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{Found, container, containers::check_takeover};
use crate::{
    access::{Caller, EnvironmentAccess},
    app::App,
    audit::Note,
    error::{Error, Result},
    extract::{Path, Query},
    hosts::{
        driver::{Docker, ErrorKind},
        exec,
        logs::{self, Lines, Moment, Wanted},
        socket::{self, Feed},
        stats,
    },
};

/// The most lines in one message.
const BATCH: usize = 500;
/// How many lines come when nothing is said.
const DEFAULT_TAIL: u32 = 500;
/// The most lines in one JSON answer.
const MOST_LINES: u32 = 10_000;
/// Of a browser to the server: keystrokes and pasted text.
const LARGEST_INPUT: usize = 1 << 20;

/// Which part of a log.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LogsQuery {
    /// Lines after this moment: RFC 3339, or seconds since the Unix epoch. To resume, the `at` of
    /// the last line seen.
    since: Option<String>,
    /// Lines up to this moment.
    until: Option<String>,
    /// The last lines only, counted before `stream` narrows them; `all` for all there are.
    /// Default: 500, or all with `since`.
    tail: Option<String>,
    /// Only what was written to `stdout` or `stderr`.
    stream: Option<LogStream>,
    /// For the WebSocket: go on as the container writes. Default: true.
    follow: Option<bool>,
}

impl LogsQuery {
    /// Whether the log goes on as the container writes.
    pub fn follows(&self) -> bool {
        self.follow.unwrap_or(true)
    }

    /// What is asked for.
    ///
    /// # Errors
    /// 400 with what is malformed.
    pub fn wanted(&self, follow: bool) -> Result<Wanted> {
        let moment = |name: &str, text: &Option<String>| match text.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => Moment::parse(text).map(Some).ok_or_else(|| {
                wrong(format!("`{name}` must be an RFC 3339 time or seconds since 1970."))
            }),
        };
        let since = moment("since", &self.since)?;
        let tail = match self.tail.as_deref() {
            None | Some("") if since.is_some() => None,
            None | Some("") => Some(DEFAULT_TAIL),
            Some("all") => None,
            Some(text) => Some(
                text.parse()
                    .map_err(|_| wrong("`tail` must be a number of lines or `all`.".into()))?,
            ),
        };
        Ok(Wanted {
            follow,
            since,
            until: moment("until", &self.until)?,
            tail,
            stream: self.stream,
        })
    }
}

fn wrong(detail: String) -> Error {
    Error::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
}

/// How to answer a log.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FormatQuery {
    /// `json` (default; at most the last 10,000 lines) or `text` (a download of all asked for).
    #[param(inline)]
    format: Option<Format>,
    /// For text: begin each line with its time. Default: true.
    timestamps: Option<bool>,
}

/// See [`FormatQuery`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    Json,
    Text,
}

/// Read a container's log
#[utoipa::path(get, tag = "containers",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}/logs",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ("container_id" = String, Path), LogsQuery, FormatQuery),
    responses((status = 200, body = List<LogLine>)))]
pub(super) async fn logs(
    State(app): State<App>,
    Path((environment_id, host_id, id)): Path<(Uuid, Uuid, String)>,
    Query(query): Query<LogsQuery>,
    Query(format): Query<FormatQuery>,
) -> Result<Response> {
    let Found { docker, entry, .. } = container(&app, environment_id, host_id, &id)?;
    let mut wanted = query.wanted(false)?;
    let tty = has_terminal(&docker, &entry.id).await?;
    if format.format == Some(Format::Text) {
        if query.tail.is_none() {
            wanted.tail = None;
        }
        let lines = Lines::open(&docker, &entry.id, tty, &wanted).await?;
        return Ok(download(lines, &entry.name, format.timestamps.unwrap_or(true)));
    }
    if wanted.tail.is_none_or(|tail| tail > MOST_LINES) {
        wanted.tail = Some(MOST_LINES);
    }
    let mut lines = Lines::open(&docker, &entry.id, tty, &wanted).await?;
    // A line can be long: the last ones only, whatever the engine sends.
    let mut kept: VecDeque<LogLine> = VecDeque::new();
    let mut bytes = 0;
    while let Some(batch) = lines.next(BATCH).await? {
        bytes += batch.iter().map(|line| line.text.len()).sum::<usize>();
        kept.extend(batch);
        while bytes > 16 << 20 {
            let Some(first) = kept.pop_front() else { break };
            bytes -= first.text.len();
        }
    }
    Ok(axum::Json(List::whole(kept.into())).into_response())
}

fn download(lines: Lines, name: &str, timestamps: bool) -> Response {
    let chunks = futures_util::stream::try_unfold(lines, move |mut lines| async move {
        let Some(batch) = lines.next(BATCH).await? else { return Ok(None) };
        let mut text = String::new();
        batch.iter().for_each(|line| logs::as_text(line, timestamps, &mut text));
        Ok::<_, crate::hosts::driver::DockerError>(Some((text, lines)))
    });
    let mut response = Body::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // Docker's names are plain ASCII.
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}.log\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

async fn has_terminal(docker: &Docker, id: &str) -> Result<bool> {
    let inspect = docker.inspect_container(id).await?;
    Ok(inspect.config.and_then(|config| config.tty).unwrap_or_default())
}

/// Follow a container's log
///
/// A WebSocket of text messages, each a [`LogMessage`]. After `end` it closes. To resume after a
/// break, open it again with `since` set to the last line's `at`: no line comes twice or is lost.
#[utoipa::path(get, tag = "containers",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}/logs/ws",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ("container_id" = String, Path), LogsQuery),
    responses((status = 101, description = "A WebSocket of `LogMessage`s", body = LogMessage)))]
pub(super) async fn follow_logs(
    State(app): State<App>,
    caller: Caller,
    Path((environment_id, host_id, id)): Path<(Uuid, Uuid, String)>,
    Query(query): Query<LogsQuery>,
    upgrade: Upgrade,
) -> Result<Response> {
    let Found { docker, entry, .. } = container(&app, environment_id, host_id, &id)?;
    let wanted = query.wanted(query.follows())?;
    let tty = has_terminal(&docker, &entry.id).await?;
    let lines = Lines::open(&docker, &entry.id, tty, &wanted).await?;
    let id = entry.id.to_string();
    let feed = LogFeed { lines, docker, id, follow: wanted.follow, ended: false };
    Ok(upgrade.0.on_upgrade(move |socket| async move {
        let revoked = app.identities.revoked(&caller, environment_id, Permission::View);
        socket::send_all(socket, feed, revoked).await;
    }))
}

struct LogFeed {
    lines: Lines,
    docker: Docker,
    id: String,
    follow: bool,
    ended: bool,
}

impl Feed for LogFeed {
    type Message = LogMessage;

    async fn next(&mut self) -> Option<LogMessage> {
        if self.ended {
            return None;
        }
        match self.lines.next(BATCH).await {
            Ok(Some(lines)) => Some(LogMessage::Lines { lines }),
            Ok(None) => {
                let reason = why_ended(&self.docker, &self.id, self.follow).await;
                self.ended = true;
                Some(LogMessage::End { reason })
            }
            Err(error) => {
                self.ended = true;
                Some(LogMessage::End { reason: error.message().to_owned() })
            }
        }
    }

    fn end(reason: String) -> LogMessage {
        LogMessage::End { reason }
    }
}

async fn why_ended(docker: &Docker, id: &str, follow: bool) -> String {
    if !follow {
        return "These are all the lines that were asked for.".into();
    }
    match docker.inspect_container(id).await {
        Ok(inspect) => {
            let state = inspect.state.unwrap_or_default();
            match state.exit_code {
                _ if state.running == Some(true) => "The engine has ended the log.".into(),
                Some(code) => format!("The container ended with exit code {code}."),
                None => "The container has ended.".into(),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => "The container was removed.".into(),
        Err(error) => error.message().to_owned(),
    }
}

/// What to run.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExecQuery {
    /// A command and its arguments as a JSON list, e.g. `["ls","-l"]`. Default: the best shell
    /// that the container has.
    command: Option<String>,
    /// As whom, `USER` or `USER:GROUP`. Default: as the container's own user.
    user: Option<String>,
    /// The terminal's columns.
    columns: Option<u16>,
    /// The terminal's rows.
    rows: Option<u16>,
}

/// Open a shell in a container
///
/// A WebSocket. Binary messages are the terminal's input and output, byte for byte. Text messages
/// from the browser are [`ExecControl`](drover_api::ExecControl)s (the terminal's size), text
/// messages to the browser [`ExecEvent`]s; after `end` it closes.
#[utoipa::path(get, tag = "containers",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}/exec/ws",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ("container_id" = String, Path), ExecQuery),
    responses((status = 101, description = "A WebSocket", body = ExecEvent)))]
pub(super) async fn exec(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    Path((environment_id, host_id, id)): Path<(Uuid, Uuid, String)>,
    Query(query): Query<ExecQuery>,
    note: Note,
    upgrade: Upgrade,
) -> Result<Response> {
    let Found { docker, entry, .. } = container(&app, environment_id, host_id, &id)?;
    note.target(&entry.id, &entry.name);
    if entry.state != ContainerState::Running {
        return Err(Error::conflict("not_running", "The container does not run."));
    }
    check_takeover(access, &docker, &entry.id).await?;
    let command: Vec<String> = match query.command.as_deref() {
        None | Some("") => Vec::new(),
        Some(text) => serde_json::from_str(text)
            .map_err(|_| wrong("`command` must be a JSON list of texts.".into()))?,
    };
    let shell = command.is_empty();
    // The command's arguments can hold secrets: only what runs is noted.
    note.detail("command", command.first().map_or("(shell)", String::as_str));
    let user = query.user.filter(|user| !user.is_empty());
    let options = exec::options(command, user);
    let size = query.columns.zip(query.rows);
    Ok(upgrade.0.max_message_size(LARGEST_INPUT).on_upgrade(move |socket| async move {
        // Only now: a browser that never comes must leave nothing running.
        let started = docker.exec(&entry.id, &options).await;
        let revoked = app.identities.revoked(&caller, environment_id, Permission::Deploy);
        match started {
            Ok(exec) => exec::run(socket, exec.sized(size).await, shell, revoked).await,
            Err(error) => exec::refuse(socket, error.message()).await,
        }
    }))
}

/// Watch a container's use of CPU, memory, network and disks
///
/// A WebSocket of text messages, each a [`StatsMessage`], one a second. After `end` it closes.
#[utoipa::path(get, tag = "containers",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}/stats/ws",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ("container_id" = String, Path)),
    responses((status = 101, description = "A WebSocket of `StatsMessage`s", body = StatsMessage)))]
pub(super) async fn stats(
    State(app): State<App>,
    caller: Caller,
    Path((environment_id, host_id, id)): Path<(Uuid, Uuid, String)>,
    upgrade: Upgrade,
) -> Result<Response> {
    let Found { host, docker, entry } = container(&app, environment_id, host_id, &id)?;
    if !matches!(entry.state, ContainerState::Running | ContainerState::Paused) {
        return Err(Error::conflict("not_running", "The container does not run."));
    }
    let feed = StatsFeed { watcher: host.stats.watch(&docker, &entry.id), ended: false };
    Ok(upgrade.0.on_upgrade(move |socket| async move {
        let revoked = app.identities.revoked(&caller, environment_id, Permission::View);
        socket::send_all(socket, feed, revoked).await;
    }))
}

struct StatsFeed {
    watcher: stats::Watcher,
    ended: bool,
}

impl Feed for StatsFeed {
    type Message = StatsMessage;

    async fn next(&mut self) -> Option<StatsMessage> {
        if self.ended {
            return None;
        }
        let message = self
            .watcher
            .next()
            .await
            .unwrap_or_else(|| Self::end("The container has ended.".into()));
        self.ended = matches!(message, StatsMessage::End { .. });
        Some(message)
    }

    fn end(reason: String) -> StatsMessage {
        StatsMessage::End { reason }
    }
}

/// The upgrade to a WebSocket, refused as a problem.
pub struct Upgrade(pub WebSocketUpgrade);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Upgrade {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self> {
        WebSocketUpgrade::from_request_parts(parts, state).await.map(Self).map_err(|_| {
            Error::new(
                StatusCode::UPGRADE_REQUIRED,
                "websocket_required",
                "This address speaks WebSocket only.",
            )
        })
    }
}
