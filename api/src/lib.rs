//! The wire types of Drover's REST API, shared by the server, the browser app and the tests.
//!
//! Conventions: `snake_case` fields; times are RFC 3339 in UTC ([`Timestamp`]); ids are UUID v7,
//! so that they sort by creation time; lists are a [`List`]; errors are a [`Problem`]
//! (RFC 9457). Sizes are bytes and durations milliseconds unless a field's name says otherwise.
#![warn(missing_docs)]

mod access;
mod agents;
mod audit;
mod catalog;
mod common;
mod containers;
mod docker;
mod environments;
mod events;
mod hosts;
mod kubernetes;
mod objects;
mod operations;
mod providers;
mod session;
mod settings;
mod stacks;
mod swarm;
mod users;

pub use access::*;
pub use agents::*;
pub use audit::*;
pub use catalog::*;
pub use common::*;
pub use containers::*;
pub use docker::*;
pub use environments::*;
pub use events::*;
pub use hosts::*;
pub use kubernetes::*;
pub use objects::*;
pub use operations::*;
pub use providers::*;
pub use session::*;
pub use settings::*;
pub use stacks::*;
pub use swarm::*;
pub use users::*;
