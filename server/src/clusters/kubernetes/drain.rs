//! Drains of nodes: operations that evict a node's pods as disruption budgets allow. Each step looks
//! at what is there and takes it from there, so that any replica can take the next one.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use drover_api::{Operation, OperationError, OperationKind};
use drover_kubernetes::{
    client::{Cluster, Failure, FailureKind, Identity, Impersonation, Result as Answer, content},
    drain::{Agreed, Fate, fate, name},
};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use super::routes::Target;
use crate::{
    app::App,
    error::{Error, Result},
    operations::{self, NewOperation},
};

/// How often the next step is taken.
const STEP: Duration = Duration::from_secs(2);
/// How long a step may take.
const LONGEST_STEP: Duration = Duration::from_secs(60);
/// What the operations are about.
const TARGET: &str = "kubernetes_node";
/// So many budgets that block are named.
const MOST_NAMED: usize = 5;

/// What a drain needs to know.
#[derive(Debug, Serialize, Deserialize)]
struct Input {
    node: String,
    cluster_id: Uuid,
    agreed: Agreed,
    seconds: u32,
    user: String,
    groups: Vec<String>,
    /// How many pods there were to evict.
    pods: usize,
}

/// The pods on a node, as the user sees them.
pub(super) async fn pods_on(
    cluster: &Cluster,
    user: &Impersonation,
    node: &str,
) -> Answer<Vec<Value>> {
    let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}");
    let found = cluster.call(Method::GET, &path, None, Identity::User(user)).await?;
    match found.value {
        Value::Object(mut list) => match list.remove("items") {
            Some(Value::Array(items)) => Ok(items),
            _ => Ok(Vec::new()),
        },
        _ => Ok(Vec::new()),
    }
}

/// Begins a drain. Nothing has been evicted yet when this returns.
pub(super) async fn begin(
    target: &Target,
    node: &Value,
    name: &str,
    agreed: Agreed,
    seconds: u32,
) -> Result<Uuid> {
    let (user, groups) = target.acting();
    let uid = node["metadata"]["uid"].as_str().and_then(|uid| uid.parse::<Uuid>().ok());
    let impersonation = target.user()?;
    let pods = pods_on(target.cluster()?, &impersonation, name).await.map_err(super::failed)?;
    let input = Input {
        node: name.to_owned(),
        cluster_id: target.live.id,
        agreed,
        seconds,
        user,
        groups,
        pods: pods.iter().filter(|pod| fate(pod, agreed) == Fate::Evict).count(),
    };
    let new = NewOperation {
        kind: OperationKind::Drain,
        environment_id: target.access.id,
        target_kind: TARGET,
        // Kubernetes' uids are UUIDs; a node without one is told apart by its name.
        target_id: uid.unwrap_or_else(|| named(target.live.id, name)),
        target_name: name,
        input: serde_json::to_value(&input).map_err(Error::internal)?,
    };
    let mut tx = target.app.db.begin().await?;
    let operation = operations::begin(&mut tx, Some(&target.caller), &new).await?;
    tx.commit().await?;
    operations::announce(&target.app, &operation).await;
    Ok(operation.id)
}

/// The same id for the same node of the same cluster.
fn named(cluster: Uuid, node: &str) -> Uuid {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new().chain_update(cluster.as_bytes()).chain_update(node).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Takes the steps of all drains.
pub(super) async fn watch(app: App) {
    let mut timer = tokio::time::interval(STEP);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let under_way: Arc<Mutex<HashSet<Uuid>>> = Arc::default();
    loop {
        timer.tick().await;
        let open = match operations::open_of_kind(&app.db, OperationKind::Drain).await {
            Ok(open) => open,
            Err(error) => {
                tracing::debug!(%error, "cannot look at the drains of nodes");
                continue;
            }
        };
        for operation in open.into_iter().filter(|operation| operation.target_kind == TARGET) {
            let id = operation.id;
            // A step of one cluster that is slow holds up no other one.
            if !under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
                continue;
            }
            let (app, under_way) = (app.clone(), under_way.clone());
            tokio::spawn(async move {
                match timeout(LONGEST_STEP, step(&app, &operation)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "cannot go on with a drain"),
                    Err(_) => tracing::warn!("a step of a drain takes longer than a minute"),
                }
                under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            });
        }
    }
}

async fn step(app: &App, operation: &Operation) -> Result<()> {
    // One replica at a time.
    let mut tx = app.db.begin().await?;
    let lock = i64::from_be_bytes(*operation.id.as_bytes().last_chunk().unwrap_or(&[0; 8]));
    let got = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "got!""#, lock)
        .fetch_one(&mut *tx)
        .await?;
    if !got {
        return Ok(());
    }
    let Some(open) = operations::open_for(&app.db, operation.target_id).await? else {
        return Ok(());
    };
    if open.id != operation.id {
        return Ok(());
    }
    let input: Input = serde_json::from_value(open.input).map_err(Error::internal)?;
    let outcome = take(app, operation, &input).await;
    let late = OffsetDateTime::now_utc() - operation.created_at.0
        > time::Duration::seconds(input.seconds.into());
    match outcome {
        Ok(left) if left.is_empty() => {
            operations::finish(app, operation.id, None).await?;
        }
        Ok(left) if late => fail(app, operation, "timed_out", &left.too_long()).await?,
        Ok(left) => {
            let fraction = 1.0 - left.pods.len() as f64 / input.pods.max(1) as f64;
            operations::progress(app, operation.id, fraction.max(0.0), &left.words()).await?;
        }
        // It may be there again.
        Err(failure) if failure.is_transient() && !late => {
            operations::progress(app, operation.id, 0.0, failure.message()).await?;
        }
        Err(failure) => fail(app, operation, failure.kind().code(), failure.message()).await?,
    }
    tx.commit().await?;
    Ok(())
}

