//! Cables, clocks, clones and kills.

use super::*;
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Instant,
};

use drover_api::{Container, List, Stack};
use drover_tests::{Builder, LanAgent, Proxy, Shell, eventually, other_clock};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long a host may take to be back once its way to the server is there again: the longest
/// pause between two tries, and what comes before and after it.
const BACK: Duration = Duration::from_secs(25);

async fn answers(shell: &mut Shell, word: &str) {
    // What is typed is shown too: the quotes are not in the answer.
    shell.type_in(&format!("echo {}''{}\n", &word[..1], &word[1..])).await;
    shell.until(word).await;
}

#[tokio::test]
async fn a_cable_that_is_out_for_five_seconds_is_soon_forgotten() {
    let site = Site::start(1).await;
    let host = &site.lan.hosts()[0];
    let container = run(host, &[], &["drover-test/sleep:1"]);
    let life_before = life(host, &container);
    let before = only(&site).await;
    let mut shell = site.shell(&before, &container).await;
    answers(&mut shell, "first").await;
    site.lan.cut(0);
    tokio::time::sleep(Duration::from_secs(5)).await;
    site.lan.mend(0);
    let mended = Instant::now();
    // Whether the shell lives depends on when TCP tries again: it doubles its pauses. At the
    // latest, when both ends have given the tunnel up, there is a new one.
    shell.type_in("echo sec''ond\n").await;
    let same = shell.shows("second").await;
    let after = only(&site).await;
    assert!(mended.elapsed() < BACK, "{:?}", mended.elapsed());
    assert_eq!(same, tunnel(&after) == tunnel(&before), "a shell lives as long as its tunnel");
    answers(&mut site.shell(&after, &container).await, "third").await;
    assert_eq!(life(host, &container), life_before);
}

#[tokio::test]
async fn a_cable_that_is_out_for_five_minutes_is_shown_and_forgotten() {
    let site = Site::start(1).await;
    let host = &site.lan.hosts()[0];
    let text = "services: {web: {image: 'drover-test/web:1', ports: ['8080:8080'], deploy: {replicas: 1}}}";
    site.install("shop", text).await;
    let names = site.running(host);
    let life_before = life(host, &names[0]);
    let before = only(&site).await;
    let cut = Instant::now();
    site.lan.cut(0);
    site.host_when("node-1", "away", Duration::from_secs(15), |host| {
        host.state == HostState::Reconnecting
            && host.reason.as_ref().is_some_and(|why| why.contains("drover agent status"))
    })
    .await;
    // What the server last knew is shown still.
    let path = site.path("containers");
    let list: List<Container> = site.admin.get(&path).await.expect(200).json();
    assert_eq!(list.total, 1);
    let said = eventually("the agent notices", SOON, async || {
        let (good, said) = LanAgent::status(host);
        (!good).then_some(said)
    })
    .await;
    assert!(said.contains("Not connected"), "{said}");
    assert!(said.contains("Docker answers"), "{said}");

    tokio::time::sleep(Duration::from_secs(300).saturating_sub(cut.elapsed())).await;
    assert_eq!(site.host_in("node-1", HostState::Reconnecting).await.id, before.id);
    site.lan.mend(0);
    let after =
        site.host_when("node-1", "back", BACK, |host| host.state == HostState::Active).await;
    assert_ne!(tunnel(&after), tunnel(&before));
    assert_eq!(site.running(host), names);
    assert_eq!(life(host, &names[0]), life_before);
    let (good, said) = LanAgent::status(host);
    assert!(good && said.contains("Connected"), "{said}");
}

