//! Identity providers: directories and sign-in services beside the local accounts.
//!
//! [`provider`] is the seam; one module each stands behind it. [`tls`] is how all of them trust
//! servers.

pub mod active_directory;
pub mod ldap;
mod provider;
mod tls;

pub use provider::*;
