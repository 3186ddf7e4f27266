//! The tables of what was pushed, and what follows from it: principals, accounts, memberships.
//!
//! Writes of one provider follow each other ([`lock`]): they touch many rows, in orders that would
//! otherwise make them wait for each other.

use std::collections::{HashMap, HashSet};

use drover_api::AccessMode;
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    error::uniqueness,
    model::{
        Attributes, Group, Meta, Search, Sort, User, nested, no_such_member, show_group, show_user,
    },
};
use crate::{
    error::{Error, Result, is_unique_violation},
    providers::{Named, ProviderRow, Scheme, accounts},
};

/// Why an account that was deactivated does not count, in `identities.refused`.
const DEACTIVATED: &str = "deactivated by SCIM";
/// The most members in a page of groups: a page that would have more is shorter.
const MOST_MEMBERS: i64 = 20_000;

// ---- tokens

/// A provider whose token was shown.
pub(super) struct TokenRow {
    pub name: String,
    pub enabled: bool,
    /// Whether its last use is so long ago that it is written down.
    pub touch: bool,
}

/// The provider, if this is the hash of its token.
pub(super) async fn provider_by_token(
    db: &PgPool,
    id: Uuid,
    hash: &[u8],
) -> sqlx::Result<Option<TokenRow>> {
    sqlx::query_as!(
        TokenRow,
        r#"SELECT name::text AS "name!", enabled,
               coalesce(scim_last_used_at < now() - interval '1 minute', true) AS "touch!"
           FROM identity_providers WHERE scim_token_hash = $2 AND id = $1 AND kind = 'openid'"#,
        id,
        hash
    )
    .fetch_optional(db)
    .await
}

/// Notes that a token was used.
pub(super) async fn touch_token(db: &PgPool, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("UPDATE identity_providers SET scim_last_used_at = now() WHERE id = $1", id)
        .execute(db)
        .await?;
    Ok(())
}

