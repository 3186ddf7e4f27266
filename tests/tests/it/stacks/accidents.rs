//! Bad days: what runs ends, servers are killed, engines go away, disks are full.

use super::*;
use drover_api::HostMode;
use drover_tests::{Engine, Failure, FakeDocker, Proxy};

const PAIR: &str = r#"
services:
  web: { image: "drover-test/web:1", depends_on: [app], stop_grace_period: 0s, deploy: { replicas: 2 } }
  app: { image: "drover-test/sleep:1", stop_grace_period: 0s, volumes: ["data:/data"] }
volumes: { data: {} }
"#;

#[tokio::test]
async fn what_dies_or_is_removed_by_hand_comes_back() {
    let fixture = Fixture::start().await;
    let name = unique("heal");
    fixture.install(&name, PAIR).await;
    let all: Vec<String> =
        ["app-1", "web-1", "web-2"].iter().map(|end| format!("{name}-{end}")).collect();
    for harm in [["rm", "--force"].as_slice(), &["kill"], &["stop", "--time=0"]] {
        let mut arguments = harm.to_vec();
        arguments.push(&all[1]);
        fixture.docker.run(&arguments);
        eventually(&format!("it is back after {harm:?}"), LATER, async || {
            (fixture.running(&name).len() == 3).then_some(())
        })
        .await;
    }
    fixture.docker.run(&["rm", "--force", &all[0], &all[1], &all[2]]);
    eventually("all are back", LATER, async || (fixture.running(&name).len() == 3).then_some(()))
        .await;
    assert_eq!(fixture.names(&name), all);
}

#[tokio::test]
async fn a_killed_server_ends_in_the_same_place() {
    let mut fixture = Fixture::start().await;
    let name = unique("kill");
    let wanted: Vec<String> =
        ["app-1", "web-1", "web-2"].iter().map(|end| format!("{name}-{end}")).collect();
    // Killed ever later: before the first step, in the midst of them, and after the last.
    let mut stack = None;
    for (round, pause) in [0, 150, 400, 800].into_iter().enumerate() {
        let operation = match &stack {
            None => {
                let begun = fixture.begin(&name, PAIR).await;
                stack = Some(begun.stack);
                begun.operation
            }
            Some(stack) => {
                let image = format!("drover-test/web:{}", 1 + round % 2);
                let text = PAIR.replace("drover-test/web:1", &image);
                let order = if round % 2 == 0 { "start-first" } else { "stop-first" };
                let config = format!(
                    "deploy: {{ replicas: 2, update_config: {{ parallelism: 2, monitor: 0s, order: {order} }} }}"
                );
                fixture.change(stack, &text.replace("deploy: { replicas: 2 }", &config)).await
            }
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        fixture.server.restart().await;
        fixture.succeeds(&operation).await;
        assert_eq!(fixture.names(&name), wanted, "after round {round}");
        let image = format!("drover-test/web:{}", 1 + round % 2);
        let running = fixture.running(&name);
        assert_eq!(running.len(), 3, "{running:?}");
        assert_eq!(running.iter().filter(|(_, found)| *found == image).count(), 2, "{running:?}");
    }
    let count = |kind: &str| {
        let filter = format!("name={name}_");
        fixture.docker.run(&[kind, "ls", "--quiet", "--filter", &filter]).lines().count()
    };
    assert_eq!((count("network"), count("volume")), (1, 1));
}

#[tokio::test]
async fn an_unknown_image_fails_with_its_name() {
    let fixture = Fixture::start().await;
    // A registry that is there and does not have it, on loopback.
    let registry = registry().await;
    let image = format!("{registry}/nobody/nothing:1");
    let begun =
        fixture.begin(&unique("image"), &format!("services: {{web: {{image: '{image}'}}}}")).await;
    let (code, message) = fixture.fails(&begun.operation).await;
    assert_eq!(code, "image_not_found", "{message}");
    let detail = fixture.stands(&begun.stack, StackState::Failed).await;
    assert!(detail.stack.reason.is_some());

    // And one that is not there.
    let image = format!("127.0.0.1:{}/nobody/nothing:1", free_port());
    let begun =
        fixture.begin(&unique("image"), &format!("services: {{web: {{image: '{image}'}}}}")).await;
    let (code, message) = fixture.fails(&begun.operation).await;
    assert_eq!(code, "registry_unreachable", "{message}");
    // What the text says of pulling counts.
    let never = "services: {web: {image: 'nobody/nothing:1', pull_policy: never}}";
    let begun = fixture.begin(&unique("image"), never).await;
    assert_eq!(fixture.fails(&begun.operation).await.0, "image_not_found");
}

/// Answers as a registry without any image does (OCI distribution specification).
async fn registry() -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 8192];
                let Ok(length) = stream.read(&mut request).await else { return };
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let answer = if request.contains(" /v2/ ") {
                    "HTTP/1.1 200 OK\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}".to_owned()
                } else {
                    let body =
                        r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
                    format!(
                        "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                        body.len()
                    )
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let fixture = Fixture::start().await;
    let port = free_port();
    let text = format!(
        "services: {{web: {{image: 'drover-test/web:1', stop_grace_period: 0s, ports: ['{port}:8080']}}}}"
    );
    // By a program of the host.
    let listener = std::net::TcpListener::bind(("0.0.0.0", port)).unwrap();
    let begun = fixture.begin(&unique("port"), &text).await;
    let (code, message) = fixture.fails(&begun.operation).await;
    assert_eq!(code, "port_taken", "{message}");
    assert!(message.contains(&port.to_string()), "{message}");
    // When it is free, once more is enough.
    drop(listener);
    let again = fixture.ask(&begun.stack, "POST", "/deploy", Value::Null).await;
    fixture.succeeds(&again).await;

    // By another stack.
    let other = fixture.begin(&unique("port"), &text).await;
    let (code, message) = fixture.fails(&other.operation).await;
    assert_eq!(code, "port_taken", "{message}");
    assert!(message.contains(&port.to_string()) && message.contains("local"), "{message}");
}

