//! The swarm's page: what there is to do at first, and then its parts as tabs.

use drover_api::{Operation, Permission, Swarm, SwarmHost, SwarmState, Topic, UnlockSwarm};
use leptos::prelude::*;
use uuid::Uuid;

use super::{
    change,
    files::{Files, Kind},
    make::Make,
    manage::{ForceNew, Manage},
    map::Map,
    networks::Networks,
    nodes::Nodes,
    services::Services,
    stacks::Stacks,
};
use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    format,
    i18n::{fill, swarm, t},
    icons::Glyph,
    pages::OperationProgress,
    remote::Remote,
    states::{Tone, operation_name},
};

/// What the page is about now.
#[derive(Clone, Copy, PartialEq)]
enum Face {
    /// There is no swarm.
    Make,
    /// There is one that is not Drover's yet.
    Found,
    /// It is being made.
    Pending(Option<Uuid>),
    /// There is one.
    There,
}

/// The page.
#[component]
pub fn SwarmPage() -> impl IntoView {
    let words = swarm();
    let env = use_env();
    let remote = Remote::new(move || api::get(env.api("swarm")).json::<Swarm>())
        .live(&[Topic::Swarm, Topic::Operation], |_| true);
    let face = Memo::new(move |_| {
        remote.with(|swarm| {
            let swarm = swarm?;
            Some(match swarm.state {
                SwarmState::None => Face::Make,
                SwarmState::Found => Face::Found,
                SwarmState::Pending => Face::Pending(swarm.operation_id),
                _ => Face::There,
            })
        })
    });
    let body = move |face: Face| match face {
        Face::Make => view! { <NoSwarm env=env swarm=remote /> }.into_any(),
        Face::Found => view! { <TakeOver env=env swarm=remote /> }.into_any(),
        Face::Pending(operation) => {
            view! { <Pending env=env operation=operation swarm=remote /> }.into_any()
        }
        Face::There => there(env, remote),
    };
    view! {
        <Page
            title=words.title
            sub=words.text
            badge=move || remote.get().map(|swarm| view! { <StatePill state=swarm.state title=swarm.reason.unwrap_or_default() /> })
            actions=move || {
                let joins = face.get() == Some(Face::There) && env.may(Permission::ManageHosts);
                joins.then(|| view! { <JoinButton env=env swarm=remote /> })
            }
        >
            <Loaded remote=remote let:_there>
                {move || face.get().map(body)}
            </Loaded>
        </Page>
    }
}

/// Lets hosts join, in a dialog.
#[component]
fn JoinButton(env: Env, swarm: Remote<Swarm>) -> impl IntoView {
    let words = self::words();
    let open = RwSignal::new(false);
    view! {
        <Button icon=Glyph::Plus label=words.join on_click=move |_| open.set(true) />
        <Dialog open=open title=words.join wide=true>
            <Make env=env swarm=swarm join=true done=move |()| {
                open.set(false);
                swarm.reload();
            } />
        </Dialog>
    }
}

fn words() -> &'static crate::i18n::SwarmTexts {
    swarm()
}

