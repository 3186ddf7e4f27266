//! Stacks on a Kubernetes cluster.

use drover_api::{Operation, OperationState, Stack, StackDetail, StackOperation, StackState};
use drover_tests::{Client, KubernetesEnvironment};

use super::*;

/// A service that runs, in text.
const SLEEPS: &str = "image: 'busybox:1', stop_grace_period: 1s, entrypoint: [sleep, '1000'], deploy: {update_config: {monitor: 0s}}";

/// An environment on one namespace.
struct Fixture {
    site: KubernetesSite,
    environment: KubernetesEnvironment,
    member: Client,
}

impl Fixture {
    async fn start() -> Self {
        let site = KubernetesSite::start().await;
        let environment = site.environment("Shop", &["shop"]).await;
        let member = site.server.member("mary", environment.id, Role::Member).await;
        Self { site, environment, member }
    }

    fn namespace(&self) -> &str {
        &self.environment.namespaces[0]
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/environments/{}/{rest}", self.environment.id)
    }

    fn body(name: &str, text: &str) -> Value {
        json!({ "name": name, "source": { "kind": "compose", "compose": text } })
    }

    async fn begin(&self, name: &str, text: &str) -> StackOperation {
        let body = Self::body(name, text);
        self.member.post(&self.path("stacks"), body).await.expect(202).json()
    }

    async fn install(&self, name: &str, text: &str) -> Stack {
        let begun = self.begin(name, text).await;
        self.succeeds(&begun.operation).await;
        begun.stack
    }

    /// Any change of a stack; the operation that it begins.
    async fn ask(&self, stack: &Stack, method: &str, rest: &str, body: Value) -> Operation {
        let path = self.path(&format!("stacks/{}{rest}", stack.id));
        let request = self.member.request(method.parse().unwrap(), &path).json(&body);
        let answer: StackOperation = self.member.send(request).await.expect(202).json();
        answer.operation
    }

    async fn change(&self, stack: &Stack, text: &str) -> Operation {
        self.ask(stack, "PUT", "", json!({ "compose": text })).await
    }

    async fn ends(&self, operation: &Operation) -> Operation {
        let path = self.path(&format!("operations/{}", operation.id));
        eventually(&format!("{:?} ends", operation.kind), 2 * CLUSTER_LIMIT, async || {
            let now: Operation = self.member.get(&path).await.expect(200).json();
            now.finished_at.is_some().then_some(now)
        })
        .await
    }

    async fn succeeds(&self, operation: &Operation) {
        let ended = self.ends(operation).await;
        assert_eq!(ended.state, OperationState::Succeeded, "{ended:?}");
    }

    /// The code and the words of an operation that fails.
    async fn fails(&self, operation: &Operation) -> (String, String) {
        let ended = self.ends(operation).await;
        assert_eq!(ended.state, OperationState::Failed, "{ended:?}");
        let error = ended.error.expect("an error");
        (error.code, error.message)
    }

    async fn detail(&self, stack: &Stack) -> StackDetail {
        self.member.get(&self.path(&format!("stacks/{}", stack.id))).await.expect(200).json()
    }

    /// An object of the namespace, if it is there.
    fn find(&self, what: &str) -> Option<Value> {
        let arguments = ["get", "-n", self.namespace(), "-o", "json", what];
        let found = self.site.cluster.try_kubectl(&arguments, "");
        found.status.success().then(|| serde_json::from_slice(&found.stdout).unwrap())
    }

    fn object(&self, what: &str) -> Value {
        self.find(what).unwrap_or_else(|| panic!("there is no {what}"))
    }

    fn apply(&self, text: &str) {
        self.site.cluster.kubectl_with(&["apply", "-n", self.namespace(), "-f", "-"], text);
    }
}

fn two_services(replicas: u32, more: &str) -> String {
    format!(
        "services:\n  db: {{{SLEEPS}}}\n  web: {{depends_on: [db], expose: ['80'], image: 'busybox:1', stop_grace_period: 1s, entrypoint: [sleep, '1000'], environment: {{A: b}}, deploy: {{replicas: {replicas}, update_config: {{monitor: 0s}}}}}}\n{more}"
    )
}

