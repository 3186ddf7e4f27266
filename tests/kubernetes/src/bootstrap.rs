//! What is in a new cluster: namespaces, default roles, priority classes, nodes.

use serde_json::{Value, json};

use crate::{
    clock,
    cluster::Cluster,
    resources::{BUILT_IN, ResourceType},
};

fn put(cluster: &Cluster, mut object: Value) {
    let api = object["apiVersion"].as_str().unwrap_or_default().to_owned();
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let resource: Option<&ResourceType> = BUILT_IN
        .resources
        .iter()
        .find(|resource| resource.api_version() == api && resource.kind == kind)
        .map(std::convert::AsRef::as_ref);
    let Some(resource) = resource else { return };
    crate::defaults::metadata(&mut object);
    crate::defaults::apply(resource, &mut object);
    crate::apply::manage_update(resource, None, &mut object, "kube-apiserver", "");
    cluster.put_new(resource, object);
}

/// Fills a new cluster.
pub fn fill(cluster: &Cluster) {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        namespace(cluster, name);
    }
    roles(cluster);
    for (name, value, text) in [
        (
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        (
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
    ] {
        put(
            cluster,
            json!({
                "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
                "metadata": {"name": name, "generation": 1}, "value": value, "description": text,
            }),
        );
    }
    put(
        cluster,
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {
                "name": "standard",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "drover.test/host-path",
            "allowVolumeExpansion": true,
        }),
    );
    put(
        cluster,
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
                "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
            },
            "status": {"loadBalancer": {}},
        }),
    );
    for number in 1..=cluster.options.nodes {
        node(cluster, number);
    }
}

fn namespace(cluster: &Cluster, name: &str) {
    put(
        cluster,
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }),
    );
    in_namespace(cluster, name);
}

/// What every namespace has.
pub fn in_namespace(cluster: &Cluster, name: &str) {
    put(
        cluster,
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": name},
        }),
    );
    put(
        cluster,
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "kube-root-ca.crt", "namespace": name,
                "annotations": {"kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."},
            },
            "data": {"ca.crt": cluster.authority.pem()},
        }),
    );
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastHeartbeatTime": clock::stamp(), "lastTransitionTime": clock::stamp(),
    })
}

fn node(cluster: &Cluster, number: usize) {
    let name = format!("node-{number}");
    let mut labels = json!({
        "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": name,
        "topology.kubernetes.io/zone": format!("zone-{}", number % 3),
    });
    let mut spec = json!({"podCIDR": format!("10.244.{number}.0/24"), "podCIDRs": [format!("10.244.{number}.0/24")]});
    if number == 1 && cluster.options.nodes > 1 {
        labels["node-role.kubernetes.io/control-plane"] = json!("");
    } else {
        spec["providerID"] = json!(format!("drover-test://{name}"));
    }
    let (minor, patch) = cluster.options.version;
    put(
        cluster,
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": spec,
            "status": {
                "capacity": {"cpu": "4", "memory": "8Gi", "pods": "5000", "ephemeral-storage": "100Gi"},
                "allocatable": {"cpu": "3800m", "memory": "7Gi", "pods": "5000", "ephemeral-storage": "90Gi"},
                "addresses": [
                    {"type": "InternalIP", "address": format!("192.0.2.{number}")},
                    {"type": "Hostname", "address": name},
                ],
                "conditions": [
                    condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                    condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                    condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                    condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
                "nodeInfo": {
                    "architecture": "amd64", "operatingSystem": "linux",
                    "bootID": uuid::Uuid::new_v4().to_string(),
                    "machineID": uuid::Uuid::new_v4().simple().to_string(),
                    "systemUUID": uuid::Uuid::new_v4().to_string(),
                    "kernelVersion": "6.1.0-drover", "osImage": "Debian GNU/Linux 12 (bookworm)",
                    "containerRuntimeVersion": "containerd://2.0.0",
                    "kubeletVersion": format!("v1.{minor}.{patch}"), "kubeProxyVersion": "",
                },
            },
        }),
    );
    put(
        cluster,
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": clock::micros(clock::now())},
        }),
    );
}

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

fn role(cluster: &Cluster, name: &str, labels: Value, rules: Value) {
    let mut labels = labels;
    labels["kubernetes.io/bootstrapping"] = json!("rbac-defaults");
    put(
        cluster,
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {
                "name": name, "labels": labels,
                "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
            },
            "rules": rules,
        }),
    );
}

fn bind(cluster: &Cluster, name: &str, role: &str, groups: &[&str]) {
    let subjects: Vec<_> = groups
        .iter()
        .map(|group| json!({"kind": "Group", "name": group, "apiGroup": "rbac.authorization.k8s.io"}))
        .collect();
    put(
        cluster,
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {
                "name": name,
                "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
                "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
            },
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": subjects,
        }),
    );
}

