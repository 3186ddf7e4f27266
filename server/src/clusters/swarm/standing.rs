//! How a swarm stands, from what its hosts say. Pure.

use drover_api::{SwarmPart, SwarmState};
use uuid::Uuid;

use crate::hosts::driver::{
    ErrorKind,
    swarm::{LocalState, LocalSwarm, Node},
};

/// What a host says of its part in a swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPart {
    pub host_id: Uuid,
    pub host_name: String,
    /// What its engine says; or why it cannot be asked.
    pub said: Result<LocalSwarm, String>,
    /// Its node, as it was last known.
    pub known_node: Option<String>,
}

impl HostPart {
    /// Its node in a swarm, as far as it is known.
    pub fn node_id(&self) -> Option<&str> {
        let node = match &self.said {
            Ok(local) => Some(local.node_id.as_str()),
            Err(_) => self.known_node.as_deref(),
        };
        node.filter(|node| !node.is_empty())
    }

    fn local(&self) -> Option<&LocalSwarm> {
        self.said.as_ref().ok()
    }

    /// It is in a swarm, in whichever way.
    pub fn is_in(&self) -> bool {
        self.local().is_some_and(|local| local.local_node_state != LocalState::Inactive)
    }

    /// A manager that may be asked.
    pub fn is_manager(&self) -> bool {
        self.local().is_some_and(|local| {
            local.control_available && local.local_node_state == LocalState::Active
        })
    }

    /// A manager that says that there is no leader.
    fn lacks_leader(&self) -> bool {
        self.local().is_some_and(|local| {
            local.control_available
                && crate::hosts::driver::DockerError::from_answer(500, &local.error).kind()
                    == ErrorKind::NoQuorum
        })
    }

    fn cluster(&self) -> Option<&str> {
        self.local()?
            .cluster
            .as_ref()
            .map(|cluster| cluster.id.as_str())
            .filter(|id| !id.is_empty())
    }

    /// Its part in the swarm with this id, of these nodes.
    pub fn part(&self, cluster: Option<&str>, nodes: &[Node]) -> SwarmPart {
        let Some(local) = self.local() else { return SwarmPart::Unknown };
        let other = match (cluster, self.cluster()) {
            (Some(ours), Some(its)) => ours != its,
            // Workers do not know their swarm's id, but its managers know their nodes.
            (Some(_), None) if local.local_node_state == LocalState::Active => {
                !nodes.is_empty() && !nodes.iter().any(|node| node.id == local.node_id)
            }
            _ => false,
        };
        match local.local_node_state {
            LocalState::Inactive => SwarmPart::None,
            LocalState::Locked => SwarmPart::Locked,
            _ if other => SwarmPart::Other,
            LocalState::Active if local.control_available => SwarmPart::Manager,
            LocalState::Active => SwarmPart::Worker,
            LocalState::Pending | LocalState::Error | LocalState::Other => SwarmPart::Error,
        }
    }
}

/// What is known of a swarm.
pub(super) struct Known<'a> {
    /// The swarm that the environment stands on.
    pub cluster: Option<&'a str>,
    pub parts: &'a [HostPart],
    /// As last seen.
    pub nodes: &'a [Node],
    /// A manager answers now; or why none does.
    pub answers: Result<(), &'a (ErrorKind, String)>,
    /// An operation makes it, or changes its nodes.
    pub busy: bool,
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub state: SwarmState,
    pub reason: Option<String>,
    pub advice: Option<String>,
}

/// Managers, those of them that the others reach, and how many must be there.
pub(super) fn managers(nodes: &[Node]) -> (u32, u32, u32) {
    let managers = nodes.iter().filter_map(|node| node.manager_status.as_ref());
    let all = managers.clone().count() as u32;
    let reachable = managers.filter(|manager| manager.reachability == "reachable").count() as u32;
    (all, reachable, quorum(all))
}

/// How many of so many managers must be there for anything to be decided.
pub(super) fn quorum(managers: u32) -> u32 {
    if managers == 0 { 0 } else { managers / 2 + 1 }
}

/// Whether one manager more or less would be wiser.
pub(super) fn is_good_count(managers: u32) -> bool {
    matches!(managers, 1 | 3 | 5 | 7)
}

