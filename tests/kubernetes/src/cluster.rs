//! All parts of a cluster, as handlers and controllers share them.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use crate::{
    audit::Log,
    authn::{Tokens, User},
    certificates::Authority,
    faults::Faults,
    rbac::Authorizer,
    resources::{Catalog, ResourceType, StorageKey},
    store::{Object, Store},
};

/// How a cluster is.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many changes of each resource are kept.
    pub kept_changes: usize,
    /// How often watches get a bookmark.
    pub bookmark_every: Duration,
    /// Whether controllers run.
    pub controllers: bool,
    /// Whether metrics.k8s.io is served.
    pub metrics: bool,
    /// The version that the server says it has: minor, and patch.
    pub version: (u32, u32),
    /// How many nodes there are.
    pub nodes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            kept_changes: 20_000,
            bookmark_every: Duration::from_secs(60),
            controllers: true,
            metrics: true,
            version: (37, 0),
            nodes: 3,
        }
    }
}

/// A cluster.
#[derive(Debug)]
pub struct Cluster {
    /// How it is.
    pub options: Options,
    /// Its objects.
    pub store: Arc<Store>,
    /// What it serves.
    pub catalog: Catalog,
    /// Who signs its certificates.
    pub authority: Authority,
    /// The tokens that it takes.
    pub tokens: Tokens,
    /// Who may do what.
    pub authorizer: Authorizer,
    /// Who did what.
    pub audit: Log,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// What runs in its pods.
    pub containers: crate::streams::Containers,
}

/// The storage of a built-in resource.
pub fn storage(group: &str, plural: &str) -> StorageKey {
    (group.to_owned(), plural.to_owned())
}

impl Cluster {
    /// Changes an object until nobody else was quicker. Nothing is written when the change gives
    /// nothing, or nothing new. For the cluster's own parts: no rule is asked.
    pub fn modify(
        &self,
        key: &StorageKey,
        namespace: &str,
        name: &str,
        change: impl Fn(&mut Value) -> bool,
    ) -> Option<Arc<Object>> {
        loop {
            let there = self.store.get(key, namespace, name)?;
            let before = there.value();
            let mut value = before.clone();
            if !change(&mut value) || value == before {
                return Some(there);
            }
            if let Ok(written) = self.store.replace(key, &there, value) {
                self.after_write(key);
                return Some(written);
            }
        }
    }

    /// Changes an object without what follows from it.
    pub fn modify_quietly(&self, key: &StorageKey, name: &str, change: impl Fn(&mut Value)) {
        while let Some(there) = self.store.get(key, "", name) {
            let mut value = there.value();
            change(&mut value);
            if self.store.replace(key, &there, value).is_ok() {
                return;
            }
        }
    }

    /// Puts a complete object there. For the cluster's own parts: no rule is asked.
    pub fn put_new(&self, resource: &ResourceType, mut object: Value) -> Option<Arc<Object>> {
        crate::defaults::metadata(&mut object);
        crate::defaults::apply(resource, &mut object);
        if let Some(fields) = object.as_object_mut() {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        let written = self.store.create(&resource.storage, object).ok()?;
        self.after_write(&resource.storage);
        Some(written)
    }

    /// What follows at once from a write.
    pub fn after_write(&self, key: &StorageKey) {
        if key.1 == "customresourcedefinitions" {
            crate::custom::refresh(self);
        }
    }

    /// The user that the cluster's own parts are.
    pub fn own_user() -> User {
        User::named("system:apiserver", &["system:masters"])
    }
}
