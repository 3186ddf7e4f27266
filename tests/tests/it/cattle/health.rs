//! Health checks that the server makes.

use super::*;
use drover_api::{Container, Health};

/// A server with the tests' engine, whose containers it reaches directly.
async fn local() -> (TestServer, Client, Uuid, Docker) {
    let docker = Docker::start().await;
    let server = TestServer::builder().docker().start().await;
    let admin = server.admin().await;
    let environment = server.default_environment().await.id;
    (server, admin, environment, docker)
}

#[tokio::test]
async fn an_unhealthy_container_leaves_dns_and_is_replaced() {
    let (mut server, admin, environment, docker) = local().await;
    let name = format!("sick-{}", &Uuid::new_v4().simple().to_string()[..8]);
    let path = format!("/v1/environments/{environment}");
    eventually("the host is active", SOON, async || {
        let list: List<Host> = admin.get(&format!("{path}/hosts")).await.expect(200).json();
        list.items.iter().any(|host| host.state == HostState::Active).then_some(())
    })
    .await;
    let text = |strategy: &str| {
        format!(
            "services:\n  web: {{{WEB}, deploy: {{replicas: 2}}, x-drover-health: {{port: 8080, http: {{path: /index.html, status: 200}}, interval: 1s, timeout: 1s, healthy_threshold: 1, unhealthy_threshold: 2, strategy: {strategy}}}}}\n  ask: {{{SLEEP}}}\n"
        )
    };
    let operation = async |begun: StackOperation| {
        let path = format!("{path}/operations/{}", begun.operation.id);
        let ended = eventually("it ends", LATER, async || {
            let now: Operation = admin.get(&path).await.expect(200).json();
            now.finished_at.is_some().then_some(now)
        })
        .await;
        assert_eq!(ended.state, OperationState::Succeeded, "{ended:?}");
    };
    let body = json!({ "name": name, "source": { "kind": "compose", "compose": text("none") } });
    let begun: StackOperation =
        admin.post(&format!("{path}/stacks"), body).await.expect(202).json();
    let stack = begun.stack.clone();
    operation(begun).await;

    let health = async |container: &str| -> Option<Health> {
        let list: List<Container> =
            admin.get(&format!("{path}/containers?stack_id={}", stack.id)).await.expect(200).json();
        list.items.into_iter().find(|c| c.name == container).and_then(|c| c.health)
    };
    let (first, second) = (format!("{name}-web-1"), format!("{name}-web-2"));
    assert_eq!(health(&first).await, Some(Health::Healthy));

    // Whom the name leads to; each try may get either.
    let known = |container: &str| {
        let format = "{{range .NetworkSettings.Networks}}{{json .Aliases}} {{end}}";
        let aliases = docker.run(&["inspect", "--format", format, container]);
        (aliases.contains("\"web\""), aliases.contains(&format!("\"web.{name}\"")))
    };
    assert_eq!(known(&first), (true, true));
    let id = |container: &str| docker.run(&["inspect", "--format", "{{.Id}}", container]);
    let (old, healthy) = (id(&first), id(&second));

    // Broken: it is out of DNS, and with the strategy `none` not replaced.
    let page = "/bin/busybox mv /www/index.html /www/away.html";
    docker.run(&["exec", &first, "sh", "-c", page]);
    eventually("it is not healthy, and out of DNS", SOON, async || {
        (health(&first).await == Some(Health::Unhealthy) && known(&first) == (false, false))
            .then_some(())
    })
    .await;
    assert_eq!(known(&second), (true, true));
    let detail: StackDetail =
        admin.get(&format!("{path}/stacks/{}", stack.id)).await.expect(200).json();
    assert_eq!(detail.stack.state, StackState::Degraded);
    assert_eq!((detail.service_list[0].running, detail.service_list[0].healthy), (2, 1));

    // A server that starts anew knows that it is out.
    server.restart().await;
    // Mended, it is back.
    let page = "/bin/busybox mv /www/away.html /www/index.html";
    docker.run(&["exec", &first, "sh", "-c", page]);
    eventually("it is healthy, and known again", SOON, async || {
        (health(&first).await == Some(Health::Healthy) && known(&first) == (true, true))
            .then_some(())
    })
    .await;
    assert_eq!(id(&first), old);

    // With `recreate` a new one takes its place, and only its. The change itself replaces nothing.
    let change = json!({ "compose": text("recreate") });
    let request = admin.request("PUT".parse().unwrap(), &format!("{path}/stacks/{}", stack.id));
    let begun: StackOperation = admin.send(request.json(&change)).await.expect(202).json();
    operation(begun).await;
    assert_eq!((id(&first), id(&second)), (old.clone(), healthy.clone()));
    let page = "/bin/busybox mv /www/index.html /www/away.html";
    docker.run(&["exec", &first, "sh", "-c", page]);
    eventually("a new one has taken its place", LATER, async || {
        let now = docker.try_run(&["inspect", "--format", "{{.Id}}", &first]);
        let now = String::from_utf8(now.stdout).unwrap().trim().to_owned();
        (now.len() == 64 && now != old && health(&first).await == Some(Health::Healthy))
            .then_some(())
    })
    .await;
    assert_eq!(known(&first), (true, true));
    assert_eq!(id(&second), healthy);
    server.kill();
    docker.clean(&format!("io.drover.environment={environment}"));
}
