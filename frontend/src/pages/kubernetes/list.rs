//! The objects of a type: the server's own columns, filtered, sorted and grouped by Drover's index.

use drover_api::{
    ClusterState, ColumnKind, ResourceColumn, ResourceGroup, ResourceList, ResourceRow,
    ResourceType, Timestamp, Topic,
};
use leptos::{prelude::*, task::spawn_local};
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate, use_params_map, use_query_map},
};
use serde_json::Value;

use super::{
    Kube, actions, all,
    columns::titled,
    states::{HEALTHS, health_dot, health_named},
    types::{may, title},
    use_kube,
};
use crate::{
    api::{self, encode},
    components::*,
    format,
    i18n::{fill, kubernetes, plural, t},
    icons::{Glyph, Icon},
    remote::{Remote, settled},
    states::{Stated, Tone},
};

/// What a list is narrowed to, and grouped by; all of it is in the address.
#[derive(Clone, Default, PartialEq)]
struct Narrowed {
    namespace: String,
    health: String,
    selector: String,
    owner: String,
    /// A column's id and what its cells must be, as the API reads it: `part`, `=a`, `>5`, `!a`.
    columns: Vec<(String, String)>,
    by: String,
    wide: bool,
}

impl Narrowed {
    /// As query parameters of the API.
    fn query(&self) -> Vec<(String, String)> {
        let mut query = vec![
            ("namespace".to_owned(), self.namespace.clone()),
            ("health".to_owned(), self.health.clone()),
            ("selector".to_owned(), self.selector.clone()),
            ("owner".to_owned(), self.owner.clone()),
        ];
        query.extend(self.columns.iter().cloned());
        query
    }

    /// Column filters as one parameter of the page's address: `status:Running;node:a`.
    fn columns_text(&self) -> String {
        let parts = self.columns.iter().map(|(id, text)| format!("{id}:{}", encode(text)));
        parts.collect::<Vec<_>>().join(";")
    }

    fn columns_of(text: &str) -> Vec<(String, String)> {
        text.split(';')
            .filter_map(|part| part.split_once(':'))
            .map(|(id, text)| {
                let plain = js_sys::decode_uri_component(text).map(String::from);
                (id.to_owned(), plain.unwrap_or_else(|_| text.to_owned()))
            })
            .collect()
    }

    /// Narrows further to one group.
    fn enter(&mut self, value: &str) {
        let by = std::mem::take(&mut self.by);
        match by.as_str() {
            "namespace" => self.namespace = value.to_owned(),
            "health" => self.health = value.to_owned(),
            "owner" => self.owner = value.to_owned(),
            other => match other.strip_prefix("label:") {
                Some(key) if value.is_empty() => self.selector = format!("!{key}"),
                Some(key) => self.selector = format!("{key}={value}"),
                None => {
                    self.columns.retain(|(id, _)| *id != by);
                    self.columns.push((by, format!("={value}")));
                }
            },
        }
    }
}

/// Reads what the address says, and keeps it there.
fn narrowed() -> RwSignal<Narrowed> {
    let query = use_query_map();
    let read = |name| query.with_untracked(|query| query.get(name)).unwrap_or_default();
    let narrowed = RwSignal::new(Narrowed {
        namespace: read("namespace"),
        health: read("health"),
        selector: read("selector"),
        owner: read("owner"),
        columns: Narrowed::columns_of(&read("columns")),
        by: read("by"),
        wide: read("wide") == "true",
    });
    let (navigate, path) = (use_navigate(), use_location().pathname);
    Effect::new(move |before: Option<()>| {
        let now = narrowed.get();
        if before.is_none() {
            return;
        }
        let wide = if now.wide { "true" } else { "" };
        let mut params = query.get_untracked();
        for (name, value) in [
            ("namespace", now.namespace.clone()),
            ("health", now.health.clone()),
            ("selector", now.selector.clone()),
            ("owner", now.owner.clone()),
            ("columns", now.columns_text()),
            ("by", now.by.clone()),
            ("wide", wide.to_owned()),
        ] {
            if value.is_empty() {
                params.remove(name);
            } else {
                params.replace(name, value);
            }
        }
        let options = NavigateOptions { replace: true, scroll: false, ..Default::default() };
        navigate(&format!("{}{}", path.get_untracked(), params.to_query_string()), options);
    });
    narrowed
}

