//! Passing calls on that are not Drover's own: those of Docker's and Kubernetes' clients. As
//! streams, with back-pressure both ways, and no longer than the caller has the right to them.
//!
//! | part | what |
//! | --- | --- |
//! | `body` | bodies that end with the right to them, and those of refused calls |
//! | `headers` | what belongs to one connection and not to the message |
//! | `upgrade` | joins two connections that have switched to another protocol |

mod body;
mod headers;
mod upgrade;

use std::{future::Future, pin::Pin};

use axum::http::Response;
use hyper::body::Body as HttpBody;
use tower_http::compression::Predicate;

pub use body::{Guarded, Unread};
pub use headers::clean;
pub use upgrade::{CHUNK, join};

use crate::error::Error;

/// Ends when a right has ended.
pub type Revoked = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Marks an answer that is passed on: it goes through as it is.
#[derive(Debug, Clone, Copy)]
pub struct Raw;

/// Keeps the compression of answers away from those that are passed on: it would hold back what
/// streams.
#[derive(Debug, Clone, Copy)]
pub struct IsNotRaw;

impl Predicate for IsNotRaw {
    fn should_compress<B: HttpBody>(&self, response: &Response<B>) -> bool {
        response.extensions().get::<Raw>().is_none()
    }
}

/// 403 in the middle of a call.
pub fn taken_away() -> Error {
    Error::forbidden("You may not do this any more: your role or API key was taken away.")
}
