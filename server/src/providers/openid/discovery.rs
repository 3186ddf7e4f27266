//! What an OpenID provider says of itself, and its keys: read when they are needed, and kept.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use openidconnect::{
    AdditionalProviderMetadata, ProviderMetadata,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
        CoreJsonWebKey, CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm,
        CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
        CoreSubjectIdentifierType,
    },
};
use reqwest::{Method, Url, header::ACCEPT};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::Mutex;

use crate::providers::{
    ProviderError,
    http::{Http, cut, is_protected, place},
};

/// For how long what was read counts.
const KEPT_FOR: Duration = Duration::from_secs(3600);
/// The least time between two readings of the keys because of tokens signed with others: anybody
/// can send such tokens.
const KEYS_PAUSE: Duration = Duration::from_secs(2);

/// What else an OpenID provider says of itself.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(super) struct Extra {
    /// OpenID Connect RP-Initiated Logout 1.0, 2.1.
    pub end_session_endpoint: Option<Url>,
    /// RFC 9207, 3.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    pub backchannel_logout_supported: bool,
}

impl AdditionalProviderMetadata for Extra {}

/// A provider's configuration (OpenID Connect Discovery 1.0, 3).
pub(super) type Metadata = ProviderMetadata<
    Extra,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// The configuration and the keys of one provider.
pub(super) struct Discovery {
    issuer: String,
    metadata: Kept<Metadata>,
    keys: Kept<CoreJsonWebKeySet>,
}

impl Discovery {
    pub fn new(issuer: &str) -> Self {
        Self { issuer: issuer.to_owned(), metadata: Kept::default(), keys: Kept::default() }
    }

    /// The configuration.
    pub async fn metadata(&self, http: &Http) -> Result<Arc<Metadata>, ProviderError> {
        self.metadata.get(read_metadata(&self.issuer, http)).await
    }

    /// The keys that ID tokens are signed with.
    pub async fn keys(&self, http: &Http) -> Result<Arc<CoreJsonWebKeySet>, ProviderError> {
        let metadata = self.metadata(http).await?;
        self.keys.get(read_keys(&metadata, http)).await
    }

    /// Other keys than `old`, with which a token could not be verified: the provider may have
    /// changed them. `None` when they were read just now.
    pub async fn newer_keys(
        &self,
        old: &Arc<CoreJsonWebKeySet>,
        http: &Http,
    ) -> Result<Option<Arc<CoreJsonWebKeySet>>, ProviderError> {
        let metadata = self.metadata(http).await?;
        self.keys.newer(old, read_keys(&metadata, http)).await
    }

    /// Reads all anew when it is needed next.
    pub async fn forget(&self) {
        self.metadata.forget().await;
        self.keys.forget().await;
    }
}

async fn read_metadata(issuer: &str, http: &Http) -> Result<Metadata, ProviderError> {
    let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let metadata: Metadata = read(&address, http).await?;
    let named = metadata.issuer().as_str();
    // OpenID Connect Discovery 1.0, 4.3: exactly the same, or one could speak for another.
    if named != issuer {
        return Err(ProviderError::Misconfigured(format!(
            "The provider calls itself {}: enter exactly that as the issuer.",
            cut(named)
        )));
    }
    let protected = |url: Option<&Url>| match url {
        Some(url) if !is_protected(url) => Err(ProviderError::Misconfigured(format!(
            "The provider wants to be asked at {} without TLS.",
            place(url)
        ))),
        _ => Ok(()),
    };
    protected(Some(metadata.authorization_endpoint().url()))?;
    protected(Some(metadata.jwks_uri().url()))?;
    protected(metadata.token_endpoint().map(|address| address.url()))?;
    protected(metadata.userinfo_endpoint().map(|address| address.url()))?;
    protected(metadata.additional_metadata().end_session_endpoint.as_ref())?;
    if metadata.token_endpoint().is_none() {
        return Err(ProviderError::Misconfigured(
            "The provider has no place to exchange codes (token_endpoint).".into(),
        ));
    }
    Ok(metadata)
}

