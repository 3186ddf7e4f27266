//! A real OpenID provider: npm `oidc-provider`, started for one test by `tests/openid/server.mjs`.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use reqwest::{Url, header};
use serde_json::{Map, Value, json};

use crate::http_client;

/// How the provider begins.
pub struct OpenidSettings {
    /// Where people may be sent back to.
    pub redirect_uris: Vec<String>,
    /// Who can sign in.
    pub people: Vec<OpenidPerson>,
    /// The claims that it tells beside `sub`.
    pub claims: Vec<&'static str>,
    /// Whether it tells them at the UserInfo Endpoint alone, and not in ID tokens.
    pub claims_in_user_info_only: bool,
    /// Whether there is a UserInfo Endpoint.
    pub user_info: bool,
    /// Whether it gives refresh tokens.
    pub refresh_tokens: bool,
    /// For how long an access token works.
    pub access_token_seconds: u32,
    /// For how long an ID token is good.
    pub id_token_seconds: u32,
    /// `RS256`, `PS256`, `ES256` or `EdDSA`.
    pub algorithm: &'static str,
    /// The port on loopback; 0: any that is free.
    pub port: u16,
}

impl Default for OpenidSettings {
    /// Grace, who is in two groups.
    fn default() -> Self {
        Self {
            redirect_uris: vec!["http://127.0.0.1:1/callback".into()],
            people: vec![OpenidPerson::new("grace", &["platform-team", "readers"])],
            claims: vec!["name", "preferred_username", "email", "groups", "realm_access"],
            claims_in_user_info_only: false,
            user_info: true,
            refresh_tokens: true,
            access_token_seconds: 3600,
            id_token_seconds: 3600,
            algorithm: "RS256",
            port: 0,
        }
    }
}

/// Somebody who can sign in at the provider.
#[derive(Debug, Clone)]
pub struct OpenidPerson {
    /// What they type.
    pub login: String,
    /// `sub`.
    pub subject: String,
    /// Their password.
    pub password: String,
    /// What the provider tells of them.
    pub claims: Map<String, Value>,
}

impl OpenidPerson {
    /// Somebody in these groups; their subject is not their login.
    pub fn new(login: &str, groups: &[&str]) -> Self {
        let Value::Object(claims) = json!({
            "name": format!("{} at the provider", login),
            "preferred_username": login,
            "email": format!("{login}@example.com"),
            "groups": groups,
        }) else {
            unreachable!("it is an object")
        };
        Self {
            login: login.to_owned(),
            subject: format!("subject-of-{login}"),
            password: format!("password of {login} there"),
            claims,
        }
    }

    fn json(&self) -> Value {
        let Self { login, subject, password, claims } = self;
        json!({ "login": login, "sub": subject, "password": password, "claims": claims })
    }
}

/// A running provider; ends when it is dropped.
pub struct OpenidProvider {
    issuer: String,
    process: Child,
    people: HashMap<String, String>,
}

impl OpenidProvider {
    /// The client that it knows.
    pub const CLIENT_ID: &str = "drover";
    /// That client's secret. It has signs that HTTP Basic needs encoded (RFC 6749, 2.3.1).
    pub const CLIENT_SECRET: &str = "secret+of/the:client%at the provider";

