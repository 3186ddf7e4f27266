//! Who holds which role: the one query behind every decision.

use drover_api::{GlobalRole, Role};
use sqlx::PgPool;
use std::collections::HashMap;
use uuid::Uuid;

/// An active user with the roles that reach them.
pub(super) struct UserRow {
    pub id: Uuid,
    pub login: String,
    pub display_name: String,
    pub global_role: GlobalRole,
    pub roles: HashMap<Uuid, Role>,
}

/// The user, if there is one and they are active.
pub(super) async fn active_user(db: &PgPool, id: Uuid) -> sqlx::Result<Option<UserRow>> {
    let Some(user) = sqlx::query!(
        r#"SELECT login::text AS "login!", display_name, global_role FROM users
           WHERE id = $1 AND state = 'active'"#,
        id
    )
    .fetch_optional(db)
    .await?
    else {
        return Ok(None);
    };
    let members = sqlx::query!(
        "SELECT m.environment_id, m.role FROM environment_members m
         JOIN user_principals p USING (principal_id) WHERE p.user_id = $1",
        id
    )
    .fetch_all(db)
    .await?;
    let mut roles = HashMap::new();
    for row in members {
        // The table's check allows only roles that parse.
        let Some(role) = Role::parse(&row.role) else {
            continue;
        };
        let strongest = roles.entry(row.environment_id).or_insert(role);
        *strongest = role.max(*strongest);
    }
    Ok(Some(UserRow {
        id,
        login: user.login,
        display_name: user.display_name,
        global_role: GlobalRole::parse(&user.global_role).unwrap_or(GlobalRole::User),
        roles,
    }))
}

/// What an API key leads to.
pub(super) struct KeyRow {
    pub id: Uuid,
    pub user_id: Uuid,
    pub environment_id: Option<Uuid>,
    pub role: Option<Role>,
    pub expires_at: Option<time::OffsetDateTime>,
}

/// The key with this hash, if it has not ended.
pub(super) async fn api_key(db: &PgPool, hash: &[u8]) -> sqlx::Result<Option<KeyRow>> {
    let row = sqlx::query!(
        "SELECT id, user_id, environment_id, role, expires_at FROM api_keys
         WHERE token_hash = $1 AND (expires_at IS NULL OR expires_at > now())",
        hash
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| KeyRow {
        id: row.id,
        user_id: row.user_id,
        environment_id: row.environment_id,
        role: row.role.as_deref().and_then(Role::parse),
        expires_at: row.expires_at,
    }))
}

/// Notes that a key was used.
pub(super) async fn touch_api_key(db: &PgPool, id: Uuid, address: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE api_keys SET last_used_at = now(), last_used_address = $2 WHERE id = $1",
        id,
        address
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The state of an environment, if it is there.
pub(super) async fn environment_state(db: &PgPool, id: Uuid) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("SELECT state FROM environments WHERE id = $1", id).fetch_optional(db).await
}
