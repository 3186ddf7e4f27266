//! The identity providers: the list, and the choice of the kind of a new one.

use drover_api::{
    AccessMode, LdapPreset, List, OpenidPreset, Principal, ProviderHealth, ProviderKind, Scim,
    TestReport, Topic,
};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::provider_form::{Preset, ProviderForm};
use crate::{
    api,
    components::*,
    format,
    i18n::{fill, t},
    icons::{Glyph, Icon},
    remote::Remote,
    states::{Stated, Tone},
};

/// [`drover_api::Provider`] with its settings as plain JSON, as the form wants them: code that reads
/// the settings of each kind would be a tenth of what the app grew by.
#[derive(Clone, PartialEq, Deserialize)]
pub(super) struct Provider {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) kind: ProviderKind,
    pub(super) enabled: bool,
    pub(super) access_mode: AccessMode,
    pub(super) allowed_principals: Vec<Principal>,
    pub(super) allowed_groups: Vec<String>,
    pub(super) config: Value,
    pub(super) has_secret: bool,
    pub(super) draft: Option<Value>,
    pub(super) last_test: Option<TestReport>,
    pub(super) tested: bool,
    pub(super) health: ProviderHealth,
    pub(super) users: u64,
    pub(super) callback_url: Option<String>,
    pub(super) backchannel_logout_url: Option<String>,
    pub(super) scim: Option<Scim>,
    pub(super) version: i64,
}

/// What a kind is called. Names of products and protocols are the same in all languages.
pub(super) fn kind_name(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Ldap => "LDAP",
        ProviderKind::ActiveDirectory => "Active Directory",
        ProviderKind::Github => "GitHub",
        ProviderKind::Openid => "OpenID Connect",
    }
}

/// The icon of a kind.
pub(super) fn kind_glyph(kind: ProviderKind) -> Glyph {
    match kind {
        ProviderKind::Ldap => Glyph::Directory,
        ProviderKind::ActiveDirectory => Glyph::Network,
        ProviderKind::Github => Glyph::Branch,
        ProviderKind::Openid => Glyph::IdCard,
    }
}

/// How a provider does, in one word.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum ProviderState {
    On,
    Off,
    Untested,
    Failing,
}

impl ProviderState {
    pub(super) fn of(provider: &Provider) -> Self {
        match (provider.enabled, provider.tested) {
            (true, _) if provider.health.failing_since.is_some() => Self::Failing,
            (true, _) => Self::On,
            (false, true) => Self::Off,
            (false, false) => Self::Untested,
        }
    }
}

impl Stated for ProviderState {
    fn tone(self) -> Tone {
        match self {
            Self::On => Tone::Ok,
            Self::Off => Tone::Idle,
            Self::Untested => Tone::Info,
            Self::Failing => Tone::Bad,
        }
    }
    fn label(self) -> &'static str {
        let words = &t().sign_in;
        match self {
            Self::On => words.state_on,
            Self::Off => words.state_off,
            Self::Untested => words.state_untested,
            Self::Failing => words.state_failing,
        }
    }
}

/// The state, with the reason on hover, and whether a draft waits.
pub(super) fn state_badges(provider: &Provider) -> AnyView {
    let words = &t().sign_in;
    let reason = provider.health.failing_since.map(|since| {
        let error = provider.health.error.as_deref().unwrap_or_default();
        fill(words.failing_since, &[("time", &format::date_time(since)), ("error", error)])
    });
    let draft = provider.draft.as_ref().map(
        |_| view! { <Badge label=words.draft_waiting tone=Tone::Warn title=words.draft_text /> },
    );
    view! {
        <span class="row-wrap">
            <StatePill state=ProviderState::of(provider) title=reason.unwrap_or_default() />
            {draft}
        </span>
    }
    .into_any()
}

/// All identity providers.
#[component]
pub fn Providers() -> impl IntoView {
    let words = &t().sign_in;
    let list = Remote::new(|| {
        api::get("identity-providers").query("limit", 1000).json::<List<Provider>>()
    })
    .live(&[Topic::Provider], |_| true);
    let add = move || {
        view! { <ButtonLink look=Look::Primary icon=Glyph::Plus label=words.add href="/admin/sign-in/new" /> }
    };
    view! {
        <Page title=words.title sub=words.text actions=add>
            <Loaded remote=list let:now>
                {move || {
                    let providers = now.get().items;
                    if providers.is_empty() {
                        return view! {
                            <Card>
                                <Empty glyph=Glyph::IdCard title=words.empty text=words.empty_text>
                                    {add()}
                                </Empty>
                            </Card>
                        }
                            .into_any();
                    }
                    provider_table(providers)
                }}
            </Loaded>
        </Page>
    }
}

