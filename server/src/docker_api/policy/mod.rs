//! What each route of the Docker Engine's API is, and who may call it: pure, without I/O.
//!
//! | part | what |
//! | --- | --- |
//! | [`address`] | takes the path and query of a call apart, and puts them together again |
//! | [`table`] | the routes: what each needs, and what else is looked at |
//! | [`body`] | the options in bodies that could take over a host |
//! | [`hide`] | takes secret values out of answers |
//!
//! What is sent on is always what was checked: the path, the query and an inspected body are put
//! together anew from what was read, and what could be read in two ways is refused.

pub mod address;
pub mod body;
pub mod hide;
pub mod table;

pub use address::Address;
pub use table::{ROWS, Row, Special, find};

/// An option that a caller may not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It could take over the host.
    Takeover {
        /// As Docker calls it, e.g. `HostConfig.Privileged`.
        option: String,
        /// What it is, in words.
        what: String,
    },
    /// It can be read in two ways, or is not what the engine takes.
    Malformed(String),
    /// A label that only Drover writes.
    Label(String),
}

impl Refusal {
    fn takeover(option: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Takeover { option: option.into(), what: what.into() }
    }
}
