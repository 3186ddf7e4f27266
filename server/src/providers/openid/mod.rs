//! OpenID Connect: people sign in at the provider, and come back with a code that is exchanged for
//! an ID token. [`discovery`] reads where that is done and with which keys it signs, [`token`]
//! checks what it signs, [`claims`] reads a person out of it. PKCE (RFC 7636), `state` and `nonce`
//! tie the answer to the browser that began.

mod check;
mod claims;
mod discovery;
mod token;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use drover_api::{OpenidConfig, TestStepKind};
use openidconnect::{
    AsyncHttpClient, AuthType, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, ErrorResponse, HttpRequest, HttpResponse, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, Scope, StandardErrorResponse, TokenResponse,
    core::{
        CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreErrorResponseType,
        CoreIdToken, CoreTokenResponse,
    },
};
use reqwest::{
    Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::{
    claims::Claims,
    discovery::{Discovery, Metadata},
    token::{Expected, TokenError},
};
use super::{
    Attempt, Callback, Credential, Door, IdentityProvider, Known, Named, Person, ProviderError,
    ProviderSession, RedirectDoor, Scheme, SignedOut, Steps,
    http::{Http, HttpError, cut},
    renewed::Renewed,
};

pub use check::check;

/// ID tokens that are longer would make an address that servers refuse.
const HINT_LENGTH: usize = 4096;
/// RFC 7636, 4.1.
const VERIFIER_LENGTHS: std::ops::RangeInclusive<usize> = 43..=128;

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;
type ClientError = RequestTokenError<HttpError, StandardErrorResponse<CoreErrorResponseType>>;

/// A connection to an OpenID provider.
pub struct OpenId {
    config: OpenidConfig,
    secret: Option<ClientSecret>,
    http: Http,
    discovery: Discovery,
    expected: Expected,
    renewed: Renewed<Tokens>,
}

/// What later refreshes need: [`Person::credential`] as JSON.
#[derive(Clone, Serialize, Deserialize)]
struct Tokens {
    access_token: String,
    /// Seconds since 1970.
    expires_at: Option<u64>,
    refresh_token: Option<String>,
    /// `sub`, which later tokens must have, too.
    subject: String,
    /// Whether the groups were in the ID token: without one, it is not known that there are none.
    groups_in_id_token: bool,
}

impl OpenId {
    /// A connection with these settings; nothing is sent yet.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`] when the settings cannot be used.
    pub fn new(config: &OpenidConfig, secret: Option<SecretString>) -> Result<Self, ProviderError> {
        let issuer = openidconnect::IssuerUrl::new(config.issuer.clone())
            .map_err(|_| ProviderError::Misconfigured("The issuer is not an address.".into()))?;
        Ok(Self {
            secret: secret
                .filter(|secret| !secret.expose_secret().is_empty())
                .map(|secret| ClientSecret::new(secret.expose_secret().to_owned())),
            http: Http::new(config.ca.as_deref())?,
            discovery: Discovery::new(&config.issuer),
            expected: Expected {
                issuer,
                client_id: ClientId::new(config.client_id.clone()),
                skew: Duration::from_secs(config.clock_skew_seconds.into()),
            },
            config: config.clone(),
            renewed: Renewed::default(),
        })
    }

    fn client(&self, metadata: &Metadata) -> Client {
        let client = CoreClient::from_provider_metadata(
            metadata.clone(),
            self.expected.client_id.clone(),
            self.secret.clone(),
        );
        // Without a word of it, the provider takes HTTP Basic (OpenID Connect Discovery 1.0, 3).
        let methods = metadata.token_endpoint_auth_methods_supported();
        let basic = methods
            .is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        client.set_auth_type(if basic { AuthType::BasicAuth } else { AuthType::RequestBody })
    }

    /// Runs `check` with the provider's keys; again if they are others by now.
    async fn with_keys<T>(
        &self,
        check: impl Fn(&openidconnect::core::CoreJsonWebKeySet) -> Result<T, TokenError>,
    ) -> Result<T, ProviderError> {
        let keys = self.discovery.keys(&self.http).await?;
        let first = match check(&keys) {
            Err(TokenError::Key(why)) => TokenError::Key(why),
            other => return Ok(other?),
        };
        match self.discovery.newer_keys(&keys, &self.http).await? {
            Some(keys) => Ok(check(&keys)?),
            None => Err(first.into()),
        }
    }

    async fn exchange(
        &self,
        metadata: &Metadata,
        attempt: &Attempt,
        callback: &Callback,
    ) -> Result<CoreTokenResponse, ProviderError> {
        // RFC 9207, 2.4.
        let must_say =
            metadata.additional_metadata().authorization_response_iss_parameter_supported;
        match &callback.iss {
            Some(iss) if *iss != self.config.issuer => {
                return Err(ProviderError::Protocol(
                    "The code comes from another provider (iss).".into(),
                ));
            }
            None if must_say => {
                return Err(ProviderError::Protocol(
                    "The answer does not say from which provider it comes (iss).".into(),
                ));
            }
            _ => {}
        }
        let redirect = redirect_url(&attempt.redirect_uri)?;
        let client = self.client(metadata).set_redirect_uri(redirect);
        let request = client
            .exchange_code(AuthorizationCode::new(callback.code.clone()))
            .map_err(|_| no_token_endpoint())?
            .set_pkce_verifier(PkceCodeVerifier::new(attempt.pkce_verifier.clone()));
        match request.request_async(&self.http).await {
            Ok(response) => Ok(response),
            Err(error) if is_error(&error, "invalid_grant") => Err(ProviderError::Protocol(
                "The provider does not take the code: it was used before, or has expired. Sign in \
                 again."
                    .into(),
            )),
            Err(error) => Err(self.explain(error).await),
        }
    }

    async fn id_token(
        &self,
        response: &CoreTokenResponse,
        nonce: Option<&str>,
    ) -> Result<Option<Claims>, ProviderError> {
        let Some(token) = response.id_token() else { return Ok(None) };
        let check = |keys: &_| self.expected.id_token(token, nonce, response.access_token(), keys);
        self.with_keys(check).await.map(Some)
    }

    /// What the provider says at its UserInfo Endpoint (OpenID Connect Core 1.0, 5.3) of the
    /// subject of the ID token; `None` when it has no such place.
    async fn user_info(
        &self,
        metadata: &Metadata,
        access_token: &str,
        subject: &str,
    ) -> Result<Option<Claims>, ProviderError> {
        let Some(address) = metadata.userinfo_endpoint() else { return Ok(None) };
        let request = self
            .http
            .request(Method::GET, address.url().clone())
            .header(ACCEPT, "application/json")
            .bearer_auth(access_token);
        let answer = self.http.send(request).await?;
        match answer.status {
            StatusCode::UNAUTHORIZED => {
                return Err(ProviderError::TokenRevoked(
                    "The provider does not take the person's token any more: they must sign in \
                     again."
                        .into(),
                ));
            }
            status if !status.is_success() => {
                return Err(ProviderError::Misconfigured(format!(
                    "{} answers {status}: check the scopes.",
                    answer.place()
                )));
            }
            _ => {}
        }
        let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let claims: Claims = if kind.is_some_and(|kind| kind.starts_with("application/jwt")) {
            let token = std::str::from_utf8(&answer.body).unwrap_or_default().trim();
            self.with_keys(|keys| self.expected.signed(token, keys)).await?
        } else {
            answer.json()?
        };
        // OpenID Connect Core 1.0, 5.3.2: or it could be another's.
        if claims.get("sub").and_then(Value::as_str) != Some(subject) {
            return Err(ProviderError::Protocol(format!(
                "{} tells of another person than the ID token (sub).",
                answer.place()
            )));
        }
        Ok(Some(claims))
    }

    /// The error for people, in the provider's words where it has some. Its addresses may have
    /// changed: they are read anew.
    async fn explain(&self, error: ClientError) -> ProviderError {
        self.discovery.forget().await;
        match error {
            RequestTokenError::Request(error) => error.into(),
            RequestTokenError::ServerResponse(response) => {
                let words = cut(&response_words(&response));
                match response.error().as_ref() {
                    "invalid_client" | "unauthorized_client" => ProviderError::Misconfigured(
                        format!("The provider does not take the client id and secret ({words})."),
                    ),
                    "temporarily_unavailable" | "server_error" => {
                        ProviderError::Unavailable(format!("The provider has failed ({words})."))
                    }
                    _ => ProviderError::Protocol(format!("The provider refuses ({words}).")),
                }
            }
            // Neither repeats the answer, which may be full of tokens.
            RequestTokenError::Parse(error, _) => ProviderError::Protocol(format!(
                "The provider's token answer cannot be read (at {}).",
                cut(&error.path().to_string())
            )),
            RequestTokenError::Other(_) => {
                ProviderError::Protocol("The provider's token answer is empty, or not JSON.".into())
            }
        }
    }

    /// Renews the tokens, which may use up the refresh token.
    async fn renew(
        &self,
        metadata: &Metadata,
        refresh_token: &str,
    ) -> Result<CoreTokenResponse, ProviderError> {
        let refresh_token = RefreshToken::new(refresh_token.to_owned());
        let client = self.client(metadata);
        let request =
            client.exchange_refresh_token(&refresh_token).map_err(|_| no_token_endpoint())?;
        match request.request_async(&self.http).await {
            Ok(response) => Ok(response),
            Err(error) if is_error(&error, "invalid_grant") => Err(ProviderError::TokenRevoked(
                "The provider has ended this person's session: they must sign in again.".into(),
            )),
            Err(error) => Err(self.explain(error).await),
        }
    }

    /// The person of an ID token and what else the provider says; `None` when both say nothing.
    fn person(
        &self,
        id_token: Option<Claims>,
        user_info: Option<Claims>,
        known: Option<&str>,
    ) -> Result<Option<Person>, ProviderError> {
        let Some(mut all) = id_token.clone().or_else(|| user_info.clone()) else { return Ok(None) };
        // What is signed counts more.
        for (name, value) in user_info.into_iter().flatten() {
            all.entry(name).or_insert(value);
        }
        claims::person(&self.config, &all, known).map(Some)
    }

    /// The person now. `new` is what the next refresh needs, and set before anything else can
    /// fail.
    async fn find_out(
        &self,
        known: &Known,
        old: &Tokens,
        new: &mut Tokens,
    ) -> Result<Person, ProviderError> {
        let metadata = self.discovery.metadata(&self.http).await?;
        let mut id_token = None;
        if let Some(refresh_token) = &old.refresh_token {
            let response = self.renew(&metadata, refresh_token).await?;
            let rotated = response.refresh_token().map(|token| token.secret().clone());
            *new = Tokens {
                refresh_token: rotated.or_else(|| old.refresh_token.clone()),
                groups_in_id_token: old.groups_in_id_token,
                ..tokens(&response, old.subject.clone())
            };
            id_token = self.id_token(&response, None).await?;
            // OpenID Connect Core 1.0, 12.2.
            if id_token.as_ref().is_some_and(|claims| subject(claims) != Some(&old.subject)) {
                return Err(ProviderError::Protocol(
                    "The renewed ID token is of another person (sub).".into(),
                ));
            }
        } else if old.expires_at.is_some_and(|end| end <= now()) {
            return Err(ProviderError::CannotRefresh);
        }
        let user_info = self.user_info(&metadata, &new.access_token, &old.subject).await?;
        if let Some(claims) = &id_token {
            new.groups_in_id_token = claims::tell_groups(&self.config, claims);
        } else if old.groups_in_id_token
            && !user_info.as_ref().is_some_and(|claims| claims::tell_groups(&self.config, claims))
        {
            return Err(ProviderError::CannotRefresh);
        }
        let person = self
            .person(id_token, user_info, Some(&known.id))?
            .ok_or(ProviderError::CannotRefresh)?;
        if person.id != known.id {
            return Err(ProviderError::Protocol(format!(
                "The provider tells of another person than the account's ({}).",
                self.config.id_claim
            )));
        }
        Ok(person)
    }

    async fn read_keys(
        &self,
    ) -> Result<Arc<openidconnect::core::CoreJsonWebKeySet>, ProviderError> {
        self.discovery.keys(&self.http).await
    }

    /// Exchanges a code that nobody has been given: a provider that takes the client refuses the
    /// code (RFC 6749, 5.2).
    async fn try_client(&self, metadata: &Metadata) -> Result<String, ProviderError> {
        let client = self.client(metadata);
        let code = AuthorizationCode::new("drover-tests-its-client-id".into());
        let request = client.exchange_code(code).map_err(|_| no_token_endpoint())?;
        match request.request_async(&self.http).await {
            Ok(_) => Err(ProviderError::Protocol(
                "The provider takes a code that it has not issued.".into(),
            )),
            Err(error) if is_error(&error, "invalid_grant") => {
                Ok("The provider takes the client id and secret.".into())
            }
            Err(RequestTokenError::ServerResponse(response))
                if !matches!(
                    response.error().as_ref(),
                    "invalid_client" | "unauthorized_client"
                ) =>
            {
                Ok(format!(
                    "The provider has not refused the client id and secret; a sign-in will tell \
                     ({}).",
                    cut(&response_words(&response))
                ))
            }
            Err(error) => Err(self.explain(error).await),
        }
    }
}

#[async_trait]
impl IdentityProvider for OpenId {
    fn door(&self) -> Door<'_> {
        Door::Redirect(self)
    }

    async fn refresh(&self, known: &Known) -> Result<Person, ProviderError> {
        let stored = known.credential.as_ref().ok_or(ProviderError::CannotRefresh)?;
        let mut old: Tokens = serde_json::from_str(stored.expose_secret())
            .map_err(|_| ProviderError::CannotRefresh)?;
        // The last refresh has used up the refresh token, and then failed: what it got counts.
        let stored = old.refresh_token.clone();
        if let Some(renewed) = self.renewed.take(stored.as_deref()) {
            old = renewed;
        }
        let mut new = old.clone();
        let found = self.find_out(known, &old, &mut new).await;
        if found.is_err() && new.refresh_token != stored {
            self.renewed.keep(stored.as_deref(), new.clone());
        }
        let mut person = found?;
        person.credential = credential(&new);
        Ok(person)
    }

    /// OpenID Connect has no search.
    async fn search(&self, _: &str, _: usize) -> Result<Option<Vec<Named>>, ProviderError> {
        Ok(None)
    }

    async fn find(&self, scheme: Scheme, id: &str) -> Result<Option<Named>, ProviderError> {
        Ok((scheme == Scheme::Group && !id.is_empty()).then(|| claims::group(id)))
    }

    async fn probe(&self, steps: &mut Steps) -> Result<(), ProviderError> {
        self.discovery.forget().await;
        let metadata = self.discovery.metadata(&self.http).await;
        let metadata = steps.note(TestStepKind::Discovery, metadata, |found| {
            let can = |able, what| if able { what } else { "" };
            let extra = found.additional_metadata();
            format!(
                "The provider is {}{}{}{}.",
                found.issuer().as_str(),
                can(found.userinfo_endpoint().is_some(), ", with UserInfo"),
                can(extra.end_session_endpoint.is_some(), ", with sign-out"),
                can(extra.backchannel_logout_supported, ", with back-channel logout"),
            )
        })?;
        let keys = self.read_keys().await;
        steps.note(TestStepKind::Keys, keys, |keys| match keys.keys().len() {
            1 => "It has one key.".to_owned(),
            several => format!("It has {several} keys."),
        })?;
        let client = self.try_client(&metadata).await;
        steps.note(TestStepKind::Client, client, Clone::clone)?;
        Ok(())
    }
}

