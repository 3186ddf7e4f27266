//! GitHub, and GitHub Enterprise Server: people sign in there (OAuth web application flow), and
//! their token reads who they are. Accounts, organisations and teams are named by their numeric
//! ids: a login can be renamed, and then taken by somebody else.
//!
//! The person's own token is the only one there is, so that groups are read again only with it,
//! and a search goes by what everybody may see.

mod api;
mod check;

use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use drover_api::{GithubConfig, TestStepKind};
use reqwest::{Method, Url, header::ACCEPT};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::api::{Account, Api, Credentials, Team};
use super::{
    Attempt, Callback, Credential, Door, IdentityProvider, Known, Named, Person, ProviderError,
    RedirectDoor, Scheme, Steps,
    http::{Http, HttpErrorKind, cut},
    renewed::Renewed,
};

pub use check::check;

/// The least that tells of teams, of organisations that are not public, and of mail addresses.
const SCOPES: &str = "read:org user:email";
/// A code that nobody has been given.
const NO_CODE: &str = "00000000000000000000";
/// Renew a token that is about to end.
const MARGIN_SECONDS: u64 = 60;

/// A connection to GitHub.
pub struct Github {
    client_id: String,
    secret: SecretString,
    web: Url,
    http: Http,
    api: Api,
    renewed: Renewed<Tokens>,
}

/// What later refreshes need: [`Person::credential`] as JSON.
#[derive(Clone, Serialize, Deserialize)]
struct Tokens {
    access_token: String,
    /// Only of GitHub Apps: seconds since 1970.
    #[serde(default)]
    expires_at: Option<u64>,
    #[serde(default)]
    refresh_token: Option<String>,
}

/// Errors come with the status 200, too.
#[derive(Deserialize)]
#[serde(untagged)]
enum TokenAnswer {
    Failed {
        error: String,
        #[serde(default)]
        error_description: String,
    },
    Good {
        access_token: String,
        #[serde(default)]
        expires_in: Option<u64>,
        #[serde(default)]
        refresh_token: Option<String>,
    },
}

impl Github {
    /// A connection with these settings; nothing is sent yet.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`] when the settings cannot be used.
    pub fn new(config: &GithubConfig, secret: Option<SecretString>) -> Result<Self, ProviderError> {
        let not_an_address =
            || ProviderError::Misconfigured("The address of GitHub is not one.".to_owned());
        let web = config.url.trim_end_matches('/');
        let api = api_of(web);
        Ok(Self {
            client_id: config.client_id.clone(),
            secret: secret.unwrap_or_default(),
            web: Url::parse(web).map_err(|_| not_an_address())?,
            http: Http::new(config.ca.as_deref())?,
            api: Api::new(Url::parse(&api).map_err(|_| not_an_address())?),
            renewed: Renewed::default(),
        })
    }

    fn page(&self, path: &str) -> Url {
        let mut url = self.web.clone();
        url.set_path(&format!("{}{path}", self.web.path().trim_end_matches('/')));
        url
    }

