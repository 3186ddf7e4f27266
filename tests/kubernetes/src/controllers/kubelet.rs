//! The made-up kubelets: they pull images, run containers (real processes where a command is
//! given), probe them, restart them with pauses that double, and say so in the pod's status and in
//! events, in the words of the real one.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    sync::mpsc,
    task::JoinHandle,
};

use super::{
    Work, set_condition,
    view::{View, count, deleting, list, name, namespace, word},
};
use crate::{
    clock,
    cluster::{Cluster, storage},
    handlers::finish,
    streams::{Log, exec::environment, images, process},
};

/// How a container is.
#[derive(Debug, Clone)]
enum State {
    /// It does not run, and why.
    Waiting { reason: &'static str, message: String },
    /// It runs.
    Running { since: OffsetDateTime },
    /// It has ended.
    Ended {
        since: OffsetDateTime,
        at: OffsetDateTime,
        code: i32,
        reason: &'static str,
        message: String,
    },
}

impl State {
    fn waiting(reason: &'static str) -> Self {
        Self::Waiting { reason, message: String::new() }
    }

    fn value(&self, id: &str) -> Value {
        match self {
            Self::Waiting { reason, message } => {
                let mut waiting = json!({"reason": reason});
                if !message.is_empty() {
                    waiting["message"] = json!(message);
                }
                json!({"waiting": waiting})
            }
            Self::Running { since } => json!({"running": {"startedAt": clock::seconds(*since)}}),
            Self::Ended { since, at, code, reason, message } => {
                let mut ended = json!({
                    "exitCode": code, "reason": reason, "containerID": id,
                    "startedAt": clock::seconds(*since), "finishedAt": clock::seconds(*at),
                });
                if !message.is_empty() {
                    ended["message"] = json!(message);
                }
                json!({"terminated": ended})
            }
        }
    }
}

#[derive(Debug)]
struct Container {
    state: State,
    last: Option<State>,
    id: String,
    restarts: i64,
    /// Not before then it is tried again.
    pause_until: Option<OffsetDateTime>,
    ready: bool,
    started: bool,
    failures: i64,
    next_probe: Option<OffsetDateTime>,
    process: Option<JoinHandle<()>>,
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            process.abort();
        }
    }
}

impl Container {
    fn new() -> Self {
        Self {
            state: State::waiting("ContainerCreating"),
            last: None,
            id: String::new(),
            restarts: 0,
            pause_until: None,
            ready: false,
            started: false,
            failures: 0,
            next_probe: None,
            process: None,
        }
    }
}

#[derive(Debug)]
struct Pod {
    address: String,
    since: OffsetDateTime,
    containers: HashMap<String, Container>,
}

