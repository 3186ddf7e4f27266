//! Upgrades to another version of a stack's template, and ways back.

use drover_api::{OperationKind, RollbackStack, StackOperation, UpgradePreview, UpgradeStack};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    check::checked_project,
    target::{Accepted, Revise, Target},
    variables_of,
};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{IfMatch, Json},
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
    target: Target,
    Json(input): Json<UpgradeStack>,
) -> Result<Json<UpgradePreview>> {
    let revision = view::revision(&target.app, &target.row).await?;
    Ok(Json(upgrade::work_out(&target.app, &target.row, &revision, &input).await?.preview))
}

/// Upgrade a stack
///
/// To another version of its template; keeps answers and your own edits.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/upgrade",
    tag = "stacks", request_body = UpgradeStack,
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 202, body = StackOperation)))]
async fn upgrade_stack(
    target: Target,
    if_match: IfMatch,
    Json(input): Json<UpgradeStack>,
) -> Result<Accepted> {
    target.stays()?;
    target.note.detail("version", input.version.as_str());
    let revision = view::revision(&target.app, &target.row).await?;
    let worked = upgrade::work_out(&target.app, &target.row, &revision, &input).await?;
    let new = worked.into_revision(&target.app, &input.version)?;
    checked_project(&target.app, target.access, &new.compose, &variables_of(&target.app, &new)?)?;
    let change = Revise { kind: OperationKind::Upgrade, new: &new, description: None, pull: false };
    let operation = target.revise(if_match, change).await?;
    target.accepted(operation).await
}

/// Roll a stack back
///
/// Makes an earlier revision the wanted one again.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/stacks/{stack_id}/rollback",
    tag = "stacks", request_body = RollbackStack,
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 202, body = StackOperation)))]
async fn rollback(
    target: Target,
    if_match: IfMatch,
    Json(input): Json<RollbackStack>,
) -> Result<Accepted> {
    target.stays()?;
    target.note.detail("revision", input.revision);
    let earlier = store::revisions(&target.app.db, target.row.id, Some(input.revision))
        .await?
        .pop()
        .ok_or_else(|| Error::invalid_field("revision", "The stack has no such revision."))?;
    let new = rollout::again(earlier);
    checked_project(&target.app, target.access, &new.compose, &variables_of(&target.app, &new)?)?;
    let change =
        Revise { kind: OperationKind::Rollback, new: &new, description: None, pull: false };
    let operation = target.revise(if_match, change).await?;
    target.accepted(operation).await
}
