//! The rules of each built-in kind.

use serde_json::{Value, json};

use super::{labels, pod_spec, pods::port_name, quantity, selector};
use crate::{cluster::Cluster, names, resources::ResourceType, selectors::Labels, status::Cause};

/// What is wrong with an object.
pub fn check(
    cluster: &Cluster,
    resource: &ResourceType,
    object: &Value,
    before: Option<&Value>,
) -> Vec<Cause> {
    let spec = &object["spec"];
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") if before.is_none() => {
            pod_spec(spec, "spec", &["Always", "OnFailure", "Never"])
        }
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets") => {
            workload(resource, object)
        }
        ("", "replicationcontrollers") => counts(spec, &["replicas"]),
        ("batch", "jobs") => job(object, before),
        ("batch", "cronjobs") => cron_job(object),
        ("", "services") => service(object),
        ("", "configmaps") => config_map(object),
        ("", "secrets") => secret(object, before),
        ("", "persistentvolumeclaims") if before.is_none() => claim(spec),
        ("", "persistentvolumes") => volume(spec),
        ("", "resourcequotas") => quota(spec),
        ("networking.k8s.io", "ingresses") => ingress(spec),
        ("networking.k8s.io", "networkpolicies") => {
            if spec["podSelector"].is_null() {
                Vec::new()
            } else {
                selector("spec.podSelector", &spec["podSelector"])
            }
        }
        ("autoscaling", "horizontalpodautoscalers") => autoscaler(spec),
        ("policy", "poddisruptionbudgets") => budget(spec),
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => {
            role(object, resource.plural == "clusterroles")
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            binding(object, resource.plural == "rolebindings")
        }
        ("storage.k8s.io", "storageclasses") => {
            if object["provisioner"].as_str().unwrap_or_default().is_empty() {
                vec![Cause::required("provisioner", "")]
            } else {
                Vec::new()
            }
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => definition(cluster, object),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations") => webhooks(object),
        ("", "events") => event(object),
        ("coordination.k8s.io", "leases") => {
            if spec["leaseDurationSeconds"].as_i64().is_some_and(|n| n <= 0) {
                vec![Cause::invalid(
                    "spec.leaseDurationSeconds",
                    &spec["leaseDurationSeconds"],
                    "must be greater than 0",
                )]
            } else {
                Vec::new()
            }
        }
        _ => Vec::new(),
    }
}

fn counts(spec: &Value, fields: &[&str]) -> Vec<Cause> {
    fields
        .iter()
        .filter(|field| spec[**field].as_i64().is_some_and(|count| count < 0))
        .map(|field| {
            Cause::invalid(
                format!("spec.{field}"),
                &spec[*field],
                "must be greater than or equal to 0",
            )
        })
        .collect()
}

/// Selector and template belong together.
fn selected(spec: &Value, causes: &mut Vec<Cause>) {
    let chosen = &spec["selector"];
    let empty = chosen.as_object().is_none_or(|fields| fields.is_empty())
        || chosen["matchLabels"].as_object().is_none_or(|l| l.is_empty())
            && chosen["matchExpressions"].as_array().is_none_or(|e| e.is_empty());
    if chosen.is_null() {
        causes.push(Cause::required("spec.selector", ""));
    } else if empty {
        causes.push(Cause::invalid(
            "spec.selector",
            chosen,
            "empty selector is invalid for deployment",
        ));
    } else {
        causes.extend(selector("spec.selector", chosen));
    }
    let template = &spec["template"]["metadata"]["labels"];
    causes.extend(labels("spec.template.metadata.labels", template));
    let matches = Labels::of_object(chosen).is_some_and(|s| s.matches_value(template));
    if !matches {
        let shown = if template.is_null() { Value::Null } else { template.clone() };
        causes.push(Cause::invalid(
            "spec.template.metadata.labels",
            &shown,
            "`selector` does not match template `labels`",
        ));
    }
}

