//! Which host an instance goes to. Pure.
//!
//! The services of a stack reach each other by name over a network of one host, so a stack with
//! several services stays together on one host, unless a service has a placement of its own. A
//! stack of one service spreads.

use std::collections::{HashMap, HashSet};

use drover_compose::{Constraint, MountKind, Project, Service};
use indexmap::IndexMap;
use uuid::Uuid;

use super::plan::Instance;

/// A host to choose from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Candidate {
    pub id: Uuid,
    pub name: String,
    pub hostname: String,
    pub labels: IndexMap<String, String>,
    pub architecture: String,
    /// Why it takes no containers now, if so.
    pub closed: Option<String>,
    /// It is closed only because it is away, and tries to come back by itself.
    pub away: bool,
    /// How many instances it has, of all stacks.
    pub load: i64,
    /// Its ports that other stacks' containers hold.
    pub taken_ports: HashSet<(u16, String)>,
}

/// Why an instance goes nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unplaced {
    /// `no_host`, `port_taken` or `no_host_fits`.
    pub code: &'static str,
    /// Which rule ruled out which host.
    pub why: String,
    /// A host that is away now may take it when it is back.
    pub may_pass: bool,
}

/// What speaks against a host.
enum Obstacle {
    PortTaken(u16),
    Other(String),
}

/// Where the instance of a service goes.
pub(crate) fn place(
    project: &Project,
    name: &str,
    service: &Service,
    instances: &[Instance],
    hosts: &[Candidate],
) -> Result<Uuid, Unplaced> {
    if hosts.is_empty() {
        let why = "The environment has no host. Add one.".into();
        return Err(Unplaced { code: "no_host", why, may_pass: false });
    }
    let mut ruled_out = Vec::new();
    let mut only_ports = true;
    let mut fitting = Vec::new();
    let tied = tied_host(project, name, service, instances);
    for host in hosts {
        match obstacle(name, service, instances, host, tied) {
            Some(Obstacle::PortTaken(port)) => {
                ruled_out.push(format!("{}: port {port} is already taken", host.name));
            }
            Some(Obstacle::Other(why)) => {
                only_ports = false;
                ruled_out.push(format!("{}: {why}", host.name));
            }
            None => fitting.push(host),
        }
    }
    let own: HashMap<Uuid, usize> = instances
        .iter()
        .filter(|instance| instance.service == name)
        .fold(HashMap::new(), |mut counts, instance| {
            *counts.entry(instance.host_id).or_default() += 1;
            counts
        });
    let own_of = |host: &Candidate| own.get(&host.id).copied().unwrap_or_default();
    // Spread over the values of the preferred label first, then over hosts, then by load.
    let group = |host: &Candidate| {
        let Some(label) = service.deploy.spread.first() else { return 0 };
        let key = label.trim_start_matches("node.labels.");
        let value = host.labels.get(key);
        hosts.iter().filter(|other| other.labels.get(key) == value).map(own_of).sum()
    };
    fitting
        .into_iter()
        .min_by_key(|host| (group(host), own_of(host), host.load, host.name.clone()))
        .map(|host| host.id)
        .ok_or_else(|| Unplaced {
            code: if only_ports { "port_taken" } else { "no_host_fits" },
            why: format!("No host fits. {}.", ruled_out.join("; ")),
            may_pass: hosts.iter().any(|host| host.away),
        })
}

/// Every host that a global service's instance belongs on.
pub(crate) fn matching<'a>(
    service: &'a Service,
    hosts: &'a [Candidate],
) -> impl Iterator<Item = &'a Candidate> {
    hosts.iter().filter(|host| {
        host.closed.is_none() && service.deploy.constraints.iter().all(|rule| holds(rule, host))
    })
}

/// The host that the rest of the stack ties this service to.
fn tied_host(
    project: &Project,
    name: &str,
    service: &Service,
    instances: &[Instance],
) -> Option<(Uuid, &'static str)> {
    let volumes: HashSet<&String> = named_volumes(service).collect();
    let by_volume = instances.iter().find(|instance| {
        project
            .services
            .get(&instance.service)
            .is_some_and(|other| named_volumes(other).any(|volume| volumes.contains(volume)))
    });
    if let Some(instance) = by_volume {
        return Some((instance.host_id, "the volumes of this service are on another host"));
    }
    let free = |service: &Service| {
        !service.deploy.constraints.is_empty() || !service.deploy.spread.is_empty()
    };
    if free(service) || project.services.len() < 2 {
        return None;
    }
    instances
        .iter()
        .filter(|instance| {
            instance.service == name
                || project.services.get(&instance.service).is_some_and(|other| {
                    !free(other)
                        && other.networks.keys().any(|net| service.networks.contains_key(net))
                })
        })
        .map(|instance| (instance.host_id, "the services that it talks to are on another host"))
        .next()
}

