//! What Drover asks of an identity provider, whatever its kind: the seam behind which LDAP, Active
//! Directory, GitHub and OpenID Connect stand.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use drover_api::{PrincipalKind, ProviderKind, TestStep, TestStepKind};
use secrecy::SecretString;

/// A connection to one provider, with its settings. Shared by all requests.
#[async_trait]
pub trait IdentityProvider: Send + Sync {
    /// How people come in.
    fn door(&self) -> Door<'_>;

    /// A person as the provider knows them now, with all their groups.
    ///
    /// # Errors
    /// [`ProviderError::Gone`] and [`ProviderError::Refused`] end what the person has at once; all
    /// others leave it until the grace time is over.
    async fn refresh(&self, known: &Known) -> Result<Person, ProviderError>;

    /// Users and groups whose name or login begins with or contains `text`, at most `limit` of
    /// each. `None`: this provider cannot be searched.
    async fn search(&self, text: &str, limit: usize) -> Result<Option<Vec<Named>>, ProviderError>;

    /// The user or group with this id, as the provider names it now. A provider that cannot be
    /// asked answers `None` for users, and for groups whatever it would accept.
    async fn find(&self, scheme: Scheme, id: &str) -> Result<Option<Named>, ProviderError>;

    /// Tries the connection, step by step, as far as it goes without a person. A failed step is
    /// noted in `steps`, and ends the test.
    async fn probe(&self, steps: &mut Steps) -> Result<(), ProviderError>;
}

/// How people come in.
pub enum Door<'a> {
    /// With login and password, on Drover's own page.
    Password(&'a dyn PasswordDoor),
    /// On the provider's page.
    Redirect(&'a dyn RedirectDoor),
}

/// A provider that checks passwords.
#[async_trait]
pub trait PasswordDoor: Send + Sync {
    /// Checks the password and reads the person and their groups, noting each step. The password
    /// is never empty here: an unauthenticated bind (RFC 4513, 5.1.2) would succeed with one.
    async fn sign_in(
        &self,
        login: &str,
        password: &SecretString,
        steps: &mut Steps,
    ) -> Result<Person, ProviderError>;
}

/// A provider that people are sent to and come back from with a code.
#[async_trait]
pub trait RedirectDoor: Send + Sync {
    /// Where to send the browser.
    async fn begin(&self, attempt: &Attempt) -> Result<String, ProviderError>;

    /// Turns the code into a person and their groups, noting each step. `state` has been checked.
    async fn finish(
        &self,
        attempt: &Attempt,
        callback: &Callback,
        steps: &mut Steps,
    ) -> Result<Person, ProviderError>;

    /// Where to send the browser to sign out there too, if the provider has such a place and its
    /// settings ask for it.
    async fn sign_out_url(&self, _id_token: Option<&str>, _return_to: &str) -> Option<String> {
        None
    }

    /// Checks a logout token (OpenID Connect Back-Channel Logout 1.0, 2.6) and says whose sessions
    /// end.
    async fn signed_out(&self, _logout_token: &str) -> Result<SignedOut, ProviderError> {
        Err(ProviderError::Protocol("this provider has no back-channel logout".into()))
    }
}

/// One sign-in by redirection. Kept by the browser in a sealed cookie until it comes back.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Attempt {
    /// Comes back with the code: proves that this browser began.
    pub state: String,
    /// Comes back in the ID token (OpenID Connect Core 1.0, 3.1.2.1).
    pub nonce: String,
    /// The secret behind the PKCE challenge (RFC 7636).
    pub pkce_verifier: String,
    /// Where the provider sends the browser back to.
    pub redirect_uri: String,
}

/// What the browser brings back from the provider.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Callback {
    /// Stands for the sign-in, once.
    pub code: String,
    /// Who says so (RFC 9207): a code of one provider is not taken to another.
    #[serde(default)]
    pub iss: Option<String>,
}

/// Whose sessions end by a logout token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedOut {
    /// The token's own id (`jti`), good once.
    pub token_id: String,
    /// Only the session with this `sid`, if it says one.
    pub session: Option<String>,
    /// All sessions of this person ([`Person::id`]), if it says one and the id is the subject.
    pub person: Option<String>,
}

/// A person, as a provider knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Names the person for good, through renames and moves.
    pub id: String,
    /// The login, as people type it.
    pub login: String,
    /// Shown in lists.
    pub display_name: String,
    /// The mail address. Never identifies anybody.
    pub email: Option<String>,
    /// Where the person is, e.g. a DN.
    pub detail: Option<String>,
    /// All groups, those through groups too.
    pub groups: Vec<Named>,
    /// What later refreshes need, e.g. tokens. Sealed at rest. `None` keeps what there is.
    pub credential: Option<Credential>,
    /// The session at the provider, for signing out of both.
    pub session: Option<ProviderSession>,
}

/// A secret of a person's account, compared in tests only by being there.
#[derive(Debug, Clone)]
pub struct Credential(pub SecretString);

impl PartialEq for Credential {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Credential {}

/// A session at an OpenID provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderSession {
    /// `sid`.
    pub id: Option<String>,
    /// The ID token, as a hint for signing out there.
    pub id_token: Option<Credential>,
}

/// A user or group, as a provider names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Named {
    /// What it is.
    pub scheme: Scheme,
    /// Names it for good.
    pub id: String,
    /// Shown in lists.
    pub name: String,
    /// The login of a user.
    pub login: Option<String>,
    /// Where it is, to tell it from others of its name.
    pub detail: Option<String>,
}

