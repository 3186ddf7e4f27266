//! Measures how fast and how small the server is, prints a Markdown table, and writes
//! `docs/performance.md`. `scripts/bench.sh` builds the release and starts what this needs.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

mod agents;
mod caller;
mod kubernetes;
mod sign_in;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use caller::Caller;
use drover_api::{Container, List, Operation, OperationState, StackOperation};
use drover_tests::{
    ADMIN, Browser, Client, Docker, FakeDocker, PASSWORD, TestServer, eventually, resident,
};
use serde_json::json;
use uuid::Uuid;

/// A line of the table.
struct Row {
    what: &'static str,
    goal: &'static str,
    measured: String,
    met: bool,
}

/// What can be measured by itself, in the order of the table.
const PARTS: [&str; 10] = [
    "start",
    "memory",
    "list",
    "death",
    "install",
    "agents",
    "kubernetes",
    "sign-in",
    "role-check",
    "load",
];

/// Measures the parts that the arguments name, or all.
#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|part| !PARTS.contains(&part.as_str())) {
        eprintln!("There is no part {unknown}: name some of {}.", PARTS.join(", "));
        std::process::exit(2);
    }
    let mut rows = Vec::new();
    for part in PARTS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == part) {
            let measured = measure(part).await;
            // Whoever waits sees what there is, should a later part fail.
            eprintln!("{}", table(&measured));
            rows.extend(measured);
        }
    }
    let table = table(&rows);
    println!("{table}");
    if wanted.is_empty() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
        std::fs::write(file, page(&table)).unwrap();
    }
}

