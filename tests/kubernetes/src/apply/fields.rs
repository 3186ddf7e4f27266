//! Sets of fields, in the form of `managedFields` (FieldsV1).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::schema::{ListType, Schema, Shape};

/// A set of fields: whether the place itself belongs to it, and what below it does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// Whether this place is in the set.
    pub here: bool,
    /// `f:name`, `k:{…}` or `v:…`, and what is below.
    pub below: BTreeMap<String, Fields>,
}

impl Fields {
    fn leaf() -> Self {
        Self { here: true, below: BTreeMap::new() }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        !self.here && self.below.values().all(Self::is_empty)
    }

    /// Reads `fieldsV1`.
    pub fn parse(value: &Value) -> Self {
        let mut fields = Self::default();
        for (key, below) in value.as_object().into_iter().flatten() {
            if key == "." {
                fields.here = true;
                continue;
            }
            let mut child = Self::parse(below);
            if below.as_object().is_some_and(Map::is_empty) {
                child.here = true;
            }
            fields.below.insert(key.clone(), child);
        }
        fields
    }

    /// As `fieldsV1`.
    pub fn value(&self) -> Value {
        let mut out = Map::new();
        if self.here && !self.below.is_empty() {
            out.insert(".".to_owned(), json!({}));
        }
        for (key, child) in &self.below {
            if !child.is_empty() {
                out.insert(key.clone(), child.value());
            }
        }
        Value::Object(out)
    }

    /// Both together.
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.here |= other.here;
        for (key, child) in &other.below {
            let there = all.below.entry(key.clone()).or_default();
            *there = there.union(child);
        }
        all
    }

    /// What is in this one and not in the other.
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Self { here: self.here && !other.here, below: BTreeMap::new() };
        for (key, child) in &self.below {
            let child = match other.below.get(key) {
                Some(gone) => child.without(gone),
                None => child.clone(),
            };
            if !child.is_empty() {
                left.below.insert(key.clone(), child);
            }
        }
        left
    }

    /// This one without what is at or below places of the other.
    pub fn without_below(&self, other: &Self) -> Self {
        let mut left = Self { here: self.here && !other.here, below: BTreeMap::new() };
        for (key, child) in &self.below {
            let child = match other.below.get(key) {
                Some(gone) if gone.here => continue,
                Some(gone) => child.without_below(gone),
                None => child.clone(),
            };
            if !child.is_empty() {
                left.below.insert(key.clone(), child);
            }
        }
        left
    }

    /// What is in both.
    pub fn both(&self, other: &Self) -> Self {
        let mut both = Self { here: self.here && other.here, below: BTreeMap::new() };
        for (key, child) in &self.below {
            if let Some(theirs) = other.below.get(key) {
                let child = child.both(theirs);
                if !child.is_empty() {
                    both.below.insert(key.clone(), child);
                }
            }
        }
        both
    }

    /// All places, as Kubernetes writes them in conflicts: `.spec.replicas`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, at: &str, paths: &mut Vec<String>) {
        if self.here && !at.is_empty() {
            paths.push(at.to_owned());
        }
        for (key, child) in &self.below {
            child.collect(&format!("{at}{}", shown(key)), paths);
        }
    }

    /// Adds a place given by its keys.
    fn add(&mut self, keys: &[String]) {
        match keys.split_first() {
            None => self.here = true,
            Some((first, rest)) => self.below.entry(first.clone()).or_default().add(rest),
        }
    }
}

fn shown(key: &str) -> String {
    let (kind, rest) = key.split_once(':').unwrap_or(("", key));
    match kind {
        "f" => format!(".{rest}"),
        "v" => format!("[={rest}]"),
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
            let keys: Vec<_> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
        _ => format!("[{rest}]"),
    }
}

/// The key of a list's entry.
pub fn entry_key(schema: &Schema, entry: &Value) -> Option<String> {
    match schema.list_type() {
        ListType::Atomic => None,
        ListType::Set => Some(format!("v:{entry}")),
        ListType::Map(keys) => {
            let mut found = Map::new();
            for key in keys {
                match entry.get(key) {
                    Some(value) if !value.is_null() => {
                        found.insert(key.clone(), value.clone());
                    }
                    _ => {
                        if let Some(default) = schema.key_default(key) {
                            found.insert(key.clone(), default);
                        }
                    }
                }
            }
            let sorted: BTreeMap<_, _> = found.into_iter().collect();
            Some(format!("k:{}", serde_json::to_string(&sorted).ok()?))
        }
    }
}

/// All fields of a value.
pub fn of(schema: &Schema, value: &Value) -> Fields {
    let mut fields = Fields::default();
    collect(schema, value, &mut Vec::new(), &mut fields);
    fields
}

