//! Pods and templates of pods.

use serde_json::{Value, json};

use super::quantity;
use crate::{names, status::Cause};

/// What is wrong with the spec of a pod, or of a template's.
pub fn pod_spec(spec: &Value, at: &str, restarts: &[&str]) -> Vec<Cause> {
    let mut causes = Vec::new();
    volumes(spec, at, &mut causes);
    let containers = spec["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if containers.is_empty() {
        causes.push(Cause::required(format!("{at}.containers"), ""));
    }
    let mut seen: Vec<&str> = Vec::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            let place = format!("{at}.{list}[{index}]");
            let name = container["name"].as_str().unwrap_or_default();
            if seen.contains(&name) && !name.is_empty() {
                causes.push(Cause::duplicate(format!("{place}.name"), &container["name"]));
            }
            seen.push(name);
            one(container, spec, &place, &mut causes);
        }
    }
    let policy = spec["restartPolicy"].as_str().unwrap_or_default();
    if !restarts.contains(&policy) {
        causes.push(Cause::not_supported(format!("{at}.restartPolicy"), &json!(policy), restarts));
    }
    let dns = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    if let Some(policy) = spec["dnsPolicy"].as_str().filter(|policy| !dns.contains(policy)) {
        causes.push(Cause::not_supported(format!("{at}.dnsPolicy"), &json!(policy), &dns));
    }
    for (key, value) in spec["nodeSelector"].as_object().into_iter().flatten() {
        if let Some(why) = names::qualified_name(key) {
            causes.push(Cause::invalid(format!("{at}.nodeSelector"), &json!(key), why));
        }
        if let Some(why) = names::label_value(value.as_str().unwrap_or_default()) {
            causes.push(Cause::invalid(format!("{at}.nodeSelector"), value, why));
        }
    }
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        causes.push(Cause::invalid(
            format!("{at}.terminationGracePeriodSeconds"),
            &spec["terminationGracePeriodSeconds"],
            "must be greater than or equal to 0",
        ));
    }
    causes
}

fn volumes(spec: &Value, at: &str, causes: &mut Vec<Cause>) {
    let mut seen = Vec::new();
    for (index, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        let place = format!("{at}.volumes[{index}]");
        let name = volume["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            causes.push(Cause::required(format!("{place}.name"), ""));
        } else if let Some(why) = names::label(name) {
            causes.push(Cause::invalid(format!("{place}.name"), &json!(name), why));
        } else if seen.contains(&name) {
            causes.push(Cause::duplicate(format!("{place}.name"), &json!(name)));
        }
        seen.push(name);
        let sources = volume.as_object().map_or(0, |fields| fields.len().saturating_sub(1));
        if sources == 0 {
            causes.push(Cause::required(place.clone(), "must specify a volume type"));
        } else if sources > 1 {
            let second = volume
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, _)| key)
                .filter(|key| *key != "name")
                .nth(1)
                .cloned()
                .unwrap_or_default();
            causes.push(Cause::forbidden(
                format!("{place}.{second}"),
                "may not specify more than 1 volume type",
            ));
        }
        if volume["hostPath"].is_object()
            && volume["hostPath"]["path"].as_str().unwrap_or_default().is_empty()
        {
            causes.push(Cause::required(format!("{place}.hostPath.path"), ""));
        }
        if volume["secret"].is_object()
            && volume["secret"]["secretName"].as_str().unwrap_or_default().is_empty()
        {
            causes.push(Cause::required(format!("{place}.secret.secretName"), ""));
        }
        if volume["configMap"].is_object()
            && volume["configMap"]["name"].as_str().unwrap_or_default().is_empty()
        {
            causes.push(Cause::required(format!("{place}.configMap.name"), ""));
        }
        if volume["persistentVolumeClaim"].is_object()
            && volume["persistentVolumeClaim"]["claimName"].as_str().unwrap_or_default().is_empty()
        {
            causes.push(Cause::required(format!("{place}.persistentVolumeClaim.claimName"), ""));
        }
    }
}

fn one(container: &Value, spec: &Value, at: &str, causes: &mut Vec<Cause>) {
    let name = container["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        causes.push(Cause::required(format!("{at}.name"), ""));
    } else if let Some(why) = names::label(name) {
        causes.push(Cause::invalid(format!("{at}.name"), &json!(name), why));
    }
    let image = container["image"].as_str().unwrap_or_default();
    if image.is_empty() {
        causes.push(Cause::required(format!("{at}.image"), ""));
    } else if image.trim() != image {
        causes.push(Cause::invalid(
            format!("{at}.image"),
            &json!(image),
            "must not have leading or trailing whitespace",
        ));
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    if let Some(policy) = container["imagePullPolicy"].as_str().filter(|p| !policies.contains(p)) {
        causes.push(Cause::not_supported(
            format!("{at}.imagePullPolicy"),
            &json!(policy),
            &policies,
        ));
    }
    ports(container, at, causes);
    environment(container, at, causes);
    mounts(container, spec, at, causes);
    resources(&container["resources"], &format!("{at}.resources"), causes);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if container[probe].is_object() {
            self::probe(&container[probe], &format!("{at}.{probe}"), probe, causes);
        }
    }
    let security = &container["securityContext"];
    if security["privileged"] == true && security["allowPrivilegeEscalation"] == false {
        causes.push(Cause::invalid(
            format!("{at}.securityContext"),
            security,
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ));
    }
    if let Some(user) = security["runAsUser"].as_i64().filter(|user| *user < 0) {
        causes.push(Cause::invalid(
            format!("{at}.securityContext.runAsUser"),
            &json!(user),
            "must be between 0 and 2147483647, inclusive",
        ));
    }
}

