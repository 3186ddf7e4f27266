//! An environment's hosts.

use drover_api::{AgentFit, Endpoint, Host, List, Permission, Topic};
use leptos::{prelude::*, task::spawn_local};

use super::host_agent::{self, AgentVersion, is_old};
use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    format,
    i18n::{fill, machines, plural, t},
    icons::Glyph,
    remote::Remote,
    states::Tone,
};

/// How a host is reached, in a line.
pub(super) fn endpoint(host: &Host) -> String {
    match &host.endpoint {
        Endpoint::Socket { path } => path.clone(),
        Endpoint::Tcp { address } => address.clone(),
        Endpoint::Agent => {
            host.agent.as_ref().and_then(|agent| agent.address.clone()).unwrap_or_default()
        }
    }
}

/// CPU in use in cores, memory in bytes: of the machine where its agent measures it, else of the
/// containers.
pub(super) fn in_use(host: &Host) -> Option<(f64, f64)> {
    let usage = host.usage.as_ref()?;
    Some(match &usage.machine {
        Some(machine) => (machine.cpu, machine.memory as f64),
        None => (usage.cpu, usage.memory as f64),
    })
}

/// An environment's hosts.
#[component]
pub fn Hosts() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let add = move || {
        env.may(Permission::ManageHosts).then(|| {
            view! {
                <ButtonLink icon=Glyph::Key href=env.path("hosts/tokens") label=machines().tokens />
                <ButtonLink look=Look::Primary icon=Glyph::Plus href=env.path("hosts/new") label=words.add_host />
            }
        })
    };
    let table = TableSpec::new(
        move |ask| ask.get(env.api("hosts")),
        |host: &Host| host.id.to_string(),
    )
    .column(
        Column::new("name", t().common.name, |host: &Host| {
            let labels: Vec<_> = host.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            let under = match labels.is_empty() {
                true => {
                    view! { <span class="truncate mono" title=endpoint(host)>{endpoint(host)}</span> }
                        .into_any()
                }
                false => view! { <span class="tags-line"><Tags labels=labels /></span> }.into_any(),
            };
            view! {
                <span class="two">
                    <span class="strong truncate" title=host.name.clone()>{host.name.clone()}</span>
                    {under}
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
        Column::new("agent", machines().agent, |host: &Host| {
            host.agent.clone().map(|agent| view! { <AgentVersion agent=agent /> })
        })
        .width(9.0),
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
            in_use(host).map(|(cpu, _)| view! { <UseBar label=t().engine.cpus used=cpu total=total words=format::cores /> })
        })
        .width(8.5),
    )
    .column(
        Column::new("memory", words.memory, |host: &Host| {
            let total = host.facts.as_ref().map_or(0.0, |facts| facts.memory as f64);
            in_use(host).map(|(_, memory)| view! { <UseBar label=t().engine.memory used=memory total=total words=format::bytes /> })
        })
        .width(11.5),
    )
    .column(
        Column::new("engine", words.engine, |host: &Host| {
            host.facts.as_ref().map(|facts| view! { <span title=facts.operating_system.clone()>{facts.engine_version.clone()}</span> })
        })
        .width(7.0),
    )
    .name(|host| host.name.clone())
    .link(move |host| env.path(&format!("hosts/{}", host.id)))
    .actions(move |host| row_actions(env, host))
    .sorted("name")
    .live(&[Topic::Host])
    .empty(move || {
        view! {
            <Empty glyph=Glyph::Host title=words.no_hosts text=words.no_hosts_text>
                {add}
            </Empty>
        }
    });
    view! {
        <Page title=words.hosts sub=words.hosts_text actions=add>
            <OldAgents env=env />
            <Table spec=table label=words.hosts />
        </Page>
    }
}

/// What can be done with a host in the list.
fn row_actions(env: Env, host: &Host) -> Vec<MenuItem> {
    let words = machines();
    let page = env.path(&format!("hosts/{}", host.id));
    let mut items = vec![MenuItem::link(Glyph::ArrowRight, words.open_host, page)];
    if is_old(host) && env.may(Permission::ManageHosts) {
        let path = env.api(&format!("hosts/{}/agent/upgrade", host.id));
        let name = host.name.clone();
        let upgrade = MenuItem::action(Glyph::Upgrade, words.upgrade, move || {
            let (path, name) = (path.clone(), name.clone());
            spawn_local(async move {
                match api::post(path, &()).done().await {
                    Ok(()) => {
                        use_toasts().success(fill(words.upgrade_asked, &[("name", &name)]));
                    }
                    Err(error) => use_toasts().error(&error),
                }
            });
        });
        items.push(upgrade.disabled_if(host_agent::is_upgrading(host)));
    }
    items
}

/// Says how many agents are older than the server, and upgrades them all.
#[component]
fn OldAgents(env: Env) -> impl IntoView {
    let words = machines();
    let hosts =
        Remote::new(move || api::get(env.api("hosts")).query("limit", 1000).json::<List<Host>>())
            .live(&[Topic::Host], |_| true);
    let old = Memo::new(move |_| {
        hosts.with(|list| {
            let all = list.map(|list| list.items.as_slice()).unwrap_or_default();
            let old = all.iter().filter(|host| is_old(host) && !host_agent::is_upgrading(host));
            old.map(|host| (host.id, fit(host) == AgentFit::TooOld)).collect::<Vec<_>>()
        })
    });
    let busy = RwSignal::new(false);
    let upgrade = move |_| {
        busy.set(true);
        spawn_local(async move {
            let mut asked = 0;
            for (id, _) in old.get_untracked() {
                let path = env.api(&format!("hosts/{id}/agent/upgrade"));
                match api::post(path, &()).done().await {
                    Ok(()) => asked += 1,
                    Err(error) => use_toasts().error(&error),
                }
            }
            if asked > 0 {
                use_toasts().success(plural(asked, words.upgrades_asked));
            }
            busy.try_set(false);
            hosts.reload();
        });
    };
    move || {
        let old = old.get();
        let too_old = old.iter().any(|(_, too_old)| *too_old);
        (!old.is_empty() && env.may(Permission::ManageHosts)).then(|| {
            view! {
                <Notice tone=if too_old { Tone::Warn } else { Tone::Info }>
                    <div class="row-wrap between">
                        <div>
                            <div class="strong">{plural(old.len() as u64, words.some_old)}</div>
                            {too_old.then(|| view! { <div class="small">{words.some_too_old}</div> })}
                        </div>
                        <Button small=true icon=Glyph::Upgrade label=words.upgrade_all busy=busy on_click=upgrade />
                    </div>
                </Notice>
            }
        })
    }
}

fn fit(host: &Host) -> AgentFit {
    host.agent.as_ref().map_or(AgentFit::Unknown, |agent| agent.fit)
}
