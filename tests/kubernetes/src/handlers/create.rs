//! Making objects.

use hyper::{HeaderMap, Request, body::Incoming};
use serde_json::{Value, json};

use crate::{
    admission, apply, clock, convert, defaults,
    handlers::{
        Context, Read,
        body::{FieldValidation, decode, dry_run},
        negotiate::answer_object,
    },
    respond::Answer,
    status::{ApiError, Result},
    store::Object,
    validation,
};

/// A POST to a resource.
///
/// # Errors
/// With the refusal to send.
pub async fn handle(context: Context, request: Request<Incoming>) -> Result<Answer> {
    if context.resource.namespaced && context.info.namespace.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    let headers = request.headers().clone();
    let dry = dry_run(&context)?;
    let strictness = FieldValidation::of(&context)?;
    let body = Read::of(request).await?;
    let decoded = decode(&context.resource, body.value()?, &body.twice(), strictness)?;
    let manager = manager(&context, &headers)?;
    let (object, mut warnings) = create_object(&context, decoded.object, &manager, dry).await?;
    warnings.splice(0..0, decoded.warnings);
    answer_object(&context, &headers, 201, &object, &warnings)
}

/// Who writes: what the query says, or the beginning of the program's name.
///
/// # Errors
/// When it cannot be a manager's name.
pub fn manager(context: &Context, headers: &HeaderMap) -> Result<String> {
    if let Some(manager) = context.info.query.get("fieldManager") {
        if manager.len() > 128 || !manager.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
            let about =
                crate::status::About { group: "meta.k8s.io", resource: "CreateOptions", name: "" };
            let cause = if manager.len() > 128 {
                crate::status::Cause::too_long("fieldManager", 128)
            } else {
                crate::status::Cause::invalid(
                    "fieldManager",
                    &json!(manager),
                    "should only contain printable characters",
                )
            };
            return Err(ApiError::invalid(about, &[cause]));
        }
        return Ok(manager.to_owned());
    }
    let agent = headers
        .get(hyper::header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    Ok(agent.split('/').next().unwrap_or_default().to_owned())
}

/// Makes an object: names it, completes it, asks all who may refuse it, and keeps it.
///
/// # Errors
/// When somebody refuses, or the name is taken.
pub async fn create_object(
    context: &Context,
    mut object: Value,
    manager: &str,
    dry: bool,
) -> Result<(std::sync::Arc<Object>, Vec<String>)> {
    let resource = &context.resource;
    place(context, &mut object)?;
    defaults::apply(resource, &mut object);
    defaults::metadata(&mut object);
    prepare(context, &mut object);
    let name = name_of(&object);
    let request = admission::Request {
        context,
        operation: admission::Operation::Create,
        subresource: "",
        name: &name,
        before: None,
        dry,
    };
    let mut warnings = admission::mutate(&request, &mut object).await?;
    defaults::tidy(resource, &mut object);
    defaults::allocate(&context.cluster, resource, &mut object, None)?;
    if manager != super::patch::APPLIED {
        apply::manage_update(resource, None, &mut object, manager, "");
    }
    let causes = validation::create(&context.cluster, resource, &object);
    if !causes.is_empty() {
        return Err(ApiError::invalid(resource.about_kind(&name), &causes));
    }
    warnings.extend(validation::warnings(resource, &object));
    warnings.extend(admission::validate(&request, &object).await?);
    let kept = convert::to_storage(resource, object);
    too_large(&kept)?;
    let kept = without_kind(kept);
    if dry {
        if context.cluster.store.get(&resource.storage, context.namespace(), &name).is_some() {
            return Err(ApiError::already_exists(resource.about(&name)));
        }
        return Ok((std::sync::Arc::new(Object::dry(kept)), warnings));
    }
    let object = context
        .cluster
        .store
        .create(&resource.storage, kept)
        .map_err(|_| ApiError::already_exists(resource.about(&name)))?;
    context.cluster.after_write(&resource.storage);
    Ok((object, warnings))
}

fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// Gives the object its place: namespace and name.
fn place(context: &Context, object: &mut Value) -> Result<()> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    if object["metadata"]["resourceVersion"].as_str().is_some_and(|version| !version.is_empty()) {
        return Err(ApiError::new(
            500,
            "",
            "resourceVersion should not be set on objects to be created",
        ));
    }
    check_namespace(context, object)?;
    let metadata = &mut object["metadata"];
    let named = metadata["name"].as_str().is_some_and(|name| !name.is_empty());
    if !named && let Some(prefix) = metadata["generateName"].as_str().filter(|p| !p.is_empty()) {
        let prefix: String = prefix.chars().take(58).collect();
        metadata["name"] = json!(format!("{prefix}{}", suffix(5)));
    }
    Ok(())
}

/// Refuses an object for another namespace than the address names, and fills it in.
///
/// # Errors
/// Then.
pub fn check_namespace(context: &Context, object: &mut Value) -> Result<()> {
    let there = object["metadata"]["namespace"].as_str().unwrap_or_default();
    if !context.resource.namespaced {
        if !there.is_empty()
            && let Some(metadata) = object["metadata"].as_object_mut()
        {
            metadata.remove("namespace");
        }
        return Ok(());
    }
    if !there.is_empty() && there != context.info.namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    object["metadata"]["namespace"] = json!(context.info.namespace);
    Ok(())
}

/// What only the server says of a new object.
fn prepare(context: &Context, object: &mut Value) {
    let metadata = &mut object["metadata"];
    metadata["uid"] = json!(uuid::Uuid::new_v4().to_string());
    metadata["creationTimestamp"] = json!(clock::stamp());
    if let Some(metadata) = metadata.as_object_mut() {
        for field in
            ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"]
        {
            metadata.remove(field);
        }
        if defaults::has_generation(&context.resource) {
            metadata.insert("generation".to_owned(), json!(1));
        } else {
            metadata.remove("generation");
        }
    }
    if context.resource.has_status()
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    defaults::first_status(&context.resource, object);
}

/// Letters that make no words.
pub fn suffix(length: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let bytes = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
    // The bits that a UUID fixes stand in bytes 6 and 8.
    bytes
        .iter()
        .enumerate()
        .filter(|(at, _)| !matches!(at % 16, 6 | 8))
        .take(length)
        .map(|(_, byte)| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}

/// Refuses what etcd does not take.
///
/// # Errors
/// Then.
pub fn too_large(object: &Value) -> Result<()> {
    const MOST: usize = 1024 * 1024 + 512 * 1024;
    if object.to_string().len() > MOST {
        let error = ApiError::new(500, "", "etcdserver: request is too large");
        return Err(error);
    }
    Ok(())
}

/// The object as it is kept.
pub fn without_kind(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    object
}
