//! Limit ranges: what containers get that say nothing, and what is too much or too little.

use serde_json::{Value, json};

use super::{Operation, Request};
use crate::{
    status::{ApiError, Result},
    validation::quantity,
};

fn ranges(request: &Request) -> Vec<Value> {
    let context = request.context;
    context
        .cluster
        .store
        .values("", "limitranges", Some(&context.info.namespace))
        .iter()
        .flat_map(|range| range["spec"]["limits"].as_array().cloned().unwrap_or_default())
        .collect()
}

/// Gives containers the limits and requests that a range says.
pub fn complete(request: &Request, pod: &mut Value) {
    for range in ranges(request).iter().filter(|range| range["type"] == "Container") {
        for list in ["containers", "initContainers"] {
            let Some(containers) = pod["spec"][list].as_array_mut() else { continue };
            for container in containers {
                for (from, to) in [("defaultRequest", "requests"), ("default", "limits")] {
                    for (resource, value) in range[from].as_object().into_iter().flatten() {
                        let there = &mut container["resources"][to][resource];
                        if there.is_null() {
                            *there = value.clone();
                        }
                    }
                }
            }
        }
        if pod["spec"]["initContainers"].is_null()
            && let Some(fields) = pod["spec"].as_object_mut()
        {
            fields.remove("initContainers");
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Refuses what is outside of a range.
///
/// # Errors
/// Then.
pub fn check(request: &Request, object: &Value) -> Result<()> {
    let resource = &request.context.resource;
    let pods = resource.group.is_empty() && resource.plural == "pods";
    let claims = resource.group.is_empty() && resource.plural == "persistentvolumeclaims";
    if !(pods || claims)
        || request.operation != Operation::Create
        || !request.subresource.is_empty()
    {
        return Ok(());
    }
    let mut wrong = Vec::new();
    for range in ranges(request) {
        let kind = range["type"].as_str().unwrap_or_default();
        match kind {
            "Container" if pods => {
                for list in ["containers", "initContainers"] {
                    for container in object["spec"][list].as_array().into_iter().flatten() {
                        one(&range, kind, &container["resources"], &mut wrong);
                    }
                }
            }
            "PersistentVolumeClaim" if claims => {
                one(&range, kind, &object["spec"]["resources"], &mut wrong);
            }
            "Pod" if pods => one(&range, kind, &sums(object), &mut wrong),
            _ => {}
        }
    }
    let why = match wrong.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        more => format!("[{}]", more.join(", ")),
    };
    Err(ApiError::forbidden(resource.about(request.name), &why))
}

fn sums(pod: &Value) -> Value {
    let mut all = json!({"requests": {}, "limits": {}});
    for list in ["requests", "limits"] {
        for resource in ["cpu", "memory"] {
            let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
            let sum: i128 =
                containers.filter_map(|one| quantity::of(&one["resources"][list][resource])).sum();
            if sum > 0 {
                all[list][resource] = json!(quantity::shown(sum, resource == "memory"));
            }
        }
    }
    all
}

fn one(range: &Value, kind: &str, resources: &Value, wrong: &mut Vec<String>) {
    let at = |list: &str, resource: &str| quantity::of(&resources[list][resource]);
    for (resource, least) in range["min"].as_object().into_iter().flatten() {
        let Some(bound) = quantity::of(least) else { continue };
        match at("requests", resource) {
            None => wrong.push(format!(
                "minimum {resource} usage per {kind} is {}.  No request is specified",
                text(least)
            )),
            Some(there) if there < bound => wrong.push(format!(
                "minimum {resource} usage per {kind} is {}, but request is {}",
                text(least),
                text(&resources["requests"][resource])
            )),
            Some(_) => {}
        }
    }
    for (resource, most) in range["max"].as_object().into_iter().flatten() {
        let Some(bound) = quantity::of(most) else { continue };
        let list = if kind == "PersistentVolumeClaim" { "requests" } else { "limits" };
        let word = if list == "limits" { "limit" } else { "request" };
        match at(list, resource) {
            None => wrong.push(format!(
                "maximum {resource} usage per {kind} is {}.  No limit is specified",
                text(most)
            )),
            Some(there) if there > bound => wrong.push(format!(
                "maximum {resource} usage per {kind} is {}, but {word} is {}",
                text(most),
                text(&resources[list][resource])
            )),
            Some(_) => {}
        }
    }
}
