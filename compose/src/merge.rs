//! Three-way merge by key path: what a template's new version changes is brought into a text that
//! a person has changed too.
//!
//! The merge is decided on the tree. The text is merged line by line, which keeps comments and
//! order, and is taken when it means the same as the merged tree; else the tree is written out.

use std::fmt::Write;

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};

use crate::{
    Diagnostic, manifests,
    yaml::{self, Node, Value},
};

/// Whose side to take in a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The text that a person has changed.
    Ours,
    /// The new version's.
    Theirs,
}

/// One change by key path. Values are YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// e.g. `services.web.image`
    pub path: String,
    /// Before; absent when added.
    pub from: Option<String>,
    /// After; absent when removed.
    pub to: Option<String>,
}

/// Something that both sides changed, and differently. Values are YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// e.g. `services.web.image`
    pub path: String,
    /// What it was.
    pub base: Option<String>,
    /// What a person made of it.
    pub ours: Option<String>,
    /// What the new version made of it.
    pub theirs: Option<String>,
}

/// The result of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// The merged text; absent while there are conflicts without a resolution.
    pub text: Option<String>,
    /// How it differs from the text that a person has changed.
    pub changes: Vec<Change>,
    /// Conflicts without a resolution.
    pub conflicts: Vec<Conflict>,
}

/// Merges `theirs` into `ours`, both changed from `base`. `resolutions` says for a conflict's
/// path whose side to take.
pub fn merge3(
    base: &str,
    ours: &str,
    theirs: &str,
    resolutions: &IndexMap<String, Side>,
) -> Result<Merge, Diagnostic> {
    let [base_tree, ours_tree, theirs_tree] = [tree(base)?, tree(ours)?, tree(theirs)?];
    let mut merger = Merger { resolutions, conflicts: Vec::new() };
    let merged = merger.merge("", Some(&base_tree), Some(&ours_tree), Some(&theirs_tree));
    let merged = merged.unwrap_or(Tree::Scalar(String::new(), true));
    let mut changes = Vec::new();
    compare("", Some(&ours_tree), Some(&merged), &mut changes);
    let text = merger.conflicts.is_empty().then(|| {
        let by_line = if merged == ours_tree {
            Some(ours.to_owned())
        } else if merged == theirs_tree && base_tree == ours_tree {
            Some(theirs.to_owned())
        } else {
            diffy::merge(base, ours, theirs).ok()
        };
        by_line.filter(|text| tree(text).is_ok_and(|tree| tree == merged)).unwrap_or_else(|| {
            match &merged {
                Tree::Map(objects) if manifests::recognise(ours).is_some() => {
                    objects.values().map(|object| format!("---\n{}", emit(object))).collect()
                }
                merged => emit(merged),
            }
        })
    });
    Ok(Merge { text, changes, conflicts: merger.conflicts })
}

/// The change from one text to another, as a unified diff.
pub fn unified_diff(from: &str, to: &str) -> String {
    diffy::create_patch(from, to).to_string()
}

/// A value without its place.
#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Scalar(String, bool),
    List(Vec<Tree>),
    Map(IndexMap<String, Tree>),
}

/// Of manifests, the objects by kind and name: their order in the text means nothing.
fn tree(source: &str) -> Result<Tree, Diagnostic> {
    if let Some(documents) = manifests::recognise(source) {
        let key = |root: &Node| {
            let metadata = root.get("metadata");
            let part = |key: &str| metadata.and_then(|metadata| metadata.get(key)?.text());
            let kind = root.get("kind").and_then(Node::text).unwrap_or_default();
            let place =
                part("namespace").map_or(String::new(), |namespace| format!("{namespace}/"));
            format!("{kind}/{place}{}", part("name").unwrap_or_default())
        };
        let objects =
            documents.iter().map(|document| (key(&document.root), from_node(&document.root)));
        return Ok(Tree::Map(objects.collect()));
    }
    Ok(from_node(&yaml::parse(source)?))
}

fn from_node(node: &Node) -> Tree {
    match &node.value {
        Value::Scalar(text, plain) => {
            // Quotes matter only where they change the meaning.
            let special = node.is_null() || looks_special(text);
            Tree::Scalar(text.clone(), !special || *plain)
        }
        Value::List(items) => Tree::List(items.iter().map(from_node).collect()),
        Value::Map(entries) => Tree::Map(
            entries.iter().map(|(key, node)| (key.text.clone(), from_node(node))).collect(),
        ),
    }
}

/// Without quotes, this text would be something else than a text.
fn looks_special(text: &str) -> bool {
    text.parse::<f64>().is_ok()
        || matches!(
            text.to_ascii_lowercase().as_str(),
            "" | "~" | "null" | "true" | "false" | "yes" | "no" | "on" | "off"
        )
}

struct Merger<'a> {
    resolutions: &'a IndexMap<String, Side>,
    conflicts: Vec<Conflict>,
}

