use std::collections::VecDeque;

use drover_api::{
    Change, Container, Event, HostUsageHistory, List, Operation, Overview, Permission, StateCount,
    Topic,
};
use leptos::prelude::*;

use super::OperationProgress;
use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    format,
    i18n::{fill, t},
    icons::{Glyph, Icon},
    live::use_live,
    remote::Remote,
    states::{Stated, Tone, operation_name},
};

/// An environment at a glance.
#[component]
pub fn OverviewPage() -> impl IntoView {
    let words = &t().overview;
    let env = use_env();
    let overview = Remote::new(move || api::get(env.api("overview")).json::<Overview>())
        .live(&[Topic::Container, Topic::Host, Topic::Stack], |_| true);
    // What was in use before the page was opened, then what is as it changes.
    let before = Remote::new(move || api::get(env.api("usage")).json::<HostUsageHistory>());
    let history = History::<2>::new(600);
    Effect::new(move || {
        let Some(before) = before.get() else { return };
        for usage in before.items {
            history.push(usage.at.unix_ms() as f64, [usage.cpu, usage.memory as f64]);
        }
    });
    Effect::new(move || {
        if let Some(now) = overview.get() {
            history.push(format::now_ms(), [now.cpu_used, now.memory_used as f64]);
        }
    });
    // The measurements that arrive without a change of anything else.
    let tick = move || overview.reload();
    if let Ok(timer) = set_interval_with_handle(tick, std::time::Duration::from_secs(5)) {
        on_cleanup(move || timer.clear());
    }
    let title = Signal::derive(move || env.name());
    let about = Signal::derive(move || {
        env.get().map(|env| env.description).filter(|text| !text.is_empty())
    });
    view! {
        <Page title=title sub=about>
            <Loaded remote=overview let:now>
                <div class="stack">
                    {move || first_steps(env, &now.get())}
                    <div class="counts">
                        <Count env=env label=words.hosts glyph=Glyph::Host rest="hosts" counts=Signal::derive(move || now.with(|now| now.hosts.clone())) />
                        <Count env=env label=words.stacks glyph=Glyph::Stack rest="stacks" counts=Signal::derive(move || now.with(|now| now.stacks.clone())) />
                        <Count env=env label=words.containers glyph=Glyph::Container rest="containers" counts=Signal::derive(move || now.with(|now| now.containers.clone())) />
                    </div>
                    <div class="grid-2">
                        <UseCard
                            label=words.cpu
                            glyph=Glyph::Cpu
                            history=history
                            line=0
                            now=Signal::derive(move || now.with(|now| (now.cpu_used, now.cpu_total)))
                            words_of=format::cores
                        />
                        <UseCard
                            label=words.memory
                            glyph=Glyph::Memory
                            history=history
                            line=1
                            now=Signal::derive(move || now.with(|now| (now.memory_used as f64, now.memory_total as f64)))
                            words_of=format::bytes
                        />
                    </div>
                    <div class="overview">
                        <Recent env=env />
                        <Happening env=env />
                    </div>
                </div>
            </Loaded>
        </Page>
    }
}

fn total(counts: &[StateCount]) -> u64 {
    counts.iter().map(|count| count.count).sum()
}

/// What to do next in an environment that has nothing yet.
fn first_steps(env: Env, now: &Overview) -> Option<AnyView> {
    let words = &t().overview;
    if total(&now.hosts) == 0 && env.may(Permission::ManageHosts) {
        let view = view! {
            <Card>
                <Empty glyph=Glyph::Host title=words.first_host text=words.first_host_text>
                    <ButtonLink look=Look::Primary icon=Glyph::Plus href=env.path("hosts/new") label=words.add_host />
                </Empty>
            </Card>
        };
        return Some(view.into_any());
    }
    if total(&now.stacks) == 0 && env.may(Permission::Deploy) {
        let view = view! {
            <Card>
                <Empty glyph=Glyph::Catalog title=words.first_app text=words.first_app_text>
                    <ButtonLink look=Look::Primary href=env.path("catalog") label=words.open_catalog />
                </Empty>
            </Card>
        };
        return Some(view.into_any());
    }
    None
}