pub(super) fn judge(known: &Known<'_>) -> Standing {
    let standing =
        |state, reason: Option<String>, advice: Option<String>| Standing { state, reason, advice };
    let names = |wanted: &dyn Fn(&HostPart) -> bool| {
        let found = known.parts.iter().filter(|part| wanted(part));
        found.map(|part| part.host_name.as_str()).collect::<Vec<_>>().join(", ")
    };
    if known.cluster.is_none() {
        if known.busy {
            return standing(SwarmState::Pending, None, None);
        }
        if known.parts.iter().any(HostPart::is_in) {
            return standing(
                SwarmState::Found,
                Some(format!("These hosts are in a swarm already: {}.", names(&HostPart::is_in))),
                Some("Take it over, or have them leave it with `docker swarm leave`.".into()),
            );
        }
        let advice = if known.parts.is_empty() {
            "Add hosts first, then make a swarm of them."
        } else {
            "Make a swarm of the hosts: one manager to try it, three or five to rely on it."
        };
        return standing(SwarmState::None, None, Some(advice.into()));
    }
    let (all, reachable, needed) = managers(known.nodes);
    // The leader counts who is away long before it gives up itself.
    let outnumbered = known.answers.is_ok() && all > 0 && reachable < needed;
    if known.answers.is_ok() && !outnumbered {
        return working(known);
    }
    let lost = known.answers.err();
    if outnumbered
        || known.parts.iter().any(HostPart::lacks_leader)
        || lost.is_some_and(|(kind, _)| *kind == ErrorKind::NoQuorum)
    {
        let there = names(&HostPart::is_manager);
        let count = if all > 0 {
            format!(" {needed} of its {all} managers must be there.")
        } else {
            String::new()
        };
        return standing(
            SwarmState::NoQuorum,
            Some(format!(
                "The swarm has lost its quorum: too few managers are there (reached: {}).{count} What runs goes on, but nothing can be changed.",
                if there.is_empty() { "none" } else { &there }
            )),
            Some("Start the missing managers again, and it recovers by itself. If they are gone for good, force a new cluster from one that is left.".into()),
        );
    }
    let locked =
        |part: &HostPart| part.local().is_some_and(|l| l.local_node_state == LocalState::Locked);
    if known.parts.iter().any(&locked) {
        return standing(
            SwarmState::Locked,
            Some(format!("These managers are locked: {}.", names(&locked))),
            Some("Unlock them; Drover has kept the key.".into()),
        );
    }
    let asked = known.parts.iter().filter(|part| part.said.is_ok()).count();
    if asked == known.parts.len() && asked > 0 && !known.parts.iter().any(HostPart::is_in) {
        return standing(
            SwarmState::Error,
            Some("None of the environment's hosts is in its swarm any more.".into()),
            Some("Dissolve it here, then make a new one; stacks are deployed again.".into()),
        );
    }
    let failed = known.parts.iter().find_map(|part| {
        let local = part.local().filter(|local| local.local_node_state == LocalState::Error)?;
        Some(format!("{}: {}", part.host_name, local.error))
    });
    if let Some(error) = failed
        && !known.parts.iter().any(HostPart::is_manager)
    {
        let advice = "Have the host leave the swarm by force, and join it again.";
        return standing(SwarmState::Error, Some(error), Some(advice.into()));
    }
    let reason = lost.map_or("No manager has been asked yet.".to_owned(), |(_, why)| why.clone());
    standing(
        SwarmState::Unreachable,
        Some(reason),
        Some("Drover asks again by itself as soon as a manager is connected.".into()),
    )
}

