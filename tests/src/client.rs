//! Speaks to the server as a browser session or as an API key.

use std::sync::Arc;

use drover_api::Problem;
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Somebody who calls. Clones share the session.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    credential: Credential,
}

#[derive(Clone)]
enum Credential {
    None,
    Session { csrf: Arc<str> },
    Key(Arc<str>),
}

/// What the server answered, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
    asked: String,
}

impl Client {
    /// Nobody yet.
    pub fn new(base: &str) -> Self {
        let http = crate::http_client().cookie_store(true).build().unwrap();
        Self { http, base: base.to_owned(), credential: Credential::None }
    }

    /// An API key.
    pub fn with_key(base: &str, token: &str) -> Self {
        Self { credential: Credential::Key(token.into()), ..Self::new(base) }
    }

    /// Keeps the token of a session that an answer opened.
    pub fn opened(mut self, session: &drover_api::Session) -> Self {
        let csrf = session.csrf_token.clone().unwrap();
        self.credential = Credential::Session { csrf: csrf.into() };
        self
    }

    /// The same session without its CSRF token.
    pub fn without_csrf(&self) -> Self {
        Self { credential: Credential::None, ..self.clone() }
    }

    /// Where the server is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request with the credential on it.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.credential {
            Credential::None => request,
            Credential::Session { csrf } => request.header("x-csrf-token", &**csrf),
            Credential::Key(token) => request.bearer_auth(token),
        }
    }

    /// Sends a request and reads the whole answer, unless it is an endless one.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let request = request.build().unwrap();
        let asked = format!("{} {}", request.method(), request.url());
        let response = match self.http.execute(request).await {
            Ok(response) => response,
            Err(error) => panic!("{asked}: {error:?}"),
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok());
        // A stream has no end to wait for.
        let text = match kind {
            Some(kind) if kind.starts_with("text/event-stream") => String::new(),
            _ => response.text().await.unwrap(),
        };
        Answer { status, headers, text, asked }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: impl Serialize) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: impl Serialize) -> Answer {
        self.send(self.request(Method::PUT, path).json(&body)).await
    }

    /// PATCH with JSON.
    pub async fn patch(&self, path: &str, body: impl Serialize) -> Answer {
        self.send(self.request(Method::PATCH, path).json(&body)).await
    }

    /// The same with one more header.
    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        (name, value): (&str, &str),
        body: impl Serialize,
    ) -> Answer {
        let name: HeaderName = name.parse().unwrap();
        let value: HeaderValue = value.parse().unwrap();
        self.send(self.request(method, path).header(name, value).json(&body)).await
    }

    /// Signs in; a session of its own, beside the ones that there are.
    pub async fn sign_in(base: &str, login: &str, password: &str) -> Self {
        let client = Self::new(base);
        let answer = client.try_sign_in(login, password).await;
        client.opened(&answer.expect(200).json())
    }

    /// Tries to sign in.
    pub async fn try_sign_in(&self, login: &str, password: &str) -> Answer {
        self.post("/v1/session", json!({ "login": login, "password": password })).await
    }
}

impl Answer {
    /// The answer, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text);
        self
    }

    /// The problem, if it has this status and code, and all that a problem must have.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Problem {
        let asked = self.asked.clone();
        let answer = self.expect(status);
        let kind = answer.header("content-type").unwrap_or_default();
        assert_eq!(kind, "application/problem+json", "{asked}");
        let problem: Problem = answer.json();
        assert_eq!(problem.code, code, "{asked}: {problem:?}");
        assert_eq!(problem.status, status, "{asked}: {problem:?}");
        assert!(!problem.detail.is_empty(), "{asked}: {problem:?}");
        assert!(problem.request_id.is_some(), "{asked}: {problem:?}");
        problem
    }

    /// The body as a type.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.asked, self.text))
    }

    /// The body as a JSON value.
    #[track_caller]
    pub fn value(&self) -> Value {
        self.json()
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
