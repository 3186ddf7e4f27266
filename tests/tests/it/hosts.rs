//! Hosts and all that is on them, against real Docker Engines: over a socket, and over TCP with
//! mutual TLS.

use std::time::{Duration, Instant};

use axum::http::Method;
use drover_api::{
    ConnectionTest, Container, ContainerDetail, ContainerState, Endpoint, ExecEvent, Host,
    HostEvent, HostState, HostUsageHistory, Image, List, LogLine, LogMessage, Network, Operation,
    OperationKind, OperationState, ProcessList, PrunePreview, RemovedHost, Role, StatsMessage,
    Topic, Volume,
};
use drover_tests::{Answer, Client, Docker, Engine, TestServer, assert_no_secret, eventually};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest},
};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(10);

/// A server with the tests' engine as its host *local*, and things on it that end with the test.
struct Fixture {
    server: TestServer,
    docker: Docker,
    admin: Client,
    token: String,
    environment: Uuid,
    host: Uuid,
    label: String,
}

impl Fixture {
    async fn start() -> Self {
        let docker = Docker::start().await;
        let server = TestServer::builder().docker().start().await;
        let browser = server.admin().await;
        let (made, admin) = server.key(&browser, None, None).await;
        let environment = server.default_environment().await.id;
        let hosts = format!("/v1/environments/{environment}/hosts");
        let host = eventually("the first host is active", SOON, async || {
            let list: List<Host> = admin.get(&hosts).await.expect(200).json();
            list.items.into_iter().find(|host| host.state == HostState::Active)
        })
        .await;
        assert_eq!(host.name, "local");
        let label = format!("drover-test={}", Uuid::now_v7().simple());
        Self { server, docker, admin, token: made.token, environment, host: host.id, label }
    }

    fn host_path(&self, rest: &str) -> String {
        format!("/v1/environments/{}/hosts/{}{rest}", self.environment, self.host)
    }

    fn containers_path(&self) -> String {
        format!("/v1/environments/{}/containers", self.environment)
    }

    fn name(&self, short: &str) -> String {
        format!("{short}-{}", &self.label[self.label.len() - 12..])
    }

    /// Runs a container by the `docker` program and waits until the server shows it.
    async fn run(&self, short: &str, arguments: &[&str], image_and_command: &[&str]) -> Container {
        let name = self.name(short);
        let mut all = vec!["run", "--detach", "--name", &name, "--label", &self.label];
        all.extend(arguments);
        all.extend(image_and_command);
        self.docker.run(&all);
        self.wait_for(&name, |_| true).await
    }

    async fn wait_for(&self, name: &str, wanted: impl Fn(&Container) -> bool) -> Container {
        eventually(&format!("the container {name} is as expected"), SOON, async || {
            self.find(name).await.filter(|container| wanted(container))
        })
        .await
    }

    async fn find(&self, name: &str) -> Option<Container> {
        let path = format!("{}?q={name}", self.containers_path());
        let list: List<Container> = self.admin.get(&path).await.expect(200).json();
        list.items.into_iter().find(|container| container.name == name)
    }

    fn container_path(&self, container: &Container, rest: &str) -> String {
        self.host_path(&format!("/containers/{}{rest}", container.id))
    }

    async fn act(&self, container: &Container, action: &str) -> Answer {
        let path = self.container_path(container, "/actions");
        self.admin.post(&path, json!({ "action": action })).await
    }

    async fn socket(&self, path: &str) -> Socket {
        self.socket_as(&self.token, path).await
    }

    async fn socket_as(&self, token: &str, path: &str) -> Socket {
        let url = format!("{}{path}", self.server.base().replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        let (stream, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        Socket(stream)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.docker.clean(&self.label);
    }
}

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// The next message that carries something; none after the close.
    async fn next(&mut self) -> Option<Message> {
        loop {
            let next = tokio::time::timeout(SOON, self.0.next()).await;
            match next.expect("no message in time")? {
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(message) => return Some(message),
            }
        }
    }

    async fn json<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        let message = self.next().await?;
        Some(serde_json::from_str(message.to_text().unwrap()).unwrap())
    }

    async fn type_in(&mut self, text: &str) {
        self.0.send(Message::Binary(text.to_owned().into())).await.unwrap();
    }

    /// Reads the terminal until it has shown this.
    async fn until(&mut self, wanted: &str) -> Vec<u8> {
        let mut shown = Vec::new();
        while !String::from_utf8_lossy(&shown).contains(wanted) {
            match self.next().await {
                Some(Message::Binary(bytes)) => shown.extend(bytes),
                other => panic!("{other:?} after {}", String::from_utf8_lossy(&shown)),
            }
        }
        shown
    }

