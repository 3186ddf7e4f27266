//! Identity providers: directories and sign-in services beside the local accounts.

use crate::{Principal, Role, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What kind of service knows the people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// A directory that speaks LDAP: OpenLDAP, FreeIPA, 389 Directory Server.
    Ldap,
    /// Microsoft Active Directory, or Samba in its place.
    ActiveDirectory,
    /// GitHub, or GitHub Enterprise Server.
    Github,
    /// OpenID Connect: Keycloak, Google, Microsoft Entra ID, Okta, GitLab and others.
    Openid,
}

impl ProviderKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Ldap, Self::ActiveDirectory, Self::Github, Self::Openid];

    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ldap => "ldap",
            Self::ActiveDirectory => "active_directory",
            Self::Github => "github",
            Self::Openid => "openid",
        }
    }

    /// The reverse of [`ProviderKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// How people come in.
    pub const fn door(self) -> DoorKind {
        match self {
            Self::Ldap | Self::ActiveDirectory => DoorKind::Password,
            Self::Github | Self::Openid => DoorKind::Redirect,
        }
    }
}

/// How people come in through a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DoorKind {
    /// With login and password, on Drover's own page: `POST /v1/session`.
    Password,
    /// On the provider's page: `GET /v1/sign-in/{provider_id}`.
    Redirect,
}

/// `GET /v1/session/providers`: what the sign-in page offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignInProvider {
    /// Its id.
    pub id: Uuid,
    /// What the administrator calls it, e.g. "Example Corp".
    pub name: String,
    /// What it is.
    pub kind: ProviderKind,
    /// How people come in.
    pub door: DoorKind,
}

/// Who of the people that a provider knows may sign in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AccessMode {
    /// Everyone that the provider lets in.
    Unrestricted,
    /// Members of any environment, and the allowed principals; either through a group too.
    #[default]
    Restricted,
    /// Only the allowed principals, or members of allowed groups.
    Required,
}

impl AccessMode {
    /// All modes, from the widest to the strictest.
    pub const ALL: [Self; 3] = [Self::Unrestricted, Self::Restricted, Self::Required];

    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unrestricted => "unrestricted",
            Self::Restricted => "restricted",
            Self::Required => "required",
        }
    }

    /// The reverse of [`AccessMode::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// How connections to a directory are protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DirectorySecurity {
    /// TLS from the first byte, port 636 unless said otherwise.
    #[default]
    Ldaps,
    /// TLS after the StartTLS operation (RFC 4511, 4.14), port 389 unless said otherwise.
    StartTls,
    /// None: passwords cross the network in the clear. Port 389.
    Plain,
}

/// Where a directory is, and how Drover signs in to search it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct DirectoryConnection {
    /// `host` or `host:port`; the first that answers is used. 1 to 8.
    pub servers: Vec<String>,
    /// How connections are protected.
    pub security: DirectorySecurity,
    /// PEM certificates of the authorities to trust, instead of the system's.
    pub ca: Option<String>,
    /// Seconds to connect and shake hands with one server: 1 to 60.
    pub connect_timeout_seconds: u32,
    /// Seconds to wait for the answer to a search or bind: 1 to 120.
    pub search_timeout_seconds: u32,
    /// The service account: a DN, or on Active Directory also `DOMAIN\user` or a UPN. Its
    /// password is the provider's `secret`.
    pub bind_dn: String,
}

impl DirectoryConnection {
    /// What a new one begins with.
    pub fn new() -> Self {
        Self { connect_timeout_seconds: 5, search_timeout_seconds: 10, ..Self::default() }
    }
}

/// A product whose usual names a directory's settings begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LdapPreset {
    /// OpenLDAP with `inetOrgPerson`, `groupOfNames` and `posixGroup`.
    OpenLdap,
    /// FreeIPA.
    FreeIpa,
    /// 389 Directory Server.
    Ds389,
}

