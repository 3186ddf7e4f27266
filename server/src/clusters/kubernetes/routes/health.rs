//! How a cluster fares: what its control plane says, what goes away, what ends, what is left.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use axum::extract::State;
use base64::{Engine, prelude::BASE64_STANDARD};
use drover_api::{
    ApiDeprecation, ClusterCapacity, ClusterCheck, ClusterEvent, ClusterHealth, ClusterNode,
    ExpiringCertificate, NodeCondition, Timestamp,
};
use drover_kubernetes::{
    certificates,
    client::{Cluster, Identity, Warned},
    facts::{Facts, NodeFacts},
    health,
    index::{Live as LiveList, Namespaces, Row, Scope},
};
use http::{Method, Request};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tokio::time::{Duration, timeout};
use uuid::Uuid;

use super::{
    super::{access, live::Live, shown},
    target::Target,
};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Json, Path},
};

/// How long one of the questions may take.
const LONGEST: Duration = Duration::from_secs(10);
/// How long the answer to which APIs go away is good for.
const ASK_AGAIN: Duration = Duration::from_secs(600);
/// The largest answers that are read.
const LARGEST_CHECKS: usize = 1 << 20;
const LARGEST_METRICS: usize = 64 << 20;
/// The most warnings, and certificates.
const MOST: usize = 100;
/// The most namespaces whose certificates are read one by one.
const MOST_NAMESPACES: usize = 50;

/// Show how a cluster fares
///
/// The checks of its control plane, APIs in use that will be removed, certificates that end, what
/// its nodes have and what is asked of them, and the newest warnings.
#[utoipa::path(get, path = "/v1/kubernetes/clusters/{cluster_id}/health", tag = "kubernetes",
    params(("cluster_id" = Uuid, Path)),
    responses((status = 200, body = ClusterHealth)))]
pub(super) async fn of_cluster(
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<ClusterHealth>> {
    let live = app.kubernetes.live(id).ok_or_else(|| Error::not_found("cluster"))?;
    Ok(Json(look(&app, &live, &Scope::all()).await))
}

/// Show how the cluster of an environment fares
///
/// As far as it concerns the environment: of a cluster that it shares, only its own pods, warnings
/// and certificates.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/kubernetes/health", tag = "kubernetes",
    params(("environment_id" = Uuid, Path)),
    responses((status = 200, body = ClusterHealth)))]
pub(super) async fn of_environment(target: Target) -> Result<Json<ClusterHealth>> {
    let scope = match target.share.whole_cluster {
        true => Scope::all(),
        false => Scope { cluster: true, ..Scope::namespaces(target.share.namespaces.clone()) },
    };
    Ok(Json(look(&target.app, &target.live, &scope).await))
}

async fn look(app: &App, live: &Live, scope: &Scope) -> ClusterHealth {
    // A cluster that is away is not waited for: what was measured before is shown.
    let measured = match live.connected() {
        Ok(_) => live.metrics.look().await.is_ok(),
        Err(_) => !live.metrics.nodes().is_empty(),
    };
    let everything = scope.namespaces == Namespaces::All;
    let (nodes, capacity) = nodes(live, scope, measured);
    let warnings = warnings(live, scope);
    // A cluster that is away is not asked: what is known of it is shown.
    let Ok(cluster) = live.connected() else {
        return ClusterHealth { capacity, nodes, warnings, ..ClusterHealth::default() };
    };
    let (checks, deprecations, certificates) = tokio::join!(
        checks(cluster),
        async { if everything { deprecations(live, cluster).await } else { Vec::new() } },
        expiring(app, live, cluster, scope)
    );
    ClusterHealth { checks, deprecations, certificates, capacity, nodes, warnings }
}

/// What is at a path, whatever the status says.
async fn text(cluster: &Cluster, path: &str, most: usize) -> Option<String> {
    let read = async {
        let request = Request::builder().method(Method::GET).uri(path);
        let request = request.body(drover_kubernetes::client::empty()).ok()?;
        let answer = cluster.raw(request, Identity::Drover).await.ok()?;
        let body = Limited::new(answer.into_body(), most).collect().await.ok()?;
        Some(String::from_utf8_lossy(&body.to_bytes()).into_owned())
    };
    timeout(LONGEST, read).await.ok().flatten()
}

async fn checks(cluster: &Cluster) -> Vec<ClusterCheck> {
    let Some(text) = text(cluster, "/readyz?verbose", LARGEST_CHECKS).await else {
        let message = "The API server does not answer whether it is ready.".to_owned();
        return vec![ClusterCheck { name: "readyz".into(), ok: false, message: Some(message) }];
    };
    let show = |check: health::Check| ClusterCheck {
        name: check.name,
        ok: check.ok,
        message: check.message,
    };
    health::checks(&text).into_iter().map(show).collect()
}

