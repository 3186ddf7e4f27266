//! Pictures of applications, drawn from the index.

use drover_api::{ObjectHealth, Picture, PictureNode};
use drover_kubernetes::{
    facts::Health,
    picture::{self, Node, Target as Of},
};

use super::{super::failed, objects::ObjectPath, target::Target};
use crate::{
    error::{Error, Result},
    extract::{Json, Path},
};

/// The column that objects of a type stand in, from the left.
fn rank(resource: &str) -> u32 {
    match resource {
        "ingresses.networking.k8s.io" | "httproutes.gateway.networking.k8s.io" => 0,
        "services" | "horizontalpodautoscalers.autoscaling" => 1,
        "replicasets.apps" | "jobs.batch" => 3,
        "pods" => 4,
        "persistentvolumeclaims" => 5,
        _ => 2,
    }
}

fn health(health: Health) -> ObjectHealth {
    match health {
        Health::Failed => ObjectHealth::Failed,
        Health::Degraded | Health::Unknown => ObjectHealth::Degraded,
        Health::Progressing => ObjectHealth::Progressing,
        Health::Healthy => ObjectHealth::Healthy,
    }
}

fn node(target: &Target, node: &Node) -> PictureNode {
    let kind = target.kind(&node.resource).map(|kind| kind.kind.clone()).unwrap_or_default();
    let missing = node.missing.then(|| format!("There is no {kind} of this name."));
    PictureNode {
        rank: rank(&node.resource),
        kind,
        type_id: node.resource.clone(),
        namespace: Some(node.namespace.clone()).filter(|text| !text.is_empty()),
        name: node.name.clone(),
        health: Some(if node.missing { ObjectHealth::Failed } else { health(node.health) }),
        reason: node.why.clone().or(missing),
        evidence: node.event.as_ref().map(|event| format!("{}: {}", event.reason, event.message)),
    }
}

/// Show the picture of an application
///
/// What leads to a workload from outside, its pods and the claims that they mount, each with its
/// health, why it is not healthy, and the event behind that.
#[utoipa::path(get, tag = "kubernetes",
    path = "/v1/environments/{environment_id}/kubernetes/objects/{type}/{namespace}/{name}/picture",
    params(("environment_id" = uuid::Uuid, Path), ("type" = String, Path), ("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Picture)))]
pub(super) async fn show(
    target: Target,
    Path((_environment, kind, namespace, name)): ObjectPath,
) -> Result<Json<Picture>> {
    let place = target.place(&kind, &namespace, &name)?;
    let namespace = place.namespace.as_deref().ok_or_else(|| Error::not_found("object"))?;
    let of = Of::Workload { resource: place.kind.name.to_string(), name: place.name.clone() };
    let scope = target.scope(&place.kind);
    let drawn = picture::draw(&target.live.index, &scope, namespace, &of).await.map_err(failed)?;
    let position = |id: &str| {
        let at = drawn.nodes.iter().position(|node| node.id == id)?;
        u32::try_from(at).ok()
    };
    let edges = drawn.edges.iter();
    Ok(Json(Picture {
        edges: edges
            .filter_map(|edge| Some((position(&edge.from)?, position(&edge.to)?)))
            .collect(),
        nodes: drawn.nodes.iter().map(|one| node(&target, one)).collect(),
    }))
}
