//! Whether a token is the provider's, for Drover, and of now.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use openidconnect::{
    AccessToken, AccessTokenHash, ClaimsVerificationError, ClientId, IssuerUrl, JsonWebKey,
    JsonWebKeyAlgorithm, JsonWebKeyUse, JwsSigningAlgorithm, Nonce, SignatureVerificationError,
    core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm},
};
use serde::Deserialize;
use serde_json::Value;

use super::claims::Claims;
use crate::providers::{ProviderError, SignedOut, http::cut};

/// Signatures that are taken: only such that are made with a secret key and checked with a public
/// one, whatever the provider says that it can do. With the others (`HS256`), a public key or the
/// client secret would be enough to forge a token; `none` is no signature.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];
/// For how long a logout token without an end counts.
const LOGOUT_TOKEN_AGE: Duration = Duration::from_secs(300);
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const TOKEN_LENGTH: usize = 64 << 10;
const ID_LENGTH: usize = 255;

/// What a token must say.
pub(super) struct Expected {
    pub issuer: IssuerUrl,
    pub client_id: ClientId,
    pub skew: Duration,
}

/// What is wrong with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenError {
    /// Signed with a key that the provider has not published, as far as is known.
    Key(String),
    /// Anything else.
    Wrong(String),
}

impl From<TokenError> for ProviderError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Key(why) | TokenError::Wrong(why) => Self::Protocol(why),
        }
    }
}

fn wrong(why: impl Into<String>) -> TokenError {
    TokenError::Wrong(why.into())
}

impl Expected {
    /// Checks an ID token (OpenID Connect Core 1.0, 3.1.3.7) and answers its claims. With a
    /// `nonce`, it must hold that one.
    pub fn id_token(
        &self,
        token: &CoreIdToken,
        nonce: Option<&str>,
        access_token: &AccessToken,
        keys: &CoreJsonWebKeySet,
    ) -> Result<Claims, TokenError> {
        let skew = self.skew;
        let verifier = CoreIdTokenVerifier::new_public_client(
            self.client_id.clone(),
            self.issuer.clone(),
            keys.clone(),
        )
        .set_allowed_algs(ALGORITHMS)
        // Whether there may be others is decided below, by `azp`.
        .set_other_audience_verifier_fn(|_| true)
        .set_time_fn(move || (SystemTime::now() - skew).into());
        let nonce = nonce.map(|nonce| Nonce::new(nonce.to_owned()));
        let check_nonce = |found: Option<&Nonce>| match &nonce {
            Some(nonce) => openidconnect::NonceVerifier::verify(nonce, found),
            None => Ok(()),
        };
        let known = token.claims(&verifier, check_nonce).map_err(explain)?;
        if let Some(expected) = known.access_token_hash() {
            let key = token.signing_key(&verifier).map_err(explain_signature)?;
            let algorithm = token.signing_alg().map_err(explain_signature)?;
            let hash = AccessTokenHash::from_token(access_token, algorithm, key)
                .map_err(|_| wrong("The ID token's hash of the access token cannot be checked."))?;
            if hash != *expected {
                return Err(wrong("The access token does not belong to the ID token (at_hash)."));
            }
        }
        // All claims, as the provider has sent them.
        let text = token.to_string();
        let payload = text.split('.').nth(1).and_then(decode);
        let claims = payload.ok_or_else(|| wrong("The ID token has no claims."))?;
        self.check_authorized_party(&claims)?;
        self.check_times(&claims)?;
        Ok(claims)
    }

    /// Checks a logout token (OpenID Connect Back-Channel Logout 1.0, 2.6) and says whom it is
    /// about: session, subject, or both.
    pub fn logout_token(
        &self,
        token: &str,
        keys: &CoreJsonWebKeySet,
    ) -> Result<SignedOut, TokenError> {
        let claims = self.signed(token, keys)?;
        self.check_times(&claims)?;
        let event = claims.get("events").and_then(|events| events.get(LOGOUT_EVENT));
        if !event.is_some_and(Value::is_object) {
            return Err(wrong("The token is not a logout token: its event is missing."));
        }
        if claims.contains_key("nonce") {
            return Err(wrong("The token has a nonce: it is an ID token, not a logout token."));
        }
        let issued = time(&claims, "iat")?
            .ok_or_else(|| wrong("The logout token does not say when it was issued."))?;
        match time(&claims, "exp")? {
            Some(_) => {}
            None if issued + LOGOUT_TOKEN_AGE + self.skew < now() => {
                return Err(wrong("The logout token is too old."));
            }
            None => {}
        }
        let id = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(Value::String(id)) if (1..=ID_LENGTH).contains(&id.len()) => Ok(Some(id.clone())),
            Some(_) => Err(wrong(format!("The logout token's {name} is not a short text."))),
        };
        let token_id = id("jti")?.ok_or_else(|| wrong("The logout token has no id (jti)."))?;
        let (session, person) = (id("sid")?, id("sub")?);
        if session.is_none() && person.is_none() {
            return Err(wrong("The logout token says neither a session nor a person."));
        }
        Ok(SignedOut { token_id, session, person })
    }

    /// The claims of any token that the provider has signed for Drover (RFC 7515, RFC 7519).
    pub fn signed(&self, token: &str, keys: &CoreJsonWebKeySet) -> Result<Claims, TokenError> {
        let claims = verified(token, keys)?;
        if claims.get("iss").and_then(Value::as_str) != Some(self.issuer.as_str()) {
            return Err(wrong("The token is from another issuer."));
        }
        let client_id = self.client_id.as_str();
        let for_us = match claims.get("aud") {
            Some(Value::String(one)) => one == client_id,
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(client_id)),
            _ => false,
        };
        if !for_us {
            return Err(wrong("The token is for another audience."));
        }
        Ok(claims)
    }

    /// A token for several must say that it was made for Drover.
    fn check_authorized_party(&self, claims: &Claims) -> Result<(), TokenError> {
        let several = matches!(claims.get("aud"), Some(Value::Array(all)) if all.len() > 1);
        match claims.get("azp") {
            Some(party) if party.as_str() == Some(self.client_id.as_str()) => Ok(()),
            Some(_) => Err(wrong("The ID token was made for another client (azp).")),
            None if several => Err(wrong(
                "The ID token has several audiences, and does not say for which it was made.",
            )),
            None => Ok(()),
        }
    }

    /// `exp`, `iat` and `nbf` (RFC 7519, 4.1), where they are there.
    fn check_times(&self, claims: &Claims) -> Result<(), TokenError> {
        let now = now();
        if time(claims, "exp")?.is_some_and(|end| end + self.skew <= now) {
            return Err(expired());
        }
        for name in ["iat", "nbf"] {
            if time(claims, name)?.is_some_and(|begin| begin > now + self.skew) {
                return Err(wrong(format!(
                    "The token is of the future ({name}): compare the clocks of the provider and \
                     of this server."
                )));
            }
        }
        Ok(())
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A time since 1970. It may have a fraction.
fn time(claims: &Claims, name: &str) -> Result<Option<Duration>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..1e12).contains(seconds));
    let seconds = seconds.ok_or_else(|| wrong(format!("The token's {name} is not a time.")))?;
    Ok(Some(Duration::from_secs_f64(seconds)))
}

