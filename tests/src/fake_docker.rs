//! A stand-in for a Docker Engine with as many made-up containers as wanted, and with failures on
//! demand: for sizes and accidents that a real one cannot show here. It answers on a Unix socket
//! what Docker documents for API 1.41 (<https://docs.docker.com/reference/api/engine/>), as far as
//! Drover asks.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{net::UnixListener, sync::broadcast, task::JoinHandle};

/// A running stand-in; ends when it is dropped.
pub struct FakeDocker {
    engine: Arc<Engine>,
    socket: PathBuf,
    server: JoinHandle<()>,
}

struct Engine {
    containers: Mutex<Vec<Made>>,
    failure: Mutex<Failure>,
    events: broadcast::Sender<Bytes>,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Failure {
    /// The disk is full: nothing can be created or pulled.
    pub disk_full: bool,
    /// Every answer comes this much later.
    pub delay: Duration,
}

#[derive(Clone)]
struct Made {
    id: String,
    name: String,
    image: &'static str,
    running: bool,
    exit_code: i64,
    created: u64,
}

const IMAGES: &[&str] =
    &["nginx:1.29", "postgres:17", "redis:8", "grafana/grafana:12.1", "busybox:1.37"];

impl FakeDocker {
    /// Starts one with `count` containers, nine of ten of them running.
    pub fn start(socket: &Path, count: usize) -> Self {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).unwrap();
        let engine = Arc::new(Engine {
            containers: Mutex::new((0..count).map(Made::number).collect()),
            failure: Mutex::default(),
            events: broadcast::Sender::new(4096),
        });
        let service = Router::new().fallback(answer).with_state(engine.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, service).await.unwrap();
        });
        Self { engine, socket: socket.to_owned(), server }
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Sets what goes wrong from now on.
    pub fn fail(&self, failure: Failure) {
        *self.engine.failure.lock().unwrap() = failure;
    }

    /// The ids of the running containers.
    pub fn running(&self) -> Vec<String> {
        let containers = self.engine.containers.lock().unwrap();
        containers.iter().filter(|made| made.running).map(|made| made.id.clone()).collect()
    }

    /// Ends a container, as if its process had.
    pub fn die(&self, id: &str) {
        self.engine.change(id, "die", |made| {
            made.running = false;
            made.exit_code = 137;
        });
    }

    /// Waits until the process is ended from outside.
    pub async fn wait(mut self) {
        let _ = (&mut self.server).await;
    }
}

