//! Pods: why one does not run, in the words of who knows: the scheduler, the kubelet, the registry.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    Amounts, Facts, Health, Meta, PodFacts, Reading, Verdict,
    input::{Condition, Labels, Moment, Object, or_default, sentence},
    quantity, several,
};
use crate::index::Pool;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    node_name: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub containers: Vec<Container<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub init_containers: Vec<Container<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub volumes: Vec<Volume<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    overhead: Labels<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub image: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    resources: Resources<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    restart_policy: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    requests: Labels<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    limits: Labels<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    persistent_volume_claim: Option<ClaimSource<'a>>,
    ephemeral: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSource<'a> {
    #[serde(borrow)]
    claim_name: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    phase: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    reason: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    message: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    conditions: Vec<Condition<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    container_statuses: Vec<ContainerStatus<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    init_container_statuses: Vec<ContainerStatus<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    image: Cow<'a, str>,
    ready: bool,
    #[serde(deserialize_with = "or_default")]
    started: Option<bool>,
    restart_count: u32,
    #[serde(borrow, deserialize_with = "or_default")]
    state: State<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    last_state: State<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State<'a> {
    #[serde(borrow)]
    waiting: Option<Waiting<'a>>,
    running: Option<Running>,
    #[serde(borrow)]
    terminated: Option<Terminated<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Waiting<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    reason: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    message: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Running {
    started_at: Moment,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated<'a> {
    exit_code: i32,
    signal: i32,
    #[serde(borrow, deserialize_with = "or_default")]
    reason: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    message: Cow<'a, str>,
    finished_at: Moment,
}

pub fn read<'a>(text: &'a str, pool: &mut Pool) -> serde_json::Result<(Meta<'a>, Reading)> {
    let pod: Object<'a, PodSpec<'a>, PodStatus<'a>> = serde_json::from_str(text)?;
    let Object { metadata, spec, status } = pod;
    let (requests, limits) = amounts(&spec);
    let statuses = &status.container_statuses;
    let facts = PodFacts {
        phase: pool.text(&status.phase),
        node: spec.node_name.as_deref().map(|node| pool.text(node)),
        ready: statuses.iter().filter(|container| container.ready).count() as u16,
        containers: spec.containers.len() as u16,
        restarts: statuses.iter().map(|container| container.restart_count).sum(),
        restarted: statuses
            .iter()
            .chain(&status.init_container_statuses)
            .filter_map(|container| container.last_state.terminated.as_ref()?.finished_at.known())
            .max(),
        requests,
        limits,
        images: pool.list(spec.containers.iter().map(|container| &*container.image)),
        claims: claims(&spec.volumes, &metadata.name, pool),
        is_ready: status.conditions.iter().any(|condition| condition.is("Ready", "True")),
    };
    let verdict = judge(&spec, &status);
    Ok((metadata, Reading { facts: Facts::Pod(Box::new(facts)), verdict }))
}

/// The claims that volumes mount; those of ephemeral volumes are named after the pod.
pub fn claims(
    volumes: &[Volume<'_>],
    pod: &str,
    pool: &mut Pool,
) -> std::sync::Arc<[std::sync::Arc<str>]> {
    let names: Vec<Cow<'_, str>> = volumes
        .iter()
        .filter_map(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
            (Some(claim), _) => Some(claim.claim_name.clone()),
            (None, Some(_)) => Some(format!("{pod}-{}", volume.name).into()),
            _ => None,
        })
        .collect();
    pool.list(names.iter().map(|name| &**name))
}

/// What a pod asks for and what it may take: of its containers and sidecars together, or of its
/// largest init container if that is more, and the overhead.
///
/// <https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers>
pub fn amounts(spec: &PodSpec<'_>) -> (Amounts, Amounts) {
    let sum = |of: fn(&Container<'_>) -> Amounts| {
        let mut all = Amounts::default();
        for container in &spec.containers {
            all += of(container);
        }
        let (mut sidecars, mut most) = (Amounts::default(), Amounts::default());
        for container in &spec.init_containers {
            let own = of(container);
            if container.restart_policy == "Always" {
                sidecars += own;
                most = larger(most, sidecars);
            } else {
                let mut with = sidecars;
                with += own;
                most = larger(most, with);
            }
        }
        all += sidecars;
        larger(all, most)
    };
    let mut requests = sum(|container| {
        let mut own = quantities(&container.resources.requests);
        let limits = quantities(&container.resources.limits);
        // What has only a limit asks for as much.
        if !has(&container.resources.requests, "cpu") {
            own.cpu_milli = limits.cpu_milli;
        }
        if !has(&container.resources.requests, "memory") {
            own.memory = limits.memory;
        }
        own
    });
    requests += quantities(&spec.overhead);
    let mut limits = sum(|container| quantities(&container.resources.limits));
    // One container without a limit leaves the pod without one.
    if spec.containers.iter().any(|container| !has(&container.resources.limits, "cpu")) {
        limits.cpu_milli = 0;
    }
    if spec.containers.iter().any(|container| !has(&container.resources.limits, "memory")) {
        limits.memory = 0;
    }
    (requests, limits)
}

