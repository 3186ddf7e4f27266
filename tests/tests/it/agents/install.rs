//! The three ways to start an agent that *Add host* shows, run as they are shown.

use std::process::Command;

use drover_api::CreatedRegistrationToken;
use drover_tests::{Docker, TestServer, active_host};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

struct Shown {
    server: TestServer,
    docker: Docker,
    environment: Uuid,
    commands: drover_api::AgentCommands,
    folder: TempDir,
}

impl Shown {
    async fn start() -> Self {
        let docker = Docker::start().await;
        let server = TestServer::builder().public().start().await;
        let environment = server.default_environment().await.id;
        let path = format!("/v1/environments/{environment}/registration-tokens");
        let new = json!({ "expires_in_hours": 1 });
        let made: CreatedRegistrationToken =
            server.admin().await.post(&path, new).await.expect(201).json();
        let folder = TempDir::with_prefix("drover-install-").unwrap();
        Self { server, docker, environment, commands: made.commands, folder }
    }

    /// Runs a script in the folder; what it prints and whether it ended well.
    fn run(&self, script: &str) -> (String, bool) {
        let output = Command::new("sh")
            .args(["-c", script])
            .current_dir(self.folder.path())
            .env("DOCKER_HOST", format!("unix://{}", self.docker.socket()))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&said).into_owned(), output.status.success())
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// What keeps an agent in the test's folder.
    fn options(&self) -> String {
        let (state, socket) = (self.path("state"), self.docker.socket());
        format!("--name node --state-dir {state} --docker-socket {socket}")
    }

    /// The same for the script, which installs a program as well.
    fn script_options(&self) -> String {
        format!("{} --dir {}", self.options(), self.path("program"))
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.folder.path().join("state/pid"));
        if let Some(pid) = pid.ok().and_then(|pid| pid.trim().parse::<u32>().ok()) {
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
    }
}

/// As root already: a test machine need not have it.
fn without_sudo(command: &str) -> String {
    command.replace("sudo ", "")
}

#[tokio::test]
async fn the_pasted_line() {
    let shown = Shown::start().await;
    let line = format!("{} {}", without_sudo(&shown.commands.script), shown.script_options());
    let (said, ok) = shown.run(&line);
    assert!(ok, "{said}");
    assert!(said.contains("Connected to"), "{said}");
    let admin = shown.server.admin().await;
    let host = active_host(&admin, shown.environment, "node").await;
    assert!(host.agent.unwrap().connected);
    // Again: a newer program, the same host.
    let (said, ok) = shown.run(&line);
    assert!(ok, "{said}");
    let again = active_host(&admin, shown.environment, "node").await;
    assert_eq!(again.id, host.id);
    // And away.
    let away = line.replace("--token", "--uninstall --token");
    let (said, ok) = shown.run(&away);
    assert!(ok && said.contains("the agent is removed"), "{said}");
    assert!(!shown.folder.path().join("state").exists());
}

#[tokio::test]
async fn a_changed_download_is_refused() {
    let shown = Shown::start().await;
    let base = shown.server.base();
    // As if something on the way had changed it.
    let script = format!(
        "curl -fsSL {base}/agent/install.sh | sed -E 's/sum=[0-9a-f]{{8}}/sum=00000000/' \
         | sh -s -- --token drvreg_x {}",
        shown.script_options()
    );
    let (said, ok) = shown.run(&script);
    assert!(!ok && said.contains("its checksum differs"), "{said}");
    assert!(!shown.folder.path().join("program/drover").exists());
}

#[tokio::test]
async fn the_binary_by_hand() {
    let shown = Shown::start().await;
    let command = without_sudo(&shown.commands.binary);
    // The last line runs until it is stopped.
    let options = shown.options();
    let command = format!(
        "set -e
{command} {options} --label from=hand >agent.log 2>&1 & echo $! >pid"
    );
    let (said, ok) = shown.run(&command);
    assert!(ok && said.contains("drover: OK"), "{said}");
    let host = active_host(&shown.server.admin().await, shown.environment, "node").await;
    assert_eq!(host.labels["from"], "hand");
    let pid = std::fs::read_to_string(shown.folder.path().join("pid")).unwrap();
    let _ = Command::new("kill").arg(pid.trim()).status();
}

#[tokio::test]
async fn the_agent_as_a_container() {
    let shown = Shown::start().await;
    let name = format!("drover-agent-{}", Uuid::new_v4().simple());
    let command = shown
        .commands
        .docker
        .replace("--name drover-agent", &format!("--name {name}"))
        .replace("drover-agent:/var/lib", &format!("{name}:/var/lib"))
        .replace("/var/run/docker.sock:", &format!("{}:", shown.docker.socket()));
    let (said, ok) = shown.run(&format!("{command} --name node"));
    let remove = || {
        shown.docker.try_run(&["rm", "--force", &name]);
        shown.docker.try_run(&["volume", "rm", &name]);
    };
    if !ok {
        remove();
        panic!("{said}");
    }
    let host = active_host(&shown.server.admin().await, shown.environment, "node").await;
    assert!(host.agent.unwrap().connected);
    let status = shown.docker.run(&["exec", &name, "/drover", "agent", "status"]);
    assert!(status.contains("Connected to"), "{status}");
    remove();
}
