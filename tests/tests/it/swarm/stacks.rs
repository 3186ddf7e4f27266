//! Drover's stacks on a swarm.

use super::*;
use drover_api::{Container, ServiceLogLine, StackState};
use drover_tests::Shell;

/// A web server on two nodes, and one that it reaches by name.
const SHOP: &str = r#"
services:
  web:
    image: drover-test/web:1
    stop_grace_period: 0s
    depends_on: [app]
    ports: ["8080:8080"]
    secrets: [key]
    configs: [{source: settings, target: /etc/settings, uid: "7", gid: "8", mode: 0440}]
    environment: {PASSWORD: hunter22}
    deploy:
      replicas: 2
      labels: {team: shop}
      update_config: {parallelism: 1, monitor: 1s}
      placement: {max_replicas_per_node: 1}
      resources: {limits: {memory: 64m, pids: 50}}
  app:
    image: drover-test/sleep:1
    stop_grace_period: 0s
    volumes: ["data:/data"]
secrets: {key: {content: s3cret-one}}
configs: {settings: {content: "colour=blue"}}
volumes: {data: {}}
"#;

#[tokio::test]
async fn a_stack_is_what_the_command_line_would_have_made() {
    let fixture = Fixture::swarm(1).await;
    let stack = fixture.install("shop", SHOP).await;
    let detail = fixture.stack(&stack).await;
    assert_eq!(detail.stack.state, StackState::Running, "{detail:?}");
    assert_eq!((detail.stack.running, detail.stack.desired), (3, 3));

    // As `docker stack` sees it.
    let stacks = fixture.prints(&["stack", "ls", "--format", "{{.Name}} {{.Services}}"]);
    assert_eq!(stacks, "shop 2");
    let services = ["stack", "services", "shop", "--format", "{{.Name}} {{.Replicas}} {{.Image}}"];
    let mut lines: Vec<String> = fixture.prints(&services).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines[0], "shop_app 1/1 drover-test/sleep:1");
    assert!(lines[1].starts_with("shop_web 2/2"), "{lines:?}");
    let tasks = fixture.prints(&["stack", "ps", "shop", "--format", "{{.Name}} {{.CurrentState}}"]);
    assert_eq!(tasks.lines().filter(|line| line.contains("Running")).count(), 3, "{tasks}");

    // The page of a task on each of two nodes; secrets and configs with owner and mode.
    let running = fixture.running("shop_web").await;
    assert_eq!(running.len(), 2);
    let task = running.iter().find(|task| task.host_id != Some(fixture.hosts[0].id)).unwrap();
    let n = fixture.hosts.iter().position(|host| Some(host.id) == task.host_id).unwrap();
    assert_eq!(fixture.page(n, 8080).as_deref(), Some("version 1"));
    let container = task.container_id.clone().unwrap();
    let inside = |words: &[&str]| {
        let mut all = vec!["exec", container.as_str()];
        all.extend(words);
        fixture.docker(n).run(&all)
    };
    assert_eq!(inside(&["cat", "/run/secrets/key"]), "s3cret-one");
    let listed = inside(&["ls", "-ln", "/etc/settings"]);
    assert!(listed.starts_with("-r--r-----") && listed.contains(" 7 "), "{listed}");
    // By name, on whichever node it is.
    assert!(inside(&["ping", "-c1", "-W5", "app"]).contains("1 packets received"));

    // The hosts' index knows whose containers they are.
    let containers: Vec<Container> =
        fixture.list(&format!("containers?stack_id={}", stack.id)).await;
    assert_eq!(containers.len(), 3);
    assert!(containers.iter().all(|c| c.managed && c.stack_name.as_deref() == Some("shop")));

    // A log from all nodes, and a shell in a task on another one.
    let log = format!("stacks/{}", stack.id);
    assert!(fixture.admin.get(&fixture.path(&log)).await.status == 200);
    let path =
        fixture.path(&format!("hosts/{}/containers/{container}/exec/ws", fixture.hosts[n].id));
    let mut shell = Shell::open(&fixture.server.base(), &fixture.token, &path).await;
    shell.type_in("echo one-$((1+1))\n").await;
    shell.until("one-2").await;

    // What is secret is not told: neither by the swarm nor by Drover to those who only look.
    let member = fixture.server.member("ro", fixture.environment, drover_api::Role::Readonly).await;
    let path = fixture.path("swarm/services/shop_web");
    let shown = member.get(&path).await.expect(200).text;
    drover_tests::assert_no_secret(&shown, &["hunter22", "s3cret-one"]);
    let shown = fixture.admin.get(&path).await.expect(200).text;
    assert!(shown.contains("hunter22"));
    // What belongs to a stack is changed in the stack.
    fixture
        .admin
        .post(&format!("{path}/scale"), json!({ "replicas": 5 }))
        .await
        .problem(409, "managed_by_stack");

    // All of it goes with the stack.
    fixture.remove(&stack, "?volumes=true").await;
    for kind in ["service", "secret", "config"] {
        assert_eq!(fixture.prints(&[kind, "ls", "--quiet"]), "", "{kind}");
    }
    let networks =
        fixture.prints(&["network", "ls", "--filter", "driver=overlay", "--format", "{{.Name}}"]);
    assert_eq!(networks, "ingress");
    for n in 0..3 {
        assert_eq!(fixture.docker(n).run(&["volume", "ls", "--quiet"]), "");
    }
}

