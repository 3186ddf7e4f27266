//! The routes of agents: registration tokens, registering, tunnels, upgrades.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use drover_api::{
    CreateRegistrationToken, CreatedRegistrationToken, Endpoint, FieldError, Host, List,
    RegisterAgent, RegisteredAgent, RegistrationToken, Topic,
};
use sha2::{Digest, Sha256};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    TOKEN_PREFIX, connect, handshake, install,
    store::{self, Admission, NewToken},
    upgrade,
};
use crate::{
    access::{Caller, ClientAddress, EnvironmentAccess},
    app::App,
    audit::Note,
    error::{Error, Result},
    extract::{Json, Path},
    hosts, tunnel,
};

const LONGEST_NAME: usize = 64;
/// The most names that are tried for a host whose name is taken.
const MOST_NAMES: usize = 1000;

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_tokens, create_token))
        .routes(routes!(revoke_token))
        .routes(routes!(register))
        .routes(routes!(open_tunnel))
        .routes(routes!(upgrade_agent))
}

/// List the registration tokens of an environment
///
/// The newest first; their secrets are not kept.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/registration-tokens", tag = "agents",
    params(("environment_id" = Uuid, Path)),
    responses((status = 200, body = List<RegistrationToken>)))]
async fn list_tokens(
    State(app): State<App>,
    access: EnvironmentAccess,
) -> Result<Json<List<RegistrationToken>>> {
    Ok(Json(List::whole(store::tokens(&app.db, access.id).await?)))
}

/// Make a registration token
///
/// Lets machines become hosts of this environment, until it expires, has brought as many as it may,
/// or is revoked. The answer has the commands to paste on a machine; the secret is shown only now.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/registration-tokens", tag = "agents",
    params(("environment_id" = Uuid, Path)),
    request_body(content = CreateRegistrationToken, example = json!({
        "name": "rack 7", "expires_in_hours": 24, "most_hosts": 10, "labels": { "rack": "7" }
    })),
    responses((status = 201, body = CreatedRegistrationToken)))]
async fn create_token(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    note: Note,
    Json(mut input): Json<CreateRegistrationToken>,
) -> Result<(StatusCode, Json<CreatedRegistrationToken>)> {
    input.name = input.name.trim().to_owned();
    let mut errors = Vec::new();
    if input.name.chars().count() > LONGEST_NAME || input.name.chars().any(char::is_control) {
        errors.push(FieldError::new("name", "At most 64 characters."));
    }
    if !(1..=8760).contains(&input.expires_in_hours) {
        errors.push(FieldError::new("expires_in_hours", "1 to 8,760 hours."));
    }
    if input.most_hosts.is_some_and(|most| !(1..=10_000).contains(&most)) {
        errors.push(FieldError::new("most_hosts", "1 to 10,000 hosts."));
    }
    hosts::check_labels(&input.labels, &mut errors);
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    let secret = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
    let token = store::insert_token(
        &app.db,
        &NewToken {
            environment_id: access.id,
            name: &input.name,
            prefix: &secret[..TOKEN_PREFIX.len() + 6],
            hash: &Sha256::digest(secret.as_bytes()),
            labels: &input.labels,
            most_hosts: input.most_hosts.map(|most| most as i32),
            created_by: &caller.login,
            hours: input.expires_in_hours as i32,
        },
    )
    .await?;
    note.target(token.id, &token.prefix);
    let commands = install::commands(&app.settings.public_url(), &secret);
    Ok((StatusCode::CREATED, Json(CreatedRegistrationToken { token, secret, commands })))
}

/// Revoke a registration token
///
/// No more hosts come in by it. Those that have stay.
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/registration-tokens/{token_id}",
    tag = "agents", params(("environment_id" = Uuid, Path), ("token_id" = Uuid, Path)),
    responses((status = 204, description = "Revoked")))]
async fn revoke_token(
    State(app): State<App>,
    Path((environment_id, token_id)): Path<(Uuid, Uuid)>,
    note: Note,
) -> Result<StatusCode> {
    let name = store::revoke_token(&app.db, environment_id, token_id)
        .await?
        .ok_or_else(|| Error::not_found("registration token"))?;
    note.target(token_id, &name);
    Ok(StatusCode::NO_CONTENT)
}

/// Register an agent
///
/// What `drover agent` calls once: with a registration token and a key that it has made, it
/// becomes a new host. The token is of no use for hosts that are there. Calling again with the
/// same key answers the same host.
#[utoipa::path(post, path = "/v1/agents/register", tag = "agents",
    request_body(content = RegisterAgent, example = json!({
        "token": "drvreg_…", "public_key": "m5B1…=", "name": "node-1", "version": "0.1.0",
        "signature": "wq8K…=="
    })),
    responses((status = 200, body = RegisteredAgent),
        (status = 403, description = "`registration_refused`: the token does not let hosts in")))]
