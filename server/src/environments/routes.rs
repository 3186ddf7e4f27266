//! Environments and their members.

use std::ops::RangeInclusive;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use drover_api::{
    ClusterKind, CreateEnvironment, Environment, EnvironmentPerson, EnvironmentState, FieldError,
    List, Member, Operation, OperationKind, SetMember, Topic, UpdateEnvironment, UpdateScheduling,
};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{removal, store};
use crate::{
    access::{Caller, EnvironmentAccess},
    app::App,
    audit::Note,
    clusters::kubernetes,
    error::{Error, Result, is_unique_violation},
    extract::{IfMatch, Json, ListQuery, Path, Query, SortKey, etag},
    operations::{self, NewOperation},
    providers, stacks,
};

/// How long a host may be away until its containers are placed elsewhere, seconds.
const GONE_AFTER: RangeInclusive<u32> = 30..=86_400;

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(list_members, set_member))
        .routes(routes!(remove_member))
        .routes(routes!(list_people))
        .merge(super::overview::router())
}

/// List the environments that the caller may see
#[utoipa::path(get, path = "/v1/environments", tag = "environments", params(ListQuery),
    responses((status = 200, body = List<Environment>)))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Environment>>> {
    let mut environments = store::list(&app.db).await?;
    environments.retain(|environment| caller.role_in(environment.id).is_some());
    for environment in &mut environments {
        caller.fill(environment);
    }
    query
        .page(
            environments,
            &["name", "created_at", "state"],
            "name",
            |environment| format!("{} {}", environment.name, environment.description),
            |environment, field| match field {
                "created_at" => SortKey::Number(environment.created_at.unix_ms()),
                "state" => SortKey::Number(environment.state as i64),
                _ => SortKey::text(&environment.name),
            },
        )
        .map(Json)
}

fn check_name(name: &str) -> Option<FieldError> {
    let fits = (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    (!fits).then(|| FieldError::new("name", "A name has 1 to 64 characters."))
}

fn check_description(text: &str) -> Option<FieldError> {
    (text.chars().count() > 1000)
        .then(|| FieldError::new("description", "A description has at most 1,000 characters."))
}

fn check_scheduling(change: &UpdateScheduling) -> Option<FieldError> {
    let fits = change.host_gone_after_seconds.is_none_or(|after| GONE_AFTER.contains(&after));
    (!fits).then(|| {
        FieldError::new("scheduling.host_gone_after_seconds", "30 to 86,400 seconds (a day).")
    })
}

fn check(
    name: Option<&str>,
    description: Option<&str>,
    scheduling: Option<&UpdateScheduling>,
) -> Result<()> {
    let errors: Vec<_> = [
        name.and_then(check_name),
        description.and_then(check_description),
        scheduling.and_then(check_scheduling),
    ]
    .into_iter()
    .flatten()
    .collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::invalid(errors)) }
}

fn name_taken(error: sqlx::Error) -> Error {
    if is_unique_violation(&error) {
        Error::conflict("name_taken", "There is an environment with this name.")
    } else {
        error.into()
    }
}

async fn answer(app: &App, caller: &Caller, id: Uuid) -> Result<(HeaderMap, Json<Environment>)> {
    let mut environment =
        store::get(&app.db, id).await?.ok_or_else(|| Error::not_found("environment"))?;
    caller.fill(&mut environment);
    Ok((etag(environment.version), Json(environment)))
}

/// Make an environment
#[utoipa::path(post, path = "/v1/environments", tag = "environments",
    request_body = CreateEnvironment, responses((status = 201, body = Environment)))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    note: Note,
    Json(mut input): Json<CreateEnvironment>,
) -> Result<(StatusCode, HeaderMap, Json<Environment>)> {
    input.name = input.name.trim().to_owned();
    check(Some(&input.name), Some(&input.description), None)?;
    let mut tx = app.db.begin().await?;
    let id = store::insert(&mut tx, &input).await.map_err(name_taken)?;
    match (input.cluster_kind, &input.kubernetes) {
        (ClusterKind::Kubernetes, Some(share)) => kubernetes::claim(&mut tx, id, share).await?,
        (ClusterKind::Kubernetes, None) => {
            return Err(Error::invalid_field("kubernetes", "Say which cluster it stands on."));
        }
        (_, Some(_)) => {
            return Err(Error::invalid_field("kubernetes", "Only for the cluster `kubernetes`."));
        }
        (_, None) => {}
    }
    tx.commit().await?;
    note.target(id, &input.name);
    app.access_changed(Topic::Environment, Some(id), id).await;
    let (headers, body) = answer(&app, &caller, id).await?;
    Ok((StatusCode::CREATED, headers, body))
}