#[tokio::test]
async fn scaling_stopping_and_starting_keep_what_is_wanted() {
    let fixture = Fixture::swarm(1).await;
    let text = "services: {app: {image: 'drover-test/sleep:1', stop_grace_period: 0s, deploy: {replicas: 2}}}";
    let stack = fixture.install("scale", text).await;
    let before: Vec<String> =
        fixture.running("scale_app").await.into_iter().map(|task| task.id).collect();
    fixture.act(&stack, "services/app/scale", json!({ "scale": 4 })).await;
    let after = fixture.running("scale_app").await;
    assert_eq!(after.len(), 4);
    // Those that ran go on.
    assert!(before.iter().all(|id| after.iter().any(|task| task.id == *id)));

    // A scale changed by hand is set back.
    fixture.prints(&["service", "scale", "--detach", "scale_app=1"]);
    fixture.service_when("scale_app", "back at 4", |service| service.running == 4).await;

    fixture.act(&stack, "stop", json!({})).await;
    let detail = fixture.stack(&stack).await;
    assert_eq!(detail.stack.state, StackState::Stopped);
    assert_eq!(fixture.running("scale_app").await.len(), 0);
    assert_eq!(detail.service_list[0].scale, 4);
    fixture.act(&stack, "start", json!({})).await;
    assert_eq!(fixture.running("scale_app").await.len(), 4);

    // A restart replaces all tasks.
    let before: Vec<String> =
        fixture.running("scale_app").await.into_iter().map(|task| task.id).collect();
    fixture.act(&stack, "restart", json!({})).await;
    let after = fixture.running("scale_app").await;
    assert_eq!(after.len(), 4);
    assert!(after.iter().all(|task| !before.contains(&task.id)));
}

#[tokio::test]
async fn an_update_rolls_through_and_one_that_fails_is_taken_back() {
    let fixture = Fixture::swarm(1).await;
    let text = |image: &str| {
        format!(
            "services: {{web: {{image: '{image}', stop_grace_period: 0s, ports: ['8080:8080'], deploy: {{replicas: 2, placement: {{max_replicas_per_node: 1}}, update_config: {{parallelism: 1, monitor: 2s, failure_action: rollback}}}}}}}}"
        )
    };
    let stack = fixture.install("roll", &text("drover-test/web:1")).await;
    let operation = fixture.change(&stack, &text("drover-test/web:2")).await;
    // Progress is told while tasks are replaced one by one.
    let watched = fixture
        .service_when("roll_web", "being updated", |service| {
            service.update.as_ref().is_some_and(|update| update.state == "updating")
        })
        .await;
    assert_eq!(watched.replicas, 2);
    fixture.succeeds(&operation).await;
    let service = fixture.service_when("roll_web", "updated", |service| service.running == 2).await;
    assert_eq!(service.image, "drover-test/web:2");
    assert_eq!(service.update.unwrap().state, "completed");

    // The new one never becomes healthy: the stack goes back by itself.
    let operation = fixture.change(&stack, &text("drover-test/unhealthy:1")).await;
    let (code, message) = fixture.fails(&operation).await;
    assert_eq!(code, "unhealthy", "{message}");
    let detail = eventually("it is rolled back", LATER, async || {
        let detail = fixture.stack(&stack).await;
        (detail.stack.state == StackState::Running).then_some(detail)
    })
    .await;
    assert!(detail.compose.contains("drover-test/web:2"), "{}", detail.compose);
    fixture
        .service_when("roll_web", "as before", |service| {
            service.image == "drover-test/web:2" && service.running == 2
        })
        .await;

    // One that cannot be placed says so.
    let nowhere = "services: {web: {image: 'drover-test/web:1', deploy: {placement: {constraints: [node.labels.moon == full]}}}}";
    let begun = fixture.begin("nowhere", nowhere).await;
    let (code, message) = fixture.fails(&begun.operation).await;
    assert_eq!(code, "no_host", "{message}");
    assert!(message.contains("constraints"), "{message}");
    // What a swarm does not take is refused before anything is made.
    let wrong = json!({ "name": "wrong", "source": { "kind": "compose",
        "compose": "services: {web: {image: 'drover-test/web:1', privileged: true}}" } });
    let refused =
        fixture.admin.post(&fixture.path("stacks"), wrong).await.problem(422, "invalid_input");
    assert!(refused.errors[0].message.contains("privileged"), "{refused:?}");
}

