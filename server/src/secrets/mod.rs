//! Secrets, certificates and registries of environments, and the cipher that keeps them at rest.

mod certificate;
mod cipher;
mod routes;
mod store;

pub use cipher::{Cipher, CipherError};
pub use routes::router;
pub use store::generation;

use uuid::Uuid;

use crate::{
    app::App,
    error::{Error, Result},
};

/// The value of an environment's secret, if there is one of this name.
pub async fn value(app: &App, environment: Uuid, name: &str) -> Result<Option<Vec<u8>>> {
    match store::sealed(&app.db, environment, name).await? {
        Some(sealed) => app.cipher.open(&sealed).map(Some).map_err(Error::internal),
        None => Ok(None),
    }
}
