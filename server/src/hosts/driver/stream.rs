//! What streams: events, pulls, logs, terminals, statistics.

use std::{collections::HashMap, io, pin::Pin};

use base64::{Engine, engine::general_purpose::URL_SAFE};
use bytes::{Buf, Bytes, BytesMut};
use drover_api::LogStream;
use futures_util::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use http_body_util::BodyExt;
use hyper::{Method, Response, body::Incoming, header, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio_util::{
    codec::{FramedRead, LinesCodec},
    io::StreamReader,
};

use super::{
    Docker, DockerError, ErrorKind, PullProgress, RegistryAuth, Result, checked, empty,
    encode_query, or_default, read_json, unreadable, within,
};

/// The longest line of JSON that is taken from an engine.
const MAX_JSON_LINE: usize = 4 << 20;

/// The events that tell of changes: without health probes and commands in containers.
pub const PLAIN_EVENTS: [&str; 26] = [
    "create",
    "start",
    "restart",
    "stop",
    "die",
    "kill",
    "oom",
    "pause",
    "unpause",
    "rename",
    "update",
    "destroy",
    "health_status",
    "pull",
    "tag",
    "untag",
    "delete",
    "import",
    "load",
    "mount",
    "unmount",
    "connect",
    "disconnect",
    "remove",
    "prune",
    "reload",
];

impl Docker {
    /// Follows the engine's events of containers, images, volumes, networks and the daemon.
    /// Without health probes and execs, which are too many and change nothing.
    pub async fn events(&self) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        let filters = serde_json::json!({
            "type": ["container", "image", "volume", "network", "daemon"],
            "event": PLAIN_EVENTS,
        });
        let query = encode_query([("filters", filters.to_string().as_str())]);
        let answer = within(super::PLAIN, self.get(&format!("/events?{query}"))).await?;
        Ok(json_lines(answer).boxed())
    }

    /// A container's log from the engine: frames of bytes, as they come.
    pub async fn logs(
        &self,
        id: &str,
        tty: bool,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogFrame>>> {
        log_frames(self, &format!("/containers/{}/logs", checked(id)?), tty, false, options).await
    }

    /// Starts a command with a terminal in a running container.
    ///
    /// # Errors
    /// [`ErrorKind::CommandNotFound`] is not known yet here: the engine tells by the exit code
    /// (126 or 127) and a line of output.
    pub async fn exec(&self, id: &str, options: &ExecOptions) -> Result<Exec> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Create<'a> {
            attach_stdin: bool,
            attach_stdout: bool,
            attach_stderr: bool,
            tty: bool,
            cmd: &'a [String],
            env: &'a [String],
            #[serde(skip_serializing_if = "Option::is_none")]
            user: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            working_dir: Option<&'a str>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Created {
            id: String,
        }
        let create = Create {
            attach_stdin: true,
            attach_stdout: true,
            attach_stderr: true,
            tty: true,
            cmd: &options.command,
            env: &options.environment,
            user: options.user.as_deref(),
            working_dir: options.working_dir.as_deref(),
        };
        let json = [(header::CONTENT_TYPE, "application/json")];
        let path = format!("/containers/{}/exec", checked(id)?);
        let body = bollard::body_full(serde_json::to_vec(&create).map_err(unreadable)?.into());
        let created: Created = within(super::PLAIN, async {
            read_json(self.send(Method::POST, &path, body, &json).await?).await
        })
        .await?;

        let path = format!("/exec/{}/start", checked(&created.id)?);
        let body = bollard::body_full(Bytes::from_static(br#"{"Detach":false,"Tty":true}"#));
        let upgrade = [
            (header::CONTENT_TYPE, "application/json"),
            (header::CONNECTION, "Upgrade"),
            (header::UPGRADE, "tcp"),
        ];
        let answer = within(super::PLAIN, self.send(Method::POST, &path, body, &upgrade)).await?;
        let terminal =
            hyper::upgrade::on(answer).await.map_err(|error| DockerError::from_chain(&error))?;
        Ok(Exec { docker: self.clone(), id: created.id, terminal: TokioIo::new(terminal) })
    }

    /// Measurements of a running container, about one a second, until it ends.
    pub async fn stats(&self, id: &str) -> Result<BoxStream<'static, Result<RawStats>>> {
        let path = format!("/containers/{}/stats?stream=1", checked(id)?);
        let answer = within(super::PLAIN, self.get(&path)).await?;
        Ok(json_lines(answer).boxed())
    }

    /// One measurement, at once.
    pub async fn stats_once(&self, id: &str) -> Result<RawStats> {
        let path = format!("/containers/{}/stats?stream=0&one-shot=1", checked(id)?);
        within(super::PLAIN, async { read_json(self.get(&path).await?).await }).await
    }
}

