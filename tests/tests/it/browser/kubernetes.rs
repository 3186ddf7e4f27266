//! A cluster that is brought in on the page, two environments on two sets of its namespaces, an app
//! of the catalog in one, and what a readonly user of the other sees and may not do.

use drover_api::{Environment, List, ObjectAction, Role};
use drover_tests::{Browser, Client, Kubernetes, TestServer};
use uuid::Uuid;

use super::{EXPECTED, account_menu, catalog, signed_in, signed_in_as};

/// A server with a catalog of its own.
async fn server_with_apps() -> (TestServer, tempfile::TempDir) {
    let apps = tempfile::TempDir::with_prefix("drover-catalog-").unwrap();
    let folder = apps.path().join("Acme apps");
    catalog::write(&folder);
    let server = TestServer::builder().set("DROVER_CATALOG_DIR", folder).start().await;
    (server, apps)
}

/// Brings the cluster in, from the list of clusters on.
async fn import(b: &Browser, cluster: &Kubernetes) {
    b.click_text_in("//nav", "Clusters").await;
    b.see("main", "No clusters yet").await;
    b.screenshot("kubernetes-no-clusters").await;
    b.click_text_in("//main", "Import cluster").await;
    b.fill("textarea.input-code", &cluster.kubeconfig).await;
    // Its contexts are read at once.
    b.see(".drop + .stack .choice", "https://").await;
    b.click_text_in("//main", "Allow an address of this server itself, or a link-local one").await;
    b.click_text_in("//main", "Try to connect").await;
    b.see(".notice-ok", "It answers").await;
    b.fill("input[name=name]", "Lab").await;
    b.screenshot("kubernetes-import").await;
    b.click_text_in("//form", "Import").await;
    b.see("h1", "Lab").await;
    b.see(".page-title .badge", "Active").await;
    b.see("main", "Control plane").await;
    b.screenshot("kubernetes-cluster").await;
}

/// Makes an environment on a new namespace of the only cluster.
async fn environment(b: &Browser, admin: &Client, name: &str, namespace: &str) -> Uuid {
    b.click_text_in("//nav", "Environments").await;
    b.click_text_in("//main", "New environment").await;
    b.fill("dialog[open] input[name=name]", name).await;
    b.click("dialog[open] input[value=kubernetes]").await;
    let field = b.field("New namespace").await;
    field.send_keys(namespace).await.unwrap();
    b.click_text_in("//dialog[@open]", "Add").await;
    b.see("dialog[open] .line-list", namespace).await;
    b.screenshot(&format!("kubernetes-environment-{name}")).await;
    b.click_text_in("//dialog[@open]", "Create").await;
    b.see(".table-row", name).await;
    let list: List<Environment> = admin.get("/v1/environments?limit=1000").await.expect(200).json();
    list.items.iter().find(|one| one.name == name).unwrap().id
}

