//! HTTP to a provider: what OpenID providers and GitHub have in common. Nothing is followed, every
//! answer has a limit, and no error tells more of an address than its host and path: the rest can
//! be a code or a token.

use std::{
    error::Error as StdError,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use drover_api::FieldError;
use reqwest::{
    Client, Method, RequestBuilder, StatusCode, Url,
    header::{HeaderMap, RETRY_AFTER},
    redirect::Policy,
};
use rustls::CertificateError;
use serde::de::DeserializeOwned;

use super::{ProviderError, tls};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const TIME_LIMIT: Duration = Duration::from_secs(10);
const SIZE_LIMIT: usize = 1 << 20;
/// Of a server's own words, in errors.
const WORDS_LIMIT: usize = 300;
/// Of a setting that is an address.
const ADDRESS_LIMIT: usize = 500;
/// Of a pasted chain of authorities.
const CA_LIMIT: usize = 64 << 10;

/// The client of one provider.
pub(super) struct Http(Client);

/// What came back, whole.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Host and path, for errors.
    place: String,
}

/// Why there is no answer that could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct HttpError {
    pub kind: HttpErrorKind,
    message: String,
    retry_after: Option<Duration>,
}

/// What kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HttpErrorKind {
    /// No connection.
    Connect,
    /// A connection, and no TLS: most of the time the certificate.
    Tls,
    /// The server does not answer in time, breaks off, or says that it has failed.
    Server,
    /// The server wants to be left alone for a while.
    Busy,
    /// An answer that is not followed or not taken.
    Answer,
}

impl From<HttpError> for ProviderError {
    fn from(error: HttpError) -> Self {
        let HttpError { kind, message, retry_after } = error;
        match kind {
            HttpErrorKind::Connect | HttpErrorKind::Server => Self::Unavailable(message),
            HttpErrorKind::Tls => Self::Misconfigured(message),
            HttpErrorKind::Busy => Self::RateLimited { message, retry_after },
            HttpErrorKind::Answer => Self::Protocol(message),
        }
    }
}

impl HttpError {
    fn new(kind: HttpErrorKind, message: String) -> Self {
        Self { kind, message, retry_after: None }
    }
}

impl Http {
    /// A client that trusts the authorities in `ca` (PEM), or the system's.
    pub fn new(ca: Option<&str>) -> Result<Self, ProviderError> {
        let tls = tls::client_config(ca)?;
        let client = Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .user_agent(concat!("drover/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_LIMIT)
            .timeout(TIME_LIMIT)
            // Where a provider's answer leads is not what the administrator has entered.
            .redirect(Policy::none())
            .build()
            .map_err(|error| {
                ProviderError::Misconfigured(format!("There is no HTTP client: {error}."))
            })?;
        Ok(Self(client))
    }

    /// A request that is not sent yet.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.0.request(method, url)
    }

    /// Sends it, and reads the whole answer. A redirection, an answer that is too large, a server
    /// that has failed and one that wants to be left alone are errors; other answers are not.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, HttpError> {
        self.execute(request.build().map_err(invalid)?).await
    }

    /// See [`Http::send`].
    pub async fn execute_http(
        &self,
        request: openidconnect::HttpRequest,
    ) -> Result<Answer, HttpError> {
        self.execute(request.try_into().map_err(invalid)?).await
    }

    async fn execute(&self, request: reqwest::Request) -> Result<Answer, HttpError> {
        let place = place(request.url());
        let failed = |error: reqwest::Error| explain(&error, &place);
        let mut response = self.0.execute(request).await.map_err(failed)?;
        let too_large = || {
            HttpError::new(
                HttpErrorKind::Answer,
                format!("The answer of {place} is larger than 1 MiB: it is not read."),
            )
        };
        if response.content_length().is_some_and(|length| length > SIZE_LIMIT as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            if body.len() + part.len() > SIZE_LIMIT {
                return Err(too_large());
            }
            body.extend_from_slice(&part);
        }
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        Answer { status, headers, body: body.into(), place }.checked()
    }
}

