//! An environment's hosts.

use drover_api::{Endpoint, Host, Permission, Topic};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::host_form::HostForm;
use crate::{components::*, environment::use_env, format, i18n::t, icons::Glyph};

/// How a host is reached, in a line.
pub(super) fn endpoint(host: &Host) -> String {
    match &host.endpoint {
        Endpoint::Socket { path } => path.clone(),
        Endpoint::Tcp { address } => address.clone(),
        Endpoint::Agent => String::new(),
    }
}

/// An environment's hosts.
#[component]
pub fn Hosts() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    // `?add` comes from where there are no hosts yet.
    let asked = use_query_map().with_untracked(|query| query.get("add").is_some());
    let adding = RwSignal::new(asked && env.may(Permission::ManageHosts));
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
                    <span class="truncate mono" title=endpoint(host)>{endpoint(host)}</span>
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
            let total = host.facts.as_ref().map_or(0.0, |facts| f64::from(facts.cpus));
            host.usage.as_ref().map(|usage| view! { <UseBar label=t().engine.cpus used=usage.cpu total=total words=format::cores /> })
        })
        .width(9.0),
    )
    .column(
        Column::new("memory", words.memory, |host: &Host| {
            let total = host.facts.as_ref().map_or(0.0, |facts| facts.memory as f64);
            host.usage.as_ref().map(|usage| view! { <UseBar label=t().engine.memory used=usage.memory as f64 total=total words=format::bytes /> })
        })
        .width(12.0),
    )
    .column(
        Column::new("engine", words.engine, |host: &Host| {
            host.facts.as_ref().map(|facts| view! { <span title=facts.operating_system.clone()>{facts.engine_version.clone()}</span> })
        })
        .width(9.0),
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
                <HostForm env=env open=adding done=move |()| reload.notify() />
            </Dialog>
        </Page>
    }
}