/// An LDAP directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct LdapConfig {
    /// Where it is.
    #[serde(flatten)]
    pub connection: DirectoryConnection,
    /// The DN under which people are.
    pub user_base: String,
    /// Their object class.
    pub user_object_class: String,
    /// The attribute that people sign in with.
    pub user_login_attribute: String,
    /// The attribute with the name that lists show.
    pub user_name_attribute: String,
    /// The attribute with the mail address.
    pub user_mail_attribute: String,
    /// The attribute that names an entry for good, through renames and moves. For groups too.
    pub id_attribute: String,
    /// The attribute of people that holds the DNs of their groups; empty: not used.
    pub user_member_of_attribute: String,
    /// One more filter that people must match (RFC 4515), e.g.
    /// `(employeeType=staff)`.
    pub user_filter: String,
    /// The DN under which groups are; empty: no groups.
    pub group_base: String,
    /// Their object classes: one of them is enough.
    pub group_object_classes: Vec<String>,
    /// The attribute with a group's name.
    pub group_name_attribute: String,
    /// The attribute of groups that holds the DNs of their members (`groupOfNames`); empty: not
    /// used.
    pub group_member_attribute: String,
    /// The attribute of groups that holds the logins of their members (`posixGroup`); empty: not
    /// used. With it, a person's `gidNumber` counts too.
    pub group_member_uid_attribute: String,
    /// One more filter that groups must match (RFC 4515).
    pub group_filter: String,
    /// Whether groups in groups count.
    pub nested_groups: bool,
}

impl LdapConfig {
    /// The usual names of a product.
    pub fn preset(preset: LdapPreset) -> Self {
        let open_ldap = Self {
            connection: DirectoryConnection::new(),
            user_object_class: "inetOrgPerson".into(),
            user_login_attribute: "uid".into(),
            user_name_attribute: "cn".into(),
            user_mail_attribute: "mail".into(),
            id_attribute: "entryUUID".into(),
            group_object_classes: vec!["groupOfNames".into(), "posixGroup".into()],
            group_name_attribute: "cn".into(),
            group_member_attribute: "member".into(),
            group_member_uid_attribute: "memberUid".into(),
            nested_groups: true,
            ..Self::default()
        };
        match preset {
            LdapPreset::OpenLdap => open_ldap,
            LdapPreset::FreeIpa => Self {
                user_object_class: "posixAccount".into(),
                id_attribute: "ipaUniqueID".into(),
                user_member_of_attribute: "memberOf".into(),
                group_object_classes: vec!["ipausergroup".into()],
                group_member_uid_attribute: String::new(),
                ..open_ldap
            },
            LdapPreset::Ds389 => Self {
                id_attribute: "nsUniqueId".into(),
                user_member_of_attribute: "memberOf".into(),
                group_object_classes: vec![
                    "groupOfNames".into(),
                    "groupOfUniqueNames".into(),
                    "posixGroup".into(),
                ],
                ..open_ldap
            },
        }
    }
}

/// A Microsoft Active Directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ActiveDirectoryConfig {
    /// Where its domain controllers are.
    #[serde(flatten)]
    pub connection: DirectoryConnection,
    /// Ask the global catalog: ports 3269 and 3268 unless said otherwise.
    pub global_catalog: bool,
    /// The NetBIOS name of the domain of people who type none, e.g. `EXAMPLE`.
    pub default_domain: String,
    /// The DNS name of that domain, e.g. `example.com`: what a UPN ends with.
    pub dns_domain: String,
    /// The DN under which people are.
    pub user_base: String,
    /// One more filter that people must match (RFC 4515).
    pub user_filter: String,
    /// The DN under which groups are; empty: as for people.
    pub group_base: String,
    /// One more filter that groups must match (RFC 4515).
    pub group_filter: String,
    /// The attribute with the name that lists show.
    pub user_name_attribute: String,
    /// The attribute with the mail address.
    pub user_mail_attribute: String,
    /// Whether groups in groups count.
    pub nested_groups: bool,
}

impl ActiveDirectoryConfig {
    /// What a new one begins with.
    pub fn new() -> Self {
        Self {
            connection: DirectoryConnection::new(),
            user_name_attribute: "displayName".into(),
            user_mail_attribute: "mail".into(),
            nested_groups: true,
            ..Self::default()
        }
    }
}

/// GitHub, or GitHub Enterprise Server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct GithubConfig {
    /// `https://github.com`, or the address of a GitHub Enterprise Server.
    pub url: String,
    /// PEM certificates of the authorities to trust, instead of the system's.
    pub ca: Option<String>,
    /// The OAuth app's client id. Its client secret is the provider's `secret`.
    pub client_id: String,
}

