//! The protocol's routes, and those of the token.

use std::collections::HashSet;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use drover_api::{ProviderKind, ScimToken, Topic};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    auth::{Provisioner, TOKEN_PREFIX},
    error::MEDIA_TYPE,
    model::{
        Group, Meta, Projection, Search, SearchQuery, SearchRequest, User, group_link, member_link,
        show_group, show_page, show_user,
    },
    patch::{self, GroupChange},
    schema::{ENTERPRISE, GROUP, GROUPS, ResourceType, USER, USERS},
    store::{self, GroupRow, UserRow},
};
use crate::{
    app::App,
    audit::Note,
    error::{Error, Result},
    extract::{IfMatch, Json, Path, Query},
    providers::{self, ProviderRow},
};

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(make_token, delete_token))
        .routes(routes!(service_provider_config))
        .routes(routes!(resource_types))
        .routes(routes!(resource_type))
        .routes(routes!(schemas))
        .routes(routes!(schema))
        .routes(routes!(list_users, create_user))
        .routes(routes!(search_users))
        .routes(routes!(get_user, replace_user, patch_user, delete_user))
        .routes(routes!(list_groups, create_group))
        .routes(routes!(search_groups))
        .routes(routes!(get_group, replace_group, patch_group, delete_group))
}

/// The base address of a provider's SCIM.
fn base(app: &App, provider: Uuid) -> String {
    format!("{}/scim/v2/{provider}", app.settings.public_url())
}

/// The provider's row, for what is written.
async fn provider(app: &App, by: &Provisioner) -> Result<ProviderRow> {
    let row = providers::get(&app.db, &app.cipher, by.provider_id).await?;
    row.ok_or_else(|| Error::not_found("identity provider"))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body.to_string()).into_response()
}

/// A resource with its `ETag` and address.
fn resource(
    status: StatusCode,
    of: &ResourceType,
    meta: &Meta,
    base: &str,
    shown: Value,
    projection: &Projection,
) -> Response {
    let mut response = answer(status, &projection.apply(shown));
    tag(&mut response, meta);
    if let Ok(location) = HeaderValue::try_from(meta.location(of, base)) {
        let name =
            if status == StatusCode::CREATED { header::LOCATION } else { header::CONTENT_LOCATION };
        response.headers_mut().insert(name, location);
    }
    response
}

fn tag(response: &mut Response, meta: &Meta) {
    if let Ok(tag) = HeaderValue::try_from(meta.etag()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}

/// Whether the client has this version already.
fn is_known(headers: &HeaderMap, meta: &Meta) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    known.is_some_and(|known| {
        known.trim() == "*" || known.split(',').any(|tag| plain(tag) == plain(&meta.etag()))
    })
}

fn not_modified(meta: &Meta) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    tag(&mut response, meta);
    response
}

// ---- the token

/// Make a SCIM token
///
/// Switches SCIM on for an OpenID provider, or replaces the token: the one before is not good any
/// more. The answer is the only time that it is shown.
#[utoipa::path(post, path = "/v1/identity-providers/{provider_id}/scim-token", tag = "scim",
    params(("provider_id" = Uuid, Path)), responses((status = 201, body = ScimToken)))]
async fn make_token(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    note: Note,
) -> Result<(StatusCode, crate::extract::Json<ScimToken>)> {
    openid_provider(&app, id, &note).await?;
    let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let token = format!("{TOKEN_PREFIX}{secret}");
    let hash = Sha256::digest(token.as_bytes());
    let prefix = &token[..TOKEN_PREFIX.len() + 6];
    store::set_token(&app.db, id, Some((&hash, prefix))).await?;
    note.detail("prefix", prefix);
    app.events.updated(Topic::Provider, None, id).await;
    Ok((StatusCode::CREATED, Json(ScimToken { url: base(&app, id), token })))
}

/// Take the SCIM token away
///
/// Nothing can be pushed from then on. What was pushed stays as it is.
#[utoipa::path(delete, path = "/v1/identity-providers/{provider_id}/scim-token", tag = "scim",
    params(("provider_id" = Uuid, Path)), responses((status = 204, description = "Taken away")))]
