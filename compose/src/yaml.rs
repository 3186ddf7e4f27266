//! YAML with positions: a tree whose every node knows where it stands. Anchors, aliases and merge
//! keys are resolved here, within limits.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::{Diagnostic, LARGEST_SOURCE, Severity};

const DEEPEST: usize = 64;
/// With aliases expanded.
const MOST_NODES: usize = 100_000;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// The value.
    pub value: Value,
}

/// What a [`Node`] holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text, and whether it stood without quotes (so that `null` and numbers are what they look
    /// like).
    Scalar(String, bool),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the text's order.
    Map(Vec<(Key, Node)>),
}

/// The key of an entry and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// The key.
    pub text: String,
}

impl Node {
    /// Whether it is empty, or an unquoted `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(text, true)
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a mapping's key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(k, _)| k.text == key).map(|(_, node)| node)
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// As JSON, with scalars as `kubectl` takes them (YAML 1.1: `yes` is true, `0644` is octal).
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Scalar(text, false) => text.as_str().into(),
            Value::Scalar(text, true) => plain_scalar(text),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => {
                let entries = entries.iter();
                serde_json::Value::Object(
                    entries.map(|(key, node)| (key.text.clone(), node.to_json())).collect(),
                )
            }
        }
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(..) => 0,
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| 1 + node.size()).sum(),
        }
    }
}

/// What an unquoted scalar stands for.
fn plain_scalar(text: &str) -> serde_json::Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return serde_json::Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return true.into();
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return false.into();
        }
        _ => {}
    }
    whole_number(text).or_else(|| fraction(text)).unwrap_or_else(|| text.into())
}

fn whole_number(text: &str) -> Option<serde_json::Value> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // The parser of numbers takes a sign, too.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    if negative { 0_i64.checked_sub_unsigned(value).map(Into::into) } else { Some(value.into()) }
}

fn fraction(text: &str) -> Option<serde_json::Value> {
    let begins = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.');
    let fits = text.starts_with(begins)
        && text.contains(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| begins(c) || matches!(c, 'e' | 'E'));
    let value: f64 = text.parse().ok().filter(|_| fits)?;
    serde_json::Number::from_f64(value).map(Into::into)
}

fn error(line: usize, column: usize, code: &str, message: impl Into<String>) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        line: line as u32,
        column: column as u32 + 1,
        path: String::new(),
        code: code.into(),
        message: message.into(),
    }
}

/// Reads one document. Positions count from 1.
pub fn parse(source: &str) -> Result<Node, Diagnostic> {
    let mut documents = parse_documents(source, LARGEST_SOURCE)?;
    if documents.len() > 1 {
        return Err(error(
            documents[1].start as usize,
            0,
            "several_documents",
            "There is more than one document here; a Compose text is one.",
        ));
    }
    let document = documents.pop();
    document.map(|document| document.root).ok_or_else(|| error(1, 0, "empty", "The text is empty."))
}

/// One document of several.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The line that it begins in, from 1: the one of its `---`, where there is one.
    pub start: u32,
    /// What it holds.
    pub root: Node,
}

/// Reads all documents of a text of at most `largest` bytes. Those that hold nothing are left out.
pub fn parse_documents(source: &str, largest: usize) -> Result<Vec<Document>, Diagnostic> {
    if source.len() > largest {
        let message = format!("The text is larger than {} MiB.", largest >> 20);
        return Err(error(1, 0, "too_large", message));
    }
    let mut documents = Vec::new();
    let (mut events, mut start) = (Vec::new(), 1);
    let mut nodes = 0;
    for event in Parser::new_from_str(source) {
        let (event, span) = event.map_err(|problem| {
            let at = problem.marker();
            error(
                at.line(),
                at.col(),
                "yaml_syntax",
                format!("This is not YAML: {}.", problem.info()),
            )
        })?;
        match event {
            Event::StreamStart | Event::StreamEnd | Event::Nothing => {}
            Event::DocumentStart(_) => start = span.start.line() as u32,
            Event::DocumentEnd => {
                let events = std::mem::take(&mut events).into_iter();
                let mut builder = Builder { events, anchors: HashMap::new(), nodes };
                let root = builder.node(0)?;
                nodes = builder.nodes;
                if !(root.is_null() && root.text() == Some("")) {
                    documents.push(Document { start, root });
                }
            }
            other => events.push((other, span)),
        }
    }
    Ok(documents)
}

