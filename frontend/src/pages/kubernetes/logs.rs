//! The logs of a pod, or of all pods of a workload together.

use drover_api::ResourceRow;
use leptos::prelude::*;
use serde_json::Value;

use super::{Kube, actions, facts::pod_selector, pods::followed};
use crate::{
    api::encode,
    components::*,
    i18n::kubernetes,
    pages::container_logs::{LogOf, Logs},
    remote::Remote,
};

/// Which log, chosen above it.
#[derive(Clone, PartialEq)]
struct Choice {
    pod: String,
    container: String,
    previous: bool,
}

/// The names of the containers in a workload's pods, or in a pod.
fn container_names(object: &Value) -> Vec<String> {
    match object.pointer("/spec/template") {
        Some(template) => actions::containers(template),
        None => actions::containers(object),
    }
}

/// The tab.
#[component]
pub(super) fn ObjectLogs(
    kube: Kube,
    type_id: String,
    namespace: String,
    name: String,
    object: Signal<Value>,
) -> impl IntoView {
    let words = kubernetes();
    let (pod, container) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let previous = RwSignal::new(false);
    let containers = Memo::new(move |_| object.with(container_names));
    let is_pod = type_id == "pods";
    let selector = untrack(|| object.with(|object| pod_selector(&type_id, object)));
    let pods: Option<Remote<Vec<ResourceRow>>> =
        (!is_pod).then(|| followed(kube, namespace.clone(), selector.clone().unwrap_or_default()));
    let pod_options = Signal::derive(move || {
        let rows = pods.and_then(Remote::get).unwrap_or_default();
        let rows = rows.into_iter().map(|row| (row.name.clone(), row.name));
        std::iter::once((String::new(), words.all_pods.to_owned())).chain(rows).collect::<Vec<_>>()
    });
    let container_options = Signal::derive(move || {
        let all = containers.get().into_iter().map(|name| (name.clone(), name));
        std::iter::once((String::new(), words.all_containers.to_owned()))
            .chain(all)
            .collect::<Vec<_>>()
    });
    let choice = Memo::new(move |_| Choice {
        pod: pod.get(),
        container: container.get(),
        previous: previous.get(),
    });
    let path = kube.env.api("kubernetes");
    let shown_name = Signal::derive({
        let name = name.clone();
        move || name.clone()
    });
    // A pod that has ended may be started anew.
    let running = Signal::derive(|| true);
    let log = move |choice: Choice| {
        let (of_type, of_name) = match choice.pod.is_empty() {
            true => (type_id.as_str(), name.as_str()),
            false => ("pods", choice.pod.as_str()),
        };
        let mut query = format!(
            "&type={}&namespace={}&name={}",
            encode(of_type),
            encode(&namespace),
            encode(of_name)
        );
        if !choice.container.is_empty() {
            query.push_str(&format!("&container={}", encode(&choice.container)));
        }
        if choice.previous {
            query.push_str("&previous=true");
        }
        let of = LogOf::Pods {
            many: !is_pod && choice.pod.is_empty(),
            containers: choice.container.is_empty()
                && containers.with_untracked(|all| all.len() > 1),
        };
        view! { <Logs path=path.clone() name=shown_name running=running of=of query=query /> }
    };
    view! {
        <div class="toolbar">
            {pods.map(|_| view! { <Select label=words.pod value=pod options=pod_options /> })}
            {move || (containers.with(Vec::len) > 1).then(|| view! { <Select label=words.container value=container options=container_options /> })}
            <Switch label=words.previous checked=previous />
        </div>
        {move || log(choice.get())}
    }
    .into_any()
}
