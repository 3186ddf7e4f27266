//! Refusals: the `Status` object that every refused request gets, in the words and with the
//! details that Kubernetes documents for each reason.

use std::borrow::Cow;

use http_body_util::{BodyExt, Full};
use hyper::{Response, StatusCode, header};
use serde_json::{Value, json};

use crate::respond::{Answer, Body};

/// A refused request.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// The HTTP status.
    pub code: u16,
    /// The machine-readable reason, empty where there is none.
    pub reason: Cow<'static, str>,
    /// The sentence for people.
    pub message: String,
    /// What it is about.
    pub details: Option<Value>,
    /// The answer's `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// Whether the answer is the plain text of an address that leads nowhere.
    plain: bool,
    /// Where a list may go on.
    list_continue: Option<String>,
}

/// What handlers give back.
pub type Result<T, E = ApiError> = std::result::Result<T, E>;

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueRequired` and so on.
    pub reason: &'static str,
    /// Where, as `spec.containers[0].name`.
    pub field: String,
    /// The sentence, without the field.
    pub message: String,
}

impl Cause {
    /// A field that must be there.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = match detail {
            "" => "Required value".to_owned(),
            detail => format!("Required value: {detail}"),
        };
        Self { reason: "FieldValueRequired", field: field.into(), message }
    }

    /// A value that cannot be.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: impl AsRef<str>) -> Self {
        let message = format!("Invalid value: {}: {}", shown(value), detail.as_ref());
        Self { reason: "FieldValueInvalid", field: field.into(), message }
    }

    /// A value that only the server may set.
    pub fn forbidden(field: impl Into<String>, detail: impl AsRef<str>) -> Self {
        let message = format!("Forbidden: {}", detail.as_ref());
        Self { reason: "FieldValueForbidden", field: field.into(), message }
    }

    /// A value that stands twice.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        let message = format!("Duplicate value: {}", shown(value));
        Self { reason: "FieldValueDuplicate", field: field.into(), message }
    }

    /// A value that is not one of those that there are.
    pub fn not_supported(field: impl Into<String>, value: &Value, known: &[&str]) -> Self {
        let known: Vec<_> = known.iter().map(|one| format!("\"{one}\"")).collect();
        let message =
            format!("Unsupported value: {}: supported values: {}", shown(value), known.join(", "));
        Self { reason: "FieldValueNotSupported", field: field.into(), message }
    }

    /// Something that this refers to is not there.
    pub fn not_found(field: impl Into<String>, value: &Value) -> Self {
        let message = format!("Not found: {}", shown(value));
        Self { reason: "FieldValueNotFound", field: field.into(), message }
    }

    /// A value of another type than its schema has.
    pub fn type_invalid(field: impl Into<String>, value: &Value, detail: impl AsRef<str>) -> Self {
        let message = format!("Invalid value: {}: {}", shown(value), detail.as_ref());
        Self { reason: "FieldValueTypeInvalid", field: field.into(), message }
    }

    /// A value that is too long.
    pub fn too_long(field: impl Into<String>, max: usize) -> Self {
        Self {
            reason: "FieldValueTooLong",
            field: field.into(),
            message: format!("Too long: may not be more than {max} bytes"),
        }
    }

    fn sentence(&self) -> String {
        if self.field.is_empty() {
            return self.message.clone();
        }
        format!("{}: {}", self.field, self.message)
    }
}

/// A value as Go prints it in a cause: strings in quotes, objects as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Object(_) | Value::Array(_) => value.to_string(),
        other => other.to_string(),
    }
}

/// Which resource an error is about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The API group, empty for the core.
    pub group: &'a str,
    /// The plural, or for invalid objects the kind.
    pub resource: &'a str,
    /// The object's name, perhaps empty.
    pub name: &'a str,
}

impl About<'_> {
    /// `deployments.apps`.
    pub fn qualified(&self) -> String {
        qualified(self.resource, self.group)
    }

    fn details(&self) -> Value {
        let mut details = json!({});
        for (key, value) in [("name", self.name), ("group", self.group), ("kind", self.resource)] {
            if !value.is_empty() {
                details[key] = json!(value);
            }
        }
        details
    }
}

/// `deployments.apps`, `pods`.
pub fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

impl ApiError {
    /// One of any reason.
    pub fn new(
        code: u16,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            reason: reason.into(),
            message: message.into(),
            details: None,
            retry_after: None,
            plain: false,
            list_continue: None,
        }
    }

    fn about(mut self, about: About) -> Self {
        self.details = Some(about.details());
        self
    }

    /// With details of its own.
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// With a token to go on with.
    pub fn with_list_continue(mut self, token: String) -> Self {
        self.list_continue = Some(token);
        self
    }

    /// An answer of a part that knows no `Status`.
    pub fn text(code: u16, message: impl Into<String>) -> Self {
        let mut error = Self::new(code, "", message);
        error.plain = true;
        error
    }

    /// An address that no API has.
    pub fn no_such_path() -> Self {
        Self::text(404, "404 page not found\n")
    }

    /// A resource that a group and version do not have.
    pub fn no_such_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(404, "NotFound", message).with_details(json!({}))
    }

    /// An object that is not there.
    pub fn not_found(about: About) -> Self {
        let message = format!("{} \"{}\" not found", about.qualified(), about.name);
        Self::new(404, "NotFound", message).about(about)
    }

    /// A name that is taken.
    pub fn already_exists(about: About) -> Self {
        let message = format!("{} \"{}\" already exists", about.qualified(), about.name);
        Self::new(409, "AlreadyExists", message).about(about)
    }

    /// A write that cannot be made as things are.
    pub fn conflict(about: About, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{}\": {why}",
            about.qualified(),
            about.name
        );
        Self::new(409, "Conflict", message).about(about)
    }

    /// A write that was made from a version that is no longer the newest.
    pub fn stale(about: About) -> Self {
        Self::conflict(
            about,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// A refused request, by whatever rule.
    pub fn forbidden(about: About, why: &str) -> Self {
        let message = match (about.resource, about.name) {
            ("", "") => format!("forbidden: {why}"),
            (_, "") => format!("{} is forbidden: {why}", about.qualified()),
            (_, name) => format!("{} \"{name}\" is forbidden: {why}", about.qualified()),
        };
        Self::new(403, "Forbidden", message).about(about)
    }

    /// An object that breaks the rules of its kind.
    pub fn invalid(about: About, causes: &[Cause]) -> Self {
        let mut sentences: Vec<_> = Vec::new();
        for cause in causes {
            let sentence = cause.sentence();
            if !sentences.contains(&sentence) {
                sentences.push(sentence);
            }
        }
        let all = match sentences.as_slice() {
            [one] => one.clone(),
            more => format!("[{}]", more.join(", ")),
        };
        let message = format!("{} \"{}\" is invalid: {all}", about.qualified(), about.name);
        let mut error = Self::new(422, "Invalid", message).about(about);
        let causes: Vec<_> = causes
            .iter()
            .map(|one| json!({"reason": one.reason, "message": one.message, "field": one.field}))
            .collect();
        if let Some(details) = &mut error.details {
            details["causes"] = json!(causes);
        }
        error
    }

    /// A request that cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// Nobody that the server knows.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// A verb that the resource does not have.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message).with_details(json!({}))
    }

    /// An answer in a form that the server does not have.
    pub fn not_acceptable(known: &str) -> Self {
        let message = format!("only the following media types are accepted: {known}");
        Self::new(406, "NotAcceptable", message)
    }

    /// A body in a form that the server does not read.
    pub fn unsupported_media_type(known: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {known}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// A version that is no longer kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// A body over the limit.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// Something in the server itself.
    pub fn internal(message: impl AsRef<str>) -> Self {
        let message = message.as_ref();
        Self::new(500, "InternalError", format!("Internal error occurred: {message}"))
            .with_details(json!({"causes": [{"message": message}]}))
    }

    /// Come again later.
    pub fn too_many_requests(message: impl Into<String>, seconds: u32) -> Self {
        let mut error = Self::new(429, "TooManyRequests", message);
        error.details = Some(json!({"retryAfterSeconds": seconds}));
        error.retry_after = Some(seconds);
        error
    }

    /// The `Status` object.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if let Some(token) = &self.list_continue {
            status["metadata"]["continue"] = json!(token);
        }
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status
    }

    /// The whole answer.
    pub fn answer(&self) -> Answer {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, text) = if self.plain {
            ("text/plain; charset=utf-8", self.message.clone())
        } else {
            ("application/json", self.status().to_string())
        };
        let mut response = Response::new(full(text));
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
        if self.plain {
            headers.insert("x-content-type-options", header::HeaderValue::from_static("nosniff"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
        }
        response
    }
}

fn full(text: String) -> Body {
    Full::new(bytes::Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_words_of_kubernetes() {
        let pods = About { group: "", resource: "pods", name: "web" };
        assert_eq!(ApiError::not_found(pods).message, "pods \"web\" not found");
        let error = ApiError::invalid(
            About { group: "apps", resource: "Deployment", name: "web" },
            &[Cause::required("spec.selector", ""), Cause::forbidden("spec.x", "no")],
        );
        assert_eq!(
            error.message,
            "Deployment.apps \"web\" is invalid: [spec.selector: Required value, spec.x: Forbidden: no]"
        );
        assert_eq!(error.status()["details"]["causes"][0]["field"], "spec.selector");
    }
}
