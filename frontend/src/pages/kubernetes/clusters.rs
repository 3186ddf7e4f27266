//! For administrators: the Kubernetes clusters.

use drover_api::{ClusterSource, KubernetesCluster, Topic};
use leptos::prelude::*;

use crate::{
    components::*,
    format,
    i18n::{clusters, t},
    icons::Glyph,
};

/// The page of a cluster.
pub(super) fn cluster_page(id: impl std::fmt::Display) -> String {
    format!("/admin/clusters/{id}")
}

/// The list.
#[component]
pub fn Clusters() -> impl IntoView {
    let words = clusters();
    let add = move || {
        view! { <ButtonLink look=Look::Primary icon=Glyph::Plus href="/admin/clusters/new" label=words.import /> }
    };
    let table = TableSpec::new(
        |ask| ask.get("kubernetes/clusters"),
        |cluster: &KubernetesCluster| cluster.id.to_string(),
    )
    .column(
        Column::new("name", t().common.name, |cluster: &KubernetesCluster| {
            let under = match cluster.source {
                ClusterSource::Agent => clusters().by_agent.to_owned(),
                ClusterSource::Kubeconfig => cluster.server.clone().unwrap_or_default(),
            };
            view! {
                <span class="two">
                    <span class="strong truncate" title=cluster.name.clone()>{cluster.name.clone()}</span>
                    <span class="truncate" title=under.clone()>{under.clone()}</span>
                </span>
            }
        })
        .sort()
        .grow(2),
    )
    .column(
        Column::new("state", t().common.state, |cluster: &KubernetesCluster| {
            let reason = cluster.reason.clone();
            view! {
                <span class="two">
                    <span><StatePill state=cluster.state title=reason.clone().unwrap_or_default() /></span>
                    {reason.map(|reason| view! { <span class="truncate" title=reason.clone()>{reason.clone()}</span> })}
                </span>
            }
        })
        .sort()
        .grow(2),
    )
    .column(
        Column::new("version", words.version, |cluster: &KubernetesCluster| {
            view! {
                <span class="two">
                    <span class="truncate">{cluster.version.clone().unwrap_or_else(|| "–".into())}</span>
                    <span class="truncate">{cluster.provider.clone()}</span>
                </span>
            }
        })
        .width(8.0),
    )
    .column(
        Column::new("nodes", words.nodes, |cluster: &KubernetesCluster| {
            view! { <span class="nums">{format!("{} / {}", cluster.nodes_ready, cluster.nodes)}</span> }
        })
        .width(6.0),
    )
    .column(
        Column::new("pods", words.pods, |cluster: &KubernetesCluster| {
            view! { <span class="nums">{format::count(u64::from(cluster.pods))}</span> }
        })
        .width(5.0),
    )
    .column(
        Column::new("environments", words.environments, |cluster: &KubernetesCluster| {
            let names: Vec<_> = cluster.environments.iter().map(|one| one.name.clone()).collect();
            let line = names.join(", ");
            view! { <span class="truncate" title=line.clone()>{line.clone()}</span> }
        })
        .grow(2),
    )
    .column(
        Column::new("last_contact", words.last_contact, |cluster: &KubernetesCluster| {
            view! { <TimeAgoOr at=cluster.last_contact /> }
        })
        .width(8.0),
    )
    .name(|cluster| cluster.name.clone())
    .link(|cluster| cluster_page(cluster.id))
    .sorted("name")
    .live(&[Topic::KubernetesCluster, Topic::Environment])
    .empty(move || {
        view! {
            <Empty glyph=Glyph::Kubernetes title=words.none text=words.none_text>
                {add()}
            </Empty>
        }
    });
    view! {
        <Page title=words.title sub=words.text actions=add>
            <Table spec=table label=words.title />
        </Page>
    }
}
