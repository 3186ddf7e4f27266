//! The first messages on a tunnel, each JSON in a text message:
//!
//! 1. the server sends a [`Challenge`];
//! 2. the agent answers with a [`Hello`], signed with its key;
//! 3. the server sends its [`Verdict`].
//!
//! No clock is asked: the challenge is random and good once.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where agents dial.
pub const PATH: &str = "/v1/agents/tunnel";

/// What the server asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Challenge {
    /// To be signed; random.
    pub nonce: String,
    /// The server's version.
    pub version: String,
    /// The oldest and the newest protocol that it speaks.
    pub protocols: (u32, u32),
}

/// What the agent says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// The host that it is.
    pub host_id: Uuid,
    /// Names this process of the agent: another one with the same key is another machine.
    pub process: Uuid,
    /// The agent's version.
    pub version: String,
    /// The oldest and the newest protocol that it speaks.
    pub protocols: (u32, u32),
    /// The machine's own name.
    pub hostname: String,
    /// Of [`to_be_signed`], in base64.
    pub signature: String,
}

/// What the server decides.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The tunnel is open.
    Welcome {
        /// The host's name.
        host: String,
    },
    /// It is not.
    Refused {
        /// Why.
        code: Refusal,
        /// In words, with what to do.
        message: String,
    },
}

/// Why an agent is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The host was removed in Drover.
    UnknownHost,
    /// The signature is not by the host's key.
    WrongKey,
    /// Another machine is connected with the same key.
    Clone,
    /// It speaks only protocols that this server no longer does.
    TooOld,
    /// It speaks only protocols that this server does not do yet.
    TooNew,
    /// The server cannot decide now.
    TryAgain,
}

/// What an agent signs to open a tunnel.
pub fn to_be_signed(nonce: &str, host_id: Uuid, process: Uuid) -> Vec<u8> {
    format!("drover agent tunnel\n{nonce}\n{host_id}\n{process}").into_bytes()
}

/// What an agent signs to register.
pub fn to_be_signed_once(token: &str) -> Vec<u8> {
    format!("drover agent register\n{token}").into_bytes()
}

/// Signs with an agent's key.
pub fn sign(key: &Ed25519KeyPair, text: &[u8]) -> String {
    STANDARD.encode(key.sign(text))
}

/// The public half of an agent's key.
pub fn public(key: &Ed25519KeyPair) -> &[u8] {
    key.public_key().as_ref()
}

/// Whether this key has signed this text.
pub fn is_signed(public_key: &[u8], text: &[u8], signature: &str) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else { return false };
    UnparsedPublicKey::new(&ED25519, public_key).verify(text, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_and_the_text_that_were_signed() {
        let random = ring::rand::SystemRandom::new();
        let key = || {
            let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
            Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()
        };
        let (mine, other) = (key(), key());
        let text = to_be_signed("nonce", Uuid::nil(), Uuid::max());
        let signature = sign(&mine, &text);
        assert!(is_signed(public(&mine), &text, &signature));
        assert!(!is_signed(public(&other), &text, &signature));
        assert!(!is_signed(public(&mine), &to_be_signed_once("nonce"), &signature));
        assert!(!is_signed(public(&mine), &text, "not base64!"));
        assert!(!is_signed(b"short", &text, &signature));
    }
}
