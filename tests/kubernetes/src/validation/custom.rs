//! Custom resources against the structural schema of their definition.

use regex::Regex;
use serde_json::Value;

use crate::{
    schema::{ListType, Schema, Shape},
    status::Cause,
};

/// What is wrong with an object.
pub fn check(schema: &Schema, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    walk(schema, object, "", &mut causes);
    causes
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn walk(schema: &Schema, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && (schema.nullable() || path.is_empty()) {
        return;
    }
    if let Some(cause) = type_error(schema, value, path) {
        causes.push(cause);
        return;
    }
    limits(schema, value, path, causes);
    match value {
        Value::Object(fields) => {
            for name in schema.required() {
                if !fields.contains_key(name) {
                    causes.push(Cause::required(below(path, name), ""));
                }
            }
            for (name, field) in fields {
                if path.is_empty() && matches!(name.as_str(), "metadata" | "apiVersion" | "kind") {
                    continue;
                }
                if let Some(inner) = schema.field(name) {
                    walk(&inner, field, &below(path, name), causes);
                }
            }
        }
        Value::Array(entries) => {
            if let Some(items) = schema.items() {
                for (index, entry) in entries.iter().enumerate() {
                    walk(&items, entry, &format!("{path}[{index}]"), causes);
                }
            }
            duplicates(schema, entries, path, causes);
        }
        _ => {}
    }
}

fn type_error(schema: &Schema, value: &Value, path: &str) -> Option<Cause> {
    let wanted = match (schema.shape(), value) {
        (Shape::Any, _)
        | (Shape::String, Value::String(_))
        | (Shape::Boolean, Value::Bool(_))
        | (Shape::Number, Value::Number(_))
        | (Shape::Object { .. }, Value::Object(_))
        | (Shape::List { .. }, Value::Array(_)) => return None,
        (Shape::Integer, Value::Number(number))
            if number.is_i64()
                || number.is_u64()
                || number.as_f64().is_some_and(|n| n.fract() == 0.0) =>
        {
            return None;
        }
        (Shape::IntOrString, Value::String(_)) => return None,
        (Shape::IntOrString, Value::Number(number)) if number.is_i64() || number.is_u64() => {
            return None;
        }
        (Shape::String, _) => "string",
        (Shape::Boolean, _) => "boolean",
        (Shape::Number, _) => "number",
        (Shape::Integer, _) => "integer",
        (Shape::Object { .. }, _) => "object",
        (Shape::List { .. }, _) => "array",
        (Shape::IntOrString, _) => "integer,string",
    };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let shown = Value::from(found);
    Some(Cause::type_invalid(
        path,
        &shown,
        format!("{path} in body must be of type {wanted}: \"{found}\""),
    ))
}

fn limits(schema: &Schema, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let raw = schema.raw();
    if let Some(known) = raw["enum"].as_array()
        && !known.contains(value)
    {
        let names: Vec<_> = known
            .iter()
            .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
            .collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        causes.push(Cause::not_supported(path, value, &names));
    }
    let mut wrong = |why: String| {
        causes.push(Cause::invalid(path, value, format!("{path} in body {why}")));
    };
    if let Value::String(text) = value {
        let length = text.chars().count();
        if raw["minLength"].as_u64().is_some_and(|least| (length as u64) < least) {
            wrong(format!("should be at least {} chars long", raw["minLength"]));
        }
        if raw["maxLength"].as_u64().is_some_and(|most| length as u64 > most) {
            causes.push(Cause {
                reason: "FieldValueTooLong",
                field: path.to_owned(),
                message: format!("Too long: may not be more than {} bytes", raw["maxLength"]),
            });
            return;
        }
        if let Some(pattern) = raw["pattern"].as_str()
            && let Ok(expression) = Regex::new(pattern)
            && !expression.is_match(text)
        {
            wrong(format!("should match '{pattern}'"));
        }
        if raw["format"] == "date-time" && crate::clock::parse(text).is_none() {
            wrong(format!("must be of type date-time: \"{text}\""));
        }
    }
    if let Some(number) = value.as_f64() {
        let exclusive = |key: &str| raw[key] == true;
        if let Some(least) = raw["minimum"].as_f64()
            && (number < least || exclusive("exclusiveMinimum") && number <= least)
        {
            let word = if exclusive("exclusiveMinimum") {
                "greater than"
            } else {
                "greater than or equal to"
            };
            wrong(format!("should be {word} {}", raw["minimum"]));
        }
        if let Some(most) = raw["maximum"].as_f64()
            && (number > most || exclusive("exclusiveMaximum") && number >= most)
        {
            let word =
                if exclusive("exclusiveMaximum") { "less than" } else { "less than or equal to" };
            wrong(format!("should be {word} {}", raw["maximum"]));
        }
    }
    if let Value::Array(entries) = value {
        let count = entries.len() as u64;
        if raw["minItems"].as_u64().is_some_and(|least| count < least) {
            wrong(format!("should have at least {} items", raw["minItems"]));
        }
        if raw["maxItems"].as_u64().is_some_and(|most| count > most) {
            causes.push(Cause {
                reason: "FieldValueTooMany",
                field: path.to_owned(),
                message: format!("Too many: {count}: must have at most {} items", raw["maxItems"]),
            });
        }
    }
}

fn duplicates(schema: &Schema, entries: &[Value], path: &str, causes: &mut Vec<Cause>) {
    if *schema.list_type() == ListType::Atomic {
        return;
    }
    let mut seen = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let key = crate::apply::fields::entry_key(schema, entry);
        if seen.contains(&key) {
            causes.push(Cause::duplicate(format!("{path}[{index}]"), entry));
        } else {
            seen.push(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::BUILT_IN;

    #[test]
    fn values_are_held_to_the_schema() {
        let schema = Schema::of_custom(
            &BUILT_IN.definitions,
            &json!({"type": "object", "properties": {"spec": {"type": "object", "required": ["size"], "properties": {
                "size": {"type": "integer", "minimum": 1},
                "color": {"type": "string", "enum": ["red", "blue"]},
            }}}}),
        );
        assert!(check(&schema, &json!({"spec": {"size": 1, "color": "red"}})).is_empty());
        let messages = |value: Value| {
            check(&schema, &value).into_iter().map(|c| (c.field, c.message)).collect::<Vec<_>>()
        };
        assert_eq!(
            messages(json!({"spec": {}})),
            [("spec.size".to_owned(), "Required value".to_owned())]
        );
        assert_eq!(
            messages(json!({"spec": {"size": 0}}))[0].1,
            "Invalid value: 0: spec.size in body should be greater than or equal to 1"
        );
        assert_eq!(
            messages(json!({"spec": {"size": "x"}}))[0].1,
            "Invalid value: \"string\": spec.size in body must be of type integer: \"string\""
        );
        assert_eq!(
            messages(json!({"spec": {"size": 1, "color": "green"}}))[0].1,
            "Unsupported value: \"green\": supported values: \"red\", \"blue\""
        );
    }
}
