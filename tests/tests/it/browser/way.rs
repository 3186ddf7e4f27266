//! The whole way: from the set-up link to an app that runs, is watched, upgraded, rolled back and
//! removed.

use std::time::{Duration, Instant};

use drover_tests::{Browser, Docker, PASSWORD, TestServer, eventually};

use super::{EXPECTED, SOON, account_menu, catalog};

const SECRET: &str = "kestrel-lantern-47";

/// The server with the test's catalog; what it makes in Docker ends with it.
struct Way {
    server: TestServer,
    docker: Docker,
    browser: Browser,
    port: u16,
}

impl Drop for Way {
    fn drop(&mut self) {
        // Else the server brings back what is removed.
        self.server.kill();
        self.docker.clean("io.drover.stack_name=team-notes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_way() {
    let docker = Docker::start().await;
    catalog::name_images(&docker);
    // What a run before this one, ended from outside, has left.
    docker.clean("io.drover.stack_name=team-notes");
    let apps = tempfile::TempDir::with_prefix("drover-catalog-").unwrap();
    let folder = apps.path().join("Acme apps");
    catalog::write(&folder);
    let server = TestServer::builder().docker().set("DROVER_CATALOG_DIR", folder).start().await;
    let browser = Browser::start().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let way = Way { server, docker, browser, port };

    way.set_up().await;
    way.overview().await;
    way.install_from_catalog().await;
    way.stack_runs().await;
    way.container_logs().await;
    way.container_shell().await;
    way.container_charts().await;
    way.container_details().await;
    way.upgrade().await;
    way.overview_again().await;
    way.roll_back().await;
    way.remove().await;
    // The browser reports the answer to the install with a mistake in it, too.
    way.browser.assert_no_errors(&[EXPECTED, &["422"]].concat()).await;
}

impl Way {
    /// The link that the server prints makes the first administrator, once.
    async fn set_up(&self) {
        let log = self.server.log();
        let link = log.split_whitespace().find(|word| word.contains("/setup#token=")).unwrap();
        let b = &self.browser;
        b.open(link).await;
        b.see("h1", "Set up").await;
        b.fill("input[name=login]", "ada").await;
        b.fill("input[name=display_name]", "Ada Lovelace").await;
        b.fill("input[name=password]", PASSWORD).await;
        b.fill("input[name=again]", PASSWORD).await;
        b.click_text("Create administrator").await;
        b.see("h1", "Default").await;
    }

    /// The Docker Engine of the machine is the first host of *Default*.
    async fn overview(&self) {
        let b = &self.browser;
        b.see("main", "Install your first app").await;
        b.click_text_in("//nav", "Hosts").await;
        b.see(".table-row", "local").await;
        b.see(".table-row", "Active").await;
        b.click_text_in("//nav", "Catalog").await;
    }

    /// Finds the app, reads about it, answers its questions, and installs it.
    async fn install_from_catalog(&self) {
        let b = &self.browser;
        // The built-in apps, and the one of the folder.
        b.see(".app", "WordPress").await;
        b.value("all icons", "return [...document.images].every(image => image.complete)").await;
        b.screenshot("catalog").await;
        b.fill("main input[type=search]", "history").await;
        b.gone(".app", "WordPress").await;
        b.see(".app", catalog::APP).await;
        b.click(".app").await;

        b.see("h1", catalog::APP).await;
        b.see("main", "Notes that a whole team writes").await;
        let version = b.field("Version").await;
        version.select_by_value("1.0.0").await.unwrap();
        b.fill("[name='answers.SITE_NAME']", "Engineering notes").await;
        b.fill("[name='answers.PORT']", &self.port.to_string()).await;
        let indexing = b.field("Search finds").await;
        indexing.select_by_value("all").await.unwrap();
        // A question that depends on another one.
        assert_eq!(b.count("[name='answers.MAIL_HOST']").await, 0);
        b.click_text("Send mail").await;
        b.fill("[name='answers.MAIL_HOST']", "mail.example.com").await;
        b.fill("[name='answers.STORE_PASSWORD']", SECRET).await;
        // What would be made, with the answers so far.
        b.see("main", &format!("{}:8080/tcp", self.port)).await;
        b.run("scrollTo(0, 0); document.querySelector('main').scrollTo(0, 0)").await;
        b.screenshot("install").await;
        // What is wrong is said at its field.
        b.fill("[name='answers.MAIL_HOST']", "not a host").await;
        b.click_text_in("//form", "Install").await;
        b.find("[name='answers.MAIL_HOST'][aria-invalid=true]").await;
        b.fill("[name='answers.MAIL_HOST']", "mail.example.com").await;
        b.click_text_in("//form", "Install").await;
    }

    /// The stack's page shows how far the install is, and then what runs.
    async fn stack_runs(&self) {
        let b = &self.browser;
        b.see("h1", "team-notes").await;
        b.find(".operation-line").await;
        self.is_settled().await;
        for service in ["web", "indexer", "store"] {
            b.see("tbody tr", service).await;
        }
        b.see("svg.picture", "store").await;
        assert_eq!(self.says().await, "version 1\n");
        b.screenshot("stack").await;
        b.click("#tab-containers").await;
        b.see(".table-row", "team-notes-store-1").await;
        b.see(".table-row", "team-notes-web-1").await;
        b.see(".table-row", "Healthy").await;
    }

    /// What the app answers on its port.
    async fn says(&self) -> String {
        let page = format!("http://127.0.0.1:{}/", self.port);
        let http = drover_tests::http_client().build().unwrap();
        eventually("the app answers", SOON, async || {
            http.get(&page).send().await.ok()?.text().await.ok()
        })
        .await
    }

    /// A line that the container writes after the page was opened appears on it.
    async fn container_logs(&self) {
        let b = &self.browser;
        b.click_row("team-notes-indexer-1").await;
        b.see("h1", "team-notes-indexer-1").await;
        b.see(".log", "indexed note").await;
        let newest = "const lines = [...document.querySelectorAll('.log-line')]
            .map(line => /indexed note (\\d+)/.exec(line.innerText)).filter(found => found);
            return lines.length ? Number(lines.at(-1)[1]) : 0";
        let first = b.run(newest).await.as_u64().unwrap();
        b.until("later lines of the log", async || {
            (b.run(newest).await.as_u64()? > first + 2).then_some(())
        })
        .await;
        // Colours are colours, not escapes.
        assert!(b.count(".log-line .ansi-32, .log-line [class*='ansi-32']").await > 0);
        assert!(!b.text(".log").await.contains('\u{1b}'));
        b.screenshot("logs").await;
        b.fill("main input[type=search]", "has no title").await;
        b.gone(".log-line", "indexed note").await;
    }

    /// A shell in the container, which knows the size of its window.
    async fn container_shell(&self) {
        let b = &self.browser;
        b.click("#tab-shell").await;
        b.find(".xterm-helper-textarea").await;
        b.see(".xterm-rows", "#").await;
        b.click(".terminal").await;
        b.keys("echo $((6 * 7))-is-it\n").await;
        b.see(".xterm-rows", "42-is-it").await;
        b.keys("ls -l / && ps\n").await;
        b.see(".xterm-rows", "PID").await;
        b.screenshot("shell").await;
        b.keys("echo size: $(stty size)\n").await;
        let size = "const found = /^size: (\\d+) (\\d+)/m.exec(
            [...document.querySelectorAll('.xterm-rows > div')].map(row => row.innerText).reverse().join('\\n'));
            return found && found[0]";
        let before = b.value("the size of the terminal", size).await;
        b.resize(1000, 700).await;
        b.until("another size of the terminal", async || {
            b.keys("echo size: $(stty size)\n").await;
            let now = b.run(size).await;
            (now.is_string() && now != before).then_some(())
        })
        .await;
        b.resize(1440, 900).await;
    }

    /// Charts get a point each second.
    async fn container_charts(&self) {
        let b = &self.browser;
        b.click("#tab-stats").await;
        let line = "return document.querySelector('.chart-line')?.getAttribute('d')";
        let start = Instant::now();
        let mut last = b.value("a line of a chart", line).await;
        for _ in 0..6 {
            last = b
                .until("the next point of a chart", async || {
                    let now = b.run(line).await;
                    (now.is_string() && now != last).then_some(now)
                })
                .await;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        assert!(b.count(".chart").await >= 4);
        b.screenshot("charts").await;
    }

    /// Its processes, and what it was made with; no secrets.
    async fn container_details(&self) {
        let b = &self.browser;
        b.click("#tab-processes").await;
        b.see("td", "sleep 1").await;
        b.click("#tab-inspect").await;
        b.see("main", "team-notes/indexer:1.0").await;
        b.see("main", "INDEXING").await;
        assert!(!b.text("body").await.contains(SECRET));
    }

    /// A newer version is offered, says what it changes, and keeps the answers.
    async fn upgrade(&self) {
        let b = &self.browser;
        b.click_text_in("//nav", "Stacks").await;
        b.see(".table-row", "Upgrade to 1.1.0").await;
        b.click_row("team-notes").await;
        b.click_text("Upgrade to 1.1.0").await;
        b.see(".diff-remove", "team-notes/web:1.0").await;
        b.see(".diff-add", "team-notes/web:1.1").await;
        b.see(".diff-add", "WELCOME").await;
        b.see("main, dialog", "A text that greets people.").await;
        b.screenshot("upgrade").await;
        b.click_text_in("//form//*[contains(@class, 'form-actions')]", "Upgrade").await;
        b.see("h1", "team-notes").await;
        b.see("tbody tr", "team-notes/web:1.1").await;
        self.settles("version 2\n").await;
        b.gone("main button, main a", "Upgrade to").await;
        assert!(!b.text("body").await.contains(SECRET));
    }

    /// Waits until the stack's page says that it runs, and the app answers this.
    async fn settles(&self, says: &str) {
        eventually(&format!("the app says {says:?}"), SOON * 3, async || {
            (self.says().await == says).then_some(())
        })
        .await;
        self.is_settled().await;
    }

    /// Waits until the stack's page shows all services as running, and nothing under way.
    async fn is_settled(&self) {
        let b = &self.browser;
        let settled = "const says = text => [...document.querySelectorAll('tbody tr')]
            .filter(row => row.innerText.includes(text)).length;
            return says('Running') === 3 && says('1 of 1') === 3
                && !document.querySelector('.operation-line')";
        b.value("a stack that has settled", settled).await;
        self.dismiss_messages().await;
    }

    /// Closes the short messages in the corner.
    async fn dismiss_messages(&self) {
        let b = &self.browser;
        b.until("no messages", async || {
            b.run("document.querySelectorAll('.toast button').forEach(one => one.click())").await;
            (b.count(".toast").await == 0).then_some(())
        })
        .await;
    }

    /// The environment's page with something in it, light and dark.
    async fn overview_again(&self) {
        let b = &self.browser;
        b.click_text_in("//nav", "Overview").await;
        b.see("main", "Running").await;
        b.see("main", "team-notes").await;
        b.value(
            "lines of charts",
            "return document.querySelector('.chart-line')?.getAttribute('d')",
        )
        .await;
        b.screenshot("overview").await;
        account_menu(b, "Dark").await;
        b.screenshot("overview-dark").await;
        account_menu(b, "Light").await;
        b.click_text_in("//nav", "Stacks").await;
        b.click_row("team-notes").await;
        b.see("h1", "team-notes").await;
    }

    /// Back to the revision before.
    async fn roll_back(&self) {
        let b = &self.browser;
        b.click("#tab-revisions").await;
        b.see("tbody tr", "1.1.0").await;
        b.click_text_in("//tbody", "Roll back").await;
        b.click_text_in("//dialog[@open]", "Roll back").await;
        b.click("#tab-services").await;
        b.see("tbody tr", "team-notes/web:1.0").await;
        self.settles("version 1\n").await;
        b.see("main button, main a", "Upgrade to 1.1.0").await;
    }

    /// Removal asks first, names what goes, and leaves nothing.
    async fn remove(&self) {
        let b = &self.browser;
        b.click("main button[aria-label=Actions]").await;
        b.click_text_in("//*[@role='menu']", "Remove with volumes").await;
        b.see("dialog[open] li", "team-notes").await;
        b.click_text_in("//dialog[@open]", "Cancel").await;
        b.see("h1", "team-notes").await;
        b.click("main button[aria-label=Actions]").await;
        b.click_text_in("//*[@role='menu']", "Remove with volumes").await;
        b.fill("dialog[open] input", "team-notes").await;
        b.click_text_in("//dialog[@open]", "Remove").await;
        b.see("main", "No stacks yet").await;
        let path = b.path().await;
        let label = format!("io.drover.environment={}", path.split('/').nth(2).unwrap());
        eventually("nothing is left", SOON, async || {
            self.docker.containers(&label).is_empty().then_some(())
        })
        .await;
        let filter = format!("label={label}");
        assert_eq!(self.docker.run(&["volume", "ls", "--quiet", "--filter", &filter]), "");
    }
}
