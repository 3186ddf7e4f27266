//! The settings of an identity provider. One form for all kinds: what it asks for is a list of
//! [`Ask`]s, and what was typed goes back into the JSON of the configuration under their names.

use drover_api::{
    ActiveDirectoryConfig, GithubConfig, LdapConfig, LdapPreset, OpenidConfig, OpenidPreset,
    ProviderKind,
};
use leptos::prelude::*;
use leptos_router::hooks::use_navigate;
use serde_json::{Map, Value, json};

use super::providers::Provider;
use crate::{api, components::*, i18n::t};

/// What a new provider begins with.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Preset {
    Ldap(LdapPreset),
    ActiveDirectory,
    Github,
    Openid(OpenidPreset),
}

const LDAP: [(LdapPreset, &str, &str); 3] = [
    (LdapPreset::OpenLdap, "open_ldap", "OpenLDAP"),
    (LdapPreset::FreeIpa, "free_ipa", "FreeIPA"),
    (LdapPreset::Ds389, "ds389", "389 Directory Server"),
];
const OPENID: [(OpenidPreset, &str, &str); 6] = [
    (OpenidPreset::Generic, "generic", ""),
    (OpenidPreset::Keycloak, "keycloak", "Keycloak"),
    (OpenidPreset::Google, "google", "Google"),
    (OpenidPreset::Entra, "entra", "Microsoft Entra ID"),
    (OpenidPreset::Okta, "okta", "Okta"),
    (OpenidPreset::Gitlab, "gitlab", "GitLab"),
];

impl Preset {
    pub(super) fn kind(self) -> ProviderKind {
        match self {
            Self::Ldap(_) => ProviderKind::Ldap,
            Self::ActiveDirectory => ProviderKind::ActiveDirectory,
            Self::Github => ProviderKind::Github,
            Self::Openid(_) => ProviderKind::Openid,
        }
    }

    /// `kind` and `preset` of the form's address.
    pub(super) fn in_address(self) -> (&'static str, &'static str) {
        let name = match self {
            Self::Ldap(wanted) => LDAP.iter().find(|one| one.0 == wanted).map(|one| one.1),
            Self::Openid(wanted) => OPENID.iter().find(|one| one.0 == wanted).map(|one| one.1),
            _ => None,
        };
        (self.kind().as_str(), name.unwrap_or_default())
    }

    /// The reverse; an unknown or absent preset is the first of its kind.
    pub(super) fn parse(kind: &str, preset: &str) -> Option<Self> {
        Some(match ProviderKind::parse(kind)? {
            ProviderKind::Ldap => {
                Self::Ldap(LDAP.iter().find(|one| one.1 == preset).unwrap_or(&LDAP[0]).0)
            }
            ProviderKind::ActiveDirectory => Self::ActiveDirectory,
            ProviderKind::Github => Self::Github,
            ProviderKind::Openid => {
                Self::Openid(OPENID.iter().find(|one| one.1 == preset).unwrap_or(&OPENID[0]).0)
            }
        })
    }

    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        let name = match self {
            Self::Ldap(wanted) => LDAP.iter().find(|one| one.0 == wanted).map(|one| one.2),
            Self::ActiveDirectory => Some("Active Directory"),
            Self::Github => Some("GitHub"),
            Self::Openid(wanted) => OPENID.iter().find(|one| one.0 == wanted).map(|one| one.2),
        };
        name.filter(|name| !name.is_empty()).unwrap_or(t().sign_in.openid_other)
    }

    fn config(self) -> Map<String, Value> {
        let config = match self {
            Self::Ldap(preset) => serde_json::to_value(LdapConfig::preset(preset)),
            Self::ActiveDirectory => serde_json::to_value(ActiveDirectoryConfig::new()),
            Self::Github => serde_json::to_value(GithubConfig::new()),
            Self::Openid(preset) => serde_json::to_value(OpenidConfig::preset(preset)),
        };
        let mut config = object(config.unwrap_or_default());
        config.insert("kind".into(), self.kind().as_str().into());
        config
    }
}

/// How a setting is asked for.
#[derive(Clone, Copy, PartialEq)]
enum How {
    /// A line.
    Line,
    /// A text list, one a line.
    Lines,
    /// A text list with spaces between.
    Words,
    /// PEM; `null` when empty.
    Pem,
    /// Seconds.
    Seconds,
    /// On or off.
    Switch,
    /// [`DirectorySecurity`](drover_api::DirectorySecurity).
    Security,
}

/// Where a setting stands in the form.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Connection,
    People,
    Groups,
}

