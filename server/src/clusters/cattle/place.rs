//! Which host an instance goes to. Pure.
//!
//! Hard rules come first: each that rules out a host is named. Among the hosts that are left, the
//! fewest broken wishes (soft affinity) win, then the preferred label's values are spread over,
//! then the environment's strategy decides.
//!
//! Services reach each other by name over a network of one host, or over one across the hosts
//! that are joined. Without the latter, those that talk to each other stay on one host, unless a
//! service has a placement of its own.

use std::net::IpAddr;

use drover_api::SchedulingStrategy;
use drover_compose::{Affinity, AffinityKind, Constraint, Port, Project, Service};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::plan::Instance;

/// Label values longer than this are not kept for others to look at.
const LONGEST_LABEL: usize = 256;

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
    /// Its containers are to be moved elsewhere.
    pub draining: bool,
    /// It is closed only because it is away, and tries to come back by itself.
    pub away: bool,
    /// It has been away for longer than the environment allows.
    pub gone: bool,
    /// It is in the network across hosts.
    pub joined: bool,
    /// Billionths of a core that it has; 0 when unknown.
    pub nano_cpus: i64,
    /// Bytes of memory that it has; 0 when unknown.
    pub memory: u64,
    /// What other stacks have on it.
    pub neighbours: Vec<Neighbour>,
    /// Its ports that containers hold which this stack has not made.
    pub taken_ports: Vec<PortClaim>,
}

/// An instance of another stack.
#[derive(Debug, Clone, Default)]
pub(crate) struct Neighbour {
    pub stack: String,
    pub service: String,
    pub ordinal: i32,
    pub claims: Claims,
}

/// What an instance takes on its host, and is known by there. Kept in its row, for the placement
/// of others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Claims {
    pub ports: Vec<PortClaim>,
    pub nano_cpus: i64,
    pub memory: u64,
    pub labels: IndexMap<String, String>,
}

/// A port of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortClaim {
    pub port: u16,
    pub protocol: String,
    /// The address on the host; all of them when absent.
    pub ip: Option<IpAddr>,
}

impl PortClaim {
    fn of(port: &Port) -> Option<Self> {
        let ip = port.host_ip.as_deref().and_then(|ip| ip.trim_matches(['[', ']']).parse().ok());
        Some(Self { port: port.published?, protocol: port.protocol.clone(), ip })
    }

    fn collides(&self, other: &Self) -> bool {
        let everywhere = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
        self.port == other.port
            && self.protocol == other.protocol
            && (everywhere(self.ip) || everywhere(other.ip) || self.ip == other.ip)
    }
}

impl Claims {
    /// What an instance of a service takes.
    pub fn of(service: &Service) -> Self {
        let labels = service.labels.iter().chain(&service.deploy.labels);
        Self {
            ports: service.ports.iter().filter_map(PortClaim::of).collect(),
            nano_cpus: service.deploy.reservations.nano_cpus.unwrap_or_default(),
            memory: service.deploy.reservations.memory.unwrap_or_default(),
            labels: labels
                .filter(|(_, value)| value.len() <= LONGEST_LABEL)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        }
    }
}

/// Why an instance goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unplaced {
    /// `no_host`, `port_taken`, `not_enough_room` or `no_host_fits`.
    pub code: &'static str,
    /// Which rule ruled out which host.
    pub why: String,
    /// A host that is away now may take it when it is back.
    pub may_pass: bool,
}

/// What speaks against a host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// It is closed, or another rule than those below.
    Other(String),
    /// It is not one of the hosts that the service is for.
    NotMeant(String),
    PortTaken(u16),
    NoRoom(String),
}

impl Obstacle {
    fn words(&self) -> String {
        match self {
            Self::Other(why) | Self::NotMeant(why) | Self::NoRoom(why) => why.clone(),
            Self::PortTaken(port) => format!("port {port} is already taken"),
        }
    }
}

/// What is placed, and where it could go.
pub(crate) struct Placing<'a> {
    pub stack: &'a str,
    pub project: &'a Project,
    pub hosts: &'a [Candidate],
    /// The stack's own that are placed.
    pub instances: &'a [Instance],
    pub strategy: SchedulingStrategy,
}

