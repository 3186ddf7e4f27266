//! The JSON Schemas of a cluster's types, from its OpenAPI documents. A document is read again only
//! when its hash is another one.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use drover_kubernetes::{
    client::{Cluster, Identity},
    discovery::ResourceType,
    schema,
};
use serde_json::Value;

use super::failed;
use crate::error::{Error, Result};

/// So many schemas of a cluster are kept.
const MOST: usize = 64;
/// The largest OpenAPI document.
const LARGEST: usize = 64 << 20;

/// See the module.
#[derive(Default)]
pub struct Schemas(Mutex<HashMap<(String, String), Bytes>>);

impl Schemas {
    /// The schema of a type in one of its versions, as JSON.
    ///
    /// # Errors
    /// 404 where the cluster has none, and what the cluster fails at.
    pub async fn get(
        &self,
        cluster: &Cluster,
        kind: &ResourceType,
        version: &str,
    ) -> Result<Bytes> {
        let none = || Error::not_found("schema");
        let documents: Value =
            cluster.get_json("/openapi/v3", Identity::Drover).await.map_err(failed)?;
        let place = match kind.group.as_str() {
            "" => format!("api/{version}"),
            group => format!("apis/{group}/{version}"),
        };
        let address = documents["paths"][&place]["serverRelativeURL"].as_str().ok_or_else(none)?;
        // The address has the document's hash in it.
        let key = (address.to_owned(), kind.kind.clone());
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        let document = cluster
            .get(address, "application/json", Identity::Drover, LARGEST)
            .await
            .map_err(failed)?;
        let (group, version, name) = (kind.group.clone(), version.to_owned(), kind.kind.clone());
        // Documents have some MiB: not on a thread that others wait for.
        let made = tokio::task::spawn_blocking(move || {
            let document: Value = serde_json::from_slice(&document).ok()?;
            let schema = schema::of_kind(&document, &group, &version, &name)?;
            serde_json::to_vec(&schema).ok()
        });
        let made: Bytes = made.await.map_err(Error::internal)?.ok_or_else(none)?.into();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(key, made.clone());
        Ok(made)
    }
}
