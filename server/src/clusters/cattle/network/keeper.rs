//! Keeps up the network across the hosts of an environment: looks at their engines, takes the steps
//! of the [`plan`], and writes how it stands.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use drover_api::{
    CrossHostNetwork, CrossHostNetworkState, CrossHostNetworkStatus, Endpoint, HostMode,
    HostNetworkStatus, Topic,
};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    super::store::{self, NetworkRow},
    Kind, Reach, names,
    plan::{self, Action, HostFacts, Known, NodeFacts},
};
use crate::{
    app::App,
    error::Result,
    hosts::{
        LiveHost,
        driver::{
            self, Docker, DockerError, ErrorKind,
            swarm::{InitSwarm, JoinSwarm, LocalState, LocalSwarm},
        },
    },
};

/// A host's label that says where the other hosts reach it.
pub(in super::super) const ADDRESS_LABEL: &str = "io.drover.address";
/// Marks a swarm as made for the network of an environment, whose id is the value.
const SWARM_LABEL: &str = "io.drover.cross_host_network";
/// How often a network that is as it should be is looked at.
const CALM: Duration = Duration::from_secs(10);
/// How often one that is not is.
const BUSY: Duration = Duration::from_secs(2);
/// For so long an engine's part in the swarm is believed, while a manager sees it there.
const BELIEVED: Duration = Duration::from_secs(300);
/// Engines that are in no swarm are asked again after this.
const ASKED_AGAIN: Duration = Duration::from_secs(20);
/// For so long an engine says that it has left its swarm until that is believed.
const LEFT: Duration = Duration::from_secs(6);
/// So many engines are asked at a time.
const AT_ONCE: usize = 16;
/// The longest pause after a step that did not work.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// What overlay networks are cut from, unless hosts are in there.
const POOLS: [(Ipv4Addr, u8); 2] =
    [(Ipv4Addr::new(10, 192, 0, 0), 10), (Ipv4Addr::new(10, 64, 0, 0), 10)];
/// Each gets 4,094 addresses: one of them has all containers of the environment.
const SUBNET_SIZE: u8 = 20;

