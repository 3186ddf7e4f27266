use super::*;
use proptest::prelude::*;

const SPREAD: SchedulingStrategy = SchedulingStrategy::Spread;
const PACK: SchedulingStrategy = SchedulingStrategy::Pack;

fn host(id: u128, labels: &[(&str, &str)]) -> Candidate {
    Candidate {
        id: Uuid::from_u128(id),
        name: format!("h{id}"),
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..Candidate::default()
    }
}

fn hosts(count: u128) -> Vec<Candidate> {
    (1..=count).map(|id| Candidate { joined: true, ..host(id, &[]) }).collect()
}

fn project(text: &str) -> Project {
    let loaded = drover_compose::load(text, &());
    loaded.project.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
}

fn instance(project: &Project, service: &str, ordinal: i32, host: u128) -> Instance {
    Instance {
        id: Uuid::now_v7(),
        service: service.into(),
        ordinal,
        host_id: Uuid::from_u128(host),
        claims: project.services.get(service).map(Claims::of).unwrap_or_default(),
        ..Instance::default()
    }
}

fn neighbour(stack: &str, service: &str, claims: Claims) -> Neighbour {
    Neighbour { stack: stack.into(), service: service.into(), ordinal: 1, claims }
}

/// Where instance `ordinal` of a service goes, with others at `(service, ordinal, host)`.
fn choose(
    text: &str,
    (service, ordinal): (&str, i32),
    others: &[(&str, i32, u128)],
    hosts: &[Candidate],
    strategy: SchedulingStrategy,
) -> Result<u128, String> {
    let project = project(text);
    let instances: Vec<Instance> =
        others.iter().map(|(name, n, host)| instance(&project, name, *n, *host)).collect();
    let placing = Placing { stack: "s", project: &project, hosts, instances: &instances, strategy };
    placing.place(service, ordinal).map(|id| id.as_u128()).map_err(|unplaced| unplaced.why)
}

/// Places all instances of a text, one after the other.
fn place_all(
    text: &str,
    hosts: &[Candidate],
    strategy: SchedulingStrategy,
) -> Vec<(String, i32, Result<u128, &'static str>)> {
    let project = project(text);
    let mut instances: Vec<Instance> = Vec::new();
    let mut all = Vec::new();
    for name in order(&project) {
        for ordinal in 1..=project.services[name].deploy.replicas as i32 {
            let placing =
                Placing { stack: "s", project: &project, hosts, instances: &instances, strategy };
            let placed = placing.place(name, ordinal);
            if let Ok(host) = placed {
                instances.push(instance(&project, name, ordinal, host.as_u128()));
            }
            let placed = placed.map(|id| id.as_u128()).map_err(|unplaced| unplaced.code);
            all.push((name.to_owned(), ordinal, placed));
        }
    }
    all
}

#[test]
fn one_service_spreads_and_several_stay_together_without_a_network() {
    let apart = [host(1, &[]), host(2, &[])];
    let one = "services: {web: {image: a}}";
    assert_eq!(choose(one, ("web", 2), &[("web", 1, 1)], &apart, SPREAD), Ok(2));
    let two = "services: {web: {image: a}, db: {image: b}}";
    assert_eq!(choose(two, ("db", 1), &[("web", 1, 2)], &apart, SPREAD), Ok(2));
    assert_eq!(choose(two, ("db", 1), &[("web", 1, 2)], &hosts(2), SPREAD), Ok(1));
}

#[test]
fn a_host_that_is_not_joined_gets_whole_stacks_only() {
    let mut three = hosts(3);
    three[2].joined = false;
    three[0].closed = Some("it is inactive".into());
    three[1].closed = Some("it is inactive".into());
    let text = "services: {web: {image: a}, db: {image: b}}";
    assert_eq!(choose(text, ("db", 1), &[], &three, SPREAD), Ok(3));
    let why = choose(text, ("db", 1), &[("web", 1, 1)], &three, SPREAD).unwrap_err();
    assert!(why.contains("h3: the services that it talks to are on another host"), "{why}");
}

#[test]
fn packs_when_asked_to() {
    let text = "services: {web: {image: a, deploy: {replicas: 4}}}";
    let spread = place_all(text, &hosts(2), SPREAD);
    let on_first = |all: &[(String, i32, Result<u128, &str>)]| {
        all.iter().filter(|(_, _, placed)| *placed == Ok(1)).count()
    };
    assert_eq!(on_first(&spread), 2);
    assert_eq!(on_first(&place_all(text, &hosts(2), PACK)), 4);
}

