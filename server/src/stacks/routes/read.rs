//! Reading stacks.

use axum::{extract::State, http::HeaderMap};
use drover_api::{List, RevisionOutcome, Stack, StackDetail, StackRevision, Timestamp};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    access::EnvironmentAccess,
    app::App,
    error::{Error, Result},
    extract::{Json, ListQuery, Path, Query, SortKey, etag},
    stacks::{model::StackRow, store, summary, view},
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get)).routes(routes!(revisions))
}

async fn find(app: &App, access: EnvironmentAccess, id: Uuid) -> Result<StackRow> {
    store::get(&app.db, access.id, id).await?.ok_or_else(|| Error::not_found("stack"))
}

/// List stacks
///
/// Sort by `name`, `state`, `created_at` or `updated_at`.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/stacks", tag = "stacks",
    params(("environment_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<Stack>)))]
async fn list(
    State(app): State<App>,
    access: EnvironmentAccess,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Stack>>> {
    let stacks = view::all(&app, access.id).await?;
    let mut page = query.page(
        stacks,
        &["name", "state", "created_at", "updated_at"],
        "name",
        |stack| format!("{} {}", stack.name, stack.description),
        |stack, field| match field {
            "state" => SortKey::Number(stack.state as i64),
            "created_at" => SortKey::Number(stack.created_at.unix_ms()),
            "updated_at" => SortKey::Number(stack.updated_at.unix_ms()),
            _ => SortKey::text(&stack.name),
        },
    )?;
    page.freshness = Some(app.hosts.index().freshness(access.id));
    Ok(Json(page))
}

/// Show a stack
#[utoipa::path(get, path = "/v1/environments/{environment_id}/stacks/{stack_id}", tag = "stacks",
    params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 200, body = StackDetail)))]
async fn get(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
) -> Result<(HeaderMap, Json<StackDetail>)> {
    let Path((_, id)) = path;
    let row = find(&app, access, id).await?;
    let revision = view::revision(&app, &row).await?;
    let project = view::project(&app, &row).await?;
    let (stack, standing) = view::stack(&app, &row).await?;
    let service_list = project.iter().flat_map(|project| {
        standing.services.iter().map(|own| summary::service(project, &own.name, Some(own)))
    });
    let detail = StackDetail {
        stack,
        variables: view::shown_variables(&revision),
        service_list: service_list.collect(),
        compose: revision.compose,
    };
    Ok((etag(row.version), Json(detail)))
}

/// List a stack's revisions
///
/// Newest first.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/stacks/{stack_id}/revisions",
    tag = "stacks", params(("environment_id" = Uuid, Path), ("stack_id" = Uuid, Path)),
    responses((status = 200, body = List<StackRevision>)))]
async fn revisions(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
) -> Result<Json<List<StackRevision>>> {
    let Path((_, id)) = path;
    let row = find(&app, access, id).await?;
    let revisions = store::revisions(&app.db, row.id, None).await?;
    let items = revisions.into_iter().map(|revision| StackRevision {
        revision: revision.revision,
        variables: view::shown_variables(&revision),
        compose: revision.compose,
        template_version: revision.template_version,
        comment: revision.comment,
        created_by: revision.created_by_login,
        created_at: Timestamp(revision.created_at),
        outcome: match revision.outcome.as_deref() {
            Some("succeeded") => Some(RevisionOutcome::Succeeded),
            Some("failed") => Some(RevisionOutcome::Failed),
            Some(_) => Some(RevisionOutcome::Replaced),
            None => None,
        },
    });
    Ok(Json(List::whole(items.collect())))
}
