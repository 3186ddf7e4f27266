//! Errors in Docker's own shape, `{"message": "…"}`: its clients print the sentence.

use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use drover_api::Problem;
use serde_json::json;

use super::{
    Call,
    policy::{Address, Refusal},
};
use crate::error::Error;

/// Makes a problem into what Docker's clients understand; other answers stay.
pub fn shape(mut response: Response) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    // The engine answers 400 to what it does not take.
    let status = match response.status() {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    *response.status_mut() = status;
    *response.body_mut() = Body::from(json!({ "message": problem.detail }).to_string());
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"Drover\"");
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// 401, with where Docker's clients take their headers from.
pub fn unauthenticated() -> Error {
    Error::new(
        StatusCode::UNAUTHORIZED,
        "unauthenticated",
        "Drover needs an API key that is valid: put {\"HttpHeaders\": {\"Authorization\": \"Bearer drv_…\"}} into the config.json of the folder that DOCKER_CONFIG names. The host's page in Drover shows how.",
    )
}

/// The answer to what the policy refuses.
pub(super) fn refused(call: &Call, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Takeover { option, what } => takeover(call, &format!("`{option}` ({what})")),
        Refusal::Malformed(why) => Error::new(StatusCode::BAD_REQUEST, "malformed_request", why),
        Refusal::Label(label) => Error::new(
            StatusCode::BAD_REQUEST,
            "reserved_label",
            format!(
                "The label `{label}` cannot be set: those that begin with `io.drover.` are Drover's own."
            ),
        ),
    }
}

/// 403 for something that could take over the host.
pub(super) fn takeover(call: &Call, what: &str) -> Error {
    Error::denied(
        "host_takeover",
        format!(
            "{what} could take over the host: your role here, {}, may not use it. Members and owners of the environment may.",
            call.access.role.as_str()
        ),
    )
}

/// 403 for a route that is in no table.
pub(super) fn unknown(call: &Call, method: &Method, address: &Address) -> Error {
    Error::denied(
        "unknown_route",
        format!(
            "Drover does not know the Docker route {method} /{}: your role here, {}, may not use what it does not know. Members and owners of the environment may.",
            address.segments.join("/"),
            call.access.role.as_str()
        ),
    )
}
