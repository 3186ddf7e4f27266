//! Live changes: one `EventSource` on `/v1/events`, shared by the whole app.
//!
//! The browser resumes a broken stream by itself with `Last-Event-ID`. Where it gives up (the
//! server answered with an error), a new stream is opened after a growing pause, and everything
//! shown is fetched again, since what was missed is not known.

use std::{cell::RefCell, rc::Rc, time::Duration};

use drover_api::Event;
use leptos::prelude::*;
use uuid::Uuid;
use wasm_bindgen::{JsCast, prelude::Closure};
use web_sys::{EventSource, MessageEvent};

use crate::format::now_ms;

/// Whether what is on show is kept up to date.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LiveState {
    /// Changes come as they happen.
    Live,
    /// The first connection is being made.
    Connecting,
    /// The connection is lost; what is on show is from this time (Unix milliseconds).
    Stale(f64),
}

/// Gets each change; `None` means that changes were missed and everything shown is to be fetched
/// again.
type Listener = Rc<dyn Fn(Option<&Event>)>;

thread_local! {
    static LISTENERS: RefCell<Vec<(u32, Listener)>> = const { RefCell::new(Vec::new()) };
    static NEXT: RefCell<u32> = const { RefCell::new(0) };
}

/// Calls `listener` with each change until the calling component is gone. See [`Listener`].
pub fn use_live(listener: impl Fn(Option<&Event>) + 'static) {
    let id = NEXT.with_borrow_mut(|next| {
        *next += 1;
        *next
    });
    LISTENERS.with_borrow_mut(|all| all.push((id, Rc::new(listener))));
    on_cleanup(move || LISTENERS.with_borrow_mut(|all| all.retain(|(other, _)| *other != id)));
}

fn tell(event: Option<&Event>) {
    // Copied first: a listener may add or remove listeners.
    let listeners: Vec<Listener> =
        LISTENERS.with_borrow(|all| all.iter().map(|(_, listener)| listener.clone()).collect());
    for listener in listeners {
        listener(event);
    }
}

/// Calls `action` at once, and then at most once in `ms` milliseconds however often it is asked;
/// the last asking is never lost.
pub fn throttled(ms: u64, action: impl Fn() + 'static) -> impl Fn() + Clone + 'static {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        Idle,
        Resting,
        Asked,
    }
    let state = Rc::new(RefCell::new(State::Idle));
    let action = Rc::new(action);
    fn rest(ms: u64, state: Rc<RefCell<State>>, action: Rc<impl Fn() + 'static>) {
        set_timeout(
            move || {
                let asked = state.replace(State::Idle) == State::Asked;
                if asked {
                    state.replace(State::Resting);
                    action();
                    rest(ms, state, action);
                }
            },
            Duration::from_millis(ms),
        );
    }
    move || {
        let before = *state.borrow();
        if before == State::Idle {
            state.replace(State::Resting);
            action();
            rest(ms, state.clone(), action.clone());
        } else {
            state.replace(State::Asked);
        }
    }
}

/// The app's connection. Provided by the frame while somebody is signed in.
#[derive(Clone, Copy)]
pub struct Live {
    state: RwSignal<LiveState>,
}

impl Live {
    /// Connects, and follows `environment`: events of other environments are not sent.
    pub fn provide(environment: Signal<Option<Uuid>>) -> Self {
        let live = Self { state: RwSignal::new(LiveState::Connecting) };
        provide_context(live);
        let attempt = RwSignal::new(0_u32);
        Effect::new(move |before: Option<()>| {
            let failures = attempt.get();
            let stream = Stream::open(environment.get(), live.state, attempt, before.is_some());
            if stream.is_none() {
                live.lost();
                retry(attempt, failures);
            }
            let stream = StoredValue::new_local(stream);
            on_cleanup(move || stream.dispose());
        });
        live
    }

    /// Whether what is on show is kept up to date.
    pub fn state(self) -> LiveState {
        self.state.get()
    }

    fn lost(self) {
        lost(self.state);
    }
}

fn lost(state: RwSignal<LiveState>) {
    if !matches!(state.try_get_untracked(), Some(LiveState::Stale(_)) | None) {
        state.set(LiveState::Stale(now_ms()));
    }
}

fn retry(attempt: RwSignal<u32>, failures: u32) {
    let pause = Duration::from_millis(1_000 << failures.min(5));
    set_timeout(
        move || {
            _ = attempt.try_set(failures + 1);
        },
        pause,
    );
}

/// An open stream; closes with its last owner.
struct Stream {
    source: EventSource,
    _on_change: Closure<dyn Fn(MessageEvent)>,
    _on_reset: Closure<dyn Fn()>,
    _on_open: Closure<dyn Fn()>,
    _on_error: Closure<dyn Fn()>,
}

impl Stream {
    fn open(
        environment: Option<Uuid>,
        state: RwSignal<LiveState>,
        attempt: RwSignal<u32>,
        again: bool,
    ) -> Option<Self> {
        let address = match environment {
            Some(id) => format!("/v1/events?environment_id={id}"),
            None => "/v1/events".to_owned(),
        };
        let source = EventSource::new(&address).ok()?;
        let on_change = Closure::<dyn Fn(MessageEvent)>::new(move |message: MessageEvent| {
            let text = message.data().as_string().unwrap_or_default();
            if let Ok(event) = crate::api::read::<Event>(&text) {
                tell(Some(&event));
            }
        });
        let on_reset = Closure::<dyn Fn()>::new(|| tell(None));
        let first = RefCell::new(again);
        let on_open = Closure::<dyn Fn()>::new(move || {
            state.try_set(LiveState::Live);
            // A new stream does not know what its predecessor had not yet sent.
            if first.replace(false) {
                tell(None);
            }
        });
        let on_error = {
            let source = source.clone();
            Closure::<dyn Fn()>::new(move || {
                lost(state);
                if source.ready_state() == EventSource::CLOSED {
                    retry(attempt, attempt.try_get_untracked().unwrap_or_default());
                }
            })
        };
        let listen = |name, closure: &wasm_bindgen::JsValue| {
            source.add_event_listener_with_callback(name, closure.unchecked_ref())
        };
        listen("change", on_change.as_ref()).ok()?;
        listen("reset", on_reset.as_ref()).ok()?;
        listen("open", on_open.as_ref()).ok()?;
        listen("error", on_error.as_ref()).ok()?;
        Some(Self {
            source,
            _on_change: on_change,
            _on_reset: on_reset,
            _on_open: on_open,
            _on_error: on_error,
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.source.close();
    }
}
