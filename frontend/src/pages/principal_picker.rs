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
    /// Under way.
    Asking,
    /// Who was found. A provider that does not answer gives those that are known from before.
    Done {
        found: Vec<Principal>,
        state: SearchState,
        /// What was wrong, in the provider's or the server's own words.
        why: String,
    },
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
    let state = RwSignal::new(Search::Asking);
    let newest = StoredValue::new(0_u32);
    let id = source.id();
    Effect::new(move || {
        let q = q.get().trim().to_owned();
        newest.update_value(|n| *n += 1);
        let mine = newest.get_value();
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
    let heading = (!alone).then(|| heading(&source, state));
    let body = move || match state.get() {
        Search::Asking => {
            let text = fill(words.searching, &[("name", &source.name())]);
            // With a heading, that shows it.
            let class = if alone { "pick-none" } else { "sr-only" };
            view! { <p class=class role="status">{text}</p> }.into_any()
        }
        Search::Done { found, state, why } => {
            let typed = typed_group(&source, &q.get_untracked(), state, &found).map(|group| {
                let text = fill(words.use_group, &[("name", &group.name)]);
                option(group, Some(text), chosen, on_pick)
            });
            let count = found.len() as u64;
            let count = (count > 0).then(|| {
                view! { <span class="sr-only" role="status">{plural(count, words.found)}</span> }
            });
            let options =
                found.into_iter().map(|one| option(one, None, chosen, on_pick)).collect_view();
            let nobody = (alone && count.is_none() && state == SearchState::Ok)
                .then(|| view! { <p class="pick-none">{words.nobody_found}</p> });
            view! { {count} {nobody} {options} {typed} {note(&source.name(), state, why)} }
                .into_any()
        }
    };
    view! { <div role="group" aria-label=name>{heading} {body}</div> }.into_any()
}

/// The name of a source, and how its search goes where that needs no line of its own.
fn heading(source: &Source, state: RwSignal<Search>) -> AnyView {
    let (glyph, kind) = match &source.0 {
        Some(provider) => (kind_glyph(provider.kind), kind_name(provider.kind)),
        None => (Glyph::User, ""),
    };
    let mark = move || {
        state.with(|state| match state {
            Search::Asking => {
                Some(view! { <Icon glyph=Glyph::Spinner spin=true size=13 /> }.into_any())
            }
            Search::Done { found, state: SearchState::Ok, .. } if found.is_empty() => {
                let text = t().sign_in.nobody_found;
                Some(view! { <span class="faint tight" role="status">{text}</span> }.into_any())
            }
            Search::Done { .. } => None,
        })
    };
    view! {
        <div class="pick-head">
            <Icon glyph=glyph size=14 />
            <span class="truncate">{source.name()}</span>
            <span class="faint tight">{kind}</span>
            <span class="pick-mark">{mark}</span>
        </div>
    }
    .into_any()
}

/// What more is to say of a search.
fn note(name: &str, state: SearchState, why: String) -> Option<AnyView> {
    let words = &t().sign_in;
    let what = match state {
        SearchState::Ok => return None,
        SearchState::TooShort => {
            let text = fill(words.search_hint, &[("name", name)]);
            return Some(view! { <p class="pick-none small">{text}</p> }.into_any());
        }
        SearchState::KnownOnly => {
            return Some(view! { <p class="pick-none small">{words.known_only}</p> }.into_any());
        }
        SearchState::Slow => words.no_answer,
        SearchState::Failed => words.search_failed,
    };
    let text =
        if why.is_empty() { format!("{name} {what}") } else { format!("{name} {what}: {why}") };
    let view = view! {
        <p class="pick-none pick-failed" role="status">
            <Icon glyph=Glyph::Warning class="tone-warn" size=14 />
            <span class="break">{text}</span>
        </p>
    };
    Some(view.into_any())
}

fn outcome(answer: api::Result<PrincipalSearch>) -> Search {
    match answer {
        Ok(answer) => {
            let how = answer.providers.into_iter().next();
            Search::Done {
                found: answer.items,
                state: how.as_ref().map_or(SearchState::Ok, |how| how.state),
                why: how.and_then(|how| how.message).unwrap_or_default(),
            }
        }
        Err(error) => {
            Search::Done { found: Vec::new(), state: SearchState::Failed, why: error.message }
        }
    }
}

/// Where groups cannot be searched, one can be named: OpenID tells of groups by name.
fn typed_group(
    source: &Source,
    q: &str,
    state: SearchState,
    found: &[Principal],
) -> Option<Principal> {
    let provider = source.0.as_ref().filter(|one| one.kind == ProviderKind::Openid)?;
    let name = q.trim();
    let known = found.iter().any(|one| one.kind == PrincipalKind::Group && one.name == name);
    (state == SearchState::KnownOnly && !name.is_empty() && !known).then(|| Principal {
        id: format!("openid_group://{}/{}", provider.id, encode(name)),
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

/// Escapes a name as the server does in ids of principals: the same group has one id only.
fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => text.push(byte.into()),
            byte if b"-._~=,:@+".contains(&byte) => text.push(byte.into()),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn names_are_escaped_as_the_server_does() {
        assert_eq!(encode("/platform/team (EU)"), "%2Fplatform%2Fteam%20%28EU%29");
        assert_eq!(encode("cn=a,dc=b"), "cn=a,dc=b");
        assert_eq!(encode("团队"), "%E5%9B%A2%E9%98%9F");
    }
}
