//! The environments that the user sees, and the one that the page is in.

use drover_api::{ClusterKind, Environment, List, Permission, Topic};
use leptos::{prelude::*, reactive::graph::Observer};
use leptos_router::hooks::use_location;
use uuid::Uuid;

use crate::{api, remote::Remote};

/// All environments that the user sees.
#[derive(Clone, Copy)]
pub struct Environments {
    list: Remote<List<Environment>>,
    /// The one that the address names, or that was last open.
    pub current: Signal<Option<Uuid>>,
}

/// All environments that the user sees.
pub fn use_environments() -> Environments {
    expect_context()
}

impl Environments {
    /// Fetches them, and follows their changes and the address.
    pub fn provide() -> Self {
        let list = Remote::new(|| api::get("environments").query("limit", 1000).json())
            .live(&[Topic::Environment], |_| true);
        let path = use_location().pathname;
        let current = Memo::new(move |last: Option<&Option<Uuid>>| {
            let named = path.with(|path| named(path));
            named.or_else(|| last.copied().flatten())
        });
        let environments = Self { list, current: current.into() };
        provide_context(environments);
        environments
    }

    /// What has been fetched.
    pub fn remote(self) -> Remote<List<Environment>> {
        self.list
    }

    /// All of them.
    pub fn all(self) -> Vec<Environment> {
        self.list.with(|list| list.map(|list| list.items.clone()).unwrap_or_default())
    }

    /// One of them.
    pub fn find(self, id: Uuid) -> Option<Environment> {
        self.list.with(|list| list?.items.iter().find(|one| one.id == id).cloned())
    }

    /// The one to show: what the address names, else the one last open, else the first.
    pub fn shown(self) -> Option<Environment> {
        self.current
            .get()
            .and_then(|id| self.find(id))
            .or_else(|| self.list.with(|list| list?.items.first().cloned()))
    }
}

fn named(path: &str) -> Option<Uuid> {
    path.strip_prefix("/environments/")?.split('/').next()?.parse().ok()
}

/// The environment that a page is in.
#[derive(Clone, Copy)]
pub struct Env {
    id: Uuid,
    environment: Signal<Option<Environment>>,
}

/// The environment that the calling page is in. Only for pages under `/environments/{id}`.
pub fn use_env() -> Env {
    expect_context()
}

impl Env {
    /// For the frame of an environment's pages.
    pub fn provide(id: Uuid) -> Self {
        let environments = use_environments();
        let env = Self { id, environment: Signal::derive(move || environments.find(id)) };
        provide_context(env);
        env
    }

    /// Its id. Does not change during a page's life.
    pub fn id(self) -> Uuid {
        self.id
    }

    /// Its data, as they are now.
    pub fn get(self) -> Option<Environment> {
        self.environment.get()
    }

    /// Its name.
    pub fn name(self) -> String {
        self.environment.with(|env| env.as_ref().map(|env| env.name.clone()).unwrap_or_default())
    }

    /// Whether it stands on Kubernetes; that does not change.
    pub fn is_kubernetes(self) -> bool {
        self.environment.with_untracked(|env| {
            env.as_ref().is_some_and(|env| env.cluster_kind == ClusterKind::Kubernetes)
        })
    }

    /// Whether the user may do this here.
    pub fn may(self, permission: Permission) -> bool {
        let allows = |env: &Option<Environment>| {
            env.as_ref().is_some_and(|env| env.permissions.contains(&permission))
        };
        // A component's body asks once; closures in it follow changes of the role.
        match Observer::get() {
            Some(_) => self.environment.with(allows),
            None => self.environment.with_untracked(allows),
        }
    }

    /// The address of one of its pages: `env.path("stacks")`.
    pub fn path(self, rest: &str) -> String {
        path(self.id, rest)
    }

    /// The path of one of its parts in the API, for [`crate::api`]: `env.api("stacks")`.
    pub fn api(self, rest: &str) -> String {
        match rest {
            "" => format!("environments/{}", self.id),
            rest => format!("environments/{}/{rest}", self.id),
        }
    }
}

/// The address of a page of an environment.
pub fn path(id: Uuid, rest: &str) -> String {
    match rest {
        "" => format!("/environments/{id}"),
        rest => format!("/environments/{id}/{rest}"),
    }
}
