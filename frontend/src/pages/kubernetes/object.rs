//! An object's page.

use drover_api::{ObjectDetail, Permission, ResourceType, Topic};
use leptos::prelude::*;
use leptos_router::hooks::{use_navigate, use_params_map};
use serde_json::Value;

use super::{
    Kube,
    actions::{self, Dialogs, ObjectDialogs, Target, has_pods, rolls_out},
    edit::{Edit, has_form},
    facts::{Facts, pod_selector},
    files::Files,
    is_about,
    logs::ObjectLogs,
    metrics::Metrics,
    picture::PictureTab,
    pods::{Pods, Which},
    revisions::Revisions,
    types::title,
    use_kube,
    yaml::Yaml,
};
use crate::{
    api::{self, encode},
    components::*,
    i18n::{kubernetes, t},
    icons::{Glyph, Icon},
    pages::container_shell::Shell,
    remote::Remote,
    states::Tone,
};

/// Kinds that a picture is made of.
fn has_picture(type_id: &str) -> bool {
    rolls_out(type_id)
        || matches!(
            type_id,
            "services"
                | "ingresses.networking.k8s.io"
                | "replicasets.apps"
                | "pods"
                | "persistentvolumeclaims"
                | "jobs.batch"
                | "cronjobs.batch"
        )
}

/// The page.
#[component]
pub fn KubernetesObject() -> impl IntoView {
    let words = kubernetes();
    let kube = use_kube();
    let params = use_params_map();
    let part = |name: &str| params.with_untracked(|params| params.get(name).unwrap_or_default());
    let (type_id, name) = (part("type"), part("name"));
    let namespace = Some(part("namespace")).filter(|namespace| namespace != "-");
    let path = kube.object_api(&type_id, namespace.as_deref(), &name);
    let detail = {
        let (path, id) = (path.clone(), type_id.clone());
        let (namespace, name) = (namespace.clone(), name.clone());
        // Each look asks the cluster itself: not for what is about others.
        Remote::new(move || api::get(path.clone()).json::<ObjectDetail>())
            .live(&[Topic::KubernetesResources], move |event| {
                is_about(event, &id, namespace.as_deref(), &name)
            })
    };
    let of = {
        let id = type_id.clone();
        Memo::new(move |_| kube.of(&id).map(|of| ResourceType { count: None, ..of }))
    };
    let list = kube.list_page(&type_id);
    let crumbs = {
        let id = type_id.clone();
        Signal::derive(move || {
            let label = of.get().map_or_else(|| id.clone(), |of| title(&of));
            vec![(list.clone(), label)]
        })
    };
    let target = {
        let (type_id, namespace, name) = (type_id.clone(), namespace.clone(), name.clone());
        Memo::new(move |_| Target {
            kind: of.get().map_or_else(|| type_id.clone(), |of| of.kind),
            type_id: type_id.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
        })
    };
    let dialogs = Dialogs::new();
    let done = Callback::new(move |()| detail.reload());
    let navigate = use_navigate();
    let back = kube.list_page(&type_id);
    let gone = Callback::new(move |()| navigate(&back, Default::default()));
    let there = Memo::new(move |_| detail.with(|detail| detail.is_some()));
    let menu = move || {
        there.get().then(|| view! {
            <Menu label=t().common.actions class="btn btn-secondary" items=move || {
                detail.look(|detail| detail.map(|detail| {
                    actions::of_object(kube, &target.get_untracked(), &detail.object, &detail.verbs, dialogs, done)
                })).unwrap_or_default()
            }>
                {t().common.actions} <Icon glyph=Glyph::ChevronDown size=14 />
            </Menu>
        })
    };
    let badge = move || {
        let health =
            detail.with(|detail| detail.and_then(|one| Some((one.health?, one.reason.clone()))));
        health.map(|(health, reason)| view! { <StatePill state=health title=reason.unwrap_or_default() /> })
    };
    let object = Signal::derive(move || {
        detail.with(|detail| detail.map(|detail| detail.object.clone()).unwrap_or_default())
    });
    let tabs = StoredValue::new(tabs(
        kube,
        type_id,
        namespace.clone(),
        name.clone(),
        path,
        detail,
        object,
    ));
    let heading = name.clone();
    view! {
        <Page
            title=Signal::derive(move || heading.clone())
            crumbs=crumbs
            sub=namespace
            badge=badge
            actions=menu
        >
            <Found remote=detail>
                <Loaded remote=detail let:_one>
                    <Tabs label=words.object tabs=tabs.get_value() />
                </Loaded>
                {move || view! { <ObjectDialogs kube=kube target=target.get() dialogs=dialogs object=object done=done gone=gone /> }}
            </Found>
        </Page>
    }
}

