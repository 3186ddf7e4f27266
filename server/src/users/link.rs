//! One person with accounts at several providers is as many users, until an administrator makes
//! them one. Nothing else does: a mail address proves nothing.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use drover_api::{LinkUser, Topic, User};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{routes::keep_an_admin, store};
use crate::{
    access::Caller,
    app::App,
    audit::Note,
    auth,
    error::{Error, Result},
    extract::{Json, Path, etag},
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(link)).routes(routes!(unlink))
}

/// Make two users one
///
/// The other user goes; its accounts at identity providers, memberships and API keys become this
/// one's, and its password where this one has none. All sessions of both end.
#[utoipa::path(post, path = "/v1/users/{user_id}/link", tag = "users", request_body = LinkUser,
    params(("user_id" = Uuid, Path)), responses((status = 200, body = User)))]
async fn link(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    note: Note,
    Json(input): Json<LinkUser>,
) -> Result<(HeaderMap, Json<User>)> {
    let other = input.user_id;
    if other == id {
        return Err(Error::invalid_field("user_id", "Choose another user."));
    }
    if other == caller.user_id {
        return Err(Error::conflict(
            "own_account",
            "Your own account cannot go. Link the other one to yours instead.",
        ));
    }
    let gone = store::get(&app.db, other)
        .await?
        .ok_or_else(|| Error::invalid_field("user_id", "There is no such user."))?;
    let mut tx = app.db.begin().await?;
    // Always in one order: two links at once wait for each other rather than for ever.
    for user in [id.min(other), id.max(other)] {
        store::lock(&mut tx, user).await?.ok_or_else(|| Error::not_found("user"))?;
    }
    let common = store::common_providers(&mut tx, id, other).await?;
    if !common.is_empty() {
        return Err(Error::conflict(
            "two_accounts_at_provider",
            format!("Both have an account at {}, so they are two people there.", common.join(", ")),
        ));
    }
    store::merge(&mut tx, other, id).await?;
    keep_an_admin(&mut tx).await?;
    tx.commit().await?;
    auth::end_sessions(&app.db, id, None).await?;
    app.access_changed(Topic::User, None, id).await;
    app.events.removed(Topic::User, None, other).await;
    let user = store::get(&app.db, id).await?.ok_or_else(|| Error::not_found("user"))?;
    note.target(id, &user.login);
    note.detail("linked", gone.login);
    Ok((etag(user.version), Json(user)))
}

/// Take an account at an identity provider away from a user
///
/// Who signs in with it next is another user.
#[utoipa::path(delete, path = "/v1/users/{user_id}/identities/{provider_id}", tag = "users",
    params(("user_id" = Uuid, Path), ("provider_id" = Uuid, Path)),
    responses((status = 204, description = "Taken away")))]
async fn unlink(
    State(app): State<App>,
    path: Path<(Uuid, Uuid)>,
    note: Note,
) -> Result<StatusCode> {
    let Path((id, provider)) = path;
    let user = store::get(&app.db, id).await?.ok_or_else(|| Error::not_found("user"))?;
    note.target(id, &user.login);
    let mut tx = app.db.begin().await?;
    if !store::unlink(&mut tx, id, provider).await? {
        return Err(Error::not_found("account"));
    }
    tx.commit().await?;
    note.detail("provider_id", provider.to_string());
    app.access_changed(Topic::User, None, id).await;
    Ok(StatusCode::NO_CONTENT)
}
