//! A WebSocket as a stream of bytes, which knows whether the other end is still there.
//!
//! Each message is binary and holds whatever bytes were written since the last one: message
//! boundaries mean nothing. The server's end sends a ping every [`PING`]; either end gives up a
//! connection that has been silent for [`SILENCE`], since a cut cable tells nobody.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{
    SinkExt, StreamExt,
    io::{AsyncRead, AsyncWrite},
};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use super::Duplex;
use crate::error::{Error, Result};

/// How often the server asks whether the other end is there.
pub const PING: Duration = Duration::from_secs(2);
/// A connection that was silent for so long is gone. Short enough that the agents of a replica whose
/// machine has lost its power are on another one within ten seconds, with time to dial; and as long
/// as that allows, since TCP, which doubles its pauses, may be silent for a while after a cable is
/// in again.
pub const SILENCE: Duration = Duration::from_secs(8);
/// So many bytes are collected into one message.
const MESSAGE: usize = 64 << 10;
/// The largest message that is taken.
const LARGEST_MESSAGE: usize = 1 << 20;

/// What a WebSocket stands on.
pub type Socket = WebSocketStream<Pin<Box<dyn Duplex>>>;

/// Small buffers: there may be thousands of these.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(MESSAGE)
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE))
}

/// Answers a request to become a WebSocket, and gives the socket to `serve` once it is one.
///
/// # Errors
/// 426 for a request that asks for something else.
pub fn upgrade<F>(
    mut request: Request,
    serve: impl FnOnce(Socket) -> F + Send + 'static,
) -> Result<Response>
where
    F: Future<Output = ()> + Send,
{
    let key = requested(request.headers()).ok_or_else(|| {
        Error::new(
            StatusCode::UPGRADE_REQUIRED,
            "websocket_required",
            "This address takes WebSockets only. A proxy on the way must let them through.",
        )
    })?;
    let accept =
        HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(Error::internal)?;
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(upgraded) => {
                let io: Pin<Box<dyn Duplex>> = Box::pin(TokioIo::new(upgraded));
                serve(WebSocketStream::from_raw_socket(io, Role::Server, Some(config())).await)
                    .await;
            }
            Err(error) => tracing::debug!(%error, "a WebSocket did not come to be"),
        }
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response())
}

/// The key of a request for a WebSocket (RFC 6455, section 4.2.1).
fn requested(headers: &HeaderMap) -> Option<HeaderValue> {
    let says = |name, wanted: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|text| {
            text.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted))
        })
    };
    let fits = says(header::CONNECTION, "upgrade")
        && says(header::UPGRADE, "websocket")
        && says(header::SEC_WEBSOCKET_VERSION, "13");
    headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| fits).cloned()
}

/// Sends one JSON text message.
///
/// # Errors
/// When the other end is gone, or does not take it in time.
pub async fn send_json(socket: &mut Socket, message: &impl serde::Serialize) -> io::Result<()> {
    let text = serde_json::to_string(message)?;
    within(async { socket.send(Message::text(text)).await.map_err(broken) }).await
}

/// Receives one JSON text message.
///
/// # Errors
/// When the other end is gone, sends something else, or nothing in time.
pub async fn receive_json<T: serde::de::DeserializeOwned>(socket: &mut Socket) -> io::Result<T> {
    within(async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text)?),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(_)) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "unexpected message"));
                }
                Some(Err(error)) => return Err(broken(error)),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    })
    .await
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(Duration::from_secs(15), work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn broken(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            io::ErrorKind::UnexpectedEof.into()
        }
        other => io::Error::other(other),
    }
}

/// See the module's first lines.
pub struct Bytestream {
    socket: Socket,
    /// What was received and not read yet.
    received: Bytes,
    /// What was written and not sent yet.
    written: BytesMut,
    /// Beats every [`PING`].
    pulse: Interval,
    /// Ends no later than the connection's patience. Set anew only when it has ended, not with
    /// each message.
    patience: Pin<Box<Sleep>>,
    heard: Instant,
    pings: bool,
}

impl Bytestream {
    /// A socket whose greetings are over. The end that `pings` keeps both informed.
    pub fn new(socket: Socket, pings: bool) -> Self {
        let mut pulse = tokio::time::interval_at(Instant::now() + PING, PING);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            socket,
            received: Bytes::new(),
            written: BytesMut::new(),
            pulse,
            patience: Box::pin(tokio::time::sleep(SILENCE)),
            heard: Instant::now(),
            pings,
        }
    }

    /// Whether the other end is there; sends the ping that is due.
    fn poll_pulse(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.patience.as_mut().poll(cx).is_ready() {
            if self.heard.elapsed() >= SILENCE {
                let why = format!("nothing was heard for {} seconds", SILENCE.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            let until = self.heard + SILENCE;
            self.patience.as_mut().reset(until);
        }
        while self.pulse.poll_tick(cx).is_ready() {
            // A full buffer means that enough is on its way already.
            if self.pings && self.socket.poll_ready_unpin(cx).map_err(broken)?.is_ready() {
                self.socket.start_send_unpin(Message::Ping(Bytes::new())).map_err(broken)?;
                let _ = self.socket.poll_flush_unpin(cx).map_err(broken)?;
            }
        }
        Ok(())
    }

    /// Hands over what was written as one message.
    fn poll_hand_over(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.written.is_empty() {
            ready!(self.socket.poll_ready_unpin(cx)).map_err(broken)?;
            let message = Message::Binary(self.written.split().freeze());
            self.socket.start_send_unpin(message).map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Bytestream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        while self.received.is_empty() {
            match self.socket.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    self.heard = Instant::now();
                    match message {
                        Message::Binary(bytes) => self.received = bytes,
                        Message::Close(_) => return Poll::Ready(Ok(0)),
                        _ => {}
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(broken(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(0)),
                Poll::Pending => {
                    self.poll_pulse(cx)?;
                    return Poll::Pending;
                }
            }
        }
        let n = buffer.len().min(self.received.len());
        buffer[..n].copy_from_slice(&self.received[..n]);
        self.received.advance(n);
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Bytestream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.written.len() >= MESSAGE {
            ready!(self.poll_hand_over(cx))?;
        }
        self.written.extend_from_slice(buffer);
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_hand_over(cx))?;
        self.socket.poll_flush_unpin(cx).map_err(broken)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_hand_over(cx))?;
        self.socket.poll_close_unpin(cx).map_err(broken)
    }
}
