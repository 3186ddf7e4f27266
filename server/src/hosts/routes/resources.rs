//! Images, volumes, networks, and pruning them.

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use drover_api::{
    CreateNetwork, CreateVolume, FieldError, Image, ImageDetail, List, Network, Permission,
    PruneKind, PrunePreview, PruneRequest, PullImage, PullMessage, Volume,
};
use futures_util::StreamExt;
use indexmap::IndexMap;
use serde::Deserialize;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::{containers::is_name, host};
use crate::{
    access::EnvironmentAccess,
    app::App,
    audit::Note,
    error::{Error, Result},
    extract::{Json, ListQuery, Path, Query, SortKey},
    hosts::{
        LiveHost, detail,
        driver::{self, Docker, DockerError, ErrorKind, RegistryAuth},
        labels, registry_auth, resources,
    },
};

/// Progress messages that may wait for a slow reader; more are left out.
const WAITING: usize = 16;

fn labels_text(labels: &IndexMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!(" {key}={value}")).collect()
}

/// List the images of a host
#[utoipa::path(get, path = "/v1/environments/{environment_id}/hosts/{host_id}/images",
    tag = "images", params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<Image>)))]
pub(super) async fn list_images(
    State(app): State<App>,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Image>>> {
    let host = host(&app, environment_id, host_id)?;
    let images = resources::images(&host, app.hosts.index()).await?;
    query
        .page(
            images,
            &["name", "size", "created_at", "containers"],
            "name",
            |image| format!("{} {} {}", image.tags.join(" "), image.digests.join(" "), image.id),
            |image, field| match field {
                "size" => SortKey::Number(image.size as i64),
                "created_at" => SortKey::Number(image.created_at.unix_ms()),
                "containers" => SortKey::Number(image.containers.into()),
                // Those without a name come last.
                _ => SortKey::text(image.tags.first().map_or("\u{10ffff}", String::as_str)),
            },
        )
        .map(Json)
}

/// Pull an image
///
/// Answers `application/x-ndjson`: a [`PullMessage`] a line as the pull goes on; the last one is
/// `done` or `failed`. Uses the credentials stored for the image's registry. Ending the request
/// ends the pull.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/hosts/{host_id}/images",
    tag = "images", params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path)),
    request_body(content = PullImage, example = json!({ "image": "nginx:1.27" })),
    responses((status = 200, body = PullMessage, content_type = "application/x-ndjson")))]
pub(super) async fn pull_image(
    State(app): State<App>,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
    note: Note,
    Json(input): Json<PullImage>,
) -> Result<Response> {
    let host = host(&app, environment_id, host_id)?;
    let docker = host.docker()?;
    let image = input.image.trim().to_owned();
    if let Err(error) = driver::check_image(&image) {
        return Err(Error::invalid_field("image", error.message()));
    }
    note.target(&image, &image);
    let auth = registry_auth(&app, environment_id, &image).await?;
    let (sender, receiver) = tokio::sync::mpsc::channel::<PullMessage>(WAITING);
    tokio::spawn(async move {
        let last = pull(&docker, &image, auth.as_ref(), &sender).await;
        let _ = sender.send(last).await;
    });
    let lines = ReceiverStream::new(receiver).map(|message| {
        let mut line = serde_json::to_vec(&message).map_err(std::io::Error::other)?;
        line.push(b'\n');
        Ok::<_, std::io::Error>(Bytes::from(line))
    });
    let mut response = Body::from_stream(lines).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    // Compression, here or in a proxy, would hold the lines back.
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Pulls until done, failed, or nobody listens any more.
async fn pull(
    docker: &Docker,
    image: &str,
    auth: Option<&RegistryAuth>,
    sender: &tokio::sync::mpsc::Sender<PullMessage>,
) -> PullMessage {
    let pulling = docker.pull_image(image, auth, |progress| {
        // A reader that is slow misses some of the progress, never the end.
        let _ = sender.try_send(PullMessage::Progress {
            fraction: progress.fraction,
            message: progress.message,
        });
    });
    let pulled = tokio::select! {
        pulled = pulling => pulled,
        () = sender.closed() => Err(DockerError::new(ErrorKind::EngineError, "The pull was ended.")),
    };
    let found = match pulled {
        Ok(()) => docker.find_image(image).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(found) => PullMessage::Done { image_id: found.and_then(|i| i.id).unwrap_or_default() },
        Err(error) => {
            PullMessage::Failed { code: error.code().into(), message: error.message().into() }
        }
    }
}

/// Show an image
#[utoipa::path(get, path = "/v1/environments/{environment_id}/hosts/{host_id}/images/{image_id}",
    tag = "images",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ("image_id" = String, Path,
        description = "The id, or a reference with its slashes encoded as %2F.")),
    responses((status = 200, body = ImageDetail)))]
pub(super) async fn get_image(
    State(app): State<App>,
    Path((environment_id, host_id, id)): Path<(Uuid, Uuid, String)>,
) -> Result<Json<ImageDetail>> {
    let host = host(&app, environment_id, host_id)?;
    let found = match resources::image(&host, app.hosts.index(), &id).await {
        Err(error) if error.kind() == ErrorKind::ImageNotFound => None,
        found => found?,
    };
    found.map(Json).ok_or_else(|| Error::not_found("image"))
}

