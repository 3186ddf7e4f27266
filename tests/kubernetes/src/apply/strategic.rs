//! Strategic merge patches: a merge patch that knows which lists merge by which key, with the
//! directives `$patch`, `$deleteFromPrimitiveList/…`, `$setElementOrder/…` and `$retainKeys`.

use serde_json::{Map, Value};

use crate::schema::Schema;

/// Puts a patch into an object.
///
/// # Errors
/// When the patch cannot be one, in a sentence.
pub fn patch(schema: &Schema, target: &mut Value, patch: &Value) -> Result<(), String> {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    match changes.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            let mut whole = changes.clone();
            whole.remove("$patch");
            *target = Value::Object(whole);
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        None | Some("merge") => {}
        Some(other) => return Err(format!("Unknown patch type found: {other}")),
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return Ok(()) };
    if let Some(kept) = changes.get("$retainKeys").and_then(Value::as_array) {
        fields.retain(|name, _| kept.iter().any(|one| one == name));
    }
    for (name, change) in changes {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = change.as_array().cloned().unwrap_or_default();
            if let Some(entries) = fields.get_mut(list).and_then(Value::as_array_mut) {
                entries.retain(|entry| !gone.contains(entry));
            }
            continue;
        }
        if name.starts_with('$') {
            continue;
        }
        if change.is_null() {
            fields.remove(name);
            continue;
        }
        let inner = schema.field(name).unwrap_or_else(Schema::any);
        let there = fields.entry(name.clone()).or_insert(Value::Null);
        match (change, inner.patch_key()) {
            (Value::Array(entries), Some(key)) => list(&inner, there, entries, key)?,
            (Value::Object(_), _) => self::patch(&inner, there, change)?,
            _ => *there = change.clone(),
        }
    }
    for (name, order) in changes {
        if let Some(list) = name.strip_prefix("$setElementOrder/")
            && let Some(entries) = fields.get_mut(list).and_then(Value::as_array_mut)
        {
            let key = schema.field(list).and_then(|s| s.patch_key().map(str::to_owned));
            sort(entries, order, key.as_deref().unwrap_or_default());
        }
    }
    Ok(())
}

fn list(schema: &Schema, target: &mut Value, changes: &[Value], key: &str) -> Result<(), String> {
    let items = schema.items().unwrap_or_else(Schema::any);
    if changes.iter().any(|change| change["$patch"] == "replace") {
        let kept = changes.iter().filter(|change| change.get("$patch").is_none());
        *target = Value::Array(kept.cloned().collect());
        return Ok(());
    }
    if !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let Some(entries) = target.as_array_mut() else { return Ok(()) };
    for change in changes {
        if key.is_empty() || !change.is_object() {
            if !entries.contains(change) {
                entries.push(change.clone());
            }
            continue;
        }
        let wanted = &change[key];
        if wanted.is_null() {
            return Err(format!("map: {change} does not contain declared merge key: {key}"));
        }
        let found = entries.iter().position(|entry| entry[key] == *wanted);
        match (found, change["$patch"].as_str()) {
            (at, Some("delete")) => {
                if let Some(at) = at {
                    entries.remove(at);
                }
            }
            (Some(at), _) => patch(&items, &mut entries[at], change)?,
            (None, _) => {
                let mut new = Value::Object(Map::new());
                patch(&items, &mut new, change)?;
                entries.push(new);
            }
        }
    }
    Ok(())
}

fn sort(entries: &mut [Value], order: &Value, key: &str) {
    let order = order.as_array().map(Vec::as_slice).unwrap_or_default();
    let place = |entry: &Value| {
        let is = |one: &Value| if key.is_empty() { one == entry } else { one[key] == entry[key] };
        order.iter().position(is).unwrap_or(usize::MAX)
    };
    entries.sort_by_key(place);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::Catalog;

    #[test]
    fn lists_merge_by_their_keys() {
        let schema = Catalog::built_in("apps", "deployments").unwrap().schema.clone();
        let mut value = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "a", "image": "1"}, {"name": "b", "image": "2"}
        ]}}}});
        let change = json!({"spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
            "containers": [
                {"name": "b", "$patch": "delete"}, {"name": "a", "image": "3"}, {"name": "c", "image": "4"}
            ],
        }}}});
        patch(&schema, &mut value, &change).unwrap();
        assert_eq!(
            value["spec"]["template"]["spec"]["containers"],
            json!([{"name": "c", "image": "4"}, {"name": "a", "image": "3"}])
        );
    }
}
