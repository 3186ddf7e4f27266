//! The connection to PostgreSQL: the one of `DATABASE_URL`, or a private one ([`private`]).

pub mod private;

use std::{str::FromStr, time::Duration};

use secrecy::ExposeSecret;
use sqlx::{
    ConnectOptions, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::config::Settings;

/// A pool of connections, with the private PostgreSQL behind it where there is one.
pub struct Database {
    /// The pool.
    pub pool: PgPool,
    /// Stops with [`private::Postgres::stop`]; the data stays.
    pub private: Option<private::Postgres>,
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// `DATABASE_URL` is the address of something else.
    #[error("DATABASE_URL must begin with postgres://")]
    Scheme,
    /// `DATABASE_URL` is not a PostgreSQL address.
    #[error("DATABASE_URL is not a PostgreSQL address: {0}")]
    Url(#[source] sqlx::Error),
    /// The database does not let Drover in.
    #[error("cannot connect to PostgreSQL at {address} (DATABASE_URL): {source}")]
    Connect {
        /// Where it was looked for.
        address: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The tables could not be brought up to date.
    #[error("cannot bring the database up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The private PostgreSQL does not start.
    #[error(transparent)]
    Private(#[from] private::PrivateError),
}

/// Connects, and brings the tables up to date.
pub async fn open(settings: &Settings) -> Result<Database, DatabaseError> {
    let (options, private) = match &settings.database_url {
        Some(url) => {
            let url = url.expose_secret();
            if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
                return Err(DatabaseError::Scheme);
            }
            let options = PgConnectOptions::from_str(url).map_err(DatabaseError::Url)?;
            (options, None)
        }
        None => {
            let postgres = private::start(settings).await?;
            (postgres.options(), Some(postgres))
        }
    };
    let options = options
        .application_name("drover")
        .log_statements(tracing::log::LevelFilter::Trace)
        .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1));
    let pool = PgPoolOptions::new()
        .max_connections(settings.database_connections)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options.clone())
        .await;
    let pool = match pool {
        Ok(pool) => pool,
        Err(source) => return Err(connect_error(&options, source).await),
    };
    sqlx::migrate!("../migrations").run(&pool).await?;
    Ok(Database { pool, private })
}

async fn connect_error(options: &PgConnectOptions, mut source: sqlx::Error) -> DatabaseError {
    // The pool tries again until its time is up, and then no longer knows why.
    if let (sqlx::Error::PoolTimedOut, Err(reason)) = (&source, options.connect().await) {
        source = reason;
    }
    let address = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    DatabaseError::Connect { address, source }
}
