//! Changing what runs.

use super::*;
use drover_api::{RevisionOutcome, StackRevision};

const ONE: &str = "drover-test/web:1";
const TWO: &str = "drover-test/web:2";

fn replicas(image: &str, more: &str) -> String {
    format!(
        "services:\n  web:\n    image: {image}\n    stop_grace_period: 0s\n    deploy:\n      replicas: 3\n      update_config: {{ parallelism: 1, monitor: 1s{more} }}\n"
    )
}

#[tokio::test]
async fn an_upgrade_rolls_and_rolls_back() {
    let fixture = Fixture::start().await;
    let name = unique("roll");
    let stack = fixture.install(&name, &replicas(ONE, "")).await;
    let upgrade = fixture.change(&stack, &replicas(TWO, "")).await;
    let mut fewest = 3;
    eventually("the upgrade ends", LATER, async || {
        fewest = fewest.min(fixture.running(&name).len());
        fixture.operation(upgrade.id).await.finished_at.map(drop)
    })
    .await;
    fixture.succeeds(&upgrade).await;
    assert!(fewest >= 2, "only {fewest} ran during the upgrade");
    let images = |image: &str| {
        let running = fixture.running(&name);
        running.len() == 3 && running.iter().all(|(_, found)| found == image)
    };
    assert!(images(TWO), "{:?}", fixture.running(&name));
    assert_eq!(fixture.names(&name).len(), 3);

    let back = fixture.ask(&stack, "POST", "/rollback", json!({ "revision": 1 })).await;
    fixture.succeeds(&back).await;
    assert!(images(ONE), "{:?}", fixture.running(&name));
    let revisions: List<StackRevision> =
        fixture.admin.get(&fixture.stack_path(&stack, "/revisions")).await.expect(200).json();
    let numbers: Vec<i32> = revisions.items.iter().map(|revision| revision.revision).collect();
    assert_eq!(numbers, [3, 2, 1]);
    assert_eq!(revisions.items[0].compose, revisions.items[2].compose);
}

#[tokio::test]
async fn start_first_never_has_fewer() {
    let fixture = Fixture::start().await;
    let name = unique("first");
    let more = ", order: start-first";
    let stack = fixture.install(&name, &replicas(ONE, more)).await;
    let upgrade = fixture.change(&stack, &replicas(TWO, more)).await;
    let mut fewest = 3;
    eventually("the upgrade ends", LATER, async || {
        fewest = fewest.min(fixture.running(&name).len());
        fixture.operation(upgrade.id).await.finished_at.map(drop)
    })
    .await;
    fixture.succeeds(&upgrade).await;
    assert_eq!(fewest, 3);
    let names: Vec<String> = (1..=3).map(|n| format!("{name}-web-{n}")).collect();
    assert_eq!(fixture.names(&name), names);
}

#[tokio::test]
async fn an_upgrade_that_does_not_get_healthy_stops_and_says_why() {
    let fixture = Fixture::start().await;
    let name = unique("sick");
    let stack = fixture.install(&name, &replicas(ONE, "")).await;
    let upgrade = fixture.change(&stack, &replicas("drover-test/unhealthy:1", "")).await;
    let (code, message) = fixture.fails(&upgrade).await;
    assert_eq!(code, "unhealthy");
    assert!(message.contains("is not healthy"), "{message}");
    let detail = fixture.stands(&stack, StackState::Failed).await;
    assert!(detail.stack.reason.unwrap().contains("not healthy"));
    // The others were not touched, and whoever ends one of them now gets the old one back.
    let old = |running: Vec<(String, String)>| running.iter().filter(|(_, i)| i == ONE).count();
    assert_eq!(old(fixture.running(&name)), 2);
    let (victim, _) = fixture.running(&name).into_iter().find(|(_, i)| i == ONE).unwrap();
    fixture.docker.run(&["kill", &victim]);
    eventually("it runs again", SOON, async || (old(fixture.running(&name)) == 2).then_some(()))
        .await;

    let back = fixture.ask(&stack, "POST", "/rollback", json!({ "revision": 1 })).await;
    fixture.succeeds(&back).await;
    assert_eq!(old(fixture.running(&name)), 3);
    assert_eq!(fixture.names(&name).len(), 3);
}

