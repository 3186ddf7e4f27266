//! The conventions of the API: errors, lost updates, repeated requests, lists, keys, the audit
//! log, events.

use std::time::Duration;

use drover_api::{
    ApiKey, AuditEntry, AuditOutcome, Change, CreatedApiKey, Environment, GlobalRole, List, Role,
    Topic, User,
};
use drover_tests::{ADMIN, Client, PASSWORD, Proxy, TestServer, assert_no_secret, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn the_second_of_two_people_who_save_is_told() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let environment = server.environment_named("Shared").await;
    let path = format!("/v1/environments/{}", environment.id);
    let tag = admin.get(&path).await.header("etag").unwrap().to_owned();
    let save = async |tag: &str, text: &str| {
        let body = json!({ "description": text });
        admin.send_with(Method::PATCH, &path, ("if-match", tag), body).await
    };
    let saved = save(&tag, "the first").await.expect(200);
    let newer = saved.header("etag").unwrap().to_owned();
    assert_ne!(newer, tag);
    save(&tag, "the second").await.problem(412, "changed_meanwhile");
    save("\"nonsense\"", "the second").await.problem(412, "changed_meanwhile");
    let now: Environment = admin.get(&path).await.json();
    assert_eq!(now.description, "the first");
    save(&newer, "the second").await.expect(200);
    save("*", "whatever is there").await.expect(200);

    // At the same instant: one of them wins, all others are told.
    let tag = admin.get(&path).await.header("etag").unwrap().to_owned();
    let texts: Vec<String> = (0..8).map(|n| format!("writer {n}")).collect();
    let answers = futures_util::future::join_all(texts.iter().map(|text| save(&tag, text))).await;
    let won: Vec<_> = answers.iter().map(|answer| answer.status).filter(|s| *s == 200).collect();
    assert_eq!(won.len(), 1, "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());

    // Users too.
    let user = server.user("grace").await;
    let path = format!("/v1/users/{}", user.id);
    let tag = admin.get(&path).await.header("etag").unwrap().to_owned();
    let rename = json!({ "display_name": "Grace" });
    admin.send_with(Method::PATCH, &path, ("if-match", &tag), &rename).await.expect(200);
    let late = admin.send_with(Method::PATCH, &path, ("if-match", &tag), &rename).await;
    late.problem(412, "changed_meanwhile");
}

#[tokio::test]
async fn a_repeated_post_is_done_once() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let post = async |client: &Client, key: &str, name: &str| {
        let body = json!({ "name": name });
        client.send_with(Method::POST, "/v1/environments", ("idempotency-key", key), body).await
    };
    let first = post(&admin, "key-1", "Once").await.expect(201);
    let again = post(&admin, "key-1", "Once").await.expect(201);
    assert_eq!(first.text, again.text);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.header("etag"), again.header("etag"));
    let list: List<Environment> = admin.get("/v1/environments?q=Once").await.json();
    assert_eq!(list.total, 1);

    post(&admin, "key-1", "Another").await.problem(422, "idempotency_key_reused");
    post(&admin, "", "Another").await.problem(400, "invalid_idempotency_key");
    post(&admin, &"x".repeat(129), "Another").await.problem(400, "invalid_idempotency_key");
    // A refusal is an answer too.
    post(&admin, "key-2", "Once").await.problem(409, "name_taken");
    assert_eq!(post(&admin, "key-2", "Once").await.header("idempotency-replayed"), Some("true"));

    // At the same instant.
    let attempts = (0..8).map(|_| post(&admin, "key-3", "Race"));
    let answers = futures_util::future::join_all(attempts).await;
    for answer in answers {
        assert!(matches!(answer.status, 201 | 409), "{}: {}", answer.status, answer.text);
    }
    let list: List<Environment> = admin.get("/v1/environments?q=Race").await.json();
    assert_eq!(list.total, 1);

    // A secret that is shown once is shown again to the one who repeats, and lies sealed.
    let new = json!({ "name": "script" });
    let header = ("idempotency-key", "key-4");
    let made = admin.send_with(Method::POST, "/v1/api-keys", header, &new).await.expect(201);
    let repeated = admin.send_with(Method::POST, "/v1/api-keys", header, &new).await.expect(201);
    assert_eq!(made.text, repeated.text);
    let token = made.json::<CreatedApiKey>().token;
    assert_no_secret(&server.database().dump().await, &[&token]);

    // Keys are the caller's own.
    server.user("grace").await;
    let grace = server.sign_in("grace").await;
    post(&grace, "key-1", "Once").await.problem(403, "forbidden");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    for n in 0..7 {
        server.environment_named(&format!("Team {n}")).await;
    }
    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/environments?q=team&limit=3&sort=-name&cursor={cursor}");
        let page: List<Environment> = admin.get(&path).await.expect(200).json();
        assert_eq!(page.total, 7);
        assert!(page.items.len() <= 3);
        names.extend(page.items.into_iter().map(|environment| environment.name));
        match page.next_cursor {
            Some(next) => cursor = next,
            None => break,
        }
    }
    let expected: Vec<_> = (0..7).rev().map(|n| format!("Team {n}")).collect();
    assert_eq!(names, expected);

    for path in
        ["/v1/environments?sort=password", "/v1/environments?cursor=x", "/v1/users?limit=many"]
    {
        let answer = admin.get(path).await;
        assert!(matches!(answer.status, 400 | 422), "{path}: {}", answer.status);
    }
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let post = async |body: String, kind: &str| {
        let request = admin.request(Method::POST, "/v1/environments");
        admin.send(request.header("content-type", kind).body(body)).await
    };
    let json = "application/json";
    post("{\"name\": ".into(), json).await.expect(400);
    post("not json".into(), json).await.expect(400);
    post(String::new(), json).await.expect(400);
    post("name=x".into(), "application/x-www-form-urlencoded").await.expect(415);
    let missing = post("{}".into(), json).await;
    assert!(matches!(missing.status, 400 | 422), "{}", missing.text);
    assert!(missing.text.contains("name"), "{}", missing.text);
    let wrong_type = post("{\"name\": 7}".into(), json).await;
    assert!(matches!(wrong_type.status, 400 | 422), "{}", wrong_type.text);
    let empty = post("{\"name\": \"  \"}".into(), json).await.problem(422, "invalid_input");
    assert_eq!(empty.errors[0].field, "name");
    let long = post(json!({ "name": "x".repeat(65) }).to_string(), json).await;
    long.problem(422, "invalid_input");
    let control = post(json!({ "name": "a\u{0}b" }).to_string(), json).await;
    control.problem(422, "invalid_input");
    // NUL, which PostgreSQL refuses, where nothing else checks the text; but not what looks like it.
    let member = format!("/v1/environments/{}/members", server.default_environment().await.id);
    let nul = json!({ "principal_id": "a\u{0}", "role": "member" });
    admin.put(&member, nul).await.problem(422, "invalid_input");
    let literal = json!({ "principal_id": "a\\u0000", "role": "member" });
    let told = admin.put(&member, literal).await.problem(422, "invalid_input");
    assert_eq!(told.errors[0].field, "principal_id");
    admin.get("/v1/users?q=%00").await.problem(400, "invalid_query");
    admin.delete(&format!("{member}/a%00")).await.problem(404, "not_found");

    for (method, path) in [
        (Method::GET, "/v1/nothing".to_owned()),
        (Method::GET, "/v1/environments/not-an-id".into()),
        (Method::GET, "/v1/users/not-an-id".into()),
        (Method::GET, format!("/v1/environments/{}", Uuid::now_v7())),
        (Method::GET, format!("/v1/users/{}", Uuid::now_v7())),
        (Method::DELETE, format!("/v1/api-keys/{}", Uuid::now_v7())),
        (Method::GET, "/v1/environments/%2e%2e%2f".into()),
    ] {
        let answer = admin.send(admin.request(method, &path)).await;
        answer.problem(404, "not_found");
    }
    admin.put("/v1/users", json!({})).await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn a_body_of_ten_mebibytes_is_refused() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let big = json!({ "name": "x".repeat(10 << 20) });
    admin.post("/v1/environments", &big).await.problem(413, "body_too_large");
    let header = ("idempotency-key", "big");
    let answer = admin.send_with(Method::POST, "/v1/environments", header, &big).await;
    answer.problem(413, "body_too_large");
    // A stranger's too.
    server.client().post("/v1/session", &big).await.problem(413, "body_too_large");
    let deep = format!("{{\"name\": \"x\", \"more\": {}", "[".repeat(100_000));
    let request = admin.request(Method::POST, "/v1/environments");
    let request = request.header("content-type", "application/json").body(deep);
    admin.send(request).await.problem(400, "malformed_json");
    admin.get("/v1/session").await.expect(200);
}

