//! The next steps of a stack in a cluster, from what is wanted and what is there. Pure. The
//! cluster's controllers make pods and replace them; what is left to do is to apply objects, to
//! see how that goes, and to say when it has failed.

use std::collections::{HashMap, HashSet};

use drover_compose::{DependencyCondition, Project};
use drover_kubernetes::{
    render::{self, Object},
    standing::{Standing, Trouble},
};

use super::store::Reference;

/// An object that is wanted.
pub(super) struct Wanted {
    pub reference: Reference,
    pub object: Object,
}

/// One of the stack's objects in the cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct There {
    pub digest: String,
    pub uid: String,
    /// How many pods are asked for, of what can be scaled.
    pub replicas: Option<u64>,
    /// It is on its way out.
    pub ending: bool,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Apply the wanted object at this place in the list.
    Apply(usize),
    /// Delete what the stack no longer has.
    Delete(Reference),
}

/// Why a rollout cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub service: String,
    pub trouble: Trouble,
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
    /// Pods that do what they should, and all that should.
    pub done: u32,
    pub total: u32,
}

/// What the plan is made from.
pub(super) struct Situation<'a> {
    pub project: &'a Project,
    pub wanted: &'a [Wanted],
    pub there: &'a HashMap<Reference, There>,
    /// All that the stack has ever applied and not let go of.
    pub applied: &'a [Reference],
    /// How the workload of each service stands.
    pub standings: &'a HashMap<String, Standing>,
    /// A rollout is under way.
    pub rollout: bool,
    /// The rollout has failed: nothing that runs is replaced, nothing new is made.
    pub blocked: bool,
    /// A service has been as it should for a moment.
    pub steady: &'a dyn Fn(&str) -> bool,
    /// A service took too long to become ready.
    pub overdue: &'a dyn Fn(&str) -> bool,
    /// A trouble has lasted for too long.
    pub lasting: &'a dyn Fn(&str) -> bool,
}

/// The plan.
pub(super) fn plan(now: &Situation<'_>) -> Plan {
    let mut plan = Plan::default();
    let mut shared_ready = true;
    for (place, wanted) in now.wanted.iter().enumerate() {
        if wanted.object.service.is_some() || is_as_wanted(now, wanted) || now.blocked {
            continue;
        }
        shared_ready = false;
        if is_ending(now, wanted) {
            let why =
                format!("{} is being removed before it is made anew.", wanted.reference.words());
            plan.waiting.push((String::new(), why));
        } else {
            plan.steps.push(Step::Apply(place));
        }
    }
    let kept: HashSet<&Reference> = now.wanted.iter().map(|wanted| &wanted.reference).collect();
    let gone = now.applied.iter().filter(|reference| {
        !kept.contains(reference) && now.there.contains_key(*reference) && !reference.is_data()
    });
    let gone: Vec<&Reference> = gone.collect();
    if !now.blocked {
        // What runs and is wanted no more goes at once; what others may still use, in the end.
        let runs = gone.iter().filter(|of| is_workload(of) && !now.there[**of].ending);
        plan.steps.extend(runs.map(|of| Step::Delete(Reference::clone(of))));
    }
    for (place, wanted) in now.wanted.iter().enumerate() {
        if let Some(service) = &wanted.object.service {
            plan_service(now, place, wanted, service, shared_ready, &mut plan);
        }
    }
    plan.settled = plan.steps.is_empty() && plan.waiting.is_empty() && plan.failed.is_none();
    if plan.settled && !now.blocked {
        let rest = gone.into_iter().filter(|reference| !now.there[*reference].ending);
        plan.steps.extend(rest.cloned().map(Step::Delete));
        plan.settled = plan.steps.is_empty();
    }
    plan
}

fn is_workload(reference: &Reference) -> bool {
    matches!(
        reference.kind.as_str(),
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "ReplicaSet" | "Pod" | "CronJob"
    )
}

fn is_ending(now: &Situation<'_>, wanted: &Wanted) -> bool {
    now.there.get(&wanted.reference).is_some_and(|there| there.ending)
}

fn is_as_wanted(now: &Situation<'_>, wanted: &Wanted) -> bool {
    let Some(there) = now.there.get(&wanted.reference) else { return false };
    // One that is on its way out has to be made again.
    let replicas = wanted.object.value["spec"]["replicas"].as_u64();
    !there.ending
        && there.digest == wanted.object.digest
        && (replicas.is_none() || there.replicas.is_none() || replicas == there.replicas)
}

