//! Secrets, certificates and registries. Values go in and never come out.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use drover_api::{
    FieldError, List, Registry, Secret, SecretKind, Topic, WriteRegistry, WriteSecret,
};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{certificate, store};
use crate::{
    access::EnvironmentAccess,
    app::App,
    audit::Note,
    error::{Error, Result, is_unique_violation},
    extract::{IfMatch, Json, ListQuery, Path, Query, SortKey, etag},
};

/// The largest value, bytes.
const LARGEST: usize = 512 << 10;

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(replace, delete))
        .routes(routes!(list_registries, create_registry))
        .routes(routes!(replace_registry, delete_registry))
}

fn check(input: &WriteSecret) -> Result<Option<time::OffsetDateTime>> {
    let mut errors = Vec::new();
    let fits = (1..=64).contains(&input.name.len())
        && input.name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !fits {
        errors
            .push(FieldError::new("name", "A name has 1 to 64 letters, digits, `.`, `_` or `-`."));
    }
    if input.value.is_empty() || input.value.len() > LARGEST {
        errors.push(FieldError::new("value", "A value has 1 byte to 512 KiB."));
    }
    if input.description.chars().count() > 1000 {
        errors.push(FieldError::new("description", "A description has at most 1,000 characters."));
    }
    let mut expires_at = None;
    if input.kind == SecretKind::Certificate {
        match certificate::expiry(&input.value) {
            Ok(at) => expires_at = Some(at),
            Err(why) => errors.push(FieldError::new("value", why)),
        }
    }
    if errors.is_empty() { Ok(expires_at) } else { Err(Error::invalid(errors)) }
}

fn name_taken(error: sqlx::Error) -> Error {
    if is_unique_violation(&error) {
        Error::conflict("name_taken", "There is one with this name in the environment.")
    } else {
        error.into()
    }
}

async fn one(app: &App, environment: Uuid, id: Uuid) -> Result<Secret> {
    let found = store::list(&app.db, environment, Some(id)).await?.pop();
    found.ok_or_else(|| Error::not_found("secret"))
}

/// List secrets and certificates
#[utoipa::path(get, path = "/v1/environments/{environment_id}/secrets", tag = "secrets",
    params(("environment_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<Secret>)))]
async fn list(
    State(app): State<App>,
    access: EnvironmentAccess,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Secret>>> {
    let secrets = store::list(&app.db, access.id, None).await?;
    query
        .page(
            secrets,
            &["name", "updated_at", "kind"],
            "name",
            |secret| format!("{} {}", secret.name, secret.description),
            |secret, field| match field {
                "updated_at" => SortKey::Number(secret.updated_at.unix_ms()),
                "kind" => SortKey::Number(secret.kind as i64),
                _ => SortKey::text(&secret.name),
            },
        )
        .map(Json)
}

/// Make a secret
#[utoipa::path(post, path = "/v1/environments/{environment_id}/secrets", tag = "secrets",
    request_body = WriteSecret, params(("environment_id" = Uuid, Path)),
    responses((status = 201, body = Secret)))]
async fn create(
    State(app): State<App>,
    access: EnvironmentAccess,
    note: Note,
    Json(input): Json<WriteSecret>,
) -> Result<(StatusCode, HeaderMap, Json<Secret>)> {
    let expires_at = check(&input)?;
    let sealed = app.cipher.seal(input.value.as_bytes());
    let new = store::NewSecret {
        name: &input.name,
        kind: input.kind,
        description: &input.description,
        value: &sealed,
        expires_at,
    };
    let id = store::insert(&app.db, access.id, &new).await.map_err(name_taken)?;
    note.target(id, &input.name);
    app.events.updated(Topic::Secret, Some(access.id), id).await;
    let secret = one(&app, access.id, id).await?;
    Ok((StatusCode::CREATED, etag(secret.version), Json(secret)))
}

/// Replace a secret
///
/// Stacks that use it get new containers.
#[utoipa::path(put, path = "/v1/environments/{environment_id}/secrets/{secret_id}",
    tag = "secrets", request_body = WriteSecret,
    params(("environment_id" = Uuid, Path), ("secret_id" = Uuid, Path),
        ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Secret)))]
