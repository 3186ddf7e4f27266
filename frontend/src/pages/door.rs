use drover_api::{DoorKind, List, Session, SetupRequest, SignInProvider, SignInRequest};
use gloo_storage::{LocalStorage, Storage};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate, use_query_map},
    params::ParamsMap,
};

use super::providers::kind_glyph;
use crate::{
    api,
    boot::boot,
    components::*,
    frame::Splash,
    i18n::{Language, fill, t, use_language},
    icons::{Glyph, Icon, Logo},
    remote::Remote,
    session::{SessionState, use_session},
    states::Tone,
    theme::{Theme, use_theme},
};

/// The page of those who are not in yet: a card in the middle.
#[component]
fn Door(#[prop(into)] title: String, children: Children) -> impl IntoView {
    let words = &t().frame;
    let (language, theme) = (use_language(), use_theme());
    let languages = move || {
        Language::ALL
            .map(|choice| {
                MenuItem::choice(choice.name(), language.get() == choice, move || {
                    language.set(choice)
                })
            })
            .into()
    };
    view! {
        <Title text=title.clone() />
        <main class="door">
            <div class="door-card">
                <div class="door-brand">
                    <Logo size=44 />
                    <h1>{title}</h1>
                </div>
                {children()}
            </div>
            <div class="door-foot">
                <Menu label=words.language class="btn btn-ghost btn-small" items=languages>
                    <span>{move || language.get().name()}</span>
                </Menu>
                {move || {
                    let (glyph, next) = if theme.dark() { (Glyph::Sun, Theme::Light) } else { (Glyph::Moon, Theme::Dark) };
                    view! { <IconButton glyph=glyph small=true label=words.theme on_click=move |_| theme.set(next) /> }
                }}
                <span>"Drover " {boot().version.clone()}</span>
            </div>
        </main>
    }
}

/// The page to go to after signing in: the one that asked for it, if it is one of ours.
fn wanted_page(query: &ParamsMap) -> String {
    let wanted = query.get("return").unwrap_or_default();
    // `//host` would lead away.
    let ours = wanted.starts_with('/') && !wanted.starts_with("//") && !wanted.starts_with("/\\");
    if ours { wanted } else { "/".to_owned() }
}

/// Goes there.
fn use_return() -> impl Fn() + Clone {
    let navigate = use_navigate();
    let query = use_query_map();
    move || {
        let to = query.with_untracked(wanted_page);
        navigate(&to, NavigateOptions { replace: true, ..Default::default() });
    }
}

/// Where the last sign-in went, to offer it first: [`LOCAL`] or a provider's id.
const KEY: &str = "drover.sign-in";
const LOCAL: &str = "local";

/// Signs in: through a provider's own page, or here with a password, that of a local account or of
/// one in a directory.
#[component]
pub fn SignIn() -> impl IntoView {
    let words = &t().account;
    let session = use_session();
    let query = use_query_map();
    let go_on = use_return();
    let navigate = use_navigate();
    Effect::new(move || match session.state() {
        SessionState::SignedIn(_) => go_on(),
        SessionState::SetupRequired => {
            navigate("/setup", NavigateOptions { replace: true, ..Default::default() });
        }
        _ => {}
    });
    let providers = Remote::new(|| api::get("session/providers").json::<List<SignInProvider>>());
    let of = move |door: DoorKind| {
        providers.with(|list| {
            let all = list.iter().flat_map(|list| list.items.iter());
            all.filter(|one| one.door == door).cloned().collect::<Vec<_>>()
        })
    };
    let redirects = Memo::new(move |_| of(DoorKind::Redirect));
    let directories = Memo::new(move |_| of(DoorKind::Password));
    let ended =
        query.with_untracked(|query| query.get("return").is_some() && query.get("error").is_none());
    let failure = move || query.with(|query| Some((query.get("error")?, query.get("provider"))));
    let failure = move || {
        failure().map(|(code, provider)| {
            let name = providers.with(|list| {
                let list = list?;
                let known = list.items.iter().find(|one| Some(one.id.to_string()) == provider)?;
                Some(known.name.clone())
            });
            view! { <Notice tone=Tone::Bad>{failure_text(name, &code)}</Notice> }
        })
    };
    view! {
        <Door title=fill(words.sign_in_to, &[("name", &boot().instance_name)])>
            {ended.then(|| view! { <Notice>{words.ended}</Notice> })}
            {failure}
            <Card>
                <div class="stack">
                    {move || redirect_buttons(redirects.get())}
                    <PasswordForm directories=directories />
                </div>
            </Card>
        </Door>
    }
}

