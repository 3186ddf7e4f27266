//! What in a project could take over the host that it runs on. Which role may deploy it all the
//! same is not decided here.

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
            } else if volume.driver.as_deref().is_some_and(|driver| driver != "local") {
                let message = "a volume by another driver than `local`".into();
                add(volume.line, path, "volume_driver", message);
            } else if volume.driver_opts.keys().any(|option| option != "size") {
                // `type`, `o` and `device` make the local driver mount anything of the host's.
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
        match mode.as_deref() {
            Some("host") => add(line, key, "host_namespace", format!("the host's own `{key}`")),
            Some(mode) if mode.starts_with("container:") => {
                add(line, key, "foreign_namespace", format!("another container's `{key}`"));
            }
            _ => {}
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
        let name = capability.to_ascii_uppercase();
        let name = name.strip_prefix("CAP_").unwrap_or(&name);
        if !DEFAULT_CAPABILITIES.contains(&name) {
            add(line, "cap_add", "capability", format!("the capability `{capability}`"));
        }
    }
    if !service.devices.is_empty() {
        add(line, "devices", "device", "devices of the host".into());
    }
    for option in &service.security_opt {
        // `no-new-privileges` only ever takes away.
        if !option.starts_with("no-new-privileges") {
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
        // Those under `net.` are the container's own, as long as its network is.
        if !name.starts_with("net.") {
            add(line, "sysctls", "sysctl", format!("the kernel parameter `{name}`"));
        }
    }
    if service.oom_kill_disable || service.oom_score_adj.is_some_and(|score| score < 0) {
        add(line, "oom_score_adj", "oom", "being spared when the host has no memory left".into());
    }
    if service
        .logging
        .as_ref()
        .and_then(|l| l.driver.as_deref())
        .is_some_and(|driver| !["json-file", "local", "none", "journald"].contains(&driver))
    {
        add(
            line,
            "logging",
            "logging_driver",
            "a logging driver that connects from the host".into(),
        );
    }
}
