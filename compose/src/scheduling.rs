//! Where a service's containers may go, as labels say it: the affinity of Rancher 1.6 under its own
//! prefix and under Drover's, and the services that stay together.

use std::collections::HashSet;

use indexmap::IndexMap;

use crate::{MountKind, Project, Service, Volume};

/// Under which prefixes scheduling labels are read, Drover's own first.
const PREFIXES: [&str; 2] = ["io.drover.", "io.rancher."];
const AFFINITY: &str = "scheduler.affinity:";

/// A rule of a service for the hosts of its containers, from one entry of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affinity {
    /// What it looks at.
    pub kind: AffinityKind,
    /// The other way round: not there.
    pub not: bool,
    /// Better so, but not needed.
    pub soft: bool,
    /// A label's key; empty for [`AffinityKind::Container`].
    pub key: String,
    /// A label's value, or a container's name. `None`: any value.
    pub value: Option<String>,
}

/// What an [`Affinity`] looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AffinityKind {
    /// A label of the host.
    HostLabel,
    /// A label of a container on the host.
    ContainerLabel,
    /// The name of a container on the host.
    Container,
}

impl AffinityKind {
    fn name(self) -> &'static str {
        match self {
            Self::HostLabel => "host_label",
            Self::ContainerLabel => "container_label",
            Self::Container => "container",
        }
    }
}

impl std::fmt::Display for Affinity {
    /// As one would write it: `host_label_ne: disk=hdd`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.name())?;
        if self.soft {
            f.write_str("_soft")?;
        }
        if self.not {
            f.write_str("_ne")?;
        }
        f.write_str(": ")?;
        match (&self.value, self.key.is_empty()) {
            (Some(value), true) => f.write_str(value),
            (Some(value), false) => write!(f, "{}={value}", self.key),
            (None, _) => f.write_str(&self.key),
        }
    }
}

/// The rules of one label; `None` when its name is no affinity's, an error for an unknown kind.
pub(crate) fn affinity(name: &str, value: &str) -> Option<Result<Vec<Affinity>, String>> {
    let rest = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let kind = rest.strip_prefix(AFFINITY)?;
    let (kind, not) = match kind.strip_suffix("_ne") {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    let (kind, soft) = match kind.strip_suffix("_soft") {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    let all = [AffinityKind::HostLabel, AffinityKind::ContainerLabel, AffinityKind::Container];
    let Some(kind) = all.into_iter().find(|known| known.name() == kind) else {
        return Some(Err(format!(
            "There is no affinity `{kind}`: `host_label`, `container_label` or `container`, each also with `_soft`, `_ne` or `_soft_ne`."
        )));
    };
    let entries = value.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let rule = |entry: &str| {
        let (key, value) = match (kind, entry.split_once('=')) {
            (AffinityKind::Container, _) => ("", Some(entry)),
            (_, Some((key, value))) => (key.trim(), Some(value.trim())),
            (_, None) => (entry, None),
        };
        Affinity { kind, not, soft, key: key.to_owned(), value: value.map(str::to_owned) }
    };
    Some(Ok(entries.map(rule).collect()))
}

/// A label under either prefix, Drover's own first.
fn label<'a>(labels: &'a IndexMap<String, String>, name: &str) -> Option<&'a str> {
    PREFIXES.iter().find_map(|prefix| labels.get(&format!("{prefix}{name}")).map(String::as_str))
}

impl Service {
    /// Its rules for hosts, from its labels.
    pub fn affinities(&self) -> Vec<Affinity> {
        self.labels
            .iter()
            .chain(&self.deploy.labels)
            .filter_map(|(name, value)| affinity(name, value)?.ok())
            .flatten()
            .collect()
    }

    /// Whether a label says that it runs once on each host that fits.
    pub(crate) fn is_global_by_label(&self) -> bool {
        [&self.labels, &self.deploy.labels]
            .into_iter()
            .filter_map(|labels| label(labels, "scheduler.global"))
            .any(|value| value.trim().eq_ignore_ascii_case("true"))
    }

    /// The names that its label of sidekicks gives.
    pub(crate) fn sidekick_names(&self) -> Vec<&str> {
        let named = label(&self.labels, "sidekicks").unwrap_or_default();
        named.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
    }

    /// The service whose network it shares.
    pub fn shares_network_of(&self) -> Option<&str> {
        self.network_mode.as_deref()?.strip_prefix("service:")
    }
}

impl Volume {
    /// Whether its data is on one host. What another driver keeps can be reached from others;
    /// of an external volume nothing is known.
    pub fn is_local(&self) -> bool {
        self.driver.as_deref().is_none_or(|driver| driver == "local") && !self.is_remote()
    }

    /// The `local` driver can mount what is elsewhere.
    fn is_remote(&self) -> bool {
        let kind = self.driver_opts.get("type").map(String::as_str);
        matches!(kind, Some("nfs" | "nfs4" | "cifs" | "smb3" | "ceph" | "glusterfs"))
    }
}

impl Project {
    /// The service whose instances this one's stand beside: its primary, or itself.
    pub fn primary_of<'a>(&'a self, name: &'a str) -> &'a str {
        self.services
            .iter()
            .find(|(primary, service)| *primary != name && service.sidekick_names().contains(&name))
            .map_or(name, |(primary, _)| primary)
    }

