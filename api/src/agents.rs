//! The agents of hosts: `drover agent` dials out to the server and carries the host's Docker API
//! back through that connection.

use crate::Timestamp;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a host's agent is, as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostAgent {
    /// The agent's version, e.g. `0.1.0`; empty until it has connected once.
    pub version: String,
    /// How that stands to the server's own.
    pub fit: AgentFit,
    /// True while its tunnel is open, on whichever replica of the server.
    pub connected: bool,
    /// When its tunnel was opened or, while it is away, when it was last heard of.
    pub since: Option<Timestamp>,
    /// From where it dials, as the server sees it.
    pub address: Option<String>,
    /// The newest upgrade that was asked for.
    pub upgrade: Option<AgentUpgrade>,
    /// Another machine has tried to connect with this host's key, and was refused.
    pub clone: Option<AgentClone>,
}

/// Whether an agent of this version works with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentFit {
    /// It has the server's own version.
    Current,
    /// It works, and a newer one is offered.
    Outdated,
    /// It is too old for this server and is refused until it is upgraded.
    TooOld,
    /// It is newer than the server, which is fine.
    Newer,
    /// It has not connected yet.
    Unknown,
}

/// An upgrade of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentUpgrade {
    /// The version that it is to have.
    pub version: String,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Why it did not work, in words; absent while it is under way and when it has worked.
    pub error: Option<String>,
}

/// A machine that has tried to connect with the key of a host which is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentClone {
    /// When it last tried.
    pub at: Timestamp,
    /// From where.
    pub address: String,
    /// Its own name.
    pub hostname: String,
}

/// What is in use on the whole machine, as its agent measures it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MachineUsage {
    /// CPU of all that runs on it, in cores.
    pub cpu: f64,
    /// Memory that is not available to new programs, bytes.
    pub memory: u64,
    /// In use on the disk that holds Docker's data, bytes.
    pub disk: u64,
    /// The size of that disk, bytes.
    pub disk_total: u64,
    /// Received over all network cards, bytes a second.
    pub received: f64,
    /// Sent, bytes a second.
    pub sent: f64,
    /// The load averages of 1, 5 and 15 minutes.
    pub load: [f64; 3],
}

/// `POST /v1/environments/{environment_id}/registration-tokens`: what lets machines in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateRegistrationToken {
    /// For people, at most 64 characters; may be empty.
    #[serde(default)]
    pub name: String,
    /// From now on, 1 to 8,760.
    pub expires_in_hours: u32,
    /// How many hosts it may bring, 1 to 10,000; absent: any number.
    #[serde(default)]
    pub most_hosts: Option<u32>,
    /// The labels of the hosts that come by it.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
}

/// Whether a registration token still lets hosts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RegistrationTokenState {
    /// It does.
    Active,
    /// Its time is over.
    Expired,
    /// It has brought as many hosts as it may.
    UsedUp,
    /// A person has ended it.
    Revoked,
}

/// A registration token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegistrationToken {
    /// The token's id.
    pub id: Uuid,
    /// For people; may be empty.
    pub name: String,
    /// The beginning of the secret, to tell tokens apart.
    pub prefix: String,
    /// Whether it still lets hosts in.
    pub state: RegistrationTokenState,
    /// The labels of the hosts that come by it.
    pub labels: IndexMap<String, String>,
    /// How many hosts it may bring.
    pub most_hosts: Option<u32>,
    /// How many it has brought.
    pub hosts: u32,
    /// Who made it: the login.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its time is over.
    pub expires_at: Timestamp,
}

/// A new registration token: the only time that its secret is shown.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedRegistrationToken {
    /// What lists show.
    pub token: RegistrationToken,
    /// `drvreg_…`
    pub secret: String,
    /// The ways to start the agent with it.
    pub commands: AgentCommands,
}

/// What to paste on the machine, as root. Each has the token in it.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentCommands {
    /// One line: downloads the script from this server, which downloads the agent, checks it, and
    /// sets it up as a service.
    pub script: String,
    /// The agent as a container.
    pub docker: String,
    /// The binary by hand: download, check, run. Several lines.
    pub binary: String,
}

/// `POST /v1/agents/register`: what the agent says of itself when it comes with a token.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterAgent {
    /// `drvreg_…`
    pub token: String,
    /// Its Ed25519 public key, 32 bytes in base64. The private key never leaves the machine.
    pub public_key: String,
    /// The wanted name of the host; made unique by a number if it is taken.
    pub name: String,
    /// The agent's version.
    pub version: String,
    /// More labels for the host.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
    /// The key's signature under `drover agent register\n` and the token, in base64: nobody can
    /// register a key that is not theirs.
    pub signature: String,
}

/// The answer to [`RegisterAgent`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisteredAgent {
    /// The host that the agent is now.
    pub host_id: Uuid,
    /// Its name.
    pub name: String,
    /// The name of its environment.
    pub environment: String,
}
