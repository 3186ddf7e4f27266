//! Changing, stopping, starting, scaling and removing stacks.

use std::collections::BTreeSet;

use drover_api::{OperationKind, ScaleService, StackOperation, UpdateStack};
use drover_compose::Service;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    check::checked_project,
    check_description,
    target::{Accepted, Revise, Target},
};
use crate::{
    app::App,
    catalog,
    error::{Error, Result},
    extract::{IfMatch, Json, Path, Query},
    stacks::{
        compile,
        model::Desired,
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
    target: Target,
    if_match: IfMatch,
    Json(input): Json<UpdateStack>,
) -> Result<Accepted> {
    target.stays()?;
    check_description(input.description.as_deref().unwrap_or_default())?;
    let now = view::revision(&target.app, &target.row).await?;
    let mut values = compile::variables(&target.app, &now)?;
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
    checked_project(&target.app, target.access, &compose, &values)?;
    let (variables, secret_variables, secret_names) =
        upgrade::seal(&target.app, catalog::Answers { values, secret })?;
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
    let operation = target.revise(if_match, change).await?;
    target.accepted(operation).await
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
async fn remove(target: Target, Query(query): Query<RemoveQuery>) -> Result<Accepted> {
    target.note.detail("volumes", query.volumes);
    let mut tx = target.app.db.begin().await?;
    store::set_desired(&mut tx, target.row.id, Desired::Removed, query.volumes, query.force)
        .await?;
    let operation = target.begin(&mut tx, OperationKind::Remove, false).await?;
    tx.commit().await?;
    target.accepted(operation).await
}

async fn change_desired(
    target: &Target,
    desired: Desired,
    kind: OperationKind,
) -> Result<Accepted> {
    target.stays()?;
    let mut tx = target.app.db.begin().await?;
    store::set_desired(&mut tx, target.row.id, desired, false, false).await?;
    store::retry(&mut tx, target.row.id).await?;
    let operation = target.begin(&mut tx, kind, false).await?;
    tx.commit().await?;
    target.accepted(operation).await
}

/// Start a stopped stack
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/start",
    tag = "stacks", params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 202, body = StackOperation)))]
async fn start(target: Target) -> Result<Accepted> {
    change_desired(&target, Desired::Running, OperationKind::Start).await
}

/// Stop a stack
///
/// Removes its containers and keeps its volumes.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/stop",
    tag = "stacks", params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 202, body = StackOperation)))]
async fn stop(target: Target) -> Result<Accepted> {
    change_desired(&target, Desired::Stopped, OperationKind::Stop).await
}

/// Deploy again
///
/// Tries a rollout that has failed once more.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/deploy",
    tag = "stacks", params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 202, body = StackOperation)))]
async fn deploy(target: Target) -> Result<Accepted> {
    change_desired(&target, Desired::Running, OperationKind::Upgrade).await
}

/// How to restart.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct RestartQuery {
    /// Pull images anew first.
    #[serde(default)]
    pull: bool,
}

async fn renew(target: &Target, services: &[String], pull: bool) -> Result<Accepted> {
    target.stays()?;
    let mut tx = target.app.db.begin().await?;
    store::renew(&mut tx, target.row.id, services).await?;
    let operation = target.begin(&mut tx, OperationKind::Restart, pull).await?;
    tx.commit().await?;
    target.accepted(operation).await
}

/// Restart a stack
///
/// Makes all containers anew, by each service's update rules.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/restart",
    tag = "stacks", params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), RestartQuery),
    responses((status = 202, body = StackOperation)))]
async fn restart(target: Target, Query(query): Query<RestartQuery>) -> Result<Accepted> {
    let project = view::project(&target.app, &target.row).await?;
    let services: Vec<String> = project.iter().flat_map(|p| p.services.keys().cloned()).collect();
    renew(&target, &services, query.pull).await
}

/// The part of a path that names a service.
#[derive(Debug, Deserialize)]
struct ServicePath {
    service: String,
}

async fn known_service(target: &Target, service: &str) -> Result<Service> {
    let project = view::project(&target.app, &target.row).await?;
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
    target: Target,
    Path(ServicePath { service }): Path<ServicePath>,
    Query(query): Query<RestartQuery>,
) -> Result<Accepted> {
    target.note.detail("service", service.as_str());
    known_service(&target, &service).await?;
    renew(&target, &[service], query.pull).await
}

/// Scale a service
#[utoipa::path(post,
    path = "/v1/environments/{environment_id}/stacks/{stack_id}/services/{service}/scale",
    tag = "stacks", request_body = ScaleService,
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), ("service" = String, Path)),
    responses((status = 202, body = StackOperation)))]
async fn scale_service(
    target: Target,
    Path(ServicePath { service }): Path<ServicePath>,
    Json(input): Json<ScaleService>,
) -> Result<Accepted> {
    if input.scale > 1000 {
        return Err(Error::invalid_field("scale", "0 to 1,000."));
    }
    target.stays()?;
    target.note.detail("service", service.as_str());
    target.note.detail("scale", input.scale);
    let project = view::project(&target.app, &target.row).await?;
    if let Some(primary) = project.as_deref().map(|project| project.primary_of(&service))
        && primary != service
    {
        return Err(Error::conflict(
            "sidekick",
            format!(
                "`{service}` is a sidekick: it has as many containers as `{primary}`. Scale that."
            ),
        ));
    }
    if known_service(&target, &service).await?.deploy.global {
        return Err(Error::conflict(
            "global_service",
            "A global service runs once on each matching host.",
        ));
    }
    let mut tx = target.app.db.begin().await?;
    store::set_scale(&mut tx, target.row.id, &service, input.scale).await?;
    let operation = target.begin(&mut tx, OperationKind::Scale, false).await?;
    tx.commit().await?;
    target.accepted(operation).await
}
