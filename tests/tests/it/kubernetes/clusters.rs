//! Bringing clusters in, and making environments out of them.

use super::*;
use drover_api::{ClusterNamespace, ClusterState, KubeconfigCheck, List};

const CLUSTERS: &str = "/v1/kubernetes/clusters";

async fn server() -> (TestServer, drover_tests::Client) {
    let server = TestServer::start().await;
    let browser = server.admin().await;
    let (_, admin) = server.key(&browser, None, None).await;
    (server, admin)
}

#[tokio::test]
async fn a_kubeconfig_is_looked_into_and_tried() {
    let cluster = Kubernetes::start().await;
    let (_server, admin) = server().await;
    let check = format!("{CLUSTERS}/check");
    let body = json!({ "kubeconfig": cluster.kubeconfig });
    let found: KubeconfigCheck = admin.post(&check, body).await.expect(200).json();
    assert!(found.connection.is_none());
    let current = found.current.expect("a current context");
    let context = found.contexts.iter().find(|context| context.name == current).unwrap();
    assert_eq!(context.problem, None);

    let body = json!({ "kubeconfig": cluster.kubeconfig, "context": current, "allow_private_address": true });
    let tried: KubeconfigCheck = admin.post(&check, body).await.expect(200).json();
    let connection = tried.connection.unwrap();
    assert_eq!(connection.problem, None);
    assert!(connection.version.unwrap().starts_with("v1."));

    let none = json!({ "kubeconfig": "kind: Pod" });
    admin.post(&check, none).await.problem(422, "invalid_input");
    let unknown = json!({ "kubeconfig": cluster.kubeconfig, "context": "nowhere" });
    admin.post(&check, unknown).await.problem(422, "invalid_input");
}

/// A kubeconfig of a cluster at this address, with a user of this shape.
fn kubeconfig(server: &str, user: Value) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "one",
        "clusters": [{ "name": "one", "cluster": { "server": server } }],
        "contexts": [{ "name": "one", "context": { "cluster": "one", "user": "me" } }],
        "users": [{ "name": "me", "user": user }],
    })
    .to_string()
}

#[tokio::test]
async fn what_cannot_be_used_says_what_to_do_instead() {
    let (_server, admin) = server().await;
    let check = format!("{CLUSTERS}/check");
    let exec =
        json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1", "command": "aws" } });
    for (user, words) in [
        (exec, "service account"),
        (json!({ "client-certificate": "/home/me/cert.pem", "client-key": "/k" }), "--flatten"),
    ] {
        let text = kubeconfig("https://cluster.test:6443", user);
        let found: KubeconfigCheck =
            admin.post(&check, json!({ "kubeconfig": text })).await.expect(200).json();
        let problem = found.contexts[0].problem.clone().unwrap_or_default();
        assert!(problem.replace("serviceaccount", "service account").contains(words), "{problem}");
        let import = json!({ "name": "no", "kubeconfig": text });
        admin.post(CLUSTERS, import).await.problem(422, "invalid_input");
    }
}

#[tokio::test]
async fn addresses_of_the_server_itself_are_for_an_administrator_to_allow() {
    let (_server, admin) = server().await;
    for address in [
        "https://127.0.0.1:6443",
        "https://localhost:6443",
        "https://[::1]:6443",
        "https://[::ffff:127.0.0.1]:6443",
        "https://169.254.169.254",
        "https://[fe80::1]:6443",
        "https://0.0.0.0:6443",
    ] {
        let text = kubeconfig(address, json!({ "token": "t" }));
        let import = json!({ "name": "own", "kubeconfig": text });
        let problem = admin.post(CLUSTERS, import).await.problem(422, "invalid_input");
        assert!(problem.detail.contains("have an administrator allow"), "{address}: {problem:?}");
    }
    let text = kubeconfig("https://127.0.0.1:1", json!({ "token": "t" }));
    let import = json!({ "name": "own", "kubeconfig": text, "allow_private_address": true });
    let cluster: KubernetesCluster = admin.post(CLUSTERS, import).await.expect(201).json();
    let path = format!("{CLUSTERS}/{}", cluster.id);
    eventually("it is said to be away, and why", CLUSTER_LIMIT, async || {
        let now: KubernetesCluster = admin.get(&path).await.expect(200).json();
        (now.state == ClusterState::Away && now.reason.is_some()).then_some(())
    })
    .await;
    // Taken back, it is not connected to any more, whatever it was.
    let change = json!({ "allow_private_address": false });
    admin.patch(&path, change).await.expect(200);
    eventually("the address is refused", CLUSTER_LIMIT, async || {
        let now: KubernetesCluster = admin.get(&path).await.expect(200).json();
        now.reason.is_some_and(|why| why.contains("this server itself")).then_some(())
    })
    .await;
    admin.delete(&path).await.expect(204);
    admin.get(&path).await.problem(404, "not_found");
}

