//! Objects: read, applied with a diff and conflicts, deleted, and their schemas.

use super::*;
use drover_api::{Applied, ApplyOutcome, ObjectDetail};

const GREETING: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: greeting\ndata:\n  text: hello\n";

async fn apply(client: &drover_tests::Client, path: &str, body: Value) -> Applied {
    client.post(path, body).await.expect(200).json()
}

#[tokio::test]
async fn yaml_is_tried_applied_and_compared() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("Shop", &["shop"]).await;
    let namespace = &shop.namespaces[0];
    let path = shop.path("/apply");
    let tried = apply(&site.admin, &path, json!({ "yaml": GREETING, "dry_run": true })).await;
    assert_eq!(tried.items[0].outcome, ApplyOutcome::Created);
    assert!(tried.items[0].diff.as_deref().is_some_and(|diff| diff.contains("+  text: hello")));
    let object = shop.path(&format!("/objects/configmaps/{namespace}/greeting"));
    site.admin.get(&object).await.problem(404, "not_found");

    let done = apply(&site.admin, &path, json!({ "yaml": GREETING })).await;
    assert_eq!(done.items[0].namespace.as_ref(), Some(namespace), "its only namespace");
    let again = apply(&site.admin, &path, json!({ "yaml": GREETING })).await;
    assert_eq!((again.items[0].outcome, &again.items[0].diff), (ApplyOutcome::Unchanged, &None));
    let detail: ObjectDetail = site.admin.get(&object).await.expect(200).json();
    assert!(detail.yaml.contains("text: hello"), "{}", detail.yaml);
    assert!(!detail.yaml.contains("managedFields") && !detail.yaml.contains("resourceVersion"));
    assert!(detail.verbs.contains(&"delete".to_owned()), "{:?}", detail.verbs);

    let changed = detail.yaml.replace("hello", "good morning");
    let shown = apply(&site.admin, &path, json!({ "yaml": changed, "dry_run": true })).await;
    let diff = shown.items[0].diff.clone().unwrap_or_default();
    assert!(diff.contains("-  text: hello") && diff.contains("+  text: good morning"), "{diff}");

    site.admin.delete(&format!("{object}?propagation=background")).await.expect(204);
    site.admin.get(&object).await.problem(404, "not_found");
}

#[tokio::test]
async fn each_document_has_its_own_outcome() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("Shop", &["shop"]).await;
    let namespace = &shop.namespaces[0];
    let yaml = format!(
        "{GREETING}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: odd}}\nnonsense: 1\n---\napiVersion: v1\nkind: Nonsense\nmetadata: {{name: none}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: far, namespace: kube-system}}\n"
    );
    let done = apply(&site.admin, &shop.path("/apply"), json!({ "yaml": yaml })).await;
    let outcomes: Vec<_> = done.items.iter().map(|one| one.outcome).collect();
    use ApplyOutcome::*;
    assert_eq!(outcomes, [Created, Refused, Refused, Refused], "{done:?}");
    let error = |at: usize| done.items[at].error.clone().unwrap_or_default();
    assert!(error(1).contains("nonsense"), "unknown fields are refused: {}", error(1));
    assert!(error(2).contains("Nonsense"), "{}", error(2));
    assert!(error(3).contains("kube-system"), "{}", error(3));
    assert_eq!(done.items[1].line, 8);

    // Others own a field: who, and by force it is taken over.
    site.cluster.kubectl_with(
        &[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=other",
            "-n",
            namespace,
            "-f",
            "-",
        ],
        &GREETING.replace("hello", "theirs"),
    );
    let ours = GREETING.replace("hello", "ours");
    let refused = apply(&site.admin, &shop.path("/apply"), json!({ "yaml": ours })).await;
    assert_eq!(refused.items[0].outcome, Conflict, "{refused:?}");
    let conflict = &refused.items[0].conflicts[0];
    assert_eq!((conflict.field.as_str(), conflict.manager.as_str()), (".data.text", "other"));
    let forced =
        apply(&site.admin, &shop.path("/apply"), json!({ "yaml": ours, "force": true })).await;
    assert_eq!(forced.items[0].outcome, Changed, "{forced:?}");

    for (body, code) in [
        (json!({ "yaml": "a: [" }), "invalid_input"),
        (json!({ "yaml": "" }), "invalid_input"),
        (json!({ "yaml": " ".repeat((3 << 20) + 1) }), "invalid_input"),
        (json!({ "yaml": GREETING, "namespace": "kube-system" }), "invalid_input"),
    ] {
        site.admin.post(&shop.path("/apply"), body).await.problem(422, code);
    }
}

#[tokio::test]
async fn the_cluster_itself_says_no_to_a_role() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("Shop", &["shop"]).await;
    let reader = site.server.member("reader", shop.id, Role::Readonly).await;
    reader.post(&shop.path("/apply"), json!({ "yaml": GREETING })).await.problem(403, "forbidden");
    let writer = site.server.member("writer", shop.id, Role::Restricted).await;
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: none}\nspec: {podSelector: {}}\n";
    let refused = apply(&writer, &shop.path("/apply"), json!({ "yaml": policy })).await;
    assert_eq!(refused.items[0].outcome, ApplyOutcome::Refused, "{refused:?}");
    let error = refused.items[0].error.clone().unwrap_or_default();
    assert!(error.contains("drover:writer"), "its audit log knows who it was: {error}");
    // What could take over a node is refused before the cluster is asked to run it.
    let strong = "apiVersion: v1\nkind: Pod\nmetadata: {name: strong}\nspec:\n  hostPID: true\n  containers: [{name: a, image: 'busybox:1'}]\n";
    let refused = apply(&writer, &shop.path("/apply"), json!({ "yaml": strong })).await;
    let error = refused.items[0].error.clone().unwrap_or_default();
    assert!(error.contains("host namespaces"), "{error}");
}

#[tokio::test]
async fn a_type_has_the_schema_that_the_cluster_tells() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("Shop", &["shop"]).await;
    let schema = site.admin.get(&shop.path("/schema/deployments.apps")).await.expect(200).value();
    assert_eq!(schema["title"], "Deployment");
    assert!(schema["properties"]["spec"].is_object(), "{schema}");
    assert!(schema["$defs"].as_object().is_some_and(|defs| defs.len() > 10));
    assert!(!schema.to_string().contains("#/components/"), "all references lead to $defs");
    site.admin.get(&shop.path("/schema/nonsense")).await.problem(404, "not_found");
}

#[tokio::test]
async fn what_is_of_others_is_not_there() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("Shop", &["shop"]).await;
    for place in [
        "/objects/configmaps/kube-system/kube-root-ca.crt",
        "/objects/configmaps/kube-public/cluster-info",
        "/objects/namespaces/-/kube-system",
        "/objects/clusterroles.rbac.authorization.k8s.io/-/cluster-admin",
        "/objects/configmaps/-/a",
        "/objects/configmaps/..%2F..%2Fa/b",
    ] {
        site.admin.get(&shop.path(place)).await.problem(404, "not_found");
    }
}
