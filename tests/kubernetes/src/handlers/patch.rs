//! The four ways to change an object in part.

use std::sync::Arc;

use hyper::{Request, body::Incoming};
use serde_json::{Value, json};

use crate::{
    apply, convert, defaults,
    handlers::{
        Context, Read, Writing,
        body::{FieldValidation, decode, dry_run},
        create::{create_object, manager},
        negotiate::answer_object,
        twice::Twice,
        write_over,
    },
    respond::Answer,
    status::{About, ApiError, Cause, Result},
    store::Object,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Merge,
    Strategic,
    Apply,
}

fn kind(context: &Context, content_type: &str) -> Result<Kind> {
    let custom = context.resource.is_custom();
    match content_type {
        "application/json-patch+json" => Ok(Kind::Json),
        "application/merge-patch+json" => Ok(Kind::Merge),
        "application/strategic-merge-patch+json" if !custom => Ok(Kind::Strategic),
        "application/apply-patch+yaml" => Ok(Kind::Apply),
        "application/strategic-merge-patch+json" => Err(ApiError::unsupported_media_type(
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        )),
        _ => {
            let message = "415: Unsupported Media Type";
            let error = ApiError::new(415, "UnsupportedMediaType", message);
            Err(error.with_details(json!({})))
        }
    }
}

/// A PATCH.
///
/// # Errors
/// With the refusal to send.
pub async fn handle(context: Context, request: Request<Incoming>) -> Result<Answer> {
    let headers = request.headers().clone();
    let dry = dry_run(&context)?;
    let strictness = FieldValidation::of(&context)?;
    let body = Read::of(request).await?;
    let kind = kind(&context, &body.content_type)?;
    check_options(&context, kind)?;
    let writing = Writing {
        manager: manager(&context, &headers)?,
        subresource: context.info.subresource.clone(),
        dry,
        managed: kind == Kind::Apply,
    };
    let patch = Patch { value: read(&body, kind)?, twice: twice(&body, kind) };
    // Others may write between our reading and writing: then from the beginning, unless the patch
    // says from which version it is.
    for _ in 0..5 {
        match once(&context, kind, &patch, strictness, &writing).await {
            Err(error) if error.code == 409 && retriable(&patch.value, &error) => continue,
            Err(error) => return Err(error),
            Ok((object, warnings, status)) => {
                return answer_object(&context, &headers, status, &object, &warnings);
            }
        }
    }
    Err(ApiError::stale(context.resource.about(&context.info.name)))
}

/// A patch as it was sent.
struct Patch {
    value: Value,
    twice: Twice,
}

/// What stands twice in a patch. Lists of operations are read by another reader, which does not
/// mind.
fn twice(body: &Read, kind: Kind) -> Twice {
    match kind {
        Kind::Json => Twice::default(),
        Kind::Merge | Kind::Strategic => Twice::in_json(&body.bytes),
        Kind::Apply => Twice::in_yaml(&body.bytes),
    }
}

fn retriable(patch: &Value, error: &ApiError) -> bool {
    error.message.contains("the object has been modified")
        && patch["metadata"]["resourceVersion"].is_null()
}

fn check_options(context: &Context, kind: Kind) -> Result<()> {
    let about = About { group: "meta.k8s.io", resource: "PatchOptions", name: "" };
    if kind == Kind::Apply {
        if context.info.query.get("fieldManager").is_none() {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            return Err(ApiError::invalid(about, &[cause]));
        }
    } else if context.info.query.0.iter().any(|(key, _)| key == "force") {
        let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
        return Err(ApiError::invalid(about, &[cause]));
    }
    Ok(())
}

fn read(body: &Read, kind: Kind) -> Result<Value> {
    if kind == Kind::Apply {
        return serde_norway::from_slice(&body.bytes)
            .map_err(|error| ApiError::bad_request(format!("error decoding YAML: {error}")));
    }
    let patch: Value = serde_json::from_slice(&body.bytes)
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
    let right = if kind == Kind::Json { patch.is_array() } else { patch.is_object() };
    if !right {
        let message = if kind == Kind::Json {
            "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        } else {
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        };
        return Err(ApiError::bad_request(message));
    }
    if patch.as_array().is_some_and(|operations| operations.len() > 10_000) {
        return Err(ApiError::too_large("The allowed maximum operations in a JSON patch is 10000"));
    }
    Ok(patch)
}

