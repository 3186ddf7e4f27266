//! What is in use on a host: CPU and memory of its containers every few seconds, disk every few
//! minutes, and a short history of it.
//!
//! Each round measures at most [`SAMPLE`] containers, a few at a time; on bigger hosts the rounds
//! take turns, and the sum is scaled up from those that were measured. So the cost for an engine is
//! the same whatever it runs.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::Duration,
};

use drover_api::{Change, ContainerState, Endpoint, Event, HostUsage, MachineUsage, Topic};
use futures_util::{StreamExt, stream};
use time::OffsetDateTime;
use tokio_util::codec::{FramedRead, LinesCodec};

use super::{
    LiveHost,
    driver::{Docker, stream::RawStats},
    lock, stats,
};
use crate::{
    app::App,
    tunnel::{Measured, Target},
};

/// The pause between rounds.
const ROUND: Duration = Duration::from_secs(5);
/// The pause between looks at the disk, which are dear.
const DISK_ROUND: Duration = Duration::from_secs(300);
/// The most containers that one round measures.
const SAMPLE: usize = 64;
/// How many at a time.
const AT_ONCE: usize = 4;
/// The longest line of an agent's measurements.
const LONGEST_LINE: usize = 4096;
/// A quarter of an hour of rounds.
const KEPT: usize = 180;

/// What was in use lately.
#[derive(Default)]
pub struct History {
    rounds: Mutex<VecDeque<HostUsage>>,
    disk: Mutex<Option<u64>>,
}

impl History {
    /// The newest measurement.
    pub fn newest(&self) -> Option<HostUsage> {
        lock(&self.rounds).back().cloned()
    }

    /// All that is kept, oldest first.
    pub fn all(&self) -> Vec<HostUsage> {
        lock(&self.rounds).iter().cloned().collect()
    }

    fn push(&self, cpu: f64, memory: u64, machine: Option<MachineUsage>) -> HostUsage {
        let disk = *lock(&self.disk);
        let at = OffsetDateTime::now_utc().into();
        let usage = HostUsage { at, cpu, memory, disk, machine };
        let mut rounds = lock(&self.rounds);
        if rounds.len() == KEPT {
            rounds.pop_front();
        }
        rounds.push_back(usage.clone());
        usage
    }
}

/// Measures a connected host until it is aborted.
pub(super) async fn measure(app: App, host: Arc<LiveHost>, docker: Docker) {
    if host.row().endpoint == Endpoint::Agent {
        tokio::join!(hear_agent(&app, &host, &docker), measure_disk(&host, &docker));
    } else {
        tokio::join!(measure_containers(&app, &host, &docker, None), measure_disk(&host, &docker));
    }
}

