//! How a project becomes services, networks, secrets and configs of a swarm. Pure. Names and
//! labels are those of `docker stack deploy`, so that the command line shows Drover's stacks as
//! its own; Drover's labels stand beside them.

use std::collections::{BTreeMap, HashMap};

use drover_api::{EndpointMode, PublishMode, SwarmDefaults};
use drover_compose::{
    DependencyCondition, FailureAction, Mount, MountKind, Network, Port, Project, Resources,
    Restart, Service, UpdateConfig,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{
    hosts::{
        driver::{models, swarm::BlobKind},
        labels,
    },
    stacks::{StackRow, Wanted, WantedFile},
};

/// The stack that something belongs to, for `docker stack ls`.
pub(super) const NAMESPACE: &str = "com.docker.stack.namespace";
/// The image as it was asked for, beside the one with its digest.
pub(super) const IMAGE: &str = "com.docker.stack.image";
/// The longest name of a secret or config.
const LONGEST_NAME: usize = 64;

/// The name of a stack's network or volume in the swarm.
pub(super) fn own_name(stack: &StackRow, name: &str, given: Option<&str>) -> String {
    given.map_or_else(|| format!("{}_{name}", stack.name), str::to_owned)
}

/// The name of a stack's service in the swarm.
pub(super) fn service_name(stack: &StackRow, service: &str) -> String {
    format!("{}_{service}", stack.name)
}

/// What marks all that a stack has in the swarm.
pub(super) fn stack_labels(stack: &StackRow) -> BTreeMap<String, String> {
    [
        (NAMESPACE, stack.name.clone()),
        (labels::ENVIRONMENT, stack.environment_id.to_string()),
        (labels::STACK, stack.id.to_string()),
        (labels::STACK_NAME, stack.name.clone()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// A secret or config that a stack needs in the swarm.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Blob {
    pub kind: BlobKind,
    /// With the digest of what it holds: the engine never changes one.
    pub name: String,
    pub content: Vec<u8>,
}

/// The kind and name in the swarm of a file of a service.
pub(super) fn blob_key(stack: &StackRow, file: &WantedFile) -> (BlobKind, String) {
    let kind = if file.secret { BlobKind::Secret } else { BlobKind::Config };
    let name = match &file.own {
        Some(name) => name.clone(),
        None => blob_name(&format!("{}_{}", stack.name, file.source), &content(file)),
    };
    (kind, name)
}

/// The name of something with this content, so that other content has another name.
pub(super) fn blob_name(base: &str, content: &[u8]) -> String {
    let digest = hex(&Sha256::digest(content), 6);
    let base: String = base.chars().take(LONGEST_NAME - digest.len() - 1).collect();
    format!("{base}-{digest}")
}

/// A swarm takes no empty files: they get a line's end.
fn content(file: &WantedFile) -> Vec<u8> {
    if file.content.is_empty() { b"\n".to_vec() } else { file.content.clone() }
}

/// The secrets and configs of a stack, each once; without those that the swarm has by itself.
pub(super) fn blobs(stack: &StackRow, wanted: &Wanted) -> Vec<Blob> {
    let mut all = BTreeMap::new();
    for file in wanted.files.values().flatten().filter(|file| file.own.is_none()) {
        let (kind, name) = blob_key(stack, file);
        all.entry((kind, name.clone())).or_insert_with(|| Blob {
            kind,
            name,
            content: content(file),
        });
    }
    all.into_values().collect()
}

/// The network that a name of the text stands for, and the request that makes it if it is the
/// stack's own.
pub(super) fn network(
    stack: &StackRow,
    name: &str,
    network: &Network,
) -> (String, Option<models::NetworkCreateRequest>) {
    if network.external {
        return (network.name.clone().unwrap_or_else(|| name.to_owned()), None);
    }
    let full = own_name(stack, name, network.name.as_deref());
    let mut labels: HashMap<_, _> =
        network.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    labels.extend(stack_labels(stack));
    // A bridge is one host's own; in a swarm the same is meant over all of them.
    let driver = match network.driver.as_deref() {
        None | Some("bridge" | "default") => "overlay",
        Some(other) => other,
    };
    let pools = network.ipam.iter().map(|(subnet, gateway, range)| models::IpamConfig {
        subnet: Some(subnet.clone()),
        gateway: gateway.clone(),
        ip_range: range.clone(),
        ..models::IpamConfig::default()
    });
    let request = models::NetworkCreateRequest {
        name: full.clone(),
        driver: Some(driver.into()),
        options: Some(network.driver_opts.clone().into_iter().collect()),
        internal: Some(network.internal),
        attachable: Some(network.attachable),
        enable_ipv6: Some(network.enable_ipv6),
        ipam: (!network.ipam.is_empty())
            .then(|| models::Ipam { config: Some(pools.collect()), ..models::Ipam::default() }),
        labels: Some(labels),
        ..models::NetworkCreateRequest::default()
    };
    (full, Some(request))
}

/// What a service is made from.
pub(super) struct Make<'a> {
    pub stack: &'a StackRow,
    pub wanted: &'a Wanted,
    pub defaults: SwarmDefaults,
    pub name: &'a str,
    pub service: &'a Service,
    /// The ids of secrets and configs, by kind and name.
    pub blobs: &'a HashMap<(BlobKind, String), String>,
}

/// A service as it should be in the swarm.
pub(super) struct Rendered {
    /// The engine's JSON.
    pub spec: Value,
    /// The digest of all of it.
    pub digest: String,
    /// The digest of what its tasks are made from: another one means other containers.
    pub task_digest: String,
}

/// How many tasks a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Replicated(u32),
    Global,
    Job(u32),
    GlobalJob,
}

/// A service that others wait for to complete runs to its end once: a job.
pub(super) fn scale(project: &Project, name: &str, service: &Service) -> Scale {
    let awaited = project.services.values().any(|other| {
        other
            .depends_on
            .get(name)
            .is_some_and(|dependency| dependency.condition == DependencyCondition::Completed)
    });
    match (service.deploy.job || awaited, service.deploy.global) {
        (false, false) => Scale::Replicated(service.deploy.replicas),
        (false, true) => Scale::Global,
        (true, false) => Scale::Job(service.deploy.replicas),
        (true, true) => Scale::GlobalJob,
    }
}

/// Renders a service, without the digest of its image and without what only marks it.
pub(super) fn render(make: &Make<'_>) -> Rendered {
    let Make { stack, wanted, service, .. } = make;
    let scale = scale(&wanted.project, make.name, service);
    let task = task_template(make, scale);
    let task_digest = digest(&task);
    let mut labels = stack_labels(stack);
    labels.insert(IMAGE.into(), service.image.clone());
    labels.insert(labels::SERVICE.into(), make.name.to_owned());
    labels.extend(service.deploy.labels.iter().map(|(k, v)| (k.clone(), v.clone())));
    let mut spec = json!({
        "Name": service_name(stack, make.name),
        "Labels": labels,
        "TaskTemplate": task,
        "Mode": match scale {
            Scale::Replicated(replicas) => json!({ "Replicated": { "Replicas": replicas } }),
            Scale::Global => json!({ "Global": {} }),
            Scale::Job(runs) => json!({
                "ReplicatedJob": { "MaxConcurrent": runs.max(1), "TotalCompletions": runs },
            }),
            Scale::GlobalJob => json!({ "GlobalJob": {} }),
        },
        "EndpointSpec": endpoint(service, make.defaults),
    });
    // Jobs are not updated but run anew.
    if matches!(scale, Scale::Replicated(_) | Scale::Global) {
        spec["UpdateConfig"] = update_config(&service.deploy.update);
        if let Some(rollback) = &service.deploy.rollback {
            spec["RollbackConfig"] = update_config(rollback);
        }
    }
    let whole = digest(&spec);
    Rendered { spec, digest: whole, task_digest }
}

/// Adds what marks a service and its containers, and the image with its digest.
pub(super) fn mark(
    rendered: Rendered,
    stack: &StackRow,
    revision: &str,
    operation: Option<&str>,
    image: &str,
) -> Value {
    let mut spec = rendered.spec;
    set(&mut spec["Labels"], labels::SPEC, &rendered.digest);
    set(&mut spec["Labels"], labels::REVISION, &stack.revision.to_string());
    if let Some(operation) = operation {
        set(&mut spec["Labels"], labels::OPERATION, operation);
    }
    let container = &mut spec["TaskTemplate"]["ContainerSpec"];
    set(&mut container["Labels"], labels::SPEC, &rendered.task_digest);
    set(&mut container["Labels"], labels::REVISION, revision);
    container["Image"] = image.into();
    spec
}

fn set(map: &mut Value, key: &str, value: &str) {
    map[key] = value.into();
}

fn task_template(make: &Make<'_>, scale: Scale) -> Value {
    let Make { stack, service, .. } = make;
    let mut labels: BTreeMap<_, _> =
        service.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    labels.extend(stack_labels(stack));
    labels.insert(labels::SERVICE.into(), make.name.to_owned());
    let mut container = Map::new();
    let mut put = |key: &str, value: Value| {
        let empty = match &value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(entries) => entries.is_empty(),
            _ => false,
        };
        if !empty {
            container.insert(key.to_owned(), value);
        }
    };
    put("Image", json!(service.image));
    put("Labels", json!(labels));
    put("Command", json!(service.entrypoint));
    put("Args", json!(service.command));
    put("Hostname", json!(service.hostname));
    put("Env", env(service));
    put("Dir", json!(service.working_dir));
    put("User", json!(service.user));
    put("Groups", json!(service.group_add));
    put("TTY", json!(service.tty));
    put("OpenStdin", json!(service.stdin_open));
    put("ReadOnly", json!(service.read_only));
    put("Mounts", mounts(make).into());
    put("StopSignal", json!(service.stop_signal));
    put("StopGracePeriod", nanos(service.stop_grace_period_ms));
    put("HealthCheck", health_check(service));
    put("Hosts", service.extra_hosts.iter().map(|(name, ip)| format!("{ip} {name}")).collect());
    put("DNSConfig", dns(service));
    put("Secrets", files(make, BlobKind::Secret).into());
    put("Configs", files(make, BlobKind::Config).into());
    put("Init", json!(service.init));
    put("Sysctls", json!(service.sysctls));
    put("CapabilityAdd", json!(service.cap_add));
    put("CapabilityDrop", json!(service.cap_drop));
    let ulimits = service.ulimits.iter();
    put(
        "Ulimits",
        ulimits.map(|(n, l)| json!({ "Name": n, "Soft": l.soft, "Hard": l.hard })).collect(),
    );
    if service.security_opt.iter().any(|option| option.starts_with("no-new-privileges")) {
        // Engines before 26 do not know it, and ignore it.
        put("Privileges", json!({ "NoNewPrivileges": true }));
    }
    let mut task = json!({
        "ContainerSpec": container,
        "RestartPolicy": restart_policy(service, scale),
        "Placement": placement(service),
        "Networks": networks(make),
        "ForceUpdate": stack.generations.get(make.name).copied().unwrap_or_default(),
    });
    let (limits, reservations) =
        (resources(&service.deploy.limits), resources(&service.deploy.reservations));
    if !limits.is_empty() || !reservations.is_empty() {
        task["Resources"] = json!({ "Limits": limits, "Reservations": reservations });
    }
    if let Some(logging) = &service.logging {
        task["LogDriver"] = json!({ "Name": logging.driver, "Options": logging.options });
    }
    task
}

