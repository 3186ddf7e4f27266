//! What Drover keeps in a cluster: its ClusterRoles and their bindings, and what the namespaces of
//! environments carry (labels, quota, limits). It is written by server-side apply, so that what a
//! person has changed is set right again, and what has become superfluous is removed.

use std::{collections::HashSet, time::Duration};

use drover_api::{PodSecurity, Role};
use drover_kubernetes::{
    client::{Failure, FailureKind, Identity, RequestBody, empty, full},
    discovery::{self, Discovery},
    index::Scope,
    roles,
};
use http::{Method, Request, header};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{agent, live::Live, store::Share};
use crate::{
    app::App,
    error::{Error, Result},
};

/// How often all of it is looked at though nothing seems to have changed.
const LOOK: Duration = Duration::from_secs(300);
/// After a failure.
const RETRY: Duration = Duration::from_secs(15);
/// How long all of it may take.
const LONGEST: Duration = Duration::from_secs(120);
/// The namespaces' label that names the environment.
pub(super) const ENVIRONMENT: &str = "drover.io/environment";
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
/// The name of the ResourceQuota and the LimitRange in each namespace.
const LIMITS: &str = "drover";
/// The longest answer that is read.
const LONGEST_ANSWER: usize = 16 << 20;
/// The label that says by whose word something is kept: another installation of Drover may keep
/// things of its own in the same cluster.
const CLUSTER: &str = "drover.io/cluster";

/// Keeps it all, whenever something has changed.
pub(super) async fn run(app: &App, live: &Live) {
    loop {
        live.keep.notified().await;
        let pause = loop {
            let done = timeout(LONGEST, keep_once(app, live)).await;
            match done.unwrap_or_else(|_| {
                Err(Error::unavailable("cluster_unreachable", "It takes more than two minutes."))
            }) {
                Ok(()) => {
                    live.set_kept(None);
                    if let Err(error) = agent::keep_current(app, live).await {
                        tracing::warn!(cluster = %live.name(), %error, "cannot upgrade a cluster's agent");
                    }
                    break LOOK;
                }
                Err(error) => {
                    tracing::warn!(cluster = %live.row().name, %error, "cannot keep the roles of a cluster");
                    live.set_kept(Some(error.detail().to_owned()));
                    // What has changed meanwhile is not held up by it.
                    tokio::select! {
                        () = live.keep.notified() => {}
                        () = sleep(RETRY) => {}
                    }
                }
            }
        };
        // The next look comes by itself, or sooner.
        tokio::select! {
            () = live.keep.notified() => live.keep.notify_one(),
            () = sleep(pause) => live.keep.notify_one(),
        }
    }
}

async fn keep_once(app: &App, live: &Live) -> Result<()> {
    if live.connected().is_err() {
        return Ok(());
    }
    // One replica at a time; the others find it done.
    let mut tx = app.db.begin().await?;
    let lock = i64::from_be_bytes(*live.id.as_bytes().last_chunk().unwrap_or(&[0; 8]));
    let got = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "got!""#, lock)
        .fetch_one(&mut *tx)
        .await?;
    if !got {
        return Ok(());
    }
    let discovery = discovery::discover(&live.cluster).await.map_err(super::failed)?;
    let shares = live.shares();
    let mut kept = HashSet::new();
    let mut problems = Vec::new();
    for share in shares.iter().filter(|share| !share.whole_cluster) {
        for namespace in &share.namespaces {
            problems.extend(keep_namespace(live, share, namespace).await?);
            for role in Role::ALL {
                let name = roles::binding_name(share.environment_id, role);
                kept.insert((namespace.clone(), name));
            }
        }
    }
    // After the namespaces, for which somebody may be waiting; their bindings may name roles that
    // come a moment later.
    for object in wanted_cluster_objects(&discovery, &shares) {
        apply(live, &object).await?;
    }
    remove_superfluous(live, &shares, &kept).await?;
    tx.commit().await?;
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Error::unavailable("cluster_refuses", problems.join(" "))),
    }
}

/// Keeps what one namespace is to have. What the cluster refuses there is told, and keeps no other
/// namespace from getting its own.
async fn keep_namespace(live: &Live, share: &Share, namespace: &str) -> Result<Option<String>> {
    for object in namespace_objects(share, namespace) {
        let Err(failure) = send(live, &object).await? else { continue };
        if is_of_the_whole_cluster(failure.kind()) {
            return Err(super::failed(failure));
        }
        let ends = failure.causes().iter().any(|cause| cause.reason == "NamespaceTerminating");
        let why = match ends {
            true => why_it_ends(live, namespace),
            false => failure.message().to_owned(),
        };
        let environment = &share.environment;
        return Ok(Some(format!("The namespace {namespace} of {environment}: {why}")));
    }
    Ok(None)
}

/// Whether everything else would fail in the same way.
fn is_of_the_whole_cluster(kind: FailureKind) -> bool {
    use FailureKind::{AddressRefused, Away, Certificate, TooManyRequests, Unauthorized};
    matches!(kind, Away | AddressRefused | Unauthorized | Certificate | TooManyRequests)
}

