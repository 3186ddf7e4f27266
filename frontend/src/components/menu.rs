use std::sync::Arc;

use leptos::{ev::KeyboardEvent, prelude::*};
use wasm_bindgen::JsCast;

use super::new_id;
use crate::{
    i18n::t,
    icons::{Glyph, Icon},
};

/// One line of a [`Menu`].
#[derive(Clone)]
pub enum MenuItem {
    /// Does something.
    Action {
        /// What it says.
        label: String,
        /// Before the text.
        glyph: Option<Glyph>,
        /// In red: destroys something.
        danger: bool,
        /// Shown but cannot be chosen.
        disabled: bool,
        /// For a choice: whether it is the present one.
        checked: Option<bool>,
        /// Called when chosen.
        run: Arc<dyn Fn() + Send + Sync>,
    },
    /// Goes somewhere.
    Link {
        /// What it says.
        label: String,
        /// Before the text.
        glyph: Option<Glyph>,
        /// Where to.
        href: String,
        /// Not a page of the app.
        external: bool,
    },
    /// A heading.
    Title(String),
    /// A line between.
    Separator,
}

impl MenuItem {
    /// Does something.
    pub fn action(
        glyph: impl Into<Option<Glyph>>,
        label: impl Into<String>,
        run: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self::Action {
            label: label.into(),
            glyph: glyph.into(),
            danger: false,
            disabled: false,
            checked: None,
            run: Arc::new(run),
        }
    }

    /// Destroys something: in red.
    pub fn danger(
        glyph: impl Into<Option<Glyph>>,
        label: impl Into<String>,
        run: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let mut item = Self::action(glyph, label, run);
        if let Self::Action { danger, .. } = &mut item {
            *danger = true;
        }
        item
    }

    /// A choice out of several.
    pub fn choice(
        label: impl Into<String>,
        present: bool,
        run: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let mut item = Self::action(None, label, run);
        if let Self::Action { checked, .. } = &mut item {
            *checked = Some(present);
        }
        item
    }

    /// Goes to a page of the app.
    pub fn link(
        glyph: impl Into<Option<Glyph>>,
        label: impl Into<String>,
        href: impl Into<String>,
    ) -> Self {
        Self::Link { label: label.into(), glyph: glyph.into(), href: href.into(), external: false }
    }

    /// Shown but cannot be chosen when `condition` holds.
    pub fn disabled_if(mut self, condition: bool) -> Self {
        if let Self::Action { disabled, .. } = &mut self {
            *disabled = condition;
        }
        self
    }
}

/// A button that opens a menu. `items` is asked each time it opens.
///
/// `view! { <Menu label=t().common.more items=move || vec![MenuItem::action(…)] /> }`: a "…" button;
/// give children for another face.
#[component]
pub fn Menu(
    /// What it offers, for screen readers and on hover.
    #[prop(into)]
    label: String,
    /// The button's class.
    #[prop(default = "btn btn-ghost btn-icon btn-small")]
    class: &'static str,
    /// What is offered now.
    items: impl Fn() -> Vec<MenuItem> + Send + Sync + 'static,
    /// The button's face; "…" when left out.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    let id = new_id("menu");
    let button = NodeRef::<leptos::html::Button>::new();
    let panel = NodeRef::<leptos::html::Div>::new();
    let open = RwSignal::new(false);
    let items = Arc::new(items);
    let face = match children {
        Some(children) => children().into_any(),
        None => view! { <Icon glyph=Glyph::More /> }.into_any(),
    };
    let close = move || {
        if let Some(panel) = panel.get_untracked() {
            // Fails only when it is closed already.
            let _ = panel.hide_popover();
        }
    };
    let list = move || {
        let items = items.clone();
        open.get().then(move || items().into_iter().map(|item| draw(item, close)).collect_view())
    };
    view! {
        <button
            node_ref=button
            type="button"
            class=class
            popovertarget=id.clone()
            aria-haspopup="menu"
            aria-expanded=move || open.get().to_string()
            aria-label=label.clone()
            title=label.clone()
            on:click=move |event| {
                event.stop_propagation();
                open.set(true);
            }
        >
            {face}
        </button>
        <div
            node_ref=panel
            id=id
            class="menu"
            popover="auto"
            role="menu"
            aria-label=label
            on:toggle=move |_| {
                let (Some(panel), Some(button)) = (panel.get_untracked(), button.get_untracked()) else {
                    return;
                };
                let shown = panel.matches(":popover-open").unwrap_or(false);
                open.set(shown);
                if shown {
                    place(&panel, &button);
                    request_animation_frame(move || {
                        place(&panel, &button);
                        focus_first(&panel);
                    });
                }
            }
            on:click=|event| event.stop_propagation()
            on:keydown=move_focus
        >
            {list}
        </div>
    }
    .into_any()
}