fn port_number(port: &Value) -> bool {
    port.as_i64().is_some_and(|port| (1..=65535).contains(&port))
}

const PORT: &str = "must be between 1 and 65535, inclusive";

fn ports(container: &Value, at: &str, causes: &mut Vec<Cause>) {
    let mut names_seen = Vec::new();
    for (index, port) in container["ports"].as_array().into_iter().flatten().enumerate() {
        let place = format!("{at}.ports[{index}]");
        let number = &port["containerPort"];
        if number.is_null() || *number == json!(0) {
            causes.push(Cause::required(format!("{place}.containerPort"), ""));
        } else if !port_number(number) {
            causes.push(Cause::invalid(format!("{place}.containerPort"), number, PORT));
        }
        if port["hostPort"].as_i64().is_some_and(|port| port != 0)
            && !port_number(&port["hostPort"])
        {
            causes.push(Cause::invalid(format!("{place}.hostPort"), &port["hostPort"], PORT));
        }
        let protocols = ["SCTP", "TCP", "UDP"];
        if let Some(protocol) = port["protocol"].as_str().filter(|p| !protocols.contains(p)) {
            causes.push(Cause::not_supported(
                format!("{place}.protocol"),
                &json!(protocol),
                &protocols,
            ));
        }
        if let Some(name) = port["name"].as_str().filter(|name| !name.is_empty()) {
            if let Some(why) = port_name(name) {
                causes.push(Cause::invalid(format!("{place}.name"), &json!(name), why));
            } else if names_seen.contains(&name) {
                causes.push(Cause::duplicate(format!("{place}.name"), &json!(name)));
            }
            names_seen.push(name);
        }
    }
}

/// What is wrong with a port's name.
pub fn port_name(name: &str) -> Option<String> {
    if name.len() > 15 {
        return Some("must be no more than 15 characters".to_owned());
    }
    if !name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-') {
        return Some(
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned(),
        );
    }
    if !name.bytes().any(|c| c.is_ascii_lowercase()) {
        return Some("must contain at least one letter (a-z)".to_owned());
    }
    if name.contains("--") {
        return Some("must not contain consecutive hyphens".to_owned());
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Some("must not begin or end with a hyphen".to_owned());
    }
    None
}

fn environment(container: &Value, at: &str, causes: &mut Vec<Cause>) {
    for (index, variable) in container["env"].as_array().into_iter().flatten().enumerate() {
        let place = format!("{at}.env[{index}]");
        let name = variable["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            causes.push(Cause::required(format!("{place}.name"), ""));
        } else if name.contains('=') {
            causes.push(Cause::invalid(
                format!("{place}.name"),
                &json!(name),
                "a valid environment variable name must consist only of printable ASCII characters other than '='",
            ));
        }
        let value = variable["value"].as_str().is_some_and(|value| !value.is_empty());
        if value && variable["valueFrom"].is_object() {
            causes.push(Cause::invalid(
                format!("{place}.valueFrom"),
                &json!(""),
                "may not be specified when `value` is not empty",
            ));
        }
    }
}

fn mounts(container: &Value, spec: &Value, at: &str, causes: &mut Vec<Cause>) {
    let mut seen = Vec::new();
    for (index, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
        let place = format!("{at}.volumeMounts[{index}]");
        let name = mount["name"].as_str().unwrap_or_default();
        let known = spec["volumes"].as_array().into_iter().flatten().any(|v| v["name"] == name);
        if name.is_empty() {
            causes.push(Cause::required(format!("{place}.name"), ""));
        } else if !known {
            causes.push(Cause::not_found(format!("{place}.name"), &json!(name)));
        }
        let path = mount["mountPath"].as_str().unwrap_or_default();
        if path.is_empty() {
            causes.push(Cause::required(format!("{place}.mountPath"), ""));
        } else if seen.contains(&path) {
            causes.push(Cause::invalid(
                format!("{place}.mountPath"),
                &json!(path),
                "must be unique",
            ));
        }
        seen.push(path);
    }
}

