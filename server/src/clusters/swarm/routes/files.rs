//! Secrets and configs of a swarm.

use std::collections::HashMap;

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::STANDARD};
use drover_api::{
    CreateSwarmFile, FieldError, List, Permission, RotateSwarmFile, SwarmConfig, SwarmFile,
};
use uuid::Uuid;

use super::{
    super::{
        spec::{NAMESPACE, blob_name},
        view::{Belongs, SeenBlob, SeenService},
    },
    Target,
};
use crate::{
    error::{Error, Result},
    extract::{Json, ListQuery, Path, Query, SortKey},
    hosts::{
        driver::{
            Docker, ErrorKind,
            swarm::{Blob, BlobKind},
        },
        labels,
    },
};

/// The label that says which secret or config another one has taken the place of.
const ROTATED_FROM: &str = "io.drover.rotated_from";

/// Whether a swarm takes it as the name of a secret, config or network.
pub(super) fn is_name(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    (1..=64).contains(&name.len())
        && edge(name.chars().next())
        && edge(name.chars().next_back())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// In words, for people.
fn word(kind: BlobKind) -> &'static str {
    match kind {
        BlobKind::Secret => "secret",
        BlobKind::Config => "config",
    }
}

/// The most that a swarm takes, bytes.
fn largest(kind: BlobKind) -> usize {
    match kind {
        BlobKind::Secret => 500 << 10,
        BlobKind::Config => 1000 << 10,
    }
}

fn check_content(kind: BlobKind, content: &str) -> Option<FieldError> {
    let fits = (1..=largest(kind)).contains(&content.len());
    (!fits).then(|| FieldError::new("content", format!("1 byte to {} KiB.", largest(kind) >> 10)))
}

fn list(target: &Target, query: &ListQuery, kind: BlobKind) -> Result<Json<List<SwarmFile>>> {
    let page = query.page(
        target.live.view().files(kind),
        &["name", "stack", "created_at"],
        "name",
        |file| format!("{} {}", file.name, file.services.join(" ")),
        |file, field| match field {
            "stack" => SortKey::text(file.stack.as_deref().unwrap_or_default()),
            "created_at" => SortKey::Number(file.created_at.map_or(0, |at| at.unix_ms())),
            _ => SortKey::text(&file.name),
        },
    )?;
    Ok(Json(target.page(page)))
}

/// Reads the secrets or configs anew, and tells one.
async fn told(target: &Target, docker: &Docker, kind: BlobKind, id: &str) -> Result<SwarmFile> {
    let found = docker.list_blobs(kind, &[]).await?;
    let blobs: Vec<SeenBlob> =
        found.into_iter().map(|blob| SeenBlob::read(target.access.id, blob)).collect();
    target.live.update(|view| {
        let place = match kind {
            BlobKind::Secret => &mut view.secrets,
            BlobKind::Config => &mut view.configs,
        };
        *place = std::sync::Arc::new(blobs);
        true
    });
    target.live.poke.notify_one();
    let view = target.live.view();
    let blob = view.find_file(kind, id).ok_or_else(|| Error::not_found(word(kind)))?;
    Ok(view.file(kind, blob))
}

async fn create(
    target: &Target,
    kind: BlobKind,
    input: CreateSwarmFile,
) -> Result<(StatusCode, Json<SwarmFile>)> {
    let mut errors: Vec<FieldError> = check_content(kind, &input.content).into_iter().collect();
    if !is_name(&input.name) {
        let message = "1 to 64 letters, digits, `.`, `_` and `-`.";
        errors.push(FieldError::new("name", message));
    }
    let reserved = |key: &String| key.starts_with(labels::PREFIX) || key.starts_with("com.docker.");
    if input.labels.len() > 50 || input.labels.keys().any(reserved) {
        let message = "At most 50, none that begins with `io.drover.` or `com.docker.`.";
        errors.push(FieldError::new("labels", message));
    }
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    let docker = target.docker()?;
    let labels: HashMap<String, String> = input.labels.into_iter().collect();
    let made = docker.create_blob(kind, &input.name, &labels, input.content.as_bytes()).await;
    let id = made.map_err(|error| match error.kind() {
        ErrorKind::Conflict => Error::conflict(
            "name_taken",
            format!("There is a {} with this name. Rotate it, or choose another name.", word(kind)),
        ),
        _ => error.into(),
    })?;
    target.note.target(&id, &input.name);
    Ok((StatusCode::CREATED, Json(told(target, &docker, kind, &id).await?)))
}

async fn find(target: &Target, docker: &Docker, kind: BlobKind, id: &str) -> Result<Blob> {
    let blob = docker.find_blob(kind, id).await?.ok_or_else(|| Error::not_found(word(kind)))?;
    target.note.target(&blob.id, &blob.spec.name);
    Ok(blob)
}

