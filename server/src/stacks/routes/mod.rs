//! Stacks over HTTP. Each change of what is wanted is one transaction that also records the
//! operation; the engine does the rest.

mod change;
mod check;
mod install;
mod read;
mod upgrade;

use axum::http::{HeaderMap, StatusCode};
use drover_api::{Operation, OperationKind, StackOperation, Topic};
use indexmap::IndexMap;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use super::{
    model::{Desired, StackRow},
    store::{self, NewRevision},
    view,
};
use crate::{
    access::Caller,
    app::App,
    clusters::Orchestrator,
    error::{Error, Result},
    extract::{IfMatch, Json, etag},
    operations::{self, NewOperation},
};

pub use check::describe;

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(read::router())
        .merge(check::router())
        .merge(install::router())
        .merge(change::router())
        .merge(upgrade::router())
}

async fn row(app: &App, environment: Uuid, id: Uuid) -> Result<StackRow> {
    store::get(&app.db, environment, id).await?.ok_or_else(|| Error::not_found("stack"))
}

/// The answer to every change: the stack and the operation that works on it. Wakes the engine.
async fn accepted(
    app: &App,
    operation: Operation,
) -> Result<(StatusCode, HeaderMap, Json<StackOperation>)> {
    let row = row(app, operation.environment_id, operation.target_id).await?;
    operations::announce(app, &operation).await;
    app.events.updated(Topic::Stack, Some(row.environment_id), row.id).await;
    app.wake(row.environment_id, row.id);
    let (mut stack, _) = view::stack(app, &row).await?;
    // The engine may have ended it by now; the answer is about what was asked for.
    stack.operation_id = Some(operation.id);
    Ok((StatusCode::ACCEPTED, etag(row.version), Json(StackOperation { stack, operation })))
}

/// The stack that an operation is about.
struct Target<'a> {
    environment_id: Uuid,
    id: Uuid,
    name: &'a str,
}

impl<'a> From<&'a StackRow> for Target<'a> {
    fn from(row: &'a StackRow) -> Self {
        Self { environment_id: row.environment_id, id: row.id, name: &row.name }
    }
}

/// Records an operation; `pull`: it pulls images anew.
async fn begin(
    tx: &mut PgConnection,
    caller: &Caller,
    stack: impl Into<Target<'_>>,
    kind: OperationKind,
    pull: bool,
) -> Result<Operation> {
    let stack = stack.into();
    let new = NewOperation {
        kind,
        environment_id: stack.environment_id,
        target_kind: "stack",
        target_id: stack.id,
        target_name: stack.name,
        input: serde_json::json!({ "pull": pull }),
    };
    Ok(operations::begin(tx, Some(caller), &new).await?)
}

fn not_removing(row: &StackRow) -> Result<()> {
    if row.desired == Desired::Removed {
        return Err(Error::conflict("stack_removing", "This stack is being removed."));
    }
    Ok(())
}

fn variables_of(app: &App, new: &NewRevision) -> Result<IndexMap<String, String>> {
    let mut variables = new.variables.clone();
    if let Some(sealed) = &new.secret_variables {
        let plain = app.cipher.open(sealed).map_err(Error::internal)?;
        let secret: IndexMap<String, String> =
            serde_json::from_slice(&plain).map_err(Error::internal)?;
        variables.extend(secret);
    }
    Ok(variables)
}

fn check_description(text: &str) -> Result<()> {
    if text.chars().count() > 1000 {
        let why = "A description has at most 1,000 characters.";
        return Err(Error::invalid_field("description", why));
    }
    Ok(())
}

/// A change of what is wanted.
struct Revise<'a> {
    kind: OperationKind,
    new: &'a NewRevision,
    description: Option<&'a str>,
    /// Pull images anew.
    pull: bool,
}

/// Makes a new revision the wanted one.
async fn revise(
    app: &App,
    caller: &Caller,
    row: &StackRow,
    if_match: IfMatch,
    change: Revise<'_>,
) -> Result<Operation> {
    let mut tx = app.db.begin().await?;
    let version = store::lock(&mut tx, row.environment_id, row.id).await?;
    if_match.check(version.ok_or_else(|| Error::not_found("stack"))?)?;
    let number = store::newest_revision(&mut tx, row.id).await? + 1;
    store::add_revision(&mut tx, row.id, number, &caller.login, change.new).await?;
    if let Some(description) = change.description {
        store::set_description(&mut tx, row.id, description).await?;
    }
    let operation = begin(&mut tx, caller, row, change.kind, change.pull).await?;
    tx.commit().await?;
    Ok(operation)
}