/// The tone and name of a state that comes by its name on the wire.
fn state_of(state: &str) -> (Tone, String) {
    fn read<S: Stated + serde::de::DeserializeOwned>(state: &str) -> Option<(Tone, String)> {
        let state: S = serde_json::from_value(state.into()).ok()?;
        Some((state.tone(), state.label().to_owned()))
    }
    read::<drover_api::StackState>(state)
        .or_else(|| read::<drover_api::HostState>(state))
        .or_else(|| read::<drover_api::ContainerState>(state))
        .unwrap_or_else(|| (Tone::Idle, state.to_owned()))
}

#[component]
fn Count(
    env: Env,
    label: &'static str,
    glyph: Glyph,
    rest: &'static str,
    counts: Signal<Vec<StateCount>>,
) -> impl IntoView {
    let figure = Signal::derive(move || format::count(counts.with(|counts| total(counts))));
    let parts = Signal::derive(move || {
        counts.with(|counts| {
            counts.iter().map(|c| (c.count as f64, state_of(&c.state).0)).collect::<Vec<_>>()
        })
    });
    let legend = move || {
        counts.with(|counts| {
            if total(counts) == 0 {
                return view! { <span>{t().overview.nothing}</span> }.into_any();
            }
            counts
                .iter()
                .filter(|count| count.count > 0)
                .map(|count| {
                    let (tone, name) = state_of(&count.state);
                    view! {
                        <span class="row">
                            <span class=format!("dot tone-{}", tone.name())></span>
                            <span class="nums">{format::count(count.count)}</span>
                            {name}
                        </span>
                    }
                })
                .collect_view()
                .into_any()
        })
    };
    view! {
        <a class="card count" href=env.path(rest)>
            <Donut label=label parts=parts figure=figure />
            <span class="stack-s grow">
                <span class="stat-label"><Icon glyph=glyph /> {label}</span>
                <span class="stat-parts">{legend}</span>
            </span>
        </a>
    }
}

#[component]
fn UseCard(
    label: &'static str,
    glyph: Glyph,
    history: History<2>,
    line: usize,
    now: Signal<(f64, f64)>,
    words_of: fn(f64) -> String,
) -> impl IntoView {
    let binary = line == 1;
    let series = Signal::derive(move || vec![Series::new(label, history.line(line))]);
    let of = if binary { t().overview.memory_of } else { t().overview.cpu_of };
    let whole = move || fill(of, &[("total", &words_of(now.get().1))]);
    view! {
        <section class="card">
            <div class="stat">
                <span class="stat-label"><Icon glyph=glyph /> {label}</span>
                <span class="stat-value">
                    {move || words_of(now.get().0)} " " <small>{whole}</small>
                </span>
            </div>
            <div class="chart-body">
                <Chart label=label series=series words=words_of binary=binary height=140.0 />
            </div>
        </section>
    }
}

#[component]
fn Recent(env: Env) -> impl IntoView {
    let words = &t().overview;
    let recent = Remote::new(move || {
        api::get(env.api("operations")).query("limit", 8).json::<List<Operation>>()
    })
    .live(&[Topic::Operation], |_| true);
    let all = move || {
        view! { <a class="small" href=env.path("operations")>{words.all_operations}</a> }
    };
    let row = move |operation: Operation| {
        let href = env.path(&format!("operations/{}", operation.id));
        view! {
            <li>
                <StatePill state=operation.state />
                <span class="grow">
                    <a class="truncate" href=href>
                        {operation_name(operation.kind)} " " {operation.target_name.clone()}
                    </a>
                    {(!operation.state.is_final()).then(|| view! { <OperationProgress operation=operation.clone() /> })}
                </span>
                <span class="small faint"><TimeAgo at=operation.created_at /></span>
            </li>
        }
    };
    view! {
        <Card title=words.recent extra=all flush=true>
            <Loaded remote=recent let:list>
                {move || {
                    let list = list.get().items;
                    if list.is_empty() {
                        return view! {
                            <Empty glyph=Glyph::Operation title=words.no_operations text=words.no_operations_text />
                        }
                            .into_any();
                    }
                    view! { <ul class="feed">{list.into_iter().map(row).collect_view()}</ul> }.into_any()
                }}
            </Loaded>
        </Card>
    }
}