/// Sets or takes away a provider's token: its hash, and its beginning.
pub(super) async fn set_token(
    db: &PgPool,
    id: Uuid,
    token: Option<(&[u8], &str)>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE identity_providers SET scim_token_hash = $2, scim_token_prefix = $3,
             scim_last_used_at = NULL, version = version + 1
         WHERE id = $1",
        id,
        token.map(|(hash, _)| hash),
        token.map(|(_, prefix)| prefix)
    )
    .execute(db)
    .await?;
    if token.is_none() {
        // Nobody tells of changes any more: what was pushed grows old as all else does.
        sqlx::query!(
            "UPDATE identities SET pushed = false, checked_at = 'epoch'
             WHERE provider_id = $1 AND pushed",
            id
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// Held until the transaction ends: a provider's writes one after the other.
pub(super) async fn lock(tx: &mut PgConnection, provider: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('scim ' || $1::text, 0))",
        provider.to_string()
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn taken(what: &str) -> impl Fn(sqlx::Error) -> Error {
    let detail = format!("Another {what} of this provider has this name or external id.");
    move |error| if is_unique_violation(&error) { uniqueness(&*detail) } else { error.into() }
}

// ---- users

/// A pushed user.
pub(super) struct UserRow {
    pub meta: Meta,
    pub principal_id: String,
    pub user: User,
}

fn attributes(resource: Value) -> Attributes {
    match resource {
        Value::Object(attributes) => attributes,
        _ => Attributes::new(),
    }
}

/// A pushed user, if this provider has one with this id.
pub(super) async fn user(
    db: &mut PgConnection,
    provider: Uuid,
    id: Uuid,
) -> sqlx::Result<Option<UserRow>> {
    Ok(users_by_id(db, provider, &[id]).await?.pop())
}

/// Pushed users, in the order of the ids.
pub(super) async fn users_by_id(
    db: &mut PgConnection,
    provider: Uuid,
    ids: &[Uuid],
) -> sqlx::Result<Vec<UserRow>> {
    let rows = sqlx::query!(
        "SELECT s.id, s.principal_id, s.resource, s.created_at, s.updated_at, s.version
         FROM unnest($2::uuid[]) WITH ORDINALITY AS wanted (id, place)
         JOIN scim_users s ON s.id = wanted.id
         WHERE s.provider_id = $1 ORDER BY wanted.place",
        provider,
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| UserRow {
            meta: Meta {
                id: row.id,
                created_at: row.created_at,
                updated_at: row.updated_at,
                version: row.version,
            },
            principal_id: row.principal_id,
            user: User::stored(attributes(row.resource)),
        })
        .collect())
}

/// How many users match, and those of the page.
pub(super) async fn search_users(
    db: &mut PgConnection,
    provider: Uuid,
    search: &Search,
    base: &str,
) -> Result<(i64, Vec<UserRow>)> {
    if search.filter.is_none() && search.sort.is_none() {
        let total = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM scim_users WHERE provider_id = $1"#,
            provider
        )
        .fetch_one(&mut *db)
        .await?;
        let ids = sqlx::query_scalar!(
            "SELECT id FROM scim_users WHERE provider_id = $1 ORDER BY id LIMIT $2 OFFSET $3",
            provider,
            search.limit,
            search.offset
        )
        .fetch_all(&mut *db)
        .await?;
        return Ok((total, users_by_id(db, provider, &ids).await?));
    }
    let links = match search.filter.as_ref().map(|filter| filter.links("groups")).transpose()? {
        Some(Some(groups)) => memberships(db, provider, &groups, &[]).await?,
        _ => Vec::new(),
    };
    let mut groups: HashMap<Uuid, Vec<Value>> = HashMap::new();
    for (group, user) in links {
        groups.entry(user).or_default().push(json!({ "value": group }));
    }
    let required = |name| search.filter.as_ref().and_then(|filter| filter.required(name));
    let mut found = Vec::new();
    {
        let mut rows = sqlx::query!(
            "SELECT id, resource, created_at, updated_at, version FROM scim_users
             WHERE provider_id = $1 AND ($2::text IS NULL OR user_name = $2::text::citext)
                 AND ($3::text IS NULL OR external_id = $3) AND ($4::uuid IS NULL OR id = $4)
             ORDER BY id",
            provider,
            required("userName"),
            required("externalId"),
            required("id").map(as_id)
        )
        .fetch(&mut *db);
        while let Some(row) = rows.try_next().await? {
            let meta = Meta {
                id: row.id,
                created_at: row.created_at,
                updated_at: row.updated_at,
                version: row.version,
            };
            let user = User::stored(attributes(row.resource));
            let groups = groups.remove(&row.id).unwrap_or_default();
            let shown = show_user(&meta, &user, groups, base);
            if search.filter.as_ref().is_none_or(|filter| filter.matches(&shown)) {
                found.push((sort_key(search.sort.as_ref(), &shown), row.id));
            }
        }
    }
    let (total, ids) = page(found, search);
    Ok((total, users_by_id(db, provider, &ids).await?))
}

/// What is not an id is that of nothing.
fn as_id(text: &str) -> Uuid {
    text.parse().unwrap_or_default()
}

fn sort_key(sort: Option<&Sort>, resource: &Value) -> (bool, String) {
    sort.map(|sort| sort.key(resource)).unwrap_or_default()
}

/// How many there are, and the ids of the page.
fn page(mut found: Vec<((bool, String), Uuid)>, search: &Search) -> (i64, Vec<Uuid>) {
    if let Some(sort) = &search.sort {
        found.sort();
        if sort.descending {
            found.reverse();
        }
    }
    let total = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let (offset, limit) = (
        usize::try_from(search.offset).unwrap_or(usize::MAX),
        usize::try_from(search.limit).unwrap_or_default(),
    );
    (total, found.into_iter().skip(offset).take(limit).map(|(_, id)| id).collect())
}

