//! Identity providers, for administrators; the search for users and groups.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use drover_api::{
    CreateProvider, DoorKind, List, PrincipalSearch, Provider, ProviderHealth, ProviderKind, Scim,
    TestProvider, TestReport, TestSignIn, Timestamp, Topic, UpdateProvider, User,
};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    Door, Steps, accounts,
    model::{self, ProviderRow, Setup},
    refresh, registry,
    search::{self, Where},
    sign_in::{self, Begun, Purpose, keep_report, note_contact, under_test},
    store,
};
use crate::{
    access::Caller,
    app::App,
    audit::Note,
    error::{Error, Result, is_unique_violation},
    extract::{IfMatch, Json, ListQuery, Path, Query, SortKey, etag},
    settings, users,
};

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(test))
        .routes(routes!(test_sign_in))
        .routes(routes!(refresh_all))
        .routes(routes!(refresh_user))
        .routes(routes!(search_principals))
}

/// The name and value of a `Set-Cookie` for a redirection that begins.
pub fn ticket_cookie(app: &App, provider_id: Uuid, begun: &Begun) -> Result<HeaderValue> {
    cookie(app, provider_id, &begun.cookie, &begun.value, begun.lasts.whole_seconds())
}

/// The same, to take the cookie away.
pub fn no_ticket_cookie(app: &App, provider_id: Uuid, name: &str) -> Result<HeaderValue> {
    cookie(app, provider_id, name, "", 0)
}

fn cookie(app: &App, provider: Uuid, name: &str, value: &str, seconds: i64) -> Result<HeaderValue> {
    let secure = if app.settings.secure() { "; Secure" } else { "" };
    // `Lax`: it must come along when the provider sends the browser back.
    let text = format!(
        "{name}={value}; Path=/v1/sign-in/{provider}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    );
    HeaderValue::try_from(text).map_err(Error::internal)
}

async fn row(app: &App, id: Uuid) -> Result<ProviderRow> {
    store::get(&app.db, &app.cipher, id).await?.ok_or_else(|| Error::not_found("identity provider"))
}

/// A provider as the API shows it.
async fn view(app: &App, row: ProviderRow) -> Result<Provider> {
    let minutes = settings::directory_refresh_minutes(&app.db).await?;
    let figures = store::figures(&app.db, row.id, minutes).await?;
    let count = |number: i64| number.try_into().unwrap_or_default();
    let base = app.settings.public_url();
    let is_openid = row.kind == ProviderKind::Openid;
    Ok(Provider {
        allowed_principals: store::allowed_principals(&app.db, row.id).await?,
        callback_url: (row.kind.door() == DoorKind::Redirect)
            .then(|| sign_in::callback_url(app, row.id)),
        backchannel_logout_url: is_openid
            .then(|| format!("{base}/v1/sign-in/{}/back-channel-logout", row.id)),
        scim: is_openid.then(|| Scim {
            url: format!("{base}/scim/v2/{}", row.id),
            token_prefix: row.scim_token_prefix,
            last_used_at: row.scim_last_used_at.map(Timestamp),
            users: count(figures.scim_users),
            groups: count(figures.scim_groups),
        }),
        health: ProviderHealth {
            last_contact_at: row.last_contact_at.map(Timestamp),
            error: row.error,
            failing_since: row.failing_since.map(Timestamp),
            expires_at: figures.expires_at.map(Timestamp),
            refresh_pending: count(figures.pending),
        },
        users: count(figures.users),
        id: row.id,
        name: row.name,
        kind: row.kind,
        enabled: row.enabled,
        access_mode: row.access_mode,
        allowed_groups: row.allowed_groups,
        has_secret: row.current.secret.is_some(),
        config: row.current.config,
        draft: row.draft.map(|draft| draft.config),
        last_test: row.last_test.and_then(|report| serde_json::from_value(report).ok()),
        tested: row.tested,
        created_at: Timestamp(row.created_at),
        version: row.version,
    })
}

async fn answer(app: &App, id: Uuid) -> Result<(HeaderMap, Json<Provider>)> {
    let provider = view(app, row(app, id).await?).await?;
    Ok((etag(provider.version), Json(provider)))
}

/// List the identity providers
#[utoipa::path(get, path = "/v1/identity-providers", tag = "identity providers",
    params(ListQuery), responses((status = 200, body = List<Provider>)))]
async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Provider>>> {
    let mut providers = Vec::new();
    for row in store::list(&app.db, &app.cipher).await? {
        providers.push(view(&app, row).await?);
    }
    query
        .page(
            providers,
            &["name", "kind", "users", "created_at"],
            "name",
            |provider| format!("{} {}", provider.name, provider.kind.as_str()),
            |provider, field| match field {
                "kind" => SortKey::text(provider.kind.as_str()),
                "users" => SortKey::Number(provider.users.try_into().unwrap_or(i64::MAX)),
                "created_at" => SortKey::Number(provider.created_at.unix_ms()),
                _ => SortKey::text(&provider.name),
            },
        )
        .map(Json)
}

