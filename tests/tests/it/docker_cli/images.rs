//! Images: built, saved, loaded, pushed and pulled.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
};

use drover_api::Role;
use drover_tests::eventually;
use serde_json::json;
use tempfile::TempDir;

use super::{Fixture, SOON, run, write};

#[tokio::test]
async fn images_are_built_and_tagged() {
    let fixture = Fixture::start().await;
    let grace = fixture.person(Role::Restricted).await;
    let folder = TempDir::with_prefix("drover-build-").unwrap();
    write(
        folder.path(),
        "Dockerfile",
        "FROM drover-test/sleep:1\nARG WORD\nCOPY file /www/file\nRUN echo $WORD >> /www/file\n",
    );
    write(folder.path(), "file", "copied\n");
    let (tag, context) = (fixture.name("built"), folder.path().display().to_string());
    let build = ["build", "--label", &fixture.label, "--build-arg", "WORD=argued", "--tag", &tag];
    let output = grace.docker(&[&build[..], &[context.as_str()]].concat()).await;
    assert!(output.contains("Successfully tagged"), "{output}");
    let ran = grace.docker(&["run", "--rm", &tag, "cat", "/www/file"]).await;
    assert_eq!(ran, "copied\nargued");
    let other = format!("{tag}:other");
    grace.docker(&["tag", &tag, &other]).await;
    grace.docker(&["image", "rm", &tag, &other]).await;

    for (option, word) in [
        ("--network=host", "networkmode"),
        ("--security-opt=seccomp=unconfined", "securityopt"),
        ("--cgroup-parent=/x", "cgroupparent"),
    ] {
        let said = grace.refused(&[&build[..], &[option, context.as_str()]].concat()).await;
        assert!(said.contains(word) && said.contains("could take over the host"), "{said}");
    }
}

#[tokio::test]
async fn a_big_image_is_saved_and_loaded_without_being_held() {
    let fixture = Fixture::start().await;
    let grace = fixture.person(Role::Restricted).await;
    let folder = TempDir::with_prefix("drover-big-").unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    // Random: nothing on the way can make it smaller.
    let status = Command::new("dd")
        .args(["if=/dev/urandom", "bs=1M", "count=192"])
        .arg(format!("of={}", root.join("noise").display()))
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    let archive = folder.path().join("root.tar");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".");
    assert!(tar.status().unwrap().success());
    let tag = fixture.name("big");
    let before = peak_memory(fixture.server.pid());
    grace.docker(&["import", archive.to_str().unwrap(), &tag]).await;
    let id = grace.docker(&["image", "inspect", "--format", "{{.Id}}", &tag]).await;
    let saved = folder.path().join("saved.tar").display().to_string();
    grace.docker(&["save", "--output", &saved, &tag]).await;
    grace.docker(&["image", "rm", &tag]).await;
    grace.docker(&["load", "--input", &saved]).await;
    assert_eq!(grace.docker(&["image", "inspect", "--format", "{{.Id}}", &tag]).await, id);
    grace.docker(&["image", "rm", &tag]).await;
    let grown = peak_memory(fixture.server.pid()).saturating_sub(before);
    assert!(grown < 64 << 10, "the server has grown by {grown} KiB");
}

/// The most memory that a process has had, KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A registry on loopback that wants a name and a password.
struct Registry {
    process: Child,
    port: u16,
    _folder: TempDir,
}

const PASSWORD: &str = "a registry's own password";
/// Its bcrypt hash.
const PASSWORD_HASH: &str = "$2y$05$abcdefghijklmnopqrstuOwDHXMG0CdWP9ANvtyne/mXh106NY/vW";

impl Registry {
    async fn start() -> Self {
        let folder = TempDir::with_prefix("drover-registry-").unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        write(folder.path(), "htpasswd", &format!("pusher:{PASSWORD_HASH}\n"));
        let at = folder.path().display();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: '{at}/data'}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\nauth: {{htpasswd: {{realm: test, path: '{at}/htpasswd'}}}}\n"
        );
        write(folder.path(), "config.yml", &config);
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(folder.path().join("config.yml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        eventually("the registry listens", SOON, async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Self { process, port, _folder: folder }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn images_are_pushed_and_pulled_with_the_credentials_of_the_environment() {
    let fixture = Fixture::start().await;
    let grace = fixture.person(Role::Restricted).await;
    let registry = Registry::start().await;
    let address = format!("127.0.0.1:{}", registry.port);
    let tag = format!("{address}/team/app:1");
    grace.docker(&["tag", "drover-test/sleep:1", &tag]).await;
    let said = grace.refused(&["push", &tag]).await;
    assert!(said.contains("no basic auth credentials") || said.contains("unauthorized"), "{said}");

    let path = format!("/v1/environments/{}/registries", fixture.environment);
    let credentials = json!({"address": address, "username": "pusher", "password": PASSWORD});
    grace.client.post(&path, credentials).await.expect(201);
    grace.docker(&["push", &tag]).await;
    grace.docker(&["image", "rm", &tag]).await;
    grace.docker(&["pull", &tag]).await;
    // By docker-compose's library, too.
    let folder = TempDir::with_prefix("drover-pull-").unwrap();
    write(folder.path(), "docker-compose.yml", &format!("services:\n  app:\n    image: {tag}\n"));
    grace.docker(&["image", "rm", &tag]).await;
    let mut compose = grace.command("docker-compose");
    compose.current_dir(folder.path()).arg("pull");
    let output = run(compose).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    grace.docker(&["image", "rm", &tag]).await;

    // The caller's own credentials count more, wrong ones too.
    let mut login = grace.command("docker");
    login.args(["login", "--username", "pusher", "--password-stdin", &address]);
    let word = TempDir::with_prefix("drover-word-").unwrap();
    write(word.path(), "word", PASSWORD);
    login.stdin(File::open(word.path().join("word")).unwrap());
    let output = run(login).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let wrong = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE,
        json!({"username": "pusher", "password": "wrong"}).to_string(),
    );
    let pull = fixture.host_path(&format!("/images/create?fromImage={address}/team/app&tag=1"));
    let request = grace.client.request(reqwest::Method::POST, &pull);
    let answer = grace.client.send(request.header("x-registry-auth", wrong)).await;
    assert!(answer.status != 200 || answer.text.contains("error"), "{}", answer.text);
}