fn tabs(
    kube: Kube,
    type_id: String,
    namespace: Option<String>,
    name: String,
    path: String,
    detail: Remote<ObjectDetail>,
    object: Signal<Value>,
) -> Vec<Tab> {
    let words = kubernetes();
    let id = type_id.as_str();
    let space = namespace.unwrap_or_default();
    let shell = kube.env.api(&format!("kubernetes/pods/{}/{}", encode(&space), encode(&name)));
    // Copied into the tabs, each of which may be made many times.
    let [of, space, name, path, shell] =
        [type_id.clone(), space, name, path, shell].map(StoredValue::new);
    let mut tabs = vec![
        Tab::new("overview", words.overview, move || {
            view! {
                <Loaded remote=detail let:one>
                    <Facts kube=kube type_id=of.get_value() detail=one />
                </Loaded>
                {pods_of(&of.get_value(), space.get_value(), name.get_value(), object)
                    .map(|which| view! { <h2>{words.pods}</h2> <Pods kube=kube which=which /> })}
            }
        }),
        Tab::new("yaml", words.yaml, move || {
            view! { <Yaml kube=kube type_id=of.get_value() path=path.get_value() detail=detail /> }
        }),
        Tab::new("events", words.events, move || view! { <Events detail=detail /> }),
    ];
    if has_form(id) {
        tabs.insert(
            1,
            Tab::new("edit", words.edit, move || {
                view! {
                    <Loaded remote=detail let:_one>
                        <Edit kube=kube type_id=of.get_value() detail=detail />
                    </Loaded>
                }
            }),
        );
    }
    if id == "pods" || has_pods(id) {
        tabs.push(Tab::new("logs", words.logs, move || {
            view! {
                <Loaded remote=detail let:_one>
                    <ObjectLogs kube=kube type_id=of.get_value() namespace=space.get_value() name=name.get_value() object=object />
                </Loaded>
            }
        }));
    }
    if id == "pods" {
        tabs.push(Tab::new("shell", words.shell, move || {
            view! {
                <Loaded remote=detail let:_one>
                    <PodShell kube=kube path=shell.get_value() object=object />
                </Loaded>
            }
        }));
    }
    if has_picture(id) {
        tabs.push(Tab::new("picture", words.picture, move || {
            view! { <PictureTab kube=kube path=path.get_value() /> }
        }));
    }
    if rolls_out(id) {
        tabs.push(Tab::new("revisions", words.revisions, move || {
            view! { <Revisions kube=kube path=path.get_value() detail=detail /> }
        }));
    }
    if id == "pods" || id == "nodes" || rolls_out(id) || id == "replicasets.apps" {
        tabs.push(Tab::new("metrics", words.metrics, move || {
            view! { <Metrics kube=kube type_id=of.get_value() namespace=space.get_value() name=name.get_value() /> }
        }));
    }
    tabs
}

/// The pods that an object stands for, if any.
fn pods_of(type_id: &str, namespace: String, name: String, object: Signal<Value>) -> Option<Which> {
    match type_id {
        "nodes" => Some(Which::OnNode(name)),
        "namespaces" => Some(Which::In(name)),
        "cronjobs.batch" => Some(Which::Of(namespace, format!("cronjobs.batch/{name}"))),
        other if has_pods(other) => {
            let selector = untrack(|| object.with(|object| pod_selector(other, object)));
            selector.map(|selector| Which::Selected(namespace, selector))
        }
        _ => None,
    }
}

/// A shell in one of a pod's containers.
#[component]
fn PodShell(kube: Kube, path: String, object: Signal<Value>) -> impl IntoView {
    let words = kubernetes();
    let all = untrack(|| object.with(actions::containers));
    // The newest ephemeral container is why somebody is here, if there is one.
    let debug = untrack(|| {
        object.with(|object| {
            let all = object.pointer("/spec/ephemeralContainers")?.as_array()?;
            all.last()?["name"].as_str().map(str::to_owned)
        })
    });
    let container = RwSignal::new(debug.or_else(|| all.first().cloned()).unwrap_or_default());
    let options: Vec<_> = all.into_iter().map(|name| (name.clone(), name)).collect();
    if !kube.env.may(Permission::Deploy) {
        return view! { <Notice>{t().error.forbidden}</Notice> }.into_any();
    }
    let many = options.len() > 1;
    let pod = path.clone();
    view! {
        {many.then(|| view! {
            <div class="toolbar"><Select label=words.container value=container options=options /></div>
        })}
        {move || {
            let query = format!("&container={}", encode(&container.get()));
            view! { <Shell env=kube.env path=path.clone() query=query /> }
        }}
        <Files path=pod container=container.into() />
    }
    .into_any()
}

/// An object's newest events.
#[component]
fn Events(detail: Remote<ObjectDetail>) -> impl IntoView {
    let words = kubernetes();
    let events = Memo::new(move |_| detail.with(|one| one.map(|one| one.events.clone())));
    let table = move || {
        let events = events.get()?;
        if events.is_empty() {
            return Some(
                view! { <Empty glyph=Glyph::Operation title=words.no_events text=words.no_events_text /> }
                    .into_any(),
            );
        }
        let rows = events
            .into_iter()
            .map(|event| {
                let tone = if event.kind == "Warning" { Tone::Warn } else { Tone::Idle };
                view! {
                    <tr>
                        <td><Badge label=event.reason tone=tone /></td>
                        <td class="break">{event.message}</td>
                        <td class="nums">{format!("×{}", event.count.max(1))}</td>
                        <td class="tight"><TimeAgoOr at=event.at otherwise="" /></td>
                    </tr>
                }
            })
            .collect_view();
        Some(
            view! {
                <div class="scroll-x"><table class="plain">
                    <thead><tr><th>{words.reason}</th><th>{words.message}</th><th>{words.times}</th><th>{words.last}</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table></div>
            }
            .into_any(),
        )
    };
    view! { <Card flush=true><Loaded remote=detail lines=4 let:_one>{table}</Loaded></Card> }
}