/// Something on a host that others can want to be near to, or far from.
struct There<'a> {
    stack: &'a str,
    service: &'a str,
    ordinal: i32,
    labels: &'a IndexMap<String, String>,
}

impl<'a> Placing<'a> {
    /// Where instance `ordinal` of a service goes.
    pub fn place(&self, name: &str, ordinal: i32) -> Result<Uuid, Unplaced> {
        if self.hosts.is_empty() {
            let why = "The environment has no host. Add one.".into();
            return Err(Unplaced { code: "no_host", why, may_pass: false });
        }
        let mut ruled_out = Vec::new();
        let mut fitting = Vec::new();
        for host in self.hosts {
            match self.obstacle(name, ordinal, host) {
                Some(obstacle) => ruled_out.push((host, obstacle)),
                None => fitting.push(host),
            }
        }
        fitting
            .into_iter()
            .min_by_key(|host| self.rank(name, host))
            .map(|host| host.id)
            .ok_or_else(|| self.unplaced(&ruled_out))
    }

    fn unplaced(&self, ruled_out: &[(&Candidate, Obstacle)]) -> Unplaced {
        let all = |fits: fn(&Obstacle) -> bool| ruled_out.iter().all(|(_, why)| fits(why));
        let code = if all(|why| matches!(why, Obstacle::PortTaken(_))) {
            "port_taken"
        } else if all(|why| matches!(why, Obstacle::NoRoom(_))) {
            "not_enough_room"
        } else {
            "no_host_fits"
        };
        let reasons: Vec<String> =
            ruled_out.iter().map(|(host, why)| format!("{}: {}", host.name, why.words())).collect();
        Unplaced {
            code,
            why: format!("No host fits. {}.", reasons.join("; ")),
            may_pass: self.hosts.iter().any(|host| host.away),
        }
    }

    /// Less is better.
    fn rank(&self, name: &str, host: &Candidate) -> (usize, usize, i64, i64, String) {
        let own_of = |host: &Candidate| self.own(name, host.id).count();
        let Some(service) = self.project.services.get(name) else { return Default::default() };
        let wishes = service.affinities();
        let broken = wishes
            .iter()
            .filter(|rule| rule.soft && !self.agrees(rule, name, service, host))
            .count();
        let group = service.deploy.spread.first().map_or(0, |label| {
            let key = label_key(label);
            let value = host.labels.get(key);
            let same = |other: &&Candidate| other.labels.get(key) == value;
            self.hosts.iter().filter(same).map(own_of).sum()
        });
        let own_all = self.instances.iter().filter(|instance| instance.host_id == host.id).count();
        let load = (own_all + host.neighbours.len()) as i64;
        let (first, second) = match self.strategy {
            SchedulingStrategy::Spread => (own_of(host) as i64, load),
            SchedulingStrategy::Pack => (-load, 0),
        };
        (broken, group, first, second, host.name.clone())
    }

    /// What speaks against a host for an instance, and for those that must stand beside it.
    pub fn obstacle(&self, name: &str, ordinal: i32, host: &Candidate) -> Option<Obstacle> {
        if let Some(why) = &host.closed {
            return Some(Obstacle::Other(why.clone()));
        }
        if let Some((id, why)) = self.tied_host(name, ordinal)
            && id != host.id
        {
            return Some(Obstacle::Other(why));
        }
        if let Some(why) = self.out_of_reach(name, ordinal, host) {
            return Some(Obstacle::Other(why));
        }
        let unit = self.still_to_come(name, ordinal);
        for member in &unit {
            if let Some(obstacle) = self.own_rules(member, host) {
                return Some(match obstacle {
                    Obstacle::NotMeant(why) if *member != name => {
                        Obstacle::NotMeant(format!("{why} for `{member}`, which stands beside it"))
                    }
                    other => other,
                });
            }
        }
        self.port_taken(&unit, host).or_else(|| self.no_room(&unit, host))
    }

