//! What a stack has in the swarm, and what it should have.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    super::{
        plan::{LiveService, LiveTask, WantedService},
        spec::{self, Make, Rendered, Scale},
        store,
        view::SeenService,
    },
    Failed, Worker, operation_error,
};
use crate::{
    hosts::{
        driver::{
            Docker, ErrorKind,
            swarm::{BlobKind, Service, Task},
        },
        labels,
    },
    stacks::{StackRow, Wanted},
};

/// What a pass works from.
pub(super) struct Seen {
    pub wanted: Vec<WantedService>,
    pub rendered: HashMap<String, Rendered>,
    pub live: Vec<LiveService>,
    /// The services in the engine's own words, by id.
    pub raw: HashMap<String, Service>,
}

/// The filter for all that is a stack's.
pub(super) fn of_stack(row: &StackRow) -> Vec<String> {
    vec![
        format!("{}={}", labels::STACK, row.id),
        format!("{}={}", labels::ENVIRONMENT, row.environment_id),
    ]
}

impl Worker {
    /// Looks. `make`: secrets and configs that are missing are made on the way, since what is
    /// wanted of services names them by their ids.
    pub(super) async fn look(
        &self,
        docker: &Docker,
        row: &StackRow,
        wanted: &Wanted,
        make: bool,
    ) -> Result<Seen, Failed> {
        let raw = docker.list_services(&of_stack(row)).await?;
        let ids: Vec<String> = raw.iter().map(|service| service.id.clone()).collect();
        let mut tasks: HashMap<String, Vec<Task>> = HashMap::new();
        if !ids.is_empty() {
            for task in docker.list_tasks("service", &ids).await? {
                tasks.entry(task.service_id.clone()).or_default().push(task);
            }
        }
        let blobs = self.blobs(docker, row, wanted, make).await?;
        let defaults = store::get(&self.app.db, row.environment_id).await.map_err(|error| {
            Failed { transient: true, error: operation_error("database", &error.to_string()) }
        })?;
        let mut rendered = HashMap::new();
        let mut all = Vec::new();
        for (name, service) in &wanted.project.services {
            let made = spec::render(&Make {
                stack: row,
                wanted,
                defaults: defaults.defaults,
                name,
                service,
                blobs: &blobs,
            });
            let scale = spec::scale(&wanted.project, name, service);
            all.push(WantedService {
                name: name.clone(),
                digest: made.digest.clone(),
                task_digest: made.task_digest.clone(),
                one_try: service.restart == Some(drover_compose::Restart::No)
                    && !matches!(scale, Scale::Global),
                scale,
            });
            rendered.insert(name.clone(), made);
        }
        let live = raw
            .iter()
            .map(|service| {
                live_service(row, service, tasks.remove(&service.id).unwrap_or_default())
            })
            .collect();
        let raw = raw.into_iter().map(|service| (service.id.clone(), service)).collect();
        Ok(Seen { wanted: all, rendered, live, raw })
    }

    /// The ids of the secrets and configs that a stack needs, by kind and name.
    async fn blobs(
        &self,
        docker: &Docker,
        row: &StackRow,
        wanted: &Wanted,
        make: bool,
    ) -> Result<HashMap<(BlobKind, String), String>, Failed> {
        let mut known = HashMap::new();
        if wanted.files.values().all(Vec::is_empty) {
            return Ok(known);
        }
        for kind in [BlobKind::Secret, BlobKind::Config] {
            for blob in docker.list_blobs(kind, &of_stack(row)).await? {
                known.insert((kind, blob.spec.name), blob.id);
            }
        }
        let labels: HashMap<String, String> = spec::stack_labels(row).into_iter().collect();
        for blob in spec::blobs(row, wanted) {
            let key = (blob.kind, blob.name);
            if known.contains_key(&key) || !make {
                continue;
            }
            let id = match docker.create_blob(key.0, &key.1, &labels, &blob.content).await {
                Ok(id) => id,
                // Another server, or this one before it was killed.
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    docker.find_blob(key.0, &key.1).await?.ok_or(error)?.id
                }
                Err(error) => return Err(error.into()),
            };
            known.insert(key, id);
        }
        for file in wanted.files.values().flatten() {
            let Some(name) = &file.own else { continue };
            let key = spec::blob_key(row, file);
            let what = if file.secret { "secret" } else { "config" };
            match docker.find_blob(key.0, name).await? {
                Some(found) => {
                    known.insert(key, found.id);
                }
                None => {
                    let why = format!(
                        "Neither the environment nor its swarm has a {what} `{name}`. Make it first."
                    );
                    return Err(Failed {
                        transient: false,
                        error: operation_error("secret_missing", &why),
                    });
                }
            }
        }
        Ok(known)
    }
}

fn live_service(row: &StackRow, service: &Service, mut tasks: Vec<Task>) -> LiveService {
    tasks.sort_by(|a, b| a.created_at.cmp(&b.created_at));
    let seen = SeenService::read(row.environment_id, service);
    let label = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    LiveService {
        id: service.id.clone(),
        name: service.label(labels::SERVICE).unwrap_or_default().to_owned(),
        digest: label(&service.spec["Labels"][labels::SPEC]),
        operation: service.label(labels::OPERATION).and_then(|id| id.parse().ok()),
        replicas: seen.replicas.filter(|_| !seen.is_job()).map(Into::into),
        desired: tasks.iter().filter(|task| task.desired_state == "running").count() as u32,
        job_iteration: seen.job_iteration.filter(|_| seen.is_job()),
        update: seen.update.as_ref().map(|update| update.state),
        update_message: seen.update.map(|update| update.message).unwrap_or_default(),
        tasks: {
            let mut names = super::super::view::Names::default();
            tasks
                .into_iter()
                .map(|task| {
                    let task = names.task(task);
                    LiveTask {
                        task_digest: task.task_digest.as_deref().unwrap_or_default().to_owned(),
                        state: task.state,
                        desired: task.desired,
                        error: task.error.map(Into::into),
                        exit_code: task.exit_code,
                        job_iteration: task.job_iteration,
                        id: task.id,
                    }
                })
                .collect()
        },
    }
}
