//! Operations: long work as rows, so that it outlives the server. Who does the work is the
//! domain's own task; this is the record that people follow.

mod routes;
mod store;

use drover_api::{Change, Operation, OperationError, OperationKind, OperationState, Topic};
use sqlx::PgConnection;
use uuid::Uuid;

pub use routes::router;
pub use store::{OpenOperation, get, is_open, last_error, open_for, open_in, open_of_kind};

use crate::{access::Caller, app::App, error::Result, events};

/// An operation to record.
pub struct NewOperation<'a> {
    /// What kind of work.
    pub kind: OperationKind,
    /// Where it happens.
    pub environment_id: Uuid,
    /// `stack`, `host` or `environment`.
    pub target_kind: &'static str,
    /// What it is done to.
    pub target_id: Uuid,
    /// Its name now.
    pub target_name: &'a str,
    /// What the work needs to know.
    pub input: serde_json::Value,
}

/// Records an operation, in the transaction that makes it necessary. One that is still open for
/// the same target is cancelled: the newer wish counts.
pub async fn begin(
    tx: &mut PgConnection,
    caller: Option<&Caller>,
    new: &NewOperation<'_>,
) -> sqlx::Result<Operation> {
    cancel(&mut *tx, new.target_id, "A newer operation has taken its place.").await?;
    store::insert(tx, caller.map(|caller| (caller.user_id, &*caller.login)), new).await
}

/// Cancels what is still open for a target, in the transaction that makes it needless. Answers
/// the operations for [`announce`], after the commit.
pub async fn cancel(
    tx: &mut PgConnection,
    target: Uuid,
    why: &str,
) -> sqlx::Result<Vec<Operation>> {
    store::cancel_open(tx, target, why).await
}

/// Tells the browsers how an operation stands.
pub async fn announce(app: &App, operation: &Operation) {
    let mut event = events::event(
        Topic::Operation,
        Some(operation.environment_id),
        operation.id,
        Change::Updated,
    );
    event.object = serde_json::to_value(operation).ok();
    app.events.publish(event).await;
}

/// Notes how far it is. Quiet when nothing has changed.
pub async fn progress(app: &App, id: Uuid, fraction: f64, message: &str) -> Result<()> {
    if let Some(operation) = store::progress(&app.db, id, fraction, message).await? {
        announce(app, &operation).await;
    }
    Ok(())
}

/// Adds a line to its log.
pub async fn log(app: &App, id: Uuid, message: &str) -> Result<()> {
    Ok(store::append_log(&app.db, id, message).await?)
}

/// Ends it in a transaction: well, or with an error. Answers the operation for [`announce`], after
/// the commit; `None` when it had ended already.
pub async fn end(
    tx: &mut PgConnection,
    id: Uuid,
    error: Option<&OperationError>,
) -> sqlx::Result<Option<Operation>> {
    let state = if error.is_some() { OperationState::Failed } else { OperationState::Succeeded };
    let ended = store::finish(&mut *tx, id, state, error).await?;
    if ended.is_some() {
        let line = match error {
            Some(error) => format!("Failed: {}", error.message),
            None => "Done.".to_owned(),
        };
        store::append_log(tx, id, &line).await?;
    }
    Ok(ended)
}

/// Ends it, and tells. False when it had ended already.
pub async fn finish(app: &App, id: Uuid, error: Option<OperationError>) -> Result<bool> {
    let mut tx = app.db.begin().await?;
    let ended = end(&mut tx, id, error.as_ref()).await?;
    tx.commit().await?;
    if let Some(operation) = &ended {
        announce(app, operation).await;
    }
    Ok(ended.is_some())
}
