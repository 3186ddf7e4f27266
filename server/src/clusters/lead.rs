//! What every engine needs: one replica at a time does the work, with one task for each thing to
//! look after, and each task can be woken.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use drover_api::{ClusterKind, Topic};
use sqlx::{Connection, PgConnection};
use tokio::{
    sync::{Notify, broadcast::error::RecvError},
    task::JoinHandle,
};
use uuid::Uuid;

use crate::{app::App, stacks};

/// How often the list of what is to be looked after is read though nothing seems to have changed.
const LOOK: Duration = Duration::from_secs(10);

/// Wakes tasks by the id of what each looks after.
#[derive(Default)]
pub(super) struct Wakers {
    each: Mutex<HashMap<Uuid, Arc<Notify>>>,
    list: Notify,
}

impl Wakers {
    pub fn of(&self, id: Uuid) -> Arc<Notify> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        each.entry(id).or_default().clone()
    }

    /// It looks now; or, if it is new, begins now.
    pub fn wake(&self, id: Uuid) {
        self.of(id).notify_one();
        self.list.notify_one();
    }

    pub fn wake_all(&self) {
        let each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        each.values().for_each(|waker| waker.notify_one());
    }

    pub fn look(&self) {
        self.list.notify_one();
    }

    fn forget(&self, id: Uuid) {
        self.each.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// What one replica does for all.
pub(super) trait Work: Send + Sync + 'static {
    /// Names the lock of all replicas on one database.
    const LOCK: i64;

    /// What one task looks after.
    type Task: Copy + Eq + Hash + Send + Sync;

    /// What wakes it.
    fn id(task: Self::Task) -> Uuid;

    fn wakers(app: &App) -> &Wakers;

    /// Once the lock is taken, before the first task.
    fn begin(_: &App) -> impl Future<Output = sqlx::Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// What is to be looked after.
    fn list(app: &App) -> impl Future<Output = sqlx::Result<Vec<Self::Task>>> + Send;

    /// Looks after one until it is gone.
    fn run(
        app: App,
        task: Self::Task,
        waker: Arc<Notify>,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// Takes the lock when it is free, and works for as long as the connection that holds it lives.
pub(super) async fn lead<W: Work>(app: App) {
    loop {
        if let Err(error) = lead_once::<W>(&app).await {
            tracing::warn!(%error, "an engine has lost the database; it starts again");
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

async fn lead_once<W: Work>(app: &App) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect_with(&app.db.connect_options()).await?;
    let got: bool = sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "got!""#, W::LOCK)
        .fetch_one(&mut connection)
        .await?;
    if !got {
        return connection.close().await;
    }
    let wakers = W::wakers(app);
    let mut workers = Workers(HashMap::new());
    W::begin(app).await?;
    loop {
        // Fails when the connection is gone, and the lock with it.
        connection.ping().await?;
        let wanted = W::list(app).await?;
        workers.0.retain(|task, worker| {
            let keep = !worker.is_finished() && wanted.contains(task);
            if !keep {
                worker.abort();
                wakers.forget(W::id(*task));
            }
            keep
        });
        for task in wanted {
            workers
                .0
                .entry(task)
                .or_insert_with(|| tokio::spawn(W::run(app.clone(), task, wakers.of(W::id(task)))));
        }
        tokio::select! {
            () = wakers.list.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// The workers of this replica; they end with the lock.
struct Workers<T>(HashMap<T, JoinHandle<()>>);

impl<T> Drop for Workers<T> {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}

/// The stacks that the engine of a kind of cluster has to look after.
pub(super) async fn stacks_of(app: &App, kind: ClusterKind) -> sqlx::Result<Vec<Uuid>> {
    let all = stacks::in_active_environments(&app.db, kind).await?;
    Ok(all.into_iter().map(|(_, stack)| stack).collect())
}

/// A container of a stack has changed: its worker looks at once.
pub(super) async fn wake_on_containers(app: App, wakers: fn(&App) -> &Wakers) {
    let mut changes = app.hosts.changes();
    loop {
        match changes.recv().await {
            Ok(change) => {
                if let Some(stack) = change.stack_id {
                    wakers(&app).of(stack).notify_one();
                }
            }
            Err(RecvError::Lagged(_)) => wakers(&app).wake_all(),
            Err(RecvError::Closed) => return,
        }
    }
}

/// A stack's row (perhaps through another replica) or a host has changed.
pub(super) async fn wake_on_events(app: App, wakers: fn(&App) -> &Wakers) {
    let mut events = app.events.subscribe();
    loop {
        match events.recv().await {
            Ok(event) => match event.event.topic {
                Topic::Stack => match event.event.id.parse() {
                    Ok(stack) => wakers(&app).wake(stack),
                    Err(_) => wakers(&app).wake_all(),
                },
                Topic::Host if event.event.object.is_none() => wakers(&app).wake_all(),
                Topic::Environment => {
                    if let Ok(environment) = event.event.id.parse() {
                        wakers(&app).of(environment).notify_one();
                    }
                    wakers(&app).look();
                }
                Topic::Secret => wakers(&app).look(),
                _ => {}
            },
            Err(RecvError::Lagged(_)) => wakers(&app).wake_all(),
            Err(RecvError::Closed) => return,
        }
    }
}