    /// Whether an instance may stay where it is, by the rules for hosts that the text gives.
    pub fn may_stay(&self, name: &str, host: &Candidate) -> bool {
        let Some(service) = self.project.services.get(name) else { return false };
        service.deploy.constraints.iter().all(|rule| holds(rule, host))
            && service
                .affinities()
                .iter()
                .filter(|rule| !rule.soft && rule.kind == AffinityKind::HostLabel)
                .all(|rule| self.agrees(rule, name, service, host))
    }

    /// The services that must stand on the same host and have no such instance yet, with itself.
    fn still_to_come(&self, name: &str, ordinal: i32) -> Vec<&'a str> {
        let placed = |member: &str| {
            self.instances
                .iter()
                .any(|instance| instance.service == member && instance.ordinal == ordinal)
        };
        let together = self.project.together(name);
        together.into_iter().filter(|member| *member == name || !placed(member)).collect()
    }

    /// The host that the rest of the stack ties this instance to.
    fn tied_host(&self, name: &str, ordinal: i32) -> Option<(Uuid, String)> {
        let service = self.project.services.get(name)?;
        let primary = self.project.primary_of(name);
        let shared = service.shares_network_of();
        let beside = |instance: &&Instance| {
            instance.ordinal == ordinal
                && instance.service != name
                && self.project.primary_of(&instance.service) == primary
        };
        if let Some(instance) = self.instances.iter().find(beside) {
            let why = format!("`{}`, which it stands beside, is on another host", instance.service);
            return Some((instance.host_id, why));
        }
        let of_network = |instance: &&Instance| {
            shared == Some(instance.service.as_str())
                || self
                    .project
                    .services
                    .get(&instance.service)
                    .is_some_and(|other| other.shares_network_of() == Some(name))
        };
        let mut network = self.instances.iter().filter(of_network);
        let same = network.clone().find(|instance| instance.ordinal == ordinal);
        if let Some(instance) = same.or_else(|| network.next().filter(|_| shared.is_some())) {
            let why = format!("`{}`, whose network it is in, is on another host", instance.service);
            return Some((instance.host_id, why));
        }
        let volumes: Vec<&String> = self.project.local_volumes(service).collect();
        let has_them = |instance: &&Instance| {
            self.project.services.get(&instance.service).is_some_and(|other| {
                self.project.local_volumes(other).any(|volume| volumes.contains(&volume))
            })
        };
        self.instances.iter().find(has_them).map(|instance| {
            (instance.host_id, "the volumes of this service are on another host".to_owned())
        })
    }

    /// Whether the services that this one talks to could not be reached from a host.
    fn out_of_reach(&self, name: &str, ordinal: i32, host: &Candidate) -> Option<String> {
        let service = self.project.services.get(name)?;
        let free = |service: &Service| {
            !service.deploy.constraints.is_empty()
                || !service.deploy.spread.is_empty()
                || service.deploy.global
                || service.affinities().iter().any(|rule| rule.kind == AffinityKind::HostLabel)
        };
        if free(service) || self.project.services.len() < 2 {
            return None;
        }
        let joined = |id: Uuid| self.hosts.iter().any(|host| host.id == id && host.joined);
        self.instances
            .iter()
            .filter(|instance| (instance.service.as_str(), instance.ordinal) != (name, ordinal))
            .filter(|instance| {
                instance.service == name
                    || self.project.services.get(&instance.service).is_some_and(|other| {
                        !free(other) && talk_to_each_other(self.project, service, other)
                    })
            })
            .any(|instance| {
                instance.host_id != host.id && !(host.joined && joined(instance.host_id))
            })
            .then(|| {
                "the services that it talks to are on another host, and no network joins the two"
                    .to_owned()
            })
    }

    /// The rules of one service for a host, beside ports and room.
    fn own_rules(&self, name: &str, host: &Candidate) -> Option<Obstacle> {
        let service = self.project.services.get(name)?;
        if let Some(rule) = service.deploy.constraints.iter().find(|rule| !holds(rule, host)) {
            let operator = if rule.equal { "==" } else { "!=" };
            let why = format!("`{} {operator} {}` does not hold", rule.key, rule.value);
            return Some(Obstacle::NotMeant(why));
        }
        let musts = service.affinities();
        let broken =
            musts.iter().find(|rule| !rule.soft && !self.agrees(rule, name, service, host));
        if let Some(rule) = broken {
            let why = format!("`{rule}` does not hold");
            return Some(match rule.kind {
                AffinityKind::HostLabel => Obstacle::NotMeant(why),
                _ => Obstacle::Other(why),
            });
        }
        let here = self.own(name, host.id).count();
        let most = service.deploy.max_replicas_per_node as usize;
        (most > 0 && here >= most).then(|| {
            Obstacle::Other(format!("it has {here} of them, the most that one host may have"))
        })
    }

    fn port_taken(&self, unit: &[&str], host: &Candidate) -> Option<Obstacle> {
        let mut taken: Vec<PortClaim> = host.taken_ports.clone();
        taken.extend(host.neighbours.iter().flat_map(|other| other.claims.ports.clone()));
        taken.extend(self.on(host.id).flat_map(ports_of));
        for service in unit.iter().filter_map(|name| self.project.services.get(*name)) {
            for claim in ports_of(service) {
                if taken.iter().any(|other| other.collides(&claim)) {
                    return Some(Obstacle::PortTaken(claim.port));
                }
                taken.push(claim);
            }
        }
        None
    }

    fn no_room(&self, unit: &[&str], host: &Candidate) -> Option<Obstacle> {
        let reserved = |service: &Service| {
            let reserved = &service.deploy.reservations;
            (reserved.nano_cpus.unwrap_or_default(), reserved.memory.unwrap_or_default())
        };
        let sum = |all: &mut dyn Iterator<Item = (i64, u64)>| {
            all.fold((0i64, 0u64), |(cpus, memory), (more_cpus, more_memory)| {
                (cpus.saturating_add(more_cpus), memory.saturating_add(more_memory))
            })
        };
        let members = unit.iter().filter_map(|name| self.project.services.get(*name));
        let (cpus, memory) = sum(&mut members.map(reserved));
        let others =
            host.neighbours.iter().map(|other| (other.claims.nano_cpus, other.claims.memory));
        let (used_cpus, used_memory) = sum(&mut others.chain(self.on(host.id).map(reserved)));
        if cpus > 0 && host.nano_cpus > 0 && used_cpus.saturating_add(cpus) > host.nano_cpus {
            let cores = |nano: i64| (nano.max(0) as f64 / 1e9 * 100.0).round() / 100.0;
            return Some(Obstacle::NoRoom(format!(
                "{} of its {} CPUs are not reserved, {} are needed",
                cores(host.nano_cpus - used_cpus),
                cores(host.nano_cpus),
                cores(cpus)
            )));
        }
        if memory > 0 && host.memory > 0 && used_memory.saturating_add(memory) > host.memory {
            return Some(Obstacle::NoRoom(format!(
                "{} of its {} of memory are not reserved, {} are needed",
                size(host.memory.saturating_sub(used_memory)),
                size(host.memory),
                size(memory)
            )));
        }
        None
    }

    /// Instances of a service on a host.
    fn own(&self, name: &str, host: Uuid) -> impl Iterator<Item = &'a Instance> {
        self.instances
            .iter()
            .filter(move |instance| instance.service == name && instance.host_id == host)
    }

    /// The services of the stack's instances on a host.
    fn on(&self, host: Uuid) -> impl Iterator<Item = &'a Service> {
        self.instances
            .iter()
            .filter(move |instance| instance.host_id == host)
            .filter_map(|instance| self.project.services.get(&instance.service))
    }

    /// Whether a host agrees with a rule of a service.
    fn agrees(&self, rule: &Affinity, name: &str, service: &Service, host: &Candidate) -> bool {
        let filled = |text: &str| fill(text, self.stack, name);
        let value = rule.value.as_deref().map(filled);
        if rule.kind == AffinityKind::HostLabel {
            return label_is(&host.labels, &rule.key, value.as_deref()) != rule.not;
        }
        let is = |there: &There<'_>| match rule.kind {
            AffinityKind::Container => is_named(there, value.as_deref().unwrap_or(""), self.stack),
            _ => has_label(there, &rule.key, value.as_deref()),
        };
        let here = self.there(host).any(|there| is(&there));
        if here || rule.not {
            return here != rule.not;
        }
        // The first of those that want to be beside each other has nobody to be beside.
        let own_labels = Claims::of(service).labels;
        let own = There { stack: self.stack, service: name, ordinal: 1, labels: &own_labels };
        let nowhere = !self.hosts.iter().any(|host| self.there(host).any(|there| is(&there)));
        nowhere && is(&own)
    }

    /// All that is on a host.
    fn there(&self, host: &'a Candidate) -> impl Iterator<Item = There<'a>> {
        let id = host.id;
        let own = self.instances.iter().filter(move |instance| instance.host_id == id);
        let stack = self.stack;
        host.neighbours
            .iter()
            .map(|other| There {
                stack: &other.stack,
                service: &other.service,
                ordinal: other.ordinal,
                labels: &other.claims.labels,
            })
            .chain(own.map(move |instance| There {
                stack,
                service: &instance.service,
                ordinal: instance.ordinal,
                labels: &instance.claims.labels,
            }))
    }
}

