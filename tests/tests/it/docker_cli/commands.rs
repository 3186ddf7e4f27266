//! What people do all day.

use std::{fs::File, process::Stdio};

use drover_api::{AuditEntry, DockerContext, List, Role};
use tempfile::TempDir;

use super::{Fixture, run, write};

#[tokio::test]
async fn everyday_commands_work() {
    let fixture = Fixture::start().await;
    let grace = fixture.person(Role::Restricted).await;
    let (name, label) = (fixture.name("web"), fixture.label.as_str());

    let version = grace.docker(&["version", "--format", "{{.Server.APIVersion}}"]).await;
    assert!(version.starts_with("1."), "{version}");
    grace.docker(&["info", "--format", "{{.ServerVersion}}"]).await;
    let id = grace
        .docker(&[
            "run",
            "--detach",
            "--name",
            &name,
            "--label",
            label,
            "--env",
            "A=b",
            "drover-test/web:1",
        ])
        .await;
    assert_eq!(id.len(), 64);
    assert!(grace.docker(&["ps", "--no-trunc", "--quiet"]).await.contains(&id));
    assert_eq!(grace.docker(&["inspect", "--format", "{{.State.Running}}", &name]).await, "true");
    assert_eq!(grace.docker(&["exec", &name, "cat", "/www/index.html"]).await, "version 1");
    assert!(grace.docker(&["top", &name]).await.contains("httpd"));
    assert!(
        grace
            .docker(&["stats", "--no-stream", "--format", "{{.Name}}", &name])
            .await
            .contains(&name)
    );
    assert!(grace.docker(&["port", &name]).await.is_empty());
    grace.docker(&["restart", "--time", "0", &name]).await;
    grace.docker(&["rename", &name, &fixture.name("renamed")]).await;
    // Engines count events by seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let events = grace
        .docker(&[
            "events",
            "--since",
            "10m",
            "--until",
            "0s",
            "--filter",
            &format!("container={id}"),
            "--format",
            "{{.Action}}",
        ])
        .await;
    for action in ["create", "start", "rename"] {
        assert!(events.lines().any(|line| line == action), "{action}: {events}");
    }
    grace.docker(&["update", "--memory", "64m", "--memory-swap", "64m", &id]).await;
    grace.docker(&["pause", &id]).await;
    grace.docker(&["unpause", &id]).await;
    grace.docker(&["kill", &id]).await;
    assert_eq!(grace.docker(&["wait", &id]).await, "137");
    grace.docker(&["rm", &id]).await;
    let volume = fixture.name("data");
    grace.docker(&["volume", "create", "--label", label, &volume]).await;
    let mount = format!("{volume}:/data");
    let run = ["run", "--rm", "--label", label, "--volume", &mount, "drover-test/sleep:1"];
    grace.docker(&[&run[..], &["sh", "-c", "echo kept > /data/x"]].concat()).await;
    assert_eq!(grace.docker(&[&run[..], &["cat", "/data/x"]].concat()).await, "kept");
    // The exit code is the container's.
    let ended = grace.try_docker(&[&run[..], &["sh", "-c", "exit 7"]].concat()).await;
    assert_eq!(ended.status.code(), Some(7));
    grace.docker(&["volume", "rm", &volume]).await;

    let owner = fixture.person(Role::Owner).await;
    let audit = format!("/v1/environments/{}/audit?limit=200", fixture.environment);
    let entries: List<AuditEntry> = owner.client.get(&audit).await.expect(200).json();
    for action in [
        "docker.container.create",
        "docker.container.start",
        "docker.container.exec",
        "docker.container.remove",
        "docker.volume.create",
        "docker.container.rename",
    ] {
        let found = entries.items.iter().find(|entry| entry.action == action);
        let found = found.unwrap_or_else(|| panic!("{action} is not in the audit log"));
        assert!(found.actor.starts_with("restricted-"), "{found:?}");
        let kind = action.split('.').nth(1);
        assert_eq!(found.target_kind.as_deref(), kind, "{found:?}");
    }
}

#[tokio::test]
async fn files_are_copied_both_ways() {
    let fixture = Fixture::start().await;
    let grace = fixture.person(Role::Restricted).await;
    let name = fixture.name("files");
    grace
        .docker(&["create", "--name", &name, "--label", &fixture.label, "drover-test/sleep:1"])
        .await;
    let folder = TempDir::with_prefix("drover-files-").unwrap();
    let big: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(folder.path().join("big"), &big).unwrap();
    let source = folder.path().join("big").display().to_string();
    let back = folder.path().join("back").display().to_string();
    grace.docker(&["cp", &source, &format!("{name}:/tmp/big")]).await;
    grace.docker(&["cp", &format!("{name}:/tmp/big"), &back]).await;
    assert!(std::fs::read(&back).unwrap() == big, "what came back is not what was sent");

    // A stream in and a stream out: the end of standard input is seen.
    let archive = folder.path().join("archive.tar");
    let mut out = grace.command("docker");
    out.args(["cp", &format!("{name}:/tmp/big"), "-"]);
    out.stdout(File::create(&archive).unwrap());
    assert!(tokio::task::spawn_blocking(move || out.status().unwrap()).await.unwrap().success());
    let mut into = grace.command("docker");
    into.args(["cp", "-", &format!("{name}:/etc")]).stdin(File::open(&archive).unwrap());
    assert!(run(into).await.status.success());
    grace.docker(&["start", &name]).await;
    let mut exec = grace.command("docker");
    exec.args(["exec", "-i", &name, "cat"]).stdin(File::open(&source).unwrap());
    let output = run(exec).await;
    assert!(output.status.success() && output.stdout == big, "{} bytes", output.stdout.len());
    assert!(grace.docker(&["diff", &name]).await.contains("/tmp/big"));
    assert_eq!(grace.docker(&["exec", &name, "ls", "/etc/big"]).await, "/etc/big");
}

