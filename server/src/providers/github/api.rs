//! GitHub's REST API, as far as people and their groups go.

use reqwest::{
    Method, RequestBuilder, StatusCode, Url,
    header::{ACCEPT, HeaderMap, LINK, RETRY_AFTER},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};

use super::revoked;
use crate::providers::{
    Named, ProviderError, Refusal, Scheme,
    http::{Answer, Http, HttpError, cut, place},
};

const VERSION: &str = "2022-11-28";
const PAGE: usize = 100;
/// At most so many pages of a list: 2,000 organisations or teams.
const PAGES: usize = 20;
/// Of the text of a search.
const QUERY_LENGTH: usize = 100;

/// The REST API of one GitHub.
pub(super) struct Api {
    base: Url,
}

/// Who asks.
pub(super) enum Credentials<'a> {
    /// A person, by their token.
    Person(&'a str),
    /// The application itself, which sees what everybody sees, and may ask more often than nobody.
    App { id: &'a str, secret: &'a SecretString },
}

/// A person or an organisation.
#[derive(Deserialize)]
pub(super) struct Account {
    pub id: u64,
    pub login: String,
    #[serde(default)]
    name: Option<String>,
    /// `User`, `Organization` or another.
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

/// A mail address of the person.
#[derive(Deserialize)]
pub(super) struct Email {
    pub email: String,
    pub primary: bool,
    pub verified: bool,
}

/// A team that the person is in.
#[derive(Deserialize)]
pub(super) struct Team {
    id: u64,
    name: String,
    slug: String,
    organization: Account,
    #[serde(default)]
    parent: Option<Parent>,
}

#[derive(Deserialize)]
struct Parent {
    id: u64,
    name: String,
    slug: String,
}

#[derive(Deserialize)]
struct Found {
    items: Vec<Account>,
}

#[derive(Deserialize)]
struct Words {
    message: String,
}

impl Account {
    pub fn display_name(&self) -> String {
        let name = self.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        name.unwrap_or(&self.login).to_owned()
    }

    pub fn organisation(&self) -> Named {
        Named {
            scheme: Scheme::Organisation,
            id: self.id.to_string(),
            name: self.login.clone(),
            login: None,
            detail: Some(self.login.clone()),
        }
    }

    fn user(&self) -> Named {
        Named {
            scheme: Scheme::User,
            id: self.id.to_string(),
            name: self.display_name(),
            login: Some(self.login.clone()),
            detail: None,
        }
    }

    fn named(&self, scheme: Scheme) -> Option<Named> {
        let kind = self.kind.as_deref();
        match scheme {
            Scheme::Organisation => (kind == Some("Organization")).then(|| self.organisation()),
            Scheme::User => (kind == Some("User")).then(|| self.user()),
            Scheme::Team | Scheme::Group => None,
        }
    }
}

impl Team {
    /// The team, and the one above it: who is in a team is in that, too.
    pub fn named(&self) -> Vec<Named> {
        let named = |id: u64, name: &str, slug: &str| Named {
            scheme: Scheme::Team,
            id: id.to_string(),
            name: format!("{} / {name}", self.organization.login),
            login: None,
            detail: Some(format!("{}/{slug}", self.organization.login)),
        };
        let mut teams = vec![named(self.id, &self.name, &self.slug)];
        teams.extend(self.parent.as_ref().map(|above| named(above.id, &above.name, &above.slug)));
        teams
    }
}

impl Api {
    pub fn new(base: Url) -> Self {
        Self { base }
    }

    pub fn place(&self) -> String {
        place(&self.base)
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url
    }

    fn request(&self, http: &Http, credentials: &Credentials<'_>, url: Url) -> RequestBuilder {
        let request = http
            .request(Method::GET, url)
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", VERSION);
        match credentials {
            Credentials::Person(token) => request.bearer_auth(token),
            Credentials::App { id, secret } => request.basic_auth(id, Some(secret.expose_secret())),
        }
    }

    /// Whether there is an API at all; what it answers does not matter.
    pub async fn reach(&self, http: &Http) -> Result<(), HttpError> {
        let request = http.request(Method::GET, self.url("/meta"));
        http.send(request).await.map(drop)
    }

    /// One thing.
    pub async fn get<T: DeserializeOwned>(
        &self,
        http: &Http,
        credentials: &Credentials<'_>,
        path: &str,
    ) -> Result<T, ProviderError> {
        let request = self.request(http, credentials, self.url(path));
        let answer = http.send(request).await?;
        good(answer, credentials)?.json()
    }

    /// All pages of a list.
    pub async fn list<T: DeserializeOwned>(
        &self,
        http: &Http,
        credentials: &Credentials<'_>,
        path: &str,
    ) -> Result<Vec<T>, ProviderError> {
        let mut all = Vec::new();
        let mut url = self.url(path);
        url.query_pairs_mut().append_pair("per_page", &PAGE.to_string());
        for _ in 0..PAGES {
            let request = self.request(http, credentials, url.clone());
            let answer = good(http.send(request).await?, credentials)?;
            let page: Vec<T> = answer.json()?;
            all.extend(page);
            match next(&answer.headers, &url)? {
                Some(next) => url = next,
                None => return Ok(all),
            }
        }
        // Not the first of them alone: what is missing could be what somebody's role comes from.
        Err(ProviderError::Protocol(format!(
            "{} goes on for more than {PAGES} pages: it is not read to its end.",
            place(&url)
        )))
    }