fn workload(resource: &ResourceType, object: &Value) -> Vec<Cause> {
    let spec = &object["spec"];
    let mut causes = counts(spec, &["replicas", "revisionHistoryLimit", "minReadySeconds"]);
    selected(spec, &mut causes);
    causes.extend(pod_spec(&spec["template"]["spec"], "spec.template.spec", &["Always"]));
    if resource.plural == "deployments" {
        let strategy = &spec["strategy"];
        match strategy["type"].as_str() {
            Some("Recreate") if strategy["rollingUpdate"].is_object() => {
                causes.push(Cause::forbidden(
                    "spec.strategy.rollingUpdate",
                    "may not be specified when strategy `type` is 'Recreate'",
                ));
            }
            Some("Recreate") => {}
            Some("RollingUpdate") => rolling(&strategy["rollingUpdate"], &mut causes),
            other => causes.push(Cause::not_supported(
                "spec.strategy.type",
                &json!(other),
                &["Recreate", "RollingUpdate"],
            )),
        }
        let (deadline, least) = (
            spec["progressDeadlineSeconds"].as_i64().unwrap_or(600),
            spec["minReadySeconds"].as_i64().unwrap_or(0),
        );
        if deadline <= least {
            causes.push(Cause::invalid(
                "spec.progressDeadlineSeconds",
                &json!(deadline),
                "must be greater than minReadySeconds",
            ));
        }
    }
    causes
}

fn rolling(rolling: &Value, causes: &mut Vec<Cause>) {
    let zero = |value: &Value| *value == json!(0) || *value == "0%";
    for field in ["maxUnavailable", "maxSurge"] {
        let value = &rolling[field];
        let at = format!("spec.strategy.rollingUpdate.{field}");
        if let Some(text) = value.as_str() {
            let percent = text.strip_suffix('%').and_then(|n| n.parse::<u32>().ok());
            if percent.is_none() {
                causes.push(Cause::invalid(at, value, "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"));
            }
        } else if value.as_i64().is_some_and(|n| n < 0) {
            causes.push(Cause::invalid(at, value, "must be greater than or equal to 0"));
        }
    }
    if zero(&rolling["maxUnavailable"]) && zero(&rolling["maxSurge"]) {
        causes.push(Cause::invalid(
            "spec.strategy.rollingUpdate.maxUnavailable",
            &rolling["maxUnavailable"],
            "may not be 0 when `maxSurge` is 0",
        ));
    }
}

fn job(object: &Value, before: Option<&Value>) -> Vec<Cause> {
    let spec = &object["spec"];
    let mut causes = counts(
        spec,
        &[
            "parallelism",
            "completions",
            "backoffLimit",
            "activeDeadlineSeconds",
            "ttlSecondsAfterFinished",
        ],
    );
    if before.is_some() {
        return causes;
    }
    if spec["template"].is_null() || spec["template"]["spec"].is_null() {
        causes.push(Cause::required("spec.template.spec.containers", ""));
        return causes;
    }
    selected(spec, &mut causes);
    job_pod(&spec["template"]["spec"], "spec.template.spec", &mut causes);
    causes
}

fn job_pod(spec: &Value, at: &str, causes: &mut Vec<Cause>) {
    let policy = spec["restartPolicy"].as_str().unwrap_or_default();
    causes.extend(pod_spec(spec, at, &["Always", "OnFailure", "Never"]));
    if !matches!(policy, "OnFailure" | "Never") {
        let why = "Required value: valid values: \"OnFailure\", \"Never\"";
        causes.push(Cause {
            reason: "FieldValueRequired",
            field: format!("{at}.restartPolicy"),
            message: why.to_owned(),
        });
    }
}

fn cron_job(object: &Value) -> Vec<Cause> {
    let spec = &object["spec"];
    let mut causes = counts(
        spec,
        &["successfulJobsHistoryLimit", "failedJobsHistoryLimit", "startingDeadlineSeconds"],
    );
    let schedule = spec["schedule"].as_str().unwrap_or_default();
    if schedule.is_empty() {
        causes.push(Cause::required("spec.schedule", ""));
    } else if let Err(why) = crate::controllers::schedule::Schedule::parse(schedule) {
        causes.push(Cause::invalid("spec.schedule", &json!(schedule), why));
    }
    let policies = ["Allow", "Forbid", "Replace"];
    if let Some(policy) = spec["concurrencyPolicy"].as_str().filter(|p| !policies.contains(p)) {
        causes.push(Cause::not_supported("spec.concurrencyPolicy", &json!(policy), &policies));
    }
    job_pod(
        &spec["jobTemplate"]["spec"]["template"]["spec"],
        "spec.jobTemplate.spec.template.spec",
        &mut causes,
    );
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if name.len() > 52 {
        causes.push(Cause::invalid(
            "metadata.name",
            &json!(name),
            "must be no more than 52 characters",
        ));
    }
    causes
}