fn collect(schema: &Schema, value: &Value, at: &mut Vec<String>, out: &mut Fields) {
    match value {
        Value::Object(entries) if !schema.is_atomic() && is_map(schema) => {
            if entries.is_empty() && !at.is_empty() {
                out.add(at);
            }
            for (name, entry) in entries {
                let inner = schema.field(name).unwrap_or_else(Schema::any);
                at.push(format!("f:{name}"));
                if !schema.is_struct_field(name) {
                    out.add(at);
                }
                collect(&inner, entry, at, out);
                at.pop();
            }
        }
        Value::Array(entries) if *schema.list_type() != ListType::Atomic => {
            if entries.is_empty() {
                out.add(at);
            }
            let items = schema.items().unwrap_or_else(Schema::any);
            for entry in entries {
                let Some(key) = entry_key(schema, entry) else { continue };
                at.push(key);
                out.add(at);
                if entry.is_object() {
                    collect(&items, entry, at, out);
                }
                at.pop();
            }
        }
        _ => out.add(at),
    }
}

fn is_map(schema: &Schema) -> bool {
    matches!(schema.shape(), Shape::Object { .. } | Shape::Any)
}

/// What differs between two values: what is new or other, and what is gone.
pub fn compare(schema: &Schema, before: &Value, after: &Value) -> (Fields, Fields) {
    let (mut changed, mut gone) = (Fields::default(), Fields::default());
    difference(schema, before, after, &mut Vec::new(), &mut changed, &mut gone);
    (changed, gone)
}

fn difference(
    schema: &Schema,
    before: &Value,
    after: &Value,
    at: &mut Vec<String>,
    changed: &mut Fields,
    gone: &mut Fields,
) {
    if before == after {
        return;
    }
    match (before, after) {
        (Value::Object(old), Value::Object(new)) if !schema.is_atomic() && is_map(schema) => {
            for (name, value) in new {
                let inner = schema.field(name).unwrap_or_else(Schema::any);
                at.push(format!("f:{name}"));
                match old.get(name) {
                    Some(there) => difference(&inner, there, value, at, changed, gone),
                    None => added(&inner, value, schema.is_struct_field(name), at, changed),
                }
                at.pop();
            }
            for (name, value) in old {
                if !new.contains_key(name) {
                    let inner = schema.field(name).unwrap_or_else(Schema::any);
                    at.push(format!("f:{name}"));
                    added(&inner, value, schema.is_struct_field(name), at, gone);
                    at.pop();
                }
            }
        }
        (Value::Array(old), Value::Array(new)) if *schema.list_type() != ListType::Atomic => {
            let items = schema.items().unwrap_or_else(Schema::any);
            let find = |list: &[Value], key: &str| {
                list.iter().find(|e| entry_key(schema, e).as_deref() == Some(key)).cloned()
            };
            for entry in new {
                let Some(key) = entry_key(schema, entry) else { continue };
                at.push(key.clone());
                match find(old, &key) {
                    Some(there) => difference(&items, &there, entry, at, changed, gone),
                    None => {
                        changed.add(at);
                        if entry.is_object() {
                            collect(&items, entry, at, changed);
                        }
                    }
                }
                at.pop();
            }
            for entry in old {
                let Some(key) = entry_key(schema, entry) else { continue };
                if find(new, &key).is_none() {
                    at.push(key);
                    gone.add(at);
                    if entry.is_object() {
                        collect(&items, entry, at, gone);
                    }
                    at.pop();
                }
            }
        }
        _ => changed.add(at),
    }
}

/// A value that was not there: with it the place that holds it, where that is a map or a list.
fn added(schema: &Schema, value: &Value, field: bool, at: &mut Vec<String>, out: &mut Fields) {
    let holder = match value {
        Value::Object(_) => !schema.is_atomic() && schema.name().is_empty(),
        Value::Array(_) => {
            let always_there = at.last().is_some_and(|key| key == "f:containers");
            *schema.list_type() != ListType::Atomic && !always_there
        }
        _ => false,
    };
    if holder || !field || optional_struct(schema, value) {
        out.add(at);
    }
    collect(schema, value, at, out);
}

/// Structs that Go has by pointer: that they are there is a field of its own.
fn optional_struct(schema: &Schema, value: &Value) -> bool {
    value.is_object()
        && !schema.is_atomic()
        && matches!(
            schema.name(),
            "RollingUpdateDeployment"
                | "RollingUpdateDaemonSet"
                | "RollingUpdateStatefulSetStrategy"
                | "Probe"
                | "HTTPGetAction"
                | "TCPSocketAction"
                | "ExecAction"
                | "GRPCAction"
                | "SecurityContext"
                | "PodSecurityContext"
                | "ConfigMapVolumeSource"
                | "SecretVolumeSource"
                | "EmptyDirVolumeSource"
                | "HostPathVolumeSource"
                | "PersistentVolumeClaimVolumeSource"
                | "ProjectedVolumeSource"
                | "EnvVarSource"
                | "Lifecycle"
                | "LifecycleHandler"
                | "Affinity"
                | "IngressServiceBackend"
                | "HTTPIngressRuleValue"
        )
}
