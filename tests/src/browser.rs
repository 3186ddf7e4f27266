//! Headless Chromium, through chromedriver.

use std::{path::PathBuf, time::Duration};

use fantoccini::{Client, ClientBuilder, Locator, elements::Element};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::setting;

/// How long a page may take to show something.
const PATIENCE: Duration = Duration::from_secs(20);

/// A browser with a profile of its own.
pub struct Browser {
    client: Client,
    driver: String,
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
        client.set_window_size(1440, 900).await.unwrap();
        Self { client, driver, _profile: profile }
    }

    /// The WebDriver client, for what has no short name here.
    pub fn driver(&self) -> &Client {
        &self.client
    }

    /// Opens an address.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Waits for what a CSS selector names.
    pub async fn find(&self, css: &str) -> Element {
        self.wait(Locator::Css(css), css).await
    }

    /// Waits for an element whose own text is this.
    pub async fn find_text(&self, text: &str) -> Element {
        assert!(!text.contains('"'), "XPath has no escapes");
        let path = format!("//*[text()[normalize-space()=\"{text}\"]]");
        self.wait(Locator::XPath(&path), text).await
    }

    async fn wait(&self, locator: Locator<'_>, what: &str) -> Element {
        match self.client.wait().at_most(PATIENCE).for_element(locator).await {
            Ok(element) => element,
            Err(error) => {
                let file = self.screenshot("missing").await;
                let url = self.client.current_url().await.map(String::from).unwrap_or_default();
                let log = self.console().await;
                panic!("{url} does not show {what}: {error}; {}; {log:?}", file.display())
            }
        }
    }

    /// Clicks on what a CSS selector names.
    pub async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap();
    }

    /// Clicks on the button or link with this text.
    pub async fn click_text(&self, text: &str) {
        self.find_text(text).await.click().await.unwrap();
    }

    /// Puts text into a field in place of what is there.
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Runs JavaScript; `return` gives back a value.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
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
        let session = self.client.session_id().await.unwrap().unwrap_or_default();
        let url = format!("{}/session/{session}/se/log", self.driver);
        let request = reqwest::Client::new().post(url).json(&json!({ "type": "browser" }));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
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
        self.client.close().await.unwrap();
    }
}
