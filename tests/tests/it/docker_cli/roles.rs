//! Who may do what: the whole table with every role, and every way to take over a host.

use axum::http::Method;
use drover_api::{Permission, Role};
use drover_server::{
    access::permits,
    docker_api::policy::{ROWS, Row},
};
use drover_tests::{Answer, Client, FakeDocker, TestServer};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::{Fixture, Person, first_host, person};

/// A call whose body is not read: it may have no end.
async fn head_of(client: &Client, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
    let request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), path);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = if status >= 400 { answer.text().await.unwrap() } else { String::new() };
    (status, text)
}

fn example(row: &Row, container: &str) -> String {
    // A version in every other one.
    let version = if row.path.len().is_multiple_of(2) { "/v1.41" } else { "" };
    let path = row.path.replace("{*}", "some/name:1");
    let name = if path.starts_with("/containers/") { container } else { "something" };
    let query = if row.path == "/events" { "?until=1" } else { "" };
    format!("{version}{}{query}", path.replace("{}", name))
}

#[tokio::test]
async fn every_docker_route_is_for_whom_the_table_says() {
    let folder = TempDir::with_prefix("drover-fake-").unwrap();
    let fake = FakeDocker::start(&folder.path().join("docker.sock"), 3);
    let socket = fake.socket().as_os_str().to_owned();
    let server = TestServer::builder().set("DROVER_DOCKER_SOCKET", socket).start().await;
    let environment = server.default_environment().await.id;
    let host = first_host(&server, environment).await;
    let container = fake.running()[0].clone();
    let mut people = Vec::new();
    for role in Role::ALL {
        people.push((role, person(&server, environment, host, role).await.client));
    }
    // An administrator's key that is cut down is as weak as it says.
    let admin = server.admin().await;
    let (_, scoped) = server.key(&admin, Some(environment), Some(Role::Readonly)).await;
    people.push((Role::Readonly, scoped));
    let elsewhere = server.environment_named("Elsewhere").await.id;
    let foreigner = person(&server, elsewhere, host, Role::Owner).await.client;
    let nobody = server.client();

    let mut wrong = Vec::new();
    for row in ROWS {
        let path = format!("/docker/hosts/{host}{}", example(row, &container));
        let body = matches!(row.method, "POST" | "PUT").then(|| json!({}));
        let mut check = |who: &str, expected: &[u16], (status, text): (u16, String)| {
            let message = serde_json::from_str::<Value>(&text).ok();
            let message = message.and_then(|body| body["message"].as_str().map(str::to_owned));
            let refused = expected.contains(&status) && message.is_some_and(|m| m.len() > 20);
            let right = if expected.is_empty() { !matches!(status, 401 | 403) } else { refused };
            if !right {
                wrong.push(format!("{} {path} as {who}: {status} {text}", row.method));
            }
        };
        for (role, client) in &people {
            let expected: &[u16] = if permits(*role, row.needs) { &[] } else { &[403] };
            let answer = head_of(client, row.method, &path, body.clone()).await;
            check(role.as_str(), expected, answer);
        }
        check("nobody", &[401], head_of(&nobody, row.method, &path, body.clone()).await);
        let answer = head_of(&foreigner, row.method, &path, body).await;
        let hidden = answer.0 == 404 && answer.1.contains("There is no such host");
        check("somebody else", &[404], if hidden { answer } else { (0, answer.1) });
    }
    for (method, path) in [
        ("POST", "/containers/x/copy"),
        ("GET", "/metrics"),
        ("PUT", "/containers/json"),
        ("POST", "/v1.41/v1.41/containers/create"),
        ("GET", "/debug/pprof/"),
    ] {
        for (role, client) in &people {
            let path = format!("/docker/hosts/{host}{path}");
            let (status, text) = head_of(client, method, &path, None).await;
            let refused = matches!(status, 400 | 403) && text.contains("message");
            let passes = permits(*role, Permission::HostTakeover);
            if refused == passes && !path.ends_with('/') {
                wrong.push(format!("{method} {path} as {}: {status} {text}", role.as_str()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn an_inactive_environment_is_only_read() {
    let folder = TempDir::with_prefix("drover-fake-").unwrap();
    let fake = FakeDocker::start(&folder.path().join("docker.sock"), 3);
    let socket = fake.socket().as_os_str().to_owned();
    let server = TestServer::builder().set("DROVER_DOCKER_SOCKET", socket).start().await;
    let environment = server.default_environment().await.id;
    let host = first_host(&server, environment).await;
    let member = person(&server, environment, host, Role::Member).await.client;
    let state = json!({ "state": "inactive" });
    let path = format!("/v1/environments/{environment}");
    server.admin().await.patch(&path, state).await.expect(200);
    let mut changes = 0;
    for row in ROWS.iter().filter(|row| row.action.is_some()) {
        let path = format!("/docker/hosts/{host}{}", example(row, &fake.running()[0]));
        let (status, text) = head_of(&member, row.method, &path, Some(json!({}))).await;
        assert_eq!(status, 409, "{} {path}: {text}", row.method);
        changes += 1;
    }
    assert!(changes > 50, "{changes}");
    let list = format!("/docker/hosts/{host}/containers/json");
    member.get(&list).await.expect(200);
}

/// A call that could take over the host, and a word of the refusal.
struct Takeover {
    what: &'static str,
    word: &'static str,
    arguments: Vec<String>,
}

/// `volume` is a path of the host, and the container of the name `mighty` has one.
fn takeovers(volume: &str, mighty: &str) -> Vec<Takeover> {
    let image = "drover-test/sleep:1";
    let mut all = Vec::new();
    let mut run = |what, word, options: &[&str]| {
        let arguments = [&["create"], options, &[image]].concat();
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        all.push(Takeover { what, word, arguments });
    };
    run("privileged", "HostConfig.Privileged", &["--privileged"]);
    run("bind", "HostConfig.Binds", &["--volume", "/:/host"]);
    run("socket", "the Docker socket", &["-v", "/var/run/docker.sock:/s"]);
    run("mount", "HostConfig.Mounts", &["--mount", "type=bind,src=/,dst=/host"]);
    run(
        "mount options",
        "HostConfig.Mounts",
        &[
            "--mount",
            "type=volume,dst=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/",
        ],
    );
    run("volume driver", "HostConfig.VolumeDriver", &["--volume-driver", "x", "-v", "a:/a"]);
    run("device", "HostConfig.Devices", &["--device", "/dev/null"]);
    run("device rule", "HostConfig.DeviceCgroupRules", &["--device-cgroup-rule", "a *:* rwm"]);
    run("gpus", "HostConfig.DeviceRequests", &["--gpus", "all"]);
    run("capability", "HostConfig.CapAdd", &["--cap-add", "SYS_ADMIN"]);
    run("security option", "HostConfig.SecurityOpt", &["--security-opt", "seccomp=unconfined"]);
    run("system paths", "HostConfig.MaskedPaths", &["--security-opt", "systempaths=unconfined"]);
    run("host network", "HostConfig.NetworkMode", &["--network", "host"]);
    run("another's network", "HostConfig.NetworkMode", &["--network", "container:x"]);
    run("host pid", "HostConfig.PidMode", &["--pid", "host"]);
    run("another's pid", "HostConfig.PidMode", &["--pid", "container:x"]);
    run("host ipc", "HostConfig.IpcMode", &["--ipc", "host"]);
    run("host uts", "HostConfig.UTSMode", &["--uts", "host"]);
    run("host users", "HostConfig.UsernsMode", &["--userns", "host"]);
    run("host cgroups", "HostConfig.CgroupnsMode", &["--cgroupns", "host"]);
    run("cgroup parent", "HostConfig.CgroupParent", &["--cgroup-parent", "/x"]);
    run("sysctl", "HostConfig.Sysctls", &["--sysctl", "kernel.msgmax=1"]);
    run("runtime", "HostConfig.Runtime", &["--runtime", "x"]);
    run("volumes from", "HostConfig.VolumesFrom", &["--volumes-from", "x"]);
    run("log driver", "HostConfig.LogConfig.Type", &["--log-driver", "syslog"]);
    run("oom", "HostConfig.OomScoreAdj", &["--oom-score-adj", "-5"]);
    run("a volume that is a path", "a path of the host", &["-v", &format!("{volume}:/x")]);
    let mut other = |what, word, arguments: &[&str]| {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        all.push(Takeover { what, word, arguments });
    };
    other(
        "volume options",
        "DriverOpts",
        &["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/"],
    );
    other("volume by a driver", "Driver", &["volume", "create", "--driver", "x"]);
    other("network", "may not change hosts or networks", &["network", "create", "x"]);
    other("plugin", "may not", &["plugin", "install", "--grant-all-permissions", "x"]);
    other("swarm", "may not change hosts or networks", &["swarm", "init"]);
    for (what, arguments) in [
        ("exec", vec!["exec", mighty, "true"]),
        ("start", vec!["start", mighty]),
        ("restart", vec!["restart", mighty]),
        ("commit", vec!["commit", mighty]),
        ("export", vec!["export", mighty]),
    ] {
        other(what, "could take over its host", &arguments);
    }
    // The command line does not read why an upgrade is refused.
    other("attach", "received 403", &["attach", mighty]);
    let path = format!("{mighty}:/etc");
    other("copy out of", "could take over its host", &["cp", &path, "-"]);
    other("copy into", "could take over its host", &["cp", "/bin/busybox", &path]);
    other(
        "update of",
        "could take over its host",
        &["update", "--memory", "1g", "--memory-swap", "1g", mighty],
    );
    all
}

#[tokio::test]
async fn every_way_to_take_over_a_host_is_refused_to_restricted_members() {
    let fixture = Fixture::start().await;
    let (volume, mighty) = (fixture.name("etc"), fixture.name("mighty"));
    let label = fixture.label.as_str();
    // A member may make both.
    let member = fixture.person(Role::Member).await;
    let bind = ["-o", "type=none", "-o", "o=bind", "-o", "device=/etc"];
    let create = ["volume", "create", "--label", label];
    member.docker(&[&create[..], &bind, &[volume.as_str()]].concat()).await;
    let run = ["run", "--detach", "--volume", "/etc:/host:ro", "--name", &mighty, "--label", label];
    member.docker(&[&run[..], &["drover-test/sleep:1"]].concat()).await;
    member.docker(&["exec", &mighty, "true"]).await;

    let restricted = fixture.person(Role::Restricted).await;
    let mut wrong = Vec::new();
    for Takeover { what, word, arguments } in takeovers(&volume, &mighty) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = restricted.try_docker(&arguments).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() || !said.contains(word) {
            wrong.push(format!("{what}: {said}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} are not refused as they should be:\n{}",
        wrong.len(),
        wrong.join("\n")
    );

    // What the command line would never send.
    let create = fixture.host_path("/containers/create");
    for text in [
        r#"{"Image":"drover-test/sleep:1","hostconfig":{"pRIVILEGED":true}}"#,
        "{\"Image\":\"drover-test/sleep:1\",\"Ho\u{17f}tConfig\":{\"Privileged\":true}}",
        r#"{"Image":"drover-test/sleep:1","Privileged":true}"#,
        r#"{"Image":"drover-test/sleep:1","HostConfig":{"Privileged":true},"HostConfig":{}}"#,
        r#"{"Image":"drover-test/sleep:1","HostConfig":{"Privileged":true,"privileged":false}}"#,
        r#"{"Image":"drover-test/sleep:1","HostConfig":{"Unheard":{"of":1}}}"#,
    ] {
        let answer = post_text(&restricted, &create, "application/json", text).await;
        assert!(matches!(answer.status, 400 | 403), "{text}: {answer:?}");
        assert!(answer.value()["message"].is_string());
    }
    // A parameter in a form, an address with dots, and options of the query.
    let form = fixture.host_path("/images/create");
    let answer = post_text(
        &restricted,
        &form,
        "application/x-www-form-urlencoded",
        "fromSrc=http://127.0.0.1/",
    )
    .await;
    answer.expect(400);
    for (method, path, status) in [
        ("POST", "/containers/x/%2e%2e/create", 400),
        ("POST", "/containers//create", 400),
        ("POST", "/images/create?fromSrc=http%3A%2F%2F127.0.0.1%2F", 403),
        ("POST", "/build?remote=http%3A%2F%2F127.0.0.1%2F", 403),
        ("POST", "/build?networkmode=default&networkmode=host", 403),
        ("POST", "/build?unheard=of", 403),
        ("POST", &format!("/containers/{mighty}/start?checkpoint-dir=/etc"), 403),
    ] {
        let path = fixture.host_path(path);
        let (found, text) = head_of(&restricted.client, method, &path, None).await;
        assert_eq!(found, status, "{method} {path}: {text}");
    }
    // An exec that a member has made is not started by others.
    let exec = fixture.host_path(&format!("/containers/{mighty}/exec"));
    let made = member.client.post(&exec, json!({"Cmd": ["true"]})).await.expect(201).value();
    let start = fixture.host_path(&format!("/exec/{}/start", made["Id"].as_str().unwrap()));
    restricted.client.post(&start, json!({"Detach": true})).await.expect(403);
    member.client.post(&start, json!({"Detach": true})).await.expect(200);
    // Nor is the host's network used by its id.
    let networks =
        member.client.get(&fixture.host_path("/networks/host")).await.expect(200).value();
    let body =
        json!({"Image": "drover-test/sleep:1", "HostConfig": {"NetworkMode": networks["Id"]}});
    restricted.client.post(&create, body).await.expect(403);
}

async fn post_text(person: &Person, path: &str, kind: &str, text: &str) -> Answer {
    let request = person.client.request(Method::POST, path).header("content-type", kind);
    person.client.send(request.body(text.to_owned())).await
}

#[tokio::test]
async fn readers_see_all_but_secrets_and_change_nothing() {
    let fixture = Fixture::start().await;
    let member = fixture.person(Role::Member).await;
    let name = fixture.name("secret");
    let run = ["run", "--detach", "--name", &name, "--label", &fixture.label];
    let secret = format!("hunter2-{}", Uuid::new_v4());
    let variable = format!("PASSWORD={secret}");
    member.docker(&[&run[..], &["--env", &variable, "drover-test/sleep:1"]].concat()).await;
    let reader = fixture.person(Role::Readonly).await;
    let inspect = reader.docker(&["inspect", &name]).await;
    assert!(inspect.contains("PASSWORD=") && !inspect.contains(&secret), "{inspect}");
    assert!(member.docker(&["inspect", &name]).await.contains(&secret));
    reader.docker(&["ps", "--all"]).await;
    reader.docker(&["logs", &name]).await;
    reader.docker(&["top", &name]).await;
    reader.docker(&["stats", "--no-stream", &name]).await;
    reader.docker(&["images"]).await;
    reader.docker(&["image", "inspect", "drover-test/sleep:1"]).await;
    reader.docker(&["volume", "ls"]).await;
    reader.docker(&["network", "ls"]).await;
    reader.docker(&["system", "df"]).await;
    for arguments in [
        vec!["run", "drover-test/sleep:1"],
        vec!["rm", "--force", &name],
        vec!["stop", &name],
        vec!["exec", &name, "env"],
        vec!["cp", &format!("{name}:/etc"), "-"],
        vec!["export", &name],
        vec!["save", "drover-test/sleep:1"],
        vec!["history", "drover-test/sleep:1"],
        vec!["volume", "create"],
        vec!["top", &name, "eww"],
        vec!["tag", "drover-test/sleep:1", "x"],
    ] {
        let said = reader.refused(&arguments).await;
        assert!(said.contains("Your role here, readonly"), "{arguments:?}: {said}");
        assert!(!said.contains(&secret));
    }
    assert_eq!(member.docker(&["inspect", "--format", "{{.State.Running}}", &name]).await, "true");
}

#[tokio::test]
async fn prunes_leave_what_belongs_to_stacks() {
    let fixture = Fixture::start().await;
    let member = fixture.person(Role::Member).await;
    let label = fixture.label.as_str();
    // As Drover makes them, straight on the engine: the command line may not set the label.
    let own = format!("io.drover.environment={}", fixture.environment);
    let (kept, gone) = (fixture.name("kept"), fixture.name("gone"));
    fixture.docker.run(&["volume", "create", "--label", label, "--label", &own, &kept]);
    fixture.docker.run(&["volume", "create", "--label", label, &gone]);
    let filter = format!("label={label}");
    member.docker(&["volume", "prune", "--force", "--filter", &filter]).await;
    let left = member.docker(&["volume", "ls", "--quiet", "--filter", &filter]).await;
    assert_eq!(left, kept);
    let said = member.refused(&["volume", "create", "--label", &own]).await;
    assert!(said.contains("io.drover.environment"), "{said}");
}
