//! Commands in pods: shells between a browser's terminal and the cluster's, and commands whose
//! output is read.
//!
//! By WebSocket with the protocols `v5.channel.k8s.io` and `v4.channel.k8s.io`.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use drover_api::{ExecControl, ExecEvent};
use drover_kubernetes::client::{Cluster, Failure, FailureKind, Impersonation, Result};
use futures_util::{SinkExt, StreamExt};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::api::{Api, AttachParams, AttachedProcess, TerminalSize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use crate::hosts::socket::{PING_EVERY, SILENCE};

/// Picks the best shell that the container has. One exec rather than one a try.
const PICK_SHELL: &str = "export TERM=xterm-256color; for s in /bin/bash /usr/bin/bash /bin/ash /bin/sh; do [ -x \"$s\" ] && exec \"$s\"; done; exec sh";
/// What a shell takes as the end of its input: Ctrl-C for a half-typed line, Ctrl-D.
const HANG_UP: &[u8] = b"\x03\x04";
/// The most that is read from the terminal at once.
const CHUNK: usize = 16 << 10;
/// How long the cluster may take to start a command.
const START: Duration = Duration::from_secs(30);
/// How long a command has to end after its terminal has gone.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is run, and where.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub namespace: String,
    pub pod: String,
    /// The pod's first one when absent.
    pub container: Option<String>,
    /// A shell when empty.
    pub words: Vec<String>,
}

impl Command {
    async fn start(
        &self,
        cluster: &Cluster,
        user: &Impersonation,
        how: AttachParams,
    ) -> Result<AttachedProcess> {
        let pods: Api<Pod> = Api::namespaced(cluster.as_user(user), &self.namespace);
        let how = match &self.container {
            Some(container) => how.container(container),
            None => how,
        };
        let started = match self.words.is_empty() {
            true => timeout(START, pods.exec(&self.pod, ["/bin/sh", "-c", PICK_SHELL], &how)).await,
            false => timeout(START, pods.exec(&self.pod, self.words.clone(), &how)).await,
        };
        match started {
            Ok(started) => started.map_err(Failure::from),
            Err(_) => Err(Failure::away("The cluster did not start it within 30 seconds.")),
        }
    }

    /// Starts it with a terminal.
    pub async fn with_terminal(
        &self,
        cluster: &Cluster,
        user: &Impersonation,
    ) -> Result<AttachedProcess> {
        let how =
            AttachParams::interactive_tty().max_stdin_buf_size(CHUNK).max_stdout_buf_size(CHUNK);
        self.start(cluster, user, how).await
    }

    /// Starts it with its outputs apart, and an input if wanted.
    pub async fn piped(
        &self,
        cluster: &Cluster,
        user: &Impersonation,
        input: bool,
    ) -> Result<AttachedProcess> {
        let how = AttachParams::default()
            .stdin(input)
            .stdout(true)
            .stderr(true)
            .max_stdin_buf_size(CHUNK * 4)
            .max_stdout_buf_size(CHUNK * 4)
            .max_stderr_buf_size(CHUNK);
        self.start(cluster, user, how).await
    }
}

/// Carries bytes both ways until either side ends or `revoked` does.
pub(super) async fn run(
    mut socket: WebSocket,
    mut process: AttachedProcess,
    size: Option<(u16, u16)>,
    shell: bool,
    revoked: impl Future<Output = ()>,
) {
    let ended = carry(&mut socket, &mut process, size, revoked).await;
    let event = match ended {
        Ended::Gone(mut input) => {
            // A command whose terminal has gone runs on: ask it to end.
            let _ = input.write_all(HANG_UP).await;
            if let Some(status) = process.take_status() {
                let _ = timeout(LAST_WORDS, status).await;
            }
            return;
        }
        Ended::Revoked(mut input) => {
            let _ = input.write_all(HANG_UP).await;
            ExecEvent::End {
                exit_code: None,
                reason: "Your access to this container has ended.".into(),
            }
        }
        Ended::Command => {
            let status = match process.take_status() {
                Some(status) => timeout(LAST_WORDS, status).await.ok().flatten(),
                None => None,
            };
            end_of_command(status, shell)
        }
        Ended::Broken(why) => ExecEvent::End {
            exit_code: None,
            reason: format!("The connection to the cluster was lost ({why})."),
        },
    };
    close(socket, &event).await;
}

