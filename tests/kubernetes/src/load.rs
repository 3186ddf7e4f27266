//! A cluster of a size, and changes at a rate, for benchmarks: what is made is written straight
//! into the store, so that it is there at once and costs little.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    apply, clock,
    cluster::{Cluster, storage},
    controllers::hash,
    defaults,
    resources::{Catalog, ResourceType},
};

/// How large, and how lively.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Pods.
    pub pods: usize,
    /// All other objects: a Deployment and a ReplicaSet for ten pods, and Services, ConfigMaps,
    /// Secrets and Ingresses for the rest.
    pub others: usize,
    /// Changes of pods in a second.
    pub changes_per_second: u32,
}

impl Default for Load {
    fn default() -> Self {
        Self { pods: 10_000, others: 3_000, changes_per_second: 100 }
    }
}

const NAMESPACES: usize = 20;
const PODS_EACH: usize = 10;

fn namespace(number: usize) -> String {
    format!("team-{:02}", number % NAMESPACES + 1)
}

fn put(cluster: &Cluster, group: &str, plural: &str, mut object: Value, manager: &str) {
    let Some(resource) = Catalog::built_in(group, plural) else { return };
    defaults::apply(&resource, &mut object);
    defaults::metadata(&mut object);
    if object["metadata"]["managedFields"].is_null() {
        apply::manage_update(&resource, None, &mut object, manager, "");
    }
    cluster.put_new(&resource, object);
}

/// Fills a cluster.
pub fn fill(cluster: &Cluster, load: &Load) {
    for number in 0..NAMESPACES {
        put(
            cluster,
            "",
            "namespaces",
            json!({
                "metadata": {"name": namespace(number), "labels": {"team": format!("{number}")}},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            }),
            "kubectl-create",
        );
    }
    let apps = load.pods.div_ceil(PODS_EACH).min(load.others / 2).max(1);
    let sample = sample(cluster);
    for app in 0..apps {
        let (deployment, set) = workload(cluster, app);
        let pods = load.pods / apps + usize::from(app < load.pods % apps);
        for pod in 0..pods {
            self::pod(cluster, &sample, app, pod, &deployment, &set);
        }
    }
    rest(cluster, apps, load.others.saturating_sub(apps * 2));
}

fn app_name(app: usize) -> String {
    const WORDS: &[&str] = &[
        "frontend",
        "checkout",
        "catalogue",
        "payments",
        "search",
        "worker",
        "gateway",
        "reports",
    ];
    format!("{}-{app:04}", WORDS[app % WORDS.len()])
}

/// A Deployment with its ReplicaSet; gives the ReplicaSet's name and id.
fn workload(cluster: &Cluster, app: usize) -> (String, String) {
    let name = app_name(app);
    let labels = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop", "tier": if app.is_multiple_of(2) { "front" } else { "back" }});
    let template = json!({
        "metadata": {"labels": labels},
        "spec": {"containers": [{
            "name": "main", "image": format!("registry.example.com/shop/{name}:1.{}.0", app % 20),
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        }]},
    });
    let mark = hash(&template);
    let uid = uuid::Uuid::new_v4().to_string();
    let set_uid = uuid::Uuid::new_v4().to_string();
    let status = json!({"observedGeneration": 1, "replicas": PODS_EACH, "readyReplicas": PODS_EACH, "availableReplicas": PODS_EACH});
    put(
        cluster,
        "apps",
        "deployments",
        json!({
            "metadata": {
                "name": name, "namespace": namespace(app), "uid": uid, "generation": 1, "labels": labels,
                "annotations": {"deployment.kubernetes.io/revision": "1"},
            },
            "spec": {"replicas": PODS_EACH, "selector": {"matchLabels": {"app.kubernetes.io/name": name}}, "template": template},
            "status": status,
        }),
        "kubectl",
    );
    let set = format!("{name}-{mark}");
    let mut inner = template;
    inner["metadata"]["labels"]["pod-template-hash"] = json!(mark);
    put(
        cluster,
        "apps",
        "replicasets",
        json!({
            "metadata": {
                "name": set, "namespace": namespace(app), "uid": set_uid, "generation": 1,
                "labels": inner["metadata"]["labels"],
                "annotations": {"deployment.kubernetes.io/revision": "1", "deployment.kubernetes.io/desired-replicas": "10", "deployment.kubernetes.io/max-replicas": "13"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true}],
            },
            "spec": {"replicas": PODS_EACH, "selector": {"matchLabels": {"app.kubernetes.io/name": name, "pod-template-hash": mark}}, "template": inner},
            "status": status,
        }),
        "kube-controller-manager",
    );
    (set, set_uid)
}