/// The frames of a log of a container, service or task at `path`; with `details`, each message
/// tells who wrote it.
pub(super) async fn log_frames(
    docker: &Docker,
    path: &str,
    tty: bool,
    details: bool,
    options: &LogOptions,
) -> Result<BoxStream<'static, Result<LogFrame>>> {
    let flag = |on: bool| if on { "1" } else { "0" };
    let tail = options.tail.map_or_else(|| "all".to_owned(), |n| n.to_string());
    let since = options.since.clone().unwrap_or_default();
    let until = options.until.clone().unwrap_or_default();
    let query = encode_query([
        ("follow", flag(options.follow)),
        ("stdout", flag(options.stdout)),
        ("stderr", flag(options.stderr)),
        ("timestamps", "1"),
        ("details", flag(details)),
        ("since", since.as_str()),
        ("until", until.as_str()),
        ("tail", tail.as_str()),
    ]);
    let answer = within(super::SLOW, docker.get(&format!("{path}?{query}"))).await?;
    let bytes = body_stream(answer);
    if tty {
        let frames = bytes.map_ok(|bytes| LogFrame { stream: LogStream::Stdout, bytes });
        return Ok(frames.boxed());
    }
    let frames = bytes
        .map_ok(Some)
        .chain(futures_util::stream::iter([Ok(None)]))
        .scan(Demux::default(), |demux, chunk| {
            let frames: Vec<Result<LogFrame>> = match chunk {
                Ok(Some(bytes)) => demux.push(&bytes),
                Ok(None) => demux.finish().map(Ok).into_iter().collect(),
                Err(error) => vec![Err(error)],
            };
            std::future::ready(Some(futures_util::stream::iter(frames)))
        })
        .flatten();
    Ok(frames.boxed())
}

/// An event of an engine.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EngineEvent {
    /// `container`, `image`, `volume`, `network`, `daemon`
    #[serde(rename = "Type", default)]
    pub kind: String,
    /// e.g. `die`, `health_status: healthy`
    #[serde(default)]
    pub action: String,
    /// What it happened to.
    #[serde(default, deserialize_with = "or_default")]
    pub actor: EventActor,
    /// Nanoseconds since the Unix epoch.
    #[serde(rename = "timeNano", default)]
    pub time_nano: i64,
}

/// What an [`EngineEvent`] happened to.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventActor {
    /// The id, or for volumes the name.
    #[serde(rename = "ID", default)]
    pub id: String,
    /// For containers: name, image, labels, exitCode…
    #[serde(default, deserialize_with = "or_default")]
    pub attributes: HashMap<String, String>,
}

/// Which part of a log.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Go on as the container writes.
    pub follow: bool,
    /// From this moment on, as `SECONDS.NANOSECONDS` since the Unix epoch.
    pub since: Option<String>,
    /// Up to this moment.
    pub until: Option<String>,
    /// Only so many lines, the last ones.
    pub tail: Option<u32>,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

/// Bytes that one write of the container made. Begins with a time stamp and a space when it
/// begins a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFrame {
    /// Which output.
    pub stream: LogStream,
    /// What was written.
    pub bytes: Bytes,
}

/// Takes apart the engine's stream of frames: 8 bytes of header (stream, 0, 0, 0, length as
/// big-endian u32), then the payload.
/// (<https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach>)
#[derive(Debug, Default)]
struct Demux {
    buffer: BytesMut,
}

impl Demux {
    /// A log message is at most 16 KiB plus its time stamp; more is not a log.
    const MAX_FRAME: usize = 1 << 20;

