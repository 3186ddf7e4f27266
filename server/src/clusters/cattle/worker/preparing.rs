//! Images, networks and volumes that new containers need.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use drover_compose::{PullPolicy, Service};
use futures_util::{FutureExt, future::BoxFuture};
use uuid::Uuid;

use super::{
    super::{
        container,
        network::{Kind, names},
        plan::{Instance, Step},
    },
    Failed, Worker, a_few_at_once, operation_error, vanished,
};
use crate::{
    hosts::{
        self,
        driver::{Docker, DockerError, ErrorKind, models::NetworkCreateRequest},
        labels,
    },
    operations,
    stacks::{StackRow, Wanted},
};

impl Worker {
    /// Images, networks and volumes that the new containers need.
    pub(super) async fn prepare(
        &mut self,
        row: &StackRow,
        wanted: &Wanted,
        instances: &[Instance],
        steps: &[Step],
        operation: Option<&operations::OpenOperation>,
    ) -> Result<(), (String, Failed)> {
        let mut images = HashSet::new();
        let mut on_hosts: HashMap<Uuid, Vec<&Service>> = HashMap::new();
        for step in steps {
            let Step::Create { instance, .. } = step else { continue };
            let Some(instance) = instances.iter().find(|i| i.id == *instance) else { continue };
            let Some(service) = wanted.project.services.get(&instance.service) else { continue };
            images.insert((instance.host_id, service.image.clone(), instance.service.clone()));
            on_hosts.entry(instance.host_id).or_default().push(service);
        }
        let pull_all = operation.is_some_and(|open| open.input["pull"].as_bool() == Some(true));
        let this = &*self;
        let operation_id = operation.map(|open| open.id);
        let mut pulls: Vec<BoxFuture<'_, _>> = Vec::new();
        for (host, image, name) in images {
            let policy = wanted.project.services.get(&name).and_then(|s| s.pull_policy);
            let key = (host, image, operation_id.unwrap_or_default());
            let always = pull_all || policy == Some(PullPolicy::Always);
            let anew = always && !this.memory.pulled.contains(&key);
            let pull = async move {
                let done = this.image(row, host, &key.1, policy, anew, operation_id).await;
                done.map(|()| key).map_err(|failed| (name, failed))
            };
            pulls.push(pull.boxed());
        }
        let mut setting_up: Vec<BoxFuture<'_, _>> = Vec::new();
        for (host, services) in on_hosts {
            let work = async move { this.shared(row, wanted, host, &services).await };
            setting_up.push(work.boxed());
        }
        let (images, shared) = tokio::join!(a_few_at_once(pulls), a_few_at_once(setting_up));
        for image in images {
            self.memory.pulled.insert(image?);
        }
        shared.into_iter().collect::<Result<(), _>>().map_err(|failed| (String::new(), failed))
    }

    async fn image(
        &self,
        row: &StackRow,
        host: Uuid,
        image: &str,
        policy: Option<PullPolicy>,
        anew: bool,
        operation: Option<Uuid>,
    ) -> Result<(), Failed> {
        let docker = self.docker(row, host)?;
        let named = |error| self.failed(row, host, error);
        let there = docker.find_image(image).await.map_err(named)?.is_some();
        if there && !anew {
            return Ok(());
        }
        if policy == Some(PullPolicy::Never) {
            let why =
                format!("The image {image} is not on the host, and `pull_policy` is `never`.");
            return Err(self.failed(row, host, DockerError::new(ErrorKind::ImageNotFound, why)));
        }
        let auth =
            hosts::registry_auth(&self.app, row.environment_id, image).await.map_err(|error| {
                Failed {
                    transient: error.status().is_server_error(),
                    error: operation_error(error.code(), error.detail()),
                }
            })?;
        let (progress, mut told) = tokio::sync::watch::channel(String::new());
        let telling = async {
            loop {
                // Often enough to watch, seldom enough for the database.
                tokio::time::sleep(Duration::from_millis(500)).await;
                let Some(id) = operation else { return std::future::pending().await };
                let message = format!("Pulling {image}: {}", *told.borrow_and_update());
                let noted = operations::progress(&self.app, id, 0.0, &message).await;
                let open = operations::is_open(&self.app.db, id).await;
                match (noted, open) {
                    (Ok(()), Ok(false)) => return,
                    (Ok(()), Ok(true)) => {}
                    (Err(error), _) => tracing::debug!(%error, "cannot tell of a pull"),
                    (_, Err(error)) => tracing::debug!(%error, "cannot follow an operation"),
                }
            }
        };
        let pulling = docker.pull_image(image, auth.as_ref(), |at| {
            progress.send_replace(format!("{} ({:.0} %)", at.message, at.fraction * 100.0));
        });
        let pulled = tokio::select! {
            pulled = pulling => pulled,
            // The operation was cancelled, or a newer one wants something else.
            () = telling => return Err(vanished()),
        };
        if let Some(id) = operation
            && pulled.is_ok()
        {
            operations::log(&self.app, id, &format!("Pulled {image}.")).await.map_err(|error| {
                Failed { transient: true, error: operation_error(error.code(), error.detail()) }
            })?;
        }
        pulled.map_err(named)
    }

