//! The swarm as a picture: a column for each node, a mark for each task, in its service's colour.
//!
//! Made for a thousand tasks: a mark is one plain element, which is made anew only when its task's
//! state changes, and events are heard at the map as a whole.

use std::collections::BTreeMap;

use drover_api::{List, NodeAvailability, SwarmNode, SwarmTask, Topic};
use leptos::{ev::KeyboardEvent, prelude::*};
use wasm_bindgen::JsCast;

use super::{
    states::{engine_word, node_role, node_tone, task_tone},
    tasks::{all_tasks, container_page, is_current, state},
};
use crate::{
    api,
    components::*,
    environment::Env,
    i18n::{fill, plural, swarm, t},
    icons::Glyph,
    remote::Remote,
    states::Tone,
};

/// Colours that services are told apart by.
const HUES: usize = 10;
/// Above so many tasks a mark has no text.
const NAMED: usize = 160;

/// A column of the map.
#[derive(Clone, PartialEq)]
struct Place {
    node: Option<SwarmNode>,
    tasks: Vec<SwarmTask>,
}

/// The colour of each service, by its place among the names: the same for all who look.
fn hues(tasks: &[SwarmTask]) -> BTreeMap<String, (String, usize)> {
    let names: BTreeMap<_, _> = tasks.iter().map(|t| (&t.service_name, &t.service_id)).collect();
    names
        .into_iter()
        .enumerate()
        .map(|(index, (name, id))| (id.clone(), (name.clone(), index % HUES)))
        .collect()
}

/// The columns: nodes by name, then what has no node.
fn places(nodes: &[SwarmNode], tasks: &[SwarmTask]) -> Vec<Place> {
    let mut by_node: BTreeMap<&str, Vec<SwarmTask>> = BTreeMap::new();
    for task in tasks {
        let known = task.node_id.as_deref().filter(|id| nodes.iter().any(|node| node.id == *id));
        by_node.entry(known.unwrap_or_default()).or_default().push(task.clone());
    }
    let mut all: Vec<_> = nodes
        .iter()
        .map(|node| Place {
            node: Some(node.clone()),
            tasks: by_node.remove(node.id.as_str()).unwrap_or_default(),
        })
        .collect();
    if let Some(tasks) = by_node.remove("") {
        all.push(Place { node: None, tasks });
    }
    for place in &mut all {
        place.tasks.sort_by(|a, b| {
            (&a.service_name, a.slot, &a.id).cmp(&(&b.service_name, b.slot, &b.id))
        });
    }
    all
}

/// The map.
#[component]
pub(super) fn Map(env: Env) -> impl IntoView {
    let words = swarm();
    let nodes = Remote::new(move || {
        api::get(env.api("swarm/nodes")).query("limit", 1000).json::<List<SwarmNode>>()
    })
    .live(&[Topic::Swarm, Topic::SwarmService], |_| true);
    let tasks = all_tasks(env);
    let current = Memo::new(move |_| {
        tasks.with(|list| {
            let all = list.map(|list| list.items.as_slice()).unwrap_or_default();
            all.iter().filter(|task| is_current(task)).cloned().collect::<Vec<_>>()
        })
    });
    let services = Memo::new(move |_| current.with(|tasks| hues(tasks)));
    let columns = Memo::new(move |_| {
        nodes.with(|list| {
            let nodes = list.map(|list| list.items.as_slice()).unwrap_or_default();
            current.with(|tasks| places(nodes, tasks))
        })
    });
    // Only that one of its things changes makes a column anew, not the others' tasks.
    let keys = Memo::new(move |_| {
        columns.with(|all| {
            all.iter()
                .map(|place| place.node.as_ref().map(|node| node.id.clone()).unwrap_or_default())
                .collect::<Vec<_>>()
        })
    });
    let only = RwSignal::new(String::new());
    let chosen = RwSignal::new(String::new());
    let named = Memo::new(move |_| current.with(Vec::len) <= NAMED);
    let on_click = move |event: leptos::ev::MouseEvent| {
        let target = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
        let mark = target.and_then(|element| element.closest(".mark").ok().flatten());
        if let Some(id) = mark.and_then(|mark| mark.get_attribute("data-task")) {
            chosen.set(id);
        }
    };
    let class = move || if named.get() { "map map-named" } else { "map" };
    view! {
        <Loaded remote=nodes let:_nodes>
            <Legend services=services current=current only=only />
            <div class="map-frame">
                <div class=class role="group" aria-label=words.map tabindex="0" title=words.map_help
                    on:click=on_click on:keydown=move_focus>
                    <For each=move || keys.get() key=|key| key.clone() let:key>
                        <NodeColumn env=env id=key columns=columns services=services only=only chosen=chosen />
                    </For>
                </div>
                <Chosen env=env current=current chosen=chosen />
            </div>
            {move || current.with(Vec::is_empty).then(|| view! {
                <Empty glyph=Glyph::Swarm title=words.map_empty text=words.map_empty_text />
            })}
        </Loaded>
    }
    .into_any()
}

