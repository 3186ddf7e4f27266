//! Reads catalogs from their sources into PostgreSQL: at the start, on a schedule, and when a
//! person asks. One server at a time reads a catalog; a server that dies over it leaves it to the
//! next one after some minutes.

use std::{path::Path, time::Duration};

use drover_api::{CatalogKind, CatalogProblem, Topic};
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    read::{self, Files, Severity},
    source::{self, GitSource, Snapshot},
    store, version,
};
use crate::{
    app::App,
    error::{Error, Result},
    settings,
};

/// How often to look for catalogs that are due.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How many problems are kept.
const MOST_PROBLEMS: usize = 100;

/// Reads the server's own catalogs, then Git catalogs on the schedule of the settings, for as long
/// as the process runs.
pub fn start(app: &App) {
    let app = app.clone();
    tokio::spawn(async move {
        while let Err(error) = read_own(&app).await {
            tracing::warn!(%error, "cannot read the built-in catalog");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mut timer = tokio::time::interval(LOOK_EVERY);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            if let Err(error) = refresh_due(&app).await {
                tracing::warn!(%error, "cannot look for catalogs to read again");
            }
        }
    });
}

/// The built-in catalog and that of the settings, which can have changed with the server.
async fn read_own(app: &App) -> Result<()> {
    let (about, _) = read::catalog(&source::builtin());
    let name = about.about.name.get("en").to_owned();
    let id = store::ensure(&app.db, "builtin", &name, None).await?;
    refresh(app, id).await?;
    if let Some(folder) = &app.settings.catalog_dir {
        let location = folder.display().to_string();
        let name =
            folder.file_name().map_or(location.clone(), |name| name.to_string_lossy().into());
        let id = store::ensure(&app.db, "directory", &name, Some(&location)).await?;
        refresh(app, id).await?;
    }
    Ok(())
}

async fn refresh_due(app: &App) -> Result<()> {
    let minutes = settings::catalog_refresh_minutes(&app.db).await?;
    for id in store::due(&app.db, minutes).await? {
        refresh(app, id).await?;
    }
    Ok(())
}

/// Reads a catalog in the background. Who wants to know how it went follows the events.
pub(super) fn refresh_soon(app: &App, id: Uuid) {
    let app = app.clone();
    tokio::spawn(async move {
        if let Err(error) = refresh(&app, id).await {
            tracing::warn!(%error, catalog = %id, "cannot read a catalog");
        }
    });
}

/// Reads a catalog, unless another server is at it. What is wrong with its source is kept with
/// it; only the database's errors come back.
pub(super) async fn refresh(app: &App, id: Uuid) -> Result<()> {
    if !store::claim(&app.db, id).await? {
        return Ok(());
    }
    app.events.updated(Topic::Catalog, None, id).await;
    let read = match snapshot(app, id).await {
        Ok(Some(snapshot)) => write(app, id, snapshot).await,
        Ok(None) => Ok(()),
        Err(Unread::Source(message)) => {
            tracing::info!(catalog = %id, error = message, "a catalog cannot be read");
            store::failed(&app.db, id, &message).await.map_err(Error::from)
        }
        Err(Unread::Drover(error)) => Err(error),
    };
    app.events.updated(Topic::Catalog, None, id).await;
    read
}

/// Why there is no snapshot.
enum Unread {
    /// For the person who keeps the catalog.
    Source(String),
    /// A fault of Drover's own, or of its database.
    Drover(Error),
}

impl From<source::SourceError> for Unread {
    fn from(error: source::SourceError) -> Self {
        Self::Source(error.to_string())
    }
}

impl From<sqlx::Error> for Unread {
    fn from(error: sqlx::Error) -> Self {
        Self::Drover(error.into())
    }
}

/// The files of a catalog as they are now; `None` when it is gone.
async fn snapshot(app: &App, id: Uuid) -> Result<Option<Snapshot>, Unread> {
    let mut connection = app.db.acquire().await?;
    let Some(row) = store::lock(&mut connection, id).await? else { return Ok(None) };
    drop(connection);
    let location = row.location.unwrap_or_default();
    match row.kind {
        CatalogKind::Builtin => Ok(Some(Snapshot::of(source::builtin()))),
        CatalogKind::Directory => {
            // A replica that was started without this folder does not read it.
            if app.settings.catalog_dir.as_deref() != Some(Path::new(&location)) {
                return Err(Unread::Source(format!(
                    "This server was started without DROVER_CATALOG_DIR={location}."
                )));
            }
            let files: Result<Files, _> =
                tokio::task::spawn_blocking(move || source::directory(Path::new(&location)))
                    .await
                    .map_err(|error| Unread::Drover(Error::internal(error)))?;
            Ok(Some(Snapshot::of(files?)))
        }
        CatalogKind::Git => {
            let secret = match &row.secret {
                Some(sealed) => Some(open(app, sealed)?),
                None => None,
            };
            let source = GitSource {
                location,
                branch: row.branch,
                username: row.username,
                secret,
                host_keys: row.ssh_host_keys,
            };
            Ok(Some(source::git(&source, source::PROTOCOLS).await?))
        }
    }
}

fn open(app: &App, sealed: &[u8]) -> Result<SecretString, Unread> {
    let plain = app.cipher.open(sealed).map_err(|error| Unread::Source(error.to_string()))?;
    let text = String::from_utf8(plain).map_err(|error| Unread::Drover(Error::internal(error)))?;
    Ok(text.into())
}

async fn write(app: &App, id: Uuid, snapshot: Snapshot) -> Result<()> {
    let read_key = format!("{} {}", version::DROVER, snapshot.commit);
    let mut tx = app.db.begin().await?;
    let Some(row) = store::lock(&mut tx, id).await? else { return Ok(()) };
    if row.read_key.as_ref() == Some(&read_key) {
        store::unchanged(&mut tx, id).await?;
        tx.commit().await?;
        return Ok(());
    }
    let (catalog, problems) = read::catalog(&snapshot.files);
    let problems: Vec<_> = problems
        .into_iter()
        .filter(|problem| problem.severity == Severity::Error)
        .take(MOST_PROBLEMS)
        .map(|problem| CatalogProblem {
            file: problem.file,
            line: problem.line,
            message: problem.message,
        })
        .collect();
    let read = store::Read {
        catalog: &catalog,
        problems: &problems,
        commit: &snapshot.commit,
        read_key: &read_key,
        host_keys: snapshot.host_keys.as_deref(),
    };
    store::replace(&mut tx, id, &read).await?;
    tx.commit().await?;
    tracing::info!(catalog = %id, templates = catalog.templates.len(), "a catalog was read");
    Ok(())
}