async fn delete_token(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    note: Note,
) -> Result<StatusCode> {
    openid_provider(&app, id, &note).await?;
    store::set_token(&app.db, id, None).await?;
    note.detail("removed", true);
    app.events.updated(Topic::Provider, None, id).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn openid_provider(app: &App, id: Uuid, note: &Note) -> Result<()> {
    let provider = providers::get(&app.db, &app.cipher, id).await?;
    let provider = provider.ok_or_else(|| Error::not_found("identity provider"))?;
    note.target(id, &provider.name);
    if provider.kind != ProviderKind::Openid {
        return Err(Error::conflict(
            "scim_needs_openid",
            "Only OpenID providers push users and groups by SCIM: the others are asked by Drover.",
        ));
    }
    Ok(())
}

// ---- what the service can do

/// RFC 7644, 4: these lists take no filter.
fn refuse_filter(query: &SearchQuery) -> Result<()> {
    if query.has_filter() {
        return Err(Error::forbidden("This list takes no filter."));
    }
    Ok(())
}

fn whole_list(resources: Vec<Value>) -> Response {
    let total = i64::try_from(resources.len()).unwrap_or(i64::MAX);
    answer(StatusCode::OK, &show_page(total, 0, resources))
}

/// Show what SCIM can do here
#[utoipa::path(get, path = "/scim/v2/{provider_id}/ServiceProviderConfig", tag = "scim",
    params(("provider_id" = Uuid, Path)),
    responses((status = 200, body = Object, content_type = "application/scim+json")))]
async fn service_provider_config(State(app): State<App>, by: Provisioner) -> Result<Response> {
    let base = base(&app, by.provider_id);
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": 1000 },
        "changePassword": { "supported": false },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "The SCIM token of the identity provider, made in Drover.",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base}/ServiceProviderConfig"),
        },
    });
    Ok(answer(StatusCode::OK, &body))
}

/// List the types of resources
#[utoipa::path(get, path = "/scim/v2/{provider_id}/ResourceTypes", tag = "scim",
    params(("provider_id" = Uuid, Path)),
    responses((status = 200, body = Object, content_type = "application/scim+json")))]
async fn resource_types(
    State(app): State<App>,
    by: Provisioner,
    Query(query): Query<SearchQuery>,
) -> Result<Response> {
    refuse_filter(&query)?;
    let base = base(&app, by.provider_id);
    Ok(whole_list([USERS, GROUPS].map(|of| of.to_json(&base)).into()))
}

/// Show a type of resources
#[utoipa::path(get, path = "/scim/v2/{provider_id}/ResourceTypes/{name}", tag = "scim",
    params(("provider_id" = Uuid, Path), ("name" = String, Path)),
    responses((status = 200, body = Object, content_type = "application/scim+json")))]
async fn resource_type(
    State(app): State<App>,
    by: Provisioner,
    Path((_provider, name)): Path<(Uuid, String)>,
) -> Result<Response> {
    let of = [USERS, GROUPS].into_iter().find(|of| of.name == name);
    let of = of.ok_or_else(|| Error::not_found("type of resource"))?;
    Ok(answer(StatusCode::OK, &of.to_json(&base(&app, by.provider_id))))
}

/// List the schemas
#[utoipa::path(get, path = "/scim/v2/{provider_id}/Schemas", tag = "scim",
    params(("provider_id" = Uuid, Path)),
    responses((status = 200, body = Object, content_type = "application/scim+json")))]
async fn schemas(
    State(app): State<App>,
    by: Provisioner,
    Query(query): Query<SearchQuery>,
) -> Result<Response> {
    refuse_filter(&query)?;
    let base = base(&app, by.provider_id);
    Ok(whole_list([&USER, &ENTERPRISE, &GROUP].map(|schema| schema.to_json(&base)).into()))
}

/// Show a schema
#[utoipa::path(get, path = "/scim/v2/{provider_id}/Schemas/{schema}", tag = "scim",
    params(("provider_id" = Uuid, Path), ("schema" = String, Path)),
    responses((status = 200, body = Object, content_type = "application/scim+json")))]
