//! Endpoints and EndpointSlices of services, and the addresses of load balancers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Work,
    view::{View, deleting, is_active, is_ready, list, name, namespace, word},
};
use crate::{
    cluster::storage,
    selectors::{Labels, label_map},
    streams::images,
};

/// Looks after all services.
pub async fn reconcile(work: &Work, view: &View) {
    for service in view.all("", "services").filter(|one| !deleting(one)) {
        let Some(selector) = Labels::of_map(&service["spec"]["selector"]) else { continue };
        if service["spec"]["type"] == "ExternalName" {
            continue;
        }
        let mut pods: Vec<&Arc<Value>> = view
            .within("", "pods", namespace(service))
            .filter(|pod| selector.matches(&label_map(&pod["metadata"]["labels"])))
            .filter(|pod| !word(&pod["status"]["podIP"]).is_empty() && is_active(pod))
            .collect();
        pods.sort_by_key(|pod| word(&pod["status"]["podIP"]).to_owned());
        endpoints(work, view, service, &pods);
        slice(work, view, service, &pods);
    }
    // What belongs to services that are gone goes by their owner references, or here.
    for endpoints in view.all("", "endpoints") {
        let managed =
            endpoints["metadata"]["labels"]["endpoints.kubernetes.io/managed-by"].is_string();
        if managed && view.get("", "services", namespace(endpoints), name(endpoints)).is_none() {
            work.delete("", "endpoints", endpoints);
        }
    }
}

fn target(pod: &Value) -> Value {
    json!({
        "kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": pod["metadata"]["uid"],
    })
}

fn ports(service: &Value, pods: &[&Arc<Value>]) -> Vec<Value> {
    list(&service["spec"]["ports"])
        .iter()
        .filter_map(|port| {
            let number = match &port["targetPort"] {
                Value::Number(number) => number.as_u64().and_then(|n| u16::try_from(n).ok()),
                target => pods.first().and_then(|pod| images::resolve(pod, target)),
            }?;
            let mut value = json!({"port": number, "protocol": port["protocol"]});
            if port["name"].is_string() {
                value["name"] = port["name"].clone();
            }
            Some(value)
        })
        .collect()
}

fn endpoints(work: &Work, view: &View, service: &Value, pods: &[&Arc<Value>]) {
    let address = |pod: &Value| json!({"ip": pod["status"]["podIP"], "nodeName": pod["spec"]["nodeName"], "targetRef": target(pod)});
    let of = |ready: bool| -> Vec<Value> {
        pods.iter().filter(|pod| is_ready(pod) == ready).map(|pod| address(pod)).collect()
    };
    let (ready, not_ready) = (of(true), of(false));
    let mut subsets = json!([]);
    if !pods.is_empty() {
        let mut subset = json!({"ports": ports(service, pods)});
        for (field, all) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
            if !all.is_empty() {
                subset[field] = json!(all);
            }
        }
        subsets = json!([subset]);
    }
    let mut labels = service["metadata"]["labels"].clone();
    labels["endpoints.kubernetes.io/managed-by"] = json!("endpoint-controller");
    let key = storage("", "endpoints");
    if view.get("", "endpoints", namespace(service), name(service)).is_none() {
        if let Some(resource) = crate::resources::Catalog::built_in("", "endpoints") {
            let mut object = json!({
                "metadata": {"name": name(service), "namespace": namespace(service), "labels": labels},
            });
            if subsets != json!([]) {
                object["subsets"] = subsets;
            }
            work.cluster.put_new(&resource, object);
        }
        return;
    }
    work.cluster.modify(&key, namespace(service), name(service), |object| {
        if subsets == json!([]) {
            if let Some(fields) = object.as_object_mut() {
                fields.remove("subsets");
            }
        } else {
            object["subsets"] = subsets.clone();
        }
        object["metadata"]["labels"] = labels.clone();
        true
    });
}

fn slice(work: &Work, view: &View, service: &Value, pods: &[&Arc<Value>]) {
    let all: Vec<_> = pods
        .iter()
        .map(|pod| {
            let ready = is_ready(pod);
            json!({
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": ready, "serving": ready, "terminating": false},
                "nodeName": pod["spec"]["nodeName"],
                "targetRef": target(pod),
            })
        })
        .collect();
    let mut named = ports(service, pods);
    for port in &mut named {
        if port["name"].is_null() {
            port["name"] = json!("");
        }
    }
    let mut labels = service["metadata"]["labels"].clone();
    labels["kubernetes.io/service-name"] = json!(name(service));
    labels["endpointslice.kubernetes.io/managed-by"] = json!("endpointslice-controller.k8s.io");
    let there = view.owned("discovery.k8s.io", "endpointslices", service).next().cloned();
    match there {
        Some(there) => {
            work.cluster.modify(
                &storage("discovery.k8s.io", "endpointslices"),
                namespace(&there),
                name(&there),
                |object| {
                    object["endpoints"] = json!(all);
                    object["ports"] = json!(named);
                    object["metadata"]["labels"] = labels.clone();
                    true
                },
            );
        }
        None => {
            let Some(resource) =
                crate::resources::Catalog::built_in("discovery.k8s.io", "endpointslices")
            else {
                return;
            };
            let mark: String = super::hash(&service["metadata"]["uid"]).chars().take(5).collect();
            work.cluster.put_new(&resource, json!({
                "metadata": {
                    "name": format!("{}-{mark}", name(service)), "namespace": namespace(service),
                    "generateName": format!("{}-", name(service)), "generation": 1, "labels": labels,
                    "ownerReferences": [super::owner(service, "v1", "Service")],
                },
                "addressType": "IPv4",
                "endpoints": all,
                "ports": named,
            }));
        }
    }
}
