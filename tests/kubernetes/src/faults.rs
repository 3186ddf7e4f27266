//! What goes wrong on purpose, for tests.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

/// How watches end at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchFault {
    /// In the middle of the bytes of the next event.
    CutInEvent,
    /// As a server ends them that has no more time.
    End,
    /// With the error that the version is expired.
    Gone,
}

/// The faults that are on.
#[derive(Debug)]
pub struct Faults {
    /// Every answer comes this much later, in milliseconds.
    delay: AtomicU64,
    /// So many requests get 429, with that `Retry-After`.
    refuse: Mutex<(u32, u32)>,
    /// So many new watches get 410.
    gone_watches: AtomicU32,
    /// What open watches do; the number tells one order from the next.
    watches: watch::Sender<(u64, WatchFault)>,
    /// Cuts all connections.
    connections: watch::Sender<u64>,
    /// Whether nobody is let in.
    away: AtomicBool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            delay: AtomicU64::new(0),
            refuse: Mutex::default(),
            gone_watches: AtomicU32::new(0),
            watches: watch::Sender::new((0, WatchFault::End)),
            connections: watch::Sender::new(0),
            away: AtomicBool::new(false),
        }
    }
}

impl Faults {
    /// Every answer comes that much later.
    pub fn delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.delay.store(millis, Ordering::SeqCst);
    }

    pub(crate) fn wait(&self) -> Duration {
        Duration::from_millis(self.delay.load(Ordering::SeqCst))
    }

    /// The next requests get 429.
    pub fn refuse(&self, requests: u32, retry_after_seconds: u32) {
        let mut refuse = self.refuse.lock().unwrap_or_else(PoisonError::into_inner);
        *refuse = (requests, retry_after_seconds);
    }

    pub(crate) fn take_refusal(&self) -> Option<u32> {
        let mut refuse = self.refuse.lock().unwrap_or_else(PoisonError::into_inner);
        refuse.0 = refuse.0.checked_sub(1)?;
        Some(refuse.1)
    }

    /// The next watches that begin at a version get 410.
    pub fn next_watches_are_gone(&self, watches: u32) {
        self.gone_watches.store(watches, Ordering::SeqCst);
    }

    pub(crate) fn take_gone_watch(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        self.gone_watches.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
    }

    /// Ends the watches that are open.
    pub fn end_watches(&self, how: WatchFault) {
        self.watches.send_modify(|order| *order = (order.0 + 1, how));
    }

    pub(crate) fn watch_orders(&self) -> watch::Receiver<(u64, WatchFault)> {
        self.watches.subscribe()
    }

    /// Cuts all connections.
    pub fn cut_connections(&self) {
        self.connections.send_modify(|count| *count += 1);
    }

    pub(crate) fn connection_orders(&self) -> watch::Receiver<u64> {
        self.connections.subscribe()
    }

    /// Lets nobody in any more, or again.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
        if away {
            self.cut_connections();
        }
    }

    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::SeqCst)
    }
}
