//! Set-up, sign-in and out, throttling, CSRF, passwords.

use drover_api::{
    BrowserSession, CreateUser, GlobalRole, List, Session, SetupState, User, UserState,
};
use drover_tests::{ADMIN, Client, PASSWORD, TestServer, assert_no_secret, run};
use reqwest::Method;
use serde_json::json;

const OTHER_PASSWORD: &str = "a wholly different phrase";

fn setup_request(token: &str) -> serde_json::Value {
    json!({ "token": token, "login": ADMIN, "password": PASSWORD })
}

#[tokio::test]
async fn only_the_link_makes_the_first_administrator_and_only_once() {
    let server = TestServer::start().await;
    let nobody = server.client();
    assert!(nobody.get("/v1/setup").await.expect(200).json::<SetupState>().required);
    nobody.get("/v1/environments").await.problem(401, "unauthenticated");
    nobody.post("/v1/setup", setup_request("guessed")).await.problem(403, "setup_token");
    nobody.post("/v1/setup", setup_request("")).await.problem(403, "setup_token");

    let token = server.setup_token();
    let mut short = setup_request(&token);
    short["password"] = "short".into();
    let problem = nobody.post("/v1/setup", short).await.problem(422, "invalid_input");
    assert_eq!(problem.errors[0].field, "password");

    let session: Session = nobody.post("/v1/setup", setup_request(&token)).await.expect(201).json();
    assert_eq!(session.user.global_role, GlobalRole::Admin);
    let admin = nobody.opened(&session);
    admin.get("/v1/users").await.expect(200);

    let again = json!({ "token": token, "login": "mallory", "password": PASSWORD });
    server.client().post("/v1/setup", again).await.problem(403, "setup_token");
    assert!(!server.client().get("/v1/setup").await.json::<SetupState>().required);
    let users: List<User> = admin.get("/v1/users").await.json();
    assert_eq!(users.total, 1);
}

#[tokio::test]
async fn a_restart_before_the_set_up_makes_a_new_link() {
    let mut server = TestServer::start().await;
    let old = server.setup_token();
    server.restart().await;
    assert_ne!(old, server.setup_token());
    server.client().post("/v1/setup", setup_request(&old)).await.problem(403, "setup_token");
    server.admin().await;
    server.restart().await;
    let link_lines = server.log().matches("/setup#token=").count();
    assert_eq!(link_lines, 2, "a link is printed although the set-up is done");
}

#[tokio::test]
async fn two_set_ups_at_once_make_one_administrator() {
    let server = TestServer::start().await;
    let token = server.setup_token();
    let attempts = (0..6).map(|n| {
        let client = server.client();
        let body = json!({ "token": token, "login": format!("admin{n}"), "password": PASSWORD });
        async move { client.post("/v1/setup", body).await.status }
    });
    let statuses = futures_util::future::join_all(attempts).await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 201 | 403 | 409)), "{statuses:?}");
}

#[tokio::test]
async fn wrong_passwords_cost_time_for_the_account_and_say_nothing() {
    let server = TestServer::start().await;
    server.admin().await;
    let client = server.client();
    let unknown = client.try_sign_in("nobody", PASSWORD).await.problem(401, "wrong_credentials");
    let wrong = client.try_sign_in(ADMIN, "not this one").await.problem(401, "wrong_credentials");
    assert_eq!(unknown.detail, wrong.detail, "the answers tell which accounts there are");

    let mut refused = None;
    for _ in 0..10 {
        // In another letter case: logins are the same in any.
        let answer = client.try_sign_in("ADA", "not this one").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        answer.problem(401, "wrong_credentials");
    }
    let refused = refused.expect("the account is never throttled");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=900).contains(&seconds), "{seconds}");
    refused.problem(429, "too_many_requests");
    // The right one must not get through either, or guessing would go on.
    client.try_sign_in(ADMIN, PASSWORD).await.problem(429, "too_many_requests");
    // Other accounts are not affected.
    client.try_sign_in("nobody", PASSWORD).await.problem(401, "wrong_credentials");

    tokio::time::sleep(std::time::Duration::from_secs(seconds + 1)).await;
    server.sign_in(ADMIN).await;
    assert_no_secret(&server.log(), &[PASSWORD, "not this one"]);
}