impl Drop for FakeDocker {
    fn drop(&mut self) {
        self.server.abort();
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Made {
    fn number(n: usize) -> Self {
        Self {
            // Spread over all of the range, as real ids are.
            id: format!("{:016x}{:048x}", (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), n),
            name: format!("app-{:02}-service-{n:05}", n % 37),
            image: IMAGES[n % IMAGES.len()],
            running: !n.is_multiple_of(10),
            exit_code: 0,
            created: 1_760_000_000 + n as u64,
        }
    }

    fn state(&self) -> &'static str {
        if self.running { "running" } else { "exited" }
    }

    fn status(&self) -> String {
        if self.running {
            "Up 2 hours".into()
        } else {
            format!("Exited ({}) 1 hour ago", self.exit_code)
        }
    }

    fn image_id(&self) -> String {
        format!("sha256:{:064x}", self.image.len())
    }

    fn networks() -> Value {
        json!({ "bridge": { "NetworkID": "b".repeat(64), "IPAddress": "172.17.0.2" } })
    }

    fn summary(&self) -> Value {
        json!({
            "Id": self.id, "Names": [format!("/{}", self.name)], "Image": self.image,
            "ImageID": self.image_id(), "Command": "/entrypoint.sh", "Created": self.created,
            "Ports": [{ "PrivatePort": 8080, "Type": "tcp" }],
            "Labels": { "org.example.team": format!("team-{}", self.created % 7) },
            "State": self.state(), "Status": self.status(),
            "HostConfig": { "NetworkMode": "default" },
            "NetworkSettings": { "Networks": Self::networks() }, "Mounts": [],
        })
    }

    fn inspect(&self) -> Value {
        let created = time::OffsetDateTime::from_unix_timestamp(self.created as i64).unwrap();
        let created = created.format(&time::format_description::well_known::Rfc3339).unwrap();
        json!({
            "Id": self.id, "Name": format!("/{}", self.name), "Created": created,
            "Path": "/entrypoint.sh", "Args": [], "Image": self.image_id(),
            "RestartCount": 0, "Driver": "overlay2", "Platform": "linux",
            "State": {
                "Status": self.state(), "Running": self.running, "Paused": false,
                "Restarting": false, "OOMKilled": false, "Dead": false, "Pid": 0,
                "ExitCode": self.exit_code, "Error": "",
                "StartedAt": created, "FinishedAt": "0001-01-01T00:00:00Z",
            },
            "Config": {
                "Hostname": &self.id[..12], "Image": self.image, "Tty": false, "Env": [],
                "Cmd": ["/entrypoint.sh"], "ExposedPorts": { "8080/tcp": {} },
                "Labels": { "org.example.team": format!("team-{}", self.created % 7) },
            },
            "HostConfig": { "NetworkMode": "default", "RestartPolicy": { "Name": "no" } },
            "NetworkSettings": { "Networks": Self::networks(), "Ports": { "8080/tcp": null } },
            "Mounts": [],
        })
    }
}

impl Engine {
    fn change(&self, id: &str, action: &str, edit: impl FnOnce(&mut Made)) -> bool {
        let mut containers = self.containers.lock().unwrap();
        let Some(made) = find(&mut containers, id) else { return false };
        edit(made);
        let made = made.clone();
        drop(containers);
        self.tell(&made, action);
        true
    }

    fn tell(&self, made: &Made, action: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let attributes = json!({
            "image": made.image, "name": made.name, "exitCode": made.exit_code.to_string(),
        });
        let event = json!({
            "Type": "container", "Action": action, "status": action, "id": made.id,
            "from": made.image, "Actor": { "ID": made.id, "Attributes": attributes },
            "scope": "local", "time": now.as_secs(), "timeNano": now.as_nanos() as u64,
        });
        // Nobody listening is fine.
        let _ = self.events.send(format!("{event}\n").into());
    }
}

fn find<'a>(containers: &'a mut [Made], id: &str) -> Option<&'a mut Made> {
    containers.iter_mut().find(|made| made.name == id || !id.is_empty() && made.id.starts_with(id))
}

async fn answer(State(engine): State<Arc<Engine>>, request: Request) -> Response {
    let failure = *engine.failure.lock().unwrap();
    tokio::time::sleep(failure.delay).await;
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    let parts = match parts.as_slice() {
        [version, rest @ ..] if version.starts_with("v1.") => rest,
        all => all,
    };
    let query = parse_query(request.uri().query().unwrap_or_default());
    let creates = request.method() == Method::POST && parts.last() == Some(&"create");
    if failure.disk_full && creates {
        let detail = "mkdir /var/lib/docker/overlay2: no space left on device";
        return problem(StatusCode::INTERNAL_SERVER_ERROR, detail);
    }
    let get = request.method() == Method::GET || request.method() == Method::HEAD;
    match parts {
        ["_ping"] => ([("api-version", "1.41"), ("ostype", "linux")], "OK").into_response(),
        ["version"] if get => json_answer(&json!({
            "Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12",
            "Os": "linux", "Arch": "amd64", "KernelVersion": "6.1.0", "GitCommit": "made-up",
            "GoVersion": "go1.19.8", "BuildTime": "2023-05-18T08:38:34.000000000+00:00",
        })),
        ["info"] if get => info(&engine),
        ["events"] if get => events(&engine),
        ["system", "df"] if get => json_answer(&json!({
            "LayersSize": 0, "Images": [], "Containers": [], "Volumes": [], "BuildCache": [],
        })),
        ["containers", "json"] if get => list(&engine, &query),
        ["containers", id, "json"] if get => with(&engine, id, |made| json_answer(&made.inspect())),
        ["containers", id, "stats"] if get => {
            let once = query.get("stream").is_some_and(|stream| stream == "false" || stream == "0");
            with(&engine, id, |_| stats(once))
        }
        ["containers", id, "logs"] if get => with(&engine, id, |made| logs(&made.name)),
        ["containers", id, "top"] if get => with(&engine, id, |_| {
            json_answer(
                &json!({ "Titles": ["PID", "CMD"], "Processes": [["1", "/entrypoint.sh"]] }),
            )
        }),
        ["containers", id, action] if request.method() == Method::POST => act(&engine, id, action),
        ["containers", id] if request.method() == Method::DELETE => remove(&engine, id),
        ["images", "json"] if get => json_answer(&images()),
        ["volumes"] if get => json_answer(&json!({ "Volumes": [], "Warnings": null })),
        ["networks"] if get => json_answer(&json!([{
            "Name": "bridge", "Id": "b".repeat(64), "Driver": "bridge", "Scope": "local",
            "Created": "2026-01-01T00:00:00Z", "Internal": false, "Labels": {}, "Options": {},
        }])),
        _ => problem(StatusCode::NOT_FOUND, "page not found"),
    }
}

