//! Upgrades to another version of a stack's template, and ways back.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use drover_api::{OperationKind, RollbackStack, StackOperation, UpgradePreview, UpgradeStack};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Revise, accepted, check::checked_project, not_removing, revise, row, variables_of};
use crate::{
    access::{Caller, EnvironmentAccess},
    app::App,
    audit::Note,
    error::{Error, Result},
    extract::{IfMatch, Json, Path},
    stacks::{rollout, store, upgrade, view},
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(upgrade_stack))
        .routes(routes!(preview_upgrade))
        .routes(routes!(rollback))
}

/// Preview an upgrade
///
/// What an upgrade would change, and where your own edits conflict with it.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/upgrade/preview",
    tag = "stacks", request_body = UpgradeStack,
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 200, body = UpgradePreview)))]
async fn preview_upgrade(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    Json(input): Json<UpgradeStack>,
) -> Result<Json<UpgradePreview>> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    let revision = view::revision(&app, &row).await?;
    Ok(Json(upgrade::work_out(&app, &row, &revision, &input).await?.preview))
}

/// Upgrade a stack
///
/// To another version of its template; keeps answers and your own edits.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/upgrade",
    tag = "stacks", request_body = UpgradeStack,
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 202, body = StackOperation)))]
async fn upgrade_stack(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    if_match: IfMatch,
    note: Note,
    Json(input): Json<UpgradeStack>,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    not_removing(&row)?;
    note.target(id, &row.name);
    note.detail("version", input.version.as_str());
    let revision = view::revision(&app, &row).await?;
    let worked = upgrade::work_out(&app, &row, &revision, &input).await?;
    let new = worked.into_revision(&app, &input.version)?;
    checked_project(access, &new.compose, &variables_of(&app, &new)?)?;
    let change = Revise { kind: OperationKind::Upgrade, new: &new, description: None, pull: false };
    let operation = revise(&app, &caller, &row, if_match, change).await?;
    accepted(&app, operation).await
}

/// Roll a stack back
///
/// Makes an earlier revision the wanted one again.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/rollback",
    tag = "stacks", request_body = RollbackStack,
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 202, body = StackOperation)))]
async fn rollback(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    if_match: IfMatch,
    note: Note,
    Json(input): Json<RollbackStack>,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let Path((_, id)) = path;
    let row = row(&app, access.id, id).await?;
    not_removing(&row)?;
    note.target(id, &row.name);
    note.detail("revision", input.revision);
    let earlier = store::revisions(&app.db, id, Some(input.revision))
        .await?
        .pop()
        .ok_or_else(|| Error::invalid_field("revision", "The stack has no such revision."))?;
    let new = rollout::again(earlier);
    checked_project(access, &new.compose, &variables_of(&app, &new)?)?;
    let change =
        Revise { kind: OperationKind::Rollback, new: &new, description: None, pull: false };
    let operation = revise(&app, &caller, &row, if_match, change).await?;
    accepted(&app, operation).await
}
