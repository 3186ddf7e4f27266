//! Adds a host: by an agent, which a pasted command starts, or by an address that the server dials.

use drover_api::{
    CreateRegistrationToken, CreatedRegistrationToken, Endpoint, Host, List, Permission, Timestamp,
    Topic,
};
use leptos::prelude::*;
use leptos_router::{NavigateOptions, hooks::use_navigate};

use super::{Forbidden, host_form::HostForm};
use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    format,
    i18n::{fill, machines, plural, t},
    icons::{Glyph, Icon},
    remote::Remote,
    session::use_session,
    states::Tone,
};

/// The page.
#[component]
pub fn AddHost() -> impl IntoView {
    let words = machines();
    let env = use_env();
    let may = Memo::new(move |_| env.may(Permission::ManageHosts));
    let kind = RwSignal::new("agent".to_owned());
    // A socket is one of the server's own machine: only for administrators.
    let mut kinds = vec![
        ("agent", words.by_agent, words.by_agent_text),
        ("tcp", t().engine.by_tcp, t().engine.by_tcp_text),
    ];
    if untrack(|| use_session().is_admin()) {
        kinds.push(("socket", t().engine.by_socket, t().engine.by_socket_text));
    }
    let kinds: Vec<_> = kinds
        .into_iter()
        .map(|(key, label, help)| (key.to_owned(), label.to_owned(), help.to_owned()))
        .collect();
    let navigate = StoredValue::new_local(use_navigate());
    let to_hosts = move || {
        navigate.with_value(|go| go(&env.path("hosts"), NavigateOptions::default()));
    };
    let shown = move || match kind.get().as_str() {
        "agent" => view! { <ByAgent env=env /> }.into_any(),
        "tcp" => view! { <Dialled env=env kind="tcp" done=move |()| to_hosts() /> }.into_any(),
        _ => view! { <Dialled env=env kind="socket" done=move |()| to_hosts() /> }.into_any(),
    };
    view! {
        <Page
            title=words.add_title
            sub=words.add_text
            crumbs=vec![(env.path("hosts"), t().engine.hosts.to_owned())]
            actions=move || view! {
                <ButtonLink icon=Glyph::Key href=env.path("hosts/tokens") label=words.tokens />
            }
            narrow=true
        >
            {move || match may.get() {
                true => view! {
                    <Choices label=words.how value=kind options=kinds.clone() />
                    {shown}
                }.into_any(),
                false => view! { <Forbidden /> }.into_any(),
            }}
        </Page>
    }
}

/// A host that the server dials.
#[component]
fn Dialled(env: Env, kind: &'static str, #[prop(into)] done: Callback<()>) -> impl IntoView {
    let open = RwSignal::new(true);
    // Cancelled.
    Effect::new(move || {
        if !open.get() {
            done.run(());
        }
    });
    view! { <Card><HostForm env=env kind=kind open=open done=move |()| () /></Card> }
}

/// Asks who may come, then shows the command and who has come.
#[component]
fn ByAgent(env: Env) -> impl IntoView {
    let made = RwSignal::new(None::<(CreatedRegistrationToken, Timestamp)>);
    move || {
        let known = made.with(|made| made.as_ref().map(|(made, _)| made.token.id));
        match known {
            None => view! { <Ask env=env made=made /> }.into_any(),
            Some(_) => untrack(|| made.get())
                .map(|(token, _)| view! { <Paste env=env token=token again=move |()| made.set(None) /> })
                .into_any(),
        }
    }
}

#[component]
fn Ask(env: Env, made: RwSignal<Option<(CreatedRegistrationToken, Timestamp)>>) -> impl IntoView {
    let words = machines();
    let form = Form::new();
    let (name, most) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let hours = RwSignal::new("24".to_owned());
    let labels = RwSignal::new(Vec::new());
    let spans: Vec<_> = [
        ("1", words.hours_1),
        ("24", words.hours_24),
        ("168", words.days_7),
        ("720", words.days_30),
    ]
    .map(|(key, label)| (key.to_owned(), label.to_owned()))
    .into();
    let submit = move |()| {
        let most = most.get_untracked();
        let most = match most.trim() {
            "" => None,
            text => match text.parse().ok().filter(|most| (1..=10_000).contains(most)) {
                Some(most) => Some(most),
                None => return form.fail_field("most_hosts", words.most_hosts_bad),
            },
        };
        let input = CreateRegistrationToken {
            name: name.get_untracked(),
            expires_in_hours: hours.get_untracked().parse().unwrap_or(24),
            most_hosts: most,
            labels: labels_of(labels),
        };
        form.submit(
            move || async move { api::post(env.api("registration-tokens"), &input).json().await },
            move |token: CreatedRegistrationToken| {
                let at = token.token.created_at;
                made.set(Some((token, at)));
            },
        );
    };
    view! {
        <Card title=words.who>
            <FormView form=form on_submit=submit>
                <div class="form-row">
                    <SelectField label=words.token_expires value=hours options=spans form=form name="expires_in_hours" />
                    <TextField label=words.most_hosts value=most form=form name="most_hosts" kind="number" help=words.most_hosts_help optional=true />
                    <TextField label=words.token_name value=name form=form name="name" help=words.token_name_help optional=true />
                </div>
                <LabelEditor label=words.token_labels rows=labels help=t().hosts.labels_help />
                <FormActions form=form label=words.make />
            </FormView>
        </Card>
    }
}

