//! Catalogs and their templates.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use drover_api::{
    Catalog, CatalogKind, CreateCatalog, FieldError, List, PreviewService, PreviewTakeover,
    PreviewTemplate, TemplateCategory, TemplateDetail, TemplatePreview, TemplateSummary,
    TemplateVersion, TemplateVersionSummary, Topic, UpdateCatalog,
};
use drover_compose::{FileSource, Project};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    answers,
    markdown::to_html,
    model::{self, ENGLISH},
    refresh, source,
    store::{self, Listed},
};
use crate::{
    access::EnvironmentAccess,
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
        .routes(routes!(list_categories))
        .routes(routes!(get_template))
        .routes(routes!(get_icon))
        .routes(routes!(get_version))
        .routes(routes!(preview))
}

// ---- catalogs

/// List the catalogs
#[utoipa::path(get, path = "/v1/catalogs", tag = "catalog", params(ListQuery),
    responses((status = 200, body = List<Catalog>)))]
async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Catalog>>> {
    query
        .page(
            store::list(&app.db).await?,
            &["name", "created_at"],
            "name",
            |catalog| format!("{} {}", catalog.name, catalog.description),
            |catalog, field| match field {
                "created_at" => SortKey::Number(catalog.created_at.unix_ms()),
                _ => SortKey::text(&catalog.name),
            },
        )
        .map(Json)
}

async fn found(app: &App, id: Uuid) -> Result<Catalog> {
    store::get(&app.db, id).await?.ok_or_else(|| Error::not_found("catalog"))
}

/// Show a catalog
#[utoipa::path(get, path = "/v1/catalogs/{catalog_id}", tag = "catalog",
    params(("catalog_id" = Uuid, Path)), responses((status = 200, body = Catalog)))]
async fn get(State(app): State<App>, Path(id): Path<Uuid>) -> Result<(HeaderMap, Json<Catalog>)> {
    let catalog = found(&app, id).await?;
    Ok((etag(catalog.version), Json(catalog)))
}

fn check(row: &store::Row<'_>) -> Result<()> {
    let mut errors = Vec::new();
    let length = row.name.chars().count();
    if !(1..=64).contains(&length) || row.name.chars().any(char::is_control) {
        errors.push(FieldError::new("name", "A name has 1 to 64 characters."));
    }
    if row.description.chars().count() > 1000 {
        errors.push(FieldError::new("description", "At most 1,000 characters."));
    }
    if row.location.is_some_and(|location| location.len() > 1000 || !source::is_location(location))
    {
        let message = "An address that begins with https:// or ssh://, without a password in it.";
        errors.push(FieldError::new("location", message));
    }
    if row.branch.is_some_and(|branch| !source::is_branch(branch)) {
        errors.push(FieldError::new("branch", "This cannot be a branch."));
    }
    if row.username.is_some_and(|name| name.len() > 200 || name.contains(':')) {
        errors.push(FieldError::new("username", "At most 200 characters, without `:`."));
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::invalid(errors)) }
}

/// An optional text without what is empty.
fn filled(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn seal(app: &App, secret: Option<String>) -> Result<Option<Vec<u8>>> {
    match filled(secret) {
        Some(secret) if secret.len() > 64 << 10 => {
            Err(Error::invalid_field("secret", "At most 64 KiB."))
        }
        Some(secret) => Ok(Some(app.cipher.seal(secret.as_bytes()))),
        None => Ok(None),
    }
}

fn name_taken(error: sqlx::Error) -> Error {
    if is_unique_violation(&error) {
        Error::conflict("name_taken", "There is a catalog with this name.")
    } else {
        error.into()
    }
}

/// Reads it beside the request; the catalog's row says how that went.
fn read_in_background(app: &App, id: Uuid) {
    let app = app.clone();
    tokio::spawn(async move {
        if let Err(error) = refresh::refresh(&app, id).await {
            tracing::warn!(%error, catalog = %id, "cannot read a catalog");
        }
    });
}

/// Add a catalog from a Git repository
///
/// It is read in the background at once.
#[utoipa::path(post, path = "/v1/catalogs", tag = "catalog",
    request_body = CreateCatalog, responses((status = 201, body = Catalog)))]
