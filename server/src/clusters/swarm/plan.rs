//! The next steps of a stack on a swarm, from what is wanted and what is there. Pure. The swarm
//! itself starts and replaces tasks; what is left to do is to write services, to see how that
//! goes, and to say when it has failed.

use std::collections::{HashMap, HashSet};

use drover_compose::{DependencyCondition, Project};
use uuid::Uuid;

use super::{spec::Scale, view::has_ended};
use crate::hosts::driver::DockerError;

/// So many new tasks of a service may end by themselves before its rollout is given up.
const MOST_CRASHES: usize = 5;
/// So many new tasks may find no image.
const MOST_WITHOUT_IMAGE: usize = 2;

/// A service as it should be.
#[derive(Debug, Clone)]
pub(super) struct WantedService {
    pub name: String,
    pub digest: String,
    pub task_digest: String,
    pub scale: Scale,
    /// A task that ends badly is not followed by another one.
    pub one_try: bool,
}

/// A service that is there.
#[derive(Debug, Clone, Default)]
pub(super) struct LiveService {
    pub id: String,
    /// Its name in the stack.
    pub name: String,
    pub digest: String,
    pub operation: Option<Uuid>,
    /// How many are asked for, of replicated ones.
    pub replicas: Option<u64>,
    /// How many the swarm wants.
    pub desired: u32,
    /// Which run of a job is the newest.
    pub job_iteration: Option<u64>,
    /// The state of its last update.
    pub update: Option<&'static str>,
    pub update_message: String,
    pub tasks: Vec<LiveTask>,
}

/// A task.
#[derive(Debug, Clone, Default)]
pub(super) struct LiveTask {
    pub id: String,
    pub task_digest: String,
    pub state: &'static str,
    pub desired: &'static str,
    pub error: Option<String>,
    pub exit_code: i64,
    pub job_iteration: Option<u64>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Make a service of this name.
    Create(String),
    /// Write the service with this id anew, by what the one of this name should be.
    Update { id: String, name: String },
    /// Remove the service with this id, which the stack no longer has.
    Remove(String),
}

/// Why a rollout cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub service: String,
    pub code: String,
    pub message: String,
    /// The task that it shows in.
    pub task: Option<String>,
}

/// What to do now, and how far it is.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub steps: Vec<Step>,
    /// Everything is as wanted.
    pub settled: bool,
    /// Why services are not yet as wanted.
    pub waiting: Vec<(String, String)>,
    pub failed: Option<Failure>,
    /// Tasks that do what they should, and all that should.
    pub done: u32,
    pub total: u32,
}

/// What the plan is made from.
pub(super) struct Situation<'a> {
    pub project: &'a Project,
    pub wanted: &'a [WantedService],
    pub live: &'a [LiveService],
    /// The rollout that is under way.
    pub operation: Option<Uuid>,
    /// The rollout has failed: nothing that runs is replaced, nothing new is made.
    pub blocked: bool,
    /// Tasks that had failed before this rollout.
    pub old_failures: &'a HashSet<String>,
    /// A service has been as it should for a moment.
    pub steady: &'a dyn Fn(&str) -> bool,
    /// A service took too long to become ready.
    pub overdue: &'a dyn Fn(&str) -> bool,
    /// A task has found no node for too long.
    pub homeless: &'a dyn Fn(&str) -> bool,
}

impl LiveService {
    fn of_now<'a>(&'a self, wanted: &'a WantedService) -> impl Iterator<Item = &'a LiveTask> {
        self.tasks.iter().filter(|task| {
            task.task_digest == wanted.task_digest
                && (self.job_iteration.is_none()
                    || task.job_iteration.is_none()
                    || task.job_iteration == self.job_iteration)
        })
    }

    /// How many tasks do what they should, and how many should.
    pub fn standing(&self, wanted: &WantedService) -> (u32, u32) {
        let count = |wanted_state: &dyn Fn(&LiveTask) -> bool| {
            self.of_now(wanted).filter(|task| wanted_state(task)).count() as u32
        };
        let runs = |task: &LiveTask| task.state == "running" && task.desired == "running";
        let completed = |task: &LiveTask| task.state == "complete";
        match wanted.scale {
            Scale::Replicated(replicas) if wanted.one_try => {
                (count(&|task| runs(task) || completed(task)).min(replicas), replicas)
            }
            Scale::Replicated(replicas) => (count(&runs).min(replicas), replicas),
            // A moment after it was made a service has no tasks yet.
            Scale::Global => (count(&runs).min(self.desired), self.desired.max(1)),
            Scale::Job(runs) => (count(&completed).min(runs), runs),
            Scale::GlobalJob => {
                let all = count(&|task| !matches!(task.state, "failed" | "rejected"));
                (count(&completed), all.max(1))
            }
        }
    }
}

