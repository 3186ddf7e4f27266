//! A cluster's own API through Drover: the real `kubectl`, under each role.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use axum::http::Method;
use drover_api::{AuditEntry, CreatedApiKey, List, PortForward, User};
use drover_tests::{Answer, Certificates, Client, KubernetesEnvironment, TlsFront};
use tempfile::TempDir;

use super::*;

const SOON: Duration = Duration::from_secs(30);
/// How long something may go on after the right to it.
const GRACE: Duration = Duration::from_secs(5);
/// A pod that says something every second, and has a shell.
const TALKS: &str = "kind: Pod\napiVersion: v1\nmetadata: {name: talks, labels: {app: talks}}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - {name: main, image: 'busybox:1', command: [sh, -c, 'while true; do echo said; sleep 1; done']}\n";
/// A web server.
const WEB: &str = "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: web}\nspec:\n  replicas: 1\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      containers:\n      - {name: web, image: 'drover-test/web:1', ports: [{containerPort: 8080}]}\n---\nkind: Service\napiVersion: v1\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}\n";
const CONFIG: &str = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: words}\ndata: {one: '1'}\n";
const PRIVILEGED: &str = "kind: Pod\napiVersion: v1\nmetadata: {name: strong}\nspec:\n  hostPID: true\n  terminationGracePeriodSeconds: 1\n  containers:\n  - {name: main, image: 'busybox:1', command: [sleep, '1000']}\n";

/// A server with a cluster, TLS before it (kubectl sends no credentials without), and two
/// environments.
struct Fixture {
    site: KubernetesSite,
    front: TlsFront,
    certificates: Certificates,
    shop: KubernetesEnvironment,
    other: KubernetesEnvironment,
}

/// Somebody with a kubeconfig.
struct Person {
    browser: Client,
    key: CreatedApiKey,
    client: Client,
    user: User,
    config: TempDir,
    namespace: String,
    cluster: Uuid,
}

impl Fixture {
    async fn start() -> Self {
        let site = KubernetesSite::start().await;
        let certificates = Certificates::make();
        let target = site.server.base().replace("http://", "");
        let front = TlsFront::start(&target, &certificates, "server").await;
        let shop = site.environment("Shop", &["shop"]).await;
        let other = site.environment("Other", &["other"]).await;
        Self { site, front, certificates, shop, other }
    }

    /// Somebody with this role in the shop.
    async fn person(&self, role: Role) -> Person {
        let login = format!("{}-{}", role.as_str(), &Uuid::new_v4().simple().to_string()[..8]);
        let user = self.site.server.user(&login).await;
        self.site.server.set_member(self.shop.id, &user, role).await;
        let browser = self.site.server.sign_in(&login).await;
        let (key, client) = self.site.server.key(&browser, None, None).await;
        let config = TempDir::with_prefix("drover-kubeconfig-").unwrap();
        let person = Person {
            browser,
            client,
            user,
            config,
            namespace: self.shop.namespaces[0].clone(),
            cluster: self.site.cluster_id,
            key,
        };
        person.write_config(&self.front.url(), &self.certificates.path("ca.pem"));
        person
    }

    async fn set_role(&self, person: &Person, role: Role) {
        self.site.server.set_member(self.shop.id, &person.user, role).await;
    }

    /// The cluster's administrator makes something in the shop, and waits for it.
    fn make(&self, yaml: &str, wait: &[&str]) {
        let namespace = &self.shop.namespaces[0];
        self.site.cluster.kubectl_with(&["apply", "-n", namespace, "-f", "-"], yaml);
        let all = [&["wait", "-n", namespace, "--timeout=60s"], wait].concat();
        self.site.cluster.kubectl(&all);
    }

    /// What the audit log has of somebody.
    async fn audit(&self, person: &Person) -> Vec<AuditEntry> {
        let path = format!("/v1/audit?actor={}&limit=100", person.user.login);
        let list: List<AuditEntry> = self.site.admin.get(&path).await.expect(200).json();
        list.items
    }
}

impl Person {
    fn file(&self) -> PathBuf {
        self.config.path().join("config")
    }

