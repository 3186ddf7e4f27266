//! The tests' own network of hosts: that it is one, and that its bad days are bad.

use std::time::{Duration, Instant};

use drover_tests::{Lan, eventually};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(20);

/// Three engines in one swarm: containers on different hosts find each other by name, and a
/// published port is reached from another host and from here.
#[tokio::test]
async fn three_hosts_are_one_network() {
    let start = Instant::now();
    let lan = Lan::start(3).await;
    println!("three hosts within {:?}", start.elapsed());
    let [first, second, third] = lan.hosts() else { unreachable!() };
    let identity = |host: &drover_tests::LanHost| host.docker().run(&["info", "-f", "{{.ID}}"]);
    assert_ne!(identity(first), identity(second));
    assert_eq!(first.docker().run(&["info", "-f", "{{.Name}}"]), first.name());

    let address = first.address().to_string();
    first.docker().run(&["swarm", "init", "--advertise-addr", &address]);
    let token = first.docker().run(&["swarm", "join-token", "-q", "worker"]);
    for host in [second, third] {
        let own = host.address().to_string();
        let manager = format!("{address}:2377");
        let join = ["swarm", "join", "--advertise-addr", &own, "--token", &token, &manager];
        host.docker().run(&join);
    }
    let network = ["network", "create", "--driver", "overlay", "--attachable", "between"];
    first.docker().run(&network);
    let run = ["run", "--detach", "--network", "between"];
    let web = ["--name", "web", "--publish", "8080:8080", "drover-test/web:1"];
    third.docker().run(&[&run[..], &web].concat());
    second.docker().run(&[&run[..], &["--name", "client", "drover-test/sleep:1"]].concat());
    let ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc web 8080";
    eventually("the other host's container answers by name", SOON, async || {
        let output = second.docker().try_run(&["exec", "client", "sh", "-c", ask]);
        String::from_utf8_lossy(&output.stdout).contains("version 1").then_some(())
    })
    .await;

    TcpStream::connect((third.address(), 8080)).await.unwrap();
    let port = format!("/dev/tcp/{}/8080", third.address());
    first.run(&["bash", "-c", &format!("exec 3<>{port}")]);
}

/// A cut cable, lost packets and a closed firewall are what they say, and end; an engine that is
/// killed leaves its containers be, and one that is wiped is another one.
#[tokio::test]
async fn bad_days_are_bad_and_end() {
    let lan = Lan::start(2).await;
    let [first, second] = lan.hosts() else { unreachable!() };
    let here = lan.address().to_string();
    let ping = |count: &str| {
        let ping = ["busybox", "ping", "-q", "-i", "0.1", "-c", count, "-W", "1", &here];
        String::from_utf8(first.try_run(&ping).stdout).unwrap()
    };
    let lost = |report: &str| -> u32 {
        let percent = report.split(", ").find(|part| part.contains("packet loss"));
        // Without a link it says that it has no way, and nothing else.
        percent.map_or(100, |part| part.split('%').next().unwrap().trim().parse().unwrap())
    };
    assert_eq!(lost(&ping("3")), 0);
    lan.cut(0);
    assert_eq!(lost(&ping("2")), 100);
    lan.mend(0);
    eventually("the link is up", SOON, async || (lost(&ping("1")) == 0).then_some(())).await;
    lan.lose(0, 50);
    // Each way: three of four do not come back.
    let half = lost(&ping("40"));
    assert!((40..100).contains(&half), "{half} % of the packets are lost");
    lan.lose_nothing();
    assert_eq!(lost(&ping("3")), 0);

    let listener = tokio::net::TcpListener::bind((lan.address(), 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dial = format!("exec 3<>/dev/tcp/{here}/{port}");
    let dials = || first.try_run(&["timeout", "1", "bash", "-c", &dial]).status.success();
    assert!(dials());
    first.block();
    assert!(!dials());
    first.unblock();
    assert!(dials());

    let docker = second.docker();
    let id = docker.run(&["run", "--detach", "drover-test/sleep:1"]);
    let pid = docker.run(&["inspect", "--format", "{{.State.Pid}}", &id]);
    second.kill_dockerd();
    second.run(&["kill", "-0", &pid]);
    second.start_dockerd();
    let before = docker.run(&["info", "--format", "{{.ID}}"]);
    assert_eq!(docker.run(&["ps", "--all", "--quiet", "--no-trunc"]), id);
    second.wipe();
    assert_ne!(docker.run(&["info", "--format", "{{.ID}}"]), before);
    assert_eq!(docker.run(&["ps", "--all", "--quiet"]), "");
}