#[tokio::test]
async fn a_stack_is_installed_changed_stopped_and_removed() {
    let fixture = Fixture::start().await;
    let stack = fixture.install("blog", &two_services(2, "")).await;
    let detail = fixture.detail(&stack).await;
    assert_eq!(detail.stack.state, StackState::Running, "{detail:?}");
    assert_eq!((detail.stack.running, detail.stack.desired), (3, 3));
    let web = fixture.object("deployment.apps/blog-web");
    let labels = &web["metadata"]["labels"];
    assert_eq!(labels["drover.io/stack"], stack.id.to_string());
    assert_eq!(labels["app.kubernetes.io/managed-by"], "drover");
    assert_eq!(labels["app.kubernetes.io/instance"], "blog");
    assert_eq!(fixture.object("service/blog-net")["spec"]["clusterIP"], "None");
    assert_eq!(fixture.object("service/blog-web")["spec"]["ports"][0]["port"], 80);

    let scaled = json!({ "scale": 1 });
    let operation = fixture.ask(&stack, "POST", "/services/web/scale", scaled).await;
    fixture.succeeds(&operation).await;
    assert_eq!(fixture.object("deployment.apps/blog-web")["spec"]["replicas"], 1);

    // Changed by hand, it is set back.
    let arguments = ["scale", "-n", fixture.namespace(), "deployment/blog-web", "--replicas=3"];
    fixture.site.cluster.kubectl(&arguments);
    eventually("the scale is set back", CLUSTER_LIMIT, async || {
        (fixture.object("deployment.apps/blog-web")["spec"]["replicas"] == 1).then_some(())
    })
    .await;

    let before = fixture.object("deployment.apps/blog-db")["metadata"]["generation"].clone();
    let operation = fixture.ask(&stack, "POST", "/services/db/restart", json!({})).await;
    fixture.succeeds(&operation).await;
    assert_ne!(fixture.object("deployment.apps/blog-db")["metadata"]["generation"], before);

    // What leaves the text leaves the cluster.
    let operation = fixture.change(&stack, &format!("services:\n  db: {{{SLEEPS}}}\n")).await;
    fixture.succeeds(&operation).await;
    assert_eq!(fixture.find("deployment.apps/blog-web"), None);
    assert_eq!(fixture.find("service/blog-web"), None);

    let operation = fixture.ask(&stack, "POST", "/stop", json!({})).await;
    fixture.succeeds(&operation).await;
    assert_eq!(fixture.object("deployment.apps/blog-db")["spec"]["replicas"], 0);
    let operation = fixture.ask(&stack, "POST", "/start", json!({})).await;
    fixture.succeeds(&operation).await;
    assert_eq!(fixture.object("deployment.apps/blog-db")["spec"]["replicas"], 1);

    let operation = fixture.ask(&stack, "DELETE", "", json!({})).await;
    fixture.succeeds(&operation).await;
    assert_eq!(fixture.find("deployment.apps/blog-db"), None);
    assert_eq!(fixture.find("service/blog-net"), None);
}

#[tokio::test]
async fn nothing_is_adopted_without_asking() {
    let fixture = Fixture::start().await;
    fixture.apply("apiVersion: v1\nkind: Service\nmetadata: {name: blog-web}\nspec: {ports: [{port: 80, targetPort: 81}], selector: {a: b}}\n");
    let text = format!("services:\n  web: {{expose: ['80'], {SLEEPS}}}\n");
    let begun = fixture.begin("blog", &text).await;
    let (code, why) = fixture.fails(&begun.operation).await;
    assert_eq!(code, "adoption_needed");
    assert!(why.contains("Service blog-web") && why.contains("x-drover-adopt"), "{why}");
    assert_eq!(fixture.object("service/blog-web")["spec"]["ports"][0]["targetPort"], 81);
    assert_eq!(fixture.find("deployment.apps/blog-web"), None);
    let operation = fixture.change(&begun.stack, &format!("x-drover-adopt: true\n{text}")).await;
    fixture.succeeds(&operation).await;
    let labels = &fixture.object("service/blog-web")["metadata"]["labels"];
    assert_eq!(labels["drover.io/stack"], begun.stack.id.to_string());
    // Another stack's own is never taken.
    let manifest = "apiVersion: v1\nkind: Service\nmetadata: {name: blog-web, annotations: {drover.io/adopt: 'true'}}\nspec: {ports: [{port: 82}]}\n";
    let thief = fixture.begin("thief", manifest).await;
    let (code, why) = fixture.fails(&thief.operation).await;
    assert_eq!(code, "name_taken");
    assert!(why.contains("blog"), "{why}");
}

#[tokio::test]
async fn a_change_that_does_not_run_goes_back() {
    let fixture = Fixture::start().await;
    let text = |command: &str| {
        format!(
            "services:\n  web: {{image: 'busybox:1', stop_grace_period: 1s, entrypoint: {command}, deploy: {{update_config: {{monitor: 0s, failure_action: rollback}}}}}}\n"
        )
    };
    let stack = fixture.install("blog", &text("[sleep, '1000']")).await;
    let bad = fixture.change(&stack, &text("[sh, -c, 'echo it is broken; exit 3']")).await;
    let (code, why) = fixture.fails(&bad).await;
    assert_eq!(code, "unhealthy");
    assert!(why.contains("exit code 3"), "{why}");
    eventually("it has gone back", 2 * CLUSTER_LIMIT, async || {
        let now = fixture.detail(&stack).await.stack;
        (now.revision == 3 && now.state == StackState::Running).then_some(())
    })
    .await;
    let web = fixture.object("deployment.apps/blog-web");
    assert_eq!(web["spec"]["template"]["spec"]["containers"][0]["command"][0], "sleep");
}

