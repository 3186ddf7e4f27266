//! Signing in with accounts of a company: each kind of identity provider against a real one.

mod active_directory;
mod ldap;
