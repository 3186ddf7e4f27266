//! The catalog: the apps that can be installed.

use drover_api::{List, TemplateCategory, TemplateSummary, Topic};
use leptos::prelude::*;

use crate::{
    api,
    components::*,
    environment::{Env, use_env},
    i18n::{language, t},
    icons::Glyph,
    remote::Remote,
    session::use_session,
};

/// The apps.
#[component]
pub fn CatalogPage() -> impl IntoView {
    let words = &t().engine;
    let env = use_env();
    let q = RwSignal::new(String::new());
    let category = RwSignal::new(String::new());
    let all = Remote::new(move || {
        api::get("templates")
            .query("limit", 1000)
            .query("language", language().tag())
            .json::<List<TemplateSummary>>()
    })
    .live(&[Topic::Catalog], |_| true);
    let categories = Remote::new(move || {
        api::get("templates/categories")
            .query("language", language().tag())
            .json::<List<TemplateCategory>>()
    })
    .live(&[Topic::Catalog], |_| true);
    let options = Signal::derive(move || {
        let categories = categories.get().map(|list| list.items).unwrap_or_default();
        std::iter::once((String::new(), words.all_categories.to_owned()))
            .chain(categories.into_iter().map(|category| {
                (category.name, format!("{} ({})", category.title, category.templates))
            }))
            .collect::<Vec<_>>()
    });
    let shown = move |list: List<TemplateSummary>| {
        let (q, category) = (q.get().to_lowercase(), category.get());
        if list.items.is_empty() {
            return nothing();
        }
        let cards: Vec<_> = list
            .items
            .into_iter()
            .filter(|app| category.is_empty() || app.categories.contains(&category))
            .filter(|app| {
                format!("{} {} {}", app.title, app.template, app.description)
                    .to_lowercase()
                    .contains(&q)
            })
            .map(|app| app_card(env, app))
            .collect();
        if cards.is_empty() {
            return view! { <Empty glyph=Glyph::Catalog title=words.no_apps text=words.no_apps_text /> }.into_any();
        }
        view! { <div class="apps">{cards}</div> }.into_any()
    };
    view! {
        <Page
            title=words.catalog
            sub=words.catalog_text
            actions=move || view! {
                <SearchBox label=t().common.search value=q />
                <Select label=words.all_categories value=category options=options />
            }
        >
            <Loaded remote=all let:list>{move || shown(list.get())}</Loaded>
        </Page>
    }
}

/// No catalog has anything: leads an administrator to where they are added.
fn nothing() -> AnyView {
    let words = &t().apps;
    let link = use_session().is_admin().then(|| {
        view! { <ButtonLink href="/admin/catalogs" look=Look::Primary label=t().engine.catalogs /> }
    });
    view! { <Empty glyph=Glyph::Catalog title=words.no_templates text=words.no_templates_text>{link}</Empty> }
        .into_any()
}

/// An app's picture, or its first letter.
pub(super) fn app_icon(app: &TemplateSummary) -> AnyView {
    match &app.icon {
        Some(address) => view! { <img class="app-icon" src=address.clone() alt="" width="44" height="44" loading="lazy" /> }.into_any(),
        None => {
            let letter: String = app.title.chars().take(1).collect();
            view! { <span class="app-icon" aria-hidden="true">{letter.to_uppercase()}</span> }.into_any()
        }
    }
}

fn app_card(env: Env, app: TemplateSummary) -> AnyView {
    let href = env.path(&format!("catalog/{}/{}", app.catalog_id, api::encode(&app.template)));
    view! {
        <a class="app" href=href>
            {app_icon(&app)}
            <span>
                <span class="strong truncate" title=app.title.clone()>{app.title.clone()}</span>
                <span class="app-text" title=app.description.clone()>{app.description.clone()}</span>
                <span class="app-foot">
                    <span class="truncate">{app.catalog.clone()}</span>
                    <span>{app.version.clone()}</span>
                </span>
            </span>
        </a>
    }
    .into_any()
}
