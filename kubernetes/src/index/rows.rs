//! The rows of one resource type: in slots, found by namespace and name, and in every order that
//! has been asked for lately.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{self, AtomicU64},
    },
};

use super::{
    cell::{Cell, Column, Key, contains_ignoring_case, natural},
    pool::Owner,
    query::{Comparison, Field, Filter, Group, Namespaces, Page, Query, Scope, Usage, Wanted},
    row::Row,
};
use crate::{
    client::{Failure, FailureKind, Result},
    facts::{Amounts, Facts, Health},
};

/// More changes than this at once drop the orders rather than mending them.
const BULK: usize = 512;
/// So many orders are kept; then the one that was used longest ago goes.
const MOST_ORDERS: usize = 6;

/// What a write has done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ChangeKind {
    Added,
    Updated,
    Removed,
}

/// See the module's first lines.
#[derive(Default)]
pub(super) struct Rows {
    columns: Arc<[Column]>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    namespaces: Vec<NamespaceRows>,
    namespace_ids: HashMap<Arc<str>, u32>,
    orders: HashMap<Resolved, Order>,
    /// By slot; empty while nothing is measured.
    usage: Vec<Option<Usage>>,
    count: usize,
    uses: AtomicU64,
    /// The rows of the type `namespaces` are namespaces themselves.
    are_namespaces: bool,
}

#[derive(Default, Clone)]
struct Slot {
    namespace: u32,
    row: Option<Arc<Row>>,
}

#[derive(Default)]
struct NamespaceRows {
    by_name: HashMap<Arc<str>, u32>,
}

struct Order {
    slots: Vec<u32>,
    used: AtomicU64,
}

/// A [`Field`] with its column found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Resolved {
    Name,
    Namespace,
    Age,
    Health,
    Owner,
    Node,
    Cpu,
    Memory,
    CpuRequest,
    MemoryRequest,
    Image,
    Label(Arc<str>),
    Column(usize),
}

fn amounts(row: &Row) -> Option<Amounts> {
    match &row.facts {
        Facts::Pod(pod) => Some(pod.requests),
        Facts::Workload(workload) => Some(workload.requests),
        _ => None,
    }
}

impl Resolved {
    fn key<'a>(&self, row: &'a Row, usage: Option<Usage>) -> Key<'a> {
        fn text<'a>(text: Option<&'a (impl AsRef<str> + ?Sized)>) -> Key<'a> {
            match text.map(AsRef::as_ref) {
                Some(text) if !text.is_empty() => Key::Text(text),
                _ => Key::Empty,
            }
        }
        let number = |number: Option<f64>| number.map_or(Key::Empty, Key::Number);
        match self {
            Self::Name => Key::Text(&row.name),
            Self::Namespace => text(Some(&*row.namespace)),
            Self::Age => Key::Number(-row.created as f64),
            Self::Health => Key::Number(row.health as u8 as f64),
            Self::Owner => text(row.workload().map(|(_, name)| name)),
            Self::Node => text(row.node()),
            Self::Cpu => number(usage.map(|usage| f64::from(usage.cpu_milli))),
            Self::Memory => number(usage.map(|usage| usage.memory as f64)),
            Self::CpuRequest => number(amounts(row).map(|amounts| f64::from(amounts.cpu_milli))),
            Self::MemoryRequest => number(amounts(row).map(|amounts| amounts.memory as f64)),
            Self::Image => text(row.images().first()),
            Self::Label(key) => text(row.label(key)),
            Self::Column(column) => {
                row.cells.get(*column).map_or(Key::Empty, |cell| cell.key(&row.name, row.created))
            }
        }
    }

    /// In words, as it is grouped by and compared with texts.
    fn show<'a>(&self, row: &'a Row, usage: Option<Usage>, now: i64) -> Cow<'a, str> {
        match self {
            Self::Age => super::cell::human(now - row.created).into(),
            Self::Health => row.state().into(),
            Self::Owner => match row.workload() {
                Some((kind, name)) => format!("{kind}/{name}").into(),
                None => "".into(),
            },
            Self::Column(column) => row
                .cells
                .get(*column)
                .map_or("".into(), |cell| cell.show(&row.name, row.created, now)),
            // CPU is told in CPUs, in filters too.
            Self::Cpu | Self::CpuRequest => match self.key(row, usage) {
                Key::Number(milli) => (milli / 1000.0).to_string().into(),
                _ => "".into(),
            },
            other => match other.key(row, usage) {
                Key::Text(text) => text.into(),
                Key::Number(number) => number.to_string().into(),
                Key::Empty => "".into(),
            },
        }
    }

    /// The number that a value of a filter is compared with.
    fn number(&self, row: &Row, usage: Option<Usage>, now: i64) -> Option<f64> {
        let Key::Number(number) = self.key(row, usage) else { return None };
        match self {
            Self::Age => Some(now as f64 + number),
            Self::Cpu | Self::CpuRequest => Some(number / 1000.0),
            Self::Health => None,
            Self::Column(column) => match row.cells.get(*column)? {
                Cell::Created | Cell::Since(_) => Some(now as f64 + number),
                _ => Some(number),
            },
            _ => Some(number),
        }
    }

    fn is_measured(&self) -> bool {
        matches!(self, Self::Cpu | Self::Memory)
    }

    /// Never equal for two rows.
    fn compare_whole(&self, a: &Row, b: &Row) -> Ordering {
        self.key(a, None).compare(&self.key(b, None)).then_with(|| by_name(a, b))
    }
}

