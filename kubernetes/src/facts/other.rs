//! Events, namespaces, and the definitions of custom resources.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    EventFacts, Facts, Health, Meta, Reading, Verdict,
    input::{Condition, Moment, Object, Skipped, or_default, sentence},
};
use crate::index::Pool;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow, default)]
    metadata: Meta<'a>,
    #[serde(borrow, default, rename = "type", deserialize_with = "or_default")]
    kind: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    reason: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    message: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    involved_object: Involved<'a>,
    #[serde(default, deserialize_with = "or_default")]
    count: u32,
    #[serde(default)]
    first_timestamp: Moment,
    #[serde(default)]
    last_timestamp: Moment,
    #[serde(default)]
    event_time: Moment,
    #[serde(default)]
    series: Option<Series>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Involved<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    kind: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    namespace: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    name: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    uid: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Series {
    count: u32,
    last_observed_time: Moment,
}

/// Longer messages are cut.
const LONGEST_MESSAGE: usize = 1024;

pub fn read_event<'a>(text: &'a str, pool: &mut Pool) -> serde_json::Result<(Meta<'a>, Reading)> {
    let event: Event<'a> = serde_json::from_str(text)?;
    // Old events have the first and the last time, new ones their own and that of a series.
    let first_of =
        |moments: [Moment; 3]| moments.into_iter().find_map(Moment::known).unwrap_or_default();
    let series = event.series.unwrap_or_default();
    let created = event.metadata.creation_timestamp;
    let message = &event.message[..event.message.floor_char_boundary(LONGEST_MESSAGE)];
    let facts = EventFacts {
        warning: event.kind == "Warning",
        reason: pool.text(&event.reason),
        message: pool.text(message),
        kind: pool.text(&event.involved_object.kind),
        namespace: pool.text(&event.involved_object.namespace),
        name: pool.text(&event.involved_object.name),
        uid: pool.text(&event.involved_object.uid),
        count: event.count.max(series.count).max(1),
        first: first_of([event.first_timestamp, event.event_time, created]),
        last: first_of([series.last_observed_time, event.last_timestamp, event.event_time])
            .max(created.0),
    };
    // The message stands in the columns.
    let health = if facts.warning { Health::Degraded } else { Health::Healthy };
    let verdict = Verdict { health, why: None };
    Ok((event.metadata, Reading { facts: Facts::Event(Box::new(facts)), verdict }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    phase: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "or_default")]
    conditions: Vec<Condition<'a>>,
}

pub fn read_namespace(text: &str) -> serde_json::Result<(Meta<'_>, Reading)> {
    let namespace: Object<'_, Skipped, Status<'_>> = serde_json::from_str(text)?;
    let Object { metadata, status, .. } = namespace;
    let verdict = if status.phase == "Terminating" || metadata.deletion_timestamp.is_some() {
        judge_terminating(&status)
    } else {
        Verdict::healthy()
    };
    Ok((metadata, Reading { facts: Facts::None, verdict }))
}

/// What keeps a namespace from going: its controller tells it in conditions.
fn judge_terminating(status: &Status<'_>) -> Verdict {
    let find = |kind: &str| status.conditions.iter().find(|condition| condition.is(kind, "True"));
    for (kind, words) in [
        (
            "NamespaceDeletionDiscoveryFailure",
            "It is stuck in being deleted, since an API of the cluster does not answer",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "It is stuck in being deleted, since an API of the cluster is wrong",
        ),
        (
            "NamespaceDeletionContentFailure",
            "It is stuck in being deleted, since some of what is in it cannot be deleted",
        ),
    ] {
        if let Some(condition) = find(kind) {
            return Verdict::new(
                Health::Degraded,
                format!("{words}: {}", sentence(&condition.message)),
            );
        }
    }
    if let Some(condition) = find("NamespaceFinalizersRemaining") {
        return Verdict::new(
            Health::Degraded,
            format!(
                "It is being deleted, and waits for finalizers. {}",
                sentence(&condition.message)
            ),
        );
    }
    if let Some(condition) = find("NamespaceContentRemaining") {
        return Verdict::new(
            Health::Progressing,
            format!("It is being deleted. {}", sentence(&condition.message)),
        );
    }
    Verdict::new(Health::Progressing, "It is being deleted with all that is in it.")
}