async fn create(
    State(app): State<App>,
    note: Note,
    Json(input): Json<CreateCatalog>,
) -> Result<(StatusCode, HeaderMap, Json<Catalog>)> {
    let (branch, username) = (filled(input.branch), filled(input.username));
    let secret = seal(&app, input.secret)?;
    let row = store::Row {
        name: input.name.trim(),
        description: input.description.trim(),
        location: Some(input.location.trim()),
        branch: branch.as_deref(),
        username: username.as_deref(),
        secret: secret.as_deref(),
    };
    check(&row)?;
    let id = store::insert(&app.db, CatalogKind::Git, &row).await.map_err(name_taken)?;
    note.target(id, row.name);
    app.events.updated(Topic::Catalog, None, id).await;
    read_in_background(&app, id);
    let catalog = found(&app, id).await?;
    Ok((StatusCode::CREATED, etag(catalog.version), Json(catalog)))
}

/// The scheme and the server of an address.
fn server(location: &str) -> Vec<&str> {
    location.split('/').take(3).collect()
}

/// Change a catalog
#[utoipa::path(patch, path = "/v1/catalogs/{catalog_id}", tag = "catalog",
    request_body = UpdateCatalog,
    params(("catalog_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Catalog)))]
async fn update(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    note: Note,
    Json(input): Json<UpdateCatalog>,
) -> Result<(HeaderMap, Json<Catalog>)> {
    let now = found(&app, id).await?;
    note.target(id, &now.name);
    if_match.check(now.version)?;
    let of_git = input.location.is_some()
        || input.branch.is_some()
        || input.username.is_some()
        || input.secret.is_some();
    if of_git && now.kind != CatalogKind::Git {
        return Err(Error::conflict(
            "catalog_fixed",
            "Of this catalog only the name and the description can be changed.",
        ));
    }
    let name = input.name.unwrap_or_else(|| now.name.clone());
    let description = input.description.unwrap_or_else(|| now.description.clone());
    let location = input.location.or_else(|| now.location.clone());
    let branch = filled(input.branch.unwrap_or_else(|| now.branch.clone()));
    let username = filled(input.username.unwrap_or_else(|| now.username.clone()));
    let old = now.location.as_deref().unwrap_or_default();
    let moved = server(location.as_deref().unwrap_or_default()) != server(old);
    let secret = match input.secret {
        Some(secret) => seal(&app, secret)?,
        // Another server must not get the secret of this one.
        None if moved => None,
        None => store::secret(&app.db, id).await?,
    };
    let row = store::Row {
        name: name.trim(),
        description: description.trim(),
        location: location.as_deref().map(str::trim),
        branch: branch.as_deref(),
        username: username.as_deref(),
        secret: secret.as_deref(),
    };
    check(&store::Row { location: row.location.filter(|_| now.kind == CatalogKind::Git), ..row })?;
    if !store::update(&app.db, id, now.version, &row).await.map_err(name_taken)? {
        return Err(Error::changed_meanwhile());
    }
    app.events.updated(Topic::Catalog, None, id).await;
    if of_git {
        read_in_background(&app, id);
    }
    let catalog = found(&app, id).await?;
    Ok((etag(catalog.version), Json(catalog)))
}

/// Remove a catalog
///
/// Stacks that were installed from it stay as they are; they can no longer be upgraded.
#[utoipa::path(delete, path = "/v1/catalogs/{catalog_id}", tag = "catalog",
    params(("catalog_id" = Uuid, Path)), responses((status = 204, description = "Removed")))]
async fn delete(State(app): State<App>, Path(id): Path<Uuid>, note: Note) -> Result<StatusCode> {
    let now = found(&app, id).await?;
    note.target(id, &now.name);
    if !store::delete(&app.db, id).await? {
        return Err(Error::conflict("catalog_fixed", "This catalog belongs to Drover itself."));
    }
    app.events.removed(Topic::Catalog, None, id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Read a catalog anew
///
/// In the background; the catalog says when it is done.
#[utoipa::path(post, path = "/v1/catalogs/{catalog_id}/refresh", tag = "catalog",
    params(("catalog_id" = Uuid, Path)), responses((status = 202, body = Catalog)))]
async fn refresh_now(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    note: Note,
) -> Result<(StatusCode, Json<Catalog>)> {
    let catalog = found(&app, id).await?;
    note.target(id, &catalog.name);
    read_in_background(&app, id);
    Ok((StatusCode::ACCEPTED, Json(Catalog { refreshing: true, ..catalog })))
}

// ---- templates

/// Which templates, and in which language.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct TemplateQuery {
    /// Only those of a category, as `GET /v1/templates/categories` names it.
    category: Option<String>,
    /// Only those of a catalog.
    catalog_id: Option<Uuid>,
    /// The language of the texts.
    #[param(example = "zh-CN")]
    language: Option<String>,
}

