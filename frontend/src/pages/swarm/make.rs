//! Which hosts become managers and workers: of a new swarm, or of the one that is there.

use drover_api::{
    CreateSwarm, EndpointMode, JoinHosts, NewNode, PublishMode, Swarm, SwarmDefaults, SwarmHost,
    SwarmPart,
};
use leptos::prelude::*;
use uuid::Uuid;

use crate::{
    api,
    components::*,
    environment::Env,
    i18n::swarm,
    icons::{Glyph, Icon},
    remote::Remote,
    states::Tone,
};

/// A host, and what it is to become.
#[derive(Clone)]
struct Row {
    id: Uuid,
    name: String,
    error: Option<String>,
    part: RwSignal<&'static str>,
    address: RwSignal<String>,
}

impl Row {
    fn of(host: &SwarmHost, part: &'static str) -> Self {
        Self {
            id: host.host_id,
            name: host.host_name.clone(),
            error: host.error.clone(),
            part: RwSignal::new(part),
            address: RwSignal::new(String::new()),
        }
    }

    fn node(&self) -> NewNode {
        let address = self.address.get_untracked().trim().to_owned();
        NewNode {
            host_id: self.id,
            advertise_address: Some(address).filter(|address| !address.is_empty()),
            data_path_address: None,
        }
    }
}

/// How many managers are wise for so many hosts.
fn wise(hosts: usize) -> usize {
    match hosts {
        0..=2 => 1,
        3..=6 => 3,
        _ => 5,
    }
}

/// What to say of so many managers.
fn advice(managers: usize) -> (Tone, &'static str) {
    let words = swarm();
    match managers {
        0 => (Tone::Bad, words.advice_0),
        1 => (Tone::Info, words.advice_1),
        3 => (Tone::Ok, words.advice_3),
        5 => (Tone::Ok, words.advice_5),
        n if n % 2 == 0 => (Tone::Warn, words.advice_even),
        _ => (Tone::Warn, words.advice_7),
    }
}

fn nodes(rows: &[Row], part: &str) -> Vec<NewNode> {
    rows.iter().filter(|row| row.part.get_untracked() == part).map(Row::node).collect()
}

/// The form.
#[component]
pub(super) fn Make(
    env: Env,
    swarm: Remote<Swarm>,
    /// Into the swarm that is there.
    join: bool,
    /// Called when the server has taken it.
    #[prop(into)]
    done: Callback<()>,
) -> impl IntoView {
    let words = crate::i18n::swarm();
    let form = Form::new();
    let free: Vec<_> = swarm
        .look(|swarm| swarm.map(|swarm| swarm.hosts.clone()))
        .unwrap_or_default()
        .into_iter()
        .filter(|host| host.part == SwarmPart::None || (!join && host.part == SwarmPart::Unknown))
        .collect();
    if free.is_empty() {
        return view! {
            <Notice>{words.none_to_join}</Notice>
            <div class="row"><ButtonLink icon=Glyph::Plus href=env.path("hosts/new") label=words.add_host /></div>
        }
        .into_any();
    }
    let managers = if join { 0 } else { wise(free.len()) };
    let rows: Vec<_> = free
        .iter()
        .enumerate()
        .map(|(index, host)| Row::of(host, if index < managers { "manager" } else { "worker" }))
        .collect();
    let rows = StoredValue::new(rows);
    let already = swarm.look(|one| one.map_or(0, |one| one.managers)) as usize;
    let already = if join { already } else { 0 };
    let count = Memo::new(move |_| {
        rows.with_value(|rows| rows.iter().filter(|row| row.part.get() == "manager").count())
    });
    let options = Options::new();
    let submit = move |()| {
        let (managers, workers) =
            rows.with_value(|rows| (nodes(rows, "manager"), nodes(rows, "worker")));
        let request = match join {
            true => api::post(env.api("swarm/join"), &JoinHosts { managers, workers }),
            false => api::post(env.api("swarm"), &options.input(managers, workers)),
        };
        form.submit(move || request.done(), move |()| done.run(()));
    };
    let list = rows.with_value(|rows| rows.iter().cloned().map(row).collect_view());
    let said = move || {
        let (tone, text) = advice(count.get() + already);
        view! { <Notice tone=tone>{text}</Notice> }
    };
    let (label, text) = match join {
        true => (words.join, words.join_text),
        false => (words.make, words.make_text),
    };
    view! {
        <FormView form=form on_submit=submit>
            <p class="muted">{text}</p>
            <ul class="line-list choose-nodes">{list}</ul>
            <div aria-live="polite">{said}</div>
            {(!join).then(|| view! { <Fields options=options form=form /> })}
            <FormActions form=form label=label disabled=Signal::derive(move || !join && count.get() == 0) />
        </FormView>
    }
    .into_any()
}

