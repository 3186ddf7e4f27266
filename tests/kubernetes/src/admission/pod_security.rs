//! The Pod Security Standards *baseline* and *restricted*, by the labels of the namespace
//! (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>).

use serde_json::Value;

use super::{Operation, Request};
use crate::status::{ApiError, Result};

const PREFIX: &str = "pod-security.kubernetes.io";

/// Refuses a pod that the namespace does not take, and warns of templates that would make one.
///
/// # Errors
/// When a pod is refused.
pub fn check(request: &Request, object: &Value) -> Result<Vec<String>> {
    let context = request.context;
    let resource = &context.resource;
    let pod = resource.group.is_empty() && resource.plural == "pods";
    let part = matches!(request.subresource, "" | "ephemeralcontainers");
    let Some((metadata, spec)) = spec_of(&resource.group, &resource.plural, object) else {
        return Ok(Vec::new());
    };
    if !part
        || pod
            && request.operation == Operation::Update
            && request.subresource.is_empty()
            && same_images(request.before, object)
    {
        return Ok(Vec::new());
    }
    let namespace = context
        .cluster
        .store
        .value("", "namespaces", "", &context.info.namespace)
        .unwrap_or_default();
    let label = |mode: &str| {
        let text = namespace["metadata"]["labels"][format!("{PREFIX}/{mode}")].as_str();
        text.unwrap_or("privileged").to_owned()
    };
    let version = |mode: &str| {
        let text = namespace["metadata"]["labels"][format!("{PREFIX}/{mode}-version")].as_str();
        text.unwrap_or("latest").to_owned()
    };
    if pod {
        let level = label("enforce");
        let wrong = violations(&level, metadata, spec);
        if !wrong.is_empty() {
            let why = format!(
                "violates PodSecurity \"{level}:{}\": {}",
                version("enforce"),
                wrong.join(", ")
            );
            return Err(ApiError::forbidden(resource.about(request.name), &why));
        }
    }
    let level = label("warn");
    let wrong = violations(&level, metadata, spec);
    if wrong.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![format!(
        "would violate PodSecurity \"{level}:{}\": {}",
        version("warn"),
        wrong.join(", ")
    )])
}

fn same_images(before: Option<&Value>, object: &Value) -> bool {
    before.is_some_and(|before| before["spec"] == object["spec"])
}

fn spec_of<'a>(group: &str, plural: &str, object: &'a Value) -> Option<(&'a Value, &'a Value)> {
    let template = match (group, plural) {
        ("", "pods") => object,
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
        | ("batch", "jobs")
        | ("", "replicationcontrollers") => &object["spec"]["template"],
        ("batch", "cronjobs") => &object["spec"]["jobTemplate"]["spec"]["template"],
        ("", "podtemplates") => &object["template"],
        _ => return None,
    };
    Some((&template["metadata"], &template["spec"]))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn containers(spec: &Value) -> Vec<&Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .iter()
        .flat_map(|field| list(&spec[*field]))
        .collect()
}

fn name(container: &Value) -> String {
    format!("\"{}\"", container["name"].as_str().unwrap_or_default())
}

fn quoted<T: AsRef<str>>(words: &[T]) -> String {
    words.iter().map(|word| format!("\"{}\"", word.as_ref())).collect::<Vec<_>>().join(", ")
}

fn plural<'a>(count: usize, one: &'a str, more: &'a str) -> &'a str {
    if count == 1 { one } else { more }
}

/// `container "a" must not …` or `containers "a", "b" must not …`.
fn those(wrong: &[String], text: &str) -> String {
    format!("{} {} {text}", plural(wrong.len(), "container", "containers"), wrong.join(", "))
}