/// The language of the texts.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Language {
    /// `en` or `zh-CN`.
    #[param(example = "zh-CN")]
    language: Option<String>,
}

impl Language {
    fn name(&self) -> &str {
        self.language.as_deref().unwrap_or(ENGLISH)
    }
}

fn summary(row: &Listed, language: &str) -> TemplateSummary {
    let (version, newest) = model::default_version(&row.versions).unzip();
    let address = || format!("/v1/templates/{}/{}/icon", row.catalog_id, row.template);
    TemplateSummary {
        catalog_id: row.catalog_id,
        catalog: row.catalog.clone(),
        template: row.template.clone(),
        title: row.definition.title.get(language).to_owned(),
        description: row.definition.description.get(language).to_owned(),
        categories: row.definition.categories.clone(),
        version: version.cloned().unwrap_or_default(),
        app_version: newest.map(|newest| newest.app_version.clone()).unwrap_or_default(),
        icon: row.has_icon.then(address),
    }
}

fn search_text(row: &Listed) -> String {
    let definition = &row.definition;
    let texts = definition.title.all().chain(definition.description.all());
    let words = definition.keywords.iter().chain(&definition.categories).map(String::as_str);
    texts.chain(words).chain([row.template.as_str()]).collect::<Vec<_>>().join(" ")
}

/// List the templates of all catalogs
#[utoipa::path(get, path = "/v1/templates", tag = "catalog", params(ListQuery, TemplateQuery),
    responses((status = 200, body = List<TemplateSummary>)))]
async fn list_templates(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
    Query(filter): Query<TemplateQuery>,
) -> Result<Json<List<TemplateSummary>>> {
    let language = filter.language.as_deref().unwrap_or(ENGLISH);
    let mut rows = store::templates(&app.db, filter.catalog_id, None).await?;
    rows.retain(|row| !row.definition.deprecated);
    if let Some(category) = filter.category.as_deref().filter(|category| !category.is_empty()) {
        let wanted = category.to_lowercase();
        rows.retain(|row| row.definition.categories.iter().any(|c| c.to_lowercase() == wanted));
    }
    let page =
        query.page(
            rows,
            &["title", "catalog"],
            "title",
            search_text,
            |row, field| match field {
                "catalog" => SortKey::text(&row.catalog),
                _ => SortKey::text(row.definition.title.get(language)),
            },
        )?;
    Ok(Json(List {
        items: page.items.iter().map(|row| summary(row, language)).collect(),
        next_cursor: page.next_cursor,
        total: page.total,
        freshness: None,
    }))
}

/// List the categories that templates are in
#[utoipa::path(get, path = "/v1/templates/categories", tag = "catalog", params(Language),
    responses((status = 200, body = List<TemplateCategory>)))]
async fn list_categories(
    State(app): State<App>,
    Query(language): Query<Language>,
) -> Result<Json<List<TemplateCategory>>> {
    let known = store::categories(&app.db).await?;
    let mut counts = std::collections::BTreeMap::<String, u32>::new();
    for row in store::templates(&app.db, None, None).await? {
        for category in row.definition.categories.into_iter().filter(|_| !row.definition.deprecated)
        {
            *counts.entry(category).or_default() += 1;
        }
    }
    let categories = counts.into_iter().map(|(name, templates)| {
        let texts = known.iter().find(|texts| texts.get(ENGLISH) == name);
        let title = texts.map_or(name.as_str(), |texts| texts.get(language.name())).to_owned();
        TemplateCategory { name, title, templates }
    });
    Ok(Json(List::whole(categories.collect())))
}

async fn template(app: &App, id: Uuid, name: &str) -> Result<Listed> {
    let rows = store::templates(&app.db, Some(id), Some(name)).await?;
    rows.into_iter().next().ok_or_else(|| Error::not_found("template"))
}

fn version_summary(
    name: &str,
    version: &model::TemplateVersion,
    language: &str,
) -> TemplateVersionSummary {
    TemplateVersionSummary {
        version: name.to_owned(),
        app_version: version.app_version.clone(),
        upgrade_from: version.upgrade_from.clone(),
        incompatible: version.incompatible(),
        notes_html: to_html(version.notes.get(language)),
    }
}

/// Show a template
#[utoipa::path(get, path = "/v1/templates/{catalog_id}/{template}", tag = "catalog",
    params(("catalog_id" = Uuid, Path), ("template" = String, Path), Language),
    responses((status = 200, body = TemplateDetail)))]
