//! What nodes, pods and workloads use.

use std::collections::BTreeMap;

use drover_api::{ClusterMetrics, ObjectMetrics};
use serde::Deserialize;

use super::{
    super::metrics::{self, Series},
    target::Target,
};
use crate::{
    error::Result,
    extract::{Json, Query},
};

/// The most objects of one answer: those that use most.
const MOST: usize = 200;
/// Installs metrics-server, as its project says.
const ADVICE: &str = "kubectl apply -f https://github.com/kubernetes-sigs/metrics-server/releases/latest/download/components.yaml";

/// Of what.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MetricsQuery {
    /// `pods` (default), `nodes`, or the type of a workload.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Of this namespace only.
    namespace: Option<String>,
    /// Of this object only; of a workload, its pods one by one.
    name: Option<String>,
}

fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// Show what nodes, pods or workloads use
///
/// The samples of some minutes. They are taken from metrics.k8s.io while somebody looks; where the
/// cluster has none, the answer says how to install it. At most the 200 that use most.
#[utoipa::path(get, tag = "kubernetes",
    path = "/v1/environments/{environment_id}/kubernetes/metrics",
    params(("environment_id" = Uuid, Path), MetricsQuery),
    responses((status = 200, body = ClusterMetrics)))]
pub(super) async fn show(
    target: Target,
    Query(query): Query<MetricsQuery>,
) -> Result<Json<ClusterMetrics>> {
    let kind = target.kind(given(query.kind.as_ref()).unwrap_or("pods"))?;
    let (namespace, name) = (given(query.namespace.as_ref()), given(query.name.as_ref()));
    if let Some(namespace) = namespace.filter(|_| kind.namespaced) {
        target.check_namespace(namespace)?;
    }
    // Of a cluster that is away there is what was measured before, or nothing.
    if target.live.metrics.nodes().is_empty() {
        target.live.connected()?;
    }
    if let Err(why) = target.live.metrics.look().await {
        let advice = why.unwrap_or_else(|| ADVICE.to_owned());
        let none = ClusterMetrics { available: false, advice: Some(advice), items: Vec::new() };
        return Ok(Json(none));
    }
    let scope = target.scope(&kind);
    let metrics = &target.live.metrics;
    let wanted = |of: &str| scope.allows(of) && namespace.is_none_or(|wanted| wanted == of);
    let mut items = match &*kind.name {
        "nodes" => {
            let mut nodes = metrics.nodes();
            nodes.retain(|node| name.is_none_or(|name| *node.name == *name));
            nodes.into_iter().map(show_one).collect()
        }
        "pods" => {
            let own = |of: &str, pod: &str| wanted(of) && name.is_none_or(|name| pod == name);
            metrics.pods(own).into_iter().map(show_one).collect()
        }
        _ => of_workloads(&target, &kind.kind, name, metrics.pods(|of, _| wanted(of))),
    };
    let used = |one: &ObjectMetrics| one.samples.last().map_or(0, |last| last.cpu_millis);
    items.sort_by(|a, b| used(b).cmp(&used(a)).then_with(|| a.name.cmp(&b.name)));
    items.truncate(MOST);
    Ok(Json(ClusterMetrics { available: true, advice: None, items }))
}

fn show_one(series: Series) -> ObjectMetrics {
    ObjectMetrics {
        namespace: Some(series.namespace.to_string()).filter(|text| !text.is_empty()),
        name: series.name.to_string(),
        samples: series.samples,
    }
}

/// The workloads of a kind, each the sum of its pods; of one workload, its pods.
fn of_workloads(
    target: &Target,
    kind: &str,
    name: Option<&str>,
    pods: Vec<Series>,
) -> Vec<ObjectMetrics> {
    let Some(list) = target.live.index.opened("pods") else { return Vec::new() };
    let scope = target.scope(list.resource());
    let mut of_each: BTreeMap<(String, String), Vec<Series>> = BTreeMap::new();
    for pod in pods {
        let row = list.get(&scope, &pod.namespace, &pod.name);
        let Some(row) = row else { continue };
        let direct = row.controller().map(|owner| (&*owner.kind, &*owner.name));
        let owner = [row.workload(), direct].into_iter().flatten().find(|(of, _)| *of == kind);
        if let Some((_, owner)) = owner.filter(|(_, owner)| name.is_none_or(|name| name == *owner))
        {
            of_each.entry((pod.namespace.to_string(), owner.to_owned())).or_default().push(pod);
        }
    }
    if name.is_some() {
        return of_each.into_values().flatten().map(show_one).collect();
    }
    let sum = |((namespace, name), pods): ((String, String), Vec<Series>)| ObjectMetrics {
        namespace: Some(namespace),
        name,
        samples: metrics::sum(&pods),
    };
    of_each.into_iter().map(sum).collect()
}
