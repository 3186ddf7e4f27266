//! Lists of what is in a cluster, from Drover's own index.

use super::*;
use drover_api::{ClusterHealth, ClusterMetrics, List, ResourceGroup, ResourceList, ResourceType};

fn config_map(name: &str, label: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  labels: {{app: {label}}}\ndata: {{word: hello}}\n---\n"
    )
}

async fn list(client: &drover_tests::Client, path: &str) -> ResourceList {
    client.get(path).await.expect(200).json()
}

fn names(list: &ResourceList) -> Vec<&str> {
    list.items.iter().map(|row| row.name.as_str()).collect()
}

#[tokio::test]
async fn lists_are_filtered_sorted_paged_and_counted() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("Shop", &["shop"]).await;
    let other = site.environment("Other", &["other"]).await;
    let (mine, theirs) = (&shop.namespaces[0], &other.namespaces[0]);
    let text: String = ["a1", "a2", "a10"].map(|name| config_map(name, "web")).concat();
    site.cluster.kubectl_with(&["apply", "-n", mine, "-f", "-"], &(text + &config_map("b1", "db")));
    site.cluster.kubectl_with(&["apply", "-n", theirs, "-f", "-"], &config_map("hidden", "web"));

    let path = shop.path("/resources/configmaps");
    let all = eventually("they are listed", CLUSTER_LIMIT, async || {
        let all = list(&site.admin, &format!("{path}?sort=name")).await;
        (all.total >= 4).then_some(all)
    })
    .await;
    assert!(!names(&all).contains(&"hidden"), "{all:?}");
    let web = list(&site.admin, &format!("{path}?selector=app%3Dweb&sort=name")).await;
    assert_eq!(names(&web), ["a1", "a2", "a10"], "names are in the order of people");
    let down = list(&site.admin, &format!("{path}?selector=app%3Dweb&sort=-name&limit=2")).await;
    assert_eq!((names(&down), down.total), (vec!["a10", "a2"], 3));
    let cursor = down.next_cursor.expect("a second page");
    let rest = format!("{path}?selector=app%3Dweb&sort=-name&limit=2&cursor={cursor}");
    let rest = list(&site.admin, &rest).await;
    assert_eq!((names(&rest), rest.next_cursor.as_deref()), (vec!["a1"], None));
    let named = list(&site.admin, &format!("{path}?name=a1")).await;
    assert_eq!(names(&named), ["a1", "a10"], "a column contains what is asked for");
    let exact = list(&site.admin, &format!("{path}?name=%3Da1")).await;
    assert_eq!(names(&exact), ["a1"]);
    assert!(exact.columns.iter().any(|column| column.id == "data"), "{:?}", exact.columns);

    let found = list(&site.admin, &format!("{path}?q=a10")).await;
    assert_eq!(names(&found), ["a10"]);

    let groups = format!("{path}/groups?by=label:app");
    let groups: List<ResourceGroup> = site.admin.get(&groups).await.expect(200).json();
    let of = |value: &str| groups.items.iter().find(|group| group.value == value).map(|g| g.count);
    assert_eq!((of("db"), of("web")), (Some(1), Some(3)));

    site.admin.get(&format!("{path}?limit=x")).await.problem(400, "invalid_query");
    site.admin.get(&format!("{path}?selector=a%20b")).await.problem(400, "invalid_query");
    site.admin.get(&format!("{path}?sort=nonsense")).await.problem(400, "invalid_query");
    site.admin.get(&shop.path("/resources/nonsense")).await.problem(404, "not_found");
}

#[tokio::test]
async fn each_role_is_told_what_it_may_do_and_secrets_show_no_values() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("Shop", &["shop"]).await;
    let namespace = &shop.namespaces[0];
    site.cluster.create(&json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "door", "namespace": namespace },
        "stringData": { "key": "swordfish" },
    }));
    let reader = site.server.member("reader", shop.id, Role::Readonly).await;
    let writer = site.server.member("writer", shop.id, Role::Restricted).await;
    let verbs = async |client: &drover_tests::Client, id: &str| {
        let types: List<ResourceType> = client.get(&shop.path("/types")).await.expect(200).json();
        let found = types.items.into_iter().find(|kind| kind.id == id);
        found.map(|kind| kind.verbs).unwrap_or_default()
    };
    assert!(verbs(&reader, "pods").await.contains(&"list".to_owned()));
    assert!(!verbs(&reader, "pods").await.contains(&"delete".to_owned()));
    assert!(verbs(&writer, "pods").await.contains(&"delete".to_owned()));
    assert!(!verbs(&writer, "nodes").await.contains(&"patch".to_owned()));
    assert!(verbs(&writer, "clusterroles.rbac.authorization.k8s.io").await.is_empty());

    let path = shop.path("/resources/secrets");
    eventually("the Secret is listed", CLUSTER_LIMIT, async || {
        let answer = reader.get(&path).await.expect(200);
        let text = answer.value().to_string();
        assert!(!text.contains("swordfish") && !text.contains("c3dvcmRmaXNo"), "{text}");
        text.contains("\"door\"").then_some(())
    })
    .await;
    let object = shop.path(&format!("/objects/secrets/{namespace}/door"));
    let hidden = reader.get(&object).await.expect(200).value();
    assert_eq!(hidden["object"]["data"], json!({ "key": null }));
    assert!(!hidden.to_string().contains("c3dvcmRmaXNo"));
    let seen = writer.get(&object).await.expect(200).value();
    assert_eq!(seen["object"]["data"]["key"], "c3dvcmRmaXNo");
}

