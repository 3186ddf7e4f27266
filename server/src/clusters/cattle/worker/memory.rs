//! What a worker remembers, and how it corrects what the index shows.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use drover_api::ContainerState;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    super::{
        health::{Finding, Kept, Probe, Subject},
        plan::{Instance, Seen},
        store,
    },
    Worker,
    steps::Done,
};
use crate::{
    clusters::work::Compiled,
    error::Result,
    stacks::{StackRow, Wanted},
};

/// How long what was just done counts though the index does not show it.
const INDEX_LAG: Duration = Duration::from_secs(5);
/// What cannot run ends sooner than this, as a rule.
const STEADY: Duration = Duration::from_millis(500);
/// Seconds after which a container is no new one, though this server has just begun to watch it.
const LONG_AGO: i64 = 10;

#[derive(Default)]
pub(super) struct Memory {
    /// Containers made or started a moment ago, by id.
    pub(super) fresh: HashMap<String, (Instant, Seen)>,
    /// Containers removed a moment ago.
    pub(super) gone: HashMap<String, Instant>,
    /// When each container was first seen running.
    pub(super) running_since: HashMap<String, Instant>,
    /// When each container was first seen at all.
    pub(super) seen_since: HashMap<String, Instant>,
    /// How often each container has ended by itself since it last ran for a while.
    pub(super) crashes: HashMap<String, u32>,
    /// How often a container was started again, and when next.
    pub(super) restarts: HashMap<String, (u32, Instant)>,
    /// When the last batch of a service's update became ready.
    pub(super) batch_ended: HashMap<String, Instant>,
    /// How many instances of which make each service had ready.
    pub(super) ready: HashMap<String, (String, usize)>,
    /// Steps that failed: not tried again before.
    pub(super) not_before: Option<Instant>,
    pub(super) failures: u32,
    /// Images pulled for this operation.
    pub(super) pulled: HashSet<(Uuid, String, Uuid)>,
    pub(super) compiled: Compiled,
    /// Changes of networks that were just made, or did not work: not again before.
    pub(super) joining: HashMap<(String, String), Instant>,
    /// Containers that are out of DNS.
    pub(super) hidden: HashSet<String>,
    /// How often the container of an instance was replaced for its health, and when last.
    pub(super) replaced: HashMap<Uuid, (u32, Instant)>,
    /// The health checks that the server makes, by container.
    pub(super) probes: HashMap<String, Probe>,
    /// What was found and done before this worker began; `None` until it is read.
    pub(super) before: Option<HashMap<String, Kept>>,
}

impl Worker {
    /// The stack's containers: the index, corrected by what was done a moment ago.
    pub(super) fn look(&mut self, row: &StackRow, wanted: &Wanted) -> Vec<Seen> {
        let now = Instant::now();
        let now_unix = OffsetDateTime::now_utc().unix_timestamp();
        let memory = &mut self.memory;
        memory.fresh.retain(|_, (at, _)| now.duration_since(*at) < INDEX_LAG);
        memory.gone.retain(|_, at| now.duration_since(*at) < INDEX_LAG);
        let mut seen: Vec<Seen> = self
            .app
            .hosts
            .index()
            .of_stack(row.environment_id, row.id)
            .iter()
            .filter(|entry| !memory.gone.contains_key(&*entry.id.to_string()))
            .filter_map(|entry| {
                let owner = entry.owner.as_deref()?;
                Some(Seen {
                    id: entry.id.to_string(),
                    name: entry.name.to_string(),
                    host_id: entry.host.id,
                    service: owner.service.to_string(),
                    instance: owner.instance,
                    spec: owner.spec.to_string(),
                    state: entry.state,
                    health: entry.health,
                    exit_code: entry.exit_code,
                    steady: now_unix - entry.created > LONG_AGO,
                    watched: false,
                    networks: Some(entry.networks.to_vec()),
                })
            })
            .collect();
        let mut behind = HashSet::new();
        memory.fresh.retain(|id, (_, fresh)| match seen.iter_mut().find(|seen| seen.id == *id) {
            // The index is behind: it was started since.
            Some(seen) if seen.state == ContainerState::Created => {
                seen.state = fresh.state;
                behind.insert(id.clone())
            }
            // From here on the index is right, also when it no longer shows it.
            Some(_) => false,
            None => {
                seen.push(fresh.clone());
                behind.insert(id.clone())
            }
        });
        for container in &mut seen {
            memory.seen_since.entry(container.id.clone()).or_insert(now);
            // That it goes on running is known from the index alone: it may have ended already.
            if behind.contains(&container.id) {
                continue;
            }
            if container.state == ContainerState::Running {
                let since = *memory.running_since.entry(container.id.clone()).or_insert(now);
                let monitor = wanted
                    .project
                    .services
                    .get(&container.service)
                    .map_or(0, |service| service.deploy.update.monitor_ms);
                container.steady |= now.duration_since(since) >= STEADY;
                container.watched = now.duration_since(since) >= Duration::from_millis(monitor);
                if now.duration_since(since) > Duration::from_secs(60) {
                    memory.restarts.remove(&container.id);
                    memory.crashes.remove(&container.id);
                }
            } else if memory.running_since.remove(&container.id).is_some() {
                *memory.crashes.entry(container.id.clone()).or_default() += 1;
            }
        }
        let ids: HashSet<&String> = seen.iter().map(|seen| &seen.id).collect();
        memory.seen_since.retain(|id, _| ids.contains(id));
        memory.running_since.retain(|id, _| ids.contains(id));
        memory.restarts.retain(|id, _| ids.contains(id));
        memory.crashes.retain(|id, _| ids.contains(id));
        seen
    }

