//! How states look and what they are called.

use drover_api::{
    AuditOutcome, ContainerState, EnvironmentState, GlobalRole, Health, HostState, IdentityState,
    OperationKind, OperationState, Role, StackState, UserState,
};

use crate::i18n::t;

/// What a colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Ok,
    /// Look at it.
    Warn,
    /// Broken.
    Bad,
    /// Under way.
    Info,
    /// Neither good nor bad.
    Idle,
    /// Stands out.
    Accent,
}

impl Tone {
    /// The end of class names: `badge-ok`, `tone-ok`, `progress-ok`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Info => "info",
            Self::Idle => "idle",
            Self::Accent => "accent",
        }
    }
}

/// A state that [`StatePill`](crate::components::StatePill) can show.
pub trait Stated: Copy {
    /// What its colour says.
    fn tone(self) -> Tone;
    /// What it is called.
    fn label(self) -> &'static str;
    /// True while it will change by itself.
    fn busy(self) -> bool {
        false
    }
}

impl Stated for HostState {
    fn tone(self) -> Tone {
        match self {
            Self::Active => Tone::Ok,
            Self::Connecting => Tone::Info,
            Self::Reconnecting | Self::Draining => Tone::Warn,
            Self::Inactive => Tone::Idle,
            Self::Error => Tone::Bad,
        }
    }
    fn label(self) -> &'static str {
        let words = &t().states;
        match self {
            Self::Active => words.active,
            Self::Connecting => words.connecting,
            Self::Reconnecting => words.reconnecting,
            Self::Draining => words.draining,
            Self::Inactive => words.inactive,
            Self::Error => words.error,
        }
    }
    fn busy(self) -> bool {
        matches!(self, Self::Connecting | Self::Reconnecting | Self::Draining)
    }
}

impl Stated for ContainerState {
    fn tone(self) -> Tone {
        match self {
            Self::Running => Tone::Ok,
            Self::Created | Self::Exited => Tone::Idle,
            Self::Paused | Self::Restarting | Self::Removing => Tone::Warn,
            Self::Dead => Tone::Bad,
        }
    }
    fn label(self) -> &'static str {
        let words = &t().states;
        match self {
            Self::Created => words.created,
            Self::Running => words.running,
            Self::Paused => words.paused,
            Self::Restarting => words.restarting,
            Self::Removing => words.removing,
            Self::Exited => words.exited,
            Self::Dead => words.dead,
        }
    }
    fn busy(self) -> bool {
        matches!(self, Self::Restarting | Self::Removing)
    }
}

impl Stated for Health {
    fn tone(self) -> Tone {
        match self {
            Self::Starting => Tone::Info,
            Self::Healthy => Tone::Ok,
            Self::Unhealthy => Tone::Bad,
        }
    }
    fn label(self) -> &'static str {
        let words = &t().states;
        match self {
            Self::Starting => words.starting,
            Self::Healthy => words.healthy,
            Self::Unhealthy => words.unhealthy,
        }
    }
    fn busy(self) -> bool {
        self == Self::Starting
    }
}

impl Stated for StackState {
    fn tone(self) -> Tone {
        match self {
            Self::Running => Tone::Ok,
            Self::Installing | Self::Upgrading | Self::Removing => Tone::Info,
            Self::Degraded => Tone::Warn,
            Self::Failed => Tone::Bad,
            Self::Stopped => Tone::Idle,
        }
    }
    fn label(self) -> &'static str {
        let words = &t().states;
        match self {
            Self::Installing => words.installing,
            Self::Running => words.running,
            Self::Degraded => words.degraded,
            Self::Upgrading => words.upgrading,
            Self::Failed => words.failed,
            Self::Stopped => words.stopped,
            Self::Removing => words.removing,
        }
    }
    fn busy(self) -> bool {
        matches!(self, Self::Installing | Self::Upgrading | Self::Removing)
    }
}

