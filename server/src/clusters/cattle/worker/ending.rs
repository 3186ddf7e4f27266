//! Stopping and removing a stack.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use drover_api::Topic;
use futures_util::{FutureExt, future::BoxFuture};
use indexmap::IndexMap;
use uuid::Uuid;

use super::{
    super::{network::names, store},
    LOOK, Next, Worker, a_few_at_once, work,
};
use crate::{
    error::Result,
    hosts::{
        self,
        driver::{Docker, Filter},
        labels,
    },
    operations,
    stacks::{StackRow, Wanted},
};

impl Worker {
    pub(super) async fn stop(&mut self, row: &StackRow) -> Result<Next> {
        let operation = operations::open_for(&self.app.db, row.id).await?;
        let left = self.take_down(row).await?;
        let Some(open) = operation else { return Ok(Next::Wait(LOOK)) };
        if left.is_empty() {
            work::tell_problems(&self.app, row, &IndexMap::new()).await?;
            operations::finish(&self.app, open.id, None).await?;
            self.app.events.updated(Topic::Stack, Some(row.environment_id), row.id).await;
            return Ok(Next::Wait(LOOK));
        }
        operations::progress(&self.app, open.id, 0.5, &left.join(" ")).await?;
        Ok(Next::Wait(Duration::from_secs(1)))
    }

    pub(super) async fn take_away(&mut self, row: &StackRow) -> Result<Next> {
        let mut left = self.take_down(row).await?;
        if left.is_empty() {
            left = self.remove_shared(row).await;
        }
        work::go_on_removing(&self.app, row, &left).await
    }

    /// Removes all containers; says what is left and why.
    async fn take_down(&mut self, row: &StackRow) -> Result<Vec<String>> {
        let mut left = Vec::new();
        let placed: HashSet<Uuid> =
            store::instances(&self.app.db, row.id).await?.iter().map(|i| i.host_id).collect();
        for host in self.app.hosts.in_environment(row.environment_id) {
            let docker = match host.docker() {
                Ok(docker) => docker,
                Err(error) => {
                    if placed.contains(&host.id) {
                        left.push(format!(
                            "Containers on {}: {}",
                            host.row().name,
                            error.message()
                        ));
                    }
                    continue;
                }
            };
            let filter = Filter::label(format!("{}={}", labels::STACK, row.id));
            let containers = match docker.list_containers(&filter).await {
                Ok(containers) => containers,
                Err(error) => {
                    left.push(format!("Containers on {}: {}", host.row().name, error.message()));
                    continue;
                }
            };
            let mut removing: Vec<BoxFuture<'_, _>> = Vec::new();
            for container in &containers {
                removing.push(remove_container(&docker, &container.id).boxed());
            }
            let removed = a_few_at_once(removing).await;
            left.extend(removed.into_iter().filter_map(|result| {
                let error = result.err()?;
                Some(format!("A container on {}: {}", host.row().name, error.message()))
            }));
        }
        if left.is_empty() {
            let ids: Vec<Uuid> =
                store::instances(&self.app.db, row.id).await?.iter().map(|i| i.id).collect();
            store::remove(&self.app.db, &ids).await?;
        }
        self.memory.fresh.clear();
        Ok(left)
    }

    /// Removes the stack's networks and, where asked for, its volumes; says what is left and why.
    async fn remove_shared(&self, row: &StackRow) -> Vec<String> {
        let mut left = Vec::new();
        for host in self.app.hosts.in_environment(row.environment_id) {
            let Ok(docker) = host.docker() else { continue };
            let name = host.row().name.clone();
            let own = |labels: &HashMap<String, String>| {
                labels::stack(row.environment_id, labels) == Some(row.id)
            };
            let mut results = Vec::new();
            match docker.list_networks().await {
                Ok(networks) => {
                    for network in networks {
                        if own(&network.labels.unwrap_or_default()) {
                            results
                                .push(docker.remove_network(&network.id.unwrap_or_default()).await);
                        }
                    }
                }
                Err(error) => results.push(Err(error)),
            }
            if row.remove_volumes {
                match docker.list_volumes().await {
                    Ok(volumes) => {
                        for volume in volumes.into_iter().filter(|volume| own(&volume.labels)) {
                            results.push(docker.remove_volume(&volume.name, false).await);
                        }
                    }
                    Err(error) => results.push(Err(error)),
                }
            }
            left.extend(results.into_iter().filter_map(|result| {
                let error = result.err().filter(|error| !error.is_not_found())?;
                Some(format!("On {name}: {}", error.message()))
            }));
        }
        left
    }

    /// Networks that a new revision no longer has. They are in nobody's way: errors only cost
    /// tidiness.
    pub(super) async fn remove_unused_networks(&self, row: &StackRow, wanted: &Wanted) {
        let reach = &self.reach;
        for host in self.app.hosts.in_environment(row.environment_id) {
            let Ok(docker) = host.docker() else { continue };
            let kind = reach.kind_on(host.id);
            let names: HashSet<String> = wanted
                .project
                .networks
                .iter()
                .map(|(name, network)| names::stack_network(row, name, network, kind))
                .collect();
            for network in docker.list_networks().await.unwrap_or_default() {
                let (Some(id), Some(name)) = (network.id, network.name) else { continue };
                let own = labels::stack(row.environment_id, &network.labels.unwrap_or_default())
                    == Some(row.id);
                if own
                    && !names.contains(&name)
                    && let Err(error) = docker.remove_network(&id).await
                {
                    tracing::debug!(%error, network = name, "cannot remove an unused network");
                }
            }
        }
    }
}

/// Stops politely and removes, with anonymous volumes. Fine when it is gone.
pub(super) async fn remove_container(docker: &Docker, id: &str) -> hosts::driver::Result<()> {
    let stopped = docker.stop_container(id, None).await;
    let removed = match stopped {
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) if error.is_transient() => return Err(error),
        _ => docker.remove_container(id, true, true).await,
    };
    match removed {
        Err(error) if error.is_not_found() => Ok(()),
        // Somebody else is removing it at this moment.
        Err(error) if error.message().contains("already in progress") => Ok(()),
        other => other,
    }
}
