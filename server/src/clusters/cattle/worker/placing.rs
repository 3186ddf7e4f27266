//! Which containers there should be, and on which hosts.

use std::collections::HashMap;

use drover_api::{HostMode, HostState};
use drover_compose::Service;
use indexmap::IndexMap;
use uuid::Uuid;

use super::{
    super::{
        place::{self, Candidate, Unplaced},
        plan::Instance,
        store,
    },
    Worker,
};
use crate::{
    error::Result,
    stacks::{StackRow, Wanted},
};

/// Why a host takes no new containers while it is drained.
const DRAINING: &str = "it is being drained";

impl Worker {
    /// Makes the rows of instances what they should be, and returns them; with them, the first
    /// service that goes nowhere, now or later, unless a person changes something.
    pub(super) async fn place_instances(
        &self,
        row: &StackRow,
        wanted: &Wanted,
        problems: &mut IndexMap<String, String>,
    ) -> Result<(Vec<Instance>, Option<(String, Unplaced)>)> {
        let mut hopeless = None;
        let mut instances = store::instances(&self.app.db, row.id).await?;
        let candidates = self.candidates(row).await?;
        let extra: Vec<Uuid> = instances
            .iter()
            .filter(|instance| !self.belongs(instance, wanted, &candidates, problems))
            .map(|instance| instance.id)
            .collect();
        if !extra.is_empty() {
            store::remove(&self.app.db, &extra).await?;
            instances.retain(|instance| !extra.contains(&instance.id));
        }
        for (name, service) in &wanted.project.services {
            let missing: Vec<(i32, Option<Uuid>)> = if service.deploy.global {
                let hosts = place::matching(service, &candidates).filter(|host| {
                    !instances.iter().any(|i| i.service == *name && i.host_id == host.id)
                });
                let free =
                    |n: &i32| !instances.iter().any(|i| i.service == *name && i.ordinal == *n);
                (1..).filter(free).zip(hosts.map(|host| Some(host.id))).collect()
            } else {
                (1..=service.deploy.replicas as i32)
                    .filter(|n| !instances.iter().any(|i| i.service == *name && i.ordinal == *n))
                    .map(|ordinal| (ordinal, None))
                    .collect()
            };
            for (ordinal, host) in missing {
                let placed = match host {
                    Some(host) => Ok(host),
                    None => place::place(&wanted.project, name, service, &instances, &candidates),
                };
                match placed {
                    Ok(host) => instances
                        .extend(store::add(&self.app.db, row.id, name, ordinal, host).await?),
                    Err(unplaced) => {
                        problems.insert(name.clone(), unplaced.why.clone());
                        if !unplaced.may_pass {
                            hopeless.get_or_insert((name.clone(), unplaced));
                        }
                    }
                }
            }
        }
        Ok((instances, hopeless))
    }

    /// Whether an instance is still wanted where it is.
    fn belongs(
        &self,
        instance: &Instance,
        wanted: &Wanted,
        hosts: &[Candidate],
        problems: &mut IndexMap<String, String>,
    ) -> bool {
        let Some(service) = wanted.project.services.get(&instance.service) else { return false };
        if !service.deploy.global && instance.ordinal > service.deploy.replicas as i32 {
            return false;
        }
        let Some(host) = hosts.iter().find(|host| host.id == instance.host_id) else {
            return false;
        };
        let draining = host.closed.as_deref() == Some(DRAINING);
        if draining && has_local_data(service) {
            let why = format!(
                "Its volumes are on {}, which is being drained: move the data, or end the drain.",
                host.name
            );
            problems.insert(instance.service.clone(), why);
            return true;
        }
        !draining
    }

    async fn candidates(&self, row: &StackRow) -> Result<Vec<Candidate>> {
        let load: HashMap<Uuid, i64> =
            store::load(&self.app.db, row.environment_id).await?.into_iter().collect();
        let live = self.app.hosts.in_environment(row.environment_id);
        Ok(live
            .into_iter()
            .map(|host| {
                let host_row = host.row();
                let (closed, away) = match (host_row.mode, host.state()) {
                    (HostMode::Draining, _) => (Some(DRAINING), false),
                    (_, HostState::Active) => (None, false),
                    (HostMode::Inactive, _) => (Some("it is inactive"), false),
                    _ => (Some("it is not connected"), true),
                };
                let facts = host_row.facts.as_ref();
                let taken_ports = self
                    .app
                    .hosts
                    .index()
                    .of_host(row.environment_id, host.id)
                    .iter()
                    .filter(|entry| {
                        entry.owner.as_ref().is_none_or(|owner| owner.stack_id != row.id)
                    })
                    .flat_map(|entry| entry.to_api().ports)
                    .filter_map(|port| Some((port.host_port?, port.protocol)))
                    .collect();
                Candidate {
                    id: host.id,
                    name: host_row.name.clone(),
                    hostname: facts.map_or(String::new(), |facts| facts.hostname.clone()),
                    architecture: facts.map_or(String::new(), |facts| facts.architecture.clone()),
                    labels: host_row.labels.clone(),
                    closed: closed.map(str::to_owned),
                    away,
                    load: load.get(&host.id).copied().unwrap_or_default(),
                    taken_ports,
                }
            })
            .collect())
    }
}

fn has_local_data(service: &Service) -> bool {
    service
        .volumes
        .iter()
        .any(|mount| mount.kind == drover_compose::MountKind::Volume && mount.source.is_some())
}
