//! What every part of the API uses: times, lists, problems.

use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;

/// A moment, as RFC 3339 in UTC on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime, example = "2026-01-31T08:30:00Z"))]
#[serde(transparent)]
pub struct Timestamp(#[serde(with = "time::serde::rfc3339")] pub OffsetDateTime);

impl Timestamp {
    /// Milliseconds since the Unix epoch.
    pub fn unix_ms(self) -> i64 {
        (self.0.unix_timestamp_nanos() / 1_000_000) as i64
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(at: OffsetDateTime) -> Self {
        Self(at)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct List<T> {
    /// The rows of this page.
    pub items: Vec<T>,
    /// Pass as `?cursor=` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_cursor: Option<String>,
    /// How many rows match, over all pages.
    pub total: u64,
    /// For lists answered from a live index: how fresh that index is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub freshness: Option<Freshness>,
}

impl<T> List<T> {
    /// A list that fits one page.
    pub fn whole(items: Vec<T>) -> Self {
        let total = items.len() as u64;
        Self { items, next_cursor: None, total, freshness: None }
    }
}

/// How fresh an answer from a live index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Freshness {
    /// Grows with every change of the index.
    pub revision: u64,
    /// Age in milliseconds of the oldest part: 0 while every source is connected, else the time
    /// since the source that has been away longest was last heard.
    pub age_ms: u64,
}

/// RFC 9457 `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `about:blank`, or an address of a page on this kind of problem.
    #[serde(rename = "type", default = "about_blank")]
    pub type_: String,
    /// The HTTP status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable, for programs: e.g. `not_found`, `port_taken`.
    pub code: String,
    /// A sentence that says what happened and what to do.
    pub detail: String,
    /// For bad input: what is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<FieldError>,
    /// Find the server's log lines of this request with it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
}

fn about_blank() -> String {
    "about:blank".into()
}

/// What is wrong with one field of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// The path of the field, e.g. `endpoint.address`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// For fields that hold text with lines (Compose, YAML): where, from 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<u32>,
    /// See `line`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub column: Option<u32>,
}

impl FieldError {
    /// An error on a field without a position.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), line: None, column: None }
    }
}

/// For fields of a PATCH that can be set to `null`: distinguishes "absent" (`None`) from
/// "`null`" (`Some(None)`). Use with `#[serde(default, deserialize_with = "nullable")]`.
pub fn nullable<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}