/// The groups that users are in: id and name, by user.
pub(super) async fn groups_of(
    db: &mut PgConnection,
    users: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, Vec<(Uuid, String)>>> {
    let rows = sqlx::query!(
        r#"SELECT m.user_id, g.id, g.display_name::text AS "name!"
           FROM scim_members m JOIN scim_groups g ON g.id = m.group_id
           WHERE m.user_id = ANY ($1) ORDER BY g.id"#,
        users
    )
    .fetch_all(db)
    .await?;
    let mut groups: HashMap<Uuid, Vec<(Uuid, String)>> = HashMap::new();
    for row in rows {
        groups.entry(row.user_id).or_default().push((row.id, row.name));
    }
    Ok(groups)
}

/// Makes a user: what was pushed, the principal, and the account.
pub(super) async fn insert_user(
    tx: &mut PgConnection,
    provider: &ProviderRow,
    user: &User,
) -> Result<(UserRow, Uuid)> {
    let id = Uuid::now_v7();
    let principal = provider.principal_id(Scheme::User, user.key());
    let user_id = ensure_account(tx, provider, &principal, user).await?;
    let row = sqlx::query!(
        "INSERT INTO scim_users (id, provider_id, principal_id, user_name, external_id, active,
             resource)
         VALUES ($1, $2, $3, $4::text::citext, $5, $6, $7)
         RETURNING created_at, updated_at, version",
        id,
        provider.id,
        principal,
        user.user_name(),
        user.external_id(),
        user.active(),
        Value::Object(user.attributes().clone())
    )
    .fetch_one(&mut *tx)
    .await
    .map_err(taken("user"))?;
    if user.active() {
        activate(tx, &principal).await?;
    } else {
        deactivate(tx, &principal).await?;
    }
    let meta =
        Meta { id, created_at: row.created_at, updated_at: row.updated_at, version: row.version };
    Ok((UserRow { meta, principal_id: principal, user: user.clone() }, user_id))
}

/// What an update has done.
pub(super) struct Updated {
    /// The Drover user.
    pub user_id: Uuid,
    /// Whether somebody may do now what they might not before, or the reverse.
    pub access: bool,
}

/// Puts a user in place of what was.
pub(super) async fn update_user(
    tx: &mut PgConnection,
    provider: &ProviderRow,
    before: &mut UserRow,
    user: User,
) -> Result<Updated> {
    let (id, was_active) = (before.meta.id, before.user.active());
    let principal = provider.principal_id(Scheme::User, user.key());
    let moved = principal != before.principal_id;
    let row = sqlx::query!(
        "UPDATE scim_users SET user_name = $2::text::citext, external_id = $3, active = $4,
             resource = $5, updated_at = now(), version = version + 1
         WHERE id = $1 RETURNING updated_at, version",
        id,
        user.user_name(),
        user.external_id(),
        user.active(),
        Value::Object(user.attributes().clone())
    )
    .fetch_one(&mut *tx)
    .await
    .map_err(taken("user"))?;
    if moved {
        move_principal(tx, &before.principal_id, &principal).await.map_err(taken("user"))?;
    }
    let user_id = ensure_account(tx, provider, &principal, &user).await?;
    if user.active() && !was_active {
        activate(tx, &principal).await?;
    } else if !user.active() && was_active {
        deactivate(tx, &principal).await?;
    }
    before.meta.updated_at = row.updated_at;
    before.meta.version = row.version;
    before.principal_id = principal;
    let access = moved || user.active() != was_active;
    before.user = user;
    Ok(Updated { user_id, access })
}