/// The command, in its three forms, and the hosts as they come.
#[component]
fn Paste(
    env: Env,
    token: CreatedRegistrationToken,
    #[prop(into)] again: Callback<()>,
) -> impl IntoView {
    let words = machines();
    let way = RwSignal::new("script".to_owned());
    let ways =
        [("script", words.way_script), ("docker", words.way_docker), ("binary", words.way_binary)];
    let CreatedRegistrationToken { token, commands, .. } = token;
    let insecure = commands.script.contains(" http://");
    let shown = Signal::derive(move || match way.get().as_str() {
        "docker" => commands.docker.clone(),
        "binary" => commands.binary.clone(),
        _ => commands.script.clone(),
    });
    let help = move || match way.get().as_str() {
        "docker" => words.paste_docker,
        "binary" => words.paste_binary,
        _ => words.paste,
    };
    let group = new_id("way");
    let choices = ways
        .map(|(key, label)| {
            view! {
                <label class="segment">
                    <input type="radio" class="sr-only" name=group.clone() value=key
                        prop:checked=move || way.with(|way| way == key)
                        on:change=move |_| way.set(key.to_owned()) />
                    {label}
                </label>
            }
        })
        .collect_view();
    let once = fill(words.once, &[("time", &format::date_time(token.expires_at))]);
    view! {
        <Card>
            <div class="stack">
                <div class="segments" role="radiogroup" aria-label=words.how>{choices}</div>
                <p class="muted" aria-live="polite">{help}</p>
                <CommandBlock text=shown />
                <p class="small muted">{once}</p>
                {insecure.then(|| view! { <Notice tone=Tone::Warn>{words.not_https}</Notice> })}
            </div>
        </Card>
        <Arrivals env=env since=token.created_at most=token.most_hosts />
        <div class="row-wrap">
            <Button label=words.another icon=Glyph::Plus on_click=move |_| again.run(()) />
            <ButtonLink label=words.all_hosts href=env.path("hosts") />
        </div>
    }
    .into_any()
}

/// The hosts that have come by an agent since a time, as they come.
#[component]
fn Arrivals(
    env: Env,
    since: Timestamp,
    /// So many may come.
    most: Option<u32>,
) -> impl IntoView {
    let words = machines();
    let hosts = Remote::new(move || {
        api::get(env.api("hosts"))
            .query("sort", "-created_at")
            .query("limit", 200)
            .json::<List<Host>>()
    })
    .live(&[Topic::Host], |_| true);
    let come = Memo::new(move |_| {
        hosts.with(|list| {
            let all = list.map(|list| list.items.as_slice()).unwrap_or_default();
            let new = |host: &&Host| host.endpoint == Endpoint::Agent && host.created_at >= since;
            all.iter().filter(new).cloned().collect::<Vec<_>>()
        })
    });
    let waits = Memo::new(move |_| match come.with(Vec::len) {
        0 => Some(words.waiting),
        n if most.is_some_and(|most| n >= most as usize) => None,
        _ => Some(words.waiting_more),
    });
    let row = move |host: Host| {
        let system = host
            .facts
            .as_ref()
            .map(|facts| format!("{} · Docker {}", facts.operating_system, facts.engine_version));
        let detail = host.reason.clone().or(system).unwrap_or_default();
        view! {
            <li>
                <Icon glyph=Glyph::Host />
                <span class="two grow">
                    <span class="strong truncate" title=host.name.clone()>{host.name.clone()}</span>
                    <span class="truncate" title=detail.clone()>{detail.clone()}</span>
                </span>
                <StatePill state=host.state />
                <ButtonLink small=true label=words.open_host href=env.path(&format!("hosts/{}", host.id)) />
            </li>
        }
    };
    view! {
        <Card>
            <div class="stack" aria-live="polite">
                {move || {
                    let come = come.get();
                    (!come.is_empty()).then(|| view! {
                        <div class="row">
                            <Icon glyph=Glyph::CheckCircle class="tone-ok" />
                            <span class="strong">{plural(come.len() as u64, words.arrived)}</span>
                        </div>
                        <ul class="line-list">{come.into_iter().map(row).collect_view()}</ul>
                    })
                }}
                {move || waits.get().map(|text| view! {
                    <div class="row">
                        <Icon glyph=Glyph::Spinner spin=true />
                        <span class="two">
                            <span class="strong">{text}</span>
                            <span>{words.waiting_text}</span>
                        </span>
                    </div>
                })}
            </div>
        </Card>
    }
}
