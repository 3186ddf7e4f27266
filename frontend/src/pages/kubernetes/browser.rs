//! Around an environment's Kubernetes pages: its types at the side of lists, and how old what is
//! shown is while the cluster is away.

use drover_api::{ClusterState, ResourceType};
use leptos::prelude::*;
use leptos_router::{
    NavigateOptions,
    components::Outlet,
    hooks::{use_location, use_navigate},
};

use super::{
    Kube,
    types::{group_hint, grouped, title},
};
use crate::{
    components::*,
    format,
    i18n::{fill, kubernetes, t},
    icons::{Glyph, Icon},
    states::{Stated, Tone},
};

/// The frame: the types beside a list, nothing beside other pages.
#[component]
pub fn KubernetesBrowser() -> impl IntoView {
    let kube = Kube::provide();
    let path = use_location().pathname;
    let root = kube.env.path("kubernetes");
    let current = Memo::new(move |_| {
        path.with(|path| {
            let rest = path.strip_prefix(&root)?.trim_matches('/');
            let one = !rest.is_empty() && !rest.contains('/');
            (one && !matches!(rest, "create" | "kubectl" | "limits")).then(|| rest.to_owned())
        })
    });
    let listing = Memo::new(move |_| current.with(Option::is_some));
    view! {
        <div class=move || if listing.get() { "k8s k8s-list" } else { "k8s" }>
            {move || listing.get().then(|| view! { <Types kube=kube current=current /> })}
            <div class="k8s-body">
                <Standing kube=kube />
                <Outlet />
            </div>
        </div>
    }
}

/// To the list that most people want.
#[component]
pub fn KubernetesStart() -> impl IntoView {
    let kube = super::use_kube();
    let navigate = use_navigate();
    Effect::new(move || {
        let options = NavigateOptions { replace: true, ..Default::default() };
        navigate(&kube.list_page("deployments.apps"), options);
    });
    view! { <Skeleton lines=8 /> }
}

/// What is wrong with the cluster, and from when what is shown is.
#[component]
pub(super) fn Standing(kube: Kube) -> impl IntoView {
    let words = kubernetes();
    let told = Memo::new(move |_| {
        kube.cluster.with(|cluster| {
            let one = cluster?;
            let wrong = one.state != ClusterState::Active;
            wrong.then(|| (one.state, one.reason.clone(), one.last_contact))
        })
    });
    let clock = use_clock();
    move || {
        told.get().map(|(state, reason, last)| {
            let tone = match state {
                ClusterState::Connecting | ClusterState::Waiting => Tone::Info,
                ClusterState::Degraded => Tone::Warn,
                _ => Tone::Bad,
            };
            let age = move || {
                last.filter(|_| state != ClusterState::Degraded).map(|at| {
                    let age = format::ago(at, clock.now());
                    view! { <div class="small">{fill(words.as_last_seen, &[("time", &age)])}</div> }
                })
            };
            view! {
                <div class="k8s-standing" aria-live="polite">
                    <Notice tone=tone>
                        <div class="strong">{state.label()}</div>
                        {reason.map(|reason| view! { <div>{reason}</div> })}
                        {age}
                    </Notice>
                </div>
            }
        })
    }
}

/// The types by group, with counts, searchable.
#[component]
fn Types(kube: Kube, current: Memo<Option<String>>) -> impl IntoView {
    let words = kubernetes();
    let search = RwSignal::new(String::new());
    let open = RwSignal::new(false);
    let link = move |of: ResourceType| {
        let id = of.id.clone();
        let is = move || current.with(|current| current.as_deref() == Some(id.as_str()));
        let name = title(&of);
        let hint = group_hint(&of.id).to_owned();
        let label = if hint.is_empty() { name.clone() } else { format!("{name} ({hint})") };
        view! {
            <a class="nav-link k8s-type" href=kube.list_page(&of.id) title=label
                aria-current=move || is().then_some("page")>
                <span>{name}</span>
                {of.count.map(|count| view! { <span class="k8s-count nums">{format::count(count)}</span> })}
            </a>
        }
    };
    let groups = move || {
        let wanted = search.get();
        let groups =
            kube.types.with(|all| all.map(|all| grouped(all, &wanted)).unwrap_or_default());
        if groups.is_empty() {
            return view! { <p class="faint small">{t().common.nothing_matches}</p> }.into_any();
        }
        groups
            .into_iter()
            .map(|(group, types)| {
                let links = types.into_iter().map(link).collect_view();
                view! {
                    <div class="nav-group" role="group" aria-label=group.label()>
                        <div class="nav-title" aria-hidden="true">{group.label()}</div>
                        {links}
                    </div>
                }
            })
            .collect_view()
            .into_any()
    };
    view! {
        <aside class="k8s-types" data-open=move || open.get().to_string()>
            <button type="button" class="btn btn-secondary btn-block k8s-types-open"
                aria-expanded=move || open.get().to_string()
                on:click=move |_| open.update(|open| *open = !*open)>
                <span>{words.types}</span> <Icon glyph=Glyph::ChevronDown size=14 />
            </button>
            <div class="k8s-types-body">
                <SearchBox label=words.search_types value=search />
                <nav class="k8s-types-list" aria-label=words.types on:click=move |_| open.set(false)>
                    <Loaded remote=kube.types lines=12 let:_all>{groups}</Loaded>
                </nav>
            </div>
        </aside>
    }
    .into_any()
}
