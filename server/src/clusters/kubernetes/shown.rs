//! What the index knows, as the API shows it.

use drover_api::{ColumnKind, ObjectHealth, ResourceColumn, ResourceGroup, ResourceRow, Timestamp};
use drover_kubernetes::{
    discovery::{ResourceType, type_name},
    facts::{Health, reads_whole},
    index::{self, Cell, Comparison, Field, Filter, Group, Owner, Row},
};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::live::Live;

/// The groups that come with Kubernetes and have a dot.
const BUILT_IN: [&str; 16] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
];

/// Whether a group came with something that was installed in the cluster.
pub(super) fn is_custom(group: &str) -> bool {
    let built_in =
        BUILT_IN.contains(&group) || matches!(group, "storage.k8s.io" | "storagemigration.k8s.io");
    group.contains('.') && !built_in
}

/// A column.
pub(super) fn column(column: &index::Column) -> ResourceColumn {
    ResourceColumn {
        id: column.key.to_string(),
        name: column.name.to_string(),
        kind: match column.kind {
            index::ColumnKind::Number => ColumnKind::Number,
            index::ColumnKind::Age => ColumnKind::Time,
            index::ColumnKind::Name | index::ColumnKind::Text | index::ColumnKind::Boolean => {
                ColumnKind::Text
            }
        },
        wide: column.wide,
        description: Some(column.description.to_string()).filter(|text| !text.is_empty()),
    }
}

/// An object.
pub(super) fn row(kind: &ResourceType, row: &Row) -> ResourceRow {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ResourceRow {
        namespace: text(&row.namespace),
        name: row.name.to_string(),
        uid: row.uid.to_string(),
        cells: row.cells.iter().map(|of| cell(of, row)).collect(),
        health: health(kind, row),
        reason: row.why.as_deref().map(str::to_owned),
        labels: row
            .labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        owner: owner(row),
        created_at: moment(row.created),
        terminating: row.deleting.is_some(),
    }
}

fn cell(cell: &Cell, row: &Row) -> Value {
    let time = |seconds: i64| {
        let at = OffsetDateTime::from_unix_timestamp(seconds).ok();
        at.and_then(|at| at.format(&Rfc3339).ok()).map_or(Value::Null, Value::String)
    };
    match cell {
        Cell::Empty => Value::Null,
        Cell::Name => Value::String(row.name.to_string()),
        Cell::Created => time(row.created),
        Cell::Text(text) => Value::String(text.to_string()),
        Cell::Integer(number) => (*number).into(),
        Cell::Float(number) => (*number).into(),
        Cell::Boolean(value) => Value::String(if *value { "true" } else { "false" }.into()),
        Cell::Since(moment) => time(*moment),
        Cell::CountSince { count, .. } => (*count).into(),
        Cell::Lasting(seconds) => Value::String(index::human(*seconds)),
    }
}

/// A moment, in seconds since the Unix epoch; nothing for 0.
pub(super) fn moment(seconds: i64) -> Option<Timestamp> {
    (seconds > 0)
        .then(|| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .flatten()
        .map(Timestamp)
}

/// How an object is, where Drover reads its kind.
pub(super) fn health(kind: &ResourceType, row: &Row) -> Option<ObjectHealth> {
    reads_whole(&kind.name).then(|| match row.health {
        Health::Failed => ObjectHealth::Failed,
        Health::Degraded | Health::Unknown => ObjectHealth::Degraded,
        Health::Progressing => ObjectHealth::Progressing,
        Health::Healthy if row.is_idle() => ObjectHealth::Idle,
        Health::Healthy => ObjectHealth::Healthy,
    })
}

/// The filter of the states that are wanted.
pub(super) fn health_filter(wanted: &str) -> Filter {
    let values = wanted.split(',').map(|state| state.trim().to_owned()).collect();
    Filter { field: Field::Health, comparison: Comparison::Equal, values }
}

/// What an object belongs to, as its address has it: `deployments.apps/web`.
fn owner(row: &Row) -> Option<String> {
    let (kind, name) = row.workload()?;
    let group = row.controller().map_or("", |owner: &Owner| &*owner.group);
    Some(format!("{}/{name}", type_of(kind, group)))
}

/// The type of a kind, by the rule that all built-in kinds keep and most others.
fn type_of(kind: &str, group: &str) -> String {
    let plural = kind.to_lowercase();
    let plural = match plural.as_bytes() {
        [.., b's' | b'x'] | [.., b'c' | b's', b'h'] => format!("{plural}es"),
        [.., before, b'y'] if !b"aeiou".contains(before) => {
            format!("{}ies", &plural[..plural.len() - 1])
        }
        _ => format!("{plural}s"),
    };
    type_name(&plural, group).to_string()
}

/// The owner of a filter as the index compares it, and a label selector that goes with it.
pub(super) fn owner_filter(live: &Live, text: &str) -> (String, Option<String>) {
    let Some((kind, name)) = text.split_once('/') else { return (text.to_owned(), None) };
    let found = live.index.discovery().and_then(|known| known.find(kind).cloned());
    let Some(found) = found else { return (text.to_owned(), None) };
    // The index counts pods to their Deployment: of a ReplicaSet, those with its hash.
    if &*found.name == "replicasets.apps"
        && let Some((workload, hash)) = name.rsplit_once('-')
    {
        return (format!("Deployment/{workload}"), Some(format!("pod-template-hash={hash}")));
    }
    (format!("{}/{name}", found.kind), None)
}

/// Groups of a list.
pub(super) fn groups(live: &Live, by: &Field, groups: Vec<Group>) -> Vec<ResourceGroup> {
    let discovery = live.index.discovery();
    let value = |key: String| {
        let Some((kind, name)) = key.split_once('/').filter(|_| *by == Field::Owner) else {
            return key;
        };
        match discovery.as_ref().and_then(|known| known.find(kind)) {
            Some(found) => format!("{}/{name}", found.name),
            None => key,
        }
    };
    groups
        .into_iter()
        .map(|group| {
            let [failed, degraded, ..] = group.by_health;
            ResourceGroup {
                value: value(group.key),
                count: group.count as u64,
                unhealthy: (failed + degraded) as u64,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_guessed_as_kubernetes_names_them() {
        for (kind, group, name) in [
            ("Deployment", "apps", "deployments.apps"),
            ("Ingress", "networking.k8s.io", "ingresses.networking.k8s.io"),
            ("NetworkPolicy", "networking.k8s.io", "networkpolicies.networking.k8s.io"),
            ("Gateway", "gateway.networking.k8s.io", "gateways.gateway.networking.k8s.io"),
            ("Node", "", "nodes"),
        ] {
            assert_eq!(type_of(kind, group), name);
        }
    }

    #[test]
    fn what_was_installed_is_custom() {
        for group in ["", "apps", "batch", "storage.k8s.io", "rbac.authorization.k8s.io"] {
            assert!(!is_custom(group), "{group}");
        }
        for group in ["cert-manager.io", "gateway.networking.k8s.io", "metrics.k8s.io"] {
            assert!(is_custom(group), "{group}");
        }
    }
}
