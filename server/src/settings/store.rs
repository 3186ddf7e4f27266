//! The table of settings.

use sqlx::PgPool;

async fn value(db: &PgPool, key: &str) -> sqlx::Result<Option<serde_json::Value>> {
    sqlx::query_scalar!("SELECT value FROM settings WHERE key = $1", key).fetch_optional(db).await
}

/// What this installation is called.
pub async fn instance_name(db: &PgPool) -> sqlx::Result<String> {
    let value = value(db, "instance_name").await?;
    Ok(value.as_ref().and_then(|value| value.as_str()).unwrap_or("Drover").to_owned())
}

async fn minutes(db: &PgPool, key: &str, default: u32) -> sqlx::Result<u32> {
    let value = value(db, key).await?;
    Ok(value.and_then(|value| value.as_u64()?.try_into().ok()).unwrap_or(default))
}

/// How often groups are read from identity providers again, minutes.
pub async fn directory_refresh_minutes(db: &PgPool) -> sqlx::Result<u32> {
    minutes(db, "directory_refresh_minutes", 5).await
}

/// For how long the last known groups count when an identity provider does not answer, minutes.
/// The queries of `access` and `providers` read it by themselves, as `directory_grace()`.
pub async fn directory_grace_minutes(db: &PgPool) -> sqlx::Result<u32> {
    minutes(db, "directory_grace_minutes", 720).await
}

/// How often catalogs are read again, minutes.
pub async fn catalog_refresh_minutes(db: &PgPool) -> sqlx::Result<u32> {
    minutes(db, "catalog_refresh_minutes", 60).await
}

/// Whether agents become the server's version by themselves.
pub async fn agents_upgrade_themselves(db: &PgPool) -> sqlx::Result<bool> {
    let value = value(db, "agents_upgrade_themselves").await?;
    Ok(value.and_then(|value| value.as_bool()).unwrap_or_default())
}

pub(super) async fn set(db: &PgPool, key: &str, value: serde_json::Value) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO settings (key, value) VALUES ($1, $2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = now()",
        key,
        value
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn database_version(db: &PgPool) -> sqlx::Result<String> {
    sqlx::query_scalar!(r#"SELECT current_setting('server_version') AS "version!""#)
        .fetch_one(db)
        .await
}

/// The value that tells whether the encryption key is the right one: `sealed` at the first start,
/// what was kept then at every later one.
pub async fn key_check(db: &PgPool, sealed: &[u8]) -> sqlx::Result<Vec<u8>> {
    let sealed = serde_json::Value::from(sealed.to_vec());
    sqlx::query!(
        "INSERT INTO settings (key, value) VALUES ('encryption_key_check', $1)
         ON CONFLICT (key) DO NOTHING",
        sealed
    )
    .execute(db)
    .await?;
    let kept = value(db, "encryption_key_check").await?.unwrap_or_default();
    Ok(serde_json::from_value(kept).unwrap_or_default())
}
