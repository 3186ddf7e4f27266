//! Kubernetes: clusters for administrators, and what an environment on one has: its overview, the
//! resource browser, the pages of objects, and making new ones.

mod actions;
mod browser;
mod cluster;
mod clusters;
mod create;
mod facts;
mod files;
mod forms;
mod forward;
mod import;
mod kubectl;
mod limits;
mod list;
mod logs;
mod manifest;
mod metrics;
mod object;
mod overview;
mod picture;
mod pods;
mod revisions;
mod secret;
pub(super) mod share;
mod states;
mod types;
mod write;
mod yaml;

pub use browser::{KubernetesBrowser, KubernetesStart};
pub use cluster::ClusterPage;
pub use clusters::Clusters;
pub use create::KubernetesCreate;
pub use import::ImportClusterPage;
pub use kubectl::KubernetesKubectl;
pub use limits::KubernetesLimits;
pub use list::KubernetesList;
pub use object::KubernetesObject;
pub use overview::KubernetesOverview;

use drover_api::{EnvironmentCluster, ResourceType, Topic};
use leptos::prelude::*;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    api::{self, encode},
    environment::{Env, use_env},
    remote::Remote,
};

/// An environment's cluster, and the types of what is in it.
#[derive(Clone, Copy)]
struct Kube {
    env: Env,
    cluster: Remote<EnvironmentCluster>,
    types: Remote<Vec<ResourceType>>,
}

impl Kube {
    /// For the frame of an environment's Kubernetes pages.
    fn provide() -> Self {
        let env = use_env();
        let cluster =
            Remote::new(move || api::get(env.api("kubernetes")).json::<EnvironmentCluster>())
                .live(&[Topic::KubernetesCluster, Topic::Environment], |_| true);
        let types = Remote::new(move || all(api::get(env.api("kubernetes/types"))))
            .live(&[Topic::KubernetesCluster], |_| true);
        let kube = Self { env, cluster, types };
        provide_context(kube);
        kube
    }

    /// The type of this id, as it is known now.
    fn of(self, id: &str) -> Option<ResourceType> {
        self.types.with(|all| all?.iter().find(|one| one.id == id).cloned())
    }

    /// The environment's namespaces.
    fn namespaces(self) -> Vec<String> {
        self.cluster.with(|cluster| cluster.map(|one| one.namespaces.clone()).unwrap_or_default())
    }

    /// The page of a type's list.
    fn list_page(self, type_id: &str) -> String {
        self.env.path(&format!("kubernetes/{}", encode(type_id)))
    }

    /// The page of an object.
    fn object_page(self, type_id: &str, namespace: Option<&str>, name: &str) -> String {
        self.env.path(&format!("kubernetes/{}", place(type_id, namespace, name)))
    }

    /// An object's place in the API.
    fn object_api(self, type_id: &str, namespace: Option<&str>, name: &str) -> String {
        self.env.api(&format!("kubernetes/objects/{}", place(type_id, namespace, name)))
    }
}

/// The environment's cluster. Only under [`KubernetesBrowser`].
fn use_kube() -> Kube {
    expect_context()
}

/// `type/namespace/name`, with `-` where there is no namespace.
fn place(type_id: &str, namespace: Option<&str>, name: &str) -> String {
    format!("{}/{}/{}", encode(type_id), encode(namespace.unwrap_or("-")), encode(name))
}

/// The items of an answer that fits one page.
async fn all<T: DeserializeOwned>(request: api::Request) -> api::Result<Vec<T>> {
    #[derive(Deserialize)]
    struct Items<T> {
        items: Vec<T>,
    }
    let items: Items<T> = request.json().await?;
    Ok(items.items)
}

/// A type's id in two: the plural, and the group (empty for the core group).
fn split_type(type_id: &str) -> (&str, &str) {
    type_id.split_once('.').unwrap_or((type_id, ""))
}
