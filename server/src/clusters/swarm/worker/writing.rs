//! Taking the steps that the plan names.

use std::{collections::HashSet, time::Duration};

use drover_compose::PullPolicy;

use super::{
    super::{plan::Step, spec},
    Failed, Worker,
    looking::{Seen, of_stack},
};
use crate::{
    hosts::{
        self,
        driver::{
            Docker, DockerError, ErrorKind,
            swarm::{BlobKind, Service},
        },
        labels,
    },
    operations::{self, OpenOperation},
    stacks::{StackRow, Wanted},
};

/// How long a registry may take to tell a digest.
const DIGEST: Duration = Duration::from_secs(10);

impl Worker {
    /// Answers the service that it failed at, empty for the stack as a whole.
    pub(super) async fn take_steps(
        &mut self,
        docker: &Docker,
        row: &StackRow,
        wanted: &Wanted,
        seen: &Seen,
        steps: &[Step],
        operation: Option<&OpenOperation>,
    ) -> Result<(), (String, Failed)> {
        let whole = |failed: Failed| (String::new(), failed);
        if steps.iter().any(|step| !matches!(step, Step::Remove(_))) {
            self.networks(docker, row, wanted).await.map_err(whole)?;
        }
        for step in steps {
            match step {
                Step::Remove(id) => {
                    docker.remove_service(id).await.map_err(|error| whole(error.into()))?;
                }
                Step::Create(name) => {
                    self.write(docker, row, wanted, seen, name, None, operation)
                        .await
                        .map_err(|failed| (name.clone(), failed))?;
                }
                Step::Update { id, name } => {
                    let Some(live) = seen.raw.get(id) else { continue };
                    self.write(docker, row, wanted, seen, name, Some(live), operation)
                        .await
                        .map_err(|failed| (name.clone(), failed))?;
                }
            }
        }
        Ok(())
    }

    /// The networks that the project's services name.
    async fn networks(
        &self,
        docker: &Docker,
        row: &StackRow,
        wanted: &Wanted,
    ) -> Result<(), Failed> {
        let used: HashSet<&String> = wanted
            .project
            .services
            .values()
            .filter(|service| service.network_mode.is_none())
            .flat_map(|service| service.networks.keys())
            .collect();
        for (name, network) in wanted.project.networks.iter().filter(|(n, _)| used.contains(n)) {
            let (full, request) = spec::network(row, name, network);
            let found = docker.find_network(&full).await?;
            match (found, request) {
                (Some(_), None) => {}
                (Some(found), Some(_)) => {
                    let labels = found.labels.unwrap_or_default();
                    if labels::stack(row.environment_id, &labels) != Some(row.id) {
                        let why = format!(
                            "The swarm has a network {full} that is not this stack's. Remove it, or give the stack another name."
                        );
                        return Err(DockerError::new(ErrorKind::Conflict, why).into());
                    }
                }
                (None, None) => {
                    let why = format!("There is no network {full} in the swarm.");
                    return Err(DockerError::new(ErrorKind::NotFound, why).into());
                }
                (None, Some(request)) => {
                    docker.create_network(request).await?;
                }
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "each is a part of one pass")]
    async fn write(
        &mut self,
        docker: &Docker,
        row: &StackRow,
        wanted: &Wanted,
        seen: &Seen,
        name: &str,
        live: Option<&Service>,
        operation: Option<&OpenOperation>,
    ) -> Result<(), Failed> {
        let (Some(service), Some(rendered)) =
            (wanted.project.services.get(name), seen.rendered.get(name))
        else {
            return Ok(());
        };
        let auth = hosts::registry_auth(&self.app, row.environment_id, &service.image).await?;
        let image = self.pinned(docker, service, live, auth.as_ref(), operation).await?;
        // The containers' mark of the revision changes only with the containers.
        let before = live.map(|live| &live.spec["TaskTemplate"]["ContainerSpec"]["Labels"]);
        let same = before.filter(|labels| labels[labels::SPEC] == rendered.task_digest.as_str());
        let revision = same
            .and_then(|labels| labels[labels::REVISION].as_str())
            .map_or_else(|| row.revision.to_string(), str::to_owned);
        let by = match operation {
            Some(open) => Some(open.id.to_string()),
            None => live.and_then(|live| live.label(labels::OPERATION)).map(str::to_owned),
        };
        let marked = spec::mark(
            spec::Rendered {
                spec: rendered.spec.clone(),
                digest: rendered.digest.clone(),
                task_digest: rendered.task_digest.clone(),
            },
            row,
            &revision,
            by.as_deref(),
            &image,
        );
        let Some(live) = live else {
            let made = docker.create_service(&marked, auth.as_ref()).await;
            return match made {
                Ok(_) => Ok(()),
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    self.whose(docker, row, name, error).await
                }
                Err(error) => Err(error.into()),
            };
        };
        docker.update_service(&live.id, live.version.index, &marked, auth.as_ref()).await?;
        Ok(())
    }