fn there(env: Env, remote: Remote<Swarm>) -> AnyView {
    let words = swarm();
    let tabs = vec![
        Tab::new("map", words.map, move || view! { <Map env=env /> }),
        Tab::new("nodes", words.nodes, move || view! { <Nodes env=env /> }),
        Tab::new("services", words.services, move || view! { <Services env=env /> }),
        Tab::new("stacks", words.stacks, move || view! { <Stacks env=env /> }),
        Tab::new("networks", words.networks, move || view! { <Networks env=env /> }),
        Tab::new("secrets", words.secrets, move || view! { <Files env=env kind=Kind::Secret /> }),
        Tab::new("configs", words.configs, move || view! { <Files env=env kind=Kind::Config /> }),
        Tab::new("manage", words.manage, move || view! { <Manage env=env swarm=remote /> }),
    ];
    // What is told above the tabs: not made anew by each change of the swarm's figures.
    let told = Memo::new(move |_| {
        remote.get().map(|swarm| {
            (swarm.state, swarm.reason, swarm.advice, swarm.operation_id, swarm.ca_rotating)
        })
    });
    let old = move || {
        let age = remote.with(|swarm| swarm.map_or(0, |swarm| swarm.freshness.age_ms));
        (age > 10_000).then(|| {
            let time = format::duration(age as f64);
            view! { <p class="small muted">{fill(words.age, &[("time", &time)])}</p> }
        })
    };
    view! {
        {move || told.get().map(|(state, reason, advice, operation, rotating)| view! {
            {standing(env, remote, state, reason, advice)}
            {operation.map(|id| view! { <Card><Running env=env id=id /></Card> })}
            {rotating.then(|| view! { <Notice>{words.ca_rotating}</Notice> })}
        })}
        {old}
        <Tabs label=words.title tabs=tabs />
    }
    .into_any()
}

/// What is wrong, and what to do.
fn standing(
    env: Env,
    remote: Remote<Swarm>,
    state: SwarmState,
    reason: Option<String>,
    advice: Option<String>,
) -> Option<AnyView> {
    let tone = match state {
        SwarmState::Active => return None,
        SwarmState::NoQuorum => {
            return Some(view! { <NoQuorum env=env swarm=remote /> }.into_any());
        }
        SwarmState::Locked => return Some(view! { <Locked env=env swarm=remote /> }.into_any()),
        SwarmState::Degraded => Tone::Warn,
        _ => Tone::Bad,
    };
    Some(
        view! {
            <Notice tone=tone>
                <div class="strong">{reason}</div>
                {advice.map(|advice| view! { <div>{advice}</div> })}
            </Notice>
        }
        .into_any(),
    )
}

#[component]
fn NoSwarm(env: Env, swarm: Remote<Swarm>) -> impl IntoView {
    let words = self::words();
    // The form is made anew when hosts come or go.
    let hosts = Memo::new(move |_| {
        swarm.with(|swarm| {
            let all = swarm.map(|swarm| swarm.hosts.as_slice()).unwrap_or_default();
            all.iter().map(|host| (host.host_id, host.part)).collect::<Vec<_>>()
        })
    });
    let may = Memo::new(move |_| env.may(Permission::ManageHosts));
    move || {
        if hosts.with(Vec::is_empty) {
            let add = may.get().then(|| {
                view! { <ButtonLink look=Look::Primary icon=Glyph::Plus href=env.path("hosts/new") label=words.add_host /> }
            });
            return view! {
                <Empty glyph=Glyph::Swarm title=words.no_hosts text=words.no_hosts_text>{add}</Empty>
            }
            .into_any();
        }
        match may.get() {
            true => view! {
                <Card title=words.make_title>
                    <Make env=env swarm=swarm join=false done=move |()| swarm.reload() />
                </Card>
            }
            .into_any(),
            false => view! { <Empty glyph=Glyph::Swarm title=words.state_none text=t().error.forbidden_text /> }
                .into_any(),
        }
    }
}

