use drover_api::{AuditEntry, AuditOutcome};
use leptos::prelude::*;

use crate::{
    api::{self, encode},
    components::*,
    environment::use_environments,
    format,
    i18n::t,
    icons::Glyph,
    states::Stated,
};

/// What the audit log is filtered by.
#[derive(Clone, Copy)]
struct Filters {
    actor: RwSignal<String>,
    action: RwSignal<String>,
    outcome: RwSignal<String>,
    environment: RwSignal<String>,
    since: RwSignal<String>,
    until: RwSignal<String>,
}

impl Filters {
    fn new() -> Self {
        let text = || RwSignal::new(String::new());
        Self {
            actor: text(),
            action: text(),
            outcome: text(),
            environment: text(),
            since: text(),
            until: text(),
        }
    }

    fn fields(self) -> [(&'static str, String); 6] {
        [
            ("actor", self.actor.get().trim().to_owned()),
            ("action", self.action.get().trim().to_owned()),
            ("outcome", self.outcome.get()),
            ("environment_id", self.environment.get()),
            ("since", utc(&self.since.get())),
            ("until", utc(&self.until.get())),
        ]
    }

    fn add(self, request: api::Request) -> api::Request {
        self.fields().into_iter().fold(request, |request, (name, value)| request.query(name, value))
    }

    /// For the export, which the browser saves itself.
    fn export(self) -> String {
        let pairs: Vec<_> = self
            .fields()
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", encode(&value)))
            .collect();
        format!("/v1/audit/export?{}", pairs.join("&"))
    }
}

/// What a `datetime-local` field holds (the user's own time) as RFC 3339.
fn utc(local: &str) -> String {
    if local.is_empty() {
        return String::new();
    }
    let date = js_sys::Date::new(&local.into());
    if date.get_time().is_nan() { String::new() } else { date.to_iso_string().into() }
}

/// Who did what.
#[component]
pub fn AuditLog() -> impl IntoView {
    let words = &t().admin;
    let filters = Filters::new();
    let shown = RwSignal::new(None::<AuditEntry>);
    let open = RwSignal::new(false);
    let reload = Trigger::new();
    let table = TableSpec::new(
        move |ask| filters.add(ask.get("audit")),
        |entry: &AuditEntry| entry.id.to_string(),
    )
    .column(
        Column::new("at", words.at, |entry: &AuditEntry| {
            view! { <span class="nums">{format::date_time(entry.at)}</span> }
        })
        .width(12.0),
    )
    .column(
        Column::new("actor", words.actor, |entry: &AuditEntry| {
            let key = entry.api_key_id.map(|_| view! { <span>{t().admin.by_api_key}</span> });
            view! { <span class="two"><span class="strong">{entry.actor.clone()}</span>{key}</span> }
        })
        .grow(1),
    )
    .column(
        Column::new("action", words.action, |entry: &AuditEntry| {
            let why = reason(entry);
            view! {
                <span class="two">
                    <code title=entry.action.clone()>{entry.action.clone()}</code>
                    {why.map(|why| view! { <span title=why.clone()>{why.clone()}</span> })}
                </span>
            }
        })
        .grow(1),
    )
    .column(
        Column::new("target", words.target, |entry: &AuditEntry| {
            let name = entry.target_name.clone().or_else(|| entry.target_id.clone()).unwrap_or_default();
            view! {
                <span class="two">
                    <span title=name.clone()>{name.clone()}</span>
                    <span>{entry.target_kind.clone()}</span>
                </span>
            }
        })
        .grow(2),
    )
    .column(
        Column::new("address", words.address, |entry: &AuditEntry| {
            view! { <span class="mono">{entry.address.clone()}</span> }
        })
        .width(9.0),
    )
    .column(
        Column::new("outcome", words.outcome, |entry: &AuditEntry| {
            view! { <StatePill state=entry.outcome /> }
        })
        .width(7.0),
    )
    .name(|entry| entry.action.clone())
    .open(move |entry| {
        shown.set(Some(entry.clone()));
        open.set(true);
    })
    .empty(move || view! { <Empty glyph=Glyph::Audit title=words.audit_empty text=words.audit_empty_text /> })
    .reload_on(reload);
    let actions = move || {
        view! {
            <Button icon=Glyph::Refresh label=t().common.refresh on_click=move |_| reload.notify() />
            <ButtonLink
                icon=Glyph::Download
                label=t().common.export
                href=Signal::derive(move || filters.export())
                download=true
            />
        }
    };
    view! {
        <Page title=words.audit sub=words.audit_text actions=actions>
            <Table spec=table label=words.audit filters=move || view! { <FilterBar filters=filters /> } />
            <Dialog open=open title=words.entry wide=true>
                {move || shown.get().map(|entry| view! { <Entry entry=entry /> })}
            </Dialog>
        </Page>
    }
}

#[component]
fn FilterBar(filters: Filters) -> impl IntoView {
    let words = &t().admin;
    let environments = use_environments();
    let outcomes: Vec<_> = std::iter::once((String::new(), words.any_outcome.to_owned()))
        .chain(
            [
                (AuditOutcome::Success, "success"),
                (AuditOutcome::Denied, "denied"),
                (AuditOutcome::Failure, "failure"),
            ]
            .map(|(outcome, name)| (name.to_owned(), outcome.label().to_owned())),
        )
        .collect();
    let places = Signal::derive(move || {
        let named = environments.all().into_iter().map(|env| (env.id.to_string(), env.name));
        let all = (String::new(), words.any_environment.to_owned());
        std::iter::once(all).chain(named).collect::<Vec<_>>()
    });
    view! {
        <FilterText label=words.any_actor value=filters.actor />
        <FilterText label=words.any_action value=filters.action />
        <Select label=words.outcome value=filters.outcome options=outcomes />
        <Select label=t().common.environment value=filters.environment options=places />
        <FilterTime label=words.from value=filters.since />
        <FilterTime label=words.until value=filters.until />
    }
}

#[component]
fn FilterText(label: &'static str, value: RwSignal<String>) -> impl IntoView {
    view! {
        <input
            class="input filter-text"
            placeholder=label
            aria-label=label
            autocomplete="off"
            spellcheck="false"
            on:change=move |event| value.set(event_target_value(&event))
        />
    }
}

#[component]
fn FilterTime(label: &'static str, value: RwSignal<String>) -> impl IntoView {
    view! {
        <label class="filter-time">
            <span class="faint small">{label}</span>
            <input
                class="input"
                type="datetime-local"
                on:change=move |event| value.set(event_target_value(&event))
            />
        </label>
    }
}

/// Why it was refused or failed, where the entry says so.
fn reason(entry: &AuditEntry) -> Option<String> {
    Some(entry.detail.get("reason")?.as_str()?.to_owned())
}

#[component]
fn Entry(entry: AuditEntry) -> impl IntoView {
    let words = &t().admin;
    let environments = use_environments();
    let place = entry.environment_id.map(|id| {
        environments.find(id).map_or_else(|| id.to_string(), |environment| environment.name)
    });
    let target = [&entry.target_kind, &entry.target_name, &entry.target_id]
        .into_iter()
        .flatten()
        .cloned()
        .collect::<Vec<_>>()
        .join(" · ");
    let why = reason(&entry);
    let by_key = entry.api_key_id.map(|id| format!("{} {id}", words.by_api_key));
    let detail = serde_json::to_string_pretty(&entry.detail).unwrap_or_default();
    let mut rows = vec![
        (words.at, view! { {format::date_time(entry.at)} }.into_any()),
        (words.actor, view! { {entry.actor} " " <span class="faint">{by_key}</span> }.into_any()),
        (words.action, view! { <code>{entry.action}</code> }.into_any()),
        (words.target, view! { {target} }.into_any()),
        (words.outcome, view! { <StatePill state=entry.outcome /> }.into_any()),
    ];
    for (name, value) in [
        (t().common.environment, place),
        (words.address, entry.address),
        (t().error.request_id, entry.request_id),
    ] {
        if let Some(value) = value {
            rows.push((name, view! { <span class="mono">{value}</span> }.into_any()));
        }
    }
    if let Some(why) = why {
        rows.push((t().sign_in.reason, view! { {why} }.into_any()));
    }
    let empty = detail == "{}" || detail == "null";
    view! {
        <KeyValues rows=rows />
        {(!empty)
            .then(|| view! { <div class="stack-s"><span class="field-label">{words.detail}</span><pre class="code">{detail}</pre></div> })}
    }
}
