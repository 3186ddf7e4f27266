//! Two replicas of the server on one database, behind a balancer that knows nothing.

use super::*;
use std::time::Instant;

use drover_api::{Container, List, PullMessage};
use drover_tests::{ADMIN, Client, LanAgent, Proxy, Shell, TestServer, eventually};
use serde_json::json;

/// How soon the agents of a replica that has died must be on another.
const MOVED: Duration = Duration::from_secs(10);

/// Two replicas, and agents that reach them through a balancer only.
struct Pair {
    site: Site,
    second: TestServer,
    /// The administrator at the second replica.
    admin: Client,
    balancer: Proxy,
}

impl Pair {
    async fn start(hosts: usize) -> Self {
        let mut site = Site::without_agents(hosts, |builder| builder).await;
        let second =
            TestServer::builder().replica_of(&site.server).listen(site.lan.address()).start().await;
        let addresses = [&site.server, &second].map(|server| server.base().replace("http://", ""));
        let targets: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let balancer = Proxy::start_with(site.lan.address(), &targets, Duration::ZERO).await;
        let token = site.registration_token().await;
        let base = format!("http://{}", balancer.address());
        for host in site.lan.hosts() {
            site.agents.push(LanAgent::start(host, &base, &token, &[]));
        }
        let browser = second.sign_in(ADMIN).await;
        let (_, admin) = second.key(&browser, None, None).await;
        let mut pair = Self { site, second, admin, balancer };
        pair.all_active(&pair.admin, LATER).await;
        // Whose turn it was when the agents came is chance: until each replica has a tunnel, one
        // of them comes again, and it is the other's turn.
        for _ in 0..4 {
            if pair.tunnels().await.len() == 2 {
                break;
            }
            let host = &pair.site.lan.hosts()[0];
            pair.site.agents[0].kill();
            pair.site.agents[0].start_again(host, &[]);
            tokio::time::sleep(Duration::from_secs(2)).await;
            pair.all_active(&pair.admin, LATER).await;
        }
        pair.all_active(&pair.site.admin, LATER).await;
        pair
    }

    /// Waits until a replica shows all hosts as active and their tunnels as open.
    async fn all_active(&self, client: &Client, limit: Duration) {
        let count = self.site.lan.hosts().len();
        eventually("all hosts are active", limit, async || {
            let hosts = self.site.hosts_by(client).await;
            let good = |host: &&Host| {
                host.state == HostState::Active && host.agent.as_ref().is_some_and(|a| a.connected)
            };
            (hosts.iter().filter(good).count() == count).then_some(())
        })
        .await;
    }

    fn bases(&self) -> [String; 2] {
        [self.site.server.base(), self.second.base()]
    }