impl Merger<'_> {
    fn merge(
        &mut self,
        path: &str,
        base: Option<&Tree>,
        ours: Option<&Tree>,
        theirs: Option<&Tree>,
    ) -> Option<Tree> {
        if ours == theirs || theirs == base {
            return ours.cloned();
        }
        if ours == base {
            return theirs.cloned();
        }
        match (base, ours, theirs) {
            (None | Some(Tree::Map(_)), Some(Tree::Map(ours)), Some(Tree::Map(theirs))) => {
                let none = IndexMap::new();
                let base = if let Some(Tree::Map(base)) = base { base } else { &none };
                Some(Tree::Map(self.merge_keyed(path, base, ours, theirs)))
            }
            (None | Some(Tree::List(_)), Some(Tree::List(ours)), Some(Tree::List(theirs)))
                if !is_command(path) =>
            {
                let none = Vec::new();
                let base = if let Some(Tree::List(base)) = base { base } else { &none };
                let merged = self.merge_keyed(path, &keyed(base), &keyed(ours), &keyed(theirs));
                Some(Tree::List(merged.into_values().collect()))
            }
            _ => match self.resolutions.get(path) {
                Some(Side::Ours) => ours.cloned(),
                Some(Side::Theirs) => theirs.cloned(),
                None => {
                    self.conflicts.push(Conflict {
                        path: path.to_owned(),
                        base: base.map(emit),
                        ours: ours.map(emit),
                        theirs: theirs.map(emit),
                    });
                    ours.cloned()
                }
            },
        }
    }

    fn merge_keyed(
        &mut self,
        path: &str,
        base: &IndexMap<String, Tree>,
        ours: &IndexMap<String, Tree>,
        theirs: &IndexMap<String, Tree>,
    ) -> IndexMap<String, Tree> {
        let keys: IndexSet<&String> = ours.keys().chain(theirs.keys()).collect();
        keys.into_iter()
            .filter_map(|key| {
                let path = join(path, key);
                let merged = self.merge(&path, base.get(key), ours.get(key), theirs.get(key))?;
                Some((key.clone(), merged))
            })
            .collect()
    }
}

/// The words of a command line belong together.
fn is_command(path: &str) -> bool {
    ["command", "entrypoint", "test"].contains(&path.rsplit('.').next().unwrap_or_default())
}

/// A list as a mapping: by the name in `NAME=value`, by the target of a mount or port, else by the
/// whole item.
fn keyed(items: &[Tree]) -> IndexMap<String, Tree> {
    let mut all = IndexMap::new();
    for item in items {
        let key = match item {
            Tree::Scalar(text, _) => {
                text.split_once('=').map_or(text.as_str(), |(name, _)| name).to_owned()
            }
            Tree::Map(entries) => ["target", "source", "name"]
                .iter()
                .find_map(|key| match entries.get(*key) {
                    Some(Tree::Scalar(text, _)) => Some(text.clone()),
                    _ => None,
                })
                .unwrap_or_else(|| emit(item)),
            Tree::List(_) => emit(item),
        };
        all.entry(key).or_insert_with(|| item.clone());
    }
    all
}

