//! What people wait for in front of the browser: how soon a page shows a container's death, and how
//! soon and with how many bytes a new visitor gets the sign-in page.

use std::{
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;

use crate::{ADMIN, Browser, Docker, PASSWORD, TestServer, eventually};

/// Kills containers of a real engine, and takes the time until an open page shows each as exited;
/// in milliseconds.
pub async fn death_to_page(runs: usize) -> Vec<f64> {
    let docker = Docker::start().await;
    let server = TestServer::builder().docker().start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    let hosts = format!("/v1/environments/{environment}/hosts");
    eventually("the host is active", Duration::from_secs(20), async || {
        let hosts = admin.get(&hosts).await.expect(200).value();
        (hosts["items"][0]["state"] == "active").then_some(())
    })
    .await;
    let unique = Uuid::now_v7().simple().to_string();
    let label = format!("drover-bench={unique}");
    let browser = Browser::start().await;
    browser.open(&format!("{}/environments/{environment}/containers?q=death", server.base())).await;
    browser.fill("input[name=login]", ADMIN).await;
    browser.fill("input[name=password]", PASSWORD).await;
    browser.click("button[type=submit]").await;
    browser.find("main input[type=search]").await;

    let mut times = Vec::new();
    for n in 0..runs {
        let name = format!("death-{n}-{}", &unique[20..]);
        let image = "drover-test/sleep:1";
        let id = docker.run(&[
            "run",
            "--detach",
            "--network=none",
            "--label",
            &label,
            "--name",
            &name,
            image,
        ]);
        let pid = docker.run(&["inspect", "--format", "{{.State.Pid}}", &id]);
        // The page itself notes when the row changes: nothing is asked over and over.
        let watch = format!(
            "const says = text => [...document.querySelectorAll('.table-row')]
                .some(row => row.innerText.includes('{name}') && row.innerText.includes(text));
            if (!says('Running')) return false;
            window.died = null;
            const observer = new MutationObserver(() => {{
                if (says('Exited')) {{ window.died = Date.now(); observer.disconnect(); }}
            }});
            observer.observe(document.body, {{ childList: true, subtree: true, characterData: true }});
            return true"
        );
        browser.value("the container as running", &watch).await;
        let killed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        let shown = browser.value("the container as exited", "return window.died").await;
        times.push(shown.as_f64().unwrap() - killed.as_secs_f64() * 1000.0);
        docker.run(&["rm", &id]);
        browser.gone(".table-row", &name).await;
    }
    docker.clean(&label);
    browser.close().await;
    times
}

/// What a new visitor's browser fetches, and how long that takes.
#[derive(Debug)]
pub struct FirstLoad {
    /// Files, with the page itself.
    pub files: u64,
    /// Bytes of their bodies as they are sent.
    pub body_bytes: u64,
    /// The same with the headers.
    pub transfer_bytes: u64,
    /// Until the sign-in form takes what is typed, in milliseconds from the start of the
    /// navigation, for each fresh profile.
    pub interactive: Vec<f64>,
}

/// Notes when the form takes text: typed into, once it has been painted.
const NOTE_WHEN_READY: &str = "
    const observer = new MutationObserver(() => {
        const field = document.querySelector('input[name=login]');
        if (!field) return;
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(() => {
            field.focus();
            document.execCommand('insertText', false, 'ada');
            if (field.value === 'ada') window.readyAt = performance.now();
        }));
    });
    observer.observe(document, { childList: true, subtree: true });
";
const FETCHED: &str = "
    const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    const sum = name => all.reduce((sum, one) => sum + one[name], 0);
    return [all.length, sum('encodedBodySize'), sum('transferSize')]";

/// Opens the sign-in page in fresh profiles.
pub async fn first_load(runs: usize) -> FirstLoad {
    let server = TestServer::start().await;
    server.admin().await;
    let mut load = FirstLoad { files: 0, body_bytes: 0, transfer_bytes: 0, interactive: vec![] };
    for _ in 0..runs {
        let browser = Browser::start().await;
        browser.before_each_page(NOTE_WHEN_READY).await;
        browser.open(&server.base()).await;
        let ready = browser.value("a form that takes text", "return window.readyAt").await;
        load.interactive.push(ready.as_f64().unwrap());
        let fetched = browser.run(FETCHED).await;
        let number = |at: usize| fetched[at].as_f64().unwrap() as u64;
        load.files = load.files.max(number(0));
        load.body_bytes = load.body_bytes.max(number(1));
        load.transfer_bytes = load.transfer_bytes.max(number(2));
        browser.close().await;
    }
    load
}
