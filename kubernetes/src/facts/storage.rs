//! PersistentVolumeClaims and PersistentVolumes.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    ClaimFacts, Facts, Health, Meta, Reading, Verdict, VolumeFacts,
    input::{Condition, Labels, Object, or_default, sentence},
    quantity,
};
use crate::index::Pool;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSpec<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    volume_name: Cow<'a, str>,
    #[serde(borrow)]
    storage_class_name: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "or_default")]
    resources: ClaimResources<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimResources<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    requests: Labels<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimStatus<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    phase: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    capacity: Labels<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    conditions: Vec<Condition<'a>>,
}

fn storage(amounts: &Labels<'_>) -> u64 {
    amounts
        .pairs()
        .find(|(key, _)| *key == "storage")
        .map_or(0, |(_, value)| quantity::bytes(value))
}

pub fn read_claim<'a>(text: &'a str, pool: &mut Pool) -> serde_json::Result<(Meta<'a>, Reading)> {
    let claim: Object<'a, ClaimSpec<'a>, ClaimStatus<'a>> = serde_json::from_str(text)?;
    let Object { metadata, spec, status } = claim;
    let class = spec.storage_class_name.as_deref().filter(|class| !class.is_empty());
    let facts = ClaimFacts {
        phase: pool.text(&status.phase),
        volume: (!spec.volume_name.is_empty()).then(|| pool.text(&spec.volume_name)),
        class: class.map(|class| pool.text(class)),
        capacity: storage(&status.capacity),
        requested: storage(&spec.resources.requests),
    };
    let resizing = status.conditions.iter().find(|condition| condition.status == "True");
    let verdict = match (&*status.phase, class) {
        ("Bound", _) => match resizing {
            Some(condition)
                if condition.kind.contains("Failed") || condition.kind.contains("Error") =>
            {
                Verdict::new(
                    Health::Degraded,
                    format!("It cannot be resized: {}", sentence(&condition.message)),
                )
            }
            Some(condition) if condition.kind == "FileSystemResizePending" => Verdict::new(
                Health::Progressing,
                "It was resized; its file system follows when a pod mounts it.",
            ),
            Some(condition) if condition.kind == "Resizing" => {
                Verdict::new(Health::Progressing, "It is being resized.")
            }
            _ => Verdict::healthy(),
        },
        ("Lost", _) => Verdict::new(
            Health::Failed,
            format!("Its volume {} is gone, and what was on it.", spec.volume_name),
        ),
        (_, _) if !spec.volume_name.is_empty() => Verdict::new(
            Health::Progressing,
            format!("It waits to be bound to the volume {}.", spec.volume_name),
        ),
        (_, Some(class)) => Verdict::new(
            Health::Progressing,
            format!(
                "It has no volume yet: it waits for one of the storage class `{class}`, which may wait for the first pod that mounts it."
            ),
        ),
        (_, None) => Verdict::new(
            Health::Degraded,
            "It has no volume: it names no storage class, the cluster has no default one that was used, and no volume that is there fits.",
        ),
    };
    Ok((metadata, Reading { facts: Facts::Claim(Box::new(facts)), verdict }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VolumeSpec<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    capacity: Labels<'a>,
    #[serde(borrow)]
    claim_ref: Option<ClaimRef<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    storage_class_name: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimRef<'a> {
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VolumeStatus<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    phase: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    message: Cow<'a, str>,
}

pub fn read_volume<'a>(text: &'a str, pool: &mut Pool) -> serde_json::Result<(Meta<'a>, Reading)> {
    let volume: Object<'a, VolumeSpec<'a>, VolumeStatus<'a>> = serde_json::from_str(text)?;
    let Object { metadata, spec, status } = volume;
    let facts = VolumeFacts {
        phase: pool.text(&status.phase),
        claim: spec
            .claim_ref
            .as_ref()
            .map(|claim| (pool.text(&claim.namespace), pool.text(&claim.name))),
        class: (!spec.storage_class_name.is_empty()).then(|| pool.text(&spec.storage_class_name)),
        capacity: storage(&spec.capacity),
    };
    let verdict = match &*status.phase {
        "Failed" => Verdict::new(
            Health::Failed,
            format!("It could not be reclaimed: {}", sentence(&status.message)),
        ),
        "Pending" => Verdict::new(Health::Progressing, "It is being made."),
        _ => Verdict::healthy(),
    };
    Ok((metadata, Reading { facts: Facts::Volume(Box::new(facts)), verdict }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::tests::{read_value, why},
        *,
    };

    fn claim(spec: Value, status: Value) -> Value {
        json!({"metadata": {"name": "data"}, "spec": spec, "status": status})
    }

    #[test]
    fn claims() {
        let of = |spec, status| why("persistentvolumeclaims", &claim(spec, status));
        assert_eq!(of(json!({"volumeName": "v"}), json!({"phase": "Bound"})).0, Health::Healthy);
        let (health, said) = of(json!({"storageClassName": "fast"}), json!({"phase": "Pending"}));
        assert_eq!(health, Health::Progressing);
        assert!(said.contains("`fast`"), "{said}");
        assert_eq!(of(json!({}), json!({"phase": "Pending"})).0, Health::Degraded);
        assert_eq!(of(json!({"volumeName": "v"}), json!({"phase": "Lost"})).0, Health::Failed);
        let resizing =
            json!({"phase": "Bound", "conditions": [{"type": "Resizing", "status": "True"}]});
        assert!(of(json!({"volumeName": "v"}), resizing).1.contains("resized"));
    }

    #[test]
    fn facts_of_storage() {
        let spec = json!({"volumeName": "v", "storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}});
        let (Facts::Claim(facts), _) = read_value(
            "persistentvolumeclaims",
            &claim(spec, json!({"phase": "Bound", "capacity": {"storage": "2Gi"}})),
        ) else {
            panic!("no facts")
        };
        assert_eq!(
            (facts.capacity, facts.requested, facts.class.as_deref()),
            (2 << 30, 1 << 30, Some("fast"))
        );
        let (Facts::Volume(facts), verdict) = read_value(
            "persistentvolumes",
            &json!({"metadata": {"name": "v"},
            "spec": {"claimRef": {"namespace": "team", "name": "data"}, "capacity": {"storage": "1Gi"}}, "status": {"phase": "Failed", "message": "disk is busy"}}),
        ) else {
            panic!("no facts")
        };
        assert_eq!(facts.claim.map(|(_, name)| name.to_string()), Some("data".into()));
        assert!(verdict.why.unwrap().ends_with("disk is busy."));
    }
}
