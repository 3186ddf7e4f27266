//! Live measurements of containers: one stream from the engine per container, shared by all who
//! watch it, with the last two minutes for those who come later.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, Weak},
};

use drover_api::{Stats, StatsMessage};
use futures_util::StreamExt;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

use super::{
    driver::{Docker, stream::RawStats},
    lock,
};

/// Two minutes of measurements.
const KEPT: usize = 120;

/// The streams of one host.
#[derive(Default)]
pub struct Hub {
    feeds: Mutex<HashMap<Arc<str>, Weak<Feed>>>,
}

/// A stream of measurements; ends when the last watcher drops it.
struct Feed {
    /// The task that reads holds the sender: when it ends, the watchers know.
    sender: broadcast::WeakSender<StatsMessage>,
    recent: Arc<Mutex<VecDeque<Stats>>>,
    _reading: AbortOnDropHandle<()>,
}

/// One who watches.
pub struct Watcher {
    _feed: Arc<Feed>,
    receiver: broadcast::Receiver<StatsMessage>,
    missed: VecDeque<Stats>,
}

impl Hub {
    /// Joins the stream of a container, or opens it.
    pub fn watch(&self, docker: &Docker, id: &Arc<str>) -> Watcher {
        let mut feeds = lock(&self.feeds);
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let running = feeds.get(id).and_then(Weak::upgrade);
        if let Some(watcher) = running.and_then(Feed::watch) {
            return watcher;
        }
        let sender = broadcast::Sender::new(16);
        let receiver = sender.subscribe();
        let feed = Arc::new(Feed::open(docker.clone(), id.to_string(), sender));
        feeds.insert(id.clone(), Arc::downgrade(&feed));
        Watcher { _feed: feed, receiver, missed: VecDeque::new() }
    }
}

impl Feed {
    fn open(docker: Docker, id: String, sender: broadcast::Sender<StatsMessage>) -> Self {
        let recent: Arc<Mutex<VecDeque<Stats>>> = Arc::default();
        let weak = sender.downgrade();
        let reading = {
            let recent = recent.clone();
            tokio::spawn(async move {
                let reason = follow(&docker, &id, &sender, &recent).await;
                let _ = sender.send(StatsMessage::End { reason });
            })
        };
        Self { sender: weak, recent, _reading: AbortOnDropHandle::new(reading) }
    }

    /// `None` when it has ended.
    fn watch(self: Arc<Self>) -> Option<Watcher> {
        let sender = self.sender.upgrade()?;
        // Both under the lock that is held for each measurement: none twice, none lost.
        let recent = lock(&self.recent);
        let receiver = sender.subscribe();
        let missed = recent.clone();
        drop(recent);
        Some(Watcher { _feed: self, receiver, missed })
    }
}