fn by_name(a: &Row, b: &Row) -> Ordering {
    natural(&a.name, &b.name)
        .then_with(|| natural(&a.namespace, &b.namespace))
        .then_with(|| a.name.cmp(&b.name))
        .then_with(|| a.namespace.cmp(&b.namespace))
}

/// A [`Filter`] that is ready to be asked.
struct Test {
    field: Resolved,
    comparison: Comparison,
    values: Vec<Wanted>,
    exact: Vec<String>,
}

impl Test {
    fn new(filter: &Filter, columns: &[Column]) -> Result<Self> {
        let field = resolve(&filter.field, columns)?;
        let ages = match &field {
            Resolved::Age => true,
            Resolved::Column(column) => columns[*column].kind == super::cell::ColumnKind::Age,
            _ => false,
        };
        let values: Vec<Wanted> =
            filter.values.iter().map(|value| Wanted::new(value, ages)).collect();
        let ordered = matches!(
            filter.comparison,
            Comparison::Less | Comparison::AtMost | Comparison::More | Comparison::AtLeast
        );
        if ages && ordered && values.iter().any(|value| value.number.is_none()) {
            return Err(Failure::new(
                FailureKind::BadRequest,
                format!(
                    "An age is compared with a time like 30s, 5m, 2h or 3d, not with `{}`.",
                    filter.values.join(",")
                ),
            ));
        }
        Ok(Self { field, comparison: filter.comparison, values, exact: filter.values.clone() })
    }

    fn matches(&self, row: &Row, usage: Option<Usage>, now: i64) -> bool {
        match self.comparison {
            Comparison::Equal => self.is_equal(row, usage, now),
            Comparison::NotEqual => !self.is_equal(row, usage, now),
            Comparison::Contains => {
                let contains = |text: &str| {
                    self.values.iter().any(|value| contains_ignoring_case(text, &value.text))
                };
                match self.field {
                    Resolved::Image => row.images().iter().any(|image| contains(image)),
                    _ => contains(&self.field.show(row, usage, now)),
                }
            }
            Comparison::Less => self.any_order(row, usage, now, Ordering::is_lt),
            Comparison::AtMost => self.any_order(row, usage, now, Ordering::is_le),
            Comparison::More => self.any_order(row, usage, now, Ordering::is_gt),
            Comparison::AtLeast => self.any_order(row, usage, now, Ordering::is_ge),
        }
    }

    fn is_equal(&self, row: &Row, usage: Option<Usage>, now: i64) -> bool {
        let same = |text: &str| {
            self.exact
                .iter()
                .zip(&self.values)
                .any(|(exact, value)| text == exact || text.eq_ignore_ascii_case(&value.text))
        };
        match &self.field {
            // What is mostly asked for, without a copy of the text.
            Resolved::Name => same(&row.name),
            Resolved::Namespace => same(&row.namespace),
            Resolved::Node => same(row.node().map_or("", |node| node)),
            Resolved::Image => row.images().iter().any(|image| same(image)),
            Resolved::Owner => {
                row.workload().is_some_and(|(_, name)| same(name))
                    || same(&self.field.show(row, usage, now))
            }
            Resolved::Column(column) if matches!(row.cells.get(*column), Some(Cell::Text(_))) => {
                match &row.cells[*column] {
                    Cell::Text(text) => same(text),
                    _ => false,
                }
            }
            field => {
                let number = field.number(row, usage, now);
                self.values.iter().any(|value| number.is_some() && number == value.number)
                    || same(&field.show(row, usage, now))
            }
        }
    }

    fn any_order(
        &self,
        row: &Row,
        usage: Option<Usage>,
        now: i64,
        wanted: fn(Ordering) -> bool,
    ) -> bool {
        let number = self.field.number(row, usage, now);
        self.values.iter().any(|value| match (number, value.number) {
            (Some(number), Some(value)) => wanted(number.total_cmp(&value)),
            // What has no number is neither more nor less than one.
            (None, Some(_)) | (Some(_), None) => false,
            (None, None) => {
                let text = self.field.show(row, usage, now);
                !text.is_empty() && wanted(natural(&text, &value.text))
            }
        })
    }
}

