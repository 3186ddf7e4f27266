//! A service.

use super::{Reader, join};
use crate::{
    PullPolicy, Restart, Service, scheduling,
    yaml::{Key, Node},
};

/// What a service may have, for hints.
const KEYS: [&str; 67] = [
    "annotations",
    "blkio_config",
    "build",
    "cap_add",
    "cap_drop",
    "cgroup",
    "cgroup_parent",
    "command",
    "configs",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_shares",
    "cpus",
    "cpuset",
    "credential_spec",
    "depends_on",
    "deploy",
    "develop",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extends",
    "external_links",
    "extra_hosts",
    "group_add",
    "health_check",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "ipc",
    "labels",
    "links",
    "logging",
    "mem_limit",
    "mem_reservation",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "ports",
    "privileged",
    "profiles",
    "pull_policy",
    "read_only",
    "restart",
    "runtime",
    "scale",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "sysctls",
    "tmpfs",
];

/// What is right by the specification but not supported, and what to do instead.
const UNSUPPORTED: [(&str, &str); 17] = [
    (
        "build",
        "Drover runs images and does not build them: push the image to a registry and name it with `image`.",
    ),
    ("extends", "Paste what it extends here, or use YAML anchors."),
    ("develop", "It is for development on one's own machine."),
    ("container_name", "Drover names containers itself, so that they can be scaled."),
    ("external_links", "Put both stacks into one external network."),
    ("links", "Services reach each other by name without it; use `depends_on` for the order."),
    ("volumes_from", "Name the volumes in both services."),
    ("profiles", "Use `x-drover-when` with a condition on a variable."),
    ("blkio_config", "Drover does not set block I/O limits."),
    ("credential_spec", "It is for Windows."),
    ("device_cgroup_rules", "Use `devices`."),
    ("gpus", "Use the engine's `runtime`."),
    ("cpuset", "Use `deploy.resources.limits.cpus`."),
    ("cpu_shares", "Use `deploy.resources.limits.cpus`."),
    ("annotations", "Use `labels`."),
    ("mac_address", "The engine gives addresses."),
    ("provider", "Drover runs containers only."),
];

