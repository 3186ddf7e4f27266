//! The top of the text, networks, volumes, secrets and configs, and what must fit together.

use indexmap::IndexMap;

use super::{Reader, join};
use crate::{
    FileSource, Network, Project, Severity, Volume,
    yaml::{Key, Node, Value},
};

const KEYS: [&str; 7] =
    ["name", "version", "services", "networks", "volumes", "secrets", "configs"];

pub(crate) fn project(r: &mut Reader<'_>, root: &Node) -> Project {
    let mut project = Project::default();
    if !matches!(root.value, Value::Map(_)) {
        r.error(root, "", "not_a_mapping", "A Compose text is a mapping with `services:`.");
        return project;
    }
    for (key, node) in root.entries() {
        match key.text.as_str() {
            "name" => project.name = r.text(node, "name"),
            // Obsolete, and ignored by the specification.
            "version" => {}
            "services" => {
                for (name, node) in r.map(node, "services") {
                    let path = join("services", &name.text);
                    if check_name(r, name, &path) {
                        let service = r.service(name, node, &path);
                        project.services.insert(name.text.clone(), service);
                    }
                }
            }
            "networks" => project.networks = section(r, node, "networks", network),
            "volumes" => project.volumes = section(r, node, "volumes", volume),
            "secrets" => project.secrets = files(r, node, "secrets"),
            "configs" => project.configs = files(r, node, "configs"),
            "x-drover-namespace" => {
                let what = "a namespace: 1 to 63 lower-case letters, digits and `-`";
                project.namespace =
                    r.parsed(node, &key.text, what, |text| is_label(text).then(|| text.to_owned()));
            }
            "x-drover-adopt" => project.adopt = r.bool(node, &key.text),
            "include" => r.unsupported(
                key,
                "include",
                "`include` is not supported: paste the other text's services here.",
            ),
            _ => r.unknown(key, &key.text, &KEYS),
        }
    }
    if root.get("services").is_none() {
        r.error(root, "services", "no_services", "There is no `services:` here.");
    } else if project.services.is_empty() && root.get("services").is_some_and(Node::is_null) {
        r.error(root, "services", "no_services", "`services:` is empty.");
    }
    check_references(r, root, &mut project);
    check_sidekicks(r, root, &project);
    project.align_sidekicks();
    project
}

/// Whether a text is a DNS label (RFC 1123).
pub(super) fn is_label(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.starts_with(fits)
        && text.ends_with(fits)
        && text.chars().all(|c| fits(c) || c == '-')
}

fn check_name(r: &mut Reader<'_>, key: &Key, path: &str) -> bool {
    let fits = (1..=63).contains(&key.text.len())
        && key.text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && key.text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !fits {
        r.tell(
            Severity::Error,
            (key.line, key.column),
            path,
            "bad_name",
            format!("`{}` is not a name: 1 to 63 letters, digits, `.`, `_`, `-`.", key.text),
        );
    }
    fits
}

