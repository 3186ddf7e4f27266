//! How the workload of a service stands, from its object and its pods. Pure.

use serde_json::Value;

use crate::render::names;

/// So many restarts of a container mean that it will not run.
const MOST_RESTARTS: u64 = 3;

/// How a workload stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// Pods that do what they should, of the newest make.
    pub done: u32,
    /// How many should.
    pub expected: u32,
    /// The cluster has made of it all that there is to make, and nothing old is left.
    pub settled: bool,
    /// What is wrong with pods of the newest make.
    pub troubles: Vec<Trouble>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The same while it lasts.
    pub key: String,
    /// It will not pass by itself; otherwise it may, and only lasts too long.
    pub certain: bool,
    /// Stable, for programs.
    pub code: &'static str,
    /// A sentence.
    pub message: String,
    /// The pod and container whose log may say more.
    pub said_by: Option<(String, String)>,
}

/// What a workload has to do to be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Run.
    Run,
    /// Come to its end.
    Complete,
    /// Run, or come to its end.
    Either,
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or_default()
}

/// The condition of a type, if its status is `True` (or `False`, as asked).
fn condition<'v>(object: &'v Value, kind: &str, status: &str) -> Option<&'v Value> {
    let all = object["status"]["conditions"].as_array()?;
    all.iter().find(|found| found["type"] == kind && found["status"] == status)
}

/// How a workload stands, with its pods.
pub fn of(workload: &Value, pods: &[&Value], goal: Goal) -> Standing {
    let (spec, status) = (&workload["spec"], &workload["status"]);
    let seen = status["observedGeneration"].as_u64().unwrap_or_default()
        >= workload["metadata"]["generation"].as_u64().unwrap_or_default();
    let wanted = spec["replicas"].as_u64().map_or(1, |_| number(&spec["replicas"]));
    let mut standing = match workload["kind"].as_str().unwrap_or_default() {
        "DaemonSet" => {
            let expected = number(&status["desiredNumberScheduled"]);
            let updated = number(&status["updatedNumberScheduled"]);
            let done = updated.min(number(&status["numberAvailable"]));
            let settled = seen && done >= expected;
            Standing { done, expected, settled, ..Standing::default() }
        }
        "Job" => job(workload, goal),
        "Pod" => pod_alone(workload),
        "ReplicaSet" => {
            let done = number(&status["availableReplicas"]);
            let settled = seen && done >= wanted && number(&status["replicas"]) <= wanted;
            Standing { done, expected: wanted, settled, ..Standing::default() }
        }
        _ => {
            let updated = number(&status["updatedReplicas"]);
            let done = updated.min(number(&status["availableReplicas"])).min(wanted);
            let settled = seen
                && updated >= wanted
                && done >= wanted
                && number(&status["replicas"]) <= updated.max(wanted);
            let done = if seen { done } else { 0 };
            Standing { done, expected: wanted, settled, ..Standing::default() }
        }
    };
    let place = match workload["kind"].as_str() {
        Some("Pod") => &workload["metadata"],
        _ => &spec["template"]["metadata"],
    };
    let make = &place["annotations"][names::TEMPLATE];
    let newest = pods
        .iter()
        .filter(|pod| pod["metadata"]["annotations"][names::TEMPLATE] == *make)
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let mut found: Vec<Trouble> = newest.filter_map(|pod| trouble(pod)).collect();
    found.sort_by_key(|trouble| !trouble.certain);
    if let Some(why) = refused(workload) {
        found.push(why);
    }
    if let Some(late) = condition(workload, "Progressing", "False")
        && late["reason"] == "ProgressDeadlineExceeded"
        && seen
    {
        let message = found.first().map_or_else(
            || "It has not become ready in time.".to_owned(),
            |trouble| trouble.message.clone(),
        );
        let said_by = found.first().and_then(|trouble| trouble.said_by.clone());
        let key = "deadline".to_owned();
        found.insert(0, Trouble { key, certain: true, code: "unhealthy", message, said_by });
    }
    standing.troubles.extend(found);
    standing
}

/// The cluster makes no pods of it: a quota is used up, or admission says no.
fn refused(workload: &Value) -> Option<Trouble> {
    let failed = condition(workload, "ReplicaFailure", "True")?;
    let message = failed["message"].as_str().unwrap_or_default();
    Some(Trouble {
        key: "refused".into(),
        certain: false,
        code: "pods_refused",
        message: format!("The cluster makes no pods of it: {}", sentence(message)),
        said_by: None,
    })
}

