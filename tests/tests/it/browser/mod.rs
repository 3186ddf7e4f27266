//! The browser app in Chromium, against the real server.

mod catalog;
mod editor;
mod hosts;
mod kubernetes;
mod live;
mod providers;
mod session;
mod sign_in;
mod swarm;
mod way;

use std::time::Duration;

use drover_tests::{ADMIN, Browser, PASSWORD, TestServer, eventually};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(20);

/// What the browser itself reports of answers that the pages expect: nobody is signed in, the
/// server is away.
const EXPECTED: &[&str] = &["/v1/session", "/v1/setup"];

/// Fills in the sign-in form.
async fn sign_in(browser: &Browser, login: &str) {
    browser.fill("input[name=login]", login).await;
    browser.fill("input[name=password]", PASSWORD).await;
    browser.click("button[type=submit]").await;
}

/// A browser in which the administrator has opened an environment's page.
async fn signed_in(server: &TestServer, environment: Uuid, rest: &str) -> Browser {
    server.admin().await;
    signed_in_as(server, ADMIN, environment, rest).await
}

async fn signed_in_as(server: &TestServer, login: &str, environment: Uuid, rest: &str) -> Browser {
    let browser = Browser::start().await;
    browser.open(&format!("{}{}", server.base(), page(environment, rest))).await;
    sign_in(&browser, login).await;
    browser.find(".nav").await;
    browser
}

/// The address of an environment's page.
fn page(environment: Uuid, rest: &str) -> String {
    format!("/environments/{environment}{rest}")
}

/// Chooses from the menu of the account.
async fn account_menu(browser: &Browser, item: &str) {
    browser.click("button.account").await;
    browser.click_text_in("//*[@role='menu']", item).await;
}

/// Waits until a server's first host is active.
async fn host_is_active(server: &TestServer, environment: Uuid) {
    let admin = server.admin().await;
    let path = format!("/v1/environments/{environment}/hosts");
    eventually("the host is active", SOON, async || {
        let hosts = admin.get(&path).await.expect(200).value();
        (hosts["items"][0]["state"] == "active").then_some(())
    })
    .await;
}