fn section<T>(
    r: &mut Reader<'_>,
    node: &Node,
    section: &str,
    read: impl Fn(&mut Reader<'_>, &Key, &Node, &str) -> T,
) -> IndexMap<String, T> {
    let mut all = IndexMap::new();
    for (name, node) in r.map(node, section) {
        let path = join(section, &name.text);
        if check_name(r, name, &path) {
            all.insert(name.text.clone(), read(r, name, node, &path));
        }
    }
    all
}

/// `external: true`, or the older `external: {name: …}`.
fn external(r: &mut Reader<'_>, node: &Node, path: &str, name: &mut Option<String>) -> bool {
    if let Value::Map(_) = node.value {
        *name = node.get("name").and_then(|node| r.text(node, path));
        return true;
    }
    r.bool(node, path)
}

fn network(r: &mut Reader<'_>, name: &Key, node: &Node, path: &str) -> Network {
    let mut network = Network { line: name.line, ..Network::default() };
    let known = [
        "driver",
        "driver_opts",
        "internal",
        "attachable",
        "enable_ipv6",
        "ipam",
        "labels",
        "name",
        "external",
    ];
    for (key, node) in r.map(node, path) {
        let path = join(path, &key.text);
        match key.text.as_str() {
            "driver" => network.driver = r.text(node, &path),
            "driver_opts" => network.driver_opts = r.pairs(node, &path),
            "internal" => network.internal = r.bool(node, &path),
            "attachable" => network.attachable = r.bool(node, &path),
            "enable_ipv6" => network.enable_ipv6 = r.bool(node, &path),
            "labels" => network.labels = r.pairs(node, &path),
            "name" => network.name = r.text(node, &path),
            "external" => network.external = external(r, node, &path, &mut network.name),
            "ipam" => network.ipam = ipam(r, node, &path),
            _ => r.unknown(key, &path, &known),
        }
    }
    network
}

fn ipam(
    r: &mut Reader<'_>,
    node: &Node,
    path: &str,
) -> Vec<(String, Option<String>, Option<String>)> {
    let mut pools = Vec::new();
    for (key, node) in r.map(node, path) {
        let path = join(path, &key.text);
        match key.text.as_str() {
            "config" => {
                for pool in r.list(node, &path) {
                    let (mut subnet, mut gateway, mut range) = (None, None, None);
                    for (key, node) in r.map(pool, &path) {
                        let path = join(&path, &key.text);
                        match key.text.as_str() {
                            "subnet" => subnet = r.text(node, &path),
                            "gateway" => gateway = r.text(node, &path),
                            "ip_range" => range = r.text(node, &path),
                            _ => r.unsupported(
                                key,
                                &path,
                                "Only `subnet`, `gateway` and `ip_range` are supported here.",
                            ),
                        }
                    }
                    match subnet {
                        Some(subnet) => pools.push((subnet, gateway, range)),
                        None => r.error(pool, &path, "missing", "`subnet` is missing here."),
                    }
                }
            }
            "driver" if node.text() == Some("default") => {}
            _ => r.unsupported(key, &path, "Only `config` is supported here."),
        }
    }
    pools
}

fn volume(r: &mut Reader<'_>, name: &Key, node: &Node, path: &str) -> Volume {
    let mut volume = Volume { line: name.line, ..Volume::default() };
    let known = ["driver", "driver_opts", "labels", "name", "external"];
    for (key, node) in r.map(node, path) {
        let path = join(path, &key.text);
        match key.text.as_str() {
            "driver" => volume.driver = r.text(node, &path),
            "driver_opts" => volume.driver_opts = r.pairs(node, &path),
            "labels" => volume.labels = r.pairs(node, &path),
            "name" => volume.name = r.text(node, &path),
            "external" => volume.external = external(r, node, &path, &mut volume.name),
            _ => r.unknown(key, &path, &known),
        }
    }
    volume
}

/// Secrets and configs: by content, by variable, or external by name.
fn files(r: &mut Reader<'_>, node: &Node, name: &str) -> IndexMap<String, FileSource> {
    section(r, node, name, |r, name, node, path| {
        let mut own_name = None;
        let mut source = None;
        for (key, node) in r.map(node, path) {
            let path = join(path, &key.text);
            match key.text.as_str() {
                "content" => source = r.text(node, &path).map(FileSource::Content),
                "environment" => source = r.text(node, &path).map(FileSource::Environment),
                "external" if external(r, node, &path, &mut own_name) => {
                    source = Some(FileSource::External(String::new()));
                }
                "external" => {}
                "name" => own_name = r.text(node, &path),
                "labels" => {}
                extension if extension.starts_with("x-") => {}
                "file" => r.unsupported(
                    key,
                    &path,
                    "Files beside the text are not there on the server: give the `content`, or make a secret of the environment and name it with `external: true`.",
                ),
                _ => r.unsupported(key, &path, "Only `content`, `environment`, `external` and `name` are supported here."),
            }
        }
        match source {
            Some(FileSource::External(_)) => {
                FileSource::External(own_name.unwrap_or_else(|| name.text.clone()))
            }
            Some(FileSource::Environment(variable)) if r.variables.get(&variable).is_none() => {
                r.error(node, path, "variable", format!("The variable `{variable}` has no value."));
                FileSource::Environment(variable)
            }
            Some(source) => source,
            None => {
                if node.get("file").is_none() {
                    r.error(node, path, "missing", "Give its `content`, or `external: true`.");
                }
                FileSource::Content(String::new())
            }
        }
    })
}

fn check_references(r: &mut Reader<'_>, root: &Node, project: &mut Project) {
    let mut uses_default = false;
    for (name, service) in &project.services {
        let Some(node) = root.get("services").and_then(|services| services.get(name)) else {
            continue;
        };
        let path = join("services", name);
        let missing = |r: &mut Reader<'_>, key: &str, what: &str, name: &str| {
            let at = node.get(key).unwrap_or(node);
            let message = format!("There is no {what} `{name}` in this text.");
            r.error(at, &join(&path, key), "unknown_reference", message);
        };
        for network in service.networks.keys() {
            if network == "default" {
                uses_default = true;
            } else if !project.networks.contains_key(network) {
                missing(r, "networks", "network", network);
            }
        }
        for mount in &service.volumes {
            if let (crate::MountKind::Volume, Some(source)) = (mount.kind, &mount.source)
                && !project.volumes.contains_key(source)
            {
                missing(r, "volumes", "volume", source);
            }
        }
        for secret in &service.secrets {
            if !project.secrets.contains_key(&secret.source) {
                missing(r, "secrets", "secret", &secret.source);
            }
        }
        for config in &service.configs {
            if !project.configs.contains_key(&config.source) {
                missing(r, "configs", "config", &config.source);
            }
        }
        for other in service.depends_on.keys() {
            if !project.services.contains_key(other) {
                missing(r, "depends_on", "service", other);
            }
        }
        if let Some(other) =
            service.network_mode.as_deref().and_then(|m| m.strip_prefix("service:"))
            && !project.services.contains_key(other)
        {
            missing(r, "network_mode", "service", other);
        }
    }
    if uses_default {
        project.networks.entry("default".into()).or_default();
    }
    if let Some(name) = cycle(project)
        && let Some(node) = root.get("services").and_then(|services| services.get(&name))
    {
        let at = node.get("depends_on").unwrap_or(node);
        let message = format!("`{name}` waits for itself, through its `depends_on`.");
        r.error(at, &join("services", &name), "dependency_cycle", message);
    }
}