async fn replace(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    if_match: IfMatch,
    note: Note,
    Json(input): Json<WriteSecret>,
) -> Result<(HeaderMap, Json<Secret>)> {
    let Path((_, id)) = path;
    let expires_at = check(&input)?;
    let sealed = app.cipher.seal(input.value.as_bytes());
    let new = store::NewSecret {
        name: &input.name,
        kind: input.kind,
        description: &input.description,
        value: &sealed,
        expires_at,
    };
    let mut tx = app.db.begin().await?;
    let version = store::lock(&mut tx, access.id, id).await?;
    if_match.check(version.ok_or_else(|| Error::not_found("secret"))?)?;
    store::update(&mut tx, id, &new).await.map_err(name_taken)?;
    tx.commit().await?;
    note.target(id, &input.name);
    app.events.updated(Topic::Secret, Some(access.id), id).await;
    let secret = one(&app, access.id, id).await?;
    Ok((etag(secret.version), Json(secret)))
}

/// Delete a secret
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/secrets/{secret_id}",
    tag = "secrets", params(("environment_id" = Uuid, Path), ("secret_id" = Uuid, Path)),
    responses((status = 204, description = "Deleted")))]
async fn delete(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
) -> Result<StatusCode> {
    let Path((_, id)) = path;
    if !store::delete(&app.db, access.id, id).await? {
        return Err(Error::not_found("secret"));
    }
    app.events.removed(Topic::Secret, Some(access.id), id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// List registries
#[utoipa::path(get, path = "/v1/environments/{environment_id}/registries", tag = "secrets",
    params(("environment_id" = Uuid, Path)), responses((status = 200, body = List<Registry>)))]
async fn list_registries(
    State(app): State<App>,
    access: EnvironmentAccess,
) -> Result<Json<List<Registry>>> {
    Ok(Json(List::whole(store::registries(&app.db, access.id, None).await?)))
}

async fn write(
    app: &App,
    environment: Uuid,
    id: Option<Uuid>,
    input: &WriteRegistry,
) -> Result<Registry> {
    let address = input.address.trim();
    let mut errors = Vec::new();
    let fits = (1..=255).contains(&address.len())
        && address.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
    if !fits {
        errors.push(FieldError::new(
            "address",
            "Write HOST[:PORT] without a scheme, e.g. `registry.example.com:5000`.",
        ));
    }
    if input.username.is_empty() || input.username.len() > 255 {
        errors.push(FieldError::new("username", "A user name has 1 to 255 characters."));
    }
    if input.password.is_empty() || input.password.len() > 64 << 10 {
        errors.push(FieldError::new("password", "Give a password or token."));
    }
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    let sealed = app.cipher.seal(input.password.as_bytes());
    let id = store::write_registry(&app.db, environment, id, address, &input.username, &sealed)
        .await
        .map_err(name_taken)?
        .ok_or_else(|| Error::not_found("registry"))?;
    app.events.updated(Topic::Secret, Some(environment), id).await;
    let found = store::registries(&app.db, environment, Some(id)).await?.pop();
    found.ok_or_else(|| Error::not_found("registry"))
}

/// Add a registry
#[utoipa::path(post, path = "/v1/environments/{environment_id}/registries", tag = "secrets",
    request_body = WriteRegistry, params(("environment_id" = Uuid, Path)),
    responses((status = 201, body = Registry)))]
async fn create_registry(
    State(app): State<App>,
    access: EnvironmentAccess,
    note: Note,
    Json(input): Json<WriteRegistry>,
) -> Result<(StatusCode, Json<Registry>)> {
    let registry = write(&app, access.id, None, &input).await?;
    note.target(registry.id, &registry.address);
    Ok((StatusCode::CREATED, Json(registry)))
}

/// Replace a registry
#[utoipa::path(put, path = "/v1/environments/{environment_id}/registries/{registry_id}",
    tag = "secrets", request_body = WriteRegistry,
    params(("environment_id" = Uuid, Path), ("registry_id" = Uuid, Path)),
    responses((status = 200, body = Registry)))]
async fn replace_registry(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
    note: Note,
    Json(input): Json<WriteRegistry>,
) -> Result<Json<Registry>> {
    let Path((_, id)) = path;
    let registry = write(&app, access.id, Some(id), &input).await?;
    note.target(id, &registry.address);
    Ok(Json(registry))
}

/// Remove a registry
#[utoipa::path(delete, path = "/v1/environments/{environment_id}/registries/{registry_id}",
    tag = "secrets", params(("environment_id" = Uuid, Path), ("registry_id" = Uuid, Path)),
    responses((status = 204, description = "Removed")))]
async fn delete_registry(
    State(app): State<App>,
    access: EnvironmentAccess,
    path: Path<(Uuid, Uuid)>,
) -> Result<StatusCode> {
    let Path((_, id)) = path;
    if !store::delete_registry(&app.db, access.id, id).await? {
        return Err(Error::not_found("registry"));
    }
    app.events.removed(Topic::Secret, Some(access.id), id).await;
    Ok(StatusCode::NO_CONTENT)
}
