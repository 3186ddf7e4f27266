//! The pages of sign-in: what they say without a provider, with one that does not answer, and the
//! whole way of an administrator who connects a directory and gives one of its groups a role.

use drover_tests::{ADMIN, Browser, LDAP_SERVICE, LDAP_SUFFIX, PASSWORD, Slapd, TestServer};
use serde_json::json;

use super::{EXPECTED, account_menu, page, sign_in, signed_in};

const NEW_LDAP: &str = "/admin/sign-in/new?kind=ldap&preset=free_ipa";

/// A directory at an address where nobody listens.
fn dead_directory() -> serde_json::Value {
    json!({
        "name": "Example Corp",
        "secret": "service-password",
        "config": {
            "kind": "ldap",
            "servers": ["127.0.0.1:1"],
            "security": "ldaps",
            "connect_timeout_seconds": 2,
            "search_timeout_seconds": 2,
            "bind_dn": "cn=drover,dc=example,dc=com",
            "user_base": "ou=people,dc=example,dc=com",
            "user_object_class": "inetOrgPerson",
            "user_login_attribute": "uid",
            "user_name_attribute": "cn",
            "user_mail_attribute": "mail",
            "id_attribute": "entryUUID",
        },
    })
}

/// The administrator, at one of the pages of administration.
pub(super) async fn admin_at(server: &TestServer, path: &str) -> Browser {
    server.admin().await;
    let browser = Browser::start().await;
    browser.open(&format!("{}{path}", server.base())).await;
    sign_in(&browser, ADMIN).await;
    browser.find(".nav").await;
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn without_providers_there_is_only_login_and_password() {
    let server = TestServer::start().await;
    server.admin().await;
    let browser = Browser::start().await;
    let b = &browser;
    b.open(&format!("{}/sign-in", server.base())).await;
    b.find("input[name=password]").await;
    assert_eq!(b.count(".segments, select, .or, main a.btn").await, 0);
    // Nothing is sent without a password.
    b.fill("input[name=login]", ADMIN).await;
    b.find("button[type=submit]:disabled").await;
    b.keys("\u{e007}").await;
    b.fill("input[name=password]", PASSWORD).await;
    b.click("button[type=submit]").await;
    b.see("h1", "Default").await;
    b.assert_no_errors(EXPECTED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_wrong_at_a_provider_is_said_in_words() {
    let server = TestServer::start().await;
    server.admin().await;
    let browser = Browser::start().await;
    let b = &browser;
    let address = |error: &str| format!("{}/sign-in?error={error}&message=Call+me", server.base());
    b.open(&address("account_disabled")).await;
    b.see("[role=alert]", "Signing in did not work").await;
    b.see("[role=alert]", "The account is disabled").await;
    // Words in an address are anybody's: they are not shown.
    b.open(&address("made_up")).await;
    b.see("[role=alert]", "Try again.").await;
    assert!(!b.text("[role=alert]").await.contains("Call me"));
    b.assert_no_errors(EXPECTED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_said_at_their_fields() {
    let server = TestServer::start().await;
    let browser = admin_at(&server, "/admin/sign-in").await;
    let b = &browser;
    b.see("main", "Only local accounts so far").await;
    b.click_text_in("//main", "Add provider").await;
    b.click_text_in("//main", "FreeIPA").await;
    b.see("h1", "FreeIPA").await;
    assert!(b.path().await.ends_with(NEW_LDAP), "{}", b.path().await);
    // What FreeIPA's entries have is filled in.
    let object_class = b.field("Object class of people").await.prop("value").await.unwrap();
    assert_eq!(object_class.as_deref(), Some("posixAccount"));
    b.click_text_in("//form", "Add provider").await;
    let servers = b.field("Servers").await;
    b.until("the mistake at its field", async || {
        (servers.attr("aria-invalid").await.ok()? == Some("true".into())).then_some(())
    })
    .await;
    // What is folded away opens when something in it is wrong.
    assert_eq!(b.count("details.more[open]").await, 0);
    servers.send_keys("127.0.0.1:1").await.unwrap();
    for (label, value) in [
        ("Service account", "cn=drover,dc=example,dc=com"),
        ("Password of the service account", "service-password"),
        ("Where people are", "ou=people,dc=example,dc=com"),
    ] {
        b.field(label).await.send_keys(value).await.unwrap();
    }
    b.run("document.querySelectorAll('details.more').forEach(one => one.open = true)").await;
    let filter = b.field("Filter for people").await;
    filter.clear().await.unwrap();
    filter.send_keys("(uid=*").await.unwrap();
    b.run("document.querySelectorAll('details.more').forEach(one => one.open = false)").await;
    b.click_text_in("//form", "Add provider").await;
    b.find("details.more[open] [name='config.user_filter'][aria-invalid=true]").await;
    b.fill("[name='config.user_filter']", "(uid=*)").await;
    b.click_text_in("//form", "Add provider").await;
    b.see("h1", "FreeIPA").await;
    b.see("main", "Not tested").await;
    b.see("main", "Next: test it").await;
    b.assert_no_errors(&[EXPECTED, &["422"]].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_does_not_answer_cannot_be_switched_on() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let made = admin.post("/v1/identity-providers", &dead_directory()).await.expect(201).value();
    let path = format!("/admin/sign-in/{}", made["id"].as_str().unwrap());
    let browser = admin_at(&server, &path).await;
    let b = &browser;
    b.see("h1", "Example Corp").await;
    let on = "//header//button[contains(., 'Switch on')][@disabled]";
    b.until("a button that cannot be clicked", async || {
        b.driver().find(fantoccini::Locator::XPath(on)).await.ok()
    })
    .await;
    b.click_text_in("//*[@role='tablist']", "Test").await;
    b.see("main", "Not tested yet").await;
    b.click_text("Test connection only").await;
    b.see(".notice", "It stopped at: Connection").await;
    b.find(".checks [data-ok=false]").await;
    // The same with a person, who is then not asked for.
    b.fill("input[name=login]", "grace").await;
    b.fill("input[name=password]", PASSWORD).await;
    b.click_text("Test sign-in").await;
    b.value(
        "the password is gone",
        "return document.querySelector('input[name=password]').value === ''",
    )
    .await;
    b.find(".checks [data-ok=false]").await;
    b.until("it still cannot be switched on", async || {
        b.driver().find(fantoccini::Locator::XPath(on)).await.ok()
    })
    .await;
    let version =
        admin.get(&format!("/v1{}", path.replace("/admin/sign-in", "/identity-providers"))).await;
    assert_eq!(version.expect(200).value()["enabled"], false);

    // Deleting asks for the name first.
    b.click("header button[aria-haspopup=menu]").await;
    b.click_text_in("//*[@role='menu']", "Delete").await;
    b.find("dialog button[type=submit]:disabled").await;
    b.fill("dialog input", "Example Corp").await;
    b.click("dialog button[type=submit]").await;
    b.see("main", "Only local accounts so far").await;
    // The page may have asked once more for what is gone.
    b.assert_no_errors(&[EXPECTED, &["404"]].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_found_and_where_roles_come_from_is_said() {
    let server = TestServer::start().await;
    let environment = server.default_environment().await.id;
    server.user("grace").await;
    let browser = signed_in(&server, environment, "/members").await;
    let b = &browser;
    b.click_text_in("//main", "Add member").await;
    b.fill("dialog input[type=search]", "gra").await;
    b.see("dialog [role=option]", "grace").await;
    b.gone("dialog [role=option]", ADMIN).await;
    b.click("dialog [role=option]").await;
    b.find("dialog [role=option][aria-selected=true]").await;
    b.click_text_in("//dialog", "Add member").await;
    b.see("[role=row]", "grace").await;
    b.click_text_in("//*[@role='tablist']", "People with access").await;
    assert_eq!(b.path().await, page(environment, "/members?tab=people"));
    b.see("[role=row]", "Member, own membership").await;
    b.see("[role=row]", "Global administrator").await;
    b.assert_no_errors(EXPECTED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_accounts_become_one() {
    let server = TestServer::start().await;
    server.user("grace").await;
    server.user("hopper").await;
    let browser = admin_at(&server, "/admin/users").await;
    let b = &browser;
    b.see("[role=row]", "hopper").await;
    b.run(
        "[...document.querySelectorAll('[role=row][data-id]')]
            .find(row => row.innerText.includes('grace')).querySelector('.table-actions button').click()",
    )
    .await;
    b.click_text_in("//*[@role='menu']", "Link accounts…").await;
    b.see("dialog", "Link another account to grace").await;
    b.fill("dialog input[type=search]", "hopper").await;
    b.gone("dialog [role=option]", ADMIN).await;
    b.click("dialog [role=option]").await;
    b.see("dialog .going", "hopper").await;
    b.click("dialog button[type=submit]").await;
    b.gone("[role=row]", "hopper").await;
    b.see("[role=row]", "grace").await;
    b.assert_no_errors(EXPECTED).await;
}

/// Picks one of those that a search finds, once all have answered.
pub(super) async fn pick(b: &Browser, name: &str) {
    // Before the last letter is typed there are others.
    b.until("all answers", async || {
        let asking = b.count("dialog .pick-mark svg, dialog [role=option]").await;
        (asking > 0 && b.count("dialog .pick-mark svg").await == 0).then_some(())
    })
    .await;
    b.click_text_in("//dialog", name).await;
    b.find("dialog [role=option][aria-selected=true]").await;
}

/// Fills in fields by their labels.
pub(super) async fn fill_in(browser: &Browser, fields: &[(&str, &str)]) {
    for (label, text) in fields {
        let field = browser.field(label).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_the_directory_gets_a_role() {
    let slapd = Slapd::start().await;
    let grace = slapd.add_user("grace", "password-of-grace");
    let team = slapd.add_group("platform-team", &[&grace]);
    slapd.add_group("company", &[&team]);
    let server = TestServer::start().await;
    let environment = server.default_environment().await.id;
    let browser = admin_at(&server, "/admin/sign-in/new?kind=ldap&preset=open_ldap").await;
    let b = &browser;
    b.see("h1", "OpenLDAP").await;
    b.run("document.querySelectorAll('details.more').forEach(one => one.open = true)").await;
    let people = format!("ou=people,{LDAP_SUFFIX}");
    let groups = format!("ou=groups,{LDAP_SUFFIX}");
    let fields = [
        ("Name", "Example Corp"),
        ("Servers", &slapd.tls_server()),
        ("Certificate authority", &slapd.ca("ca")),
        ("Service account", LDAP_SERVICE.0),
        ("Password of the service account", LDAP_SERVICE.1),
        ("Where people are", &people),
        ("Where groups are", &groups),
    ];
    fill_in(b, &fields).await;
    b.run(
        "document.querySelectorAll('details.more').forEach(one => one.open = false);
         scrollTo(0, 0); document.querySelector('main').scrollTo(0, 0)",
    )
    .await;
    b.screenshot("sign-in-ldap").await;
    b.click_text_in("//form", "Add provider").await;
    b.see("h1", "Example Corp").await;

    // The wrong password first: the report says where it stops.
    b.click_text_in("//*[@role='tablist']", "Test").await;
    fill_in(b, &[("Login", "grace"), ("Password", "not the password")]).await;
    b.click_text("Test sign-in").await;
    b.see(".notice", "It stopped at: Check the password").await;
    fill_in(b, &[("Login", "grace"), ("Password", "password-of-grace")]).await;
    b.click_text("Test sign-in").await;
    b.see(".notice", "The sign-in worked.").await;
    b.see("main", &grace).await;
    b.see("main .line-list", "platform-team").await;
    b.see("main .line-list", "company").await;
    // Nobody of the directory has a role yet.
    b.see(".notice", "would not let this person in").await;
    b.see(".notice", "Ready to be switched on").await;
    b.screenshot("sign-in-test").await;
    b.click_text_in("//header", "Switch on").await;
    b.see("header .badge", "On").await;

    // The group gets a role, found by three letters.
    b.open(&format!("{}{}", server.base(), page(environment, "/members"))).await;
    b.click_text_in("//main", "Add member").await;
    b.fill("dialog input[type=search]", "pla").await;
    pick(b, "platform-team").await;
    b.screenshot("sign-in-add-member").await;
    b.click_text_in("//dialog", "Owner").await;
    b.click_text_in("//dialog", "Add member").await;
    b.see("[role=row]", "Example Corp · LDAP").await;

    // Everyone in it may sign in now, and the page says why.
    account_menu(b, "Sign out").await;
    b.find("input[name=login]").await;
    b.click_text_in("//fieldset", "Example Corp").await;
    fill_in(b, &[("Login", "grace"), ("Password", "password-of-grace")]).await;
    b.click("button[type=submit]").await;
    b.see("h1", "Members").await;
    b.click_text_in("//*[@role='tablist']", "People with access").await;
    b.see("[role=row]", "Owner through group platform-team, Example Corp · LDAP").await;
    b.gone(".toast", "is now a member").await;
    b.screenshot("sign-in-people").await;

    // The next time, the directory is chosen already.
    account_menu(b, "Sign out").await;
    b.find("input[name=login]").await;
    let chosen = "return document.querySelector('.segment:has(:checked)')?.innerText";
    assert_eq!(b.value("what is chosen", chosen).await, "Example Corp");

    // Who leaves the group is out, at the latest when somebody looks.
    slapd.replace(&team, "member", &["cn=nobody,dc=example,dc=test"]);
    b.click_text_in("//fieldset", "Local account").await;
    sign_in(b, ADMIN).await;
    b.find(".nav").await;
    b.open(&format!("{}/admin/users", server.base())).await;
    b.see("[role=row]", "grace").await;
    b.run(
        "[...document.querySelectorAll('[role=row][data-id]')]
            .find(row => row.innerText.includes('grace')).querySelector('.table-actions button').click()",
    )
    .await;
    b.click_text_in("//*[@role='menu']", "Sign-in and groups").await;
    b.see("dialog", "platform-team").await;
    b.click_text_in("//dialog", "Refresh groups").await;
    b.see("dialog .badge", "Refused").await;
    b.assert_no_errors(EXPECTED).await;
}
