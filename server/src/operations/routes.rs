//! Following operations.

use axum::extract::State;
use drover_api::{List, Operation, OperationKind, OperationLogLine, OperationState, Topic};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::store::{self, Filter};
use crate::{
    access::{Caller, EnvironmentAccess},
    app::App,
    audit::Note,
    error::{Error, Result},
    extract::{Json, Path, Query},
};

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(log))
        .routes(routes!(cancel))
}

/// Which operations to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct OperationQuery {
    /// Rows a page: 1 to 1,000, default 100.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<Uuid>,
    /// Only in this state.
    #[param(inline)]
    state: Option<OperationState>,
    /// Only those done to the object with this id.
    target_id: Option<Uuid>,
}

/// List operations
///
/// Newest first.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/operations", tag = "operations",
    params(("environment_id" = Uuid, Path), OperationQuery),
    responses((status = 200, body = List<Operation>)))]
async fn list(
    State(app): State<App>,
    access: EnvironmentAccess,
    Query(query): Query<OperationQuery>,
) -> Result<Json<List<Operation>>> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000) as usize;
    let filter = Filter { before: query.cursor, state: query.state, target_id: query.target_id };
    let mut items = store::list(&app.db, access.id, &filter, limit as i64 + 1).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    Ok(Json(List {
        next_cursor: items.last().filter(|_| more).map(|operation| operation.id.to_string()),
        total: store::count(&app.db, access.id, &filter).await?.unsigned_abs(),
        items,
        freshness: None,
    }))
}

/// Show an operation
#[utoipa::path(get, path = "/v1/environments/{environment_id}/operations/{operation_id}",
    tag = "operations", params(("environment_id" = Uuid, Path), ("operation_id" = Uuid, Path)),
    responses((status = 200, body = Operation)))]
async fn get(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
) -> Result<Json<Operation>> {
    let Path((_, id)) = path;
    let found = store::get(&app.db, access.id, id).await?;
    found.map(Json).ok_or_else(|| Error::not_found("operation"))
}

/// Read an operation's log
#[utoipa::path(get, path = "/v1/environments/{environment_id}/operations/{operation_id}/log",
    tag = "operations", params(("environment_id" = Uuid, Path), ("operation_id" = Uuid, Path)),
    responses((status = 200, body = List<OperationLogLine>)))]
async fn log(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
) -> Result<Json<List<OperationLogLine>>> {
    let Path((_, id)) = path;
    store::get(&app.db, access.id, id).await?.ok_or_else(|| Error::not_found("operation"))?;
    Ok(Json(List::whole(store::log_lines(&app.db, id).await?)))
}

/// Cancel an operation
///
/// A rollout stops where it is: what runs goes on, nothing new is made, until the stack is
/// deployed again or rolled back. What removes or stops something, and a change of scale, has no
/// half-way house and cannot be cancelled.
#[utoipa::path(post,
    path = "/v1/environments/{environment_id}/operations/{operation_id}/cancel",
    tag = "operations", params(("environment_id" = Uuid, Path), ("operation_id" = Uuid, Path)),
    responses((status = 200, body = Operation)))]
async fn cancel(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    note: Note,
) -> Result<Json<Operation>> {
    let Path((_, id)) = path;
    let operation =
        store::get(&app.db, access.id, id).await?.ok_or_else(|| Error::not_found("operation"))?;
    note.target(operation.target_id, &operation.target_name);
    use OperationKind::{Install, Restart, Rollback, Start, Upgrade};
    if !matches!(operation.kind, Install | Upgrade | Rollback | Restart | Start) {
        return Err(Error::conflict(
            "not_cancellable",
            "Only a rollout can be cancelled: an install, upgrade, rollback, restart or start.",
        ));
    }
    let why = format!("Cancelled by {}.", caller.login);
    let cancelled = store::cancel_one(&app.db, id, &why)
        .await?
        .ok_or_else(|| Error::conflict("operation_ended", "This operation has ended already."))?;
    super::log(&app, id, &why).await?;
    super::announce(&app, &cancelled).await;
    app.events.updated(Topic::Stack, Some(access.id), cancelled.target_id).await;
    Ok(Json(cancelled))
}
