//! The HTTP proxy to pods and services, and the small server that stands for whatever runs there.

use http_body_util::BodyExt;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};

use super::images;
use crate::{
    handlers::Context,
    respond::{self, Answer},
    selectors::{Labels, label_map},
    status::{ApiError, Result},
};

/// Answers for a port of a pod: HTTP that says what was asked.
pub async fn respond<S>(stream: S, pod: String, port: u16)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let pod = pod.clone();
        async move { Ok::<_, std::convert::Infallible>(echo(request, &pod, port).await) }
    });
    // How a client goes away is its own business.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn echo(request: Request<Incoming>, pod: &str, port: u16) -> Answer {
    let (parts, body) = request.into_parts();
    let body = http_body_util::Limited::new(body, 1024 * 1024).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    answer(parts.method.as_str(), &parts.uri.to_string(), &body, pod, port)
}

fn answer(method: &str, uri: &str, body: &[u8], pod: &str, port: u16) -> Response<respond::Body> {
    if uri.starts_with("/status/404") {
        return respond::text(404, "not found\n");
    }
    let mut text = format!("Hello from {pod} on port {port}\n{method} {uri}\n");
    if !body.is_empty() {
        text.push_str(&String::from_utf8_lossy(body));
        text.push('\n');
    }
    respond::text(200, text)
}

/// `[scheme:]name[:port]` of an address.
fn target(name: &str) -> (&str, Option<&str>) {
    let parts: Vec<&str> = name.split(':').collect();
    match parts.as_slice() {
        [name] => (name, None),
        [name, port] => (name, Some(port)),
        [_, name, port, ..] => (name, Some(port).filter(|port| !port.is_empty()).copied()),
        [] => (name, None),
    }
}

/// Passes a request on to a pod or a service.
///
/// # Errors
/// When there is nothing behind it that answers.
pub async fn handle(context: Context, request: Request<Incoming>) -> Result<Answer> {
    if context.resource.plural == "nodes" {
        return Err(ApiError::new(
            503,
            "ServiceUnavailable",
            "the kubelets of this cluster are made up, and serve nothing through the proxy",
        ));
    }
    let (name, port) = target(&context.info.name);
    let (pod, port) = if context.resource.plural == "services" {
        endpoint(&context, name, port)?
    } else {
        let pod = super::pod(&context.cluster, context.namespace(), name)?;
        let declared = || pod["spec"]["containers"][0]["ports"][0]["containerPort"].clone();
        let port = port.map_or_else(declared, |port| json!(port));
        let port = images::resolve(&pod, &port).unwrap_or(80);
        (pod, port)
    };
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let pod_name = pod["metadata"]["name"].as_str().unwrap_or_default();
    if !context.cluster.containers.serves(uid, port) {
        let address = pod["status"]["podIP"].as_str().unwrap_or_default();
        let message = format!(
            "error trying to reach service: dial tcp {address}:{port}: connect: connection refused"
        );
        let error = ApiError::new(503, "ServiceUnavailable", message);
        return Err(error);
    }
    let method = request.method().as_str().to_owned();
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let uri = format!("/{}{query}", context.info.rest);
    let body = http_body_util::Limited::new(request.into_body(), 1024 * 1024).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    Ok(answer(&method, &uri, &body, pod_name, port))
}

fn endpoint(context: &Context, name: &str, port: Option<&str>) -> Result<(Value, u16)> {
    let store = &context.cluster.store;
    let about = crate::status::About { group: "", resource: "services", name };
    let service = store
        .value("", "services", context.namespace(), name)
        .ok_or_else(|| ApiError::not_found(about))?;
    let none = |why: String| ApiError::new(503, "ServiceUnavailable", why);
    let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let wanted = ports.iter().find(|one| match port {
        None => ports.len() == 1,
        Some(port) => one["name"] == port || one["port"].to_string() == port,
    });
    let wanted = wanted.ok_or_else(|| {
        none(format!("no service port {:?} found for service {name:?}", port.unwrap_or_default()))
    })?;
    let selector = Labels::of_map(&service["spec"]["selector"]);
    let ready = |pod: &Value| {
        pod["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    let pod = store
        .values("", "pods", Some(context.namespace()))
        .into_iter()
        .find(|pod| {
            let labels = label_map(&pod["metadata"]["labels"]);
            selector.as_ref().is_some_and(|selector| selector.matches(&labels)) && ready(pod)
        })
        .ok_or_else(|| none(format!("no endpoints available for service {name:?}")))?;
    let port = images::resolve(&pod, &wanted["targetPort"])
        .ok_or_else(|| none(format!("no endpoints available for service {name:?}")))?;
    Ok((pod, port))
}
