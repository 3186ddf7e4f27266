//! Drains: the operation that shows how the containers of a host are moved elsewhere. The engine
//! of stacks moves them, because the host's mode says so; this only watches the host get empty.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use drover_api::{ContainerState, HostMode, Operation, OperationKind};
use indexmap::IndexMap;
use sqlx::PgConnection;
use uuid::Uuid;

use super::HostRow;
use crate::{
    access::Caller,
    app::App,
    error::Result,
    operations::{self, NewOperation},
    stacks,
};

/// How often the progress is looked at.
const LOOK: Duration = Duration::from_secs(3);
/// So many containers that are left are named.
const MOST_NAMED: usize = 3;

/// A host's mode has changed: begins its drain, or cancels what was under way. Answers the
/// operations to announce after the commit.
pub async fn follow_mode(
    tx: &mut PgConnection,
    caller: &Caller,
    host: &HostRow,
) -> sqlx::Result<Vec<Operation>> {
    if host.mode != HostMode::Draining {
        return operations::cancel(tx, host.id, "The host was set to another mode.").await;
    }
    let new = NewOperation {
        kind: OperationKind::Drain,
        environment_id: host.environment_id,
        target_kind: "host",
        target_id: host.id,
        target_name: &host.name,
        input: serde_json::json!({}),
    };
    Ok(vec![operations::begin(tx, Some(caller), &new).await?])
}

/// Keeps the open drains up to date. Each replica does: they see and write the same.
pub(super) async fn watch(app: App) {
    let mut timer = tokio::time::interval(LOOK);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut most = HashMap::new();
    loop {
        timer.tick().await;
        if let Err(error) = look(&app, &mut most).await {
            tracing::debug!(%error, "cannot look at the drains");
        }
    }
}

/// `most` is how many containers each drain has seen at most: the whole of its work.
async fn look(app: &App, most: &mut HashMap<Uuid, usize>) -> Result<()> {
    let drains = operations::open_of_kind(&app.db, OperationKind::Drain).await?;
    most.retain(|id, _| drains.iter().any(|drain| drain.id == *id));
    for drain in drains {
        let Some(host) = app.hosts.live(drain.environment_id, drain.target_id) else { continue };
        if host.row().mode != HostMode::Draining {
            continue;
        }
        if host.docker().is_err() {
            let message = "The host is not connected: what is left on it cannot be seen.";
            operations::progress(app, drain.id, 0.0, message).await?;
            continue;
        }
        let mut left = Vec::new();
        let mut problems: HashMap<Uuid, IndexMap<String, String>> = HashMap::new();
        for entry in app.hosts.index().of_host(host.environment_id, host.id) {
            let Some(owner) = entry.owner.as_deref() else { continue };
            // A job that has done its work is not done once more elsewhere.
            if entry.state == ContainerState::Exited && entry.exit_code == Some(0) {
                continue;
            }
            let known = match problems.entry(owner.stack_id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let row = stacks::find_row(&app.db, owner.stack_id).await?;
                    place.insert(row.map(|row| row.problems).unwrap_or_default())
                }
            };
            let why = known.get(&*owner.service).or_else(|| known.get(""));
            left.push((entry.name.to_string(), why.cloned()));
        }
        if left.is_empty() {
            operations::finish(app, drain.id, None).await?;
            continue;
        }
        left.sort_unstable();
        let most = most.entry(drain.id).or_default();
        *most = left.len().max(*most);
        let fraction = 1.0 - left.len() as f64 / *most as f64;
        operations::progress(app, drain.id, fraction, &message(&left)).await?;
    }
    Ok(())
}

/// How many are left, and which when they are few.
fn message(left: &[(String, Option<String>)]) -> String {
    let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
    let mut words = match left.len() {
        1 => format!("1 container is left: {}.", names.join(", ")),
        count if count <= MOST_NAMED => {
            format!("{count} containers are left: {}.", names.join(", "))
        }
        count => format!("{count} containers are left."),
    };
    let reasons = left.iter().filter_map(|(name, why)| Some((name, why.as_deref()?)));
    for (name, why) in reasons.take(MOST_NAMED) {
        words.push_str(&format!(" {name}: {why}"));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_named_when_it_is_little() {
        let names = |count: usize| {
            (0..count)
                .map(|n| (format!("web-{n}"), None))
                .collect::<Vec<(String, Option<String>)>>()
        };
        let mut stuck = names(2);
        stuck[1].1 = Some("Its volumes are there.".into());
        assert_eq!(
            message(&stuck),
            "2 containers are left: web-0, web-1. web-1: Its volumes are there."
        );
        assert_eq!(message(&names(1)), "1 container is left: web-0.");
        assert_eq!(message(&names(2)), "2 containers are left: web-0, web-1.");
        assert_eq!(message(&names(9)), "9 containers are left.");
    }
}
