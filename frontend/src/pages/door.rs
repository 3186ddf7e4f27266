use drover_api::{Session, SetupRequest, SignInRequest};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate, use_query_map},
};

use crate::{
    api,
    boot::boot,
    components::*,
    frame::Splash,
    i18n::{Language, fill, t, use_language},
    icons::{Glyph, Logo},
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

/// Where to go after signing in: the page that asked for it, if it is one of ours.
fn use_return() -> impl Fn() + Clone {
    let navigate = use_navigate();
    let query = use_query_map();
    move || {
        let wanted = query.with_untracked(|query| query.get("return")).unwrap_or_default();
        // `//host` would lead away.
        let ours =
            wanted.starts_with('/') && !wanted.starts_with("//") && !wanted.starts_with("/\\");
        let to = if ours { wanted.as_str() } else { "/" };
        navigate(to, NavigateOptions { replace: true, ..Default::default() });
    }
}

/// Signs in with a local account.
#[component]
pub fn SignIn() -> impl IntoView {
    let words = &t().account;
    let session = use_session();
    let query = use_query_map();
    let go_on = use_return();
    let navigate = use_navigate();
    {
        let go_on = go_on.clone();
        Effect::new(move || match session.state() {
            SessionState::SignedIn(_) => go_on(),
            SessionState::SetupRequired => {
                navigate("/setup", NavigateOptions { replace: true, ..Default::default() });
            }
            _ => {}
        });
    }
    let form = Form::new();
    let (login, password) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let submit = move |()| {
        let input = SignInRequest {
            login: login.get_untracked(),
            password: password.get_untracked(),
            provider_id: None,
        };
        form.submit(
            move || async move { api::post("session", &input).json::<Session>().await },
            move |opened| session.opened(opened),
        );
    };
    let ended = query.with_untracked(|query| query.get("return").is_some());
    view! {
        <Door title=fill(words.sign_in_to, &[("name", &boot().instance_name)])>
            {ended.then(|| view! { <Notice>{words.ended}</Notice> })}
            <Card>
                <FormView form=form on_submit=submit>
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
            </Card>
        </Door>
    }
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
