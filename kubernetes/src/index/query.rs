//! What is asked of a list, and what it answers.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use super::{
    cell::{Column, key_of, parse_duration},
    row::Row,
    selector::Selector,
};
use crate::facts::{Health, quantity};

/// What the asker may see: the boundary of access, so that every question has one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Objects in namespaces: those of these namespaces.
    pub namespaces: Namespaces,
    /// Objects in no namespace: nodes, storage classes. The type `namespaces` itself is no such: of
    /// it the rows of `namespaces` are seen, whatever stands here.
    pub cluster: bool,
}

/// A set of namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Namespaces {
    /// All of them.
    All,
    /// Only these.
    These(Arc<BTreeSet<String>>),
}

impl Scope {
    /// Everything.
    pub fn all() -> Self {
        Self { namespaces: Namespaces::All, cluster: true }
    }

    /// Only what is in these namespaces.
    pub fn namespaces(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        Self { namespaces: Namespaces::These(Arc::new(names)), cluster: false }
    }

    /// Whether what is in that namespace (empty for none) may be seen.
    pub fn allows(&self, namespace: &str) -> bool {
        if namespace.is_empty() { self.cluster } else { self.sees_namespace(namespace) }
    }

    /// Whether that namespace itself may be seen.
    pub fn sees_namespace(&self, name: &str) -> bool {
        match &self.namespaces {
            Namespaces::All => true,
            Namespaces::These(names) => names.contains(name),
        }
    }
}

/// What a list is filtered, sorted and grouped by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field {
    /// The name.
    Name,
    /// The namespace.
    Namespace,
    /// The time since it was made.
    Age,
    /// How it fares; worst first.
    Health,
    /// The workload that it belongs to, as `Deployment/web`.
    Owner,
    /// The node, of pods.
    Node,
    /// The CPU that it uses, as measured; see `Live::set_usage`.
    Cpu,
    /// The memory that it uses, as measured.
    Memory,
    /// The CPU that it asks for.
    CpuRequest,
    /// The memory that it asks for.
    MemoryRequest,
    /// An image of its containers.
    Image,
    /// The value of a label.
    Label(Arc<str>),
    /// A column of the type, by its key.
    Column(Arc<str>),
}

impl Field {
    /// The field of a name: one of `name`, `namespace`, `age`, `health`, `owner`, `node`, `cpu`,
    /// `memory`, `cpu_request`, `memory_request`, `image`, `label:KEY`, or the name of a column
    /// (`Nominated Node` as it is shown, or `nominated_node`). Whether there is such a column shows
    /// when it is asked.
    pub fn parse(name: &str) -> Self {
        if let Some(key) = name.strip_prefix("label:") {
            return Self::Label(key.into());
        }
        match key_of(name).as_str() {
            "name" => Self::Name,
            "namespace" => Self::Namespace,
            "age" => Self::Age,
            "health" => Self::Health,
            "owner" => Self::Owner,
            "node" => Self::Node,
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            "cpu_request" => Self::CpuRequest,
            "memory_request" => Self::MemoryRequest,
            "image" => Self::Image,
            key => Self::Column(key.into()),
        }
    }

    /// The name that [`Field::parse`] reads.
    pub fn name(&self) -> String {
        match self {
            Self::Name => "name".into(),
            Self::Namespace => "namespace".into(),
            Self::Age => "age".into(),
            Self::Health => "health".into(),
            Self::Owner => "owner".into(),
            Self::Node => "node".into(),
            Self::Cpu => "cpu".into(),
            Self::Memory => "memory".into(),
            Self::CpuRequest => "cpu_request".into(),
            Self::MemoryRequest => "memory_request".into(),
            Self::Image => "image".into(),
            Self::Label(key) => format!("label:{key}"),
            Self::Column(key) => key.to_string(),
        }
    }
}

/// How a field is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// The same text (letters' case does not matter), or the same number.
    Equal,
    /// Not so.
    NotEqual,
    /// The text has it in it.
    Contains,
    /// Less: numbers, quantities, ages (`5m`), or texts in their order.
    Less,
    /// Less or the same.
    AtMost,
    /// More.
    More,
    /// More or the same.
    AtLeast,
}

/// A condition that rows must fulfil.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    /// What is compared.
    pub field: Field,
    /// How.
    pub comparison: Comparison,
    /// With any of these; the comparison `NotEqual` with all.
    pub values: Vec<String>,
}

