//! A host's page: what it is, what is in use on it, and what is there.

use drover_api::{
    Host, HostFacts, HostMode, HostUsageHistory, Permission, PruneKind, RemovedHost, Topic,
    UpdateHost,
};
use leptos::{prelude::*, task::spawn_local};
use leptos_router::hooks::{use_navigate, use_params_map};

use super::{
    containers::container_table,
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
    i18n::{fill, t},
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
    let (now, prune, images, volumes, networks, events) =
        (path.clone(), path.clone(), path.clone(), path.clone(), path.clone(), path.clone());
    let tabs = vec![
        Tab::new(
            "overview",
            t().hosts.overview,
            move || view! { <Now path=now.clone() host=host /> },
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
fn Now(path: String, host: Remote<Host>) -> impl IntoView {
    let words = &t().engine;
    let history = History::<2>::new(400);
    spawn_local(async move {
        // Without it the charts begin empty.
        if let Ok(past) = api::get(format!("{path}/usage")).json::<HostUsageHistory>().await {
            for usage in past.items {
                history.push(usage.at.unix_ms() as f64, [usage.cpu, usage.memory as f64]);
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
            history.push(at, [usage.cpu, usage.memory as f64]);
        }
    });
    let chart = move |label: &'static str, line: usize, words: fn(f64) -> String| {
        let series = Signal::derive(move || vec![Series::new(label, history.line(line))]);
        view! { <Chart label=label series=series words=words binary=line == 1 height=150.0 /> }
    };
    view! {
        <Loaded remote=host lines=3 let:host>
            {move || {
                let host = host.get();
                match host.facts.clone() {
                    Some(known) => facts(&host, known),
                    None => view! { <Notice>{host.reason.unwrap_or_else(|| t().hosts.not_connected.to_owned())}</Notice> }.into_any(),
                }
            }}
        </Loaded>
        <div class="grid-2">
            <Card title=words.cpus>{chart(words.cpus, 0, format::cores)}</Card>
            <Card title=words.memory>{chart(words.memory, 1, format::bytes)}</Card>
        </div>
    }
}

fn facts(host: &Host, known: HostFacts) -> AnyView {
    let words = &t().engine;
    let usage = host.usage.clone();
    let cpu = usage.as_ref().map_or(0.0, |usage| usage.cpu);
    let memory = usage.as_ref().map_or(0.0, |usage| usage.memory as f64);
    let disk = usage.and_then(|usage| usage.disk);
    let labels: Vec<_> = host.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut rows = vec![
        (words.address, view! { <span class="mono break">{endpoint(host)}</span> }.into_any()),
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
        (words.last_contact, view! { <TimeAgoOr at=host.last_contact_at /> }.into_any()),
    ];
    if !labels.is_empty() {
        rows.push((t().common.labels, view! { <Tags labels=labels /> }.into_any()));
    }
    let warnings = (!known.warnings.is_empty()).then(|| {
        let lines = known.warnings.into_iter().map(|line| view! { <li>{line}</li> }).collect_view();
        view! {
            <Notice tone=Tone::Warn>
                <div class="strong">{t().hosts.warnings}</div>
                <ul class="small">{lines}</ul>
            </Notice>
        }
    });
    view! {
        {warnings}
        <div class="grid-2">
            <Card><KeyValues rows=rows /></Card>
            <Card>
                <Meter label=words.cpus used=cpu total=f64::from(known.cpus) words=format::cores />
                <Meter label=words.memory used=memory total=known.memory as f64 words=format::bytes />
                {disk.map(|disk| view! {
                    <div class="meter">
                        <span class="muted">{words.disk}</span>
                        <span class="nums">{format::bytes(disk as f64)}</span>
                    </div>
                })}
            </Card>
        </div>
    }
    .into_any()
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
    if now.mode != HostMode::Active {
        let path = path.to_owned();
        items.push(MenuItem::action(Glyph::Play, words.activate, move || {
            let path = path.clone();
            spawn_local(async move {
                if let Err(error) = set(path, HostMode::Active).await {
                    use_toasts().error(&error);
                }
            });
        }));
    }
    let asks = [
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
