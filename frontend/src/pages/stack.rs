//! A stack: its services and how they connect, containers, text, revisions, upgrade.

use drover_api::{
    List, Operation, Permission, RollbackStack, Service, Stack, StackDetail, StackOperation,
    StackRevision, StackState, Topic, UpdateStack,
};
use indexmap::IndexMap;
use leptos::{prelude::*, task::spawn_local};
use leptos_router::hooks::use_params_map;

use super::{
    CancelOperation, OperationProgress,
    containers::container_table,
    in_cluster::InCluster,
    questions::Answers,
    service::Scale,
    stacks::{Problems, checked, marks, variable_fields},
};
use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    i18n::{fill, t},
    icons::{Glyph, Icon},
    remote::Remote,
    states::{Tone, operation_name},
};

/// A stack's page.
#[component]
pub fn StackPage() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let params = use_params_map();
    let id = params.with_untracked(|params| params.get("stack_id").unwrap_or_default());
    let path = env.api(&format!("stacks/{id}"));
    let stack = {
        let (path, id) = (path.clone(), id.clone());
        Remote::new(move || api::get(path.clone()).json::<StackDetail>())
            .live(&[Topic::Stack, Topic::Container, Topic::Operation], move |event| {
                event.id == id || event.topic != Topic::Stack
            })
    };
    let last = {
        let (id, env) = (id.clone(), env);
        Remote::new(move || {
            api::get(env.api("operations"))
                .query("target_id", &id)
                .query("limit", 1)
                .json::<List<Operation>>()
        })
        .live(&[Topic::Operation], |_| true)
    };
    let there = Memo::new(move |_| stack.with(|stack| stack.is_some()));
    let name = Signal::derive(move || {
        stack.with(|stack| stack.map(|stack| stack.stack.name.clone()).unwrap_or_default())
    });
    let badge = move || {
        stack.get().map(|stack| {
            view! { <StatePill state=stack.stack.state title=stack.stack.reason.unwrap_or_default() /> }
        })
    };
    let actions = {
        let path = path.clone();
        let upgrade = env.path(&format!("stacks/{id}/upgrade"));
        move || {
            let (path, upgrade) = (path.clone(), upgrade.clone());
            (there.get() && env.may(Permission::Deploy)).then(|| {
                let newer = move || {
                    stack.with(|stack| stack.and_then(|s| s.stack.template.as_ref()?.upgrade_available.clone()))
                };
                view! {
                    {
                        let upgrade = upgrade.clone();
                        move || newer().map(|version| view! {
                            <ButtonLink
                                look=Look::Primary
                                icon=Glyph::Upgrade
                                label=fill(words.upgrade_available, &[("version", &version)])
                                href=upgrade.clone()
                            />
                        })
                    }
                    <Menu label=t().common.actions class="btn btn-secondary" items=move || stack_actions(env, &path, stack)>
                        {t().common.actions} <Icon glyph=Glyph::ChevronDown size=14 />
                    </Menu>
                }
            })
        }
    };
    let stack_id = id.clone();
    let (text_path, revision_path) = (path.clone(), path.clone());
    let tabs = vec![
        Tab::new(
            "services",
            words.services,
            move || view! { <Services env=env path=path.clone() stack=stack /> },
        ),
        match env.is_kubernetes() {
            true => Tab::new("resources", t().frame.resources, move || {
                view! { <InCluster env=env stack=stack_id.clone() /> }
            }),
            false => Tab::new("containers", words.containers, move || {
                let stack = stack_id.clone();
                let table = container_table(env, move || vec![("stack_id", stack.clone())]).inner();
                view! { <Table spec=table label=words.containers /> }
            }),
        },
        Tab::new(
            "compose",
            words.compose_text,
            move || view! { <Text env=env path=text_path.clone() stack=stack /> },
        ),
        Tab::new(
            "revisions",
            words.revisions,
            move || view! { <Revisions env=env path=revision_path.clone() stack=stack /> },
        ),
    ];
    view! {
        <Page
            title=name
            crumbs=vec![(env.path("stacks"), words.stacks.to_owned())]
            sub=Signal::derive(move || stack.with(|stack| stack.and_then(|stack| subtitle(&stack.stack))))
            badge=badge
            actions=actions
        >
            {move || last.get().and_then(|list| list.items.into_iter().next()).map(|operation| {
                let failed = operation.state == drover_api::OperationState::Failed;
                let shown = !operation.state.is_final() || failed;
                let href = env.path(&format!("operations/{}", operation.id));
                shown.then(|| view! {
                    <Card>
                        <div class="operation-line" aria-live="polite">
                            <a href=href>{operation_name(operation.kind)}</a>
                            <OperationProgress operation=operation.clone() />
                            <CancelOperation env=env operation=operation done=move |()| last.reload() />
                        </div>
                    </Card>
                })
            })}
            <Found remote=stack><Tabs label=words.stack tabs=tabs.clone() /></Found>
        </Page>
    }
}

