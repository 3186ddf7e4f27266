//! Searching users and groups of every provider that is on: each is asked by a request of its own,
//! so that a slow or dead one does not hold up the others, and shows as such.

use drover_api::{
    List, Principal, PrincipalKind, PrincipalSearch, ProviderKind, SearchState, SignInProvider,
};
use leptos::{prelude::*, task::spawn_local};
use uuid::Uuid;

use super::providers::{kind_glyph, kind_name};
use crate::{
    api,
    components::*,
    i18n::{fill, plural, t},
    icons::{Glyph, Icon},
    remote::Remote,
};

/// How much has to be typed before directories are asked.
const LETTERS: usize = 3;

/// The provider of a principal in words: `Example Corp · LDAP`, or "Local account".
pub(super) fn provider_words(principal: &Principal) -> String {
    let kind = match ProviderKind::parse(&principal.provider) {
        Some(kind) => kind_name(kind),
        None if principal.provider == "local" => return t().environment.provider_local.to_owned(),
        None => principal.provider.as_str(),
    };
    match &principal.provider_name {
        Some(name) if name != kind => format!("{name} · {kind}"),
        _ => kind.to_owned(),
    }
}

/// The icon of a user or a group.
pub(super) fn principal_glyph(kind: PrincipalKind) -> Glyph {
    match kind {
        PrincipalKind::User => Glyph::User,
        PrincipalKind::Group => Glyph::Users,
    }
}

/// A user or group: name, login and place; with the word for what it is.
pub(super) fn principal_line(principal: &Principal, word: bool) -> AnyView {
    let words = &t().sign_in;
    let place = [&principal.login, &principal.detail]
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty() && **text != principal.name)
        .cloned()
        .collect::<Vec<_>>()
        .join(" · ");
    let kind = match principal.kind {
        PrincipalKind::User => words.user,
        PrincipalKind::Group => words.group,
    };
    view! {
        <Icon glyph=principal_glyph(principal.kind) class="faint" />
        <span class="two grow" title=place.clone()>
            <span class="truncate">{principal.name.clone()}</span>
            {(!place.is_empty()).then(|| view! { <span class="truncate">{place.clone()}</span> })}
        </span>
        {word.then(|| view! { <span class="small faint tight">{kind}</span> })}
    }
    .into_any()
}

/// Where is searched: the local accounts, or a provider.
#[derive(Clone, PartialEq)]
struct Source(Option<SignInProvider>);

impl Source {
    fn name(&self) -> String {
        match &self.0 {
            Some(provider) => provider.name.clone(),
            None => t().sign_in.local_account.to_owned(),
        }
    }

    fn id(&self) -> String {
        self.0.as_ref().map_or_else(|| "local".to_owned(), |provider| provider.id.to_string())
    }
}

