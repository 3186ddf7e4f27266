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

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(..) => 0,
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| 1 + node.size()).sum(),
        }
    }
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
    if source.len() > LARGEST_SOURCE {
        return Err(error(1, 0, "too_large", "The text is larger than 1 MiB."));
    }
    let mut events = Vec::new();
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
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Nothing => {}
            Event::DocumentStart(_) if !events.is_empty() => {
                return Err(error(
                    span.start.line(),
                    span.start.col(),
                    "several_documents",
                    "There is more than one document here; a Compose text is one.",
                ));
            }
            Event::DocumentStart(_) => {}
            other => events.push((other, span)),
        }
    }
    if events.is_empty() {
        return Err(error(1, 0, "empty", "The text is empty."));
    }
    let mut builder = Builder { events: events.into_iter(), anchors: HashMap::new(), nodes: 0 };
    builder.node(0)
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
            Event::Scalar(text, style, anchor, _) => {
                (Value::Scalar(text.into_owned(), style == ScalarStyle::Plain), anchor)
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
