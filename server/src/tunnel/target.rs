//! Where in a host a stream through its tunnel ends.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Where a stream ends. The first line of each stream, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum Target {
    /// The Docker Engine's socket.
    Docker,
    /// An address that the host reaches, e.g. a container's, for health checks.
    Tcp {
        /// The address.
        address: SocketAddr,
    },
}