#[tokio::test]
async fn a_foreign_environment_is_not_there() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let (own, foreign) =
        (server.environment_named("Own").await, server.environment_named("Foreign").await);
    let owner = server.member("grace", own.id, Role::Owner).await;
    let list: List<Environment> = owner.get("/v1/environments").await.json();
    assert_eq!(list.items.iter().map(|e| &*e.name).collect::<Vec<_>>(), ["Own"]);
    let absent = owner.get(&format!("/v1/environments/{}", Uuid::now_v7())).await;
    let hidden = owner.get(&format!("/v1/environments/{}", foreign.id)).await;
    let (absent, hidden) = (absent.problem(404, "not_found"), hidden.problem(404, "not_found"));
    assert_eq!(absent.detail, hidden.detail, "the answers tell which environments there are");
    let path = format!("/v1/environments/{}/members", foreign.id);
    owner.put(&path, json!({})).await.problem(404, "not_found");
    admin.get(&path).await.expect(200);
}

#[tokio::test]
async fn a_role_counts_from_the_moment_it_is_given() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let environment = server.environment_named("Team").await;
    let grace = server.user("grace").await;
    let client = server.sign_in("grace").await;
    let path = format!("/v1/environments/{}", environment.id);
    let rename = json!({ "description": "changed" });
    client.get(&path).await.problem(404, "not_found");
    server.set_member(environment.id, &grace, Role::Readonly).await;
    let seen: Environment = client.get(&path).await.expect(200).json();
    assert_eq!(seen.role, Role::Readonly);
    client.patch(&path, &rename).await.problem(403, "forbidden");
    server.set_member(environment.id, &grace, Role::Owner).await;
    client.patch(&path, &rename).await.expect(200);
    let member = format!("{path}/members/{}", grace.principal_id.replace('/', "%2F"));
    admin.delete(&member).await.expect(204);
    client.get(&path).await.problem(404, "not_found");
    admin.delete(&member).await.problem(404, "not_found");

    // An administrator may do everything, everywhere, and then no longer.
    let user = format!("/v1/users/{}", grace.id);
    admin.patch(&user, json!({ "global_role": GlobalRole::Admin })).await.expect(200);
    client.patch(&path, &rename).await.expect(200);
    client.get("/v1/users").await.expect(200);
    admin.patch(&user, json!({ "global_role": GlobalRole::User })).await.expect(200);
    client.get("/v1/users").await.problem(403, "forbidden");
    client.get(&path).await.problem(404, "not_found");
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let users: List<User> = admin.get("/v1/users").await.json();
    let own = format!("/v1/users/{}", users.items[0].id);
    let demote = json!({ "global_role": "user" });
    admin.patch(&own, &demote).await.problem(409, "last_admin");
    admin.patch(&own, json!({ "state": "inactive" })).await.problem(409, "last_admin");
    admin.delete(&own).await.problem(409, "own_account");

    // Two who demote each other at the same instant: one administrator is left.
    let grace = server.user("grace").await;
    let path = format!("/v1/users/{}", grace.id);
    admin.patch(&path, json!({ "global_role": "admin" })).await.expect(200);
    let other = server.sign_in("grace").await;
    let (first, second) = tokio::join!(admin.patch(&path, &demote), other.patch(&own, &demote));
    assert!([&first, &second].iter().any(|answer| answer.status == 200));
    assert!([&first, &second].iter().any(|answer| answer.status != 200));
}

