//! What a stack has in its cluster, and what it should have.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use drover_compose::Project;
use drover_kubernetes::{
    discovery::{Discovery, ResourceType},
    objects::is_path_segment,
    render::{self, File, Registry, names},
    standing::{self, Goal, Standing},
};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{
    super::{
        api::{Api, Part},
        place::{Place, refused},
        plan::{self, There},
        store::{self, Reference},
    },
    Failed, OpenOperation, Worker, operation_error,
};
use crate::{
    hosts,
    stacks::{StackRow, Wanted},
};

/// The domain of a cluster's names, where nobody has chosen another one.
const DOMAIN: &str = "cluster.local";

/// What a pass works from.
pub(super) struct Seen {
    pub namespace: String,
    pub wanted: Vec<plan::Wanted>,
    pub there: HashMap<Reference, There>,
    /// What the stack has applied, and has not let go of.
    pub applied: Vec<Reference>,
    pub standings: HashMap<String, Standing>,
    /// How many pods there are, also such as are ending.
    pub pods: usize,
    pub types: Types,
}

/// The resource types of a stack's objects, by `apiVersion` and kind.
pub(super) type Types = HashMap<(String, String), Arc<ResourceType>>;

/// The type of an object.
pub(super) fn type_of<'a>(types: &'a Types, of: &Reference) -> Option<&'a Arc<ResourceType>> {
    types.get(&(of.api_version.clone(), of.kind.clone()))
}

/// What finds all that is a stack's.
pub(super) fn selector(row: &StackRow) -> String {
    format!("{}={},{}={}", names::STACK, row.id, names::ENVIRONMENT, row.environment_id)
}

fn database(error: sqlx::Error) -> Failed {
    Failed { transient: true, error: operation_error("database", &error.to_string()) }
}

impl Worker {
    /// Looks. `stopped`: nothing of it is to run.
    pub(super) async fn look(
        &self,
        api: &Api<'_>,
        place: &Place,
        row: &StackRow,
        wanted: &Wanted,
        operation: Option<&OpenOperation>,
        stopped: bool,
    ) -> Result<Seen, Failed> {
        let before = store::find(&self.app.db, row.id).await.map_err(database)?;
        let known = before.as_ref().map(|row| row.namespace.as_str());
        let namespace = place.namespace(Some(&wanted.project), known, &row.name)?;
        let asked = operation.is_some_and(|open| open.input["pull"].as_bool() == Some(true));
        let (salt, pull, mut applied) = match before {
            Some(row) => (row.salt, row.pull || asked, row.applied),
            None => (rand::random::<[u8; 16]>().to_vec(), asked, Vec::new()),
        };
        store::settle(&self.app.db, row.id, &namespace, &salt, asked).await.map_err(database)?;
        let files = files(wanted);
        let registries = self.registries(row, &wanted.project).await?;
        let objects = render::render(
            &render::Stack {
                id: row.id,
                environment: row.environment_id,
                name: &row.name,
                revision: row.revision,
                namespace: &namespace,
                domain: DOMAIN,
                generations: &row.generations,
                stopped,
                pull,
                salt: &salt,
                secrets: &wanted.secrets,
                registries: &registries,
                files: &files,
            },
            &wanted.project,
        )
        .map_err(|error| Failed {
            transient: false,
            error: operation_error("too_large", &error.to_string()),
        })?;
        let types = self.types(place, &objects, &applied).await?;
        let mut all = Vec::new();
        for mut object in objects {
            let mut reference = Reference {
                api_version: object.api_version().to_owned(),
                kind: object.kind().to_owned(),
                namespace: None,
                name: object.name().to_owned(),
            };
            let Some(of) = type_of(&types, &reference) else { continue };
            if !is_path_segment(&reference.name) {
                let why = format!("`{}` is no name of a {}.", reference.name, reference.kind);
                let error = operation_error("bad_name", &why);
                return Err(Failed { transient: false, error });
            }
            if of.namespaced {
                let own = object.namespace().unwrap_or(&namespace).to_owned();
                if !place.has(&own) {
                    return Err(refused(&format!(
                        "{} names the namespace {own}, which is not the environment's.",
                        reference.words()
                    )));
                }
                object.value["metadata"]["namespace"] = own.as_str().into();
                reference.namespace = Some(own);
            }
            all.push(plan::Wanted { reference, object });
        }
        let mut there = HashMap::new();
        let mut workloads = HashMap::new();
        let lists: BTreeSet<(String, String, Option<String>)> = all
            .iter()
            .map(|wanted| &wanted.reference)
            .chain(&applied)
            .map(|of| (of.api_version.clone(), of.kind.clone(), of.namespace.clone()))
            .collect();
        let own = selector(row);
        for (api_version, kind, namespace) in lists {
            let Some(of) = types.get(&(api_version.clone(), kind.clone())) else { continue };
            let whole = is_watched(&kind);
            let part = if whole { Part::Whole } else { Part::Metadata };
            let found = match api.list(of, namespace.as_deref(), &own, part).await {
                Ok(found) => found,
                // A type that is there no more has no objects.
                Err(failure) if failure.is_not_found() => continue,
                Err(failure) => return Err(failure.into()),
            };
            for object in found {
                let reference = Reference {
                    api_version: api_version.clone(),
                    kind: kind.clone(),
                    namespace: namespace.clone(),
                    name: text(&object["metadata"]["name"]),
                };
                there.insert(reference.clone(), there_of(&object));
                if whole {
                    workloads.insert(reference, object);
                }
            }
        }
        // What is gone, and not wanted, is nothing to remember.
        let kept = applied.len();
        applied.retain(|of| there.contains_key(of) || all.iter().any(|w| w.reference == *of));
        if applied.len() != kept {
            store::set_applied(&self.app.db, row.id, &applied).await.map_err(database)?;
        }
        let mut pods = Vec::new();
        if let Some(of) = types.get(&("v1".to_owned(), "Pod".to_owned())) {
            let spaces: BTreeSet<Option<&String>> =
                all.iter().map(|wanted| wanted.reference.namespace.as_ref()).collect();
            for space in spaces.into_iter().flatten() {
                pods.extend(api.list(of, Some(space), &own, Part::Whole).await?);
            }
        }
        let mut standings = HashMap::new();
        for wanted_object in &all {
            let Some(service) = &wanted_object.object.service else { continue };
            if let Some(workload) = workloads.get(&wanted_object.reference) {
                let pods: Vec<&Value> = pods_of(&pods, service).collect();
                let goal = goal(&wanted.project, service);
                standings.insert(service.clone(), standing::of(workload, &pods, goal));
            }
        }
        let pods = pods.len();
        Ok(Seen { pods, namespace, wanted: all, there, applied, standings, types })
    }

