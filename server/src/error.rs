//! The one error that leaves a handler, and how it becomes `application/problem+json` (RFC 9457).

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use drover_api::{FieldError, Problem};

/// The result of a handler.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that a request can end in but success.
///
/// Made with the constructors below; each domain's own error has a `From` into this, which is
/// where it gets its stable code.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Error {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    errors: Vec<FieldError>,
    retry_after_seconds: Option<u64>,
    /// What is logged but never answered.
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with a status, a stable code and a sentence that says what to do.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_seconds: None,
            source: None,
        }
    }

    /// 404: `what` is for people, e.g. "stack".
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("There is no such {what}, or you may not see it."),
        )
    }

    /// 401.
    pub fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "Sign in, or send an API key as `Authorization: Bearer drv_…`.",
        )
    }

    /// 403.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 403 with a code of its own.
    pub fn denied(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 409.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 412: somebody else changed it since it was read.
    pub fn changed_meanwhile() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "changed_meanwhile",
            "Somebody else has changed this since you opened it. Load it again and repeat your change.",
        )
    }

    /// 422 with what is wrong with which field.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.field, one.message),
            many => format!("{} fields need a change.", many.len()),
        };
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_input", detail);
        error.errors = errors;
        error
    }

    /// 422 for one field.
    pub fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(field, message)])
    }

    /// 429.
    pub fn too_many(detail: impl Into<String>, retry_after_seconds: u64) -> Self {
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail);
        error.retry_after_seconds = Some(retry_after_seconds);
        error
    }

    /// 503: something that the server needs does not answer now.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        error.retry_after_seconds = Some(2);
        error
    }

    /// 500: a fault of Drover's own. The source is logged, not answered.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let mut error = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Drover failed to do this. The server's log has more under this request's id.",
        );
        error.source = Some(source.into());
        error
    }

    /// Adds what is wrong with which field or line.
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            // Protocol: the connection broke in the middle of an answer.
            sqlx::Error::PoolTimedOut
            | sqlx::Error::Io(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::Protocol(_) => {
                tracing::warn!(error = %error, "PostgreSQL does not answer");
                Self::unavailable(
                    "database_unavailable",
                    "The database does not answer at the moment. Try again in a few seconds.",
                )
            }
            // 57P01..03: PostgreSQL is shutting down or starting.
            sqlx::Error::Database(db) if db.code().is_some_and(|c| c.starts_with("57P")) => {
                Self::unavailable(
                    "database_unavailable",
                    "The database is restarting. Try again in a few seconds.",
                )
            }
            _ => Self::internal(error),
        }
    }
}

/// True when `error` is the violation of a unique index: somebody else has that name.
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(db) if db.is_unique_violation())
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Some(source) = &self.source {
            tracing::error!(code = %self.code, error = %source, "request failed");
        }
        let problem = Problem {
            type_: "about:blank".into(),
            title: self.status.canonical_reason().unwrap_or("Error").into(),
            status: self.status.as_u16(),
            code: self.code.into_owned(),
            detail: self.detail,
            errors: self.errors,
            // The request-id middleware fills it in, which knows it.
            request_id: None,
        };
        let mut response = (self.status, Json(&problem)).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // Lets middleware (request id, audit) see the problem without parsing the body.
        response.extensions_mut().insert(problem);
        response
    }
}
