//! The middleware in front of every route: finds the rule, the caller and the caller's role,
//! refuses or lets through, and writes the audit log for what changes something.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts, MatchedPath, RawPathParams, Request, State},
    http::{HeaderMap, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use drover_api::{AuditOutcome, Permission, Problem};
use tower_sessions::Session;
use uuid::Uuid;

use super::{
    Caller, EnvironmentAccess, lacks,
    table::{self, Needs, Rule},
};
use crate::{
    app::App,
    audit::{self, Note},
    auth, docker_api,
    error::{Error, Result},
    idempotency, kubernetes_api, scim,
};

/// The header that proves that a browser's write comes from Drover's own page.
const CSRF_HEADER: &str = "x-csrf-token";

/// Where a request came from, with trusted proxies looked through.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts
            .extensions
            .get()
            .copied()
            .ok_or_else(|| Error::internal("no client address on this request"))
    }
}

/// Lets a request through to its handler, or not.
pub async fn enforce(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let address = client_address(&app, &parts);
    parts.extensions.insert(ClientAddress(address));
    let note = Note::default();
    parts.extensions.insert(note.clone());

    // PostgreSQL has no place for the character NUL: nothing is named by it.
    if parts.uri.path().contains("%00") {
        return Error::not_found("object").into_response();
    }
    if parts.uri.query().is_some_and(|query| query.contains("%00")) {
        let why = "A parameter cannot have the character NUL.";
        return Error::new(StatusCode::BAD_REQUEST, "invalid_query", why).into_response();
    }
    let path = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let Some(rule) = path.as_deref().and_then(|path| table::rule(&parts.method, path)) else {
        return Error::not_found("page").into_response();
    };
    let params = match RawPathParams::from_request_parts(&mut parts, &()).await {
        Ok(params) => params
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<Vec<_>>(),
        Err(_) => return Error::not_found("page").into_response(),
    };
    let request_id =
        parts.headers.get("x-request-id").and_then(|value| value.to_str().ok()).map(str::to_owned);

    let admitted = admit(&app, &mut parts, rule, &params, address, &note).await;
    let caller = parts.extensions.get::<Caller>().cloned();
    let response = match admitted {
        Ok(()) => {
            let request = Request::from_parts(parts, body);
            match &caller {
                Some(caller) if rule.method == "POST" && rule.action.is_some() => {
                    idempotency::run(&app, caller, request, next).await
                }
                _ => next.run(request).await,
            }
        }
        Err(error) => error.into_response(),
    };
    let code = response.extensions().get::<Problem>().map(|problem| problem.code.clone());
    let response = match rule.needs {
        Needs::Provisioner => scim::shape(response),
        Needs::Docker => docker_api::shape(response),
        Needs::Kubernetes => kubernetes_api::shape(response),
        _ => response,
    };
    if let Some(action) = note.named().or(rule.action) {
        let ended = (response.status(), code);
        record(&app, action, caller, address, &params, note, request_id, ended).await;
    }
    response
}

async fn admit(
    app: &App,
    parts: &mut Parts,
    rule: &Rule,
    params: &[(String, String)],
    address: IpAddr,
    note: &Note,
) -> Result<()> {
    if rule.needs == Needs::Public {
        return Ok(());
    }
    if rule.needs == Needs::Provisioner {
        let provider = params.iter().find(|(name, _)| name == "provider_id");
        let provider = provider.map(|(_, id)| id.as_str());
        let provisioner = scim::admit(app, parts, provider, note).await?;
        parts.extensions.insert(provisioner);
        return Ok(());
    }
    if rule.needs == Needs::Docker {
        let (caller, access) = at_docker(app, parts, params, address).await?;
        parts.extensions.insert(caller);
        parts.extensions.insert(access);
        return Ok(());
    }
    if rule.needs == Needs::Kubernetes {
        let (caller, admitted) = at_kubernetes(app, parts, params, address).await?;
        parts.extensions.insert(caller);
        parts.extensions.insert(admitted);
        return Ok(());
    }
    let caller = identify(app, parts, address).await?.ok_or_else(Error::unauthenticated)?;
    parts.extensions.insert(caller.clone());
    match rule.needs {
        // The first four were answered above.
        Needs::Public
        | Needs::Provisioner
        | Needs::Docker
        | Needs::Kubernetes
        | Needs::SignedIn => Ok(()),
        Needs::Account | Needs::InAny(_) if caller.scope.is_limited() => {
            Err(Error::forbidden("An API key with a scope may not do this."))
        }
        Needs::Account => Ok(()),
        Needs::Admin if caller.is_admin() => Ok(()),
        Needs::Admin => Err(Error::forbidden("Only an administrator may do this.")),
        Needs::InAny(permission) if caller.may_anywhere(permission) => Ok(()),
        Needs::InAny(_) => Err(Error::forbidden("Only owners of an environment may do this.")),
        Needs::In(permission) => {
            let id = params
                .iter()
                .find(|(name, _)| name == "environment_id")
                .and_then(|(_, value)| value.parse::<Uuid>().ok())
                .ok_or_else(|| Error::not_found("environment"))?;
            let access = in_environment(app, &caller, id, permission, rule).await?;
            parts.extensions.insert(access);
            Ok(())
        }
    }
}

