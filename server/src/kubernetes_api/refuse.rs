//! Errors in Kubernetes' own shape, `Status`: its clients print the sentence.
//!
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/>

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use drover_api::Problem;
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// By this subprotocol of WebSockets a client tells an API server who it is.
const TOKEN_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io";

/// Makes a problem into what Kubernetes' clients understand; other answers stay.
pub fn shape(mut response: Response) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let retry: Option<u64> = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    let status = response.status();
    *response.body_mut() = Body::from(status_object(status, &problem.detail, retry).to_string());
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"Drover\"");
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn status_object(status: StatusCode, message: &str, retry: Option<u64>) -> Value {
    let reason = match status.as_u16() {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        408 | 504 => "Timeout",
        409 => "Conflict",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let mut object = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": status.as_u16(),
    });
    if let Some(seconds) = retry {
        object["details"] = json!({ "retryAfterSeconds": seconds });
    }
    object
}

/// 401, with where Kubernetes' clients take their credentials from.
pub fn unauthenticated() -> Error {
    Error::new(
        StatusCode::UNAUTHORIZED,
        "unauthenticated",
        "Drover needs an API key that is valid, as the token of the kubeconfig's user. The environment's page in Drover makes a kubeconfig with a new one.",
    )
}

/// 400 for an address that can be read in more than one way.
pub(super) fn malformed(why: &'static str) -> Error {
    Error::new(StatusCode::BAD_REQUEST, "malformed_request", why)
}

/// Refuses calls that tell another identity than the API key's: dropped, they would do something
/// as somebody else than was asked for.
pub(super) fn other_identities(headers: &HeaderMap) -> Result<()> {
    let named = headers.keys().any(|name| {
        let name = name.as_str();
        name.starts_with("impersonate-") || name.starts_with("x-remote-")
    });
    if named {
        return Err(Error::denied(
            "impersonation",
            "Drover takes no impersonation (`--as`, `--as-group`): calls are made as the owner of the API key, with the roles that they have in Drover.",
        ));
    }
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut protocols = protocols.iter().map(|value| value.as_bytes());
    let token = TOKEN_PROTOCOL.as_bytes();
    if protocols.any(|value| value.windows(token.len()).any(|part| part == token)) {
        return Err(Error::denied(
            "impersonation",
            "Drover takes API keys as `Authorization: Bearer drv_…` only, not in a subprotocol of a WebSocket.",
        ));
    }
    Ok(())
}

/// 403 for a pod that the caller's role may not make.
pub(super) fn pod(kind: &str, name: &str, why: &str) -> Error {
    Error::denied(
        "pod_security",
        format!(
            "{kind} \"{name}\" is forbidden: {why}. Your role here, restricted, may not make such pods. Members and owners of the environment may."
        ),
    )
}

/// 403 for a pod that the caller's role may not enter.
pub(super) fn entered(name: &str, why: &str) -> Error {
    Error::denied(
        "pod_security",
        format!(
            "pods \"{name}\" is forbidden: it {why}. Your role here, restricted, may not enter such pods. Members and owners of the environment may."
        ),
    )
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn problems_become_statuses() {
        let response = shape(Error::unavailable("cluster_unreachable", "Away.").into_response());
        assert_eq!(response.status(), 503);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["kind"], "Status");
        assert_eq!(body["reason"], "ServiceUnavailable");
        assert_eq!(body["message"], "Away.");
        assert_eq!(body["code"], 503);
        assert!(body["details"]["retryAfterSeconds"].is_number(), "{body}");
    }

    #[test]
    fn other_identities_are_refused_and_not_dropped() {
        let with = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            other_identities(&headers)
        };
        assert!(with("accept", "application/json").is_ok());
        assert!(with("sec-websocket-protocol", "v5.channel.k8s.io, v4.channel.k8s.io").is_ok());
        for (name, value) in [
            ("impersonate-user", "system:admin"),
            ("impersonate-extra-scopes", "x"),
            ("x-remote-user", "x"),
            (
                "sec-websocket-protocol",
                "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.eA",
            ),
        ] {
            assert!(with(name, value).is_err(), "{name}");
        }
    }
}
