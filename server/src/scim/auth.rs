//! Who may push: the holder of the provider's own bearer token.

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::store;
use crate::{
    app::App,
    audit::Note,
    error::{Error, Result},
};

/// What every token begins with, so that scanners and people recognise one.
pub const TOKEN_PREFIX: &str = "drvscim_";

/// A provider that pushes.
#[derive(Debug, Clone)]
pub struct Provisioner {
    /// The provider.
    pub provider_id: Uuid,
}

impl<S: Send + Sync> FromRequestParts<S> for Provisioner {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts.extensions.get().cloned().ok_or_else(unauthenticated)
    }
}

fn unauthenticated() -> Error {
    Error::new(
        StatusCode::UNAUTHORIZED,
        "unauthenticated",
        "Send the SCIM token of this provider as `Authorization: Bearer drvscim_…`.",
    )
}

/// The check of the access middleware for the routes of provisioners: the token of the provider
/// that the path names. Notes the provider as who acts.
///
/// # Errors
/// 401 without the right token; 403 when the provider is switched off.
pub async fn admit(
    app: &App,
    parts: &Parts,
    provider: Option<&str>,
    note: &Note,
) -> Result<Provisioner> {
    let token = parts
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| token.starts_with(TOKEN_PREFIX))
        .ok_or_else(unauthenticated)?;
    let provider_id: Uuid = provider.and_then(|id| id.parse().ok()).ok_or_else(unauthenticated)?;
    // The token is looked up by its hash: how long that takes says nothing about it.
    let hash = Sha256::digest(token.as_bytes());
    let provider =
        store::provider_by_token(&app.db, provider_id, &hash).await?.ok_or_else(unauthenticated)?;
    note.actor(None, &format!("scim: {}", provider.name));
    if !provider.enabled {
        return Err(Error::denied(
            "provider_disabled",
            "This provider is switched off in Drover. Switch it on, then push again.",
        ));
    }
    if provider.touch {
        store::touch_token(&app.db, provider_id).await?;
    }
    Ok(Provisioner { provider_id })
}
