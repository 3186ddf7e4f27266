//! Networks of a swarm.

use axum::http::StatusCode;
use drover_api::{CreateSwarmNetwork, FieldError, List, SwarmNetwork};
use uuid::Uuid;

use super::{super::view::SeenNetwork, Target};
use crate::{
    error::{Error, Result},
    extract::{Json, ListQuery, Path, Query, SortKey},
    hosts::driver::models,
};

/// List the swarm's networks
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/networks", tag = "swarm",
    params(("environment_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<SwarmNetwork>)))]
pub(super) async fn list(
    target: Target,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<SwarmNetwork>>> {
    let page = query.page(
        target.live.view().networks(),
        &["name", "driver", "stack", "created_at"],
        "name",
        |network| format!("{} {}", network.name, network.subnets.join(" ")),
        |network, field| match field {
            "driver" => SortKey::text(&network.driver),
            "stack" => SortKey::text(network.stack.as_deref().unwrap_or_default()),
            "created_at" => SortKey::Number(network.created_at.map_or(0, |at| at.unix_ms())),
            _ => SortKey::text(&network.name),
        },
    )?;
    Ok(Json(target.page(page)))
}

/// Make an overlay network
#[utoipa::path(post, path = "/v1/environments/{environment_id}/swarm/networks", tag = "swarm",
    request_body(content = CreateSwarmNetwork, example = json!({ "name": "backend", "attachable": true })),
    params(("environment_id" = Uuid, Path)), responses((status = 201, body = SwarmNetwork)))]
pub(super) async fn create(
    target: Target,
    Json(input): Json<CreateSwarmNetwork>,
) -> Result<(StatusCode, Json<SwarmNetwork>)> {
    let mut errors = Vec::new();
    if !super::files::is_name(&input.name) {
        let message = "1 to 64 letters, digits, `.`, `_` and `-`.";
        errors.push(FieldError::new("name", message));
    }
    if input.subnet.as_deref().is_some_and(|subnet| !is_subnet(subnet)) {
        errors.push(FieldError::new("subnet", "A network such as `10.40.0.0/24`."));
    }
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    let docker = target.docker()?;
    if docker.find_network(&input.name).await?.is_some() {
        return Err(Error::conflict("name_taken", "There is a network with this name."));
    }
    let encrypted = input.encrypted.then(|| [("encrypted".to_owned(), String::new())].into());
    let pool = |subnet| models::IpamConfig { subnet: Some(subnet), ..Default::default() };
    let request = models::NetworkCreateRequest {
        name: input.name.clone(),
        driver: Some("overlay".into()),
        attachable: Some(input.attachable),
        internal: Some(input.internal),
        options: encrypted,
        ipam: input
            .subnet
            .map(|subnet| models::Ipam { config: Some(vec![pool(subnet)]), ..Default::default() }),
        ..Default::default()
    };
    let id = docker.create_network(request).await?;
    target.note.target(&id, &input.name);
    let all = docker.list_networks().await?;
    let found = all.into_iter().filter_map(|n| SeenNetwork::read(target.access.id, n));
    let networks: Vec<SeenNetwork> = found.collect();
    target.live.update(|view| {
        view.networks = std::sync::Arc::new(networks);
        true
    });
    let told = target.live.view().networks().into_iter().find(|network| network.id == id);
    let told = told.ok_or_else(|| Error::not_found("network"))?;
    Ok((StatusCode::CREATED, Json(told)))
}

fn is_subnet(text: &str) -> bool {
    text.split_once('/').is_some_and(|(ip, bits)| {
        ip.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= 128)
    })
}

/// Remove a network
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/swarm/networks/{network_id}",
    tag = "swarm", params(("environment_id" = Uuid, Path), ("network_id" = String, Path)),
    responses((status = 204, description = "Removed")))]
pub(super) async fn remove(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
) -> Result<StatusCode> {
    let view = target.live.view();
    let network = view.networks.iter().find(|n| n.id == id || n.name == id);
    let network = network.ok_or_else(|| Error::not_found("network"))?;
    target.note.target(&network.id, &network.name);
    target.check_free("network", &network.belongs)?;
    if network.ingress {
        return Err(Error::conflict("ingress", "The routing mesh needs this network."));
    }
    target.docker()?.remove_network(&network.id).await?;
    target.live.poke.notify_one();
    Ok(StatusCode::NO_CONTENT)
}
