//! Installing, and what then runs.

use super::*;
use drover_tests::assert_no_secret;

/// Several services with all that ties them together.
const SHOP: &str = r#"
services:
  web:
    image: drover-test/web:1
    ports: ["${PORT}:8080"]
    depends_on:
      store: { condition: service_healthy }
    networks: [front, back]
    deploy: { replicas: 1 }
  store:
    image: drover-test/sleep:1
    command: ["sh", "-c", "cp /run/secrets/token /data/token && sleep 100000"]
    environment:
      MODE: "${MODE:-plain}"
      PRICE: "5$$"
    volumes: ["data:/data"]
    secrets: [token]
    configs:
      - source: motd
        target: /etc/motd
        mode: 0440
    healthcheck: { test: ["CMD", "cat", "/data/token"], interval: 1s, retries: 10 }
    networks: { back: { aliases: [database] } }
    stop_grace_period: 1s
networks: { front: {}, back: {} }
volumes: { data: {} }
secrets:
  token: { environment: TOKEN }
configs:
  motd: { content: "Welcome to ${NAME:?give a name}\n" }
"#;

#[tokio::test]
async fn a_stack_runs_as_its_text_says() {
    let fixture = Fixture::start().await;
    let (name, port) = (unique("shop"), free_port());
    let token = "s3cr3t-token-of-the-shop";
    let body = json!({
        "name": name,
        "source": {
            "kind": "compose", "compose": SHOP, "secret_variables": ["TOKEN"],
            "variables": { "PORT": port.to_string(), "TOKEN": token, "NAME": "Ada's" },
        },
    });
    let answer = fixture.admin.post(&fixture.path("stacks"), body).await.expect(202);
    assert_no_secret(&answer.text, &[token]);
    let begun: StackOperation = answer.json();
    assert_eq!(begun.stack.state, StackState::Installing);
    fixture.succeeds(&begun.operation).await;
    let detail = fixture.stands(&begun.stack, StackState::Running).await;
    assert_eq!((detail.stack.running, detail.stack.desired), (2, 2));
    assert_eq!(detail.variables["TOKEN"], None, "its value is nobody's business");
    assert_eq!(detail.variables["NAME"].as_deref(), Some("Ada's"));

    let (web, store) = (format!("{name}-web-1"), format!("{name}-store-1"));
    // Names resolve, by service and by alias; the front network does not reach the store.
    fixture.exec(&web, "ping -c 1 -w 5 store && ping -c 1 -w 5 database");
    let page = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc web 8080";
    assert!(fixture.exec(&store, page).contains("version 1"));
    // The port is open on the host.
    let url = format!("http://127.0.0.1:{port}/index.html");
    let answer = reqwest_get(&url).await;
    assert_eq!(answer.trim(), "version 1");
    // Secrets and configs are files with their modes; variables follow the specification.
    assert_eq!(fixture.exec(&store, "cat /run/secrets/token"), token);
    assert_eq!(fixture.exec(&store, "cat /etc/motd"), "Welcome to Ada's");
    assert!(fixture.exec(&store, "ls -l /etc/motd").starts_with("-r--r-----"));
    assert_eq!(fixture.exec(&store, "echo $MODE $PRICE"), "plain 5$");

    // Nothing of the secret is shown or logged.
    for path in ["", "/revisions"] {
        let shown = fixture.admin.get(&fixture.stack_path(&begun.stack, path)).await.expect(200);
        assert_no_secret(&shown.text, &[token]);
    }
    let audit = fixture.admin.get("/v1/audit").await.expect(200);
    assert_no_secret(&audit.text, &[token]);
    assert_no_secret(&fixture.server.log(), &[token]);

    // Without its volumes it goes but for them; then with them.
    let gone = fixture.ask(&begun.stack, "DELETE", "", Value::Null).await;
    eventually("the stack is gone", LATER, async || {
        let answer = fixture.admin.get(&fixture.stack_path(&begun.stack, "")).await;
        (answer.status == 404).then_some(())
    })
    .await;
    assert_eq!(fixture.names(&name), Vec::<String>::new());
    let volumes =
        || fixture.docker.run(&["volume", "ls", "-q", "--filter", &format!("name={name}_")]);
    assert_eq!(volumes(), format!("{name}_data"));
    let networks =
        fixture.docker.run(&["network", "ls", "-q", "--filter", &format!("name={name}_")]);
    assert_eq!(networks, "");
    assert_eq!(fixture.operation(gone.id).await.state, OperationState::Succeeded);
}

