//! From a revision to what should run: variables and secrets filled in, scales applied, and for
//! each service the digest of all that its containers are made from.

use std::collections::BTreeMap;

use drover_compose::{FileSource, Project, Service};
use indexmap::IndexMap;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use super::model::{Revision, StackRow};
use crate::{
    app::App,
    clusters,
    error::{Error, Result},
    secrets,
};

/// What should run.
#[derive(Clone)]
pub struct Wanted {
    /// The project, with variables filled in and scales applied.
    pub project: Project,
    /// For each service, the digest of all that its containers are made from.
    pub specs: IndexMap<String, String>,
    /// For each service, the files to put into its containers.
    pub files: IndexMap<String, Vec<WantedFile>>,
    /// The values of the stack's secret variables, for who has to hide them.
    pub secrets: Vec<SecretString>,
}

/// A secret or config as a file.
#[derive(Clone)]
pub struct WantedFile {
    /// Its name in the text.
    pub source: String,
    /// It is a secret, and no config.
    pub secret: bool,
    /// It is one of the cluster's own, by this name; its content is not known here.
    pub own: Option<String>,
    /// Absolute path in the container.
    pub path: String,
    /// e.g. `0o444`
    pub mode: u32,
    /// The owner.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// What it holds.
    pub content: Vec<u8>,
}

/// The variables of a revision, secret ones opened.
pub(super) fn variables(app: &App, revision: &Revision) -> Result<IndexMap<String, String>> {
    let mut variables = revision.variables.clone();
    if let Some(sealed) = &revision.secret_variables {
        let plain = app.cipher.open(sealed).map_err(Error::internal)?;
        let secret: IndexMap<String, String> =
            serde_json::from_slice(&plain).map_err(Error::internal)?;
        variables.extend(secret);
    }
    Ok(variables)
}

impl Wanted {
    pub(super) async fn compile(app: &App, row: &StackRow, revision: &Revision) -> Result<Self> {
        let variables = variables(app, revision)?;
        let loaded = drover_compose::load(&revision.compose, &variables);
        let mut project = loaded.project.ok_or_else(|| {
            // It was checked when it was written; only a change of Drover's own rules gets here.
            let first = loaded.diagnostics.first().map_or("", |found| found.message.as_str());
            Error::conflict("compose_invalid", format!("The stack's text no longer fits: {first}"))
        })?;
        for (name, scale) in &row.scales {
            if let Some(service) = project.services.get_mut(name) {
                service.deploy.replicas = *scale;
            }
        }
        project.align_sidekicks();
        let external = external_values(app, row, &project).await?;
        let content = |source: &FileSource| match source {
            FileSource::Content(text) => text.clone().into_bytes(),
            FileSource::Environment(name) => {
                variables.get(name).cloned().unwrap_or_default().into_bytes()
            }
            FileSource::External(name) => external.get(name).cloned().unwrap_or_default(),
        };
        let mut files = IndexMap::new();
        let mut specs = IndexMap::new();
        for (name, service) in &project.services {
            let mounted: Vec<WantedFile> =
                service
                    .secrets
                    .iter()
                    .filter_map(|mount| Some((mount, true, project.secrets.get(&mount.source)?)))
                    .chain(service.configs.iter().filter_map(|mount| {
                        Some((mount, false, project.configs.get(&mount.source)?))
                    }))
                    .map(|(mount, secret, source)| WantedFile {
                        source: mount.source.clone(),
                        secret,
                        own: match source {
                            FileSource::External(name) if !external.contains_key(name) => {
                                Some(name.clone())
                            }
                            _ => None,
                        },
                        path: mount.target.clone(),
                        mode: mount.mode.unwrap_or(0o444),
                        uid: number(mount.uid.as_deref()),
                        gid: number(mount.gid.as_deref()),
                        content: content(source),
                    })
                    .collect();
            let generation = row.generations.get(name).copied().unwrap_or_default();
            specs.insert(name.clone(), digest(&project, service, &mounted, generation)?);
            files.insert(name.clone(), mounted);
        }
        let secrets = revision.secret_names.iter().filter_map(|name| variables.get(name));
        let secrets = secrets.map(|value| value.clone().into()).collect();
        Ok(Self { project, specs, files, secrets })
    }
}

fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

async fn external_values(
    app: &App,
    row: &StackRow,
    project: &Project,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut values = BTreeMap::new();
    for source in project.secrets.values().chain(project.configs.values()) {
        let FileSource::External(name) = source else { continue };
        match secrets::value(app, row.environment_id, name).await? {
            Some(value) => {
                values.insert(name.clone(), value);
            }
            None if clusters::of(app, row.cluster).has_own_secrets() => {}
            None => {
                return Err(Error::conflict(
                    "secret_missing",
                    format!("The environment has no secret `{name}`. Make it first."),
                ));
            }
        }
    }
    Ok(values)
}

/// The digest of all that a service's containers are made from. How many there are, where they
/// run and how they are changed is no part of it: changing that needs no new container.
fn digest(
    project: &Project,
    service: &Service,
    files: &[WantedFile],
    generation: u32,
) -> Result<String> {
    let mut own = service.clone();
    own.deploy = drover_compose::Deploy {
        limits: service.deploy.limits.clone(),
        reservations: service.deploy.reservations.clone(),
        labels: service.deploy.labels.clone(),
        ..Default::default()
    };
    own.depends_on.clear();
    own.health = None;
    let networks: Vec<_> = service.networks.keys().map(|name| project.networks.get(name)).collect();
    let volumes: Vec<_> = service
        .volumes
        .iter()
        .map(|mount| mount.source.as_ref().and_then(|name| project.volumes.get(name)))
        .collect();
    let mut hash = Sha256::new();
    let described = serde_json::to_vec(&(&own, networks, volumes, generation));
    hash.update(described.map_err(Error::internal)?);
    for file in files {
        hash.update(file.path.as_bytes());
        hash.update([0]);
        hash.update(file.mode.to_le_bytes());
        hash.update(file.uid.to_le_bytes());
        hash.update(file.gid.to_le_bytes());
        hash.update((file.content.len() as u64).to_le_bytes());
        hash.update(&file.content);
    }
    Ok(hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect())
}