    /// A service's name is taken: by this stack itself, when a server was killed meanwhile or two
    /// work at once; or by somebody else.
    async fn whose(
        &self,
        docker: &Docker,
        row: &StackRow,
        name: &str,
        error: DockerError,
    ) -> Result<(), Failed> {
        let full = spec::service_name(row, name);
        let Some(found) = docker.find_service(&full).await? else { return Err(error.into()) };
        if found.label(labels::STACK) == Some(&row.id.to_string()) {
            return Ok(());
        }
        let why = format!(
            "The swarm has a service {full} that is not this stack's. Remove it, or give the stack another name."
        );
        Err(DockerError::new(ErrorKind::Conflict, why).into())
    }

    /// The image with its digest, so that every node runs the same: the one that runs already, or
    /// the one that the registry has now.
    async fn pinned(
        &mut self,
        docker: &Docker,
        service: &drover_compose::Service,
        live: Option<&Service>,
        auth: Option<&hosts::driver::RegistryAuth>,
        operation: Option<&OpenOperation>,
    ) -> Result<String, Failed> {
        let asked = &service.image;
        if asked.contains('@') || service.pull_policy == Some(PullPolicy::Never) {
            return Ok(asked.clone());
        }
        let pull = operation.is_some_and(|open| open.input["pull"].as_bool() == Some(true))
            || service.pull_policy == Some(PullPolicy::Always);
        let running = live
            .filter(|live| live.label(spec::IMAGE) == Some(asked))
            .and_then(|live| live.spec["TaskTemplate"]["ContainerSpec"]["Image"].as_str());
        if let Some(running) = running.filter(|_| !pull) {
            return Ok(running.to_owned());
        }
        let key = (operation.map(|open| open.id).unwrap_or_default(), asked.clone());
        if let Some(known) = self.memory.digests.get(&key) {
            return Ok(known.clone());
        }
        let looked_up = tokio::time::timeout(DIGEST, docker.image_digest(asked, auth)).await;
        let pinned = match looked_up {
            Ok(Ok(digest)) => format!("{}@{digest}", with_tag(asked)),
            // As `docker stack deploy` does: an image may be on the nodes without a registry.
            failed => {
                let why = match failed {
                    Ok(Err(error)) => error.message().to_owned(),
                    _ => "Its registry does not answer.".to_owned(),
                };
                if let Some(open) = operation {
                    let line = format!(
                        "The digest of {asked} cannot be looked up, so each node uses what it has or gets. {why}"
                    );
                    operations::log(&self.app, open.id, &line).await?;
                }
                asked.clone()
            }
        };
        self.memory.digests.insert(key, pinned.clone());
        Ok(pinned)
    }

    /// Removes the networks, secrets and configs that the stack no longer needs; true when none is
    /// left. One that is still in use goes another time.
    pub(super) async fn prune(&self, docker: &Docker, row: &StackRow, wanted: &Wanted) -> bool {
        let mut clean = true;
        let keys: HashSet<(BlobKind, String)> =
            wanted.files.values().flatten().map(|file| spec::blob_key(row, file)).collect();
        for kind in [BlobKind::Secret, BlobKind::Config] {
            for blob in docker.list_blobs(kind, &of_stack(row)).await.unwrap_or_default() {
                if !keys.contains(&(kind, blob.spec.name)) {
                    clean &= docker.remove_blob(kind, &blob.id).await.is_ok();
                }
            }
        }
        let names: HashSet<String> = wanted
            .project
            .networks
            .iter()
            .map(|(name, network)| spec::network(row, name, network).0)
            .collect();
        for network in docker.list_networks().await.unwrap_or_default() {
            let (Some(id), Some(name)) = (network.id, network.name) else { continue };
            let own = labels::stack(row.environment_id, &network.labels.unwrap_or_default());
            if own == Some(row.id) && !names.contains(&name) {
                clean &= docker.remove_network(&id).await.is_ok();
            }
        }
        clean
    }
}

/// A digest stands behind a tag, `latest` when none is given.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') { image.to_owned() } else { format!("{image}:latest") }
}