fn invalid(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    HttpError::new(HttpErrorKind::Answer, format!("The request is not valid: {error}."))
}

impl Answer {
    fn checked(self) -> Result<Self, HttpError> {
        let (place, status) = (&self.place, self.status);
        if status.is_redirection() {
            return Err(HttpError::new(
                HttpErrorKind::Answer,
                format!(
                    "{place} sends elsewhere ({status}), which is not followed: check the address."
                ),
            ));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(self.busy());
        }
        if status.is_server_error() {
            return Err(HttpError::new(
                HttpErrorKind::Server,
                format!("{place} has failed ({status})."),
            ));
        }
        Ok(self)
    }

    /// The error for a server that wants to be left alone.
    pub fn busy(&self) -> HttpError {
        let retry_after = retry_after(&self.headers);
        let when = match retry_after {
            Some(wait) => format!("again in {} s", wait.as_secs()),
            None => "later".to_owned(),
        };
        HttpError {
            kind: HttpErrorKind::Busy,
            message: format!("{} has had too many requests: it may be asked {when}.", self.place),
            retry_after,
        }
    }

    /// Host and path that were asked.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The body as JSON. The error does not repeat it: it may be full of tokens.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let why = match error.classify() {
                serde_json::error::Category::Data => error.to_string(),
                _ => "it is not JSON".to_owned(),
            };
            ProviderError::Protocol(format!(
                "The answer of {} ({}) cannot be read: {why}.",
                self.place, self.status
            ))
        })
    }
}

/// When the server may be asked again: `Retry-After` in seconds (RFC 9110, 10.2.3), or what GitHub
/// says in `x-ratelimit-reset` when nothing remains.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    if let Some(seconds) = number(RETRY_AFTER.as_str()) {
        return Some(Duration::from_secs(seconds));
    }
    let reset = number("x-ratelimit-reset").filter(|_| number("x-ratelimit-remaining") == Some(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    // One more, as both are whole seconds.
    reset.map(|reset| Duration::from_secs((reset + 1).saturating_sub(now.as_secs())))
}

/// Host and path of an address: what errors and logs may tell of it.
pub(super) fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    cut(&format!("{}{port}{}", url.host_str().unwrap_or_default(), url.path()))
}

/// A server's own words, as far as errors and reports repeat them: short, and on one line.
pub(super) fn cut(words: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = words.chars().take(WORDS_LIMIT).map(clean).collect();
    if words.chars().nth(WORDS_LIMIT).is_some() {
        short.push('…');
    }
    short
}

fn explain(error: &reqwest::Error, place: &str) -> HttpError {
    let host = place.split('/').next().unwrap_or_default();
    if let Some(error) = cause::<rustls::Error>(error) {
        let message = match error {
            rustls::Error::InvalidCertificate(why) => certificate(host, why),
            other => format!("No TLS with {host}: {other}."),
        };
        return HttpError::new(HttpErrorKind::Tls, message);
    }
    if error.is_timeout() {
        let message = format!("{host} has not answered within {} s.", TIME_LIMIT.as_secs());
        let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Server };
        return HttpError::new(kind, message);
    }
    let why = innermost(error);
    if error.is_connect() {
        return HttpError::new(HttpErrorKind::Connect, format!("Cannot connect to {host}: {why}."));
    }
    HttpError::new(HttpErrorKind::Server, format!("{host} has broken off: {why}."))
}

fn certificate(host: &str, why: &CertificateError) -> String {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("The certificate of {host} has expired.")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("The certificate of {host} is not valid yet: check the clocks.")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("The certificate of {host} is for another name.")
        }
        CertificateError::UnknownIssuer => format!(
            "The certificate of {host} is not of an authority that is trusted: enter the \
             certificate of its CA."
        ),
        other => format!("The certificate of {host} is not trusted: {other}."),
    }
}

