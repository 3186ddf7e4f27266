//! Hosts: the Docker Engines that Drover reaches, and what is on them.
//!
//! [`driver`] speaks to one engine.

pub mod driver;