/// Removes a user and all that the account had: who gets the same name later gets nothing of it.
/// The Drover user goes with it, unless they can sign in otherwise.
pub(super) async fn delete_user(tx: &mut PgConnection, row: &UserRow) -> Result<()> {
    deactivate(tx, &row.principal_id).await?;
    sqlx::query!(
        "DELETE FROM users u USING identities i
         WHERE i.principal_id = $1 AND u.id = i.user_id AND u.password_hash IS NULL
             AND NOT EXISTS (SELECT FROM identities o
                 WHERE o.user_id = u.id AND o.principal_id <> i.principal_id)",
        row.principal_id
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM principals WHERE id = $1", row.principal_id).execute(tx).await?;
    Ok(())
}

/// The account of a pushed user: found, or made with its Drover user. What is shown of it is as
/// pushed.
async fn ensure_account(
    tx: &mut PgConnection,
    provider: &ProviderRow,
    principal: &str,
    user: &User,
) -> Result<Uuid> {
    let (name, login) = (user.display_name(), user.user_name());
    learn(tx, provider, Scheme::User, user.key(), &name, Some(login)).await?;
    let (user_id, _) = accounts::ensure_user(tx, principal, login, &name, user.email()).await?;
    sqlx::query!(
        "INSERT INTO identities (user_id, provider_id, principal_id, login, pushed)
         VALUES ($1, $2, $3, $4, true)
         ON CONFLICT (principal_id) DO UPDATE SET login = excluded.login, pushed = true",
        user_id,
        provider.id,
        principal,
        login
    )
    .execute(&mut *tx)
    .await?;
    accounts::bring_pushed(tx, principal).await?;
    Ok(user_id)
}

/// The account counts again, unless something else speaks against it.
async fn activate(tx: &mut PgConnection, principal: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE identities SET refused = NULL, error = NULL
         WHERE principal_id = $1 AND refused = $2",
        principal,
        DEACTIVATED
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The account counts no more: its sessions end, and the groups that were pushed are taken away
/// from the Drover user, who may have other accounts.
async fn deactivate(tx: &mut PgConnection, principal: &str) -> sqlx::Result<()> {
    accounts::refuse(tx, principal, DEACTIVATED).await?;
    sqlx::query!(
        "DELETE FROM user_principals u USING identities i, principals g
         WHERE i.principal_id = $1 AND u.user_id = i.user_id AND u.source = 'scim'
             AND g.id = u.principal_id AND g.provider_id = i.provider_id",
        principal
    )
    .execute(tx)
    .await?;
    Ok(())
}

// ---- groups

/// A pushed group.
pub(super) struct GroupRow {
    pub meta: Meta,
    pub principal_id: String,
    pub display_name: String,
    pub external_id: Option<String>,
}

impl GroupRow {
    fn key(&self) -> &str {
        self.external_id.as_deref().unwrap_or(&self.display_name)
    }
}

/// A pushed group, if this provider has one with this id.
pub(super) async fn group(
    db: &mut PgConnection,
    provider: Uuid,
    id: Uuid,
) -> sqlx::Result<Option<GroupRow>> {
    Ok(groups_by_id(db, provider, &[id]).await?.pop())
}

async fn groups_by_id(
    db: &mut PgConnection,
    provider: Uuid,
    ids: &[Uuid],
) -> sqlx::Result<Vec<GroupRow>> {
    let rows = sqlx::query!(
        r#"SELECT g.id, g.principal_id, g.display_name::text AS "display_name!", g.external_id,
               g.created_at, g.updated_at, g.version
           FROM unnest($2::uuid[]) WITH ORDINALITY AS wanted (id, place)
           JOIN scim_groups g ON g.id = wanted.id
           WHERE g.provider_id = $1 ORDER BY wanted.place"#,
        provider,
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| GroupRow {
            meta: Meta {
                id: row.id,
                created_at: row.created_at,
                updated_at: row.updated_at,
                version: row.version,
            },
            principal_id: row.principal_id,
            display_name: row.display_name,
            external_id: row.external_id,
        })
        .collect())
}

/// How many groups match, and those of the page. With members, a page is cut where it would have
/// too many; at least one group is in it.
pub(super) async fn search_groups(
    db: &mut PgConnection,
    provider: Uuid,
    search: &Search,
    base: &str,
) -> Result<(i64, Vec<GroupRow>)> {
    let links = match search.filter.as_ref().map(|filter| filter.links("members")).transpose()? {
        Some(Some(users)) => memberships(db, provider, &[], &users).await?,
        _ => Vec::new(),
    };
    let mut members: HashMap<Uuid, Vec<Value>> = HashMap::new();
    for (group, user) in links {
        members.entry(group).or_default().push(json!({ "value": user }));
    }
    let required = |name| search.filter.as_ref().and_then(|filter| filter.required(name));
    let mut found = Vec::new();
    {
        let mut rows = sqlx::query!(
            r#"SELECT id, display_name::text AS "display_name!", external_id, created_at,
                   updated_at, version
               FROM scim_groups
               WHERE provider_id = $1 AND ($2::text IS NULL OR display_name = $2::text::citext)
                   AND ($3::text IS NULL OR external_id = $3) AND ($4::uuid IS NULL OR id = $4)
               ORDER BY id"#,
            provider,
            required("displayName"),
            required("externalId"),
            required("id").map(as_id)
        )
        .fetch(&mut *db);
        while let Some(row) = rows.try_next().await? {
            let meta = Meta {
                id: row.id,
                created_at: row.created_at,
                updated_at: row.updated_at,
                version: row.version,
            };
            let members = members.remove(&row.id).unwrap_or_default();
            let name = &row.display_name;
            let shown = show_group(&meta, name, row.external_id.as_deref(), members, base);
            if search.filter.as_ref().is_none_or(|filter| filter.matches(&shown)) {
                found.push((sort_key(search.sort.as_ref(), &shown), row.id));
            }
        }
    }
    let (total, mut ids) = page(found, search);
    if search.projection.wants("members") {
        cut(db, &mut ids).await?;
    }
    Ok((total, groups_by_id(db, provider, &ids).await?))
}

async fn cut(db: &mut PgConnection, ids: &mut Vec<Uuid>) -> sqlx::Result<()> {
    let rows = sqlx::query!(
        r#"SELECT group_id, count(*) AS "count!" FROM scim_members WHERE group_id = ANY ($1)
           GROUP BY group_id"#,
        &*ids
    )
    .fetch_all(db)
    .await?;
    let counts: HashMap<Uuid, i64> =
        rows.into_iter().map(|row| (row.group_id, row.count)).collect();
    let mut sum = 0;
    let fit = ids
        .iter()
        .take_while(|id| {
            sum += counts.get(*id).copied().unwrap_or(0);
            sum <= MOST_MEMBERS
        })
        .count();
    ids.truncate(fit.max(1));
    Ok(())
}

/// Which of these groups, and which of these users, belong together: group and user. One of the
/// lists is empty: all.
async fn memberships(
    db: &mut PgConnection,
    provider: Uuid,
    groups: &[String],
    users: &[String],
) -> sqlx::Result<Vec<(Uuid, Uuid)>> {
    let ids = |all: &[String]| all.iter().filter_map(|id| id.parse().ok()).collect::<Vec<Uuid>>();
    let rows = sqlx::query!(
        "SELECT m.group_id, m.user_id FROM scim_members m JOIN scim_groups g ON g.id = m.group_id
         WHERE g.provider_id = $1 AND (m.group_id = ANY ($2) OR m.user_id = ANY ($3))",
        provider,
        &ids(groups),
        &ids(users)
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.group_id, row.user_id)).collect())
}

