use drover_api::{
    ClusterKind, CrossHostNetwork, CrossHostNetworkState, CrossHostNetworkStatus, Environment,
    EnvironmentState, List, Permission, SchedulingStrategy, UpdateEnvironment, UpdateScheduling,
};
use leptos::{prelude::*, task::spawn_local};
use leptos_router::{NavigateOptions, hooks::use_navigate};
use serde_json::Value;

use super::Forbidden;
use crate::{
    api,
    components::*,
    environment::{Env, use_env, use_environments},
    i18n::{fill, machines, plural, t},
    remote::Remote,
    states::Tone,
};

/// An environment's name and description; to deactivate or delete it.
#[component]
pub fn EnvironmentSettings() -> impl IntoView {
    let env = use_env();
    let may = Memo::new(move |_| env.may(Permission::ManageEnvironment));
    move || match may.get() {
        true => view! { <Editable env=env /> }.into_any(),
        false => view! { <Forbidden /> }.into_any(),
    }
}

#[component]
fn Editable(env: Env) -> impl IntoView {
    let words = &t().environment;
    let environments = use_environments();
    let remote = Remote::new(move || api::get(env.api("")).json::<Environment>());
    let state = Memo::new(move |_| env.get().map(|env| env.state));
    // After a change: everything that shows the environment's name or state.
    let refresh = move || {
        remote.reload();
        environments.remote().reload();
    };
    view! {
        <Page title=words.settings narrow=true>
            {move || {
                (state.get() == Some(EnvironmentState::Inactive))
                    .then(|| view! { <Notice tone=Tone::Warn>{words.deactivated}</Notice> })
            }}
            <Card title=words.general>
                <Loaded remote=remote let:environment>
                    {move || {
                        view! { <General environment=environment.get() on_saved=move |()| refresh() /> }
                    }}
                </Loaded>
            </Card>
            {move || {
                let cattle = env.get().is_some_and(|env| env.cluster_kind == ClusterKind::Cattle);
                cattle.then(|| view! {
                    <Card title=machines().scheduling>
                        <Loaded remote=remote let:environment>
                            {move || view! { <Schedule environment=environment.get() on_saved=move |()| refresh() /> }}
                        </Loaded>
                    </Card>
                })
            }}
            {move || {
                let kubernetes = env.get().is_some_and(|env| env.cluster_kind == ClusterKind::Kubernetes);
                kubernetes.then(|| view! {
                    <Card title=words.on_cluster>
                        <div class="stack">
                            <p class="muted">{words.on_cluster_text}</p>
                            <div><ButtonLink href=env.path("kubernetes/limits") label=words.on_cluster /></div>
                        </div>
                    </Card>
                })
            }}
            <Card title=words.danger danger=true>
                <div class="stack">
                    {move || switch(env, state.get() == Some(EnvironmentState::Inactive), refresh)} <hr />
                    <Delete env=env />
                </div>
            </Card>
        </Page>
    }
}

