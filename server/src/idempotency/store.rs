//! The kept answers.

use sqlx::PgPool;
use uuid::Uuid;

pub(super) struct Kept {
    pub request_hash: Vec<u8>,
    pub status: Option<i16>,
    pub headers: Option<serde_json::Value>,
    pub body: Option<Vec<u8>>,
}

/// Takes the key for this request; false when it is taken. A claim that was never answered is
/// free again after five minutes: its server has died.
pub(super) async fn claim(db: &PgPool, user: Uuid, key: &str, hash: &[u8]) -> sqlx::Result<bool> {
    let claimed = sqlx::query!(
        "INSERT INTO idempotency_keys (user_id, key, request_hash) VALUES ($1, $2, $3)
         ON CONFLICT (user_id, key) DO UPDATE
             SET request_hash = $3, status = NULL, headers = NULL, body = NULL, created_at = now()
             WHERE idempotency_keys.created_at < now() - interval '1 day'
                OR (idempotency_keys.status IS NULL
                    AND idempotency_keys.created_at < now() - interval '5 minutes')",
        user,
        key,
        hash
    )
    .execute(db)
    .await?;
    Ok(claimed.rows_affected() == 1)
}

pub(super) async fn answer(db: &PgPool, user: Uuid, key: &str) -> sqlx::Result<Option<Kept>> {
    sqlx::query_as!(
        Kept,
        "SELECT request_hash, status, headers, body FROM idempotency_keys
         WHERE user_id = $1 AND key = $2",
        user,
        key
    )
    .fetch_optional(db)
    .await
}

pub(super) async fn keep(
    db: &PgPool,
    user: Uuid,
    key: &str,
    status: u16,
    headers: &serde_json::Value,
    body: &[u8],
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE idempotency_keys SET status = $3, headers = $4, body = $5
         WHERE user_id = $1 AND key = $2",
        user,
        key,
        status.cast_signed(),
        headers,
        body
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn release(db: &PgPool, user: Uuid, key: &str) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM idempotency_keys WHERE user_id = $1 AND key = $2", user, key)
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets answers older than a day.
pub async fn sweep(db: &PgPool) -> sqlx::Result<u64> {
    let gone =
        sqlx::query!("DELETE FROM idempotency_keys WHERE created_at < now() - interval '1 day'")
            .execute(db)
            .await?;
    Ok(gone.rows_affected())
}
