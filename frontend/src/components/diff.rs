use leptos::prelude::*;

use crate::i18n::t;

/// A unified diff, its lines coloured.
#[component]
pub fn Diff(
    /// The diff; its two lines of file names are left out.
    text: String,
) -> impl IntoView {
    if text.is_empty() {
        return view! { <p class="faint">{t().engine.no_changes}</p> }.into_any();
    }
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("--- ") && !line.starts_with("+++ "))
        .map(|line| {
            let class = match line.chars().next() {
                Some('+') => "diff-add",
                Some('-') => "diff-remove",
                Some('@') => "diff-place",
                _ => "",
            };
            view! { <div class=class>{line.to_owned()}</div> }
        })
        .collect_view();
    view! { <pre class="code diff" tabindex="0">{lines}</pre> }.into_any()
}