/// Says why there is no command.
pub(super) async fn refuse(socket: WebSocket, reason: &str) {
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

/// A command's input.
type Input = Box<dyn tokio::io::AsyncWrite + Send + Unpin>;

enum Ended {
    /// The browser has gone.
    Gone(Input),
    Revoked(Input),
    Command,
    Broken(String),
}

async fn carry(
    socket: &mut WebSocket,
    process: &mut AttachedProcess,
    size: Option<(u16, u16)>,
    revoked: impl Future<Output = ()>,
) -> Ended {
    let (Some(input), Some(mut output), Some(mut sizes)) =
        (process.stdin(), process.stdout(), process.terminal_size())
    else {
        return Ended::Broken("it has no terminal".into());
    };
    let mut input: Input = Box::new(input);
    if let Some((columns, rows)) = size {
        let _ = sizes.try_send(TerminalSize { width: columns, height: rows });
    }
    let mut revoked = std::pin::pin!(revoked);
    let mut ping = tokio::time::interval(PING_EVERY);
    let mut heard = Instant::now();
    let mut buffer = vec![0; CHUNK];
    let (mut to_browser, mut from_browser) = socket.split();
    loop {
        tokio::select! {
            read = output.read(&mut buffer) => match read {
                Ok(0) => return Ended::Command,
                Ok(count) => {
                    let bytes = buffer[..count].to_vec();
                    if to_browser.send(Message::Binary(bytes.into())).await.is_err() {
                        return Ended::Gone(input);
                    }
                }
                Err(error) => return Ended::Broken(error.to_string()),
            },
            message = from_browser.next() => {
                heard = Instant::now();
                match message {
                    None | Some(Err(_) | Ok(Message::Close(_))) => return Ended::Gone(input),
                    Some(Ok(Message::Binary(bytes))) => {
                        // A command that reads nothing must not keep this from seeing that the
                        // right has ended.
                        tokio::select! {
                            written = input.write_all(&bytes) => if let Err(error) = written {
                                return Ended::Broken(error.to_string());
                            },
                            () = &mut revoked => return Ended::Revoked(input),
                        }
                    }
                    Some(Ok(Message::Text(text))) => {
                        if let Ok(ExecControl::Resize { columns, rows }) =
                            serde_json::from_str(&text)
                        {
                            // One that is lost among many is followed by another.
                            let _ = sizes.try_send(TerminalSize { width: columns, height: rows });
                        }
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                }
            }
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE
                    || to_browser.send(Message::Ping(Default::default())).await.is_err()
                {
                    return Ended::Gone(input);
                }
            }
            () = &mut revoked => return Ended::Revoked(input),
        }
    }
}

/// The exit code that a command's last status tells; `None` where it tells none.
pub(super) fn exit_code(status: &Status) -> Option<i64> {
    if status.status.as_deref() == Some("Success") {
        return Some(0);
    }
    let causes = status.details.as_ref()?.causes.as_ref()?;
    let code = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"))?;
    code.message.as_ref()?.parse().ok()
}

fn end_of_command(status: Option<Status>, shell: bool) -> ExecEvent {
    let code = status.as_ref().and_then(exit_code);
    let said = status.and_then(|status| status.message).unwrap_or_default();
    let none = said.contains("no such file") || said.contains("not found");
    let reason = match code {
        Some(126 | 127) | None if shell && (code.is_some() || none) => {
            "The container has no shell. Add a debug container, which brings its own.".to_owned()
        }
        Some(code @ (126 | 127)) => {
            format!("The container has no such command, or it cannot be run (exit code {code}).")
        }
        Some(137) => "The command was killed (exit code 137).".to_owned(),
        Some(code) => format!("The command ended with exit code {code}."),
        None if !said.is_empty() => said,
        None => "The command has ended.".to_owned(),
    };
    ExecEvent::End { exit_code: code, reason }
}

/// Why a command failed, as a failure.
pub(super) fn command_failed(status: Option<&Status>, said: &str) -> Failure {
    let said = said.trim();
    let message = status.and_then(|status| status.message.clone()).unwrap_or_default();
    let words = match (said.is_empty(), message.is_empty()) {
        (false, _) => format!("The container says: {said}."),
        (true, false) => format!("{message}."),
        (true, true) => "The command failed in the container.".to_owned(),
    };
    Failure::new(FailureKind::Invalid, words.replace("..", "."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exit_codes_are_read_out_of_the_last_status() {
        let read = |status: serde_json::Value| {
            serde_json::from_value::<Status>(status).ok().as_ref().and_then(exit_code)
        };
        assert_eq!(read(json!({"status": "Success"})), Some(0));
        let failed = json!({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes":
            [{"reason": "ExitCode", "message": "3"}]}});
        assert_eq!(read(failed), Some(3));
        assert_eq!(read(json!({"status": "Failure", "message": "it broke"})), None);
    }

    #[test]
    fn a_container_without_a_shell_is_said_so() {
        let status = json!({"status": "Failure",
            "message": "exec failed: stat /bin/sh: no such file or directory"});
        let ExecEvent::End { reason, .. } =
            end_of_command(serde_json::from_value(status).ok(), true);
        assert!(reason.contains("debug container"), "{reason}");
    }
}
