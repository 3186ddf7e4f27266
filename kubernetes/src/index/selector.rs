//! Label selectors, in the text form that kubectl and the API take and in the form that objects
//! carry (`matchLabels`, `matchExpressions`).
//!
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Deserialize;

use super::pool::Label;

/// What labels must be like: all of the requirements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Selector(Box<[Requirement]>);

/// What one label must be like.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: Arc<str>,
    /// What its value must be like.
    pub test: Test,
}

/// What a label's value must be like.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Test {
    /// One of these.
    In(Box<[Arc<str>]>),
    /// None of these, or the label is not there.
    NotIn(Box<[Arc<str>]>),
    /// The label is there.
    Exists,
    /// The label is not there.
    Missing,
    /// A whole number above this one.
    Above(i64),
    /// A whole number below this one.
    Below(i64),
}

/// Longer selectors are not read.
const LONGEST: usize = 16 << 10;

impl Selector {
    /// Reads the text form: `app=web,tier in (a, b),!canary,size>3`.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err("The label selector is too long.".into());
        }
        let mut rest = text.trim();
        let mut requirements = Vec::new();
        while !rest.is_empty() {
            let (requirement, after) = parse_requirement(rest)
                .map_err(|why| format!("The label selector `{text}` cannot be read: {why}. Write it as `app=web,tier in (front,back),!canary`."))?;
            requirements.push(requirement);
            rest = match after.strip_prefix(',') {
                Some(after) if after.trim().is_empty() => {
                    return Err(format!("The label selector `{text}` ends with a comma."));
                }
                Some(after) => after.trim_start(),
                None if after.is_empty() => after,
                None => {
                    return Err(format!(
                        "The label selector `{text}` has `{after}` where a comma should be."
                    ));
                }
            };
        }
        Ok(Self(requirements.into()))
    }

    /// Labels that must all be there.
    pub fn of_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(
            labels
                .into_iter()
                .map(|(key, value)| Requirement {
                    key: key.into(),
                    test: Test::In([Arc::from(value)].into()),
                })
                .collect(),
        )
    }

    /// True when it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The requirements.
    pub fn requirements(&self) -> &[Requirement] {
        &self.0
    }

    /// Whether labels are like this. `labels` are in order by key.
    pub fn matches(&self, labels: &[Label]) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Requirement { key, test }) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            match test {
                Test::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0])?,
                Test::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Test::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", values[0])?,
                Test::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
                Test::Exists => write!(f, "{key}")?,
                Test::Missing => write!(f, "!{key}")?,
                Test::Above(number) => write!(f, "{key}>{number}")?,
                Test::Below(number) => write!(f, "{key}<{number}")?,
            }
        }
        Ok(())
    }
}

impl Requirement {
    fn matches(&self, labels: &[Label]) -> bool {
        let value = label(labels, &self.key);
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
            Test::NotIn(values) => value.is_none_or(|value| values.iter().all(|v| v != value)),
            Test::Exists => value.is_some(),
            Test::Missing => value.is_none(),
            Test::Above(least) => number().is_some_and(|number| number > *least),
            Test::Below(most) => number().is_some_and(|number| number < *most),
        }
    }
}

/// The value of a label; `labels` are in order by key.
pub fn label<'a>(labels: &'a [Label], key: &str) -> Option<&'a Arc<str>> {
    let at = labels.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
    Some(&labels[at].1)
}

fn parse_requirement(text: &str) -> Result<(Requirement, &str), String> {
    if let Some(rest) = text.strip_prefix('!') {
        let (key, rest) = take_word(rest.trim_start());
        return Ok((Requirement { key: check_key(key)?, test: Test::Missing }, rest.trim_start()));
    }
    let (key, rest) = take_word(text);
    let key = check_key(key)?;
    let rest = rest.trim_start();
    for (sign, is_in) in [("==", true), ("!=", false), ("=", true)] {
        if let Some(rest) = rest.strip_prefix(sign) {
            let (word, rest) = take_word(rest.trim_start());
            let values: Box<[Arc<str>]> = [check_value(word)?].into();
            let test = if is_in { Test::In(values) } else { Test::NotIn(values) };
            return Ok((Requirement { key, test }, rest.trim_start()));
        }
    }
    for (sign, make) in [(">", Test::Above as fn(i64) -> Test), ("<", Test::Below)] {
        if let Some(rest) = rest.strip_prefix(sign) {
            let (word, rest) = take_word(rest.trim_start());
            let number = word.parse().map_err(|_| format!("`{word}` is not a whole number"))?;
            return Ok((Requirement { key, test: make(number) }, rest.trim_start()));
        }
    }
    let (word, after) = take_word(rest);
    if !matches!(word, "in" | "notin") {
        return Ok((Requirement { key, test: Test::Exists }, rest));
    }
    let inside =
        after.trim_start().strip_prefix('(').ok_or(format!("`{word}` wants values in brackets"))?;
    let (inside, rest) = inside.split_once(')').ok_or("a bracket is not closed")?;
    let values: Box<[Arc<str>]> =
        inside.split(',').map(|value| check_value(value.trim())).collect::<Result<_, _>>()?;
    let test = if word == "in" { Test::In(values) } else { Test::NotIn(values) };
    Ok((Requirement { key, test }, rest.trim_start()))
}

