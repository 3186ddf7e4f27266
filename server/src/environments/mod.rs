//! Environments and their members.

mod overview;
mod routes;
mod store;

pub use routes::router;
pub use store::ensure_default;