async fn measure(part: &str) -> Vec<Row> {
    match part {
        "start" => vec![start_again().await, start_new().await],
        "memory" => vec![
            memory("Resident memory, 1 host with 20 containers", 20, 60.0, "< 60 MiB").await,
            memory("Resident memory, 10,000 containers", 10_000, 150.0, "< 150 MiB").await,
        ],
        "list" => list_of_containers().await.into(),
        "death" => vec![death_to_page().await],
        "install" => vec![install().await],
        "agents" => agents::rows().await,
        "kubernetes" => kubernetes::rows().await,
        "sign-in" => sign_in::rows().await,
        "role-check" => vec![sign_in::role_check()],
        "load" => first_load().await.into(),
        _ => unreachable!("main has looked"),
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from("| what | goal | measured | met |\n| --- | --- | --- | --- |\n");
    for Row { what, goal, measured, met } in rows {
        let met = if *met { "yes" } else { "**no**" };
        text += &format!("| {what} | {goal} | {measured} | {met} |\n");
    }
    text
}

fn page(table: &str) -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|line| line.starts_with("model name")).unwrap_or_default();
    let model = model.split_once(": ").map_or("an unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().unwrap();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: f64 = memory.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0.0);
    let date = time::OffsetDateTime::now_utc().date();
    format!(
        "# Performance\n\nMeasured with `make bench` on {date}: release build, {cores} cores of \
         {model}, {:.0} GiB of memory. The load generator, PostgreSQL and the Docker Engine run on \
         the same cores.\n\n{table}\n\
         - Starts: from the process' start to the first 200 of `/readyz`, asked every few \
         milliseconds.\n\
         - Memory: `VmRSS` ten seconds after all containers are listed. The containers are made up, \
         by a stand-in for the Docker Engine's API; the server's code is the real one.\n\
         - The list: a page of 100 of 10,000 containers, filtered and sorted by name, `wrk -t2 -c50`, \
         with an API key and the check of its role.\n\
         - Death: a process is killed in a container of a real Docker Engine; until the open list \
         of containers in Chromium shows it.\n\
         - Through the tunnel: `/docker/hosts/{{id}}` of a server, whose host is the tests' engine by \
         an agent, against the same engine's socket, by the same client in the same run, by turns. \
         The stream is timed from its first byte to its last, as the engine collects an image before \
         it sends it. Server, agent, engine and client share the cores, so that every step on the \
         way costs throughput.\n\
         - A key's echo: one key each 20 ms in `cat` in a shell with a terminal, from the key until \
         the terminal shows it.\n\
         - 1,000 agents: the agents' own code in the measuring process, each with a key, a tunnel and \
         a made-up Docker API; memory and CPU of the server alone. A killed server is started at \
         once; until the list of hosts shows all as active and that of containers all 10,000.\n\
         - Kubernetes: a made-up API server (`tests/kubernetes`) in the measuring process: 10,000 \
         pods as a real cluster tells them (7.5 KiB each), 1,000 Deployments and ReplicaSets, 1,000 \
         Services, ConfigMaps, Secrets and Ingresses, and 100 changed pods a second all the while. \
         Known: from the import until lists of all these types are complete; by a new server and a \
         new cluster each time. Memory: `VmRSS` of the server, without what it had before the \
         import; 10 s after all is known.\n\
         - Its pages: `wrk -t2 -c50`, filtered by status and text, sorted by restarts, with an API \
         key; the API server's list of all pods by one client on a warm connection, by the same \
         program. Made-up answers cost that server next to nothing: a real one needs longer.\n\
         - Its changes: a pod's status is patched at the API server, until the open list of a \
         namespace in Chromium shows it; the environment is the whole cluster, so that all the \
         other changes are told to the page as well.\n\
         - Through `/k8s/clusters/{{id}}`: plain HTTP to Drover and TLS from there, against TLS to \
         the API server, by the same client in the same run; lists by turns, from the request to \
         the last byte. Watches: of the pods of one namespace each, of which 5 change in a second.\n\
         - Sign-in: a real slapd with 10,000 people and 1,000 groups, 200 on each of 5 levels, by \
         LDAPS. At 1 user, 200 people whose groups are all others' sign in one after the other, by \
         turns through `POST /v1/session` and by the same requests (the person, the bind, the \
         groups level by level) straight to slapd on warm connections; the difference of the \
         medians.\n\
         - 200 sign-ins a second: 4,000 people whom Drover has not seen before, one every 5 ms for \
         20 s whether those before are done or not; latency from when it was due. Memory: `VmRSS` \
         before, and its highest, read every 100 ms.\n\
         - Refresh: from `POST /v1/identity-providers/{{id}}/refresh` until no account is left to \
         be read and the last one is written down.\n\
         - Role check: rule, caller by API key, role, permission and the state of the environment, \
         as for each request; the 500 groups of a person in slapd have roles in 10 environments. \
         Measured with divan, in `tests/benches/role_check.rs`.\n\
         - First load: every answer that Chromium got until the sign-in form took text, bodies as \
         they came (brotli), in a fresh profile.\n\
         - Interactive: from the start of the navigation until the form's fields are there.\n",
        kib / 1024.0 / 1024.0
    )
}

/// The value below which `percent` of them lie.
fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent).div_ceil(100).max(1) - 1]
}

/// How much longer a request takes on the second way than on the first, by the medians.
async fn beyond(what: &'static str, callers: &[Caller; 2], path: &str, runs: usize) -> Row {
    let mut medians = Vec::new();
    for caller in callers {
        medians.push(percentile(&mut caller.latencies(path, runs).await, 50));
    }
    let more = medians[1] - medians[0];
    Row {
        what,
        goal: "≤ 1 ms",
        measured: format!(
            "{more:.2} ms (median {:.2} ms against {:.2} ms, {runs} requests)",
            medians[1], medians[0]
        ),
        met: more <= 1.0,
    }
}

/// The second way's rate against the first one's, by the medians.
fn ratio(
    what: &'static str,
    goal: &'static str,
    limit: f64,
    unit: &str,
    rates: [Vec<f64>; 2],
) -> Row {
    let [straight, through] = rates.map(|mut rates| percentile(&mut rates, 50));
    let ratio = through / straight;
    Row {
        what,
        goal,
        measured: format!("{ratio:.2} × (median {through:.0}{unit} against {straight:.0}{unit})"),
        met: ratio >= limit,
    }
}

