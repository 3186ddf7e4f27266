//! A machine becomes a host by the command that the page shows.

use drover_api::{Host, HostState, List, RegistrationToken, RegistrationTokenState};
use drover_tests::{Lan, TestServer, eventually};

use super::{EXPECTED, SOON, account_menu, page, signed_in};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_added_by_the_pasted_command() {
    let lan = Lan::start(1).await;
    let server = TestServer::builder().listen(lan.address()).public().start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    let b = signed_in(&server, environment, "/hosts").await;
    b.click_text("Add host").await;
    b.see("h1", "Add host").await;
    // What is wrong is said at its field.
    b.fill("[name=most_hosts]", "0").await;
    b.click_text("Make the command").await;
    b.see(".field-error", "1 to 10,000").await;
    b.fill("[name=most_hosts]", "1").await;
    b.fill("[name=name]", "The one in the cellar").await;
    b.click_text("Add label").await;
    b.fill("[aria-label=Key]", "place").await;
    b.fill("[aria-label=Value]", "cellar").await;
    b.click_text("Make the command").await;
    b.see("main", "Waiting for the machine").await;
    let command = b.text(".command pre").await;
    assert!(command.starts_with("curl ") && !command.contains('\n'), "{command}");
    assert_eq!(b.count(".line-list li").await, 0);
    b.click_text("Docker").await;
    b.see(".command pre", "docker run").await;
    b.click_text("By hand").await;
    b.see(".command pre", "sha256sum --check").await;
    b.click_text("One line").await;
    b.screenshot("add-host").await;

    // Pasted as it is shown; who pastes it is root already.
    let host = &lan.hosts()[0];
    let said = host.run(&["sh", "-c", &command.replace("sudo ", "")]);
    b.see(".line-list li", host.name()).await;
    b.see(".line-list li", "Active").await;
    b.see("main", "1 host has come").await;
    // The token has brought as many as it may: nothing is waited for any more.
    b.gone("main", "Waiting for").await;
    b.screenshot("add-host-arrived").await;
    let path = format!("/v1/environments/{environment}/hosts");
    let list: List<Host> = admin.get(&path).await.expect(200).json();
    assert_eq!(list.items.len(), 1, "{said}");
    let known = &list.items[0];
    assert_eq!(known.state, HostState::Active);
    assert_eq!(known.labels.get("place").map(String::as_str), Some("cellar"));

    // Its page: what it is, its agent, what its machine does.
    b.click_text_in("//*[contains(@class, 'line-list')]", "Open").await;
    b.see("h1", host.name()).await;
    b.see("main", "Up to date").await;
    b.see(".tag", "cellar").await;
    b.value(
        "a point of a chart",
        "return document.querySelector('.chart-line')?.getAttribute('d')",
    )
    .await;
    b.screenshot("host").await;
    b.click("#tab-docker").await;
    b.see(".command pre", &format!("/docker/hosts/{}", known.id)).await;
    b.screenshot("host-docker").await;

    // The token is listed with what it has brought.
    b.open(&format!("{}{}", server.base(), page(environment, "/hosts/tokens"))).await;
    b.see(".table-row", "The one in the cellar").await;
    b.see(".table-row", "1 of 1").await;
    b.see(".table-row", "Used up").await;

    account_menu(&b, "Dark").await;
    b.click_text_in("//nav", "Hosts").await;
    b.see(".table-row", host.name()).await;
    b.screenshot("hosts-dark").await;
    // The page came without TLS, and not from this machine's own name.
    b.assert_no_errors(&[EXPECTED, &["Cross-Origin-Opener-Policy"]].concat()).await;
}

#[tokio::test]
async fn a_token_is_revoked() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    let path = format!("/v1/environments/{environment}/registration-tokens");
    let new = serde_json::json!({ "name": "leaked", "expires_in_hours": 1 });
    admin.post(&path, new).await.expect(201);
    let b = signed_in(&server, environment, "/hosts/tokens").await;
    b.see(".table-row", "Active").await;
    b.click(".table-row .table-actions button").await;
    b.click_text_in("//*[@role='menu']", "Revoke").await;
    b.see("dialog[open] li", "leaked").await;
    b.click_text_in("//dialog[@open]", "Revoke").await;
    b.see(".table-row", "Revoked").await;
    eventually("the token is revoked", SOON, async || {
        let list: List<RegistrationToken> = admin.get(&path).await.expect(200).json();
        (list.items[0].state == RegistrationTokenState::Revoked).then_some(())
    })
    .await;
    b.assert_no_errors(EXPECTED).await;
}

/// What a page's code comes in could not be fetched: the page says so, and tries again.
#[tokio::test]
async fn a_page_whose_code_does_not_come_says_so() {
    let server = TestServer::start().await;
    let environment = server.default_environment().await.id;
    let b = signed_in(&server, environment, "").await;
    b.see("h1", "Default").await;
    b.run(
        "const real = window.fetch;
         window.broken = true;
         window.fetch = (what, ...more) => window.broken && String(what).endsWith('.wasm')
             ? Promise.reject(new TypeError('broken by the test')) : real(what, ...more);",
    )
    .await;
    b.click_text_in("//nav", "Users").await;
    b.see(".problem", "A part of the app could not be loaded").await;
    b.run("window.broken = false").await;
    b.click_text_in("//*[contains(@class, 'problem')]", "Try again").await;
    b.see("h1", "Users").await;
    b.assert_no_errors(&[EXPECTED, &["broken by the test"]].concat()).await;
}
