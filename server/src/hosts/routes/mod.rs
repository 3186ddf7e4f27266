//! The routes of hosts, and of all that is on them.

mod containers;
mod manage;
mod resources;
pub mod streams;

pub(crate) use containers::{belongs_to_others, check_takeover};

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{LiveHost, driver::Docker, index::Entry};
use crate::{
    app::App,
    error::{Error, Result},
};

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(manage::list, manage::create))
        .routes(routes!(manage::test))
        .routes(routes!(manage::get, manage::update, manage::remove))
        .routes(routes!(manage::usage))
        .routes(routes!(manage::recent_events))
        .routes(routes!(resources::list_images, resources::pull_image))
        .routes(routes!(resources::get_image, resources::remove_image))
        .routes(routes!(resources::list_volumes, resources::create_volume))
        .routes(routes!(resources::get_volume, resources::remove_volume))
        .routes(routes!(resources::list_networks, resources::create_network))
        .routes(routes!(resources::get_network, resources::remove_network))
        .routes(routes!(resources::preview_prune, resources::prune))
        .routes(routes!(containers::list))
        .routes(routes!(containers::get, containers::rename, containers::remove))
        .routes(routes!(containers::act))
        .routes(routes!(containers::processes))
        .routes(routes!(streams::logs))
        .routes(routes!(streams::follow_logs))
        .routes(routes!(streams::exec))
        .routes(routes!(streams::stats))
}

/// A host of an environment.
fn host(app: &App, environment_id: Uuid, host_id: Uuid) -> Result<Arc<LiveHost>> {
    app.hosts.live(environment_id, host_id).ok_or_else(|| Error::not_found("host"))
}

/// A container of a host, with the engine that it is on.
struct Found {
    host: Arc<LiveHost>,
    docker: Docker,
    entry: Arc<Entry>,
}

fn container(app: &App, environment_id: Uuid, host_id: Uuid, id: &str) -> Result<Found> {
    let host = host(app, environment_id, host_id)?;
    // A host that is away is said so first: its containers are only as last seen.
    let docker = host.docker()?;
    let entry = app
        .hosts
        .index()
        .find(environment_id, host_id, id)
        .ok_or_else(|| Error::not_found("container"))?;
    Ok(Found { host, docker, entry })
}
