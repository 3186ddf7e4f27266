//! A directory connected to a server: who gets in, what they may do, and when that ends.

use drover_api::{
    AuditOutcome, EnvironmentPerson, IdentityState, List, PrincipalKind, PrincipalSearch, Provider,
    Role, SearchState, TestReport, TestStepKind, User,
};
use drover_tests::{LDAP_SERVICE, TestServer, assert_no_secret, eventually, group_dn, user_dn};
use serde_json::json;

use super::company::*;

#[tokio::test]
async fn a_group_of_the_directory_works_in_an_environment() {
    let server = TestServer::start().await;
    let slapd = people().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    let new = json!({ "name": "Example Corp", "config": config(&slapd), "secret": LDAP_SERVICE.1 });
    let made: Provider = admin.post("/v1/identity-providers", &new).await.expect(201).json();
    assert!(!made.enabled && !made.tested && made.has_secret, "{made:?}");
    let path = format!("/v1/identity-providers/{}", made.id);

    // Nobody is locked out by a provider that nobody has tried.
    let on = json!({ "enabled": true });
    admin.patch(&path, &on).await.problem(409, "not_tested");
    let test_path = format!("{path}/test");
    let test = |body| admin.post(&test_path, body);
    let probed: TestReport = test(json!({})).await.expect(200).json();
    assert!(!probed.signed_in && probed.steps.iter().all(|step| step.ok), "{probed:?}");
    admin.patch(&path, &on).await.problem(409, "not_tested");
    let wrong = json!({ "login": "alice", "password": "not hers" });
    let report: TestReport = test(wrong).await.expect(200).json();
    let last = report.steps.last().unwrap();
    assert_eq!((last.step, last.ok), (TestStepKind::UserBind, false), "{report:?}");
    admin.patch(&path, &on).await.problem(409, "not_tested");

    let right = json!({ "login": "alice", "password": THEIRS });
    let report: TestReport = test(right).await.expect(200).json();
    assert!(report.signed_in, "{report:?}");
    let person = report.person.unwrap();
    assert_eq!(person.principal.login.as_deref(), Some("alice"));
    let groups: Vec<_> = person.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(groups, ["platform"]);
    // She may not in yet: the access mode is `restricted`, and nobody is a member.
    assert!(person.refused.is_some(), "{person:?}");
    // A test makes nobody.
    let users: List<User> = admin.get("/v1/users").await.json();
    assert_eq!(users.total, 1);
    let provider: Provider = admin.patch(&path, &on).await.expect(200).json();
    assert!(provider.enabled && provider.tested);

    let company = Company { server, slapd, admin, provider, environment };
    company.try_sign_in("alice", THEIRS).await.problem(403, "not_admitted");
    let group = company.give_group("platform", Role::Owner).await;
    assert!(group.id.starts_with(&format!("ldap_group://{}/", company.provider.id)), "{group:?}");
    assert_eq!(group.detail.as_deref(), Some(group_dn("platform").as_str()));

    let alice = company.sign_in("alice").await;
    let environment = format!("/v1/environments/{}", company.environment);
    let seen = alice.get(&environment).await.expect(200).value();
    assert_eq!(seen["role"], "owner");
    alice.patch(&environment, json!({ "description": "by alice" })).await.expect(200);
    alice.get("/v1/users").await.problem(403, "forbidden");
    // Carol is in the directory, and in no group that anybody let in.
    company.try_sign_in("carol", THEIRS).await.problem(403, "not_admitted");

    let people: List<EnvironmentPerson> =
        company.admin.get(&format!("{environment}/people?q=alice")).await.expect(200).json();
    let [person] = people.items.as_slice() else { panic!("{people:?}") };
    assert_eq!(person.role, Role::Owner);
    let source = person.sources[0].principal.as_ref().unwrap();
    assert_eq!(source.name, "platform");
    assert_eq!(source.provider_name.as_deref(), Some("Example Corp"));
}

#[tokio::test]
async fn of_several_roles_the_strongest_counts() {
    let company = Company::start().await;
    company.give_group("platform", Role::Readonly).await;
    company.give_group("developers", Role::Member).await;
    let bob = company.find("bob", PrincipalKind::User).await;
    set_member(&company.admin, company.environment, &bob.id, Role::Restricted).await;
    company.sign_in("bob").await;
    let path = format!("/v1/environments/{}/people?q=bob", company.environment);
    let people: List<EnvironmentPerson> = company.admin.get(&path).await.expect(200).json();
    let roles: Vec<_> = people.items[0].sources.iter().map(|source| source.role).collect();
    assert_eq!(people.items[0].role, Role::Member);
    assert_eq!(roles, [Role::Member, Role::Restricted, Role::Readonly]);
}

