//! What a handler adds to its request's audit entry.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{extract::FromRequestParts, http::request::Parts};
use drover_api::AuditOutcome;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::Error;

/// What a handler adds to its request's audit entry. Never put a secret into it.
#[derive(Debug, Clone, Default)]
pub struct Note(Arc<Mutex<Noted>>);

/// What was noted.
#[derive(Debug, Clone, Default)]
pub struct Noted {
    pub(crate) action: Option<&'static str>,
    pub(crate) environment_id: Option<Uuid>,
    pub(crate) actor_id: Option<Uuid>,
    pub(crate) actor: Option<String>,
    pub(crate) target_kind: Option<String>,
    pub(crate) target_id: Option<String>,
    pub(crate) target_name: Option<String>,
    pub(crate) detail: Map<String, Value>,
    pub(crate) outcome: Option<AuditOutcome>,
}

impl Note {
    fn with(&self, change: impl FnOnce(&mut Noted)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Who acted, where nobody was signed in before (sign-in, set-up).
    pub fn actor(&self, id: Option<Uuid>, login: &str) {
        let login: String = login.chars().take(64).collect();
        self.with(|noted| (noted.actor_id, noted.actor) = (id, Some(login)));
    }

    /// Where, when the path does not say.
    pub fn environment(&self, id: Uuid) {
        self.with(|noted| noted.environment_id = Some(id));
    }

    /// What was done, and where, when the path alone does not say. `kind` is what it was done to.
    pub fn action(&self, action: &'static str, kind: &str, environment_id: Uuid) {
        self.with(|noted| {
            noted.action = Some(action);
            noted.target_kind = Some(kind.to_owned());
            noted.environment_id = Some(environment_id);
        });
    }

    /// The same, where no environment is meant, or it is told by [`Note::environment`].
    pub fn named_action(&self, action: &'static str, kind: &str) {
        self.with(|noted| {
            noted.action = Some(action);
            noted.target_kind = Some(kind.to_owned());
        });
    }

    /// How it ended, where the answer's status does not say (redirections).
    pub fn outcome(&self, outcome: AuditOutcome) {
        self.with(|noted| noted.outcome = Some(outcome));
    }

    /// What it was done to, where the path does not say (creations).
    pub fn target(&self, id: impl ToString, name: &str) {
        self.with(|noted| {
            noted.target_id = Some(id.to_string());
            noted.target_name = Some(name.to_owned());
        });
    }

    /// More about it; never a secret.
    pub fn detail(&self, key: &str, value: impl Into<Value>) {
        self.with(|noted| {
            noted.detail.insert(key.to_owned(), value.into());
        });
    }

    /// What [`Note::action`] was told.
    pub(crate) fn named(&self) -> Option<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).action
    }

    pub(crate) fn take(&self) -> Noted {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Note {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get().cloned().ok_or_else(|| Error::internal("no audit note"))
    }
}
