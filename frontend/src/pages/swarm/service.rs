//! A service's page.

use drover_api::{
    Permission, SwarmService, SwarmServiceDetail, SwarmServiceState, Topic, UpdateSwarmService,
};
use leptos::prelude::*;
use leptos_router::hooks::{use_navigate, use_params_map};

use super::{change, services::Scale, states::mode, tasks::Tasks};
use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    i18n::{fill, swarm, t},
    icons::{Glyph, Icon},
    pages::container_logs::{LogOf, Logs},
    remote::Remote,
    states::{Stated, Tone},
};

/// The page.
#[component]
pub fn SwarmServicePage() -> impl IntoView {
    let words = swarm();
    let env = use_env();
    let id = use_params_map().with_untracked(|params| params.get("service_id").unwrap_or_default());
    let path = env.api(&format!("swarm/services/{}", api::encode(&id)));
    let service = {
        let (path, id) = (path.clone(), id.clone());
        Remote::new(move || api::get(path.clone()).json::<SwarmServiceDetail>())
            .live(&[Topic::SwarmService], move |event| event.id == id || event.id.is_empty())
    };
    let name = Signal::derive(move || {
        service.with(|one| one.map(|one| one.service.name.clone()).unwrap_or_default())
    });
    let there = Memo::new(move |_| service.with(|service| service.is_some()));
    let imaging = RwSignal::new(false);
    let navigate = StoredValue::new_local(use_navigate());
    let gone = move || {
        navigate.with_value(|go| go(&env.path("swarm?tab=services"), Default::default()));
    };
    let actions = {
        let path = path.clone();
        move || {
            let path = path.clone();
            (there.get() && env.may(Permission::Deploy)).then(|| {
                view! {
                    <Menu label=t().common.actions class="btn btn-secondary"
                        items=move || service_actions(env, &path, service, imaging, gone)>
                        {t().common.actions} <Icon glyph=Glyph::ChevronDown size=14 />
                    </Menu>
                }
            })
        }
    };
    let tasks = Signal::derive(move || {
        service.with(|one| one.map(|one| one.tasks.clone()).unwrap_or_default())
    });
    let running =
        Signal::derive(move || service.with(|one| one.is_some_and(|one| one.service.running > 0)));
    let log_path = path.clone();
    let tabs = vec![
        Tab::new("tasks", words.tasks, move || {
            view! { <Card flush=true><Tasks env=env tasks=tasks /></Card> }
        }),
        Tab::new("logs", words.logs, move || {
            view! { <Logs path=log_path.clone() name=name running=running of=LogOf::Service /> }
        }),
        Tab::new("details", words.details, move || {
            view! {
                <Loaded remote=service let:one>{move || details(one.get())}</Loaded>
            }
        }),
        Tab::new("inspect", words.inspect, move || {
            view! {
                <Loaded remote=service let:one>
                    <pre class="code" tabindex="0">{move || serde_json::to_string_pretty(&one.get().inspect).unwrap_or_default()}</pre>
                </Loaded>
            }
        }),
    ];
    let badge = move || {
        let state = service.with(|one| one.map(|one| one.service.state));
        state.map(|state| view! { <StatePill state=state /> })
    };
    view! {
        <Page
            title=name
            crumbs=vec![(env.path("swarm?tab=services"), words.services.to_owned())]
            sub=Signal::derive(move || service.with(|one| one.and_then(|one| one.service.reason.clone())))
            badge=badge
            actions=actions
        >
            <Found remote=service>
                <Loaded remote=service lines=3 let:one>
                    {move || standing(env, one.get().service, service)}
                </Loaded>
                <Tabs label=words.service tabs=tabs.clone() />
            </Found>
            <Dialog open=imaging title=words.change_image>
                {
                    let path = path.clone();
                    move || service.look(|one| one.map(|one| one.service.image.clone())).map(|image| view! {
                        <ChangeImage path=path.clone() image=image open=imaging service=service />
                    })
                }
            </Dialog>
        </Page>
    }
}

/// Whose it is, how many run, how an update goes.
fn standing(env: Env, one: SwarmService, service: Remote<SwarmServiceDetail>) -> AnyView {
    let words = swarm();
    let owner = match one.stack_id {
        Some(id) => {
            let stack = one.stack.clone().unwrap_or_default();
            let href = env.path(&format!("stacks/{id}"));
            Some(
                view! {
                    <Notice>
                        <div class="row-wrap between">
                            <span>{fill(words.of_stack, &[("stack", &stack)])}</span>
                            <ButtonLink small=true href=href label=words.open_stack />
                        </div>
                    </Notice>
                }
                .into_any(),
            )
        }
        None => one.foreign.then(|| view! { <Notice>{words.foreign}</Notice> }.into_any()),
    };
    let changing = matches!(
        one.state,
        SwarmServiceState::Updating | SwarmServiceState::RollingBack | SwarmServiceState::Paused
    );
    let update = one.update.clone().filter(|_| changing).map(|update| {
        let part = f64::from(update.done) / f64::from(one.replicas.max(1));
        let tone = match one.state {
            SwarmServiceState::Paused => Tone::Warn,
            _ => Tone::Accent,
        };
        let values = [("done", update.done.to_string()), ("all", one.replicas.to_string())];
        let values = values.each_ref().map(|(key, value)| (*key, value.as_str()));
        let line = fill(words.update_line, &values);
        view! {
            <Card>
                <div class="stack-s" aria-live="polite">
                    <div class="row between">
                        <span class="strong">{one.state.label()}</span>
                        <span class="small muted nums">{line.clone()}</span>
                    </div>
                    <Progress value=part tone=tone busy=one.state.busy() label=line />
                    {(!update.message.is_empty()).then(|| view! { <span class="small muted">{update.message.clone()}</span> })}
                </div>
            </Card>
        }
    });
    let ports = one.ports.join(", ");
    let mut rows = vec![
        (words.image, view! { <span class="mono break">{one.image.clone()}</span> }.into_any()),
        (words.mode, mode(one.mode).into_any()),
        (words.updated, view! { <TimeAgoOr at=one.updated_at /> }.into_any()),
    ];
    if !ports.is_empty() {
        rows.push((words.ports, view! { <span class="mono break">{ports}</span> }.into_any()));
    }
    view! {
        {owner}
        {update}
        <div class="grid-2">
            <Card><KeyValues rows=rows /></Card>
            <Card title=words.tasks>
                <Scale env=env service=one done=move |()| service.reload() />
            </Card>
        </div>
    }
    .into_any()
}

