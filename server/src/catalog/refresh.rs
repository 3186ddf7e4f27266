//! Reads the catalogs: at the start, when they are due, and when somebody asks.

use std::time::Duration;

use drover_api::{Catalog, CatalogKind, Topic};
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    read::{self, Files},
    source::{self, Repository},
    store,
};
use crate::{app::App, error::is_unique_violation, settings};

/// How often to look for catalogs that are due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Starts to read catalogs.
pub fn start(app: &App) {
    let app = app.clone();
    tokio::spawn(async move {
        while let Err(error) = read_own(&app).await {
            tracing::warn!(%error, "cannot read the catalogs");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mut timer = tokio::time::interval(LOOK_EVERY);
        loop {
            timer.tick().await;
            if let Err(error) = read_due(&app).await {
                tracing::warn!(%error, "cannot read the catalogs");
            }
        }
    });
}

/// The catalogs of this server itself, which can have changed with it.
async fn read_own(app: &App) -> Result<(), Failure> {
    let builtin = ensure(app, CatalogKind::Builtin, "Drover library", None).await?;
    refresh(app, builtin).await?;
    match &app.settings.catalog_dir {
        Some(folder) => {
            let location = folder.display().to_string();
            let id = ensure(app, CatalogKind::Directory, "Own apps", Some(&location)).await?;
            store::set_location(&app.db, id, &location).await?;
            refresh(app, id).await?;
        }
        None => store::forget_directory(&app.db).await?,
    }
    Ok(())
}

async fn ensure(
    app: &App,
    kind: CatalogKind,
    name: &str,
    location: Option<&str>,
) -> sqlx::Result<Uuid> {
    if let Some(id) = store::by_kind(&app.db, kind).await? {
        return Ok(id);
    }
    let row = |name| store::Row {
        name,
        description: "",
        location,
        branch: None,
        username: None,
        secret: None,
    };
    match store::insert(&app.db, kind, &row(name)).await {
        // Another replica was faster, or a person has given the name to another catalog.
        Err(error) if is_unique_violation(&error) => match store::by_kind(&app.db, kind).await? {
            Some(id) => Ok(id),
            None => store::insert(&app.db, kind, &row(&format!("{name} (Drover)"))).await,
        },
        other => other,
    }
}

async fn read_due(app: &App) -> Result<(), Failure> {
    let minutes = settings::catalog_refresh_minutes(&app.db).await?;
    for id in store::due(&app.db, minutes).await? {
        refresh(app, id).await?;
    }
    Ok(())
}

/// Reads a catalog anew. What goes wrong is kept with it.
pub(super) async fn refresh(app: &App, id: Uuid) -> Result<(), Failure> {
    if !store::claim(&app.db, id).await? {
        return Ok(());
    }
    app.events.updated(Topic::Catalog, None, id).await;
    let Some(catalog) = store::get(&app.db, id).await? else { return Ok(()) };
    match fetch(app, &catalog).await {
        // Drover's own catalogs are small, and a newer Drover may read them otherwise.
        Ok((_, commit))
            if catalog.kind == CatalogKind::Git && catalog.commit.as_ref() == Some(&commit) =>
        {
            store::unchanged(&app.db, id).await?;
        }
        Ok((files, commit)) => {
            let contents = tokio::task::spawn_blocking(move || read::catalog(&files)).await?;
            store::replace(&app.db, id, &commit, &contents).await?;
        }
        Err(error) => {
            tracing::warn!(catalog = %catalog.name, %error, "cannot read a catalog");
            store::failed(&app.db, id, &error.to_string()).await?;
        }
    }
    app.events.updated(Topic::Catalog, None, id).await;
    Ok(())
}

async fn fetch(app: &App, catalog: &Catalog) -> Result<(Files, String), Failure> {
    let location = catalog.location.clone().unwrap_or_default();
    if catalog.kind == CatalogKind::Git {
        let secret = store::secret(&app.db, catalog.id).await?;
        let secret = match secret {
            Some(sealed) => Some(SecretString::from(String::from_utf8(app.cipher.open(&sealed)?)?)),
            None => None,
        };
        let data = app.settings.data_dir();
        tokio::fs::create_dir_all(&data).await?;
        let repository = Repository {
            location: &location,
            branch: catalog.branch.as_deref(),
            username: catalog.username.as_deref(),
            secret: secret.as_ref(),
            known_hosts: &data.join("known_hosts"),
        };
        return Ok(source::git(&repository).await?);
    }
    let builtin = catalog.kind == CatalogKind::Builtin;
    let files = tokio::task::spawn_blocking(move || {
        if builtin { Ok(source::builtin()) } else { source::directory(location.as_ref()) }
    })
    .await??;
    let commit = source::digest(&files);
    Ok((files, commit))
}
