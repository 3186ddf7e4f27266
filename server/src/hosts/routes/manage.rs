//! Hosts themselves: list, add, test, change, remove; their use and events.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use drover_api::{
    ConnectionTest, CreateHost, Endpoint, Host, HostEvent, HostUsageHistory, List, RemovedHost,
    TlsCredentials, Topic, UpdateHost,
};
use serde::Deserialize;
use uuid::Uuid;

use super::host;
use crate::{
    access::{Caller, EnvironmentAccess},
    app::App,
    audit::Note,
    clusters::cattle,
    error::{Error, Result, is_unique_violation},
    extract::{IfMatch, Json, ListQuery, Path, Query, SortKey, etag},
    hosts::{HostRow, drain, model, probe, store},
    operations,
};

/// List the hosts of an environment
#[utoipa::path(get, path = "/v1/environments/{environment_id}/hosts", tag = "hosts",
    params(("environment_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<Host>)))]
pub(super) async fn list(
    State(app): State<App>,
    access: EnvironmentAccess,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Host>>> {
    let hosts: Vec<Host> = store::in_environment(&app.db, access.id)
        .await?
        .into_iter()
        .map(|row| app.hosts.to_api(row))
        .collect();
    let mut list = query.page(
        hosts,
        &["name", "state", "created_at"],
        "name",
        |host| {
            let labels = host.labels.iter().map(|(key, value)| format!(" {key}={value}"));
            format!("{}{}", host.name, labels.collect::<String>())
        },
        |host, field| match field {
            "state" => SortKey::Number(host.state as i64),
            "created_at" => SortKey::Number(host.created_at.unix_ms()),
            _ => SortKey::text(&host.name),
        },
    )?;
    list.freshness = Some(app.hosts.index().freshness(access.id));
    Ok(Json(list))
}

/// Add a host
///
/// Answers at once; whether the engine can be reached shows in the host's state. Try
/// `…/hosts/test` with the same body first to see what is wrong. A `socket` is one of the server's
/// own machine, so only administrators may add one.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/hosts", tag = "hosts",
    params(("environment_id" = Uuid, Path)),
    request_body(content = CreateHost, example = json!({
        "name": "node-1",
        "labels": { "disk": "ssd" },
        "endpoint": { "kind": "tcp", "address": "10.0.0.7:2376" },
        "tls": { "ca": "-----BEGIN CERTIFICATE-----…", "certificate": "-----BEGIN CERTIFICATE-----…", "key": "-----BEGIN PRIVATE KEY-----…" }
    })),
    responses((status = 201, body = Host)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    note: Note,
    Json(mut input): Json<CreateHost>,
) -> Result<(StatusCode, HeaderMap, Json<Host>)> {
    input.name = input.name.trim().to_owned();
    check_endpoint_rights(&caller, &input.endpoint)?;
    let errors = model::check_create(&input, true);
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    let tls = input.tls.as_ref().map(|tls| seal(&app, tls)).transpose()?;
    let id = store::insert(
        &app.db,
        access.id,
        &input.name,
        &input.labels,
        &input.endpoint,
        tls.as_deref(),
    )
    .await
    .map_err(name_taken)?;
    note.target(id, &input.name);
    announce(&app, access.id, id).await;
    let (headers, body) = answer(&app, access.id, id).await?;
    Ok((StatusCode::CREATED, headers, body))
}

/// Test the way to a host
///
/// Tries step by step what adding it would need, and names the step that fails: `address`,
/// `connect`, `tls`, `ping`, `version`. Adds nothing. Always answers 200: see `ok`.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/hosts/test", tag = "hosts",
    params(("environment_id" = Uuid, Path)), request_body = CreateHost,
    responses((status = 200, body = ConnectionTest, example = json!({
        "ok": false,
        "steps": [
            { "name": "address", "ok": true, "message": "node-1 is 10.0.0.7." },
            { "name": "connect", "ok": false, "message": "node-1:2376 refused the connection: nothing listens there. Is Docker running?" }
        ],
        "facts": null
    }))))]
pub(super) async fn test(
    caller: Caller,
    Json(input): Json<CreateHost>,
) -> Result<Json<ConnectionTest>> {
    check_endpoint_rights(&caller, &input.endpoint)?;
    let errors = model::check_create(&input, false);
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    Ok(Json(probe::run(&input.endpoint, input.tls.as_ref()).await))
}

/// Show a host
#[utoipa::path(get, path = "/v1/environments/{environment_id}/hosts/{host_id}", tag = "hosts",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path)),
    responses((status = 200, body = Host)))]
