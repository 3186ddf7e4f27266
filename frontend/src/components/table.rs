//! Tables whose rows the server filters, sorts and pages: the browser asks for what is scrolled
//! into view, and holds a few pages around it. Smooth at any number of rows.
//!
//! ```ignore
//! let table = TableSpec::<Container>::new(move |ask| ask.get(env.api("containers")), |c| c.id.clone())
//!     .column(Column::new("name", t().common.name, |c: &Container| view! { {c.name.clone()} }).sort().grow(2))
//!     .column(Column::new("state", t().common.state, |c: &Container| view! { <StatePill state=c.state /> }).sort())
//!     .link(move |c| env.path(&format!("containers/{}", c.id)))
//!     .actions(move |c| vec![MenuItem::action(…)])
//!     .live(&[Topic::Container])
//!     .patch(|event, row| event.id == row.id)      // takes the row from the event's `object`
//!     .empty(move || view! { <Empty …/> });
//! view! { <Table spec=table label=t().frame.containers filters=move || view! { <Select … /> } /> }
//! ```

use std::{any::Any, collections::BTreeMap, future::Future, ops::Range, pin::Pin, sync::Arc};

use drover_api::{Event, List, Topic};
use leptos::{ev::KeyboardEvent, prelude::*, task::spawn_local};
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate, use_query_map},
};
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, prelude::Closure};

use super::{Button, Empty, Look, MenuItem, ProblemCard, RowMenu, SearchBox, Skeleton};
use crate::{
    api::{self, ApiError, Result},
    format,
    i18n::{fill, plural, t},
    icons::{Glyph, Icon},
    live::{throttled, use_live},
};

/// Rows a request.
const PAGE: usize = 100;
/// Pages kept around the ones in view.
const KEEP: usize = 12;
/// The height of a row in pixels, as `--row` in `app.css` has it.
const ROW: f64 = 44.0;
/// What a page leaves free below its table, in pixels: the page's own edge.
const BELOW: f64 = 40.0;

type AnyRow = Arc<dyn Any + Send + Sync>;
type RowFn<R> = Arc<dyn Fn(&AnyRow) -> R + Send + Sync>;
type Fetch = Arc<dyn Fn(Ask) -> Pin<Box<dyn Future<Output = Result<List<AnyRow>>>>> + Send + Sync>;

/// One page that the table asks the server for.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// What is typed into the search box.
    pub q: String,
    /// `name` or `-name`.
    pub sort: String,
    /// Where the page begins.
    pub cursor: String,
    /// Rows a page.
    pub limit: usize,
}

impl Ask {
    /// The request for this page of the list at `path`. Add filters with `.query(…)`.
    pub fn get(&self, path: impl Into<String>) -> api::Request {
        api::get(path)
            .query("limit", self.limit)
            .query("cursor", &self.cursor)
            .query("sort", &self.sort)
            .query("q", &self.q)
    }
}

/// A column of a table of `T`.
pub struct Column<T> {
    key: String,
    title: String,
    sortable: bool,
    width: String,
    /// What its least width has above that of others, in rem.
    extra: u8,
    end: bool,
    cell: Box<dyn Fn(&T) -> AnyView + Send + Sync>,
}

impl<T> Column<T> {
    /// `key` is the field's name in the API's `?sort=`.
    pub fn new<V: IntoView + 'static>(
        key: impl Into<String>,
        title: impl Into<String>,
        cell: impl Fn(&T) -> V + Send + Sync + 'static,
    ) -> Self {
        Self {
            key: key.into(),
            title: title.into(),
            sortable: false,
            width: "minmax(5rem, 1fr)".into(),
            extra: 0,
            end: false,
            cell: Box::new(move |row| cell(row).into_any()),
        }
    }

    /// The server can sort by it.
    pub fn sort(mut self) -> Self {
        self.sortable = true;
        self
    }

    /// Takes this many parts of the width that is left.
    pub fn grow(mut self, parts: u8) -> Self {
        self.width = format!("minmax(7rem, {parts}fr)");
        self
    }

    /// The same, and is never so narrow that long names cannot be told apart.
    pub fn roomy(mut self, parts: u8) -> Self {
        self.width = format!("minmax(14rem, {parts}fr)");
        self.extra = 7;
        self
    }

    /// Has this fixed width in rem.
    pub fn width(mut self, rem: f32) -> Self {
        self.width = format!("{rem}rem");
        self
    }

    /// Aligned at its end: figures.
    pub fn end(mut self) -> Self {
        self.end = true;
        self
    }
}

/// What [`Table`] shows. See the module.
pub struct TableSpec<T> {
    columns: Vec<Column<T>>,
    core: Core,
    marker: std::marker::PhantomData<fn(T)>,
}

