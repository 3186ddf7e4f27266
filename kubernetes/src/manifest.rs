//! YAML with one or many documents, each an object of Kubernetes, with the line that each begins
//! in. Scalars are what `kubectl` takes them for.

use drover_compose::{Diagnostic, Severity, yaml};
use serde_json::Value;

/// The largest text, bytes.
pub const LARGEST: usize = 3 << 20;

/// An object as it stands in a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Where it begins, from 1.
    pub line: u32,
    /// The object.
    pub object: Value,
}

/// Reads a text. A `List` is taken apart; documents that hold nothing are left out. Fails at what
/// is no YAML, and at what is no object: one without `apiVersion`, `kind` and a name.
pub fn parse(text: &str) -> Result<Vec<Document>, Diagnostic> {
    let mut all = Vec::new();
    for document in yaml::parse_documents(text, LARGEST)? {
        let object = document.root.to_json();
        let line = document.root.line;
        let items = object["items"].as_array().filter(|_| object["kind"] == "List");
        match items {
            Some(items) => {
                let lines = document.root.get("items").map(|node| match &node.value {
                    yaml::Value::List(nodes) => nodes.iter().map(|node| node.line).collect(),
                    _ => Vec::new(),
                });
                for (item, line) in items.iter().zip(lines.unwrap_or_default()) {
                    all.push(checked(item.clone(), line)?);
                }
            }
            None => all.push(checked(object, line)?),
        }
    }
    if all.is_empty() {
        return Err(wrong(1, "empty", "The text is empty.".into()));
    }
    Ok(all)
}

fn checked(object: Value, line: u32) -> Result<Document, Diagnostic> {
    let has = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let named = has(&object["metadata"]["name"]) || has(&object["metadata"]["generateName"]);
    let missing = match (has(&object["apiVersion"]), has(&object["kind"]), named) {
        (false, ..) => "apiVersion",
        (_, false, _) => "kind",
        (.., false) => "metadata.name",
        _ => return Ok(Document { line, object }),
    };
    let message = format!("`{missing}` is missing here: this is no object of Kubernetes.");
    Err(wrong(line, "missing", message))
}

fn wrong(line: u32, code: &str, message: String) -> Diagnostic {
    let severity = Severity::Error;
    Diagnostic { severity, line, column: 1, path: String::new(), code: code.into(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_their_lines() {
        let text = "---\n# a comment\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: b}\n";
        let all = parse(text).unwrap_or_default();
        let found: Vec<_> =
            all.iter().map(|d| (d.line, d.object["metadata"]["name"].as_str())).collect();
        assert_eq!(found, [(3, Some("a")), (11, Some("b"))]);
    }

    #[test]
    fn what_is_no_object_is_refused_by_line() {
        for (text, line) in [
            ("", 1),
            ("a: [", 2),
            ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\nkind: Pod\n", 5),
            ("apiVersion: v1\nkind: Pod\nmetadata: {}\n", 1),
            ("- a\n", 1),
            ("just text", 1),
        ] {
            assert_eq!(parse(text).err().map(|e| e.line), Some(line), "{text}");
        }
    }
}