async fn schema(
    State(app): State<App>,
    by: Provisioner,
    Path((_provider, id)): Path<(Uuid, String)>,
) -> Result<Response> {
    let schema = [&USER, &ENTERPRISE, &GROUP].into_iter().find(|schema| schema.id == id);
    let schema = schema.ok_or_else(|| Error::not_found("schema"))?;
    Ok(answer(StatusCode::OK, &schema.to_json(&base(&app, by.provider_id))))
}

// ---- users

/// Users with the groups that they are in, where the client wants those.
async fn shown_users(
    db: &mut PgConnection,
    rows: &[UserRow],
    projection: &Projection,
    base: &str,
) -> Result<Vec<Value>> {
    let mut groups = if projection.wants("groups") {
        let ids: Vec<Uuid> = rows.iter().map(|row| row.meta.id).collect();
        store::groups_of(db, &ids).await?
    } else {
        Default::default()
    };
    let shown = rows.iter().map(|row| {
        let links = groups.remove(&row.meta.id).unwrap_or_default();
        let links = links.iter().map(|(id, name)| group_link(*id, name, base)).collect();
        show_user(&row.meta, &row.user, links, base)
    });
    Ok(shown.collect())
}

async fn one_user(
    db: &mut PgConnection,
    status: StatusCode,
    row: UserRow,
    projection: &Projection,
    base: &str,
) -> Result<Response> {
    let rows = [row];
    let shown = shown_users(db, &rows, projection, base).await?.pop().unwrap_or_default();
    Ok(resource(status, USERS, &rows[0].meta, base, shown, projection))
}

async fn user_page(app: &App, by: &Provisioner, search: Search) -> Result<Response> {
    let base = base(app, by.provider_id);
    let mut db = app.db.acquire().await?;
    let (total, rows) = store::search_users(&mut db, by.provider_id, &search, &base).await?;
    let shown = shown_users(&mut db, &rows, &search.projection, &base).await?;
    let shown = shown.into_iter().map(|one| search.projection.apply(one)).collect();
    Ok(answer(StatusCode::OK, &show_page(total, search.offset, shown)))
}

/// List pushed users
#[utoipa::path(get, path = "/scim/v2/{provider_id}/Users", tag = "scim",
    params(("provider_id" = Uuid, Path), SearchQuery),
    responses((status = 200, body = Object, content_type = "application/scim+json")))]
async fn list_users(
    State(app): State<App>,
    by: Provisioner,
    Query(query): Query<SearchQuery>,
) -> Result<Response> {
    user_page(&app, &by, query.read(USERS)?).await
}

/// Search pushed users
///
/// As the list, with the parameters in the body.
#[utoipa::path(post, path = "/scim/v2/{provider_id}/Users/.search", tag = "scim",
    params(("provider_id" = Uuid, Path)),
    request_body(content = SearchRequest, content_type = "application/scim+json"),
    responses((status = 200, body = Object, content_type = "application/scim+json")))]
async fn search_users(
    State(app): State<App>,
    by: Provisioner,
    Json(request): Json<SearchRequest>,
) -> Result<Response> {
    user_page(&app, &by, request.read(USERS)?).await
}

/// Push a new user
///
/// Makes the account, or takes over the one that the person has from signing in. The `externalId`
/// must be what the provider's ID tokens name the person by.
#[utoipa::path(post, path = "/scim/v2/{provider_id}/Users", tag = "scim",
    params(("provider_id" = Uuid, Path)),
    request_body(content = Object, content_type = "application/scim+json", example = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "grace@example.com", "externalId": "6f1c…", "active": true })),
    responses((status = 201, body = Object, content_type = "application/scim+json")))]
async fn create_user(
    State(app): State<App>,
    by: Provisioner,
    note: Note,
    Query(query): Query<SearchQuery>,
    Json(body): Json<Value>,
) -> Result<Response> {
    let projection = query.projection(USERS)?;
    let user = User::read(body)?;
    note_user(&note, None, &user);
    let provider = provider(&app, &by).await?;
    let mut tx = app.db.begin().await?;
    store::lock(&mut tx, provider.id).await?;
    let (row, user_id) = store::insert_user(&mut tx, &provider, &user).await?;
    tx.commit().await?;
    note_user(&note, Some(row.meta.id), &user);
    note.detail("user_id", user_id.to_string());
    // The person may have been here before, and be in no more.
    app.access_changed(Topic::User, None, user_id).await;
    let mut db = app.db.acquire().await?;
    one_user(&mut db, StatusCode::CREATED, row, &projection, &base(&app, by.provider_id)).await
}

