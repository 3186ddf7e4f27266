//! The tables of catalogs, templates and releases.

use drover_api::{Catalog, CatalogKind, CatalogProblem, Timestamp};
use sqlx::{PgConnection, PgPool, types::Json};
use uuid::Uuid;

use super::model::{About, CatalogFiles, Release, Template, Text};

fn kind(name: &str) -> CatalogKind {
    match name {
        "builtin" => CatalogKind::Builtin,
        "directory" => CatalogKind::Directory,
        _ => CatalogKind::Git,
    }
}

/// All catalogs, or one.
pub(super) async fn catalogs(db: &PgPool, id: Option<Uuid>) -> sqlx::Result<Vec<Catalog>> {
    let rows = sqlx::query!(
        r#"SELECT id, name::text AS "name!", description, kind, location, branch, username,
               secret IS NOT NULL AS "has_credentials!", commit,
               (SELECT count(*) FROM catalog_templates t WHERE t.catalog_id = catalogs.id)
                   AS "templates!",
               error,
               problems AS "problems: Json<Vec<CatalogProblem>>", checked_at, refreshed_at,
               coalesce(refreshing_since > now() - interval '5 minutes', false) AS "refreshing!", created_at, version
           FROM catalogs WHERE $1::uuid IS NULL OR id = $1 ORDER BY id"#,
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
            kind: kind(&row.kind),
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

/// What a person says of a Git catalog; the secret is sealed.
pub(super) struct GitCatalog<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub location: Option<&'a str>,
    pub branch: Option<&'a str>,
    pub username: Option<&'a str>,
    pub secret: Option<&'a [u8]>,
}

pub(super) async fn insert(db: &PgPool, new: &GitCatalog<'_>) -> sqlx::Result<Uuid> {
    sqlx::query_scalar!(
        "INSERT INTO catalogs (id, name, description, kind, location, branch, username, secret)
         VALUES ($1, $2::text::citext, $3, 'git', $4, $5, $6, $7) RETURNING id",
        Uuid::now_v7(),
        new.name,
        new.description,
        new.location,
        new.branch,
        new.username,
        new.secret
    )
    .fetch_one(db)
    .await
}

/// Makes sure that the catalog of a kind that there is one of is there, and gives its id.
pub(super) async fn ensure(
    db: &PgPool,
    kind: &str,
    name: &str,
    location: Option<&str>,
) -> sqlx::Result<Uuid> {
    // A person may have given the name to another one.
    sqlx::query_scalar!(
        r#"INSERT INTO catalogs (id, name, kind, location)
           VALUES ($1, CASE WHEN EXISTS (SELECT 1 FROM catalogs WHERE name = $3::text::citext)
                       THEN $3 || ' (' || $2 || ')' ELSE $3 END, $2, $4)
           ON CONFLICT (kind) WHERE kind <> 'git'
           DO UPDATE SET location = excluded.location
           RETURNING id"#,
        Uuid::now_v7(),
        kind,
        name,
        location
    )
    .fetch_one(db)
    .await
}

/// What must be known of a catalog to change or read it.
pub(super) struct CatalogRow {
    pub name: String,
    pub description: String,
    pub kind: CatalogKind,
    pub location: Option<String>,
    pub branch: Option<String>,
    pub username: Option<String>,
    pub secret: Option<Vec<u8>>,
    pub ssh_host_keys: Option<String>,
    pub read_key: Option<String>,
    pub version: i64,
}

/// Locks the row until the transaction ends.
pub(super) async fn lock(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<CatalogRow>> {
    let row = sqlx::query!(
        r#"SELECT name::text AS "name!", description, kind, location, branch, username, secret,
               ssh_host_keys, read_key, version
           FROM catalogs WHERE id = $1 FOR UPDATE"#,
        id
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| CatalogRow {
        name: row.name,
        description: row.description,
        kind: kind(&row.kind),
        location: row.location,
        branch: row.branch,
        username: row.username,
        secret: row.secret,
        ssh_host_keys: row.ssh_host_keys,
        read_key: row.read_key,
        version: row.version,
    }))
}

/// Changes what a person says of a catalog. SSH's host keys are forgotten with the location.
pub(super) async fn update(
    tx: &mut PgConnection,
    id: Uuid,
    new: &GitCatalog<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE catalogs SET name = $2::text::citext, description = $3, location = $4, branch = $5,
             username = $6, secret = $7, version = version + 1,
             ssh_host_keys = CASE WHEN location IS NOT DISTINCT FROM $4 THEN ssh_host_keys END
         WHERE id = $1",
        id,
        new.name,
        new.description,
        new.location,
        new.branch,
        new.username,
        new.secret
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes a Git catalog with its templates.
pub(super) async fn delete(db: &PgPool, id: Uuid) -> sqlx::Result<bool> {
    let gone = sqlx::query!("DELETE FROM catalogs WHERE id = $1 AND kind <> 'builtin'", id)
        .execute(db)
        .await?;
    Ok(gone.rows_affected() == 1)
}

/// Takes a catalog to read it. False while another server is at it: a server that died over it
/// holds it for five minutes, which is longer than a fetch may take.
pub(super) async fn claim(db: &PgPool, id: Uuid) -> sqlx::Result<bool> {
    let claimed = sqlx::query!(
        "UPDATE catalogs SET refreshing_since = now() WHERE id = $1
             AND (refreshing_since IS NULL OR refreshing_since <= now() - interval '5 minutes')",
        id
    )
    .execute(db)
    .await?;
    Ok(claimed.rows_affected() == 1)
}

/// Git catalogs that were not read for so long, or never.
pub(super) async fn due(db: &PgPool, minutes: u32) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "SELECT id FROM catalogs
         WHERE kind = 'git' AND (checked_at IS NULL OR checked_at < now() - make_interval(mins => $1))",
        i32::try_from(minutes).unwrap_or(i32::MAX)
    )
    .fetch_all(db)
    .await
}