async fn register(
    State(app): State<App>,
    note: Note,
    Json(input): Json<RegisterAgent>,
) -> Result<Json<RegisteredAgent>> {
    let (key, errors) = check(&input);
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    let signed = handshake::to_be_signed_once(&input.token);
    if !handshake::is_signed(&key, &signed, &input.signature) {
        return Err(Error::denied("wrong_signature", "The key has not signed this registration."));
    }
    // An answer that got lost: the key says who asks again.
    if let Some((host_id, name, environment)) = store::host_of_key(&app.db, &key).await? {
        return Ok(Json(RegisteredAgent { host_id, name, environment }));
    }
    let mut tx = app.db.begin().await?;
    let hash = Sha256::digest(input.token.as_bytes());
    let admission = store::admission(&mut tx, &hash).await?.ok_or_else(|| {
        Error::denied(
            "registration_refused",
            "This registration token is unknown, has expired, was revoked, or has brought as many hosts as it may. Make a new one in Drover (Hosts, Add host).",
        )
    })?;
    note.actor(None, &format!("registration token {}…", admission.prefix));
    note.environment(admission.environment_id);
    let name = free_name(&mut tx, &admission, &input.name).await?;
    let mut labels = input.labels;
    labels.extend(admission.labels.clone());
    let host_id = hosts::insert_row(
        &mut *tx,
        admission.environment_id,
        &name,
        &labels,
        &Endpoint::Agent,
        None,
    )
    .await?;
    store::insert(&mut tx, host_id, &key, &input.version, admission.id).await?;
    tx.commit().await?;
    note.target(host_id, &name);
    app.hosts.rows_changed();
    app.events.updated(Topic::Host, Some(admission.environment_id), host_id).await;
    Ok(Json(RegisteredAgent { host_id, name, environment: admission.environment }))
}

fn check(input: &RegisterAgent) -> (Vec<u8>, Vec<FieldError>) {
    let mut errors = Vec::new();
    let key = STANDARD.decode(&input.public_key).unwrap_or_default();
    if key.len() != 32 {
        errors.push(FieldError::new("public_key", "32 bytes in base64."));
    }
    if input.token.len() > 100 {
        errors.push(FieldError::new("token", "This is no registration token."));
    }
    let name = input.name.chars().count();
    if !(1..=LONGEST_NAME).contains(&name) || input.name.chars().any(char::is_control) {
        errors.push(FieldError::new("name", "A name has 1 to 64 characters."));
    }
    if input.version.len() > 64 {
        errors.push(FieldError::new("version", "At most 64 characters."));
    }
    hosts::check_labels(&input.labels, &mut errors);
    (key, errors)
}

/// The wanted name, or with the first number that makes it free.
async fn free_name(
    tx: &mut sqlx::PgConnection,
    admission: &Admission,
    wanted: &str,
) -> Result<String> {
    let short: String = wanted.chars().take(LONGEST_NAME - 5).collect();
    let names: Vec<String> = std::iter::once(wanted.to_owned())
        .chain((2..MOST_NAMES).map(|n| format!("{short}-{n}")))
        .collect();
    let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let taken = store::taken_names(tx, admission.environment_id, &lower).await?;
    let free = names.into_iter().zip(lower).find(|(_, lower)| !taken.contains(lower));
    free.map(|(name, _)| name)
        .ok_or_else(|| Error::conflict("name_taken", "Too many hosts have this name already."))
}

/// Open an agent's tunnel
///
/// A WebSocket for `drover agent`: the server sends a challenge, the agent signs it with the key
/// that it has registered with, and then carries the streams that the server opens.
#[utoipa::path(get, path = "/v1/agents/tunnel", tag = "agents",
    responses((status = 101, description = "A WebSocket"),
        (status = 426, description = "Only WebSockets are taken here")))]
async fn open_tunnel(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    request: Request,
) -> Result<Response> {
    tunnel::websocket::upgrade(request, move |socket| connect::serve(app, address, socket))
}

/// Upgrade a host's agent
///
/// Has the agent fetch this server's version from the server, check it, and become it. Its
/// containers are not touched. Whether it has worked shows in the host's `agent`.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/hosts/{host_id}/agent/upgrade",
    tag = "agents", params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path)),
    responses((status = 202, body = Host),
        (status = 409, description = "`no_agent`: the host is reached in another way"),
        (status = 503, description = "`agent_not_connected`")))]
async fn upgrade_agent(
    State(app): State<App>,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
    note: Note,
) -> Result<(StatusCode, HeaderMap, Json<Host>)> {
    let row = hosts::get_row(&app.db, environment_id, host_id)
        .await?
        .ok_or_else(|| Error::not_found("host"))?;
    note.target(host_id, &row.name);
    if row.endpoint != Endpoint::Agent {
        return Err(Error::conflict("no_agent", "This host has no agent."));
    }
    upgrade::start(&app, environment_id, host_id).await?;
    let row = hosts::get_row(&app.db, environment_id, host_id)
        .await?
        .ok_or_else(|| Error::not_found("host"))?;
    Ok((StatusCode::ACCEPTED, crate::extract::etag(row.version), Json(app.hosts.to_api(row))))
}

/// Starts the tasks of this domain.
pub fn spawn(app: &App) {
    tokio::spawn(connect::follow(app.clone()));
    tokio::spawn(upgrade::keep_current(app.clone()));
}
