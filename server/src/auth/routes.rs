//! Set-up, sign-in and out, the caller's own password, sessions and API keys.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use drover_api::{
    ApiKey, BrowserSession, ChangePassword, CreateApiKey, CreateUser, CreatedApiKey, FieldError,
    GlobalRole, List, Session as SessionAnswer, SessionUser, SetupRequest, SetupState,
    SignInRequest, SignedOut, Topic,
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tower_sessions::Session;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    API_KEY_PREFIX, keys, password, session_error, session_store::row_id, setup, store, throttle,
};
use crate::{
    access::{Caller, ClientAddress},
    app::App,
    audit::Note,
    error::{Error, Result},
    extract::{Json, Path},
    providers::{
        Door, ProviderSession,
        sign_in::{self, Refused},
    },
    users,
};

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(setup_state, complete_setup))
        .routes(routes!(session, sign_in, sign_out))
        .routes(routes!(change_password))
        .routes(routes!(list_sessions, sign_out_everywhere))
        .routes(routes!(end_one_session))
        .routes(routes!(list_api_keys, create_api_key))
        .routes(routes!(delete_api_key))
        .merge(super::redirect::router())
}

/// Tell whether the first administrator is still to be made
#[utoipa::path(get, path = "/v1/setup", tag = "session",
    responses((status = 200, body = SetupState)))]
async fn setup_state(State(app): State<App>) -> Result<Json<SetupState>> {
    Ok(Json(SetupState { required: !store::has_admin(&app.db).await? }))
}

/// Make the first administrator
///
/// With the token of the link that the server printed at its start. Signs in.
#[utoipa::path(post, path = "/v1/setup", tag = "session", request_body = SetupRequest,
    responses((status = 201, body = SessionAnswer)))]
async fn complete_setup(
    State(app): State<App>,
    session: Session,
    ClientAddress(address): ClientAddress,
    note: Note,
    headers: HeaderMap,
    Json(input): Json<SetupRequest>,
) -> Result<(StatusCode, Json<SessionAnswer>)> {
    throttle::check(&app.db, "setup", address).await?;
    if !setup::token_is_right(&app.db, &input.token).await? {
        throttle::failed(&app.db, "setup", address).await?;
        return Err(Error::denied(
            "setup_token",
            "This set-up link is not valid (any more). The server prints a new one at each start until set-up is done.",
        ));
    }
    let new = CreateUser {
        login: input.login,
        display_name: input.display_name,
        email: None,
        password: input.password,
        global_role: Some(GlobalRole::Admin),
    };
    let new = users::validate(new).await?;
    let mut tx = app.db.begin().await?;
    if !store::lock_setup(&mut tx).await? {
        return Err(Error::conflict("setup_done", "The first administrator has been made."));
    }
    let user = users::insert(&mut tx, &new).await?;
    store::clear_setup_token(&mut tx).await?;
    tx.commit().await?;
    note.actor(Some(user.id), &user.login);
    note.target(user.id, &user.login);
    let answer = open_session(&app, &session, user.id, None, address, &headers).await?;
    app.events.updated(Topic::User, None, user.id).await;
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Sign in with login and password
///
/// Of a local account, or with `provider_id` of an account in that directory.
#[utoipa::path(post, path = "/v1/session", tag = "session", request_body = SignInRequest,
    responses((status = 200, body = SessionAnswer)))]
