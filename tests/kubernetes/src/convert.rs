//! Kinds that are served in two versions, and kept in one: events (kept as core/v1) and
//! HorizontalPodAutoscalers (kept as autoscaling/v2).

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{resources::ResourceType, store::Object};

/// Pairs of fields: of events.k8s.io/v1, and of core/v1.
const EVENT: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

enum Pair {
    Event,
    Autoscaler,
}

fn pair(resource: &ResourceType) -> Option<Pair> {
    match (resource.group.as_str(), resource.version.as_str(), resource.plural.as_str()) {
        ("events.k8s.io", _, "events") => Some(Pair::Event),
        ("autoscaling", "v1", "horizontalpodautoscalers") => Some(Pair::Autoscaler),
        _ => None,
    }
}

/// The object's bytes in the resource's version.
pub fn to_version(resource: &ResourceType, object: &Object) -> Bytes {
    let Some(pair) = pair(resource) else { return object.bytes.clone() };
    let mut value = object.value();
    match pair {
        Pair::Event => rename(&mut value, |(new, old)| (*old, *new)),
        Pair::Autoscaler => autoscaler_to_v1(&mut value),
    }
    Bytes::from(value.to_string())
}

/// The object in the resource's version.
pub fn value_in(resource: &ResourceType, object: &Object) -> Value {
    let mut value: Value =
        serde_json::from_slice(&to_version(resource, object)).unwrap_or_default();
    value["apiVersion"] = json!(resource.api_version());
    value["kind"] = json!(resource.kind);
    value
}

/// The object in the version that is kept.
pub fn to_storage(resource: &ResourceType, mut value: Value) -> Value {
    match pair(resource) {
        Some(Pair::Event) => rename(&mut value, |(new, old)| (*new, *old)),
        Some(Pair::Autoscaler) => autoscaler_to_v2(&mut value),
        None => {}
    }
    value
}

fn rename(
    value: &mut Value,
    names: impl Fn(&(&'static str, &'static str)) -> (&'static str, &'static str),
) {
    let Some(fields) = value.as_object_mut() else { return };
    for row in EVENT {
        let (from, to) = names(row);
        if let Some(field) = fields.remove(from) {
            fields.insert(to.to_owned(), field);
        }
    }
}

fn take(fields: &mut Value, key: &str) -> Option<Value> {
    fields.as_object_mut()?.remove(key)
}

fn autoscaler_to_v1(value: &mut Value) {
    let is_cpu = |metric: &Value| metric["resource"]["name"] == "cpu";
    let metrics = take(&mut value["spec"], "metrics").unwrap_or_default();
    let cpu = metrics.as_array().into_iter().flatten().find(|metric| is_cpu(metric));
    if let Some(percent) = cpu.and_then(|m| m["resource"]["target"]["averageUtilization"].as_i64())
    {
        value["spec"]["targetCPUUtilizationPercentage"] = json!(percent);
    }
    take(&mut value["spec"], "behavior");
    if !value["status"].is_object() {
        return;
    }
    let current = take(&mut value["status"], "currentMetrics").unwrap_or_default();
    let cpu = current.as_array().into_iter().flatten().find(|metric| is_cpu(metric));
    if let Some(percent) = cpu.and_then(|m| m["resource"]["current"]["averageUtilization"].as_i64())
    {
        value["status"]["currentCPUUtilizationPercentage"] = json!(percent);
    }
    take(&mut value["status"], "conditions");
}

fn autoscaler_to_v2(value: &mut Value) {
    if let Some(percent) = take(&mut value["spec"], "targetCPUUtilizationPercentage") {
        value["spec"]["metrics"] = json!([{
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": percent},
            },
        }]);
    }
    if value["status"].is_object() {
        take(&mut value["status"], "currentCPUUtilizationPercentage");
    }
}

/// An object with only the given fields.
pub fn only(value: &Value, fields: &[&str]) -> Value {
    let mut out = Map::new();
    for field in fields {
        if let Some(found) = value.get(*field) {
            out.insert((*field).to_owned(), found.clone());
        }
    }
    Value::Object(out)
}
