//! The generated test of who may do what: every route of the OpenAPI document, with every role
//! and with nobody signed in, in the caller's own and in a foreign environment, compared with the
//! access table.

use std::collections::BTreeMap;

use axum::http::Method;
use drover_api::{List, Permission, Problem, Role, User};
use drover_server::access::{
    permits,
    table::{self, Needs},
};
use drover_server::scim::ERROR_SCHEMA;
use drover_tests::{Answer, Client, TestServer};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What the answer to a call must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    SignIn,
    NotThere,
    Forbidden,
    /// Sign in, as SCIM says it.
    ScimToken,
    Admitted,
}

/// Who calls.
struct Persona {
    name: String,
    client: Client,
    /// The role in the own environment; none in the foreign one.
    role: Option<Role>,
    admin: bool,
    signed_in: bool,
    /// An API key that is limited.
    scoped: bool,
}

impl Persona {
    fn expected(&self, needs: Needs, own: bool) -> Expected {
        if needs == Needs::Public {
            return Expected::Admitted;
        }
        if needs == Needs::Provisioner {
            return Expected::ScimToken;
        }
        if !self.signed_in {
            return Expected::SignIn;
        }
        let may = |yes: bool| if yes { Expected::Admitted } else { Expected::Forbidden };
        match needs {
            Needs::Public | Needs::Provisioner | Needs::SignedIn => Expected::Admitted,
            Needs::Account => may(!self.scoped),
            Needs::Admin => may(self.admin && !self.scoped),
            Needs::InAny(permission) => {
                let held = self.role_in(true).is_some_and(|role| permits(role, permission));
                may(held && !self.scoped)
            }
            // Not in the document; `docker_cli` and `kubernetes` try them.
            Needs::Docker | Needs::Kubernetes => unreachable!(),
            Needs::In(permission) => match self.role_in(own) {
                Some(role) => may(permits(role, permission)),
                None => Expected::NotThere,
            },
        }
    }

    fn role_in(&self, own: bool) -> Option<Role> {
        match (self.admin && !self.scoped, own) {
            (true, _) => Some(Role::Owner),
            (false, true) => self.role,
            (false, false) => None,
        }
    }
}

/// An operation of the OpenAPI document.
struct Operation {
    method: Method,
    path: String,
    body: Option<Value>,
    /// The parameters of the query that must be there.
    query: String,
}

#[tokio::test]
async fn every_route_is_for_whom_the_table_says() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let own = server.environment_named("Own").await.id;
    let foreign = server.environment_named("Foreign").await.id;
    let document = admin.get("/v1/openapi.json").await.expect(200).value();
    let operations = operations(&document);
    assert!(operations.len() > 25, "the document has only {} operations", operations.len());

    // API keys: they outlive the calls that end all sessions.
    let mut personas = vec![nobody(&server), administrator(server.key(&admin, None, None).await.1)];
    for role in Role::ALL {
        let browser = server.member(role.as_str(), own, role).await;
        let (_, key) = server.key(&browser, None, None).await;
        personas.push(member(role.as_str().to_owned(), key, role));
    }
    for role in [Role::Readonly, Role::Owner] {
        // An administrator's key that is cut down must be as weak as it says.
        let (_, key) = server.key(&admin, Some(own), Some(role)).await;
        let name = format!("an administrator's key as {}", role.as_str());
        personas.push(Persona { admin: true, scoped: true, ..member(name, key, role) });
    }

    let mut wrong = Vec::new();
    for operation in &operations {
        let Some(rule) = table::rule(&operation.method, &operation.path) else {
            wrong.push(format!("{} {} is not in the table", operation.method, operation.path));
            continue;
        };
        for persona in &personas {
            for (environment, is_own) in [(own, true), (foreign, false)] {
                if !is_own && !operation.path.contains("{environment_id}") {
                    continue;
                }
                let expected = persona.expected(rule.needs, is_own);
                if let Err(what) = call(&server, persona, operation, environment, expected).await {
                    let place = if is_own { "own" } else { "foreign" };
                    wrong.push(format!(
                        "{} {} as {} ({place} environment): expected {expected:?}, {what}",
                        operation.method, operation.path, persona.name
                    ));
                }
            }
        }
    }
    let ours = |path: &str| path.starts_with("/v1/") || path.starts_with("/scim/");
    for rule in table::RULES.iter().filter(|rule| ours(rule.path)) {
        let served = ["/v1/openapi.json", "/v1/docs"].contains(&rule.path)
            || operations.iter().any(|o| o.method.as_str() == rule.method && o.path == rule.path);
        if !served {
            wrong.push(format!("{} {} is in the table only", rule.method, rule.path));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn only_administrators_read_the_metrics() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    server.client().get("/metrics").await.problem(401, "unauthenticated");
    let environment = server.default_environment().await;
    let owner = server.member("grace", environment.id, Role::Owner).await;
    owner.get("/metrics").await.problem(403, "forbidden");
    admin.get("/metrics").await.expect(200);
}

#[tokio::test]
async fn an_inactive_environment_can_be_read_only() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let environment = server.environment_named("Paused").await.id;
    let member = server.member("grace", environment, Role::Member).await;
    let path = format!("/v1/environments/{environment}");
    admin.patch(&path, json!({ "state": "inactive" })).await.expect(200);
    member.get(&path).await.expect(200);
    let document = admin.get("/v1/openapi.json").await.value();
    for operation in operations(&document) {
        let rule = table::rule(&operation.method, &operation.path);
        let Some(Needs::In(permission)) = rule.map(|rule| rule.needs) else { continue };
        let changes = rule.is_some_and(|rule| rule.action.is_some());
        if !changes || !matches!(permission, Permission::Deploy | Permission::ManageHosts) {
            continue;
        }
        let answer = send(&member, &operation, environment).await;
        assert_eq!(answer.status, 409, "{} {}: {}", operation.method, operation.path, answer.text);
    }
    admin.patch(&path, json!({ "state": "active" })).await.expect(200);
}