impl Stated for OperationState {
    fn tone(self) -> Tone {
        match self {
            Self::Queued | Self::Cancelled => Tone::Idle,
            Self::Running => Tone::Info,
            Self::Succeeded => Tone::Ok,
            Self::Failed => Tone::Bad,
        }
    }
    fn label(self) -> &'static str {
        let words = &t().states;
        match self {
            Self::Queued => words.queued,
            Self::Running => words.running,
            Self::Succeeded => words.succeeded,
            Self::Failed => words.failed,
            Self::Cancelled => words.cancelled,
        }
    }
    fn busy(self) -> bool {
        self == Self::Running
    }
}

impl Stated for EnvironmentState {
    fn tone(self) -> Tone {
        match self {
            Self::Active => Tone::Ok,
            Self::Inactive => Tone::Idle,
            Self::Removing => Tone::Info,
        }
    }
    fn label(self) -> &'static str {
        let words = &t().states;
        match self {
            Self::Active => words.active,
            Self::Inactive => words.inactive,
            Self::Removing => words.removing,
        }
    }
    fn busy(self) -> bool {
        self == Self::Removing
    }
}

impl Stated for UserState {
    fn tone(self) -> Tone {
        match self {
            Self::Active => Tone::Ok,
            Self::Inactive => Tone::Idle,
        }
    }
    fn label(self) -> &'static str {
        match self {
            Self::Active => t().states.active,
            Self::Inactive => t().states.inactive,
        }
    }
}

impl Stated for IdentityState {
    fn tone(self) -> Tone {
        match self {
            Self::Active => Tone::Ok,
            Self::Refused => Tone::Bad,
            Self::Expired => Tone::Warn,
            Self::ProviderOff => Tone::Idle,
        }
    }
    fn label(self) -> &'static str {
        let words = &t().sign_in;
        match self {
            Self::Active => words.identity_active,
            Self::Refused => words.identity_refused,
            Self::Expired => words.identity_expired,
            Self::ProviderOff => words.identity_off,
        }
    }
}

impl Stated for AuditOutcome {
    fn tone(self) -> Tone {
        match self {
            Self::Success => Tone::Ok,
            Self::Denied => Tone::Warn,
            Self::Failure => Tone::Bad,
        }
    }
    fn label(self) -> &'static str {
        match self {
            Self::Success => t().states.success,
            Self::Denied => t().states.denied,
            Self::Failure => t().states.failure,
        }
    }
}

impl Stated for Role {
    fn tone(self) -> Tone {
        if self == Self::Owner { Tone::Accent } else { Tone::Idle }
    }
    fn label(self) -> &'static str {
        let words = &t().states;
        match self {
            Self::Readonly => words.readonly,
            Self::Restricted => words.restricted,
            Self::Member => words.member,
            Self::Owner => words.owner,
        }
    }
}

impl Stated for GlobalRole {
    fn tone(self) -> Tone {
        if self == Self::Admin { Tone::Accent } else { Tone::Idle }
    }
    fn label(self) -> &'static str {
        match self {
            Self::Admin => t().states.admin,
            Self::User => t().states.user,
        }
    }
}

/// What a role may do, in a line.
pub fn role_help(role: Role) -> &'static str {
    let words = &t().states;
    match role {
        Role::Readonly => words.readonly_help,
        Role::Restricted => words.restricted_help,
        Role::Member => words.member_help,
        Role::Owner => words.owner_help,
    }
}

/// What a kind of operation is called.
pub fn operation_name(kind: OperationKind) -> &'static str {
    let words = &t().operations;
    match kind {
        OperationKind::Install => words.install,
        OperationKind::Upgrade => words.upgrade,
        OperationKind::Rollback => words.rollback,
        OperationKind::Scale => words.scale,
        OperationKind::Restart => words.restart,
        OperationKind::Stop => words.stop,
        OperationKind::Start => words.start,
        OperationKind::Remove => words.remove,
        OperationKind::Drain => words.drain,
        OperationKind::Pull => words.pull,
        OperationKind::RemoveEnvironment => words.remove_environment,
        OperationKind::CreateSwarm => words.create_swarm,
        OperationKind::JoinSwarm => words.join_swarm,
        OperationKind::LeaveSwarm => words.leave_swarm,
        OperationKind::RemoveSwarm => words.remove_swarm,
        OperationKind::ForceNewCluster => words.force_new_cluster,
    }
}
