//! Rules of providers and principals, without I/O.

use std::collections::HashSet;

use drover_api::{
    AccessMode, ActiveDirectoryConfig, DirectorySecurity, FieldError, LdapConfig, Principal,
    ProviderConfig, ProviderKind,
};
use secrecy::SecretString;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Named, Person, Scheme};

/// The longest id of a user or group that is taken from a provider, bytes.
const LONGEST_ID: usize = 512;
/// The longest secret, bytes: OAuth client secrets can be signed tokens.
const LONGEST_SECRET: usize = 8192;
/// The longest name of a person or group that is kept, characters.
const LONGEST_NAME: usize = 200;
/// The most groups, and principals, that an access rule can name.
const MOST_ALLOWED: usize = 1000;

/// A provider as the table has it, with the secret opened.
#[derive(Clone)]
pub struct ProviderRow {
    pub id: Uuid,
    pub kind: ProviderKind,
    pub name: String,
    pub enabled: bool,
    pub access_mode: AccessMode,
    pub allowed_groups: Vec<String>,
    pub current: Setup,
    pub draft: Option<Setup>,
    pub tested: bool,
    pub last_test: Option<serde_json::Value>,
    pub last_contact_at: Option<OffsetDateTime>,
    pub error: Option<String>,
    pub failing_since: Option<OffsetDateTime>,
    pub scim_token_prefix: Option<String>,
    pub scim_last_used_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
    pub version: i64,
    pub config_version: i64,
}

/// What is needed to connect.
#[derive(Clone)]
pub struct Setup {
    pub config: ProviderConfig,
    pub secret: Option<SecretString>,
}

impl ProviderRow {
    /// The id of a principal of this provider.
    pub fn principal_id(&self, scheme: Scheme, id: &str) -> String {
        principal_id(self.kind, self.id, scheme, id)
    }

    /// A user or group of this provider as the API shows it.
    pub fn principal(&self, named: &Named) -> Principal {
        Principal {
            id: self.principal_id(named.scheme, &named.id),
            kind: named.scheme.kind(),
            provider: self.kind.as_str().into(),
            provider_id: Some(self.id),
            provider_name: Some(self.name.clone()),
            name: named.name.clone(),
            login: named.login.clone(),
            detail: named.detail.clone(),
        }
    }

    /// The person's own principal.
    pub fn own_principal(&self, person: &Person) -> Principal {
        self.principal(&person.named())
    }

    /// Whether one of these groups is allowed; yes where no groups are listed.
    pub fn allows_a_group_of<'a>(&self, groups: impl IntoIterator<Item = GroupNames<'a>>) -> bool {
        let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        self.allowed_groups.is_empty()
            || groups.into_iter().any(|group| {
                self.allowed_groups.iter().any(|allowed| {
                    same(allowed, group.name)
                        || same(allowed, group.id)
                        || group.detail.is_some_and(|detail| same(allowed, detail))
                })
            })
    }
}

/// What an allowed group can be called by.
#[derive(Debug, Clone, Copy)]
pub struct GroupNames<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub detail: Option<&'a str>,
}

impl Person {
    /// The person as a principal.
    pub fn named(&self) -> Named {
        Named {
            scheme: Scheme::User,
            id: self.id.clone(),
            name: self.display_name.clone(),
            login: Some(self.login.clone()),
            detail: self.detail.clone(),
        }
    }

    /// The same with names cut to what is kept, and without ids that are not: empty, too long, or
    /// with control characters. Groups stand in the order of their ids, each once.
    pub fn tidy(mut self) -> Option<Self> {
        let fits =
            |id: &str| !id.is_empty() && id.len() <= LONGEST_ID && !id.contains(char::is_control);
        if !fits(&self.id) {
            return None;
        }
        self.login = tidy_name(&self.login);
        self.display_name = tidy_name(&self.display_name);
        if self.login.is_empty() {
            self.login.clone_from(&self.id);
        }
        if self.display_name.is_empty() {
            self.display_name.clone_from(&self.login);
        }
        self.email = self.email.filter(|email| email.len() <= 254 && fits(email));
        self.groups.retain(|group| fits(&group.id));
        for group in &mut self.groups {
            *group = group.clone().tidy();
        }
        self.groups.sort_by(|a, b| (a.scheme as u8, &a.id).cmp(&(b.scheme as u8, &b.id)));
        self.groups.dedup_by(|a, b| a.scheme == b.scheme && a.id == b.id);
        Some(self)
    }
}