const MANIFESTS: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: 'busybox:1', command: [sleep, '1000']}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {greeting: 'hello ${WHO} $HOME'}
";

#[tokio::test]
async fn a_stack_can_be_manifests() {
    let fixture = Fixture::start().await;
    let body = json!({ "name": "plain", "source": {
        "kind": "compose", "compose": MANIFESTS, "variables": { "WHO": "world" } } });
    let begun: StackOperation =
        fixture.member.post(&fixture.path("stacks"), body).await.expect(202).json();
    fixture.succeeds(&begun.operation).await;
    let stack = begun.stack;
    let detail = fixture.detail(&stack).await;
    assert_eq!(detail.stack.state, StackState::Running);
    let services: Vec<_> =
        detail.service_list.iter().map(|s| (s.name.as_str(), s.running, s.scale)).collect();
    assert_eq!(services, [("web", 2, 2)]);
    assert_eq!(fixture.object("configmap/settings")["data"]["greeting"], "hello world $HOME");
    let operation = fixture.ask(&stack, "POST", "/services/web/scale", json!({ "scale": 1 })).await;
    fixture.succeeds(&operation).await;
    assert_eq!(fixture.object("deployment.apps/web")["spec"]["replicas"], 1);
    let only = MANIFESTS.split("---").next().unwrap();
    let operation = fixture.change(&stack, only).await;
    fixture.succeeds(&operation).await;
    assert_eq!(fixture.find("configmap/settings"), None);

    // What the cluster does not take ends the rollout, in its words.
    let odd = format!(
        "{only}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: odd}}\ndatum: {{}}\n"
    );
    let operation = fixture.change(&stack, &odd).await;
    let (_, why) = fixture.fails(&operation).await;
    assert!(why.contains("datum"), "{why}");
    // A namespace of others is not the environment's.
    let away = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: away, namespace: default}\n";
    let operation = fixture.change(&stack, away).await;
    assert_eq!(fixture.fails(&operation).await.0, "namespace_refused");
    // Rights are nothing that a stack gives.
    let rights = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: mine}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\n";
    let operation = fixture.change(&stack, rights).await;
    assert_eq!(fixture.fails(&operation).await.0, "forbidden_by_cluster");
    assert_eq!(fixture.find("rolebinding/mine"), None);
}

#[tokio::test]
async fn restricted_members_keep_to_baseline() {
    let fixture = Fixture::start().await;
    let rita = fixture.site.server.member("rita", fixture.environment.id, Role::Restricted).await;
    let strong = "apiVersion: v1\nkind: Pod\nmetadata: {name: strong}\nspec: {hostPID: true, containers: [{name: a, image: 'busybox:1'}]}\n";
    let compose = "services: {a: {image: 'busybox:1', privileged: true}}";
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: open}\nspec: {podSelector: {}}\n";
    for text in [strong, compose, policy] {
        let answer = rita.post(&fixture.path("stacks"), Fixture::body("strong", text)).await;
        answer.problem(403, "host_takeover_denied");
    }
    let text = format!("services:\n  a: {{{SLEEPS}}}\n");
    rita.post(&fixture.path("stacks"), Fixture::body("weak", &text)).await.expect(202);
}

#[tokio::test]
async fn secret_answers_stand_in_secrets_only() {
    let fixture = Fixture::start().await;
    let text = "services:\n  web: {image: 'busybox:1', stop_grace_period: 1s, entrypoint: [sh, -c, 'test \"$$URL\" = db://hunter22hunter22 && sleep 1000'], environment: {URL: 'db://${PASSWORD}'}, deploy: {update_config: {monitor: 0s}}}\n";
    let body = json!({ "name": "blog", "source": {
        "kind": "compose", "compose": text, "variables": { "PASSWORD": "hunter22hunter22" },
        "secret_variables": ["PASSWORD"] } });
    let begun: StackOperation =
        fixture.member.post(&fixture.path("stacks"), body).await.expect(202).json();
    fixture.succeeds(&begun.operation).await;
    let web = fixture.object("deployment.apps/blog-web");
    assert!(web["spec"]["template"]["spec"]["containers"][0]["env"][0]["valueFrom"].is_object());
    assert!(
        !web["spec"]["template"]["spec"]["containers"][0]["env"].to_string().contains("hunter22")
    );
}

