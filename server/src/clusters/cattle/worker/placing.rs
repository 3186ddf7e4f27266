//! Which containers there should be, and on which hosts: what is missing is placed, and what has
//! to leave its host is placed elsewhere.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use drover_api::{HostMode, HostState, Scheduling};
use drover_compose::{Project, Service};
use indexmap::IndexMap;
use uuid::Uuid;

use super::{
    super::{
        away,
        place::{self, Candidate, Claims, Obstacle, Placing, PortClaim, Unplaced},
        plan::{self, Instance, Seen},
        store,
    },
    Worker,
};
use crate::{
    error::Result,
    hosts::LiveHost,
    stacks::{StackRow, Wanted},
};

/// What was found out about the instances of a stack.
pub(super) struct Placed {
    /// Those to work on now.
    pub instances: Vec<Instance>,
    /// The first service that goes nowhere, now or later, unless a person changes something.
    pub hopeless: Option<(String, Unplaced)>,
}

/// What becomes of an instance where it is.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    /// It is placed elsewhere. Whether what it has here stays until the new one is ready.
    Leaves {
        politely: bool,
    },
    /// It would leave, but cannot.
    Waits(String),
}

/// A pass over the instances of a stack.
struct Pass<'a> {
    row: &'a StackRow,
    project: &'a Project,
    seen: &'a [Seen],
    scheduling: Scheduling,
    hosts: Vec<Candidate>,
    /// The rollout has stopped: there can be no new containers.
    blocked: bool,
}

impl Worker {
    /// Makes the rows of instances what they should be, and returns those to work on.
    pub(super) async fn place_instances(
        &self,
        row: &StackRow,
        wanted: &Wanted,
        seen: &[Seen],
        blocked: bool,
        problems: &mut IndexMap<String, String>,
    ) -> Result<Placed> {
        let scheduling = store::scheduling(&self.app.db, row.environment_id).await?;
        let hosts = self.candidates(row, &scheduling);
        let mut pass = Pass { row, project: &wanted.project, seen, scheduling, hosts, blocked };
        let mut instances = store::instances(&self.app.db, row.id).await?;
        let extra: Vec<Uuid> = instances
            .iter()
            .filter(|instance| !pass.is_wanted(instance))
            .map(|instance| instance.id)
            .collect();
        if !extra.is_empty() {
            store::remove(&self.app.db, &extra).await?;
            instances.retain(|instance| !extra.contains(&instance.id));
        }
        self.keep_claims(&mut instances, wanted).await?;
        let mut hopeless = None;
        let leaving = pass.leaving(&instances, problems);
        let missing = pass.missing(&instances);
        if !leaving.is_empty() || !missing.is_empty() {
            // One stack at a time, with the others' claims as they are then: two stacks must not
            // take one port of one host.
            let turn = self.app.cattle.turn(row.environment_id);
            let _turn = turn.lock().await;
            let mut neighbours =
                store::neighbours(&self.app.db, row.environment_id, row.id).await?;
            for host in &mut pass.hosts {
                host.neighbours = neighbours.remove(&host.id).unwrap_or_default();
                host.taken_ports = self.taken_ports(row, host.id);
            }
            self.move_away(&pass, &mut instances, leaving, problems, &mut hopeless).await?;
            self.place_missing(&pass, &mut instances, missing, problems, &mut hopeless).await?;
        }
        instances.retain(|instance| !pass.is_at_rest(instance));
        Ok(Placed { instances, hopeless })
    }

    /// What instances take changes with their services.
    async fn keep_claims(&self, instances: &mut [Instance], wanted: &Wanted) -> Result<()> {
        for instance in instances {
            let Some(service) = wanted.project.services.get(&instance.service) else { continue };
            let claims = Claims::of(service);
            if instance.claims != claims {
                store::set_claims(&self.app.db, instance.id, &claims).await?;
                instance.claims = claims;
            }
        }
        Ok(())
    }

