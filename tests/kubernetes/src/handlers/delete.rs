//! Deleting: at once, gracefully, or when the finalizers are gone.

use std::sync::Arc;

use hyper::{Request, body::Incoming};
use serde_json::{Value, json};
use time::Duration;

use crate::{
    admission, clock,
    cluster::Cluster,
    convert,
    handlers::{
        Context, Read,
        body::dry_run,
        list::Selection,
        negotiate::{answer_object, warn},
    },
    resources::{ResourceType, StorageKey},
    respond::{self, Answer},
    status::{About, ApiError, Cause, Result},
    store::{Lost, Object},
};

/// How to delete.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// How long a pod has.
    pub grace: Option<i64>,
    /// `Background`, `Foreground` or `Orphan`.
    pub propagation: Option<String>,
    /// Only this object.
    pub uid: Option<String>,
    /// Only this version.
    pub version: Option<String>,
    /// Only see whether it would be.
    pub dry: bool,
}

impl DeleteOptions {
    async fn of(context: &Context, request: Request<Incoming>) -> Result<Self> {
        let body = Read::of(request).await?;
        let value = if body.bytes.is_empty() { json!({}) } else { body.value()? };
        let query = &context.info.query;
        let propagation = value["propagationPolicy"]
            .as_str()
            .or(query.get("propagationPolicy"))
            .map(str::to_owned)
            .or_else(|| {
                value["orphanDependents"]
                    .as_bool()
                    .map(|orphan| if orphan { "Orphan" } else { "Background" }.to_owned())
            });
        let text = |field: &Value| field.as_str().map(str::to_owned);
        let grace = match value["gracePeriodSeconds"].as_i64() {
            Some(seconds) => Some(seconds),
            None => query.number("gracePeriodSeconds")?,
        };
        let options = Self {
            grace,
            propagation,
            uid: text(&value["preconditions"]["uid"]),
            version: text(&value["preconditions"]["resourceVersion"]),
            dry: dry_run(context)? || value["dryRun"].as_array().is_some_and(|all| !all.is_empty()),
        };
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<()> {
        let known = ["Foreground", "Background", "Orphan"];
        match self.propagation.as_deref() {
            Some(other) if !known.contains(&other) => {
                let about = About { group: "meta.k8s.io", resource: "DeleteOptions", name: "" };
                let cause = Cause::not_supported(
                    "propagationPolicy",
                    &json!(other),
                    &["Foreground", "Background", "Orphan", "nil"],
                );
                Err(ApiError::invalid(about, &[cause]))
            }
            _ => Ok(()),
        }
    }
}

/// A DELETE of one object.
///
/// # Errors
/// With the refusal to send.
pub async fn handle(context: Context, request: Request<Incoming>) -> Result<Answer> {
    let headers = request.headers().clone();
    let options = DeleteOptions::of(&context, request).await?;
    let name = context.info.name.clone();
    let warnings = preserved(&context.resource, &options);
    let (object, gone) = delete_object(&context, &name, &options).await?;
    if gone && !gives_object(&context.resource) {
        let mut details = json!({"name": name, "kind": context.resource.plural, "uid": object.uid});
        if !context.resource.group.is_empty() {
            details["group"] = json!(context.resource.group);
        }
        let status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details,
        });
        let mut answer = respond::json(200, &status);
        warn(&mut answer, &warnings);
        return Ok(answer);
    }
    answer_object(&context, &headers, 200, &object, &warnings)
}

fn preserved(resource: &ResourceType, options: &DeleteOptions) -> Vec<String> {
    if resource.plural == "jobs" && options.propagation.is_none() {
        return vec![
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning".to_owned(),
        ];
    }
    Vec::new()
}

/// Kinds whose deletion answers with the object.
fn gives_object(resource: &ResourceType) -> bool {
    matches!(
        resource.plural.as_str(),
        "pods"
            | "services"
            | "serviceaccounts"
            | "persistentvolumes"
            | "persistentvolumeclaims"
            | "podtemplates"
            | "resourcequotas"
            | "storageclasses"
            | "csinodes"
            | "csidrivers"
            | "volumeattachments"
            | "namespaces"
    ) && !resource.is_custom()
}

/// Deletes an object, and says whether it is gone already.
///
/// # Errors
/// When it is not there, another one, or somebody refuses.
pub async fn delete_object(
    context: &Context,
    name: &str,
    options: &DeleteOptions,
) -> Result<(Arc<Object>, bool)> {
    let resource = &context.resource;
    let store = &context.cluster.store;
    loop {
        let about = resource.about(name);
        let current = store
            .get(&resource.storage, context.namespace(), name)
            .ok_or_else(|| ApiError::not_found(about))?;
        preconditions(&current, options, resource.about_kind(name))?;
        let before = convert::value_in(resource, &current);
        let request = admission::Request {
            context,
            operation: admission::Operation::Delete,
            subresource: "",
            name,
            before: Some(&before),
            dry: options.dry,
        };
        admission::validate(&request, &before).await?;
        if options.dry {
            return Ok((current, true));
        }
        let step = step(&context.cluster, resource, &current, options);
        let done = match step {
            Step::Remove => store.remove(&resource.storage, &current).map(|object| (object, true)),
            Step::Nothing => return Ok((current, false)),
            Step::Mark(value) => {
                store.replace(&resource.storage, &current, value).map(|object| (object, false))
            }
        };
        match done {
            Ok((object, gone)) => {
                context.cluster.after_write(&resource.storage);
                return Ok((object, gone));
            }
            Err(Lost::Raced | Lost::Exists) => continue,
        }
    }
}

