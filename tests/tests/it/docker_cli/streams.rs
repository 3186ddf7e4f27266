//! What stays open: it ends with the right to it, and carries bytes both ways.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use axum::http::Method;
use drover_api::Role;
use drover_tests::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Fixture, Person, SOON};

/// Runs `docker` and answers its first line of output, and how long it then runs on.
async fn first_line_then_end(
    person: &Person,
    arguments: &[&str],
    after: impl AsyncFnOnce(),
) -> (String, Duration) {
    let mut command = person.command("docker");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Kept open: a shell must not end by itself.
    let _input = child.stdin.take();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        (line, output)
    });
    let (line, _output) = line.await.unwrap();
    after().await;
    let start = Instant::now();
    eventually("docker ends", SOON, async || child.try_wait().unwrap()).await;
    (line, start.elapsed())
}

#[tokio::test]
async fn logs_and_shells_end_with_the_key_or_the_role() {
    let fixture = Fixture::start().await;
    let name = fixture.name("talks");
    let grace = fixture.person(Role::Restricted).await;
    let talk = "while true; do echo said; sleep 1; done";
    let run = ["run", "--detach", "--name", &name, "--label", &fixture.label];
    grace.docker(&[&run[..], &["drover-test/sleep:1", "sh", "-c", talk]].concat()).await;

    let key = format!("/v1/api-keys/{}", grace.key.key.id);
    let (line, after) = first_line_then_end(&grace, &["logs", "-f", &name], async || {
        grace.browser.delete(&key).await.expect(204);
    })
    .await;
    assert_eq!(line.trim(), "said");
    assert!(after < Duration::from_secs(5), "{after:?}");
    let said = grace.refused(&["ps"]).await;
    assert!(said.contains("Drover needs an API key"), "{said}");

    let hopper = fixture.person(Role::Restricted).await;
    let users = fixture.server.admin().await.get("/v1/users?limit=100").await.value();
    let me = hopper.browser.get("/v1/session").await.value();
    let user =
        users["items"].as_array().unwrap().iter().find(|u| u["id"] == me["user"]["id"]).unwrap();
    let principal = user["principal_id"].as_str().unwrap();
    let members = format!("/v1/environments/{}/members", fixture.environment);
    let shell = ["exec", "-i", &name, "sh", "-c", "echo said; cat"];
    let (line, after) = first_line_then_end(&hopper, &shell, async || {
        // Readonly may see, but has no shell.
        let member = serde_json::json!({"principal_id": principal, "role": "readonly"});
        fixture.server.admin().await.put(&members, member).await.expect(204);
    })
    .await;
    assert_eq!(line.trim(), "said");
    assert!(after < Duration::from_secs(5), "{after:?}");
    hopper.docker(&["ps"]).await;
}

#[tokio::test]
async fn old_clients_get_their_output_as_a_body() {
    let fixture = Fixture::start().await;
    let grace = fixture.person(Role::Restricted).await;
    let name = fixture.sleeper(&grace, "old").await;
    let exec = fixture.host_path(&format!("/containers/{name}/exec"));
    let body = serde_json::json!({"AttachStdout": true, "AttachStdin": true, "Tty": true, "Cmd": ["sh", "-c", "cat; echo end"]});
    let made = grace.client.post(&exec, body).await.expect(201).value();
    let start = fixture.host_path(&format!("/exec/{}/start", made["Id"].as_str().unwrap()));
    let body = serde_json::json!({"Detach": false, "Tty": true});
    let answer =
        tokio::time::timeout(SOON, grace.client.post(&start, body)).await.unwrap().expect(200);
    assert!(answer.text.contains("end") || answer.text.is_empty(), "{}", answer.text);
    let attach = fixture.host_path(&format!("/containers/{name}/attach?stream=1&stdin=1"));
    let answer = grace.client.send(grace.client.request(Method::POST, &attach)).await;
    assert!(answer.expect(426).text.contains("Upgrade"));
}

#[tokio::test]
async fn heads_and_continues_are_as_the_engine_gives_them() {
    let fixture = Fixture::start().await;
    let grace = fixture.person(Role::Readonly).await;
    let ping = fixture.host_path("/_ping");
    let answer = grace.client.send(grace.client.request(Method::HEAD, &ping)).await.expect(200);
    for header in ["api-version", "docker-experimental", "ostype", "server"] {
        assert!(answer.header(header).is_some(), "{header}: {answer:?}");
    }
    assert_eq!(grace.client.get(&ping).await.expect(200).text, "OK");
    // Nothing of an engine is told to nobody; the answer is in Docker's words.
    let nobody = fixture.server.client().get(&ping).await.expect(401);
    assert!(nobody.value()["message"].as_str().unwrap().contains("DOCKER_CONFIG"), "{nobody:?}");
    // A browser's session is no key.
    let browser = grace.browser.get(&ping).await.expect(401);
    assert!(browser.value()["message"].is_string());
    // gzip is what Go's client asks for: the engine's answers stay as they are.
    let list = fixture.host_path("/images/json");
    let request = grace.client.request(Method::GET, &list).header("accept-encoding", "gzip, br");
    let answer = grace.client.send(request).await.expect(200);
    assert_eq!(answer.header("content-encoding"), None);

    let restricted = fixture.person(Role::Restricted).await;
    let address = fixture.server.base().replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/x-tar\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        fixture.host_path("/images/load"),
        restricted.key.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut buffer = [0; 64];
    let read = tokio::time::timeout(SOON, stream.read(&mut buffer)).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
    assert!(text.starts_with("HTTP/1.1 100"), "{text}");
    stream.write_all(b"junk").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&rest).contains("HTTP/1.1 "), "the engine has answered");
}
