use leptos::prelude::*;

use crate::states::{Stated, Tone};

/// A short word on a tinted ground.
#[component]
pub fn Badge(
    /// The word.
    #[prop(into)]
    label: Signal<String>,
    /// What its colour says.
    #[prop(default = Tone::Idle)]
    tone: Tone,
    /// Shown on hover.
    #[prop(optional, into)]
    title: Option<String>,
) -> impl IntoView {
    view! {
        <span class=format!("badge badge-{}", tone.name()) title=title>
            <span>{label}</span>
        </span>
    }
}

/// A state with its colour and name; pulses while it will change by itself.
#[component]
pub fn StatePill<S>(
    /// Any state of [`crate::states`].
    state: S,
    /// Shown on hover: the reason.
    #[prop(optional, into)]
    title: Option<String>,
) -> impl IntoView
where
    S: Stated + 'static,
{
    pill(state.tone(), state.label(), state.busy(), title)
}

fn pill(tone: Tone, label: &'static str, busy: bool, title: Option<String>) -> impl IntoView {
    view! {
        <span class=format!("badge badge-{}", tone.name()) title=title>
            <span class=if busy { "dot dot-busy" } else { "dot" }></span>
            <span>{label}</span>
        </span>
    }
}

/// Labels as `key value` tags.
#[component]
pub fn Tags(
    /// Keys and values; a value may be empty.
    labels: Vec<(String, String)>,
) -> impl IntoView {
    let tags = labels
        .into_iter()
        .map(|(key, value)| {
            let title = if value.is_empty() { key.clone() } else { format!("{key}={value}") };
            view! {
                <span class="tag" title=title>
                    <span>{key}</span>
                    {(!value.is_empty()).then(|| view! { <span>{value}</span> })}
                </span>
            }
        })
        .collect_view();
    view! { <span class="tags">{tags}</span> }
}
