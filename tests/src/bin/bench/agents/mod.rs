//! Agents and their tunnels: what they cost beside the same API on its own socket, a thousand of
//! them at once, and a key's way through a tunnel that is full.

mod thousand;

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use drover_tests::{
    Client, Docker, Shell, TestServer, active_host, eventually, registration_token, resident,
};
use uuid::Uuid;

use crate::{Row, beyond, caller::Caller, percentile, ratio};

/// The image that flows: all of it random, so that nothing on the way can make it smaller.
const BIG: &str = "drover-bench/big:1";
const BIG_BYTES: u64 = 1 << 30;

pub async fn rows() -> Vec<Row> {
    let site = Site::start().await;
    let mut rows = vec![stream(&site).await, ping(&site).await];
    rows.extend(rates(&site).await);
    rows.push(echo(&site).await);
    rows.extend(agent_alone(&site).await);
    drop(site);
    rows.extend(thousand::rows().await);
    rows
}

/// A server, and the tests' engine as a host of it, by an agent.
struct Site {
    agent: Child,
    server: TestServer,
    docker: Docker,
    admin: Client,
    token: String,
    environment: Uuid,
    host: Uuid,
    label: String,
}

impl Site {
    async fn start() -> Self {
        let docker = Docker::start().await;
        let server = TestServer::start().await;
        let browser = server.admin().await;
        let (key, admin) = server.key(&browser, None, None).await;
        let environment = server.default_environment().await.id;
        let secret = registration_token(&admin, environment).await;
        let state = server.folder().join("agent");
        let log = std::fs::File::create(server.folder().join("agent-log")).unwrap();
        let agent = Command::new(std::env::var_os("DROVER_BIN").unwrap())
            .args(["agent", "--server", &server.base(), "--token", &secret])
            .args(["--name", "bench", "--docker-socket", docker.socket(), "--state-dir"])
            .arg(&state)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let host = active_host(&admin, environment, "bench").await;
        let label = format!("drover-bench={}", Uuid::new_v4());
        let site = Self {
            agent,
            server,
            docker,
            admin,
            token: key.token,
            environment,
            host: host.id,
            label,
        };
        site.make_big();
        site
    }

    fn make_big(&self) {
        let folder = self.server.folder().join("big");
        std::fs::create_dir(&folder).unwrap();
        let archive = self.server.folder().join("big.tar");
        let script = format!(
            "head -c {BIG_BYTES} /dev/urandom >{0}/random && tar -C {0} -cf {1} random && rm {0}/random",
            folder.display(),
            archive.display()
        );
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        self.docker.run(&["import", archive.to_str().unwrap(), BIG]);
        std::fs::remove_file(archive).unwrap();
    }

    fn direct(&self) -> Caller {
        Caller::Socket(self.docker.socket().to_owned())
    }

    fn tunnelled(&self) -> Caller {
        Caller::Server {
            address: self.server.base().replace("http://", ""),
            prefix: format!("/docker/hosts/{}", self.host),
            token: self.token.clone(),
        }
    }

    fn run(&self, image_and_command: &[&str]) -> String {
        let run = ["run", "--detach", "--network=none", "--label", &self.label];
        self.docker.run(&[&run[..], image_and_command].concat())
    }

    async fn shell(&self, container: &str) -> Shell {
        let environment = self.environment;
        let path =
            format!("/v1/environments/{environment}/hosts/{}/containers/{container}", self.host);
        eventually("the container is listed", Duration::from_secs(20), async || {
            (self.admin.get(&path).await.status == 200).then_some(())
        })
        .await;
        Shell::open(&self.server.base(), &self.token, &format!("{path}/exec/ws")).await
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
        self.server.kill();
        self.docker.clean(&self.label);
        self.docker.try_run(&["rmi", BIG]);
    }
}

