//! The pages, one file each.

mod account;
mod admin_environments;
mod api_keys;
mod audit;
mod door;
mod environment_settings;
mod members;
mod not_found;
mod operations;
mod overview;
mod settings;
mod start;
mod users;

pub use account::*;
pub use admin_environments::*;
pub use api_keys::*;
pub use audit::*;
pub use door::*;
pub use environment_settings::*;
pub use members::*;
pub use not_found::*;
pub use operations::*;
pub use overview::*;
pub use settings::*;
pub use start::*;
pub use users::*;
