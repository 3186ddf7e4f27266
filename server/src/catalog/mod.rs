//! The app catalog: templates with questions, from the binary, a folder or Git repositories. The
//! format is described in `docs/catalog.md`.

mod answers;
mod lint;
mod markdown;
mod model;
mod read;
mod refresh;
mod routes;
mod source;
mod store;

use indexmap::IndexMap;
use sqlx::PgPool;
use uuid::Uuid;

pub use answers::{Answers, check_answers};
pub use lint::lint;
pub use model::Question;
pub use refresh::start;
pub use routes::router;

/// A version with all that an install needs.
#[derive(Debug, Clone)]
pub struct ResolvedVersion {
    /// The form.
    pub questions: Vec<Question>,
    /// The Compose text.
    pub compose: String,
    /// What is new, Markdown.
    pub notes: String,
    /// Why this Drover cannot install it; absent when it can.
    pub incompatible: Option<String>,
}

/// A version of a template, if it is there.
pub async fn resolve(
    db: &PgPool,
    catalog_id: Uuid,
    template: &str,
    version: &str,
) -> sqlx::Result<Option<ResolvedVersion>> {
    let found = store::version(db, catalog_id, template, version).await?;
    Ok(found.map(|(version, compose)| ResolvedVersion {
        incompatible: version.incompatible(),
        notes: version.notes.get(model::ENGLISH).to_owned(),
        questions: version.questions,
        compose,
    }))
}

/// The newest version that an installed one can be upgraded to.
pub async fn upgrade_available(
    db: &PgPool,
    catalog_id: Uuid,
    template: &str,
    installed: &str,
) -> sqlx::Result<Option<String>> {
    let found = store::templates(db, Some(catalog_id), Some(template)).await?;
    let none = IndexMap::new();
    let versions = found.first().map_or(&none, |template| &template.versions);
    Ok(model::newest_upgrade(versions, installed))
}