/// One setting: its name in the API, and how it is asked for.
#[derive(Clone, Copy)]
struct Ask {
    /// With `config.`, as errors name it.
    name: &'static str,
    label: &'static str,
    help: &'static str,
    example: &'static str,
    how: How,
    part: Part,
    /// Folded away: its preset is right for most.
    more: bool,
}

impl Ask {
    fn key(&self) -> &'static str {
        self.name.trim_start_matches("config.")
    }
}

/// A list of [`Ask`]s, built up part by part.
struct Asks {
    list: Vec<Ask>,
    part: Part,
    more: bool,
}

impl Asks {
    fn part(&mut self, part: Part, more: bool) {
        (self.part, self.more) = (part, more);
    }

    fn add(
        &mut self,
        how: How,
        name: &'static str,
        label: &'static str,
        help: &'static str,
        example: &'static str,
    ) {
        let (part, more) = (self.part, self.more);
        self.list.push(Ask { name, label, help, example, how, part, more });
    }
}

fn asks(kind: ProviderKind) -> Vec<Ask> {
    let mut asks = Asks { list: Vec::new(), part: Part::Connection, more: false };
    match kind {
        ProviderKind::Ldap => ldap(&mut asks),
        ProviderKind::ActiveDirectory => active_directory(&mut asks),
        ProviderKind::Github => github(&mut asks),
        ProviderKind::Openid => openid(&mut asks),
    }
    asks.list
}

fn ldap(asks: &mut Asks) {
    let w = &t().sign_in;
    use How::{Line, Lines, Security, Switch};
    asks.add(Lines, "config.servers", w.servers, w.servers_help, "ldap.example.com");
    asks.add(Security, "config.security", w.security, "", "");
    let example = "cn=drover,ou=services,dc=example,dc=com";
    asks.add(Line, "config.bind_dn", w.bind_dn, w.bind_dn_help, example);
    more_connection(asks);
    asks.part(Part::People, false);
    let example = "ou=people,dc=example,dc=com";
    asks.add(Line, "config.user_base", w.user_base, w.user_base_help, example);
    asks.part(Part::People, true);
    asks.add(Line, "config.user_object_class", w.user_object_class, "", "");
    asks.add(Line, "config.user_login_attribute", w.user_login_attribute, "", "");
    asks.add(Line, "config.user_name_attribute", w.user_name_attribute, "", "");
    asks.add(Line, "config.user_mail_attribute", w.user_mail_attribute, "", "");
    asks.add(Line, "config.id_attribute", w.id_attribute, w.id_attribute_help, "");
    let (label, help) = (w.user_member_of, w.user_member_of_help);
    asks.add(Line, "config.user_member_of_attribute", label, help, "");
    asks.add(Line, "config.user_filter", w.user_filter, w.filter_help, "");
    asks.part(Part::Groups, false);
    let example = "ou=groups,dc=example,dc=com";
    asks.add(Line, "config.group_base", w.group_base, w.group_base_help, example);
    asks.add(Switch, "config.nested_groups", w.nested_groups, w.nested_groups_help, "");
    asks.part(Part::Groups, true);
    let (label, help) = (w.group_object_classes, w.one_a_line);
    asks.add(Lines, "config.group_object_classes", label, help, "");
    asks.add(Line, "config.group_name_attribute", w.group_name_attribute, "", "");
    let (label, help) = (w.group_member_attribute, w.group_member_attribute_help);
    asks.add(Line, "config.group_member_attribute", label, help, "");
    let (label, help) = (w.group_member_uid_attribute, w.group_member_uid_attribute_help);
    asks.add(Line, "config.group_member_uid_attribute", label, help, "");
    asks.add(Line, "config.group_filter", w.group_filter, w.group_filter_help, "");
}

