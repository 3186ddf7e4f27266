//! A swarm of three hosts: made on the page, with an app of the catalog on it, which is scaled.

use std::time::Duration;

use drover_api::{ClusterKind, CreateEnvironment, Environment, Host, HostState, List, SwarmTask};
use drover_tests::{Browser, Client, Lan, TestServer, eventually};
use serde_json::json;
use uuid::Uuid;

use super::{EXPECTED, SOON, account_menu, catalog, signed_in};

const LATER: Duration = Duration::from_secs(120);

/// A server with an environment for a swarm, and three hosts in it.
struct Three {
    // Ends first, so that it does not see its hosts go.
    server: TestServer,
    lan: Lan,
    admin: Client,
    environment: Uuid,
    _apps: tempfile::TempDir,
}

impl Three {
    async fn start() -> Self {
        let lan = Lan::start(3).await;
        for host in lan.hosts() {
            catalog::name_images(&host.docker());
        }
        let apps = tempfile::TempDir::with_prefix("drover-catalog-").unwrap();
        let folder = apps.path().join("Acme apps");
        catalog::write(&folder);
        let server = TestServer::builder().set("DROVER_CATALOG_DIR", folder).start().await;
        let admin = server.admin().await;
        let new = CreateEnvironment {
            name: "Fleet".into(),
            cluster_kind: ClusterKind::Swarm,
            ..CreateEnvironment::default()
        };
        let made: Environment = admin.post("/v1/environments", new).await.expect(201).json();
        let three = Self { server, lan, admin, environment: made.id, _apps: apps };
        for host in three.lan.hosts() {
            let endpoint = json!({ "kind": "socket", "path": host.socket() });
            let new = json!({ "name": host.name(), "endpoint": endpoint });
            three.admin.post(&three.path("hosts"), new).await.expect(201);
        }
        eventually("the hosts are active", SOON, async || {
            let list: List<Host> = three.admin.get(&three.path("hosts")).await.expect(200).json();
            list.items.iter().all(|host| host.state == HostState::Active).then_some(())
        })
        .await;
        three
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/environments/{}/{rest}", self.environment)
    }

    /// How many tasks of a service run, and on how many nodes.
    async fn running(&self, service: &str) -> (usize, usize) {
        let list: List<SwarmTask> =
            self.admin.get(&self.path("swarm/tasks?limit=1000")).await.expect(200).json();
        let mine = list.items.iter().filter(|task| {
            task.service_name.ends_with(service) && task.state == "running" && task.current
        });
        let nodes: Vec<_> = mine.map(|task| task.node_id.clone()).collect();
        let different: std::collections::BTreeSet<_> = nodes.iter().collect();
        (nodes.len(), different.len())
    }
}

