//! What of a project a swarm does not take. Pure.

use drover_compose::{Diagnostic, EndpointMode, Project, PublishMode, Service, Severity};

/// What is refused, and what is other than one may think.
pub(super) fn check(project: &Project) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (name, service) in &project.services {
        let mut add = |severity, key: &str, message: String| {
            found.push(Diagnostic {
                severity,
                line: service.line,
                column: 1,
                path: format!("services.{name}.{key}"),
                code: "not_in_swarm".into(),
                message,
            });
        };
        refused(service, &mut |key, message| add(Severity::Unsupported, key, message));
        warned(service, &mut |key, message| add(Severity::Warning, key, message));
        if name.contains('.') {
            let message = "A swarm takes no `.` in the name of a service.".to_owned();
            add(Severity::Unsupported, "", message);
        }
    }
    found
}

/// What a service would not work without, or would be less safe without.
fn refused(service: &Service, add: &mut dyn FnMut(&str, String)) {
    let is_set = [
        ("privileged", service.privileged),
        ("devices", !service.devices.is_empty()),
        ("pid", service.pid.is_some()),
        ("ipc", service.ipc.as_deref().is_some_and(|mode| mode != "private")),
        ("uts", service.uts.is_some()),
        ("userns_mode", service.userns_mode.is_some()),
        ("cgroup", service.cgroup.as_deref().is_some_and(|mode| mode != "private")),
        ("cgroup_parent", service.cgroup_parent.is_some()),
        ("runtime", service.runtime.is_some()),
    ];
    for (key, _) in is_set.iter().filter(|(_, set)| *set) {
        let message = format!(
            "A swarm has no `{key}`: run this where Drover's own engine does, or on one host by hand."
        );
        add(key, message);
    }
    match service.network_mode.as_deref() {
        None | Some("host") => {}
        Some(mode) => {
            let message = format!("A swarm has no `network_mode: {mode}`; use `networks`.");
            add("network_mode", message);
        }
    }
    let fixed = |attachment: &drover_compose::NetworkAttachment| {
        attachment.ipv4_address.is_some() || attachment.ipv6_address.is_some()
    };
    if service.networks.values().any(fixed) {
        let message = "A swarm gives addresses itself: use the service's name, or `aliases`.";
        add("networks", message.into());
    }
    if service.security_opt.iter().any(|option| !option.starts_with("no-new-privileges")) {
        add("security_opt", "A swarm takes only `no-new-privileges` here.".into());
    }
    if service.ports.iter().any(|port| port.host_ip.is_some()) {
        let message = "A swarm publishes ports on all addresses of a host: leave out the address, and close the port by a firewall.";
        add("ports", message.into());
    }
    let mesh = service.ports.iter().any(|port| port.mode == Some(PublishMode::Ingress));
    if mesh && service.deploy.endpoint_mode == Some(EndpointMode::Dnsrr) {
        let message = "A port in mode `ingress` needs `endpoint_mode: vip`.";
        add("ports", message.into());
    }
    if service.deploy.job && !service.ports.is_empty() && mesh {
        add("ports", "A job publishes no ports on the routing mesh.".into());
    }
}

/// What is left out.
fn warned(service: &Service, add: &mut dyn FnMut(&str, String)) {
    let left_out = [
        ("oom_kill_disable", service.oom_kill_disable),
        ("oom_score_adj", service.oom_score_adj.is_some()),
        ("domainname", service.domainname.is_some()),
    ];
    for (key, _) in left_out.iter().filter(|(_, set)| *set) {
        add(key, format!("A swarm has no `{key}`: it is left out."));
    }
    let local = |mount: &&drover_compose::Mount| {
        mount.kind == drover_compose::MountKind::Volume && mount.source.is_some()
    };
    let pinned = !service.deploy.constraints.is_empty() || service.deploy.global;
    if service.volumes.iter().any(|mount| local(&mount)) && !pinned {
        let message = "A volume is on the node that a task runs on: a task elsewhere finds an empty one. Keep it where its data is by a constraint such as `node.hostname == NAME`.";
        add("volumes", message.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, Severity)> {
        let loaded = drover_compose::load(text, &());
        let project = loaded.project.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        check(&project).into_iter().map(|found| (found.path, found.severity)).collect()
    }

    #[test]
    fn what_a_swarm_does_not_take_is_named() {
        let text = "services:\n  web:\n    image: a\n    privileged: true\n    devices: [/dev/fuse]\n    ports: ['127.0.0.1:80:80']\n    networks: {default: {ipv4_address: 10.0.0.2}}\n";
        let paths: Vec<String> = found(text).into_iter().map(|(path, _)| path).collect();
        let expected = ["privileged", "devices", "networks", "ports"];
        assert_eq!(paths, expected.map(|key| format!("services.web.{key}")));
        let modes = "services:\n  web: {image: a, network_mode: none}\n  job: {image: a, ports: [{target: 80, mode: ingress}], deploy: {endpoint_mode: dnsrr}}\n";
        assert_eq!(found(modes).len(), 2);
    }

    #[test]
    fn what_is_left_out_is_only_warned_of() {
        let text =
            "services:\n  web: {image: a, domainname: x, volumes: ['d:/d']}\nvolumes: {d: {}}\n";
        let all = found(text);
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|(_, severity)| *severity == Severity::Warning));
        let pinned = "services:\n  web: {image: a, network_mode: host, volumes: ['d:/d'], deploy: {placement: {constraints: [node.hostname == a]}}}\nvolumes: {d: {}}\n";
        assert_eq!(found(pinned), []);
    }
}
