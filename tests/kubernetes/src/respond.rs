//! Answers of the HTTP server.

use std::{convert::Infallible, pin::Pin};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    body::Frame,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::Value;

/// The body of an answer: an error in it cuts the connection.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// An answer.
pub type Answer = Response<Body>;

/// An answer whose body is there.
pub fn bytes(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed_unsync();
    with_body(status, content_type, body)
}

/// A JSON answer.
pub fn json(status: u16, value: &Value) -> Answer {
    bytes(status, "application/json", value.to_string())
}

/// A text answer.
pub fn text(status: u16, text: impl Into<String>) -> Answer {
    bytes(status, "text/plain; charset=utf-8", text.into())
}

/// An answer whose body comes bit by bit.
pub fn stream<S>(content_type: &'static str, frames: S) -> Answer
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
{
    let frames: Pin<Box<dyn Stream<Item = _> + Send>> =
        Box::pin(frames.map(|bytes| bytes.map(Frame::data)));
    with_body(200, content_type, StreamBody::new(frames).boxed_unsync())
}

fn with_body(status: u16, content_type: &'static str, body: Body) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