impl Reader<'_> {
    pub(super) fn service(&mut self, name: &Key, node: &Node, path: &str) -> Service {
        let mut service = Service { line: name.line, ..Service::default() };
        for (key, node) in self.map(node, path) {
            let path = join(path, &key.text);
            if !node.is_null() || key.text == "environment" {
                self.service_key(&mut service, key, node, &path);
            }
        }
        if service.image.is_empty() && node.get("build").is_none() {
            self.error(node, &join(path, "image"), "missing", "A service needs an `image`.");
        }
        if service.network_mode.is_some() && !service.networks.is_empty() {
            let at = node.get("network_mode").unwrap_or(node);
            let message = "A service has `networks` or a `network_mode`, not both.";
            self.error(at, &join(path, "network_mode"), "conflict", message);
        }
        if service.network_mode.is_none() && service.networks.is_empty() {
            service.networks.insert("default".into(), Default::default());
        }
        for (name, value) in service.labels.iter().chain(&service.deploy.labels) {
            if let Some(Err(message)) = scheduling::affinity(name, value) {
                let at = node.get("labels").unwrap_or(node);
                self.error(at, &join(path, "labels"), "bad_affinity", message);
            }
        }
        service.deploy.global |= service.is_global_by_label();
        if service.deploy.replicas > 1
            && let Some(port) = service.ports.iter().find(|port| port.published.is_some())
        {
            let at = node.get("ports").unwrap_or(node);
            let message = format!(
                "Port {} can be published once on each host: with {} containers there must be as many hosts.",
                port.published.unwrap_or_default(),
                service.deploy.replicas
            );
            self.tell(
                crate::Severity::Warning,
                (at.line, at.column),
                &join(path, "ports"),
                "port_and_scale",
                message,
            );
        }
        service
    }

    fn service_key(&mut self, s: &mut Service, key: &Key, node: &Node, path: &str) {
        match key.text.as_str() {
            "image" => s.image = self.text(node, path).unwrap_or_default(),
            "pull_policy" => {
                s.pull_policy =
                    self.parsed(node, path, "`always`, `missing` or `never`", pull_policy)
            }
            "command" => s.command = self.words(node, path),
            "entrypoint" => s.entrypoint = self.words(node, path),
            "environment" => self.environment(s, node, path),
            "env_file" => self.env_file(s, key, node, path),
            "ports" => {
                for item in self.list(node, path) {
                    let ports = self.port(item, path);
                    s.ports.extend(ports);
                }
            }
            "expose" => s.expose = self.texts(node, path),
            "volumes" => {
                for item in self.list(node, path) {
                    let mount = self.mount(item, path);
                    s.volumes.extend(mount);
                }
            }
            "networks" => s.networks = self.attachments(node, path),
            "network_mode" => s.network_mode = self.text(node, path),
            "depends_on" => s.depends_on = self.depends_on(node, path),
            "healthcheck" => s.healthcheck = Some(self.healthcheck(node, path)),
            "x-drover-health" => s.health = self.health(node, path),
            "x-drover-ingress" => s.ingress = self.ingress(node, path),
            // As it stands in a rancher-compose text.
            "health_check" => s.health = self.rancher_health(node, path),
            "restart" => {
                s.restart = self.parsed(
                    node,
                    path,
                    "`no`, `always`, `on-failure[:N]` or `unless-stopped`",
                    restart,
                );
            }
            "labels" => s.labels = self.pairs(node, path),
            "deploy" => self.deploy(s, node, path),
            "scale" => s.deploy.replicas = self.number(node, path).unwrap_or(1),
            "cpus" => s.deploy.limits.nano_cpus = self.nano_cpus(node, path),
            "mem_limit" => s.deploy.limits.memory = self.bytes(node, path),
            "mem_reservation" => s.deploy.reservations.memory = self.bytes(node, path),
            "pids_limit" => s.deploy.limits.pids = self.number(node, path),
            "secrets" => s.secrets = self.file_mounts(node, path, "/run/secrets/"),
            "configs" => s.configs = self.file_mounts(node, path, "/"),
            "extra_hosts" => s.extra_hosts = self.extra_hosts(node, path),
            "ulimits" => s.ulimits = self.ulimits(node, path),
            "cap_add" => s.cap_add = self.texts(node, path),
            "cap_drop" => s.cap_drop = self.texts(node, path),
            "privileged" => s.privileged = self.bool(node, path),
            "devices" => s.devices = self.texts(node, path),
            "security_opt" => s.security_opt = self.texts(node, path),
            "user" => s.user = self.text(node, path),
            "group_add" => s.group_add = self.texts(node, path),
            "userns_mode" => s.userns_mode = self.text(node, path),
            "ipc" => s.ipc = self.text(node, path),
            "pid" => s.pid = self.text(node, path),
            "uts" => s.uts = self.text(node, path),
            "cgroup" => s.cgroup = self.text(node, path),
            "cgroup_parent" => s.cgroup_parent = self.text(node, path),
            "sysctls" => s.sysctls = self.pairs(node, path),
            "working_dir" => s.working_dir = self.text(node, path),
            "tmpfs" => s.tmpfs = self.text_or_texts(node, path),
            "shm_size" => s.shm_size = self.bytes(node, path),
            "logging" => s.logging = Some(self.logging(node, path)),
            "stop_signal" => s.stop_signal = self.text(node, path),
            "stop_grace_period" => s.stop_grace_period_ms = self.duration(node, path),
            "hostname" => s.hostname = self.text(node, path),
            "domainname" => s.domainname = self.text(node, path),
            "dns" => s.dns = self.text_or_texts(node, path),
            "dns_search" => s.dns_search = self.text_or_texts(node, path),
            "dns_opt" => s.dns_opt = self.texts(node, path),
            "read_only" => s.read_only = self.bool(node, path),
            "tty" => s.tty = self.bool(node, path),
            "stdin_open" => s.stdin_open = self.bool(node, path),
            "init" => s.init = Some(self.bool(node, path)),
            "platform" => s.platform = self.text(node, path),
            "runtime" => s.runtime = self.text(node, path),
            "oom_kill_disable" => s.oom_kill_disable = self.bool(node, path),
            "oom_score_adj" => s.oom_score_adj = self.number(node, path),
            other => match UNSUPPORTED.iter().find(|(name, _)| *name == other) {
                Some((name, instead)) => {
                    self.unsupported(key, path, format!("`{name}` is not supported. {instead}"));
                }
                None => self.unknown(key, path, &KEYS),
            },
        }
    }

    fn environment(&mut self, s: &mut Service, node: &Node, path: &str) {
        for (name, value) in self.optional_pairs(node, path) {
            // A name without a value takes the variable's; without one it stays unset.
            match value.or_else(|| self.variables.get(&name)) {
                Some(value) => {
                    s.environment.insert(name, value);
                }
                None => {
                    s.environment.shift_remove(&name);
                }
            }
        }
    }

    /// Files beside the text are not there on the server, but their content may stand inline:
    /// `env_file: [{content: |…}]`.
    fn env_file(&mut self, s: &mut Service, key: &Key, node: &Node, path: &str) {
        let items = match &node.value {
            crate::yaml::Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        for item in items {
            let Some(content) = item.get("content").and_then(|node| self.text(node, path)) else {
                self.unsupported(
                    key,
                    path,
                    "Files beside the text are not there on the server: give the content inline (`env_file: [{content: \"KEY=value\"}]`) or use `environment`.",
                );
                continue;
            };
            for line in content.lines().map(str::trim) {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                let name = name.trim_start_matches("export ").trim().to_owned();
                let value = value.trim().trim_matches(['"', '\'']).to_owned();
                // `environment` wins, wherever it stands.
                s.environment.entry(name).or_insert(value);
            }
        }
    }
}

fn pull_policy(text: &str) -> Option<PullPolicy> {
    match text {
        "always" => Some(PullPolicy::Always),
        "missing" | "if_not_present" => Some(PullPolicy::Missing),
        "never" => Some(PullPolicy::Never),
        _ => None,
    }
}

fn restart(text: &str) -> Option<Restart> {
    match text.split_once(':').unwrap_or((text, "0")) {
        ("no" | "false", _) => Some(Restart::No),
        ("always", _) => Some(Restart::Always),
        ("unless-stopped", _) => Some(Restart::UnlessStopped),
        ("on-failure", most) => most.parse().ok().map(Restart::OnFailure),
        _ => None,
    }
}
