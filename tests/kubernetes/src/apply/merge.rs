//! Server-side apply: what the applier says is put into the object, and what it said last time and
//! says no more is taken out, unless somebody else says it.

use serde_json::{Map, Value};

use super::fields::{Fields, entry_key};
use crate::schema::{ListType, Schema, Shape};

/// Puts what is applied into what is there.
pub fn merge(schema: &Schema, there: &Value, applied: &Value) -> Value {
    match (there, applied) {
        (Value::Object(old), Value::Object(new)) if is_merged(schema) => {
            let mut all = old.clone();
            for (name, value) in new {
                let inner = schema.field(name).unwrap_or_else(Schema::any);
                let merged = match old.get(name) {
                    Some(before) => merge(&inner, before, value),
                    None => value.clone(),
                };
                all.insert(name.clone(), merged);
            }
            Value::Object(all)
        }
        (Value::Array(old), Value::Array(new)) if *schema.list_type() != ListType::Atomic => {
            Value::Array(merge_list(schema, old, new))
        }
        _ => applied.clone(),
    }
}

fn is_merged(schema: &Schema) -> bool {
    !schema.is_atomic() && matches!(schema.shape(), Shape::Object { .. } | Shape::Any)
}

/// Entries in the order in which they are applied; those that are only there keep their place
/// after the one that they followed.
fn merge_list(schema: &Schema, old: &[Value], new: &[Value]) -> Vec<Value> {
    let items = schema.items().unwrap_or_else(Schema::any);
    let key = |entry: &Value| entry_key(schema, entry);
    let mut merged: Vec<Value> = Vec::new();
    let mut next_old = 0;
    for entry in new {
        let found = old.iter().position(|there| key(there) == key(entry));
        match found {
            Some(at) => {
                // What stands before it and is not applied stays before it.
                while next_old < at {
                    let there = &old[next_old];
                    if !new.iter().any(|one| key(one) == key(there)) {
                        merged.push(there.clone());
                    }
                    next_old += 1;
                }
                next_old = next_old.max(at + 1);
                merged.push(merge(&items, &old[at], entry));
            }
            None => merged.push(entry.clone()),
        }
    }
    for there in old.iter().skip(next_old) {
        if !new.iter().any(|one| key(one) == key(there)) {
            merged.push(there.clone());
        }
    }
    merged
}

/// Takes fields out of a value. An entry of a list goes as a whole, with what was filled in for it,
/// unless others have something of it.
pub fn remove(schema: &Schema, value: &mut Value, fields: &Fields, others: &Fields) {
    let none = Fields::default();
    match value {
        Value::Object(entries) => {
            for (key, below) in &fields.below {
                let Some(name) = key.strip_prefix("f:") else { continue };
                let inner = schema.field(name).unwrap_or_else(Schema::any);
                let Some(entry) = entries.get_mut(name) else { continue };
                if below.here && below.below.is_empty() {
                    entries.remove(name);
                    continue;
                }
                remove(&inner, entry, below, others.below.get(key).unwrap_or(&none));
                if is_empty(entry) && (below.here || !below.below.is_empty()) {
                    entries.remove(name);
                }
            }
        }
        Value::Array(entries) => {
            let items = schema.items().unwrap_or_else(Schema::any);
            entries.retain_mut(|entry| {
                let Some(key) = entry_key(schema, entry) else { return true };
                let Some(below) = fields.below.get(&key) else { return true };
                let others = others.below.get(&key).unwrap_or(&none);
                if below.here && others.is_empty() {
                    return false;
                }
                let keys = match schema.list_type() {
                    ListType::Map(keys) => keys.as_slice(),
                    _ => &[],
                };
                let kept: Vec<_> = keys.iter().map(|key| (key, entry[key].clone())).collect();
                remove(&items, entry, below, others);
                for (key, value) in kept.into_iter().filter(|(_, value)| !value.is_null()) {
                    entry[key] = value;
                }
                true
            });
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        _ => false,
    }
}

/// A JSON merge patch (RFC 7386).
pub fn json_merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            json_merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{apply::fields, resources::Catalog};

    fn deployment() -> Schema {
        Catalog::built_in("apps", "deployments").unwrap().schema.clone()
    }

    #[test]
    fn containers_merge_by_name() {
        let there = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "a", "image": "one", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "two"}
        ]}}}});
        let applied = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "a", "image": "other"}
        ]}}}});
        let merged = merge(&deployment(), &there, &applied);
        let containers = &merged["spec"]["template"]["spec"]["containers"];
        assert_eq!(containers[0]["image"], "other");
        assert_eq!(containers[0]["env"][0]["value"], "1");
        assert_eq!(containers[1]["name"], "b");
    }

    #[test]
    fn what_is_said_no_more_goes() {
        let schema = deployment();
        let mut there =
            json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"replicas": 2}});
        let gone = fields::of(
            &schema,
            &json!({"metadata": {"labels": {"b": "2"}}, "spec": {"replicas": 2}}),
        );
        remove(&schema, &mut there, &gone, &fields::Fields::default());
        assert_eq!(there, json!({"metadata": {"labels": {"a": "1"}}}));
    }

    #[test]
    fn entries_go_with_what_was_filled_in_for_them() {
        let schema = deployment();
        let volumes =
            |volumes: Value| json!({"spec": {"template": {"spec": {"volumes": volumes}}}});
        let mine = json!([{"name": "a", "secret": {"secretName": "s"}}]);
        let gone = fields::of(&schema, &volumes(mine));
        let filled =
            volumes(json!([{"name": "a", "secret": {"secretName": "s", "defaultMode": 420}}]));
        let mut there = filled.clone();
        remove(&schema, &mut there, &gone, &fields::Fields::default());
        assert_eq!(there, json!({}));
        let theirs = volumes(json!([{"name": "a", "secret": {"defaultMode": 420}}]));
        let others = fields::of(&schema, &theirs);
        let mut there = filled;
        remove(&schema, &mut there, &gone.without(&others), &others);
        assert_eq!(there, theirs);
    }

    #[test]
    fn merge_patches_follow_the_standard() {
        let mut value = json!({"a": "b", "c": {"d": "e", "f": "g"}});
        json_merge(&mut value, &json!({"a": "z", "c": {"f": null}}));
        assert_eq!(value, json!({"a": "z", "c": {"d": "e"}}));
    }
}