fn note_user(note: &Note, id: Option<Uuid>, user: &User) {
    note.target(id.map(|id| id.to_string()).unwrap_or_default(), user.user_name());
    note.detail("active", user.active());
}

async fn find_user(db: &mut PgConnection, by: &Provisioner, id: Uuid) -> Result<UserRow> {
    store::user(db, by.provider_id, id).await?.ok_or_else(|| Error::not_found("user"))
}

/// Show a pushed user
#[utoipa::path(get, path = "/scim/v2/{provider_id}/Users/{id}", tag = "scim",
    params(("provider_id" = Uuid, Path), ("id" = Uuid, Path)),
    responses((status = 200, body = Object, content_type = "application/scim+json")))]
async fn get_user(
    State(app): State<App>,
    by: Provisioner,
    Path((_provider, id)): Path<(Uuid, Uuid)>,
    Query(query): Query<SearchQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    let projection = query.projection(USERS)?;
    let mut db = app.db.acquire().await?;
    let row = find_user(&mut db, &by, id).await?;
    if is_known(&headers, &row.meta) {
        return Ok(not_modified(&row.meta));
    }
    one_user(&mut db, StatusCode::OK, row, &projection, &base(&app, by.provider_id)).await
}

/// Push a user in place of what was
#[utoipa::path(put, path = "/scim/v2/{provider_id}/Users/{id}", tag = "scim",
    params(("provider_id" = Uuid, Path), ("id" = Uuid, Path),
        ("If-Match" = Option<String>, Header)),
    request_body(content = Object, content_type = "application/scim+json"),
    responses((status = 200, body = Object, content_type = "application/scim+json")))]
async fn replace_user(
    State(app): State<App>,
    by: Provisioner,
    Path((_provider, id)): Path<(Uuid, Uuid)>,
    if_match: IfMatch,
    note: Note,
    Query(query): Query<SearchQuery>,
    Json(body): Json<Value>,
) -> Result<Response> {
    let projection = query.projection(USERS)?;
    let says_active = body.as_object().is_some_and(|body| {
        body.iter().any(|(key, value)| key.eq_ignore_ascii_case("active") && !value.is_null())
    });
    let user = User::read(body)?;
    change_user(&app, &by, id, if_match, &note, &projection, |before| {
        Ok(user.keep_active_unless_said(says_active, before.active()))
    })
    .await
}

/// Push changes of a user
///
/// `active: false` ends the person's sessions, API keys and open streams at once.
#[utoipa::path(patch, path = "/scim/v2/{provider_id}/Users/{id}", tag = "scim",
    params(("provider_id" = Uuid, Path), ("id" = Uuid, Path),
        ("If-Match" = Option<String>, Header)),
    request_body(content = Object, content_type = "application/scim+json", example = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "replace", "path": "active", "value": false }] })),
    responses((status = 200, body = Object, content_type = "application/scim+json")))]
async fn patch_user(
    State(app): State<App>,
    by: Provisioner,
    Path((_provider, id)): Path<(Uuid, Uuid)>,
    if_match: IfMatch,
    note: Note,
    Query(query): Query<SearchQuery>,
    Json(body): Json<Value>,
) -> Result<Response> {
    let projection = query.projection(USERS)?;
    let operations = patch::read(body)?;
    change_user(&app, &by, id, if_match, &note, &projection, |before| {
        patch::apply(before, operations)
    })
    .await
}

