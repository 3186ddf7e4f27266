use leptos::{ev::KeyboardEvent, prelude::*};
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate, use_query_map},
};
use wasm_bindgen::JsCast;

/// One tab of [`Tabs`].
#[derive(Clone)]
pub struct Tab {
    key: &'static str,
    label: String,
    content: ViewFn,
}

impl Tab {
    /// `key` stands in the address as `?tab=`. The content is made when the tab is first opened,
    /// and again each time it is.
    pub fn new<V: IntoView + 'static>(
        key: &'static str,
        label: impl Into<String>,
        content: impl Fn() -> V + Send + Sync + 'static,
    ) -> Self {
        Self { key, label: label.into(), content: ViewFn::from(move || content().into_any()) }
    }
}

/// Tabs whose choice is in the address (`?tab=`), so that it can be sent to a colleague.
///
/// `view! { <Tabs label="Container" tabs=vec![Tab::new("logs", "Logs", move || view! {…})] /> }`
#[component]
pub fn Tabs(
    /// What they divide, for screen readers.
    #[prop(into)]
    label: String,
    /// The first one is open when the address names none.
    tabs: Vec<Tab>,
) -> impl IntoView {
    let query = use_query_map();
    let keys: Vec<_> = tabs.iter().map(|tab| tab.key).collect();
    let first = keys.first().copied().unwrap_or_default();
    let open = Memo::new(move |_| {
        let wanted = query.with(|query| query.get("tab"));
        keys.iter().copied().find(|key| Some(*key) == wanted.as_deref()).unwrap_or(first)
    });
    let go = use_tab();
    let buttons = tabs
        .iter()
        .map(|tab| {
            let key = tab.key;
            let go = go.clone();
            view! {
                <button
                    type="button"
                    role="tab"
                    class="tab"
                    id=format!("tab-{key}")
                    aria-controls="tab-panel"
                    aria-selected=move || (open.get() == key).to_string()
                    tabindex=move || if open.get() == key { "0" } else { "-1" }
                    on:click=move |_| go(key)
                >
                    {tab.label.clone()}
                </button>
            }
        })
        .collect_view();
    let contents: Vec<_> = tabs.into_iter().map(|tab| (tab.key, tab.content)).collect();
    view! {
        <div class="tabs" role="tablist" aria-label=label on:keydown=move_focus>
            {buttons}
        </div>
        <div
            role="tabpanel"
            id="tab-panel"
            class="stack grow"
            aria-labelledby=move || format!("tab-{}", open.get())
        >
            {move || {
                let open = open.get();
                contents.iter().find(|(key, _)| *key == open).map(|(_, content)| content.run())
            }}
        </div>
    }
    .into_any()
}

/// Opens a tab of the page's [`Tabs`] by its key.
pub fn use_tab() -> impl Fn(&str) + Clone {
    let navigate = use_navigate();
    let path = use_location().pathname;
    move |key: &str| {
        let options = NavigateOptions { replace: true, scroll: false, ..Default::default() };
        navigate(&format!("{}?tab={key}", path.get_untracked()), options);
    }
}

/// Left and right move between the tabs.
fn move_focus(event: KeyboardEvent) {
    let Some(current) = event.target().and_then(|t| t.dyn_into::<web_sys::HtmlElement>().ok())
    else {
        return;
    };
    let next = match event.key().as_str() {
        "ArrowRight" => current.next_element_sibling(),
        "ArrowLeft" => current.previous_element_sibling(),
        _ => None,
    };
    if let Some(next) = next.and_then(|next| next.dyn_into::<web_sys::HtmlElement>().ok()) {
        event.prevent_default();
        // Fails only for elements that cannot have the focus.
        let _ = next.focus();
        next.click();
    }
}
