//! Pages follow what happens on hosts; they say when they do not, and stay quick with many rows.

use drover_tests::{Browser, Docker, FakeDocker, TestServer, eventually};
use uuid::Uuid;

use super::{EXPECTED, SOON, host_is_active, page, sign_in, signed_in};

/// Containers that end with the test.
struct Containers(Docker, String);

impl Containers {
    async fn start() -> Self {
        Self(Docker::start().await, format!("drover-test={}", Uuid::now_v7().simple()))
    }

    fn run(&self, name: &str) -> String {
        let image = "drover-test/sleep:1";
        self.0.run(&["run", "-d", "--network=none", "--label", &self.1, "--name", name, image])
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        self.0.clean(&self.1);
    }
}

/// The state of a container's row.
async fn row_says(b: &Browser, name: &str, text: &str) {
    let script = format!(
        "const row = [...document.querySelectorAll('.table-row')]
            .find(row => row.innerText.includes('{name}'));
        return row && row.innerText.includes('{text}')"
    );
    b.value(&format!("{name} as {text}"), &script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_on_the_host_show_without_a_reload() {
    let containers = Containers::start().await;
    let mut server = TestServer::builder().docker().start().await;
    let environment = server.default_environment().await.id;
    host_is_active(&server, environment).await;
    let short = Uuid::new_v4().simple().to_string();
    let name = |of: &str| format!("{of}-{}", &short[..8]);
    let (first, second) = (name("first"), name("second"));
    containers.run(&first);
    let browser = signed_in(&server, environment, &format!("/containers?q={}", &short[..8])).await;
    let b = &browser;
    b.run("window.sameDocument = true").await;
    row_says(b, &first, "Running").await;
    containers.run(&second);
    row_says(b, &second, "Running").await;
    containers.0.run(&["kill", &first]);
    row_says(b, &first, "Exited").await;
    containers.0.run(&["rm", "-f", &first]);
    b.gone(".table-row", &first).await;

    // Without its server the page says since when it is not live, and catches up afterwards.
    assert_eq!(b.count(".stale").await, 0);
    server.kill();
    b.see(".stale", "Not live since").await;
    row_says(b, &second, "Running").await;
    containers.0.run(&["kill", &second]);
    server.restart().await;
    b.until("no word of not being live", async || (b.count(".stale").await == 0).then_some(()))
        .await;
    row_says(b, &second, "Exited").await;
    assert_eq!(b.run("return window.sameDocument").await, true);
    // While the server is away, its answers fail.
    let away = [EXPECTED, &["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED"]].concat();
    b.assert_no_errors(&away).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_a_container_opens_it_after_the_sign_in() {
    let containers = Containers::start().await;
    let server = TestServer::builder().docker().start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    host_is_active(&server, environment).await;
    let name = format!("linked-{}", &Uuid::new_v4().simple().to_string()[..8]);
    let id = containers.run(&name);
    let path = format!("/v1/environments/{environment}/containers?q={name}");
    let host = eventually("the container is listed", SOON, async || {
        let list = admin.get(&path).await.expect(200).value();
        list["items"][0]["host_id"].as_str().map(str::to_owned)
    })
    .await;
    let rest = format!("/containers/{host}/{id}?tab=inspect");
    let browser = signed_in(&server, environment, &rest).await;
    let b = &browser;
    b.see("h1", &name).await;
    b.see("[role=tab][aria-selected=true]", "Inspect").await;
    assert_eq!(b.path().await, page(environment, &rest));
    // It is one that Drover did not make, and goes before the page's eyes.
    b.see("main", "Not made by Drover").await;
    containers.0.run(&["kill", &id]);
    b.see(".badge", "Exited").await;
    b.assert_no_errors(EXPECTED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_containers() {
    let folder = tempfile::TempDir::with_prefix("drover-fake-").unwrap();
    let socket = folder.path().join("docker.sock");
    let engine = FakeDocker::start(&socket, 10_000);
    let server = TestServer::builder().set("DROVER_DOCKER_SOCKET", &socket).start().await;
    let environment = server.default_environment().await.id;
    host_is_active(&server, environment).await;
    let browser = Browser::start().await;
    let b = &browser;
    b.open(&format!("{}{}", server.base(), page(environment, "/containers"))).await;
    sign_in(b, "ada").await;
    b.see(".table-count", "10,000").await;
    b.see(".table-row", "app-00-service-00000").await;
    let bounded = async || {
        let rows = b.count("[role=row]").await;
        assert!((10..200).contains(&rows), "{rows} rows in the page");
    };
    bounded().await;
    // To the middle, to the end, and back.
    for (to, first) in [("0.5", "app-18-service-0"), ("1", "app-36-service-0"), ("0", "app-00-")] {
        b.run(&format!(
            "const table = document.querySelector('.table');
            table.scrollTop = (table.scrollHeight - table.clientHeight) * {to}"
        ))
        .await;
        b.see(".table-row", first).await;
        bounded().await;
    }
    b.fill("main input[type=search]", "service-04242").await;
    b.see(".table-row", "service-04242").await;
    b.see(".table-count", "1 row").await;
    assert_eq!(b.count(".table-row").await, 1);
    // What happens to a row in view shows, also among so many.
    let id = engine.running().into_iter().find(|id| id.ends_with(&format!("{:x}", 4242))).unwrap();
    engine.die(&id);
    row_says(b, "service-04242", "Exited").await;
    b.assert_no_errors(EXPECTED).await;
}
