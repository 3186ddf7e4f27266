//! The tables of users and principals.

use drover_api::{GlobalRole, Principal, Timestamp, UpdateUser, User, UserState};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::model::{NewUser, PrincipalRow};

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
    Ok(rows
        .into_iter()
        .map(|row| User {
            id: row.id,
            login: row.login,
            display_name: row.display_name,
            email: row.email,
            global_role: GlobalRole::parse(&row.global_role).unwrap_or(GlobalRole::User),
            state: if row.active { UserState::Active } else { UserState::Inactive },
            principal_id: principal_id(row.id),
            has_password: row.has_password,
            identities: Vec::new(),
            created_at: Timestamp(row.created_at),
            last_sign_in_at: row.last_sign_in_at.map(Timestamp),
            version: row.version,
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
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes the user and the principal that names them, and with it their memberships.
pub(super) async fn delete(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM principals WHERE id = $1", principal_id(id))
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

/// Known principals whose name, login or id contains `q`: of a provider, of the local accounts, or
/// of all.
pub(super) async fn principals(db: &PgPool, q: &str, limit: i64) -> sqlx::Result<Vec<Principal>> {
    let rows = sqlx::query_as!(
        PrincipalRow,
        r#"SELECT p.id, p.kind, p.provider, p.provider_id, i.name::text AS "provider_name?", p.name,
               p.login, p.detail
           FROM principals p LEFT JOIN identity_providers i ON i.id = p.provider_id
           WHERE strpos(lower(p.name), lower($1)) > 0
               OR strpos(lower(coalesce(p.login, '')), lower($1)) > 0 OR p.id = $1
           ORDER BY lower(p.name) LIMIT $2"#,
        q,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Principal::from).collect())
}