/// The page.
#[component]
pub fn KubernetesList() -> impl IntoView {
    let words = kubernetes();
    let kube = use_kube();
    let id = use_params_map().with_untracked(|params| params.get("type").unwrap_or_default());
    let name = id.clone();
    // Counts change all the time; the page needs only what the type is.
    let of = Memo::new(move |_| kube.of(&id).map(|of| ResourceType { count: None, ..of }));
    let heading = Signal::derive(move || of.get().map_or_else(|| name.clone(), |of| title(&of)));
    let about = Signal::derive(move || of.get().map(|of| about(&of)));
    let actions = move || {
        of.get().filter(creatable).map(|of| {
            let href = format!("{}?kind={}", kube.env.path("kubernetes/create"), encode(&of.id));
            let label = fill(words.create_one, &[("kind", &of.kind)]);
            view! { <ButtonLink look=Look::Primary icon=Glyph::Plus href=href label=label /> }
        })
    };
    view! {
        <Page title=heading sub=about actions=actions>
            <Loaded remote=kube.types lines=8 let:_all>
                {move || match of.get() {
                    Some(of) => view! { <Objects kube=kube of=of /> }.into_any(),
                    None => view! {
                        <Card><Empty glyph=Glyph::Search title=words.no_type text=words.no_type_text>
                            <ButtonLink href=kube.env.path("kubernetes") label=words.all_types />
                        </Empty></Card>
                    }
                    .into_any(),
                }}
            </Loaded>
        </Page>
    }
}

/// Whether the caller may make one, and people do make them.
fn creatable(of: &ResourceType) -> bool {
    may(of, "create") && !is_made_by_the_cluster(&of.id)
}

/// Types whose objects the cluster itself makes: nobody looks for a button for one.
fn is_made_by_the_cluster(id: &str) -> bool {
    matches!(
        id,
        "events"
            | "nodes"
            | "endpoints"
            | "endpointslices.discovery.k8s.io"
            | "controllerrevisions.apps"
            | "leases.coordination.k8s.io"
            | "csinodes.storage.k8s.io"
            | "csistoragecapacities.storage.k8s.io"
            | "volumeattachments.storage.k8s.io"
            | "ipaddresses.networking.k8s.io"
    )
}

fn about(of: &ResourceType) -> String {
    let group = if of.group.is_empty() { "core" } else { &of.group };
    let scope = if of.namespaced { kubernetes().namespaced } else { kubernetes().cluster_wide };
    format!("{group}/{} · {scope}", of.version)
}

/// The list, once its columns are known.
#[component]
fn Objects(kube: Kube, of: ResourceType) -> impl IntoView {
    let narrowed = narrowed();
    let path = kube.env.api(&format!("kubernetes/resources/{}", encode(&of.id)));
    let head = {
        let path = path.clone();
        Remote::new(move || api::get(path.clone()).query("limit", 1).json::<ResourceList>())
    };
    // What is wrong with the watch is asked for now and then only.
    if let Ok(timer) =
        set_interval_with_handle(move || head.reload(), std::time::Duration::from_secs(15))
    {
        on_cleanup(move || timer.clear());
    }
    let of = StoredValue::new(of);
    view! {
        <Loaded remote=head lines=8 let:head>
            {
                let columns = Memo::new(move |_| head.with(|head| titled(&head.columns)));
                // What is wrong with the whole cluster stands above already.
                let here = move || kube.cluster.with(|one| one.is_none_or(|one| one.state == ClusterState::Active));
                let problem = Memo::new(move |_| head.with(|head| head.problem.clone()).filter(|_| here()));
                // Only some types know how their objects are. Once known, it stays so.
                let judged = Memo::new(move |before: Option<&bool>| {
                    before == Some(&true) || head.with(|head| head.items.iter().any(|row| row.health.is_some()))
                });
                let wide = Memo::new(move |_| narrowed.with(|now| now.wide));
                view! {
                    {move || problem.get().map(|problem| view! { <Notice tone=Tone::Warn>{problem}</Notice> })}
                    <Groups kube=kube of=of narrowed=narrowed columns=columns />
                    {move || table(kube, of.get_value(), columns.get(), wide.get(), judged, narrowed)}
                }
            }
        </Loaded>
    }
}