async fn change_user(
    app: &App,
    by: &Provisioner,
    id: Uuid,
    if_match: IfMatch,
    note: &Note,
    projection: &Projection,
    change: impl FnOnce(User) -> Result<User>,
) -> Result<Response> {
    let base = base(app, by.provider_id);
    let provider = provider(app, by).await?;
    let mut tx = app.db.begin().await?;
    store::lock(&mut tx, provider.id).await?;
    let mut row = find_user(&mut tx, by, id).await?;
    note_user(note, Some(id), &row.user);
    if_match.check(row.meta.version)?;
    let user = change(row.user.clone())?;
    note_user(note, Some(id), &user);
    if user != row.user {
        let updated = store::update_user(&mut tx, &provider, &mut row, user).await?;
        if updated.access && row.user.active() {
            store::apply_rules(&mut tx, &provider, &[id]).await?;
        }
        tx.commit().await?;
        if updated.access {
            app.access_changed(Topic::User, None, updated.user_id).await;
        } else {
            app.events.updated(Topic::User, None, updated.user_id).await;
        }
    }
    let mut db = app.db.acquire().await?;
    one_user(&mut db, StatusCode::OK, row, projection, &base).await
}

/// Remove a pushed user
///
/// The account and its roles go, and with them sessions, API keys and open streams.
#[utoipa::path(delete, path = "/scim/v2/{provider_id}/Users/{id}", tag = "scim",
    params(("provider_id" = Uuid, Path), ("id" = Uuid, Path),
        ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Removed")))]
async fn delete_user(
    State(app): State<App>,
    by: Provisioner,
    Path((_provider, id)): Path<(Uuid, Uuid)>,
    if_match: IfMatch,
    note: Note,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    store::lock(&mut tx, by.provider_id).await?;
    let row = find_user(&mut tx, &by, id).await?;
    note.target(id, row.user.user_name());
    if_match.check(row.meta.version)?;
    store::delete_user(&mut tx, &row).await?;
    tx.commit().await?;
    app.access_changed_quietly().await;
    Ok(StatusCode::NO_CONTENT)
}

// ---- groups

/// Groups with their members, where the client wants those.
async fn shown_groups(
    db: &mut PgConnection,
    rows: &[GroupRow],
    projection: &Projection,
    base: &str,
) -> Result<Vec<Value>> {
    let mut members = if projection.wants("members") {
        let ids: Vec<Uuid> = rows.iter().map(|row| row.meta.id).collect();
        store::members_of(db, &ids).await?
    } else {
        Default::default()
    };
    let shown = rows.iter().map(|row| {
        let links = members.remove(&row.meta.id).unwrap_or_default();
        let links = links.iter().map(|(id, name)| member_link(*id, name, base)).collect();
        show_group(&row.meta, &row.display_name, row.external_id.as_deref(), links, base)
    });
    Ok(shown.collect())
}

async fn one_group(
    db: &mut PgConnection,
    status: StatusCode,
    row: GroupRow,
    projection: &Projection,
    base: &str,
) -> Result<Response> {
    let rows = [row];
    let shown = shown_groups(db, &rows, projection, base).await?.pop().unwrap_or_default();
    Ok(resource(status, GROUPS, &rows[0].meta, base, shown, projection))
}

async fn group_page(app: &App, by: &Provisioner, search: Search) -> Result<Response> {
    let base = base(app, by.provider_id);
    let mut db = app.db.acquire().await?;
    let (total, rows) = store::search_groups(&mut db, by.provider_id, &search, &base).await?;
    let shown = shown_groups(&mut db, &rows, &search.projection, &base).await?;
    let shown = shown.into_iter().map(|one| search.projection.apply(one)).collect();
    Ok(answer(StatusCode::OK, &show_page(total, search.offset, shown)))
}

/// List pushed groups
///
/// With `excludedAttributes=members` where groups are large.
#[utoipa::path(get, path = "/scim/v2/{provider_id}/Groups", tag = "scim",
    params(("provider_id" = Uuid, Path), SearchQuery),
    responses((status = 200, body = Object, content_type = "application/scim+json")))]
async fn list_groups(
    State(app): State<App>,
    by: Provisioner,
    Query(query): Query<SearchQuery>,
) -> Result<Response> {
    group_page(&app, &by, query.read(GROUPS)?).await
}

/// Search pushed groups
///
/// As the list, with the parameters in the body.
#[utoipa::path(post, path = "/scim/v2/{provider_id}/Groups/.search", tag = "scim",
    params(("provider_id" = Uuid, Path)),
    request_body(content = SearchRequest, content_type = "application/scim+json"),
    responses((status = 200, body = Object, content_type = "application/scim+json")))]
