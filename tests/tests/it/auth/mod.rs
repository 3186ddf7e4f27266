//! Signing in with accounts of a company: each kind of identity provider against a real one, by
//! itself and through the server.

mod active_directory;
pub mod company;
mod directory;
mod github;
mod ldap;
mod openid;
mod redirect;
mod scim;
mod shell;