fn compare(path: &str, from: Option<&Tree>, to: Option<&Tree>, changes: &mut Vec<Change>) {
    match (from, to) {
        (from, to) if from == to => {}
        (Some(Tree::Map(from)), Some(Tree::Map(to))) => {
            let keys: IndexSet<&String> = from.keys().chain(to.keys()).collect();
            for key in keys {
                compare(&join(path, key), from.get(key), to.get(key), changes);
            }
        }
        (from, to) => {
            changes.push(Change { path: path.to_owned(), from: from.map(emit), to: to.map(emit) })
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Writes a tree as YAML.
fn emit(tree: &Tree) -> String {
    let mut out = String::new();
    write_tree(tree, 0, &mut out);
    out.trim_start_matches('\n').to_owned()
}

fn write_tree(tree: &Tree, indent: usize, out: &mut String) {
    let pad = "  ".repeat(indent);
    // Writing to a String cannot fail.
    let _ = match tree {
        Tree::Scalar(text, plain) => writeln!(out, "{}", scalar(text, *plain)),
        Tree::List(items) if items.is_empty() => writeln!(out, "[]"),
        Tree::Map(entries) if entries.is_empty() => writeln!(out, "{{}}"),
        Tree::List(items) => {
            out.push('\n');
            for item in items {
                let mut inner = String::new();
                write_tree(item, indent + 1, &mut inner);
                // A mapping's first key stands beside the dash.
                let inner = inner.trim_start_matches('\n').trim_start();
                let _ = write!(out, "{pad}- {inner}");
            }
            Ok(())
        }
        Tree::Map(entries) => {
            out.push('\n');
            for (key, value) in entries {
                let _ = write!(out, "{pad}{}:", scalar(key, true));
                if matches!(value, Tree::Scalar(..))
                    || matches!(value, Tree::List(items) if items.is_empty())
                    || matches!(value, Tree::Map(entries) if entries.is_empty())
                {
                    out.push(' ');
                }
                write_tree(value, indent + 1, out);
            }
            Ok(())
        }
    };
}

fn scalar(text: &str, plain: bool) -> String {
    let safe = text.chars().all(|c| c.is_ascii_alphanumeric() || "_./${}:-@+=, ".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || "/_.$".contains(c))
        && !text.ends_with([' ', ':'])
        && !text.contains(": ");
    if plain && (safe || text.is_empty()) {
        return text.to_owned();
    }
    // JSON's strings are YAML's double-quoted ones.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: &str = "# the web\nservices:\n  web:\n    image: nginx:1.0\n    environment:\n      - A=1\n      - B=2\n    ports: [\"80:80\"]\n";

    fn merged(ours: &str, theirs: &str) -> Merge {
        let merge = merge3(BASE, ours, theirs, &IndexMap::new());
        merge.unwrap_or_else(|error| panic!("{error:?}"))
    }

    #[test]
    fn keeps_edits_and_takes_the_new_version() {
        let ours = BASE.replace("A=1", "A=5").replace("# the web", "# my web");
        let theirs = BASE.replace("nginx:1.0", "nginx:2.0").replace("- B=2", "- B=2\n      - C=3");
        let merge = merged(&ours, &theirs);
        let text = merge.text.unwrap_or_default();
        assert_eq!(merge.conflicts, []);
        for part in ["# my web", "A=5", "nginx:2.0", "C=3"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let paths: Vec<_> = merge.changes.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, ["services.web.image", "services.web.environment"]);
    }

    #[test]
    fn manifests_are_merged_object_by_object() {
        let base = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '1'}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {x: '1'}\n";
        let ours = base.replacen("x: '1'", "x: '2'", 1);
        let theirs = base
            .replace("metadata: {name: b}\ndata: {x: '1'}", "metadata: {name: b}\ndata: {x: '3'}");
        let merge = merge3(base, &ours, &theirs, &IndexMap::new());
        let text = merge.ok().and_then(|merge| merge.text).unwrap_or_default();
        let project = crate::load(&text, &()).project.unwrap_or_default();
        let values: Vec<_> =
            project.manifests.iter().map(|m| m.object["data"]["x"].clone()).collect();
        assert_eq!(values, ["2", "3"], "{text}");
    }

    #[test]
    fn names_conflicts_and_takes_the_side_that_was_chosen() {
        let ours = BASE.replace("nginx:1.0", "nginx:1.0-mine");
        let theirs = BASE.replace("nginx:1.0", "nginx:2.0");
        let merge = merged(&ours, &theirs);
        assert_eq!(merge.text, None);
        assert_eq!(merge.conflicts.len(), 1);
        assert_eq!(merge.conflicts[0].path, "services.web.image");
        for (side, expected) in [(Side::Ours, "nginx:1.0-mine"), (Side::Theirs, "nginx:2.0")] {
            let resolutions = [("services.web.image".to_owned(), side)].into();
            let merge = merge3(BASE, &ours, &theirs, &resolutions);
            let text = merge.ok().and_then(|merge| merge.text).unwrap_or_default();
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn emitted_yaml_means_the_same() {
        for source in [
            BASE,
            "a: \"1\"\nb: 1\nc: ''\nd:\ne: [x, {y: z, q: [1]}]\nf: {}\ng: []\nh: \"a: b # c\"\n\"odd key\": |\n  two\n  lines\n",
        ] {
            let first = tree(source).unwrap_or_else(|error| panic!("{error:?}"));
            let text = emit(&first);
            let again = tree(&text).unwrap_or_else(|error| panic!("{error:?} in\n{text}"));
            assert_eq!(first, again, "{text}");
        }
    }

    fn texts() -> impl Strategy<Value = String> {
        prop::collection::btree_map("[a-d]", prop::collection::vec("[w-z]=[0-9]", 0..4), 0..4)
            .prop_map(|services| {
                let mut text = String::from("services:\n");
                for (name, lines) in services {
                    let _ = writeln!(text, "  {name}:\n    image: i\n    environment:");
                    for line in IndexSet::<String>::from_iter(lines) {
                        let _ = writeln!(text, "      - {line}");
                    }
                }
                text
            })
    }

    proptest! {
        #[test]
        fn a_side_that_did_not_change_yields(a in texts(), b in texts()) {
            let none = IndexMap::new();
            let theirs = merge3(&a, &a, &b, &none).map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
            prop_assert_eq!(theirs.text, Some(b.clone()));
            let ours = merge3(&a, &b, &a, &none).map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
            prop_assert_eq!(ours.text, Some(b));
        }
    }
}
