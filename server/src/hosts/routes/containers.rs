//! Containers: list, details, actions.

use std::collections::HashMap;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use drover_api::{
    Container, ContainerAction, ContainerActionRequest, ContainerDetail, ContainerState, Health,
    List, Permission, ProcessList, UpdateContainer,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{Found, container};
use crate::{
    access::EnvironmentAccess,
    app::App,
    audit::Note,
    error::{Error, Result},
    extract::{Json, ListQuery, Path, Query},
    hosts::{
        detail,
        driver::Docker,
        index::{ContainerQuery, Encoding, Field},
        labels,
    },
};

/// Filters of the list of containers.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ContainersQuery {
    /// Any of these states, separated by commas.
    #[param(example = "running,restarting")]
    state: Option<String>,
    /// With this health.
    health: Option<Health>,
    /// On this host.
    host_id: Option<Uuid>,
    /// Of this stack.
    stack_id: Option<Uuid>,
    /// Of services of this name.
    service: Option<String>,
    /// `true`: made by Drover in this environment; `false`: all others.
    managed: Option<bool>,
}

/// List the containers of an environment, over all its hosts
///
/// Sorted by `name`, `state`, `host_name`, `image`, `stack_name`, `service` or `created_at`. `q`
/// searches names, images, hosts, stacks and services, and the beginning of ids. Answered from
/// memory: `freshness` says how old the oldest part is.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/containers", tag = "containers",
    params(("environment_id" = Uuid, Path), ListQuery, ContainersQuery),
    responses((status = 200, body = List<Container>)))]
pub(super) async fn list(
    State(app): State<App>,
    access: EnvironmentAccess,
    RawQuery(raw): RawQuery,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response> {
    let page = app.hosts.index().page_bytes(
        access.id,
        raw.as_deref().unwrap_or_default(),
        accepted_encoding(&headers),
        || parse_query(&uri),
    )?;
    let mut response = page.bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let encoding = match page.encoding {
        Encoding::Plain => None,
        Encoding::Gzip => Some("gzip"),
        Encoding::Brotli => Some("br"),
    };
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Ok(response)
}

/// The best encoding that the caller takes. One that is weighed (`;q=`) is left to the
/// compression of all answers, which knows how.
fn accepted_encoding(headers: &HeaderMap) -> Encoding {
    let accepted = |name: &str| {
        headers
            .get_all(header::ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|encoding| encoding.trim() == name)
    };
    match (accepted("br"), accepted("gzip")) {
        (true, _) => Encoding::Brotli,
        (_, true) => Encoding::Gzip,
        _ => Encoding::Plain,
    }
}

fn parse_query(uri: &Uri) -> Result<ContainerQuery> {
    let wrong = |what: String| Error::new(StatusCode::BAD_REQUEST, "invalid_query", what);
    let axum::extract::Query(list) = axum::extract::Query::<ListQuery>::try_from_uri(uri)
        .map_err(|error| wrong(error.body_text()))?;
    let axum::extract::Query(filter) = axum::extract::Query::<ContainersQuery>::try_from_uri(uri)
        .map_err(|error| wrong(error.body_text()))?;
    let known = Field::NAMES.map(|(name, _)| name);
    let sort = list
        .sort_keys(&known, "name")?
        .into_iter()
        .filter_map(|(name, descending)| Some((Field::parse(name)?, descending)))
        .collect();
    let states = filter.state.as_deref().unwrap_or_default().split(',').map(str::trim);
    let states = states
        .filter(|state| !state.is_empty())
        .map(|state| {
            serde_json::from_value::<ContainerState>(state.into())
                .map_err(|_| wrong(format!("`state`: there is no state `{state}`.")))
        })
        .collect::<Result<Vec<_>>>()?;
    let text = list.q.as_deref().map(str::trim).filter(|text| !text.is_empty());
    Ok(ContainerQuery {
        states,
        health: filter.health,
        host: filter.host_id,
        stack: filter.stack_id,
        service: filter.service.filter(|service| !service.is_empty()),
        managed: filter.managed,
        text: text.map(str::to_lowercase),
        sort,
        offset: list.offset()?,
        limit: list.limit(),
    })
}

/// Show a container
///
/// The values of environment variables, which may be secret, are shown to those who may deploy.
#[utoipa::path(get, tag = "containers",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path),
        ("container_id" = String, Path, description = "The id, a beginning of it, or the name.")),
    responses((status = 200, body = ContainerDetail)))]
