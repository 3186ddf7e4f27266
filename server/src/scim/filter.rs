//! Filters (RFC 7644, 3.4.2.2): read from text, limited in size and depth, and asked of resources
//! in memory. The store narrows down by [`Filter::required`] first, so that the look-ups of a
//! provider (`userName eq "…"`) read one row.

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    error::{invalid_filter, invalid_path},
    schema::{Attribute, Kind, ResourceType, Schema, Target},
};
use crate::error::Result;

/// The longest filter or path, bytes.
const LONGEST: usize = 4096;
/// How deep parentheses, brackets and `not` may be in each other.
const DEEPEST: usize = 16;
/// The most comparisons.
const MOST: usize = 100;

/// A filter, with its names looked up.
#[derive(Debug, Clone)]
pub(super) enum Filter {
    /// All of them.
    And(Vec<Filter>),
    /// One of them.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// `pr`.
    Present(Path),
    /// A comparison.
    Compare(Path, Operator, Literal),
    /// `emails[…]`: one value of the attribute matches.
    Element(Path, Box<Filter>),
}

/// Where a value is. Empty for what the schemas do not know: that is never there.
#[derive(Debug, Clone)]
pub(super) struct Path {
    keys: Vec<&'static str>,
    leaf: Option<&'static Attribute>,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    /// In small letters where case does not count.
    Text(String),
    Time(OffsetDateTime),
    Boolean(bool),
    /// `null`: no value.
    Nothing,
    /// A number; no attribute has one.
    Number,
}

/// The path of a PATCH (RFC 7644, 3.5.2).
#[derive(Debug, Clone)]
pub(super) struct PatchPath {
    /// The attribute.
    pub target: Target,
    /// Which of its values.
    pub element: Option<Filter>,
}

impl Filter {
    /// Reads a filter.
    pub fn parse(text: &str, of: &'static ResourceType) -> Result<Self> {
        let mut parser = Parser::new(text, Scope::Resource(of))?;
        let filter = parser.either()?;
        parser.space();
        if parser.rest().is_empty() {
            Ok(filter)
        } else {
            Err(parser.unexpected("`and`, `or` or the end"))
        }
    }

    /// Whether a resource matches.
    pub fn matches(&self, resource: &Value) -> bool {
        match self {
            Self::And(all) => all.iter().all(|filter| filter.matches(resource)),
            Self::Or(any) => any.iter().any(|filter| filter.matches(resource)),
            Self::Not(filter) => !filter.matches(resource),
            Self::Present(path) => path.values(resource).iter().any(|value| is_there(value)),
            Self::Compare(path, operator, literal) => path.compare(resource, *operator, literal),
            Self::Element(path, filter) => {
                path.values(resource).into_iter().any(|element| filter.matches(element))
            }
        }
    }

    /// The text that this attribute must equal for the filter to match, if there is one.
    pub fn required(&self, attribute: &str) -> Option<&str> {
        match self {
            Self::And(all) => all.iter().find_map(|filter| filter.required(attribute)),
            Self::Compare(path, Operator::Equal, Literal::Text(text)) => {
                (path.keys == [attribute]).then_some(text)
            }
            _ => None,
        }
    }

    /// The ids that an attribute with links (`members`, `groups`) is compared with; `None` when it
    /// is not. Only `eq` is possible: everything else would read all members of all groups.
    pub fn links(&self, attribute: &str) -> Result<Option<Vec<String>>> {
        let mut ids = Vec::new();
        let found = self.collect_links(attribute, false, &mut ids)?;
        Ok(found.then_some(ids))
    }