fn table(
    kube: Kube,
    of: ResourceType,
    columns: Vec<ResourceColumn>,
    wide: bool,
    judged: Memo<bool>,
    narrowed: RwSignal<Narrowed>,
) -> AnyView {
    let words = kubernetes();
    let reload = Trigger::new();
    let selected = RwSignal::new(Vec::<String>::new());
    let label = title(&of);
    let several = Memo::new(move |_| {
        kube.cluster.with(|one| one.is_none_or(|one| one.namespaces.len() != 1))
    });
    // The order of the columns must not change while the table is on show.
    let show_namespace = of.namespaced && several.get_untracked();
    let filters = move || narrowed.with(Narrowed::query);
    let mut spec = rows(kube, &of, &columns, wide, show_namespace, filters, reload);
    if may(&of, "delete") {
        let of = of.clone();
        spec = spec.select(selected, move || many(kube, of.clone(), selected, reload));
    }
    let (kind, creates) = (of.kind.clone(), creatable(&of));
    let create = format!("{}?kind={}", kube.env.path("kubernetes/create"), encode(&of.id));
    let spec = spec.empty(move || {
        let narrow = narrowed.with(|now| *now != Narrowed { by: now.by.clone(), wide: now.wide, ..Default::default() });
        if narrow {
            let clear = move |_| narrowed.set(Narrowed::default());
            return view! {
                <Empty glyph=Glyph::Search title=t().common.nothing_matches text=t().common.nothing_matches_hint>
                    <Button label=words.clear_filters on_click=clear />
                </Empty>
            }
            .into_any();
        }
        let (href, label) = (create.clone(), fill(words.create_one, &[("kind", &kind)]));
        view! {
            <Empty glyph=Glyph::Container title=fill(words.none_yet, &[("kind", &kind)]) text=words.none_yet_text>
                {creates.then(|| view! { <ButtonLink look=Look::Primary icon=Glyph::Plus href=href label=label /> })}
            </Empty>
        }
        .into_any()
    });
    let namespaced = of.namespaced;
    view! {
        <Table
            spec=spec
            label=label
            filters=move || view! { <Tools kube=kube namespaced=namespaced columns=columns.clone() judged=judged narrowed=narrowed /> }
        />
    }
    .into_any()
}

/// A table of objects of a type.
pub(super) fn rows(
    kube: Kube,
    of: &ResourceType,
    columns: &[ResourceColumn],
    wide: bool,
    show_namespace: bool,
    filters: impl Fn() -> Vec<(String, String)> + Send + Sync + 'static,
    reload: Trigger,
) -> TableSpec<ResourceRow> {
    let words = kubernetes();
    let path = kube.env.api(&format!("kubernetes/resources/{}", encode(&of.id)));
    let mut spec = TableSpec::new(
        move |ask| {
            filters()
                .into_iter()
                .fold(ask.get(path.clone()), |request, (name, value)| request.query(&name, value))
        },
        row_id,
    );
    // Names of events say nothing: they have columns of their own for what they are about.
    let named = of.id == "events" || columns.iter().any(|column| column.id == "name");
    if !named {
        spec = spec.column(Column::new("name", t().common.name, name_cell).sort().roomy(4));
    }
    for (index, column) in columns.iter().enumerate() {
        if column.wide && !wide {
            continue;
        }
        if column.id == "name" {
            spec = spec.column(Column::new("name", column.name.clone(), name_cell).sort().roomy(4));
            if show_namespace {
                spec = spec.column(namespace_column(words.namespace));
            }
            continue;
        }
        let (kind, long) = (column.kind, of.id == "events" && column.id == "object");
        let made =
            Column::new(column.id.clone(), column.name.clone(), move |row: &ResourceRow| match row
                .cells
                .get(index)
            {
                Some(Value::String(text)) if long => about_cell(kube, row, text),
                value => cell(kind, value),
            })
            .sort();
        spec = spec.column(match kind {
            ColumnKind::Text if column.id == "status" => made.width(8.5),
            ColumnKind::Text if is_short(&column.id) => made.width(5.5),
            ColumnKind::Text if column.id == "message" => made.roomy(5),
            ColumnKind::Text if column.id == "object" => made.roomy(3),
            ColumnKind::Text => made.grow(2),
            ColumnKind::Number => made.width(5.5),
            ColumnKind::Time => made.width(6.5),
        });
    }
    if !named && show_namespace {
        spec = spec.column(namespace_column(words.namespace));
    }
    let (id, page, menu) = (of.id.clone(), of.id.clone(), of.clone());
    spec.name(|row| row.name.clone())
        .link(move |row| kube.object_page(&page, row.namespace.as_deref(), &row.name))
        .actions(move |row| {
            let done = Callback::new(move |()| reload.notify());
            actions::of_row(kube, &menu, row, done)
        })
        .sorted(if of.id == "events" { "-last_seen" } else { "name" })
        .live(&[Topic::KubernetesResources])
        .when(move |event| event.id == id || event.id.is_empty())
        .pace(100)
        .reload_on(reload)
}