/// A pod as a real cluster has it, with all that the server and the kubelet add: the others are
/// made from it.
fn sample(cluster: &Cluster) -> Value {
    let since = clock::stamp();
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": since, "observedGeneration": 1});
    let mount = json!({"name": "kube-api-access-abcde", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true});
    let variables: Vec<_> = (0..8).map(|number| json!({"name": format!("SETTING_{number}"), "value": format!("value-of-setting-{number}")})).collect();
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "sample", "namespace": "default", "generateName": "sample-",
            "labels": {"app.kubernetes.io/name": "x", "app.kubernetes.io/part-of": "shop", "pod-template-hash": "x", "tier": "front"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "checksum/config": "3f2c7a1b9d8e4f605142738495a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "x", "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {
            "nodeName": "node-1", "serviceAccountName": "default",
            "containers": [{
                "name": "main", "image": "x", "env": variables,
                "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090}],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
                "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "initialDelaySeconds": 5},
                "volumeMounts": [mount, {"name": "config", "mountPath": "/etc/app"}],
            }],
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            ],
            "volumes": [
                {"name": "kube-api-access-abcde", "projected": {"sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                ]}},
                {"name": "config", "configMap": {"name": "settings"}},
            ],
            "enableServiceLinks": true, "priority": 0, "preemptionPolicy": "PreemptLowerPriority",
        },
    });
    if let Some(resource) = Catalog::built_in("", "pods") {
        defaults::apply(&resource, &mut pod);
        apply::manage_update(&resource, None, &mut pod, "kube-controller-manager", "");
        let before = pod.clone();
        pod["status"] = json!({
            "phase": "Running", "hostIP": "192.0.2.1", "hostIPs": [{"ip": "192.0.2.1"}],
            "podIP": "10.244.1.2", "podIPs": [{"ip": "10.244.1.2"}], "qosClass": "Burstable", "startTime": since,
            "conditions": [condition("PodReadyToStartContainers"), condition("Initialized"), condition("Ready"), condition("ContainersReady"), condition("PodScheduled")],
            "containerStatuses": [{
                "name": "main", "image": "x", "imageID": format!("x@sha256:{}", "0123456789abcdef".repeat(4)),
                "containerID": format!("containerd://{}", "fedcba9876543210".repeat(4)),
                "ready": true, "started": true, "restartCount": 0, "lastState": {}, "state": {"running": {"startedAt": since}},
            }],
        });
        apply::manage_update(&resource, Some(&before), &mut pod, "kubelet", "status");
    }
    let _ = cluster;
    pod
}

fn pod(cluster: &Cluster, sample: &Value, app: usize, number: usize, set: &str, set_uid: &str) {
    let mut pod = sample.clone();
    let name = format!("{set}-{}", &hash(&json!([app, number]))[..5]);
    let node = (app * PODS_EACH + number) % cluster.options.nodes.max(1) + 1;
    let address = format!("10.{}.{}.{}", 200 + app / 250 % 50, app % 250, number % 250 + 2);
    let metadata = &mut pod["metadata"];
    metadata["name"] = json!(name);
    metadata["generateName"] = json!(format!("{set}-"));
    metadata["namespace"] = json!(namespace(app));
    metadata["uid"] = json!(uuid::Uuid::new_v4().to_string());
    metadata["creationTimestamp"] = json!(clock::stamp());
    metadata["labels"]["app.kubernetes.io/name"] = json!(app_name(app));
    metadata["labels"]["pod-template-hash"] = json!(set.rsplit('-').next().unwrap_or_default());
    metadata["labels"]["tier"] = json!(if app.is_multiple_of(2) { "front" } else { "back" });
    metadata["ownerReferences"][0]["name"] = json!(set);
    metadata["ownerReferences"][0]["uid"] = json!(set_uid);
    let image = format!("registry.example.com/shop/{}:1.{}.0", app_name(app), app % 20);
    pod["spec"]["containers"][0]["image"] = json!(image);
    pod["spec"]["nodeName"] = json!(format!("node-{node}"));
    let status = &mut pod["status"];
    status["podIP"] = json!(address);
    status["podIPs"] = json!([{"ip": address}]);
    status["hostIP"] = json!(format!("192.0.2.{node}"));
    status["hostIPs"] = json!([{"ip": format!("192.0.2.{node}")}]);
    status["containerStatuses"][0]["image"] = json!(image);
    put(cluster, "", "pods", pod, "kubelet");
}