async fn deprecations(live: &Live, cluster: &Cluster) -> Vec<ApiDeprecation> {
    // Those who ask meanwhile wait for the same answer.
    let mut known = live.deprecated.lock().await;
    if known.as_ref().is_none_or(|(at, _)| at.elapsed() > ASK_AGAIN)
        && let Some(text) = text(cluster, "/metrics", LARGEST_METRICS).await
    {
        *known = Some((Instant::now(), health::deprecated(&text)));
    }
    let show = |found: &health::Deprecated| ApiDeprecation {
        api: found.api.clone(),
        removed_in: found.removed_in.clone(),
        used_by: None,
    };
    let mut all = known.iter().flat_map(|(_, all)| all).map(show).collect();
    add_warned(&mut all, &cluster.warned());
    all
}

/// Adds what the cluster has warned of, and to whom: it says who still has to change something.
fn add_warned(all: &mut Vec<ApiDeprecation>, warned: &[Warned]) {
    for one in warned {
        let Some(found) = health::deprecation(&one.text) else { continue };
        let users: Vec<&str> =
            one.users.iter().map(|user| user.strip_prefix("drover:").unwrap_or(user)).collect();
        let used_by = Some(users.join(", ")).filter(|users| !users.is_empty());
        match all.iter_mut().find(|known| health::is_same_api(&known.api, &found.api)) {
            Some(known) => known.used_by = used_by,
            None => {
                all.push(ApiDeprecation { api: found.api, removed_in: found.removed_in, used_by })
            }
        }
    }
}

async fn expiring(
    app: &App,
    live: &Live,
    cluster: &Cluster,
    scope: &Scope,
) -> Vec<ExpiringCertificate> {
    let one = |of: &str, at| ExpiringCertificate { of: of.to_owned(), expires_at: Timestamp(at) };
    let mut all = Vec::new();
    all.extend(cluster.certificate_ends().map(|at| one("API server", at)));
    if scope.namespaces == Namespaces::All
        && let Ok(Some(access)) = access::open(app, &live.row())
        && let Some(own) = access.credentials.certificate
    {
        let ends = certificates::pem_ends(&own.certificate);
        all.extend(ends.map(|at| one("Drover's own client certificate", at)));
    }
    let paths: Vec<String> = match &scope.namespaces {
        Namespaces::All => vec!["/api/v1/secrets".to_owned()],
        Namespaces::These(names) => names
            .iter()
            .take(MOST_NAMESPACES)
            .map(|name| format!("/api/v1/namespaces/{name}/secrets"))
            .collect(),
    };
    let read = async {
        for path in paths {
            let path = format!("{path}?fieldSelector=type%3Dkubernetes.io%2Ftls&limit=500");
            let found = cluster.get_json::<Value>(&path, Identity::Drover).await;
            all.extend(found.iter().flat_map(secrets));
        }
    };
    let _ = timeout(LONGEST, read).await;
    all.sort_by_key(|one| one.expires_at.unix_ms());
    all.truncate(MOST);
    all
}

/// The certificates in a list of Secrets: nothing of them but names and ends.
fn secrets(list: &Value) -> Vec<ExpiringCertificate> {
    let items = list["items"].as_array().into_iter().flatten();
    items
        .filter_map(|secret| {
            let pem = BASE64_STANDARD.decode(secret["data"]["tls.crt"].as_str()?).ok()?;
            let ends = certificates::pem_ends(&String::from_utf8_lossy(&pem))?;
            let metadata = &secret["metadata"];
            Some(ExpiringCertificate {
                of: format!(
                    "Secret {}/{}",
                    metadata["namespace"].as_str()?,
                    metadata["name"].as_str()?
                ),
                expires_at: Timestamp(ends),
            })
        })
        .collect()
}

/// What pods ask for, by node.
fn requested(live: &Live, scope: &Scope) -> HashMap<String, ClusterCapacity> {
    let mut by_node: HashMap<String, ClusterCapacity> = HashMap::new();
    let Some(pods) = live.index.opened("pods") else { return by_node };
    for row in pods.select(scope, |_| true) {
        let Facts::Pod(pod) = &row.facts else { continue };
        if matches!(&*pod.phase, "Succeeded" | "Failed") {
            continue;
        }
        let node = pod.node.as_deref().unwrap_or_default().to_owned();
        let sum = by_node.entry(node).or_default();
        sum.cpu_requested += u64::from(pod.requests.cpu_milli);
        sum.memory_requested += pod.requests.memory;
        sum.pods_used += 1;
    }
    by_node
}

