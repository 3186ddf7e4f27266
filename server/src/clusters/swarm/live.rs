//! A swarm as this process sees it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Instant,
};

use drover_api::{Freshness, Swarm, SwarmHost, SwarmPart, SwarmState};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    standing::{self, HostPart, Known, Standing},
    store::SwarmRow,
    view::{HostsByNode, View},
};
use crate::{
    clusters::lead::Wakers,
    error::{Error, Result},
    hosts::driver::{Docker, ErrorKind},
};

/// All swarms, and who waits for their changes. Lives in [`crate::app::AppState`].
#[derive(Default)]
pub struct Swarms {
    live: Mutex<HashMap<Uuid, Arc<Live>>>,
    /// Of the workers of stacks.
    pub(super) stacks: Wakers,
    /// Of the workers of swarms themselves, by environment.
    pub(super) clusters: Wakers,
}

impl Swarms {
    /// The swarm of an environment.
    pub(super) fn live(&self, environment: Uuid) -> Arc<Live> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.entry(environment).or_default().clone()
    }

    /// Forgets those of environments that are gone.
    pub(super) fn keep(&self, environments: &[Uuid]) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|id, _| environments.contains(id));
    }

    pub(super) fn wake(&self, stacks: impl IntoIterator<Item = Uuid>) {
        for stack in stacks {
            self.stacks.of(stack).notify_one();
        }
    }

    pub(super) fn wake_all(&self) {
        self.stacks.wake_all();
    }
}

/// The swarm of one environment.
#[derive(Default)]
pub(super) struct Live {
    inner: RwLock<Inner>,
    /// Read everything again now.
    pub poke: Notify,
    /// Ask the hosts for their parts now.
    pub ask: Notify,
    /// Tasks may have changed.
    pub tasks_changed: Notify,
    /// The hosts' parts have changed.
    pub parts_changed: Notify,
}

#[derive(Default)]
struct Inner {
    row: SwarmRow,
    /// By host.
    parts: BTreeMap<Uuid, HostPart>,
    view: Arc<View>,
    manager: Option<(Uuid, Docker)>,
    lost: Option<(ErrorKind, String)>,
    lost_at: Option<Instant>,
    busy: bool,
    told: Option<Standing>,
}

impl Inner {
    fn standing(&self) -> Standing {
        let parts: Vec<HostPart> = self.parts.values().cloned().collect();
        let unasked = (ErrorKind::HostUnreachable, "No manager has been asked yet.".to_owned());
        let lost = self.lost.as_ref().unwrap_or(&unasked);
        standing::judge(&Known {
            cluster: self.row.cluster_id.as_deref(),
            parts: &parts,
            nodes: &self.view.nodes,
            answers: if self.manager.is_some() { Ok(()) } else { Err(lost) },
            busy: self.busy,
        })
    }

    /// A manager of the environment's swarm, not of another one.
    fn is_ours(&self, part: &HostPart) -> bool {
        self.row.cluster_id.is_some()
            && part.is_manager()
            && part.part(self.row.cluster_id.as_deref(), &self.view.nodes) == SwarmPart::Manager
    }
}

impl Live {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was last seen.
    pub fn view(&self) -> Arc<View> {
        self.read().view.clone()
    }

    /// Changes what was seen; true when `change` says that it did.
    pub fn update(&self, change: impl FnOnce(&mut View) -> bool) -> bool {
        let mut inner = self.write();
        let view = Arc::make_mut(&mut inner.view);
        view.read_at = Some(Instant::now());
        let changed = change(view);
        view.revision += u64::from(changed);
        changed
    }

    pub fn set_row(&self, row: SwarmRow) {
        let mut inner = self.write();
        if inner.row.cluster_id != row.cluster_id {
            // Another swarm, or none: nothing that was seen is true any more.
            let revision = inner.view.revision + 1;
            inner.view = Arc::new(View { revision, ..View::default() });
            inner.manager = None;
            self.parts_changed.notify_one();
        }
        inner.row = row;
    }

    /// An operation changes the swarm, or none does.
    pub fn set_busy(&self, busy: bool) {
        self.write().busy = busy;
    }

    pub fn set_part(&self, mut part: HostPart) {
        let mut inner = self.write();
        let before = inner.parts.get(&part.host_id);
        let node = part.node_id().or_else(|| before.and_then(HostPart::node_id));
        part.known_node = node.map(str::to_owned);
        inner.parts.insert(part.host_id, part);
        drop(inner);
        self.parts_changed.notify_one();
    }

    pub fn keep_parts(&self, hosts: &HashSet<Uuid>) {
        self.write().parts.retain(|id, _| hosts.contains(id));
    }

    pub fn parts(&self) -> Vec<HostPart> {
        self.read().parts.values().cloned().collect()
    }

    /// A host whose engine is a manager that can be asked; another one than `last`, if there is.
    pub fn pick_manager(&self, last: Option<Uuid>) -> Option<Uuid> {
        let inner = self.read();
        let managers: Vec<Uuid> = inner
            .parts
            .values()
            .filter(|part| inner.is_ours(part))
            .map(|part| part.host_id)
            .collect();
        managers.iter().find(|id| Some(**id) > last).or(managers.first()).copied()
    }

