//! The app's files: in the binary in release builds, read from disk in debug builds. Their names
//! carry the hash of their content, so browsers keep them for good.

use std::sync::LazyLock;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use rust_embed::{EmbeddedFile, RustEmbed};
use serde::Deserialize;
use std::collections::HashMap;

use crate::{
    error::{Error, Result},
    extract::Path,
};

#[derive(RustEmbed)]
#[folder = "../frontend/dist"]
#[allow_missing = true]
struct Files;

/// The hashed name of each file by its plain one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Manifest(HashMap<String, String>);

impl Manifest {
    /// The hashed name.
    pub fn name(&self, plain: &str) -> Option<&str> {
        self.0.get(plain).map(String::as_str)
    }
}

/// The manifest of the app that was built, if one was.
pub(super) fn manifest() -> Option<Manifest> {
    fn read() -> Option<Manifest> {
        serde_json::from_slice(&Files::get("manifest.json")?.data).ok()
    }
    static EMBEDDED: LazyLock<Option<Manifest>> = LazyLock::new(read);
    // In debug builds the app may be built anew while the server runs.
    if cfg!(debug_assertions) { read() } else { EMBEDDED.clone() }
}

/// Serves one file, as brotli where the browser takes it.
pub(super) async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Result<Response> {
    let accepts_brotli = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|part| part.trim().starts_with("br")));
    let compressed = accepts_brotli.then(|| Files::get(&format!("{path}.br"))).flatten();
    let encoded = compressed.is_some();
    let file: EmbeddedFile =
        compressed.or_else(|| Files::get(&path)).ok_or_else(|| Error::not_found("file"))?;
    let mut response = Response::new(Body::from(file.data));
    let headers = response.headers_mut();
    let mime = mime_guess::from_path(&path).first_or_octet_stream();
    if let Ok(mime) = HeaderValue::try_from(mime.as_ref()) {
        headers.insert(header::CONTENT_TYPE, mime);
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    if encoded {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    Ok(response)
}
