//! Kubernetes clusters: everything about them that needs neither the database nor the web server.

pub mod certificates;
pub mod client;
pub mod discovery;
pub mod drain;
pub mod facts;
pub mod health;
pub mod index;
pub mod manifest;
pub mod objects;
pub mod picture;
pub mod pod_security;
pub mod provider;
pub mod render;
pub mod roles;
pub mod rollout;
pub mod schema;
pub mod standing;
pub mod target;
