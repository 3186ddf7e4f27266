//! Sends a call on to the engine and its answer back: as streams, with back-pressure both ways, and
//! no longer than the caller has the right to it.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{
        HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts,
    },
};
use drover_api::Permission;
use http_body_util::BodyExt;
use hyper::{
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;
use tower_http::compression::Predicate;

use super::{
    Call, Sent,
    policy::{Address, Row, hide, table},
};
use crate::{
    error::{Error, Result},
    hosts::driver::{Docker, RawBody, full, streamed},
};

/// The largest body that is looked at.
const LARGEST_JSON: usize = 4 << 20;
/// The largest answer from which secrets are taken out.
const LARGEST_HIDDEN: usize = 64 << 20;
/// How long such a body, or such an answer, may take.
const SLOWEST_JSON: Duration = Duration::from_secs(60);
/// How long the body of a refused call is read on.
const LONGEST_REFUSAL: Duration = Duration::from_secs(10);
/// What is read at once of a raw stream.
const CHUNK: usize = 64 << 10;
/// After so many pieces in a row without a pause, the right to them is looked at.
const PIECES: u32 = 64;
/// What of a client's headers the engine gets; never who the caller is to Drover.
const PASSED: [HeaderName; 9] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::RANGE,
    header::USER_AGENT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];
/// The same by their beginnings: credentials of registries, BuildKit's sessions, WebSockets.
const PASSED_PREFIXES: [&str; 3] = ["x-registry-", "x-docker-", "sec-websocket-"];
/// What belongs to one connection and not to the answer (RFC 9110, 7.6.1). Trailers are announced
/// by `Trailer`, which stays.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Marks an answer that is the engine's: it goes through as it is.
#[derive(Debug, Clone, Copy)]
struct Raw;

/// Keeps the compression of answers away from those of engines: it would hold back what streams.
#[derive(Debug, Clone, Copy)]
pub struct IsNotRaw;

impl Predicate for IsNotRaw {
    fn should_compress<B: HttpBody>(&self, response: &Response<B>) -> bool {
        response.extensions().get::<Raw>().is_none()
    }
}

/// A body that was not read yet. When the call is refused it is thrown away for a while: a client
/// that is still sending would meet a closed connection, and not read why.
pub(super) struct Unread {
    body: Option<Body>,
    waits: bool,
}

impl Unread {
    pub(super) fn new(body: Body, headers: &HeaderMap) -> Self {
        // Who waits for a word to go on has sent nothing.
        Self { body: Some(body), waits: headers.contains_key(header::EXPECT) }
    }

    fn is_empty(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn into_body(mut self) -> Body {
        self.body.take().unwrap_or_default()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if self.waits || self.is_empty() {
            return;
        }
        let Some(mut body) = self.body.take() else { return };
        tokio::spawn(tokio::time::timeout(LONGEST_REFUSAL, async move {
            while let Some(Ok(_)) = body.frame().await {}
        }));
    }
}

/// A call's body.
pub(super) enum Taken {
    /// None.
    Empty,
    /// JSON, read whole.
    Json(Bytes),
    /// As it comes.
    Stream(Unread),
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Whether there is JSON that says something.
    pub(super) fn is_json(&self) -> bool {
        !matches!(self.json().trim_ascii(), b"" | b"null")
    }

    pub(super) fn json(&self) -> &[u8] {
        match self {
            Self::Json(bytes) => bytes,
            Self::Empty | Self::Stream(_) => &[],
        }
    }
}

/// Takes a body as its route wants it.
pub(super) async fn take_body(kind: table::Body, body: Unread) -> Result<Taken> {
    match kind {
        table::Body::None => Ok(Taken::Empty),
        table::Body::Stream if body.is_empty() => Ok(Taken::Empty),
        table::Body::Stream => Ok(Taken::Stream(body)),
        table::Body::Json => {
            let read = tokio::time::timeout(SLOWEST_JSON, to_bytes(body.into_body(), LARGEST_JSON));
            let read = read.await.map_err(|_| {
                let why = "The body did not come within a minute.";
                Error::new(StatusCode::REQUEST_TIMEOUT, "slow_body", why)
            })?;
            read.map(Taken::Json).map_err(|_| {
                let why = "The body was cut off, or is larger than 4 MiB.";
                Error::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", why)
            })
        }
    }
}

/// Sends a call on and makes the answer.
pub(super) async fn send(
    call: Call,
    docker: Docker,
    row: &'static Row,
    address: &Address,
    mut parts: Parts,
    sent: Sent,
) -> Result<Response<Body>> {
    let upgrade = Upgrade::of(row, address, &mut parts)?;
    let hide = match row.reply {
        table::Reply::Hidden(kind) if !call.access.may(Permission::Deploy) => Some(kind),
        _ => None,
    };
    let mut headers = passed(&parts.headers);
    if hide.is_some() {
        headers.remove(header::ACCEPT_ENCODING);
    }
    for (name, value) in sent.headers {
        headers.insert(name, value);
    }
    upgrade.ask(&mut headers);
    let right = Right { call, needs: row.needs };
    let body = match sent.body {
        Taken::Stream(body) => streamed(Guarded::new(body.into_body(), right.revoked())),
        Taken::Json(bytes) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            full(bytes)
        }
        Taken::Empty => {
            headers.remove(header::CONTENT_LENGTH);
            full(Bytes::new())
        }
    };
    let answer = {
        let request = request(&parts, address, headers, body)?;
        tokio::select! {
            answer = docker.forward(request) => answer?,
            () = right.revoked() => return Err(taken_away()),
        }
    };
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return upgrade.switch(answer, right).await;
    }
    let (mut parts, body) = answer.into_parts();
    clean(&mut parts.headers);
    let mut response = match hide {
        Some(kind) if parts.status == StatusCode::OK => {
            let body = hidden(body, kind).await?;
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(body))
        }
        _ => Response::from_parts(parts, Body::new(Guarded::new(body, right.revoked()))),
    };
    response.extensions_mut().insert(Raw);
    Ok(response)
}

