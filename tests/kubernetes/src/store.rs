//! Where objects are: one counter of versions, the newest state of each object as the bytes that
//! are sent, and the last changes of each resource, from which watches and older lists are
//! answered. What is older than those changes is expired.
//!
//! The lock is held for moments only; watchers read the changes at their own speed.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use crate::resources::StorageKey;

/// Namespace (empty for cluster-wide objects) and name.
pub type ObjectKey = (String, String);

/// An object as it was at one version.
#[derive(Debug)]
pub struct Object {
    /// The namespace, or nothing.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The id that no other object ever has.
    pub uid: String,
    /// The version.
    pub version: u64,
    /// The labels, for selectors.
    pub labels: BTreeMap<String, String>,
    /// The ids of its owners, for the garbage collector.
    pub owners: Vec<String>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The object as JSON, without apiVersion and kind, in its storage version.
    pub bytes: Bytes,
}

impl Object {
    fn new(mut value: Value, version: u64) -> Self {
        value["metadata"]["resourceVersion"] = Value::String(version.to_string());
        let metadata = &value["metadata"];
        let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        let labels = metadata["labels"].as_object().map(|labels| {
            labels
                .iter()
                .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect()
        });
        let owners = metadata["ownerReferences"].as_array().map(|owners| {
            owners.iter().filter_map(|owner| owner["uid"].as_str().map(str::to_owned)).collect()
        });
        Self {
            namespace: text("namespace"),
            name: text("name"),
            uid: text("uid"),
            version,
            labels: labels.unwrap_or_default(),
            owners: owners.unwrap_or_default(),
            deleting: metadata["deletionTimestamp"].is_string(),
            bytes: Bytes::from(value.to_string()),
        }
    }

    /// An object as it would be.
    pub fn dry(value: Value) -> Self {
        let version = value["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok());
        let mut object = Self::new(value.clone(), version.unwrap_or(0));
        if version.is_none() {
            object.bytes = Bytes::from(value.to_string());
        }
        object
    }

    /// The object to work with.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// Where it stands.
    pub fn key(&self) -> ObjectKey {
        (self.namespace.clone(), self.name.clone())
    }
}

/// A change of one object.
#[derive(Debug, Clone)]
pub struct Change {
    /// The version that it made.
    pub version: u64,
    /// What was there before.
    pub before: Option<Arc<Object>>,
    /// What is there after; at a deletion what was there last, with the deletion's version.
    pub after: Arc<Object>,
    /// Whether the object is gone.
    pub deleted: bool,
}

#[derive(Debug)]
struct Collection {
    objects: BTreeMap<ObjectKey, Arc<Object>>,
    changes: VecDeque<Change>,
    /// Changes up to this version are no longer kept.
    expired: u64,
    /// The newest version, for those who wait.
    newest: watch::Sender<u64>,
    /// Counts how often all watches were ended.
    ended: watch::Sender<u64>,
}

impl Collection {
    fn new(version: u64) -> Self {
        Self {
            objects: BTreeMap::new(),
            changes: VecDeque::new(),
            expired: 0,
            newest: watch::Sender::new(version),
            ended: watch::Sender::new(0),
        }
    }
}

#[derive(Debug)]
struct Inner {
    version: u64,
    collections: HashMap<StorageKey, Collection>,
}

/// The objects of a cluster.
#[derive(Debug)]
pub struct Store {
    inner: RwLock<Inner>,
    kept: usize,
    any: watch::Sender<u64>,
}

/// A version that is no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// The oldest that is.
    pub oldest: u64,
}

/// Why a write was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Somebody else wrote meanwhile.
    Raced,
    /// There is one of that name.
    Exists,
}

/// A list at one version.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The version.
    pub version: u64,
    /// The objects in the order of their keys.
    pub objects: Vec<Arc<Object>>,
}

