//! Taking the steps that the plan names.

use std::time::{Duration, Instant};

use drover_api::{ContainerState, Health, OperationError};
use futures_util::{FutureExt, future::BoxFuture};
use indexmap::IndexMap;

use super::{
    super::{
        container::{self, Make},
        network::Kind,
        plan::{Instance, Seen, Step},
    },
    Failed, Next, Worker, a_few_at_once,
    ending::remove_container,
    operation_error, rolls_back, vanished, work,
};
use crate::{
    error::Result,
    hosts::{
        self,
        driver::{ContainerFile, Docker, DockerError, ErrorKind, models::NetworkConnectRequest},
        labels,
    },
    operations,
    stacks::{StackRow, Wanted},
};

/// How often a rollout asks a registry that cannot be reached once more.
const REGISTRY_TRIES: u32 = 2;

impl Worker {
    #[expect(clippy::too_many_arguments, reason = "each is a part of one pass")]
    pub(super) async fn take_steps(
        &mut self,
        row: &StackRow,
        wanted: &Wanted,
        instances: &[Instance],
        seen: &[Seen],
        steps: &[Step],
        operation: Option<&operations::OpenOperation>,
        mut problems: IndexMap<String, String>,
    ) -> Result<Next> {
        let prepared = self.prepare(row, wanted, instances, steps, operation).await;
        let results: Vec<(String, Result<Done, Failed>)> = match prepared {
            Err((service, failed)) => vec![(service, Err(failed))],
            Ok(()) => {
                let this = &*self;
                let mut work: Vec<BoxFuture<'_, _>> = Vec::new();
                for step in steps {
                    let service = service_of(step, instances, seen);
                    let taking = this.take(row, wanted, instances, seen, step);
                    work.push(taking.map(|done| (service, done)).boxed());
                }
                a_few_at_once(work).await
            }
        };
        let mut worst: Option<(String, Failed)> = None;
        for (service, result) in results {
            match result {
                Ok(done) => self.remember(done),
                Err(failed) => {
                    problems.insert(service.clone(), failed.error.message.clone());
                    if worst.as_ref().is_none_or(|(_, known)| known.transient) {
                        worst = Some((service, failed));
                    }
                }
            }
        }
        work::tell_problems(&self.app, row, &problems).await?;
        let Some((service, failed)) = worst else {
            self.memory.failures = 0;
            return Ok(Next::Again);
        };
        if let Some(open) = operation {
            // A registry that cannot be reached is more often a wrong name than a short outage.
            let hopeless = failed.error.code == ErrorKind::RegistryUnreachable.code()
                && self.memory.failures >= REGISTRY_TRIES;
            if failed.transient && !hopeless {
                operations::progress(&self.app, open.id, 0.0, &failed.error.message).await?;
            } else {
                self.memory.failures = 0;
                let roll_back = rolls_back(wanted, &service);
                let service = Some(service).filter(|service| !service.is_empty());
                let error = OperationError { service, ..failed.error };
                work::give_up(&self.app, row, open, error, roll_back).await?;
                return Ok(Next::Again);
            }
        }
        self.memory.failures = (self.memory.failures + 1).min(6);
        let rest = Duration::from_millis(500 << self.memory.failures);
        self.memory.not_before = Some(Instant::now() + rest);
        Ok(Next::Wait(rest))
    }

    async fn take(
        &self,
        row: &StackRow,
        wanted: &Wanted,
        instances: &[Instance],
        seen: &[Seen],
        step: &Step,
    ) -> Result<Done, Failed> {
        match step {
            Step::Create { instance, aside } => {
                let instance = instances.iter().find(|i| i.id == *instance).ok_or_else(vanished)?;
                let docker = self.docker(row, instance.host_id)?;
                let named = |error| self.failed(row, instance.host_id, error);
                let make = self.make(row, wanted, instance, instances, seen)?;
                let mut name = container::name(row, &instance.service, instance.ordinal);
                if let Some(old) = aside.as_ref().and_then(|id| seen.iter().find(|s| s.id == *id))
                    && old.name == name
                {
                    let short = |text: &str| text.chars().take(8).collect::<String>();
                    if make.kind == Kind::Bridge {
                        let aside = format!("{name}-old-{}", short(&old.id));
                        docker.rename_container(&old.id, &aside).await.map_err(named)?;
                    } else {
                        // Docker Engine 20.10 cannot rename what runs in an overlay network: it
                        // says that the entry there exists already, and loses the name in DNS.
                        name = format!("{name}-{}", short(make.spec));
                    }
                }
                let id = self.create(&docker, &make, &name).await.map_err(named)?;
                self.finish_and_start(&docker, &make, wanted, &id).await.map_err(named)?;
                Ok(Done::Running(fresh(&id, row, instance, make.spec)))
            }
            Step::Start { container, instance } => {
                let instance = instances.iter().find(|i| i.id == *instance).ok_or_else(vanished)?;
                let docker = self.docker(row, instance.host_id)?;
                let known = seen.iter().find(|s| s.id == *container).ok_or_else(vanished)?;
                let make = self.make(row, wanted, instance, instances, seen)?;
                let started = if known.state == ContainerState::Created {
                    // A server that was killed may have left it half made.
                    let started = self.finish_and_start(&docker, &make, wanted, container).await;
                    let lacks =
                        |error: &DockerError| error.is_not_found() || error.misses_network();
                    if started.as_ref().is_err_and(lacks) {
                        // Nor has it ever run: it is made anew, with all that it needs.
                        let removed = remove_container(&docker, container).await;
                        removed.map_err(|error| self.failed(row, instance.host_id, error))?;
                        return Ok(Done::Removed(container.clone()));
                    }
                    started
                } else {
                    docker.start_container(container).await
                };
                started.map_err(|error| self.failed(row, instance.host_id, error))?;
                let spec = known.spec.clone();
                Ok(Done::Running(Seen {
                    spec,
                    exit_code: Some(0),
                    ..fresh(container, row, instance, "")
                }))
            }
            Step::Remove { container } => {
                let known = seen.iter().find(|s| s.id == *container).ok_or_else(vanished)?;
                let docker = self.docker(row, known.host_id)?;
                remove_container(&docker, container)
                    .await
                    .map_err(|error| self.failed(row, known.host_id, error))?;
                Ok(Done::Removed(container.clone()))
            }
        }
    }