#[tokio::test]
async fn a_bad_line_is_slow_and_works() {
    let mut site = Site::without_agents(1, |builder| builder).await;
    // There is no way to have the kernel delay packets everywhere, so a proxy does.
    let server = site.server.base().replace("http://", "");
    let delay = Duration::from_millis(300);
    let line = Proxy::start_with(site.lan.address(), &[&server], delay).await;
    let host = &site.lan.hosts()[0];
    site.lan.lose(0, 30);
    let token = site.registration_token().await;
    site.agents.push(LanAgent::start(host, &format!("http://{}", line.address()), &token, &[]));
    site.host_when("node-1", "active", LATER, |host| host.state == HostState::Active).await;

    let text = "services: {web: {image: 'drover-test/web:1', deploy: {replicas: 2}}}";
    site.install("shop", text).await;
    let names = site.running(host);
    assert_eq!(names.len(), 2, "{names:?}");

    let shown = site.host_when("node-1", "active", LATER, |h| h.state == HostState::Active).await;
    let mut shell = site.shell(&shown, &names[0]).await;
    answers(&mut shell, "slow").await;
    // And when the line is good again, so is everything.
    site.lan.lose_nothing();
    let mut shell = site.shell(&only(&site).await, &names[0]).await;
    answers(&mut shell, "quick").await;
}

#[tokio::test]
async fn an_engine_that_is_restarted_or_killed_is_back_by_itself() {
    let site = Site::start(1).await;
    let host = &site.lan.hosts()[0];
    let before = only(&site).await;
    for harm in [LanHost::stop_dockerd, LanHost::kill_dockerd] {
        harm(host);
        let away = site
            .host_when("node-1", "away", SOON, |host| host.state == HostState::Reconnecting)
            .await;
        // The agent is there, and says what is not.
        assert_eq!(tunnel(&away), tunnel(&before));
        let away = site
            .host_when("node-1", "explained", SOON, |host| {
                host.reason.as_ref().is_some_and(|why| why.contains("running?"))
            })
            .await;
        assert!(away.agent.unwrap().connected);
        let (good, said) = LanAgent::status(host);
        assert!(!good && said.contains("Docker does not answer"), "{said}");
        host.start_dockerd();
        let back = only(&site).await;
        assert_eq!(tunnel(&back), tunnel(&before));
        run(host, &[], &["drover-test/sleep:1"]);
    }
    // What was started after each of them is seen.
    eventually("both containers are listed", SOON, async || {
        let list: List<Container> =
            site.admin.get(&site.path("containers")).await.expect(200).json();
        (list.total == 2).then_some(())
    })
    .await;
}

/// Asks a container again and again, and counts the questions and those that got no answer.
struct Questions {
    asked: Arc<AtomicU32>,
    failed: Arc<AtomicU32>,
    over: Arc<AtomicBool>,
}

