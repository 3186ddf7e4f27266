//! The native Docker command line: `/docker/hosts/{host_id}/…` is the Docker Engine's API of that
//! host under the caller's role, and `/docker/environments/{environment_id}/swarm/…` that of a
//! manager of the environment's swarm.
//!
//! | part | what |
//! | --- | --- |
//! | [`policy`] | what each route and each option is, and who may use it: pure |
//! | `checks` | asks the engine what a call's names stand for; adds credentials |
//! | `forward` | sends a call on and its answer back, as streams, until the right to it ends |
//! | `refuse` | errors in Docker's own shape |
//! | `context` | what to paste to use it |
//!
//! A call that is refused has not reached the engine. Who could take over the host anyway (members,
//! owners) may use all of the API; for the others what is not known is not allowed.

mod checks;
mod context;
mod forward;
pub mod policy;
mod refuse;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Request, State},
    response::Response,
    routing::any,
};
use drover_api::Permission;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub use refuse::{shape, unauthenticated};

use crate::{
    access::{Caller, EnvironmentAccess, require_active},
    app::App,
    audit::Note,
    error::{Error, Result},
    hosts::LiveHost,
    passing::Unread,
};
use policy::{Address, Row, table};

/// The documented routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(context::get))
}

/// The Docker API itself. Not in the OpenAPI document, which has no word for it: it is Docker's.
pub fn proxy_router() -> Router<App> {
    Router::new()
        .route("/docker/hosts/{host_id}/{*path}", any(of_host))
        .route("/docker/environments/{environment_id}/swarm/{*path}", any(of_swarm))
}

/// A call, with who makes it and where it goes.
struct Call {
    app: App,
    caller: Caller,
    access: EnvironmentAccess,
    note: Note,
    host: Arc<LiveHost>,
}

async fn of_host(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    note: Note,
    Path((host_id, _)): Path<(Uuid, String)>,
    request: Request,
) -> Result<Response> {
    let host = app.hosts.live(access.id, host_id).ok_or_else(|| Error::not_found("host"))?;
    serve(Call { app, caller, access, note, host }, 4, request).await
}

async fn of_swarm(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    note: Note,
    request: Request,
) -> Result<Response> {
    let host = checks::manager(&app, access.id).await?;
    serve(Call { app, caller, access, note, host }, 5, request).await
}

/// Answers a call. The first `skip` parts of its path (with the empty one before the first slash)
/// lead here; the rest is the engine's.
async fn serve(call: Call, skip: usize, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let body = Unread::new(body, &parts.headers);
    let uri = &parts.uri;
    let path = uri.path().splitn(skip + 1, '/').nth(skip).unwrap_or_default();
    let mut address =
        Address::parse(path, uri.query()).map_err(|refusal| refuse::refused(&call, refusal))?;
    let row = match policy::find(parts.method.as_str(), &address) {
        Some(row) => row,
        None if call.access.may(Permission::HostTakeover) => &table::UNKNOWN,
        None => return Err(refuse::unknown(&call, &parts.method, &address)),
    };
    note(&call, row, &address);
    call.access.require(row.needs)?;
    if !call.access.may(Permission::HostTakeover) {
        checks::plain_request(&call, row, &mut address, &parts.headers)?;
    }
    if row.action.is_some() {
        require_active(&call.app, call.access.id).await?;
    }
    let docker = call.host.docker()?;
    let body = forward::take_body(row.body, body).await?;
    let sent = checks::prepare(&call, &docker, row, &mut address, &parts.headers, body).await?;
    forward::send(call, docker, row, &address, parts, sent).await
}

/// What the audit log is told of a call, before anything can refuse it.
fn note(call: &Call, row: &Row, address: &Address) {
    let Some(action) = row.action else { return };
    let kind = action.split('.').nth(1).unwrap_or("docker");
    call.note.action(action, kind, call.access.id);
    let host = call.host.row().name.clone();
    call.note.detail("host", host);
    let name = row.name(address).or_else(|| {
        let named = ["name", "t", "fromImage", "repo", "container"];
        named.iter().find_map(|name| address.value(name)).map(str::to_owned)
    });
    match name {
        Some(name) => call.note.target(&name, &name),
        None if action == "docker.other.call" => {
            let path = address.segments.join("/");
            call.note.target(&path, &path);
        }
        None => call.note.target("", ""),
    }
}

impl Call {
    fn limited(&self) -> bool {
        !self.access.may(Permission::HostTakeover)
    }
}

/// What is sent in the place of a call's own body, or with it.
struct Sent {
    body: forward::Taken,
    headers: Vec<(axum::http::HeaderName, axum::http::HeaderValue)>,
}