/// The plan.
pub(super) fn plan(now: &Situation<'_>) -> Plan {
    let mut plan = Plan::default();
    let names: HashSet<&str> = now.wanted.iter().map(|wanted| wanted.name.as_str()).collect();
    if !now.blocked {
        let gone = now.live.iter().filter(|live| !names.contains(live.name.as_str()));
        plan.steps.extend(gone.map(|live| Step::Remove(live.id.clone())));
    }
    let live: HashMap<&str, &LiveService> =
        now.live.iter().map(|live| (live.name.as_str(), live)).collect();
    for wanted in now.wanted {
        plan_service(now, wanted, &live, &mut plan);
    }
    plan.settled = plan.steps.is_empty() && plan.waiting.is_empty() && plan.failed.is_none();
    plan
}

fn plan_service(
    now: &Situation<'_>,
    wanted: &WantedService,
    all: &HashMap<&str, &LiveService>,
    plan: &mut Plan,
) {
    let name = &wanted.name;
    let live = all.get(name.as_str());
    let expected = match (wanted.scale, live) {
        (Scale::Replicated(count) | Scale::Job(count), _) => count,
        (_, Some(live)) => live.standing(wanted).1,
        (_, None) => 1,
    };
    plan.total += expected;
    let step = match live {
        None => Some(Step::Create(name.clone())),
        Some(live) => needs_writing(now, wanted, live)
            .then(|| Step::Update { id: live.id.clone(), name: name.clone() }),
    };
    if let Some(step) = step {
        let update = matches!(step, Step::Update { .. });
        if now.blocked {
            // What runs goes on as it is.
            if !update {
                plan.waiting.push((name.clone(), "Its rollout has stopped.".into()));
            }
        } else if let Some(why) = blocking_dependency(now, name, all) {
            plan.waiting.push((name.clone(), why));
        } else {
            plan.steps.push(step);
        }
        return;
    }
    let Some(live) = live else { return };
    let (done, expected) = live.standing(wanted);
    plan.done += done;
    if plan.failed.is_none() && now.operation.is_some() {
        plan.failed = failure(now, wanted, live, done >= expected);
    }
    let updating = matches!(live.update, Some("updating" | "rollback_started"));
    if done < expected {
        plan.waiting.push((name.clone(), why_waiting(wanted, live, done, expected)));
    } else if updating {
        plan.waiting.push((name.clone(), "Its new tasks are being watched.".into()));
    } else if now.operation.is_some() && !(now.steady)(name) {
        plan.waiting.push((name.clone(), "It has just become ready.".into()));
    }
}

/// Whether a service is other than wanted; or an earlier rollout of the same has stopped half way,
/// and this one is to go on.
fn needs_writing(now: &Situation<'_>, wanted: &WantedService, live: &LiveService) -> bool {
    let scaled_by_hand = match wanted.scale {
        Scale::Replicated(replicas) => live.replicas != Some(replicas.into()),
        _ => false,
    };
    let stopped = matches!(live.update, Some("paused" | "rollback_paused" | "rollback_completed"));
    let resumed = now.operation.is_some() && stopped && live.operation != now.operation;
    live.digest != wanted.digest || scaled_by_hand || resumed
}

fn failure(
    now: &Situation<'_>,
    wanted: &WantedService,
    live: &LiveService,
    ready: bool,
) -> Option<Failure> {
    let name = &wanted.name;
    let failed: Vec<&LiveTask> = live
        .of_now(wanted)
        .filter(|task| matches!(task.state, "failed" | "rejected"))
        .filter(|task| !now.old_failures.contains(&task.id))
        .collect();
    let newest = failed.last().copied();
    let because = |message: String, task: Option<&LiveTask>| {
        let error = task
            .map(|task| DockerError::from_answer(500, task.error.as_deref().unwrap_or_default()));
        let code = error.filter(|error| error.code() != "engine_error");
        Some(Failure {
            service: name.clone(),
            code: code.map_or("unhealthy", |error| error.code()).to_owned(),
            message,
            task: task.map(|task| task.id.clone()),
        })
    };
    let said = |task: &LiveTask| match (&task.error, task.exit_code) {
        (Some(error), _) => format!("A task of it has ended: {error}."),
        (None, code) => format!("A task of it has ended with exit code {code}."),
    };
    if matches!(live.update, Some("paused" | "rollback_paused")) && live.operation == now.operation
    {
        let why = newest.map_or_else(|| format!("{}.", live.update_message), said);
        return because(format!("Its update was stopped. {why}"), newest);
    }
    if ready {
        return None;
    }
    if let Some(task) = newest {
        let without_image = failed
            .iter()
            .filter(|task| {
                let error = task.error.as_deref().unwrap_or_default();
                DockerError::from_answer(500, error).code().starts_with("image_")
            })
            .count();
        if without_image >= MOST_WITHOUT_IMAGE || wanted.one_try || failed.len() >= MOST_CRASHES {
            return because(said(task), Some(task));
        }
    }
    let pending = live
        .of_now(wanted)
        .find(|task| task.state == "pending" && task.error.is_some() && (now.homeless)(&task.id));
    if let Some(task) = pending {
        let error = task.error.as_deref().unwrap_or_default();
        return Some(Failure {
            service: name.clone(),
            code: "no_host".into(),
            message: format!("The swarm finds no node for it: {error}."),
            task: None,
        });
    }
    if (now.overdue)(name) {
        let why = match wanted.scale {
            Scale::Global | Scale::GlobalJob if live.tasks.is_empty() => {
                "No node of the swarm matches its rules."
            }
            _ => "It has not become ready in time.",
        };
        return because(why.into(), newest);
    }
    None
}

