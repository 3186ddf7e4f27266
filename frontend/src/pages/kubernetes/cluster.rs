//! For administrators: a cluster's page.

use drover_api::{
    ApiDeprecation, ClusterCapacity, ClusterCheck, ClusterEvent, ClusterHealth, ClusterManifest,
    ClusterNamespace, ClusterNode, ClusterSource, ClusterState, ExpiringCertificate,
    KubernetesCluster, Topic, UpdateCluster,
};
use leptos::prelude::*;
use leptos_router::hooks::{use_navigate, use_params_map};

use super::{
    all,
    import::{PasteKubeconfig, Pasted},
};
use crate::{
    api,
    components::*,
    environment, format,
    i18n::{clusters, fill, machines, t},
    icons::{Glyph, Icon},
    remote::Remote,
    states::{Stated, Tone},
};

/// The page.
#[component]
pub fn ClusterPage() -> impl IntoView {
    let words = clusters();
    let id = use_params_map().with_untracked(|params| params.get("cluster_id").unwrap_or_default());
    let path = format!("kubernetes/clusters/{}", api::encode(&id));
    let cluster = {
        let (path, id) = (path.clone(), id.clone());
        Remote::new(move || api::get(path.clone()).json::<KubernetesCluster>())
            .live(&[Topic::KubernetesCluster, Topic::Environment], move |event| {
                event.id == id || event.topic == Topic::Environment
            })
    };
    let name = Signal::derive(move || {
        cluster.with(|one| one.map(|one| one.name.clone()).unwrap_or_default())
    });
    let badge = move || {
        let state = cluster.with(|one| one.map(|one| (one.state, one.reason.clone())));
        state.map(
            |(state, reason)| view! { <StatePill state=state title=reason.unwrap_or_default() /> },
        )
    };
    let (renaming, renewing) = (RwSignal::new(false), RwSignal::new(false));
    let navigate = use_navigate();
    let gone = Callback::new(move |()| navigate("/admin/clusters", Default::default()));
    let there = Memo::new(move |_| cluster.with(|one| one.is_some()));
    let actions = {
        let path = path.clone();
        move || {
            let path = path.clone();
            there.get().then(|| {
                view! {
                    <Menu label=t().common.actions class="btn btn-secondary"
                        items=move || menu(&path, cluster, renaming, renewing, gone)>
                        {t().common.actions} <Icon glyph=Glyph::ChevronDown size=14 />
                    </Menu>
                }
            })
        }
    };
    // Which face the page has: waiting for its agent, or there.
    let waits = Memo::new(move |_| {
        cluster.with(|one| one.is_some_and(|one| one.state == ClusterState::Waiting))
    });
    let path = StoredValue::new(path);
    view! {
        <Page
            title=name
            crumbs=vec![("/admin/clusters".to_owned(), words.title.to_owned())]
            sub=Signal::derive(move || cluster.with(|one| one.and_then(subtitle)))
            badge=badge
            actions=actions
        >
            <Found remote=cluster>
                <Loaded remote=cluster let:_one>
                    {move || match waits.get() {
                        true => view! { <Connect path=path.get_value() /> }.into_any(),
                        false => view! { <Body path=path.get_value() cluster=cluster renewing=renewing /> }.into_any(),
                    }}
                </Loaded>
            </Found>
            <Dialog open=renaming title=words.rename>
                <Rename path=path.get_value() cluster=cluster open=renaming />
            </Dialog>
            <Dialog open=renewing title=words.renew wide=true>
                <Renew path=path.get_value() cluster=cluster open=renewing />
            </Dialog>
        </Page>
    }
}