fn named_volumes(service: &Service) -> impl Iterator<Item = &String> {
    service
        .volumes
        .iter()
        .filter(|mount| mount.kind == MountKind::Volume)
        .filter_map(|mount| mount.source.as_ref())
}

fn obstacle(
    name: &str,
    service: &Service,
    instances: &[Instance],
    host: &Candidate,
    tied: Option<(Uuid, &str)>,
) -> Option<Obstacle> {
    if let Some(why) = &host.closed {
        return Some(Obstacle::Other(why.clone()));
    }
    if let Some((id, why)) = tied
        && id != host.id
    {
        return Some(Obstacle::Other(why.to_owned()));
    }
    if let Some(rule) = service.deploy.constraints.iter().find(|rule| !holds(rule, host)) {
        let operator = if rule.equal { "==" } else { "!=" };
        let why = format!("`{} {operator} {}` does not hold", rule.key, rule.value);
        return Some(Obstacle::Other(why));
    }
    let here = instances
        .iter()
        .filter(|instance| instance.service == name && instance.host_id == host.id)
        .count();
    let most = service.deploy.max_replicas_per_node as usize;
    if most > 0 && here >= most {
        let why = format!("it has {here} of them, the most that one host may have");
        return Some(Obstacle::Other(why));
    }
    service
        .ports
        .iter()
        .filter_map(|port| Some((port.published?, &port.protocol)))
        .find(|(port, protocol)| {
            here > 0 || host.taken_ports.contains(&(*port, (*protocol).clone()))
        })
        .map(|(port, _)| Obstacle::PortTaken(port))
}

fn holds(rule: &Constraint, host: &Candidate) -> bool {
    let value = match rule.key.as_str() {
        "node.id" => host.id.to_string(),
        "node.hostname" => {
            let either = [&host.name, &host.hostname];
            return either.iter().any(|name| **name == rule.value) == rule.equal;
        }
        "node.platform.os" => "linux".into(),
        "node.platform.arch" => host.architecture.clone(),
        // Every host takes work.
        "node.role" => "worker".into(),
        key => {
            let label = key.trim_start_matches("node.labels.").trim_start_matches("engine.labels.");
            host.labels.get(label).cloned().unwrap_or_default()
        }
    };
    (value == rule.value) == rule.equal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(id: u128, labels: &[(&str, &str)]) -> Candidate {
        Candidate {
            id: Uuid::from_u128(id),
            name: format!("h{id}"),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Candidate::default()
        }
    }

    fn instance(service: &str, host: u128) -> Instance {
        Instance {
            id: Uuid::now_v7(),
            service: service.into(),
            ordinal: 1,
            host_id: Uuid::from_u128(host),
        }
    }

    fn choose(
        text: &str,
        service: &str,
        instances: &[Instance],
        hosts: &[Candidate],
    ) -> Result<u128, String> {
        let project = drover_compose::load(text, &()).project.unwrap_or_default();
        place(&project, service, &project.services[service], instances, hosts)
            .map(|id| id.as_u128())
            .map_err(|unplaced| unplaced.why)
    }

    #[test]
    fn one_service_spreads_and_several_stay_together() {
        let hosts = [host(1, &[]), host(2, &[])];
        let one = "services: {web: {image: a}}";
        assert_eq!(choose(one, "web", &[instance("web", 1)], &hosts), Ok(2));
        let two = "services: {web: {image: a}, db: {image: b}}";
        assert_eq!(choose(two, "db", &[instance("web", 2)], &hosts), Ok(2));
    }

    #[test]
    fn says_which_rule_ruled_out_which_host() {
        let mut full = host(2, &[("disk", "ssd")]);
        full.taken_ports.insert((80, "tcp".into()));
        let hosts = [host(1, &[]), full];
        let text = "services: {web: {image: a, ports: ['80:80'], deploy: {placement: {constraints: ['node.labels.disk == ssd']}}}}";
        let why = choose(text, "web", &[], &hosts).err().unwrap_or_default();
        assert_eq!(
            why,
            "No host fits. h1: `node.labels.disk == ssd` does not hold; h2: port 80 is already taken."
        );
    }

    #[test]
    fn a_volume_ties_a_service_to_its_host() {
        let hosts = [host(1, &[]), host(2, &[])];
        let text = "services: {web: {image: a, volumes: ['d:/d'], deploy: {replicas: 2}}}\nvolumes: {d: {}}";
        assert_eq!(choose(text, "web", &[instance("web", 2)], &hosts), Ok(2));
    }

    #[test]
    fn spreads_over_the_preferred_label() {
        let hosts =
            [host(1, &[("zone", "a")]), host(2, &[("zone", "a")]), host(3, &[("zone", "b")])];
        let text = "services: {web: {image: a, deploy: {placement: {preferences: [{spread: node.labels.zone}]}}}}";
        assert_eq!(choose(text, "web", &[instance("web", 1)], &hosts), Ok(3));
    }
}