    fn app(&self) -> Credentials<'_> {
        Credentials::App { id: &self.client_id, secret: &self.secret }
    }

    /// Asks for a token. An answer that is an error is one of GitHub's words.
    async fn token(
        &self,
        fields: &[(&str, &str)],
    ) -> Result<Result<Tokens, Refused>, ProviderError> {
        let app = [
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.secret.expose_secret()),
        ];
        let fields: Vec<_> = app.iter().chain(fields).collect();
        let request = self
            .http
            .request(Method::POST, self.page("/login/oauth/access_token"))
            .header(ACCEPT, "application/json")
            .form(&fields);
        let answer = self.http.send(request).await?;
        if answer.status == reqwest::StatusCode::NOT_FOUND {
            return Ok(Err(Refused { error: "not_found".into(), description: String::new() }));
        }
        Ok(match answer.json()? {
            TokenAnswer::Failed { error, error_description } => {
                Err(Refused { error, description: error_description })
            }
            TokenAnswer::Good { access_token, expires_in, refresh_token } => Ok(Tokens {
                access_token,
                expires_at: expires_in.map(|left| now() + left),
                refresh_token,
            }),
        })
    }

    async fn exchange(&self, attempt: &Attempt, code: &str) -> Result<Tokens, ProviderError> {
        let fields = [
            ("code", code),
            ("redirect_uri", &attempt.redirect_uri),
            ("code_verifier", &attempt.pkce_verifier),
        ];
        self.token(&fields).await?.map_err(Refused::explain)
    }

    /// Tokens of GitHub Apps end after some hours, and are renewed.
    async fn renewed(&self, tokens: Tokens) -> Result<Tokens, ProviderError> {
        if tokens.expires_at.is_none_or(|end| end > now() + MARGIN_SECONDS) {
            return Ok(tokens);
        }
        let refresh_token = tokens.refresh_token.as_deref().ok_or_else(revoked)?;
        let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        self.token(&fields).await?.map_err(|refused| match refused.error.as_str() {
            "bad_refresh_token" => revoked(),
            _ => refused.explain(),
        })
    }

    async fn user(&self, tokens: &Tokens) -> Result<Account, ProviderError> {
        self.api.get(&self.http, &Credentials::Person(&tokens.access_token), "/user").await
    }

    async fn groups(&self, tokens: &Tokens) -> Result<Vec<Named>, ProviderError> {
        let person = Credentials::Person(&tokens.access_token);
        // One after the other, as GitHub asks programs to do.
        let organisations: Vec<Account> = self.api.list(&self.http, &person, "/user/orgs").await?;
        let teams: Vec<Team> = self.api.list(&self.http, &person, "/user/teams").await?;
        let mut groups: Vec<_> = organisations.iter().map(Account::organisation).collect();
        for team in &teams {
            groups.extend(team.named());
        }
        groups.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        groups.dedup_by(|a, b| (a.scheme, &a.id) == (b.scheme, &b.id));
        Ok(groups)
    }

    /// The address that the person has made the primary one, and has proved to have.
    async fn email(&self, tokens: &Tokens) -> Result<Option<String>, ProviderError> {
        let person = Credentials::Person(&tokens.access_token);
        let all: Vec<api::Email> = self.api.list(&self.http, &person, "/user/emails").await?;
        Ok(all.into_iter().find(|one| one.primary && one.verified).map(|one| one.email))
    }

    async fn known(&self, known: &Known, tokens: &Tokens) -> Result<Person, ProviderError> {
        let account = self.user(tokens).await?;
        if account.id.to_string() != known.id {
            return Err(ProviderError::Protocol(
                "GitHub says that the token is another account's.".into(),
            ));
        }
        let groups = self.groups(tokens).await?;
        self.person(account, tokens, groups).await
    }

    async fn person(
        &self,
        account: Account,
        tokens: &Tokens,
        groups: Vec<Named>,
    ) -> Result<Person, ProviderError> {
        let email = self.email(tokens).await?;
        let credential = serde_json::to_string(tokens).ok().map(|text| Credential(text.into()));
        Ok(Person {
            id: account.id.to_string(),
            display_name: account.display_name(),
            login: account.login,
            email,
            detail: None,
            groups,
            credential,
            session: None,
        })
    }

    /// A reachable API, and a certificate that is trusted.
    async fn reach(&self, steps: &mut Steps) -> Result<(), ProviderError> {
        let place = self.api.place();
        let answer = self.api.reach(&self.http).await;
        let connected = || format!("{place} answers.");
        match answer {
            Err(error) if error.kind == HttpErrorKind::Tls => {
                steps.ok(TestStepKind::Connection, connected());
                steps.note(TestStepKind::Tls, Err(error.into()), |()| String::new())
            }
            // It has answered: whatever it thinks of being asked often.
            Err(error) if error.kind != HttpErrorKind::Busy => {
                steps.note(TestStepKind::Connection, Err(error.into()), |()| String::new())
            }
            _ => {
                steps.ok(TestStepKind::Connection, connected());
                let tls = match self.web.scheme() {
                    "https" => "The certificate is trusted.",
                    _ => "There is no TLS: only for tests on this machine.",
                };
                steps.ok(TestStepKind::Tls, tls);
                Ok(())
            }
        }
    }

    /// Exchanges a code that nobody has been given: GitHub looks at id and secret first.
    async fn try_client(&self) -> Result<(), ProviderError> {
        match self.token(&[("code", NO_CODE)]).await? {
            Err(refused) if refused.error == "bad_verification_code" => Ok(()),
            Err(refused) => Err(refused.explain()),
            Ok(_) => Err(ProviderError::Protocol("GitHub takes a code that is none.".into())),
        }
    }
}

