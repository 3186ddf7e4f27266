//! Tunnels: the connections that agents have dialled, through which streams go to their hosts.
//!
//! A [`Way`] leads to one host's agent. Whoever opens a stream on it does not know whether the
//! tunnel ends here or on another replica of the server.

mod target;
mod way;

pub use target::Target;
pub use way::{Duplex, Stream, Tunnels, Way};