#[tokio::test]
async fn an_install_waits_for_a_host_that_is_away() {
    let engine = Engine::start("server").await;
    let docker = engine.docker().await;
    let proxy = Proxy::start(&engine.address()).await;
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    let fixture = Fixture { server, docker, admin, environment };
    let body = json!({
        "name": "far", "endpoint": { "kind": "tcp", "address": proxy.address().to_string() },
        "tls": engine.certificates.credentials("ca", "client"),
    });
    fixture.admin.post(&fixture.path("hosts"), body).await.expect(201);
    let host = fixture.host("far").await;
    let name = unique("away");
    let begun = fixture.begin(&name, PAIR).await;
    // In the midst of it.
    eventually("it has begun", SOON, async || (!fixture.names(&name).is_empty()).then_some(()))
        .await;
    proxy.cut();
    eventually("it says what it waits for", LATER, async || {
        let detail = fixture.detail(&begun.stack).await;
        let operation = fixture.operation(begun.operation.id).await;
        let done = operation.state == OperationState::Succeeded;
        assert!(operation.state != OperationState::Failed, "{operation:?}");
        (done || detail.stack.reason.is_some()).then_some(())
    })
    .await;
    proxy.mend();
    fixture.succeeds(&begun.operation).await;
    fixture.stands(&begun.stack, StackState::Running).await;
    assert_eq!(fixture.names(&name).len(), 3);

    // A stack whose host never comes back goes by force, and says what stays.
    proxy.cut();
    let path = fixture.path(&format!("hosts/{}", host.id));
    eventually("the host is away", LATER, async || {
        let now: Host = fixture.admin.get(&path).await.expect(200).json();
        (now.mode == HostMode::Active && now.state != HostState::Active).then_some(())
    })
    .await;
    let removal = fixture.ask(&begun.stack, "DELETE", "", Value::Null).await;
    eventually("it waits", SOON, async || {
        let now = fixture.operation(removal.id).await;
        now.message.contains("far").then_some(())
    })
    .await;
    let forced = fixture.ask(&begun.stack, "DELETE", "?force=true", Value::Null).await;
    fixture.succeeds(&forced).await;
    let log = fixture.admin.get(&fixture.path(&format!("operations/{}/log", forced.id))).await;
    assert!(log.text.contains("Left behind"), "{}", log.text);
}

#[tokio::test]
async fn an_install_goes_on_when_the_engine_is_started_again() {
    let mut engine = Engine::start("server").await;
    let fixture = Fixture::on(engine.docker().await, TestServer::builder()).await;
    let name = unique("again");
    let begun = fixture.begin(&name, PAIR).await;
    eventually("it has begun", SOON, async || (!fixture.names(&name).is_empty()).then_some(()))
        .await;
    engine.stop().await;
    engine.run("server").await;
    fixture.succeeds(&begun.operation).await;
    fixture.stands(&begun.stack, StackState::Running).await;
    assert_eq!(fixture.names(&name).len(), 3);

    // What ran before a restart runs after it.
    engine.stop().await;
    engine.run("server").await;
    eventually("all run again", LATER, async || (fixture.running(&name).len() == 3).then_some(()))
        .await;
    fixture.stands(&begun.stack, StackState::Running).await;
}

#[tokio::test]
async fn a_full_disk_is_named() {
    let folder = tempfile::TempDir::with_prefix("drover-disk-").unwrap();
    let fake = FakeDocker::start(&folder.path().join("docker.sock"), 3);
    fake.fail(Failure { disk_full: true, ..Failure::default() });
    let server = TestServer::builder().set("DROVER_DOCKER_SOCKET", fake.socket()).start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    let stacks = format!("/v1/environments/{environment}/stacks");
    eventually("the host is active", SOON, async || {
        let list: List<Host> =
            admin.get(&format!("/v1/environments/{environment}/hosts")).await.expect(200).json();
        list.items.iter().any(|host| host.state == HostState::Active).then_some(())
    })
    .await;
    let body = Fixture::compose("full", "services: {web: {image: 'nginx:1.29'}}");
    let begun: StackOperation = admin.post(&stacks, body).await.expect(202).json();
    let path = format!("/v1/environments/{environment}/operations/{}", begun.operation.id);
    let ended = eventually("the install ends", LATER, async || {
        let now: Operation = admin.get(&path).await.expect(200).json();
        now.finished_at.is_some().then_some(now)
    })
    .await;
    let error = ended.error.unwrap();
    assert_eq!(error.code, "disk_full", "{error:?}");
    assert!(error.message.contains("disk is full"), "{error:?}");
    assert_eq!(error.host.as_deref(), Some("local"));
}
