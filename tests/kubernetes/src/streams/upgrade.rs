//! Upgrades of HTTP/1.1 connections to WebSocket and SPDY.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    header::{CONNECTION, HeaderName, HeaderValue, UPGRADE},
    upgrade::OnUpgrade,
};

use crate::{
    respond::{self, Answer},
    status::{ApiError, Result},
};

/// What a caller wants to speak.
pub enum Wanted {
    /// WebSocket with one of these protocols.
    WebSocket(Vec<String>),
    /// SPDY/3.1 with one of these protocols on it.
    Spdy(Vec<String>),
    /// No upgrade.
    Nothing,
}

fn words(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

/// Reads what is wanted.
pub fn wanted(headers: &HeaderMap) -> Wanted {
    let connection = words(headers, "connection");
    if !connection.iter().any(|word| word.eq_ignore_ascii_case("upgrade")) {
        return Wanted::Nothing;
    }
    let upgrade = words(headers, "upgrade");
    if upgrade.iter().any(|word| word.eq_ignore_ascii_case("websocket")) {
        return Wanted::WebSocket(words(headers, "sec-websocket-protocol"));
    }
    if upgrade.iter().any(|word| word.eq_ignore_ascii_case("spdy/3.1")) {
        return Wanted::Spdy(words(headers, "x-stream-protocol-version"));
    }
    Wanted::Nothing
}

/// The first of the wanted protocols that is known.
pub fn choose<'a>(wanted: &[String], known: &[&'a str]) -> Option<&'a str> {
    wanted.iter().find_map(|one| known.iter().find(|known| *known == one).copied())
}

fn switching(upgrade: &'static str) -> Response<respond::Body> {
    let mut answer = respond::bytes(101, "text/plain", "");
    answer.headers_mut().clear();
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(upgrade));
    answer
}

fn set(answer: &mut Answer, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

/// The answer that begins a WebSocket, and the connection that will be one.
///
/// # Errors
/// When the request is no handshake.
pub fn websocket(
    request: &mut Request<Incoming>,
    protocol: Option<&str>,
) -> Result<(Answer, OnUpgrade)> {
    let key = request
        .headers()
        .get("sec-websocket-key")
        .map(|key| key.as_bytes().to_vec())
        .ok_or_else(|| ApiError::bad_request("missing Sec-WebSocket-Key"))?;
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(&key);
    let mut answer = switching("websocket");
    set(&mut answer, "sec-websocket-accept", &accept);
    if let Some(protocol) = protocol {
        set(&mut answer, "sec-websocket-protocol", protocol);
    }
    Ok((answer, hyper::upgrade::on(request)))
}

/// The answer that begins SPDY, and the connection that will be it.
pub fn spdy(request: &mut Request<Incoming>, protocol: &str) -> (Answer, OnUpgrade) {
    let mut answer = switching("SPDY/3.1");
    set(&mut answer, "x-stream-protocol-version", protocol);
    (answer, hyper::upgrade::on(request))
}

/// Text that is sent as Base64 where a protocol wants it so.
pub fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// The refusal of protocols that are not known.
pub fn unknown() -> ApiError {
    ApiError::text(403, "")
}
