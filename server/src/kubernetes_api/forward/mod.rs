//! A port of a Service or Pod for the browser: `/k8s/forward/{token}/…`.
//!
//! The address itself is what lets somebody in: what the application's pages load is asked for
//! without cookies of Drover's. It is sealed by the server's key, good for some hours, and ends
//! with the session or API key that made it, and with the role.
//!
//! The application stands on Drover's own origin, and must not act there as Drover's page:
//!
//! - Every answer is sandboxed (`Content-Security-Policy: sandbox` without `allow-same-origin`):
//!   its scripts run in an origin of their own, which has no cookies, storage or pages of
//!   Drover's, and whose requests are another site's.
//! - Drover's own pages do not take anything from there: what a page of the same origin asks for
//!   is refused, so that its policy (`script-src 'self'`) does not let an application's script in.
//! - Drover's cookies and `Authorization` do not go there, and what comes back cannot set them,
//!   clear them, ask for a password, or stay as a service worker.
//!
//! | part | what |
//! | --- | --- |
//! | `grant` | what an address stands for |
//! | `answer` | what of the application's headers passes, and how |
//! | `replaced` | a body in which one text stands for another |

mod answer;
mod grant;
mod replaced;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderName, Response, StatusCode, header},
};
use drover_api::{NewPortForward, Permission, PortForward, Timestamp};
use drover_kubernetes::{client::Identity, target::Target};
use time::OffsetDateTime;

use self::grant::Grant;
use super::{
    below,
    pass::{Sent, Upgrade, broken, passed},
    refuse,
    right::Right,
};
use crate::{
    access::{Caller, ClientAddress, EnvironmentAccess, permits},
    app::App,
    audit::Note,
    clusters::kubernetes::{failed, of_environment},
    error::{Error, Result},
    extract::Json,
    passing::{Guarded, Raw, Revoked, Unread, clean, taken_away},
    web::OwnHeaders,
};

/// How long an address is good, when nothing else is asked for, and at most; minutes.
const USUAL: u32 = 480;
const LONGEST: u32 = 1440;

/// Make an address in the browser for a port of a Service or Pod
///
/// It leads through Drover to the application, as the caller, and is a secret: whoever has it
/// reaches the application. It ends after some hours, and with the session, API key or role that
/// it was made with. The application's pages run in a sandbox without Drover's rights.
#[utoipa::path(post, path = "/v1/environments/{environment_id}/kubernetes/port-forwards",
    tag = "kubernetes",
    request_body(content = NewPortForward, example = json!({
        "kind": "service", "namespace": "shop", "name": "web", "port": "80" })),
    params(("environment_id" = Uuid, Path)), responses((status = 201, body = PortForward)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    access: EnvironmentAccess,
    note: Note,
    Json(input): Json<NewPortForward>,
) -> Result<(StatusCode, Json<PortForward>)> {
    check(&input)?;
    let minutes = input.minutes.unwrap_or(USUAL);
    if !(1..=LONGEST).contains(&minutes) {
        return Err(Error::invalid_field("minutes", "1 to 1440 minutes."));
    }
    let share = of_environment(&app, access.id).await?;
    if !share.whole_cluster && !share.namespaces.contains(&input.namespace) {
        return Err(Error::invalid_field("namespace", "The environment has no such namespace."));
    }
    let live = app.kubernetes.live(share.cluster_id).ok_or_else(|| {
        Error::unavailable("cluster_unreachable", "The cluster is not connected yet.")
    })?;
    let name = format!("{}/{}:{}", input.namespace, input.name, input.port);
    note.target(&name, &name);
    let cluster = live.connected()?;
    let grant = Grant {
        cluster: live.id,
        environment: access.id,
        credential: grant::Holder::of(&caller.credential),
        kind: input.kind,
        namespace: input.namespace,
        name: input.name,
        port: input.port,
        https: input.https,
        until: OffsetDateTime::now_utc().unix_timestamp() + i64::from(minutes) * 60,
    };
    // Whether it is there, and the caller may know.
    let role = (access.id, access.role);
    let right = Right::in_environment(&app, caller, live.clone(), role, &grant.namespace)?;
    let object = grant.object();
    let identity = Identity::User(right.user());
    cluster.get(&object, "application/json", identity, 4 << 20).await.map_err(failed)?;
    let expires_at = grant.expires_at();
    let url = format!("{}{}/", app.settings.public_url(), base(&grant.seal(&app.cipher)));
    Ok((StatusCode::CREATED, Json(PortForward { url, expires_at: Timestamp(expires_at) })))
}