pub(super) fn resolve(field: &Field, columns: &[Column]) -> Result<Resolved> {
    Ok(match field {
        Field::Name => Resolved::Name,
        Field::Namespace => Resolved::Namespace,
        Field::Age => Resolved::Age,
        Field::Health => Resolved::Health,
        Field::Owner => Resolved::Owner,
        Field::Node => Resolved::Node,
        Field::Cpu => Resolved::Cpu,
        Field::Memory => Resolved::Memory,
        Field::CpuRequest => Resolved::CpuRequest,
        Field::MemoryRequest => Resolved::MemoryRequest,
        Field::Image => Resolved::Image,
        Field::Label(key) => Resolved::Label(key.clone()),
        Field::Column(key) => {
            let at = columns.iter().position(|column| *column.key == **key);
            Resolved::Column(at.ok_or_else(|| {
                let known: Vec<&str> = columns.iter().map(|column| &*column.key).collect();
                Failure::new(
                    FailureKind::BadRequest,
                    format!(
                        "There is no field `{key}` here. There are: name, namespace, age, health, owner, node, image, cpu, memory, cpu_request, memory_request, label:KEY, {}.",
                        known.join(", ")
                    ),
                )
            })?)
        }
    })
}

/// What rows must fulfil, ready to be asked.
struct Matcher<'a> {
    /// By namespace id; `None` for all.
    namespaces: Option<Vec<bool>>,
    scope: &'a Scope,
    are_namespaces: bool,
    tests: Vec<Test>,
    text: Option<String>,
    query: Option<&'a Query>,
    now: i64,
}

impl Matcher<'_> {
    fn may_see(&self, slot: &Slot, row: &Row) -> bool {
        if self.are_namespaces {
            return self.scope.sees_namespace(&row.name);
        }
        self.namespaces.as_ref().is_none_or(|allowed| allowed[slot.namespace as usize])
    }

    fn matches(&self, slot: &Slot, row: &Row, usage: Option<Usage>) -> bool {
        self.may_see(slot, row)
            && self.tests.iter().all(|test| test.matches(row, usage, self.now))
            && self
                .query
                .is_none_or(|query| query.labels.is_empty() || query.labels.matches(&row.labels))
            && self.text.as_deref().is_none_or(|text| matches_text(row, text))
    }
}

fn matches_text(row: &Row, needle: &str) -> bool {
    contains_ignoring_case(&row.name, needle)
        || row.cells.iter().any(|cell| match cell {
            Cell::Text(text) => contains_ignoring_case(text, needle),
            _ => false,
        })
        || contains_ignoring_case(&row.namespace, needle)
        || row.images().iter().any(|image| contains_ignoring_case(image, needle))
}

impl Rows {
    pub fn new(are_namespaces: bool) -> Self {
        Self { are_namespaces, ..Self::default() }
    }

    pub fn columns(&self) -> &Arc<[Column]> {
        &self.columns
    }