#[tokio::test]
async fn an_address_is_throttled_over_all_accounts() {
    let server = TestServer::start().await;
    let client = server.client();
    let mut statuses = Vec::new();
    for n in 0..30 {
        statuses.push(client.try_sign_in(&format!("guess{n}"), PASSWORD).await.status);
    }
    assert_eq!(statuses[0], 401);
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn writes_of_a_browser_need_the_csrf_token() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let forged = admin.without_csrf();
    forged.get("/v1/users").await.expect(200);
    let body = json!({ "name": "Forged" });
    forged.post("/v1/environments", &body).await.problem(403, "csrf");
    forged
        .send_with(Method::POST, "/v1/environments", ("x-csrf-token", "guessed"), &body)
        .await
        .problem(403, "csrf");
    // Another session's token is as good as none.
    let other: Session = server.sign_in(ADMIN).await.get("/v1/session").await.json();
    let token = other.csrf_token.unwrap();
    forged
        .send_with(Method::POST, "/v1/environments", ("x-csrf-token", &token), &body)
        .await
        .problem(403, "csrf");
    admin.post("/v1/environments", &body).await.expect(201);
}

#[tokio::test]
async fn the_cookie_is_out_of_reach_and_new_at_each_sign_in() {
    let server = TestServer::start().await;
    server.admin().await;
    let client = server.client();
    let cookie = async || {
        let answer = client.try_sign_in(ADMIN, PASSWORD).await.expect(200);
        answer.header("set-cookie").unwrap().to_owned()
    };
    let first = cookie().await;
    for word in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(first.contains(word), "{first}");
    }
    // The second sign-in goes out with the first one's cookie: it must not live on.
    let second = cookie().await;
    let value = |cookie: &str| cookie.split(';').next().unwrap().to_owned();
    assert_ne!(value(&first), value(&second));
    let old = drover_tests::http_client()
        .build()
        .unwrap()
        .get(format!("{}/v1/session", server.base()))
        .header("cookie", value(&first));
    assert_eq!(old.send().await.unwrap().status(), 401);
    // Reading the database does not let anyone in.
    let secret = value(&second).split_once('=').unwrap().1.to_owned();
    assert_no_secret(&server.database().dump().await, &[&secret, PASSWORD]);
}

#[tokio::test]
async fn behind_tls_cookies_are_secure() {
    let server =
        TestServer::builder().set("DROVER_PUBLIC_URL", "https://drover.example.com").start().await;
    server.admin().await;
    let answer = server.client().try_sign_in(ADMIN, PASSWORD).await.expect(200);
    assert!(answer.header("set-cookie").unwrap().contains("Secure"));
    assert!(answer.header("strict-transport-security").is_some());
}

#[tokio::test]
async fn signing_out_everywhere_ends_all_sessions_and_no_key() {
    let server = TestServer::start().await;
    let first = server.admin().await;
    let second = server.sign_in(ADMIN).await;
    let third = server.sign_in(ADMIN).await;
    let (_, key) = server.key(&first, None, None).await;

    let sessions: List<BrowserSession> = first.get("/v1/session/all").await.expect(200).json();
    assert_eq!(sessions.items.len(), 3);
    assert_eq!(sessions.items.iter().filter(|session| session.current).count(), 1);

    // One of them.
    let other = |list: List<BrowserSession>| list.items.into_iter().find(|s| s.current).unwrap();
    let third_session = other(third.get("/v1/session/all").await.json());
    first.delete(&format!("/v1/session/all/{}", third_session.id)).await.expect(204);
    third.get("/v1/session").await.problem(401, "unauthenticated");
    second.get("/v1/session").await.expect(200);

    // All of them.
    first.delete("/v1/session/all").await.expect(204);
    for client in [&first, &second, &third] {
        client.get("/v1/session").await.problem(401, "unauthenticated");
    }
    key.get("/v1/session").await.expect(200);

    // Only this one.
    let (fourth, fifth) = (server.sign_in(ADMIN).await, server.sign_in(ADMIN).await);
    fourth.delete("/v1/session").await.expect(200);
    fourth.get("/v1/session").await.problem(401, "unauthenticated");
    fifth.get("/v1/session").await.expect(200);
}