pub(super) async fn get(
    State(app): State<App>,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
) -> Result<(HeaderMap, Json<Host>)> {
    answer(&app, environment_id, host_id).await
}

/// Change a host; activate, deactivate or drain it
///
/// `mode: draining` starts an operation that moves its containers elsewhere.
#[utoipa::path(patch, path = "/v1/environments/{environment_id}/hosts/{host_id}", tag = "hosts",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path),
        ("If-Match" = Option<String>, Header)),
    request_body(content = UpdateHost, example = json!({ "mode": "draining" })),
    responses((status = 200, body = Host)))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
    if_match: IfMatch,
    note: Note,
    Json(mut input): Json<UpdateHost>,
) -> Result<(HeaderMap, Json<Host>)> {
    input.name = input.name.map(|name| name.trim().to_owned());
    let mut tx = app.db.begin().await?;
    let before = store::lock(&mut tx, environment_id, host_id)
        .await?
        .ok_or_else(|| Error::not_found("host"))?;
    note.target(host_id, &before.name);
    if_match.check(before.version)?;
    if let Some(endpoint) = &input.endpoint
        && *endpoint != before.endpoint
    {
        check_endpoint_rights(&caller, endpoint)?;
    }
    let errors = model::check_update(&input, &before);
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    let row = changed(&app, &before, input)?;
    store::update(&mut tx, &row).await.map_err(name_taken)?;
    let mut changed_operations = Vec::new();
    if before.mode != row.mode {
        note.detail("mode", model::mode_name(row.mode));
        changed_operations = drain::follow_mode(&mut tx, &caller, &row).await?;
    }
    tx.commit().await?;
    announce(&app, environment_id, host_id).await;
    for operation in &changed_operations {
        operations::announce(&app, operation).await;
    }
    answer(&app, environment_id, host_id).await
}

/// How to remove a host.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RemoveQuery {
    /// Remove it though containers of stacks are on it, or it cannot be reached to see.
    #[serde(default)]
    force: bool,
}

/// Remove a host
///
/// Drover forgets it; nothing is stopped or removed on the machine. Refuses (409 `host_in_use`,
/// `host_unreachable`) while containers of stacks are on it or may be: drain it first, or force,
/// and the answer names what remains there.
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/hosts/{host_id}", tag = "hosts",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), RemoveQuery),
    responses((status = 200, body = RemovedHost)))]
pub(super) async fn remove(
    State(app): State<App>,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
    Query(query): Query<RemoveQuery>,
    note: Note,
) -> Result<Json<RemovedHost>> {
    let row = store::get(&app.db, environment_id, host_id)
        .await?
        .ok_or_else(|| Error::not_found("host"))?;
    note.target(host_id, &row.name);
    let mut remaining: Vec<String> = app
        .hosts
        .index()
        .of_host(environment_id, host_id)
        .iter()
        .filter(|entry| entry.owner.is_some())
        .map(|entry| entry.name.to_string())
        .collect();
    remaining.sort_unstable();
    if !query.force {
        if !remaining.is_empty() {
            return Err(Error::conflict(
                "host_in_use",
                format!(
                    "{} containers of stacks are on this host. Drain it first, or force its removal and they stay behind.",
                    remaining.len()
                ),
            ));
        }
        let live = app.hosts.live(environment_id, host_id);
        let connected = live.is_some_and(|live| live.docker().is_ok());
        // One that was never reached can have nothing of Drover's on it.
        if !connected && row.facts.is_some() {
            return Err(Error::conflict(
                "host_unreachable",
                "This host is not connected, so what is on it cannot be checked. Force its removal if it will not come back.",
            ));
        }
    }
    note.detail("force", query.force);
    note.detail("remaining_containers", remaining.clone());
    let live = app.hosts.live(environment_id, host_id);
    if !store::delete(&app.db, environment_id, host_id).await? {
        return Err(Error::not_found("host"));
    }
    if let Some(live) = live {
        cattle::let_go(&app, &live);
    }
    app.hosts.rows_changed();
    app.events.removed(Topic::Host, Some(environment_id), host_id).await;
    Ok(Json(RemovedHost { remaining_containers: remaining }))
}

