//! Services, tasks and stacks of a swarm, whoever made them.

use axum::http::StatusCode;
use drover_api::{
    List, Permission, ScaleSwarmService, ServiceMode, SwarmService, SwarmServiceDetail, SwarmStack,
    SwarmTask, UpdateSwarmService,
};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    super::{
        spec::IMAGE,
        view::{SeenService, split_digest},
    },
    Target,
};
use crate::{
    error::{Error, Result},
    extract::{Json, ListQuery, Path, Query, SortKey},
    hosts::{
        self,
        driver::{self, Docker, RegistryAuth, swarm::Service},
    },
};

/// The most tasks that a scale may ask for.
const MOST_REPLICAS: u32 = 1000;

impl Target {
    /// A service, as it is in the swarm now.
    async fn service(&self, id: &str) -> Result<(Docker, Service, SeenService)> {
        let docker = self.docker()?;
        let service = docker.find_service(id).await?.ok_or_else(|| Error::not_found("service"))?;
        let seen = SeenService::read(self.access.id, &service);
        self.note.target(&service.id, service.name());
        Ok((docker, service, seen))
    }

    /// A service that may be changed here.
    async fn own_service(&self, id: &str) -> Result<(Docker, Service, SeenService)> {
        let (docker, service, seen) = self.service(id).await?;
        self.check_free("service", &seen.belongs)?;
        Ok((docker, service, seen))
    }

    /// The answer to a change: the service as it is now.
    async fn changed(&self, docker: &Docker, id: &str) -> Result<Json<SwarmService>> {
        self.live.poke.notify_one();
        let service = docker.find_service(id).await?.ok_or_else(|| Error::not_found("service"))?;
        let seen = SeenService::read(self.access.id, &service);
        Ok(Json(self.live.view().service(&seen)))
    }
}

/// Which services.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ServicesQuery {
    /// Of this stack, by the name that `docker stack ls` shows.
    stack: Option<String>,
}

/// List the swarm's services
///
/// All of them: of Drover's stacks, of stacks made on the command line, and single ones.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/services", tag = "swarm",
    params(("environment_id" = Uuid, Path), ListQuery, ServicesQuery),
    responses((status = 200, body = List<SwarmService>)))]
pub(super) async fn list(
    target: Target,
    Query(query): Query<ListQuery>,
    Query(filter): Query<ServicesQuery>,
) -> Result<Json<List<SwarmService>>> {
    let mut services = target.live.view().services();
    if let Some(stack) = filter.stack.filter(|stack| !stack.is_empty()) {
        services.retain(|service| service.stack.as_deref() == Some(stack.as_str()));
    }
    let page = query.page(
        services,
        &["name", "state", "stack", "image", "mode", "running", "created_at", "updated_at"],
        "name",
        |service| {
            let stack = service.stack.as_deref().unwrap_or_default();
            format!("{} {stack} {}", service.name, service.image)
        },
        |service, field| match field {
            "state" => SortKey::Number(service.state as i64),
            "stack" => SortKey::text(service.stack.as_deref().unwrap_or_default()),
            "image" => SortKey::text(&service.image),
            "mode" => SortKey::Number(service.mode as i64),
            "running" => SortKey::Number(service.running.into()),
            "created_at" => SortKey::Number(service.created_at.map_or(0, |at| at.unix_ms())),
            "updated_at" => SortKey::Number(service.updated_at.map_or(0, |at| at.unix_ms())),
            _ => SortKey::text(&service.name),
        },
    )?;
    Ok(Json(target.page(page)))
}

/// Show a service
///
/// By id or name. The values of environment variables, which may be secret, are shown to those who
/// may deploy.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/services/{service_id}",
    tag = "swarm", params(("environment_id" = Uuid, Path), ("service_id" = String, Path)),
    responses((status = 200, body = SwarmServiceDetail)))]