    pub fn is_manager(&self, host: Uuid) -> bool {
        let inner = self.read();
        // One that cannot be asked now may well be one still: its answers will tell.
        inner.parts.get(&host).is_some_and(|part| part.said.is_err() || inner.is_ours(part))
    }

    /// A manager answers; true when none did before.
    pub fn set_answering(&self, host: Uuid, docker: &Docker) -> bool {
        let mut inner = self.write();
        let new = inner.manager.as_ref().is_none_or(|(known, _)| *known != host);
        if new {
            inner.manager = Some((host, docker.clone()));
            inner.lost = None;
            inner.lost_at = None;
        }
        new
    }

    pub fn set_lost(&self, kind: ErrorKind, why: &str) {
        let mut inner = self.write();
        inner.manager = None;
        inner.lost = Some((kind, why.to_owned()));
        inner.lost_at.get_or_insert_with(Instant::now);
    }

    /// Whether it stands otherwise than when last asked.
    pub fn standing_changed(&self) -> bool {
        let mut inner = self.write();
        let now = inner.standing();
        if inner.told.as_ref() == Some(&now) {
            return false;
        }
        inner.told = Some(now);
        true
    }

    pub fn standing(&self) -> Standing {
        self.read().standing()
    }

    /// A manager, ready to be called.
    ///
    /// # Errors
    /// 409 or 503 with how the swarm stands, in words.
    pub fn docker(&self) -> Result<Docker> {
        let inner = self.read();
        let standing = inner.standing();
        if let Some((_, docker)) = &inner.manager
            && standing.state != SwarmState::NoQuorum
        {
            return Ok(docker.clone());
        }
        let reason = standing.reason.unwrap_or_default();
        let advice = standing.advice.unwrap_or_default();
        let detail = format!("{reason} {advice}").trim().to_owned();
        Err(match standing.state {
            SwarmState::None | SwarmState::Found | SwarmState::Pending => {
                Error::conflict("no_swarm", format!("The environment has no swarm yet. {detail}"))
            }
            SwarmState::NoQuorum => Error::unavailable("swarm_no_quorum", detail),
            SwarmState::Locked => Error::unavailable("swarm_locked", detail),
            _ => Error::unavailable("swarm_unreachable", detail),
        })
    }

    /// The environment's hosts by their nodes.
    pub fn hosts_by_node(&self) -> HostsByNode {
        let inner = self.read();
        let nodes = inner.parts.values().filter_map(|part| {
            Some((part.node_id()?.to_owned(), (part.host_id, part.host_name.clone())))
        });
        nodes.collect()
    }

    pub fn freshness(&self) -> Freshness {
        let inner = self.read();
        let since = if inner.manager.is_some() { None } else { inner.lost_at };
        Freshness {
            revision: inner.view.revision,
            age_ms: since.map_or(0, |at| at.elapsed().as_millis() as u64),
        }
    }

    /// As the API tells it.
    pub fn to_api(&self, operation_id: Option<Uuid>) -> Swarm {
        let freshness = self.freshness();
        let inner = self.read();
        let Standing { state, reason, advice } = inner.standing();
        let nodes = &inner.view.nodes;
        let (managers, reachable_managers, quorum) = standing::managers(nodes);
        let cluster = inner.view.cluster.as_deref();
        let ours = inner.row.cluster_id.as_deref();
        let hosts = inner.parts.values().map(|part| {
            let local = part.said.as_ref().ok();
            let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
            SwarmHost {
                host_id: part.host_id,
                host_name: part.host_name.clone(),
                part: part.part(ours, nodes),
                node_id: part.node_id().map(str::to_owned),
                address: local.and_then(|local| some(&local.node_addr)),
                error: match &part.said {
                    Ok(local) => some(&local.error),
                    Err(why) => Some(why.clone()),
                },
            }
        });
        let mut hosts: Vec<SwarmHost> = hosts.collect();
        hosts.sort_by(|a, b| a.host_name.cmp(&b.host_name));
        Swarm {
            state,
            reason,
            advice,
            cluster_id: inner.row.cluster_id.clone(),
            nodes: nodes.len() as u32,
            managers,
            // Nobody reaches a manager of a swarm that has no leader.
            reachable_managers: if state == SwarmState::NoQuorum {
                let there = hosts.iter().filter(|host| host.part == SwarmPart::Manager);
                there.count() as u32
            } else {
                reachable_managers
            },
            quorum,
            good_manager_count: standing::is_good_count(managers),
            autolock: cluster.is_some_and(|cluster| cluster.autolock),
            ca_rotating: cluster.is_some_and(|cluster| cluster.ca_rotating),
            task_history: cluster.and_then(|cluster| cluster.task_history),
            defaults: inner.row.defaults,
            hosts,
            operation_id,
            freshness,
            version: inner.row.version,
        }
    }
}