fn active_directory(asks: &mut Asks) {
    let w = &t().sign_in;
    use How::{Line, Lines, Security, Switch};
    asks.add(Lines, "config.servers", w.servers, w.servers_help, "dc1.example.com");
    asks.add(Security, "config.security", w.security, "", "");
    asks.add(Line, "config.bind_dn", w.bind_dn, w.bind_dn_help_ad, "drover@example.com");
    asks.add(Line, "config.dns_domain", w.dns_domain, w.dns_domain_help, "example.com");
    asks.add(Line, "config.default_domain", w.default_domain, w.default_domain_help, "EXAMPLE");
    asks.part(Part::Connection, true);
    asks.add(Switch, "config.global_catalog", w.global_catalog, w.global_catalog_help, "");
    more_connection(asks);
    asks.part(Part::People, false);
    asks.add(Line, "config.user_base", w.user_base, w.user_base_help, "DC=example,DC=com");
    asks.part(Part::People, true);
    asks.add(Line, "config.user_name_attribute", w.user_name_attribute, "", "");
    asks.add(Line, "config.user_mail_attribute", w.user_mail_attribute, "", "");
    asks.add(Line, "config.user_filter", w.user_filter, w.filter_help, "");
    asks.part(Part::Groups, false);
    asks.add(Switch, "config.nested_groups", w.nested_groups, w.nested_groups_help, "");
    asks.part(Part::Groups, true);
    let example = "OU=Groups,DC=example,DC=com";
    asks.add(Line, "config.group_base", w.group_base, w.group_base_help_ad, example);
    asks.add(Line, "config.group_filter", w.group_filter, w.group_filter_help, "");
}

/// What directories have in common and few have to change.
fn more_connection(asks: &mut Asks) {
    let w = &t().sign_in;
    asks.part(Part::Connection, true);
    asks.add(How::Pem, "config.ca", w.ca, w.ca_help, "");
    asks.add(How::Seconds, "config.connect_timeout_seconds", w.connect_timeout, "", "");
    asks.add(How::Seconds, "config.search_timeout_seconds", w.search_timeout, "", "");
}

fn github(asks: &mut Asks) {
    let w = &t().sign_in;
    asks.add(How::Line, "config.url", w.github_url, w.github_url_help, "https://github.com");
    asks.add(How::Line, "config.client_id", w.client_id, w.github_client_help, "");
    asks.part(Part::Connection, true);
    asks.add(How::Pem, "config.ca", w.ca, w.ca_help, "");
}

fn openid(asks: &mut Asks) {
    let w = &t().sign_in;
    use How::{Line, Pem, Seconds, Switch, Words};
    let example = "https://login.example.com";
    asks.add(Line, "config.issuer", w.issuer, w.issuer_help, example);
    asks.add(Line, "config.client_id", w.client_id, w.openid_client_help, "");
    asks.part(Part::Connection, true);
    asks.add(Words, "config.scopes", w.scopes, w.scopes_help, "");
    asks.add(Line, "config.prompt", w.prompt, w.prompt_help, "");
    asks.add(Switch, "config.provider_logout", w.provider_logout, w.provider_logout_help, "");
    asks.add(Seconds, "config.clock_skew_seconds", w.clock_skew, "", "");
    asks.add(Pem, "config.ca", w.ca, w.ca_help, "");
    asks.part(Part::People, false);
    asks.add(Line, "config.groups_claim", w.groups_claim, w.groups_claim_help, "");
    asks.part(Part::People, true);
    asks.add(Line, "config.login_claim", w.login_claim, "", "");
    asks.add(Line, "config.name_claim", w.name_claim, "", "");
    asks.add(Line, "config.mail_claim", w.mail_claim, "", "");
    asks.add(Line, "config.id_claim", w.id_claim, "", "");
}

/// A setting with what is typed for it.
#[derive(Clone, Copy)]
struct Given {
    ask: Ask,
    text: RwSignal<String>,
    on: RwSignal<bool>,
}

impl Given {
    fn new(ask: Ask, config: &Map<String, Value>) -> Self {
        let (text, on) = match config.get(ask.key()) {
            Some(Value::String(text)) => (text.clone(), false),
            Some(Value::Number(number)) => (number.to_string(), false),
            Some(Value::Bool(on)) => (String::new(), *on),
            Some(Value::Array(list)) => {
                let list: Vec<_> = list.iter().filter_map(Value::as_str).collect();
                (list.join(if ask.how == How::Words { " " } else { "\n" }), false)
            }
            _ => (String::new(), false),
        };
        Self { ask, text: RwSignal::new(text), on: RwSignal::new(on) }
    }

    /// As the API takes it; `None` for what is no number and must be one.
    fn value(self) -> Option<Value> {
        let text = self.text.get_untracked();
        let text = text.trim();
        Some(match self.ask.how {
            How::Line | How::Security => text.into(),
            How::Lines => lines(text).into(),
            How::Words => text.split_whitespace().collect::<Vec<_>>().into(),
            How::Pem if text.is_empty() => Value::Null,
            How::Pem => format!("{text}\n").into(),
            How::Seconds => text.parse::<u32>().ok()?.into(),
            How::Switch => self.on.get_untracked().into(),
        })
    }
}

