//! An object as YAML: edited, compared with what is there, and applied.

use std::{collections::HashMap, sync::Arc};

use drover_api::ObjectDetail;
use leptos::{prelude::*, task::spawn_local};

use super::{
    Kube,
    write::{Outcome, Writing, changed_there, may_write},
};
use crate::{
    api::{self, encode},
    components::*,
    i18n::{kubernetes, t},
    icons::Glyph,
    remote::Remote,
};

/// The schemas of a text's documents, as texts; each type's is fetched once.
pub(super) fn schemas_of(kube: Kube, types: Signal<Vec<String>>) -> Signal<Vec<Option<Arc<str>>>> {
    let types = Memo::new(move |_| types.get());
    let known = RwSignal::new(HashMap::<String, Option<Arc<str>>>::new());
    Effect::new(move || {
        for id in types.get() {
            if id.is_empty() || known.with_untracked(|known| known.contains_key(&id)) {
                continue;
            }
            known.update_untracked(|known| _ = known.insert(id.clone(), None));
            let path = kube.env.api(&format!("kubernetes/schema/{}", encode(&id)));
            let schema = api::get(path).text();
            spawn_local(async move {
                // Without one, there is no completion.
                if let Ok(schema) = schema.await {
                    known.try_update(|known| known.insert(id, Some(schema.into())));
                }
            });
        }
    });
    let schemas = Memo::new(move |_| {
        let types = types.get();
        known.with(|known| types.iter().map(|id| known.get(id).cloned().flatten()).collect())
    });
    schemas.into()
}

/// The `apiVersion` and `kind` of each document of a text; empty where it does not say.
pub(super) fn headers(text: &str) -> Vec<(String, String)> {
    let mut all = vec![(String::new(), String::new())];
    for line in text.lines() {
        if line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        {
            all.push(Default::default());
            continue;
        }
        let value = |key: &str| {
            let value = line.strip_prefix(key)?.strip_prefix(':')?;
            let value = value.split_once(" #").map_or(value, |(value, _)| value);
            Some(value.trim().trim_matches(['"', '\'']).to_owned())
        };
        if let Some(last) = all.last_mut() {
            if let Some(version) = value("apiVersion") {
                last.0 = version;
            } else if let Some(kind) = value("kind") {
                last.1 = kind;
            }
        }
    }
    all
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
    let may = may_write(detail);
    let schemas = schemas_of(kube, Signal::derive(move || vec![type_id.clone()]));
    let raw = format!("/v1/{path}");
    view! {
        <div class="stack">
            {move || moved.get().then(|| changed_there(take))}
            {move || match may.get() {
                true => view! { <Editor label=words.yaml value=text marks=writing.marks() schemas=schemas /> }.into_any(),
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

#[cfg(test)]
mod tests {
    use super::headers;

    #[test]
    fn each_document_says_what_it_is() {
        let text = "apiVersion: apps/v1\nkind: Deployment # mine\n---\nkind: \"Service\"\nspec:\n  kind: x\n---\n";
        let pair = |version: &str, kind: &str| (version.to_owned(), kind.to_owned());
        assert_eq!(
            headers(text),
            [pair("apps/v1", "Deployment"), pair("", "Service"), pair("", "")]
        );
        // As the editor counts them: a first line of dashes ends an empty document.
        assert_eq!(headers("---\nkind: Pod"), [pair("", ""), pair("", "Pod")]);
    }
}
