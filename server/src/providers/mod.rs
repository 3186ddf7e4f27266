//! Identity providers: directories and sign-in services beside the local accounts.
//!
//! [`provider`] is the seam; one module each stands behind it. [`tls`] is how all of them trust
//! servers, [`http`] how those that speak HTTP are asked.

pub mod github;
mod http;
pub mod openid;
mod provider;
mod renewed;
mod tls;

pub use provider::*;
