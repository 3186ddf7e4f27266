//! `drover catalog lint`.

use std::path::Path;

use drover_api::CatalogProblem;

use super::{read, source};

/// What is wrong with a catalog's folder.
pub fn lint(
    directory: &Path,
) -> Result<Vec<CatalogProblem>, Box<dyn std::error::Error + Send + Sync>> {
    Ok(read::catalog(&source::directory(directory)?).problems)
}
