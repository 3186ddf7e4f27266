//! Who manages which fields, and the ways to change an object in part.

pub mod fields;
pub mod json_patch;
pub mod merge;
pub mod strategic;

use serde_json::{Map, Value, json};

use self::fields::Fields;
use crate::{
    clock,
    resources::ResourceType,
    status::{ApiError, Result},
};

/// One entry of `managedFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Manager {
    name: String,
    operation: String,
    subresource: String,
    api_version: String,
    time: String,
    fields: Fields,
}

fn managers(object: &Value) -> Vec<Manager> {
    let entries = object["metadata"]["managedFields"].as_array();
    entries
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(|entry| {
            let word = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            Manager {
                name: word("manager"),
                operation: word("operation"),
                subresource: word("subresource"),
                api_version: word("apiVersion"),
                time: word("time"),
                fields: Fields::parse(&entry["fieldsV1"]),
            }
        })
        .collect()
}

fn set_managers(object: &mut Value, managers: Vec<Manager>) {
    let mut kept: Vec<_> = managers.into_iter().filter(|m| !m.fields.is_empty()).collect();
    kept.sort_by(|a, b| {
        (&a.operation, &a.time, &a.name, &a.subresource).cmp(&(
            &b.operation,
            &b.time,
            &b.name,
            &b.subresource,
        ))
    });
    let entries: Vec<_> = kept
        .iter()
        .map(|manager| {
            let mut entry = Map::new();
            entry.insert("manager".to_owned(), json!(manager.name));
            entry.insert("operation".to_owned(), json!(manager.operation));
            entry.insert("apiVersion".to_owned(), json!(manager.api_version));
            if !manager.time.is_empty() {
                entry.insert("time".to_owned(), json!(manager.time));
            }
            entry.insert("fieldsType".to_owned(), json!("FieldsV1"));
            entry.insert("fieldsV1".to_owned(), manager.fields.value());
            if !manager.subresource.is_empty() {
                entry.insert("subresource".to_owned(), json!(manager.subresource));
            }
            Value::Object(entry)
        })
        .collect();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        if entries.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), Value::Array(entries));
        }
    }
}

/// The object without what nobody manages.
fn managed_part(object: &Value) -> Value {
    let mut object = object.clone();
    let Some(fields) = object.as_object_mut() else { return object };
    fields.remove("apiVersion");
    fields.remove("kind");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in [
            "name",
            "namespace",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "uid",
            "generation",
            "managedFields",
            "resourceVersion",
        ] {
            metadata.remove(field);
        }
        if metadata.is_empty() {
            fields.remove("metadata");
        }
    }
    object
}

/// After a create or update: what changed is the writer's from here on, and nobody else's.
pub fn manage_update(
    resource: &ResourceType,
    before: Option<&Value>,
    after: &mut Value,
    manager: &str,
    subresource: &str,
) {
    // An empty list of managers in a write means: forget them all.
    let reset = after["metadata"]["managedFields"]
        .as_array()
        .is_some_and(|list| list.is_empty() || list.len() == 1 && list[0] == json!({}));
    let mut all = match before {
        Some(_) if reset => Vec::new(),
        Some(before) => managers(before),
        None => Vec::new(),
    };
    if reset && before.is_some() {
        set_managers(after, Vec::new());
        return;
    }
    let old = before.map(managed_part).unwrap_or_else(|| json!({}));
    let (changed, gone) = fields::compare(&resource.schema, &old, &managed_part(after));
    if changed.is_empty() && gone.is_empty() {
        set_managers(after, all);
        return;
    }
    let is_writer = |one: &Manager| {
        one.name == manager && one.operation == "Update" && one.subresource == subresource
    };
    for other in all.iter_mut().filter(|one| !is_writer(one)) {
        other.fields = other.fields.without(&changed).without_below(&gone);
    }
    let stamp = clock::stamp();
    let at = all.iter().position(is_writer);
    match at {
        Some(at) => {
            let one = &mut all[at];
            one.fields = one.fields.without_below(&gone).union(&changed);
            one.time = stamp;
            one.api_version = resource.api_version();
        }
        None if changed.is_empty() => {}
        None => all.push(Manager {
            name: if manager.is_empty() { "unknown".to_owned() } else { manager.to_owned() },
            operation: "Update".to_owned(),
            subresource: subresource.to_owned(),
            api_version: resource.api_version(),
            time: stamp,
            fields: changed,
        }),
    }
    set_managers(after, all);
}

/// An apply.
pub struct Apply<'a> {
    /// The resource.
    pub resource: &'a ResourceType,
    /// Who applies.
    pub manager: &'a str,
    /// To which part, or nothing.
    pub subresource: &'a str,
    /// Whether fields of others are taken.
    pub force: bool,
}

