//! The first administrator: made by whoever has the one-time link that the server prints.

use std::os::unix::fs::OpenOptionsExt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use super::store;
use crate::{
    app::App,
    error::{Error, Result},
};

fn hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()))
}

/// While there is no administrator: makes a new one-time token (an older one ends), and returns
/// the link to print.
pub async fn announce(app: &App) -> Result<Option<String>> {
    if store::has_admin(&app.db).await? {
        return Ok(None);
    }
    let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
    store::set_setup_token(&app.db, &hash(&token)).await?;
    // In the fragment, so that it stays out of the logs of proxies.
    let link = format!("{}/setup#token={token}", app.settings.public_url());
    if let Some(path) = &app.settings.setup_link_file {
        write_private(path, &link).map_err(Error::internal)?;
    }
    Ok(Some(link))
}

fn write_private(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{text}")
}

/// Whether this is the token of the printed link.
pub(super) async fn token_is_right(db: &PgPool, token: &str) -> Result<bool> {
    // Compares hashes of a random token: timing tells nothing of use.
    Ok(store::setup_token(db).await?.is_some_and(|expected| expected == hash(token)))
}
