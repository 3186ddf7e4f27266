//! The parts of resources that have addresses of their own.

use hyper::{Method, Request, body::Incoming};
use serde_json::{Value, json};

use crate::{
    authn::{ISSUER, ServiceAccountToken},
    clock, convert,
    handlers::{
        Context, Read, Writing,
        body::{FieldValidation, decode, dry_run},
        create::manager,
        delete::{DeleteOptions, delete_object},
        list, patch, update, write_over,
    },
    resources::{BUILT_IN, Origin, ResourceType, Subresource},
    respond::{self, Answer},
    schema::Schema,
    status::{ApiError, Cause, Result},
    streams,
};

/// Answers a request for a part of an object.
///
/// # Errors
/// When there is no such part, or with the refusal to send.
pub async fn handle(context: Context, request: Request<Incoming>) -> Result<Answer> {
    let sub = context
        .resource
        .subresource(&context.info.subresource)
        .cloned()
        .ok_or_else(ApiError::no_such_resource)?;
    if context.info.name.is_empty() {
        return Err(ApiError::no_such_resource());
    }
    let streaming = matches!(sub.name.as_str(), "exec" | "attach" | "portforward" | "proxy");
    if !streaming && !sub.verbs.contains(&context.info.verb) {
        return Err(ApiError::method_not_allowed());
    }
    match sub.name.as_str() {
        "status" | "approval" | "finalize" | "resize" | "ephemeralcontainers" => {
            part(context, request).await
        }
        "scale" => scale(context, &sub, request).await,
        "log" => streams::logs::handle(&context, &request),
        "exec" | "attach" => streams::exec::handle(context, request).await,
        "portforward" => streams::portforward::handle(context, request).await,
        "proxy" => streams::proxy::handle(context, request).await,
        "eviction" => eviction(context, request).await,
        "binding" => binding(context, request).await,
        "token" => token(context, request).await,
        _ => Err(ApiError::no_such_path()),
    }
}

async fn part(context: Context, request: Request<Incoming>) -> Result<Answer> {
    match *request.method() {
        Method::GET | Method::HEAD => list::get(&context, request.headers()),
        Method::PUT => update::handle(context, request).await,
        Method::PATCH => patch::handle(context, request).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// Where a resource has its replicas and its selector.
struct ScalePaths {
    spec: Vec<String>,
    status: Vec<String>,
    selector: Option<Vec<String>>,
}

fn scale_paths(resource: &ResourceType) -> ScalePaths {
    let path = |text: &str| text.trim_start_matches('.').split('.').map(str::to_owned).collect();
    if let Origin::Custom(version) = &resource.origin {
        let scale = &version.subresources["scale"];
        let word = |key: &str| scale[key].as_str().unwrap_or_default();
        return ScalePaths {
            spec: path(word("specReplicasPath")),
            status: path(word("statusReplicasPath")),
            selector: scale["labelSelectorPath"].as_str().map(path),
        };
    }
    ScalePaths { spec: path("spec.replicas"), status: path("status.replicas"), selector: None }
}

fn at<'a>(value: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(value, |value, field| &value[field.as_str()])
}

fn set(value: &mut Value, path: &[String], new: Value) {
    let mut place = value;
    for field in path {
        place = &mut place[field.as_str()];
    }
    *place = new;
}

fn scale_of(resource: &ResourceType, object: &Value) -> Value {
    let paths = scale_paths(resource);
    let selector = match &paths.selector {
        Some(path) => at(object, path).as_str().unwrap_or_default().to_owned(),
        None if resource.is_custom() => String::new(),
        None => match &object["spec"]["selector"] {
            selector
                if selector["matchLabels"].is_object()
                    || selector["matchExpressions"].is_array() =>
            {
                selector_text(selector)
            }
            selector => selector_text(&json!({"matchLabels": selector})),
        },
    };
    let metadata = convert::only(
        &object["metadata"],
        &["name", "namespace", "uid", "resourceVersion", "creationTimestamp"],
    );
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {},
        "status": {"replicas": at(object, &paths.status).as_i64().unwrap_or(0)},
    });
    // None is left out, as Go leaves out zeros.
    if let Some(replicas) = at(object, &paths.spec).as_i64().filter(|replicas| *replicas != 0) {
        scale["spec"]["replicas"] = json!(replicas);
    }
    if !selector.is_empty() {
        scale["status"]["selector"] = json!(selector);
    }
    scale
}

