//! The nodes of a swarm.

use axum::http::StatusCode;
use drover_api::{
    LeaveNode, List, NodeAvailability, NodeRole, Operation, OperationKind, SwarmNode, UpdateNode,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    super::{
        membership::{DRAINED, Leaving, set_role},
        view::role,
    },
    Target,
    cluster::check_quorum,
};
use crate::{
    error::{Error, Result},
    extract::{Json, ListQuery, Path, Query, SortKey},
    hosts::driver::swarm::Node,
};

/// The most labels that a node may have.
const MOST_LABELS: usize = 100;

impl Target {
    fn node(&self, id: &str) -> Result<Node> {
        let view = self.live.view();
        let found = view.nodes.iter().find(|n| n.id == id || n.description.hostname == id);
        let node = found.cloned().ok_or_else(|| Error::not_found("node"))?;
        self.note.target(&node.id, &node.description.hostname);
        Ok(node)
    }

    fn told_node(&self, id: &str) -> Result<SwarmNode> {
        let nodes = self.live.view().nodes(&self.live.hosts_by_node());
        nodes.into_iter().find(|node| node.id == id).ok_or_else(|| Error::not_found("node"))
    }
}

/// List the swarm's nodes
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/nodes", tag = "swarm",
    params(("environment_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<SwarmNode>)))]
pub(super) async fn list(
    target: Target,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<SwarmNode>>> {
    let nodes = target.live.view().nodes(&target.live.hosts_by_node());
    let page = query.page(
        nodes,
        &["hostname", "role", "availability", "state", "running_tasks", "created_at"],
        "hostname",
        |node| {
            let labels = node.labels.iter().map(|(k, v)| format!("{k}={v}"));
            let labels: Vec<String> = labels.collect();
            let host = node.host_name.as_deref().unwrap_or_default();
            format!("{} {host} {} {}", node.hostname, node.address, labels.join(" "))
        },
        |node, field| match field {
            "role" => SortKey::Number(node.role as i64),
            "availability" => SortKey::Number(node.availability as i64),
            "state" => SortKey::text(&node.state),
            "running_tasks" => SortKey::Number(node.running_tasks.into()),
            "created_at" => SortKey::Number(node.created_at.map_or(0, |at| at.unix_ms())),
            _ => SortKey::text(&node.hostname),
        },
    )?;
    Ok(Json(target.page(page)))
}

/// Show a node
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/nodes/{node_id}", tag = "swarm",
    params(("environment_id" = Uuid, Path), ("node_id" = String, Path)),
    responses((status = 200, body = SwarmNode)))]
pub(super) async fn get(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
) -> Result<Json<SwarmNode>> {
    let node = target.node(&id)?;
    target.told_node(&node.id).map(Json)
}

/// Change a node
///
/// Promote or demote, activate, pause or drain it, or set its labels.
#[utoipa::path(patch, path = "/v1/environments/{environment_id}/swarm/nodes/{node_id}",
    tag = "swarm", request_body(content = UpdateNode, example = json!({ "availability": "drain" })),
    params(("environment_id" = Uuid, Path), ("node_id" = String, Path)),
    responses((status = 200, body = SwarmNode)))]
