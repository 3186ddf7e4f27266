//! What every route of an environment on Kubernetes begins with: who asks, where, and what of the
//! cluster belongs there.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use drover_api::{Permission, Role};
use drover_kubernetes::{
    client::{Answer, Cluster, Identity, Impersonation},
    discovery::ResourceType,
    index::{Namespaces, Scope},
    objects::is_path_segment,
    roles,
};
use http::Method;
use serde_json::Value;

use super::super::{
    caller, failed, live::Live, share::of_environment, store::Share, telling::role_kind,
};
use crate::{
    access::{Caller, EnvironmentAccess},
    app::App,
    audit::Note,
    error::{Error, Result},
};

/// See the module.
pub(in super::super) struct Target {
    pub app: App,
    pub caller: Caller,
    pub access: EnvironmentAccess,
    pub note: Note,
    pub share: Share,
    pub live: Arc<Live>,
}

/// An object that a path names.
pub(in super::super) struct Place {
    pub kind: Arc<ResourceType>,
    pub namespace: Option<String>,
    pub name: String,
}

impl Place {
    /// Its path in the cluster's API.
    pub fn path(&self) -> String {
        self.kind.object_path(self.namespace.as_deref(), &self.name)
    }
}

impl FromRequestParts<App> for Target {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let access = EnvironmentAccess::from_request_parts(parts, app).await?;
        let note = Note::from_request_parts(parts, app).await?;
        let (live, share) = match app.kubernetes.of_environment(access.id) {
            Some(found) => found,
            // It may be so new that its cluster has not heard of it.
            None => {
                let share = of_environment(app, access.id).await?;
                let live = app.kubernetes.live(share.cluster_id).ok_or_else(|| {
                    let why = "The cluster is not connected yet.";
                    Error::unavailable("cluster_unreachable", why)
                })?;
                (live, share)
            }
        };
        Ok(Self { app: app.clone(), caller, access, note, share, live })
    }
}

impl Target {
    /// The cluster's API, unless it is known not to answer.
    pub fn cluster(&self) -> Result<&Cluster> {
        self.live.connected()
    }

    /// As whom the caller is told to the cluster.
    pub fn user(&self) -> Result<Impersonation> {
        caller::in_environment(&self.caller, self.access.id, self.access.role)
    }

    /// A call as the user: the cluster decides whether they may.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Answer> {
        let user = self.user()?;
        self.cluster()?.call(method, path, body, Identity::User(&user)).await.map_err(failed)
    }

    /// A type of the cluster, as people name it.
    pub fn kind(&self, name: &str) -> Result<Arc<ResourceType>> {
        let found = self.live.discovery()?.find(name).cloned();
        found.filter(|kind| self.sees(kind)).ok_or_else(|| Error::not_found("resource type"))
    }

    /// What the caller may do with objects of a type.
    pub fn verbs(&self, kind: &ResourceType) -> Vec<String> {
        let all: &[&str] = if caller::is_administrator(&self.caller) {
            return kind.verbs.clone();
        } else if !kind.namespaced && !self.share.whole_cluster && &*kind.name == NAMESPACES {
            &["get", "list", "watch"]
        } else {
            roles::verbs(self.access.role, self.share.whole_cluster, &role_kind(kind))
        };
        let all = all.iter().filter(|verb| kind.has_verb(verb));
        let mut all: Vec<String> = all.map(|verb| (*verb).to_owned()).collect();
        // Drover's own lists name what there is, without its values.
        if all.is_empty() && &*kind.name == SECRETS {
            all.push("list".into());
        }
        all
    }

    /// Whether anything of this type can be seen here.
    pub fn sees(&self, kind: &ResourceType) -> bool {
        kind.namespaced
            || self.share.whole_cluster
            || &*kind.name == NAMESPACES
            || roles::is_shared(&role_kind(kind))
    }

    /// Whether the caller may see the values of Secrets.
    pub fn sees_secrets(&self) -> bool {
        self.access.role > Role::Readonly
    }

    /// What of a type can be seen here.
    pub fn scope(&self, kind: &ResourceType) -> Scope {
        if self.share.whole_cluster {
            return Scope::all();
        }
        let namespaces = Arc::new(self.share.namespaces.iter().cloned().collect());
        Scope { namespaces: Namespaces::These(namespaces), cluster: self.sees(kind) }
    }

    /// 404 for a namespace of others.
    pub fn check_namespace(&self, namespace: &str) -> Result<()> {
        let own = self.share.namespaces.iter().any(|own| own == namespace);
        if is_path_segment(namespace) && (own || self.share.whole_cluster) {
            Ok(())
        } else {
            Err(Error::not_found("namespace"))
        }
    }

    /// The object that a path names; `-` stands for no namespace.
    pub fn place(&self, kind: &str, namespace: &str, name: &str) -> Result<Place> {
        let kind = self.kind(kind)?;
        let inside = (namespace != "-").then(|| namespace.to_owned());
        if kind.namespaced != inside.is_some() || !is_path_segment(name) {
            return Err(Error::not_found("object"));
        }
        match &inside {
            Some(namespace) => self.check_namespace(namespace)?,
            None if &*kind.name == NAMESPACES => self.check_namespace(name)?,
            None => {}
        }
        Ok(Place { kind, namespace: inside, name: name.to_owned() })
    }

    /// Names what is done, and to what, for the audit log.
    pub fn note(&self, action: &'static str, place: &Place) {
        self.note.action(action, "kubernetes_object", self.access.id);
        self.note_target(place);
    }

    /// Names to what something is done.
    pub fn note_target(&self, place: &Place) {
        let of = place.namespace.as_deref().unwrap_or("-");
        self.note.target(format!("{}/{of}/{}", place.kind.name, place.name), &place.name);
    }

    /// 403 unless the caller has this permission here.
    pub fn require(&self, permission: Permission) -> Result<()> {
        self.access.require(permission)
    }
}

pub(super) const NAMESPACES: &str = "namespaces";
pub(super) const SECRETS: &str = "secrets";