fn nodes(live: &Live, scope: &Scope, measured: bool) -> (Vec<ClusterNode>, ClusterCapacity) {
    let mut total = ClusterCapacity::default();
    let Some(list) = live.index.opened("nodes") else { return (Vec::new(), total) };
    let mut asked = requested(live, scope);
    let used: BTreeMap<String, (u64, u64)> = match measured {
        true => live
            .metrics
            .nodes()
            .iter()
            .filter_map(|node| {
                let last = node.last()?;
                Some((node.name.to_string(), (last.cpu_millis, last.memory)))
            })
            .collect(),
        false => BTreeMap::new(),
    };
    let mut nodes = Vec::new();
    for row in list.select(&Scope::all(), |_| true) {
        let Facts::Node(facts) = &row.facts else { continue };
        let mut capacity = asked.remove(&*row.name).unwrap_or_default();
        capacity.cpu_millis = facts.allocatable.cpu_milli.into();
        capacity.memory = facts.allocatable.memory;
        capacity.pods = facts.pods.into();
        if let Some((cpu, memory)) = used.get(&*row.name) {
            (capacity.cpu_used, capacity.memory_used) = (Some(*cpu), Some(*memory));
        }
        add(&mut total, &capacity);
        nodes.push(node(&list, &row, facts, capacity));
    }
    // Pods that wait for a node ask for something too.
    for capacity in asked.values() {
        add(&mut total, capacity);
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    (nodes, total)
}

fn add(total: &mut ClusterCapacity, one: &ClusterCapacity) {
    total.cpu_millis += one.cpu_millis;
    total.cpu_requested += one.cpu_requested;
    total.memory += one.memory;
    total.memory_requested += one.memory_requested;
    total.pods += one.pods;
    total.pods_used += one.pods_used;
    let sum = |total: Option<u64>, one: Option<u64>| match (total, one) {
        (None, None) => None,
        (total, one) => Some(total.unwrap_or_default() + one.unwrap_or_default()),
    };
    total.cpu_used = sum(total.cpu_used, one.cpu_used);
    total.memory_used = sum(total.memory_used, one.memory_used);
}

fn node(list: &LiveList, row: &Row, facts: &NodeFacts, capacity: ClusterCapacity) -> ClusterNode {
    let columns = list.columns();
    let address = columns.iter().position(|column| &*column.key == "internal_ip");
    let address = address.and_then(|at| row.cells.get(at)).map(|cell| cell.show(&row.name, 0, 0));
    let usual = ["MemoryPressure", "DiskPressure", "PIDPressure"];
    let bad = |kind: &str| facts.conditions.iter().any(|condition| &**condition == kind);
    let mut conditions = vec![NodeCondition {
        kind: "Ready".into(),
        ok: facts.ready,
        message: row.why.as_deref().filter(|_| !facts.ready).map(str::to_owned),
    }];
    let all = usual.into_iter().chain(
        facts.conditions.iter().map(|condition| &**condition).filter(|one| !usual.contains(one)),
    );
    conditions.extend(all.map(|kind| NodeCondition {
        kind: kind.to_owned(),
        ok: !bad(kind),
        message: row.why.as_deref().filter(|_| bad(kind)).map(str::to_owned),
    }));
    ClusterNode {
        name: row.name.to_string(),
        ready: facts.ready,
        schedulable: !facts.unschedulable,
        roles: facts.roles.iter().map(ToString::to_string).collect(),
        version: facts.kubelet.to_string(),
        address: address.map(Into::into).filter(|text: &String| !text.is_empty()),
        conditions,
        capacity,
        created_at: shown::moment(row.created),
    }
}

/// The newest warnings.
fn warnings(live: &Live, scope: &Scope) -> Vec<ClusterEvent> {
    let Some(list) = live.index.opened("events") else { return Vec::new() };
    let rows = list.select(scope, |row| matches!(&row.facts, Facts::Event(event) if event.warning));
    let mut all: Vec<(i64, ClusterEvent)> = rows
        .iter()
        .filter_map(|row| match &row.facts {
            Facts::Event(event) => Some((
                event.last,
                ClusterEvent {
                    object: format!("{} {}", event.kind, event.name),
                    namespace: Some(event.namespace.to_string()).filter(|text| !text.is_empty()),
                    reason: event.reason.to_string(),
                    message: event.message.to_string(),
                    count: event.count,
                    at: shown::moment(event.last),
                },
            )),
            _ => None,
        })
        .collect();
    all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    all.into_iter().take(MOST).map(|(_, event)| event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_warned_of_says_who_has_to_change_something() {
        let api = |api: &str, used_by: Option<&str>| ApiDeprecation {
            api: api.to_owned(),
            removed_in: Some("1.25".to_owned()),
            used_by: used_by.map(str::to_owned),
        };
        let mut all = vec![api("poddisruptionbudgets.policy/v1beta1", None)];
        let warned = |kind: &str, users: &[&str]| Warned {
            text: format!("policy/v1beta1 {kind} is deprecated in v1.21+, unavailable in v1.25+"),
            users: users.iter().map(|user| (*user).to_owned()).collect(),
        };
        let told = [
            warned("PodDisruptionBudget", &["drover:mia", "drover:ci"]),
            warned("PodSecurityPolicy", &[]),
        ];
        add_warned(&mut all, &told);
        assert_eq!(
            all,
            [
                api("poddisruptionbudgets.policy/v1beta1", Some("mia, ci")),
                api("policy/v1beta1 PodSecurityPolicy", None),
            ]
        );
    }
}