/// A manager answers.
fn working(known: &Known<'_>) -> Standing {
    let (all, reachable, quorum) = managers(known.nodes);
    let away: Vec<&str> = known
        .nodes
        .iter()
        .filter(|node| {
            let manager = node.manager_status.as_ref();
            manager.is_some_and(|manager| manager.reachability != "reachable")
                || node.status.state == "down"
        })
        .map(|node| node.description.hostname.as_str())
        .collect();
    let advice = match all {
        0 => None,
        all if is_good_count(all) => None,
        all => Some(format!(
            "{all} managers stand no more failures than {}: promote or demote one.",
            all - 1
        )),
    };
    if away.is_empty() {
        return Standing { state: SwarmState::Active, reason: None, advice };
    }
    let mut reason = format!("These nodes are away: {}.", away.join(", "));
    if reachable < all {
        let spare = reachable.saturating_sub(quorum);
        reason.push_str(&match spare {
            0 => " If one more manager goes, the swarm loses its quorum.".to_owned(),
            spare => format!(" {spare} more of its managers may go before it loses its quorum."),
        });
    }
    let advice =
        advice.or(Some("Bring them back, or remove the nodes that are gone for good.".into()));
    Standing { state: SwarmState::Degraded, reason: Some(reason), advice }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::driver::swarm::{Cluster, ManagerStatus};

    fn part(name: &str, local: LocalSwarm) -> HostPart {
        HostPart { host_id: Uuid::nil(), host_name: name.into(), said: Ok(local), known_node: None }
    }

    fn manager(name: &str, cluster: &str, error: &str) -> HostPart {
        let local = LocalSwarm {
            node_id: name.into(),
            local_node_state: LocalState::Active,
            control_available: true,
            error: error.into(),
            cluster: Some(Cluster { id: cluster.into() }),
            ..LocalSwarm::default()
        };
        part(name, local)
    }

    fn node(name: &str, reachability: Option<&str>, state: &str) -> Node {
        let mut node = Node { id: name.into(), ..Node::default() };
        node.description.hostname = name.into();
        node.status.state = state.into();
        node.manager_status = reachability
            .map(|r| ManagerStatus { reachability: r.into(), ..ManagerStatus::default() });
        node
    }

    fn state(cluster: Option<&str>, parts: &[HostPart], nodes: &[Node], answers: bool) -> Standing {
        let lost = (ErrorKind::HostUnreachable, "It is away.".to_owned());
        let answers = if answers { Ok(()) } else { Err(&lost) };
        judge(&Known { cluster, parts, nodes, answers, busy: false })
    }

    #[test]
    fn before_there_is_one() {
        assert_eq!(state(None, &[], &[], false).state, SwarmState::None);
        let alone = part("a", LocalSwarm::default());
        assert_eq!(state(None, &[alone], &[], false).state, SwarmState::None);
        let found = state(None, &[manager("a", "x", "")], &[], false);
        assert_eq!(found.state, SwarmState::Found);
        assert!(found.reason.unwrap().contains('a'));
    }

    #[test]
    fn a_lost_quorum_is_said_with_what_to_do() {
        let error = "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of the managers are online.";
        let nodes = ["a", "b", "c"].map(|name| node(name, Some("reachable"), "ready"));
        let lost = state(Some("x"), &[manager("a", "x", error)], &nodes, false);
        assert_eq!(lost.state, SwarmState::NoQuorum);
        assert!(lost.reason.unwrap().contains("2 of its 3 managers"));
        assert!(lost.advice.unwrap().contains("force a new cluster"));
    }

    #[test]
    fn while_it_works() {
        let parts = [manager("a", "x", "")];
        let all = ["a", "b", "c"].map(|name| node(name, Some("reachable"), "ready"));
        assert_eq!(state(Some("x"), &parts, &all, true).state, SwarmState::Active);
        assert_eq!(state(Some("x"), &parts, &all[..2], true).state, SwarmState::Active);
        assert!(state(Some("x"), &parts, &all[..2], true).advice.unwrap().contains("than 1"));
        let mut one_away = all.clone();
        one_away[2] = node("c", Some("unreachable"), "down");
        let mut two_away = one_away.clone();
        two_away[1] = node("b", Some("unreachable"), "down");
        assert_eq!(state(Some("x"), &parts, &two_away, true).state, SwarmState::NoQuorum);
        let degraded = state(Some("x"), &parts, &one_away, true);
        assert_eq!(degraded.state, SwarmState::Degraded);
        assert!(degraded.reason.unwrap().contains("loses its quorum"));
    }

    #[test]
    fn when_nobody_answers() {
        let mut locked = manager("a", "", "");
        if let Ok(local) = &mut locked.said {
            local.local_node_state = LocalState::Locked;
            local.control_available = false;
        }
        assert_eq!(state(Some("x"), &[locked], &[], false).state, SwarmState::Locked);
        let left = part("a", LocalSwarm::default());
        assert_eq!(state(Some("x"), &[left], &[], false).state, SwarmState::Error);
        let away = HostPart { said: Err("away".into()), ..part("a", LocalSwarm::default()) };
        assert_eq!(state(Some("x"), &[away], &[], false).state, SwarmState::Unreachable);
    }

    #[test]
    fn parts_of_hosts() {
        let nodes = [node("a", Some("reachable"), "ready"), node("w", None, "ready")];
        assert_eq!(manager("a", "x", "").part(Some("x"), &nodes), SwarmPart::Manager);
        assert_eq!(manager("a", "y", "").part(Some("x"), &nodes), SwarmPart::Other);
        let worker = |id: &str| {
            let local = LocalSwarm {
                node_id: id.into(),
                local_node_state: LocalState::Active,
                ..LocalSwarm::default()
            };
            part(id, local)
        };
        assert_eq!(worker("w").part(Some("x"), &nodes), SwarmPart::Worker);
        assert_eq!(worker("v").part(Some("x"), &nodes), SwarmPart::Other);
        assert_eq!(part("n", LocalSwarm::default()).part(Some("x"), &nodes), SwarmPart::None);
    }

    #[test]
    fn quorums() {
        let all: Vec<u32> = (0..=7).map(quorum).collect();
        assert_eq!(all, [0, 1, 2, 2, 3, 3, 4, 4]);
    }
}
