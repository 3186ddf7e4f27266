//! A cluster whose agent dials in.

use super::*;
use drover_api::{AgentFit, ClusterManifest, ClusterState};

const CLUSTERS: &str = "/v1/kubernetes/clusters";

/// An address of the server without its beginning, which is what the server is known by.
fn path_of(url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap();
    rest[rest.find('/').unwrap()..].to_owned()
}

/// A document of a manifest.
fn document<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    documents.iter().find(|document| document["kind"] == kind).unwrap()
}

#[tokio::test]
async fn a_cluster_comes_by_a_manifest_that_is_good_once() {
    let cluster = Kubernetes::start().await;
    let server = TestServer::start().await;
    let browser = server.admin().await;
    let (_, admin) = server.key(&browser, None, None).await;
    let made: KubernetesCluster =
        admin.post(CLUSTERS, json!({ "name": "far" })).await.expect(201).json();
    assert_eq!(made.state, ClusterState::Waiting);
    let path = format!("{CLUSTERS}/{}", made.id);
    let manifest: ClusterManifest =
        admin.post(&format!("{path}/manifest"), json!({})).await.expect(201).json();
    assert_eq!(manifest.command, format!("kubectl apply -f {}", manifest.url));
    let address = path_of(&manifest.url);
    let stranger = server.client();
    let text = stranger.get(&address).await.expect(200).text;
    stranger.get(&address).await.problem(410, "manifest_used");
    stranger.get("/kubernetes/import/nothing").await.problem(410, "manifest_used");
    let documents: Vec<Value> = serde_norway::Deserializer::from_str(&text)
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .collect();
    let kinds = documents.iter().map(|document| document["kind"].as_str().unwrap());
    let expected = ["Namespace", "ServiceAccount", "ClusterRoleBinding", "Secret", "Deployment"];
    assert_eq!(kinds.collect::<Vec<_>>(), expected);

    // The cluster takes all of it, and gives it back.
    for what in ["clusterrolebinding/drover-agent", "namespace/drover-system"] {
        cluster.afterwards(&["delete", what, "--ignore-not-found", "--wait=false"]);
    }
    cluster.kubectl_with(&["apply", "-f", "-"], &text);
    let system = "drover-system";
    cluster.kubectl(&["-n", system, "scale", "deployment/drover-agent", "--replicas=0"]);

    // The agent as its pod would run it, beside the cluster: with the account of the manifest.
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let identity = document(&documents, "Secret")["stringData"]["agent.json"].as_str().unwrap();
    write("agent.json", identity);
    let token = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": { "expirationSeconds": 3600 },
    });
    let path_of_token = format!("/api/v1/namespaces/{system}/serviceaccounts/drover-agent/token");
    let answer =
        cluster.kubectl_with(&["create", "--raw", &path_of_token, "-f", "-"], &token.to_string());
    let answer: Value = serde_json::from_str(&answer).unwrap();
    write("token", answer["status"]["token"].as_str().unwrap());
    let config: Value = serde_norway::from_str(&cluster.kubeconfig).unwrap();
    let at = &config["clusters"][0]["cluster"];
    let ca = at["certificate-authority-data"].as_str().unwrap();
    let ca = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, ca).unwrap();
    write("ca.crt", &String::from_utf8(ca).unwrap());
    let (host, port) =
        at["server"].as_str().unwrap().trim_start_matches("https://").rsplit_once(':').unwrap();
    let start = || {
        let file = |name: &str| folder.path().join(name);
        let child = std::process::Command::new(drover_tests::drover())
            .args(["agent", "--kubernetes", "--identity-file"])
            .arg(file("agent.json"))
            .arg("--state-dir")
            .arg(folder.path())
            .arg("--service-account-dir")
            .arg(folder.path())
            .env("KUBERNETES_SERVICE_HOST", host)
            .env("KUBERNETES_SERVICE_PORT", port)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        Agent(child)
    };
    let is = async |what: &str, state: ClusterState| {
        eventually(&format!("the cluster is {what}"), CLUSTER_LIMIT, async || {
            let now: KubernetesCluster = admin.get(&path).await.expect(200).json();
            (now.state == state).then_some(now)
        })
        .await
    };
    let agent = start();
    let active = is("active", ClusterState::Active).await;
    assert!(active.version.unwrap().starts_with("v1."));
    // An environment works through it.
    let namespace = cluster.namespace("far");
    let new = json!({
        "name": "far", "cluster_kind": "kubernetes",
        "kubernetes": { "cluster_id": made.id, "namespaces": [namespace] },
    });
    admin.post("/v1/environments", new).await.expect(201);
    eventually("the namespace is made", CLUSTER_LIMIT, async || {
        cluster.try_kubectl(&["get", "namespace", &namespace], "").status.success().then_some(())
    })
    .await;

    drop(agent);
    let away = is("away", ClusterState::Away).await;
    assert!(away.reason.unwrap().contains("agent"));
    assert!(away.version.is_some(), "what was last seen is still shown");
    let agent = start();
    let back = is("back", ClusterState::Active).await.agent.unwrap();
    assert_eq!(back.fit, AgentFit::Current);

    // One of an older server is replaced, when what is kept in the cluster is looked at again.
    let image = || {
        let deployment = cluster.object(&["-n", system, "deployment/drover-agent"]);
        deployment["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    let (current, version) = (image(), back.version);
    let older = current.as_str().unwrap().replace(&format!(":{version}"), ":0.0.1");
    let set = format!("agent={older}");
    cluster.kubectl(&["-n", system, "set", "image", "deployment/drover-agent", &set]);
    sqlx::query("UPDATE kubernetes_clusters SET agent_version = '0.0.1'")
        .execute(&mut server.database().connect().await)
        .await
        .unwrap();
    let old: KubernetesCluster = admin.get(&path).await.expect(200).json();
    assert_eq!(old.agent.unwrap().fit, AgentFit::Outdated);
    let settings = json!({ "agents_upgrade_themselves": true });
    admin.patch("/v1/settings", settings).await.expect(200);
    let second = cluster.namespace("far-too");
    let new = json!({
        "name": "far too", "cluster_kind": "kubernetes",
        "kubernetes": { "cluster_id": made.id, "namespaces": [second] },
    });
    admin.post("/v1/environments", new).await.expect(201);
    eventually("the agent's image is the server's own again", CLUSTER_LIMIT, async || {
        (image() == current).then_some(())
    })
    .await;

    // A new manifest makes a new key: the old agent is refused.
    let manifest: ClusterManifest = admin
        .post(&format!("{path}/manifest"), json!({ "image": "registry.test/agent:1" }))
        .await
        .expect(201)
        .json();
    let text = stranger.get(&path_of(&manifest.url)).await.expect(200).text;
    assert!(text.contains("registry.test/agent:1"));
    is("away for good", ClusterState::Away).await;
    drop(agent);
}

/// An agent's process, which ends with the test.
struct Agent(std::process::Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_agents_image_is_pulled_from_the_server() {
    let server = TestServer::start().await;
    let engine = drover_tests::Docker::start().await;
    let address = server.base().replace("http://localhost", "127.0.0.1").replace("http://", "");
    let image = format!("{address}/drover/agent:latest");
    engine.run(&["pull", &image]);
    let said = engine.run(&["run", "--rm", &image, "--help"]);
    assert!(said.contains("--kubernetes"), "{said}");
    engine.run(&["rmi", &image]);
    let stranger = server.client();
    stranger.get("/v2/drover/agent/manifests/none").await.expect(404);
}
