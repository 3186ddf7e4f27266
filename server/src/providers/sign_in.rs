//! From a person's proof to a Drover user: the password way and the redirection way.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use drover_api::{TestReport, TestedPerson, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    Attempt, Callback, Door, Person, ProviderError, ProviderSession, Scheme, Steps, accounts,
    model::{ProviderRow, Setup},
    registry::{Connected, connect},
    store,
};
use crate::{
    app::App,
    audit::Note,
    error::{Error, Result},
    users,
};

/// How long a person has on the provider's page.
const LONGEST_ATTEMPT: Duration = Duration::minutes(10);
/// How many people come in by directories at the same time, and how long others wait.
static AT_ONCE: Semaphore = Semaphore::const_new(64);
const LONGEST_QUEUE: std::time::Duration = std::time::Duration::from_secs(10);
/// The longest password that is passed on to a directory, bytes.
const LONGEST_PASSWORD: usize = 1024;
/// The longest login, bytes.
const LONGEST_LOGIN: usize = 320;

/// Somebody has signed in through a provider.
pub struct SignedIn {
    /// The Drover user.
    pub user_id: Uuid,
    /// The provider.
    pub provider_id: Uuid,
    /// The session there.
    pub session: Option<ProviderSession>,
}

/// Why somebody did not get in: what they are told, and what the audit log is told.
#[derive(Debug)]
pub struct Refused {
    /// What the person is told.
    pub error: Error,
    /// Whether it may be somebody who tries passwords: then tries are throttled.
    pub is_guess: bool,
    /// The page that was wanted, for another try: of a redirection that did begin here.
    pub return_to: Option<String>,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error, is_guess: false, return_to: None }
    }
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}

/// Signs in with login and password at a directory.
pub async fn with_password(
    app: &App,
    provider_id: Uuid,
    login: &str,
    password: SecretString,
    note: &Note,
) -> std::result::Result<SignedIn, Refused> {
    let Connected { row, connection } = app
        .providers
        .enabled(app, provider_id)
        .await?
        .ok_or_else(|| Error::not_found("identity provider"))?;
    note.detail("provider", row.name.as_str());
    let Door::Password(door) = connection.door() else {
        return Err(Error::conflict(
            "wrong_door",
            "People sign in to this provider on its own page.",
        )
        .into());
    };
    // Those who wait for a slow directory, or for the database, must not take all memory.
    let Ok(Ok(_permit)) = tokio::time::timeout(LONGEST_QUEUE, AT_ONCE.acquire()).await else {
        note.detail("reason", "too many people are signing in at once");
        return Err(Error::unavailable(
            "too_many_at_once",
            "Too many people are signing in at this moment. Try again in a few seconds.",
        )
        .into());
    };
    // An empty password would be an unauthenticated bind, which directories let through.
    let found = if is_passable(login, &password) {
        door.sign_in(login.trim(), &password, &mut Steps::default()).await
    } else {
        Err(ProviderError::WrongCredentials)
    };
    take_in(app, &row, found, note).await
}

fn is_passable(login: &str, password: &SecretString) -> bool {
    use secrecy::ExposeSecret;
    let password = password.expose_secret();
    (1..=LONGEST_LOGIN).contains(&login.trim().len())
        && !login.contains(char::is_control)
        && (1..=LONGEST_PASSWORD).contains(&password.len())
        && !password.contains('\0')
}

