//! Roles, and what they may do.

use serde::{Deserialize, Serialize};

/// What a member may do in an environment. Ordered: each role may do all that the ones before it
/// may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything but secret values; reads logs.
    Readonly,
    /// Stacks, services, containers, volumes, secrets, certificates, registries.
    Restricted,
    /// And hosts, infrastructure, and containers that could take over a host.
    Member,
    /// And members, roles, and the environment itself.
    Owner,
}

impl Role {
    /// All roles, weakest first.
    pub const ALL: [Role; 4] = [Role::Readonly, Role::Restricted, Role::Member, Role::Owner];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Readonly => "readonly",
            Role::Restricted => "restricted",
            Role::Member => "member",
            Role::Owner => "owner",
        }
    }

    /// The inverse of [`Role::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// What a user may do outside of environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum GlobalRole {
    /// May do what environments grant.
    User,
    /// May do everything, in every environment.
    Admin,
}

impl GlobalRole {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            GlobalRole::User => "user",
            GlobalRole::Admin => "admin",
        }
    }

    /// The inverse of [`GlobalRole::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::User, Self::Admin].into_iter().find(|role| role.as_str() == name)
    }
}

/// Something that a role allows in an environment. Which role allows what is the server's
/// `access` table; [`Environment::permissions`](crate::Environment) tells the caller's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// See everything but secret values; read logs.
    View,
    /// Work with stacks, services, containers, exec, volumes, images, secrets, registries.
    Deploy,
    /// Add, edit, drain and remove hosts; networks; infrastructure.
    ManageHosts,
    /// Run containers that could take over a host.
    HostTakeover,
    /// Members and roles; edit or delete the environment.
    ManageEnvironment,
}
