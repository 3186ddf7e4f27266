//! From a cluster's OpenAPI v3 document to the JSON Schema of one kind, with all that it refers to.
//!
//! <https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3>

use std::collections::{BTreeMap, btree_map::Entry};

use serde_json::{Map, Value, json};

const REFERENCE: &str = "#/components/schemas/";

/// The schema of a kind. `None` where the document has none.
pub fn of_kind(document: &Value, group: &str, version: &str, kind: &str) -> Option<Value> {
    let schemas = document["components"]["schemas"].as_object()?;
    let wanted = json!([{ "group": group, "version": version, "kind": kind }]);
    let wanted = &wanted[0];
    let is = |schema: &Value| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        // Schemas of what all kinds share (DeleteOptions) name many.
        kinds.is_some_and(|kinds| kinds.len() == 1 && kinds[0] == *wanted)
    };
    let root = schemas.values().find(|schema| is(schema))?;
    let mut found = BTreeMap::new();
    let mut open = Vec::new();
    let mut schema = rewritten(root, &mut open);
    while let Some(name) = open.pop() {
        if let Entry::Vacant(place) = found.entry(name) {
            let part = schemas.get(place.key());
            place.insert(part.map_or(Value::Bool(true), |part| rewritten(part, &mut open)));
        }
    }
    let top = schema.as_object_mut()?;
    top.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    top.insert("title".into(), kind.into());
    pin(
        top,
        "apiVersion",
        &if group.is_empty() { version.into() } else { format!("{group}/{version}") },
    );
    pin(top, "kind", kind);
    // What the server says is not for anybody to write.
    if let Some(properties) = top.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove("status");
    }
    top.insert("$defs".into(), found.into_iter().collect::<Map<_, _>>().into());
    Some(schema)
}

/// A field that has only one value.
fn pin(top: &mut Map<String, Value>, field: &str, value: &str) {
    if let Some(schema) = top
        .get_mut("properties")
        .and_then(|properties| properties.get_mut(field))
        .and_then(Value::as_object_mut)
    {
        schema.insert("enum".into(), json!([value]));
    }
}

/// The schema with its references led to `$defs`; what it refers to is added to `open`.
fn rewritten(schema: &Value, open: &mut Vec<String>) -> Value {
    match schema {
        Value::Object(fields) => {
            let rewrite = |(key, value): (&String, &Value)| {
                if let ("$ref", Some(name)) =
                    (key.as_str(), value.as_str().and_then(|text| text.strip_prefix(REFERENCE)))
                {
                    open.push(name.to_owned());
                    return (key.clone(), Value::String(format!("#/$defs/{name}")));
                }
                (key.clone(), rewritten(value, open))
            };
            fields.iter().map(rewrite).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(|item| rewritten(item, open)).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_comes_with_all_that_it_refers_to() {
        let document = json!({"components": {"schemas": {
            "io.a.Deployment": {"type": "object", "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "status": {},
                "spec": {"allOf": [{"$ref": "#/components/schemas/io.a.Spec"}], "default": {}}},
                "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Deployment"}]},
            "io.a.Spec": {"properties": {"again": {"$ref": "#/components/schemas/io.a.Spec"}}},
            "io.a.Other": {"type": "object"},
        }}});
        let schema = of_kind(&document, "apps", "v1", "Deployment").unwrap_or_default();
        assert_eq!(schema["properties"]["spec"]["allOf"][0]["$ref"], "#/$defs/io.a.Spec");
        assert_eq!(
            schema["$defs"]["io.a.Spec"]["properties"]["again"]["$ref"],
            "#/$defs/io.a.Spec"
        );
        assert_eq!(schema["$defs"].as_object().map(Map::len), Some(1));
        assert_eq!(schema["properties"]["apiVersion"]["enum"], json!(["apps/v1"]));
        assert!(schema["properties"].get("status").is_none());
        assert!(of_kind(&document, "apps", "v2", "Deployment").is_none());
    }
}