/// All that a level forbids in a pod, in the words of the admission plugin.
pub fn violations(level: &str, metadata: &Value, spec: &Value) -> Vec<String> {
    if !matches!(level, "baseline" | "restricted") {
        return Vec::new();
    }
    let all = containers(spec);
    let restricted = level == "restricted";
    let mut wrong = Vec::new();
    app_armor(metadata, &mut wrong);
    capabilities(&all, restricted, &mut wrong);
    host_namespaces(spec, &mut wrong);
    volumes(spec, restricted, &mut wrong);
    host_ports(&all, &mut wrong);
    let of = |check: &dyn Fn(&Value) -> bool| -> Vec<String> {
        all.iter().filter(|one| check(one)).map(|one| name(one)).collect()
    };
    let privileged = of(&|one| one["securityContext"]["privileged"] == true);
    if !privileged.is_empty() {
        let text = "must not set securityContext.privileged=true";
        wrong.push(format!("privileged ({})", those(&privileged, text)));
    }
    let mounts = of(&|one| {
        one["securityContext"]["procMount"].as_str().is_some_and(|kind| kind != "Default")
    });
    if !mounts.is_empty() {
        let text = "must not set securityContext.procMount to \"Unmasked\"";
        wrong.push(format!("procMount ({})", those(&mounts, text)));
    }
    se_linux(spec, &all, &mut wrong);
    sysctls(spec, &mut wrong);
    if restricted {
        let escalation = of(&|one| one["securityContext"]["allowPrivilegeEscalation"] != false);
        if !escalation.is_empty() {
            let text = "must set securityContext.allowPrivilegeEscalation=false";
            wrong.push(format!("allowPrivilegeEscalation != false ({})", those(&escalation, text)));
        }
        root(spec, &all, &mut wrong);
        seccomp_set(spec, &all, &mut wrong);
    }
    seccomp(spec, &all, &mut wrong);
    wrong.sort_by_key(|text| ORDER.iter().position(|start| text.starts_with(start)));
    wrong
}

/// The plugin names its checks in this order.
const ORDER: &[&str] = &[
    "forbidden AppArmor",
    "non-default capabilities",
    "host namespaces",
    "hostPath volumes",
    "hostPort",
    "privileged",
    "procMount",
    "seLinuxOptions",
    "forbidden sysctls",
    "allowPrivilegeEscalation",
    "unrestricted capabilities",
    "restricted volume types",
    "runAsNonRoot",
    "runAsUser",
    "seccompProfile",
];

fn app_armor(metadata: &Value, wrong: &mut Vec<String>) {
    let annotations = metadata["annotations"].as_object();
    let bad: Vec<String> = annotations
        .into_iter()
        .flatten()
        .filter(|(key, _)| key.starts_with("container.apparmor.security.beta.kubernetes.io/"))
        .filter(|(_, value)| {
            let value = value.as_str().unwrap_or_default();
            !value.is_empty() && value != "runtime/default" && !value.starts_with("localhost/")
        })
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if !bad.is_empty() {
        wrong.push(format!(
            "forbidden AppArmor {} ({})",
            plural(bad.len(), "profile", "profiles"),
            quoted(&bad)
        ));
    }
}

const ALLOWED: &[&str] = &[
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

fn capabilities(all: &[&Value], restricted: bool, wrong: &mut Vec<String>) {
    let allowed: &[&str] = if restricted { &["NET_BIND_SERVICE"] } else { ALLOWED };
    let mut adding = Vec::new();
    let mut added: Vec<String> = Vec::new();
    let mut keeping = Vec::new();
    for one in all {
        let capabilities = &one["securityContext"]["capabilities"];
        let bad: Vec<String> = list(&capabilities["add"])
            .iter()
            .filter_map(|c| c.as_str())
            .filter(|c| !allowed.contains(c))
            .map(str::to_owned)
            .collect();
        if !bad.is_empty() {
            adding.push(name(one));
            added.extend(bad);
        }
        if restricted && !list(&capabilities["drop"]).iter().any(|c| c == "ALL") {
            keeping.push(name(one));
        }
    }
    added.sort();
    added.dedup();
    if restricted {
        let mut parts = Vec::new();
        if !keeping.is_empty() {
            parts.push(those(&keeping, "must set securityContext.capabilities.drop=[\"ALL\"]"));
        }
        if !adding.is_empty() {
            parts.push(those(
                &adding,
                &format!("must not include {} in securityContext.capabilities.add", quoted(&added)),
            ));
        }
        if !parts.is_empty() {
            wrong.push(format!("unrestricted capabilities ({})", parts.join("; ")));
        }
    } else if !adding.is_empty() {
        wrong.push(format!(
            "non-default capabilities ({})",
            those(
                &adding,
                &format!("must not include {} in securityContext.capabilities.add", quoted(&added))
            )
        ));
    }
}

fn host_namespaces(spec: &Value, wrong: &mut Vec<String>) {
    let set: Vec<&str> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| spec[*field] == true)
        .collect();
    if !set.is_empty() {
        let set: Vec<_> = set.iter().map(|field| format!("{field}=true")).collect();
        wrong.push(format!("host namespaces ({})", set.join(", ")));
    }
}