#[async_trait]
impl RedirectDoor for OpenId {
    async fn begin(&self, attempt: &Attempt) -> Result<String, ProviderError> {
        if !VERIFIER_LENGTHS.contains(&attempt.pkce_verifier.len()) {
            return Err(ProviderError::Protocol("The PKCE verifier is not of its length.".into()));
        }
        let metadata = self.discovery.metadata(&self.http).await?;
        let verifier = PkceCodeVerifier::new(attempt.pkce_verifier.clone());
        let state = CsrfToken::new(attempt.state.clone());
        let nonce = Nonce::new(attempt.nonce.clone());
        let client = self.client(&metadata).set_redirect_uri(redirect_url(&attempt.redirect_uri)?);
        let scopes = self.config.scopes.iter().filter(|scope| *scope != "openid");
        let mut request = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, || state, || nonce)
            .add_scopes(scopes.cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        let prompt = self.config.prompt.split_whitespace().collect::<Vec<_>>().join(" ");
        if !prompt.is_empty() {
            request = request.add_extra_param("prompt", prompt);
        }
        let (url, _, _) = request.url();
        Ok(url.into())
    }

    async fn finish(
        &self,
        attempt: &Attempt,
        callback: &Callback,
        steps: &mut Steps,
    ) -> Result<Person, ProviderError> {
        let metadata = match self.discovery.metadata(&self.http).await {
            Ok(metadata) => metadata,
            failed => steps.note(TestStepKind::Discovery, failed, |_| String::new())?,
        };
        let response = self.exchange(&metadata, attempt, callback).await;
        let response = steps.note(TestStepKind::Token, response, |response| {
            let renews = match response.refresh_token() {
                Some(_) => "and a refresh token with which groups are read again",
                None => "and no refresh token: groups are read again only while it works",
            };
            format!("The code was exchanged for an access token, {renews}.")
        })?;
        let id_token = match self.id_token(&response, Some(&attempt.nonce)).await {
            Ok(None) => Err(ProviderError::Protocol(
                "The provider has sent no ID token: the client must have the scope openid.".into(),
            )),
            Ok(Some(claims)) => Ok(claims),
            Err(error) => Err(error),
        };
        let id_token = steps.note(TestStepKind::IdToken, id_token, |claims| {
            format!("The ID token is the provider's. It has {}.", claims::names(claims))
        })?;
        let person = self.signed_in(&metadata, &response, id_token).await;
        let person = steps.note(TestStepKind::User, person, |person| {
            format!("{} ({}), with the id {}.", person.display_name, person.login, person.id)
        })?;
        steps.ok(TestStepKind::Groups, self.groups_message(&person));
        Ok(person)
    }

