//! Variables in values, by the specification's rules: `$VAR`, `${VAR}`, `${VAR:-default}`,
//! `${VAR-default}`, `${VAR:?error}`, `${VAR?error}`, `${VAR:+replacement}`, `${VAR+replacement}`,
//! nested, and `$$` for a dollar sign.

use indexmap::IndexMap;

use crate::{
    Diagnostic, Severity,
    yaml::{Node, Value},
};

/// Where the values of variables come from.
pub trait Variables {
    /// The value, if the variable is set.
    fn get(&self, name: &str) -> Option<String>;
}

impl Variables for IndexMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        IndexMap::get(self, name).cloned()
    }
}

/// No variable is set.
impl Variables for () {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

/// A variable that a text uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableUse {
    /// Its name.
    pub name: String,
    /// Its default in the text.
    pub default: Option<String>,
    /// True for `${NAME:?}` and `${NAME?}`.
    pub required: bool,
    /// Where it is first used, from 1.
    pub line: u32,
}

/// Why a text cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterpolateError {
    /// `${` without its `}`, or a name that is none.
    #[error("`{0}` is not a variable: write ${{NAME}}, or $$ for a dollar sign.")]
    Malformed(String),
    /// `${NAME:?message}` and the variable is not set.
    #[error("The variable `{name}` must be set{message}.")]
    Required {
        /// The variable's name.
        name: String,
        /// `: ` and the text's own message, or nothing.
        message: String,
    },
}

/// One piece of a text.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Variable { name: String, rule: Option<Rule> },
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    /// `-`, `?` or `+`.
    operator: char,
    /// With `:` before the operator, an empty value counts as not set.
    empty_is_unset: bool,
    argument: Vec<Piece>,
}

/// Fills the variables of one text in. `unset` hears of each that has no value and no default.
pub fn text(
    source: &str,
    variables: &dyn Variables,
    unset: &mut dyn FnMut(&str),
) -> Result<String, InterpolateError> {
    evaluate(&pieces(source)?, variables, unset)
}

fn evaluate(
    pieces: &[Piece],
    variables: &dyn Variables,
    unset: &mut dyn FnMut(&str),
) -> Result<String, InterpolateError> {
    let mut out = String::new();
    for piece in pieces {
        let (name, rule) = match piece {
            Piece::Text(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Variable { name, rule } => (name, rule),
        };
        let value = variables.get(name);
        let Some(rule) = rule else {
            if value.is_none() {
                unset(name);
            }
            out.push_str(&value.unwrap_or_default());
            continue;
        };
        let value = value.filter(|value| !(rule.empty_is_unset && value.is_empty()));
        match (rule.operator, value) {
            ('+', Some(_)) => out.push_str(&evaluate(&rule.argument, variables, unset)?),
            ('+', None) => {}
            (_, Some(value)) => out.push_str(&value),
            ('-', None) => out.push_str(&evaluate(&rule.argument, variables, unset)?),
            (_, None) => {
                let message = evaluate(&rule.argument, variables, unset)?;
                let message = if message.is_empty() { message } else { format!(": {message}") };
                return Err(InterpolateError::Required { name: name.clone(), message });
            }
        }
    }
    Ok(out)
}

fn pieces(source: &str) -> Result<Vec<Piece>, InterpolateError> {
    let mut out: Vec<Piece> = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find('$') {
        push_text(&mut out, &rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            push_text(&mut out, "$");
            rest = tail;
        } else if let Some(inner) = after.strip_prefix('{') {
            let end = closing_brace(inner)
                .ok_or_else(|| InterpolateError::Malformed(shorten(&rest[at..])))?;
            out.push(braced(&inner[..end])?);
            rest = &inner[end + 1..];
        } else {
            let length = name_length(after);
            if length == 0 {
                return Err(InterpolateError::Malformed(shorten(&rest[at..])));
            }
            out.push(Piece::Variable { name: after[..length].to_owned(), rule: None });
            rest = &after[length..];
        }
    }
    push_text(&mut out, rest);
    Ok(out)
}

fn push_text(out: &mut Vec<Piece>, text: &str) {
    match out.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(last)) => last.push_str(text),
        _ => out.push(Piece::Text(text.to_owned())),
    }
}

fn braced(inner: &str) -> Result<Piece, InterpolateError> {
    let malformed = || InterpolateError::Malformed(shorten(&format!("${{{inner}}}")));
    let length = name_length(inner);
    let (name, rest) = inner.split_at(length);
    if name.is_empty() {
        return Err(malformed());
    }
    if rest.is_empty() {
        return Ok(Piece::Variable { name: name.to_owned(), rule: None });
    }
    let (empty_is_unset, rest) = rest.strip_prefix(':').map_or((false, rest), |rest| (true, rest));
    let mut letters = rest.chars();
    let operator = letters.next().filter(|c| "-?+".contains(*c)).ok_or_else(malformed)?;
    let rule = Rule { operator, empty_is_unset, argument: pieces(letters.as_str())? };
    Ok(Piece::Variable { name: name.to_owned(), rule: Some(rule) })
}