/// A container that ended by itself: pod id, container, code, why.
type End = (String, String, i32, &'static str);

/// All kubelets.
pub struct Kubelet {
    cluster: Arc<Cluster>,
    pods: HashMap<String, Pod>,
    ends: mpsc::UnboundedReceiver<End>,
    tell: mpsc::UnboundedSender<End>,
    waiting: Vec<End>,
    next_address: AtomicU32,
}

impl Kubelet {
    /// None runs anything yet.
    pub fn new(cluster: Arc<Cluster>) -> Self {
        let (tell, ends) = mpsc::unbounded_channel();
        Self {
            cluster,
            pods: HashMap::new(),
            ends,
            tell,
            waiting: Vec::new(),
            next_address: AtomicU32::new(2),
        }
    }

    /// Waits until a container has ended.
    pub async fn woken(&mut self) {
        if let Some(end) = self.ends.recv().await {
            self.waiting.push(end);
        }
    }

    /// Takes a step with each pod that is on a node.
    pub async fn reconcile(&mut self, work: &Work, view: &View) {
        while let Ok(end) = self.ends.try_recv() {
            self.waiting.push(end);
        }
        for (uid, container, code, reason) in std::mem::take(&mut self.waiting) {
            self.ended(&uid, &container, code, reason);
        }
        let mut there = Vec::new();
        let pods: Vec<Arc<Value>> = view.all("", "pods").cloned().collect();
        for pod in pods {
            let uid = word(&pod["metadata"]["uid"]).to_owned();
            there.push(uid.clone());
            if word(&pod["spec"]["nodeName"]).is_empty() {
                continue;
            }
            if deleting(&pod) {
                self.take_away(&pod, &uid);
                continue;
            }
            if matches!(word(&pod["status"]["phase"]), "Succeeded" | "Failed") {
                continue;
            }
            self.pod(work, view, &pod, &uid).await;
        }
        let cluster = &self.cluster;
        self.pods.retain(|uid, _| {
            let stays = there.contains(uid);
            if !stays {
                cluster.containers.forget(uid);
            }
            stays
        });
    }

    fn ended(&mut self, uid: &str, name: &str, code: i32, reason: &'static str) {
        let Some(container) = self.pods.get_mut(uid).and_then(|pod| pod.containers.get_mut(name))
        else {
            return;
        };
        let State::Running { since } = container.state else { return };
        self.cluster.containers.stop(uid, name);
        container.state =
            State::Ended { since, at: clock::now(), code, reason, message: String::new() };
        container.ready = false;
        container.started = false;
    }

    fn take_away(&mut self, pod: &Value, uid: &str) {
        self.pods.remove(uid);
        self.cluster.containers.forget(uid);
        let key = storage("", "pods");
        let written = self.cluster.modify(&key, namespace(pod), name(pod), |pod| {
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            true
        });
        if let Some(object) = written {
            finish(&self.cluster, &key, object);
        }
    }

    async fn pod(&mut self, work: &Work, view: &View, pod: &Arc<Value>, uid: &str) {
        let cluster = Arc::clone(&self.cluster);
        let next = &self.next_address;
        let there = self.pods.entry(uid.to_owned()).or_insert_with(|| {
            let number = next.fetch_add(1, Ordering::Relaxed);
            Pod {
                address: format!("10.244.{}.{}", number / 250 % 250, number % 250 + 2),
                since: clock::now(),
                containers: HashMap::new(),
            }
        });
        let tell = self.tell.clone();
        if let Some((reason, message)) = unmounted(view, &cluster, pod) {
            for one in list(&pod["spec"]["containers"]) {
                there.containers.entry(name_of(one)).or_insert_with(Container::new);
            }
            work.event(pod, "Pod", "Warning", reason, &message);
            write(&cluster, pod, there);
            return;
        }
        let mut initialized = true;
        for one in list(&pod["spec"]["initContainers"]) {
            let container = there.containers.entry(name_of(one)).or_insert_with(Container::new);
            let sidecar = one["restartPolicy"] == "Always";
            step(&cluster, work, view, pod, one, "initContainers", container, &tell, sidecar).await;
            let done = match &container.state {
                State::Ended { code: 0, .. } => true,
                State::Running { .. } => sidecar && container.started,
                _ => false,
            };
            if !done {
                initialized = false;
                break;
            }
        }
        for one in list(&pod["spec"]["containers"]) {
            let container = there.containers.entry(name_of(one)).or_insert_with(Container::new);
            if initialized {
                step(&cluster, work, view, pod, one, "containers", container, &tell, false).await;
            } else {
                container.state = State::waiting("PodInitializing");
            }
        }
        for one in list(&pod["spec"]["ephemeralContainers"]) {
            let container = there.containers.entry(name_of(one)).or_insert_with(Container::new);
            step(&cluster, work, view, pod, one, "ephemeralContainers", container, &tell, false)
                .await;
        }
        write(&cluster, pod, there);
    }
}

fn name_of(container: &Value) -> String {
    word(&container["name"]).to_owned()
}

/// A volume that cannot be mounted, in the kubelet's words.
fn unmounted(view: &View, cluster: &Cluster, pod: &Value) -> Option<(&'static str, String)> {
    for volume in list(&pod["spec"]["volumes"]) {
        for (source, field, plural) in
            [("configMap", "name", "configmaps"), ("secret", "secretName", "secrets")]
        {
            let Some(wanted) = volume[source][field].as_str() else { continue };
            if volume[source]["optional"] == true {
                continue;
            }
            if cluster.store.get(&storage("", plural), namespace(pod), wanted).is_none() {
                let kind = if plural == "secrets" { "secret" } else { "configmap" };
                return Some((
                    "FailedMount",
                    format!(
                        "MountVolume.SetUp failed for volume \"{}\" : {kind} \"{wanted}\" not found",
                        word(&volume["name"])
                    ),
                ));
            }
        }
        if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
            let bound = view
                .get("", "persistentvolumeclaims", namespace(pod), claim)
                .is_some_and(|claim| claim["status"]["phase"] == "Bound");
            if !bound {
                return Some((
                    "FailedMount",
                    format!(
                        "Unable to attach or mount volumes: unmounted volumes=[{}]: claim {claim} is not bound",
                        word(&volume["name"])
                    ),
                ));
            }
        }
    }
    None
}