    async fn sign_out_url(&self, id_token: Option<&str>, return_to: &str) -> Option<String> {
        if !self.config.provider_logout {
            return None;
        }
        let metadata = self.discovery.metadata(&self.http).await.ok()?;
        let mut url = metadata.additional_metadata().end_session_endpoint.clone()?;
        // OpenID Connect RP-Initiated Logout 1.0, 2.
        let hint = id_token.filter(|token| token.len() <= HINT_LENGTH);
        url.query_pairs_mut()
            .extend_pairs(hint.map(|token| ("id_token_hint", token)))
            .append_pair("client_id", &self.config.client_id)
            .append_pair("post_logout_redirect_uri", return_to);
        Some(url.into())
    }

    async fn signed_out(&self, logout_token: &str) -> Result<SignedOut, ProviderError> {
        let check = |keys: &_| self.expected.logout_token(logout_token, keys);
        let mut signed_out = self.with_keys(check).await?;
        // People are known by another claim: the token does not tell it.
        if self.config.id_claim != "sub" {
            signed_out.person = None;
        }
        if signed_out.person.is_none() && signed_out.session.is_none() {
            return Err(ProviderError::Protocol(format!(
                "The logout token has no session (sid), and people are known by {}.",
                self.config.id_claim
            )));
        }
        Ok(signed_out)
    }
}