fn times(what: &'static str, goal: &'static str, limit: f64, values: &mut [f64]) -> Row {
    let (median, p99) = (percentile(values, 50), percentile(values, 99));
    let measured = format!("median {median:.2} s, p99 {p99:.2} s ({} runs)", values.len());
    Row { what, goal, measured, met: p99 < limit }
}

async fn start_again() -> Row {
    let mut server = TestServer::start().await;
    server.admin().await;
    let mut values = Vec::new();
    for _ in 0..20 {
        assert!(server.stop().await);
        let start = Instant::now();
        server.restart().await;
        values.push(start.elapsed().as_secs_f64());
    }
    times("Start with an existing database", "< 1 s", 1.0, &mut values)
}

async fn start_new() -> Row {
    let mut values = Vec::new();
    for _ in 0..7 {
        let start = Instant::now();
        let server = TestServer::builder().private_database().start().await;
        values.push(start.elapsed().as_secs_f64());
        drop(server);
    }
    times("Start with a new private database", "< 6 s", 6.0, &mut values)
}

/// A server whose first host has this many made-up containers, all of them listed.
async fn with_containers(count: usize) -> (TestServer, FakeDocker, Uuid) {
    let socket =
        std::env::temp_dir().join(format!("drover-bench-{}.sock", Uuid::new_v4().simple()));
    let engine = FakeDocker::start(&socket, count);
    let server = TestServer::builder().set("DROVER_DOCKER_SOCKET", &socket).start().await;
    let environment = server.default_environment().await.id;
    let admin = server.admin().await;
    let path = format!("/v1/environments/{environment}/containers?limit=1");
    eventually("all containers are listed", Duration::from_secs(60), async || {
        let list: List<Container> = admin.get(&path).await.expect(200).json();
        (list.total == count as u64).then_some(())
    })
    .await;
    (server, engine, environment)
}

async fn memory(what: &'static str, count: usize, limit: f64, goal: &'static str) -> Row {
    let (server, _engine, _) = with_containers(count).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mib = resident(server.pid());
    Row { what, goal, measured: format!("{mib:.0} MiB"), met: mib < limit }
}

async fn list_of_containers() -> [Row; 2] {
    let (server, _engine, environment) = with_containers(10_000).await;
    let (key, client) = server.key(&server.admin().await, None, None).await;
    let path = format!(
        "/v1/environments/{environment}/containers?limit=100&sort=-name&state=running&q=service"
    );
    let list: List<Container> = client.get(&path).await.expect(200).json();
    assert_eq!((list.items.len(), list.total), (100, 9000));
    let Load { median, p99, rate } = at_50_connections(&server, &key.token, &path);
    [
        Row {
            what: "List of containers at 50 connections, latency",
            goal: "p99 < 10 ms",
            measured: format!("median {median:.2} ms, p99 {p99:.2} ms"),
            met: p99 < 10.0,
        },
        Row {
            what: "List of containers at 50 connections, rate",
            goal: "> 5,000/s",
            measured: format!("{rate:.0}/s"),
            met: rate > 5000.0,
        },
    ]
}

/// What a server answers under load; ms, and requests a second.
struct Load {
    median: f64,
    p99: f64,
    rate: f64,
}