/// A variable that refers to what is not there.
fn missing_config(cluster: &Cluster, pod: &Value, container: &Value) -> Option<String> {
    let check =
        |plural: &str, kind: &str, wanted: &Value, key: Option<&Value>, optional: &Value| {
            let name = wanted.as_str()?;
            if *optional == true {
                return None;
            }
            let Some(object) = cluster.store.value("", plural, namespace(pod), name) else {
                return Some(format!("{kind} \"{name}\" not found"));
            };
            let key = key?.as_str()?;
            if object["data"].get(key).is_some() {
                return None;
            }
            let word = if plural == "secrets" { "Secret" } else { "ConfigMap" };
            Some(format!("couldn't find key {key} in {word} {}/{name}", namespace(pod)))
        };
    for variable in list(&container["env"]) {
        let from = &variable["valueFrom"];
        for (field, plural, kind) in
            [("configMapKeyRef", "configmaps", "configmap"), ("secretKeyRef", "secrets", "secret")]
        {
            let source = &from[field];
            if let Some(why) =
                check(plural, kind, &source["name"], Some(&source["key"]), &source["optional"])
            {
                return Some(why);
            }
        }
    }
    for source in list(&container["envFrom"]) {
        for (field, plural, kind) in
            [("configMapRef", "configmaps", "configmap"), ("secretRef", "secrets", "secret")]
        {
            let source = &source[field];
            if let Some(why) = check(plural, kind, &source["name"], None, &source["optional"]) {
                return Some(why);
            }
        }
    }
    None
}