struct Head {
    key: String,
    title: String,
    sortable: bool,
    extra: u8,
    end: bool,
}

/// The table without the type of its rows, so that its code is there once.
struct Core {
    fetch: Fetch,
    id: RowFn<String>,
    name: RowFn<String>,
    same: Arc<dyn Fn(&AnyRow, &AnyRow) -> bool + Send + Sync>,
    link: Option<RowFn<String>>,
    open: Option<RowFn<()>>,
    actions: Option<RowFn<Vec<MenuItem>>>,
    patch: Option<Arc<dyn Fn(&Event, &AnyRow) -> Option<AnyRow> + Send + Sync>>,
    topics: &'static [Topic],
    matters: Arc<dyn Fn(&Event) -> bool + Send + Sync>,
    pace: u64,
    empty: Option<ViewFn>,
    selected: Option<RwSignal<Vec<String>>>,
    selection_actions: ViewFn,
    sort: &'static str,
    search: bool,
    in_address: bool,
    fit: bool,
    reload: Trigger,
}

fn down<T: 'static>(row: &AnyRow) -> &T {
    // A table's rows are all made by its own fetch, as `T`.
    row.downcast_ref::<T>().unwrap_or_else(|| unreachable!("a row of another table"))
}

impl<T: Clone + PartialEq + DeserializeOwned + Send + Sync + 'static> TableSpec<T> {
    /// `request` makes the request for a page (read signals for filters in it: the table starts
    /// over when they change); `id` tells the rows apart.
    pub fn new(
        request: impl Fn(&Ask) -> api::Request + Send + Sync + 'static,
        id: impl Fn(&T) -> String + Send + Sync + 'static,
    ) -> Self {
        let fetch: Fetch = Arc::new(move |ask: Ask| {
            let request = request(&ask);
            Box::pin(async move {
                let list: List<T> = request.json().await?;
                Ok(List {
                    items: list.items.into_iter().map(|row| Arc::new(row) as AnyRow).collect(),
                    next_cursor: list.next_cursor,
                    total: list.total,
                    freshness: list.freshness,
                })
            })
        });
        let id: RowFn<String> = Arc::new(move |row| id(down(row)));
        let core = Core {
            fetch,
            name: id.clone(),
            id,
            same: Arc::new(|a, b| down::<T>(a) == down::<T>(b)),
            link: None,
            open: None,
            actions: None,
            patch: None,
            topics: &[],
            matters: Arc::new(|_| true),
            pace: 700,
            empty: None,
            selected: None,
            selection_actions: ViewFn::default(),
            sort: "",
            search: true,
            in_address: true,
            fit: false,
            reload: Trigger::new(),
        };
        Self { columns: Vec::new(), core, marker: std::marker::PhantomData }
    }

    /// Adds a column.
    pub fn column(mut self, column: Column<T>) -> Self {
        self.columns.push(column);
        self
    }

    /// What a row is called, for screen readers; its id when left out.
    pub fn name(mut self, name: impl Fn(&T) -> String + Send + Sync + 'static) -> Self {
        self.core.name = Arc::new(move |row| name(down(row)));
        self
    }

    /// The page of a row: opened by a click or Enter.
    pub fn link(mut self, link: impl Fn(&T) -> String + Send + Sync + 'static) -> Self {
        self.core.link = Some(Arc::new(move |row| link(down(row))));
        self
    }

    /// Called by a click or Enter on a row, where it has no page of its own.
    pub fn open(mut self, open: impl Fn(&T) + Send + Sync + 'static) -> Self {
        self.core.open = Some(Arc::new(move |row| open(down(row))));
        self
    }

    /// The menu at the end of a row.
    pub fn actions(
        mut self,
        actions: impl Fn(&T) -> Vec<MenuItem> + Send + Sync + 'static,
    ) -> Self {
        self.core.actions = Some(Arc::new(move |row| actions(down(row))));
        self
    }

    /// Fetches the rows in view again after events of these topics.
    pub fn live(mut self, topics: &'static [Topic]) -> Self {
        self.core.topics = topics;
        self
    }

    /// Of those events, only the ones for which this is true.
    pub fn when(mut self, matters: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        self.core.matters = Arc::new(matters);
        self
    }

    /// Fetches after events at most once in so many milliseconds; 700 when left out.
    pub fn pace(mut self, ms: u64) -> Self {
        self.core.pace = ms;
        self
    }

    /// Where an event carries the new state of a row (`object`), shows it at once. `is` tells
    /// whether the event is about this row.
    pub fn patch(mut self, is: impl Fn(&Event, &T) -> bool + Send + Sync + 'static) -> Self {
        self.core.patch = Some(Arc::new(move |event, row| {
            if !is(event, down(row)) {
                return None;
            }
            let object = event.object.clone()?;
            serde_json::from_value::<T>(object).ok().map(|row| Arc::new(row) as AnyRow)
        }));
        self
    }

    /// Shown when there is nothing at all (and nothing is searched for).
    pub fn empty<V: IntoView + 'static>(
        mut self,
        empty: impl Fn() -> V + Send + Sync + 'static,
    ) -> Self {
        self.core.empty = Some(ViewFn::from(move || empty().into_any()));
        self
    }

    /// Rows can be selected; `actions` (buttons) is shown while some are. `selected` holds their
    /// ids.
    pub fn select<V: IntoView + 'static>(
        mut self,
        selected: RwSignal<Vec<String>>,
        actions: impl Fn() -> V + Send + Sync + 'static,
    ) -> Self {
        self.core.selected = Some(selected);
        self.core.selection_actions = ViewFn::from(move || actions().into_any());
        self
    }

    /// The order at first: `name`, `-created_at`.
    pub fn sorted(mut self, sort: &'static str) -> Self {
        self.core.sort = sort;
        self
    }

    /// Has no search box.
    pub fn no_search(mut self) -> Self {
        self.core.search = false;
        self
    }

    /// One of several tables of its page: lower, and search and order are not in the address.
    pub fn inner(mut self) -> Self {
        self.core.in_address = false;
        self.core.fit = true;
        self
    }

    /// Fetches everything again when triggered.
    pub fn reload_on(mut self, reload: Trigger) -> Self {
        self.core.reload = reload;
        self
    }
}