/// Looks after the network of an environment for as long as it is polled.
pub(in super::super) async fn run(app: App, environment: Uuid, waker: Arc<Notify>) {
    let mut keeper = Keeper {
        app,
        environment,
        asked: HashMap::new(),
        failures: HashMap::new(),
        lost_manager: None,
        left: HashMap::new(),
    };
    loop {
        let pause = match keeper.look().await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%environment, %error, "cannot look after a network across hosts");
                BUSY
            }
        };
        tokio::select! {
            () = waker.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

struct Keeper {
    app: App,
    environment: Uuid,
    /// What engines said of their part in a swarm, and when.
    asked: HashMap<Uuid, (Instant, LocalSwarm)>,
    failures: HashMap<Uuid, Failure>,
    /// Since when no manager that decides is connected.
    lost_manager: Option<Instant>,
    /// Since when hosts that were joined say that they are in no swarm.
    left: HashMap<Uuid, Instant>,
}

/// A step that did not work on a host.
struct Failure {
    why: String,
    tries: u32,
    until: Instant,
}

impl Keeper {
    async fn look(&mut self) -> Result<Duration> {
        let Some(row) = store::network(&self.app.db, self.environment).await? else {
            return Ok(CALM);
        };
        let kind = match row.scheduling.cross_host_network {
            CrossHostNetwork::Off => {
                let off = CrossHostNetworkStatus {
                    state: CrossHostNetworkState::Off,
                    reason: None,
                    hosts: Vec::new(),
                };
                self.tell(&row, off).await?;
                self.app.cattle.set_reach(self.environment, Reach::default());
                return Ok(CALM);
            }
            CrossHostNetwork::On => Kind::Overlay,
            CrossHostNetwork::Encrypted => Kind::Encrypted,
        };
        let hosts: Vec<Arc<LiveHost>> = self
            .app
            .hosts
            .in_environment(self.environment)
            .into_iter()
            .filter(|host| host.row().mode != HostMode::Inactive)
            .collect();
        let known = self.known(&row, &hosts).await;
        let plan = plan::plan(&known);
        self.tell(&row, plan.status.clone()).await?;
        self.settle_reach(&row, kind, &plan);
        let done = self.act(&row, &hosts, &plan).await?;
        let calm = !done && plan.actions.is_empty();
        Ok(if calm { CALM } else { BUSY })
    }

    async fn known(&mut self, row: &NetworkRow, hosts: &[Arc<LiveHost>]) -> Known {
        let before: &[HostNetworkStatus] =
            row.status.as_ref().map_or(&[], |status| status.hosts.as_slice());
        let (mut connected, mut away) = (Vec::new(), Vec::new());
        for host in hosts {
            match host.docker() {
                Ok(docker) => connected.push((host.clone(), docker)),
                // Whatever it was before, it may be another one when it is back.
                Err(_) => drop(self.asked.remove(&host.id)),
            }
        }
        self.ask(&connected).await;
        for status in before.iter().filter(|status| status.node_id.is_some()) {
            let inactive = self
                .asked
                .get(&status.host_id)
                .is_some_and(|(_, swarm)| swarm.local_node_state == LocalState::Inactive);
            if !inactive {
                self.left.remove(&status.host_id);
            } else if self.left.entry(status.host_id).or_insert_with(Instant::now).elapsed() < LEFT
            {
                // It may only be on its way down: asked again before it counts.
                self.asked.remove(&status.host_id);
            }
        }
        for host in hosts.iter().filter(|host| !self.asked.contains_key(&host.id)) {
            let stood = before.iter().find(|known| known.host_id == host.id);
            away.extend(stood.map(|stood| HostNetworkStatus {
                reason: Some("It is not connected.".into()),
                name: host.row().name.clone(),
                ..stood.clone()
            }));
        }
        let mut facts: Vec<HostFacts> = connected
            .iter()
            .filter_map(|(host, _)| {
                let host_row = host.row();
                let (_, swarm) = self.asked.get(&host.id)?;
                Some(HostFacts {
                    id: host.id,
                    name: host_row.name.clone(),
                    engine: host_row
                        .facts
                        .as_ref()
                        // Machines that were cloned may have one id.
                        .map_or_else(String::new, |facts| {
                            format!("{} {}", facts.engine_id, facts.hostname)
                        }),
                    address: address_of(host),
                    swarm: swarm.clone(),
                    failure: self.failures.get(&host.id).map(|failure| failure.why.clone()),
                    joined_before: before.iter().any(|b| b.host_id == host.id && b.joined),
                    node_before: before
                        .iter()
                        .find(|b| b.host_id == host.id)
                        .and_then(|b| b.node_id.clone()),
                })
            })
            .collect();
        let (nodes, labelled) = self.nodes(row, &connected, &facts).await;
        // What a manager does not see any more is asked itself.
        for fact in &mut facts {
            let seen = nodes.iter().any(|node| node.id == fact.swarm.node_id && !node.down);
            let stale =
                fact.swarm.local_node_state == LocalState::Active && !nodes.is_empty() && !seen;
            if stale
                && let Some((_, docker)) = connected.iter().find(|(host, _)| host.id == fact.id)
                && let Ok(swarm) = docker.local_swarm().await
            {
                self.asked.insert(fact.id, (Instant::now(), swarm.clone()));
                fact.swarm = swarm;
            }
        }
        Known { hosts: facts, away, nodes, labelled, made_on: row.made_on }
    }

    /// Asks the engines of which too little is known for their part in a swarm.
    async fn ask(&mut self, connected: &[(Arc<LiveHost>, Docker)]) {
        let wanted = connected.iter().filter(|(host, _)| match self.asked.get(&host.id) {
            None => true,
            Some((_, swarm)) if swarm.control_available => true,
            Some((at, swarm)) if swarm.local_node_state == LocalState::Active => {
                at.elapsed() > BELIEVED
            }
            Some((at, swarm)) if swarm.local_node_state == LocalState::Inactive => {
                at.elapsed() > ASKED_AGAIN
            }
            Some(_) => true,
        });
        let wanted: Vec<(Uuid, Docker)> =
            wanted.map(|(host, docker)| (host.id, docker.clone())).collect();
        let answers: Vec<(Uuid, driver::Result<LocalSwarm>)> = stream::iter(wanted)
            .map(|(host, docker)| async move { (host, docker.local_swarm().await) })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (host, answer) in answers {
            match answer {
                Ok(swarm) => {
                    if swarm.local_node_state == LocalState::Active {
                        self.failures.remove(&host);
                    }
                    self.asked.insert(host, (Instant::now(), swarm));
                }
                Err(error) => {
                    tracing::debug!(%error, host_id = %host, "cannot ask for an engine's swarm");
                }
            }
        }
    }

    /// The swarm's nodes, and whether it is marked as Drover's, by the first manager that decides.
    async fn nodes(
        &self,
        row: &NetworkRow,
        connected: &[(Arc<LiveHost>, Docker)],
        facts: &[HostFacts],
    ) -> (Vec<NodeFacts>, bool) {
        for fact in facts.iter().filter(|fact| fact.swarm.control_available) {
            let Some((_, docker)) = connected.iter().find(|(host, _)| host.id == fact.id) else {
                continue;
            };
            let (Ok(nodes), Ok(swarm)) = tokio::join!(docker.list_nodes(), docker.swarm()) else {
                continue;
            };
            let environment = row.id.to_string();
            let labelled = swarm.spec["Labels"][SWARM_LABEL].as_str() == Some(environment.as_str());
            let nodes = nodes.into_iter().map(|node| NodeFacts {
                down: node.status.state == "down",
                manager: node.spec.role == "manager",
                id: node.id,
            });
            return (nodes.collect(), labelled);
        }
        (Vec::new(), false)
    }

    /// Tells the workers how far the network reaches. While no manager is connected, what is there
    /// is used on for as long as a host may be away; then hosts are for themselves.
    fn settle_reach(&mut self, row: &NetworkRow, kind: Kind, plan: &plan::Plan) {
        let before = self.app.cattle.reach(self.environment);
        let reach = if plan.manager.is_some() {
            self.lost_manager = None;
            let joined = plan.status.hosts.iter().filter(|host| host.joined);
            Reach { kind, joined: joined.map(|host| host.host_id).collect(), manager: plan.manager }
        } else {
            let since = *self.lost_manager.get_or_insert_with(Instant::now);
            let limit = Duration::from_secs(row.scheduling.host_gone_after_seconds.into());
            if before.kind != Kind::Bridge && since.elapsed() < limit {
                Reach { manager: None, ..Reach::clone(&before) }
            } else {
                Reach::default()
            }
        };
        if *before != reach {
            tracing::info!(environment = %self.environment, ?reach, "the network across hosts has changed");
            self.app.cattle.set_reach(self.environment, reach);
        }
    }

    /// Takes the plan's steps; true when some were taken.
    async fn act(
        &mut self,
        row: &NetworkRow,
        hosts: &[Arc<LiveHost>],
        plan: &plan::Plan,
    ) -> Result<bool> {
        let manager = plan.manager.and_then(|id| docker_of(hosts, id));
        let mut done = false;
        for action in &plan.actions {
            let host = match action {
                Action::Init { host } | Action::Join { host, .. } | Action::Leave { host } => *host,
                _ => plan.manager.unwrap_or_default(),
            };
            if self.failures.get(&host).is_some_and(|failure| failure.until > Instant::now()) {
                continue;
            }
            let taken = match action {
                Action::Init { host } => self.init(row, hosts, *host).await?,
                Action::Leave { host } => match docker_of(hosts, *host) {
                    Some(docker) => docker.leave_swarm(true).await,
                    None => continue,
                },
                Action::Join { host, manager: as_manager } => match &manager {
                    Some(manager) => self.join(hosts, *host, manager, *as_manager).await,
                    None => continue,
                },
                Action::Label => match &manager {
                    Some(manager) => label(manager, row.id).await,
                    None => continue,
                },
                Action::SetManager { node, manager: as_manager } => match &manager {
                    Some(docker) => set_manager(docker, node, *as_manager).await,
                    None => continue,
                },
                Action::Forget { node } => match &manager {
                    Some(docker) => docker.remove_node(node, false).await,
                    None => continue,
                },
            };
            self.asked.remove(&host);
            done = true;
            self.note(hosts, host, action, taken);
        }
        Ok(done)
    }

    fn note(
        &mut self,
        hosts: &[Arc<LiveHost>],
        host: Uuid,
        action: &Action,
        taken: driver::Result<()>,
    ) {
        let name = hosts.iter().find(|known| known.id == host).map(|host| host.row().name.clone());
        let name = name.unwrap_or_default();
        match taken {
            Ok(()) => {
                tracing::info!(host = %name, ?action, "the network across hosts: done");
                self.failures.remove(&host);
            }
            Err(error) => {
                tracing::warn!(host = %name, ?action, %error, "the network across hosts: not done");
                let tries = self.failures.get(&host).map_or(0, |failure| failure.tries) + 1;
                let pause = Duration::from_secs(5 << tries.min(7)).min(LONGEST_PAUSE);
                let failure =
                    Failure { why: explain(action, &error), tries, until: Instant::now() + pause };
                self.failures.insert(host, failure);
            }
        }
    }

    async fn init(
        &self,
        row: &NetworkRow,
        hosts: &[Arc<LiveHost>],
        host: Uuid,
    ) -> Result<driver::Result<()>> {
        let Some(live) = hosts.iter().find(|known| known.id == host) else { return Ok(Ok(())) };
        let docker = match live.docker() {
            Ok(docker) => docker,
            Err(error) => return Ok(Err(error)),
        };
        // Before it is made: if the server dies in between, it is known whose it is.
        store::set_swarm_made_on(&self.app.db, row.id, Some(host)).await?;
        let addresses: Vec<IpAddr> =
            hosts.iter().filter_map(|host| address_of(host)?.parse().ok()).collect();
        let init = InitSwarm {
            advertise_address: address_of(live),
            address_pools: vec![pool_for(&addresses)],
            subnet_size: Some(SUBNET_SIZE),
            ..InitSwarm::default()
        };
        Ok(match docker.init_swarm(&init).await {
            Ok(_) => label(&docker, row.id).await,
            Err(error) => Err(error),
        })
    }

    async fn join(
        &self,
        hosts: &[Arc<LiveHost>],
        host: Uuid,
        manager: &Docker,
        as_manager: bool,
    ) -> driver::Result<()> {
        let Some(live) = hosts.iter().find(|known| known.id == host) else { return Ok(()) };
        let docker = live.docker()?;
        let (swarm, local) = tokio::join!(manager.swarm(), manager.local_swarm());
        let (tokens, local) = (swarm?.join_tokens, local?);
        let managers = local.remote_managers.into_iter().map(|peer| peer.addr);
        let own_address = address_of(live);
        // A manager that has left is listed for a while, and has nobody to join at itself.
        let is_other = |address: &String| {
            let host = address.rsplit_once(':').map_or("", |(host, _)| host);
            !host.is_empty() && own_address.as_deref() != Some(host.trim_matches(['[', ']']))
        };
        let join = JoinSwarm {
            listen_address: None,
            managers: managers.filter(is_other).collect(),
            advertise_address: own_address,
            data_path_address: None,
            token: if as_manager { tokens.manager } else { tokens.worker },
        };
        let joined = docker.join_swarm(&join).await;
        if joined.is_err()
            && let Ok(swarm) = docker.local_swarm().await
            && swarm.local_node_state == LocalState::Pending
            && swarm.node_id.is_empty()
        {
            // The engine would go on trying with what did not work, and refuse the next try. One
            // that has a node is in its swarm after all: it was only being started again.
            if let Err(error) = docker.leave_swarm(true).await {
                tracing::debug!(%error, "cannot end a try to join");
            }
        }
        joined
    }

    async fn tell(&self, row: &NetworkRow, status: CrossHostNetworkStatus) -> Result<()> {
        if row.status.as_ref() != Some(&status)
            && store::set_network_status(&self.app.db, row.id, &status).await?
        {
            self.app.events.updated(Topic::Environment, Some(row.id), row.id).await;
        }
        Ok(())
    }
}

/// How far the network reached when it was last looked at: until it is looked at again.
pub(in super::super) fn reach_before(row: &NetworkRow) -> Reach {
    let kind = match row.scheduling.cross_host_network {
        CrossHostNetwork::Off => return Reach::default(),
        CrossHostNetwork::On => Kind::Overlay,
        CrossHostNetwork::Encrypted => Kind::Encrypted,
    };
    let Some(status) = &row.status else { return Reach::default() };
    let joined: std::collections::HashSet<Uuid> =
        status.hosts.iter().filter(|host| host.joined).map(|host| host.host_id).collect();
    if joined.is_empty() {
        return Reach::default();
    }
    Reach { kind, joined, manager: None }
}

/// A host is no longer the environment's: it leaves the swarm that Drover made, and what Drover
/// made for all stacks goes. Best effort: the host may be away for good.
pub fn let_go(app: &App, host: &Arc<LiveHost>) {
    let Ok(docker) = host.docker() else { return };
    let others: Vec<Docker> = app
        .hosts
        .in_environment(host.environment_id)
        .iter()
        .filter(|other| other.id != host.id)
        .filter_map(|other| other.docker().ok())
        .collect();
    let (app, environment, name) = (app.clone(), host.environment_id, host.row().name.clone());
    tokio::spawn(async move {
        let limit = Duration::from_secs(120);
        let leaving = leave(&app, environment, &docker, &others);
        match tokio::time::timeout(limit, leaving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(host = %name, %error, "a removed host stays in its swarm")
            }
            Err(_) => tracing::warn!(host = %name, "a removed host has not left its swarm in time"),
        }
    });
}

