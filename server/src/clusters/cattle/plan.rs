//! The next steps of a stack, from what is wanted and what is there. Pure: no clock, no I/O, so
//! that every situation can be tested. Steps are safe to repeat: after any of them, or none, the
//! next plan goes on from what is there then.

use std::{collections::HashMap, sync::Arc};

use drover_api::{ContainerState, Health};
use drover_compose::{DependencyCondition, MountKind, Project, Restart, Service};
use uuid::Uuid;

use super::place::Claims;

/// So often may a new container end before its rollout is given up.
const MOST_CRASHES: u32 = 8;

/// A wanted container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Instance {
    pub id: Uuid,
    pub service: String,
    pub ordinal: i32,
    pub host_id: Uuid,
    /// The host that it is being moved from: its container there goes when the new one is ready.
    pub moving_from: Option<Uuid>,
    /// What it takes on its host.
    pub claims: Claims,
}

/// A container that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub id: String,
    pub name: String,
    pub host_id: Uuid,
    pub service: String,
    pub instance: Option<Uuid>,
    pub spec: String,
    pub state: ContainerState,
    pub health: Option<Health>,
    pub exit_code: Option<i64>,
    /// It has run for a moment, and not ended at once.
    pub steady: bool,
    /// It has run for as long as an update watches it.
    pub watched: bool,
    /// The names of its networks; `None` when that is not known yet.
    pub networks: Option<Vec<Arc<str>>>,
}

impl Seen {
    /// It does what it is there for.
    pub fn is_ready(&self) -> bool {
        self.state == ContainerState::Running && matches!(self.health, None | Some(Health::Healthy))
    }

    fn has_ended(&self) -> bool {
        matches!(self.state, ContainerState::Exited | ContainerState::Dead)
    }

    /// It has ended, and well.
    pub fn has_completed(&self) -> bool {
        self.has_ended() && self.exit_code == Some(0)
    }
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make and start the container of an instance. `aside`: first rename the one that has its
    /// name, which goes on running until the new one is ready.
    Create { instance: Uuid, aside: Option<String> },
    /// Start a container that does not run.
    Start { container: String, instance: Uuid },
    /// Stop and remove a container.
    Remove { container: String },
}

/// What to do now, and how far it is.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub steps: Vec<Step>,
    /// Everything is as wanted.
    pub settled: bool,
    /// Why services are not yet as wanted.
    pub waiting: Vec<(String, String)>,
    /// How many of those wait for a host to come back.
    pub waiting_for_hosts: usize,
    /// A new container does not do what it should: service and why.
    pub failed: Option<(String, String)>,
    /// Ready instances of the wanted make, and all instances.
    pub done: usize,
    pub total: usize,
}

/// What the plan is made from.
pub(crate) struct View<'a> {
    pub project: &'a Project,
    /// For each service, the digest of all that its containers are made from.
    pub specs: &'a indexmap::IndexMap<String, String>,
    pub instances: &'a [Instance],
    pub seen: &'a [Seen],
    /// The rollout has failed: nothing that runs is replaced, nothing new is made.
    pub blocked: bool,
    /// Ended containers that are not to be started again yet.
    pub resting: &'a dyn Fn(&str) -> bool,
    /// The pause between two batches of an update of this service is not over.
    pub pausing: &'a dyn Fn(&str) -> bool,
    /// New containers are given up: they took too long to become ready.
    pub overdue: &'a dyn Fn(&Seen) -> bool,
    /// How often a container has ended by itself of late.
    pub crashes: &'a dyn Fn(&str) -> u32,
    /// Hosts that cannot be reached: nothing can be done there.
    pub away: &'a dyn Fn(Uuid) -> bool,
    /// Containers that are unhealthy, out of DNS, and may be replaced now.
    pub replace: &'a dyn Fn(&Seen) -> bool,
}

/// The plan.
pub(crate) fn plan(view: &View<'_>) -> Plan {
    let mut plan = Plan { total: view.instances.len(), ..Plan::default() };
    let wanted: HashMap<Uuid, &Instance> =
        view.instances.iter().map(|instance| (instance.id, instance)).collect();
    // What belongs to no instance (any more), or stands on another host than wanted.
    for seen in view.seen.iter().filter(|seen| !(view.away)(seen.host_id)) {
        let instance = seen.instance.and_then(|id| wanted.get(&id));
        if instance.is_none_or(|instance| {
            instance.host_id != seen.host_id && !still_needed(view, instance, seen)
        }) {
            plan.steps.push(Step::Remove { container: seen.id.clone() });
        }
    }
    for (name, service) in &view.project.services {
        plan_service(view, name, service, &mut plan);
    }
    plan.settled = plan.steps.is_empty()
        && plan.waiting.is_empty()
        && plan.failed.is_none()
        && plan.done == plan.total;
    plan
}