    /// How many tunnels end on each replica, the busier one first.
    async fn tunnels(&self) -> Vec<i64> {
        let mut database = self.site.server.database().connect().await;
        sqlx::query_scalar("SELECT count(*) FROM tunnels GROUP BY replica_id ORDER BY 1 DESC")
            .fetch_all(&mut database)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_request_finds_the_tunnel_wherever_it_ends() {
    let pair = Pair::start(2).await;
    // There is one on each: whatever is asked below goes through a tunnel of the replica's own for
    // one host, and through the other replica for the other.
    assert_eq!(pair.tunnels().await, [1, 1]);
    let talk = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done";
    for (index, host) in pair.site.lan.hosts().iter().enumerate() {
        registry(host);
        let container = run(host, &[], &["drover-test/sleep:1", "sh", "-c", talk]);
        for (replica, base) in pair.bases().iter().enumerate() {
            let client = if replica == 0 { &pair.site.admin } else { &pair.admin };
            let shown = pair.site.hosts_by(client).await;
            let id = shown.iter().find(|shown| shown.name == host.name()).unwrap().id;
            let container = pair.site.path(&format!("hosts/{id}/containers/{container}"));
            eventually("the container is listed", SOON, async || {
                (client.get(&container).await.status == 200).then_some(())
            })
            .await;
            let all: List<Container> =
                client.get(&pair.site.path("containers")).await.expect(200).json();
            assert_eq!(all.total, index as u64 + 1);

            let token = &pair.site.token;
            let mut logs = Shell::open(base, token, &format!("{container}/logs/ws")).await;
            let first = logs.until("line ").await;
            // It follows.
            let number = number_of_lines(&first) + 3;
            logs.until(&format!("line {number}\"")).await;

            let mut shell = Shell::open(base, token, &format!("{container}/exec/ws")).await;
            shell.type_in("echo he''llo\n").await;
            shell.until("hello").await;

            let image = format!("127.0.0.1:5000/app:{replica}");
            let path = pair.site.path(&format!("hosts/{id}/images"));
            let answer = client.post(&path, json!({ "image": image })).await.expect(200);
            let last = answer.text.lines().last().unwrap();
            let last: PullMessage = serde_json::from_str(last).unwrap();
            assert!(matches!(last, PullMessage::Done { .. }), "{last:?}");
            host.docker().run(&["image", "inspect", &image]);
        }
    }
}

/// The newest line that a piece of the log shows.
fn number_of_lines(text: &str) -> u64 {
    let numbers = text.split("line ").skip(1).filter_map(|rest| {
        rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok())
    });
    numbers.max().unwrap()
}

/// Starts a registry on a host's loopback, with `app:0` and `app:1` in it and not on the engine.
fn registry(host: &LanHost) {
    let folder = host.folder().join("registry");
    let config = format!(
        "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: '127.0.0.1:5000' }}\n",
        folder.display()
    );
    let file = host.folder().join("registry.yml");
    std::fs::write(&file, config).unwrap();
    // It ends with the host.
    let words = ["docker-registry", "serve", file.to_str().unwrap()];
    std::mem::forget(host.spawn("registry.log", &words, &[]));
    let docker = host.docker();
    for (tag, image) in ["drover-test/web:1", "drover-test/web:2"].iter().enumerate() {
        let name = format!("127.0.0.1:5000/app:{tag}");
        docker.run(&["tag", image, &name]);
        let start = Instant::now();
        while !docker.try_run(&["push", &name]).status.success() {
            assert!(start.elapsed() < SOON, "the registry does not take an image");
            std::thread::sleep(Duration::from_millis(100));
        }
        docker.run(&["rmi", &name]);
    }
}

#[tokio::test]
async fn the_agents_of_a_killed_replica_are_on_another_within_ten_seconds() {
    let mut pair = Pair::start(3).await;
    let mut load = Vec::new();
    for host in pair.site.lan.hosts() {
        run(host, &[], &["drover-test/sleep:1"]);
    }
    // Readers at the replica that stays, while the other one is killed.
    for _ in 0..8 {
        let (client, path) = (pair.admin.clone(), pair.site.path("containers"));
        load.push(tokio::spawn(async move {
            loop {
                client.get(&path).await.expect(200);
            }
        }));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let killed = Instant::now();
    pair.site.server.kill();
    // Not by what the hosts look like: that the killed one is gone is noticed a moment later.
    eventually("all tunnels end on the other replica", MOVED, async || {
        (pair.tunnels().await == [3]).then_some(())
    })
    .await;
    println!("all agents are on the other replica after {:?}", killed.elapsed());
    pair.all_active(&pair.admin, SOON).await;
    // Each of them is of use.
    let hosts = pair.site.hosts_by(&pair.admin).await;
    for (host, shown) in pair.site.lan.hosts().iter().zip(&hosts) {
        let container = host.docker().run(&["ps", "--quiet", "--no-trunc"]);
        let path = pair.site.path(&format!("hosts/{}/containers/{container}", shown.id));
        let mut shell =
            Shell::open(&pair.second.base(), &pair.site.token, &format!("{path}/exec/ws")).await;
        shell.type_in("echo he''llo\n").await;
        shell.until("hello").await;
    }
    for reader in load {
        assert!(!reader.is_finished(), "a request has failed");
        reader.abort();
    }
    // When it is there again, the balancer brings it its share of those that come.
    pair.site.server.restart().await;
    pair.all_active(&pair.site.admin, SOON).await;
}

/// A machine without power answers nobody, and tells nobody that its connections are over.
#[tokio::test]
async fn the_agents_of_a_replica_without_power_are_on_another_within_ten_seconds() {
    let pair = Pair::start(2).await;
    let pid = pair.site.server.pid().to_string();
    let signal = |name: &str| {
        let status = std::process::Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    };
    let second = pair.second.base().replace("http://", "");
    let stopped = Instant::now();
    signal("STOP");
    // As balancers do, ours has noticed.
    pair.balancer.retarget(&[&second]);
    eventually("all tunnels end on the other replica", MOVED, async || {
        (pair.tunnels().await == [2]).then_some(())
    })
    .await;
    println!("all agents are on the other replica after {:?}", stopped.elapsed());
    pair.all_active(&pair.admin, SOON).await;
    signal("CONT");
    // What was thought to be lost and is not makes no trouble.
    pair.all_active(&pair.site.admin, SOON).await;
    assert_eq!(pair.tunnels().await, [2]);
}
