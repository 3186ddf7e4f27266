//! Tasks of a swarm, in a table.

use drover_api::{List, SwarmTask, Topic};
use leptos::prelude::*;

use super::states::{engine_word, task_tone};
use crate::{
    api,
    components::*,
    environment::Env,
    i18n::{fill, swarm, t},
    remote::Remote,
    states::Tone,
};

/// All tasks that the swarm has, newest first.
pub(super) fn all_tasks(env: Env) -> Remote<List<SwarmTask>> {
    Remote::new(move || async move {
        let path = env.api("swarm/tasks");
        let mut all: List<SwarmTask> = api::get(path.clone()).query("limit", 1000).json().await?;
        let mut next = all.next_cursor.take();
        while let Some(cursor) = next {
            let request = api::get(path.clone()).query("limit", 1000).query("cursor", cursor);
            let more: List<SwarmTask> = request.json().await?;
            all.items.extend(more.items);
            next = more.next_cursor;
        }
        Ok(all)
    })
    .live(&[Topic::SwarmService, Topic::Swarm], |_| true)
}

/// Whether the swarm still wants it, or it is the newest try.
pub(super) fn is_current(task: &SwarmTask) -> bool {
    task.current && task.desired_state != "remove"
}

/// The address of a task's container, with a tab of its page.
pub(super) fn container_page(env: Env, task: &SwarmTask, tab: &str) -> Option<String> {
    let (host, container) = (task.host_id?, task.container_id.as_ref()?);
    Some(env.path(&format!("containers/{host}/{container}?tab={tab}")))
}

/// A task's state, with what the swarm wants where that is something else.
pub(super) fn state(task: &SwarmTask) -> AnyView {
    let same = task.state == task.desired_state
        || matches!(
            (task.state.as_str(), task.desired_state.as_str()),
            ("complete" | "failed" | "rejected", _)
        );
    let title = match same {
        true => String::new(),
        false => fill(swarm().desired, &[("state", &engine_word(&task.desired_state))]),
    };
    view! { <Badge label=engine_word(&task.state) tone=task_tone(&task.state) title=title /> }
        .into_any()
}

/// The table: those that are wanted first, then those that have ended.
#[component]
pub(super) fn Tasks(
    env: Env,
    /// Newest first.
    #[prop(into)]
    tasks: Signal<Vec<SwarmTask>>,
    /// Shows on which node each one is.
    #[prop(default = true)]
    with_node: bool,
) -> impl IntoView {
    let words = swarm();
    let history = RwSignal::new(true);
    let sorted = Memo::new(move |_| {
        let mut all = tasks.get();
        if !history.get() {
            all.retain(is_current);
        }
        // Stable: within an instance the newest stays first.
        all.sort_by(|a, b| {
            (&a.service_name, a.slot, &a.node_hostname).cmp(&(
                &b.service_name,
                b.slot,
                &b.node_hostname,
            ))
        });
        all
    });
    let any = Memo::new(move |_| !tasks.with(Vec::is_empty));
    move || {
        if !any.get() {
            return view! { <p class="muted pad">{words.no_tasks}</p> }.into_any();
        }
        view! {
            <div class="pad"><Switch label=words.show_history checked=history /></div>
            <div class="scroll-x">
                <table class="plain">
                    <thead><tr>
                        <th>{words.task}</th>
                        <th>{t().common.state}</th>
                        {with_node.then(|| view! { <th>{words.node}</th> })}
                        <th>{words.image}</th>
                        <th>{words.when}</th>
                        <th></th>
                    </tr></thead>
                    <tbody>
                        <For each=move || sorted.get() key=|task| (task.id.clone(), task.state.clone(), task.current) let:task>
                            {row(env, task, with_node)}
                        </For>
                    </tbody>
                </table>
            </div>
        }
        .into_any()
    }
}

fn row(env: Env, task: SwarmTask, with_node: bool) -> AnyView {
    let words = swarm();
    let current = is_current(&task);
    let code = task.exit_code.filter(|code| *code != 0);
    let code = code.map(|code| fill(words.exit_code, &[("code", &code.to_string())]));
    let why = [task.error.clone(), code].into_iter().flatten().collect::<Vec<_>>().join(" · ");
    let link = |tab: &'static str, label: &'static str| {
        container_page(env, &task, tab)
            .map(|href| view! { <ButtonLink small=true href=href label=label /> })
    };
    let running = task.state == "running";
    let node = task.node_hostname.clone().unwrap_or_default();
    let node_page = task.node_id.clone().map(|id| env.path(&format!("swarm/nodes/{id}")));
    view! {
        <tr class=if current { "" } else { "ended" }>
            <td>
                <span class="two">
                    <span class=if current { "strong" } else { "" }>{task.name.clone()}</span>
                    <span class="mono">{task.id.chars().take(12).collect::<String>()}</span>
                </span>
            </td>
            <td>
                {state(&task)}
                {(!why.is_empty()).then(|| view! { <div class="small reason">{why}</div> })}
            </td>
            {with_node.then(|| view! {
                <td>{match node_page {
                    Some(href) => view! { <a href=href>{node}</a> }.into_any(),
                    None => view! { <Badge label=words.unplaced tone=Tone::Warn /> }.into_any(),
                }}</td>
            })}
            <td class="mono small break">{task.image.clone()}</td>
            <td class="tight"><TimeAgoOr at=task.at /></td>
            <td><span class="row">
                {running.then(|| link("shell", words.shell))}
                {link("logs", words.logs)}
            </span></td>
        </tr>
    }
    .into_any()
}