#[tokio::test]
async fn secrets_that_change_rotate_and_what_left_is_removed() {
    let fixture = Fixture::swarm(1).await;
    let stack = fixture.install("rotate", &SHOP.replace("8080:8080", "8081:8080")).await;
    let secrets = || {
        let listed = fixture.prints(&["secret", "ls", "--format", "{{.Name}}"]);
        listed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let before = secrets();
    assert_eq!(before.len(), 1);
    assert!(before[0].starts_with("rotate_key-"), "{before:?}");
    let app_before = fixture.running("rotate_app").await;
    let text = SHOP.replace("8080:8080", "8081:8080").replace("s3cret-one", "s3cret-two");
    fixture.succeeds(&fixture.change(&stack, &text).await).await;
    let task = fixture.running("rotate_web").await.pop().unwrap();
    let n = fixture.hosts.iter().position(|host| Some(host.id) == task.host_id).unwrap();
    let cat = ["exec", task.container_id.as_deref().unwrap(), "cat", "/run/secrets/key"];
    assert_eq!(fixture.docker(n).run(&cat), "s3cret-two");
    eventually("the old secret is gone", SOON, async || {
        let now = secrets();
        (now.len() == 1 && now != before).then_some(())
    })
    .await;
    // What has not changed was not touched.
    assert_eq!(fixture.running("rotate_app").await[0].id, app_before[0].id);

    // A service that leaves the text goes, with its network and its secret.
    let less = "services: {app: {image: 'drover-test/sleep:1', stop_grace_period: 0s, networks: [inner]}}\nnetworks: {inner: {}}";
    fixture.succeeds(&fixture.change(&stack, less).await).await;
    assert_eq!(fixture.prints(&["service", "ls", "--format", "{{.Name}}"]), "rotate_app");
    eventually("the rest is gone", LATER, async || {
        let networks = fixture.prints(&["network", "ls", "--format", "{{.Name}}"]);
        let gone = secrets().is_empty() && !networks.contains("rotate_default");
        gone.then_some(())
    })
    .await;
}

#[tokio::test]
async fn jobs_run_to_their_end_and_others_wait_for_them() {
    let fixture = Fixture::swarm(1).await;
    let text = r#"
services:
  migrate: {image: "drover-test/sleep:1", command: ["sh", "-c", "echo migrated"]}
  each: {image: "drover-test/sleep:1", command: ["true"], deploy: {mode: global-job}}
  web: {image: "drover-test/web:1", stop_grace_period: 0s, depends_on: {migrate: {condition: service_completed_successfully}}, deploy: {mode: global}}
"#;
    let stack = fixture.install("jobs", text).await;
    let web = fixture.service_when("jobs_web", "on each node", |s| s.running == 3).await;
    assert_eq!(web.replicas, 3);
    let migrate = fixture.service_when("jobs_migrate", "done", |s| s.completed == 1).await;
    assert_eq!(migrate.state, drover_api::SwarmServiceState::Completed);
    fixture.service_when("jobs_each", "done", |service| service.completed == 3).await;
    let lines: Vec<ServiceLogLine> = fixture.list("swarm/services/jobs_migrate/logs").await;
    assert_eq!(lines[0].text, "migrated", "{lines:?}");
    assert!(lines[0].task_name.as_deref().unwrap().starts_with("jobs_migrate."), "{lines:?}");
    fixture.remove(&stack, "").await;
}

#[tokio::test]
async fn a_drained_node_gets_empty() {
    let fixture = Fixture::swarm(1).await;
    let text = "services: {app: {image: 'drover-test/sleep:1', stop_grace_period: 0s, deploy: {replicas: 3}}}";
    fixture.install("drain", text).await;
    let node = fixture.node_of(1).await;
    let path = fixture.path(&format!("swarm/nodes/{}", node.id));
    fixture.admin.patch(&path, json!({ "availability": "drain" })).await.expect(200);
    eventually("all tasks run elsewhere", LATER, async || {
        let running = fixture.running("drain_app").await;
        let elsewhere = running.iter().all(|task| task.node_id.as_deref() != Some(&node.id));
        (running.len() == 3 && elsewhere).then_some(())
    })
    .await;
}
