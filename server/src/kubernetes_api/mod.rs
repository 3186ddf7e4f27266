//! Clusters' own APIs: `/k8s/clusters/{cluster_id}/…` is that cluster's API for kubectl, helm and
//! client libraries, under the caller's roles.
//!
//! | part | what |
//! | --- | --- |
//! | [`serve`] | takes a call, notes it for the audit log, and sends it on |
//! | `right` | as whom a call is made, and when the right to it ends |
//! | `pass` | sends a call on and its answer back, as streams |
//! | `pods` | what pods a *restricted* member may make where the cluster does not judge |
//! | `name` | the name of what is made, for the audit log |
//! | `refuse` | errors in Kubernetes' own shape |
//! | `kubeconfig` | the file for kubectl |
//! | `forward` | a port of a Service or Pod for the browser |
//!
//! What a caller may do the cluster itself decides: each call is made as the caller, by
//! impersonation. Drover keeps no rules of its own about resources, but for pods.

mod forward;
mod kubeconfig;
mod name;
mod pass;
mod pods;
mod refuse;
mod right;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    response::Response,
    routing::any,
};
use drover_kubernetes::target::Target;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use refuse::{shape, unauthenticated};
pub use right::Admitted;
use right::Right;

use crate::{
    access::{Caller, ClientAddress, require_active},
    app::App,
    audit::Note,
    error::{Error, Result},
    extract::read_body,
    passing::Unread,
};

/// The largest object that an API server takes.
const LARGEST_OBJECT: usize = 3 << 20;
/// So often a patch is judged that others get in the way of.
const MOST_TRIES: u32 = 5;
/// How long a body that is looked at may take.
const SLOWEST_OBJECT: std::time::Duration = std::time::Duration::from_secs(60);

/// The documented routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(kubeconfig::create)).routes(routes!(forward::create))
}

/// The API itself. Not in the OpenAPI document: it is Kubernetes'.
pub fn proxy_router() -> Router<App> {
    Router::new()
        .route("/k8s/clusters/{cluster_id}/", any(serve))
        .route("/k8s/clusters/{cluster_id}/{*path}", any(serve))
        .route("/k8s/forward/{token}/", any(forward::serve))
        .route("/k8s/forward/{token}/{*path}", any(forward::serve))
}

/// What stands behind the first `parts` parts of a path, with its slash.
fn below(path: &str, parts: usize) -> &str {
    // The path begins with a slash: the first part is empty.
    let at = path.match_indices('/').nth(parts).map_or(path.len(), |(at, _)| at);
    &path[at..]
}

/// Answers a call.
async fn serve(
    State(app): State<App>,
    caller: Caller,
    Extension(admitted): Extension<Admitted>,
    ClientAddress(address): ClientAddress,
    note: Note,
    request: Request,
) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let body = Unread::new(body, &parts.headers);
    let (path, query) = (below(parts.uri.path(), 3), parts.uri.query());
    let target = Target::read(parts.method.as_str(), path, query).map_err(refuse::malformed)?;
    let wanted = address_of(path, query);
    if target.writes() {
        tell(&note, &admitted, &target, path);
    }
    refuse::other_identities(&parts.headers)?;
    let cluster = admitted.live.connected()?;
    let right = Right::new(&app, caller, &admitted, &target.namespace)?;
    if target.writes()
        && let Some(environment) = right.environment()
    {
        require_active(&app, environment).await?;
    }
    let right = Arc::new(right);
    let work = pods::Work { cluster, user: right.user(), target: &target, address: &wanted };
    let judges = right.judges_pods();
    if judges && pods::are_entered(&target) {
        work.check_entered().await?;
    }
    let body = if judges && pods::are_written(&target) {
        let object = read_object(body).await?;
        tell_name(&note, &target, &object);
        return judged(&work, &right, parts, address, object).await;
    } else if is_named_inside(&target, &parts.method, &parts.headers)
        || is_too_large(&target, &parts.headers)
    {
        let object = read_object(body).await?;
        tell_name(&note, &target, &object);
        pass::Sent::Whole(object)
    } else {
        pass::Sent::Stream(body)
    };
    pass::send(cluster, right.clone(), parts, &wanted, address, body).await
}

