//! The way to a host's agent.

use std::{fmt, io, pin::Pin};

use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

use super::Target;

/// What bytes go both ways through.
pub trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// A stream, whatever it goes through.
pub type Stream = Pin<Box<dyn Duplex>>;

/// All tunnels that end on this replica. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tunnels {}

impl Tunnels {
    /// The way to a host's agent.
    pub fn way(&self, host: Uuid) -> Way {
        Way { tunnels: self.clone(), host }
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
    /// Opens a stream to it.
    ///
    /// # Errors
    /// `NotConnected` when the agent has no tunnel, with what to do in the message.
    pub async fn open(&self, target: &Target) -> io::Result<Stream> {
        let _ = (&self.tunnels, target);
        Err(io::Error::new(io::ErrorKind::NotConnected, "The agent is not connected."))
    }
}
