//! What is around every page: navigation, the environment switcher, the account menu, the banner
//! that says when the page is not live.

use drover_api::ClusterKind;
use leptos::{prelude::*, task::spawn_local};
use leptos_router::{
    NavigateOptions,
    components::Outlet,
    hooks::{use_location, use_navigate, use_params_map},
};
use uuid::Uuid;

use crate::{
    api::encode,
    boot::boot,
    components::*,
    environment::{self, Env, Environments, use_environments},
    format,
    i18n::{Language, fill, t, use_language},
    icons::{Glyph, Icon, Logo},
    live::{Live, LiveState},
    pages::NotFound,
    session::{SessionState, use_session},
    theme::{Theme, use_theme},
};

/// The frame of all pages that need somebody to be signed in; leads to the sign-in page otherwise.
#[component]
pub fn Frame() -> impl IntoView {
    let session = use_session();
    let location = use_location();
    let navigate = use_navigate();
    /// Which of its faces the frame shows: it must not be made anew when the session's data change.
    #[derive(Clone, PartialEq)]
    enum Face {
        Loading,
        SignedIn,
        Away(&'static str),
        Failed(crate::api::ApiError),
    }
    let face = Memo::new(move |_| match session.state() {
        SessionState::Loading => Face::Loading,
        SessionState::SignedIn(_) => Face::SignedIn,
        SessionState::SetupRequired => Face::Away("/setup"),
        SessionState::SignedOut => Face::Away("/sign-in"),
        SessionState::Failed(error) => Face::Failed(error),
    });
    Effect::new(move || {
        if let Face::Away(to) = face.get() {
            let path = location.pathname.get_untracked();
            let search = location.search.get_untracked();
            let here = if search.is_empty() { path } else { format!("{path}?{search}") };
            let to = match here.as_str() {
                "/" => to.to_owned(),
                here => format!("{to}?return={}", encode(here)),
            };
            navigate(&to, NavigateOptions { replace: true, ..Default::default() });
        }
    });
    move || {
        match face.get() {
        Face::SignedIn => view! { <SignedIn /> }.into_any(),
        Face::Failed(error) => {
            view! { <div class="splash"><ProblemCard error=error on_retry=move |()| session.load() /></div> }
                .into_any()
        }
        Face::Loading | Face::Away(_) => view! { <Splash /> }.into_any(),
    }
    }
}

/// Shown for the moment until it is known who is signed in.
#[component]
pub fn Splash() -> impl IntoView {
    view! { <div class="splash" aria-busy="true" aria-label=t().common.loading><Icon glyph=Glyph::Spinner size=22 spin=true /></div> }
}

#[component]
fn SignedIn() -> impl IntoView {
    Clock::provide();
    let environments = Environments::provide();
    let live = Live::provide(environments.current);
    let open = RwSignal::new(false);
    let path = use_location().pathname;
    let main = NodeRef::<leptos::html::Main>::new();
    Effect::new(move |before: Option<()>| {
        path.track();
        open.set(false);
        // A new page: the keyboard goes on at its start.
        if before.is_some()
            && let Some(main) = main.get_untracked()
        {
            // Fails only for elements that cannot have the focus.
            let _ = main.focus();
        }
    });
    let stale = move || match live.state() {
        LiveState::Stale(since) => Some(view! {
            <div class="stale" role="status">
                <Icon glyph=Glyph::Refresh spin=true />
                {fill(t().frame.stale, &[("time", &format::clock(since))])}
            </div>
        }),
        _ => None,
    };
    view! {
        <a class="skip" href="#content" rel="external">{t().frame.skip}</a>
        <div class="frame">
            <div class="nav-scrim" data-open=move || open.get().to_string() on:click=move |_| open.set(false)></div>
            <Navigation open=open />
            <div class="content">
                <div class="topbar">
                    <IconButton
                        glyph=Glyph::Menu
                        label=t().frame.open_navigation
                        on_click=move |_| open.set(true)
                    />
                    <Brand />
                </div>
                {stale}
                <main id="content" tabindex="-1" node_ref=main class="content">
                    <Outlet />
                </main>
            </div>
        </div>
    }
    .into_any()
}

#[component]
fn Brand() -> impl IntoView {
    view! {
        <a class="nav-brand" href="/">
            <Logo size=24 />
            <span class="truncate">{boot().instance_name.clone()}</span>
        </a>
    }
}

#[component]
fn Navigation(open: RwSignal<bool>) -> impl IntoView {
    let words = &t().frame;
    let session = use_session();
    let environments = use_environments();
    // Only what the links are made of: other changes of its data need not draw them anew.
    let shown = Memo::new(move |_| {
        environments.shown().map(|environment| (environment.id, environment.cluster_kind))
    });
    let here = move || {
        let (id, kind) = shown.get()?;
        let link = |glyph, rest: &'static str, label| {
            view! { <NavLink glyph=glyph href=environment::path(id, rest) label=label exact=rest.is_empty() /> }
        };
        let kubernetes = kind == ClusterKind::Kubernetes;
        Some(view! {
            <div class="nav-group">
                {link(Glyph::Overview, "", words.overview)}
                {link(Glyph::Stack, "stacks", words.stacks)}
                {(!kubernetes).then(|| link(Glyph::Container, "containers", words.containers))}
                {kubernetes.then(|| link(Glyph::Kubernetes, "kubernetes", words.resources))}
                {link(Glyph::Catalog, "catalog", words.catalog)}
                {(!kubernetes).then(|| link(Glyph::Host, "hosts", words.hosts))}
                {(kind == ClusterKind::Swarm).then(|| link(Glyph::Swarm, "swarm", words.swarm))}
                {link(Glyph::Lock, "secrets", words.secrets)}
                {link(Glyph::Users, "members", words.members)}
                {link(Glyph::Operation, "operations", words.operations)}
                {link(Glyph::Settings, "settings", words.settings)}
            </div>
        })
    };
    let admin = move || {
        session.is_admin().then(|| {
            view! {
                <div class="nav-group">
                    <div class="nav-title">{words.administration}</div>
                    <NavLink glyph=Glyph::User href="/admin/users" label=words.users />
                    <NavLink glyph=Glyph::IdCard href="/admin/sign-in" label=words.sign_in />
                    <NavLink glyph=Glyph::Environment href="/admin/environments" label=words.environments />
                    <NavLink glyph=Glyph::Kubernetes href="/admin/clusters" label=words.clusters />
                    <NavLink glyph=Glyph::Library href="/admin/catalogs" label=words.catalogs />
                    <NavLink glyph=Glyph::Audit href="/admin/audit" label=words.audit />
                    <NavLink glyph=Glyph::Shield href="/admin/settings" label=words.settings />
                </div>
            }
        })
    };
    view! {
        <nav
            class="nav"
            aria-label=words.navigation
            data-open=move || open.get().to_string()
            on:keydown=move |event| if event.key() == "Escape" { open.set(false) }
        >
            <Brand />
            <EnvironmentSwitcher />
            <div class="nav-scroll">{here} {admin}</div>
            <div class="nav-foot"><AccountMenu /></div>
        </nav>
    }
}

