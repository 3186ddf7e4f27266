//! Single objects: read live, as the user who asks.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use drover_api::{ObjectDetail, ObjectEvent, Permission, editable, without_secret_values};
use drover_kubernetes::{
    client::{Identity, content},
    facts::Facts,
    objects::to_yaml,
};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::{failed, shown},
    target::{Place, SECRETS, Target},
};
use crate::{
    error::{Error, Result},
    extract::{Json, Path, Query},
};

/// The most events of an object.
const MOST_EVENTS: usize = 50;

/// The parameters of an object's path.
pub(super) type ObjectPath = Path<(Uuid, String, String, String)>;

/// Show an object
///
/// As the cluster has it now, with its newest events and what the caller may do with it. Values of
/// Secrets are left out for who may not see them.
#[utoipa::path(get, tag = "kubernetes",
    path = "/v1/environments/{environment_id}/kubernetes/objects/{type}/{namespace}/{name}",
    params(("environment_id" = Uuid, Path), ("type" = String, Path), ("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = ObjectDetail)))]
pub(super) async fn get(
    target: Target,
    Path((_environment, kind, namespace, name)): ObjectPath,
) -> Result<Json<ObjectDetail>> {
    let place = target.place(&kind, &namespace, &name)?;
    let mut object = read(&target, &place).await?;
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let yaml = to_yaml(&editable(&object));
    let seen = known(&target, &place).await;
    let events = events(&target, &place, object["metadata"]["uid"].as_str().unwrap_or_default());
    Ok(Json(ObjectDetail {
        yaml,
        health: seen.as_ref().and_then(|row| shown::health(&place.kind, row)),
        reason: seen.and_then(|row| row.why.as_deref().map(str::to_owned)),
        events,
        verbs: verbs(&target, &place),
        object,
    }))
}

/// The object, with what the caller may not see left out.
pub(super) async fn read(target: &Target, place: &Place) -> Result<Value> {
    let hidden = &*place.kind.name == SECRETS && !target.sees_secrets();
    if !hidden {
        return Ok(target.call(Method::GET, &place.path(), None).await?.value);
    }
    // The cluster's roles cannot show a Secret without its values: Drover reads it, and takes them
    // out.
    let cluster = target.cluster()?;
    let answer = cluster.call(Method::GET, &place.path(), None, Identity::Drover).await;
    let mut object = answer.map_err(failed)?.value;
    without_secret_values(&mut object);
    Ok(object)
}

/// What the index knows of an object.
async fn known(
    target: &Target,
    place: &Place,
) -> Option<std::sync::Arc<drover_kubernetes::index::Row>> {
    let list = target.live.index.opened(&place.kind.name)?;
    let namespace = place.namespace.as_deref().unwrap_or_default();
    list.get(&target.scope(&place.kind), namespace, &place.name)
}

/// The newest events of an object, from the index.
fn events(target: &Target, place: &Place, uid: &str) -> Vec<ObjectEvent> {
    let Some(list) = target.live.index.opened("events") else { return Vec::new() };
    // Events of what is in no namespace are in `default`, which may be another's.
    let scope = match place.namespace {
        Some(_) => target.scope(list.resource()),
        None => drover_kubernetes::index::Scope::all(),
    };
    let about = |row: &drover_kubernetes::index::Row| match &row.facts {
        Facts::Event(event) => {
            *event.name == *place.name
                && *event.kind == *place.kind.kind
                && *event.namespace == *place.namespace.as_deref().unwrap_or_default()
                // Nodes tell their own name as their uid.
                && (event.uid.is_empty() || *event.uid == *uid || *event.uid == *place.name)
        }
        _ => false,
    };
    let mut found = list.select(&scope, about);
    let last = |row: &drover_kubernetes::index::Row| match &row.facts {
        Facts::Event(event) => event.last,
        _ => 0,
    };
    found.sort_by_key(|row| std::cmp::Reverse(last(row)));
    found
        .iter()
        .take(MOST_EVENTS)
        .filter_map(|row| match &row.facts {
            Facts::Event(event) => Some(ObjectEvent {
                kind: if event.warning { "Warning" } else { "Normal" }.to_owned(),
                reason: event.reason.to_string(),
                message: event.message.to_string(),
                count: event.count,
                at: shown::moment(event.last),
            }),
            _ => None,
        })
        .collect()
}

/// What the caller may do with an object, subresources too.
fn verbs(target: &Target, place: &Place) -> Vec<String> {
    let mut all = target.verbs(&place.kind);
    let more: &[&str] = match &*place.kind.name {
        "pods" if target.access.may(Permission::Deploy) => {
            &["log", "exec", "portforward", "evict", "debug"]
        }
        "pods" => &["log"],
        "nodes" if all.iter().any(|verb| verb == "patch") => &["cordon", "drain"],
        _ => &[],
    };
    all.extend(more.iter().map(|verb| (*verb).to_owned()));
    if place.kind.has_subresource("scale") && all.iter().any(|verb| verb == "patch") {
        all.push("scale".into());
    }
    all
}

/// How what an object owns goes with it.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Propagation {
    /// At once; what it owns afterwards.
    Background,
    /// After what it owns.
    Foreground,
    /// What it owns stays.
    Orphan,
}

/// See [`Propagation`].
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteQuery {
    /// `background` (default), `foreground` or `orphan`.
    #[param(inline)]
    propagation: Option<Propagation>,
    /// Only if it still has this uid.
    uid: Option<String>,
}

/// Delete an object
#[utoipa::path(delete, tag = "kubernetes",
    path = "/v1/environments/{environment_id}/kubernetes/objects/{type}/{namespace}/{name}",
    params(("environment_id" = Uuid, Path), ("type" = String, Path), ("namespace" = String, Path), ("name" = String, Path), DeleteQuery),
    responses((status = 204, description = "It is deleted, or being deleted")))]