#[test]
fn a_packed_host_that_is_full_is_passed_over() {
    let text = "services: {web: {image: a, deploy: {replicas: 3, resources: {reservations: {memory: 600m}}}}}";
    let mut two = hosts(2);
    for host in &mut two {
        host.memory = 1 << 30;
    }
    let all = place_all(text, &two, PACK);
    let placed: Vec<_> = all.into_iter().map(|(_, _, placed)| placed).collect();
    assert_eq!(placed, [Ok(1), Ok(2), Err("not_enough_room")]);
    let why = choose(text, ("web", 3), &[("web", 1, 1), ("web", 2, 2)], &two, PACK).unwrap_err();
    assert_eq!(
        why,
        "No host fits. h1: 424 MiB of its 1024 MiB of memory are not reserved, 600 MiB are needed; h2: 424 MiB of its 1024 MiB of memory are not reserved, 600 MiB are needed."
    );
}

#[test]
fn cpus_that_others_have_reserved_are_not_there() {
    let text = "services: {web: {image: a, deploy: {resources: {reservations: {cpus: '1.5'}}}}}";
    let mut one = hosts(1);
    one[0].nano_cpus = 2_000_000_000;
    assert_eq!(choose(text, ("web", 1), &[], &one, SPREAD), Ok(1));
    let claims = Claims { nano_cpus: 1_000_000_000, ..Claims::default() };
    one[0].neighbours.push(neighbour("other", "db", claims));
    let why = choose(text, ("web", 1), &[], &one, SPREAD).unwrap_err();
    assert_eq!(why, "No host fits. h1: 1 of its 2 CPUs are not reserved, 1.5 are needed.");
}

#[test]
fn says_which_rule_ruled_out_which_host() {
    let mut full = host(2, &[("disk", "ssd")]);
    full.taken_ports.push(PortClaim { port: 80, protocol: "tcp".into(), ip: None });
    let text = "services: {web: {image: a, ports: ['80:80'], deploy: {placement: {constraints: ['node.labels.disk == ssd']}}}}";
    let why = choose(text, ("web", 1), &[], &[host(1, &[]), full], SPREAD).unwrap_err();
    assert_eq!(
        why,
        "No host fits. h1: `node.labels.disk == ssd` does not hold; h2: port 80 is already taken."
    );
}

#[test]
fn ports_collide_by_protocol_and_address() {
    let claim = |port, protocol: &str, ip: Option<&str>| PortClaim {
        port,
        protocol: protocol.into(),
        ip: ip.and_then(|ip| ip.parse().ok()),
    };
    for (a, b, collide) in [
        (claim(80, "tcp", None), claim(80, "tcp", None), true),
        (claim(80, "tcp", None), claim(80, "udp", None), false),
        (claim(80, "tcp", None), claim(81, "tcp", None), false),
        (claim(80, "tcp", Some("10.0.0.1")), claim(80, "tcp", Some("10.0.0.2")), false),
        (claim(80, "tcp", Some("10.0.0.1")), claim(80, "tcp", Some("0.0.0.0")), true),
        (claim(80, "tcp", Some("10.0.0.1")), claim(80, "tcp", None), true),
        (claim(80, "tcp", Some("::")), claim(80, "tcp", Some("10.0.0.1")), true),
    ] {
        assert_eq!(a.collides(&b), collide, "{a:?} {b:?}");
        assert_eq!(b.collides(&a), collide, "{b:?} {a:?}");
    }
}

#[test]
fn ports_keep_services_of_one_stack_and_of_others_apart() {
    let text = "services: {a: {image: a, ports: ['80:80']}, b: {image: b, ports: ['80:81']}}";
    let mut two = hosts(2);
    assert_eq!(choose(text, ("b", 1), &[("a", 1, 1)], &two, PACK), Ok(2));
    let claims = Claims {
        ports: vec![PortClaim { port: 80, protocol: "tcp".into(), ip: None }],
        ..Claims::default()
    };
    two[1].neighbours.push(neighbour("other", "web", claims));
    let project = project(text);
    let instances = [instance(&project, "a", 1, 1)];
    let placing = Placing {
        stack: "s",
        project: &project,
        hosts: &two,
        instances: &instances,
        strategy: SPREAD,
    };
    assert_eq!(placing.place("b", 1).unwrap_err().code, "port_taken");
}