pub fn read_definition(text: &str) -> serde_json::Result<(Meta<'_>, Reading)> {
    let definition: Object<'_, Skipped, Status<'_>> = serde_json::from_str(text)?;
    let Object { metadata, status, .. } = definition;
    let find =
        |kind: &str, is: &str| status.conditions.iter().find(|condition| condition.is(kind, is));
    let verdict = if let Some(condition) = find("NamesAccepted", "False") {
        Verdict::new(
            Health::Failed,
            format!("Its names are taken: {}", sentence(&condition.message)),
        )
    } else if find("Established", "True").is_some() {
        match find("NonStructuralSchema", "True") {
            Some(condition) => Verdict::new(
                Health::Degraded,
                format!("Its schema is not structural: {}", sentence(&condition.message)),
            ),
            None => Verdict::healthy(),
        }
    } else {
        Verdict::new(Health::Progressing, "It is not served yet.")
    };
    Ok((metadata, Reading { facts: Facts::None, verdict }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::tests::{read_value, why},
        *,
    };

    #[test]
    fn events_old_and_new() {
        let (Facts::Event(old), verdict) = read_value(
            "events",
            &json!({"metadata": {"name": "a"}, "type": "Warning", "reason": "BackOff", "message": "m",
            "involvedObject": {"kind": "Pod", "namespace": "team", "name": "web", "uid": "u"}, "count": 5,
            "firstTimestamp": "2027-01-15T07:00:00Z", "lastTimestamp": "2027-01-15T07:10:00Z", "eventTime": null}),
        ) else {
            panic!("no facts")
        };
        assert_eq!(
            (old.first, old.last, old.count, old.warning),
            (1_799_996_400, 1_799_997_000, 5, true)
        );
        assert_eq!((&*old.kind, &*old.name, &*old.uid), ("Pod", "web", "u"));
        assert_eq!(verdict.health, Health::Degraded);
        let (Facts::Event(new), verdict) = read_value(
            "events",
            &json!({"metadata": {"name": "a"}, "type": "Normal", "count": null,
            "firstTimestamp": null, "lastTimestamp": null, "eventTime": "2027-01-15T07:00:00.123456Z", "series": {"count": 3, "lastObservedTime": "2027-01-15T07:10:00.000000Z"}}),
        ) else {
            panic!("no facts")
        };
        assert_eq!((new.first, new.last, new.count), (1_799_996_400, 1_799_997_000, 3));
        assert_eq!(verdict.health, Health::Healthy);
    }

    #[test]
    fn a_namespace_that_does_not_go_says_why() {
        let terminating = |conditions| {
            why(
                "namespaces",
                &json!({"metadata": {"name": "a", "deletionTimestamp": "2027-01-15T07:00:00Z"}, "status": {"phase": "Terminating", "conditions": conditions}}),
            )
        };
        let (health, said) = terminating(json!([
            {"type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining: widgets.example.com has 1 resource instances"},
            {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "Some content in the namespace has finalizers remaining: example.com/keep in 1 resource instances"}]));
        assert_eq!(health, Health::Degraded);
        assert!(said.contains("example.com/keep"), "{said}");
        assert!(terminating(json!([{"type": "NamespaceDeletionDiscoveryFailure", "status": "True", "message": "metrics.k8s.io/v1beta1: stale"}])).1.contains("does not answer: metrics"));
        assert_eq!(terminating(json!([])).0, Health::Progressing);
        assert_eq!(
            why("namespaces", &json!({"metadata": {"name": "a"}, "status": {"phase": "Active"}})).0,
            Health::Healthy
        );
    }

    #[test]
    fn definitions() {
        let of = |conditions| {
            why(
                "customresourcedefinitions.apiextensions.k8s.io",
                &json!({"metadata": {"name": "a"}, "status": {"conditions": conditions}}),
            )
        };
        assert_eq!(of(json!([])).0, Health::Progressing);
        assert_eq!(of(json!([{"type": "Established", "status": "True"}])).0, Health::Healthy);
        assert_eq!(
            of(json!([{"type": "NamesAccepted", "status": "False", "message": "taken"}])).0,
            Health::Failed
        );
    }
}