/// How many marks of running tasks of a service the map shows, and on how many nodes.
async fn marks(b: &Browser, service: &str) -> (u64, u64) {
    let script = format!(
        "const marks = [...document.querySelectorAll('.mark-ok')]
             .filter(mark => mark.title.includes('{service}.'));
         return [marks.length, new Set(marks.map(mark => mark.closest('.map-node'))).size];"
    );
    let found = b.run(&script).await;
    (found[0].as_u64().unwrap_or_default(), found[1].as_u64().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_on_a_swarm_of_three_is_scaled() {
    let three = Three::start().await;
    let b = signed_in(&three.server, three.environment, "").await;

    // Three hosts: three managers are proposed. Engines cannot guess which address is meant, and
    // this kernel has no routing mesh.
    b.click_text_in("//nav", "Swarm").await;
    b.see("main", "Make a swarm of these hosts").await;
    b.see(".notice", "one of them may fail").await;
    for host in three.lan.hosts() {
        let field = format!("input[aria-label^='{}:']", host.name());
        b.fill(&field, &host.address().to_string()).await;
    }
    b.click_text("More options").await;
    let publish = b.field("Ports are published").await;
    publish.select_by_value("host").await.unwrap();
    let endpoint = b.field("Names resolve to").await;
    endpoint.select_by_value("dnsrr").await.unwrap();
    b.screenshot("swarm-make").await;
    b.click_text_in("//form", "Make swarm").await;
    b.see(".page-title .badge", "Active").await;
    for host in three.lan.hosts() {
        b.see(".map-node", host.name()).await;
    }
    b.see(".map-node", "Leader").await;

    // An app, by the same page as without a swarm.
    b.click_text_in("//nav", "Catalog").await;
    b.fill("main input[type=search]", "history").await;
    b.gone(".app", "WordPress").await;
    b.click(".app").await;
    b.see("h1", catalog::APP).await;
    let version = b.field("Version").await;
    version.select_by_value("1.0.0").await.unwrap();
    b.fill("[name='answers.SITE_NAME']", "Engineering notes").await;
    b.fill("[name='answers.STORE_PASSWORD']", "kestrel-lantern-47").await;
    b.click_text_in("//form", "Install").await;
    b.see("h1", "team-notes").await;
    eventually("the app runs", LATER, async || {
        let (web, indexer) = (three.running("web").await, three.running("indexer").await);
        (web.0 == 1 && indexer.0 == 1).then_some(())
    })
    .await;
    b.click_text_in("//nav", "Swarm").await;
    b.until("its tasks on the map", async || {
        (marks(&b, "indexer").await.0 == 1 && marks(&b, "web").await.0 == 1).then_some(())
    })
    .await;
    b.screenshot("swarm-map").await;

    // Scaled on the stack's page while another browser looks at the map.
    let other = signed_in(&three.server, three.environment, "/swarm").await;
    other.until("the map", async || (marks(&other, "indexer").await.0 == 1).then_some(())).await;
    b.click_text_in("//nav", "Stacks").await;
    b.click_row("team-notes").await;
    b.see("tbody tr", "indexer").await;
    for wanted in [2, 3] {
        let more = "const row = [...document.querySelectorAll('tbody tr')]
                .find(row => row.querySelector('a')?.textContent === 'indexer');
            const button = row?.querySelector('button[aria-label^=\"Scale +\"]');
            if (!button || button.disabled) return false;
            button.click(); return true";
        b.value("the button for one more", more).await;
        b.until(&format!("{wanted} of the indexer"), async || {
            (three.running("indexer").await.0 == wanted).then_some(())
        })
        .await;
        b.see("tbody tr", &format!("{wanted} of {wanted}")).await;
    }
    other
        .until("three tasks on three nodes", async || {
            (marks(&other, "indexer").await == (3, 3)).then_some(())
        })
        .await;
    assert_eq!(three.running("indexer").await, (3, 3));
    other.screenshot("swarm-map-scaled").await;

    // By keyboard: to a task, what it is, and its logs.
    other.run("document.querySelector('.map').focus()").await;
    other.keys("\u{e015}").await;
    other.value("a mark with the focus", "return document.activeElement.matches('.mark')").await;
    other.keys("\u{e014}").await;
    other.keys("\n").await;
    other.see(".map-chosen", "team-notes").await;
    let shown = "const mark = [...document.querySelectorAll('.mark-ok')]
        .find(mark => mark.title.includes('indexer.')); mark.click(); return true";
    other.value("a mark of the indexer", shown).await;
    other.see(".map-chosen h2", "indexer").await;
    other.click_text_in("//*[contains(@class, 'map-chosen')]", "Shell").await;
    other.see(".xterm-rows", "#").await;
    other.click(".terminal").await;
    other.keys("echo $((6 * 7))-is-it\n").await;
    other.see(".xterm-rows", "42-is-it").await;

    // The service's page: its tasks, and the log of all of them.
    b.click_text_in("//nav", "Swarm").await;
    b.click("#tab-services").await;
    b.see(".table-row", "indexer").await;
    b.screenshot("swarm-services").await;
    let row = "const row = [...document.querySelectorAll('.table-row')]
        .find(row => row.textContent.includes('indexer')); row?.click(); return !!row";
    b.value("the row of the indexer", row).await;
    b.see("h1", "indexer").await;
    b.see(".notice", "team-notes").await;
    b.see("tbody tr", "Running").await;
    b.screenshot("swarm-service").await;
    b.click("#tab-logs").await;
    b.see(".log", "indexed note").await;
    b.screenshot("swarm-logs").await;

    // A node is drained, and the map shows it empty.
    b.click_text_in("//nav", "Swarm").await;
    b.click("#tab-nodes").await;
    let last = three.lan.hosts()[2].name().to_owned();
    b.click_row(&last).await;
    b.see("h1", &last).await;
    b.click_text_in("//main", "Actions").await;
    b.click_text_in("//*[@role='menu']", "Drain").await;
    b.click_text_in("//dialog[@open]", "Drain").await;
    b.see("main", "Drained").await;
    b.click_text_in("//nav", "Swarm").await;
    b.see(".map-drained", &last).await;
    b.until("all tasks elsewhere", async || {
        let left = "return document.querySelectorAll('.map-drained .mark-ok').length";
        (b.run(left).await == 0 && marks(&b, "indexer").await.0 == 3).then_some(())
    })
    .await;
    account_menu(&b, "Dark").await;
    b.screenshot("swarm-map-dark").await;
    b.assert_no_errors(EXPECTED).await;
    other.assert_no_errors(EXPECTED).await;
}
