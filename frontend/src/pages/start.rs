use leptos::prelude::*;
use leptos_router::{NavigateOptions, hooks::use_navigate};

use crate::{
    components::*,
    environment::{path, use_environments},
    i18n::t,
    icons::Glyph,
    session::use_session,
};

/// `/`: leads to the environment last open; says what to do where there is none.
#[component]
pub fn Start() -> impl IntoView {
    let environments = use_environments();
    let session = use_session();
    let navigate = use_navigate();
    Effect::new(move || {
        if let Some(environment) = environments.shown() {
            let options = NavigateOptions { replace: true, ..Default::default() };
            navigate(&path(environment.id, ""), options);
        }
    });
    let words = &t().frame;
    view! {
        <div class="page">
            <Loaded remote=environments.remote() let:list>
                {move || {
                    list.with(|list| list.items.is_empty())
                        .then(|| {
                            if session.is_admin() {
                                view! {
                                    <Empty
                                        glyph=Glyph::Environment
                                        title=words.no_environments
                                        text=words.no_environments_admin
                                    >
                                        <ButtonLink
                                            look=Look::Primary
                                            href="/admin/environments"
                                            label=words.manage_environments
                                        />
                                    </Empty>
                                }
                                    .into_any()
                            } else {
                                view! {
                                    <Empty
                                        glyph=Glyph::Environment
                                        title=words.no_environments
                                        text=words.no_environments_text
                                    />
                                }
                                    .into_any()
                            }
                        })
                }}
            </Loaded>
        </div>
    }
}
