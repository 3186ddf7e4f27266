//! A stand-in for GitHub, as an Enterprise Server: written from its public documentation of the
//! OAuth web application flow and of the REST API (<https://docs.github.com/en/apps/oauth-apps>,
//! <https://docs.github.com/en/rest>), as far as Drover asks, and as strict as that says GitHub is.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Form, Json, Router,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, task::JoinHandle};
use uuid::Uuid;

/// The OAuth app's client id.
pub const CLIENT_ID: &str = "Ov23liDroverOfTheTests";
/// The OAuth app's client secret.
pub const CLIENT_SECRET: &str = "client-secret-of-the-github-app";

/// Codes end after ten minutes.
const CODE_LIFE: Duration = Duration::from_secs(600);
const VERSION: &str = "2022-11-28";

/// What goes wrong with the API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// The primary rate limit is used up, until this many seconds from now.
    RateLimit(u64),
    /// A secondary rate limit: status 403, and this many seconds in `retry-after`.
    SecondaryLimit(u64),
    /// Status 503.
    Down,
    /// The next page is at another server.
    ForeignPages,
}

/// A running GitHub; ends when it is dropped.
pub struct FakeGithub {
    state: Arc<Github>,
    server: JoinHandle<()>,
}

struct Github {
    url: String,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    callback: String,
    accounts: HashMap<u64, Account>,
    organisations: HashMap<u64, String>,
    teams: HashMap<u64, Team>,
    codes: HashMap<String, Code>,
    tokens: HashMap<String, Token>,
    refresh_tokens: HashMap<String, u64>,
    trouble: Trouble,
    /// GitHub Apps' tokens end after this many seconds.
    token_seconds: Option<u64>,
    last_id: u64,
    asked: Vec<String>,
}

#[derive(Clone)]
struct Account {
    login: String,
    name: String,
    email: String,
    suspended: bool,
    organisations: HashSet<u64>,
    teams: HashSet<u64>,
}

struct Team {
    organisation: u64,
    name: String,
    parent: Option<u64>,
}

struct Code {
    account: u64,
    redirect_uri: String,
    challenge: String,
    scopes: String,
    made: Instant,
}

#[derive(Clone)]
struct Token {
    account: u64,
    scopes: String,
    ends: Option<Instant>,
}

type Shared = State<Arc<Github>>;
type Fields = HashMap<String, String>;

