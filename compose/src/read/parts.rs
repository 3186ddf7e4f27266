//! The parts of a service that have a shape of their own.

use indexmap::IndexMap;

use super::{Reader, join};
use crate::{
    Constraint, Dependency, DependencyCondition, EndpointMode, FailureAction, FileMount,
    Healthcheck, Logging, Mount, MountKind, NetworkAttachment, Port, PublishMode, Resources,
    Service, Ulimit, UpdateConfig,
    yaml::{Node, Value},
};

/// The most ports that one range may have.
const WIDEST_RANGE: u16 = 1000;

impl Reader<'_> {
    pub(super) fn port(&mut self, node: &Node, path: &str) -> Vec<Port> {
        if let Value::Map(_) = node.value {
            return self.long_port(node, path).into_iter().collect();
        }
        let Some(text) = self.text(node, path) else { return Vec::new() };
        short_port(&text).unwrap_or_else(|| {
            let message = format!(
                "`{text}` is not a port: write [[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]; ranges have the same length on both sides."
            );
            self.error(node, path, "bad_port", message);
            Vec::new()
        })
    }

    fn long_port(&mut self, node: &Node, path: &str) -> Option<Port> {
        let (mut host_ip, mut published, mut target) = (None, None, None);
        let mut protocol = "tcp".to_owned();
        let mut mode = None;
        for (key, node) in self.map(node, path) {
            let path = join(path, &key.text);
            match key.text.as_str() {
                "target" => target = self.number(node, &path),
                "published" => published = self.number(node, &path),
                "host_ip" => host_ip = self.text(node, &path),
                "protocol" => protocol = self.text(node, &path).unwrap_or(protocol),
                "mode" => {
                    mode = self.parsed(node, &path, "`ingress` or `host`", |text| match text {
                        "ingress" => Some(PublishMode::Ingress),
                        "host" => Some(PublishMode::Host),
                        _ => None,
                    });
                }
                "name" | "app_protocol" => {}
                _ => self.unknown(
                    key,
                    &path,
                    &["target", "published", "host_ip", "protocol", "mode"],
                ),
            }
        }
        if target.is_none() {
            self.error(node, path, "missing", "`target` is missing here.");
        }
        Some(Port { host_ip, published, target: target?, protocol, mode })
    }

    pub(super) fn mount(&mut self, node: &Node, path: &str) -> Option<Mount> {
        if let Value::Map(_) = node.value {
            return self.long_mount(node, path);
        }
        let text = self.text(node, path)?;
        let mut parts = text.split(':');
        let (first, second, options) = (parts.next()?, parts.next(), parts.next());
        let mut mount = Mount {
            line: node.line,
            kind: MountKind::Volume,
            source: None,
            target: second.unwrap_or(first).to_owned(),
            read_only: false,
            nocopy: false,
            propagation: None,
            tmpfs_size: None,
        };
        if second.is_some() {
            mount.source = Some(first.to_owned());
            if first.starts_with(['/', '.', '~']) {
                mount.kind = MountKind::Bind;
            }
        }
        for option in options.unwrap_or_default().split(',').filter(|option| !option.is_empty()) {
            match option {
                "ro" => mount.read_only = true,
                "rw" => {}
                "nocopy" => mount.nocopy = true,
                "z" | "Z" | "cached" | "delegated" | "consistent" => {}
                "shared" | "rshared" | "slave" | "rslave" | "private" | "rprivate" => {
                    mount.propagation = Some(option.to_owned());
                }
                _ => self.error(
                    node,
                    path,
                    "bad_value",
                    format!("There is no option `{option}` for a mount."),
                ),
            }
        }
        self.check_mount(node, path, mount)
    }

    fn long_mount(&mut self, node: &Node, path: &str) -> Option<Mount> {
        let mut mount = Mount {
            line: node.line,
            kind: MountKind::Volume,
            source: None,
            target: String::new(),
            read_only: false,
            nocopy: false,
            propagation: None,
            tmpfs_size: None,
        };
        let known = ["type", "source", "target", "read_only", "bind", "volume", "tmpfs"];
        for (key, node) in self.map(node, path) {
            let path = join(path, &key.text);
            match key.text.as_str() {
                "type" => match self.text(node, &path).as_deref() {
                    Some("volume") => mount.kind = MountKind::Volume,
                    Some("bind") => mount.kind = MountKind::Bind,
                    Some("tmpfs") => mount.kind = MountKind::Tmpfs,
                    _ => self.unsupported(
                        key,
                        &path,
                        "Only `volume`, `bind` and `tmpfs` are supported.",
                    ),
                },
                "source" | "src" => mount.source = self.text(node, &path),
                "target" | "dst" | "destination" => {
                    mount.target = self.text(node, &path).unwrap_or_default()
                }
                "read_only" | "readonly" => mount.read_only = self.bool(node, &path),
                "consistency" => {}
                "bind" | "volume" | "tmpfs" => {
                    for (option, node) in self.map(node, &path) {
                        let path = join(&path, &option.text);
                        match (key.text.as_str(), option.text.as_str()) {
                            ("bind", "propagation") => mount.propagation = self.text(node, &path),
                            ("bind", "create_host_path" | "selinux") => {}
                            ("volume", "nocopy") => mount.nocopy = self.bool(node, &path),
                            ("tmpfs", "size") => mount.tmpfs_size = self.bytes(node, &path),
                            _ => self.unsupported(option, &path, "This option is not supported."),
                        }
                    }
                }
                _ => self.unknown(key, &path, &known),
            }
        }
        self.check_mount(node, path, mount)
    }

    fn check_mount(&mut self, node: &Node, path: &str, mount: Mount) -> Option<Mount> {
        if !mount.target.starts_with('/') {
            self.error(node, path, "bad_mount", "The path in the container must begin with `/`.");
            return None;
        }
        if mount.kind == MountKind::Bind
            && !mount.source.as_deref().is_some_and(|s| s.starts_with('/'))
        {
            self.error(
                node,
                path,
                "bad_mount",
                "A path on the host must begin with `/`: there is no folder beside this text. For data use a named volume.",
            );
            return None;
        }
        Some(mount)
    }

    pub(super) fn attachments(
        &mut self,
        node: &Node,
        path: &str,
    ) -> IndexMap<String, NetworkAttachment> {
        let mut all = IndexMap::new();
        let Value::Map(entries) = &node.value else {
            return self
                .texts(node, path)
                .into_iter()
                .map(|name| (name, Default::default()))
                .collect();
        };
        for (name, node) in entries {
            let mut attachment = NetworkAttachment::default();
            let path = join(path, &name.text);
            for (key, node) in self.map(node, &path) {
                let path = join(&path, &key.text);
                match key.text.as_str() {
                    "aliases" => attachment.aliases = self.texts(node, &path),
                    "ipv4_address" => attachment.ipv4_address = self.text(node, &path),
                    "ipv6_address" => attachment.ipv6_address = self.text(node, &path),
                    _ => self.unsupported(
                        key,
                        &path,
                        "Only `aliases`, `ipv4_address` and `ipv6_address` are supported here.",
                    ),
                }
            }
            all.insert(name.text.clone(), attachment);
        }
        all
    }

    pub(super) fn depends_on(&mut self, node: &Node, path: &str) -> IndexMap<String, Dependency> {
        let plain =
            Dependency { condition: DependencyCondition::Started, restart: false, required: true };
        let Value::Map(entries) = &node.value else {
            return self.texts(node, path).into_iter().map(|name| (name, plain)).collect();
        };
        let mut all = IndexMap::new();
        for (name, node) in entries {
            let mut dependency = plain;
            let path = join(path, &name.text);
            for (key, node) in self.map(node, &path) {
                let path = join(&path, &key.text);
                match key.text.as_str() {
                    "condition" => {
                        let what = "`service_started`, `service_healthy` or `service_completed_successfully`";
                        dependency.condition = self
                            .parsed(node, &path, what, |text| match text {
                                "service_started" => Some(DependencyCondition::Started),
                                "service_healthy" => Some(DependencyCondition::Healthy),
                                "service_completed_successfully" => {
                                    Some(DependencyCondition::Completed)
                                }
                                _ => None,
                            })
                            .unwrap_or(dependency.condition);
                    }
                    "restart" => dependency.restart = self.bool(node, &path),
                    "required" => dependency.required = self.bool(node, &path),
                    _ => self.unknown(key, &path, &["condition", "restart", "required"]),
                }
            }
            all.insert(name.text.clone(), dependency);
        }
        all
    }

    pub(super) fn healthcheck(&mut self, node: &Node, path: &str) -> Healthcheck {
        let mut check = Healthcheck::default();
        let known =
            ["test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"];
        for (key, node) in self.map(node, path) {
            let path = join(path, &key.text);
            match key.text.as_str() {
                "test" => match &node.value {
                    Value::List(_) => {
                        let test = self.texts(node, &path);
                        if !matches!(
                            test.first().map(String::as_str),
                            Some("NONE" | "CMD" | "CMD-SHELL")
                        ) {
                            self.error(
                                node,
                                &path,
                                "bad_value",
                                "The list begins with `NONE`, `CMD` or `CMD-SHELL`.",
                            );
                        }
                        check.test = Some(test);
                    }
                    _ => {
                        check.test =
                            self.text(node, &path).map(|text| vec!["CMD-SHELL".into(), text])
                    }
                },
                "interval" => check.interval_ms = self.duration(node, &path),
                "timeout" => check.timeout_ms = self.duration(node, &path),
                "start_period" => check.start_period_ms = self.duration(node, &path),
                "retries" => check.retries = self.number(node, &path),
                // Engines before 25 do not know it, and it only makes the start quicker to notice.
                "start_interval" => {}
                "disable" => {
                    if self.bool(node, &path) {
                        check.test = Some(vec!["NONE".into()]);
                    }
                }
                _ => self.unknown(key, &path, &known),
            }
        }
        check
    }

    pub(super) fn deploy(&mut self, s: &mut Service, node: &Node, path: &str) {
        let known = [
            "mode",
            "replicas",
            "resources",
            "placement",
            "update_config",
            "rollback_config",
            "restart_policy",
            "labels",
            "endpoint_mode",
        ];
        for (key, node) in self.map(node, path) {
            let path = join(path, &key.text);
            match key.text.as_str() {
                "mode" => match self.text(node, &path).as_deref() {
                    Some("replicated") => {}
                    Some("global") => s.deploy.global = true,
                    Some("replicated-job") => s.deploy.job = true,
                    Some("global-job") => {
                        s.deploy.job = true;
                        s.deploy.global = true;
                    }
                    _ => self.error(
                        node,
                        &path,
                        "bad_value",
                        "`replicated`, `global`, `replicated-job` or `global-job`.",
                    ),
                },
                "replicas" => {
                    s.deploy.replicas = self
                        .parsed(node, &path, "a number from 0 to 1,000", |text| {
                            text.parse().ok().filter(|n| *n <= 1000)
                        })
                        .unwrap_or(1);
                }
                "resources" => self.resources(s, node, &path),
                "placement" => self.placement(s, node, &path),
                "update_config" => s.deploy.update = self.update_config(node, &path),
                "rollback_config" => s.deploy.rollback = Some(self.update_config(node, &path)),
                "restart_policy" => self.restart_policy(s, node, &path),
                "labels" => s.deploy.labels = self.pairs(node, &path),
                "endpoint_mode" => {
                    s.deploy.endpoint_mode =
                        self.parsed(node, &path, "`vip` or `dnsrr`", |text| match text {
                            "vip" => Some(EndpointMode::Vip),
                            "dnsrr" => Some(EndpointMode::Dnsrr),
                            _ => None,
                        });
                }
                _ => self.unknown(key, &path, &known),
            }
        }
    }

    fn restart_policy(&mut self, s: &mut Service, node: &Node, path: &str) {
        let mut most = 0;
        let mut condition = "any".to_owned();
        for (key, node) in self.map(node, path) {
            let path = join(path, &key.text);
            match key.text.as_str() {
                "condition" => condition = self.text(node, &path).unwrap_or(condition),
                "max_attempts" => most = self.number(node, &path).unwrap_or(0),
                "delay" => s.deploy.restart.delay_ms = self.duration(node, &path),
                "window" => s.deploy.restart.window_ms = self.duration(node, &path),
                _ => self.unknown(key, &path, &["condition", "max_attempts", "delay", "window"]),
            }
        }
        s.restart = match condition.as_str() {
            "none" => Some(crate::Restart::No),
            "on-failure" => Some(crate::Restart::OnFailure(most)),
            "any" => Some(crate::Restart::Always),
            _ => {
                self.error(
                    node,
                    path,
                    "bad_value",
                    "`condition` is `none`, `on-failure` or `any`.",
                );
                None
            }
        };
    }

    pub(super) fn nano_cpus(&mut self, node: &Node, path: &str) -> Option<i64> {
        self.parsed(node, path, "a number of cores such as `0.5`", |text| {
            let cores: f64 = text.parse().ok()?;
            (cores > 0.0 && cores <= 100_000.0).then_some((cores * 1e9) as i64)
        })
    }

    fn resources(&mut self, s: &mut Service, node: &Node, path: &str) {
        for (key, node) in self.map(node, path) {
            let path = join(path, &key.text);
            let target = match key.text.as_str() {
                "limits" => &mut s.deploy.limits,
                "reservations" => &mut s.deploy.reservations,
                _ => {
                    self.unknown(key, &path, &["limits", "reservations"]);
                    continue;
                }
            };
            let mut resources = Resources::default();
            for (key, node) in self.map(node, &path) {
                let path = join(&path, &key.text);
                match key.text.as_str() {
                    "cpus" => resources.nano_cpus = self.nano_cpus(node, &path),
                    "memory" => resources.memory = self.bytes(node, &path),
                    "pids" => resources.pids = self.number(node, &path),
                    "devices" => {
                        self.unsupported(key, &path, "Devices cannot be reserved: use `devices`.");
                    }
                    "generic_resources" => resources.generic = self.generic(node, &path),
                    _ => self.unknown(key, &path, &["cpus", "memory", "pids"]),
                }
            }
            *target = resources;
        }
    }

    /// `[{discrete_resource_spec: {kind: gpu, value: 2}}]`
    fn generic(&mut self, node: &Node, path: &str) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for item in self.list(node, path) {
            let spec = item.get("discrete_resource_spec");
            let mut part = |key: &str| {
                spec.and_then(|spec| spec.get(key)).and_then(|node| self.text(node, path))
            };
            match part("kind").zip(part("value")) {
                Some(resource) => all.push(resource),
                None => {
                    let message = "Write `- discrete_resource_spec: {kind: gpu, value: 2}`.";
                    self.error(item, path, "bad_value", message);
                }
            }
        }
        all
    }

    fn placement(&mut self, s: &mut Service, node: &Node, path: &str) {
        for (key, node) in self.map(node, path) {
            let path = join(path, &key.text);
            match key.text.as_str() {
                "constraints" => {
                    for item in self.list(node, &path) {
                        let what = "a constraint such as `node.labels.disk == ssd`";
                        let constraint = self.parsed(item, &path, what, constraint);
                        s.deploy.constraints.extend(constraint);
                    }
                }
                "preferences" => {
                    for item in self.list(node, &path) {
                        let spread = item.get("spread").and_then(|node| self.text(node, &path));
                        match spread {
                            Some(label) => s.deploy.spread.push(label),
                            None => self.error(
                                item,
                                &path,
                                "bad_value",
                                "A preference is `spread: node.labels.KEY`.",
                            ),
                        }
                    }
                }
                "max_replicas_per_node" => {
                    s.deploy.max_replicas_per_node = self.number(node, &path).unwrap_or(0);
                }
                _ => self.unknown(
                    key,
                    &path,
                    &["constraints", "preferences", "max_replicas_per_node"],
                ),
            }
        }
    }

    fn update_config(&mut self, node: &Node, path: &str) -> UpdateConfig {
        let mut config = UpdateConfig::default();
        let known =
            ["parallelism", "delay", "order", "failure_action", "monitor", "max_failure_ratio"];
        for (key, node) in self.map(node, path) {
            let path = join(path, &key.text);
            match key.text.as_str() {
                "parallelism" => config.parallelism = self.number(node, &path).unwrap_or(1),
                "delay" => config.delay_ms = self.duration(node, &path).unwrap_or(0),
                "order" => {
                    let what = "`start-first` or `stop-first`";
                    config.start_first = self
                        .parsed(node, &path, what, |text| match text {
                            "start-first" => Some(true),
                            "stop-first" => Some(false),
                            _ => None,
                        })
                        .unwrap_or(false);
                }
                "failure_action" => {
                    let what = "`pause`, `continue` or `rollback`";
                    config.failure_action = self
                        .parsed(node, &path, what, |text| match text {
                            "pause" => Some(FailureAction::Pause),
                            "continue" => Some(FailureAction::Continue),
                            "rollback" => Some(FailureAction::Rollback),
                            _ => None,
                        })
                        .unwrap_or_default();
                }
                "monitor" => config.monitor_ms = self.duration(node, &path).unwrap_or(5000),
                "max_failure_ratio" => {
                    config.max_failure_ratio = self.number(node, &path).unwrap_or(0.0)
                }
                _ => self.unknown(key, &path, &known),
            }
        }
        config
    }

    pub(super) fn file_mounts(&mut self, node: &Node, path: &str, folder: &str) -> Vec<FileMount> {
        let mut all = Vec::new();
        for item in self.list(node, path) {
            let mut mount = FileMount {
                source: String::new(),
                target: String::new(),
                uid: None,
                gid: None,
                mode: None,
            };
            if let Value::Map(entries) = &item.value {
                for (key, node) in entries {
                    let path = join(path, &key.text);
                    match key.text.as_str() {
                        "source" => mount.source = self.text(node, &path).unwrap_or_default(),
                        "target" => mount.target = self.text(node, &path).unwrap_or_default(),
                        "uid" => mount.uid = self.text(node, &path),
                        "gid" => mount.gid = self.text(node, &path),
                        "mode" => {
                            mount.mode =
                                self.parsed(node, &path, "a mode such as `0444`", |text| {
                                    u32::from_str_radix(text.trim_start_matches("0o"), 8).ok()
                                });
                        }
                        _ => self.unknown(key, &path, &["source", "target", "uid", "gid", "mode"]),
                    }
                }
            } else {
                mount.source = self.text(item, path).unwrap_or_default();
            }
            if mount.target.is_empty() {
                mount.target = mount.source.clone();
            }
            if !mount.target.starts_with('/') {
                mount.target = format!("{folder}{}", mount.target);
            }
            all.push(mount);
        }
        all
    }

    pub(super) fn extra_hosts(&mut self, node: &Node, path: &str) -> Vec<(String, String)> {
        let mut hosts = Vec::new();
        if let Value::Map(entries) = &node.value {
            for (name, node) in entries {
                for address in self.text_or_texts(node, path) {
                    hosts.push((name.text.clone(), address));
                }
            }
            return hosts;
        }
        for item in self.list(node, path) {
            let Some(text) = self.text(item, path) else { continue };
            match text.split_once('=').or_else(|| text.split_once(':')) {
                Some((name, address)) => hosts.push((name.trim().into(), address.trim().into())),
                None => self.error(item, path, "bad_value", "Write HOST=ADDRESS."),
            }
        }
        hosts
    }

    pub(super) fn ulimits(&mut self, node: &Node, path: &str) -> IndexMap<String, Ulimit> {
        let mut limits = IndexMap::new();
        for (name, node) in self.map(node, path) {
            let path = join(path, &name.text);
            let limit = match &node.value {
                Value::Map(_) => {
                    let mut number = |key: &str| {
                        node.get(key).and_then(|node| self.number::<i64>(node, &join(&path, key)))
                    };
                    number("soft").zip(number("hard")).map(|(soft, hard)| Ulimit { soft, hard })
                }
                _ => self.number(node, &path).map(|both| Ulimit { soft: both, hard: both }),
            };
            match limit {
                Some(limit) => {
                    limits.insert(name.text.clone(), limit);
                }
                None => {
                    self.error(node, &path, "bad_value", "Give a number, or `soft` and `hard`.")
                }
            }
        }
        limits
    }

    pub(super) fn logging(&mut self, node: &Node, path: &str) -> Logging {
        let mut logging = Logging { driver: None, options: IndexMap::new() };
        for (key, node) in self.map(node, path) {
            let path = join(path, &key.text);
            match key.text.as_str() {
                "driver" => logging.driver = self.text(node, &path),
                "options" => logging.options = self.pairs(node, &path),
                _ => self.unknown(key, &path, &["driver", "options"]),
            }
        }
        logging
    }
}

