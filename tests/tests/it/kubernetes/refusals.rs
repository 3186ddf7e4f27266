//! What a cluster refuses, and says why: the words reach the caller as the cluster said them,
//! through Drover's own API and through the cluster's.

use std::time::Duration;

use axum::http::Method;
use drover_api::{Applied, AppliedObject, ApplyOutcome, ClusterState, ResourceRow};
use drover_tests::{Answer, KubernetesEnvironment, REFUSED, WARNED, Webhook};

use super::*;

struct Fixture {
    site: KubernetesSite,
    shop: KubernetesEnvironment,
}

impl Fixture {
    async fn start(namespaces: &[&str]) -> Self {
        let site = KubernetesSite::start().await;
        let shop = site.environment("Shop", namespaces).await;
        Self { site, shop }
    }

    fn namespace(&self) -> &str {
        &self.shop.namespaces[0]
    }

    fn config_map(&self, name: &str) -> Value {
        config_map(self.namespace(), name)
    }

    /// Applied by Drover.
    async fn apply(&self, object: &Value) -> AppliedObject {
        let body = json!({ "yaml": object.to_string() });
        let path = self.shop.path("/apply");
        let mut done: Applied = self.site.admin.post(&path, body).await.expect(200).json();
        done.items.remove(0)
    }

    /// The reason why Drover could not apply it.
    async fn refused(&self, object: &Value) -> String {
        let done = self.apply(object).await;
        assert_eq!(done.outcome, ApplyOutcome::Refused, "{done:?}");
        done.error.expect("a reason")
    }

    /// A call of the cluster's API through Drover.
    async fn call(&self, method: Method, path: &str, kind: &str, body: String) -> Answer {
        let path = format!("/k8s/clusters/{}{path}", self.site.cluster_id);
        let request = self.site.admin.request(method, &path).header("content-type", kind);
        self.site.admin.send(request.body(body)).await
    }

    async fn create(&self, collection: &str, object: &Value) -> Answer {
        self.call(Method::POST, collection, "application/json", object.to_string()).await
    }

    fn config_maps(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.namespace())
    }

    async fn resources(&self, kind: &str) -> Vec<ResourceRow> {
        let path = self.shop.path(&format!("/resources/{kind}?limit=1000"));
        let list: drover_api::ResourceList = self.site.admin.get(&path).await.expect(200).json();
        list.items
    }
}

fn config_map(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": namespace },
    })
}

/// What a `Status` says.
fn message(answer: &Answer) -> String {
    let status = answer.value();
    assert_eq!(status["kind"], "Status", "{answer:?}");
    assert_eq!(status["code"], answer.status, "{answer:?}");
    status["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_who_cannot_take_it() {
    let fixture = Fixture::start(&["large"]).await;
    let config_map = |name: &str, bytes: usize| {
        let mut object = fixture.config_map(name);
        object["data"] = json!({ "text": "x".repeat(bytes) });
        object
    };
    // Just under what Kubernetes takes: through both.
    let most = (1 << 20) - 4;
    let made = fixture.apply(&config_map("first", most)).await;
    assert_eq!((made.outcome, made.error), (ApplyOutcome::Created, None));
    fixture.create(&fixture.config_maps(), &config_map("second", most)).await.expect(201);
    eventually("both are listed", CLUSTER_LIMIT, async || {
        let rows = fixture.resources("configmaps").await;
        let has = |name: &str| rows.iter().any(|row| row.name == name);
        (has("first") && has("second")).then_some(())
    })
    .await;
    let object = format!("/objects/configmaps/{}/second", fixture.namespace());
    let read = fixture.site.admin.get(&fixture.shop.path(&object)).await.expect(200).value();
    assert_eq!(read["object"]["data"]["text"].as_str().map(str::len), Some(most));

    // A little over: the kind's own limit.
    let over = config_map("third", (1 << 20) + 1);
    let why = "Too long: may not be more than 1048576 bytes";
    let said = fixture.refused(&over).await;
    assert!(said.contains(why), "{said}");
    let answer = fixture.create(&fixture.config_maps(), &over).await;
    assert_eq!(answer.status, 422);
    assert!(message(&answer).contains(why), "{answer:?}");

    // More than can be stored.
    let variables: Vec<Value> = (0..20)
        .map(|number| json!({ "name": format!("A{number}"), "value": "x".repeat(100_000) }))
        .collect();
    let workload = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "large", "namespace": fixture.namespace() },
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": { "app": "large" } },
            "template": {
                "metadata": { "labels": { "app": "large" } },
                "spec": { "containers": [
                    { "name": "main", "image": "busybox:1", "env": variables },
                ] },
            },
        },
    });
    let why = "request is too large";
    let said = fixture.refused(&workload).await;
    assert!(said.contains(why) && said.contains("make it smaller"), "{said}");
    let deployments = format!("/apis/apps/v1/namespaces/{}/deployments", fixture.namespace());
    let answer = fixture.create(&deployments, &workload).await;
    assert!(answer.status == 500 && message(&answer).contains(why), "{answer:?}");

    // More than is read at all, by the cluster and by Drover.
    let huge = config_map("fourth", 4 << 20);
    let answer = fixture.create(&fixture.config_maps(), &huge).await;
    assert_eq!(answer.status, 413);
    assert!(message(&answer).contains("larger than the server takes (3 MiB)"), "{answer:?}");
    let apply = fixture.shop.path("/apply");
    let yaml = json!({ "yaml": huge.to_string() });
    let problem = fixture.site.admin.post(&apply, yaml).await.problem(422, "invalid_input");
    assert!(problem.errors[0].message.contains("3 MiB"), "{problem:?}");
    let yaml = json!({ "yaml": config_map("fifth", 9 << 20).to_string() });
    fixture.site.admin.post(&apply, yaml).await.problem(413, "body_too_large");
    assert_eq!(fixture.apply(&fixture.config_map("small")).await.outcome, ApplyOutcome::Created);
}

