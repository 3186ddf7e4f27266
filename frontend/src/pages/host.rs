//! A host's page: what it is, what is in use on it, and what is there.

use drover_api::{
    Host, HostFacts, HostMode, HostUsage, HostUsageHistory, Permission, PruneKind, RemovedHost,
    Topic, UpdateHost,
};
use leptos::{prelude::*, task::spawn_local};
use leptos_router::hooks::{use_navigate, use_params_map};

use super::{
    containers::container_table,
    host_agent::{AgentCard, clone_warning},
    host_docker::DockerCli,
    host_events::HostEvents,
    host_form::HostForm,
    host_resources::{Images, Networks, Prune, Volumes},
    hosts::endpoint,
};
use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    format,
    i18n::{fill, machines, plural, t},
    icons::{Glyph, Icon},
    remote::Remote,
    states::Tone,
};

/// A host's page.
#[component]
pub fn HostPage() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let id = use_params_map().with_untracked(|params| params.get("host_id").unwrap_or_default());
    let path = env.api(&format!("hosts/{id}"));
    let host = {
        let (path, id) = (path.clone(), id.clone());
        Remote::new(move || api::get(path.clone()).json::<Host>())
            .live(&[Topic::Host], move |event| event.id == id)
    };
    let there = Memo::new(move |_| host.with(|host| host.is_some()));
    let editing = RwSignal::new(false);
    let navigate = StoredValue::new_local(use_navigate());
    let actions = {
        let path = path.clone();
        move || {
            let path = path.clone();
            (there.get() && env.may(Permission::ManageHosts)).then(|| {
                view! {
                    <Menu label=t().common.actions class="btn btn-secondary" items=move || host_actions(env, &path, host, editing, navigate)>
                        {t().common.actions} <Icon glyph=Glyph::ChevronDown size=14 />
                    </Menu>
                }
            })
        }
    };
    let [now, prune, images, volumes, networks, events, docker] = [(); 7].map(|()| path.clone());
    let tabs = vec![
        Tab::new(
            "overview",
            t().hosts.overview,
            move || view! { <Now env=env path=now.clone() host=host editing=editing /> },
        ),
        Tab::new("containers", words.containers, move || {
            let id = id.clone();
            let table = container_table(env, move || vec![("host_id", id.clone())]).inner();
            let prune = prune.clone();
            view! {
                <Table
                    spec=table
                    label=words.containers
                    filters=move || view! {
                        <Prune env=env path=prune.clone() kind=PruneKind::Containers label=t().hosts.prune_containers done=|()| () />
                    }
                />
            }
        }),
        Tab::new("images", words.images, move || view! { <Images env=env path=images.clone() /> }),
        Tab::new(
            "volumes",
            words.volumes,
            move || view! { <Volumes env=env path=volumes.clone() /> },
        ),
        Tab::new(
            "networks",
            words.networks,
            move || view! { <Networks env=env path=networks.clone() /> },
        ),
        Tab::new(
            "events",
            words.events,
            move || view! { <HostEvents env=env path=events.clone() /> },
        ),
        Tab::new(
            "docker",
            machines().docker_cli,
            move || view! { <DockerCli path=docker.clone() /> },
        ),
    ];
    view! {
        <Page
            title=Signal::derive(move || host.with(|host| host.map(|host| host.name.clone()).unwrap_or_default()))
            crumbs=vec![(env.path("hosts"), words.hosts.to_owned())]
            sub=Signal::derive(move || host.with(|host| host.and_then(|host| host.reason.clone())))
            badge=move || host.get().map(|host| view! { <StatePill state=host.state /> })
            actions=actions
        >
            <Found remote=host><Tabs label=words.host tabs=tabs.clone() /></Found>
            <Dialog open=editing title=words.edit_host wide=true>
                {move || host.look(|host| host.cloned()).map(|now| view! {
                    <HostForm env=env host=Some(now) open=editing done=move |()| host.reload() />
                })}
            </Dialog>
        </Page>
    }
}

