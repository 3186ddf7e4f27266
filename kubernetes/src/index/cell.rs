//! The cells of a cluster's Tables, compact, and in a form that does not grow stale: what the
//! cluster tells as "5m" is kept as a moment.

use std::{borrow::Cow, cmp::Ordering, fmt::Write, sync::Arc};

use serde::{Deserialize, Deserializer, de};

use super::pool::Pool;
use crate::facts::quantity;

/// A column of a resource type, as the cluster (or the CRD) defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As shown, e.g. `Nominated Node`.
    pub name: Box<str>,
    /// As filtered and sorted by, e.g. `nominated_node`.
    pub key: Box<str>,
    /// What is in it.
    pub kind: ColumnKind,
    /// Shown only when there is room (the cluster's priority is above 0).
    pub wide: bool,
    /// What the cluster says of it; may be empty.
    pub description: Box<str>,
}

/// What is in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ColumnKind {
    Name,
    Text,
    Number,
    Boolean,
    /// Moments, shown as the time that has passed since.
    Age,
}

impl Column {
    /// A column by what a Table's `columnDefinitions` say.
    pub fn new(name: &str, kind: &str, format: &str, priority: i32, description: &str) -> Self {
        let kind = if format == "name" || name == "Name" {
            ColumnKind::Name
        } else if kind == "date" || AGES.contains(&name) {
            ColumnKind::Age
        } else {
            match kind {
                "integer" | "number" => ColumnKind::Number,
                "boolean" => ColumnKind::Boolean,
                _ => ColumnKind::Text,
            }
        };
        Self {
            name: name.into(),
            key: key_of(name).into(),
            kind,
            wide: priority > 0,
            description: description.into(),
        }
    }
}

/// Columns of built-in types whose texts are times that pass, though the cluster calls them texts.
const AGES: [&str; 4] = ["Age", "Last Seen", "First Seen", "Last Schedule"];

/// `Nominated Node` becomes `nominated_node`, `CPU(cores)` becomes `cpu_cores`.
pub fn key_of(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_alphanumeric() {
            key.extend(letter.to_lowercase());
        } else if !key.is_empty() && !key.ends_with('_') {
            key.push('_');
        }
    }
    key.truncate(key.trim_end_matches('_').len());
    key
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Cell {
    /// Nothing.
    #[default]
    Empty,
    /// The object's name.
    Name,
    /// The time since the object was made.
    Created,
    /// A text.
    Text(Arc<str>),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Boolean(bool),
    /// The time since this moment, in seconds since the Unix epoch.
    Since(i64),
    /// A count, and the time since it last grew: restarts.
    CountSince {
        /// The count.
        count: u32,
        /// Seconds since the Unix epoch.
        since: i64,
    },
    /// A length of time, in seconds: how long a job took.
    Lasting(i64),
}

