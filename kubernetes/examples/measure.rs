//! Measures the index of a cluster: `measure KUBECONFIG [SECONDS]` prints how long the first list
//! took, what the process holds, and what questions cost, and then follows changes. Instead of a
//! kubeconfig, `made-up:10000` is a cluster of so many pods that this process itself makes up, a
//! page at a time, and of which 100 change in a second.

use std::{
    collections::BTreeMap,
    error::Error,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use drover_kubernetes::{
    client::{
        Access, Cluster, Credentials, Dial, FailureKind, Reach, Stream, kubeconfig::Kubeconfig,
    },
    index::{Field, Filter, Index, Options, Query, Scope},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::broadcast::error::RecvError,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: measure KUBECONFIG [SECONDS]")?;
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let cluster = match path.strip_prefix("made-up:") {
        Some(pods) => made_up(pods.parse()?)?,
        None => {
            let kubeconfig = Kubeconfig::read(&std::fs::read_to_string(path)?)?;
            let access = kubeconfig.choose(None).map_err(|problems| problems.join(" "))?;
            Cluster::direct(&access, Reach::Anywhere)?
        }
    };

    let before = rss();
    let began = Instant::now();
    let index = Index::start(cluster, Options::default());
    let mut changes = index.changes();
    let pods = loop {
        match index.open("pods").await {
            Ok(pods) => break pods,
            // The first list may take longer than a question waits.
            Err(failure)
                if failure.kind() == FailureKind::Away && began.elapsed().as_secs() < 300 => {}
            Err(failure) => return Err(failure.into()),
        }
    };
    println!("pods known after {:?}", began.elapsed());
    while index.types().iter().any(|kept| !kept.state.synced && kept.state.error.is_none()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("all known after {:?}; {:?}", began.elapsed(), index.status());
    for kept in index.types() {
        println!(
            "  {:6} {} {:?}",
            kept.count,
            kept.resource.name,
            kept.state.error.map(|e| e.to_string())
        );
    }
    println!(
        "resident: {} KiB, of which the index {} KiB, at most {} KiB; {} texts",
        rss().0,
        rss().0.saturating_sub(before.0),
        rss().1,
        index.pooled_texts()
    );

    let mut query = Query::new(Scope::all());
    ask("by name", &pods, &query)?;
    query.filters = vec![Filter::parse("status", "Running")];
    query.sort = vec![(Field::parse("restarts"), true)];
    ask("running, by restarts", &pods, &query)?;
    query.text = Some("1".into());
    ask("running, by restarts, with a text", &pods, &query)?;
    query.sort = vec![(Field::parse("node"), false), (Field::parse("age"), true)];
    ask("the same by two fields", &pods, &query)?;
    let asked = Instant::now();
    let groups = pods.groups(&Query::new(Scope::all()), &Field::Owner)?;
    println!("{} groups by owner in {:?}", groups.len(), asked.elapsed());

    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
    loop {
        match tokio::time::timeout_at(end, changes.recv()).await {
            Ok(Ok(told)) => {
                let count = counts.entry(told.resource.name.to_string()).or_default();
                *count += told.rows.as_ref().map_or(1, Vec::len);
            }
            Ok(Err(RecvError::Lagged(missed))) => println!("missed {missed}"),
            Ok(Err(RecvError::Closed)) | Err(_) => break,
        }
    }
    println!("told in {seconds} s: {counts:?}");
    println!("resident: {} KiB, at most {} KiB", rss().0, rss().1);
    Ok(())
}

fn ask(
    what: &str,
    live: &drover_kubernetes::index::Live,
    query: &Query,
) -> Result<(), Box<dyn Error>> {
    let asked = Instant::now();
    let page = live.page(query)?;
    let first = asked.elapsed();
    // Another page: the order is there, the answer is not.
    let mut second = query.clone();
    second.offset = 100;
    let asked = Instant::now();
    live.page(&second)?;
    let next = asked.elapsed();
    let asked = Instant::now();
    live.page(query)?;
    println!(
        "{what}: {} of {}: first {first:?}, another page {next:?}, again {:?}",
        page.rows.len(),
        page.total,
        asked.elapsed()
    );
    Ok(())
}

/// A cluster that is made up.
fn made_up(pods: usize) -> Result<Cluster, Box<dyn Error>> {
    let access = Access {
        server: "http://made-up".into(),
        ca_pem: None,
        tls_server_name: None,
        insecure: false,
        credentials: Credentials::token("made-up".to_owned().into()),
        namespace: None,
    };
    Ok(Cluster::new(&access, Arc::new(MadeUp { pods }))?)
}

#[derive(Clone, Copy)]
struct MadeUp {
    pods: usize,
}

#[async_trait]
impl Dial for MadeUp {
    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        tokio::spawn(self.serve(theirs));
        Ok(Box::new(ours))
    }
}

impl MadeUp {
    async fn serve(self, mut stream: DuplexStream) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
            )
            .await?;
        if path.contains("watch=1") {
            let mut version = self.pods;
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                if path.starts_with("/api/v1/pods") {
                    version += 1;
                    let row = pod(version * 7 % self.pods, version);
                    let event =
                        json!({"type": "MODIFIED", "object": {"kind": "Table", "rows": [row]}});
                    stream.write_all(format!("{event}\n").as_bytes()).await?;
                } else {
                    // So that the end of the other side is seen.
                    stream.write_all(b"\n").await?;
                }
            }
        }
        stream.write_all(self.answer(&path).to_string().as_bytes()).await
    }

    fn answer(&self, path: &str) -> Value {
        match path.split('?').next().unwrap_or_default() {
            "/version" => json!({"gitVersion": "made up"}),
            "/api" => {
                let resources: Vec<Value> = ["pods", "configmaps"]
                    .iter()
                    .map(|name| json!({"resource": name, "responseKind": {"kind": name}, "scope": "Namespaced", "verbs": ["list", "watch"]}))
                    .collect();
                json!({"kind": "APIGroupDiscoveryList", "items": [{"metadata": {}, "versions": [{"version": "v1", "resources": resources}]}]})
            }
            "/apis" => json!({"kind": "APIGroupDiscoveryList", "items": []}),
            "/api/v1/pods" => {
                let number = |name: &str| -> usize {
                    path.split(['?', '&'])
                        .find_map(|part| part.strip_prefix(name)?.parse().ok())
                        .unwrap_or_default()
                };
                let (from, limit) = (number("continue="), number("limit=").max(1));
                let to = (from + limit).min(self.pods);
                let rows: Vec<Value> = (from..to).map(|number| pod(number, number)).collect();
                let next = if to < self.pods { to.to_string() } else { String::new() };
                let columns: Vec<Value> = ["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates"]
                    .iter()
                    .map(|name| json!({"name": name, "type": "string", "format": if *name == "Name" { "name" } else { "" }, "description": "", "priority": 0}))
                    .collect();
                json!({"kind": "Table", "metadata": {"resourceVersion": self.pods.to_string(), "continue": next}, "columnDefinitions": columns, "rows": rows})
            }
            _ => {
                json!({"kind": "Table", "metadata": {"resourceVersion": "1"}, "columnDefinitions": [], "rows": []})
            }
        }
    }
}