/// By the code alone: words in an address would be anybody's.
fn failure_text(name: Option<String>, code: &str) -> AnyView {
    let words = &t().sign_in;
    let title = match name {
        Some(name) => fill(words.sign_in_failed_with, &[("name", &name)]),
        None => words.sign_in_failed.to_owned(),
    };
    let text = match code {
        "sign_in_cancelled" => words.cancelled,
        "not_admitted" => words.not_admitted,
        "account_disabled" | "account_locked" | "account_expired" | "password_expired"
        | "account_not_now" => words.account_refused,
        "account_inactive" => words.account_inactive,
        "provider_unavailable" | "provider_rate_limited" => words.provider_away,
        "provider_misconfigured" | "not_found" => words.provider_unusable,
        "sign_in_state" | "sign_in_replayed" | "provider_changed" => words.begin_again,
        "too_many_requests" => words.too_many,
        _ => words.sign_in_failed_text,
    };
    view! {
        <div class="strong">{title}</div>
        {text}
    }
    .into_any()
}

/// A link for each provider with a page of its own: the browser leaves the app.
fn redirect_buttons(providers: Vec<SignInProvider>) -> Option<AnyView> {
    let words = &t().sign_in;
    if providers.is_empty() {
        return None;
    }
    let back = wanted_page(&use_query_map().get_untracked());
    let buttons = providers
        .into_iter()
        .map(|one| {
            let label = fill(words.continue_with, &[("name", &one.name)]);
            let href = format!("/v1/sign-in/{}?return_to={}", one.id, api::encode(&back));
            view! {
                <a class="btn btn-secondary btn-block" rel="external" href=href title=label.clone()>
                    <Icon glyph=kind_glyph(one.kind) />
                    <span>{label.clone()}</span>
                </a>
            }
        })
        .collect_view();
    let view = view! {
        <div class="stack-s">{buttons}</div>
        <div class="or" role="separator"><span>{words.or}</span></div>
    };
    Some(view.into_any())
}

/// Login and password, with the choice of where the account is.
#[component]
fn PasswordForm(directories: Memo<Vec<SignInProvider>>) -> impl IntoView {
    let words = &t().account;
    let session = use_session();
    let form = Form::new();
    let (login, password) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let place = RwSignal::new(LOCAL.to_owned());
    let last = LocalStorage::get::<String>(KEY).unwrap_or_default();
    // Where there is a directory, most people are in it. Once only: what is chosen then stays.
    Effect::new(move |before: Option<bool>| {
        let ids =
            directories.with(|all| all.iter().map(|one| one.id.to_string()).collect::<Vec<_>>());
        let settled = before == Some(true);
        if !settled
            && last != LOCAL
            && let Some(first) = ids.first()
        {
            place.set(ids.iter().find(|id| **id == last).unwrap_or(first).clone());
        }
        settled || !ids.is_empty()
    });
    let submit = move |()| {
        // The button is disabled then, but Enter is not.
        if password.with_untracked(String::is_empty) || login.with_untracked(String::is_empty) {
            return;
        }
        let place = place.get_untracked();
        // Without storage (private windows) the choice lasts until the page is closed.
        let _ = LocalStorage::set(KEY, &place);
        let input = SignInRequest {
            login: login.get_untracked(),
            password: password.get_untracked(),
            provider_id: place.parse().ok(),
        };
        form.submit(
            move || async move { api::post("session", &input).json::<Session>().await },
            move |opened| session.opened(opened),
        );
    };
    view! {
        <FormView form=form on_submit=submit>
            {move || place_choice(directories.get(), place)}
            <TextField
                form=form
                name="login"
                label=words.login
                value=login
                autocomplete="username"
                focus=true
            />
            <TextField
                form=form
                name="password"
                label=words.password
                value=password
                kind="password"
                autocomplete="current-password"
            />
            <FormActions
                form=form
                label=words.sign_in
                block=true
                disabled=Signal::derive(move || login.with(String::is_empty) || password.with(String::is_empty))
            />
        </FormView>
    }
}