fn name_taken(error: sqlx::Error) -> Error {
    if is_unique_violation(&error) {
        Error::conflict("name_taken", "There is an identity provider with this name.")
    } else {
        error.into()
    }
}

/// A secret that was typed; an empty one is none.
fn typed(secret: Option<String>) -> Option<SecretString> {
    secret.filter(|secret| !secret.is_empty()).map(SecretString::from)
}

fn trimmed(groups: Vec<String>) -> Vec<String> {
    model::distinct(groups.into_iter().map(|group| group.trim().to_owned()).collect())
}

/// Make an identity provider
///
/// It is off until a test sign-in has worked.
#[utoipa::path(post, path = "/v1/identity-providers", tag = "identity providers",
    request_body = CreateProvider, responses((status = 201, body = Provider)))]
async fn create(
    State(app): State<App>,
    note: Note,
    Json(mut input): Json<CreateProvider>,
) -> Result<(StatusCode, HeaderMap, Json<Provider>)> {
    input.name = input.name.trim().to_owned();
    let groups = trimmed(input.allowed_groups);
    let mut errors = registry::check(&input.config);
    errors.extend(
        [
            model::check_name(&input.name),
            input.secret.as_deref().and_then(model::check_secret),
            model::check_allowed("allowed_groups", &groups),
        ]
        .into_iter()
        .flatten(),
    );
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    let setup = Setup { config: input.config, secret: typed(input.secret) };
    let id = store::insert(&app.db, &app.cipher, &input.name, &setup, input.access_mode, &groups)
        .await
        .map_err(name_taken)?;
    note.target(id, &input.name);
    note.detail("kind", setup.config.kind().as_str());
    app.events.updated(Topic::Provider, None, id).await;
    let (headers, body) = answer(&app, id).await?;
    Ok((StatusCode::CREATED, headers, body))
}

/// Show an identity provider
#[utoipa::path(get, path = "/v1/identity-providers/{provider_id}", tag = "identity providers",
    params(("provider_id" = Uuid, Path)), responses((status = 200, body = Provider)))]
async fn get(State(app): State<App>, Path(id): Path<Uuid>) -> Result<(HeaderMap, Json<Provider>)> {
    answer(&app, id).await
}

