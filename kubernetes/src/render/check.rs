//! What of a project a cluster does not take, or takes otherwise than one may think. Pure.

use drover_compose::{
    AffinityKind, Diagnostic, MountKind, Project, PublishMode, Restart, Service, Severity,
};

use super::{Kind, kind, names, network, placing, pod_of, pods, storage};

/// What is refused, and what is other than one may think.
pub fn check(project: &Project) -> Vec<Diagnostic> {
    if !project.manifests.is_empty() {
        return manifests(project);
    }
    let mut found = Vec::new();
    for (name, service) in &project.services {
        let mut add = |severity, key: &str, message: String| {
            let path = match key {
                "" => format!("services.{name}"),
                key => format!("services.{name}.{key}"),
            };
            found.push(diagnostic(severity, service.line, path, message));
        };
        refused(project, name, service, &mut |key, message| {
            add(Severity::Unsupported, key, message);
        });
        warned(project, name, service, &mut |key, message| add(Severity::Warning, key, message));
    }
    for (name, volume) in &project.volumes {
        let mut add = |severity, key: &str, message: String| {
            let path = format!("volumes.{name}.{key}");
            found.push(diagnostic(severity, volume.line, path, message));
        };
        if let Some((key, message)) = storage::wrong_label(volume) {
            add(Severity::Unsupported, key, message);
        }
        if volume.external {
            continue;
        }
        if volume.driver.as_deref().is_some_and(|driver| driver != "local") {
            let message = "A cluster has no volume drivers of Docker: name a storage class by the label `io.drover.kubernetes.storage-class`.";
            add(Severity::Unsupported, "driver", message.into());
        }
        if volume.driver_opts.keys().any(|key| key != "size") {
            let message = "Of driver options a cluster knows only `size`: use a storage class.";
            add(Severity::Unsupported, "driver_opts", message.into());
        }
    }
    for (name, network) in &project.networks {
        let mut add = |key: &str, message: &str| {
            let path = format!("networks.{name}.{key}");
            found.push(diagnostic(Severity::Warning, network.line, path, message.into()));
        };
        if network.internal {
            add(
                "internal",
                "A cluster's pods all reach each other and the world: close this by a NetworkPolicy.",
            );
        }
        if network.external {
            add(
                "external",
                "A cluster has one network for all: services of another stack are reached as `SERVICE.STACK-net`.",
            );
        }
    }
    found
}

fn diagnostic(severity: Severity, line: u32, path: String, message: String) -> Diagnostic {
    Diagnostic { severity, line, column: 1, path, code: "not_in_kubernetes".into(), message }
}

/// The cluster itself judges manifests; only what Drover would do otherwise is said here.
fn manifests(project: &Project) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for manifest in &project.manifests {
        let kind = manifest.object["kind"].as_str().unwrap_or_default();
        if manifest.service.as_deref().is_some_and(|service| !names::is_label_value(service)) {
            let message = "The name of a workload of a stack has at most 63 characters.".to_owned();
            let severity = Severity::Unsupported;
            found.push(diagnostic(severity, manifest.line, "metadata.name".into(), message));
        }
        if kind == "Namespace" {
            let message = "Namespaces are made in the environment, not by a stack.".to_owned();
            found.push(diagnostic(Severity::Unsupported, manifest.line, "kind".into(), message));
        }
    }
    found
}