fn why_waiting(wanted: &WantedService, live: &LiveService, done: u32, expected: u32) -> String {
    let tasks = || {
        live.of_now(wanted).filter(|task| task.desired == "running" || task.desired == "complete")
    };
    let verb = match wanted.scale {
        Scale::Job(_) | Scale::GlobalJob => "have completed",
        _ => "run",
    };
    let mut words = format!("{done} of {expected} tasks {verb}.");
    let told = tasks().find_map(|task| Some((task, task.error.as_ref()?)));
    match told {
        Some((_, error)) => words.push_str(&format!(" One says: {error}.")),
        None => {
            if let Some(task) =
                tasks().find(|task| task.state != "running" && !has_ended(task.state))
            {
                words.push_str(&format!(" One is {}.", task.state));
            }
        }
    }
    words
}

/// What a service has to wait for, if anything.
fn blocking_dependency(
    now: &Situation<'_>,
    name: &str,
    all: &HashMap<&str, &LiveService>,
) -> Option<String> {
    let service = now.project.services.get(name)?;
    service.depends_on.iter().filter(|(_, dependency)| dependency.required).find_map(
        |(other, dependency)| {
            let wanted = now.wanted.iter().find(|wanted| wanted.name == *other)?;
            let there = all.get(other.as_str()).is_some_and(|live| {
                let (done, expected) = live.standing(wanted);
                live.digest == wanted.digest && done >= expected
            });
            let what = match dependency.condition {
                DependencyCondition::Started => "run",
                DependencyCondition::Healthy => "be healthy",
                DependencyCondition::Completed => "complete",
            };
            (!there).then(|| format!("It waits for `{other}` to {what}."))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "services:\n  db: {image: db}\n  web: {image: web, depends_on: [db], deploy: {replicas: 2}}\n";

    fn project(text: &str) -> Project {
        drover_compose::load(text, &()).project.unwrap_or_default()
    }

    fn wanted(name: &str, replicas: u32, make: &str) -> WantedService {
        WantedService {
            name: name.into(),
            digest: format!("{name}-{make}-{replicas}"),
            task_digest: format!("{name}-{make}"),
            scale: Scale::Replicated(replicas),
            one_try: false,
        }
    }

    fn live(wanted: &WantedService, states: &[&'static str]) -> LiveService {
        let replicas = match wanted.scale {
            Scale::Replicated(replicas) => Some(replicas.into()),
            _ => None,
        };
        LiveService {
            id: format!("id-{}", wanted.name),
            name: wanted.name.clone(),
            digest: wanted.digest.clone(),
            replicas,
            tasks: states
                .iter()
                .enumerate()
                .map(|(n, &state)| LiveTask {
                    id: format!("{}-{n}", wanted.name),
                    task_digest: wanted.task_digest.clone(),
                    state,
                    desired: if has_ended(state) { "shutdown" } else { "running" },
                    ..LiveTask::default()
                })
                .collect(),
            ..LiveService::default()
        }
    }

    fn next(wanted: &[WantedService], live: &[LiveService], operation: Option<Uuid>) -> Plan {
        next_of(&project(TEXT), wanted, live, operation)
    }

    fn next_of(
        project: &Project,
        wanted: &[WantedService],
        live: &[LiveService],
        operation: Option<Uuid>,
    ) -> Plan {
        plan(&Situation {
            project,
            wanted,
            live,
            operation,
            blocked: false,
            old_failures: &HashSet::new(),
            steady: &|_| true,
            overdue: &|_| false,
            homeless: &|_| false,
        })
    }

    const OPERATION: Option<Uuid> = Some(Uuid::from_u128(7));

    #[test]
    fn a_dependency_comes_first() {
        let all = [wanted("db", 1, "1"), wanted("web", 2, "1")];
        assert_eq!(next(&all, &[], OPERATION).steps, [Step::Create("db".into())]);
        let starting = [live(&all[0], &["starting"])];
        let plan = next(&all, &starting, OPERATION);
        assert_eq!((plan.steps.len(), plan.settled), (0, false));
        let ready = [live(&all[0], &["running"])];
        assert_eq!(next(&all, &ready, OPERATION).steps, [Step::Create("web".into())]);
        let both = [live(&all[0], &["running"]), live(&all[1], &["running", "running"])];
        let plan = next(&all, &both, OPERATION);
        assert!(plan.settled);
        assert_eq!((plan.done, plan.total), (3, 3));
    }

    #[test]
    fn what_has_changed_is_written_and_what_left_is_removed() {
        let old = [wanted("db", 1, "1"), wanted("web", 2, "1"), wanted("gone", 1, "1")];
        let there: Vec<_> = old.iter().map(|w| live(w, &["running", "running"])).collect();
        let new = [wanted("db", 1, "1"), wanted("web", 2, "2")];
        let plan = next(&new, &there, OPERATION);
        let update = Step::Update { id: "id-web".into(), name: "web".into() };
        assert_eq!(plan.steps, [Step::Remove("id-gone".into()), update]);
    }

    #[test]
    fn a_scale_changed_by_hand_is_set_back() {
        let all = [wanted("db", 1, "1"), wanted("web", 2, "1")];
        let mut there: Vec<_> = all.iter().map(|w| live(w, &["running", "running"])).collect();
        there[1].replicas = Some(5);
        assert_eq!(next(&all, &there, None).steps.len(), 1);
    }

    #[test]
    fn an_update_that_stopped_has_failed_and_a_new_try_resumes_it() {
        let all = [wanted("db", 1, "1")];
        let mut there = [live(&all[0], &["running", "failed"])];
        there[0].update = Some("paused");
        there[0].operation = OPERATION;
        there[0].tasks[1].error = Some("task: non-zero exit (1)".into());
        let failed = next(&all, &there, OPERATION).failed.unwrap();
        assert_eq!((failed.service.as_str(), failed.code.as_str()), ("db", "unhealthy"));
        assert!(failed.message.contains("non-zero exit"), "{failed:?}");
        let again = next(&all, &there, Some(Uuid::from_u128(8)));
        assert_eq!((again.failed, again.steps.len()), (None, 1));
    }

    #[test]
    fn new_tasks_that_fail_end_the_rollout() {
        let all = [wanted("db", 1, "1")];
        let few = [live(&all[0], &["failed", "failed", "ready"])];
        assert_eq!(next(&all, &few, OPERATION).failed, None);
        let many = [live(&all[0], &["failed", "failed", "failed", "failed", "failed", "ready"])];
        assert_eq!(
            next(&all, &many, OPERATION).failed.map(|f| f.code).as_deref(),
            Some("unhealthy")
        );
        // Without a rollout they are the swarm's to start again.
        assert_eq!(next(&all, &many, None).failed, None);
        let mut without = [live(&all[0], &["rejected", "rejected", "ready"])];
        for task in &mut without[0].tasks {
            task.error = Some("No such image: nope:1".into());
        }
        let failed = next(&all, &without, OPERATION).failed;
        assert_eq!(failed.map(|f| f.code).as_deref(), Some("image_not_found"));
    }

    #[test]
    fn jobs_are_done_when_they_have_completed() {
        let job = WantedService { scale: Scale::Job(2), ..wanted("db", 0, "1") };
        let mut there = live(&job, &["complete", "running"]);
        there.job_iteration = Some(3);
        there.tasks[0].job_iteration = Some(3);
        there.tasks[1].job_iteration = Some(3);
        assert_eq!(there.standing(&job), (1, 2));
        there.tasks[0].job_iteration = Some(2);
        assert_eq!(there.standing(&job), (0, 2));
    }

    #[test]
    fn a_stopped_rollout_changes_nothing() {
        let all = [wanted("db", 1, "2"), wanted("web", 2, "1")];
        let there = [live(&wanted("db", 1, "1"), &["running"])];
        let plan = plan(&Situation {
            project: &project(TEXT),
            wanted: &all,
            live: &there,
            operation: None,
            blocked: true,
            old_failures: &HashSet::new(),
            steady: &|_| true,
            overdue: &|_| false,
            homeless: &|_| false,
        });
        assert_eq!(plan.steps, []);
        assert!(!plan.settled);
    }
}
