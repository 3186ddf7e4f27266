//! The tables of catalogs, their templates and versions.

use drover_api::{Catalog, CatalogKind, CatalogProblem, Timestamp};
use indexmap::IndexMap;
use sqlx::{PgPool, types::Json};
use uuid::Uuid;

use super::{
    model::{Template, TemplateVersion, Text, sort_versions},
    read::Contents,
};

fn kind_name(kind: CatalogKind) -> &'static str {
    match kind {
        CatalogKind::Builtin => "builtin",
        CatalogKind::Directory => "directory",
        CatalogKind::Git => "git",
    }
}

fn parse_kind(name: &str) -> CatalogKind {
    match name {
        "builtin" => CatalogKind::Builtin,
        "directory" => CatalogKind::Directory,
        _ => CatalogKind::Git,
    }
}

pub(super) async fn list(db: &PgPool) -> sqlx::Result<Vec<Catalog>> {
    select(db, None).await
}

pub(super) async fn get(db: &PgPool, id: Uuid) -> sqlx::Result<Option<Catalog>> {
    Ok(select(db, Some(id)).await?.pop())
}

async fn select(db: &PgPool, id: Option<Uuid>) -> sqlx::Result<Vec<Catalog>> {
    let rows = sqlx::query!(
        r#"SELECT c.id, c.name::text AS "name!", c.description, c.kind, c.location, c.branch,
               c.username, c.secret IS NOT NULL AS "has_credentials!", c.commit,
               (SELECT count(*) FROM catalog_templates t WHERE t.catalog_id = c.id)
                   AS "templates!",
               coalesce(c.refreshing_since > now() - interval '10 minutes', false)
                   AS "refreshing!",
               c.checked_at, c.refreshed_at, c.error,
               c.problems AS "problems: Json<Vec<CatalogProblem>>", c.created_at, c.version
           FROM catalogs c WHERE $1::uuid IS NULL OR c.id = $1 ORDER BY c.id"#,
        id
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Catalog {
            id: row.id,
            name: row.name,
            description: row.description,
            kind: parse_kind(&row.kind),
            location: row.location,
            branch: row.branch,
            username: row.username,
            has_credentials: row.has_credentials,
            commit: row.commit,
            templates: row.templates.try_into().unwrap_or(u32::MAX),
            refreshing: row.refreshing,
            checked_at: row.checked_at.map(Timestamp),
            refreshed_at: row.refreshed_at.map(Timestamp),
            error: row.error,
            problems: row.problems.0,
            created_at: Timestamp(row.created_at),
            version: row.version,
        })
        .collect())
}

/// What people set of a catalog.
pub(super) struct Row<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub location: Option<&'a str>,
    pub branch: Option<&'a str>,
    pub username: Option<&'a str>,
    pub secret: Option<&'a [u8]>,
}

pub(super) async fn insert(db: &PgPool, kind: CatalogKind, row: &Row<'_>) -> sqlx::Result<Uuid> {
    sqlx::query_scalar!(
        "INSERT INTO catalogs (id, name, description, kind, location, branch, username, secret)
         VALUES ($1, $2::text::citext, $3, $4, $5, $6, $7, $8) RETURNING id",
        Uuid::now_v7(),
        row.name,
        row.description,
        kind_name(kind),
        row.location,
        row.branch,
        row.username,
        row.secret
    )
    .fetch_one(db)
    .await
}

/// Changes a catalog if nobody else has since `version`.
pub(super) async fn update(
    db: &PgPool,
    id: Uuid,
    version: i64,
    row: &Row<'_>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE catalogs SET name = $3::text::citext, description = $4, location = $5, branch = $6,
             username = $7, secret = $8, version = version + 1
         WHERE id = $1 AND version = $2",
        id,
        version,
        row.name,
        row.description,
        row.location,
        row.branch,
        row.username,
        row.secret
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn delete(db: &PgPool, id: Uuid) -> sqlx::Result<bool> {
    let gone =
        sqlx::query!("DELETE FROM catalogs WHERE id = $1 AND kind = 'git'", id).execute(db).await?;
    Ok(gone.rows_affected() == 1)
}

pub(super) async fn secret(db: &PgPool, id: Uuid) -> sqlx::Result<Option<Vec<u8>>> {
    let row = sqlx::query_scalar!("SELECT secret FROM catalogs WHERE id = $1", id);
    Ok(row.fetch_optional(db).await?.flatten())
}

/// The one catalog of a kind that is not from Git.
pub(super) async fn by_kind(db: &PgPool, kind: CatalogKind) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!("SELECT id FROM catalogs WHERE kind = $1", kind_name(kind))
        .fetch_optional(db)
        .await
}

pub(super) async fn set_location(db: &PgPool, id: Uuid, location: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE catalogs SET location = $2 WHERE id = $1", id, location)
        .execute(db)
        .await?;
    Ok(())
}

/// Removes the catalog of a folder that the settings no longer name.
pub(super) async fn forget_directory(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM catalogs WHERE kind = 'directory'").execute(db).await?;
    Ok(())
}

/// The repositories that are due to be read again.
pub(super) async fn due(db: &PgPool, minutes: u32) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "SELECT id FROM catalogs WHERE kind = 'git' AND (checked_at IS NULL
             OR checked_at < now() - make_interval(mins => $1::integer))",
        i32::try_from(minutes).unwrap_or(i32::MAX)
    )
    .fetch_all(db)
    .await
}