#[tokio::test]
async fn guesses_get_nobody_in_and_cost_time() {
    let company = Company::start().await;
    for (login, password) in [
        ("alice", "wrong"),
        ("alice", ""),
        ("*", THEIRS),
        ("al*", THEIRS),
        (")(uid=*", THEIRS),
        ("alice)(|(uid=*", THEIRS),
        ("alice\0", THEIRS),
        ("", THEIRS),
        ("nobody", THEIRS),
    ] {
        let tried = company.try_sign_in(login, password).await;
        assert_eq!(tried.1.status, if login.contains('\0') { 422 } else { 401 }, "{login:?}");
    }
    company.sign_in("alice").await;
    // Local accounts cannot be entered by the directory's words, nor the reverse.
    let local = json!({ "login": "alice", "password": THEIRS });
    company.server.client().post("/v1/session", local).await.problem(401, "wrong_credentials");
    company.try_sign_in(drover_tests::ADMIN, drover_tests::PASSWORD).await.expect(401);

    let refused = company.audit("session.create").await;
    let reasons: Vec<_> = refused.iter().filter(|entry| entry["outcome"] == "denied").collect();
    assert!(reasons.iter().any(|entry| entry["detail"]["reason"].is_string()), "{refused:?}");
    assert_eq!(serde_json::to_value(AuditOutcome::Denied).unwrap(), "denied");

    for _ in 0..6 {
        company.try_sign_in("bob", "wrong").await;
    }
    company.try_sign_in("bob", THEIRS).await.problem(429, "too_many_requests");
    // Somebody else's guesses do not lock alice out.
    company.sign_in("alice").await;
}