fn draw(item: MenuItem, close: impl Fn() + Copy + 'static) -> AnyView {
    match item {
        MenuItem::Separator => view! { <div class="menu-sep" role="separator"></div> }.into_any(),
        MenuItem::Title(text) => view! { <div class="menu-title">{text}</div> }.into_any(),
        MenuItem::Link { label, glyph, href, external } => view! {
            <a
                class="menu-item"
                role="menuitem"
                href=href
                rel=external.then_some("external")
                on:click=move |_| close()
            >
                {glyph.map(|glyph| view! { <Icon glyph=glyph /> })}
                <span>{label}</span>
            </a>
        }
        .into_any(),
        MenuItem::Action { label, glyph, danger, disabled, checked, run } => view! {
            <button
                type="button"
                class=if danger { "menu-item danger" } else { "menu-item" }
                role=if checked.is_some() { "menuitemradio" } else { "menuitem" }
                aria-checked=checked.map(|checked| checked.to_string())
                disabled=disabled
                on:click=move |_| {
                    close();
                    run();
                }
            >
                {glyph.map(|glyph| view! { <Icon glyph=glyph /> })}
                <span>{label}</span>
                {(checked == Some(true)).then(|| view! { <Icon glyph=Glyph::Check /> })}
            </button>
        }
        .into_any(),
    }
}

/// Below the button, at its right edge if there is no room at its left one; above if there is none
/// below.
fn place(panel: &web_sys::HtmlElement, button: &web_sys::HtmlElement) {
    let at = button.get_bounding_client_rect();
    let (width, height) = (f64::from(panel.offset_width()), f64::from(panel.offset_height()));
    let room = |value: Result<wasm_bindgen::JsValue, _>| {
        value.ok().and_then(|value| value.as_f64()).unwrap_or(1000.0)
    };
    let (page_width, page_height) = (room(window().inner_width()), room(window().inner_height()));
    let left = if at.left() + width + 8.0 > page_width { at.right() - width } else { at.left() };
    let below = at.bottom() + 4.0;
    let top = if below + height + 8.0 > page_height && at.top() - 4.0 - height > 0.0 {
        at.top() - 4.0 - height
    } else {
        below
    };
    for (name, value) in [("left", left.max(8.0)), ("top", top)] {
        // A length in pixels is always a valid value.
        let _ = panel.style().set_property(name, &format!("{value}px"));
    }
}

fn focus_first(panel: &web_sys::HtmlElement) {
    if let Ok(Some(first)) = panel.query_selector(".menu-item:not(:disabled)")
        && let Ok(first) = first.dyn_into::<web_sys::HtmlElement>()
    {
        // Fails only for elements that cannot have the focus.
        let _ = first.focus();
    }
}

/// Up and down move between the items.
fn move_focus(event: KeyboardEvent) {
    let down = match event.key().as_str() {
        "ArrowDown" => true,
        "ArrowUp" => false,
        _ => return,
    };
    event.prevent_default();
    let mut next = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
    while let Some(element) = next {
        next =
            if down { element.next_element_sibling() } else { element.previous_element_sibling() };
        if let Some(item) =
            next.as_ref().filter(|next| next.matches(".menu-item:not(:disabled)").unwrap_or(false))
            && let Ok(item) = item.clone().dyn_into::<web_sys::HtmlElement>()
        {
            let _ = item.focus();
            return;
        }
    }
}

/// The menu at the end of a row.
#[component]
pub fn RowMenu(
    /// What is offered now.
    items: impl Fn() -> Vec<MenuItem> + Send + Sync + 'static,
) -> impl IntoView {
    view! { <span class="table-actions"><Menu label=t().common.more items=items /></span> }
}