async fn search_groups(
    State(app): State<App>,
    by: Provisioner,
    Json(request): Json<SearchRequest>,
) -> Result<Response> {
    group_page(&app, &by, request.read(GROUPS)?).await
}

/// Push a new group
///
/// It can be given roles in environments from then on.
#[utoipa::path(post, path = "/scim/v2/{provider_id}/Groups", tag = "scim",
    params(("provider_id" = Uuid, Path)),
    request_body(content = Object, content_type = "application/scim+json", example = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "displayName": "Platform team", "externalId": "8aa1…",
        "members": [{ "value": "0198c0de-0000-7000-8000-000000000001" }] })),
    responses((status = 201, body = Object, content_type = "application/scim+json")))]
async fn create_group(
    State(app): State<App>,
    by: Provisioner,
    note: Note,
    Query(query): Query<SearchQuery>,
    Json(body): Json<Value>,
) -> Result<Response> {
    let projection = query.projection(GROUPS)?;
    let group = Group::read(body)?;
    note.target("", &group.display_name);
    let provider = provider(&app, &by).await?;
    let mut tx = app.db.begin().await?;
    store::lock(&mut tx, provider.id).await?;
    let row = store::insert_group(&mut tx, &provider, &group).await?;
    let members = group.members.into_iter().collect();
    let joined = store::join(&mut tx, by.provider_id, &row, &members).await?;
    tx.commit().await?;
    note.target(row.meta.id, &row.display_name);
    note.detail("added", joined.len());
    if !joined.is_empty() {
        app.access_changed_quietly().await;
    }
    let mut db = app.db.acquire().await?;
    one_group(&mut db, StatusCode::CREATED, row, &projection, &base(&app, by.provider_id)).await
}

async fn find_group(db: &mut PgConnection, by: &Provisioner, id: Uuid) -> Result<GroupRow> {
    store::group(db, by.provider_id, id).await?.ok_or_else(|| Error::not_found("group"))
}

/// Show a pushed group
#[utoipa::path(get, path = "/scim/v2/{provider_id}/Groups/{id}", tag = "scim",
    params(("provider_id" = Uuid, Path), ("id" = Uuid, Path)),
    responses((status = 200, body = Object, content_type = "application/scim+json")))]
async fn get_group(
    State(app): State<App>,
    by: Provisioner,
    Path((_provider, id)): Path<(Uuid, Uuid)>,
    Query(query): Query<SearchQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    let projection = query.projection(GROUPS)?;
    let mut db = app.db.acquire().await?;
    let row = find_group(&mut db, &by, id).await?;
    if is_known(&headers, &row.meta) {
        return Ok(not_modified(&row.meta));
    }
    one_group(&mut db, StatusCode::OK, row, &projection, &base(&app, by.provider_id)).await
}

/// Push a group in place of what was
#[utoipa::path(put, path = "/scim/v2/{provider_id}/Groups/{id}", tag = "scim",
    params(("provider_id" = Uuid, Path), ("id" = Uuid, Path),
        ("If-Match" = Option<String>, Header)),
    request_body(content = Object, content_type = "application/scim+json"),
    responses((status = 200, body = Object, content_type = "application/scim+json")))]
async fn replace_group(
    State(app): State<App>,
    by: Provisioner,
    Path((_provider, id)): Path<(Uuid, Uuid)>,
    if_match: IfMatch,
    note: Note,
    Query(query): Query<SearchQuery>,
    Json(body): Json<Value>,
) -> Result<Response> {
    let projection = query.projection(GROUPS)?;
    let group = Group::read(body)?;
    let change = GroupChange {
        display_name: Some(group.display_name),
        external_id: Some(group.external_id),
        clear: true,
        add: group.members.into_iter().collect(),
        ..GroupChange::default()
    };
    let row = change_group(&app, &by, id, if_match, &note, change).await?;
    let mut db = app.db.acquire().await?;
    one_group(&mut db, StatusCode::OK, row, &projection, &base(&app, by.provider_id)).await
}