impl Store {
    /// An empty one that keeps so many changes of each resource.
    pub fn new(kept: usize) -> Self {
        Self {
            inner: RwLock::new(Inner { version: 1, collections: HashMap::new() }),
            kept: kept.max(1),
            any: watch::Sender::new(1),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest version of all.
    pub fn version(&self) -> u64 {
        self.read().version
    }

    /// The newest version of one resource, for what is computed from it.
    pub fn version_of(&self, group: &str, plural: &str) -> u64 {
        let inner = self.read();
        inner
            .collections
            .get(&(group.to_owned(), plural.to_owned()))
            .and_then(|c| c.changes.back())
            .map_or(0, |change| change.version)
    }

    /// One object.
    pub fn get(&self, key: &StorageKey, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let inner = self.read();
        let object_key = (namespace.to_owned(), name.to_owned());
        inner.collections.get(key)?.objects.get(&object_key).cloned()
    }

    /// One object of a built-in resource, to work with.
    pub fn value(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        self.get(&(group.to_owned(), plural.to_owned()), namespace, name).map(|o| o.value())
    }

    /// All objects, or those of a namespace.
    pub fn list(&self, key: &StorageKey, namespace: Option<&str>) -> Snapshot {
        let inner = self.read();
        let Some(collection) = inner.collections.get(key) else {
            return Snapshot { version: inner.version, objects: Vec::new() };
        };
        let objects = match namespace {
            None => collection.objects.values().cloned().collect(),
            Some(namespace) => of_namespace(&collection.objects, namespace).cloned().collect(),
        };
        Snapshot { version: inner.version, objects }
    }

    /// All objects of a built-in resource, to work with.
    pub fn values(&self, group: &str, plural: &str, namespace: Option<&str>) -> Vec<Value> {
        let key = (group.to_owned(), plural.to_owned());
        self.list(&key, namespace).objects.iter().map(|object| object.value()).collect()
    }

    /// The list as it was at a version.
    ///
    /// # Errors
    /// When the changes since then are no longer kept.
    pub fn list_at(
        &self,
        key: &StorageKey,
        namespace: Option<&str>,
        version: u64,
    ) -> Result<Snapshot, Expired> {
        let inner = self.read();
        let Some(collection) = inner.collections.get(key) else {
            return Ok(Snapshot { version, objects: Vec::new() });
        };
        if version < collection.expired {
            return Err(Expired { oldest: collection.expired });
        }
        let mut undone: HashMap<ObjectKey, Option<Arc<Object>>> = HashMap::new();
        for change in collection.changes.iter().rev().take_while(|c| c.version > version) {
            undone.insert(change.after.key(), change.before.clone());
        }
        if undone.is_empty() {
            drop(inner);
            let mut snapshot = self.list(key, namespace);
            snapshot.version = version;
            return Ok(snapshot);
        }
        let mut objects = collection.objects.clone();
        for (key, before) in undone {
            match before {
                Some(before) => objects.insert(key, before),
                None => objects.remove(&key),
            };
        }
        let objects = match namespace {
            None => objects.into_values().collect(),
            Some(namespace) => of_namespace(&objects, namespace).cloned().collect(),
        };
        Ok(Snapshot { version, objects })
    }

    /// Puts a new object there.
    ///
    /// # Errors
    /// When there is one of that name.
    pub fn create(&self, key: &StorageKey, value: Value) -> Result<Arc<Object>, Lost> {
        let mut inner = self.write();
        let version = inner.version + 1;
        let object = Arc::new(Object::new(value, version));
        let collection = collection(&mut inner, key);
        if collection.objects.contains_key(&object.key()) {
            return Err(Lost::Exists);
        }
        collection.objects.insert(object.key(), Arc::clone(&object));
        let change = Change { version, before: None, after: Arc::clone(&object), deleted: false };
        self.remember(&mut inner, key, change);
        Ok(object)
    }

    /// Puts a new version of an object in the place of the one that was read.
    ///
    /// # Errors
    /// When another was written meanwhile.
    pub fn replace(
        &self,
        key: &StorageKey,
        read: &Object,
        value: Value,
    ) -> Result<Arc<Object>, Lost> {
        let mut inner = self.write();
        let version = inner.version + 1;
        let collection = collection(&mut inner, key);
        let before = match collection.objects.get(&read.key()) {
            Some(there) if there.version == read.version => Arc::clone(there),
            _ => return Err(Lost::Raced),
        };
        let object = Arc::new(Object::new(value, version));
        collection.objects.insert(object.key(), Arc::clone(&object));
        let change =
            Change { version, before: Some(before), after: Arc::clone(&object), deleted: false };
        self.remember(&mut inner, key, change);
        Ok(object)
    }

    /// Takes away an object that was read.
    ///
    /// # Errors
    /// When it was written meanwhile.
    pub fn remove(&self, key: &StorageKey, read: &Object) -> Result<Arc<Object>, Lost> {
        let mut inner = self.write();
        let version = inner.version + 1;
        let collection = collection(&mut inner, key);
        let before = match collection.objects.get(&read.key()) {
            Some(there) if there.version == read.version => Arc::clone(there),
            _ => return Err(Lost::Raced),
        };
        collection.objects.remove(&read.key());
        let last = Arc::new(Object::new(before.value(), version));
        let change =
            Change { version, before: Some(before), after: Arc::clone(&last), deleted: true };
        self.remember(&mut inner, key, change);
        Ok(last)
    }

    fn remember(&self, inner: &mut Inner, key: &StorageKey, change: Change) {
        let version = change.version;
        inner.version = version;
        let collection = collection(inner, key);
        collection.changes.push_back(change);
        while collection.changes.len() > self.kept {
            if let Some(gone) = collection.changes.pop_front() {
                collection.expired = gone.version;
            }
        }
        collection.newest.send_replace(version);
        self.any.send_replace(version);
    }

    /// The changes of a resource after a version, at most so many.
    ///
    /// # Errors
    /// When some of them are no longer kept.
    pub fn changes(
        &self,
        key: &StorageKey,
        after: u64,
        most: usize,
    ) -> Result<Vec<Change>, Expired> {
        let inner = self.read();
        let Some(collection) = inner.collections.get(key) else { return Ok(Vec::new()) };
        if after < collection.expired {
            return Err(Expired { oldest: collection.expired });
        }
        let start = collection.changes.partition_point(|change| change.version <= after);
        Ok(collection.changes.range(start..).take(most).cloned().collect())
    }

    /// Tells of each new version of a resource.
    pub fn follow(&self, key: &StorageKey) -> (watch::Receiver<u64>, watch::Receiver<u64>) {
        let mut inner = self.write();
        let collection = collection(&mut inner, key);
        (collection.newest.subscribe(), collection.ended.subscribe())
    }

    /// Tells of each new version of anything.
    pub fn follow_all(&self) -> watch::Receiver<u64> {
        self.any.subscribe()
    }

    /// Forgets the changes of all resources, as if they had happened long ago.
    pub fn expire_changes(&self) {
        let mut inner = self.write();
        let version = inner.version;
        for collection in inner.collections.values_mut() {
            collection.changes.clear();
            collection.expired = version;
        }
    }

    /// Takes a resource away whole, and ends its watches.
    pub fn drop_collection(&self, key: &StorageKey) {
        let mut inner = self.write();
        if let Some(collection) = inner.collections.remove(key) {
            collection.ended.send_modify(|count| *count += 1);
        }
    }

    /// All resources of which there are objects.
    pub fn storages(&self) -> Vec<StorageKey> {
        let inner = self.read();
        let mut keys: Vec<_> = inner
            .collections
            .iter()
            .filter(|(_, collection)| !collection.objects.is_empty())
            .map(|(key, _)| key.clone())
            .collect();
        keys.sort();
        keys
    }

    /// The objects that name this id as an owner.
    pub fn dependents(&self, uid: &str) -> Vec<(StorageKey, Arc<Object>)> {
        let inner = self.read();
        let mut found = Vec::new();
        for (key, collection) in &inner.collections {
            for object in collection.objects.values() {
                if object.owners.iter().any(|owner| owner == uid) {
                    found.push((key.clone(), Arc::clone(object)));
                }
            }
        }
        found
    }

    /// Whether an object with that id is there.
    pub fn has_uid(&self, key: &StorageKey, namespace: &str, name: &str, uid: &str) -> bool {
        self.get(key, namespace, name).is_some_and(|object| object.uid == uid)
    }
}

fn collection<'a>(inner: &'a mut Inner, key: &StorageKey) -> &'a mut Collection {
    let version = inner.version;
    inner.collections.entry(key.clone()).or_insert_with(|| Collection::new(version))
}