/// A cell as it comes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RawCell<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for RawCell<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = RawCell<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a cell")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(RawCell::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
                Ok(RawCell::Boolean(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
                Ok(RawCell::Integer(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
                Ok(i64::try_from(value).map_or(RawCell::Float(value as f64), RawCell::Integer))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
                Ok(RawCell::Float(value))
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(RawCell::Text(value.into()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(RawCell::Text(value.to_owned().into()))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<de::IgnoredAny>()?.is_some() {}
                Ok(RawCell::Other)
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
                Ok(RawCell::Other)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// Longer texts of cells are cut: a column may hold anything.
const LONGEST_TEXT: usize = 1024;

/// What is known where a cell is made.
pub(super) struct Making<'a> {
    pub pool: &'a mut Pool,
    /// Seconds since the Unix epoch.
    pub now: i64,
    /// The object's name.
    pub name: &'a str,
    /// When it was made, by the same clock as `now`.
    pub created: i64,
}

impl Making<'_> {
    /// The cell of a column.
    pub fn cell(&mut self, column: &Column, raw: &RawCell<'_>) -> Cell {
        match raw {
            RawCell::Null | RawCell::Other => Cell::Empty,
            RawCell::Boolean(value) => Cell::Boolean(*value),
            RawCell::Integer(value) => Cell::Integer(*value),
            RawCell::Float(value) => Cell::Float(*value),
            RawCell::Text(text) => self.text(column, text),
        }
    }

    fn text(&mut self, column: &Column, text: &str) -> Cell {
        if text.is_empty() || text == "<none>" {
            return Cell::Empty;
        }
        if column.kind == ColumnKind::Name && text == self.name {
            return Cell::Name;
        }
        if column.kind == ColumnKind::Age {
            return match parse_duration(text) {
                Some((seconds, grain)) => self.moment(seconds, grain),
                None if text == "<unknown>" => Cell::Empty,
                None => Cell::Text(self.pool.text(cut(text))),
            };
        }
        if let Some((count, seconds)) = parse_count_since(text) {
            return Cell::CountSince { count, since: self.now - seconds };
        }
        if column.kind == ColumnKind::Number
            && let Ok(number) = text.parse()
        {
            return Cell::Integer(number);
        }
        Cell::Text(self.pool.text(cut(text)))
    }

    /// The moment that a text of `seconds` means. It is told with the accuracy of its last unit
    /// and by the cluster's clock, so that it is taken for the object's own beginning where that
    /// is near enough.
    fn moment(&self, seconds: i64, grain: i64) -> Cell {
        let own = self.now - self.created;
        if self.created > 0 && (own - seconds).abs() <= grain + CLOCKS_APART {
            Cell::Created
        } else {
            Cell::Since(self.now - seconds)
        }
    }
}

/// How far the cluster's clock may be from ours, in seconds.
const CLOCKS_APART: i64 = 30;

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

/// What cells are compared and filtered by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key<'a> {
    Number(f64),
    Text(&'a str),
    Empty,
}

impl Key<'_> {
    /// Numbers before texts, and what is empty last.
    pub fn compare(&self, other: &Key<'_>) -> Ordering {
        match (self, other) {
            (Key::Number(a), Key::Number(b)) => a.total_cmp(b),
            (Key::Text(a), Key::Text(b)) => natural(a, b),
            (Key::Empty, Key::Empty) => Ordering::Equal,
            (Key::Number(_), _) | (Key::Text(_), Key::Empty) => Ordering::Less,
            _ => Ordering::Greater,
        }
    }
}

impl Cell {
    /// As it is compared. Of times, the age: the moment's negative, so that the youngest is first.
    pub(super) fn key<'a>(&'a self, name: &'a str, created: i64) -> Key<'a> {
        match self {
            Cell::Empty => Key::Empty,
            Cell::Name => Key::Text(name),
            Cell::Created => Key::Number(-created as f64),
            Cell::Text(text) => match quantity::parse(text) {
                Some(number) => Key::Number(number),
                None => Key::Text(text),
            },
            Cell::Integer(number) => Key::Number(*number as f64),
            Cell::Float(number) => Key::Number(*number),
            Cell::Boolean(value) => Key::Number(f64::from(u8::from(*value))),
            Cell::Since(moment) => Key::Number(-*moment as f64),
            Cell::CountSince { count, .. } => Key::Number(f64::from(*count)),
            Cell::Lasting(seconds) => Key::Number(*seconds as f64),
        }
    }

    /// As kubectl would show it at `now` (seconds since the Unix epoch).
    pub fn show<'a>(&'a self, name: &'a str, created: i64, now: i64) -> Cow<'a, str> {
        match self {
            Cell::Empty => "".into(),
            Cell::Name => name.into(),
            Cell::Created => human(now - created).into(),
            Cell::Text(text) => (**text).into(),
            Cell::Integer(number) => number.to_string().into(),
            Cell::Float(number) => number.to_string().into(),
            Cell::Boolean(value) => if *value { "true" } else { "false" }.into(),
            Cell::Since(moment) => human(now - moment).into(),
            Cell::CountSince { count, since } => {
                format!("{count} ({} ago)", human(now - since)).into()
            }
            Cell::Lasting(seconds) => human(*seconds).into(),
        }
    }

    /// Keeps the moments of `before` where this cell tells the same ones, only less exactly:
    /// otherwise each reading would look like a change.
    pub(super) fn settle(&mut self, before: &Cell, now: i64) {
        match (self, before) {
            (Cell::Since(new), Cell::Since(old))
                if (*new - *old).abs() <= 2 || human(now - *new) == human(now - *old) =>
            {
                *new = *old;
            }
            (
                Cell::CountSince { count, since },
                Cell::CountSince { count: old_count, since: old },
            ) if count == old_count => *since = *old,
            _ => {}
        }
    }
}

/// A length of time as kubectl tells it: `45s`, `5m30s`, `3h20m`, `2d4h`, `400d`, `3y120d`.
pub fn human(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let two = |a: i64, a_unit: char, b: i64, b_unit: char| {
        let mut text = format!("{a}{a_unit}");
        if b > 0 {
            let _ = write!(text, "{b}{b_unit}");
        }
        text
    };
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, 'm', seconds % 60, 's')
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, 'h', minutes % 60, 'm')
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 24 * 8 {
        two(hours / 24, 'd', hours % 24, 'h')
    } else if hours < 24 * 365 * 2 {
        format!("{}d", hours / 24)
    } else if hours < 24 * 365 * 8 {
        two(hours / 24 / 365, 'y', hours / 24 % 365, 'd')
    } else {
        format!("{}y", hours / 24 / 365)
    }
}

/// Reads such a length: seconds, and the unit of its last part in seconds.
pub fn parse_duration(text: &str) -> Option<(i64, i64)> {
    let mut rest = text.trim();
    let (mut seconds, mut grain) = (0i64, i64::MAX);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok().filter(|n| *n < 1_000_000_000)?;
        let unit = match rest.as_bytes()[digits] {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'y' => 365 * 86_400,
            _ => return None,
        };
        // Units come in falling order.
        if unit >= grain {
            return None;
        }
        seconds += number * unit;
        grain = unit;
        rest = &rest[digits + 1..];
    }
    Some((seconds, grain))
}

