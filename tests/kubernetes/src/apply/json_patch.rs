//! JSON patches (RFC 6902).

use serde_json::Value;

/// Applies one.
///
/// # Errors
/// When an operation cannot be done, in a sentence.
pub fn apply(target: &mut Value, operations: &Value) -> Result<(), String> {
    let operations = operations.as_array().ok_or("a JSON patch is a list of operations")?;
    for operation in operations {
        one(target, operation)?;
    }
    Ok(())
}

fn one(target: &mut Value, operation: &Value) -> Result<(), String> {
    let word =
        |key: &str| operation[key].as_str().ok_or_else(|| format!("operation missing {key} field"));
    let (kind, path) = (word("op")?, word("path")?);
    let value = || operation.get("value").cloned().ok_or("operation missing value field");
    match kind {
        "add" => add(target, path, value()?),
        "remove" => remove(target, path).map(drop),
        "replace" => {
            let place = find(target, path).ok_or_else(|| {
                format!(
                    "replace operation does not apply: doc is missing key: {path}: missing value"
                )
            })?;
            *place = value()?;
            Ok(())
        }
        "test" => {
            let wanted = value()?;
            let found = target.pointer(path).cloned().unwrap_or_default();
            if found == wanted {
                return Ok(());
            }
            Err(format!("testing value {path} failed: test failed"))
        }
        "copy" => {
            let from = target.pointer(word("from")?).cloned();
            let from = from.ok_or_else(|| {
                format!(
                    "copy operation does not apply: doc is missing from path: {path}: missing value"
                )
            })?;
            add(target, path, from)
        }
        "move" => {
            let from = remove(target, word("from")?)?;
            add(target, path, from)
        }
        other => Err(format!("Unexpected kind: {other}")),
    }
}

fn find<'a>(target: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    target.pointer_mut(path)
}

fn split(path: &str) -> Result<(&str, String), String> {
    let (holder, last) = path.rsplit_once('/').ok_or_else(|| format!("bad path: {path}"))?;
    Ok((holder, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    let (holder, last) = split(path)?;
    let missing =
        || format!("add operation does not apply: doc is missing path: \"{path}\": missing value");
    match find(target, holder).ok_or_else(missing)? {
        Value::Object(fields) => {
            fields.insert(last, value);
            Ok(())
        }
        Value::Array(entries) if last == "-" => {
            entries.push(value);
            Ok(())
        }
        Value::Array(entries) => {
            let at: usize = last.parse().map_err(|_| missing())?;
            if at > entries.len() {
                return Err(format!(
                    "add operation does not apply: doc is missing path: \"{path}\": invalid index referenced"
                ));
            }
            entries.insert(at, value);
            Ok(())
        }
        _ => Err(missing()),
    }
}

fn remove(target: &mut Value, path: &str) -> Result<Value, String> {
    let (holder, last) = split(path)?;
    let missing = || {
        format!("remove operation does not apply: doc is missing path: \"{path}\": missing value")
    };
    match find(target, holder).ok_or_else(missing)? {
        Value::Object(fields) => fields.remove(&last).ok_or_else(missing),
        Value::Array(entries) => {
            let at: usize = last.parse().map_err(|_| missing())?;
            if at >= entries.len() {
                return Err(missing());
            }
            Ok(entries.remove(at))
        }
        _ => Err(missing()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_do_what_the_standard_says() {
        let mut value = json!({"a": [1, 2], "b/c": {"d": 1}});
        let operations = json!([
            {"op": "test", "path": "/a/0", "value": 1},
            {"op": "add", "path": "/a/-", "value": 3},
            {"op": "add", "path": "/a/0", "value": 0},
            {"op": "remove", "path": "/b~1c/d"},
            {"op": "replace", "path": "/a/3", "value": 4},
        ]);
        apply(&mut value, &operations).unwrap();
        assert_eq!(value, json!({"a": [0, 1, 2, 4], "b/c": {}}));
        assert!(apply(&mut value, &json!([{"op": "test", "path": "/a/0", "value": 9}])).is_err());
        assert!(apply(&mut value, &json!([{"op": "remove", "path": "/none"}])).is_err());
    }
}
