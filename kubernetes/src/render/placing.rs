//! Which nodes pods may run on.

use drover_compose::{Affinity, AffinityKind, Constraint, Project, Service};
use serde_json::{Map, Value, json};

use super::{Stack, names, storage};

const HOSTNAME: &str = "kubernetes.io/hostname";

/// The label of a node that a rule of the text looks at, and the value to look for; none for what
/// nodes of Kubernetes do not tell.
pub(super) fn node_label(rule: &Constraint) -> Option<(String, String)> {
    let key = rule.key.as_str();
    let value = rule.value.clone();
    Some(match key {
        "node.hostname" => (HOSTNAME.into(), value),
        "node.platform.os" => ("kubernetes.io/os".into(), value),
        "node.platform.arch" => ("kubernetes.io/arch".into(), architecture(&value).into()),
        _ => {
            let label = key.strip_prefix("node.labels.").or(key.strip_prefix("engine.labels."))?;
            (label.to_owned(), value)
        }
    })
}

/// Go's name of an architecture.
pub(super) fn architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" | "arm/v7" => "arm",
        "i386" | "i686" => "386",
        other => other,
    }
}

fn expression(key: &str, operator: &str, value: Option<&str>) -> Value {
    match value {
        Some(value) => json!({ "key": key, "operator": operator, "values": [value] }),
        None => json!({ "key": key, "operator": operator }),
    }
}

/// What a rule for hosts asks of a node.
fn host_rule(rule: &Affinity) -> Value {
    let operator = match (rule.not, rule.value.is_some()) {
        (false, true) => "In",
        (true, true) => "NotIn",
        (false, false) => "Exists",
        (true, false) => "DoesNotExist",
    };
    expression(&rule.key, operator, rule.value.as_deref())
}

/// The pods that a rule for containers looks at: those of `STACK/SERVICE`, or of a service of the
/// same stack. None for what pods do not tell.
pub(super) fn container_rule(stack: &str, rule: &Affinity) -> Option<Value> {
    let value = rule.value.as_deref()?;
    let names_service = match rule.kind {
        AffinityKind::Container => true,
        AffinityKind::ContainerLabel => rule.key.ends_with("stack_service.name"),
        AffinityKind::HostLabel => false,
    };
    if !names_service {
        return None;
    }
    let value = value.replace("${stack_name}", stack);
    let (stack, service) = value.split_once('/').unwrap_or((stack, &value));
    Some(json!({
        "topologyKey": HOSTNAME,
        "labelSelector": { "matchLabels": {
            "app.kubernetes.io/instance": stack,
            names::SERVICE: service,
        } },
    }))
}

/// Puts the rules of a service into its pods' spec.
pub(super) fn place(
    stack: &Stack<'_>,
    project: &Project,
    name: &str,
    service: &Service,
    spec: &mut Map<String, Value>,
) {
    let deploy = &service.deploy;
    let mut required = Vec::new();
    for rule in &deploy.constraints {
        if rule.key == "node.role" {
            let control_plane = (rule.value == "manager") == rule.equal;
            let operator = if control_plane { "Exists" } else { "DoesNotExist" };
            required.push(expression("node-role.kubernetes.io/control-plane", operator, None));
        } else if let Some((key, value)) = node_label(rule) {
            let operator = if rule.equal { "In" } else { "NotIn" };
            required.push(expression(&key, operator, Some(&value)));
        }
    }
    if let Some((os, rest)) = service.platform.as_deref().and_then(|text| text.split_once('/')) {
        required.push(expression("kubernetes.io/os", "In", Some(os)));
        required.push(expression("kubernetes.io/arch", "In", Some(architecture(rest))));
    }
    let mut preferred = Vec::new();
    let (mut near, mut near_soft) = (Vec::new(), Vec::new());
    let (mut far, mut far_soft) = (Vec::new(), Vec::new());
    for rule in service.affinities() {
        let rule = Affinity {
            value: rule.value.map(|value| value.replace("${service_name}", name)),
            ..rule
        };
        if rule.kind == AffinityKind::HostLabel {
            if rule.soft {
                let preference = json!({ "matchExpressions": [host_rule(&rule)] });
                preferred.push(json!({ "weight": 50, "preference": preference }));
            } else {
                required.push(host_rule(&rule));
            }
        } else if let Some(term) = container_rule(stack.name, &rule) {
            let soft = json!({ "weight": 50, "podAffinityTerm": term });
            match (rule.not, rule.soft) {
                (false, false) => near.push(term),
                (false, true) => near_soft.push(soft),
                (true, false) => far.push(term),
                (true, true) => far_soft.push(soft),
            }
        }
    }
    if deploy.max_replicas_per_node == 1 {
        let own = json!({ names::STACK: stack.id.to_string(), names::SERVICE: name });
        far.push(json!({ "topologyKey": HOSTNAME, "labelSelector": { "matchLabels": own } }));
    }
    // A volume that one node at a time can have keeps those who share it together.
    near.extend(storage::shared_by_node(project, name).into_iter().map(|volume| {
        let key = storage::volume_label(volume);
        let own = json!({ names::STACK: stack.id.to_string(), key: "true" });
        json!({ "topologyKey": HOSTNAME, "labelSelector": { "matchLabels": own } })
    }));
    let mut affinity = Map::new();
    let mut node = Map::new();
    if !required.is_empty() {
        let terms = json!({ "nodeSelectorTerms": [{ "matchExpressions": required }] });
        node.insert("requiredDuringSchedulingIgnoredDuringExecution".into(), terms);
    }
    put(&mut node, "preferredDuringSchedulingIgnoredDuringExecution", preferred);
    for (key, hard, soft) in [("podAffinity", near, near_soft), ("podAntiAffinity", far, far_soft)]
    {
        let mut part = Map::new();
        put(&mut part, "requiredDuringSchedulingIgnoredDuringExecution", hard);
        put(&mut part, "preferredDuringSchedulingIgnoredDuringExecution", soft);
        if !part.is_empty() {
            affinity.insert(key.into(), part.into());
        }
    }
    if !node.is_empty() {
        affinity.insert("nodeAffinity".into(), node.into());
    }
    if !affinity.is_empty() {
        spec.insert("affinity".into(), affinity.into());
    }
    let own = json!({ names::STACK: stack.id.to_string(), names::SERVICE: name });
    let spread = deploy.spread.iter().map(|key| {
        let key = key.strip_prefix("node.labels.").unwrap_or(key);
        json!({
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": own },
        })
    });
    put(spec, "topologySpreadConstraints", spread.collect());
}

fn put(map: &mut Map<String, Value>, key: &str, values: Vec<Value>) {
    if !values.is_empty() {
        map.insert(key.into(), values.into());
    }
}
