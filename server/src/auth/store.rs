//! Accounts for signing in, sessions as their owners see them, API keys, failures.

use drover_api::{ApiKey, BrowserSession, CreateApiKey, Role, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

pub(super) struct Account {
    pub id: Uuid,
    pub password_hash: Option<String>,
    pub active: bool,
}

pub(super) async fn account(db: &PgPool, login: &str) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        r#"SELECT id, password_hash, state = 'active' AS "active!"
           FROM users WHERE login = $1::text::citext"#,
        login
    )
    .fetch_optional(db)
    .await
}

pub(super) async fn account_by_id(db: &PgPool, id: Uuid) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        r#"SELECT id, password_hash, state = 'active' AS "active!"
           FROM users WHERE id = $1"#,
        id
    )
    .fetch_optional(db)
    .await
}

pub(super) async fn note_sign_in(db: &PgPool, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("UPDATE users SET last_sign_in_at = now() WHERE id = $1", id).execute(db).await?;
    Ok(())
}

pub(super) async fn set_password(db: &PgPool, id: Uuid, hash: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE users SET password_hash = $2, version = version + 1 WHERE id = $1",
        id,
        hash
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Sets a local user's password and ends all of the user's sessions; false when there is no such
/// user. Also clears the throttle, since whoever runs this has waited long enough.
pub async fn reset_password(
    db: &PgPool,
    login: &str,
    password: &SecretString,
) -> crate::error::Result<bool> {
    let hash = super::hash_password(password.expose_secret().into()).await?;
    let mut tx = db.begin().await?;
    let user = sqlx::query_scalar!(
        "UPDATE users SET password_hash = $2, version = version + 1
         WHERE login = $1::text::citext RETURNING id",
        login,
        hash
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(user) = user else { return Ok(false) };
    crate::users::ensure_local_principal(&mut tx, user).await?;
    sqlx::query!("DELETE FROM sessions WHERE user_id = $1", user).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM sign_in_failures WHERE key = 'login:' || lower($1)", login)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(true)
}

// ---- set-up

pub(super) async fn has_admin(db: &PgPool) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM users WHERE global_role = 'admin') AS "exists!""#
    )
    .fetch_one(db)
    .await
}

/// Held until the transaction ends, so that only one set-up can be under way.
pub(super) async fn lock_setup(tx: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query!("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE").execute(&mut *tx).await?;
    sqlx::query_scalar!(
        r#"SELECT NOT EXISTS (SELECT 1 FROM users WHERE global_role = 'admin') AS "open!""#
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn setup_token(db: &PgPool) -> sqlx::Result<Option<String>> {
    let value = sqlx::query_scalar!("SELECT value FROM settings WHERE key = 'setup_token_hash'")
        .fetch_optional(db)
        .await?;
    Ok(value.and_then(|value| value.as_str().map(str::to_owned)))
}

pub(super) async fn set_setup_token(db: &PgPool, hash: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO settings (key, value) VALUES ('setup_token_hash', to_jsonb($1::text))
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = now()",
        hash
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn clear_setup_token(tx: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM settings WHERE key = 'setup_token_hash'").execute(tx).await?;
    Ok(())
}

// ---- sessions

pub(super) async fn sessions(
    db: &PgPool,
    user: Uuid,
    current: &[u8],
) -> sqlx::Result<Vec<BrowserSession>> {
    let rows = sqlx::query!(
        r#"SELECT public_id, id = $2 AS "current!", created_at, last_seen_at, address, user_agent
           FROM sessions WHERE user_id = $1 AND expires_at > now() ORDER BY last_seen_at DESC"#,
        user,
        current
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| BrowserSession {
            id: row.public_id,
            current: row.current,
            created_at: Timestamp(row.created_at),
            last_seen_at: Timestamp(row.last_seen_at),
            address: row.address,
            user_agent: row.user_agent,
        })
        .collect())
}

/// Ends one of the user's sessions; false when there is none with this id.
pub(super) async fn end_session(db: &PgPool, user: Uuid, public_id: Uuid) -> sqlx::Result<bool> {
    let ended =
        sqlx::query!("DELETE FROM sessions WHERE user_id = $1 AND public_id = $2", user, public_id)
            .execute(db)
            .await?;
    Ok(ended.rows_affected() == 1)
}

/// Ends the user's sessions, but for `except`.
pub(crate) async fn end_sessions(
    db: &PgPool,
    user: Uuid,
    except: Option<&[u8]>,
) -> sqlx::Result<u64> {
    let ended = sqlx::query!(
        "DELETE FROM sessions WHERE user_id = $1 AND ($2::bytea IS NULL OR id <> $2)",
        user,
        except
    )
    .execute(db)
    .await?;
    Ok(ended.rows_affected())
}

/// Forgets sessions and failures that no longer matter.
pub(crate) async fn sweep(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM sessions WHERE expires_at < now()").execute(db).await?;
    sqlx::query!("DELETE FROM sign_in_failures WHERE last_failure_at < now() - interval '1 day'")
        .execute(db)
        .await?;
    Ok(())
}

// ---- failures

pub(super) async fn blocked_until(db: &PgPool, key: &str) -> sqlx::Result<Option<OffsetDateTime>> {
    let row = sqlx::query_scalar!("SELECT blocked_until FROM sign_in_failures WHERE key = $1", key)
        .fetch_optional(db)
        .await?;
    Ok(row.flatten())
}

/// Counts one more; a count starts over after an hour without failures.
pub(super) async fn count_failure(db: &PgPool, key: &str) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        "INSERT INTO sign_in_failures (key, failures, last_failure_at) VALUES ($1, 1, now())
         ON CONFLICT (key) DO UPDATE SET
             failures = CASE WHEN sign_in_failures.last_failure_at < now() - interval '1 hour'
                        THEN 1 ELSE sign_in_failures.failures + 1 END,
             last_failure_at = now()
         RETURNING failures",
        key
    )
    .fetch_one(db)
    .await
}

