//! Changing objects: the part that PUT, PATCH and subresources share, and PUT itself.

use std::sync::Arc;

use hyper::{Request, body::Incoming};
use serde_json::{Value, json};

use crate::{
    admission, apply, convert, defaults,
    handlers::{
        Context, Read,
        body::{FieldValidation, decode, dry_run},
        create::{check_namespace, create_object, manager, too_large, without_kind},
        delete,
        negotiate::answer_object,
    },
    respond::Answer,
    status::{ApiError, Result},
    store::Object,
    validation,
};

/// How a change is made.
#[derive(Debug, Clone)]
pub struct Writing {
    /// Who writes.
    pub manager: String,
    /// The part that is written, or nothing for the object itself.
    pub subresource: String,
    /// Whether nothing is kept.
    pub dry: bool,
    /// Whether the fields' managers were settled already, by apply.
    pub managed: bool,
}

/// A PUT.
///
/// # Errors
/// With the refusal to send.
pub async fn handle(context: Context, request: Request<Incoming>) -> Result<Answer> {
    let headers = request.headers().clone();
    let dry = dry_run(&context)?;
    let strictness = FieldValidation::of(&context)?;
    let body = Read::of(request).await?;
    let decoded = decode(&context.resource, body.value()?, &body.twice(), strictness)?;
    let writing = Writing {
        manager: manager(&context, &headers)?,
        subresource: context.info.subresource.clone(),
        dry,
        managed: false,
    };
    let (object, mut warnings, status) = put(&context, decoded.object, &writing).await?;
    warnings.splice(0..0, decoded.warnings);
    answer_object(&context, &headers, status, &object, &warnings)
}

async fn put(
    context: &Context,
    mut object: Value,
    writing: &Writing,
) -> Result<(Arc<Object>, Vec<String>, u16)> {
    let name = &context.info.name;
    let there = object["metadata"]["name"].as_str().unwrap_or_default();
    if there.is_empty() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )));
    }
    if there != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({there}) does not match the name on the URL ({name})"
        )));
    }
    check_namespace(context, &mut object)?;
    let current = context.cluster.store.get(&context.resource.storage, context.namespace(), name);
    let Some(current) = current else {
        if may_be_created_by_update(context) && writing.subresource.is_empty() {
            let (object, warnings) =
                create_object(context, object, &writing.manager, writing.dry).await?;
            return Ok((object, warnings, 201));
        }
        return Err(ApiError::not_found(context.resource.about(name)));
    };
    defaults::apply(&context.resource, &mut object);
    let (object, warnings) = write_over(context, &current, object, writing).await?;
    Ok((object, warnings, 200))
}

/// A PUT of some kinds makes what is not there.
fn may_be_created_by_update(context: &Context) -> bool {
    matches!(context.resource.plural.as_str(), "endpoints" | "leases" | "limitranges" | "events")
}

/// Writes a complete object over the one that was read.
///
/// # Errors
/// When somebody refuses, or the object was changed meanwhile.
pub async fn write_over(
    context: &Context,
    current: &Arc<Object>,
    mut object: Value,
    writing: &Writing,
) -> Result<(Arc<Object>, Vec<String>)> {
    let resource = &context.resource;
    let name = &current.name;
    let before = convert::value_in(resource, current);
    fresh(context, current, &object)?;
    keep(context, &before, &mut object, writing);
    let request = admission::Request {
        context,
        operation: admission::Operation::Update,
        subresource: &writing.subresource,
        name,
        before: Some(&before),
        dry: writing.dry,
    };
    let mut warnings = admission::mutate(&request, &mut object).await?;
    defaults::tidy(resource, &mut object);
    if writing.subresource.is_empty() {
        defaults::allocate(&context.cluster, resource, &mut object, Some(&before))?;
    }
    if !writing.managed {
        apply::manage_update(
            resource,
            Some(&before),
            &mut object,
            &writing.manager,
            &writing.subresource,
        );
    }
    let causes = match writing.subresource.as_str() {
        "" => validation::update(&context.cluster, resource, &before, &object),
        _ => validation::update_part(resource, &before, &object, &writing.subresource),
    };
    if !causes.is_empty() {
        return Err(ApiError::invalid(resource.about_kind(name), &causes));
    }
    generation(resource, &before, &mut object, writing);
    warnings.extend(validation::warnings(resource, &object));
    warnings.extend(admission::validate(&request, &object).await?);
    if same(&before, &object) {
        return Ok((Arc::clone(current), warnings));
    }
    let kept = without_kind(convert::to_storage(resource, object));
    too_large(&kept)?;
    if writing.dry {
        let mut kept = kept;
        kept["metadata"]["resourceVersion"] = json!(current.version.to_string());
        return Ok((Arc::new(Object::dry(kept)), warnings));
    }
    let written = context
        .cluster
        .store
        .replace(&resource.storage, current, kept)
        .map_err(|_| ApiError::stale(resource.about(name)))?;
    // The last finalizer of an object that is being deleted.
    let written = delete::finish(&context.cluster, &resource.storage, written);
    context.cluster.after_write(&resource.storage);
    Ok((written, warnings))
}

