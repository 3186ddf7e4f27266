//! What an address stands for: sealed, so that it says nothing and cannot be made up.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use drover_api::PortForwardKind;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{access::Credential, secrets::Cipher};

/// Nothing else that the server seals begins so.
const PURPOSE: &[u8] = b"kubernetes port-forward 1\n";
/// Longer ones are none of ours.
const LONGEST: usize = 2048;

/// What an address leads to, and with whose right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    pub cluster: Uuid,
    pub environment: Uuid,
    pub credential: Holder,
    pub kind: PortForwardKind,
    pub namespace: String,
    pub name: String,
    pub port: String,
    pub https: bool,
    /// Seconds of Unix time.
    pub until: i64,
}

/// What its maker had shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holder {
    /// The id of a session.
    Session(String),
    /// The SHA-256 of an API key.
    ApiKey([u8; 32]),
}

impl Holder {
    pub fn of(credential: &Credential) -> Self {
        match credential {
            Credential::Session(id) => Self::Session(id.to_string()),
            Credential::ApiKey(hash) => Self::ApiKey(*hash),
        }
    }

    pub fn credential(&self) -> Option<Credential> {
        Some(match self {
            Self::Session(id) => Credential::Session(id.parse().ok()?),
            Self::ApiKey(hash) => Credential::ApiKey(*hash),
        })
    }
}

impl Grant {
    pub fn seal(&self, cipher: &Cipher) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(cipher.seal(&[PURPOSE, &json].concat()))
    }

    pub fn open(cipher: &Cipher, token: &str) -> Option<Self> {
        if token.len() > LONGEST {
            return None;
        }
        let plain = cipher.open(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        serde_json::from_slice(plain.strip_prefix(PURPOSE)?).ok()
    }

    pub fn expires_at(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.until).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    fn plural(&self) -> &'static str {
        match self.kind {
            PortForwardKind::Service => "services",
            PortForwardKind::Pod => "pods",
        }
    }

    /// The object's address in the cluster's API.
    pub fn object(&self) -> String {
        format!("/api/v1/namespaces/{}/{}/{}", self.namespace, self.plural(), self.name)
    }

    /// What stands before the application's own path there.
    pub fn target(&self) -> String {
        let scheme = if self.https { "https:" } else { "" };
        format!(
            "/api/v1/namespaces/{}/{}/{scheme}{}:{}/proxy",
            self.namespace,
            self.plural(),
            self.name,
            self.port
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_cannot_be_made_up() {
        let cipher = Cipher::new(&Cipher::generate_key()).unwrap();
        let grant = Grant {
            cluster: Uuid::from_u128(1),
            environment: Uuid::from_u128(2),
            credential: Holder::of(&Credential::ApiKey([7; 32])),
            kind: PortForwardKind::Service,
            namespace: "shop".into(),
            name: "web".into(),
            port: "80".into(),
            https: false,
            until: 1_800_000_000,
        };
        let token = grant.seal(&cipher);
        assert!(token.len() < 800, "{}", token.len());
        assert_eq!(Grant::open(&cipher, &token), Some(grant.clone()));
        assert_eq!(grant.target(), "/api/v1/namespaces/shop/services/web:80/proxy");
        assert_eq!(grant.credential.credential(), Some(Credential::ApiKey([7; 32])));
        let other = Cipher::new(&Cipher::generate_key()).unwrap();
        assert_eq!(Grant::open(&other, &token), None);
        let sealed_for_else = URL_SAFE_NO_PAD.encode(cipher.seal(b"{}"));
        for bad in ["", "x", &token[1..], &sealed_for_else] {
            assert_eq!(Grant::open(&cipher, bad), None);
        }
    }
}