fn rest(cluster: &Cluster, apps: usize, count: usize) {
    for number in 0..count {
        let name = app_name(number % apps);
        let metadata = json!({"name": format!("{name}-{}", number / apps), "namespace": namespace(number % apps), "labels": {"app.kubernetes.io/name": name}});
        match number % 5 {
            0 | 1 => put(
                cluster,
                "",
                "services",
                json!({
                    "metadata": metadata,
                    "spec": {"selector": {"app.kubernetes.io/name": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}], "clusterIP": format!("10.97.{}.{}", number / 250, number % 250 + 1)},
                    "status": {"loadBalancer": {}},
                }),
                "kubectl",
            ),
            2 => put(
                cluster,
                "",
                "configmaps",
                json!({"metadata": metadata, "data": {"app.yaml": "log_level: info\nworkers: 4\n".repeat(20)}}),
                "kubectl",
            ),
            3 => put(
                cluster,
                "",
                "secrets",
                json!({"metadata": metadata, "data": {"password": "c2VjcmV0LXBhc3N3b3Jk"}}),
                "kubectl",
            ),
            _ => put(
                cluster,
                "networking.k8s.io",
                "ingresses",
                json!({
                    "metadata": metadata,
                    "spec": {"rules": [{"host": format!("{name}.example.com"), "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": format!("{name}-0"), "port": {"name": "http"}}}}]}}]},
                    "status": {"loadBalancer": {}},
                }),
                "kubectl",
            ),
        }
    }
}

/// Changes pods at the rate of a load, for as long as the task lives.
pub async fn churn(cluster: Arc<Cluster>, load: Load) {
    if load.changes_per_second == 0 {
        return;
    }
    let key = storage("", "pods");
    let mut keys: Vec<_> =
        cluster.store.list(&key, None).objects.iter().map(|pod| pod.key()).collect();
    // Neighbours in the list are not neighbours in time.
    keys.sort_by_key(|key| hash(&json!(key)));
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / load.changes_per_second);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for (namespace, name) in keys.iter().cycle() {
        ticks.tick().await;
        cluster.modify(&key, namespace, name, |pod| {
            let container = &mut pod["status"]["containerStatuses"][0];
            let restarts = container["restartCount"].as_i64().unwrap_or(0);
            container["restartCount"] = json!(restarts + 1);
            container["state"]["running"]["startedAt"] = json!(clock::stamp());
            container["lastState"] = json!({"terminated": {"exitCode": 1, "reason": "Error", "startedAt": clock::stamp(), "finishedAt": clock::stamp()}});
            true
        });
    }
}

/// Writes as many events as a rate makes in a time, and no faster; how many.
pub async fn events(
    cluster: Arc<Cluster>,
    namespace: String,
    per_second: u32,
    time: Duration,
) -> u64 {
    let Some(resource) = Catalog::built_in("", "events") else { return 0 };
    // Made once, and then only told apart: at such rates all else would cost too much.
    let sample = event(&resource, &namespace);
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let each = per_second.div_ceil(100).max(1);
    let all = u64::from(per_second) * u64::try_from(time.as_millis()).unwrap_or(0) / 1000;
    let mut number = 0_u64;
    while number < all {
        ticks.tick().await;
        for _ in 0..each {
            let next = number + 1;
            let mut event = sample.clone();
            event["metadata"]["name"] = json!(format!("burst.{next:016x}"));
            event["metadata"]["uid"] = json!(uuid::Uuid::new_v4().to_string());
            event["involvedObject"]["name"] = json!(format!("pod-{}", next % 1000));
            event["message"] = json!(format!("Readiness probe failed: number {next}"));
            if cluster.store.create(&resource.storage, event).is_err() {
                return number;
            }
            number = next;
        }
    }
    number
}

fn event(resource: &ResourceType, namespace: &str) -> Value {
    let mut event = json!({
        "metadata": {"name": "burst", "namespace": namespace},
        "involvedObject": {"kind": "Pod", "apiVersion": "v1", "name": "pod", "namespace": namespace},
        "reason": "Unhealthy", "message": "Readiness probe failed", "type": "Warning",
        "source": {"component": "kubelet", "host": "node-1"}, "count": 1,
        "firstTimestamp": clock::stamp(), "lastTimestamp": clock::stamp(),
        "reportingComponent": "kubelet", "reportingInstance": "node-1",
    });
    defaults::apply(resource, &mut event);
    defaults::metadata(&mut event);
    apply::manage_update(resource, None, &mut event, "kubelet", "");
    if let Some(fields) = event.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    event
}
