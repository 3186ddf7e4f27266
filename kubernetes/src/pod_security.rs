//! The *baseline* Pod Security Standard: what a pod must not have, since it would lead out of its
//! container to the node.
//!
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline>
//!
//! A cluster judges by it itself, by the labels of namespaces, whoever asks. Drover judges where a
//! namespace lets others do more. Messages are those of the cluster's own admission plug-in.

use std::collections::BTreeSet;

use serde_json::Value;

/// Where the pod template of a kind is: from the object to what has `metadata` and `spec`.
fn template(group: &str, resource: &str) -> Option<&'static str> {
    Some(match (group, resource) {
        ("", "pods") => "",
        ("", "replicationcontrollers")
        | ("apps" | "extensions", "daemonsets" | "deployments" | "replicasets")
        | ("apps", "statefulsets")
        | ("batch", "jobs") => "/spec/template",
        ("batch", "cronjobs") => "/spec/jobTemplate/spec/template",
        ("", "podtemplates") => "/template",
        _ => return None,
    })
}

/// Whether objects of this type, `plural` of `group`, are pods or lead to some.
pub fn bears_pods(group: &str, plural: &str) -> bool {
    template(group, plural).is_some()
}

/// What an object of this type breaks of *baseline*, as Kubernetes tells it:
/// `violates PodSecurity "baseline:latest": …`.
pub fn breaks_baseline(group: &str, plural: &str, object: &Value) -> Option<String> {
    let pod = object.pointer(template(group, plural)?)?;
    let broken = broken(pod);
    if broken.is_empty() {
        return None;
    }
    let broken: Vec<String> =
        broken.into_iter().map(|rule| format!("{} ({})", rule.reason, rule.detail)).collect();
    Some(format!("violates PodSecurity \"baseline:latest\": {}", broken.join(", ")))
}

/// A rule that a pod breaks.
struct Broken {
    reason: &'static str,
    detail: String,
}

fn broken(pod: &Value) -> Vec<Broken> {
    // By their names, as the plug-in has them.
    let rules: [fn(&Value) -> Option<Broken>; 12] = [
        app_armor,
        capabilities,
        host_namespaces,
        host_paths,
        host_ports,
        host_probes,
        privileged,
        proc_mount,
        se_linux,
        seccomp,
        sysctls,
        windows_host_process,
    ];
    rules.iter().filter_map(|rule| rule(pod)).collect()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// All containers of a pod, of every sort.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let spec = &pod["spec"];
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(move |field| list(spec, field))
}

fn name(container: &Value) -> String {
    text(&container["name"]).to_owned()
}

fn context(value: &Value) -> &Value {
    &value["securityContext"]
}

fn quoted(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let names: Vec<String> =
        names.into_iter().map(|name| format!("\"{}\"", name.as_ref())).collect();
    names.join(", ")
}

fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `container "a"`, or `containers "a", "b"`.
fn of_containers(names: &[String]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// The same, where the pod itself may be one of those at fault.
fn of_pod_and(pod: bool, names: &[String]) -> String {
    match (pod, names.is_empty()) {
        (true, true) => "pod".to_owned(),
        (true, false) => format!("pod and {}", of_containers(names)),
        (false, _) => of_containers(names),
    }
}

/// The containers of which something holds.
fn those(pod: &Value, at_fault: impl Fn(&Value) -> bool) -> Vec<String> {
    containers(pod).filter(|container| at_fault(container)).map(name).collect()
}

/// What the pod or its containers have set in their security context that they must not.
struct Settings {
    pod: bool,
    containers: Vec<String>,
    values: BTreeSet<String>,
}

impl Settings {
    /// `bad` names what is wrong in a security context.
    fn of(pod: &Value, bad: impl Fn(&Value) -> Vec<String>) -> Option<Self> {
        let mut values = BTreeSet::new();
        let of_pod = bad(context(&pod["spec"]));
        let at_pod = !of_pod.is_empty();
        values.extend(of_pod);
        let mut names = Vec::new();
        for container in containers(pod) {
            let found = bad(context(container));
            if !found.is_empty() {
                names.push(name(container));
                values.extend(found);
            }
        }
        (at_pod || !names.is_empty()).then_some(Self { pod: at_pod, containers: names, values })
    }

    fn who(&self) -> String {
        of_pod_and(self.pod, &self.containers)
    }
}

/// The annotations by which profiles were set before there were fields.
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

fn app_armor(pod: &Value) -> Option<Broken> {
    let mut wrong = Vec::new();
    let set = Settings::of(pod, |context| {
        let profile = &context["appArmorProfile"]["type"];
        let allowed =
            profile.is_null() || matches!(profile.as_str(), Some("RuntimeDefault" | "Localhost"));
        if allowed { Vec::new() } else { vec![text(profile).to_owned()] }
    });
    if let Some(set) = set {
        wrong.push(format!(
            "{} must not set AppArmor profile type to {}",
            set.who(),
            quoted(&set.values)
        ));
    }
    for (key, value) in pod["metadata"]["annotations"].as_object().into_iter().flatten() {
        let value = text(value);
        let allowed =
            value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
        if key.starts_with(APP_ARMOR) && !allowed {
            wrong.push(format!("{key}=\"{value}\""));
        }
    }
    if wrong.is_empty() {
        return None;
    }
    Some(Broken {
        reason: plural("forbidden AppArmor profile", "forbidden AppArmor profiles", wrong.len()),
        detail: wrong.join(", "),
    })
}

/// What container runtimes give anyway.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn capabilities(pod: &Value) -> Option<Broken> {
    let mut names = Vec::new();
    let mut added = BTreeSet::new();
    for container in containers(pod) {
        let odd: Vec<&str> = list(&context(container)["capabilities"], "add")
            .map(text)
            .filter(|capability| !CAPABILITIES.contains(capability))
            .collect();
        if !odd.is_empty() {
            names.push(name(container));
            added.extend(odd);
        }
    }
    (!names.is_empty()).then(|| Broken {
        reason: "non-default capabilities",
        detail: format!(
            "{} must not include {} in securityContext.capabilities.add",
            of_containers(&names),
            quoted(added)
        ),
    })
}

