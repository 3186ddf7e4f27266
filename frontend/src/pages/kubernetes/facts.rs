//! What an object's page says at first: the facts that people look for, its conditions, containers,
//! labels, and what it belongs to.

use drover_api::{ObjectDetail, Timestamp};
use leptos::prelude::*;
use serde_json::Value;

use super::{Kube, overview::quantity, secret::Data, split_type};
use crate::{
    components::*,
    format,
    i18n::{kubernetes, t},
    states::Tone,
};

/// Text at a place of an object: a string as it is, anything else as JSON.
fn text(object: &Value, pointer: &str) -> Option<String> {
    match object.pointer(pointer)? {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let parts: Vec<_> = items.iter().map(plain).collect();
            (!parts.is_empty()).then(|| parts.join(", "))
        }
        other => Some(plain(other)),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Names and texts at a place: labels, selectors.
fn pairs(object: &Value, pointer: &str) -> Vec<(String, String)> {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .map(|map| map.iter().map(|(key, value)| (key.clone(), plain(value))).collect())
        .unwrap_or_default()
}

fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    serde_json::from_value(object.pointer(pointer)?.clone()).ok()
}

/// The label selector of the pods that an object stands for, as `key=value,…`.
pub(super) fn pod_selector(type_id: &str, object: &Value) -> Option<String> {
    let place = if type_id == "services" { "/spec/selector" } else { "/spec/selector/matchLabels" };
    let mut parts: Vec<_> =
        pairs(object, place).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    if type_id != "services" {
        let expressions =
            object.pointer("/spec/selector/matchExpressions").and_then(Value::as_array);
        parts.extend(expressions.into_iter().flatten().filter_map(expression));
    }
    (!parts.is_empty()).then(|| parts.join(","))
}

fn expression(expression: &Value) -> Option<String> {
    let key = expression["key"].as_str()?;
    let values = || {
        let values = expression["values"].as_array().map(Vec::as_slice).unwrap_or_default();
        values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
    };
    Some(match expression["operator"].as_str()? {
        "In" => format!("{key} in ({})", values()),
        "NotIn" => format!("{key} notin ({})", values()),
        "Exists" => key.to_owned(),
        "DoesNotExist" => format!("!{key}"),
        _ => return None,
    })
}