/// The names go into an address of the cluster's API.
fn check(input: &NewPortForward) -> Result<()> {
    let is_name = |text: &str, longest: usize| {
        (1..=longest).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
            && !text.starts_with(['-', '.'])
            && !text.ends_with(['-', '.'])
    };
    if !is_name(&input.namespace, 63) {
        return Err(Error::invalid_field("namespace", "The name of a namespace."));
    }
    if !is_name(&input.name, 253) {
        return Err(Error::invalid_field("name", "The name of a Service or Pod."));
    }
    let is_number = input.port.parse::<u16>().is_ok_and(|port| port > 0);
    // Names of ports have a letter at least.
    let is_port_name = is_name(&input.port, 15)
        && !input.port.contains('.')
        && input.port.bytes().any(|b| b.is_ascii_lowercase());
    if !is_number && !is_port_name {
        return Err(Error::invalid_field("port", "The number of a port, or its name."));
    }
    Ok(())
}

/// What stands before an application's own path.
fn base(token: &str) -> String {
    format!("/k8s/forward/{token}")
}

/// Whose address it is, as they are now.
async fn holder(app: &App, grant: &Grant) -> Result<Right> {
    let ended = || {
        Error::new(
            StatusCode::GONE,
            "address_ended",
            "This address has ended: its time is over, or the session, API key or role that it was made with is gone. Make a new one in Drover.",
        )
    };
    if grant.expires_at() <= OffsetDateTime::now_utc() {
        return Err(ended());
    }
    let credential = grant.credential.credential().ok_or_else(ended)?;
    let caller = app.identities.by_credential(credential).await?.ok_or_else(ended)?;
    let role = caller.role_in(grant.environment).ok_or_else(ended)?;
    let live = app.kubernetes.live(grant.cluster).ok_or_else(ended)?;
    if !permits(role, Permission::Deploy) {
        return Err(ended());
    }
    let role = (grant.environment, role);
    let right = Right::in_environment(app, caller, live, role, &grant.namespace)?;
    if right.environment() != Some(grant.environment) {
        return Err(ended());
    }
    Ok(right)
}

/// Answers what a browser asks of an application.
pub(super) async fn serve(
    State(app): State<App>,
    ClientAddress(from): ClientAddress,
    Path(path): Path<Vec<(String, String)>>,
    request: Request,
) -> Result<Response<Body>> {
    let (mut parts, body) = request.into_parts();
    let body = Unread::new(body, &parts.headers);
    let token = path.iter().find(|(name, _)| name == "token").map(|(_, token)| token.as_str());
    let token = token.unwrap_or_default();
    let grant = Grant::open(&app.cipher, token).ok_or_else(|| Error::not_found("address"))?;
    let right = Arc::new(holder(&app, &grant).await?);
    is_from_outside(&parts.headers)?;
    let is_sandboxed = parts.headers.get(header::ORIGIN).is_some_and(|origin| origin == "null");
    if is_sandboxed && let Some(answer) = answer::preflight(&parts.method, &parts.headers) {
        return Ok(answer);
    }
    let (path, query) = (below(parts.uri.path(), 3), parts.uri.query());
    let target = super::address_of(&format!("{}{path}", grant.target()), query);
    Target::read(parts.method.as_str(), target.split('?').next().unwrap_or_default(), query)
        .map_err(refuse::malformed)?;
    let cluster = right.live().connected()?;

    let upgrade = Upgrade::take(&mut parts);
    let cookies = answer::cookies(&parts.headers);
    let mut headers = passed(std::mem::take(&mut parts.headers), from);
    // The application is asked by Drover; where the browser is, is none of its business.
    headers.remove(header::ORIGIN);
    headers.remove(header::REFERER);
    if let Some(cookies) = cookies {
        headers.insert(header::COOKIE, cookies);
    }
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/html")) {
        // Links in pages have to be found.
        headers.remove(header::ACCEPT_ENCODING);
    }
    if let Some(upgrade) = &upgrade {
        upgrade.ask(&mut headers);
    }
    let body = Sent::Stream(body).into_body(&mut headers, ended(&right, &grant));
    let mut request =
        axum::http::Request::builder()
            .method(parts.method)
            .uri(&target)
            .body(body)
            .map_err(|_| refuse::malformed("The address has characters that no address has."))?;
    *request.headers_mut() = headers;
    let answer = tokio::select! {
        answer = cluster.to_application(request, Identity::User(right.user())) => {
            answer.map_err(failed)?
        }
        () = ended(&right, &grant) => return Err(taken_away()),
    };
    let base = base(token);
    let mut response = if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgrade = upgrade.ok_or_else(|| {
            broken("The application switched to another protocol without being asked to.")
        })?;
        upgrade.switch(answer, ended(&right, &grant)).await?
    } else {
        let (mut parts, body) = answer.into_parts();
        clean(&mut parts.headers);
        answer::scope(&mut parts.headers, &grant.target(), &base, app.settings.secure());
        answer::sandbox(&mut parts.headers, is_sandboxed);
        let body = Guarded::new(body, ended(&right, &grant));
        let body = if answer::is_page(&parts.headers) {
            parts.headers.remove(header::CONTENT_LENGTH);
            Body::new(replaced::Replaced::new(body, grant.target(), base))
        } else {
            Body::new(body)
        };
        Response::from_parts(parts, body)
    };
    response.extensions_mut().insert(Raw);
    response.extensions_mut().insert(OwnHeaders);
    Ok(response)
}

