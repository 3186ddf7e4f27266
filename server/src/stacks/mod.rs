//! Stacks: installed applications. What people want of one is a row and its revisions; the engine
//! behind [`crate::clusters::Orchestrator`] makes it so.

mod compile;
mod model;
mod routes;
mod store;
mod summary;
mod upgrade;

pub use compile::{Wanted, WantedFile};
pub use model::{Desired, StackRow};
pub(crate) use routes::all;
pub use routes::{describe, roll_back_to_last_good, router};
pub use store::{
    delete as delete_row, find as find_row, in_active_environments, set_outcome, wanted,
};
pub use summary::{ServiceStanding, Standing};