struct Builder<'a> {
    events: std::vec::IntoIter<(Event<'a>, Span)>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl Builder<'_> {
    fn node(&mut self, depth: usize) -> Result<Node, Diagnostic> {
        let Some((event, span)) = self.events.next() else {
            return Err(error(1, 0, "yaml_syntax", "The text ends too early."));
        };
        self.finish(event, span, depth)
    }

    fn finish(&mut self, event: Event<'_>, span: Span, depth: usize) -> Result<Node, Diagnostic> {
        let (line, column) = (span.start.line(), span.start.col());
        if depth > DEEPEST {
            return Err(error(
                line,
                column,
                "too_deep",
                "This is nested more than 64 levels deep.",
            ));
        }
        self.count(1, line, column)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                // With a tag such as `!!str` it is not what it looks like.
                let plain = style == ScalarStyle::Plain && tag.is_none();
                (Value::Scalar(text.into_owned(), plain), anchor)
            }
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(depth)?, anchor),
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned().ok_or_else(|| {
                    error(line, column, "unknown_alias", "There is no anchor of this name above.")
                })?;
                self.count(node.size(), line, column)?;
                return Ok(node);
            }
            _ => return Err(error(line, column, "yaml_syntax", "This is not YAML.")),
        };
        let node = Node { line: line as u32, column: column as u32 + 1, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, more: usize, line: usize, column: usize) -> Result<(), Diagnostic> {
        self.nodes += more;
        if self.nodes > MOST_NODES {
            return Err(error(
                line,
                column,
                "too_many_nodes",
                "With its aliases filled in, the text has more than 100,000 values.",
            ));
        }
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<Value, Diagnostic> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.events.next() {
            if event == Event::SequenceEnd {
                break;
            }
            items.push(self.finish(event, span, depth + 1)?);
        }
        Ok(Value::List(items))
    }

    fn map(&mut self, depth: usize) -> Result<Value, Diagnostic> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut merged: Vec<(Key, Node)> = Vec::new();
        while let Some((event, span)) = self.events.next() {
            if event == Event::MappingEnd {
                break;
            }
            let (line, column) = (span.start.line(), span.start.col());
            let Event::Scalar(text, ..) = event else {
                return Err(error(line, column, "odd_key", "A key must be plain text."));
            };
            let key = Key { line: line as u32, column: column as u32 + 1, text: text.into_owned() };
            let node = self.node(depth + 1)?;
            if key.text == "<<" {
                merged.extend(merge_sources(&key, node)?);
            } else if let Some((first, _)) =
                entries.iter().find(|(other, _)| other.text == key.text)
            {
                return Err(error(
                    line,
                    column,
                    "duplicate_key",
                    format!("`{}` stands here twice, first in line {}.", key.text, first.line),
                ));
            } else {
                entries.push((key, node));
            }
        }
        // What stands here itself wins over what is merged in; of several sources, the first.
        for (key, node) in merged {
            if !entries.iter().any(|(other, _)| other.text == key.text) {
                entries.push((key, node));
            }
        }
        Ok(Value::Map(entries))
    }
}

fn merge_sources(key: &Key, node: Node) -> Result<Vec<(Key, Node)>, Diagnostic> {
    let sources = match node.value {
        Value::List(items) => items.into_iter().map(|item| item.value).collect(),
        other => vec![other],
    };
    let mut merged = Vec::new();
    for source in sources {
        let Value::Map(entries) = source else {
            return Err(Diagnostic {
                severity: Severity::Error,
                line: key.line,
                column: key.column,
                path: String::new(),
                code: "odd_merge".into(),
                message: "`<<` takes a mapping, or a list of mappings.".into(),
            });
        };
        merged.extend(entries);
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_know_their_lines() {
        let text = "# first\na: 1\n---\n---\nb: 2\n...\n---\n# nothing\n";
        let documents = parse_documents(text, 1 << 20).unwrap_or_default();
        let lines: Vec<_> = documents.iter().map(|d| (d.start, d.root.line)).collect();
        assert_eq!(lines.len(), 2, "{documents:?}");
        assert_eq!(lines[0].1, 2);
        assert_eq!(lines[1], (4, 5));
        assert!(parse_documents(text, 10).is_err());
    }

    #[test]
    fn scalars_are_what_kubectl_takes_them_for() {
        let text = "a: 0644\nb: 0o17\nc: yes\nd: '1'\ne: 1.5\nf: 1e3\ng: ~\nh: 10.0.0.1\ni: -3\nj: 0x1f\nk: !!str 5\nl: 12e\nm: 089\nn: .inf\no: y\n";
        let value = parse(text).map(|node| node.to_json()).unwrap_or_default();
        let expected = json!({
            "a": 420, "b": 15, "c": true, "d": "1", "e": 1.5, "f": 1000.0, "g": null,
            "h": "10.0.0.1", "i": -3, "j": 31, "k": "5", "l": "12e", "m": 89.0, "n": ".inf",
            "o": "y",
        });
        assert_eq!(value, expected);
    }
}