    fn push(&mut self, chunk: &[u8]) -> Vec<Result<LogFrame>> {
        self.buffer.extend_from_slice(chunk);
        let mut frames = Vec::new();
        while self.buffer.len() >= 8 {
            let length = u32::from_be_bytes([
                self.buffer[4],
                self.buffer[5],
                self.buffer[6],
                self.buffer[7],
            ]) as usize;
            let stream = match self.buffer[0] {
                0 | 1 => LogStream::Stdout,
                2 => LogStream::Stderr,
                other => {
                    frames.push(Err(broken(format!("stream {other}"))));
                    break;
                }
            };
            if length > Self::MAX_FRAME {
                frames.push(Err(broken(format!("{length} bytes"))));
                break;
            }
            if self.buffer.len() < 8 + length {
                break;
            }
            self.buffer.advance(8);
            frames.push(Ok(LogFrame { stream, bytes: self.buffer.split_to(length).freeze() }));
        }
        frames
    }

    /// What is left of a frame that was cut off.
    fn finish(&mut self) -> Option<LogFrame> {
        if self.buffer.len() <= 8 {
            return None;
        }
        let stream = if self.buffer[0] == 2 { LogStream::Stderr } else { LogStream::Stdout };
        self.buffer.advance(8);
        Some(LogFrame { stream, bytes: self.buffer.split().freeze() })
    }
}

fn broken(what: String) -> DockerError {
    DockerError::new(
        ErrorKind::EngineError,
        format!("The engine's log stream is not as expected (a frame of {what})."),
    )
}

/// What to run in a container.
#[derive(Debug, Clone, Default)]
pub struct ExecOptions {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// `NAME=VALUE`s.
    pub environment: Vec<String>,
    /// As whom; absent: as the container's user.
    pub user: Option<String>,
    /// Where; absent: the container's working directory.
    pub working_dir: Option<String>,
}

/// A running command with a terminal.
pub struct Exec {
    docker: Docker,
    id: String,
    /// Its input and output, raw.
    pub terminal: TokioIo<Upgraded>,
}

/// Resizes and asks after an [`Exec`] whose terminal is in use elsewhere.
#[derive(Clone)]
pub struct ExecHandle {
    docker: Docker,
    id: String,
}

impl Exec {
    /// Tells it the first size of its terminal, columns and rows.
    pub async fn sized(self, size: Option<(u16, u16)>) -> Self {
        if let Some((columns, rows)) = size {
            let handle = ExecHandle { docker: self.docker.clone(), id: self.id.clone() };
            // A command that has ended already has no size.
            let _ = handle.resize(columns, rows).await;
        }
        self
    }

    /// Takes it apart into its terminal and its handle.
    pub fn into_parts(self) -> (TokioIo<Upgraded>, ExecHandle) {
        (self.terminal, ExecHandle { docker: self.docker, id: self.id })
    }
}

impl ExecHandle {
    /// Tells the command the size of its terminal.
    pub async fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        let path = format!("/exec/{}/resize?h={rows}&w={columns}", checked(&self.id)?);
        let call = self.docker.send(Method::POST, &path, empty(), &[]);
        within(super::PLAIN, call).await.map(drop)
    }

    /// The exit code, once the command has ended.
    pub async fn exit_code(&self) -> Result<Option<i64>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct State {
            running: bool,
            exit_code: Option<i64>,
        }
        let path = format!("/exec/{}/json", checked(&self.id)?);
        let state: State =
            within(super::PLAIN, async { read_json(self.docker.get(&path).await?).await }).await?;
        Ok(state.exit_code.filter(|_| !state.running))
    }
}

/// A measurement as the engine tells it: counters since the container's start.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RawStats {
    /// RFC 3339; year 1 when the container does not run.
    #[serde(default)]
    pub read: String,
    /// CPU.
    #[serde(default, deserialize_with = "or_default")]
    pub cpu_stats: RawCpu,
    /// Memory.
    #[serde(default, deserialize_with = "or_default")]
    pub memory_stats: RawMemory,
    /// By interface.
    #[serde(default, deserialize_with = "or_default")]
    pub networks: HashMap<String, RawNetwork>,
    /// Disks.
    #[serde(default, deserialize_with = "or_default")]
    pub blkio_stats: RawBlkio,
    /// Processes.
    #[serde(default, deserialize_with = "or_default")]
    pub pids_stats: RawPids,
}

/// See [`RawStats`].
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RawCpu {
    /// The container's own.
    #[serde(default, deserialize_with = "or_default")]
    pub cpu_usage: RawCpuUsage,
}