fn host_namespaces(pod: &Value) -> Option<Broken> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| pod["spec"][*field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    (!shared.is_empty()).then(|| Broken { reason: "host namespaces", detail: shared.join(", ") })
}

fn host_paths(pod: &Value) -> Option<Broken> {
    let volumes: Vec<String> = list(&pod["spec"], "volumes")
        .filter(|volume| !volume["hostPath"].is_null())
        .map(name)
        .collect();
    (!volumes.is_empty()).then(|| Broken {
        reason: "hostPath volumes",
        detail: format!("{} {}", plural("volume", "volumes", volumes.len()), quoted(&volumes)),
    })
}

fn host_ports(pod: &Value) -> Option<Broken> {
    let mut ports = BTreeSet::new();
    let names = those(pod, |container| {
        list(container, "ports").any(|port| port["hostPort"].as_i64().unwrap_or_default() != 0)
    });
    for container in containers(pod) {
        let of_container = list(container, "ports").filter_map(|port| port["hostPort"].as_i64());
        ports.extend(of_container.filter(|port| *port != 0).map(|port| port.to_string()));
    }
    let shown: Vec<&str> = ports.iter().map(String::as_str).collect();
    (!names.is_empty()).then(|| Broken {
        reason: "hostPort",
        detail: format!(
            "{} {} {} {}",
            of_containers(&names),
            plural("uses", "use", names.len()),
            plural("hostPort", "hostPorts", shown.len()),
            shown.join(", ")
        ),
    })
}

fn host_probes(pod: &Value) -> Option<Broken> {
    let hosts_of = |handler: &Value| -> Vec<String> {
        ["httpGet", "tcpSocket"]
            .into_iter()
            .map(|way| text(&handler[way]["host"]).to_owned())
            .filter(|host| !host.is_empty())
            .collect()
    };
    let of_container = |container: &Value| -> Vec<String> {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"];
        let hooks = ["postStart", "preStop"];
        let probes = probes.into_iter().flat_map(|probe| hosts_of(&container[probe]));
        probes
            .chain(hooks.into_iter().flat_map(|hook| hosts_of(&container["lifecycle"][hook])))
            .collect()
    };
    let names = those(pod, |container| !of_container(container).is_empty());
    let hosts: BTreeSet<String> = containers(pod).flat_map(of_container).collect();
    (!names.is_empty()).then(|| Broken {
        reason: "probe or lifecycle host",
        detail: format!(
            "{} {} {} {}",
            of_containers(&names),
            plural("uses", "use", names.len()),
            plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len()),
            quoted(&hosts)
        ),
    })
}

fn privileged(pod: &Value) -> Option<Broken> {
    let names = those(pod, |container| context(container)["privileged"] == true);
    (!names.is_empty()).then(|| Broken {
        reason: "privileged",
        detail: format!("{} must not set securityContext.privileged=true", of_containers(&names)),
    })
}

