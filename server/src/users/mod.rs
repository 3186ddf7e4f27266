//! Users and principals.

mod link;
mod model;
mod routes;
mod store;

pub use model::{NewUser, PrincipalRow, validate};
pub use routes::router;
pub(crate) use store::ensure_local_principal;
pub use store::{active, get, has_principal, insert, known_principals};
