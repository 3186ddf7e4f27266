//! Stacks over HTTP. Each change of what is wanted is one transaction that also records the
//! operation; the engine does the rest.

mod change;
mod check;
mod install;
mod read;
mod target;
mod upgrade;

use indexmap::IndexMap;
use utoipa_axum::router::OpenApiRouter;

use super::store::NewRevision;
use crate::{
    app::App,
    error::{Error, Result},
};

pub use check::{describe, load};

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(read::router())
        .merge(check::router())
        .merge(install::router())
        .merge(change::router())
        .merge(upgrade::router())
}

fn variables_of(app: &App, new: &NewRevision) -> Result<IndexMap<String, String>> {
    let mut variables = new.variables.clone();
    if let Some(sealed) = &new.secret_variables {
        let plain = app.cipher.open(sealed).map_err(Error::internal)?;
        let secret: IndexMap<String, String> =
            serde_json::from_slice(&plain).map_err(Error::internal)?;
        variables.extend(secret);
    }
    Ok(variables)
}

fn check_description(text: &str) -> Result<()> {
    if text.chars().count() > 1000 {
        let why = "A description has at most 1,000 characters.";
        return Err(Error::invalid_field("description", why));
    }
    Ok(())
}