/// A label selector as the text of a query.
pub fn selector_text(selector: &Value) -> String {
    let mut terms = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        terms.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let values: Vec<_> = expression["values"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let values = values.join(",");
        terms.push(match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    terms.sort();
    terms.join(",")
}

fn scale_resource(sub: &Subresource) -> ResourceType {
    let schema = Schema::named(&BUILT_IN.definitions, "io.k8s.api.autoscaling.v1.Scale");
    ResourceType {
        group: sub.group.clone(),
        version: sub.version.clone(),
        kind: sub.kind.clone(),
        list_kind: String::new(),
        plural: "scales".to_owned(),
        singular: "scale".to_owned(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        verbs: Vec::new(),
        subresources: Vec::new(),
        storage: (sub.group.clone(), "scales".to_owned()),
        schema,
        origin: Origin::BuiltIn,
    }
}

async fn scale(context: Context, sub: &Subresource, request: Request<Incoming>) -> Result<Answer> {
    let headers = request.headers().clone();
    let name = context.info.name.clone();
    let method = request.method().clone();
    let strictness = FieldValidation::of(&context)?;
    let dry = dry_run(&context)?;
    let body = Read::of(request).await?;
    for _ in 0..5 {
        let current = context
            .cluster
            .store
            .get(&context.resource.storage, context.namespace(), &name)
            .ok_or_else(|| ApiError::not_found(context.resource.about(&name)))?;
        let before = convert::value_in(&context.resource, &current);
        let there = scale_of(&context.resource, &before);
        if matches!(method, Method::GET | Method::HEAD) {
            return Ok(respond::json(200, &there));
        }
        let kind = scale_resource(sub);
        let wanted = if method == Method::PATCH {
            let mut wanted = there.clone();
            let patch: Value = serde_json::from_slice(&body.bytes)
                .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
            match body.content_type.as_str() {
                "application/json-patch+json" => {
                    crate::apply::json_patch::apply(&mut wanted, &patch).map_err(|_| {
                        ApiError::new(
                            422,
                            "Invalid",
                            "the server rejected our request due to an error in our request",
                        )
                    })?
                }
                "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
                    crate::apply::merge::json_merge(&mut wanted, &patch);
                }
                _ => {
                    return Err(ApiError::unsupported_media_type(
                        "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml, application/apply-patch+cbor",
                    ));
                }
            }
            wanted
        } else {
            body.value()?
        };
        let wanted = decode(&kind, wanted, &body.twice(), strictness)?.object;
        let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or(0);
        if replicas < 0 {
            let cause = Cause::invalid(
                "spec.replicas",
                &json!(replicas),
                "must be greater than or equal to 0",
            );
            return Err(ApiError::invalid(kind.about_kind(&name), &[cause]));
        }
        let version = wanted["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !version.is_empty() && version != current.version.to_string() {
            return Err(ApiError::stale(context.resource.about(&name)));
        }
        let mut object = before.clone();
        set(&mut object, &scale_paths(&context.resource).spec, json!(replicas));
        let writing = Writing {
            manager: manager(&context, &headers)?,
            subresource: "scale".to_owned(),
            dry,
            managed: false,
        };
        match write_over(&context, &current, object, &writing).await {
            Ok((written, _)) => {
                let object = convert::value_in(&context.resource, &written);
                return Ok(respond::json(200, &scale_of(&context.resource, &object)));
            }
            Err(error) if error.code == 409 && version.is_empty() => continue,
            Err(error) => return Err(error),
        }
    }
    Err(ApiError::stale(context.resource.about(&name)))
}

async fn eviction(context: Context, request: Request<Incoming>) -> Result<Answer> {
    let dry = dry_run(&context)?;
    let body = Read::of(request).await?;
    let value = body.value()?;
    let kind = value["kind"].as_str().unwrap_or("Eviction");
    let version = value["apiVersion"].as_str().unwrap_or("policy/v1");
    if kind != "Eviction" || !matches!(version, "policy/v1" | "policy/v1beta1") {
        return Err(ApiError::bad_request(format!(
            "no kind \"{kind}\" is registered for version \"{version}\""
        )));
    }
    let name = &context.info.name;
    let named = value["metadata"]["name"].as_str().unwrap_or_default();
    if named != name {
        return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
    }
    let pod = context
        .cluster
        .store
        .get(&context.resource.storage, context.namespace(), name)
        .ok_or_else(|| ApiError::not_found(context.resource.about(name)))?;
    let options = &value["deleteOptions"];
    let text = |field: &Value| field.as_str().map(str::to_owned);
    let options = DeleteOptions {
        grace: options["gracePeriodSeconds"].as_i64(),
        propagation: text(&options["propagationPolicy"]),
        uid: text(&options["preconditions"]["uid"]),
        version: text(&options["preconditions"]["resourceVersion"]),
        dry: dry || options["dryRun"].as_array().is_some_and(|all| !all.is_empty()),
    };
    crate::disruption::take(&context.cluster, &pod, options.dry)?;
    delete_object(&context, name, &options).await?;
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    });
    Ok(respond::json(201, &status))
}