/// Show an environment
#[utoipa::path(get, path = "/v1/environments/{environment_id}", tag = "environments",
    params(("environment_id" = Uuid, Path)), responses((status = 200, body = Environment)))]
async fn get(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
) -> Result<(HeaderMap, Json<Environment>)> {
    answer(&app, &caller, access.id).await
}

/// Change an environment
#[utoipa::path(patch, path = "/v1/environments/{environment_id}", tag = "environments",
    request_body = UpdateEnvironment,
    params(("environment_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Environment)))]
async fn update(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    if_match: IfMatch,
    note: Note,
    Json(mut input): Json<UpdateEnvironment>,
) -> Result<(HeaderMap, Json<Environment>)> {
    input.name = input.name.map(|name| name.trim().to_owned());
    check(input.name.as_deref(), input.description.as_deref(), input.scheduling.as_ref())?;
    if input.state == Some(EnvironmentState::Removing) {
        return Err(Error::invalid_field(
            "state",
            "`active` or `inactive`; to remove it, DELETE it.",
        ));
    }
    let mut tx = app.db.begin().await?;
    let (version, state) =
        store::lock(&mut tx, access.id).await?.ok_or_else(|| Error::not_found("environment"))?;
    if_match.check(version)?;
    if state == "removing" {
        return Err(Error::conflict("environment_removing", "This environment is being removed."));
    }
    store::update(&mut tx, access.id, &input).await.map_err(name_taken)?;
    tx.commit().await?;
    app.access_changed(Topic::Environment, Some(access.id), access.id).await;
    let (headers, body) = answer(&app, &caller, access.id).await?;
    note.target(access.id, &body.0.name);
    if let Some(scheduling) = &input.scheduling {
        note.detail("scheduling", serde_json::to_value(scheduling).unwrap_or_default());
    }
    Ok((headers, body))
}

/// How to delete an environment.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct DeleteQuery {
    /// Remove its stacks too.
    #[serde(default)]
    stacks: bool,
    /// Remove the volumes of its stacks, and what is in them, too.
    #[serde(default)]
    volumes: bool,
    /// Go on though hosts cannot be reached: what runs there stays.
    #[serde(default)]
    force: bool,
}

/// Delete an environment
///
/// One with stacks only when asked to remove them: then it answers 202 with the operation, which
/// ends with the environment. Hosts are let go; what Drover did not make runs on there.
#[utoipa::path(delete, path = "/v1/environments/{environment_id}", tag = "environments",
    params(("environment_id" = Uuid, Path), ("If-Match" = Option<String>, Header), DeleteQuery),
    responses((status = 204, description = "Deleted"), (status = 202, body = Operation)))]