#[test]
fn a_volume_ties_a_service_to_its_host() {
    let text =
        "services: {web: {image: a, volumes: ['d:/d'], deploy: {replicas: 2}}}\nvolumes: {d: {}}";
    assert_eq!(choose(text, ("web", 2), &[("web", 1, 2)], &hosts(2), SPREAD), Ok(2));
}

#[test]
fn spreads_over_the_preferred_label() {
    let three = [host(1, &[("zone", "a")]), host(2, &[("zone", "a")]), host(3, &[("zone", "b")])];
    let text = "services: {web: {image: a, deploy: {placement: {preferences: [{spread: node.labels.zone}]}}}}";
    assert_eq!(choose(text, ("web", 2), &[("web", 1, 1)], &three, SPREAD), Ok(3));
}

#[test]
fn at_most_so_many_on_one_host() {
    let text =
        "services: {web: {image: a, deploy: {replicas: 3, placement: {max_replicas_per_node: 1}}}}";
    let codes: Vec<_> = place_all(text, &hosts(2), PACK).into_iter().map(|(_, _, p)| p).collect();
    assert_eq!(codes, [Ok(1), Ok(2), Err("no_host_fits")]);
}

/// A service with one label.
fn labelled(label: &str, value: &str) -> String {
    format!(
        "services:\n  web: {{image: a, labels: {{{}: '{value}', app: web}}}}\n  db: {{image: b, labels: {{app: db}}}}\n",
        format_args!("'io.drover.scheduler.affinity:{label}'")
    )
}

#[test]
fn affinity_by_the_table() {
    // Label, value, where `db` 1 is, and where `web` may go of two hosts, of which the second has
    // the label `disk=ssd`.
    for (label, value, db, fits) in [
        ("host_label", "disk=ssd", 1, &[2][..]),
        ("host_label", "DISK=SSD", 1, &[2]),
        ("host_label", "disk=hdd", 1, &[]),
        ("host_label", "disk", 1, &[2]),
        ("host_label", "disk=ssd,zone=a", 1, &[]),
        ("host_label_ne", "disk=ssd", 1, &[1]),
        ("container_label", "app=db", 1, &[1]),
        ("container_label", "app=nothing", 1, &[]),
        ("container_label_ne", "app=db", 1, &[2]),
        ("container_label", "app=web", 1, &[1, 2]),
        ("container", "s-db-1", 2, &[2]),
        ("container", "db", 2, &[2]),
        ("container", "s/db", 1, &[1]),
        ("container_ne", "$${stack_name}-db-1", 1, &[2]),
        ("container_label", "io.rancher.stack_service.name=s/db", 2, &[2]),
        ("container_label_ne", "io.rancher.stack_service.name=$${stack_name}/db", 2, &[1]),
    ] {
        let text = labelled(label, value);
        let mut two = hosts(2);
        two[1].labels.insert("disk".into(), "ssd".into());
        let mut found: Vec<u128> = (0..2)
            .filter_map(|closed| {
                let mut only = two.clone();
                only[closed].closed = Some("closed".into());
                choose(&text, ("web", 1), &[("db", 1, db)], &only, SPREAD).ok()
            })
            .collect();
        found.sort_unstable();
        assert_eq!(found, fits, "{label}: {value}, db on {db}");
    }
}

#[test]
fn wishes_decide_but_do_not_rule_out() {
    for (label, value, db, expected) in [
        ("host_label_soft", "disk=ssd", 1, 2),
        ("host_label_soft", "disk=hdd", 1, 2),
        ("host_label_soft_ne", "disk=ssd", 2, 1),
        ("container_label_soft", "app=db", 1, 1),
        ("container_label_soft_ne", "app=db", 2, 1),
        ("container_soft", "db", 1, 1),
    ] {
        let text = labelled(label, value);
        let mut two = hosts(2);
        two[1].labels.insert("disk".into(), "ssd".into());
        let chosen = choose(&text, ("web", 1), &[("db", 1, db)], &two, SPREAD);
        assert_eq!(chosen, Ok(expected), "{label}: {value}, db on {db}");
    }
}

#[test]
fn anti_affinity_to_oneself_keeps_replicas_apart() {
    let text = "services: {web: {image: a, deploy: {replicas: 3}, labels: {'io.rancher.scheduler.affinity:container_label_ne': 'io.rancher.stack_service.name=$${stack_name}/$${service_name}'}}}";
    let all: Vec<_> = place_all(text, &hosts(2), PACK).into_iter().map(|(_, _, p)| p).collect();
    assert_eq!(all, [Ok(1), Ok(2), Err("no_host_fits")]);
}

