//! What to do next for the network across hosts, and how it stands. Pure.
//!
//! Drover uses a swarm for networks only. It makes one when there is none, joins hosts to the one
//! that it made, and mends that. A swarm that somebody else made is used when all hosts are in it,
//! and otherwise left alone. A swarm that has lost its quorum is never forced back: that decides
//! between histories, which is for people to do.

use std::collections::HashSet;

use drover_api::{CrossHostNetworkState, CrossHostNetworkStatus, HostNetworkStatus};
use uuid::Uuid;

use crate::hosts::driver::swarm::{LocalState, LocalSwarm};

/// A connected host.
#[derive(Debug, Clone, Default)]
pub(super) struct HostFacts {
    pub id: Uuid,
    pub name: String,
    /// The engine's own id: two hosts can be one machine.
    pub engine: String,
    /// Where a person says that the other hosts reach it.
    pub address: Option<String>,
    pub swarm: LocalSwarm,
    /// Why the last try to join it did not work.
    pub failure: Option<String>,
    /// It was joined when it was last looked at.
    pub joined_before: bool,
    /// Its node when it was last looked at. Until it has another one, that one is not forgotten:
    /// an engine that is being stopped says for a moment that it is in no swarm.
    pub node_before: Option<String>,
}

impl HostFacts {
    fn is_member(&self) -> bool {
        self.swarm.local_node_state == LocalState::Active
    }

    /// A manager that can decide something.
    fn decides(&self) -> bool {
        self.is_member()
            && self.swarm.control_available
            && self.swarm.error.is_empty()
            && self.swarm.cluster.is_some()
    }

    fn cluster(&self) -> Option<&str> {
        self.swarm.cluster.as_ref().map(|cluster| cluster.id.as_str()).filter(|id| !id.is_empty())
    }
}

/// A node of the swarm.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeFacts {
    pub id: String,
    pub down: bool,
    pub manager: bool,
}

/// All that is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub hosts: Vec<HostFacts>,
    /// Hosts that are not connected, as they stood when they were.
    pub away: Vec<HostNetworkStatus>,
    /// The swarm's nodes, by a manager that decides.
    pub nodes: Vec<NodeFacts>,
    /// The swarm carries the label that Drover gives to its own.
    pub labelled: bool,
    /// The host on which Drover makes or has made the swarm.
    pub made_on: Option<Uuid>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Make a swarm on this host.
    Init { host: Uuid },
    /// Mark the swarm as Drover's.
    Label,
    /// Have a host join.
    Join { host: Uuid, manager: bool },
    /// Have a host leave a swarm that has no manager any more.
    Leave { host: Uuid },
    /// Make a node a manager, or a worker.
    SetManager { node: String, manager: bool },
    /// Forget a node that is not there any more.
    Forget { node: String },
}

/// What to do, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub actions: Vec<Action>,
    pub status: CrossHostNetworkStatus,
    /// The host whose engine decides for the swarm.
    pub manager: Option<Uuid>,
}

/// How many managers a swarm of so many hosts gets.
fn managers_for(hosts: usize) -> usize {
    match hosts {
        0..3 => 1,
        3..7 => 3,
        _ => 5,
    }
}

/// The plan.
pub(super) fn plan(known: &Known) -> Plan {
    let deciding = known.hosts.iter().find(|host| host.decides());
    let clusters: HashSet<&str> =
        known.hosts.iter().filter(|host| host.decides()).filter_map(HostFacts::cluster).collect();
    if clusters.len() > 1 {
        let names = names(known.hosts.iter().filter(|host| host.decides()));
        return unavailable(
            known,
            format!(
                "{names} are in different swarms. Let all but one leave theirs (`docker swarm leave --force` there)."
            ),
        );
    }
    match deciding {
        Some(manager) => with_manager(known, manager),
        None if known.hosts.iter().any(HostFacts::is_member) => without_manager(known),
        None => without_swarm(known),
    }
}

