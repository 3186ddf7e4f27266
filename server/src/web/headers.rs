//! The security headers of every answer.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use crate::app::App;

/// The page's nonce: scripts and styles without it do not run.
#[derive(Debug, Clone)]
pub struct Nonce(pub Arc<str>);

/// Marks an answer that is not Drover's own page, and has the security headers that it needs.
#[derive(Debug, Clone, Copy)]
pub struct OwnHeaders;

/// Adds the headers, and gives the handler a nonce.
pub async fn secure_headers(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let nonce: Arc<str> = STANDARD_NO_PAD.encode(rand::random::<[u8; 16]>()).into();
    request.extensions_mut().insert(Nonce(nonce.clone()));
    let api = request.uri().path().starts_with("/v1/");
    let mut response = next.run(request).await;
    if response.extensions().get::<OwnHeaders>().is_some() {
        return response;
    }
    // `wasm-unsafe-eval` lets WebAssembly compile, and nothing else.
    let policy = format!(
        "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; \
         style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; font-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if app.settings.secure() {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000; includeSubDomains"),
        );
    }
    if api && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
