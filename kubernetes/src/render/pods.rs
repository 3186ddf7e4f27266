//! Containers and pods.

use std::collections::BTreeMap;

use drover_compose::{
    HealthProbe, HealthStrategy, Healthcheck, Project, PullPolicy, Resources, Service,
};
use serde_json::{Map, Value, json};

use super::{Stack, files, members, names, network, placing, storage};

/// A text in a command or in the value of a variable, so that Kubernetes fills nothing in:
/// `$(NAME)` would be a variable there, and `$$` one dollar sign.
pub(super) fn literal(text: &str) -> String {
    if text.contains("$(") || text.contains("$$") {
        text.replace('$', "$$")
    } else {
        text.to_owned()
    }
}

/// The template of a service's pods, with the containers of its sidekicks.
pub(super) fn template(stack: &Stack<'_>, project: &Project, name: &str) -> Value {
    let all = members(project, name);
    let mut spec = Map::new();
    let (mut containers, mut copiers) = (Vec::new(), Vec::new());
    let mut volumes: Vec<Value> = Vec::new();
    for (member, service) in &all {
        let mut mounted = storage::mounted(stack, project, member, service);
        files::mount(stack, member, &mut mounted);
        for volume in mounted.volumes {
            if volumes.iter().all(|known| known["name"] != volume["name"]) {
                volumes.push(volume);
            }
        }
        let container = container(stack, member, service, mounted.mounts);
        copiers.extend(storage::copier(
            member,
            &container["image"],
            &container["imagePullPolicy"],
            &container["resources"],
            &mounted.copies,
        ));
        containers.push(container);
    }
    spec.insert("containers".into(), containers.into());
    put(&mut spec, "initContainers", copiers.into());
    put(&mut spec, "volumes", volumes.into());
    // A stack's containers have no business with the cluster's API, and the variables that name
    // every Service of the namespace get in the way of those that apps read.
    spec.insert("automountServiceAccountToken".into(), false.into());
    spec.insert("enableServiceLinks".into(), false.into());
    if files::has_registries(stack, project) {
        let secret = files::registries_name(stack);
        spec.insert("imagePullSecrets".into(), json!([{ "name": secret }]));
    }
    spec.insert("hostname".into(), names::host(name).into());
    spec.insert("subdomain".into(), names::network(stack.name).into());
    pod_settings(stack, &all, &mut spec);
    if let Some(service) = project.services.get(name) {
        placing::place(stack, project, name, service, &mut spec);
    }
    let mut labels = pod_labels(stack, name);
    for volume in storage::shared_by_node(project, name) {
        labels.insert(storage::volume_label(volume), "true".into());
    }
    for (member, _) in all.iter().skip(1) {
        labels.insert(names::sidekick(member), "true".into());
    }
    let mut metadata = json!({ "labels": labels });
    for (_, service) in &all {
        for (key, value) in service.labels.iter().filter(|(key, _)| names::is_key(key)) {
            metadata["annotations"][key] = value.as_str().into();
        }
    }
    let generation: u32 = all
        .iter()
        .map(|(member, _)| stack.generations.get(*member).copied().unwrap_or_default())
        .sum();
    if generation > 0 {
        metadata["annotations"][names::GENERATION] = generation.to_string().into();
    }
    json!({ "metadata": metadata, "spec": spec })
}

/// The labels of a service's pods.
fn pod_labels(stack: &Stack<'_>, name: &str) -> BTreeMap<String, String> {
    let mut labels = names::stack_labels(stack.id, stack.environment);
    labels.insert(names::SERVICE.into(), name.to_owned());
    labels.insert(names::MANAGED_BY.into(), "drover".into());
    labels.insert("app.kubernetes.io/name".into(), name.to_owned());
    labels.insert("app.kubernetes.io/instance".into(), stack.name.to_owned());
    labels
}

/// What a selector of a service's pods looks for.
pub(super) fn selector(stack: &Stack<'_>, name: &str) -> Value {
    json!({ names::STACK: stack.id.to_string(), names::SERVICE: name })
}