/// Whether a container on the host that its instance moves away from does its work until the new
/// one is ready. Data that both would write to allows no such thing.
fn still_needed(view: &View<'_>, instance: &Instance, old: &Seen) -> bool {
    let takes_turns = view.project.services.get(&instance.service).is_none_or(has_volumes);
    if instance.moving_from != Some(old.host_id) || takes_turns {
        return false;
    }
    let is_new =
        |seen: &&Seen| seen.instance == Some(instance.id) && seen.host_id == instance.host_id;
    !view.seen.iter().filter(is_new).any(|seen| {
        seen.is_ready() && (seen.health.is_some() || seen.steady) || seen.has_completed()
    })
}

fn has_volumes(service: &Service) -> bool {
    service.volumes.iter().any(|mount| mount.kind == MountKind::Volume && mount.source.is_some())
}

/// Whether the container of an instance on the host that it moves away from has still to go, before
/// there can be a new one.
fn waits_for_old(view: &View<'_>, instance: &Instance, service: &Service) -> bool {
    has_volumes(service)
        && view.seen.iter().any(|seen| {
            seen.instance == Some(instance.id)
                && instance.moving_from == Some(seen.host_id)
                && !(view.away)(seen.host_id)
        })
}

fn plan_service(view: &View<'_>, name: &str, service: &Service, plan: &mut Plan) {
    let spec = view.specs.get(name).map_or("", String::as_str);
    let blocker = blocking_dependency(view, service);
    let may_end = may_end(view.project, name, service);
    let mut outdated = Vec::new();
    let mut changing = 0;
    for instance in view.instances.iter().filter(|instance| instance.service == name) {
        let mine =
            |seen: &&Seen| seen.instance == Some(instance.id) && seen.host_id == instance.host_id;
        let old: Vec<&Seen> =
            view.seen.iter().filter(mine).filter(|seen| seen.spec != spec).collect();
        let mut new = view.seen.iter().filter(mine).filter(|seen| seen.spec == spec);
        let Some(current) = new.next() else {
            // One that is missing is as far from ready as one that starts.
            changing += usize::from(old.is_empty());
            match old.as_slice() {
                [] if view.blocked => {
                    plan.waiting.push((name.to_owned(), "Its rollout has stopped.".into()))
                }
                [] if (view.away)(instance.host_id) => {
                    plan.waiting_for_hosts += 1;
                    plan.waiting.push((name.to_owned(), "Its host is not connected.".into()));
                }
                [] => match &blocker {
                    Some(why) => plan.waiting.push((name.to_owned(), why.clone())),
                    None if waits_for_old(view, instance, service) => {
                        let why = "It is stopped on the host that it leaves.".to_owned();
                        plan.waiting.push((name.to_owned(), why));
                    }
                    None => {
                        plan.steps.push(Step::Create { instance: instance.id, aside: None });
                    }
                },
                old => {
                    outdated.push((instance, old.to_vec()));
                    if view.blocked {
                        // What runs goes on as it is.
                        revive(view, instance, old[0], may_end, plan);
                    }
                }
            }
            continue;
        };
        // Two servers at once, or a crash at an unlucky moment: one is enough.
        plan.steps.extend(new.map(|extra| Step::Remove { container: extra.id.clone() }));
        let completed = may_end && current.has_completed();
        let ready = completed
            || current.is_ready()
                && (current.health.is_some()
                    || if old.is_empty() { current.steady } else { current.watched });
        if ready {
            plan.done += 1;
            plan.steps.extend(old.iter().map(|old| Step::Remove { container: old.id.clone() }));
            continue;
        }
        changing += 1;
        if !view.blocked && (view.replace)(current) {
            plan.steps.push(Step::Remove { container: current.id.clone() });
            plan.waiting.push((
                name.to_owned(),
                format!("`{}` is not healthy; a new one takes its place.", current.name),
            ));
            continue;
        }
        if let Some(why) = failure(view, service, current, may_end) {
            plan.failed.get_or_insert((name.to_owned(), why));
        }
        revive(view, instance, current, may_end, plan);
        if current.state == ContainerState::Restarting {
            let why =
                format!("`{}` has ended{}; it is started again.", current.name, code(current));
            plan.waiting.push((name.to_owned(), why));
        } else if !current.has_ended() {
            plan.waiting.push((name.to_owned(), format!("`{}` is starting.", current.name)));
        }
    }
    if view.blocked || outdated.is_empty() {
        return;
    }
    let update = &service.deploy.update;
    let at_once = match update.parallelism {
        0 => outdated.len(),
        most => (most as usize).saturating_sub(changing),
    };
    if (view.pausing)(name) || plan.failed.is_some() {
        plan.waiting
            .push((name.to_owned(), "The next batch waits for the pause between two.".into()));
        return;
    }
    if let Some(why) = blocker {
        plan.waiting.push((name.to_owned(), why));
        return;
    }
    // A port of the host can be held by one container at a time.
    let start_first =
        update.start_first && service.ports.iter().all(|port| port.published.is_none());
    for (instance, old) in outdated.iter().take(at_once) {
        if start_first {
            let aside = old.first().map(|old| old.id.clone());
            plan.steps.push(Step::Create { instance: instance.id, aside });
        } else {
            plan.steps.extend(old.iter().map(|old| Step::Remove { container: old.id.clone() }));
        }
    }
    plan.waiting.push((name.to_owned(), "It is being changed.".into()));
}