impl FakeGithub {
    /// Starts one that knows nobody yet; the app's callback is `http://127.0.0.1:1/callback`.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let callback = "http://127.0.0.1:1/callback".to_owned();
        // Like those of GitHub, ids are numbers that say nothing.
        let inner = Inner { callback, last_id: 583_200, ..Inner::default() };
        let state = Arc::new(Github { url, inner: Mutex::new(inner) });
        let api = Router::new()
            .route("/meta", get(async || Json(json!({ "installed_version": "3.17.0" }))))
            .route("/user", get(user))
            .route("/user/orgs", get(user_orgs))
            .route("/user/teams", get(user_teams))
            .route("/user/emails", get(user_emails))
            .route("/user/{id}", get(user_by_id))
            .route("/organizations/{id}", get(organisation_by_id))
            .route("/search/users", get(search_users))
            .fallback(async || problem(404, "Not Found"))
            .layer(middleware::from_fn_with_state(state.clone(), api_rules));
        let router = Router::new()
            .route("/login/oauth/authorize", get(authorize_page).post(authorize))
            .route("/login/oauth/access_token", post(access_token))
            .nest("/api/v3", api)
            .with_state(state.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { state, server }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// The callback URL in the app's settings: people are sent back there, or below.
    pub fn set_callback(&self, url: &str) {
        self.inner(|inner| inner.callback = url.to_owned());
    }

    /// A new account, and its id.
    pub fn add_user(&self, login: &str) -> u64 {
        self.inner(|inner| {
            let account = Account {
                login: login.to_owned(),
                name: format!("{login} of GitHub"),
                email: format!("{login}@example.com"),
                suspended: false,
                organisations: HashSet::new(),
                teams: HashSet::new(),
            };
            inner.add(|inner, id| inner.accounts.insert(id, account).is_none())
        })
    }

    /// A new organisation, and its id.
    pub fn add_organisation(&self, login: &str) -> u64 {
        self.inner(|inner| {
            inner.add(|inner, id| inner.organisations.insert(id, login.to_owned()).is_none())
        })
    }

    /// A new team of an organisation, and its id.
    pub fn add_team(&self, organisation: u64, name: &str, parent: Option<u64>) -> u64 {
        let team = Team { organisation, name: name.to_owned(), parent };
        self.inner(|inner| inner.add(|inner, id| inner.teams.insert(id, team).is_none()))
    }

    /// Somebody becomes a member of an organisation.
    pub fn join(&self, user: u64, organisation: u64) {
        self.account(user, |account| account.organisations.insert(organisation));
    }

    /// Somebody becomes a member of a team, and of its organisation.
    pub fn join_team(&self, user: u64, team: u64) {
        let organisation = self.inner(|inner| inner.teams[&team].organisation);
        self.join(user, organisation);
        self.account(user, |account| account.teams.insert(team));
    }

    /// Somebody leaves a team.
    pub fn leave_team(&self, user: u64, team: u64) {
        self.account(user, |account| account.teams.remove(&team));
    }

    /// Gives an account another login. The old one is free for others.
    pub fn rename(&self, user: u64, login: &str) {
        self.account(user, |account| account.login = login.to_owned());
    }

    /// Suspends an account.
    pub fn suspend(&self, user: u64) {
        self.account(user, |account| account.suspended = true);
    }

    /// Takes back all tokens that were given for this account.
    pub fn revoke_tokens(&self, user: u64) {
        self.inner(|inner| {
            inner.tokens.retain(|_, token| token.account != user);
            inner.refresh_tokens.retain(|_, account| *account != user);
        });
    }

    /// Goes wrong in this way from now on.
    pub fn set_trouble(&self, trouble: Trouble) {
        self.inner(|inner| inner.trouble = trouble);
    }

    /// Like a GitHub App: tokens end, and can be renewed.
    pub fn set_token_seconds(&self, seconds: u64) {
        self.inner(|inner| inner.token_seconds = Some(seconds));
    }

    /// Method and path of all that the API was asked.
    pub fn asked(&self) -> Vec<String> {
        self.inner(|inner| inner.asked.clone())
    }

    /// Does what the authorize page does when its button is pressed, and answers what the browser
    /// is sent back with.
    pub async fn sign_in(&self, begin: &str, login: &str) -> HashMap<String, String> {
        let http = crate::http_client().build().unwrap();
        let page = http.get(begin).send().await.unwrap();
        if page.status() == 200 {
            let text = page.text().await.unwrap();
            assert!(text.contains(&format!("value=\"{login}\"")), "no button for {login}: {text}");
            let url = reqwest::Url::parse(begin).unwrap();
            let mut form = reqwest::Url::parse("http://form").unwrap();
            form.query_pairs_mut().extend_pairs(url.query_pairs()).append_pair("login", login);
            let pressed = http
                .post(format!("{}/login/oauth/authorize", self.url()))
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.query().unwrap().to_owned());
            return returned(&pressed.send().await.unwrap());
        }
        returned(&page)
    }

    fn account<T>(&self, id: u64, change: impl FnOnce(&mut Account) -> T) -> T {
        self.inner(|inner| change(inner.accounts.get_mut(&id).unwrap()))
    }

    fn inner<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.state.inner.lock().unwrap())
    }
}

impl Drop for FakeGithub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What a redirection carries.
fn returned(answer: &reqwest::Response) -> HashMap<String, String> {
    let location = answer.headers().get(header::LOCATION).unwrap().to_str().unwrap();
    reqwest::Url::parse(location).unwrap().query_pairs().into_owned().collect()
}

impl Inner {
    fn add(&mut self, add: impl FnOnce(&mut Self, u64) -> bool) -> u64 {
        self.last_id += 31;
        let id = self.last_id;
        assert!(add(self, id), "ids are given once");
        id
    }

    fn account_of(&self, id: u64, url: &str) -> Value {
        let Account { login, .. } = &self.accounts[&id];
        json!({
            "login": login, "id": id, "type": "User", "site_admin": false,
            "url": format!("{url}/api/v3/users/{login}"),
        })
    }