#[tokio::test]
async fn no_secret_of_a_kubeconfig_lies_open() {
    let (server, admin) = server().await;
    let text = kubeconfig("https://cluster.test:6443", json!({ "token": "very-secret-token" }));
    let import = json!({ "name": "sealed", "kubeconfig": text });
    let answer = admin.post(CLUSTERS, import).await.expect(201);
    assert!(!answer.text.contains("very-secret-token"));
    let mut database = server.database().connect().await;
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT k::text FROM kubernetes_clusters k UNION ALL SELECT a::text FROM audit_log a",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    assert!(rows.len() >= 2);
    let hex: String = b"very-secret-token".iter().map(|byte| format!("{byte:02x}")).collect();
    for row in rows {
        assert!(!row.contains("very-secret-token") && !row.contains(&hex), "{row}");
    }
    assert!(!server.log().contains("very-secret-token"));
}

#[tokio::test]
async fn environments_share_a_cluster_and_each_has_its_namespaces() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("shop", &["shop", "shop-jobs"]).await;
    let blog = site.environment("blog", &["blog"]).await;
    let shown: EnvironmentCluster = site.admin.get(&shop.path("")).await.expect(200).json();
    assert_eq!(shown.cluster_id, site.cluster_id);
    assert_eq!(shown.namespaces, {
        let mut all = shop.namespaces.clone();
        all.sort();
        all
    });
    let namespace = site.cluster.object(&["namespace", &shop.namespaces[0]]);
    let labels = &namespace["metadata"]["labels"];
    assert_eq!(labels["drover.io/environment"], shop.id.to_string());
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "baseline");

    // Nobody else's namespace, no cluster that others stand on, none of the cluster's own.
    let new = |namespaces: Value| {
        json!({
            "name": "greedy", "cluster_kind": "kubernetes",
            "kubernetes": { "cluster_id": site.cluster_id, "namespaces": namespaces },
        })
    };
    let environments = "/v1/environments";
    let taken = site.admin.post(environments, new(json!(blog.namespaces))).await;
    assert!(taken.problem(409, "namespace_taken").detail.contains("blog"));
    site.admin.post(environments, new(Value::Null)).await.problem(409, "cluster_taken");
    site.admin.post(environments, new(json!(["kube-system"]))).await.problem(422, "invalid_input");
    site.admin.post(environments, new(json!(["Not_A_Name"]))).await.problem(422, "invalid_input");
    let without = json!({ "name": "x", "cluster_kind": "kubernetes" });
    site.admin.post(environments, without).await.problem(422, "invalid_input");

    let path = format!("{CLUSTERS}/{}/namespaces", site.cluster_id);
    let all: List<ClusterNamespace> = site.admin.get(&path).await.expect(200).json();
    let owner = |name: &str| {
        all.items.iter().find(|namespace| namespace.name == name).unwrap().environment.clone()
    };
    assert_eq!(owner(&blog.namespaces[0]).as_deref(), Some("blog"));
    assert_eq!(owner("default"), None);
    let in_use = site.admin.delete(&format!("{CLUSTERS}/{}", site.cluster_id)).await;
    in_use.problem(409, "cluster_in_use");
}