/// What a service would not work without, or would be less safe without.
fn refused(project: &Project, name: &str, service: &Service, add: &mut dyn FnMut(&str, String)) {
    let is_set = [
        ("devices", !service.devices.is_empty()),
        ("uts", service.uts.is_some()),
        ("userns_mode", service.userns_mode.as_deref().is_some_and(|mode| mode != "host")),
        ("cgroup", service.cgroup.as_deref().is_some_and(|mode| mode != "private")),
        ("cgroup_parent", service.cgroup_parent.is_some()),
        ("pid", service.pid.as_deref().is_some_and(|mode| mode != "host")),
        (
            "ipc",
            service
                .ipc
                .as_deref()
                .is_some_and(|mode| !matches!(mode, "host" | "private" | "shareable")),
        ),
    ];
    for (key, _) in is_set.iter().filter(|(_, set)| *set) {
        add(
            key,
            format!(
                "Kubernetes has no such `{key}`. Write manifests for what it has instead, or run this where Drover's own engine does."
            ),
        );
    }
    match service.network_mode.as_deref() {
        None | Some("host" | "bridge") => {}
        Some(mode) if mode.starts_with("service:") => {}
        Some(mode) => {
            add("network_mode", format!("Kubernetes has no `network_mode: {mode}`."));
        }
    }
    if service.networks.values().any(|n| n.ipv4_address.is_some() || n.ipv6_address.is_some()) {
        let message = "A cluster gives addresses itself: use the service's name, or `aliases`.";
        add("networks", message.into());
    }
    let (user, group) = pods::user(service);
    if let Some(text) = &service.user {
        let wants_group = text.contains(':');
        if user.is_none() || (wants_group && group.is_none()) {
            add("user", format!("Kubernetes takes users by number, and not `{text}`."));
        }
    }
    if service.group_add.iter().any(|group| group.parse::<i64>().is_err()) {
        add("group_add", "Kubernetes takes groups by number.".into());
    }
    if let Some(option) = service.security_opt.iter().find(|option| !known_option(option)) {
        add(
            "security_opt",
            format!("Kubernetes has no option `{option}`: write manifests for it."),
        );
    }
    for (host, address) in &service.extra_hosts {
        if address.parse::<std::net::IpAddr>().is_err() {
            add("extra_hosts", format!("`{address}` for `{host}` is no address."));
        }
    }
    for rule in &service.deploy.constraints {
        let fits = rule.key == "node.role"
            || placing::node_label(rule)
                .is_some_and(|(key, value)| names::is_key(&key) && names::is_label_value(&value));
        if !fits {
            add(
                "deploy.placement.constraints",
                format!(
                    "Nodes of a cluster tell no `{}`: use `node.hostname` or `node.labels.KEY`.",
                    rule.key
                ),
            );
        }
    }
    for rule in service.affinities() {
        let fits = match rule.kind {
            AffinityKind::HostLabel => {
                names::is_key(&rule.key) && rule.value.as_deref().is_none_or(names::is_label_value)
            }
            _ => placing::container_rule("", &rule).is_some(),
        };
        if !fits {
            add(
                "labels",
                format!(
                    "The rule `{rule}` has no counterpart in a cluster: name a service, as `container: STACK/SERVICE`."
                ),
            );
        }
    }
    if service.deploy.reservations.generic.iter().any(|(kind, _)| !kind.contains('/')) {
        add(
            "deploy.resources",
            "What nodes have besides CPU and memory has a full name here, e.g. `nvidia.com/gpu`."
                .into(),
        );
    }
    if let Some(asked) = network::asked(service)
        && !["ClusterIP", "NodePort", "LoadBalancer"].contains(&asked)
    {
        add(
            "labels",
            format!(
                "`{}: {asked}` is not one of ClusterIP, NodePort, LoadBalancer.",
                network::TYPE
            ),
        );
    }
    for entry in &service.ingress {
        if network::ingress_port(service, entry).is_none() {
            add(
                "x-drover-ingress",
                "Say the container's `port` to lead to: the service has none itself.".into(),
            );
        }
    }
    if !names::is_label_value(name) {
        add("", "In a cluster, the name of a service ends with a letter or digit.".into());
    }
    let same = |(other, _): &(&String, &Service)| {
        other.as_str() != name && names::host(other) == names::host(name)
    };
    if let Some((other, _)) = project.services.iter().find(same) {
        add(
            "",
            format!(
                "`{other}` and `{name}` would have the same host name, `{}`.",
                names::host(name)
            ),
        );
    }
    in_its_pod(project, name, service, add);
    let made = kind(project, name, service);
    for mount in service.volumes.iter().filter(|mount| mount.kind == MountKind::Volume) {
        let volume = mount.source.as_ref().and_then(|source| project.volumes.get(source));
        let Some(volume) = volume else { continue };
        if made == Kind::DaemonSet && (storage::is_for_one_node(volume) || storage::is_each(volume))
        {
            let message = "One on each node needs a volume that all of them can have: give it the label `io.drover.kubernetes.access-mode: ReadWriteMany`.";
            add("volumes", message.into());
        }
        if made == Kind::Job && storage::is_each(volume) {
            let message =
                "The pods of a job share their volumes: leave out `io.drover.kubernetes.each`.";
            add("volumes", message.into());
        }
    }
    if service.deploy.job && service.deploy.global {
        let message =
            "Kubernetes has no job for each node: use `mode: global`, or `replicated-job`.";
        add("deploy.mode", message.into());
    }
}