fn details(one: SwarmServiceDetail) -> AnyView {
    let words = swarm();
    let list = |values: Vec<String>| {
        let lines = values.into_iter().map(|line| view! { <div class="mono break">{line}</div> });
        view! { <div>{lines.collect_view()}</div> }.into_any()
    };
    let variables = one.environment.into_iter().map(|(key, value)| match value {
        Some(value) => format!("{key}={value}"),
        None => format!("{key} ({})", t().engine.hidden),
    });
    let labels: Vec<_> = one.labels.into_iter().collect();
    let mut rows = vec![(words.digest, one.service.digest.into_iter().collect::<Vec<_>>())];
    rows.push((words.command, one.command));
    rows.push((words.constraints, one.constraints));
    rows.push((words.networks, one.networks));
    rows.push((words.mounts, one.mounts));
    rows.push((words.secrets, one.secrets));
    rows.push((words.configs, one.configs));
    rows.push((words.variables, variables.collect()));
    let mut shown: Vec<_> = rows
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| (name, list(values)))
        .collect();
    if !labels.is_empty() {
        shown.push((words.labels, view! { <Tags labels=labels /> }.into_any()));
    }
    view! { <Card><KeyValues rows=shown /></Card> }.into_any()
}

fn service_actions(
    env: Env,
    path: &str,
    service: Remote<SwarmServiceDetail>,
    imaging: RwSignal<bool>,
    gone: impl Fn() + Copy + Send + Sync + 'static,
) -> Vec<MenuItem> {
    let words = swarm();
    let Some(now) = untrack(|| service.get()) else { return Vec::new() };
    let name = now.service.name.clone();
    let asks = |glyph,
                label: &'static str,
                title: &'static str,
                text,
                request: fn(String) -> api::Request,
                path: String| {
        let title = fill(title, &[("name", &name)]);
        MenuItem::action(glyph, label, move || {
            let path = path.clone();
            Confirm::new(title.clone(), text).harmless().ask(label, move || {
                let request = request(path.clone());
                async move {
                    request.done().await?;
                    service.reload();
                    Ok(())
                }
            });
        })
    };
    if let (Some(stack), Some(of)) = (now.service.stack_id, &now.service.stack_service) {
        let restart = env.api(&format!("stacks/{stack}/services/{}/restart", api::encode(of)));
        let page = env.path(&format!("stacks/{stack}"));
        return vec![
            MenuItem::action(Glyph::Restart, words.restart, move || {
                change(api::post(restart.clone(), &()), move || service.reload());
            }),
            MenuItem::link(Glyph::Stack, words.open_stack, page),
        ];
    }
    let force = |path| api::post(path, &UpdateSwarmService { image: None, force: true });
    let back = |path| api::post(path, &());
    let update = format!("{path}/update");
    let mut items = vec![
        asks(Glyph::Restart, words.restart, words.restart_title, words.restart_text, force, update),
        MenuItem::action(Glyph::Image, words.change_image, move || imaging.set(true)),
        asks(
            Glyph::Rollback,
            words.roll_back,
            words.roll_back_title,
            words.roll_back_text,
            back,
            format!("{path}/rollback"),
        )
        .disabled_if(!now.can_roll_back),
    ];
    let (path, name) = (path.to_owned(), name.clone());
    items.push(MenuItem::danger(Glyph::Trash, words.remove_service, move || {
        let path = path.clone();
        Confirm::new(words.remove_service, words.remove_service_text)
            .names(vec![name.clone()])
            .ask(t().common.remove, move || {
                let request = api::delete(path.clone());
                async move {
                    request.done().await?;
                    gone();
                    Ok(())
                }
            });
    }));
    if now.service.foreign {
        items = items.into_iter().map(|item| item.disabled_if(true)).collect();
    }
    items
}

#[component]
fn ChangeImage(
    path: String,
    image: String,
    open: RwSignal<bool>,
    service: Remote<SwarmServiceDetail>,
) -> impl IntoView {
    let words = swarm();
    let form = Form::new();
    let image = RwSignal::new(image);
    let submit = move |()| {
        let update = UpdateSwarmService { image: Some(image.get_untracked()), force: false };
        let request = api::post(format!("{path}/update"), &update);
        form.submit(
            move || request.done(),
            move |()| {
                open.set(false);
                service.reload();
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <TextField label=words.image value=image form=form name="image" help=words.change_image_help mono=true focus=true />
            <FormActions form=form label=words.update_now on_cancel=move |()| open.set(false) />
        </FormView>
    }
}
