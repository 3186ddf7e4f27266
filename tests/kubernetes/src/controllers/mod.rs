//! The controllers, scheduler and kubelets of the made-up cluster. They see the cluster as it is
//! (`view`), take one step for each object, and look again when something has changed. What they
//! make goes through the same admission as what people make.

mod autoscaling;
mod garbage;
mod jobs;
mod kubelet;
mod network;
pub mod schedule;
pub mod scheduler;
mod view;
mod volumes;
mod workloads;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use self::view::View;
use crate::{
    authn::User,
    clock,
    cluster::{Cluster, storage},
    handlers::{self, Context, DeleteOptions},
    request::RequestInfo,
    resources::Catalog,
    selectors::{Labels, label_map},
    server::Caller,
    status::{ApiError, Result},
};

/// What controllers work with.
pub struct Work {
    /// The cluster.
    pub cluster: Arc<Cluster>,
}

/// Starts them.
pub fn start(cluster: &Arc<Cluster>) -> Vec<JoinHandle<()>> {
    let work = Work { cluster: Arc::clone(cluster) };
    vec![tokio::spawn(run(work))]
}

async fn run(work: Work) {
    let mut view = View::default();
    let mut kubelet = kubelet::Kubelet::new(Arc::clone(&work.cluster));
    let mut changed = work.cluster.store.follow_all();
    loop {
        changed.mark_unchanged();
        view.refresh(&work.cluster.store);
        garbage::reconcile(&work, &view).await;
        aggregate_roles(&work.cluster);
        workloads::reconcile(&work, &view).await;
        jobs::reconcile(&work, &view).await;
        volumes::reconcile(&work, &view);
        scheduler::reconcile(&work, &view);
        kubelet.reconcile(&work, &view).await;
        network::reconcile(&work, &view).await;
        autoscaling::reconcile(&work, &view);
        tokio::select! {
            _ = changed.changed() => tokio::time::sleep(Duration::from_millis(20)).await,
            () = kubelet.woken() => {}
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
    }
}

impl Work {
    fn context(
        &self,
        group: &str,
        plural: &str,
        controller: &str,
        namespace: &str,
    ) -> Option<Context> {
        let resource = Catalog::built_in(group, plural)?;
        let name = format!("system:serviceaccount:kube-system:{controller}");
        let user =
            User::named(&name, &["system:serviceaccounts", "system:serviceaccounts:kube-system"]);
        Some(Context {
            cluster: Arc::clone(&self.cluster),
            served: self.cluster.catalog.now(),
            caller: Caller {
                user,
                impersonated: None,
                peer: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            },
            info: RequestInfo {
                is_resource: true,
                verb: "create".to_owned(),
                namespace: namespace.to_owned(),
                resource: plural.to_owned(),
                group: group.to_owned(),
                version: resource.version.clone(),
                ..RequestInfo::default()
            },
            resource,
        })
    }

    /// Makes an object as a controller, and gives its name.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create(
        &self,
        group: &str,
        plural: &str,
        controller: &str,
        object: Value,
    ) -> Result<String> {
        let namespace = view::namespace(&object).to_owned();
        let context = self
            .context(group, plural, controller, &namespace)
            .ok_or_else(|| ApiError::internal(format!("no resource {plural}")))?;
        let made =
            handlers::create_object(&context, object, "kube-controller-manager", false).await?;
        Ok(made.0.name.clone())
    }

    /// Deletes an object as a controller, gracefully and in the background.
    pub fn delete(&self, group: &str, plural: &str, object: &Value) {
        let (namespace, name) = (view::namespace(object).to_owned(), view::name(object).to_owned());
        let Some(mut context) =
            self.context(group, plural, "generic-garbage-collector", &namespace)
        else {
            return;
        };
        "delete".clone_into(&mut context.info.verb);
        let uid = object["metadata"]["uid"].as_str().map(str::to_owned);
        tokio::spawn(async move {
            let options = DeleteOptions {
                propagation: Some("Background".to_owned()),
                uid,
                ..DeleteOptions::default()
            };
            // It may be gone already.
            let _ = handlers::delete_object(&context, &name, &options).await;
        });
    }

    /// Whether a namespace is going away.
    pub fn terminating(&self, namespace: &str) -> bool {
        self.cluster
            .store
            .value("", "namespaces", "", namespace)
            .is_none_or(|value| view::deleting(&value))
    }

    /// Tells of something that happened to an object; the same once more is counted.
    pub fn event(&self, about: &Value, kind: &str, level: &str, reason: &str, message: &str) {
        let component = match (kind, reason) {
            ("Pod", "Scheduled" | "FailedScheduling") => "default-scheduler",
            ("Pod", _) => "kubelet",
            ("Deployment", _) => "deployment-controller",
            ("ReplicaSet", _) => "replicaset-controller",
            ("StatefulSet", _) => "statefulset-controller",
            ("DaemonSet", _) => "daemonset-controller",
            ("Job", _) => "job-controller",
            ("CronJob", _) => "cronjob-controller",
            ("PersistentVolumeClaim", _) => "persistentvolume-controller",
            _ => "kube-controller-manager",
        };
        self.event_of(about, kind, level, reason, message, component, "");
    }

    /// The same for one of a pod's containers.
    #[expect(clippy::too_many_arguments, reason = "they are the fields of an event")]
    pub fn event_of(
        &self,
        about: &Value,
        kind: &str,
        level: &str,
        reason: &str,
        message: &str,
        component: &str,
        field: &str,
    ) {
        let namespace = match view::namespace(about) {
            "" => "default",
            namespace => namespace,
        };
        if self.terminating(namespace) {
            return;
        }
        let key = storage("", "events");
        let uid = &about["metadata"]["uid"];
        let digest = ring::digest::digest(
            &ring::digest::SHA256,
            format!("{uid}{reason}{message}{field}").as_bytes(),
        );
        let mark: String = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{}.{mark}", view::name(about));
        let there = self.cluster.store.get(&key, namespace, &name);
        if there.is_some() {
            self.cluster.modify(&key, namespace, &name, |event| {
                event["count"] = json!(view::count(&event["count"]) + 1);
                event["lastTimestamp"] = json!(clock::stamp());
                true
            });
            return;
        }
        let api = match kind {
            "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => "apps/v1",
            "Job" | "CronJob" => "batch/v1",
            "HorizontalPodAutoscaler" => "autoscaling/v2",
            _ => "v1",
        };
        let mut involved = json!({
            "kind": kind,
            "apiVersion": api,
            "name": view::name(about),
            "uid": uid,
            "resourceVersion": about["metadata"]["resourceVersion"],
        });
        if !view::namespace(about).is_empty() {
            involved["namespace"] = json!(namespace);
        }
        if !field.is_empty() {
            involved["fieldPath"] = json!(field);
        }
        let mut source = json!({"component": component});
        if component == "kubelet" {
            source["host"] = about["spec"]["nodeName"].clone();
        }
        let event = json!({
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": clock::stamp(),
            "lastTimestamp": clock::stamp(),
            "count": 1,
            "type": level,
            "eventTime": null,
            "reportingComponent": component,
            "reportingInstance": source["host"].as_str().unwrap_or_default(),
        });
        if let Some(resource) = Catalog::built_in("", "events") {
            self.cluster.put_new(&resource, event);
        }
    }
}