#[expect(clippy::too_many_arguments, reason = "all that a kubelet looks at for one container")]
async fn step(
    cluster: &Arc<Cluster>,
    work: &Work,
    _view: &View,
    pod: &Arc<Value>,
    spec: &Value,
    list_name: &str,
    container: &mut Container,
    tell: &mpsc::UnboundedSender<End>,
    sidecar: bool,
) {
    let now = clock::now();
    let uid = word(&pod["metadata"]["uid"]).to_owned();
    let one = name_of(spec);
    let image = word(&spec["image"]);
    let field = format!("spec.{list_name}{{{one}}}");
    let say = |level: &str, reason: &str, message: &str| {
        work.event_of(pod, "Pod", level, reason, message, "kubelet", &field);
    };
    if container.pause_until.is_some_and(|until| until > now) {
        return;
    }
    match &container.state {
        State::Running { since } => {
            let since = *since;
            probe(cluster, pod, spec, container, since, &say).await;
            return;
        }
        State::Ended { code, .. } => {
            let policy = if sidecar { "Always" } else { word(&pod["spec"]["restartPolicy"]) };
            let again = match policy {
                "Always" => list_name == "containers" || sidecar || *code != 0,
                "OnFailure" => *code != 0,
                _ => false,
            } && list_name != "ephemeralContainers";
            if !again {
                return;
            }
            // 10 s, doubled each time, 5 minutes at most; the first time at once.
            let seconds = match container.restarts {
                0 => 0,
                number => (10_i64 << (number - 1).min(5)).min(300),
            };
            container.last = Some(container.state.clone());
            if seconds > 0 {
                let message = format!(
                    "back-off {} restarting failed container={one} pod={}_{}({uid})",
                    pause_text(seconds),
                    name(pod),
                    namespace(pod)
                );
                container.state = State::Waiting { reason: "CrashLoopBackOff", message };
                container.pause_until = Some(now + Duration::seconds(seconds));
                say(
                    "Warning",
                    "BackOff",
                    &format!(
                        "Back-off restarting failed container {one} in pod {}_{}({uid})",
                        name(pod),
                        namespace(pod)
                    ),
                );
                return;
            }
        }
        State::Waiting { .. } => {}
    }
    container.pause_until = None;
    if container.last.is_some() && !matches!(&container.state, State::Running { .. }) {
        container.restarts += 1;
    }
    if images::is_missing(image) {
        let waiting_before =
            matches!(&container.state, State::Waiting { reason: "ErrImagePull", .. });
        if waiting_before {
            container.state = State::Waiting {
                reason: "ImagePullBackOff",
                message: format!(
                    "Back-off pulling image \"{image}\": ErrImagePull: failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {image}: not found"
                ),
            };
            container.pause_until = Some(now + Duration::seconds(10));
            say("Normal", "BackOff", &format!("Back-off pulling image \"{image}\""));
            say("Warning", "Failed", "Error: ImagePullBackOff");
            return;
        }
        let why = format!(
            "failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {image}: not found"
        );
        say("Normal", "Pulling", &format!("Pulling image \"{image}\""));
        say("Warning", "Failed", &format!("Failed to pull image \"{image}\": {why}"));
        say("Warning", "Failed", "Error: ErrImagePull");
        container.state = State::Waiting { reason: "ErrImagePull", message: why };
        container.pause_until = Some(now + Duration::milliseconds(300));
        return;
    }
    if let Some(why) = missing_config(cluster, pod, spec) {
        say("Warning", "Failed", &format!("Error: {why}"));
        container.state = State::Waiting { reason: "CreateContainerConfigError", message: why };
        container.pause_until = Some(now + Duration::seconds(2));
        return;
    }
    if spec["imagePullPolicy"] == "Always" && container.restarts == 0 {
        say("Normal", "Pulling", &format!("Pulling image \"{image}\""));
        say(
            "Normal",
            "Pulled",
            &format!(
                "Successfully pulled image \"{image}\" in 12ms (12ms including waiting). Image size: 1048576 bytes."
            ),
        );
    } else {
        say("Normal", "Pulled", &format!("Container image \"{image}\" already present on machine"));
    }
    say("Normal", "Created", &format!("Created container: {one}"));
    container.id =
        format!("containerd://{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let ports = images::ports(spec);
    let log = cluster.containers.start(&uid, &one, ports.clone());
    container.state = State::Running { since: now };
    container.failures = 0;
    container.started = !spec["startupProbe"].is_object();
    container.ready = !spec["readinessProbe"].is_object() && container.started;
    let delay = [&spec["startupProbe"], &spec["readinessProbe"], &spec["livenessProbe"]]
        .iter()
        .filter_map(|probe| probe["initialDelaySeconds"].as_i64())
        .min()
        .unwrap_or(0);
    container.next_probe = Some(now + Duration::seconds(delay));
    let environment = variables(cluster, pod, &one);
    let mut words: Vec<String> = Vec::new();
    for field in ["command", "args"] {
        words.extend(list(&spec[field]).iter().map(|part| expand(word(part), &environment)));
    }
    let own = !list(&spec["command"]).is_empty() || images::ends_at_once(image);
    if own && words.is_empty() {
        if images::ends_at_once(image) && spec["stdin"] != true {
            say("Normal", "Started", &format!("Started container {one}"));
            // A shell without input has nothing to do. Nobody listens when the cluster has ended.
            let _ = tell.send((uid, one, 0, "Completed"));
            return;
        }
        words = vec!["sleep".to_owned(), "2147483647".to_owned()];
    }
    if !own {
        serve(&log, spec, &ports);
        say("Normal", "Started", &format!("Started container {one}"));
        return;
    }
    let Some(root) = process::folder(&cluster.containers, &uid, &one, name(pod)).await else {
        return;
    };
    let program = words.first().map(String::as_str).unwrap_or_default();
    if !process::is_there(&root, program) {
        let why = format!(
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: \"{program}\": executable file not found in $PATH"
        );
        say("Warning", "Failed", &format!("Error: {why}"));
        cluster.containers.stop(&uid, &one);
        container.ready = false;
        container.state = State::Ended {
            since: OffsetDateTime::UNIX_EPOCH,
            at: now,
            code: 128,
            reason: "StartError",
            message: why,
        };
        return;
    }
    say("Normal", "Started", &format!("Started container {one}"));
    let limited = spec["resources"]["limits"]["memory"].is_string();
    if limited && words.iter().any(|word| word.contains("tail /dev/zero")) {
        // It would take all memory that there is.
        let _ = tell.send((uid, one, 137, "OOMKilled"));
        return;
    }
    container.process =
        Some(tokio::spawn(run(root, words, environment, log, uid, one, tell.clone())));
}

/// The variables of a container, those of Secrets and ConfigMaps too.
fn variables(cluster: &Cluster, pod: &Value, one: &str) -> Vec<(String, String)> {
    let mut all = environment(pod, one, name(pod));
    let container = list(&pod["spec"]["containers"]).iter().find(|found| found["name"] == one);
    for variable in container.map(|found| list(&found["env"])).unwrap_or_default() {
        for (field, plural) in [("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")] {
            let source = &variable["valueFrom"][field];
            let (Some(from), Some(key)) = (source["name"].as_str(), source["key"].as_str()) else {
                continue;
            };
            let object = cluster.store.value("", plural, namespace(pod), from);
            let Some(text) = object.as_ref().and_then(|object| object["data"][key].as_str()) else {
                continue;
            };
            let value = match plural {
                "secrets" => STANDARD
                    .decode(text)
                    .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                    .unwrap_or_default(),
                _ => text.to_owned(),
            };
            all.push((word(&variable["name"]).to_owned(), value));
        }
    }
    all
}

/// `$(NAME)` becomes the variable's value, `$$` a dollar sign; what is not known stays.
/// <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>
fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        done.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(more) = rest.strip_prefix('$') {
            done.push('$');
            rest = more;
            continue;
        }
        let named = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        let known = named.and_then(|(name, more)| {
            let value = variables.iter().rfind(|(known, _)| known == name);
            value.map(|(_, value)| (value, more))
        });
        match known {
            Some((value, more)) => {
                done.push_str(value);
                rest = more;
            }
            None => done.push('$'),
        }
    }
    done.push_str(rest);
    done
}

