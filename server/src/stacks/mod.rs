//! Stacks: installed applications. What people want of one is a row and its revisions; the engine
//! behind [`crate::clusters::Orchestrator`] makes it so.

mod compile;
mod model;
mod rollout;
mod routes;
mod store;
mod summary;
mod upgrade;
mod view;

pub use compile::{Wanted, WantedFile};
pub use model::{Desired, StackRow};
pub use rollout::{rollout_failed, rollout_succeeded};
pub use routes::{describe, load, router};
pub use store::{
    delete as delete_row, find as find_row, in_active_environments, names, remove_all,
    set_problems, wanted,
};
pub use summary::{ServiceStanding, Standing};
pub use view::Projects;
pub(crate) use view::all;
