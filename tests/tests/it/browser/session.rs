//! Signing in and out, what is kept over a reload, and what a role does not see.

use drover_api::Role;
use drover_tests::{Browser, PASSWORD, TestServer};

use super::{EXPECTED, account_menu, page, sign_in, signed_in, signed_in_as};

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_and_out() {
    let server = TestServer::start().await;
    let environment = server.default_environment().await.id;
    let browser = Browser::start().await;
    let b = &browser;
    b.open(&server.base()).await;
    b.fill("input[name=login]", "ada").await;
    b.fill("input[name=password]", "not the password").await;
    b.click("button[type=submit]").await;
    b.see("form", "password").await;
    let wrong =
        b.value("what is wrong", "return document.querySelector('form .notice')?.innerText");
    let wrong = wrong.await;
    assert!(wrong.as_str().unwrap().to_lowercase().contains("password"), "{wrong}");
    b.fill("input[name=password]", PASSWORD).await;
    b.click("button[type=submit]").await;
    b.see("h1", "Default").await;

    account_menu(b, "Sign out").await;
    b.find("input[name=login]").await;
    // The way back is closed.
    b.open(&format!("{}{}", server.base(), page(environment, "/stacks"))).await;
    b.find("input[name=password]").await;
    assert_eq!(b.count(".nav").await, 0);
    sign_in(b, "ada").await;
    b.see("h1", "Stacks").await;

    // The session ends elsewhere: the page says so at the next step, and leads back to where one
    // was.
    server.admin().await.delete("/v1/session/all").await.expect(204);
    b.click_text_in("//nav", "Members").await;
    b.see("main", "Your session has ended").await;
    sign_in(b, "ada").await;
    b.see("h1", "Members").await;
    assert_eq!(b.path().await, page(environment, "/members"));
    let expected = [EXPECTED, &["401"]].concat();
    b.assert_no_errors(&expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn language_and_theme_stay() {
    let server = TestServer::start().await;
    let environment = server.default_environment().await.id;
    let browser = signed_in(&server, environment, "/stacks").await;
    let b = &browser;
    b.see("h1", "Stacks").await;
    account_menu(b, "简体中文").await;
    b.see("h1", "应用栈").await;
    account_menu(b, "深色").await;
    let ground = "return getComputedStyle(document.body).backgroundColor";
    let dark = b.run(ground).await;
    b.reload().await;
    b.see("h1", "应用栈").await;
    assert_eq!(b.run("return document.documentElement.lang").await, "zh-CN");
    assert_eq!(b.run("return document.documentElement.dataset.theme").await, "dark");
    assert_eq!(b.run(ground).await, dark);
    account_menu(b, "浅色").await;
    assert_ne!(b.run(ground).await, dark);
    account_menu(b, "English").await;
    b.see("h1", "Stacks").await;
    b.assert_no_errors(EXPECTED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_no_buttons_that_write() {
    let server = TestServer::start().await;
    let environment = server.default_environment().await.id;
    server.member("rita", environment, Role::Readonly).await;
    let browser = signed_in_as(&server, "rita", environment, "").await;
    let b = &browser;
    b.see("h1", "Default").await;
    assert_eq!(b.count(".nav a[href^='/admin']").await, 0);
    let sections = ["Stacks", "Containers", "Hosts", "Secrets & registries", "Members"];
    for section in sections {
        b.click_text_in("//nav", section).await;
        b.see("h1", section).await;
        b.until(&format!("{section}, loaded"), async || {
            (b.count("main .skeleton").await == 0).then_some(())
        })
        .await;
        let offered = "return [...document.querySelectorAll(
                'main button:not(:disabled), main a.btn, main [contenteditable=true]')]
            .filter(one => one.checkVisibility())
            .map(one => one.innerText.trim() || one.ariaLabel)
            .filter(text => /^(new|add|create|edit|save|delete|remove|install|deactivate|prune)/i.test(text))
            .join(', ')";
        assert_eq!(b.run(offered).await, "", "{section}");
    }
    b.click_text_in("//nav", "Settings").await;
    b.see("main", "Your role does not allow this").await;
    // An app's page shows what it is, and cannot be sent.
    b.click_text_in("//nav", "Catalog").await;
    b.click(".app").await;
    b.find("form button[type=submit]:disabled").await;
    b.assert_no_errors(EXPECTED).await;
}
