//! The cells of built-in kinds, as Kubernetes' printers write them.

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::clock;

const NONE: &str = "<none>";

/// How long ago, in at most two units.
pub fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        i64::MIN..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => match seconds % 60 {
            0 => format!("{minutes}m"),
            rest => format!("{minutes}m{rest}s"),
        },
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => match minutes % 60 {
            0 => format!("{hours}h"),
            rest => format!("{hours}h{rest}m"),
        },
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => match hours % 24 {
            0 => format!("{days}d"),
            rest => format!("{days}d{rest}h"),
        },
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => match days % 365 {
            0 => format!("{}y", days / 365),
            rest => format!("{}y{rest}d", days / 365),
        },
        _ => format!("{}y", days / 365),
    }
}

/// How long ago a time was.
pub fn age(text: &str, now: OffsetDateTime) -> String {
    match clock::parse(text) {
        Some(time) => human((now - time).whole_seconds()),
        None => "<unknown>".to_owned(),
    }
}

fn ago(value: &Value, now: OffsetDateTime) -> String {
    value.as_str().map_or_else(|| "<unknown>".to_owned(), |text| age(text, now))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn or_none(text: &str) -> String {
    if text.is_empty() { NONE.to_owned() } else { text.to_owned() }
}

fn count(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn names(containers: &Value, key: &str) -> String {
    list(containers).iter().map(|one| word(&one[key])).collect::<Vec<_>>().join(",")
}

/// A label selector as text.
fn selector(selector: &Value) -> String {
    let mut terms: Vec<String> = selector["matchLabels"]
        .as_object()
        .map(|labels| labels.iter().map(|(k, v)| format!("{k}={}", word(v))).collect())
        .unwrap_or_default();
    terms.sort();
    for expression in list(&selector["matchExpressions"]) {
        let key = word(&expression["key"]);
        let values: Vec<_> = list(&expression["values"]).iter().map(word).collect();
        let values = values.join(",");
        terms.push(match word(&expression["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    or_none(&terms.join(","))
}

fn plain_selector(labels: &Value) -> String {
    let mut terms: Vec<String> = labels
        .as_object()
        .map(|labels| labels.iter().map(|(k, v)| format!("{k}={}", word(v))).collect())
        .unwrap_or_default();
    terms.sort();
    or_none(&terms.join(","))
}

fn workload(object: &Value) -> [Value; 2] {
    let containers = &object["spec"]["template"]["spec"]["containers"];
    [json!(names(containers, "name")), json!(names(containers, "image"))]
}

/// The cells of an object.
pub fn cells(group: &str, plural: &str, object: &Value, now: OffsetDateTime) -> Value {
    let name = json!(word(&object["metadata"]["name"]));
    let created = json!(ago(&object["metadata"]["creationTimestamp"], now));
    let (spec, status) = (&object["spec"], &object["status"]);
    match (group, plural) {
        ("", "pods") => pod(object, name, created, now),
        ("apps", "deployments") => {
            let [containers, images] = workload(object);
            json!([
                name,
                format!("{}/{}", count(&status["readyReplicas"]), count(&spec["replicas"])),
                count(&status["updatedReplicas"]),
                count(&status["availableReplicas"]),
                created,
                containers,
                images,
                selector(&spec["selector"])
            ])
        }
        ("apps", "replicasets") => {
            let [containers, images] = workload(object);
            json!([
                name,
                count(&spec["replicas"]),
                count(&status["replicas"]),
                count(&status["readyReplicas"]),
                created,
                containers,
                images,
                selector(&spec["selector"])
            ])
        }
        ("", "replicationcontrollers") => {
            let [containers, images] = workload(object);
            json!([
                name,
                count(&spec["replicas"]),
                count(&status["replicas"]),
                count(&status["readyReplicas"]),
                created,
                containers,
                images,
                plain_selector(&spec["selector"])
            ])
        }
        ("apps", "daemonsets") => {
            let [containers, images] = workload(object);
            json!([
                name,
                count(&status["desiredNumberScheduled"]),
                count(&status["currentNumberScheduled"]),
                count(&status["numberReady"]),
                count(&status["updatedNumberScheduled"]),
                count(&status["numberAvailable"]),
                plain_selector(&spec["template"]["spec"]["nodeSelector"]),
                created,
                containers,
                images,
                selector(&spec["selector"])
            ])
        }
        ("apps", "statefulsets") => {
            let [containers, images] = workload(object);
            let ready = format!("{}/{}", count(&status["readyReplicas"]), count(&spec["replicas"]));
            json!([name, ready, created, containers, images])
        }
        ("apps", "controllerrevisions") => {
            let controller = list(&object["metadata"]["ownerReferences"])
                .iter()
                .find(|owner| owner["controller"] == true)
                .map(|owner| {
                    let (group, _) =
                        crate::resources::split_api_version(word(&owner["apiVersion"]));
                    let kind = word(&owner["kind"]).to_lowercase();
                    format!("{}/{}", crate::status::qualified(&kind, &group), word(&owner["name"]))
                })
                .unwrap_or_else(|| NONE.to_owned());
            json!([name, controller, count(&object["revision"]), created])
        }
        ("batch", "jobs") => job(object, name, created, now),
        ("batch", "cronjobs") => {
            let containers = &spec["jobTemplate"]["spec"]["template"]["spec"]["containers"];
            let last = match status["lastScheduleTime"].as_str() {
                Some(time) => age(time, now),
                None => NONE.to_owned(),
            };
            json!([
                name,
                word(&spec["schedule"]),
                or_none(word(&spec["timeZone"])),
                spec["suspend"].as_bool().unwrap_or(false),
                list(&status["active"]).len(),
                last,
                created,
                names(containers, "name"),
                names(containers, "image"),
                selector(&spec["jobTemplate"]["spec"]["selector"])
            ])
        }
        ("", "services") => service(object, name, created),
        ("", "endpoints") => json!([name, endpoints(object), created]),
        ("discovery.k8s.io", "endpointslices") => {
            let ports: Vec<_> = list(&object["ports"])
                .iter()
                .map(|port| port["port"].as_i64().map_or("*".to_owned(), |p| p.to_string()))
                .collect();
            let addresses: Vec<_> = list(&object["endpoints"])
                .iter()
                .flat_map(|endpoint| list(&endpoint["addresses"]).iter().map(word))
                .collect();
            json!([name, word(&object["addressType"]), few(&ports), few(&addresses), created])
        }
        ("networking.k8s.io", "ingresses") => ingress(object, name, created),
        ("networking.k8s.io", "ingressclasses") => {
            let parameters = &spec["parameters"];
            let parameters = match parameters["kind"].as_str() {
                Some(kind) => {
                    let kind = crate::status::qualified(kind, word(&parameters["apiGroup"]));
                    format!("{kind}/{}", word(&parameters["name"]))
                }
                None => NONE.to_owned(),
            };
            json!([name, word(&spec["controller"]), parameters, created])
        }
        ("networking.k8s.io", "networkpolicies") => {
            json!([name, selector(&spec["podSelector"]), created])
        }
        ("", "nodes") => node(object, name, created),
        ("", "namespaces") => json!([name, word(&status["phase"]), created]),
        ("", "configmaps") => {
            let size = |key: &str| object[key].as_object().map_or(0, serde_json::Map::len);
            json!([name, size("data") + size("binaryData"), created])
        }
        ("", "secrets") => {
            let size = object["data"].as_object().map_or(0, serde_json::Map::len);
            json!([name, word(&object["type"]), size, created])
        }
        ("", "serviceaccounts") => json!([name, created]),
        ("", "persistentvolumes") => {
            let claim = &spec["claimRef"];
            let claim = match claim["name"].as_str() {
                Some(name) => format!("{}/{name}", word(&claim["namespace"])),
                None => String::new(),
            };
            let phase = if object["metadata"]["deletionTimestamp"].is_string() {
                "Terminating"
            } else {
                word(&status["phase"])
            };
            json!([
                name,
                word(&spec["capacity"]["storage"]),
                modes(&spec["accessModes"]),
                word(&spec["persistentVolumeReclaimPolicy"]),
                phase,
                claim,
                word(&spec["storageClassName"]),
                unset(&spec["volumeAttributesClassName"]),
                word(&status["reason"]),
                created,
                unset(&spec["volumeMode"])
            ])
        }
        ("", "persistentvolumeclaims") => {
            let phase = if object["metadata"]["deletionTimestamp"].is_string() {
                "Terminating"
            } else {
                word(&status["phase"])
            };
            let bound = spec["volumeName"].as_str().is_some_and(|name| !name.is_empty());
            let (capacity, access) = if bound {
                (word(&status["capacity"]["storage"]).to_owned(), modes(&status["accessModes"]))
            } else {
                (String::new(), String::new())
            };
            json!([
                name,
                phase,
                word(&spec["volumeName"]),
                capacity,
                access,
                word(&spec["storageClassName"]),
                unset(&spec["volumeAttributesClassName"]),
                created,
                unset(&spec["volumeMode"])
            ])
        }
        ("storage.k8s.io", "storageclasses") => {
            let default = object["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"]
                == "true";
            let name =
                if default { format!("{} (default)", word(&name)) } else { word(&name).to_owned() };
            json!([
                name,
                word(&object["provisioner"]),
                object["reclaimPolicy"].as_str().unwrap_or("Delete"),
                object["volumeBindingMode"].as_str().unwrap_or("Immediate"),
                object["allowVolumeExpansion"].as_bool().unwrap_or(false),
                created
            ])
        }
        ("", "events") => event(object, name, now),
        ("autoscaling", "horizontalpodautoscalers") => autoscaler(object, name, created),
        ("policy", "poddisruptionbudgets") => {
            let shown = |value: &Value| match value {
                Value::Null => "N/A".to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            json!([
                name,
                shown(&spec["minAvailable"]),
                shown(&spec["maxUnavailable"]),
                count(&status["disruptionsAllowed"]),
                created
            ])
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            let of = |kind: &str| {
                let subjects = list(&object["subjects"]).iter().filter(|s| s["kind"] == kind);
                subjects
                    .map(|s| match s["namespace"].as_str() {
                        Some(namespace) => format!("{namespace}/{}", word(&s["name"])),
                        None => word(&s["name"]).to_owned(),
                    })
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let role = &object["roleRef"];
            let role = format!("{}/{}", word(&role["kind"]), word(&role["name"]));
            json!([name, role, created, of("User"), of("Group"), of("ServiceAccount")])
        }
        ("", "resourcequotas") => quota(object, name, created),
        ("coordination.k8s.io", "leases") => {
            json!([name, word(&spec["holderIdentity"]), created])
        }
        ("scheduling.k8s.io", "priorityclasses") => json!([
            name,
            count(&object["value"]),
            object["globalDefault"].as_bool().unwrap_or(false),
            created,
            word(&object["preemptionPolicy"])
        ]),
        (
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations" | "mutatingwebhookconfigurations",
        ) => json!([name, list(&object["webhooks"]).len(), created]),
        ("node.k8s.io", "runtimeclasses") => json!([name, word(&object["handler"]), created]),
        ("storage.k8s.io", "csinodes") => json!([name, list(&spec["drivers"]).len(), created]),
        ("certificates.k8s.io", "certificatesigningrequests") => {
            let mut condition: Vec<_> =
                list(&status["conditions"]).iter().map(|c| word(&c["type"])).collect();
            if condition.is_empty() {
                condition.push("Pending");
            } else if status["certificate"].is_string() {
                condition.push("Issued");
            }
            let duration = spec["expirationSeconds"].as_i64().map_or(NONE.to_owned(), human);
            json!([
                name,
                created,
                word(&spec["signerName"]),
                word(&spec["username"]),
                duration,
                condition.join(",")
            ])
        }
        ("", "componentstatuses") => {
            let condition = &object["conditions"][0];
            let healthy = if condition["status"] == "True" { "Healthy" } else { "Unhealthy" };
            json!([name, healthy, word(&condition["message"]), word(&condition["error"])])
        }
        ("", "podtemplates") => {
            let containers = &object["template"]["spec"]["containers"];
            json!([
                name,
                names(containers, "name"),
                names(containers, "image"),
                plain_selector(&object["template"]["metadata"]["labels"])
            ])
        }
        ("apiregistration.k8s.io", "apiservices") => {
            let service = match spec["service"]["name"].as_str() {
                Some(name) => format!("{}/{name}", word(&spec["service"]["namespace"])),
                None => "Local".to_owned(),
            };
            let available = list(&status["conditions"])
                .iter()
                .find(|condition| condition["type"] == "Available")
                .map_or("Unknown".to_owned(), |condition| match condition["status"].as_str() {
                    Some("True") => "True".to_owned(),
                    other => {
                        format!("{} ({})", other.unwrap_or_default(), word(&condition["reason"]))
                    }
                });
            json!([name, service, available, created])
        }
        ("storage.k8s.io", "csidrivers") => json!([
            name,
            spec["attachRequired"].as_bool().unwrap_or(true),
            spec["podInfoOnMount"].as_bool().unwrap_or(false),
            spec["storageCapacity"].as_bool().unwrap_or(false),
            "<unset>",
            spec["requiresRepublish"].as_bool().unwrap_or(false),
            list(&spec["volumeLifecycleModes"]).iter().map(word).collect::<Vec<_>>().join(","),
            created
        ]),
        _ => json!([name, object["metadata"]["creationTimestamp"]]),
    }
}

fn unset(value: &Value) -> String {
    value.as_str().map_or_else(|| "<unset>".to_owned(), str::to_owned)
}

fn few<T: AsRef<str>>(values: &[T]) -> String {
    let shown: Vec<_> = values.iter().take(3).map(AsRef::as_ref).collect();
    match values.len() {
        0 => "<unset>".to_owned(),
        1..=3 => shown.join(","),
        more => format!("{} + {} more...", shown.join(","), more - 3),
    }
}

fn modes(modes: &Value) -> String {
    let short = |mode: &Value| match word(mode) {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "",
    };
    list(modes).iter().map(short).collect::<Vec<_>>().join(",")
}

fn pod(object: &Value, name: Value, created: Value, now: OffsetDateTime) -> Value {
    let (spec, status) = (&object["spec"], &object["status"]);
    let total = list(&spec["containers"]).len();
    let mut total = total;
    let mut reason = word(&status["phase"]).to_owned();
    if let Some(why) = status["reason"].as_str().filter(|why| !why.is_empty()) {
        reason = why.to_owned();
    }
    for condition in list(&status["conditions"]) {
        if condition["type"] == "PodScheduled" && condition["reason"] == "SchedulingGated" {
            reason = "SchedulingGated".to_owned();
        }
    }
    let sidecar = |name: &Value| {
        list(&spec["initContainers"])
            .iter()
            .any(|one| one["name"] == *name && one["restartPolicy"] == "Always")
    };
    let mut restarts = 0;
    let mut last_restart: Option<OffsetDateTime> = None;
    let mut sidecar_restarts = 0;
    let mut ready = 0;
    let mut note = |container: &Value| {
        let ended = &container["lastState"]["terminated"]["finishedAt"];
        if let Some(time) = ended.as_str().and_then(clock::parse) {
            last_restart = Some(last_restart.map_or(time, |last| last.max(time)));
        }
    };
    let mut initializing = false;
    let inits = list(&spec["initContainers"]);
    total += inits.iter().filter(|one| one["restartPolicy"] == "Always").count();
    for (index, container) in list(&status["initContainerStatuses"]).iter().enumerate() {
        restarts += count(&container["restartCount"]);
        note(container);
        let state = &container["state"];
        if sidecar(&container["name"]) {
            sidecar_restarts += count(&container["restartCount"]);
            if container["started"] == true {
                if container["ready"] == true {
                    ready += 1;
                }
                continue;
            }
        }
        if state["terminated"]["exitCode"] == 0 && state["terminated"].is_object() {
            continue;
        }
        if state["terminated"].is_object() {
            let ended = &state["terminated"];
            reason = match (ended["reason"].as_str(), count(&ended["signal"])) {
                (Some(why), _) if !why.is_empty() => format!("Init:{why}"),
                (_, signal) if signal != 0 => format!("Init:Signal:{signal}"),
                _ => format!("Init:ExitCode:{}", count(&ended["exitCode"])),
            };
        } else if let Some(why) = state["waiting"]["reason"]
            .as_str()
            .filter(|why| !why.is_empty() && *why != "PodInitializing")
        {
            reason = format!("Init:{why}");
        } else {
            reason = format!("Init:{index}/{}", inits.len());
        }
        initializing = true;
        break;
    }
    if !initializing {
        restarts = sidecar_restarts;
        let mut running = false;
        for container in list(&status["containerStatuses"]).iter().rev() {
            restarts += count(&container["restartCount"]);
            note(container);
            let state = &container["state"];
            if let Some(why) = state["waiting"]["reason"].as_str().filter(|why| !why.is_empty()) {
                reason = why.to_owned();
            } else if state["terminated"].is_object() {
                let ended = &state["terminated"];
                reason = match (ended["reason"].as_str(), count(&ended["signal"])) {
                    (Some(why), _) if !why.is_empty() => why.to_owned(),
                    (_, signal) if signal != 0 => format!("Signal:{signal}"),
                    _ => format!("ExitCode:{}", count(&ended["exitCode"])),
                };
            } else if container["ready"] == true && state["running"].is_object() {
                running = true;
                ready += 1;
            }
        }
        if reason == "Completed" && running {
            let is_ready = list(&status["conditions"])
                .iter()
                .any(|c| c["type"] == "Ready" && c["status"] == "True");
            reason = if is_ready { "Running" } else { "NotReady" }.to_owned();
        }
    }
    if object["metadata"]["deletionTimestamp"].is_string() {
        let lost = status["reason"] == "NodeLost";
        if lost {
            reason = "Unknown".to_owned();
        } else if !matches!(word(&status["phase"]), "Failed" | "Succeeded") {
            reason = "Terminating".to_owned();
        }
    }
    let restarts = match last_restart {
        Some(time) if restarts > 0 => {
            format!("{restarts} ({} ago)", human((now - time).whole_seconds()))
        }
        _ => restarts.to_string(),
    };
    let ip = status["podIPs"][0]["ip"].as_str().or(status["podIP"].as_str()).unwrap_or_default();
    let gates = list(&spec["readinessGates"]);
    let gates = if gates.is_empty() {
        NONE.to_owned()
    } else {
        let is_true = |gate: &&Value| {
            list(&status["conditions"])
                .iter()
                .any(|c| c["type"] == gate["conditionType"] && c["status"] == "True")
        };
        format!("{}/{}", gates.iter().filter(is_true).count(), gates.len())
    };
    json!([
        name,
        format!("{ready}/{total}"),
        reason,
        restarts,
        created,
        or_none(ip),
        or_none(word(&spec["nodeName"])),
        or_none(word(&status["nominatedNodeName"])),
        gates
    ])
}

fn job(object: &Value, name: Value, created: Value, now: OffsetDateTime) -> Value {
    let (spec, status) = (&object["spec"], &object["status"]);
    let is = |kind: &str| {
        list(&status["conditions"]).iter().any(|c| c["type"] == kind && c["status"] == "True")
    };
    let state = if is("Complete") {
        "Complete"
    } else if is("Failed") {
        "Failed"
    } else if object["metadata"]["deletionTimestamp"].is_string() {
        "Terminating"
    } else if is("Suspended") {
        "Suspended"
    } else if is("FailureTarget") {
        "FailureTarget"
    } else if is("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    let done = count(&status["succeeded"]);
    let completions = match (spec["completions"].as_i64(), spec["parallelism"].as_i64()) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, Some(many)) if many > 1 => format!("{done}/1 of {many}"),
        _ => format!("{done}/1"),
    };
    let time = |key: &str| status[key].as_str().and_then(clock::parse);
    let duration = match (time("startTime"), time("completionTime")) {
        (Some(start), Some(end)) => human((end - start).whole_seconds()),
        (Some(start), None) => human((now - start).whole_seconds()),
        _ => String::new(),
    };
    let [containers, images] = workload(object);
    json!([
        name,
        state,
        completions,
        duration,
        created,
        containers,
        images,
        selector(&spec["selector"])
    ])
}

fn service(object: &Value, name: Value, created: Value) -> Value {
    let (spec, status) = (&object["spec"], &object["status"]);
    let kind = word(&spec["type"]);
    let mut outside: Vec<&str> = list(&spec["externalIPs"]).iter().map(word).collect();
    let balanced: Vec<&str> = list(&status["loadBalancer"]["ingress"])
        .iter()
        .map(|one| one["ip"].as_str().unwrap_or_else(|| word(&one["hostname"])))
        .collect();
    let external = match kind {
        "LoadBalancer" => {
            outside.splice(0..0, balanced);
            if outside.is_empty() { "<pending>".to_owned() } else { outside.join(",") }
        }
        "ExternalName" => word(&spec["externalName"]).to_owned(),
        _ => or_none(&outside.join(",")),
    };
    let ports: Vec<_> = list(&spec["ports"])
        .iter()
        .map(|port| {
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            match port["nodePort"].as_i64().filter(|&port| port > 0) {
                Some(node) => format!("{}:{node}/{protocol}", count(&port["port"])),
                None => format!("{}/{protocol}", count(&port["port"])),
            }
        })
        .collect();
    let address = if kind == "ExternalName" { NONE } else { word(&spec["clusterIP"]) };
    json!([
        name,
        kind,
        or_none(address),
        external,
        or_none(&ports.join(",")),
        created,
        plain_selector(&spec["selector"])
    ])
}

fn endpoints(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in list(&object["subsets"]) {
        for address in list(&subset["addresses"]) {
            for port in list(&subset["ports"]) {
                all.push(format!("{}:{}", word(&address["ip"]), count(&port["port"])));
            }
            if list(&subset["ports"]).is_empty() {
                all.push(word(&address["ip"]).to_owned());
            }
        }
    }
    if all.is_empty() { NONE.to_owned() } else { few(&all) }
}

fn ingress(object: &Value, name: Value, created: Value) -> Value {
    let (spec, status) = (&object["spec"], &object["status"]);
    let mut hosts: Vec<&str> = Vec::new();
    for rule in list(&spec["rules"]) {
        let host = rule["host"].as_str().unwrap_or("*");
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    let hosts = match hosts.len() {
        0 => "*".to_owned(),
        1..=3 => hosts.join(","),
        more => format!("{} + {} more...", hosts[..3].join(","), more - 3),
    };
    let address: Vec<&str> = list(&status["loadBalancer"]["ingress"])
        .iter()
        .map(|one| one["ip"].as_str().unwrap_or_else(|| word(&one["hostname"])))
        .collect();
    let ports = if list(&spec["tls"]).is_empty() { "80" } else { "80, 443" };
    let class = spec["ingressClassName"]
        .as_str()
        .or_else(|| object["metadata"]["annotations"]["kubernetes.io/ingress.class"].as_str())
        .unwrap_or(NONE);
    json!([name, class, hosts, address.join(","), ports, created])
}

fn node(object: &Value, name: Value, created: Value) -> Value {
    let (spec, status) = (&object["spec"], &object["status"]);
    let mut state = match list(&status["conditions"]).iter().find(|c| c["type"] == "Ready") {
        Some(condition) if condition["status"] == "True" => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if spec["unschedulable"] == true {
        state.push_str(",SchedulingDisabled");
    }
    let mut roles: Vec<String> = object["metadata"]["labels"]
        .as_object()
        .map(|labels| {
            labels
                .iter()
                .filter_map(|(key, value)| {
                    key.strip_prefix("node-role.kubernetes.io/")
                        .map(str::to_owned)
                        .or_else(|| (key == "kubernetes.io/role").then(|| word(value).to_owned()))
                })
                .collect()
        })
        .unwrap_or_default();
    roles.sort();
    let address = |kind: &str| {
        let found = list(&status["addresses"]).iter().find(|a| a["type"] == kind);
        or_none(found.map(|a| word(&a["address"])).unwrap_or_default())
    };
    let info = &status["nodeInfo"];
    let known = |key: &str| match word(&info[key]) {
        "" => "<unknown>".to_owned(),
        text => text.to_owned(),
    };
    let kernel = match word(&info["architecture"]) {
        "" => known("kernelVersion"),
        architecture => format!("{} ({architecture})", known("kernelVersion")),
    };
    json!([
        name,
        state,
        or_none(&roles.join(",")),
        created,
        word(&info["kubeletVersion"]),
        address("InternalIP"),
        address("ExternalIP"),
        known("osImage"),
        kernel,
        known("containerRuntimeVersion")
    ])
}

fn event(object: &Value, name: Value, now: OffsetDateTime) -> Value {
    let time = |keys: &[&str]| {
        keys.iter()
            .find_map(|key| object[*key].as_str())
            .map_or_else(|| "<unknown>".to_owned(), |time| age(time, now))
    };
    let about = &object["involvedObject"];
    let kind = word(&about["kind"]).to_lowercase();
    let target = match about["name"].as_str() {
        Some(name) if !name.is_empty() => format!("{kind}/{name}"),
        _ => kind,
    };
    let source = match (word(&object["source"]["component"]), word(&object["source"]["host"])) {
        ("", _) => word(&object["reportingComponent"]).to_owned(),
        (component, "") => component.to_owned(),
        (component, host) => format!("{component}, {host}"),
    };
    let last = match object["series"]["lastObservedTime"].as_str() {
        Some(time) => age(time, now),
        None => time(&["lastTimestamp", "eventTime"]),
    };
    json!([
        last,
        word(&object["type"]),
        word(&object["reason"]),
        target,
        word(&about["fieldPath"]),
        source,
        word(&object["message"]).trim(),
        time(&["firstTimestamp", "eventTime"]),
        object["series"]["count"].as_i64().unwrap_or_else(|| count(&object["count"]).max(1)),
        name
    ])
}

fn autoscaler(object: &Value, name: Value, created: Value) -> Value {
    let (spec, status) = (&object["spec"], &object["status"]);
    let reference = &spec["scaleTargetRef"];
    let reference = format!("{}/{}", word(&reference["kind"]), word(&reference["name"]));
    let minimum = spec["minReplicas"].as_i64().map_or("<unset>".to_owned(), |n| n.to_string());
    let mut targets = Vec::new();
    for (index, metric) in list(&spec["metrics"]).iter().enumerate() {
        let current = &status["currentMetrics"][index];
        let part = match word(&metric["type"]) {
            "Resource" => "resource",
            "Pods" => "pods",
            "External" => "external",
            "ContainerResource" => "containerResource",
            _ => "object",
        };
        let (wanted, there) = (&metric[part]["target"], &current[part]["current"]);
        let text = if let Some(percent) = wanted["averageUtilization"].as_i64() {
            let there = there["averageUtilization"]
                .as_i64()
                .map_or("<unknown>".to_owned(), |n| format!("{n}%"));
            format!("{there}/{percent}%")
        } else {
            let there = there["averageValue"].as_str().unwrap_or("<unknown>");
            let wanted = wanted["averageValue"].as_str().unwrap_or_else(|| word(&wanted["value"]));
            format!("{there}/{wanted}")
        };
        let resource = word(&metric[part]["name"]);
        targets.push(if part == "resource" { format!("{resource}: {text}") } else { text });
    }
    let targets = match targets.len() {
        0 => NONE.to_owned(),
        1 | 2 => targets.join(", "),
        more => format!("{} + {} more...", targets[..2].join(", "), more - 2),
    };
    json!([
        name,
        reference,
        targets,
        minimum,
        count(&spec["maxReplicas"]).to_string(),
        count(&status["currentReplicas"]).to_string(),
        created
    ])
}

fn quota(object: &Value, name: Value, created: Value) -> Value {
    let (hard, used) = (&object["status"]["hard"], &object["status"]["used"]);
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, most) in hard.as_object().into_iter().flatten() {
        let line = format!("{resource}: {}/{}", word(&used[resource]), word(most));
        if resource.starts_with("limits.") { limits.push(line) } else { requests.push(line) }
    }
    json!([name, requests.join(", "), limits.join(", "), created])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (3600, "60m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (100_000, "27h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (86_400 * 800, "2y70d"),
        ] {
            assert_eq!(human(seconds), expected);
        }
    }

    #[test]
    fn a_crashing_pod_says_so() {
        let now = clock::parse("2026-01-01T00:10:00Z").unwrap();
        let pod = json!({
            "metadata": {"name": "web", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"containers": [{"name": "a"}], "nodeName": "node-1"},
            "status": {"phase": "Running", "containerStatuses": [{
                "name": "a", "ready": false, "restartCount": 4,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:09:00Z"}},
            }]},
        });
        let cells = cells("", "pods", &pod, now);
        assert_eq!(cells[1], "0/1");
        assert_eq!(cells[2], "CrashLoopBackOff");
        assert_eq!(cells[3], "4 (60s ago)");
        assert_eq!(cells[4], "10m");
    }
}