fn proc_mount(pod: &Value) -> Option<Broken> {
    let of = |container: &Value| text(&context(container)["procMount"]).to_owned();
    let is_odd = |mount: &str| !matches!(mount, "" | "Default");
    let names = those(pod, |container| is_odd(&of(container)));
    let mounts: BTreeSet<String> = containers(pod).map(of).filter(|mount| is_odd(mount)).collect();
    (!names.is_empty()).then(|| Broken {
        reason: "procMount",
        detail: format!(
            "{} must not set securityContext.procMount to {}",
            of_containers(&names),
            quoted(&mounts)
        ),
    })
}

const SE_LINUX_TYPES: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

fn se_linux(pod: &Value) -> Option<Broken> {
    let set = Settings::of(pod, |context| {
        let options = &context["seLinuxOptions"];
        let kind = text(&options["type"]);
        let mut wrong = Vec::new();
        if !SE_LINUX_TYPES.contains(&kind) {
            wrong.push(format!("type \"{kind}\""));
        }
        for field in ["user", "role"] {
            if !text(&options[field]).is_empty() {
                wrong.push(format!("{field} may not be set"));
            }
        }
        wrong
    })?;
    let values: Vec<&str> = set.values.iter().map(String::as_str).collect();
    Some(Broken {
        reason: "seLinuxOptions",
        detail: format!(
            "{} set forbidden securityContext.seLinuxOptions: {}",
            set.who(),
            values.join("; ")
        ),
    })
}

fn seccomp(pod: &Value) -> Option<Broken> {
    let set = Settings::of(pod, |context| {
        let profile = &context["seccompProfile"]["type"];
        let allowed =
            profile.is_null() || matches!(profile.as_str(), Some("RuntimeDefault" | "Localhost"));
        if allowed { Vec::new() } else { vec![text(profile).to_owned()] }
    })?;
    Some(Broken {
        reason: "seccompProfile",
        detail: format!(
            "{} must not set securityContext.seccompProfile.type to {}",
            set.who(),
            quoted(&set.values)
        ),
    })
}

/// Those that are of the pod's own namespaces.
const SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

fn sysctls(pod: &Value) -> Option<Broken> {
    let odd: BTreeSet<&str> = list(context(&pod["spec"]), "sysctls")
        .map(|sysctl| text(&sysctl["name"]))
        .filter(|name| !SYSCTLS.contains(name))
        .collect();
    let odd: Vec<&str> = odd.into_iter().collect();
    (!odd.is_empty()).then(|| Broken { reason: "forbidden sysctls", detail: odd.join(", ") })
}

