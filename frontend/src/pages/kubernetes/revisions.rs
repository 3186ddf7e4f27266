//! The revisions of a rollout: what they differ in, and back to one.

use drover_api::{ActionDone, ObjectAction, ObjectDetail, RolloutRevision, Topic};
use leptos::prelude::*;

use super::{Kube, actions::told, all, write::may_write};
use crate::{
    api,
    components::*,
    i18n::{fill, kubernetes},
    icons::Glyph,
    remote::Remote,
    states::Tone,
};

/// The tab.
#[component]
pub(super) fn Revisions(kube: Kube, path: String, detail: Remote<ObjectDetail>) -> impl IntoView {
    let words = kubernetes();
    let revisions = {
        let path = format!("{path}/revisions");
        Remote::new(move || all::<RolloutRevision>(api::get(path.clone())))
            .live(&[Topic::KubernetesResources], |event| event.id.ends_with(".apps"))
    };
    let may = may_write(detail);
    let path = StoredValue::new(path);
    let undo = move |revision: i64| {
        let number = revision.to_string();
        Confirm::new(fill(words.undo_title, &[("revision", &number)]), words.undo_text)
            .harmless()
            .ask(words.undo, move || {
                let action = ObjectAction::Undo { revision: Some(revision) };
                let request = api::post(format!("{}/actions", path.get_value()), &action);
                async move {
                    let answer: ActionDone = request.json().await?;
                    told(
                        kube,
                        answer,
                        Callback::new(move |()| {
                            revisions.reload();
                            detail.reload();
                        }),
                    );
                    Ok(())
                }
            });
    };
    let entry = move |one: RolloutRevision| {
        let RolloutRevision { revision, created_at, cause, images, current, diff } = one;
        view! {
            <Card title=fill(words.revision_n, &[("n", &revision.to_string())]) extra=move || match current {
                true => view! { <Badge label=words.current tone=Tone::Ok /> }.into_any(),
                false => view! { <Button small=true icon=Glyph::Rollback label=words.undo disabled=Signal::derive(move || !may.get()) on_click=move |_| undo(revision) /> }.into_any(),
            }>
                <div class="stack-s">
                    <div class="facts-line">
                        <TimeAgoOr at=created_at otherwise="" />
                        <span class="mono break">{images.join(", ")}</span>
                    </div>
                    {cause.map(|cause| view! { <div class="break">{cause}</div> })}
                    {(!current).then(|| view! {
                        <details class="more"><summary>{words.against_current}</summary><Diff text=diff /></details>
                    })}
                </div>
            </Card>
        }
    };
    view! {
        <Loaded remote=revisions lines=5 let:list>
            <div class="stack">
                {move || {
                    let list = list.get();
                    match list.is_empty() {
                        true => view! { <Card><Empty glyph=Glyph::Rollback title=words.no_revisions text=words.no_revisions_text /></Card> }.into_any(),
                        false => list.into_iter().map(entry).collect_view().into_any(),
                    }
                }}
            </div>
        </Loaded>
    }
    .into_any()
}
