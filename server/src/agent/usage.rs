//! What the machine uses, from the kernel's own counters: a few small files every few seconds.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use drover_api::MachineUsage;
use tokio::io::AsyncWriteExt;

use crate::tunnel::{ContainersUsage, Measured, mux::MuxStream};

/// The pause between measurements.
const PAUSE: Duration = Duration::from_secs(5);
/// The first one needs two readings: let it come soon.
const FIRST: Duration = Duration::from_millis(500);

/// Tells measurements until the stream ends.
pub(super) async fn tell(disk: &Path, mut stream: MuxStream) -> io::Result<()> {
    let mut before = Reading::take();
    let mut pause = FIRST;
    loop {
        tokio::time::sleep(std::mem::replace(&mut pause, PAUSE)).await;
        let now = Reading::take();
        let mut line = serde_json::to_vec(&measure(&before, &now, disk))?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        stream.flush().await?;
        before = now;
    }
}

fn measure(before: &Reading, now: &Reading, disk: &Path) -> Measured {
    let seconds = now.at.duration_since(before.at).as_secs_f64().max(0.001);
    let rate = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
    let (used, total) = disk_of(disk);
    Measured {
        machine: MachineUsage {
            cpu: rate(before.busy_us, now.busy_us) / 1e6,
            memory: now.memory,
            disk: used,
            disk_total: total,
            received: rate(before.received, now.received),
            sent: rate(before.sent, now.sent),
            load: now.load,
        },
        containers: before.containers.zip(now.containers).map(|(before, now)| ContainersUsage {
            cpu: rate(before.0, now.0) / 1e6,
            memory: now.1,
        }),
    }
}

/// What the kernel's counters say at one moment.
struct Reading {
    at: Instant,
    /// CPU time that was not idle, of all cores, microseconds.
    busy_us: u64,
    /// Bytes.
    memory: u64,
    /// Bytes since boot, over all cards but the loopback and those of containers.
    received: u64,
    sent: u64,
    load: [f64; 3],
    /// CPU time in microseconds, and memory in bytes, of all containers together.
    containers: Option<(u64, u64)>,
}

impl Reading {
    fn take() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (received, sent) = network(&read("/proc/net/dev"));
        Self {
            at: Instant::now(),
            busy_us: busy(&read("/proc/stat")),
            memory: memory(&read("/proc/meminfo")),
            received,
            sent,
            load: load(&read("/proc/loadavg")),
            containers: containers(),
        }
    }
}

/// The first line of `/proc/stat` (proc(5)): user, nice, system, idle, iowait, irq, softirq, steal,
/// in hundredths of a second.
fn busy(stat: &str) -> u64 {
    let Some(line) = stat.lines().find(|line| line.starts_with("cpu ")) else { return 0 };
    let ticks = line.split_whitespace().skip(1).take(8).map(|n| n.parse().unwrap_or(0));
    let busy: u64 =
        ticks.enumerate().filter(|(at, _)| !matches!(at, 3 | 4)).map(|(_, n)| n).sum::<u64>();
    busy * 10_000
}

/// Total without what is available, bytes.
fn memory(meminfo: &str) -> u64 {
    let field = |name: &str| -> u64 {
        meminfo
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or_default()
    };
    field("MemTotal:").saturating_sub(field("MemAvailable:")) * 1024
}

/// Bytes received and sent. What containers send leaves by a card of the machine too, and must not
/// be counted twice.
fn network(dev: &str) -> (u64, u64) {
    const INNER: [&str; 6] = ["lo", "veth", "docker", "br-", "vxlan", "virbr"];
    dev.lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| !INNER.iter().any(|inner| name.trim().starts_with(inner)))
        .map(|(_, counters)| {
            let counters: Vec<u64> =
                counters.split_whitespace().map(|n| n.parse().unwrap_or(0)).collect();
            let at = |at: usize| counters.get(at).copied().unwrap_or_default();
            (at(0), at(8))
        })
        .fold((0, 0), |sum, card| (sum.0 + card.0, sum.1 + card.1))
}

fn load(loadavg: &str) -> [f64; 3] {
    let mut found = [0.0; 3];
    for (place, text) in found.iter_mut().zip(loadavg.split_whitespace()) {
        *place = text.parse().unwrap_or_default();
    }
    found
}

/// In use and in all, bytes, as `df` counts.
fn disk_of(path: &Path) -> (u64, u64) {
    let Ok(found) = rustix::fs::statvfs(path) else { return (0, 0) };
    let block = found.f_frsize;
    ((found.f_blocks - found.f_bfree) * block, found.f_blocks * block)
}

/// The control group that Docker puts all containers under: with its own driver `docker`, for
/// control groups of version 2 or 1. With systemd's driver each container has a scope of its own.
fn containers() -> Option<(u64, u64)> {
    let root = Path::new("/sys/fs/cgroup");
    if let Some(found) = group_v2(&root.join("docker")) {
        return Some(found);
    }
    let slice = root.join("system.slice");
    if root.join("cgroup.controllers").exists() && slice.exists() {
        let scopes = fs::read_dir(slice).ok()?.flatten().map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("docker-") && name.ends_with(".scope")
        });
        return Some(scopes.filter_map(|scope| group_v2(&scope)).fold((0, 0), add));
    }
    group_v1(root)
}

fn add(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    (a.0 + b.0, a.1 + b.1)
}

fn group_v2(group: &Path) -> Option<(u64, u64)> {
    let cpu = field(&group.join("cpu.stat"), "usage_usec")?;
    let all: u64 = number(&group.join("memory.current"))?;
    let droppable = field(&group.join("memory.stat"), "inactive_file").unwrap_or_default();
    Some((cpu, all.saturating_sub(droppable)))
}

fn group_v1(root: &Path) -> Option<(u64, u64)> {
    let cpu = number(&root.join("cpuacct/docker/cpuacct.usage"))? / 1000;
    let memory = root.join("memory/docker");
    let all: u64 = number(&memory.join("memory.usage_in_bytes"))?;
    let droppable = field(&memory.join("memory.stat"), "total_inactive_file").unwrap_or_default();
    Some((cpu, all.saturating_sub(droppable)))
}

fn number(path: &PathBuf) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn field(path: &PathBuf, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let stat = "cpu  100 5 50 1000 20 1 2 3 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy(stat), 161 * 10_000);
        let meminfo = "MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 400 kB\n";
        assert_eq!(memory(meminfo), 600 * 1024);
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 100 1 0 0 0 0 0 0 50 1\nveth1: 7 0 0 0 0 0 0 0 7 0\n";
        assert_eq!(network(dev), (100, 50));
        assert_eq!(load("0.50 1.25 2.00 1/100 999"), [0.5, 1.25, 2.0]);
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        assert_eq!(busy(""), 0);
        assert_eq!(memory(""), 0);
        assert_eq!(network("rubbish"), (0, 0));
        assert_eq!(load(""), [0.0; 3]);
        assert_eq!(group_v2(Path::new("/nowhere")), None);
    }
}