impl OpenId {
    async fn signed_in(
        &self,
        metadata: &Metadata,
        response: &CoreTokenResponse,
        id_token: Claims,
    ) -> Result<Person, ProviderError> {
        let subject = subject(&id_token).cloned().unwrap_or_default();
        let access_token = response.access_token().secret();
        let user_info = self.user_info(metadata, access_token, &subject).await?;
        let session = ProviderSession {
            id: id_token.get("sid").and_then(Value::as_str).map(ToOwned::to_owned),
            id_token: response
                .id_token()
                .map(CoreIdToken::to_string)
                .filter(|token| self.config.provider_logout && token.len() <= HINT_LENGTH)
                .map(|token| Credential(SecretString::from(token))),
        };
        let kept = Tokens {
            groups_in_id_token: claims::tell_groups(&self.config, &id_token),
            ..tokens(response, subject)
        };
        let mut person =
            self.person(Some(id_token), user_info, None)?.ok_or(ProviderError::CannotRefresh)?;
        person.credential = credential(&kept);
        person.session = Some(session);
        Ok(person)
    }

    fn groups_message(&self, person: &Person) -> String {
        let claim = &self.config.groups_claim;
        match person.groups.len() {
            _ if claim.is_empty() => "No claim is set for groups.".into(),
            0 => format!("The claim {claim} has no groups."),
            1 => format!("The claim {claim} has one group."),
            several => format!("The claim {claim} has {several} groups."),
        }
    }
}