fn preconditions(current: &Object, options: &DeleteOptions, about: About) -> Result<()> {
    if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != current.uid) {
        return Err(ApiError::conflict(
            about,
            &format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
                current.uid
            ),
        ));
    }
    let version = current.version.to_string();
    if let Some(wanted) = options.version.as_ref().filter(|wanted| **wanted != version) {
        return Err(ApiError::conflict(
            about,
            &format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). The object might have been modified"
            ),
        ));
    }
    Ok(())
}

enum Step {
    Remove,
    Mark(Value),
    Nothing,
}

fn step(
    cluster: &Cluster,
    resource: &ResourceType,
    current: &Object,
    options: &DeleteOptions,
) -> Step {
    let mut value = current.value();
    let orphans = resource.plural == "jobs" || resource.plural == "replicationcontrollers";
    let propagation = match options.propagation.as_deref() {
        Some(policy) => policy.to_owned(),
        None if orphans => "Orphan".to_owned(),
        None => "Background".to_owned(),
    };
    let mut finalizers: Vec<Value> =
        value["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let wanted = match propagation.as_str() {
        "Foreground" => Some("foregroundDeletion"),
        "Orphan" => Some("orphan"),
        _ => None,
    };
    if options.propagation.is_some() || wanted.is_some() {
        finalizers.retain(|one| one != "foregroundDeletion" && one != "orphan");
        finalizers.extend(wanted.map(Value::from));
    }
    // Without kubelets nobody would ever say that a pod has ended.
    let grace = if cluster.options.controllers { grace(resource, &value, options) } else { 0 };
    let namespace = resource.plural == "namespaces" && !resource.is_custom();
    let held =
        namespace && value["spec"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
    if finalizers.is_empty() && grace == 0 && !held {
        return Step::Remove;
    }
    let before = value.clone();
    let metadata = &mut value["metadata"];
    if finalizers.is_empty() {
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.remove("finalizers");
        }
    } else {
        metadata["finalizers"] = json!(finalizers);
    }
    let already = metadata["deletionGracePeriodSeconds"].as_i64();
    if !metadata["deletionTimestamp"].is_string() || already.is_some_and(|there| grace < there) {
        metadata["deletionTimestamp"] =
            json!(clock::seconds(clock::now() + Duration::seconds(grace)));
        metadata["deletionGracePeriodSeconds"] = json!(grace);
        if let Some(generation) = metadata["generation"].as_i64() {
            metadata["generation"] = json!(generation + 1);
        }
    }
    if namespace {
        value["status"]["phase"] = json!("Terminating");
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove("deletionGracePeriodSeconds");
        }
    }
    if value == before { Step::Nothing } else { Step::Mark(value) }
}

/// How long the object has: only pods that run somewhere have time.
fn grace(resource: &ResourceType, value: &Value, options: &DeleteOptions) -> i64 {
    if resource.plural != "pods" || resource.is_custom() {
        return 0;
    }
    let ended = matches!(value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if value["spec"]["nodeName"].as_str().unwrap_or_default().is_empty() || ended {
        return 0;
    }
    let wanted = options.grace.or_else(|| value["spec"]["terminationGracePeriodSeconds"].as_i64());
    wanted.unwrap_or(30).max(0)
}

/// Removes an object that is being deleted, when nothing holds it any more.
pub fn finish(cluster: &Cluster, key: &StorageKey, object: Arc<Object>) -> Arc<Object> {
    if !object.deleting {
        return object;
    }
    let value = object.value();
    let held = |field: &Value| field.as_array().is_some_and(|all| !all.is_empty());
    let pod = key.1 == "pods" && key.0.is_empty();
    let waits = pod && value["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0;
    let namespace = key.1 == "namespaces" && held(&value["spec"]["finalizers"]);
    if held(&value["metadata"]["finalizers"]) || waits || namespace {
        return object;
    }
    cluster.store.remove(key, &object).unwrap_or(object)
}

/// A DELETE of all that a query selects.
///
/// # Errors
/// With the refusal to send.
pub async fn collection(context: Context, request: Request<Incoming>) -> Result<Answer> {
    if context.resource.namespaced && context.info.namespace.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    let selection = Selection::of(&context)?;
    let options = DeleteOptions::of(&context, request).await?;
    let namespace = context.resource.namespaced.then(|| context.info.namespace.clone());
    let there = context.cluster.store.list(&context.resource.storage, namespace.as_deref());
    let mut items = Vec::new();
    for object in there.objects.iter().filter(|object| selection.selects(object)) {
        match delete_object(&context, &object.name, &options).await {
            Ok((deleted, _)) => items.push(convert::value_in(&context.resource, &deleted)),
            Err(error) if error.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    let version = context.cluster.store.version().to_string();
    Ok(respond::json(
        200,
        &json!({
            "kind": context.resource.list_kind,
            "apiVersion": context.resource.api_version(),
            "metadata": {"resourceVersion": version},
            "items": items,
        }),
    ))
}
