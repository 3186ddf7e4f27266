//! Users, for administrators.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use drover_api::{CreateUser, List, Topic, UpdateUser, User, UserState};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{link, model, store};
use crate::{
    access::Caller,
    app::App,
    audit::Note,
    auth,
    error::{Error, Result, is_unique_violation},
    extract::{IfMatch, Json, ListQuery, Path, Query, SortKey, etag},
};

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .merge(link::router())
}

/// List users
///
/// Sort by `login`, `display_name`, `created_at`, `last_sign_in_at`, `state` or `global_role`.
/// The groups of their accounts at identity providers are told of single users only.
#[utoipa::path(get, path = "/v1/users", tag = "users", params(ListQuery),
    responses((status = 200, body = List<User>)))]
async fn list(State(app): State<App>, Query(query): Query<ListQuery>) -> Result<Json<List<User>>> {
    let users = store::list(&app.db).await?;
    let fields = ["login", "display_name", "created_at", "last_sign_in_at", "state", "global_role"];
    query
        .page(
            users,
            &fields,
            "login",
            |user| {
                format!(
                    "{} {} {}",
                    user.login,
                    user.display_name,
                    user.email.as_deref().unwrap_or("")
                )
            },
            |user, field| match field {
                "display_name" => SortKey::text(&user.display_name),
                "created_at" => SortKey::Number(user.created_at.unix_ms()),
                "last_sign_in_at" => {
                    SortKey::Number(user.last_sign_in_at.map_or(0, |at| at.unix_ms()))
                }
                "state" => SortKey::Number((user.state == UserState::Inactive).into()),
                "global_role" => SortKey::Number(-(user.global_role as i64)),
                _ => SortKey::text(&user.login),
            },
        )
        .map(Json)
}

/// Make a user
#[utoipa::path(post, path = "/v1/users", tag = "users", request_body = CreateUser,
    responses((status = 201, body = User)))]
async fn create(
    State(app): State<App>,
    note: Note,
    Json(input): Json<CreateUser>,
) -> Result<(StatusCode, HeaderMap, Json<User>)> {
    let new = model::validate(input).await?;
    let mut tx = app.db.begin().await?;
    let user = store::insert(&mut tx, &new).await.map_err(|error| {
        if is_unique_violation(&error) {
            Error::conflict("login_taken", "There is an account with this login.")
        } else {
            error.into()
        }
    })?;
    tx.commit().await?;
    note.target(user.id, &user.login);
    app.events.updated(Topic::User, None, user.id).await;
    Ok((StatusCode::CREATED, etag(user.version), Json(user)))
}

/// Show a user
#[utoipa::path(get, path = "/v1/users/{user_id}", tag = "users",
    params(("user_id" = Uuid, Path)), responses((status = 200, body = User)))]
async fn get(State(app): State<App>, Path(id): Path<Uuid>) -> Result<(HeaderMap, Json<User>)> {
    let user = store::get(&app.db, id).await?.ok_or_else(|| Error::not_found("user"))?;
    Ok((etag(user.version), Json(user)))
}

/// Change a user
///
/// Deactivating a user ends their sessions and stops their API keys at once.
#[utoipa::path(patch, path = "/v1/users/{user_id}", tag = "users", request_body = UpdateUser,
    params(("user_id" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = User)))]
async fn update(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    note: Note,
    Json(mut input): Json<UpdateUser>,
) -> Result<(HeaderMap, Json<User>)> {
    input.display_name = input.display_name.map(|name| name.trim().to_owned());
    let errors: Vec<_> = [
        input.display_name.as_deref().and_then(model::check_display_name),
        input.email.as_ref().and_then(|e| e.as_deref()).and_then(model::check_email),
        input.password.as_deref().and_then(|p| auth::check_new_password("password", p)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    let hash = match input.password.take() {
        Some(password) => Some(auth::hash_password(password.into()).await?),
        None => None,
    };
    let mut tx = app.db.begin().await?;
    let version = store::lock(&mut tx, id).await?.ok_or_else(|| Error::not_found("user"))?;
    if_match.check(version)?;
    store::update(&mut tx, id, &input, hash.as_deref()).await?;
    keep_an_admin(&mut tx).await?;
    tx.commit().await?;
    if hash.is_some() || input.state == Some(UserState::Inactive) {
        auth::end_sessions(&app.db, id, None).await?;
    }
    app.access_changed(Topic::User, None, id).await;
    let user = store::get(&app.db, id).await?.ok_or_else(|| Error::not_found("user"))?;
    note.target(id, &user.login);
    Ok((etag(user.version), Json(user)))
}

/// Delete a user
#[utoipa::path(delete, path = "/v1/users/{user_id}", tag = "users",
    params(("user_id" = Uuid, Path)), responses((status = 204, description = "Deleted")))]
async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    note: Note,
) -> Result<StatusCode> {
    if caller.user_id == id {
        return Err(Error::conflict("own_account", "You cannot delete your own account."));
    }
    let user = store::get(&app.db, id).await?.ok_or_else(|| Error::not_found("user"))?;
    let mut tx = app.db.begin().await?;
    if store::is_deactivated(&mut tx, id).await? {
        return Err(Error::conflict(
            "deactivated_by_provider",
            "This user's identity provider has deactivated them by SCIM. Deleted, they would be somebody new at their next sign-in: let the provider delete them, or deactivate them here.",
        ));
    }
    store::delete(&mut tx, id).await?;
    keep_an_admin(&mut tx).await?;
    tx.commit().await?;
    note.target(id, &user.login);
    app.access_changed(Topic::User, None, id).await;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn keep_an_admin(tx: &mut sqlx::PgConnection) -> Result<()> {
    if store::has_active_admin(tx).await? {
        return Ok(());
    }
    Err(Error::conflict(
        "last_admin",
        "This is the last active administrator. Make another one first.",
    ))
}