pub(super) async fn get(
    State(app): State<App>,
    access: EnvironmentAccess,
    Path((environment_id, host_id, id)): Path<(Uuid, Uuid, String)>,
) -> Result<Json<ContainerDetail>> {
    let Found { docker, entry, .. } = container(&app, environment_id, host_id, &id)?;
    let raw = docker.inspect_container_raw(&entry.id).await?;
    Ok(Json(detail::of(entry.to_api(), raw, access.may(Permission::Deploy))?))
}

/// Do something with a container
///
/// Answers when it is done. What belongs to a stack is kept as the stack wants it: a container
/// that was stopped here is started again.
#[utoipa::path(post, tag = "containers",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}/actions",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ("container_id" = String, Path)),
    request_body(content = ContainerActionRequest, example = json!({ "action": "restart" })),
    responses((status = 204, description = "Done")))]
pub(super) async fn act(
    State(app): State<App>,
    access: EnvironmentAccess,
    Path((environment_id, host_id, id)): Path<(Uuid, Uuid, String)>,
    note: Note,
    Json(input): Json<ContainerActionRequest>,
) -> Result<StatusCode> {
    let Found { docker, entry, .. } = container(&app, environment_id, host_id, &id)?;
    note.target(&entry.id, &entry.name);
    if let Ok(action) = serde_json::to_value(input.action) {
        note.detail("action", action);
    }
    let runs = matches!(
        input.action,
        ContainerAction::Start | ContainerAction::Restart | ContainerAction::Unpause
    );
    if runs {
        check_takeover(access, &docker, &entry.id).await?;
    }
    match input.action {
        ContainerAction::Start => docker.start_container(&entry.id).await?,
        ContainerAction::Stop => docker.stop_container(&entry.id, None).await?,
        ContainerAction::Restart => docker.restart_container(&entry.id, None).await?,
        ContainerAction::Pause => docker.pause_container(&entry.id).await?,
        ContainerAction::Unpause => docker.unpause_container(&entry.id).await?,
        ContainerAction::Kill => docker.kill_container(&entry.id, "SIGKILL").await?,
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Rename a container
#[utoipa::path(patch, tag = "containers",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ("container_id" = String, Path)),
    request_body = UpdateContainer, responses((status = 204, description = "Renamed")))]
pub(super) async fn rename(
    State(app): State<App>,
    Path((environment_id, host_id, id)): Path<(Uuid, Uuid, String)>,
    note: Note,
    Json(input): Json<UpdateContainer>,
) -> Result<StatusCode> {
    let Found { docker, entry, .. } = container(&app, environment_id, host_id, &id)?;
    note.target(&entry.id, &entry.name);
    if entry.owner.is_some() {
        return Err(Error::conflict(
            "managed_container",
            "Drover names the containers of stacks itself.",
        ));
    }
    if !is_name(&input.name) {
        return Err(Error::invalid_field(
            "name",
            "2 to 128 letters, digits, `_`, `.` and `-`, beginning with a letter or digit.",
        ));
    }
    note.detail("name", input.name.as_str());
    docker.rename_container(&entry.id, &input.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether engines take it as a container's, volume's or network's name.
pub(super) fn is_name(name: &str) -> bool {
    (2..=128).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// How to remove a container.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RemoveQuery {
    /// Kill it when it runs.
    #[serde(default)]
    force: bool,
    /// Remove its anonymous volumes too.
    #[serde(default)]
    volumes: bool,
}

/// Remove a container
///
/// One that belongs to a stack comes back, new.
#[utoipa::path(delete, tag = "containers",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ("container_id" = String, Path), RemoveQuery),
    responses((status = 204, description = "Removed")))]
