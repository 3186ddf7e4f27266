//! A container's page.

use drover_api::{Container, ContainerDetail, ContainerState, Permission, Topic};
use leptos::prelude::*;
use leptos_router::hooks::{use_navigate, use_params_map};

use super::{
    container_charts::Charts,
    container_details::{Inspect, Processes},
    container_logs::Logs,
    container_shell::Shell,
    containers::container_actions,
    host_events::HostEvents,
};
use crate::{
    api,
    components::*,
    environment::use_env,
    i18n::t,
    icons::{Glyph, Icon},
    remote::Remote,
    states::Tone,
};

/// A container's page.
#[component]
pub fn ContainerPage() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let params = use_params_map();
    let part = |name: &str| params.with_untracked(|params| params.get(name).unwrap_or_default());
    let (host, id) = (part("host_id"), part("container_id"));
    let path = env.api(&format!("hosts/{host}/containers/{id}"));
    let detail = {
        let (path, mine) = (path.clone(), id.clone());
        Remote::new(move || api::get(path.clone()).json::<ContainerDetail>())
            .live(&[Topic::Container], move |event| event.id == mine)
    };
    let host_path = env.api(&format!("hosts/{host}"));
    let running = Signal::derive(move || {
        detail.with(|detail| {
            detail.is_some_and(|detail| detail.container.state == ContainerState::Running)
        })
    });
    let name = Signal::derive(move || {
        detail.with(|detail| detail.map(|detail| detail.container.name.clone()).unwrap_or_default())
    });
    let navigate = use_navigate();
    let gone = Callback::new(move |()| match untrack(|| detail.get()) {
        Some(_) => detail.reload(),
        None => navigate(&env.path("containers"), Default::default()),
    });
    let badge = move || {
        detail.get().map(|detail| {
            let health = detail.container.health.map(|health| view! { <StatePill state=health /> });
            let foreign =
                (!detail.container.managed).then(|| view! { <Badge label=words.unmanaged /> });
            view! { <StatePill state=detail.container.state /> {health} {foreign} }
        })
    };
    let there = Memo::new(move |_| detail.with(|detail| detail.is_some()));
    let actions = move || {
        (there.get() && env.may(Permission::Deploy)).then(|| view! {
            <Menu
                label=t().common.actions
                class="btn btn-secondary"
                items=move || detail.get().map(|detail| container_actions(env, &detail.container, gone)).unwrap_or_default()
            >
                {t().common.actions} <Icon glyph=Glyph::ChevronDown size=14 />
            </Menu>
        })
    };
    let (logs, shell, stats, processes) = (path.clone(), path.clone(), path.clone(), path);
    let tabs = vec![
        Tab::new(
            "logs",
            words.logs,
            move || view! { <Logs path=logs.clone() name=name running=running /> },
        ),
        Tab::new("shell", words.shell, move || view! { <Shell env=env path=shell.clone() /> }),
        Tab::new("stats", words.stats, move || view! { <Charts path=stats.clone() /> }),
        Tab::new(
            "processes",
            words.processes,
            move || view! { <Processes path=processes.clone() /> },
        ),
        Tab::new("events", words.events, move || {
            view! { <HostEvents env=env path=host_path.clone() container=id.clone() /> }
        }),
        Tab::new("inspect", words.inspect, move || view! { <Inspect detail=detail env=env /> }),
    ];
    view! {
        <Page
            title=name
            crumbs=vec![(env.path("containers"), words.containers.to_owned())]
            sub=Signal::derive(move || detail.with(|detail| detail.map(subtitle)))
            badge=badge
            actions=actions
        >
            {move || detail.get().and_then(why)}
            <Found remote=detail><Tabs label=words.containers tabs=tabs.clone() /></Found>
        </Page>
    }
}

fn subtitle(detail: &ContainerDetail) -> String {
    let Container { image, host_name, .. } = &detail.container;
    format!("{image} · {host_name}")
}

/// Why it does not run, where the engine says so.
fn why(detail: ContainerDetail) -> Option<AnyView> {
    if detail.container.state == ContainerState::Running {
        return None;
    }
    let memory = detail.oom_killed.then(|| t().containers.out_of_memory.to_owned());
    let text = memory.or(detail.error).filter(|text| !text.is_empty())?;
    Some(view! { <Notice tone=Tone::Bad>{text}</Notice> }.into_any())
}