/// What the host's agent measures, as it tells it. Its engine is asked about containers only where
/// the kernel does not count them in one place.
async fn hear_agent(app: &App, host: &LiveHost, docker: &Docker) {
    let machine = Mutex::new(None);
    loop {
        let heard = |measured: Measured| {
            let Some(containers) = measured.containers else {
                *lock(&machine) = Some(measured.machine);
                return ControlFlow::Break(());
            };
            let (cpu, memory) = (containers.cpu, containers.memory);
            tell(app, host, host.usage.push(cpu, memory, Some(measured.machine)));
            ControlFlow::Continue(())
        };
        each_measured(app, host, heard).await;
        if lock(&machine).is_some() {
            return tokio::select! {
                () = measure_containers(app, host, docker, Some(&machine)) => {}
                () = hear_machine(app, host, &machine) => {}
            };
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// Keeps what the agent tells of the machine alone.
async fn hear_machine(app: &App, host: &LiveHost, machine: &Mutex<Option<MachineUsage>>) {
    loop {
        let heard = |measured: Measured| {
            *lock(machine) = Some(measured.machine);
            ControlFlow::Continue(())
        };
        each_measured(app, host, heard).await;
        tokio::time::sleep(ROUND).await;
    }
}

/// Takes what a host's agent measures, until it is gone or `take` has enough.
async fn each_measured(
    app: &App,
    host: &LiveHost,
    mut take: impl FnMut(Measured) -> ControlFlow<()> + Send,
) {
    let stream = match app.tunnels.way(host.id).open(&Target::Usage).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(host_id = %host.id, %error, "the agent tells no use");
            return;
        }
    };
    let mut lines = FramedRead::new(stream, LinesCodec::new_with_max_length(LONGEST_LINE));
    while let Some(Ok(line)) = lines.next().await {
        let Ok(measured) = serde_json::from_str(&line) else { continue };
        if take(measured).is_break() {
            return;
        }
    }
}

fn tell(app: &App, host: &LiveHost, usage: HostUsage) {
    app.events.publish_local(Event {
        topic: Topic::Host,
        environment_id: Some(host.environment_id),
        id: host.id.to_string(),
        host_id: None,
        change: Change::Updated,
        object: serde_json::to_value(usage).ok(),
    });
}

async fn measure_containers(
    app: &App,
    host: &LiveHost,
    docker: &Docker,
    machine: Option<&Mutex<Option<MachineUsage>>>,
) {
    let mut sampler = Sampler::default();
    // CPU is known from the second round on: let that one come soon.
    let mut pause = Duration::from_secs(1);
    loop {
        let running: Vec<Arc<str>> = app
            .hosts
            .index()
            .of_host(host.environment_id, host.id)
            .iter()
            .filter(|entry| entry.state == ContainerState::Running)
            .map(|entry| entry.id.clone())
            .collect();
        let turn = sampler.turn(&running);
        let mut measured = stream::iter(turn)
            .map(|id| async move {
                let answer = docker.stats_once(&id).await;
                (id, answer)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((id, answer)) = measured.next().await {
            // One that has ended meanwhile is no news.
            if let Ok(raw) = answer {
                sampler.take(id, &raw);
            }
        }
        drop(measured);
        if let Some((cpu, memory)) = sampler.sum(running.len()) {
            let machine = machine.and_then(|machine| lock(machine).clone());
            tell(app, host, host.usage.push(cpu, memory, machine));
        }
        tokio::time::sleep(std::mem::replace(&mut pause, ROUND)).await;
    }
}

async fn measure_disk(host: &LiveHost, docker: &Docker) {
    // The first minute of a connection has better things to do.
    tokio::time::sleep(Duration::from_secs(2)).await;
    loop {
        match docker.disk_usage().await {
            Ok(found) => {
                *lock(&host.usage.disk) = Some(found.total);
                host.resources.set_volume_sizes(found.volumes);
            }
            Err(error) => tracing::debug!(host_id = %host.id, %error, "cannot measure the disk"),
        }
        tokio::time::sleep(DISK_ROUND).await;
    }
}

/// The last measurement of each container.
#[derive(Default)]
struct Sampler {
    known: HashMap<Arc<str>, Sample>,
    next: usize,
}

struct Sample {
    at_ns: i128,
    cpu_ns: u64,
    /// In cores; from the second measurement on.
    cpu: Option<f64>,
    memory: u64,
}

impl Sampler {
    /// The containers whose turn it is. Forgets those that do not run any more.
    fn turn(&mut self, running: &[Arc<str>]) -> Vec<Arc<str>> {
        let still: HashSet<&Arc<str>> = running.iter().collect();
        self.known.retain(|id, _| still.contains(id));
        if running.is_empty() {
            return Vec::new();
        }
        let mut ordered: Vec<&Arc<str>> = running.iter().collect();
        ordered.sort_unstable();
        let start = self.next % ordered.len();
        let count = ordered.len().min(SAMPLE);
        self.next = start + count;
        ordered.into_iter().cycle().skip(start).take(count).cloned().collect()
    }

    fn take(&mut self, id: Arc<str>, raw: &RawStats) {
        let Some(at_ns) = stats::read_at(raw) else { return };
        let cpu_ns = raw.cpu_stats.cpu_usage.total_usage;
        let before = self.known.get(&id);
        let cpu = before.and_then(|before| {
            let passed = (at_ns - before.at_ns) as f64;
            (passed > 0.0).then(|| cpu_ns.saturating_sub(before.cpu_ns) as f64 / passed)
        });
        let memory = stats::memory_in_use(raw);
        self.known.insert(id, Sample { at_ns, cpu_ns, cpu, memory });
    }

    /// CPU in cores and memory in bytes of all running containers; `None` while nothing is known.
    fn sum(&self, running: usize) -> Option<(f64, u64)> {
        if running == 0 {
            return Some((0.0, 0));
        }
        let rates: Vec<f64> = self.known.values().filter_map(|sample| sample.cpu).collect();
        if self.known.is_empty() {
            return None;
        }
        let scaled =
            |sum: f64, of: usize| if of == 0 { 0.0 } else { sum * running as f64 / of as f64 };
        let cpu = scaled(rates.iter().sum(), rates.len());
        let memory: u64 = self.known.values().map(|sample| sample.memory).sum();
        Some((cpu, scaled(memory as f64, self.known.len()) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(second: u32, cpu_ms: u64, memory: u64) -> RawStats {
        serde_json::from_value(serde_json::json!({
            "read": format!("2026-01-01T00:00:{second:02}Z"),
            "cpu_stats": {"cpu_usage": {"total_usage": cpu_ms * 1_000_000}},
            "memory_stats": {"usage": memory + 50, "stats": {"inactive_file": 50}},
        }))
        .unwrap()
    }

    #[test]
    fn cpu_is_a_rate_and_the_sum_is_scaled() {
        let mut sampler = Sampler::default();
        let id: Arc<str> = "a".into();
        assert_eq!(sampler.sum(0), Some((0.0, 0)));
        assert_eq!(sampler.sum(4), None);
        sampler.take(id.clone(), &raw(0, 1000, 100));
        assert_eq!(sampler.sum(1), Some((0.0, 100)));
        sampler.take(id, &raw(2, 2000, 100));
        assert_eq!(sampler.sum(1), Some((0.5, 100)));
        assert_eq!(sampler.sum(4), Some((2.0, 400)));
    }

    #[test]
    fn big_hosts_are_measured_in_turns() {
        let running: Vec<Arc<str>> = (0..100).map(|n| format!("{n:03}").into()).collect();
        let mut sampler = Sampler::default();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..2 {
            let turn = sampler.turn(&running);
            assert_eq!(turn.len(), SAMPLE);
            seen.extend(turn);
        }
        assert_eq!(seen.len(), 100);
        sampler.take("000".into(), &raw(0, 1, 1));
        sampler.turn(&running[1..]);
        assert!(sampler.known.is_empty());
    }

    #[test]
    fn the_history_is_bounded() {
        let history = History::default();
        for _ in 0..KEPT + 5 {
            history.push(1.0, 1, None);
        }
        assert_eq!(history.all().len(), KEPT);
    }
}