/// The rows that are there, page by page.
#[derive(Default)]
struct Rows {
    pages: BTreeMap<usize, Vec<AnyRow>>,
    /// The cursor of each page that is known; lists with number cursors can be entered anywhere.
    cursors: BTreeMap<usize, String>,
    total: usize,
    sequential: bool,
    loaded: bool,
}

impl Rows {
    fn get(&self, index: usize) -> Option<&AnyRow> {
        self.pages.get(&(index / PAGE))?.get(index % PAGE)
    }

    /// The cursor to fetch `page` with; for lists that can only be walked through, of the furthest
    /// page before it that can be.
    fn way_to(&self, page: usize) -> (usize, String) {
        if page == 0 {
            return (0, String::new());
        }
        if !self.sequential {
            return (page, (page * PAGE).to_string());
        }
        match self.cursors.range(..=page).next_back() {
            Some((at, cursor)) => (*at, cursor.clone()),
            None => (0, String::new()),
        }
    }

    fn take(&mut self, page: usize, list: List<AnyRow>) {
        self.total = list.total as usize;
        self.loaded = true;
        if let Some(cursor) = list.next_cursor {
            // Our lists count rows; the audit log's cursors are ids.
            self.sequential = cursor != ((page + 1) * PAGE).to_string();
            self.cursors.insert(page + 1, cursor);
        }
        self.pages.insert(page, list.items);
        while self.pages.len() > KEEP {
            // Drop the page that is furthest from the one that has just come.
            let first = self.pages.keys().next().copied().unwrap_or(page);
            let last = self.pages.keys().next_back().copied().unwrap_or(page);
            self.pages.remove(if page - first.min(page) > last - page { &first } else { &last });
        }
    }
}

/// A table. See the module.
#[component]
pub fn Table<T>(
    /// What it shows.
    spec: TableSpec<T>,
    /// What it lists, for screen readers and in the search box.
    #[prop(into)]
    label: String,
    /// Between the search box and the count: filters.
    #[prop(optional, into)]
    filters: ViewFn,
) -> impl IntoView
where
    T: Clone + PartialEq + Send + Sync + 'static,
{
    let mut tracks = Vec::new();
    let mut heads = Vec::new();
    let mut cells: Vec<Box<dyn Fn(&T) -> AnyView + Send + Sync>> = Vec::new();
    if spec.core.selected.is_some() {
        tracks.push("1.1rem".to_owned());
    }
    for column in spec.columns {
        tracks.push(column.width);
        heads.push(Head {
            key: column.key,
            title: column.title,
            sortable: column.sortable,
            extra: column.extra,
            end: column.end,
        });
        cells.push(column.cell);
    }
    if spec.core.actions.is_some() {
        tracks.push("1.7rem".to_owned());
    }
    let ends: Vec<bool> = heads.iter().map(|head| head.end).collect();
    let draw: RowFn<AnyView> = Arc::new(move |row| {
        let row = down::<T>(row);
        cells
            .iter()
            .zip(&ends)
            .map(|(cell, end)| {
                let class = if *end { "table-cell table-end" } else { "table-cell" };
                view! { <div class=class role="cell">{cell(row)}</div> }
            })
            .collect_view()
            .into_any()
    });
    table(spec.core, heads, tracks.join(" "), draw, label, filters)
}

