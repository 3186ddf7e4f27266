//! The tables of stacks and their revisions.

use drover_api::ClusterKind;
use indexmap::IndexMap;
use sqlx::{PgConnection, PgPool, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    compile::Wanted,
    model::{Desired, Revision, StackRow},
};
use crate::{app::App, error::Result};

struct Row {
    id: Uuid,
    environment_id: Uuid,
    cluster_kind: String,
    name: String,
    description: String,
    desired: String,
    revision: i32,
    catalog_id: Option<Uuid>,
    template: Option<String>,
    template_version: Option<String>,
    outcome: Option<String>,
    scales: Json<IndexMap<String, u32>>,
    generations: Json<IndexMap<String, u32>>,
    problems: Json<IndexMap<String, String>>,
    remove_volumes: bool,
    force_remove: bool,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    version: i64,
}

impl From<Row> for StackRow {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            environment_id: row.environment_id,
            cluster: ClusterKind::parse(&row.cluster_kind).unwrap_or_default(),
            name: row.name,
            description: row.description,
            desired: Desired::parse(&row.desired),
            revision: row.revision,
            catalog_id: row.catalog_id,
            template: row.template,
            template_version: row.template_version,
            outcome: row.outcome,
            scales: row.scales.0,
            generations: row.generations.0,
            problems: row.problems.0,
            remove_volumes: row.remove_volumes,
            force_remove: row.force_remove,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

async fn select(
    db: &PgPool,
    environment: Option<Uuid>,
    id: Option<Uuid>,
) -> sqlx::Result<Vec<StackRow>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT s.id, s.environment_id, e.cluster_kind, s.name, s.description, s.desired, s.revision,
               s.catalog_id, s.template, r.template_version AS "template_version?",
               r.outcome AS "outcome?", s.scales AS "scales: Json<IndexMap<String, u32>>",
               s.generations AS "generations: Json<IndexMap<String, u32>>",
               s.problems AS "problems: Json<IndexMap<String, String>>", s.remove_volumes,
               s.force_remove, s.created_at, s.updated_at, s.version
           FROM stacks s JOIN environments e ON e.id = s.environment_id
           LEFT JOIN stack_revisions r ON r.stack_id = s.id AND r.revision = s.revision
           WHERE ($1::uuid IS NULL OR s.environment_id = $1) AND ($2::uuid IS NULL OR s.id = $2)
           ORDER BY s.id"#,
        environment,
        id
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// All stacks of an environment.
pub(super) async fn list(db: &PgPool, environment: Uuid) -> sqlx::Result<Vec<StackRow>> {
    select(db, Some(environment), None).await
}

/// A stack of an environment, if it is there.
pub(super) async fn get(
    db: &PgPool,
    environment: Uuid,
    id: Uuid,
) -> sqlx::Result<Option<StackRow>> {
    Ok(select(db, Some(environment), Some(id)).await?.pop())
}

/// A stack, wherever it is.
pub async fn find(db: &PgPool, id: Uuid) -> sqlx::Result<Option<StackRow>> {
    Ok(select(db, None, Some(id)).await?.pop())
}

/// Environment and id of every stack that the engine of a kind of cluster has to look after.
pub async fn in_active_environments(
    db: &PgPool,
    kind: ClusterKind,
) -> sqlx::Result<Vec<(Uuid, Uuid)>> {
    let rows = sqlx::query!(
        "SELECT s.environment_id, s.id FROM stacks s JOIN environments e ON e.id = s.environment_id
         WHERE e.state IN ('active', 'removing') AND e.cluster_kind = $1",
        kind.as_str()
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.environment_id, row.id)).collect())
}

/// Locks the row until the transaction ends, and gives its version.
pub(super) async fn lock(
    tx: &mut PgConnection,
    environment: Uuid,
    id: Uuid,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "SELECT version FROM stacks WHERE environment_id = $1 AND id = $2 FOR UPDATE",
        environment,
        id
    )
    .fetch_optional(tx)
    .await
}

/// A stack to make.
pub(super) struct NewStack<'a> {
    pub environment_id: Uuid,
    pub name: &'a str,
    pub description: &'a str,
    pub catalog_id: Option<Uuid>,
    pub template: Option<&'a str>,
}

pub(super) async fn insert(tx: &mut PgConnection, new: &NewStack<'_>) -> sqlx::Result<Uuid> {
    sqlx::query_scalar!(
        "INSERT INTO stacks (id, environment_id, name, description, desired, revision, catalog_id,
             template)
         VALUES ($1, $2, $3, $4, 'running', 1, $5, $6) RETURNING id",
        Uuid::now_v7(),
        new.environment_id,
        new.name,
        new.description,
        new.catalog_id,
        new.template
    )
    .fetch_one(tx)
    .await
}

/// A revision to make.
#[derive(Clone)]
pub(super) struct NewRevision {
    pub compose: String,
    pub variables: IndexMap<String, String>,
    pub secret_variables: Option<Vec<u8>>,
    pub secret_names: Vec<String>,
    pub template_version: Option<String>,
    pub template_compose: Option<String>,
    pub comment: String,
}