fn nobody(server: &TestServer) -> Persona {
    Persona {
        name: "nobody".into(),
        client: server.client(),
        role: None,
        admin: false,
        signed_in: false,
        scoped: false,
    }
}

fn administrator(client: Client) -> Persona {
    Persona {
        name: "an administrator".into(),
        client,
        role: None,
        admin: true,
        signed_in: true,
        scoped: false,
    }
}

fn member(name: String, client: Client, role: Role) -> Persona {
    Persona { name, client, role: Some(role), admin: false, signed_in: true, scoped: false }
}

async fn call(
    server: &TestServer,
    persona: &Persona,
    operation: &Operation,
    environment: Uuid,
    expected: Expected,
) -> Result<(), String> {
    let removes = operation.method == Method::DELETE
        && operation.path == "/v1/environments/{environment_id}"
        && expected == Expected::Admitted;
    let answer = if removes {
        let (client, environment) = elsewhere(server, persona).await;
        send(&client, operation, environment).await
    } else {
        send(&persona.client, operation, environment).await
    };
    check(&answer, expected)
}

/// The persona in an environment that is not needed any more.
async fn elsewhere(server: &TestServer, persona: &Persona) -> (Client, Uuid) {
    let name = format!("Throwaway {}", Uuid::now_v7());
    let environment = server.environment_named(&name).await.id;
    match persona.role {
        Some(role) if persona.scoped => {
            let admin = server.admin().await;
            (server.key(&admin, Some(environment), Some(role)).await.1, environment)
        }
        Some(role) => {
            let users: List<User> = server
                .admin()
                .await
                .get(&format!("/v1/users?q={}", persona.name))
                .await
                .expect(200)
                .json();
            server.set_member(environment, &users.items[0], role).await;
            (persona.client.clone(), environment)
        }
        None => (persona.client.clone(), environment),
    }
}

fn check(answer: &Answer, expected: Expected) -> Result<(), String> {
    let problem: Option<Problem> = serde_json::from_str(&answer.text).ok();
    let code = problem.map(|problem| problem.code).unwrap_or_default();
    let right = match expected {
        Expected::ScimToken => {
            let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
            answer.status == 401
                && answer.header("content-type") == Some("application/scim+json")
                && body["schemas"] == json!([ERROR_SCHEMA])
                && body["status"] == "401"
        }
        Expected::SignIn => answer.status == 401 && code == "unauthenticated",
        Expected::NotThere => answer.status == 404 && code == "not_found",
        Expected::Forbidden => answer.status == 403 && code == "forbidden",
        Expected::Admitted => {
            // 401 is the answer to a wrong password too; a host may be out of reach.
            let refused = ["unauthenticated", "forbidden", "csrf"].contains(&code.as_str());
            !refused && !matches!(answer.status, 405 | 500 | 501)
        }
    };
    if right { Ok(()) } else { Err(format!("got {} {}", answer.status, answer.text)) }
}

async fn send(client: &Client, operation: &Operation, environment: Uuid) -> Answer {
    let path = fill(&operation.path, environment) + &operation.query;
    let request = client.request(operation.method.clone(), &path);
    let request = match &operation.body {
        Some(body) => request.json(body),
        None => request,
    };
    client.send(request).await
}

/// Puts ids of nothing into a path; they are new ones each time, so that nothing is hit twice.
fn fill(path: &str, environment: Uuid) -> String {
    path.split('/')
        .map(|part| match part.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some("environment_id") => environment.to_string(),
            Some(_) => Uuid::now_v7().to_string(),
            None => part.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("/")
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body = (!schema.is_null()).then(|| example(document, schema, 0));
            let query: BTreeMap<&str, String> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "query" && parameter["required"] == true)
                .map(|parameter| {
                    let value = example(document, &parameter["schema"], 0);
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    (parameter["name"].as_str().unwrap(), text)
                })
                .collect();
            let query: Vec<_> =
                query.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let query =
                if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
            operations.push(Operation { method, path: path.clone(), body, query });
        }
    }
    operations
}

/// The least that a schema asks for.
fn example(document: &Value, schema: &Value, depth: usize) -> Value {
    assert!(depth < 20, "a schema needs itself: {schema}");
    let deeper = |schema: &Value| example(document, schema, depth + 1);
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.trim_start_matches('#');
        return deeper(document.pointer(pointer).unwrap());
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(first) = schema[key].as_array().and_then(|all| all.first()) {
            return deeper(first);
        }
    }
    if let Some(all) = schema["allOf"].as_array() {
        let mut merged = Map::new();
        for part in all {
            if let Value::Object(fields) = deeper(part) {
                merged.extend(fields);
            }
        }
        return merged.into();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    if !schema["const"].is_null() {
        return schema["const"].clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().cloned().unwrap_or_default(),
        kind => kind.clone(),
    };
    match (kind.as_str(), schema["format"].as_str()) {
        (Some("string"), Some("uuid")) => Uuid::now_v7().to_string().into(),
        (Some("string"), Some("date-time")) => "2026-01-31T08:30:00Z".into(),
        (Some("string"), _) => "x".into(),
        (Some("integer" | "number"), _) => schema["minimum"].as_i64().unwrap_or(1).into(),
        (Some("boolean"), _) => false.into(),
        (Some("array"), _) => json!([]),
        (Some("null"), _) => Value::Null,
        _ => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let field = |name: &Value| {
                let name = name.as_str().unwrap();
                (name.to_owned(), deeper(&schema["properties"][name]))
            };
            Value::Object(required.iter().map(field).collect())
        }
    }
}