fn env(service: &Service) -> Value {
    service.environment.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

fn health_check(service: &Service) -> Value {
    let Some(check) = &service.healthcheck else { return Value::Null };
    let mut value = Map::new();
    let parts = [
        ("Test", json!(check.test)),
        ("Interval", nanos(check.interval_ms)),
        ("Timeout", nanos(check.timeout_ms)),
        ("StartPeriod", nanos(check.start_period_ms)),
        ("Retries", json!(check.retries)),
    ];
    for (key, part) in parts.into_iter().filter(|(_, part)| !part.is_null()) {
        value.insert(key.into(), part);
    }
    value.into()
}

fn dns(service: &Service) -> Value {
    if service.dns.is_empty() && service.dns_search.is_empty() && service.dns_opt.is_empty() {
        return Value::Null;
    }
    json!({
        "Nameservers": service.dns,
        "Search": service.dns_search,
        "Options": service.dns_opt,
    })
}

fn networks(make: &Make<'_>) -> Vec<Value> {
    if make.service.network_mode.as_deref() == Some("host") {
        return vec![json!({ "Target": "host" })];
    }
    let names = make.service.networks.iter().filter_map(|(name, attachment)| {
        let (target, _) = network(make.stack, name, make.wanted.project.networks.get(name)?);
        let mut aliases = vec![make.name.to_owned()];
        aliases.extend(attachment.aliases.iter().cloned());
        Some(json!({ "Target": target, "Aliases": aliases }))
    });
    names.collect()
}

fn files(make: &Make<'_>, kind: BlobKind) -> Vec<Value> {
    let (folder, id_key, name_key) = match kind {
        BlobKind::Secret => ("/run/secrets/", "SecretID", "SecretName"),
        BlobKind::Config => ("", "ConfigID", "ConfigName"),
    };
    let all = make.wanted.files.get(make.name).into_iter().flatten();
    let own = all.filter(|file| file.secret == (kind == BlobKind::Secret));
    own.map(|file| {
        let key = blob_key(make.stack, file);
        json!({
            "File": {
                // In the folder of secrets the bare name, as the command line writes it.
                "Name": file.path.strip_prefix(folder).unwrap_or(&file.path),
                "UID": file.uid.to_string(),
                "GID": file.gid.to_string(),
                "Mode": file.mode,
            },
            id_key: make.blobs.get(&key),
            name_key: key.1,
        })
    })
    .collect()
}

fn mounts(make: &Make<'_>) -> Vec<Value> {
    let service = make.service;
    let mut all: Vec<Value> = service.volumes.iter().map(|mount| mount_of(make, mount)).collect();
    for entry in &service.tmpfs {
        let (path, options) = entry.split_once(':').unwrap_or((entry, ""));
        let mut tmpfs = Map::new();
        for option in options.split(',') {
            match option.split_once('=') {
                Some(("size", size)) => {
                    tmpfs.insert("SizeBytes".into(), json!(drover_compose::parse_bytes(size)));
                }
                Some(("mode", mode)) => {
                    let mode = u32::from_str_radix(mode, 8).ok();
                    tmpfs.insert("Mode".into(), json!(mode));
                }
                _ => {}
            }
        }
        all.push(json!({ "Type": "tmpfs", "Target": path, "TmpfsOptions": tmpfs }));
    }
    if let Some(size) = service.shm_size {
        // A swarm has no option for it, but a mount does the same.
        let tmpfs = json!({ "SizeBytes": size, "Mode": 0o1777 });
        all.push(json!({ "Type": "tmpfs", "Target": "/dev/shm", "TmpfsOptions": tmpfs }));
    }
    all
}

fn mount_of(make: &Make<'_>, mount: &Mount) -> Value {
    let mut value = json!({ "Target": mount.target, "ReadOnly": mount.read_only });
    match mount.kind {
        MountKind::Bind => {
            value["Type"] = "bind".into();
            value["Source"] = json!(mount.source);
            if let Some(propagation) = &mount.propagation {
                value["BindOptions"] = json!({ "Propagation": propagation });
            }
        }
        MountKind::Tmpfs => {
            value["Type"] = "tmpfs".into();
            if let Some(size) = mount.tmpfs_size {
                value["TmpfsOptions"] = json!({ "SizeBytes": size });
            }
        }
        MountKind::Volume => {
            value["Type"] = "volume".into();
            let Some(source) = &mount.source else { return value };
            let volume = make.wanted.project.volumes.get(source);
            let given = volume.and_then(|volume| volume.name.as_deref());
            if volume.is_some_and(|volume| volume.external) {
                value["Source"] = given.unwrap_or(source).into();
                value["VolumeOptions"] = json!({ "NoCopy": mount.nocopy });
                return value;
            }
            value["Source"] = own_name(make.stack, source, given).into();
            let mut labels: BTreeMap<_, _> = volume
                .into_iter()
                .flat_map(|volume| &volume.labels)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            labels.extend(stack_labels(make.stack));
            value["VolumeOptions"] = json!({ "NoCopy": mount.nocopy, "Labels": labels });
            let own = volume.filter(|v| v.driver.is_some() || !v.driver_opts.is_empty());
            if let Some(volume) = own {
                value["VolumeOptions"]["DriverConfig"] = json!({
                    "Name": volume.driver.as_deref().unwrap_or("local"),
                    "Options": volume.driver_opts,
                });
            }
        }
    }
    value
}

fn resources(resources: &Resources) -> Map<String, Value> {
    let mut value = Map::new();
    let parts = [
        ("NanoCPUs", json!(resources.nano_cpus)),
        ("MemoryBytes", json!(resources.memory)),
        ("Pids", json!(resources.pids)),
    ];
    for (key, part) in parts.into_iter().filter(|(_, part)| !part.is_null()) {
        value.insert(key.into(), part);
    }
    if !resources.generic.is_empty() {
        let generic = resources.generic.iter().map(|(kind, what)| match what.parse::<i64>() {
            Ok(count) => json!({ "DiscreteResourceSpec": { "Kind": kind, "Value": count } }),
            Err(_) => json!({ "NamedResourceSpec": { "Kind": kind, "Value": what } }),
        });
        value.insert("GenericResources".into(), generic.collect());
    }
    value
}

/// Without a rule of its own a service is kept running, and a job tried again until it ends well.
fn restart_policy(service: &Service, scale: Scale) -> Value {
    let job = matches!(scale, Scale::Job(_) | Scale::GlobalJob);
    let (condition, most) = match service.restart {
        Some(Restart::No) => ("none", None),
        Some(Restart::OnFailure(most)) => ("on-failure", Some(most).filter(|most| *most > 0)),
        _ if job => ("on-failure", None),
        None | Some(Restart::Always | Restart::UnlessStopped) => ("any", None),
    };
    let mut policy = json!({ "Condition": condition });
    if let Some(most) = most {
        policy["MaxAttempts"] = most.into();
    }
    let pauses = &service.deploy.restart;
    if pauses.delay_ms.is_some() {
        policy["Delay"] = nanos(pauses.delay_ms);
    }
    if pauses.window_ms.is_some() {
        policy["Window"] = nanos(pauses.window_ms);
    }
    policy
}

fn placement(service: &Service) -> Value {
    let deploy = &service.deploy;
    let constraints: Vec<String> = deploy
        .constraints
        .iter()
        .map(|rule| format!("{}{}{}", rule.key, if rule.equal { "==" } else { "!=" }, rule.value))
        .collect();
    let preferences: Vec<Value> = deploy
        .spread
        .iter()
        .map(|label| json!({ "Spread": { "SpreadDescriptor": label } }))
        .collect();
    let mut placement = json!({ "Constraints": constraints, "Preferences": preferences });
    if deploy.max_replicas_per_node > 0 {
        placement["MaxReplicas"] = deploy.max_replicas_per_node.into();
    }
    if let Some((os, architecture)) = service.platform.as_deref().and_then(|p| p.split_once('/')) {
        let architecture = architecture.split('/').next().unwrap_or(architecture);
        placement["Platforms"] = json!([{ "OS": os, "Architecture": architecture }]);
    }
    placement
}

/// An update that fails stops. Where it is to go back, Drover takes the whole stack back: a
/// service that the swarm took back by itself would stand among newer ones.
fn update_config(config: &UpdateConfig) -> Value {
    json!({
        "Parallelism": config.parallelism,
        "Delay": nanos(Some(config.delay_ms)),
        "FailureAction": match config.failure_action {
            FailureAction::Continue => "continue",
            FailureAction::Pause | FailureAction::Rollback => "pause",
        },
        "Monitor": nanos(Some(config.monitor_ms)),
        "MaxFailureRatio": config.max_failure_ratio,
        "Order": if config.start_first { "start-first" } else { "stop-first" },
    })
}

fn endpoint(service: &Service, defaults: SwarmDefaults) -> Value {
    let host_network = service.network_mode.as_deref() == Some("host");
    let mode = match service.deploy.endpoint_mode {
        Some(drover_compose::EndpointMode::Vip) => EndpointMode::Vip,
        Some(drover_compose::EndpointMode::Dnsrr) => EndpointMode::Dnsrr,
        None => defaults.endpoint_mode,
    };
    if host_network {
        return json!({});
    }
    let ports: Vec<Value> = service
        .ports
        .iter()
        .map(|port| {
            json!({
                "Protocol": port.protocol,
                "TargetPort": port.target,
                "PublishedPort": port.published.unwrap_or_default(),
                "PublishMode": match publish_mode(port, mode, defaults) {
                    PublishMode::Ingress => "ingress",
                    PublishMode::Host => "host",
                },
            })
        })
        .collect();
    let mode = match mode {
        EndpointMode::Vip => "vip",
        EndpointMode::Dnsrr => "dnsrr",
    };
    json!({ "Mode": mode, "Ports": ports })
}

fn publish_mode(port: &Port, endpoint: EndpointMode, defaults: SwarmDefaults) -> PublishMode {
    match port.mode {
        Some(drover_compose::PublishMode::Ingress) => PublishMode::Ingress,
        Some(drover_compose::PublishMode::Host) => PublishMode::Host,
        // The routing mesh needs the virtual address.
        None if endpoint == EndpointMode::Dnsrr => PublishMode::Host,
        None => defaults.publish_mode,
    }
}

fn nanos(ms: Option<u64>) -> Value {
    json!(ms.map(|ms| ms.saturating_mul(1_000_000).min(i64::MAX as u64)))
}

fn digest(value: &Value) -> String {
    // A JSON value always serialises.
    hex(&Sha256::digest(serde_json::to_vec(value).unwrap_or_default()), 12)
}

fn hex(bytes: &[u8], most: usize) -> String {
    bytes.iter().take(most).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use drover_api::ClusterKind;
    use indexmap::IndexMap;
    use uuid::Uuid;

    pub(in super::super) fn stack() -> StackRow {
        StackRow {
            cluster: ClusterKind::Swarm,
            revision: 3,
            outcome: None,
            ..StackRow::for_tests(Uuid::from_u128(1), Uuid::from_u128(2), "shop")
        }
    }

    fn wanted(text: &str) -> Wanted {
        let loaded = drover_compose::load(text, &());
        let project = loaded.project.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        Wanted { project, specs: IndexMap::new(), files: IndexMap::new(), secrets: Vec::new() }
    }

    fn rendered(text: &str, defaults: SwarmDefaults) -> Rendered {
        let (stack, wanted) = (stack(), wanted(text));
        let (name, service) = wanted.project.services.first().unwrap();
        let blobs = HashMap::new();
        render(&Make { stack: &stack, wanted: &wanted, defaults, name, service, blobs: &blobs })
    }

    const MESHLESS: SwarmDefaults =
        SwarmDefaults { publish_mode: PublishMode::Host, endpoint_mode: EndpointMode::Dnsrr };

    #[test]
    fn the_deploy_part_is_rendered_in_full() {
        let text = r#"
services:
  web:
    image: app:1
    command: [serve, --fast]
    entrypoint: /init
    environment: {A: "1"}
    ports: ["8080:80", {target: 81, published: 8081, mode: ingress}]
    volumes: ["data:/data", "/etc/x:/x:ro"]
    tmpfs: /run:size=16m,mode=1777
    shm_size: 64m
    stop_grace_period: 1m
    init: true
    cap_add: [NET_ADMIN]
    cap_drop: [ALL]
    sysctls: {net.core.somaxconn: 1024}
    ulimits: {nofile: {soft: 10, hard: 20}}
    extra_hosts: ["db:10.0.0.9"]
    healthcheck: {test: [CMD, check], interval: 2s}
    deploy:
      replicas: 3
      endpoint_mode: vip
      labels: {team: shop}
      update_config: {parallelism: 2, delay: 1s, order: start-first, failure_action: rollback, monitor: 3s, max_failure_ratio: 0.5}
      rollback_config: {parallelism: 0}
      restart_policy: {condition: on-failure, delay: 2s, max_attempts: 4, window: 9s}
      resources:
        limits: {cpus: "0.5", memory: 64m, pids: 50}
        reservations: {memory: 32m, generic_resources: [{discrete_resource_spec: {kind: gpu, value: 2}}]}
      placement:
        constraints: [node.labels.disk == ssd]
        preferences: [{spread: node.labels.zone}]
        max_replicas_per_node: 2
volumes: {data: {driver_opts: {size: 1g}}}
"#;
        let spec = rendered(text, SwarmDefaults::default()).spec;
        assert_eq!(spec["Name"], "shop_web");
        assert_eq!(spec["Labels"][NAMESPACE], "shop");
        assert_eq!(spec["Labels"][IMAGE], "app:1");
        assert_eq!(spec["Labels"]["team"], "shop");
        assert_eq!(spec["Mode"], json!({ "Replicated": { "Replicas": 3 } }));
        assert_eq!(
            spec["UpdateConfig"],
            json!({ "Parallelism": 2, "Delay": 1_000_000_000, "FailureAction": "pause",
                "Monitor": 3_000_000_000_u64, "MaxFailureRatio": 0.5, "Order": "start-first" })
        );
        assert_eq!(spec["RollbackConfig"]["Parallelism"], 0);
        assert_eq!(
            spec["EndpointSpec"],
            json!({ "Mode": "vip", "Ports": [
                { "Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress" },
                { "Protocol": "tcp", "TargetPort": 81, "PublishedPort": 8081, "PublishMode": "ingress" },
            ] })
        );
        let task = &spec["TaskTemplate"];
        assert_eq!(
            task["RestartPolicy"],
            json!({ "Condition": "on-failure", "MaxAttempts": 4, "Delay": 2_000_000_000,
                "Window": 9_000_000_000_u64 })
        );
        assert_eq!(task["Resources"]["Limits"]["Pids"], 50);
        assert_eq!(
            task["Resources"]["Reservations"]["GenericResources"][0],
            json!({ "DiscreteResourceSpec": { "Kind": "gpu", "Value": 2 } })
        );
        assert_eq!(
            task["Placement"],
            json!({ "Constraints": ["node.labels.disk==ssd"],
                "Preferences": [{ "Spread": { "SpreadDescriptor": "node.labels.zone" } }],
                "MaxReplicas": 2 })
        );
        assert_eq!(task["Networks"], json!([{ "Target": "shop_default", "Aliases": ["web"] }]));
        let container = &task["ContainerSpec"];
        assert_eq!(container["Command"], json!(["/init"]));
        assert_eq!(container["Args"], json!(["serve", "--fast"]));
        assert_eq!(container["Hosts"], json!(["10.0.0.9 db"]));
        assert_eq!(container["HealthCheck"]["Interval"], 2_000_000_000);
        assert_eq!(container["Ulimits"], json!([{ "Name": "nofile", "Soft": 10, "Hard": 20 }]));
        let mounts = container["Mounts"].as_array().unwrap();
        assert_eq!(mounts[0]["Source"], "shop_data");
        assert_eq!(mounts[0]["VolumeOptions"]["DriverConfig"]["Options"]["size"], "1g");
        assert_eq!(mounts[1]["Type"], "bind");
        assert_eq!(mounts[2]["TmpfsOptions"], json!({ "SizeBytes": 16 << 20, "Mode": 0o1777 }));
        assert_eq!(mounts[3]["Target"], "/dev/shm");
    }

    #[test]
    fn a_swarm_without_the_mesh_publishes_on_the_hosts() {
        let text = "services:\n  web: {image: a, ports: ['8080:80']}\n";
        let endpoint = &rendered(text, MESHLESS).spec["EndpointSpec"];
        assert_eq!(endpoint["Mode"], "dnsrr");
        assert_eq!(endpoint["Ports"][0]["PublishMode"], "host");
    }

    #[test]
    fn jobs_have_no_update_and_end() {
        let text = "services:\n  init: {image: a}\n  web: {image: a, depends_on: {init: {condition: service_completed_successfully}}}\n";
        let spec = rendered(text, MESHLESS).spec;
        assert_eq!(spec["Mode"]["ReplicatedJob"]["TotalCompletions"], 1);
        assert!(spec["UpdateConfig"].is_null());
        assert_eq!(spec["TaskTemplate"]["RestartPolicy"]["Condition"], "on-failure");
        let global = "services:\n  web: {image: a, deploy: {mode: global-job}}\n";
        assert_eq!(rendered(global, MESHLESS).spec["Mode"], json!({ "GlobalJob": {} }));
    }

    #[test]
    fn scaling_leaves_the_tasks_as_they_are() {
        let one = rendered("services:\n  web: {image: a}\n", MESHLESS);
        let two = rendered("services:\n  web: {image: a, deploy: {replicas: 2}}\n", MESHLESS);
        let other = rendered("services:\n  web: {image: b}\n", MESHLESS);
        assert_eq!(one.task_digest, two.task_digest);
        assert_ne!(one.digest, two.digest);
        assert_ne!(one.task_digest, other.task_digest);
    }

    #[test]
    fn other_content_has_another_name_of_at_most_64() {
        let (one, two) = (blob_name("shop_key", b"1"), blob_name("shop_key", b"2"));
        assert_ne!(one, two);
        assert_eq!(blob_name("shop_key", b"1"), one);
        assert_eq!(blob_name(&"x".repeat(100), b"1").len(), LONGEST_NAME);
    }
}