fn service(object: &Value) -> Vec<Cause> {
    let spec = &object["spec"];
    let mut causes = Vec::new();
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    let kind = spec["type"].as_str().unwrap_or_default();
    if !kinds.contains(&kind) {
        causes.push(Cause::not_supported("spec.type", &json!(kind), &kinds));
    }
    let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let headless = spec["clusterIP"] == "None";
    if ports.is_empty() && !headless && kind != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    if kind == "ExternalName" {
        let name = spec["externalName"].as_str().unwrap_or_default();
        if name.is_empty() {
            causes.push(Cause::required("spec.externalName", ""));
        } else if let Some(why) = names::subdomain(name.trim_end_matches('.')) {
            causes.push(Cause::invalid("spec.externalName", &json!(name), why));
        }
    }
    if kind == "LoadBalancer" && headless {
        causes.push(Cause::invalid(
            "spec.clusterIPs[0]",
            &json!("None"),
            "may not be set to 'None' for LoadBalancer services",
        ));
    }
    causes.extend(labels("spec.selector", &spec["selector"]));
    let mut seen = Vec::new();
    let mut names_seen = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let at = format!("spec.ports[{index}]");
        let number = port["port"].as_i64().unwrap_or(0);
        if !(1..=65535).contains(&number) {
            causes.push(Cause::invalid(
                format!("{at}.port"),
                &json!(number),
                "must be between 1 and 65535, inclusive",
            ));
        }
        let name = port["name"].as_str().unwrap_or_default();
        if name.is_empty() && ports.len() > 1 {
            causes.push(Cause::required(format!("{at}.name"), ""));
        } else if let Some(why) = (!name.is_empty()).then(|| names::label(name)).flatten() {
            causes.push(Cause::invalid(format!("{at}.name"), &json!(name), why));
        } else if names_seen.contains(&name) {
            causes.push(Cause::duplicate(format!("{at}.name"), &json!(name)));
        }
        names_seen.push(name);
        let protocols = ["SCTP", "TCP", "UDP"];
        let protocol = port["protocol"].as_str().unwrap_or_default();
        if !protocols.contains(&protocol) {
            causes.push(Cause::not_supported(
                format!("{at}.protocol"),
                &json!(protocol),
                &protocols,
            ));
        }
        match &port["targetPort"] {
            Value::Number(target) if !target.as_i64().is_some_and(|n| (1..=65535).contains(&n)) => {
                causes.push(Cause::invalid(
                    format!("{at}.targetPort"),
                    &port["targetPort"],
                    "must be between 1 and 65535, inclusive",
                ));
            }
            Value::String(target) => {
                if let Some(why) = port_name(target) {
                    causes.push(Cause::invalid(
                        format!("{at}.targetPort"),
                        &port["targetPort"],
                        why,
                    ));
                }
            }
            _ => {}
        }
        if seen.contains(&(number, protocol)) {
            causes.push(Cause::duplicate(at, &json!({"port": number, "protocol": protocol})));
        }
        seen.push((number, protocol));
    }
    causes
}

fn config_map(object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut size = 0;
    for field in ["data", "binaryData"] {
        for (key, value) in object[field].as_object().into_iter().flatten() {
            if let Some(why) = names::config_key(key) {
                causes.push(Cause::invalid(format!("{field}[{key}]"), &json!(key), why));
            }
            size += value.as_str().unwrap_or_default().len();
        }
    }
    for (key, _) in object["binaryData"].as_object().into_iter().flatten() {
        if object["data"].get(key).is_some() {
            causes.push(Cause::invalid(
                format!("data[{key}]"),
                &json!(key),
                "duplicate of key present in binaryData",
            ));
        }
    }
    if size > 1024 * 1024 {
        causes.push(Cause::too_long("[]", 1024 * 1024));
    }
    causes
}

