//! On which cluster a new environment stands, and on how much of it.

use drover_api::{ClusterNamespace, ClusterShare, ClusterState, KubernetesCluster};
use leptos::prelude::*;

use super::{all, forms::is_name};
use crate::{
    api,
    components::*,
    i18n::clusters,
    icons::{Glyph, Icon},
    remote::Remote,
    states::{Stated, Tone},
};

/// What is chosen.
#[derive(Clone, Copy)]
pub(in crate::pages) struct Share {
    cluster: RwSignal<String>,
    /// `some` or `whole`.
    part: RwSignal<String>,
    namespaces: RwSignal<Vec<String>>,
}

impl Share {
    /// Nothing chosen yet.
    pub(in crate::pages) fn new() -> Self {
        Self {
            cluster: RwSignal::new(String::new()),
            part: RwSignal::new("some".to_owned()),
            namespaces: RwSignal::new(Vec::new()),
        }
    }

    /// What is chosen now; nothing while no cluster is.
    pub(in crate::pages) fn read(self) -> Option<ClusterShare> {
        let cluster_id = self.cluster.get_untracked().parse().ok()?;
        let some = self.part.get_untracked() == "some";
        Some(ClusterShare { cluster_id, namespaces: some.then(|| self.namespaces.get_untracked()) })
    }
}

/// The choice.
#[component]
pub(in crate::pages) fn ChooseShare(share: Share) -> impl IntoView {
    let words = clusters();
    let list = Remote::new(move || {
        all::<KubernetesCluster>(api::get("kubernetes/clusters").query("limit", 1000))
    });
    Effect::new(move || {
        // Where there is only one, it is the one.
        if let Some([one]) = list.get().as_deref() {
            share.cluster.set(one.id.to_string());
        }
    });
    let options = Signal::derive(move || {
        let clusters = list.get().unwrap_or_default();
        let one = |cluster: KubernetesCluster| {
            let state = match cluster.state {
                ClusterState::Active => String::new(),
                state => format!(" ({})", state.label()),
            };
            let version = cluster.version.unwrap_or_default();
            (cluster.id.to_string(), format!("{} {version}{state}", cluster.name))
        };
        std::iter::once((String::new(), words.choose.to_owned()))
            .chain(clusters.into_iter().map(one))
            .collect::<Vec<_>>()
    });
    let none = Memo::new(move |_| list.with(|list| list.is_some_and(Vec::is_empty)));
    let parts = [("some", words.some, words.some_help), ("whole", words.whole, words.whole_help)]
        .map(|(key, label, help)| (key.to_owned(), label.to_owned(), help.to_owned()));
    let parts: Vec<_> = parts.into();
    let body = move || {
        if none.get() {
            return view! {
                <Notice tone=Tone::Warn>
                    <div>{words.none_text}</div>
                    <div class="row"><ButtonLink small=true href="/admin/clusters/new" label=words.import /></div>
                </Notice>
            }
            .into_any();
        }
        let parts = parts.clone();
        view! {
            <SelectField label=words.which value=share.cluster options=options />
            <Choices label=words.part value=share.part options=parts />
            {move || {
                let (cluster, some) = (share.cluster.get(), share.part.with(|part| part == "some"));
                (some && !cluster.is_empty()).then(|| view! { <Namespaces cluster=cluster share=share /> })
            }}
        }
        .into_any()
    };
    view! { <Loaded remote=list lines=3 let:_list>{body.clone()}</Loaded> }
}

#[component]
fn Namespaces(cluster: String, share: Share) -> impl IntoView {
    share.namespaces.set(Vec::new());
    let there = Remote::new(move || {
        all::<ClusterNamespace>(api::get(format!("kubernetes/clusters/{cluster}/namespaces")))
    });
    view! {
        <Loaded remote=there lines=3 let:there>
            {move || {
                let free = there.get().into_iter().filter(|one| one.environment.is_none() && !one.system);
                view! { <Chooser free=free.collect() chosen=share.namespaces /> }
            }}
        </Loaded>
    }
}

/// Chooses among namespaces that are free, and names new ones.
#[component]
pub(super) fn Chooser(free: Vec<ClusterNamespace>, chosen: RwSignal<Vec<String>>) -> impl IntoView {
    let words = clusters();
    let typed = RwSignal::new(String::new());
    let wrong = RwSignal::new(None::<String>);
    let known: Vec<String> = free.iter().map(|one| one.name.clone()).collect();
    let add = move || {
        let name = typed.get_untracked().trim().to_owned();
        if !is_name(&name) {
            return wrong.set(Some(words.namespace_bad.to_owned()));
        }
        wrong.set(None);
        chosen.update(|all| {
            if !all.contains(&name) {
                all.push(name);
            }
        });
        typed.set(String::new());
    };
    let toggle = move |name: String, on: bool| {
        chosen.update(|all| {
            all.retain(|other| *other != name);
            if on {
                all.push(name);
            }
        });
    };
    let rows = free
        .into_iter()
        .map(|one| {
            let (name, shown) = (one.name.clone(), one.name.clone());
            view! {
                <li>
                    <label class="checkbox grow">
                        <input type="checkbox" prop:checked=move || chosen.with(|all| all.contains(&shown))
                            on:change=move |event| toggle(name.clone(), event_target_checked(&event)) />
                        <span class="break">{one.name}</span>
                    </label>
                </li>
            }
        })
        .collect_view();
    let is_empty = known.is_empty();
    let new = move || {
        let all = chosen.get();
        all.into_iter()
            .filter(|name| !known.contains(name))
            .map(|name| {
                let gone = name.clone();
                view! {
                    <li>
                        <Icon glyph=Glyph::Plus class="tone-ok" />
                        <span class="grow break">{name}</span>
                        <IconButton glyph=Glyph::Close small=true label=words.take_off on_click=move |_| toggle(gone.clone(), false) />
                    </li>
                }
            })
            .collect_view()
    };
    view! {
        <fieldset class="field">
            <legend class="field-label">{words.namespaces}</legend>
            <ul class="line-list line-list-scroll">
                {rows}
                {new}
                {move || (is_empty && chosen.with(Vec::is_empty)).then(|| view! { <li class="faint">{words.no_free}</li> })}
            </ul>
        </fieldset>
        <div class="row k8s-new" on:keydown=move |event| if event.key() == "Enter" {
            event.prevent_default();
            add();
        }>
            <div class="grow"><TextField label=words.new_namespace value=typed error=wrong help=words.new_namespace_help mono=true /></div>
            <Button label=words.add_namespace icon=Glyph::Plus on_click=move |_| add() />
        </div>
    }
    .into_any()
}
