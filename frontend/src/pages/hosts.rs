//! Hosts: the list, adding one, and a host's page.

use drover_api::{
    ConnectionTest, CreateHost, Endpoint, Host, HostMode, Image, List, Network, Permission,
    PruneKind, PrunePreview, PruneRequest, TlsCredentials, Topic, UpdateHost, Volume,
};
use leptos::{prelude::*, task::spawn_local};
use leptos_router::hooks::{use_navigate, use_params_map};

use super::containers::container_table;
use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    format,
    i18n::t,
    icons::Glyph,
    remote::Remote,
    states::Tone,
};

fn endpoint(host: &Host) -> String {
    match &host.endpoint {
        Endpoint::Socket { path } => path.clone(),
        Endpoint::Tcp { address } => address.clone(),
    }
}

/// An environment's hosts.
#[component]
pub fn Hosts() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let adding = RwSignal::new(false);
    let reload = Trigger::new();
    let add = move || {
        env.may(Permission::ManageHosts).then(|| {
            view! { <Button look=Look::Primary icon=Glyph::Plus label=words.add_host on_click=move |_| adding.set(true) /> }
        })
    };
    let table = TableSpec::new(
        move |ask| ask.get(env.api("hosts")),
        |host: &Host| host.id.to_string(),
    )
    .column(
        Column::new("name", t().common.name, |host: &Host| {
            view! {
                <span class="two">
                    <span class="strong truncate" title=host.name.clone()>{host.name.clone()}</span>
                    <span class="truncate mono">{endpoint(host)}</span>
                </span>
            }
        })
        .sort()
        .grow(2),
    )
    .column(
        Column::new("state", t().common.state, |host: &Host| {
            let reason = host.reason.clone();
            view! {
                <span class="two">
                    <span><StatePill state=host.state title=reason.clone().unwrap_or_default() /></span>
                    {reason.map(|reason| view! { <span class="truncate" title=reason.clone()>{reason.clone()}</span> })}
                </span>
            }
        })
        .sort()
        .grow(2),
    )
    .column(
        Column::new("containers", words.containers, |host: &Host| {
            format!("{}", host.containers.running + host.containers.paused)
        })
        .end()
        .width(6.0),
    )
    .column(
        Column::new("cpu", words.cpus, |host: &Host| {
            let total = host.facts.as_ref().map_or(0, |facts| facts.cpus);
            let used = host.usage.as_ref().map_or(0.0, |usage| usage.cpu);
            format!("{} / {total}", format::cores(used))
        })
        .width(9.0),
    )
    .column(
        Column::new("memory", words.memory, |host: &Host| {
            let total = host.facts.as_ref().map_or(0, |facts| facts.memory);
            let used = host.usage.as_ref().map_or(0, |usage| usage.memory);
            format!("{} / {}", format::bytes(used as f64), format::bytes(total as f64))
        })
        .width(12.0),
    )
    .column(
        Column::new("engine", words.engine, |host: &Host| {
            host.facts.as_ref().map(|facts| facts.engine_version.clone())
        })
        .width(8.0),
    )
    .name(|host| host.name.clone())
    .link(move |host| env.path(&format!("hosts/{}", host.id)))
    .sorted("name")
    .live(&[Topic::Host])
    .empty(move || {
        view! {
            <Empty glyph=Glyph::Host title=words.no_hosts text=words.no_hosts_text>
                {add}
            </Empty>
        }
    })
    .reload_on(reload);
    view! {
        <Page title=words.hosts sub=words.hosts_text actions=add>
            <Table spec=table label=words.hosts />
            <Dialog open=adding title=words.add_host wide=true>
                <AddHost env=env open=adding reload=reload />
            </Dialog>
        </Page>
    }
}