    /// Takes other columns; orders by columns are gone with the old ones.
    pub fn set_columns(&mut self, columns: Arc<[Column]>) {
        if self.columns != columns {
            self.columns = columns;
            self.orders.clear();
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Row>> {
        let id = self.namespace_ids.get(namespace)?;
        let slot = self.namespaces[*id as usize].by_name.get(name)?;
        self.slots[*slot as usize].row.as_ref()
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.slots.iter().filter_map(|slot| slot.row.as_ref())
    }

    /// All rows of a namespace.
    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<Row>> {
        self.namespace_ids
            .get(namespace)
            .into_iter()
            .flat_map(|id| self.namespaces[*id as usize].by_name.values())
            .filter_map(|slot| self.slots[*slot as usize].row.as_ref())
    }

    /// To be called before so many changes.
    pub fn expect(&mut self, changes: usize) {
        if changes > BULK {
            self.orders.clear();
        }
    }

    /// Adds or changes a row. `None` when that changed nothing.
    pub fn upsert(&mut self, mut row: Row, now: i64) -> Option<(ChangeKind, Arc<Row>)> {
        let namespace = self.namespace_id(&row.namespace);
        let known = self.namespaces[namespace as usize].by_name.get(&row.name).copied();
        match known {
            Some(slot) => {
                let before = self.slots[slot as usize].row.clone()?;
                for (cell, before) in row.cells.iter_mut().zip(&before.cells) {
                    cell.settle(before, now);
                }
                if *before == row {
                    return None;
                }
                let row = Arc::new(row);
                self.move_in_orders(slot, Some(&before), Some(&row));
                self.slots[slot as usize].row = Some(row.clone());
                Some((ChangeKind::Updated, row))
            }
            None => {
                let row = Arc::new(row);
                let slot = self.free.pop().unwrap_or_else(|| {
                    self.slots.push(Slot::default());
                    (self.slots.len() - 1) as u32
                });
                self.move_in_orders(slot, None, Some(&row));
                self.slots[slot as usize] = Slot { namespace, row: Some(row.clone()) };
                self.namespaces[namespace as usize].by_name.insert(row.name.clone(), slot);
                self.count += 1;
                Some((ChangeKind::Added, row))
            }
        }
    }

    /// Removes a row.
    pub fn remove(&mut self, namespace: &str, name: &str) -> Option<Arc<Row>> {
        let id = *self.namespace_ids.get(namespace)?;
        let by_name = &mut self.namespaces[id as usize].by_name;
        let slot = by_name.remove(name)?;
        if by_name.is_empty() {
            // Namespaces come and go; their room goes with them.
            *by_name = HashMap::new();
        }
        let row = self.slots[slot as usize].row.clone()?;
        self.move_in_orders(slot, Some(&row), None);
        self.slots[slot as usize].row = None;
        if let Some(usage) = self.usage.get_mut(slot as usize) {
            *usage = None;
        }
        self.free.push(slot);
        self.count -= 1;
        Some(row)
    }

    /// Takes what is measured of all rows; those not named are not measured.
    pub fn set_usage<'a>(&mut self, measured: impl IntoIterator<Item = (&'a str, &'a str, Usage)>) {
        self.usage.clear();
        self.usage.resize(self.slots.len(), None);
        for (namespace, name, usage) in measured {
            let slot = self
                .namespace_ids
                .get(namespace)
                .and_then(|id| self.namespaces[*id as usize].by_name.get(name));
            if let Some(slot) = slot {
                self.usage[*slot as usize] = Some(usage);
            }
        }
    }

    pub fn usage(&self, namespace: &str, name: &str) -> Option<Usage> {
        let id = self.namespace_ids.get(namespace)?;
        self.usage_of(*self.namespaces[*id as usize].by_name.get(name)?)
    }

    fn usage_of(&self, slot: u32) -> Option<Usage> {
        self.usage.get(slot as usize).copied().flatten()
    }

    fn namespace_id(&mut self, namespace: &Arc<str>) -> u32 {
        if let Some(id) = self.namespace_ids.get(namespace) {
            return *id;
        }
        let id = self.namespaces.len() as u32;
        self.namespaces.push(NamespaceRows::default());
        self.namespace_ids.insert(namespace.clone(), id);
        id
    }

    fn move_in_orders(&mut self, slot: u32, before: Option<&Row>, after: Option<&Row>) {
        let slots = &self.slots;
        for (field, order) in &mut self.orders {
            if let (Some(before), Some(after)) = (before, after)
                && field.compare_whole(before, after).is_eq()
            {
                continue;
            }
            let compare = |other: &u32, row: &Row| {
                slots[*other as usize]
                    .row
                    .as_deref()
                    .map_or(Ordering::Less, |other| field.compare_whole(other, row))
            };
            if let Some(before) = before
                && let Ok(at) = order.slots.binary_search_by(|other| compare(other, before))
            {
                order.slots.remove(at);
            }
            if let Some(after) = after {
                let at = order.slots.partition_point(|other| compare(other, after).is_lt());
                order.slots.insert(at, slot);
            }
        }
    }

    /// Whether a read may begin, or an order must be built first.
    pub fn has_order(&self, query: &Query) -> Result<bool> {
        let field = self.first_field(query)?;
        Ok(field.is_measured() || self.orders.contains_key(&field))
    }

    pub fn build_order(&mut self, query: &Query) -> Result<()> {
        let field = self.first_field(query)?;
        if field.is_measured() || self.orders.contains_key(&field) {
            return Ok(());
        }
        if self.orders.len() >= MOST_ORDERS {
            let oldest = self
                .orders
                .iter()
                .min_by_key(|(_, order)| order.used.load(atomic::Ordering::Relaxed))
                .map(|(field, _)| field.clone());
            if let Some(oldest) = oldest {
                self.orders.remove(&oldest);
            }
        }
        let mut rows: Vec<(u32, &Row)> = (0u32..)
            .zip(&self.slots)
            .filter_map(|(slot, kept)| Some((slot, kept.row.as_deref()?)))
            .collect();
        rows.sort_unstable_by(|(_, a), (_, b)| field.compare_whole(a, b));
        let slots = rows.into_iter().map(|(slot, _)| slot).collect();
        self.orders.insert(field, Order { slots, used: AtomicU64::new(0) });
        Ok(())
    }

    fn first_field(&self, query: &Query) -> Result<Resolved> {
        match query.sort.first() {
            Some((field, _)) => resolve(field, &self.columns),
            None => Ok(Resolved::Name),
        }
    }

    fn matcher<'a>(
        &self,
        scope: &'a Scope,
        query: Option<&'a Query>,
        now: i64,
    ) -> Result<Matcher<'a>> {
        let mut allowed = Vec::new();
        let bounded = !(matches!(scope.namespaces, Namespaces::All) && scope.cluster);
        if bounded {
            allowed = vec![false; self.namespaces.len()];
            for (name, id) in &self.namespace_ids {
                allowed[*id as usize] = scope.allows(name);
            }
        }
        let tests = query
            .iter()
            .flat_map(|query| &query.filters)
            .map(|filter| Test::new(filter, &self.columns))
            .collect::<Result<_>>()?;
        Ok(Matcher {
            namespaces: bounded.then_some(allowed),
            scope,
            are_namespaces: self.are_namespaces,
            tests,
            text: query.and_then(|query| query.text.as_deref()).map(str::to_lowercase),
            query,
            now,
        })
    }

    /// Filters, sorts and cuts. The order must be there: see [`Rows::has_order`].
    pub fn query(&self, query: &Query, revision: u64, now: i64) -> Result<Page> {
        let matcher = self.matcher(&query.scope, Some(query), now)?;
        let sort = query
            .sort
            .iter()
            .map(|(field, descending)| Ok((resolve(field, &self.columns)?, *descending)))
            .collect::<Result<Vec<(Resolved, bool)>>>()?;
        let (first, descending) = sort.first().cloned().unwrap_or((Resolved::Name, false));
        let mut page = Page::new(self.columns.clone(), revision);
        let found = |slot: &u32| {
            let kept = &self.slots[*slot as usize];
            let row = kept.row.as_ref()?;
            matcher.matches(kept, row, self.usage_of(*slot)).then_some((*slot, row))
        };
        let Some(order) = self.orders.get(&first).filter(|_| sort.len() <= 1) else {
            let mut rows: Vec<(u32, &Arc<Row>)> =
                (0..self.slots.len() as u32).filter_map(|slot| found(&slot)).collect();
            let compare = |(a_slot, a): &(u32, &Arc<Row>), (b_slot, b): &(u32, &Arc<Row>)| {
                sort.iter()
                    .map(|(field, descending)| {
                        let a = field.key(a, self.usage_of(*a_slot));
                        let b = field.key(b, self.usage_of(*b_slot));
                        // What is empty stays last.
                        match (&a, &b, descending) {
                            (Key::Empty, _, _) | (_, Key::Empty, _) | (_, _, false) => {
                                a.compare(&b)
                            }
                            _ => b.compare(&a),
                        }
                    })
                    .find(|order| order.is_ne())
                    .unwrap_or_else(|| by_name(a, b))
            };
            rows.sort_unstable_by(compare);
            page.total = rows.len();
            for (slot, row) in rows.into_iter().skip(query.offset).take(query.limit) {
                page.push(row, self.usage_of(slot));
            }
            return Ok(page);
        };
        order
            .used
            .store(self.uses.fetch_add(1, atomic::Ordering::Relaxed), atomic::Ordering::Relaxed);
        let end = query.offset.saturating_add(query.limit);
        let mut take = |(slot, row): (u32, &Arc<Row>)| {
            if (query.offset..end).contains(&page.total) {
                page.push(row, self.usage_of(slot));
            }
            page.total += 1;
        };
        if descending {
            // What is empty stays last, whichever way.
            let is_empty = |slot: &&u32| {
                self.slots[**slot as usize]
                    .row
                    .as_deref()
                    .is_some_and(|row| matches!(first.key(row, None), Key::Empty))
            };
            let full = order.slots.partition_point(|slot| !is_empty(&slot));
            let (full, empty) = order.slots.split_at(full);
            full.iter().rev().filter_map(found).for_each(&mut take);
            empty.iter().rev().filter_map(found).for_each(&mut take);
        } else {
            order.slots.iter().filter_map(found).for_each(&mut take);
        }
        Ok(page)
    }

    /// Counts by what rows have in common, in natural order.
    pub fn groups(&self, query: &Query, by: &Field, now: i64) -> Result<Vec<Group>> {
        let field = resolve(by, &self.columns)?;
        let matcher = self.matcher(&query.scope, Some(query), now)?;
        let mut groups: HashMap<Cow<'_, str>, Group> = HashMap::new();
        for (slot, kept) in (0u32..).zip(&self.slots) {
            let Some(row) = kept.row.as_deref() else { continue };
            let usage = self.usage_of(slot);
            if !matcher.matches(kept, row, usage) {
                continue;
            }
            let key = field.show(row, usage, now);
            let group = groups.entry(key).or_insert_with_key(|key| Group {
                key: key.to_string(),
                count: 0,
                by_health: [0; 5],
            });
            group.add(row.health);
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_unstable_by(|a, b| natural(&a.key, &b.key).then_with(|| a.key.cmp(&b.key)));
        Ok(groups)
    }

    /// How many rows of a scope there are, by health in the order of [`Health::ALL`].
    pub fn counts(&self, scope: &Scope) -> [usize; 5] {
        let mut counts = [0; 5];
        if let Ok(matcher) = self.matcher(scope, None, 0) {
            for kept in &self.slots {
                if let Some(row) = kept.row.as_deref()
                    && matcher.may_see(kept, row)
                {
                    counts[row.health as usize] += 1;
                }
            }
        }
        counts
    }

    /// Rows of a scope that `wanted` likes.
    pub fn select(&self, scope: &Scope, wanted: impl Fn(&Row) -> bool) -> Vec<Arc<Row>> {
        let Ok(matcher) = self.matcher(scope, None, 0) else { return Vec::new() };
        self.slots
            .iter()
            .filter_map(|kept| Some((kept, kept.row.as_ref()?)))
            .filter(|(kept, row)| matcher.may_see(kept, row) && wanted(row))
            .map(|(_, row)| row.clone())
            .collect()
    }

    /// Rows of a namespace that the object of that uid manages.
    pub fn owned_by(&self, namespace: &str, uid: &str) -> Vec<Arc<Row>> {
        let owns = |owner: &Owner| *owner.uid == *uid;
        self.in_namespace(namespace).filter(|row| row.owners.iter().any(owns)).cloned().collect()
    }
}

