//! A Kubernetes cluster for a test: the real one that `DROVER_TEST_KUBECONFIG` names, or the
//! project's stand-in. Tests do not know which, but for those that need its faults.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::Mutex,
};

use drover_api::{ClusterKind, ClusterState, CreateEnvironment, Environment, KubernetesCluster};
use drover_test_kubernetes::{ApiServer, Builder as StandIn};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{Client, TestServer, eventually};

/// How long a cluster may take for anything.
pub const CLUSTER_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// See the module.
pub struct Kubernetes {
    /// An administrator's kubeconfig.
    pub kubeconfig: String,
    stand_in: Option<ApiServer>,
    // After the stand-in, which lives in it.
    _runtime: Option<Background>,
    folder: TempDir,
    /// Ends the names of this test's namespaces.
    suffix: String,
    made: Mutex<Vec<String>>,
    /// What `kubectl` does at the end, whatever became of the test.
    afterwards: Mutex<Vec<Vec<String>>>,
}

impl Kubernetes {
    /// The real cluster, or a stand-in of this test's own.
    pub async fn start() -> Self {
        match std::env::var("DROVER_TEST_KUBECONFIG") {
            Ok(path) => Self::of(std::fs::read_to_string(&path).expect(&path), None, None),
            Err(_) => Self::stand_in(ApiServer::builder()).await,
        }
    }

    /// A stand-in, for what cannot be asked of a real cluster: its faults.
    pub async fn stand_in(builder: StandIn) -> Self {
        // In threads of its own: the test's stands still while it waits for `kubectl`.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.spawn(builder.start()).await.unwrap().unwrap();
        let kubeconfig = server.admin_kubeconfig().unwrap();
        Self::of(kubeconfig, Some(server), Some(Background(Some(runtime))))
    }

    fn of(kubeconfig: String, stand_in: Option<ApiServer>, runtime: Option<Background>) -> Self {
        let folder = tempfile::Builder::new().prefix("drover-kube-").tempdir().unwrap();
        std::fs::write(folder.path().join("config"), &kubeconfig).unwrap();
        let suffix = Uuid::new_v4().simple().to_string()[..8].to_owned();
        Self {
            kubeconfig,
            stand_in,
            _runtime: runtime,
            folder,
            suffix,
            made: Mutex::default(),
            afterwards: Mutex::default(),
        }
    }

    /// The stand-in.
    pub fn server(&self) -> &ApiServer {
        self.stand_in.as_ref().expect("this test needs the stand-in")
    }

    /// A name that no other test has, for what is in no namespace.
    pub fn own_name(&self, name: &str) -> String {
        format!("{name}-{}", self.suffix)
    }

    /// Has `kubectl` do something when the test is over, and before its namespaces go.
    pub fn afterwards(&self, arguments: &[&str]) {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self.afterwards.lock().unwrap().push(arguments);
    }

    /// The name of a namespace of this test's own, which goes with it.
    pub fn namespace(&self, name: &str) -> String {
        let name = self.own_name(name);
        let mut made = self.made.lock().unwrap();
        if !made.contains(&name) {
            made.push(name.clone());
        }
        name
    }

    /// The kubeconfig's file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// `kubectl` as the cluster's administrator.
    pub fn try_kubectl(&self, arguments: &[&str], input: &str) -> Output {
        kubectl(&self.file(), arguments, input)
    }

    /// The same, which must succeed; its output.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_with(arguments, "")
    }

    /// The same with input.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> String {
        let done = self.try_kubectl(arguments, input);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "kubectl {arguments:?}: {said}");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// Makes an object.
    pub fn create(&self, object: &Value) {
        self.kubectl_with(&["create", "-f", "-"], &object.to_string());
    }

    /// An object as JSON.
    pub fn object(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["get", "-o", "json"];
        all.extend(arguments);
        serde_json::from_str(&self.kubectl(&all)).unwrap()
    }

    /// What imports it into Drover.
    pub fn import(&self, name: &str) -> Value {
        json!({ "name": name, "kubeconfig": self.kubeconfig, "allow_private_address": true })
    }
}