    fn write_config(&self, base: &str, ca: &std::path::Path) {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "drover",
            "clusters": [{ "name": "drover", "cluster": {
                "server": format!("{base}/k8s/clusters/{}", self.cluster),
                "certificate-authority": ca,
            } }],
            "contexts": [{ "name": "drover", "context": {
                "cluster": "drover", "user": "me", "namespace": self.namespace } }],
            "users": [{ "name": "me", "user": { "token": self.key.token } }],
        });
        std::fs::write(self.file(), config.to_string()).unwrap();
    }

    fn path(&self, rest: &str) -> String {
        format!("/k8s/clusters/{}{rest}", self.cluster)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .arg("--kubeconfig")
            .arg(self.file())
            .arg("--cache-dir")
            .arg(self.config.path().join("cache"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for proxy in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env_remove(proxy);
        }
        command
    }

    /// Runs kubectl to its end; kills it after two minutes.
    async fn try_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let mut child = command.kill_on_drop(true).spawn().expect("kubectl");
        let mut stdin = child.stdin.take().unwrap();
        // It may have ended already, with an error that is of more interest.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stdin, input.as_bytes()).await;
        drop(stdin);
        tokio::time::timeout(Duration::from_secs(120), child.wait_with_output())
            .await
            .unwrap_or_else(|_| panic!("kubectl {arguments:?} does not end"))
            .unwrap()
    }

    /// What it prints, where it must succeed.
    async fn with(&self, arguments: &[&str], input: &str) -> String {
        let output = self.try_with(arguments, input).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "kubectl {arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    async fn kubectl(&self, arguments: &[&str]) -> String {
        self.with(arguments, "").await
    }

    /// What it says, where it must be refused.
    async fn refused(&self, arguments: &[&str], input: &str) -> String {
        let output = self.try_with(arguments, input).await;
        assert!(!output.status.success(), "kubectl {arguments:?} is not refused");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Starts kubectl, and waits for its first line.
    async fn follow(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Followed {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).envs(environment.iter().copied());
        let mut child = command.spawn().expect("kubectl");
        let stdin = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            (line, output)
        });
        let (line, output) = tokio::time::timeout(SOON, read).await.expect("a line").unwrap();
        Followed { child, line: line.trim().to_owned(), _stdin: stdin, output }
    }
}

/// A kubectl that goes on.
struct Followed {
    child: Child,
    line: String,
    _stdin: Option<std::process::ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
}

impl Followed {
    /// How long it goes on.
    async fn end(&mut self) -> Duration {
        let start = Instant::now();
        eventually("kubectl ends", SOON, async || self.child.try_wait().unwrap()).await;
        start.elapsed()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Closes the pipe after the process, not before.
        let _ = self.output.get_mut();
    }
}

fn status(answer: &Answer) -> (u16, String, String) {
    let body = answer.value();
    assert_eq!(body["kind"], "Status", "{answer:?}");
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    (answer.status, text("reason"), text("message"))
}

