//! The part of JSONPath that printer columns use: fields, indexes, wildcards and filters.

use serde_json::Value;

/// One step.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// `[?(@.type=="Ready")]`
    Filter(Vec<String>, String, Value),
}

/// A path.
#[derive(Debug, Clone, PartialEq)]
pub struct Path(Vec<Step>);

impl Path {
    /// Reads one; nothing if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        let mut steps = Vec::new();
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let end = closing(after)?;
                steps.push(bracket(&after[..end])?);
                rest = &after[end + 1..];
                continue;
            }
            rest = rest.strip_prefix('.')?;
            let (field, after) = field(rest);
            match field.as_str() {
                "" => return None,
                "*" => steps.push(Step::All),
                _ => steps.push(Step::Field(field)),
            }
            rest = after;
        }
        Some(Self(steps))
    }

    /// What it leads to.
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.take(value)).collect();
        }
        found.retain(|value| !value.is_null());
        found
    }
}

/// A field's name up to the next step; dots behind a backslash belong to it.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.extend(characters.next().map(|(_, next)| next)),
            '.' | '[' => return (name, &text[at..]),
            other => name.push(other),
        }
    }
    (name, "")
}

/// Where a bracket ends, past brackets in quotes.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (None, ']') => return Some(at),
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Option<Step> {
    let text = text.trim();
    if text == "*" {
        return Some(Step::All);
    }
    if let Some(quoted) = unquote(text) {
        return Some(Step::Field(quoted));
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|t| t.strip_suffix(')')) {
        let operator = ["==", "!="].into_iter().find(|operator| filter.contains(operator))?;
        let (path, wanted) = filter.split_once(operator)?;
        let path = path.trim().strip_prefix("@.")?.split('.').map(str::to_owned).collect();
        let wanted = wanted.trim();
        let wanted = match unquote(wanted) {
            Some(text) => Value::from(text),
            None => serde_json::from_str(wanted).ok()?,
        };
        return Some(Step::Filter(path, operator.to_owned(), wanted));
    }
    text.parse().ok().map(Step::Index)
}

fn unquote(text: &str) -> Option<String> {
    ['\'', '"'].into_iter().find_map(|quote| {
        text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)).map(str::to_owned)
    })
}

impl Step {
    fn take<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(index) => {
                let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let length = i64::try_from(entries.len()).unwrap_or(0);
                let at = if *index < 0 { length + index } else { *index };
                usize::try_from(at).ok().and_then(|at| entries.get(at)).into_iter().collect()
            }
            Self::All => match value {
                Value::Array(entries) => entries.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            },
            Self::Filter(path, operator, wanted) => {
                let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let matches = |entry: &&Value| {
                    let found = path.iter().fold(*entry, |value, field| &value[field.as_str()]);
                    (found == wanted) == (operator == "==")
                };
                entries.iter().filter(matches).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_where_they_say() {
        let value = json!({
            "metadata": {"labels": {"a.b/c": "x"}},
            "status": {"conditions": [{"type": "Synced", "status": "False"}, {"type": "Ready", "status": "True"}]},
            "spec": {"list": [1, 2, 3]},
        });
        for (path, expected) in [
            (".status.conditions[?(@.type==\"Ready\")].status", json!("True")),
            (".metadata.labels.a\\.b/c", json!("x")),
            (".metadata.labels['a.b/c']", json!("x")),
            (".spec.list[1]", json!(2)),
            (".spec.list[-1]", json!(3)),
        ] {
            assert_eq!(Path::parse(path).unwrap().find(&value), [&expected], "{path}");
        }
        assert_eq!(Path::parse(".spec.list[*]").unwrap().find(&value).len(), 3);
        assert!(Path::parse(".spec.none").unwrap().find(&value).is_empty());
        assert!(Path::parse("spec").is_none());
    }
}