/// Why it does not run; else what it was installed from, or what it is for.
fn subtitle(stack: &Stack) -> Option<String> {
    let template =
        stack.template.as_ref().map(|from| format!("{} {}", from.template, from.version));
    let description = Some(stack.description.clone()).filter(|text| !text.is_empty());
    // An operation tells its own reason.
    let reason = stack.reason.clone().filter(|_| stack.state == StackState::Degraded);
    reason.or(template).or(description)
}

fn post_and_tell(path: String, reload: Remote<StackDetail>) {
    spawn_local(async move {
        match api::post(path, &serde_json::json!({})).json::<StackOperation>().await {
            Ok(_) => reload.reload(),
            Err(error) => use_toasts().error(&error),
        }
    });
}

fn stack_actions(env: Env, path: &str, stack: Remote<StackDetail>) -> Vec<MenuItem> {
    let words = &t().engine;
    let stopped = stack.look(|s| s.is_some_and(|s| s.stack.state == StackState::Stopped));
    let name = stack.look(|s| s.map(|s| s.stack.name.clone()).unwrap_or_default());
    let simple = |glyph, label: &'static str, what: &str| {
        let path = format!("{path}/{what}");
        MenuItem::action(glyph, label, move || post_and_tell(path.clone(), stack))
    };
    let mut items = Vec::new();
    if stopped {
        items.push(simple(Glyph::Play, words.start, "start"));
    } else {
        items.push(simple(Glyph::Refresh, words.deploy_again, "deploy"));
        items.push(simple(Glyph::Restart, words.restart, "restart"));
        items.push(simple(Glyph::Download, words.redeploy_pull, "restart?pull=true"));
        let (stop, shown) = (format!("{path}/stop"), name.clone());
        items.push(MenuItem::action(Glyph::Stop, words.stop_stack, move || {
            let stop = stop.clone();
            Confirm::new(words.stop_stack, words.stop_stack_text)
                .names(vec![shown.clone()])
                .harmless()
                .ask(words.stop, move || {
                    let stop = stop.clone();
                    async move {
                        api::post(stop, &serde_json::json!({})).done().await?;
                        stack.reload();
                        Ok(())
                    }
                });
        }));
    }
    for (label, text, volumes) in [
        (words.remove_stack, words.remove_stack_text, false),
        (words.remove_with_volumes, words.with_volumes_text, true),
    ] {
        let (path, name) = (path.to_owned(), name.clone());
        items.push(MenuItem::danger(Glyph::Trash, label, move || {
            let path = path.clone();
            let confirm = Confirm::new(label, text).names(vec![name.clone()]);
            let confirm = if volumes { confirm.type_name(&name) } else { confirm };
            confirm.ask(t().common.remove, move || {
                let path = path.clone();
                async move {
                    api::delete(path).query("volumes", volumes).done().await?;
                    if let Some(window) = web_sys::window() {
                        // Fails only where the address is malformed.
                        let _ = window.location().set_href(&env.path("stacks"));
                    }
                    Ok(())
                }
            });
        }));
    }
    items
}

