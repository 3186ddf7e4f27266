//! `GET /v1/events`.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{self, KeepAlive, Sse},
};
use drover_api::{Event, Topic};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::Numbered;
use crate::{access::Caller, app::App, extract::Query};

/// How long after the right to a stream has ended its client is told to look again.
const FAREWELL: Duration = Duration::from_secs(1);

/// The routes of this domain.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Which events to send.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// Events of this environment (and global ones); of all that the caller sees when absent.
    environment_id: Option<Uuid>,
}

/// Follow changes
///
/// Server-sent events: `event: change` with an [`Event`] as data, and `event: reset` when the
/// server cannot resume after the given `Last-Event-ID`: fetch everything shown again.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventsQuery),
    responses((status = 200, body = Event, content_type = "text/event-stream")))]
async fn events(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let replica = app.events.replica().simple().to_string();
    let resume_after = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .map(|id| id.strip_prefix(&replica)?.strip_prefix('-')?.parse::<u64>().ok());
    let (missed, receiver) = match resume_after {
        Some(Some(seq)) => app.events.resume(seq),
        // An id of another process: nothing to resume from.
        Some(None) => (None, app.events.subscribe()),
        None => (Some(Vec::new()), app.events.subscribe()),
    };
    let newest = app.events.newest();
    let opening = match missed {
        Some(missed) => {
            let mut first: Vec<_> = missed.into_iter().map(Item::Change).collect();
            // Gives a fresh client an id to resume after before anything has happened.
            first.push(Item::Hello(newest));
            first
        }
        None => vec![Item::Reset(newest)],
    };
    let following = stream::unfold(receiver, |mut receiver| async move {
        match receiver.recv().await {
            Ok(event) => Some((Item::Change(event), receiver)),
            // Too slow: it has to start over.
            Err(RecvError::Lagged(_)) => Some((Item::Reset(0), receiver)),
            Err(RecvError::Closed) => None,
        }
    });
    let gone = {
        let (app, caller) = (app.clone(), caller.clone());
        async move { app.identities.revoked_when(&caller, |_| true).await }
    };
    let only = query.environment_id;
    // As whom the client was last told of something.
    let told = Arc::new(Mutex::new(caller.clone()));
    // Who is signed out fetches everything once more, and is told so; who has signed out has left
    // the page by then.
    let last = stream::once(async {
        tokio::time::sleep(FAREWELL).await;
        Item::Reset(0)
    });
    let until_gone = stream::iter(opening).chain(following).take_until(Box::pin(gone)).chain(last);
    let stream = until_gone.filter_map(move |item| {
        let (app, caller, replica) = (app.clone(), caller.clone(), replica.clone());
        let told = told.clone();
        async move {
            Some(Ok(match item {
                Item::Change(Numbered { seq, event }) => {
                    let now = match app.identities.again(&caller).await {
                        Ok(Some(now)) => now,
                        // The database is away: the roles as they were.
                        Err(_) => caller,
                        Ok(None) => return None,
                    };
                    let is_visible = visible(&now, &event, only);
                    let changed = rights_changed(&told, now, is_visible, event.topic);
                    if !is_visible {
                        return changed.then(|| Ok(opening_event("reset", &replica, seq)));
                    }
                    sse::Event::default()
                        .id(format!("{replica}-{seq}"))
                        .event("change")
                        .data(serde_json::to_string(&*event).ok()?)
                }
                Item::Hello(seq) => opening_event("hello", &replica, seq),
                Item::Reset(seq) => opening_event("reset", &replica, seq),
            }))
        }
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

/// Browsers drop events whose data is empty, so these have some.
fn opening_event(name: &str, replica: &str, seq: u64) -> sse::Event {
    sse::Event::default().id(format!("{replica}-{seq}")).event(name).data("{}")
}

enum Item {
    Change(Numbered),
    Hello(u64),
    Reset(u64),
}

/// Whether the rights are others than those that the client was last told of something with, by a
/// change that no event which it may see tells of: through a group, perhaps. Then all that is
/// shown may have changed.
fn rights_changed(told: &Mutex<Caller>, now: Caller, is_visible: bool, topic: Topic) -> bool {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let changed = !told.has_rights_of(&now);
    // A change of an environment makes pages ask for it anew; others do not.
    if !is_visible || topic == Topic::Environment {
        *told = now;
    }
    changed
}

/// Whether a caller with these rights may see this event.
fn visible(now: &Caller, event: &Event, only: Option<Uuid>) -> bool {
    match event.environment_id {
        Some(id) => only.is_none_or(|only| only == id) && now.role_in(id).is_some(),
        None => match event.topic {
            Topic::User | Topic::Setting | Topic::Provider => now.is_admin(),
            _ => true,
        },
    }
}
