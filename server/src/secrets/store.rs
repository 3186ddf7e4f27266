//! The tables of secrets and registries.

use drover_api::{Registry, Secret, SecretKind, Timestamp};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

fn kind_name(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::Opaque => "opaque",
        SecretKind::Certificate => "certificate",
    }
}

/// Changes whenever a secret of the environment does.
pub async fn generation(db: &PgPool, environment: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(extract(epoch FROM max(updated_at)) * 1000000, 0)::bigint + count(*)
               AS "generation!"
           FROM secrets WHERE environment_id = $1"#,
        environment
    )
    .fetch_one(db)
    .await
}

pub(super) async fn sealed(
    db: &PgPool,
    environment: Uuid,
    name: &str,
) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!(
        "SELECT value FROM secrets WHERE environment_id = $1 AND name = $2",
        environment,
        name
    )
    .fetch_optional(db)
    .await
}

pub(super) async fn list(
    db: &PgPool,
    environment: Uuid,
    id: Option<Uuid>,
) -> sqlx::Result<Vec<Secret>> {
    let rows = sqlx::query!(
        "SELECT id, name, kind, description, expires_at, updated_at, version FROM secrets
         WHERE environment_id = $1 AND ($2::uuid IS NULL OR id = $2) ORDER BY name",
        environment,
        id
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Secret {
            id: row.id,
            name: row.name,
            kind: if row.kind == "certificate" {
                SecretKind::Certificate
            } else {
                SecretKind::Opaque
            },
            description: row.description,
            expires_at: row.expires_at.map(Timestamp),
            updated_at: Timestamp(row.updated_at),
            version: row.version,
        })
        .collect())
}

/// A secret to write, its value sealed.
pub(super) struct NewSecret<'a> {
    pub name: &'a str,
    pub kind: SecretKind,
    pub description: &'a str,
    pub value: &'a [u8],
    pub expires_at: Option<OffsetDateTime>,
}

pub(super) async fn insert(
    db: &PgPool,
    environment: Uuid,
    new: &NewSecret<'_>,
) -> sqlx::Result<Uuid> {
    sqlx::query_scalar!(
        "INSERT INTO secrets (id, environment_id, name, kind, description, value, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
        Uuid::now_v7(),
        environment,
        new.name,
        kind_name(new.kind),
        new.description,
        new.value,
        new.expires_at
    )
    .fetch_one(db)
    .await
}

pub(super) async fn lock(
    tx: &mut PgConnection,
    environment: Uuid,
    id: Uuid,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "SELECT version FROM secrets WHERE environment_id = $1 AND id = $2 FOR UPDATE",
        environment,
        id
    )
    .fetch_optional(tx)
    .await
}

pub(super) async fn update(
    tx: &mut PgConnection,
    id: Uuid,
    new: &NewSecret<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE secrets SET name = $2, kind = $3, description = $4, value = $5, expires_at = $6,
             updated_at = now(), version = version + 1 WHERE id = $1",
        id,
        new.name,
        kind_name(new.kind),
        new.description,
        new.value,
        new.expires_at
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn delete(db: &PgPool, environment: Uuid, id: Uuid) -> sqlx::Result<bool> {
    let gone =
        sqlx::query!("DELETE FROM secrets WHERE environment_id = $1 AND id = $2", environment, id)
            .execute(db)
            .await?;
    Ok(gone.rows_affected() == 1)
}

pub(super) async fn registries(
    db: &PgPool,
    environment: Uuid,
    id: Option<Uuid>,
) -> sqlx::Result<Vec<Registry>> {
    let rows = sqlx::query!(
        "SELECT id, address, username, updated_at, version FROM registries
         WHERE environment_id = $1 AND ($2::uuid IS NULL OR id = $2) ORDER BY address",
        environment,
        id
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Registry {
            id: row.id,
            address: row.address,
            username: row.username,
            updated_at: Timestamp(row.updated_at),
            version: row.version,
        })
        .collect())
}

/// Makes a registry, or changes the one with `id`; `None` when that one is not there.
pub(super) async fn write_registry(
    db: &PgPool,
    environment: Uuid,
    id: Option<Uuid>,
    address: &str,
    username: &str,
    password: &[u8],
) -> sqlx::Result<Option<Uuid>> {
    match id {
        None => sqlx::query_scalar!(
            "INSERT INTO registries (id, environment_id, address, username, password)
             VALUES ($1, $2, $3, $4, $5) RETURNING id",
            Uuid::now_v7(),
            environment,
            address,
            username,
            password
        )
        .fetch_one(db)
        .await
        .map(Some),
        Some(id) => {
            sqlx::query_scalar!(
                "UPDATE registries SET address = $3, username = $4, password = $5,
                     updated_at = now(), version = version + 1
                 WHERE environment_id = $1 AND id = $2 RETURNING id",
                environment,
                id,
                address,
                username,
                password
            )
            .fetch_optional(db)
            .await
        }
    }
}

pub(super) async fn delete_registry(
    db: &PgPool,
    environment: Uuid,
    id: Uuid,
) -> sqlx::Result<bool> {
    let gone = sqlx::query!(
        "DELETE FROM registries WHERE environment_id = $1 AND id = $2",
        environment,
        id
    )
    .execute(db)
    .await?;
    Ok(gone.rows_affected() == 1)
}
