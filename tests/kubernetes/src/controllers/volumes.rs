//! Claims get volumes; the made-up provisioner makes them at once.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Work,
    view::{View, deleting, list, name, namespace, word},
};
use crate::{cluster::storage, resources::Catalog};

/// Looks after all claims.
pub fn reconcile(work: &Work, view: &View) {
    for claim in view.all("", "persistentvolumeclaims").filter(|one| !deleting(one)) {
        if claim["status"]["phase"] != "Bound" {
            bind(work, view, claim);
        } else {
            grow(work, claim);
        }
    }
    for volume in view.all("", "persistentvolumes") {
        release(work, view, volume);
    }
}

/// A bound claim that asks for more gets it.
fn grow(work: &Work, claim: &Value) {
    let wanted = &claim["spec"]["resources"]["requests"]["storage"];
    if claim["status"]["capacity"]["storage"] == *wanted {
        return;
    }
    let volume = word(&claim["spec"]["volumeName"]).to_owned();
    work.cluster.modify(&storage("", "persistentvolumes"), "", &volume, |volume| {
        volume["spec"]["capacity"]["storage"] = wanted.clone();
        true
    });
    work.cluster.modify(
        &storage("", "persistentvolumeclaims"),
        namespace(claim),
        name(claim),
        |claim| {
            claim["status"]["capacity"]["storage"] = wanted.clone();
            true
        },
    );
}

fn bind(work: &Work, view: &View, claim: &Arc<Value>) {
    let class_name = word(&claim["spec"]["storageClassName"]);
    let wanted = word(&claim["spec"]["volumeName"]);
    let free = view.all("", "persistentvolumes").find(|volume| {
        let for_this = volume["spec"]["claimRef"]["name"] == name(claim)
            && volume["spec"]["claimRef"]["namespace"] == namespace(claim);
        let unclaimed = volume["spec"]["claimRef"].is_null()
            && (wanted.is_empty() || name(volume) == wanted)
            && word(&volume["spec"]["storageClassName"]) == class_name
            && size(&volume["spec"]["capacity"]) >= size(&claim["spec"]["resources"]["requests"]);
        (for_this || unclaimed) && !deleting(volume) && volume["status"]["phase"] != "Released"
    });
    let volume = match free {
        Some(volume) => name(volume).to_owned(),
        None if class_name.is_empty() => {
            work.event(
                claim,
                "PersistentVolumeClaim",
                "Normal",
                "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set",
            );
            return;
        }
        None => match provision(work, view, claim, class_name) {
            Some(volume) => volume,
            None => return,
        },
    };
    let volumes = storage("", "persistentvolumes");
    work.cluster.modify(&volumes, "", &volume, |volume| {
        volume["spec"]["claimRef"] = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name(claim), "namespace": namespace(claim),
            "uid": claim["metadata"]["uid"], "resourceVersion": claim["metadata"]["resourceVersion"],
        });
        volume["status"] = json!({"phase": "Bound"});
        true
    });
    let capacity =
        work.cluster.store.value("", "persistentvolumes", "", &volume).unwrap_or_default();
    let claims = storage("", "persistentvolumeclaims");
    work.cluster.modify(&claims, namespace(claim), name(claim), |claim| {
        claim["spec"]["volumeName"] = json!(volume);
        let annotations = &mut claim["metadata"]["annotations"];
        annotations["pv.kubernetes.io/bind-completed"] = json!("yes");
        annotations["pv.kubernetes.io/bound-by-controller"] = json!("yes");
        claim["status"] = json!({
            "phase": "Bound", "accessModes": claim["spec"]["accessModes"],
            "capacity": capacity["spec"]["capacity"],
        });
        true
    });
}

fn size(resources: &Value) -> i128 {
    crate::validation::quantity::of(&resources["storage"]).unwrap_or(0)
}

fn provision(work: &Work, view: &View, claim: &Arc<Value>, class_name: &str) -> Option<String> {
    let class =
        view.all("storage.k8s.io", "storageclasses").find(|class| name(class) == class_name);
    let Some(class) = class else {
        work.event(
            claim,
            "PersistentVolumeClaim",
            "Warning",
            "ProvisioningFailed",
            &format!("storageclass.storage.k8s.io \"{class_name}\" not found"),
        );
        return None;
    };
    if class["volumeBindingMode"] == "WaitForFirstConsumer" {
        let used = view.within("", "pods", namespace(claim)).any(|pod| {
            let waits = list(&pod["spec"]["volumes"])
                .iter()
                .any(|volume| volume["persistentVolumeClaim"]["claimName"] == name(claim));
            waits && !word(&pod["spec"]["nodeName"]).is_empty()
        });
        if !used {
            work.event(
                claim,
                "PersistentVolumeClaim",
                "Normal",
                "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding",
            );
            return None;
        }
    }
    let provisioner = word(&class["provisioner"]);
    if provisioner != "drover.test/host-path" {
        work.event(claim, "PersistentVolumeClaim", "Normal", "ExternalProvisioning", &format!("Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."));
        return None;
    }
    let volume = format!("pvc-{}", word(&claim["metadata"]["uid"]));
    let resource = Catalog::built_in("", "persistentvolumes")?;
    work.cluster.put_new(&resource, json!({
        "metadata": {
            "name": volume,
            "annotations": {"pv.kubernetes.io/provisioned-by": provisioner},
            "finalizers": ["kubernetes.io/pv-protection"],
        },
        "spec": {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "hostPath": {"path": format!("/var/lib/volumes/{volume}"), "type": "DirectoryOrCreate"},
            "persistentVolumeReclaimPolicy": class["reclaimPolicy"],
            "storageClassName": class_name,
            "volumeMode": claim["spec"]["volumeMode"],
        },
        "status": {"phase": "Pending"},
    }))?;
    work.event(
        claim,
        "PersistentVolumeClaim",
        "Normal",
        "ProvisioningSucceeded",
        &format!("Successfully provisioned volume {volume}"),
    );
    Some(volume)
}

/// A volume whose claim is gone is released, or goes.
fn release(work: &Work, view: &View, volume: &Value) {
    let claim = &volume["spec"]["claimRef"];
    if claim.is_null() {
        if volume["status"]["phase"] == "Pending" {
            work.cluster.modify(&storage("", "persistentvolumes"), "", name(volume), |volume| {
                volume["status"] = json!({"phase": "Available"});
                true
            });
        }
        return;
    }
    let there = view
        .get("", "persistentvolumeclaims", word(&claim["namespace"]), word(&claim["name"]))
        .is_some_and(|there| claim["uid"].is_null() || there["metadata"]["uid"] == claim["uid"]);
    if there
        || claim["uid"].is_null()
        || deleting(volume) && volume["status"]["phase"] == "Released"
    {
        return;
    }
    work.cluster.modify(&storage("", "persistentvolumes"), "", name(volume), |volume| {
        volume["status"] = json!({"phase": "Released"});
        true
    });
    if volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete" {
        work.delete("", "persistentvolumes", volume);
    }
}
