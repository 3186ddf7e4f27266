//! The agent's image as a registry gives it, for clusters: their nodes pull images, and cannot
//! import files. Only what a pull needs of the OCI Distribution Specification, 1.1:
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md>

use std::{fs::File, io, os::fd::AsRawFd, path::PathBuf, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use tokio_util::io::ReaderStream;

use super::{install, version::VERSION};
use crate::{
    app::App,
    error::{Error, Result},
    extract::Path,
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The routes of this part. They are another specification's, so OpenAPI does not list them.
pub fn router() -> Router<App> {
    Router::new()
        .route("/v2/", get(async || axum::Json(json!({}))))
        .route("/v2/drover/agent/manifests/{reference}", get(manifest))
        .route("/v2/drover/agent/blobs/{digest}", get(blob))
}

/// The image. Its file has no name, and goes with the process.
struct Image {
    layer: File,
    layer_size: u64,
    layer_digest: String,
    config: String,
    manifest: String,
}

fn digest(bytes: impl AsRef<[u8]>) -> String {
    let hash = Sha256::digest(bytes.as_ref());
    format!("sha256:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn make() -> io::Result<Image> {
    use io::Seek;
    let mut layer = install::pack()?;
    layer.rewind()?;
    let layer_digest = format!("sha256:{}", install::digest(&mut layer)?);
    let layer_size = layer.metadata()?.len();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": { "Entrypoint": ["/drover", "agent"] },
        "rootfs": { "type": "layers", "diff_ids": [layer_digest] },
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": digest(&config), "size": config.len() },
        "layers": [{ "mediaType": LAYER, "digest": layer_digest, "size": layer_size }],
    })
    .to_string();
    Ok(Image { layer, layer_size, layer_digest, config, manifest })
}

async fn image() -> Result<Arc<Image>> {
    static IMAGE: OnceCell<Arc<Image>> = OnceCell::const_new();
    let made = IMAGE.get_or_try_init(async || {
        let made = tokio::task::spawn_blocking(make).await.map_err(io::Error::other)?;
        made.map(Arc::new)
    });
    made.await.cloned().map_err(Error::internal)
}

fn unknown(code: &'static str) -> Response {
    let body =
        json!({ "errors": [{ "code": code, "message": "The server gives only its agent." }] });
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

fn answer(media_type: &'static str, digest: &str, size: u64, body: Body) -> Result<Response> {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_LENGTH, size.into());
    let digest = HeaderValue::from_str(digest).map_err(Error::internal)?;
    headers.insert("docker-content-digest", digest);
    Ok(response)
}

async fn manifest(Path(reference): Path<String>) -> Result<Response> {
    let image = image().await?;
    let own = digest(&image.manifest);
    if ![VERSION, "latest", own.as_str()].contains(&reference.as_str()) {
        return Ok(unknown("MANIFEST_UNKNOWN"));
    }
    let size = image.manifest.len() as u64;
    answer(MANIFEST, &own, size, Body::from(image.manifest.clone()))
}

async fn blob(Path(wanted): Path<String>) -> Result<Response> {
    let image = image().await?;
    if wanted == digest(&image.config) {
        let size = image.config.len() as u64;
        return answer("application/octet-stream", &wanted, size, Body::from(image.config.clone()));
    }
    if wanted != image.layer_digest {
        return Ok(unknown("BLOB_UNKNOWN"));
    }
    // Opened anew, to be read from its beginning beside others who read it.
    let path = PathBuf::from(format!("/proc/self/fd/{}", image.layer.as_raw_fd()));
    let file = tokio::fs::File::open(path).await.map_err(Error::internal)?;
    let body = Body::from_stream(ReaderStream::with_capacity(file, 64 << 10));
    answer("application/octet-stream", &wanted, image.layer_size, body)
}
