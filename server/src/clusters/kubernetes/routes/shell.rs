//! Shells in pods, and files in and out of them.

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use drover_api::{ExecEvent, Permission};
use futures_util::StreamExt;
use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::AttachedProcess;
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Duration, timeout},
};
use uuid::Uuid;

use super::{
    super::{
        failed,
        shell::{self, Command},
    },
    baseline,
    target::{Place, Target},
};
use crate::{
    error::{Error, Result},
    extract::{Path, Query},
    hosts::streams::Upgrade,
};

/// Of a browser to the server: keystrokes and pasted text.
const LARGEST_INPUT: usize = 1 << 20;
/// The largest file or folder, as a tar archive.
const LARGEST_COPY: u64 = 1 << 30;
/// The longest path in a container.
const LONGEST_PATH: usize = 4096;
/// The most words of a command.
const MOST_WORDS: usize = 100;
/// How long a copy may stand still.
const STILL: Duration = Duration::from_secs(60);
/// The most that is kept of what a command says went wrong.
const LONGEST_COMPLAINT: usize = 2000;

type PodPath = Path<(Uuid, String, String)>;

impl Target {
    /// A pod whose containers the caller may enter.
    async fn enter(&self, namespace: &str, pod: &str) -> Result<Place> {
        let place = self.place("pods", namespace, pod)?;
        self.note_target(&place);
        let object = self.call(Method::GET, &place.path(), None).await?.value;
        baseline::check(self, &place.kind, &object).map_err(failed)?;
        if object["status"]["phase"] != "Running" {
            return Err(Error::conflict("not_running", "The pod does not run."));
        }
        Ok(place)
    }
}

fn wrong(detail: &str) -> Error {
    Error::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
}

/// What to run.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExecQuery {
    /// The container. Default: the pod's first one.
    container: Option<String>,
    /// A command and its arguments as a JSON list, e.g. `["ls","-l"]`. Default: the best shell
    /// that the container has.
    command: Option<String>,
    /// The terminal's columns.
    columns: Option<u16>,
    /// The terminal's rows.
    rows: Option<u16>,
}

/// Open a shell in a pod
///
/// A WebSocket, as for containers of hosts: binary messages are the terminal's input and output,
/// text messages from the browser its size, text messages to the browser
/// [`ExecEvent`]s; after `end` it closes.
#[utoipa::path(get, tag = "kubernetes",
    path = "/v1/environments/{environment_id}/kubernetes/pods/{namespace}/{pod}/exec/ws",
    params(("environment_id" = Uuid, Path), ("namespace" = String, Path), ("pod" = String, Path), ExecQuery),
    responses((status = 101, description = "A WebSocket", body = ExecEvent)))]
pub(super) async fn exec(
    target: Target,
    Path((_environment, namespace, pod)): PodPath,
    Query(query): Query<ExecQuery>,
    upgrade: Upgrade,
) -> Result<Response> {
    target.enter(&namespace, &pod).await?;
    let words: Vec<String> = match query.command.as_deref() {
        None | Some("") => Vec::new(),
        Some(text) => serde_json::from_str(text)
            .map_err(|_| wrong("`command` must be a JSON list of texts."))?,
    };
    if words.len() > MOST_WORDS {
        return Err(wrong("`command` has at most 100 words."));
    }
    // The command's arguments can hold secrets: only what runs is noted.
    target.note.detail("command", words.first().map_or("(shell)", String::as_str));
    let is_shell = words.is_empty();
    let container = query.container.filter(|name| !name.is_empty());
    let command = Command { namespace, pod, container, words };
    let size = query.columns.zip(query.rows);
    let user = target.user()?;
    Ok(upgrade.0.max_message_size(LARGEST_INPUT).on_upgrade(move |socket| async move {
        // Only now: a browser that never comes must leave nothing running.
        let started = command.with_terminal(&target.live.cluster, &user).await;
        let Target { app, caller, access, .. } = &target;
        let revoked = app.identities.revoked(caller, access.id, Permission::Deploy);
        match started {
            Ok(process) => shell::run(socket, process, size, is_shell, revoked).await,
            Err(failure) => shell::refuse(socket, failure.message()).await,
        }
    }))
}