fn has(amounts: &Labels<'_>, resource: &str) -> bool {
    amounts.pairs().any(|(key, _)| key == resource)
}

fn larger(a: Amounts, b: Amounts) -> Amounts {
    Amounts { cpu_milli: a.cpu_milli.max(b.cpu_milli), memory: a.memory.max(b.memory) }
}

pub fn quantities(amounts: &Labels<'_>) -> Amounts {
    let mut read = Amounts::default();
    for (key, value) in amounts.pairs() {
        match key {
            "cpu" => read.cpu_milli = quantity::cpu_milli(value),
            "memory" => read.memory = quantity::bytes(value),
            _ => {}
        }
    }
    read
}

fn judge(spec: &PodSpec<'_>, status: &PodStatus<'_>) -> Verdict {
    match &*status.phase {
        "Succeeded" => return Verdict::healthy(),
        "Failed" => return failed(spec, status),
        "Unknown" => {
            return Verdict::new(
                Health::Unknown,
                "Its node has not been heard of, so that nothing is known of it.",
            );
        }
        _ => {}
    }
    if status.reason == "NodeLost" {
        return Verdict::new(
            Health::Unknown,
            "Its node has not been heard of, so that nothing is known of it.",
        );
    }
    if let Some(condition) =
        status.conditions.iter().find(|condition| condition.is("PodScheduled", "False"))
    {
        return match &*condition.reason {
            "SchedulingGated" => Verdict::new(
                Health::Progressing,
                "It waits for its scheduling gates to be taken away.",
            ),
            _ => Verdict::new(Health::Degraded, unschedulable(&condition.message)),
        };
    }
    let containers = status
        .init_container_statuses
        .iter()
        .map(|container| (container, true))
        .chain(status.container_statuses.iter().map(|container| (container, false)));
    // What is wrong says more than what is on its way.
    let mut verdicts: Vec<Verdict> = containers
        .filter_map(|(container, is_init)| judge_container(spec, status, container, is_init))
        .collect();
    verdicts.sort_by_key(|verdict| verdict.health);
    if let Some(worst) = verdicts.into_iter().next() {
        return worst;
    }
    if status.phase == "Pending" {
        return Verdict::new(Health::Progressing, "It is being started.");
    }
    let gate = status.conditions.iter().find(|condition| {
        condition.is("Ready", "False") && condition.reason == "ReadinessGatesNotReady"
    });
    match gate {
        Some(gate) => Verdict::new(
            Health::Progressing,
            format!("It waits for its readiness gates: {}", sentence(&gate.message)),
        ),
        None => Verdict::healthy(),
    }
}

fn failed(spec: &PodSpec<'_>, status: &PodStatus<'_>) -> Verdict {
    if !status.reason.is_empty() {
        let message = sentence(&status.message);
        let why = match &*status.reason {
            "Evicted" => format!("It was evicted from its node. {message}"),
            "DeadlineExceeded" => "It ran longer than its deadline allows.".to_owned(),
            reason => format!("It has failed ({reason}). {message}"),
        };
        return Verdict::new(Health::Failed, why.trim_end());
    }
    let ended = status.init_container_statuses.iter().chain(&status.container_statuses).find_map(
        |container| {
            let ended = container.state.terminated.as_ref()?;
            (ended.exit_code != 0).then_some((container, ended))
        },
    );
    match ended {
        Some((container, ended)) => Verdict::new(
            Health::Failed,
            format!(
                "Container `{}` has ended: {}.",
                container.name,
                how_ended(spec, container, ended)
            ),
        ),
        None => Verdict::new(Health::Failed, "It has failed."),
    }
}