/// The services with their colours; a click shows one alone.
#[component]
fn Legend(
    services: Memo<BTreeMap<String, (String, usize)>>,
    current: Memo<Vec<SwarmTask>>,
    only: RwSignal<String>,
) -> impl IntoView {
    let words = swarm();
    let entries = move || {
        services
            .get()
            .into_iter()
            .map(|(id, (name, hue))| (name, id, hue))
            .collect::<std::collections::BTreeSet<_>>()
    };
    view! {
        <div class="map-legend">
            <For each=entries key=|entry| entry.clone() let:entry>
                {
                    let (name, id, hue) = entry;
                    let (pressed, toggle) = (id.clone(), id);
                    view! {
                        <button type="button" class="legend-entry" title=name.clone()
                            aria-pressed=move || only.with(|only| *only == pressed).to_string()
                            on:click=move |_| only.update(|only| {
                                *only = if *only == toggle { String::new() } else { toggle.clone() };
                            })>
                            <span class=format!("swatch hue-{hue}")></span>
                            <span class="truncate">{name.clone()}</span>
                        </button>
                    }
                }
            </For>
            <span class="muted small nums">{move || plural(current.with(Vec::len) as u64, words.n_tasks)}</span>
        </div>
    }
}

#[component]
fn NodeColumn(
    env: Env,
    id: String,
    columns: Memo<Vec<Place>>,
    services: Memo<BTreeMap<String, (String, usize)>>,
    only: RwSignal<String>,
    chosen: RwSignal<String>,
) -> impl IntoView {
    let words = swarm();
    let place = Memo::new(move |_| {
        columns.with(|all| {
            all.iter()
                .find(|place| place.node.as_ref().map_or("", |node| node.id.as_str()) == id)
                .cloned()
        })
    });
    let node = Memo::new(move |_| place.with(|place| place.as_ref().and_then(|p| p.node.clone())));
    let tasks =
        move || place.with(|place| place.as_ref().map(|p| p.tasks.clone())).unwrap_or_default();
    let head = move || match node.get() {
        Some(node) => {
            let href = env.path(&format!("swarm/nodes/{}", node.id));
            let drained = node.availability != NodeAvailability::Active;
            let away = node.state != "ready";
            view! {
                <a class="map-name truncate" href=href title=node.hostname.clone()>{node.hostname.clone()}</a>
                <span class="row-wrap small muted">
                    {node_role(&node)}
                    {drained.then(|| view! { <StatePill state=node.availability /> })}
                    {away.then(|| view! { <Badge label=node.state.clone() tone=node_tone(&node.state) /> })}
                </span>
            }
            .into_any()
        }
        None => view! { <Badge label=words.unplaced tone=Tone::Warn /> }.into_any(),
    };
    let class = move || match node.get() {
        Some(node) if node.state != "ready" => "map-node map-away",
        Some(node) if node.availability != NodeAvailability::Active => "map-node map-drained",
        Some(_) => "map-node",
        None => "map-node map-unplaced",
    };
    view! {
        <section class=class>
            <header>{head} <span class="map-count nums">{move || tasks().len()}</span></header>
            <div class="marks">
                <For each=tasks key=|task| (task.id.clone(), task.state.clone()) let:task>
                    {mark(task, services, only, chosen)}
                </For>
            </div>
        </section>
    }
}

fn mark(
    task: SwarmTask,
    services: Memo<BTreeMap<String, (String, usize)>>,
    only: RwSignal<String>,
    chosen: RwSignal<String>,
) -> AnyView {
    let hue = services.with_untracked(|all| all.get(&task.service_id).map_or(0, |(_, hue)| *hue));
    let tone = task_tone(&task.state).name();
    let title = format!("{} · {}", task.name, engine_word(&task.state));
    let (service, id) = (task.service_id.clone(), task.id.clone());
    view! {
        <button type="button" tabindex="-1" class=format!("mark mark-{tone} hue-{hue}")
            class:mark-dim=move || only.with(|only| !only.is_empty() && *only != service)
            aria-pressed=move || chosen.with(|chosen| *chosen == id).to_string()
            data-task=task.id title=title.clone() aria-label=title>
            <span>{task.name}</span>
        </button>
    }
    .into_any()
}

