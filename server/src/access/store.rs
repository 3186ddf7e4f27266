//! Who holds which role: the one query behind every decision.

use drover_api::{ClusterKind, GlobalRole, Role};
use sqlx::PgPool;
use std::collections::HashMap;
use time::OffsetDateTime;
use uuid::Uuid;

/// An active user with the roles that reach them.
pub(super) struct UserRow {
    pub id: Uuid,
    pub login: String,
    pub display_name: String,
    pub global_role: GlobalRole,
    pub roles: HashMap<Uuid, Role>,
    /// The ids of the groups of identity providers that the user is in.
    pub groups: Vec<String>,
    /// When what came from an identity provider stops counting, the earliest.
    pub recheck_at: Option<OffsetDateTime>,
}

/// How a user has come in: that way must still be open to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By the password of a local account.
    Password,
    /// Through this identity provider.
    Provider(Uuid),
    /// By either: for API keys.
    Any,
}

/// The user, if there is one, they are active, and the way that they came in is open to them.
/// Groups of a provider count only while their account there does.
pub(super) async fn active_user(db: &PgPool, id: Uuid, way: Way) -> sqlx::Result<Option<UserRow>> {
    let Some(user) = sqlx::query!(
        r#"SELECT login::text AS "login!", display_name, global_role,
               password_hash IS NOT NULL AS "has_password!"
           FROM users WHERE id = $1 AND state = 'active'"#,
        id
    )
    .fetch_optional(db)
    .await?
    else {
        return Ok(None);
    };
    let live = sqlx::query!(
        "SELECT provider_id, until, CASE WHEN directory_until > now() THEN directory_until END
                 AS groups_until
             FROM live_identities WHERE user_id = $1",
        id
    )
    .fetch_all(db)
    .await?;
    let providers: Vec<Uuid> = live.iter().filter_map(|row| row.provider_id).collect();
    let is_open = match way {
        Way::Password => user.has_password,
        Way::Provider(provider) => providers.contains(&provider),
        Way::Any => user.has_password || !providers.is_empty(),
    };
    if !is_open {
        return Ok(None);
    }
    let members = sqlx::query!(
        "SELECT m.environment_id, m.role FROM environment_members m
         JOIN user_principals u USING (principal_id)
         JOIN principals p ON p.id = m.principal_id
         LEFT JOIN live_identities l ON l.user_id = u.user_id AND l.provider_id = p.provider_id
         WHERE u.user_id = $1 AND (p.provider_id IS NULL
             OR (l.user_id IS NOT NULL AND (u.source <> 'directory' OR l.directory_until > now())))",
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
    let groups = sqlx::query_scalar!(
        "SELECT p.id FROM user_principals u
         JOIN principals p ON p.id = u.principal_id
         JOIN live_identities l ON l.user_id = u.user_id AND l.provider_id = p.provider_id
         WHERE u.user_id = $1 AND p.kind = 'group'
             AND (u.source <> 'directory' OR l.directory_until > now())
         ORDER BY p.id",
        id
    )
    .fetch_all(db)
    .await?;
    Ok(Some(UserRow {
        id,
        groups,
        login: user.login,
        display_name: user.display_name,
        global_role: GlobalRole::parse(&user.global_role).unwrap_or(GlobalRole::User),
        roles,
        recheck_at: live.iter().flat_map(|row| [row.until, row.groups_until]).flatten().min(),
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
/// An environment's state and cluster.
pub(super) async fn environment(
    db: &PgPool,
    id: Uuid,
) -> sqlx::Result<Option<(String, ClusterKind)>> {
    let row = sqlx::query!("SELECT state, cluster_kind FROM environments WHERE id = $1", id)
        .fetch_optional(db)
        .await?;
    Ok(row.map(|row| (row.state, ClusterKind::parse(&row.cluster_kind).unwrap_or_default())))
}