/// Writes down a person who has proved who they are, if they may in.
async fn take_in(
    app: &App,
    row: &ProviderRow,
    found: std::result::Result<Person, ProviderError>,
    note: &Note,
) -> std::result::Result<SignedIn, Refused> {
    let person = match found {
        Ok(person) => person,
        Err(error) => {
            note.detail("reason", error.to_string());
            note_contact(app, row, Some(&error)).await;
            return Err(Refused {
                is_guess: error == ProviderError::WrongCredentials,
                error: problem(row, error),
                return_to: None,
            });
        }
    };
    let person = person.tidy().ok_or_else(|| {
        note.detail("reason", "the provider names the person by an id that cannot be used");
        problem(row, ProviderError::Protocol("an id that cannot be used".into()))
    })?;
    note.actor(None, &person.login);
    note_contact(app, row, None).await;
    let own = row.principal_id(Scheme::User, &person.id);
    note.target(&own, &person.display_name);
    let mut tx = app.db.begin().await?;
    let Some(row) = &store::with_rules_of_now(&mut tx, row).await? else {
        note.detail("reason", "the provider was changed meanwhile");
        return Err(Error::conflict(
            "provider_changed",
            "The provider was changed while you were signing in. Try again.",
        )
        .into());
    };
    let known = accounts::known(&mut tx, &own).await?;
    if known.is_some_and(|(_, deactivated)| deactivated) {
        note.detail("reason", "deactivated by SCIM");
        return Err(problem(row, ProviderError::Refused(super::Refusal::Disabled)).into());
    }
    let user_id = known.map(|(user_id, _)| user_id);
    if let Some(why) = accounts::refusal(&mut tx, row, &person, user_id).await? {
        note.detail("reason", why);
        if user_id.is_some() && accounts::refuse(&mut tx, &own, why).await? {
            tx.commit().await?;
            app.access_changed_quietly().await;
        }
        return Err(Error::denied("not_admitted", format!("{why} Ask an administrator.")).into());
    }
    let arrival = accounts::arrive(&mut tx, &app.cipher, row, &person).await?;
    tx.commit().await?;
    if arrival.changed {
        app.access_changed_quietly().await;
    }
    let Some(user) = users::active(&app.db, arrival.user_id).await? else {
        note.detail("reason", "the Drover account is inactive");
        return Err(Error::denied(
            "account_inactive",
            "Your Drover account is inactive. Ask an administrator.",
        )
        .into());
    };
    note.actor(Some(user.id), &user.login);
    Ok(SignedIn { user_id: user.id, provider_id: row.id, session: person.session })
}

/// Notes for the provider's page how it answered; browsers are told when that is news.
pub(super) async fn note_contact(app: &App, row: &ProviderRow, error: Option<&ProviderError>) {
    let text = match error {
        Some(
            error @ (ProviderError::Unavailable(_)
            | ProviderError::RateLimited { .. }
            | ProviderError::Misconfigured(_)),
        ) => Some(error.to_string()),
        // It has answered, if only with a no.
        _ => None,
    };
    let fresh = row
        .last_contact_at
        .is_some_and(|at| OffsetDateTime::now_utc() - at < Duration::seconds(10));
    if text.is_none() && row.error.is_none() && fresh {
        return;
    }
    match store::note_contact(&app.db, row.id, text.as_deref()).await {
        Ok(true) => app.events.updated(drover_api::Topic::Provider, None, row.id).await,
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, provider = %row.name, "cannot note a contact"),
    }
}

/// What a person is told.
fn problem(row: &ProviderRow, error: ProviderError) -> Error {
    use axum::http::StatusCode;
    let name = &row.name;
    match error {
        ProviderError::WrongCredentials | ProviderError::Gone => Error::new(
            StatusCode::UNAUTHORIZED,
            "wrong_credentials",
            "There is no active account with this login and password.",
        ),
        ProviderError::Refused(refusal @ super::Refusal::Cancelled) => {
            Error::denied(refusal.code(), format!("The sign-in was cancelled at {name}."))
        }
        ProviderError::Refused(refusal) => {
            let mut why = refusal.to_string();
            if let Some(first) = why.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            Error::denied(refusal.code(), format!("{why}. Ask those who run {name}."))
        }
        ProviderError::Unavailable(why) => {
            tracing::warn!(provider = %name, %why, "an identity provider does not answer");
            Error::unavailable(
                "provider_unavailable",
                format!(
                    "{name} does not answer at the moment. Try again in a minute; accounts of Drover's own still work."
                ),
            )
        }
        ProviderError::RateLimited { message, .. } => {
            tracing::warn!(provider = %name, why = %message, "an identity provider limits Drover");
            Error::unavailable(
                "provider_rate_limited",
                format!("{name} wants to be left alone for a while. Try again in some minutes."),
            )
        }
        ProviderError::Misconfigured(why) => {
            tracing::warn!(provider = %name, %why, "an identity provider's settings are wrong");
            Error::unavailable(
                "provider_misconfigured",
                format!("Drover cannot use {name} as it is set up. Ask an administrator."),
            )
        }
        error @ (ProviderError::TokenRevoked(_)
        | ProviderError::CannotRefresh
        | ProviderError::Protocol(_)) => {
            tracing::warn!(provider = %name, %error, "a sign-in failed");
            Error::denied(
                "sign_in_failed",
                format!(
                    "The sign-in at {name} failed. Try again; if it fails again, ask an administrator to look into the audit log."
                ),
            )
        }
    }
}

