//! Who did what: the audit log, for tests to read.

use std::sync::{Mutex, PoisonError};

/// One request in the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who asked.
    pub user: String,
    /// The groups of who asked.
    pub groups: Vec<String>,
    /// As whom.
    pub impersonated: Option<String>,
    /// With which groups.
    pub impersonated_groups: Vec<String>,
    /// `get`, `list`, …
    pub verb: String,
    /// The API group.
    pub group: String,
    /// The plural, with its part; or nothing.
    pub resource: String,
    /// The namespace, or nothing.
    pub namespace: String,
    /// The object, or nothing.
    pub name: String,
    /// The address with its query.
    pub uri: String,
    /// The answer's status.
    pub code: u16,
}

/// The newest entries.
#[derive(Debug, Default)]
pub struct Log(Mutex<Vec<Entry>>);

/// How many are kept.
const MOST: usize = 20_000;

impl Log {
    /// Adds one.
    pub fn add(&self, entry: Entry) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST {
            entries.drain(..MOST / 2);
        }
        entries.push(entry);
    }

    /// All of them, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets them.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
