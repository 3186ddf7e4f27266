//! The table `kubernetes_stacks`: what a stack has in its cluster.

use serde::{Deserialize, Serialize};
use sqlx::{PgPool, types::Json};
use uuid::Uuid;

/// An object that was, or is about to be, applied.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Reference {
    /// E.g. `apps/v1`.
    pub api_version: String,
    /// E.g. `Deployment`.
    pub kind: String,
    /// None for what is in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
}

impl Reference {
    /// In words: `Deployment web`.
    pub fn words(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// Whether it holds data that nothing brings back.
    pub fn is_data(&self) -> bool {
        self.kind == "PersistentVolumeClaim"
    }
}

/// A row.
#[derive(Debug, Clone)]
pub(super) struct StackInCluster {
    pub namespace: String,
    pub salt: Vec<u8>,
    pub applied: Vec<Reference>,
    pub pull: bool,
}

pub(super) async fn find(db: &PgPool, stack: Uuid) -> sqlx::Result<Option<StackInCluster>> {
    let row = sqlx::query!(
        r#"SELECT namespace, salt, applied AS "applied: Json<Vec<Reference>>", pull
           FROM kubernetes_stacks WHERE stack_id = $1"#,
        stack
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| StackInCluster {
        namespace: row.namespace,
        salt: row.salt,
        applied: row.applied.0,
        pull: row.pull,
    }))
}

/// The stack's row, made where there is none yet; with this namespace from now on.
pub(super) async fn settle(
    db: &PgPool,
    stack: Uuid,
    namespace: &str,
    salt: &[u8],
    pull: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO kubernetes_stacks (stack_id, namespace, salt, pull) VALUES ($1, $2, $3, $4)
         ON CONFLICT (stack_id) DO UPDATE SET namespace = $2, pull = kubernetes_stacks.pull OR $4",
        stack,
        namespace,
        salt,
        pull
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What the stack has, or is about to have.
pub(super) async fn set_applied(
    db: &PgPool,
    stack: Uuid,
    applied: &[Reference],
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE kubernetes_stacks SET applied = $2 WHERE stack_id = $1",
        stack,
        Json(applied) as _
    )
    .execute(db)
    .await?;
    Ok(())
}
