//! A node's page.

use drover_api::{Permission, SwarmNode, Topic, UpdateNode};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use super::{
    nodes::node_actions,
    states::{node_role, node_tone},
    tasks::{Tasks, all_tasks},
};
use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    format,
    i18n::{swarm, t},
    icons::{Glyph, Icon},
    remote::Remote,
    states::Tone,
};

/// The page.
#[component]
pub fn SwarmNodePage() -> impl IntoView {
    let words = swarm();
    let env = use_env();
    let id = use_params_map().with_untracked(|params| params.get("node_id").unwrap_or_default());
    let path = env.api(&format!("swarm/nodes/{}", api::encode(&id)));
    let node = {
        let path = path.clone();
        Remote::new(move || api::get(path.clone()).json::<SwarmNode>())
            .live(&[Topic::Swarm], |_| true)
    };
    let there = Memo::new(move |_| node.with(|node| node.is_some()));
    let editing = RwSignal::new(false);
    let actions = move || {
        (there.get() && env.may(Permission::ManageHosts)).then(|| {
            let items = move || {
                let Some(now) = untrack(|| node.get()) else { return Vec::new() };
                let mut items = vec![MenuItem::action(Glyph::Edit, words.edit_labels, move || {
                    editing.set(true);
                })];
                items.extend(node_actions(env, &now, move || node.reload()));
                items
            };
            view! {
                <Menu label=t().common.actions class="btn btn-secondary" items=items>
                    {t().common.actions} <Icon glyph=Glyph::ChevronDown size=14 />
                </Menu>
            }
        })
    };
    let tasks = all_tasks(env);
    let mine = Signal::derive(move || {
        tasks.with(|list| {
            let all = list.map(|list| list.items.as_slice()).unwrap_or_default();
            all.iter().filter(|task| task.node_id.as_ref() == Some(&id)).cloned().collect()
        })
    });
    view! {
        <Page
            title=Signal::derive(move || node.with(|node| node.map(|node| node.hostname.clone()).unwrap_or_default()))
            crumbs=vec![(env.path("swarm?tab=nodes"), words.nodes.to_owned())]
            sub=Signal::derive(move || node.with(|node| node.and_then(|node| node.message.clone())))
            badge=move || node.get().map(|node| view! { <Badge label=node.state.clone() tone=node_tone(&node.state) /> })
            actions=actions
        >
            <Found remote=node>
                <Loaded remote=node let:now>
                    {move || facts(env, now.get())}
                    <Card title=words.tasks flush=true><Tasks env=env tasks=mine with_node=false /></Card>
                </Loaded>
            </Found>
            <Dialog open=editing title=words.edit_labels>
                {
                    let path = path.clone();
                    move || node.look(|node| node.cloned()).map(|now| view! {
                        <Labels path=path.clone() node=now open=editing done=move |()| node.reload() />
                    })
                }
            </Dialog>
        </Page>
    }
}

fn facts(env: Env, node: SwarmNode) -> AnyView {
    let words = swarm();
    let tags = |labels: indexmap::IndexMap<String, String>| match labels.is_empty() {
        true => view! { <span class="faint">{t().common.none}</span> }.into_any(),
        false => view! { <Tags labels=labels.into_iter().collect() /> }.into_any(),
    };
    let host = match (node.host_id, node.host_name.clone()) {
        (Some(id), Some(name)) => {
            view! { <a href=env.path(&format!("hosts/{id}"))>{name}</a> }.into_any()
        }
        _ => view! { <span class="faint">{words.not_ours}</span> }.into_any(),
    };
    let role = match &node.reachability {
        Some(reach) if reach != "reachable" => {
            let tone = if reach == "unreachable" { Tone::Bad } else { Tone::Idle };
            view! { <span class="row">{node_role(&node)} <Badge label=reach.clone() tone=tone /></span> }
                .into_any()
        }
        _ => node_role(&node).into_any(),
    };
    let left = vec![
        (words.role, role),
        (words.availability, view! { <StatePill state=node.availability /> }.into_any()),
        (words.host, host),
        (words.address, view! { <span class="mono">{node.address}</span> }.into_any()),
        (words.joined, view! { <TimeAgoOr at=node.created_at /> }.into_any()),
    ];
    let right = vec![
        (words.engine, node.engine_version.into_any()),
        (words.platform, node.platform.into_any()),
        (
            words.resources,
            format!("{} · {}", format::cores(node.cpus), format::bytes(node.memory as f64))
                .into_any(),
        ),
        (words.labels, tags(node.labels)),
        (words.engine_labels, tags(node.engine_labels)),
    ];
    view! {
        <div class="grid-2">
            <Card><KeyValues rows=left /></Card>
            <Card><KeyValues rows=right /></Card>
        </div>
    }
    .into_any()
}

#[component]
fn Labels(
    path: String,
    node: SwarmNode,
    open: RwSignal<bool>,
    #[prop(into)] done: Callback<()>,
) -> impl IntoView {
    let form = Form::new();
    let rows = label_rows(&node.labels);
    let submit = move |()| {
        let update = UpdateNode { labels: Some(labels_of(rows)), ..UpdateNode::default() };
        let request = api::patch(path.clone(), &update);
        form.submit(
            move || request.done(),
            move |()| {
                open.set(false);
                done.run(());
            },
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            <LabelEditor rows=rows help=swarm().node_labels_help />
            <FormActions form=form label=t().common.save on_cancel=move |()| open.set(false) />
        </FormView>
    }
}
