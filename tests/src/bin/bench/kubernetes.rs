//! Kubernetes clusters of a size: how soon all of one is known, what that costs, how quickly lists
//! are answered and changes shown, and what the way through the server costs beside the cluster's
//! own API.

use std::time::{Duration, Instant};

use drover_api::{ClusterKind, ClusterShare, CreateEnvironment, Environment, ResourceList};
use drover_test_kubernetes::{ApiServer, Load};
use drover_tests::{Kubernetes, KubernetesSite, TestServer, eventually, http_client, resident};
use serde_json::json;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{
    Row, at_50_connections, beyond, caller::Caller, on_the_page, percentile, ratio, shown,
    signed_in, watch,
};

/// How many clusters are one too many for a small server.
const SEVERAL: usize = 10;
/// The types that the objects of a load are of.
const TYPES: [&str; 7] = [
    "pods",
    "deployments.apps",
    "replicasets.apps",
    "services",
    "configmaps",
    "secrets",
    "ingresses.networking.k8s.io",
];
/// How long a cluster may take until all of it is known.
const LIMIT: Duration = Duration::from_secs(120);

pub async fn rows() -> Vec<Row> {
    let (site, mut rows) = several_times().await;
    rows.extend(list(&site).await);
    rows.push(one_object(&site).await);
    rows.push(big_list(&site).await);
    rows.push(watches(&site).await);
    rows.push(page(&site).await);
    drop(site);
    rows.push(ten().await);
    rows
}

/// A server, and a made-up cluster that it knows all of.
struct Site {
    inner: KubernetesSite,
    environment: Uuid,
    /// As a cluster's administrator, past Drover.
    bearer: String,
}

impl Site {
    /// As well: the server's memory before, MiB, and how long it took until all was known, s.
    async fn start() -> (Self, f64, f64) {
        let cluster = cluster().await;
        let bearer = cluster.server().add_token("bench", &["system:masters"], None);
        let server = TestServer::start().await;
        let browser = server.admin().await;
        let (key, admin) = server.key(&browser, None, None).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = resident(server.pid());
        let start = Instant::now();
        let inner = KubernetesSite::import(server, cluster, admin, key.token).await;
        let environment = whole_cluster(&inner, inner.cluster_id, "load").await;
        let site = Self { inner, environment, bearer };
        site.is_known(environment).await;
        (site, before, start.elapsed().as_secs_f64())
    }

    fn path(&self, rest: &str) -> String {
        list_path(self.environment, rest)
    }

    fn direct(&self) -> Caller {
        let server = self.inner.cluster.server();
        Caller::cluster(server.address().to_string(), &server.ca(), self.bearer.clone())
    }

    fn through(&self) -> Caller {
        Caller::Server {
            address: self.inner.server.base().replace("http://", ""),
            prefix: format!("/k8s/clusters/{}", self.inner.cluster_id),
            token: self.inner.token.clone(),
        }
    }

    /// Waits until all objects of a cluster are listed.
    async fn is_known(&self, environment: Uuid) {
        let Load { pods, others, .. } = Load::default();
        eventually("all of the cluster is known", LIMIT, async || {
            let mut known = 0;
            for name in TYPES {
                let path = list_path(environment, &format!("{name}?limit=1"));
                let answer = self.inner.admin.get(&path).await;
                known += (answer.status == 200).then(|| answer.json::<ResourceList>().total)?;
            }
            (known >= (pods + others) as u64).then_some(())
        })
        .await;
    }
}

async fn cluster() -> Kubernetes {
    Kubernetes::stand_in(ApiServer::builder().metrics(false).load(Load::default())).await
}

fn list_path(environment: Uuid, rest: &str) -> String {
    format!("/v1/environments/{environment}/kubernetes/resources/{rest}")
}

