//! Actions on workloads and nodes.

use super::*;
use drover_api::{ActionDone, List, Operation, OperationState, RolloutRevision};

fn deployment(image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: 1\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      containers: [{{name: web, image: '{image}', command: [sh, -c, 'sleep 10000']}}]\n"
    )
}

/// A site with a Deployment `web`.
async fn with_deployment() -> (KubernetesSite, drover_tests::KubernetesEnvironment) {
    let site = KubernetesSite::start().await;
    let shop = site.environment("Shop", &["shop"]).await;
    let arguments = ["apply", "-n", &shop.namespaces[0], "-f", "-"];
    site.cluster.kubectl_with(&arguments, &deployment("busybox:1"));
    (site, shop)
}

#[tokio::test]
async fn a_deployment_is_scaled_restarted_paused_and_undone() {
    let (site, shop) = with_deployment().await;
    let namespace = shop.namespaces[0].clone();
    let path = shop.path(&format!("/objects/deployments.apps/{namespace}/web"));
    let act = async |action: Value| {
        site.admin.post(&format!("{path}/actions"), action).await.expect(200).json::<ActionDone>()
    };
    let read = || site.cluster.object(&["deployment", "web", "-n", &namespace]);
    act(json!({ "action": "scale", "replicas": 2 })).await;
    assert_eq!(read()["spec"]["replicas"], 2);
    act(json!({ "action": "restart" })).await;
    let annotations = &read()["spec"]["template"]["metadata"]["annotations"];
    assert!(annotations["kubectl.kubernetes.io/restartedAt"].is_string(), "{annotations}");
    act(json!({ "action": "pause" })).await;
    assert_eq!(read()["spec"]["paused"], true);
    let refused = site.admin.post(&format!("{path}/actions"), json!({ "action": "restart" })).await;
    refused.problem(409, "paused");
    act(json!({ "action": "resume" })).await;

    let revisions = async || -> List<RolloutRevision> {
        site.admin.get(&format!("{path}/revisions")).await.expect(200).json()
    };
    let before = eventually("the restart is a revision", CLUSTER_LIMIT, async || {
        let all = revisions().await;
        (all.items.len() == 2).then_some(all)
    })
    .await;
    assert!(before.items[0].current && !before.items[1].current, "{before:?}");
    assert!(before.items[1].diff.contains("restartedAt"), "{}", before.items[1].diff);
    let done = act(json!({ "action": "undo", "revision": before.items[1].revision })).await;
    assert!(done.message.contains(&before.items[1].revision.to_string()), "{}", done.message);
    assert!(read()["spec"]["template"]["metadata"]["annotations"].is_null());
    let none = json!({ "action": "undo", "revision": 999 });
    site.admin.post(&format!("{path}/actions"), none).await.problem(409, "no_revision");
    let bad = json!({ "action": "cordon" });
    site.admin.post(&format!("{path}/actions"), bad).await.problem(409, "no_such_action");
    let many = json!({ "action": "scale", "replicas": 10_001 });
    site.admin.post(&format!("{path}/actions"), many).await.problem(422, "invalid_input");
}

#[tokio::test]
async fn a_cron_job_runs_now_and_is_suspended() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("Shop", &["shop"]).await;
    let namespace = &shop.namespaces[0];
    let cron = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\nspec:\n  schedule: '0 3 1 1 *'\n  jobTemplate:\n    metadata: {labels: {app: nightly}}\n    spec:\n      template:\n        spec:\n          restartPolicy: Never\n          containers: [{name: a, image: 'busybox:1', command: [sh, -c, 'true']}]\n";
    site.cluster.kubectl_with(&["apply", "-n", namespace, "-f", "-"], cron);
    let path = shop.path(&format!("/objects/cronjobs.batch/{namespace}/nightly/actions"));
    let done: ActionDone =
        site.admin.post(&path, json!({ "action": "run" })).await.expect(200).json();
    let job = site.cluster.object(&["job", &done.name.expect("a Job"), "-n", namespace]);
    assert_eq!(job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"], "manual");
    assert_eq!(job["metadata"]["ownerReferences"][0]["name"], "nightly");
    site.admin.post(&path, json!({ "action": "suspend" })).await.expect(200);
    let cron = || site.cluster.object(&["cronjob", "nightly", "-n", namespace]);
    assert_eq!(cron()["spec"]["suspend"], true);
    site.admin.post(&path, json!({ "action": "unsuspend" })).await.expect(200);
    assert_eq!(cron()["spec"]["suspend"], false);
}

#[tokio::test]
async fn nodes_are_for_those_who_manage_hosts() {
    let site = KubernetesSite::start().await;
    let shop = site.environment("Shop", &["shop"]).await;
    let nodes = site.cluster.object(&["nodes"]);
    let node = nodes["items"][0]["metadata"]["name"].as_str().expect("a node").to_owned();
    let path = shop.path(&format!("/objects/nodes/-/{node}/actions"));
    let writer = site.server.member("writer", shop.id, Role::Restricted).await;
    writer.post(&path, json!({ "action": "cordon" })).await.problem(403, "forbidden");
    // Of a cluster that is shared, nodes are nobody's but the administrators'.
    let member = site.server.member("member", shop.id, Role::Member).await;
    let refused = member.post(&path, json!({ "action": "cordon" })).await;
    refused.problem(403, "forbidden_by_cluster");
}

#[tokio::test]
async fn a_drain_evicts_and_says_which_budget_blocks() {
    // Draining the nodes of a real cluster would take them from others.
    let site = KubernetesSite::with(Kubernetes::stand_in(Default::default()).await).await;
    let shop = site.environment("Shop", &["shop"]).await;
    let namespace = &shop.namespaces[0];
    let arguments = ["apply", "-n", namespace, "-f", "-"];
    site.cluster.kubectl_with(&arguments, &deployment("busybox:1"));
    let budget = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: keep}\nspec: {minAvailable: 1, selector: {matchLabels: {app: web}}}\n";
    site.cluster.kubectl_with(&arguments, budget);
    let node = eventually("the pod runs", CLUSTER_LIMIT, async || {
        let pods = site.cluster.object(&["pods", "-n", namespace, "-l", "app=web"]);
        let pod = &pods["items"][0];
        (pod["status"]["phase"] == "Running")
            .then(|| pod["spec"]["nodeName"].as_str().map(str::to_owned))?
    })
    .await;
    let path = shop.path(&format!("/objects/nodes/-/{node}/actions"));
    let drain = json!({ "action": "drain", "timeout_seconds": 60, "force": true, "delete_local_data": true });
    let done: ActionDone = site.admin.post(&path, drain).await.expect(200).json();
    let operation =
        format!("/v1/environments/{}/operations/{}", shop.id, done.operation_id.expect("one"));
    let state = async || site.admin.get(&operation).await.expect(200).json::<Operation>();
    eventually("the budget is named", CLUSTER_LIMIT, async || {
        state().await.message.contains("keep").then_some(())
    })
    .await;
    assert_eq!(site.cluster.object(&["node", &node])["spec"]["unschedulable"], true);
    site.cluster.kubectl(&["delete", "pdb", "keep", "-n", namespace]);
    eventually("it ends", CLUSTER_LIMIT, async || {
        (state().await.state == OperationState::Succeeded).then_some(())
    })
    .await;
}