#[tokio::test]
async fn fields_of_others_are_taken_by_force_only() {
    let fixture = Fixture::start(&["shared"]).await;
    let with = |a: &str, b: &str| {
        let mut object = fixture.config_map("shared");
        object["data"] = json!({ "a": a, "b": b });
        object
    };
    let server_side = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
    fixture.site.cluster.kubectl_with(&server_side, &with("1", "1").to_string());

    // Through Drover: who owns what, and nothing is changed.
    let done = fixture.apply(&with("2", "2")).await;
    assert_eq!(done.outcome, ApplyOutcome::Conflict, "{done:?}");
    let mut conflicts: Vec<_> =
        done.conflicts.iter().map(|one| (one.field.as_str(), one.manager.as_str())).collect();
    conflicts.sort_unstable();
    assert_eq!(conflicts, [(".data.a", "other"), (".data.b", "other")]);
    let said = done.error.unwrap_or_default();
    assert!(said.contains("conflicts with \"other\"") && said.contains("force"), "{said}");

    // Through the cluster's API: its own 409.
    let path = format!("{}/shared?fieldManager=mine", fixture.config_maps());
    let kind = "application/apply-patch+yaml";
    let patch = async |path: &str, object: &Value| {
        fixture.call(Method::PATCH, path, kind, object.to_string()).await
    };
    let refused = patch(&path, &with("3", "1")).await;
    assert_eq!(refused.status, 409);
    let expected = "Apply failed with 1 conflict: conflict with \"other\": .data.a";
    assert_eq!(message(&refused), expected);
    let cause = &refused.value()["details"]["causes"][0];
    assert_eq!(cause["reason"], "FieldManagerConflict");
    assert_eq!(
        (&cause["field"], &cause["message"]),
        (&json!(".data.a"), &json!("conflict with \"other\""))
    );
    let read = || fixture.site.cluster.object(&["configmap/shared", "-n", fixture.namespace()]);
    assert_eq!(read()["data"], json!({ "a": "1", "b": "1" }));

    let forced = patch(&format!("{path}&force=true"), &with("3", "1")).await.expect(200).value();
    assert_eq!(forced["data"]["a"], "3");
    // Now it is the other's turn to be told.
    let output = fixture.site.cluster.try_kubectl(&server_side, &with("1", "1").to_string());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("conflict with \"mine\""), "{said}");

    // A write from a version that is no longer the newest.
    let old = read();
    fixture.site.cluster.kubectl(&["label", "configmap/shared", "-n", fixture.namespace(), "x=y"]);
    let path = format!("{}/shared", fixture.config_maps());
    let refused = fixture.call(Method::PUT, &path, "application/json", old.to_string()).await;
    assert_eq!(refused.status, 409);
    assert!(message(&refused).contains("the object has been modified"), "{refused:?}");
}