#[component]
fn Services(env: Env, path: String, stack: Remote<StackDetail>) -> impl IntoView {
    let words = &t().engine;
    let path = StoredValue::new(path);
    let rows = move |services: Vec<Service>| {
        services
            .into_iter()
            .map(|service| {
                let path = format!("{}/services/{}", path.get_value(), api::encode(&service.name));
                service_row(env, path, stack, service)
            })
            .collect_view()
    };
    view! {
        <Loaded remote=stack let:shown>
            <Card title=words.picture>{move || picture(&shown.get().service_list, |name| service_page(env, stack, name))}</Card>
            <Card title=words.services flush=true>
                <div class="scroll-x">
                    <table class="plain">
                        <thead><tr>
                            <th>{words.service}</th><th>{t().common.state}</th><th>{words.containers}</th>
                            <th>{words.ports}</th><th>{words.volumes}</th><th></th>
                        </tr></thead>
                        <tbody>{move || rows(shown.get().service_list)}</tbody>
                    </table>
                </div>
            </Card>
        </Loaded>
    }
}

/// The page of a service.
fn service_page(env: Env, stack: Remote<StackDetail>, name: &str) -> String {
    let id = stack.look(|stack| stack.map(|stack| stack.stack.id)).unwrap_or_default();
    env.path(&format!("stacks/{id}/services/{}", api::encode(name)))
}

fn service_row(env: Env, path: String, stack: Remote<StackDetail>, service: Service) -> AnyView {
    let words = &t().engine;
    let may = env.may(Permission::Deploy);
    let scale_path = format!("{path}/scale");
    let page = service_page(env, stack, &service.name);
    let reason = service.reason.clone();
    let restart = format!("{path}/restart");
    view! {
        <tr>
            <td>
                <span class="two">
                    <a class="strong" href=page>{service.name.clone()}</a>
                    <span class="break" title=service.image.clone()>{service.image.clone()}</span>
                </span>
            </td>
            <td>
                <StatePill state=service.state title=reason.clone().unwrap_or_default() />
                {reason.map(|reason| view! { <Reason text=reason /> })}
            </td>
            <td>
                <Scale env=env path=scale_path service=service.clone() done=move |()| stack.reload() />
            </td>
            <td class="mono">{service.ports.join(", ")}</td>
            <td class="mono">{service.volumes.join(", ")}</td>
            <td>
                <IconButton glyph=Glyph::Restart label=words.restart small=true disabled=!may on_click=move |_| post_and_tell(restart.clone(), stack) />
            </td>
        </tr>
    }
    .into_any()
}

