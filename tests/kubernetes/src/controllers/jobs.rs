//! Jobs and CronJobs.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Work,
    schedule::Schedule,
    set_condition,
    view::{View, condition, count, deleting, is_active, is_ready, list, name, namespace, word},
    workloads::pod_of,
};
use crate::{clock, cluster::storage};

/// Looks after all of them.
pub async fn reconcile(work: &Work, view: &View) {
    for job in view.all("batch", "jobs").filter(|one| !deleting(one)) {
        self::job(work, view, job).await;
    }
    for cron in view.all("batch", "cronjobs").filter(|one| !deleting(one)) {
        cron_job(work, view, cron).await;
    }
}

fn is_finished(job: &Value) -> bool {
    condition(job, "Complete") == "True" || condition(job, "Failed") == "True"
}

async fn job(work: &Work, view: &View, job: &Arc<Value>) {
    let spec = &job["spec"];
    if is_finished(job) {
        expire(work, job);
        return;
    }
    let pods: Vec<&Arc<Value>> = view.owned("", "pods", job).collect();
    let phase =
        |wanted: &str| pods.iter().filter(|pod| word(&pod["status"]["phase"]) == wanted).count();
    let (succeeded, failed) = (phase("Succeeded"), phase("Failed"));
    let active: Vec<_> = pods.iter().filter(|pod| is_active(pod)).collect();
    let (done, lost) = (succeeded as i64, failed as i64);
    let suspended = spec["suspend"] == true;
    let restarts: i64 = active
        .iter()
        .flat_map(|pod| list(&pod["status"]["containerStatuses"]))
        .map(|container| count(&container["restartCount"]))
        .sum();
    let wanted = spec["completions"].as_i64();
    let parallel = spec["parallelism"].as_i64().unwrap_or(1);
    let complete = match wanted {
        Some(wanted) => done >= wanted,
        None => done > 0 && active.is_empty(),
    };
    let limit = spec["backoffLimit"].as_i64().unwrap_or(6);
    let overdue = job["status"]["startTime"].as_str().and_then(clock::parse).is_some_and(|start| {
        spec["activeDeadlineSeconds"]
            .as_i64()
            .is_some_and(|most| (clock::now() - start).whole_seconds() >= most)
    });
    let failure = if lost > limit || restarts > limit {
        Some(("BackoffLimitExceeded", "Job has reached the specified backoff limit"))
    } else if overdue {
        Some(("DeadlineExceeded", "Job was active longer than specified deadline"))
    } else {
        None
    };
    if failure.is_some() || suspended {
        for pod in &active {
            work.delete("", "pods", pod);
        }
    } else if !complete {
        let still = wanted.map_or(parallel, |wanted| (wanted - done).min(parallel));
        // After a failure the next try waits: 10 s, doubled each time, as far as a test can wait.
        let pause = match lost {
            0 => 0,
            lost => (10_i64 << (lost - 1).min(5)).min(360),
        };
        let last = pods
            .iter()
            .filter(|pod| word(&pod["status"]["phase"]) == "Failed")
            .filter_map(|pod| {
                list(&pod["status"]["containerStatuses"])
                    .iter()
                    .filter_map(|one| {
                        one["state"]["terminated"]["finishedAt"].as_str().and_then(clock::parse)
                    })
                    .max()
            })
            .max();
        let waits = last.is_some_and(|last| (clock::now() - last).whole_seconds() < pause);
        for _ in active.len() as i64..still {
            if waits {
                break;
            }
            let pod = pod_of(job, "batch/v1", "Job", &spec["template"]);
            match work.create("", "pods", "job-controller", pod).await {
                Ok(pod) => work.event(
                    job,
                    "Job",
                    "Normal",
                    "SuccessfulCreate",
                    &format!("Created pod: {pod}"),
                ),
                Err(error) => {
                    work.event(
                        job,
                        "Job",
                        "Warning",
                        "FailedCreate",
                        &format!("Error creating: {}", error.message),
                    );
                    break;
                }
            }
        }
    }
    let ready = active.iter().filter(|pod| is_ready(pod)).count();
    let is_active = if failure.is_some() || complete || suspended { 0 } else { active.len() };
    work.cluster.modify(&storage("batch", "jobs"), namespace(job), name(job), |object| {
        let mut status = json!({"ready": ready, "terminating": 0, "uncountedTerminatedPods": {}});
        for field in ["startTime", "conditions", "completionTime"] {
            if !object["status"][field].is_null() {
                status[field] = object["status"][field].clone();
            }
        }
        if !suspended && status["startTime"].is_null() {
            status["startTime"] = json!(clock::stamp());
        }
        for (field, value) in [("active", is_active), ("succeeded", succeeded), ("failed", failed)]
        {
            if value > 0 {
                status[field] = json!(value);
            }
        }
        object["status"] = status;
        if suspended {
            dated(object, "Suspended", "JobSuspended", "Job suspended");
        } else if list(&object["status"]["conditions"])
            .iter()
            .any(|one| one["type"] == "Suspended" && one["status"] == "True")
        {
            set_condition(object, "Suspended", "False", "JobResumed", "Job resumed");
        }
        if let Some((reason, message)) = failure {
            dated(object, "FailureTarget", reason, message);
            dated(object, "Failed", reason, message);
        } else if complete {
            dated(
                object,
                "SuccessCriteriaMet",
                "CompletionsReached",
                "Reached expected number of succeeded pods",
            );
            dated(
                object,
                "Complete",
                "CompletionsReached",
                "Reached expected number of succeeded pods",
            );
            object["status"]["completionTime"] = json!(clock::stamp());
        }
        true
    });
    if let Some((reason, message)) = failure {
        work.event(job, "Job", "Warning", reason, message);
    } else if complete {
        work.event(job, "Job", "Normal", "Completed", "Job completed");
    }
}

