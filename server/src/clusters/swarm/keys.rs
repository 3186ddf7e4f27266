//! What lets machines into a swarm: read from its managers and kept sealed, for a swarm whose
//! managers are locked or cannot be asked.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::store;
use crate::{
    app::App,
    error::{Error, Result},
    hosts::driver::{Docker, swarm::SwarmObject},
};

/// Join tokens and unlock key.
#[derive(Clone)]
pub(super) struct Keys {
    pub worker: SecretString,
    pub manager: SecretString,
    pub unlock: Option<SecretString>,
}

/// As they are sealed.
#[derive(Serialize, Deserialize)]
struct Plain {
    worker: String,
    manager: String,
    unlock: Option<String>,
}

impl Keys {
    /// Asks a manager.
    pub async fn read(docker: &Docker, swarm: &SwarmObject) -> Result<Self> {
        Ok(Self {
            worker: swarm.join_tokens.worker.clone(),
            manager: swarm.join_tokens.manager.clone(),
            unlock: docker.unlock_key().await?,
        })
    }

    pub fn seal(&self, app: &App) -> Result<Vec<u8>> {
        let plain = Plain {
            worker: self.worker.expose_secret().to_owned(),
            manager: self.manager.expose_secret().to_owned(),
            unlock: self.unlock.as_ref().map(|key| key.expose_secret().to_owned()),
        };
        let json = serde_json::to_vec(&plain).map_err(Error::internal)?;
        Ok(app.cipher.seal(&json))
    }

    pub fn open(app: &App, sealed: &[u8]) -> Result<Self> {
        let json = app.cipher.open(sealed).map_err(Error::internal)?;
        let plain: Plain = serde_json::from_slice(&json).map_err(Error::internal)?;
        Ok(Self {
            worker: plain.worker.into(),
            manager: plain.manager.into(),
            unlock: plain.unlock.map(Into::into),
        })
    }
}

/// Reads the keys of a swarm from a manager, and keeps them.
pub(super) async fn refresh(app: &App, environment: Uuid, docker: &Docker) -> Result<Keys> {
    let swarm = docker.swarm().await?;
    let keys = Keys::read(docker, &swarm).await?;
    store::set_keys(&app.db, environment, &keys.seal(app)?).await?;
    Ok(keys)
}