async fn once(
    context: &Context,
    kind: Kind,
    patch: &Patch,
    strictness: FieldValidation,
    writing: &Writing,
) -> Result<(Arc<Object>, Vec<String>, u16)> {
    let Patch { value: patch, twice } = patch;
    let resource = &context.resource;
    let name = &context.info.name;
    let current = context.cluster.store.get(&resource.storage, context.namespace(), name);
    if kind == Kind::Apply {
        return applied(context, current, patch, twice, strictness, writing).await;
    }
    let current = current.ok_or_else(|| ApiError::not_found(resource.about(name)))?;
    let before = convert::value_in(resource, &current);
    let mut object = before.clone();
    let wrong = |why: String| {
        let about = About { group: &resource.group, resource: &resource.plural, name };
        let mut error = ApiError::new(422, "Invalid", why);
        error.details =
            Some(json!({"name": about.name, "group": about.group, "kind": about.resource}));
        error
    };
    match kind {
        Kind::Json => apply::json_patch::apply(&mut object, patch).map_err(|why| {
            let mut error = wrong(format!(
                "the server rejected our request due to an error in our request: {why}"
            ));
            error.details = Some(json!({}));
            error.message =
                "the server rejected our request due to an error in our request".to_owned();
            error
        })?,
        Kind::Merge => apply::merge::json_merge(&mut object, patch),
        Kind::Strategic | Kind::Apply => {
            apply::strategic::patch(&resource.schema, &mut object, patch)
                .map_err(|why| ApiError::new(500, "", why))?;
        }
    }
    let shown = object.to_string();
    let decoded = decode(resource, object, twice, strictness).map_err(|error| {
        // A patched object that cannot be read is an invalid patch.
        let Some((_, why)) = error.message.split_once("cannot be handled as a ") else {
            return error;
        };
        let why = why.split_once(": ").map_or(why, |(_, why)| why);
        let about = About { group: "", resource: "", name: "" };
        ApiError::invalid(about, &[Cause::invalid("patch", &Value::from(shown), why)])
    })?;
    let mut object = decoded.object;
    same_place(context, &object)?;
    defaults::apply(resource, &mut object);
    let (object, mut warnings) = write_over(context, &current, object, writing).await?;
    warnings.splice(0..0, decoded.warnings);
    Ok((object, warnings, 200))
}

/// A patch does not move an object.
fn same_place(context: &Context, object: &Value) -> Result<()> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    if name != context.info.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            context.info.name
        )));
    }
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    if context.resource.namespaced && namespace != context.info.namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

async fn applied(
    context: &Context,
    current: Option<Arc<Object>>,
    patch: &Value,
    twice: &Twice,
    strictness: FieldValidation,
    writing: &Writing,
) -> Result<(Arc<Object>, Vec<String>, u16)> {
    let resource = &context.resource;
    let version = patch["apiVersion"].as_str().unwrap_or_default();
    let kind = patch["kind"].as_str().unwrap_or_default();
    if kind != resource.kind || version != resource.api_version() {
        let (group, version) = crate::resources::split_api_version(version);
        return Err(ApiError::bad_request(format!(
            "invalid object type: {group}/{version}, Kind={kind}"
        )));
    }
    typed(context, patch)?;
    if patch["metadata"]["managedFields"].as_array().is_some_and(|list| !list.is_empty()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    if let (FieldValidation::Strict, Some(said)) = (strictness, twice.sentence()) {
        return Err(ApiError::bad_request(format!(
            "error strict decoding YAML: error converting YAML to JSON: {said}"
        )));
    }
    let decoded = decode(resource, patch.clone(), twice, strictness)?;
    let mut object = decoded.object;
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if !name.is_empty() && name != context.info.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            context.info.name
        )));
    }
    object["metadata"]["name"] = json!(context.info.name);
    crate::handlers::create::check_namespace(context, &mut object)?;
    let request = apply::Apply {
        resource,
        manager: &writing.manager,
        subresource: &writing.subresource,
        force: context.info.query.flag("force"),
    };
    let Some(current) = current else {
        if !writing.subresource.is_empty() {
            return Err(ApiError::not_found(resource.about(&context.info.name)));
        }
        if !object["metadata"]["uid"].is_null() {
            let about = resource.about(&context.info.name);
            return Err(ApiError::conflict(
                about,
                "uid mismatch: the provided object specified uid, and no existing object was found",
            ));
        }
        let made = apply::apply(&request, None, &object)?;
        let (object, mut warnings) = create_object(context, made, APPLIED, writing.dry).await?;
        warnings.splice(0..0, decoded.warnings);
        return Ok((object, warnings, 201));
    };
    let before = convert::value_in(resource, &current);
    let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !version.is_empty() && version != current.version.to_string() {
        return Err(ApiError::stale(resource.about(&context.info.name)));
    }
    let mut merged = apply::apply(&request, Some(&before), &object)?;
    merged["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
    defaults::apply(resource, &mut merged);
    let (object, mut warnings) = write_over(context, &current, merged, writing).await?;
    warnings.splice(0..0, decoded.warnings);
    Ok((object, warnings, 200))
}

/// What is applied is read by the schema alone, whatever field validation is asked for.
fn typed(context: &Context, patch: &Value) -> Result<()> {
    let resource = &context.resource;
    let word = |field: &str| patch["metadata"][field].as_str().unwrap_or_default();
    let failed = |why: String| {
        ApiError::new(
            500,
            "",
            format!(
                "failed to create typed patch object ({}/{}; {}, Kind={}): {why}",
                word("namespace"),
                word("name"),
                resource.api_version(),
                resource.kind
            ),
        )
    };
    let mut copy = patch.clone();
    let found = crate::schema::prune(&resource.schema, &mut copy, resource.is_custom());
    match found.unknown.first() {
        Some(field) => Err(failed(format!(".{field}: field not declared in schema"))),
        None => match crate::schema::type_error(&resource.schema, patch) {
            Some(why) if !resource.is_custom() => Err(failed(why)),
            _ => Ok(()),
        },
    }
}

/// Says to the creation that the managers are settled.
pub const APPLIED: &str = "\u{0}applied";