/// Ends with the right, or with the address' time.
fn ended(right: &Arc<Right>, grant: &Grant) -> Revoked {
    let left = grant.expires_at() - OffsetDateTime::now_utc();
    let left = left.max(time::Duration::ZERO).unsigned_abs();
    let revoked = right.revoked();
    Box::pin(async move {
        tokio::select! {
            () = revoked => {}
            () = tokio::time::sleep(left) => {}
        }
    })
}

/// Refuses what one of Drover's own pages would load from an application. Of a sandboxed page
/// browsers say that it is another site.
fn is_from_outside(headers: &HeaderMap) -> Result<()> {
    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
    const DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");
    let is = |name: HeaderName, value: &str| headers.get(name).is_some_and(|is| is == value);
    let is_opened = is(MODE, "navigate") && is(DESTINATION, "document");
    let is_worker = headers.contains_key("service-worker");
    if is_worker || is(SITE, "same-origin") && !is_opened {
        return Err(Error::denied(
            "sandboxed",
            "What is behind this address is not for Drover's own pages.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use drover_api::PortForwardKind;

    use super::*;

    fn given(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn drovers_own_pages_load_nothing_from_applications() {
        let document = ("sec-fetch-dest", "document");
        for from_outside in [
            given(&[]),
            given(&[("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "script")]),
            given(&[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), document]),
            given(&[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), document]),
        ] {
            assert!(is_from_outside(&from_outside).is_ok(), "{from_outside:?}");
        }
        for from_drover in [
            given(&[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "script")]),
            given(&[
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "iframe"),
            ]),
            given(&[("sec-fetch-site", "same-origin")]),
            given(&[("sec-fetch-site", "cross-site"), ("service-worker", "script")]),
        ] {
            assert!(is_from_outside(&from_drover).is_err(), "{from_drover:?}");
        }
    }

    #[test]
    fn what_goes_into_an_address_is_a_name() {
        let new = |namespace: &str, name: &str, port: &str| NewPortForward {
            kind: PortForwardKind::Service,
            namespace: namespace.into(),
            name: name.into(),
            port: port.into(),
            https: false,
            minutes: None,
        };
        assert!(check(&new("shop", "web.v2", "80")).is_ok());
        assert!(check(&new("shop", "web", "http-alt")).is_ok());
        for (namespace, name, port) in [
            ("", "web", "80"),
            ("a/b", "web", "80"),
            ("shop", "..", "80"),
            ("shop", "web:1", "80"),
            ("shop", "web", "0"),
            ("shop", "web", "70000"),
            ("shop", "web", "80/proxy"),
            ("shop", "web?", "80"),
        ] {
            assert!(check(&new(namespace, name, port)).is_err(), "{namespace}/{name}:{port}");
        }
    }
}