async fn sign_in(
    State(app): State<App>,
    session: Session,
    ClientAddress(address): ClientAddress,
    note: Note,
    headers: HeaderMap,
    Json(input): Json<SignInRequest>,
) -> Result<Json<SessionAnswer>> {
    note.actor(None, &input.login);
    // Guesses are counted for each directory apart: the same login is somebody else there.
    let account = match input.provider_id {
        Some(provider) => format!("{provider}:{}", input.login.trim()),
        None => input.login.clone(),
    };
    throttle::check(&app.db, &account, address).await?;
    let password = SecretString::from(input.password);
    let proved = match input.provider_id {
        Some(provider) => sign_in::with_password(&app, provider, &input.login, password, &note)
            .await
            .map(|signed_in| (signed_in.user_id, Some(Via::new(signed_in.provider_id, None)))),
        None => local(&app, &input.login, password, &note).await.map(|user_id| (user_id, None)),
    };
    let (user_id, via) = match proved {
        Ok(proved) => proved,
        Err(refused) => {
            if refused.is_guess {
                throttle::failed(&app.db, &account, address).await?;
            }
            return Err(refused.error);
        }
    };
    throttle::succeeded(&app.db, &account, address).await?;
    store::note_sign_in(&app.db, user_id).await?;
    let answer = open_session(&app, &session, user_id, via, address, &headers).await?;
    note.actor(Some(user_id), &answer.user.login);
    Ok(Json(answer))
}

/// The user with this login and password of Drover's own.
async fn local(
    app: &App,
    login: &str,
    password: SecretString,
    note: &Note,
) -> Result<Uuid, Refused> {
    let account = store::account(&app.db, login).await?;
    let why_not = match &account {
        None => "there is no such account",
        Some(account) if !account.active => "the account is inactive",
        Some(account) if account.password_hash.is_none() => {
            "the account has no password of Drover's own"
        }
        Some(_) => "this is not the account's password",
    };
    let hash =
        account.as_ref().filter(|account| account.active).and_then(|a| a.password_hash.clone());
    let right = password::verify_password(password, hash).await?;
    match account.filter(|_| right) {
        Some(account) => Ok(account.id),
        None => {
            // For administrators, in the audit log.
            note.detail("reason", why_not);
            // The same words for every reason, so that they do not tell which logins exist.
            let error = Error::new(
                StatusCode::UNAUTHORIZED,
                "wrong_credentials",
                "There is no active account with this login and password.",
            );
            Err(Refused { error, is_guess: true, return_to: None })
        }
    }
}

/// Through which provider a session comes in.
pub(super) struct Via {
    provider_id: Uuid,
    session: Option<ProviderSession>,
}

impl Via {
    pub(super) fn new(provider_id: Uuid, session: Option<ProviderSession>) -> Self {
        Self { provider_id, session }
    }
}

/// Starts a new session (never goes on with one from before the sign-in).
pub(super) async fn open_session(
    app: &App,
    session: &Session,
    user_id: Uuid,
    via: Option<Via>,
    address: std::net::IpAddr,
    headers: &HeaderMap,
) -> Result<SessionAnswer> {
    let agent: String = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .chars()
        .take(256)
        .collect();
    let csrf = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
    if session.id().is_some() {
        // `flush` would keep the id.
        session.clear().await;
        session.cycle_id().await.map_err(session_error)?;
        app.access_changed_quietly().await;
    }
    session.insert(keys::USER, user_id).await.map_err(session_error)?;
    if let Some(via) = via {
        session.insert(keys::PROVIDER, via.provider_id).await.map_err(session_error)?;
        let ProviderSession { id, id_token } = via.session.unwrap_or_default();
        if let Some(id) = id {
            session.insert(keys::PROVIDER_SESSION, id).await.map_err(session_error)?;
        }
        if let Some(token) = id_token {
            let sealed = app.cipher.seal(token.0.expose_secret().as_bytes());
            let sealed = URL_SAFE_NO_PAD.encode(sealed);
            session.insert(keys::ID_TOKEN, sealed).await.map_err(session_error)?;
        }
    }
    session.insert(keys::CSRF, &csrf).await.map_err(session_error)?;
    session.insert(keys::ADDRESS, address.to_string()).await.map_err(session_error)?;
    session.insert(keys::USER_AGENT, agent).await.map_err(session_error)?;
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    session.insert(keys::ALIVE, now).await.map_err(session_error)?;
    session.save().await.map_err(session_error)?;
    let user = users::active(&app.db, user_id).await?.ok_or_else(Error::unauthenticated)?;
    Ok(SessionAnswer {
        user,
        csrf_token: Some(csrf),
        api_key_id: None,
        expires_at: super::expires_at(session),
    })
}