fn dated(object: &mut Value, kind: &str, reason: &str, message: &str) {
    set_condition(object, kind, "True", reason, message);
    for one in object["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if one["type"] == kind && one["lastProbeTime"].is_null() {
            one["lastProbeTime"] = json!(clock::stamp());
        }
    }
}

fn expire(work: &Work, job: &Value) {
    let Some(ttl) = job["spec"]["ttlSecondsAfterFinished"].as_i64() else { return };
    let end = list(&job["status"]["conditions"])
        .iter()
        .filter(|one| matches!(word(&one["type"]), "Complete" | "Failed"))
        .find_map(|one| one["lastTransitionTime"].as_str().and_then(clock::parse));
    if end.is_some_and(|end| (clock::now() - end).whole_seconds() >= ttl) {
        work.delete("batch", "jobs", job);
    }
}

async fn cron_job(work: &Work, view: &View, cron: &Arc<Value>) {
    let jobs: Vec<&Arc<Value>> = view.owned("batch", "jobs", cron).collect();
    let running: Vec<&&Arc<Value>> = jobs.iter().filter(|job| !is_finished(job)).collect();
    let now = clock::now();
    let minute = now.unix_timestamp() / 60;
    let due = cron["spec"]["suspend"] != true
        && Schedule::parse(word(&cron["spec"]["schedule"]))
            .is_ok_and(|schedule| schedule.is_due(now));
    let job_name = format!("{}-{minute}", name(cron));
    let made_at = cron["metadata"]["creationTimestamp"].as_str().and_then(clock::parse);
    let was_there = made_at.is_some_and(|made| made.unix_timestamp() / 60 < minute);
    let last = cron["status"]["lastScheduleTime"].as_str().and_then(clock::parse);
    let told = last.is_some_and(|last| last.unix_timestamp() / 60 >= minute);
    let mut started = false;
    if due && was_there && !told {
        let policy = word(&cron["spec"]["concurrencyPolicy"]);
        if policy == "Forbid" && !running.is_empty() {
            work.event(cron, "CronJob", "Normal", "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid");
        } else {
            if policy == "Replace" {
                for job in &running {
                    work.delete("batch", "jobs", job);
                }
            }
            let template = &cron["spec"]["jobTemplate"];
            let mut annotations =
                template["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
            let time =
                now.replace_second(0).and_then(|time| time.replace_nanosecond(0)).unwrap_or(now);
            annotations.insert(
                "batch.kubernetes.io/cronjob-scheduled-timestamp".to_owned(),
                json!(clock::seconds(time)),
            );
            let job = json!({
                "apiVersion": "batch/v1", "kind": "Job",
                "metadata": {
                    "name": job_name, "namespace": namespace(cron),
                    "labels": template["metadata"]["labels"], "annotations": annotations,
                    "ownerReferences": [super::owner(cron, "batch/v1", "CronJob")],
                },
                "spec": template["spec"],
            });
            match work.create("batch", "jobs", "cronjob-controller", job).await {
                Ok(job) => {
                    started = true;
                    work.event(
                        cron,
                        "CronJob",
                        "Normal",
                        "SuccessfulCreate",
                        &format!("Created job {job}"),
                    );
                }
                Err(error) => work.event(
                    cron,
                    "CronJob",
                    "Warning",
                    "FailedCreate",
                    &format!("Error creating job: {}", error.message),
                ),
            }
        }
    }
    history(work, cron, &jobs);
    let references: Vec<_> = running
        .iter()
        .map(|job| {
            json!({
                "kind": "Job", "apiVersion": "batch/v1", "namespace": namespace(job), "name": name(job),
                "uid": job["metadata"]["uid"], "resourceVersion": job["metadata"]["resourceVersion"],
            })
        })
        .collect();
    let finished = jobs
        .iter()
        .filter_map(|job| job["status"]["completionTime"].as_str())
        .max()
        .map(str::to_owned);
    work.cluster.modify(&storage("batch", "cronjobs"), namespace(cron), name(cron), |object| {
        let mut status = json!({});
        if started {
            let time = now.replace_second(0).unwrap_or(now);
            status["lastScheduleTime"] = json!(clock::seconds(time));
        } else if !object["status"]["lastScheduleTime"].is_null() {
            status["lastScheduleTime"] = object["status"]["lastScheduleTime"].clone();
        }
        if let Some(time) = &finished {
            status["lastSuccessfulTime"] = json!(time);
        }
        if !references.is_empty() {
            status["active"] = json!(references);
            // Versions of jobs change often, and tell nothing.
            let same = |a: &Value, b: &Value| {
                list(a).iter().map(|one| &one["uid"]).eq(list(b).iter().map(|one| &one["uid"]))
            };
            if same(&status["active"], &object["status"]["active"]) {
                status["active"] = object["status"]["active"].clone();
            }
        }
        object["status"] = status;
        true
    });
}

fn history(work: &Work, cron: &Value, jobs: &[&Arc<Value>]) {
    for (kind, field) in
        [("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")]
    {
        let most = usize::try_from(count(&cron["spec"][field])).unwrap_or(0);
        let mut old: Vec<_> =
            jobs.iter().filter(|job| condition(job, kind) == "True" && !deleting(job)).collect();
        old.sort_by_key(|job| word(&job["metadata"]["creationTimestamp"]).to_owned());
        let surplus = old.len().saturating_sub(most);
        for job in old.into_iter().take(surplus) {
            work.delete("batch", "jobs", job);
        }
    }
}
