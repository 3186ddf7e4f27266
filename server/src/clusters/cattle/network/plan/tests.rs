use super::*;
use crate::hosts::driver::swarm::Cluster;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A host that is in no swarm.
fn free(number: u128) -> HostFacts {
    let name = format!("h{number}");
    HostFacts { id: id(number), engine: format!("e{number}"), name, ..HostFacts::default() }
}

fn member(number: u128, manager: bool) -> HostFacts {
    let mut host = free(number);
    host.swarm = LocalSwarm {
        node_id: format!("n{number}"),
        node_addr: format!("10.0.0.{number}"),
        local_node_state: LocalState::Active,
        control_available: manager,
        cluster: manager.then(|| Cluster { id: "c".into() }),
        ..LocalSwarm::default()
    };
    host
}

fn node(number: u128, manager: bool) -> NodeFacts {
    NodeFacts { id: format!("n{number}"), down: false, manager }
}

fn away(number: u128, joined: bool) -> HostNetworkStatus {
    HostNetworkStatus {
        host_id: id(number),
        name: format!("h{number}"),
        joined,
        address: None,
        node_id: joined.then(|| format!("n{number}")),
        reason: None,
    }
}

/// Drover's own swarm of these.
fn own(hosts: Vec<HostFacts>, nodes: Vec<NodeFacts>) -> Known {
    Known { hosts, nodes, labelled: true, made_on: Some(id(1)), ..Known::default() }
}

fn state(known: &Known) -> CrossHostNetworkState {
    plan(known).status.state
}

#[test]
fn one_host_needs_none() {
    let known = Known { hosts: vec![free(1)], ..Known::default() };
    let found = plan(&known);
    assert_eq!((found.actions, found.status.state), (vec![], CrossHostNetworkState::OneHost));
}

#[test]
fn one_machine_added_twice_is_one() {
    let twice = HostFacts { engine: "e1".into(), ..free(2) };
    let known = Known { hosts: vec![free(1), twice], ..Known::default() };
    let found = plan(&known);
    assert_eq!((found.actions, found.status.state), (vec![], CrossHostNetworkState::OneHost));
}

#[test]
fn the_first_of_two_makes_it_and_the_second_joins() {
    let mut known = Known { hosts: vec![free(1), free(2)], ..Known::default() };
    assert_eq!(plan(&known).actions, [Action::Init { host: id(1) }]);
    // Killed before it was marked: still known as Drover's.
    known.made_on = Some(id(1));
    known.hosts[0] = member(1, true);
    known.nodes = vec![node(1, true)];
    let join = Action::Join { host: id(2), manager: false };
    assert_eq!(plan(&known).actions, [Action::Label, join.clone()]);
    known.labelled = true;
    assert_eq!(plan(&known).actions, [join]);
    known.hosts[1] = member(2, false);
    known.nodes.push(node(2, false));
    let done = plan(&known);
    assert_eq!((done.actions, done.status.state), (vec![], CrossHostNetworkState::Ready));
    assert_eq!(done.manager, Some(id(1)));
}

#[test]
fn three_hosts_are_three_managers_and_seven_five() {
    let hosts = |count: u128| {
        let mut all = vec![member(1, true)];
        all.extend((2..=count).map(free));
        own(all, vec![node(1, true)])
    };
    let managers = |known: &Known| {
        let joins = plan(known).actions;
        joins.iter().filter(|action| matches!(action, Action::Join { manager: true, .. })).count()
    };
    for (count, expected) in [(2, 0), (3, 2), (6, 2), (7, 4), (12, 4)] {
        assert_eq!(managers(&hosts(count)), expected, "{count} hosts");
    }
}

#[test]
fn a_worker_becomes_a_manager_when_a_third_host_comes() {
    let known =
        own(vec![member(1, true), member(2, false), free(3)], vec![node(1, true), node(2, false)]);
    assert_eq!(
        plan(&known).actions,
        [
            Action::Join { host: id(3), manager: true },
            Action::SetManager { node: "n2".into(), manager: true }
        ]
    );
}

#[test]
fn a_host_that_left_joins_again_and_its_old_node_goes() {
    let old = |manager| NodeFacts { down: true, ..node(9, manager) };
    let mut known = own(
        vec![member(1, true), member(2, true), free(3)],
        vec![node(1, true), node(2, true), old(true)],
    );
    let join = Action::Join { host: id(3), manager: true };
    assert_eq!(
        plan(&known).actions,
        [Action::SetManager { node: "n9".into(), manager: false }, join.clone()]
    );
    known.nodes[2] = old(false);
    assert_eq!(plan(&known).actions, [Action::Forget { node: "n9".into() }, join]);
}