async fn fail(app: &App, operation: &Operation, code: &str, message: &str) -> Result<()> {
    let error = OperationError {
        code: code.to_owned(),
        message: message.to_owned(),
        service: None,
        host: None,
    };
    operations::finish(app, operation.id, Some(error)).await?;
    Ok(())
}

/// What is left on the node.
#[derive(Debug, Default)]
struct Left {
    /// `namespace/name` of each pod, and why it is still there.
    pods: BTreeMap<String, Option<String>>,
}

impl Left {
    fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    fn words(&self) -> String {
        let mut words = match self.pods.len() {
            1 => "1 pod is left.".to_owned(),
            count => format!("{count} pods are left."),
        };
        let blocked = self.pods.iter().filter_map(|(name, why)| Some((name, why.as_ref()?)));
        for (name, why) in blocked.take(MOST_NAMED) {
            words.push_str(&format!(" {name}: {why}"));
        }
        words
    }

    fn too_long(&self) -> String {
        let mut words = format!("The time for it is over. {}", self.words());
        if self.pods.values().all(Option::is_none) {
            words.push_str(" They take long to end: see their grace periods and finalizers.");
        }
        words.push_str(" The node stays cordoned.");
        words
    }
}

async fn take(app: &App, operation: &Operation, input: &Input) -> Answer<Left> {
    let live = app
        .kubernetes
        .live(input.cluster_id)
        .ok_or_else(|| Failure::away("The cluster is not connected yet."))?;
    let cluster = &live.cluster;
    let user = Impersonation::new(&input.user, input.groups.iter().map(String::as_str))?;
    let path = format!("/api/v1/nodes/{}?fieldManager=drover", input.node);
    let cordon = json!({ "spec": { "unschedulable": true } });
    cluster
        .call(Method::PATCH, &path, Some((content::MERGE, &cordon)), Identity::User(&user))
        .await?;
    let mut left = Left::default();
    for pod in pods_on(cluster, &user, &input.node).await? {
        // What was not agreed to came after the question: it stays on the list.
        let why = match fate(&pod, input.agreed) {
            Fate::Stay => continue,
            Fate::Unmanaged => Some("nothing would make it anew.".to_owned()),
            Fate::LosesData => Some("it would lose the data in its volumes.".to_owned()),
            Fate::Evict if !pod["metadata"]["deletionTimestamp"].is_null() => None,
            Fate::Evict => {
                if !operations::is_open(&app.db, operation.id).await.unwrap_or(true) {
                    return Ok(left);
                }
                match evict(cluster, &user, &pod).await {
                    Ok(why) => why,
                    Err(failure) if failure.is_not_found() => continue,
                    Err(failure) => return Err(failure),
                }
            }
        };
        left.pods.insert(name(&pod), why);
    }
    Ok(left)
}

/// Evicts a pod; answers what blocks it for now.
async fn evict(cluster: &Cluster, user: &Impersonation, pod: &Value) -> Answer<Option<String>> {
    let metadata = &pod["metadata"];
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": metadata["name"], "namespace": metadata["namespace"] },
        // Not another one of the same name.
        "deleteOptions": { "preconditions": { "uid": metadata["uid"] } },
    });
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}/eviction",
        metadata["namespace"].as_str().unwrap_or_default(),
        metadata["name"].as_str().unwrap_or_default()
    );
    let answer =
        cluster.call(Method::POST, &path, Some((content::JSON, &eviction)), Identity::User(user));
    match answer.await {
        Ok(_) => Ok(None),
        Err(failure) if failure.kind() == FailureKind::TooManyRequests => {
            // The cause names the budget: "The disruption budget web needs 2 healthy pods and …".
            let cause = failure.causes().iter().find(|cause| cause.reason == "DisruptionBudget");
            let why = cause.map_or(failure.message(), |cause| &cause.message);
            Ok(Some(why.to_owned()))
        }
        // A namespace that is being deleted ends its pods itself.
        Err(failure)
            if failure.reason() == "Forbidden" && failure.message().contains("terminated") =>
        {
            Ok(Some(failure.message().to_owned()))
        }
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_names_what_blocks_it() {
        let mut left = Left::default();
        left.pods.insert("shop/a".into(), None);
        left.pods.insert("shop/b".into(), Some("The disruption budget web needs 2.".into()));
        assert_eq!(left.words(), "2 pods are left. shop/b: The disruption budget web needs 2.");
        assert!(left.too_long().contains("stays cordoned"));
    }

    #[test]
    fn a_node_has_the_same_id_each_time() {
        let cluster = Uuid::from_u128(1);
        assert_eq!(named(cluster, "a"), named(cluster, "a"));
        assert_ne!(named(cluster, "a"), named(cluster, "b"));
    }
}