/// Of all that an object says, what its kind is about: labels and texts.
fn facts(type_id: &str, object: &Value) -> Vec<(&'static str, String)> {
    let words = kubernetes();
    let of = |label: &'static str, pointer: &str| Some((label, text(object, pointer)?));
    let ready = |ready: &str, wanted: &str| {
        let wanted = text(object, wanted)?;
        let ready = text(object, ready).unwrap_or_else(|| "0".to_owned());
        Some((words.ready, format!("{ready} / {wanted}")))
    };
    let found = match split_type(type_id) {
        ("pods", "") => vec![
            of(words.phase, "/status/phase"),
            of(words.node, "/spec/nodeName"),
            of(words.pod_ip, "/status/podIP"),
            of(words.qos, "/status/qosClass"),
            of(words.service_account, "/spec/serviceAccountName"),
            of(words.priority, "/spec/priorityClassName"),
            of(words.restart_policy, "/spec/restartPolicy"),
        ],
        ("deployments", _) => vec![
            ready("/status/readyReplicas", "/spec/replicas"),
            of(words.up_to_date, "/status/updatedReplicas"),
            of(words.strategy, "/spec/strategy/type"),
            of(words.revision, "/metadata/annotations/deployment.kubernetes.io~1revision"),
        ],
        ("statefulsets", _) => vec![
            ready("/status/readyReplicas", "/spec/replicas"),
            of(words.up_to_date, "/status/updatedReplicas"),
            of(words.strategy, "/spec/updateStrategy/type"),
            of(words.service, "/spec/serviceName"),
        ],
        ("daemonsets", _) => vec![
            ready("/status/numberReady", "/status/desiredNumberScheduled"),
            of(words.up_to_date, "/status/updatedNumberScheduled"),
            of(words.strategy, "/spec/updateStrategy/type"),
        ],
        ("replicasets" | "replicationcontrollers", _) => {
            vec![ready("/status/readyReplicas", "/spec/replicas")]
        }
        ("jobs", _) => vec![
            of(words.succeeded, "/status/succeeded"),
            of(words.failed, "/status/failed"),
            of(words.completions, "/spec/completions"),
            of(words.parallelism, "/spec/parallelism"),
            of(words.backoff_limit, "/spec/backoffLimit"),
        ],
        ("cronjobs", _) => vec![
            of(words.schedule, "/spec/schedule"),
            of(words.time_zone, "/spec/timeZone"),
            of(words.concurrency, "/spec/concurrencyPolicy"),
            of(words.suspended, "/spec/suspend"),
        ],
        ("services", "") => vec![
            of(words.of_type, "/spec/type"),
            of(words.cluster_ip, "/spec/clusterIP"),
            of(words.external, "/status/loadBalancer/ingress/0/ip"),
            of(words.external, "/status/loadBalancer/ingress/0/hostname"),
            of(words.external, "/spec/externalName"),
            Some((words.ports, service_ports(object))),
        ],
        ("ingresses", _) => vec![
            of(words.class, "/spec/ingressClassName"),
            of(words.external, "/status/loadBalancer/ingress/0/ip"),
            of(words.external, "/status/loadBalancer/ingress/0/hostname"),
        ],
        ("persistentvolumeclaims", _) => vec![
            of(words.phase, "/status/phase"),
            of(words.capacity, "/status/capacity/storage"),
            of(words.asked_for, "/spec/resources/requests/storage"),
            of(words.storage_class, "/spec/storageClassName"),
            of(words.access_modes, "/spec/accessModes"),
            of(words.volume, "/spec/volumeName"),
        ],
        ("persistentvolumes", _) => vec![
            of(words.phase, "/status/phase"),
            of(words.capacity, "/spec/capacity/storage"),
            of(words.storage_class, "/spec/storageClassName"),
            of(words.access_modes, "/spec/accessModes"),
            of(words.reclaim, "/spec/persistentVolumeReclaimPolicy"),
            of(words.claim, "/spec/claimRef/name"),
        ],
        ("storageclasses", _) => vec![
            of(words.provisioner, "/provisioner"),
            of(words.reclaim, "/reclaimPolicy"),
            of(words.binding, "/volumeBindingMode"),
        ],
        ("nodes", "") => vec![
            of(words.version, "/status/nodeInfo/kubeletVersion"),
            of(words.system, "/status/nodeInfo/osImage"),
            of(words.kernel, "/status/nodeInfo/kernelVersion"),
            of(words.runtime, "/status/nodeInfo/containerRuntimeVersion"),
            of(words.architecture, "/status/nodeInfo/architecture"),
            amount(object, words.cpu, "cpu", format::cores),
            amount(object, words.memory, "memory", format::bytes),
            amount(object, words.pods, "pods", |pods| format::count(pods as u64)),
            Some((words.address, node_addresses(object))),
            of(words.pod_range, "/spec/podCIDR"),
            Some((words.taints, taints(object))),
        ],
        ("namespaces", "") => vec![of(words.phase, "/status/phase")],
        ("horizontalpodautoscalers", _) => vec![
            of(words.scales, "/spec/scaleTargetRef/name"),
            of(words.least, "/spec/minReplicas"),
            of(words.most, "/spec/maxReplicas"),
            of(words.replicas, "/status/currentReplicas"),
        ],
        ("secrets", "") => vec![of(words.of_type, "/type")],
        _ => of_any(object),
    };
    found.into_iter().flatten().filter(|(_, text)| !text.is_empty()).collect()
}

/// Of kinds that nobody here knows: their phase, if they have one.
fn of_any(object: &Value) -> Vec<Option<(&'static str, String)>> {
    let words = kubernetes();
    ["/status/phase", "/status/state"]
        .into_iter()
        .map(|pointer| Some((words.phase, text(object, pointer)?)))
        .collect()
}

/// What pods may have of a node.
fn amount(
    object: &Value,
    label: &'static str,
    what: &str,
    words_of: fn(f64) -> String,
) -> Option<(&'static str, String)> {
    let told = text(object, &format!("/status/allocatable/{what}"))?;
    let shown = quantity(&told).map_or(told, words_of);
    Some((label, shown))
}

fn node_addresses(object: &Value) -> String {
    let all = object.pointer("/status/addresses").and_then(Value::as_array);
    let ip = |one: &Value| {
        let is_ip = one["type"].as_str().is_some_and(|kind| kind.ends_with("IP"));
        one["address"].as_str().filter(|_| is_ip).map(str::to_owned)
    };
    all.into_iter().flatten().filter_map(ip).collect::<Vec<_>>().join(", ")
}

