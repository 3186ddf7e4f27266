//! Set-up, sign-in, the caller, API keys.

use crate::{GlobalRole, Role, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `GET /v1/setup`: whether the first administrator is still to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetupState {
    /// True until the first administrator exists.
    pub required: bool,
}

/// `POST /v1/setup`: makes the first administrator, and signs in.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetupRequest {
    /// The token of the set-up link that the server printed at its start.
    pub token: String,
    /// 1 to 64 characters: letters, digits, `.`, `_`, `-`, `@`.
    pub login: String,
    /// Shown in lists; the login when absent.
    #[serde(default)]
    pub display_name: Option<String>,
    /// 10 to 256 characters.
    pub password: String,
}

/// `POST /v1/session`: signs in with login and password.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignInRequest {
    /// The account's login.
    pub login: String,
    /// Its password.
    pub password: String,
    /// The directory that knows the account; absent for a local one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<Uuid>,
}

/// The answer to `DELETE /v1/session`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedOut {
    /// Where to send the browser to sign out of the identity provider too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
}

/// `GET /v1/session`: who the caller is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// The caller.
    pub user: SessionUser,
    /// For a browser session: send it as `X-CSRF-Token` with every write. Absent for API keys.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub csrf_token: Option<String>,
    /// For an API key: its id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub api_key_id: Option<Uuid>,
    /// When the session or key ends without further use.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<Timestamp>,
}

/// The caller, as [`Session`] shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionUser {
    /// The user's id.
    pub id: Uuid,
    /// The account's login.
    pub login: String,
    /// Shown in lists.
    pub display_name: String,
    /// What the user may do outside of environments.
    pub global_role: GlobalRole,
}

/// `PUT /v1/session/password`: changes the caller's own password; ends all other sessions.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangePassword {
    /// The present password.
    pub current_password: String,
    /// 10 to 256 characters.
    pub new_password: String,
}

/// One of the caller's browser sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BrowserSession {
    /// Names the session in `DELETE /v1/session/others/{id}`; not the secret of the cookie.
    pub id: Uuid,
    /// True for the one that asks.
    pub current: bool,
    /// When it signed in.
    pub created_at: Timestamp,
    /// When it was last seen (to the minute).
    pub last_seen_at: Timestamp,
    /// The address it signed in from.
    pub address: String,
    /// The browser, in its own words.
    pub user_agent: String,
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiKey {
    /// The key's id.
    pub id: Uuid,
    /// What the owner calls it.
    pub name: String,
    /// The first characters of the key, to recognise it by.
    pub prefix: String,
    /// When set, the key works in this environment only.
    pub environment_id: Option<Uuid>,
    /// When set, the key may do at most what this role may do, and nothing outside of
    /// environments.
    pub role: Option<Role>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used (to the minute).
    pub last_used_at: Option<Timestamp>,
    /// The address that last used it.
    pub last_used_address: Option<String>,
}

/// `POST /v1/api-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateApiKey {
    /// 1 to 64 characters.
    pub name: String,
    /// Limit the key to this environment.
    #[serde(default)]
    pub environment_id: Option<Uuid>,
    /// Limit the key to what this role may do.
    #[serde(default)]
    pub role: Option<Role>,
    /// When the key ends by itself.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// The answer to `POST /v1/api-keys`: the only time that the key itself is shown.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedApiKey {
    /// The key's data.
    #[serde(flatten)]
    pub key: ApiKey,
    /// `drv_…`: use as `Authorization: Bearer drv_…`.
    pub token: String,
}
