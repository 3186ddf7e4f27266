//! What is refused, and how.

use super::*;
use drover_api::{ComposeCheck, Problem, Role, Severity};

#[tokio::test]
async fn what_is_wrong_with_a_text_has_its_line_and_column() {
    let fixture = Fixture::start().await;
    let install = async |compose: &str| -> Problem {
        let body = Fixture::compose("wrong", compose);
        fixture.admin.post(&fixture.path("stacks"), body).await.problem(422, "invalid_input")
    };
    let at =
        |problem: &Problem| (problem.errors[0].line.unwrap(), problem.errors[0].column.unwrap());
    let yaml = install("services:\n  web:\n    image: [a\n").await;
    assert!(at(&yaml).0 >= 3, "{yaml:?}");
    let unknown = install("services:\n  web:\n    image: a\n    imagee: b\n").await;
    assert_eq!(at(&unknown), (4, 5), "{unknown:?}");
    let kind = install("services:\n  web:\n    image: a\n    ports: {}\n").await;
    assert_eq!(at(&kind).0, 4, "{kind:?}");
    let missing = install("services:\n  web:\n    image: '${IMAGE:?say which}'\n").await;
    assert_eq!(at(&missing).0, 3);
    assert!(missing.errors[0].message.contains("say which"), "{missing:?}");
    let circle =
        install("services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n")
            .await;
    assert!(circle.errors[0].line.is_some(), "{circle:?}");

    // An editor gets all of them at once, with what is only not supported.
    let body = json!({ "compose": "services:\n  web:\n    image: a\n    build: .\n    credential_spec: {file: x}\n  db: {}\n" });
    let check: ComposeCheck =
        fixture.admin.post(&fixture.path("compose/check"), body).await.expect(200).json();
    assert!(!check.ok);
    let found: Vec<(u32, Severity)> =
        check.diagnostics.iter().map(|found| (found.line, found.severity)).collect();
    assert!(found.contains(&(4, Severity::Unsupported)), "{found:?}");
    assert!(found.contains(&(5, Severity::Unsupported)), "{found:?}");
    assert!(found.iter().any(|(line, severity)| *line == 6 && *severity == Severity::Error));
    let list = fixture.admin.get(&fixture.path("stacks")).await.expect(200);
    assert_eq!(list.json::<List<Stack>>().total, 0);
}

/// Each way to take over a host, as a service's part or as a whole text.
const TAKEOVERS: &[&str] = &[
    "services: {a: {image: x, privileged: true}}",
    "services: {a: {image: x, network_mode: host}}",
    "services: {a: {image: x, pid: host}}",
    "services: {a: {image: x, ipc: host}}",
    "services: {a: {image: x, volumes: ['/etc:/etc']}}",
    "services: {a: {image: x, volumes: ['/var/run/docker.sock:/var/run/docker.sock']}}",
    "services: {a: {image: x, volumes: [{type: bind, source: /, target: /host}]}}",
    "services: {a: {image: x, cap_add: [SYS_ADMIN]}}",
    "services: {a: {image: x, devices: ['/dev/sda:/dev/sda']}}",
    "services: {a: {image: x, security_opt: ['apparmor:unconfined']}}",
    "services: {a: {image: x, volumes: ['v:/v']}}\nvolumes: {v: {driver_opts: {type: none, o: bind, device: /}}}",
    "services: {a: {image: x, volumes: ['${WHERE}:/v']}}",
];