impl GithubConfig {
    /// What a new one begins with.
    pub fn new() -> Self {
        Self { url: "https://github.com".into(), ..Self::default() }
    }
}

/// A service whose usual claims and scopes an OpenID provider's settings begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OpenidPreset {
    /// Any other.
    Generic,
    /// Keycloak.
    Keycloak,
    /// Google.
    Google,
    /// Microsoft Entra ID.
    Entra,
    /// Okta.
    Okta,
    /// GitLab.
    Gitlab,
}

/// An OpenID Connect provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct OpenidConfig {
    /// The issuer: its configuration is at `{issuer}/.well-known/openid-configuration`.
    pub issuer: String,
    /// PEM certificates of the authorities to trust, instead of the system's.
    pub ca: Option<String>,
    /// The client id. Its client secret is the provider's `secret`; a public client has none.
    pub client_id: String,
    /// Scopes to ask for beside `openid`.
    pub scopes: Vec<String>,
    /// `prompt` of the request: empty, or words like `login`, `consent`, `select_account`.
    pub prompt: String,
    /// The claim that names a person for good.
    pub id_claim: String,
    /// The claim with the login.
    pub login_claim: String,
    /// The claim with the name that lists show.
    pub name_claim: String,
    /// The claim with the mail address.
    pub mail_claim: String,
    /// The claim with the groups: an array or a text; a path with dots leads into objects, e.g.
    /// `realm_access.roles`. Empty: no groups.
    pub groups_claim: String,
    /// How far clocks may be apart, seconds: 0 to 300.
    pub clock_skew_seconds: u32,
    /// Whether signing out of Drover signs out of the provider too (RP-initiated logout).
    pub provider_logout: bool,
}

impl OpenidConfig {
    /// The usual claims and scopes of a service.
    pub fn preset(preset: OpenidPreset) -> Self {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        let generic = Self {
            scopes: texts(&["profile", "email", "offline_access"]),
            id_claim: "sub".into(),
            login_claim: "preferred_username".into(),
            name_claim: "name".into(),
            mail_claim: "email".into(),
            groups_claim: "groups".into(),
            clock_skew_seconds: 60,
            ..Self::default()
        };
        match preset {
            OpenidPreset::Generic => generic,
            OpenidPreset::Keycloak => Self {
                issuer: "https://HOST/realms/REALM".into(),
                provider_logout: true,
                ..generic
            },
            OpenidPreset::Google => Self {
                issuer: "https://accounts.google.com".into(),
                scopes: texts(&["profile", "email"]),
                prompt: "select_account".into(),
                login_claim: "email".into(),
                groups_claim: "hd".into(),
                ..generic
            },
            OpenidPreset::Entra => Self {
                issuer: "https://login.microsoftonline.com/TENANT/v2.0".into(),
                id_claim: "oid".into(),
                ..generic
            },
            OpenidPreset::Okta => Self {
                issuer: "https://DOMAIN.okta.com".into(),
                scopes: texts(&["profile", "email", "groups", "offline_access"]),
                ..generic
            },
            OpenidPreset::Gitlab => Self {
                issuer: "https://gitlab.com".into(),
                scopes: texts(&["profile", "email"]),
                login_claim: "nickname".into(),
                groups_claim: "groups_direct".into(),
                ..generic
            },
        }
    }
}

/// How to reach a provider and read what it says; by kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProviderConfig {
    /// An LDAP directory.
    Ldap(LdapConfig),
    /// An Active Directory.
    ActiveDirectory(ActiveDirectoryConfig),
    /// GitHub.
    Github(GithubConfig),
    /// An OpenID Connect provider.
    Openid(OpenidConfig),
}

impl ProviderConfig {
    /// Of which kind.
    pub const fn kind(&self) -> ProviderKind {
        match self {
            Self::Ldap(_) => ProviderKind::Ldap,
            Self::ActiveDirectory(_) => ProviderKind::ActiveDirectory,
            Self::Github(_) => ProviderKind::Github,
            Self::Openid(_) => ProviderKind::Openid,
        }
    }
}

