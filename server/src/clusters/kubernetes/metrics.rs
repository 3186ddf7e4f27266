//! What nodes and pods use, from metrics.k8s.io: sampled only while somebody looks and some minutes
//! after, the newest samples kept in memory.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use drover_api::{MetricSample, Timestamp};
use drover_kubernetes::{
    client::{Failure, FailureKind, Identity},
    facts::quantity,
    index::Usage,
};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::live::Live;

/// metrics-server measures every 15 seconds.
const EVERY: Duration = Duration::from_secs(15);
/// Nobody has asked for so long, in seconds: then nothing is sampled.
const IDLE: i64 = 300;
/// So many samples of each are kept: ten minutes.
const KEPT: usize = 40;
/// How long the first one who asks waits.
const FIRST: Duration = Duration::from_secs(5);

/// A measurement, small.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: i64,
    usage: Usage,
}

/// The newest samples of an object.
type Ring = VecDeque<Sample>;

/// Namespace (empty for nodes) and name.
type Key = (Arc<str>, Arc<str>);

#[derive(Default)]
struct Measured {
    nodes: HashMap<Key, Ring>,
    pods: HashMap<Key, Ring>,
}

/// Whether there is something to measure with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Unknown,
    There,
    /// And why not.
    Missing(Option<String>),
}

/// The samples of a cluster.
pub struct Metrics {
    measured: RwLock<Measured>,
    standing: watch::Sender<Standing>,
    /// Seconds since the Unix epoch.
    asked: AtomicI64,
    wake: Notify,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            measured: RwLock::default(),
            standing: watch::Sender::new(Standing::Unknown),
            asked: AtomicI64::new(0),
            wake: Notify::new(),
        }
    }
}

/// What was measured of an object, the oldest first.
pub(super) struct Series {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub samples: Vec<MetricSample>,
}