/// No connected host is in a swarm.
fn without_swarm(known: &Known) -> Plan {
    let wait = |state, reason: Option<String>| Plan {
        actions: Vec::new(),
        status: status(known, state, reason, &|_| false),
        manager: None,
    };
    let joined_before: Vec<&str> =
        known.away.iter().filter(|host| host.joined).map(|host| host.name.as_str()).collect();
    if !joined_before.is_empty() {
        return wait(
            CrossHostNetworkState::Joining,
            Some(format!("It waits for {}, which know the swarm.", joined_before.join(", "))),
        );
    }
    let free: Vec<&HostFacts> = known
        .hosts
        .iter()
        .filter(|host| host.swarm.local_node_state == LocalState::Inactive)
        .collect();
    let engines: HashSet<&str> = free.iter().map(|host| host.engine.as_str()).collect();
    if engines.len() < 2 {
        let troubled = known.hosts.len() > free.len() && known.hosts.len() > 1;
        let state = if troubled {
            CrossHostNetworkState::Unavailable
        } else {
            CrossHostNetworkState::OneHost
        };
        let reason = troubled.then(|| "A host cannot take part; see there.".to_owned());
        return wait(state, reason);
    }
    // One on which it did not work is not tried for ever.
    let first = free.iter().find(|host| host.failure.is_none()).unwrap_or(&free[0]);
    let state = if first.failure.is_some() {
        CrossHostNetworkState::Unavailable
    } else {
        CrossHostNetworkState::Joining
    };
    Plan {
        actions: vec![Action::Init { host: first.id }],
        status: status(
            known,
            state,
            Some(first.failure.clone().unwrap_or_else(|| "It is being set up.".into())),
            &|_| false,
        ),
        manager: None,
    }
}

/// Hosts are in a swarm, but no manager that decides is connected.
fn without_manager(known: &Known) -> Plan {
    let members = || known.hosts.iter().filter(|host| host.is_member());
    if let Some(stuck) = members().find(|host| host.swarm.control_available) {
        return unavailable(
            known,
            format!(
                "The swarm that carries it has lost its quorum: too few of its managers are there. Bring back the hosts that are away. If they will never come back, run `docker swarm init --force-new-cluster` on {}: it makes a new swarm of what that host knows, and the others join it again. ({})",
                stuck.name,
                stuck.swarm.error.trim_end_matches('.')
            ),
        );
    }
    let away: Vec<&str> =
        known.away.iter().filter(|host| host.joined).map(|host| host.name.as_str()).collect();
    if !away.is_empty() {
        return unavailable(
            known,
            format!(
                "No manager of the swarm that carries it is connected. It waits for {}.",
                away.join(", ")
            ),
        );
    }
    if known.made_on.is_none() {
        return unavailable(
            known,
            format!(
                "{} are in a swarm whose managers are no hosts of this environment. Add those, or let the hosts leave it.",
                names(members())
            ),
        );
    }
    // The managers were Drover's hosts and are no more; the swarm cannot come back.
    Plan {
        actions: members().map(|host| Action::Leave { host: host.id }).collect(),
        status: status(
            known,
            CrossHostNetworkState::Joining,
            Some("Its swarm has lost all managers; it is made anew.".into()),
            &|_| false,
        ),
        manager: None,
    }
}

fn with_manager(known: &Known, manager: &HostFacts) -> Plan {
    let ids: HashSet<&str> = known.nodes.iter().map(|node| node.id.as_str()).collect();
    let is_in = |host: &HostFacts| {
        // An engine that was started again needs a moment.
        let starting = host.joined_before && host.swarm.local_node_state == LocalState::Pending;
        starting || host.is_member() && ids.contains(host.swarm.node_id.as_str())
    };
    let outside: Vec<&HostFacts> = known.hosts.iter().filter(|host| !is_in(host)).collect();
    // Made by Drover in the moment before a crash: nobody else is in it.
    let adopts = !known.labelled
        && known.nodes.len() == 1
        && known
            .made_on
            .is_some_and(|made| known.hosts.iter().any(|host| host.id == made && is_in(host)));
    let own = known.labelled || adopts;
    if !own {
        return foreign(known, manager, &outside, &is_in);
    }
    let mut actions = Vec::new();
    if adopts {
        actions.push(Action::Label);
    }
    let of_hosts: HashSet<&str> = known
        .hosts
        .iter()
        .filter(|host| is_in(host))
        .map(|host| host.swarm.node_id.as_str())
        .chain(outside.iter().filter_map(|host| host.node_before.as_deref()))
        .chain(known.away.iter().filter_map(|host| host.node_id.as_deref()))
        .collect();
    for node in known.nodes.iter().filter(|node| node.down) {
        if of_hosts.contains(node.id.as_str()) {
            continue;
        }
        // A host that was removed, or made anew: the node is nobody's any more.
        actions.push(if node.manager {
            Action::SetManager { node: node.id.clone(), manager: false }
        } else {
            Action::Forget { node: node.id.clone() }
        });
    }
    let free = outside.iter().filter(|host| host.swarm.local_node_state == LocalState::Inactive);
    let joined = known.hosts.iter().filter(|host| is_in(host)).count();
    let wanted = managers_for(joined + free.clone().count() + known.away.len());
    let mut managers = known
        .nodes
        .iter()
        .filter(|node| node.manager && of_hosts.contains(node.id.as_str()))
        .count();
    for host in free {
        let as_manager = managers < wanted;
        managers += usize::from(as_manager);
        actions.push(Action::Join { host: host.id, manager: as_manager });
    }
    for host in known.hosts.iter().filter(|host| is_in(host) && !host.swarm.control_available) {
        if managers < wanted {
            managers += 1;
            let node = host.swarm.node_id.clone();
            actions.push(Action::SetManager { node, manager: true });
        }
    }
    let failing = outside.iter().any(|host| host.failure.is_some() || !can_join(host));
    let (state, reason) = if outside.is_empty() {
        (CrossHostNetworkState::Ready, None)
    } else if failing {
        let reason = "Some hosts cannot be joined; see there. Containers that talk to each other stay on those that are joined, or together on one that is not.";
        (CrossHostNetworkState::Partial, Some(reason.to_owned()))
    } else {
        (CrossHostNetworkState::Joining, Some(format!("{} join it.", names(outside.into_iter()))))
    };
    Plan { actions, status: status(known, state, reason, &is_in), manager: Some(manager.id) }
}

