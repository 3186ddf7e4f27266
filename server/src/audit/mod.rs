//! The audit log: who did what to which object from where, and how it ended. Append-only.
//!
//! The access middleware writes an entry for every route with an action; handlers add what only
//! they know through the [`Note`] of the request.

mod note;
mod routes;
mod store;

pub use note::Note;
pub use routes::router;
pub use store::{NewEntry, append};
