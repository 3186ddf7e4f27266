//! The app catalog, as far as stacks need it.

use std::collections::BTreeSet;

use drover_api::{FieldError, Question};
use indexmap::IndexMap;
use sqlx::PgPool;
use uuid::Uuid;

/// Answers, checked and completed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The value of each variable.
    pub values: IndexMap<String, String>,
    /// The names of those that are secret.
    pub secret: BTreeSet<String>,
}

/// A version with all that an install needs.
#[derive(Debug, Clone)]
pub struct ResolvedVersion {
    /// The form.
    pub questions: Vec<Question>,
    /// The Compose text.
    pub compose: String,
    /// What is new, Markdown.
    pub notes: String,
}

/// A version of a template, if it is there.
pub async fn resolve(
    _: &PgPool,
    _: Uuid,
    _: &str,
    _: &str,
) -> sqlx::Result<Option<ResolvedVersion>> {
    Ok(None)
}

/// Checks answers and completes them.
pub fn check_answers(
    _: &[Question],
    _: &IndexMap<String, serde_json::Value>,
    _: Option<&IndexMap<String, String>>,
) -> Result<Answers, Vec<FieldError>> {
    Ok(Answers::default())
}

/// The newest version that an installed one can be upgraded to.
pub async fn upgrade_available(
    _: &PgPool,
    _: Uuid,
    _: &str,
    _: &str,
) -> sqlx::Result<Option<String>> {
    Ok(None)
}
