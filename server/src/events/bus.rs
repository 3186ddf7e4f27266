//! The ring, and its link to the other replicas.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use drover_api::{Change, Event, Topic};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, postgres::PgListener};
use tokio::sync::broadcast;
use uuid::Uuid;

/// How many events a browser may have missed and still resume.
const RING: usize = 4096;
const CHANNEL: &str = "drover_events";
/// PostgreSQL refuses payloads of 8,000 bytes and more.
const LARGEST_PAYLOAD: usize = 7900;

/// An event with its place in this process's sequence.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// Grows by one with each event.
    pub seq: u64,
    /// The event.
    pub event: Arc<Event>,
}

/// What replicas tell each other.
#[derive(Serialize, Deserialize)]
struct Message {
    from: Uuid,
    event: Event,
    /// What the event changes decides who may do what.
    access: bool,
}

/// The ring and its subscribers. Cheap to clone.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

struct Inner {
    db: PgPool,
    /// Names this process: in messages to other replicas, and in event ids, which are only good
    /// for the process that gave them.
    replica: Uuid,
    ring: Mutex<Ring>,
    sender: broadcast::Sender<Numbered>,
}

struct Ring {
    next: u64,
    events: VecDeque<Numbered>,
}

impl Bus {
    /// An empty ring.
    pub fn new(db: PgPool) -> Self {
        Self(Arc::new(Inner {
            db,
            replica: Uuid::now_v7(),
            ring: Mutex::new(Ring { next: 1, events: VecDeque::new() }),
            sender: broadcast::Sender::new(RING),
        }))
    }

    /// Names this process.
    pub fn replica(&self) -> Uuid {
        self.0.replica
    }

    /// Tells this replica's subscribers only: for what each replica sees for itself (containers,
    /// hosts' use).
    pub fn publish_local(&self, event: Event) {
        let mut ring = self.0.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let numbered = Numbered { seq: ring.next, event: Arc::new(event) };
        ring.next += 1;
        if ring.events.len() == RING {
            ring.events.pop_front();
        }
        ring.events.push_back(numbered.clone());
        // Sent under the lock, so that subscribers see the ring's order. No subscriber is fine.
        let _ = self.0.sender.send(numbered);
    }

    /// Tells every replica.
    pub async fn publish(&self, event: Event) {
        self.notify(&event, false).await;
        self.publish_local(event);
    }

    /// Tells every replica that something has changed that decides who may do what. The caller
    /// drops this replica's identity cache itself: see [`crate::app::AppState::access_changed`].
    pub async fn publish_access(&self, event: Event) {
        self.notify(&event, true).await;
        self.publish_local(event);
    }

    /// Shorthand: `topic` `id` has changed.
    pub async fn updated(&self, topic: Topic, environment_id: Option<Uuid>, id: impl ToString) {
        self.publish(event(topic, environment_id, id, Change::Updated)).await;
    }

    /// Shorthand: `topic` `id` is gone.
    pub async fn removed(&self, topic: Topic, environment_id: Option<Uuid>, id: impl ToString) {
        self.publish(event(topic, environment_id, id, Change::Removed)).await;
    }

    async fn notify(&self, event: &Event, access: bool) {
        let mut message = Message { from: self.0.replica, event: event.clone(), access };
        let mut payload = serde_json::to_string(&message).unwrap_or_default();
        if payload.len() > LARGEST_PAYLOAD {
            message.event.object = None;
            payload = serde_json::to_string(&message).unwrap_or_default();
        }
        let sent =
            sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, payload).execute(&self.0.db).await;
        if let Err(error) = sent {
            tracing::warn!(%error, "cannot tell other replicas of a change");
        }
    }

    /// Everything after `seq` that the ring still has, and what comes from now on. `None` in the
    /// first place: the ring no longer reaches back that far.
    pub fn resume(&self, seq: u64) -> (Option<Vec<Numbered>>, broadcast::Receiver<Numbered>) {
        let ring = self.0.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.0.sender.subscribe();
        let oldest = ring.events.front().map_or(ring.next, |first| first.seq);
        let missed = (seq + 1 >= oldest && seq < ring.next)
            .then(|| ring.events.iter().filter(|event| event.seq > seq).cloned().collect());
        (missed, receiver)
    }

    /// What comes from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Numbered> {
        self.0.sender.subscribe()
    }

    /// The number of the newest event.
    pub fn newest(&self) -> u64 {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner).next - 1
    }

    /// Brings in what other replicas tell, until the process ends. `on_access` runs when who may
    /// do what has changed, and after each gap in the connection, in which it may have.
    pub async fn listen(self, on_access: impl Fn()) {
        loop {
            if let Err(error) = self.listen_once(&on_access).await {
                tracing::warn!(%error, "lost the connection for changes from other replicas");
            }
            on_access();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn listen_once(&self, on_access: &impl Fn()) -> sqlx::Result<()> {
        let mut listener = PgListener::connect_with(&self.0.db).await?;
        listener.listen(CHANNEL).await?;
        on_access();
        // `try_recv` gives `None` when the connection was lost.
        while let Some(notification) = listener.try_recv().await? {
            match serde_json::from_str::<Message>(notification.payload()) {
                Ok(message) if message.from == self.0.replica => {}
                Ok(message) => {
                    if message.access {
                        on_access();
                    }
                    self.publish_local(message.event);
                }
                Err(error) => tracing::warn!(%error, "a replica sent what this one cannot read"),
            }
        }
        Ok(())
    }
}

/// A change without its object.
pub fn event(
    topic: Topic,
    environment_id: Option<Uuid>,
    id: impl ToString,
    change: Change,
) -> Event {
    Event { topic, environment_id, id: id.to_string(), host_id: None, change, object: None }
}