fn secret(object: &Value, before: Option<&Value>) -> Vec<Cause> {
    use base64::Engine;
    let mut causes = Vec::new();
    let mut size = 0;
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        if let Some(why) = names::config_key(key) {
            causes.push(Cause::invalid(format!("data[{key}]"), &json!(key), why));
        }
        let text = value.as_str().unwrap_or_default();
        match base64::engine::general_purpose::STANDARD.decode(text) {
            Ok(bytes) => size += bytes.len(),
            Err(_) => causes.push(Cause::invalid(
                format!("data[{key}]"),
                &json!("<secret contents redacted>"),
                "illegal base64 data",
            )),
        }
    }
    if size > 1024 * 1024 {
        causes.push(Cause::too_long("data", 1024 * 1024));
    }
    let need = |key: &str, causes: &mut Vec<Cause>| {
        if object["data"].get(key).is_none() {
            causes.push(Cause::required(format!("data[{key}]"), ""));
        }
    };
    match object["type"].as_str() {
        Some("kubernetes.io/tls") => {
            need("tls.crt", &mut causes);
            need("tls.key", &mut causes);
        }
        Some("kubernetes.io/dockerconfigjson") => {
            need(".dockerconfigjson", &mut causes);
            let text = object["data"][".dockerconfigjson"].as_str().unwrap_or_default();
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
            if serde_json::from_slice::<Value>(&bytes).is_err() {
                causes.push(Cause::invalid(
                    "data[.dockerconfigjson]",
                    &json!("<secret contents redacted>"),
                    "invalid character",
                ));
            }
        }
        Some("kubernetes.io/basic-auth") => {
            let has = |key: &str| object["data"].get(key).is_some();
            if !has("username") && !has("password") {
                causes.push(Cause::required("data[username]", ""));
                causes.push(Cause::required("data[password]", ""));
            }
        }
        Some("kubernetes.io/ssh-auth") => need("ssh-privatekey", &mut causes),
        Some("kubernetes.io/service-account-token") if before.is_none() => {
            let account = &object["metadata"]["annotations"]["kubernetes.io/service-account.name"];
            if account.as_str().unwrap_or_default().is_empty() {
                causes.push(Cause::required(
                    "metadata.annotations[kubernetes.io/service-account.name]",
                    "",
                ));
            }
        }
        _ => {}
    }
    causes
}

fn claim(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let known = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let modes = spec["accessModes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if modes.is_empty() {
        causes.push(Cause::required("spec.accessModes", "at least 1 access mode is required"));
    }
    for mode in modes {
        if !known.iter().any(|one| mode == one) {
            causes.push(Cause::not_supported("spec.accessModes", mode, &known));
        }
    }
    let size = &spec["resources"]["requests"]["storage"];
    match quantity::of(size) {
        None if size.is_null() => causes.push(Cause::required("spec.resources[storage]", "")),
        None => causes.push(Cause::invalid("spec.resources[storage]", size, quantity::NOT_ONE)),
        Some(amount) if amount <= 0 => causes.push(Cause::invalid(
            "spec.resources[storage]",
            size,
            "must be greater than zero",
        )),
        Some(_) => {}
    }
    causes
}

fn volume(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if spec["accessModes"].as_array().is_none_or(|modes| modes.is_empty()) {
        causes.push(Cause::required("spec.accessModes", ""));
    }
    if spec["capacity"]["storage"].is_null() {
        causes.push(Cause::required("spec.capacity", ""));
    }
    let sources = ["hostPath", "nfs", "csi", "local", "iscsi", "fc", "cephfs", "rbd"];
    if !sources.iter().any(|source| spec[*source].is_object()) {
        causes.push(Cause::required("spec", "must specify a volume type"));
    }
    causes
}