/// A pod as large as pods are: some 5 KiB.
fn pod(number: usize, version: usize) -> Value {
    let application = number % 500;
    let hash = format!("{:08x}", application * 7919);
    let (set, namespace) =
        (format!("application-{application}-{hash}"), format!("team-{}", number % 40));
    let name = format!("{set}-{number:05x}");
    let labels = json!({"app.kubernetes.io/name": format!("application-{application}"), "app.kubernetes.io/instance": format!("instance-{application}"),
        "app.kubernetes.io/part-of": "shop", "pod-template-hash": hash, "tier": "backend"});
    let uid = format!("{number:08x}-aaaa-bbbb-cccc-{number:012x}");
    let times = "2026-11-20T08:00:00Z";
    let environment: Vec<Value> = (0..12).map(|n| json!({"name": format!("SETTING_{n}"), "value": format!("a value of setting {n} of application {application}")})).collect();
    let fields: Vec<Value> = (0..3).map(|n| json!({"manager": format!("manager-{n}"), "operation": "Update", "apiVersion": "v1", "time": times,
        "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app.kubernetes.io/name": {}, "f:tier": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {".": {}, "f:env": {}, "f:image": {}, "f:resources": {}}}}}})).collect();
    let image = format!("registry.example.com/team/application-{application}:1.{}", number % 9);
    let ip = format!("10.{}.{}.{}", number % 200, number / 250 % 250, number % 250);
    let node = format!("node-{}", number % 100);
    let restarts = version % 5;
    json!({"cells": [name, "1/1", "Running", restarts.to_string(), "7d", ip, node, "<none>", "<none>"], "object": {"kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": version.to_string(), "creationTimestamp": times, "labels": labels,
            "annotations": {"example.com/checksum": "4f".repeat(32)}, "managedFields": fields,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": format!("{application:08x}-1111-2222-3333-444444444444"), "controller": true, "blockOwnerDeletion": true}]},
        "spec": {"nodeName": node, "serviceAccountName": "default", "containers": [{"name": "main", "image": image, "env": environment,
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true}]}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            "volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]},
        "status": {"phase": "Running", "podIP": ip, "startTime": times,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": times}, {"type": "PodScheduled", "status": "True", "lastTransitionTime": times}],
            "containerStatuses": [{"name": "main", "image": image, "ready": true, "started": true, "restartCount": restarts, "state": {"running": {"startedAt": times}}}]}}})
}

/// Resident memory now and at most, in KiB.
fn rss() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().trim_end_matches(" kB").parse().ok())
            .unwrap_or_default()
    };
    (value("VmRSS:"), value("VmHWM:"))
}
