//! `/v1/catalogs` and `/v1/templates`.

use std::collections::HashMap;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use drover_api::{
    Catalog, CatalogKind, ComposeDiagnostic, CreateCatalog, FieldError, List, PreviewService,
    PreviewTakeover, PreviewTemplate, TemplateCategory, TemplateDetail, TemplatePreview,
    TemplateSummary, TemplateVersion, TemplateVersionSummary, Topic, UpdateCatalog,
};
use drover_compose::{FileSource, Project};
use indexmap::IndexMap;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    answers, markdown,
    model::{self, Release},
    refresh, source,
    store::{self, GitCatalog, TemplateRow},
};
use crate::{
    access::{Caller, EnvironmentAccess},
    app::App,
    audit::Note,
    error::{Error, Result, is_unique_violation},
    extract::{IfMatch, Json, ListQuery, Path, Query, SortKey, etag},
    stacks,
};

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(refresh_now))
        .routes(routes!(list_templates))
        .routes(routes!(categories))
        .routes(routes!(get_template))
        .routes(routes!(icon))
        .routes(routes!(get_version))
        .routes(routes!(preview))
}

/// What a caller may see of a catalog.
fn shown_to(caller: &Caller, mut catalog: Catalog) -> Catalog {
    if !caller.is_admin() {
        catalog.username = None;
        catalog.problems.clear();
        if catalog.kind == CatalogKind::Directory {
            catalog.location = None;
        }
    }
    catalog
}

/// List catalogs
///
/// Sort by `name`, `templates`, `refreshed_at` or `created_at`.
#[utoipa::path(get, path = "/v1/catalogs", tag = "catalog", params(ListQuery),
    responses((status = 200, body = List<Catalog>)))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Catalog>>> {
    let catalogs = store::catalogs(&app.db, None).await?;
    let mut page = query.page(
        catalogs,
        &["name", "templates", "refreshed_at", "created_at"],
        "created_at",
        |catalog| format!("{} {}", catalog.name, catalog.description),
        |catalog, field| match field {
            "templates" => SortKey::Number(catalog.templates.into()),
            "refreshed_at" => SortKey::Number(catalog.refreshed_at.map_or(0, |at| at.unix_ms())),
            "created_at" => SortKey::Number(catalog.created_at.unix_ms()),
            _ => SortKey::text(&catalog.name),
        },
    )?;
    page.items = page.items.into_iter().map(|catalog| shown_to(&caller, catalog)).collect();
    Ok(Json(page))
}

async fn answer(app: &App, caller: &Caller, id: Uuid) -> Result<(HeaderMap, Json<Catalog>)> {
    let catalog = store::catalogs(&app.db, Some(id)).await?.pop();
    let catalog = catalog.ok_or_else(|| Error::not_found("catalog"))?;
    Ok((etag(catalog.version), Json(shown_to(caller, catalog))))
}

fn name_taken(error: sqlx::Error) -> Error {
    if is_unique_violation(&error) {
        Error::conflict("name_taken", "There is a catalog with this name.")
    } else {
        error.into()
    }
}

/// What is wrong with a catalog as a person wants it.
fn check(wanted: &GitCatalog<'_>, kind: CatalogKind) -> Result<()> {
    let mut errors = Vec::new();
    let mut wrong = |field: &str, message: &str| errors.push(FieldError::new(field, message));
    let length = wanted.name.chars().count();
    if !(1..=64).contains(&length) || wanted.name.chars().any(char::is_control) {
        wrong("name", "A name has 1 to 64 characters.");
    }
    if wanted.description.chars().count() > 1000 {
        wrong("description", "A description has at most 1,000 characters.");
    }
    if kind == CatalogKind::Git {
        if let Some(message) = source::check_location(wanted.location.unwrap_or_default()) {
            wrong("location", message);
        }
        if wanted.branch.is_some_and(|branch| !source::is_branch(branch)) {
            wrong("branch", "This is not the name of a branch.");
        }
        if wanted
            .username
            .is_some_and(|name| name.len() > 200 || name.chars().any(char::is_control))
        {
            wrong("username", "A user name has at most 200 characters, on one line.");
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::invalid(errors)) }
}

fn check_secret(secret: Option<&str>, location: &str) -> Result<()> {
    let Some(secret) = secret else { return Ok(()) };
    // A line break would end it in Git's own protocol, and begin something else.
    if secret.len() > 20_000
        || (location.starts_with("https://") && secret.chars().any(char::is_control))
    {
        return Err(Error::invalid_field("secret", "At most 20,000 bytes; for https on one line."));
    }
    Ok(())
}