impl Named {
    /// The same with names cut to what is kept.
    pub fn tidy(mut self) -> Self {
        self.name = tidy_name(&self.name);
        if self.name.is_empty() {
            self.name = tidy_name(&self.id);
        }
        self.login = self.login.map(|login| tidy_name(&login));
        self.detail = self.detail.map(|detail| tidy_name(&detail));
        self
    }
}

fn tidy_name(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_NAME)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The id of a principal of a provider.
pub fn principal_id(kind: ProviderKind, provider: Uuid, scheme: Scheme, id: &str) -> String {
    format!("{}://{provider}/{}", scheme.name(kind), encode(id))
}

/// A principal's id taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalAddress {
    /// The name of the scheme, e.g. `ldap_group`.
    pub scheme: String,
    /// The provider.
    pub provider: Uuid,
    /// The id there.
    pub id: String,
}

/// The reverse of [`principal_id`]; nothing for local ones and for what is none.
pub fn parse_principal_id(text: &str) -> Option<PrincipalAddress> {
    let (scheme, rest) = text.split_once("://")?;
    let (provider, id) = rest.split_once('/')?;
    let address = PrincipalAddress {
        scheme: scheme.to_owned(),
        provider: provider.parse().ok()?,
        id: decode(id)?,
    };
    (!address.id.is_empty() && address.id.len() <= LONGEST_ID).then_some(address)
}

/// What stands in a principal's id as it is; the rest is percent-encoded.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~=,:@+".contains(&byte)
}

