//! The way to a host's agent, wherever its tunnel ends.

use std::{
    collections::HashMap,
    fmt, io,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::AbortHandle,
};
use uuid::Uuid;

use super::{Mux, Target, peers::Peers, store, target::Request};
use crate::secrets::Cipher;

/// What bytes go both ways through.
pub trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// A stream, whatever it goes through.
pub type Stream = Pin<Box<dyn Duplex>>;

const NOT_CONNECTED: &str =
    "The agent is not connected. `drover agent status` on the machine says what is wrong.";

/// The tunnels that end on this replica, and the ways to all others. Cheap to clone.
#[derive(Clone)]
pub struct Tunnels(Arc<Inner>);

struct Inner {
    db: PgPool,
    replica: Uuid,
    local: RwLock<HashMap<Uuid, Tunnel>>,
    peers: Peers,
}

/// A tunnel that ends here.
#[derive(Clone)]
pub struct Tunnel {
    /// Names this very connection.
    pub id: Uuid,
    /// The agent's process.
    pub process: Uuid,
    /// Opens streams through it.
    pub mux: Mux,
    /// Ends it.
    pub driver: AbortHandle,
}

impl Tunnels {
    /// None yet.
    pub fn new(db: PgPool, replica: Uuid, cipher: Arc<Cipher>) -> Self {
        let peers = Peers::new(replica, cipher);
        Self(Arc::new(Inner { db, replica, local: RwLock::default(), peers }))
    }

    /// The way to a host's agent.
    pub fn way(&self, host: Uuid) -> Way {
        Way { tunnels: self.clone(), host }
    }

    /// The other replicas.
    pub(super) fn peers(&self) -> &Peers {
        &self.0.peers
    }

    /// A host's tunnel, if it ends here.
    pub fn local(&self, host: Uuid) -> Option<Tunnel> {
        self.0.local.read().unwrap_or_else(PoisonError::into_inner).get(&host).cloned()
    }

    /// The hosts whose tunnels end here.
    pub fn local_hosts(&self) -> Vec<(Uuid, Tunnel)> {
        let local = self.0.local.read().unwrap_or_else(PoisonError::into_inner);
        local.iter().map(|(host, tunnel)| (*host, tunnel.clone())).collect()
    }

    /// A tunnel has been opened: takes the place of an earlier one of the host, which ends.
    ///
    /// # Errors
    /// The database's, for what the other replicas are to know.
    pub async fn opened(&self, host: Uuid, tunnel: Tunnel) -> sqlx::Result<()> {
        let (id, process) = (tunnel.id, tunnel.process);
        let earlier =
            self.0.local.write().unwrap_or_else(PoisonError::into_inner).insert(host, tunnel);
        if let Some(earlier) = earlier {
            earlier.driver.abort();
        }
        store::claim(&self.0.db, host, self.0.replica, id, process).await
    }

    /// A tunnel has ended; false when another one has taken its place here already.
    ///
    /// # Errors
    /// The database's.
    pub async fn ended(&self, host: Uuid, id: Uuid) -> sqlx::Result<bool> {
        let ours = {
            let mut local = self.0.local.write().unwrap_or_else(PoisonError::into_inner);
            let ours = local.get(&host).is_some_and(|tunnel| tunnel.id == id);
            if ours {
                local.remove(&host);
            }
            ours
        };
        store::release(&self.0.db, id).await?;
        Ok(ours)
    }

    /// Ends all tunnels that end here: this replica stops, and agents are to go elsewhere.
    pub fn cut_all(&self) {
        self.local_hosts().iter().for_each(|(_, tunnel)| tunnel.driver.abort());
    }

    /// Ends a host's tunnel, if it ends here: the agent connects anew.
    pub fn cut(&self, host: Uuid) {
        if let Some(tunnel) = self.local(host) {
            tunnel.driver.abort();
        }
    }
}

/// The way to the agent of one host. Cheap to clone.
#[derive(Clone)]
pub struct Way {
    tunnels: Tunnels,
    host: Uuid,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Way(agent of {})", self.host)
    }
}

impl Way {
    /// Opens a stream to the agent.
    ///
    /// # Errors
    /// `NotConnected` when the agent has no tunnel; else what the agent or the replica on the way
    /// says. The message is for people.
    pub async fn open(&self, target: &Target) -> io::Result<Stream> {
        if let Some(tunnel) = self.tunnels.local(self.host) {
            let stream = tunnel.mux.open(&Request::new(target.clone())).await?;
            return Ok(Box::pin(stream));
        }
        let inner = &self.tunnels.0;
        let not_connected = || io::Error::new(io::ErrorKind::NotConnected, NOT_CONNECTED);
        let end = store::end_of(&inner.db, self.host).await.map_err(io::Error::other)?;
        let end = end.filter(|end| end.replica != inner.replica).ok_or_else(not_connected)?;
        let mux = inner.peers.mux(end.replica, &end.address).await?;
        let request = Request { host: Some(self.host), target: target.clone() };
        Ok(Box::pin(mux.open(&request).await?))
    }

    /// Whether the agent answers within `limit`.
    pub async fn is_alive(&self, limit: Duration) -> bool {
        self.why_not(limit).await.is_none()
    }

    /// Why the agent does not answer within `limit`; `None` when it does.
    pub async fn why_not(&self, limit: Duration) -> Option<String> {
        match tokio::time::timeout(limit, self.open(&Target::Ping)).await {
            Ok(answer) => answer.err().map(|error| error.to_string()),
            Err(_) => Some("The agent does not answer.".to_owned()),
        }
    }
}

/// What a replica does with a stream that another one has opened: goes on through the tunnel that
/// ends here.
pub(super) async fn forward(tunnels: Tunnels, mut from: super::mux::MuxStream) -> io::Result<()> {
    let request = super::mux::read_request(&mut from).await?;
    let tunnel = request.host.and_then(|host| tunnels.local(host));
    let opened = match tunnel {
        Some(tunnel) => tunnel.mux.open(&Request::new(request.target)).await,
        None => Err(io::Error::new(io::ErrorKind::NotConnected, NOT_CONNECTED)),
    };
    match opened {
        Ok(to) => {
            super::mux::answer(&mut from, &Ok(())).await?;
            super::mux::join(from, to).await
        }
        Err(error) => super::mux::answer(&mut from, &Err(error)).await,
    }
}