/// A runtime that ends without being waited for: a test may not block.
struct Background(Option<tokio::runtime::Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        // A stand-in goes as a whole.
        if self.stand_in.is_some() {
            return;
        }
        for arguments in self.afterwards.lock().unwrap().iter() {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            // Mostly the test has done it already.
            self.try_kubectl(&arguments, "");
        }
        for namespace in self.made.lock().unwrap().iter() {
            let arguments =
                ["delete", "namespace", namespace, "--ignore-not-found", "--wait=false"];
            self.try_kubectl(&arguments, "");
        }
    }
}

/// The real `kubectl` with a kubeconfig.
pub fn kubectl(config: &std::path::Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(config)
        .arg("--cache-dir")
        .arg(config.with_extension("cache"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl (Debian's kubernetes-client)");
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended already, with an error that is of more interest.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// A server with a cluster in it.
pub struct KubernetesSite {
    /// The server.
    pub server: TestServer,
    /// The cluster itself.
    pub cluster: Kubernetes,
    /// As Drover knows it.
    pub cluster_id: Uuid,
    /// An administrator, by an API key.
    pub admin: Client,
    /// That key.
    pub token: String,
}

impl KubernetesSite {
    /// With a cluster that is connected.
    pub async fn start() -> Self {
        Self::with(Kubernetes::start().await).await
    }

    /// With this cluster.
    pub async fn with(cluster: Kubernetes) -> Self {
        let server = TestServer::start().await;
        let (made, admin) = server.key(&server.admin().await, None, None).await;
        Self::import(server, cluster, admin, made.token).await
    }

    /// On this server, by an administrator's API key.
    pub async fn import(
        server: TestServer,
        cluster: Kubernetes,
        admin: Client,
        token: String,
    ) -> Self {
        let path = "/v1/kubernetes/clusters";
        let imported: KubernetesCluster =
            admin.post(path, cluster.import("lab")).await.expect(201).json();
        let site = Self { server, cluster, cluster_id: imported.id, admin, token };
        site.cluster_when("active", |cluster| cluster.state == ClusterState::Active).await;
        site
    }

    /// Waits until the cluster is as wanted.
    pub async fn cluster_when(
        &self,
        what: &str,
        wanted: impl Fn(&KubernetesCluster) -> bool,
    ) -> KubernetesCluster {
        let path = format!("/v1/kubernetes/clusters/{}", self.cluster_id);
        eventually(&format!("the cluster is {what}"), CLUSTER_LIMIT, async || {
            let now: KubernetesCluster = self.admin.get(&path).await.expect(200).json();
            wanted(&now).then_some(now)
        })
        .await
    }

    /// Makes an environment on namespaces of this test's own, and waits until its roles are there.
    pub async fn environment(&self, name: &str, namespaces: &[&str]) -> KubernetesEnvironment {
        let namespaces: Vec<String> =
            namespaces.iter().map(|name| self.cluster.namespace(name)).collect();
        let new = CreateEnvironment {
            name: name.to_owned(),
            cluster_kind: ClusterKind::Kubernetes,
            kubernetes: Some(drover_api::ClusterShare {
                cluster_id: self.cluster_id,
                namespaces: Some(namespaces.clone()),
            }),
            ..CreateEnvironment::default()
        };
        let made: Environment = self.admin.post("/v1/environments", new).await.expect(201).json();
        for namespace in &namespaces {
            let binding = format!("rolebinding/drover:{}:readonly", made.id);
            eventually("its roles are in the cluster", CLUSTER_LIMIT, async || {
                let found = self.cluster.try_kubectl(&["get", "-n", namespace, &binding], "");
                found.status.success().then_some(())
            })
            .await;
        }
        KubernetesEnvironment { id: made.id, namespaces }
    }
}

/// An environment on a cluster.
#[derive(Debug, Clone)]
pub struct KubernetesEnvironment {
    /// Its id.
    pub id: Uuid,
    /// Its namespaces' whole names.
    pub namespaces: Vec<String>,
}

impl KubernetesEnvironment {
    /// The path of something of its part of the cluster.
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/environments/{}/kubernetes{rest}", self.id)
    }
}