async fn in_environment(
    app: &App,
    caller: &Caller,
    id: Uuid,
    permission: Permission,
    rule: &Rule,
) -> Result<EnvironmentAccess> {
    let (access, state) = see(app, caller, id).await?;
    if !access.may(permission) {
        return Err(lacks(access.role, permission));
    }
    if rule.action.is_some() && permission != Permission::ManageEnvironment {
        changeable(&state)?;
    }
    Ok(access)
}

/// The caller's role in an environment, and the environment's state.
async fn see(app: &App, caller: &Caller, id: Uuid) -> Result<(EnvironmentAccess, String)> {
    // Who may not see an environment must not learn that it is there.
    let role = caller.role_in(id).ok_or_else(|| Error::not_found("environment"))?;
    let (state, cluster) =
        app.identities.environment(id).await?.ok_or_else(|| Error::not_found("environment"))?;
    Ok((EnvironmentAccess { id, role, cluster }, state))
}

/// 409 for a change in an environment of this state.
fn changeable(state: &str) -> Result<()> {
    if state == "active" {
        return Ok(());
    }
    Err(Error::conflict(
        "environment_inactive",
        "This environment is not active: nothing is changed in it until an owner activates it.",
    ))
}

/// 409 unless things may be changed in an environment.
pub(crate) async fn require_active(app: &App, id: Uuid) -> Result<()> {
    let known = app.identities.environment(id).await?;
    let (state, _) = known.ok_or_else(|| Error::not_found("environment"))?;
    changeable(&state)
}

/// Who calls the Docker API of a host or of an environment, and what they may do there. A browser's
/// session is not taken: no page calls this, and whatever else sends a cookie was not asked to.
async fn at_docker(
    app: &App,
    parts: &mut Parts,
    params: &[(String, String)],
    address: IpAddr,
) -> Result<(Caller, EnvironmentAccess)> {
    let caller = by_api_key(app, parts, address).await?;
    let caller = caller.ok_or_else(docker_api::unauthenticated)?;
    let id = |wanted: &str| {
        let found = params.iter().find(|(name, _)| name == wanted);
        found.and_then(|(_, value)| value.parse::<Uuid>().ok())
    };
    let environment = match id("host_id") {
        Some(host) => app.hosts.environment_of(host),
        None => id("environment_id"),
    };
    let hidden = |error: Error| match error.code() {
        "not_found" => Error::not_found("host"),
        _ => error,
    };
    let environment = environment.ok_or_else(|| Error::not_found("host"))?;
    let (access, _) = see(app, &caller, environment).await.map_err(hidden)?;
    Ok((caller, access))
}

/// Who calls the API of a cluster, and what of the cluster they have to do with. For sessions see
/// [`at_docker`].
async fn at_kubernetes(
    app: &App,
    parts: &mut Parts,
    params: &[(String, String)],
    address: IpAddr,
) -> Result<(Caller, kubernetes_api::Admitted)> {
    let caller = by_api_key(app, parts, address).await?;
    let caller = caller.ok_or_else(kubernetes_api::unauthenticated)?;
    let id = params.iter().find(|(name, _)| name == "cluster_id");
    let live = id.and_then(|(_, id)| app.kubernetes.live(id.parse().ok()?));
    // Who has nothing to do with a cluster must not learn that it is there.
    let admitted = live.and_then(|live| kubernetes_api::Admitted::of(&caller, live));
    Ok((caller, admitted.ok_or_else(|| Error::not_found("cluster"))?))
}