fn provider_table(providers: Vec<Provider>) -> AnyView {
    let words = &t().sign_in;
    let rows = providers.into_iter().map(provider_row).collect_view();
    view! {
        <Card flush=true>
            <div class="scroll-x">
                <table class="plain-table">
                    <thead>
                        <tr>
                            <th>{t().common.name}</th>
                            <th>{words.kind}</th>
                            <th>{t().common.state}</th>
                            <th class="table-end">{words.users}</th>
                            <th>{words.last_contact}</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </Card>
    }
    .into_any()
}

fn provider_row(provider: Provider) -> AnyView {
    let failing = provider.enabled.then(|| provider.health.error.clone()).flatten().map(|error| {
        view! { <div class="small faint clamp" title=error.clone()>{error.clone()}</div> }
    });
    view! {
        <tr>
            <td>
                <a class="row strong" href=format!("/admin/sign-in/{}", provider.id)>
                    <Icon glyph=kind_glyph(provider.kind) class="faint" />
                    <span class="break">{provider.name.clone()}</span>
                </a>
            </td>
            <td class="tight">{kind_name(provider.kind)}</td>
            <td>{state_badges(&provider)} {failing}</td>
            <td class="table-end tight">{format::count(provider.users)}</td>
            <td class="tight"><TimeAgoOr at=provider.health.last_contact_at /></td>
        </tr>
    }
    .into_any()
}

/// A new provider: first which kind, then its settings.
#[component]
pub fn NewProvider() -> impl IntoView {
    let words = &t().sign_in;
    let query = use_query_map();
    let preset = Memo::new(move |_| {
        query.with(|query| {
            Preset::parse(&query.get("kind")?, &query.get("preset").unwrap_or_default())
        })
    });
    let title = move || match preset.get() {
        Some(preset) => format!("{}: {}", words.add, preset.name()),
        None => words.add_title.to_owned(),
    };
    let crumbs = move || {
        let mut crumbs = vec![("/admin/sign-in".to_owned(), words.title.to_owned())];
        if preset.with(Option::is_some) {
            crumbs.push(("/admin/sign-in/new".to_owned(), words.add.to_owned()));
        }
        crumbs
    };
    view! {
        <Page title=Signal::derive(title) crumbs=Signal::derive(crumbs) narrow=true>
            {move || match preset.get() {
                Some(preset) => {
                    view! { <Card><ProviderForm known=None preset=preset /></Card> }.into_any()
                }
                None => kind_picker(),
            }}
        </Page>
    }
}

fn kind_picker() -> AnyView {
    let words = &t().sign_in;
    let cards = |presets: &[(Preset, &'static str)]| {
        presets
            .iter()
            .map(|(preset, text)| {
                let (kind, name) = preset.in_address();
                view! {
                    <a class="app kind-card" href=format!("/admin/sign-in/new?kind={kind}&preset={name}")>
                        <span class="app-icon"><Icon glyph=kind_glyph(preset.kind()) size=22 /></span>
                        <span>
                            <span class="strong">{preset.name()}</span>
                            <span class="small muted">{*text}</span>
                        </span>
                    </a>
                }
            })
            .collect_view()
    };
    let ldap = |preset| (Preset::Ldap(preset), "LDAP");
    let openid = |preset| (Preset::Openid(preset), "OpenID Connect");
    view! {
        <section class="stack-s">
            <h2>{words.directories}</h2>
            <p class="muted">{words.directories_text}</p>
            <div class="kind-cards">
                {cards(
                    &[
                        ldap(LdapPreset::OpenLdap),
                        ldap(LdapPreset::FreeIpa),
                        ldap(LdapPreset::Ds389),
                        (Preset::ActiveDirectory, "Microsoft, Samba"),
                    ],
                )}
            </div>
        </section>
        <section class="stack-s">
            <h2>{words.services}</h2>
            <p class="muted">{words.services_text}</p>
            <div class="kind-cards">
                {cards(
                    &[
                        (Preset::Github, words.github_text),
                        openid(OpenidPreset::Keycloak),
                        openid(OpenidPreset::Entra),
                        openid(OpenidPreset::Google),
                        openid(OpenidPreset::Okta),
                        openid(OpenidPreset::Gitlab),
                        (Preset::Openid(OpenidPreset::Generic), words.openid_text),
                    ],
                )}
            </div>
        </section>
    }
    .into_any()
}