/// See [`RawStats`].
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RawCpuUsage {
    /// Nanoseconds of CPU.
    #[serde(default)]
    pub total_usage: u64,
}

/// See [`RawStats`].
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RawMemory {
    /// With the page cache, bytes.
    #[serde(default)]
    pub usage: u64,
    /// Bytes.
    #[serde(default)]
    pub limit: u64,
    /// The control group's own counters.
    #[serde(default, deserialize_with = "or_default")]
    pub stats: RawMemoryStats,
}

/// The part of the page cache that the kernel can drop at once; by control group version.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RawMemoryStats {
    /// Version 1.
    pub total_inactive_file: Option<u64>,
    /// Version 2.
    pub inactive_file: Option<u64>,
}

/// See [`RawStats`].
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RawNetwork {
    /// Received, bytes.
    #[serde(default)]
    pub rx_bytes: u64,
    /// Sent, bytes.
    #[serde(default)]
    pub tx_bytes: u64,
}

/// See [`RawStats`].
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RawBlkio {
    /// By device and direction.
    #[serde(default, deserialize_with = "or_default")]
    pub io_service_bytes_recursive: Vec<RawBlkioEntry>,
}

/// See [`RawStats`].
#[derive(Debug, Clone, Deserialize)]
pub struct RawBlkioEntry {
    /// `Read` or `read`, `Write` or `write`, and others.
    #[serde(default)]
    pub op: String,
    /// Bytes.
    #[serde(default)]
    pub value: u64,
}

/// See [`RawStats`].
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RawPids {
    /// Processes and threads.
    #[serde(default)]
    pub current: u64,
}

/// Pulls an image; see [`Docker::pull_image`].
pub(super) async fn pull(
    docker: &Docker,
    reference: &str,
    auth: Option<&RegistryAuth>,
    mut progress: impl FnMut(PullProgress) + Send,
) -> Result<()> {
    let reference = with_tag(reference);
    let path = format!("/images/create?{}", encode_query([("fromImage", reference.as_str())]));
    let auth = auth.map(registry_header);
    let headers: Vec<_> = auth.iter().map(|auth| (REGISTRY_AUTH, auth.as_str())).collect();
    let answer = docker.send(Method::POST, &path, empty(), &headers).await?;
    let mut lines = Box::pin(json_lines::<PullLine>(answer));
    let mut layers = Layers::default();
    while let Some(line) = lines.try_next().await? {
        if let Some(error) = line.error {
            return Err(DockerError::from_answer(500, &error));
        }
        if let Some(now) = layers.take(line) {
            progress(now);
        }
    }
    Ok(())
}

/// The header that carries credentials for a registry.
pub(super) const REGISTRY_AUTH: header::HeaderName =
    header::HeaderName::from_static("x-registry-auth");

/// Credentials as that header has them: URL-safe base64 of JSON.
pub fn registry_header(auth: &RegistryAuth) -> String {
    URL_SAFE.encode(
        serde_json::json!({
            "username": auth.username,
            "password": auth.password.expose_secret(),
            "serveraddress": auth.address,
        })
        .to_string(),
    )
}

/// A reference without tag and digest would pull every tag there is.
fn with_tag(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

#[derive(Deserialize)]
struct PullLine {
    #[serde(default)]
    status: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default, rename = "progressDetail")]
    progress: Option<PullDetail>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct PullDetail {
    #[serde(default)]
    current: u64,
    #[serde(default)]
    total: u64,
}

/// Sums up a pull's layers. A layer counts two thirds downloaded, one third unpacked.
#[derive(Default)]
struct Layers {
    done: HashMap<String, f64>,
    told: f64,
}

impl Layers {
    fn take(&mut self, line: PullLine) -> Option<PullProgress> {
        let id = line.id?;
        let part = line
            .progress
            .filter(|p| p.total > 0)
            .map_or(0.0, |p| (p.current as f64 / p.total as f64).min(1.0));
        let (done, verb) = match line.status.as_str() {
            "Pulling fs layer" | "Waiting" => (0.0, "Waiting for"),
            "Downloading" => (part * 2.0 / 3.0, "Downloading"),
            "Verifying Checksum" | "Download complete" => (2.0 / 3.0, "Downloading"),
            "Extracting" => (2.0 / 3.0 + part / 3.0, "Unpacking"),
            "Pull complete" | "Already exists" => (1.0, "Unpacking"),
            // "Pulling from NAME" has the tag as its id.
            _ => return None,
        };
        let known = self.done.entry(id).or_default();
        *known = known.max(done);
        let sum: f64 = self.done.values().sum();
        self.told = self.told.max(sum / self.done.len() as f64);
        let complete = self.done.values().filter(|done| **done >= 1.0).count();
        Some(PullProgress {
            fraction: self.told,
            message: format!("{verb} layers: {complete} of {} done", self.done.len()),
        })
    }
}

