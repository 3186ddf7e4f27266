//! Containers: the list, and what can be done with one.

use drover_api::{
    Container, ContainerAction, ContainerActionRequest, ContainerState, Permission, Topic,
};
use leptos::{prelude::*, task::spawn_local};

use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    i18n::{plural, t},
    icons::Glyph,
    states::Stated,
};

/// A container's address in the API, under its environment.
pub(super) fn container_path(container: &Container) -> String {
    format!("hosts/{}/containers/{}", container.host_id, container.id)
}

/// A container's page.
pub(super) fn container_page(env: Env, container: &Container) -> String {
    env.path(&format!("containers/{}/{}", container.host_id, container.id))
}

/// Published ports, in a line.
pub(super) fn ports(container: &Container) -> String {
    let mut ports: Vec<String> = container
        .ports
        .iter()
        .filter_map(|port| Some(format!("{}→{}", port.host_port?, port.container_port)))
        .collect();
    ports.dedup();
    ports.join(", ")
}

/// What can be done with a container.
pub(super) fn container_actions(
    env: Env,
    container: &Container,
    done: Callback<()>,
) -> Vec<MenuItem> {
    let words = &t().engine;
    let may = env.may(Permission::Deploy);
    let path = container_path(container);
    let act = |glyph, label: &'static str, action| {
        let path = path.clone();
        MenuItem::action(glyph, label, move || {
            let path = env.api(&format!("{path}/actions"));
            spawn_local(async move {
                match api::post(path, &ContainerActionRequest { action }).done().await {
                    Ok(()) => done.run(()),
                    Err(error) => use_toasts().error(&error),
                }
            });
        })
        .disabled_if(!may)
    };
    use ContainerState as State;
    let mut items = match container.state {
        State::Running | State::Restarting => vec![
            act(Glyph::Restart, words.restart, ContainerAction::Restart),
            act(Glyph::Stop, words.stop, ContainerAction::Stop),
            act(Glyph::Pause, words.pause, ContainerAction::Pause),
            act(Glyph::Bolt, words.kill, ContainerAction::Kill),
        ],
        State::Paused => vec![act(Glyph::Play, words.unpause, ContainerAction::Unpause)],
        _ => vec![act(Glyph::Play, words.start, ContainerAction::Start)],
    };
    let name = container.name.clone();
    items.push(
        MenuItem::danger(Glyph::Trash, words.remove_container, move || {
            let path = env.api(&path);
            Confirm::new(words.remove_container, words.remove_container_text)
                .names(vec![name.clone()])
                .ask(t().common.remove, move || {
                    let path = path.clone();
                    async move {
                        api::delete(path)
                            .query("force", true)
                            .query("volumes", true)
                            .done()
                            .await?;
                        done.run(());
                        Ok(())
                    }
                });
        })
        .disabled_if(!may),
    );
    items
}