/// Tell who the caller is
#[utoipa::path(get, path = "/v1/session", tag = "session",
    responses((status = 200, body = SessionAnswer)))]
async fn session(caller: Caller, session: Session) -> Result<Json<SessionAnswer>> {
    let csrf_token = match caller.api_key_id {
        Some(_) => None,
        None => super::csrf_token(&session).await?,
    };
    Ok(Json(SessionAnswer {
        user: SessionUser {
            id: caller.user_id,
            login: caller.login.to_string(),
            display_name: caller.display_name.to_string(),
            global_role: caller.global_role,
        },
        csrf_token,
        api_key_id: caller.api_key_id,
        expires_at: caller.expires_at.map(Into::into),
    }))
}

/// Sign out
///
/// Where the identity provider's settings ask for it, the answer says where to send the browser to
/// sign out there too.
#[utoipa::path(delete, path = "/v1/session", tag = "session",
    responses((status = 200, body = SignedOut)))]
async fn sign_out(State(app): State<App>, session: Session) -> Result<Json<SignedOut>> {
    let provider: Option<Uuid> = session.get(keys::PROVIDER).await.map_err(session_error)?;
    let id_token: Option<String> = session.get(keys::ID_TOKEN).await.map_err(session_error)?;
    // First of all: what the provider says, or does not, must not keep anybody signed in.
    session.flush().await.map_err(session_error)?;
    app.access_changed_quietly().await;
    let redirect = match provider {
        Some(provider) => sign_out_there(&app, provider, id_token).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot find out where to sign out of a provider");
            None
        }),
        None => None,
    };
    Ok(Json(SignedOut { redirect }))
}

async fn sign_out_there(app: &App, id: Uuid, sealed: Option<String>) -> Result<Option<String>> {
    let Some(provider) = app.providers.enabled(app, id).await? else { return Ok(None) };
    let Door::Redirect(door) = provider.connection.door() else { return Ok(None) };
    let token = sealed
        .and_then(|sealed| URL_SAFE_NO_PAD.decode(sealed).ok())
        .and_then(|sealed| app.cipher.open(&sealed).ok())
        .and_then(|plain| String::from_utf8(plain).ok());
    let back = format!("{}/sign-in", app.settings.public_url());
    Ok(door.sign_out_url(token.as_deref(), &back).await)
}

/// Change the caller's own password
///
/// Ends all of the caller's other sessions.
#[utoipa::path(put, path = "/v1/session/password", tag = "session",
    request_body = ChangePassword, responses((status = 204, description = "Changed")))]
async fn change_password(
    State(app): State<App>,
    caller: Caller,
    session: Session,
    ClientAddress(address): ClientAddress,
    Json(input): Json<ChangePassword>,
) -> Result<StatusCode> {
    throttle::check(&app.db, &caller.login, address).await?;
    if let Some(error) = password::check_new_password("new_password", &input.new_password) {
        return Err(Error::invalid(vec![error]));
    }
    let account =
        store::account_by_id(&app.db, caller.user_id).await?.ok_or_else(Error::unauthenticated)?;
    if !password::verify_password(input.current_password.into(), account.password_hash).await? {
        throttle::failed(&app.db, &caller.login, address).await?;
        return Err(Error::invalid_field("current_password", "This is not your present password."));
    }
    let hash = password::hash_password(input.new_password.into()).await?;
    store::set_password(&app.db, caller.user_id, &hash).await?;
    let current = session.id().filter(|_| caller.api_key_id.is_none()).map(|id| row_id(&id));
    store::end_sessions(&app.db, caller.user_id, current.as_deref()).await?;
    app.access_changed(Topic::User, None, caller.user_id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// List the caller's browser sessions
#[utoipa::path(get, path = "/v1/session/all", tag = "session",
    responses((status = 200, body = List<BrowserSession>)))]