fn row_id(row: &ResourceRow) -> String {
    format!("{}/{}", row.namespace.as_deref().unwrap_or("-"), row.name)
}

/// Columns of built-in kinds whose cells are a word or two.
fn is_short(id: &str) -> bool {
    matches!(
        id,
        "ready"
            | "status"
            | "type"
            | "up_to_date"
            | "available"
            | "desired"
            | "current"
            | "restarts"
            | "completions"
            | "duration"
            | "suspend"
            | "active"
            | "version"
            | "capacity"
            | "data"
    )
}

fn namespace_column(label: &'static str) -> Column<ResourceRow> {
    Column::new("namespace", label, |row: &ResourceRow| {
        let name = row.namespace.clone().unwrap_or_default();
        view! { <span class="truncate muted" title=name.clone()>{name.clone()}</span> }
    })
    .sort()
    .grow(1)
}

/// The name with how it is; under it why it is not well.
fn name_cell(row: &ResourceRow) -> AnyView {
    let reason =
        row.reason.clone().or_else(|| row.terminating.then(|| kubernetes().terminating.to_owned()));
    let tone = row.health.map_or(Tone::Idle, Stated::tone).name();
    view! {
        <span class="row">
            {health_dot(row.health)}
            <span class="two">
                <LongName name=row.name.clone() />
                {reason.map(|reason| view! {
                    <span class=format!("truncate tone-{tone}") title=reason.clone()>{reason.clone()}</span>
                })}
            </span>
        </span>
    }
    .into_any()
}

/// What an event is about, as a link to it.
fn about_cell(kube: Kube, row: &ResourceRow, text: &str) -> AnyView {
    let name = view! { <LongName name=text /> };
    match kube.page_about(text, row.namespace.as_deref()) {
        Some(href) => view! { <a href=href>{name}</a> }.into_any(),
        None => name.into_any(),
    }
}

