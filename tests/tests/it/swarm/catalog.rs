//! Apps of a catalog, whose templates know nothing of swarms.

use super::*;
use drover_api::{Catalog, CatalogKind, StackState};
use tempfile::TempDir;

const SHOP: &str = r#"services:
  web:
    image: drover-test/web:${VERSION}
    stop_grace_period: 0s
    ports: ["${PORT}:8080"]
    environment: {PASSWORD: "${PASSWORD}"}
    deploy: {update_config: {monitor: 1s}}
"#;
const QUESTIONS: &str = r#"
questions:
  - {variable: PORT, type: int, default: 8080}
  - {variable: VERSION, type: string, default: "1"}
  - {variable: PASSWORD, type: password, generate: {length: 24}}
"#;

#[tokio::test]
async fn an_app_is_installed_scaled_and_upgraded() {
    let folder = TempDir::with_prefix("drover-catalog-").unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("shop/template.yaml", "name: Shop\ndescription: Sells things.\ncategories: [Commerce]\n");
    write("shop/README.md", "# Shop\n");
    write("shop/1.0.0/version.yaml", &format!("app_version: \"1\"{QUESTIONS}"));
    write("shop/1.0.0/compose.yaml", SHOP);
    let more = SHOP.replace("monitor: 1s}", "monitor: 1s}, labels: {newer: \"yes\"}");
    write("shop/1.1.0/version.yaml", &format!("app_version: \"1.1\"{QUESTIONS}"));
    write("shop/1.1.0/compose.yaml", &more);
    let builder = TestServer::builder().set("DROVER_CATALOG_DIR", folder.path());
    let fixture = Fixture::with(3, builder).await;
    fixture.make(1).await;
    let catalog = eventually("the catalog has been read", LATER, async || {
        let list: List<Catalog> = fixture.admin.get("/v1/catalogs").await.expect(200).json();
        let mine = |c: &Catalog| c.kind == CatalogKind::Directory && c.checked_at.is_some();
        list.items.into_iter().find(|c| mine(c) && !c.refreshing)
    })
    .await;
    let body = json!({
        "name": "shop",
        "source": {
            "kind": "template", "catalog_id": catalog.id, "template": "shop", "version": "1.0.0",
            "answers": { "PORT": "8090" },
        },
    });
    let begun: StackOperation =
        fixture.admin.post(&fixture.path("stacks"), &body).await.expect(202).json();
    fixture.succeeds(&begun.operation).await;
    let stack = begun.stack;
    let task = fixture.running("shop_web").await.pop().unwrap();
    let n = fixture.hosts.iter().position(|host| Some(host.id) == task.host_id).unwrap();
    assert_eq!(fixture.page(n, 8090).as_deref(), Some("version 1"));

    fixture.act(&stack, "services/web/scale", json!({ "scale": 3 })).await;
    let nodes: std::collections::HashSet<_> =
        fixture.running("shop_web").await.into_iter().filter_map(|task| task.host_id).collect();
    assert_eq!(nodes.len(), 3, "a port of a host is taken once");
    for n in 0..3 {
        assert_eq!(fixture.page(n, 8090).as_deref(), Some("version 1"));
    }
    fixture.act(&stack, "upgrade", json!({ "version": "1.1.0" })).await;
    let detail = fixture.stack(&stack).await;
    assert_eq!(detail.stack.state, StackState::Running);
    assert_eq!(detail.stack.template.unwrap().version, "1.1.0");
    let label = "{{index .Spec.Labels \"newer\"}}";
    assert_eq!(fixture.prints(&["service", "inspect", "shop_web", "--format", label]), "yes");
    assert_eq!(fixture.running("shop_web").await.len(), 3);
}