#[tokio::test]
async fn who_leaves_the_group_loses_the_role_and_who_leaves_the_company_everything() {
    let company = Company::start().await;
    company.give_group("developers", Role::Member).await;
    company.give_group("platform", Role::Readonly).await;
    let bob = company.sign_in("bob").await;
    let (_, key) = company.server.key(&bob, None, None).await;
    let environment = format!("/v1/environments/{}", company.environment);
    assert_eq!(key.get(&environment).await.expect(200).value()["role"], "member");
    let mut events = company.server.events(&key, None).await;
    events.next().await.unwrap();

    company.slapd.delete(&group_dn("developers"));
    company.refresh().await;
    eventually("bob is weaker", SOON, async || {
        (bob.get(&environment).await.expect(200).value()["role"] == "readonly").then_some(())
    })
    .await;
    assert_eq!(key.get(&environment).await.expect(200).value()["role"], "readonly");

    company.slapd.delete(&user_dn("bob"));
    company.refresh().await;
    until_status(&bob, "/v1/session", 401).await;
    until_status(&key, "/v1/session", 401).await;
    eventually("the stream ends", SOON, async || events.next().await.is_none().then_some(())).await;
    assert_eq!(company.state_of("bob").await, IdentityState::Refused);
    company.try_sign_in("bob", THEIRS).await.problem(401, "wrong_credentials");
    let ended = company.audit("user.access_ended").await;
    assert_eq!(ended[0]["target_name"], "bob", "{ended:?}");
    assert!(ended[0]["detail"]["reason"].is_string());

    // A new colleague of the same name is somebody else, and has only what the groups give.
    let old = company.user("bob").await.id;
    company.slapd.add_user("bob", THEIRS);
    let again = company.sign_in("bob").await;
    let new = again.get("/v1/session").await.expect(200).value()["user"]["id"].clone();
    assert_ne!(new, old.to_string());
    assert_eq!(again.get(&environment).await.expect(200).value()["role"], "readonly");
    key.get("/v1/session").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_change_is_known_without_anybody_asking() {
    let company = Company::start().await;
    company.give_group("developers", Role::Member).await;
    let bob = company.sign_in("bob").await;
    company.slapd.delete(&group_dn("developers"));
    // As if five minutes had passed.
    let mut database = company.server.database().connect().await;
    sqlx::query("UPDATE identities SET checked_at = now() - interval '6 minutes'")
        .execute(&mut database)
        .await
        .unwrap();
    until_status(&bob, &format!("/v1/environments/{}", company.environment), 404).await;
}

#[tokio::test]
async fn a_directory_that_is_away_keeps_what_was_until_the_grace_time_is_over() {
    let mut company = Company::start().await;
    company.give_group("platform", Role::Member).await;
    let alice = company.sign_in("alice").await;
    let environment = format!("/v1/environments/{}", company.environment);
    company.slapd.stop().await;
    company.try_sign_in("bob", THEIRS).await.problem(503, "provider_unavailable");
    company
        .admin
        .post(&format!("{}/refresh", company.provider_path()), json!({}))
        .await
        .expect(202);
    let failing = eventually("the page says so", SOON, async || {
        let now: Provider = company.admin.get(&company.provider_path()).await.json();
        now.health.error.is_some().then_some(now)
    })
    .await;
    assert!(failing.health.failing_since.is_some() && failing.health.expires_at.is_some());
    alice.get(&environment).await.expect(200);
    assert_eq!(company.state_of("alice").await, IdentityState::Active);

    // As if alice had been heard of six minutes ago, and five were the grace.
    let mut database = company.server.database().connect().await;
    sqlx::query("UPDATE identities SET refreshed_at = now() - interval '6 minutes'")
        .execute(&mut database)
        .await
        .unwrap();
    let grace = json!({ "directory_grace_minutes": 5 });
    company.admin.patch("/v1/settings", grace).await.expect(200);
    alice.get(&environment).await.problem(401, "unauthenticated");
    assert_eq!(company.state_of("alice").await, IdentityState::Expired);
    // Administrators have an account of Drover's own.
    company.admin.get("/v1/users").await.expect(200);

    company.slapd.run().await;
    let alice = company.sign_in("alice").await;
    alice.get(&environment).await.expect(200);
    eventually("all is well again", SOON, async || {
        let now: Provider = company.admin.get(&company.provider_path()).await.json();
        now.health.error.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_end_of_the_grace_time_ends_open_streams_by_the_clock() {
    let mut company = Company::start().await;
    company.give_group("platform", Role::Member).await;
    let grace = json!({ "directory_grace_minutes": 5 });
    company.admin.patch("/v1/settings", grace).await.expect(200);
    company.slapd.stop().await;
    let mut database = company.server.database().connect().await;
    company.slapd.run().await;
    let alice = company.sign_in("alice").await;
    company.slapd.stop().await;
    sqlx::query("UPDATE identities SET refreshed_at = now() - interval '297 seconds'")
        .execute(&mut database)
        .await
        .unwrap();
    // What was cached at the sign-in is of before: something unrelated makes it look anew.
    company.server.environment_named("Unrelated").await;
    let mut events = company.server.events(&alice, None).await;
    events.next().await.unwrap();
    alice.get("/v1/session").await.expect(200);
    eventually("the stream ends", std::time::Duration::from_secs(10), async || {
        events.next().await.is_none().then_some(())
    })
    .await;
    alice.get("/v1/session").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn access_rules_take_effect_at_once() {
    let company = Company::start().await;
    let carol = company.sign_in("carol").await;
    let bob = company.sign_in("bob").await;
    company.change_provider(json!({ "access_mode": "required" })).await;
    carol.get("/v1/session").await.problem(401, "unauthenticated");
    company.try_sign_in("carol", THEIRS).await.problem(403, "not_admitted");
    let developers = company.find("developers", PrincipalKind::Group).await;
    let listed = company.change_provider(json!({ "allowed_principals": [developers.id] })).await;
    assert_eq!(listed.allowed_principals[0].name, "developers");
    company.sign_in("bob").await;
    company.try_sign_in("alice", THEIRS).await.problem(403, "not_admitted");
    drop(bob);

    // Groups that are asked for count in every mode, by name or DN.
    company.change_provider(json!({ "access_mode": "unrestricted" })).await;
    let alice = company.sign_in("alice").await;
    company.change_provider(json!({ "allowed_groups": [group_dn("developers")] })).await;
    alice.get("/v1/session").await.problem(401, "unauthenticated");
    company.try_sign_in("alice", THEIRS).await.problem(403, "not_admitted");
    company.change_provider(json!({ "allowed_groups": ["PLATFORM"] })).await;
    company.sign_in("alice").await;

    let foreign = json!({ "allowed_principals": ["local_user://x"] });
    company.admin.patch(&company.provider_path(), foreign).await.problem(422, "invalid_input");
    let made_up = format!("ldap_group://{}/no-such-group", company.provider.id);
    let made_up = json!({ "allowed_principals": [made_up] });
    company.admin.patch(&company.provider_path(), made_up).await.problem(422, "invalid_input");

    let alice = company.sign_in("alice").await;
    company.change_provider(json!({ "enabled": false })).await;
    alice.get("/v1/session").await.problem(401, "unauthenticated");
    company.try_sign_in("alice", THEIRS).await.problem(404, "not_found");
    // What was tested can be switched on again.
    company.change_provider(json!({ "enabled": true })).await;
    alice.get("/v1/session").await.expect(200);
}

#[tokio::test]
async fn changed_settings_of_a_provider_that_is_on_wait_for_a_test() {
    let company = Company::start().await;
    let mut broken = config(&company.slapd);
    broken["servers"] = json!(["127.0.0.1:1"]);
    // The stored secret is sent to no other place than it was entered for.
    let unsaid = json!({ "config": broken });
    company.admin.patch(&company.provider_path(), unsaid).await.problem(422, "invalid_input");
    let change = json!({ "config": broken, "secret": LDAP_SERVICE.1 });
    let drafted = company.change_provider(change).await;
    assert!(drafted.draft.is_some() && drafted.tested, "{drafted:?}");
    company.sign_in("alice").await;
    let test = format!("{}/test", company.provider_path());
    let who = json!({ "login": "alice", "password": THEIRS });
    let report: TestReport = company.admin.post(&test, &who).await.expect(200).json();
    assert!(report.draft && !report.signed_in, "{report:?}");
    assert_eq!(report.steps.last().unwrap().step, TestStepKind::Connection);
    company.sign_in("alice").await;
    let discarded = company.change_provider(json!({ "discard_draft": true })).await;
    assert!(discarded.draft.is_none());

    let mut other = config(&company.slapd);
    other["user_name_attribute"] = "sn".into();
    company.change_provider(json!({ "config": other })).await;
    let report: TestReport = company.admin.post(&test, &who).await.expect(200).json();
    assert!(report.draft && report.signed_in, "{report:?}");
    let now: Provider = company.admin.get(&company.provider_path()).await.json();
    assert!(now.draft.is_none() && now.enabled && now.tested);
    let alice = company.sign_in("alice").await;
    let session = alice.get("/v1/session").await.expect(200).value();
    assert_eq!(session["user"]["display_name"], "Example");

    // Another password for the service account is a draft, too.
    let drafted = company.change_provider(json!({ "secret": "not the password" })).await;
    assert!(drafted.draft.is_some());
    let report: TestReport = company.admin.post(&test, &who).await.expect(200).json();
    assert_eq!(report.steps.last().unwrap().step, TestStepKind::Bind, "{report:?}");
    company.sign_in("alice").await;
    // Settings of another kind are not this provider's.
    let github =
        json!({ "config": { "kind": "github", "url": "https://github.com", "client_id": "x" } });
    company.admin.patch(&company.provider_path(), github).await.problem(422, "invalid_input");
}

#[tokio::test]
async fn secrets_are_written_and_never_read() {
    let company = Company::start().await;
    company.sign_in("alice").await;
    let shown = company.admin.get(&company.provider_path()).await.expect(200);
    assert_no_secret(&shown.text, &[LDAP_SERVICE.1, THEIRS]);
    let audit = company.admin.get("/v1/audit?limit=1000").await.expect(200);
    assert_no_secret(&audit.text, &[LDAP_SERVICE.1, THEIRS]);
    let dump = company.server.database().dump().await;
    assert_no_secret(&dump, &[LDAP_SERVICE.1, THEIRS]);
    assert_no_secret(&company.server.log(), &[LDAP_SERVICE.1, THEIRS]);
}

#[tokio::test]
async fn a_search_shows_who_answers_and_waits_for_nobody() {
    let company = Company::start().await;
    let second = people().await;
    let other = connect(&company.admin, &second, "Second", "alice").await;
    company.server.user("alicia").await;
    second.freeze();
    let began = std::time::Instant::now();
    let path = |q: &str, place: &str| format!("/v1/principals?q={q}&provider_id={place}");
    let here = company.admin.get(&path("ali", &company.provider.id.to_string())).await.expect(200);
    let here: PrincipalSearch = here.json();
    assert!(began.elapsed() < std::time::Duration::from_secs(2));
    assert_eq!(here.items[0].login.as_deref(), Some("alice"));
    assert_eq!(here.providers[0].state, SearchState::Ok);
    let all: PrincipalSearch = company.admin.get("/v1/principals?q=ali").await.expect(200).json();
    let states: Vec<_> = all.providers.iter().map(|one| (one.name.as_str(), one.state)).collect();
    assert!(states.contains(&("Example Corp", SearchState::Ok)), "{states:?}");
    let slow = states.iter().find(|(name, _)| *name == "Second").unwrap().1;
    assert!(matches!(slow, SearchState::Slow | SearchState::Failed), "{states:?}");
    let logins: Vec<_> = all.items.iter().filter_map(|one| one.login.as_deref()).collect();
    assert!(logins.contains(&"alicia") && logins.contains(&"alice"), "{logins:?}");
    second.go_on();
    let short: PrincipalSearch =
        company.admin.get(&path("al", &other.id.to_string())).await.expect(200).json();
    assert_eq!(short.providers[0].state, SearchState::TooShort);
    // Groups that nobody here is in are found, too.
    second.add_group("auditors", &[&user_dn("carol")]);
    let found = company.admin.get(&path("audit", &other.id.to_string())).await.expect(200);
    assert_eq!(found.json::<PrincipalSearch>().items[0].name, "auditors");
    // Not for everybody: it shows the company's people.
    let carol = company.sign_in("carol").await;
    carol.get("/v1/principals?q=ali").await.problem(403, "forbidden");
    // What is searched for is no filter.
    let odd: PrincipalSearch =
        company.admin.get("/v1/principals?q=%2A%29%28uid%3D%2A").await.expect(200).json();
    assert!(odd.items.is_empty(), "{odd:?}");
}

#[tokio::test]
async fn an_administrator_makes_two_accounts_of_a_person_one() {
    let company = Company::start().await;
    let second = people().await;
    let other = connect(&company.admin, &second, "Second", "alice").await;
    company.give_group("platform", Role::Member).await;
    let first = company.sign_in("alice").await;
    let client = company.server.client();
    let answer = try_sign_in(&client, other.id, "alice", THEIRS).await.expect(200);
    let there = company.opened(answer);
    // The same name, the same mail address, and two accounts.
    let (one, two) = (company.user("alice").await, company.user("alice-2").await);
    assert_ne!(one.id, two.id);
    assert_eq!(one.email, two.email);
    let environment = format!("/v1/environments/{}", company.environment);
    there.get(&environment).await.problem(404, "not_found");
    let (_, key) = company.server.key(&there, None, None).await;

    let path = format!("/v1/users/{}/link", one.id);
    let linked: User =
        company.admin.post(&path, json!({ "user_id": two.id })).await.expect(200).json();
    assert_eq!(linked.identities.len(), 2);
    first.get("/v1/session").await.problem(401, "unauthenticated");
    let answer = try_sign_in(&client, other.id, "alice", THEIRS).await.expect(200);
    let there = company.opened(answer);
    let seen = there.get("/v1/session").await.expect(200).value();
    assert_eq!(seen["user"]["id"], one.id.to_string());
    there.get(&environment).await.expect(200);
    // What the other account had is hers: its key has the roles of both.
    key.get(&environment).await.expect(200);
    company.admin.get(&format!("/v1/users/{}", two.id)).await.problem(404, "not_found");
    // Two people of one directory are two people.
    company.sign_in("bob").await;
    let bob = company.user("bob").await;
    let both = json!({ "user_id": bob.id });
    company.admin.post(&path, both).await.problem(409, "two_accounts_at_provider");

    let unlink = format!("/v1/users/{}/identities/{}", one.id, other.id);
    company.admin.delete(&unlink).await.expect(204);
    there.get("/v1/session").await.problem(401, "unauthenticated");
    let answer = try_sign_in(&client, other.id, "alice", THEIRS).await.expect(200);
    let apart = company.opened(answer);
    apart.get(&environment).await.problem(404, "not_found");
    let actions = company.audit("user.link").await;
    let done = actions.iter().find(|entry| entry["outcome"] == "success").unwrap();
    assert_eq!(done["detail"]["linked"], "alice-2");
}

#[tokio::test]
async fn replicas_share_the_refresh_and_tell_each_other() {
    let company = Company::start().await;
    company.give_group("developers", Role::Member).await;
    let settings = company.server.environment();
    let key = settings.iter().rev().find(|(name, _)| *name == "DROVER_ENCRYPTION_KEY").unwrap().1;
    let second = TestServer::builder()
        .set("DATABASE_URL", company.server.database().url())
        .set("DROVER_ENCRYPTION_KEY", key)
        .start()
        .await;
    let client = second.client();
    let answer = try_sign_in(&client, company.provider.id, "bob", THEIRS).await.expect(200);
    let bob = company.opened(answer);
    let path = format!("/v1/environments/{}", company.environment);
    bob.get(&path).await.expect(200);
    company.slapd.delete(&group_dn("developers"));
    company.refresh().await;
    until_status(&bob, &path, 404).await;
}

#[tokio::test]
async fn a_sign_in_begins_a_new_session() {
    let company = Company::start().await;
    let planted = company.sign_in("carol").await;
    let before = planted.get("/v1/session").await.value()["user"]["login"].clone();
    assert_eq!(before, "carol");
    // The browser that has carol's session, signs in as alice: carol's id is of no use any more.
    let stolen = planted.clone();
    let body = json!({ "login": "alice", "password": THEIRS, "provider_id": company.provider.id });
    let answer = planted.post("/v1/session", body).await.expect(200);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let mut database = company.server.database().connect().await;
    let sessions: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.login = 'carol'",
    )
    .fetch_one(&mut database)
    .await
    .unwrap();
    assert_eq!(sessions, 0);
    drop(stolen);
}

#[tokio::test]
async fn providers_are_checked_named_once_and_deleted_with_what_they_brought() {
    let company = Company::start().await;
    let taken = json!({ "name": "example corp", "config": config(&company.slapd) });
    company.admin.post("/v1/identity-providers", taken).await.problem(409, "name_taken");
    let mut wrong = config(&company.slapd);
    wrong["servers"] = json!([]);
    wrong["user_base"] = "no dn".into();
    wrong["user_filter"] = "((".into();
    let wrong = json!({ "name": "", "config": wrong });
    let problem =
        company.admin.post("/v1/identity-providers", wrong).await.problem(422, "invalid_input");
    let fields: Vec<_> = problem.errors.iter().map(|error| error.field.as_str()).collect();
    for field in ["name", "config.servers", "config.user_base", "config.user_filter"] {
        assert!(fields.contains(&field), "{field}: {fields:?}");
    }
    company.give_group("platform", Role::Member).await;
    let alice = company.sign_in("alice").await;
    let stale = ("if-match", "\"0\"");
    company
        .admin
        .send_with(reqwest::Method::PATCH, &company.provider_path(), stale, json!({}))
        .await
        .problem(412, "changed_meanwhile");
    company.admin.delete(&company.provider_path()).await.expect(204);
    alice.get("/v1/session").await.problem(401, "unauthenticated");
    let members = format!("/v1/environments/{}/members", company.environment);
    assert_eq!(company.admin.get(&members).await.value()["total"], 0);
    let user = company.user("alice").await;
    assert!(user.identities.is_empty() && !user.has_password);
}

#[tokio::test]
async fn an_answer_that_was_asked_for_under_old_rules_does_not_count() {
    let company = Company::start().await;
    let carol = company.sign_in("carol").await;
    // A refresh is under way while an administrator tightens the rules.
    company.slapd.freeze();
    let refresh = format!("{}/refresh", company.provider_path());
    company.admin.post(&refresh, json!({})).await.expect(202);
    let mut database = company.server.database().connect().await;
    eventually("the account is claimed", SOON, async || {
        let claimed: bool =
            sqlx::query_scalar("SELECT bool_and(checked_at > 'epoch') FROM identities")
                .fetch_one(&mut database)
                .await
                .unwrap();
        claimed.then_some(())
    })
    .await;
    company.change_provider(json!({ "access_mode": "required" })).await;
    carol.get("/v1/session").await.problem(401, "unauthenticated");
    company.slapd.go_on();
    company.refresh().await;
    carol.get("/v1/session").await.problem(401, "unauthenticated");
    assert_eq!(company.state_of("carol").await, IdentityState::Refused);
}

#[tokio::test]
async fn what_ids_mean_cannot_change_under_accounts() {
    let company = Company::start().await;
    let mut other = config(&company.slapd);
    other["id_attribute"] = "uid".into();
    // Nobody is known yet: the test has made nobody.
    company.change_provider(json!({ "config": other })).await;
    company.change_provider(json!({ "discard_draft": true })).await;
    company.sign_in("alice").await;
    let change = json!({ "config": other });
    company
        .admin
        .patch(&company.provider_path(), change)
        .await
        .problem(409, "identity_source_fixed");
}
