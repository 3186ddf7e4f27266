//! `/v1/settings`.

use axum::extract::State;
use drover_api::{FieldError, ServerSettings, Timestamp, Topic, UpdateServerSettings};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::store;
use crate::{
    app::App,
    error::{Error, Result},
    extract::Json,
};

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, update))
}

/// Show the server's settings
#[utoipa::path(get, path = "/v1/settings", tag = "settings",
    responses((status = 200, body = ServerSettings)))]
async fn get(State(app): State<App>) -> Result<Json<ServerSettings>> {
    Ok(Json(ServerSettings {
        instance_name: store::instance_name(&app.db).await?,
        catalog_refresh_minutes: store::catalog_refresh_minutes(&app.db).await?,
        directory_refresh_minutes: store::directory_refresh_minutes(&app.db).await?,
        directory_grace_minutes: store::directory_grace_minutes(&app.db).await?,
        agents_upgrade_themselves: store::agents_upgrade_themselves(&app.db).await?,
        version: env!("CARGO_PKG_VERSION").into(),
        public_url: app.settings.public_url(),
        embedded_database: app.settings.database_url.is_none(),
        database_version: store::database_version(&app.db).await?,
        started_at: Timestamp(app.started_at),
    }))
}

/// Change the server's settings
#[utoipa::path(patch, path = "/v1/settings", tag = "settings",
    request_body = UpdateServerSettings, responses((status = 200, body = ServerSettings)))]
async fn update(
    State(app): State<App>,
    Json(input): Json<UpdateServerSettings>,
) -> Result<Json<ServerSettings>> {
    let name = input.instance_name.map(|name| name.trim().to_owned());
    let mut errors = Vec::new();
    if name.as_ref().is_some_and(|name| !(1..=64).contains(&name.chars().count())) {
        errors.push(FieldError::new("instance_name", "A name has 1 to 64 characters."));
    }
    if input.catalog_refresh_minutes.is_some_and(|minutes| !(1..=10_080).contains(&minutes)) {
        errors.push(FieldError::new("catalog_refresh_minutes", "1 to 10,080 minutes."));
    }
    let refresh = match input.directory_refresh_minutes {
        Some(minutes) => minutes,
        None => store::directory_refresh_minutes(&app.db).await?,
    };
    if !(1..=1440).contains(&refresh) {
        errors.push(FieldError::new("directory_refresh_minutes", "1 to 1,440 minutes."));
    }
    let grace = match input.directory_grace_minutes {
        Some(minutes) => minutes,
        None => store::directory_grace_minutes(&app.db).await?,
    };
    if !(1..=43_200).contains(&grace) {
        errors.push(FieldError::new("directory_grace_minutes", "1 to 43,200 minutes."));
    } else if grace < refresh {
        errors.push(FieldError::new(
            "directory_grace_minutes",
            "The grace time must not be shorter than the time between refreshes.",
        ));
    }
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    if let Some(name) = name {
        store::set(&app.db, "instance_name", name.into()).await?;
    }
    if let Some(minutes) = input.catalog_refresh_minutes {
        store::set(&app.db, "catalog_refresh_minutes", minutes.into()).await?;
    }
    if let Some(minutes) = input.directory_refresh_minutes {
        store::set(&app.db, "directory_refresh_minutes", minutes.into()).await?;
    }
    if let Some(minutes) = input.directory_grace_minutes {
        store::set(&app.db, "directory_grace_minutes", minutes.into()).await?;
        // It decides whose groups count.
        app.access_changed_quietly().await;
    }
    if let Some(wanted) = input.agents_upgrade_themselves {
        store::set(&app.db, "agents_upgrade_themselves", wanted.into()).await?;
    }
    app.events.updated(Topic::Setting, None, "settings").await;
    get(State(app)).await
}
