//! Actions on objects: what people do with one click, each as the calls that `kubectl` makes for it.

use drover_api::{ActionDone, List, ObjectAction, Permission, RolloutRevision, Timestamp};
use drover_kubernetes::{
    client::content,
    rollout::{self, Revision},
};
use http::Method;
use rand::Rng;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    super::{drain, failed},
    apply::MANAGER,
    baseline,
    objects::ObjectPath,
    target::{Place, Target},
};
use crate::{
    error::{Error, Result},
    extract::{Json, Path},
};

/// The most replicas that are asked for.
const MOST_REPLICAS: u32 = 10_000;
/// The longest name of an image.
const LONGEST_IMAGE: usize = 512;
/// How long a drain tries, in seconds, and the most that it may.
const DRAIN_SECONDS: u32 = 600;
const MOST_DRAIN_SECONDS: u32 = 24 * 3600;
/// The most revisions that are read.
const MOST_REVISIONS: usize = 100;

const DEPLOYMENTS: &str = "deployments.apps";
const STATEFUL_SETS: &str = "statefulsets.apps";
const DAEMON_SETS: &str = "daemonsets.apps";
const JOBS: &str = "jobs.batch";
const CRON_JOBS: &str = "cronjobs.batch";
const PODS: &str = "pods";
const NODES: &str = "nodes";

