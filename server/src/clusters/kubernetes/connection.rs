//! Connections: every replica of the server keeps one to every cluster, notices when it goes and
//! comes, and remembers what it saw.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use drover_api::{Change, ClusterSource, ClusterState, Topic};
use drover_kubernetes::{
    client::{Cluster, Failure, FailureKind, Identity},
    facts::Health,
    index::Scope,
    provider,
};
use time::OffsetDateTime;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{
    access::{self, Version},
    engine, keep,
    live::{Live, Status},
    metrics,
    seen::Seen,
    store::{self, ClusterRow},
    telling,
    through_agent::{self, Tunnelled},
};
use crate::{app::App, error::Result, events};

/// How often the list of clusters is read though nothing seems to have changed.
const LIST: Duration = Duration::from_secs(10);
/// How often a cluster is asked whether it is there.
const ASK: Duration = Duration::from_secs(10);
/// The same while it is not.
const ASK_AGAIN: Duration = Duration::from_secs(3);
/// How long it may take to say so.
const ANSWER: Duration = Duration::from_secs(10);
/// How often what was seen is written down, while nothing changes.
const REMEMBER: time::Duration = time::Duration::minutes(1);

/// Keeps a task for each cluster.
pub(super) async fn supervise(app: App) {
    let mut tasks: HashMap<Uuid, AbortOnDropHandle<()>> = HashMap::new();
    let mut events = app.events.subscribe();
    loop {
        if let Err(error) = look(&app, &mut tasks).await {
            tracing::warn!(%error, "cannot read the clusters; those known stay connected");
        }
        let told = async {
            loop {
                let event = events.recv().await;
                match event.as_ref().map(|event| event.event.topic) {
                    Ok(Topic::KubernetesCluster | Topic::Environment)
                    | Err(RecvError::Lagged(_)) => return,
                    Ok(_) => {}
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = told => {}
            () = app.kubernetes.changed.notified() => {}
            () = sleep(LIST) => {}
        }
    }
}

async fn look(app: &App, tasks: &mut HashMap<Uuid, AbortOnDropHandle<()>>) -> Result<()> {
    let rows = store::clusters(&app.db, None).await?;
    let shares = store::shares(&app.db, None, None).await?;
    tasks.retain(|id, _| {
        let stays = rows.iter().any(|row| row.id == *id);
        if !stays {
            app.kubernetes.remove(*id);
        }
        stays
    });
    for row in rows {
        let id = row.id;
        let of_cluster = shares.iter().filter(|share| share.cluster_id == id).cloned();
        let known = app.kubernetes.live(id).filter(|_| tasks.contains_key(&id));
        let live = match known {
            Some(live) => {
                renew(app, &live, row)?;
                live
            }
            None => {
                let cluster = connect(app, &row)?;
                let live = Arc::new(Live::new(row, cluster));
                app.kubernetes.put(live.clone());
                let work = work(app.clone(), live.clone());
                tasks.insert(id, AbortOnDropHandle::new(tokio::spawn(work)));
                live
            }
        };
        if live.set_shares(of_cluster.collect()) {
            live.keep.notify_one();
        }
    }
    Ok(())
}

/// The way to a cluster.
fn connect(app: &App, row: &ClusterRow) -> Result<Cluster> {
    match access::open(app, row)? {
        Some(access) => access::connect(&access, row.allow_private_address),
        None => {
            let dial = Tunnelled(app.tunnels.way(row.id));
            Cluster::new(&through_agent::nobody(), Arc::new(dial)).map_err(super::failed)
        }
    }
}

/// Takes a row that has changed: another address, other credentials.
fn renew(app: &App, live: &Live, row: ClusterRow) -> Result<()> {
    let before = live.row();
    if before.version == row.version {
        return Ok(());
    }
    if let Some(access) = access::open(app, &row)? {
        let dialer = access::dialer(&access, row.allow_private_address)?;
        live.cluster.replace(&access, dialer).map_err(super::failed)?;
    }
    live.set_row(row);
    live.ask.notify_one();
    Ok(())
}

async fn work(app: App, live: Arc<Live>) {
    tokio::join!(
        watch(&app, &live),
        keep::run(&app, &live),
        telling::run(&app, &live),
        engine::follow(&app, &live),
        metrics::run(&live)
    );
}

/// Asks whether the cluster is there, again and again.
async fn watch(app: &App, live: &Live) {
    loop {
        let before = live.heard();
        let asked = timeout(ANSWER, ask(app, live, before.state)).await;
        let answer: std::result::Result<Version, Failure> = asked.unwrap_or_else(|_| {
            Err(Failure::away("The cluster did not answer within 10 seconds."))
        });
        let now = status(live, &before, answer);
        let there = now.state == ClusterState::Active;
        if there && before.state != ClusterState::Active {
            tracing::info!(cluster = %live.row().name, cluster_id = %live.id, "cluster connected");
            live.keep.notify_one();
        } else if !there && now.reason != before.reason {
            let why = now.reason.as_deref().unwrap_or_default();
            tracing::warn!(cluster = %live.row().name, cluster_id = %live.id, why, "cluster not connected");
        }
        let changed =
            (now.state, &now.reason, &now.seen) != (before.state, &before.reason, &before.seen);
        let remembered = live.row().last_contact.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        if let Some(at) = now.last_contact
            && (changed && there || at - remembered > REMEMBER)
        {
            match store::remember(&app.db, live.id, &now.seen, at).await {
                Ok(()) => live.set_row(ClusterRow {
                    last_contact: Some(at),
                    seen: Some(now.seen.clone()),
                    ..ClusterRow::clone(&live.row())
                }),
                Err(error) => tracing::warn!(%error, "cannot remember what a cluster is like"),
            }
        }
        live.set_status(now);
        if changed {
            tell(app, live);
        }
        tokio::select! {
            () = live.ask.notified() => {}
            () = sleep(if there { ASK } else { ASK_AGAIN }) => {}
        }
    }
}

async fn ask(
    app: &App,
    live: &Live,
    before: ClusterState,
) -> std::result::Result<Version, Failure> {
    if live.row().source == ClusterSource::Agent {
        let told = *live.account_at.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = told.is_some_and(|at| at.elapsed() < through_agent::FRESH);
        if !fresh || before != ClusterState::Active {
            let way = app.tunnels.way(live.id);
            let access = through_agent::account(&way)
                .await
                .map_err(|error| Failure::away(error.to_string()))?;
            live.cluster.replace(&access, Arc::new(Tunnelled(way)))?;
            let mut told = live.account_at.lock().unwrap_or_else(PoisonError::into_inner);
            *told = Some(Instant::now());
        }
    }
    live.cluster.get_json("/version", Identity::Drover).await
}

/// Tells browsers that a cluster stands otherwise than before.
fn tell(app: &App, live: &Live) {
    let event = |environment| {
        events::event(Topic::KubernetesCluster, environment, live.id, Change::Updated)
    };
    app.events.publish_local(event(None));
    for share in live.shares().iter() {
        app.events.publish_local(event(Some(share.environment_id)));
    }
}

/// What the index has of nodes and pods.
fn count(live: &Live, version: &str, seen: &mut Seen) {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let everything = Scope::all();
    if let Some(nodes) = live.index.opened("nodes").filter(|nodes| nodes.status().state.synced) {
        let nodes = nodes.select(&everything, |_| true);
        seen.nodes = count(nodes.len());
        seen.nodes_ready = count(nodes.iter().filter(|row| row.health == Health::Healthy).count());
        let labels = nodes.first().map(|row| row.labels.clone());
        let labels = labels.iter().flat_map(|labels| labels.iter()).map(|(key, _)| &**key);
        seen.provider = provider::guess(version, labels).map(str::to_owned);
    }
    if let Some(pods) = live.index.opened("pods").filter(|pods| pods.status().state.synced) {
        seen.pods = count(pods.counts(&everything).iter().sum());
    }
}

fn status(live: &Live, before: &Status, answer: std::result::Result<Version, Failure>) -> Status {
    match answer {
        Ok(version) => {
            let mut seen = before.seen.clone();
            count(live, &version.git_version, &mut seen);
            seen.version = Some(version.git_version);
            Status {
                state: ClusterState::Active,
                reason: None,
                last_contact: live.cluster.last_contact(),
                seen,
            }
        }
        Err(failure) => Status {
            state: match failure.kind() {
                FailureKind::Unauthorized | FailureKind::Forbidden => ClusterState::Unauthorized,
                _ if before.state == ClusterState::Waiting => ClusterState::Waiting,
                _ => ClusterState::Away,
            },
            reason: Some(failure.message().to_owned()),
            last_contact: live.cluster.last_contact().or(before.last_contact),
            seen: before.seen.clone(),
        },
    }
}