fn pause_text(seconds: i64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

/// What a made-up server writes when it begins.
fn serve(log: &Log, spec: &Value, ports: &[u16]) {
    log.write(&format!("{} is starting", word(&spec["image"])));
    for port in ports {
        log.write(&format!("listening on 0.0.0.0:{port}"));
    }
    log.write("ready");
}

async fn run(
    root: std::path::PathBuf,
    words: Vec<String>,
    environment: Vec<(String, String)>,
    log: Arc<Log>,
    uid: String,
    one: String,
    tell: mpsc::UnboundedSender<End>,
) {
    let mut command = process::command(&root, &words, &environment, false);
    command.stdin(Stdio::null());
    let code = match command.spawn() {
        Ok(mut child) => {
            let (out, err) = (child.stdout.take(), child.stderr.take());
            tokio::join!(lines(out, &log), lines(err, &log));
            child.wait().await.ok().and_then(|status| status.code()).unwrap_or(137)
        }
        Err(error) => {
            log.write(&error.to_string());
            128
        }
    };
    let reason = if code == 0 { "Completed" } else { "Error" };
    // Nobody listens when the cluster has ended.
    let _ = tell.send((uid, one, code, reason));
}

async fn lines<R: AsyncRead + Unpin>(from: Option<R>, log: &Log) {
    let Some(from) = from else { return };
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log.write(&line);
    }
}

async fn probe(
    cluster: &Arc<Cluster>,
    pod: &Value,
    spec: &Value,
    container: &mut Container,
    since: OffsetDateTime,
    say: &(impl Fn(&str, &str, &str) + Sync),
) {
    let now = clock::now();
    if container.next_probe.is_none_or(|next| next > now) {
        return;
    }
    let kinds: &[&str] =
        if container.started { &["readinessProbe", "livenessProbe"] } else { &["startupProbe"] };
    let mut period = 10;
    for kind in kinds {
        let probe = &spec[*kind];
        if !probe.is_object() {
            continue;
        }
        period = period.min(probe["periodSeconds"].as_i64().unwrap_or(10).max(1));
        let word_of = kind.trim_end_matches("Probe");
        let word_of = format!("{}{}", word_of[..1].to_uppercase(), &word_of[1..]);
        match check(cluster, pod, spec, probe).await {
            None => match *kind {
                "startupProbe" => {
                    container.started = true;
                    container.ready = !spec["readinessProbe"].is_object();
                    container.failures = 0;
                }
                "readinessProbe" => container.ready = true,
                _ => container.failures = 0,
            },
            Some(why) => {
                say("Warning", "Unhealthy", &format!("{word_of} probe failed: {why}"));
                if *kind == "readinessProbe" {
                    container.ready = false;
                    continue;
                }
                container.failures += 1;
                if container.failures >= probe["failureThreshold"].as_i64().unwrap_or(3) {
                    say(
                        "Normal",
                        "Killing",
                        &format!(
                            "Container {} failed {} probe, will be restarted",
                            word(&spec["name"]),
                            word_of.to_lowercase()
                        ),
                    );
                    if let Some(process) = container.process.take() {
                        process.abort();
                    }
                    cluster.containers.stop(word(&pod["metadata"]["uid"]), word(&spec["name"]));
                    container.ready = false;
                    container.state = State::Ended {
                        since,
                        at: now,
                        code: 137,
                        reason: "Error",
                        message: String::new(),
                    };
                }
            }
        }
    }
    if !spec["startupProbe"].is_object()
        && !spec["readinessProbe"].is_object()
        && !spec["livenessProbe"].is_object()
    {
        container.next_probe = None;
        return;
    }
    container.next_probe = Some(now + Duration::seconds(period));
}

