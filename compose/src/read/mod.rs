//! From the tree to the model. Every key is either read, refused as unknown, or named as not
//! supported.

mod health;
mod ingress;
mod parts;
mod service;
mod top;

use indexmap::IndexMap;

use crate::{
    Diagnostic, Project, Severity, Variables, condition, units,
    yaml::{Key, Node, Value},
};

pub(crate) use top::project as read_project;

/// Reads the whole text.
pub(crate) fn project(
    root: &Node,
    variables: &dyn Variables,
    found: &mut Vec<Diagnostic>,
) -> Project {
    let mut reader = Reader { found, variables };
    read_project(&mut reader, root)
}

/// Drops each service, network, volume, secret and config whose `x-drover-when` does not hold, and
/// the places where other services wait for or name it.
pub(crate) fn drop_conditional(root: &mut Node, variables: &dyn Variables) {
    let Value::Map(sections) = &mut root.value else { return };
    let mut dropped: Vec<(String, String)> = Vec::new();
    for (section, node) in sections.iter_mut() {
        if let (true, Value::Map(entries)) =
            (SECTIONS.contains(&section.text.as_str()), &mut node.value)
        {
            entries.retain(|(name, entry)| {
                let keep = entry
                    .get("x-drover-when")
                    .and_then(Node::text)
                    .is_none_or(|when| condition::holds(when, |name| variables.get(name)));
                if !keep {
                    dropped.push((section.text.clone(), name.text.clone()));
                }
                keep
            });
        }
    }
    if dropped.is_empty() {
        return;
    }
    let Some((_, services)) = sections.iter_mut().find(|(key, _)| key.text == "services") else {
        return;
    };
    let Value::Map(services) = &mut services.value else { return };
    for (_, service) in services {
        let Value::Map(keys) = &mut service.value else { continue };
        for (key, node) in keys {
            let section = if key.text == "depends_on" { "services" } else { key.text.as_str() };
            let gone = |name: &str| dropped.iter().any(|(s, n)| s == section && n == name);
            match &mut node.value {
                Value::Map(entries) => entries.retain(|(name, _)| !gone(&name.text)),
                Value::List(items) => items.retain(|item| {
                    let source = item.get("source").unwrap_or(item).text().unwrap_or_default();
                    // A volume's short form names it before the first colon.
                    !gone(source.split(':').next().unwrap_or_default())
                }),
                Value::Scalar(..) => {}
            }
        }
    }
}

const SECTIONS: [&str; 5] = ["services", "networks", "volumes", "secrets", "configs"];

/// Collects what is wrong while reading.
pub(crate) struct Reader<'a> {
    found: &'a mut Vec<Diagnostic>,
    variables: &'a dyn Variables,
}

impl Reader<'_> {
    fn tell(
        &mut self,
        severity: Severity,
        (line, column): (u32, u32),
        path: &str,
        code: &str,
        message: impl Into<String>,
    ) {
        self.found.push(Diagnostic {
            severity,
            line,
            column,
            path: path.to_owned(),
            code: code.to_owned(),
            message: message.into(),
        });
    }

    fn error(&mut self, node: &Node, path: &str, code: &str, message: impl Into<String>) {
        self.tell(Severity::Error, (node.line, node.column), path, code, message);
    }

    fn unsupported(&mut self, key: &Key, path: &str, message: impl Into<String>) {
        self.tell(Severity::Unsupported, (key.line, key.column), path, "unsupported", message);
    }

    fn unknown(&mut self, key: &Key, path: &str, known: &[&str]) {
        if key.text.starts_with("x-") {
            return;
        }
        let near = known
            .iter()
            .map(|name| (distance(name, &key.text), name))
            .filter(|(distance, _)| *distance <= 2)
            .min();
        let hint = near.map_or(String::new(), |(_, name)| format!(" Did you mean `{name}`?"));
        self.tell(
            Severity::Error,
            (key.line, key.column),
            path,
            "unknown_key",
            format!("There is no `{}` here.{hint}", key.text),
        );
    }

    fn map<'n>(&mut self, node: &'n Node, path: &str) -> &'n [(Key, Node)] {
        match &node.value {
            Value::Map(entries) => entries,
            _ if node.is_null() => &[],
            _ => {
                self.error(node, path, "not_a_mapping", "This must be a mapping (`key: value`).");
                &[]
            }
        }
    }

    fn list<'n>(&mut self, node: &'n Node, path: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            _ if node.is_null() => &[],
            _ => {
                self.error(node, path, "not_a_list", "This must be a list (`- item`).");
                &[]
            }
        }
    }

    fn text(&mut self, node: &Node, path: &str) -> Option<String> {
        match &node.value {
            Value::Scalar(text, _) if !node.is_null() => Some(text.clone()),
            Value::Scalar(..) => None,
            _ => {
                self.error(node, path, "not_a_text", "This must be a single value.");
                None
            }
        }
    }

    fn parsed<T>(
        &mut self,
        node: &Node,
        path: &str,
        what: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(node, path)?;
        let value = parse(text.trim());
        if value.is_none() {
            self.error(node, path, "bad_value", format!("`{text}` is not {what}."));
        }
        value
    }

    fn bool(&mut self, node: &Node, path: &str) -> bool {
        self.parsed(node, path, "`true` or `false`", units::parse_bool).unwrap_or(false)
    }

    fn number<T: std::str::FromStr>(&mut self, node: &Node, path: &str) -> Option<T> {
        self.parsed(node, path, "a number in range", |text| text.parse().ok())
    }

    fn bytes(&mut self, node: &Node, path: &str) -> Option<u64> {
        self.parsed(node, path, "a size such as `512m`", units::parse_bytes)
    }

    fn duration(&mut self, node: &Node, path: &str) -> Option<u64> {
        self.parsed(node, path, "a duration such as `1m30s`", units::parse_duration_ms)
    }

    /// A list of texts.
    fn texts(&mut self, node: &Node, path: &str) -> Vec<String> {
        self.list(node, path).iter().filter_map(|item| self.text(item, path)).collect()
    }

    /// One text, or a list of them.
    fn text_or_texts(&mut self, node: &Node, path: &str) -> Vec<String> {
        match &node.value {
            Value::List(_) => self.texts(node, path),
            _ => self.text(node, path).into_iter().collect(),
        }
    }

    /// A command line: a list of words, or a text that is split as a shell does.
    fn words(&mut self, node: &Node, path: &str) -> Option<Vec<String>> {
        match &node.value {
            Value::List(_) => Some(self.texts(node, path)),
            _ => {
                let what = "a command line: a quote does not end";
                self.parsed(node, path, what, units::split_words)
            }
        }
    }

    /// A mapping of texts, or a list of `KEY=VALUE`.
    fn pairs(&mut self, node: &Node, path: &str) -> IndexMap<String, String> {
        self.optional_pairs(node, path)
            .into_iter()
            .map(|(key, value)| (key, value.unwrap_or_default()))
            .collect()
    }

    /// The same, where a key may stand without a value.
    fn optional_pairs(&mut self, node: &Node, path: &str) -> IndexMap<String, Option<String>> {
        let mut pairs = IndexMap::new();
        match &node.value {
            Value::Map(entries) => {
                for (key, value) in entries {
                    let value = self.text(value, &join(path, &key.text));
                    pairs.insert(key.text.clone(), value);
                }
            }
            _ => {
                for item in self.texts(node, path) {
                    let (key, value) = match item.split_once('=') {
                        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                        None => (item, None),
                    };
                    pairs.insert(key, value);
                }
            }
        }
        pairs
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// How many letters differ (Levenshtein), for hints.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let change = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