fn quota(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (name, value) in spec["hard"].as_object().into_iter().flatten() {
        match quantity::of(value) {
            Some(amount) if amount >= 0 => {}
            Some(_) => causes.push(Cause::invalid(
                format!("spec.hard[{name}]"),
                value,
                "must be greater than or equal to 0",
            )),
            None => {
                causes.push(Cause::invalid(format!("spec.hard[{name}]"), value, quantity::NOT_ONE))
            }
        }
    }
    causes
}

fn ingress(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let rules = spec["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rules.is_empty() && !spec["defaultBackend"].is_object() {
        causes.push(Cause::invalid(
            "spec",
            &Value::Null,
            "either `defaultBackend` or `rules` must be specified",
        ));
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = format!("spec.rules[{index}]");
        if let Some(host) = rule["host"].as_str().filter(|host| !host.is_empty()) {
            let bare = host.strip_prefix("*.").unwrap_or(host);
            if let Some(why) = names::subdomain(bare) {
                causes.push(Cause::invalid(format!("{at}.host"), &json!(host), why));
            }
        }
        let paths = rule["http"]["paths"].as_array().map(Vec::as_slice).unwrap_or_default();
        if rule["http"].is_object() && paths.is_empty() {
            causes.push(Cause::required(format!("{at}.http.paths"), ""));
        }
        for (number, path) in paths.iter().enumerate() {
            let at = format!("{at}.http.paths[{number}]");
            let kinds = ["Exact", "ImplementationSpecific", "Prefix"];
            match path["pathType"].as_str() {
                None => causes
                    .push(Cause::required(format!("{at}.pathType"), "pathType must be specified")),
                Some(kind) if !kinds.contains(&kind) => causes.push(Cause::not_supported(
                    format!("{at}.pathType"),
                    &json!(kind),
                    &kinds,
                )),
                Some("ImplementationSpecific") => {}
                Some(_) => {
                    let text = path["path"].as_str().unwrap_or_default();
                    if !text.starts_with('/') {
                        causes.push(Cause::invalid(
                            format!("{at}.path"),
                            &json!(text),
                            "must be an absolute path",
                        ));
                    }
                }
            }
            let backend = &path["backend"];
            let (service, resource) = (&backend["service"], &backend["resource"]);
            if !service.is_object() && !resource.is_object() {
                causes.push(Cause::required(
                    format!("{at}.backend"),
                    "service name or resource is required",
                ));
            } else if service.is_object() {
                if service["name"].as_str().unwrap_or_default().is_empty() {
                    causes.push(Cause::required(format!("{at}.backend.service.name"), ""));
                }
                let port = &service["port"];
                if port["number"].as_i64().unwrap_or(0) == 0
                    && port["name"].as_str().unwrap_or_default().is_empty()
                {
                    causes.push(Cause::required(
                        format!("{at}.backend.service.port"),
                        "port name or number is required",
                    ));
                }
            }
        }
    }
    causes
}

fn autoscaler(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let most = spec["maxReplicas"].as_i64().unwrap_or(0);
    let least = spec["minReplicas"].as_i64().unwrap_or(1);
    if least < 1 {
        causes.push(Cause::invalid(
            "spec.minReplicas",
            &json!(least),
            "must be greater than or equal to 1",
        ));
    }
    if most < 1 {
        causes.push(Cause::invalid("spec.maxReplicas", &json!(most), "must be greater than 0"));
    }
    if most < least {
        causes.push(Cause::invalid(
            "spec.maxReplicas",
            &json!(most),
            "must be greater than or equal to `minReplicas`",
        ));
    }
    for field in ["kind", "name"] {
        if spec["scaleTargetRef"][field].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("spec.scaleTargetRef.{field}"), ""));
        }
    }
    causes
}

fn budget(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        causes.push(Cause::invalid(
            "spec",
            spec,
            "minAvailable and maxUnavailable cannot be both set",
        ));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        if spec[field].as_i64().is_some_and(|count| count < 0) {
            causes.push(Cause::invalid(
                format!("spec.{field}"),
                &spec[field],
                "must be greater than or equal to 0",
            ));
        }
    }
    causes.extend(selector("spec.selector", &spec["selector"]));
    causes
}

