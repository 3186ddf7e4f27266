//! Sign-in on a provider's page, through the server: OpenID Connect and GitHub.

use std::collections::HashMap;

use drover_api::{
    IdentityState, List, Provider, Role, SignInProvider, SignedOut, TestReport, TestSignIn, User,
};
use drover_tests::{
    Answer, Client, FakeGithub, GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET, OpenidPerson,
    OpenidProvider, OpenidSettings, TestServer, Trouble, assert_no_secret, eventually,
};
use reqwest::Url;
use serde_json::{Value, json};
use uuid::Uuid;

use super::company::{SOON, audit, refresh, set_member, until_status};

/// Where people sign in.
enum There {
    Openid(OpenidProvider),
    Github(FakeGithub),
}

impl There {
    /// Signs in there, and answers what the browser brings back.
    async fn sign_in(&self, begin: &str, login: &str) -> HashMap<String, String> {
        match self {
            Self::Openid(provider) => provider.sign_in(begin, login).await,
            Self::Github(github) => github.sign_in(begin, login).await,
        }
    }
}

/// A server with such a provider, switched on for everybody.
struct Connected {
    server: TestServer,
    admin: Client,
    provider: Provider,
    there: There,
    environment: Uuid,
}

impl Connected {
    async fn openid() -> Self {
        let people = vec![
            OpenidPerson::new("grace", &["platform-team", "readers"]),
            OpenidPerson::new("linus", &["readers"]),
        ];
        let there = OpenidProvider::start(OpenidSettings { people, ..Default::default() }).await;
        let config = json!({
            "kind": "openid", "issuer": there.issuer(), "client_id": OpenidProvider::CLIENT_ID,
            "scopes": ["profile", "email", "groups", "offline_access"], "id_claim": "sub",
            "login_claim": "preferred_username", "name_claim": "name", "mail_claim": "email",
            "groups_claim": "groups", "clock_skew_seconds": 60, "provider_logout": true,
        });
        let server = TestServer::start().await;
        let admin = server.admin().await;
        let made = make(&admin, config, OpenidProvider::CLIENT_SECRET).await;
        let callback = made.callback_url.clone().unwrap();
        let base = callback.split("/v1/").next().unwrap();
        // What Drover calls itself is `localhost`, where the server of a test listens, too.
        let signed_out = format!("{base}/sign-in");
        there
            .set_client(
                &[&callback],
                &[&signed_out],
                Some(made.backchannel_logout_url.as_deref().unwrap()),
            )
            .await;
        Self::switched_on(server, admin, made, There::Openid(there), "grace").await
    }

    async fn github() -> Self {
        let there = FakeGithub::start().await;
        let grace = there.add_user("grace");
        let organisation = there.add_organisation("example");
        let team = there.add_team(organisation, "Platform Team", None);
        there.join_team(grace, team);
        let config = json!({ "kind": "github", "url": there.url(), "client_id": GITHUB_CLIENT_ID });
        let server = TestServer::start().await;
        let admin = server.admin().await;
        let made = make(&admin, config, GITHUB_CLIENT_SECRET).await;
        there.set_callback(made.callback_url.as_deref().unwrap());
        Self::switched_on(server, admin, made, There::Github(there), "grace").await
    }

    /// Tests by signing in as somebody, and switches it on.
    async fn switched_on(
        server: TestServer,
        admin: Client,
        made: Provider,
        there: There,
        tester: &str,
    ) -> Self {
        let path = format!("/v1/identity-providers/{}", made.id);
        admin.patch(&path, json!({ "enabled": true })).await.problem(409, "not_tested");
        let probed: TestReport =
            admin.post(&format!("{path}/test"), json!({})).await.expect(200).json();
        assert!(probed.steps.iter().all(|step| step.ok), "{probed:?}");
        let begun: TestSignIn =
            admin.post(&format!("{path}/test-sign-in"), json!({})).await.expect(200).json();
        let back = there.sign_in(&begun.url, tester).await;
        let answer = admin.get(&callback(made.id, &back)).await.expect(303);
        assert_eq!(
            answer.header("location"),
            Some(&*format!("/admin/sign-in/{}?tested=1", made.id))
        );
        let provider: Provider = admin.get(&path).await.expect(200).json();
        let report = provider.last_test.clone().unwrap();
        assert!(provider.tested && report.signed_in, "{report:?}");
        assert!(!report.person.unwrap().groups.is_empty());
        let provider: Provider =
            admin.patch(&path, json!({ "enabled": true })).await.expect(200).json();
        let environment = server.default_environment().await.id;
        Self { server, admin, provider, there, environment }
    }

