//! The pods that an object stands for, each with how it is and why.

use drover_api::{ResourceList, ResourceRow, Topic};
use leptos::prelude::*;

use super::{Kube, all, columns::titled, list::rows};
use crate::{api, components::*, i18n::kubernetes, icons::Glyph, remote::Remote};

/// Which pods.
#[derive(Clone, PartialEq)]
pub(super) enum Which {
    /// Those that a label selector chooses in a namespace.
    Selected(String, String),
    /// Those that belong to an object of a namespace, e.g. `cronjobs.batch/backup`.
    Of(String, String),
    /// Those on a node.
    OnNode(String),
    /// Those in a namespace.
    In(String),
}

impl Which {
    fn query(&self) -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match self {
            Self::Selected(namespace, selector) => {
                vec![pair("namespace", namespace), pair("selector", selector)]
            }
            Self::Of(namespace, owner) => vec![pair("namespace", namespace), pair("owner", owner)],
            Self::OnNode(node) => vec![pair("node", &format!("={node}"))],
            Self::In(namespace) => vec![pair("namespace", namespace)],
        }
    }
}

/// The pods, as a list.
#[component]
pub(super) fn Pods(kube: Kube, which: Which) -> impl IntoView {
    let words = kubernetes();
    let of = Memo::new(move |_| {
        kube.of("pods").map(|of| drover_api::ResourceType { count: None, ..of })
    });
    let path = kube.env.api("kubernetes/resources/pods");
    let head = Remote::new(move || api::get(path.clone()).query("limit", 1).json::<ResourceList>());
    let show_namespace = matches!(which, Which::OnNode(_));
    view! {
        <Loaded remote=head lines=4 let:head>
            {
                let columns = Memo::new(move |_| head.with(|head| titled(&head.columns)));
                let which = which.clone();
                move || of.get().map(|of| {
                    let which = which.clone();
                    let spec = rows(kube, &of, &columns.get(), false, show_namespace, move || which.query(), Trigger::new())
                        .inner()
                        .empty(move || view! { <Empty glyph=Glyph::Container title=words.no_pods text=words.no_pods_text /> });
                    view! { <Table spec=spec label=words.pods /> }
                })
            }
        </Loaded>
    }
    .into_any()
}

/// The pods of a selector, for the logs: followed as they come and go.
pub(super) fn followed(
    kube: Kube,
    namespace: String,
    selector: String,
) -> Remote<Vec<ResourceRow>> {
    let path = kube.env.api("kubernetes/resources/pods");
    Remote::new(move || {
        all::<ResourceRow>(
            api::get(path.clone())
                .query("namespace", &namespace)
                .query("selector", &selector)
                .query("limit", 200),
        )
    })
    .live(&[Topic::KubernetesResources], |event| event.id == "pods")
}
