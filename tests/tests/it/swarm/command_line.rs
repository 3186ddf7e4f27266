//! What was made on the command line is shown, and can be managed.

use super::*;
use drover_api::{Role, SwarmConfig, SwarmFile, SwarmNetwork, SwarmStack};

const TEXT: &str = r#"
version: "3.8"
services:
  web:
    image: drover-test/web:1
    environment: {A: "1"}
    secrets: [key]
    stop_grace_period: 0s
    deploy:
      replicas: 2
      endpoint_mode: dnsrr
      update_config: {parallelism: 3, monitor: 1s}
      rollback_config: {parallelism: 3, monitor: 1s}
secrets: {key: {external: true}}
"#;

impl Fixture {
    /// `docker stack deploy` on the manager.
    fn deploy(&self, name: &str, text: &str) {
        let host = &self.lan.hosts()[0];
        std::fs::write(host.folder().join("stack.yml"), text).unwrap();
        let file = host.folder().join("stack.yml");
        self.prints(&["stack", "deploy", "--compose-file", file.to_str().unwrap(), name]);
    }
}

#[tokio::test]
async fn a_stack_of_the_command_line_is_managed() {
    let fixture = Fixture::swarm(1).await;
    let secret = json!({ "name": "key", "content": "first" });
    let secret: SwarmFile =
        fixture.admin.post(&fixture.path("swarm/secrets"), secret).await.expect(201).json();
    fixture.deploy("hand", TEXT);
    let service = fixture.service_when("hand_web", "running", |s| s.running == 2).await;
    assert_eq!(service.stack.as_deref(), Some("hand"));
    assert!(service.stack_id.is_none() && !service.foreign);
    let stacks: Vec<SwarmStack> = fixture.list("swarm/stacks").await;
    assert_eq!(stacks.len(), 1);
    assert_eq!((stacks[0].name.as_str(), stacks[0].desired), ("hand", 2));

    let path = fixture.path(&format!("swarm/services/{}", service.id));
    let back = format!("{path}/rollback");
    fixture.admin.post(&back, json!({})).await.problem(409, "no_previous_spec");
    fixture.admin.post(&format!("{path}/scale"), json!({ "replicas": 3 })).await.expect(200);
    fixture.service_when("hand_web", "scaled", |service| service.running == 3).await;
    // Nothing that this code does not know is lost on the way.
    let spec = |what: &str| fixture.prints(&["service", "inspect", "hand_web", "--format", what]);
    assert_eq!(spec("{{.Spec.EndpointSpec.Mode}}"), "dnsrr");

    // Another image, and back.
    let image = json!({ "image": "drover-test/web:2" });
    fixture.admin.post(&format!("{path}/update"), image).await.expect(200);
    fixture
        .service_when("hand_web", "updated", |s| {
            s.image == "drover-test/web:2"
                && s.update.as_ref().is_some_and(|update| update.state == "completed")
        })
        .await;
    fixture.admin.post(&back, json!({})).await.expect(200);
    fixture
        .service_when("hand_web", "rolled back", |s| {
            s.image == "drover-test/web:1"
                && s.update.as_ref().is_some_and(|update| update.state == "rollback_completed")
        })
        .await;

    // A secret rotates: services use the new one under the same path.
    let rotate = fixture.path(&format!("swarm/secrets/{}/rotate", secret.id));
    let rotated: SwarmFile =
        fixture.admin.post(&rotate, json!({ "content": "second" })).await.expect(200).json();
    assert!(rotated.name.starts_with("key-"), "{rotated:?}");
    fixture
        .service_when("hand_web", "with the new secret", |s| {
            s.running == 3 && s.update.as_ref().is_some_and(|u| u.state == "completed")
        })
        .await;
    let task = fixture.running("hand_web").await.pop().unwrap();
    let n = fixture.hosts.iter().position(|host| Some(host.id) == task.host_id).unwrap();
    let cat = ["exec", task.container_id.as_deref().unwrap(), "cat", "/run/secrets/key"];
    assert_eq!(fixture.docker(n).run(&cat), "second");
    let listed = fixture.prints(&["secret", "ls", "--format", "{{.Name}}"]);
    assert_eq!(listed, rotated.name);
    // What is in use stays.
    let used = fixture.path(&format!("swarm/secrets/{}", rotated.id));
    fixture.admin.delete(&used).await.problem(409, "conflict");

    fixture.admin.delete(&fixture.path("swarm/stacks/hand")).await.expect(204);
    assert_eq!(fixture.prints(&["stack", "ls", "--format", "{{.Name}}"]), "");
    fixture.admin.delete(&used).await.expect(204);
    // Networks take the engines a moment.
    eventually("nothing of it is left", LATER, async || {
        let again = fixture.admin.delete(&fixture.path("swarm/stacks/hand")).await;
        (again.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn networks_and_configs_are_made_and_removed() {
    let fixture = Fixture::start(1).await;
    fixture.make(1).await;
    let new =
        json!({ "name": "back", "attachable": true, "encrypted": true, "subnet": "10.77.0.0/24" });
    let network: SwarmNetwork =
        fixture.admin.post(&fixture.path("swarm/networks"), &new).await.expect(201).json();
    assert_eq!(network.subnets, ["10.77.0.0/24"]);
    assert!(network.attachable && network.encrypted, "{network:?}");
    fixture.admin.post(&fixture.path("swarm/networks"), &new).await.problem(409, "name_taken");
    let path = fixture.path(&format!("swarm/networks/{}", network.id));
    fixture.admin.delete(&path).await.expect(204);

    let new = json!({ "name": "motd", "content": "hello" });
    let config: SwarmFile =
        fixture.admin.post(&fixture.path("swarm/configs"), new).await.expect(201).json();
    let path = fixture.path(&format!("swarm/configs/{}", config.id));
    let shown: SwarmConfig = fixture.admin.get(&path).await.expect(200).json();
    assert_eq!(shown.content.as_deref(), Some("hello"));
    // Who may only look does not see what it holds.
    let member = fixture.server.member("ro", fixture.environment, Role::Readonly).await;
    let shown: SwarmConfig = member.get(&path).await.expect(200).json();
    assert_eq!(shown.content, None);
    fixture.admin.delete(&path).await.expect(204);
    let empty = json!({ "name": "no", "content": "" });
    fixture.admin.post(&fixture.path("swarm/configs"), empty).await.problem(422, "invalid_input");
}

#[tokio::test]
async fn what_could_take_over_a_node_is_not_for_everyone() {
    let fixture = Fixture::start(1).await;
    fixture.make(1).await;
    fixture.prints(&[
        "service",
        "create",
        "--detach",
        "--name",
        "root",
        "--endpoint-mode",
        "dnsrr",
        "--mount",
        "type=bind,source=/,target=/host",
        "drover-test/sleep:1",
    ]);
    let service = fixture.service_when("root", "running", |service| service.running == 1).await;
    let member = fixture.server.member("restricted", fixture.environment, Role::Restricted).await;
    let path = fixture.path(&format!("swarm/services/{}", service.id));
    member.get(&path).await.expect(200);
    for (what, body) in
        [("scale", json!({ "replicas": 2 })), ("update", json!({ "image": "drover-test/web:1" }))]
    {
        let answer = member.post(&format!("{path}/{what}"), body).await;
        answer.problem(403, "host_takeover");
    }
    let task = fixture.running("root").await.pop().unwrap();
    let exec = format!(
        "hosts/{}/containers/{}/exec/ws",
        task.host_id.unwrap(),
        task.container_id.unwrap()
    );
    let refused = member.send(member.request(reqwest::Method::GET, &fixture.path(&exec))).await;
    assert!(matches!(refused.status, 403 | 426), "{refused:?}");
    // In a stack of its own neither.
    let text = "services: {web: {image: 'drover-test/sleep:1', volumes: ['/:/host']}}";
    let body = json!({ "name": "mine", "source": { "kind": "compose", "compose": text } });
    member.post(&fixture.path("stacks"), &body).await.problem(403, "host_takeover_denied");
    let plain = "services: {web: {image: 'drover-test/sleep:1', stop_grace_period: 0s}}";
    let body = json!({ "name": "mine", "source": { "kind": "compose", "compose": plain } });
    let begun: StackOperation =
        member.post(&fixture.path("stacks"), &body).await.expect(202).json();
    fixture.succeeds(&begun.operation).await;
    // Who may only look changes nothing.
    let reader = fixture.server.member("ro", fixture.environment, Role::Readonly).await;
    reader.post(&format!("{path}/scale"), json!({ "replicas": 2 })).await.problem(403, "forbidden");
    reader
        .post(&fixture.path("swarm/networks"), json!({ "name": "x" }))
        .await
        .problem(403, "forbidden");
    member
        .post(&fixture.path("swarm/networks"), json!({ "name": "x" }))
        .await
        .problem(403, "forbidden");
}
