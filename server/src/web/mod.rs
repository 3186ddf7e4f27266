//! What the browser gets besides the API: the shell page, the app's files, headers, health.

mod api_docs;
mod assets;
mod headers;
mod health;
mod shell;

pub use headers::{Nonce, OwnHeaders, secure_headers};

use axum::{Router, routing::get};

use crate::app::App;

/// The routes of this domain. They are not part of the API, so OpenAPI does not list them.
pub fn router() -> Router<App> {
    Router::new()
        .route("/", get(shell::shell))
        .route("/{*path}", get(shell::shell))
        .route("/assets/{*path}", get(assets::asset))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/v1/openapi.json", get(api_docs::document))
        .route("/v1/docs", get(api_docs::page))
}
