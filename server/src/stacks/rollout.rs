//! How rollouts end. Each end is one transaction: a server that is killed leaves either none of it
//! or all of it.

use drover_api::{OperationError, OperationKind, Topic};

use super::{
    model::{Revision, StackRow},
    store::{self, NewRevision},
};
use crate::{
    app::App,
    error::Result,
    operations::{self, NewOperation, OpenOperation},
};

/// Everything runs as the revision wants it.
pub async fn rollout_succeeded(app: &App, row: &StackRow, open: &OpenOperation) -> Result<()> {
    let mut tx = app.db.begin().await?;
    store::set_outcome(&mut tx, row.id, row.revision, "succeeded").await?;
    let ended = operations::end(&mut tx, open.id, None).await?;
    tx.commit().await?;
    if let Some(operation) = ended {
        operations::announce(app, &operation).await;
    }
    app.events.updated(Topic::Stack, Some(row.environment_id), row.id).await;
    Ok(())
}

/// The rollout cannot go on. `roll_back` makes the last revision that was good the wanted one
/// again; it was allowed once, so nobody is asked.
pub async fn rollout_failed(
    app: &App,
    row: &StackRow,
    open: &OpenOperation,
    error: OperationError,
    roll_back: bool,
) -> Result<()> {
    let good = if roll_back {
        let revisions = store::revisions(&app.db, row.id, None).await?;
        revisions
            .into_iter()
            .find(|r| r.revision < row.revision && r.outcome.as_deref() == Some("succeeded"))
    } else {
        None
    };
    let mut tx = app.db.begin().await?;
    let Some(failed) = operations::end(&mut tx, open.id, Some(&error)).await? else {
        // A newer operation has taken its place: this failure is about what is no longer wanted.
        return Ok(());
    };
    // A change of scale that fails says nothing against the revision.
    if row.outcome.as_deref() != Some("succeeded") {
        store::set_outcome(&mut tx, row.id, row.revision, "failed").await?;
    }
    let back = match good {
        Some(good) => {
            let number = store::newest_revision(&mut tx, row.id).await? + 1;
            store::add_revision(&mut tx, row.id, number, "system", &again(good)).await?;
            let new = NewOperation {
                kind: OperationKind::Rollback,
                environment_id: row.environment_id,
                target_kind: "stack",
                target_id: row.id,
                target_name: &row.name,
                input: serde_json::json!({}),
            };
            Some(operations::begin(&mut tx, None, &new).await?)
        }
        None => None,
    };
    tx.commit().await?;
    for operation in [Some(failed), back].iter().flatten() {
        operations::announce(app, operation).await;
    }
    app.events.updated(Topic::Stack, Some(row.environment_id), row.id).await;
    Ok(())
}

/// The same once more.
pub(super) fn again(earlier: Revision) -> NewRevision {
    NewRevision {
        comment: format!("Roll back to revision {}", earlier.revision),
        compose: earlier.compose,
        variables: earlier.variables,
        secret_variables: earlier.secret_variables,
        secret_names: earlier.secret_names,
        template_version: earlier.template_version,
        template_compose: earlier.template_compose,
    }
}