/// Lets go of a catalog that could not be read, and keeps why; its templates stay.
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

/// Lets go of a catalog whose source has not changed.
pub(super) async fn unchanged(tx: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE catalogs SET refreshing_since = NULL, checked_at = now(), error = NULL WHERE id = $1",
        id
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What was read.
pub(super) struct Read<'a> {
    pub catalog: &'a CatalogFiles,
    pub problems: &'a [CatalogProblem],
    pub commit: &'a str,
    pub read_key: &'a str,
    pub host_keys: Option<&'a str>,
}

/// Puts what was read in the place of what was there.
pub(super) async fn replace(tx: &mut PgConnection, id: Uuid, read: &Read<'_>) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM catalog_templates WHERE catalog_id = $1", id)
        .execute(&mut *tx)
        .await?;
    for files in &read.catalog.templates {
        let icon = files.icon.as_ref();
        sqlx::query!(
            "INSERT INTO catalog_templates
                 (catalog_id, template, definition, icon, icon_media_type, icon_hash)
             VALUES ($1, $2, $3, $4, $5, left(encode(sha256($4), 'hex'), 16))",
            id,
            files.name,
            Json(&files.template) as _,
            icon.map(|icon| icon.bytes.as_slice()),
            icon.map(|icon| icon.media_type)
        )
        .execute(&mut *tx)
        .await?;
        for release in &files.releases {
            sqlx::query!(
                "INSERT INTO catalog_versions
                     (catalog_id, template, version, definition, compose, readme)
                 VALUES ($1, $2, $3, $4, $5, $6)",
                id,
                files.name,
                release.release.version,
                Json(&release.release) as _,
                release.compose,
                Json(&release.readme) as _
            )
            .execute(&mut *tx)
            .await?;
        }
    }
    sqlx::query!(
        "UPDATE catalogs SET about = $2, commit = $3, read_key = $4, problems = $5,
             ssh_host_keys = coalesce($6, ssh_host_keys), error = NULL,
             refreshing_since = NULL, checked_at = now(), refreshed_at = now(),
             description = CASE WHEN description = '' THEN $7 ELSE description END
         WHERE id = $1",
        id,
        Json(&read.catalog.about) as _,
        read.commit,
        read.read_key,
        Json(read.problems) as _,
        read.host_keys,
        read.catalog.about.description.get("en")
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A template without its releases.
pub(super) struct TemplateRow {
    pub catalog_id: Uuid,
    pub catalog: String,
    pub name: String,
    pub template: Template,
    pub icon_hash: Option<String>,
}

/// Templates: all, of a catalog, or one.
pub(super) async fn templates(
    db: &PgPool,
    catalog: Option<Uuid>,
    name: Option<&str>,
) -> sqlx::Result<Vec<TemplateRow>> {
    let rows = sqlx::query!(
        r#"SELECT t.catalog_id, c.name::text AS "catalog!", t.template,
               t.definition AS "definition: Json<Template>", t.icon_hash
           FROM catalog_templates t JOIN catalogs c ON c.id = t.catalog_id
           WHERE ($1::uuid IS NULL OR t.catalog_id = $1) AND ($2::text IS NULL OR t.template = $2)
           ORDER BY t.catalog_id, t.template"#,
        catalog,
        name
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| TemplateRow {
            catalog_id: row.catalog_id,
            catalog: row.catalog,
            name: row.template,
            template: row.definition.0,
            icon_hash: row.icon_hash,
        })
        .collect())
}

/// A release with what it is of.
pub(super) struct ReleaseRow {
    pub catalog_id: Uuid,
    pub template: String,
    pub release: Release,
}

/// Releases, without their questions and texts: all, of a catalog, or of a template.
pub(super) async fn releases(
    db: &PgPool,
    catalog: Option<Uuid>,
    template: Option<&str>,
) -> sqlx::Result<Vec<ReleaseRow>> {
    let rows = sqlx::query!(
        r#"SELECT catalog_id, template, definition - 'questions' AS "definition!: Json<Release>"
           FROM catalog_versions
           WHERE ($1::uuid IS NULL OR catalog_id = $1) AND ($2::text IS NULL OR template = $2)"#,
        catalog,
        template
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ReleaseRow {
            catalog_id: row.catalog_id,
            template: row.template,
            release: row.definition.0,
        })
        .collect())
}

