//! Extractors whose refusals are problems, and the parts that lists and writes share.

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Request, rejection::*},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use drover_api::List;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::Error;

/// The largest JSON body that a request may have, bytes.
pub const LARGEST_BODY: usize = 2 << 20;
/// How much of a body that is too large is still taken off the wire, bytes.
const LARGEST_LEFTOVER: usize = 64 << 20;

/// A JSON body.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let bytes = read_body(body, LARGEST_BODY).await?;
        if has_nul(&bytes) {
            return Err(Error::invalid_field("", "A text cannot have the character NUL."));
        }
        let request = Request::from_parts(parts, bytes.into());
        Ok(Self(axum::Json::from_request(request, state).await?.0))
    }
}

/// Whether a JSON text escapes the character NUL, which PostgreSQL has no place for.
fn has_nul(json: &[u8]) -> bool {
    let escape = b"\\u0000";
    let mut found = json.windows(escape.len()).enumerate().filter(|(_, window)| *window == escape);
    found.any(|(at, _)| {
        // After an odd number of backslashes, this one is itself escaped.
        let before = json[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        before.is_multiple_of(2)
    })
}

/// Reads a body of at most `limit` bytes. A larger one is read to its end and dropped: a client
/// that is still sending would see a broken connection rather than the answer.
pub async fn read_body(body: Body, limit: usize) -> Result<Vec<u8>, Error> {
    let mut stream = body.into_data_stream();
    let (mut bytes, mut seen) = (Vec::new(), 0);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| {
            Error::new(
                StatusCode::BAD_REQUEST,
                "broken_body",
                "The body of this request broke off.",
            )
        })?;
        seen += chunk.len();
        if seen <= limit {
            bytes.extend_from_slice(&chunk);
        } else if seen > LARGEST_LEFTOVER {
            break;
        }
    }
    if seen <= limit {
        return Ok(bytes);
    }
    Err(Error::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("The body of this request is larger than the server takes ({} MiB).", limit >> 20),
    ))
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl From<JsonRejection> for Error {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::JsonDataError(inner) => {
                let text = inner.body_text();
                let text =
                    text.strip_prefix("Failed to deserialize the JSON body into the target type: ");
                let text = text.map_or_else(|| inner.body_text(), str::to_owned);
                let (field, message) = text.split_once(": ").unwrap_or(("", &text));
                Error::invalid_field(field, message)
            }
            JsonRejection::MissingJsonContentType(_) => Error::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Send the body as `Content-Type: application/json`.",
            ),
            other => Error::new(StatusCode::BAD_REQUEST, "malformed_json", other.body_text()),
        }
    }
}

/// Path parameters. One that does not parse names nothing that exists: 404.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Error))]
pub struct Path<T>(pub T);

impl From<PathRejection> for Error {
    fn from(rejection: PathRejection) -> Self {
        match rejection {
            PathRejection::FailedToDeserializePathParams(_) => Error::not_found("object"),
            other => Error::internal(other),
        }
    }
}

/// Query parameters.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        axum::extract::Query::<T>::from_request_parts(parts, state)
            .await
            .map(|query| Self(query.0))
            .map_err(|rejection| {
                Error::new(StatusCode::BAD_REQUEST, "invalid_query", rejection.body_text())
            })
    }
}

/// `?limit=&cursor=&sort=&q=`, as every list takes them.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Rows a page: 1 to 1,000, default 100.
    #[param(minimum = 1, maximum = 1000, example = 100)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Field names, `-` before one for descending order: `name,-created_at`.
    #[param(example = "name")]
    pub sort: Option<String>,
    /// Rows that contain this text.
    pub q: Option<String>,
}

impl ListQuery {
    /// The page size, within bounds.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, 1000) as usize
    }

    /// The offset that [`ListQuery::page`] put into the cursor.
    pub fn offset(&self) -> Result<usize, Error> {
        match self.cursor.as_deref() {
            None | Some("") => Ok(0),
            Some(cursor) => cursor.parse().map_err(|_| {
                Error::new(
                    StatusCode::BAD_REQUEST,
                    "invalid_query",
                    "`cursor` must be the `next_cursor` of an earlier page.",
                )
            }),
        }
    }

    /// The sort keys in order: name, and whether descending. Refuses names not in `known`.
    pub fn sort_keys<'a>(
        &'a self,
        known: &[&str],
        default: &'a str,
    ) -> Result<Vec<(&'a str, bool)>, Error> {
        let text = self.sort.as_deref().filter(|s| !s.is_empty()).unwrap_or(default);
        text.split(',')
            .map(|key| {
                let key = key.trim();
                let (name, descending) =
                    key.strip_prefix('-').map_or((key, false), |name| (name, true));
                if known.contains(&name) {
                    Ok((name, descending))
                } else {
                    Err(Error::new(
                        StatusCode::BAD_REQUEST,
                        "invalid_query",
                        format!("Cannot sort by `{name}`; known: {}.", known.join(", ")),
                    ))
                }
            })
            .collect()
    }

    /// Searches, sorts and cuts a list that is small enough to be in memory whole (users,
    /// environments, keys). `text` gives what `?q=` searches, `key` the sort value of a field.
    pub fn page<T>(
        &self,
        mut rows: Vec<T>,
        fields: &[&str],
        default_sort: &str,
        text: impl Fn(&T) -> String,
        key: impl Fn(&T, &str) -> SortKey,
    ) -> Result<List<T>, Error> {
        if let Some(q) = self.q.as_deref().map(str::trim).filter(|q| !q.is_empty()) {
            let q = q.to_lowercase();
            rows.retain(|row| text(row).to_lowercase().contains(&q));
        }
        let keys = self.sort_keys(fields, default_sort)?;
        rows.sort_by(|a, b| {
            keys.iter()
                .map(|(name, descending)| {
                    let order = key(a, name).cmp(&key(b, name));
                    if *descending { order.reverse() } else { order }
                })
                .find(|order| order.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        let (offset, limit, total) = (self.offset()?, self.limit(), rows.len());
        let next = offset.saturating_add(limit);
        Ok(List {
            items: rows.into_iter().skip(offset).take(limit).collect(),
            next_cursor: (next < total).then(|| next.to_string()),
            total: total as u64,
            freshness: None,
        })
    }
}

/// A value to sort by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortKey {
    /// Numbers and times.
    Number(i64),
    /// Text; make it lower-case first.
    Text(String),
}

impl SortKey {
    /// Text without regard to case.
    pub fn text(value: &str) -> Self {
        Self::Text(value.to_lowercase())
    }
}

/// The `If-Match` header: the version that the caller last saw, if it was sent.
#[derive(Debug, Clone, Copy)]
pub struct IfMatch(pub Option<i64>);

impl IfMatch {
    /// 412 unless `version` is what the caller last saw (or the caller did not say).
    pub fn check(self, version: i64) -> Result<(), Error> {
        match self.0 {
            Some(seen) if seen != version => Err(Error::changed_meanwhile()),
            _ => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else {
            return Ok(Self(None));
        };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        // A tag that is not one of ours matches nothing.
        text.trim_start_matches("W/")
            .trim_matches('"')
            .parse()
            .map(|version| Self(Some(version)))
            .map_err(|_| Error::changed_meanwhile())
    }
}

/// Headers with the `ETag` of `version`.
pub fn etag(version: i64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::try_from(format!("\"{version}\"")) {
        headers.insert(header::ETAG, value);
    }
    headers
}
