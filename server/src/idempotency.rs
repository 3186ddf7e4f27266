//! `Idempotency-Key` on POST: a repeated request gets the first one's answer, for a day.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use crate::{
    access::Caller,
    app::App,
    error::{Error, Result},
    extract::{LARGEST_BODY, read_body},
};

pub(crate) mod store;

const HEADER: &str = "idempotency-key";
/// The largest body of an answer that is kept, bytes.
const LARGEST: usize = 4 << 20;

/// Runs the handler, once for each key.
pub async fn run(app: &App, caller: &Caller, request: Request, next: Next) -> Response {
    let Some(key) = request.headers().get(HEADER) else {
        return next.run(request).await;
    };
    let key = match key.to_str() {
        Ok(key) if (1..=128).contains(&key.len()) => key.to_owned(),
        _ => {
            return Error::new(
                StatusCode::BAD_REQUEST,
                "invalid_idempotency_key",
                "Idempotency-Key must be 1 to 128 visible characters.",
            )
            .into_response();
        }
    };
    match once(app, caller, &key, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn once(
    app: &App,
    caller: &Caller,
    key: &str,
    request: Request,
    next: Next,
) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let body = read_body(body, LARGEST_BODY).await?;
    let hash = fingerprint(&parts.method, &parts.uri, &body);
    if !store::claim(&app.db, caller.user_id, key, &hash).await? {
        return match store::answer(&app.db, caller.user_id, key).await? {
            Some(kept) if kept.request_hash != hash => Err(Error::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "This Idempotency-Key was used for another request. Use a new one.",
            )),
            Some(store::Kept { status: Some(status), headers, body, .. }) => {
                replay(app, status, headers, body)
            }
            _ => Err(Error::conflict(
                "idempotency_in_progress",
                "The first request with this Idempotency-Key is still being worked on.",
            )),
        };
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if response.status().is_server_error() {
        // Worth another try: forget that there was one.
        store::release(&app.db, caller.user_id, key).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, LARGEST).await.map_err(Error::internal)?;
    // Answers can hold a secret that is shown once, so they are kept encrypted.
    let sealed = app.cipher.seal(&body);
    store::keep(
        &app.db,
        caller.user_id,
        key,
        parts.status.as_u16(),
        &headers(&parts.headers),
        &sealed,
    )
    .await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn fingerprint(method: &Method, uri: &Uri, body: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(method.as_str());
    hash.update(b" ");
    hash.update(uri.path_and_query().map_or("", |path| path.as_str()));
    hash.update(b"\n");
    hash.update(body);
    hash.finalize().to_vec()
}

fn headers(headers: &HeaderMap) -> serde_json::Value {
    ["content-type", "etag", "location"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), headers.get(*name)?.to_str().ok()?.into())))
        .collect::<serde_json::Map<String, serde_json::Value>>()
        .into()
}

fn replay(
    app: &App,
    status: i16,
    headers: Option<serde_json::Value>,
    body: Option<Vec<u8>>,
) -> Result<Response> {
    let body = app.cipher.open(&body.unwrap_or_default()).map_err(Error::internal)?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(status.cast_unsigned()).map_err(Error::internal)?;
    for (name, value) in headers.as_ref().and_then(|h| h.as_object()).into_iter().flatten() {
        if let (Ok(name), Some(Ok(value))) =
            (HeaderName::try_from(name), value.as_str().map(HeaderValue::from_str))
        {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    Ok(response)
}