/// Refuses a write from an older version, or to another object of that name.
fn fresh(context: &Context, current: &Object, object: &Value) -> Result<()> {
    let about = context.resource.about(&current.name);
    let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !version.is_empty() && version != current.version.to_string() {
        return Err(ApiError::stale(about));
    }
    if version.is_empty() && needs_version(context) && context.info.verb == "update" {
        let about = context.resource.about_kind(&current.name);
        let cause = crate::status::Cause::invalid(
            "metadata.resourceVersion",
            &Value::from(0),
            "must be specified for an update",
        );
        return Err(ApiError::invalid(about, &[cause]));
    }
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    if !uid.is_empty() && uid != current.uid {
        return Err(ApiError::conflict(
            about,
            &format!(
                "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                context.resource.plural, current.namespace, current.name, current.uid
            ),
        ));
    }
    Ok(())
}

/// Kinds of which no write goes without a version.
fn needs_version(context: &Context) -> bool {
    context.resource.is_custom()
        || matches!(
            context.resource.plural.as_str(),
            "customresourcedefinitions"
                | "leases"
                | "poddisruptionbudgets"
                | "validatingwebhookconfigurations"
                | "mutatingwebhookconfigurations"
                | "apiservices"
        )
}

/// Keeps what this write may not change.
fn keep(context: &Context, before: &Value, object: &mut Value, writing: &Writing) {
    let resource = &context.resource;
    match writing.subresource.as_str() {
        "status" => {
            let status = object["status"].take();
            let managed = object["metadata"]["managedFields"].take();
            let mut whole = before.clone();
            if resource.is_custom()
                || matches!(resource.plural.as_str(), "nodes" | "pods" | "namespaces" | "services")
            {
                // Labels and annotations may come with a status.
                for field in ["labels", "annotations"] {
                    let value = &object["metadata"][field];
                    if !resource.is_custom() && !value.is_null() {
                        whole["metadata"][field] = value.clone();
                    }
                }
            }
            if status.is_null() {
                if let Some(fields) = whole.as_object_mut() {
                    fields.remove("status");
                }
            } else {
                whole["status"] = status;
            }
            if !managed.is_null() {
                whole["metadata"]["managedFields"] = managed;
            }
            *object = whole;
        }
        "" if resource.has_status() => {
            let status = before["status"].clone();
            if let Some(fields) = object.as_object_mut() {
                if status.is_null() {
                    fields.remove("status");
                } else {
                    fields.insert("status".to_owned(), status);
                }
            }
        }
        _ => {}
    }
    if writing.subresource.is_empty() && resource.plural == "namespaces" {
        object["spec"] = before["spec"].clone();
    }
    let old = &before["metadata"];
    let metadata = &mut object["metadata"];
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
        "resourceVersion",
        "generateName",
    ] {
        match &old[field] {
            Value::Null => {
                if let Some(metadata) = metadata.as_object_mut() {
                    metadata.remove(field);
                }
            }
            value => metadata[field] = value.clone(),
        }
    }
}

/// A new generation for a new spec.
fn generation(
    resource: &crate::resources::ResourceType,
    before: &Value,
    object: &mut Value,
    writing: &Writing,
) {
    if !defaults::has_generation(resource) || writing.subresource == "status" {
        return;
    }
    let bare = |value: &Value| {
        let mut value = value.clone();
        if let Some(fields) = value.as_object_mut() {
            fields.remove("metadata");
            fields.remove("status");
        }
        value
    };
    if bare(before) != bare(object) {
        let old = before["metadata"]["generation"].as_i64().unwrap_or(0);
        object["metadata"]["generation"] = json!(old + 1);
    }
}

/// Whether nothing but the times of managers would change.
fn same(before: &Value, after: &Value) -> bool {
    let bare = |value: &Value| {
        let mut value = value.clone();
        for entry in value["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
            entry["time"] = Value::Null;
        }
        value["metadata"]["resourceVersion"] = Value::Null;
        value
    };
    bare(before) == bare(after)
}
