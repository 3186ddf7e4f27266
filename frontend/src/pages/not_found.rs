use leptos::prelude::*;
use leptos_router::components::Outlet;

use crate::{components::*, i18n::t, icons::Glyph, session::use_session};

/// An address that names nothing, or nothing that the user may see.
#[component]
pub fn NotFound() -> impl IntoView {
    let words = &t().error;
    view! {
        <div class="page">
            <Empty glyph=Glyph::Search title=words.not_found text=words.not_found_text>
                <ButtonLink href="/" label=words.to_start />
            </Empty>
        </div>
    }
}

/// A page that the user's role does not allow.
#[component]
pub fn Forbidden() -> impl IntoView {
    let words = &t().error;
    view! {
        <div class="page">
            <Empty glyph=Glyph::Lock title=words.forbidden text=words.forbidden_text>
                <ButtonLink href="/" label=words.to_start />
            </Empty>
        </div>
    }
}

/// Around the pages for administrators.
#[component]
pub fn AdminFrame() -> impl IntoView {
    let session = use_session();
    let admin = Memo::new(move |_| session.is_admin());
    move || match admin.get() {
        true => view! { <Outlet /> }.into_any(),
        false => view! { <Forbidden /> }.into_any(),
    }
}