/// What a principal is at its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// A person.
    User,
    /// A group.
    Group,
    /// A GitHub organisation.
    Organisation,
    /// A GitHub team.
    Team,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::User, Self::Group, Self::Organisation, Self::Team];

    /// One person or many.
    pub fn kind(self) -> PrincipalKind {
        match self {
            Self::User => PrincipalKind::User,
            Self::Group | Self::Organisation | Self::Team => PrincipalKind::Group,
        }
    }

    /// The scheme of principal ids, e.g. `github_team`.
    pub fn name(self, provider: ProviderKind) -> String {
        let provider = match provider {
            ProviderKind::Ldap => "ldap",
            ProviderKind::ActiveDirectory => "activedirectory",
            ProviderKind::Github => "github",
            ProviderKind::Openid => "openid",
        };
        let what = match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Organisation => "org",
            Self::Team => "team",
        };
        format!("{provider}_{what}")
    }

    /// The reverse of [`Scheme::name`].
    pub fn parse(name: &str, provider: ProviderKind) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name(provider) == name)
    }
}

/// What Drover knows of a person whose groups it reads again.
#[derive(Debug, Clone)]
pub struct Known {
    /// [`Person::id`].
    pub id: String,
    /// The last known login.
    pub login: String,
    /// [`Person::credential`] of the last time.
    pub credential: Option<SecretString>,
}

/// Why a provider does not give what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No such login, or not its password. One word for both, so that nobody learns which.
    #[error("no account with this login and password")]
    WrongCredentials,
    /// The account is there, and the provider refuses it.
    #[error("{0}")]
    Refused(Refusal),
    /// The account is not there (any more), or does not match the filters (any more).
    #[error("the account is not in the directory any more")]
    Gone,
    /// The provider cannot be reached, or does not answer in time.
    #[error("{0}")]
    Unavailable(String),
    /// The provider wants to be left alone for a while.
    #[error("{message}")]
    RateLimited {
        /// For people.
        message: String,
        /// When it may be asked again.
        retry_after: Option<Duration>,
    },
    /// The person's token does not work (any more): they must sign in again.
    #[error("{0}")]
    TokenRevoked(String),
    /// The provider cannot tell of this person without them: nothing to refresh with.
    #[error("this provider tells of people only when they sign in")]
    CannotRefresh,
    /// The settings are wrong: service account, client secret, search base, certificate.
    #[error("{0}")]
    Misconfigured(String),
    /// The provider's answer is not what the protocol says, or an attack: signature, audience,
    /// nonce, state.
    #[error("{0}")]
    Protocol(String),
}

/// Why a provider refuses an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Switched off by an administrator of the directory.
    #[error("the account is disabled in the directory")]
    Disabled,
    /// Locked after too many wrong passwords.
    #[error("the account is locked in the directory")]
    Locked,
    /// Past its end.
    #[error("the account has expired in the directory")]
    Expired,
    /// The password is past its end, or must be changed at the next sign-in.
    #[error("the password has expired, or must be changed in the directory first")]
    PasswordExpired,
    /// Not now or not from here.
    #[error("the directory does not let this account sign in at this time or from this machine")]
    NotNow,
    /// The person refused at the provider.
    #[error("the sign-in was cancelled at the provider")]
    Cancelled,
}

impl Refusal {
    /// The stable code of the problem.
    pub fn code(self) -> &'static str {
        match self {
            Self::Disabled => "account_disabled",
            Self::Locked => "account_locked",
            Self::Expired => "account_expired",
            Self::PasswordExpired => "password_expired",
            Self::NotNow => "account_not_now",
            Self::Cancelled => "sign_in_cancelled",
        }
    }
}

/// The steps of a sign-in or test, as they go.
#[derive(Debug, Default)]
pub struct Steps {
    done: Vec<TestStep>,
    began: Option<Instant>,
}

impl Steps {
    /// Notes a step that went well. Its time is that since the step before.
    pub fn ok(&mut self, step: TestStepKind, message: impl Into<String>) {
        self.push(step, true, message.into(), None);
    }

    /// Notes the step that ended it all, with what to do, and the server's own words.
    pub fn failed(
        &mut self,
        step: TestStepKind,
        message: impl Into<String>,
        detail: Option<String>,
    ) {
        self.push(step, false, message.into(), detail);
    }

    /// Notes how a step has gone, and hands its result on.
    ///
    /// # Errors
    /// That of `result`.
    pub fn note<T>(
        &mut self,
        step: TestStepKind,
        result: Result<T, ProviderError>,
        message: impl FnOnce(&T) -> String,
    ) -> Result<T, ProviderError> {
        match &result {
            Ok(found) => self.ok(step, message(found)),
            Err(error) => self.failed(step, error.to_string(), None),
        }
        result
    }

    /// Begins the clock of the first step.
    pub fn begin() -> Self {
        Self { done: Vec::new(), began: Some(Instant::now()) }
    }

    /// Makes sure that what ended it all is noted: adapters note the steps that they know of.
    pub fn close(&mut self, error: &ProviderError) {
        if !self.has_failed() {
            let step = self.done.last().map_or(TestStepKind::Connection, |step| step.step);
            self.failed(step, error.to_string(), None);
        }
    }

    /// All that was noted.
    pub fn into_steps(self) -> Vec<TestStep> {
        self.done
    }

    /// Whether the last step failed.
    pub fn has_failed(&self) -> bool {
        self.done.last().is_some_and(|step| !step.ok)
    }

    fn push(&mut self, step: TestStepKind, ok: bool, message: String, detail: Option<String>) {
        let now = Instant::now();
        let took = self.began.map_or(Duration::ZERO, |began| now - began);
        self.began = Some(now);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.done.push(TestStep { step, ok, message, detail, duration_ms });
    }
}