#[derive(Clone, PartialEq)]
struct Happened {
    number: u32,
    at: f64,
    glyph: Glyph,
    tone: Tone,
    what: String,
    name: String,
    href: Option<String>,
}

/// Changes as they come.
#[component]
fn Happening(env: Env) -> impl IntoView {
    let words = &t().overview;
    let feed = RwSignal::new(VecDeque::<Happened>::new());
    let number = StoredValue::new(0_u32);
    use_live(move |event| {
        let Some(mut happened) = event.and_then(|event| happened(env, event)) else { return };
        // The same once more: progress within a state.
        let same = |last: &Happened| last.href == happened.href && last.what == happened.what;
        if feed.with_untracked(|feed| feed.front().is_some_and(same)) {
            return;
        }
        number.update_value(|number| *number += 1);
        happened.number = number.get_value();
        feed.update(|feed| {
            feed.push_front(happened);
            feed.truncate(12);
        });
    });
    view! {
        <Card title=words.happening flush=true>
            {move || {
                feed.with(VecDeque::is_empty)
                    .then(|| view! { <p class="empty faint">{words.happening_none}</p> })
            }}
            <ul class="feed">
                <For each=move || feed.get() key=|happened| happened.number let:happened>
                    <li>
                        <Icon glyph=happened.glyph class="faint" />
                        <span class="grow truncate" title=happened.name.clone()>
                            {match happened.href {
                                Some(href) => {
                                    view! { <a href=href>{happened.name.clone()}</a> }.into_any()
                                }
                                None => happened.name.clone().into_any(),
                            }}
                        </span>
                        <Badge label=happened.what tone=happened.tone />
                        <span class="small faint nums">{format::clock(happened.at)}</span>
                    </li>
                </For>
            </ul>
        </Card>
    }
}

/// What an event tells people; nothing for those that only tell what to fetch.
fn happened(env: Env, event: &Event) -> Option<Happened> {
    if event.environment_id != Some(env.id()) {
        return None;
    }
    let object = event.object.clone();
    let (glyph, name, tone, what, href) = match event.topic {
        Topic::Container => match serde_json::from_value::<Container>(object?) {
            Ok(container) => {
                let (tone, what) = match event.change {
                    Change::Updated => (container.state.tone(), container.state.label()),
                    Change::Removed => (Tone::Idle, t().overview.gone),
                };
                let href = format!("hosts/{}/containers/{}", container.host_id, container.id);
                (Glyph::Container, container.name, tone, what, Some(env.path(&href)))
            }
            Err(_) => return None,
        },
        Topic::Operation => match serde_json::from_value::<Operation>(object?) {
            // Only its beginning and its end.
            Ok(operation) if operation.state.is_final() || operation.progress == 0.0 => {
                let name = format!("{} {}", operation_name(operation.kind), operation.target_name);
                let href = env.path(&format!("operations/{}", operation.id));
                (
                    Glyph::Operation,
                    name,
                    operation.state.tone(),
                    operation.state.label(),
                    Some(href),
                )
            }
            _ => return None,
        },
        _ => return None,
    };
    Some(Happened {
        number: 0,
        at: format::now_ms(),
        glyph,
        tone,
        what: what.to_owned(),
        name,
        href,
    })
}
