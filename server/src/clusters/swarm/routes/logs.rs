//! Logs of services and tasks, from all the nodes that they run on.

use std::{collections::VecDeque, sync::Arc};

use axum::response::Response;
use drover_api::{List, LogLine, Permission, ServiceLogLine, ServiceLogMessage};
use futures_util::stream::BoxStream;
use uuid::Uuid;

use super::{super::live::Live, Target};
use crate::{
    error::{Error, Result},
    extract::{Json, Path, Query},
    hosts::{
        driver::{self, stream::LogFrame, swarm::LogSource},
        logs::{Lines, Wanted},
        socket::{self, Feed},
        streams::{LogsQuery, Upgrade},
    },
};

/// The most lines in one message.
const BATCH: usize = 500;
/// The most lines in one JSON answer.
const MOST_LINES: u32 = 10_000;
/// The most bytes in one JSON answer.
const MOST_BYTES: usize = 16 << 20;

/// Whose log.
enum Of<'a> {
    Service(&'a str),
    Task(&'a str),
}

type Frames = BoxStream<'static, driver::Result<LogFrame>>;

impl Target {
    async fn open_log(&self, of: &Of<'_>, wanted: &Wanted) -> Result<Log> {
        let docker = self.docker()?;
        let view = self.live.view();
        let options = wanted.options();
        let (frames, tty): (Frames, bool) = match of {
            Of::Service(id) => {
                let service = view.find_service(id).ok_or_else(|| Error::not_found("service"))?;
                let tty = service.tty;
                (docker.service_logs(&service.id, tty, &options).await?, tty)
            }
            Of::Task(id) => {
                let task = view.tasks.iter().find(|task| task.id == *id);
                let task = task.ok_or_else(|| Error::not_found("task"))?;
                let tty = view.services.get(&task.service_id).is_some_and(|service| service.tty);
                (docker.task_logs(&task.id, tty, &options).await?, tty)
            }
        };
        Ok(Log { lines: Lines::of(frames, tty, wanted.since), live: self.live.clone() })
    }
}

/// An open log.
struct Log {
    lines: Lines,
    live: Arc<Live>,
}

impl Log {
    async fn next(&mut self) -> driver::Result<Option<Vec<ServiceLogLine>>> {
        let Some(lines) = self.lines.next(BATCH).await? else { return Ok(None) };
        let view = self.live.view();
        Ok(Some(
            lines.into_iter().map(|line| with_source(line, |id| view.name_of_task(id))).collect(),
        ))
    }
}

fn with_source(line: LogLine, name: impl Fn(&str) -> Option<String>) -> ServiceLogLine {
    let (source, text) = LogSource::split(&line.text);
    let task_id = source.map(|source| source.task_id);
    ServiceLogLine {
        text: text.to_owned(),
        at: line.at,
        stream: line.stream,
        task_name: task_id.as_deref().and_then(name),
        task_id,
    }
}

async fn read(
    target: &Target,
    of: Of<'_>,
    query: &LogsQuery,
) -> Result<Json<List<ServiceLogLine>>> {
    let mut wanted = query.wanted(false)?;
    if wanted.tail.is_none_or(|tail| tail > MOST_LINES) {
        wanted.tail = Some(MOST_LINES);
    }
    let mut log = target.open_log(&of, &wanted).await?;
    // `tail` counts for each task: the last ones of all only.
    let mut kept: VecDeque<ServiceLogLine> = VecDeque::new();
    let mut bytes = 0;
    while let Some(batch) = log.next().await? {
        bytes += batch.iter().map(|line| line.text.len()).sum::<usize>();
        kept.extend(batch);
        while bytes > MOST_BYTES || kept.len() > MOST_LINES as usize {
            let Some(first) = kept.pop_front() else { break };
            bytes -= first.text.len();
        }
    }
    let mut lines: Vec<ServiceLogLine> = kept.into();
    lines.sort_by(|a, b| a.at.cmp(&b.at));
    Ok(Json(List::whole(lines)))
}

async fn follow(
    target: Target,
    of: Of<'_>,
    query: &LogsQuery,
    upgrade: Upgrade,
) -> Result<Response> {
    let wanted = query.wanted(query.follows())?;
    let log = target.open_log(&of, &wanted).await?;
    let feed = LogFeed { log, ended: false };
    let (app, caller, environment) = (target.app, target.caller, target.access.id);
    Ok(upgrade.0.on_upgrade(move |socket| async move {
        let revoked = app.identities.revoked(&caller, environment, Permission::View);
        socket::send_all(socket, feed, revoked).await;
    }))
}

struct LogFeed {
    log: Log,
    ended: bool,
}

impl Feed for LogFeed {
    type Message = ServiceLogMessage;

    async fn next(&mut self) -> Option<ServiceLogMessage> {
        if self.ended {
            return None;
        }
        match self.log.next().await {
            Ok(Some(lines)) => Some(ServiceLogMessage::Lines { lines }),
            Ok(None) => {
                self.ended = true;
                Some(ServiceLogMessage::End { reason: "The swarm has ended the log.".into() })
            }
            Err(error) => {
                self.ended = true;
                Some(ServiceLogMessage::End { reason: error.message().to_owned() })
            }
        }
    }

    fn end(reason: String) -> ServiceLogMessage {
        ServiceLogMessage::End { reason }
    }
}

/// Read a service's log
///
/// Of all its tasks, on all nodes, in order of time.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/services/{service_id}/logs",
    tag = "swarm",
    params(("environment_id" = Uuid, Path), ("service_id" = String, Path), LogsQuery),
    responses((status = 200, body = List<ServiceLogLine>)))]
