//! Kubernetes clusters: everything about them that needs neither the database nor the web server.

pub mod client;
pub mod discovery;
pub mod facts;
pub mod index;
pub mod manifest;
pub mod provider;
pub mod render;
pub mod roles;
pub mod rollout;
