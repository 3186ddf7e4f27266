//! Calls that send and answer JSON, with what the cluster warns of.

use std::time::Duration;

use http::{
    HeaderMap, Method, Request,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    connect::{Cluster, Identity, empty, full, read_body},
    error::{Failure, FailureKind, Result, unreadable},
};

/// How long the body of an answer may take.
const BODY: Duration = Duration::from_secs(70);
/// The largest answer.
const LARGEST: usize = 64 << 20;
/// The most warnings of one answer.
const MOST_WARNINGS: usize = 50;

/// The kinds of what is sent.
pub mod content {
    /// A whole object.
    pub const JSON: &str = "application/json";
    /// An object to apply; JSON is YAML.
    pub const APPLY: &str = "application/apply-patch+yaml";
    /// Fields to put in, RFC 7386.
    pub const MERGE: &str = "application/merge-patch+json";
    /// The same where lists are merged by their keys; for built-in types.
    pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
    /// Steps, RFC 6902.
    pub const STEPS: &str = "application/json-patch+json";
}

/// What a cluster answered.
#[derive(Debug)]
pub struct Answer {
    /// The object.
    pub value: Value,
    /// What it warns of.
    pub warnings: Vec<String>,
    /// It was made by this call (201).
    pub created: bool,
}

impl Cluster {
    /// Sends an object, a patch, or nothing, and reads the answer.
    ///
    /// # Errors
    /// As [`Cluster::request`].
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
        identity: Identity<'_>,
    ) -> Result<Answer> {
        let mut request =
            Request::builder().method(method).uri(path).header(ACCEPT, "application/json");
        let body = match body {
            Some((kind, value)) => {
                request = request.header(CONTENT_TYPE, kind);
                full(value.to_string())
            }
            None => empty(),
        };
        let wrong = |_| Failure::new(FailureKind::BadRequest, format!("`{path}` is not a path."));
        let answer = self.request(request.body(body).map_err(wrong)?, identity).await?;
        let warnings = warnings(answer.headers());
        let created = answer.status().as_u16() == 201;
        let bytes =
            timeout(BODY, read_body(answer.into_body(), LARGEST)).await.map_err(|_| {
                Failure::away("The cluster's answer did not come to its end in time.")
            })??;
        let value = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))?,
        };
        Ok(Answer { value, warnings, created })
    }
}

/// The texts of `Warning` headers: `299 - "text"`, RFC 7234 section 5.5.
pub(super) fn warnings(headers: &HeaderMap) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for value in headers.get_all("warning") {
        let text = String::from_utf8_lossy(value.as_bytes());
        let mut inside = None::<String>;
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match (&mut inside, letter) {
                (None, '"') => inside = Some(String::new()),
                (Some(_), '"') => all.extend(inside.take()),
                (Some(text), '\\') => text.extend(letters.next()),
                (Some(text), letter) => text.push(letter),
                (None, _) => {}
            }
        }
    }
    all.retain(|text| !text.is_empty());
    all.dedup();
    all.truncate(MOST_WARNINGS);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read_out_of_their_headers() {
        let mut headers = HeaderMap::new();
        headers.append(
            "warning",
            http::HeaderValue::from_static(r#"299 - "policy/v1beta1 is \"old\"""#),
        );
        headers.append("warning", http::HeaderValue::from_static(r#"299 - "a", 299 - "b, c""#));
        headers.append("warning", http::HeaderValue::from_static("299 - broken"));
        assert_eq!(warnings(&headers), ["policy/v1beta1 is \"old\"", "a", "b, c"]);
    }
}