fn judge_container(
    spec: &PodSpec<'_>,
    status: &PodStatus<'_>,
    container: &ContainerStatus<'_>,
    is_init: bool,
) -> Option<Verdict> {
    let what = if is_init { "Init container" } else { "Container" };
    let name = &container.name;
    if let Some(waiting) = &container.state.waiting {
        return judge_waiting(spec, container, waiting, what);
    }
    if let Some(ended) = &container.state.terminated {
        if ended.exit_code == 0 {
            return None;
        }
        let how = how_ended(spec, container, ended);
        return Some(Verdict::new(Health::Degraded, format!("{what} `{name}` has ended: {how}.")));
    }
    let running = container.state.running.as_ref()?;
    if is_init {
        let is_sidecar = spec
            .init_containers
            .iter()
            .any(|known| known.name == *name && known.restart_policy == "Always");
        if is_sidecar && container.started == Some(true) {
            return None;
        }
        return Some(Verdict::new(
            Health::Progressing,
            format!("Init container `{name}` is running."),
        ));
    }
    if container.ready {
        return None;
    }
    if container.started == Some(false) {
        return Some(Verdict::new(
            Health::Progressing,
            format!("Container `{name}` is starting: its startup probe has not passed yet."),
        ));
    }
    // It was ready before if it has stopped being so only after this container was started.
    let was_ready = status.conditions.iter().any(|condition| {
        condition.is("ContainersReady", "False")
            && condition.last_transition_time.0 > running.started_at.0 + 2
    });
    Some(if was_ready {
        Verdict::new(
            Health::Degraded,
            format!(
                "Container `{name}` runs but is not ready any more: its readiness probe fails."
            ),
        )
    } else {
        Verdict::new(
            Health::Progressing,
            format!(
                "Container `{name}` runs but is not ready: its readiness probe has not passed yet."
            ),
        )
    })
}

fn judge_waiting(
    spec: &PodSpec<'_>,
    container: &ContainerStatus<'_>,
    waiting: &Waiting<'_>,
    what: &str,
) -> Option<Verdict> {
    let name = &container.name;
    let failed = |why: String| Some(Verdict::new(Health::Failed, why));
    match &*waiting.reason {
        "ImagePullBackOff"
        | "ErrImagePull"
        | "RegistryUnavailable"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "SignatureValidationFailed" => {
            let image = image_of(spec, container);
            let said = registry_words(&waiting.message, image);
            failed(match (&*waiting.reason, said.is_empty()) {
                ("ErrImageNeverPull", _) => format!(
                    "The image `{image}` of container `{name}` is not on the node, and its pull policy is Never."
                ),
                (_, true) => format!(
                    "The image `{image}` of container `{name}` cannot be pulled. Check its name, its tag and the pull secret."
                ),
                (_, false) => {
                    format!("The image `{image}` of container `{name}` cannot be pulled: {said}")
                }
            })
        }
        "InvalidImageName" => failed(format!(
            "`{}` of container `{name}` is not the name of an image.",
            image_of(spec, container)
        )),
        "CrashLoopBackOff" => {
            let restarts = several(container.restart_count, "restart");
            let how = container.last_state.terminated.as_ref().map_or_else(
                || "it ends again and again".to_owned(),
                |ended| how_ended(spec, container, ended),
            );
            failed(format!("{what} `{name}` crashes again and again: {how}; {restarts} so far."))
        }
        "CreateContainerConfigError" => failed(format!(
            "{what} `{name}` cannot be made from its configuration: {}",
            sentence(&waiting.message)
        )),
        "CreateContainerError"
        | "RunContainerError"
        | "StartError"
        | "PreStartHookError"
        | "PostStartHookError" => {
            failed(format!("{what} `{name}` cannot be started: {}", sentence(&waiting.message)))
        }
        "PodInitializing" => None,
        "ContainerCreating" | "" => Some(Verdict::new(
            Health::Progressing,
            format!(
                "{what} `{name}` is being made: its image is pulled and its volumes are mounted."
            ),
        )),
        reason => Some(Verdict::new(
            Health::Progressing,
            format!("{what} `{name}` waits ({reason}). {}", sentence(&waiting.message)).trim_end(),
        )),
    }
}

fn image_of<'b>(spec: &'b PodSpec<'_>, container: &'b ContainerStatus<'_>) -> &'b str {
    spec.containers
        .iter()
        .chain(&spec.init_containers)
        .find(|known| known.name == container.name)
        .map_or(&container.image, |known| &known.image)
}

