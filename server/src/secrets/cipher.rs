//! AES-256-GCM for everything that must not lie in the database in the clear.

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, Generate, KeyInit},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};

/// The first byte of each sealed value, so that a later scheme can stand beside this one.
const VERSION: u8 = 1;
const NONCE: usize = 12;

/// Seals and opens values under the key of the settings.
pub struct Cipher(Aes256Gcm);

/// Why a value cannot be opened, or a key not used.
#[derive(Debug, thiserror::Error)]
pub enum CipherError {
    /// The key is not 32 bytes in base64.
    #[error(
        "the encryption key must be 32 bytes in base64 (make one with `openssl rand -base64 32`)"
    )]
    Key,
    /// Another key sealed it, or it was changed.
    #[error("a stored secret cannot be opened: was DROVER_ENCRYPTION_KEY changed?")]
    Value,
}

impl Cipher {
    /// A cipher with a key of 32 bytes in base64.
    pub fn new(key: &SecretString) -> Result<Self, CipherError> {
        let bytes = STANDARD.decode(key.expose_secret().trim()).map_err(|_| CipherError::Key)?;
        Aes256Gcm::new_from_slice(&bytes).map(Self).map_err(|_| CipherError::Key)
    }

    /// A new random key, in base64.
    pub fn generate_key() -> SecretString {
        STANDARD.encode(rand::random::<[u8; 32]>()).into()
    }

    /// Seals a value: version, nonce, ciphertext with its tag.
    pub fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let nonce = Nonce::<aes_gcm::aead::consts::U12>::generate();
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(&nonce);
        // GCM refuses only messages of 64 GiB and more, and every input here has a lower limit.
        sealed.extend(self.0.encrypt(&nonce, plain).unwrap_or_default());
        sealed
    }

    /// Opens what [`Cipher::seal`] made.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, CipherError> {
        let [VERSION, rest @ ..] = sealed else {
            return Err(CipherError::Value);
        };
        let (nonce, text) = rest.split_at_checked(NONCE).ok_or(CipherError::Value)?;
        let nonce = Nonce::try_from(nonce).map_err(|_| CipherError::Value)?;
        self.0.decrypt(&nonce, text).map_err(|_| CipherError::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_sealed_and_nothing_else() -> Result<(), CipherError> {
        let cipher = Cipher::new(&Cipher::generate_key())?;
        let sealed = cipher.seal(b"hunter2");
        assert_eq!(cipher.open(&sealed)?, b"hunter2");
        assert_ne!(cipher.seal(b"hunter2"), sealed, "a nonce must not repeat");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(cipher.open(&changed).is_err(), "byte {at} was changed");
            assert!(cipher.open(&sealed[..at]).is_err(), "cut at {at}");
        }
        let other = Cipher::new(&Cipher::generate_key())?;
        assert!(other.open(&sealed).is_err());
        Ok(())
    }
}