/// A sidekick is a service of this text that has one primary and no sidekicks.
fn check_sidekicks(r: &mut Reader<'_>, root: &Node, project: &Project) {
    for (name, service) in &project.services {
        let Some(node) = root.get("services").and_then(|services| services.get(name)) else {
            continue;
        };
        let at = node.get("labels").unwrap_or(node);
        let path = join(&join("services", name), "labels");
        for sidekick in service.sidekick_names() {
            let message = match project.services.get(sidekick) {
                None => format!("There is no service `{sidekick}` in this text."),
                Some(_) if sidekick == name => "A service is not its own sidekick.".into(),
                Some(other) if !other.sidekick_names().is_empty() => {
                    format!("`{sidekick}` is a sidekick, and has none of its own.")
                }
                Some(_) if project.primary_of(sidekick) != name => {
                    format!("`{sidekick}` is a sidekick of `{}`.", project.primary_of(sidekick))
                }
                Some(_) => continue,
            };
            r.error(at, &path, "bad_sidekick", message);
        }
    }
}

/// A service that waits for itself, if there is one.
fn cycle(project: &Project) -> Option<String> {
    let mut done: Vec<&str> = Vec::new();
    // Each round settles the services whose dependencies are settled; what is left is a cycle.
    loop {
        let before = done.len();
        for (name, service) in &project.services {
            if !done.contains(&name.as_str())
                && service.depends_on.keys().all(|other| {
                    done.contains(&other.as_str()) || !project.services.contains_key(other)
                })
            {
                done.push(name);
            }
        }
        if done.len() == before {
            return project.services.keys().find(|name| !done.contains(&name.as_str())).cloned();
        }
    }
}