pub(super) async fn service(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
    Query(query): Query<LogsQuery>,
) -> Result<Json<List<ServiceLogLine>>> {
    read(&target, Of::Service(&id), &query).await
}

/// Follow a service's log
///
/// A WebSocket of text messages, each a [`ServiceLogMessage`]. After `end` it closes.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/services/{service_id}/logs/ws",
    tag = "swarm",
    params(("environment_id" = Uuid, Path), ("service_id" = String, Path), LogsQuery),
    responses((status = 101, description = "A WebSocket of `ServiceLogMessage`s", body = ServiceLogMessage)))]
pub(super) async fn follow_service(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
    Query(query): Query<LogsQuery>,
    upgrade: Upgrade,
) -> Result<Response> {
    follow(target, Of::Service(&id), &query, upgrade).await
}

/// Read a task's log
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/tasks/{task_id}/logs",
    tag = "swarm", params(("environment_id" = Uuid, Path), ("task_id" = String, Path), LogsQuery),
    responses((status = 200, body = List<ServiceLogLine>)))]
pub(super) async fn task(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
    Query(query): Query<LogsQuery>,
) -> Result<Json<List<ServiceLogLine>>> {
    read(&target, Of::Task(&id), &query).await
}

/// Follow a task's log
///
/// A WebSocket of text messages, each a [`ServiceLogMessage`]. After `end` it closes.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/tasks/{task_id}/logs/ws",
    tag = "swarm", params(("environment_id" = Uuid, Path), ("task_id" = String, Path), LogsQuery),
    responses((status = 101, description = "A WebSocket of `ServiceLogMessage`s", body = ServiceLogMessage)))]
pub(super) async fn follow_task(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
    Query(query): Query<LogsQuery>,
    upgrade: Upgrade,
) -> Result<Response> {
    follow(target, Of::Task(&id), &query, upgrade).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use drover_api::LogStream;

    #[test]
    fn lines_tell_whose_they_are() {
        let line = |text: &str| LogLine {
            at: "2026-01-31T08:30:00Z".into(),
            stream: LogStream::Stdout,
            text: text.into(),
        };
        let name = |id: &str| (id == "t1").then(|| "shop_web.1".to_owned());
        let told =
            with_source(line("com.docker.swarm.task.id=t1,com.docker.swarm.node.id=n hi"), name);
        assert_eq!((told.task_name.as_deref(), told.text.as_str()), (Some("shop_web.1"), "hi"));
        assert_eq!(with_source(line("plain text"), name).text, "plain text");
    }
}