    /// Begins the checks of containers that have come, ends those of containers that have gone, and
    /// takes what they have found into `seen`.
    pub(super) async fn check_health(
        &mut self,
        row: &StackRow,
        wanted: &Wanted,
        instances: &[Instance],
        seen: &mut [Seen],
    ) -> Result<()> {
        if self.memory.before.is_none() {
            let rows = store::healths(&self.app.db, Some(row.id)).await?;
            let kept: HashMap<String, Kept> =
                rows.into_iter().map(|row| (row.kept.container.clone(), row.kept)).collect();
            let hidden = kept.values().filter(|kept| kept.hidden);
            self.memory.hidden.extend(hidden.map(|kept| kept.container.clone()));
            self.memory.before = Some(kept);
        }
        let mut probes = std::mem::take(&mut self.memory.probes);
        for container in seen {
            let Some(probe) =
                wanted.project.services.get(&container.service).and_then(|s| s.health.as_ref())
            else {
                continue;
            };
            if container.state != ContainerState::Running {
                continue;
            }
            // One of an older make is judged by what it is checked for now.
            let instance = instances
                .iter()
                .find(|i| Some(i.id) == container.instance && i.host_id == container.host_id);
            let Some(instance) = instance else { continue };
            let subject = Subject {
                environment: row.environment_id,
                stack: row.id,
                host: container.host_id,
                instance: instance.id,
                container: container.id.clone(),
                probe: probe.clone(),
            };
            let known = probes.remove(&container.id).filter(|known| known.subject == subject);
            let known = known.unwrap_or_else(|| {
                let before = self.memory.before.as_mut().and_then(|all| all.remove(&container.id));
                let before =
                    before.and_then(|kept| Some(Finding { health: kept.health?, why: kept.why }));
                let waker = self.app.cattle.wakers.of(row.id);
                Probe::start(&self.app, subject, before, waker)
            });
            let found = known.found();
            // The engine's own check may say worse.
            if container.health != Some(drover_api::Health::Unhealthy) {
                container.health = Some(found.health);
            }
            self.memory.probes.insert(container.id.clone(), known);
        }
        Ok(())
    }

    /// Notes when more instances of a service became ready: the pause between batches counts from
    /// there.
    pub(super) fn note_batches(&mut self, wanted: &Wanted, seen: &[Seen]) {
        for (name, spec) in &wanted.specs {
            let ready = seen
                .iter()
                .filter(|s| s.service == *name && s.spec == *spec && s.is_ready())
                .count();
            let before = self.memory.ready.insert(name.clone(), (spec.clone(), ready));
            match before {
                Some((make, count)) if make == *spec => {
                    if count < ready {
                        self.memory.batch_ended.insert(name.clone(), Instant::now());
                    }
                }
                // The first batch of an update waits for nothing.
                _ => {
                    self.memory.batch_ended.remove(name);
                }
            }
        }
    }

    pub(super) fn remember(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Running(seen) => {
                if seen.exit_code.is_some() || self.memory.seen_since.contains_key(&seen.id) {
                    let (count, until) =
                        self.memory.restarts.entry(seen.id.clone()).or_insert((0, now));
                    *count += 1;
                    *until = now + Duration::from_secs((1 << (*count).min(6)).min(60));
                }
                self.memory.fresh.insert(seen.id.clone(), (now, seen));
            }
            Done::Removed(id) => {
                self.memory.fresh.remove(&id);
                self.memory.gone.insert(id, now);
            }
        }
    }
}