pub(super) async fn block(db: &PgPool, key: &str, until: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query!("UPDATE sign_in_failures SET blocked_until = $2 WHERE key = $1", key, until)
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn clear_failures(db: &PgPool, key: &str) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM sign_in_failures WHERE key = $1", key).execute(db).await?;
    Ok(())
}

// ---- API keys

pub(super) async fn api_keys(db: &PgPool, user: Uuid) -> sqlx::Result<Vec<ApiKey>> {
    let rows = sqlx::query!("SELECT * FROM api_keys WHERE user_id = $1 ORDER BY id", user)
        .fetch_all(db)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| ApiKey {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            environment_id: row.environment_id,
            role: row.role.as_deref().and_then(Role::parse),
            created_at: Timestamp(row.created_at),
            expires_at: row.expires_at.map(Timestamp),
            last_used_at: row.last_used_at.map(Timestamp),
            last_used_address: row.last_used_address,
        })
        .collect())
}

pub(super) async fn insert_api_key(
    db: &PgPool,
    user: Uuid,
    key: &CreateApiKey,
    prefix: &str,
    hash: &[u8],
) -> sqlx::Result<ApiKey> {
    let id = Uuid::now_v7();
    let created_at = sqlx::query_scalar!(
        "INSERT INTO api_keys (id, user_id, name, prefix, token_hash, environment_id, role,
             expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING created_at",
        id,
        user,
        key.name,
        prefix,
        hash,
        key.environment_id,
        key.role.map(Role::as_str),
        key.expires_at.map(|at| at.0)
    )
    .fetch_one(db)
    .await?;
    Ok(ApiKey {
        id,
        name: key.name.clone(),
        prefix: prefix.to_owned(),
        environment_id: key.environment_id,
        role: key.role,
        created_at: Timestamp(created_at),
        expires_at: key.expires_at,
        last_used_at: None,
        last_used_address: None,
    })
}

pub(super) async fn delete_api_key(db: &PgPool, user: Uuid, id: Uuid) -> sqlx::Result<bool> {
    let gone = sqlx::query!("DELETE FROM api_keys WHERE user_id = $1 AND id = $2", user, id)
        .execute(db)
        .await?;
    Ok(gone.rows_affected() == 1)
}