/// The swarm is somebody else's.
fn foreign(
    known: &Known,
    manager: &HostFacts,
    outside: &[&HostFacts],
    is_in: &dyn Fn(&HostFacts) -> bool,
) -> Plan {
    if known.hosts.len() + known.away.len() < 2 {
        return Plan {
            actions: Vec::new(),
            status: status(known, CrossHostNetworkState::OneHost, None, &|_| false),
            manager: None,
        };
    }
    if outside.is_empty() {
        return Plan {
            actions: Vec::new(),
            status: status(known, CrossHostNetworkState::Ready, None, is_in),
            manager: Some(manager.id),
        };
    }
    unavailable(
        known,
        format!(
            "{} is in a swarm that Drover did not make, and {} not. Have them join it (`docker swarm join-token worker` on {} says how), or let {} leave it: then Drover makes one of its own.",
            manager.name,
            match outside {
                [one] => format!("{} is", one.name),
                _ => format!("{} are", names(outside.iter().copied())),
            },
            manager.name,
            manager.name
        ),
    )
}

fn unavailable(known: &Known, reason: String) -> Plan {
    Plan {
        actions: Vec::new(),
        status: status(known, CrossHostNetworkState::Unavailable, Some(reason), &|_| false),
        manager: None,
    }
}

fn can_join(host: &HostFacts) -> bool {
    matches!(host.swarm.local_node_state, LocalState::Inactive | LocalState::Pending)
}

fn names<'a>(hosts: impl Iterator<Item = &'a HostFacts>) -> String {
    let all: Vec<&str> = hosts.map(|host| host.name.as_str()).collect();
    match all.as_slice() {
        [] => "No host".into(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn status(
    known: &Known,
    state: CrossHostNetworkState,
    reason: Option<String>,
    is_in: &dyn Fn(&HostFacts) -> bool,
) -> CrossHostNetworkStatus {
    let connected = known.hosts.iter().map(|host| {
        let joined = is_in(host);
        HostNetworkStatus {
            host_id: host.id,
            name: host.name.clone(),
            joined,
            address: Some(host.swarm.node_addr.clone())
                .filter(|address| !address.is_empty())
                .or_else(|| host.address.clone()),
            node_id: Some(host.swarm.node_id.clone())
                .filter(|id| !id.is_empty())
                .or_else(|| host.node_before.clone()),
            reason: if joined { None } else { why_not(host, state, reason.as_deref()) },
        }
    });
    let mut hosts: Vec<HostNetworkStatus> = connected.chain(known.away.iter().cloned()).collect();
    hosts.sort_by_key(|host| host.host_id);
    CrossHostNetworkStatus { state, reason, hosts }
}

fn why_not(host: &HostFacts, state: CrossHostNetworkState, reason: Option<&str>) -> Option<String> {
    if let Some(failure) = &host.failure {
        return Some(failure.clone());
    }
    let why = match host.swarm.local_node_state {
        LocalState::Locked => {
            "Its engine is a swarm's manager that must be unlocked (`docker swarm unlock`).".into()
        }
        LocalState::Error => format!("Its engine cannot take part in its swarm: {}", host.swarm.error),
        LocalState::Pending => "It joins.".into(),
        LocalState::Active if state == CrossHostNetworkState::Partial => {
            "It is in another swarm than the other hosts. Let it leave (`docker swarm leave --force`).".into()
        }
        _ if state == CrossHostNetworkState::OneHost => return None,
        _ => return reason.map(str::to_owned),
    };
    Some(why)
}

#[cfg(test)]
mod tests;