    fn collect_links(&self, attribute: &str, inside: bool, ids: &mut Vec<String>) -> Result<bool> {
        let refuse = || {
            Err(invalid_filter(format!(
                "`{attribute}` can be compared by `eq` with an id only, e.g. `{attribute}.value eq \"…\"`."
            )))
        };
        let is_link = |path: &Path| inside || path.keys.first() == Some(&attribute);
        match self {
            Self::And(all) | Self::Or(all) => {
                let mut found = false;
                for filter in all {
                    found |= filter.collect_links(attribute, inside, ids)?;
                }
                Ok(found)
            }
            Self::Not(_) if inside => refuse(),
            Self::Not(filter) => filter.collect_links(attribute, inside, ids),
            Self::Present(path) if is_link(path) => refuse(),
            Self::Compare(path, operator, literal) if is_link(path) => match literal {
                Literal::Text(id)
                    if *operator == Operator::Equal && path.keys.last() == Some(&"value") =>
                {
                    ids.push(id.clone());
                    Ok(true)
                }
                _ => refuse(),
            },
            Self::Element(path, filter) if is_link(path) => {
                filter.collect_links(attribute, true, ids)
            }
            Self::Present(_) | Self::Compare(..) | Self::Element(..) => Ok(false),
        }
    }

    /// The values that `value` is compared with, of a filter that only picks by them:
    /// `value eq "a" or value eq "b"`.
    pub fn picked(&self) -> Option<Vec<&str>> {
        match self {
            Self::Or(any) => {
                let picked: Option<Vec<_>> = any.iter().map(Self::picked).collect();
                picked.map(|all| all.concat())
            }
            Self::Compare(path, Operator::Equal, Literal::Text(id)) => {
                (path.keys == ["value"]).then(|| vec![id.as_str()])
            }
            _ => None,
        }
    }

    /// What an element must have to match, of a filter that only says that: for an `add` to
    /// `emails[type eq "work"].value` where there is none yet.
    pub fn template(&self) -> Option<Vec<(&'static str, Value)>> {
        match self {
            Self::And(all) => {
                let all: Option<Vec<_>> = all.iter().map(Self::template).collect();
                all.map(|all| all.concat())
            }
            Self::Compare(path, Operator::Equal, literal) => {
                let value = match literal {
                    Literal::Text(text) => text.as_str().into(),
                    Literal::Boolean(yes) => (*yes).into(),
                    Literal::Time(_) | Literal::Nothing | Literal::Number => return None,
                };
                path.keys.first().map(|key| vec![(*key, value)])
            }
            _ => None,
        }
    }
}

impl PatchPath {
    /// Reads a path.
    pub fn parse(text: &str, of: &'static ResourceType) -> Result<Self> {
        let bracketed = text.contains('[');
        if !bracketed {
            return Ok(Self { target: of.resolve(text.trim()), element: None });
        }
        let mut parser =
            Parser::new(text, Scope::Resource(of)).map_err(|error| invalid_path(error.detail()))?;
        let name = parser.word();
        let target = of.resolve(name);
        let Target::Attribute { extension, attribute, sub: None } = target else {
            return Ok(Self { target: Target::Unknown, element: None });
        };
        let filter = parser.brackets(attribute)?;
        let sub = match parser.rest().strip_prefix('.') {
            Some(part) => match attribute.sub(part) {
                Some(sub) => Some(sub),
                None => return Ok(Self { target: Target::Unknown, element: None }),
            },
            None if parser.rest().is_empty() => None,
            None => return Err(invalid_path("There is something after `]` in the path.")),
        };
        let target = Target::Attribute { extension, attribute, sub };
        Ok(Self { target, element: Some(filter) })
    }
}

impl Path {
    fn of(extension: Option<&Schema>, attribute: &'static Attribute) -> Self {
        let mut keys = Vec::new();
        if let Some(schema) = extension {
            keys.push(schema.id);
        }
        keys.push(attribute.name);
        Self { keys, leaf: Some(attribute) }
    }

    const fn unknown() -> Self {
        Self { keys: Vec::new(), leaf: None }
    }

    fn then(mut self, sub: &'static Attribute) -> Self {
        self.keys.push(sub.name);
        self.leaf = Some(sub);
        self
    }