/// A cell as the cluster gives it.
pub(super) fn cell(kind: ColumnKind, value: Option<&Value>) -> AnyView {
    let text = match value {
        None | Some(Value::Null) => return view! { <span class="faint">"–"</span> }.into_any(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    if kind == ColumnKind::Time
        && let Ok(at) = serde_json::from_value::<Timestamp>(Value::String(text.clone()))
    {
        return view! { <TimeAgo at=at /> }.into_any();
    }
    if text.is_empty() || text == "<none>" || text == "<unset>" {
        return view! { <span class="faint">"–"</span> }.into_any();
    }
    let class = if kind == ColumnKind::Number { "nums" } else { "truncate" };
    view! { <span class=class title=text.clone()>{text.clone()}</span> }.into_any()
}

/// The filters beside the search box.
#[component]
fn Tools(
    kube: Kube,
    namespaced: bool,
    columns: Vec<ResourceColumn>,
    /// Its objects are healthy or not.
    judged: Memo<bool>,
    narrowed: RwSignal<Narrowed>,
) -> impl IntoView {
    let words = kubernetes();
    // A select writes into a signal of its own; what is narrowed follows it.
    let field = move |read: fn(&Narrowed) -> String, write: fn(&mut Narrowed, String)| {
        let value = RwSignal::new(narrowed.with_untracked(read));
        Effect::new(move || {
            let now = narrowed.with(read);
            if value.get_untracked() != now {
                value.set(now);
            }
        });
        Effect::new(move || {
            let wanted = value.get();
            if narrowed.with_untracked(read) != wanted {
                narrowed.update(|now| write(now, wanted));
            }
        });
        value
    };
    let namespace = field(|now| now.namespace.clone(), |now, value| now.namespace = value);
    let health = field(|now| now.health.clone(), |now, value| now.health = value);
    let selector = field(|now| now.selector.clone(), |now, value| now.selector = value);
    let namespaces = Signal::derive(move || {
        let all = kube.namespaces().into_iter().map(|name| (name.clone(), name));
        std::iter::once((String::new(), words.all_namespaces.to_owned()))
            .chain(all)
            .collect::<Vec<_>>()
    });
    let healths: Vec<_> = std::iter::once((String::new(), words.any_health.to_owned()))
        .chain([("failed,degraded".to_owned(), words.unwell.to_owned())])
        .chain(HEALTHS.map(|(health, name)| (name.to_owned(), health.label().to_owned())))
        .collect();
    let adding = RwSignal::new(false);
    let column = RwSignal::new(String::new());
    let by_items = {
        let columns = columns.clone();
        move || {
            let now = narrowed.with(|now| now.by.clone());
            let item = |by: String, label: String| {
                let present = now == by;
                MenuItem::choice(label, present, move || narrowed.update(|now| now.by = by.clone()))
            };
            let mut items = vec![
                MenuItem::Title(words.group_by.into()),
                item(String::new(), words.no_groups.into()),
            ];
            if judged.get() {
                items.push(item("health".into(), words.health.into()));
            }
            if namespaced {
                items.push(item("namespace".into(), words.namespace.into()));
            }
            items.push(item("owner".into(), words.owner.into()));
            items.push(item("label:app.kubernetes.io/name".into(), words.app_label.into()));
            let texts = columns.iter().filter(|c| c.kind == ColumnKind::Text && c.id != "name");
            items.extend(texts.map(|one| item(one.id.clone(), one.name.clone())));
            items
        }
    };
    let filter_items = {
        let columns = columns.clone();
        move || {
            let texts = columns.iter().filter(|c| c.kind != ColumnKind::Time && c.id != "name");
            let mut items = vec![MenuItem::Title(words.filter_by.into())];
            items.extend(texts.map(|one| {
                let id = one.id.clone();
                MenuItem::action(None, one.name.clone(), move || {
                    column.set(id.clone());
                    adding.set(true);
                })
            }));
            if columns.iter().any(|one| one.wide) {
                let wide = narrowed.with(|now| now.wide);
                items.push(MenuItem::Separator);
                items.push(MenuItem::choice(words.more_columns, wide, move || {
                    narrowed.update(|now| now.wide = !wide);
                }));
            }
            items
        }
    };
    let titles = StoredValue::new(
        columns.iter().map(|one| (one.id.clone(), one.name.clone())).collect::<Vec<_>>(),
    );
    let name_of = move |id: &str| {
        titles.with_value(|all| {
            all.iter()
                .find(|(other, _)| other == id)
                .map_or_else(|| id.to_owned(), |(_, name)| name.clone())
        })
    };
    let chips = move || {
        let now = narrowed.get();
        let mut chips: Vec<(String, String)> = now
            .columns
            .iter()
            .map(|(id, text)| (id.clone(), format!("{}: {text}", name_of(id))))
            .collect();
        if !now.owner.is_empty() {
            chips.push((String::new(), format!("{}: {}", words.owner, now.owner)));
        }
        chips
            .into_iter()
            .map(|(id, text)| {
                let label = format!("{} {text}", t().common.remove);
                let drop_it = move |_| {
                    narrowed.update(|now| match id.is_empty() {
                        true => now.owner.clear(),
                        false => now.columns.retain(|(other, _)| *other != id),
                    });
                };
                view! {
                    <button type="button" class="chip" aria-label=label on:click=drop_it>
                        <span class="truncate">{text.clone()}</span> <Icon glyph=Glyph::Close size=12 />
                    </button>
                }
            })
            .collect_view()
    };
    let title = Signal::derive(move || name_of(&column.get()));
    let by_health = move || {
        let healths = healths.clone();
        // What a link has narrowed it to can be taken back.
        (judged.get() || health.with(|health| !health.is_empty()))
            .then(|| view! { <Select label=words.health value=health options=healths /> })
    };
    view! {
        {namespaced.then(|| view! { <Select label=words.namespace value=namespace options=namespaces /> })}
        {by_health}
        <div class="k8s-selector">
            <SearchBox label=words.selector placeholder=words.selector_example value=selector />
        </div>
        <Menu label=words.group_by class="btn btn-secondary" items=by_items>
            {words.group_by} <Icon glyph=Glyph::ChevronDown size=14 />
        </Menu>
        <Menu label=words.filter_columns class="btn btn-secondary" items=filter_items>
            {words.filter_columns} <Icon glyph=Glyph::ChevronDown size=14 />
        </Menu>
        {chips}
        <Dialog open=adding title=title>
            {move || view! { <FilterColumn column=column.get_untracked() open=adding narrowed=narrowed /> }}
        </Dialog>
    }
    .into_any()
}

/// Asks which text a column's cells must contain.
#[component]
fn FilterColumn(
    column: String,
    open: RwSignal<bool>,
    narrowed: RwSignal<Narrowed>,
) -> impl IntoView {
    let words = kubernetes();
    let form = Form::new();
    let before = narrowed.with_untracked(|now| {
        now.columns.iter().find(|(id, _)| *id == column).map(|(_, text)| text.clone())
    });
    let text = RwSignal::new(before.unwrap_or_default());
    let submit = move |()| {
        let wanted = text.get_untracked().trim().to_owned();
        narrowed.update(|now| {
            now.columns.retain(|(id, _)| *id != column);
            if !wanted.is_empty() {
                now.columns.push((column.clone(), wanted));
            }
        });
        open.set(false);
    };
    view! {
        <FormView form=form on_submit=submit>
            <TextField label=words.contains value=text help=words.contains_help focus=true />
            <FormActions form=form label=words.filter on_cancel=move |()| open.set(false) />
        </FormView>
    }
}

/// The groups of a list, each with how many are in it and how many of those are not well; a click
/// narrows the list to one.
#[component]
fn Groups(
    kube: Kube,
    of: StoredValue<ResourceType>,
    narrowed: RwSignal<Narrowed>,
    columns: Memo<Vec<ResourceColumn>>,
) -> impl IntoView {
    let words = kubernetes();
    let by = Memo::new(move |_| narrowed.with(|now| now.by.clone()));
    let label = move |by: &str| match by {
        "namespace" => words.namespace.to_owned(),
        "health" => words.health.to_owned(),
        "owner" => words.owner.to_owned(),
        other => columns.with(|all| {
            let column = all.iter().find(|column| column.id == other);
            column.map_or_else(
                || other.trim_start_matches("label:").to_owned(),
                |one| one.name.clone(),
            )
        }),
    };
    let body = move |by: String| {
        let id = of.with_value(|of| of.id.clone());
        let path = kube.env.api(&format!("kubernetes/resources/{}/groups", encode(&id)));
        let asked = by.clone();
        let question = settled(300, Signal::derive(move || narrowed.with(Narrowed::query)));
        let groups = Remote::new(move || {
            let request = api::get(path.clone()).query("by", &asked);
            let request = question
                .get()
                .into_iter()
                .fold(request, |request, (name, value)| request.query(&name, value));
            all::<ResourceGroup>(request)
        })
        .live(&[Topic::KubernetesResources], move |event| event.id == id);
        let (is_health, is_label) = (by == "health", by.starts_with("label:"));
        let entry = move |group: ResourceGroup| {
            let ResourceGroup { value, count, unhealthy } = group;
            let name = match health_named(&value).filter(|_| is_health) {
                Some(health) => health.label().to_owned(),
                None if value.is_empty() => t().common.none.to_owned(),
                None => value.clone(),
            };
            let bad = (unhealthy > 0).then(|| {
                let text = plural(unhealthy, words.n_unwell);
                view! { <span class="tone-bad small nums" title=text.clone()>{format!("! {unhealthy}")} <span class="sr-only">{text.clone()}</span></span> }
            });
            // The API has no way to ask for what has nothing there, but for labels.
            let nothing = value.is_empty() && !is_label;
            let enter = move |_| narrowed.update(|now| now.enter(&value));
            view! {
                <button type="button" class="legend-entry" title=name.clone() disabled=nothing on:click=enter>
                    <span class="truncate">{name.clone()}</span>
                    <span class="nums muted">{format::count(count)}</span>
                    {bad}
                </button>
            }
        };
        view! {
            <Card title=fill(words.grouped_by, &[("by", &label(&by))]) extra=move || view! {
                <IconButton glyph=Glyph::Close small=true label=words.no_groups on_click=move |_| narrowed.update(|now| now.by.clear()) />
            }>
                <Loaded remote=groups lines=2 let:groups>
                    <div class="map-legend k8s-groups">
                        {move || {
                            let groups = groups.get();
                            match groups.is_empty() {
                                true => view! { <span class="faint">{t().common.nothing_matches}</span> }.into_any(),
                                false => groups.into_iter().map(entry).collect_view().into_any(),
                            }
                        }}
                    </div>
                </Loaded>
            </Card>
        }
    };
    move || Some(by.get()).filter(|by| !by.is_empty()).map(body)
}

/// Buttons for all that is selected.
fn many(kube: Kube, of: ResourceType, selected: RwSignal<Vec<String>>, reload: Trigger) -> AnyView {
    let words = kubernetes();
    let remove = move |_| {
        let names = selected.get_untracked();
        let id = of.id.clone();
        Confirm::new(fill(words.delete_many, &[("kind", &title(&of))]), words.delete_many_text)
            .names(names)
            .ask(t().common.delete, move || {
                let id = id.clone();
                async move {
                    let mut failed = Vec::new();
                    let mut first = None;
                    for row in selected.get_untracked() {
                        let Some((namespace, name)) = row.split_once('/') else { continue };
                        let path = kube.object_api(&id, Some(namespace), name);
                        if let Err(error) = api::delete(path).done().await {
                            first = first.or(Some(error));
                            failed.push(row);
                        }
                    }
                    selected.try_set(failed);
                    reload.notify();
                    first.map_or(Ok(()), Err)
                }
            });
    };
    view! { <Button small=true look=Look::Danger icon=Glyph::Trash label=t().common.delete on_click=remove /> }
        .into_any()
}

/// Sends a change, says what went wrong, and calls `done` with the answer when nothing did.
pub(super) fn change<T: serde::de::DeserializeOwned + 'static>(
    request: api::Request,
    done: impl FnOnce(T) + 'static,
) {
    spawn_local(async move {
        match request.json::<T>().await {
            Ok(answer) => done(answer),
            Err(error) => use_toasts().error(&error),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_narrows_the_list_to_it() {
        let enter = |by: &str, value: &str| {
            let mut now = Narrowed { by: by.into(), ..Default::default() };
            now.enter(value);
            assert_eq!(now.by, "");
            now
        };
        assert_eq!(enter("namespace", "shop").namespace, "shop");
        assert_eq!(enter("health", "failed").health, "failed");
        assert_eq!(enter("label:app", "web").selector, "app=web");
        assert_eq!(enter("label:app", "").selector, "!app");
        assert_eq!(enter("status", "Running").columns, [("status".into(), "=Running".into())]);
    }
}