async fn reqwest_get(url: &str) -> String {
    Client::new(url).get("").await.expect(200).text
}

#[tokio::test]
async fn a_container_has_all_that_its_text_asks_for() {
    let fixture = Fixture::start().await;
    let name = unique("full");
    let text = r#"
services:
  app:
    image: drover-test/sleep:1
    entrypoint: ["sh", "-c"]
    command: ["sleep 100000"]
    user: "1000:1001"
    working_dir: /tmp
    hostname: apphost
    cap_add: [NET_ADMIN]
    cap_drop: [MKNOD]
    ulimits: { nofile: { soft: 1000, hard: 2000 }, nproc: 500 }
    tmpfs: ["/cache:size=1m"]
    extra_hosts: ["elsewhere:192.0.2.7"]
    logging: { driver: json-file, options: { max-size: 1m } }
    labels: { org.example.team: blue }
    stop_signal: SIGINT
    stop_grace_period: 3s
    expose: ["9000"]
    read_only: true
    init: true
    deploy:
      resources:
        limits: { cpus: "0.5", memory: 64M }
        reservations: { memory: 16M }
"#;
    fixture.install(&name, text).await;
    let found: Value =
        serde_json::from_str(&fixture.docker.run(&["inspect", &format!("{name}-app-1")])).unwrap();
    let (config, host) = (&found[0]["Config"], &found[0]["HostConfig"]);
    assert_eq!(config["Entrypoint"], json!(["sh", "-c"]));
    assert_eq!(config["Cmd"], json!(["sleep 100000"]));
    assert_eq!(config["User"], "1000:1001");
    assert_eq!(config["WorkingDir"], "/tmp");
    assert_eq!(config["Hostname"], "apphost");
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(config["StopTimeout"], 3);
    assert_eq!(config["Labels"]["org.example.team"], "blue");
    assert!(config["ExposedPorts"].get("9000/tcp").is_some());
    assert_eq!(host["CapAdd"], json!(["NET_ADMIN"]));
    assert_eq!(host["CapDrop"], json!(["MKNOD"]));
    let ulimits = host["Ulimits"].as_array().unwrap();
    assert!(ulimits.contains(&json!({ "Name": "nofile", "Soft": 1000, "Hard": 2000 })));
    assert!(ulimits.contains(&json!({ "Name": "nproc", "Soft": 500, "Hard": 500 })));
    assert!(host["Tmpfs"].get("/cache").is_some());
    assert_eq!(host["ExtraHosts"], json!(["elsewhere:192.0.2.7"]));
    assert_eq!(host["LogConfig"]["Config"]["max-size"], "1m");
    assert_eq!(host["NanoCpus"], 500_000_000);
    assert_eq!(host["Memory"], 64 << 20);
    assert_eq!(host["MemoryReservation"], 16 << 20);
    assert_eq!((&host["ReadonlyRootfs"], &host["Init"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn services_scale_stop_start_and_restart() {
    let fixture = Fixture::start().await;
    let name = unique("scale");
    let text = "services: {web: {image: 'drover-test/web:1', stop_grace_period: 0s}}";
    let stack = fixture.install(&name, text).await;
    let scale = async |count: u32| {
        let path = "/services/web/scale";
        let operation = fixture.ask(&stack, "POST", path, json!({ "scale": count })).await;
        fixture.succeeds(&operation).await;
        fixture.names(&name).len()
    };
    assert_eq!(scale(3).await, 3);
    let first = fixture.docker.run(&["inspect", "--format", "{{.Id}}", &format!("{name}-web-1")]);
    assert_eq!(scale(1).await, 1);
    let same = fixture.docker.run(&["inspect", "--format", "{{.Id}}", &format!("{name}-web-1")]);
    assert_eq!(first, same, "the first was not to be touched");

    let stop = fixture.ask(&stack, "POST", "/stop", Value::Null).await;
    fixture.succeeds(&stop).await;
    assert_eq!(fixture.names(&name), Vec::<String>::new());
    assert_eq!(fixture.detail(&stack).await.stack.state, StackState::Stopped);
    let start = fixture.ask(&stack, "POST", "/start", Value::Null).await;
    fixture.succeeds(&start).await;
    assert_eq!(fixture.names(&name), [format!("{name}-web-1")]);

    let before = fixture.docker.run(&["inspect", "--format", "{{.Id}}", &format!("{name}-web-1")]);
    let restart = fixture.ask(&stack, "POST", "/services/web/restart", Value::Null).await;
    fixture.succeeds(&restart).await;
    let after = fixture.docker.run(&["inspect", "--format", "{{.Id}}", &format!("{name}-web-1")]);
    assert_ne!(before, after);
}

#[tokio::test]
async fn a_job_ends_before_what_waits_for_it() {
    let fixture = Fixture::start().await;
    let name = unique("job");
    let text = r#"
services:
  migrate:
    image: drover-test/sleep:1
    command: ["sh", "-c", "echo migrated > /data/done"]
    volumes: ["data:/data"]
  web:
    image: drover-test/sleep:1
    command: ["sh", "-c", "cat /data/done && sleep 100000"]
    stop_grace_period: 0s
    volumes: ["data:/data"]
    depends_on: { migrate: { condition: service_completed_successfully } }
volumes: { data: {} }
"#;
    let stack = fixture.install(&name, text).await;
    assert_eq!(fixture.docker.run(&["logs", &format!("{name}-web-1")]), "migrated");
    assert_eq!(fixture.detail(&stack).await.stack.state, StackState::Running);
    // The job has ended, and stays so.
    assert_eq!(fixture.running(&name).len(), 1);
}

#[tokio::test]
async fn one_key_installs_once() {
    let fixture = Fixture::start().await;
    let name = unique("once");
    let body = Fixture::compose(&name, "services: {web: {image: 'drover-test/web:1'}}");
    let install = async || -> StackOperation {
        let request = fixture.admin.request("POST".parse().unwrap(), &fixture.path("stacks"));
        let request = request.header("idempotency-key", &name).json(&body);
        fixture.admin.send(request).await.expect(202).json()
    };
    let (first, again) = (install().await, install().await);
    assert_eq!(first.operation.id, again.operation.id);
    let taken = fixture.admin.post(&fixture.path("stacks"), &body).await.problem(409, "name_taken");
    assert_eq!(taken.errors[0].field, "name");
    fixture.succeeds(&first.operation).await;
}

#[tokio::test]
async fn an_environment_goes_with_its_stacks_when_asked_to() {
    let fixture = Fixture::start().await;
    let text = "services: {web: {image: 'drover-test/web:1', stop_grace_period: 0s}}";
    for short in ["one", "two"] {
        fixture.install(&unique(short), text).await;
    }
    let path = format!("/v1/environments/{}", fixture.environment);
    let refused = fixture.admin.delete(&path).await.problem(409, "environment_not_empty");
    assert!(refused.detail.contains("2 stacks"), "{}", refused.detail);
    let begun = fixture.admin.delete(&format!("{path}?stacks=true")).await.expect(202);
    assert_eq!(begun.json::<Operation>().target_id, fixture.environment);
    let body = Fixture::compose("late", text);
    let late = fixture.admin.post(&fixture.path("stacks"), body).await;
    assert!(matches!(late.status, 404 | 409), "{}", late.status);
    eventually("the environment is gone", LATER, async || {
        (fixture.admin.get(&path).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(fixture.docker.containers(&fixture.label()), Vec::<String>::new());
}
