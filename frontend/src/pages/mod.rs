//! The pages, one file each.

mod door;
mod not_found;
mod start;

pub use door::*;
pub use not_found::*;
pub use start::*;