/// The task that was clicked on.
#[component]
fn Chosen(env: Env, current: Memo<Vec<SwarmTask>>, chosen: RwSignal<String>) -> impl IntoView {
    let words = swarm();
    let task = Memo::new(move |_| {
        chosen.with(|id| current.with(|all| all.iter().find(|task| task.id == *id).cloned()))
    });
    let shown = move |task: SwarmTask| {
        let service = env.path(&format!("swarm/services/{}", task.service_id));
        let link = |tab: &'static str, label: &'static str, glyph: Glyph| {
            container_page(env, &task, tab)
                .map(|href| view! { <ButtonLink small=true icon=glyph href=href label=label /> })
        };
        let away = (task.host_id.is_none() && task.node_id.is_some()).then(|| {
            let node = task.node_hostname.clone().unwrap_or_default();
            view! { <p class="small muted">{fill(words.away, &[("node", &node)])}</p> }
        });
        let rows = vec![
            (t().common.state, state(&task)),
            (words.service, view! { <a href=service>{task.service_name.clone()}</a> }.into_any()),
            (
                words.node,
                task.node_hostname.clone().unwrap_or_else(|| words.unplaced.to_owned()).into_any(),
            ),
            (
                words.image,
                view! { <span class="mono break">{task.image.clone()}</span> }.into_any(),
            ),
            (words.when, view! { <TimeAgoOr at=task.at /> }.into_any()),
        ];
        view! {
            <aside class="map-chosen card" aria-live="polite">
                <div class="card-head">
                    <h2 class="truncate" title=task.name.clone()>{task.name.clone()}</h2>
                    <IconButton glyph=Glyph::Close small=true label=t().common.close on_click=move |_| chosen.set(String::new()) />
                </div>
                <div class="card-body stack">
                    {task.error.clone().map(|error| view! { <Notice tone=Tone::Bad>{error}</Notice> })}
                    <KeyValues rows=rows />
                    {away}
                    <div class="row-wrap">
                        {(task.state == "running").then(|| link("shell", words.shell, Glyph::Terminal))}
                        {link("logs", words.logs, Glyph::Audit)}
                    </div>
                </div>
            </aside>
        }
    };
    move || task.get().map(shown)
}

/// Arrow keys go from mark to mark: up and down within a node, left and right to its neighbours.
fn move_focus(event: KeyboardEvent) {
    let key = event.key();
    if !matches!(
        key.as_str(),
        "ArrowUp" | "ArrowDown" | "ArrowLeft" | "ArrowRight" | "Home" | "End"
    ) {
        return;
    }
    let Some(map) = event.current_target().and_then(|map| map.dyn_into::<web_sys::Element>().ok())
    else {
        return;
    };
    let columns = elements(&map, ".marks");
    let columns: Vec<_> = columns.iter().map(|column| elements(column, ".mark")).collect();
    let focused = document().active_element();
    let here = columns.iter().enumerate().find_map(|(x, marks)| {
        marks.iter().position(|mark| Some(mark) == focused.as_ref()).map(|y| (x, y))
    });
    let Some(next) = next_mark(&columns.iter().map(Vec::len).collect::<Vec<_>>(), here, &key)
    else {
        return;
    };
    event.prevent_default();
    if let Some(mark) = columns.get(next.0).and_then(|column| column.get(next.1)) {
        // Fails only for elements that cannot have the focus.
        let _ = mark.unchecked_ref::<web_sys::HtmlElement>().focus();
    }
}

fn elements(root: &web_sys::Element, css: &str) -> Vec<web_sys::Element> {
    let Ok(found) = root.query_selector_all(css) else { return Vec::new() };
    (0..found.length())
        .filter_map(|index| found.get(index).and_then(|node| node.dyn_into().ok()))
        .collect()
}

/// Column and place of the mark that a key leads to, by how many marks each column has.
fn next_mark(heights: &[usize], here: Option<(usize, usize)>, key: &str) -> Option<(usize, usize)> {
    let first = heights.iter().position(|height| *height > 0)?;
    let Some((x, y)) = here else { return Some((first, 0)) };
    let beside = |mut columns: Box<dyn Iterator<Item = usize> + '_>| {
        let x = columns.find(|x| heights[*x] > 0)?;
        Some((x, y.min(heights[x] - 1)))
    };
    match key {
        "ArrowUp" => y.checked_sub(1).map(|y| (x, y)),
        "ArrowDown" => (y + 1 < heights[x]).then_some((x, y + 1)),
        "ArrowLeft" => beside(Box::new((0..x).rev())),
        "ArrowRight" => beside(Box::new(x + 1..heights.len())),
        "Home" => Some((first, 0)),
        _ => heights.iter().rposition(|height| *height > 0).map(|x| (x, heights[x] - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrow_keys_skip_empty_nodes_and_stay_inside() {
        let heights = [0, 3, 0, 1];
        assert_eq!(next_mark(&heights, None, "ArrowDown"), Some((1, 0)));
        assert_eq!(next_mark(&heights, Some((1, 2)), "ArrowRight"), Some((3, 0)));
        assert_eq!(next_mark(&heights, Some((3, 0)), "ArrowLeft"), Some((1, 0)));
        assert_eq!(next_mark(&heights, Some((1, 0)), "ArrowLeft"), None);
        assert_eq!(next_mark(&heights, Some((1, 2)), "ArrowDown"), None);
        assert_eq!(next_mark(&heights, Some((1, 1)), "End"), Some((3, 0)));
        assert_eq!(next_mark(&[0], None, "ArrowDown"), None);
    }
}