/// Push changes of a group
///
/// Answers 204, as the group may have thousands of members; with `attributes` or
/// `excludedAttributes`, 200 with what they say.
#[utoipa::path(patch, path = "/scim/v2/{provider_id}/Groups/{id}", tag = "scim",
    params(("provider_id" = Uuid, Path), ("id" = Uuid, Path),
        ("If-Match" = Option<String>, Header)),
    request_body(content = Object, content_type = "application/scim+json", example = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "add", "path": "members",
            "value": [{ "value": "0198c0de-0000-7000-8000-000000000001" }] }] })),
    responses((status = 204, description = "Changed"),
        (status = 200, body = Object, content_type = "application/scim+json")))]
async fn patch_group(
    State(app): State<App>,
    by: Provisioner,
    Path((_provider, id)): Path<(Uuid, Uuid)>,
    if_match: IfMatch,
    note: Note,
    Query(query): Query<SearchQuery>,
    Json(body): Json<Value>,
) -> Result<Response> {
    let projection = query.projection(GROUPS)?;
    let change = GroupChange::read(patch::read(body)?)?;
    let row = change_group(&app, &by, id, if_match, &note, change).await?;
    if !query.names_attributes() {
        let mut response = StatusCode::NO_CONTENT.into_response();
        tag(&mut response, &row.meta);
        return Ok(response);
    }
    let mut db = app.db.acquire().await?;
    one_group(&mut db, StatusCode::OK, row, &projection, &base(&app, by.provider_id)).await
}

async fn change_group(
    app: &App,
    by: &Provisioner,
    id: Uuid,
    if_match: IfMatch,
    note: &Note,
    change: GroupChange,
) -> Result<GroupRow> {
    let provider = provider(app, by).await?;
    let mut tx = app.db.begin().await?;
    store::lock(&mut tx, provider.id).await?;
    let mut row = find_group(&mut tx, by, id).await?;
    note.target(id, &row.display_name);
    if_match.check(row.meta.version)?;
    let left = if change.clear {
        store::leave_all_but(&mut tx, &row, &change.add).await?
    } else {
        store::leave(&mut tx, &row, &change.remove).await?
    };
    let joined = store::join(&mut tx, by.provider_id, &row, &change.add).await?;
    let name = change.display_name.unwrap_or_else(|| row.display_name.clone());
    let external_id = change.external_id.unwrap_or_else(|| row.external_id.clone());
    let renamed = name != row.display_name || external_id != row.external_id;
    let has_members_changed = !left.is_empty() || !joined.is_empty();
    if !renamed && !has_members_changed {
        return Ok(row);
    }
    row.display_name = name;
    row.external_id = external_id;
    let moved = store::update_group(&mut tx, &provider, &mut row).await?;
    store::apply_rules(&mut tx, &provider, &left).await?;
    tx.commit().await?;
    note.target(id, &row.display_name);
    note.detail("added", joined.len());
    note.detail("removed", left.len());
    if has_members_changed || moved {
        app.access_changed_quietly().await;
    }
    Ok(row)
}

/// Remove a pushed group
///
/// With the roles that it was given.
#[utoipa::path(delete, path = "/scim/v2/{provider_id}/Groups/{id}", tag = "scim",
    params(("provider_id" = Uuid, Path), ("id" = Uuid, Path),
        ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Removed")))]
async fn delete_group(
    State(app): State<App>,
    by: Provisioner,
    Path((_provider, id)): Path<(Uuid, Uuid)>,
    if_match: IfMatch,
    note: Note,
) -> Result<StatusCode> {
    let provider = provider(&app, &by).await?;
    let mut tx = app.db.begin().await?;
    store::lock(&mut tx, provider.id).await?;
    let row = find_group(&mut tx, &by, id).await?;
    note.target(id, &row.display_name);
    if_match.check(row.meta.version)?;
    let left = store::leave_all_but(&mut tx, &row, &HashSet::new()).await?;
    store::delete_group(&mut tx, &row).await?;
    store::apply_rules(&mut tx, &provider, &left).await?;
    tx.commit().await?;
    app.access_changed_quietly().await;
    Ok(StatusCode::NO_CONTENT)
}