/// Starts a container that should run and does not.
fn revive(view: &View<'_>, instance: &Instance, seen: &Seen, may_end: bool, plan: &mut Plan) {
    let finished = may_end && seen.has_ended();
    if (seen.state == ContainerState::Created || seen.has_ended() && !finished)
        && !(view.resting)(&seen.id)
    {
        plan.steps.push(Step::Start { container: seen.id.clone(), instance: instance.id });
    } else if seen.has_ended() && !finished {
        plan.waiting.push((
            instance.service.clone(),
            format!("`{}` has ended{}; it is started again in a while.", seen.name, code(seen)),
        ));
    }
}

/// Why a new container counts as failed, if it does.
///
/// One that is started again when it ends may need a few tries, as when it waits in its own way
/// for a database.
fn failure(view: &View<'_>, service: &Service, seen: &Seen, may_end: bool) -> Option<String> {
    if seen.health == Some(Health::Unhealthy) {
        return Some(format!("`{}` is not healthy.", seen.name));
    }
    let down = seen.has_ended() || seen.state == ContainerState::Restarting;
    if down && !(may_end && seen.has_completed()) {
        let one_try = match service.restart {
            None => may_end,
            Some(Restart::No) => true,
            // The engine starts it again itself, until it has ended for good.
            Some(Restart::OnFailure(_)) => seen.has_ended(),
            Some(Restart::Always | Restart::UnlessStopped) => false,
        };
        if one_try {
            return Some(format!("`{}` has ended{}.", seen.name, code(seen)));
        }
        if (view.crashes)(&seen.id) >= MOST_CRASHES {
            return Some(format!("`{}` ends again and again{}.", seen.name, code(seen)));
        }
    }
    (view.overdue)(seen).then(|| format!("`{}` has not become ready in time.", seen.name))
}

/// ` with exit code 1`, if it is known.
fn code(seen: &Seen) -> String {
    seen.exit_code.map_or(String::new(), |code| format!(" with exit code {code}"))
}

/// Whether a container of this service may end by itself and stay ended.
pub(super) fn may_end(project: &Project, name: &str, service: &Service) -> bool {
    let awaited = project.services.values().any(|other| {
        other
            .depends_on
            .get(name)
            .is_some_and(|dependency| dependency.condition == DependencyCondition::Completed)
    });
    awaited || matches!(service.restart, Some(Restart::No | Restart::OnFailure(_)))
}