#[test]
fn a_host_that_says_for_a_moment_that_it_has_left_stays_a_node() {
    let stopping = HostFacts { node_before: Some("n3".into()), ..free(3) };
    let known = own(
        vec![member(1, true), member(2, true), stopping],
        vec![node(1, true), node(2, true), NodeFacts { down: true, ..node(3, true) }],
    );
    let found = plan(&known);
    assert!(
        !found.actions.iter().any(|action| matches!(
            action,
            Action::SetManager { manager: false, .. } | Action::Forget { .. }
        )),
        "{:?}",
        found.actions
    );
    assert_eq!(found.status.hosts[2].node_id.as_deref(), Some("n3"));
}

#[test]
fn a_host_that_is_only_away_stays_a_node() {
    let mut known = own(
        vec![member(1, true), member(2, true)],
        vec![node(1, true), node(2, true), NodeFacts { down: true, ..node(3, true) }],
    );
    known.away = vec![away(3, true)];
    let found = plan(&known);
    assert_eq!((found.actions, found.status.state), (vec![], CrossHostNetworkState::Ready));
    assert!(found.status.hosts[2].joined);
}

#[test]
fn a_lost_quorum_is_told_and_never_forced() {
    let mut stuck = member(1, true);
    stuck.swarm.error = "The swarm does not have a leader.".into();
    stuck.swarm.cluster = None;
    let mut known = own(vec![stuck, member(4, false)], vec![]);
    known.away = vec![away(2, true), away(3, true)];
    let found = plan(&known);
    assert_eq!(found.actions, []);
    assert_eq!(found.status.state, CrossHostNetworkState::Unavailable);
    let reason = found.status.reason.unwrap_or_default();
    assert!(reason.contains("quorum") && reason.contains("force-new-cluster` on h1"), "{reason}");
}

#[test]
fn no_second_swarm_is_made_while_those_who_know_the_first_are_away() {
    let known = Known {
        hosts: vec![free(3), free(4)],
        away: vec![away(1, true)],
        made_on: Some(id(1)),
        ..Known::default()
    };
    let found = plan(&known);
    assert_eq!((found.actions, found.status.state), (vec![], CrossHostNetworkState::Joining));
}

#[test]
fn a_swarm_without_any_manager_left_is_made_anew() {
    let mut known = own(vec![free(1), member(2, false)], vec![]);
    assert_eq!(plan(&known).actions, [Action::Leave { host: id(2) }]);
    known.away = vec![away(3, true)];
    assert_eq!(plan(&known).actions, []);
}

#[test]
fn somebody_elses_swarm_is_used_when_all_are_in_it() {
    let mut known =
        own(vec![member(1, true), member(2, false)], vec![node(1, true), node(2, false)]);
    (known.labelled, known.made_on) = (false, None);
    let found = plan(&known);
    assert_eq!((found.actions, found.status.state), (vec![], CrossHostNetworkState::Ready));
    known.hosts[1] = free(2);
    known.nodes.pop();
    let found = plan(&known);
    assert_eq!((found.actions, found.status.state), (vec![], CrossHostNetworkState::Unavailable));
    let reason = found.status.reason.unwrap_or_default();
    assert!(
        reason.starts_with("h1 is in a swarm that Drover did not make, and h2 is not."),
        "{reason}"
    );
}

#[test]
fn hosts_of_different_swarms_are_not_joined() {
    let mut other = member(2, true);
    other.swarm.cluster = Some(Cluster { id: "other".into() });
    let mut known = own(vec![member(1, true), other], vec![node(1, true)]);
    assert_eq!(plan(&known).actions, []);
    assert_eq!(state(&known), CrossHostNetworkState::Unavailable);
    // A worker of another swarm is seen by its node.
    known.hosts[1] = member(2, false);
    let found = plan(&known);
    assert_eq!((found.actions, found.status.state), (vec![], CrossHostNetworkState::Partial));
    assert!(
        found.status.hosts[1].reason.as_deref().is_some_and(|why| why.contains("another swarm"))
    );
}

#[test]
fn what_did_not_work_is_said_where_it_happened() {
    let mut known = own(vec![member(1, true), free(2)], vec![node(1, true)]);
    known.hosts[1].failure = Some("It cannot reach 10.0.0.1:2377.".into());
    let found = plan(&known);
    assert_eq!(found.status.state, CrossHostNetworkState::Partial);
    assert_eq!(found.status.hosts[1].reason.as_deref(), Some("It cannot reach 10.0.0.1:2377."));
    assert_eq!(found.actions, [Action::Join { host: id(2), manager: false }]);
}
