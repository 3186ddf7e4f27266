//! How an agent gets into a cluster: `kubectl apply -f` of an address that is good once.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use drover_api::{ClusterManifest, ClusterSource, NewManifest, Topic};
use rand::distr::{Alphanumeric, SampleString};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::store;
use crate::{
    agent::state::{Identity, NewKey},
    agents::{handshake, version::VERSION},
    app::App,
    audit::Note,
    error::{Error, Result},
    extract::{Json, Path},
};

/// How long an address is good, hours.
const HOURS: std::ops::RangeInclusive<u32> = 1..=168;
const LONGEST_IMAGE: usize = 300;
const LONGEST_TOKEN: usize = 100;

/// The manifest's own route. It is a file, not API, so OpenAPI does not list it.
pub fn web_router() -> Router<App> {
    Router::new().route("/kubernetes/import/{token}", get(fetch))
}

#[derive(Template)]
#[template(path = "cluster_agent.yaml", escape = "none")]
struct Manifest<'a> {
    /// For people, in a comment: without line ends.
    name: &'a str,
    server: &'a str,
    /// These as JSON, which is YAML.
    identity: String,
    image: String,
}

/// Get an address for `kubectl apply -f`
///
/// It can be fetched once, within the time that is asked for. The agent that it brings takes the
/// place of an earlier one.
#[utoipa::path(post, path = "/v1/kubernetes/clusters/{cluster_id}/manifest", tag = "kubernetes",
    request_body(content = NewManifest, example = json!({ "hours": 24 })),
    params(("cluster_id" = Uuid, Path)), responses((status = 201, body = ClusterManifest)))]
pub(super) async fn create(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    note: Note,
    Json(input): Json<NewManifest>,
) -> Result<(axum::http::StatusCode, Json<ClusterManifest>)> {
    let hours = input.hours.unwrap_or(24);
    if !HOURS.contains(&hours) {
        return Err(Error::invalid_field("hours", "1 to 168 (a week)."));
    }
    if input.image.as_deref().is_some_and(|image| !is_image(image)) {
        return Err(Error::invalid_field("image", "An image, as a cluster's nodes pull it."));
    }
    let row = store::clusters(&app.db, Some(id)).await?.pop();
    let row = row.ok_or_else(|| Error::not_found("cluster"))?;
    note.target(id, &row.name);
    if row.source != ClusterSource::Agent {
        let why = "This cluster is reached by its kubeconfig, and needs no agent.";
        return Err(Error::conflict("not_an_agents_cluster", why));
    }
    let token = Alphanumeric.sample_string(&mut rand::rng(), 43);
    let expires_at = OffsetDateTime::now_utc() + Duration::hours(hours.into());
    let hash = Sha256::digest(token.as_bytes());
    store::set_manifest(&app.db, id, &hash, expires_at, input.image.as_deref()).await?;
    let url = format!("{}/kubernetes/import/{token}", app.settings.public_url());
    let command = format!("kubectl apply -f {url}");
    let created = ClusterManifest { url, command, expires_at: expires_at.into() };
    Ok((axum::http::StatusCode::CREATED, Json(created)))
}

fn is_image(text: &str) -> bool {
    (1..=LONGEST_IMAGE).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"./:@_-".contains(&b))
}

async fn fetch(State(app): State<App>, Path(token): Path<String>) -> Result<Response> {
    let gone = || {
        let why = "This address was used already, or its time is over. Get a new one from the cluster's page in Drover.";
        Error::new(axum::http::StatusCode::GONE, "manifest_used", why)
    };
    if token.len() > LONGEST_TOKEN {
        return Err(gone());
    }
    let new = NewKey::generate().map_err(Error::internal)?;
    let key = new.key().map_err(Error::internal)?;
    let hash = Sha256::digest(token.as_bytes());
    let taken = store::take_manifest(&app.db, &hash, handshake::public(&key)).await?;
    let (id, name, image) = taken.ok_or_else(gone)?;
    // Whoever had the key before is an agent no more.
    app.tunnels.cut(id);
    let server = app.settings.public_url();
    let identity = Identity::of_cluster(&server, id, &name, &new);
    let identity = serde_json::to_string(&identity).map_err(Error::internal)?;
    let image = image.unwrap_or_else(|| own_image(&server));
    let quoted = |text: &str| serde_json::to_string(text).map_err(Error::internal);
    let manifest = Manifest {
        name: &name,
        server: &server,
        identity: quoted(&identity)?,
        image: quoted(&image)?,
    };
    let text = manifest.render().map_err(Error::internal)?;
    app.events.updated(Topic::KubernetesCluster, None, id).await;
    let headers = [
        (header::CONTENT_TYPE, "application/yaml; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, text).into_response())
}

/// The image that this server gives out itself, as a registry: see [`crate::agents`].
pub(super) fn own_image(server: &str) -> String {
    let host = server.split_once("://").map_or(server, |(_, host)| host);
    format!("{host}/drover/agent:{VERSION}")
}