/// What the registry has said, out of what the kubelet and the runtime have wrapped around it.
fn registry_words(message: &str, image: &str) -> String {
    let mut rest = message.trim();
    if let Some(back_off) = rest.strip_prefix("Back-off pulling image ") {
        // Since 1.32 the reason follows.
        rest = back_off.split_once("\": ").map_or("", |(_, why)| why);
    }
    for (wrapper, after) in [
        ("ErrImagePull", ": "),
        ("rpc error", " desc = "),
        ("failed to pull and unpack image", "\": "),
        ("failed to resolve reference", "\": "),
        ("failed to resolve image", "\": "),
        ("Error response from daemon", ": "),
    ] {
        if rest.starts_with(wrapper)
            && let Some((_, inner)) = rest.split_once(after)
        {
            rest = inner;
        }
    }
    // The image is named already.
    let rest = rest.strip_prefix(image).map_or(rest, |rest| rest.trim_start_matches([':', ' ']));
    let rest = rest
        .split_once(image)
        .filter(|(before, _)| before.ends_with('/') && !before.contains(' '))
        .map_or(rest, |(_, rest)| rest.trim_start_matches([':', ' ']));
    sentence(rest)
}

/// How a container has ended, without a full stop.
fn how_ended(
    spec: &PodSpec<'_>,
    container: &ContainerStatus<'_>,
    ended: &Terminated<'_>,
) -> String {
    if ended.reason == "OOMKilled" {
        let limit = spec
            .containers
            .iter()
            .chain(&spec.init_containers)
            .find(|known| known.name == container.name)
            .map_or(0, |known| quantities(&known.resources.limits).memory);
        return if limit > 0 {
            format!(
                "it was killed for using more than its memory limit of {} (OOMKilled)",
                quantity::show_bytes(limit)
            )
        } else {
            "it was killed because the node ran out of memory (OOMKilled)".to_owned()
        };
    }
    let mut how = match (ended.signal, ended.exit_code) {
        (0, code) => format!("exit code {code}"),
        (signal, _) => format!("signal {signal}"),
    };
    match ended.exit_code {
        137 => how.push_str(" (killed)"),
        139 => how.push_str(" (segmentation fault)"),
        143 => how.push_str(" (terminated)"),
        126 => how.push_str(" (its command cannot be run)"),
        127 => how.push_str(" (its command was not found)"),
        _ if !matches!(&*ended.reason, "" | "Error" | "Completed") => {
            how.push_str(&format!(" ({})", ended.reason));
        }
        _ => {}
    }
    let said = sentence(&ended.message);
    if !said.is_empty() {
        how.push_str(", and it said: ");
        how.push_str(said.trim_end_matches('.'));
    }
    how
}

/// Makes a sentence of the scheduler's message, e.g. `0/3 nodes are available: 1 Insufficient cpu,
/// 2 node(s) had untolerated taint {dedicated: db}. preemption: …`.
pub fn unschedulable(message: &str) -> String {
    let message = message.trim();
    let Some((counted, rest)) = message.split_once(" nodes are available: ") else {
        return if message.is_empty() {
            "It waits for a node.".to_owned()
        } else {
            format!("No node takes it: {}", sentence(message))
        };
    };
    let nodes = counted.rsplit('/').next().unwrap_or_default();
    let rest = rest.split(" preemption: ").next().unwrap_or(rest).trim_end_matches('.');
    // Older schedulers have a comma in the middle of this.
    let rest = rest.replace(", that the pod didn't tolerate", "");
    let rules: Vec<String> = rest.split(", ").map(rule).collect();
    format!("None of {nodes} nodes takes it: {}.", rules.join("; "))
}

