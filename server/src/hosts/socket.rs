//! WebSockets that only send: logs and measurements.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use serde::Serialize;
use tokio::time::Instant;

/// How often a silent WebSocket is pinged, so that proxies between do not close it.
pub const PING_EVERY: Duration = Duration::from_secs(20);
/// A browser that has not even answered pings for so long has gone.
pub const SILENCE: Duration = Duration::from_secs(65);

/// What a WebSocket sends: messages until there are no more, which the last one says.
pub trait Feed {
    /// The messages.
    type Message: Serialize + Send;

    /// The next message; `None` after the last.
    fn next(&mut self) -> impl Future<Output = Option<Self::Message>> + Send;

    /// The message that says why there are no more.
    fn end(reason: String) -> Self::Message;
}

/// Sends all of `feed`, until it ends, the browser goes, or `revoked` ends.
pub async fn send_all<F: Feed>(
    mut socket: WebSocket,
    mut feed: F,
    revoked: impl Future<Output = ()>,
) {
    let mut revoked = std::pin::pin!(revoked);
    let mut ping = tokio::time::interval(PING_EVERY);
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            message = feed.next() => {
                let Some(message) = message else { break };
                if send(&mut socket, &message).await.is_err() {
                    return;
                }
            }
            message = socket.recv() => match message {
                None | Some(Err(_) | Ok(Message::Close(_))) => return,
                Some(Ok(_)) => heard = Instant::now(),
            },
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE
                    || socket.send(Message::Ping(Default::default())).await.is_err()
                {
                    return;
                }
            }
            () = &mut revoked => {
                let end = F::end("Your access to this container has ended.".into());
                let _ = send(&mut socket, &end).await;
                break;
            }
        }
    }
    let close = CloseFrame { code: close_code::NORMAL, reason: "".into() };
    let _ = socket.send(Message::Close(Some(close))).await;
}

async fn send(socket: &mut WebSocket, message: &impl Serialize) -> Result<(), axum::Error> {
    let text = serde_json::to_string(message).map_err(axum::Error::new)?;
    socket.send(Message::Text(text.into())).await
}