/// Show what was in use on a host lately
#[utoipa::path(get, path = "/v1/environments/{environment_id}/hosts/{host_id}/usage",
    tag = "hosts", params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path)),
    responses((status = 200, body = HostUsageHistory)))]
pub(super) async fn usage(
    State(app): State<App>,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
) -> Result<Json<HostUsageHistory>> {
    let host = host(&app, environment_id, host_id)?;
    Ok(Json(HostUsageHistory { items: host.usage.all() }))
}

/// Which events.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Of this container only: its id.
    container: Option<String>,
    /// How many at most: 1 to 300, default 100.
    #[param(minimum = 1, maximum = 300)]
    limit: Option<u32>,
}

/// List what happened on a host lately
///
/// Newest first; as many as the server has kept since it connected.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/hosts/{host_id}/events",
    tag = "hosts", params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), EventsQuery),
    responses((status = 200, body = List<HostEvent>)))]
pub(super) async fn recent_events(
    State(app): State<App>,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<List<HostEvent>>> {
    let host = host(&app, environment_id, host_id)?;
    let limit = query.limit.unwrap_or(100).clamp(1, 300) as usize;
    Ok(Json(List::whole(host.recent_events(query.container.as_deref(), limit))))
}

/// A socket is one of the server's own machine, which belongs to no environment: whoever can add
/// it in one could take over the server.
fn check_endpoint_rights(caller: &Caller, endpoint: &Endpoint) -> Result<()> {
    if matches!(endpoint, Endpoint::Socket { .. }) && !caller.is_admin() {
        return Err(Error::denied(
            "server_socket",
            "A socket is one of the server's own machine: only an administrator may use it. Use TCP with TLS.",
        ));
    }
    Ok(())
}

fn changed(app: &App, before: &HostRow, input: UpdateHost) -> Result<HostRow> {
    let mut row = before.clone();
    if let Some(name) = input.name {
        row.name = name;
    }
    if let Some(labels) = input.labels {
        row.labels = labels;
    }
    if let Some(mode) = input.mode {
        row.mode = mode;
    }
    if let Some(endpoint) = input.endpoint {
        row.endpoint = endpoint;
    }
    if let Some(tls) = &input.tls {
        row.tls = Some(seal(app, tls)?);
    }
    if matches!(row.endpoint, Endpoint::Socket { .. }) {
        row.tls = None;
    }
    Ok(row)
}

fn seal(app: &App, tls: &TlsCredentials) -> Result<Vec<u8>> {
    let plain = serde_json::to_vec(tls).map_err(Error::internal)?;
    Ok(app.cipher.seal(&plain))
}

fn name_taken(error: sqlx::Error) -> Error {
    if is_unique_violation(&error) {
        Error::conflict("name_taken", "There is a host with this name in this environment.")
    } else {
        error.into()
    }
}

/// Has the connections of all replicas follow the row.
async fn announce(app: &App, environment_id: Uuid, host_id: Uuid) {
    app.hosts.rows_changed();
    app.events.updated(Topic::Host, Some(environment_id), host_id).await;
}

async fn answer(app: &App, environment_id: Uuid, host_id: Uuid) -> Result<(HeaderMap, Json<Host>)> {
    let row = store::get(&app.db, environment_id, host_id)
        .await?
        .ok_or_else(|| Error::not_found("host"))?;
    Ok((etag(row.version), Json(app.hosts.to_api(row))))
}