#[component]
fn AddHost(env: Env, open: RwSignal<bool>, reload: Trigger) -> impl IntoView {
    let words = &t().engine;
    let form = Form::new();
    let name = RwSignal::new(String::new());
    let kind = RwSignal::new("tcp".to_owned());
    let socket = RwSignal::new("/var/run/docker.sock".to_owned());
    let address = RwSignal::new(String::new());
    let (ca, certificate, key) =
        (RwSignal::new(String::new()), RwSignal::new(String::new()), RwSignal::new(String::new()));
    let tested = RwSignal::new(None::<ConnectionTest>);
    let testing = RwSignal::new(false);
    let input = move || {
        let tcp = kind.get_untracked() == "tcp";
        CreateHost {
            name: name.get_untracked(),
            labels: Default::default(),
            endpoint: if tcp {
                Endpoint::Tcp { address: address.get_untracked() }
            } else {
                Endpoint::Socket { path: socket.get_untracked() }
            },
            tls: tcp.then(|| TlsCredentials {
                ca: ca.get_untracked(),
                certificate: certificate.get_untracked(),
                key: key.get_untracked(),
            }),
        }
    };
    let test = move |_| {
        testing.set(true);
        tested.set(None);
        let mut input = input();
        if input.name.is_empty() {
            input.name = "test".into();
        }
        spawn_local(async move {
            match api::post(env.api("hosts/test"), &input).json::<ConnectionTest>().await {
                Ok(result) => tested.set(Some(result)),
                Err(error) => use_toasts().error(&error),
            }
            testing.set(false);
        });
    };
    let submit = move |()| {
        let input = input();
        form.submit(
            move || async move { api::post(env.api("hosts"), &input).done().await },
            move |()| {
                open.set(false);
                reload.notify();
            },
        );
    };
    let kinds = vec![
        ("tcp".to_owned(), words.by_tcp.to_owned(), words.by_tcp_text.to_owned()),
        ("socket".to_owned(), words.by_socket.to_owned(), words.by_socket_text.to_owned()),
    ];
    view! {
        <FormView form=form on_submit=submit>
            <TextField label=t().common.name value=name form=form name="name" />
            <Choices label=words.reached_by value=kind options=kinds />
            {move || if kind.get() == "tcp" {
                view! {
                    <TextField label=words.address value=address form=form name="endpoint.address" help=words.address_help />
                    <TextArea label=words.ca value=ca form=form name="tls.ca" />
                    <TextArea label=words.certificate value=certificate form=form name="tls.certificate" />
                    <TextArea label=words.key value=key form=form name="tls.key" />
                }.into_any()
            } else {
                view! { <TextField label=words.socket_path value=socket form=form name="endpoint.path" /> }.into_any()
            }}
            {move || tested.get().map(|result| {
                let tone = if result.ok { Tone::Ok } else { Tone::Bad };
                let steps = result.steps.into_iter().map(|step| view! { <li><span class="strong">{step.name}</span> " " {step.message}</li> }).collect_view();
                view! { <Notice tone=tone><ul class="steps">{steps}</ul></Notice> }
            })}
            <div class="row">
                <Button label=words.test icon=Glyph::Bolt disabled=testing on_click=test />
            </div>
            <FormActions form=form label=words.add_host on_cancel=move |()| open.set(false) />
        </FormView>
    }
}

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
    let navigate = StoredValue::new_local(use_navigate());
    let actions = {
        let path = path.clone();
        move || {
            let path = path.clone();
            env.may(Permission::ManageHosts).then(|| {
                view! {
                    <Menu label=t().common.actions class="btn btn-secondary" items=move || host_actions(env, &path, host, navigate)>
                        {t().common.actions}
                    </Menu>
                }
            })
        }
    };
    let (images, volumes, networks) = (path.clone(), path.clone(), path.clone());
    let tabs = vec![
        Tab::new("containers", words.containers, move || {
            let id = id.clone();
            let table = container_table(env, move || vec![("host_id", id.clone())]).inner();
            view! { <Table spec=table label=words.containers /> }
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
    ];
    view! {
        <Page
            title=Signal::derive(move || host.with(|host| host.map(|host| host.name.clone()).unwrap_or_default()))
            crumbs=vec![(env.path("hosts"), words.hosts.to_owned())]
            sub=Signal::derive(move || host.with(|host| host.and_then(|host| host.reason.clone())))
            badge=move || host.get().map(|host| view! { <StatePill state=host.state /> })
            actions=actions
        >
            <Loaded remote=host lines=3 let:host>{move || facts(&host.get())}</Loaded>
            <Tabs label=words.host tabs=tabs />
        </Page>
    }
}

fn facts(host: &Host) -> AnyView {
    let words = &t().engine;
    let Some(known) = host.facts.clone() else {
        let reason = host.reason.clone().unwrap_or_default();
        return view! { <Notice>{reason}</Notice> }.into_any();
    };
    let usage = host.usage.clone();
    let cpu = usage.as_ref().map_or(0.0, |usage| usage.cpu);
    let memory = usage.as_ref().map_or(0.0, |usage| usage.memory as f64);
    let disk = usage.and_then(|usage| usage.disk);
    let rows = vec![
        (words.engine, format!("Docker {} (API {})", known.engine_version, known.api_version).into_any()),
        (words.system, format!("{} · {} · {}", known.operating_system, known.kernel, known.architecture).into_any()),
        (words.disk, disk.map(|disk| format::bytes(disk as f64)).into_any()),
        (words.last_contact, view! { <TimeAgoOr at=host.last_contact_at /> }.into_any()),
        (t().common.labels, view! { <Tags labels=host.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect() /> }.into_any()),
    ];
    view! {
        <div class="grid grid-2">
            <Card><KeyValues rows=rows /></Card>
            <Card>
                <Meter label=words.cpus used=cpu total=f64::from(known.cpus) words=format::cores />
                <Meter label=words.memory used=memory total=known.memory as f64 words=format::bytes />
            </Card>
        </div>
    }
    .into_any()
}

fn host_actions(
    env: Env,
    path: &str,
    host: Remote<Host>,
    navigate: StoredValue<
        impl Fn(&str, leptos_router::NavigateOptions) + Clone + 'static,
        LocalStorage,
    >,
) -> Vec<MenuItem> {
    let words = &t().engine;
    let Some(now) = untrack(|| host.get()) else { return Vec::new() };
    let set = |glyph, label: &'static str, mode: HostMode| {
        let path = path.to_owned();
        MenuItem::action(glyph, label, move || {
            let path = path.clone();
            spawn_local(async move {
                let input = UpdateHost { mode: Some(mode), ..UpdateHost::default() };
                match api::patch(path, &input).done().await {
                    Ok(()) => host.reload(),
                    Err(error) => use_toasts().error(&error),
                }
            });
        })
    };
    let mut items = Vec::new();
    if now.mode != HostMode::Active {
        items.push(set(Glyph::Play, words.activate, HostMode::Active));
    }
    if now.mode == HostMode::Active {
        items.push(set(Glyph::Drain, words.drain, HostMode::Draining));
    }
    if now.mode != HostMode::Inactive {
        items.push(set(Glyph::Stop, words.deactivate, HostMode::Inactive));
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
                    api::delete(path).query("force", true).done().await?;
                    navigate.with_value(|go| go(&env.path("hosts"), Default::default()));
                    Ok(())
                }
            });
    }));
    items
}