#[tokio::test]
async fn services_wait_for_what_they_depend_on() {
    const TEXT: &str = "services:
  setup:
    image: 'busybox:1'
    restart: 'no'
    stop_grace_period: 1s
    entrypoint: [sleep, '2']
  db:
    image: 'busybox:1'
    stop_grace_period: 1s
    entrypoint: [sleep, '1000']
    healthcheck: {test: [CMD, test, -f, /tmp/ready], interval: 1s}
    depends_on: {setup: {condition: service_completed_successfully}}
    deploy: {update_config: {monitor: 0s}}
  web:
    image: 'busybox:1'
    stop_grace_period: 1s
    entrypoint: [sleep, '1000']
    depends_on: {db: {condition: service_healthy}}
    deploy: {update_config: {monitor: 0s}}
";
    let fixture = Fixture::start().await;
    let begun = fixture.begin("chain", TEXT).await;
    eventually("db runs", CLUSTER_LIMIT, async || fixture.find("deployment.apps/chain-db")).await;
    eventually("web waits for db, and says so", CLUSTER_LIMIT, async || {
        let services = fixture.detail(&begun.stack).await.service_list;
        let web = services.into_iter().find(|service| service.name == "web")?;
        web.reason?.contains("It waits for `db` to be healthy").then_some(())
    })
    .await;
    // The job had ended before db was made.
    let jobs = fixture.site.cluster.object(&["jobs", "-n", fixture.namespace()]);
    let ended = jobs["items"][0]["status"]["completionTime"].as_str().expect("ended").to_owned();
    let db = fixture.object("deployment.apps/chain-db");
    let made = db["metadata"]["creationTimestamp"].as_str().unwrap().to_owned();
    assert!(ended <= made, "{ended} {made}");
    assert_eq!(fixture.find("deployment.apps/chain-web"), None);

    let ready =
        ["exec", "-n", fixture.namespace(), "deployment/chain-db", "--", "touch", "/tmp/ready"];
    eventually("db becomes ready", CLUSTER_LIMIT, async || {
        fixture.site.cluster.try_kubectl(&ready, "").status.success().then_some(())
    })
    .await;
    fixture.succeeds(&begun.operation).await;
    assert!(fixture.find("deployment.apps/chain-web").is_some());
    let detail = fixture.detail(&begun.stack).await;
    assert_eq!(detail.stack.state, StackState::Running, "{detail:?}");
}

#[tokio::test]
async fn a_server_killed_in_mid_rollout_ends_in_the_same_place() {
    let mut fixture = Fixture::start().await;
    let text = |round: usize| {
        format!(
            "services:\n  db: {{{SLEEPS}, secrets: [key]}}\n  web: {{depends_on: [db], image: 'busybox:1', stop_grace_period: 1s, entrypoint: [sleep, '1000'], environment: {{ROUND: '{round}'}}, deploy: {{replicas: 2, update_config: {{monitor: 0s}}}}}}\nsecrets: {{key: {{content: 'round-{round}'}}}}\n"
        )
    };
    let mut stack = None;
    // Killed ever later: before the first step, in the midst of them, and towards the end.
    for (round, pause) in [50, 700, 1600, 3000].into_iter().enumerate() {
        let operation = match &stack {
            None => {
                let begun = fixture.begin("kill", &text(round)).await;
                stack = Some(begun.stack);
                begun.operation
            }
            Some(stack) => fixture.change(stack, &text(round)).await,
        };
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        fixture.site.server.restart().await;
        fixture.succeeds(&operation).await;
        let id = stack.as_ref().unwrap().id;
        let own = format!("drover.io/stack={id}");
        let names = |kind: &str| -> Vec<String> {
            let arguments = ["get", "-n", fixture.namespace(), kind, "-l", &own, "-o", "name"];
            let text = fixture.site.cluster.kubectl(&arguments);
            let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
            names.sort();
            names
        };
        let deployments = ["deployment.apps/kill-db", "deployment.apps/kill-web"];
        assert_eq!(names("deployments"), deployments, "after round {round}");
        let web = fixture.object("deployment.apps/kill-web");
        let variables = &web["spec"]["template"]["spec"]["containers"][0]["env"];
        assert_eq!(variables[0]["value"], json!(round.to_string()), "{variables}");
        eventually("nothing is doubled", CLUSTER_LIMIT, async || {
            let running = fixture.detail(stack.as_ref().unwrap()).await.stack;
            (names("secrets").len() == 1
                && names("pods").len() == 3
                && (running.running, running.desired) == (3, 3))
                .then_some(())
        })
        .await;
    }
    let operations = fixture.path(&format!("operations?stack_id={}", stack.as_ref().unwrap().id));
    let all: drover_api::List<Operation> = fixture.member.get(&operations).await.expect(200).json();
    assert_eq!(all.items.len(), 4, "{all:?}");
    assert!(all.items.iter().all(|one| one.state == OperationState::Succeeded), "{all:?}");
}