impl Watcher {
    /// The next message; `None` after the last.
    pub async fn next(&mut self) -> Option<StatsMessage> {
        if let Some(stats) = self.missed.pop_front() {
            return Some(StatsMessage::Stats(stats));
        }
        loop {
            match self.receiver.recv().await {
                Ok(message) => return Some(message),
                // A slow watcher goes on with what is new.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

async fn follow(
    docker: &Docker,
    id: &str,
    sender: &broadcast::Sender<StatsMessage>,
    recent: &Mutex<VecDeque<Stats>>,
) -> String {
    let mut stream = match docker.stats(id).await {
        Ok(stream) => stream,
        Err(error) => return error.message().to_owned(),
    };
    let mut before: Option<RawStats> = None;
    while let Some(answer) = stream.next().await {
        let raw = match answer {
            Ok(raw) => raw,
            Err(error) => return error.message().to_owned(),
        };
        if read_at(&raw).is_none() {
            return "The container does not run.".into();
        }
        if let Some(stats) = before.as_ref().and_then(|before| rates(before, &raw)) {
            let mut recent = lock(recent);
            if recent.len() == KEPT {
                recent.pop_front();
            }
            recent.push_back(stats);
            let _ = sender.send(StatsMessage::Stats(stats));
        }
        before = Some(raw);
    }
    "The container has ended.".into()
}

/// When the engine measured, nanoseconds since the Unix epoch; `None` for a container that does
/// not run, for which engines say the year 1.
pub(super) fn read_at(raw: &RawStats) -> Option<i128> {
    let at = OffsetDateTime::parse(&raw.read, &Rfc3339).ok()?;
    (at.year() > 1).then(|| at.unix_timestamp_nanos())
}

/// Memory without the part of the page cache that the kernel can drop at once, as `docker stats`
/// counts it.
pub(super) fn memory_in_use(raw: &RawStats) -> u64 {
    let stats = &raw.memory_stats.stats;
    let cache = stats.total_inactive_file.or(stats.inactive_file).unwrap_or_default();
    raw.memory_stats.usage.saturating_sub(cache)
}

/// Turns two measurements of counters into rates; `None` when no time has passed between them.
fn rates(before: &RawStats, now: &RawStats) -> Option<Stats> {
    let at = read_at(now)?;
    let seconds = (at - read_at(before)?) as f64 / 1e9;
    if seconds <= 0.0 {
        return None;
    }
    // Counters begin anew when the container does.
    let rate =
        |count: fn(&RawStats) -> u64| count(now).saturating_sub(count(before)) as f64 / seconds;
    Some(Stats {
        at_ms: (at / 1_000_000) as i64,
        cpu: rate(|raw| raw.cpu_stats.cpu_usage.total_usage) / 1e9,
        memory: memory_in_use(now),
        memory_limit: now.memory_stats.limit,
        network_rx: rate(|raw| raw.networks.values().map(|network| network.rx_bytes).sum()),
        network_tx: rate(|raw| raw.networks.values().map(|network| network.tx_bytes).sum()),
        block_read: rate(|raw| block(raw, "read")),
        block_write: rate(|raw| block(raw, "write")),
        pids: now.pids_stats.current,
    })
}

fn block(raw: &RawStats, direction: &str) -> u64 {
    raw.blkio_stats
        .io_service_bytes_recursive
        .iter()
        .filter(|entry| entry.op.eq_ignore_ascii_case(direction))
        .map(|entry| entry.value)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(read: &str, count: u64) -> RawStats {
        serde_json::from_value(serde_json::json!({
            "read": read,
            "cpu_stats": {"cpu_usage": {"total_usage": count * 1_000_000_000}},
            "memory_stats": {"usage": 300, "limit": 1000, "stats": {"total_inactive_file": 100}},
            "networks": {"eth0": {"rx_bytes": count * 10, "tx_bytes": count * 20}, "eth1": {"rx_bytes": count}},
            "blkio_stats": {"io_service_bytes_recursive": [
                {"op": "Read", "value": count * 4}, {"op": "write", "value": count * 6}, {"op": "Total", "value": 99}]},
            "pids_stats": {"current": 7},
        }))
        .unwrap()
    }

    #[test]
    fn counters_become_rates() {
        let before = raw("2026-01-01T00:00:00Z", 1);
        let now = raw("2026-01-01T00:00:02Z", 3);
        let stats = rates(&before, &now).unwrap();
        assert_eq!((stats.cpu, stats.memory, stats.memory_limit), (1.0, 200, 1000));
        assert_eq!((stats.network_rx, stats.network_tx), (11.0, 20.0));
        assert_eq!((stats.block_read, stats.block_write, stats.pids), (4.0, 6.0, 7));
        assert!(rates(&now, &now).is_none());
    }

    #[test]
    fn a_restart_is_no_negative_rate() {
        let stats =
            rates(&raw("2026-01-01T00:00:00Z", 9), &raw("2026-01-01T00:00:01Z", 1)).unwrap();
        assert_eq!((stats.cpu, stats.network_rx, stats.block_read), (0.0, 0.0, 0.0));
    }

    #[test]
    fn what_does_not_run_has_no_measurement() {
        assert!(read_at(&raw("0001-01-01T00:00:00Z", 0)).is_none());
        let empty: RawStats = serde_json::from_str(
            r#"{"read":"x","networks":null,"blkio_stats":{"io_service_bytes_recursive":null}}"#,
        )
        .unwrap();
        assert!(read_at(&empty).is_none());
    }
}