/// What the host is and what is in use on it.
#[component]
fn Now(env: Env, path: String, host: Remote<Host>, editing: RwSignal<bool>) -> impl IntoView {
    let history = History::<9>::new(400);
    let usage_path = format!("{path}/usage");
    spawn_local(async move {
        // Without it the charts begin empty.
        if let Ok(past) = api::get(usage_path).json::<HostUsageHistory>().await {
            for usage in past.items {
                history.push(usage.at.unix_ms() as f64, figures(&usage));
            }
        }
    });
    let last = StoredValue::new(0.0);
    Effect::new(move || {
        let Some(usage) = host.with(|host| host.and_then(|host| host.usage.clone())) else {
            return;
        };
        let at = usage.at.unix_ms() as f64;
        if at > last.get_value() {
            last.set_value(at);
            history.push(at, figures(&usage));
        }
    });
    let by_agent =
        Memo::new(move |_| host.with(|host| host.is_some_and(|host| host.agent.is_some())));
    // Without what changes every few seconds: what is shown of the rest stays, with its buttons.
    let still = Memo::new(move |_| {
        host.get().map(|host| Host { usage: None, last_contact_at: None, version: 0, ..host })
    });
    let agent =
        Memo::new(move |_| still.with(|host| host.as_ref().and_then(|host| host.agent.clone())));
    let agent_card = move || {
        agent
            .get()
            .map(|agent| view! { <AgentCard env=env path=path.clone() host=host agent=agent /> })
    };
    let known = move || {
        still.get().map(|now| match now.facts.clone() {
            Some(known) => facts(env, &now, known, host, editing),
            None => {
                let why = now.reason.unwrap_or_else(|| t().hosts.not_connected.to_owned());
                view! { <Notice>{why}</Notice> }.into_any()
            }
        })
    };
    view! {
        <Loaded remote=host lines=3 let:_host>
            {move || still.get().and_then(|now| standing(&now))}
            {move || agent.with(|agent| agent.as_ref().and_then(clone_warning))}
            {move || still.with(|now| now.as_ref().and_then(|now| warnings(now.facts.as_ref()?)))}
            <div class="grid-2">
                {known}
                <div class="stack">{move || host.get().and_then(|now| meters(&now))} {agent_card.clone()}</div>
            </div>
        </Loaded>
        {move || charts(history, by_agent.get())}
    }
}

/// CPU and memory of containers; of the machine: CPU, memory, disk, received, sent, load.
fn figures(usage: &HostUsage) -> [f64; 9] {
    let [mut cpu, mut memory, mut disk, mut received, mut sent] = [0.0; 5];
    let mut load = [0.0; 2];
    if let Some(machine) = &usage.machine {
        (cpu, memory, disk) = (machine.cpu, machine.memory as f64, machine.disk as f64);
        (received, sent) = (machine.received, machine.sent);
        load = [machine.load[0], machine.load[2]];
    }
    [usage.cpu, usage.memory as f64, cpu, memory, disk, received, sent, load[0], load[1]]
}

/// Which lines a chart has.
type Lines = &'static [(fn() -> &'static str, usize)];

const CPU: Lines = &[(|| machines().machine, 2), (|| machines().of_containers, 0)];
const MEMORY: Lines = &[(|| machines().machine, 3), (|| machines().of_containers, 1)];
const NETWORK: Lines = &[(|| t().engine.received, 5), (|| t().engine.sent, 6)];
const LOAD: Lines = &[(|| machines().load_1, 7), (|| machines().load_15, 8)];

fn charts(history: History<9>, by_agent: bool) -> AnyView {
    let words = &t().engine;
    let chart = move |title: &'static str, lines: Lines, put: fn(f64) -> String, binary: bool| {
        let series = Signal::derive(move || {
            lines.iter().map(|(name, line)| Series::new(name(), history.line(*line))).collect()
        });
        view! {
            <Card title=title>
                <Chart label=title series=series words=put binary=binary height=150.0 />
            </Card>
        }
        .into_any()
    };
    let figure: fn(f64) -> String = |value| format!("{value:.2}");
    if !by_agent {
        return view! {
            <div class="grid-2">
                {chart(words.cpus, &[(|| t().engine.cpus, 0)], format::cores, false)}
                {chart(words.memory, &[(|| t().engine.memory, 1)], format::bytes, true)}
            </div>
        }
        .into_any();
    }
    view! {
        <div class="grid-2">
            {chart(words.cpus, CPU, format::cores, false)}
            {chart(words.memory, MEMORY, format::bytes, true)}
            {chart(machines().network, NETWORK, format::rate, true)}
            {chart(machines().load, LOAD, figure, false)}
        </div>
    }
    .into_any()
}

/// Where it stands, where that is not simply active.
fn standing(host: &Host) -> Option<AnyView> {
    let words = machines();
    let left = host.containers.running + host.containers.paused;
    let (tone, text) = match host.mode {
        HostMode::Active => return None,
        HostMode::Inactive => (Tone::Info, words.is_inactive.to_owned()),
        HostMode::Draining if left == 0 => (Tone::Ok, words.drained.to_owned()),
        HostMode::Draining => (Tone::Warn, plural(left.into(), words.draining)),
    };
    Some(view! { <Notice tone=tone>{text}</Notice> }.into_any())
}

