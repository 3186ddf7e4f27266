//! Reads what a cluster answers to lists and watches: Tables, or plain objects from API servers
//! that make no Tables. A page's text is parsed row by row, so that only one object at a time is
//! there besides its text.
//!
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables>

use std::{borrow::Cow, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    cell::{Cell, Column, Making, RawCell},
    pool::{Owner, Pool},
    row::Row,
};
use crate::{
    client::{Failure, FailureKind, Result, error::unreadable},
    discovery::ResourceType,
    facts::{self, Facts, Health, Meta, Reading, Verdict},
};

/// How lists and watches are asked for.
pub const ACCEPT: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// What is the same for all rows of a list or a watch.
pub struct Context<'a> {
    pub resource: &'a ResourceType,
    /// Seconds since the Unix epoch.
    pub now: i64,
    pub pool: &'a mut Pool,
}

/// A page of a list.
pub struct ListPage {
    pub columns: Arc<[Column]>,
    pub rows: Vec<Row>,
    pub resource_version: String,
    /// How to ask for the next page; empty at the end.
    pub next: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawList<'a> {
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    metadata: RawListMeta<'a>,
    #[serde(borrow, default)]
    column_definitions: Option<Vec<RawColumn<'a>>>,
    #[serde(borrow, default)]
    rows: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawListMeta<'a> {
    #[serde(borrow)]
    resource_version: Cow<'a, str>,
    #[serde(borrow, rename = "continue")]
    next: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawColumn<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    format: Cow<'a, str>,
    #[serde(borrow, default)]
    description: Cow<'a, str>,
    #[serde(default)]
    priority: i32,
}

#[derive(Deserialize)]
struct RawRow<'a> {
    #[serde(borrow, default)]
    cells: Vec<RawCell<'a>>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Reads one page of a list.
pub fn read_list(bytes: &[u8], context: &mut Context<'_>) -> Result<ListPage> {
    let list: RawList<'_> = serde_json::from_slice(bytes).map_err(|error| unreadable(&error))?;
    let is_table = list.kind == "Table";
    let columns = match list.column_definitions {
        Some(columns) if is_table => read_columns(columns),
        _ => plain_columns(),
    };
    let raw = if is_table { list.rows } else { list.items };
    let mut rows = Vec::new();
    for raw in raw.unwrap_or_default() {
        let row =
            if is_table { table_row(raw, &columns, context) } else { plain_row(raw, context) };
        rows.push(row?.0);
    }
    Ok(ListPage {
        columns,
        rows,
        resource_version: list.metadata.resource_version.into_owned(),
        next: list.metadata.next.into_owned(),
    })
}

/// What a watch tells.
pub enum Event {
    /// An object was made or changed, or was there before.
    Upsert { row: Box<Row>, version: String },
    /// An object is gone.
    Remove { namespace: String, name: String, version: String },
    /// Only how far the watch has come.
    Bookmark { version: String },
}

/// Reads one line of a watch. `columns` are those that the rows are kept with.
///
/// # Errors
/// What the cluster tells as an error; [`FailureKind::Expired`] also when the columns have changed,
/// so that all rows must be read anew.
pub fn read_event(
    line: &[u8],
    columns: &Arc<[Column]>,
    context: &mut Context<'_>,
) -> Result<Event> {
    let event: RawEvent<'_> = serde_json::from_slice(line).map_err(|error| unreadable(&error))?;
    let text = event.object.get();
    if event.kind == "ERROR" {
        return Err(Failure::from_answer(500, text.as_bytes()));
    }
    let table: RawList<'_> = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    let is_table = table.kind == "Table";
    // Only the first event of a watch tells the columns.
    if let Some(told) = table.column_definitions.filter(|told| is_table && !told.is_empty())
        && *read_columns(told) != **columns
    {
        return Err(Failure::new(FailureKind::Expired, "The columns of this type have changed."));
    }
    let raw_row = table.rows.as_ref().and_then(|rows| rows.first().copied());
    if event.kind == "BOOKMARK" {
        let version = match (is_table, raw_row) {
            (true, Some(row)) if table.metadata.resource_version.is_empty() => {
                version_of_row(row).unwrap_or_default()
            }
            // A plain object's metadata stands where a Table's does.
            _ => table.metadata.resource_version.into_owned(),
        };
        return Ok(Event::Bookmark { version });
    }
    let (row, version) = match (is_table, raw_row) {
        (true, Some(raw)) => table_row(raw, columns, context)?,
        (true, None) => return Ok(Event::Bookmark { version: String::new() }),
        (false, _) => plain_row(event.object, context)?,
    };
    Ok(match &*event.kind {
        "DELETED" => Event::Remove {
            namespace: row.namespace.to_string(),
            name: row.name.to_string(),
            version,
        },
        _ => Event::Upsert { row: Box::new(row), version },
    })
}