/// A service whose containers run in the pods of another.
fn in_its_pod(project: &Project, name: &str, service: &Service, add: &mut dyn FnMut(&str, String)) {
    let primary = pod_of(project, name);
    if primary == name {
        return;
    }
    let ends = kind(project, name, service) == Kind::Job;
    let primary_ends = project
        .services
        .get(primary)
        .is_some_and(|service| kind(project, primary, service) == Kind::Job);
    if ends && !primary_ends {
        add(
            "",
            format!(
                "It runs in the pods of `{primary}`, where a container that ends is started again."
            ),
        );
    }
    if !service.depends_on.is_empty() {
        add(
            "depends_on",
            format!(
                "It runs in the pods of `{primary}`, whose containers start together: let `{primary}` wait."
            ),
        );
    }
}

fn known_option(option: &str) -> bool {
    !drover_compose::takeover::loosens_confinement(option)
        || matches!(
            option,
            "seccomp=unconfined"
                | "seccomp:unconfined"
                | "apparmor=unconfined"
                | "apparmor:unconfined"
        )
}

/// What is left out, or is other than on a host of Docker.
fn warned(project: &Project, name: &str, service: &Service, add: &mut dyn FnMut(&str, String)) {
    let left_out = [
        ("oom_kill_disable", service.oom_kill_disable),
        ("oom_score_adj", service.oom_score_adj.is_some()),
        ("domainname", service.domainname.is_some()),
        ("ulimits", !service.ulimits.is_empty()),
        ("init", service.init == Some(true)),
        ("logging", service.logging.is_some()),
        ("stop_signal", service.stop_signal.is_some()),
        ("deploy.resources.limits.pids", service.deploy.limits.pids.is_some()),
        ("userns_mode", service.userns_mode.as_deref() == Some("host")),
        ("deploy.placement.max_replicas_per_node", service.deploy.max_replicas_per_node > 1),
        ("deploy.update_config.max_failure_ratio", service.deploy.update.max_failure_ratio > 0.0),
    ];
    for (key, _) in left_out.iter().filter(|(_, set)| *set) {
        add(key, format!("Kubernetes has no `{key}`: it is left out."));
    }
    let host = names::host(name);
    if host != name {
        add("", format!("The others reach it as `{host}`: DNS has no other letters."));
    }
    if service.hostname.as_deref().is_some_and(|given| given != host) {
        add(
            "hostname",
            format!("The host name of its pods is `{host}`, by which the others reach it."),
        );
    }
    if service.healthcheck.as_ref().is_some_and(|check| check.test.is_none()) {
        add(
            "healthcheck",
            "A cluster does not know the image's own check: give its `test`.".into(),
        );
    }
    if let Some(http) = service.health.as_ref().and_then(|health| health.http.as_ref())
        && http.status.is_some()
    {
        add("x-drover-health", "A cluster takes every status from 200 to 399 for healthy.".into());
    }
    if matches!(service.restart, Some(Restart::OnFailure(_)))
        && kind(project, name, service) != Kind::Job
    {
        add("restart", "A container that ends well is started again here, too: use `deploy.mode: replicated-job` for what ends.".into());
    }
    if service.ports.iter().any(|port| port.mode == Some(PublishMode::Host)) {
        add("ports", "It is published by a Service, and not on the nodes that it runs on.".into());
    }
    let loopback = |ip: &str| ip.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if service.ports.iter().filter_map(|port| port.host_ip.as_deref()).any(|ip| {
        !loopback(ip) && ip.parse::<std::net::IpAddr>().is_ok_and(|ip| !ip.is_unspecified())
    }) {
        add("ports", "A cluster chooses the addresses that it publishes on.".into());
    }
    if service.volumes.iter().any(|mount| mount.kind == MountKind::Bind) {
        add("volumes", "A path of a node needs an environment whose pod security is *privileged*, and what is there differs by node.".into());
    }
    let files = service.secrets.iter().chain(&service.configs);
    if files.clone().any(|file| {
        let other = |id: &Option<String>| id.as_deref().is_some_and(|id| id != "0");
        other(&file.uid) || other(&file.gid)
    }) {
        add(
            "secrets",
            "Files of secrets and configs belong to root: let their `mode` allow others to read."
                .into(),
        );
    }
    if kind(project, name, service) == Kind::StatefulSet {
        add("volumes", "Each of its pods has volumes and a name of its own; all together are reached as `STACK-SERVICE`.".into());
    }
}
