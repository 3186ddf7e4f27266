//! Argon2id. Hashing takes tens of milliseconds of a core, so it runs on the blocking pool, a few
//! at a time.

use std::sync::LazyLock;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier},
};
use drover_api::FieldError;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// Each hash takes 19 MiB (OWASP's recommended parameters, the crate's default): a flood of
/// sign-ins must not take all memory.
static AT_ONCE: Semaphore = Semaphore::const_new(4);

/// Verified against when there is no such account, so that the answer takes as long.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    Argon2::default()
        .hash_password(b"nobody has this password")
        .map(|hash| hash.to_string())
        .unwrap_or_default()
});

/// Checks a password that somebody wants to have.
pub fn check_new_password(field: &str, password: &str) -> Option<FieldError> {
    let length = password.chars().count();
    (!(10..=256).contains(&length))
        .then(|| FieldError::new(field, "A password has 10 to 256 characters."))
}

/// The hash to store, in PHC format.
pub async fn hash_password(password: SecretString) -> Result<String> {
    on_blocking_pool(move || {
        Argon2::default()
            .hash_password(password.expose_secret().as_bytes())
            .map(|hash| hash.to_string())
            .map_err(|error| Error::internal(error.to_string()))
    })
    .await?
}

/// Whether this is the password. Takes as long for an account that is not there.
pub async fn verify_password(password: SecretString, hash: Option<String>) -> Result<bool> {
    on_blocking_pool(move || {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.clone());
        let right = Argon2::default()
            .verify_password(password.expose_secret().as_bytes(), hash.as_str())
            .is_ok();
        right && known
    })
    .await
}

async fn on_blocking_pool<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let _permit = AT_ONCE.acquire().await.map_err(Error::internal)?;
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn verifies_the_password_and_no_other() -> Result<()> {
        let hash = hash_password("correct horse".into()).await?;
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(verify_password("correct horse".into(), Some(hash.clone())).await?);
        assert!(!verify_password("battery staple".into(), Some(hash)).await?);
        assert!(!verify_password("nobody has this password".into(), None).await?);
        Ok(())
    }
}