fn job(workload: &Value, goal: Goal) -> Standing {
    let status = &workload["status"];
    let spec = &workload["spec"];
    let expected = spec["completions"].as_u64().map_or(1, |_| number(&spec["completions"]));
    let succeeded = number(&status["succeeded"]);
    let running = match goal {
        Goal::Complete => 0,
        Goal::Run | Goal::Either => number(&status["ready"]),
    };
    let complete = condition(workload, "Complete", "True").is_some();
    let done = (succeeded + running).min(expected);
    let mut standing = Standing {
        done: if complete { expected } else { done },
        expected,
        settled: complete || done >= expected,
        troubles: Vec::new(),
    };
    if let Some(failed) = condition(workload, "Failed", "True") {
        let why = failed["message"].as_str().unwrap_or_default();
        standing.settled = false;
        standing.troubles.push(Trouble {
            key: "job".into(),
            certain: true,
            code: "unhealthy",
            message: format!("It has failed: {}", sentence(why)),
            said_by: None,
        });
    }
    standing
}

fn pod_alone(pod: &Value) -> Standing {
    let done = pod["status"]["phase"] == "Succeeded" || condition(pod, "Ready", "True").is_some();
    Standing { done: u32::from(done), expected: 1, settled: done, ..Standing::default() }
}

/// Ends with a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim();
    let short: String = text.chars().take(400).collect();
    if short.ends_with('.') { short } else { format!("{short}.") }
}

/// What is wrong with a pod, in a sentence.
pub fn trouble(pod: &Value) -> Option<Trouble> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let status = &pod["status"];
    let all = |key: &str| status[key].as_array().map(Vec::as_slice).unwrap_or_default();
    for container in all("initContainerStatuses").iter().chain(all("containerStatuses")) {
        if let Some(trouble) = container_trouble(name, container) {
            return Some(trouble);
        }
    }
    if status["phase"] == "Failed" {
        let why = status["message"].as_str().or(status["reason"].as_str()).unwrap_or("its end");
        return Some(Trouble {
            key: format!("{name}/failed"),
            certain: false,
            code: "unhealthy",
            message: format!("The pod {name} has failed: {}", sentence(why)),
            said_by: None,
        });
    }
    let unscheduled = condition(pod, "PodScheduled", "False")?;
    let why = unscheduled["message"].as_str().unwrap_or("no node fits");
    Some(Trouble {
        key: format!("{name}/unscheduled"),
        certain: false,
        code: "no_host",
        message: format!("No node takes the pod {name}: {}", sentence(why)),
        said_by: None,
    })
}

