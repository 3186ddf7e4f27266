//! HTTP.

mod clusters;
mod environment;

use super::manifest;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(clusters::list, clusters::import))
        .routes(routes!(clusters::check))
        .routes(routes!(clusters::get, clusters::update, clusters::remove))
        .routes(routes!(clusters::namespaces))
        .routes(routes!(manifest::create))
        .routes(routes!(environment::get, environment::update))
        .routes(routes!(environment::create_namespace))
        .routes(routes!(environment::remove_namespace))
}