/// MiB a second of the big image, from the answer's first byte to its last, by turns.
async fn stream(site: &Site) -> Row {
    let path = format!("/images/get?names={BIG}");
    let (direct, tunnelled) = (site.direct(), site.tunnelled());
    // The first one has the file in memory for the others.
    direct.stream(&path).await;
    let (mut straight, mut through) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        for (caller, rates) in [(&direct, &mut straight), (&tunnelled, &mut through)] {
            let (bytes, took) = caller.stream(&path).await;
            assert!(bytes > BIG_BYTES, "{bytes} bytes");
            rates.push(bytes as f64 / 1024.0 / 1024.0 / took.as_secs_f64());
        }
    }
    ratio(
        "`docker save` of 1 GiB through an agent's tunnel, against the engine's own socket",
        "≥ 0.8 ×",
        0.8,
        " MiB/s",
        [straight, through],
    )
}

async fn ping(site: &Site) -> Row {
    let callers = [site.direct(), site.tunnelled()];
    let what = "`GET /_ping` through the tunnel, beyond the socket's own time";
    beyond(what, &callers, "/_ping", 2000).await
}

async fn rates(site: &Site) -> [Row; 2] {
    for _ in 0..20 {
        site.run(&["drover-test/sleep:1"]);
    }
    let row = async |what, path| {
        let (mut straight, mut through) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            straight.push(site.direct().rate(path, 50, Duration::from_secs(5)).await);
            through.push(site.tunnelled().rate(path, 50, Duration::from_secs(5)).await);
        }
        ratio(what, "≥ 0.6 ×", 0.6, "/s", [straight, through])
    };
    [
        row(
            "`GET /containers/json` at 50 connections through the tunnel (20 containers)",
            "/containers/json",
        )
        .await,
        row("`GET /_ping` at 50 connections through the tunnel", "/_ping").await,
    ]
}

/// Keys in a shell while the big image flows through the same tunnel, again and again.
async fn echo(site: &Site) -> Row {
    let quiet = site.run(&["drover-test/sleep:1"]);
    let mut shell = site.shell(&quiet).await;
    shell.type_in("cat\n").await;
    shell.until("cat").await;
    let mut idle = keys(&mut shell, 100).await;
    let tunnelled = site.tunnelled();
    let flow = tokio::spawn(async move {
        let mut all = 0;
        loop {
            all += tunnelled.stream(&format!("/images/get?names={BIG}")).await.0;
            if all > 3 * BIG_BYTES {
                return all;
            }
        }
    });
    // The engine collects the image before it sends it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut values = Vec::new();
    while !flow.is_finished() {
        values.extend(keys(&mut shell, 20).await);
    }
    let (before, median) = (percentile(&mut idle, 50), percentile(&mut values, 50));
    let p95 = percentile(&mut values, 95);
    Row {
        what: "A key's echo in a shell while `docker save` of 1 GiB flows through the same tunnel",
        goal: "p95 < 30 ms",
        measured: format!(
            "median {median:.1} ms, p95 {p95:.1} ms ({} keys; {before:.1} ms without)",
            values.len()
        ),
        met: p95 < 30.0,
    }
}

/// Presses keys as a quick typist does; from each until it is shown, ms.
async fn keys(shell: &mut Shell, count: u8) -> Vec<f64> {
    let mut values = Vec::new();
    for n in 0..count {
        let key = char::from(b'a' + n % 26).to_string();
        let start = Instant::now();
        shell.type_in(&key).await;
        shell.until(&key).await;
        values.push(start.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    values
}

/// The agent of a host with some twenty containers, when nobody asks for anything.
async fn agent_alone(site: &Site) -> [Row; 2] {
    // All that was done before is over.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let pid = site.agent.id();
    let (before, start) = (cpu_seconds(pid), Instant::now());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let percent = (cpu_seconds(pid) - before) / start.elapsed().as_secs_f64() * 100.0;
    let mib = resident(pid);
    [
        Row {
            what: "Resident memory of an agent whose host runs 20 containers, after all of the above",
            goal: "< 15 MiB",
            measured: format!("{mib:.1} MiB"),
            met: mib < 15.0,
        },
        Row {
            what: "CPU of that agent when nobody asks, over a minute",
            goal: "< 1 % of a core",
            measured: format!("{percent:.2} %"),
            met: percent < 1.0,
        },
    ]
}

/// The CPU time that a process has used (proc(5), `stat`, fields 14 and 15, in hundredths).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}
