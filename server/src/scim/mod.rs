//! SCIM 2.0 (RFC 7643, RFC 7644): an OpenID provider pushes its users and groups, and what becomes
//! of them, so that nobody keeps what the company has taken away until their next sign-in.
//!
//! [`schema`] is the table of attributes, [`model`] reads and shows resources, [`filter`] and
//! [`patch`] read the two small languages of the protocol; none of them does I/O. A pushed user is
//! a person of the provider, with the principal that signing in there would give; a pushed group
//! is a group of the provider. [`store`] keeps both, and what they bring.

mod auth;
mod error;
mod filter;
mod model;
mod patch;
mod routes;
mod schema;
mod store;

pub use auth::{Provisioner, TOKEN_PREFIX, admit};
pub use error::{ERROR_SCHEMA, shape};
pub use routes::router;
