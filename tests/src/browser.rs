//! Headless Chromium, through chromedriver. Everything waits until the page shows what is meant.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use fantoccini::{Client, ClientBuilder, Locator, elements::Element};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::setting;

/// How long a page may take to show something.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser with a profile of its own.
pub struct Browser {
    client: Client,
    driver: String,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// Opens one, 1440 × 900.
    pub async fn start() -> Self {
        let driver = setting("DROVER_TEST_WEBDRIVER");
        let profile = TempDir::with_prefix("drover-chromium-").unwrap();
        let capabilities = json!({
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--lang=en",
                "--window-size=1440,900", "--force-device-scale-factor=1",
                format!("--user-data-dir={}", profile.path().display()),
            ] },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("it is an object") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.into_iter().collect())
            .connect(&driver)
            .await
            .unwrap();
        let session = client.session_id().await.unwrap().unwrap_or_default();
        let browser = Self { client, driver, session, _profile: profile };
        browser.resize(1440, 900).await;
        browser
    }

    /// The WebDriver client, for what has no short name here.
    pub fn driver(&self) -> &Client {
        &self.client
    }

    /// Makes the page itself this large: the window has a frame around it.
    pub async fn resize(&self, width: u32, height: u32) {
        self.client.set_window_size(width, height).await.unwrap();
        let inner = self.run("return [innerWidth, innerHeight]").await;
        let missing = |of: usize, wanted: u32| {
            wanted.saturating_sub(inner[of].as_u64().unwrap_or_default() as u32)
        };
        let (more_width, more_height) = (missing(0, width), missing(1, height));
        if (more_width, more_height) != (0, 0) {
            let (width, height) = (width + more_width, height + more_height);
            self.client.set_window_size(width, height).await.unwrap();
        }
    }

    /// Opens an address.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Loads the page anew.
    pub async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// The page's path and query.
    pub async fn path(&self) -> String {
        let path = self.run("return location.pathname + location.search").await;
        path.as_str().unwrap_or_default().to_owned()
    }

    /// Tries until it gets something; panics with what the page shows when that takes too long.
    pub async fn until<T>(&self, what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            if start.elapsed() > PATIENCE {
                let file = self.screenshot("missing").await;
                let url = self.client.current_url().await.map(String::from).unwrap_or_default();
                let log = self.console().await;
                panic!("{url} does not show {what}; {}; {log:#?}", file.display())
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    /// Waits until JavaScript returns something that is not null, false, zero or empty.
    pub async fn value(&self, what: &str, script: &str) -> Value {
        self.until(what, async || self.ask(script, &[]).await).await
    }

    async fn ask(&self, script: &str, arguments: &[&str]) -> Option<Value> {
        let arguments = arguments.iter().map(|text| json!(text)).collect();
        // A page that is being left cannot answer.
        let value = self.client.execute(script, arguments).await.ok()?;
        let some = !matches!(&value, Value::Null | Value::Bool(false)) && value != 0 && value != "";
        some.then_some(value)
    }

    /// Waits for what a CSS selector names.
    pub async fn find(&self, css: &str) -> Element {
        self.until(css, async || self.client.find(Locator::Css(css)).await.ok()).await
    }

    /// Waits for the field with this label.
    pub async fn field(&self, label: &str) -> Element {
        let path = format!("//*[@id=//label[{}]/@for]", has_text(label));
        let what = format!("the field {label}");
        self.until(&what, async || self.client.find(Locator::XPath(&path)).await.ok()).await
    }

    /// Waits until something that a CSS selector names shows this text.
    pub async fn see(&self, css: &str, text: &str) {
        let script = "return [...document.querySelectorAll(arguments[0])].some(one =>
            one.checkVisibility() && one.textContent.includes(arguments[1]))";
        let what = format!("{text:?} in {css}");
        self.until(&what, async || self.ask(script, &[css, text]).await).await;
    }

    /// Waits until nothing that a CSS selector names shows this text any more.
    pub async fn gone(&self, css: &str, text: &str) {
        let script = "return ![...document.querySelectorAll(arguments[0])].some(one =>
            one.checkVisibility() && one.textContent.includes(arguments[1]))";
        let what = format!("no {text:?} in {css}");
        self.until(&what, async || self.ask(script, &[css, text]).await).await;
    }

    /// The text of all that a CSS selector names now.
    pub async fn text(&self, css: &str) -> String {
        let script = "return [...document.querySelectorAll(arguments[0])]
            .map(one => one.innerText).join('\\n')";
        let text = self.ask(script, &[css]).await.unwrap_or_default();
        text.as_str().unwrap_or_default().to_owned()
    }

    /// How many elements a CSS selector names now.
    pub async fn count(&self, css: &str) -> u64 {
        let script = "return document.querySelectorAll(arguments[0]).length";
        self.ask(script, &[css]).await.and_then(|count| count.as_u64()).unwrap_or_default()
    }

    /// Clicks on what a CSS selector names, as soon as that can be.
    pub async fn click(&self, css: &str) {
        self.press(Locator::Css(css), css).await;
    }

    /// Clicks on the button, link or label with this text, as soon as that can be.
    pub async fn click_text(&self, text: &str) {
        self.click_text_in("", text).await;
    }

    /// Clicks on the one inside of something else, which XPath names.
    pub async fn click_text_in(&self, path: &str, text: &str) {
        let path = format!(
            "{path}//*[self::button or self::a or self::label or self::summary][{}]",
            has_text(text)
        );
        self.press(Locator::XPath(&path), text).await;
    }

    /// Clicks on the row of a table that has this text.
    pub async fn click_row(&self, text: &str) {
        let path =
            format!("//*[@role='row'][@aria-rowindex]//*[text()[normalize-space()=\"{text}\"]]");
        self.press(Locator::XPath(&path), text).await;
    }

    async fn press(&self, locator: Locator<'_>, what: &str) {
        self.until(&format!("{what}, to click on"), async || {
            for element in self.client.find_all(locator).await.ok()? {
                let shown = element.is_displayed().await.unwrap_or(false);
                // Something may still lie over it: a message, a dialog that is closing.
                if shown
                    && element.is_enabled().await.unwrap_or(false)
                    && element.click().await.is_ok()
                {
                    return Some(());
                }
            }
            None
        })
        .await;
    }

    /// Puts text into a field in place of what is there.
    pub async fn fill(&self, css: &str, text: &str) {
        // The page may make the field anew meanwhile: then that one is filled.
        self.until(&format!("{css}, to fill"), async || {
            let field = self.find(css).await;
            field.clear().await.ok()?;
            field.send_keys(text).await.ok()
        })
        .await;
    }

    /// Types into what has the focus.
    pub async fn keys(&self, text: &str) {
        self.client.active_element().await.unwrap().send_keys(text).await.unwrap();
    }

    /// Runs JavaScript; `return` gives back a value.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Runs JavaScript at the start of each page that is opened from now on.
    pub async fn before_each_page(&self, script: &str) {
        let params = json!({ "source": script });
        let command = json!({ "cmd": "Page.addScriptToEvaluateOnNewDocument", "params": params });
        self.post("goog/cdp/execute", &command).await;
    }

    /// A command of chromedriver's own.
    async fn post(&self, command: &str, body: &Value) -> Value {
        let url = format!("{}/session/{}/{command}", self.driver, self.session);
        let request = crate::http_client().build().unwrap().post(url).json(body);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    /// Writes what the page shows into `DROVER_SCREENSHOTS` (default: `target/screenshots`).
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let folder = std::env::var_os("DROVER_SCREENSHOTS").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots"),
            PathBuf::from,
        );
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{name}.png"));
        std::fs::write(&file, self.client.screenshot().await.unwrap()).unwrap();
        file
    }

    /// What the browser's console has got since the last time, `LEVEL text`.
    pub async fn console(&self) -> Vec<String> {
        let answer = self.post("se/log", &json!({ "type": "browser" })).await;
        let entries = answer["value"].as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|entry| {
                let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
                format!("{} {}", text("level"), text("message"))
            })
            .collect()
    }

    /// The console must have no errors but those with one of these words in them.
    #[track_caller]
    pub fn assert_no_errors(&self, expected: &[&str]) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let unexpected = |line: &String| {
                line.starts_with("SEVERE") && !expected.iter().any(|word| line.contains(word))
            };
            let errors: Vec<_> = self.console().await.into_iter().filter(unexpected).collect();
            assert!(errors.is_empty(), "{caller}: the console has {errors:#?}");
        }
    }

    /// Closes it.
    pub async fn close(self) {
        self.client.clone().close().await.unwrap();
    }
}

impl Drop for Browser {
    /// A test that fails leaves no browser behind. Here is no runtime to wait with.
    fn drop(&mut self) {
        let address = self.driver.trim_start_matches("http://");
        let Ok(mut stream) = TcpStream::connect(address) else { return };
        let request = format!(
            "DELETE /session/{} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n",
            self.session
        );
        // It may be closed already.
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read(&mut [0; 64]);
    }
}

/// XPath: it, or something in it, has this text.
fn has_text(text: &str) -> String {
    assert!(!text.contains('"'), "XPath has no escapes");
    format!("descendant-or-self::*[text()[normalize-space()=\"{text}\"]]")
}
