//! The audit log.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How an audited action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// It was done, or accepted as an operation.
    Success,
    /// It was refused: sign-in, role, CSRF.
    Denied,
    /// It failed.
    Failure,
}

/// Who did what to which object, from where, and how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// The entry's id.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Who; absent when nobody was signed in, or Drover itself acted.
    pub actor_id: Option<Uuid>,
    /// The login that was used or tried; `system` for Drover itself.
    pub actor: String,
    /// The API key that was used, if one was.
    pub api_key_id: Option<Uuid>,
    /// e.g. `stack.install`, `session.create`
    pub action: String,
    /// e.g. `stack`, `user`
    pub target_kind: Option<String>,
    /// The object's id.
    pub target_id: Option<String>,
    /// The object's name, as it was then.
    pub target_name: Option<String>,
    /// The environment that it happened in.
    pub environment_id: Option<Uuid>,
    /// The address that the request came from.
    pub address: Option<String>,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// More about it; never a secret.
    pub detail: serde_json::Value,
    /// The request, to find it in the server's log.
    pub request_id: Option<String>,
}