/// Change an identity provider
///
/// New settings of one that is on are a draft until a test sign-in with them has worked. One that
/// is off can be switched on only after a test sign-in has worked (409 `not_tested` otherwise).
/// Switching one off ends what people have through it at once.
#[utoipa::path(patch, path = "/v1/identity-providers/{provider_id}", tag = "identity providers",
    request_body = UpdateProvider,
    params(("provider_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Provider)))]
async fn update(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    note: Note,
    Json(mut input): Json<UpdateProvider>,
) -> Result<(HeaderMap, Json<Provider>)> {
    input.name = input.name.map(|name| name.trim().to_owned());
    input.allowed_groups = input.allowed_groups.map(trimmed);
    let principals = input
        .allowed_principals
        .take()
        .map(|all| model::distinct(all.iter().map(|id| model::canonical(id)).collect()));
    let mut errors = input.config.as_ref().map(registry::check).unwrap_or_default();
    errors.extend(
        [
            input.name.as_deref().and_then(model::check_name),
            input.secret.as_deref().and_then(model::check_secret),
            input.allowed_groups.as_deref().and_then(|g| model::check_allowed("allowed_groups", g)),
            principals.as_deref().and_then(|p| model::check_allowed("allowed_principals", p)),
        ]
        .into_iter()
        .flatten(),
    );
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    let before = row(&app, id).await?;
    note.target(id, &before.name);
    for principal in principals.iter().flatten() {
        let of_this = model::parse_principal_id(principal).is_some_and(|p| p.provider == id);
        if !of_this || !search::learn(&app, principal).await? {
            return Err(Error::invalid_field(
                "allowed_principals",
                format!("{principal} is no user or group of this provider."),
            ));
        }
    }
    let mut tx = app.db.begin().await?;
    let version =
        store::lock(&mut tx, id).await?.ok_or_else(|| Error::not_found("identity provider"))?;
    if_match.check(version)?;
    // What was read above may be old by now.
    if version != before.version {
        return Err(Error::changed_meanwhile());
    }
    let tested = apply_settings(&app, &mut tx, &before, &mut input, &note).await?;
    if input.enabled == Some(true) && !before.enabled && !tested {
        return Err(Error::conflict(
            "not_tested",
            "Sign in once with the test before you switch it on: that shows that people can.",
        ));
    }
    let change = store::Change {
        name: input.name.as_deref(),
        access_mode: input.access_mode,
        allowed_groups: input.allowed_groups.as_deref(),
        enabled: input.enabled,
    };
    store::update(&mut tx, id, &change).await.map_err(name_taken)?;
    if let Some(principals) = &principals {
        store::set_allowed_principals(&mut tx, id, principals).await?;
    }
    let rules = input.access_mode.is_some() || input.allowed_groups.is_some();
    if rules || principals.is_some() {
        let after = ProviderRow {
            access_mode: input.access_mode.unwrap_or(before.access_mode),
            allowed_groups: input
                .allowed_groups
                .clone()
                .unwrap_or_else(|| before.allowed_groups.clone()),
            ..before.clone()
        };
        // In the same transaction, and under the lock: no answer of a refresh or sign-in that is
        // under way is written down by the old rules after this.
        accounts::apply_rules(&mut tx, &after, None).await?;
    }
    tx.commit().await?;
    note_change(&note, &before, &input, principals.is_some());
    if rules || principals.is_some() {
        // Those who may in again are let in by their next refresh.
        accounts::all_due(&app.db, id).await?;
    }
    app.access_changed(Topic::Provider, None, id).await;
    answer(&app, id).await
}

/// Applies new settings, or keeps them as a draft. Whether the settings in force are tested.
async fn apply_settings(
    app: &App,
    tx: &mut sqlx::PgConnection,
    before: &ProviderRow,
    input: &mut UpdateProvider,
    note: &Note,
) -> Result<bool> {
    if input.discard_draft == Some(true) {
        store::set_draft(tx, &app.cipher, before.id, None).await?;
        note.detail("draft", "discarded");
    }
    if input.config.is_none() && input.secret.is_none() {
        return Ok(before.tested);
    }
    let base = match (&before.draft, input.discard_draft) {
        (Some(draft), None | Some(false)) => draft,
        _ => &before.current,
    };
    let config = input.config.take().unwrap_or_else(|| base.config.clone());
    if config.kind() != before.kind {
        return Err(Error::invalid_field("config.kind", "The kind of a provider cannot change."));
    }
    if model::identity_source(&config) != model::identity_source(&before.current.config)
        && store::has_people(tx, before.id).await?
    {
        return Err(Error::conflict(
            "identity_source_fixed",
            "Accounts and roles are tied to where this provider is and to the id of its people. Make another provider for another place, or another id, and delete this one.",
        ));
    }
    let typed_secret = typed(input.secret.take());
    // Or the stored secret would be sent to wherever somebody enters.
    if typed_secret.is_none()
        && base.secret.is_some()
        && model::secret_goes_to(&config) != model::secret_goes_to(&base.config)
    {
        return Err(Error::invalid_field(
            "secret",
            "Enter the secret again: where it is sent, or how that is protected, changes.",
        ));
    }
    let is_same = typed_secret.is_none() && config == base.config;
    let setup = Setup { config, secret: typed_secret.or_else(|| base.secret.clone()) };
    if is_same {
        return Ok(before.tested);
    }
    if before.enabled {
        note.detail("draft", "saved");
        store::set_draft(tx, &app.cipher, before.id, Some(&setup)).await?;
        return Ok(before.tested);
    }
    note.detail("settings", "changed");
    store::set_current(tx, &app.cipher, before.id, &setup).await?;
    Ok(false)
}

fn note_change(note: &Note, before: &ProviderRow, input: &UpdateProvider, principals: bool) {
    if let Some(name) = input.name.as_deref().filter(|name| *name != before.name) {
        note.detail("name", name);
    }
    if let Some(enabled) = input.enabled {
        note.detail("enabled", enabled);
    }
    if let Some(mode) = input.access_mode {
        note.detail("access_mode", mode.as_str());
    }
    if let Some(groups) = &input.allowed_groups {
        note.detail("allowed_groups", groups.clone());
    }
    if principals {
        note.detail("allowed_principals", "changed");
    }
}

/// Delete an identity provider
///
/// With it go its principals, and the roles that they have. Users who came through it stay in the
/// list, and cannot sign in any more unless they have a password or another account.
#[utoipa::path(delete, path = "/v1/identity-providers/{provider_id}", tag = "identity providers",
    params(("provider_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Deleted")))]
async fn delete(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    note: Note,
) -> Result<StatusCode> {
    let row = row(&app, id).await?;
    note.target(id, &row.name);
    let mut tx = app.db.begin().await?;
    let version =
        store::lock(&mut tx, id).await?.ok_or_else(|| Error::not_found("identity provider"))?;
    if_match.check(version)?;
    store::delete(&mut tx, id).await?;
    tx.commit().await?;
    app.access_changed(Topic::Provider, None, id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Test an identity provider
///
/// Step by step: connection, TLS, service account; for a directory with login and password also
/// the sign-in of that person with their groups. When that has worked, what was tested (the draft,
/// if there is one) comes into force, and the provider can be switched on.
#[utoipa::path(post, path = "/v1/identity-providers/{provider_id}/test",
    tag = "identity providers", request_body = TestProvider,
    params(("provider_id" = Uuid, Path)), responses((status = 200, body = TestReport)))]