async fn leave(
    app: &App,
    environment: Uuid,
    docker: &Docker,
    others: &[Docker],
) -> driver::Result<()> {
    for kind in [Kind::Bridge, Kind::Overlay, Kind::Encrypted] {
        let network = names::environment_network(environment, kind);
        // Others may use it still, or it was never made.
        if kind == Kind::Bridge
            && let Err(error) = docker.remove_network(&network).await
        {
            tracing::debug!(%error, network, "the environment's network stays on a removed host");
        }
    }
    let made = store::network_of_any(&app.db, environment)
        .await
        .map_err(|error| DockerError::new(ErrorKind::EngineError, error.to_string()))?;
    // With its environment gone too, the label alone says whose swarm it is.
    let swarm = docker.local_swarm().await?;
    if swarm.local_node_state == LocalState::Inactive {
        return Ok(());
    }
    let mut own = made.is_some_and(|row| row.made_on.is_some());
    let mut manager = None;
    for other in others.iter().chain([docker]) {
        let Ok(found) = other.swarm().await else { continue };
        let label = found.spec["Labels"][SWARM_LABEL].as_str().map(str::to_owned);
        own = label == Some(environment.to_string());
        manager = Some(other);
        break;
    }
    if !own {
        return Ok(());
    }
    if let Some(manager) = manager
        && swarm.control_available
        && swarm.managers > 1
    {
        // So that those that stay keep their quorum.
        match set_manager(manager, &swarm.node_id, false).await {
            Ok(()) => tokio::time::sleep(Duration::from_secs(3)).await,
            Err(error) => tracing::debug!(%error, "a manager leaves without notice"),
        }
    }
    docker.leave_swarm(true).await
}