/// The button that prunes, with what would go shown first.
#[component]
fn Prune(env: Env, path: String, kind: PruneKind, done: Callback<()>) -> impl IntoView {
    let words = &t().engine;
    if !env.may(Permission::Deploy) {
        return ().into_any();
    }
    let start = move |_| {
        let path = format!("{path}/prune");
        spawn_local(async move {
            let name = serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned));
            let preview = api::get(path.clone()).query("kind", name.unwrap_or_default());
            match preview.json::<PrunePreview>().await {
                Ok(preview) if preview.items.is_empty() => {
                    use_toasts().success(words.prune_nothing)
                }
                Ok(preview) => {
                    let ids: Vec<String> =
                        preview.items.iter().map(|item| item.id.clone()).collect();
                    let names = preview.items.into_iter().map(|item| item.name).collect();
                    Confirm::new(words.prune, words.prune_text).names(names).ask(
                        t().common.remove,
                        move || {
                            let (path, ids) = (path.clone(), ids.clone());
                            async move {
                                api::post(path, &PruneRequest { kind, ids }).done().await?;
                                done.run(());
                                Ok(())
                            }
                        },
                    );
                }
                Err(error) => use_toasts().error(&error),
            }
        });
    };
    view! { <Button label=words.prune icon=Glyph::Trash on_click=start /> }.into_any()
}

fn remove_item(path: String, name: String, done: Callback<()>) -> MenuItem {
    MenuItem::danger(Glyph::Trash, t().common.remove, move || {
        let path = path.clone();
        Confirm::new(t().common.remove, t().common.goes_for_good).names(vec![name.clone()]).ask(
            t().common.remove,
            move || {
                let path = path.clone();
                async move {
                    api::delete(path).done().await?;
                    done.run(());
                    Ok(())
                }
            },
        );
    })
}