// ---- by redirection

/// What the browser keeps, sealed, while the person is at the provider.
#[derive(Debug, Serialize, Deserialize)]
struct Ticket {
    provider_id: Uuid,
    attempt: Attempt,
    return_to: String,
    purpose: Purpose,
    ends_at: i64,
}

/// What a redirection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// To sign in.
    SignIn,
    /// An administrator's test of the settings (the draft, if there is one) at this version.
    Test {
        /// The version of the provider's row.
        version: i64,
    },
}

/// A redirection that begins.
pub struct Begun {
    /// Where to send the browser.
    pub url: String,
    /// The name of the cookie to set.
    pub cookie: String,
    /// Its value.
    pub value: String,
    /// How long it is good for.
    pub lasts: Duration,
}

/// Where a provider sends browsers back to.
pub fn callback_url(app: &App, provider_id: Uuid) -> String {
    format!("{}/v1/sign-in/{provider_id}/callback", app.settings.public_url())
}

fn cookie_name(state: &str) -> String {
    // A name for each attempt: two tabs do not take it from each other.
    format!("drover_sign_in_{}", hex(&Sha256::digest(state.as_bytes())[..8]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random<const N: usize>() -> String
where
    rand::distr::StandardUniform: rand::distr::Distribution<[u8; N]>,
{
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; N]>())
}

/// Begins a sign-in, or a test, on the provider's page.
pub async fn begin(
    app: &App,
    provider_id: Uuid,
    return_to: &str,
    purpose: Purpose,
) -> Result<Begun> {
    let (row, connection) = match purpose {
        Purpose::SignIn => {
            let connected = app
                .providers
                .enabled(app, provider_id)
                .await?
                .ok_or_else(|| Error::not_found("identity provider"))?;
            (connected.row, connected.connection)
        }
        Purpose::Test { .. } => {
            let row = store::get(&app.db, &app.cipher, provider_id)
                .await?
                .ok_or_else(|| Error::not_found("identity provider"))?;
            let connection = connect(under_test(&row)).map_err(|error| problem(&row, error))?;
            (row, connection)
        }
    };
    let Door::Redirect(door) = connection.door() else {
        return Err(Error::conflict(
            "wrong_door",
            "People sign in to this provider with login and password.",
        ));
    };
    let attempt = Attempt {
        state: random::<24>(),
        nonce: random::<24>(),
        pkce_verifier: random::<32>(),
        redirect_uri: callback_url(app, provider_id),
    };
    let begun = door.begin(&attempt).await;
    if row.draft.is_none() || purpose == Purpose::SignIn {
        note_contact(app, &row, begun.as_ref().err()).await;
    }
    let url = begun.map_err(|error| match purpose {
        Purpose::SignIn => problem(&row, error),
        // Whoever tests needs the reason.
        Purpose::Test { .. } => Error::unavailable("provider_unavailable", error.to_string()),
    })?;
    let ticket = Ticket {
        provider_id,
        return_to: return_to.to_owned(),
        purpose,
        ends_at: (OffsetDateTime::now_utc() + LONGEST_ATTEMPT).unix_timestamp(),
        attempt,
    };
    let plain = serde_json::to_vec(&ticket).map_err(Error::internal)?;
    Ok(Begun {
        url,
        cookie: cookie_name(&ticket.attempt.state),
        value: URL_SAFE_NO_PAD.encode(app.cipher.seal(&plain)),
        lasts: LONGEST_ATTEMPT,
    })
}

/// What a provider's redirection back carries.
#[derive(Debug, Deserialize)]
pub struct Returned {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
    iss: Option<String>,
}

impl Returned {
    /// The cookie that this redirection's ticket is in.
    pub fn cookie(&self) -> Option<String> {
        self.state.as_deref().filter(|state| state.len() <= 256).map(cookie_name)
    }
}

/// How a redirection ends.
pub enum Finished {
    /// Somebody has signed in, and goes on to this page.
    SignedIn(SignedIn, String),
    /// The report of a test is stored; the page that shows it.
    Tested(String),
}

/// Ends what [`begin`] began. `ticket` is the value of the cookie that [`Returned::cookie`] names.
pub async fn finish(
    app: &App,
    provider_id: Uuid,
    ticket: Option<&str>,
    returned: Returned,
    note: &Note,
) -> std::result::Result<Finished, Refused> {
    let ticket = open_ticket(app, provider_id, ticket, &returned).ok_or_else(|| Refused {
        error: Error::denied(
            "sign_in_state",
            "This sign-in did not begin in this browser, or took longer than ten minutes. Begin again.",
        ),
        // A state cannot be guessed: this is somebody who came back late, or by an old address.
        is_guess: false,
        return_to: None,
    })?;
    // From here on it is somebody's sign-in, which the audit log tells of however it ends.
    note.actor(None, "unknown");
    let return_to = Some(ticket.return_to.clone());
    let finished = finish_with(app, ticket, returned, note).await;
    finished.map_err(|refused| Refused { return_to, ..refused })
}

async fn finish_with(
    app: &App,
    ticket: Ticket,
    returned: Returned,
    note: &Note,
) -> std::result::Result<Finished, Refused> {
    let provider_id = ticket.provider_id;
    let hash = Sha256::digest(ticket.attempt.state.as_bytes());
    let until = OffsetDateTime::now_utc() + LONGEST_ATTEMPT;
    if !store::spend(&app.db, &hash, until).await? {
        note.detail("reason", "the state was used before");
        return Err(Error::denied(
            "sign_in_replayed",
            "This sign-in has been used already. Begin again.",
        )
        .into());
    }
    match ticket.purpose {
        Purpose::SignIn => {
            let Connected { row, connection } = app
                .providers
                .enabled(app, provider_id)
                .await?
                .ok_or_else(|| Error::not_found("identity provider"))?;
            note.detail("provider", row.name.as_str());
            let Door::Redirect(door) = connection.door() else {
                return Err(Error::not_found("identity provider").into());
            };
            // What the browser brings is not the provider's word on how it does.
            let callback = callback(returned).map_err(|error| {
                note.detail("reason", error.to_string());
                problem(&row, error)
            })?;
            let found = door.finish(&ticket.attempt, &callback, &mut Steps::default()).await;
            let signed_in = take_in(app, &row, found, note).await?;
            Ok(Finished::SignedIn(signed_in, ticket.return_to))
        }
        Purpose::Test { version } => {
            let row = store::get(&app.db, &app.cipher, provider_id)
                .await?
                .ok_or_else(|| Error::not_found("identity provider"))?;
            note.detail("provider", row.name.as_str());
            let mut steps = Steps::begin();
            let found = match (callback(returned), connect(under_test(&row))) {
                (Ok(callback), Ok(connection)) => match connection.door() {
                    Door::Redirect(door) => {
                        door.finish(&ticket.attempt, &callback, &mut steps).await
                    }
                    Door::Password(_) => Err(ProviderError::CannotRefresh),
                },
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
            keep_report(app, &row, version, steps, found.map(Some)).await?;
            Ok(Finished::Tested(format!("/admin/sign-in/{provider_id}?tested=1")))
        }
    }
}

fn open_ticket(
    app: &App,
    provider_id: Uuid,
    sealed: Option<&str>,
    returned: &Returned,
) -> Option<Ticket> {
    let sealed = URL_SAFE_NO_PAD.decode(sealed?).ok()?;
    let ticket: Ticket = serde_json::from_slice(&app.cipher.open(&sealed).ok()?).ok()?;
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let is_right = ticket.provider_id == provider_id
        && returned.state.as_deref() == Some(ticket.attempt.state.as_str())
        && ticket.ends_at > now;
    is_right.then_some(ticket)
}

/// The code, or what the provider says instead of one.
fn callback(returned: Returned) -> std::result::Result<Callback, ProviderError> {
    match (returned.error, returned.code) {
        (Some(error), _) if error == "access_denied" => {
            Err(ProviderError::Refused(super::Refusal::Cancelled))
        }
        (Some(error), _) => {
            let more = returned.error_description.unwrap_or_default();
            let text: String = format!("{error} {more}").chars().take(200).collect();
            let text = format!("The provider answers: {}", text.trim());
            // RFC 6749, 4.1.2.1; the second is GitHub's.
            Err(match error.as_str() {
                "temporarily_unavailable" | "server_error" => ProviderError::Unavailable(text),
                "redirect_uri_mismatch" | "unauthorized_client" | "invalid_scope" => {
                    ProviderError::Misconfigured(text)
                }
                _ => ProviderError::Protocol(text),
            })
        }
        (None, Some(code)) if code.len() <= 4096 => Ok(Callback { code, iss: returned.iss }),
        _ => Err(ProviderError::Protocol("the provider sent no code".into())),
    }
}

// ---- tests

/// What a test tries: the draft, if there is one.
pub(super) fn under_test(row: &ProviderRow) -> &Setup {
    row.draft.as_ref().unwrap_or(&row.current)
}

/// Keeps the report of a test. Where somebody has signed in, what was tested comes into force.
pub(super) async fn keep_report(
    app: &App,
    row: &ProviderRow,
    version: i64,
    mut steps: Steps,
    found: std::result::Result<Option<Person>, ProviderError>,
) -> Result<TestReport> {
    let person = match found {
        Ok(person) => person.and_then(Person::tidy),
        Err(error) => {
            steps.close(&error);
            None
        }
    };
    let signed_in = person.is_some() && !steps.has_failed();
    let person = match person {
        Some(person) => Some(tested_person(app, row, &person).await?),
        None => None,
    };
    let report = TestReport {
        at: Timestamp(OffsetDateTime::now_utc()),
        draft: row.draft.is_some(),
        steps: steps.into_steps(),
        signed_in,
        person,
    };
    store::note_test(&app.db, row.id, version, &report).await?;
    app.access_changed(drover_api::Topic::Provider, None, row.id).await;
    Ok(report)
}

async fn tested_person(app: &App, row: &ProviderRow, person: &Person) -> Result<TestedPerson> {
    let own = row.own_principal(person);
    let mut db = app.db.acquire().await?;
    // So that they can be given roles before anybody has signed in: some providers tell of groups
    // only to those who are in them.
    accounts::learn(&mut db, row, &person.groups).await?;
    let known = accounts::known(&mut db, &own.id).await?.map(|(user_id, _)| user_id);
    let refused = accounts::refusal(&mut db, row, person, known).await?;
    Ok(TestedPerson {
        refused: refused.map(str::to_owned),
        email: person.email.clone(),
        groups: person.groups.iter().map(|group| row.principal(group)).collect(),
        principal: own,
    })
}

// ---- signing out

/// The longest logout token, bytes.
const LONGEST_TOKEN: usize = 16 << 10;
/// For how long a logout token is remembered: longer than any is good for.
const LOGOUT_TOKENS_LAST: Duration = Duration::hours(24);

/// Ends the sessions that an OpenID provider's logout token names.
pub async fn signed_out_there(
    app: &App,
    provider_id: Uuid,
    logout_token: &str,
    note: &Note,
) -> Result<()> {
    let refused =
        |why: String| Error::new(axum::http::StatusCode::BAD_REQUEST, "invalid_logout_token", why);
    let Connected { row, connection } = app
        .providers
        .enabled(app, provider_id)
        .await?
        .ok_or_else(|| Error::not_found("identity provider"))?;
    let Door::Redirect(door) = connection.door() else {
        return Err(Error::not_found("identity provider"));
    };
    if logout_token.len() > LONGEST_TOKEN {
        return Err(refused("the token is too long".into()));
    }
    let out = door.signed_out(logout_token).await.map_err(|error| refused(error.to_string()))?;
    let hash = Sha256::digest(format!("logout:{provider_id}:{}", out.token_id).as_bytes());
    let until = OffsetDateTime::now_utc() + LOGOUT_TOKENS_LAST;
    let mut tx = app.db.begin().await?;
    if !store::spend(&mut *tx, &hash, until).await? {
        return Err(refused("the token was used before".into()));
    }
    let person = out.person.map(|id| row.principal_id(Scheme::User, &id));
    let ended =
        store::end_sessions(&mut tx, provider_id, out.session.as_deref(), person.as_deref())
            .await?;
    tx.commit().await?;
    note.actor(None, &row.name);
    note.target(provider_id, &row.name);
    note.detail("sessions", ended);
    if ended > 0 {
        app.access_changed_quietly().await;
    }
    Ok(())
}