async fn read_keys(metadata: &Metadata, http: &Http) -> Result<CoreJsonWebKeySet, ProviderError> {
    let keys: CoreJsonWebKeySet = read(metadata.jwks_uri().as_str(), http).await?;
    if keys.keys().is_empty() {
        return Err(ProviderError::Protocol(format!(
            "{} has no key that can be used.",
            place(metadata.jwks_uri().url())
        )));
    }
    Ok(keys)
}

async fn read<T: DeserializeOwned>(address: &str, http: &Http) -> Result<T, ProviderError> {
    let url = Url::parse(address).map_err(|_| {
        ProviderError::Misconfigured("The issuer is not an address that can be asked.".into())
    })?;
    let request = http.request(Method::GET, url).header(ACCEPT, "application/json");
    let answer = http.send(request).await?;
    if !answer.status.is_success() {
        return Err(ProviderError::Misconfigured(format!(
            "{} answers {}: check the issuer.",
            answer.place(),
            answer.status
        )));
    }
    answer.json()
}

/// Something that is read at most once at a time.
struct Kept<T>(Mutex<Slot<T>>);

struct Slot<T> {
    value: Option<(Arc<T>, Instant)>,
    failed: Option<(ProviderError, Instant)>,
    replaced: Option<Instant>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(Slot { value: None, failed: None, replaced: None }))
    }
}

impl<T> Kept<T> {
    /// What is kept, or what `read` reads.
    async fn get(
        &self,
        read: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<Arc<T>, ProviderError> {
        let asked = Instant::now();
        let mut slot = self.0.lock().await;
        if let Some((value, at)) = &slot.value
            && at.elapsed() < KEPT_FOR
        {
            return Ok(value.clone());
        }
        // Who waited while it could not be read does not wait once more.
        if let Some((error, at)) = &slot.failed
            && *at >= asked
        {
            return Err(error.clone());
        }
        slot.fill(read.await)
    }

    /// Another value than `old`; `None` when there was another just now.
    async fn newer(
        &self,
        old: &Arc<T>,
        read: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<Option<Arc<T>>, ProviderError> {
        let mut slot = self.0.lock().await;
        if let Some((value, _)) = &slot.value
            && !Arc::ptr_eq(value, old)
        {
            return Ok(Some(value.clone()));
        }
        if slot.replaced.is_some_and(|at| at.elapsed() < KEYS_PAUSE) {
            return Ok(None);
        }
        slot.replaced = Some(Instant::now());
        slot.fill(read.await).map(Some)
    }

    async fn forget(&self) {
        self.0.lock().await.value = None;
    }
}

impl<T> Slot<T> {
    fn fill(&mut self, read: Result<T, ProviderError>) -> Result<Arc<T>, ProviderError> {
        let now = Instant::now();
        match read {
            Ok(value) => {
                let value = Arc::new(value);
                self.value = Some((value.clone(), now));
                Ok(value)
            }
            Err(error) => {
                self.failed = Some((error.clone(), now));
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_read_is_kept_and_replaced_at_most_every_few_seconds() {
        let kept = Kept::default();
        let first = kept.get(async { Ok(1) }).await.unwrap();
        assert_eq!(*kept.get(async { panic!("read twice") }).await.unwrap(), 1);
        let second = kept.newer(&first, async { Ok(2) }).await.unwrap().unwrap();
        assert_eq!(*second, 2);
        // Who still has the first gets the second without reading.
        let other = kept.newer(&first, async { panic!("read twice") }).await.unwrap().unwrap();
        assert!(Arc::ptr_eq(&other, &second));
        let soon = kept.newer(&second, async { panic!("read too soon") }).await.unwrap();
        assert!(soon.is_none());
        kept.forget().await;
        assert_eq!(*kept.get(async { Ok(3) }).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn who_waits_for_a_dead_provider_waits_once() {
        let kept = Arc::new(Kept::<u8>::default());
        let dead = || ProviderError::Unavailable("dead".into());
        let slow = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(dead())
        };
        let waiting = async {
            tokio::task::yield_now().await;
            kept.get(async { panic!("asked again") }).await
        };
        let (first, second) = tokio::join!(kept.get(slow), waiting);
        assert_eq!(first.unwrap_err(), dead());
        assert_eq!(second.unwrap_err(), dead());
        assert_eq!(*kept.get(async { Ok(1) }).await.unwrap(), 1);
    }
}
