//! Streams: what runs in containers, and the ways to it: logs, commands, forwarded ports, over
//! WebSocket and over SPDY.

pub mod channels;
pub mod exec;
pub mod images;
pub mod logs;
pub mod portforward;
pub mod process;
pub mod proxy;
mod spdy;
mod upgrade;
mod websocket;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::{
    cluster::Cluster,
    status::{ApiError, Result},
};

/// One line of a log.
#[derive(Debug, Clone)]
pub struct Line {
    /// When it was written.
    pub time: OffsetDateTime,
    /// What was written, without the end of the line.
    pub text: String,
}

/// What one run of a container has written.
#[derive(Debug)]
pub struct Log {
    lines: Mutex<VecDeque<Line>>,
    /// Counts the lines; the last bit says whether more may come.
    count: watch::Sender<(usize, bool)>,
}

/// How many lines are kept.
const MOST_LINES: usize = 10_000;

impl Log {
    fn new() -> Self {
        Self { lines: Mutex::default(), count: watch::Sender::new((0, true)) }
    }

    /// Adds a line.
    pub fn write(&self, text: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= MOST_LINES {
            lines.pop_front();
        }
        lines.push_back(Line { time: crate::clock::now(), text: text.to_owned() });
        drop(lines);
        self.count.send_modify(|count| count.0 += 1);
    }

    /// Nothing more will come.
    pub fn end(&self) {
        self.count.send_modify(|count| count.1 = false);
    }

    /// What there is: the lines after the first so many, and how many there were in all.
    fn after(&self, seen: usize) -> (Vec<Line>, usize) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let all = self.count.borrow().0;
        let new = all.saturating_sub(seen).min(lines.len());
        (lines.iter().skip(lines.len() - new).cloned().collect(), all)
    }

    fn follow(&self) -> watch::Receiver<(usize, bool)> {
        self.count.subscribe()
    }
}

/// A container that runs, or has run.
#[derive(Debug)]
pub struct Container {
    /// What it has written.
    pub log: Arc<Log>,
    /// What its last run had written.
    pub previous: Option<Arc<Log>>,
    /// Its files, once somebody has looked for them.
    pub files: Arc<tokio::sync::OnceCell<Option<TempDir>>>,
    /// The ports on which something answers.
    pub ports: Vec<u16>,
    /// Whether it runs.
    pub running: bool,
}

/// Pod id and container.
type Key = (String, String);

/// All containers of the cluster.
#[derive(Debug, Default)]
pub struct Containers(Mutex<HashMap<Key, Container>>);

impl Containers {
    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Container>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container starts, perhaps once more.
    pub fn start(&self, pod: &str, name: &str, ports: Vec<u16>) -> Arc<Log> {
        let log = Arc::new(Log::new());
        let mut all = self.all();
        let key = (pod.to_owned(), name.to_owned());
        let previous = all.remove(&key).map(|last| last.log);
        all.insert(
            key,
            Container {
                log: Arc::clone(&log),
                previous,
                files: Arc::default(),
                ports,
                running: true,
            },
        );
        log
    }

    /// A container has ended.
    pub fn stop(&self, pod: &str, name: &str) {
        if let Some(container) = self.all().get_mut(&(pod.to_owned(), name.to_owned())) {
            container.running = false;
            container.log.end();
        }
    }

    /// A pod is gone, and with it all that its containers had.
    pub fn forget(&self, pod: &str) {
        self.all().retain(|(one, _), container| {
            if one == pod {
                container.log.end();
            }
            one != pod
        });
    }

    /// The log of a container: of this run, or of the one before.
    pub fn log(&self, pod: &str, name: &str, previous: bool) -> Option<Arc<Log>> {
        let all = self.all();
        let container = all.get(&(pod.to_owned(), name.to_owned()))?;
        if previous { container.previous.clone() } else { Some(Arc::clone(&container.log)) }
    }

    /// Whether a container runs.
    pub fn is_running(&self, pod: &str, name: &str) -> bool {
        self.all().get(&(pod.to_owned(), name.to_owned())).is_some_and(|c| c.running)
    }

    /// Whether something in the pod answers on a port.
    pub fn serves(&self, pod: &str, port: u16) -> bool {
        self.all().iter().any(|((one, _), container)| {
            one == pod && container.running && container.ports.contains(&port)
        })
    }

    /// The files of a container.
    pub fn files(
        &self,
        pod: &str,
        name: &str,
    ) -> Option<Arc<tokio::sync::OnceCell<Option<TempDir>>>> {
        self.all().get(&(pod.to_owned(), name.to_owned())).map(|c| Arc::clone(&c.files))
    }
}

/// The pod that a stream is about.
///
/// # Errors
/// When it is not there.
pub fn pod(cluster: &Cluster, namespace: &str, name: &str) -> Result<Value> {
    let about = crate::status::About { group: "", resource: "pods", name };
    cluster.store.value("", "pods", namespace, name).ok_or_else(|| ApiError::not_found(about))
}

/// The container that a request names, or the only one.
///
/// # Errors
/// When there is none of that name, or several and none is named.
pub fn container(pod: &Value, wanted: Option<&str>) -> Result<String> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let of = |list: &str| -> Vec<String> {
        pod["spec"][list]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["name"].as_str().map(str::to_owned))
            .collect()
    };
    let (containers, inits, extra) =
        (of("containers"), of("initContainers"), of("ephemeralContainers"));
    match wanted {
        Some(wanted) => {
            let known =
                [&containers, &inits, &extra].iter().any(|list| list.iter().any(|n| n == wanted));
            if known {
                return Ok(wanted.to_owned());
            }
            Err(ApiError::bad_request(format!("container {wanted} is not valid for pod {name}")))
        }
        None => match containers.as_slice() {
            [one] => Ok(one.clone()),
            _ => {
                let mut message = format!(
                    "a container name must be specified for pod {name}, choose one of: [{}]",
                    containers.join(" ")
                );
                if !inits.is_empty() {
                    message.push_str(&format!(
                        " or one of the init containers: [{}]",
                        inits.join(" ")
                    ));
                }
                Err(ApiError::bad_request(message))
            }
        },
    }
}