/// What a namespace that is being deleted waits for, as its controller tells it.
fn why_it_ends(live: &Live, namespace: &str) -> String {
    let known = live.index.opened("namespaces");
    let row = known.and_then(|list| list.get(&Scope::all(), "", namespace));
    let why = row.and_then(|row| row.why.as_deref().map(str::to_owned));
    why.unwrap_or_else(|| "It is being deleted.".to_owned())
}

fn kinds(discovery: &Discovery) -> Vec<roles::Kind> {
    let mut kinds: Vec<_> = discovery
        .types()
        .iter()
        .map(|found| roles::Kind {
            group: found.group.clone(),
            plural: found.plural.clone(),
            namespaced: found.namespaced,
            listable: found.has_verb("list"),
        })
        .collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn wanted_cluster_objects(discovery: &Discovery, shares: &[Share]) -> Vec<Value> {
    let mut all = roles::cluster_roles(&kinds(discovery));
    all.extend(roles::common_bindings());
    for share in shares.iter().filter(|share| share.whole_cluster) {
        let bindings = roles::cluster_bindings(share.environment_id);
        all.extend(bindings.into_iter().map(|binding| own(share, binding)));
    }
    all
}

/// An object with the label that it is kept by this installation.
fn own(share: &Share, mut object: Value) -> Value {
    object["metadata"]["labels"][CLUSTER] = json!(share.cluster_id);
    object
}

/// All that a namespace of an environment is to have, itself first.
pub(super) fn namespace_objects(share: &Share, namespace: &str) -> Vec<Value> {
    let standard = match share.pod_security {
        PodSecurity::Baseline => "baseline",
        PodSecurity::Privileged => "privileged",
    };
    let labels = json!({
        ENVIRONMENT: share.environment_id,
        ENFORCE: standard,
        (roles::MANAGED_BY.0): roles::MANAGED_BY.1,
    });
    let mut all = vec![json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": namespace, "labels": labels },
    })];
    all.extend(roles::namespace_bindings(share.environment_id, namespace));
    let metadata = json!({
        "name": LIMITS, "namespace": namespace,
        "labels": { (roles::MANAGED_BY.0): roles::MANAGED_BY.1 },
    });
    let limits = &share.limits;
    if !limits.quota.is_empty() {
        all.push(json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata,
            "spec": { "hard": limits.quota },
        }));
    }
    if !limits.default_limit.is_empty() || !limits.default_request.is_empty() {
        all.push(json!({
            "apiVersion": "v1", "kind": "LimitRange", "metadata": metadata,
            "spec": { "limits": [{
                "type": "Container",
                "default": limits.default_limit,
                "defaultRequest": limits.default_request,
            }] },
        }));
    }
    all.into_iter().map(|object| own(share, object)).collect()
}

/// Where objects of a kind that Drover keeps are.
fn collection(kind: &str, namespace: Option<&str>) -> String {
    let (base, plural) = match kind {
        "Namespace" => ("/api/v1", "namespaces"),
        "ResourceQuota" => ("/api/v1", "resourcequotas"),
        "LimitRange" => ("/api/v1", "limitranges"),
        "ClusterRole" => ("/apis/rbac.authorization.k8s.io/v1", "clusterroles"),
        "ClusterRoleBinding" => ("/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
        _ => ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    };
    match namespace {
        Some(namespace) => format!("{base}/namespaces/{namespace}/{plural}"),
        None => format!("{base}/{plural}"),
    }
}

/// Makes an object be as it is wanted.
pub(super) async fn apply(live: &Live, object: &Value) -> Result<()> {
    send(live, object).await?.map_err(super::failed)
}

async fn send(live: &Live, object: &Value) -> Result<Result<(), Failure>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    let namespace = object["metadata"]["namespace"].as_str();
    // Names of bindings have colons, which stand for themselves in a path.
    let path = format!("{}/{name}?fieldManager=drover&force=true", collection(&kind, namespace));
    let body = full(object.to_string());
    let request = request(Method::PATCH, &path, "application/apply-patch+yaml", body)?;
    Ok(live.cluster.request(request, Identity::Drover).await.map(drop))
}

fn request(
    method: Method,
    path: &str,
    content_type: &'static str,
    body: RequestBody,
) -> Result<Request<RequestBody>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, content_type)
        .body(body)
        .map_err(Error::internal)
}

