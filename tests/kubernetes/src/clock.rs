//! Times as Kubernetes writes them.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Now.
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Whole seconds, as metadata has them.
pub fn seconds(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}

/// Now in whole seconds.
pub fn stamp() -> String {
    seconds(now())
}

/// With microseconds, as leases and new events have them.
pub fn micros(time: OffsetDateTime) -> String {
    let whole = seconds(time);
    format!("{}.{:06}Z", whole.trim_end_matches('Z'), time.microsecond())
}

/// With nanoseconds, as log lines have them.
pub fn nanos(time: OffsetDateTime) -> String {
    let whole = seconds(time);
    format!("{}.{:09}Z", whole.trim_end_matches('Z'), time.nanosecond())
}

/// Reads RFC 3339.
pub fn parse(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}
