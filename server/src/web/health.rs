//! For load balancers and monitoring.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};

use crate::{app::App, error::Result};

/// The process answers.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// The server can do its work: the database answers.
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str> {
    app.check_database().await?;
    Ok("ready\n")
}

/// Prometheus metrics.
pub(super) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render())
}