async fn list_sessions(
    State(app): State<App>,
    caller: Caller,
    session: Session,
) -> Result<Json<List<BrowserSession>>> {
    let current = session.id().map(|id| row_id(&id)).unwrap_or_default();
    Ok(Json(List::whole(store::sessions(&app.db, caller.user_id, &current).await?)))
}

/// Sign out everywhere
///
/// Ends all of the caller's browser sessions, this one too. API keys stay.
#[utoipa::path(delete, path = "/v1/session/all", tag = "session",
    responses((status = 204, description = "Signed out everywhere")))]
async fn sign_out_everywhere(
    State(app): State<App>,
    caller: Caller,
    session: Session,
) -> Result<StatusCode> {
    store::end_sessions(&app.db, caller.user_id, None).await?;
    if caller.api_key_id.is_none() {
        session.flush().await.map_err(session_error)?;
    }
    app.access_changed_quietly().await;
    Ok(StatusCode::NO_CONTENT)
}

/// End one of the caller's browser sessions
#[utoipa::path(delete, path = "/v1/session/all/{session_id}", tag = "session",
    params(("session_id" = Uuid, Path)), responses((status = 204, description = "Ended")))]
async fn end_one_session(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    if !store::end_session(&app.db, caller.user_id, id).await? {
        return Err(Error::not_found("session"));
    }
    app.access_changed_quietly().await;
    Ok(StatusCode::NO_CONTENT)
}

/// List the caller's API keys
#[utoipa::path(get, path = "/v1/api-keys", tag = "api keys",
    responses((status = 200, body = List<ApiKey>)))]
async fn list_api_keys(State(app): State<App>, caller: Caller) -> Result<Json<List<ApiKey>>> {
    Ok(Json(List::whole(store::api_keys(&app.db, caller.user_id).await?)))
}

/// Make an API key
///
/// The answer shows the key, this once.
#[utoipa::path(post, path = "/v1/api-keys", tag = "api keys", request_body = CreateApiKey,
    responses((status = 201, body = CreatedApiKey)))]
async fn create_api_key(
    State(app): State<App>,
    caller: Caller,
    note: Note,
    Json(mut input): Json<CreateApiKey>,
) -> Result<(StatusCode, Json<CreatedApiKey>)> {
    input.name = input.name.trim().to_owned();
    let mut errors = Vec::new();
    if !(1..=64).contains(&input.name.chars().count()) {
        errors.push(FieldError::new("name", "A name has 1 to 64 characters."));
    }
    if input.expires_at.is_some_and(|at| at.0 <= time::OffsetDateTime::now_utc()) {
        errors.push(FieldError::new("expires_at", "This time has passed."));
    }
    if input.environment_id.is_some_and(|id| caller.role_in(id).is_none()) {
        errors.push(FieldError::new("environment_id", "There is no such environment."));
    }
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    let made = issue_api_key(&app, caller.user_id, &input).await?;
    note.target(made.key.id, &made.key.name);
    Ok((StatusCode::CREATED, Json(made)))
}

/// Makes an API key of a user's. That they may have it was checked before.
pub(crate) async fn issue_api_key(
    app: &App,
    user: Uuid,
    new: &CreateApiKey,
) -> Result<CreatedApiKey> {
    let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let token = format!("{API_KEY_PREFIX}{secret}");
    let hash = Sha256::digest(token.as_bytes());
    let prefix = &token[..API_KEY_PREFIX.len() + 6];
    let key = store::insert_api_key(&app.db, user, new, prefix, &hash).await?;
    Ok(CreatedApiKey { key, token })
}

/// Revoke an API key
#[utoipa::path(delete, path = "/v1/api-keys/{key_id}", tag = "api keys",
    params(("key_id" = Uuid, Path)), responses((status = 204, description = "Revoked")))]
async fn delete_api_key(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    if !store::delete_api_key(&app.db, caller.user_id, id).await? {
        return Err(Error::not_found("API key"));
    }
    app.access_changed_quietly().await;
    Ok(StatusCode::NO_CONTENT)
}