fn parse_query(query: &str) -> HashMap<String, String> {
    let url = reqwest::Url::parse(&format!("http://docker/?{query}")).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn json_answer(value: &Value) -> Response {
    axum::Json(value).into_response()
}

fn problem(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({ "message": message }))).into_response()
}

fn with(engine: &Engine, id: &str, answer: impl FnOnce(&Made) -> Response) -> Response {
    match find(&mut engine.containers.lock().unwrap(), id) {
        Some(made) => answer(made),
        None => problem(StatusCode::NOT_FOUND, &format!("No such container: {id}")),
    }
}

fn info(engine: &Engine) -> Response {
    let containers = engine.containers.lock().unwrap();
    let running = containers.iter().filter(|made| made.running).count();
    json_answer(&json!({
        "ID": "MADE:UP", "Name": "made-up", "ServerVersion": "20.10.24", "Driver": "overlay2",
        "Containers": containers.len(), "ContainersRunning": running, "ContainersPaused": 0,
        "ContainersStopped": containers.len() - running, "Images": IMAGES.len(),
        "NCPU": 64, "MemTotal": 274_877_906_944_u64, "OSType": "linux", "Architecture": "x86_64",
        "OperatingSystem": "Debian GNU/Linux 12 (bookworm)", "KernelVersion": "6.1.0",
        "DockerRootDir": "/var/lib/docker", "CgroupVersion": "2", "CgroupDriver": "systemd",
        "LoggingDriver": "json-file", "Swarm": { "LocalNodeState": "inactive" },
        "SystemTime": "2026-01-01T00:00:00Z", "Warnings": null, "Labels": [],
    }))
}

fn list(engine: &Engine, query: &HashMap<String, String>) -> Response {
    let filters: Value =
        query.get("filters").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let wanted = |name: &str| -> Option<Vec<String>> {
        match &filters[name] {
            Value::Array(values) => {
                Some(values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect())
            }
            // The older way to write it: `{"id": {"abc": true}}`.
            Value::Object(values) => Some(values.keys().cloned().collect()),
            _ => None,
        }
    };
    let (ids, labels) = (wanted("id"), wanted("label"));
    let all = query.get("all").is_some_and(|all| all == "1" || all == "true");
    let containers = engine.containers.lock().unwrap();
    let rows: Vec<Value> = containers
        .iter()
        .filter(|made| all || made.running)
        .filter(|made| ids.as_ref().is_none_or(|ids| ids.iter().any(|id| made.id.starts_with(id))))
        // None of the made-up ones has a label of Drover's.
        .filter(|_| labels.is_none())
        .map(Made::summary)
        .collect();
    json_answer(&rows.into())
}

