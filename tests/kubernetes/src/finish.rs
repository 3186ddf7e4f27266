//! The last touches of an answer: JSON ends with a newline, is indented for people, and what is
//! large is compressed for who takes that.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap,
    body::Body as _,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, USER_AGENT, VARY},
};

use crate::{request::RequestInfo, respond::Answer, status::ApiError};

/// Smaller answers are not compressed.
const LARGE: usize = 128 * 1024;

/// How an answer is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Not at all: it is a stream, or somebody else's.
    as_it_is: bool,
    pretty: bool,
    gzip: bool,
    /// From how many bytes on.
    large: usize,
}

impl Wish {
    /// As a request says.
    pub fn of(headers: &HeaderMap, info: &RequestInfo) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let agent = text(USER_AGENT).unwrap_or_default();
        let is_person = ["curl", "Wget", "Mozilla/5.0"].iter().any(|one| agent.starts_with(one));
        let asked = info.query.0.iter().any(|(key, _)| key == "pretty");
        let encodings = text(ACCEPT_ENCODING).unwrap_or_default();
        let is_gzip = |one: &str| one.split(';').next().is_some_and(|name| name.trim() == "gzip");
        let connects = ["attach", "exec", "log", "portforward", "proxy"];
        Self {
            as_it_is: info.verb == "watch" || connects.contains(&info.subresource.as_str()),
            pretty: if asked { info.query.flag("pretty") } else { is_person },
            gzip: encodings.split(',').any(is_gzip),
            large: if info.path.starts_with("/openapi/") { 0 } else { LARGE },
        }
    }

    /// Gives an answer its last form.
    pub async fn finish(self, answer: Answer) -> Answer {
        let kind = answer.headers().get(CONTENT_TYPE);
        let is_json = kind.is_some_and(|kind| kind == "application/json");
        // Long lists come piece by piece, and are not held in memory without need.
        let is_whole = answer.body().size_hint().exact().is_some();
        if self.as_it_is || !is_json || !is_whole && !self.gzip && !self.pretty {
            return answer;
        }
        let (mut parts, body) = answer.into_parts();
        // Only the streams of others break off.
        let Ok(body) = body.collect().await else {
            return ApiError::internal("the answer broke off").answer();
        };
        let mut bytes = body.to_bytes().to_vec();
        if self.pretty {
            bytes = indented(&bytes);
        }
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        if self.gzip && bytes.len() > self.large {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            if encoder.write_all(&bytes).is_ok()
                && let Ok(small) = encoder.finish()
            {
                bytes = small;
                parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
            }
        }
        let body = Full::new(Bytes::from(bytes)).map_err(|never| match never {});
        Answer::from_parts(parts, body.boxed_unsync())
    }
}

/// JSON with two spaces for each depth, and its fields in the order that they have.
fn indented(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    let mut bytes = json.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if in_text {
            out.push(byte);
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                if bytes.peek().is_some_and(|next| !matches!(next, b'}' | b']')) {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                if !matches!(out.last(), Some(b'{' | b'[')) {
                    depth = depth.saturating_sub(1);
                    line(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            byte if byte.is_ascii_whitespace() => {}
            byte => {
                in_text = byte == b'"';
                out.push(byte);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_in_its_own_order() {
        let json = br#"{"kind":"A","b":{},"a":[1,{"x":"{\"[,:"}],"c":[]}"#;
        let expected = "{\n  \"kind\": \"A\",\n  \"b\": {},\n  \"a\": [\n    1,\n    {\n      \"x\": \"{\\\"[,:\"\n    }\n  ],\n  \"c\": []\n}";
        assert_eq!(String::from_utf8_lossy(&indented(json)), expected);
    }

    #[tokio::test]
    async fn large_answers_are_compressed_for_who_takes_that() {
        let info = RequestInfo::of(&hyper::Method::GET, "/api/v1/pods", "");
        let mut headers = HeaderMap::new();
        let large = format!("\"{}\"", "x".repeat(LARGE));
        let answer = || crate::respond::bytes(200, "application/json", large.clone());
        let plain = Wish::of(&headers, &info).finish(answer()).await;
        assert_eq!(plain.headers().get(CONTENT_ENCODING), None);
        assert_eq!(plain.body().size_hint().exact(), Some(large.len() as u64 + 1));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("deflate, gzip;q=0.5"));
        let small = Wish::of(&headers, &info).finish(answer()).await;
        assert_eq!(small.headers()[CONTENT_ENCODING], "gzip");
        assert!(small.body().size_hint().exact().is_some_and(|size| size < 10_000));
    }
}
