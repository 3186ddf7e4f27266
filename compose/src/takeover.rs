//! What in a project could take over the host that it runs on. Which role may deploy it all the
//! same is not decided here.
//!
//! The functions on single options are the one place that says what is harmless: those who judge
//! containers as the engine shows them, or bodies of the engine's own API, ask them too.

use serde::{Deserialize, Serialize};

use crate::{MountKind, Project, Service};

/// The capabilities that Docker gives every container: adding one of them changes nothing.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The logging drivers that write on the host or nowhere: the others connect from it.
const LOGGING_DRIVERS: [&str; 4] = ["json-file", "local", "none", "journald"];

/// A namespace that is not a container's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// The host's.
    Host,
    /// Another container's.
    Container,
}

/// Whose namespace a mode (`host`, `container:ID`, `private`…) asks for, where it is not the
/// container's own.
pub fn shared_namespace(mode: &str) -> Option<Namespace> {
    match mode {
        "host" => Some(Namespace::Host),
        mode if mode.starts_with("container:") => Some(Namespace::Container),
        _ => None,
    }
}

/// Whether adding this capability gives a container more than every container has.
pub fn adds_capability(capability: &str) -> bool {
    let name = capability.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    !DEFAULT_CAPABILITIES.contains(&name)
}

/// Whether a security option could loosen a container's confinement. `no-new-privileges` only ever
/// takes away.
pub fn loosens_confinement(option: &str) -> bool {
    !["", ":true", ":false", "=true", "=false"]
        .iter()
        .any(|end| option.strip_prefix("no-new-privileges") == Some(end))
}

/// Whether a kernel parameter is more than the container's own. Those under `net.` are its own, as
/// long as its network is.
pub fn is_sysctl_of_host(name: &str) -> bool {
    !name.starts_with("net.")
}

/// Whether a logging driver connects from the host to somewhere.
pub fn logs_elsewhere(driver: &str) -> bool {
    !LOGGING_DRIVERS.contains(&driver)
}

/// Whether a volume is made by another driver than the engine's own.
pub fn is_foreign_volume_driver(driver: &str) -> bool {
    driver != "local"
}

/// Whether a volume driver's option could mount what is not the volume's own: `type`, `o` and
/// `device` make the local driver mount anything of the host's.
pub fn is_mount_option(option: &str) -> bool {
    option != "size"
}

/// Something that could take over a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// Where it stands in the text (the service, volume or network), from 1.
    pub line: u32,
    /// e.g. `services.web.privileged`
    pub path: String,
    /// Stable, for programs: e.g. `privileged`, `docker_socket`, `host_path`.
    pub code: String,
    /// What it is, in words.
    pub message: String,
}

impl Project {
    /// Everything here that could take over a host, or reach into what is not the stack's own.
    pub fn takeovers(&self) -> Vec<Takeover> {
        let mut found = Vec::new();
        for (name, service) in &self.services {
            in_service(&format!("services.{name}"), service, &mut found);
        }
        let mut add = |line, path: String, code: &str, message: String| {
            found.push(Takeover { line, path, code: code.into(), message });
        };
        for (name, volume) in &self.volumes {
            let path = format!("volumes.{name}");
            if volume.external {
                let message = "a volume that is not the stack's own".into();
                add(volume.line, path, "external_volume", message);
            } else if volume.driver.as_deref().is_some_and(is_foreign_volume_driver) {
                let message = "a volume by another driver than `local`".into();
                add(volume.line, path, "volume_driver", message);
            } else if volume.driver_opts.keys().any(|option| is_mount_option(option)) {
                let message = "volume driver options, which can mount any path of the host".into();
                add(volume.line, path, "volume_options", message);
            }
        }
        for (name, network) in &self.networks {
            let path = format!("networks.{name}");
            if network.external {
                let message = "a network that is not the stack's own".into();
                add(network.line, path, "external_network", message);
            } else if network
                .driver
                .as_deref()
                .is_some_and(|d| !["bridge", "default", "overlay"].contains(&d))
            {
                let message = "a network by another driver than `bridge` and `overlay`".into();
                add(network.line, path, "network_driver", message);
            } else if network.driver_opts.keys().any(|option| option != "encrypted") {
                let message = "network driver options, which change the host's network".into();
                add(network.line, path, "network_options", message);
            }
        }
        found
    }
}

fn in_service(path: &str, service: &Service, found: &mut Vec<Takeover>) {
    let mut add = |line: u32, key: &str, code: &str, message: String| {
        found.push(Takeover { line, path: format!("{path}.{key}"), code: code.into(), message });
    };
    let line = service.line;
    if service.privileged {
        add(line, "privileged", "privileged", "a privileged container".into());
    }
    let namespaces = [
        ("network_mode", &service.network_mode),
        ("pid", &service.pid),
        ("ipc", &service.ipc),
        ("uts", &service.uts),
        ("userns_mode", &service.userns_mode),
        ("cgroup", &service.cgroup),
    ];
    for (key, mode) in namespaces {
        match mode.as_deref().and_then(shared_namespace) {
            Some(Namespace::Host) => {
                add(line, key, "host_namespace", format!("the host's own `{key}`"));
            }
            Some(Namespace::Container) => {
                add(line, key, "foreign_namespace", format!("another container's `{key}`"));
            }
            None => {}
        }
    }
    for mount in service.volumes.iter().filter(|mount| mount.kind == MountKind::Bind) {
        let source = mount.source.as_deref().unwrap_or_default();
        if source.ends_with("docker.sock") {
            add(mount.line, "volumes", "docker_socket", "the Docker socket".into());
        } else {
            add(mount.line, "volumes", "host_path", format!("the host's path `{source}`"));
        }
    }
    for capability in &service.cap_add {
        if adds_capability(capability) {
            add(line, "cap_add", "capability", format!("the capability `{capability}`"));
        }
    }
    if !service.devices.is_empty() {
        add(line, "devices", "device", "devices of the host".into());
    }
    for option in &service.security_opt {
        if loosens_confinement(option) {
            add(line, "security_opt", "security_option", format!("the security option `{option}`"));
        }
    }
    if service.cgroup_parent.is_some() {
        add(line, "cgroup_parent", "cgroup_parent", "a parent cgroup of its own choice".into());
    }
    if service.runtime.is_some() {
        add(line, "runtime", "runtime", "a runtime of its own choice".into());
    }
    for name in service.sysctls.keys() {
        if is_sysctl_of_host(name) {
            add(line, "sysctls", "sysctl", format!("the kernel parameter `{name}`"));
        }
    }
    if service.oom_kill_disable || service.oom_score_adj.is_some_and(|score| score < 0) {
        add(line, "oom_score_adj", "oom", "being spared when the host has no memory left".into());
    }
    if service.logging.as_ref().and_then(|l| l.driver.as_deref()).is_some_and(logs_elsewhere) {
        add(
            line,
            "logging",
            "logging_driver",
            "a logging driver that connects from the host".into(),
        );
    }
}