async fn remove(target: &Target, kind: BlobKind, id: &str) -> Result<StatusCode> {
    let docker = target.docker()?;
    let blob = find(target, &docker, kind, id).await?;
    let belongs = Belongs::read(target.access.id, &blob.spec.labels);
    target.check_free(word(kind), &belongs)?;
    docker.remove_blob(kind, &blob.id).await?;
    target.live.poke.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

/// Makes another one with the new content, has the services use it under the same path, and
/// removes the old one once nobody uses it. Safe to repeat: the new one's name comes from what it
/// holds.
async fn rotate(
    target: &Target,
    kind: BlobKind,
    id: &str,
    content: &str,
) -> Result<Json<SwarmFile>> {
    if let Some(error) = check_content(kind, content) {
        return Err(Error::invalid(vec![error]));
    }
    let docker = target.docker()?;
    let old = find(target, &docker, kind, id).await?;
    target.check_free(word(kind), &Belongs::read(target.access.id, &old.spec.labels))?;
    let services = docker.list_services(&[]).await?;
    let (list_key, id_key, name_key) = match kind {
        BlobKind::Secret => ("Secrets", "SecretID", "SecretName"),
        BlobKind::Config => ("Configs", "ConfigID", "ConfigName"),
    };
    let used_by = |service: &&crate::hosts::driver::swarm::Service| {
        let list = service.spec["TaskTemplate"]["ContainerSpec"][list_key].as_array();
        list.into_iter().flatten().any(|file| file[id_key] == old.id.as_str())
    };
    let users: Vec<_> = services.iter().filter(used_by).collect();
    for service in &users {
        let seen = SeenService::read(target.access.id, service);
        target.check_free("service", &seen.belongs).map_err(|error| {
            Error::conflict(
                "used_by_stack",
                format!("The service {} uses it. {}", service.name(), error.detail()),
            )
        })?;
        target.check_takeover(&service.spec)?;
    }
    let base = old.spec.labels.get(ROTATED_FROM).unwrap_or(&old.spec.name).clone();
    let name = blob_name(&base, content.as_bytes());
    if name == old.spec.name {
        return Err(Error::conflict("same_content", "It holds that already."));
    }
    let mut labels = old.spec.labels.clone();
    labels.insert(ROTATED_FROM.to_owned(), base);
    let new = match docker.create_blob(kind, &name, &labels, content.as_bytes()).await {
        Ok(id) => id,
        // An earlier try that broke off.
        Err(error) if error.kind() == ErrorKind::Conflict => {
            docker.find_blob(kind, &name).await?.ok_or(error)?.id
        }
        Err(error) => return Err(error.into()),
    };
    for service in &users {
        docker
            .change_service(&service.id, None, |spec| {
                let list = &mut spec["TaskTemplate"]["ContainerSpec"][list_key];
                for file in list.as_array_mut().into_iter().flatten() {
                    if file[id_key] == old.id.as_str() {
                        file[id_key] = new.clone().into();
                        file[name_key] = name.clone().into();
                    }
                }
                Ok(())
            })
            .await?;
    }
    target.note.detail("services", users.len());
    // A service that was changed meanwhile may use it still: then it stays.
    if let Err(error) = docker.remove_blob(kind, &old.id).await {
        tracing::info!(%error, name = old.spec.name, "a rotated secret or config is still in use");
    }
    told(target, &docker, kind, &new).await.map(Json)
}

/// Removes all that a stack made on the command line has.
pub(super) async fn remove_stack(target: &Target, docker: &Docker, name: &str) -> Result<()> {
    let filter = [format!("{NAMESPACE}={name}")];
    let services = docker.list_services(&filter).await?;
    let mut found = !services.is_empty();
    for service in &services {
        let seen = SeenService::read(target.access.id, service);
        target.check_free("stack", &seen.belongs)?;
    }
    for service in &services {
        docker.remove_service(&service.id).await?;
    }
    for kind in [BlobKind::Secret, BlobKind::Config] {
        for blob in docker.list_blobs(kind, &filter).await? {
            found = true;
            docker.remove_blob(kind, &blob.id).await?;
        }
    }
    for network in docker.list_networks().await? {
        let labels = network.labels.unwrap_or_default();
        let (Some(id), Some(of)) = (network.id, labels.get(NAMESPACE)) else { continue };
        if of != name || labels.contains_key(labels::STACK) {
            continue;
        }
        found = true;
        remove_network(docker, &id).await?;
    }
    if found { Ok(()) } else { Err(Error::not_found("stack")) }
}

/// The network of a stack is free a moment after its last task has ended.
async fn remove_network(docker: &Docker, id: &str) -> Result<()> {
    let mut tries = 0;
    loop {
        match docker.remove_network(id).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) if tries >= 40 || error.is_transient() => return Err(error.into()),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}

/// List the swarm's secrets
///
/// Their content is never told.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/secrets", tag = "swarm",
    params(("environment_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<SwarmFile>)))]
pub(super) async fn list_secrets(
    target: Target,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<SwarmFile>>> {
    list(&target, &query, BlobKind::Secret)
}

/// Make a secret of the swarm
#[utoipa::path(post, path = "/v1/environments/{environment_id}/swarm/secrets", tag = "swarm",
    request_body = CreateSwarmFile, params(("environment_id" = Uuid, Path)),
    responses((status = 201, body = SwarmFile)))]
pub(super) async fn create_secret(
    target: Target,
    Json(input): Json<CreateSwarmFile>,
) -> Result<(StatusCode, Json<SwarmFile>)> {
    create(&target, BlobKind::Secret, input).await
}

/// Remove a secret of the swarm
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/swarm/secrets/{secret_id}",
    tag = "swarm", params(("environment_id" = Uuid, Path), ("secret_id" = String, Path)),
    responses((status = 204, description = "Removed")))]
