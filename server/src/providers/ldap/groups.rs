//! Groups in groups: upward from the groups that a person is in, level by level.
//!
//! The same groups are above most people of a company, so what is above a group is remembered for
//! some seconds, and asked only once when many people come at the same time. A person's own groups
//! are never remembered.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use drover_api::TestStepKind;
use futures_util::future::try_join_all;
use tokio::sync::OnceCell;

use super::trouble::Trouble;
use crate::providers::{Named, ProviderError};

/// How long it is remembered what is above a group.
const REMEMBERED: Duration = Duration::from_secs(4);
/// Of how many groups.
const MOST_REMEMBERED: usize = 4096;
/// Levels of groups in groups.
const DEEPEST: usize = 32;
/// Groups of a person.
pub(crate) const MOST_GROUPS: usize = 5000;
/// Questions that are on their way at the same time.
const AT_ONCE: usize = 32;

/// A group, as it was found.
#[derive(Debug)]
pub(crate) struct Group {
    /// As others know it.
    pub(crate) named: Named,
    /// Where it is.
    pub(crate) dn: String,
    /// The one way to write that.
    pub(crate) key: String,
    /// The groups that its own entry says it is in.
    pub(crate) member_of: Vec<String>,
}

/// What is above each group.
#[derive(Default)]
pub(crate) struct Above {
    known: Mutex<HashMap<String, Arc<Known>>>,
}

struct Known {
    since: Instant,
    groups: OnceCell<Arc<[Arc<Group>]>>,
}

/// Reads what is directly above a group.
#[async_trait]
pub(crate) trait ReadAbove: Sync {
    /// All groups that this one is a member of.
    async fn read(&self, group: &Group) -> Result<Vec<Arc<Group>>, Trouble>;
}

impl Above {
    /// What is above this group, read now or some seconds ago.
    async fn of(
        &self,
        group: &Group,
        reader: &dyn ReadAbove,
    ) -> Result<Arc<[Arc<Group>]>, Trouble> {
        let known = self.entry(&group.key);
        let read = known.groups.get_or_try_init(async || {
            let groups = reader.read(group).await?;
            Ok::<_, Trouble>(groups.into())
        });
        read.await.cloned()
    }

    fn entry(&self, key: &str) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get(key)
            && entry.since.elapsed() < REMEMBERED
        {
            return entry.clone();
        }
        if known.len() >= MOST_REMEMBERED {
            known.retain(|_, entry| entry.since.elapsed() < REMEMBERED);
        }
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        let entry = Arc::new(Known { since: Instant::now(), groups: OnceCell::new() });
        known.insert(key.to_owned(), entry.clone());
        entry
    }

    /// `direct` and all that is above them, each once: loops end where they began.
    pub(crate) async fn climb(
        &self,
        direct: Vec<Arc<Group>>,
        reader: &dyn ReadAbove,
    ) -> Result<Vec<Arc<Group>>, Trouble> {
        let mut seen = HashSet::new();
        let mut all: Vec<Arc<Group>> = Vec::new();
        let mut level = direct;
        for _ in 0..DEEPEST {
            level.retain(|group| seen.insert(group.key.clone()));
            if level.is_empty() {
                break;
            }
            if all.len() + level.len() > MOST_GROUPS {
                return Err(too_many());
            }
            all.extend(level.iter().cloned());
            let mut next = Vec::new();
            for some in level.chunks(AT_ONCE) {
                let above = try_join_all(some.iter().map(|group| self.of(group, reader))).await?;
                next.extend(above.iter().flat_map(|groups| groups.iter().cloned()));
            }
            level = next;
        }
        Ok(all)
    }
}

/// A person is in more groups than are kept.
pub(crate) fn too_many() -> Trouble {
    let error = ProviderError::Misconfigured(format!(
        "This person is in more than {MOST_GROUPS} groups. Narrow the groups by their base or \
         filter."
    ));
    Trouble::new(TestStepKind::Groups, error, None)
}

/// What a test says of the groups that were found.
pub(crate) fn groups_note(all: usize, direct: usize) -> String {
    let through = all.saturating_sub(direct);
    match (all, through) {
        (0, _) => "No group was found. If there should be some, check the search base, the object \
                   classes and the attributes of groups."
            .into(),
        (1, 0) => "1 group.".into(),
        (all, 0) => format!("{all} groups."),
        (all, through) => format!("{all} groups, {through} of them through other groups."),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::providers::Scheme;

    /// Group `n` is in the groups that `above` says.
    struct Numbers<F> {
        above: F,
        asked: AtomicUsize,
    }

    fn group(number: usize) -> Arc<Group> {
        let name = number.to_string();
        let named = Named {
            scheme: Scheme::Group,
            id: name.clone(),
            name: name.clone(),
            login: None,
            detail: None,
        };
        Arc::new(Group { named, dn: name.clone(), key: name, member_of: Vec::new() })
    }

    #[async_trait]
    impl<F: Fn(usize) -> Vec<usize> + Sync> ReadAbove for Numbers<F> {
        async fn read(&self, below: &Group) -> Result<Vec<Arc<Group>>, Trouble> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok((self.above)(below.dn.parse().unwrap()).into_iter().map(group).collect())
        }
    }

    fn numbers<F: Fn(usize) -> Vec<usize> + Sync>(above: F) -> Numbers<F> {
        Numbers { above, asked: AtomicUsize::new(0) }
    }

    #[tokio::test]
    async fn climbs_through_loops_and_remembers() {
        let reader = numbers(|n| vec![n, (n + 1) % 6, 0]);
        let above = Above::default();
        let (one, two) = tokio::join!(
            above.climb(vec![group(2), group(2)], &reader),
            above.climb(vec![group(3)], &reader)
        );
        let mut found: Vec<_> = one.unwrap().iter().map(|group| group.named.id.clone()).collect();
        assert_eq!(found[0], "2");
        found.sort();
        assert_eq!(found, ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(two.unwrap().len(), 6);
        assert_eq!(reader.asked.load(Ordering::Relaxed), 6, "each group is asked for once");
    }

    #[tokio::test]
    async fn ends_where_there_is_no_end() {
        let deep = numbers(|n| vec![n + 1]);
        let found = Above::default().climb(vec![group(0)], &deep).await.unwrap();
        assert_eq!(found.len(), DEEPEST);

        let wide = numbers(|n| (n * 100 + 1..n * 100 + 100).collect());
        let error = Above::default().climb(vec![group(1)], &wide).await.unwrap_err();
        assert!(error.message.contains("5000"), "{}", error.message);
    }

    #[test]
    fn says_what_was_found() {
        assert_eq!(groups_note(12, 9), "12 groups, 3 of them through other groups.");
        assert_eq!(groups_note(1, 1), "1 group.");
        assert_eq!(groups_note(2, 2), "2 groups.");
    }
}
