//! The client of the REST API: JSON in and out, problems as [`ApiError`], and the headers that
//! writes need.
//!
//! ```ignore
//! let hosts: List<Host> = api::get(env.api("hosts")).query("limit", 100).json().await?;
//! let host: Host = api::patch(env.api(&format!("hosts/{id}")), &update).if_match(version).json().await?;
//! api::delete(env.api(&format!("hosts/{id}"))).done().await?;
//! ```

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
};

use drover_api::{FieldError, Problem, Session};
use gloo_net::http::{Method, RequestBuilder};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use crate::i18n::t;

thread_local! {
    static CSRF: RefCell<Option<String>> = const { RefCell::new(None) };
    static SIGNED_OUT: Cell<Option<fn()>> = const { Cell::new(None) };
}

/// Why a request failed, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status; 0 when no answer came.
    pub status: u16,
    /// Stable, for programs: e.g. `not_found`; `offline` when no answer came.
    pub code: String,
    /// A sentence that says what happened and what to do.
    pub message: String,
    /// What is wrong with which field.
    pub errors: Vec<FieldError>,
    /// Find the server's log lines with it.
    pub request_id: Option<String>,
}

impl ApiError {
    /// An error of the app itself.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            status: 0,
            code: code.into(),
            message: message.into(),
            errors: Vec::new(),
            request_id: None,
        }
    }

    /// True when somebody else has changed the thing since it was read.
    pub fn is_conflict(&self) -> bool {
        self.status == 412
    }
}

/// What a request comes to.
pub type Result<T> = std::result::Result<T, ApiError>;

/// Remembers the token that writes must carry.
pub fn set_csrf_token(token: Option<String>) {
    CSRF.set(token);
}

/// Called on each answer that says that nobody is signed in.
pub fn on_signed_out(callback: fn()) {
    SIGNED_OUT.set(Some(callback));
}

/// Escapes one segment of a path, or a value of a query.
pub fn encode(text: &str) -> String {
    js_sys::encode_uri_component(text).into()
}

/// A request that has not been sent yet.
#[must_use]
pub struct Request {
    method: Method,
    path: String,
    body: Option<String>,
    file: Option<(&'static str, Vec<u8>)>,
    if_match: Option<i64>,
    key: Option<Uuid>,
}

/// `GET /v1/{path}`.
pub fn get(path: impl Into<String>) -> Request {
    Request::new(Method::GET, path.into(), None)
}

/// `DELETE /v1/{path}`.
pub fn delete(path: impl Into<String>) -> Request {
    Request::new(Method::DELETE, path.into(), None)
}

/// `POST /v1/{path}` with an `Idempotency-Key`.
pub fn post(path: impl Into<String>, body: &impl Serialize) -> Request {
    Request::new(Method::POST, path.into(), serde_json::to_string(body).ok())
}

/// `PUT /v1/{path}`.
pub fn put(path: impl Into<String>, body: &impl Serialize) -> Request {
    Request::new(Method::PUT, path.into(), serde_json::to_string(body).ok())
}

/// `PATCH /v1/{path}`.
pub fn patch(path: impl Into<String>, body: &impl Serialize) -> Request {
    Request::new(Method::PATCH, path.into(), serde_json::to_string(body).ok())
}

impl Request {
    fn new(method: Method, path: String, body: Option<String>) -> Self {
        let key = (method == Method::POST).then(Uuid::new_v4);
        Self { method, path: format!("/v1/{path}"), body, file: None, if_match: None, key }
    }

    /// Adds a query parameter; nothing when the value is empty.
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        let value = value.to_string();
        if !value.is_empty() {
            self.path.push(if self.path.contains('?') { '&' } else { '?' });
            self.path.push_str(&format!("{name}={}", encode(&value)));
        }
        self
    }

    /// Adds a body, for methods that seldom have one.
    pub fn body(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_string(body).ok();
        self
    }

    /// Sends bytes of this media type, not JSON.
    pub fn file(mut self, media_type: &'static str, bytes: Vec<u8>) -> Self {
        self.file = Some((media_type, bytes));
        self
    }

    /// Refuses to overwrite what somebody else has changed since `version` was read.
    pub fn if_match(mut self, version: i64) -> Self {
        self.if_match = Some(version);
        self
    }

    /// Sends it and reads the answer.
    pub fn json<T: DeserializeOwned>(self) -> impl Future<Output = Result<T>> + 'static {
        let text = self.text();
        async move {
            let text = text.await?;
            read(&text).map_err(unreadable)
        }
    }

    /// Sends it; the answer's body does not matter.
    pub fn done(self) -> impl Future<Output = Result<()>> + 'static {
        let text = self.text();
        async move { text.await.map(drop) }
    }

    /// Sends it and gives the answer's text. In a box, as each caller would hold a copy of its code
    /// otherwise.
    pub fn text(self) -> Pin<Box<dyn Future<Output = Result<String>>>> {
        Box::pin(async move {
            match self.send().await {
                // The session was renewed elsewhere (another tab): take its token and try once
                // more.
                Err(error) if error.code == "csrf" => {
                    let session: Session =
                        read(&get("session").send().await?).map_err(|_| error)?;
                    set_csrf_token(session.csrf_token);
                    self.send().await
                }
                result => result,
            }
        })
    }

    async fn send(&self) -> Result<String> {
        let mut request = RequestBuilder::new(&self.path)
            .method(self.method.clone())
            .header("Accept", "application/json");
        if self.method != Method::GET
            && let Some(token) = CSRF.with_borrow(Clone::clone)
        {
            request = request.header("X-CSRF-Token", &token);
        }
        if let Some(version) = self.if_match {
            request = request.header("If-Match", &format!("\"{version}\""));
        }
        if let Some(key) = self.key {
            request = request.header("Idempotency-Key", &key.to_string());
        }
        let request = match (&self.file, &self.body) {
            (Some((media_type, bytes)), _) => request
                .header("Content-Type", media_type)
                .body(js_sys::Uint8Array::from(bytes.as_slice())),
            (None, Some(body)) => {
                request.header("Content-Type", "application/json").body(body.as_str())
            }
            (None, None) => request.build(),
        };
        let offline = || ApiError::new("offline", t().error.offline);
        let response = request.map_err(|_| offline())?.send().await.map_err(|_| offline())?;
        let status = response.status();
        let text = response.text().await.map_err(|_| offline())?;
        if response.ok() { Ok(text) } else { Err(failure(status, &text)) }
    }
}

/// Reads JSON. By way of a [`Value`]: so the code that reads JSON's signs is there once, and not for
/// each type.
pub fn read<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_str::<Value>(text).and_then(T::deserialize)
}

fn unreadable(error: serde_json::Error) -> ApiError {
    ApiError::new("unreadable", format!("{} ({error})", t().error.unreadable))
}

fn failure(status: u16, text: &str) -> ApiError {
    let error = match read::<Problem>(text) {
        Ok(problem) => ApiError {
            status,
            code: problem.code,
            message: problem.detail,
            errors: problem.errors,
            request_id: problem.request_id,
        },
        // Not Drover's words: a proxy between.
        Err(_) => ApiError {
            status,
            ..ApiError::new("bad_answer", format!("{} ({status})", t().error.bad_answer))
        },
    };
    if status == 401
        && error.code != "wrong_credentials"
        && let Some(callback) = SIGNED_OUT.get()
    {
        callback();
    }
    error
}