    /// People or organisations, as everybody can find them.
    pub async fn search(
        &self,
        http: &Http,
        credentials: &Credentials<'_>,
        text: &str,
        kind: &str,
        limit: usize,
    ) -> Result<Vec<Named>, ProviderError> {
        let words = plain(text);
        if words.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let mut url = self.url("/search/users");
        url.query_pairs_mut()
            .append_pair("q", &format!("{words} in:login in:name type:{kind}"))
            .append_pair("per_page", &limit.min(PAGE).to_string());
        let answer = http.send(self.request(http, credentials, url)).await?;
        let found: Found = good(answer, credentials)?.json()?;
        let scheme = if kind == "org" { Scheme::Organisation } else { Scheme::User };
        Ok(found.items.iter().filter_map(|one| one.named(scheme)).take(limit).collect())
    }

    /// The person or organisation with this id.
    pub async fn find(
        &self,
        http: &Http,
        credentials: &Credentials<'_>,
        scheme: Scheme,
        id: u64,
    ) -> Result<Option<Named>, ProviderError> {
        let path = match scheme {
            Scheme::User => format!("/user/{id}"),
            Scheme::Organisation => format!("/organizations/{id}"),
            Scheme::Team | Scheme::Group => return Ok(None),
        };
        let answer = http.send(self.request(http, credentials, self.url(&path))).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let account: Account = good(answer, credentials)?.json()?;
        if account.id != id {
            return Err(ProviderError::Protocol("GitHub tells of another account.".into()));
        }
        Ok(match scheme {
            // Organisations do not say here what they are.
            Scheme::Organisation => Some(account.organisation()),
            scheme => account.named(scheme),
        })
    }
}

/// A text without what a search would take as a condition.
fn plain(text: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '\'');
    let words: String =
        text.chars().take(QUERY_LENGTH).map(|c| if kept(c) { c } else { ' ' }).collect();
    words.split_whitespace().map(|word| word.trim_start_matches('-')).collect::<Vec<_>>().join(" ")
}

/// The answer, or what it means that it is none.
fn good(answer: Answer, credentials: &Credentials<'_>) -> Result<Answer, ProviderError> {
    let status = answer.status;
    if status.is_success() {
        return Ok(answer);
    }
    let words = answer.json::<Words>().map(|words| words.message).unwrap_or_default();
    match (status, credentials) {
        (StatusCode::UNAUTHORIZED, Credentials::Person(_)) => Err(revoked()),
        (StatusCode::UNAUTHORIZED, Credentials::App { .. }) => Err(ProviderError::Misconfigured(
            "GitHub does not take the client id and secret.".into(),
        )),
        (StatusCode::FORBIDDEN, _) if is_limit(&answer.headers, &words) => {
            Err(answer.busy().into())
        }
        (StatusCode::FORBIDDEN, Credentials::Person(_)) if words.contains("suspended") => {
            Err(ProviderError::Refused(Refusal::Disabled))
        }
        _ => Err(ProviderError::Protocol(format!(
            "{} answers {status} ({}).",
            answer.place(),
            cut(&words)
        ))),
    }
}

/// Rate limits come as 403, too, and secondary ones only in words.
fn is_limit(headers: &HeaderMap, words: &str) -> bool {
    headers.contains_key(RETRY_AFTER)
        || headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0")
        || words.to_ascii_lowercase().contains("rate limit")
}

/// The next page (RFC 8288), which must be of the same list of the same server: a token goes there.
fn next(headers: &HeaderMap, current: &Url) -> Result<Option<Url>, ProviderError> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let target = links.flat_map(|links| links.split(',')).find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |parameter: &str| matches!(parameter.trim(), r#"rel="next""# | "rel=next");
        parameters.split(';').any(is_next).then_some(target)
    });
    let Some(target) = target else { return Ok(None) };
    let next = current.join(target).ok().filter(|next| {
        next.origin() == current.origin() && next.username().is_empty() && next.password().is_none()
    });
    next.map(Some).ok_or_else(|| {
        ProviderError::Protocol(format!(
            "The next page of {} is at another server: it is not read.",
            place(current)
        ))
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn next_of(link: &str) -> Result<Option<String>, ProviderError> {
        let current = Url::parse("https://git.example.com/api/v3/user/teams?per_page=100").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(LINK, HeaderValue::from_str(link).unwrap());
        next(&headers, &current).map(|url| url.map(String::from))
    }

    #[test]
    fn pages_are_followed_on_the_same_server_alone() {
        let there = "https://git.example.com/api/v3/user/teams?page=2";
        let link =
            format!("<https://git.example.com/x?page=9>; rel=\"last\", <{there}>; rel=\"next\"");
        assert_eq!(next_of(&link).unwrap().as_deref(), Some(there));
        assert_eq!(next_of("<https://git.example.com/x>; rel=\"prev\"").unwrap(), None);
        for elsewhere in [
            "https://evil.example.com/api/v3/user/teams?page=2",
            "http://git.example.com/api/v3/user/teams?page=2",
            "https://git.example.com:444/api/v3/user/teams?page=2",
            "https://git.example.com@evil.example.com/",
            "//evil.example.com/",
        ] {
            assert!(next_of(&format!("<{elsewhere}>; rel=\"next\"")).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn a_search_has_no_conditions_of_its_own() {
        assert_eq!(plain("octo cat"), "octo cat");
        assert_eq!(plain("-user:x \"y\" type:org >3"), "user x y type org 3");
        assert_eq!(plain("姓名 o'neil a-b"), "姓名 o'neil a-b");
        assert_eq!(plain("  :::  "), "");
    }
}
