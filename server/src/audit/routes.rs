//! Reading the audit log.

use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use drover_api::{AuditEntry, AuditOutcome, List, Timestamp};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::store::{self, Filter};
use crate::{
    access::EnvironmentAccess,
    app::App,
    error::{Error, Result},
    extract::{Json, Query},
};

/// The most rows of one export.
const EXPORT_LIMIT: i64 = 100_000;

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(export))
        .routes(routes!(list_in_environment))
}

/// What to look for in the audit log.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Rows a page: 1 to 1,000, default 100.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<Uuid>,
    /// Only in this environment.
    environment_id: Option<Uuid>,
    /// Only by this login.
    actor: Option<String>,
    /// Only this action (`stack.install`) or this kind of action (`stack`).
    action: Option<String>,
    /// Only with this outcome.
    #[param(inline)]
    outcome: Option<AuditOutcome>,
    /// Only what was done to the object with this id.
    target_id: Option<String>,
    /// Not before this time.
    since: Option<Timestamp>,
    /// Before this time.
    until: Option<Timestamp>,
    /// Entries whose actor, action, target or address contains this text.
    q: Option<String>,
}

impl AuditQuery {
    fn filter(&self) -> Filter {
        Filter {
            before: self.cursor,
            environment_id: self.environment_id,
            actor: self.actor.clone(),
            action: self.action.clone(),
            outcome: self.outcome,
            target_id: self.target_id.clone(),
            since: self.since.map(|at| at.0),
            until: self.until.map(|at| at.0),
            q: self.q.clone().filter(|q| !q.is_empty()),
        }
    }
}

async fn page(app: &App, query: &AuditQuery) -> Result<Json<List<AuditEntry>>> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000) as usize;
    let filter = query.filter();
    let mut items = store::list(&app.db, &filter, limit as i64 + 1).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    Ok(Json(List {
        next_cursor: items.last().filter(|_| more).map(|entry| entry.id.to_string()),
        total: store::count(&app.db, &filter).await? as u64,
        items,
        freshness: None,
    }))
}

/// List the audit log
///
/// Newest first. `total` stops counting at 10,000.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, body = List<AuditEntry>)))]
async fn list(
    State(app): State<App>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<List<AuditEntry>>> {
    page(&app, &query).await
}

/// List an environment's audit log
#[utoipa::path(get, path = "/v1/environments/{environment_id}/audit", tag = "audit",
    params(("environment_id" = Uuid, Path), AuditQuery),
    responses((status = 200, body = List<AuditEntry>)))]
async fn list_in_environment(
    State(app): State<App>,
    access: EnvironmentAccess,
    Query(mut query): Query<AuditQuery>,
) -> Result<Json<List<AuditEntry>>> {
    query.environment_id = Some(access.id);
    page(&app, &query).await
}

/// Export the audit log
///
/// The matching entries as JSON lines, newest first, at most 100,000.
#[utoipa::path(get, path = "/v1/audit/export", tag = "audit", params(AuditQuery),
    responses((status = 200, body = String, content_type = "application/x-ndjson")))]
async fn export(State(app): State<App>, Query(query): Query<AuditQuery>) -> Result<Response> {
    let stream = futures_util::stream::try_unfold(
        (app, query.filter(), EXPORT_LIMIT),
        |(app, mut filter, left)| async move {
            let rows = store::list(&app.db, &filter, left.min(1000)).await?;
            let Some(last) = rows.last() else {
                return Ok(None);
            };
            filter.before = Some(last.id);
            let mut lines = Vec::new();
            for row in &rows {
                serde_json::to_writer(&mut lines, row).map_err(Error::internal)?;
                lines.push(b'\n');
            }
            let left = left - rows.len() as i64;
            Ok::<_, Error>(Some((lines, (app, filter, left))))
        },
    );
    Ok((
        [
            (header::CONTENT_TYPE, "application/x-ndjson"),
            (header::CONTENT_DISPOSITION, "attachment; filename=\"drover-audit.ndjson\""),
        ],
        Body::from_stream(stream),
    )
        .into_response())
}