    /// Reads on to the end of the command.
    async fn end(&mut self) -> ExecEvent {
        loop {
            match self.next().await.expect("closed without an end message") {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                _ => continue,
            }
        }
    }
}

#[tokio::test]
async fn the_local_engine_is_the_first_host() {
    let fixture = Fixture::start().await;
    let host: Host = fixture.admin.get(&fixture.host_path("")).await.expect(200).json();
    let facts = host.facts.unwrap();
    assert!(facts.cpus > 0 && facts.memory > 0 && !facts.engine_version.is_empty());
    assert!(matches!(host.endpoint, Endpoint::Socket { .. }));
    assert!(host.last_contact_at.is_some() && host.reason.is_none());
    let history = eventually("use is measured", Duration::from_secs(20), async || {
        let answer = fixture.admin.get(&fixture.host_path("/usage")).await.expect(200);
        let history: HostUsageHistory = answer.json();
        history.items.iter().any(|usage| usage.disk.is_some()).then_some(history)
    })
    .await;
    assert!(history.items.len() > 1);
}

#[tokio::test]
async fn containers_are_live() {
    let fixture = Fixture::start().await;
    let mut events = fixture.server.events(&fixture.admin, None).await;
    let container =
        fixture.run("web", &["--publish", "127.0.0.1::8080"], &["drover-test/web:1"]).await;
    assert!(!container.managed && container.stack_id.is_none());
    let running = fixture.wait_for(&container.name, |c| c.state == ContainerState::Running).await;
    assert_eq!(
        (running.ports[0].container_port, running.ports[0].protocol.as_str()),
        (8080, "tcp")
    );

    // From the death on the host to the event: well under half a second.
    let start = Instant::now();
    fixture.docker.run(&["kill", &container.name]);
    let told = events
        .wait_for(|message| {
            message.event == "change" && {
                let change = message.change();
                change.topic == Topic::Container
                    && change.id == container.id
                    && change.object.is_some_and(|object| object["state"] == "exited")
            }
        })
        .await;
    let took = start.elapsed();
    assert!(took < Duration::from_millis(1500), "told after {took:?}");
    assert_eq!(told.change().host_id, Some(fixture.host));
    let ended = fixture.wait_for(&container.name, |c| c.state == ContainerState::Exited).await;
    assert_eq!((ended.exit_code, ended.status.as_str()), (Some(137), "Exited (137)"));

    let recent: List<HostEvent> = fixture
        .admin
        .get(&fixture.host_path(&format!("/events?container={}", container.id)))
        .await
        .expect(200)
        .json();
    assert!(recent.items.iter().any(|event| event.action == "die" && event.exit_code == Some(137)));

    fixture.docker.run(&["rm", &container.name]);
    eventually("the container is gone", SOON, async || {
        fixture.find(&container.name).await.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn lists_filter_sort_and_page() {
    let fixture = Fixture::start().await;
    for short in ["list-10", "list-9", "list-1"] {
        fixture.run(short, &[], &["drover-test/sleep:1"]).await;
    }
    fixture.docker.run(&["kill", &fixture.name("list-9")]);
    fixture.wait_for(&fixture.name("list-9"), |c| c.state == ContainerState::Exited).await;
    let list = async |query: &str| -> List<Container> {
        let suffix = &fixture.label[fixture.label.len() - 12..];
        let path = format!("{}?q={suffix}&{query}", fixture.containers_path());
        fixture.admin.get(&path).await.expect(200).json()
    };
    let names = |list: &List<Container>| -> Vec<String> {
        list.items.iter().map(|c| c.name.rsplit_once('-').unwrap().0.to_owned()).collect()
    };
    assert_eq!(names(&list("sort=name").await), ["list-1", "list-9", "list-10"]);
    assert_eq!(names(&list("sort=-name").await), ["list-10", "list-9", "list-1"]);
    assert_eq!(names(&list("state=exited").await), ["list-9"]);
    assert_eq!(list("managed=true").await.total, 0);
    let first = list("sort=name&limit=2").await;
    assert_eq!((first.total, first.items.len()), (3, 2));
    let cursor = first.next_cursor.unwrap();
    let second = list(&format!("sort=name&limit=2&cursor={cursor}")).await;
    assert_eq!(names(&second), ["list-10"]);
    assert!(second.next_cursor.is_none());
    assert_eq!(second.freshness.unwrap().age_ms, 0);
    let bad = format!("{}?sort=colour", fixture.containers_path());
    fixture.admin.get(&bad).await.problem(400, "invalid_query");
}

#[tokio::test]
async fn actions_do_what_they_say() {
    let fixture = Fixture::start().await;
    let quick = ["--stop-timeout", "0"];
    let container = fixture.run("act", &quick, &["drover-test/sleep:1"]).await;
    for (action, state) in [
        ("pause", ContainerState::Paused),
        ("unpause", ContainerState::Running),
        ("stop", ContainerState::Exited),
        ("start", ContainerState::Running),
        ("restart", ContainerState::Running),
        ("kill", ContainerState::Exited),
    ] {
        fixture.act(&container, action).await.expect(204);
        fixture.wait_for(&container.name, |c| c.state == state).await;
    }
    fixture.act(&container, "kill").await.problem(409, "conflict");
    fixture.act(&container, "explode").await.problem(422, "invalid_input");

    let path = fixture.container_path(&container, "");
    let renamed = fixture.name("renamed");
    fixture.admin.patch(&path, json!({ "name": renamed })).await.expect(204);
    fixture.wait_for(&renamed, |_| true).await;
    fixture.admin.patch(&path, json!({ "name": "a b" })).await.problem(422, "invalid_input");

    fixture.act(&container, "start").await.expect(204);
    fixture.admin.delete(&path).await.problem(409, "conflict");
    fixture.admin.delete(&format!("{path}?force=true")).await.expect(204);
    eventually("it is gone", SOON, async || {
        (fixture.admin.get(&path).await.status == 404).then_some(())
    })
    .await;
    let odd = fixture.host_path("/containers/..%2f..%2finfo");
    fixture.admin.get(&odd).await.problem(404, "not_found");

    let audit: List<Value> = fixture.admin.get("/v1/audit?limit=1000").await.expect(200).json();
    assert!(
        audit
            .items
            .iter()
            .any(|e| e["action"] == "container.act" && e["detail"]["action"] == "pause")
    );
}

#[tokio::test]
async fn details_hide_secrets_from_those_who_only_look() {
    let fixture = Fixture::start().await;
    let arguments = ["--env", "PASSWORD=hunter2-of-test", "--label", "a=b", "--restart", "no"];
    let container = fixture.run("detail", &arguments, &["drover-test/sleep:1"]).await;
    let path = fixture.container_path(&container, "");
    let detail: ContainerDetail = fixture.admin.get(&path).await.expect(200).json();
    assert_eq!(detail.environment["PASSWORD"].as_deref(), Some("hunter2-of-test"));
    assert_eq!(detail.command, ["sleep", "100000"]);
    assert_eq!(detail.labels["a"], "b");
    assert!(detail.started_at.is_some());

    let reader = fixture.server.member("reader", fixture.environment, Role::Readonly).await;
    let answer = reader.get(&path).await.expect(200);
    assert_no_secret(&answer.text, &["hunter2-of-test"]);
    let detail: ContainerDetail = answer.json();
    assert_eq!(detail.environment["PASSWORD"], None);

    let path = fixture.container_path(&container, "/processes");
    let processes: ProcessList = reader.get(&path).await.expect(200).json();
    assert!(processes.processes[0].iter().any(|column| column.contains("sleep 100000")));
    assert_no_secret(&fixture.server.log(), &["hunter2-of-test"]);
}

const TALK: &str = "i=0; while [ $i -lt 5 ]; do i=$((i+1)); echo line $i; echo error $i >&2; done; while :; do i=$((i+1)); echo line $i; sleep 0.1; done";

#[tokio::test]
async fn logs_are_read_followed_and_resumed() {
    let fixture = Fixture::start().await;
    let container = fixture.run("log", &[], &["drover-test/sleep:1", "sh", "-c", TALK]).await;
    let path = fixture.container_path(&container, "/logs");
    let lines: List<LogLine> = eventually("there are lines", SOON, async || {
        let lines: List<LogLine> = fixture.admin.get(&path).await.expect(200).json();
        (lines.items.len() > 10).then_some(lines)
    })
    .await;
    assert_eq!(lines.items.iter().filter(|line| line.text.starts_with("error")).count(), 5);
    let errors: List<LogLine> =
        fixture.admin.get(&format!("{path}?tail=all&stream=stderr")).await.expect(200).json();
    let texts: Vec<&str> = errors.items.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["error 1", "error 2", "error 3", "error 4", "error 5"]);
    let tail: List<LogLine> = fixture.admin.get(&format!("{path}?tail=2")).await.expect(200).json();
    assert_eq!(tail.items.len(), 2);
    let text = fixture.admin.get(&format!("{path}?format=text&timestamps=false")).await.expect(200);
    assert!(text.text.starts_with("line 1\n") || text.text.starts_with("error 1\n"));
    assert!(text.header("content-disposition").unwrap().contains(&container.name));
    fixture.admin.get(&format!("{path}?since=yesterday")).await.problem(400, "invalid_query");

    // Cut off after some lines and resumed: none is lost, none comes twice.
    let mut seen: Vec<LogLine> = Vec::new();
    for _ in 0..3 {
        let since =
            seen.last().map_or_else(|| "tail=all".into(), |line| format!("since={}", line.at));
        let mut socket = fixture.socket(&format!("{path}/ws?stream=stdout&{since}")).await;
        let enough = seen.len() + 4;
        while seen.len() < enough {
            match socket.json::<LogMessage>().await.unwrap() {
                LogMessage::Lines { lines } => seen.extend(lines),
                LogMessage::End { reason } => panic!("{reason}"),
            }
        }
    }
    for (at, line) in seen.iter().enumerate() {
        assert_eq!(line.text, format!("line {}", at + 1));
    }

    let mut socket = fixture.socket(&format!("{path}/ws?tail=1")).await;
    fixture.docker.run(&["kill", &container.name]);
    let reason = loop {
        match socket.json::<LogMessage>().await.unwrap() {
            LogMessage::Lines { .. } => {}
            LogMessage::End { reason } => break reason,
        }
    };
    assert_eq!(reason, "The container ended with exit code 137.");
    assert!(socket.next().await.is_none(), "it does not close");
}

#[tokio::test]
async fn logs_of_a_terminal_are_lines_too() {
    let fixture = Fixture::start().await;
    let script = "echo first; printf 'no end'";
    let command = ["drover-test/sleep:1", "sh", "-c", script];
    let container = fixture.run("tty", &["--tty"], &command).await;
    let path = fixture.container_path(&container, "/logs");
    let lines: List<LogLine> = eventually("there are two lines", SOON, async || {
        let lines: List<LogLine> = fixture.admin.get(&path).await.expect(200).json();
        (lines.items.len() == 2).then_some(lines)
    })
    .await;
    let texts: Vec<&str> = lines.items.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["first", "no end"]);
}

#[tokio::test]
async fn a_shell_is_binary_safe_and_resizes() {
    let fixture = Fixture::start().await;
    let container = fixture.run("shell", &[], &["drover-test/sleep:1"]).await;
    let path = fixture.container_path(&container, "/exec/ws");
    let mut socket = fixture.socket(&format!("{path}?columns=101&rows=31")).await;
    socket.type_in("stty size\n").await;
    socket.until("31 101").await;
    let resize = json!({ "type": "resize", "columns": 77, "rows": 22 }).to_string();
    socket.0.send(Message::Text(resize.into())).await.unwrap();
    // The size and the next keystrokes take different ways.
    tokio::time::sleep(Duration::from_millis(300)).await;
    socket.type_in("stty size\n").await;
    socket.until("22 77").await;
    socket.type_in("stty raw; printf 'x\\000\\001\\377\\303\\251y'; stty sane; echo E''ND\n").await;
    let shown = socket.until("END").await;
    let bytes = [b'x', 0, 1, 0xff, 0xc3, 0xa9, b'y'];
    assert!(shown.windows(bytes.len()).any(|window| window == bytes), "{shown:?}");
    socket.type_in("exit 3\n").await;
    let ExecEvent::End { exit_code, reason } = socket.end().await;
    assert_eq!((exit_code, reason.as_str()), (Some(3), "The command ended with exit code 3."));
    assert!(socket.next().await.is_none(), "it does not close");

    let mut socket = fixture.socket(&format!("{path}?command=%5B%22nowhere%22%5D")).await;
    let ExecEvent::End { exit_code, reason } = socket.end().await;
    assert!(matches!(exit_code, Some(126 | 127)), "{exit_code:?}");
    assert!(reason.contains("no such command"), "{reason}");

    fixture.act(&container, "kill").await.expect(204);
    fixture.wait_for(&container.name, |c| c.state == ContainerState::Exited).await;
    fixture.admin.get(&path).await.problem(426, "websocket_required");
}

#[tokio::test]
async fn a_closed_browser_leaves_no_shell_behind() {
    let fixture = Fixture::start().await;
    let container = fixture.run("leave", &[], &["drover-test/sleep:1"]).await;
    let mut socket = fixture.socket(&fixture.container_path(&container, "/exec/ws")).await;
    socket.type_in("echo re''ady\n").await;
    socket.until("ready").await;
    drop(socket);
    let path = fixture.container_path(&container, "/processes");
    eventually("only the container's own process is left", SOON, async || {
        let processes: ProcessList = fixture.admin.get(&path).await.expect(200).json();
        (processes.processes.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn measurements_come_each_second_and_are_shared() {
    let fixture = Fixture::start().await;
    let busy = ["drover-test/sleep:1", "sh", "-c", "while :; do :; done"];
    let container = fixture.run("busy", &["--cpus", "0.5"], &busy).await;
    let path = fixture.container_path(&container, "/stats/ws");
    let mut first = fixture.socket(&path).await;
    let mut stats = Vec::new();
    while stats.len() < 3 {
        match first.json::<StatsMessage>().await.unwrap() {
            StatsMessage::Stats(one) => stats.push(one),
            StatsMessage::End { reason } => panic!("{reason}"),
        }
    }
    assert!(
        stats.iter().all(|s| s.cpu > 0.1 && s.cpu < 1.2 && s.memory > 0 && s.pids > 0),
        "{stats:?}"
    );
    let pause = stats[2].at_ms - stats[1].at_ms;
    assert!((500..2500).contains(&pause), "{pause} ms between two");
    // Who comes later gets what was before.
    let mut second = fixture.socket(&path).await;
    let Some(StatsMessage::Stats(earlier)) = second.json().await else { panic!() };
    assert_eq!(earlier.at_ms, stats[0].at_ms);

    fixture.docker.run(&["kill", &container.name]);
    let end = loop {
        match second.json::<StatsMessage>().await.unwrap() {
            StatsMessage::Stats(_) => {}
            StatsMessage::End { reason } => break reason,
        }
    };
    assert!(end.contains("container"), "{end}");
}

#[tokio::test]
async fn streams_end_with_the_right_to_see_them() {
    let fixture = Fixture::start().await;
    let container = fixture.run("revoked", &[], &["drover-test/sleep:1"]).await;
    let user = fixture.server.user("leaver").await;
    fixture.server.set_member(fixture.environment, &user, Role::Restricted).await;
    let leaver = fixture.server.sign_in("leaver").await;
    let (made, _) = fixture.server.key(&leaver, None, None).await;
    let path = |rest: &str| fixture.container_path(&container, rest);
    let mut shell = fixture.socket_as(&made.token, &path("/exec/ws")).await;
    let mut logs = fixture.socket_as(&made.token, &path("/logs/ws")).await;
    // Who may only look may no longer use the shell, but still read the log.
    fixture.server.set_member(fixture.environment, &user, Role::Readonly).await;
    let ExecEvent::End { reason, .. } = shell.end().await;
    assert!(reason.contains("access"), "{reason}");
    fixture
        .admin
        .delete(&format!(
            "/v1/environments/{}/members/{}",
            fixture.environment,
            user.principal_id.replace('/', "%2F")
        ))
        .await
        .expect(204);
    match logs.json::<LogMessage>().await.unwrap() {
        LogMessage::End { reason } => assert!(reason.contains("access"), "{reason}"),
        lines => panic!("{lines:?}"),
    }
}

#[tokio::test]
async fn what_could_take_over_the_host_is_not_for_everyone() {
    let fixture = Fixture::start().await;
    // Not every machine that runs tests can start one; to be refused it need not run.
    let name = fixture.name("privileged");
    let arguments = ["--label", &fixture.label, "--privileged", "drover-test/sleep:1"];
    fixture.docker.run(&[&["create", "--name", &name], &arguments[..]].concat());
    let privileged = fixture.wait_for(&name, |_| true).await;
    let mounted =
        fixture.run("mounted", &["--volume", "/etc:/mnt:ro"], &["drover-test/sleep:1"]).await;
    let plain = fixture.run("plain", &["--stop-timeout", "0"], &["drover-test/sleep:1"]).await;
    let restricted =
        fixture.server.member("restricted", fixture.environment, Role::Restricted).await;
    let restart = json!({ "action": "restart" });
    for container in [&privileged, &mounted] {
        let path = fixture.container_path(container, "/actions");
        restricted.post(&path, &restart).await.problem(403, "host_takeover");
    }
    restricted.post(&fixture.container_path(&plain, "/actions"), &restart).await.expect(204);

    let volume = json!({ "name": fixture.name("bind"), "options": { "type": "none", "o": "bind", "device": "/etc" } });
    let path = fixture.host_path("/volumes");
    restricted.post(&path, &volume).await.problem(403, "host_takeover");

    let reader = fixture.server.member("reader", fixture.environment, Role::Readonly).await;
    reader
        .post(&fixture.container_path(&plain, "/actions"), &restart)
        .await
        .problem(403, "forbidden");
    // Somebody from elsewhere learns nothing.
    let foreign = fixture.server.environment_named("Foreign").await.id;
    let stranger = fixture.server.member("stranger", foreign, Role::Owner).await;
    stranger.get(&fixture.container_path(&plain, "")).await.problem(404, "not_found");
    let elsewhere =
        format!("/v1/environments/{foreign}/hosts/{}/containers/{}", fixture.host, plain.id);
    stranger.get(&elsewhere).await.problem(404, "not_found");
    // A socket is one of the server's own machine.
    let socket = json!({ "name": "mine", "endpoint": { "kind": "socket", "path": fixture.docker.socket() } });
    let hosts = format!("/v1/environments/{foreign}/hosts");
    stranger.post(&hosts, &socket).await.problem(403, "server_socket");
    stranger.post(&format!("{hosts}/test"), &socket).await.problem(403, "server_socket");
}

#[tokio::test]
async fn images_volumes_and_networks() {
    let fixture = Fixture::start().await;
    let (admin, label) = (&fixture.admin, fixture.label.split_once('=').unwrap());
    let labels = json!({ label.0: label.1 });

    // Volumes.
    let (used, unused) = (fixture.name("used"), fixture.name("idle"));
    let volumes = fixture.host_path("/volumes");
    for name in [&used, &unused] {
        let made: Volume = admin
            .post(&volumes, json!({ "name": name, "labels": labels }))
            .await
            .expect(201)
            .json();
        assert_eq!((&made.name, made.driver.as_str()), (name, "local"));
    }
    admin.post(&volumes, json!({ "name": used })).await.problem(409, "conflict");
    admin.post(&volumes, json!({ "name": "../x" })).await.problem(422, "invalid_input");
    let forged = json!({ "name": "forged", "labels": { "io.drover.stack": "x" } });
    admin.post(&volumes, forged).await.problem(422, "invalid_input");
    let mount = format!("{used}:/data");
    let container = fixture.run("volume", &["--volume", &mount], &["drover-test/sleep:1"]).await;
    let list: List<Volume> = admin.get(&format!("{volumes}?q={used}")).await.expect(200).json();
    assert_eq!(list.items[0].used_by, [container.name.as_str()]);
    let problem = admin.delete(&format!("{volumes}/{used}")).await.problem(409, "conflict");
    assert!(problem.detail.contains("in use"), "{}", problem.detail);
    admin.get(&format!("{volumes}/{unused}")).await.expect(200);

    // A prune takes what the preview showed, and nothing else.
    let prune = fixture.host_path("/prune");
    let preview: PrunePreview =
        admin.get(&format!("{prune}?kind=volumes")).await.expect(200).json();
    let shown = |name: &str| preview.items.iter().any(|item| item.name == name);
    assert!(shown(&unused) && !shown(&used));
    let request = json!({ "kind": "volumes", "ids": [unused, used] });
    let gone: PrunePreview = admin.post(&prune, request).await.expect(200).json();
    let names: Vec<&str> = gone.items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, [unused.as_str()]);
    admin.get(&format!("{volumes}/{unused}")).await.problem(404, "not_found");

    // Networks.
    let networks = fixture.host_path("/networks");
    let name = fixture.name("net");
    let request = json!({ "name": name, "internal": true, "labels": labels });
    let network: Network = admin.post(&networks, &request).await.expect(201).json();
    assert!(network.internal && !network.predefined && !network.subnets.is_empty());
    admin.post(&networks, &request).await.problem(409, "conflict");
    fixture.docker.run(&["network", "connect", &name, &container.name]);
    eventually("the network shows who is in it", SOON, async || {
        let path = format!("{networks}/{}", network.id);
        let network: Network = admin.get(&path).await.expect(200).json();
        (network.containers == [container.name.as_str()]).then_some(())
    })
    .await;
    admin.delete(&format!("{networks}/{}", network.id)).await.problem(409, "conflict");
    admin.delete(&format!("{networks}/bridge")).await.problem(409, "conflict");
    let restricted =
        fixture.server.member("restricted", fixture.environment, Role::Restricted).await;
    restricted.post(&networks, &request).await.problem(403, "forbidden");
    let request = json!({ "kind": "networks", "ids": [] });
    restricted.post(&prune, request).await.problem(403, "forbidden");

    // Images.
    let images = fixture.host_path("/images");
    let list: List<Image> =
        admin.get(&format!("{images}?q=drover-test/sleep:1")).await.expect(200).json();
    let image = &list.items[0];
    assert!(image.containers >= 1 && image.size > 0);
    admin.get(&format!("{images}/{}", image.id)).await.expect(200);
    admin.delete(&format!("{images}/{}", image.id)).await.problem(409, "conflict");
    let pull = admin.post(&images, json!({ "image": "127.0.0.1:1/nothing:1" })).await.expect(200);
    let last: Value = serde_json::from_str(pull.text.trim().lines().last().unwrap()).unwrap();
    assert_eq!(
        (last["type"].as_str(), last["code"].as_str()),
        (Some("failed"), Some("registry_unreachable")),
        "{last}"
    );
    admin.post(&images, json!({ "image": "a b" })).await.problem(422, "invalid_input");
}

#[tokio::test]
async fn hosts_are_edited_by_one_at_a_time() {
    let fixture = Fixture::start().await;
    let admin = &fixture.admin;
    let path = fixture.host_path("");
    let answer = admin.get(&path).await.expect(200);
    let tag = answer.header("etag").unwrap().to_owned();
    let labels = json!({ "labels": { "disk": "ssd" }, "name": "renamed" });
    let patch = Method::PATCH;
    let answer =
        admin.send_with(patch.clone(), &path, ("if-match", &tag), &labels).await.expect(200);
    let host: Host = answer.json();
    assert_eq!((host.name.as_str(), host.labels["disk"].as_str()), ("renamed", "ssd"));
    admin
        .send_with(patch, &path, ("if-match", &tag), &labels)
        .await
        .problem(412, "changed_meanwhile");
    let hosts = format!("/v1/environments/{}/hosts", fixture.environment);
    let twin = json!({ "name": "Renamed", "endpoint": { "kind": "socket", "path": "/x" } });
    admin.post(&hosts, &twin).await.problem(409, "name_taken");
    let wrong = json!({ "name": "", "endpoint": { "kind": "tcp", "address": "x" } });
    let problem = admin.post(&hosts, &wrong).await.problem(422, "invalid_input");
    let fields: Vec<&str> = problem.errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["name", "tls"]);

    // The containers know the host's new name; switched off, it shows none.
    let container = fixture.run("off", &[], &["drover-test/sleep:1"]).await;
    assert_eq!(container.host_name, "renamed");
    admin.patch(&path, json!({ "mode": "inactive" })).await.expect(200);
    eventually("its containers are not shown", SOON, async || {
        fixture.find(&container.name).await.is_none().then_some(())
    })
    .await;
    let host: Host = admin.get(&path).await.expect(200).json();
    assert_eq!(host.state, HostState::Inactive);
    admin.get(&fixture.container_path(&container, "")).await.problem(503, "host_unreachable");
    admin.delete(&path).await.problem(409, "host_unreachable");

    admin.patch(&path, json!({ "mode": "draining" })).await.expect(200);
    eventually("it is connected and draining", SOON, async || {
        let host: Host = admin.get(&path).await.expect(200).json();
        (host.state == HostState::Draining).then_some(())
    })
    .await;
    let operations =
        format!("/v1/environments/{}/operations?target_id={}", fixture.environment, fixture.host);
    // Nothing of Drover's is on it: the drain is done at once.
    eventually("the drain is done", SOON, async || {
        let list: List<Operation> = admin.get(&operations).await.expect(200).json();
        let drain = list.items.into_iter().find(|o| o.kind == OperationKind::Drain);
        (drain?.state == OperationState::Succeeded).then_some(())
    })
    .await;
    admin.patch(&path, json!({ "mode": "active" })).await.expect(200);
    fixture.wait_for(&container.name, |c| c.state == ContainerState::Running).await;
    let removed: RemovedHost = admin.delete(&path).await.expect(200).json();
    assert!(removed.remaining_containers.is_empty());
    admin.get(&path).await.problem(404, "not_found");
    eventually("its containers are gone from the lists", SOON, async || {
        fixture.find(&container.name).await.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_replica_watches_every_host() {
    let fixture = Fixture::start().await;
    let variables = fixture.server.environment();
    let key = variables.iter().rev().find(|(name, _)| *name == "DROVER_ENCRYPTION_KEY").unwrap().1;
    let second = TestServer::builder()
        .set("DATABASE_URL", fixture.server.database().url())
        .set("DROVER_ENCRYPTION_KEY", key)
        .start()
        .await;
    let there = Client::with_key(&second.base(), &fixture.token);
    let container = fixture.run("replica", &[], &["drover-test/sleep:1"]).await;
    let path = format!("{}?q={}", fixture.containers_path(), container.name);
    let seen = async |what: &str, wanted: &dyn Fn(&List<Container>) -> bool| {
        eventually(what, SOON, async || {
            let list: List<Container> = there.get(&path).await.expect(200).json();
            wanted(&list).then_some(())
        })
        .await;
    };
    seen("the other replica sees the container", &|list| list.total == 1).await;
    // A change at the one is followed at once by the other.
    let host = fixture.host_path("");
    fixture.admin.patch(&host, json!({ "name": "renamed" })).await.expect(200);
    seen("it knows the new name", &|list| list.items[0].host_name == "renamed").await;
    fixture.admin.patch(&host, json!({ "mode": "inactive" })).await.expect(200);
    seen("it has let go of the host", &|list| list.total == 0).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_connection_is_named() {
    let engine = Engine::start("server").await;
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    let path = format!("/v1/environments/{environment}/hosts/test");
    let certificates = &engine.certificates;
    let test = async |address: &str, ca: &str, client: &str| -> ConnectionTest {
        let body = json!({
            "name": "", "endpoint": { "kind": "tcp", "address": address },
            "tls": certificates.credentials(ca, client),
        });
        admin.post(&path, body).await.expect(200).json()
    };
    let failed = |test: &ConnectionTest| {
        assert!(!test.ok && test.facts.is_none());
        let last = test.steps.last().unwrap();
        assert!(!last.ok);
        (last.name.clone(), last.message.clone())
    };

    let good = test(&engine.address(), "ca", "client").await;
    assert!(good.ok, "{:?}", good.steps);
    let names: Vec<&str> = good.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["address", "connect", "tls", "ping", "version"]);
    assert!(good.facts.is_some());

    let (step, message) = failed(&test(&engine.address(), "other-ca", "client").await);
    assert_eq!(step, "tls");
    assert!(message.contains("not signed by the given CA"), "{message}");
    let (step, message) = failed(&test(&engine.address(), "ca", "stranger").await);
    assert_eq!(step, "tls");
    assert!(message.contains("refused the client certificate"), "{message}");
    let (step, message) = failed(&test("127.0.0.1:1", "ca", "client").await);
    assert_eq!(step, "connect");
    assert!(message.contains("refused the connection"), "{message}");
    let (step, _) = failed(&test("no-such-name.invalid:2376", "ca", "client").await);
    assert_eq!(step, "address");
    let plain = server.base().replace("http://", "");
    let (step, message) = failed(&test(&plain, "ca", "client").await);
    assert_eq!(step, "tls");
    assert!(message.contains("Docker's TLS port"), "{message}");
    drop(engine);

    let engine = Engine::start("misnamed").await;
    let body = json!({
        "name": "", "endpoint": { "kind": "tcp", "address": engine.address() },
        "tls": engine.certificates.credentials("ca", "client"),
    });
    let answer: ConnectionTest = admin.post(&path, body).await.expect(200).json();
    let (step, message) = failed(&answer);
    assert_eq!(step, "tls");
    assert!(message.contains("another name") && message.contains("elsewhere.test"), "{message}");
    assert_no_secret(&server.log(), &["PRIVATE KEY"]);
}

#[tokio::test]
async fn a_host_over_tls_survives_a_restart_of_its_engine() {
    let mut engine = Engine::start("server").await;
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    let member = server.member("grace", environment, Role::Member).await;
    let hosts = format!("/v1/environments/{environment}/hosts");
    let body = json!({
        "name": "far", "labels": { "zone": "b" },
        "endpoint": { "kind": "tcp", "address": engine.address() },
        "tls": engine.certificates.credentials("ca", "client"),
    });
    let answer = member.post(&hosts, body).await.expect(201);
    assert_no_secret(&answer.text, &["PRIVATE KEY", "BEGIN"]);
    let host: Host = answer.json();
    let path = format!("{hosts}/{}", host.id);
    let wait_for = async |state: HostState| -> Host {
        eventually(&format!("the host is {state:?}"), Duration::from_secs(40), async || {
            let host: Host = admin.get(&path).await.expect(200).json();
            (host.state == state).then_some(host)
        })
        .await
    };
    let active = wait_for(HostState::Active).await;
    assert!(active.facts.is_some());

    engine.stop().await;
    let away = wait_for(HostState::Reconnecting).await;
    assert!(away.reason.is_some() && away.last_contact_at.is_some());
    let list: List<Container> =
        admin.get(&format!("/v1/environments/{environment}/containers")).await.expect(200).json();
    eventually("lists say that they are old", SOON, async || {
        let path = format!("/v1/environments/{environment}/containers");
        let list: List<Container> = admin.get(&path).await.expect(200).json();
        (list.freshness.unwrap().age_ms > 0).then_some(())
    })
    .await;
    assert_eq!(list.total, 0);
    let problem = admin.get(&format!("{path}/images")).await.problem(503, "host_unreachable");
    assert!(problem.detail.contains("far"), "{}", problem.detail);

    engine.run("server").await;
    let back = wait_for(HostState::Active).await;
    assert!(back.reason.is_none());

    // The engine comes back with another CA's certificate: a person has to act.
    engine.stop().await;
    engine.certificates.leaf("server", "other-ca", "serverAuth", "IP:127.0.0.1");
    engine.run("server").await;
    let wrong = wait_for(HostState::Error).await;
    assert!(wrong.reason.unwrap().contains("not signed by the given CA"));
    let credentials = json!({ "tls": engine.certificates.credentials("other-ca", "client") });
    member.patch(&path, credentials).await.expect(200);
    wait_for(HostState::Active).await;
}
