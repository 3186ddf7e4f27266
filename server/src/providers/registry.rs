//! The connections to providers: one for each, shared by all requests, made anew when the
//! provider's settings change.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use drover_api::{FieldError, ProviderConfig};
use uuid::Uuid;

use super::{
    IdentityProvider, ProviderError,
    active_directory::{self, ActiveDirectory},
    github::{self, Github},
    ldap::{self, Ldap},
    model::{ProviderRow, Setup},
    openid::{self, OpenId},
    store,
};
use crate::{
    app::AppState,
    error::{Error, Result},
};

/// The open connections, by provider, with the version of the settings that each was made from.
#[derive(Default)]
pub struct Providers {
    open: Mutex<HashMap<Uuid, (i64, Arc<dyn IdentityProvider>)>>,
}

/// A provider with its connection.
pub struct Connected {
    /// The row as it is now.
    pub row: ProviderRow,
    /// The connection with the settings in force.
    pub connection: Arc<dyn IdentityProvider>,
}

/// A connection with these settings. Nothing is sent yet.
///
/// # Errors
/// [`ProviderError::Misconfigured`] when the settings cannot be used.
pub fn connect(setup: &Setup) -> Result<Arc<dyn IdentityProvider>, ProviderError> {
    let secret = setup.secret.clone();
    Ok(match &setup.config {
        ProviderConfig::Ldap(config) => Arc::new(Ldap::new(config, secret)?),
        ProviderConfig::ActiveDirectory(config) => Arc::new(ActiveDirectory::new(config, secret)?),
        ProviderConfig::Github(config) => Arc::new(Github::new(config, secret)?),
        ProviderConfig::Openid(config) => Arc::new(OpenId::new(config, secret)?),
    })
}

/// What is wrong with settings.
pub fn check(config: &ProviderConfig) -> Vec<FieldError> {
    match config {
        ProviderConfig::Ldap(config) => ldap::check(config),
        ProviderConfig::ActiveDirectory(config) => active_directory::check(config),
        ProviderConfig::Github(config) => github::check(config),
        ProviderConfig::Openid(config) => openid::check(config),
    }
}

impl Providers {
    /// The provider, if it is there and on.
    pub async fn enabled(&self, app: &AppState, id: Uuid) -> Result<Option<Connected>> {
        let row = store::get(&app.db, &app.cipher, id).await?.filter(|row| row.enabled);
        row.map(|row| self.connected(row)).transpose()
    }

    /// All that are on.
    pub async fn all_enabled(&self, app: &AppState) -> Result<Vec<Connected>> {
        let rows = store::list(&app.db, &app.cipher).await?;
        self.forget_others(&rows);
        let mut all = Vec::new();
        for row in rows.into_iter().filter(|row| row.enabled) {
            let name = row.name.clone();
            match self.connected(row) {
                Ok(connected) => all.push(connected),
                // The others are not held up by it.
                Err(error) => {
                    tracing::error!(%error, provider = %name, "cannot use an identity provider");
                }
            }
        }
        Ok(all)
    }

    fn connected(&self, row: ProviderRow) -> Result<Connected> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((version, connection)) = open.get(&row.id)
            && *version == row.config_version
        {
            return Ok(Connected { connection: connection.clone(), row });
        }
        let connection = connect(&row.current).map_err(Error::internal)?;
        open.insert(row.id, (row.config_version, connection.clone()));
        Ok(Connected { row, connection })
    }

    /// Lets go of connections to providers that are off or gone.
    fn forget_others(&self, rows: &[ProviderRow]) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|id, _| rows.iter().any(|row| row.id == *id && row.enabled));
    }
}