/// Which file.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FilesQuery {
    /// The container. Default: the pod's first one.
    container: Option<String>,
    /// The absolute path in the container: of the file or folder to read, or of the folder to write
    /// into.
    #[param(example = "/var/log/app")]
    path: String,
}

/// A path in a container that leads where it says.
fn check_path(path: &str) -> Result<()> {
    let fits = path.starts_with('/')
        && path.len() <= LONGEST_PATH
        && !path.chars().any(char::is_control)
        && !path.split('/').any(|part| part == "..");
    match fits {
        true => Ok(()),
        false => Err(wrong("`path` is an absolute path without `..`.")),
    }
}

/// Copy a file or folder out of a pod
///
/// As a tar archive, made by the `tar` of the container; at most 1 GiB.
#[utoipa::path(get, tag = "kubernetes",
    path = "/v1/environments/{environment_id}/kubernetes/pods/{namespace}/{pod}/files",
    params(("environment_id" = Uuid, Path), ("namespace" = String, Path), ("pod" = String, Path), FilesQuery),
    responses((status = 200, description = "A tar archive", content_type = "application/x-tar")))]
pub(super) async fn download(
    target: Target,
    Path((_environment, namespace, pod)): PodPath,
    Query(query): Query<FilesQuery>,
) -> Result<Response> {
    check_path(&query.path)?;
    target.enter(&namespace, &pod).await?;
    target.note.detail("path", query.path.as_str());
    let path = query.path.trim_end_matches('/');
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", ""));
    let (folder, name) = match name {
        "" => ("/", "."),
        name => (if folder.is_empty() { "/" } else { folder }, name),
    };
    // `./` before it: a name that begins with a dash is no option.
    let inside = if name == "." { ".".to_owned() } else { format!("./{name}") };
    let words = ["tar", "-cf", "-", "-C", folder, &inside].map(str::to_owned).to_vec();
    let container = query.container.filter(|name| !name.is_empty());
    let command = Command { namespace, pod: pod.clone(), container, words };
    let user = target.user()?;
    let mut process = command.piped(target.cluster()?, &user, false).await.map_err(failed)?;
    let mut output = process.stdout().ok_or_else(|| Error::internal("no output"))?;
    // What goes wrong at once is told in words, not as an archive that is cut.
    let mut first = vec![0; 32 << 10];
    let read = timeout(STILL, output.read(&mut first)).await;
    let count = read.map_err(|_| slow())?.map_err(Error::internal)?;
    first.truncate(count);
    // Some tars end with an archive that has nothing in it, which begins with zeros.
    if first.iter().take(512).all(|byte| *byte == 0) {
        return Err(failed(ended(&mut process).await));
    }
    let app = target.app.clone();
    let (caller, environment) = (target.caller.clone(), target.access.id);
    let revoked = Box::pin(async move {
        app.identities.revoked(&caller, environment, Permission::Deploy).await;
    });
    let state = (Some(first), output, process, revoked, 0u64);
    let chunks = futures_util::stream::try_unfold(state, |state| async move {
        let (first, mut output, process, mut revoked, mut sent) = state;
        let bytes = match first {
            Some(first) => first,
            None => {
                let mut buffer = vec![0; 64 << 10];
                let read = tokio::select! {
                    read = timeout(STILL, output.read(&mut buffer)) => read,
                    () = &mut revoked => return Err(std::io::Error::other("the right has ended")),
                };
                let count = read.map_err(|_| std::io::Error::other("it stands still"))??;
                if count == 0 {
                    return Ok(None);
                }
                buffer.truncate(count);
                buffer
            }
        };
        sent += bytes.len() as u64;
        if sent > LARGEST_COPY {
            return Err(std::io::Error::other("more than 1 GiB"));
        }
        Ok(Some((Bytes::from(bytes), (None, output, process, revoked, sent))))
    });
    let mut response = Body::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{pod}.tar\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

fn slow() -> Error {
    Error::unavailable("cluster_unreachable", "The container did not answer within a minute.")
}

/// Why a command has ended without an output.
async fn ended(process: &mut AttachedProcess) -> drover_kubernetes::client::Failure {
    let (said, status) = last_words(process).await;
    shell::command_failed(status.as_ref(), &said)
}

async fn last_words(process: &mut AttachedProcess) -> (String, Option<Status>) {
    let mut said = Vec::new();
    if let Some(errors) = process.stderr() {
        let mut errors = errors.take(LONGEST_COMPLAINT as u64);
        let _ = timeout(Duration::from_secs(5), errors.read_to_end(&mut said)).await;
    }
    let status = match process.take_status() {
        Some(status) => timeout(Duration::from_secs(5), status).await.ok().flatten(),
        None => None,
    };
    (String::from_utf8_lossy(&said).into_owned(), status)
}

/// Copy files into a pod
///
/// The body is a tar archive, which the `tar` of the container unpacks into the folder `path`; at
/// most 1 GiB.
#[utoipa::path(put, tag = "kubernetes",
    path = "/v1/environments/{environment_id}/kubernetes/pods/{namespace}/{pod}/files",
    request_body(content_type = "application/x-tar", content = Vec<u8>),
    params(("environment_id" = Uuid, Path), ("namespace" = String, Path), ("pod" = String, Path), FilesQuery),
    responses((status = 204, description = "They are there")))]