fn docker_of(hosts: &[Arc<LiveHost>], id: Uuid) -> Option<Docker> {
    hosts.iter().find(|host| host.id == id)?.docker().ok()
}

/// Where the other hosts reach a host, as far as it is known: what a person says, or the address
/// that Drover itself uses. Otherwise the engine guesses.
fn address_of(host: &LiveHost) -> Option<String> {
    let row = host.row();
    if let Some(address) = row.labels.get(ADDRESS_LABEL) {
        return Some(address.trim().to_owned()).filter(|address| !address.is_empty());
    }
    let Endpoint::Tcp { address } = &row.endpoint else { return None };
    let (host, _) = address.rsplit_once(':')?;
    let ip: IpAddr = host.trim_matches(['[', ']']).parse().ok()?;
    (!ip.is_loopback()).then(|| ip.to_string())
}

async fn label(docker: &Docker, environment: Uuid) -> driver::Result<()> {
    docker
        .update_swarm(Default::default(), |spec| {
            if !spec["Labels"].is_object() {
                spec["Labels"] = serde_json::json!({});
            }
            spec["Labels"][SWARM_LABEL] = Value::String(environment.to_string());
        })
        .await
}

async fn set_manager(docker: &Docker, node: &str, manager: bool) -> driver::Result<()> {
    let role = if manager { "manager" } else { "worker" };
    docker.change_node(node, |spec| spec["Role"] = Value::String(role.into())).await
}