fn facts(
    env: Env,
    host: &Host,
    known: HostFacts,
    live: Remote<Host>,
    editing: RwSignal<bool>,
) -> AnyView {
    let words = &t().engine;
    let labels: Vec<_> = host.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let labels = match labels.is_empty() {
        true => view! { <span class="faint">{machines().no_labels}</span> }.into_any(),
        false => view! { <Tags labels=labels /> }.into_any(),
    };
    let edit = env.may(Permission::ManageHosts).then(|| {
        view! { <IconButton glyph=Glyph::Edit small=true label=machines().edit_labels on_click=move |_| editing.set(true) /> }
    });
    let contact = move || {
        let at = live.with(|host| host.and_then(|host| host.last_contact_at));
        view! { <TimeAgoOr at=at /> }
    };
    let mut rows = vec![
        (
            words.engine,
            format!("Docker {} (API {})", known.engine_version, known.api_version).into_any(),
        ),
        (
            words.system,
            format!("{} · {} · {}", known.operating_system, known.kernel, known.architecture)
                .into_any(),
        ),
        (t().hosts.storage, known.storage_driver.into_any()),
        (
            t().hosts.data_root,
            view! { <span class="mono break">{known.data_root}</span> }.into_any(),
        ),
        (words.last_contact, contact.into_any()),
        (t().common.labels, view! { <span class="row-wrap">{labels} {edit}</span> }.into_any()),
    ];
    // From where an agent comes is said with it.
    if host.agent.is_none() {
        let address = endpoint(host);
        rows.insert(
            0,
            (words.address, view! { <span class="mono break">{address}</span> }.into_any()),
        );
    }
    view! { <Card><KeyValues rows=rows /></Card> }.into_any()
}

/// What the engine warns of.
fn warnings(known: &HostFacts) -> Option<AnyView> {
    if known.warnings.is_empty() {
        return None;
    }
    let lines = known.warnings.iter().cloned();
    let lines = lines.map(|line| view! { <li>{line}</li> }).collect_view();
    Some(
        view! {
            <Notice tone=Tone::Warn>
                <div class="strong">{t().hosts.warnings}</div>
                <ul class="small">{lines}</ul>
            </Notice>
        }
        .into_any(),
    )
}

/// What is in use, of what there is.
fn meters(host: &Host) -> Option<AnyView> {
    let words = &t().engine;
    let known = host.facts.as_ref()?;
    let (cpus, memory_total) = (f64::from(known.cpus), known.memory as f64);
    let (cpu, memory) = super::hosts::in_use(host).unwrap_or_default();
    let usage = host.usage.as_ref();
    let disk = match usage.and_then(|usage| usage.machine.as_ref()) {
        Some(machine) => view! {
            <Meter label=machines().disk used=machine.disk as f64 total=machine.disk_total as f64 words=format::bytes />
        }
        .into_any(),
        None => usage
            .and_then(|usage| usage.disk)
            .map(|disk| view! {
                <div class="meter">
                    <span class="muted">{words.disk}</span>
                    <span class="nums">{format::bytes(disk as f64)}</span>
                </div>
            })
            .into_any(),
    };
    Some(
        view! {
            <Card>
                <Meter label=words.cpus used=cpu total=cpus words=format::cores />
                <Meter label=words.memory used=memory total=memory_total words=format::bytes />
                {disk}
            </Card>
        }
        .into_any(),
    )
}

fn host_actions(
    env: Env,
    path: &str,
    host: Remote<Host>,
    editing: RwSignal<bool>,
    navigate: StoredValue<
        impl Fn(&str, leptos_router::NavigateOptions) + Clone + 'static,
        LocalStorage,
    >,
) -> Vec<MenuItem> {
    let words = &t().engine;
    let Some(now) = untrack(|| host.get()) else { return Vec::new() };
    let set = move |path: String, mode: HostMode| async move {
        let input = UpdateHost { mode: Some(mode), ..UpdateHost::default() };
        api::patch(path, &input).done().await?;
        host.reload();
        Ok(())
    };
    let mut items = vec![MenuItem::action(Glyph::Edit, words.edit_host, move || editing.set(true))];
    let asks = [
        (
            now.mode != HostMode::Active,
            Glyph::Play,
            words.activate,
            machines().activate_title,
            machines().activate_text,
            HostMode::Active,
        ),
        (
            now.mode == HostMode::Active,
            Glyph::Drain,
            words.drain,
            t().hosts.drain_title,
            words.drain_text,
            HostMode::Draining,
        ),
        (
            now.mode != HostMode::Inactive,
            Glyph::Stop,
            words.deactivate,
            t().hosts.deactivate_title,
            t().hosts.deactivate_text,
            HostMode::Inactive,
        ),
    ];
    for (offered, glyph, label, title, text, mode) in asks {
        let (path, title) = (path.to_owned(), fill(title, &[("name", &now.name)]));
        if offered {
            items.push(MenuItem::action(glyph, label, move || {
                let path = path.clone();
                Confirm::new(title.clone(), text)
                    .harmless()
                    .ask(label, move || set(path.clone(), mode));
            }));
        }
    }
    let (path, name) = (path.to_owned(), now.name);
    items.push(MenuItem::danger(Glyph::Trash, words.remove_host, move || {
        let path = path.clone();
        Confirm::new(words.remove_host, words.remove_host_text)
            .names(vec![name.clone()])
            .type_name(&name)
            .ask(t().common.remove, move || {
                let path = path.clone();
                async move {
                    let left: RemovedHost = api::delete(path).query("force", true).json().await?;
                    if !left.remaining_containers.is_empty() {
                        let names = left.remaining_containers.join(", ");
                        use_toasts().success(fill(t().hosts.remains, &[("names", &names)]));
                    }
                    navigate.with_value(|go| go(&env.path("hosts"), Default::default()));
                    Ok(())
                }
            });
    }));
    items
}
