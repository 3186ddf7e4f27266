//! The tables of users and principals.

use std::collections::HashMap;

use drover_api::{
    GlobalRole, Identity, Principal, SessionUser, Timestamp, UpdateUser, User, UserState,
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::model::{NewUser, PrincipalRow};
use crate::providers;

fn principal_id(user: Uuid) -> String {
    format!("local_user://{user}")
}

/// Makes a user and the principal that names them.
pub async fn insert(tx: &mut PgConnection, new: &NewUser) -> sqlx::Result<User> {
    let id = Uuid::now_v7();
    let principal = principal_id(id);
    let created_at = sqlx::query_scalar!(
        "INSERT INTO users (id, login, display_name, email, global_role, state, password_hash)
         VALUES ($1, $2::text::citext, $3, $4, $5, 'active', $6) RETURNING created_at",
        id,
        new.login,
        new.display_name,
        new.email,
        new.global_role.as_str(),
        new.password_hash
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO principals (id, kind, provider, name, login)
         VALUES ($1, 'user', 'local', $2, $3)",
        principal,
        new.display_name,
        new.login
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO user_principals (user_id, principal_id) VALUES ($1, $2)",
        id,
        principal
    )
    .execute(&mut *tx)
    .await?;
    Ok(User {
        id,
        login: new.login.clone(),
        display_name: new.display_name.clone(),
        email: new.email.clone(),
        global_role: new.global_role,
        state: UserState::Active,
        principal_id: principal,
        has_password: true,
        identities: Vec::new(),
        created_at: Timestamp(created_at),
        last_sign_in_at: None,
        version: 1,
    })
}

pub(super) async fn list(db: &PgPool) -> sqlx::Result<Vec<User>> {
    select(db, None).await
}

/// The user, if there is one.
pub async fn get(db: &PgPool, id: Uuid) -> sqlx::Result<Option<User>> {
    Ok(select(db, Some(id)).await?.pop())
}

/// Who a session is of, if there is such a user and they are active.
pub async fn active(db: &PgPool, id: Uuid) -> sqlx::Result<Option<SessionUser>> {
    let row = sqlx::query!(
        r#"SELECT login::text AS "login!", display_name, global_role FROM users
           WHERE id = $1 AND state = 'active'"#,
        id
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| SessionUser {
        id,
        login: row.login,
        display_name: row.display_name,
        global_role: GlobalRole::parse(&row.global_role).unwrap_or(GlobalRole::User),
    }))
}

async fn select(db: &PgPool, id: Option<Uuid>) -> sqlx::Result<Vec<User>> {
    let rows = sqlx::query!(
        r#"SELECT id, login::text AS "login!", display_name, email, global_role,
               state = 'active' AS "active!", password_hash IS NOT NULL AS "has_password!",
               created_at, last_sign_in_at, version
           FROM users WHERE $1::uuid IS NULL OR id = $1 ORDER BY id"#,
        id
    )
    .fetch_all(db)
    .await?;
    let mut identities: HashMap<Uuid, Vec<Identity>> = HashMap::new();
    for (user, identity) in providers::accounts::identities(db, id).await? {
        identities.entry(user).or_default().push(identity);
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let identities = identities.remove(&row.id).unwrap_or_default();
            // Accounts of providers have no local principal, unless they were linked to one.
            let principal_id = match identities.first() {
                Some(identity) if !row.has_password => identity.principal_id.clone(),
                _ => principal_id(row.id),
            };
            User {
                id: row.id,
                login: row.login,
                display_name: row.display_name,
                email: row.email,
                global_role: GlobalRole::parse(&row.global_role).unwrap_or(GlobalRole::User),
                state: if row.active { UserState::Active } else { UserState::Inactive },
                principal_id,
                has_password: row.has_password,
                identities,
                created_at: Timestamp(row.created_at),
                last_sign_in_at: row.last_sign_in_at.map(Timestamp),
                version: row.version,
            }
        })
        .collect())
}

