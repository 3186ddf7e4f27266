//! The dashboard's figures of an environment.

use std::collections::BTreeMap;

use axum::extract::State;
use drover_api::{HostState, Overview, StateCount};
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{access::EnvironmentAccess, app::App, error::Result, extract::Json, stacks};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(overview))
}

/// Show an environment's figures
///
/// Hosts, stacks and containers by state, and what its hosts have and use.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/overview", tag = "environments",
    params(("environment_id" = Uuid, Path)), responses((status = 200, body = Overview)))]
async fn overview(State(app): State<App>, access: EnvironmentAccess) -> Result<Json<Overview>> {
    let hosts: Vec<_> = app
        .hosts
        .in_environment(access.id)
        .iter()
        .map(|host| app.hosts.to_api((*host.row()).clone()))
        .collect();
    let stacks = stacks::all(&app, access.id).await?;
    let containers = app.hosts.index().select(access.id, |_| true);
    let active = || hosts.iter().filter(|host| host.state == HostState::Active);
    let facts = || active().filter_map(|host| host.facts.as_ref());
    let usage = || active().filter_map(|host| host.usage.as_ref());
    Ok(Json(Overview {
        cpu_used: usage().map(|usage| usage.cpu).sum(),
        cpu_total: facts().map(|facts| f64::from(facts.cpus)).sum(),
        memory_used: usage().map(|usage| usage.memory).sum(),
        memory_total: facts().map(|facts| facts.memory).sum(),
        stacks: by_state(stacks.iter().map(|stack| stack.state)),
        containers: by_state(containers.iter().map(|entry| entry.state)),
        hosts: by_state(hosts.iter().map(|host| host.state)),
    }))
}

fn by_state<S: Serialize>(states: impl Iterator<Item = S>) -> Vec<StateCount> {
    let mut counts = BTreeMap::new();
    for state in states {
        // The name that the wire has for it.
        if let Ok(serde_json::Value::String(name)) = serde_json::to_value(state) {
            *counts.entry(name).or_insert(0) += 1;
        }
    }
    counts.into_iter().map(|(state, count)| StateCount { state, count }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_counted_by_their_name() {
        let states = [HostState::Active, HostState::Error, HostState::Active];
        let counts: Vec<_> =
            by_state(states.into_iter()).into_iter().map(|c| (c.state, c.count)).collect();
        assert_eq!(counts, [("active".to_owned(), 2), ("error".to_owned(), 1)]);
    }
}