#[tokio::test]
async fn an_api_key_does_what_its_scope_lets_it() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let (a, b) = (server.environment_named("A").await, server.environment_named("B").await);
    let path = |environment: &Environment| format!("/v1/environments/{}", environment.id);
    let change = json!({ "description": "changed" });

    let (made, whole) = server.key(&admin, None, None).await;
    whole.get("/v1/users").await.expect(200);
    whole.patch(&path(&a), &change).await.expect(200);
    let listed = admin.get("/v1/api-keys").await.expect(200);
    assert_no_secret(&listed.text, &[&made.token]);
    assert_no_secret(&server.database().dump().await, &[&made.token]);
    assert!(made.token.starts_with(&made.key.prefix));
    let listed: List<ApiKey> = listed.json();
    assert!(listed.items[0].last_used_at.is_some(), "{listed:?}");

    // To one environment.
    let (_, scoped) = server.key(&admin, Some(a.id), None).await;
    scoped.patch(&path(&a), &change).await.expect(200);
    scoped.get(&path(&b)).await.problem(404, "not_found");
    scoped.get("/v1/users").await.problem(403, "forbidden");
    scoped.post("/v1/api-keys", json!({ "name": "wider" })).await.problem(403, "forbidden");
    let seen: List<Environment> = scoped.get("/v1/environments").await.json();
    assert_eq!(seen.items.len(), 1);

    // To a role.
    let (_, reader) = server.key(&admin, None, Some(Role::Readonly)).await;
    reader.get(&path(&b)).await.expect(200);
    reader.patch(&path(&b), &change).await.problem(403, "forbidden");
    reader.get("/v1/users").await.problem(403, "forbidden");

    // A key is never stronger than its user.
    let grace = server.member("grace", a.id, Role::Readonly).await;
    let (_, raised) = server.key(&grace, Some(a.id), Some(Role::Owner)).await;
    raised.patch(&path(&a), &change).await.problem(403, "forbidden");
    let foreign = json!({ "name": "foreign", "environment_id": b.id });
    grace.post("/v1/api-keys", foreign).await.problem(422, "invalid_input");

    // Revoked.
    admin.delete(&format!("/v1/api-keys/{}", made.key.id)).await.expect(204);
    whole.get("/v1/session").await.problem(401, "unauthenticated");
    scoped.get("/v1/session").await.expect(200);
    Client::with_key(&server.base(), "drv_guessed").get("/v1/session").await.expect(401);

    // Another's key is not there.
    let mine: List<ApiKey> = admin.get("/v1/api-keys").await.json();
    let path = format!("/v1/api-keys/{}", mine.items[0].id);
    grace.delete(&path).await.problem(404, "not_found");
}