async fn binding(context: Context, request: Request<Incoming>) -> Result<Answer> {
    let body = Read::of(request).await?;
    let value = body.value()?;
    let node = value["target"]["name"].as_str().unwrap_or_default().to_owned();
    if node.is_empty() {
        let cause = Cause::required("target.name", "");
        let about =
            crate::status::About { group: "", resource: "Binding", name: &context.info.name };
        return Err(ApiError::invalid(about, &[cause]));
    }
    let pod = context
        .cluster
        .store
        .value("", "pods", context.namespace(), &context.info.name)
        .ok_or_else(|| ApiError::not_found(context.resource.about(&context.info.name)))?;
    if pod["spec"]["nodeName"].as_str().is_some_and(|there| !there.is_empty()) {
        let there = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        return Err(ApiError::conflict(
            crate::status::About { group: "", resource: "pods/binding", name: &context.info.name },
            &format!("pod {} is already assigned to node \"{there}\"", context.info.name),
        ));
    }
    crate::controllers::bind(&context.cluster, context.namespace(), &context.info.name, &node);
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(respond::json(201, &status))
}

async fn token(context: Context, request: Request<Incoming>) -> Result<Answer> {
    let body = Read::of(request).await?;
    let mut value = if body.bytes.is_empty() { json!({}) } else { body.value()? };
    let name = context.info.name.clone();
    let account = context
        .cluster
        .store
        .get(&context.resource.storage, context.namespace(), &name)
        .ok_or_else(|| ApiError::not_found(context.resource.about(&name)))?;
    let seconds = value["spec"]["expirationSeconds"].as_i64().unwrap_or(3600);
    let about = crate::status::About {
        group: "authentication.k8s.io",
        resource: "TokenRequest",
        name: &name,
    };
    if seconds < 600 {
        let cause = Cause::invalid(
            "spec.expirationSeconds",
            &json!(seconds),
            "may not specify a duration less than 10 minutes",
        );
        return Err(ApiError::invalid(about, &[cause]));
    }
    if seconds > 1 << 32 {
        let cause = Cause::invalid(
            "spec.expirationSeconds",
            &json!(seconds),
            "may not specify a duration larger than 2^32 seconds",
        );
        return Err(ApiError::invalid(about, &[cause]));
    }
    let mut audiences: Vec<String> = value["spec"]["audiences"]
        .as_array()
        .map(|all| all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    let bound = value["spec"]["boundObjectRef"].clone();
    let pod = match bound["kind"].as_str() {
        Some("Pod") => {
            let pod = bound["name"].as_str().unwrap_or_default();
            let pods = ("".to_owned(), "pods".to_owned());
            let there = context.cluster.store.get(&pods, context.namespace(), pod);
            let there = there.ok_or_else(|| {
                ApiError::not_found(crate::status::About { group: "", resource: "pods", name: pod })
            })?;
            Some((pod.to_owned(), there.uid.clone()))
        }
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "cannot bind token for serviceaccount \"{name}\" to {other}: only Pod is served here"
            )));
        }
        None => None,
    };
    let (token, until) = context.cluster.tokens.issue(&ServiceAccountToken {
        namespace: context.namespace(),
        name: &name,
        uid: &account.uid,
        seconds: Some(seconds),
        audiences: audiences.clone(),
        pod,
    });
    value["kind"] = json!("TokenRequest");
    value["apiVersion"] = json!("authentication.k8s.io/v1");
    value["metadata"] = json!({
        "name": name,
        "namespace": context.namespace(),
        "creationTimestamp": clock::stamp(),
    });
    value["spec"] = json!({
        "audiences": audiences,
        "expirationSeconds": seconds,
        "boundObjectRef": bound,
    });
    value["status"] = json!({
        "token": token,
        "expirationTimestamp": until.map(clock::seconds).unwrap_or_default(),
    });
    Ok(respond::json(201, &value))
}
