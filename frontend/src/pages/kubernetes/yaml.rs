//! An object as YAML: edited, compared with what is there, and applied.

use drover_api::ObjectDetail;
use leptos::prelude::*;

use super::{
    Kube,
    write::{Outcome, Writing},
};
use crate::{
    api::{self, encode},
    components::*,
    i18n::{kubernetes, t},
    icons::Glyph,
    remote::Remote,
    states::Tone,
};

/// The schema of a type, as text; nothing while it is not there.
pub(super) fn schema_of(kube: Kube, type_id: Signal<String>) -> Signal<Option<String>> {
    let schema = Remote::new(move || {
        let id = type_id.get();
        let path = kube.env.api(&format!("kubernetes/schema/{}", encode(&id)));
        async move {
            match id.is_empty() {
                true => Ok(None),
                false => api::get(path).text().await.map(Some),
            }
        }
    });
    Signal::derive(move || schema.get().flatten())
}

/// The tab.
#[component]
pub(super) fn Yaml(
    kube: Kube,
    type_id: String,
    path: String,
    detail: Remote<ObjectDetail>,
) -> impl IntoView {
    let words = kubernetes();
    let there = untrack(|| detail.with(|one| one.map(|one| one.yaml.clone())));
    let text = RwSignal::new(there.clone().unwrap_or_default());
    // What the text was made from.
    let base = RwSignal::new(there.unwrap_or_default());
    let newest = Memo::new(move |_| detail.with(|one| one.map(|one| one.yaml.clone())));
    let edited = Memo::new(move |_| text.with(|text| base.with(|base| text != base)));
    let take = move || {
        if let Some(yaml) = newest.get_untracked() {
            text.set(yaml.clone());
            base.set(yaml);
        }
    };
    // As long as nobody has typed, the text follows the object.
    Effect::new(move || {
        if newest.get().is_some() && !edited.get_untracked() {
            take();
        }
    });
    let moved = Memo::new(move |_| {
        edited.get()
            && newest.with(|newest| {
                newest.as_ref().is_some_and(|newest| base.with(|base| newest != base))
            })
    });
    let done = Callback::new(move |_| {
        base.set(text.get_untracked());
        use_toasts().success(words.is_applied);
        detail.reload();
    });
    let writing = Writing::new(kube, text, RwSignal::new(String::new()), done);
    let may = Signal::derive(move || {
        detail.with(|one| {
            one.is_some_and(|one| one.verbs.iter().any(|verb| verb == "patch" || verb == "update"))
        })
    });
    let schema = schema_of(kube, Signal::derive(move || type_id.clone()));
    let raw = format!("/v1/{path}");
    view! {
        <div class="stack">
            {move || moved.get().then(|| view! {
                <Notice tone=Tone::Warn>
                    <div class="row-wrap between">
                        <span>{words.changed_there}</span>
                        <Button small=true label=words.take_theirs on_click=move |_| take() />
                    </div>
                </Notice>
            })}
            {move || match may.get() {
                true => view! { <Editor label=words.yaml value=text marks=writing.marks() schema=schema /> }.into_any(),
                false => view! { <Editor label=words.yaml value=text read_only=true /> }.into_any(),
            }}
            <div class="row-wrap">
                {writing.buttons(words.apply, Signal::derive(move || may.get() && edited.get()))}
                {move || edited.get().then(|| view! { <Button look=Look::Ghost label=words.undo_edits icon=Glyph::Rollback on_click=move |_| take() /> })}
                <span class="grow"></span>
                <CopyButton text=text />
                <a class="btn btn-ghost btn-small" href=raw rel="external" target="_blank">{words.as_json}</a>
            </div>
            {move || (!may.get()).then(|| view! { <p class="small muted">{t().error.forbidden}</p> })}
            <Outcome writing=writing />
        </div>
    }
    .into_any()
}
