//! HTTP.

mod actions;
mod apply;
mod baseline;
mod clusters;
mod environment;
mod health;
mod lists;
mod logs;
mod metrics;
mod objects;
mod picture;
mod shell;
mod target;

use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use target::Target;

use super::manifest;
use crate::app::App;

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(clusters::list, clusters::import))
        .routes(routes!(clusters::check))
        .routes(routes!(clusters::get, clusters::update, clusters::remove))
        .routes(routes!(clusters::namespaces))
        .routes(routes!(health::of_cluster))
        .routes(routes!(health::of_environment))
        .routes(routes!(manifest::create))
        .routes(routes!(environment::get, environment::update))
        .routes(routes!(environment::create_namespace))
        .routes(routes!(environment::remove_namespace))
        .routes(routes!(lists::types))
        .routes(routes!(lists::list))
        .routes(routes!(lists::groups))
        .routes(routes!(objects::get, objects::delete))
        .routes(routes!(objects::schema))
        .routes(routes!(picture::show))
        .routes(routes!(apply::apply))
        .routes(routes!(actions::act))
        .routes(routes!(actions::list_revisions))
        .routes(routes!(logs::read))
        .routes(routes!(logs::follow))
        .routes(routes!(logs::follow_pod))
        .routes(routes!(shell::exec))
        .routes(routes!(shell::download, shell::upload))
        .routes(routes!(metrics::show))
}
