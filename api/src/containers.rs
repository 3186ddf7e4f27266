//! Containers, live.

use crate::Timestamp;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where a container stands, as Docker says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Being started again by the engine.
    Restarting,
    /// Being removed.
    Removing,
    /// Ended.
    Exited,
    /// The engine could not remove it whole.
    Dead,
}

/// What a container's health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Not decided yet.
    Starting,
    /// The check passes.
    Healthy,
    /// The check fails.
    Unhealthy,
}

/// A container as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Container {
    /// The engine's id (64 hexadecimal digits).
    pub id: String,
    /// Its name, without the leading slash.
    pub name: String,
    /// The host that it runs on.
    pub host_id: Uuid,
    /// That host's name.
    pub host_name: String,
    /// The image as asked for.
    pub image: String,
    /// Where it stands.
    pub state: ContainerState,
    /// What its health check says; absent without one.
    pub health: Option<Health>,
    /// The state in the engine's words, without times (which would grow old): e.g. `Up (healthy)`,
    /// `Exited (137)`.
    pub status: String,
    /// The exit code of the last run, when ended and known.
    pub exit_code: Option<i64>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Published ports.
    pub ports: Vec<PublishedPort>,
    /// The stack that it belongs to; absent for containers that Drover did not make.
    pub stack_id: Option<Uuid>,
    /// That stack's name.
    pub stack_name: Option<String>,
    /// The service of that stack.
    pub service: Option<String>,
    /// True when Drover made it.
    pub managed: bool,
}

/// A port of a container, published on its host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublishedPort {
    /// The address on the host; absent when only exposed.
    pub host_ip: Option<String>,
    /// The port on the host; absent when only exposed.
    pub host_port: Option<u16>,
    /// The port in the container.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// A container with all that its page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContainerDetail {
    /// What lists show.
    #[serde(flatten)]
    pub container: Container,
    /// The command that runs.
    pub command: Vec<String>,
    /// Its environment variables; the values are `null` for callers who may not see secrets.
    pub environment: IndexMap<String, Option<String>>,
    /// Its labels.
    pub labels: IndexMap<String, String>,
    /// Where it has what mounted.
    pub mounts: Vec<Mount>,
    /// Its address by network.
    pub networks: IndexMap<String, String>,
    /// e.g. `unless-stopped`
    pub restart_policy: String,
    /// How often the engine started it again.
    pub restart_count: u64,
    /// When it was last started.
    pub started_at: Option<Timestamp>,
    /// When it last ended.
    pub finished_at: Option<Timestamp>,
    /// What the engine says went wrong, if anything.
    pub error: Option<String>,
    /// True when the kernel ended it for want of memory.
    pub oom_killed: bool,
    /// True when it has a terminal: its log is one raw stream.
    pub tty: bool,
    /// The last results of its health check, newest last.
    pub health_log: Vec<HealthResult>,
    /// The engine's whole answer, with the values of environment variables hidden from callers
    /// who may not see secrets.
    pub inspect: serde_json::Value,
}

/// One run of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HealthResult {
    /// When it ended.
    pub at: Option<Timestamp>,
    /// 0 is healthy.
    pub exit_code: i64,
    /// What the check printed.
    pub output: String,
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Mount {
    /// `volume`, `bind` or `tmpfs`.
    pub kind: String,
    /// The volume's name or the host's path.
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// False when read-only.
    pub writable: bool,
}

/// What to do with a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ContainerAction {
    /// Start it.
    Start,
    /// Ask it to end; kill it after its grace period.
    Stop,
    /// Stop and start.
    Restart,
    /// Freeze it.
    Pause,
    /// Let it go on.
    Unpause,
    /// End it at once.
    Kill,
}

/// `POST …/containers/{container_id}/actions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContainerActionRequest {
    /// What to do.
    pub action: ContainerAction,
}

/// `PATCH …/containers/{container_id}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateContainer {
    /// A new name. Not for containers of stacks, which Drover names.
    pub name: String,
}

/// A process in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProcessList {
    /// The columns, as the host's `ps` names them.
    pub titles: Vec<String>,
    /// A row a process.
    pub processes: Vec<Vec<String>>,
}

/// One measurement of a container, each second on the stats WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stats {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// CPU in use, in cores.
    pub cpu: f64,
    /// Memory in use without the page cache, bytes.
    pub memory: u64,
    /// What it may use at most, bytes.
    pub memory_limit: u64,
    /// Received, bytes a second.
    pub network_rx: f64,
    /// Sent, bytes a second.
    pub network_tx: f64,
    /// Read from disk, bytes a second.
    pub block_read: f64,
    /// Written to disk, bytes a second.
    pub block_write: f64,
    /// Processes and threads.
    pub pids: u64,
}

/// A message of the stats WebSocket, server to browser, as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StatsMessage {
    /// One a second. The first ones come at once when others watch too: up to two minutes back.
    Stats(Stats),
    /// There are no more, and why. The WebSocket closes after it.
    End {
        /// e.g. "The container does not run."
        reason: String,
    },
}

/// A message of the logs WebSocket, server to browser, as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LogMessage {
    /// Lines, oldest first.
    Lines {
        /// The lines.
        lines: Vec<LogLine>,
    },
    /// The log has ended, and why. The WebSocket closes after it.
    End {
        /// e.g. "The container ended with exit code 0."
        reason: String,
    },
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// When, RFC 3339 with nanoseconds, as the engine says it: resume with `?since=` this.
    pub at: String,
    /// `stdout` or `stderr`.
    pub stream: LogStream,
    /// The text, with its ANSI escapes, without the line's end.
    pub text: String,
}

/// Which output a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output (and all of a container with a terminal).
    Stdout,
    /// Standard error.
    Stderr,
}

/// A text message of the exec WebSocket, browser to server. Input and output are binary messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ExecControl {
    /// The terminal's size changed.
    Resize {
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
    },
}

/// A text message of the exec WebSocket, server to browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ExecEvent {
    /// The shell has ended. The WebSocket closes after it.
    End {
        /// Its exit code, where known.
        exit_code: Option<i64>,
        /// In words.
        reason: String,
    },
}
