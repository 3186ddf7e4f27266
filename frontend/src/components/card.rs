use leptos::prelude::*;

/// A surface with a title, something at its right, and a body.
///
/// `view! { <Card title=t().overview.recent> … </Card> }`
#[component]
pub fn Card(
    /// Its heading.
    #[prop(optional, into)]
    title: Option<String>,
    /// At the right of the heading: a link, a button.
    #[prop(optional, into)]
    extra: ViewFn,
    /// The body reaches the edges: for tables and lists.
    #[prop(optional)]
    flush: bool,
    /// Edged in red: for what destroys.
    #[prop(optional)]
    danger: bool,
    /// The body.
    children: Children,
) -> impl IntoView {
    let head = title.map(|title| {
        view! {
            <div class="card-head">
                <h2 class="truncate">{title}</h2>
                {move || extra.run()}
            </div>
        }
    });
    view! {
        <section class=if danger { "card card-danger" } else { "card" }>
            {head}
            <div class=if flush { "card-body card-flush" } else { "card-body" }>{children()}</div>
        </section>
    }
}
