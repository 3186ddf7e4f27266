//! What requests do, once it is clear that they may.

mod body;
mod create;
mod delete;
mod list;
mod negotiate;
mod patch;
mod protobuf;
mod reviews;
mod root;
mod subresources;
mod twice;
mod update;
mod watch;

use std::sync::Arc;

use hyper::{Method, Request, body::Incoming};

pub use body::Read;
pub use create::{create_object, suffix};
pub use delete::{DeleteOptions, delete_object, finish};
pub use negotiate::{Accepts, Form, answer_object, wire};
pub use update::{Writing, write_over};

use crate::{
    cluster::Cluster,
    request::RequestInfo,
    resources::{Origin, ResourceType, Served},
    respond::Answer,
    server::Caller,
    status::{ApiError, Result},
};

/// A request with all that is known of it.
pub struct Context {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// Who asks.
    pub caller: Caller,
    /// What for.
    pub info: RequestInfo,
    /// The resource.
    pub resource: Arc<ResourceType>,
}

impl Context {
    /// The namespace for the store: nothing for cluster-wide resources.
    pub fn namespace(&self) -> &str {
        if self.resource.namespaced { &self.info.namespace } else { "" }
    }
}

/// Answers a request.
///
/// # Errors
/// With the refusal to send.
pub async fn handle(
    cluster: Arc<Cluster>,
    caller: Caller,
    info: RequestInfo,
    request: Request<Incoming>,
) -> Result<Answer> {
    if !info.is_resource {
        return root::handle(&cluster, &info, &request);
    }
    let served = cluster.catalog.now();
    let resource = served
        .find(&info.group, &info.version, &info.resource)
        .cloned()
        .ok_or_else(|| unknown(&served, &info))?;
    if !resource.namespaced && !info.namespace.is_empty() && info.resource != "namespaces"
        || resource.namespaced
            && info.namespace.is_empty()
            && !info.name.is_empty()
            && info.names_object()
    {
        return Err(ApiError::no_such_resource());
    }
    let context = Context { cluster, caller, info, resource };
    if !context.info.subresource.is_empty() {
        return subresources::handle(context, request).await;
    }
    plain(context, request).await
}

/// A group that is not there leads nowhere; one that is says that it has no such resource.
fn unknown(served: &Served, info: &RequestInfo) -> ApiError {
    if info.group.is_empty() || served.groups().iter().any(|(group, _)| *group == info.group) {
        return ApiError::no_such_resource();
    }
    ApiError::no_such_path()
}

async fn plain(context: Context, request: Request<Incoming>) -> Result<Answer> {
    match &context.resource.origin {
        Origin::Review => return reviews::handle(context, request).await,
        Origin::Metrics => return crate::metrics::handle(&context, &request),
        Origin::BuiltIn | Origin::Custom(_) => {}
    }
    let method = request.method().clone();
    let verb = context.info.verb.clone();
    // A list with a field selector for one name still is a list.
    let collection = matches!(verb.as_str(), "list" | "watch" | "deletecollection")
        || context.info.name.is_empty();
    let allowed = context.resource.verbs.contains(&verb);
    if !allowed && (verb != "create" || collection) {
        return Err(ApiError::method_not_allowed());
    }
    match (method, collection) {
        (Method::GET | Method::HEAD, true) if verb == "watch" => {
            watch::handle(&context, request.headers())
        }
        (Method::GET | Method::HEAD, true) => list::handle(&context, request.headers()),
        (Method::GET | Method::HEAD, false) => list::get(&context, request.headers()),
        (Method::POST, true) => create::handle(context, request).await,
        (Method::PUT, false) => update::handle(context, request).await,
        (Method::PATCH, false) => patch::handle(context, request).await,
        (Method::DELETE, false) => delete::handle(context, request).await,
        (Method::DELETE, true) => delete::collection(context, request).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}
