//! Where a stream through a tunnel ends.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The first line of each stream, as JSON. The answer is a line too: empty, or why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Between replicas of the server: through the tunnel of which host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Uuid>,
    /// Where it is to end.
    #[serde(flatten)]
    pub target: Target,
}

impl Request {
    /// To the agent itself.
    pub fn new(target: Target) -> Self {
        Self { host: None, target }
    }
}

/// Where a stream ends.
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
    /// The agent's measurements: a line of JSON ([`Measured`]) every few seconds.
    Usage,
    /// The API server of the Kubernetes cluster that the agent is in: bytes, TLS and all.
    Kubernetes,
    /// A line of JSON ([`KubernetesAccount`]): as whom the agent may speak to it.
    KubernetesAccount,
    /// Nowhere: the answer alone tells that the agent is there.
    Ping,
    /// A newer agent, which the agent fetches from its server and becomes. Lines of text tell what
    /// it does; the last one is `error: …` or the stream's end.
    Upgrade {
        /// The version that it is to have.
        version: String,
    },
}

/// What an agent measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The whole machine.
    pub machine: drover_api::MachineUsage,
    /// All containers together, where the kernel counts them in one place.
    pub containers: Option<ContainersUsage>,
}

/// What all containers of a host use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ContainersUsage {
    /// In cores.
    pub cpu: f64,
    /// Without page cache that can be dropped, bytes.
    pub memory: u64,
}

/// The service account that an agent has in its cluster. Its token is renewed by the cluster every
/// hour or so.
#[derive(Clone, Serialize, Deserialize)]
pub struct KubernetesAccount {
    /// The authority that has signed the API server's certificate, PEM.
    pub ca_pem: String,
    /// The token.
    pub token: String,
}