fn volumes(spec: &Value, restricted: bool, wrong: &mut Vec<String>) {
    const FREE: &[&str] = &[
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    let volumes = list(&spec["volumes"]);
    let host: Vec<_> =
        volumes.iter().filter(|volume| volume["hostPath"].is_object()).map(name).collect();
    if !host.is_empty() && !restricted {
        wrong.push(format!(
            "hostPath volumes ({} {})",
            plural(host.len(), "volume", "volumes"),
            host.join(", ")
        ));
    }
    if !restricted {
        return;
    }
    let mut names = Vec::new();
    let mut kinds: Vec<String> = Vec::new();
    for volume in volumes {
        let bad: Vec<_> = volume
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key)
            .filter(|key| *key != "name" && !FREE.contains(&key.as_str()))
            .cloned()
            .collect();
        if !bad.is_empty() {
            names.push(name(volume));
            kinds.extend(bad);
        }
    }
    if !host.is_empty() {
        wrong.push(format!(
            "hostPath volumes ({} {})",
            plural(host.len(), "volume", "volumes"),
            host.join(", ")
        ));
    }
    if !names.is_empty() {
        kinds.sort();
        kinds.dedup();
        wrong.push(format!(
            "restricted volume types ({} {} {} restricted volume {} {})",
            plural(names.len(), "volume", "volumes"),
            names.join(", "),
            plural(names.len(), "uses", "use"),
            plural(kinds.len(), "type", "types"),
            quoted(&kinds)
        ));
    }
}

fn host_ports(all: &[&Value], wrong: &mut Vec<String>) {
    let mut names = Vec::new();
    let mut ports: Vec<i64> = Vec::new();
    for one in all {
        let used: Vec<i64> = list(&one["ports"])
            .iter()
            .filter_map(|port| port["hostPort"].as_i64())
            .filter(|port| *port != 0)
            .collect();
        if !used.is_empty() {
            names.push(name(one));
            ports.extend(used);
        }
    }
    if names.is_empty() {
        return;
    }
    ports.sort_unstable();
    ports.dedup();
    let shown: Vec<_> = ports.iter().map(i64::to_string).collect();
    wrong.push(format!(
        "hostPort ({} {} {} {} {})",
        plural(names.len(), "container", "containers"),
        names.join(", "),
        plural(names.len(), "uses", "use"),
        plural(ports.len(), "hostPort", "hostPorts"),
        shown.join(", ")
    ));
}

/// Who sets something: the pod, and containers.
fn setters(pod: bool, containers: &[String]) -> String {
    let mut parts = Vec::new();
    if pod {
        parts.push("pod".to_owned());
    }
    if !containers.is_empty() {
        parts.push(format!(
            "{} {}",
            plural(containers.len(), "container", "containers"),
            containers.join(", ")
        ));
    }
    parts.join(" and ")
}

fn se_linux(spec: &Value, all: &[&Value], wrong: &mut Vec<String>) {
    const TYPES: &[&str] =
        &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    let bad = |options: &Value| {
        let word = |key: &str| options[key].as_str().unwrap_or_default();
        !TYPES.contains(&word("type")) || !word("user").is_empty() || !word("role").is_empty()
    };
    let pod = bad(&spec["securityContext"]["seLinuxOptions"]);
    let names: Vec<_> = all
        .iter()
        .filter(|one| bad(&one["securityContext"]["seLinuxOptions"]))
        .map(|one| name(one))
        .collect();
    if pod || !names.is_empty() {
        let mut parts = Vec::new();
        let options: Vec<&Value> = std::iter::once(&spec["securityContext"]["seLinuxOptions"])
            .chain(all.iter().map(|one| &one["securityContext"]["seLinuxOptions"]))
            .collect();
        let types: Vec<&str> = options
            .iter()
            .filter_map(|o| o["type"].as_str())
            .filter(|t| !TYPES.contains(t))
            .collect();
        if !types.is_empty() {
            parts.push(format!("type {}", quoted(&types)));
        }
        for field in ["user", "role"] {
            if options.iter().any(|o| o[field].as_str().is_some_and(|text| !text.is_empty())) {
                parts.push(format!("{field} may not be set"));
            }
        }
        wrong.push(format!(
            "seLinuxOptions ({} set forbidden securityContext.seLinuxOptions: {})",
            setters(pod, &names),
            parts.join("; ")
        ));
    }
}

