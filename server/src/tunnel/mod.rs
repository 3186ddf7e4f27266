//! Tunnels: the connections that agents have dialled, through which streams go to their hosts.
//!
//! | part | what |
//! | --- | --- |
//! | [`way`] | the way to a host's agent, whichever replica of the server its tunnel ends on |
//! | [`mux`] | many streams over one connection |
//! | [`websocket`] | a WebSocket as a stream of bytes that notices when the other end is gone |
//! | [`dial`] | dialling out: proxies, TLS, pinned certificates |
//! | [`peers`] | the other replicas |
//! | `store` | the tables `replicas` and `tunnels` |
//!
//! A tunnel carries streams that the server opens. The first line of each says where it is to end
//! ([`Target`]); the answer is a line too. What agents are and how they prove it is in
//! [`crate::agents`].

pub mod dial;
pub mod mux;
pub mod peers;
pub mod store;
mod target;
mod way;
pub mod websocket;

pub use mux::Mux;
pub use target::{ContainersUsage, KubernetesAccount, Measured, Request, Target};
pub use way::{Duplex, Stream, Tunnel, Tunnels, Way};

use axum::{extract::State, response::Response};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, error::Result};

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(replica))
}

/// Starts what keeps this replica known to the others.
pub fn spawn(app: App) {
    tokio::spawn(peers::keep_listed(app));
}

/// Connect as another replica of this server
///
/// A WebSocket for the server's own use: it asks for a proof of the encryption key that all
/// replicas share, and then carries streams to the agents that are connected here.
#[utoipa::path(get, path = "/v1/replicas/tunnel", tag = "agents",
    responses((status = 101, description = "A WebSocket"),
        (status = 426, description = "Only WebSockets are taken here")))]
async fn replica(State(app): State<App>, request: axum::extract::Request) -> Result<Response> {
    websocket::upgrade(request, move |socket| async move {
        let tunnels = app.tunnels.clone();
        if let Err(error) = tunnels.peers().take(tunnels.clone(), socket).await {
            tracing::debug!(%error, "the connection of a replica has ended");
        }
    })
}