#[test]
fn sidekicks_stand_beside_their_primary() {
    let text = "services:\n  log: {image: b}\n  web: {image: a, labels: {io.drover.sidekicks: log}, deploy: {replicas: 3}}\n";
    let all = place_all(text, &hosts(3), SPREAD);
    for ordinal in 1..=3 {
        let of = |service: &str| {
            all.iter().find(|(name, n, _)| name == service && *n == ordinal).map(|(_, _, p)| *p)
        };
        assert_eq!(of("web"), of("log"), "{all:?}");
    }
}

#[test]
fn a_primary_goes_only_where_its_sidekick_can() {
    let text = "services:\n  web: {image: a, labels: {io.drover.sidekicks: log}}\n  log: {image: b, ports: ['514:514'], labels: {'io.drover.scheduler.affinity:host_label': 'disk=ssd'}}\n";
    let mut three = hosts(3);
    three[1].labels.insert("disk".into(), "ssd".into());
    three[1].taken_ports.push(PortClaim { port: 514, protocol: "tcp".into(), ip: None });
    three[2].labels.insert("disk".into(), "ssd".into());
    assert_eq!(choose(text, ("web", 1), &[], &three, SPREAD), Ok(3));
    three.pop();
    let why = choose(text, ("web", 1), &[], &three, SPREAD).unwrap_err();
    assert_eq!(
        why,
        "No host fits. h1: `host_label: disk=ssd` does not hold for `log`, which stands beside it; h2: port 514 is already taken."
    );
}

#[test]
fn what_shares_a_network_goes_along() {
    let text = "services:\n  app: {image: a, deploy: {replicas: 2}}\n  side: {image: b, network_mode: 'service:app', deploy: {replicas: 2}}\n";
    let all = place_all(text, &hosts(2), SPREAD);
    let places: Vec<_> = all.iter().map(|(_, _, placed)| *placed).collect();
    assert_eq!(places[..2], places[2..], "{all:?}");
}

#[test]
fn instances_stay_by_the_hosts_own_rules() {
    let text = "services: {web: {image: a, labels: {'io.drover.scheduler.affinity:host_label': 'disk=ssd'}}}";
    let project = project(text);
    let placing =
        Placing { stack: "s", project: &project, hosts: &[], instances: &[], strategy: SPREAD };
    assert!(placing.may_stay("web", &host(1, &[("disk", "ssd")])));
    assert!(!placing.may_stay("web", &host(1, &[])));
}

proptest! {
    /// Whatever the hosts have room for: nothing is placed twice on a port, over a host's room or
    /// on a closed host; what is placed nowhere could really go nowhere.
    #[test]
    fn no_rule_is_ever_broken(
        memories in prop::collection::vec(0..5_u64, 1..5),
        replicas in 1..6_u32,
        needs in 0..3_u64,
        published: bool,
        pack: bool,
        closed in 0..5_usize,
    ) {
        let mut all: Vec<Candidate> = hosts(memories.len() as u128);
        for (host, memory) in all.iter_mut().zip(&memories) {
            host.memory = memory << 20;
        }
        if let Some(host) = all.get_mut(closed) {
            host.closed = Some("it is inactive".into());
        }
        let ports = if published { ", ports: ['80:80']" } else { "" };
        let text = format!("services: {{web: {{image: a{ports}, deploy: {{replicas: {replicas}, resources: {{reservations: {{memory: {needs}m}}}}}}}}}}");
        let strategy = if pack { PACK } else { SPREAD };
        let placed = place_all(&text, &all, strategy);
        for host in &all {
            let here = placed.iter().filter(|(_, _, p)| *p == Ok(host.id.as_u128())).count() as u64;
            prop_assert!(here == 0 || host.closed.is_none());
            prop_assert!(!published || here <= 1);
            prop_assert!(host.memory == 0 || here * (needs << 20) <= host.memory);
            let unplaced = placed.iter().any(|(_, _, p)| p.is_err());
            let room = host.closed.is_none()
                && (!published || here == 0)
                && (host.memory == 0 || (here + 1) * (needs << 20) <= host.memory);
            prop_assert!(!(unplaced && room), "{host:?} had room");
        }
    }
}