#[component]
fn General(environment: Environment, #[prop(into)] on_saved: Callback<()>) -> impl IntoView {
    let words = &t().environment;
    let form = Form::new();
    let (id, version) = (environment.id, environment.version);
    let name = RwSignal::new(environment.name);
    let description = RwSignal::new(environment.description);
    let submit = move |()| {
        let input = UpdateEnvironment {
            name: Some(name.get_untracked()),
            description: Some(description.get_untracked()),
            ..Default::default()
        };
        form.submit(
            move || async move {
                api::patch(format!("environments/{id}"), &input)
                    .if_match(version)
                    .json::<Environment>()
                    .await
            },
            move |_| {
                use_toasts().success(words.saved);
                on_saved.run(());
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <TextField form=form name="name" label=t().common.name value=name />
            <TextArea
                form=form
                name="description"
                label=t().common.description
                value=description
                optional=true
                rows=3
            />
            <FormActions form=form label=t().common.save />
        </FormView>
    }
}

/// Where containers go, when a host counts as gone, and the network across hosts.
#[component]
fn Schedule(environment: Environment, #[prop(into)] on_saved: Callback<()>) -> impl IntoView {
    let words = machines();
    let form = Form::new();
    let (id, version) = (environment.id, environment.version);
    let now = environment.scheduling;
    let strategy = RwSignal::new(match now.strategy {
        SchedulingStrategy::Spread => "spread".to_owned(),
        SchedulingStrategy::Pack => "pack".to_owned(),
    });
    let network = RwSignal::new(match now.cross_host_network {
        CrossHostNetwork::Off => "off".to_owned(),
        CrossHostNetwork::On => "on".to_owned(),
        CrossHostNetwork::Encrypted => "encrypted".to_owned(),
    });
    let gone = RwSignal::new(now.host_gone_after_seconds.to_string());
    let options = |options: &[(&str, &str, &str)]| {
        let owned =
            options.iter().map(|(a, b, c)| (str::to_owned(a), str::to_owned(b), str::to_owned(c)));
        owned.collect::<Vec<_>>()
    };
    let strategies = options(&[
        ("spread", words.spread, words.spread_text),
        ("pack", words.pack, words.pack_text),
    ]);
    let networks = options(&[
        ("on", words.cross_on, words.cross_on_text),
        ("encrypted", words.cross_encrypted, words.cross_encrypted_text),
        ("off", words.cross_off, words.cross_off_text),
    ]);
    let submit = move |()| {
        let seconds = gone.get_untracked().trim().parse().ok();
        let Some(seconds) = seconds.filter(|seconds| (30..=86_400).contains(seconds)) else {
            return form.fail_field("scheduling.host_gone_after_seconds", words.gone_after_bad);
        };
        let scheduling = UpdateScheduling {
            strategy: Some(match strategy.get_untracked().as_str() {
                "pack" => SchedulingStrategy::Pack,
                _ => SchedulingStrategy::Spread,
            }),
            host_gone_after_seconds: Some(seconds),
            cross_host_network: Some(match network.get_untracked().as_str() {
                "off" => CrossHostNetwork::Off,
                "encrypted" => CrossHostNetwork::Encrypted,
                _ => CrossHostNetwork::On,
            }),
        };
        let input = UpdateEnvironment { scheduling: Some(scheduling), ..Default::default() };
        let request = api::patch(format!("environments/{id}"), &input).if_match(version);
        form.submit(
            move || request.done(),
            move |()| {
                use_toasts().success(t().environment.saved);
                on_saved.run(());
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <Choices label=words.strategy value=strategy options=strategies />
            <TextField
                form=form
                name="scheduling.host_gone_after_seconds"
                label=words.gone_after
                value=gone
                kind="number"
                unit=words.seconds
                help=words.gone_after_help
            />
            <Choices label=words.cross value=network options=networks />
            {environment.cross_host_network.map(across)}
            <FormActions form=form label=t().common.save />
        </FormView>
    }
}

/// How the network across hosts stands, and each host in it.
fn across(status: CrossHostNetworkStatus) -> AnyView {
    let words = machines();
    let (tone, text) = match status.state {
        CrossHostNetworkState::Off => (Tone::Info, words.cross_state_off),
        CrossHostNetworkState::OneHost => (Tone::Info, words.cross_state_one),
        CrossHostNetworkState::Joining => (Tone::Info, words.cross_state_joining),
        CrossHostNetworkState::Ready => (Tone::Ok, words.cross_state_ready),
        CrossHostNetworkState::Partial => (Tone::Warn, words.cross_state_partial),
        CrossHostNetworkState::Unavailable => (Tone::Bad, words.cross_state_unavailable),
    };
    let hosts = status
        .hosts
        .into_iter()
        .map(|host| {
            let (label, tone) = match host.joined {
                true => (words.joined, Tone::Ok),
                false => (words.not_joined, Tone::Warn),
            };
            let under = host.reason.or(host.address).unwrap_or_default();
            view! {
                <li>
                    <span class="two grow">
                        <span class="strong truncate">{host.name}</span>
                        <span class="break">{under}</span>
                    </span>
                    <Badge label=label tone=tone />
                </li>
            }
        })
        .collect_view();
    view! {
        <div class="stack-s">
            <Notice tone=tone>
                <div class="strong">{text}</div>
                {status.reason.map(|reason| view! { <div class="small">{reason}</div> })}
            </Notice>
            <ul class="line-list">{hosts}</ul>
        </div>
    }
    .into_any()
}

/// A line of the danger zone: what it does, and its button.
fn line(title: &'static str, text: &'static str, button: AnyView) -> AnyView {
    view! {
        <div class="row-wrap between">
            <div class="danger-text">
                <div class="strong">{title}</div>
                <div class="muted small">{text}</div>
            </div>
            {button}
        </div>
    }
    .into_any()
}

fn switch(env: Env, inactive: bool, refresh: impl Fn() + Copy + Send + Sync + 'static) -> AnyView {
    let words = &t().environment;
    let set = move |state: EnvironmentState| async move {
        let update = UpdateEnvironment { state: Some(state), ..Default::default() };
        api::patch(env.api(""), &update).done().await?;
        refresh();
        Ok(())
    };
    if inactive {
        let activate = move |_| {
            spawn_local(async move {
                if let Err(error) = set(EnvironmentState::Active).await {
                    use_toasts().error(&error);
                }
            });
        };
        let button = view! { <Button label=words.activate on_click=activate /> }.into_any();
        return line(words.activate, words.activate_text, button);
    }
    let deactivate = move |_| {
        Confirm::new(words.deactivate, words.deactivate_text)
            .names(vec![env.name()])
            .ask(words.deactivate, move || set(EnvironmentState::Inactive));
    };
    let button = view! { <Button label=words.deactivate on_click=deactivate /> }.into_any();
    line(words.deactivate, words.deactivate_text, button)
}

#[component]
fn Delete(env: Env) -> impl IntoView {
    let words = &t().environment;
    let navigate = use_navigate();
    let busy = RwSignal::new(false);
    let ask = move |_| {
        let navigate = navigate.clone();
        busy.set(true);
        spawn_local(async move {
            let names = what_goes(env).await;
            busy.set(false);
            let name = untrack(|| env.name());
            let names = match names {
                Ok(names) => names,
                Err(error) => return use_toasts().error(&error),
            };
            Confirm::new(fill(words.delete_title, &[("name", &name)]), words.delete_text)
                .names(names)
                .type_name(&name)
                .ask(words.delete, move || {
                    let navigate = navigate.clone();
                    async move {
                        api::delete(env.api("")).query("stacks", true).done().await?;
                        use_toasts().success(words.removing);
                        navigate("/", NavigateOptions::default());
                        Ok(())
                    }
                });
        });
    };
    let button = view! { <Button look=Look::Danger label=words.delete busy=busy on_click=ask /> };
    line(words.delete, words.delete_text, button.into_any())
}

/// The stacks by name, and how many hosts are disconnected.
async fn what_goes(env: Env) -> api::Result<Vec<String>> {
    let words = &t().environment;
    let stacks: List<Value> = api::get(env.api("stacks")).query("limit", 20).json().await?;
    let hosts: List<Value> = api::get(env.api("hosts")).query("limit", 1).json().await?;
    let mut names: Vec<String> = stacks
        .items
        .iter()
        .filter_map(|stack| Some(stack.get("name")?.as_str()?.to_owned()))
        .collect();
    if stacks.total as usize > names.len() {
        names.push(plural(stacks.total, words.going_stacks));
    }
    if hosts.total > 0 {
        names.push(plural(hosts.total, words.going_hosts));
    }
    Ok(names)
}