/// What all containers of a pod share.
fn pod_settings(stack: &Stack<'_>, all: &[(&str, &Service)], spec: &mut Map<String, Value>) {
    let any = |test: &dyn Fn(&Service) -> bool| all.iter().any(|(_, service)| test(service));
    let host_network = any(&|service| service.network_mode.as_deref() == Some("host"));
    if host_network {
        spec.insert("hostNetwork".into(), true.into());
        spec.insert("dnsPolicy".into(), "ClusterFirstWithHostNet".into());
    }
    if any(&|service| service.pid.as_deref() == Some("host")) {
        spec.insert("hostPID".into(), true.into());
    }
    if any(&|service| service.ipc.as_deref() == Some("host")) {
        spec.insert("hostIPC".into(), true.into());
    }
    let mut searches = vec![network::domain(stack)];
    let (mut servers, mut options) = (Vec::new(), Vec::new());
    let mut hosts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let (mut groups, mut sysctls) = (Vec::new(), BTreeMap::new());
    let mut fs_group = None;
    for (_, service) in all {
        searches.extend(service.dns_search.iter().cloned());
        servers.extend(service.dns.iter().cloned());
        options.extend(service.dns_opt.iter().map(|option| match option.split_once(':') {
            Some((name, value)) => json!({ "name": name, "value": value }),
            None => json!({ "name": option }),
        }));
        for (name, ip) in &service.extra_hosts {
            hosts.entry(ip).or_default().push(name);
        }
        groups.extend(service.group_add.iter().filter_map(|group| group.parse::<i64>().ok()));
        sysctls.extend(service.sysctls.iter());
        let (user, group) = user(service);
        let has_volumes =
            service.volumes.iter().any(|mount| mount.kind == drover_compose::MountKind::Volume);
        fs_group = fs_group.or(group.or(user).filter(|_| has_volumes));
    }
    let mut dns = json!({ "searches": searches });
    if !servers.is_empty() {
        dns["nameservers"] = servers.into();
    }
    if !options.is_empty() {
        dns["options"] = options.into();
    }
    spec.insert("dnsConfig".into(), dns);
    let hosts = hosts.into_iter().map(|(ip, names)| json!({ "ip": ip, "hostnames": names }));
    put(spec, "hostAliases", hosts.collect());
    let mut context = Map::new();
    put(&mut context, "supplementalGroups", json!(groups));
    let sysctls = sysctls.into_iter().map(|(name, value)| json!({ "name": name, "value": value }));
    put(&mut context, "sysctls", sysctls.collect());
    if let Some(group) = fs_group {
        context.insert("fsGroup".into(), group.into());
        context.insert("fsGroupChangePolicy".into(), "OnRootMismatch".into());
    }
    if !context.is_empty() {
        spec.insert("securityContext".into(), context.into());
    }
    if let Some(runtime) = all.iter().find_map(|(_, service)| service.runtime.as_deref()) {
        spec.insert("runtimeClassName".into(), runtime.into());
    }
    let grace = all.iter().filter_map(|(_, service)| service.stop_grace_period_ms).max();
    if let Some(ms) = grace {
        spec.insert("terminationGracePeriodSeconds".into(), seconds(ms).into());
    }
}

/// Milliseconds as whole seconds, at least one.
pub(super) fn seconds(ms: u64) -> i64 {
    i64::try_from(ms.div_ceil(1000)).unwrap_or(i64::MAX).clamp(1, 1 << 31)
}

/// User and group by number.
pub(super) fn user(service: &Service) -> (Option<i64>, Option<i64>) {
    let Some(text) = &service.user else { return (None, None) };
    let (user, group) = text.split_once(':').map_or((text.as_str(), None), |(u, g)| (u, Some(g)));
    (user.parse().ok(), group.and_then(|group| group.parse().ok()))
}

fn put(map: &mut Map<String, Value>, key: &str, value: Value) {
    let empty = match &value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    };
    if !empty {
        map.insert(key.to_owned(), value);
    }
}

fn container(stack: &Stack<'_>, name: &str, service: &Service, mounts: Vec<Value>) -> Value {
    let mut container = Map::new();
    let mut put = |key: &str, value: Value| put(&mut container, key, value);
    put("name", names::host(name).into());
    put("image", service.image.as_str().into());
    let pull = match service.pull_policy {
        _ if stack.pull => Some("Always"),
        Some(PullPolicy::Always) => Some("Always"),
        Some(PullPolicy::Missing) => Some("IfNotPresent"),
        Some(PullPolicy::Never) => Some("Never"),
        None => None,
    };
    put("imagePullPolicy", json!(pull));
    let words = |words: &Option<Vec<String>>, part: &str| {
        let words = words.iter().flatten().enumerate();
        let words = words.map(|(number, word)| {
            if files::is_secret(stack, word) {
                format!("$({})", files::word_name(part, number))
            } else {
                literal(word)
            }
        });
        json!(words.collect::<Vec<_>>())
    };
    put("command", words(&service.entrypoint, files::ENTRYPOINT));
    put("args", words(&service.command, files::COMMAND));
    put("workingDir", json!(service.working_dir));
    put("env", files::variables(stack, name, service).into());
    put("ports", ports(service));
    put("volumeMounts", mounts.into());
    put("resources", resources(service));
    put("securityContext", security(service));
    let probes = probes(service);
    put("readinessProbe", probes.readiness);
    put("livenessProbe", probes.liveness);
    put("startupProbe", probes.startup);
    if service.tty {
        put("tty", true.into());
    }
    if service.stdin_open {
        put("stdin", true.into());
    }
    container.into()
}

/// `80/udp` as port and protocol.
pub(super) fn port_and_protocol(text: &str) -> Option<(u16, String)> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    Some((port.parse().ok()?, protocol.to_ascii_uppercase()))
}

fn ports(service: &Service) -> Value {
    let mut all: Vec<(u16, String)> = Vec::new();
    let published = service.ports.iter().map(|p| (p.target, p.protocol.to_ascii_uppercase()));
    let exposed = service.expose.iter().filter_map(|text| port_and_protocol(text));
    for port in published.chain(exposed) {
        if !all.contains(&port) {
            all.push(port);
        }
    }
    all.into_iter().map(|(port, p)| json!({ "containerPort": port, "protocol": p })).collect()
}

