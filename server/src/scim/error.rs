//! What goes wrong, with the words of RFC 7644, 3.12, and the body that SCIM clients expect.
//!
//! Handlers return the server's own [`Error`] with a `scimType` as its code; [`shape`] turns the
//! problem that it becomes into a SCIM error. So there is one shape for what handlers say and for
//! what extractors and the access middleware say.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use drover_api::Problem;
use serde_json::json;

use crate::error::Error;

/// The schema of error bodies.
pub const ERROR_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
/// The media type of all bodies.
pub(super) const MEDIA_TYPE: &str = "application/scim+json";

/// RFC 7644, table 9.
const TYPES: [&str; 9] = [
    "invalidFilter",
    "invalidPath",
    "invalidSyntax",
    "invalidValue",
    "invalidVers",
    "mutability",
    "noTarget",
    "tooMany",
    "uniqueness",
];

fn bad(scim_type: &'static str, detail: impl Into<String>) -> Error {
    Error::new(StatusCode::BAD_REQUEST, scim_type, detail)
}

/// The filter cannot be read, or compares what cannot be compared.
pub(super) fn invalid_filter(detail: impl Into<String>) -> Error {
    bad("invalidFilter", detail)
}

/// The path of a PATCH cannot be read, or names no attribute.
pub(super) fn invalid_path(detail: impl Into<String>) -> Error {
    bad("invalidPath", detail)
}

/// The body is not what the schema of the message says.
pub(super) fn invalid_syntax(detail: impl Into<String>) -> Error {
    bad("invalidSyntax", detail)
}

/// A value is missing, of the wrong type, or not possible.
pub(super) fn invalid_value(detail: impl Into<String>) -> Error {
    bad("invalidValue", detail)
}

/// The path of a PATCH leads to nothing that could be changed.
pub(super) fn no_target(detail: impl Into<String>) -> Error {
    bad("noTarget", detail)
}

/// The attribute is not for clients to change.
pub(super) fn mutability(detail: impl Into<String>) -> Error {
    bad("mutability", detail)
}

/// Something else has this name or id.
pub(super) fn uniqueness(detail: impl Into<String>) -> Error {
    Error::new(StatusCode::CONFLICT, "uniqueness", detail)
}

/// A problem as a SCIM error; all other answers as they are.
pub fn shape(mut response: Response) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let scim_type = match problem.code.as_str() {
        "malformed_json" | "broken_body" => Some("invalidSyntax"),
        "invalid_input" | "invalid_query" => Some("invalidValue"),
        code => TYPES.contains(&code).then_some(code),
    };
    // RFC 7644 knows no 422.
    let status = match response.status() {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    let mut body = json!({
        "schemas": [ERROR_SCHEMA],
        "status": status.as_u16().to_string(),
        "detail": problem.detail,
    });
    if let Some(scim_type) = scim_type {
        body["scimType"] = scim_type.into();
    }
    *response.status_mut() = status;
    *response.body_mut() = Body::from(body.to_string());
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"SCIM\"");
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use serde_json::Value;

    async fn shaped(error: Error) -> (StatusCode, Value) {
        let response = shape(error.into_response());
        assert!(response.extensions().get::<Problem>().is_none());
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn problems_become_scim_errors() {
        let (status, body) = shaped(invalid_filter("It ends too early.")).await;
        assert_eq!(status, 400);
        let expected = json!({ "schemas": [ERROR_SCHEMA], "status": "400",
            "scimType": "invalidFilter", "detail": "It ends too early." });
        assert_eq!(body, expected);

        let (status, body) = shaped(Error::invalid_field("count", "This is no number.")).await;
        assert_eq!((status.as_u16(), &body["scimType"]), (400, &json!("invalidValue")));

        let (status, body) = shaped(Error::not_found("user")).await;
        assert_eq!((status.as_u16(), &body["scimType"]), (404, &Value::Null));
        assert_eq!(body["status"], "404");
    }
}