    /// The networks of these services on a host.
    pub(super) async fn networks(
        &self,
        row: &StackRow,
        wanted: &Wanted,
        host: Uuid,
        services: &[&Service],
    ) -> Result<(), Failed> {
        let named = |error| self.failed(row, host, error);
        let kind = self.reach.kind_on(host);
        let mut networks: Vec<&String> = services
            .iter()
            .filter(|service| service.network_mode.is_none())
            .flat_map(|service| service.networks.keys())
            .collect();
        networks.sort();
        networks.dedup();
        for name in networks {
            let Some(network) = wanted.project.networks.get(name) else { continue };
            let request = container::network(row, name, network, kind);
            let docker = self.network_maker(row, host, &request)?;
            let full = request.name.clone();
            let found = docker.find_network(&full).await.map_err(named)?;
            match found {
                Some(_) if network.external => {}
                Some(found) => {
                    let labels = found.labels.unwrap_or_default();
                    if labels::stack(row.environment_id, &labels) != Some(row.id) {
                        let why = format!(
                            "The host has a network {full} that is not this stack's. Remove it, or give the stack another name."
                        );
                        return Err(named(DockerError::new(ErrorKind::Conflict, why)));
                    }
                }
                None if network.external => {
                    let why = format!("There is no network {full} on the host.");
                    return Err(named(DockerError::new(ErrorKind::NotFound, why)));
                }
                None => make_network(&docker, request).await.map_err(named)?,
            }
        }
        let meets = |service: &&Service| names::meets_other_stacks(&wanted.project, service);
        if services.iter().any(meets) {
            let request = container::environment_network(row.environment_id, kind);
            let docker = self.network_maker(row, host, &request)?;
            if docker.find_network(&request.name).await.map_err(named)?.is_none() {
                // Another stack may make it at this moment, and the engine would make two.
                let maker = self.reach.manager.unwrap_or(host);
                let turn = self.app.cattle.turn(maker);
                let _turn = turn.lock().await;
                if docker.find_network(&request.name).await.map_err(named)?.is_none() {
                    make_network(&docker, request).await.map_err(named)?;
                }
            }
        }
        Ok(())
    }

    /// The engine that makes a network for a host: its own, or for one across hosts a manager's.
    fn network_maker(
        &self,
        row: &StackRow,
        host: Uuid,
        request: &NetworkCreateRequest,
    ) -> Result<Docker, Failed> {
        if request.driver.as_deref() != Some(Kind::Overlay.driver()) {
            return self.docker(row, host);
        }
        let reach = &self.reach;
        // A host that is not joined may be in a swarm of its own, and the text may ask for its
        // driver.
        match reach.manager.filter(|_| reach.joins(host)) {
            Some(manager) => self.docker(row, manager),
            None if reach.joins(host) => {
                let why = "No manager of the network across hosts is connected.";
                let error = DockerError::new(ErrorKind::HostUnreachable, why);
                Err(self.failed(row, host, error))
            }
            None => self.docker(row, host),
        }
    }

    /// The networks and volumes of these services on a host.
    async fn shared(
        &self,
        row: &StackRow,
        wanted: &Wanted,
        host: Uuid,
        services: &[&Service],
    ) -> Result<(), Failed> {
        let docker = self.docker(row, host)?;
        let named = |error| self.failed(row, host, error);
        self.networks(row, wanted, host, services).await?;
        let mut volumes: Vec<&String> = services
            .iter()
            .flat_map(|service| &service.volumes)
            .filter(|mount| mount.kind == drover_compose::MountKind::Volume)
            .filter_map(|mount| mount.source.as_ref())
            .collect();
        volumes.sort();
        volumes.dedup();
        for name in volumes {
            let Some(volume) = wanted.project.volumes.get(name) else { continue };
            let full = if volume.external && volume.name.is_none() {
                name.clone()
            } else {
                container::own_name(row, name, volume.name.as_deref())
            };
            match docker.find_volume(&full).await.map_err(named)? {
                Some(_) if volume.external => {}
                Some(found) if !is_own(row, &found.labels) => {
                    let why = format!(
                        "The host has a volume {full} that is not this stack's. Name it with `external: true` to use it, or give the stack another name."
                    );
                    return Err(named(DockerError::new(ErrorKind::Conflict, why)));
                }
                Some(_) => {}
                None if volume.external => {
                    let why = format!("There is no volume {full} on the host.");
                    return Err(named(DockerError::new(ErrorKind::NotFound, why)));
                }
                None => {
                    docker
                        .create_volume(container::volume(row, name, volume))
                        .await
                        .map_err(named)?;
                }
            }
        }
        Ok(())
    }
}

/// Makes a network; fine when another host's part of the work has made it in the same moment, as
/// can be with those across hosts.
async fn make_network(docker: &Docker, request: NetworkCreateRequest) -> hosts::driver::Result<()> {
    match docker.create_network(request).await {
        Err(error)
            if error.kind() == ErrorKind::Conflict
                || ["already exists", "name conflicts with an existing object"]
                    .iter()
                    .any(|said| error.message().contains(said)) =>
        {
            Ok(())
        }
        other => other.map(drop),
    }
}

/// A volume is the stack's own when this stack made it, or one of the same name in the same
/// environment that was removed with its volumes kept.
fn is_own(row: &StackRow, found: &HashMap<String, String>) -> bool {
    found.get(labels::ENVIRONMENT) == Some(&row.environment_id.to_string())
        && found.get(labels::STACK_NAME) == Some(&row.name)
}
