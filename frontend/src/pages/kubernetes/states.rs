//! How clusters and objects are, in colours and words.

use drover_api::{ClusterState, ObjectHealth};
use leptos::prelude::*;

use crate::{
    i18n::{clusters, kubernetes},
    states::{Stated, Tone},
};

impl Stated for ClusterState {
    fn tone(self) -> Tone {
        match self {
            Self::Active => Tone::Ok,
            Self::Waiting | Self::Connecting => Tone::Info,
            Self::Degraded => Tone::Warn,
            Self::Away | Self::Unauthorized => Tone::Bad,
        }
    }
    fn label(self) -> &'static str {
        let words = clusters();
        match self {
            Self::Waiting => words.waiting,
            Self::Connecting => words.connecting,
            Self::Active => words.active,
            Self::Degraded => words.degraded,
            Self::Away => words.away,
            Self::Unauthorized => words.unauthorized,
        }
    }
    fn busy(self) -> bool {
        matches!(self, Self::Waiting | Self::Connecting)
    }
}

impl Stated for ObjectHealth {
    fn tone(self) -> Tone {
        match self {
            Self::Failed => Tone::Bad,
            Self::Degraded => Tone::Warn,
            Self::Progressing => Tone::Info,
            Self::Healthy => Tone::Ok,
            Self::Idle => Tone::Idle,
        }
    }
    fn label(self) -> &'static str {
        let words = kubernetes();
        match self {
            Self::Failed => words.failed,
            Self::Degraded => words.degraded,
            Self::Progressing => words.progressing,
            Self::Healthy => words.healthy,
            Self::Idle => words.idle,
        }
    }
    fn busy(self) -> bool {
        self == Self::Progressing
    }
}

/// All of them, the worst first, with their names on the wire.
pub(super) const HEALTHS: [(ObjectHealth, &str); 5] = [
    (ObjectHealth::Failed, "failed"),
    (ObjectHealth::Degraded, "degraded"),
    (ObjectHealth::Progressing, "progressing"),
    (ObjectHealth::Healthy, "healthy"),
    (ObjectHealth::Idle, "idle"),
];

/// The health that has this name on the wire.
pub(super) fn health_named(name: &str) -> Option<ObjectHealth> {
    HEALTHS.iter().find(|(_, other)| *other == name).map(|(health, _)| *health)
}

/// A dot in the colour of a health, with its name for those who do not see it.
pub(super) fn health_dot(health: Option<ObjectHealth>) -> Option<AnyView> {
    let health = health?;
    let busy = if health.busy() { " dot-busy" } else { "" };
    Some(
        view! {
            <span class=format!("health tone-{}", health.tone().name()) title=health.label()>
                <span class=format!("dot{busy}")></span>
                <span class="sr-only">{health.label()}</span>
            </span>
        }
        .into_any(),
    )
}