pub(super) async fn get(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
) -> Result<Json<SwarmServiceDetail>> {
    let (_, service, seen) = target.service(&id).await?;
    let view = target.live.view();
    let mut tasks = view.tasks(&target.live.hosts_by_node(), |task| task.service_id == service.id);
    tasks.sort_by_key(|task| std::cmp::Reverse(task.created_at));
    let networks = seen.networks.iter().map(|id| {
        let known = view.networks.iter().find(|n| n.id == *id || n.name == *id);
        known.map_or_else(|| id.clone(), |network| network.name.clone())
    });
    let told = view.service(&seen);
    Ok(Json(detail(
        told,
        tasks,
        networks.collect(),
        &service,
        target.access.may(Permission::Deploy),
    )))
}

fn detail(
    told: SwarmService,
    tasks: Vec<SwarmTask>,
    networks: Vec<String>,
    service: &Service,
    shows_values: bool,
) -> SwarmServiceDetail {
    let task = &service.spec["TaskTemplate"];
    let container = &task["ContainerSpec"];
    let strings = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let names = |value: &Value, key: &str| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(|item| item[key].as_str().map(str::to_owned)).collect()
    };
    let environment = strings(&container["Env"]).into_iter().map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
        (name.to_owned(), shows_values.then(|| value.to_owned()))
    });
    let labels: IndexMap<String, String> = service.spec["Labels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    let mounts = container["Mounts"].as_array().into_iter().flatten().map(|mount| {
        let part = |key: &str| mount[key].as_str().unwrap_or_default();
        let read_only = if mount["ReadOnly"] == true { ", read-only" } else { "" };
        let source = Some(part("Source")).filter(|source| !source.is_empty());
        let source = source.map_or(String::new(), |source| format!("{source}:"));
        format!("{source}{} ({}{read_only})", part("Target"), part("Type"))
    });
    let mut command = strings(&container["Command"]);
    command.extend(strings(&container["Args"]));
    let mut inspect = serde_json::json!({
        "ID": service.id,
        "Version": { "Index": service.version.index },
        "CreatedAt": service.created_at,
        "UpdatedAt": service.updated_at,
        "Spec": service.spec,
        "PreviousSpec": service.previous_spec,
    });
    if !shows_values {
        for spec in ["Spec", "PreviousSpec"] {
            hide_values(&mut inspect[spec]["TaskTemplate"]["ContainerSpec"]["Env"]);
        }
    }
    SwarmServiceDetail {
        tasks,
        labels,
        environment: environment.collect(),
        command,
        constraints: strings(&task["Placement"]["Constraints"]),
        networks,
        secrets: names(&container["Secrets"], "SecretName"),
        configs: names(&container["Configs"], "ConfigName"),
        mounts: mounts.collect(),
        can_roll_back: service.previous_spec.is_some(),
        inspect,
        service: told,
    }
}

fn hide_values(env: &mut Value) {
    for pair in env.as_array_mut().into_iter().flatten() {
        let name = pair.as_str().and_then(|text| text.split_once('=')).map(|(name, _)| name);
        if let Some(name) = name.map(str::to_owned) {
            *pair = format!("{name}=…").into();
        }
    }
}

/// Scale a service
///
/// Services of Drover's stacks are scaled in their stack.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/swarm/services/{service_id}/scale",
    tag = "swarm", request_body(content = ScaleSwarmService, example = json!({ "replicas": 3 })),
    params(("environment_id" = Uuid, Path), ("service_id" = String, Path)),
    responses((status = 200, body = SwarmService)))]
pub(super) async fn scale(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
    Json(input): Json<ScaleSwarmService>,
) -> Result<Json<SwarmService>> {
    if input.replicas > MOST_REPLICAS {
        return Err(Error::invalid_field("replicas", "0 to 1,000."));
    }
    target.note.detail("replicas", input.replicas);
    let (docker, service, seen) = target.own_service(&id).await?;
    target.check_takeover(&service.spec)?;
    let replicas = input.replicas;
    match seen.mode {
        ServiceMode::Replicated => {
            docker
                .change_service(&service.id, None, |spec| {
                    spec["Mode"]["Replicated"]["Replicas"] = replicas.into();
                    Ok(())
                })
                .await?;
        }
        ServiceMode::ReplicatedJob => {
            docker
                .change_service(&service.id, None, |spec| {
                    spec["Mode"]["ReplicatedJob"]["TotalCompletions"] = replicas.into();
                    Ok(())
                })
                .await?;
        }
        ServiceMode::Global | ServiceMode::GlobalJob => {
            return Err(Error::conflict(
                "global_service",
                "A global service runs once on each matching node.",
            ));
        }
    }
    target.changed(&docker, &service.id).await
}