/// The first pool that none of the hosts is in.
fn pool_for(hosts: &[IpAddr]) -> String {
    let within = |pool: &(Ipv4Addr, u8)| {
        let mask = u32::MAX << (32 - pool.1);
        hosts.iter().any(|host| match host {
            IpAddr::V4(host) => host.to_bits() & mask == pool.0.to_bits() & mask,
            IpAddr::V6(_) => false,
        })
    };
    let (address, prefix) = POOLS.iter().find(|pool| !within(pool)).unwrap_or(&POOLS[0]);
    format!("{address}/{prefix}")
}

/// What to do about a step that did not work.
fn explain(action: &Action, error: &DockerError) -> String {
    let said = error.message().trim_end_matches('.');
    match action {
        Action::Init { .. } | Action::Join { .. } if said.contains("advertise") => format!(
            "The engine does not know which of its addresses the other hosts reach it by. Give the host the label `{ADDRESS_LABEL}` with that address. ({said})"
        ),
        Action::Join { .. } => format!(
            "It cannot join the other hosts. Between hosts, TCP port 2377, TCP and UDP port 7946 and UDP port 4789 must be open; which address a host is reached by can be set with its label `{ADDRESS_LABEL}`. ({said})"
        ),
        _ => format!("{said}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_outside_of_what_networks_are_cut_from() {
        let pool = |addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().filter_map(|a| a.parse().ok()).collect();
            pool_for(&addresses)
        };
        assert_eq!(pool(&[]), "10.192.0.0/10");
        assert_eq!(pool(&["192.168.0.1", "10.0.0.1"]), "10.192.0.0/10");
        assert_eq!(pool(&["10.0.0.1", "10.250.3.4"]), "10.64.0.0/10");
    }

    #[test]
    fn says_what_to_do() {
        let join = Action::Join { host: Uuid::nil(), manager: false };
        let said = |text: &str| explain(&join, &DockerError::new(ErrorKind::EngineError, text));
        assert!(said("timeout").contains("2377"));
        assert!(said("could not choose an IP address to advertise").contains("io.drover.address"));
    }
}
