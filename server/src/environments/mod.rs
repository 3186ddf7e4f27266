//! Environments and their members.

mod overview;
mod removal;
mod routes;
mod store;

pub use removal::run as finish_removals;
pub use routes::router;
pub use store::ensure_default;
