//! The routes of swarms. Lists come from what the watcher saw; changes go to a manager at once,
//! and what takes long is an operation.

mod cluster;
mod files;
mod logs;
mod networks;
mod nodes;
mod services;

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use drover_api::{ClusterKind, Freshness, List, Permission};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{live::Live, view::Belongs};
use crate::{
    access::{Caller, EnvironmentAccess},
    app::App,
    audit::Note,
    error::{Error, Result},
    hosts::driver::Docker,
};

/// The routes of swarms.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(cluster::show, cluster::create, cluster::update, cluster::remove))
        .routes(routes!(cluster::take_over))
        .routes(routes!(cluster::join))
        .routes(routes!(cluster::force_new_cluster))
        .routes(routes!(cluster::unlock))
        .routes(routes!(cluster::rotate))
        .routes(routes!(cluster::keys))
        .routes(routes!(nodes::list))
        .routes(routes!(nodes::get, nodes::update, nodes::remove))
        .routes(routes!(nodes::leave))
        .routes(routes!(services::list))
        .routes(routes!(services::get, services::remove))
        .routes(routes!(services::scale))
        .routes(routes!(services::update))
        .routes(routes!(services::rollback))
        .routes(routes!(services::list_tasks))
        .routes(routes!(services::get_task))
        .routes(routes!(services::list_stacks))
        .routes(routes!(services::remove_stack))
        .routes(routes!(logs::service))
        .routes(routes!(logs::follow_service))
        .routes(routes!(logs::task))
        .routes(routes!(logs::follow_task))
        .routes(routes!(networks::list, networks::create))
        .routes(routes!(networks::remove))
        .routes(routes!(files::list_secrets, files::create_secret))
        .routes(routes!(files::remove_secret))
        .routes(routes!(files::rotate_secret))
        .routes(routes!(files::list_configs, files::create_config))
        .routes(routes!(files::get_config, files::remove_config))
        .routes(routes!(files::rotate_config))
}

/// The swarm that the path names, and who asks.
struct Target {
    app: App,
    caller: Caller,
    access: EnvironmentAccess,
    note: Note,
    live: Arc<Live>,
}

impl FromRequestParts<App> for Target {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let access = EnvironmentAccess::from_request_parts(parts, app).await?;
        let note = Note::from_request_parts(parts, app).await?;
        if access.cluster != ClusterKind::Swarm {
            return Err(Error::conflict(
                "not_a_swarm",
                "This environment does not stand on a swarm. Make one whose cluster is `swarm`.",
            ));
        }
        Ok(Self { app: app.clone(), caller, access, note, live: app.swarms.live(access.id) })
    }
}

impl Target {
    /// A manager, ready to be called.
    fn docker(&self) -> Result<Docker> {
        self.live.docker()
    }

    /// The lists' age.
    fn freshness(&self) -> Freshness {
        self.live.freshness()
    }

    /// A page with its age.
    fn page<T>(&self, mut list: List<T>) -> List<T> {
        list.freshness = Some(self.freshness());
        list
    }

    /// Refuses to change what a stack of Drover's keeps as it wants it, or what is not ours.
    fn check_free(&self, what: &str, belongs: &Belongs) -> Result<()> {
        if belongs.foreign {
            return Err(Error::conflict(
                "foreign",
                format!(
                    "This {what} belongs to another environment or installation of Drover: change it there."
                ),
            ));
        }
        if belongs.stack_id.is_some() {
            return Err(Error::conflict(
                "managed_by_stack",
                format!(
                    "This {what} belongs to a stack of Drover's, which keeps it as it wants it: change it in the stack."
                ),
            ));
        }
        Ok(())
    }

    /// Refuses to run what could take over a node to those who may not make such containers.
    fn check_takeover(&self, spec: &serde_json::Value) -> Result<()> {
        if self.access.may(Permission::HostTakeover) {
            return Ok(());
        }
        match super::takeover::reason(spec) {
            None => Ok(()),
            Some(reason) => Err(Error::denied(
                "host_takeover",
                format!(
                    "This service could take over the nodes that it runs on ({reason}): your role here may not run it."
                ),
            )),
        }
    }
}