/// Asks for a path over 50 connections, by `wrk` with an API key.
fn at_50_connections(server: &TestServer, token: &str, path: &str) -> Load {
    let wrk = |seconds: &str| {
        let mut command = Command::new("wrk");
        command.args(["-t2", "-c50", "-d", seconds, "--latency", "-H"]);
        command.arg(format!("Authorization: Bearer {token}"));
        command.arg(format!("{}{path}", server.base()));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    wrk("2s");
    let report = wrk("15s");
    assert!(!report.contains("Non-2xx"), "{report}");
    let word = |name: &str| {
        let line = report.lines().map(str::trim).find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap()
    };
    Load {
        median: milliseconds(word("50%")),
        p99: milliseconds(word("99%")),
        rate: word("Requests/sec:").parse().unwrap(),
    }
}

/// wrk writes `412.00us`, `8.31ms` or `1.20s`; divan `µs`, and `ns` as well.
fn milliseconds(text: &str) -> f64 {
    let split = text.find(char::is_alphabetic).unwrap();
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().unwrap();
    match unit {
        "ns" => number / 1_000_000.0,
        "us" | "µs" => number / 1000.0,
        "ms" => number,
        _ => number * 1000.0,
    }
}

/// From the end of a container's process to the change in an open list of containers.
async fn death_to_page() -> Row {
    let docker = Docker::start().await;
    let server = TestServer::builder().docker().start().await;
    let environment = server.default_environment().await.id;
    let label = format!("drover-bench={}", Uuid::new_v4());
    let browser = signed_in(&server).await;
    let page = format!("{}/environments/{environment}/containers?q=bench-death", server.base());
    browser.open(&page).await;
    let mut values = Vec::new();
    for n in 0..40 {
        let name = format!("bench-death-{n}");
        let run = ["run", "--detach", "--network=none", "--label", &label, "--name", &name];
        let id = docker.run(&[run.as_slice(), &["drover-test/sleep:1"]].concat());
        let pid = docker.run(&["inspect", "--format", "{{.State.Pid}}", &id]);
        watch(&browser, &name, &["Running", "Exited"]).await;
        shown(&browser, "Running").await;
        let killed = now();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        values.push(shown(&browser, "Exited").await - killed);
        docker.run(&["rm", &id]);
    }
    browser.close().await;
    docker.clean(&label);
    on_the_page("From a container's death to the change on the page", "p95 < 500 ms", 500.0, values)
}

fn on_the_page(what: &'static str, goal: &'static str, limit: f64, mut values: Vec<f64>) -> Row {
    let (median, p95) = (percentile(&mut values, 50), percentile(&mut values, 95));
    let p99 = percentile(&mut values, 99);
    Row {
        what,
        goal,
        measured: format!(
            "median {median:.0} ms, p95 {p95:.0} ms, p99 {p99:.0} ms ({} runs)",
            values.len()
        ),
        met: p95 < limit,
    }
}

/// A browser in which the administrator is signed in.
async fn signed_in(server: &TestServer) -> Browser {
    let browser = Browser::start().await;
    browser.open(&server.base()).await;
    browser.fill("input[name=login]", ADMIN).await;
    browser.fill("input[name=password]", PASSWORD).await;
    browser.click("button[type=submit]").await;
    browser.find("nav").await;
    browser
}

/// Milliseconds since the Unix epoch, as the page counts them.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1000.0
}

/// Has the page note when the row of that name first shows each of these texts.
async fn watch(browser: &Browser, name: &str, texts: &[&str]) {
    let texts = serde_json::to_string(texts).unwrap();
    browser.run(&WATCH.replace("NAME", name).replace("TEXTS", &texts)).await;
}

/// When it did.
async fn shown(browser: &Browser, text: &str) -> f64 {
    let script = format!("return window.shown['{text}'] ?? null");
    eventually(text, Duration::from_secs(20), async || browser.run(&script).await.as_f64()).await
}

const WATCH: &str = "
window.shown = {};
window.watcher?.disconnect();
const look = () => {
    const rows = [...document.querySelectorAll('[role=row], tr')];
    const text = rows.find(row => row.innerText.includes('NAME'))?.innerText ?? '';
    for (const wanted of TEXTS) {
        if (text.includes(wanted)) window.shown[wanted] ??= Date.now();
    }
};
window.watcher = new MutationObserver(look);
window.watcher.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
look();";

const STACK: &str = "\
services:
  front:
    image: drover-test/web:1
    depends_on: [back]
  back:
    image: drover-test/web:1
    depends_on: [store]
  store:
    image: drover-test/sleep:1
    volumes: [data:/data]