pub(super) async fn delete(
    target: Target,
    Path((_environment, kind, namespace, name)): ObjectPath,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode> {
    let place = target.place(&kind, &namespace, &name)?;
    target.note_target(&place);
    if &*place.kind.name == super::target::NAMESPACES {
        let why = "Namespaces of an environment are deleted in its settings.";
        return Err(Error::conflict("namespace_of_environment", why));
    }
    let policy = match query.propagation.unwrap_or(Propagation::Background) {
        Propagation::Background => "Background",
        Propagation::Foreground => "Foreground",
        Propagation::Orphan => "Orphan",
    };
    target.note.detail("propagation", policy);
    let mut options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy,
    });
    if let Some(uid) = query.uid.filter(|uid| !uid.is_empty()) {
        options["preconditions"] = json!({ "uid": uid });
    }
    target.call(Method::DELETE, &place.path(), Some((content::JSON, &options))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which version of a type.
#[derive(Debug, Deserialize)]
pub(super) struct SchemaQuery {
    version: Option<String>,
}

/// Show the JSON Schema of a type
///
/// From the cluster's OpenAPI document, with all that it refers to under `$defs`.
#[utoipa::path(get, tag = "kubernetes",
    path = "/v1/environments/{environment_id}/kubernetes/schema/{type}",
    params(("environment_id" = Uuid, Path), ("type" = String, Path),
        ("version" = Option<String>, Query, description = "Another version than the preferred one")),
    responses((status = 200, description = "A JSON Schema", body = Value)))]
pub(super) async fn schema(
    target: Target,
    Path((_environment, kind)): Path<(Uuid, String)>,
    Query(query): Query<SchemaQuery>,
) -> Result<Response> {
    let kind = target.kind(&kind)?;
    let version = query.version.as_deref().unwrap_or(&kind.version);
    if !kind.versions.iter().any(|known| known == version) {
        return Err(Error::not_found("version"));
    }
    let schema = target.live.schemas.get(target.cluster()?, &kind, version).await?;
    let json = HeaderValue::from_static("application/schema+json");
    Ok(([(header::CONTENT_TYPE, json)], schema).into_response())
}
