//! Drover's own engine, over the Docker hosts of an environment.
//!
//! One [`worker`] a stack compares what is wanted (revision, instances) with what is there (the
//! index), and takes the next steps that the pure [`plan`] names. [`place`] chooses hosts,
//! [`container`] says how a service becomes a container. An advisory lock in PostgreSQL lets one
//! replica of the server do it.

mod container;
mod place;
mod plan;
mod store;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use drover_api::Topic;
use sqlx::{Connection, PgConnection};
use tokio::{
    sync::{Notify, broadcast::error::RecvError},
    task::JoinHandle,
};
use uuid::Uuid;

use super::Orchestrator;
use crate::{app::App, hosts::index::Entry, stacks};

/// Names the lock of all replicas on one database.
const LOCK: i64 = 0x6472_6f76_6572;
/// How often the list of stacks is read though nothing seems to have changed.
const LOOK: Duration = Duration::from_secs(10);

/// The engine. Lives in [`crate::app::AppState`].
#[derive(Default)]
pub struct Cattle {
    wakers: Mutex<HashMap<Uuid, Arc<Notify>>>,
    look: Notify,
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
                Topic::Host if event.event.object.is_none() => app.cattle.wake_all(),
                Topic::Environment | Topic::Secret => app.cattle.look.notify_one(),
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
        tokio::select! {
            () = app.cattle.look.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// The workers of this replica; they end with the lock.
struct Workers(HashMap<Uuid, JoinHandle<()>>);

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}
