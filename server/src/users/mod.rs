//! Users and principals.

mod model;
mod routes;
mod store;

pub use model::{NewUser, PrincipalRow, validate};
pub use routes::router;
pub use store::{get, insert};
