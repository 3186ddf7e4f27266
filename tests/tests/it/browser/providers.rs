//! The whole way through each kind of provider, in the browser: an administrator connects it, tests
//! it, switches it on and gives one of its groups a role; then somebody else comes in by a link.

use drover_api::{Provider, Role};
use drover_tests::{
    Browser, Client, FakeGithub, GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET, OpenidPerson,
    OpenidProvider, OpenidSettings, Samba, TestServer,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    account_menu, page,
    sign_in::{admin_at, fill_in, pick},
};
use crate::auth::company::{self, Company, THEIRS};

/// What the browser reports as on all pages, and of the providers' own, which have no icon.
const THERE: &[&str] = &["/v1/session", "/v1/setup", "/favicon.ico"];
/// The same when what somebody had ends under their eyes.
const ENDED: &[&str] = &["/v1/session", "/v1/setup", "401", "403", "404"];

async fn server() -> (TestServer, Client, Uuid) {
    let server = TestServer::builder().public().start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    (server, admin, environment)
}

/// Somebody's own browser, which a link has led to a page.
async fn led_to(server: &TestServer, path: &str) -> Browser {
    let browser = Browser::start().await;
    browser.open(&format!("{}{path}", server.base())).await;
    browser.find("input[name=login]").await;
    browser
}

/// The only provider that there is.
async fn provider(admin: &Client) -> Provider {
    let list: drover_api::List<Provider> =
        admin.get("/v1/identity-providers").await.expect(200).json();
    list.items.into_iter().next().unwrap()
}

/// Switches on what has just been tested.
async fn switch_on(b: &Browser) {
    b.click_text_in("//header", "Switch on").await;
    b.see("header .badge", "On").await;
}

/// Gives a group a role, as an administrator does.
async fn give_role(b: &Browser, server: &TestServer, environment: Uuid, group: &str, role: &str) {
    b.open(&format!("{}{}", server.base(), page(environment, "/members"))).await;
    b.click_text_in("//main", "Add member").await;
    b.fill("dialog input[type=search]", group).await;
    pick(b, group).await;
    b.click_text_in("//dialog", role).await;
    b.click_text_in("//dialog", "Add member").await;
    b.see("[role=row]", group).await;
}

