//! The table of instances, and what the engine writes beside it.

use indexmap::IndexMap;
use sqlx::{PgPool, types::Json};
use uuid::Uuid;

use super::plan::Instance;

pub(super) async fn instances(db: &PgPool, stack: Uuid) -> sqlx::Result<Vec<Instance>> {
    sqlx::query_as!(
        Instance,
        "SELECT id, service, ordinal, host_id FROM instances WHERE stack_id = $1
         ORDER BY service, ordinal",
        stack
    )
    .fetch_all(db)
    .await
}

/// How many instances each host of an environment has, for spreading.
pub(super) async fn load(db: &PgPool, environment: Uuid) -> sqlx::Result<Vec<(Uuid, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT i.host_id, count(*) AS "count!" FROM instances i JOIN stacks s ON s.id = i.stack_id
           WHERE s.environment_id = $1 GROUP BY i.host_id"#,
        environment
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.host_id, row.count)).collect())
}

/// Makes an instance; `None` when there is one of this service and ordinal already.
pub(super) async fn add(
    db: &PgPool,
    stack: Uuid,
    service: &str,
    ordinal: i32,
    host: Uuid,
) -> sqlx::Result<Option<Instance>> {
    sqlx::query_as!(
        Instance,
        "INSERT INTO instances (id, stack_id, service, ordinal, host_id) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING RETURNING id, service, ordinal, host_id",
        Uuid::now_v7(),
        stack,
        service,
        ordinal,
        host
    )
    .fetch_optional(db)
    .await
}

pub(super) async fn remove(db: &PgPool, ids: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM instances WHERE id = ANY($1)", ids).execute(db).await?;
    Ok(())
}

/// Writes why services are not as they should be; true when that has changed.
pub(in crate::clusters) async fn set_problems(
    db: &PgPool,
    stack: Uuid,
    problems: &IndexMap<String, String>,
) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "UPDATE stacks SET problems = $2 WHERE id = $1 AND problems <> $2",
        stack,
        Json(problems) as _
    )
    .execute(db)
    .await?;
    Ok(changed.rows_affected() == 1)
}