#[tokio::test]
async fn an_environment_grows_by_namespaces_and_keeps_their_limits() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("shop", &["shop"]).await;
    let more = site.cluster.namespace("more");
    let owner = site.server.member("olga", shop.id, Role::Owner).await;
    let member = site.server.member("mary", shop.id, Role::Member).await;
    let namespaces = shop.path("/namespaces");
    member.post(&namespaces, json!({ "name": more })).await.problem(403, "forbidden");
    let shown: EnvironmentCluster =
        owner.post(&namespaces, json!({ "name": more })).await.expect(201).json();
    assert!(shown.namespaces.contains(&more));
    // One that is there already may be anybody's.
    owner.post(&namespaces, json!({ "name": "default" })).await.problem(409, "conflict");

    let limits = json!({ "limits": {
        "quota": { "pods": "7", "requests.memory": "2Gi" },
        "default_limit": { "cpu": "500m" }, "default_request": { "cpu": "50m" },
    } });
    owner.patch(&shop.path(""), &limits).await.expect(200);
    for namespace in [&shop.namespaces[0], &more] {
        eventually("the limits are in the namespace", CLUSTER_LIMIT, async || {
            let found = site.cluster.try_kubectl(
                &[
                    "get",
                    "-n",
                    namespace,
                    "resourcequota/drover",
                    "-o",
                    "jsonpath={.spec.hard.pods}",
                ],
                "",
            );
            (found.stdout == b"7").then_some(())
        })
        .await;
        let range = site.cluster.object(&["-n", namespace, "limitrange/drover"]);
        assert_eq!(range["spec"]["limits"][0]["default"]["cpu"], "500m");
    }
    let wrong = json!({ "limits": { "quota": { "pods": "many" } } });
    owner.patch(&shop.path(""), wrong).await.problem(422, "invalid_input");
    // Which namespaces there are to have is for administrators to say.
    let grab = json!({ "namespaces": [shop.namespaces[0], "default"] });
    owner.patch(&shop.path(""), grab).await.problem(403, "forbidden");

    owner.patch(&shop.path(""), json!({ "limits": {} })).await.expect(200);
    eventually("the quota is gone", CLUSTER_LIMIT, async || {
        let found = site.cluster.kubectl(&["get", "-n", &more, "resourcequota", "-o", "name"]);
        found.is_empty().then_some(())
    })
    .await;
    owner.delete(&format!("{namespaces}/{more}")).await.expect(204);
    let last = format!("{namespaces}/{}", shop.namespaces[0]);
    owner.delete(&last).await.problem(409, "last_namespace");
    owner.delete(&format!("{namespaces}/default")).await.problem(404, "not_found");
}

#[tokio::test]
async fn what_drover_keeps_is_set_right_again_and_goes_with_the_environment() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("shop", &["shop"]).await;
    let namespace = &shop.namespaces[0];
    let binding = format!("rolebinding/drover:{}:member", shop.id);
    site.cluster.kubectl(&["delete", "-n", namespace, &binding]);
    // The next change brings it back; it would come by itself within minutes too.
    let change = json!({ "pod_security": "privileged" });
    site.admin.patch(&shop.path(""), change).await.expect(200);
    eventually("the binding is back", CLUSTER_LIMIT, async || {
        let found = site.cluster.try_kubectl(&["get", "-n", namespace, &binding], "");
        found.status.success().then_some(())
    })
    .await;
    let enforced = "jsonpath={.metadata.labels.pod-security\\.kubernetes\\.io/enforce}";
    eventually("the standard is the new one", CLUSTER_LIMIT, async || {
        let found = site.cluster.kubectl(&["get", "namespace", namespace, "-o", enforced]);
        (found == "privileged").then_some(())
    })
    .await;

    site.admin.delete(&format!("/v1/environments/{}", shop.id)).await.expect(204);
    eventually("nothing of it is left but the namespace", CLUSTER_LIMIT, async || {
        let bindings =
            site.cluster.kubectl(&["get", "-n", namespace, "rolebindings", "-o", "name"]);
        let label = "jsonpath={.metadata.labels.drover\\.io/environment}";
        let label = site.cluster.kubectl(&["get", "namespace", namespace, "-o", label]);
        (!bindings.contains("drover:") && label.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_cluster_itself_decides_by_the_roles_that_drover_keeps() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("shop", &["shop"]).await;
    let other = site.environment("other", &["other"]).await;
    let may = |role: Role, verb: &str, what: &str, namespace: &str| {
        let group = format!("drover:environment:{}:{}", shop.id, role.as_str());
        let done = site.cluster.try_kubectl(
            &[
                "auth",
                "can-i",
                verb,
                what,
                "-n",
                namespace,
                "--as",
                "drover:x",
                "--as-group",
                &group,
            ],
            "",
        );
        String::from_utf8_lossy(&done.stdout).trim() == "yes"
    };
    let namespace = &shop.namespaces[0];
    for (verb, what, weakest) in [
        ("list", "pods", Some(Role::Readonly)),
        ("get", "deployments.apps", Some(Role::Readonly)),
        ("get", "secrets", Some(Role::Restricted)),
        ("create", "deployments.apps", Some(Role::Restricted)),
        ("delete", "pods", Some(Role::Restricted)),
        ("create", "networkpolicies.networking.k8s.io", Some(Role::Member)),
        ("create", "rolebindings.rbac.authorization.k8s.io", Some(Role::Owner)),
        ("update", "resourcequotas", Some(Role::Owner)),
        ("create", "endpointslices.discovery.k8s.io", None),
        ("delete", "namespaces", None),
    ] {
        for role in Role::ALL {
            let expected = weakest.is_some_and(|weakest| role >= weakest);
            assert_eq!(may(role, verb, what, namespace), expected, "{role:?} {verb} {what}");
            assert!(
                !may(role, verb, what, &other.namespaces[0]),
                "{role:?} {verb} {what} elsewhere"
            );
        }
    }
}