fn table(
    core: Core,
    heads: Vec<Head>,
    tracks: String,
    draw: RowFn<AnyView>,
    label: String,
    filters: ViewFn,
) -> AnyView {
    let core = Arc::new(core);
    let (q, sort) = order_and_search(&core);
    let rows = RwSignal::new(Rows::default());
    let problem = RwSignal::new(None::<ApiError>);
    // Grows when everything is to be fetched anew: answers to older questions are dropped.
    let generation = StoredValue::new(0_u32);
    let asked = StoredValue::new(Vec::<usize>::new());
    // All that was asked for has come.
    let idle = Trigger::new();
    let view = RwSignal::new(0..(PAGE / 2));
    let scroller = NodeRef::<leptos::html::Div>::new();

    let fetch = {
        let core = core.clone();
        move |page: usize| {
            if asked.with_value(|asked| asked.contains(&page)) {
                return;
            }
            let Some((page, cursor)) = rows.try_with_untracked(|rows| rows.way_to(page)) else {
                return;
            };
            asked.update_value(|asked| asked.push(page));
            let mine = generation.get_value();
            let ask = Ask { q: q.get(), sort: sort.get(), cursor, limit: PAGE };
            let answer = (core.fetch)(ask);
            spawn_local(async move {
                let answer = answer.await;
                if generation.try_get_value() != Some(mine) {
                    return;
                }
                asked.update_value(|asked| asked.retain(|other| *other != page));
                match answer {
                    Ok(list) => {
                        problem.set(None);
                        rows.update(|rows| rows.take(page, list));
                    }
                    // What is on show stays through a short outage.
                    Err(error) if error.status == 0 && rows.with_untracked(|rows| rows.loaded) => {}
                    Err(error) => problem.set(Some(error)),
                }
                if asked.with_value(Vec::is_empty) {
                    idle.notify();
                }
            });
        }
    };

    // A new question: start over. Tracks search, order, and the filters that `request` reads.
    {
        let (fetch, reload) = (fetch.clone(), core.reload);
        Effect::new(move |before: Option<()>| {
            reload.track();
            generation.update_value(|n| *n += 1);
            asked.set_value(Vec::new());
            if before.is_some()
                && let Some(scroller) = scroller.get_untracked()
            {
                scroller.set_scroll_top(0);
            }
            rows.update_untracked(|rows| {
                rows.cursors.clear();
                rows.pages.retain(|page, _| *page == 0);
            });
            fetch(0);
        });
    }
    // Scrolled to rows that are not there yet.
    {
        let fetch = fetch.clone();
        Effect::new(move || {
            let range = view.get();
            let missing = rows.with(|rows| {
                let last = range.end.min(rows.total).saturating_sub(1) / PAGE;
                (rows.loaded && rows.total > 0)
                    .then(|| {
                        (range.start / PAGE..=last).find(|page| !rows.pages.contains_key(page))
                    })
                    .flatten()
            });
            if let Some(page) = missing {
                untrack(|| fetch(page));
            }
        });
    }
    follow(&core, rows, view, generation, asked, idle, fetch.clone());

    let count = move || {
        rows.with(|rows| (rows.total > 0).then(|| plural(rows.total as u64, t().common.rows)))
    };
    let retry = {
        let fetch = fetch.clone();
        move || untrack(|| fetch(0))
    };
    let body = {
        let (core, label) = (core.clone(), label.clone());
        let heads = Arc::new(heads);
        // Which of its faces the table shows.
        let face = Memo::new(move |_| {
            rows.with(|rows| match problem.get() {
                Some(error) => Err(error),
                None if !rows.loaded => Ok(0),
                None if rows.total == 0 => Ok(if q.with(String::is_empty) { 1 } else { 2 }),
                None => Ok(3),
            })
        });
        move || match face.get() {
            Err(error) => {
                let retry = retry.clone();
                view! { <div class="card"><ProblemCard error=error on_retry=move |()| retry() /></div> }.into_any()
            }
            Ok(0) => view! { <div class="card"><Skeleton lines=8 /></div> }.into_any(),
            Ok(1) if core.empty.is_some() => {
                let empty = core.empty.as_ref().map(|empty| empty.run());
                view! { <div class="card">{empty}</div> }.into_any()
            }
            Ok(1 | 2) => {
                let words = &t().common;
                view! {
                    <div class="card">
                        <Empty glyph=Glyph::Search title=words.nothing_matches text=words.nothing_matches_hint>
                            {(!q.get_untracked().is_empty()).then(|| view! {
                                <Button label=words.clear_search on_click=move |_| q.set(String::new()) />
                            })}
                        </Empty>
                    </div>
                }
                .into_any()
            }
            Ok(_) => {
                grid(&core, &heads, &tracks, &draw, &label, Shown { rows, view, sort, scroller })
            }
        }
    };
    let search = core
        .search
        .then(|| view! { <SearchBox label=format!("{} · {}", t().common.search, label) placeholder=t().common.search value=q /> });
    let selection =
        core.selected.map(|selected| selection_bar(selected, core.selection_actions.clone()));
    view! {
        <div class="table-block">
            <div class="table-tools">
                {search} {filters.run()}
                <span class="table-count" role="status">{count}</span>
            </div>
            {selection}
            {body}
        </div>
    }
    .into_any()
}

