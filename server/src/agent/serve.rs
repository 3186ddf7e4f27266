//! The streams that the server opens.

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{Agent, Serves, upgrade, usage};
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
            let Serves::Docker(socket) = &agent.serves else { return refuse(stream).await };
            let opened = within(UnixStream::connect(socket))
                .await
                .map_err(|error| io::Error::new(error.kind(), engine_failure(socket, &error)));
            relay(stream, opened).await
        }
        Target::Kubernetes => {
            let Serves::Kubernetes(cluster) = &agent.serves else { return refuse(stream).await };
            let opened = within(cluster.connect()).await.map_err(|error| {
                let why = format!(
                    "The agent is connected, but cannot reach the API server of its cluster at {}: {error}.",
                    cluster.address()
                );
                io::Error::new(error.kind(), why)
            });
            relay(stream, opened).await
        }
        Target::KubernetesAccount => {
            let Serves::Kubernetes(cluster) = &agent.serves else { return refuse(stream).await };
            match cluster.account().await {
                Ok(account) => {
                    answer(&mut stream, &Ok(())).await?;
                    stream.write_all(&serde_json::to_vec(&account)?).await?;
                    stream.shutdown().await
                }
                Err(error) => answer(&mut stream, &Err(error)).await,
            }
        }
        // Health checks of containers: a cluster makes its own.
        Target::Tcp { .. } | Target::Usage | Target::Upgrade { .. }
            if matches!(agent.serves, Serves::Kubernetes(_)) =>
        {
            refuse(stream).await
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

async fn refuse(mut stream: MuxStream) -> io::Result<()> {
    let why = io::Error::new(io::ErrorKind::Unsupported, "This agent has nothing of the kind.");
    answer(&mut stream, &Err(why)).await
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

fn engine_failure(socket: &Path, error: &io::Error) -> String {
    let socket = socket.display();
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