/// A webhook's configuration, for the ConfigMaps of one namespace that have this label.
fn hook(namespace: &str, policy: &str, more: &Value) -> Value {
    let mut hook = json!({
        "name": format!("{policy}.policies.test"),
        "rules": [{
            "operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"],
            "resources": ["configmaps"], "scope": "Namespaced",
        }],
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
        "objectSelector": { "matchLabels": { "policy": policy } },
        "failurePolicy": "Fail", "timeoutSeconds": 2,
        "sideEffects": "None", "admissionReviewVersions": ["v1"],
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        hook[field] = value.clone();
    }
    hook
}

// The webhook lives in the test, which waits for kubectl's words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_refuses_is_heard_in_its_own_words() {
    let fixture = Fixture::start(&["policies"]).await;
    let namespace = fixture.namespace();
    let webhook = Webhook::start().await;
    let service = json!({ "service": { "namespace": namespace, "name": "nobody" } });
    let name = fixture.site.cluster.own_name("policies");
    let what = format!("validatingwebhookconfiguration/{name}");
    fixture.site.cluster.afterwards(&["delete", &what, "--ignore-not-found"]);
    fixture.site.cluster.create(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": name },
        "webhooks": [
            hook(namespace, "names", &json!({ "clientConfig": webhook.client_config() })),
            hook(namespace, "absent", &json!({ "clientConfig": service })),
            hook(namespace, "ignored",
                &json!({ "clientConfig": service, "failurePolicy": "Ignore" })),
        ],
    }));
    let object = |name: &str, policy: &str| {
        let mut object = fixture.config_map(name);
        object["metadata"]["labels"] = json!({ "policy": policy });
        object
    };
    // What the cluster itself says, once it knows of the webhooks. One that is not on this machine
    // does not reach the test's: then it says that.
    let directly = eventually("the webhooks are asked", CLUSTER_LIMIT, async || {
        let tried = fixture.site.cluster.try_kubectl(
            &["create", "--dry-run=server", "-f", "-"],
            &object("refused", "names").to_string(),
        );
        let said = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
        said.contains("names.policies.test").then_some(said)
    })
    .await;
    let is_reached = webhook.asked() > 0;
    let expected = match is_reached {
        true => format!("admission webhook \"names.policies.test\" denied the request: {REFUSED}"),
        false => "failed calling webhook \"names.policies.test\"".to_owned(),
    };
    assert!(directly.contains(&expected), "{directly}");

    // Drover makes a sentence of it.
    let said = fixture.refused(&object("refused", "names")).await;
    assert!(said.to_lowercase().contains(&expected.to_lowercase()), "{said}");
    let answer = fixture.create(&fixture.config_maps(), &object("refused", "names")).await;
    assert!(message(&answer).contains(&expected), "{answer:?}");
    if is_reached {
        assert_eq!(answer.status, 403, "as the webhook wants it: {answer:?}");
        let done = fixture.apply(&object("fine", "names")).await;
        assert_eq!(done.outcome, ApplyOutcome::Created, "{done:?}");
        assert_eq!(done.warnings, [WARNED]);
        let answer = fixture.create(&fixture.config_maps(), &object("good", "names")).await;
        let warning = answer.expect(201).header("warning").unwrap_or_default().to_owned();
        assert!(warning.contains(WARNED), "{warning}");
    }

    // One that does not answer.
    let expected = "failed calling webhook \"absent.policies.test\"";
    let said = fixture.refused(&object("absent", "absent")).await;
    assert!(said.contains(expected) && said.contains("service \"nobody\" not found"), "{said}");
    let answer = fixture.create(&fixture.config_maps(), &object("absent", "absent")).await;
    assert_eq!(answer.status, 500);
    assert!(message(&answer).contains(expected), "{answer:?}");
    let done = fixture.apply(&object("ignored", "ignored")).await;
    assert_eq!(done.outcome, ApplyOutcome::Created, "{done:?}");

    fixture.site.cluster.kubectl(&["delete", &what]);
    eventually("nobody refuses any more", CLUSTER_LIMIT, async || {
        let done = fixture.apply(&object("absent", "absent")).await;
        (done.outcome == ApplyOutcome::Created).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_namespace_that_cannot_end_says_what_holds_it() {
    let fixture = Fixture::start(&["shop", "stuck"]).await;
    let (site, stuck) = (&fixture.site, &fixture.shop.namespaces[1]);
    let other = site.environment("Other", &["other"]).await;
    let gone = site.environment("Gone", &["gone"]).await;
    let let_go = r#"{"metadata":{"finalizers":null}}"#;
    let release = |namespace: &str| {
        let words = ["patch", "configmap/held", "-n", namespace, "--type=merge", "-p", let_go];
        words.map(str::to_owned)
    };
    for namespace in [stuck, &gone.namespaces[0]] {
        let mut held = config_map(namespace, "held");
        held["metadata"]["finalizers"] = json!(["drover.test/hold"]);
        let words = release(namespace);
        site.cluster.afterwards(&words.each_ref().map(String::as_str));
        site.cluster.create(&held);
        site.cluster.kubectl(&["delete", "namespace", namespace, "--wait=false"]);
    }

    // It is shown, with what holds it.
    let row = eventually("the reason is told", CLUSTER_LIMIT, async || {
        let rows = fixture.resources("namespaces").await;
        let row = rows.into_iter().find(|row| row.name == *stuck)?;
        let reason = row.reason.clone().unwrap_or_default();
        reason.contains("drover.test/hold").then_some(row)
    })
    .await;
    assert!(row.terminating, "{row:?}");
    // Nothing new gets into it, and the cluster says why.
    let said = fixture.refused(&config_map(stuck, "late")).await;
    assert!(said.contains("because it is being terminated"), "{said}");
    let path = format!("/api/v1/namespaces/{stuck}/configmaps");
    let answer = fixture.create(&path, &config_map(stuck, "late")).await;
    assert_eq!(answer.status, 403);
    assert!(message(&answer).contains("because it is being terminated"), "{answer:?}");

    // The rest of the environment and the other environments do not feel it.
    assert_eq!(fixture.apply(&fixture.config_map("fine")).await.outcome, ApplyOutcome::Created);
    for environment in [&fixture.shop, &other] {
        let limits = json!({ "limits": { "quota": { "pods": "7" } } });
        site.admin.patch(&environment.path(""), limits).await.expect(200);
        let namespace = &environment.namespaces[0];
        eventually("the quota is kept", CLUSTER_LIMIT, async || {
            let quota = ["get", "-n", namespace, "resourcequota/drover"];
            site.cluster.try_kubectl(&quota, "").status.success().then_some(())
        })
        .await;
    }
    // That its roles cannot be kept there is said.
    site.cluster_when("telling of it", |cluster| {
        cluster.state == ClusterState::Degraded
            && cluster
                .reason
                .as_ref()
                .is_some_and(|why| why.contains(stuck.as_str()) && why.contains("drover.test/hold"))
    })
    .await;

    // It is given up, and so is a whole environment that stands on such a one.
    let path = fixture.shop.path(&format!("/namespaces/{stuck}"));
    site.admin.delete(&path).await.expect(204);
    let shown: EnvironmentCluster = site.admin.get(&fixture.shop.path("")).await.expect(200).json();
    assert_eq!(shown.namespaces, [fixture.namespace()]);
    site.admin.delete(&format!("/v1/environments/{}", gone.id)).await.expect(204);
    site.cluster_when("whole again", |cluster| cluster.state == ClusterState::Active).await;
    assert_eq!(fixture.apply(&fixture.config_map("more")).await.outcome, ApplyOutcome::Created);

    for namespace in [stuck, &gone.namespaces[0]] {
        let words = release(namespace);
        site.cluster.kubectl(&words.each_ref().map(String::as_str));
        eventually("it is gone for good", CLUSTER_LIMIT, async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let found = site.cluster.try_kubectl(&["get", "namespace", namespace], "");
            (!found.status.success()).then_some(())
        })
        .await;
    }
}
