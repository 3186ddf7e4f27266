//! Dials the server, again and again.

use std::{io, sync::Arc, time::Duration};

use super::{Agent, serve, state::Connection};
use crate::{
    agents::handshake::{self, Challenge, Hello, Refusal, Verdict},
    tunnel::{
        Mux,
        websocket::{Bytestream, Socket, receive_json, send_json},
    },
};

/// The first pause after a connection was lost.
const SHORTEST_PAUSE: Duration = Duration::from_millis(300);
/// The longest pause between tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The pause after a refusal, which only a person can end.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// A connection that lasted for so long was good: the next pause is a short one.
const GOOD: Duration = Duration::from_secs(10);

/// Why a try has ended.
enum Ended {
    /// The connection broke, or was not made.
    Broken(io::Error),
    /// The server does not want this agent.
    Refused(Refusal, String),
}

/// Keeps an agent connected, for ever.
pub async fn keep_connected(agent: Arc<Agent>) {
    let mut tries = 0;
    loop {
        let started = tokio::time::Instant::now();
        let ended = once(&agent).await;
        if started.elapsed() > GOOD {
            tries = 0;
        }
        let pause = match ended {
            Ended::Broken(error) => {
                tracing::warn!(%error, "not connected to the server; trying again");
                agent.stand.set(Connection::Away { why: error.to_string() });
                pause_after(tries)
            }
            Ended::Refused(Refusal::TryAgain, why) => {
                tracing::warn!(why, "the server cannot take this agent now; trying again");
                agent.stand.set(Connection::Away { why });
                pause_after(tries.max(2))
            }
            Ended::Refused(code, why) => {
                tracing::error!(?code, why, "the server refuses this agent");
                agent.stand.set(Connection::Refused { why });
                REFUSED_PAUSE.mul_f64(0.75 + rand::random::<f64>() / 2.0)
            }
        };
        tokio::time::sleep(pause).await;
        tries += 1;
    }
}

/// Doubled with each try in vain, with half of it left to chance, so that the agents of a server
/// that is back do not all come at once.
fn pause_after(tries: u32) -> Duration {
    let pause = (SHORTEST_PAUSE * 2_u32.pow(tries.min(6))).min(LONGEST_PAUSE);
    pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

async fn once(agent: &Arc<Agent>) -> Ended {
    let socket = match agent.dialer.websocket(handshake::PATH).await {
        Ok(socket) => socket,
        Err(error) => return Ended::Broken(error),
    };
    let (socket, host) = match greet(agent, socket).await {
        Ok(Ok(welcome)) => welcome,
        Ok(Err((code, why))) => return Ended::Refused(code, why),
        Err(error) => return Ended::Broken(error),
    };
    tracing::info!(%host, "connected to the server");
    agent.stand.set(Connection::Connected);
    let serving = agent.clone();
    let (_mux, driver) = Mux::new(Bytestream::new(socket, false), true, move |stream| {
        tokio::spawn(serve::stream(serving.clone(), stream));
    });
    Ended::Broken(match driver.await {
        Ok(()) => io::Error::other("The server has closed the connection; it may be restarting."),
        Err(error) => io::Error::new(error.kind(), format!("The connection is lost: {error}.")),
    })
}

/// Answers the server's challenge; the socket and the host's name when it is welcome.
async fn greet(
    agent: &Agent,
    mut socket: Socket,
) -> io::Result<Result<(Socket, String), (Refusal, String)>> {
    let challenge: Challenge = receive_json(&mut socket).await?;
    let text = handshake::to_be_signed(&challenge.nonce, agent.host_id, agent.process);
    let hello = Hello {
        host_id: agent.host_id,
        process: agent.process,
        version: agent.version.clone(),
        protocols: agent.protocols,
        hostname: agent.hostname.clone(),
        signature: handshake::sign(&agent.key, &text),
    };
    send_json(&mut socket, &hello).await?;
    Ok(match receive_json(&mut socket).await? {
        Verdict::Welcome { host } => Ok((socket, host)),
        Verdict::Refused { code, message } => Err((code, message)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        for tries in [0, 3, 10, u32::MAX] {
            let pause = pause_after(tries);
            assert!(pause >= SHORTEST_PAUSE / 2 && pause <= LONGEST_PAUSE, "{pause:?}");
        }
        assert!(pause_after(u32::MAX) >= LONGEST_PAUSE / 2);
        assert_ne!(pause_after(6), pause_after(6));
    }
}