/// How to remove something.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ForceQuery {
    /// Remove it though stopped containers use it.
    #[serde(default)]
    force: bool,
}

/// Remove an image
///
/// 409 when a container uses it.
#[utoipa::path(delete, tag = "images",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/images/{image_id}",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ("image_id" = String, Path), ForceQuery),
    responses((status = 204, description = "Removed")))]
pub(super) async fn remove_image(
    State(app): State<App>,
    Path((environment_id, host_id, id)): Path<(Uuid, Uuid, String)>,
    Query(query): Query<ForceQuery>,
    note: Note,
) -> Result<StatusCode> {
    let host = host(&app, environment_id, host_id)?;
    note.target(&id, &id);
    host.docker()?.remove_image(&id, query.force).await?;
    host.resources.forget(&[resources::Kind::Images]);
    Ok(StatusCode::NO_CONTENT)
}

/// List the volumes of a host
#[utoipa::path(get, path = "/v1/environments/{environment_id}/hosts/{host_id}/volumes",
    tag = "volumes", params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<Volume>)))]
pub(super) async fn list_volumes(
    State(app): State<App>,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Volume>>> {
    let host = host(&app, environment_id, host_id)?;
    let volumes = resources::volumes(&host, app.hosts.index()).await?;
    query
        .page(
            volumes,
            &["name", "driver", "size", "created_at"],
            "name",
            |volume| {
                let users = volume.used_by.join(" ");
                format!("{} {} {users}{}", volume.name, volume.driver, labels_text(&volume.labels))
            },
            |volume, field| match field {
                "driver" => SortKey::text(&volume.driver),
                "size" => SortKey::Number(volume.size.map_or(-1, |size| size as i64)),
                "created_at" => SortKey::Number(volume.created_at.map_or(0, |at| at.unix_ms())),
                _ => SortKey::text(&volume.name),
            },
        )
        .map(Json)
}

/// Make a volume
///
/// Driver options that mount a path or device of the host need the permission `host_takeover`.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/hosts/{host_id}/volumes",
    tag = "volumes", params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path)),
    request_body(content = CreateVolume, example = json!({ "name": "data" })),
    responses((status = 201, body = Volume)))]
pub(super) async fn create_volume(
    State(app): State<App>,
    access: EnvironmentAccess,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
    note: Note,
    Json(input): Json<CreateVolume>,
) -> Result<(StatusCode, Json<Volume>)> {
    let host = host(&app, environment_id, host_id)?;
    note.target(&input.name, &input.name);
    check_new(&input.name, &input.labels)?;
    let options = input.options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    if detail::volume_reaches_host(options) && !access.may(Permission::HostTakeover) {
        return Err(Error::denied(
            "host_takeover",
            "These driver options mount a path or device of the host: your role here may not use them.",
        ));
    }
    let volume = resources::create_volume(&host, input).await?;
    Ok((StatusCode::CREATED, Json(volume)))
}

/// Drover's own labels decide whom a thing belongs to: nobody may write them.
fn check_new(name: &str, labels: &IndexMap<String, String>) -> Result<()> {
    let mut errors = Vec::new();
    if !is_name(name) {
        errors.push(FieldError::new(
            "name",
            "2 to 128 letters, digits, `_`, `.` and `-`, beginning with a letter or digit.",
        ));
    }
    for key in labels.keys().filter(|key| key.starts_with(labels::PREFIX)) {
        errors.push(FieldError::new(
            format!("labels.{key}"),
            "Labels that begin with `io.drover.` are Drover's own.",
        ));
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::invalid(errors)) }
}

/// Show a volume
#[utoipa::path(get, tag = "volumes",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/volumes/{volume_name}",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ("volume_name" = String, Path)),
    responses((status = 200, body = Volume)))]
pub(super) async fn get_volume(
    State(app): State<App>,
    Path((environment_id, host_id, name)): Path<(Uuid, Uuid, String)>,
) -> Result<Json<Volume>> {
    let host = host(&app, environment_id, host_id)?;
    let volumes = resources::volumes(&host, app.hosts.index()).await?;
    let found = volumes.into_iter().find(|volume| volume.name == name);
    found.map(Json).ok_or_else(|| Error::not_found("volume"))
}

/// Remove a volume and all that is in it
///
/// 409 when a container uses it.
#[utoipa::path(delete, tag = "volumes",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/volumes/{volume_name}",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ("volume_name" = String, Path)),
    responses((status = 204, description = "Removed")))]
pub(super) async fn remove_volume(
    State(app): State<App>,
    Path((environment_id, host_id, name)): Path<(Uuid, Uuid, String)>,
    note: Note,
) -> Result<StatusCode> {
    let host = host(&app, environment_id, host_id)?;
    note.target(&name, &name);
    host.docker()?.remove_volume(&name, false).await?;
    host.resources.forget(&[resources::Kind::Volumes]);
    Ok(StatusCode::NO_CONTENT)
}