#[tokio::test]
async fn nobody_ends_the_sessions_of_others() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let sessions: List<BrowserSession> = admin.get("/v1/session/all").await.json();
    server.user("grace").await;
    let grace = server.sign_in("grace").await;
    let path = format!("/v1/session/all/{}", sessions.items[0].id);
    grace.delete(&path).await.problem(404, "not_found");
    admin.get("/v1/session").await.expect(200);
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions() {
    let server = TestServer::start().await;
    server.admin().await;
    server.user("grace").await;
    let (here, elsewhere) = (server.sign_in("grace").await, server.sign_in("grace").await);
    let change =
        |current: &str, new: &str| json!({ "current_password": current, "new_password": new });

    let wrong = here.put("/v1/session/password", change("wrong", OTHER_PASSWORD)).await;
    assert_eq!(wrong.problem(422, "invalid_input").errors[0].field, "current_password");
    let short = here.put("/v1/session/password", change(PASSWORD, "short")).await;
    assert_eq!(short.problem(422, "invalid_input").errors[0].field, "new_password");
    here.put("/v1/session/password", change(PASSWORD, OTHER_PASSWORD)).await.expect(204);

    here.get("/v1/session").await.expect(200);
    elsewhere.get("/v1/session").await.problem(401, "unauthenticated");
    server.client().try_sign_in("grace", PASSWORD).await.problem(401, "wrong_credentials");
    Client::sign_in(&server.base(), "grace", OTHER_PASSWORD).await;
    assert_no_secret(&server.log(), &[PASSWORD, OTHER_PASSWORD]);
}

#[tokio::test]
async fn an_inactive_user_is_out_at_once() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let grace = server.user("grace").await;
    let browser = server.sign_in("grace").await;
    let (_, key) = server.key(&browser, None, None).await;
    key.get("/v1/session").await.expect(200);

    let path = format!("/v1/users/{}", grace.id);
    admin.patch(&path, json!({ "state": UserState::Inactive })).await.expect(200);
    browser.get("/v1/session").await.problem(401, "unauthenticated");
    key.get("/v1/session").await.problem(401, "unauthenticated");
    server.client().try_sign_in("grace", PASSWORD).await.problem(401, "wrong_credentials");

    admin.patch(&path, json!({ "state": UserState::Active })).await.expect(200);
    key.get("/v1/session").await.expect(200);
    browser.get("/v1/session").await.problem(401, "unauthenticated");
    server.sign_in("grace").await;
}

#[tokio::test]
async fn the_command_line_resets_a_password() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let settings = server.environment();

    let unknown = run(&["reset-password", "nobody"], &settings, OTHER_PASSWORD).await;
    assert!(!unknown.success && unknown.stderr.contains("nobody"), "{unknown:?}");
    let short = run(&["reset-password", ADMIN], &settings, "short").await;
    assert!(!short.success, "{short:?}");
    admin.get("/v1/session").await.expect(200);

    let done = run(&["reset-password", ADMIN], &settings, &format!("{OTHER_PASSWORD}\n")).await;
    assert!(done.success, "{done:?}");
    assert_no_secret(&(done.stdout + &done.stderr), &[OTHER_PASSWORD]);
    server.client().try_sign_in(ADMIN, PASSWORD).await.problem(401, "wrong_credentials");
    Client::sign_in(&server.base(), ADMIN, OTHER_PASSWORD).await;
    drover_tests::eventually("the session ends", std::time::Duration::from_secs(5), async || {
        (admin.get("/v1/session").await.status == 401).then_some(())
    })
    .await;

    let made = run(&["reset-password", ADMIN, "--generate"], &settings, "").await;
    assert!(made.success, "{made:?}");
    Client::sign_in(&server.base(), ADMIN, made.stdout.trim()).await;
}

#[tokio::test]
async fn a_user_made_by_an_administrator_signs_in() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let new = CreateUser {
        login: "grace".into(),
        display_name: Some("Grace".into()),
        email: Some("grace@example.com".into()),
        password: PASSWORD.into(),
        global_role: Some(GlobalRole::User),
    };
    admin.post("/v1/users", &new).await.expect(201);
    let mut twin = new.clone();
    twin.login = "GRACE".into();
    admin.post("/v1/users", &twin).await.problem(409, "login_taken");
    let session: Session = server.sign_in("grace").await.get("/v1/session").await.json();
    assert_eq!(session.user.display_name, "Grace");
    assert!(session.csrf_token.is_some() && session.api_key_id.is_none());
}
