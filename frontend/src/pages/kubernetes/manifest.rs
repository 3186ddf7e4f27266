//! Manifests as YAML text, in the block style that people write.

use serde_json::Value;

/// Documents as one text.
pub(super) fn text(documents: &[Value]) -> String {
    documents.iter().map(one).collect::<Vec<_>>().join("---\n")
}

fn one(document: &Value) -> String {
    let mut out = String::new();
    write(&mut out, document, 0, false);
    out
}

/// Writes a value at an indentation; `inline`: after a key or dash on the same line.
fn write(out: &mut String, value: &Value, indent: usize, inline: bool) {
    match value {
        Value::Object(map) if map.is_empty() => out.push_str(if inline { " {}\n" } else { "{}\n" }),
        Value::Array(items) if items.is_empty() => {
            out.push_str(if inline { " []\n" } else { "[]\n" });
        }
        Value::Object(map) => {
            if inline {
                out.push('\n');
            }
            for (key, value) in map {
                pad(out, indent);
                entry(out, key, value, indent);
            }
        }
        Value::Array(items) => {
            if inline {
                out.push('\n');
            }
            for item in items {
                pad(out, indent);
                out.push('-');
                match item {
                    // The first key stands beside the dash.
                    Value::Object(map) if !map.is_empty() => {
                        for (at, (key, value)) in map.iter().enumerate() {
                            if at == 0 {
                                out.push(' ');
                            } else {
                                pad(out, indent + 2);
                            }
                            entry(out, key, value, indent + 2);
                        }
                    }
                    other => write(out, other, indent + 2, true),
                }
            }
        }
        Value::String(text) if text.contains('\n') => {
            out.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
            for line in text.lines() {
                if !line.is_empty() {
                    pad(out, indent);
                    out.push_str(line);
                }
                out.push('\n');
            }
        }
        scalar => {
            out.push(' ');
            out.push_str(&plain(scalar));
            out.push('\n');
        }
    }
}

fn entry(out: &mut String, key: &str, value: &Value, indent: usize) {
    out.push_str(&quoted(key));
    out.push(':');
    write(out, value, indent + 2, true);
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// A text in quotes where it would be read as something else without them.
fn quoted(text: &str) -> String {
    let first = text.chars().next();
    let word = first.is_some_and(|c| c.is_ascii_alphabetic() || c == '/' || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./ :@=+".contains(c))
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && !text.contains(" #");
    let meant = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    if word && !meant.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    // JSON's way of quoting is also YAML's.
    Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn manifests_read_as_people_write_them() {
        let document = json!({
            "apiVersion": "v1",
            "data": { "a.conf": "x: 1\n\ny: 2\n", "on": "true", "port": "80" },
            "items": [{ "name": "a", "list": ["x", "1.5"] }, {}],
            "none": [],
        });
        let lines = [
            "apiVersion: v1",
            "data:",
            "  a.conf: |",
            "    x: 1",
            "",
            "    y: 2",
            "  \"on\": \"true\"",
            "  port: \"80\"",
            "items:",
            "  - list:",
            "      - x",
            "      - \"1.5\"",
            "    name: a",
            "  - {}",
            "none: []",
            "",
        ];
        assert_eq!(one(&document), lines.join("\n"));
    }

    #[test]
    fn what_could_be_misread_is_quoted() {
        for (text, wanted) in [
            ("nginx:1.27", "nginx:1.27"),
            ("yes", "\"yes\""),
            ("1", "\"1\""),
            ("", "\"\""),
            ("a: b", "\"a: b\""),
            ("*/5 * * * *", "\"*/5 * * * *\""),
            ("/var/run", "/var/run"),
            ("a #b", "\"a #b\""),
        ] {
            assert_eq!(quoted(text), wanted);
        }
    }
}
