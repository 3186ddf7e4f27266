//! The catalog: sources of templates, their versions, the questions before an install.
//!
//! What a source has is read into PostgreSQL, so that all replicas agree; `refresh` does that and
//! is the only one that writes it. Stacks come in by [`resolve`], [`check_answers`] and
//! [`upgrade_available`].

mod answers;
mod lint;
mod markdown;
mod model;
mod read;
mod refresh;
mod routes;
mod source;
mod store;
mod version;

use std::path::Path;

use sqlx::PgPool;
use uuid::Uuid;

pub use answers::{Answers, check_answers};
pub use model::Question;
pub use refresh::start;
pub use routes::router;
pub use version::can_upgrade;

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
    /// The range of versions that can be upgraded to it in one step; absent: every older one.
    pub upgrade_from: Option<String>,
}

/// A version of a template, if it is there.
pub async fn resolve(
    db: &PgPool,
    catalog_id: Uuid,
    template: &str,
    version: &str,
) -> sqlx::Result<Option<ResolvedVersion>> {
    let found = store::release(db, catalog_id, template, version).await?;
    Ok(found.map(|found| ResolvedVersion {
        incompatible: found.release.incompatible(),
        upgrade_from: found.release.upgrade_from,
        questions: found.release.questions,
        compose: found.compose,
        notes: found.release.notes.get("en").to_owned(),
    }))
}

/// The newest version that an installed one can be upgraded to.
pub async fn upgrade_available(
    db: &PgPool,
    catalog_id: Uuid,
    template: &str,
    installed: &str,
) -> sqlx::Result<Option<String>> {
    let releases = store::releases(db, Some(catalog_id), Some(template)).await?;
    let found = model::upgrade(installed, releases.iter().map(|row| &row.release));
    Ok(found.map(|release| release.version.clone()))
}

/// `drover catalog lint`: the problems of the catalog in a folder, one a line, and whether one is
/// an error.
pub fn lint_folder(folder: &Path) -> Result<(Vec<String>, bool), String> {
    let files = source::directory(folder).map_err(|error| error.to_string())?;
    let problems = lint::lint(&files);
    let wrong = problems.iter().any(|problem| problem.severity == read::Severity::Error);
    let lines = problems
        .iter()
        .map(|problem| {
            let kind = match problem.severity {
                read::Severity::Error => "",
                read::Severity::Warning => "warning: ",
            };
            let file = folder.join(&problem.file);
            format!("{}:{}: {kind}{}", file.display(), problem.line.max(1), problem.message)
        })
        .collect();
    Ok((lines, wrong))
}
