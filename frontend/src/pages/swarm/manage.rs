//! Join tokens, settings, and what ends a swarm.

use drover_api::{
    ForceNewCluster, Permission, PublishMode, RemoveSwarm, RotateSwarm, Swarm, SwarmKeys,
    SwarmPart, UpdateSwarm,
};
use leptos::{prelude::*, task::spawn_local};

use super::make::{DefaultFields, defaults};
use crate::{
    api,
    components::*,
    environment::Env,
    i18n::{fill, machines, swarm, t},
    icons::Glyph,
    pages::Forbidden,
    remote::Remote,
    states::Tone,
};

/// The tab.
#[component]
pub(super) fn Manage(env: Env, swarm: Remote<Swarm>) -> impl IntoView {
    let words = crate::i18n::swarm();
    let may = Memo::new(move |_| env.may(Permission::ManageHosts));
    let version = Memo::new(move |_| swarm.with(|swarm| swarm.map(|swarm| swarm.version)));
    move || {
        match may.get() {
        false => view! { <Forbidden /> }.into_any(),
        true => view! {
            <Keys env=env swarm=swarm />
            <CommandLine env=env />
            <Card title=words.settings>
                {move || {
                    version.track();
                    swarm.look(|one| one.cloned()).map(|one| view! { <Settings env=env now=one swarm=swarm /> })
                }}
            </Card>
            <Danger env=env swarm=swarm />
        }
        .into_any(),
    }
    }
}

/// What lets machines in, and making it anew.
#[component]
fn Keys(env: Env, swarm: Remote<Swarm>) -> impl IntoView {
    let words = crate::i18n::swarm();
    let keys = RwSignal::new(None::<SwarmKeys>);
    let show = move || {
        spawn_local(async move {
            match api::get(env.api("swarm/keys")).json().await {
                Ok(answer) => _ = keys.try_set(Some(answer)),
                Err(error) => use_toasts().error(&error),
            }
        });
    };
    let rotate = move |label: &'static str, text: &'static str, what: RotateSwarm| {
        let asks = move |_| {
            Confirm::new(label, text).harmless().ask(words.rotate, move || async move {
                let newer: Swarm = api::post(env.api("swarm/rotate"), &what).json().await?;
                swarm.set(newer);
                use_toasts().success(words.is_rotated);
                if keys.with_untracked(Option::is_some) {
                    show();
                }
                Ok(())
            });
        };
        view! { <Button small=true icon=Glyph::Refresh label=label on_click=asks /> }
    };
    let only = |set: fn(&mut RotateSwarm)| {
        let mut what = RotateSwarm::default();
        set(&mut what);
        what
    };
    let locks = Memo::new(move |_| swarm.with(|swarm| swarm.is_some_and(|swarm| swarm.autolock)));
    let line = |label: &'static str, text: String| {
        view! {
            <div class="stack-s">
                <span class="field-label">{label}</span>
                <CommandBlock text=text />
            </div>
        }
    };
    let shown = move || {
        let Some(keys) = keys.get() else {
            return view! { <div class="row"><Button icon=Glyph::Eye label=words.show_keys on_click=move |_| show() /></div> }
                .into_any();
        };
        let manager = keys.managers.first().cloned().unwrap_or_default();
        let command = |token: &str| format!("docker swarm join --token {token} {manager}");
        view! {
            {line(words.as_worker, command(&keys.worker_token))}
            {line(words.as_manager, command(&keys.manager_token))}
            {keys.unlock_key.clone().map(|key| line(words.unlock_with, key))}
        }
        .into_any()
    };
    view! {
        <Card title=words.join_by_hand>
            <div class="stack">
                <p class="muted">{words.join_by_hand_text}</p>
                {shown}
                <div class="row-wrap">
                    {rotate(words.rotate_worker, words.rotate_token_text, only(|what| what.worker_token = true))}
                    {rotate(words.rotate_manager, words.rotate_token_text, only(|what| what.manager_token = true))}
                    {move || locks.get().then(|| rotate(words.rotate_unlock, words.rotate_unlock_text, only(|what| what.unlock_key = true)))}
                    {rotate(words.rotate_ca, words.rotate_ca_text, only(|what| what.certificate_authority = true))}
                </div>
            </div>
        </Card>
    }
}

/// Where Docker's own command line reaches the managers.
#[component]
fn CommandLine(env: Env) -> impl IntoView {
    let words = crate::i18n::swarm();
    let origin = window().location().origin().unwrap_or_default();
    let address = format!("{origin}/docker/environments/{}/swarm", env.id());
    view! {
        <Card title=machines().docker_cli>
            <div class="stack">
                <p class="muted">{words.docker_text}</p>
                <CommandBlock text=address />
            </div>
        </Card>
    }
}

