//! Who may do what. One table ([`table`]) says what each route needs, one middleware
//! ([`enforce`]) asks it; handlers get the [`Caller`] and the [`EnvironmentAccess`] that it found.

mod enforce;
mod identities;
mod store;
pub mod table;

use axum::{extract::FromRequestParts, http::request::Parts};
use drover_api::{ClusterKind, Environment, GlobalRole, Permission, Role};
use uuid::Uuid;

pub(crate) use enforce::require_active;
pub use enforce::{ClientAddress, enforce};
pub use identities::{Caller, Credential, Identities, Scope};
pub use table::{permissions, permits};

use crate::error::{Error, Result};

/// What the caller may do in the environment that the path names.
#[derive(Debug, Clone, Copy)]
pub struct EnvironmentAccess {
    /// The environment.
    pub id: Uuid,
    /// The caller's role in it.
    pub role: Role,
    /// Which control plane schedules its containers.
    pub cluster: ClusterKind,
}

impl EnvironmentAccess {
    /// Whether the caller may do this here.
    pub fn may(&self, permission: Permission) -> bool {
        permits(self.role, permission)
    }

    /// 403 unless the caller may do this here.
    pub fn require(&self, permission: Permission) -> Result<()> {
        if self.may(permission) { Ok(()) } else { Err(lacks(self.role, permission)) }
    }
}

/// The refusal for a role that does not permit something.
pub(crate) fn lacks(role: Role, permission: Permission) -> Error {
    let what = match permission {
        Permission::View => "see this environment",
        Permission::Deploy => "change stacks, containers, volumes or secrets",
        Permission::ManageHosts => "change hosts or networks",
        Permission::HostTakeover => "run containers that could take over a host",
        Permission::ManageEnvironment => "change the environment or its members",
    };
    Error::forbidden(format!(
        "Your role here, {}, may not {what}. Ask an owner of the environment.",
        role.as_str()
    ))
}

impl<S: Send + Sync> FromRequestParts<S> for EnvironmentAccess {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts.extensions.get().copied().ok_or_else(|| {
            Error::internal("a handler asks for an environment on a route without one")
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts.extensions.get().cloned().ok_or_else(Error::unauthenticated)
    }
}

impl Caller {
    /// The caller's role in an environment: the strongest that reaches them, cut down by the
    /// scope of the API key. `None`: they may not even know that it is there.
    pub fn role_in(&self, environment_id: Uuid) -> Option<Role> {
        let own = match self.global_role {
            GlobalRole::Admin => Some(Role::Owner),
            GlobalRole::User => self.roles.get(&environment_id).copied(),
        }?;
        if self.scope.environment_id.is_some_and(|only| only != environment_id) {
            return None;
        }
        Some(self.scope.role.map_or(own, |limit| own.min(limit)))
    }

    /// Whether this is all that `other` may do, and no more.
    pub fn has_rights_of(&self, other: &Self) -> bool {
        (self.global_role, &self.roles) == (other.global_role, &other.roles)
    }

    /// Whether the user has this permission in some environment, whatever the scope of the key.
    pub fn may_anywhere(&self, permission: Permission) -> bool {
        match self.global_role {
            GlobalRole::Admin => true,
            GlobalRole::User => self.roles.values().any(|role| permits(*role, permission)),
        }
    }

    /// Whether the caller acts as a global administrator: a scoped key never does.
    pub fn is_admin(&self) -> bool {
        self.global_role == GlobalRole::Admin && !self.scope.is_limited()
    }

    /// Fills in what an environment's answer says of the caller.
    pub fn fill(&self, environment: &mut Environment) {
        if let Some(role) = self.role_in(environment.id) {
            environment.role = role;
            environment.permissions = permissions(role);
        }
    }
}