/// Shows the top of the page again.
async fn to_top(b: &Browser) {
    b.run("scrollTo(0, 0); document.querySelector('main').scrollTo(0, 0)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_an_active_directory() {
    let samba = Samba::new();
    let [login, team, unit] = ["grace", "platform", "engineering"].map(|word| samba.name(word));
    let dn = samba.add_user(&login, "Passw0rd-of-grace");
    let team_dn = samba.add_group(&team, &[&dn]);
    samba.add_group(&unit, &[&team_dn]);
    let (server, admin, environment) = server().await;
    let browser = admin_at(&server, "/admin/sign-in").await;
    let b = &browser;
    b.click_text_in("//main", "Add provider").await;
    b.see("main", "Where are your people").await;
    b.screenshot("sign-in-kinds").await;
    b.click_text_in("//main", "Active Directory").await;
    b.see("h1", "Active Directory").await;
    b.run("document.querySelectorAll('details.more').forEach(one => one.open = true)").await;
    fill_in(b, &[("Certificate authority", &samba.ca())]).await;
    b.run("document.querySelectorAll('details.more').forEach(one => one.open = false)").await;
    let fields = [
        ("Name", "Example Corp"),
        ("Servers", &samba.address),
        ("Service account", "EXAMPLE\\Administrator"),
        ("Domain (DNS name)", Samba::DNS_DOMAIN),
        ("Domain (NetBIOS name)", Samba::DOMAIN),
        ("Password of the service account", &samba.password),
        ("Where people are", Samba::BASE),
    ];
    fill_in(b, &fields).await;
    to_top(b).await;
    b.screenshot("sign-in-active-directory").await;
    b.click_text_in("//form", "Add provider").await;
    b.see("h1", "Example Corp").await;
    b.click_text_in("//*[@role='tablist']", "Test").await;
    fill_in(b, &[("Login", &login), ("Password", "Passw0rd-of-grace")]).await;
    b.click_text("Test sign-in").await;
    b.see(".notice", "The sign-in worked.").await;
    // Through the team.
    b.see("main .line-list", &unit).await;
    switch_on(b).await;
    give_role(b, &server, environment, &unit, "Read-only").await;
    b.assert_no_errors(THERE).await;

    let wanted = page(environment, "/stacks");
    let theirs = led_to(&server, &wanted).await;
    let g = &theirs;
    let typed = format!("EXAMPLE\\{login}");
    fill_in(g, &[("Login", &typed), ("Password", "Passw0rd-of-grace")]).await;
    g.click("button[type=submit]").await;
    g.see("h1", "Stacks").await;
    assert_eq!(g.path().await, wanted);
    g.see(".picker", "Default").await;
    g.see(".account", &format!("{login} Example")).await;
    // Read-only: nothing to write with.
    assert_eq!(g.count("main a[href$='/stacks/new']").await, 0);

    // Disabled there: what is open ends, and the page says so the next time.
    samba.replace(&dn, "userAccountControl", &["514"]);
    company::refresh(&admin, provider(&admin).await.id).await;
    g.see("main", "Your session has ended").await;
    fill_in(g, &[("Login", &login), ("Password", "Passw0rd-of-grace")]).await;
    g.click("button[type=submit]").await;
    g.see("form", "The account is disabled in the directory").await;
    g.assert_no_errors(ENDED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_github() {
    let github = FakeGithub::start().await;
    let [ada, grace] = ["ada-lovelace", "grace-hopper"].map(|login| github.add_user(login));
    github.add_user("stranger");
    let example = github.add_organisation("example");
    let team = github.add_team(example, "Platform", None);
    github.join_team(ada, team);
    github.join_team(grace, team);
    let (server, admin, environment) = server().await;
    let browser = admin_at(&server, "/admin/sign-in/new?kind=github").await;
    let b = &browser;
    b.see("h1", "GitHub").await;
    let fields = [
        ("Address", github.url()),
        ("Client id", GITHUB_CLIENT_ID),
        ("Client secret", GITHUB_CLIENT_SECRET),
    ];
    fill_in(b, &fields).await;
    b.click_text_in("//form", "Add provider").await;
    b.see("main", "Next: test it").await;
    // The address to enter at GitHub stands on the page.
    let callback = provider(&admin).await.callback_url.unwrap();
    b.see("main", &callback).await;
    b.screenshot("sign-in-github").await;
    github.set_callback(&callback);

    b.click_text_in("//*[@role='tablist']", "Test").await;
    b.click_text("Test sign-in").await;
    b.click("#as-ada-lovelace").await;
    b.see(".notice", "The sign-in worked.").await;
    b.see("main .line-list", "example / Platform").await;
    assert!(b.path().await.ends_with("?tab=test"), "{}", b.path().await);
    b.screenshot("sign-in-github-test").await;
    b.click_text_in("//*[@role='tablist']", "Access").await;
    b.see("main", "Members, and who is listed").await;
    switch_on(b).await;
    b.see("main [role=option]", "example / Platform").await;
    b.screenshot("sign-in-access").await;
    // Nobody has signed in yet, and the team of the one who tested is known.
    give_role(b, &server, environment, "example / Platform", "Member").await;
    b.assert_no_errors(THERE).await;

    let wanted = page(environment, "/stacks?q=web");
    let theirs = led_to(&server, &wanted).await;
    let g = &theirs;
    g.see("main", "Continue with GitHub").await;
    g.click_text("Continue with GitHub").await;
    g.click("#cancel").await;
    g.see("[role=alert]", "Signing in with GitHub did not work").await;
    g.see("[role=alert]", "cancelled").await;
    g.screenshot("sign-in-failed").await;
    g.click_text("Continue with GitHub").await;
    // Who is in no group with a role stays out, and is told why.
    g.click("#as-stranger").await;
    g.see("[role=alert]", "Nobody has let this account in yet").await;
    // What was wanted is not forgotten.
    g.click_text("Continue with GitHub").await;
    g.click("#as-grace-hopper").await;
    g.see("h1", "Stacks").await;
    assert_eq!(g.path().await, wanted);
    g.see(".account", "grace-hopper of GitHub").await;
    g.find("main a[href$='/stacks/new']").await;
    // A member manages no members.
    g.click_text_in("//nav", "Members").await;
    g.see("[role=row]", "example / Platform").await;
    assert_eq!(g.count("main header .btn-primary").await, 0);

    // Out of the team, out of Drover.
    github.leave_team(grace, team);
    company::refresh(&admin, provider(&admin).await.id).await;
    g.see("main", "Your session has ended").await;
    g.assert_no_errors(ENDED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_openid() {
    let mut openid = OpenidProvider::start(OpenidSettings {
        people: vec![
            OpenidPerson::new("ada", &["administrators"]),
            OpenidPerson::new("grace", &["platform-team", "readers"]),
        ],
        ..OpenidSettings::default()
    })
    .await;
    let (server, admin, environment) = server().await;
    let other = server.environment_named("Staging").await.id;
    let browser = admin_at(&server, "/admin/sign-in/new?kind=openid&preset=generic").await;
    let b = &browser;
    b.find("form").await;
    let fields = [
        ("Name", "Example Login"),
        ("Issuer", openid.issuer()),
        ("Client id", OpenidProvider::CLIENT_ID),
        ("Client secret", OpenidProvider::CLIENT_SECRET),
    ];
    fill_in(b, &fields).await;
    b.run("document.querySelector('details.more').open = true").await;
    b.click_text_in("//form", "Sign out there too").await;
    to_top(b).await;
    b.screenshot("sign-in-openid").await;
    b.click_text_in("//form", "Add provider").await;
    b.see("main", "Next: test it").await;
    let made = provider(&admin).await;
    let (callback, logout) =
        (made.callback_url.clone().unwrap(), made.backchannel_logout_url.clone().unwrap());
    b.see("main", &callback).await;
    b.see("main", &logout).await;
    b.screenshot("sign-in-addresses").await;
    let back = format!("{}/sign-in", server.base());
    openid.set_client(&[&callback], &[&back], Some(&logout)).await;

    b.click_text_in("//*[@role='tablist']", "Test").await;
    b.click_text("Test sign-in").await;
    at_the_provider(b, "ada").await;
    b.see(".notice", "The sign-in worked.").await;
    b.see("main .line-list", "administrators").await;
    switch_on(b).await;
    // Groups that nobody has brought yet are named.
    b.open(&format!("{}{}", server.base(), page(environment, "/members"))).await;
    b.click_text_in("//main", "Add member").await;
    b.fill("dialog input[type=search]", "platform-team").await;
    b.click_text_in("//dialog", "Use the group “platform-team”").await;
    b.screenshot("sign-in-use-group").await;
    b.click_text_in("//dialog", "Owner").await;
    b.click_text_in("//dialog", "Add member").await;
    b.see("[role=row]", "Example Login · OpenID").await;
    let readers = format!("openid_group://{}/readers", made.id);
    company::set_member(&admin, other, &readers, Role::Readonly).await;
    b.assert_no_errors(THERE).await;

    let wanted = page(environment, "/members?tab=people");
    let theirs = led_to(&server, "/sign-in").await;
    let g = &theirs;
    g.see("main", "Continue with Example Login").await;
    g.screenshot("sign-in-buttons").await;
    g.open(&format!("{}{wanted}", server.base())).await;
    g.click_text("Continue with Example Login").await;
    at_the_provider(g, "grace").await;
    g.see("[role=row]", "Owner through group platform-team").await;
    assert_eq!(g.path().await, wanted);
    g.find("main header .btn-primary").await;

    // Out of one of the groups: its environment goes while the page is open, the other stays.
    openid.set_person(OpenidPerson::new("grace", &["readers"])).await;
    g.run("window.sameDocument = true").await;
    company::refresh(&admin, made.id).await;
    g.see("main", "There is no such page").await;
    g.see(".picker", "Staging").await;
    assert_eq!(g.run("return window.sameDocument").await, true);
    g.click(".picker").await;
    g.see("[role=menu]", "Staging").await;
    g.gone("[role=menu]", "Default").await;
    g.keys("\u{e00c}").await;

    // Signing out ends the session there, too: it asks for the password again.
    account_menu(g, "Sign out").await;
    g.click("button[name=logout]").await;
    g.find("input[name=login][autocomplete=username]").await;
    assert_eq!(g.path().await.split('?').next(), Some("/sign-in"));
    g.click_text("Continue with Example Login").await;
    at_the_provider(g, "grace").await;
    g.see("h1", "Staging").await;

    // Signed out there by somebody else, and out here at once.
    openid.sign_out("grace").await;
    g.see("main", "Your session has ended").await;
    g.assert_no_errors(ENDED).await;
}

/// Signs in on the page of the OpenID provider.
async fn at_the_provider(b: &Browser, login: &str) {
    b.find("button[value=sign-in]").await;
    b.fill("input[name=login]", login).await;
    b.fill("input[name=password]", &format!("password of {login} there")).await;
    b.click("button[name=answer][value=sign-in]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_an_ldap_directory() {
    let server = TestServer::builder().public().start().await;
    let company = Company::connected_to(server).await;
    let Company { server, slapd, admin, environment, .. } = &company;
    let other = server.environment_named("Staging").await.id;
    company.give_group("platform", Role::Member).await;
    let developers = company.find("developers", drover_api::PrincipalKind::Group).await;
    company::set_member(admin, other, &developers.id, Role::Readonly).await;

    let wanted = page(*environment, "/stacks");
    let theirs = led_to(server, "/sign-in").await;
    let g = &theirs;
    g.find(".segment").await;
    g.screenshot("sign-in-door").await;
    g.open(&format!("{}{wanted}", server.base())).await;
    fill_in(g, &[("Login", "bob"), ("Password", THEIRS)]).await;
    g.click("button[type=submit]").await;
    g.see("h1", "Stacks").await;
    assert_eq!(g.path().await, wanted);
    g.find("main a[href$='/stacks/new']").await;

    // A weaker role takes the button away, a group without one the page, and no reload brings it.
    g.run("window.sameDocument = true").await;
    company.give_group("platform", Role::Readonly).await;
    g.until("no button for a new stack", async || {
        (g.count("main a[href$='/stacks/new']").await == 0).then_some(())
    })
    .await;
    let alice = drover_tests::user_dn("alice");
    slapd.replace(&drover_tests::group_dn("platform"), "member", &[&alice]);
    company.refresh().await;
    g.see("main", "There is no such page").await;
    g.see(".picker", "Staging").await;
    assert_eq!(g.run("return window.sameDocument").await, true);
    // The API, asked from the page, says the same.
    let asked =
        format!("return fetch('/v1/environments/{environment}').then(answer => answer.status)");
    assert_eq!(g.run(&asked).await, json!(404));
    g.assert_no_errors(ENDED).await;
}