/// The lines that are not empty.
pub(super) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The settings of `known`, or of a new provider that begins with `preset`.
#[component]
pub(super) fn ProviderForm(
    /// The provider to change, as it is now.
    known: Option<(Signal<Provider>, Callback<Provider>)>,
    /// What a new one begins with.
    #[prop(optional)]
    preset: Option<Preset>,
) -> impl IntoView {
    let words = &t().sign_in;
    let form = Form::new();
    let base = known.map(|(now, _)| now.get_untracked());
    let preset = preset.unwrap_or(Preset::Openid(OpenidPreset::Generic));
    let (kind, mut map) = match &base {
        Some(base) => (base.kind, object(base.draft.as_ref().unwrap_or(&base.config).clone())),
        None => (preset.kind(), preset.config()),
    };
    let name = RwSignal::new(match (&base, preset) {
        (Some(base), _) => base.name.clone(),
        (None, Preset::Openid(OpenidPreset::Generic)) => String::new(),
        (None, preset) => preset.name().to_owned(),
    });
    // A preset's address has a part to fill in: shown as an example, not as a value.
    let template = map.get("issuer").and_then(Value::as_str).is_some_and(has_gap);
    let example = template.then(|| map.remove("issuer")).flatten();
    let example = example.as_ref().and_then(Value::as_str).map(str::to_owned);
    let given: Vec<Given> = asks(kind).into_iter().map(|ask| Given::new(ask, &map)).collect();
    let secret = RwSignal::new(String::new());
    let stored = base.as_ref().is_some_and(|base| base.has_secret);
    let fields = given.clone();
    let navigate = use_navigate();
    let submit = move |()| {
        let mut config = map.clone();
        for given in &given {
            match given.value() {
                Some(value) => _ = config.insert(given.ask.key().to_owned(), value),
                None => return form.fail_field(given.ask.name, words.number_wrong),
            }
        }
        let mut input = json!({ "name": name.get_untracked().trim(), "config": config });
        let typed = secret.get_untracked();
        if !typed.is_empty() {
            input["secret"] = typed.into();
        }
        match (known, &base) {
            (Some((now, saved)), Some(base)) => {
                let version = now.with_untracked(|now| {
                    // What else has changed since does not matter to this form.
                    let same = now.name == base.name
                        && now.config == base.config
                        && now.draft == base.draft;
                    if same { now.version } else { base.version }
                });
                let path = format!("identity-providers/{}", base.id);
                form.submit(
                    move || async move {
                        api::patch(path, &input).if_match(version).json::<Provider>().await
                    },
                    move |provider| {
                        let waits = provider.draft.is_some();
                        use_toasts().success(if waits { words.saved_draft } else { words.saved });
                        saved.run(provider);
                    },
                );
            }
            _ => {
                let navigate = navigate.clone();
                form.submit(
                    move || async move {
                        api::post("identity-providers", &input).json::<Provider>().await
                    },
                    move |provider| {
                        navigate(&format!("/admin/sign-in/{}", provider.id), Default::default());
                    },
                );
            }
        }
    };
    let (label, help) = match kind {
        ProviderKind::Ldap | ProviderKind::ActiveDirectory => (words.secret_bind, ""),
        ProviderKind::Github => (words.secret_client, ""),
        ProviderKind::Openid => (words.secret_client, words.secret_public),
    };
    let help = if stored { words.secret_kept } else { help };
    let secret = view! {
        <TextField
            form=form
            name="secret"
            label=label
            value=secret
            kind="password"
            autocomplete="new-password"
            help=help
            optional=stored || kind == ProviderKind::Openid
        />
    }
    .into_any();
    let people = if kind == ProviderKind::Openid { words.claims } else { words.people };
    let is_new = known.is_none();
    let button = if is_new { words.add } else { t().common.save };
    view! {
        <FormView form=form on_submit=submit>
            <TextField form=form name="name" label=words.name value=name help=words.name_help focus=is_new />
            {part(form, &fields, Part::Connection, words.connection, Some(secret), example)}
            {part(form, &fields, Part::People, people, None, None)}
            {part(form, &fields, Part::Groups, words.groups, None, None)}
            <FormActions form=form label=button />
        </FormView>
    }
}

/// Whether an address is a pattern, with a word in capitals to fill in: `https://HOST/…`.
fn has_gap(address: &str) -> bool {
    address
        .split(['/', '.'])
        .any(|word| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase()))
}