/// The place of the brace that closes the one before `text`, with nested ones skipped.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut before = ' ';
    for (at, letter) in text.char_indices() {
        match letter {
            '{' if before == '$' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
        before = letter;
    }
    None
}

fn name_length(text: &str) -> usize {
    let fits = |(at, c): &(usize, char)| {
        c.is_ascii_alphabetic() || *c == '_' || (*at > 0 && c.is_ascii_digit())
    };
    text.char_indices().take_while(fits).count()
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Fills in every value of a tree. Keys stay as they are.
pub(crate) fn fill(node: &mut Node, variables: &dyn Variables, found: &mut Vec<Diagnostic>) {
    let (line, column) = (node.line, node.column);
    match &mut node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                // The condition is a text of its own.
                if key.text != "x-drover-when" {
                    fill(value, variables, found);
                }
            }
        }
        Value::List(items) => items.iter_mut().for_each(|item| fill(item, variables, found)),
        Value::Scalar(source, plain) if source.contains('$') => {
            let mut tell = |severity, code: &str, message: String| {
                let path = String::new();
                found.push(Diagnostic { severity, line, column, path, code: code.into(), message });
            };
            let mut unset = Vec::new();
            match text(source, variables, &mut |name| unset.push(name.to_owned())) {
                Ok(filled) => {
                    // `${EMPTY}` is an empty text, not a null.
                    *plain &= !filled.is_empty();
                    *source = filled;
                }
                Err(error) => tell(Severity::Error, "variable", error.to_string()),
            }
            for name in unset {
                let message =
                    format!("The variable `{name}` has no value and no default: it is left empty.");
                tell(Severity::Warning, "variable_unset", message);
            }
        }
        Value::Scalar(..) => {}
    }
}

/// The variables that a tree uses.
pub(crate) fn uses(root: &Node) -> Vec<VariableUse> {
    fn in_pieces(pieces: &[Piece], line: u32, found: &mut IndexMap<String, VariableUse>) {
        for piece in pieces {
            let Piece::Variable { name, rule } = piece else { continue };
            let default = rule
                .as_ref()
                .filter(|rule| rule.operator == '-')
                .map(|rule| evaluate(&rule.argument, &(), &mut |_| {}).unwrap_or_default());
            let required = rule.as_ref().is_some_and(|rule| rule.operator == '?');
            let entry = found.entry(name.clone()).or_insert_with(|| VariableUse {
                name: name.clone(),
                default: None,
                required: false,
                line,
            });
            entry.required |= required;
            if entry.default.is_none() {
                entry.default = default;
            }
            if let Some(rule) = rule {
                in_pieces(&rule.argument, line, found);
            }
        }
    }
    fn walk(node: &Node, found: &mut IndexMap<String, VariableUse>) {
        match &node.value {
            Value::Map(entries) => entries.iter().for_each(|(_, value)| walk(value, found)),
            Value::List(items) => items.iter().for_each(|item| walk(item, found)),
            Value::Scalar(source, _) => {
                if let Ok(pieces) = pieces(source) {
                    in_pieces(&pieces, node.line, found);
                }
            }
        }
    }
    let mut found = IndexMap::new();
    walk(root, &mut found);
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(source: &str) -> Result<String, InterpolateError> {
        let variables: IndexMap<String, String> =
            [("A", "1"), ("EMPTY", ""), ("NAME", "web")].map(|(k, v)| (k.into(), v.into())).into();
        text(source, &variables, &mut |_| {})
    }

    #[test]
    fn fills_in_by_the_specification() {
        for (source, expected) in [
            ("plain", "plain"),
            ("$A", "1"),
            ("${A}x", "1x"),
            ("$$A", "$A"),
            ("$${A}", "${A}"),
            ("${UNSET:-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${UNSET-d}", "d"),
            ("${A:-d}", "1"),
            ("${A:+r}", "r"),
            ("${EMPTY:+r}", ""),
            ("${EMPTY+r}", "r"),
            ("${UNSET+r}", ""),
            ("${UNSET:-${NAME}-x}", "web-x"),
            ("${UNSET:-${ALSO:-{}}}", "{}"),
            ("${A?no}", "1"),
            ("$NAME:$A", "web:1"),
        ] {
            assert_eq!(filled(source).as_deref(), Ok(expected), "{source}");
        }
        for source in ["$", "${", "${}", "${A", "$1", "${A!x}", "a $ b"] {
            assert!(matches!(filled(source), Err(InterpolateError::Malformed(_))), "{source}");
        }
        let error = filled("${UNSET:?set me}").err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("The variable `UNSET` must be set: set me."));
    }

    proptest! {
        #[test]
        fn text_without_a_dollar_stays(source in "[^$]{0,60}") {
            prop_assert_eq!(filled(&source), Ok(source));
        }

        #[test]
        fn an_escaped_text_comes_back(source in ".{0,60}") {
            prop_assert_eq!(filled(&source.replace('$', "$$")), Ok(source));
        }

        #[test]
        fn no_text_panics(source in "[$\\{\\}:?+A-]{0,40}") {
            let _ = filled(&source);
        }
    }
}