/// Update a service
///
/// Another image, the same one looked up anew, or only new tasks. Replaces the tasks by the
/// service's own update rules.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/swarm/services/{service_id}/update",
    tag = "swarm",
    request_body(content = UpdateSwarmService, example = json!({ "image": "nginx:1.28" })),
    params(("environment_id" = Uuid, Path), ("service_id" = String, Path)),
    responses((status = 200, body = SwarmService)))]
pub(super) async fn update(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
    Json(input): Json<UpdateSwarmService>,
) -> Result<Json<SwarmService>> {
    if let Some(image) = &input.image {
        driver::check_image(image)
            .map_err(|error| Error::invalid_field("image", error.message()))?;
        target.note.detail("image", image.as_str());
    }
    target.note.detail("force", input.force);
    let (docker, service, seen) = target.own_service(&id).await?;
    target.check_takeover(&service.spec)?;
    let wanted = input.image.clone().unwrap_or_else(|| seen.image.clone());
    let auth = hosts::registry_auth(&target.app, target.access.id, &wanted).await?;
    let pinned = pin(&docker, &wanted, auth.as_ref()).await;
    let had_label = service.label(IMAGE).is_some();
    docker
        .change_service(&service.id, auth.as_ref(), |spec| {
            if input.image.is_some() || !input.force {
                spec["TaskTemplate"]["ContainerSpec"]["Image"] = pinned.clone().into();
                if had_label {
                    spec["Labels"][IMAGE] = wanted.clone().into();
                }
            }
            if input.force {
                let now = spec["TaskTemplate"]["ForceUpdate"].as_u64().unwrap_or_default();
                spec["TaskTemplate"]["ForceUpdate"] = (now + 1).into();
            }
            Ok(())
        })
        .await?;
    target.changed(&docker, &service.id).await
}

/// The image with the digest that its registry has now; as it is when that cannot be had.
async fn pin(docker: &Docker, image: &str, auth: Option<&RegistryAuth>) -> String {
    if image.contains('@') {
        return image.to_owned();
    }
    let looking = docker.image_digest(image, auth);
    match tokio::time::timeout(std::time::Duration::from_secs(10), looking).await {
        Ok(Ok(digest)) => format!("{}@{digest}", split_digest(image).0),
        _ => image.to_owned(),
    }
}

/// Roll a service back
///
/// To what it was before its last update.
#[utoipa::path(post,
    path = "/v1/environments/{environment_id}/swarm/services/{service_id}/rollback",
    tag = "swarm", params(("environment_id" = Uuid, Path), ("service_id" = String, Path)),
    responses((status = 200, body = SwarmService)))]
pub(super) async fn rollback(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
) -> Result<Json<SwarmService>> {
    let (docker, service, _) = target.own_service(&id).await?;
    let Some(previous) = &service.previous_spec else {
        return Err(Error::conflict(
            "no_previous_spec",
            "There is nothing to go back to: the service was not changed since it was made.",
        ));
    };
    target.check_takeover(previous)?;
    docker.rollback_service(&service.id).await?;
    target.changed(&docker, &service.id).await
}

/// Remove a service
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/swarm/services/{service_id}",
    tag = "swarm", params(("environment_id" = Uuid, Path), ("service_id" = String, Path)),
    responses((status = 204, description = "Removed")))]
pub(super) async fn remove(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
) -> Result<StatusCode> {
    let (docker, service, _) = target.own_service(&id).await?;
    docker.remove_service(&service.id).await?;
    target.live.poke.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

/// Which tasks.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TasksQuery {
    /// Of this service, by id or name.
    service: Option<String>,
    /// On this node, by id.
    node: Option<String>,
    /// In this state, e.g. `running`.
    state: Option<String>,
    /// Only the newest try at each instance (`true`), or all with their history.
    #[serde(default)]
    current: bool,
}