pub(super) async fn remove_secret(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
) -> Result<StatusCode> {
    remove(&target, BlobKind::Secret, &id).await
}

/// Rotate a secret of the swarm
///
/// Makes a new one, has the services that use the old one use it, and removes the old one.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/swarm/secrets/{secret_id}/rotate",
    tag = "swarm", request_body = RotateSwarmFile,
    params(("environment_id" = Uuid, Path), ("secret_id" = String, Path)),
    responses((status = 200, body = SwarmFile)))]
pub(super) async fn rotate_secret(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
    Json(input): Json<RotateSwarmFile>,
) -> Result<Json<SwarmFile>> {
    rotate(&target, BlobKind::Secret, &id, &input.content).await
}

/// List the swarm's configs
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/configs", tag = "swarm",
    params(("environment_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<SwarmFile>)))]
pub(super) async fn list_configs(
    target: Target,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<SwarmFile>>> {
    list(&target, &query, BlobKind::Config)
}

/// Make a config of the swarm
#[utoipa::path(post, path = "/v1/environments/{environment_id}/swarm/configs", tag = "swarm",
    request_body = CreateSwarmFile, params(("environment_id" = Uuid, Path)),
    responses((status = 201, body = SwarmFile)))]
pub(super) async fn create_config(
    target: Target,
    Json(input): Json<CreateSwarmFile>,
) -> Result<(StatusCode, Json<SwarmFile>)> {
    create(&target, BlobKind::Config, input).await
}

/// Show a config of the swarm
///
/// Its content is shown to those who may deploy: it may hold what is secret.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/swarm/configs/{config_id}",
    tag = "swarm", params(("environment_id" = Uuid, Path), ("config_id" = String, Path)),
    responses((status = 200, body = SwarmConfig)))]
pub(super) async fn get_config(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
) -> Result<Json<SwarmConfig>> {
    let docker = target.docker()?;
    let blob = find(&target, &docker, BlobKind::Config, &id).await?;
    let content = STANDARD.decode(&blob.spec.data).ok();
    let content = content.and_then(|bytes| String::from_utf8(bytes).ok());
    let seen = SeenBlob::read(target.access.id, blob);
    let config = target.live.view().file(BlobKind::Config, &seen);
    let content = content.filter(|_| target.access.may(Permission::Deploy));
    Ok(Json(SwarmConfig { config, content }))
}

/// Remove a config of the swarm
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/swarm/configs/{config_id}",
    tag = "swarm", params(("environment_id" = Uuid, Path), ("config_id" = String, Path)),
    responses((status = 204, description = "Removed")))]
pub(super) async fn remove_config(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
) -> Result<StatusCode> {
    remove(&target, BlobKind::Config, &id).await
}

/// Rotate a config of the swarm
///
/// As secrets are rotated.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/swarm/configs/{config_id}/rotate",
    tag = "swarm", request_body = RotateSwarmFile,
    params(("environment_id" = Uuid, Path), ("config_id" = String, Path)),
    responses((status = 200, body = SwarmFile)))]
pub(super) async fn rotate_config(
    target: Target,
    Path((_environment, id)): Path<(Uuid, String)>,
    Json(input): Json<RotateSwarmFile>,
) -> Result<Json<SwarmFile>> {
    rotate(&target, BlobKind::Config, &id, &input.content).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_swarm_takes() {
        for (name, fits) in
            [("key", true), ("app_key.1", true), ("", false), ("-a", false), ("a-", false)]
        {
            assert_eq!(is_name(name), fits, "{name}");
        }
        assert!(!is_name(&"a".repeat(65)));
    }

    #[test]
    fn content_has_a_limit() {
        assert!(check_content(BlobKind::Secret, "").is_some());
        assert!(check_content(BlobKind::Secret, "x").is_none());
        assert!(check_content(BlobKind::Secret, &"x".repeat(501 << 10)).is_some());
        assert!(check_content(BlobKind::Config, &"x".repeat(501 << 10)).is_none());
    }
}