impl Page {
    fn new(columns: Arc<[Column]>, revision: u64) -> Self {
        Self {
            rows: Vec::new(),
            usage: Vec::new(),
            total: 0,
            columns,
            revision,
            rendered: Default::default(),
        }
    }

    fn push(&mut self, row: &Arc<Row>, usage: Option<Usage>) {
        self.rows.push(row.clone());
        self.usage.push(usage);
    }
}

const _: () = assert!(Health::ALL.len() == 5);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        facts::PodFacts,
        index::{Selector, pool::Pool},
    };

    const NOW: i64 = 1_800_000_000;

    fn columns() -> Arc<[Column]> {
        [
            Column::new("Name", "string", "name", 0, ""),
            Column::new("Status", "string", "", 0, ""),
            Column::new("Restarts", "string", "", 0, ""),
            Column::new("Capacity", "string", "", 0, ""),
            Column::new("Age", "string", "", 0, ""),
        ]
        .into()
    }

    fn row(namespace: &str, name: &str, status: &str, restarts: i64, age: i64) -> Row {
        let mut pool = Pool::default();
        let hash = name.rsplit('-').next().unwrap_or_default();
        Row {
            name: name.into(),
            namespace: namespace.into(),
            uid: name.into(),
            created: NOW - age,
            deleting: None,
            labels: pool.labels([
                ("app", name.split('-').next().unwrap_or_default()),
                ("pod-template-hash", hash),
            ]),
            owners: [Owner {
                kind: "ReplicaSet".into(),
                group: "apps".into(),
                name: name.into(),
                uid: "r".into(),
                controller: true,
            }]
            .into(),
            cells: [
                Cell::Name,
                Cell::Text(status.into()),
                Cell::Integer(restarts),
                Cell::Text(format!("{restarts}Mi").into()),
                Cell::Created,
            ]
            .into(),
            health: if status == "Running" { Health::Healthy } else { Health::Failed },
            why: None,
            facts: Facts::Pod(Box::new(PodFacts {
                phase: status.into(),
                node: (restarts % 2 == 0).then(|| "node-1".into()),
                ready: 1,
                containers: 1,
                restarts: restarts as u32,
                restarted: None,
                requests: Amounts { cpu_milli: restarts as u32 * 100, memory: 0 },
                limits: Amounts::default(),
                images: [Arc::from(format!("{status}:1"))].into(),
                claims: [].into(),
                is_ready: true,
            })),
        }
    }

    fn rows() -> Rows {
        let mut rows = Rows::new(false);
        rows.set_columns(columns());
        for (namespace, name, status, restarts, age) in [
            ("a", "web-10", "Running", 1, 60),
            ("a", "web-9", "Pending", 20, 3600),
            ("b", "db-1", "Running", 3, 86_400),
            ("c", "db-2", "Failed", 4, 30),
        ] {
            rows.upsert(row(namespace, name, status, restarts, age), NOW);
        }
        rows
    }

    fn ask(rows: &mut Rows, query: &Query) -> Vec<String> {
        rows.build_order(query).unwrap();
        let page = rows.query(query, 1, NOW).unwrap();
        assert_eq!(page.rows.len(), page.usage.len());
        page.rows.iter().map(|row| row.name.to_string()).collect()
    }

    fn filtered(field: &str, value: &str) -> Vec<String> {
        let mut query = Query::new(Scope::all());
        query.filters = vec![Filter::parse(field, value)];
        ask(&mut rows(), &query)
    }

    fn sorted(fields: &[(&str, bool)]) -> Vec<String> {
        let mut query = Query::new(Scope::all());
        query.sort = fields.iter().map(|(field, down)| (Field::parse(field), *down)).collect();
        ask(&mut rows(), &query)
    }

    #[test]
    fn filters_by_any_column() {
        for (field, value, found) in [
            ("status", "running", vec!["db-1", "web-10"]),
            ("Status", "Pending,Failed", vec!["db-2", "web-9"]),
            ("status", "!Running", vec!["db-2", "web-9"]),
            ("status", "~ail", vec!["db-2"]),
            ("restarts", ">3", vec!["db-2", "web-9"]),
            ("restarts", "<=3", vec!["db-1", "web-10"]),
            ("capacity", ">=4Mi", vec!["db-2", "web-9"]),
            ("age", ">5m", vec!["db-1", "web-9"]),
            ("age", "<1m", vec!["db-2"]),
            ("namespace", "a", vec!["web-9", "web-10"]),
            ("node", "node-1", vec!["db-2", "web-9"]),
            ("node", "", vec!["db-1", "web-10"]),
            ("health", "failed", vec!["db-2", "web-9"]),
            ("image", "~pending", vec!["web-9"]),
            ("owner", "web", vec!["web-9", "web-10"]),
            ("owner", "Deployment/db", vec!["db-1", "db-2"]),
            ("label:app", "db", vec!["db-1", "db-2"]),
            ("cpu_request", ">=0.4", vec!["db-2", "web-9"]),
            ("name", ">web-9", vec!["web-10"]),
        ] {
            assert_eq!(filtered(field, value), found, "{field} {value}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let mut query = Query::new(Scope::all());
        query.filters = vec![Filter::parse("age", ">soon")];
        let why = rows().query(&query, 1, NOW).unwrap_err();
        assert!(why.message().contains("30s"), "{why}");
        query.filters = vec![Filter::parse("colour", "red")];
        let why = rows().query(&query, 1, NOW).unwrap_err();
        assert_eq!(why.kind(), FailureKind::BadRequest);
        assert!(why.message().contains("restarts"), "{why}");
        query.filters.clear();
        query.sort = vec![(Field::parse("colour"), false)];
        assert!(rows().has_order(&query).is_err());
    }

    #[test]
    fn sorts_by_any_column() {
        assert_eq!(sorted(&[]), ["db-1", "db-2", "web-9", "web-10"]);
        assert_eq!(sorted(&[("name", true)]), ["web-10", "web-9", "db-2", "db-1"]);
        assert_eq!(sorted(&[("restarts", true)]), ["web-9", "db-2", "db-1", "web-10"]);
        assert_eq!(sorted(&[("capacity", false)]), ["web-10", "db-1", "db-2", "web-9"]);
        assert_eq!(sorted(&[("age", false)]), ["db-2", "web-10", "web-9", "db-1"]);
        assert_eq!(
            sorted(&[("health", false), ("name", true)]),
            ["web-9", "db-2", "web-10", "db-1"]
        );
        // Those without a node are last, whichever way.
        for down in [false, true] {
            let found = sorted(&[("node", down)]);
            assert!(found[2..].contains(&"db-1".to_owned()), "{found:?}");
        }
    }

    #[test]
    fn texts_labels_and_pages() {
        let mut rows = rows();
        let mut query = Query::new(Scope::all());
        query.text = Some("WEB".into());
        assert_eq!(ask(&mut rows, &query), ["web-9", "web-10"]);
        query.text = None;
        query.labels = Selector::parse("app in (db)").unwrap();
        assert_eq!(ask(&mut rows, &query), ["db-1", "db-2"]);
        query.labels = Selector::default();
        (query.offset, query.limit) = (1, 2);
        let page = rows.query(&query, 7, NOW).unwrap();
        assert_eq!((page.total, page.rows.len(), page.revision), (4, 2, 7));
    }

    #[test]
    fn nothing_is_seen_outside_of_the_scope() {
        let mut rows = rows();
        let scope = Scope::namespaces(["a"]);
        assert_eq!(ask(&mut rows, &Query::new(scope.clone())), ["web-9", "web-10"]);
        assert_eq!(rows.counts(&scope).iter().sum::<usize>(), 2);
        assert_eq!(rows.select(&scope, |_| true).len(), 2);
        let groups = rows.groups(&Query::new(scope), &Field::Namespace, NOW).unwrap();
        assert_eq!(groups.iter().map(|group| group.key.as_str()).collect::<Vec<_>>(), ["a"]);
        let nobody = Scope::namespaces(Vec::<String>::new());
        assert!(ask(&mut rows, &Query::new(nobody)).is_empty());

        let mut namespaces = Rows::new(true);
        namespaces.set_columns(columns());
        for name in ["a", "b"] {
            namespaces.upsert(row("", name, "Active", 0, 1), NOW);
        }
        let mut scope = Scope::namespaces(["b"]);
        scope.cluster = true;
        assert_eq!(ask(&mut namespaces, &Query::new(scope)), ["b"]);
    }

    #[test]
    fn groups_and_their_health() {
        let groups = rows().groups(&Query::new(Scope::all()), &Field::Owner, NOW).unwrap();
        let found: Vec<_> = groups
            .iter()
            .map(|group| (group.key.as_str(), group.count, group.by_health[0]))
            .collect();
        assert_eq!(found, [("Deployment/db", 2, 1), ("Deployment/web", 2, 1)]);
    }

    #[test]
    fn use_is_sorted_by_as_measured() {
        let mut rows = rows();
        let usage = |cpu_milli| Usage { cpu_milli, memory: 1 };
        rows.set_usage([
            ("a", "web-9", usage(5)),
            ("b", "db-1", usage(900)),
            ("x", "gone", usage(1)),
        ]);
        let mut query = Query::new(Scope::all());
        query.sort = vec![(Field::Cpu, true)];
        assert_eq!(ask(&mut rows, &query), ["db-1", "web-9", "db-2", "web-10"]);
        query.filters = vec![Filter::parse("cpu", ">0.5")];
        assert_eq!(ask(&mut rows, &query), ["db-1"]);
        rows.remove("b", "db-1");
        assert_eq!(rows.usage("b", "db-1"), None);
    }

    #[test]
    fn only_changes_are_changes() {
        let mut rows = rows();
        assert!(rows.upsert(row("a", "web-9", "Pending", 20, 3600), NOW).is_none());
        let change = rows.upsert(row("a", "web-9", "Running", 20, 3600), NOW);
        assert_eq!(change.map(|(kind, _)| kind), Some(ChangeKind::Updated));
        assert!(rows.remove("a", "web-9").is_some());
        assert!(rows.remove("a", "web-9").is_none());
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn only_so_many_orders_are_kept() {
        let mut rows = rows();
        for number in 0..20 {
            let mut query = Query::new(Scope::all());
            query.sort = vec![(Field::Label(format!("l-{number}").into()), false)];
            ask(&mut rows, &query);
        }
        assert!(rows.orders.len() <= MOST_ORDERS);
    }

    proptest! {
        /// Whatever is written in whatever order, each order holds each row once, in order.
        #[test]
        fn orders_stay_in_order(writes in prop::collection::vec((0u8..20, 0u8..3, 0u8..6, 0i64..5), 1..150)) {
            let mut rows = Rows::new(false);
            rows.set_columns(columns());
            let fields = ["name", "status", "restarts", "age", "node", "capacity"];
            let mut query = Query::new(Scope::all());
            query.limit = 1000;
            for field in fields {
                query.sort = vec![(Field::parse(field), false)];
                rows.build_order(&query).unwrap();
            }
            let mut model = BTreeMap::new();
            for (name, namespace, what, restarts) in writes {
                let (name, namespace) = (format!("p-{name}"), format!("ns-{namespace}"));
                if what == 0 {
                    rows.remove(&namespace, &name);
                    model.remove(&(namespace, name));
                } else {
                    let status = if what % 2 == 0 { "Running" } else { "Pending" };
                    rows.upsert(row(&namespace, &name, status, restarts, i64::from(what) * 60), NOW);
                    model.insert((namespace, name), restarts);
                }
            }
            prop_assert_eq!(rows.len(), model.len());
            for field in fields {
                for down in [false, true] {
                    query.sort = vec![(Field::parse(field), down)];
                    prop_assert!(rows.has_order(&query).unwrap());
                    let page = rows.query(&query, 1, NOW).unwrap();
                    prop_assert_eq!(page.total, model.len());
                    let resolved = resolve(&Field::parse(field), &columns()).unwrap();
                    let ordered = page.rows.is_sorted_by(|a, b| {
                        let (a, b) = (resolved.key(a, None), resolved.key(b, None));
                        if down && !matches!((&a, &b), (Key::Empty, _) | (_, Key::Empty)) { b.compare(&a).is_le() } else { a.compare(&b).is_le() }
                    });
                    prop_assert!(ordered, "{} {}", field, down);
                    for row in &page.rows {
                        let key = (row.namespace.to_string(), row.name.to_string());
                        prop_assert_eq!(&row.cells[2], &Cell::Integer(model[&key]));
                    }
                }
            }
        }
    }
}