/// List the networks of a host
#[utoipa::path(get, path = "/v1/environments/{environment_id}/hosts/{host_id}/networks",
    tag = "networks", params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<Network>)))]
pub(super) async fn list_networks(
    State(app): State<App>,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Network>>> {
    let host = host(&app, environment_id, host_id)?;
    let networks = resources::networks(&host, app.hosts.index()).await?;
    query
        .page(
            networks,
            &["name", "driver", "scope"],
            "name",
            |network| {
                let (subnets, users) = (network.subnets.join(" "), network.containers.join(" "));
                format!("{} {} {subnets} {users}", network.name, network.driver)
            },
            |network, field| match field {
                "driver" => SortKey::text(&network.driver),
                "scope" => SortKey::text(&network.scope),
                _ => SortKey::text(&network.name),
            },
        )
        .map(Json)
}

/// Make a network
#[utoipa::path(post, path = "/v1/environments/{environment_id}/hosts/{host_id}/networks",
    tag = "networks", params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path)),
    request_body(content = CreateNetwork, example = json!({ "name": "backend", "subnet": "10.7.0.0/24" })),
    responses((status = 201, body = Network)))]
pub(super) async fn create_network(
    State(app): State<App>,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
    note: Note,
    Json(input): Json<CreateNetwork>,
) -> Result<(StatusCode, Json<Network>)> {
    let host = host(&app, environment_id, host_id)?;
    check_new(&input.name, &input.labels)?;
    let name = input.name.clone();
    let id = resources::create_network(&host, input).await?;
    note.target(&id, &name);
    let network = find_network(&app, &host, &id).await?;
    Ok((StatusCode::CREATED, Json(network)))
}

async fn find_network(app: &App, host: &LiveHost, id: &str) -> Result<Network> {
    let networks = resources::networks(host, app.hosts.index()).await?;
    networks
        .into_iter()
        .find(|network| network.id == id || network.name == id)
        .ok_or_else(|| Error::not_found("network"))
}

/// Show a network
#[utoipa::path(get, tag = "networks",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/networks/{network_id}",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ("network_id" = String, Path)),
    responses((status = 200, body = Network)))]
pub(super) async fn get_network(
    State(app): State<App>,
    Path((environment_id, host_id, id)): Path<(Uuid, Uuid, String)>,
) -> Result<Json<Network>> {
    let host = host(&app, environment_id, host_id)?;
    find_network(&app, &host, &id).await.map(Json)
}

/// Remove a network
///
/// 409 when containers are in it, or it is one of the engine's own.
#[utoipa::path(delete, tag = "networks",
    path = "/v1/environments/{environment_id}/hosts/{host_id}/networks/{network_id}",
    params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), ("network_id" = String, Path)),
    responses((status = 204, description = "Removed")))]
pub(super) async fn remove_network(
    State(app): State<App>,
    Path((environment_id, host_id, id)): Path<(Uuid, Uuid, String)>,
    note: Note,
) -> Result<StatusCode> {
    let host = host(&app, environment_id, host_id)?;
    let network = find_network(&app, &host, &id).await?;
    note.target(&network.id, &network.name);
    host.docker()?.remove_network(&network.id).await?;
    host.resources.forget(&[resources::Kind::Networks]);
    Ok(StatusCode::NO_CONTENT)
}

/// Which prune.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PruneQuery {
    /// What kind of thing.
    kind: PruneKind,
}

/// Show what a prune would take
#[utoipa::path(get, path = "/v1/environments/{environment_id}/hosts/{host_id}/prune",
    tag = "hosts", params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path), PruneQuery),
    responses((status = 200, body = PrunePreview)))]
pub(super) async fn preview_prune(
    State(app): State<App>,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
    Query(query): Query<PruneQuery>,
) -> Result<Json<PrunePreview>> {
    let host = host(&app, environment_id, host_id)?;
    Ok(Json(resources::prunable(&host, app.hosts.index(), query.kind).await?))
}

/// Remove what the preview showed and is still unused
#[utoipa::path(post, path = "/v1/environments/{environment_id}/hosts/{host_id}/prune",
    tag = "hosts", params(("environment_id" = Uuid, Path), ("host_id" = Uuid, Path)),
    request_body(content = PruneRequest, example = json!({ "kind": "volumes", "ids": ["old-data"] })),
    responses((status = 200, body = PrunePreview, description = "What went")))]
pub(super) async fn prune(
    State(app): State<App>,
    access: EnvironmentAccess,
    Path((environment_id, host_id)): Path<(Uuid, Uuid)>,
    note: Note,
    Json(input): Json<PruneRequest>,
) -> Result<Json<PrunePreview>> {
    if input.kind == PruneKind::Networks {
        access.require(Permission::ManageHosts)?;
    }
    let host = host(&app, environment_id, host_id)?;
    note.target(host_id, &host.name());
    let gone = resources::prune(&host, app.hosts.index(), input.kind, &input.ids).await?;
    let names: Vec<&str> = gone.items.iter().map(|item| item.name.as_str()).collect();
    note.detail("removed", names);
    Ok(Json(gone))
}
