//! Tells browsers which types of objects have changed: to the environments that the changes concern,
//! and a few times a second at most, whatever the cluster does.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use drover_api::{Change, Event, Topic};
use drover_kubernetes::{
    discovery::ResourceType,
    index::{Change as Changed, Changes},
    roles,
};
use serde_json::json;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use super::{live::Live, store::Share};
use crate::{app::App, events};

/// Changes of a type are told to an environment so often at most.
const EVERY: Duration = Duration::from_millis(150);

/// An event names so many objects at most.
const MOST_NAMED: usize = 24;

/// Objects, as `namespace/name` (`-` where there is no namespace); `None` is more than is worth
/// naming.
type Names = Option<BTreeSet<String>>;

/// What has not been told of a type yet.
#[derive(Default)]
struct Untold {
    /// To whom, and of which objects.
    environments: HashMap<Uuid, Names>,
    /// When it was last told.
    told: Option<Instant>,
}

impl Untold {
    /// When it may be told; what has never been told, at once.
    fn due(&self, now: Instant) -> Option<Instant> {
        (!self.environments.is_empty()).then(|| self.told.map_or(now, |told| told + EVERY))
    }

    /// These objects have changed, for an environment.
    fn add(&mut self, environment: Uuid, names: Names) {
        let known = self.environments.entry(environment).or_insert_with(|| Some(BTreeSet::new()));
        let all = known.take().zip(names).map(|(mut known, names)| {
            known.extend(names);
            known
        });
        *known = all.filter(|all| all.len() <= MOST_NAMED);
    }

    /// Whom to tell now.
    fn tell(&mut self, now: Instant) -> HashMap<Uuid, Names> {
        if self.due(now).is_none_or(|due| due > now) {
            return HashMap::new();
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
                    let untold = types.entry(changed.resource.name.clone()).or_default();
                    for share in live.shares().iter().filter(|share| concerns(share, &changed)) {
                        untold.add(share.environment_id, names(share, &changed));
                    }
                }
                // Too many to follow one by one: anything may have changed.
                Err(RecvError::Lagged(_)) => {
                    for kept in live.index.types() {
                        let untold = types.entry(kept.resource.name.clone()).or_default();
                        for share in live.shares().iter() {
                            untold.add(share.environment_id, None);
                        }
                    }
                }
                Err(RecvError::Closed) => std::future::pending().await,
            },
            () = wait => {}
        }
        let now = Instant::now();
        for (name, untold) in &mut types {
            for (environment, names) in untold.tell(now) {
                let topic = Topic::KubernetesResources;
                let event = events::event(topic, Some(environment), name, Change::Updated);
                let object = names.map(|names| json!({ "names": names }));
                app.events.publish_local(Event { object, ..event });
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
    let Some(rows) = &changes.rows else { return true };
    rows.iter().any(|row| sees(share, &changes.resource, row))
}

/// Whether an environment sees an object.
fn sees(share: &Share, resource: &ResourceType, row: &Changed) -> bool {
    if share.whole_cluster {
        return true;
    }
    let own = |name: &str| share.namespaces.iter().any(|namespace| namespace == name);
    if &*resource.name == "namespaces" {
        return own(&row.name);
    }
    if !resource.namespaced {
        return roles::is_shared(&role_kind(resource));
    }
    own(&row.namespace)
}

/// The objects that have changed, as far as an environment sees them. Secrets are not named: not all
/// of its members see them.
fn names(share: &Share, changes: &Changes) -> Names {
    let rows = changes.rows.as_ref().filter(|_| &*changes.resource.name != "secrets")?;
    let seen = rows.iter().filter(|row| sees(share, &changes.resource, row));
    let place = |namespace: &str| if namespace.is_empty() { "-" } else { namespace }.to_owned();
    Some(seen.map(|row| format!("{}/{}", place(&row.namespace), row.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Names {
        Some(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn the_first_change_is_told_at_once_and_the_next_ones_together() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let now = Instant::now();
        let mut untold = Untold::default();
        assert_eq!(untold.due(now), None);
        untold.add(one, names(&["shop/a"]));
        assert_eq!(untold.due(now), Some(now));
        assert_eq!(untold.tell(now), HashMap::from([(one, names(&["shop/a"]))]));
        assert_eq!(untold.due(now), None);
        untold.add(one, names(&["shop/a"]));
        untold.add(one, names(&["shop/b"]));
        untold.add(other, None);
        assert!(untold.tell(now + EVERY / 2).is_empty());
        assert_eq!(untold.due(now + EVERY / 2), Some(now + EVERY));
        let told = HashMap::from([(one, names(&["shop/a", "shop/b"])), (other, None)]);
        assert_eq!(untold.tell(now + EVERY), told);
        assert!(untold.tell(now + 2 * EVERY).is_empty());
    }

    #[test]
    fn many_objects_are_not_named_one_by_one() {
        let one = Uuid::from_u128(1);
        let mut untold = Untold::default();
        let many = (0..=MOST_NAMED).map(|n| format!("shop/{n}")).collect();
        untold.add(one, Some(many));
        assert_eq!(untold.environments[&one], None);
        untold.add(one, names(&["shop/a"]));
        assert_eq!(untold.environments[&one], None, "it stays so until it is told");
    }
}