    async fn place_missing(
        &self,
        pass: &Pass<'_>,
        instances: &mut Vec<Instance>,
        missing: Vec<(String, i32, Option<Uuid>)>,
        problems: &mut IndexMap<String, String>,
        hopeless: &mut Option<(String, Unplaced)>,
    ) -> Result<()> {
        for (name, ordinal, host) in missing {
            let Some(service) = pass.project.services.get(&name) else { continue };
            let placing = pass.placing(instances);
            let placed = match host {
                Some(host) => match placing.on_host(&name, ordinal, host) {
                    Some(placed) => placed,
                    None => continue,
                },
                None => placing.place(&name, ordinal),
            };
            match placed {
                Ok(host) => {
                    let claims = Claims::of(service);
                    let added =
                        store::add(&self.app.db, pass.row.id, &name, ordinal, host, &claims);
                    instances.extend(added.await?);
                }
                Err(unplaced) => {
                    problems.insert(name.clone(), unplaced.why.clone());
                    if !unplaced.may_pass {
                        hopeless.get_or_insert((name, unplaced));
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives instances that leave their hosts new ones. Without a network across hosts, those that
    /// talk to each other go together or not at all.
    async fn move_away(
        &self,
        pass: &Pass<'_>,
        instances: &mut [Instance],
        leaving: Vec<(Instance, bool)>,
        problems: &mut IndexMap<String, String>,
        hopeless: &mut Option<(String, Unplaced)>,
    ) -> Result<()> {
        let ids: HashSet<Uuid> = leaving.iter().map(|(instance, _)| instance.id).collect();
        let mut after: Vec<Instance> =
            instances.iter().filter(|i| !ids.contains(&i.id)).cloned().collect();
        let mut moves = Vec::new();
        let mut failed = false;
        for (instance, politely) in leaving {
            let placed = pass.placing(&after).place(&instance.service, instance.ordinal);
            match placed {
                Ok(host) => {
                    after.push(Instance { host_id: host, ..instance.clone() });
                    moves.push((instance, host, politely));
                }
                Err(unplaced) => {
                    failed = true;
                    let host = pass.host_name(instance.host_id);
                    let why = format!("It cannot leave {host}. {}", unplaced.why);
                    problems.insert(instance.service.clone(), why);
                    if !unplaced.may_pass && !pass.is_closed(instance.host_id) {
                        // The text asks for a host that there is not.
                        hopeless.get_or_insert((instance.service.clone(), unplaced));
                    }
                    after.push(instance);
                }
            }
        }
        let apart = !pass.hosts.iter().any(|host| host.joined);
        if failed && apart && pass.project.services.len() > 1 {
            return Ok(());
        }
        for (instance, host, politely) in moves {
            store::move_to(&self.app.db, instance.id, host, politely).await?;
            tracing::info!(
                stack = %pass.row.name, service = %instance.service, ordinal = instance.ordinal,
                from = %pass.host_name(instance.host_id), to = %pass.host_name(host),
                "an instance is moved"
            );
            if let Some(known) = instances.iter_mut().find(|known| known.id == instance.id) {
                if politely {
                    known.moving_from = Some(known.host_id);
                }
                known.host_id = host;
            }
        }
        Ok(())
    }

    /// The environment's hosts, without what other stacks have there.
    fn candidates(&self, row: &StackRow, scheduling: &Scheduling) -> Vec<Candidate> {
        let reach = &self.reach;
        let hosts = self.app.hosts.in_environment(row.environment_id);
        hosts
            .into_iter()
            .map(|host| Candidate {
                joined: reach.joins(host.id),
                gone: away::is_gone(&self.app, &host, scheduling),
                ..candidate(&host)
            })
            .collect()
    }

    /// The ports of a host that containers hold which this stack has not made.
    fn taken_ports(&self, row: &StackRow, host: Uuid) -> Vec<PortClaim> {
        self.app
            .hosts
            .index()
            .of_host(row.environment_id, host)
            .iter()
            .filter(|entry| entry.owner.as_ref().is_none_or(|owner| owner.stack_id != row.id))
            .flat_map(|entry| entry.to_api().ports)
            .filter_map(|port| {
                Some(PortClaim {
                    port: port.host_port?,
                    protocol: port.protocol,
                    ip: port.host_ip.and_then(|ip| ip.parse().ok()),
                })
            })
            .collect()
    }
}

fn candidate(host: &LiveHost) -> Candidate {
    let row = host.row();
    let (closed, away) = match (row.mode, host.state()) {
        (HostMode::Draining, _) => (Some("it is being drained"), false),
        (_, HostState::Active) => (None, false),
        (HostMode::Inactive, _) => (Some("it is inactive"), false),
        _ => (Some("it is not connected"), true),
    };
    let facts = row.facts.as_ref();
    Candidate {
        id: host.id,
        name: row.name.clone(),
        hostname: facts.map_or(String::new(), |facts| facts.hostname.clone()),
        architecture: facts.map_or(String::new(), |facts| facts.architecture.clone()),
        labels: row.labels.clone(),
        closed: closed.map(str::to_owned),
        draining: row.mode == HostMode::Draining,
        away,
        nano_cpus: facts.map_or(0, |facts| i64::from(facts.cpus) * 1_000_000_000),
        memory: facts.map_or(0, |facts| facts.memory),
        ..Candidate::default()
    }
}

impl Placing<'_> {
    /// Whether an instance of a global service goes to this host; `None` when the service is not
    /// meant for it.
    fn on_host(&self, name: &str, ordinal: i32, host: Uuid) -> Option<Result<Uuid, Unplaced>> {
        let host = self.hosts.iter().find(|candidate| candidate.id == host)?;
        let obstacle = match self.obstacle(name, ordinal, host) {
            None => return Some(Ok(host.id)),
            Some(Obstacle::NotMeant(_)) => return None,
            Some(obstacle) => obstacle,
        };
        let why = match &obstacle {
            Obstacle::PortTaken(port) => format!("port {port} is already taken"),
            Obstacle::Other(why) | Obstacle::NotMeant(why) | Obstacle::NoRoom(why) => why.clone(),
        };
        Some(Err(Unplaced {
            code: match obstacle {
                Obstacle::PortTaken(_) => "port_taken",
                Obstacle::NoRoom(_) => "not_enough_room",
                _ => "no_host_fits",
            },
            why: format!("It does not run on every host. {}: {why}.", host.name),
            may_pass: host.away,
        }))
    }
}

impl Pass<'_> {
    fn placing<'p>(&'p self, instances: &'p [Instance]) -> Placing<'p> {
        Placing {
            stack: &self.row.name,
            project: self.project,
            hosts: &self.hosts,
            instances,
            strategy: self.scheduling.strategy,
        }
    }

    fn host(&self, id: Uuid) -> Option<&Candidate> {
        self.hosts.iter().find(|host| host.id == id)
    }

    fn host_name(&self, id: Uuid) -> &str {
        self.host(id).map_or("a host that was removed", |host| &host.name)
    }

    fn is_closed(&self, id: Uuid) -> bool {
        self.host(id).is_none_or(|host| host.closed.is_some())
    }

    /// Whether an instance is wanted at all.
    fn is_wanted(&self, instance: &Instance) -> bool {
        let Some(service) = self.project.services.get(&instance.service) else { return false };
        let Some(host) = self.host(instance.host_id) else { return false };
        if !service.deploy.global {
            return instance.ordinal <= service.deploy.replicas as i32;
        }
        // Global ones come and go with their hosts; one that is away may be back.
        let meant = host.closed.is_some() || self.placing(&[]).may_stay(&instance.service, host);
        meant && (!host.draining || !self.leaves_nothing_behind(&instance.service))
    }

    /// Global instances on hosts that are gone are not waited for.
    fn is_at_rest(&self, instance: &Instance) -> bool {
        let global = self.project.services.get(&instance.service).is_some_and(|s| s.deploy.global);
        global && self.host(instance.host_id).is_some_and(|host| host.gone)
    }

    /// Whether neither a service nor what stands beside it has data on its host.
    fn leaves_nothing_behind(&self, service: &str) -> bool {
        self.project
            .together(service)
            .into_iter()
            .filter_map(|name| self.project.services.get(name))
            .all(|member| self.project.local_volumes(member).next().is_none())
    }

    /// What is missing: service, ordinal, and for global ones the host.
    fn missing(&self, instances: &[Instance]) -> Vec<(String, i32, Option<Uuid>)> {
        let mut all = Vec::new();
        for name in place::order(self.project) {
            let Some(service) = self.project.services.get(name) else { continue };
            let taken: HashSet<i32> = instances
                .iter()
                .filter(|instance| instance.service == name)
                .map(|instance| instance.ordinal)
                .collect();
            if service.deploy.global {
                all.extend(self.missing_global(name, instances, &taken));
            } else {
                let ordinals = 1..=service.deploy.replicas as i32;
                let free = ordinals.filter(|ordinal| !taken.contains(ordinal));
                all.extend(free.map(|ordinal| (name.to_owned(), ordinal, None)));
            }
        }
        all
    }

    fn missing_global(
        &self,
        name: &str,
        instances: &[Instance],
        taken: &HashSet<i32>,
    ) -> Vec<(String, i32, Option<Uuid>)> {
        let primary = self.project.primary_of(name);
        let placing = self.placing(&[]);
        let hosts = self.hosts.iter().filter(|host| {
            host.closed.is_none()
                && placing.may_stay(name, host)
                && !instances.iter().any(|i| i.service == name && i.host_id == host.id)
        });
        let mut free = (1..).filter(|ordinal| !taken.contains(ordinal));
        let mut used: HashMap<Uuid, i32> = HashMap::new();
        for instance in instances.iter().filter(|instance| instance.service == primary) {
            used.insert(instance.host_id, instance.ordinal);
        }
        hosts
            .filter_map(|host| {
                // A sidekick has the number of the primary's instance beside it.
                let beside = used.get(&host.id).copied().filter(|_| primary != name);
                let ordinal = match beside {
                    Some(ordinal) => Some(ordinal),
                    None => free.next(),
                };
                Some((name.to_owned(), ordinal?, Some(host.id)))
            })
            .collect()
    }

    /// The instances that have to leave their hosts; says why others cannot.
    fn leaving(
        &self,
        instances: &[Instance],
        problems: &mut IndexMap<String, String>,
    ) -> Vec<(Instance, bool)> {
        let mut leaving = Vec::new();
        for name in place::order(self.project) {
            for instance in instances.iter().filter(|instance| instance.service == name) {
                match self.fate(instance, instances) {
                    Fate::Stays => {}
                    Fate::Leaves { politely } => leaving.push((instance.clone(), politely)),
                    Fate::Waits(why) => {
                        problems.insert(instance.service.clone(), why);
                    }
                }
            }
        }
        leaving
    }

    fn fate(&self, instance: &Instance, instances: &[Instance]) -> Fate {
        let (Some(service), Some(host)) =
            (self.project.services.get(&instance.service), self.host(instance.host_id))
        else {
            return Fate::Stays;
        };
        let name = &host.name;
        let has_data = !self.leaves_nothing_behind(&instance.service);
        if host.draining && has_data {
            return Fate::Waits(format!(
                "Its volumes are on {name}, which is being drained: move the data, or end the drain."
            ));
        }
        if service.deploy.global || self.has_done_its_work(instance, service, host) {
            return Fate::Stays;
        }
        if host.draining && self.blocked {
            return Fate::Waits(format!(
                "It cannot leave {name}, which is being drained, because its rollout has stopped: deploy it again, or roll back."
            ));
        }
        if host.draining {
            return Fate::Leaves { politely: !host.away };
        }
        if host.gone {
            let why = if has_data {
                "its volumes are there"
            } else if self.blocked {
                "its rollout has stopped, so that there can be no new container"
            } else {
                return Fate::Leaves { politely: false };
            };
            let after = words(Duration::from_secs(self.scheduling.host_gone_after_seconds.into()));
            return Fate::Waits(format!(
                "It waits for {name}, which has been away for more than {after}: {why}."
            ));
        }
        if self.blocked || host.closed.is_some() {
            return Fate::Stays;
        }
        let beside = self.stands_apart(instance, instances);
        if self.placing(&[]).may_stay(&instance.service, host) && !beside {
            return Fate::Stays;
        }
        if has_data {
            return Fate::Waits(format!(
                "By its rules it should leave {name}, but its volumes are there."
            ));
        }
        Fate::Leaves { politely: true }
    }

    /// Whether a sidekick is on another host than its primary's instance.
    fn stands_apart(&self, instance: &Instance, instances: &[Instance]) -> bool {
        let primary = self.project.primary_of(&instance.service);
        primary != instance.service
            && instances.iter().any(|other| {
                other.service == primary
                    && other.ordinal == instance.ordinal
                    && other.host_id != instance.host_id
            })
    }

    /// A job that has ended is not run once more elsewhere; of one on a host that is gone, it is
    /// not known.
    fn has_done_its_work(&self, instance: &Instance, service: &Service, host: &Candidate) -> bool {
        if !plan::may_end(self.project, &instance.service, service) {
            return false;
        }
        let mut known = self.seen.iter().filter(|seen| seen.instance == Some(instance.id));
        match known.next() {
            Some(seen) => seen.has_completed(),
            None => host.gone,
        }
    }
}

/// A time in words, for sentences: `5 minutes`.
fn words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3600),
    }
}