/// The caller by `Authorization` alone.
async fn by_api_key(app: &App, parts: &mut Parts, address: IpAddr) -> Result<Option<Caller>> {
    match parts.headers.contains_key(header::AUTHORIZATION) {
        true => identify(app, parts, address).await,
        false => Ok(None),
    }
}

/// The caller by `Authorization: Bearer`, else by session cookie (with proof against forgery).
async fn identify(app: &App, parts: &mut Parts, address: IpAddr) -> Result<Option<Caller>> {
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        let Some(token) = token.filter(|token| token.starts_with(auth::API_KEY_PREFIX)) else {
            return Ok(None);
        };
        return app.identities.by_api_key(token, &address.to_string()).await;
    }
    let Some(session) = parts.extensions.get::<Session>().cloned() else {
        return Ok(None);
    };
    let Some(id) = session.id() else {
        return Ok(None);
    };
    let Some(caller) = app.identities.by_session(id).await? else {
        return Ok(None);
    };
    if !parts.method.is_safe() {
        let expected = auth::csrf_token(&session).await?;
        let given = parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        if expected.is_none() || expected.as_deref() != given {
            return Err(Error::denied(
                "csrf",
                "This request lacks the session's X-CSRF-Token. Load the page again.",
            ));
        }
    }
    if is_upgrade(&parts.headers) && !same_origin(&parts.headers, &parts.uri) {
        return Err(Error::denied("csrf", "A WebSocket must be opened from Drover's own page."));
    }
    auth::keep_alive(&session).await?;
    Ok(Some(caller))
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
}

/// Browsers send `Origin` with every WebSocket, so one without it is not a browser's.
fn same_origin(headers: &HeaderMap, uri: &Uri) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| uri.authority().map(|authority| authority.as_str()));
    origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host) == host
}

fn client_address(app: &App, parts: &Parts) -> IpAddr {
    let peer = parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip());
    let trusted = &app.settings.trusted_proxies;
    if !trusted.contains(&peer) {
        return peer;
    }
    // The last address that no trusted proxy has: what comes before it anyone could have written.
    parts
        .headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|text| text.trim().parse().ok())
        .rfind(|address| !trusted.contains(address))
        .unwrap_or(peer)
}

#[expect(clippy::too_many_arguments, reason = "each is a column of the audit log")]
async fn record(
    app: &App,
    action: &'static str,
    caller: Option<Caller>,
    address: IpAddr,
    params: &[(String, String)],
    note: Note,
    request_id: Option<String>,
    (status, code): (StatusCode, Option<String>),
) {
    let note = note.take();
    // Strangers must not be able to fill the log: only their sign-ins count.
    if caller.is_none() && note.actor.is_none() {
        return;
    }
    let outcome = note.outcome.unwrap_or(match status.as_u16() {
        // 101: a WebSocket.
        101 | 200..=399 => AuditOutcome::Success,
        401 | 403 | 429 => AuditOutcome::Denied,
        _ => AuditOutcome::Failure,
    });
    let mut detail = note.detail;
    if let Some(code) = code {
        detail.insert("code".into(), code.into());
    }
    let param =
        |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let kind = note
        .target_kind
        .unwrap_or_else(|| action.split_once('.').map_or(action, |(kind, _)| kind).to_owned());
    let entry = audit::NewEntry {
        actor_id: caller.as_ref().map(|caller| caller.user_id).or(note.actor_id),
        actor: caller.as_ref().map(|c| c.login.to_string()).or(note.actor).unwrap_or_default(),
        api_key_id: caller.as_ref().and_then(|caller| caller.api_key_id),
        action: action.to_owned(),
        target_id: note.target_id.or_else(|| params.last().map(|(_, value)| value.clone())),
        target_kind: Some(kind),
        target_name: note.target_name,
        environment_id: note
            .environment_id
            .or_else(|| param("environment_id").and_then(|id| id.parse().ok())),
        address: Some(address.to_string()),
        outcome,
        detail: detail.into(),
        request_id,
    };
    if let Err(error) = audit::append(&app.db, entry).await {
        tracing::error!(%error, action, "cannot write the audit log");
    }
}