fn container_trouble(pod: &str, status: &Value) -> Option<Trouble> {
    let container = status["name"].as_str().unwrap_or_default();
    let waiting = &status["state"]["waiting"];
    let reason = waiting["reason"].as_str().unwrap_or_default();
    let told = waiting["message"].as_str().unwrap_or_default();
    let restarts = status["restartCount"].as_u64().unwrap_or_default();
    let at = |what: &str| format!("{pod}/{container}/{what}");
    let image = status["image"].as_str().unwrap_or_default();
    let said_by = Some((pod.to_owned(), container.to_owned()));
    match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "RegistryUnavailable" => Some(Trouble {
            key: at("image"),
            certain: matches!(reason, "InvalidImageName" | "ErrImageNeverPull"),
            code: "image_not_found",
            message: match told {
                "" => format!("The image {image} cannot be pulled ({reason})."),
                told => format!("The image {image} cannot be pulled: {}", sentence(told)),
            },
            said_by: None,
        }),
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            Some(Trouble {
                key: at("create"),
                certain: false,
                code: "not_created",
                message: format!("The container {container} cannot be started: {}", sentence(told)),
                said_by: None,
            })
        }
        _ => {
            let last = &status["lastState"]["terminated"];
            let ended = if last.is_null() { &status["state"]["terminated"] } else { last };
            let badly = ended["exitCode"].as_i64().is_some_and(|code| code != 0);
            if ended.is_null() || (!badly && restarts < MOST_RESTARTS) {
                return None;
            }
            let code = ended["exitCode"].as_i64().unwrap_or_default();
            let how = match ended["reason"].as_str() {
                Some("OOMKilled") => {
                    "was ended because it needed more memory than its limit".into()
                }
                _ => format!("has ended with exit code {code}"),
            };
            let often = match restarts {
                0 => String::new(),
                1 => ", and was started again once".into(),
                _ => format!(", and was started again {restarts} times"),
            };
            Some(Trouble {
                key: at("ended"),
                certain: restarts >= MOST_RESTARTS,
                code: "unhealthy",
                message: format!("The container {container} of {pod} {how}{often}."),
                said_by,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(status: Value) -> Value {
        json!({
            "kind": "Deployment",
            "metadata": { "generation": 2 },
            "spec": { "replicas": 2, "template": { "metadata": { "annotations": { "drover.io/template": "new" } } } },
            "status": status,
        })
    }

    fn pod(name: &str, make: &str, container: Value) -> Value {
        json!({
            "metadata": { "name": name, "annotations": { "drover.io/template": make } },
            "status": { "phase": "Running", "containerStatuses": [container] },
        })
    }

    #[test]
    fn a_rollout_is_done_when_nothing_old_is_left() {
        let standing = |status| of(&deployment(status), &[], Goal::Run);
        let full = json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 });
        assert!(standing(full.clone()).settled);
        for (key, value) in [
            ("observedGeneration", 1),
            ("replicas", 3),
            ("updatedReplicas", 1),
            ("availableReplicas", 1),
        ] {
            let mut other = full.clone();
            other[key] = value.into();
            assert!(!standing(other).settled, "{key}");
        }
        assert_eq!(standing(json!({})).done, 0);
    }

    #[test]
    fn only_pods_of_the_newest_make_count() {
        let waiting = json!({ "name": "a", "image": "x:1", "state": { "waiting": { "reason": "ErrImagePull", "message": "not found" } } });
        let (old, new) = (pod("p1", "old", waiting.clone()), pod("p2", "new", waiting));
        assert_eq!(of(&deployment(json!({})), &[&old], Goal::Run).troubles, []);
        let found = of(&deployment(json!({})), &[&new], Goal::Run).troubles;
        assert_eq!((found[0].code, found[0].certain), ("image_not_found", false));
        assert_eq!(found[0].message, "The image x:1 cannot be pulled: not found.");
    }

    #[test]
    fn containers_that_end_again_and_again_will_not_run() {
        let ended = |restarts: u64, reason: &str| {
            pod(
                "p",
                "new",
                json!({ "name": "a", "restartCount": restarts, "state": { "waiting": { "reason": "CrashLoopBackOff" } },
                "lastState": { "terminated": { "exitCode": 137, "reason": reason } } }),
            )
        };
        let first = trouble(&ended(1, "Error"));
        assert_eq!(first.as_ref().map(|t| t.certain), Some(false));
        let many = trouble(&ended(4, "OOMKilled")).map(|t| (t.certain, t.message));
        let message = "The container a of p was ended because it needed more memory than its limit, and was started again 4 times.";
        assert_eq!(many, Some((true, message.to_owned())));
    }

    #[test]
    fn pods_without_a_node_say_why() {
        let pod = json!({ "metadata": { "name": "p" }, "status": { "phase": "Pending", "conditions": [
            { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu." } ] } });
        let found = trouble(&pod);
        assert_eq!(found.as_ref().map(|t| t.code), Some("no_host"));
        assert_eq!(trouble(&json!({ "metadata": {}, "status": {} })), None);
    }

    #[test]
    fn jobs_end_or_run_as_asked() {
        let job = |status| json!({ "kind": "Job", "metadata": {}, "spec": { "completions": 2 }, "status": status });
        let running = job(json!({ "ready": 2 }));
        assert!(!of(&running, &[], Goal::Complete).settled);
        assert!(of(&running, &[], Goal::Either).settled);
        let done = job(
            json!({ "succeeded": 2, "conditions": [{ "type": "Complete", "status": "True" }] }),
        );
        assert!(of(&done, &[], Goal::Complete).settled);
        let failed = job(
            json!({ "conditions": [{ "type": "Failed", "status": "True", "message": "limit" }] }),
        );
        assert!(of(&failed, &[], Goal::Complete).troubles[0].certain);
    }
}