/// One part of the form: what most have to fill in, then the rest, folded away until asked for or
/// something in it is wrong.
fn part(
    form: Form,
    fields: &[Given],
    part: Part,
    title: &'static str,
    after: Option<AnyView>,
    issuer: Option<String>,
) -> Option<AnyView> {
    let all = |more| fields.iter().filter(move |one| one.ask.part == part && one.ask.more == more);
    let first = all(false).map(|one| field(form, *one, issuer.clone())).collect_view();
    let names: Vec<_> = all(true).map(|one| one.ask.name).collect();
    if names.is_empty() && all(false).next().is_none() {
        return None;
    }
    let wrong: Vec<_> = names.iter().map(|name| form.field_error(name)).collect();
    let wrong = Memo::new(move |_| wrong.iter().any(|error| error.with(Option::is_some)));
    // Lists of texts are tall and stand alone; lines stand side by side.
    let (lines, rest): (Vec<&Given>, Vec<&Given>) =
        all(true).partition(|one| matches!(one.ask.how, How::Line | How::Seconds));
    let lines = lines.into_iter().map(|one| field(form, *one, None)).collect_view();
    let rest = rest.into_iter().map(|one| field(form, *one, None)).collect_view();
    let more = (!names.is_empty()).then(|| {
        view! {
            <details class="more" prop:open=wrong>
                <summary>{t().sign_in.more}</summary>
                <div class="form">{rest} <div class="form-row">{lines}</div></div>
            </details>
        }
    });
    let view = view! { <div class="form-group"><h3>{title}</h3> {first} {after} {more}</div> };
    Some(view.into_any())
}

fn field(form: Form, given: Given, issuer: Option<String>) -> AnyView {
    let words = &t().sign_in;
    let Given { ask, text, on } = given;
    let Ask { name, label, help, example, how, .. } = ask;
    let help = (!help.is_empty()).then(|| help.to_owned());
    let example = issuer.filter(|_| name == "config.issuer").unwrap_or_else(|| example.to_owned());
    match how {
        How::Line | How::Words => view! {
            <TextField form=form name=name label=label value=text help=help.unwrap_or_default() placeholder=example mono=true />
        }
        .into_any(),
        How::Lines => {
            let rows = text.with_untracked(|text| text.lines().count().clamp(2, 6)) as u8;
            view! {
                <TextArea form=form name=name label=label value=text help=help.unwrap_or_default() placeholder=example code=true rows=rows />
            }
            .into_any()
        }
        How::Pem => view! {
            <TextArea form=form name=name label=label value=text help=help.unwrap_or_default() placeholder="-----BEGIN CERTIFICATE-----" code=true rows=3 optional=true />
        }
        .into_any(),
        How::Seconds => view! {
            <TextField form=form name=name label=label value=text help=help.unwrap_or_default() kind="number" unit=words.seconds />
        }
        .into_any(),
        How::Switch => view! { <Switch label=label checked=on help=help.unwrap_or_default() /> }.into_any(),
        How::Security => {
            let options = vec![
                ("ldaps".to_owned(), words.security_ldaps.to_owned()),
                ("start_tls".to_owned(), words.security_start_tls.to_owned()),
                ("plain".to_owned(), words.security_plain.to_owned()),
            ];
            view! { <SelectField form=form name=name label=label value=text options=options /> }
                .into_any()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_stand_in_the_address() {
        let all = LDAP
            .map(|one| Preset::Ldap(one.0))
            .into_iter()
            .chain(OPENID.map(|one| Preset::Openid(one.0)))
            .chain([Preset::ActiveDirectory, Preset::Github]);
        for preset in all {
            let (kind, name) = preset.in_address();
            assert!(Preset::parse(kind, name) == Some(preset), "{kind} {name}");
        }
        assert!(Preset::parse("saml", "").is_none());
    }

    #[test]
    fn the_form_asks_for_every_setting() {
        for preset in [
            Preset::Ldap(LdapPreset::OpenLdap),
            Preset::ActiveDirectory,
            Preset::Github,
            Preset::Openid(OpenidPreset::Keycloak),
        ] {
            let config = preset.config();
            let asked = asks(preset.kind());
            for key in config.keys().filter(|key| *key != "kind") {
                assert!(asked.iter().any(|ask| ask.key() == key), "{key}");
            }
            assert_eq!(asked.len() + 1, config.len(), "one is asked for twice or does not exist");
        }
    }

    #[test]
    fn addresses_with_gaps_are_examples() {
        assert!(has_gap("https://HOST/realms/REALM"));
        assert!(has_gap("https://login.microsoftonline.com/TENANT/v2.0"));
        assert!(has_gap("https://DOMAIN.okta.com"));
        assert!(!has_gap("https://accounts.google.com"));
    }
}