fn role(object: &Value, cluster: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (index, rule) in object["rules"].as_array().into_iter().flatten().enumerate() {
        let at = format!("rules[{index}]");
        let count = |field: &str| rule[field].as_array().map_or(0, Vec::len);
        if count("verbs") == 0 {
            causes.push(Cause::required(
                format!("{at}.verbs"),
                "verbs must contain at least one value",
            ));
        }
        if count("nonResourceURLs") > 0 {
            if !cluster {
                causes.push(Cause::invalid(
                    format!("{at}.nonResourceURLs"),
                    &rule["nonResourceURLs"],
                    "namespaced rules cannot apply to non-resource URLs",
                ));
            }
            if count("apiGroups") + count("resources") + count("resourceNames") > 0 {
                causes.push(Cause::invalid(
                    format!("{at}.nonResourceURLs"),
                    &rule["nonResourceURLs"],
                    "rules cannot apply to both regular resources and non-resource URLs",
                ));
            }
            continue;
        }
        if count("apiGroups") == 0 {
            causes.push(Cause::required(
                format!("{at}.apiGroups"),
                "resource rules must supply at least one api group",
            ));
        }
        if count("resources") == 0 {
            causes.push(Cause::required(
                format!("{at}.resources"),
                "resource rules must supply at least one resource",
            ));
        }
    }
    causes
}

fn binding(object: &Value, namespaced: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    let role = &object["roleRef"];
    if role["apiGroup"] != "rbac.authorization.k8s.io" {
        causes.push(Cause::not_supported(
            "roleRef.apiGroup",
            &role["apiGroup"],
            &["rbac.authorization.k8s.io"],
        ));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.iter().any(|kind| role["kind"] == *kind) {
        causes.push(Cause::not_supported("roleRef.kind", &role["kind"], kinds));
    }
    if role["name"].as_str().unwrap_or_default().is_empty() {
        causes.push(Cause::required("roleRef.name", ""));
    }
    for (index, subject) in object["subjects"].as_array().into_iter().flatten().enumerate() {
        let at = format!("subjects[{index}]");
        if subject["name"].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("{at}.name"), ""));
        }
        match subject["kind"].as_str() {
            Some("ServiceAccount") => {
                if subject["namespace"].as_str().unwrap_or_default().is_empty() && !namespaced {
                    causes.push(Cause::required(format!("{at}.namespace"), ""));
                }
                if subject["apiGroup"].as_str().is_some_and(|group| !group.is_empty()) {
                    causes.push(Cause::not_supported(
                        format!("{at}.apiGroup"),
                        &subject["apiGroup"],
                        &[""],
                    ));
                }
            }
            Some("User" | "Group") => {
                if subject["apiGroup"] != "rbac.authorization.k8s.io" {
                    causes.push(Cause::not_supported(
                        format!("{at}.apiGroup"),
                        &subject["apiGroup"],
                        &["rbac.authorization.k8s.io"],
                    ));
                }
            }
            other => causes.push(Cause::not_supported(
                format!("{at}.kind"),
                &json!(other),
                &["ServiceAccount", "User", "Group"],
            )),
        }
    }
    causes
}