/// An action's name for the audit log, and the types that it can be done with; none for all.
fn about(action: &ObjectAction) -> (&'static str, &'static [&'static str]) {
    match action {
        ObjectAction::Scale { .. } => ("kubernetes_object.scale", &[]),
        ObjectAction::Restart => {
            ("kubernetes_object.restart", &[DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS])
        }
        ObjectAction::Pause => ("kubernetes_object.pause", &[DEPLOYMENTS]),
        ObjectAction::Resume => ("kubernetes_object.resume", &[DEPLOYMENTS]),
        ObjectAction::Undo { .. } => {
            ("kubernetes_object.undo", &[DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS])
        }
        ObjectAction::Run => ("kubernetes_object.run", &[CRON_JOBS]),
        ObjectAction::Suspend => ("kubernetes_object.suspend", &[CRON_JOBS, JOBS]),
        ObjectAction::Unsuspend => ("kubernetes_object.unsuspend", &[CRON_JOBS, JOBS]),
        ObjectAction::Cordon => ("kubernetes_node.cordon", &[NODES]),
        ObjectAction::Uncordon => ("kubernetes_node.uncordon", &[NODES]),
        ObjectAction::Drain { .. } => ("kubernetes_node.drain", &[NODES]),
        ObjectAction::Evict => ("kubernetes_pod.evict", &[PODS]),
        ObjectAction::Debug { .. } => ("kubernetes_pod.debug", &[PODS]),
    }
}

fn done(message: impl Into<String>) -> ActionDone {
    ActionDone { message: message.into(), name: None, operation_id: None }
}

/// Do something with an object
///
/// Scale, restart, pause, resume and undo of workloads; run, suspend and unsuspend of CronJobs and
/// Jobs; evict and debug of pods; cordon, uncordon and drain of nodes. A drain is an operation.
#[utoipa::path(post, tag = "kubernetes",
    path = "/v1/environments/{environment_id}/kubernetes/objects/{type}/{namespace}/{name}/actions",
    request_body(content = ObjectAction, example = json!({ "action": "scale", "replicas": 3 })),
    params(("environment_id" = uuid::Uuid, Path), ("type" = String, Path), ("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = ActionDone)))]
pub(super) async fn act(
    target: Target,
    Path((_environment, kind, namespace, name)): ObjectPath,
    Json(action): Json<ObjectAction>,
) -> Result<Json<ActionDone>> {
    let place = target.place(&kind, &namespace, &name)?;
    let (named, types) = about(&action);
    target.note(named, &place);
    if &*place.kind.name == NODES {
        target.require(Permission::ManageHosts)?;
    }
    let fits = match action {
        ObjectAction::Scale { .. } => place.kind.has_subresource("scale"),
        _ => types.contains(&&*place.kind.name),
    };
    if !fits {
        let why = format!("This cannot be done with a {}.", place.kind.kind);
        return Err(Error::conflict("no_such_action", why));
    }
    let doing = Doing { target: &target, place: &place };
    let done = match action {
        ObjectAction::Scale { replicas } => doing.scale(replicas).await?,
        ObjectAction::Restart => doing.restart().await?,
        ObjectAction::Pause => {
            doing.set("/spec/paused", true).await?;
            done("The rollout is paused.")
        }
        ObjectAction::Resume => {
            doing.set("/spec/paused", false).await?;
            done("The rollout goes on.")
        }
        ObjectAction::Undo { revision } => doing.undo(revision).await?,
        ObjectAction::Run => doing.run().await?,
        ObjectAction::Suspend => {
            doing.set("/spec/suspend", true).await?;
            done("It is suspended.")
        }
        ObjectAction::Unsuspend => {
            doing.set("/spec/suspend", false).await?;
            done("It goes on.")
        }
        ObjectAction::Cordon => {
            doing.set("/spec/unschedulable", true).await?;
            done("No new pods come to this node.")
        }
        ObjectAction::Uncordon => {
            doing.set("/spec/unschedulable", false).await?;
            done("New pods may come to this node.")
        }
        ObjectAction::Drain { delete_local_data, force, timeout_seconds } => {
            let seconds = timeout_seconds.unwrap_or(DRAIN_SECONDS);
            if !(1..=MOST_DRAIN_SECONDS).contains(&seconds) {
                let why = "1 second to 24 hours.";
                return Err(Error::invalid_field("timeout_seconds", why));
            }
            let agreed = drover_kubernetes::drain::Agreed {
                local_data: delete_local_data,
                unmanaged: force,
            };
            doing.drain(agreed, seconds).await?
        }
        ObjectAction::Evict => doing.evict().await?,
        ObjectAction::Debug { image, target } => doing.debug(&image, target.as_deref()).await?,
    };
    Ok(Json(done))
}

struct Doing<'a> {
    target: &'a Target,
    place: &'a Place,
}

impl Doing<'_> {
    /// The object, which the caller may run.
    async fn object(&self) -> Result<Value> {
        let object = self.target.call(Method::GET, &self.place.path(), None).await?.value;
        baseline::check(self.target, &self.place.kind, &object).map_err(failed)?;
        Ok(object)
    }

    async fn patch(&self, part: &str, kind: &'static str, patch: &Value) -> Result<Value> {
        let path = format!("{}{part}?fieldManager={MANAGER}", self.place.path());
        Ok(self.target.call(Method::PATCH, &path, Some((kind, patch))).await?.value)
    }

    /// Sets one field of the object's `spec`.
    async fn set(&self, pointer: &str, value: bool) -> Result<()> {
        self.object().await?;
        let field = pointer.trim_start_matches("/spec/");
        self.patch("", content::MERGE, &json!({ "spec": { field: value } })).await?;
        Ok(())
    }

    async fn scale(&self, replicas: u32) -> Result<ActionDone> {
        if replicas > MOST_REPLICAS {
            return Err(Error::invalid_field("replicas", "At most 10,000."));
        }
        self.object().await?;
        self.target.note.detail("replicas", replicas);
        let patch = json!({ "spec": { "replicas": replicas } });
        self.patch("/scale", content::MERGE, &patch).await?;
        Ok(done(format!("{} is scaled to {replicas}.", self.place.name)))
    }

    async fn restart(&self) -> Result<ActionDone> {
        let object = self.object().await?;
        if object["spec"]["paused"] == true {
            let why = "The rollout is paused, so that a restart would wait: resume it first.";
            return Err(Error::conflict("paused", why));
        }
        let now = OffsetDateTime::now_utc().format(&Rfc3339).map_err(Error::internal)?;
        let annotations = json!({ "kubectl.kubernetes.io/restartedAt": now });
        let patch =
            json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
        self.patch("", content::MERGE, &patch).await?;
        Ok(done(format!("{} restarts its pods, one after the other.", self.place.name)))
    }

    async fn undo(&self, wanted: Option<i64>) -> Result<ActionDone> {
        let object = self.object().await?;
        if object["spec"]["paused"] == true {
            let why = "The rollout is paused: resume it first.";
            return Err(Error::conflict("paused", why));
        }
        let all = revisions(self.target, self.place, &object).await?;
        let current = rollout::current(&all);
        let found = match wanted {
            Some(number) => all.iter().find(|revision| revision.number == number),
            None => all.get(1),
        };
        let none = || match wanted {
            Some(number) => format!("There is no revision {number} any more."),
            None => "There is no earlier revision.".to_owned(),
        };
        let found = found.ok_or_else(|| Error::conflict("no_revision", none()))?;
        if current == Some(found.number) {
            let why = format!("Revision {} is the one that is wanted already.", found.number);
            return Err(Error::conflict("same_revision", why));
        }
        let mut back = object.clone();
        back["spec"]["template"] = found.template.clone();
        baseline::check(self.target, &self.place.kind, &back).map_err(failed)?;
        self.target.note.detail("revision", found.number);
        let (kind, patch) = rollout::way_back(&object, found);
        self.patch("", kind, &patch).await?;
        Ok(done(format!("{} goes back to revision {}.", self.place.name, found.number)))
    }

    async fn run(&self) -> Result<ActionDone> {
        let cron = self.object().await?;
        let template = &cron["spec"]["jobTemplate"];
        let mut annotations = template["metadata"]["annotations"].clone();
        if !annotations.is_object() {
            annotations = json!({});
        }
        annotations["cronjob.kubernetes.io/instantiate"] = "manual".into();
        // Names of Jobs become labels, which have 63 letters at most.
        let begin = &self.place.name[..self.place.name.len().min(50)];
        let name = format!("{begin}-run-{}", suffix());
        let job = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": name,
                "annotations": annotations,
                "labels": template["metadata"]["labels"],
                "ownerReferences": [{
                    "apiVersion": "batch/v1", "kind": "CronJob", "controller": true,
                    "name": self.place.name, "uid": cron["metadata"]["uid"],
                }],
            },
            "spec": template["spec"],
        });
        let namespace = self.place.namespace.as_deref().unwrap_or_default();
        let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs?fieldManager={MANAGER}");
        self.target.call(Method::POST, &path, Some((content::JSON, &job))).await?;
        Ok(ActionDone { name: Some(name.clone()), ..done(format!("The Job {name} was made.")) })
    }

    async fn evict(&self) -> Result<ActionDone> {
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "name": self.place.name, "namespace": self.place.namespace },
        });
        let path = format!("{}/eviction", self.place.path());
        self.target.call(Method::POST, &path, Some((content::JSON, &eviction))).await?;
        Ok(done(format!("{} is evicted.", self.place.name)))
    }

    async fn debug(&self, image: &str, of: Option<&str>) -> Result<ActionDone> {
        if image.is_empty() || image.len() > LONGEST_IMAGE || image.contains(char::is_whitespace) {
            return Err(Error::invalid_field("image", "The name of an image."));
        }
        let pod = self.object().await?;
        let containers = pod["spec"]["containers"].as_array();
        let has =
            |name: &str| containers.is_some_and(|all| all.iter().any(|one| one["name"] == *name));
        if of.is_some_and(|name| !has(name)) {
            return Err(Error::invalid_field("target", "The pod has no such container."));
        }
        let name = format!("debug-{}", suffix());
        let mut container = json!({
            "name": name, "image": image, "stdin": true, "tty": true,
            "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent",
        });
        if let Some(of) = of {
            container["targetContainerName"] = of.into();
        }
        self.target.note.detail("image", image);
        let patch = json!({ "spec": { "ephemeralContainers": [container] } });
        self.patch("/ephemeralcontainers", content::STRATEGIC, &patch).await?;
        let words = format!("The container {name} is added to the pod: open a shell in it.");
        Ok(ActionDone { name: Some(name), ..done(words) })
    }

    async fn drain(
        &self,
        agreed: drover_kubernetes::drain::Agreed,
        seconds: u32,
    ) -> Result<ActionDone> {
        let node = self.object().await?;
        let user = self.target.user()?;
        let pods = drain::pods_on(self.target.cluster()?, &user, &self.place.name).await;
        let pods = pods.map_err(failed)?;
        if let Some(objection) = drover_kubernetes::drain::objection(&pods, agreed) {
            return Err(Error::conflict("needs_agreement", objection));
        }
        let operation = drain::begin(self.target, &node, &self.place.name, agreed, seconds).await?;
        Ok(ActionDone {
            operation_id: Some(operation),
            ..done(format!("The node {} is being drained.", self.place.name))
        })
    }
}

