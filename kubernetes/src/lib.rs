//! Kubernetes clusters: everything about them that needs neither the database nor the web server.

pub mod manifest;
pub mod render;