#[component]
fn NavLink(
    glyph: Glyph,
    #[prop(into)] href: String,
    label: &'static str,
    /// Current only on this very page, not on those below it.
    #[prop(optional)]
    exact: bool,
) -> impl IntoView {
    let path = use_location().pathname;
    let target = href.clone();
    let current = Memo::new(move |_| {
        path.with(|path| {
            let path = path.trim_end_matches('/');
            path == target
                || (!exact && path.strip_prefix(&target).is_some_and(|rest| rest.starts_with('/')))
        })
    });
    view! {
        <a class="nav-link" href=href aria-current=move || current.get().then_some("page")>
            <Icon glyph=glyph size=17 />
            <span>{label}</span>
        </a>
    }
}

/// The first letter, for avatars.
fn initial(name: &str) -> String {
    name.chars().next().map(String::from).unwrap_or_default()
}

#[component]
fn EnvironmentSwitcher() -> impl IntoView {
    let words = &t().frame;
    let session = use_session();
    let environments = use_environments();
    let navigate = use_navigate();
    let items = move || {
        let shown = environments.shown().map(|environment| environment.id);
        let mut items: Vec<_> = environments
            .all()
            .into_iter()
            .map(|environment| {
                let navigate = navigate.clone();
                let to = environment::path(environment.id, "");
                MenuItem::choice(environment.name, Some(environment.id) == shown, move || {
                    navigate(&to, NavigateOptions::default());
                })
            })
            .collect();
        if session.is_admin() {
            items.push(MenuItem::Separator);
            items.push(MenuItem::link(
                Glyph::Environment,
                words.manage_environments,
                "/admin/environments",
            ));
        }
        items
    };
    let name = move || environments.shown().map(|environment| environment.name);
    view! {
        <Menu label=words.switch_environment class="picker" items=items>
            <div class="avatar avatar-square" aria-hidden="true">
                {move || name().map(|name| initial(&name)).unwrap_or_else(|| "–".into())}
            </div>
            <span class="truncate strong">
                {move || name().unwrap_or_else(|| words.no_environment.to_owned())}
            </span>
            <Icon glyph=Glyph::UpDown class="faint" />
        </Menu>
    }
}