    /// Gives sidekicks the number of their primary, also when that was changed by hand.
    pub fn align_sidekicks(&mut self) {
        let primaries: Vec<(String, u32, bool)> = self
            .services
            .keys()
            .map(|name| {
                let primary = self.primary_of(name);
                let deploy = self.services.get(primary).map(|service| &service.deploy);
                let (replicas, global) =
                    deploy.map_or((1, false), |deploy| (deploy.replicas, deploy.global));
                (name.clone(), replicas, global)
            })
            .collect();
        for (name, replicas, global) in primaries {
            if let Some(service) = self.services.get_mut(&name) {
                service.deploy.replicas = replicas;
                service.deploy.global = global;
            }
        }
    }

    /// The named volumes of a service whose data is on one host.
    pub fn local_volumes<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a String> {
        service
            .volumes
            .iter()
            .filter(|mount| mount.kind == MountKind::Volume)
            .filter_map(|mount| mount.source.as_ref())
            .filter(|name| self.volumes.get(*name).is_none_or(Volume::is_local))
    }

    /// Whether two services must be on the same hosts: one is the other's sidekick, shares its
    /// network, or they share a volume whose data is on one host.
    fn are_tied(&self, a: (&str, &Service), b: (&str, &Service)) -> bool {
        let names = |(name, _): (&str, &Service), (_, other): (&str, &Service)| {
            other.shares_network_of() == Some(name) || other.sidekick_names().contains(&name)
        };
        names(a, b)
            || names(b, a)
            || self
                .local_volumes(a.1)
                .any(|volume| self.local_volumes(b.1).any(|other| other == volume))
    }

    /// The services that must be on the same hosts as this one, with itself, in the text's order.
    pub fn together(&self, name: &str) -> Vec<&str> {
        let mut found: HashSet<&str> = HashSet::new();
        let mut next: Vec<&str> =
            self.services.get_key_value(name).map(|(name, _)| name.as_str()).into_iter().collect();
        while let Some(name) = next.pop() {
            if !found.insert(name) {
                continue;
            }
            let Some(service) = self.services.get(name) else { continue };
            next.extend(
                self.services
                    .iter()
                    .filter(|(other, tied)| self.are_tied((name, service), (other, tied)))
                    .map(|(other, _)| other.as_str()),
            );
        }
        self.services.keys().map(String::as_str).filter(|name| found.contains(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Project {
        crate::load(text, &()).project.unwrap_or_default()
    }

    #[test]
    fn labels_become_rules() {
        for (label, value, expected) in [
            ("io.rancher.scheduler.affinity:host_label", "a=b", "host_label: a=b"),
            ("io.drover.scheduler.affinity:host_label_ne", "a=b", "host_label_ne: a=b"),
            ("io.drover.scheduler.affinity:container_label_soft", "a", "container_label_soft: a"),
            ("io.drover.scheduler.affinity:container_soft_ne", "x-1", "container_soft_ne: x-1"),
            (
                "io.drover.scheduler.affinity:host_label",
                "a=b, c=d",
                "host_label: a=b host_label: c=d",
            ),
        ] {
            let rules = affinity(label, value).and_then(Result::ok).unwrap_or_default();
            let words: Vec<String> = rules.iter().map(ToString::to_string).collect();
            assert_eq!(words.join(" "), expected);
        }
        assert!(affinity("io.drover.scheduler.affinity:moon", "a").is_some_and(|r| r.is_err()));
        assert!(affinity("some.label", "a").is_none());
    }

    #[test]
    fn sidekicks_follow_their_primary() {
        let text = "services:\n  web: {image: a, labels: {io.rancher.sidekicks: 'log, data'}, deploy: {replicas: 3}}\n  log: {image: b}\n  data: {image: c}\n  db: {image: d}\n";
        let project = project(text);
        assert_eq!(project.services["log"].deploy.replicas, 3);
        assert_eq!(project.services["db"].deploy.replicas, 1);
        assert_eq!(project.primary_of("data"), "web");
        assert_eq!(project.primary_of("web"), "web");
        assert_eq!(project.together("log"), ["web", "log", "data"]);
        assert_eq!(project.together("db"), ["db"]);
    }

    #[test]
    fn shared_networks_and_local_volumes_tie() {
        let text = "services:\n  a: {image: a, volumes: ['v:/v']}\n  b: {image: b, volumes: ['v:/v', 'n:/n']}\n  c: {image: c, network_mode: 'service:a'}\n  d: {image: d, volumes: ['n:/n']}\nvolumes:\n  v: {}\n  n: {driver_opts: {type: nfs, o: 'addr=x', device: ':/x'}}\n";
        let project = project(text);
        assert_eq!(project.together("c"), ["a", "b", "c"]);
        assert_eq!(project.together("d"), ["d"]);
    }

    #[test]
    fn a_label_makes_a_service_global() {
        let text = "services: {a: {image: a, labels: {io.rancher.scheduler.global: 'true'}}}";
        assert!(project(text).services["a"].deploy.global);
    }
}