fn resources(service: &Service) -> Value {
    let mut out = Map::new();
    let deploy = &service.deploy;
    for (key, part) in [("limits", &deploy.limits), ("requests", &deploy.reservations)] {
        put(&mut out, key, quantities(part));
    }
    // Of what only nodes with a plug-in have, as much is asked for as may be used.
    for (kind, count) in &deploy.reservations.generic {
        out.entry("limits").or_insert_with(|| json!({}))[kind] = count.as_str().into();
    }
    out.into()
}

fn quantities(resources: &Resources) -> Value {
    let mut out = Map::new();
    if let Some(cpus) = resources.nano_cpus {
        // A thousandth is the least that a cluster knows.
        out.insert("cpu".into(), format!("{}m", (cpus / 1_000_000).max(1)).into());
    }
    if let Some(memory) = resources.memory {
        out.insert("memory".into(), storage::quantity(memory).into());
    }
    out.into()
}

fn security(service: &Service) -> Value {
    let mut context = Map::new();
    let (user, group) = user(service);
    put(&mut context, "runAsUser", json!(user));
    put(&mut context, "runAsGroup", json!(group));
    if service.privileged {
        context.insert("privileged".into(), true.into());
    }
    if service.read_only {
        context.insert("readOnlyRootFilesystem".into(), true.into());
    }
    let mut capabilities = Map::new();
    let bare = |names: &[String]| -> Vec<String> {
        let upper = names.iter().map(|name| name.to_ascii_uppercase());
        upper.map(|name| name.strip_prefix("CAP_").unwrap_or(&name).to_owned()).collect()
    };
    put(&mut capabilities, "add", json!(bare(&service.cap_add)));
    put(&mut capabilities, "drop", json!(bare(&service.cap_drop)));
    put(&mut context, "capabilities", capabilities.into());
    for option in &service.security_opt {
        match option.as_str() {
            "seccomp=unconfined" | "seccomp:unconfined" => {
                context.insert("seccompProfile".into(), json!({ "type": "Unconfined" }));
            }
            "apparmor=unconfined" | "apparmor:unconfined" => {
                context.insert("appArmorProfile".into(), json!({ "type": "Unconfined" }));
            }
            "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true" => {
                context.insert("allowPrivilegeEscalation".into(), false.into());
            }
            _ => {}
        }
    }
    context.into()
}

#[derive(Default)]
struct Probes {
    readiness: Value,
    liveness: Value,
    startup: Value,
}

fn probes(service: &Service) -> Probes {
    match (&service.health, &service.healthcheck) {
        (Some(probe), _) => server_probe(probe),
        (None, Some(check)) => Probes { readiness: readiness(check), ..Probes::default() },
        (None, None) => Probes::default(),
    }
}

/// Drover's own check: what is unhealthy is left out of names, and started again where its strategy
/// says so.
fn server_probe(probe: &HealthProbe) -> Probes {
    let mut base = match &probe.http {
        Some(http) => json!({ "httpGet": { "path": http.path, "port": probe.port } }),
        None => json!({ "tcpSocket": { "port": probe.port } }),
    };
    base["periodSeconds"] = seconds(probe.interval_ms).into();
    base["timeoutSeconds"] = seconds(probe.timeout_ms).into();
    base["failureThreshold"] = probe.unhealthy_threshold.into();
    let mut readiness = base.clone();
    readiness["successThreshold"] = probe.healthy_threshold.into();
    if probe.strategy == HealthStrategy::None {
        return Probes { readiness, ..Probes::default() };
    }
    let mut startup = base.clone();
    let tries = seconds(probe.initializing_ms) / seconds(probe.interval_ms).max(1);
    startup["failureThreshold"] = tries.max(1).into();
    Probes { readiness, liveness: base, startup }
}

/// How often a check is made at most, so that what has become healthy is soon seen to be.
const SOONEST_MS: u64 = 10_000;

/// A Compose health check says whether a container is healthy, and nothing is done about one that
/// is not but to leave it out. Defaults are Docker's.
fn readiness(check: &Healthcheck) -> Value {
    let Some(test) = &check.test else { return Value::Null };
    let command: Vec<&str> = match test.first().map(String::as_str) {
        Some("CMD") => test[1..].iter().map(String::as_str).collect(),
        Some("CMD-SHELL") => {
            let line = test.get(1).map_or("true", String::as_str);
            vec!["/bin/sh", "-c", line]
        }
        _ => return Value::Null,
    };
    if command.is_empty() {
        return Value::Null;
    }
    let interval = check.interval_ms.unwrap_or(30_000).max(1000);
    let period = interval.min(SOONEST_MS);
    let patience = interval.saturating_mul(check.retries.unwrap_or(3).max(1));
    json!({
        "exec": { "command": command },
        "periodSeconds": seconds(period),
        "timeoutSeconds": seconds(check.timeout_ms.unwrap_or(30_000)),
        "failureThreshold": i64::try_from(patience.div_ceil(period)).unwrap_or(3).clamp(1, 10_000),
    })
}
