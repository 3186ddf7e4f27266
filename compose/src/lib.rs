//! The [Compose Specification](https://github.com/compose-spec/compose-spec) without I/O: read,
//! interpolate, check, compare.
//!
//! [`load`] turns a text into a [`Project`] or says, with line and column, what is wrong with it;
//! what Drover does not support is named, never dropped in silence. The crates that model Compose
//! files keep no positions, so the model here is our own.
#![warn(missing_docs)]

pub mod condition;
mod diagnostic;
pub mod interpolate;
mod manifests;
mod merge;
mod model;
mod read;
mod scheduling;
pub mod takeover;
mod units;
pub mod yaml;

pub use diagnostic::{Diagnostic, Severity};
pub use interpolate::{VariableUse, Variables};
pub use merge::{Change, Conflict, Merge, Side, merge3, unified_diff};
pub use model::*;
pub use scheduling::{Affinity, AffinityKind};
pub use takeover::Takeover;
pub use units::{parse_bytes, parse_duration_ms};

/// The largest text that [`load`] takes, bytes.
pub const LARGEST_SOURCE: usize = 1 << 20;

/// What [`load`] found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The project; absent when a diagnostic is an error or names something unsupported.
    pub project: Option<Project>,
    /// What is wrong or noteworthy, in the text's order.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a Compose text with its variables filled in. A text whose first document has an
/// `apiVersion` and a `kind` is Kubernetes manifests.
pub fn load(source: &str, variables: &dyn Variables) -> Loaded {
    let mut diagnostics = Vec::new();
    if let Some(documents) = manifests::recognise(source) {
        let project = manifests::project(documents, variables, &mut diagnostics);
        return finish(Some(project), diagnostics);
    }
    let project = match yaml::parse(source) {
        Ok(mut root) => {
            interpolate::fill(&mut root, variables, &mut diagnostics);
            read::drop_conditional(&mut root, variables);
            Some(read::project(&root, variables, &mut diagnostics))
        }
        Err(diagnostic) => {
            diagnostics.push(diagnostic);
            None
        }
    };
    finish(project, diagnostics)
}

fn finish(project: Option<Project>, mut diagnostics: Vec<Diagnostic>) -> Loaded {
    diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    let fatal = diagnostics.iter().any(|diagnostic| diagnostic.severity != Severity::Warning);
    Loaded { project: project.filter(|_| !fatal), diagnostics }
}

/// The variables that a text uses, in its order. Nothing for a text that is not YAML.
pub fn variables_used(source: &str) -> Vec<VariableUse> {
    if let Some(documents) = manifests::recognise(source) {
        return manifests::variables_used(&documents);
    }
    yaml::parse(source).map(|root| interpolate::uses(&root)).unwrap_or_default()
}