#[component]
fn Images(env: Env, path: String) -> impl IntoView {
    let words = &t().engine;
    let list = {
        let path = path.clone();
        Remote::new(move || {
            api::get(format!("{path}/images")).query("limit", 1000).json::<List<Image>>()
        })
        .live(&[Topic::HostResources], |_| true)
    };
    let done = Callback::new(move |()| list.reload());
    let row_path = StoredValue::new(path.clone());
    let row = move |image: Image| {
        let name =
            image.tags.first().cloned().unwrap_or_else(|| image.id.chars().take(19).collect());
        let remove = format!("{}/images/{}", row_path.get_value(), api::encode(&image.id));
        let shown = name.clone();
        view! {
            <tr>
                <td class="mono">{image.tags.join(", ")} {image.tags.is_empty().then(|| view! { <span class="faint">{name.clone()}</span> })}</td>
                <td class="nums">{format::bytes(image.size as f64)}</td>
                <td class="nums">{image.containers}</td>
                <td><TimeAgo at=image.created_at /></td>
                <td>{env.may(Permission::Deploy).then(|| view! { <RowMenu items=move || vec![remove_item(remove.clone(), shown.clone(), done)] /> })}</td>
            </tr>
        }
    };
    view! {
        <div class="toolbar"><Prune env=env path=path kind=PruneKind::UnusedImages done=done /></div>
        <Loaded remote=list let:list>
            <Card flush=true><div class="scroll-x"><table class="plain">
                <thead><tr><th>{words.image}</th><th>{words.size}</th><th>{words.containers}</th><th>{t().common.created}</th><th></th></tr></thead>
                <tbody>{move || list.get().items.into_iter().map(row).collect_view()}</tbody>
            </table></div></Card>
        </Loaded>
    }
}

#[component]
fn Volumes(env: Env, path: String) -> impl IntoView {
    let words = &t().engine;
    let list = {
        let path = path.clone();
        Remote::new(move || {
            api::get(format!("{path}/volumes")).query("limit", 1000).json::<List<Volume>>()
        })
        .live(&[Topic::HostResources], |_| true)
    };
    let done = Callback::new(move |()| list.reload());
    let row_path = StoredValue::new(path.clone());
    let row = move |volume: Volume| {
        let remove = format!("{}/volumes/{}", row_path.get_value(), api::encode(&volume.name));
        let name = volume.name.clone();
        view! {
            <tr>
                <td class="mono">{volume.name}</td>
                <td>{volume.driver}</td>
                <td class="nums">{volume.size.map(|size| format::bytes(size as f64))}</td>
                <td>{volume.used_by.join(", ")}</td>
                <td>{env.may(Permission::Deploy).then(|| view! { <RowMenu items=move || vec![remove_item(remove.clone(), name.clone(), done)] /> })}</td>
            </tr>
        }
    };
    view! {
        <div class="toolbar"><Prune env=env path=path kind=PruneKind::Volumes done=done /></div>
        <Loaded remote=list let:list>
            <Card flush=true><div class="scroll-x"><table class="plain">
                <thead><tr><th>{t().common.name}</th><th>{words.driver}</th><th>{words.size}</th><th>{words.used_by}</th><th></th></tr></thead>
                <tbody>{move || list.get().items.into_iter().map(row).collect_view()}</tbody>
            </table></div></Card>
        </Loaded>
    }
}

#[component]
fn Networks(env: Env, path: String) -> impl IntoView {
    let words = &t().engine;
    let list = {
        let path = path.clone();
        Remote::new(move || {
            api::get(format!("{path}/networks")).query("limit", 1000).json::<List<Network>>()
        })
        .live(&[Topic::HostResources], |_| true)
    };
    let done = Callback::new(move |()| list.reload());
    let row_path = StoredValue::new(path.clone());
    let row = move |network: Network| {
        let remove = format!("{}/networks/{}", row_path.get_value(), api::encode(&network.id));
        let (name, fixed) = (network.name.clone(), network.predefined);
        view! {
            <tr>
                <td class="mono">{network.name}</td>
                <td>{network.driver}</td>
                <td class="mono">{network.subnets.join(", ")}</td>
                <td>{network.containers.join(", ")}</td>
                <td>{(env.may(Permission::ManageHosts) && !fixed).then(|| view! { <RowMenu items=move || vec![remove_item(remove.clone(), name.clone(), done)] /> })}</td>
            </tr>
        }
    };
    view! {
        <div class="toolbar"><Prune env=env path=path kind=PruneKind::Networks done=done /></div>
        <Loaded remote=list let:list>
            <Card flush=true><div class="scroll-x"><table class="plain">
                <thead><tr><th>{t().common.name}</th><th>{words.driver}</th><th>{words.subnet}</th><th>{words.containers}</th><th></th></tr></thead>
                <tbody>{move || list.get().items.into_iter().map(row).collect_view()}</tbody>
            </table></div></Card>
        </Loaded>
    }
}