/// How a search goes.
#[derive(Clone, PartialEq)]
enum Search {
    /// Too little is typed.
    Idle,
    /// Under way.
    Asking,
    /// Who was found; whether only known principals could be.
    Found(Vec<Principal>, bool),
    /// It did not answer, or with an error: why.
    Failed(&'static str, String),
}

/// Finds users and groups, and tells which one is picked.
#[component]
pub(super) fn PrincipalPicker(
    /// What is looked for.
    label: &'static str,
    /// Searches this provider alone.
    #[prop(optional)]
    only: Option<Uuid>,
    /// The ids of those that are picked.
    #[prop(into)]
    chosen: Signal<Vec<String>>,
    /// Called with the one that is clicked on, also when it is picked already.
    #[prop(into)]
    on_pick: Callback<Principal>,
) -> impl IntoView {
    let q = RwSignal::new(String::new());
    let providers = Remote::new(|| api::get("session/providers").json::<List<SignInProvider>>());
    let sources = Memo::new(move |_| {
        let known = providers.with(|list| list.map(|list| list.items.clone()).unwrap_or_default());
        let local = only.is_none().then_some(Source(None));
        let others = known
            .into_iter()
            .filter(|provider| only.is_none_or(|only| provider.id == only))
            .map(|provider| Source(Some(provider)));
        local.into_iter().chain(others).collect::<Vec<_>>()
    });
    let lists = move || {
        // A single source needs no heading.
        let alone = sources.with(Vec::len) == 1;
        view! {
            <For each=move || sources.get() key=Source::id let:source>
                <Results source=source q=q alone=alone chosen=chosen on_pick=on_pick />
            </For>
        }
    };
    view! {
        <div class="field">
            <span class="field-label">{label}</span>
            <SearchBox label=label value=q />
            <div class="pick-list" role="listbox" aria-label=label>{lists}</div>
        </div>
    }
    .into_any()
}

#[component]
fn Results(
    source: Source,
    q: RwSignal<String>,
    alone: bool,
    chosen: Signal<Vec<String>>,
    on_pick: Callback<Principal>,
) -> impl IntoView {
    let words = &t().sign_in;
    let state = RwSignal::new(Search::Idle);
    let newest = StoredValue::new(0_u32);
    let (id, local) = (source.id(), source.0.is_none());
    Effect::new(move || {
        let q = q.get().trim().to_owned();
        newest.update_value(|n| *n += 1);
        let mine = newest.get_value();
        if !local && q.chars().count() < LETTERS {
            state.set(Search::Idle);
            return;
        }
        state.set(Search::Asking);
        let request = api::get("principals").query("q", q).query("provider_id", &id);
        spawn_local(async move {
            let answer = request.json::<PrincipalSearch>().await;
            if newest.try_get_value() == Some(mine) {
                _ = state.try_set(outcome(answer));
            }
        });
    });
    let name = source.name();
    let heading = (!alone).then(|| {
        let (glyph, kind) = match &source.0 {
            Some(provider) => (kind_glyph(provider.kind), kind_name(provider.kind)),
            None => (Glyph::User, ""),
        };
        // What needs no line of its own.
        let mark = move || {
            state.with(|state| match state {
                Search::Asking => {
                    Some(view! { <Icon glyph=Glyph::Spinner spin=true size=13 /> }.into_any())
                }
                Search::Found(found, false) if found.is_empty() => Some(
                    view! { <span class="faint tight" role="status">{words.nobody_found}</span> }
                        .into_any(),
                ),
                _ => None,
            })
        };
        view! {
            <div class="pick-head">
                <Icon glyph=glyph size=14 />
                <span class="truncate">{name.clone()}</span>
                <span class="faint tight grow">{kind}</span>
                {mark}
            </div>
        }
    });
    let body = move || {
        match state.get() {
        Search::Idle => {
            view! { <p class="pick-none">{fill(words.search_hint, &[("name", &source.name())])}</p> }
                .into_any()
        }
        Search::Asking if !alone => {
            let text = fill(words.searching, &[("name", &source.name())]);
            view! { <span class="sr-only" role="status">{text}</span> }.into_any()
        }
        Search::Asking => view! {
            <p class="pick-none" role="status">{fill(words.searching, &[("name", &source.name())])}</p>
        }
        .into_any(),
        Search::Failed(what, why) => view! {
            <p class="pick-none pick-failed" role="status">
                <Icon glyph=Glyph::Warning class="tone-warn" size=14 />
                <span class="break">{source.name()} " " {what} {(!why.is_empty()).then(|| format!(": {why}"))}</span>
            </p>
        }
        .into_any(),
        Search::Found(found, known_only) => {
            let typed = typed_group(&source, &q.get_untracked(), known_only, &found);
            let nobody = found.is_empty() && typed.is_none();
            let count = plural((found.len() + usize::from(typed.is_some())) as u64, words.found);
            let typed = typed.map(|group| {
                let text = fill(words.use_group, &[("name", &group.name)]);
                option(group, Some(text), chosen, on_pick)
            });
            let options =
                found.into_iter().map(|one| option(one, None, chosen, on_pick)).collect_view();
            view! {
                {(nobody && (alone || known_only)).then(|| view! { <p class="pick-none">{words.nobody_found}</p> })}
                {(!nobody).then(|| view! { <span class="sr-only" role="status">{count}</span> })}
                {options} {typed}
                {known_only.then(|| view! { <p class="pick-none small">{words.known_only}</p> })}
            }
            .into_any()
        }
    }
    };
    view! { <div role="group" aria-label=name>{heading} {body}</div> }.into_any()
}

fn outcome(answer: api::Result<PrincipalSearch>) -> Search {
    let words = &t().sign_in;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Search::Failed(words.search_failed, error.message),
    };
    let how = answer.providers.into_iter().next();
    let why = |how: &Option<drover_api::ProviderSearch>| {
        how.as_ref().and_then(|how| how.message.clone()).unwrap_or_default()
    };
    match how.as_ref().map_or(SearchState::Ok, |how| how.state) {
        SearchState::TooShort => Search::Idle,
        SearchState::Slow => Search::Failed(words.no_answer, why(&how)),
        SearchState::Failed => Search::Failed(words.search_failed, why(&how)),
        SearchState::Ok => Search::Found(answer.items, false),
        SearchState::KnownOnly => Search::Found(answer.items, true),
    }
}

/// Where groups cannot be searched, one can be named: OpenID tells of groups by name.
fn typed_group(
    source: &Source,
    q: &str,
    known_only: bool,
    found: &[Principal],
) -> Option<Principal> {
    let provider = source.0.as_ref().filter(|one| one.kind == ProviderKind::Openid)?;
    let name = q.trim();
    let known = found.iter().any(|one| one.kind == PrincipalKind::Group && one.name == name);
    (known_only && !name.is_empty() && !known).then(|| Principal {
        id: format!("openid_group://{}/{}", provider.id, api::encode(name)),
        kind: PrincipalKind::Group,
        provider: provider.kind.as_str().to_owned(),
        provider_id: Some(provider.id),
        provider_name: Some(provider.name.clone()),
        name: name.to_owned(),
        login: None,
        detail: None,
    })
}

fn option(
    principal: Principal,
    text: Option<String>,
    chosen: Signal<Vec<String>>,
    on_pick: Callback<Principal>,
) -> AnyView {
    let id = principal.id.clone();
    let picked = Memo::new(move |_| chosen.with(|chosen| chosen.contains(&id)));
    let line = match text {
        Some(text) => {
            view! { <Icon glyph=Glyph::Plus /> <span class="grow">{text}</span> }.into_any()
        }
        None => principal_line(&principal, true),
    };
    view! {
        <button
            type="button"
            role="option"
            class="menu-item"
            aria-selected=move || picked.get().to_string()
            on:click=move |_| on_pick.run(principal.clone())
        >
            {line}
            {move || picked.get().then(|| view! { <Icon glyph=Glyph::Check class="tone-accent" /> })}
        </button>
    }
    .into_any()
}