impl Series {
    /// The newest.
    pub fn last(&self) -> Option<&MetricSample> {
        self.samples.last()
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Named,
    usage: Option<Amounts>,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Container {
    usage: Amounts,
}

#[derive(Deserialize)]
struct Amounts {
    #[serde(default)]
    cpu: String,
    #[serde(default)]
    memory: String,
}

impl Item {
    fn usage(&self) -> Usage {
        let amounts = self.usage.iter().chain(self.containers.iter().map(|one| &one.usage));
        let mut sum = Usage::default();
        for amount in amounts {
            let cpu = quantity::parse(&amount.cpu).unwrap_or_default() * 1000.0;
            let memory = quantity::parse(&amount.memory).unwrap_or_default();
            // As floats saturate, so does the sum.
            sum.cpu_milli = sum.cpu_milli.saturating_add(cpu.round() as u32);
            sum.memory = sum.memory.saturating_add(memory as u64);
        }
        sum
    }
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// Samples, while somebody looks.
pub(super) async fn run(live: &Live) {
    let metrics = &live.metrics;
    loop {
        if now() - metrics.asked.load(Ordering::Relaxed) > IDLE {
            // What was measured long ago is not shown as new.
            *metrics.measured.write().unwrap_or_else(PoisonError::into_inner) = Measured::default();
            metrics.standing.send_replace(Standing::Unknown);
            metrics.wake.notified().await;
        }
        match sample(live).await {
            Ok(()) => {
                metrics.standing.send_replace(Standing::There);
            }
            Err(failure) if failure.kind() == FailureKind::NotFound => {
                metrics.standing.send_replace(Standing::Missing(None));
            }
            Err(failure) => {
                let why = Some(failure.message().to_owned());
                metrics.standing.send_replace(Standing::Missing(why));
            }
        }
        sleep(EVERY).await;
    }
}

async fn sample(live: &Live) -> Result<(), Failure> {
    let get = |what: &'static str| async move {
        let path = format!("/apis/metrics.k8s.io/v1beta1/{what}");
        live.cluster.get_json::<Answer>(&path, Identity::Drover).await
    };
    let (nodes, pods) = tokio::try_join!(get("nodes"), get("pods"))?;
    let at = now();
    for (list, items) in [("nodes", &nodes.items), ("pods", &pods.items)] {
        if let Some(list) = live.index.opened(list) {
            let measured = items.iter().map(|item| {
                (item.metadata.namespace.as_str(), item.metadata.name.as_str(), item.usage())
            });
            list.set_usage(measured);
        }
    }
    let mut measured = live.metrics.measured.write().unwrap_or_else(PoisonError::into_inner);
    add(&mut measured.nodes, &nodes.items, at);
    add(&mut measured.pods, &pods.items, at);
    Ok(())
}

fn add(known: &mut HashMap<Key, Ring>, items: &[Item], at: i64) {
    for item in items {
        let key = (item.metadata.namespace.as_str().into(), item.metadata.name.as_str().into());
        let ring = known.entry(key).or_default();
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(Sample { at, usage: item.usage() });
    }
    // What has not been measured for a while has gone.
    known.retain(|_, ring| ring.back().is_some_and(|last| at - last.at < 120));
}

impl Metrics {
    /// Somebody looks: samples are taken for some minutes.
    ///
    /// Answers why there are none, if that is so; the inner nothing where the cluster has no
    /// metrics.k8s.io.
    pub(super) async fn look(&self) -> Result<(), Option<String>> {
        self.asked.store(now(), Ordering::Relaxed);
        self.wake.notify_one();
        let mut standing = self.standing.subscribe();
        let known = standing.wait_for(|standing| *standing != Standing::Unknown);
        match timeout(FIRST, known).await {
            Ok(Ok(standing)) => match &*standing {
                Standing::Missing(why) => Err(why.clone()),
                _ => Ok(()),
            },
            _ => Err(Some("The cluster has not answered what is used yet.".to_owned())),
        }
    }

    /// What was measured of nodes.
    pub(super) fn nodes(&self) -> Vec<Series> {
        let measured = self.measured.read().unwrap_or_else(PoisonError::into_inner);
        series(&measured.nodes, |_, _| true)
    }

    /// What was measured of the pods that `wanted` likes, by namespace and name.
    pub(super) fn pods(&self, wanted: impl Fn(&str, &str) -> bool) -> Vec<Series> {
        let measured = self.measured.read().unwrap_or_else(PoisonError::into_inner);
        series(&measured.pods, wanted)
    }
}

fn series(known: &HashMap<Key, Ring>, wanted: impl Fn(&str, &str) -> bool) -> Vec<Series> {
    let found = known.iter().filter(|((namespace, name), _)| wanted(namespace, name));
    found
        .map(|((namespace, name), ring)| Series {
            namespace: namespace.clone(),
            name: name.clone(),
            samples: ring.iter().copied().filter_map(Sample::to_api).collect(),
        })
        .collect()
}

impl Sample {
    fn to_api(self) -> Option<MetricSample> {
        Some(MetricSample {
            at: Timestamp(OffsetDateTime::from_unix_timestamp(self.at).ok()?),
            cpu_millis: self.usage.cpu_milli.into(),
            memory: self.usage.memory,
        })
    }
}

/// The sum of several series: samples of the same moment together.
pub(super) fn sum(all: &[Series]) -> Vec<MetricSample> {
    let mut sums: std::collections::BTreeMap<i64, MetricSample> = std::collections::BTreeMap::new();
    for sample in all.iter().flat_map(|series| &series.samples) {
        let empty = MetricSample { at: sample.at, cpu_millis: 0, memory: 0 };
        let sum = sums.entry(sample.at.unix_ms()).or_insert(empty);
        sum.cpu_millis += sample.cpu_millis;
        sum.memory += sample.memory;
    }
    sums.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(json: serde_json::Value) -> Vec<Item> {
        serde_json::from_value::<Answer>(json).map(|answer| answer.items).unwrap_or_default()
    }

    #[test]
    fn containers_are_added_up() {
        let items =
            items(serde_json::json!({"items": [{"metadata": {"namespace": "a", "name": "b"},
            "containers": [{"name": "x", "usage": {"cpu": "1500000n", "memory": "10Ki"}},
                {"name": "y", "usage": {"cpu": "250m", "memory": "1Mi"}}]}]}));
        assert_eq!(items[0].usage(), Usage { cpu_milli: 252, memory: 10 * 1024 + (1 << 20) });
    }

    #[test]
    fn rings_have_an_end_and_what_has_gone_goes() {
        let one = items(
            serde_json::json!({"items": [{"metadata": {"name": "n"}, "usage": {"cpu": "1"}}]}),
        );
        let mut known = HashMap::new();
        for tick in 0..100 {
            add(&mut known, &one, tick * 15);
        }
        let all = series(&known, |_, _| true);
        assert_eq!(all[0].samples.len(), KEPT);
        assert_eq!(all[0].last().map(|last| last.cpu_millis), Some(1000));
        add(&mut known, &[], 100 * 15 + 200);
        assert!(known.is_empty());
    }

    #[test]
    fn sums_are_of_the_same_moments() {
        let mut known = HashMap::new();
        let two = items(serde_json::json!({"items": [
            {"metadata": {"name": "a"}, "usage": {"cpu": "1", "memory": "1"}},
            {"metadata": {"name": "b"}, "usage": {"cpu": "2", "memory": "2"}}]}));
        add(&mut known, &two, 15);
        add(&mut known, &two[..1], 30);
        let sums = sum(&series(&known, |_, _| true));
        let told: Vec<_> = sums.iter().map(|sample| (sample.cpu_millis, sample.memory)).collect();
        assert_eq!(told, [(3000, 3), (1000, 1)]);
    }
}
