use leptos::{ev::MouseEvent, prelude::*};

use crate::icons::{Glyph, Icon};

/// How loud a button is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Look {
    /// The one main action of a page or dialog.
    Primary,
    /// Any other action.
    #[default]
    Secondary,
    /// Quiet: in rows and toolbars.
    Ghost,
    /// Destroys something.
    Danger,
}

fn classes(look: Look, small: bool, icon_only: bool) -> String {
    let look = match look {
        Look::Primary => "btn btn-primary",
        Look::Secondary => "btn btn-secondary",
        Look::Ghost => "btn btn-ghost",
        Look::Danger => "btn btn-danger",
    };
    let small = if small { " btn-small" } else { "" };
    let icon = if icon_only { " btn-icon" } else { "" };
    format!("{look}{small}{icon}")
}

/// A button with a text.
///
/// `view! { <Button look=Look::Primary icon=Glyph::Plus label=t().common.add on_click=move |_| … /> }`
#[component]
pub fn Button(
    /// What it says.
    #[prop(into)]
    label: Signal<String>,
    /// How loud it is.
    #[prop(optional)]
    look: Look,
    /// Before the text.
    #[prop(optional, into)]
    icon: Option<Glyph>,
    /// Smaller than usual.
    #[prop(optional)]
    small: bool,
    /// As wide as what it stands in.
    #[prop(optional)]
    block: bool,
    /// `submit` in forms.
    #[prop(optional)]
    submit: bool,
    /// Something is under way: shows it and cannot be clicked.
    #[prop(optional, into)]
    busy: Signal<bool>,
    /// Cannot be clicked.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// Shown on hover, e.g. why it is disabled.
    #[prop(optional, into)]
    title: Option<String>,
    /// Called on click.
    #[prop(optional, into)]
    on_click: Option<Callback<MouseEvent>>,
) -> impl IntoView {
    let class = format!("{}{}", classes(look, small, false), if block { " btn-block" } else { "" });
    view! {
        <button
            type=if submit { "submit" } else { "button" }
            class=class
            title=title
            disabled=move || busy.get() || disabled.get()
            aria-busy=move || busy.get().then_some("true")
            on:click=move |event| {
                if let Some(call) = on_click {
                    call.run(event);
                }
            }
        >
            {move || {
                if busy.get() {
                    Some(view! { <Icon glyph=Glyph::Spinner spin=true /> })
                } else {
                    icon.map(|glyph| view! { <Icon glyph=glyph spin=false /> })
                }
            }}
            <span>{label}</span>
        </button>
    }
}

/// A button that is only an icon, with its meaning for screen readers and on hover.
#[component]
pub fn IconButton(
    /// Which icon.
    glyph: Glyph,
    /// What it does.
    #[prop(into)]
    label: Signal<String>,
    /// How loud it is.
    #[prop(default = Look::Ghost)]
    look: Look,
    /// Smaller than usual.
    #[prop(optional)]
    small: bool,
    /// Cannot be clicked.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// Called on click.
    #[prop(into)]
    on_click: Callback<MouseEvent>,
) -> impl IntoView {
    view! {
        <button
            type="button"
            class=classes(look, small, true)
            aria-label=label
            title=label
            disabled=disabled
            on:click=move |event| on_click.run(event)
        >
            <Icon glyph=glyph />
        </button>
    }
}

/// A link that looks like a button.
#[component]
pub fn ButtonLink(
    /// Where to.
    #[prop(into)]
    href: Signal<String>,
    /// What it says.
    #[prop(into)]
    label: Signal<String>,
    /// How loud it is.
    #[prop(optional)]
    look: Look,
    /// Before the text.
    #[prop(optional, into)]
    icon: Option<Glyph>,
    /// Smaller than usual.
    #[prop(optional)]
    small: bool,
    /// The browser saves what it points to, rather than opening it.
    #[prop(optional)]
    download: bool,
) -> impl IntoView {
    view! {
        <a
            class=classes(look, small, false)
            href=href
            download=download.then_some("")
            rel=download.then_some("external")
        >
            {icon.map(|glyph| view! { <Icon glyph=glyph /> })}
            <span>{label}</span>
        </a>
    }
}