fn tokens(response: &CoreTokenResponse, subject: String) -> Tokens {
    Tokens {
        access_token: response.access_token().secret().clone(),
        expires_at: response.expires_in().map(|left| now() + left.as_secs()),
        refresh_token: response.refresh_token().map(|token| token.secret().clone()),
        subject,
        groups_in_id_token: false,
    }
}

fn credential(tokens: &Tokens) -> Option<Credential> {
    serde_json::to_string(tokens).ok().map(|text| Credential(text.into()))
}

fn subject(claims: &Claims) -> Option<&String> {
    match claims.get("sub") {
        Some(Value::String(subject)) => Some(subject),
        _ => None,
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn redirect_url(address: &str) -> Result<RedirectUrl, ProviderError> {
    RedirectUrl::new(address.to_owned()).map_err(|_| {
        ProviderError::Misconfigured("Drover's own address is not one to come back to.".into())
    })
}

fn no_token_endpoint() -> ProviderError {
    ProviderError::Misconfigured("The provider has no place to exchange codes.".into())
}

fn is_error(error: &ClientError, code: &str) -> bool {
    matches!(error, RequestTokenError::ServerResponse(response) if response.error().as_ref() == code)
}

fn response_words<T: ErrorResponse>(response: &T) -> String {
    response.to_string()
}

/// The way of the `openidconnect` crate to our client.
impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.execute_http(request).await?;
            let mut response = HttpResponse::new(answer.body.to_vec());
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok(response)
        })
    }
}
