//! Containers that run are put into the networks that they should be in, without starting them
//! anew, and taken out of DNS while they are not healthy.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use drover_api::{ContainerState, Health};
use drover_compose::{HealthStrategy, Service};
use futures_util::{FutureExt, future::BoxFuture};
use indexmap::IndexMap;
use uuid::Uuid;

use super::{
    super::{
        container,
        network::{Kind, Membership, names},
        plan::{Instance, Seen},
        store,
    },
    Worker, a_few_at_once,
};
use crate::{
    error::Result,
    hosts::driver::{self, Docker, ErrorKind, models::NetworkConnectRequest},
    stacks::{StackRow, Wanted},
};

/// What did not work is tried again after this.
const RETRY: Duration = Duration::from_secs(20);
/// What was just done is not done again while the index does not show it.
const SETTLES: Duration = Duration::from_secs(5);
/// A container that was replaced for its health, and again: the longest pause in between.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// After so long, one that becomes unhealthy is replaced at once again.
const FORGIVEN: Duration = Duration::from_secs(900);

/// A change of a container's networks.
struct Change {
    container: String,
    name: String,
    host: Uuid,
    service: String,
    network: String,
    /// Into it with these names, or out of it.
    join: Option<Membership>,
}

impl Worker {
    /// Puts containers into the networks that have come since they were made: the environment's,
    /// and those across hosts.
    pub(super) async fn join_networks(
        &mut self,
        row: &StackRow,
        wanted: &Wanted,
        instances: &[Instance],
        seen: &[Seen],
        problems: &mut IndexMap<String, String>,
    ) {
        let now = Instant::now();
        self.memory.joining.retain(|_, until| *until > now);
        let changes = self.network_changes(row, wanted, instances, seen);
        if changes.is_empty() {
            return;
        }
        let mut on_hosts: HashMap<Uuid, Vec<&Service>> = HashMap::new();
        for change in changes.iter().filter(|change| change.join.is_some()) {
            let service = wanted.project.services.get(&change.service);
            on_hosts.entry(change.host).or_default().extend(service);
        }
        for (host, services) in on_hosts {
            if let Err(failed) = self.networks(row, wanted, host, &services).await {
                tracing::debug!(stack = %row.name, error = %failed.error.message, "no network yet");
                let until = Instant::now() + RETRY;
                for change in changes.iter().filter(|change| change.host == host) {
                    let key = (change.container.clone(), change.network.clone());
                    self.memory.joining.insert(key, until);
                }
                problems.entry(String::new()).or_insert(failed.error.message);
                return;
            }
        }
        let this = &*self;
        let mut work: Vec<BoxFuture<'_, _>> = Vec::new();
        for change in changes {
            work.push(async move { (this.change_network(row, &change).await, change) }.boxed());
        }
        for (done, change) in a_few_at_once(work).await {
            let pause = if done.is_ok() { SETTLES } else { RETRY };
            if let Err(error) = done {
                tracing::warn!(container = %change.name, network = %change.network, %error, "cannot change a container's networks");
                let why = format!(
                    "`{}` cannot be put into the network {}: {}",
                    change.name,
                    change.network,
                    error.message()
                );
                problems.entry(change.service.clone()).or_insert(why);
            }
            let key = (change.container, change.network);
            self.memory.joining.insert(key, Instant::now() + pause);
        }
    }

    async fn change_network(&self, row: &StackRow, change: &Change) -> driver::Result<()> {
        let docker = self.app.hosts.docker(row.environment_id, change.host)?;
        match &change.join {
            Some(membership) => connect(&docker, &change.container, membership.clone()).await,
            None => disconnect(&docker, &change.container, &change.network).await,
        }
    }

    fn network_changes(
        &self,
        row: &StackRow,
        wanted: &Wanted,
        instances: &[Instance],
        seen: &[Seen],
    ) -> Vec<Change> {
        let reach = &self.reach;
        let mut changes = Vec::new();
        for (container, service, has) in self.at_home(row, wanted, instances, seen) {
            let kind = reach.kind_on(container.host_id);
            let hidden = self.memory.hidden.contains(&container.id);
            let of = |kind| {
                let service = (container.service.as_str(), service);
                names::memberships(row, &wanted.project, service, kind, hidden)
            };
            let is_in = |network: &str| has.iter().any(|name| **name == *network);
            let change = |network: String, join| Change {
                container: container.id.clone(),
                name: container.name.clone(),
                host: container.host_id,
                service: container.service.clone(),
                network,
                join,
            };
            let (there, missing): (Vec<_>, Vec<_>) =
                of(kind).into_iter().partition(|membership| is_in(&membership.network));
            if missing.is_empty() && kind != Kind::Bridge {
                // Between two kinds across hosts, the old one goes when the new one is there.
                let old = [Kind::Overlay, Kind::Encrypted]
                    .into_iter()
                    .filter(|other| *other != kind)
                    .flat_map(of)
                    .filter(|old| is_in(&old.network))
                    .filter(|old| !there.iter().any(|new| new.network == old.network));
                changes.extend(old.map(|old| change(old.network, None)));
            }
            changes.extend(missing.into_iter().map(|m| change(m.network.clone(), Some(m))));
        }
        changes.retain(|change| {
            let key = (change.container.clone(), change.network.clone());
            !self.memory.joining.contains_key(&key)
        });
        changes
    }

