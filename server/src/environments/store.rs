//! The tables of environments and members.

use drover_api::{
    ClusterKind, CreateEnvironment, CrossHostNetworkStatus, Environment, EnvironmentPerson,
    EnvironmentState, Member, Role, RoleSource, Scheduling, Timestamp, UpdateEnvironment,
};
use sqlx::{PgConnection, PgPool, types::Json};
use uuid::Uuid;

use crate::users::PrincipalRow;

fn state_name(state: EnvironmentState) -> &'static str {
    match state {
        EnvironmentState::Active => "active",
        EnvironmentState::Inactive => "inactive",
        EnvironmentState::Removing => "removing",
    }
}

/// At the first start: the environment *Default*. Returns its id when it was made now.
pub async fn ensure_default(db: &PgPool) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        "WITH once AS (
             INSERT INTO settings (key, value) VALUES ('default_environment', 'true')
             ON CONFLICT DO NOTHING RETURNING 1)
         INSERT INTO environments (id, name, description, state, cluster_kind)
         SELECT $1, 'Default', '', 'active', 'cattle' FROM once RETURNING id",
        Uuid::now_v7()
    )
    .fetch_optional(db)
    .await
}

/// All environments; the caller's role is still to be filled in.
pub(super) async fn list(db: &PgPool) -> sqlx::Result<Vec<Environment>> {
    select(db, None).await
}

pub(super) async fn get(db: &PgPool, id: Uuid) -> sqlx::Result<Option<Environment>> {
    Ok(select(db, Some(id)).await?.pop())
}

async fn select(db: &PgPool, id: Option<Uuid>) -> sqlx::Result<Vec<Environment>> {
    let rows = sqlx::query!(
        r#"SELECT id, name::text AS "name!", description, state, cluster_kind,
               scheduling AS "scheduling: Json<Scheduling>",
               cross_host_network AS "network: Json<CrossHostNetworkStatus>", created_at, version
           FROM environments WHERE $1::uuid IS NULL OR id = $1 ORDER BY id"#,
        id
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Environment {
            id: row.id,
            name: row.name,
            description: row.description,
            state: match row.state.as_str() {
                "active" => EnvironmentState::Active,
                "inactive" => EnvironmentState::Inactive,
                _ => EnvironmentState::Removing,
            },
            cluster_kind: ClusterKind::parse(&row.cluster_kind).unwrap_or_default(),
            scheduling: row.scheduling.0,
            cross_host_network: row.network.map(|network| network.0),
            role: Role::Readonly,
            permissions: Vec::new(),
            created_at: Timestamp(row.created_at),
            version: row.version,
        })
        .collect())
}

pub(super) async fn insert(tx: &mut PgConnection, new: &CreateEnvironment) -> sqlx::Result<Uuid> {
    sqlx::query_scalar!(
        "INSERT INTO environments (id, name, description, state, cluster_kind)
         VALUES ($1, $2::text::citext, $3, 'active', $4) RETURNING id",
        Uuid::now_v7(),
        new.name,
        new.description,
        new.cluster_kind.as_str()
    )
    .fetch_one(tx)
    .await
}