fn subtitle(one: &KubernetesCluster) -> Option<String> {
    let parts: Vec<_> = [one.provider.clone(), one.version.clone(), one.server.clone()]
        .into_iter()
        .flatten()
        .collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

fn menu(
    path: &str,
    cluster: Remote<KubernetesCluster>,
    renaming: RwSignal<bool>,
    renewing: RwSignal<bool>,
    gone: Callback<()>,
) -> Vec<MenuItem> {
    let words = clusters();
    let Some(one) = cluster.look(|one| one.cloned()) else { return Vec::new() };
    let mut items = vec![MenuItem::action(Glyph::Edit, words.rename, move || renaming.set(true))];
    if one.source == ClusterSource::Kubeconfig {
        items.push(MenuItem::action(Glyph::Key, words.renew, move || renewing.set(true)));
    }
    items.push(MenuItem::link(Glyph::Environment, words.new_environment, "/admin/environments"));
    items.push(MenuItem::Separator);
    let path = path.to_owned();
    let used: Vec<_> = one.environments.iter().map(|env| env.name.clone()).collect();
    items.push(
        MenuItem::danger(Glyph::Trash, t().common.remove, move || {
            let path = path.clone();
            Confirm::new(fill(words.remove_title, &[("name", &one.name)]), words.remove_text)
                .names(vec![one.name.clone()])
                .type_name(&one.name)
                .ask(t().common.remove, move || {
                    let request = api::delete(path.clone());
                    async move {
                        request.done().await?;
                        gone.run(());
                        Ok(())
                    }
                });
        })
        .disabled_if(!used.is_empty()),
    );
    items
}

/// The line for `kubectl`, and waiting until the agent has come.
#[component]
fn Connect(path: String) -> impl IntoView {
    let words = clusters();
    let form = Form::new();
    let made = RwSignal::new(None::<ClusterManifest>);
    let ask = StoredValue::new(move || {
        let request = api::post(format!("{path}/manifest"), &());
        form.submit(
            move || request.json::<ClusterManifest>(),
            move |manifest| {
                made.try_set(Some(manifest));
            },
        );
    });
    let again = move || ask.with_value(|ask| ask());
    again();
    let clock = use_clock();
    let shown = move || {
        made.get().map(|manifest| {
            let until = manifest.expires_at;
            let over = move || clock.now() > until.unix_ms() as f64;
            let insecure = manifest.command.contains("http://");
            view! {
                <CommandBlock text=manifest.command.clone() />
                {insecure.then(|| view! { <Notice tone=Tone::Warn>{words.not_https}</Notice> })}
                {move || match over() {
                    true => view! { <Notice tone=Tone::Warn>{words.manifest_over}</Notice> }.into_any(),
                    false => {
                        let time = format::date_time(until);
                        view! { <p class="small muted">{fill(words.manifest_until, &[("time", &time)])}</p> }.into_any()
                    }
                }}
            }
        })
    };
    view! {
        <Card title=words.connect>
            <div class="stack">
                <p class="muted">{words.connect_text}</p>
                {shown}
                <FormProblem form=form />
                <div class="row-wrap"><Button label=words.new_manifest icon=Glyph::Refresh busy=form.busy() on_click=move |_| again() /></div>
                <div class="row" role="status">
                    <Icon glyph=Glyph::Spinner spin=true />
                    <span class="two">
                        <span class="strong">{words.waiting_for}</span>
                        <span>{words.waiting_for_text}</span>
                    </span>
                </div>
            </div>
        </Card>
    }
    .into_any()
}

#[component]
fn Body(
    path: String,
    cluster: Remote<KubernetesCluster>,
    renewing: RwSignal<bool>,
) -> impl IntoView {
    let words = clusters();
    let health = {
        let path = format!("{path}/health");
        Remote::new(move || api::get(path.clone()).json::<ClusterHealth>())
            .live(&[Topic::KubernetesCluster], |_| true)
    };
    let namespaces = {
        let path = format!("{path}/namespaces");
        Remote::new(move || all::<ClusterNamespace>(api::get(path.clone())))
            .live(&[Topic::KubernetesCluster, Topic::Environment], |_| true)
    };
    let tick = move || health.reload();
    if let Ok(timer) = set_interval_with_handle(tick, std::time::Duration::from_secs(15)) {
        on_cleanup(move || timer.clear());
    }
    let tabs = vec![
        Tab::new("health", words.health, move || {
            view! {
                <Loaded remote=health let:health>{move || general(cluster, health.get())}</Loaded>
            }
        }),
        Tab::new("nodes", words.nodes, move || {
            view! {
                <Card flush=true><Loaded remote=health let:health>{move || nodes(health.get().nodes)}</Loaded></Card>
            }
        }),
        Tab::new("namespaces", words.namespaces, move || {
            view! {
                <Namespaces cluster=cluster namespaces=namespaces />
            }
        }),
        Tab::new("warnings", words.warnings, move || {
            view! {
                <Card flush=true><Loaded remote=health let:health>{move || warnings(health.get().warnings)}</Loaded></Card>
            }
        }),
    ];
    let told = Memo::new(move |_| {
        cluster.with(|one| {
            one.map(|one| (one.state, one.reason.clone(), one.last_contact, one.source))
        })
    });
    let clock = use_clock();
    view! {
        {move || told.get().filter(|told| told.0 != ClusterState::Active).map(|(state, reason, last, source)| {
            let tone = match state {
                ClusterState::Connecting | ClusterState::Waiting => Tone::Info,
                ClusterState::Degraded => Tone::Warn,
                _ => Tone::Bad,
            };
            let renew = state == ClusterState::Unauthorized && source == ClusterSource::Kubeconfig;
            view! {
                <Notice tone=tone>
                    <div class="strong">{state.label()}</div>
                    {reason.map(|reason| view! { <div>{reason}</div> })}
                    {move || last.filter(|_| state != ClusterState::Degraded).map(|at| view! {
                        <div class="small">{fill(words.as_last_seen, &[("time", &format::ago(at, clock.now()))])}</div>
                    })}
                    {renew.then(|| view! { <div class="row"><Button small=true label=words.renew icon=Glyph::Key on_click=move |_| renewing.set(true) /></div> })}
                </Notice>
            }
        })}
        <Tabs label=words.title tabs=tabs />
    }
    .into_any()
}

/// What of something is asked for and used, as two bars over what there is.
fn bars(
    label: &'static str,
    asked: f64,
    used: Option<f64>,
    total: f64,
    words_of: fn(f64) -> String,
) -> AnyView {
    let words = clusters();
    let used = used.map(|used| {
        view! { <Meter label=fill(words.in_use, &[("what", label)]) used=used total=total words=words_of /> }
    });
    view! {
        <Meter label=fill(words.asked_for, &[("what", label)]) used=asked total=total words=words_of />
        {used}
    }
    .into_any()
}

fn whole(value: f64) -> String {
    format::count(value as u64)
}

fn capacity(of: ClusterCapacity) -> AnyView {
    let words = clusters();
    let cores = |millis: u64| millis as f64 / 1000.0;
    view! {
        {bars(words.cpu, cores(of.cpu_requested), of.cpu_used.map(cores), cores(of.cpu_millis), format::cores)}
        {bars(words.memory, of.memory_requested as f64, of.memory_used.map(|used| used as f64), of.memory as f64, format::bytes)}
        <Meter label=words.pods used=of.pods_used as f64 total=of.pods as f64 words=whole />
        {of.cpu_used.is_none().then(|| view! { <p class="small faint">{words.no_metrics}</p> })}
    }
    .into_any()
}

fn general(cluster: Remote<KubernetesCluster>, health: ClusterHealth) -> AnyView {
    let words = clusters();
    let facts = cluster.get().map(|one| {
        let unknown = || t().common.unknown.to_owned();
        let source = match one.source {
            ClusterSource::Agent => words.by_agent,
            ClusterSource::Kubeconfig => words.by_kubeconfig,
        };
        let environments = one
            .environments
            .iter()
            .map(|env| {
                let what = match &env.namespaces {
                    None => words.whole.to_owned(),
                    Some(names) => names.join(", "),
                };
                view! {
                    <div><a href=environment::path(env.id, "")>{env.name.clone()}</a> " " <span class="faint break">{what}</span></div>
                }
            })
            .collect_view();
        let environments = match one.environments.is_empty() {
            true => view! { <span class="faint">{t().common.none}</span> }.into_any(),
            false => view! { <div>{environments}</div> }.into_any(),
        };
        let agent = one.agent.clone().map(|agent| {
            let shown = view! {
                <span class="row-wrap">{agent.version} <StatePill state=agent.fit /></span>
            };
            (machines().agent, shown.into_any())
        });
        let mut rows = vec![
            (words.version, one.version.clone().unwrap_or_else(unknown).into_any()),
            (words.provider, one.provider.clone().unwrap_or_else(unknown).into_any()),
            (words.source, source.into_any()),
        ];
        rows.extend(agent);
        rows.extend([
            (words.nodes, format!("{} / {}", one.nodes_ready, one.nodes).into_any()),
            (words.environments, environments),
            (words.last_contact, view! { <TimeAgoOr at=one.last_contact /> }.into_any()),
        ]);
        rows
    });
    view! {
        <div class="stack">
            <div class="grid-2">
                <Card title=words.about>{facts.map(|rows| view! { <KeyValues rows=rows /> })}</Card>
                <Card title=words.capacity>{capacity(health.capacity)}</Card>
            </div>
            <div class="grid-2">
                <Card title=words.control_plane flush=true>{checks(health.checks)}</Card>
                <div class="stack">
                    <Card title=words.certificates flush=true>{certificates(health.certificates)}</Card>
                    <Card title=words.deprecations flush=true>{deprecations(health.deprecations)}</Card>
                </div>
            </div>
        </div>
    }
    .into_any()
}

/// A line that says that there is nothing to worry about.
fn calm(text: &'static str) -> AnyView {
    view! { <p class="pad row"><Icon glyph=Glyph::CheckCircle class="tone-ok" /> <span>{text}</span></p> }.into_any()
}

fn checks(mut checks: Vec<ClusterCheck>) -> AnyView {
    let words = clusters();
    if checks.is_empty() {
        return view! { <p class="pad faint">{words.no_checks}</p> }.into_any();
    }
    checks.sort_by_key(|check| check.ok);
    let bad = checks.iter().filter(|check| !check.ok).count();
    let lines = checks
        .into_iter()
        .map(|check| {
            let (glyph, class) = match check.ok {
                true => (Glyph::CheckCircle, "tone-ok"),
                false => (Glyph::Error, "tone-bad"),
            };
            view! {
                <li>
                    <Icon glyph=glyph class=class />
                    <span class="two grow">
                        <span class="mono truncate">{check.name}</span>
                        {check.message.map(|message| view! { <span class="break">{message}</span> })}
                    </span>
                </li>
            }
        })
        .collect_view();
    view! {
        {(bad == 0).then(|| calm(words.checks_pass))}
        <ul class="feed line-list-scroll">{lines}</ul>
    }
    .into_any()
}

fn certificates(all: Vec<ExpiringCertificate>) -> AnyView {
    let words = clusters();
    if all.is_empty() {
        return view! { <p class="pad faint">{words.no_certificates}</p> }.into_any();
    }
    let lines = all
        .into_iter()
        .map(|one| {
            let days = (one.expires_at.unix_ms() as f64 - format::now_ms()) / 86_400_000.0;
            let tone = if days < 7.0 {
                "tone-bad"
            } else if days < 30.0 {
                "tone-warn"
            } else {
                ""
            };
            view! {
                <li>
                    <Icon glyph=Glyph::Shield class=tone />
                    <span class="grow break">{one.of}</span>
                    <span class=format!("tight {tone}")><TimeAgo at=one.expires_at /></span>
                </li>
            }
        })
        .collect_view();
    view! { <ul class="feed line-list-scroll">{lines}</ul> }.into_any()
}

fn deprecations(all: Vec<ApiDeprecation>) -> AnyView {
    let words = clusters();
    if all.is_empty() {
        return calm(words.no_deprecations);
    }
    let lines = all
        .into_iter()
        .map(|one| {
            let gone = one.removed_in.map_or_else(
                || words.removed_some_day.to_owned(),
                |version| fill(words.removed_in, &[("version", &version)]),
            );
            let by = one.used_by.map(|by| fill(words.used_by, &[("by", &by)]));
            let under: Vec<_> = std::iter::once(gone).chain(by).collect();
            view! {
                <li>
                    <Icon glyph=Glyph::Warning class="tone-warn" />
                    <span class="two grow"><span class="mono break">{one.api}</span> <span>{under.join(" · ")}</span></span>
                </li>
            }
        })
        .collect_view();
    view! { <ul class="feed line-list-scroll">{lines}</ul> }.into_any()
}

fn nodes(all: Vec<ClusterNode>) -> AnyView {
    let words = clusters();
    if all.is_empty() {
        return view! { <p class="pad faint">{words.no_nodes}</p> }.into_any();
    }
    let rows = all
        .into_iter()
        .map(|node| {
            let of = node.capacity;
            let state = match (node.ready, node.schedulable) {
                (true, true) => view! { <Badge label=words.ready tone=Tone::Ok /> }.into_any(),
                (true, false) => view! { <Badge label=words.cordoned tone=Tone::Warn /> }.into_any(),
                (false, _) => view! { <Badge label=words.not_ready tone=Tone::Bad /> }.into_any(),
            };
            let wrong: Vec<_> = node.conditions.into_iter().filter(|one| !one.ok).collect();
            let wrong = wrong
                .into_iter()
                .map(|one| {
                    let message = one.message.unwrap_or_default();
                    view! { <div class="small tone-bad break"><span class="strong">{one.kind}</span> " " {message}</div> }
                })
                .collect_view();
            let cores = |millis: u64| millis as f64 / 1000.0;
            let roles = node.roles.join(", ");
            view! {
                <tr>
                    <td>
                        <span class="two">
                            <span class="strong break">{node.name}</span>
                            <span>{[node.address.unwrap_or_default(), roles].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" · ")}</span>
                        </span>
                    </td>
                    <td>{state} {wrong}</td>
                    <td class="tight">{node.version}</td>
                    <td><UseBar label=words.cpu used=cores(of.cpu_used.unwrap_or(of.cpu_requested)) total=cores(of.cpu_millis) words=format::cores /></td>
                    <td><UseBar label=words.memory used=of.memory_used.unwrap_or(of.memory_requested) as f64 total=of.memory as f64 words=format::bytes /></td>
                    <td><UseBar label=words.pods used=of.pods_used as f64 total=of.pods as f64 words=whole /></td>
                    <td class="tight"><TimeAgoOr at=node.created_at otherwise="" /></td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <div class="scroll-x">
            <table class="plain">
                <thead><tr>
                    <th>{words.node}</th><th>{t().common.state}</th><th>{words.version}</th><th>{words.cpu}</th>
                    <th>{words.memory}</th><th>{words.pods}</th><th>{words.age}</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn warnings(all: Vec<ClusterEvent>) -> AnyView {
    let words = clusters();
    if all.is_empty() {
        return calm(words.no_warnings);
    }
    let lines = all
        .into_iter()
        .map(|one| {
            let place = one.namespace.unwrap_or_default();
            view! {
                <li>
                    <Icon glyph=Glyph::Warning class="tone-warn" />
                    <span class="two grow">
                        <span class="row">
                            <span class="strong truncate">{one.object}</span>
                            <span class="faint small truncate">{place}</span>
                            <Badge label=one.reason tone=Tone::Warn />
                        </span>
                        <span class="break">{one.message}</span>
                    </span>
                    <span class="small muted tight nums">{format!("×{}", one.count.max(1))}</span>
                    <span class="small tight"><TimeAgoOr at=one.at otherwise="" /></span>
                </li>
            }
        })
        .collect_view();
    view! { <ul class="feed">{lines}</ul> }.into_any()
}

/// The namespaces, with whose they are.
#[component]
fn Namespaces(
    cluster: Remote<KubernetesCluster>,
    namespaces: Remote<Vec<ClusterNamespace>>,
) -> impl IntoView {
    let words = clusters();
    let search = RwSignal::new(String::new());
    let rows = move || {
        let wanted = search.get().to_lowercase();
        let environments =
            cluster.with(|one| one.map(|one| one.environments.clone()).unwrap_or_default());
        let mut all = namespaces.get().unwrap_or_default();
        all.retain(|one| one.name.contains(&wanted));
        all.sort_by(|a, b| (a.system, &a.name).cmp(&(b.system, &b.name)));
        all.into_iter()
            .map(|one| {
                let owner = match (one.environment, one.system) {
                    (Some(name), _) => {
                        let id = environments.iter().find(|env| env.name == name).map(|env| env.id);
                        match id {
                            Some(id) => {
                                view! { <a href=environment::path(id, "")>{name}</a> }.into_any()
                            }
                            None => name.into_any(),
                        }
                    }
                    (None, true) => view! { <Badge label=words.system /> }.into_any(),
                    (None, false) => view! { <span class="faint">{words.free}</span> }.into_any(),
                };
                view! { <tr><td class="strong break">{one.name}</td><td>{owner}</td></tr> }
            })
            .collect_view()
    };
    view! {
        <div class="toolbar"><SearchBox label=words.search_namespaces value=search /></div>
        <Card flush=true>
            <Loaded remote=namespaces let:_all>
                <div class="scroll-x">
                    <table class="plain">
                        <thead><tr><th>{words.namespace}</th><th>{t().common.environment}</th></tr></thead>
                        <tbody>{rows}</tbody>
                    </table>
                </div>
            </Loaded>
        </Card>
    }
    .into_any()
}

fn version_of(cluster: Remote<KubernetesCluster>) -> i64 {
    cluster.look(|one| one.map_or(0, |one| one.version_number))
}

#[component]
fn Rename(path: String, cluster: Remote<KubernetesCluster>, open: RwSignal<bool>) -> impl IntoView {
    let words = clusters();
    let form = Form::new();
    let before = cluster.look(|one| one.map(|one| one.name.clone()).unwrap_or_default());
    let name = RwSignal::new(before);
    let submit = move |()| {
        let update = UpdateCluster {
            name: Some(name.get_untracked().trim().to_owned()),
            ..Default::default()
        };
        let request = api::patch(path.clone(), &update).if_match(version_of(cluster));
        form.submit(
            move || request.json::<KubernetesCluster>(),
            move |now| {
                open.set(false);
                cluster.set(now);
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <TextField label=words.name value=name form=form name="name" help=words.name_help focus=true />
            <FormActions form=form label=t().common.save on_cancel=move |()| open.set(false) />
        </FormView>
    }
}

#[component]
fn Renew(path: String, cluster: Remote<KubernetesCluster>, open: RwSignal<bool>) -> impl IntoView {
    let words = clusters();
    let form = Form::new();
    let pasted = Pasted::new(cluster.look(|one| one.is_some_and(|one| one.allow_private_address)));
    let submit = move |()| {
        let update = UpdateCluster {
            name: None,
            kubeconfig: Some(pasted.text.get_untracked()),
            context: Some(pasted.context.get_untracked()).filter(|context| !context.is_empty()),
            allow_private_address: Some(pasted.private.get_untracked()),
        };
        let request = api::patch(path.clone(), &update).if_match(version_of(cluster));
        form.submit(
            move || request.json::<KubernetesCluster>(),
            move |now| {
                open.set(false);
                use_toasts().success(words.renewed);
                cluster.set(now);
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <p class="muted">{words.renew_text}</p>
            <PasteKubeconfig pasted=pasted form=form />
            <FormActions form=form label=words.renew disabled=Signal::derive(move || !pasted.is_ready().get()) on_cancel=move |()| open.set(false) />
        </FormView>
    }
}
