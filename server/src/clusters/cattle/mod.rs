//! Drover's own engine, over the Docker hosts of an environment.
//!
//! One [`worker`] a stack compares what is wanted (revision, instances) with what is there (the
//! index), and takes the next steps that the pure [`plan`] names. [`place`] chooses hosts, [`away`]
//! says which of them count as gone, [`container`] how a service becomes a container, [`network`]
//! joins the hosts, [`health`] asks containers how they are. An advisory lock in PostgreSQL lets
//! one replica of the server do it.

mod away;
mod container;
mod health;
mod network;
mod place;
mod plan;
mod store;
mod worker;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use drover_api::Topic;
use sqlx::{Connection, PgConnection};
use tokio::{
    sync::{Notify, broadcast::error::RecvError},
    task::JoinHandle,
};
use uuid::Uuid;

use self::{away::Reachable, network::Reach};
use super::Orchestrator;
use crate::{app::App, hosts::index::Entry, stacks};

pub use network::let_go;

/// Names the lock of all replicas on one database.
const LOCK: i64 = 0x6472_6f76_6572;
/// How often the list of stacks is read though nothing seems to have changed.
const LOOK: Duration = Duration::from_secs(10);

/// The engine. Lives in [`crate::app::AppState`].
#[derive(Default)]
pub struct Cattle {
    wakers: Mutex<HashMap<Uuid, Arc<Notify>>>,
    look: Notify,
    /// Wake what looks after the networks of environments.
    keepers: Mutex<HashMap<Uuid, Arc<Notify>>>,
    /// How far the network of each environment reaches.
    reaches: Mutex<HashMap<Uuid, Arc<Reach>>>,
    /// In each environment one stack at a time is placed, and on each host one makes the network
    /// for all.
    turns: Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>>,
    reachable: Mutex<Reachable>,
}

impl Cattle {
    fn waker(&self, stack: Uuid) -> Arc<Notify> {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.entry(stack).or_default().clone()
    }

    fn wake_all(&self) {
        let wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.values().for_each(|waker| waker.notify_one());
    }

    fn forget(&self, stack: Uuid) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).remove(&stack);
    }

    fn keeper(&self, environment: Uuid) -> Arc<Notify> {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.entry(environment).or_default().clone()
    }

    fn wake_keepers(&self) {
        let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.values().for_each(|keeper| keeper.notify_one());
    }

    /// How far the network of an environment reaches.
    fn reach(&self, environment: Uuid) -> Arc<Reach> {
        let reaches = self.reaches.lock().unwrap_or_else(PoisonError::into_inner);
        reaches.get(&environment).cloned().unwrap_or_default()
    }

    /// It reaches further, or not so far any more: every stack may care.
    fn set_reach(&self, environment: Uuid, reach: Reach) {
        let mut reaches = self.reaches.lock().unwrap_or_else(PoisonError::into_inner);
        let before = reaches.insert(environment, Arc::new(reach.clone()));
        drop(reaches);
        if *before.unwrap_or_default() != reach {
            self.wake_all();
        }
    }

    /// Hold it while a stack of this environment is placed, or while the network for all is made
    /// on this host.
    fn turn(&self, id: Uuid) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(id).or_default().clone()
    }

    /// For how long an environment has had a connected host without a break.
    fn reachable_for(&self, environment: Uuid) -> Option<Duration> {
        let reachable = self.reachable.lock().unwrap_or_else(PoisonError::into_inner);
        reachable.get(&environment).map(Instant::elapsed)
    }

    /// These environments have a connected host now, and no others.
    fn note_reachable(&self, environments: &HashSet<Uuid>) {
        let mut reachable = self.reachable.lock().unwrap_or_else(PoisonError::into_inner);
        reachable.retain(|environment, _| environments.contains(environment));
        for environment in environments {
            reachable.entry(*environment).or_insert_with(Instant::now);
        }
    }
}

