//! How an administrator's kubeconfig becomes a connection.

use std::{sync::Arc, time::Duration};

use drover_api::{ClusterAnswer, KubeconfigCheck, KubeconfigContext};
use drover_kubernetes::client::{
    Access, Cluster, Dial, Identity, Reach, RefusedAddress, ServerAddress, TcpDialer, full,
    kubeconfig::Kubeconfig,
};
use http::{Method, Request, header};
use http_body_util::{BodyExt, Limited};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::lookup_host, time::timeout};

use super::store::ClusterRow;
use crate::{
    app::App,
    error::{Error, Result},
};

/// How long an administrator waits for a first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(15);
/// How long a name may take to be looked up.
const LOOKUP: Duration = Duration::from_secs(5);
/// The longest answer to a review.
const LONGEST_REVIEW: usize = 64 << 10;

/// What `/version` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Version {
    pub git_version: String,
}

fn unreadable(message: String) -> Error {
    Error::invalid_field("kubeconfig", message)
}

/// The contexts of a kubeconfig.
pub(super) fn contexts(text: &str) -> Result<KubeconfigCheck> {
    let found = Kubeconfig::read(text).map_err(unreadable)?.contexts();
    Ok(KubeconfigCheck {
        current: found.iter().find(|context| context.current).map(|c| c.name.clone()),
        contexts: found
            .into_iter()
            .map(|context| KubeconfigContext {
                problem: Some(context.problems.join(" ")).filter(|text| !text.is_empty()),
                name: context.name,
                server: context.server,
                user: context.user,
            })
            .collect(),
        connection: None,
    })
}

/// What a context has to say.
pub(super) fn choose(text: &str, context: Option<&str>) -> Result<Access> {
    let config = Kubeconfig::read(text).map_err(unreadable)?;
    config.choose(context).map_err(|why| Error::invalid_field("context", why.join(" ")))
}

/// Refuses addresses that lead into the server's own machine or network, at once and in words: they
/// are refused on each connection too. A name that nobody knows now may be known later.
pub(super) async fn check_address(access: &Access, allow_private_address: bool) -> Result<()> {
    if allow_private_address {
        return Ok(());
    }
    let address = address(access)?;
    let host = address.host.trim_start_matches('[').trim_end_matches(']');
    let found = timeout(LOOKUP, lookup_host((host, address.port))).await;
    let refused = found
        .ok()
        .and_then(std::result::Result::ok)
        .and_then(|mut found| found.find_map(|address| RefusedAddress::of(address.ip())));
    match refused {
        Some(refused) => Err(unreadable(refused.to_string())),
        None => Ok(()),
    }
}

fn address(access: &Access) -> Result<ServerAddress> {
    ServerAddress::parse(&access.server).map_err(unreadable)
}

/// The way to the address in a kubeconfig.
pub(super) fn dialer(access: &Access, allow_private_address: bool) -> Result<Arc<dyn Dial>> {
    let address = address(access)?;
    let reach = if allow_private_address { Reach::Anywhere } else { Reach::Elsewhere };
    Ok(Arc::new(TcpDialer::new(&address.host, address.port, reach)))
}

/// Seals what there is to say to a cluster.
pub(super) fn seal(app: &App, access: &Access) -> Vec<u8> {
    app.cipher.seal(access.to_sealable().expose_secret().as_bytes())
}

/// Opens what [`seal`] made.
pub(super) fn open(app: &App, row: &ClusterRow) -> Result<Option<Access>> {
    let Some(sealed) = &row.access else { return Ok(None) };
    let plain = app.cipher.open(sealed).map_err(Error::internal)?;
    let text = String::from_utf8(plain).map_err(Error::internal)?;
    Access::from_sealable(&text).map(Some).map_err(Error::internal)
}

/// A connection to the address in a kubeconfig, which is made with the first request.
pub(super) fn connect(access: &Access, allow_private_address: bool) -> Result<Cluster> {
    Cluster::new(access, dialer(access, allow_private_address)?).map_err(super::failed)
}

/// Asks a cluster for its version, and whether Drover may do there what it has to.
pub(super) async fn try_out(access: &Access, allow_private_address: bool) -> ClusterAnswer {
    let problem = |problem: String| ClusterAnswer { version: None, problem: Some(problem) };
    let cluster = match connect(access, allow_private_address) {
        Ok(cluster) => cluster,
        Err(error) => return problem(error.detail().to_owned()),
    };
    match timeout(FIRST_ANSWER, ask(&cluster)).await {
        Ok(answer) => answer,
        Err(_) => problem("The cluster did not answer within 15 seconds.".into()),
    }
}

async fn ask(cluster: &Cluster) -> ClusterAnswer {
    let version: Version = match cluster.get_json("/version", Identity::Drover).await {
        Ok(version) => version,
        Err(failure) => {
            return ClusterAnswer { version: None, problem: Some(failure.message().to_owned()) };
        }
    };
    let problem = match may_everything(cluster).await {
        Ok(true) => None,
        Ok(false) => Some("This account may not do everything in the cluster, and Drover acts as its users there and keeps their roles: give it `cluster-admin` (`kubectl create clusterrolebinding drover --clusterrole=cluster-admin …`).".to_owned()),
        Err(failure) => Some(failure.message().to_owned()),
    };
    ClusterAnswer { version: Some(version.git_version), problem }
}

/// Whether Drover's own account may do everything, impersonation included.
async fn may_everything(cluster: &Cluster) -> drover_kubernetes::client::Result<bool> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": { "verb": "*", "group": "*", "resource": "*" } },
    });
    let request = Request::builder()
        .method(Method::POST)
        .uri("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header(header::CONTENT_TYPE, "application/json")
        .body(full(review.to_string()))
        .map_err(|error| drover_kubernetes::client::Failure::from_chain(&error))?;
    let answer = cluster.request(request, Identity::Drover).await?;
    let body = Limited::new(answer.into_body(), LONGEST_REVIEW).collect().await;
    let bytes = body.map(|body| body.to_bytes()).unwrap_or_default();
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(answer["status"]["allowed"] == true)
}