fn none_if_empty(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Add a catalog
///
/// It is read in the background at once.
#[utoipa::path(post, path = "/v1/catalogs", tag = "catalog", request_body = CreateCatalog,
    responses((status = 201, body = Catalog)))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    note: Note,
    Json(input): Json<CreateCatalog>,
) -> Result<(StatusCode, HeaderMap, Json<Catalog>)> {
    let (branch, username) = (none_if_empty(input.branch), none_if_empty(input.username));
    let location = input.location.trim();
    let secret = input.secret.filter(|secret| !secret.is_empty());
    check_secret(secret.as_deref(), location)?;
    let sealed = secret.map(|secret| app.cipher.seal(secret.as_bytes()));
    let new = GitCatalog {
        name: input.name.trim(),
        description: input.description.trim(),
        location: Some(location),
        branch: branch.as_deref(),
        username: username.as_deref(),
        secret: sealed.as_deref(),
    };
    check(&new, CatalogKind::Git)?;
    let id = store::insert(&app.db, &new).await.map_err(name_taken)?;
    note.target(id, new.name);
    note.detail("location", location);
    app.events.updated(Topic::Catalog, None, id).await;
    refresh::refresh_soon(&app, id);
    let (headers, body) = answer(&app, &caller, id).await?;
    Ok((StatusCode::CREATED, headers, body))
}

/// Show a catalog
#[utoipa::path(get, path = "/v1/catalogs/{catalog_id}", tag = "catalog",
    params(("catalog_id" = Uuid, Path)), responses((status = 200, body = Catalog)))]
async fn get(
    State(app): State<App>,
    caller: Caller,
    path: Path<Uuid>,
) -> Result<(HeaderMap, Json<Catalog>)> {
    answer(&app, &caller, path.0).await
}

/// Change a catalog
///
/// A Git catalog is read again in the background at once.
#[utoipa::path(patch, path = "/v1/catalogs/{catalog_id}", tag = "catalog",
    request_body = UpdateCatalog,
    params(("catalog_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Catalog)))]
async fn update(
    State(app): State<App>,
    caller: Caller,
    path: Path<Uuid>,
    if_match: IfMatch,
    note: Note,
    Json(input): Json<UpdateCatalog>,
) -> Result<(HeaderMap, Json<Catalog>)> {
    let Path(id) = path;
    let mut tx = app.db.begin().await?;
    let row = store::lock(&mut tx, id).await?.ok_or_else(|| Error::not_found("catalog"))?;
    note.target(id, &row.name);
    if_match.check(row.version)?;
    let of_settings = row.kind != CatalogKind::Git;
    if of_settings
        && (input.location.is_some()
            || input.branch.is_some()
            || input.username.is_some()
            || input.secret.is_some())
    {
        return Err(Error::conflict(
            "catalog_fixed",
            "Of this catalog, nothing but name and description can be changed.",
        ));
    }
    let location = input.location.map(|text| text.trim().to_owned()).or(row.location.clone());
    let servers = [&location, &row.location].map(|text| text.as_deref().map(source::server_of));
    if servers[0] != servers[1] && row.secret.is_some() && input.secret.is_none() {
        return Err(Error::invalid_field(
            "secret",
            "The address is on another server: give the password, token or key anew.",
        ));
    }
    let secret = match input.secret {
        None => row.secret,
        Some(secret) => {
            let secret = secret.filter(|secret| !secret.is_empty());
            check_secret(secret.as_deref(), location.as_deref().unwrap_or_default())?;
            secret.map(|secret| app.cipher.seal(secret.as_bytes()))
        }
    };
    let name = input.name.unwrap_or(row.name);
    let description = input.description.unwrap_or(row.description);
    let branch = input.branch.map_or(row.branch, none_if_empty);
    let username = input.username.map_or(row.username, none_if_empty);
    let new = GitCatalog {
        name: name.trim(),
        description: description.trim(),
        location: location.as_deref(),
        branch: branch.as_deref(),
        username: username.as_deref(),
        secret: secret.as_deref(),
    };
    check(&new, row.kind)?;
    store::update(&mut tx, id, &new).await.map_err(name_taken)?;
    tx.commit().await?;
    app.events.updated(Topic::Catalog, None, id).await;
    if !of_settings {
        refresh::refresh_soon(&app, id);
    }
    answer(&app, &caller, id).await
}

/// Remove a catalog
///
/// Stacks that were installed from it stay; they are offered no more upgrades.
#[utoipa::path(delete, path = "/v1/catalogs/{catalog_id}", tag = "catalog",
    params(("catalog_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Removed")))]
