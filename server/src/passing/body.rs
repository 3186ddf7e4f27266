//! Bodies that end with the right to them, and those of refused calls.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::{Revoked, taken_away};

/// How long the body of a refused call is read on.
const LONGEST_REFUSAL: Duration = Duration::from_secs(10);
/// After so many pieces in a row without a pause, the right to them is looked at.
const PIECES: u32 = 64;

/// A body that was not read yet. When the call is refused it is thrown away for a while: a client
/// that is still sending would meet a closed connection, and not read why.
pub struct Unread {
    body: Option<Body>,
    waits: bool,
}

impl Unread {
    /// The body of a request with these headers.
    pub fn new(body: Body, headers: &HeaderMap) -> Self {
        // Who waits for a word to go on has sent nothing.
        Self { body: Some(body), waits: headers.contains_key(header::EXPECT) }
    }

    /// Whether nothing comes.
    pub fn is_empty(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    /// The body, to be read.
    pub fn into_body(mut self) -> Body {
        self.body.take().unwrap_or_default()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if self.waits || self.is_empty() {
            return;
        }
        let Some(mut body) = self.body.take() else { return };
        tokio::spawn(tokio::time::timeout(LONGEST_REFUSAL, async move {
            while let Some(Ok(_)) = body.frame().await {}
        }));
    }
}

/// A body that breaks off when the right to it ends.
pub struct Guarded<B> {
    body: B,
    revoked: Revoked,
    pieces: u32,
}

impl<B> Guarded<B> {
    /// A body that ends with `revoked`.
    pub fn new(body: B, revoked: Revoked) -> Self {
        Self { body, revoked, pieces: 0 }
    }
}

impl<B> HttpBody for Guarded<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        // An answer that is all there costs nothing more; one that waits, or never pauses, does.
        if this.pieces < PIECES
            && let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx)
        {
            this.pieces += 1;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        this.pieces = 0;
        if this.revoked.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(io::Error::other(taken_away()).into())));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A body that never pauses.
    struct Endless;

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test]
    async fn a_stream_that_never_pauses_ends_with_the_right_to_it() {
        static GONE: AtomicBool = AtomicBool::new(false);
        let revoked = Box::pin(std::future::poll_fn(|_| match GONE.load(Ordering::Relaxed) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }));
        let mut body = Guarded::new(Endless, revoked);
        for _ in 0..1000 {
            body.frame().await.unwrap().unwrap();
        }
        GONE.store(true, Ordering::Relaxed);
        let mut left = 0;
        while body.frame().await.unwrap().is_ok() {
            left += 1;
            assert!(left <= PIECES, "the stream goes on");
        }
    }
}