/// Locks the row until the transaction ends, and gives its version and state.
pub(super) async fn lock(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<(i64, String)>> {
    let row = sqlx::query!("SELECT version, state FROM environments WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(tx)
        .await?;
    Ok(row.map(|row| (row.version, row.state)))
}

pub(super) async fn update(
    tx: &mut PgConnection,
    id: Uuid,
    change: &UpdateEnvironment,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE environments SET name = coalesce($2::text::citext, name),
             description = coalesce($3, description), state = coalesce($4, state),
             scheduling = scheduling || $5, version = version + 1
         WHERE id = $1",
        id,
        change.name.as_deref(),
        change.description,
        change.state.map(state_name),
        // What is absent is not in the object, and stays.
        Json(change.scheduling.unwrap_or_default()) as _
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes the row, and by it all that belongs to the environment. What runs on its hosts must
/// have been removed before.
pub(super) async fn delete(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM environments WHERE id = $1", id).execute(tx).await?;
    Ok(())
}

/// The environments that are being removed, and how many stacks each still has.
pub(super) async fn removing(db: &PgPool) -> sqlx::Result<Vec<(Uuid, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT e.id, (SELECT count(*) FROM stacks s WHERE s.environment_id = e.id) AS "left!"
           FROM environments e WHERE e.state = 'removing'"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.left)).collect())
}

/// Removes an environment whose stacks are gone; false when another replica has done it.
pub(super) async fn delete_removed(db: &PgPool, id: Uuid) -> sqlx::Result<bool> {
    let gone = sqlx::query!(
        "DELETE FROM environments e WHERE id = $1 AND state = 'removing'
             AND NOT EXISTS (SELECT FROM stacks s WHERE s.environment_id = e.id)",
        id
    )
    .execute(db)
    .await?;
    Ok(gone.rows_affected() == 1)
}

pub(super) async fn members(db: &PgPool, id: Uuid) -> sqlx::Result<Vec<Member>> {
    let rows = sqlx::query!(
        r#"SELECT p.id, p.kind, p.provider, p.provider_id, i.name::text AS "provider_name?",
               p.name, p.login, p.detail, m.role, m.created_at
           FROM environment_members m JOIN principals p ON p.id = m.principal_id
           LEFT JOIN identity_providers i ON i.id = p.provider_id
           WHERE m.environment_id = $1 ORDER BY lower(p.name)"#,
        id
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Member {
            principal: PrincipalRow {
                id: row.id,
                kind: row.kind,
                provider: row.provider,
                provider_id: row.provider_id,
                provider_name: row.provider_name,
                name: row.name,
                login: row.login,
                detail: row.detail,
            }
            .into(),
            role: Role::parse(&row.role).unwrap_or(Role::Readonly),
            created_at: Timestamp(row.created_at),
        })
        .collect())
}

/// Who has access now, with all the roles that reach them, the strongest first.
pub(super) async fn people(db: &PgPool, id: Uuid) -> sqlx::Result<Vec<EnvironmentPerson>> {
    let rows = sqlx::query!(
        r#"WITH sources AS (
               SELECT u.user_id, m.role, m.principal_id
               FROM environment_members m JOIN user_principals u USING (principal_id)
               JOIN principals p ON p.id = m.principal_id
               WHERE m.environment_id = $1
                   AND (p.provider_id IS NULL OR EXISTS (SELECT FROM live_identities l
                       WHERE l.user_id = u.user_id AND l.provider_id = p.provider_id
                           AND (u.source <> 'directory' OR l.directory_until > now())))
               UNION
               SELECT id, 'owner', NULL FROM users WHERE global_role = 'admin')
           SELECT u.id AS user_id, u.login::text AS "login!", u.display_name, s.role AS "role!",
               p.id AS "principal_id?", p.kind AS "kind?", p.provider AS "provider?",
               p.provider_id, i.name::text AS "provider_name?", p.name AS "name?",
               p.login AS principal_login, p.detail
           FROM sources s JOIN users u ON u.id = s.user_id
           LEFT JOIN principals p ON p.id = s.principal_id
           LEFT JOIN identity_providers i ON i.id = p.provider_id
           WHERE u.state = 'active' AND (u.password_hash IS NOT NULL
               OR EXISTS (SELECT FROM live_identities l WHERE l.user_id = u.id))
           ORDER BY u.id, p.name NULLS FIRST"#,
        id
    )
    .fetch_all(db)
    .await?;
    let mut people: Vec<EnvironmentPerson> = Vec::new();
    for row in rows {
        let role = Role::parse(&row.role).unwrap_or(Role::Readonly);
        let principal = match (row.principal_id, row.kind, row.provider, row.name) {
            (Some(id), Some(kind), Some(provider), Some(name)) => Some(
                PrincipalRow {
                    id,
                    kind,
                    provider,
                    provider_id: row.provider_id,
                    provider_name: row.provider_name,
                    name,
                    login: row.principal_login,
                    detail: row.detail,
                }
                .into(),
            ),
            _ => None,
        };
        let source = RoleSource { role, principal };
        match people.last_mut().filter(|person| person.user_id == row.user_id) {
            Some(person) => {
                person.role = person.role.max(role);
                person.sources.push(source);
            }
            None => people.push(EnvironmentPerson {
                user_id: row.user_id,
                login: row.login,
                display_name: row.display_name,
                role,
                sources: vec![source],
            }),
        }
    }
    for person in &mut people {
        person.sources.sort_by_key(|source| std::cmp::Reverse(source.role));
    }
    Ok(people)
}

/// Adds a member or changes its role; false when there is no such principal.
pub(super) async fn set_member(
    db: &PgPool,
    id: Uuid,
    principal: &str,
    role: Role,
) -> sqlx::Result<bool> {
    let set = sqlx::query!(
        "INSERT INTO environment_members (environment_id, principal_id, role)
         SELECT $1, p.id, $3 FROM principals p WHERE p.id = $2
         ON CONFLICT (environment_id, principal_id) DO UPDATE SET role = excluded.role",
        id,
        principal,
        role.as_str()
    )
    .execute(db)
    .await?;
    Ok(set.rows_affected() == 1)
}

pub(super) async fn remove_member(db: &PgPool, id: Uuid, principal: &str) -> sqlx::Result<bool> {
    let gone = sqlx::query!(
        "DELETE FROM environment_members WHERE environment_id = $1 AND principal_id = $2",
        id,
        principal
    )
    .execute(db)
    .await?;
    Ok(gone.rows_affected() == 1)
}
