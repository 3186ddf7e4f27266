//! All integration tests, in one binary: linking is what takes long.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod agents;
mod api;
mod auth;
mod bad_days;
mod browser;
mod cattle;
mod docker_cli;
mod hosts;
mod kubernetes;
mod lan;
mod session;
mod stacks;
mod start;
mod swarm;