fn of_namespace<'a>(
    objects: &'a BTreeMap<ObjectKey, Arc<Object>>,
    namespace: &'a str,
) -> impl Iterator<Item = &'a Arc<Object>> {
    let start = Bound::Included((namespace.to_owned(), String::new()));
    objects
        .range((start, Bound::Unbounded))
        .take_while(move |((one, _), _)| one == namespace)
        .map(|(_, object)| object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pods() -> StorageKey {
        (String::new(), "pods".to_owned())
    }

    fn pod(name: &str) -> Value {
        json!({"metadata": {"namespace": "a", "name": name, "uid": name}})
    }

    #[test]
    fn an_older_list_is_what_was_there() {
        let store = Store::new(10);
        store.create(&pods(), pod("one")).unwrap();
        let then = store.version();
        let two = store.create(&pods(), pod("two")).unwrap();
        store.remove(&pods(), &two).unwrap();
        let one = store.get(&pods(), "a", "one").unwrap();
        store.remove(&pods(), &one).unwrap();
        assert!(store.list(&pods(), None).objects.is_empty());
        let names = |version| {
            let list = store.list_at(&pods(), Some("a"), version).unwrap();
            list.objects.iter().map(|object| object.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(then), ["one"]);
        assert_eq!(names(then + 1), ["one", "two"]);
    }

    #[test]
    fn what_is_no_longer_kept_is_expired() {
        let store = Store::new(1);
        let first = store.create(&pods(), pod("one")).unwrap();
        store.replace(&pods(), &first, pod("one")).unwrap();
        assert_eq!(store.replace(&pods(), &first, pod("one")).unwrap_err(), Lost::Raced);
        assert!(store.changes(&pods(), 1, 10).is_err());
        assert_eq!(store.changes(&pods(), first.version, 10).unwrap().len(), 1);
        assert!(store.list_at(&pods(), None, 1).is_err());
    }
}