/// What is wrong, as a probe sees it.
async fn check(cluster: &Arc<Cluster>, pod: &Value, spec: &Value, probe: &Value) -> Option<String> {
    let uid = word(&pod["metadata"]["uid"]);
    let address = word(&pod["status"]["podIP"]);
    for handler in ["httpGet", "tcpSocket", "grpc"] {
        let target = &probe[handler];
        if !target.is_object() {
            continue;
        }
        let port = images::resolve(pod, &target["port"]).unwrap_or(0);
        if !cluster.containers.serves(uid, port) {
            let text = format!("dial tcp {address}:{port}: connect: connection refused");
            return Some(if handler == "httpGet" {
                format!("Get \"http://{address}:{port}{}\": {text}", word(&target["path"]))
            } else {
                text
            });
        }
        if handler == "httpGet" && word(&target["path"]).starts_with("/status/404") {
            return Some("HTTP probe failed with statuscode: 404".to_owned());
        }
        return None;
    }
    let words: Vec<String> =
        list(&probe["exec"]["command"]).iter().map(|part| word(part).to_owned()).collect();
    let root = process::folder(&cluster.containers, uid, word(&spec["name"]), name(pod)).await?;
    let environment = environment(pod, word(&spec["name"]), name(pod));
    let mut command = process::command(&root, &words, &environment, false);
    command.stdin(Stdio::null());
    let seconds = u64::try_from(count(&probe["timeoutSeconds"]).max(1)).unwrap_or(1);
    let wait = std::time::Duration::from_secs(seconds);
    match tokio::time::timeout(wait, command.output()).await {
        Err(_) => {
            Some(format!("command timed out: \"{}\" timed out after {seconds}s", words.join(" ")))
        }
        Ok(Err(error)) => Some(error.to_string()),
        Ok(Ok(output)) if output.status.success() => None,
        Ok(Ok(output)) => {
            let text = [output.stdout, output.stderr].concat();
            Some(String::from_utf8_lossy(&text).into_owned())
        }
    }
}

fn status_of(spec: &Value, container: Option<&Container>) -> Value {
    let image = word(&spec["image"]);
    let Some(container) = container else {
        return json!({
            "name": spec["name"], "image": image, "imageID": "", "ready": false, "restartCount": 0,
            "started": false, "lastState": {}, "state": {"waiting": {"reason": "PodInitializing"}},
        });
    };
    let pulled = !container.id.is_empty();
    let mut status = json!({
        "name": spec["name"],
        "image": image,
        "imageID": if pulled { format!("{image}@sha256:{}", super::hash(&spec["image"])) } else { String::new() },
        "ready": container.ready && matches!(container.state, State::Running { .. }),
        "restartCount": container.restarts,
        "started": container.started && matches!(container.state, State::Running { .. }),
        "lastState": container.last.as_ref().map_or(json!({}), |last| last.value(&container.id)),
        "state": container.state.value(&container.id),
    });
    if pulled {
        status["containerID"] = json!(container.id);
    }
    status
}

