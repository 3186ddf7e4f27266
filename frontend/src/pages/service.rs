//! A service of a stack: what it is, how many of it run, and its containers.

use drover_api::{Permission, ScaleService, Service, StackDetail, StackState, Topic};
use leptos::{prelude::*, task::spawn_local};
use leptos_router::hooks::use_params_map;

use super::{containers::container_table, in_cluster::InCluster};
use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    i18n::{fill, t},
    icons::Glyph,
    remote::Remote,
    states::Tone,
};

/// A service's page.
#[component]
pub fn ServicePage() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let params = use_params_map();
    let part = |name: &str| params.with_untracked(|params| params.get(name).unwrap_or_default());
    let (id, name) = (part("stack_id"), part("service"));
    let stack = {
        let path = env.api(&format!("stacks/{id}"));
        Remote::new(move || api::get(path.clone()).json::<StackDetail>())
            .live(&[Topic::Stack, Topic::Container], |_| true)
    };
    let service = {
        let name = name.clone();
        Signal::derive(move || {
            stack.with(|stack| stack?.service_list.iter().find(|one| one.name == name).cloned())
        })
    };
    let crumbs = {
        let page = env.path(&format!("stacks/{id}"));
        Signal::derive(move || {
            let name = stack.with(|stack| stack.map(|s| s.stack.name.clone()));
            vec![
                (env.path("stacks"), words.stacks.to_owned()),
                (page.clone(), name.unwrap_or_default()),
            ]
        })
    };
    let path = env.api(&format!("stacks/{id}/services/{}", api::encode(&name)));
    let actions = {
        let path = path.clone();
        move || {
            let path = format!("{path}/restart");
            let restart = move |_| {
                let path = path.clone();
                spawn_local(async move {
                    match api::post(path, &()).done().await {
                        Ok(()) => stack.reload(),
                        Err(error) => use_toasts().error(&error),
                    }
                });
            };
            env.may(Permission::Deploy).then(|| {
                view! { <Button icon=Glyph::Restart label=words.restart on_click=restart /> }
            })
        }
    };
    let runs = {
        let (id, name) = (id.clone(), name.clone());
        match env.is_kubernetes() {
            true => view! { <InCluster env=env stack=id service=name /> }.into_any(),
            false => {
                let filters = move || vec![("stack_id", id.clone()), ("service", name.clone())];
                let table = container_table(env, filters).inner();
                view! { <Table spec=table label=words.containers /> }.into_any()
            }
        }
    };
    view! {
        <Page
            title=name
            crumbs=crumbs
            badge=move || service.get().map(|service| view! { <StatePill state=service.state /> })
            actions=actions
        >
            <Loaded remote=stack lines=3 let:_stack>
                {
                    let path = path.clone();
                    move || match service.get() {
                        Some(service) => facts(env, &path, stack, service),
                        None => view! { <Notice>{t().containers.no_service}</Notice> }.into_any(),
                    }
                }
            </Loaded>
            {runs}
        </Page>
    }
}

fn facts(env: Env, path: &str, stack: Remote<StackDetail>, service: Service) -> AnyView {
    let words = &t().engine;
    let list = |values: &[String]| {
        view! { <span class="mono break">{values.join(", ")}</span> }.into_any()
    };
    let rows = [
        (words.image, vec![service.image.clone()]),
        (words.ports, service.ports.clone()),
        (words.volumes, service.volumes.clone()),
        (words.networks, service.networks.clone()),
        (t().apps.waits_for, service.depends_on.clone()),
    ];
    let rows = rows
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| (*name, list(values)))
        .collect();
    let path = format!("{path}/scale");
    let why = service.reason.clone().map(|reason| {
        let tone = if service.state == StackState::Failed { Tone::Bad } else { Tone::Warn };
        view! { <Notice tone=tone><Reason text=reason /></Notice> }
    });
    view! {
        {why}
        <div class="grid-2">
            <Card><KeyValues rows=rows /></Card>
            <Card title=words.containers>
                <div class="stack-s">
                    <Scale env=env path=path service=service done=move |()| stack.reload() />
                    <span class="small muted">{t().containers.scale_help}</span>
                </div>
            </Card>
        </div>
    }
    .into_any()
}

/// Fewer or more of a service.
#[component]
pub(super) fn Scale(
    env: Env,
    /// Where to post the scale.
    path: String,
    service: Service,
    /// Called when the server has taken it.
    #[prop(into)]
    done: Callback<()>,
) -> impl IntoView {
    let words = &t().engine;
    if service.global {
        return view! { <span class="faint small">{t().containers.once_per_host}</span> }
            .into_any();
    }
    let may = env.may(Permission::Deploy);
    let (scale, name) = (service.scale, service.name);
    let scale_to = move |scale: u32| {
        let (path, name) = (path.clone(), name.clone());
        spawn_local(async move {
            match api::post(path, &ScaleService { scale }).done().await {
                Ok(()) => {
                    let values = [("name", name.as_str()), ("scale", &scale.to_string())];
                    use_toasts().success(fill(t().containers.scaled, &values));
                    done.run(());
                }
                Err(error) => use_toasts().error(&error),
            }
        });
    };
    let (less, more) = (scale_to.clone(), scale_to);
    let count = fill(
        words.running_of,
        &[("running", &service.healthy.to_string()), ("desired", &scale.to_string())],
    );
    view! {
        <span class="row nums" title=t().containers.scale_help>
            <IconButton glyph=Glyph::Minus label=format!("{} −", words.scale) small=true disabled=!may || scale == 0 on_click=move |_| less(scale.saturating_sub(1)) />
            {count}
            <IconButton glyph=Glyph::Plus label=format!("{} +", words.scale) small=true disabled=!may on_click=move |_| more(scale + 1) />
        </span>
    }
    .into_any()
}