#[tokio::test]
async fn kubectl_works_as_with_the_cluster_itself() {
    let fixture = Fixture::start().await;
    let grace = fixture.person(Role::Member).await;
    let namespace = grace.namespace.as_str();

    // Whole applies, with discovery and OpenAPI behind them.
    let said = grace.with(&["apply", "-f", "-"], &format!("{WEB}---\n{TALKS}---\n{CONFIG}")).await;
    for made in [
        "deployment.apps/web created",
        "service/web created",
        "pod/talks created",
        "configmap/words created",
    ] {
        assert!(said.contains(made), "{said}");
    }
    let again =
        grace.with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], CONFIG).await;
    assert!(again.contains("serverside-applied"), "{again}");
    grace.kubectl(&["wait", "--for=condition=Ready", "pod/talks", "--timeout=60s"]).await;
    grace.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).await;
    let table = grace.kubectl(&["get", "pods", "-o", "wide"]).await;
    assert!(table.starts_with("NAME") && table.contains("talks"), "{table}");
    let one = grace.kubectl(&["get", "pod", "talks", "-o", "jsonpath={.metadata.namespace}"]).await;
    assert_eq!(one, namespace);
    assert!(grace.kubectl(&["explain", "deployment.spec.replicas"]).await.contains("replicas"));
    assert!(grace.kubectl(&["describe", "pod", "talks"]).await.contains("talks"));
    assert_eq!(grace.kubectl(&["auth", "can-i", "create", "pods"]).await, "yes");
    assert!(grace.kubectl(&["api-resources", "--api-group=apps"]).await.contains("deployments"));

    // Logs, commands, files.
    assert!(grace.kubectl(&["logs", "talks", "--tail=1"]).await.contains("said"));
    assert_eq!(grace.kubectl(&["exec", "talks", "--", "sh", "-c", "echo $((6*7))"]).await, "42");
    let input = grace.with(&["exec", "-i", "talks", "--", "cat"], "through and through").await;
    assert_eq!(input, "through and through");
    let ended = grace.try_with(&["exec", "talks", "--", "sh", "-c", "exit 7"], "").await;
    assert_eq!(ended.status.code(), Some(7));
    let here = grace.config.path().join("file");
    std::fs::write(&here, "copied\n").unwrap();
    grace.kubectl(&["cp", here.to_str().unwrap(), "talks:/tmp/file"]).await;
    let back = grace.config.path().join("back");
    grace.kubectl(&["cp", "talks:/tmp/file", back.to_str().unwrap()]).await;
    assert_eq!(std::fs::read_to_string(&back).unwrap(), "copied\n");

    // Changes.
    grace.kubectl(&["scale", "deployment/web", "--replicas=2"]).await;
    grace.kubectl(&["label", "configmap/words", "seen=yes"]).await;
    grace.kubectl(&["rollout", "restart", "deployment/web"]).await;
    grace.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).await;
    grace.kubectl(&["delete", "configmap/words"]).await;
    // Newer versions send these as Protocol Buffers.
    grace.kubectl(&["create", "configmap", "typed", "--from-literal=one=1"]).await;
    grace.kubectl(&["create", "secret", "generic", "typed", "--from-literal=one=1"]).await;
    grace.kubectl(&["create", "deployment", "typed", "--image=busybox:1"]).await;
    grace.kubectl(&["delete", "configmap/typed", "secret/typed", "deployment/typed"]).await;
    let tried = r#"{ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "tried" } }"#;
    grace.with(&["create", "--dry-run=server", "-f", "-"], tried).await;
    let gone = grace.refused(&["get", "configmap/words"], "").await;
    assert!(gone.contains("NotFound"), "{gone}");

    // What was written is in the audit log, and nothing else.
    let entries = fixture.audit(&grace).await;
    let has = |action: &str, kind: &str, name: &str| {
        let target = format!("{namespace}/{name}");
        entries.iter().any(|entry| {
            entry.action == action
                && entry.target_kind.as_deref() == Some(kind)
                && entry.target_name.as_deref() == Some(target.as_str())
                && entry.environment_id == Some(fixture.shop.id)
        })
    };
    for (action, kind, name) in [
        ("kubernetes.create", "deployments.apps", "web"),
        ("kubernetes.create", "pods", "talks"),
        ("kubernetes.exec", "pods/exec", "talks"),
        ("kubernetes.patch", "deployments.apps/scale", "web"),
        ("kubernetes.delete", "configmaps", "words"),
        ("kubernetes.create", "secrets", "typed"),
        ("kubernetes.create", "deployments.apps", "typed"),
    ] {
        assert!(has(action, kind, name), "{action} {kind} {name}: {entries:?}");
    }
    assert!(!entries.iter().any(|entry| entry.target_name.as_deref() == Some("tried")));
    assert!(
        !entries
            .iter()
            .any(|entry| entry.target_kind.as_deref().is_some_and(|kind| kind.contains("review")))
    );
}