fn encode(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        if is_plain(byte) {
            text.push(byte.into());
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Whether these principals let somebody in.
pub fn admits(mode: AccessMode, is_listed: bool, is_member: bool) -> bool {
    match mode {
        AccessMode::Unrestricted => true,
        AccessMode::Restricted => is_listed || is_member,
        AccessMode::Required => is_listed,
    }
}

/// Checks a provider's name.
pub fn check_name(name: &str) -> Option<FieldError> {
    let fits = (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    (!fits).then(|| FieldError::new("name", "A name has 1 to 64 characters."))
}

/// Checks a secret that was typed.
pub fn check_secret(secret: &str) -> Option<FieldError> {
    (secret.len() > LONGEST_SECRET)
        .then(|| FieldError::new("secret", "A secret has at most 8,192 characters."))
}

/// Checks a list of groups or principals.
pub fn check_allowed(field: &str, all: &[String]) -> Option<FieldError> {
    if all.len() > MOST_ALLOWED {
        return Some(FieldError::new(field, "At most 1,000."));
    }
    let odd = |text: &String| {
        text.trim().is_empty() || text.len() > LONGEST_ID + 128 || text.contains(char::is_control)
    };
    all.iter().any(odd).then(|| FieldError::new(field, "Each has 1 to 512 characters."))
}

/// Where to go after signing in: only a page of Drover's own. Anything else is the start page.
pub fn return_to(wanted: Option<&str>) -> &str {
    let ours = |path: &&str| {
        // `//host` and `/\host` lead away, and browsers drop tabs and line feeds.
        path.starts_with('/')
            && !path.starts_with("//")
            && path.len() <= 2048
            && !path.contains(['\\'])
            && !path.contains(char::is_control)
    };
    wanted.filter(ours).unwrap_or("/")
}

/// The same id of a principal as Drover writes it.
pub fn canonical(id: &str) -> String {
    match parse_principal_id(id) {
        Some(PrincipalAddress { scheme, provider, id }) => {
            format!("{scheme}://{provider}/{}", encode(&id))
        }
        None => id.to_owned(),
    }
}

/// What gives the ids of people and groups their meaning: with another one, the same id is
/// somebody else.
pub fn identity_source(config: &ProviderConfig) -> Vec<&str> {
    match config {
        ProviderConfig::Ldap(config) => vec![&config.id_attribute],
        // `objectGUID` is the same in the whole forest, and in no other.
        ProviderConfig::ActiveDirectory(_) => Vec::new(),
        ProviderConfig::Github(config) => vec![&config.url],
        ProviderConfig::Openid(config) => vec![&config.issuer, &config.id_claim],
    }
}

/// Where a provider's secret is sent, and whom that is trusted by.
pub fn secret_goes_to(config: &ProviderConfig) -> (Vec<&str>, DirectorySecurity, Option<&str>) {
    match config {
        ProviderConfig::Ldap(LdapConfig { connection, .. })
        | ProviderConfig::ActiveDirectory(ActiveDirectoryConfig { connection, .. }) => (
            connection.servers.iter().map(String::as_str).collect(),
            connection.security,
            connection.ca.as_deref(),
        ),
        ProviderConfig::Github(config) => {
            (vec![&config.url], DirectorySecurity::Ldaps, config.ca.as_deref())
        }
        ProviderConfig::Openid(config) => {
            (vec![&config.issuer], DirectorySecurity::Ldaps, config.ca.as_deref())
        }
    }
}

/// Each of these once, in their order.
pub fn distinct(mut all: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    all.retain(|one| seen.insert(one.clone()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_principals_come_back_as_they_were() {
        let provider = Uuid::nil();
        for id in ["6f1c", "cn=Ops/EU,dc=example", "Größe 100%", "a://b"] {
            let text = principal_id(ProviderKind::Ldap, provider, Scheme::Group, id);
            let back = parse_principal_id(&text).unwrap();
            assert_eq!(back.scheme, "ldap_group");
            assert_eq!((back.provider, back.id.as_str()), (provider, id), "{text}");
        }
        for text in ["local_user://0190", "ldap_user://x/y", "", "ldap_user:///", "a://b/%zz"] {
            assert_eq!(parse_principal_id(text), None, "{text}");
        }
    }

    #[test]
    fn only_own_pages_are_returned_to() {
        for good in ["/", "/environments/1?tab=a", "/a//b"] {
            assert_eq!(return_to(Some(good)), good);
        }
        let long = format!("/{}", "a".repeat(3000));
        for bad in
            ["", "//evil.test", "/\\evil.test", "https://evil.test", "evil", "/\t/evil.test", &long]
        {
            assert_eq!(return_to(Some(bad)), "/", "{bad}");
        }
        assert_eq!(return_to(None), "/");
    }

    #[test]
    fn modes_admit_as_they_say() {
        use AccessMode::*;
        let table = [
            (Unrestricted, false, false, true),
            (Restricted, false, false, false),
            (Restricted, true, false, true),
            (Restricted, false, true, true),
            (Required, false, true, false),
            (Required, true, false, true),
        ];
        for (mode, listed, member, expected) in table {
            assert_eq!(admits(mode, listed, member), expected, "{mode:?} {listed} {member}");
        }
    }

    #[test]
    fn what_a_provider_says_is_tidied() {
        let group = |id: &str| Named {
            scheme: Scheme::Group,
            id: id.into(),
            name: " a\u{7}b ".into(),
            login: None,
            detail: None,
        };
        let person = Person {
            id: "1".into(),
            login: String::new(),
            display_name: "x".repeat(500),
            email: Some("a\nb".into()),
            detail: None,
            groups: vec![group("2"), group(""), group("1"), group("2")],
            credential: None,
            session: None,
        };
        let tidy = person.clone().tidy().unwrap();
        assert_eq!(tidy.login, "1");
        assert_eq!(tidy.display_name.len(), 200);
        assert_eq!(tidy.email, None);
        let ids: Vec<_> = tidy.groups.iter().map(|group| group.id.as_str()).collect();
        assert_eq!(ids, ["1", "2"]);
        assert_eq!(tidy.groups[0].name, "ab");
        assert_eq!(Person { id: String::new(), ..person }.tidy(), None);
    }
}
