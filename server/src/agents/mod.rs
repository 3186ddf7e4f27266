//! Agents as the server sees them: how they come in (registration tokens, the install script),
//! how they prove who they are, their tunnels, their upgrades. The program that runs on hosts is
//! [`crate::agent`]; what carries streams is [`crate::tunnel`].
//!
//! | part | what |
//! | --- | --- |
//! | [`handshake`] | the first messages on a tunnel, shared with the agent |
//! | [`version`] | which agents fit this server |
//! | `connect` | takes a tunnel: checks the key, refuses clones, keeps it listed |
//! | `install` | the script, the binary, the image, the commands to paste |
//! | `upgrade` | has an agent become a newer one |
//! | `store` | the tables `agents` and `registration_tokens` |

mod connect;
pub mod handshake;
mod install;
mod registry;
mod routes;
mod store;
mod upgrade;
pub mod version;

pub use routes::{router, spawn};
pub use store::AgentRow;

/// What every registration token begins with, so that scanners and people recognise one.
pub const TOKEN_PREFIX: &str = "drvreg_";

/// The routes that are files, and no API.
pub fn web_router() -> axum::Router<crate::app::App> {
    install::router().merge(registry::router())
}
