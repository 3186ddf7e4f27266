//! The stack that a request is about, and what every change of it does.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, request::Parts},
};
use drover_api::{Operation, OperationKind, StackOperation, Topic};
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    access::{Caller, EnvironmentAccess},
    app::App,
    audit::Note,
    clusters,
    error::{Error, Result},
    extract::{IfMatch, Json, Path, etag},
    operations::{self, NewOperation},
    stacks::{
        model::{Desired, StackRow},
        store::{self, NewRevision},
        view,
    },
};

/// The answer to a change: it is under way.
pub(super) type Accepted = (StatusCode, HeaderMap, Json<StackOperation>);

/// The stack that the path names, and who asks.
pub(super) struct Target {
    pub app: App,
    pub caller: Caller,
    pub access: EnvironmentAccess,
    pub note: Note,
    pub row: StackRow,
}

impl FromRequestParts<App> for Target {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        #[derive(Deserialize)]
        struct StackPath {
            stack_id: Uuid,
        }
        let caller = Caller::from_request_parts(parts, app).await?;
        let access = EnvironmentAccess::from_request_parts(parts, app).await?;
        let note = Note::from_request_parts(parts, app).await?;
        let Path(StackPath { stack_id }) = Path::from_request_parts(parts, app).await?;
        let row = store::get(&app.db, access.id, stack_id)
            .await?
            .ok_or_else(|| Error::not_found("stack"))?;
        note.target(row.id, &row.name);
        Ok(Self { app: app.clone(), caller, access, note, row })
    }
}

/// A change of what is wanted.
pub(super) struct Revise<'a> {
    pub kind: OperationKind,
    pub new: &'a NewRevision,
    pub description: Option<&'a str>,
    /// Pull images anew.
    pub pull: bool,
}

impl Target {
    /// Fails when the stack is being removed.
    pub fn stays(&self) -> Result<()> {
        if self.row.desired == Desired::Removed {
            return Err(Error::conflict("stack_removing", "This stack is being removed."));
        }
        Ok(())
    }

    /// Records an operation; `pull`: it pulls images anew.
    pub async fn begin(
        &self,
        tx: &mut PgConnection,
        kind: OperationKind,
        pull: bool,
    ) -> Result<Operation> {
        let new = NewOperation {
            kind,
            environment_id: self.row.environment_id,
            target_kind: "stack",
            target_id: self.row.id,
            target_name: &self.row.name,
            input: serde_json::json!({ "pull": pull }),
        };
        Ok(operations::begin(tx, Some(&self.caller), &new).await?)
    }

    /// Makes a new revision the wanted one.
    pub async fn revise(&self, if_match: IfMatch, change: Revise<'_>) -> Result<Operation> {
        let id = self.row.id;
        let mut tx = self.app.db.begin().await?;
        let version = store::lock(&mut tx, self.row.environment_id, id).await?;
        if_match.check(version.ok_or_else(|| Error::not_found("stack"))?)?;
        let number = store::newest_revision(&mut tx, id).await? + 1;
        store::add_revision(&mut tx, id, number, &self.caller.login, change.new).await?;
        if let Some(description) = change.description {
            store::set_description(&mut tx, id, description).await?;
        }
        let operation = self.begin(&mut tx, change.kind, change.pull).await?;
        tx.commit().await?;
        Ok(operation)
    }

    /// Tells of an operation that has been committed, and answers.
    pub async fn accepted(&self, operation: Operation) -> Result<Accepted> {
        accepted(&self.app, operation).await
    }
}

/// Tells of an operation that has been committed, wakes the engine, and answers.
pub(super) async fn accepted(app: &App, operation: Operation) -> Result<Accepted> {
    let row = store::get(&app.db, operation.environment_id, operation.target_id)
        .await?
        .ok_or_else(|| Error::not_found("stack"))?;
    operations::announce(app, &operation).await;
    app.events.updated(Topic::Stack, Some(row.environment_id), row.id).await;
    clusters::of(app, row.cluster).wake(row.environment_id, row.id);
    let (mut stack, _) = view::stack(app, &row).await?;
    // The engine may have ended it by now; the answer is about what was asked for.
    stack.operation_id = Some(operation.id);
    Ok((StatusCode::ACCEPTED, etag(row.version), Json(StackOperation { stack, operation })))
}