/// List the swarm's tasks
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/tasks", tag = "swarm",
    params(("environment_id" = Uuid, Path), ListQuery, TasksQuery),
    responses((status = 200, body = List<SwarmTask>)))]
pub(super) async fn list_tasks(
    target: Target,
    Query(query): Query<ListQuery>,
    Query(filter): Query<TasksQuery>,
) -> Result<Json<List<SwarmTask>>> {
    let view = target.live.view();
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let service = given(filter.service).map(|id| {
        // A name that is no service's finds nothing.
        view.find_service(&id).map_or(id, |service| service.id.clone())
    });
    let (node, state) = (given(filter.node), given(filter.state));
    let mut tasks = view.tasks(&target.live.hosts_by_node(), |task| {
        service.as_deref().is_none_or(|id| task.service_id == id)
            && node.as_deref().is_none_or(|id| task.node_id.as_deref() == Some(id))
            && state.as_deref().is_none_or(|state| task.state == state)
    });
    if filter.current {
        tasks.retain(|task| task.current);
    }
    let page = query.page(
        tasks,
        &["name", "state", "service_name", "node_hostname", "image", "at", "created_at"],
        "name,-created_at",
        |task| {
            let node = task.node_hostname.as_deref().unwrap_or_default();
            let error = task.error.as_deref().unwrap_or_default();
            format!("{} {node} {} {} {error}", task.name, task.image, task.id)
        },
        |task, field| match field {
            "state" => SortKey::text(&task.state),
            "service_name" => SortKey::text(&task.service_name),
            "node_hostname" => SortKey::text(task.node_hostname.as_deref().unwrap_or_default()),
            "image" => SortKey::text(&task.image),
            "at" => SortKey::Number(task.at.map_or(0, |at| at.unix_ms())),
            "created_at" => SortKey::Number(task.created_at.map_or(0, |at| at.unix_ms())),
            _ => SortKey::text(&task.name),
        },
    )?;
    Ok(Json(target.page(page)))
}

/// Show a task
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/tasks/{task_id}", tag = "swarm",
    params(("environment_id" = Uuid, Path), ("task_id" = String, Path)),
    responses((status = 200, body = SwarmTask)))]
pub(super) async fn get_task(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
) -> Result<Json<SwarmTask>> {
    let view = target.live.view();
    let mut found = view.tasks(&target.live.hosts_by_node(), |task| task.id == id);
    found.pop().map(Json).ok_or_else(|| Error::not_found("task"))
}

/// List the swarm's stacks
///
/// As `docker stack ls` shows them: Drover's own, and those made on the command line.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/stacks", tag = "swarm",
    params(("environment_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<SwarmStack>)))]
pub(super) async fn list_stacks(
    target: Target,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<SwarmStack>>> {
    let page = query.page(
        target.live.view().stacks(),
        &["name", "services", "running"],
        "name",
        |stack| stack.name.clone(),
        |stack, field| match field {
            "services" => SortKey::Number(stack.services.into()),
            "running" => SortKey::Number(stack.running.into()),
            _ => SortKey::text(&stack.name),
        },
    )?;
    Ok(Json(target.page(page)))
}

/// Remove a stack made on the command line
///
/// With its services, secrets, configs and networks, as `docker stack rm` does. Its networks go
/// once its last task has ended: call it again if some are left.
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/swarm/stacks/{name}",
    tag = "swarm", params(("environment_id" = Uuid, Path), ("name" = String, Path)),
    responses((status = 204, description = "Removed")))]
pub(super) async fn remove_stack(
    target: Target,
    Path((_environment, name)): Path<(Uuid, String)>,
) -> Result<StatusCode> {
    let docker = target.docker()?;
    target.note.target(&name, &name);
    super::files::remove_stack(&target, &docker, &name).await?;
    target.live.poke.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_hidden_from_those_who_may_not_see_them() {
        let mut env = json!(["A=secret", "EMPTY=", "NONE"]);
        hide_values(&mut env);
        assert_eq!(env, json!(["A=…", "EMPTY=…", "NONE"]));
    }
}