volumes:
  data: {}
";

/// The same three containers, by turns through Drover and through `docker-compose`.
async fn install() -> Row {
    let docker = Docker::start().await;
    let server = TestServer::builder().docker().start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    let base = format!("/v1/environments/{environment}");
    eventually("the host is active", Duration::from_secs(20), async || {
        let hosts = admin.get(&format!("{base}/hosts")).await.expect(200).value();
        (hosts["items"][0]["state"] == "active").then_some(())
    })
    .await;
    let folder = server.folder().join("compose");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("docker-compose.yml"), format!("version: '3.8'\n{STACK}")).unwrap();

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for n in 0..10 {
        let start = Instant::now();
        compose(&docker, &folder, &["up", "-d"]);
        theirs.push(start.elapsed().as_secs_f64());
        compose(&docker, &folder, &["down", "--volumes", "--timeout", "0"]);

        let source = json!({ "kind": "compose", "compose": STACK });
        let new = json!({ "name": format!("bench-{n}"), "source": source });
        let start = Instant::now();
        let answer = admin.post(&format!("{base}/stacks"), new).await.expect(202);
        let made: StackOperation = answer.json();
        finished(&admin, &base, made.operation.id).await;
        ours.push(start.elapsed().as_secs_f64());
        let path = format!("{base}/stacks/{}?volumes=true", made.stack.id);
        let answer = admin.delete(&path).await.expect(202);
        let removal: StackOperation = answer.json();
        finished(&admin, &base, removal.operation.id).await;
    }
    let (ours, theirs) = (percentile(&mut ours, 50), percentile(&mut theirs, 50));
    let ratio = ours / theirs;
    Row {
        what: "Install of a three-container stack, against `docker-compose up -d`",
        goal: "≤ 1.3 ×",
        measured: format!("{ratio:.2} × (median {ours:.2} s against {theirs:.2} s, 10 runs each)"),
        met: ratio <= 1.3,
    }
}

fn compose(docker: &Docker, folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("docker-compose");
    command.current_dir(folder).env("DOCKER_HOST", format!("unix://{}", docker.socket()));
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn finished(client: &Client, base: &str, operation: Uuid) {
    let path = format!("{base}/operations/{operation}");
    loop {
        let now: Operation = client.get(&path).await.expect(200).json();
        if now.state.is_final() {
            assert_eq!(now.state, OperationState::Succeeded, "{now:?}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The sign-in page in browsers that have never seen it: all that it fetches, and when its form
/// takes text.
async fn first_load() -> [Row; 2] {
    let server = TestServer::start().await;
    server.admin().await;
    let (mut sizes, mut ready) = (Vec::new(), Vec::new());
    let mut files = 0;
    for _ in 0..10 {
        let browser = Browser::start().await;
        browser.open(&server.base()).await;
        let form =
            "return document.querySelector('input[type=password]') ? performance.now() : null";
        let limit = Duration::from_secs(20);
        let at = eventually("the sign-in page", limit, async || browser.run(form).await.as_f64());
        ready.push(at.await / 1000.0);
        let fetched = browser.run(FETCHED).await;
        sizes.push(fetched["bytes"].as_f64().unwrap() / 1024.0);
        files = fetched["files"].as_u64().unwrap();
        browser.close().await;
    }
    let largest = percentile(&mut sizes, 100);
    let size = Row {
        what: "First load, compressed",
        goal: "< 700 KiB",
        measured: format!("{largest:.0} KiB in {files} answers"),
        // Without the app there is nothing to load.
        met: largest < 700.0 && files >= 4,
    };
    [size, times("Sign-in page interactive, cold browser", "< 1.5 s", 1.5, &mut ready)]
}

/// What the page has fetched so far, bodies as they came.
const FETCHED: &str = "
const all = ['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind));
const bytes = all.reduce((sum, entry) => sum + entry.encodedBodySize, 0);
return { bytes, files: all.length };";