    /// The types of what is wanted and of what was applied.
    async fn types(
        &self,
        place: &Place,
        objects: &[render::Object],
        applied: &[Reference],
    ) -> Result<Types, Failed> {
        let mut discovery = self.discovery(place, false).await?;
        let missing = |discovery: &Discovery| {
            objects
                .iter()
                .find(|object| discovery.of_kind(object.api_version(), object.kind()).is_none())
        };
        if missing(&discovery).is_some() {
            discovery = self.discovery(place, true).await?;
        }
        if let Some(object) = missing(&discovery) {
            let why = format!(
                "The cluster knows no {} of {} (line {}). Is what defines it installed?",
                object.kind(),
                object.api_version(),
                object.line
            );
            return Err(Failed { transient: false, error: operation_error("unknown_kind", &why) });
        }
        let wanted = objects.iter().map(|object| (object.api_version(), object.kind()));
        let known = applied.iter().map(|of| (of.api_version.as_str(), of.kind.as_str()));
        let always = [("v1", "Pod"), ("v1", "Service"), ("v1", "PersistentVolumeClaim")];
        let types = wanted.chain(known).chain(always).filter_map(|(api_version, kind)| {
            let found = discovery.of_kind(api_version, kind)?;
            // In the version that the object is written in.
            let version = api_version.rsplit('/').next().unwrap_or(api_version);
            let found = if found.version == version {
                found.clone()
            } else {
                Arc::new(ResourceType { version: version.to_owned(), ..ResourceType::clone(found) })
            };
            Some(((api_version.to_owned(), kind.to_owned()), found))
        });
        Ok(types.collect())
    }

    /// The credentials of the registries that the project's images come from.
    async fn registries(&self, row: &StackRow, project: &Project) -> Result<Vec<Registry>, Failed> {
        let mut all: Vec<Registry> = Vec::new();
        let images: BTreeSet<&str> =
            project.services.values().map(|service| service.image.as_str()).collect();
        for image in images {
            let auth = hosts::registry_auth(&self.app, row.environment_id, image).await?;
            let Some(auth) = auth else { continue };
            if all.iter().all(|known| known.address != auth.address) {
                all.push(Registry {
                    address: auth.address,
                    username: auth.username,
                    password: auth.password.expose_secret().to_owned().into(),
                });
            }
        }
        Ok(all)
    }
}

/// The kinds that keep pods running, or are some.
fn is_watched(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "ReplicaSet" | "Pod")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn there_of(object: &Value) -> There {
    let metadata = &object["metadata"];
    There {
        digest: text(&metadata["annotations"][names::DIGEST]),
        uid: text(&metadata["uid"]),
        replicas: object["spec"]["replicas"].as_u64(),
        ending: !metadata["deletionTimestamp"].is_null(),
    }
}

/// Whether a service's workload has to run or to come to its end.
fn goal(project: &Project, service: &str) -> Goal {
    let Some(of) = project.services.get(service) else { return Goal::Run };
    let awaited = project.services.values().any(|other| {
        other.depends_on.get(service).is_some_and(|dependency| {
            dependency.condition == drover_compose::DependencyCondition::Completed
        })
    });
    if of.deploy.job || awaited { Goal::Complete } else { Goal::Either }
}

/// The pods in which a service's containers run.
fn pods_of<'a>(pods: &'a [Value], service: &'a str) -> impl Iterator<Item = &'a Value> {
    pods.iter().filter(move |pod| pod["metadata"]["labels"][names::SERVICE] == service)
}

fn files(wanted: &Wanted) -> indexmap::IndexMap<String, Vec<File>> {
    let file = |file: &crate::stacks::WantedFile| File {
        source: file.source.clone(),
        secret: file.secret,
        own: file.own.clone(),
        path: file.path.clone(),
        mode: file.mode,
        content: file.content.clone(),
    };
    let all = wanted.files.iter();
    all.map(|(service, files)| (service.clone(), files.iter().map(file).collect())).collect()
}