pub(super) async fn update(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
    Json(input): Json<UpdateNode>,
) -> Result<Json<SwarmNode>> {
    let node = target.node(&id)?;
    if let Some(labels) = &input.labels {
        let fits = labels.len() <= MOST_LABELS
            && labels.iter().all(|(key, value)| {
                (1..=128).contains(&key.len())
                    && key.bytes().all(|b| b.is_ascii_graphic() && b != b'=')
                    && value.len() <= 256
            });
        if !fits {
            let message = "At most 100, with keys of 1 to 128 characters without `=` and values of at most 256.";
            return Err(Error::invalid_field("labels", message));
        }
    }
    if let Ok(what) = serde_json::to_value(&input) {
        target.note.detail("change", what);
    }
    let docker = target.docker()?;
    if input.role == Some(NodeRole::Worker) && role(&node) == NodeRole::Manager {
        check_quorum(&target, &node.id)?;
    }
    docker
        .change_node(&node.id, |spec| {
            if let Some(role) = input.role {
                set_role(role)(spec);
            }
            if let Some(availability) = input.availability {
                spec["Availability"] = match availability {
                    NodeAvailability::Active => "active",
                    NodeAvailability::Pause => "pause",
                    NodeAvailability::Drain => "drain",
                }
                .into();
            }
            if let Some(labels) = &input.labels {
                let kept = spec["Labels"][DRAINED].as_str().map(str::to_owned);
                spec["Labels"] = serde_json::json!(labels);
                if let Some(kept) = kept {
                    spec["Labels"][DRAINED] = kept.into();
                }
            }
        })
        .await?;
    // The answer tells what the swarm has now.
    let changed = docker.find_node(&node.id).await?.ok_or_else(|| Error::not_found("node"))?;
    target.live.update(|view| {
        let nodes = std::sync::Arc::make_mut(&mut view.nodes);
        match nodes.iter_mut().find(|node| node.id == changed.id) {
            Some(node) => {
                *node = changed;
                true
            }
            None => false,
        }
    });
    target.live.poke.notify_one();
    target.told_node(&node.id).map(Json)
}

/// Have a node leave the swarm
///
/// Its tasks move elsewhere, a manager becomes a worker, and it leaves. Answers at once; follow
/// the operation.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/swarm/nodes/{node_id}/leave",
    tag = "swarm", request_body = LeaveNode,
    params(("environment_id" = Uuid, Path), ("node_id" = String, Path)),
    responses((status = 202, body = Operation)))]
pub(super) async fn leave(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
    Json(input): Json<LeaveNode>,
) -> Result<(StatusCode, Json<Operation>)> {
    let node = target.node(&id)?;
    target.note.detail("force", input.force);
    target.docker()?;
    if role(&node) == NodeRole::Manager && !input.force {
        check_quorum(&target, &node.id)?;
    }
    if target.live.view().nodes.len() <= 1 {
        return Err(Error::conflict(
            "last_node",
            "It is the swarm's only node. Dissolve the swarm instead.",
        ));
    }
    let leaving = Leaving { node_id: node.id, force: input.force };
    let input = serde_json::to_value(&leaving).map_err(Error::internal)?;
    target.begin(OperationKind::LeaveSwarm, input).await
}

/// How to remove a node.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RemoveQuery {
    /// Though it is up.
    #[serde(default)]
    force: bool,
}

/// Remove a node that is down
///
/// From the swarm's list: for machines that are gone for good.
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/swarm/nodes/{node_id}",
    tag = "swarm",
    params(("environment_id" = Uuid, Path), ("node_id" = String, Path), RemoveQuery),
    responses((status = 204, description = "Removed")))]
pub(super) async fn remove(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
    Query(query): Query<RemoveQuery>,
) -> Result<StatusCode> {
    let node = target.node(&id)?;
    let docker = target.docker()?;
    if node.status.state == "ready" && !query.force {
        return Err(Error::conflict(
            "node_is_up",
            "This node is up: have it leave, which moves its tasks elsewhere first.",
        ));
    }
    if role(&node) == NodeRole::Manager {
        check_quorum(&target, &node.id)?;
        docker.change_node(&node.id, set_role(NodeRole::Worker)).await?;
    }
    let was_manager = role(&node) == NodeRole::Manager;
    let mut tries = 0;
    loop {
        match docker.remove_node(&node.id, query.force || was_manager).await {
            // One that was demoted a moment ago is still counted among the managers.
            Err(error) if was_manager && tries < 20 && !error.is_transient() => tries += 1,
            other => break other?,
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    target.live.poke.notify_one();
    Ok(StatusCode::NO_CONTENT)
}
