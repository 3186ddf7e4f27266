//! A body in which one text stands for another. It streams: only what may be the beginning of the
//! text is held back.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Bytes;
use bytes::BytesMut;
use hyper::body::{Body as HttpBody, Frame};

/// See the module's first lines.
pub struct Replaced<B> {
    body: B,
    text: Text,
    trailers: Option<Frame<Bytes>>,
    ended: bool,
}

struct Text {
    from: String,
    to: String,
    held: BytesMut,
}

impl Text {
    /// What can be told of what has come, with `piece` behind it.
    fn next(&mut self, piece: &[u8]) -> Bytes {
        self.held.extend_from_slice(piece);
        let from = self.from.as_bytes();
        let mut told = BytesMut::with_capacity(self.held.len());
        while let Some(at) = find(&self.held, from) {
            told.extend_from_slice(&self.held.split_to(at));
            told.extend_from_slice(self.to.as_bytes());
            let _ = self.held.split_to(from.len());
        }
        let longest = from.len().saturating_sub(1).min(self.held.len());
        let begun = (1..=longest).rev().find(|length| self.held.ends_with(&from[..*length]));
        let sure = self.held.len() - begun.unwrap_or_default();
        told.extend_from_slice(&self.held.split_to(sure));
        told.freeze()
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == first) {
        if text[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

impl<B> Replaced<B> {
    /// A body with `to` wherever `body` has `from`.
    pub fn new(body: B, from: String, to: String) -> Self {
        let text = Text { from, to, held: BytesMut::new() };
        Self { body, text, trailers: None, ended: false }
    }
}

impl<B> HttpBody for Replaced<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        loop {
            if this.ended {
                if !this.text.held.is_empty() {
                    let rest = std::mem::take(&mut this.text.held).freeze();
                    return Poll::Ready(Some(Ok(Frame::data(rest))));
                }
                return Poll::Ready(this.trailers.take().map(Ok));
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => this.ended = true,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => {
                        let told = this.text.next(&piece);
                        if !told.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(told))));
                        }
                    }
                    Err(trailers) => {
                        this.trailers = Some(trailers);
                        this.ended = true;
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_however_it_is_cut() {
        let whole = b"<a href=\"/api/x/proxy/a\">/api/x/prox</a><b>/api//api/x/proxy</b>/api/x/pro";
        let expected = "<a href=\"/F/a\">/api/x/prox</a><b>/api//F</b>/api/x/pro";
        for first in 0..whole.len() {
            for second in first..whole.len() {
                let mut text =
                    Text { from: "/api/x/proxy".into(), to: "/F".into(), held: BytesMut::new() };
                let mut told = Vec::new();
                for piece in [&whole[..first], &whole[first..second], &whole[second..]] {
                    told.extend_from_slice(&text.next(piece));
                }
                told.extend_from_slice(&text.held);
                assert_eq!(String::from_utf8(told).unwrap(), expected, "{first} {second}");
            }
        }
    }

    #[test]
    fn only_what_may_be_the_text_is_held_back() {
        let mut text = Text { from: "/api".into(), to: "/F".into(), held: BytesMut::new() };
        assert_eq!(&text.next(b"hello /a")[..], b"hello ");
        assert_eq!(&text.next(b"b")[..], b"/ab");
    }
}
