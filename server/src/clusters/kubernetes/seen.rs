//! What of a cluster is kept in the database, to be shown while it is away.

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// E.g. `v1.33.2`.
    pub version: Option<String>,
    /// Guessed.
    pub provider: Option<String>,
    pub nodes: u32,
    pub nodes_ready: u32,
    pub pods: u32,
}
