//! Kubernetes: clusters for administrators, and what an environment on one has: its overview, the
//! resource browser, the pages of objects, and making new ones.

mod actions;
mod browser;
mod cluster;
mod clusters;
mod columns;
mod create;
mod edit;
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

use drover_api::{EnvironmentCluster, Event, ResourceType, Topic};
use leptos::prelude::*;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    api::{self, encode},
    environment::{Env, use_env},
    live::{throttled, use_live},
    remote::Remote,
};

/// How often the objects of all types are counted at most, in milliseconds.
const COUNTED_EVERY: u64 = 3_000;

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
            Remote::new(move || api::get(env.api("kubernetes")).json::<EnvironmentCluster>()).live(
                &[Topic::KubernetesCluster, Topic::Environment, Topic::KubernetesResources],
                |event| event.topic != Topic::KubernetesResources || event.id == "namespaces",
            );
        let types = Remote::new(move || all(api::get(env.api("kubernetes/types"))))
            .live(&[Topic::KubernetesCluster], |_| true);
        // Counts are not worth more: all types are in one answer.
        let count = throttled(COUNTED_EVERY, move || types.reload());
        use_live(move |event| {
            if event.is_some_and(|event| event.topic == Topic::KubernetesResources) {
                count();
            }
        });
        let kube = Self { env, cluster, types };
        provide_context(kube);
        kube
    }

    /// The type of this id, as it is known now.
    fn of(self, id: &str) -> Option<ResourceType> {
        self.types.with(|all| all?.iter().find(|one| one.id == id).cloned())
    }

    /// The page of what an event is about: `pod/web-0`, as events name it.
    fn page_about(self, reference: &str, namespace: Option<&str>) -> Option<String> {
        let (kind, name) = reference.split_once('/')?;
        self.types.look(|all| {
            let of = all?.iter().find(|of| of.kind.eq_ignore_ascii_case(kind))?;
            Some(self.object_page(&of.id, namespace.filter(|_| of.namespaced), name))
        })
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

/// Whether what was told of may be this object, or one of its events in the cluster: those are
/// called after it. What is too much to be named may be anything of the type.
fn is_about(told: &Event, type_id: &str, namespace: Option<&str>, name: &str) -> bool {
    let names = told.object.as_ref().and_then(|object| object.get("names")?.as_array());
    let own = format!("{}/{name}", namespace.unwrap_or("-"));
    match names {
        Some(names) if told.id == type_id => names.iter().any(|name| *name == *own),
        Some(names) if told.id == "events" => {
            let is_its =
                |event: &str| event.strip_prefix(&own).is_some_and(|rest| rest.starts_with('.'));
            names.iter().filter_map(|name| name.as_str()).any(is_its)
        }
        Some(_) => false,
        None => told.id == type_id,
    }
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

#[cfg(test)]
mod tests {
    use drover_api::Change;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_about_what_it_names() {
        let event = |object| Event {
            topic: Topic::KubernetesResources,
            environment_id: None,
            id: "pods".into(),
            host_id: None,
            change: Change::Updated,
            object,
        };
        let named = event(Some(json!({ "names": ["shop/web", "-/node-1"] })));
        assert!(is_about(&named, "pods", Some("shop"), "web"));
        assert!(is_about(&named, "pods", None, "node-1"));
        assert!(!is_about(&named, "pods", Some("other"), "web"));
        assert!(!is_about(&named, "services", Some("shop"), "web"));
        assert!(is_about(&event(None), "pods", Some("other"), "web"));
        let of_cluster =
            Event { id: "events".into(), ..event(Some(json!({ "names": ["shop/web.1f"] }))) };
        assert!(is_about(&of_cluster, "pods", Some("shop"), "web"));
        assert!(!is_about(&of_cluster, "pods", Some("shop"), "we"));
    }
}
