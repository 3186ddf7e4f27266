//! What a stack has in the cluster of its environment: links to the lists of it.

use leptos::prelude::*;

use crate::{
    api::encode,
    components::*,
    environment::Env,
    i18n::t,
    icons::{Glyph, Icon},
};

/// The types that stacks have objects of.
const TYPES: [(&str, &str, Glyph); 9] = [
    ("deployments.apps", "Deployments", Glyph::Stack),
    ("statefulsets.apps", "StatefulSets", Glyph::Stack),
    ("daemonsets.apps", "DaemonSets", Glyph::Host),
    ("pods", "Pods", Glyph::Container),
    ("services", "Services", Glyph::Network),
    ("ingresses.networking.k8s.io", "Ingresses", Glyph::Globe),
    ("configmaps", "ConfigMaps", Glyph::Settings),
    ("secrets", "Secrets", Glyph::Lock),
    ("persistentvolumeclaims", "PersistentVolumeClaims", Glyph::Volume),
];

/// The links.
#[component]
pub(super) fn InCluster(
    env: Env,
    /// The stack's id.
    stack: String,
    /// Of this service of it only.
    #[prop(optional, into)]
    service: Option<String>,
) -> impl IntoView {
    let mut selector = format!("drover.io/stack={stack}");
    if let Some(service) = service {
        selector.push_str(&format!(",drover.io/service={service}"));
    }
    let links = TYPES
        .map(|(id, name, glyph)| {
            let href = env.path(&format!("kubernetes/{id}?selector={}", encode(&selector)));
            view! {
                <li>
                    <Icon glyph=glyph />
                    <a class="grow" href=href>{name}</a>
                    <Icon glyph=Glyph::ChevronRight size=14 class="faint" />
                </li>
            }
        })
        .collect_view();
    view! { <Card title=t().frame.resources><ul class="line-list">{links}</ul></Card> }
}
