//! Live changes: a bounded ring of events in memory, fed by this replica and, through
//! LISTEN/NOTIFY, by the others; read by browsers as server-sent events and by Drover's own tasks.

mod bus;
mod routes;

pub use bus::{Bus, Numbered, event};
pub use routes::router;
