//! What a page fetches: the loading, the answer, the failure, and fetching it again.

use std::{future::Future, pin::Pin};

use drover_api::{Event, Topic};
use leptos::{prelude::*, task::spawn_local};

use crate::{
    api::{ApiError, Result},
    live::{throttled, use_live},
};

/// Where a fetch stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Load<T> {
    /// Nothing has come yet.
    Loading,
    /// The newest answer.
    Ready(T),
    /// The first fetch failed.
    Failed(ApiError),
}

/// Something fetched from the API. Keeps the last answer on show while a newer one is fetched.
///
/// ```ignore
/// let host = Remote::new(move || api::get(env.api(&format!("hosts/{}", id.get()))).json::<Host>());
/// host.live(&[Topic::Host], move |event| event.id == id.get_untracked());
/// view! { <Loaded remote=host let:host> … </Loaded> }
/// ```
pub struct Remote<T: Send + Sync + 'static> {
    state: RwSignal<Load<T>>,
    again: RwSignal<u32>,
    flight: StoredValue<Flight>,
}

/// The fetch that is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Flight {
    /// Its number: answers to earlier ones are dropped.
    newest: u32,
    /// It has not come back yet.
    busy: bool,
    /// What it fetches has changed since it began.
    late: bool,
}

impl Flight {
    fn begin(&mut self) -> u32 {
        *self = Self { newest: self.newest.wrapping_add(1), busy: true, late: false };
        self.newest
    }

    /// After a change: whether to fetch at once. A fetch that is under way is waited for; else one
    /// change after the other would overtake each answer, and nothing would ever be shown.
    fn change(&mut self) -> bool {
        self.late = self.busy;
        !self.busy
    }

    /// After an answer: whether it counts, and whether to fetch again.
    fn end(&mut self, number: u32) -> Option<bool> {
        (self.newest == number).then(|| {
            self.busy = false;
            std::mem::take(&mut self.late)
        })
    }
}

impl<T: Send + Sync + 'static> Clone for Remote<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for Remote<T> {}

impl<T: Clone + PartialEq + Send + Sync + 'static> Remote<T> {
    /// Fetches now, and again when a signal that `fetch` reads (before its first await) changes.
    pub fn new<F>(fetch: impl Fn() -> F + 'static) -> Self
    where
        F: Future<Output = Result<T>> + 'static,
    {
        let state = RwSignal::new(Load::Loading);
        let remote =
            Self { state, again: RwSignal::new(0), flight: StoredValue::new(Flight::default()) };
        Effect::new(move || {
            remote.again.track();
            // In a box, so that what follows is there once for each type of answer only.
            remote.take(Box::pin(fetch()));
        });
        remote
    }

    /// Fetches again.
    pub fn reload(self) {
        self.again.try_update(|n| *n = n.wrapping_add(1));
    }

    /// Fetches again after each event of `topics` for which `matters` is true, at most twice a
    /// second.
    pub fn live(
        self,
        topics: &'static [Topic],
        matters: impl Fn(&Event) -> bool + 'static,
    ) -> Self {
        let reload = throttled(500, move || {
            if self.flight.try_update_value(Flight::change) == Some(true) {
                self.reload();
            }
        });
        use_live(move |event| {
            let mine = match event {
                Some(event) => topics.contains(&event.topic) && matters(event),
                None => true,
            };
            if mine {
                reload();
            }
        });
        self
    }

    /// Where it stands.
    pub fn state(self) -> Load<T> {
        self.state.get()
    }

    /// The newest answer, if there is one.
    pub fn get(self) -> Option<T> {
        self.with(|value| value.cloned())
    }

    /// Looks at the newest answer.
    pub fn with<R>(self, look: impl FnOnce(Option<&T>) -> R) -> R {
        self.state.with(|state| match state {
            Load::Ready(value) => look(Some(value)),
            _ => look(None),
        })
    }

    /// Looks at the newest answer without being told of changes.
    pub fn look<R>(self, look: impl FnOnce(Option<&T>) -> R) -> R {
        untrack(|| self.with(look))
    }

    /// Puts a newer answer in place, e.g. the one to a write.
    pub fn set(self, value: T) {
        self.state.try_set(Load::Ready(value));
    }

    /// Waits for an answer and shows it, unless a later fetch has overtaken it or the page is gone.
    fn take(self, answer: Pin<Box<dyn Future<Output = Result<T>>>>) {
        let Self { state, flight, .. } = self;
        let Some(number) = flight.try_update_value(Flight::begin) else { return };
        spawn_local(async move {
            let answer = answer.await;
            let Some(Some(late)) = flight.try_update_value(|flight| flight.end(number)) else {
                return;
            };
            match answer {
                Ok(value) => {
                    let value = Load::Ready(value);
                    if state.with_untracked(|old| *old != value) {
                        state.set(value);
                    }
                }
                // What is on show stays through a short outage; the frame says that it is old.
                Err(error) if error.status == 0 || error.status >= 500 => {
                    if !state.with_untracked(|old| matches!(old, Load::Ready(_))) {
                        state.set(Load::Failed(error));
                    }
                }
                Err(error) => state.set(Load::Failed(error)),
            }
            if late {
                self.reload();
            }
        });
    }

    /// The failure, if the last fetch failed.
    pub fn error(self) -> Option<ApiError> {
        self.state.with(|state| match state {
            Load::Failed(error) => Some(error.clone()),
            _ => None,
        })
    }
}

/// Follows `source`, but not more often than every `ms` milliseconds: for asking the server while
/// somebody types.
pub fn settled<T: Clone + PartialEq + Send + Sync + 'static>(
    ms: u64,
    source: Signal<T>,
) -> Signal<T> {
    let settled = RwSignal::new(source.get_untracked());
    let settle = throttled(ms, move || {
        let Some(value) = source.try_get_untracked() else { return };
        if settled.try_with_untracked(|old| *old != value) == Some(true) {
            settled.set(value);
        }
    });
    Effect::new(move || {
        source.track();
        settle();
    });
    settled.into()
}

#[cfg(test)]
mod tests {
    use super::Flight;

    #[test]
    fn a_change_waits_for_the_fetch_that_is_under_way() {
        let mut flight = Flight::default();
        assert!(flight.change(), "nothing is under way");
        let first = flight.begin();
        assert!(!flight.change());
        assert!(!flight.change());
        assert_eq!(flight.end(first), Some(true), "once more after it, however many changes");
        let second = flight.begin();
        assert_eq!(flight.end(second), Some(false));
    }

    #[test]
    fn an_answer_that_was_overtaken_does_not_count() {
        let mut flight = Flight::default();
        let first = flight.begin();
        let second = flight.begin();
        assert_eq!(flight.end(first), None);
        assert!(!flight.change(), "the second is under way");
        assert_eq!(flight.end(second), Some(true));
    }
}