async fn delete(
    State(app): State<App>,
    path: Path<Uuid>,
    if_match: IfMatch,
    note: Note,
) -> Result<StatusCode> {
    let Path(id) = path;
    let catalog = store::catalogs(&app.db, Some(id)).await?.pop();
    let catalog = catalog.ok_or_else(|| Error::not_found("catalog"))?;
    note.target(id, &catalog.name);
    if_match.check(catalog.version)?;
    if !store::delete(&app.db, id).await? {
        return Err(Error::conflict(
            "catalog_fixed",
            "The built-in catalog is part of Drover and cannot be removed.",
        ));
    }
    app.events.removed(Topic::Catalog, None, id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Read a catalog again
///
/// In the background; follow `refreshing`, `commit` and `error` of the catalog.
#[utoipa::path(post, path = "/v1/catalogs/{catalog_id}/refresh", tag = "catalog",
    params(("catalog_id" = Uuid, Path)), responses((status = 202, body = Catalog)))]
async fn refresh_now(
    State(app): State<App>,
    caller: Caller,
    path: Path<Uuid>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<Catalog>)> {
    let (headers, Json(mut catalog)) = answer(&app, &caller, path.0).await?;
    note.target(catalog.id, &catalog.name);
    refresh::refresh_soon(&app, catalog.id);
    catalog.refreshing = true;
    Ok((StatusCode::ACCEPTED, headers, Json(catalog)))
}

/// `?language=` beside what a route takes.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Language {
    /// `en` (the default) or `zh-CN`.
    #[param(example = "en")]
    language: Option<String>,
}

impl Language {
    fn code(&self) -> &str {
        self.language.as_deref().unwrap_or("en")
    }
}

/// Which templates.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct TemplateFilter {
    /// Of this catalog.
    catalog_id: Option<Uuid>,
    /// In this category.
    category: Option<String>,
    /// `en` (the default) or `zh-CN`.
    #[param(example = "en")]
    language: Option<String>,
}

fn summary(row: &TemplateRow, release: &Release, language: &str) -> TemplateSummary {
    let (catalog_id, name) = (row.catalog_id, &row.name);
    // With its hash in the address, browsers need not ask again.
    let icon = row.icon_hash.as_ref();
    TemplateSummary {
        catalog_id,
        catalog: row.catalog.clone(),
        template: name.clone(),
        title: row.template.title.get(language).to_owned(),
        description: row.template.description.get(language).to_owned(),
        categories: row.template.categories.clone(),
        version: release.version.clone(),
        app_version: release.app_version.clone(),
        icon: icon.map(|hash| format!("/v1/templates/{catalog_id}/{name}/icon?hash={hash}")),
    }
}

/// The releases of templates by catalog and name, the newest first.
fn by_template(rows: Vec<store::ReleaseRow>) -> HashMap<(Uuid, String), Vec<Release>> {
    let mut all: HashMap<_, Vec<Release>> = HashMap::new();
    for row in rows {
        all.entry((row.catalog_id, row.template)).or_default().push(row.release);
    }
    all.values_mut().for_each(|releases| releases.sort_by(Release::newest_first));
    all
}

/// List templates
///
/// `q` searches names, descriptions and keywords in every language. Sort by `title` or `template`.
#[utoipa::path(get, path = "/v1/templates", tag = "catalog", params(ListQuery, TemplateFilter),
    responses((status = 200, body = List<TemplateSummary>)))]
async fn list_templates(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
    Query(filter): Query<TemplateFilter>,
) -> Result<Json<List<TemplateSummary>>> {
    let catalog = filter.catalog_id;
    let mut releases = by_template(store::releases(&app.db, catalog, None).await?);
    let language = filter.language.as_deref().unwrap_or("en");
    let rows: Vec<_> = store::templates(&app.db, catalog, None)
        .await?
        .into_iter()
        .filter(|row| !row.template.deprecated)
        .filter(|row| filter.category.as_ref().is_none_or(|c| row.template.categories.contains(c)))
        .filter_map(|row| {
            let releases = releases.remove(&(row.catalog_id, row.name.clone()))?;
            let offered = model::default_release(&row.template, releases.iter())?;
            Some((summary(&row, offered, language), row))
        })
        .collect();
    let page = query.page(
        rows,
        &["title", "template"],
        "title",
        |(_, row)| {
            let texts = row.template.title.all().chain(row.template.description.all());
            let words = row.template.keywords.iter().chain(&row.template.categories);
            let mut text: Vec<&str> = texts.chain(words.map(String::as_str)).collect();
            text.push(&row.name);
            text.join(" ")
        },
        |(summary, _), field| match field {
            "template" => SortKey::text(&summary.template),
            _ => SortKey::text(&summary.title),
        },
    )?;
    Ok(Json(List {
        items: page.items.into_iter().map(|(summary, _)| summary).collect(),
        next_cursor: page.next_cursor,
        total: page.total,
        freshness: None,
    }))
}