/// Makes a revision the wanted one, and marks the one before as replaced if its rollout had not
/// ended.
pub(super) async fn add_revision(
    tx: &mut PgConnection,
    stack: Uuid,
    revision: i32,
    by: &str,
    new: &NewRevision,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE stack_revisions SET outcome = 'replaced' WHERE stack_id = $1 AND outcome IS NULL",
        stack
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO stack_revisions (stack_id, revision, compose, variables, secret_variables,
             secret_names, template_version, template_compose, comment, created_by_login)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        stack,
        revision,
        new.compose,
        Json(&new.variables) as _,
        new.secret_variables,
        &new.secret_names,
        new.template_version,
        new.template_compose,
        new.comment,
        by
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE stacks SET revision = $2, desired = 'running', updated_at = now(),
             version = version + 1 WHERE id = $1",
        stack,
        revision
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn set_description(
    tx: &mut PgConnection,
    id: Uuid,
    description: &str,
) -> sqlx::Result<()> {
    sqlx::query!("UPDATE stacks SET description = $2 WHERE id = $1", id, description)
        .execute(tx)
        .await?;
    Ok(())
}

/// What a person wants of it now.
pub(super) async fn set_desired(
    tx: &mut PgConnection,
    id: Uuid,
    desired: Desired,
    remove_volumes: bool,
    force: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE stacks SET desired = $2, remove_volumes = $3, force_remove = $4,
             updated_at = now(), version = version + 1 WHERE id = $1",
        id,
        desired.as_str(),
        remove_volumes,
        force
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The names of an environment's stacks.
pub async fn names(tx: &mut PgConnection, environment: Uuid) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "SELECT name FROM stacks WHERE environment_id = $1 ORDER BY name",
        environment
    )
    .fetch_all(tx)
    .await
}

/// Has all stacks of an environment removed.
pub async fn remove_all(
    tx: &mut PgConnection,
    environment: Uuid,
    volumes: bool,
    force: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE stacks SET desired = 'removed', remove_volumes = $2, force_remove = $3,
             updated_at = now(), version = version + 1 WHERE environment_id = $1",
        environment,
        volumes,
        force
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn set_scale(
    tx: &mut PgConnection,
    id: Uuid,
    service: &str,
    scale: u32,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE stacks SET scales = jsonb_set(scales, ARRAY[$2], to_jsonb($3::bigint)),
             updated_at = now(), version = version + 1 WHERE id = $1",
        id,
        service,
        i64::from(scale)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Has the containers of these services made anew, and lets a stopped rollout go on.
pub(super) async fn renew(
    tx: &mut PgConnection,
    id: Uuid,
    services: &[String],
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE stacks SET updated_at = now(), version = version + 1, desired = 'running',
             generations = generations || (
                 SELECT coalesce(jsonb_object_agg(name, coalesce((generations->>name)::int, 0) + 1), '{}')
                 FROM unnest($2::text[]) AS name)
         WHERE id = $1",
        id,
        services
    )
    .execute(&mut *tx)
    .await?;
    retry(tx, id).await
}

/// Lets a rollout that has failed be tried again.
pub(super) async fn retry(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE stack_revisions r SET outcome = NULL FROM stacks s
         WHERE s.id = $1 AND r.stack_id = s.id AND r.revision = s.revision",
        id
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// How the rollout of a revision ended.
pub(super) async fn set_outcome(
    tx: &mut PgConnection,
    id: Uuid,
    revision: i32,
    outcome: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE stack_revisions SET outcome = $3 WHERE stack_id = $1 AND revision = $2",
        id,
        revision,
        outcome
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes the row. What runs must have been removed before.
pub async fn delete(db: &PgPool, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM stacks WHERE id = $1", id).execute(db).await?;
    Ok(())
}

pub(super) async fn revisions(
    db: &PgPool,
    stack: Uuid,
    only: Option<i32>,
) -> sqlx::Result<Vec<Revision>> {
    let rows = sqlx::query!(
        r#"SELECT revision, compose, variables AS "variables: Json<IndexMap<String, String>>",
               secret_variables, secret_names, template_version, template_compose, comment,
               created_by_login, created_at, outcome
           FROM stack_revisions
           WHERE stack_id = $1 AND ($2::int IS NULL OR revision = $2) ORDER BY revision DESC"#,
        stack,
        only
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Revision {
            revision: row.revision,
            compose: row.compose,
            variables: row.variables.0,
            secret_variables: row.secret_variables,
            secret_names: row.secret_names,
            template_version: row.template_version,
            template_compose: row.template_compose,
            comment: row.comment,
            created_by_login: row.created_by_login,
            created_at: row.created_at,
            outcome: row.outcome,
        })
        .collect())
}

/// The newest revision's number.
pub(super) async fn newest_revision(tx: &mut PgConnection, stack: Uuid) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(max(revision), 0) AS "newest!" FROM stack_revisions WHERE stack_id = $1"#,
        stack
    )
    .fetch_one(tx)
    .await
}

/// The revision that is wanted of a stack, with everything filled in: what the engine works from.
pub async fn wanted(app: &App, row: &StackRow) -> Result<Wanted> {
    let revision = revisions(&app.db, row.id, Some(row.revision))
        .await?
        .pop()
        .ok_or_else(|| crate::error::Error::internal("a stack without its revision"))?;
    Wanted::compile(app, row, &revision).await
}

/// Writes why services are not as they should be; true when that has changed.
pub async fn set_problems(
    db: &PgPool,
    stack: Uuid,
    problems: &IndexMap<String, String>,
) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "UPDATE stacks SET problems = $2 WHERE id = $1 AND problems <> $2",
        stack,
        Json(problems) as _
    )
    .execute(db)
    .await?;
    Ok(changed.rows_affected() == 1)
}