fn body_stream(answer: Response<Incoming>) -> impl Stream<Item = Result<Bytes>> + Send {
    answer.into_body().into_data_stream().map_err(|error| DockerError::from_chain(&error))
}

/// A JSON value a line.
pub(super) fn json_lines<T: DeserializeOwned + Send + 'static>(
    answer: Response<Incoming>,
) -> impl Stream<Item = Result<T>> + Send {
    let body: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>> =
        Box::pin(answer.into_body().into_data_stream().map_err(io::Error::other));
    let lines =
        FramedRead::new(StreamReader::new(body), LinesCodec::new_with_max_length(MAX_JSON_LINE));
    lines.filter_map(|line| {
        std::future::ready(match line {
            Ok(line) if line.trim().is_empty() => None,
            Ok(line) => Some(serde_json::from_str(&line).map_err(unreadable)),
            Err(error) => Some(Err(DockerError::from_chain(&error))),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, text: &[u8]) -> Vec<u8> {
        let mut bytes = vec![stream, 0, 0, 0];
        bytes.extend((text.len() as u32).to_be_bytes());
        bytes.extend(text);
        bytes
    }

    #[test]
    fn frames_are_found_whatever_the_chunks() {
        let mut bytes = frame(1, b"out\n");
        bytes.extend(frame(2, b"err\n"));
        bytes.extend(frame(1, b""));
        for size in 1..bytes.len() {
            let mut demux = Demux::default();
            let frames: Vec<LogFrame> =
                bytes.chunks(size).flat_map(|c| demux.push(c)).collect::<Result<_>>().unwrap();
            assert_eq!(frames.len(), 3, "chunks of {size}");
            assert_eq!(frames[0].stream, LogStream::Stdout);
            assert_eq!(frames[1], LogFrame { stream: LogStream::Stderr, bytes: "err\n".into() });
        }
    }

    #[test]
    fn what_is_no_frame_is_an_error_and_no_memory() {
        assert!(Demux::default().push(b"hello, world").pop().unwrap().is_err());
        assert!(Demux::default().push(&[1, 0, 0, 0, 255, 0, 0, 0]).pop().unwrap().is_err());
    }

    #[test]
    fn a_cut_frame_is_kept() {
        let mut demux = Demux::default();
        assert!(demux.push(&frame(2, b"hello")[..10]).is_empty());
        assert_eq!(demux.finish().unwrap().bytes, "he");
        assert!(demux.finish().is_none());
    }

    #[test]
    fn references_without_tag_mean_latest() {
        assert_eq!(with_tag("nginx"), "nginx:latest");
        assert_eq!(with_tag("localhost:5000/nginx"), "localhost:5000/nginx:latest");
        assert_eq!(with_tag("localhost:5000/nginx:1"), "localhost:5000/nginx:1");
        assert_eq!(with_tag("nginx@sha256:ab"), "nginx@sha256:ab");
    }

    #[test]
    fn pull_progress_never_falls() {
        let line = |status: &str, id: &str, current, total| PullLine {
            status: status.into(),
            id: Some(id.into()),
            progress: Some(PullDetail { current, total }),
            error: None,
        };
        let mut layers = Layers::default();
        let mut last = 0.0;
        for line in [
            line("Pulling fs layer", "a", 0, 0),
            line("Downloading", "a", 50, 100),
            line("Pulling fs layer", "b", 0, 0),
            line("Download complete", "a", 0, 0),
            line("Extracting", "a", 10, 100),
            line("Pull complete", "a", 0, 0),
            line("Already exists", "b", 0, 0),
        ] {
            let now = layers.take(line).unwrap();
            assert!(now.fraction >= last);
            last = now.fraction;
        }
        assert_eq!(last, 1.0);
        assert!(layers.take(line("Pulling from x", "latest", 0, 0)).is_none());
    }
}