#[component]
fn AccountMenu() -> impl IntoView {
    let words = &t().frame;
    let session = use_session();
    let (language, theme) = (use_language(), use_theme());
    let items = move || {
        let mut items = vec![
            MenuItem::link(Glyph::User, words.profile, "/account"),
            MenuItem::link(Glyph::Lock, words.password, "/account/password"),
            MenuItem::link(Glyph::Key, words.api_keys, "/account/api-keys"),
            MenuItem::Link {
                label: words.api_docs.into(),
                glyph: Some(Glyph::Book),
                href: "/v1/docs".into(),
                external: true,
            },
            MenuItem::Separator,
            MenuItem::Title(words.theme.into()),
        ];
        items.extend(Theme::ALL.map(|choice| {
            let label = match choice {
                Theme::System => words.theme_system,
                Theme::Light => words.theme_light,
                Theme::Dark => words.theme_dark,
            };
            MenuItem::choice(label, theme.wanted() == choice, move || theme.set(choice))
        }));
        items.push(MenuItem::Separator);
        items.push(MenuItem::Title(words.language.into()));
        items.extend(Language::ALL.map(|choice| {
            MenuItem::choice(choice.name(), language.get() == choice, move || language.set(choice))
        }));
        items.push(MenuItem::Separator);
        items.push(MenuItem::action(Glyph::SignOut, words.sign_out, move || {
            spawn_local(async move {
                if let Err(error) = session.sign_out(false).await {
                    use_toasts().error(&error);
                }
            });
        }));
        items.push(MenuItem::action(Glyph::Globe, words.sign_out_everywhere, move || {
            sign_out_everywhere(session);
        }));
        items
    };
    let user = move || session.user();
    view! {
        <Menu label=words.account class="account" items=items>
            <div class="avatar" aria-hidden="true">
                {move || user().map(|user| initial(&user.display_name))}
            </div>
            <span class="grow">
                <span class="account-line strong">
                    {move || user().map(|user| user.display_name)}
                </span>
                <span class="account-line small faint">
                    {move || user().map(|user| user.login)}
                </span>
            </span>
            <Icon glyph=Glyph::UpDown class="faint" />
        </Menu>
    }
}

/// Asks, then signs out everywhere.
pub fn sign_out_everywhere(session: crate::session::SessionContext) {
    let words = &t().frame;
    Confirm::new(words.sign_out_everywhere, words.sign_out_everywhere_text)
        .ask(words.sign_out_everywhere, move || session.sign_out(true));
}

/// The frame of an environment's pages: provides [`Env`], or says that there is no such
/// environment.
#[component]
pub fn EnvironmentFrame() -> impl IntoView {
    let params = use_params_map();
    let environments = use_environments();
    let id = Memo::new(move |_| {
        params.with(|params| params.get("environment_id")?.parse::<Uuid>().ok())
    });
    let known = Memo::new(move |_| {
        let id = id.get()?;
        // Not known until the list has come.
        environments
            .remote()
            .with(|list| list.map(|list| list.items.iter().any(|one| one.id == id)))
    });
    move || {
        match (id.get(), known.get()) {
        (Some(id), Some(true)) => {
            Env::provide(id);
            view! { <Outlet /> }.into_any()
        }
        (None, _) | (_, Some(false)) => view! { <NotFound /> }.into_any(),
        (Some(_), None) => match environments.remote().error() {
            Some(error) => {
                view! { <ProblemCard error=error on_retry=move |()| environments.remote().reload() /> }.into_any()
            }
            None => view! { <Skeleton lines=8 /> }.into_any(),
        },
    }
    }
}