fn request(
    parts: &Parts,
    address: &Address,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Request<RawBody>> {
    let target = format!("http://engine{}", address.to_target());
    let mut request = Request::builder()
        .method(parts.method.clone())
        .uri(target)
        .body(body)
        .map_err(Error::internal)?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn passed(given: &HeaderMap) -> HeaderMap {
    let mut headers: HeaderMap = given
        .iter()
        .filter(|(name, _)| {
            PASSED.contains(name)
                || PASSED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if given.get(header::TE).is_some_and(|te| te.as_bytes() == b"trailers") {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    headers
}

fn clean(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

async fn hidden(body: Incoming, kind: hide::Kind) -> Result<Vec<u8>> {
    let broken = |why: &'static str| Error::new(StatusCode::BAD_GATEWAY, "engine_error", why);
    let body = http_body_util::Limited::new(body, LARGEST_HIDDEN);
    let read = tokio::time::timeout(SLOWEST_JSON, body.collect()).await;
    let read = read.map_err(|_| broken("The engine did not answer within a minute."))?;
    let bytes = read.map_err(|_| broken("The engine's answer was cut off or is too large."))?;
    let mut answer: Value = serde_json::from_slice(&bytes.to_bytes())
        .map_err(|_| broken("The engine's answer is not the JSON that it should be."))?;
    hide::hide(&mut answer, kind);
    serde_json::to_vec(&answer).map_err(Error::internal)
}

/// How a call's connection may become a raw stream.
enum Upgrade {
    /// Not at all.
    No,
    /// The client asked for it.
    Asked { protocol: HeaderValue, client: OnUpgrade },
    /// The route streams, and the client did not ask: the output comes as the answer's body, as
    /// in Docker's beginnings.
    Body,
}

impl Upgrade {
    fn of(row: &Row, address: &Address, parts: &mut Parts) -> Result<Self> {
        if row.reply != table::Reply::Upgrade {
            return Ok(Self::No);
        }
        let protocol = parts.headers.get(header::UPGRADE).cloned();
        let client = parts.extensions.remove::<OnUpgrade>();
        if let Some((protocol, client)) = protocol.zip(client) {
            return Ok(Self::Asked { protocol, client });
        }
        let streams = row.path.ends_with("/attach") || row.special == table::Special::Exec;
        if streams && address.values("stdin").any(|on| !matches!(on, "" | "0" | "false")) {
            return Err(Error::new(
                StatusCode::UPGRADE_REQUIRED,
                "upgrade_required",
                "Standard input needs a connection of its own: send `Connection: Upgrade` and `Upgrade: tcp`, as Docker's clients do.",
            ));
        }
        Ok(if streams { Self::Body } else { Self::No })
    }

    fn ask(&self, headers: &mut HeaderMap) {
        let protocol = match self {
            Self::No => return,
            Self::Asked { protocol, .. } => protocol.clone(),
            Self::Body => HeaderValue::from_static("tcp"),
        };
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }

    /// The answer to a client whose engine has switched.
    async fn switch(
        self,
        answer: hyper::Response<Incoming>,
        right: Right,
    ) -> Result<Response<Body>> {
        let protocol = answer.headers().get(header::UPGRADE).cloned();
        let mut headers = answer.headers().clone();
        clean(&mut headers);
        let broken = |error: hyper::Error| {
            tracing::debug!(%error, "an engine did not go on after its switch");
            Error::new(StatusCode::BAD_GATEWAY, "engine_error", "The engine ended the connection.")
        };
        let engine = TokioIo::new(hyper::upgrade::on(answer).await.map_err(broken)?);
        let mut response = Response::new(Body::empty());
        match self {
            Self::No => {
                return Err(Error::new(
                    StatusCode::BAD_GATEWAY,
                    "engine_error",
                    "The engine switched to another protocol without being asked to.",
                ));
            }
            Self::Asked { client, protocol: asked } => {
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(header::UPGRADE, protocol.unwrap_or(asked));
                tokio::spawn(join(client, engine, right));
            }
            Self::Body => {
                let (output, mut input) = tokio::io::split(engine);
                // Nothing comes from a client that has no way to send it.
                let _ = input.shutdown().await;
                let output = Body::from_stream(ReaderStream::with_capacity(output, CHUNK));
                *response.body_mut() = Body::new(Guarded::new(output, right.revoked()));
            }
        }
        *response.headers_mut() = headers;
        response.extensions_mut().insert(Raw);
        Ok(response)
    }
}

/// Carries bytes both ways until both sides have ended, each for itself, or the right has.
async fn join(client: OnUpgrade, mut engine: TokioIo<Upgraded>, right: Right) {
    let mut client = match client.await {
        Ok(client) => TokioIo::new(client),
        Err(error) => {
            tracing::debug!(%error, "a client did not go on after its switch");
            return;
        }
    };
    let carried = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut engine, CHUNK, CHUNK);
    tokio::select! {
        ended = carried => if let Err(error) = ended {
            tracing::debug!(%error, "a raw stream broke");
        },
        () = right.revoked() => {}
    }
}

/// The right that a call needs.
struct Right {
    call: Call,
    needs: Permission,
}

impl Right {
    /// Ends when the caller has it no more.
    fn revoked(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (app, caller) = (self.call.app.clone(), self.call.caller.clone());
        let (environment, needs) = (self.call.access.id, self.needs);
        Box::pin(async move { app.identities.revoked(&caller, environment, needs).await })
    }
}

fn taken_away() -> Error {
    Error::forbidden("You may not do this any more: your role or API key was taken away.")
}

/// A body that breaks off when the right to it ends.
struct Guarded<B> {
    body: B,
    revoked: Pin<Box<dyn Future<Output = ()> + Send>>,
    pieces: u32,
}

impl<B> Guarded<B> {
    fn new(body: B, revoked: Pin<Box<dyn Future<Output = ()> + Send>>) -> Self {
        Self { body, revoked, pieces: 0 }
    }
}

impl<B> HttpBody for Guarded<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        // An answer that is all there costs nothing more; one that waits, or never pauses, does.
        if this.pieces < PIECES
            && let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx)
        {
            this.pieces += 1;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        this.pieces = 0;
        if this.revoked.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(io::Error::other(taken_away()).into())));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn the_engine_never_learns_who_calls() {
        let mut given = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer drv_x"),
            ("cookie", "drover_session=x"),
            ("host", "drover.test"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-csrf-token", "x"),
            ("connection", "keep-alive"),
            ("expect", "100-continue"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("content-type", "application/json"),
            ("user-agent", "Docker-Client/28"),
            ("x-registry-auth", "e30="),
            ("x-docker-expose-session-uuid", "1"),
        ] {
            given.insert(name, HeaderValue::from_static(value));
        }
        let passed = passed(&given);
        let mut names: Vec<&str> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["content-type", "te", "user-agent", "x-docker-expose-session-uuid", "x-registry-auth"]
        );
    }

    #[test]
    fn what_belongs_to_the_engines_connection_stays_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Odd"),
            ("x-odd", "1"),
            ("transfer-encoding", "chunked"),
            ("api-version", "1.41"),
            ("trailer", "x-sum"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        clean(&mut headers);
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["api-version", "trailer"]);
    }

    /// A body that never pauses.
    struct Endless;

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test]
    async fn a_stream_that_never_pauses_ends_with_the_right_to_it() {
        static GONE: AtomicBool = AtomicBool::new(false);
        let revoked = Box::pin(std::future::poll_fn(|_| match GONE.load(Ordering::Relaxed) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }));
        let mut body = Guarded::new(Endless, revoked);
        for _ in 0..1000 {
            body.frame().await.unwrap().unwrap();
        }
        GONE.store(true, Ordering::Relaxed);
        let mut left = 0;
        while body.frame().await.unwrap().is_ok() {
            left += 1;
            assert!(left <= PIECES, "the stream goes on");
        }
    }
}