async fn test(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    note: Note,
    Json(input): Json<TestProvider>,
) -> Result<Json<TestReport>> {
    let row = row(&app, id).await?;
    note.target(id, &row.name);
    let password = input.password.filter(|password| !password.is_empty());
    if input.login.is_some() && password.is_none() {
        return Err(Error::invalid_field("password", "Give the password of this account."));
    }
    let mut steps = Steps::begin();
    let found = match registry::connect(under_test(&row)) {
        Err(error) => Err(error),
        Ok(connection) => match (input.login, password, connection.door()) {
            (Some(login), Some(password), Door::Password(door)) => {
                note.detail("login", login.as_str());
                door.sign_in(login.trim(), &password.into(), &mut steps).await.map(Some)
            }
            (Some(_), _, Door::Redirect(_)) => {
                return Err(Error::invalid_field(
                    "login",
                    "People sign in to this provider on its own page: use the test sign-in.",
                ));
            }
            _ => connection.probe(&mut steps).await.map(|()| None),
        },
    };
    if row.draft.is_none() {
        note_contact(&app, &row, found.as_ref().err()).await;
    }
    let report = keep_report(&app, &row, row.version, steps, found).await?;
    note.detail("signed_in", report.signed_in);
    Ok(Json(report))
}

/// Begin a test sign-in
///
/// For a provider with a page of its own. Send the browser to the address in the answer; it comes
/// back to the provider's page in Drover, and the report is in `last_test`.
#[utoipa::path(post, path = "/v1/identity-providers/{provider_id}/test-sign-in",
    tag = "identity providers", params(("provider_id" = Uuid, Path)),
    responses((status = 200, body = TestSignIn)))]
async fn test_sign_in(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    note: Note,
) -> Result<Response> {
    let row = row(&app, id).await?;
    note.target(id, &row.name);
    let begun = sign_in::begin(&app, id, "/", Purpose::Test { version: row.version }).await?;
    let cookie = ticket_cookie(&app, id, &begun)?;
    Ok(([(header::SET_COOKIE, cookie)], Json(TestSignIn { url: begun.url })).into_response())
}

/// Read the groups of a provider's people again, now
///
/// Of those who are signed in or have API keys. `health.refresh_pending` tells how many are left.
#[utoipa::path(post, path = "/v1/identity-providers/{provider_id}/refresh",
    tag = "identity providers", params(("provider_id" = Uuid, Path)),
    responses((status = 202, body = Provider)))]
async fn refresh_all(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<Provider>)> {
    let row = row(&app, id).await?;
    note.target(id, &row.name);
    accounts::all_due(&app.db, id).await?;
    let (headers, body) = answer(&app, id).await?;
    Ok((StatusCode::ACCEPTED, headers, body))
}

/// Read a user's groups again, now
#[utoipa::path(post, path = "/v1/users/{user_id}/refresh", tag = "users",
    params(("user_id" = Uuid, Path)), responses((status = 200, body = User)))]
async fn refresh_user(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    note: Note,
) -> Result<(HeaderMap, Json<User>)> {
    let user = users::get(&app.db, id).await?.ok_or_else(|| Error::not_found("user"))?;
    note.target(id, &user.login);
    refresh::one_user(&app, id).await?;
    let user = users::get(&app.db, id).await?.ok_or_else(|| Error::not_found("user"))?;
    Ok((etag(user.version), Json(user)))
}

/// What to look for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct PrincipalQuery {
    /// Part of a name or login.
    #[serde(default)]
    q: String,
    /// Only there: the id of a provider, or `local`. Absent: everywhere.
    #[serde(default)]
    provider_id: Option<String>,
}

/// Search users and groups
///
/// To add them as members: among the local accounts and at every provider that is on, at most 50
/// of each. Providers are asked from three letters on; one that does not answer says so in
/// `providers` and does not hold up the others. For owners of an environment.
#[utoipa::path(get, path = "/v1/principals", tag = "users", params(PrincipalQuery),
    responses((status = 200, body = PrincipalSearch)))]
async fn search_principals(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<PrincipalQuery>,
) -> Result<Json<PrincipalSearch>> {
    let place = match query.provider_id.as_deref() {
        None | Some("") => Where::Everywhere,
        Some("local") => Where::Local,
        Some(id) => Where::At(id.parse().map_err(|_| Error::not_found("identity provider"))?),
    };
    let text: String = query.q.trim().chars().take(100).collect();
    Ok(Json(search::search(&app, &caller, &text, place).await?))
}