/// Search and order, in the address where the table is its page's main one.
fn order_and_search(core: &Core) -> (RwSignal<String>, RwSignal<String>) {
    if !core.in_address {
        return (RwSignal::new(String::new()), RwSignal::new(core.sort.to_owned()));
    }
    let query = use_query_map();
    let read = |name| query.with_untracked(|query| query.get(name)).unwrap_or_default();
    let q = RwSignal::new(read("q"));
    let sort =
        RwSignal::new(Some(read("sort")).filter(|s| !s.is_empty()).unwrap_or(core.sort.to_owned()));
    let (navigate, path) = (use_navigate(), use_location().pathname);
    let default = core.sort;
    Effect::new(move |before: Option<()>| {
        let (q, sort) = (q.get(), sort.get());
        if before.is_none() {
            return;
        }
        let mut params = query.get_untracked();
        for (name, value) in
            [("q", q), ("sort", if sort == default { String::new() } else { sort })]
        {
            if value.is_empty() {
                params.remove(name);
            } else {
                params.replace(name, value);
            }
        }
        let options = NavigateOptions { replace: true, scroll: false, ..Default::default() };
        navigate(&format!("{}{}", path.get_untracked(), params.to_query_string()), options);
    });
    (q, sort)
}

/// Keeps the rows in view up to date.
fn follow(
    core: &Arc<Core>,
    rows: RwSignal<Rows>,
    view: RwSignal<Range<usize>>,
    generation: StoredValue<u32>,
    asked: StoredValue<Vec<usize>>,
    idle: Trigger,
    fetch: impl Fn(usize) + Clone + 'static,
) {
    if core.topics.is_empty() {
        return;
    }
    // Something has changed since what is under way was asked for. That is waited for: else one
    // change after the other would overtake each answer, and nothing new would ever be shown.
    let late = StoredValue::new(false);
    let again = throttled(core.pace, move || {
        let Some(range) = view.try_get_untracked() else { return };
        if asked.with_value(|asked| !asked.is_empty()) {
            late.set_value(true);
            return;
        }
        late.set_value(false);
        generation.update_value(|n| *n += 1);
        let (first, last) = (range.start / PAGE, range.end.saturating_sub(1) / PAGE);
        rows.update_untracked(|rows| rows.pages.retain(|page, _| (first..=last).contains(page)));
        for page in first..=last {
            if page == first || rows.with_untracked(|rows| page * PAGE < rows.total) {
                untrack(|| fetch(page));
            }
        }
    });
    {
        let again = again.clone();
        Effect::new(move || {
            idle.track();
            if late.get_value() {
                again();
            }
        });
    }
    let core = core.clone();
    use_live(move |event| {
        let Some(event) = event else { return again() };
        if !core.topics.contains(&event.topic) || !(core.matters)(event) {
            return;
        }
        if let Some(patch) = &core.patch {
            let range = view.get_untracked();
            let newer = rows.with_untracked(|rows| {
                range.into_iter().find_map(|index| {
                    let newer = patch(event, rows.get(index)?)?;
                    Some((index, newer))
                })
            });
            if let Some((index, newer)) = newer {
                rows.update(|rows| {
                    if let Some(row) =
                        rows.pages.get_mut(&(index / PAGE)).and_then(|p| p.get_mut(index % PAGE))
                    {
                        *row = newer;
                    }
                });
            }
        }
        again();
    });
}

#[derive(Clone, Copy)]
struct Shown {
    rows: RwSignal<Rows>,
    view: RwSignal<Range<usize>>,
    sort: RwSignal<String>,
    scroller: NodeRef<leptos::html::Div>,
}