impl Target {
    /// What a drain needs to know of who began it.
    pub fn acting(&self) -> (String, Vec<String>) {
        super::super::caller::names(&self.caller, &[(self.access.id, self.access.role)])
    }
}

/// Letters that make a name another one each time.
fn suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    (0..5).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}

async fn revisions(target: &Target, place: &Place, object: &Value) -> Result<Vec<Revision>> {
    let namespace = place.namespace.as_deref().unwrap_or_default();
    let plural = match &*place.kind.name {
        DEPLOYMENTS => "replicasets",
        STATEFUL_SETS | DAEMON_SETS => "controllerrevisions",
        _ => return Ok(Vec::new()),
    };
    let selector = object["spec"]["selector"]["matchLabels"].as_object();
    let labels: Vec<String> = selector
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)))
        .collect();
    let path = format!(
        "/apis/apps/v1/namespaces/{namespace}/{plural}?limit=500&{}",
        serde_urlencoded::to_string([("labelSelector", labels.join(","))])
            .map_err(Error::internal)?
    );
    let found = target.call(Method::GET, &path, None).await?.value;
    let none = Vec::new();
    Ok(rollout::revisions(object, found["items"].as_array().unwrap_or(&none)))
}

/// List the revisions of a rollout
///
/// The newest first, each with what it differs in from the one that is wanted now.
#[utoipa::path(get, tag = "kubernetes",
    path = "/v1/environments/{environment_id}/kubernetes/objects/{type}/{namespace}/{name}/revisions",
    params(("environment_id" = uuid::Uuid, Path), ("type" = String, Path), ("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = List<RolloutRevision>)))]
pub(super) async fn list_revisions(
    target: Target,
    Path((_environment, kind, namespace, name)): ObjectPath,
) -> Result<Json<List<RolloutRevision>>> {
    let place = target.place(&kind, &namespace, &name)?;
    let object = target.call(Method::GET, &place.path(), None).await?.value;
    let all = revisions(&target, &place, &object).await?;
    let current = rollout::current(&all);
    let show = |revision: &Revision| RolloutRevision {
        revision: revision.number,
        created_at: revision
            .created
            .as_deref()
            .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok())
            .map(Timestamp),
        cause: revision.cause.clone(),
        images: revision.images(),
        current: Some(revision.number) == current,
        diff: all.first().map(|wanted| rollout::difference(wanted, revision)).unwrap_or_default(),
    };
    Ok(Json(List::whole(all.iter().take(MOST_REVISIONS).map(show).collect())))
}
