//! What is wrong with a place in a text.

use serde::{Deserialize, Serialize};

/// How bad a [`Diagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is wrong.
    Error,
    /// It is right by the specification, but Drover does not support it.
    Unsupported,
    /// It works, but may not be what is meant.
    Warning,
}

/// Something about a place in a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// e.g. `services.web.build`
    pub path: String,
    /// Stable, for programs.
    pub code: String,
    /// What is wrong, and what would be right.
    pub message: String,
}
