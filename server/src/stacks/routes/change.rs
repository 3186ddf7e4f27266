//! Changing, stopping, starting, scaling and removing stacks.

use std::collections::BTreeSet;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use drover_api::{OperationKind, ScaleService, StackOperation, UpdateStack};
use drover_compose::Service;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    Revise, accepted, begin, check::checked_project, check_description, not_removing, revise, row,
};
use crate::{
    access::{Caller, EnvironmentAccess},
    app::App,
    audit::Note,
    catalog,
    error::{Error, Result},
    extract::{IfMatch, Json, Path, Query},
    stacks::{
        compile,
        model::{Desired, StackRow},
        store::{self, NewRevision},
        upgrade, view,
    },
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(update, remove))
        .routes(routes!(start))
        .routes(routes!(stop))
        .routes(routes!(restart))
        .routes(routes!(deploy))
        .routes(routes!(scale_service))
        .routes(routes!(restart_service))
}

/// Change a stack
///
/// Its Compose text, its variables or both; rolls the change out.
#[utoipa::path(put, path = "/v1/environments/{environment_id}/stacks/{stack_id}", tag = "stacks",
    request_body = UpdateStack,
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 202, body = StackOperation)))]
async fn update(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    if_match: IfMatch,
    note: Note,
    Json(input): Json<UpdateStack>,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    not_removing(&row)?;
    note.target(id, &row.name);
    check_description(input.description.as_deref().unwrap_or_default())?;
    let now = view::revision(&app, &row).await?;
    let mut values = compile::variables(&app, &now)?;
    let mut secret: BTreeSet<String> = now.secret_names.iter().cloned().collect();
    for (name, value) in input.variables {
        match value {
            Some(value) => {
                values.insert(name, value);
            }
            None => {
                values.shift_remove(&name);
                secret.remove(&name);
            }
        }
    }
    secret.extend(input.secret_variables);
    let compose = input.compose.unwrap_or(now.compose);
    checked_project(access, &compose, &values)?;
    let (variables, secret_variables, secret_names) =
        upgrade::seal(&app, catalog::Answers { values, secret })?;
    let new = NewRevision {
        compose,
        variables,
        secret_variables,
        secret_names,
        template_version: now.template_version,
        template_compose: now.template_compose,
        comment: "Edit".into(),
    };
    let change = Revise {
        kind: OperationKind::Upgrade,
        new: &new,
        description: input.description.as_deref(),
        pull: input.pull,
    };
    let operation = revise(&app, &caller, &row, if_match, change).await?;
    accepted(&app, operation).await
}

/// How to remove a stack.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct RemoveQuery {
    /// Remove its volumes, and what is in them, too.
    #[serde(default)]
    volumes: bool,
    /// Go on though hosts cannot be reached; the operation's log says what is left there.
    #[serde(default)]
    force: bool,
}

/// Remove a stack
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/stacks/{stack_id}", tag = "stacks",
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), RemoveQuery),
    responses((status = 202, body = StackOperation)))]
async fn remove(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    Query(query): Query<RemoveQuery>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    note.target(id, &row.name);
    note.detail("volumes", query.volumes);
    let mut tx = app.db.begin().await?;
    store::set_desired(&mut tx, id, Desired::Removed, query.volumes, query.force).await?;
    let operation = begin(&mut tx, &caller, &row, OperationKind::Remove, false).await?;
    tx.commit().await?;
    accepted(&app, operation).await
}

async fn change_desired(
    app: &App,
    caller: &Caller,
    row: &StackRow,
    desired: Desired,
    kind: OperationKind,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    not_removing(row)?;
    let mut tx = app.db.begin().await?;
    store::set_desired(&mut tx, row.id, desired, false, false).await?;
    store::retry(&mut tx, row.id).await?;
    let operation = begin(&mut tx, caller, row, kind, false).await?;
    tx.commit().await?;
    accepted(app, operation).await
}

