//! Commands and ports over WebSocket: the first byte of each message is its channel.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use super::channels::{Channels, Output};

/// A server's end of a WebSocket.
pub type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// Waits for the upgrade.
pub async fn socket(upgrade: OnUpgrade) -> Option<Socket> {
    let upgraded = tokio::time::timeout(Duration::from_secs(10), upgrade).await.ok()?.ok()?;
    Some(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await)
}

/// How messages are written: as they are, or as Base64 in text.
#[derive(Debug, Clone, Copy)]
pub struct Coding {
    /// Base64 in text messages, channels as digits.
    pub base64: bool,
    /// Whether closing a channel can be said (`v5`).
    pub closes: bool,
}

fn message(coding: Coding, channel: u8, bytes: &[u8]) -> Message {
    if coding.base64 {
        return Message::Text(format!("{channel}{}", super::upgrade::base64(bytes)).into());
    }
    let mut all = BytesMut::with_capacity(bytes.len() + 1);
    all.put_u8(channel);
    all.put(bytes);
    Message::Binary(all.freeze())
}

/// Channel and content of a message.
fn parts(coding: Coding, message: Message) -> Option<(u8, Bytes)> {
    match message {
        Message::Binary(bytes) if !bytes.is_empty() => {
            let mut channel = bytes[0];
            if coding.base64 {
                channel = channel.wrapping_sub(b'0');
            }
            Some((channel, bytes.slice(1..)))
        }
        Message::Text(text) => {
            use base64::{Engine, engine::general_purpose::STANDARD};
            let bytes = text.as_bytes();
            let channel = *bytes.first()?;
            let rest = bytes.get(1..)?;
            if coding.base64 {
                return Some((channel.wrapping_sub(b'0'), STANDARD.decode(rest).ok()?.into()));
            }
            Some((channel, Bytes::copy_from_slice(rest)))
        }
        _ => None,
    }
}

/// Carries a command's stream. Gives its two ends, and works until either is closed.
pub fn command(upgrade: OnUpgrade, coding: Coding, first: u8) -> Channels {
    let (to_command, stdin) = mpsc::channel(16);
    let (output, from_command) = mpsc::channel(16);
    tokio::spawn(async move {
        if let Some(socket) = socket(upgrade).await {
            carry(socket, coding, first, to_command, from_command).await;
        }
    });
    Channels { stdin, output }
}

fn normal() -> CloseFrame {
    CloseFrame { code: CloseCode::Normal, reason: "".into() }
}

async fn carry(
    socket: Socket,
    coding: Coding,
    first: u8,
    to_command: mpsc::Sender<Bytes>,
    mut from_command: mpsc::Receiver<Output>,
) {
    let (mut sink, mut source) = socket.split();
    // An empty message says that the connection is there.
    if sink.send(message(coding, first, &[])).await.is_err() {
        return;
    }
    let mut stdin = Some(to_command);
    loop {
        tokio::select! {
            output = from_command.recv() => {
                let (message, last) = match output {
                    Some(Output::Stdout(bytes)) => (message(coding, 1, &bytes), false),
                    Some(Output::Stderr(bytes)) => (message(coding, 2, &bytes), false),
                    Some(Output::Status(status)) => {
                        (message(coding, 3, status.to_string().as_bytes()), true)
                    }
                    None => break,
                };
                if sink.send(message).await.is_err() || last {
                    break;
                }
            }
            incoming = source.next() => {
                let Some(Ok(incoming)) = incoming else { break };
                if let Message::Ping(bytes) = incoming {
                    if sink.send(Message::Pong(bytes)).await.is_err() {
                        break;
                    }
                    continue;
                }
                if incoming.is_close() {
                    break;
                }
                match parts(coding, incoming) {
                    Some((0, bytes)) => {
                        if let Some(stdin) = &stdin
                            && stdin.send(bytes).await.is_err()
                        {
                            // The command reads no more; what it says still counts.
                        }
                    }
                    Some((255, channel)) if coding.closes && channel.as_ref() == [0] => stdin = None,
                    _ => {}
                }
            }
        }
    }
    // Bounded: a peer that does not answer the close is left.
    let _ = tokio::time::timeout(Duration::from_secs(2), async {
        if sink.send(Message::Close(Some(normal()))).await.is_ok() {
            while let Some(Ok(message)) = source.next().await {
                if message.is_close() {
                    break;
                }
            }
        }
    })
    .await;
}

/// A WebSocket as a stream of bytes, for what is tunnelled in its messages.
pub fn tunnel(upgrade: OnUpgrade) -> DuplexStream {
    let (inside, outside) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let Some(socket) = socket(upgrade).await else { return };
        let (mut sink, mut source) = socket.split();
        let (mut reader, mut writer) = tokio::io::split(outside);
        let up = async {
            let mut buffer = vec![0; 32 * 1024];
            while let Ok(count) = reader.read(&mut buffer).await {
                if count == 0 {
                    break;
                }
                let bytes = Bytes::copy_from_slice(&buffer[..count]);
                if sink.send(Message::Binary(bytes)).await.is_err() {
                    break;
                }
            }
        };
        let down = async {
            while let Some(Ok(message)) = source.next().await {
                match message {
                    Message::Binary(bytes) => {
                        if writer.write_all(&bytes).await.is_err() {
                            break;
                        }
                    }
                    Message::Close(_) => break,
                    _ => {}
                }
            }
        };
        tokio::select! { () = up => {} () = down => {} }
    });
    inside
}