fn version_of_row(raw: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        metadata: Meta<'a>,
    }
    let row: RawRow<'_> = serde_json::from_str(raw.get()).ok()?;
    let object: Object<'_> = serde_json::from_str(row.object?.get()).ok()?;
    Some(object.metadata.resource_version.into_owned())
}

fn read_columns(columns: Vec<RawColumn<'_>>) -> Arc<[Column]> {
    let mut read: Vec<Column> = Vec::with_capacity(columns.len());
    for raw in columns {
        let mut column =
            Column::new(&raw.name, &raw.kind, &raw.format, raw.priority, &raw.description);
        // Two columns of one name are told apart by a number.
        if let Some(number) = (2..).take(columns_of(&read, &column.key)).last() {
            column.key = format!("{}_{number}", column.key).into();
        }
        read.push(column);
    }
    read.into()
}

fn columns_of(columns: &[Column], key: &str) -> usize {
    columns
        .iter()
        .filter(|column| {
            let rest = column.key.strip_prefix(key);
            rest.is_some_and(|rest| {
                rest.is_empty() || rest.strip_prefix('_').is_some_and(|n| n.parse::<u32>().is_ok())
            })
        })
        .count()
}

/// Where an API server makes no Tables.
fn plain_columns() -> Arc<[Column]> {
    let column = |name, kind, format| Column::new(name, kind, format, 0, "");
    [column("Name", "string", "name"), column("Age", "date", "")].into()
}

fn plain_row(raw: &RawValue, context: &mut Context<'_>) -> Result<(Row, String)> {
    let (meta, reading) = read_object(raw, context)?;
    let cells = [Cell::Name, Cell::Created].into();
    Ok(make_row(&meta, reading, cells, context))
}

fn table_row(
    raw: &RawValue,
    columns: &[Column],
    context: &mut Context<'_>,
) -> Result<(Row, String)> {
    let raw: RawRow<'_> = serde_json::from_str(raw.get()).map_err(|error| unreadable(&error))?;
    let object = raw.object.ok_or_else(|| {
        Failure::new(FailureKind::Cluster, "The cluster's Table names no objects.")
    })?;
    let (meta, reading) = read_object(object, context)?;
    let mut making = Making {
        pool: context.pool,
        now: context.now,
        name: &meta.name,
        created: meta.creation_timestamp.0,
    };
    let mut cells: Box<[Cell]> = columns
        .iter()
        .zip(raw.cells.iter().chain(std::iter::repeat(&RawCell::Null)))
        .map(|(column, raw)| making.cell(column, raw))
        .collect();
    exact_times(columns, &mut cells, &reading.facts);
    let mut reading = reading;
    if !facts::reads_whole(&context.resource.name) && meta.deletion_timestamp.is_none() {
        judge_by_columns(columns, &cells, &mut reading.verdict);
    }
    Ok(make_row(&meta, reading, cells, context))
}

fn read_object<'a>(raw: &'a RawValue, context: &mut Context<'_>) -> Result<(Meta<'a>, Reading)> {
    facts::read(&context.resource.name, raw.get(), context.pool).map_err(|error| unreadable(&error))
}

/// Puts the moments that the object itself tells in place of those that were told as lengths of
/// time, which are less exact.
fn exact_times(columns: &[Column], cells: &mut [Cell], facts: &Facts) {
    let named = |name: &str| columns.iter().position(|column| *column.name == *name);
    let mut put = |name: &str, cell: Cell| {
        if let Some(at) = named(name) {
            cells[at] = cell;
        }
    };
    match facts {
        Facts::Pod(pod) => {
            if let Some(moment) = pod.restarted {
                for cell in cells {
                    if let Cell::CountSince { since, .. } = cell {
                        *since = moment;
                    }
                }
            }
        }
        Facts::Event(event) => {
            put("Last Seen", Cell::Since(event.last));
            put("First Seen", Cell::Since(event.first));
        }
        Facts::CronJob(cron) => {
            if let Some(moment) = cron.last_schedule {
                put("Last Schedule", Cell::Since(moment));
            }
        }
        Facts::Workload(job) => match (job.started, job.ended) {
            (Some(started), Some(ended)) => put("Duration", Cell::Lasting(ended - started)),
            (Some(started), None) => put("Duration", Cell::Since(started)),
            _ => {}
        },
        _ => {}
    }
}