#[component]
fn Settings(env: Env, now: Swarm, swarm: Remote<Swarm>) -> impl IntoView {
    let words = crate::i18n::swarm();
    let form = Form::new();
    let version = now.version;
    let autolock = RwSignal::new(now.autolock);
    let history = RwSignal::new(now.task_history.map(|n| n.to_string()).unwrap_or_default());
    let host = now.defaults.publish_mode == PublishMode::Host;
    let dnsrr = now.defaults.endpoint_mode == drover_api::EndpointMode::Dnsrr;
    let publish = RwSignal::new(if host { "host" } else { "ingress" }.to_owned());
    let endpoint = RwSignal::new(if dnsrr { "dnsrr" } else { "vip" }.to_owned());
    let submit = move |()| {
        let typed = history.get_untracked();
        let task_history = match typed.trim() {
            "" => None,
            text => match text.parse().ok().filter(|n| *n <= 100) {
                Some(n) => Some(n),
                None => return form.fail_field("task_history", words.history_bad),
            },
        };
        let input = UpdateSwarm {
            autolock: Some(autolock.get_untracked()),
            task_history,
            defaults: Some(defaults(publish, endpoint)),
        };
        let request = api::patch(env.api("swarm"), &input).if_match(version);
        form.submit(
            move || request.json(),
            move |newer: Swarm| {
                use_toasts().success(t().common.saved);
                swarm.set(newer);
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <Switch label=words.autolock help=words.autolock_help checked=autolock />
            <DefaultFields publish=publish endpoint=endpoint />
            <TextField label=words.task_history value=history form=form name="task_history" kind="number" />
            <FormActions form=form label=t().common.save />
        </FormView>
    }
}

#[component]
fn Danger(env: Env, swarm: Remote<Swarm>) -> impl IntoView {
    let words = crate::i18n::swarm();
    let (forcing, dissolving) = (RwSignal::new(false), RwSignal::new(false));
    let line = |title: &'static str, text: &'static str, open: RwSignal<bool>| {
        view! {
            <div class="row-wrap between">
                <div class="danger-text">
                    <div class="strong">{title}</div>
                    <div class="muted small">{text}</div>
                </div>
                <Button look=Look::Danger label=title on_click=move |_| open.set(true) />
            </div>
        }
    };
    view! {
        <Card title=words.danger danger=true>
            <div class="stack">
                {line(words.force, words.quorum_last, forcing)}
                <hr />
                {line(words.dissolve, words.dissolve_text, dissolving)}
            </div>
        </Card>
        <Dialog open=forcing title=words.force><ForceNew env=env swarm=swarm open=forcing /></Dialog>
        <Dialog open=dissolving title=words.dissolve><Dissolve env=env swarm=swarm open=dissolving /></Dialog>
    }
}

/// A field that must hold the environment's name.
fn confirm_field(env: Env, typed: RwSignal<String>, form: Form) -> AnyView {
    let label = fill(swarm().confirm_name, &[("name", &untrack(|| env.name()))]);
    view! { <TextField label=label value=typed form=form name="confirm" mono=true /> }.into_any()
}

/// Makes a new swarm of one manager of one that has lost its quorum.
#[component]
pub(super) fn ForceNew(env: Env, swarm: Remote<Swarm>, open: RwSignal<bool>) -> impl IntoView {
    let words = crate::i18n::swarm();
    let form = Form::new();
    let managers: Vec<_> = swarm
        .look(|swarm| swarm.map(|swarm| swarm.hosts.clone()))
        .unwrap_or_default()
        .into_iter()
        .filter(|host| host.part == SwarmPart::Manager)
        .map(|host| (host.host_id.to_string(), host.host_name))
        .collect();
    let chosen = RwSignal::new(managers.first().map(|(id, _)| id.clone()).unwrap_or_default());
    let typed = RwSignal::new(String::new());
    let submit = move |()| {
        let Ok(host_id) = chosen.get_untracked().parse() else { return };
        let confirm = typed.get_untracked();
        let input = ForceNewCluster { host_id, advertise_address: None, confirm };
        let request = api::post(env.api("swarm/force-new-cluster"), &input);
        form.submit(
            move || request.done(),
            move |()| {
                open.set(false);
                swarm.reload();
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <Notice tone=Tone::Warn>{words.force_text}</Notice>
            <SelectField label=words.force_of value=chosen options=managers form=form name="host_id" />
            {confirm_field(env, typed, form)}
            <FormActions
                form=form
                label=words.force
                look=Look::Danger
                disabled=Signal::derive(move || typed.get() != env.name())
                on_cancel=move |()| open.set(false)
            />
        </FormView>
    }
}

/// All hosts leave.
#[component]
fn Dissolve(env: Env, swarm: Remote<Swarm>, open: RwSignal<bool>) -> impl IntoView {
    let words = crate::i18n::swarm();
    let form = Form::new();
    let typed = RwSignal::new(String::new());
    let submit = move |()| {
        let request =
            api::delete(env.api("swarm")).body(&RemoveSwarm { confirm: typed.get_untracked() });
        form.submit(
            move || request.done(),
            move |()| {
                open.set(false);
                swarm.reload();
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <Notice tone=Tone::Bad>{words.dissolve_text}</Notice>
            {confirm_field(env, typed, form)}
            <FormActions
                form=form
                label=words.dissolve
                look=Look::Danger
                disabled=Signal::derive(move || typed.get() != env.name())
                on_cancel=move |()| open.set(false)
            />
        </FormView>
    }
}