/// List the categories of templates
#[utoipa::path(get, path = "/v1/templates/categories", tag = "catalog", params(Language),
    responses((status = 200, body = List<TemplateCategory>)))]
async fn categories(
    State(app): State<App>,
    Query(language): Query<Language>,
) -> Result<Json<List<TemplateCategory>>> {
    let mut found: IndexMap<String, TemplateCategory> = IndexMap::new();
    let category = |name: &str, title: &str| TemplateCategory {
        name: name.to_owned(),
        title: title.to_owned(),
        templates: 0,
    };
    for about in store::abouts(&app.db).await? {
        for text in about.categories {
            let name = text.get("en");
            let title = text.get(language.code());
            found.entry(name.to_owned()).or_insert_with(|| category(name, title));
        }
    }
    for row in store::templates(&app.db, None, None).await? {
        for name in row.template.categories.iter().filter(|_| !row.template.deprecated) {
            found.entry(name.clone()).or_insert_with(|| category(name, name)).templates += 1;
        }
    }
    let used = found.into_values().filter(|category| category.templates > 0).collect();
    Ok(Json(List::whole(used)))
}

fn version_summary(release: &Release, language: &str) -> TemplateVersionSummary {
    TemplateVersionSummary {
        version: release.version.clone(),
        app_version: release.app_version.clone(),
        upgrade_from: release.upgrade_from.clone(),
        incompatible: release.incompatible(),
        notes_html: markdown::to_html(release.notes.get(language)),
    }
}

/// Show a template
///
/// With its README and its versions, the newest first.
#[utoipa::path(get, path = "/v1/templates/{catalog_id}/{template}", tag = "catalog",
    params(("catalog_id" = Uuid, Path), ("template" = String, Path), Language),
    responses((status = 200, body = TemplateDetail)))]
async fn get_template(
    State(app): State<App>,
    path: Path<(Uuid, String)>,
    Query(language): Query<Language>,
) -> Result<Json<TemplateDetail>> {
    let Path((catalog, name)) = path;
    let missing = || Error::not_found("template");
    let row = store::templates(&app.db, Some(catalog), Some(&name)).await?.pop();
    let row = row.ok_or_else(missing)?;
    let mut releases: Vec<_> = store::releases(&app.db, Some(catalog), Some(&name))
        .await?
        .into_iter()
        .map(|row| row.release)
        .collect();
    releases.sort_by(Release::newest_first);
    let offered = model::default_release(&row.template, releases.iter()).ok_or_else(missing)?;
    let whole = store::release(&app.db, catalog, &name, &offered.version).await?;
    let readme = whole.ok_or_else(missing)?.readme;
    let code = language.code();
    Ok(Json(TemplateDetail {
        summary: summary(&row, offered, code),
        readme_html: markdown::to_html(readme.get(code)),
        versions: releases.iter().map(|release| version_summary(release, code)).collect(),
        home: row.template.home,
        source: row.template.source,
        maintainer: row.template.maintainer,
        license: row.template.license,
        labels: row.template.labels,
        deprecated: row.template.deprecated,
    }))
}

/// Show a template's picture
#[utoipa::path(get, path = "/v1/templates/{catalog_id}/{template}/icon", tag = "catalog",
    params(("catalog_id" = Uuid, Path), ("template" = String, Path)),
    responses((status = 200, description = "SVG or PNG", content_type = "image/svg+xml")))]
async fn icon(
    State(app): State<App>,
    path: Path<(Uuid, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    let Path((catalog, template)) = path;
    let (media_type, hash, bytes) = store::icon(&app.db, catalog, &template)
        .await?
        .ok_or_else(|| Error::not_found("picture"))?;
    let tag = format!("\"{hash}\"");
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains(&tag));
    let (status, body) = if known {
        (StatusCode::NOT_MODIFIED, Body::empty())
    } else {
        (StatusCode::OK, Body::from(bytes))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, media_type),
        (header::ETAG, tag),
        // Shown in pages only: opened as a page of its own, it could do more than draw.
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
        // The address that lists give changes with the picture.
        (header::CACHE_CONTROL, "private, max-age=86400".to_owned()),
    ] {
        headers.insert(name, HeaderValue::try_from(value).map_err(Error::internal)?);
    }
    Ok(response)
}

