//! Users and principals.

mod link;
mod model;
mod routes;
mod store;

pub use model::{NewUser, PrincipalRow, validate};
pub use routes::router;
pub use store::{get, has_principal, insert, known_principals};