    /// Starts one, and waits until it answers.
    pub async fn start(settings: OpenidSettings) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("openid");
        assert!(
            folder.join("node_modules/oidc-provider").exists(),
            "oidc-provider is not installed: run the tests with `make test`"
        );
        let (key_type, key_options) = match settings.algorithm {
            "ES256" => ("ec", json!({ "namedCurve": "P-256" })),
            "EdDSA" => ("ed25519", json!({})),
            _ => ("rsa", json!({ "modulusLength": 2048 })),
        };
        let given = json!({
            "client_id": Self::CLIENT_ID,
            "client_secret": Self::CLIENT_SECRET,
            "redirect_uris": settings.redirect_uris,
            "people": settings.people.iter().map(OpenidPerson::json).collect::<Vec<_>>(),
            "claims": settings.claims,
            "claims_in_user_info_only": settings.claims_in_user_info_only,
            "user_info": settings.user_info,
            "refresh_tokens": settings.refresh_tokens,
            "access_token_seconds": settings.access_token_seconds,
            "id_token_seconds": settings.id_token_seconds,
            "algorithm": settings.algorithm,
            "key_type": key_type,
            "key_options": key_options,
            "port": settings.port,
        });
        let mut process = Command::new("node")
            .arg("server.mjs")
            .arg(given.to_string())
            .current_dir(&folder)
            // It ends with this process, however that ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = process.stdout.take().unwrap();
        let issuer = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(output).lines().map_while(Result::ok);
            // Warnings may come first.
            lines.find(|line| line.starts_with("http://")).unwrap()
        })
        .await
        .unwrap();
        let passwords = |person: OpenidPerson| (person.login, person.password);
        Self { issuer, process, people: settings.people.into_iter().map(passwords).collect() }
    }

    /// Its issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Lets its client be sent back to these addresses, and tells of sign-outs there.
    pub async fn set_client(
        &self,
        redirect_uris: &[&str],
        post_logout_redirect_uris: &[&str],
        backchannel_logout_uri: Option<&str>,
    ) {
        let mut client = json!({
            "redirect_uris": redirect_uris,
            "post_logout_redirect_uris": post_logout_redirect_uris,
        });
        if let Some(address) = backchannel_logout_uri {
            client["backchannel_logout_uri"] = address.into();
            client["backchannel_logout_session_required"] = true.into();
        }
        self.control("client", client).await;
    }

    /// Signs with another key from now on, and forgets the old one.
    pub async fn rotate_keys(&self) {
        self.control("keys", json!({})).await;
    }

    /// Changes what it knows of somebody, or adds them.
    pub async fn set_person(&mut self, person: OpenidPerson) {
        self.control("person", person.json()).await;
        self.people.insert(person.login, person.password);
    }

    /// Somebody leaves the company.
    pub async fn remove_person(&self, login: &str) {
        self.control("gone", json!({ "login": login })).await;
    }

    /// Ends somebody's sessions there, and tells Drover by back-channel logout.
    pub async fn sign_out(&self, login: &str) {
        self.control("sign-out", json!({ "login": login })).await;
    }

    async fn control(&self, what: &str, given: Value) {
        let http = http_client().build().unwrap();
        let request = http.post(format!("{}/control/{what}", self.issuer)).json(&given);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 204, "{}", answer.text().await.unwrap());
    }

    /// Signs in by its page as a browser does, and answers what the browser is sent back with.
    pub async fn sign_in(&self, begin: &str, login: &str) -> HashMap<String, String> {
        let http = http_client().cookie_store(true).build().unwrap();
        let mut url = Url::parse(begin).unwrap();
        for _ in 0..10 {
            let answer = http.get(url.clone()).send().await.unwrap();
            if let Some(next) = moved(&url, &answer) {
                url = next;
            } else {
                assert_eq!(answer.status(), 200, "{url}: {}", answer.text().await.unwrap());
                let form = Url::parse_with_params(
                    "http://form",
                    [("login", login), ("password", &self.people[login]), ("answer", "sign-in")],
                )
                .unwrap();
                let sent = http
                    .post(url.clone())
                    .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form.query().unwrap().to_owned());
                let answer = sent.send().await.unwrap();
                url = moved(&url, &answer).unwrap();
            }
            if !url.as_str().starts_with(&self.issuer) {
                return url.query_pairs().into_owned().collect();
            }
        }
        panic!("the provider goes round in circles, now at {url}");
    }
}

impl Drop for OpenidProvider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where an answer leads.
fn moved(from: &Url, answer: &reqwest::Response) -> Option<Url> {
    let location = answer.headers().get(header::LOCATION)?;
    Some(from.join(location.to_str().unwrap()).unwrap())
}
