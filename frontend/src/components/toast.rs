use std::{cell::Cell, time::Duration};

use leptos::prelude::*;

use super::IconButton;
use crate::{
    api::ApiError,
    i18n::t,
    icons::{Glyph, Icon},
    states::Tone,
};

#[derive(Clone, PartialEq)]
struct Toast {
    id: u32,
    tone: Tone,
    text: String,
    link: Option<(String, String)>,
}

/// Short messages at the corner of the page.
#[derive(Clone, Copy)]
pub struct Toasts {
    all: RwSignal<Vec<Toast>>,
    next: StoredValue<u32>,
}

thread_local! {
    // Not a context: event handlers and tasks run outside of the tree of contexts.
    static TOASTS: Cell<Option<Toasts>> = const { Cell::new(None) };
}

/// Short messages at the corner of the page. May be called anywhere once [`ToastArea`] is drawn.
pub fn use_toasts() -> Toasts {
    TOASTS.get().unwrap_or_else(|| {
        let toasts = Toasts { all: RwSignal::new(Vec::new()), next: StoredValue::new(0) };
        TOASTS.set(Some(toasts));
        toasts
    })
}

impl Toasts {
    /// Something worked.
    pub fn success(self, text: impl Into<String>) {
        self.show(Tone::Ok, text.into(), None);
    }

    /// Something worked, or began; with a link (address, text) to see more.
    pub fn success_link(self, text: impl Into<String>, href: String, label: impl Into<String>) {
        self.show(Tone::Ok, text.into(), Some((href, label.into())));
    }

    /// Something did not work.
    pub fn error(self, error: &ApiError) {
        let text = match error.errors.first() {
            Some(first) if error.message.is_empty() => first.message.clone(),
            _ => error.message.clone(),
        };
        self.show(Tone::Bad, text, None);
    }

    fn show(self, tone: Tone, text: String, link: Option<(String, String)>) {
        let Some(id) = self.next.try_update_value(|next| {
            *next += 1;
            *next
        }) else {
            return;
        };
        self.all.update(|all| {
            all.push(Toast { id, tone, text, link });
            if all.len() > 4 {
                all.remove(0);
            }
        });
        // What went wrong stays longer: it takes longer to read.
        let stay = Duration::from_secs(if tone == Tone::Bad { 12 } else { 6 });
        set_timeout(move || self.dismiss(id), stay);
    }

    fn dismiss(self, id: u32) {
        self.all.try_update(|all| all.retain(|toast| toast.id != id));
    }
}

/// Draws the [`Toasts`]; once, in the app.
#[component]
pub fn ToastArea() -> impl IntoView {
    let toasts = use_toasts();
    let area = NodeRef::<leptos::html::Div>::new();
    Effect::new(move || {
        let some = toasts.all.with(|all| !all.is_empty());
        let Some(area) = area.get() else { return };
        // Shown anew each time: the newest popover lies above dialogs. Fails only when it is
        // hidden or shown already.
        let _ = area.hide_popover();
        if some {
            let _ = area.show_popover();
        }
    });
    view! {
        <div class="toasts" role="status" aria-live="polite" popover="manual" node_ref=area>
            <For each=move || toasts.all.get() key=|toast| toast.id let:toast>
                <div class="toast">
                    <Icon
                        glyph=if toast.tone == Tone::Bad { Glyph::Error } else { Glyph::CheckCircle }
                        class=if toast.tone == Tone::Bad { "tone-bad" } else { "tone-ok" }
                    />
                    <div class="grow">
                        {toast.text}
                        {toast.link.map(|(href, label)| view! { " " <a href=href>{label}</a> })}
                    </div>
                    <IconButton
                        glyph=Glyph::Close
                        label=t().common.close
                        small=true
                        on_click=move |_| toasts.dismiss(toast.id)
                    />
                </div>
            </For>
        </div>
    }
}