fn windows_host_process(pod: &Value) -> Option<Broken> {
    let set = Settings::of(pod, |context| {
        let on = context["windowsOptions"]["hostProcess"] == true;
        if on { vec![String::new()] } else { Vec::new() }
    })?;
    Some(Broken {
        reason: "hostProcess",
        detail: format!(
            "{} must not set securityContext.windowsOptions.hostProcess=true",
            set.who()
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judge(spec: Value) -> Option<String> {
        breaks_baseline("", "pods", &json!({ "metadata": { "name": "p" }, "spec": spec }))
    }

    fn container(of: Value) -> Value {
        let mut container = json!({ "name": "a", "image": "x" });
        let all = container.as_object_mut().unwrap();
        all.extend(of.as_object().unwrap().clone());
        json!({ "containers": [container] })
    }

    #[track_caller]
    fn refused(spec: Value, why: &str) {
        let said = judge(spec);
        let expected = format!("violates PodSecurity \"baseline:latest\": {why}");
        assert_eq!(said.as_deref(), Some(expected.as_str()));
    }

    #[test]
    fn what_everybody_writes_is_allowed() {
        for spec in [
            json!({ "containers": [{ "name": "a" }] }),
            json!({ "hostNetwork": false, "containers": [{ "name": "a", "ports": [{ "containerPort": 80, "hostPort": 0 }] }] }),
            container(json!({ "securityContext": { "privileged": false, "procMount": "Default",
                "capabilities": { "add": ["NET_BIND_SERVICE", "CHOWN"], "drop": ["ALL"] },
                "seccompProfile": { "type": "RuntimeDefault" },
                "appArmorProfile": { "type": "Localhost", "localhostProfile": "x" },
                "seLinuxOptions": { "type": "container_t", "level": "s0:c1" } } })),
            json!({ "securityContext": { "sysctls": [{ "name": "net.ipv4.tcp_syncookies", "value": "1" }] },
                "volumes": [{ "name": "v", "emptyDir": {} }, { "name": "c", "persistentVolumeClaim": { "claimName": "c" } }],
                "containers": [] }),
            container(json!({ "livenessProbe": { "httpGet": { "port": 80, "host": "" } } })),
        ] {
            assert_eq!(judge(spec.clone()), None, "{spec}");
        }
    }

    #[test]
    fn each_rule_is_told_as_kubernetes_tells_it() {
        refused(
            json!({ "hostNetwork": true, "hostPID": true, "hostIPC": true }),
            "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)",
        );
        refused(
            json!({ "volumes": [{ "name": "a", "hostPath": { "path": "/" } }, { "name": "b", "hostPath": {} }] }),
            "hostPath volumes (volumes \"a\", \"b\")",
        );
        refused(
            container(json!({ "ports": [{ "hostPort": 80 }, { "hostPort": 443 }] })),
            "hostPort (container \"a\" uses hostPorts 443, 80)",
        );
        let with = |context: Value| container(json!({ "securityContext": context }));
        refused(
            with(json!({ "privileged": true })),
            "privileged (container \"a\" must not set securityContext.privileged=true)",
        );
        refused(
            with(json!({ "capabilities": { "add": ["SYS_ADMIN", "CHOWN", "NET_RAW"] } })),
            "non-default capabilities (container \"a\" must not include \"NET_RAW\", \"SYS_ADMIN\" in securityContext.capabilities.add)",
        );
        refused(
            with(json!({ "procMount": "Unmasked" })),
            "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
        );
        refused(
            with(json!({ "seccompProfile": { "type": "Unconfined" } })),
            "seccompProfile (container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        );
        refused(
            with(json!({ "seLinuxOptions": { "type": "spc_t", "user": "u" } })),
            "seLinuxOptions (container \"a\" set forbidden securityContext.seLinuxOptions: type \"spc_t\"; user may not be set)",
        );
        refused(
            with(json!({ "appArmorProfile": { "type": "Unconfined" } })),
            "forbidden AppArmor profile (container \"a\" must not set AppArmor profile type to \"Unconfined\")",
        );
        refused(
            json!({ "securityContext": { "sysctls": [{ "name": "kernel.msgmax" }] } }),
            "forbidden sysctls (kernel.msgmax)",
        );
        refused(
            json!({ "securityContext": { "windowsOptions": { "hostProcess": true } }, "containers": [] }),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        );
        refused(
            container(
                json!({ "lifecycle": { "preStop": { "tcpSocket": { "host": "10.0.0.1" } } } }),
            ),
            "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"10.0.0.1\")",
        );
    }

    #[test]
    fn several_at_once_and_every_sort_of_container() {
        let bad = json!({ "privileged": true });
        refused(
            json!({ "hostPID": true,
                "securityContext": { "seccompProfile": { "type": "Unconfined" } },
                "initContainers": [{ "name": "i", "securityContext": bad }],
                "ephemeralContainers": [{ "name": "e", "securityContext": bad }] }),
            "host namespaces (hostPID=true), privileged (containers \"i\", \"e\" must not set securityContext.privileged=true), seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
        );
    }

    #[test]
    fn annotations_of_old_count() {
        let pod = json!({ "metadata": { "annotations": {
            "container.apparmor.security.beta.kubernetes.io/a": "unconfined",
            "container.apparmor.security.beta.kubernetes.io/b": "localhost/x",
        } }, "spec": { "containers": [] } });
        let said = breaks_baseline("", "pods", &pod).unwrap();
        assert!(said.contains("forbidden AppArmor profile (container.apparmor.security.beta.kubernetes.io/a=\"unconfined\")"), "{said}");
    }

    #[test]
    fn the_pods_of_workloads_are_found() {
        let template = json!({ "spec": { "hostIPC": true } });
        for (group, plural, object) in [
            ("apps", "deployments", json!({ "spec": { "template": template } })),
            ("apps", "statefulsets", json!({ "spec": { "template": template } })),
            ("apps", "daemonsets", json!({ "spec": { "template": template } })),
            ("apps", "replicasets", json!({ "spec": { "template": template } })),
            ("", "replicationcontrollers", json!({ "spec": { "template": template } })),
            ("batch", "jobs", json!({ "spec": { "template": template } })),
            (
                "batch",
                "cronjobs",
                json!({ "spec": { "jobTemplate": { "spec": { "template": template } } } }),
            ),
            ("", "podtemplates", json!({ "template": template })),
        ] {
            assert!(bears_pods(group, plural));
            assert!(breaks_baseline(group, plural, &object).is_some(), "{plural}");
        }
        assert!(!bears_pods("", "services"));
        assert!(!bears_pods("example.com", "deployments"));
    }
}