impl Questions {
    fn to(host: &LanHost, port: u16) -> Self {
        let address = (host.address(), port);
        let this = Self { asked: Arc::default(), failed: Arc::default(), over: Arc::default() };
        let (asked, failed) = (this.asked.clone(), this.failed.clone());
        let over = this.over.clone();
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let ask = async {
                    let mut stream = TcpStream::connect(address).await?;
                    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
                    let mut text = String::new();
                    stream.read_to_string(&mut text).await?;
                    Ok::<_, std::io::Error>(text)
                };
                let good = timeout(Duration::from_secs(5), ask).await;
                let good = matches!(good, Ok(Ok(text)) if text.contains("version 1"));
                asked.fetch_add(1, Ordering::Relaxed);
                failed.fetch_add(u32::from(!good), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        this
    }

    /// How many there were, and how many were not answered.
    fn end(self) -> (u32, u32) {
        self.over.store(true, Ordering::Relaxed);
        (self.asked.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn containers_notice_neither_agents_nor_servers_that_end() {
    let mut site = Site::start(1).await;
    let text = "services: {web: {image: 'drover-test/web:1', ports: ['8080:8080']}}";
    site.install("shop", text).await;
    let name = site.running(&site.lan.hosts()[0])[0].clone();
    let life_before = life(&site.lan.hosts()[0], &name);
    let before = only(&site).await;
    let port = 8080;
    eventually("the container answers", SOON, async || {
        TcpStream::connect((site.lan.hosts()[0].address(), port)).await.ok()
    })
    .await;
    let questions = Questions::to(&site.lan.hosts()[0], port);

    // Killed, and told to end: either way the server knows soon, and the same host is back.
    for harm in ["KILL", "TERM"] {
        let agent = site.agents[0].process();
        agent.signal(harm);
        agent.wait(Duration::from_secs(10));
        site.host_when("node-1", "away", Duration::from_secs(5), |host| {
            host.state == HostState::Reconnecting
                && host.reason.as_ref().is_some_and(|why| why.contains("drover agent status"))
        })
        .await;
        let (good, said) = LanAgent::status(&site.lan.hosts()[0]);
        assert!(!good && said.contains("Not running"), "{said}");
        site.agents[0].start_again(&site.lan.hosts()[0], &[]);
        let back = only(&site).await;
        assert_eq!(back.id, before.id);
        assert_eq!(site.hosts().await.len(), 1);
    }
    // A server that is killed, and one that is replaced as by an upgrade.
    site.server.restart().await;
    assert_eq!(only(&site).await.id, before.id);
    assert!(site.server.stop().await);
    let (good, said) = eventually("the agent notices", SOON, async || {
        let (good, said) = LanAgent::status(&site.lan.hosts()[0]);
        (!good).then_some((good, said))
    })
    .await;
    assert!(!good && said.contains("Not connected"), "{said}");
    site.server.restart().await;
    assert_eq!(only(&site).await.id, before.id);

    let (asked, failed) = questions.end();
    assert!(asked > 20 && failed == 0, "{failed} of {asked} questions were not answered");
    assert_eq!(life(&site.lan.hosts()[0], &name), life_before);
}

const SHOP: &str = r#"
services:
  web: { image: "drover-test/web:1", stop_grace_period: 0s, deploy: { replicas: 4, update_config: { parallelism: 2, monitor: 0s, order: ORDER } } }
"#;

#[tokio::test]
async fn a_server_killed_in_the_middle_of_work_on_agents_ends_in_the_same_place() {
    let mut site = Site::start(2).await;
    let wanted: Vec<String> = (1..=4).map(|n| format!("shop-web-{n}")).collect();
    let everywhere = |site: &Site| -> Vec<(String, String)> {
        let mut all = Vec::new();
        for host in site.lan.hosts() {
            let filter = format!("label=io.drover.environment={}", site.environment);
            let format = ["ps", "--all", "--format", "{{.Names}} {{.Image}}", "--filter", &filter];
            let text = host.docker().run(&format);
            all.extend(text.lines().filter_map(|line| {
                line.split_once(' ').map(|(name, image)| (name.to_owned(), image.to_owned()))
            }));
        }
        all.sort();
        all
    };
    let mut stack: Option<Stack> = None;
    for (round, pause) in [100, 300, 600, 1200].into_iter().enumerate() {
        let image = format!("drover-test/web:{}", 1 + round % 2);
        let order = if round % 2 == 0 { "stop-first" } else { "start-first" };
        let text = SHOP.replace("drover-test/web:1", &image).replace("ORDER", order);
        let begun = match &stack {
            None => site.begin("shop", &text).await,
            Some(stack) => {
                let path = site.path(&format!("stacks/{}", stack.id));
                site.admin.put(&path, json!({ "compose": text })).await.expect(202).json()
            }
        };
        stack = Some(begun.stack);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        site.server.restart().await;
        site.succeeds(begun.operation.id).await;
        let found = everywhere(&site);
        // One that took another's place has a part of its spec behind its name.
        let names = found.iter().map(|(name, _)| name.chars().take("shop-web-1".len()).collect());
        assert_eq!(names.collect::<Vec<String>>(), wanted, "after round {round}");
        assert!(found.iter().all(|(_, now)| *now == image), "{found:?} after round {round}");
    }

    // A drain: everything ends up on the other host, once.
    let leaving = site.host_in("node-1", HostState::Active).await;
    let path = site.path(&format!("hosts/{}", leaving.id));
    site.admin.patch(&path, json!({ "mode": "draining" })).await.expect(200);
    for pause in [200, 700] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        site.server.restart().await;
    }
    let [first, second] = site.lan.hosts() else { unreachable!() };
    eventually("all of it is on the other host", LATER, async || {
        (site.running(first).is_empty() && site.running(second).len() == 4).then_some(())
    })
    .await;
    let names = everywhere(&site).into_iter();
    let names = names.map(|(name, _)| name.chars().take("shop-web-1".len()).collect());
    assert_eq!(names.collect::<HashSet<String>>(), wanted.into_iter().collect());
}

#[tokio::test]
async fn a_clock_that_is_an_hour_off_is_no_reason() {
    // The server's is an hour ahead of the database and the engines, and the agents' are as far
    // off either way of that.
    let ahead = other_clock(1);
    let mut site = Site::without_agents(2, |builder: Builder| {
        ahead.iter().fold(builder, |builder, (name, value)| builder.set(name, value))
    })
    .await;
    let token = site.registration_token().await;
    let base = site.server.base();
    for (host, hours) in site.lan.hosts().iter().zip([2, -1]) {
        let clock = other_clock(hours);
        let clock: Vec<(&str, &str)> = clock.iter().map(|(n, v)| (*n, v.as_str())).collect();
        site.agents.push(LanAgent::start_with(host, &base, &token, &[], &clock));
    }
    for host in site.lan.hosts() {
        site.host_in(host.name(), HostState::Active).await;
    }
    let text = "services: {web: {image: 'drover-test/web:1', deploy: {mode: global}, command: [sh, -c, 'while :; do echo tick; sleep 1; done']}}";
    site.install("shop", text).await;
    for host in site.lan.hosts() {
        let shown = site.host_in(host.name(), HostState::Active).await;
        let name = site.running(host)[0].clone();
        let mut shell = site.shell(&shown, &name).await;
        answers(&mut shell, "hello").await;
        // New lines of the log come, although they seem to be of another hour.
        let logs = site.path(&format!("hosts/{}/containers/{name}/logs/ws", shown.id));
        let mut logs = Shell::open(&base, &site.token, &logs).await;
        for _ in 0..3 {
            logs.until("tick").await;
        }
        site.host_when(host.name(), "measured", SOON, |host| {
            host.usage.as_ref().is_some_and(|usage| usage.machine.is_some())
        })
        .await;
        let (good, said) = LanAgent::status(host);
        assert!(good, "{said}");
    }
    // And it lives through a break.
    site.server.restart().await;
    for host in site.lan.hosts() {
        site.host_in(host.name(), HostState::Active).await;
    }
}

#[tokio::test]
async fn a_clone_is_refused_and_shown() {
    let mut site = Site::without_agents(2, |builder| builder).await;
    let token = site.registration_token().await;
    let base = site.server.base();
    let [first, second] = site.lan.hosts() else { unreachable!() };
    site.agents.push(LanAgent::start(first, &base, &token, &[]));
    let original = site.host_in("node-1", HostState::Active).await;

    // The disk of one machine, with the agent's key on it, in another one.
    let disk = first.run(&["sh", "-c", "cd /var/lib && tar -c drover-agent | base64 -w0"]);
    let unpack = r#"cd /var/lib && echo "$1" | base64 -d | tar -x"#;
    second.run(&["sh", "-c", unpack, "unpack", &disk]);
    site.agents.push(LanAgent::start(second, &base, &token, &[]));
    let shown = site
        .host_when("node-1", "known to be cloned", SOON, |host| {
            host.agent.as_ref().is_some_and(|agent| agent.clone.is_some())
        })
        .await;
    let clone = shown.agent.as_ref().unwrap().clone.clone().unwrap();
    assert_eq!((clone.hostname.as_str(), clone.address), ("node-2", second.address().to_string()));
    assert_eq!(shown.state, HostState::Active);
    let said = eventually("the clone says so", SOON, async || {
        let (good, said) = LanAgent::status(second);
        assert!(!good, "{said}");
        said.contains("Refused").then_some(said)
    })
    .await;
    for word in ["node-1", "cloned", "token of its own"] {
        assert!(said.contains(word), "{said}");
    }
    // It never had the original's place.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(tunnel(&site.host_in("node-1", HostState::Active).await), tunnel(&original));
    assert_eq!(site.hosts().await.len(), 1);

    // What the words say helps.
    site.agents[1].kill();
    second.run(&["rm", "-r", "/var/lib/drover-agent"]);
    site.agents[1].start_again(second, &[]);
    let other = site.host_in("node-2", HostState::Active).await;
    assert_ne!(other.id, original.id);
    assert_eq!(tunnel(&site.host_in("node-1", HostState::Active).await), tunnel(&original));
}