async fn release_of(
    app: &App,
    catalog: Uuid,
    template: &str,
    version: &str,
) -> Result<store::WholeRelease> {
    let found = store::release(&app.db, catalog, template, version).await?;
    found.ok_or_else(|| Error::not_found("version"))
}

/// Show a version of a template
///
/// With its questions and its Compose text.
#[utoipa::path(get, path = "/v1/templates/{catalog_id}/{template}/versions/{version}",
    tag = "catalog",
    params(("catalog_id" = Uuid, Path), ("template" = String, Path), ("version" = String, Path), Language),
    responses((status = 200, body = TemplateVersion)))]
async fn get_version(
    State(app): State<App>,
    path: Path<(Uuid, String, String)>,
    Query(language): Query<Language>,
) -> Result<Json<TemplateVersion>> {
    let Path((catalog_id, template, version)) = path;
    let found = release_of(&app, catalog_id, &template, &version).await?;
    let code = language.code();
    Ok(Json(TemplateVersion {
        catalog_id,
        template,
        title: found.title.get(code).to_owned(),
        summary: version_summary(&found.release, code),
        questions: found.release.questions.iter().map(|question| question.to_api(code)).collect(),
        compose: found.compose,
        readme_html: markdown::to_html(found.readme.get(code)),
    }))
}

/// Preview an install
///
/// Checks answers, and tells what an install with them would make. Changes nothing; what is wrong
/// with the answers is in the body, not a 422.
#[utoipa::path(post,
    path = "/v1/environments/{environment_id}/templates/{catalog_id}/{template}/versions/{version}/preview",
    tag = "catalog", request_body = PreviewTemplate,
    params(("environment_id" = Uuid, Path), ("catalog_id" = Uuid, Path),
        ("template" = String, Path), ("version" = String, Path)),
    responses((status = 200, body = TemplatePreview)))]
async fn preview(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid, String, String)>,
    Json(input): Json<PreviewTemplate>,
) -> Result<Json<TemplatePreview>> {
    let Path((_, catalog_id, template, version)) = path;
    let found = release_of(&app, catalog_id, &template, &version).await?;
    let filled = answers::fill(&found.release.questions, &input.answers, None, &mut rand::rng());
    let loaded = stacks::load(&app, access, &found.compose, &filled.answers.values);
    let (diagnostics, _) = stacks::describe(&app, access, &loaded);
    Ok(Json(summed_up(filled, diagnostics, &loaded.project.unwrap_or_default())))
}

fn summed_up(
    filled: answers::Filled,
    diagnostics: Vec<ComposeDiagnostic>,
    project: &Project,
) -> TemplatePreview {
    let services = project.services.iter().map(|(name, service)| PreviewService {
        name: name.clone(),
        image: service.image.clone(),
        scale: service.deploy.replicas,
        ports: service.ports.iter().map(port).collect(),
        volumes: service
            .volumes
            .iter()
            .map(|mount| match &mount.source {
                Some(source) => format!("{source}:{}", mount.target),
                None => mount.target.clone(),
            })
            .collect(),
        depends_on: service.depends_on.keys().cloned().collect(),
    });
    let own_volumes = project.volumes.iter().filter(|(_, volume)| !volume.external);
    let own_networks = project.networks.iter().filter(|(_, network)| !network.external);
    let sources = project.secrets.values().chain(project.configs.values());
    TemplatePreview {
        errors: filled.errors,
        shown: filled.shown,
        diagnostics,
        services: services.collect(),
        volumes: own_volumes.map(|(name, _)| name.clone()).collect(),
        networks: own_networks.map(|(name, _)| name.clone()).collect(),
        secrets: sources
            .filter_map(|source| match source {
                FileSource::External(name) => Some(name.clone()),
                _ => None,
            })
            .collect(),
        takeovers: project
            .takeovers()
            .into_iter()
            .map(|found| PreviewTakeover {
                line: found.line,
                path: found.path,
                message: found.message,
            })
            .collect(),
    }
}

fn port(port: &drover_compose::Port) -> String {
    let address = port.host_ip.as_ref().map_or(String::new(), |address| {
        if address.contains(':') { format!("[{address}]:") } else { format!("{address}:") }
    });
    let published = port.published.map_or(String::new(), |published| format!("{published}:"));
    format!("{address}{published}{}/{}", port.target, port.protocol)
}