/// One of the scheduler's reasons, e.g. `2 Insufficient memory`.
fn rule(text: &str) -> String {
    let text = text.trim();
    let (count, what) = match text.split_once(' ') {
        Some((count, what)) if count.parse::<u32>().is_ok() => (count, what),
        _ => ("", text),
    };
    let words = if let Some(resource) = what.strip_prefix("Insufficient ") {
        match resource {
            "cpu" => "too little CPU left for what it requests".to_owned(),
            "memory" => "too little memory left for what it requests".to_owned(),
            "pods" => "as many pods as there may be".to_owned(),
            "ephemeral-storage" => "too little disk left for what it requests".to_owned(),
            other => format!("too little `{other}` left for what it requests"),
        }
    } else if let Some((_, taint)) = what.split_once(" taint ") {
        format!("the taint {taint}, which it does not tolerate")
    } else if what.contains("didn't match Pod's node affinity/selector")
        || what.contains("didn't match node selector")
    {
        "other labels than its node selector or node affinity asks for".to_owned()
    } else if what.contains("didn't match pod anti-affinity rules") {
        "pods that its anti-affinity keeps away from".to_owned()
    } else if what.contains("didn't match pod affinity") {
        "none of the pods that its affinity asks for".to_owned()
    } else if what.contains("topology spread constraints") {
        "no place by its topology spread constraints".to_owned()
    } else if what.contains("were unschedulable") {
        "a cordon".to_owned()
    } else if what.contains("volume node affinity conflict") {
        "no way to its volume, which is bound to another node or zone".to_owned()
    } else if what.contains("didn't have free ports") {
        "its host port in use".to_owned()
    } else if what.contains("max volume count") {
        "as many volumes as it may mount".to_owned()
    } else if what.contains("unbound immediate PersistentVolumeClaims") {
        return "its PersistentVolumeClaim has no volume yet".to_owned();
    } else if what.starts_with("persistentvolumeclaim ") {
        return what.replace("persistentvolumeclaim", "the PersistentVolumeClaim");
    } else {
        return text.to_owned();
    };
    match count {
        "" => words,
        "1" => format!("1 has {words}"),
        count => format!("{count} have {words}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::tests::{read_value, why},
        *,
    };

    fn pod(phase: &str, state: Value, more: Value) -> Value {
        let mut status = json!({"name": "web", "image": "docker.io/library/nginx:9", "ready": false, "restartCount": 0, "state": state});
        for (key, value) in more.as_object().unwrap() {
            status[key] = value.clone();
        }
        json!({"metadata": {"name": "web-1", "namespace": "team"},
            "spec": {"nodeName": "n1", "containers": [{"name": "web", "image": "nginx:9",
                "resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "100m"}}}],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-0"}}, {"name": "tmp", "ephemeral": {}}]},
            "status": {"phase": phase, "containerStatuses": [status]}})
    }

    fn waiting(reason: &str, message: &str) -> Value {
        pod("Pending", json!({"waiting": {"reason": reason, "message": message}}), json!({}))
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_named_with_the_registrys_words() {
        let (health, said) = why(
            "pods",
            &waiting(
                "ImagePullBackOff",
                "Back-off pulling image \"nginx:9\": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image \"docker.io/library/nginx:9\": failed to resolve reference \"docker.io/library/nginx:9\": docker.io/library/nginx:9: not found",
            ),
        );
        assert_eq!(health, Health::Failed);
        assert_eq!(said, "The image `nginx:9` of container `web` cannot be pulled: not found.");
        let (_, said) = why(
            "pods",
            &waiting(
                "ErrImagePull",
                "rpc error: code = Unknown desc = Error response from daemon: pull access denied for nope, repository does not exist",
            ),
        );
        assert!(
            said.ends_with("pull access denied for nope, repository does not exist."),
            "{said}"
        );
        let (_, said) =
            why("pods", &waiting("ImagePullBackOff", "Back-off pulling image \"nginx:9\""));
        assert!(said.contains("pull secret"), "{said}");
        assert!(
            why("pods", &waiting("InvalidImageName", "")).1.contains("not the name of an image")
        );
    }

    #[test]
    fn a_crash_loop_tells_code_and_count() {
        let crash = |ended: Value| {
            why(
                "pods",
                &pod(
                    "Running",
                    json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}}),
                    json!({"restartCount": 7, "lastState": {"terminated": ended}}),
                ),
            )
        };
        let (health, said) =
            crash(json!({"exitCode": 1, "reason": "Error", "finishedAt": "2027-01-15T07:00:00Z"}));
        assert_eq!(
            (health, said.as_str()),
            (
                Health::Failed,
                "Container `web` crashes again and again: exit code 1; 7 restarts so far."
            )
        );
        let (_, said) = crash(json!({"exitCode": 137, "reason": "OOMKilled"}));
        assert!(said.contains("memory limit of 64 MiB (OOMKilled)"), "{said}");
        let (_, said) =
            crash(json!({"exitCode": 127, "reason": "Error", "message": "no such file\n"}));
        assert!(
            said.contains("command was not found") && said.contains("said: no such file;"),
            "{said}"
        );
    }

    #[test]
    fn the_schedulers_rule_is_told() {
        for (message, says) in [
            (
                "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {dedicated: db}. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
                "None of 3 nodes takes it: 1 has too little CPU left for what it requests; 2 have the taint {dedicated: db}, which it does not tolerate.",
            ),
            (
                "0/2 nodes are available: 1 node(s) had taint {a: }, that the pod didn't tolerate, 1 node(s) were unschedulable.",
                "None of 2 nodes takes it: 1 has the taint {a: }, which it does not tolerate; 1 has a cordon.",
            ),
            (
                "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
                "None of 1 nodes takes it: 1 has other labels than its node selector or node affinity asks for.",
            ),
            (
                "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
                "None of 1 nodes takes it: its PersistentVolumeClaim has no volume yet.",
            ),
            (
                "no nodes available to schedule pods",
                "No node takes it: no nodes available to schedule pods.",
            ),
            ("", "It waits for a node."),
        ] {
            assert_eq!(unschedulable(message), says);
        }
        let mut pod = waiting("", "");
        pod["status"] = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient memory."}]});
        assert_eq!(why("pods", &pod).0, Health::Degraded);
    }

    #[test]
    fn running_but_not_ready_depends_on_the_past() {
        let running = |transition: &str| {
            let mut pod = pod(
                "Running",
                json!({"running": {"startedAt": "2027-01-15T07:00:00Z"}}),
                json!({"started": true}),
            );
            pod["status"]["conditions"] = json!([{"type": "ContainersReady", "status": "False", "lastTransitionTime": transition}]);
            why("pods", &pod)
        };
        assert_eq!(running("2027-01-15T06:59:50Z").0, Health::Progressing);
        let (health, said) = running("2027-01-15T07:30:00Z");
        assert_eq!(health, Health::Degraded);
        assert!(said.contains("readiness probe fails"), "{said}");
        let starting = pod("Running", json!({"running": {}}), json!({"started": false}));
        assert!(why("pods", &starting).1.contains("startup probe"));
    }

    #[test]
    fn other_ends() {
        assert_eq!(why("pods", &pod("Succeeded", json!({}), json!({}))).0, Health::Healthy);
        let mut evicted = pod("Failed", json!({}), json!({}));
        evicted["status"]["reason"] = "Evicted".into();
        evicted["status"]["message"] = "The node was low on resource: memory.".into();
        assert_eq!(
            why("pods", &evicted).1,
            "It was evicted from its node. The node was low on resource: memory."
        );
        let missing = waiting("CreateContainerConfigError", "secret \"db\" not found");
        assert!(why("pods", &missing).1.ends_with("secret \"db\" not found."));
        let ready = pod("Running", json!({"running": {}}), json!({"ready": true}));
        assert_eq!(why("pods", &ready), (Health::Healthy, String::new()));
        let ended =
            pod("Failed", json!({"terminated": {"exitCode": 3, "reason": "Error"}}), json!({}));
        assert_eq!(why("pods", &ended).1, "Container `web` has ended: exit code 3.");
    }

    #[test]
    fn facts_of_a_pod() {
        let (Facts::Pod(facts), _) = read_value(
            "pods",
            &pod(
                "Running",
                json!({"running": {}}),
                json!({"ready": true, "restartCount": 2, "lastState": {"terminated": {"finishedAt": "2027-01-15T07:00:00Z"}}}),
            ),
        ) else {
            panic!("no facts")
        };
        assert_eq!((facts.ready, facts.containers, facts.restarts), (1, 1, 2));
        assert_eq!(facts.restarted, Some(1_799_996_400));
        assert_eq!(facts.requests, Amounts { cpu_milli: 100, memory: 64 << 20 });
        assert_eq!(facts.limits, Amounts { cpu_milli: 0, memory: 64 << 20 });
        assert_eq!(
            facts.claims.iter().map(|claim| &**claim).collect::<Vec<_>>(),
            ["data-0", "web-1-tmp"]
        );
        assert_eq!(facts.node.as_deref(), Some("n1"));
    }

    #[test]
    fn init_containers_and_sidecars_count_as_kubernetes_counts_them() {
        let container = |cpu: &str, policy: Value| json!({"name": "c", "resources": {"requests": {"cpu": cpu}}, "restartPolicy": policy});
        let object = json!({"metadata": {"name": "a"}, "spec": {
            "containers": [container("100m", Value::Null)],
            "initContainers": [container("50m", "Always".into()), container("500m", Value::Null)], "overhead": {"cpu": "10m"}}});
        let (Facts::Pod(facts), _) = read_value("pods", &object) else { panic!("no facts") };
        assert_eq!(facts.requests.cpu_milli, 560);
    }
}