/// Hosts and their parts.
fn hosts(rows: Vec<SwarmHost>) -> AnyView {
    let words = swarm();
    let rows = rows
        .into_iter()
        .map(|host| {
            view! {
                <tr>
                    <td class="strong">{host.host_name}</td>
                    <td>
                        <StatePill state=host.part />
                        {host.error.map(|error| view! { <div class="small muted">{error}</div> })}
                    </td>
                    <td class="mono">{host.address}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <div class="scroll-x">
            <table class="plain">
                <thead><tr><th>{words.host}</th><th>{words.part}</th><th>{words.address}</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

#[component]
fn TakeOver(env: Env, swarm: Remote<Swarm>) -> impl IntoView {
    let words = self::words();
    let take = move |_| {
        change(api::post(env.api("swarm/take-over"), &()), move || swarm.reload());
    };
    view! {
        <Notice>
            <div class="strong">{words.found_title}</div>
            <div>{words.found_text}</div>
        </Notice>
        {move || env.may(Permission::ManageHosts).then(|| view! {
            <div class="row"><Button look=Look::Primary label=words.take_over on_click=take /></div>
        })}
        <Card flush=true>{move || swarm.get().map(|swarm| hosts(swarm.hosts))}</Card>
    }
}

#[component]
fn Pending(env: Env, operation: Option<Uuid>, swarm: Remote<Swarm>) -> impl IntoView {
    let words = self::words();
    view! {
        <Card title=words.pending_title>
            {match operation {
                Some(id) => view! { <Running env=env id=id /> }.into_any(),
                None => view! { <Skeleton lines=2 /> }.into_any(),
            }}
        </Card>
        <Card flush=true>{move || swarm.get().map(|swarm| hosts(swarm.hosts))}</Card>
    }
}

/// An operation that is under way.
#[component]
fn Running(env: Env, id: Uuid) -> impl IntoView {
    let operation =
        Remote::new(move || api::get(env.api(&format!("operations/{id}"))).json::<Operation>())
            .live(&[Topic::Operation], move |event| event.id == id.to_string());
    move || {
        operation.get().map(|operation| {
            view! {
                <div class="operation-line" aria-live="polite">
                    <a href=env.path(&format!("operations/{id}"))>{operation_name(operation.kind)}</a>
                    <OperationProgress operation=operation />
                </div>
            }
        })
    }
}

#[component]
fn Locked(env: Env, swarm: Remote<Swarm>) -> impl IntoView {
    let words = self::words();
    let form = Form::new();
    let key = RwSignal::new(String::new());
    let submit = move |()| {
        let key = Some(key.get_untracked()).filter(|key| !key.trim().is_empty());
        let request = api::post(env.api("swarm/unlock"), &UnlockSwarm { key });
        form.submit(move || request.done(), move |()| swarm.reload());
    };
    view! {
        <Card title=words.locked_title>
            <div class="stack">
                <p class="muted">{words.locked_text}</p>
                {move || env.may(Permission::ManageHosts).then(|| view! {
                    <FormView form=form on_submit=submit>
                        <TextField label=words.unlock_key value=key form=form name="key" kind="password" autocomplete="off" optional=true />
                        <FormActions form=form label=words.unlock />
                    </FormView>
                })}
            </div>
        </Card>
    }
}

/// Too few managers: what that means, and what to do first and last.
#[component]
fn NoQuorum(env: Env, swarm: Remote<Swarm>) -> impl IntoView {
    let words = self::words();
    let open = RwSignal::new(false);
    let filled = move |text: &'static str| {
        let [reachable, managers, quorum] = swarm
            .with(|one| one.map(|one| [one.reachable_managers, one.managers, one.quorum]))
            .unwrap_or_default()
            .map(|number| number.to_string());
        fill(text, &[("reachable", &reachable), ("managers", &managers), ("quorum", &quorum)])
    };
    view! {
        <Notice tone=Tone::Bad>
            <div class="stack-s">
                <div class="strong">{words.quorum_title}</div>
                <div>{move || filled(words.quorum_text)}</div>
                {move || swarm.with(|one| one.and_then(|one| one.reason.clone())).map(|reason| view! { <div class="small">{reason}</div> })}
                <ol class="numbered">
                    <li>{move || filled(words.quorum_first)}</li>
                    <li>
                        {words.quorum_last}
                        {move || env.may(Permission::ManageHosts).then(|| view! {
                            " " <Button small=true label=words.force on_click=move |_| open.set(true) />
                        })}
                    </li>
                </ol>
            </div>
        </Notice>
        <Dialog open=open title=words.force>
            <ForceNew env=env swarm=swarm open=open />
        </Dialog>
    }
}