/// Removes bindings, quotas and limits that Drover once made and that nothing wants any more.
async fn remove_superfluous(
    live: &Live,
    shares: &[Share],
    kept: &HashSet<(String, String)>,
) -> Result<()> {
    let wanted_in = |namespace: &str| {
        shares.iter().find(|share| share.namespaces.iter().any(|name| name == namespace))
    };
    for kind in ["RoleBinding", "ResourceQuota", "LimitRange"] {
        for (namespace, name) in list(live, kind).await? {
            let stays = match kind {
                "RoleBinding" => kept.contains(&(namespace.clone(), name.clone())),
                "ResourceQuota" => {
                    wanted_in(&namespace).is_some_and(|share| !share.limits.quota.is_empty())
                }
                _ => wanted_in(&namespace).is_some_and(|share| {
                    !share.limits.default_limit.is_empty()
                        || !share.limits.default_request.is_empty()
                }),
            };
            let ours = kind == "RoleBinding" && name.starts_with("drover:") || name == LIMITS;
            if ours && !stays {
                delete(live, kind, Some(&namespace), &name).await?;
            }
        }
    }
    let whole: HashSet<String> = shares
        .iter()
        .filter(|share| share.whole_cluster)
        .flat_map(|share| roles::cluster_bindings(share.environment_id))
        .filter_map(|binding| binding["metadata"]["name"].as_str().map(str::to_owned))
        .collect();
    for (_, name) in list(live, "ClusterRoleBinding").await? {
        if name.starts_with("drover:") && !whole.contains(&name) {
            delete(live, "ClusterRoleBinding", None, &name).await?;
        }
    }
    release_namespaces(live, shares).await
}

/// Takes Drover's labels off namespaces that belong to no environment any more.
async fn release_namespaces(live: &Live, shares: &[Share]) -> Result<()> {
    let path = format!("/api/v1/namespaces?{}", ours(live));
    let found: Value =
        live.cluster.get_json(&path, Identity::Drover).await.map_err(super::failed)?;
    for item in found["items"].as_array().into_iter().flatten() {
        let name = item["metadata"]["name"].as_str().unwrap_or_default();
        let owner = item["metadata"]["labels"][ENVIRONMENT].as_str().unwrap_or_default();
        let is_wanted = shares.iter().any(|share| {
            share.environment_id.to_string() == owner
                && share.namespaces.iter().any(|wanted| wanted == name)
        });
        // Another one's bindings and labels may stand there by now: only what names this
        // environment, or none that is known, is taken off.
        let is_others = shares.iter().any(|share| share.namespaces.iter().any(|n| n == name));
        if is_wanted || is_others {
            continue;
        }
        let patch = json!({ "metadata": { "labels": {
            ENVIRONMENT: null, CLUSTER: null, ENFORCE: null, (roles::MANAGED_BY.0): null,
        } } });
        let path = format!("{}/{name}?fieldManager=drover", collection("Namespace", None));
        let body = full(patch.to_string());
        let request = request(Method::PATCH, &path, "application/merge-patch+json", body)?;
        gone_is_fine(live.cluster.request(request, Identity::Drover).await.map(drop))?;
    }
    Ok(())
}

fn gone_is_fine(done: drover_kubernetes::client::Result<()>) -> Result<()> {
    match done {
        Err(failure) if failure.is_not_found() => Ok(()),
        other => other.map_err(super::failed),
    }
}

/// Selects what this installation keeps in a cluster.
fn ours(live: &Live) -> String {
    format!("labelSelector={}%3D{}", CLUSTER.replace('/', "%2F"), live.id)
}

/// The namespaces and names of what Drover has made of a kind.
async fn list(live: &Live, kind: &str) -> Result<Vec<(String, String)>> {
    let path = format!("{}?{}", collection(kind, None), ours(live));
    let found: Value =
        live.cluster.get_json(&path, Identity::Drover).await.map_err(super::failed)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = found["items"].as_array().into_iter().flatten();
    Ok(items
        .map(|item| (text(&item["metadata"]["namespace"]), text(&item["metadata"]["name"])))
        .collect())
}

/// Makes a namespace of an environment.
///
/// # Errors
/// When there is one of this name already: it may be anybody's.
pub(super) async fn create_namespace(live: &Live, share: &Share, name: &str) -> Result<()> {
    let objects = namespace_objects(share, name);
    let namespace = objects.first().map(Value::to_string).unwrap_or_default();
    let path = format!("{}?fieldManager=drover", collection("Namespace", None));
    let request = request(Method::POST, &path, "application/json", full(namespace))?;
    live.cluster.request(request, Identity::Drover).await.map(drop).map_err(super::failed)
}

/// Has the cluster delete a namespace.
pub(super) async fn delete_namespace(live: &Live, name: &str) -> Result<()> {
    delete(live, "Namespace", None, name).await
}

async fn delete(live: &Live, kind: &str, namespace: Option<&str>, name: &str) -> Result<()> {
    let path = format!("{}/{name}", collection(kind, namespace));
    let request = request(Method::DELETE, &path, "application/json", empty())?;
    let done = live.cluster.request(request, Identity::Drover).await;
    // The answer is read to its end, so that its connection can be used again.
    let done = match done {
        Ok(answer) => {
            let read = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
            read.map(drop).map_err(|error| Failure::away(error.to_string()))
        }
        Err(failure) => Err(failure),
    };
    gone_is_fine(done)
}