pub(super) async fn upload(
    target: Target,
    Path((_environment, namespace, pod)): PodPath,
    Query(query): Query<FilesQuery>,
    body: Body,
) -> Result<StatusCode> {
    check_path(&query.path)?;
    target.enter(&namespace, &pod).await?;
    target.note.detail("path", query.path.as_str());
    // Neither owners nor absolute names of the archive are taken over.
    let words = ["tar", "-xof", "-", "-C", &query.path].map(str::to_owned).to_vec();
    let container = query.container.filter(|name| !name.is_empty());
    let command = Command { namespace, pod, container, words };
    let user = target.user()?;
    let mut process = command.piped(target.cluster()?, &user, true).await.map_err(failed)?;
    let mut input = process.stdin().ok_or_else(|| Error::internal("no input"))?;
    let mut chunks = body.into_data_stream();
    let mut sent = 0u64;
    let Target { app, caller, access, .. } = &target;
    let mut revoked = std::pin::pin!(app.identities.revoked(caller, access.id, Permission::Deploy));
    loop {
        let next = tokio::select! {
            next = timeout(STILL, chunks.next()) => next,
            () = &mut revoked => return Err(Error::forbidden("Your access has ended.")),
        };
        let Some(chunk) = next.map_err(|_| {
            Error::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "Nothing came for a minute.")
        })?
        else {
            break;
        };
        let chunk = chunk.map_err(|_| {
            Error::new(StatusCode::BAD_REQUEST, "broken_body", "The body broke off.")
        })?;
        sent += chunk.len() as u64;
        if sent > LARGEST_COPY {
            return Err(Error::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "At most 1 GiB can be copied at once.",
            ));
        }
        match timeout(STILL, input.write_all(&chunk)).await {
            Ok(Ok(())) => {}
            // It has ended before its input: it says why.
            Ok(Err(_)) => return Err(failed(ended(&mut process).await)),
            Err(_) => return Err(slow()),
        }
    }
    let _ = input.shutdown().await;
    drop(input);
    target.note.detail("bytes", sent);
    let (said, status) = match timeout(STILL, last_words(&mut process)).await {
        Ok(words) => words,
        Err(_) => return Err(slow()),
    };
    match status.as_ref().and_then(shell::exit_code) {
        Some(0) => Ok(StatusCode::NO_CONTENT),
        _ => Err(failed(shell::command_failed(status.as_ref(), &said))),
    }
}

#[cfg(test)]
mod tests {
    use super::check_path;

    #[test]
    fn paths_lead_where_they_say() {
        for good in ["/", "/tmp", "/var/log/app.log", "/a b/..c"] {
            assert!(check_path(good).is_ok(), "{good}");
        }
        for bad in ["", "tmp", "/a/../b", "/..", "/a\nb", &format!("/{}", "a".repeat(5000))] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }
}
