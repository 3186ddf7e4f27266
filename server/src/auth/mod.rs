//! Signing in: set-up, local accounts, the ways in through identity providers, browser sessions,
//! API keys, throttling.

mod password;
mod redirect;
mod routes;
mod session_store;
mod setup;
mod store;
mod throttle;

use drover_api::Timestamp;
use tower_sessions::Session;

pub use password::{check_new_password, hash_password};
pub(crate) use routes::issue_api_key;
pub use routes::router;
pub use session_store::{SessionOwner, SessionStore};
pub use setup::announce as announce_setup;
pub use store::reset_password;
pub(crate) use store::{end_sessions, sweep};

use crate::error::{Error, Result};

/// What every API key begins with, so that scanners and people recognise one.
pub const API_KEY_PREFIX: &str = "drv_";

/// The keys of a session's data.
mod keys {
    pub const USER: &str = "user_id";
    /// The identity provider that the session came in through.
    pub const PROVIDER: &str = "provider_id";
    /// The session's id there.
    pub const PROVIDER_SESSION: &str = "provider_session";
    /// The ID token, sealed: a hint for signing out there too.
    pub const ID_TOKEN: &str = "id_token";
    pub const CSRF: &str = "csrf";
    pub const ADDRESS: &str = "address";
    pub const USER_AGENT: &str = "user_agent";
    pub const ALIVE: &str = "alive";
}

/// How often a session in use is written again, so that neither row nor cookie ends. Seconds.
const KEEP_ALIVE_EVERY: i64 = 3600;

/// The session's token against forged requests.
pub async fn csrf_token(session: &Session) -> Result<Option<String>> {
    session.get(keys::CSRF).await.map_err(session_error)
}

/// Puts off the end of a session that is in use.
pub async fn keep_alive(session: &Session) -> Result<()> {
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let last: Option<i64> = session.get(keys::ALIVE).await.map_err(session_error)?;
    if last.is_none_or(|last| now - last > KEEP_ALIVE_EVERY) {
        session.insert(keys::ALIVE, now).await.map_err(session_error)?;
    }
    Ok(())
}

/// When the session ends without further use.
fn expires_at(session: &Session) -> Option<Timestamp> {
    Some(Timestamp(session.expiry_date()))
}

fn session_error(error: tower_sessions::session::Error) -> Error {
    match error {
        tower_sessions::session::Error::Store(_) => Error::unavailable(
            "database_unavailable",
            "The database does not answer at the moment. Try again in a few seconds.",
        ),
        other => Error::internal(other),
    }
}