pub(super) async fn remove(
    State(app): State<App>,
    Path((environment_id, host_id, id)): Path<(Uuid, Uuid, String)>,
    Query(query): Query<RemoveQuery>,
    note: Note,
) -> Result<StatusCode> {
    let Found { docker, entry, .. } = container(&app, environment_id, host_id, &id)?;
    note.target(&entry.id, &entry.name);
    docker.remove_container(&entry.id, query.force, query.volumes).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the processes in a container
#[utoipa::path(get, tag = "containers",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/containers/{container_id}/processes",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ("container_id" = String, Path)),
    responses((status = 200, body = ProcessList)))]
pub(super) async fn processes(
    State(app): State<App>,
    Path((environment_id, host_id, id)): Path<(Uuid, Uuid, String)>,
) -> Result<Json<ProcessList>> {
    let Found { docker, entry, .. } = container(&app, environment_id, host_id, &id)?;
    if entry.state != ContainerState::Running {
        return Err(Error::conflict("not_running", "The container does not run."));
    }
    Ok(Json(docker.processes(&entry.id).await?))
}

/// Whether labels say that a thing was made by Drover for another environment.
pub(crate) fn belongs_to_others(environment: Uuid, labels: &HashMap<String, String>) -> bool {
    let of = labels.get(labels::ENVIRONMENT);
    of.is_some_and(|of| of.parse::<Uuid>() != Ok(environment))
}

/// Running, or opening a shell in, a container that could take over its host is for those who may
/// make such containers.
pub(crate) async fn check_takeover(
    access: EnvironmentAccess,
    docker: &Docker,
    id: &str,
) -> Result<()> {
    if access.may(Permission::HostTakeover) {
        return Ok(());
    }
    let inspect = docker.inspect_container(id).await?;
    let mut reason = detail::takeover_reason(&inspect);
    let labels = inspect.config.as_ref().and_then(|config| config.labels.as_ref());
    if labels.is_some_and(|labels| belongs_to_others(access.id, labels)) {
        return Err(Error::denied(
            "foreign_container",
            "This container belongs to another environment: your role here may not run it or open a shell in it.",
        ));
    }
    for name in inspect.mounts.iter().flatten().filter_map(|mount| mount.name.as_deref()) {
        // A volume can be a path of the host by its driver's options.
        let volume = docker.find_volume(name).await?;
        let options = volume.iter().flat_map(|volume| &volume.options);
        if detail::volume_reaches_host(options.map(|(key, value)| (key.as_str(), value.as_str()))) {
            reason = Some(format!("its volume {name} is a path of the host"));
        }
    }
    match reason {
        None => Ok(()),
        Some(reason) => Err(Error::denied(
            "host_takeover",
            format!(
                "This container could take over its host ({reason}): your role here may not run it or open a shell in it."
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<ContainerQuery> {
        parse_query(&format!("http://x/v1?{query}").parse().unwrap())
    }

    #[test]
    fn queries_are_read_and_wrong_ones_named() {
        let query = parse(
            "state=running,exited&sort=-created_at&q=Web&limit=5000&cursor=100&managed=false",
        )
        .unwrap();
        assert_eq!(query.states, [ContainerState::Running, ContainerState::Exited]);
        assert_eq!(query.sort, [(Field::CreatedAt, true)]);
        assert_eq!(query.text.as_deref(), Some("web"));
        assert_eq!((query.limit, query.offset, query.managed), (1000, 100, Some(false)));
        assert_eq!(parse("").unwrap().sort, [(Field::Name, false)]);
        for bad in
            ["state=flying", "sort=colour", "cursor=x", "managed=maybe", "host_id=1", "limit=-1"]
        {
            assert_eq!(parse(bad).unwrap_err().code(), "invalid_query", "{bad}");
        }
    }

    #[test]
    fn names() {
        assert!(is_name("web-1.a_b"));
        for bad in ["", "a", "-a", "a b", "a/b", "ä1"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
