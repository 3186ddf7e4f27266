//! Settings that administrators change while Drover runs. (Those of the command line are in
//! [`crate::config`].)

mod routes;
mod store;

pub use routes::router;
pub use store::{
    agents_upgrade_themselves, catalog_refresh_minutes, directory_grace_minutes,
    directory_refresh_minutes, instance_name, key_check,
};