impl Orchestrator for App {
    fn wake(&self, _: Uuid, stack: Uuid) {
        self.cattle.waker(stack).notify_one();
        self.cattle.look.notify_one();
    }

    fn observe(&self, environment: Uuid, stack: Uuid) -> Vec<Arc<Entry>> {
        self.hosts.index().of_stack(environment, stack)
    }
}

/// Starts the engine's tasks.
pub fn start(app: &App) {
    tokio::spawn(lead(app.clone()));
    tokio::spawn(away::watch(app.clone()));
    tokio::spawn(health::follow(app.clone()));
    tokio::spawn(wake_on_containers(app.clone()));
    tokio::spawn(wake_on_events(app.clone()));
}

/// A container of a stack has changed: its worker looks at once.
async fn wake_on_containers(app: App) {
    let mut changes = app.hosts.changes();
    loop {
        match changes.recv().await {
            Ok(change) => {
                if let Some(stack) = change.stack_id {
                    app.cattle.waker(stack).notify_one();
                }
            }
            Err(RecvError::Lagged(_)) => app.cattle.wake_all(),
            Err(RecvError::Closed) => return,
        }
    }
}

/// A stack's row (perhaps through another replica) or a host has changed.
async fn wake_on_events(app: App) {
    let mut events = app.events.subscribe();
    loop {
        match events.recv().await {
            Ok(event) => match event.event.topic {
                Topic::Stack => match event.event.id.parse() {
                    Ok(stack) => {
                        app.cattle.waker(stack).notify_one();
                        app.cattle.look.notify_one();
                    }
                    Err(_) => app.cattle.wake_all(),
                },
                Topic::Host if event.event.object.is_none() => {
                    app.cattle.wake_all();
                    app.cattle.wake_keepers();
                }
                Topic::Environment => {
                    app.cattle.look.notify_one();
                    app.cattle.wake_keepers();
                }
                Topic::Secret => app.cattle.look.notify_one(),
                _ => {}
            },
            Err(RecvError::Lagged(_)) => app.cattle.wake_all(),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Takes the lock when it is free, and works for as long as the connection that holds it lives.
async fn lead(app: App) {
    loop {
        if let Err(error) = lead_once(&app).await {
            tracing::warn!(%error, "the engine has lost the database; it starts again");
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

async fn lead_once(app: &App) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect_with(&app.db.connect_options()).await?;
    let got: bool = sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "got!""#, LOCK)
        .fetch_one(&mut connection)
        .await?;
    if !got {
        return connection.close().await;
    }
    let mut workers = Workers(HashMap::new());
    let mut keepers = Workers(HashMap::new());
    for row in store::networks(&app.db).await? {
        app.cattle.set_reach(row.id, network::reach_before(&row));
    }
    loop {
        // Fails when the connection is gone, and the lock with it.
        connection.ping().await?;
        let stacks = stacks::in_active_environments(&app.db).await?;
        workers.0.retain(|id, worker| {
            let keep = !worker.is_finished() && stacks.iter().any(|(_, stack)| stack == id);
            if !keep {
                worker.abort();
                app.cattle.forget(*id);
            }
            keep
        });
        for (_, stack) in stacks {
            workers.0.entry(stack).or_insert_with(|| {
                tokio::spawn(worker::run(app.clone(), stack, app.cattle.waker(stack)))
            });
        }
        let environments = store::networks(&app.db).await?;
        keepers.0.retain(|id, keeper| {
            let keep = !keeper.is_finished() && environments.iter().any(|row| row.id == *id);
            if !keep {
                keeper.abort();
            }
            keep
        });
        for row in environments {
            keepers.0.entry(row.id).or_insert_with(|| {
                tokio::spawn(network::run(app.clone(), row.id, app.cattle.keeper(row.id)))
            });
        }
        tokio::select! {
            () = app.cattle.look.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// The workers (or keepers) of this replica; they end with the lock.
struct Workers(HashMap<Uuid, JoinHandle<()>>);

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}