fn sysctls(spec: &Value, wrong: &mut Vec<String>) {
    const SAFE: &[&str] = &[
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    ];
    let bad: Vec<&str> = list(&spec["securityContext"]["sysctls"])
        .iter()
        .filter_map(|one| one["name"].as_str())
        .filter(|name| !SAFE.contains(name))
        .collect();
    if !bad.is_empty() {
        wrong.push(format!("forbidden sysctls ({})", bad.join(", ")));
    }
}

fn root(spec: &Value, all: &[&Value], wrong: &mut Vec<String>) {
    let pod = spec["securityContext"]["runAsNonRoot"].as_bool();
    let explicit: Vec<_> = all
        .iter()
        .filter(|one| one["securityContext"]["runAsNonRoot"] == false)
        .map(|one| name(one))
        .collect();
    let implicit: Vec<_> = all
        .iter()
        .filter(|one| one["securityContext"]["runAsNonRoot"].is_null())
        .map(|one| name(one))
        .collect();
    if !explicit.is_empty() || pod == Some(false) && !implicit.is_empty() {
        let who = setters(pod == Some(false), &explicit);
        wrong.push(format!(
            "runAsNonRoot != true ({who} must not set securityContext.runAsNonRoot=false)"
        ));
    } else if pod.is_none() && !implicit.is_empty() {
        wrong.push(format!(
            "runAsNonRoot != true (pod or {} {} must set securityContext.runAsNonRoot=true)",
            plural(implicit.len(), "container", "containers"),
            implicit.join(", ")
        ));
    }
    let pod = spec["securityContext"]["runAsUser"] == 0;
    let names: Vec<_> = all
        .iter()
        .filter(|one| one["securityContext"]["runAsUser"] == 0)
        .map(|one| name(one))
        .collect();
    if pod || !names.is_empty() {
        wrong.push(format!("runAsUser=0 ({} must not set runAsUser=0)", setters(pod, &names)));
    }
}

fn seccomp(spec: &Value, all: &[&Value], wrong: &mut Vec<String>) {
    let bad = |context: &Value| {
        context["seccompProfile"]["type"]
            .as_str()
            .filter(|kind| !matches!(*kind, "RuntimeDefault" | "Localhost"))
            .map(str::to_owned)
    };
    let pod = bad(&spec["securityContext"]);
    let names: Vec<_> = all
        .iter()
        .filter(|one| bad(&one["securityContext"]).is_some())
        .map(|one| name(one))
        .collect();
    if pod.is_some() || !names.is_empty() {
        let mut kinds: Vec<String> = pod
            .clone()
            .into_iter()
            .chain(all.iter().filter_map(|one| bad(&one["securityContext"])))
            .collect();
        kinds.sort();
        kinds.dedup();
        wrong.push(format!(
            "seccompProfile ({} must not set securityContext.seccompProfile.type to {})",
            setters(pod.is_some(), &names),
            quoted(&kinds)
        ));
    }
}

fn seccomp_set(spec: &Value, all: &[&Value], wrong: &mut Vec<String>) {
    let set = |context: &Value| context["seccompProfile"]["type"].is_string();
    if set(&spec["securityContext"]) {
        return;
    }
    let names: Vec<_> =
        all.iter().filter(|one| !set(&one["securityContext"])).map(|one| name(one)).collect();
    if !names.is_empty() {
        wrong.push(format!("seccompProfile (pod or {} {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")", plural(names.len(), "container", "containers"), names.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn baseline_names_what_takes_over_a_host() {
        let spec = json!({
            "hostNetwork": true,
            "volumes": [{"name": "root", "hostPath": {"path": "/"}}],
            "containers": [{"name": "a", "securityContext": {"privileged": true, "capabilities": {"add": ["SYS_ADMIN"]}}}],
        });
        assert_eq!(
            violations("baseline", &json!({}), &spec),
            [
                "non-default capabilities (container \"a\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add)",
                "host namespaces (hostNetwork=true)",
                "hostPath volumes (volume \"root\")",
                "privileged (container \"a\" must not set securityContext.privileged=true)",
            ]
        );
        assert!(violations("privileged", &json!({}), &spec).is_empty());
    }

    #[test]
    fn restricted_asks_for_what_must_be_set() {
        let wrong = violations("restricted", &json!({}), &json!({"containers": [{"name": "a"}]}));
        assert_eq!(
            wrong,
            [
                "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false)",
                "unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"])",
                "runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true)",
                "seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
            ]
        );
    }
}