    fn organisation(&self, id: u64, url: &str) -> Value {
        let login = &self.organisations[&id];
        json!({
            "login": login, "id": id, "description": null,
            "url": format!("{url}/api/v3/orgs/{login}"),
        })
    }

    fn team(&self, id: u64, url: &str) -> Value {
        let team = &self.teams[&id];
        json!({
            "id": id, "name": team.name, "slug": slug(&team.name), "privacy": "closed",
            "organization": self.organisation(team.organisation, url),
            "parent": team.parent.map(|parent| {
                let team = &self.teams[&parent];
                json!({ "id": parent, "name": team.name, "slug": slug(&team.name) })
            }),
        })
    }
}

fn slug(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}

fn problem(status: u16, message: &str) -> Response {
    let body = json!({ "message": message, "documentation_url": "https://docs.github.com/rest" });
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn redirect(to: &str, parameters: &[(&str, &str)]) -> Response {
    let to = reqwest::Url::parse_with_params(to, parameters).unwrap();
    (StatusCode::FOUND, [(header::LOCATION, to.to_string())]).into_response()
}

// ---- OAuth

/// What is wrong with a request to sign in.
fn authorize_error(github: &Github, fields: &Fields) -> Option<Response> {
    let inner = github.inner.lock().unwrap();
    if fields.get("client_id").is_none_or(|id| id != CLIENT_ID) {
        return Some((StatusCode::NOT_FOUND, "Not Found").into_response());
    }
    let to = fields.get("redirect_uri").unwrap_or(&inner.callback);
    let state = fields.get("state").map(String::as_str).unwrap_or_default();
    let (host, path) = (origin(to), reqwest::Url::parse(to).ok()?.path().to_owned());
    let registered = reqwest::Url::parse(&inner.callback).unwrap();
    // The same host, and the registered path or one below it.
    if host != origin(&inner.callback) || !path.starts_with(registered.path()) {
        return Some(redirect(
            &inner.callback,
            &[
                ("error", "redirect_uri_mismatch"),
                (
                    "error_description",
                    "The redirect_uri MUST match the registered callback URL for this application.",
                ),
                ("state", state),
            ],
        ));
    }
    let challenge = fields.get("code_challenge").map_or(0, String::len);
    let method = fields.get("code_challenge_method").map(String::as_str);
    // Both or none, and only S256.
    if challenge != 43 || method != Some("S256") {
        return Some(redirect(to, &[("error", "invalid_request"), ("state", state)]));
    }
    None
}

fn origin(url: &str) -> String {
    reqwest::Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

/// A button for everybody: a browser test presses one.
async fn authorize_page(State(github): Shared, Query(fields): Query<Fields>) -> Response {
    if let Some(error) = authorize_error(&github, &fields) {
        return error;
    }
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sign in to GitHub</title>\
         <body><h1>Sign in</h1><form method=\"post\" action=\"/login/oauth/authorize\">",
    );
    for (name, value) in &fields {
        let value = value.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        let _ = write!(page, "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">");
    }
    for Account { login, .. } in github.inner.lock().unwrap().accounts.values() {
        let _ = write!(
            page,
            "<button name=\"login\" value=\"{login}\" id=\"as-{login}\">Authorize as {login}</button>"
        );
    }
    page.push_str("<button name=\"cancel\" value=\"yes\" id=\"cancel\">Cancel</button></form>");
    Html(page).into_response()
}

async fn authorize(State(github): Shared, Form(fields): Form<Fields>) -> Response {
    if let Some(error) = authorize_error(&github, &fields) {
        return error;
    }
    let mut inner = github.inner.lock().unwrap();
    let to = fields.get("redirect_uri").unwrap_or(&inner.callback).clone();
    let state = fields.get("state").cloned().unwrap_or_default();
    let account = fields
        .get("login")
        .and_then(|login| inner.accounts.iter().find(|(_, account)| account.login == *login))
        .map(|(id, _)| *id);
    let Some(account) = account else {
        let words = "The user has denied your application access.";
        return redirect(
            &to,
            &[("error", "access_denied"), ("error_description", words), ("state", &state)],
        );
    };
    let code = Uuid::new_v4().simple().to_string()[..20].to_owned();
    let made = Code {
        account,
        redirect_uri: to.clone(),
        challenge: fields["code_challenge"].clone(),
        scopes: fields.get("scope").cloned().unwrap_or_default().replace(' ', ","),
        made: Instant::now(),
    };
    inner.codes.insert(code.clone(), made);
    redirect(&to, &[("code", &code), ("state", &state)])
}

/// Errors come with the status 200.
async fn access_token(
    State(github): Shared,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Response {
    let answer = token_answer(&github, &fields);
    if fields.get("client_id").is_none_or(|id| id != CLIENT_ID) {
        return (StatusCode::NOT_FOUND, Json(json!({ "error": "Not Found" }))).into_response();
    }
    if headers.get(header::ACCEPT).is_some_and(|kind| kind == "application/json") {
        return Json(answer).into_response();
    }
    // What it answers unless it is asked for JSON.
    let mut text = reqwest::Url::parse("http://form").unwrap();
    for (name, value) in answer.as_object().unwrap() {
        text.query_pairs_mut().append_pair(name, value.as_str().unwrap_or_default());
    }
    let kind = [(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")];
    (kind, text.query().unwrap_or_default().to_owned()).into_response()
}

fn token_answer(github: &Github, fields: &Fields) -> Value {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let error = |code: &str, words: &str| json!({ "error": code, "error_description": words });
    let mut inner = github.inner.lock().unwrap();
    if field("client_secret") != CLIENT_SECRET {
        return error(
            "incorrect_client_credentials",
            "The client_id and/or client_secret passed are incorrect.",
        );
    }
    if field("grant_type") == "refresh_token" {
        return match inner.refresh_tokens.remove(field("refresh_token")) {
            Some(account) => inner.give(account, ""),
            None => error("bad_refresh_token", "The refresh token passed is incorrect or expired."),
        };
    }
    let bad = error("bad_verification_code", "The code passed is incorrect or expired.");
    // Good once, whatever comes of it.
    let Some(code) = inner.codes.remove(field("code")) else { return bad };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier").as_bytes()));
    if code.made.elapsed() > CODE_LIFE || challenge != code.challenge {
        return bad;
    }
    if fields.get("redirect_uri").is_some_and(|uri| *uri != code.redirect_uri) {
        return error(
            "redirect_uri_mismatch",
            "The redirect_uri MUST match the registered callback URL for this application.",
        );
    }
    inner.give(code.account, &code.scopes)
}

impl Inner {
    fn give(&mut self, account: u64, scopes: &str) -> Value {
        let is_app = self.token_seconds.is_some();
        let prefix = if is_app { "ghu" } else { "gho" };
        let token = format!("{prefix}_{}", Uuid::new_v4().simple());
        let ends = self.token_seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let given = Token { account, scopes: scopes.to_owned(), ends };
        self.tokens.insert(token.clone(), given);
        let mut answer = json!({ "access_token": token, "token_type": "bearer", "scope": scopes });
        if let Some(seconds) = self.token_seconds {
            let refresh_token = format!("ghr_{}", Uuid::new_v4().simple());
            self.refresh_tokens.insert(refresh_token.clone(), account);
            answer["scope"] = "".into();
            answer["expires_in"] = seconds.into();
            answer["refresh_token"] = refresh_token.into();
            answer["refresh_token_expires_in"] = 15_897_600.into();
        }
        answer
    }
}

// ---- REST

/// What holds for every call of the API.
async fn api_rules(State(github): Shared, request: Request, next: Next) -> Response {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let trouble = {
        let mut inner = github.inner.lock().unwrap();
        inner.asked.push(format!("{} {}", request.method(), request.uri()));
        inner.trouble
    };
    if !request.headers().contains_key(header::USER_AGENT) {
        return problem(403, "Request forbidden by administrative rules.");
    }
    let version = request.headers().get("x-github-api-version");
    if version.is_some_and(|version| version != VERSION) {
        return problem(400, "The API version is not supported.");
    }
    let mut left = 4987;
    let mut answer = match trouble {
        Trouble::RateLimit(_) => {
            left = 0;
            problem(403, "API rate limit exceeded for user ID 1.")
        }
        Trouble::SecondaryLimit(seconds) => {
            let words = "You have exceeded a secondary rate limit. Please wait a few minutes.";
            let mut answer = problem(403, words);
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            answer
        }
        Trouble::Down => problem(503, "Service Unavailable"),
        Trouble::None | Trouble::ForeignPages => next.run(request).await,
    };
    let reset = match trouble {
        Trouble::RateLimit(seconds) => now + seconds,
        _ => now + 3600,
    };
    let headers = answer.headers_mut();
    headers.insert("x-ratelimit-limit", HeaderValue::from(5000));
    headers.insert("x-ratelimit-remaining", HeaderValue::from(left));
    headers.insert("x-ratelimit-reset", HeaderValue::from(reset));
    answer
}

/// A status, and words.
type Refused = (u16, String);

/// The token of a call, if it is good and has one of these scopes.
fn token(github: &Github, headers: &HeaderMap, scopes: &[&str]) -> Result<Token, Refused> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.ok_or_else(|| (401, "Requires authentication".to_owned()))?;
    let given = given.strip_prefix("Bearer ").or_else(|| given.strip_prefix("token "));
    let inner = github.inner.lock().unwrap();
    let token = given
        .and_then(|given| inner.tokens.get(given))
        .filter(|token| token.ends.is_none_or(|end| end > Instant::now()))
        .ok_or_else(|| (401, "Bad credentials".to_owned()))?;
    if inner.accounts[&token.account].suspended {
        return Err((403, "Sorry. Your account was suspended.".to_owned()));
    }
    // The tokens of GitHub Apps have permissions instead.
    let allowed = scopes.is_empty()
        || token.ends.is_some()
        || token.scopes.split(',').any(|scope| scopes.contains(&scope));
    if !allowed {
        return Err((403, format!("You need at least {} scope to do this.", scopes[0])));
    }
    Ok(token.clone())
}

/// A page of a list, with the way to the others.
fn paged(github: &Github, path: &str, all: &[Value], query: &Fields) -> Response {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let size = number("per_page").unwrap_or(30).clamp(1, 100);
    let page = number("page").unwrap_or(1).max(1);
    let items: Vec<_> = all.iter().skip((page - 1) * size).take(size).collect();
    let mut answer = Json(&items).into_response();
    let last = all.len().div_ceil(size).max(1);
    let base = match github.inner.lock().unwrap().trouble {
        // The discard port: nothing answers there.
        Trouble::ForeignPages => "http://127.0.0.1:9",
        _ => &github.url,
    };
    let link = |page: usize, rel: &str| {
        format!("<{base}/api/v3{path}?per_page={size}&page={page}>; rel=\"{rel}\"")
    };
    let mut links = Vec::new();
    if page > 1 {
        links.extend([link(page - 1, "prev"), link(1, "first")]);
    }
    if page < last {
        links.extend([link(page + 1, "next"), link(last, "last")]);
    }
    if !links.is_empty() {
        let links = HeaderValue::from_str(&links.join(", ")).unwrap();
        answer.headers_mut().insert(header::LINK, links);
    }
    answer
}

async fn user(State(github): Shared, headers: HeaderMap) -> Response {
    let token = match token(&github, &headers, &[]) {
        Ok(token) => token,
        Err((status, words)) => return problem(status, &words),
    };
    let inner = github.inner.lock().unwrap();
    let mut found = inner.account_of(token.account, &github.url);
    found["name"] = inner.accounts[&token.account].name.as_str().into();
    // Nobody's address is public here.
    found["email"] = Value::Null;
    Json(found).into_response()
}

async fn user_orgs(
    State(github): Shared,
    headers: HeaderMap,
    Query(query): Query<Fields>,
) -> Response {
    let token = match token(&github, &headers, &["read:org", "user"]) {
        Ok(token) => token,
        Err((status, words)) => return problem(status, &words),
    };
    let all: Vec<_> = {
        let inner = github.inner.lock().unwrap();
        let mut ids: Vec<_> = inner.accounts[&token.account].organisations.iter().collect();
        ids.sort();
        ids.into_iter().map(|id| inner.organisation(*id, &github.url)).collect()
    };
    paged(&github, "/user/orgs", &all, &query)
}

async fn user_teams(
    State(github): Shared,
    headers: HeaderMap,
    Query(query): Query<Fields>,
) -> Response {
    let token = match token(&github, &headers, &["read:org", "user", "repo"]) {
        Ok(token) => token,
        Err((status, words)) => return problem(status, &words),
    };
    let all: Vec<_> = {
        let inner = github.inner.lock().unwrap();
        let mut ids: Vec<_> = inner.accounts[&token.account].teams.iter().collect();
        ids.sort();
        ids.into_iter().map(|id| inner.team(*id, &github.url)).collect()
    };
    paged(&github, "/user/teams", &all, &query)
}

async fn user_emails(
    State(github): Shared,
    headers: HeaderMap,
    Query(query): Query<Fields>,
) -> Response {
    let token = match token(&github, &headers, &["user:email", "user"]) {
        Ok(token) => token,
        Err((status, words)) => return problem(status, &words),
    };
    let email = github.inner.lock().unwrap().accounts[&token.account].email.clone();
    let all = [
        json!({ "email": "old@example.com", "primary": false, "verified": true }),
        json!({ "email": "unproved@example.com", "primary": false, "verified": false }),
        json!({ "email": email, "primary": true, "verified": true, "visibility": "private" }),
    ];
    paged(&github, "/user/emails", &all, &query)
}

/// Nobody, the app itself, or somebody with a good token may ask.
fn visitor(github: &Github, headers: &HeaderMap) -> Result<(), Refused> {
    let app = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));
    match headers.get(header::AUTHORIZATION) {
        None => Ok(()),
        Some(given) if *given == app => Ok(()),
        Some(_) => token(github, headers, &[]).map(drop),
    }
}

async fn user_by_id(State(github): Shared, headers: HeaderMap, Path(id): Path<u64>) -> Response {
    if let Err((status, words)) = visitor(&github, &headers) {
        return problem(status, &words);
    }
    let inner = github.inner.lock().unwrap();
    if !inner.accounts.contains_key(&id) {
        return problem(404, "Not Found");
    }
    let mut found = inner.account_of(id, &github.url);
    found["name"] = inner.accounts[&id].name.as_str().into();
    Json(found).into_response()
}

async fn organisation_by_id(
    State(github): Shared,
    headers: HeaderMap,
    Path(id): Path<u64>,
) -> Response {
    if let Err((status, words)) = visitor(&github, &headers) {
        return problem(status, &words);
    }
    let inner = github.inner.lock().unwrap();
    if !inner.organisations.contains_key(&id) {
        return problem(404, "Not Found");
    }
    Json(inner.organisation(id, &github.url)).into_response()
}

async fn search_users(
    State(github): Shared,
    headers: HeaderMap,
    Query(query): Query<Fields>,
) -> Response {
    if let Err((status, words)) = visitor(&github, &headers) {
        return problem(status, &words);
    }
    let Some(q) = query.get("q").filter(|q| !q.is_empty() && q.len() <= 256) else {
        return problem(422, "Validation Failed");
    };
    let kind = q.split(' ').find_map(|word| word.strip_prefix("type:"));
    let words: Vec<_> =
        q.split(' ').filter(|word| !word.contains(':')).map(str::to_lowercase).collect();
    let matches = |texts: [&str; 2]| {
        words.iter().all(|word| texts.iter().any(|text| text.to_lowercase().contains(word)))
    };
    let inner = github.inner.lock().unwrap();
    let mut items = Vec::new();
    if kind != Some("org") {
        let found = inner.accounts.iter().filter(|(_, found)| matches([&found.login, &found.name]));
        items.extend(found.map(|(id, _)| inner.account_of(*id, &github.url)));
    }
    if kind != Some("user") {
        let found = inner.organisations.iter().filter(|(_, login)| matches([login, ""]));
        items.extend(found.map(|(id, _)| {
            let mut item = inner.organisation(*id, &github.url);
            item["type"] = "Organization".into();
            item
        }));
    }
    let total = items.len();
    items.sort_by_key(|item| item["login"].to_string());
    items.truncate(query.get("per_page").and_then(|text| text.parse().ok()).unwrap_or(30));
    Json(json!({ "total_count": total, "incomplete_results": false, "items": items }))
        .into_response()
}