    fn begin_path(&self) -> String {
        format!("/v1/sign-in/{}", self.provider.id)
    }

    /// Goes to the provider, signs in there, and brings back what it says; not yet to Drover.
    async fn go(&self, browser: &Client, login: &str) -> String {
        let to = format!("{}?return_to=/environments/{}", self.begin_path(), self.environment);
        let begin = location(&browser.get(&to).await.expect(303));
        let back = self.there.sign_in(&begin, login).await;
        callback(self.provider.id, &back)
    }

    /// Signs in.
    async fn sign_in(&self, login: &str) -> Client {
        let browser = self.server.client();
        let answer = browser.get(&self.go(&browser, login).await).await.expect(303);
        assert_eq!(location(&answer), format!("/environments/{}", self.environment));
        let session = browser.get("/v1/session").await.expect(200).json();
        browser.opened(&session)
    }

    async fn give(&self, group: &str, role: Role) {
        set_member(&self.admin, self.environment, group, role).await;
    }

    fn environment_path(&self) -> String {
        format!("/v1/environments/{}", self.environment)
    }

    async fn user(&self, login: &str) -> User {
        let users: List<User> =
            self.admin.get(&format!("/v1/users?q={login}")).await.expect(200).json();
        let user = users.items.into_iter().find(|user| user.login == login).unwrap();
        self.admin.get(&format!("/v1/users/{}", user.id)).await.expect(200).json()
    }

    fn openid_provider(&mut self) -> &mut OpenidProvider {
        let There::Openid(provider) = &mut self.there else { panic!("this is GitHub") };
        provider
    }

    fn github_server(&self) -> &FakeGithub {
        let There::Github(github) = &self.there else { panic!("this is not GitHub") };
        github
    }
}

async fn make(admin: &Client, config: Value, secret: &str) -> Provider {
    let new = json!({
        "name": "Example", "config": config, "secret": secret, "access_mode": "unrestricted",
    });
    admin.post("/v1/identity-providers", new).await.expect(201).json()
}

fn callback(provider: Uuid, query: &HashMap<String, String>) -> String {
    let mut url = Url::parse("http://drover").unwrap();
    url.query_pairs_mut().extend_pairs(query);
    format!("/v1/sign-in/{provider}/callback?{}", url.query().unwrap())
}

fn location(answer: &Answer) -> String {
    answer.header("location").unwrap().to_owned()
}

/// What the sign-in page is told.
#[track_caller]
fn refused(answer: Answer) -> String {
    let to = location(&answer.expect(303));
    let url = Url::parse("http://drover").unwrap().join(&to).unwrap();
    assert_eq!(url.path(), "/sign-in", "{to}");
    let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert!(!query.contains_key("message"), "words of an address are anybody's: {to}");
    query["error"].clone()
}