/// Why pods do not come to a node: `key=value:NoSchedule`.
fn taints(object: &Value) -> String {
    let all = object.pointer("/spec/taints").and_then(Value::as_array);
    let one = |taint: &Value| {
        let (key, effect) = (taint["key"].as_str()?, taint["effect"].as_str()?);
        let value = taint["value"].as_str().map(|value| format!("={value}")).unwrap_or_default();
        Some(format!("{key}{value}:{effect}"))
    };
    all.into_iter().flatten().filter_map(one).collect::<Vec<_>>().join(", ")
}

fn service_ports(object: &Value) -> String {
    let ports = object.pointer("/spec/ports").and_then(Value::as_array);
    let one = |port: &Value| {
        let outer = port["port"].to_string();
        let inner = match &port["targetPort"] {
            Value::Null => outer.clone(),
            other => plain(other),
        };
        let node = port["nodePort"].as_u64().map(|node| format!(":{node}")).unwrap_or_default();
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        format!("{outer}{node}→{inner}/{protocol}")
    };
    ports.into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}

/// The first tab of an object's page.
#[component]
pub(super) fn Facts(kube: Kube, type_id: String, detail: Signal<ObjectDetail>) -> impl IntoView {
    let words = kubernetes();
    let object = Memo::new(move |_| detail.with(|detail| detail.object.clone()));
    let id = StoredValue::new(type_id);
    let general = move || {
        let object = object.get();
        let mut rows: Vec<(&'static str, AnyView)> = Vec::new();
        if let Some(namespace) = text(&object, "/metadata/namespace") {
            let href = kube.list_page(&id.get_value());
            let href = format!("{href}?namespace={}", crate::api::encode(&namespace));
            rows.push((words.namespace, view! { <a href=href>{namespace}</a> }.into_any()));
        }
        for (label, value) in facts(&id.get_value(), &object) {
            let shown = match label == words.node && id.get_value() == "pods" {
                true => {
                    let href = kube.object_page("nodes", None, &value);
                    view! { <a class="break" href=href>{value}</a> }.into_any()
                }
                false => view! { <span class="break">{value}</span> }.into_any(),
            };
            rows.push((label, shown));
        }
        let owners = owners(kube, &object);
        if !owners.is_empty() {
            rows.push((words.owner, view! { <span class="row-wrap">{owners}</span> }.into_any()));
        }
        if let Some(at) = time(&object, "/metadata/creationTimestamp") {
            rows.push((t().common.created, view! { <TimeAgo at=at /> }.into_any()));
        }
        if let Some(at) = time(&object, "/metadata/deletionTimestamp") {
            let held = text(&object, "/metadata/finalizers").unwrap_or_default();
            rows.push((
                words.terminating,
                view! { <TimeAgo at=at /> " " <span class="muted mono break">{held}</span> }
                    .into_any(),
            ));
        }
        for (label, pointer) in [
            (words.selector, "/spec/selector/matchLabels"),
            (t().common.labels, "/metadata/labels"),
        ] {
            let pairs = pairs(&object, pointer);
            if !pairs.is_empty() {
                rows.push((label, view! { <Tags labels=pairs /> }.into_any()));
            }
        }
        view! { <KeyValues rows=rows /> }
    };
    let conditions = Memo::new(move |_| object.with(conditions));
    let containers = Memo::new(move |_| object.with(containers));
    let rules = Memo::new(move |_| object.with(rules));
    let data = matches!(id.get_value().as_str(), "secrets" | "configmaps");
    let notes = Memo::new(move |_| object.with(|object| pairs(object, "/metadata/annotations")));
    view! {
        <div class="stack">
            {move || detail.with(|detail| detail.reason.clone()).map(|reason| view! { <Notice tone=Tone::Warn>{reason}</Notice> })}
            <Card>{general}</Card>
            {data.then(|| view! { <Data secret=id.get_value() == "secrets" detail=detail /> })}
            {move || table_of(words.containers, containers.get(), container_table)}
            {move || table_of(words.rules, rules.get(), rule_table)}
            {move || table_of(words.conditions, conditions.get(), condition_table)}
            {move || {
                let notes: Vec<_> = notes.get().into_iter().filter(|(key, _)| !key.ends_with("last-applied-configuration")).collect();
                (!notes.is_empty()).then(|| view! {
                    <details class="more">
                        <summary>{words.annotations}</summary>
                        <dl class="kv">{notes.into_iter().map(|(key, value)| view! { <dt class="mono break">{key}</dt> <dd class="mono break">{value}</dd> }).collect_view()}</dl>
                    </details>
                })
            }}
        </div>
    }
    .into_any()
}

fn table_of<T>(title: &'static str, rows: Vec<T>, draw: fn(Vec<T>) -> AnyView) -> Option<AnyView> {
    (!rows.is_empty()).then(|| {
        let table = draw(rows);
        view! { <Card title=title flush=true><div class="scroll-x">{table}</div></Card> }.into_any()
    })
}

/// Links to what an object belongs to. The owner's type is guessed from its kind, as its address in
/// the object has no plural.
fn owners(kube: Kube, object: &Value) -> Vec<AnyView> {
    let namespace = text(object, "/metadata/namespace");
    let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let all = kube.types.look(|all| all.cloned().unwrap_or_default());
    let link = |reference: &Value| {
        let (kind, name) = (reference["kind"].as_str()?, reference["name"].as_str()?);
        let group =
            reference["apiVersion"].as_str()?.split_once('/').map_or("", |(group, _)| group);
        let label = format!("{kind} {name}");
        let of = all.iter().find(|of| of.kind == kind && of.group == group);
        Some(match of {
            Some(of) => {
                let namespace = namespace.as_deref().filter(|_| of.namespaced);
                let href = kube.object_page(&of.id, namespace, name);
                view! { <a class="break" href=href>{label}</a> }.into_any()
            }
            None => view! { <span class="break">{label}</span> }.into_any(),
        })
    };
    references.into_iter().flatten().filter_map(link).collect()
}

#[derive(Clone, PartialEq)]
struct Condition {
    kind: String,
    status: String,
    reason: String,
    message: String,
    at: Option<Timestamp>,
}

fn conditions(object: &Value) -> Vec<Condition> {
    let all = object.pointer("/status/conditions").and_then(Value::as_array);
    let word = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    all.into_iter()
        .flatten()
        .map(|one| Condition {
            kind: word(one, "type"),
            status: word(one, "status"),
            reason: word(one, "reason"),
            message: word(one, "message"),
            at: time(one, "/lastTransitionTime"),
        })
        .collect()
}

/// Whether a condition says that all is well; nothing where that is not known.
fn is_well(kind: &str, status: &str) -> Option<bool> {
    let good = match kind {
        "MemoryPressure" | "DiskPressure" | "PIDPressure" | "NetworkUnavailable" | "Failed"
        | "FailureTarget" | "ReplicaFailure" | "Stalled" | "Degraded" => false,
        "Ready" | "Available" | "Initialized" | "ContainersReady" | "PodScheduled" | "Complete"
        | "Established" | "NamesAccepted" | "Accepted" | "Programmed" | "AbleToScale" => true,
        // A rollout goes on or has come to its end; when neither, it is stuck.
        "Progressing" if status == "False" => true,
        _ => return None,
    };
    match status {
        "True" => Some(good),
        "False" => Some(!good),
        _ => None,
    }
}

fn condition_table(rows: Vec<Condition>) -> AnyView {
    let words = kubernetes();
    let rows = rows
        .into_iter()
        .map(|one| {
            let tone = match is_well(&one.kind, &one.status) {
                Some(true) => Tone::Ok,
                Some(false) => Tone::Bad,
                None => Tone::Idle,
            };
            view! {
                <tr>
                    <td class="strong">{one.kind}</td>
                    <td><Badge label=one.status tone=tone /></td>
                    <td><span class="two"><span>{one.reason}</span><span class="break">{one.message}</span></span></td>
                    <td class="tight"><TimeAgoOr at=one.at otherwise="" /></td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <table class="plain">
            <thead><tr><th>{words.condition}</th><th>{t().common.state}</th><th>{words.reason}</th><th>{words.since}</th></tr></thead>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}

#[derive(Clone, PartialEq)]
struct ContainerFacts {
    name: String,
    image: String,
    /// Of which sort: `init`, `ephemeral`, or plain.
    sort: &'static str,
    state: Option<(Tone, String)>,
    restarts: Option<u64>,
    resources: String,
    ports: String,
}

fn containers(object: &Value) -> Vec<ContainerFacts> {
    let pod = match object.pointer("/spec/template/spec") {
        Some(spec) => spec,
        None => object
            .pointer("/spec/jobTemplate/spec/template/spec")
            .unwrap_or(object.get("spec").unwrap_or(&Value::Null)),
    };
    let words = kubernetes();
    let mut all = Vec::new();
    for (key, statuses, sort) in [
        ("initContainers", "/status/initContainerStatuses", words.init),
        ("containers", "/status/containerStatuses", ""),
        ("ephemeralContainers", "/status/ephemeralContainerStatuses", words.ephemeral),
    ] {
        for one in pod[key].as_array().into_iter().flatten() {
            let name = one["name"].as_str().unwrap_or_default();
            let statuses = object.pointer(statuses).and_then(Value::as_array);
            let status = statuses.into_iter().flatten().find(|status| status["name"] == name);
            all.push(ContainerFacts {
                name: name.to_owned(),
                image: one["image"].as_str().unwrap_or_default().to_owned(),
                sort,
                state: status.map(container_state),
                restarts: status.and_then(|status| status["restartCount"].as_u64()),
                resources: resources(one),
                ports: container_ports(one),
            });
        }
    }
    all
}

fn container_state(status: &Value) -> (Tone, String) {
    let words = kubernetes();
    let reason =
        |state: &Value, otherwise: &str| state["reason"].as_str().unwrap_or(otherwise).to_owned();
    if let Some(waiting) = status.pointer("/state/waiting") {
        let calm =
            matches!(waiting["reason"].as_str(), Some("ContainerCreating" | "PodInitializing"));
        return (if calm { Tone::Info } else { Tone::Bad }, reason(waiting, words.waits));
    }
    if let Some(ended) = status.pointer("/state/terminated") {
        let code = ended["exitCode"].as_i64().unwrap_or_default();
        let tone = if code == 0 { Tone::Idle } else { Tone::Bad };
        return (tone, format!("{} ({code})", reason(ended, words.ended)));
    }
    match status["ready"].as_bool() {
        Some(true) => (Tone::Ok, words.running.to_owned()),
        _ => (Tone::Warn, words.not_ready.to_owned()),
    }
}

fn resources(container: &Value) -> String {
    let part = |what: &str| {
        let ask = container.pointer(&format!("/resources/requests/{what}")).map(plain);
        let limit = container.pointer(&format!("/resources/limits/{what}")).map(plain);
        match (ask, limit) {
            (None, None) => None,
            (ask, limit) => {
                let or = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
                Some(format!("{what} {} / {}", or(ask), or(limit)))
            }
        }
    };
    ["cpu", "memory"].into_iter().filter_map(part).collect::<Vec<_>>().join(" · ")
}

fn container_ports(container: &Value) -> String {
    let one = |port: &Value| {
        let number = port["containerPort"].to_string();
        match port["name"].as_str() {
            Some(name) => format!("{name} {number}"),
            None => number,
        }
    };
    container["ports"].as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}

fn container_table(rows: Vec<ContainerFacts>) -> AnyView {
    let words = kubernetes();
    // Templates of pods have none.
    let states = rows.iter().any(|one| one.state.is_some());
    let rows = rows
        .into_iter()
        .map(|one| {
            let state = states.then(|| view! {
                <td>{one.state.map(|(tone, label)| view! { <Badge label=label tone=tone /> })}</td>
                <td class="nums">{one.restarts}</td>
            });
            view! {
                <tr>
                    <td>
                        <span class="two">
                            <span class="strong">{one.name} {(!one.sort.is_empty()).then(|| view! { " " <Badge label=one.sort /> })}</span>
                            <span class="mono break">{one.image}</span>
                        </span>
                    </td>
                    {state}
                    <td class="mono small">{one.ports}</td>
                    <td class="small">{one.resources}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <table class="plain">
            <thead><tr>
                <th>{words.container}</th>
                {states.then(|| view! { <th>{t().common.state}</th><th>{words.restarts}</th> })}
                <th>{words.ports}</th><th>{words.requests_limits}</th>
            </tr></thead>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}

/// Host, path and backend of an Ingress's rules.
type Rule = (String, String, String);

fn rules(object: &Value) -> Vec<Rule> {
    let mut all = Vec::new();
    for rule in object.pointer("/spec/rules").and_then(Value::as_array).into_iter().flatten() {
        let host = rule["host"].as_str().unwrap_or("*");
        for path in rule.pointer("/http/paths").and_then(Value::as_array).into_iter().flatten() {
            let service = text(path, "/backend/service/name").unwrap_or_default();
            let port = text(path, "/backend/service/port/number")
                .or_else(|| text(path, "/backend/service/port/name"))
                .unwrap_or_default();
            let of = path["path"].as_str().unwrap_or("/");
            all.push((host.to_owned(), of.to_owned(), format!("{service}:{port}")));
        }
    }
    all
}

fn rule_table(rows: Vec<Rule>) -> AnyView {
    let words = kubernetes();
    let rows = rows
        .into_iter()
        .map(|(host, path, backend)| {
            view! { <tr><td class="strong break">{host}</td><td class="mono">{path}</td><td class="mono break">{backend}</td></tr> }
        })
        .collect_view();
    view! {
        <table class="plain">
            <thead><tr><th>{words.host}</th><th>{words.path}</th><th>{words.backend}</th></tr></thead>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_are_found_by_what_selects_them() {
        let deployment = json!({ "spec": { "selector": {
            "matchLabels": { "app": "web" },
            "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["a", "b"] }],
        } } });
        let found = pod_selector("deployments.apps", &deployment);
        assert_eq!(found.as_deref(), Some("app=web,tier in (a,b)"));
        let service = json!({ "spec": { "selector": { "app": "web" } } });
        assert_eq!(pod_selector("services", &service).as_deref(), Some("app=web"));
        assert_eq!(pod_selector("services", &json!({ "spec": {} })), None);
    }

    #[test]
    fn facts_are_those_of_the_kind() {
        let object =
            json!({ "spec": { "replicas": 3, "strategy": { "type": "Recreate" } }, "status": {} });
        let found = facts("deployments.apps", &object);
        assert_eq!(found[0].1, "0 / 3");
        assert_eq!(found[1].1, "Recreate");
        let service = json!({ "spec": { "ports": [{ "port": 80, "targetPort": "http", "nodePort": 30080 }] } });
        assert_eq!(service_ports(&service), "80:30080→http/TCP");
    }

    #[test]
    fn conditions_say_whether_all_is_well() {
        assert_eq!(is_well("Ready", "False"), Some(false));
        assert_eq!(is_well("MemoryPressure", "False"), Some(true));
        assert_eq!(is_well("Progressing", "True"), None);
        assert_eq!(is_well("Progressing", "False"), Some(false));
        assert_eq!(is_well("Ready", "Unknown"), None);
    }

    #[test]
    fn a_node_says_what_it_has_and_who_may_come() {
        let node = json!({
            "spec": { "taints": [
                { "key": "gpu", "value": "yes", "effect": "NoSchedule" },
                { "key": "node.kubernetes.io/unreachable", "effect": "NoExecute" },
            ] },
            "status": {
                "allocatable": { "cpu": "3800m", "memory": "7Gi", "pods": "5000" },
                "addresses": [
                    { "type": "InternalIP", "address": "192.0.2.1" },
                    { "type": "Hostname", "address": "node-1" },
                ],
            },
        });
        let found: Vec<_> = facts("nodes", &node).into_iter().map(|(_, text)| text).collect();
        let wanted = [
            "3.8",
            "7 GiB",
            "5,000",
            "192.0.2.1",
            "gpu=yes:NoSchedule, node.kubernetes.io/unreachable:NoExecute",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_container_says_how_it_is() {
        let of = |state: Value| container_state(&json!({ "state": state, "ready": false })).0;
        assert_eq!(of(json!({ "waiting": { "reason": "ContainerCreating" } })), Tone::Info);
        assert_eq!(of(json!({ "waiting": { "reason": "ImagePullBackOff" } })), Tone::Bad);
        assert_eq!(of(json!({ "terminated": { "exitCode": 0 } })), Tone::Idle);
        assert_eq!(of(json!({ "terminated": { "exitCode": 137 } })), Tone::Bad);
        assert_eq!(of(json!({ "running": {} })), Tone::Warn);
    }
}
