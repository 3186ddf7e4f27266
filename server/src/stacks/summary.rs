//! How a stack stands, summed up from what is wanted, what is there, and its last operation.

use drover_api::{Service, StackState};
use drover_compose::Project;
use uuid::Uuid;

use super::model::{Desired, StackRow};
use crate::clusters::Observed;

/// How a stack stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// In one word.
    pub state: StackState,
    /// Why, when not `running`.
    pub reason: Option<String>,
    /// How many containers do what they should.
    pub running: u32,
    /// How many should.
    pub desired: u32,
    /// Each service.
    pub services: Vec<ServiceStanding>,
}

/// How a service stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceStanding {
    /// Its name.
    pub name: String,
    /// In one word.
    pub state: StackState,
    /// Why, when not `running`.
    pub reason: Option<String>,
    /// How many should run.
    pub scale: u32,
    /// How many do (or have done what they should).
    pub running: u32,
    /// How many of those are healthy.
    pub healthy: u32,
}

/// What is known of an open operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenWork {
    /// It is the first deployment.
    pub install: bool,
    /// The operation's id.
    pub id: Uuid,
}

/// Sums up.
pub(super) fn sum_up(
    row: &StackRow,
    project: Option<&Project>,
    observed: &Observed,
    open: Option<OpenWork>,
) -> Standing {
    let services: Vec<ServiceStanding> = project
        .iter()
        .flat_map(|project| &project.services)
        .map(|(name, service)| {
            let own = observed.get(name).copied().unwrap_or_default();
            let may_end = service.restart == Some(drover_compose::Restart::No)
                || project.is_some_and(|project| {
                    project.services.values().any(|other| {
                        other.depends_on.get(name).is_some_and(|dependency| {
                            dependency.condition == drover_compose::DependencyCondition::Completed
                        })
                    })
                });
            let scale = if service.deploy.global {
                own.scale.unwrap_or(1)
            } else {
                // Sidekicks have their primary's.
                let primary = project.map_or(name.as_str(), |project| project.primary_of(name));
                row.scales.get(primary).copied().unwrap_or(service.deploy.replicas)
            };
            let completed = if may_end { own.completed } else { 0 };
            let (running, healthy) = (own.running + completed, own.healthy + completed);
            let state = match row.desired {
                Desired::Removed => StackState::Removing,
                Desired::Stopped => StackState::Stopped,
                Desired::Running if healthy >= scale => StackState::Running,
                Desired::Running => match open {
                    Some(OpenWork { install: true, .. }) => StackState::Installing,
                    Some(_) => StackState::Upgrading,
                    None if row.outcome.as_deref() == Some("failed") && running == 0 => {
                        StackState::Failed
                    }
                    None => StackState::Degraded,
                },
            };
            let reason = row.problems.get(name).cloned().filter(|_| state != StackState::Running);
            ServiceStanding { name: name.clone(), state, reason, scale, running, healthy }
        })
        .collect();
    let running = services.iter().map(|service| service.healthy.min(service.scale)).sum();
    let desired = services.iter().map(|service| service.scale).sum();
    let state = match row.desired {
        Desired::Removed => StackState::Removing,
        Desired::Stopped => StackState::Stopped,
        Desired::Running => match open {
            Some(OpenWork { install: true, .. }) => StackState::Installing,
            Some(_) => StackState::Upgrading,
            None if row.outcome.as_deref() == Some("failed") => StackState::Failed,
            None if row.outcome.is_none() => StackState::Degraded,
            None if project.is_some() && running >= desired => StackState::Running,
            None => StackState::Degraded,
        },
    };
    let reason = row
        .problems
        .iter()
        .next()
        .map(
            |(service, why)| {
                if service.is_empty() { why.clone() } else { format!("{service}: {why}") }
            },
        )
        .filter(|_| state != StackState::Running);
    Standing { state, reason, running, desired, services }
}

/// A service as the API tells it.
pub(super) fn service(
    project: &Project,
    name: &str,
    standing: Option<&ServiceStanding>,
) -> Service {
    let service = project.services.get(name).cloned().unwrap_or_default();
    let scale = service.deploy.replicas;
    Service {
        name: name.to_owned(),
        image: service.image,
        state: standing.map_or(StackState::Stopped, |standing| standing.state),
        reason: standing.and_then(|standing| standing.reason.clone()),
        scale: standing.map_or(scale, |standing| standing.scale),
        running: standing.map_or(0, |standing| standing.running),
        healthy: standing.map_or(0, |standing| standing.healthy),
        global: service.deploy.global,
        ports: service
            .ports
            .iter()
            .map(|port| match port.published {
                Some(published) => format!("{published}:{}/{}", port.target, port.protocol),
                None => format!("{}/{}", port.target, port.protocol),
            })
            .collect(),
        depends_on: service.depends_on.keys().cloned().collect(),
        networks: service.networks.keys().cloned().collect(),
        volumes: service.volumes.iter().filter_map(|mount| mount.source.clone()).collect(),
    }
}
