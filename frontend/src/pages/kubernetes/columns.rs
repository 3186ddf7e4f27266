//! What the columns of lists are called. The names come from the cluster; those that everybody knows
//! have words in the reader's language.

use drover_api::ResourceColumn;

use crate::i18n::{kubernetes, t};

/// Columns with their headings as they are shown.
pub(super) fn titled(columns: &[ResourceColumn]) -> Vec<ResourceColumn> {
    let one = |column: &ResourceColumn| {
        let known = known(&column.id).map(str::to_owned);
        ResourceColumn { name: known.unwrap_or_else(|| column.name.clone()), ..column.clone() }
    };
    columns.iter().map(one).collect()
}

fn known(id: &str) -> Option<&'static str> {
    let words = kubernetes();
    Some(match id {
        "name" => t().common.name,
        "namespace" => words.namespace,
        "age" => words.column_age,
        "status" => words.column_status,
        "ready" => words.ready,
        "restarts" => words.restarts,
        "node" => words.node,
        "type" => words.of_type,
        "reason" => words.reason,
        "message" => words.message,
        "object" => words.object,
        "last_seen" => words.column_last_seen,
        "data" => words.data,
        "up_to_date" => words.column_up_to_date,
        "available" => words.column_available,
        "desired" => words.column_desired,
        "current" => words.current,
        "schedule" => words.schedule,
        "suspend" => words.suspend,
        "active" => words.column_active,
        "last_schedule" => words.column_last_schedule,
        "completions" => words.column_completions,
        "duration" => words.column_duration,
        "roles" => words.column_roles,
        "version" => words.version,
        "capacity" => words.capacity,
        "ports" => words.ports,
        "address" => words.address,
        "class" => words.class,
        "volume" => words.volume,
        _ => return None,
    })
}