/// An identity provider, without its secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Provider {
    /// Its id.
    pub id: Uuid,
    /// Shown on the sign-in page; unique.
    pub name: String,
    /// What it is.
    pub kind: ProviderKind,
    /// Whether people may sign in through it, and what they have through it counts.
    pub enabled: bool,
    /// Who of its people may sign in.
    pub access_mode: AccessMode,
    /// Who may sign in besides, by [`AccessMode`].
    pub allowed_principals: Vec<Principal>,
    /// When not empty: only people in one of these groups are let in at all, whatever the access
    /// mode. Names, DNs or ids as the provider has them; for GitHub `organisation` or
    /// `organisation/team`.
    pub allowed_groups: Vec<String>,
    /// The settings in force.
    pub config: ProviderConfig,
    /// Whether a secret (bind password, client secret) is stored.
    pub has_secret: bool,
    /// Changed settings of a provider that is on: they come into force when a test sign-in with
    /// them has worked.
    pub draft: Option<ProviderConfig>,
    /// The last test. One in which the sign-in worked with the present settings lets the provider
    /// be switched on.
    pub last_test: Option<TestReport>,
    /// True when a test sign-in has worked with the settings in force.
    pub tested: bool,
    /// How the provider does.
    pub health: ProviderHealth,
    /// How many accounts are from it.
    pub users: u64,
    /// Where the provider sends people back to: to enter there. For GitHub and OpenID.
    pub callback_url: Option<String>,
    /// Where an OpenID provider tells of sign-outs (back-channel logout): to enter there.
    pub backchannel_logout_url: Option<String>,
    /// Users and groups pushed by SCIM; for OpenID.
    pub scim: Option<Scim>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Grows with each change; the `ETag`.
    pub version: i64,
}

/// How a provider does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProviderHealth {
    /// When it last answered.
    pub last_contact_at: Option<Timestamp>,
    /// What was wrong at the last try; absent when all was well.
    pub error: Option<String>,
    /// Since when something is wrong.
    pub failing_since: Option<Timestamp>,
    /// When what people have through it stops counting, if it goes on not to answer: the earliest
    /// of all accounts that are in use.
    pub expires_at: Option<Timestamp>,
    /// Accounts in use that still wait for their refresh.
    pub refresh_pending: u64,
}

/// The state of SCIM at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Scim {
    /// The base address, to enter at the provider.
    pub url: String,
    /// The beginning of the bearer token, to recognise it by; absent: SCIM is off.
    pub token_prefix: Option<String>,
    /// When it last pushed something.
    pub last_used_at: Option<Timestamp>,
    /// How many users it has pushed.
    pub users: u64,
    /// How many groups it has pushed.
    pub groups: u64,
}

/// The answer to `POST /v1/identity-providers/{provider_id}/scim-token`: the only time that the
/// token is shown.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScimToken {
    /// The base address, to enter at the provider.
    pub url: String,
    /// `drvscim_…`: the bearer token, to enter at the provider.
    pub token: String,
}

/// `POST /v1/identity-providers`: the provider is off until a test sign-in has worked.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateProvider {
    /// Unique, 1 to 64 characters.
    pub name: String,
    /// The settings.
    pub config: ProviderConfig,
    /// Bind password or client secret.
    #[serde(default)]
    pub secret: Option<String>,
    /// Who of its people may sign in.
    #[serde(default)]
    pub access_mode: AccessMode,
    /// See [`Provider::allowed_groups`].
    #[serde(default)]
    pub allowed_groups: Vec<String>,
}

/// `PATCH /v1/identity-providers/{provider_id}`: what is absent stays.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateProvider {
    /// Unique, 1 to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New settings, of the same kind. While the provider is on they are a draft until a test
    /// sign-in has worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ProviderConfig>,
    /// A new bind password or client secret; the same holds for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Who of its people may sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_mode: Option<AccessMode>,
    /// Ids of the principals who may sign in besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_principals: Option<Vec<String>>,
    /// See [`Provider::allowed_groups`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_groups: Option<Vec<String>>,
    /// On or off. Off ends what people have through it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// True: forget the draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discard_draft: Option<bool>,
}

/// `POST /v1/identity-providers/{provider_id}/test`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TestProvider {
    /// For a directory: also sign in as this person. Absent: test the connection only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The person's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// The answer to `POST /v1/identity-providers/{provider_id}/test-sign-in`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TestSignIn {
    /// Where to send the browser; it comes back to the provider's page with the report.
    pub url: String,
}