#[tokio::test]
async fn a_terminal_is_one() {
    let fixture = Fixture::start().await;
    let grace = fixture.person(Role::Restricted).await;
    let name = fixture.sleeper(&grace, "shell").await;
    // `script` gives it a terminal; what is typed comes after a while, as from a person.
    let terminal = async |command: String| {
        let mut script = grace.command("script");
        script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        tokio::task::spawn_blocking(move || {
            use std::io::Write;
            let mut child = script.spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            for line in [
                "while [ -z \"$(stty size 2>/dev/null)\" ]; do sleep 1; done; stty size\n",
                "echo typed $((40 + 2))\n",
                "exit 3\n",
            ] {
                std::thread::sleep(std::time::Duration::from_millis(1000));
                input.write_all(line.as_bytes()).unwrap();
            }
            child.wait_with_output().unwrap()
        })
        .await
        .unwrap()
    };
    for command in [
        format!("stty rows 33 cols 99; docker exec -it {name} sh"),
        format!(
            "stty rows 33 cols 99; docker run --rm -it --label {} drover-test/sleep:1 sh",
            fixture.label
        ),
    ] {
        let output = terminal(command.clone()).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("typed 42"), "{command}: {text}");
        assert!(text.contains("33 99"), "the size of the terminal: {command}: {text}");
        assert_eq!(output.status.code(), Some(3), "{command}: {text}");
    }
}

#[tokio::test]
async fn compose_brings_a_project_up_and_down() {
    let fixture = Fixture::start().await;
    let grace = fixture.person(Role::Member).await;
    let folder = TempDir::with_prefix("drover-compose-").unwrap();
    let project = format!("p{}", &fixture.label[fixture.label.len() - 10..]);
    let label = &fixture.label;
    write(
        folder.path(),
        "docker-compose.yml",
        &format!(
            "version: '3.7'\nservices:\n  web:\n    image: drover-test/web:1\n    labels: ['{label}']\n  built:\n    build: .\n    labels: ['{label}']\n    volumes: ['data:/data']\nvolumes:\n  data:\n    labels: ['{label}']\nnetworks:\n  default:\n    labels: ['{label}']\n"
        ),
    );
    write(folder.path(), "Dockerfile", "FROM drover-test/sleep:1\nRUN echo built > /www/built\n");
    let compose = async |arguments: &[&str]| {
        let mut command = grace.command("docker-compose");
        command.current_dir(folder.path()).args(["--project-name", &project]).args(arguments);
        let output = run(command).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "docker-compose {arguments:?}: {text}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    compose(&["up", "--detach", "--build"]).await;
    let running = fixture.docker.containers(&format!("com.docker.compose.project={project}"));
    assert_eq!(running.len(), 2);
    assert!(compose(&["ps"]).await.contains("Up"));
    assert!(compose(&["exec", "-T", "built", "cat", "/www/built"]).await.contains("built"));
    compose(&["logs"]).await;
    compose(&["down", "--volumes", "--rmi", "local"]).await;
    let left = fixture.docker.containers(&format!("com.docker.compose.project={project}"));
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_the_page_shows_works_as_it_is_pasted() {
    let fixture = Fixture::start().await;
    let grace = fixture.person(Role::Readonly).await;
    let path =
        format!("/v1/environments/{}/hosts/{}/docker-context", fixture.environment, fixture.host);
    let context: DockerContext = grace.client.get(&path).await.expect(200).json();
    assert_eq!(context.address, grace.address());
    let home = TempDir::with_prefix("drover-home-").unwrap();
    let bash = async |script: &str| {
        let mut command = grace.command("bash");
        command.args(["-ec", &script.replace(&context.key_placeholder, &grace.key.token)]);
        command.env("HOME", home.path()).env_remove("DOCKER_HOST").env_remove("DOCKER_CONFIG");
        let output = run(command).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{script}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    bash(&format!("{}docker info --format '{{{{.ID}}}}'", context.set_up)).await;
    assert!(bash(&context.use_it).await.contains("CONTAINER ID"));
    write(home.path(), "docker-compose.yml", "services:\n  web:\n    image: drover-test/web:1\n");
    let compose = context.compose.replace("up -d", "ps");
    bash(&format!("cd \"$HOME\"\n{compose}")).await;
    // The file with the key is for its owner alone.
    let folder = home.path().join(".docker/drover-local");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(folder.join("config.json")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}