/// Claims a catalog for being read; false while another server reads it.
pub(super) async fn claim(db: &PgPool, id: Uuid) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE catalogs SET refreshing_since = now() WHERE id = $1
             AND (refreshing_since IS NULL OR refreshing_since < now() - interval '10 minutes')",
        id
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn failed(db: &PgPool, id: Uuid, error: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE catalogs SET refreshing_since = NULL, checked_at = now(), error = $2 WHERE id = $1",
        id,
        error
    )
    .execute(db)
    .await?;
    Ok(())
}

/// It has been read, and is what it was.
pub(super) async fn unchanged(db: &PgPool, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE catalogs SET refreshing_since = NULL, checked_at = now(), error = NULL
         WHERE id = $1",
        id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Puts what was read in the place of what was there.
pub(super) async fn replace(
    db: &PgPool,
    id: Uuid,
    commit: &str,
    contents: &Contents,
) -> sqlx::Result<()> {
    let problems: Vec<_> = contents.problems.iter().take(100).collect();
    let mut tx = db.begin().await?;
    let there = sqlx::query!(
        "UPDATE catalogs SET refreshing_since = NULL, checked_at = now(), refreshed_at = now(),
             error = NULL, commit = $2, problems = $3, categories = $4,
             description = CASE WHEN description = '' THEN $5 ELSE description END
         WHERE id = $1",
        id,
        commit,
        Json(problems) as _,
        Json(&contents.info.categories) as _,
        contents.info.description.get("en")
    )
    .execute(&mut *tx)
    .await?;
    if there.rows_affected() == 0 {
        // Somebody removed it meanwhile.
        return Ok(());
    }
    sqlx::query!("DELETE FROM catalog_templates WHERE catalog_id = $1", id)
        .execute(&mut *tx)
        .await?;
    for (name, entry) in &contents.templates {
        sqlx::query!(
            "INSERT INTO catalog_templates (catalog_id, template, definition, readme, icon)
             VALUES ($1, $2, $3, $4, $5)",
            id,
            name,
            Json(&entry.template) as _,
            entry.readme,
            entry.icon
        )
        .execute(&mut *tx)
        .await?;
        for (version, definition) in &entry.versions {
            sqlx::query!(
                "INSERT INTO catalog_versions (catalog_id, template, version, definition, compose)
                 VALUES ($1, $2, $3, $4, $5)",
                id,
                name,
                version,
                Json(definition) as _,
                entry.compose.get(version).map(String::as_str).unwrap_or_default()
            )
            .execute(&mut *tx)
            .await?;
        }
    }
    tx.commit().await
}

/// A template in lists.
pub(super) struct Listed {
    pub catalog_id: Uuid,
    pub catalog: String,
    pub template: String,
    pub definition: Template,
    pub has_icon: bool,
    pub versions: IndexMap<String, TemplateVersion>,
}

/// All templates, or those of a catalog, or one.
pub(super) async fn templates(
    db: &PgPool,
    catalog_id: Option<Uuid>,
    template: Option<&str>,
) -> sqlx::Result<Vec<Listed>> {
    // The questions are left out: lists would be large with them.
    let rows = sqlx::query!(
        r#"SELECT t.catalog_id, c.name::text AS "catalog!", t.template,
               t.definition AS "definition: Json<Template>", t.icon IS NOT NULL AS "has_icon!",
               (SELECT jsonb_object_agg(v.version, v.definition - 'questions')
                FROM catalog_versions v
                WHERE v.catalog_id = t.catalog_id AND v.template = t.template)
                   AS "versions: Json<IndexMap<String, TemplateVersion>>"
           FROM catalog_templates t JOIN catalogs c ON c.id = t.catalog_id
           WHERE ($1::uuid IS NULL OR t.catalog_id = $1) AND ($2::text IS NULL OR t.template = $2)
           ORDER BY t.template, c.id"#,
        catalog_id,
        template
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let mut versions = row.versions.map(|versions| versions.0).unwrap_or_default();
            sort_versions(&mut versions);
            Listed {
                catalog_id: row.catalog_id,
                catalog: row.catalog,
                template: row.template,
                definition: row.definition.0,
                has_icon: row.has_icon,
                versions,
            }
        })
        .collect())
}

/// The categories with their translations, of all catalogs.
pub(super) async fn categories(db: &PgPool) -> sqlx::Result<Vec<Text>> {
    let rows = sqlx::query_scalar!(
        r#"SELECT categories AS "categories: Json<Vec<Text>>" FROM catalogs ORDER BY id"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().flat_map(|row| row.0).collect())
}

pub(super) async fn readme(db: &PgPool, id: Uuid, template: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "SELECT readme FROM catalog_templates WHERE catalog_id = $1 AND template = $2",
        id,
        template
    )
    .fetch_optional(db)
    .await
}

pub(super) async fn icon(db: &PgPool, id: Uuid, template: &str) -> sqlx::Result<Option<String>> {
    let icon = sqlx::query_scalar!(
        "SELECT icon FROM catalog_templates WHERE catalog_id = $1 AND template = $2",
        id,
        template
    );
    Ok(icon.fetch_optional(db).await?.flatten())
}

/// A version with its Compose text.
pub(super) async fn version(
    db: &PgPool,
    id: Uuid,
    template: &str,
    version: &str,
) -> sqlx::Result<Option<(TemplateVersion, String)>> {
    let row = sqlx::query!(
        r#"SELECT definition AS "definition: Json<TemplateVersion>", compose
           FROM catalog_versions WHERE catalog_id = $1 AND template = $2 AND version = $3"#,
        id,
        template,
        version
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.definition.0, row.compose)))
}