fn constraint(text: &str) -> Option<Constraint> {
    let (key, value, equal) = match text.split_once("==") {
        Some((key, value)) => (key, value, true),
        None => text.split_once("!=").map(|(key, value)| (key, value, false))?,
    };
    let (key, value) = (key.trim(), value.trim());
    let known = ["node.hostname", "node.id", "node.role", "node.platform.os", "node.platform.arch"];
    (known.contains(&key) || key.starts_with("node.labels.") || key.starts_with("engine.labels."))
        .then(|| Constraint { key: key.to_owned(), equal, value: value.to_owned() })
}

/// `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`, with ranges `N-M`.
fn short_port(text: &str) -> Option<Vec<Port>> {
    let (rest, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if !["tcp", "udp", "sctp"].contains(&protocol) {
        return None;
    }
    let (rest, target) = rest.rsplit_once(':').map_or(("", rest), |(rest, target)| (rest, target));
    let target = range(target)?;
    let (host_ip, published) = match rest.rsplit_once(':') {
        Some((address, port)) => (Some(address.trim_matches(['[', ']']).to_owned()), port),
        None => (None, rest),
    };
    let port = |published, target| Port {
        host_ip: host_ip.clone(),
        published,
        target,
        protocol: protocol.to_owned(),
        mode: None,
    };
    if published.is_empty() {
        return Some(target.map(|target| port(None, target)).collect());
    }
    let published = range(published)?;
    if published.clone().count() != target.clone().count() {
        return None;
    }
    Some(published.zip(target).map(|(published, target)| port(Some(published), target)).collect())
}

fn range(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last && last - first < WIDEST_RANGE).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_short_ports() {
        let one = |text: &str| {
            short_port(text).map(|ports| {
                ports
                    .iter()
                    .map(|p| {
                        format!(
                            "{}:{}:{}/{}",
                            p.host_ip.as_deref().unwrap_or(""),
                            p.published.map_or(String::new(), |p| p.to_string()),
                            p.target,
                            p.protocol
                        )
                    })
                    .collect::<Vec<_>>()
                    .join(" ")
            })
        };
        for (text, expected) in [
            ("80", Some("::80/tcp")),
            ("8080:80", Some(":8080:80/tcp")),
            ("127.0.0.1:8080:80/udp", Some("127.0.0.1:8080:80/udp")),
            ("[::1]:8080:80", Some("::1:8080:80/tcp")),
            ("9000-9001:80-81", Some(":9000:80/tcp :9001:81/tcp")),
            ("9000-9002:80-81", None),
            ("0:80", None),
            ("80/icmp", None),
            ("99999", None),
            ("web", None),
        ] {
            assert_eq!(one(text).as_deref(), expected, "{text}");
        }
    }
}