fn row(row: Row) -> AnyView {
    let words = swarm();
    let group = new_id("part");
    let part = row.part;
    let choices = [("manager", words.manager), ("worker", words.worker), ("", words.out)]
        .map(|(key, label)| {
            view! {
                <label class="segment">
                    <input type="radio" class="sr-only" name=group.clone()
                        prop:checked=move || part.get() == key
                        on:change=move |_| part.set(key) />
                    {label}
                </label>
            }
        })
        .collect_view();
    let address = row.address;
    view! {
        <li>
            <Icon glyph=Glyph::Host />
            <span class="two grow">
                <span class="strong truncate" title=row.name.clone()>{row.name.clone()}</span>
                {row.error.clone().map(|error| view! { <span class="truncate" title=error.clone()>{error.clone()}</span> })}
            </span>
            <input
                class="input mono node-address"
                aria-label=format!("{}: {}", row.name, words.advertise)
                title=words.advertise_help
                placeholder=words.automatic
                spellcheck="false"
                prop:value=address
                on:input=move |event| address.set(event_target_value(&event))
            />
            <span class="segments" role="radiogroup" aria-label=row.name.clone()>{choices}</span>
        </li>
    }
    .into_any()
}

/// What else can be said of a new swarm.
#[derive(Clone, Copy)]
struct Options {
    autolock: RwSignal<bool>,
    publish: RwSignal<String>,
    endpoint: RwSignal<String>,
    port: RwSignal<String>,
    pools: RwSignal<String>,
}

impl Options {
    fn new() -> Self {
        Self {
            autolock: RwSignal::new(false),
            publish: RwSignal::new("ingress".to_owned()),
            endpoint: RwSignal::new("vip".to_owned()),
            port: RwSignal::new(String::new()),
            pools: RwSignal::new(String::new()),
        }
    }

    fn input(self, managers: Vec<NewNode>, workers: Vec<NewNode>) -> CreateSwarm {
        let lines = |text: String| text.split_whitespace().map(str::to_owned).collect();
        CreateSwarm {
            managers,
            workers,
            autolock: self.autolock.get_untracked(),
            data_path_port: self.port.get_untracked().trim().parse().ok(),
            address_pools: lines(self.pools.get_untracked()),
            defaults: defaults(self.publish, self.endpoint),
        }
    }
}

/// The defaults that two choices say.
pub(super) fn defaults(publish: RwSignal<String>, endpoint: RwSignal<String>) -> SwarmDefaults {
    let host = publish.get_untracked() == "host";
    let dnsrr = endpoint.get_untracked() == "dnsrr";
    SwarmDefaults {
        publish_mode: if host { PublishMode::Host } else { PublishMode::Ingress },
        endpoint_mode: if dnsrr { EndpointMode::Dnsrr } else { EndpointMode::Vip },
    }
}

/// The two choices of what services get that say nothing themselves.
#[component]
pub(super) fn DefaultFields(
    publish: RwSignal<String>,
    endpoint: RwSignal<String>,
) -> impl IntoView {
    let words = swarm();
    let named = |options: [(&str, &str); 2]| {
        options.map(|(key, label)| (key.to_owned(), label.to_owned())).to_vec()
    };
    let publishes = named([("ingress", words.publish_ingress), ("host", words.publish_host)]);
    let endpoints = named([("vip", words.endpoint_vip), ("dnsrr", words.endpoint_dnsrr)]);
    view! {
        <div class="stack-s">
            <span class="field-label">{words.defaults}</span>
            <div class="form-row">
                <SelectField label=words.publish value=publish options=publishes />
                <SelectField label=words.endpoint value=endpoint options=endpoints />
            </div>
            <p class="field-help">{words.mesh_help}</p>
        </div>
    }
}

#[component]
fn Fields(options: Options, form: Form) -> impl IntoView {
    let words = swarm();
    view! {
        <details class="more">
            <summary>{words.more_options}</summary>
            <div class="form">
                <Switch label=words.autolock help=words.autolock_help checked=options.autolock />
                <DefaultFields publish=options.publish endpoint=options.endpoint />
                <TextField label=words.data_port value=options.port form=form name="data_path_port" kind="number" placeholder="4789" optional=true />
                <TextArea label=words.pools value=options.pools form=form name="address_pools" help=words.pools_help code=true rows=2 optional=true />
            </div>
        </details>
    }
}