#[tokio::test]
async fn changes_are_told_to_whom_they_concern() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("Shop", &["shop"]).await;
    let path = shop.path("/resources/configmaps");
    list(&site.admin, &path).await;
    let before = list(&site.admin, &path).await.freshness.revision;
    let namespace = &shop.namespaces[0];
    site.cluster.create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "new", "namespace": namespace },
    }));
    eventually("the list has it", CLUSTER_LIMIT, async || {
        let now = list(&site.admin, &format!("{path}?name=%3Dnew")).await;
        (now.total == 1 && now.freshness.revision > before).then_some(())
    })
    .await;
    site.cluster.kubectl(&["delete", "configmap", "-n", namespace, "new"]);
    eventually("the list has it no more", CLUSTER_LIMIT, async || {
        (list(&site.admin, &format!("{path}?name=%3Dnew")).await.total == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn custom_resources_have_the_columns_of_their_definition() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("Shop", &["shop"]).await;
    let group = format!("{}.drover.test", site.cluster.own_name("g"));
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("widgets.{group}") },
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": { "plural": "widgets", "singular": "widget", "kind": "Widget" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "additionalPrinterColumns": [
                    { "name": "Size", "type": "integer", "jsonPath": ".spec.size" },
                ],
                "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                    "spec": { "type": "object", "properties": { "size": { "type": "integer" } } } } } },
            }],
        },
    });
    let what = format!("crd/widgets.{group}");
    site.cluster.afterwards(&["delete", &what, "--ignore-not-found", "--wait=false"]);
    site.cluster.kubectl_with(&["apply", "-f", "-"], &definition.to_string());
    let namespace = &shop.namespaces[0];
    for (name, size) in [("small", 1), ("large", 20)] {
        let widget = json!({ "apiVersion": format!("{group}/v1"), "kind": "Widget",
            "metadata": { "name": name, "namespace": namespace }, "spec": { "size": size } });
        eventually("the definition is taken", CLUSTER_LIMIT, async || {
            let done = site.cluster.try_kubectl(&["apply", "-f", "-"], &widget.to_string());
            done.status.success().then_some(())
        })
        .await;
    }
    let path = shop.path(&format!("/resources/widgets.{group}?sort=-size"));
    let found = eventually("they are listed", CLUSTER_LIMIT, async || {
        let answer = site.admin.get(&path).await;
        let list: ResourceList = (answer.status == 200).then(|| answer.json())?;
        (list.total == 2).then_some(list)
    })
    .await;
    assert_eq!(names(&found), ["large", "small"]);
    assert!(found.columns.iter().any(|column| column.id == "size"), "{:?}", found.columns);
}

#[tokio::test]
async fn a_cluster_tells_how_it_fares() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("Shop", &["shop"]).await;
    let path = format!("/v1/kubernetes/clusters/{}/health", site.cluster_id);
    let health = eventually("its nodes are known", CLUSTER_LIMIT, async || {
        let health: ClusterHealth = site.admin.get(&path).await.expect(200).json();
        (!health.nodes.is_empty()).then_some(health)
    })
    .await;
    assert!(health.checks.iter().any(|check| check.name == "ping" && check.ok), "{health:?}");
    assert!(health.certificates.iter().any(|one| one.of == "API server"), "{health:?}");
    assert!(health.capacity.cpu_millis > 0 && health.nodes[0].conditions[0].kind == "Ready");

    let reader = site.server.member("reader", shop.id, Role::Readonly).await;
    reader.get(&path).await.problem(403, "forbidden");
    let part: ClusterHealth = reader.get(&shop.path("/health")).await.expect(200).json();
    assert_eq!(part.capacity.pods_used, 0, "pods of others are not counted");
    let used: ClusterMetrics = reader.get(&shop.path("/metrics")).await.expect(200).json();
    assert!(used.available || used.advice.is_some(), "{used:?}");
    assert!(used.items.is_empty(), "{used:?}");
}