/// Makes the object that an apply wants.
///
/// # Errors
/// When others manage fields that would change, and force is not asked for.
pub fn apply(request: &Apply, there: Option<&Value>, applied: &Value) -> Result<Value> {
    let schema = &request.resource.schema;
    let empty = json!({});
    let live = there.cloned().unwrap_or_else(
        || json!({"apiVersion": applied["apiVersion"], "kind": applied["kind"], "metadata": {}}),
    );
    let mut all = there.map(managers).unwrap_or_default();
    // Objects from before apply: what is there belongs to whoever was there before.
    if there.is_some() && all.is_empty() {
        all.push(Manager {
            name: "before-first-apply".to_owned(),
            operation: "Update".to_owned(),
            subresource: String::new(),
            api_version: request.resource.api_version(),
            time: clock::stamp(),
            fields: fields::of(schema, &managed_part(&live)),
        });
    }
    let is_applier = |one: &Manager| {
        one.name == request.manager
            && one.operation == "Apply"
            && one.subresource == request.subresource
    };
    let wanted = fields::of(schema, &managed_part(applied));
    let last = all.iter().find(|one| is_applier(one)).map(|one| one.fields.clone());
    let mut merged = merge::merge(schema, &live, applied);
    // What was applied last time and is not now goes, unless somebody else has it.
    if let Some(last) = &last {
        let others = all
            .iter()
            .filter(|one| !is_applier(one))
            .fold(Fields::default(), |sum, one| sum.union(&one.fields));
        let gone = last.without(&wanted).without(&others);
        merge::remove(schema, &mut merged, &gone, &others.union(&wanted));
    }
    let (changed, _) =
        fields::compare(schema, &there.map(managed_part).unwrap_or(empty), &managed_part(&merged));
    let taken = changed.both(&wanted);
    conflicts(request, &all, &taken)?;
    for other in all.iter_mut().filter(|one| !is_applier(one)) {
        other.fields = other.fields.without(&taken);
    }
    let entry = Manager {
        name: request.manager.to_owned(),
        operation: "Apply".to_owned(),
        subresource: request.subresource.to_owned(),
        api_version: request.resource.api_version(),
        time: clock::stamp(),
        fields: wanted,
    };
    match all.iter_mut().find(|one| is_applier(one)) {
        Some(one) if one.fields == entry.fields && changed.is_empty() => {}
        Some(one) => *one = entry,
        None => all.push(entry),
    }
    set_managers(&mut merged, all);
    Ok(merged)
}

fn conflicts(request: &Apply, all: &[Manager], taken: &Fields) -> Result<()> {
    if request.force {
        return Ok(());
    }
    let mut causes = Vec::new();
    let mut words = Vec::new();
    for other in all {
        if other.name == request.manager
            && other.operation == "Apply"
            && other.subresource == request.subresource
        {
            continue;
        }
        let paths = other.fields.both(taken).paths();
        if paths.is_empty() {
            continue;
        }
        let mut who = format!("conflict with {:?}", other.name);
        let many = paths.len() > 1;
        if !other.subresource.is_empty() {
            who.push_str(&format!(" with subresource {:?}", other.subresource));
        }
        if other.operation == "Update" {
            who.push_str(&format!(" using {}", other.api_version));
        }
        let said =
            if many { who.replacen("conflict with", "conflicts with", 1) } else { who.clone() };
        words.push((said, paths.clone()));
        for path in paths {
            causes.push(json!({
                "reason": "FieldManagerConflict",
                "message": who,
                "field": path,
            }));
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    let count = causes.len();
    let message = if count == 1 {
        format!("Apply failed with 1 conflict: {}: {}", words[0].0, words[0].1[0])
    } else {
        let parts: Vec<_> = words
            .iter()
            .map(|(who, paths)| match paths.as_slice() {
                [one] => format!("{who}: {one}"),
                more => {
                    let lines: Vec<_> = more.iter().map(|path| format!("- {path}")).collect();
                    format!("{who}:\n{}", lines.join("\n"))
                }
            })
            .collect();
        let joined = if parts.len() == 1 { parts[0].clone() } else { parts.join("\n") };
        format!("Apply failed with {count} conflicts: {joined}")
    };
    let error = ApiError::new(409, "Conflict", message);
    Err(error.with_details(json!({"causes": causes})))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Catalog;

    fn config(data: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
    }

    fn by<'a>(resource: &'a ResourceType, manager: &'a str, force: bool) -> Apply<'a> {
        Apply { resource, manager, subresource: "", force }
    }

    #[test]
    fn two_appliers_share_and_contend() {
        let maps = Catalog::built_in("", "configmaps").unwrap();
        let one = apply(&by(&maps, "one", false), None, &config(json!({"a": "1"}))).unwrap();
        let both = apply(&by(&maps, "two", false), Some(&one), &config(json!({"b": "2"}))).unwrap();
        assert_eq!(both["data"], json!({"a": "1", "b": "2"}));
        let refused =
            apply(&by(&maps, "two", false), Some(&both), &config(json!({"a": "9"}))).unwrap_err();
        assert_eq!(refused.message, "Apply failed with 1 conflict: conflict with \"one\": .data.a");
        let forced =
            apply(&by(&maps, "two", true), Some(&both), &config(json!({"a": "9"}))).unwrap();
        assert_eq!(forced["data"], json!({"a": "9"}));
        let gone = apply(&by(&maps, "two", false), Some(&forced), &config(json!({}))).unwrap();
        assert!(gone["data"].as_object().is_none_or(Map::is_empty));
    }

    #[test]
    fn an_update_takes_what_it_changes() {
        let maps = Catalog::built_in("", "configmaps").unwrap();
        let one = apply(&by(&maps, "one", false), None, &config(json!({"a": "1"}))).unwrap();
        let mut changed = one.clone();
        changed["data"]["a"] = json!("2");
        manage_update(&maps, Some(&one), &mut changed, "kubectl-edit", "");
        let refused = apply(&by(&maps, "one", false), Some(&changed), &config(json!({"a": "1"})))
            .unwrap_err();
        assert!(refused.message.contains("conflict with \"kubectl-edit\" using v1: .data.a"));
    }
}
