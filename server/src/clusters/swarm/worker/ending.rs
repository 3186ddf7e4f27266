//! Stopping and removing a stack.

use std::time::Duration;

use drover_api::{SwarmState, Topic};
use indexmap::IndexMap;
use serde_json::json;

use super::{LOOK, Next, Worker, looking::of_stack, work};
use crate::{
    error::Result,
    hosts::{
        driver::{self, Docker, swarm::BlobKind},
        labels,
    },
    operations,
    stacks::StackRow,
};

/// What a service of a stopped stack has in place of its digest, so that a start writes it anew.
const STOPPED: &str = "stopped";

impl Worker {
    pub(super) async fn stop(&mut self, row: &StackRow) -> Result<Next> {
        let operation = operations::open_for(&self.app.db, row.id).await?;
        let stopped = match self.live(row).docker() {
            Ok(docker) => stop_services(&docker, row).await.map_err(|e| e.message().to_owned()),
            Err(error) => Err(error.detail().to_owned()),
        };
        let left = match stopped {
            Ok(()) => self.running(row),
            Err(why) => Some(why),
        };
        let Some(open) = operation else {
            return Ok(Next::Wait(if left.is_some() { Duration::from_secs(2) } else { LOOK }));
        };
        let Some(left) = left else {
            work::tell_problems(&self.app, row, &IndexMap::new()).await?;
            operations::finish(&self.app, open.id, None).await?;
            self.app.events.updated(Topic::Stack, Some(row.environment_id), row.id).await;
            return Ok(Next::Wait(LOOK));
        };
        operations::progress(&self.app, open.id, 0.5, &left).await?;
        Ok(Next::Wait(Duration::from_secs(1)))
    }

    /// How many tasks still run, in words; none when all have ended.
    fn running(&self, row: &StackRow) -> Option<String> {
        let live = self.live(row);
        live.tasks_changed.notify_one();
        let running: u32 =
            live.view().observe(row.id).values().map(|service| service.running).sum();
        // The engine tells of ended tasks before their containers have ended.
        let containers = self
            .app
            .hosts
            .index()
            .of_stack(row.environment_id, row.id)
            .iter()
            .filter(|entry| entry.state == drover_api::ContainerState::Running)
            .filter(|entry| self.app.hosts.docker(row.environment_id, entry.host.id).is_ok())
            .count() as u32;
        let most = running.max(containers);
        (most > 0).then(|| format!("{most} tasks are still ending."))
    }

    pub(super) async fn take_away(&mut self, row: &StackRow) -> Result<Next> {
        let left = self.take_down(row).await;
        let next = work::go_on_removing(&self.app, row, &left).await?;
        if matches!(next, Next::End) {
            self.live(row).poke.notify_one();
        }
        Ok(next)
    }

    /// Removes services, then networks, secrets and configs, and where asked for volumes; says
    /// what is left and why.
    async fn take_down(&self, row: &StackRow) -> Vec<String> {
        let live = self.live(row);
        let mut left = match live.docker() {
            Ok(docker) => match remove_services(&docker, row).await {
                Ok(0) => match self.running(row) {
                    Some(running) => vec![running],
                    None => remove_shared(&docker, row).await,
                },
                Ok(count) => vec![format!("{count} services are being removed.")],
                Err(error) => vec![format!("In the swarm: {}", error.message())],
            },
            // What a swarm had that is no more is gone with it.
            Err(_) if is_gone(live.standing().state) => Vec::new(),
            Err(error) => vec![format!("In the swarm: {}", error.detail())],
        };
        if left.is_empty() && row.remove_volumes {
            left = self.remove_volumes(row).await;
        }
        left
    }

    async fn remove_volumes(&self, row: &StackRow) -> Vec<String> {
        let mut left = Vec::new();
        for host in self.app.hosts.in_environment(row.environment_id) {
            let Ok(docker) = host.docker() else { continue };
            let mut results = Vec::new();
            match docker.list_volumes().await {
                Ok(volumes) => {
                    for volume in volumes {
                        if labels::stack(row.environment_id, &volume.labels) == Some(row.id) {
                            results.push(docker.remove_volume(&volume.name, false).await);
                        }
                    }
                }
                Err(error) => results.push(Err(error)),
            }
            left.extend(results.into_iter().filter_map(|result| {
                let error = result.err().filter(|error| !error.is_not_found())?;
                Some(format!("On {}: {}", host.row().name, error.message()))
            }));
        }
        left
    }
}

fn is_gone(state: SwarmState) -> bool {
    matches!(state, SwarmState::None | SwarmState::Found | SwarmState::Error)
}

/// Scales what can be scaled to nothing, and removes what cannot: a start makes it again.
async fn stop_services(docker: &Docker, row: &StackRow) -> driver::Result<()> {
    for service in docker.list_services(&of_stack(row)).await? {
        if service.spec["Mode"]["Replicated"].is_null() {
            docker.remove_service(&service.id).await?;
        } else if service.label(labels::SPEC) != Some(STOPPED)
            || service.spec["Mode"]["Replicated"]["Replicas"] != 0
        {
            docker
                .change_service(&service.id, None, |spec| {
                    spec["Mode"] = json!({ "Replicated": { "Replicas": 0 } });
                    spec["Labels"][labels::SPEC] = STOPPED.into();
                    Ok(())
                })
                .await?;
        }
    }
    Ok(())
}

/// Answers how many there still were.
async fn remove_services(docker: &Docker, row: &StackRow) -> driver::Result<usize> {
    let services = docker.list_services(&of_stack(row)).await?;
    for service in &services {
        docker.remove_service(&service.id).await?;
    }
    Ok(services.len())
}

async fn remove_shared(docker: &Docker, row: &StackRow) -> Vec<String> {
    let mut results = Vec::new();
    match docker.list_networks().await {
        Ok(networks) => {
            for network in networks {
                let labels = network.labels.unwrap_or_default();
                if labels::stack(row.environment_id, &labels) == Some(row.id) {
                    results.push(docker.remove_network(&network.id.unwrap_or_default()).await);
                }
            }
        }
        Err(error) => results.push(Err(error)),
    }
    for kind in [BlobKind::Secret, BlobKind::Config] {
        match docker.list_blobs(kind, &of_stack(row)).await {
            Ok(blobs) => {
                for blob in blobs {
                    results.push(docker.remove_blob(kind, &blob.id).await);
                }
            }
            Err(error) => results.push(Err(error)),
        }
    }
    let left = results.into_iter().filter_map(|result| {
        let error = result.err().filter(|error| !error.is_not_found())?;
        Some(format!("In the swarm: {}", error.message()))
    });
    left.collect()
}