/// An owner reference to a controller.
pub fn owner(object: &Value, api: &str, kind: &str) -> Value {
    json!({
        "apiVersion": api,
        "kind": kind,
        "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// A short name that follows from a value.
pub fn hash(value: &Value) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let digest = ring::digest::digest(&ring::digest::SHA256, value.to_string().as_bytes());
    digest
        .as_ref()
        .iter()
        .take(10)
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}

/// Puts a pod on a node.
pub fn bind(cluster: &Cluster, namespace: &str, name: &str, node: &str) {
    cluster.modify(&storage("", "pods"), namespace, name, |pod| {
        pod["spec"]["nodeName"] = json!(node);
        set_condition(pod, "PodScheduled", "True", "", "");
        true
    });
}

/// Writes a condition into a status; the time changes only with the state.
pub fn set_condition(object: &mut Value, kind: &str, state: &str, reason: &str, message: &str) {
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = json!([]);
    }
    let Some(all) = object["status"]["conditions"].as_array_mut() else { return };
    let at = all.iter().position(|one| one["type"] == kind).unwrap_or_else(|| {
        all.push(json!({"type": kind}));
        all.len() - 1
    });
    let condition = &mut all[at];
    if condition["status"] != state {
        condition["status"] = json!(state);
        condition["lastTransitionTime"] = json!(clock::stamp());
    }
    let Some(fields) = condition.as_object_mut() else { return };
    for (field, text) in [("reason", reason), ("message", message)] {
        if text.is_empty() {
            fields.remove(field);
        } else {
            fields.insert(field.to_owned(), json!(text));
        }
    }
}

/// Puts the rules of aggregated roles together.
pub fn aggregate_roles(cluster: &Cluster) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let key = storage(GROUP, "clusterroles");
    // Aggregated roles may be parts of others.
    for _ in 0..3 {
        let all = cluster.store.values(GROUP, "clusterroles", None);
        let mut changed = false;
        for role in &all {
            let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array();
            let Some(selectors) = selectors else { continue };
            let selectors: Vec<_> = selectors.iter().filter_map(Labels::of_object).collect();
            let mut rules: Vec<Value> = Vec::new();
            for part in &all {
                let labels = label_map(&part["metadata"]["labels"]);
                let own = part["metadata"]["name"] == role["metadata"]["name"];
                if own || !selectors.iter().any(|selector| selector.matches(&labels)) {
                    continue;
                }
                for rule in part["rules"].as_array().into_iter().flatten() {
                    if !rules.contains(rule) {
                        rules.push(rule.clone());
                    }
                }
            }
            if role["rules"] != json!(rules) {
                changed = true;
                let name = role["metadata"]["name"].as_str().unwrap_or_default();
                cluster.modify(&key, "", name, |role| {
                    role["rules"] = json!(rules);
                    true
                });
            }
        }
        if !changed {
            return;
        }
    }
}