/// Sends on what is judged first. A patch that only Drover has bound to a revision is judged anew
/// when somebody has written in between, as an API server itself begins anew with such patches.
async fn judged(
    work: &pods::Work<'_>,
    right: &Arc<Right>,
    parts: Parts,
    from: IpAddr,
    object: Bytes,
) -> Result<Response> {
    let mut tries = 1;
    loop {
        let judged = work.judge(&parts.method, &parts.headers, object.clone()).await?;
        let answer = match judged.verdict {
            pods::Verdict::Passes(object) => {
                let body = pass::Sent::Whole(object);
                let (right, parts) = (right.clone(), parts.clone());
                pass::send(work.cluster, right, parts, work.address, from, body).await?
            }
            pods::Verdict::Answered(answer) => answer,
        };
        let again = judged.bound && answer.status() == StatusCode::CONFLICT && tries < MOST_TRIES;
        if !again {
            return Ok(answer);
        }
        tries += 1;
    }
}

fn address_of(path: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether a call writes an object that no API server reads. They answer such a call before they
/// have read it and hang up, and that answer is easily lost on the way.
fn is_too_large(target: &Target, headers: &HeaderMap) -> bool {
    target.writes()
        && !target.resource.is_empty()
        && target.subresource.is_empty()
        && length(headers).is_some_and(|length| length > LARGEST_OBJECT)
}

/// Whether the name of what is made stands in the body alone, and the body can be looked at.
fn is_named_inside(target: &Target, method: &Method, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    method == Method::POST
        && target.name.is_empty()
        && !target.resource.is_empty()
        && target.writes()
        && text(header::CONTENT_TYPE).is_some_and(name::is_readable)
        && length(headers).is_some_and(|length| length <= LARGEST_OBJECT)
}

/// Reads a body whole.
async fn read_object(body: Unread) -> Result<Bytes> {
    let read = read_body(body.into_body(), LARGEST_OBJECT);
    let read = tokio::time::timeout(SLOWEST_OBJECT, read).await;
    let read = read.map_err(|_| {
        let why = "The body did not come within a minute.";
        Error::new(StatusCode::REQUEST_TIMEOUT, "slow_body", why)
    })?;
    read.map(Bytes::from)
}

/// What the audit log calls a call. These names are for programs too: they stay.
fn action(target: &Target) -> &'static str {
    match (target.connects(), target.subresource.as_str()) {
        (true, "exec") => return "kubernetes.exec",
        (true, "attach") => return "kubernetes.attach",
        (true, "portforward") => return "kubernetes.port_forward",
        (true, _) => return "kubernetes.proxy",
        _ => {}
    }
    match target.verb {
        _ if target.resource.is_empty() => "kubernetes.call",
        "create" => "kubernetes.create",
        "update" => "kubernetes.update",
        "patch" => "kubernetes.patch",
        "delete" => "kubernetes.delete",
        "deletecollection" => "kubernetes.delete_collection",
        _ => "kubernetes.call",
    }
}

/// Tells the audit log of a call, before anything can refuse it.
fn tell(note: &Note, admitted: &Admitted, target: &Target, path: &str) {
    if target.resource.is_empty() {
        note.named_action(action(target), "path");
        note.target(path, path);
    } else {
        note.named_action(action(target), &target.type_name());
        let place = place(&target.namespace, &target.name);
        note.target(&place, &place);
    }
    if let Some(environment) = admitted.owner(&target.namespace) {
        note.environment(environment);
    }
    note.detail("cluster", admitted.live.name());
}

fn place(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// Tells it the name that stands in the object.
fn tell_name(note: &Note, target: &Target, object: &[u8]) {
    let Some(name) = name::of(object) else { return };
    if target.name.is_empty() && target.writes() {
        let name: String = name.chars().take(253).collect();
        let place = place(&target.namespace, &name);
        note.target(&place, &place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clusters_path_is_what_stands_below() {
        assert_eq!(below("/k8s/clusters/1/api/v1/pods", 3), "/api/v1/pods");
        assert_eq!(below("/k8s/clusters/1/", 3), "/");
        assert_eq!(below("/k8s/clusters/1//api", 3), "//api");
        assert_eq!(below("/k8s/forward/x/a%2Fb//", 3), "/a%2Fb//");
    }

    #[test]
    fn calls_have_names_in_the_audit_log() {
        for (method, path, expected) in [
            ("POST", "/api/v1/namespaces/a/pods", "kubernetes.create"),
            ("PATCH", "/apis/apps/v1/namespaces/a/deployments/b", "kubernetes.patch"),
            ("DELETE", "/api/v1/namespaces/a/pods", "kubernetes.delete_collection"),
            ("GET", "/api/v1/namespaces/a/pods/b/exec", "kubernetes.exec"),
            ("POST", "/api/v1/namespaces/a/pods/b/portforward", "kubernetes.port_forward"),
            ("PUT", "/api/v1/namespaces/a/services/b/proxy/x", "kubernetes.proxy"),
            ("POST", "/odd", "kubernetes.call"),
        ] {
            assert_eq!(action(&Target::read(method, path, None).unwrap()), expected);
        }
    }
}