fn grid(
    core: &Arc<Core>,
    heads: &Arc<Vec<Head>>,
    tracks: &str,
    draw: &RowFn<AnyView>,
    label: &str,
    shown: Shown,
) -> AnyView {
    let Shown { rows, view, sort, scroller } = shown;
    let look = move || {
        if let Some(Some(scroller)) = scroller.try_get_untracked() {
            let first = (f64::from(scroller.scroll_top()) / ROW) as usize;
            let seen = (f64::from(scroller.client_height()) / ROW) as usize + 2;
            // A few rows more on both sides, so that quick scrolling does not show gaps.
            let range = first.saturating_sub(8)..first + seen + 8;
            if view.get_untracked() != range {
                view.set(range);
            }
        }
    };
    // The table takes the height that the page leaves below it, also when what is above it grows.
    let measure = move || {
        let Some(Some(element)) = scroller.try_get_untracked() else { return };
        let scrolled = window().scroll_y().unwrap_or_default();
        let top = (element.get_bounding_client_rect().top() + scrolled).max(0.0) + BELOW;
        // A length in pixels is always a valid value.
        let _ =
            web_sys::HtmlElement::style(&element).set_property("--table-top", &format!("{top}px"));
        look();
    };
    Effect::new(move || {
        if scroller.get().is_some() {
            measure();
            request_animation_frame(look);
        }
    });
    // In the next frame: what a size makes of sizes is not for the same one.
    let callback = Closure::<dyn Fn()>::new(move || request_animation_frame(measure));
    // Every browser with WASM has it.
    let observer = web_sys::ResizeObserver::new(callback.as_ref().unchecked_ref()).ok();
    if let (Some(observer), Some(body)) = (&observer, document().body()) {
        observer.observe(&body);
    }
    let observing = StoredValue::new_local((observer, callback));
    let resized = window_event_listener(leptos::ev::resize, move |_| measure());
    on_cleanup(move || {
        resized.remove();
        observing.try_with_value(|(observer, _)| observer.as_ref().map(|one| one.disconnect()));
        observing.dispose();
    });

    let total = Memo::new(move |_| rows.with(|rows| rows.total));
    let visible = move || {
        let range = view.get();
        range.start.min(total.get())..range.end.min(total.get())
    };
    let head = draw_head(core, heads, shown);
    let row = {
        let (core, draw) = (core.clone(), draw.clone());
        move |index: usize| draw_row(index, core.clone(), draw.clone(), rows)
    };
    let focus = StoredValue::new(0_usize);
    view! {
        <div
            node_ref=scroller
            class=if core.fit { "table table-fit" } else { "table" }
            role="table"
            aria-label=label.to_owned()
            aria-rowcount=move || total.get().to_string()
            style:--columns=tracks.to_owned()
            style:--table-min=format!("{}rem", heads.iter().map(|head| 7 + usize::from(head.extra)).sum::<usize>())
            on:scroll=move |_| look()
            on:keydown=move |event| move_row(&event, scroller, focus, total.get_untracked())
        >
            {head}
            <div class="table-rows" role="rowgroup" style:height=move || format!("{}px", total.get() as f64 * ROW)>
                <For each=visible key=|index| *index children=row />
            </div>
            <span class="sr-only" aria-hidden="true">{move || sort.get()}</span>
        </div>
    }
    .into_any()
}

fn draw_head(core: &Arc<Core>, heads: &Arc<Vec<Head>>, shown: Shown) -> AnyView {
    let Shown { rows, sort, .. } = shown;
    let columns = heads
        .iter()
        .map(|head| {
            let key = StoredValue::new(head.key.clone());
            let class = if head.end { "table-cell table-end" } else { "table-cell" };
            if !head.sortable {
                return view! { <div class=class role="columnheader">{head.title.clone()}</div> }
                    .into_any();
            }
            let order = move || {
                key.with_value(|key| {
                    sort.with(|sort| match sort.strip_prefix('-') {
                        Some(name) if name == key => "descending",
                        None if sort == key => "ascending",
                        _ => "none",
                    })
                })
            };
            let turn = move |_| {
                let key = key.get_value();
                sort.update(|sort| *sort = if *sort == key { format!("-{key}") } else { key });
            };
            view! {
                <div class=class role="columnheader" aria-sort=order>
                    <button
                        type="button"
                        title=fill(t().common.sort_by, &[("column", &head.title)])
                        on:click=turn
                    >
                        <span class="truncate">{head.title.clone()}</span>
                        {move || match order() {
                            "ascending" => Some(view! { <Icon glyph=Glyph::ArrowUp size=12 /> }),
                            "descending" => Some(view! { <Icon glyph=Glyph::ArrowDown size=12 /> }),
                            _ => None,
                        }}
                    </button>
                </div>
            }
            .into_any()
        })
        .collect_view();
    let select_all = core.selected.map(|selected| {
        let id = core.id.clone();
        view! {
            <input
                type="checkbox"
                class="check"
                aria-label=t().common.select_all
                prop:checked=move || selected.with(|selected| !selected.is_empty())
                on:change=move |event| {
                    selected
                        .set(
                            if event_target_checked(&event) {
                                rows.with_untracked(|rows| rows.pages.values().flatten().map(|row| id(row)).collect())
                            } else {
                                Vec::new()
                            },
                        );
                }
            />
        }
    });
    let actions = core.actions.is_some().then(|| {
        view! { <div role="columnheader"><span class="sr-only">{t().common.actions}</span></div> }
    });
    view! { <div class="table-head" role="row">{select_all} {columns} {actions}</div> }.into_any()
}