    /// The attribute of several parts that is compared by its `value`, when no part is named.
    fn into_value(self) -> Self {
        match self.leaf.and_then(|leaf| leaf.sub("value")) {
            Some(sub) => self.then(sub),
            None => self,
        }
    }

    fn values<'a>(&self, resource: &'a Value) -> Vec<&'a Value> {
        if self.keys.is_empty() {
            return Vec::new();
        }
        let mut values = vec![resource];
        for key in &self.keys {
            values = values
                .into_iter()
                .filter_map(|value| value.get(key))
                .flat_map(|value| match value {
                    Value::Array(all) => all.iter().collect(),
                    one => vec![one],
                })
                .collect();
        }
        values
    }

    fn compare(&self, resource: &Value, operator: Operator, literal: &Literal) -> bool {
        let values = self.values(resource);
        let there = values.iter().any(|value| is_there(value));
        match (literal, operator) {
            (Literal::Nothing, Operator::Equal) => return !there,
            (Literal::Nothing, _) => return there,
            (_, Operator::NotEqual) if !there => return true,
            _ => {}
        }
        let exact = self.leaf.is_some_and(|leaf| leaf.case_exact);
        values.into_iter().any(|value| compare(value, operator, literal, exact))
    }
}

fn is_there(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => !all.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn compare(value: &Value, operator: Operator, literal: &Literal, exact: bool) -> bool {
    use Operator::*;
    let ordered = |order: std::cmp::Ordering| match operator {
        Equal => order.is_eq(),
        NotEqual => order.is_ne(),
        Greater => order.is_gt(),
        GreaterOrEqual => order.is_ge(),
        Less => order.is_lt(),
        LessOrEqual => order.is_le(),
        Contains | StartsWith | EndsWith => false,
    };
    match (value, literal) {
        (Value::String(text), Literal::Text(wanted)) => {
            let text = if exact { text.clone() } else { text.to_lowercase() };
            match operator {
                Contains => text.contains(wanted),
                StartsWith => text.starts_with(wanted),
                EndsWith => text.ends_with(wanted),
                _ => ordered(text.as_str().cmp(wanted)),
            }
        }
        (Value::String(text), Literal::Time(wanted)) => {
            OffsetDateTime::parse(text, &Rfc3339).is_ok_and(|at| ordered(at.cmp(wanted)))
        }
        (Value::Bool(yes), Literal::Boolean(wanted)) => ordered(yes.cmp(wanted)),
        _ => operator == NotEqual,
    }
}

/// Where names are looked up.
#[derive(Clone, Copy)]
enum Scope {
    Resource(&'static ResourceType),
    /// Between the brackets after an attribute.
    Within(&'static Attribute),
}

impl Scope {
    fn path(self, name: &str) -> Path {
        match self {
            Self::Resource(of) => match of.resolve(name) {
                Target::Attribute { extension, attribute, sub } => {
                    let path = Path::of(extension, attribute);
                    match sub {
                        Some(sub) => path.then(sub),
                        None => path,
                    }
                }
                Target::Extension(schema) => Path { keys: vec![schema.id], leaf: None },
                Target::Unknown => Path::unknown(),
            },
            Self::Within(attribute) => match attribute.sub(name) {
                Some(sub) => Path { keys: vec![sub.name], leaf: Some(sub) },
                None => Path::unknown(),
            },
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    comparisons: usize,
    scope: Scope,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, scope: Scope) -> Result<Self> {
        if text.len() > LONGEST {
            return Err(invalid_filter(format!("A filter has at most {LONGEST} bytes.")));
        }
        Ok(Self { text, at: 0, depth: 0, comparisons: 0, scope })
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn unexpected(&self, wanted: &str) -> crate::error::Error {
        let found: String = self.rest().chars().take(20).collect();
        let found = if found.is_empty() { "the end".to_owned() } else { format!("`{found}`") };
        invalid_filter(format!(
            "The filter must have {wanted} at character {}, and has {found}.",
            self.text[..self.at].chars().count() + 1
        ))
    }

    /// Takes what no operator or bracket ends.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end =
            rest.find(|c: char| c.is_whitespace() || "()[]\"".contains(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Takes `keyword`, if it is next and a word of its own.
    fn keyword(&mut self, keyword: &str) -> bool {
        let before = self.at;
        self.space();
        if self.word().eq_ignore_ascii_case(keyword) {
            return true;
        }
        self.at = before;
        false
    }

    fn character(&mut self, wanted: char) -> Result<()> {
        self.space();
        if !self.rest().starts_with(wanted) {
            return Err(self.unexpected(&format!("`{wanted}`")));
        }
        self.at += wanted.len_utf8();
        Ok(())
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(invalid_filter(format!("A filter is at most {DEEPEST} levels deep.")));
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn either(&mut self) -> Result<Filter> {
        let mut any = vec![self.both()?];
        while self.keyword("or") {
            any.push(self.both()?);
        }
        Ok(if any.len() == 1 { any.swap_remove(0) } else { Filter::Or(any) })
    }

    fn both(&mut self) -> Result<Filter> {
        let mut all = vec![self.factor()?];
        while self.keyword("and") {
            all.push(self.factor()?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Filter::And(all) })
    }

    fn factor(&mut self) -> Result<Filter> {
        self.space();
        let before = self.at;
        if self.keyword("not") {
            self.space();
            if self.rest().starts_with('(') {
                return Ok(Filter::Not(Box::new(self.parentheses()?)));
            }
            // An attribute of this name, which is none.
            self.at = before;
        }
        if self.rest().starts_with('(') { self.parentheses() } else { self.expression() }
    }

    fn parentheses(&mut self) -> Result<Filter> {
        self.character('(')?;
        let inner = self.deeper(Self::either)?;
        self.character(')')?;
        Ok(inner)
    }

    /// `[…]` after an attribute.
    fn brackets(&mut self, attribute: &'static Attribute) -> Result<Filter> {
        self.character('[')?;
        let outer = std::mem::replace(&mut self.scope, Scope::Within(attribute));
        let inner = self.deeper(Self::either);
        self.scope = outer;
        let inner = inner?;
        self.character(']')?;
        Ok(inner)
    }

    fn expression(&mut self) -> Result<Filter> {
        let name = self.word();
        if !is_name(name) {
            self.at -= name.len();
            return Err(self.unexpected("the name of an attribute"));
        }
        self.comparisons += 1;
        if self.comparisons > MOST {
            return Err(invalid_filter(format!("A filter has at most {MOST} comparisons.")));
        }
        let path = self.scope.path(name);
        if !self.rest().starts_with('[') {
            return self.comparison(path);
        }
        let attribute = match (self.scope, path.leaf) {
            (Scope::Resource(_), Some(attribute)) if attribute.multi_valued => attribute,
            _ => return Err(invalid_filter(format!("`{name}` does not have several values."))),
        };
        let inner = self.brackets(attribute)?;
        // Entra ID filters by `emails[type eq "work"].value eq "…"`, which the grammar lacks.
        let filter = match self.rest().strip_prefix('.') {
            None => inner,
            Some(_) => {
                self.at += 1;
                let part = self.word();
                let path = Scope::Within(attribute).path(part);
                Filter::And(vec![inner, self.comparison(path)?])
            }
        };
        Ok(Filter::Element(path, Box::new(filter)))
    }

    fn comparison(&mut self, path: Path) -> Result<Filter> {
        self.space();
        let before = self.at;
        let operator = match self.word().to_ascii_lowercase().as_str() {
            "pr" => return Ok(Filter::Present(path)),
            "eq" => Operator::Equal,
            "ne" => Operator::NotEqual,
            "co" => Operator::Contains,
            "sw" => Operator::StartsWith,
            "ew" => Operator::EndsWith,
            "gt" => Operator::Greater,
            "ge" => Operator::GreaterOrEqual,
            "lt" => Operator::Less,
            "le" => Operator::LessOrEqual,
            _ => {
                self.at = before;
                return Err(self.unexpected("eq, ne, co, sw, ew, gt, ge, lt, le or pr"));
            }
        };
        let value = self.literal()?;
        let path = path.into_value();
        let literal = typed(&path, operator, value)?;
        Ok(Filter::Compare(path, operator, literal))
    }

    fn literal(&mut self) -> Result<Value> {
        self.space();
        let rest = self.rest();
        let end = if rest.starts_with('"') { end_of_text(rest) } else { None };
        let end = end.unwrap_or_else(|| {
            rest.find(|c: char| c.is_whitespace() || c == ')' || c == ']').unwrap_or(rest.len())
        });
        let word = &rest[..end];
        // Entra ID writes `True` and `False`.
        let value = match word.to_ascii_lowercase().as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "null" => Ok(Value::Null),
            _ => serde_json::from_str(word),
        };
        match value {
            Ok(Value::Array(_) | Value::Object(_)) | Err(_) => {
                Err(self
                    .unexpected("a value: a text in double quotes, a number, true, false or null"))
            }
            Ok(value) => {
                self.at += end;
                Ok(value)
            }
        }
    }
}

/// Where a text in quotes ends.
fn end_of_text(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// `ATTRNAME`, with what may stand before and after it.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "$-_.:".contains(c))
}

fn typed(path: &Path, operator: Operator, value: Value) -> Result<Literal> {
    use Operator::{Equal, NotEqual};
    let kind = path.leaf.map_or(Kind::Text, |leaf| leaf.kind);
    let name = path.keys.last().copied().unwrap_or_default();
    Ok(match (value, kind) {
        (Value::Null, _) if matches!(operator, Equal | NotEqual) => Literal::Nothing,
        (Value::Null, _) => return Err(invalid_filter("null is compared by eq or ne.")),
        (_, Kind::Boolean) if !matches!(operator, Equal | NotEqual) => {
            return Err(invalid_filter(format!("`{name}` is compared by eq or ne.")));
        }
        (Value::Bool(yes), _) => Literal::Boolean(yes),
        (Value::String(text), Kind::Boolean) => match text.to_ascii_lowercase().as_str() {
            "true" => Literal::Boolean(true),
            "false" => Literal::Boolean(false),
            _ => return Err(invalid_filter(format!("`{name}` is true or false."))),
        },
        (Value::String(text), Kind::DateTime) => match OffsetDateTime::parse(&text, &Rfc3339) {
            Ok(at) => Literal::Time(at),
            Err(_) => {
                let example = "2026-01-31T08:30:00Z";
                return Err(invalid_filter(format!("`{name}` is a time such as `{example}`.")));
            }
        },
        (Value::String(text), _) => match path.leaf {
            Some(leaf) if leaf.case_exact => Literal::Text(text),
            _ => Literal::Text(text.to_lowercase()),
        },
        (Value::Number(_) | Value::Array(_) | Value::Object(_), _) => Literal::Number,
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::schema::{GROUPS, USERS},
        *,
    };
    use proptest::prelude::*;
    use serde_json::json;

    fn grace() -> Value {
        json!({
            "id": "0198c0de-0000-7000-8000-000000000001",
            "userName": "Grace@example.com",
            "externalId": "aBc",
            "name": { "givenName": "Grace", "familyName": "Hopper" },
            "displayName": "Grace Hopper",
            "title": "",
            "active": true,
            "emails": [
                { "value": "grace@example.com", "type": "work", "primary": true },
                { "value": "Amazing@Home.example", "type": "home" }
            ],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "Navy" },
            "meta": { "created": "2026-01-31T08:30:00Z", "lastModified": "2026-02-01T00:00:00Z" }
        })
    }

    fn matches(filter: &str) -> bool {
        Filter::parse(filter, USERS).unwrap_or_else(|e| panic!("{filter}: {e}")).matches(&grace())
    }

    #[test]
    fn filters_match_as_the_rfc_says() {
        for filter in [
            r#"userName eq "grace@EXAMPLE.com""#,
            r#"USERNAME Eq "grace@example.com""#,
            r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "GRACE""#,
            r#"externalId eq "aBc""#,
            r#"name.familyName co "OPP""#,
            r#"displayName ew "hopper""#,
            r#"userName ne "ada""#,
            r#"nickName ne "ada""#,
            r#"nickName eq null"#,
            r#"emails pr"#,
            r#"emails co "home.EXAMPLE""#,
            r#"emails.type eq "home""#,
            r#"emails[type eq "work" and value co "@example.com"]"#,
            r#"emails[type eq "work"].value eq "grace@example.com""#,
            r#"emails[primary eq true]"#,
            r#"not (userName eq "ada")"#,
            r#"not(userName eq "ada")"#,
            r#"active eq true"#,
            r#"active eq "True""#,
            r#"active eq True and (title pr or not (title pr))"#,
            r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "navy""#,
            r#"meta.created ge "2026-01-31T09:30:00+01:00""#,
            r#"meta.lastModified gt "2026-01-31T23:59:59Z""#,
            r#"userName gt "ada""#,
            r#"userName eq "x" or userName eq "y" or displayName pr"#,
            // `and` binds more tightly than `or`.
            r#"displayName pr or userName eq "x" and userName eq "y""#,
            r#"nothing ne "x""#,
            "  userName   pr  ",
        ] {
            assert!(matches(filter), "{filter}");
        }
        for filter in [
            r#"externalId eq "abc""#,
            r#"title pr"#,
            r#"nickName pr"#,
            r#"nothing pr"#,
            r#"nothing eq "x""#,
            r#"userName eq 5"#,
            r#"emails[type eq "home" and value co "@example.com"]"#,
            r#"emails[nothing eq "x"]"#,
            r#"(displayName pr or userName eq "x") and userName eq "y""#,
            r#"active eq false"#,
            r#"active ne null and not (active eq true)"#,
            r#"meta.created lt "2026-01-31T08:30:00Z""#,
            r#"name eq "Grace""#,
        ] {
            assert!(!matches(filter), "{filter}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for filter in [
            "",
            " ",
            "userName",
            "userName eq",
            r#"userName eq "open"#,
            r#"userName eq 'single'"#,
            r#"userName is "x""#,
            r#"userName eq "x" and"#,
            r#"userName eq "x" nand userName eq "y""#,
            r#"(userName eq "x""#,
            r#"userName eq "x")"#,
            r#"emails[type eq "work""#,
            r#"userName[type eq "work"]"#,
            r#"emails[phones[type eq "x"]]"#,
            r#"userName eq {"a":1}"#,
            r#"userName eq ["a"]"#,
            r#"active gt true"#,
            r#"active eq "maybe""#,
            r#"meta.created gt "yesterday""#,
            r#"userName gt null"#,
            r#"not userName eq "x""#,
            r#"user name eq "x""#,
            r#""userName" eq "x""#,
            r#"userName eq "\x""#,
        ] {
            let error = Filter::parse(filter, USERS).expect_err(filter);
            assert_eq!(error.code(), "invalidFilter", "{filter}");
        }
    }

    #[test]
    fn filters_are_limited() {
        let refused = |filter: &str| Filter::parse(filter, USERS).is_err();
        let nested = |depth| format!("{}userName pr{}", "(".repeat(depth), ")".repeat(depth));
        assert!(!refused(&nested(DEEPEST)));
        assert!(refused(&nested(DEEPEST + 1)));
        assert!(refused(&"(".repeat(LONGEST)));
        let many = |count| vec!["id pr"; count].join(" or ");
        assert!(!refused(&many(MOST)));
        assert!(refused(&many(MOST + 1)));
        assert!(refused(&format!("userName eq \"{}\"", "x".repeat(LONGEST))));
    }

    #[test]
    fn look_ups_are_found() {
        let required = |filter: &str, attribute: &str| {
            let filter = Filter::parse(filter, USERS).unwrap();
            filter.required(attribute).map(str::to_owned)
        };
        assert_eq!(required(r#"userName eq "A""#, "userName").as_deref(), Some("a"));
        let both = r#"active eq true and (externalId eq "A" and title pr)"#;
        assert_eq!(required(both, "externalId").as_deref(), Some("A"));
        assert_eq!(required(r#"userName eq "a" or active eq true"#, "userName"), None);
        assert_eq!(required(r#"not (userName eq "a")"#, "userName"), None);
    }

    #[test]
    fn links_are_compared_by_id_only() {
        let links = |filter: &str| {
            Filter::parse(filter, GROUPS).unwrap().links("members").map_err(|e| e.code().to_owned())
        };
        assert_eq!(links(r#"displayName eq "x""#), Ok(None));
        for filter in [
            r#"members eq "u""#,
            r#"members.value eq "u""#,
            r#"id eq "g" and members[value eq "u"]"#,
            r#"not (members.value eq "u")"#,
        ] {
            assert_eq!(links(filter), Ok(Some(vec!["u".to_owned()])), "{filter}");
        }
        for filter in [
            "members pr",
            r#"members ne "u""#,
            r#"members[not (value eq "u")]"#,
            r#"members.display eq "x""#,
        ] {
            assert_eq!(links(filter), Err("invalidFilter".to_owned()), "{filter}");
        }
    }

    #[test]
    fn paths_of_patches() {
        let path = |text: &str| PatchPath::parse(text, USERS);
        let read = path(r#"emails[type eq "work"].value"#).unwrap();
        assert!(read.element.is_some());
        assert!(matches!(read.target, Target::Attribute { attribute, sub: Some(sub), .. }
            if attribute.name == "emails" && sub.name == "value"));
        assert!(matches!(path("nothing[type eq \"work\"]").unwrap().target, Target::Unknown));
        assert!(matches!(path("emails[type eq \"w\"].x").unwrap().target, Target::Unknown));
        for wrong in [r#"emails[type eq "work"]value"#, r#"emails[type eq "work""#, "emails[]"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in r#"[a-z\[\]()"\\. :é$]{0,80}"#) {
            let _ = Filter::parse(&text, USERS).map(|filter| filter.matches(&grace()));
            let _ = PatchPath::parse(&text, GROUPS);
        }

        #[test]
        fn words_of_the_grammar_do_not_break_it(words in proptest::collection::vec(
            proptest::sample::select(vec!["(", ")", "[", "]", "not", "and", "or", "pr", "eq", "ne",
                "userName", "emails", "emails[", "members", "\"x\"", "true", "null", "7", ".value",
                "meta.created", "urn:ietf:params:scim:schemas:core:2.0:User:"]), 0..24)) {
            let text = words.join(" ");
            let _ = Filter::parse(&text, USERS).map(|filter| filter.matches(&grace()));
            let _ = PatchPath::parse(&text, USERS);
        }

        #[test]
        fn every_text_can_be_looked_up(value in "\\PC{0,40}") {
            let filter = format!("displayName eq {}", json!(value));
            let filter = Filter::parse(&filter, USERS).unwrap();
            let same = json!({ "displayName": value });
            prop_assert!(filter.matches(&same));
            let other = json!({ "displayName": format!("{value}.") });
            prop_assert!(!filter.matches(&other));
        }
    }
}