/// What a test found, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TestReport {
    /// When.
    pub at: Timestamp,
    /// Whether the draft was tested rather than the settings in force.
    pub draft: bool,
    /// The steps in order; the first that failed is the last.
    pub steps: Vec<TestStep>,
    /// Whether somebody has signed in.
    pub signed_in: bool,
    /// Who, and which groups were found.
    pub person: Option<TestedPerson>,
}

/// A step of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TestStep {
    /// Which.
    pub step: TestStepKind,
    /// Whether it went well.
    pub ok: bool,
    /// What was found, or what is wrong and what to do.
    pub message: String,
    /// The server's own words, where it had some.
    pub detail: Option<String>,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
}

/// What a step of a test tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TestStepKind {
    /// Reach a server.
    Connection,
    /// Shake hands by TLS and check the certificate.
    Tls,
    /// Sign in with the service account.
    Bind,
    /// Find the person.
    UserSearch,
    /// Sign in as the person.
    UserBind,
    /// Find the person's groups.
    Groups,
    /// Read the OpenID provider's configuration.
    Discovery,
    /// Read its keys.
    Keys,
    /// Check the client id and secret.
    Client,
    /// Exchange the code for tokens.
    Token,
    /// Check the ID token.
    IdToken,
    /// Read who it is.
    User,
}

/// Who a test has signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TestedPerson {
    /// The person.
    pub principal: Principal,
    /// The mail address.
    pub email: Option<String>,
    /// The groups.
    pub groups: Vec<Principal>,
    /// Whether access mode and allowed groups would let this person in; why not otherwise.
    pub refused: Option<String>,
}

/// A user's account at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Identity {
    /// The provider.
    pub provider_id: Uuid,
    /// What it is called.
    pub provider_name: String,
    /// What it is.
    pub provider_kind: ProviderKind,
    /// The principal that names the user there.
    pub principal_id: String,
    /// The login there.
    pub login: String,
    /// Whether it counts now.
    pub state: IdentityState,
    /// Why it does not, or what was wrong at the last refresh.
    pub reason: Option<String>,
    /// When the provider last told of it.
    pub refreshed_at: Timestamp,
    /// The groups that it brings.
    pub groups: Vec<Principal>,
}

/// Whether an account at a provider counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum IdentityState {
    /// It counts.
    Active,
    /// The provider, or a rule of Drover's, refuses it.
    Refused,
    /// The provider has not answered for longer than the grace time.
    Expired,
    /// The provider is switched off.
    ProviderOff,
}

/// `POST /v1/users/{user_id}/link`: makes two accounts one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkUser {
    /// The account that goes: its identities, memberships and API keys become the other's.
    pub user_id: Uuid,
}

/// The answer to `GET /v1/principals`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PrincipalSearch {
    /// Who was found, by name; at most 50 from each provider.
    pub items: Vec<Principal>,
    /// How the search went at each provider that is on.
    pub providers: Vec<ProviderSearch>,
}

/// How a search went at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProviderSearch {
    /// The provider; absent for the local accounts.
    pub provider_id: Option<Uuid>,
    /// What it is called; empty for the local accounts.
    pub name: String,
    /// How it went.
    pub state: SearchState,
    /// What was wrong, for people.
    pub message: Option<String>,
}

/// How a search went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SearchState {
    /// It answered.
    Ok,
    /// It did not answer in time.
    Slow,
    /// It answered with an error, or could not be reached.
    Failed,
    /// It cannot be searched: only who has signed in or was pushed by SCIM is known.
    KnownOnly,
    /// It is asked from three letters on.
    TooShort,
}

/// Somebody who has a role in an environment, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnvironmentPerson {
    /// The user's id.
    pub user_id: Uuid,
    /// The login.
    pub login: String,
    /// Shown in lists.
    pub display_name: String,
    /// The strongest of all roles that reach the person.
    pub role: Role,
    /// Where the roles come from, the strongest first.
    pub sources: Vec<RoleSource>,
}

/// Where a role comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoleSource {
    /// The role.
    pub role: Role,
    /// The member that has it: the person, or a group that the person is in. Absent: the person
    /// is a global administrator.
    pub principal: Option<Principal>,
}
