//! Kubernetes clusters, and environments that stand on them.
//!
//! | part | what |
//! | --- | --- |
//! | [`store`] | the tables of clusters and of what environments have of them |
//! | [`connection`] | one task a cluster: connects, notices when it goes and comes |
//! | [`live`] | the clusters as they are, in memory |
//! | [`access`] | how an administrator's kubeconfig becomes a connection |
//! | [`caller`] | as whom a user is told to a cluster |
//! | [`through_agent`], [`manifest`], [`agent`] | clusters whose agent dials in, how it gets there, and becomes newer |
//! | [`keep`] | roles, bindings and namespaces that Drover keeps in a cluster |
//! | [`engine`] | stacks |
//! | [`telling`] | tells browsers which objects have changed |
//! | [`drain`] | the operations that empty nodes |
//! | [`metrics`] | samples of what nodes and pods use |
//! | [`pod_logs`] | logs of pods, merged |
//! | [`shell`] | commands in pods |
//! | [`shown`] | what the index knows, as the API shows it |
//! | [`schemas`] | what objects of a type may look like |
//! | [`routes`] | HTTP |
//!
//! What needs neither the database nor HTTP is in the crate `drover_kubernetes`.

mod access;
mod agent;
pub mod caller;
mod connection;
mod drain;
mod engine;
mod keep;
mod live;
mod manifest;
mod metrics;
mod pod_logs;
mod routes;
mod schemas;
mod seen;
mod share;
mod shell;
mod shown;
mod store;
mod telling;
mod through_agent;

pub(super) use engine::Engine;
pub use live::{Kubernetes, Live};
pub use manifest::web_router;
pub use routes::router;
pub use share::{claim, of_environment};
pub use store::Share;

use crate::{app::App, error::Error};
use drover_api::FieldError;
use drover_kubernetes::client::{Failure, FailureKind};
use http::StatusCode;

/// Starts the tasks.
pub fn start(app: &App) {
    tokio::spawn(connection::supervise(app.clone()));
    engine::start(app);
    tokio::spawn(drain::watch(app.clone()));
}

/// What a cluster refused or failed at, as the API tells it.
pub(crate) fn failed(failure: Failure) -> Error {
    let (kind, message) = (failure.kind(), failure.message().to_owned());
    let status = match kind {
        FailureKind::Away | FailureKind::Certificate | FailureKind::Unauthorized => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        FailureKind::Cluster => StatusCode::BAD_GATEWAY,
        FailureKind::Forbidden => StatusCode::FORBIDDEN,
        FailureKind::NotFound => StatusCode::NOT_FOUND,
        FailureKind::Conflict | FailureKind::Expired => StatusCode::CONFLICT,
        FailureKind::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        FailureKind::Invalid | FailureKind::Webhook | FailureKind::AddressRefused => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        FailureKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        FailureKind::BadRequest => StatusCode::BAD_REQUEST,
    };
    let errors = failure.causes().iter().filter(|cause| !cause.field.is_empty());
    let errors = errors.map(|cause| FieldError::new(&cause.field, &cause.message)).collect();
    Error::new(status, kind.code(), message).with_errors(errors)
}