// What does TLS in front of the server lives in the test, which waits for kubectl's words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shells_and_ports_go_by_websocket_and_by_spdy() {
    let fixture = Fixture::start().await;
    let grace = fixture.person(Role::Restricted).await;
    fixture.make(TALKS, &["--for=condition=Ready", "pod/talks"]);
    fixture.make(WEB, &["--for=condition=Available", "deployment/web"]);
    // What kubectl does not know it ignores: those of before 1.29 have SPDY alone.
    for websockets in ["true", "false"] {
        let ways = [
            ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets),
            ("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets),
        ];
        let shell = ["exec", "-i", "talks", "--", "sh", "-c", "echo up; read word; echo got $word"];
        let mut shell = grace.follow(&shell, &ways).await;
        assert_eq!(shell.line, "up");
        shell._stdin.as_mut().unwrap().write_all(b"it\n").unwrap();
        let mut rest = String::new();
        shell.output.read_line(&mut rest).unwrap();
        assert_eq!(rest.trim(), "got it");
        shell.end().await;

        let forward = grace.follow(&["port-forward", "deployment/web", ":8080"], &ways).await;
        // Forwarding from 127.0.0.1:PORT -> 8080
        let port: u16 = forward
            .line
            .split("127.0.0.1:")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let page = drover_tests::http_client().build().unwrap();
        let answer = page.get(format!("http://127.0.0.1:{port}/")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn each_role_has_its_rights_and_no_more() {
    let fixture = Fixture::start().await;
    fixture.make(TALKS, &["--for=condition=Ready", "pod/talks"]);
    let elsewhere = fixture.other.namespaces[0].as_str();
    for role in Role::ALL {
        let person = fixture.person(role).await;
        let can = async |words: &[&str]| {
            let output = person.try_with(&[&["auth", "can-i"], words].concat(), "").await;
            output.status.success()
        };
        let (writes, manages, owns) =
            (role >= Role::Restricted, role >= Role::Member, role >= Role::Owner);
        assert!(can(&["list", "pods"]).await, "{role:?}");
        assert!(can(&["get", "pods", "--subresource=log"]).await, "{role:?}");
        assert!(can(&["get", "nodes"]).await, "{role:?}");
        assert_eq!(can(&["get", "secrets"]).await, writes, "{role:?}");
        assert_eq!(can(&["create", "deployments.apps"]).await, writes, "{role:?}");
        assert_eq!(can(&["create", "pods", "--subresource=exec"]).await, writes, "{role:?}");
        assert_eq!(can(&["create", "networkpolicies"]).await, manages, "{role:?}");
        assert_eq!(can(&["create", "rolebindings"]).await, owns, "{role:?}");
        assert!(!can(&["list", "pods", "-n", elsewhere]).await, "{role:?}");
        assert!(!can(&["list", "pods", "-A"]).await, "{role:?}");
        assert!(!can(&["create", "clusterrolebindings"]).await, "{role:?}");

        person.kubectl(&["get", "pods"]).await;
        person.kubectl(&["logs", "talks", "--tail=1"]).await;
        let said = person.refused(&["get", "pods", "-n", elsewhere], "").await;
        // The cluster itself says so, and to whom.
        assert!(said.contains(&format!("drover:{}", person.user.login)), "{said}");
        if !writes {
            let said = person.refused(&["apply", "-f", "-"], CONFIG).await;
            assert!(said.contains("orbidden"), "{said}");
            person.refused(&["exec", "talks", "--", "true"], "").await;
            let denied = fixture.audit(&person).await;
            let exec = denied.iter().find(|entry| entry.action == "kubernetes.exec").unwrap();
            assert_eq!(exec.outcome, drover_api::AuditOutcome::Denied);
        }
        // Nobody is anybody else.
        let said = person.refused(&["get", "pods", "--as=system:admin"], "").await;
        assert!(said.contains("impersonation"), "{said}");
    }
}

#[tokio::test]
async fn two_environments_on_one_cluster_are_two_rights() {
    let fixture = Fixture::start().await;
    let grace = fixture.person(Role::Member).await;
    let elsewhere = fixture.other.namespaces[0].clone();
    fixture.site.server.set_member(fixture.other.id, &grace.user, Role::Readonly).await;
    grace.with(&["apply", "-f", "-"], CONFIG).await;
    grace.kubectl(&["get", "configmaps", "-n", &elsewhere]).await;
    let said = grace.refused(&["apply", "-n", &elsewhere, "-f", "-"], CONFIG).await;
    assert!(said.contains("orbidden"), "{said}");

    // A key for one of them knows nothing of the other.
    let scoped = fixture.site.server.key(&grace.browser, Some(fixture.other.id), None).await.1;
    let list = grace.path(&format!("/api/v1/namespaces/{}/configmaps", grace.namespace));
    assert_eq!(scoped.get(&list).await.status, 403);
    let list = grace.path(&format!("/api/v1/namespaces/{elsewhere}/configmaps"));
    scoped.get(&list).await.expect(200);

    // An administrator is one in the cluster too, but not by a key that is less.
    let nodes = grace.path("/api/v1/namespaces/kube-system/configmaps");
    fixture.site.admin.get(&nodes).await.expect(200);
    let admin = fixture.site.server.admin().await;
    let (_, limited) =
        fixture.site.server.key(&admin, Some(fixture.shop.id), Some(Role::Owner)).await;
    assert_eq!(limited.get(&nodes).await.status, 403);

    // An environment that is not active is only read.
    let environment = format!("/v1/environments/{}", fixture.shop.id);
    fixture.site.admin.patch(&environment, json!({ "state": "inactive" })).await.expect(200);
    grace.kubectl(&["get", "configmaps"]).await;
    let said = grace.refused(&["delete", "configmap/words"], "").await;
    assert!(said.contains("not active"), "{said}");
}

#[tokio::test]
async fn who_has_nothing_to_do_with_a_cluster_learns_nothing_of_it() {
    let fixture = Fixture::start().await;
    let version = format!("/k8s/clusters/{}/version", fixture.site.cluster_id);
    let nobody = fixture.site.server.client();
    let (code, reason, message) = status(&nobody.get(&version).await);
    assert_eq!((code, reason.as_str()), (401, "Unauthorized"));
    assert!(message.contains("API key"), "{message}");

    let stranger = fixture.site.server.user("stranger").await;
    let browser = fixture.site.server.sign_in(&stranger.login).await;
    // A browser's session is no key.
    assert_eq!(browser.get(&version).await.status, 401);
    let (_, key) = fixture.site.server.key(&browser, None, None).await;
    let (code, reason, hidden) = status(&key.get(&version).await);
    assert_eq!((code, reason.as_str()), (404, "NotFound"));
    let nowhere = format!("/k8s/clusters/{}/version", Uuid::now_v7());
    assert_eq!(status(&key.get(&nowhere).await).2, hidden);
    fixture.site.admin.get(&version).await.expect(200);

    // Addresses that can be read in two ways.
    for path in ["/api/v1//pods", "/api/v1/namespaces/a%2Fpods/b", "/api/v1/namespaces/a%252e/pods"]
    {
        let path = format!("/k8s/clusters/{}{path}", fixture.site.cluster_id);
        let (code, reason, _) = status(&fixture.site.admin.get(&path).await);
        assert_eq!((code, reason.as_str()), (400, "BadRequest"), "{path}");
    }
    for header in [("impersonate-user", "x"), ("x-remote-user", "x")] {
        let answer = fixture.site.admin.send_with(Method::GET, &version, header, json!({})).await;
        assert_eq!(status(&answer).0, 403);
    }
    // Compression is between the client and the cluster.
    let request = fixture.site.admin.request(Method::GET, &version).header("accept-encoding", "br");
    assert_eq!(fixture.site.admin.send(request).await.expect(200).header("content-encoding"), None);
}

#[tokio::test]
async fn what_is_open_ends_with_the_right_to_it() {
    let fixture = Fixture::start().await;
    fixture.make(TALKS, &["--for=condition=Ready", "pod/talks"]);

    // The key.
    let grace = fixture.person(Role::Restricted).await;
    let mut logs = grace.follow(&["logs", "-f", "talks"], &[]).await;
    assert_eq!(logs.line, "said");
    let key = format!("/v1/api-keys/{}", grace.key.key.id);
    grace.browser.delete(&key).await.expect(204);
    assert!(logs.end().await < GRACE);
    let said = grace.refused(&["get", "pods"], "").await;
    assert!(said.contains("logged in") || said.contains("API key"), "{said}");

    // The role, where a weaker one stays, that could have opened the logs too.
    let hopper = fixture.person(Role::Restricted).await;
    let mut logs = hopper.follow(&["logs", "-f", "talks"], &[]).await;
    let mut shell =
        hopper.follow(&["exec", "-i", "talks", "--", "sh", "-c", "echo up; cat"], &[]).await;
    let spdy = [("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")];
    let mut other =
        hopper.follow(&["exec", "-i", "talks", "--", "sh", "-c", "echo up; cat"], &spdy).await;
    let list = hopper.path(&format!("/api/v1/namespaces/{}/pods?watch=1", hopper.namespace));
    let watch = tokio::spawn({
        let client = hopper.client.clone();
        async move {
            let answer = client.request(Method::GET, &list).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            // Breaks off: it is not at its end.
            answer.bytes().await.is_err()
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!watch.is_finished());
    let start = Instant::now();
    fixture.set_role(&hopper, Role::Readonly).await;
    logs.end().await;
    shell.end().await;
    other.end().await;
    assert!(tokio::time::timeout(SOON, watch).await.unwrap().unwrap());
    assert!(start.elapsed() < GRACE, "{:?}", start.elapsed());
    hopper.kubectl(&["logs", "talks", "--tail=1"]).await;

    // The environment's namespaces.
    let noether = fixture.person(Role::Member).await;
    let mut logs = noether.follow(&["logs", "-f", "talks"], &[]).await;
    let more = fixture.site.cluster.namespace("more");
    let path = fixture.shop.path("");
    let body = json!({ "namespaces": [more, noether.namespace] });
    fixture.site.admin.patch(&path, body).await.expect(200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(logs.child.try_wait().unwrap().is_none(), "one more namespace ends nothing");
    fixture.site.admin.patch(&path, json!({ "namespaces": [more] })).await.expect(200);
    assert!(logs.end().await < GRACE);
}

#[tokio::test]
async fn restricted_members_keep_to_baseline_where_others_need_not() {
    let fixture = Fixture::start().await;
    let open = json!({ "pod_security": "privileged" });
    fixture.site.admin.patch(&fixture.shop.path(""), open).await.expect(200);
    let namespace = fixture.shop.namespaces[0].clone();
    eventually("the namespace is open", SOON, async || {
        let found = fixture.site.cluster.object(&["namespace", &namespace]);
        let label = &found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
        (label == "privileged").then_some(())
    })
    .await;
    let grace = fixture.person(Role::Restricted).await;
    let hopper = fixture.person(Role::Member).await;
    let why = "violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)";
    let said = grace.refused(&["apply", "-f", "-"], PRIVILEGED).await;
    assert!(said.contains(why), "{said}");
    let said = grace.refused(&["apply", "--server-side", "-f", "-"], PRIVILEGED).await;
    assert!(said.contains(why), "{said}");
    hopper.with(&["apply", "-f", "-"], PRIVILEGED).await;
    hopper.kubectl(&["wait", "--for=condition=Ready", "pod/strong", "--timeout=60s"]).await;
    // Nor do they enter what others have made.
    let said = grace.refused(&["exec", "strong", "--", "true"], "").await;
    assert!(said.contains("may not enter such pods"), "{said}");
    hopper.kubectl(&["exec", "strong", "--", "true"]).await;

    // What is harmless goes through, and patches are judged by what they come to.
    grace.with(&["apply", "-f", "-"], WEB).await;
    grace.kubectl(&["patch", "deployment/web", "-p", r#"{"spec":{"replicas":2}}"#]).await;
    let spec = |spec: &str| format!(r#"{{"spec":{{"template":{{"spec":{spec}}}}}}}"#);
    let strategic =
        spec(r#"{"containers":[{"name":"web","securityContext":{"privileged":true}}]}"#);
    for (kind, patch) in [
        ("strategic", strategic.as_str()),
        ("merge", &spec(r#"{"hostNetwork":true}"#)),
        ("json", r#"[{"op":"add","path":"/spec/template/spec/hostIPC","value":true}]"#),
    ] {
        let said =
            grace.refused(&["patch", "deployment/web", "--type", kind, "-p", patch], "").await;
        assert!(said.contains("violates PodSecurity"), "{kind}: {said}");
    }
    let fine = r#"[{"op":"replace","path":"/spec/replicas","value":1}]"#;
    grace.kubectl(&["patch", "deployment/web", "--type", "json", "-p", fine]).await;
    let replicas =
        grace.kubectl(&["get", "deployment/web", "-o", "jsonpath={.spec.replicas}"]).await;
    assert_eq!(replicas, "1");

    // A key that stands twice is read as the cluster reads it.
    let twice = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"twice"},"spec":{"containers":[{"name":"a","image":"busybox:1","securityContext":{"privileged":true},"securityContext":{"runAsUser":1}}]}}"#;
    let pods = grace.path(&format!("/api/v1/namespaces/{namespace}/pods"));
    let request = grace.client.request(Method::POST, &pods);
    let request = request.header("content-type", "application/json").body(twice);
    let answer = grace.client.send(request).await;
    let made = grace.try_with(&["get", "pod/twice", "-o", "json"], "").await;
    let made: Value = serde_json::from_slice(&made.stdout).unwrap_or_default();
    let is_strong = made["spec"]["containers"][0]["securityContext"]["privileged"] == true;
    assert!(!is_strong, "{answer:?}");
}

#[tokio::test]
async fn a_kubeconfig_is_made_with_a_key_of_its_own() {
    let fixture = Fixture::start().await;
    let grace = fixture.person(Role::Restricted).await;
    let path = fixture.shop.path("/kubeconfig");
    let too_much = json!({ "role": "owner" });
    grace.client.post(&path, too_much).await.problem(422, "invalid_input");
    grace.client.post(&path, json!({ "days": 0 })).await.problem(422, "invalid_input");
    let answer =
        grace.client.post(&path, json!({ "role": "readonly", "days": 1 })).await.expect(201);
    assert!(answer.header("content-disposition").unwrap().starts_with("attachment"), "{answer:?}");
    assert!(answer.text.contains(&format!("namespace: {}", grace.namespace)), "{}", answer.text);
    // As it is downloaded, but for where TLS is.
    let file = answer.text.lines().filter(|line| !line.starts_with('#'));
    let file: Vec<String> = file
        .map(|line| match line.split_once("server: ") {
            Some((start, address)) => {
                let below = address.trim().split_once("/k8s/").unwrap().1;
                format!("{start}server: {}/k8s/{below}", fixture.front.url())
            }
            None => line.to_owned(),
        })
        .collect();
    std::fs::write(grace.file(), file.join("\n")).unwrap();
    let ca = fixture.certificates.path("ca.pem");
    let ca = format!("--certificate-authority={}", ca.display());
    grace.kubectl(&[&ca, "get", "pods"]).await;
    let said = grace.refused(&[&ca, "apply", "-f", "-"], CONFIG).await;
    assert!(said.contains("orbidden"), "{said}");
    let keys = grace.browser.get("/v1/api-keys").await.expect(200).value();
    let made =
        keys["items"].as_array().unwrap().iter().find(|key| key["role"] == "readonly").unwrap();
    assert_eq!(made["environment_id"], json!(fixture.shop.id));
    let entries = fixture.audit(&grace).await;
    assert!(entries.iter().any(|entry| entry.action == "kubernetes_kubeconfig.create"));
    // A key that is limited makes none that is longer good than itself.
    let (_, limited) = fixture.site.server.key(&grace.browser, Some(fixture.shop.id), None).await;
    limited.post(&path, json!({})).await.problem(403, "scoped_api_key");
}

#[tokio::test]
async fn a_port_has_an_address_in_the_browser() {
    let fixture = Fixture::start().await;
    fixture.make(WEB, &["--for=condition=Available", "deployment/web"]);
    let grace = fixture.person(Role::Restricted).await;
    let path = fixture.shop.path("/port-forwards");
    let new = |name: &str| json!({ "kind": "service", "namespace": grace.namespace, "name": name, "port": "80" });
    grace.browser.post(&path, new("nothing")).await.problem(404, "not_found");
    let elsewhere = json!({ "kind": "service", "namespace": fixture.other.namespaces[0], "name": "web", "port": "80" });
    grace.browser.post(&path, elsewhere).await.problem(422, "invalid_input");
    let reader = fixture.person(Role::Readonly).await;
    reader.browser.post(&path, new("web")).await.problem(403, "forbidden");

    let made: PortForward = grace.browser.post(&path, new("web")).await.expect(201).json();
    let at = made.url.find("/k8s/forward/").map(|at| made.url[at..].to_owned()).unwrap();
    // Whoever has the address, without any cookie.
    let anybody = fixture.site.server.client();
    let page = eventually("the application answers", SOON, async || {
        let page = anybody.get(&at).await;
        (page.status == 200).then_some(page)
    })
    .await;
    assert!(!page.text.is_empty());
    let policies: Vec<_> = page.headers.get_all("content-security-policy").iter().collect();
    assert!(policies.iter().any(|policy| policy.as_bytes().starts_with(b"sandbox allow-scripts")));
    assert!(policies.iter().all(|policy| !policy.to_str().unwrap().contains("allow-same-origin")));
    assert_eq!(page.header("cross-origin-opener-policy"), None);
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    // Not for Drover's own pages.
    let script = anybody.request(Method::GET, &at).header("sec-fetch-site", "same-origin");
    anybody.send(script.header("sec-fetch-dest", "script")).await.problem(403, "sandboxed");
    // Not the API behind it, and nothing made up.
    let up = format!("{at}..%2f..%2f..%2fpods");
    assert_eq!(anybody.get(&up).await.status, 400);
    anybody.get("/k8s/forward/AQID/").await.problem(404, "not_found");
    let log = fixture.site.server.log();
    let token = at.split('/').nth(3).unwrap();
    assert!(!log.contains(token), "the address stands in the log");

    fixture.set_role(&grace, Role::Readonly).await;
    eventually("the address has ended", GRACE, async || {
        (anybody.get(&at).await.status == 410).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_pods_use_is_shown_where_the_cluster_measures_it() {
    let fixture = Fixture::start().await;
    fixture.make(TALKS, &["--for=condition=Ready", "pod/talks"]);
    let grace = fixture.person(Role::Readonly).await;
    let top = ["top", "pod", "-n", &grace.namespace];
    let direct = eventually("the cluster measures, or cannot", CLUSTER_LIMIT, async || {
        let output = fixture.site.cluster.try_kubectl(&top, "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_soon = said.contains("not available yet") || said.contains("not found");
        (!is_soon).then_some((output.status.success(), said))
    })
    .await;
    let metrics: drover_api::ClusterMetrics =
        fixture.site.admin.get(&fixture.shop.path("/metrics")).await.expect(200).json();
    match direct {
        (true, _) => {
            let table = grace.kubectl(&["top", "pod"]).await;
            assert!(table.contains("CPU(cores)") && table.contains("talks"), "{table}");
            assert!(grace.kubectl(&["top", "pod", "--containers"]).await.contains("main"));
            assert!(grace.kubectl(&["top", "node"]).await.contains("MEMORY"));
            let elsewhere = &fixture.other.namespaces[0];
            let said = grace.refused(&["top", "pod", "-n", elsewhere], "").await;
            assert!(said.contains("orbidden"), "{said}");
        }
        // A cluster without: said as it says it, and by Drover with what to do.
        (false, said) => {
            assert!(said.contains("Metrics API not available"), "{said}");
            assert_eq!(grace.refused(&["top", "pod"], "").await, said);
            assert!(!metrics.available, "{metrics:?}");
            let advice = metrics.advice.unwrap_or_default();
            assert!(advice.contains("metrics-server"), "{advice}");
        }
    }
}
