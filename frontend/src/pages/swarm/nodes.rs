//! The nodes of a swarm.

use drover_api::{NodeAvailability, NodeRole, SwarmNode, Topic, UpdateNode};
use leptos::prelude::*;

use super::{
    change,
    states::{node_role, node_tone},
};
use crate::{
    api,
    components::*,
    environment::Env,
    format,
    i18n::{fill, swarm, t},
    icons::Glyph,
};

/// The list.
#[component]
pub(super) fn Nodes(env: Env) -> impl IntoView {
    let words = swarm();
    let reload = Trigger::new();
    let table = TableSpec::new(
        move |ask| ask.get(env.api("swarm/nodes")),
        |node: &SwarmNode| node.id.clone(),
    )
    .column(
        Column::new("hostname", words.node, |node: &SwarmNode| {
            let under = node.host_name.clone().filter(|name| *name != node.hostname);
            let under = under.unwrap_or_else(|| node.address.clone());
            view! {
                <span class="two">
                    <span class="strong truncate" title=node.hostname.clone()>{node.hostname.clone()}</span>
                    <span class="truncate" title=under.clone()>{under.clone()}</span>
                </span>
            }
        })
        .sort()
        .grow(2),
    )
    .column(
        Column::new("state", t().common.state, |node: &SwarmNode| {
            let title = node.message.clone().unwrap_or_default();
            view! { <Badge label=node.state.clone() tone=node_tone(&node.state) title=title /> }
        })
        .sort()
        .width(7.0),
    )
    .column(Column::new("role", words.role, node_role).sort().width(7.5))
    .column(
        Column::new("availability", words.availability, |node: &SwarmNode| {
            view! { <StatePill state=node.availability /> }
        })
        .sort()
        .width(7.5),
    )
    .column(
        Column::new("running_tasks", words.tasks, |node: &SwarmNode| node.running_tasks.to_string())
            .sort()
            .end()
            .width(5.0),
    )
    .column(
        Column::new("resources", words.resources, |node: &SwarmNode| {
            format!("{} · {}", format::cores(node.cpus), format::bytes(node.memory as f64))
        })
        .width(10.0),
    )
    .column(
        Column::new("labels", words.labels, |node: &SwarmNode| {
            let labels = node.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            view! { <span class="tags-line"><Tags labels=labels /></span> }
        })
        .grow(1),
    )
    .column(Column::new("engine", words.engine, |node: &SwarmNode| node.engine_version.clone()).width(6.5))
    .name(|node| node.hostname.clone())
    .link(move |node| env.path(&format!("swarm/nodes/{}", node.id)))
    .sorted("hostname")
    .live(&[Topic::Swarm])
    .reload_on(reload);
    let table = match env.may(drover_api::Permission::ManageHosts) {
        true => table.actions(move |node| node_actions(env, node, move || reload.notify())),
        false => table,
    };
    view! { <Table spec=table.inner() label=words.nodes /> }
}

/// What can be done with a node.
pub(super) fn node_actions(
    env: Env,
    node: &SwarmNode,
    done: impl Fn() + Copy + Send + Sync + 'static,
) -> Vec<MenuItem> {
    let words = swarm();
    let path = env.api(&format!("swarm/nodes/{}", node.id));
    let name = node.host_name.clone().unwrap_or_else(|| node.hostname.clone());
    let set = {
        let path = path.clone();
        move |update: UpdateNode| change(api::patch(path.clone(), &update), done)
    };
    let role = |role| UpdateNode { role: Some(role), ..UpdateNode::default() };
    let take =
        |availability| UpdateNode { availability: Some(availability), ..UpdateNode::default() };
    let at_once = |glyph, label, update: UpdateNode| {
        let set = set.clone();
        MenuItem::action(glyph, label, move || set(update.clone()))
    };
    let asks = |glyph,
                label: &'static str,
                title: &'static str,
                text: &'static str,
                update: UpdateNode| {
        let (path, title) = (path.clone(), fill(title, &[("name", &name)]));
        MenuItem::action(glyph, label, move || {
            let (path, update) = (path.clone(), update.clone());
            Confirm::new(title.clone(), text).harmless().ask(label, move || {
                let request = api::patch(path.clone(), &update);
                async move {
                    request.done().await?;
                    done();
                    Ok(())
                }
            });
        })
    };
    let mut items = Vec::new();
    match node.role {
        NodeRole::Worker => {
            items.push(at_once(Glyph::ArrowUp, words.promote, role(NodeRole::Manager)));
        }
        NodeRole::Manager => items.push(asks(
            Glyph::ArrowDown,
            words.demote,
            words.demote_title,
            words.demote_text,
            role(NodeRole::Worker),
        )),
    }
    if node.availability != NodeAvailability::Active {
        items.push(at_once(Glyph::Play, words.activate, take(NodeAvailability::Active)));
    }
    if node.availability == NodeAvailability::Active {
        items.push(at_once(Glyph::Pause, words.pause, take(NodeAvailability::Pause)));
    }
    if node.availability != NodeAvailability::Drain {
        items.push(asks(
            Glyph::Drain,
            words.drain,
            words.drain_title,
            words.drain_text,
            take(NodeAvailability::Drain),
        ));
    }
    items.push(MenuItem::Separator);
    items.push(leave(path.clone(), &name, done));
    items.push(forget(path, &name, done).disabled_if(node.state != "down"));
    items
}

fn leave(path: String, name: &str, done: impl Fn() + Copy + Send + Sync + 'static) -> MenuItem {
    let words = swarm();
    let title = fill(words.leave_title, &[("name", name)]);
    let path = format!("{path}/leave");
    MenuItem::danger(Glyph::SignOut, words.leave, move || {
        let path = path.clone();
        Confirm::new(title.clone(), words.leave_text).ask(words.leave, move || {
            let request = api::post(path.clone(), &drover_api::LeaveNode::default());
            async move {
                request.done().await?;
                done();
                Ok(())
            }
        });
    })
}

fn forget(path: String, name: &str, done: impl Fn() + Copy + Send + Sync + 'static) -> MenuItem {
    let words = swarm();
    let title = fill(words.forget_title, &[("name", name)]);
    MenuItem::danger(Glyph::Trash, words.forget, move || {
        let path = path.clone();
        Confirm::new(title.clone(), words.forget_text).ask(words.forget, move || {
            let request = api::delete(path.clone()).query("force", true);
            async move {
                request.done().await?;
                done();
                Ok(())
            }
        });
    })
}