/// Start a stopped stack
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/start",
    tag = "stacks", params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 202, body = StackOperation)))]
async fn start(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    note.target(id, &row.name);
    change_desired(&app, &caller, &row, Desired::Running, OperationKind::Start).await
}

/// Stop a stack
///
/// Removes its containers and keeps its volumes.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/stop",
    tag = "stacks", params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 202, body = StackOperation)))]
async fn stop(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    note.target(id, &row.name);
    change_desired(&app, &caller, &row, Desired::Stopped, OperationKind::Stop).await
}

/// Deploy again
///
/// Tries a rollout that has failed once more.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/deploy",
    tag = "stacks", params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 202, body = StackOperation)))]
async fn deploy(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    note.target(id, &row.name);
    change_desired(&app, &caller, &row, Desired::Running, OperationKind::Upgrade).await
}

/// How to restart.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct RestartQuery {
    /// Pull images anew first.
    #[serde(default)]
    pull: bool,
}

async fn renew(
    app: &App,
    caller: &Caller,
    row: &StackRow,
    services: &[String],
    pull: bool,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    not_removing(row)?;
    let mut tx = app.db.begin().await?;
    store::renew(&mut tx, row.id, services).await?;
    let operation = begin(&mut tx, caller, row, OperationKind::Restart, pull).await?;
    tx.commit().await?;
    accepted(app, operation).await
}

/// Restart a stack
///
/// Makes all containers anew, by each service's update rules.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/restart",
    tag = "stacks", params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), RestartQuery),
    responses((status = 202, body = StackOperation)))]
async fn restart(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    Query(query): Query<RestartQuery>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    note.target(id, &row.name);
    let project = view::project(&app, &row).await?;
    let services: Vec<String> = project.iter().flat_map(|p| p.services.keys().cloned()).collect();
    renew(&app, &caller, &row, &services, query.pull).await
}

async fn known_service(app: &App, row: &StackRow, service: &str) -> Result<Service> {
    let project = view::project(app, row).await?;
    project
        .and_then(|project| project.services.get(service).cloned())
        .ok_or_else(|| Error::not_found("service"))
}

/// Restart a service
#[utoipa::path(post,
    path = "/v1/environments/{environment_id}/stacks/{stack_id}/services/{service}/restart",
    tag = "stacks",
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), ("service" = String, Path), RestartQuery),
    responses((status = 202, body = StackOperation)))]
async fn restart_service(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid, String)>,
    Query(query): Query<RestartQuery>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id, service)) = path;
    let row = row(&app, access.id, id).await?;
    note.target(id, &row.name);
    note.detail("service", service.as_str());
    known_service(&app, &row, &service).await?;
    renew(&app, &caller, &row, &[service], query.pull).await
}

/// Scale a service
#[utoipa::path(post,
    path = "/v1/environments/{environment_id}/stacks/{stack_id}/services/{service}/scale",
    tag = "stacks", request_body = ScaleService,
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), ("service" = String, Path)),
    responses((status = 202, body = StackOperation)))]
async fn scale_service(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid, String)>,
    note: Note,
    Json(input): Json<ScaleService>,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id, service)) = path;
    if input.scale > 1000 {
        return Err(Error::invalid_field("scale", "0 to 1,000."));
    }
    let row = row(&app, access.id, id).await?;
    not_removing(&row)?;
    note.target(id, &row.name);
    note.detail("service", service.as_str());
    note.detail("scale", input.scale);
    if known_service(&app, &row, &service).await?.deploy.global {
        return Err(Error::conflict(
            "global_service",
            "A global service runs once on each matching host.",
        ));
    }
    let mut tx = app.db.begin().await?;
    store::set_scale(&mut tx, id, &service, input.scale).await?;
    let operation = begin(&mut tx, &caller, &row, OperationKind::Scale, false).await?;
    tx.commit().await?;
    accepted(&app, operation).await
}
