//! How a swarm's states look and what they are called.

use drover_api::{
    NodeAvailability, NodeRole, ServiceMode, SwarmNode, SwarmPart, SwarmServiceState, SwarmState,
};

use crate::{
    i18n::{swarm, t},
    states::{Stated, Tone},
};

impl Stated for SwarmState {
    fn tone(self) -> Tone {
        match self {
            Self::Active => Tone::Ok,
            Self::None => Tone::Idle,
            Self::Found | Self::Pending => Tone::Info,
            Self::Degraded | Self::Locked => Tone::Warn,
            Self::NoQuorum | Self::Unreachable | Self::Error => Tone::Bad,
        }
    }
    fn label(self) -> &'static str {
        let words = swarm();
        match self {
            Self::None => words.state_none,
            Self::Found => words.state_found,
            Self::Pending => words.state_pending,
            Self::Active => words.state_active,
            Self::Degraded => words.state_degraded,
            Self::Locked => words.state_locked,
            Self::NoQuorum => words.state_no_quorum,
            Self::Unreachable => words.state_unreachable,
            Self::Error => words.state_error,
        }
    }
    fn busy(self) -> bool {
        self == Self::Pending
    }
}

impl Stated for SwarmPart {
    fn tone(self) -> Tone {
        match self {
            Self::Manager => Tone::Accent,
            Self::Worker => Tone::Ok,
            Self::Unknown | Self::None => Tone::Idle,
            Self::Locked | Self::Other => Tone::Warn,
            Self::Error => Tone::Bad,
        }
    }
    fn label(self) -> &'static str {
        let words = swarm();
        match self {
            Self::Unknown => words.part_unknown,
            Self::None => words.part_none,
            Self::Worker => words.worker,
            Self::Manager => words.manager,
            Self::Locked => words.part_locked,
            Self::Error => words.part_error,
            Self::Other => words.part_other,
        }
    }
}

impl Stated for SwarmServiceState {
    fn tone(self) -> Tone {
        match self {
            Self::Running | Self::Completed => Tone::Ok,
            Self::Updating | Self::RollingBack => Tone::Info,
            Self::Paused | Self::Degraded => Tone::Warn,
            Self::Stopped => Tone::Idle,
        }
    }
    fn label(self) -> &'static str {
        let words = swarm();
        match self {
            Self::Running => words.running,
            Self::Updating => words.updating,
            Self::RollingBack => words.rolling_back,
            Self::Paused => words.update_paused,
            Self::Degraded => words.service_degraded,
            Self::Completed => words.completed,
            Self::Stopped => words.stopped,
        }
    }
    fn busy(self) -> bool {
        matches!(self, Self::Updating | Self::RollingBack)
    }
}

impl Stated for NodeAvailability {
    fn tone(self) -> Tone {
        match self {
            Self::Active => Tone::Ok,
            Self::Pause => Tone::Idle,
            Self::Drain => Tone::Warn,
        }
    }
    fn label(self) -> &'static str {
        let words = swarm();
        match self {
            Self::Active => words.active,
            Self::Pause => words.paused,
            Self::Drain => words.drained,
        }
    }
}

/// What a task's state looks like. The words are the engine's.
pub(super) fn task_tone(state: &str) -> Tone {
    match state {
        "running" | "complete" => Tone::Ok,
        "failed" | "rejected" | "orphaned" => Tone::Bad,
        "shutdown" | "remove" => Tone::Idle,
        "new" | "pending" => Tone::Warn,
        _ => Tone::Info,
    }
}

/// What a node's state looks like. The words are the engine's.
pub(super) fn node_tone(state: &str) -> Tone {
    match state {
        "ready" => Tone::Ok,
        "down" | "disconnected" => Tone::Bad,
        _ => Tone::Idle,
    }
}

/// What a node is, in words.
pub(super) fn node_role(node: &SwarmNode) -> &'static str {
    let words = swarm();
    match node.role {
        NodeRole::Manager if node.leader => words.leader,
        NodeRole::Manager => words.manager,
        NodeRole::Worker => words.worker,
    }
}

/// A service's mode, in words.
pub(super) fn mode(mode: ServiceMode) -> &'static str {
    let words = swarm();
    match mode {
        ServiceMode::Replicated => words.replicated,
        ServiceMode::Global => words.global,
        ServiceMode::ReplicatedJob => words.replicated_job,
        ServiceMode::GlobalJob => words.global_job,
    }
}

/// The engine's word for a state, as a word of the page where there is one.
pub(super) fn engine_word(word: &str) -> String {
    match word {
        "running" => t().states.running.to_owned(),
        "failed" => t().states.failed.to_owned(),
        "complete" => swarm().completed.to_owned(),
        other => other.to_owned(),
    }
}