/// Services as boxes, those that wait for others to the right of them.
fn picture(services: &[Service], page: impl Fn(&str) -> String) -> AnyView {
    const WIDTH: f64 = 190.0;
    const HEIGHT: f64 = 58.0;
    const GAP_X: f64 = 70.0;
    const GAP_Y: f64 = 22.0;
    let mut level: IndexMap<&str, usize> = services.iter().map(|s| (s.name.as_str(), 0)).collect();
    for _ in services {
        for service in services {
            let wanted =
                service.depends_on.iter().filter_map(|name| level.get(name.as_str())).max();
            let wanted = wanted.map_or(0, |level| level + 1).min(services.len());
            level.insert(&service.name, wanted);
        }
    }
    let mut filled: Vec<usize> = Vec::new();
    let mut place: IndexMap<&str, (f64, f64)> = IndexMap::new();
    for service in services {
        let column = level.get(service.name.as_str()).copied().unwrap_or_default();
        if filled.len() <= column {
            filled.resize(column + 1, 0);
        }
        let at = (column as f64 * (WIDTH + GAP_X), filled[column] as f64 * (HEIGHT + GAP_Y));
        filled[column] += 1;
        place.insert(&service.name, at);
    }
    let width = filled.len() as f64 * (WIDTH + GAP_X) - GAP_X + 2.0;
    let height = filled.iter().copied().max().unwrap_or(1) as f64 * (HEIGHT + GAP_Y) - GAP_Y + 2.0;
    let lines = services
        .iter()
        .flat_map(|service| service.depends_on.iter().map(move |other| (other, service)))
        .filter_map(|(from, to)| {
            let (x1, y1) = place.get(from.as_str())?;
            let (x2, y2) = place.get(to.name.as_str())?;
            let (x1, y1, x2, y2) = (x1 + WIDTH, y1 + HEIGHT / 2.0, *x2, y2 + HEIGHT / 2.0);
            let bend = (x2 - x1) / 2.0;
            let d = format!("M{x1} {y1} C{} {y1} {} {y2} {x2} {y2}", x1 + bend, x2 - bend);
            Some(view! { <path class="link" d=d /> })
        })
        .collect_view();
    let boxes = services
        .iter()
        .filter_map(|service| {
            use crate::states::Stated;
            let (x, y) = place.get(service.name.as_str())?;
            let name: String = service.name.chars().take(20).collect();
            let image: String = service.image.chars().take(26).collect();
            let class = format!("dot dot-{}", service.state.tone().name());
            let count = format!("{}/{}", service.healthy, service.scale);
            let title = format!("{} · {}", service.name, service.image);
            let face = view! {
                <rect class="box" width=WIDTH height=HEIGHT rx="8" />
                <circle class=class cx="16" cy="21" r="4" />
                <text class="name" x="28" y="25">{name}</text>
                <text class="sub" x="14" y="45">{image}</text>
                <text class="sub" x=WIDTH - 12.0 y="25" text-anchor="end">{count}</text>
            };
            // An SVG link: in a view, `<a>` is HTML's.
            let link = leptos::svg::a()
                .attr("href", page(&service.name))
                .attr("aria-label", title)
                .child(face);
            Some(view! { <g transform=format!("translate({x} {y})")>{link}</g> })
        })
        .collect_view();
    view! {
        <div class="scroll-x">
            <svg class="picture" width=width height=height viewBox=format!("-1 -1 {width} {height}") role="img" aria-label=t().engine.picture>
                {lines}
                {boxes}
            </svg>
        </div>
    }
    .into_any()
}

#[component]
fn Text(env: Env, path: String, stack: Remote<StackDetail>) -> impl IntoView {
    let words = &t().engine;
    let text = RwSignal::new(String::new());
    let values = Answers::new();
    let loaded = RwSignal::new(None::<i64>);
    let hidden = RwSignal::new(Vec::<String>::new());
    // What is typed must not be lost when something else changes: filled in once.
    Effect::new(move || {
        stack.with(|stack| {
            let (Some(stack), None) = (stack, loaded.get_untracked()) else { return };
            loaded.set(Some(stack.stack.version));
            text.set(stack.compose.clone());
            hidden.set(
                stack
                    .variables
                    .iter()
                    .filter(|(_, v)| v.is_none())
                    .map(|(n, _)| n.clone())
                    .collect(),
            );
            for (name, value) in &stack.variables {
                values.field(name, value.as_deref().unwrap_or_default());
            }
        });
    });
    let check = checked(
        env,
        text,
        Signal::derive(move || {
            // A secret value is not here; any will do for the check.
            let mut all = values.all();
            for name in hidden.get() {
                all.entry(name).or_insert_with(|| "secret".into());
            }
            all
        }),
    );
    let form = Form::new();
    let save = move |()| {
        let before = stack.look(|stack| stack.cloned());
        let Some(before) = before else { return };
        let changed = untrack(|| values.all())
            .into_iter()
            .filter(|(name, value)| {
                before.variables.get(name).and_then(Clone::clone).as_ref() != Some(value)
            })
            .map(|(name, value)| (name, Some(value)))
            .collect();
        let input = UpdateStack {
            description: None,
            compose: Some(text.get_untracked()),
            variables: changed,
            secret_variables: Vec::new(),
            pull: false,
        };
        let path = path.clone();
        let version = loaded.get_untracked().unwrap_or_default();
        form.submit(
            move || async move {
                api::put(path, &input).if_match(version).json::<StackOperation>().await
            },
            move |made: StackOperation| {
                loaded.set(Some(made.stack.version));
                stack.reload();
                use_toasts().success(t().engine.rolled_out);
            },
        );
    };
    let may = env.may(Permission::Deploy);
    view! {
        <FormView form=form on_submit=save>
            <Editor label=words.compose_text value=text marks=marks(check) read_only=!may />
            <Problems check=check />
            {variable_fields(check, values, hidden.into())}
            <FormActions form=form label=words.roll_out disabled=Signal::derive(move || !may || check.with(|check| check.is_none_or(|check| !check.ok))) />
        </FormView>
    }
}