/// An environment on all namespaces of a cluster.
async fn whole_cluster(site: &KubernetesSite, cluster_id: Uuid, name: &str) -> Uuid {
    let new = CreateEnvironment {
        name: name.to_owned(),
        cluster_kind: ClusterKind::Kubernetes,
        kubernetes: Some(ClusterShare { cluster_id, namespaces: None }),
        ..CreateEnvironment::default()
    };
    let made: Environment = site.admin.post("/v1/environments", new).await.expect(201).json();
    made.id
}

/// How soon all is known, by new servers and clusters; what the last one's server needs for it.
async fn several_times() -> (Site, Vec<Row>) {
    let mut values = Vec::new();
    let (mut site, mut before, took) = Site::start().await;
    values.push(took);
    while values.len() < 5 {
        drop(site);
        let took;
        (site, before, took) = Site::start().await;
        values.push(took);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let all = resident(site.inner.server.pid());
    let mib = all - before;
    let (median, worst) = (percentile(&mut values, 50), percentile(&mut values, 100));
    let rows = vec![
        Row {
            what: "Kubernetes cluster of 10,000 pods and 3,000 other objects, until all is known",
            goal: "< 5 s",
            measured: format!("median {median:.2} s, longest {worst:.2} s (5 runs)"),
            met: worst < 5.0,
        },
        Row {
            what: "Resident memory for that cluster",
            goal: "< 40 MiB",
            measured: format!("{mib:.0} MiB ({all:.0} MiB in all)"),
            met: mib < 40.0,
        },
    ];
    (site, rows)
}

/// A page of pods at 50 connections, and all pods as the cluster's own API gives them.
async fn list(site: &Site) -> [Row; 2] {
    let path = site.path("pods?limit=100&sort=-restarts&status==Running&q=checkout");
    let list: ResourceList = site.inner.admin.get(&path).await.expect(200).json();
    assert_eq!((list.items.len(), list.total), (100, 1250));
    let load = at_50_connections(&site.inner.server, &site.inner.token, &path);
    let mut all = site.direct().latencies("/api/v1/pods", 10).await;
    let all = percentile(&mut all, 50);
    let ratio = all / load.median;
    [
        Row {
            what: "Page of 100 of those pods, filtered and sorted, at 50 connections",
            goal: "p99 < 10 ms",
            measured: format!(
                "median {:.2} ms, p99 {:.2} ms ({:.0}/s)",
                load.median, load.p99, load.rate
            ),
            met: load.p99 < 10.0,
        },
        Row {
            what: "The same page, against the API server's list of all pods",
            goal: "≥ 20 × faster",
            measured: format!("{ratio:.0} × (median {:.2} ms against {all:.0} ms)", load.median),
            met: ratio >= 20.0,
        },
    ]
}

/// From a change of a pod's status in the cluster to an open list of its namespace, while all the
/// other changes go on.
async fn page(site: &Site) -> Row {
    let server = site.inner.cluster.server();
    let authority = reqwest::Certificate::from_pem(server.ca().as_bytes()).unwrap();
    let http = http_client().tls_certs_only([authority]).build().unwrap();
    let list: ResourceList =
        site.inner.admin.get(&site.path("pods?limit=20&sort=name&namespace=team-02")).await.json();
    let browser = signed_in(&site.inner.server).await;
    let page = format!(
        "{}/environments/{}/kubernetes/pods?namespace=team-02&sort=name",
        site.inner.server.base(),
        site.environment
    );
    browser.open(&page).await;
    browser.see(".table-row", &list.items[0].name).await;
    let mut values = Vec::new();
    for (n, row) in list.items.iter().cycle().take(60).enumerate() {
        let mark = format!("Mark{n:02}");
        watch(&browser, &row.name, &[&mark]).await;
        let url = format!("{}/api/v1/namespaces/team-02/pods/{}/status", server.url(), row.name);
        let changed = crate::now();
        let answer = http
            .patch(url)
            .bearer_auth(&site.bearer)
            .header("content-type", "application/merge-patch+json")
            .body(json!({ "status": { "reason": mark } }).to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        values.push(shown(&browser, &mark).await - changed);
        // Not always at the same point of what the page does in turns.
        tokio::time::sleep(Duration::from_millis(100 + n as u64 * 13 % 300)).await;
    }
    browser.close().await;
    on_the_page(
        "From a change in that cluster to the change on the page",
        "p95 < 300 ms",
        300.0,
        values,
    )
}

async fn one_object(site: &Site) -> Row {
    let list: ResourceList =
        site.inner.admin.get(&site.path("pods?limit=1&namespace=team-03")).await.json();
    let path = format!("/api/v1/namespaces/team-03/pods/{}", list.items[0].name);
    let callers = [site.direct(), site.through()];
    let what = "`GET` of a pod through `/k8s/clusters/{id}`, beyond the API server's own time";
    beyond(what, &callers, &path, 1000).await
}

/// A list of 50 MiB, as fast as the API server gives it, by turns.
async fn big_list(site: &Site) -> Row {
    const BYTES: usize = 50 << 20;
    let (direct, through) = (site.direct(), site.through());
    let mut connection = direct.connect().await;
    let few = direct.get(&mut connection, "/api/v1/pods?limit=100").await.len();
    let path = format!("/api/v1/pods?limit={}", BYTES * 100 / few + 100);
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..10 {
        for (caller, rates) in [&direct, &through].into_iter().zip(&mut rates) {
            let mut connection = caller.connect().await;
            let start = Instant::now();
            let bytes = caller.get(&mut connection, &path).await.len();
            assert!(bytes >= BYTES, "{bytes} bytes");
            rates.push(bytes as f64 / 1024.0 / 1024.0 / start.elapsed().as_secs_f64());
        }
    }
    ratio(
        "A list of 50 MiB through `/k8s/clusters/{id}`, against the API server itself",
        "≥ 0.9 ×",
        0.9,
        " MiB/s",
        rates,
    )
}

/// Watches of the pods of a namespace, while those change.
async fn watches(site: &Site) -> Row {
    const COUNT: usize = 200;
    let (pid, through) = (site.inner.server.pid(), site.through());
    let before = resident(pid);
    let mut open: Vec<JoinHandle<u64>> = Vec::new();
    let mut connection = through.connect().await;
    for n in 0..COUNT {
        let namespace = format!("team-{:02}", n % 20 + 1);
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let list = through.get(&mut connection, &format!("{pods}?limit=1")).await;
        let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
        let version = list["metadata"]["resourceVersion"].as_str().unwrap();
        let path = format!("{pods}?watch=true&resourceVersion={version}");
        open.push(through.follow(&path).await);
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    let each = (resident(pid) - before) * 1024.0 / COUNT as f64;
    assert!(open.iter().all(|watch| !watch.is_finished()), "all are still open");
    for watch in open {
        watch.abort();
    }
    Row {
        what: "Resident memory for each of 200 open watches through `/k8s/clusters/{id}`",
        goal: "< 100 KiB",
        measured: format!("{each:.0} KiB"),
        met: each < 100.0,
    }
}

/// Several such clusters at one server.
async fn ten() -> Row {
    let (first, before, _) = Site::start().await;
    let mut others = Vec::new();
    for n in 1..SEVERAL {
        let cluster = cluster().await;
        let imported: drover_api::KubernetesCluster = first
            .inner
            .admin
            .post("/v1/kubernetes/clusters", cluster.import(&format!("load {n}")))
            .await
            .expect(201)
            .json();
        others.push(cluster);
        let environment = whole_cluster(&first.inner, imported.id, &format!("load {n}")).await;
        first.is_known(environment).await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let all = resident(first.inner.server.pid());
    let mib = all - before;
    Row {
        what: "Resident memory for ten such clusters, all of which change",
        goal: "< 400 MiB",
        measured: format!("{mib:.0} MiB ({all:.0} MiB in all)"),
        met: mib < 400.0,
    }
}