/// The members of groups: id and name, by group.
pub(super) async fn members_of(
    db: &mut PgConnection,
    groups: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, Vec<(Uuid, String)>>> {
    let rows = sqlx::query!(
        r#"SELECT m.group_id, s.id,
               coalesce(nullif(s.resource ->> 'displayName', ''), s.user_name::text) AS "name!"
           FROM scim_members m JOIN scim_users s ON s.id = m.user_id
           WHERE m.group_id = ANY ($1) ORDER BY s.id"#,
        groups
    )
    .fetch_all(db)
    .await?;
    let mut members: HashMap<Uuid, Vec<(Uuid, String)>> = HashMap::new();
    for row in rows {
        members.entry(row.group_id).or_default().push((row.id, row.name));
    }
    Ok(members)
}

/// Makes a group and the principal that roles are given to; without members.
pub(super) async fn insert_group(
    tx: &mut PgConnection,
    provider: &ProviderRow,
    group: &Group,
) -> Result<GroupRow> {
    let id = Uuid::now_v7();
    let principal = provider.principal_id(Scheme::Group, group.key());
    learn(tx, provider, Scheme::Group, group.key(), &group.display_name, None).await?;
    let row = sqlx::query!(
        "INSERT INTO scim_groups (id, provider_id, principal_id, display_name, external_id)
         VALUES ($1, $2, $3, $4::text::citext, $5) RETURNING created_at, updated_at, version",
        id,
        provider.id,
        principal,
        group.display_name,
        group.external_id
    )
    .fetch_one(&mut *tx)
    .await
    .map_err(taken("group"))?;
    let meta =
        Meta { id, created_at: row.created_at, updated_at: row.updated_at, version: row.version };
    Ok(GroupRow {
        meta,
        principal_id: principal,
        display_name: group.display_name.clone(),
        external_id: group.external_id.clone(),
    })
}

/// Writes down a group as it is in `group` now, with a new version. True when its principal has
/// become another.
pub(super) async fn update_group(
    tx: &mut PgConnection,
    provider: &ProviderRow,
    group: &mut GroupRow,
) -> Result<bool> {
    let principal = provider.principal_id(Scheme::Group, group.key());
    let row = sqlx::query!(
        "UPDATE scim_groups SET display_name = $2::text::citext, external_id = $3,
             updated_at = now(), version = version + 1
         WHERE id = $1 RETURNING updated_at, version",
        group.meta.id,
        group.display_name,
        group.external_id
    )
    .fetch_one(&mut *tx)
    .await
    .map_err(taken("group"))?;
    let moved = principal != group.principal_id;
    if moved {
        move_principal(tx, &group.principal_id, &principal).await.map_err(taken("group"))?;
    }
    learn(tx, provider, Scheme::Group, group.key(), &group.display_name, None).await?;
    group.principal_id = principal;
    group.meta.updated_at = row.updated_at;
    group.meta.version = row.version;
    Ok(moved)
}

/// Removes a group. Its principal goes too, with the roles that it was given, unless sign-ins
/// still bring it.
pub(super) async fn delete_group(tx: &mut PgConnection, group: &GroupRow) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM scim_groups WHERE id = $1", group.meta.id).execute(&mut *tx).await?;
    sqlx::query!(
        "DELETE FROM user_principals WHERE principal_id = $1 AND source = 'scim'",
        group.principal_id
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "DELETE FROM principals p WHERE p.id = $1
             AND NOT EXISTS (SELECT FROM user_principals u WHERE u.principal_id = p.id)",
        group.principal_id
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Puts users into a group; those who came in.
pub(super) async fn join(
    tx: &mut PgConnection,
    provider: Uuid,
    group: &GroupRow,
    users: &HashSet<Uuid>,
) -> Result<Vec<Uuid>> {
    let users: Vec<Uuid> = users.iter().copied().collect();
    let unknown = sqlx::query!(
        r#"SELECT wanted.id AS "id!",
               EXISTS (SELECT FROM scim_groups g WHERE g.id = wanted.id) AS "group!"
           FROM unnest($2::uuid[]) AS wanted (id)
           WHERE NOT EXISTS (SELECT FROM scim_users s
               WHERE s.id = wanted.id AND s.provider_id = $1)
           LIMIT 1"#,
        provider,
        &users
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(unknown) = unknown {
        return Err(if unknown.group { nested() } else { no_such_member(&unknown.id.to_string()) });
    }
    let joined = sqlx::query_scalar!(
        "INSERT INTO scim_members (group_id, user_id) SELECT $1, id FROM unnest($2::uuid[]) AS id
         ON CONFLICT DO NOTHING RETURNING user_id",
        group.meta.id,
        &users
    )
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO user_principals (user_id, principal_id, source)
         SELECT i.user_id, $1, 'scim'
         FROM scim_users s JOIN identities i ON i.principal_id = s.principal_id
         WHERE s.id = ANY ($2) AND s.active
         ON CONFLICT DO NOTHING",
        group.principal_id,
        &joined
    )
    .execute(tx)
    .await?;
    Ok(joined)
}

/// Takes users out of a group; those who left.
pub(super) async fn leave(
    tx: &mut PgConnection,
    group: &GroupRow,
    users: &HashSet<Uuid>,
) -> sqlx::Result<Vec<Uuid>> {
    let users: Vec<Uuid> = users.iter().copied().collect();
    let left = sqlx::query_scalar!(
        "DELETE FROM scim_members WHERE group_id = $1 AND user_id = ANY ($2) RETURNING user_id",
        group.meta.id,
        &users
    )
    .fetch_all(&mut *tx)
    .await?;
    lose(tx, group, &left).await?;
    Ok(left)
}

/// Takes all out of a group but these; those who left.
pub(super) async fn leave_all_but(
    tx: &mut PgConnection,
    group: &GroupRow,
    users: &HashSet<Uuid>,
) -> sqlx::Result<Vec<Uuid>> {
    let users: Vec<Uuid> = users.iter().copied().collect();
    let left = sqlx::query_scalar!(
        "DELETE FROM scim_members
         WHERE group_id = $1 AND user_id NOT IN (SELECT unnest($2::uuid[])) RETURNING user_id",
        group.meta.id,
        &users
    )
    .fetch_all(&mut *tx)
    .await?;
    lose(tx, group, &left).await?;
    Ok(left)
}

async fn lose(tx: &mut PgConnection, group: &GroupRow, users: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM user_principals u USING scim_users s, identities i
         WHERE s.id = ANY ($2) AND i.principal_id = s.principal_id AND u.user_id = i.user_id
             AND u.principal_id = $1 AND u.source = 'scim'",
        group.principal_id,
        users
    )
    .execute(tx)
    .await?;
    Ok(())
}

// ---- principals

/// A user or group that has got another name for good: the roles that it was given stay its own.
/// Where a role was given to the new principal already, that one counts.
async fn move_principal(tx: &mut PgConnection, old: &str, new: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO principals (id, kind, provider, provider_id, name, login, detail)
         SELECT $2, kind, provider, provider_id, name, login, detail FROM principals WHERE id = $1
         ON CONFLICT DO NOTHING",
        old,
        new
    )
    .execute(&mut *tx)
    .await?;
    // Fails when the new principal is that of another user or group.
    sqlx::query!("UPDATE scim_users SET principal_id = $2 WHERE principal_id = $1", old, new)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("UPDATE scim_groups SET principal_id = $2 WHERE principal_id = $1", old, new)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("UPDATE identities SET principal_id = $2 WHERE principal_id = $1", old, new)
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        "UPDATE environment_members m SET principal_id = $2 WHERE principal_id = $1
             AND NOT EXISTS (SELECT FROM environment_members o
                 WHERE o.environment_id = m.environment_id AND o.principal_id = $2)",
        old,
        new
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE provider_principals m SET principal_id = $2 WHERE principal_id = $1
             AND NOT EXISTS (SELECT FROM provider_principals o
                 WHERE o.provider_id = m.provider_id AND o.principal_id = $2)",
        old,
        new
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE user_principals m SET principal_id = $2 WHERE principal_id = $1
             AND NOT EXISTS (SELECT FROM user_principals o
                 WHERE o.user_id = m.user_id AND o.principal_id = $2 AND o.source = m.source)",
        old,
        new
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("DELETE FROM principals WHERE id = $1", old).execute(tx).await?;
    Ok(())
}

async fn learn(
    tx: &mut PgConnection,
    provider: &ProviderRow,
    scheme: Scheme,
    id: &str,
    name: &str,
    login: Option<&str>,
) -> sqlx::Result<()> {
    let (id, name, login) = (id.to_owned(), name.to_owned(), login.map(str::to_owned));
    let named = Named { scheme, id, name, login, detail: None };
    accounts::learn(tx, provider, &[named.tidy()]).await
}

/// Applies the provider's access rules to people who have lost a group, or who come back: true
/// when somebody may in no more.
pub(super) async fn apply_rules(
    tx: &mut PgConnection,
    provider: &ProviderRow,
    pushed: &[Uuid],
) -> Result<bool> {
    let open = provider.access_mode == AccessMode::Unrestricted;
    if pushed.is_empty() || (open && provider.allowed_groups.is_empty()) {
        return Ok(false);
    }
    let users = sqlx::query_scalar!(
        "SELECT i.user_id FROM scim_users s JOIN identities i ON i.principal_id = s.principal_id
         WHERE s.id = ANY ($1)",
        pushed
    )
    .fetch_all(&mut *tx)
    .await?;
    accounts::apply_rules(tx, provider, Some(&users)).await
}
