//! Texts, labels and owners that many objects share, each held once for a cluster.

use std::{collections::HashSet, hash::Hash, sync::Arc};

/// A label: key and value.
pub type Label = (Arc<str>, Arc<str>);

/// An object that owns another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// E.g. `ReplicaSet`.
    pub kind: Arc<str>,
    /// The API group of the kind.
    pub group: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its uid.
    pub uid: Arc<str>,
    /// It is the one that manages the object.
    pub controller: bool,
}

/// See the module's first lines.
#[derive(Debug, Default)]
pub struct Pool {
    texts: Shared<str>,
    labels: Shared<[Label]>,
    owners: Shared<[Owner]>,
    lists: Shared<[Arc<str>]>,
}

impl Pool {
    /// A text.
    pub fn text(&mut self, text: &str) -> Arc<str> {
        self.texts.share(text)
    }

    /// Labels; they are put in order by key.
    pub fn labels<'a>(
        &mut self,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Arc<[Label]> {
        let mut labels: Vec<Label> = pairs
            .into_iter()
            .map(|(key, value)| (self.texts.share(key), self.texts.share(value)))
            .collect();
        labels.sort_unstable();
        self.labels.share(&labels)
    }

    /// Owners.
    pub fn owners(&mut self, owners: &[Owner]) -> Arc<[Owner]> {
        self.owners.share(owners)
    }

    /// A list of texts.
    pub fn list<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) -> Arc<[Arc<str>]> {
        let list: Vec<Arc<str>> = texts.into_iter().map(|text| self.texts.share(text)).collect();
        self.lists.share(&list)
    }

    /// How many texts are held.
    pub fn len(&self) -> usize {
        self.texts.known.len()
    }

    /// True when it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops what nobody uses any more.
    pub fn sweep(&mut self) {
        // In this order: lists hold texts.
        self.labels.sweep();
        self.owners.sweep();
        self.lists.sweep();
        self.texts.sweep();
    }
}

#[derive(Debug)]
struct Shared<T: ?Sized + Hash + Eq> {
    known: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized + Hash + Eq> Default for Shared<T> {
    fn default() -> Self {
        Self { known: HashSet::new(), sweep_at: 1024 }
    }
}

impl<T: ?Sized + Hash + Eq> Shared<T> {
    fn share<'a>(&mut self, value: &'a T) -> Arc<T>
    where
        Arc<T>: From<&'a T>,
    {
        if let Some(known) = self.known.get(value) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at {
            self.sweep();
        }
        let value: Arc<T> = value.into();
        self.known.insert(value.clone());
        value
    }

    fn sweep(&mut self) {
        self.known.retain(|value| Arc::strong_count(value) > 1);
        self.sweep_at = (self.known.len() * 2).max(1024);
        if self.known.capacity() > self.sweep_at * 2 {
            self.known.shrink_to(self.sweep_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_held_once_and_dead_ones_dropped() {
        let mut pool = Pool::default();
        let one = pool.text("running");
        assert!(Arc::ptr_eq(&one, &pool.text("running")));
        let labels = pool.labels([("b", "2"), ("a", "1")]);
        assert!(Arc::ptr_eq(&labels, &pool.labels([("a", "1"), ("b", "2")])));
        assert_eq!(&*labels[0].0, "a");
        for number in 0..10_000 {
            pool.text(&number.to_string());
        }
        assert!(pool.len() < 1100, "{}", pool.len());
        drop(labels);
        pool.sweep();
        assert_eq!(pool.len(), 1);
    }
}