#[tokio::test]
async fn an_api_key_ends_at_its_time() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let at = |seconds: i64| {
        let time = time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
        drover_api::Timestamp(time)
    };
    let past = json!({ "name": "past", "expires_at": at(-1) });
    admin.post("/v1/api-keys", past).await.problem(422, "invalid_input");
    let soon = json!({ "name": "soon", "expires_at": at(3) });
    let made: CreatedApiKey = admin.post("/v1/api-keys", soon).await.expect(201).json();
    let client = Client::with_key(&server.base(), &made.token);
    client.get("/v1/users").await.expect(200);
    let mut events = server.events(&client, None).await;
    eventually("the key ends", Duration::from_secs(10), async || {
        (client.get("/v1/users").await.status == 401).then_some(())
    })
    .await;
    // A stream that it opened ends with it, within the minute that a check may take.
    drop(events.next().await);
}

#[tokio::test]
async fn the_audit_log_says_who_did_what_and_keeps_it() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let grace = server.user("grace").await;
    let environment = server.environment_named("Audited").await;
    server.set_member(environment.id, &grace, Role::Readonly).await;
    let client = server.sign_in("grace").await;
    let path = format!("/v1/environments/{}", environment.id);
    client.patch(&path, json!({ "description": "no" })).await.problem(403, "forbidden");
    let (made, _) = server.key(&admin, None, None).await;
    server.client().try_sign_in("grace", "wrong password").await.expect(401);

    let log = admin.get("/v1/audit?limit=1000").await.expect(200);
    let entries: List<AuditEntry> = log.json();
    let find = |action: &str, actor: &str| {
        entries.items.iter().find(|entry| entry.action == action && entry.actor == actor)
    };
    let created = find("environment.create", ADMIN).unwrap();
    assert_eq!(created.outcome, AuditOutcome::Success);
    assert_eq!(created.target_name.as_deref(), Some("Audited"));
    assert_eq!(created.target_id.as_deref(), Some(&*environment.id.to_string()));
    assert_eq!(created.address.as_deref(), Some("127.0.0.1"));
    assert!(created.request_id.is_some());
    let refused = find("environment.update", "grace").unwrap();
    assert_eq!(refused.outcome, AuditOutcome::Denied);
    assert_eq!(refused.environment_id, Some(environment.id));
    assert_eq!(refused.actor_id, Some(grace.id));
    let sign_ins: Vec<_> = entries
        .items
        .iter()
        .filter(|entry| entry.action == "session.create" && entry.actor == "grace")
        .map(|entry| entry.outcome)
        .collect();
    assert_eq!(sign_ins, [AuditOutcome::Denied, AuditOutcome::Success], "newest first");
    assert!(find("api_key.create", ADMIN).is_some() && find("member.set", ADMIN).is_some());
    assert!(find("setup.complete", ADMIN).is_some() && find("user.create", ADMIN).is_some());

    // Filters, pages, the export, and what an environment's owner sees of it.
    let denied: List<AuditEntry> = admin.get("/v1/audit?outcome=denied").await.json();
    assert_eq!(denied.items.len(), 2);
    let here: List<AuditEntry> = admin.get(&format!("{path}/audit")).await.expect(200).json();
    assert!(here.items.iter().all(|entry| entry.environment_id == Some(environment.id)));
    client.get(&format!("{path}/audit")).await.problem(403, "forbidden");
    let first: List<AuditEntry> = admin.get("/v1/audit?limit=2").await.json();
    let cursor = first.next_cursor.unwrap();
    let second: List<AuditEntry> =
        admin.get(&format!("/v1/audit?limit=2&cursor={cursor}")).await.json();
    assert!(second.items[0].id < first.items[1].id);
    let export = admin.get("/v1/audit/export").await.expect(200);
    let lines: Vec<Value> =
        export.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() >= entries.items.len());

    let setup_token = server.setup_token();
    assert_no_secret(&export.text, &[PASSWORD, "wrong password", &made.token, &setup_token]);
    // The link is for the terminal of whoever starts the server; nothing else is.
    assert_no_secret(&server.log(), &[PASSWORD, "wrong password", &made.token]);

    let mut connection = server.database().connect().await;
    for statement in [
        "UPDATE audit_log SET actor = 'somebody else'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
    ] {
        let error = sqlx::query(statement).execute(&mut connection).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{statement}: {error}");
    }
}