impl Filter {
    /// Reads the value of a filter as it stands in an address: `a,b` (any of these), `!a`, `~part`,
    /// `<5m`, `<=5`, `>1Gi`, `>=2`.
    pub fn parse(field: &str, text: &str) -> Self {
        let signs = [
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Less),
            (">", Comparison::More),
            ("!", Comparison::NotEqual),
            ("~", Comparison::Contains),
        ];
        let (comparison, rest) = signs
            .iter()
            .find_map(|(sign, comparison)| Some((*comparison, text.strip_prefix(sign)?)))
            .unwrap_or((Comparison::Equal, text));
        Self {
            field: Field::parse(field),
            comparison,
            values: rest.split(',').map(|value| value.trim().to_owned()).collect(),
        }
    }
}

/// A value of a filter, as it is compared.
pub(super) struct Wanted {
    pub text: String,
    pub number: Option<f64>,
}

impl Wanted {
    /// `ages` where the field is an age, so that `5m` is a time and not five thousandths.
    pub fn new(text: &str, ages: bool) -> Self {
        let number = if ages {
            parse_duration(text).map(|(seconds, _)| seconds as f64)
        } else {
            quantity::parse(text).or(match text {
                "true" => Some(1.0),
                "false" => Some(0.0),
                _ => None,
            })
        };
        Self { text: text.to_lowercase(), number }
    }
}

/// A question to a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    /// What the asker may see.
    pub scope: Scope,
    /// With this text in the name, the namespace, a cell or an image.
    pub text: Option<String>,
    /// Fulfilling all of these.
    pub filters: Vec<Filter>,
    /// With labels like this.
    pub labels: Selector,
    /// By these fields, `true` for descending; by name (and namespace) when empty.
    pub sort: Vec<(Field, bool)>,
    /// How many to skip.
    pub offset: usize,
    /// How many to answer.
    pub limit: usize,
}

impl Query {
    /// All that may be seen, by name.
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            text: None,
            filters: Vec::new(),
            labels: Selector::default(),
            sort: Vec::new(),
            offset: 0,
            limit: 100,
        }
    }
}

/// An answer to a [`Query`].
#[derive(Debug)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Arc<Row>>,
    /// What is measured of each of the rows.
    pub usage: Vec<Option<Usage>>,
    /// How many match in all.
    pub total: usize,
    /// What the rows' cells are.
    pub columns: Arc<[Column]>,
    /// The revision of the list that this was read at.
    pub revision: u64,
    /// See [`Page::rendered`].
    pub(super) rendered: [OnceLock<Bytes>; 3],
}

impl Page {
    /// What is made of this page once for all who ask for it: `form` is 0, 1 or 2, e.g. for plain
    /// and compressed JSON. Pages are kept until the list changes, and what is rendered with them.
    pub fn rendered(&self, form: usize, make: impl FnOnce(&Self) -> Bytes) -> Bytes {
        match self.rendered.get(form) {
            Some(kept) => kept.get_or_init(|| make(self)).clone(),
            None => make(self),
        }
    }
}

/// What an object uses, as measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Thousandths of a CPU.
    pub cpu_milli: u32,
    /// Bytes.
    pub memory: u64,
}

/// Rows that have something in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they have in common; empty for those that have none of it.
    pub key: String,
    /// How many.
    pub count: usize,
    /// How many by health, in the order of [`Health::ALL`].
    pub by_health: [usize; 5],
}

impl Group {
    pub(super) fn add(&mut self, health: Health) {
        self.count += 1;
        self.by_health[health as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundary_of_access() {
        let team = Scope::namespaces(["a", "b"]);
        assert!(team.allows("a") && !team.allows("c") && !team.allows(""));
        assert!(Scope::all().allows("") && Scope::all().allows("x"));
        assert!(!Scope::namespaces(Vec::<String>::new()).allows("a"));
    }

    #[test]
    fn filters_as_they_stand_in_addresses() {
        let read = |text| {
            let filter = Filter::parse("Status", text);
            (filter.comparison, filter.values)
        };
        assert_eq!(
            read("Running, Pending"),
            (Comparison::Equal, vec!["Running".into(), "Pending".into()])
        );
        assert_eq!(read("!Running"), (Comparison::NotEqual, vec!["Running".into()]));
        assert_eq!(read(">=5m"), (Comparison::AtLeast, vec!["5m".into()]));
        assert_eq!(read("~run"), (Comparison::Contains, vec!["run".into()]));
        assert_eq!(Filter::parse("label:app", "x").field, Field::Label("app".into()));
        assert_eq!(Field::parse("Nominated Node").name(), "nominated_node");
        for name in [
            "name",
            "namespace",
            "age",
            "health",
            "owner",
            "node",
            "cpu",
            "memory",
            "cpu_request",
            "memory_request",
            "image",
            "label:a/b",
            "ready",
        ] {
            assert_eq!(Field::parse(name).name(), name);
        }
    }
}
