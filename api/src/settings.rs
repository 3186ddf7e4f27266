//! The server's own settings and facts.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// `GET /v1/settings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerSettings {
    /// What this installation is called, on the sign-in page and in titles.
    pub instance_name: String,
    /// How often catalogs are read again, minutes.
    pub catalog_refresh_minutes: u32,
    /// How often groups are read from identity providers again, minutes.
    pub directory_refresh_minutes: u32,
    /// For how long the last known groups count when a provider does not answer, minutes.
    pub directory_grace_minutes: u32,
    /// Whether the agents of hosts become the server's version by themselves.
    pub agents_upgrade_themselves: bool,
    /// The server's version.
    pub version: String,
    /// The address that people open.
    pub public_url: String,
    /// True when the server runs its own private PostgreSQL.
    pub embedded_database: bool,
    /// The version of PostgreSQL.
    pub database_version: String,
    /// When this server was started.
    pub started_at: Timestamp,
}

/// `PATCH /v1/settings`: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateServerSettings {
    /// 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_name: Option<String>,
    /// 1 to 10,080.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_refresh_minutes: Option<u32>,
    /// 1 to 1,440.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory_refresh_minutes: Option<u32>,
    /// 1 to 43,200 (30 days), and not less than the refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory_grace_minutes: Option<u32>,
    /// Whether the agents of hosts become the server's version by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents_upgrade_themselves: Option<bool>,
}
