//! A shell or command in a container, between a browser's terminal and the engine's.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use drover_api::{ExecControl, ExecEvent};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    driver::stream::{Exec, ExecHandle, ExecOptions},
    socket::{PING_EVERY, SILENCE},
};

/// Picks the best shell that the container has. One exec rather than one a try.
const PICK_SHELL: &str = "for s in /bin/bash /usr/bin/bash /bin/ash /bin/sh; do [ -x \"$s\" ] && exec \"$s\"; done; exec sh";
/// What a shell takes as the end of its input: Ctrl-C for a half-typed line, Ctrl-D.
const HANG_UP: &[u8] = b"\x03\x04";
/// The most that is read from the terminal at once.
const CHUNK: usize = 16 << 10;

/// What to run: the given command, or the best shell that there is.
pub fn options(command: Vec<String>, user: Option<String>) -> ExecOptions {
    let command = if command.is_empty() {
        ["/bin/sh", "-c", PICK_SHELL].map(str::to_owned).to_vec()
    } else {
        command
    };
    ExecOptions {
        command,
        environment: vec!["TERM=xterm-256color".to_owned()],
        user,
        working_dir: None,
    }
}

/// Carries bytes both ways until either side ends or `revoked` does.
pub async fn run(
    mut socket: WebSocket,
    exec: Exec,
    shell: bool,
    revoked: impl Future<Output = ()>,
) {
    let (terminal, handle) = exec.into_parts();
    let (mut output, mut input) = tokio::io::split(terminal);
    let ended = carry(&mut socket, &mut output, &mut input, &handle, revoked).await;
    let event = match ended {
        Ended::Gone => {
            // The engine leaves a command running whose terminal has gone: ask it to end.
            let _ = input.write_all(HANG_UP).await;
            let _ = input.shutdown().await;
            return;
        }
        Ended::Revoked => {
            let _ = input.write_all(HANG_UP).await;
            ExecEvent::End {
                exit_code: None,
                reason: "Your access to this container has ended.".into(),
            }
        }
        Ended::Command => end_of_command(&handle, shell).await,
        Ended::Broken(why) => ExecEvent::End {
            exit_code: None,
            reason: format!("The connection to the host was lost ({why})."),
        },
    };
    close(socket, &event).await;
}

/// Says why there is no command.
pub async fn refuse(socket: WebSocket, reason: &str) {
    close(socket, &ExecEvent::End { exit_code: None, reason: reason.to_owned() }).await;
}

async fn close(mut socket: WebSocket, event: &ExecEvent) {
    // The browser may have gone: then nobody needs to know.
    if let Ok(text) = serde_json::to_string(event) {
        let _ = socket.send(Message::Text(text.into())).await;
    }
    let close = CloseFrame { code: close_code::NORMAL, reason: "".into() };
    let _ = socket.send(Message::Close(Some(close))).await;
}

enum Ended {
    /// The browser has gone.
    Gone,
    Revoked,
    Command,
    Broken(String),
}

async fn carry(
    socket: &mut WebSocket,
    output: &mut (impl AsyncReadExt + Unpin),
    input: &mut (impl AsyncWriteExt + Unpin),
    handle: &ExecHandle,
    revoked: impl Future<Output = ()>,
) -> Ended {
    let mut revoked = std::pin::pin!(revoked);
    let mut ping = tokio::time::interval(PING_EVERY);
    let mut heard = tokio::time::Instant::now();
    let mut buffer = vec![0; CHUNK];
    let (mut to_browser, mut from_browser) = socket.split();
    loop {
        tokio::select! {
            read = output.read(&mut buffer) => match read {
                Ok(0) => return Ended::Command,
                Ok(count) => {
                    let bytes = buffer[..count].to_vec();
                    if to_browser.send(Message::Binary(bytes.into())).await.is_err() {
                        return Ended::Gone;
                    }
                }
                Err(error) => return Ended::Broken(error.to_string()),
            },
            message = from_browser.next() => {
                heard = tokio::time::Instant::now();
                match message {
                    None | Some(Err(_) | Ok(Message::Close(_))) => return Ended::Gone,
                    Some(Ok(Message::Binary(bytes))) => {
                        if let Err(error) = input.write_all(&bytes).await {
                            return Ended::Broken(error.to_string());
                        }
                    }
                    Some(Ok(Message::Text(text))) => {
                        if let Ok(ExecControl::Resize { columns, rows }) =
                            serde_json::from_str(&text)
                        {
                            // A command that has just ended has no size any more.
                            let _ = handle.resize(columns, rows).await;
                        }
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                }
            }
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE
                    || to_browser.send(Message::Ping(Default::default())).await.is_err()
                {
                    return Ended::Gone;
                }
            }
            () = &mut revoked => return Ended::Revoked,
        }
    }
}

async fn end_of_command(handle: &ExecHandle, shell: bool) -> ExecEvent {
    let mut exit_code = None;
    // The output ends a moment before the engine has written down how.
    for _ in 0..10 {
        exit_code = handle.exit_code().await.ok().flatten();
        if exit_code.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let reason = match exit_code {
        Some(126 | 127) if shell => {
            "The container has no shell. Open a command that its image has.".to_owned()
        }
        Some(code @ (126 | 127)) => {
            format!("The container has no such command, or it cannot be run (exit code {code}).")
        }
        Some(137) => "The command was killed (exit code 137).".to_owned(),
        Some(code) => format!("The command ended with exit code {code}."),
        None => "The command has ended.".to_owned(),
    };
    ExecEvent::End { exit_code, reason }
}