#[async_trait]
impl IdentityProvider for Github {
    fn door(&self) -> Door<'_> {
        Door::Redirect(self)
    }

    async fn refresh(&self, known: &Known) -> Result<Person, ProviderError> {
        let stored = known.credential.as_ref().ok_or(ProviderError::CannotRefresh)?;
        let stored: Tokens = serde_json::from_str(stored.expose_secret())
            .map_err(|_| ProviderError::CannotRefresh)?;
        let used_up = stored.refresh_token.clone();
        let tokens = self.renewed.take(used_up.as_deref()).unwrap_or(stored);
        let tokens = self.renewed(tokens).await?;
        let found = self.known(known, &tokens).await;
        if found.is_err() && tokens.refresh_token != used_up {
            self.renewed.keep(used_up.as_deref(), tokens);
        }
        found
    }

    async fn search(&self, text: &str, limit: usize) -> Result<Option<Vec<Named>>, ProviderError> {
        let mut found = self.api.search(&self.http, &self.app(), text, "user", limit).await?;
        let organisations = self.api.search(&self.http, &self.app(), text, "org", limit).await?;
        found.extend(organisations);
        Ok(Some(found))
    }

    /// Teams can only be read by their members, so that GitHub cannot tell of them here.
    async fn find(&self, scheme: Scheme, id: &str) -> Result<Option<Named>, ProviderError> {
        let Ok(id) = id.parse::<u64>() else { return Ok(None) };
        self.api.find(&self.http, &self.app(), scheme, id).await
    }

    async fn probe(&self, steps: &mut Steps) -> Result<(), ProviderError> {
        self.reach(steps).await?;
        let client = self.try_client().await;
        steps.note(TestStepKind::Client, client, |()| "GitHub takes client id and secret.".into())
    }
}

#[async_trait]
impl RedirectDoor for Github {
    async fn begin(&self, attempt: &Attempt) -> Result<String, ProviderError> {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(attempt.pkce_verifier.as_bytes()));
        let mut url = self.page("/login/oauth/authorize");
        url.query_pairs_mut()
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &attempt.redirect_uri)
            .append_pair("scope", SCOPES)
            .append_pair("state", &attempt.state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    async fn finish(
        &self,
        attempt: &Attempt,
        callback: &Callback,
        steps: &mut Steps,
    ) -> Result<Person, ProviderError> {
        let tokens = self.exchange(attempt, &callback.code).await;
        let tokens = steps.note(TestStepKind::Token, tokens, |tokens| match tokens.expires_at {
            Some(_) => "The code was exchanged for a token that is renewed.".into(),
            None => "The code was exchanged for a token.".into(),
        })?;
        let account = self.user(&tokens).await;
        let account = steps.note(TestStepKind::User, account, |account| {
            format!("{} ({}), with the id {}.", account.display_name(), account.login, account.id)
        })?;
        let person = match self.groups(&tokens).await {
            Ok(groups) => self.person(account, &tokens, groups).await,
            Err(error) => Err(error),
        };
        steps.note(TestStepKind::Groups, person, |person| {
            let count =
                |scheme| person.groups.iter().filter(|group| group.scheme == scheme).count();
            format!(
                "Organisations: {}, teams: {}. Organisations that restrict applications show only \
                 once an owner has approved this one.",
                count(Scheme::Organisation),
                count(Scheme::Team)
            )
        })
    }
}

/// An error of the OAuth endpoints.
struct Refused {
    error: String,
    description: String,
}

impl Refused {
    fn explain(self) -> ProviderError {
        let Self { error, description } = self;
        match error.as_str() {
            "incorrect_client_credentials" | "not_found" => ProviderError::Misconfigured(
                "GitHub does not take the client id and secret: compare them with the OAuth app's."
                    .into(),
            ),
            "redirect_uri_mismatch" => ProviderError::Misconfigured(
                "GitHub does not send people back to this address: enter the callback URL in the \
                 OAuth app's settings."
                    .into(),
            ),
            "bad_verification_code" => ProviderError::Protocol(
                "GitHub does not take the code: it was used before, or has expired. Sign in again."
                    .into(),
            ),
            "unverified_user_email" => ProviderError::Misconfigured(
                "The person must verify their primary mail address at GitHub first.".into(),
            ),
            _ => ProviderError::Protocol(format!(
                "GitHub refuses ({}).",
                cut(&format!("{error}: {description}"))
            )),
        }
    }
}

/// Where the API of a GitHub is: on a host of its own for those that GitHub runs itself.
fn api_of(web: &str) -> String {
    match web.strip_prefix("https://") {
        Some("github.com" | "www.github.com") => "https://api.github.com".into(),
        Some(host) if host.ends_with(".ghe.com") => format!("https://api.{host}"),
        _ => format!("{web}/api/v3"),
    }
}

fn revoked() -> ProviderError {
    ProviderError::TokenRevoked(
        "GitHub does not take the person's token any more: they must sign in again.".into(),
    )
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_github_has_its_api() {
        for (web, api) in [
            ("https://github.com", "https://api.github.com"),
            ("https://example.ghe.com", "https://api.example.ghe.com"),
            ("https://github.example.com", "https://github.example.com/api/v3"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000/api/v3"),
        ] {
            assert_eq!(api_of(web), api);
        }
    }
}