#[tokio::test]
async fn a_failing_upgrade_rolls_itself_back_where_its_text_says_so() {
    let fixture = Fixture::start().await;
    let name = unique("auto");
    let more = ", failure_action: rollback";
    let stack = fixture.install(&name, &replicas(ONE, more)).await;
    let bad = replicas("drover-test/unhealthy:1", more);
    let upgrade = fixture.change(&stack, &bad).await;
    assert_eq!(fixture.fails(&upgrade).await.0, "unhealthy");
    eventually("the old version runs again", LATER, async || {
        let running = fixture.running(&name);
        let all = running.len() == 3 && running.iter().all(|(_, image)| image == ONE);
        (all && fixture.detail(&stack).await.stack.state == StackState::Running).then_some(())
    })
    .await;
    let revisions: List<StackRevision> =
        fixture.admin.get(&fixture.stack_path(&stack, "/revisions")).await.expect(200).json();
    let outcomes: Vec<_> = revisions.items.iter().map(|revision| revision.outcome).collect();
    let (good, bad) = (Some(RevisionOutcome::Succeeded), Some(RevisionOutcome::Failed));
    assert_eq!(outcomes, [good, bad, good]);
}

#[tokio::test]
async fn what_ends_again_and_again_is_given_up_and_what_needs_a_few_tries_is_not() {
    let fixture = Fixture::start().await;
    let name = unique("crash");
    let text = "services: {job: {image: 'drover-test/crash:1', restart: 'no'}}";
    let begun = fixture.begin(&name, text).await;
    let (code, message) = fixture.fails(&begun.operation).await;
    assert_eq!(code, "unhealthy");
    assert!(message.contains("exit code 1"), "{message}");

    let name = unique("tries");
    // It fails until its third start.
    let text = r#"
services:
  app:
    image: drover-test/sleep:1
    command: ["sh", "-c", "echo x >> /data/tries; [ $$(cat /data/tries | sh -c 'n=0; while read l; do n=$$((n+1)); done; echo $$n') -ge 3 ] && sleep 100000"]
    healthcheck: { test: ["CMD", "true"], interval: 1s }
    volumes: ["data:/data"]
    stop_grace_period: 0s
volumes: { data: {} }
"#;
    let stack = fixture.install(&name, text).await;
    assert_eq!(fixture.detail(&stack).await.stack.state, StackState::Running);
}

#[tokio::test]
async fn a_rollout_can_be_cancelled() {
    let fixture = Fixture::start().await;
    let name = unique("cancel");
    let slow = ", delay: 300s";
    let stack = fixture.install(&name, &replicas(ONE, slow)).await;
    let upgrade = fixture.change(&stack, &replicas(TWO, slow)).await;
    eventually("the first batch is done", LATER, async || {
        fixture.running(&name).iter().any(|(_, image)| image == TWO).then_some(())
    })
    .await;
    let path = fixture.path(&format!("operations/{}/cancel", upgrade.id));
    let cancelled: Operation = fixture.admin.post(&path, json!({})).await.expect(200).json();
    assert_eq!(cancelled.state, OperationState::Cancelled);
    fixture.admin.post(&path, json!({})).await.problem(409, "operation_ended");
    let detail = fixture.stands(&stack, StackState::Degraded).await;
    let reason = async || fixture.detail(&stack).await.stack.reason.unwrap_or_default();
    eventually(&format!("it says why ({:?})", detail.stack.reason), SOON, async || {
        reason().await.contains("was cancelled").then_some(())
    })
    .await;
    assert_eq!(fixture.running(&name).iter().filter(|(_, image)| image == ONE).count(), 2);

    let back = fixture.ask(&stack, "POST", "/rollback", json!({ "revision": 1 })).await;
    eventually("it is as before", LATER, async || {
        let running = fixture.running(&name);
        (running.len() == 3 && running.iter().all(|(_, image)| image == ONE)).then_some(())
    })
    .await;
    fixture.succeeds(&back).await;

    let removal = fixture.ask(&stack, "DELETE", "", Value::Null).await;
    let path = fixture.path(&format!("operations/{}/cancel", removal.id));
    let refused = fixture.admin.post(&path, json!({})).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
}

#[tokio::test]
async fn two_people_saving_the_same_do_not_overwrite_each_other() {
    let fixture = Fixture::start().await;
    let name = unique("both");
    let stack = fixture.install(&name, &replicas(ONE, "")).await;
    let path = fixture.stack_path(&stack, "");
    let tag = fixture.admin.get(&path).await.expect(200).header("etag").unwrap().to_owned();
    let save = async |description: &str| {
        let body = json!({ "description": description });
        let request = fixture.admin.request("PUT".parse().unwrap(), &path);
        fixture.admin.send(request.header("if-match", &tag).json(&body)).await
    };
    save("mine").await.expect(202);
    save("yours").await.problem(412, "changed_meanwhile");
    assert_eq!(fixture.detail(&stack).await.stack.description, "mine");
}