fn draw_row(index: usize, core: Arc<Core>, draw: RowFn<AnyView>, rows: RwSignal<Rows>) -> AnyView {
    /// A row that is drawn anew only when it has changed.
    #[derive(Clone)]
    struct Drawn(Option<AnyRow>, Arc<Core>);
    impl PartialEq for Drawn {
        fn eq(&self, other: &Self) -> bool {
            match (&self.0, &other.0) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b) || (self.1.same)(a, b),
                (a, b) => a.is_none() && b.is_none(),
            }
        }
    }
    let row = {
        let core = core.clone();
        Memo::new(move |_| Drawn(rows.with(|rows| rows.get(index).cloned()), core.clone()))
    };
    let current = move || row.with_untracked(|drawn| drawn.0.clone());
    let linked = core.link.is_some() || core.open.is_some();
    let id = {
        let core = core.clone();
        move || row.with(|drawn| drawn.0.as_ref().map(|row| (core.id)(row)))
    };
    let selected = core.selected;
    let is_selected = {
        let id = id.clone();
        move || {
            selected
                .is_some_and(|selected| id().is_some_and(|id| selected.with(|s| s.contains(&id))))
        }
    };
    let select = {
        let core = core.clone();
        move |on: bool| {
            let (Some(selected), Some(row)) = (selected, current()) else { return };
            let id = (core.id)(&row);
            selected.update(|selected| {
                selected.retain(|other| *other != id);
                if on {
                    selected.push(id);
                }
            });
        }
    };
    let open = {
        let core = core.clone();
        let navigate = use_navigate();
        move || {
            let Some(row) = current() else { return };
            if let Some(link) = &core.link {
                navigate(&link(&row), NavigateOptions::default());
            } else if let Some(open) = &core.open {
                open(&row);
            }
        }
    };
    let on_click = {
        let open = open.clone();
        move |event: leptos::ev::MouseEvent| {
            // Links, buttons and boxes in the row do their own; selected text is left alone.
            let inside = event
                .target()
                .and_then(|target| target.dyn_into::<web_sys::Element>().ok())
                .and_then(|element| {
                    element.closest("a, button, input, label, [popover]").ok().flatten()
                });
            let marked = window().get_selection().ok().flatten().is_some_and(|s| !s.is_collapsed());
            if inside.is_none() && !marked && linked {
                open();
            }
        }
    };
    let on_key = {
        let (select, is_selected) = (select.clone(), is_selected.clone());
        move |event: KeyboardEvent| {
            let own = event
                .target()
                .is_some_and(|target| event.current_target().is_some_and(|row| row == target));
            match event.key().as_str() {
                "Enter" if own && linked => {
                    event.prevent_default();
                    open();
                }
                " " if own && selected.is_some() => {
                    event.prevent_default();
                    select(!untrack(&is_selected));
                }
                _ => {}
            }
        }
    };
    let check = selected.map(|_| {
        let (select, is_selected, core) = (select.clone(), is_selected.clone(), core.clone());
        let label = move || {
            let name =
                row.with(|drawn| drawn.0.as_ref().map(|row| (core.name)(row)).unwrap_or_default());
            fill(t().common.select_row, &[("name", &name)])
        };
        view! {
            <input
                type="checkbox"
                class="check"
                aria-label=label
                prop:checked=is_selected
                on:change=move |event| select(event_target_checked(&event))
            />
        }
    });
    let menu = core.actions.clone().map(|actions| {
        view! {
            <div role="cell">
                <RowMenu items=move || current().map(|row| actions(&row)).unwrap_or_default() />
            </div>
        }
    });
    let cells = move || {
        row.with(|drawn| match &drawn.0 {
            Some(row) => draw(row),
            None => {
                view! { <div class="table-cell" role="cell"><span class="skeleton"></span></div> }
                    .into_any()
            }
        })
    };
    let is_marked = is_selected.clone();
    view! {
        <div
            class="table-row"
            role="row"
            tabindex=if index == 0 { "0" } else { "-1" }
            aria-rowindex=(index + 1).to_string()
            data-index=index.to_string()
            data-link=linked.then_some("true")
            data-id=id
            aria-selected=move || selected.map(|_| is_marked().to_string())
            style:top=format!("{}px", index as f64 * ROW)
            on:click=on_click
            on:keydown=on_key
        >
            {check} {cells} {menu}
        </div>
    }
    .into_any()
}