fn images() -> Value {
    let image = |name: &&str| {
        json!({
            "Id": format!("sha256:{:064x}", name.len()), "RepoTags": [name], "RepoDigests": [],
            "ParentId": "", "Created": 1_760_000_000, "Size": 50_000_000, "SharedSize": -1,
            "VirtualSize": 50_000_000, "Labels": null, "Containers": -1,
        })
    };
    IMAGES.iter().map(image).collect::<Vec<_>>().into()
}

/// Newline-delimited JSON, without an end.
fn events(engine: &Engine) -> Response {
    let following = stream::unfold(engine.events.subscribe(), |mut receiver| async move {
        let event = receiver.recv().await.ok()?;
        Some((Ok::<_, std::convert::Infallible>(event), receiver))
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(following)).into_response()
}

fn stats(once: bool) -> Response {
    let sample = |n: u64| {
        let now = time::OffsetDateTime::now_utc();
        let read = now.format(&time::format_description::well_known::Rfc3339).unwrap();
        let cpu = |at: u64| {
            json!({
                "cpu_usage": { "total_usage": at * 20_000_000, "percpu_usage": null,
                    "usage_in_kernelmode": 0, "usage_in_usermode": at * 20_000_000 },
                "system_cpu_usage": at * 64_000_000_000_u64, "online_cpus": 64,
                "throttling_data": { "periods": 0, "throttled_periods": 0, "throttled_time": 0 },
            })
        };
        let sample = json!({
            "read": read, "preread": read, "num_procs": 0, "storage_stats": {},
            "pids_stats": { "current": 3 }, "cpu_stats": cpu(n + 1), "precpu_stats": cpu(n),
            "memory_stats": { "usage": 41_943_040, "limit": 274_877_906_944_u64,
                "stats": { "inactive_file": 1_048_576 } },
            "networks": { "eth0": { "rx_bytes": n * 1000, "tx_bytes": n * 500 } },
            "blkio_stats": { "io_service_bytes_recursive": null },
        });
        Bytes::from(format!("{sample}\n"))
    };
    if once {
        return ([(header::CONTENT_TYPE, "application/json")], sample(1)).into_response();
    }
    let samples = stream::unfold(1, move |n| async move {
        if n > 1 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Some((Ok::<_, std::convert::Infallible>(sample(n)), n + 1))
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(samples)).into_response()
}

/// Frames of a container without a terminal: a stream's number, three zeros, the length, the text.
fn logs(name: &str) -> Response {
    let lines = (0..100).map(|n| {
        let text = format!("2026-01-01T00:00:{:02}.000000000Z {name} line {n}\n", n % 60);
        let mut frame = vec![1, 0, 0, 0];
        frame.extend_from_slice(&(text.len() as u32).to_be_bytes());
        frame.extend_from_slice(text.as_bytes());
        Ok::<_, std::convert::Infallible>(Bytes::from(frame))
    });
    let kind = "application/vnd.docker.multiplexed-stream";
    let body = Body::from_stream(stream::iter(lines.collect::<Vec<_>>()).boxed());
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

fn act(engine: &Engine, id: &str, action: &str) -> Response {
    let (event, running) = match action {
        "start" | "restart" => ("start", true),
        "stop" | "kill" => ("die", false),
        _ => return problem(StatusCode::NOT_FOUND, "page not found"),
    };
    if engine.change(id, event, |made| made.running = running) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        problem(StatusCode::NOT_FOUND, &format!("No such container: {id}"))
    }
}

fn remove(engine: &Engine, id: &str) -> Response {
    let mut containers = engine.containers.lock().unwrap();
    let Some(at) = containers.iter().position(|made| made.id == id || made.name == id) else {
        return problem(StatusCode::NOT_FOUND, &format!("No such container: {id}"));
    };
    let made = containers.remove(at);
    drop(containers);
    engine.tell(&made, "destroy");
    StatusCode::NO_CONTENT.into_response()
}