fn expired() -> TokenError {
    wrong("The token has expired: compare the clocks of the provider and of this server.")
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

/// Claims in a signature of one of the provider's keys.
fn verified(token: &str, keys: &CoreJsonWebKeySet) -> Result<Claims, TokenError> {
    if token.len() > TOKEN_LENGTH {
        return Err(wrong("The token is too long."));
    }
    let malformed = || wrong("The token is not a signed JSON Web Token.");
    let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
    let (header, payload) = message.split_once('.').ok_or_else(malformed)?;
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| malformed())?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| malformed())?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?;
    if header.crit.is_some() {
        return Err(wrong("The token wants something to be checked that is not known (crit)."));
    }
    let kind = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
    if !matches!(kind.trim_start_matches("application/"), "jwt" | "logout+jwt") {
        return Err(wrong("The token is of another kind (typ)."));
    }
    let algorithm = serde_json::from_value(Value::String(header.alg.clone())).ok();
    let algorithm = algorithm
        .filter(|algorithm| ALGORITHMS.contains(algorithm))
        .ok_or_else(|| wrong_algorithm(&header.alg))?;
    let usable = |key: &&openidconnect::core::CoreJsonWebKey| {
        let named =
            header.kid.is_none() || key.key_id().map(|id| id.as_str()) == header.kid.as_deref();
        let for_signatures = key.key_use().is_none_or(|usage| usage.allows_signature());
        let for_algorithm = match key.signing_alg() {
            JsonWebKeyAlgorithm::Unspecified => true,
            JsonWebKeyAlgorithm::Algorithm(only) => *only == algorithm,
            JsonWebKeyAlgorithm::Unsupported => false,
        };
        named
            && for_signatures
            && for_algorithm
            && algorithm.key_type().as_ref() == Some(key.key_type())
    };
    let mut keys = keys.keys().iter().filter(usable).peekable();
    if keys.peek().is_none() {
        return Err(unknown_key());
    }
    if !keys.any(|key| key.verify_signature(&algorithm, message.as_bytes(), &signature).is_ok()) {
        return Err(wrong_signature());
    }
    decode(payload).ok_or_else(malformed)
}

fn decode(payload: &str) -> Option<Claims> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn unknown_key() -> TokenError {
    TokenError::Key("The token is signed with a key that the provider has not published.".into())
}

/// Of the keys too: a provider may change them and name none.
fn wrong_signature() -> TokenError {
    TokenError::Key("The token's signature is not the provider's.".into())
}

fn wrong_algorithm(name: &str) -> TokenError {
    wrong(format!(
        "The token is signed in a way that is not taken ({}): let the provider sign with RS256, \
         ES256 or EdDSA.",
        cut(name)
    ))
}

fn explain(error: ClaimsVerificationError) -> TokenError {
    match error {
        ClaimsVerificationError::Expired(_) => expired(),
        ClaimsVerificationError::InvalidAudience(_) => {
            wrong("The ID token is for another audience.")
        }
        ClaimsVerificationError::InvalidIssuer(_) => wrong("The ID token is from another issuer."),
        ClaimsVerificationError::InvalidNonce(_) => {
            wrong("The ID token is not the answer to this sign-in (nonce).")
        }
        ClaimsVerificationError::SignatureVerification(error) => explain_signature(error),
        other => wrong(format!("The ID token is not valid: {}.", cut(&other.to_string()))),
    }
}

fn explain_signature(error: SignatureVerificationError) -> TokenError {
    match error {
        SignatureVerificationError::NoSignature => wrong("The token is not signed (`alg: none`)."),
        SignatureVerificationError::NoMatchingKey => unknown_key(),
        SignatureVerificationError::CryptoError(_) => wrong_signature(),
        SignatureVerificationError::DisallowedAlg(_) => wrong(
            "The token is signed in a way that is not taken: let the provider sign with RS256, \
             ES256 or EdDSA.",
        ),
        other => {
            wrong(format!("The token's signature cannot be checked: {}.", cut(&other.to_string())))
        }
    }
}
