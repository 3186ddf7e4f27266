//! Users and principals.

use crate::{GlobalRole, Identity, Timestamp, nullable};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Whether a user may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum UserState {
    /// May sign in.
    Active,
    /// May not sign in; sessions and API keys do not work.
    Inactive,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    /// The user's id.
    pub id: Uuid,
    /// The name to sign in with.
    pub login: String,
    /// Shown in lists.
    pub display_name: String,
    /// Where to write to.
    pub email: Option<String>,
    /// What the user may do outside of environments.
    pub global_role: GlobalRole,
    /// Whether the user may sign in.
    pub state: UserState,
    /// The principal that names the user itself: `local_user://…`.
    pub principal_id: String,
    /// Whether the user can sign in with a password of Drover's own.
    pub has_password: bool,
    /// The user's accounts at identity providers.
    pub identities: Vec<Identity>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last signed in.
    pub last_sign_in_at: Option<Timestamp>,
    /// Grows with each change; the `ETag`.
    pub version: i64,
}

/// `POST /v1/users`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateUser {
    /// 1 to 64 characters: letters, digits, `.`, `_`, `-`, `@`; not case sensitive.
    pub login: String,
    /// Shown in lists; the login when absent.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Where to write to.
    #[serde(default)]
    pub email: Option<String>,
    /// 10 to 256 characters.
    pub password: String,
    /// `user` when absent.
    #[serde(default)]
    pub global_role: Option<GlobalRole>,
}

/// `PATCH /v1/users/{user_id}`: what is absent stays.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateUser {
    /// Shown in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Where to write to; `null` clears it.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    pub email: Option<Option<String>>,
    /// What the user may do outside of environments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_role: Option<GlobalRole>,
    /// Whether the user may sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<UserState>,
    /// A new password; ends the user's sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// Whether a principal is one person or many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// One person.
    User,
    /// A group, team or organisation.
    Group,
}

/// A user or group as an identity provider names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Principal {
    /// `local_user://USER`, or `SCHEME://PROVIDER/ID`, e.g. `ldap_group://0190…/6f1c…`.
    pub id: String,
    /// One person or many.
    pub kind: PrincipalKind,
    /// The kind of identity provider: `local`, or a [`ProviderKind`](crate::ProviderKind).
    pub provider: String,
    /// The identity provider; absent for local accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<Uuid>,
    /// What that is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_name: Option<String>,
    /// Shown in lists.
    pub name: String,
    /// The login, for a user.
    pub login: Option<String>,
    /// Where it is, to tell it from others of its name: a DN, `organisation/team`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
