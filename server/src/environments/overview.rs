//! The dashboard's figures of an environment.

use std::collections::BTreeMap;

use axum::extract::State;
use drover_api::{HostState, HostUsage, HostUsageHistory, Overview, StateCount};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{access::EnvironmentAccess, app::App, error::Result, extract::Json, stacks};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(overview)).routes(routes!(usage))
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

/// Show what an environment has used
///
/// CPU and memory of all its hosts over the last quarter of an hour, oldest first.
#[utoipa::path(get, path = "/v1/environments/{environment_id}/usage", tag = "environments",
    params(("environment_id" = Uuid, Path)), responses((status = 200, body = HostUsageHistory)))]
async fn usage(State(app): State<App>, access: EnvironmentAccess) -> Json<HostUsageHistory> {
    let histories =
        app.hosts.in_environment(access.id).iter().map(|host| host.usage.all()).collect();
    Json(HostUsageHistory { items: sum(histories) })
}

/// The sum over hosts, in steps of five seconds. A measurement counts until its host's next one,
/// for three steps at most.
fn sum(histories: Vec<Vec<HostUsage>>) -> Vec<HostUsage> {
    const STEP: i64 = 5;
    let step = |usage: &HostUsage| usage.at.0.unix_timestamp().div_euclid(STEP);
    let mut steps: BTreeMap<i64, (f64, u64)> = BTreeMap::new();
    for history in histories {
        for (n, usage) in history.iter().enumerate() {
            let from = step(usage);
            let until = history.get(n + 1).map_or(from + 1, |next| step(next).min(from + 3));
            for at in from..until {
                let (cpu, memory) = steps.entry(at).or_default();
                *cpu += usage.cpu;
                *memory += usage.memory;
            }
        }
    }
    steps
        .into_iter()
        .filter_map(|(at, (cpu, memory))| {
            let at = OffsetDateTime::from_unix_timestamp(at * STEP).ok()?.into();
            Some(HostUsage { at, cpu, memory, disk: None, machine: None })
        })
        .collect()
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

    fn used(at: i64, cpu: f64) -> HostUsage {
        let at = OffsetDateTime::from_unix_timestamp(at).expect("a time").into();
        HostUsage { at, cpu, memory: 10, disk: None, machine: None }
    }

    #[test]
    fn what_hosts_use_is_summed_by_time() {
        let one = vec![used(100, 1.0), used(106, 2.0), used(160, 4.0)];
        let other = vec![used(103, 0.5)];
        let summed: Vec<_> = sum(vec![one, other])
            .into_iter()
            .map(|usage| (usage.at.0.unix_timestamp(), usage.cpu))
            .collect();
        // The gap after 106 is bridged for three steps only.
        assert_eq!(summed, [(100, 1.5), (105, 2.0), (110, 2.0), (115, 2.0), (160, 4.0)]);
    }

    #[test]
    fn states_are_counted_by_their_name() {
        let states = [HostState::Active, HostState::Error, HostState::Active];
        let counts: Vec<_> =
            by_state(states.into_iter()).into_iter().map(|c| (c.state, c.count)).collect();
        assert_eq!(counts, [("active".to_owned(), 2), ("error".to_owned(), 1)]);
    }
}