/// A release with its texts.
pub(super) struct WholeRelease {
    pub title: Text,
    pub release: Release,
    pub compose: String,
    pub readme: Text,
}

/// One release, if it is there.
pub(super) async fn release(
    db: &PgPool,
    catalog: Uuid,
    template: &str,
    version: &str,
) -> sqlx::Result<Option<WholeRelease>> {
    let row = sqlx::query!(
        r#"SELECT t.definition AS "template: Json<Template>", r.definition AS "release: Json<Release>",
               r.compose, r.readme AS "readme: Json<Text>"
           FROM catalog_versions r JOIN catalog_templates t USING (catalog_id, template)
           WHERE catalog_id = $1 AND template = $2 AND version = $3"#,
        catalog,
        template,
        version
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| WholeRelease {
        title: row.template.0.title,
        release: row.release.0,
        compose: row.compose,
        readme: row.readme.0,
    }))
}

/// What the catalogs say of themselves.
pub(super) async fn abouts(db: &PgPool) -> sqlx::Result<Vec<About>> {
    let rows =
        sqlx::query_scalar!(r#"SELECT about AS "about: Json<About>" FROM catalogs ORDER BY id"#)
            .fetch_all(db)
            .await?;
    Ok(rows.into_iter().map(|about| about.0).collect())
}

/// Media type, hash and bytes of a template's picture.
pub(super) async fn icon(
    db: &PgPool,
    catalog: Uuid,
    template: &str,
) -> sqlx::Result<Option<(String, String, Vec<u8>)>> {
    let row = sqlx::query!(
        "SELECT icon, icon_media_type, icon_hash FROM catalog_templates
         WHERE catalog_id = $1 AND template = $2",
        catalog,
        template
    )
    .fetch_optional(db)
    .await?;
    Ok(row.and_then(|row| Some((row.icon_media_type?, row.icon_hash?, row.icon?))))
}