/// Arrow keys, Page Up and Down, Home and End move from row to row.
fn move_row(
    event: &KeyboardEvent,
    scroller: NodeRef<leptos::html::Div>,
    focus: StoredValue<usize>,
    total: usize,
) {
    let Some(scroller) = scroller.get_untracked() else { return };
    let Some(row) =
        event.target().and_then(|target| target.dyn_into::<web_sys::HtmlElement>().ok())
    else {
        return;
    };
    let Some(at) = row.dataset().get("index").and_then(|index| index.parse::<usize>().ok()) else {
        return;
    };
    let page = ((f64::from(scroller.client_height()) / ROW) as usize).saturating_sub(2).max(1);
    let last = total.saturating_sub(1);
    let to = match event.key().as_str() {
        "ArrowDown" => at + 1,
        "ArrowUp" => at.saturating_sub(1),
        "PageDown" => at + page,
        "PageUp" => at.saturating_sub(page),
        "Home" => 0,
        "End" => last,
        _ => return,
    }
    .min(last);
    event.prevent_default();
    focus.set_value(to);
    let (top, seen) =
        (f64::from(scroller.scroll_top()), f64::from(scroller.client_height()) - 2.0 * ROW);
    let y = to as f64 * ROW;
    if y < top {
        scroller.set_scroll_top(y as i32);
    } else if y > top + seen {
        scroller.set_scroll_top((y - seen) as i32);
    }
    // The row is drawn after the scroll event.
    let find = move || {
        if let Ok(Some(row)) =
            scroller.query_selector(&format!("[data-index=\"{}\"]", focus.get_value()))
            && let Ok(row) = row.dyn_into::<web_sys::HtmlElement>()
        {
            // Fails only for elements that cannot have the focus.
            let _ = row.focus();
        }
    };
    request_animation_frame(move || request_animation_frame(find));
}

fn selection_bar(selected: RwSignal<Vec<String>>, actions: ViewFn) -> AnyView {
    let count = Memo::new(move |_| selected.with(Vec::len));
    (move || {
        (count.get() > 0).then(|| {
            let actions = actions.clone();
            view! {
                <div class="table-selected">
                    <span class="strong">
                        {move || fill(t().common.selected, &[("n", &format::count(count.get() as u64))])}
                    </span>
                    <span class="grow"></span>
                    {actions.run()}
                    <Button
                        look=Look::Ghost
                        small=true
                        label=t().common.clear_selection
                        on_click=move |_| selected.set(Vec::new())
                    />
                </div>
            }
        })
    })
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(n: usize, next: Option<&str>, total: u64) -> List<AnyRow> {
        let items = (0..n).map(|i| Arc::new(i) as AnyRow).collect();
        List { items, next_cursor: next.map(str::to_owned), total, freshness: None }
    }

    #[test]
    fn lists_that_count_rows_are_entered_anywhere() {
        let mut rows = Rows::default();
        rows.take(0, page(PAGE, Some("100"), 10_000));
        assert_eq!(rows.way_to(57), (57, "5700".into()));
        rows.take(57, page(PAGE, Some("5800"), 10_000));
        assert!(rows.get(5_799).is_some());
        assert!(rows.get(5_800).is_none());
    }

    #[test]
    fn other_lists_are_walked_through() {
        let mut rows = Rows::default();
        rows.take(0, page(PAGE, Some("id-a"), 10_000));
        assert_eq!(rows.way_to(5), (1, "id-a".into()));
        rows.take(1, page(PAGE, Some("id-b"), 10_000));
        assert_eq!(rows.way_to(5), (2, "id-b".into()));
        assert_eq!(rows.way_to(1), (1, "id-a".into()));
    }

    #[test]
    fn only_pages_near_the_newest_are_kept() {
        let mut rows = Rows::default();
        for n in 0..50 {
            rows.take(n, page(PAGE, Some(&((n + 1) * PAGE).to_string()), 10_000));
        }
        assert_eq!(rows.pages.len(), KEEP);
        assert!(rows.get(49 * PAGE).is_some());
        assert!(rows.get(0).is_none());
    }
}
