//! Many streams through one tunnel: a big one never starves a small one.

use super::*;
use std::time::Instant;

use drover_tests::Shell;

/// How long a key may take to be shown, nineteen times of twenty, while the tunnel is full: this
/// build is not optimised, and other tests run. `make bench` measures the real thing.
const ECHO: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_shell_does_not_wait_for_a_flood() {
    let site = Site::start(1).await;
    let host = &site.lan.hosts()[0];
    // Writes as fast as it is read.
    let flood =
        "while :; do echo 0123456789012345678901234567890123456789012345678901234567890; done";
    let small = ["--log-opt", "max-size=50m"];
    let loud = run(host, &small, &["drover-test/sleep:1", "sh", "-c", flood]);
    let quiet = run(host, &[], &["drover-test/sleep:1"]);
    let shown = only(&site).await;
    let mut shell = site.shell(&shown, &quiet).await;
    shell.type_in("cat\n").await;
    shell.until("cat").await;

    // Three that read all of it, and one that reads nothing at all.
    let path = site.path(&format!("hosts/{}/containers/{loud}/logs/ws", shown.id));
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut logs = Shell::open(&site.server.base(), &site.token, &path).await;
        readers.push(tokio::spawn(async move {
            let mut bytes = 0;
            while let Some(message) = logs.next().await {
                bytes += message.len();
                if bytes > 4 << 20 {
                    return bytes;
                }
            }
            bytes
        }));
    }
    let _stuck = Shell::open(&site.server.base(), &site.token, &path).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut times = Vec::new();
    for n in 0..60 {
        let key = char::from(b'a' + n % 26).to_string();
        let start = Instant::now();
        shell.type_in(&key).await;
        shell.until(&key).await;
        times.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    times.sort();
    let p95 = times[times.len() * 95 / 100];
    println!("a key is shown after {:?}, nineteen times of twenty within {p95:?}", times[30]);
    assert!(p95 < ECHO, "{p95:?}");
    // The flood was one.
    for reader in readers {
        let bytes = tokio::time::timeout(LATER, reader).await.unwrap().unwrap();
        assert!(bytes > 4 << 20, "{bytes} bytes");
    }
}