#[tokio::test]
async fn an_openid_group_works_in_an_environment() {
    let mut company = Connected::openid().await;
    let offered: List<SignInProvider> =
        company.server.client().get("/v1/session/providers").await.expect(200).json();
    assert_eq!(offered.items[0].name, "Example");
    let group = format!("openid_group://{}/platform-team", company.provider.id);
    company.give(&group, Role::Member).await;
    let grace = company.sign_in("grace").await;
    let environment = company.environment_path();
    assert_eq!(grace.get(&environment).await.expect(200).value()["role"], "member");
    let linus = company.sign_in("linus").await;
    linus.get(&environment).await.problem(404, "not_found");

    // The groups are read again by the refresh token.
    company.openid_provider().set_person(OpenidPerson::new("grace", &["readers"])).await;
    refresh(&company.admin, company.provider.id).await;
    until_status(&grace, &environment, 404).await;
    // A key that changes between two sign-ins.
    company.openid_provider().rotate_keys().await;
    company.sign_in("linus").await;
    let dump = company.server.database().dump().await;
    assert_no_secret(&dump, &[OpenidProvider::CLIENT_SECRET]);
    assert_no_secret(&company.server.log(), &[OpenidProvider::CLIENT_SECRET, "eyJ"]);
    let shown = company.admin.get(&format!("/v1/identity-providers/{}", company.provider.id)).await;
    assert_no_secret(&shown.text, &[OpenidProvider::CLIENT_SECRET]);
}

#[tokio::test]
async fn a_redirection_is_good_once_and_in_its_browser() {
    let company = Connected::openid().await;
    let browser = company.server.client();
    let back = company.go(&browser, "grace").await;
    // Somebody else's browser: login CSRF.
    let other = company.server.client();
    assert_eq!(refused(other.get(&back).await), "sign_in_state");
    other.get("/v1/session").await.problem(401, "unauthenticated");
    // Another state, or none.
    let url = Url::parse(&format!("http://drover{back}")).unwrap();
    let mut changed: HashMap<String, String> = url.query_pairs().into_owned().collect();
    changed.insert("state".into(), "guessed".into());
    let guessed = callback(company.provider.id, &changed);
    assert_eq!(refused(browser.get(&guessed).await), "sign_in_state");
    changed.remove("state");
    let without = callback(company.provider.id, &changed);
    assert_eq!(refused(browser.get(&without).await), "sign_in_state");
    // A ticket of one provider is not taken to another.
    let elsewhere = back.replace(&company.provider.id.to_string(), &Uuid::now_v7().to_string());
    assert_eq!(refused(browser.get(&elsewhere).await), "sign_in_state");

    browser.get(&back).await.expect(303);
    browser.get("/v1/session").await.expect(200);
    // The cookie of the attempt is gone with its use.
    assert_eq!(refused(browser.get(&back).await), "sign_in_state");
}

#[tokio::test]
async fn a_state_that_was_used_is_refused_even_with_its_cookie() {
    let company = Connected::openid().await;
    let begin = company.server.client().get(&company.begin_path()).await.expect(303);
    let ticket = begin.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let back = company.there.sign_in(&location(&begin), "grace").await;
    let path = callback(company.provider.id, &back);
    let return_with_ticket = async || {
        let url = format!("{}{path}", company.server.base());
        let http = drover_tests::http_client().build().unwrap();
        let answer = http.get(url).header("cookie", &ticket).send().await.unwrap();
        answer.headers()["location"].to_str().unwrap().to_owned()
    };
    assert_eq!(return_with_ticket().await, "/");
    let again = return_with_ticket().await;
    assert!(again.contains("error=sign_in_replayed"), "{again}");
    let log = audit(&company.admin, "session.create").await;
    let denied = log.iter().find(|entry| entry["outcome"] == "denied").unwrap();
    assert_eq!(denied["detail"]["code"], "sign_in_replayed", "{denied}");
}

#[tokio::test]
async fn nobody_is_led_away_from_drover() {
    let company = Connected::openid().await;
    for wanted in [
        "//evil.test/x",
        "https://evil.test",
        "/%5Cevil.test",
        "/%09/evil.test",
        "javascript:alert(1)",
        "%2F%2Fevil.test",
    ] {
        let browser = company.server.client();
        let to = format!("{}?return_to={wanted}", company.begin_path());
        let begin = location(&browser.get(&to).await.expect(303));
        let back = company.there.sign_in(&begin, "grace").await;
        let answer = browser.get(&callback(company.provider.id, &back)).await.expect(303);
        assert_eq!(location(&answer), "/", "{wanted}");
    }
}