fn plan_service(
    now: &Situation<'_>,
    place: usize,
    wanted: &Wanted,
    service: &str,
    shared_ready: bool,
    plan: &mut Plan,
) {
    let none = Standing { expected: 1, ..Standing::default() };
    let standing = now.standings.get(service).unwrap_or(&none);
    plan.total += standing.expected;
    let mut wait = |why: String| plan.waiting.push((service.to_owned(), why));
    if !is_as_wanted(now, wanted) {
        if now.blocked {
            // What runs goes on as it is.
            if !now.there.contains_key(&wanted.reference) {
                wait("Its rollout has stopped.".into());
            }
        } else if is_ending(now, wanted) {
            wait("It is being removed before it is made anew.".into());
        } else if let Some(why) = blocking_dependency(now, service) {
            wait(why);
        } else if shared_ready {
            plan.steps.push(Step::Apply(place));
        }
        return;
    }
    plan.done += standing.done.min(standing.expected);
    if plan.failed.is_none() && now.rollout && !standing.settled {
        plan.failed = failure(now, service, standing);
    }
    let mut wait = |why: String| plan.waiting.push((service.to_owned(), why));
    if !standing.settled {
        wait(why_waiting(standing));
    } else if now.rollout && !(now.steady)(service) {
        wait("It has just become ready.".into());
    }
}

fn failure(now: &Situation<'_>, service: &str, standing: &Standing) -> Option<Failure> {
    let certain = standing.troubles.iter().find(|trouble| trouble.certain);
    let lasting = || standing.troubles.iter().find(|trouble| (now.lasting)(&trouble.key));
    if let Some(trouble) = certain.or_else(lasting) {
        return Some(Failure { service: service.to_owned(), trouble: trouble.clone() });
    }
    if !(now.overdue)(service) {
        return None;
    }
    let late = Trouble {
        key: "late".into(),
        certain: true,
        code: "unhealthy",
        message: "It has not become ready in time.".into(),
        said_by: None,
    };
    let trouble = match standing.troubles.first() {
        Some(first) => Trouble {
            message: format!("{} {}", late.message, first.message),
            said_by: first.said_by.clone(),
            ..late
        },
        None => late,
    };
    Some(Failure { service: service.to_owned(), trouble })
}

fn why_waiting(standing: &Standing) -> String {
    let mut words = format!("{} of {} pods are ready.", standing.done, standing.expected);
    if let Some(trouble) = standing.troubles.first() {
        words.push(' ');
        words.push_str(&trouble.message);
    }
    words
}