/// Catalogs are everybody's, and read while a test runs.
fn is_no_catalog(message: &drover_tests::Message) -> bool {
    message.event != "change" || message.change().topic != Topic::Catalog
}

#[tokio::test]
async fn events_resume_where_the_connection_broke() {
    let mut server = TestServer::start().await;
    let admin = server.admin().await;
    let mut events = server.events(&admin, None).await;
    let hello = events.next().await.unwrap();
    assert_eq!(hello.event, "hello");
    let first = server.environment_named("First").await;
    let is_about = |id: Uuid| {
        move |message: &drover_tests::Message| {
            message.event == "change" && {
                let change = message.change();
                change.topic == Topic::Environment && change.id == id.to_string()
            }
        }
    };
    let seen = events.wait_for(is_about(first.id)).await;
    assert_eq!(seen.change().change, Change::Updated);
    drop(events);

    // What happens meanwhile is not lost, and what was seen does not come again.
    let second = server.environment_named("Second").await;
    let mut events = server.events(&admin, Some(&seen.id)).await;
    let missed = events
        .wait_for(|message| {
            assert_ne!(message.id, seen.id);
            // More may be told of the first one: how its network stands.
            is_no_catalog(message) && !is_about(first.id)(message)
        })
        .await;
    assert!(is_about(second.id)(&missed), "{missed:?}");

    // After a restart there is nothing to resume from, and the client is told.
    let newest = missed.id;
    drop(events);
    server.restart().await;
    let mut events = server.events(&admin, Some(&newest)).await;
    assert_eq!(events.next().await.unwrap().event, "reset");
}

