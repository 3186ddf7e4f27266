//! Signing in on a provider's page: the browser goes there, and comes back with a code.

use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use drover_api::{AuditOutcome, List, SignInProvider};
use serde::Deserialize;
use tower_sessions::Session;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    routes::{Via, open_session},
    store, throttle,
};
use crate::{
    access::ClientAddress,
    app::App,
    audit::Note,
    error::{Error, Result},
    extract::{Json, Path, Query},
    providers::{
        self,
        sign_in::{self, Finished, Purpose, Refused, Returned},
    },
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_providers))
        .routes(routes!(begin))
        .routes(routes!(finish))
        .routes(routes!(back_channel_logout))
}

/// List the identity providers that people can sign in through
#[utoipa::path(get, path = "/v1/session/providers", tag = "session",
    responses((status = 200, body = List<SignInProvider>)))]
async fn list_providers(State(app): State<App>) -> Result<Json<List<SignInProvider>>> {
    Ok(Json(List::whole(providers::sign_in_providers(&app).await?)))
}

/// Where to go afterwards.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct BeginQuery {
    /// A page of Drover's own, as a path. Anything else is the start page.
    return_to: Option<String>,
}

/// Sign in on a provider's page
///
/// For browsers: sends them to GitHub or to the OpenID provider. What is wrong is shown on the
/// sign-in page.
#[utoipa::path(get, path = "/v1/sign-in/{provider_id}", tag = "session",
    params(("provider_id" = Uuid, Path), BeginQuery),
    responses((status = 303, description = "To the provider, or back to the sign-in page")))]
async fn begin(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Path(id): Path<Uuid>,
    Query(query): Query<BeginQuery>,
) -> Response {
    let return_to = providers::return_to(query.return_to.as_deref());
    let begun = async {
        throttle::check(&app.db, &address.to_string(), address).await?;
        let begun = sign_in::begin(&app, id, return_to, Purpose::SignIn).await?;
        let cookie = providers::ticket_cookie(&app, id, &begun)?;
        Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(&begun.url)))
    };
    match begun.await {
        Ok(response) => response.into_response(),
        Err(error) => back_to_the_door(id, &error, Some(return_to)),
    }
}

/// Come back from a provider's page
///
/// Providers send browsers here, with a code or with what went wrong.
#[utoipa::path(get, path = "/v1/sign-in/{provider_id}/callback", tag = "session",
    params(("provider_id" = Uuid, Path), ("state" = Option<String>, Query),
        ("code" = Option<String>, Query), ("error" = Option<String>, Query)),
    responses((status = 303, description = "On to the page, or back to the sign-in page")))]
async fn finish(
    State(app): State<App>,
    session: Session,
    ClientAddress(address): ClientAddress,
    note: Note,
    headers: HeaderMap,
    Path(id): Path<Uuid>,
    Query(returned): Query<Returned>,
) -> Response {
    let name = returned.cookie();
    let ticket = name.as_deref().and_then(|name| cookie(&headers, name)).map(str::to_owned);
    let finished = async {
        throttle::check(&app.db, &address.to_string(), address).await?;
        let finished = sign_in::finish(&app, id, ticket.as_deref(), returned, &note).await?;
        match finished {
            Finished::Tested(page) => Ok(page),
            Finished::SignedIn(signed_in, page) => {
                store::note_sign_in(&app.db, signed_in.user_id).await.map_err(Error::from)?;
                let via = Via::new(signed_in.provider_id, signed_in.session);
                let user = signed_in.user_id;
                let answer =
                    open_session(&app, &session, user, Some(via), address, &headers).await?;
                note.actor(Some(user), &answer.user.login);
                Ok(page)
            }
        }
    };
    let mut response = match finished.await {
        Ok(page) => Redirect::to(&page).into_response(),
        Err(Refused { error, is_guess, return_to }) => {
            note.detail("code", error.code());
            note.outcome(AuditOutcome::Denied);
            if is_guess
                && let Err(error) = throttle::failed(&app.db, &address.to_string(), address).await
            {
                tracing::warn!(%error, "cannot count a failed sign-in");
            }
            back_to_the_door(id, &error, return_to.as_deref())
        }
    };
    if let Some(name) = name
        && let Ok(cookie) = providers::no_ticket_cookie(&app, id, &name)
    {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// The sign-in page, with what went wrong; another try leads to the same page.
fn back_to_the_door(provider: Uuid, error: &Error, return_to: Option<&str>) -> Response {
    let provider = provider.to_string();
    let mut query =
        vec![("error", error.code()), ("message", error.detail()), ("provider", &provider)];
    query.extend(return_to.map(|page| ("return", page)));
    match serde_urlencoded::to_string(query) {
        Ok(query) => Redirect::to(&format!("/sign-in?{query}")).into_response(),
        Err(_) => Redirect::to("/sign-in").into_response(),
    }
}

/// What an OpenID provider sends when somebody has signed out there.
#[derive(Deserialize, utoipa::ToSchema)]
struct LogoutForm {
    logout_token: String,
}

/// Sign out of what began at a provider
///
/// OpenID providers send the logout token of somebody who has signed out there (OpenID Connect
/// Back-Channel Logout 1.0). A token counts once.
#[utoipa::path(post, path = "/v1/sign-in/{provider_id}/back-channel-logout", tag = "session",
    params(("provider_id" = Uuid, Path)),
    request_body(content = LogoutForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 204, description = "Signed out"),
        (status = 400, description = "The token is not good")))]
async fn back_channel_logout(
    State(app): State<App>,
    note: Note,
    Path(id): Path<Uuid>,
    form: std::result::Result<Form<LogoutForm>, FormRejection>,
) -> Result<StatusCode> {
    let Form(form) = form.map_err(|rejection| {
        Error::new(StatusCode::BAD_REQUEST, "invalid_logout_token", rejection.body_text())
    })?;
    sign_in::signed_out_there(&app, id, &form.logout_token, &note).await?;
    Ok(StatusCode::NO_CONTENT)
}