/// What a service has to wait for, if anything.
fn blocking_dependency(view: &View<'_>, service: &Service) -> Option<String> {
    service.depends_on.iter().find_map(|(name, dependency)| {
        let ids: Vec<Uuid> = view
            .instances
            .iter()
            .filter(|instance| instance.service == *name)
            .map(|instance| instance.id)
            .collect();
        let fits = |seen: &Seen| match dependency.condition {
            DependencyCondition::Started => seen.state == ContainerState::Running,
            DependencyCondition::Healthy => seen.is_ready(),
            DependencyCondition::Completed => seen.has_completed(),
        };
        let there = ids
            .iter()
            .all(|id| view.seen.iter().any(|seen| seen.instance == Some(*id) && fits(seen)));
        let what = match dependency.condition {
            DependencyCondition::Started => "run",
            DependencyCondition::Healthy => "be healthy",
            DependencyCondition::Completed => "complete",
        };
        (dependency.required && !there).then(|| format!("It waits for `{name}` to {what}."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use indexmap::IndexMap;
    use proptest::prelude::*;

    const TEXT: &str = "services:\n  db: {image: db}\n  web:\n    image: web\n    depends_on: [db]\n    deploy: {replicas: 3, update_config: {parallelism: 1}}\n";

    fn project(text: &str) -> Project {
        drover_compose::load(text, &()).project.unwrap_or_default()
    }

    /// A made-up host: takes steps, and can stop between any two of them.
    #[derive(Clone, Default)]
    struct World {
        seen: Vec<Seen>,
        made: usize,
    }

    impl World {
        fn take(&mut self, step: &Step, instances: &[Instance], specs: &IndexMap<String, String>) {
            match step {
                Step::Create { instance, aside } => {
                    let Some(instance) = instances.iter().find(|i| i.id == *instance) else {
                        return;
                    };
                    let name = format!("{}-{}", instance.service, instance.ordinal);
                    for seen in &mut self.seen {
                        if aside.as_ref() == Some(&seen.id) {
                            seen.name = format!("{name}-old");
                        }
                    }
                    // The engine refuses a second container of one name.
                    if self.seen.iter().any(|seen| seen.name == name) {
                        return;
                    }
                    self.made += 1;
                    self.seen.push(Seen {
                        id: format!("c{}", self.made),
                        name,
                        host_id: instance.host_id,
                        service: instance.service.clone(),
                        instance: Some(instance.id),
                        spec: specs[&instance.service].clone(),
                        state: ContainerState::Running,
                        health: None,
                        exit_code: None,
                        steady: true,
                        watched: true,
                        networks: None,
                    });
                }
                Step::Start { container, .. } => {
                    for seen in self.seen.iter_mut().filter(|seen| seen.id == *container) {
                        seen.state = ContainerState::Running;
                    }
                }
                Step::Remove { container } => self.seen.retain(|seen| seen.id != *container),
            }
        }
    }

    fn instances(project: &Project) -> Vec<Instance> {
        let mut all = Vec::new();
        for (name, service) in &project.services {
            for ordinal in 1..=service.deploy.replicas {
                let id = Uuid::from_u128(all.len() as u128 + 1);
                let (service, ordinal) = (name.clone(), ordinal as i32);
                let host_id = Uuid::from_u128(99);
                all.push(Instance { id, service, ordinal, host_id, ..Instance::default() });
            }
        }
        all
    }

    fn specs(project: &Project, make: &str) -> IndexMap<String, String> {
        project.services.keys().map(|name| (name.clone(), format!("{name}-{make}"))).collect()
    }

    fn next(project: &Project, specs: &IndexMap<String, String>, world: &World) -> Plan {
        plan(&View {
            project,
            specs,
            instances: &instances(project),
            seen: &world.seen,
            blocked: false,
            resting: &|_| false,
            pausing: &|_| false,
            overdue: &|_| false,
            crashes: &|_| 0,
            away: &|_| false,
            replace: &|_| false,
        })
    }

    /// Takes plans until nothing is left; `stops` says after how many steps of each plan the
    /// server dies.
    fn settle(
        project: &Project,
        specs: &IndexMap<String, String>,
        world: &mut World,
        stops: &[usize],
    ) -> bool {
        for round in 0..60 {
            let plan = next(project, specs, world);
            if plan.settled {
                return true;
            }
            let most = stops.get(round).copied().unwrap_or(usize::MAX);
            for step in plan.steps.iter().take(most) {
                world.take(step, &instances(project), specs);
            }
        }
        false
    }

    #[test]
    fn a_dependency_comes_first() {
        let project = project(TEXT);
        let specs = specs(&project, "1");
        let mut world = World::default();
        let first = next(&project, &specs, &world);
        assert_eq!(first.steps.len(), 1, "{first:?}");
        world.take(&first.steps[0], &instances(&project), &specs);
        assert_eq!(world.seen[0].service, "db");
        assert!(settle(&project, &specs, &mut world, &[]));
        assert_eq!(world.seen.len(), 4);
    }

    #[test]
    fn an_update_replaces_one_at_a_time() {
        let project = project(TEXT);
        let mut world = World::default();
        assert!(settle(&project, &specs(&project, "1"), &mut world, &[]));
        let mut newer = specs(&project, "1");
        newer.insert("web".into(), "web-2".into());
        for _ in 0..20 {
            let plan = next(&project, &newer, &world);
            for step in &plan.steps {
                world.take(step, &instances(&project), &newer);
            }
            let running = world.seen.iter().filter(|seen| seen.service == "web").count();
            assert!(running >= 2, "only {running} run during the update");
        }
        assert!(world.seen.iter().all(|seen| newer[&seen.service] == seen.spec));
        assert!(world.seen.iter().any(|seen| seen.id == "c1"), "db was not to be touched");
    }

    #[test]
    fn start_first_keeps_all_of_them_running() {
        let project =
            project(&TEXT.replace("parallelism: 1", "parallelism: 2, order: start-first"));
        let mut world = World::default();
        assert!(settle(&project, &specs(&project, "1"), &mut world, &[]));
        let newer = specs(&project, "2");
        for _ in 0..20 {
            let plan = next(&project, &newer, &world);
            for step in &plan.steps {
                world.take(step, &instances(&project), &newer);
            }
            assert!(world.seen.iter().filter(|seen| seen.service == "web").count() >= 3);
        }
        assert!(next(&project, &newer, &world).settled);
    }

    #[test]
    fn an_unhealthy_new_container_stops_the_update() {
        let project = project(TEXT);
        let mut world = World::default();
        assert!(settle(&project, &specs(&project, "1"), &mut world, &[]));
        let mut newer = specs(&project, "1");
        newer.insert("web".into(), "web-2".into());
        for _ in 0..2 {
            for step in next(&project, &newer, &world).steps {
                world.take(&step, &instances(&project), &newer);
            }
        }
        for seen in world.seen.iter_mut().filter(|seen| seen.spec == "web-2") {
            seen.health = Some(Health::Unhealthy);
        }
        let plan = next(&project, &newer, &world);
        assert_eq!(plan.failed.map(|(service, _)| service).as_deref(), Some("web"));
        assert_eq!(plan.steps, []);
    }

    #[test]
    fn what_has_ended_is_started_again_unless_it_may_end() {
        let text = "services:\n  job: {image: job, restart: \"no\"}\n  web: {image: web}\n";
        let project = project(text);
        let specs = specs(&project, "1");
        let mut world = World::default();
        assert!(settle(&project, &specs, &mut world, &[]));
        for seen in &mut world.seen {
            seen.state = ContainerState::Exited;
            seen.exit_code = Some(0);
        }
        let plan = next(&project, &specs, &world);
        assert_eq!(plan.steps.len(), 1);
        assert!(
            matches!(&plan.steps[0], Step::Start { container, .. } if *container == world.seen[1].id)
        );
    }

    proptest! {
        /// Killed after any number of steps of any plan, it ends in the same place: nothing
        /// twice, nothing lost.
        #[test]
        fn killed_at_any_point_it_ends_in_the_same_place(
            stops in prop::collection::vec(0..4_usize, 0..20),
            start_first: bool,
        ) {
            let order = if start_first { "start-first" } else { "stop-first" };
            let project = project(&TEXT.replace("parallelism: 1", &format!("parallelism: 2, order: {order}")));
            let mut world = World::default();
            for make in ["1", "2"] {
                let specs = specs(&project, make);
                prop_assert!(settle(&project, &specs, &mut world, &stops));
                let mut names: Vec<_> = world.seen.iter().map(|seen| seen.name.clone()).collect();
                names.sort();
                prop_assert_eq!(names, ["db-1", "web-1", "web-2", "web-3"]);
                prop_assert!(world.seen.iter().all(|seen| specs[&seen.service] == seen.spec));
            }
        }

        /// Whatever is there, the plan leads to what is wanted.
        #[test]
        fn any_mess_is_tidied(mess in prop::collection::vec((0..6_u128, 0..3_usize, 0..3_usize, any::<bool>()), 0..8)) {
            let project = project(TEXT);
            let specs = specs(&project, "1");
            let mut world = World::default();
            for (at, (instance, make, state, here)) in mess.into_iter().enumerate() {
                let known = instances(&project).into_iter().find(|i| i.id == Uuid::from_u128(instance));
                let service = known.map_or("web".to_owned(), |instance| instance.service);
                world.seen.push(Seen {
                    id: format!("m{at}"),
                    name: format!("mess-{at}"),
                    host_id: Uuid::from_u128(if here { 99 } else { 98 }),
                    spec: format!("{service}-{make}"),
                    service,
                    instance: Some(Uuid::from_u128(instance)),
                    state: [ContainerState::Running, ContainerState::Exited, ContainerState::Created][state],
                    health: None,
                    exit_code: Some(1),
                    steady: true,
                    watched: true,
                    networks: None,
                });
            }
            prop_assert!(settle(&project, &specs, &mut world, &[]));
            prop_assert_eq!(world.seen.len(), 4);
        }
    }
}