/// Whether two services share a network of the stack's own.
fn talk_to_each_other(project: &Project, a: &Service, b: &Service) -> bool {
    let is_own = |name: &String| project.networks.get(name).is_none_or(|network| !network.external);
    b.networks.keys().any(|name| a.networks.contains_key(name) && is_own(name))
}

fn ports_of(service: &Service) -> Vec<PortClaim> {
    service.ports.iter().filter_map(PortClaim::of).collect()
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..10_737_418_240 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

/// `${stack_name}` and `${service_name}`, as Rancher's catalogs write them in rules.
fn fill(text: &str, stack: &str, service: &str) -> String {
    text.replace("${stack_name}", stack)
        .replace("${service_name}", service)
        .replace("%{{stack_name}}", stack)
        .replace("%{{service_name}}", service)
}

/// Rancher compares labels without regard to case; so does this.
fn label_is(labels: &IndexMap<String, String>, key: &str, value: Option<&str>) -> bool {
    labels.iter().any(|(known, found)| {
        known.eq_ignore_ascii_case(key)
            && value.is_none_or(|value| found.eq_ignore_ascii_case(value))
    })
}

/// By a label of its own, or by one that every container of a stack has, under Drover's name or
/// Rancher's.
fn has_label(there: &There<'_>, key: &str, value: Option<&str>) -> bool {
    let implied = match key.to_ascii_lowercase().as_str() {
        "io.drover.stack_name" | "io.rancher.stack.name" => there.stack.to_owned(),
        "io.drover.service" => there.service.to_owned(),
        "io.rancher.stack_service.name" | "io.rancher.project_service.name" => {
            format!("{}/{}", there.stack, there.service)
        }
        _ => return label_is(there.labels, key, value),
    };
    value.is_none_or(|value| implied.eq_ignore_ascii_case(value))
}

/// By the container's name, by `STACK/SERVICE`, or by the service's name in the same stack.
fn is_named(there: &There<'_>, name: &str, own_stack: &str) -> bool {
    let (stack, service) = (there.stack, there.service);
    name.eq_ignore_ascii_case(&format!("{stack}-{service}-{}", there.ordinal))
        || name.eq_ignore_ascii_case(&format!("{stack}/{service}"))
        || stack == own_stack && name.eq_ignore_ascii_case(service)
}

/// The services in the order to place them: those that others stand beside come first.
pub(crate) fn order(project: &Project) -> Vec<&str> {
    let follows = |name: &str| {
        project.primary_of(name) != name
            || project.services.get(name).is_some_and(|s| s.shares_network_of().is_some())
    };
    let names = project.services.keys().map(String::as_str);
    let (mut first, then): (Vec<_>, Vec<_>) = names.partition(|name| !follows(name));
    first.extend(then);
    first
}

fn label_key(label: &str) -> &str {
    label.trim_start_matches("node.labels.").trim_start_matches("engine.labels.")
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
        key => host.labels.get(label_key(key)).cloned().unwrap_or_default(),
    };
    (value == rule.value) == rule.equal
}

#[cfg(test)]
mod tests;