/// Of custom resources only the columns are known. Many have one with the state of a condition, and
/// perhaps one that says why.
fn judge_by_columns(columns: &[Column], cells: &[Cell], verdict: &mut Verdict) {
    let text = |keys: &[&str]| {
        let at = columns.iter().position(|column| keys.contains(&&*column.key))?;
        match &cells[at] {
            Cell::Text(text) => Some(&**text),
            Cell::Boolean(value) => Some(if *value { "True" } else { "False" }),
            _ => None,
        }
    };
    let health = match text(&["ready", "available", "healthy", "synced"]) {
        Some("False" | "false") => Health::Degraded,
        Some("Unknown") => Health::Unknown,
        _ => return,
    };
    let why = text(&["message", "status", "reason"]).filter(|why| !why.is_empty());
    *verdict = Verdict {
        health,
        why: Some(match why {
            Some(why) => format!("It is not ready: {}", facts::sentence(why)),
            None => "It says that it is not ready; open it to see its conditions.".to_owned(),
        }),
    };
}

fn make_row(
    meta: &Meta<'_>,
    reading: Reading,
    cells: Box<[Cell]>,
    context: &mut Context<'_>,
) -> (Row, String) {
    let pool = &mut *context.pool;
    let owners: Vec<Owner> = meta.owner_references.iter().map(|owner| owner.pooled(pool)).collect();
    let row = Row {
        name: meta.name.as_ref().into(),
        namespace: pool.text(&meta.namespace),
        uid: meta.uid.as_ref().into(),
        created: meta.creation_timestamp.0,
        deleting: meta.deletion_timestamp.and_then(|moment| moment.known()),
        labels: pool.labels(meta.labels.pairs()),
        owners: pool.owners(&owners),
        cells,
        health: reading.verdict.health,
        why: reading.verdict.why.map(|why| pool.text(&why)),
        facts: reading.facts,
    };
    (row, meta.resource_version.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::discovery::type_name;

    const NOW: i64 = 1_800_000_000;

    pub fn resource(plural: &str, group: &str) -> ResourceType {
        ResourceType {
            name: type_name(plural, group),
            group: group.into(),
            version: "v1".into(),
            versions: vec!["v1".into()],
            kind: "Kind".into(),
            plural: plural.into(),
            singular: String::new(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: true,
            verbs: vec!["list".into(), "watch".into()],
            subresources: Vec::new(),
        }
    }

    fn object(name: &str) -> Value {
        json!({"kind": "PartialObjectMetadata", "metadata": {
            "name": name, "namespace": "team", "uid": "u-1", "resourceVersion": "7",
            "creationTimestamp": "2027-01-15T07:00:00Z", "labels": {"b": "2", "a": "1"},
            "managedFields": [{"manager": "x"}],
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u-0", "controller": true}]}})
    }

    fn columns() -> Value {
        json!([{"name": "Name", "type": "string", "format": "name", "description": "d", "priority": 0},
            {"name": "Ready", "type": "string", "format": "", "description": "", "priority": 0},
            {"name": "Age", "type": "string", "format": "", "description": "", "priority": 0}])
    }

    fn table(columns: Value, rows: Value) -> Value {
        json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": "9", "continue": "more", "remainingItemCount": 5},
            "columnDefinitions": columns, "rows": rows})
    }

    fn list(body: &Value) -> Result<ListPage> {
        let mut pool = Pool::default();
        let resource = resource("widgets", "example.com");
        let mut context = Context { resource: &resource, now: NOW, pool: &mut pool };
        read_list(body.to_string().as_bytes(), &mut context)
    }

    fn event(body: &Value, columns: &Arc<[Column]>) -> Result<Event> {
        let mut pool = Pool::default();
        let resource = resource("widgets", "example.com");
        let mut context = Context { resource: &resource, now: NOW, pool: &mut pool };
        read_event(body.to_string().as_bytes(), columns, &mut context)
    }

    #[test]
    fn a_page_of_a_table() {
        let page = list(&table(
            columns(),
            json!([{"cells": ["a", "1/1", "60m", "too many"], "object": object("a")},
                {"cells": ["b"], "object": object("b")}]),
        ))
        .unwrap();
        assert_eq!((page.resource_version.as_str(), page.next.as_str()), ("9", "more"));
        let row = &page.rows[0];
        assert_eq!((&*row.name, &*row.namespace, &*row.uid), ("a", "team", "u-1"));
        assert_eq!(row.cells[0], Cell::Name);
        assert_eq!(row.label("b"), Some("2"));
        assert_eq!(row.controller().map(|owner| &*owner.name), Some("rs"));
        assert_eq!(row.created, 1_799_996_400);
        assert_eq!(row.cells[2], Cell::Created);
        assert_eq!(page.rows[1].cells[1..], [Cell::Empty, Cell::Empty]);
    }

    #[test]
    fn custom_resources_are_judged_by_their_columns() {
        let columns = json!([{"name": "Name", "type": "string", "format": "name"}, {"name": "Ready", "type": "string"}, {"name": "Status", "type": "string"}]);
        let page = list(&table(
            columns,
            json!([{"cells": ["a", "False", "issuer not found"], "object": object("a")}, {"cells": ["b", "True", ""], "object": object("b")}]),
        ))
        .unwrap();
        assert_eq!(page.rows[0].health, Health::Degraded);
        assert_eq!(page.rows[0].why.as_deref(), Some("It is not ready: issuer not found."));
        assert_eq!(page.rows[1].health, Health::Healthy);
    }

    #[test]
    fn lists_without_tables_are_read_too() {
        let page = list(&json!({"kind": "WidgetList", "metadata": {"resourceVersion": "3"}, "items": [object("a")]})).unwrap();
        assert_eq!(*page.rows[0].cells, [Cell::Name, Cell::Created]);
        assert_eq!(page.columns.len(), 2);
        assert!(page.next.is_empty());
    }

    #[test]
    fn a_watch_tells_columns_once_and_bookmarks_as_tables() {
        let known = list(&table(columns(), json!([]))).unwrap().columns;
        let row = json!([{"cells": ["a", "1/1", "5m"], "object": object("a")}]);
        let line = |kind, columns| json!({"type": kind, "object": table(columns, row.clone())});
        for columns in [columns(), Value::Null] {
            match event(&line("ADDED", columns), &known).unwrap() {
                Event::Upsert { row, version } => {
                    assert_eq!((&*row.name, version.as_str()), ("a", "7"));
                    assert_eq!(row.cells.len(), 3);
                }
                _ => panic!("not read as an object"),
            }
        }
        match event(&line("DELETED", Value::Null), &known).unwrap() {
            Event::Remove { namespace, name, .. } => {
                assert_eq!((namespace.as_str(), name.as_str()), ("team", "a"));
            }
            _ => panic!("not read as gone"),
        }
        let mut bookmark = line("BOOKMARK", Value::Null);
        assert!(
            matches!(event(&bookmark, &known).unwrap(), Event::Bookmark { version } if version == "9")
        );
        bookmark["object"]["metadata"] = json!({});
        assert!(
            matches!(event(&bookmark, &known).unwrap(), Event::Bookmark { version } if version == "7")
        );
        let plain = json!({"type": "BOOKMARK", "object": {"kind": "Widget", "metadata": {"resourceVersion": "8"}}});
        assert!(
            matches!(event(&plain, &known).unwrap(), Event::Bookmark { version } if version == "8")
        );
    }

    #[test]
    fn other_columns_ask_for_a_new_list() {
        let known = plain_columns();
        let line = json!({"type": "ADDED", "object": table(columns(), json!([]))});
        assert_eq!(event(&line, &known).err().unwrap().kind(), FailureKind::Expired);
    }

    #[test]
    fn errors_of_a_watch_are_failures() {
        let known = plain_columns();
        let line = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}});
        assert_eq!(event(&line, &known).err().unwrap().kind(), FailureKind::Expired);
        let mut pool = Pool::default();
        let resource = resource("widgets", "example.com");
        let mut context = Context { resource: &resource, now: NOW, pool: &mut pool };
        for cut in [&b"{\"type\":\"ADD"[..], b"", b"[]", b"{\"type\":\"ADDED\",\"object\":3}"] {
            assert!(read_event(cut, &known, &mut context).is_err());
        }
    }

    #[test]
    fn columns_of_one_name_are_told_apart() {
        let twice = json!([{"name": "Ready", "type": "string"}, {"name": "READY", "type": "string"}, {"name": "ready", "type": "string"}]);
        let page = list(&table(twice, json!([]))).unwrap();
        let keys: Vec<&str> = page.columns.iter().map(|column| &*column.key).collect();
        assert_eq!(keys, ["ready", "ready_2", "ready_3"]);
    }
}