/// An error of this type within another. `io::Error` does not show what it wraps as its source.
fn cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|error| error.downcast_ref::<T>()) {
            return Some(found);
        }
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn innermost(error: &reqwest::Error) -> String {
    let mut words = "the connection failed".to_owned();
    let mut next = error.source();
    while let Some(error) = next {
        words = error.to_string();
        next = error.source();
    }
    cut(words.trim_end_matches('.'))
}

/// An address as an administrator enters it: https, or http on this machine alone, where tests
/// and developers have their providers.
pub(super) fn parse_address(text: &str) -> Result<Url, String> {
    if text.is_empty() {
        return Err("Enter the address, beginning with https://.".into());
    }
    if text.len() > ADDRESS_LIMIT {
        return Err(format!("At most {ADDRESS_LIMIT} characters."));
    }
    let url = Url::parse(text)
        .map_err(|_| "This is not an address: enter one like https://example.com.".to_owned())?;
    if url.host_str().is_none() {
        return Err("This is not an address: enter one like https://example.com.".into());
    }
    if !is_protected(&url) {
        return Err("Only https:// is taken: codes and tokens go there.".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("Enter it without a user and a password.".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("Enter it without what follows ? or #.".into());
    }
    Ok(url)
}

/// Whether secrets may be sent there: by TLS, or without leaving this machine.
pub(super) fn is_protected(url: &Url) -> bool {
    let on_this_machine = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    url.scheme() == "https" || (url.scheme() == "http" && on_this_machine)
}

/// What is wrong with the pasted authorities.
pub(super) fn check_ca(ca: Option<&str>) -> Option<FieldError> {
    let message = match ca {
        Some(ca) if ca.len() > CA_LIMIT => format!("At most {} KiB.", CA_LIMIT >> 10),
        ca => tls::client_config(ca).err()?.to_string(),
    };
    Some(wrong("ca", message))
}

/// What is wrong with the client id.
pub(super) fn check_client_id(id: &str) -> Option<FieldError> {
    let plain = id.chars().all(|c| !c.is_control() && !c.is_whitespace());
    let message = match id.chars().count() {
        0 => "Enter the client id that the provider has given to Drover.",
        256.. => "At most 255 characters.",
        _ if !plain => "A client id has no spaces and line ends.",
        _ => return None,
    };
    Some(wrong("client_id", message))
}

/// An error of a field of the settings.
pub(super) fn wrong(field: &str, message: impl Into<String>) -> FieldError {
    FieldError::new(format!("config.{field}"), message)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn secrets_go_only_by_tls_or_stay_on_this_machine() {
        for good in [
            "https://id.example.com",
            "https://id.example.com:8443/realms/a",
            "http://localhost:3000",
            "http://127.0.0.1:3000/x",
            "http://[::1]:3000",
        ] {
            assert!(parse_address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "id.example.com",
            "http://id.example.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "ftp://id.example.com",
            "https://user:secret@id.example.com",
            "https://id.example.com/?a=b",
            "https://id.example.com/#a",
            "https://",
        ] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
        assert!(parse_address(&format!("https://example.com/{}", "a".repeat(500))).is_err());
    }

    #[test]
    fn errors_do_not_tell_what_follows_the_path() {
        let url = Url::parse("https://user:pass@id.example.com:8443/token?code=secret#x").unwrap();
        assert_eq!(place(&url), "id.example.com:8443/token");
    }

    #[test]
    fn a_server_says_when_to_come_back() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        let later = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 90;
        headers.insert("x-ratelimit-reset", HeaderValue::from(later));
        headers.insert("x-ratelimit-remaining", HeaderValue::from(7));
        assert_eq!(retry_after(&headers), None);
        headers.insert("x-ratelimit-remaining", HeaderValue::from(0));
        let wait = retry_after(&headers).unwrap().as_secs();
        assert!((89..=91).contains(&wait), "{wait}");
        headers.insert("retry-after", HeaderValue::from(30));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(30)));
    }

    #[test]
    fn words_of_servers_are_cut() {
        assert_eq!(cut("line\nbreak"), "line break");
        assert_eq!(cut(&"ö".repeat(1000)).chars().count(), WORDS_LIMIT + 1);
    }
}