/// Locks the user's row until the transaction ends, and gives its version.
pub(super) async fn lock(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("SELECT version FROM users WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(tx)
        .await
}

pub(super) async fn update(
    tx: &mut PgConnection,
    id: Uuid,
    change: &UpdateUser,
    password_hash: Option<&str>,
) -> sqlx::Result<()> {
    let state = change.state.map(|state| match state {
        UserState::Active => "active",
        UserState::Inactive => "inactive",
    });
    sqlx::query!(
        "UPDATE users SET display_name = coalesce($2, display_name),
             email = CASE WHEN $3 THEN $4 ELSE email END,
             global_role = coalesce($5, global_role), state = coalesce($6, state),
             password_hash = coalesce($7, password_hash), version = version + 1
         WHERE id = $1",
        id,
        change.display_name,
        change.email.is_some(),
        change.email.clone().flatten(),
        change.global_role.map(GlobalRole::as_str),
        state,
        password_hash
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE principals SET name = coalesce($2, name), updated_at = now() WHERE id = $1",
        principal_id(id),
        change.display_name
    )
    .execute(&mut *tx)
    .await?;
    if password_hash.is_some() {
        ensure_local_principal(tx, id).await?;
    }
    Ok(())
}

/// Whoever has a password has a local principal, too.
pub(crate) async fn ensure_local_principal(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    let principal = principal_id(id);
    sqlx::query!(
        "INSERT INTO principals (id, kind, provider, name, login)
         SELECT $1, 'user', 'local', display_name, login FROM users WHERE id = $2
         ON CONFLICT DO NOTHING",
        principal,
        id
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO user_principals (user_id, principal_id, source) VALUES ($1, $2, 'own')
         ON CONFLICT DO NOTHING",
        id,
        principal
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Moves all that a user has, but for the name, to another: accounts at providers, principals,
/// API keys, a password where the other has none; then removes the user. The sessions end.
pub(super) async fn merge(tx: &mut PgConnection, from: Uuid, into: Uuid) -> sqlx::Result<()> {
    sqlx::query!("UPDATE identities SET user_id = $2 WHERE user_id = $1", from, into)
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        "INSERT INTO user_principals (user_id, principal_id, source, refreshed_at)
         SELECT $2, principal_id, source, refreshed_at FROM user_principals WHERE user_id = $1
         ON CONFLICT DO NOTHING",
        from,
        into
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("UPDATE api_keys SET user_id = $2 WHERE user_id = $1", from, into)
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        "UPDATE users u SET password_hash = coalesce(u.password_hash, f.password_hash),
             global_role = CASE WHEN f.global_role = 'admin' AND f.state = 'active' THEN 'admin'
                 ELSE u.global_role END,
             version = u.version + 1
         FROM users f WHERE u.id = $2 AND f.id = $1",
        from,
        into
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM users WHERE id = $1", from).execute(&mut *tx).await?;
    let has_password =
        sqlx::query_scalar!("SELECT password_hash IS NOT NULL FROM users WHERE id = $1", into)
            .fetch_one(&mut *tx)
            .await?;
    if has_password == Some(true) {
        ensure_local_principal(tx, into).await?;
    }
    Ok(())
}

/// Whether SCIM has deactivated an account of this user: with the user, that would be forgotten.
pub(super) async fn is_deactivated(tx: &mut PgConnection, user: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM identities i JOIN scim_users s USING (principal_id)
               WHERE i.user_id = $1 AND NOT s.active) AS "deactivated!""#,
        user
    )
    .fetch_one(tx)
    .await
}

/// The providers at which both users have an account.
pub(super) async fn common_providers(
    tx: &mut PgConnection,
    one: Uuid,
    other: Uuid,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT p.name::text AS "name!" FROM identity_providers p
           JOIN identities a ON a.provider_id = p.id AND a.user_id = $1
           JOIN identities b ON b.provider_id = p.id AND b.user_id = $2"#,
        one,
        other
    )
    .fetch_all(tx)
    .await
}

/// Takes an account at a provider away from a user, with the groups that it brought; false when
/// there is none. Its principal stays: who signs in with it next is another user.
pub(super) async fn unlink(
    tx: &mut PgConnection,
    user: Uuid,
    provider: Uuid,
) -> sqlx::Result<bool> {
    let gone = sqlx::query!(
        "DELETE FROM identities WHERE user_id = $1 AND provider_id = $2",
        user,
        provider
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "DELETE FROM user_principals u USING principals p
         WHERE u.user_id = $1 AND p.id = u.principal_id AND p.provider_id = $2",
        user,
        provider
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM sessions WHERE user_id = $1 AND provider_id = $2", user, provider)
        .execute(tx)
        .await?;
    Ok(gone.rows_affected() == 1)
}

/// Removes the user and the principals that name them, and with these their memberships.
pub(super) async fn delete(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM principals WHERE id IN
             (SELECT principal_id FROM user_principals WHERE user_id = $1 AND source = 'own')",
        id
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM users WHERE id = $1", id).execute(tx).await?;
    Ok(())
}

/// Names the lock of all who may take an administrator away.
const LAST_ADMIN: i64 = 0x6c61_7374;

/// Whether an active administrator with a password is left: the last one must stay. Of two
/// transactions that take one away at once, the later waits here for the end of the other.
pub(super) async fn has_active_admin(tx: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LAST_ADMIN).execute(&mut *tx).await?;
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM users WHERE global_role = 'admin' AND state = 'active'
               AND password_hash IS NOT NULL) AS "exists!""#
    )
    .fetch_one(tx)
    .await
}

/// Known principals of a provider, or of the local accounts, whose name or login contains `text`
/// or whose id it is.
pub async fn known_principals(
    db: &PgPool,
    text: &str,
    provider: Option<Uuid>,
    most: usize,
) -> sqlx::Result<Vec<Principal>> {
    let rows = sqlx::query_as!(
        PrincipalRow,
        r#"SELECT p.id, p.kind, p.provider, p.provider_id, i.name::text AS "provider_name?", p.name,
               p.login, p.detail
           FROM principals p LEFT JOIN identity_providers i ON i.id = p.provider_id
           WHERE p.provider_id IS NOT DISTINCT FROM $2
               AND (strpos(lower(p.name), lower($1)) > 0
                   OR strpos(lower(coalesce(p.login, '')), lower($1)) > 0 OR p.id = $1)
           ORDER BY lower(p.name) LIMIT $3"#,
        text,
        provider,
        i64::try_from(most).unwrap_or(i64::MAX)
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Principal::from).collect())
}

/// Whether this principal is known.
pub async fn has_principal(db: &PgPool, id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM principals WHERE id = $1) AS "known!""#, id)
        .fetch_one(db)
        .await
}
