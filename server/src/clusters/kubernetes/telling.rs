//! Tells browsers which types of objects have changed: to the environments that the changes concern,
//! and a few times a second at most, whatever the cluster does.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use drover_api::{Change, Topic};
use drover_kubernetes::{discovery::ResourceType, index::Changes, roles};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use super::{live::Live, store::Share};
use crate::{app::App, events};

/// Changes of a type are told to an environment so often at most.
const EVERY: Duration = Duration::from_millis(200);

/// What has not been told of a type yet.
#[derive(Default)]
struct Untold {
    /// To whom.
    environments: HashSet<Uuid>,
    /// When it was last told.
    told: Option<Instant>,
}

impl Untold {
    /// When it may be told; what has never been told, at once.
    fn due(&self, now: Instant) -> Option<Instant> {
        (!self.environments.is_empty()).then(|| self.told.map_or(now, |told| told + EVERY))
    }

    /// Whom to tell now.
    fn tell(&mut self, now: Instant) -> HashSet<Uuid> {
        if self.due(now).is_none_or(|due| due > now) {
            return HashSet::new();
        }
        self.told = Some(now);
        std::mem::take(&mut self.environments)
    }
}

/// Follows a cluster's index.
pub(super) async fn run(app: &App, live: &Live) {
    let mut changes = live.index.changes();
    let mut types: HashMap<Arc<str>, Untold> = HashMap::new();
    loop {
        let now = Instant::now();
        let due = types.values().filter_map(|untold| untold.due(now)).min();
        let wait = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = changes.recv() => match changed {
                Ok(changed) => {
                    let shares = live.shares();
                    let concerned = shares.iter().filter(|share| concerns(share, &changed));
                    let ids = concerned.map(|share| share.environment_id);
                    let untold = types.entry(changed.resource.name.clone()).or_default();
                    untold.environments.extend(ids);
                }
                // Too many to follow one by one: anything may have changed.
                Err(RecvError::Lagged(_)) => {
                    for kept in live.index.types() {
                        let ids = live.shares().iter().map(|share| share.environment_id).collect();
                        types.entry(kept.resource.name.clone()).or_default().environments = ids;
                    }
                }
                Err(RecvError::Closed) => std::future::pending().await,
            },
            () = wait => {}
        }
        let now = Instant::now();
        for (name, untold) in &mut types {
            for environment in untold.tell(now) {
                let topic = Topic::KubernetesResources;
                let event = events::event(topic, Some(environment), name, Change::Updated);
                app.events.publish_local(event);
            }
        }
    }
}

/// As the crate's roles ask of a type.
pub(super) fn role_kind(found: &ResourceType) -> roles::Kind {
    roles::Kind {
        group: found.group.clone(),
        plural: found.plural.clone(),
        namespaced: found.namespaced,
        listable: found.has_verb("list"),
    }
}

/// Whether an environment sees something of what has changed.
fn concerns(share: &Share, changes: &Changes) -> bool {
    if share.whole_cluster {
        return true;
    }
    let resource = &changes.resource;
    let own = |name: &str| share.namespaces.iter().any(|namespace| namespace == name);
    let Some(rows) = &changes.rows else { return true };
    if &*resource.name == "namespaces" {
        return rows.iter().any(|row| own(&row.name));
    }
    if !resource.namespaced {
        return roles::is_shared(&role_kind(resource));
    }
    rows.iter().any(|row| own(&row.namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_change_is_told_at_once_and_the_next_ones_together() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let now = Instant::now();
        let mut untold = Untold::default();
        assert_eq!(untold.due(now), None);
        untold.environments.insert(one);
        assert_eq!(untold.due(now), Some(now));
        assert_eq!(untold.tell(now), HashSet::from([one]));
        assert_eq!(untold.due(now), None);
        untold.environments.extend([one, other]);
        assert!(untold.tell(now + EVERY / 2).is_empty());
        assert_eq!(untold.due(now + EVERY / 2), Some(now + EVERY));
        assert_eq!(untold.tell(now + EVERY), HashSet::from([one, other]));
        assert!(untold.tell(now + 2 * EVERY).is_empty());
    }
}