fn resources(resources: &Value, at: &str, causes: &mut Vec<Cause>) {
    for list in ["limits", "requests"] {
        for (name, value) in resources[list].as_object().into_iter().flatten() {
            let place = format!("{at}.{list}[{name}]");
            let bare = !name.contains('/');
            let known = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")
                || name.starts_with("hugepages-");
            if bare && !known {
                causes.push(Cause::invalid(
                    place.clone(),
                    &json!(name),
                    "must be a standard resource for containers",
                ));
            }
            match quantity::of(value) {
                Some(amount) if amount >= 0 => {}
                Some(_) => {
                    causes.push(Cause::invalid(place, value, "must be greater than or equal to 0"))
                }
                None => causes.push(Cause::invalid(place, value, quantity::NOT_ONE)),
            }
        }
    }
    for (name, value) in resources["requests"].as_object().into_iter().flatten() {
        let limit = &resources["limits"][name];
        if let (Some(wanted), Some(most)) = (quantity::of(value), quantity::of(limit))
            && wanted > most
        {
            causes.push(Cause::invalid(
                format!("{at}.requests"),
                value,
                format!(
                    "must be less than or equal to {name} limit of {}",
                    limit.as_str().unwrap_or_default()
                ),
            ));
        }
    }
}

fn probe(probe: &Value, at: &str, kind: &str, causes: &mut Vec<Cause>) {
    let handlers: Vec<_> = ["exec", "httpGet", "tcpSocket", "grpc"]
        .into_iter()
        .filter(|handler| probe[*handler].is_object())
        .collect();
    match handlers.as_slice() {
        [] => causes.push(Cause::required(at, "must specify a handler type")),
        [_] => {}
        [_, second, ..] => causes.push(Cause::forbidden(
            format!("{at}.{second}"),
            "may not specify more than 1 handler type",
        )),
    }
    for handler in ["httpGet", "tcpSocket"] {
        let port = &probe[handler]["port"];
        if port.is_number() && !port_number(port) {
            causes.push(Cause::invalid(format!("{at}.{handler}.port"), port, PORT));
        }
    }
    if kind != "readinessProbe" && probe["successThreshold"].as_i64().is_some_and(|n| n > 1) {
        causes.push(Cause::invalid(
            format!("{at}.successThreshold"),
            &probe["successThreshold"],
            "must be 1",
        ));
    }
    for field in ["timeoutSeconds", "periodSeconds", "initialDelaySeconds", "failureThreshold"] {
        if probe[field].as_i64().is_some_and(|n| n < 0) {
            causes.push(Cause::invalid(
                format!("{at}.{field}"),
                &probe[field],
                "must be greater than or equal to 0",
            ));
        }
    }
}

/// What is wrong with a change of the ephemeral containers.
pub fn ephemeral(before: &Value, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let list = |value: &Value| {
        value["spec"]["ephemeralContainers"].as_array().cloned().unwrap_or_default()
    };
    let (old, new) = (list(before), list(object));
    for (index, container) in old.iter().enumerate() {
        if !new.contains(container) {
            causes.push(Cause::forbidden(
                "spec.ephemeralContainers",
                format!(
                    "existing ephemeral containers {} may not be removed or changed",
                    old[index]["name"]
                ),
            ));
        }
    }
    for (index, container) in new.iter().enumerate() {
        let at = format!("spec.ephemeralContainers[{index}]");
        let name = container["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            causes.push(Cause::required(format!("{at}.name"), ""));
        } else if let Some(why) = names::label(name) {
            causes.push(Cause::invalid(format!("{at}.name"), &json!(name), why));
        }
        if container["image"].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("{at}.image"), ""));
        }
        let containers = object["spec"]["containers"].as_array().into_iter().flatten();
        if containers.clone().any(|one| one["name"] == name) {
            causes.push(Cause::duplicate(format!("{at}.name"), &json!(name)));
        }
        if let Some(target) = container["targetContainerName"].as_str()
            && !containers.clone().any(|one| one["name"] == target)
        {
            causes.push(Cause::not_found(format!("{at}.targetContainerName"), &json!(target)));
        }
        for field in ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
            if container.get(field).is_some_and(|value| !value.is_null()) {
                causes.push(Cause::forbidden(
                    format!("{at}.{field}"),
                    "cannot be set for an Ephemeral Container",
                ));
            }
        }
    }
    causes
}

/// What is worth a warning.
pub fn warnings(spec: &Value, at: &str) -> Vec<String> {
    let mut all = Vec::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            let mut seen = Vec::new();
            for (number, variable) in container["env"].as_array().into_iter().flatten().enumerate()
            {
                let name = variable["name"].as_str().unwrap_or_default();
                if seen.contains(&name) {
                    all.push(format!(
                        "{at}.{list}[{index}].env[{number}]: hides previous definition of \"{name}\", which may be dropped when using apply"
                    ));
                }
                seen.push(name);
            }
        }
    }
    all
}