    fn make<'a>(
        &self,
        row: &'a StackRow,
        wanted: &'a Wanted,
        instance: &'a Instance,
        instances: &[Instance],
        seen: &[Seen],
    ) -> Result<Make<'a>, Failed> {
        let service = wanted.project.services.get(&instance.service).ok_or_else(vanished)?;
        let shared = service.network_mode.as_deref().and_then(|mode| mode.strip_prefix("service:"));
        let shares_network_of = shared.and_then(|name| {
            let other = instances
                .iter()
                .find(|i| i.service == name && i.ordinal == instance.ordinal)
                .or_else(|| instances.iter().find(|i| i.service == name))?;
            // While it moves, there are two of them.
            seen.iter()
                .find(|s| s.instance == Some(other.id) && s.host_id == instance.host_id)
                .map(|s| s.id.clone())
        });
        if let (Some(name), None) = (shared, &shares_network_of) {
            let why = format!("It waits for `{name}`, whose network it is in.");
            let error = operation_error("changed_meanwhile", &why);
            return Err(Failed { error, transient: true });
        }
        let awaited = wanted.project.services.values().any(|other| {
            other.depends_on.get(&instance.service).is_some_and(|dependency| {
                dependency.condition == drover_compose::DependencyCondition::Completed
            })
        });
        Ok(Make {
            stack: row,
            project: &wanted.project,
            service_name: &instance.service,
            service,
            spec: wanted.specs.get(&instance.service).map_or("", String::as_str),
            instance: instance.id,
            shares_network_of,
            awaited,
            kind: self.reach.kind_on(instance.host_id),
        })
    }

    /// Makes the container, or finds the one that was made before.
    async fn create(
        &self,
        docker: &Docker,
        make: &Make<'_>,
        name: &str,
    ) -> hosts::driver::Result<String> {
        let made = docker.create_container(name, container::create_body(make)).await;
        let Err(error) = made else { return made };
        if error.kind() != ErrorKind::Conflict {
            return Err(error);
        }
        let Ok(found) = docker.inspect_container(name).await else { return Err(error) };
        let found_labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        let id = found.id.unwrap_or_default();
        let own = |key: &str, value: String| found_labels.get(key) == Some(&value);
        if !own(labels::STACK, make.stack.id.to_string())
            && labels::stack(make.stack.environment_id, &found_labels)
                .is_none_or(|id| id != make.stack.id)
        {
            let why = format!(
                "The host has a container {name} that is not this stack's. Remove it, or give the stack another name."
            );
            return Err(DockerError::new(ErrorKind::Conflict, why));
        }
        if own(labels::INSTANCE, make.instance.to_string())
            && own(labels::SPEC, make.spec.to_owned())
        {
            return Ok(id);
        }
        // A left-over of this stack's: an instance that is no longer wanted.
        remove_container(docker, &id).await?;
        docker.create_container(name, container::create_body(make)).await
    }

    /// The other networks, the files, and off it goes.
    async fn finish_and_start(
        &self,
        docker: &Docker,
        make: &Make<'_>,
        wanted: &Wanted,
        id: &str,
    ) -> hosts::driver::Result<()> {
        for (network, settings) in container::endpoints(make).into_iter().skip(1) {
            let request =
                NetworkConnectRequest { container: id.to_owned(), endpoint_config: Some(settings) };
            match docker.connect_network(&network, request).await {
                // It is in it already: the server was killed in between.
                Err(error)
                    if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Refused)
                        && error.message().contains("already") => {}
                other => other?,
            }
        }
        let files: Vec<ContainerFile> = wanted
            .files
            .get(make.service_name)
            .into_iter()
            .flatten()
            .map(|file| ContainerFile {
                path: file.path.clone(),
                mode: file.mode,
                uid: file.uid,
                gid: file.gid,
                content: file.content.clone(),
            })
            .collect();
        if !files.is_empty() {
            docker.put_files(id, &files).await?;
        }
        docker.start_container(id).await
    }
}

/// What a step has led to.
pub(super) enum Done {
    /// A container that runs; with an exit code, one that had ended before.
    Running(Seen),
    Removed(String),
}

fn fresh(id: &str, row: &StackRow, instance: &Instance, spec: &str) -> Seen {
    Seen {
        id: id.to_owned(),
        name: container::name(row, &instance.service, instance.ordinal),
        host_id: instance.host_id,
        service: instance.service.clone(),
        instance: Some(instance.id),
        spec: spec.to_owned(),
        state: ContainerState::Running,
        // Until the index knows better: one with a health check must not count as ready.
        health: Some(Health::Starting),
        exit_code: None,
        steady: false,
        watched: false,
        networks: None,
    }
}

fn service_of(step: &Step, instances: &[Instance], seen: &[Seen]) -> String {
    let id = match step {
        Step::Create { instance, .. } | Step::Start { instance, .. } => Some(*instance),
        Step::Remove { container } => {
            seen.iter().find(|s| s.id == *container).and_then(|s| s.instance)
        }
    };
    id.and_then(|id| instances.iter().find(|i| i.id == id))
        .map_or(String::new(), |instance| instance.service.clone())
}