fn take_word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_whitespace() || "=!<>,()".contains(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// A key: an optional DNS name with a slash, and a name of at most 63 characters.
fn check_key(key: &str) -> Result<Arc<str>, String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let good_prefix = prefix.is_none_or(|prefix| {
        !prefix.is_empty()
            && prefix.len() <= 253
            && prefix
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b))
    });
    if name.is_empty() || !good_prefix || !is_name(name) {
        return Err(format!("`{key}` is not the key of a label"));
    }
    Ok(key.into())
}

fn check_value(value: &str) -> Result<Arc<str>, String> {
    if value.is_empty() || is_name(value) {
        Ok(value.into())
    } else {
        Err(format!("`{value}` is not the value of a label"))
    }
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

/// The form that objects carry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectSelector {
    #[serde(default)]
    match_labels: BTreeMap<String, String>,
    #[serde(default)]
    match_expressions: Vec<Expression>,
}

#[derive(Debug, Clone, Deserialize)]
struct Expression {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

impl From<&ObjectSelector> for Selector {
    fn from(selector: &ObjectSelector) -> Self {
        let labels = selector.match_labels.iter().map(|(key, value)| Requirement {
            key: key.as_str().into(),
            test: Test::In([Arc::from(value.as_str())].into()),
        });
        let expressions = selector.match_expressions.iter().map(|expression| {
            let values =
                || expression.values.iter().map(|value| Arc::from(value.as_str())).collect();
            let test = match expression.operator.as_str() {
                "In" => Test::In(values()),
                "NotIn" => Test::NotIn(values()),
                "Exists" => Test::Exists,
                "DoesNotExist" => Test::Missing,
                // What is not known matches nothing, rather than all.
                _ => Test::In(Box::default()),
            };
            Requirement { key: expression.key.as_str().into(), test }
        });
        Self(labels.chain(expressions).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
        let mut labels: Vec<Label> =
            pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        labels.sort();
        labels
    }

    #[test]
    fn selectors_match_as_kubernetes_does() {
        let web =
            labels(&[("app", "web"), ("tier", "front"), ("size", "5"), ("example.com/x", "")]);
        for (text, matches) in [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , tier=front", true),
            ("app!=web", false),
            ("other!=web", true),
            ("app in (web, db)", true),
            ("app notin (web,db)", false),
            ("other notin (a)", true),
            ("app", true),
            ("!app", false),
            ("! other", true),
            ("size>4", true),
            ("size > 5", false),
            ("size<6,app", true),
            ("example.com/x=", true),
            ("example.com/x", true),
            ("app in (db),tier", false),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(&web), matches, "{text}");
        }
    }

    #[test]
    fn wrong_selectors_say_why() {
        for text in [
            "=web",
            "app=web,",
            "app in web",
            "app in (web",
            "app web",
            "a b=c",
            "app=-x",
            "/x=1",
            "size>x",
            "app=(a)",
            "in (a)",
        ] {
            let why = Selector::parse(text).unwrap_err();
            assert!(why.contains("selector"), "{text}: {why}");
        }
    }

    #[test]
    fn the_form_of_objects() {
        let selector: ObjectSelector = serde_json::from_value(serde_json::json!({
            "matchLabels": {"app": "web"}, "matchExpressions": [
                {"key": "tier", "operator": "NotIn", "values": ["back"]},
                {"key": "x", "operator": "DoesNotExist"}]}))
        .unwrap();
        let selector = Selector::from(&selector);
        assert!(selector.matches(&labels(&[("app", "web")])));
        assert!(!selector.matches(&labels(&[("app", "web"), ("tier", "back")])));
        assert_eq!(selector.to_string(), "app=web,tier!=back,!x");
    }

    proptest! {
        #[test]
        fn a_selector_reads_back_what_it_shows(text in "[a-c!=<>(),in 0-9]{0,20}") {
            if let Ok(selector) = Selector::parse(&text) {
                prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
            }
        }
    }
}