#[tokio::test]
async fn a_restricted_member_cannot_take_over_a_host() {
    let fixture = Fixture::start().await;
    let restricted = fixture.server.member("rita", fixture.environment, Role::Restricted).await;
    let readonly = fixture.server.member("rob", fixture.environment, Role::Readonly).await;
    let member = fixture.server.member("mia", fixture.environment, Role::Member).await;
    for text in TAKEOVERS {
        let mut body = serde_json::to_value(Fixture::compose("taken", text)).unwrap();
        body["source"]["variables"] = json!({ "WHERE": "/root" });
        let answer = restricted.post(&fixture.path("stacks"), &body).await;
        let problem = answer.problem(403, "host_takeover_denied");
        assert!(problem.errors[0].line.is_some(), "{text}: {problem:?}");
        readonly.post(&fixture.path("stacks"), &body).await.problem(403, "forbidden");
        let check = json!({ "compose": text, "variables": { "WHERE": "/root" } });
        let path = fixture.path("compose/check");
        let check_of = async |who: &Client| -> ComposeCheck {
            who.post(&path, &check).await.expect(200).json()
        };
        let denied = check_of(&restricted).await;
        assert!(denied.diagnostics.iter().any(|d| d.severity == Severity::Denied), "{text}");
        let allowed = check_of(&member).await;
        assert!(allowed.diagnostics.iter().all(|d| d.severity != Severity::Denied), "{text}");
    }
    // What is harmless, it may; and later it may not slip the other in.
    let name = unique("tame");
    let plain = "services: {a: {image: 'drover-test/sleep:1', stop_grace_period: 0s}}";
    let begun: StackOperation = restricted
        .post(&fixture.path("stacks"), Fixture::compose(&name, plain))
        .await
        .expect(202)
        .json();
    fixture.succeeds(&begun.operation).await;
    let path = fixture.stack_path(&begun.stack, "");
    for text in TAKEOVERS {
        let change = json!({ "compose": text, "variables": { "WHERE": "/root" } });
        restricted.put(&path, change).await.problem(403, "host_takeover_denied");
    }
    // Neither by rolling back to what an owner had made, nor by a new value of a variable.
    let risky = plain.replace("image:", "pid: host, image:");
    let owner = fixture.change(&begun.stack, &risky).await;
    fixture.succeeds(&owner).await;
    let tame = fixture.change(&begun.stack, plain).await;
    fixture.succeeds(&tame).await;
    let rollback = fixture.stack_path(&begun.stack, "/rollback");
    let body = json!({ "revision": 2 });
    restricted.post(&rollback, body).await.problem(403, "host_takeover_denied");
    let bind = "services: {a: {image: 'drover-test/sleep:1', stop_grace_period: 0s, volumes: ['${WHERE:-data}:/v']}}\nvolumes: {data: {}}";
    let change = restricted.put(&path, json!({ "compose": bind })).await.expect(202);
    fixture.succeeds(&change.json::<StackOperation>().operation).await;
    let change = json!({ "variables": { "WHERE": "/root" } });
    restricted.put(&path, change).await.problem(403, "host_takeover_denied");
}

#[tokio::test]
async fn sizes_and_names_have_limits() {
    let fixture = Fixture::start().await;
    let path = fixture.path("stacks");
    let huge = format!("services: {{a: {{image: x}}}}\n#{}", "x".repeat(2 << 20));
    let answer = fixture.admin.post(&path, Fixture::compose("huge", &huge)).await;
    assert!(matches!(answer.status, 413 | 422), "{}", answer.status);
    // Ten MiB do not even get read.
    let answer = fixture.admin.post(&path, json!({ "name": "x".repeat(10 << 20) })).await;
    answer.problem(413, "body_too_large");
    for name in ["Web", "a b", "", "-a", &"x".repeat(41)] {
        let body = Fixture::compose(name, "services: {a: {image: x}}");
        let problem = fixture.admin.post(&path, body).await.problem(422, "invalid_input");
        assert_eq!(problem.errors[0].field, "name");
    }
    // A billion laughs.
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nservices: {a: {image: x}}\n";
    fixture.admin.post(&path, Fixture::compose("bomb", bomb)).await.problem(422, "invalid_input");
    let nowhere = fixture.path(&format!("stacks/{}", Uuid::now_v7()));
    fixture.admin.get(&nowhere).await.problem(404, "not_found");
    fixture.admin.get(&fixture.path("stacks/not-an-id")).await.problem(404, "not_found");
}