async fn delete(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    if_match: IfMatch,
    Query(query): Query<DeleteQuery>,
    note: Note,
) -> Result<Response> {
    let environment =
        store::get(&app.db, access.id).await?.ok_or_else(|| Error::not_found("environment"))?;
    note.target(access.id, &environment.name);
    note.detail("stacks", query.stacks);
    note.detail("volumes", query.volumes);
    // Until the end of this, no stack can be added.
    let mut tx = app.db.begin().await?;
    let (version, _) =
        store::lock(&mut tx, access.id).await?.ok_or_else(|| Error::not_found("environment"))?;
    if_match.check(version)?;
    let stacks = stacks::names(&mut tx, access.id).await?;
    if stacks.is_empty() {
        store::delete(&mut tx, access.id).await?;
        tx.commit().await?;
        removal::is_gone(&app, access.id).await;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if !query.stacks {
        let names: Vec<_> = stacks.iter().take(5).map(String::as_str).collect();
        return Err(Error::conflict(
            "environment_not_empty",
            format!(
                "It still has {} stacks ({}). Remove them first, or ask for it with `stacks=true`.",
                stacks.len(),
                names.join(", ")
            ),
        ));
    }
    let change = UpdateEnvironment {
        state: Some(EnvironmentState::Removing),
        ..UpdateEnvironment::default()
    };
    store::update(&mut tx, access.id, &change).await?;
    stacks::remove_all(&mut tx, access.id, query.volumes, query.force).await?;
    let new = NewOperation {
        kind: OperationKind::RemoveEnvironment,
        environment_id: access.id,
        target_kind: "environment",
        target_id: access.id,
        target_name: &environment.name,
        input: serde_json::json!({ "stacks": stacks.len() }),
    };
    let operation = operations::begin(&mut tx, Some(&caller), &new).await?;
    tx.commit().await?;
    operations::announce(&app, &operation).await;
    app.access_changed(Topic::Environment, Some(access.id), access.id).await;
    app.events.updated(Topic::Stack, Some(access.id), "").await;
    Ok((StatusCode::ACCEPTED, Json(operation)).into_response())
}

/// List an environment's members
#[utoipa::path(get, path = "/v1/environments/{environment_id}/members", tag = "members",
    params(("environment_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<Member>)))]
async fn list_members(
    State(app): State<App>,
    access: EnvironmentAccess,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Member>>> {
    let members = store::members(&app.db, access.id).await?;
    query
        .page(
            members,
            &["name", "role", "created_at"],
            "name",
            |member| {
                format!(
                    "{} {}",
                    member.principal.name,
                    member.principal.login.as_deref().unwrap_or("")
                )
            },
            |member, field| match field {
                "role" => SortKey::Number(-(member.role as i64)),
                "created_at" => SortKey::Number(member.created_at.unix_ms()),
                _ => SortKey::text(&member.principal.name),
            },
        )
        .map(Json)
}

/// List the people who have access, and where their roles come from
///
/// Members, people in groups that are members, and global administrators: those who could do
/// something now. The strongest of a person's roles counts.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/people", tag = "members",
    params(("environment_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<EnvironmentPerson>)))]
async fn list_people(
    State(app): State<App>,
    access: EnvironmentAccess,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<EnvironmentPerson>>> {
    let people = store::people(&app.db, access.id).await?;
    query
        .page(
            people,
            &["name", "role"],
            "name",
            |person| format!("{} {}", person.display_name, person.login),
            |person, field| match field {
                "role" => SortKey::Number(-(person.role as i64)),
                _ => SortKey::text(&person.display_name),
            },
        )
        .map(Json)
}

/// Add a member or change its role
///
/// A user or group of an identity provider that nobody has seen here yet is looked up there.
#[utoipa::path(put, path = "/v1/environments/{environment_id}/members", tag = "members",
    request_body = SetMember, params(("environment_id" = Uuid, Path)),
    responses((status = 204, description = "Set")))]
async fn set_member(
    State(app): State<App>,
    access: EnvironmentAccess,
    note: Note,
    Json(input): Json<SetMember>,
) -> Result<StatusCode> {
    note.target(&input.principal_id, &input.principal_id);
    note.detail("role", input.role.as_str());
    if !providers::learn(&app, &input.principal_id).await?
        || !store::set_member(&app.db, access.id, &input.principal_id, input.role).await?
    {
        return Err(Error::invalid_field("principal_id", "There is no such user or group."));
    }
    app.access_changed(Topic::Environment, Some(access.id), access.id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a member
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/members/{principal_id}",
    tag = "members",
    params(("environment_id" = Uuid, Path), ("principal_id" = String, Path)),
    responses((status = 204, description = "Removed")))]
async fn remove_member(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, String)>,
) -> Result<StatusCode> {
    let Path((_, principal)) = path;
    if !store::remove_member(&app.db, access.id, &principal).await? {
        return Err(Error::not_found("member"));
    }
    app.access_changed(Topic::Environment, Some(access.id), access.id).await;
    Ok(StatusCode::NO_CONTENT)
}
