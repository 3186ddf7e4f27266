//! `drover agent`: runs on a host or in a cluster, dials out to the server, and carries the Docker or
//! Kubernetes API back through that connection.
//!
//! | part | what |
//! | --- | --- |
//! | [`options`](Options) | the command line |
//! | [`state`] | what it keeps on disk: who it is, and how it stands |
//! | `register` | becomes a host, once |
//! | [`connect`] | dials, greets, dials again |
//! | `serve` | the streams that the server opens |
//! | `in_cluster` | the API server of the cluster that it is in, and its account there |
//! | `usage` | what the machine uses |
//! | `upgrade` | becomes a newer version |
//! | [`status`] | `drover agent status` |
//!
//! It holds nothing that matters: containers are Docker's, and go on whatever happens to it.

pub mod connect;
mod in_cluster;
mod options;
mod register;
mod serve;
pub mod state;
pub mod status;
mod upgrade;
mod usage;

use std::{io, path::PathBuf, sync::Arc};

pub use connect::keep_connected;
pub use in_cluster::InCluster;
pub use options::{Options, STATE_DIR};
use ring::signature::Ed25519KeyPair;
use uuid::Uuid;

use crate::{agents::version, tunnel::dial::ServerDialer};
use state::{Identity, Stand};

/// What an agent gives its server the way to.
pub enum Serves {
    /// The Docker Engine at this socket.
    Docker(PathBuf),
    /// The cluster that it runs in.
    Kubernetes(InCluster),
}

/// An agent that knows who it is.
pub struct Agent {
    /// The server's address.
    pub server: String,
    /// Dials it.
    pub dialer: ServerDialer,
    /// The host or cluster that it is.
    pub host_id: Uuid,
    /// Proves it.
    pub key: Ed25519KeyPair,
    /// What it gives its server the way to.
    pub serves: Serves,
    /// Names this process.
    pub process: Uuid,
    /// This build's version.
    pub version: String,
    /// The oldest and the newest protocol that it speaks.
    pub protocols: (u32, u32),
    /// The machine's own name.
    pub hostname: String,
    /// Whose disk use is told: the one that holds this folder.
    pub disk: PathBuf,
    /// How it stands, for `drover agent status`.
    pub stand: Stand,
    /// How it was started, to start it anew.
    pub options: Option<Options>,
}

impl Agent {
    /// From what is kept on disk.
    ///
    /// # Errors
    /// In words.
    pub fn new(options: &Options, identity: &Identity) -> io::Result<Self> {
        let server = options.server.clone().unwrap_or_else(|| identity.server.clone());
        Ok(Self {
            dialer: options.dialer(&server)?,
            server,
            host_id: identity.host_id,
            key: identity.key()?,
            serves: options.serves()?,
            process: Uuid::new_v4(),
            version: options.pretend_version.clone().unwrap_or_else(|| version::VERSION.into()),
            protocols: options
                .pretend_protocol
                .map_or((version::OLDEST_PROTOCOL, version::PROTOCOL), |only| (only, only)),
            hostname: hostname(),
            disk: options.state_dir.clone(),
            stand: Stand::in_folder(&options.state_dir, identity, options.docker_socket()),
            options: Some(options.clone()),
        })
    }
}

/// Registers if need be, and runs until it is told to end.
///
/// # Errors
/// In words, for what a person must mend before it can run at all.
pub async fn run(options: Options) -> io::Result<()> {
    let identity = register::ensure(&options).await?;
    let agent = Arc::new(Agent::new(&options, &identity)?);
    tracing::info!(server = %agent.server, host_id = %agent.host_id, "the agent starts");
    tokio::select! {
        () = keep_connected(agent.clone()) => {}
        () = crate::shutdown() => {}
    }
    agent.stand.ended();
    Ok(())
}

/// Registers if need be, and says as which host.
///
/// # Errors
/// In words.
pub async fn register(options: Options) -> io::Result<Identity> {
    register::ensure(&options).await
}

/// The machine's own name.
pub fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "host".into())
}