#[tokio::test]
async fn sign_outs_reach_both_sides() {
    let mut company = Connected::openid().await;
    let grace = company.sign_in("grace").await;
    let linus = company.sign_in("linus").await;
    let (_, key) = company.server.key(&grace, None, None).await;
    let mut events = company.server.events(&grace, None).await;
    events.next().await.unwrap();
    // At the provider: the sessions that it began end, at once.
    company.openid_provider().sign_out("grace").await;
    until_status(&grace, "/v1/session", 401).await;
    eventually("the stream ends", SOON, async || events.next().await.is_none().then_some(())).await;
    linus.get("/v1/session").await.expect(200);
    // A key is not a session.
    key.get("/v1/session").await.expect(200);

    // At Drover: the answer leads to the provider's own end of the session.
    let out: SignedOut = linus.delete("/v1/session").await.expect(200).json();
    let redirect = Url::parse(&out.redirect.unwrap()).unwrap();
    let issuer = company.openid_provider().issuer().to_owned();
    assert!(redirect.as_str().starts_with(&issuer), "{redirect}");
    let query: HashMap<_, _> = redirect.query_pairs().into_owned().collect();
    assert!(query.contains_key("id_token_hint"), "{redirect}");
    assert!(query["post_logout_redirect_uri"].ends_with("/sign-in"), "{redirect}");
    linus.get("/v1/session").await.problem(401, "unauthenticated");

    // What is no logout token ends nothing.
    let path = format!("{}{}/back-channel-logout", company.server.base(), company.begin_path());
    let http = drover_tests::http_client().build().unwrap();
    for body in ["logout_token=x", "logout_token=", "", "logout_token=a.b.c"] {
        let sent = http
            .post(&path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(sent.status(), 400, "{body}");
    }
}

#[tokio::test]
async fn a_github_team_works_in_an_environment_and_logins_are_names_only() {
    let company = Connected::github().await;
    let github = company.github_server();
    let grace = company.sign_in("grace").await;
    let user = company.user("grace").await;
    let groups = &user.identities[0].groups;
    let team = groups.iter().find(|group| group.id.starts_with("github_team://")).unwrap();
    assert!(groups.iter().any(|group| group.id.starts_with("github_org://")), "{groups:?}");
    company.give(&team.id, Role::Restricted).await;
    let environment = company.environment_path();
    assert_eq!(grace.get(&environment).await.expect(200).value()["role"], "restricted");

    // A renamed login keeps the account; who takes the old name gets nothing of it.
    let id = user.identities[0].principal_id.rsplit('/').next().unwrap().parse().unwrap();
    github.rename(id, "grace-hopper");
    github.add_user("grace");
    let renamed = company.sign_in("grace-hopper").await;
    let seen = renamed.get("/v1/session").await.expect(200).value();
    assert_eq!(seen["user"]["id"], user.id.to_string());
    let recycled = company.sign_in("grace").await;
    recycled.get(&environment).await.problem(404, "not_found");

    let team_id = team.id.rsplit('/').next().unwrap().parse().unwrap();
    github.leave_team(id, team_id);
    refresh(&company.admin, company.provider.id).await;
    until_status(&renamed, &environment, 404).await;
    let dump = company.server.database().dump().await;
    assert_no_secret(&dump, &[GITHUB_CLIENT_SECRET]);
    assert_no_secret(&company.server.log(), &[GITHUB_CLIENT_SECRET, "gho_"]);
}

#[tokio::test]
async fn what_github_refuses_is_shown_and_locks_nobody_out() {
    let company = Connected::github().await;
    let github = company.github_server();
    let grace = company.sign_in("grace").await;
    let user = company.user("grace").await;
    let id = user.identities[0].principal_id.rsplit('/').next().unwrap().parse().unwrap();
    github.set_trouble(Trouble::RateLimit(60));
    let path = format!("/v1/identity-providers/{}", company.provider.id);
    company.admin.post(&format!("{path}/refresh"), json!({})).await.expect(202);
    eventually("the limit is shown", SOON, async || {
        let now: Provider = company.admin.get(&path).await.expect(200).json();
        now.health.error.is_some().then_some(())
    })
    .await;
    grace.get("/v1/session").await.expect(200);
    let browser = company.server.client();
    assert_eq!(
        refused(browser.get(&company.go(&browser, "grace").await).await),
        "provider_rate_limited"
    );
    github.set_trouble(Trouble::None);
    github.revoke_tokens(id);
    let now: User =
        company.admin.post(&format!("/v1/users/{}/refresh", user.id), json!({})).await.json();
    assert_eq!(now.identities[0].state, IdentityState::Active);
    assert!(now.identities[0].reason.is_some(), "{now:?}");
    grace.get("/v1/session").await.expect(200);
    // A new sign-in mends it.
    company.sign_in("grace").await;
    assert!(company.user("grace").await.identities[0].reason.is_none());
}

#[tokio::test]
async fn stray_redirections_lock_nobody_out() {
    let company = Connected::openid().await;
    // Any page can send its visitors here.
    for _ in 0..40 {
        let stray = format!("{}/callback?state=x&code=y", company.begin_path());
        let answer = company.server.client().get(&stray).await;
        assert_eq!(refused(answer), "sign_in_state");
    }
    company.server.sign_in(drover_tests::ADMIN).await.get("/v1/users").await.expect(200);
    company.sign_in("grace").await;
    // Those that began here and failed are slowed down, and only they.
    let mut last = String::new();
    for _ in 0..30 {
        let browser = company.server.client();
        let answer = browser.get(&company.begin_path()).await.expect(303);
        let begin = location(&answer);
        if begin.starts_with('/') {
            last = refused(answer);
            break;
        }
        let state = Url::parse(&begin).unwrap();
        let state = state.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let query = HashMap::from([
            ("state".to_owned(), state),
            ("error".to_owned(), "server_error".to_owned()),
            ("error_description".to_owned(), "words of a stranger".to_owned()),
        ]);
        let back = callback(company.provider.id, &query);
        assert_eq!(refused(browser.get(&back).await), "provider_unavailable");
    }
    assert_eq!(last, "too_many_requests");
    company.server.sign_in(drover_tests::ADMIN).await.get("/v1/users").await.expect(200);
    // What a browser brings is not the provider's word on how it does.
    let path = format!("/v1/identity-providers/{}", company.provider.id);
    let now: Provider = company.admin.get(&path).await.expect(200).json();
    assert_eq!(now.health.error, None);
}

#[tokio::test]
async fn groups_of_a_sign_in_grow_old_for_pushed_accounts_too() {
    let company = Connected::openid().await;
    let scim = format!("/v1/identity-providers/{}/scim-token", company.provider.id);
    let token: drover_api::ScimToken =
        company.admin.post(&scim, json!({})).await.expect(201).json();
    let pushed = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "grace", "externalId": "subject-of-grace", "active": true,
    });
    let http = drover_tests::http_client().build().unwrap();
    let url = format!("{}/scim/v2/{}/Users", company.server.base(), company.provider.id);
    let answer = http.post(url).bearer_auth(&token.token).json(&pushed).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    let group = format!("openid_group://{}/platform-team", company.provider.id);
    company.give(&group, Role::Member).await;
    let grace = company.sign_in("grace").await;
    grace.get(&company.environment_path()).await.expect(200);

    let mut database = company.server.database().connect().await;
    sqlx::query("UPDATE identities SET refreshed_at = now() - interval '6 minutes'")
        .execute(&mut database)
        .await
        .unwrap();
    let grace_time = json!({ "directory_grace_minutes": 5 });
    company.admin.patch("/v1/settings", grace_time).await.expect(200);
    // SCIM vouches for the account, and nobody for what the sign-in said of groups.
    grace.get("/v1/session").await.expect(200);
    grace.get(&company.environment_path()).await.problem(404, "not_found");
    // Without SCIM nobody vouches for it any more: the provider is asked, and tells all anew.
    company.admin.delete(&scim).await.expect(204);
    until_status(&grace, &company.environment_path(), 200).await;
    let pushed: bool = sqlx::query_scalar("SELECT bool_or(pushed) FROM identities")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert!(!pushed);
}