fn roles(cluster: &Cluster) {
    role(
        cluster,
        "cluster-admin",
        json!({}),
        json!([
            rule(&["*"], &["*"], &["*"]),
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ]),
    );
    bind(cluster, "cluster-admin", "cluster-admin", &["system:masters"]);
    role(
        cluster,
        "system:discovery",
        json!({}),
        json!([{
            "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"],
            "verbs": ["get"],
        }]),
    );
    bind(cluster, "system:discovery", "system:discovery", &["system:authenticated"]);
    role(
        cluster,
        "system:public-info-viewer",
        json!({}),
        json!([{
            "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"], "verbs": ["get"],
        }]),
    );
    bind(
        cluster,
        "system:public-info-viewer",
        "system:public-info-viewer",
        &["system:authenticated", "system:unauthenticated"],
    );
    role(
        cluster,
        "system:basic-user",
        json!({}),
        json!([
            rule(
                &["authorization.k8s.io"],
                &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                &["create"]
            ),
            rule(&["authentication.k8s.io"], &["selfsubjectreviews"], &["create"]),
        ]),
    );
    bind(cluster, "system:basic-user", "system:basic-user", &["system:authenticated"]);
    role(
        cluster,
        "system:auth-delegator",
        json!({}),
        json!([
            rule(&["authentication.k8s.io"], &["tokenreviews"], &["create"]),
            rule(&["authorization.k8s.io"], &["subjectaccessreviews"], &["create"]),
        ]),
    );
    role(
        cluster,
        "system:monitoring",
        json!({}),
        json!([{
            "nonResourceURLs": ["/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*"], "verbs": ["get"],
        }]),
    );
    bind(cluster, "system:monitoring", "system:monitoring", &["system:monitoring"]);
    everyday(cluster);
}

/// The roles for people, put together from parts by their labels.
fn everyday(cluster: &Cluster) {
    let to = |role: &str| format!("rbac.authorization.k8s.io/aggregate-to-{role}");
    for (name, from, into) in
        [("admin", "admin", None), ("edit", "edit", Some("admin")), ("view", "view", Some("edit"))]
    {
        let mut labels = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
        if let Some(into) = into {
            labels[to(into)] = json!("true");
        }
        put(
            cluster,
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                "metadata": {
                    "name": name, "labels": labels,
                    "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
                },
                "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {to(from): "true"}}]},
                "rules": [],
            }),
        );
    }
    let core = &[
        "configmaps",
        "events",
        "persistentvolumeclaims",
        "replicationcontrollers",
        "replicationcontrollers/scale",
        "serviceaccounts",
        "services",
        "services/proxy",
    ];
    let apps = &[
        "daemonsets",
        "deployments",
        "deployments/rollback",
        "deployments/scale",
        "replicasets",
        "replicasets/scale",
        "statefulsets",
        "statefulsets/scale",
    ];
    role(
        cluster,
        "system:aggregate-to-view",
        json!({to("view"): "true"}),
        json!([
            rule(
                &[""],
                &[
                    "configmaps",
                    "endpoints",
                    "persistentvolumeclaims",
                    "persistentvolumeclaims/status",
                    "pods",
                    "replicationcontrollers",
                    "replicationcontrollers/scale",
                    "serviceaccounts",
                    "services",
                    "services/status"
                ],
                READ
            ),
            rule(
                &[""],
                &[
                    "bindings",
                    "events",
                    "limitranges",
                    "namespaces/status",
                    "pods/log",
                    "pods/status",
                    "replicationcontrollers/status",
                    "resourcequotas",
                    "resourcequotas/status"
                ],
                READ
            ),
            rule(&[""], &["namespaces"], READ),
            rule(&["discovery.k8s.io"], &["endpointslices"], READ),
            rule(
                &["apps"],
                &[
                    "controllerrevisions",
                    "daemonsets",
                    "daemonsets/status",
                    "deployments",
                    "deployments/scale",
                    "deployments/status",
                    "replicasets",
                    "replicasets/scale",
                    "replicasets/status",
                    "statefulsets",
                    "statefulsets/scale",
                    "statefulsets/status"
                ],
                READ
            ),
            rule(
                &["autoscaling"],
                &["horizontalpodautoscalers", "horizontalpodautoscalers/status"],
                READ
            ),
            rule(&["batch"], &["cronjobs", "cronjobs/status", "jobs", "jobs/status"], READ),
            rule(
                &["networking.k8s.io"],
                &["ingresses", "ingresses/status", "networkpolicies"],
                READ
            ),
            rule(&["policy"], &["poddisruptionbudgets", "poddisruptionbudgets/status"], READ),
        ]),
    );
    role(
        cluster,
        "system:aggregate-to-edit",
        json!({to("edit"): "true"}),
        json!([
            rule(
                &[""],
                &[
                    "pods/attach",
                    "pods/exec",
                    "pods/portforward",
                    "pods/proxy",
                    "secrets",
                    "services/proxy"
                ],
                READ
            ),
            rule(&[""], &["serviceaccounts"], &["impersonate"]),
            rule(
                &[""],
                &["pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"],
                WRITE
            ),
            rule(&[""], &["pods/eviction"], &["create"]),
            rule(&[""], core, WRITE),
            rule(&[""], &["secrets"], WRITE),
            rule(&[""], &["serviceaccounts/token"], &["create"]),
            rule(&["apps"], apps, WRITE),
            rule(&["autoscaling"], &["horizontalpodautoscalers"], WRITE),
            rule(&["batch"], &["cronjobs", "jobs"], WRITE),
            rule(&["networking.k8s.io"], &["ingresses", "networkpolicies"], WRITE),
            rule(&["policy"], &["poddisruptionbudgets"], WRITE),
            rule(
                &["coordination.k8s.io"],
                &["leases"],
                &[
                    "create",
                    "delete",
                    "deletecollection",
                    "get",
                    "list",
                    "patch",
                    "update",
                    "watch"
                ]
            ),
        ]),
    );
    let all: Vec<&str> = READ.iter().chain(WRITE).copied().collect();
    role(
        cluster,
        "system:aggregate-to-admin",
        json!({to("admin"): "true"}),
        json!([
            rule(&["authorization.k8s.io"], &["localsubjectaccessreviews"], &["create"]),
            rule(&["rbac.authorization.k8s.io"], &["rolebindings", "roles"], &all),
        ]),
    );
    crate::controllers::aggregate_roles(cluster);
}
