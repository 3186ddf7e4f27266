//! Sends a call on to the engine and its answer back: as streams, with back-pressure both ways, and
//! no longer than the caller has the right to it.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{
        HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts,
    },
};
use drover_api::Permission;
use http_body_util::BodyExt;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

use super::{
    Call, Sent,
    policy::{Address, Row, hide, table},
};
use crate::{
    error::{Error, Result},
    hosts::driver::{Docker, RawBody, full, streamed},
    passing::{CHUNK, Guarded, Raw, Revoked, Unread, clean, join, taken_away},
};

/// The largest body that is looked at.
const LARGEST_JSON: usize = 4 << 20;
/// The largest answer from which secrets are taken out.
const LARGEST_HIDDEN: usize = 64 << 20;
/// How long such a body, or such an answer, may take.
const SLOWEST_JSON: Duration = Duration::from_secs(60);
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
                tokio::spawn(join(client, engine, right.revoked()));
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

/// The right that a call needs.
struct Right {
    call: Call,
    needs: Permission,
}

impl Right {
    /// Ends when the caller has it no more.
    fn revoked(&self) -> Revoked {
        let (app, caller) = (self.call.app.clone(), self.call.caller.clone());
        let (environment, needs) = (self.call.access.id, self.needs);
        Box::pin(async move { app.identities.revoked(&caller, environment, needs).await })
    }
}

#[cfg(test)]
mod tests {
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
}
