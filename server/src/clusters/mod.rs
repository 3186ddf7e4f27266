//! Clusters: the control planes that schedule containers. Stacks, catalog, API and app speak to
//! [`Orchestrator`] and never ask which one stands behind it.

pub mod cattle;

use std::sync::Arc;

use uuid::Uuid;

use crate::{app::App, hosts::index::Entry};

/// A control plane. What is wanted is in PostgreSQL; an orchestrator makes it so by itself, and
/// says what it sees.
pub trait Orchestrator: Send + Sync {
    /// What is wanted of a stack has changed: look now rather than in a while.
    fn wake(&self, environment_id: Uuid, stack_id: Uuid);

    /// The containers of a stack, as they are now. Logs, shells and measurements of each go by
    /// its host and id.
    fn observe(&self, environment_id: Uuid, stack_id: Uuid) -> Vec<Arc<Entry>>;
}

/// Starts the engines' tasks.
pub fn start(app: &App) {
    cattle::start(app);
}