async fn get_template(
    State(app): State<App>,
    Path((id, name)): Path<(Uuid, String)>,
    Query(language): Query<Language>,
) -> Result<Json<TemplateDetail>> {
    let row = template(&app, id, &name).await?;
    let readme = store::readme(&app.db, id, &name).await?.unwrap_or_default();
    let versions = row.versions.iter();
    Ok(Json(TemplateDetail {
        summary: summary(&row, language.name()),
        readme_html: to_html(&readme),
        versions: versions
            .map(|(name, version)| version_summary(name, version, language.name()))
            .collect(),
        home: web_only(row.definition.home),
        source: web_only(row.definition.source),
        maintainer: row.definition.maintainer,
        license: row.definition.license,
        labels: row.definition.labels,
        deprecated: row.definition.deprecated,
    }))
}

/// Drops an address that a browser should not follow.
fn web_only(address: Option<String>) -> Option<String> {
    address.filter(|text| text.starts_with("https://") || text.starts_with("http://"))
}

/// Show a template's picture
#[utoipa::path(get, path = "/v1/templates/{catalog_id}/{template}/icon", tag = "catalog",
    params(("catalog_id" = Uuid, Path), ("template" = String, Path)),
    responses((status = 200, body = String, content_type = "image/svg+xml")))]
async fn get_icon(
    State(app): State<App>,
    Path((id, name)): Path<(Uuid, String)>,
) -> Result<Response> {
    let icon = store::icon(&app.db, id, &name).await?.ok_or_else(|| Error::not_found("picture"))?;
    // Catalogs are written by others: as a page of its own, a picture could run scripts.
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CONTENT_DISPOSITION, "attachment"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
        (header::CACHE_CONTROL, "private, max-age=3600"),
    ];
    Ok((headers, icon).into_response())
}

async fn version(
    app: &App,
    id: Uuid,
    template: &str,
    name: &str,
) -> Result<(model::TemplateVersion, String)> {
    let found = store::version(&app.db, id, template, name).await?;
    found.ok_or_else(|| Error::not_found("version"))
}

/// Show a version with its questions
#[utoipa::path(get, path = "/v1/templates/{catalog_id}/{template}/versions/{version}",
    tag = "catalog",
    params(("catalog_id" = Uuid, Path), ("template" = String, Path), ("version" = String, Path),
        Language),
    responses((status = 200, body = TemplateVersion)))]
async fn get_version(
    State(app): State<App>,
    Path((id, name, wanted)): Path<(Uuid, String, String)>,
    Query(language): Query<Language>,
) -> Result<Json<TemplateVersion>> {
    let (found, compose) = version(&app, id, &name, &wanted).await?;
    let row = template(&app, id, &name).await?;
    let readme = store::readme(&app.db, id, &name).await?.unwrap_or_default();
    Ok(Json(TemplateVersion {
        catalog_id: id,
        title: row.definition.title.get(language.name()).to_owned(),
        template: name,
        summary: version_summary(&wanted, &found, language.name()),
        questions: found.questions.iter().map(|one| one.wire(language.name())).collect(),
        compose,
        readme_html: to_html(&readme),
    }))
}

/// Show what an install would make
///
/// Changes nothing. What is wrong with the answers is in the body, not a 422.
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
    let Path((_, id, name, wanted)) = path;
    let (found, compose) = version(&app, id, &name, &wanted).await?;
    let (checked, errors) =
        answers::check(&found.questions, &input.answers, None, &mut rand::rng());
    let shown = answers::shown(&found.questions, &checked.values);
    let loaded = drover_compose::load(&compose, &checked.values);
    let (diagnostics, _) = stacks::describe(access, &loaded);
    let project = loaded.project.unwrap_or_default();
    Ok(Json(TemplatePreview {
        errors,
        shown,
        diagnostics,
        services: services(&project),
        volumes: project.volumes.keys().cloned().collect(),
        networks: project.networks.keys().cloned().collect(),
        secrets: project
            .secrets
            .values()
            .chain(project.configs.values())
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
    }))
}

fn services(project: &Project) -> Vec<PreviewService> {
    let ports = |service: &drover_compose::Service| {
        let ports = service.ports.iter().map(|port| {
            let address = port.host_ip.as_ref().map(|ip| format!("{ip}:")).unwrap_or_default();
            let host = port.published.map(|port| format!("{port}:")).unwrap_or_default();
            format!("{address}{host}{}/{}", port.target, port.protocol)
        });
        ports.collect()
    };
    let services = project.services.iter().map(|(name, service)| PreviewService {
        name: name.clone(),
        image: service.image.clone(),
        scale: service.deploy.replicas,
        ports: ports(service),
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
    services.collect()
}
