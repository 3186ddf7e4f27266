//! Identity providers: directories and sign-in services beside the local accounts.
//!
//! [`provider`] is the seam; one module each stands behind it. [`registry`] holds the connections,
//! [`sign_in`] turns a person's proof into a Drover user, [`accounts`] writes down what providers
//! tell of people, [`refresh`] asks again and again, [`search`] finds users and groups to give
//! roles to. [`tls`] is how all of them trust servers, [`http`] how those that speak HTTP are asked.

pub mod accounts;
pub mod active_directory;
pub mod github;
mod http;
pub mod ldap;
mod model;
pub mod openid;
mod provider;
mod refresh;
mod registry;
mod renewed;
mod routes;
mod search;
pub mod sign_in;
mod store;
mod tls;

pub use model::{ProviderRow, principal_id, return_to};
pub use provider::*;
pub use registry::{Connected, Providers};
pub use routes::{no_ticket_cookie, router, ticket_cookie};
pub use search::learn;
pub use store::{get, sweep};

use crate::app::App;

/// What the sign-in page offers.
pub async fn sign_in_providers(app: &App) -> crate::error::Result<Vec<drover_api::SignInProvider>> {
    Ok(store::sign_in_providers(&app.db).await?)
}

/// Starts what runs beside requests.
pub fn start(app: &App) {
    tokio::spawn(refresh::run(app.clone()));
}