/// A table of containers, narrowed by `filters` (name and value of query parameters).
pub(super) fn container_table(
    env: Env,
    filters: impl Fn() -> Vec<(&'static str, String)> + Send + Sync + 'static,
) -> TableSpec<Container> {
    let words = &t().engine;
    let reload = Trigger::new();
    TableSpec::new(
        move |ask| {
            filters().into_iter().fold(ask.get(env.api("containers")), |request, (name, value)| {
                request.query(name, value)
            })
        },
        |container: &Container| format!("{}/{}", container.host_id, container.id),
    )
    .column(
        Column::new("name", t().common.name, |container: &Container| {
            view! {
                <span class="two">
                    <span class="strong truncate" title=container.name.clone()>{container.name.clone()}</span>
                    <span class="truncate" title=container.image.clone()>{container.image.clone()}</span>
                </span>
            }
        })
        .sort()
        .grow(3),
    )
    .column(
        Column::new("state", t().common.state, |container: &Container| {
            let health = container.health.map(|health| view! { <StatePill state=health /> });
            view! {
                <span class="row">
                    <StatePill state=container.state title=container.status.clone() />
                    {health}
                </span>
            }
        })
        .sort()
        .width(12.0),
    )
    .column(
        Column::new("stack_name", words.stack, move |container: &Container| match (
            &container.stack_name,
            container.stack_id,
        ) {
            (Some(name), Some(id)) => {
                view! { <a href=env.path(&format!("stacks/{id}"))>{name.clone()}</a> }.into_any()
            }
            _ => view! { <span class="faint">{words.unmanaged}</span> }.into_any(),
        })
        .sort()
        .grow(1),
    )
    .column(Column::new("host_name", words.host, |container: &Container| container.host_name.clone()).sort().width(8.0))
    .column(Column::new("ports", words.ports, |container: &Container| {
        let ports = ports(container);
        view! { <span class="truncate mono" title=ports.clone()>{ports.clone()}</span> }
    }))
    .column(
        Column::new("created_at", t().common.created, |container: &Container| {
            view! { <TimeAgo at=container.created_at /> }
        })
        .sort()
        .width(8.0),
    )
    .name(|container| container.name.clone())
    .link(move |container| container_page(env, container))
    .actions(move |container| {
        container_actions(env, container, Callback::new(move |()| reload.notify()))
    })
    .sorted("name")
    .live(&[Topic::Container])
    .patch(|event, container: &Container| {
        event.id == container.id && event.host_id == Some(container.host_id)
    })
    .reload_on(reload)
}

/// An environment's containers.
#[component]
pub fn Containers() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let state = RwSignal::new(String::new());
    let managed = RwSignal::new(String::new());
    let filters = move || vec![("state", state.get()), ("managed", managed.get())];
    let selected = RwSignal::new(Vec::<String>::new());
    let table = container_table(env, filters).select(selected, move || many(env, selected)).empty(move || {
        view! {
            <Empty glyph=Glyph::Container title=words.no_containers text=words.no_containers_text>
                <ButtonLink href=env.path("catalog") look=Look::Primary icon=Glyph::Catalog label=words.catalog />
            </Empty>
        }
    });
    let owners = vec![
        (String::new(), t().containers.any_owner.to_owned()),
        ("true".to_owned(), t().containers.by_drover.to_owned()),
        ("false".to_owned(), words.unmanaged.to_owned()),
    ];
    view! {
        <Page title=words.containers sub=words.containers_text>
            <Table
                spec=table
                label=words.containers
                filters=move || view! {
                    <Select label=t().common.state value=state options=states() />
                    <Select label=t().containers.any_owner value=managed options=owners.clone() />
                }
            />
        </Page>
    }
}

/// Buttons for all that is selected.
fn many(env: Env, selected: RwSignal<Vec<String>>) -> AnyView {
    let words = &t().engine;
    if !env.may(Permission::Deploy) {
        return ().into_any();
    }
    let act = move |glyph, label: &'static str, action| {
        let click = move |_| {
            spawn_local(async move {
                each(env, selected, move |path| {
                    api::post(format!("{path}/actions"), &ContainerActionRequest { action })
                })
                .await;
            });
        };
        view! { <Button small=true icon=glyph label=label on_click=click /> }
    };
    let remove = move |_| {
        let count = plural(selected.with_untracked(Vec::len) as u64, t().containers.containers);
        Confirm::new(words.remove_container, words.remove_container_text).names(vec![count]).ask(
            t().common.remove,
            move || async move {
                each(env, selected, |path| {
                    api::delete(path).query("force", true).query("volumes", true)
                })
                .await;
                Ok(())
            },
        );
    };
    view! {
        {act(Glyph::Play, words.start, ContainerAction::Start)}
        {act(Glyph::Stop, words.stop, ContainerAction::Stop)}
        {act(Glyph::Restart, words.restart, ContainerAction::Restart)}
        <Button small=true look=Look::Danger icon=Glyph::Trash label=t().common.remove on_click=remove />
    }
    .into_any()
}

/// Sends a request for each selected container; tells of the first failure and leaves what failed
/// selected.
async fn each(env: Env, selected: RwSignal<Vec<String>>, request: impl Fn(String) -> api::Request) {
    let mut failed = Vec::new();
    for id in selected.get_untracked() {
        let Some((host, container)) = id.split_once('/') else { continue };
        let path = env.api(&format!("hosts/{host}/containers/{container}"));
        if let Err(error) = request(path).done().await {
            if failed.is_empty() {
                use_toasts().error(&error);
            }
            failed.push(id);
        }
    }
    selected.try_set(failed);
}

/// The states to filter by, as the API names them and as people read them.
fn states() -> Vec<(String, String)> {
    use ContainerState as State;
    let all = [
        State::Running,
        State::Paused,
        State::Restarting,
        State::Exited,
        State::Created,
        State::Dead,
    ];
    let name = |state: State| {
        let name = serde_json::to_value(state).ok()?;
        Some((name.as_str()?.to_owned(), state.label().to_owned()))
    };
    std::iter::once((String::new(), t().engine.any_state.to_owned()))
        .chain(all.into_iter().filter_map(name))
        .collect()
}
