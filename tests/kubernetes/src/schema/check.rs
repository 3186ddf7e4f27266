//! Reading an object by its schema: fields that are not known, values of other types.

use serde_json::{Map, Value};

use super::{Schema, Shape};
use crate::validation::quantity;

/// What a walk found.
#[derive(Debug, Default)]
pub struct Prune {
    /// Fields that the schema does not have, by their paths.
    pub unknown: Vec<String>,
}

/// Takes away what the schema does not have, and says what that was.
pub fn prune(schema: &Schema, value: &mut Value, custom: bool) -> Prune {
    let mut found = Prune::default();
    walk(schema, value, "", custom, &mut found);
    found
}

fn walk(schema: &Schema, value: &mut Value, path: &str, custom: bool, found: &mut Prune) {
    match value {
        Value::Object(fields) => {
            if matches!(schema.shape(), Shape::Any) {
                return;
            }
            prune_fields(schema, fields, path, custom, found);
        }
        Value::Array(entries) => {
            let Some(items) = schema.items() else { return };
            if matches!(items.shape(), Shape::Any) {
                return;
            }
            for (index, entry) in entries.iter_mut().enumerate() {
                walk(&items, entry, &format!("{path}[{index}]"), custom, found);
            }
        }
        _ => {}
    }
}

fn prune_fields(
    schema: &Schema,
    fields: &mut Map<String, Value>,
    path: &str,
    custom: bool,
    found: &mut Prune,
) {
    let free = is_free_form(schema) && !custom;
    let mut gone = Vec::new();
    for (name, field) in fields.iter_mut() {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match schema.field(name) {
            // Go reads null as a field that is not there.
            Some(_) if field.is_null() && !custom => gone.push(name.clone()),
            Some(inner) => walk(&inner, field, &below, custom, found),
            None if schema.preserves() || free || embedded_field(schema, name) => {}
            None => {
                found.unknown.push(below);
                gone.push(name.clone());
            }
        }
    }
    for name in gone {
        fields.remove(&name);
    }
}

/// An object of a built-in type without any field takes what there is, as `FieldsV1` and
/// `RawExtension` do.
fn is_free_form(schema: &Schema) -> bool {
    match schema.shape() {
        Shape::Object { fields, additional, .. } => {
            fields.is_empty()
                && additional.is_none()
                && matches!(schema.name(), "" | "FieldsV1" | "RawExtension" | "JSON")
        }
        _ => false,
    }
}

fn embedded_field(schema: &Schema, name: &str) -> bool {
    schema.is_embedded() && matches!(name, "apiVersion" | "kind" | "metadata")
}

/// What Go's decoder says of the first value that has another type than its field.
pub fn type_error(schema: &Schema, value: &Value) -> Option<String> {
    mismatch(schema, value, schema.name(), "")
}

fn mismatch(schema: &Schema, value: &Value, owner: &str, path: &str) -> Option<String> {
    let wrong = |found: &str, wanted: &str| {
        Some(format!(
            "json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {wanted}"
        ))
    };
    if value.is_null() {
        return None;
    }
    match (schema.shape(), value) {
        (Shape::Any, Value::String(text)) if schema.name() == "Quantity" => {
            quantity::milli(text).is_none().then(|| quantity::NOT_ONE.to_owned())
        }
        (Shape::Any, _) => None,
        (Shape::Object { .. }, Value::Object(fields)) => {
            let owner = if schema.name().is_empty() { owner } else { schema.name() };
            fields.iter().find_map(|(name, field)| {
                let inner = schema.field(name)?;
                let below = match path {
                    "" => name.clone(),
                    // Entries of maps have no place of their own in what Go says.
                    path if !schema.is_struct_field(name) => path.to_owned(),
                    path => format!("{path}.{name}"),
                };
                mismatch(&inner, field, owner, &below)
            })
        }
        (Shape::Object { .. }, other) => {
            let wanted = match schema.name() {
                "" => "map[string]interface {}".to_owned(),
                name => format!("v1.{name}"),
            };
            wrong(found(other), &wanted)
        }
        (Shape::List { .. }, Value::Array(entries)) => {
            let items = schema.items()?;
            entries.iter().find_map(|entry| mismatch(&items, entry, owner, path))
        }
        (Shape::List { .. }, other) => wrong(found(other), "[]interface {}"),
        (Shape::String, Value::String(text)) => {
            let time = schema.raw()["format"] == "date-time";
            if time && crate::clock::parse(text).is_none() {
                return Some(format!(
                    "parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"{text}\" as \"2006\""
                ));
            }
            None
        }
        (Shape::String, other) => wrong(found(other), "string"),
        (Shape::Boolean, Value::Bool(_)) => None,
        (Shape::Boolean, other) => wrong(found(other), "bool"),
        (Shape::Integer, Value::Number(number)) => {
            let wanted = schema.raw()["format"].as_str().unwrap_or("int64");
            let fits = match number.as_i64() {
                Some(number) => wanted != "int32" || i32::try_from(number).is_ok(),
                None => number.as_f64().is_some_and(|n| n.fract() == 0.0 && n.abs() < 9e15),
            };
            if fits { None } else { wrong(&format!("number {number}"), wanted) }
        }
        (Shape::Integer, other) => {
            wrong(found(other), schema.raw()["format"].as_str().unwrap_or("int64"))
        }
        (Shape::Number, Value::Number(_)) => None,
        (Shape::Number, other) => wrong(found(other), "float64"),
        (Shape::IntOrString, Value::Number(number)) if number.is_i64() || number.is_u64() => None,
        (Shape::IntOrString, Value::String(_)) => None,
        (Shape::IntOrString, other) => wrong(found(other), "intstr.IntOrString"),
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