#[component]
fn Revisions(env: Env, path: String, stack: Remote<StackDetail>) -> impl IntoView {
    let words = &t().engine;
    let list = {
        let path = path.clone();
        Remote::new(move || {
            stack.with(|stack| stack.map(|stack| stack.stack.version));
            api::get(format!("{path}/revisions")).json::<List<StackRevision>>()
        })
        .live(&[Topic::Stack, Topic::Operation], |_| true)
    };
    let may = env.may(Permission::Deploy);
    let path = StoredValue::new(path);
    let row = move |revision: StackRevision| {
        let current =
            stack.with(|stack| stack.is_none_or(|s| s.stack.revision == revision.revision));
        let (path, number) = (format!("{}/rollback", path.get_value()), revision.revision);
        let roll_back = move |_| {
            let path = path.clone();
            Confirm::new(words.roll_back, words.roll_back_text)
                .names(vec![number.to_string()])
                .harmless()
                .ask(words.roll_back, move || {
                    let path = path.clone();
                    async move {
                        api::post(path, &RollbackStack { revision: number }).done().await?;
                        stack.reload();
                        list.reload();
                        Ok(())
                    }
                });
        };
        let outcome = revision.outcome.map(|outcome| {
            let (label, tone) = match outcome {
                drover_api::RevisionOutcome::Succeeded => (t().states.succeeded, Tone::Ok),
                drover_api::RevisionOutcome::Failed => (t().states.failed, Tone::Bad),
                drover_api::RevisionOutcome::Replaced => ("–", Tone::Idle),
            };
            view! { <Badge label=label tone=tone /> }
        });
        view! {
            <tr>
                <td class="nums strong">{revision.revision}</td>
                <td>{revision.comment}</td>
                <td>{revision.template_version}</td>
                <td>{outcome} {current.then(|| view! { <Badge label=words.wanted tone=Tone::Accent /> })}</td>
                <td>{revision.created_by}</td>
                <td><TimeAgo at=revision.created_at /></td>
                <td>{(!current && may).then(|| view! { <Button small=true icon=Glyph::Rollback label=words.roll_back on_click=roll_back /> })}</td>
            </tr>
        }
    };
    view! {
        <Loaded remote=list let:list>
            <Card flush=true>
                <div class="scroll-x">
                    <table class="plain">
                        <thead><tr>
                            <th>{words.revision}</th><th>{t().common.description}</th><th>{words.version}</th>
                            <th>{words.outcome}</th><th>{words.made_by}</th><th>{t().common.created}</th><th></th>
                        </tr></thead>
                        <tbody>{move || list.get().items.into_iter().map(row).collect_view()}</tbody>
                    </table>
                </div>
            </Card>
        </Loaded>
    }
}
