//! metrics.k8s.io, as the metrics server gives it: made-up figures that follow from the names.

use std::sync::Arc;

use hyper::{Request, body::Incoming};
use serde_json::{Value, json};

use crate::{
    clock,
    cluster::Cluster,
    handlers::Context,
    resources::{Origin, ResourceType},
    respond::{self, Answer},
    schema::Schema,
    selectors::{Labels, label_map},
    status::{ApiError, Result},
};

/// The two resources, if they are switched on.
pub fn resources(cluster: &Cluster) -> Vec<Arc<ResourceType>> {
    if !cluster.options.metrics {
        return Vec::new();
    }
    [("NodeMetrics", "nodes", false), ("PodMetrics", "pods", true)]
        .into_iter()
        .map(|(kind, plural, namespaced)| {
            Arc::new(ResourceType {
                group: "metrics.k8s.io".to_owned(),
                version: "v1beta1".to_owned(),
                kind: kind.to_owned(),
                list_kind: format!("{kind}List"),
                plural: plural.to_owned(),
                singular: String::new(),
                short_names: Vec::new(),
                categories: Vec::new(),
                namespaced,
                verbs: vec!["get".to_owned(), "list".to_owned()],
                subresources: Vec::new(),
                storage: ("metrics.k8s.io".to_owned(), plural.to_owned()),
                schema: Schema::any(),
                origin: Origin::Metrics,
            })
        })
        .collect()
}

/// A number between 0 and 1 that changes slowly and differs by name.
fn level(name: &str) -> f64 {
    let seed: u32 =
        name.bytes().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let phase = f64::from(seed % 628) / 100.0;
    let seconds = clock::now().unix_timestamp() % 3600;
    let time = f64::from(u32::try_from(seconds).unwrap_or(0)) / 60.0;
    0.5 + 0.4 * (time + phase).sin()
}

fn usage(name: &str, cpu: f64, memory: f64) -> Value {
    let level = level(name);
    json!({
        "cpu": format!("{}n", (cpu * level * 1e9).round()),
        "memory": format!("{}Ki", (memory * (0.5 + level / 2.0)).round()),
    })
}

fn node(value: &Value) -> Value {
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    json!({
        "metadata": {
            "name": name,
            "creationTimestamp": clock::stamp(),
            "labels": value["metadata"]["labels"],
        },
        "timestamp": clock::stamp(),
        "window": "10.000s",
        "usage": usage(name, 2.0, 4_000_000.0),
    })
}

fn pod(value: &Value) -> Value {
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    let containers: Vec<_> = value["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|container| {
            let one = container["name"].as_str().unwrap_or_default();
            json!({"name": one, "usage": usage(&format!("{name}/{one}"), 0.1, 60_000.0)})
        })
        .collect();
    json!({
        "metadata": {
            "name": name,
            "namespace": value["metadata"]["namespace"],
            "creationTimestamp": clock::stamp(),
            "labels": value["metadata"]["labels"],
        },
        "timestamp": clock::stamp(),
        "window": "15.000s",
        "containers": containers,
    })
}

/// Answers a request for metrics.
///
/// # Errors
/// When there is nothing of that name.
pub fn handle(context: &Context, request: &Request<Incoming>) -> Result<Answer> {
    if !matches!(*request.method(), hyper::Method::GET | hyper::Method::HEAD)
        || context.info.verb == "watch"
    {
        return Err(ApiError::method_not_allowed());
    }
    let resource = &context.resource;
    let pods = resource.plural == "pods";
    let metrics = |value: &Value| if pods { pod(value) } else { node(value) };
    let store = &context.cluster.store;
    let running = |value: &Value| !pods || value["status"]["phase"] == "Running";
    if context.info.names_object() {
        let name = &context.info.name;
        let found = store
            .value("", &resource.plural, context.namespace(), name)
            .filter(running)
            .ok_or_else(|| ApiError::not_found(resource.about(name)))?;
        let mut value = metrics(&found);
        value["kind"] = json!(resource.kind);
        value["apiVersion"] = json!(resource.api_version());
        return Ok(respond::json(200, &value));
    }
    let labels = Labels::parse(context.info.query.get("labelSelector").unwrap_or_default())
        .map_err(ApiError::bad_request)?;
    let namespace = Some(context.namespace()).filter(|namespace| !namespace.is_empty());
    let items: Vec<_> = store
        .values("", &resource.plural, namespace)
        .iter()
        .filter(|value| running(value) && labels.matches(&label_map(&value["metadata"]["labels"])))
        .map(metrics)
        .collect();
    Ok(respond::json(
        200,
        &json!({
            "kind": resource.list_kind,
            "apiVersion": resource.api_version(),
            "metadata": {},
            "items": items,
        }),
    ))
}
