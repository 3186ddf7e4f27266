//! Rollouts: their revisions, and the ways back to them.
//!
//! A Deployment's revisions are its ReplicaSets, those of StatefulSets and DaemonSets are
//! ControllerRevisions. <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/>

use serde_json::{Value, json};

use crate::{client::content, objects::diff};

/// Says in which revision a Deployment or ReplicaSet is.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Says why a revision was made.
const CAUSE: &str = "kubernetes.io/change-cause";
/// The label by which a Deployment tells its ReplicaSets' pods apart.
const HASH: &str = "pod-template-hash";

/// A revision of a workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Its number.
    pub number: i64,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// Why.
    pub cause: Option<String>,
    /// What its pods are made from.
    pub template: Value,
}

impl Revision {
    /// The images of its containers.
    pub fn images(&self) -> Vec<String> {
        let containers = ["initContainers", "containers"]
            .into_iter()
            .filter_map(|field| self.template["spec"][field].as_array())
            .flatten();
        let mut images: Vec<String> = containers
            .filter_map(|container| container["image"].as_str().map(str::to_owned))
            .collect();
        images.dedup();
        images
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

fn annotation(object: &Value, name: &str) -> Option<String> {
    object["metadata"]["annotations"][name].as_str().map(str::to_owned)
}

fn is_owned(object: &Value, uid: &str) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|all| {
        all.iter().any(|owner| owner["controller"] == true && owner["uid"] == *uid)
    })
}

fn revision(object: &Value, number: Option<i64>, template: Value) -> Option<Revision> {
    Some(Revision {
        number: number?,
        created: text(object, "/metadata/creationTimestamp").map(str::to_owned),
        cause: annotation(object, CAUSE),
        template,
    })
}

/// The revisions of a workload, the newest first; `candidates` are ReplicaSets for a Deployment,
/// else ControllerRevisions.
pub fn revisions(workload: &Value, candidates: &[Value]) -> Vec<Revision> {
    let uid = text(workload, "/metadata/uid").unwrap_or_default();
    let of_deployment = text(workload, "/kind") == Some("Deployment");
    let own = candidates.iter().filter(|object| is_owned(object, uid));
    let mut all: Vec<Revision> = own
        .filter_map(|object| {
            if of_deployment {
                let number = annotation(object, REVISION)?.parse().ok();
                return revision(object, number, without_hash(&object["spec"]["template"]));
            }
            let mut template = object["data"]["spec"]["template"].clone();
            if let Some(fields) = template.as_object_mut() {
                // It is kept as a patch that replaces the template.
                fields.remove("$patch");
            }
            revision(object, object["revision"].as_i64(), template)
        })
        .collect();
    all.sort_by_key(|revision| std::cmp::Reverse(revision.number));
    all
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    template
}

/// The number of the revision that is wanted now: the newest, whose template is the workload's.
pub fn current(revisions: &[Revision]) -> Option<i64> {
    revisions.first().map(|revision| revision.number)
}

/// What a revision differs in from the one that is wanted now.
pub fn difference(wanted: &Revision, revision: &Revision) -> String {
    diff(Some(&wanted.template), Some(&revision.template)).unwrap_or_default()
}

/// The patch that leads a workload back to a revision, with its content type. It fails when what
/// is wanted of the workload was changed meanwhile.
pub fn way_back(workload: &Value, revision: &Revision) -> (&'static str, Value) {
    let steps = json!([
        { "op": "test", "path": "/metadata/generation",
          "value": workload["metadata"]["generation"] },
        { "op": "replace", "path": "/spec/template", "value": revision.template },
    ]);
    (content::STEPS, steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, revision: &str, image: &str, owner: &str) -> Value {
        json!({"metadata": {"name": name, "annotations": {REVISION: revision},
            "ownerReferences": [{"uid": owner, "controller": true}]},
            "spec": {"template": {"metadata": {"labels": {"app": "web", HASH: name}},
                "spec": {"containers": [{"name": "web", "image": image}]}}}})
    }

    #[test]
    fn revisions_of_a_deployment_are_its_replica_sets() {
        let workload = json!({"kind": "Deployment", "metadata": {"uid": "u", "generation": 7}});
        let sets =
            [set("a", "1", "web:1", "u"), set("b", "3", "web:2", "u"), set("c", "9", "x", "v")];
        let all = revisions(&workload, &sets);
        assert_eq!(all.iter().map(|one| one.number).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(current(&all), Some(3));
        assert_eq!(all[1].images(), ["web:1"]);
        let told = difference(&all[0], &all[1]);
        assert!(told.contains("-  - image: web:2") || told.contains("web:2"), "{told}");
        assert!(!told.contains(HASH));
        let (kind, steps) = way_back(&workload, &all[1]);
        assert_eq!(kind, content::STEPS);
        assert_eq!(steps[0]["value"], 7);
        assert_eq!(steps[1]["value"]["spec"]["containers"][0]["image"], "web:1");
    }

    #[test]
    fn revisions_of_others_are_controller_revisions() {
        let workload = json!({"kind": "StatefulSet", "metadata": {"uid": "u"}});
        let revision = json!({"metadata": {"ownerReferences": [{"uid": "u", "controller": true}]},
            "revision": 4, "data": {"spec": {"template": {"$patch": "replace",
                "spec": {"containers": [{"image": "db:1"}]}}}}});
        let all = revisions(&workload, &[revision]);
        assert_eq!((all[0].number, all[0].images()), (4, vec!["db:1".to_owned()]));
        assert!(all[0].template.get("$patch").is_none());
    }
}