#[tokio::test]
async fn events_show_what_the_caller_may_see() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let (own, foreign) =
        (server.environment_named("Own").await, server.environment_named("Foreign").await);
    let member = server.member("grace", own.id, Role::Readonly).await;
    let mut events = server.events(&member, None).await;
    events.next().await.unwrap();
    let touch = json!({ "description": "touched" });
    admin.patch(&format!("/v1/environments/{}", foreign.id), &touch).await.expect(200);
    server.user("heidi").await;
    admin.patch(&format!("/v1/environments/{}", own.id), &touch).await.expect(200);
    let message = events.wait_for(is_no_catalog).await;
    assert_eq!(message.change().id, own.id.to_string(), "{message:?}");

    // Signing out ends the stream.
    member.delete("/v1/session").await.expect(200);
    while events.next().await.is_some() {}
}

#[tokio::test]
async fn the_database_may_go_away_for_a_while() {
    let database = drover_tests::Database::create().await;
    let proxy = Proxy::start(&database.server_address()).await;
    let url = database.url_through(proxy.address());
    let server = TestServer::builder().database(database).set("DATABASE_URL", url).start().await;
    let admin = server.admin().await;
    admin.get("/v1/users").await.expect(200);

    proxy.cut();
    server.client().get("/healthz").await.expect(200);
    server.client().get("/readyz").await.problem(503, "database_unavailable");
    let answer = admin.get("/v1/users").await;
    assert!(answer.header("retry-after").is_some());
    answer.problem(503, "database_unavailable");
    let post = admin.post("/v1/environments", json!({ "name": "Lost" })).await;
    post.problem(503, "database_unavailable");
    server.client().try_sign_in(ADMIN, PASSWORD).await.problem(503, "database_unavailable");

    proxy.mend();
    eventually("it is ready again", Duration::from_secs(15), async || {
        (server.client().get("/readyz").await.status == 200).then_some(())
    })
    .await;
    admin.get("/v1/users").await.expect(200);
    // Live events work again too.
    eventually("events come again", Duration::from_secs(30), async || {
        let mut events = server.events(&admin, None).await;
        events.next().await?;
        server.environment_named(&format!("Back {}", Uuid::new_v4())).await;
        events.next().await
    })
    .await;
}

#[tokio::test]
async fn the_documentation_is_served() {
    let server = TestServer::start().await;
    let client = server.client();
    let document = client.get("/v1/openapi.json").await.expect(200).value();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let page = client.get("/v1/docs").await.expect(200);
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    for name in ["x-content-type-options", "x-frame-options", "referrer-policy", "x-request-id"] {
        assert!(page.header(name).is_some(), "no {name}");
    }
    let printed = drover_tests::run(&["openapi"], &[], "").await;
    assert_eq!(serde_json::from_str::<Value>(&printed.stdout).unwrap(), document);
}

#[tokio::test]
async fn an_environment_ends_with_its_members_and_keys() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let environment = server.environment_named("Short-lived").await.id;
    let owner = server.member("grace", environment, Role::Owner).await;
    let (_, key) = server.key(&owner, Some(environment), None).await;
    let path = format!("/v1/environments/{environment}");
    let overview = owner.get(&format!("{path}/overview")).await.expect(200).value();
    assert_eq!(overview["hosts"], json!([]));

    let stale = admin.send_with(Method::DELETE, &path, ("if-match", "\"99\""), ()).await;
    stale.problem(412, "changed_meanwhile");
    owner.delete(&path).await.expect(204);
    admin.get(&path).await.problem(404, "not_found");
    owner.get(&path).await.problem(404, "not_found");
    key.get("/v1/session").await.problem(401, "unauthenticated");
    server.environment_named("Short-lived").await;
}