/// `3 (5m ago)`: the count, and how many seconds ago.
fn parse_count_since(text: &str) -> Option<(u32, i64)> {
    let (count, rest) = text.split_once(" (")?;
    let (seconds, _) = parse_duration(rest.strip_suffix(" ago)")?)?;
    Some((count.parse().ok()?, seconds))
}

/// Orders texts as people do: no case, and numbers by value (`web-9` before `web-10`).
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(x), Some(y)) = (a.first(), b.first()) else {
            return a.len().cmp(&b.len());
        };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (x, rest_a) = split_number(a);
            let (y, rest_b) = split_number(b);
            let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
            if order.is_ne() {
                return order;
            }
            (a, b) = (rest_a, rest_b);
        } else {
            let order = x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase());
            if order.is_ne() {
                return order;
            }
            (a, b) = (&a[1..], &b[1..]);
        }
    }
}

/// The digits at the beginning, without leading zeros, and what follows.
fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let zeros = number.iter().take_while(|b| **b == b'0').count();
    (&number[zeros..], rest)
}

/// Whether `text` has `needle`, which is lower-case, in it.
pub fn contains_ignoring_case(text: &str, needle: &str) -> bool {
    if !needle.is_ascii() {
        return text.to_lowercase().contains(needle);
    }
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    let Some((first, rest)) = needle.split_first() else { return true };
    let Some(last) = text.len().checked_sub(needle.len()) else { return false };
    // The first letter alone rules out most places.
    (0..=last).any(|at| {
        text[at].to_ascii_lowercase() == *first
            && text[at + 1..at + needle.len()].eq_ignore_ascii_case(rest)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn cell(column: &Column, raw: RawCell<'_>, created: i64) -> Cell {
        let mut pool = Pool::default();
        Making { pool: &mut pool, now: NOW, name: "web", created }.cell(column, &raw)
    }

    fn text_cell(name: &str, kind: &str, text: &str) -> Cell {
        cell(&Column::new(name, kind, "", 0, ""), RawCell::Text(text.into()), NOW - 3600)
    }

    #[test]
    fn lengths_of_time_are_told_and_read() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (330, "5m30s"),
            (600, "10m"),
            (10_799, "179m"),
            (12_000, "3h20m"),
            (10_800, "3h"),
            (100_000, "27h"),
            (200_000, "2d7h"),
            (172_800, "2d"),
            (86_400 * 400, "400d"),
            (86_400 * 365 * 3, "3y"),
            (86_400 * (365 * 3 + 5), "3y5d"),
            (86_400 * 365 * 9, "9y"),
        ] {
            assert_eq!(human(seconds), text);
            let (read, grain) = parse_duration(text).unwrap();
            assert!(read <= seconds && seconds < read + grain, "{text}: {read} {grain}");
        }
        for bad in ["", "5", "m", "5x", "5m5m", "5s5m", "-5m", "999999999999999d", "<unknown>"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_become_moments() {
        assert_eq!(text_cell("Age", "string", "60m"), Cell::Created);
        assert_eq!(text_cell("Age", "string", "10d"), Cell::Since(NOW - 864_000));
        assert_eq!(text_cell("Ready Since", "date", "5m"), Cell::Since(NOW - 300));
        assert_eq!(text_cell("Age", "string", "<unknown>"), Cell::Empty);
        assert_eq!(
            text_cell("Restarts", "string", "3 (5m ago)"),
            Cell::CountSince { count: 3, since: NOW - 300 }
        );
        assert_eq!(text_cell("Restarts", "string", "0").show("web", 0, NOW), "0");
        let restarts = text_cell("Restarts", "string", "3 (5m ago)");
        assert_eq!(restarts.show("web", 0, NOW + 60), "3 (6m ago)");
    }

    #[test]
    fn other_texts_stay_texts() {
        assert_eq!(text_cell("Name", "string", "web"), Cell::Name);
        assert_eq!(text_cell("Name", "string", "other").show("web", 0, 0), "other");
        assert_eq!(text_cell("Node", "string", "<none>"), Cell::Empty);
        let long = "é".repeat(2000);
        assert!(text_cell("Status", "string", &long).show("", 0, 0).len() <= LONGEST_TEXT);
    }

    #[test]
    fn a_moment_told_less_exactly_is_no_change() {
        let mut cell = Cell::Since(NOW - 27 * 3600);
        cell.settle(&Cell::Since(NOW - 27 * 3600 - 3000), NOW);
        assert_eq!(cell, Cell::Since(NOW - 27 * 3600 - 3000));
        let mut cell = Cell::Since(NOW);
        cell.settle(&Cell::Since(NOW - 500), NOW);
        assert_eq!(cell, Cell::Since(NOW));
        let mut cell = Cell::CountSince { count: 4, since: NOW };
        cell.settle(&Cell::CountSince { count: 3, since: NOW - 500 }, NOW);
        assert_eq!(cell, Cell::CountSince { count: 4, since: NOW });
    }

    #[test]
    fn numbers_sort_by_value() {
        assert_eq!(natural("web-9", "web-10"), Ordering::Less);
        assert_eq!(natural("Web-9", "web-09"), Ordering::Equal);
        assert_eq!(natural("a1b2", "a1b10"), Ordering::Less);
        let gib = Cell::Text("1Gi".into());
        let mib = Cell::Text("512Mi".into());
        assert!(mib.key("", 0).compare(&gib.key("", 0)).is_lt());
        let young = Cell::Since(NOW);
        assert!(young.key("", 0).compare(&Cell::Since(NOW - 5).key("", 0)).is_lt());
        assert!(gib.key("", 0).compare(&Cell::Empty.key("", 0)).is_lt());
    }

    #[test]
    fn texts_are_found_whatever_their_case() {
        for (text, needle, found) in [
            ("Web-1", "web", true),
            ("my-WEB", "web", true),
            ("we", "web", false),
            ("", "", true),
            ("", "a", false),
            ("MÖWE", "möwe", true),
            ("wwweb", "web", true),
        ] {
            assert_eq!(contains_ignoring_case(text, needle), found, "{text} {needle}");
        }
    }

    #[test]
    fn keys_of_columns() {
        assert_eq!(key_of("Nominated Node"), "nominated_node");
        assert_eq!(key_of("CPU(cores)"), "cpu_cores");
        assert_eq!(key_of("Port(s)"), "port_s");
    }

    #[test]
    fn cells_are_small() {
        assert!(size_of::<Cell>() <= 24);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_cell(text in ".{0,40}", kind in "(string|date|integer|number|boolean)", name in "(Age|Name|Status|Restarts)") {
            let column = Column::new(&name, &kind, "", 0, "");
            let cell = cell(&column, RawCell::Text(text.as_str().into()), NOW);
            let _ = cell.show("web", NOW, NOW);
        }

        #[test]
        fn natural_is_an_order(a in "[a-b0-2]{0,6}", b in "[a-b0-2]{0,6}", c in "[a-b0-2]{0,6}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            if natural(&a, &b).is_le() && natural(&b, &c).is_le() {
                prop_assert!(natural(&a, &c).is_le());
            }
        }
    }
}
