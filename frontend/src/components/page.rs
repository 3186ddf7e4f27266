use leptos::prelude::*;
use leptos_meta::Title;

use crate::{
    boot::boot,
    i18n::t,
    icons::{Glyph, Icon},
};

/// A page: its title (in the browser's too), what is above and beside it, and its body.
///
/// ```ignore
/// view! {
///     <Page
///         title=t().admin.users
///         sub=t().admin.users_text
///         actions=move || view! { <Button … /> }
///     >
///         …
///     </Page>
/// }
/// ```
#[component]
pub fn Page(
    /// Its heading.
    #[prop(into)]
    title: Signal<String>,
    /// The pages above it: address and name.
    #[prop(optional, into)]
    crumbs: Signal<Vec<(String, String)>>,
    /// What it is about, in a line.
    #[prop(optional, into)]
    sub: MaybeProp<String>,
    /// Beside the heading: a state.
    #[prop(optional, into)]
    badge: ViewFn,
    /// At the right of the heading.
    #[prop(optional, into)]
    actions: ViewFn,
    /// For forms: narrower lines.
    #[prop(optional)]
    narrow: bool,
    /// The body.
    children: Children,
) -> impl IntoView {
    let crumbs = move || {
        let crumbs = crumbs.get();
        (!crumbs.is_empty()).then(|| {
            let links = crumbs
                .into_iter()
                .map(|(href, name)| {
                    view! { <a href=href title=name.clone()>{name.clone()}</a> <Icon glyph=Glyph::ChevronRight size=12 /> }
                })
                .collect_view();
            view! { <nav class="crumbs" aria-label=t().frame.navigation>{links}</nav> }
        })
    };
    view! {
        <Title text=move || format!("{} · {}", title.get(), boot().instance_name) />
        <div class=if narrow { "page page-narrow" } else { "page" }>
            <header class="page-head">
                <div>
                    {crumbs}
                    <div class="page-title">
                        <h1>{title}</h1>
                        {move || badge.run()}
                    </div>
                    {move || sub.get().map(|sub| view! { <p class="page-sub">{sub}</p> })}
                </div>
                <div class="page-actions">{move || actions.run()}</div>
            </header>
            {children()}
        </div>
    }
    .into_any()
}