fn definition(cluster: &Cluster, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let spec = &object["spec"];
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, plural) = (word(&spec["group"]), word(&spec["names"]["plural"]));
    let name = word(&object["metadata"]["name"]);
    if name != format!("{plural}.{group}") {
        causes.push(Cause::invalid(
            "metadata.name",
            &json!(name),
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    if group.is_empty() {
        causes.push(Cause::required("spec.group", ""));
    } else if !group.contains('.') {
        causes.push(Cause::invalid(
            "spec.group",
            &json!(group),
            "should be a domain with at least one dot",
        ));
    }
    for field in ["plural", "kind"] {
        if word(&spec["names"][field]).is_empty() {
            causes.push(Cause::required(format!("spec.names.{field}"), ""));
        }
    }
    if !matches!(spec["scope"].as_str(), Some("Cluster" | "Namespaced")) {
        causes.push(Cause::not_supported("spec.scope", &spec["scope"], &["Cluster", "Namespaced"]));
    }
    let versions = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let stored = versions.iter().filter(|version| version["storage"] == true).count();
    if stored != 1 {
        causes.push(Cause::invalid(
            "spec.versions",
            &spec["versions"],
            "must have exactly one version marked as storage version",
        ));
    }
    for (index, version) in versions.iter().enumerate() {
        let at = format!("spec.versions[{index}].schema.openAPIV3Schema");
        let schema = &version["schema"]["openAPIV3Schema"];
        if !schema.is_object() {
            causes.push(Cause::required(at, "schemas are required"));
        } else if schema["type"] != "object" {
            let at = format!("{at}.type");
            if schema["type"].is_null() {
                causes.push(Cause::required(at, "must not be empty at the root"));
            } else {
                causes.push(Cause::invalid(at, &schema["type"], "must be object at the root"));
            }
        } else {
            structural(schema, &at, &mut causes);
        }
    }
    let strategy = spec["conversion"]["strategy"].as_str().unwrap_or("None");
    if strategy != "None" {
        // The real server has webhooks here; this one says that it has not.
        causes.push(Cause::not_supported("spec.conversion.strategy", &json!(strategy), &["None"]));
    }
    let taken = cluster.catalog.now().resources.iter().any(|resource| {
        resource.group == group
            && resource.kind == word(&spec["names"]["kind"])
            && resource.plural != plural
    });
    if taken {
        causes.push(Cause::invalid("spec.names.kind", &spec["names"]["kind"], "is already in use"));
    }
    causes
}

/// Each part of a structural schema has a type.
fn structural(schema: &Value, at: &str, causes: &mut Vec<Cause>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let at = format!("{at}.properties[{name}]");
        let typed = property["type"].is_string()
            || property["x-kubernetes-preserve-unknown-fields"] == true
            || property["x-kubernetes-int-or-string"] == true;
        if !typed {
            causes.push(Cause::required(
                format!("{at}.type"),
                "must not be empty for specified object fields",
            ));
        }
        if property["type"] == "array" && !property["items"].is_object() {
            causes.push(Cause::required(format!("{at}.items"), "must be specified"));
        }
        structural(property, &at, causes);
    }
    if schema["items"].is_object() {
        structural(&schema["items"], &format!("{at}.items"), causes);
    }
}

fn webhooks(object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (index, webhook) in object["webhooks"].as_array().into_iter().flatten().enumerate() {
        let at = format!("webhooks[{index}]");
        let name = webhook["name"].as_str().unwrap_or_default();
        if name.split('.').count() < 3 {
            causes.push(Cause::invalid(
                format!("{at}.name"),
                &json!(name),
                "should be a domain with at least three segments separated by dots",
            ));
        }
        if webhook["sideEffects"].is_null() {
            causes.push(Cause::required(
                format!("{at}.sideEffects"),
                "must specify one of None, NoneOnDryRun",
            ));
        }
        if !webhook["admissionReviewVersions"].as_array().into_iter().flatten().any(|v| v == "v1") {
            causes.push(Cause::invalid(
                format!("{at}.admissionReviewVersions"),
                &webhook["admissionReviewVersions"],
                "must include at least one of v1, v1beta1",
            ));
        }
        let config = &webhook["clientConfig"];
        if config["url"].is_string() == config["service"].is_object() {
            causes.push(Cause::required(
                format!("{at}.clientConfig"),
                "exactly one of url or service is required",
            ));
        }
        if let Some(url) = config["url"].as_str().filter(|url| !url.starts_with("https://")) {
            causes.push(Cause::invalid(
                format!("{at}.clientConfig.url"),
                &json!(url.split(':').next()),
                "'https' is the only allowed URL scheme; desired format: https://host[/path]",
            ));
        }
    }
    causes
}

fn event(object: &Value) -> Vec<Cause> {
    let namespace = &object["metadata"]["namespace"];
    let about = object["involvedObject"].get("namespace").or(object["regarding"].get("namespace"));
    match about {
        Some(about) if about != namespace && about != "" => vec![Cause::invalid(
            "involvedObject.namespace",
            about,
            "does not match event.namespace",
        )],
        _ => Vec::new(),
    }
}