/// Where the account is: side by side while they are few. Nothing where there is no choice.
fn place_choice(directories: Vec<SignInProvider>, place: RwSignal<String>) -> Option<AnyView> {
    let words = &t().sign_in;
    if directories.is_empty() {
        return None;
    }
    let mut options: Vec<_> =
        directories.into_iter().map(|one| (one.id.to_string(), one.name)).collect();
    options.push((LOCAL.to_owned(), words.local_account.to_owned()));
    let letters: usize = options.iter().map(|(_, name)| name.chars().count()).sum();
    if options.len() > 3 || letters > 36 {
        let view = view! { <SelectField label=words.where_account value=place options=options /> };
        return Some(view.into_any());
    }
    let group = new_id("place");
    let segments = options
        .into_iter()
        .map(|(key, name)| {
            let this = key.clone();
            view! {
                <label class="segment" title=name.clone()>
                    <input
                        type="radio"
                        class="sr-only"
                        name=group.clone()
                        prop:checked=move || place.with(|place| *place == this)
                        on:change=move |_| place.set(key.clone())
                    />
                    <span class="truncate">{name.clone()}</span>
                </label>
            }
        })
        .collect_view();
    let view = view! {
        <fieldset class="field">
            <legend class="sr-only">{words.where_account}</legend>
            <div class="segments">{segments}</div>
        </fieldset>
    };
    Some(view.into_any())
}

/// Makes the first administrator, by the link that the server printed.
#[component]
pub fn SetUp() -> impl IntoView {
    let session = use_session();
    let navigate = use_navigate();
    Effect::new(move || {
        if matches!(session.state(), SessionState::SignedIn(_)) {
            navigate("/", NavigateOptions { replace: true, ..Default::default() });
        }
    });
    let words = &t().account;
    let hash = use_location().hash;
    move || {
        match session.state() {
        SessionState::Loading | SessionState::SignedIn(_) => view! { <Splash /> }.into_any(),
        SessionState::Failed(error) => {
            view! { <div class="splash"><ProblemCard error=error on_retry=move |()| session.load() /></div> }
                .into_any()
        }
        SessionState::SignedOut => view! {
            <Door title=words.setup_done>
                <Card>
                    <div class="stack">
                        <p class="muted">{words.setup_done_text}</p>
                        <ButtonLink look=Look::Primary href="/sign-in" label=words.sign_in />
                    </div>
                </Card>
            </Door>
        }
        .into_any(),
        SessionState::SetupRequired => {
            // Behind the `#`, so that it stays out of logs and of the `Referer` header.
            let hash = hash.get();
            let token = hash.trim_start_matches('#').strip_prefix("token=").unwrap_or_default();
            view! { <SetUpForm given=token.to_owned() /> }.into_any()
        }
    }
    }
}

#[component]
fn SetUpForm(given: String) -> impl IntoView {
    let words = &t().account;
    let session = use_session();
    let has_token = !given.is_empty();
    let form = Form::new();
    let token = RwSignal::new(given);
    let login = RwSignal::new("admin".to_owned());
    let name = RwSignal::new(String::new());
    let (password, again) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let submit = move |()| {
        if password.get_untracked() != again.get_untracked() {
            return form.fail_field("again", words.passwords_differ);
        }
        let input = SetupRequest {
            token: token.get_untracked().trim().to_owned(),
            login: login.get_untracked(),
            display_name: Some(name.get_untracked()).filter(|name| !name.trim().is_empty()),
            password: password.get_untracked(),
        };
        form.submit(
            move || async move { api::post("setup", &input).json::<Session>().await },
            move |opened| session.opened(opened),
        );
    };
    view! {
        <Door title=fill(words.setup, &[("name", &boot().instance_name)])>
            <Card>
                <FormView form=form on_submit=submit>
                    {if has_token {
                        view! { <p class="muted">{words.setup_text}</p> }.into_any()
                    } else {
                        view! {
                            <Notice tone=Tone::Warn>{words.setup_link}</Notice>
                            <TextField form=form name="token" label=words.setup_token value=token mono=true />
                        }
                            .into_any()
                    }}
                    <TextField
                        form=form
                        name="login"
                        label=words.login
                        value=login
                        autocomplete="username"
                    />
                    <TextField
                        form=form
                        name="display_name"
                        label=words.display_name
                        value=name
                        autocomplete="name"
                        optional=true
                        focus=has_token
                    />
                    <TextField
                        form=form
                        name="password"
                        label=words.password
                        value=password
                        kind="password"
                        autocomplete="new-password"
                        help=words.password_help
                    />
                    <TextField
                        form=form
                        name="again"
                        label=words.repeat_password
                        value=again
                        kind="password"
                        autocomplete="new-password"
                    />
                    <FormActions form=form label=words.make_admin block=true />
                </FormView>
            </Card>
        </Door>
    }
}
