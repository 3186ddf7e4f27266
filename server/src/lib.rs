//! The Drover server. `docs/architecture.md` says how data flows through it; one folder is one
//! domain.

pub mod access;
pub mod agent;
pub mod agents;
pub mod app;
pub mod audit;
pub mod auth;
pub mod catalog;
pub mod clusters;
pub mod config;
pub mod database;
pub mod docker_api;
pub mod environments;
pub mod error;
pub mod events;
pub mod extract;
pub mod hosts;
pub mod idempotency;
pub mod kubernetes_api;
pub mod openapi;
pub mod operations;
pub mod passing;
pub mod providers;
pub mod scim;
pub mod secrets;
pub mod settings;
pub mod stacks;
pub mod tunnel;
pub mod users;
pub mod web;

/// Ends on SIGTERM or Ctrl-C.
pub async fn shutdown() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
