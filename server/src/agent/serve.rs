//! The streams that the server opens.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{Agent, upgrade, usage};
use crate::tunnel::{
    Target,
    mux::{MuxStream, answer, join, read_request},
};

/// How long the engine, or an address, may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Serves one stream until it ends.
pub(super) async fn stream(agent: Arc<Agent>, mut stream: MuxStream) {
    let target = match read_request(&mut stream).await {
        Ok(request) => request.target,
        Err(error) => {
            let why = format!("The agent does not understand this: {error}. It may be too old.");
            let _ = answer(&mut stream, &Err(io::Error::other(why))).await;
            return;
        }
    };
    // A stream that breaks is nobody's fault here: either end may go at any time.
    if let Err(error) = serve(&agent, &target, stream).await {
        tracing::debug!(?target, %error, "a stream has ended");
    }
}

async fn serve(agent: &Arc<Agent>, target: &Target, mut stream: MuxStream) -> io::Result<()> {
    match target {
        Target::Docker => {
            let opened = within(UnixStream::connect(&agent.socket))
                .await
                .map_err(|error| io::Error::new(error.kind(), engine_failure(agent, &error)));
            relay(stream, opened).await
        }
        Target::Tcp { address } => {
            let opened = within(TcpStream::connect(address)).await.map_err(|error| {
                io::Error::new(error.kind(), format!("{address} cannot be reached: {error}."))
            });
            if let Ok(opened) = &opened {
                let _ = opened.set_nodelay(true);
            }
            relay(stream, opened).await
        }
        Target::Ping => {
            answer(&mut stream, &Ok(())).await?;
            stream.shutdown().await
        }
        Target::Usage => {
            answer(&mut stream, &Ok(())).await?;
            usage::tell(&agent.disk, stream).await
        }
        Target::Upgrade { version } => {
            answer(&mut stream, &Ok(())).await?;
            upgrade::run(agent, version, stream).await
        }
    }
}

async fn relay<T>(mut stream: MuxStream, opened: io::Result<T>) -> io::Result<()>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin,
{
    match opened {
        Ok(opened) => {
            answer(&mut stream, &Ok(())).await?;
            join(stream, opened).await
        }
        Err(error) => answer(&mut stream, &Err(error)).await,
    }
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(CONNECT, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn engine_failure(agent: &Agent, error: &io::Error) -> String {
    let socket = agent.socket.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "The agent is connected, but there is no Docker socket at {socket} on the machine. Is Docker installed and running?"
        ),
        io::ErrorKind::ConnectionRefused => format!(
            "The agent is connected, but nothing listens at {socket} on the machine. Is Docker running?"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("The agent may not open {socket} on the machine. Run it as root.")
        }
        _ => format!("The agent cannot reach Docker at {socket} on the machine: {error}."),
    }
}