/// Installs the catalog's app in the environment that is open.
async fn install(b: &Browser) {
    b.click_text_in("//nav", "Catalog").await;
    b.fill("main input[type=search]", "history").await;
    b.gone(".app", "WordPress").await;
    b.click(".app").await;
    b.see("h1", catalog::APP).await;
    b.fill("[name='answers.STORE_PASSWORD']", "kestrel-lantern-47").await;
    b.click_text_in("//form", "Install").await;
    b.see("h1", "team-notes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_environments_share_a_cluster_each_under_its_own_roles() {
    let cluster = Kubernetes::start().await;
    let (server, _apps) = server_with_apps().await;
    let admin = server.admin().await;
    let default = server.default_environment().await.id;
    let b = signed_in(&server, default, "").await;
    import(&b, &cluster).await;
    let (dev, live) = (cluster.namespace("dev"), cluster.namespace("live"));
    let development = environment(&b, &admin, "Development", &dev).await;
    let production = environment(&b, &admin, "Production", &live).await;
    b.click_text_in("//nav", "Clusters").await;
    b.see(".table-row", "Development, Production").await;
    server.member("mia", development, Role::Member).await;
    let ron = server.member("ron", production, Role::Readonly).await;

    // The member installs an app, and sees what it has become in the cluster.
    let mia = signed_in_as(&server, "mia", development, "").await;
    mia.see("main", &dev).await;
    install(&mia).await;
    mia.click_text_in("//nav", "Resources").await;
    // The others wait until it is healthy.
    mia.see(".table-row", "team-notes-store").await;
    mia.screenshot("kubernetes-deployments").await;
    mia.click(".table-row").await;
    mia.see(".kv", dev.as_str()).await;
    mia.click("#tab-yaml").await;
    mia.see(".cm-content", "apiVersion: apps/v1").await;
    mia.screenshot("kubernetes-yaml").await;
    // The other environment is not there for her.
    let other = format!("/v1/environments/{production}/kubernetes");
    let hers = server.sign_in("mia").await;
    hers.get(&other).await.expect(404);

    // In the other one an owner makes a Deployment by the form.
    b.open(&format!("{}/environments/{production}/kubernetes/create", server.base())).await;
    b.fill("input[name=name]", "shop").await;
    b.fill("input[name=image]", "drover-test/web:1").await;
    b.click_text_in("//form", "Create").await;
    b.see(".k8s-outcomes", "New").await;
    b.screenshot("kubernetes-create").await;
    // And changes it by form.
    let page = format!(
        "{}/environments/{production}/kubernetes/deployments.apps/{live}/shop?tab=edit",
        server.base()
    );
    b.open(&page).await;
    b.fill("input[type=number]", "2").await;
    b.screenshot("kubernetes-edit").await;
    b.click_text_in("//form", "Apply").await;
    b.see(".k8s-outcomes", "Changed").await;

    // Its readonly user sees it live, and can touch nothing.
    let r = signed_in_as(&server, "ron", production, "/kubernetes").await;
    r.see(".table-row", "shop").await;
    assert_eq!(r.text(".page-actions").await, "", "no button to create");
    r.click_row("shop").await;
    r.see(".kv", &live).await;
    r.click_text_in("//main", "Actions").await;
    r.see("[role=menu]", "Delete").await;
    let open = "return [...document.querySelectorAll('[role=menu]:popover-open button')]
        .filter(button => !button.disabled).map(button => button.innerText).join()";
    assert_eq!(r.run(open).await, "", "nothing that he may do");
    r.keys("\u{e00c}").await;
    r.click("#tab-yaml").await;
    r.see(".cm-content", "kind: Deployment").await;
    let editable = "return document.querySelector('.cm-content').isContentEditable";
    assert_eq!(r.run(editable).await, false);
    r.screenshot("kubernetes-readonly").await;
    let path =
        format!("/v1/environments/{production}/kubernetes/objects/deployments.apps/{live}/shop");
    ron.delete(&path).await.expect(403);
    ron.get(&path).await.expect(200);
    ron.get(&format!("/v1/environments/{development}/kubernetes")).await.expect(404);

    // What others change is seen without a reload.
    r.click_text_in("//nav[contains(@class, 'crumbs')]", "Deployments").await;
    r.see(".table-row", "shop").await;
    let scale = ObjectAction::Scale { replicas: 3 };
    admin.post(&format!("{path}/actions"), scale).await.expect(200);
    // How many of them are ready, wherever this runs.
    r.see(".table-row", "/3").await;
    admin.delete(&path).await.expect(204);
    r.gone(".table-row", "shop").await;
    // Who has its page open is told.
    b.gone("form", "Apply").await;
    b.screenshot("kubernetes-deleted").await;

    account_menu(&mia, "Dark").await;
    mia.click_text_in("//nav", "Overview").await;
    mia.see("main", "Deployments").await;
    mia.screenshot("kubernetes-overview-dark").await;
    account_menu(&mia, "简体中文").await;
    mia.see("nav", "资源").await;
    mia.screenshot("kubernetes-overview-chinese").await;

    // The last namespace of an environment stays.
    b.open(&format!("{}/environments/{production}/kubernetes/limits", server.base())).await;
    b.see(".line-list", &live).await;
    b.screenshot("kubernetes-limits").await;
    let path = format!("/v1/environments/{production}/kubernetes/namespaces/{live}");
    admin.delete(&path).await.problem(409, "last_namespace");
    for browser in [&mia, &r] {
        browser.assert_no_errors(EXPECTED).await;
    }
    // It asked what a kubeconfig is of which it had the beginning, and for what is gone.
    b.assert_no_errors(&[EXPECTED, &["/clusters/check", "/deployments.apps/"]].concat()).await;
}