    /// The running containers of the wanted make, where they should be, whose networks are known.
    fn at_home<'a>(
        &'a self,
        row: &'a StackRow,
        wanted: &'a Wanted,
        instances: &'a [Instance],
        seen: &'a [Seen],
    ) -> impl Iterator<Item = (&'a Seen, &'a Service, &'a [std::sync::Arc<str>])> {
        let connected: HashSet<Uuid> = self
            .app
            .hosts
            .in_environment(row.environment_id)
            .iter()
            .filter(|host| host.docker().is_ok())
            .map(|host| host.id)
            .collect();
        seen.iter().filter_map(move |seen| {
            let service = wanted.project.services.get(&seen.service)?;
            let at_home = seen.state == ContainerState::Running
                && connected.contains(&seen.host_id)
                && wanted.specs.get(&seen.service) == Some(&seen.spec)
                && instances
                    .iter()
                    .any(|i| Some(i.id) == seen.instance && i.host_id == seen.host_id);
            Some((seen, service, seen.networks.as_deref().filter(|_| at_home)?))
        })
    }

    /// Takes unhealthy containers out of DNS, puts those that have recovered back, and answers
    /// which are to be replaced now.
    pub(super) async fn leave_dns(
        &mut self,
        row: &StackRow,
        wanted: &Wanted,
        instances: &[Instance],
        seen: &[Seen],
        rolling_out: bool,
    ) -> Result<HashSet<String>> {
        let mut replaceable = HashSet::new();
        let found: Vec<(Seen, Service)> = self
            .at_home(row, wanted, instances, seen)
            .map(|(seen, service, _)| (seen.clone(), service.clone()))
            .collect();
        self.memory.hidden.retain(|id| seen.iter().any(|seen| seen.id == *id));
        self.memory.replaced.retain(|_, (_, at)| at.elapsed() < FORGIVEN);
        for (container, service) in found {
            let hidden = self.memory.hidden.contains(&container.id);
            let unhealthy = container.health == Some(Health::Unhealthy);
            if unhealthy != hidden {
                let shown = !unhealthy;
                match self.show(row, wanted, &container, &service, shown).await {
                    Ok(()) if shown => {
                        self.memory.hidden.remove(&container.id);
                        self.note_hidden(&container, false).await?;
                    }
                    Ok(()) => {
                        self.memory.hidden.insert(container.id.clone());
                        self.note_hidden(&container, true).await?;
                    }
                    Err(error) => {
                        tracing::warn!(container = %container.name, %error, "cannot change what a container is known by");
                        continue;
                    }
                }
            }
            if unhealthy && !rolling_out && self.may_replace(&container, &service, seen) {
                let (count, at) = self
                    .memory
                    .replaced
                    .entry(container.instance.unwrap_or_default())
                    .or_insert((0, Instant::now()));
                *count += 1;
                *at = Instant::now();
                replaceable.insert(container.id.clone());
            }
        }
        Ok(replaceable)
    }

    fn may_replace(&self, container: &Seen, service: &Service, seen: &[Seen]) -> bool {
        if let Some(probe) = &service.health {
            let healthy = seen.iter().filter(|s| s.service == container.service && s.is_ready());
            if probe.strategy == HealthStrategy::None || healthy.count() < probe.quorum as usize {
                return false;
            }
        }
        let replaced = container.instance.and_then(|id| self.memory.replaced.get(&id));
        replaced.is_none_or(|(count, at)| {
            at.elapsed() >= Duration::from_secs(5 << (*count).min(6)).min(LONGEST_PAUSE)
        })
    }

    /// Makes a container known by its names, or by none that others have too. What it has to say
    /// to others it can say on.
    async fn show(
        &self,
        row: &StackRow,
        wanted: &Wanted,
        container: &Seen,
        service: &Service,
        shown: bool,
    ) -> driver::Result<()> {
        let docker = self.app.hosts.docker(row.environment_id, container.host_id)?;
        let kind = self.reach.kind_on(container.host_id);
        let has = container.networks.as_deref().unwrap_or_default();
        // In an old network beside the new one it is known too.
        let mut memberships: Vec<Membership> = Vec::new();
        for kind in [kind, Kind::Bridge, Kind::Overlay, Kind::Encrypted] {
            let service = (container.service.as_str(), service);
            let of = names::memberships(row, &wanted.project, service, kind, !shown);
            for membership in of {
                if has.iter().any(|name| **name == *membership.network)
                    && !memberships.iter().any(|known| known.network == membership.network)
                {
                    memberships.push(membership);
                }
            }
        }
        for membership in memberships {
            disconnect(&docker, &container.id, &membership.network).await?;
            connect(&docker, &container.id, membership).await?;
        }
        tracing::info!(container = %container.name, shown, "what a container is known by has changed");
        Ok(())
    }

    async fn note_hidden(&self, container: &Seen, hidden: bool) -> Result<()> {
        if let Some(instance) = container.instance {
            store::set_hidden(&self.app.db, instance, &container.id, hidden).await?;
        }
        Ok(())
    }
}

async fn connect(docker: &Docker, id: &str, membership: Membership) -> driver::Result<()> {
    let network = membership.network.clone();
    let endpoint_config = Some(container::endpoint(membership));
    let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config };
    match docker.connect_network(&network, request).await {
        // It is in it already.
        Err(error)
            if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Refused)
                && error.message().contains("already") =>
        {
            Ok(())
        }
        other => other,
    }
}

async fn disconnect(docker: &Docker, id: &str, network: &str) -> driver::Result<()> {
    match docker.disconnect_network(network, id, true).await {
        // It is out of it already.
        Err(error) if error.is_not_found() || error.message().contains("is not connected") => {
            Ok(())
        }
        other => other,
    }
}