/// What a service has to wait for, if anything.
fn blocking_dependency(now: &Situation<'_>, name: &str) -> Option<String> {
    let service = now.project.services.get(name)?;
    let waits = service.depends_on.iter().filter(|(_, dependency)| dependency.required);
    waits
        .filter_map(|(other, dependency)| {
            // A container in another service's pods is there when those are.
            let other = render::pod_of(now.project, other);
            let wanted =
                now.wanted.iter().find(|wanted| wanted.object.service.as_deref() == Some(other))?;
            let ready = is_as_wanted(now, wanted)
                && now.standings.get(other).is_some_and(|standing| standing.settled);
            let what = match dependency.condition {
                DependencyCondition::Started => "run",
                DependencyCondition::Healthy => "be healthy",
                DependencyCondition::Completed => "complete",
            };
            (!ready && other != name).then(|| format!("It waits for `{other}` to {what}."))
        })
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = "services:\n  db: {image: db}\n  web: {image: web, depends_on: [db], deploy: {replicas: 2}}\n";

    fn reference(kind: &str, name: &str) -> Reference {
        Reference {
            api_version: "v1".into(),
            kind: kind.into(),
            namespace: Some("team".into()),
            name: name.into(),
        }
    }

    fn wanted(kind: &str, name: &str, service: Option<&str>, digest: &str) -> Wanted {
        let value =
            json!({ "kind": kind, "metadata": { "name": name }, "spec": { "replicas": 2 } });
        let service = service.map(str::to_owned);
        let digest = digest.to_owned();
        let object = Object { value, digest, service, line: 0, adopt: false };
        Wanted { reference: reference(kind, name), object }
    }

    fn there(digest: &str) -> There {
        There { digest: digest.into(), uid: "u".into(), replicas: Some(2), ending: false }
    }

    struct Case {
        wanted: Vec<Wanted>,
        there: HashMap<Reference, There>,
        applied: Vec<Reference>,
        standings: HashMap<String, Standing>,
        blocked: bool,
        lasting: bool,
    }

    fn case() -> Case {
        Case {
            wanted: vec![
                wanted("Secret", "s", None, "1"),
                wanted("Deployment", "db", Some("db"), "1"),
                wanted("Deployment", "web", Some("web"), "1"),
            ],
            there: HashMap::new(),
            applied: Vec::new(),
            standings: HashMap::new(),
            blocked: false,
            lasting: false,
        }
    }

    fn ready() -> Standing {
        Standing { done: 2, expected: 2, settled: true, troubles: Vec::new() }
    }

    fn next(case: &Case) -> Plan {
        let project = drover_compose::load(TEXT, &()).project.unwrap_or_default();
        plan(&Situation {
            project: &project,
            wanted: &case.wanted,
            there: &case.there,
            applied: &case.applied,
            standings: &case.standings,
            rollout: !case.blocked,
            blocked: case.blocked,
            steady: &|_| true,
            overdue: &|_| false,
            lasting: &|_| case.lasting,
        })
    }

    #[test]
    fn what_services_need_comes_first_and_then_what_they_wait_for() {
        let mut case = case();
        assert_eq!(next(&case).steps, [Step::Apply(0)]);
        case.there.insert(reference("Secret", "s"), there("1"));
        assert_eq!(next(&case).steps, [Step::Apply(1)]);
        case.there.insert(reference("Deployment", "db"), there("1"));
        let plan = next(&case);
        assert_eq!((plan.steps.len(), plan.settled), (0, false));
        case.standings.insert("db".into(), ready());
        assert_eq!(next(&case).steps, [Step::Apply(2)]);
        case.there.insert(reference("Deployment", "web"), there("1"));
        case.standings.insert("web".into(), ready());
        let plan = next(&case);
        assert!(plan.settled, "{plan:?}");
        assert_eq!((plan.done, plan.total), (4, 4));
    }

    fn all_there() -> Case {
        let mut case = case();
        for wanted in &case.wanted {
            case.there.insert(wanted.reference.clone(), there("1"));
        }
        case.standings = [("db".to_owned(), ready()), ("web".to_owned(), ready())].into();
        case
    }

    #[test]
    fn what_has_left_goes_and_data_stays() {
        let mut case = all_there();
        for (kind, name) in
            [("Deployment", "old"), ("ConfigMap", "old"), ("PersistentVolumeClaim", "old")]
        {
            case.there.insert(reference(kind, name), there("1"));
            case.applied.push(reference(kind, name));
        }
        assert_eq!(next(&case).steps, [Step::Delete(reference("Deployment", "old"))]);
        case.there.remove(&reference("Deployment", "old"));
        assert_eq!(next(&case).steps, [Step::Delete(reference("ConfigMap", "old"))]);
        case.there.remove(&reference("ConfigMap", "old"));
        assert!(next(&case).settled);
    }

    #[test]
    fn a_scale_changed_by_hand_is_set_back() {
        let mut case = all_there();
        let web = reference("Deployment", "web");
        case.there.insert(web.clone(), There { replicas: Some(5), ..there("1") });
        assert_eq!(next(&case).steps, [Step::Apply(2)]);
    }

    #[test]
    fn trouble_ends_a_rollout_when_it_is_certain_or_lasts() {
        let mut case = all_there();
        let trouble = Trouble {
            key: "k".into(),
            certain: false,
            code: "no_host",
            message: "No node.".into(),
            said_by: None,
        };
        let standing = Standing { done: 0, expected: 2, settled: false, troubles: vec![trouble] };
        case.standings.insert("db".into(), standing);
        let plan = next(&case);
        assert_eq!(plan.failed, None);
        assert_eq!(plan.waiting[0].1, "0 of 2 pods are ready. No node.");
        case.lasting = true;
        let failed = next(&case).failed;
        assert_eq!(failed.map(|failure| failure.trouble.code), Some("no_host"));
    }

    #[test]
    fn a_stopped_rollout_changes_nothing() {
        let mut case = all_there();
        case.blocked = true;
        case.wanted[1].object.digest = "2".into();
        case.there.remove(&reference("Deployment", "web"));
        let plan = next(&case);
        assert_eq!(plan.steps, []);
        assert!(!plan.settled);
    }
}