/// Writes what the kubelet knows into the pod's status.
fn write(cluster: &Cluster, pod: &Value, there: &Pod) {
    let spec = &pod["spec"];
    let all = |field: &str| -> Vec<Value> {
        list(&spec[field])
            .iter()
            .map(|one| {
                let mut status = status_of(one, there.containers.get(word(&one["name"])));
                let ended = there.containers.get(word(&one["name"])).map(|c| &c.state);
                // A finished init container counts as ready.
                if field == "initContainers" && matches!(ended, Some(State::Ended { code: 0, .. }))
                {
                    status["ready"] = json!(true);
                }
                status
            })
            .collect()
    };
    let (containers, inits, extra) =
        (all("containers"), all("initContainers"), all("ephemeralContainers"));
    let policy = word(&spec["restartPolicy"]);
    let code = |one: &Value| one["state"]["terminated"]["exitCode"].as_i64();
    let init_failed =
        policy == "Never" && inits.iter().any(|one| code(one).is_some_and(|code| code != 0));
    let all_ended = containers.iter().all(|one| one["state"]["terminated"].is_object());
    let some_ran = containers.iter().any(|one| {
        one["state"]["running"].is_object()
            || one["state"]["terminated"].is_object()
            || one["restartCount"] != 0
    });
    let phase = if init_failed {
        "Failed"
    } else if all_ended && policy != "Always" {
        let good = containers.iter().all(|one| code(one) == Some(0));
        match (good, policy) {
            (true, _) => "Succeeded",
            (false, "Never") => "Failed",
            (false, _) => "Running",
        }
    } else if some_ran {
        "Running"
    } else {
        "Pending"
    };
    let initialized = inits.iter().all(|one| one["ready"] == true);
    let waiting: Vec<&str> = containers
        .iter()
        .filter(|one| one["ready"] != true)
        .map(|one| word(&one["name"]))
        .collect();
    let ready = waiting.is_empty() && !containers.is_empty();
    let node = cluster.store.value("", "nodes", "", word(&spec["nodeName"])).unwrap_or_default();
    let host = word(&node["status"]["addresses"][0]["address"]).to_owned();
    let gates: Vec<Value> = list(&spec["readinessGates"]).to_vec();
    cluster.modify(&storage("", "pods"), namespace(pod), name(pod), |object| {
        if deleting(object) {
            return false;
        }
        object["status"]["observedGeneration"] = object["metadata"]["generation"].clone();
        let status = &mut object["status"];
        status["phase"] = json!(phase);
        status["hostIP"] = json!(host);
        status["hostIPs"] = json!([{"ip": host}]);
        if some_ran || phase != "Pending" {
            let address =
                if spec["hostNetwork"] == true { host.clone() } else { there.address.clone() };
            status["podIP"] = json!(address);
            status["podIPs"] = json!([{"ip": address}]);
        }
        status["startTime"] = json!(clock::seconds(there.since));
        status["qosClass"] = json!(crate::defaults::qos(spec));
        status["containerStatuses"] = json!(containers);
        for (field, list) in
            [("initContainerStatuses", &inits), ("ephemeralContainerStatuses", &extra)]
        {
            if !list.is_empty() {
                status[field] = json!(list);
            }
        }
        let ended = match phase {
            "Succeeded" => Some("PodCompleted"),
            "Failed" => Some("PodFailed"),
            _ => None,
        };
        let not_ready = format!("containers with unready status: [{}]", waiting.join(" "));
        let state = |on: bool| if on { "True" } else { "False" };
        set_condition(
            object,
            "PodReadyToStartContainers",
            state(some_ran && ended.is_none()),
            "",
            "",
        );
        match (initialized, ended) {
            (true, Some(reason)) => set_condition(object, "Initialized", "True", reason, ""),
            (true, None) => set_condition(object, "Initialized", "True", "", ""),
            (false, _) => {
                let names: Vec<&str> = inits
                    .iter()
                    .filter(|one| one["ready"] != true)
                    .map(|one| word(&one["name"]))
                    .collect();
                let message = format!("containers with incomplete status: [{}]", names.join(" "));
                set_condition(object, "Initialized", "False", "ContainersNotInitialized", &message);
            }
        }
        let open_gate = gates.iter().find(|gate| {
            !list(&object["status"]["conditions"])
                .iter()
                .any(|one| one["type"] == gate["conditionType"] && one["status"] == "True")
        });
        match (ended, ready, open_gate) {
            (Some(reason), _, _) => set_condition(object, "Ready", "False", reason, ""),
            (None, true, None) => set_condition(object, "Ready", "True", "", ""),
            (None, true, Some(gate)) => {
                let message = format!(
                    "corresponding condition of pod readiness gate \"{}\" does not exist.",
                    word(&gate["conditionType"])
                );
                set_condition(object, "Ready", "False", "ReadinessGatesNotReady", &message);
            }
            (None, false, _) => {
                set_condition(object, "Ready", "False", "ContainersNotReady", &not_ready)
            }
        }
        match ended {
            Some(reason) => set_condition(object, "ContainersReady", "False", reason, ""),
            None if ready => set_condition(object, "ContainersReady", "True", "", ""),
            None => {
                set_condition(object, "ContainersReady", "False", "ContainersNotReady", &not_ready)
            }
        }
        true
    });
}
