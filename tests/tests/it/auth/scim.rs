//! SCIM 2.0: what Entra ID and Okta send, step by step, against the real server, and what becomes
//! of it: accounts, roles, sessions, keys.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use drover_api::{
    AuditEntry, List, OpenidConfig, OpenidPreset, ProviderConfig, Role, ScimToken, SetMember,
};
use drover_tests::{Answer, Client, TestServer, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// A provider that pushes.
struct Pusher {
    client: Client,
    id: Uuid,
    base: String,
    token: String,
}

/// Puts an OpenID provider that is on into the database: switching one on takes a sign-in there.
async fn provider(server: &TestServer, name: &str, access_mode: &str) -> Uuid {
    let config = ProviderConfig::Openid(OpenidConfig {
        issuer: "https://login.invalid".into(),
        client_id: "drover".into(),
        ..OpenidConfig::preset(OpenidPreset::Generic)
    });
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO identity_providers (id, kind, name, enabled, access_mode, config, tested)
         VALUES ($1, 'openid', $2, true, $3, $4, true)",
    )
    .bind(id)
    .bind(name)
    .bind(access_mode)
    .bind(serde_json::to_value(config).unwrap())
    .execute(&mut server.database().connect().await)
    .await
    .unwrap();
    id
}

async fn pusher_named(server: &TestServer, name: &str, access_mode: &str) -> Pusher {
    let id = provider(server, name, access_mode).await;
    let path = format!("/v1/identity-providers/{id}/scim-token");
    let made: ScimToken = server.admin().await.post(&path, json!({})).await.expect(201).json();
    assert!(made.token.starts_with("drvscim_"));
    assert!(made.url.ends_with(&format!("/scim/v2/{id}")), "{}", made.url);
    let client = Client::with_key(&server.base(), &made.token);
    Pusher { client, id, base: format!("/scim/v2/{id}"), token: made.token }
}

async fn pusher(server: &TestServer) -> Pusher {
    pusher_named(server, "Example Corp", "unrestricted").await
}

impl Pusher {
    async fn send(&self, method: Method, path: &str, body: Value) -> Answer {
        let request = self.client.request(method, &format!("{}{path}", self.base));
        let request = request.header("content-type", "application/scim+json");
        self.client.send(request.body(body.to_string())).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.client.get(&format!("{}{path}", self.base)).await
    }

    async fn filter(&self, path: &str, filter: &str) -> Value {
        let request = self.client.request(Method::GET, &format!("{}{path}", self.base));
        let answer = self.client.send(request.query(&[("filter", filter)])).await;
        answer.expect(200).value()
    }

    async fn delete(&self, path: &str) -> Answer {
        self.client.delete(&format!("{}{path}", self.base)).await
    }

    async fn patch(&self, path: &str, operations: Value) -> Answer {
        let body = json!({ "schemas": [PATCH], "Operations": operations });
        self.send(Method::PATCH, path, body).await
    }

    /// Pushes a user; the id.
    async fn user(&self, name: &str, external: Option<&str>) -> String {
        let mut user = json!({ "schemas": [USER], "userName": name, "active": true });
        if let Some(id) = external {
            user["externalId"] = id.into();
        }
        let made = self.send(Method::POST, "/Users", user).await.expect(201).value();
        made["id"].as_str().unwrap().to_owned()
    }

    /// Pushes a group; the id.
    async fn group(&self, name: &str, external: Option<&str>, members: &[&String]) -> String {
        let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
        let mut group = json!({ "schemas": [GROUP], "displayName": name, "members": members });
        if let Some(id) = external {
            group["externalId"] = id.into();
        }
        let made = self.send(Method::POST, "/Groups", group).await.expect(201).value();
        made["id"].as_str().unwrap().to_owned()
    }

    fn principal(&self, kind: &str, id: &str) -> String {
        format!("openid_{kind}://{}/{id}", self.id)
    }
}

/// An error in SCIM's shape.
#[track_caller]
fn error(answer: Answer, status: u16, scim_type: &str) -> String {
    let answer = answer.expect(status);
    assert_eq!(answer.header("content-type"), Some("application/scim+json"));
    let body = answer.value();
    assert_eq!(body["schemas"], json!([ERROR]), "{body}");
    assert_eq!(body["status"], status.to_string(), "{body}");
    assert_eq!(body["scimType"].as_str().unwrap_or_default(), scim_type, "{body}");
    body["detail"].as_str().unwrap().to_owned()
}

/// The Drover user behind a principal.
async fn drover_user(server: &TestServer, principal: &str) -> Option<Uuid> {
    sqlx::query_scalar("SELECT user_id FROM identities WHERE principal_id = $1")
        .bind(principal)
        .fetch_optional(&mut server.database().connect().await)
        .await
        .unwrap()
}

/// Somebody who has signed in through the provider: an API key and a browser session.
async fn signed_in(server: &TestServer, pusher: &Pusher, principal: &str) -> (Client, SessionOf) {
    let user = drover_user(server, principal).await.unwrap();
    let mut database = server.database().connect().await;
    let token = format!("drv_{}", Uuid::new_v4().simple());
    sqlx::query(
        "INSERT INTO api_keys (id, user_id, name, prefix, token_hash)
         VALUES ($1, $2, 'test', 'drv_test', sha256($3::text::bytea))",
    )
    .bind(Uuid::now_v7())
    .bind(user)
    .bind(&token)
    .execute(&mut database)
    .await
    .unwrap();
    let session = Uuid::new_v4().into_bytes();
    sqlx::query(
        "INSERT INTO sessions (id, user_id, data, expires_at, provider_id)
         VALUES (sha256($1), $2, $3, now() + interval '1 hour', $4)",
    )
    .bind(session.as_slice())
    .bind(user)
    .bind(json!({ "user_id": user, "provider_id": pusher.id }))
    .bind(pusher.id)
    .execute(&mut database)
    .await
    .unwrap();
    let cookie = format!("drover_session={}", URL_SAFE_NO_PAD.encode(session));
    (Client::with_key(&server.base(), &token), SessionOf(server.client(), cookie))
}

/// A browser session that was put into the database.
struct SessionOf(Client, String);

impl SessionOf {
    async fn status(&self) -> u16 {
        let request = self.0.request(Method::GET, "/v1/session").header("cookie", &self.1);
        self.0.send(request).await.status
    }
}

async fn grant(server: &TestServer, environment: Uuid, principal: &str, role: Role) {
    let path = format!("/v1/environments/{environment}/members");
    let member = SetMember { principal_id: principal.to_owned(), role };
    server.admin().await.put(&path, member).await.expect(204);
}

#[tokio::test]
async fn entra_id_pushes_users_and_groups() {
    let server = TestServer::start().await;
    let entra = pusher(&server).await;

    // "Test connection": a user that nobody has.
    let none = entra.filter("/Users", &format!("userName eq \"{}\"", Uuid::new_v4())).await;
    assert_eq!(none["schemas"], json!([LIST]));
    assert_eq!((&none["totalResults"], &none["Resources"]), (&json!(0), &json!([])));

    let made = entra
        .send(
            Method::POST,
            "/Users",
            json!({
                "schemas": [USER, ENTERPRISE],
                "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
                "userName": "Grace@example.com",
                "active": true,
                "displayName": "Grace Hopper",
                "emails": [{ "primary": true, "type": "work", "value": "grace@example.com" }],
                "meta": { "resourceType": "User" },
                "name": { "formatted": "Grace Hopper", "familyName": "Hopper", "givenName": "Grace" },
                "roles": [],
                ENTERPRISE: { "department": "Navy" }
            }),
        )
        .await
        .expect(201);
    let user = made.value();
    let id = user["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("content-type"), Some("application/scim+json"));
    let location = user["meta"]["location"].as_str().unwrap();
    assert_eq!(made.header("location"), Some(location));
    assert!(location.ends_with(&format!("{}/Users/{id}", entra.base)), "{location}");
    assert_eq!(made.header("etag"), Some("W/\"1\""));
    assert_eq!(user["meta"]["version"], "W/\"1\"");
    assert_eq!(user["schemas"], json!([USER, ENTERPRISE]));
    assert_eq!(entra.get(&format!("/Users/{id}")).await.expect(200).value(), user);
    let found = entra.filter("/Users", r#"externalId eq "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef""#);
    assert_eq!(found.await["Resources"], json!([user]));
    let found = entra.filter("/Users", r#"emails[type eq "work"].value eq "GRACE@example.com""#);
    assert_eq!(found.await["totalResults"], 1);

    let principal = entra.principal("user", "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef");
    let drover = drover_user(&server, &principal).await.unwrap();
    let admin = server.admin().await;
    let shown = admin.get(&format!("/v1/users/{drover}")).await.expect(200).value();
    assert_eq!(shown["display_name"], "Grace Hopper");
    assert_eq!(shown["email"], "grace@example.com");
    assert_eq!(shown["has_password"], false);

    // Changes, as Entra ID sends them without and with its flag for RFC 7644.
    let path = format!("/Users/{id}");
    let changed = entra
        .patch(
            &path,
            json!([
                { "op": "Replace", "path": "displayName", "value": "Rear Admiral Hopper" },
                { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "g@example.com" },
                { "op": "Add", "path": "phoneNumbers[type eq \"work\"].value", "value": "+1 5" },
                { "op": "Add", "path": format!("{ENTERPRISE}:manager"), "value": "m-1" },
                { "op": "Add", "value": { "name.middleName": "Brewster", "title": "Admiral" } },
            ]),
        )
        .await
        .expect(200);
    assert_eq!(changed.header("etag"), Some("W/\"2\""));
    let changed = changed.value();
    assert_eq!(changed["emails"][0]["value"], "g@example.com");
    assert_eq!(changed["phoneNumbers"], json!([{ "type": "work", "value": "+1 5" }]));
    assert_eq!(changed["name"]["middleName"], "Brewster");
    assert_eq!(changed[ENTERPRISE], json!({ "department": "Navy", "manager": { "value": "m-1" } }));
    let shown = admin.get(&format!("/v1/users/{drover}")).await.expect(200).value();
    assert_eq!(shown["display_name"], "Rear Admiral Hopper");
    assert_eq!(shown["email"], "g@example.com");

    // A group, its members one by one, and the role that comes through it.
    let group = entra.group("Platform team", Some("8aa1-42"), &[]).await;
    let without = entra.get(&format!("/Groups/{group}?excludedAttributes=members")).await;
    assert_eq!(without.expect(200).value()["displayName"], "Platform team");
    let environment = server.environment_named("Team").await.id;
    grant(&server, environment, &entra.principal("group", "8aa1-42"), Role::Member).await;
    let (key, session) = signed_in(&server, &entra, &principal).await;
    let seen = format!("/v1/environments/{environment}");
    key.get(&seen).await.expect(404);
    let group_path = format!("/Groups/{group}");
    let add = json!([{ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": id }] }]);
    let answer = entra.patch(&group_path, add.clone()).await.expect(204);
    assert_eq!(answer.header("etag"), Some("W/\"2\""));
    assert_eq!(key.get(&seen).await.expect(200).value()["role"], "member");
    let member = format!("id eq \"{group}\" and members eq \"{id}\"");
    assert_eq!(entra.filter("/Groups", &member).await["totalResults"], 1);
    let shown = entra.get(&path).await.expect(200).value();
    assert_eq!(shown["groups"][0]["value"], group.as_str());
    let remove = json!([{ "op": "Remove", "path": "members", "value": [{ "value": id }] }]);
    entra.patch(&group_path, remove).await.expect(204);
    key.get(&seen).await.expect(404);
    assert_eq!(entra.filter("/Groups", &member).await["totalResults"], 0);
    entra.patch(&group_path, add).await.expect(204);

    // Disabled in the company: everything ends, at once.
    key.get(&seen).await.expect(200);
    assert_eq!(session.status().await, 200);
    let off = json!([{ "op": "Replace", "path": "active", "value": "False" }]);
    assert_eq!(entra.patch(&path, off).await.expect(200).value()["active"], false);
    key.get(&seen).await.expect(401);
    assert_eq!(session.status().await, 401);
    let on = json!([{ "op": "Replace", "path": "active", "value": "True" }]);
    assert_eq!(entra.patch(&path, on).await.expect(200).value()["active"], true);
    key.get(&seen).await.expect(200);
    assert_eq!(session.status().await, 401, "an ended session comes back");

    // And gone for good.
    entra.delete(&path).await.expect(204);
    error(entra.get(&path).await, 404, "");
    error(entra.delete(&path).await, 404, "");
    key.get(&seen).await.expect(401);
    assert_eq!(drover_user(&server, &principal).await, None);
    admin.get(&format!("/v1/users/{drover}")).await.expect(404);
    entra.delete(&group_path).await.expect(204);
    let members = admin.get(&format!("{seen}/members")).await.expect(200).text;
    assert!(!members.contains("8aa1-42"), "{members}");

    let log: List<AuditEntry> =
        admin.get("/v1/audit?actor=scim:%20Example%20Corp").await.expect(200).json();
    let actions: Vec<_> = log.items.iter().map(|entry| entry.action.as_str()).collect();
    for action in ["create", "update", "delete"] {
        assert!(actions.contains(&format!("scim_user.{action}").as_str()), "{actions:?}");
        assert!(actions.contains(&format!("scim_group.{action}").as_str()), "{actions:?}");
    }
    let made = log.items.iter().find(|entry| entry.action == "scim_user.create").unwrap();
    assert_eq!(made.target_name.as_deref(), Some("Grace@example.com"));
    assert_eq!(made.target_id.as_deref(), Some(id.as_str()));
}

#[tokio::test]
async fn okta_pushes_users_and_groups() {
    let server = TestServer::start().await;
    let okta = pusher(&server).await;
    let config = okta.get("/ServiceProviderConfig").await.expect(200).value();
    assert_eq!(config["patch"]["supported"], true);
    assert_eq!(config["bulk"]["supported"], false);

    let list = okta.get("/Users?startIndex=1&count=2").await.expect(200).value();
    assert_eq!((&list["totalResults"], &list["itemsPerPage"]), (&json!(0), &json!(0)));
    let body = json!({
        "schemas": [USER],
        "userName": "grace@example.com",
        "name": { "givenName": "Grace", "familyName": "Hopper" },
        "emails": [{ "primary": true, "value": "grace@example.com", "type": "work" }],
        "displayName": "Grace Hopper",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": true
    });
    let made = okta.send(Method::POST, "/Users", body.clone()).await.expect(201).value();
    let id = made["id"].as_str().unwrap();
    assert!(made.get("password").is_none());
    assert!(!server.database().dump().await.contains("1mz050nq"), "the password was kept");
    let why = error(okta.send(Method::POST, "/Users", body.clone()).await, 409, "uniqueness");
    assert!(why.contains("external id"), "{why}");

    // Okta updates by PUT, and deactivates by a PATCH without a path.
    let mut whole = body;
    whole["title"] = "Admiral".into();
    whole["id"] = id.into();
    whole.as_object_mut().unwrap().remove("active");
    let path = format!("/Users/{id}");
    let put = okta.send(Method::PUT, &path, whole.clone()).await.expect(200).value();
    assert_eq!((&put["title"], &put["active"]), (&json!("Admiral"), &json!(true)));
    let off = json!([{ "op": "replace", "value": { "active": false } }]);
    okta.patch(&path, off).await.expect(200);
    // A PUT that does not speak of it lets nobody in again.
    let put = okta.send(Method::PUT, &path, whole.clone()).await.expect(200).value();
    assert_eq!(put["active"], false);
    whole["active"] = true.into();
    let put = okta.send(Method::PUT, &path, whole).await.expect(200).value();
    assert_eq!(put["active"], true);

    // Group push: by name, renamed with the id beside it, members replaced as a whole.
    let second = okta.user("ada@example.com", Some("00u2")).await;
    let id = id.to_owned();
    let group = okta.group("Engineers", None, &[&id]).await;
    let environment = server.environment_named("Team").await.id;
    grant(&server, environment, &okta.principal("group", "Engineers"), Role::Readonly).await;
    let grace = okta.principal("user", "00ujl29u0le5T6Aj10h7");
    let (key, _) = signed_in(&server, &okta, &grace).await;
    let seen = format!("/v1/environments/{environment}");
    key.get(&seen).await.expect(200);
    let path = format!("/Groups/{group}");
    let rename =
        json!([{ "op": "replace", "value": { "id": group, "displayName": "Engineering" } }]);
    okta.patch(&path, rename).await.expect(204);
    // The role stays with the group, under the name that ID tokens have for it now.
    key.get(&seen).await.expect(200);
    let members = server.admin().await.get(&format!("{seen}/members")).await.expect(200).text;
    assert!(members.contains(&okta.principal("group", "Engineering")), "{members}");
    let operations = json!([
        { "op": "remove", "path": format!("members[value eq \"{id}\"]") },
        { "op": "add", "path": "members", "value": [{ "value": second, "display": "ada" }] },
    ]);
    okta.patch(&path, operations).await.expect(204);
    key.get(&seen).await.expect(404);
    let shown = okta.get(&path).await.expect(200).value();
    assert_eq!(shown["members"].as_array().unwrap().len(), 1);
    assert_eq!(shown["members"][0]["value"], second.as_str());
    let put = json!({ "schemas": [GROUP], "displayName": "Engineering",
        "members": [{ "value": id }, { "value": second }] });
    let put = okta.send(Method::PUT, &path, put).await.expect(200).value();
    assert_eq!(put["members"].as_array().unwrap().len(), 2);
    key.get(&seen).await.expect(200);
    let found = okta.filter("/Groups", r#"displayName eq "engineering""#).await;
    assert_eq!(found["Resources"][0]["members"].as_array().unwrap().len(), 2);
    okta.delete(&path).await.expect(204);
    key.get(&seen).await.expect(404);
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_paged() {
    let server = TestServer::start().await;
    let pusher = pusher(&server).await;
    for n in 0..25 {
        let user = json!({ "schemas": [USER], "userName": format!("User{n:02}"),
            "active": n % 5 != 0, "title": if n % 2 == 0 { "even" } else { "odd" },
            "name": { "familyName": format!("{:02}", 24 - n) } });
        pusher.send(Method::POST, "/Users", user).await.expect(201);
    }
    let names = |list: &Value| -> Vec<String> {
        let all = list["Resources"].as_array().unwrap().iter();
        all.map(|one| one["userName"].as_str().unwrap().to_owned()).collect()
    };
    let mut seen = Vec::new();
    for start in [1, 11, 21] {
        let page = pusher.get(&format!("/Users?startIndex={start}&count=10")).await.value();
        assert_eq!(page["totalResults"], 25);
        assert_eq!(page["startIndex"], start);
        assert_eq!(page["itemsPerPage"], page["Resources"].as_array().unwrap().len());
        seen.extend(names(&page));
    }
    let all: Vec<_> = (0..25).map(|n| format!("User{n:02}")).collect();
    assert_eq!(seen, all);
    let none = pusher.get("/Users?count=0").await.expect(200).value();
    assert_eq!((&none["totalResults"], names(&none).len()), (&json!(25), 0));
    let far = pusher.get("/Users?startIndex=99999999").await.expect(200).value();
    assert_eq!((&far["totalResults"], names(&far).len()), (&json!(25), 0));

    let sorted = "sortBy=name.familyName&sortOrder=ascending&startIndex=2&count=3";
    let page = pusher.get(&format!("/Users?{sorted}")).await.expect(200).value();
    assert_eq!(names(&page), ["User23", "User22", "User21"]);
    let page = pusher.get("/Users?sortBy=userName&sortOrder=descending&count=2").await.value();
    assert_eq!(names(&page), ["User24", "User23"]);

    for (filter, total) in [
        (r#"userName sw "user1""#, 10),
        (r#"active eq false"#, 5),
        (r#"title eq "EVEN" and active eq true"#, 10),
        (r#"not (title eq "even") or userName eq "USER00""#, 13),
        (r#"meta.created gt "2100-01-01T00:00:00Z""#, 0),
        (r#"userName eq "user07" and title eq "even""#, 0),
        (r#"id eq "nothing""#, 0),
        (r#"emails pr"#, 0),
    ] {
        assert_eq!(pusher.filter("/Users", filter).await["totalResults"], total, "{filter}");
    }
    let search = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": "userName sw \"user2\"", "attributes": ["userName"],
        "sortBy": "userName", "sortOrder": "descending", "startIndex": 2, "count": 2
    });
    let found = pusher.send(Method::POST, "/Users/.search", search).await.expect(200).value();
    assert_eq!(found["totalResults"], 5);
    assert_eq!(names(&found), ["User23", "User22"]);
    let one = found["Resources"][0].as_object().unwrap();
    let keys: Vec<_> = one.keys().collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
    let without = pusher.get("/Users?count=1&excludedAttributes=name,meta").await.value();
    assert!(without["Resources"][0].get("meta").is_none());
    assert_eq!(without["Resources"][0]["title"], "even");

    // By group.
    let user = pusher.filter("/Users", r#"userName eq "user03""#).await["Resources"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let group = pusher.group("Some", None, &[&user]).await;
    pusher.group("None", None, &[]).await;
    let found = pusher.filter("/Users", &format!("groups.value eq \"{group}\"")).await;
    assert_eq!(names(&found), ["User03"]);
    let others = pusher.filter("/Groups", &format!("not (members.value eq \"{user}\")")).await;
    assert_eq!(others["Resources"][0]["displayName"], "None");

    for (path, scim_type) in [
        ("/Users?filter=userName%20eq", "invalidFilter"),
        ("/Users?filter=groups%20pr", "invalidFilter"),
        ("/Users?sortBy=nothing", "invalidValue"),
        ("/Users?sortOrder=upwards", "invalidValue"),
        ("/Users?count=many", "invalidValue"),
        ("/Groups?filter=members%20pr", "invalidFilter"),
    ] {
        error(pusher.get(path).await, 400, scim_type);
    }
    error(pusher.get("/Schemas?filter=id%20pr").await, 403, "");
}

#[tokio::test]
async fn a_group_with_5000_members_is_quick() {
    let server = TestServer::start().await;
    let pusher = pusher(&server).await;
    // The users go straight into the tables: it is the group that is tested.
    let mut database = server.database().connect().await;
    let ids: Vec<Uuid> = (0..5000).map(|_| Uuid::now_v7()).collect();
    let insert = async |database: &mut sqlx::PgConnection, statement: &'static str| {
        sqlx::query(statement).bind(&ids).bind(pusher.id).execute(database).await.unwrap();
    };
    for statement in [
        "INSERT INTO users (id, login, display_name, global_role, state)
         SELECT id, 'many-' || id, 'Many', 'user', 'active' FROM unnest($1::uuid[]) AS id
         WHERE $2::uuid IS NOT NULL",
        "INSERT INTO principals (id, kind, provider, provider_id, name)
         SELECT 'openid_user://' || $2::uuid || '/' || id, 'user', 'openid', $2, 'Many'
         FROM unnest($1::uuid[]) AS id",
        "INSERT INTO identities (user_id, provider_id, principal_id, login, pushed)
         SELECT id, $2, 'openid_user://' || $2::uuid || '/' || id, 'many', true
         FROM unnest($1::uuid[]) AS id",
        "INSERT INTO scim_users (id, provider_id, principal_id, user_name, active, resource)
         SELECT id, $2, 'openid_user://' || $2::uuid || '/' || id, 'many-' || id, true,
             jsonb_build_object('userName', 'many-' || id, 'active', true)
         FROM unnest($1::uuid[]) AS id",
    ] {
        insert(&mut database, statement).await;
    }
    let group = pusher.group("Everyone", None, &[]).await;
    let path = format!("/Groups/{group}");
    let in_group = async || {
        let rows: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM user_principals WHERE source = 'scim' AND principal_id = $1",
        )
        .bind(pusher.principal("group", "Everyone"))
        .fetch_one(&mut server.database().connect().await)
        .await
        .unwrap();
        rows
    };
    let members = |ids: &[Uuid]| -> Value { ids.iter().map(|id| json!({ "value": id })).collect() };
    let start = Instant::now();
    for batch in ids.chunks(500) {
        let add = json!([{ "op": "add", "path": "members", "value": members(batch) }]);
        pusher.patch(&path, add).await.expect(204);
    }
    let filled = start.elapsed();
    assert_eq!(in_group().await, 5000);
    let start = Instant::now();
    let one = json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", ids[0]) }]);
    pusher.patch(&path, one).await.expect(204);
    let one_left = start.elapsed();
    let start = Instant::now();
    let without = pusher.get(&format!("{path}?excludedAttributes=members")).await.expect(200);
    let without_members = start.elapsed();
    assert!(without.text.len() < 1000, "{}", without.text.len());
    let whole = pusher.get(&path).await.expect(200).value();
    assert_eq!(whole["members"].as_array().unwrap().len(), 4999);
    // 4,999 at once, and then only one.
    let mut put =
        json!({ "schemas": [GROUP], "displayName": "Everyone", "members": members(&ids) });
    let all =
        pusher.send(Method::PUT, &format!("{path}?attributes=displayName"), put.clone()).await;
    assert!(all.expect(200).value().get("members").is_none());
    assert_eq!(in_group().await, 5000);
    put["members"] = members(&ids[..1]);
    pusher.send(Method::PUT, &path, put).await.expect(200);
    assert_eq!(in_group().await, 1);
    // On a busy machine with two cores, a debug build.
    for (what, took, limit) in [
        ("ten times 500 members", filled, 10_000),
        ("one member less", one_left, 500),
        ("the group without its members", without_members, 500),
    ] {
        assert!(took < Duration::from_millis(limit), "{what} took {took:?}");
    }
}

#[tokio::test]
async fn only_the_providers_own_token_pushes() {
    let server = TestServer::start().await;
    let pusher = pusher(&server).await;
    let other = pusher_named(&server, "Other", "unrestricted").await;
    let admin = server.admin().await;
    let users = format!("{}/Users", pusher.base);
    let with = |token: &str| Client::with_key(&server.base(), token);
    let (_, key) = server.key(&admin, None, None).await;
    for client in [
        server.client(),
        admin.clone(),
        key,
        with("drvscim_wrong"),
        with(""),
        with(&other.token),
        with(&pusher.token[..pusher.token.len() - 1]),
    ] {
        let answer = client.get(&users).await;
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"SCIM\""));
        error(answer, 401, "");
    }
    error(with(&pusher.token).get(&format!("/scim/v2/{}/Users", Uuid::now_v7())).await, 401, "");
    error(with(&pusher.token).get("/scim/v2/nonsense/Users").await, 401, "");
    pusher.get("/Users").await.expect(200);
    // The token is good for nothing else.
    with(&pusher.token).get("/v1/users").await.problem(401, "unauthenticated");
    let shown = admin.get(&format!("/v1/identity-providers/{}", pusher.id)).await.expect(200);
    let scim = shown.value()["scim"].clone();
    assert!(scim["last_used_at"].is_string(), "{scim}");
    assert!(pusher.token.starts_with(scim["token_prefix"].as_str().unwrap()), "{scim}");
    assert!(!shown.text.contains(&pusher.token));
    assert!(!server.database().dump().await.contains(&pusher.token));

    // One provider's users are not there for another.
    let id = pusher.user("grace", Some("e-1")).await;
    error(other.get(&format!("/Users/{id}")).await, 404, "");
    error(other.delete(&format!("/Users/{id}")).await, 404, "");
    let group = json!({ "schemas": [GROUP], "displayName": "X", "members": [{ "value": id }] });
    error(other.send(Method::POST, "/Groups", group).await, 400, "invalidValue");
    assert_eq!(other.get("/Users").await.value()["totalResults"], 0);
    other.user("grace", Some("e-1")).await;

    // Switched off, on, with a new token, and without one.
    let mut database = server.database().connect().await;
    let mut switch = async |on: bool| {
        sqlx::query("UPDATE identity_providers SET enabled = $2 WHERE id = $1")
            .bind(pusher.id)
            .bind(on)
            .execute(&mut database)
            .await
            .unwrap();
    };
    switch(false).await;
    let why = error(pusher.get("/Users").await, 403, "");
    assert!(why.contains("switched off"), "{why}");
    switch(true).await;
    pusher.get("/Users").await.expect(200);
    let path = format!("/v1/identity-providers/{}/scim-token", pusher.id);
    let new: ScimToken = admin.post(&path, json!({})).await.expect(201).json();
    error(pusher.get("/Users").await, 401, "");
    with(&new.token).get(&users).await.expect(200);
    admin.delete(&path).await.expect(204);
    error(with(&new.token).get(&users).await, 401, "");
    let missing = format!("/v1/identity-providers/{}/scim-token", Uuid::now_v7());
    admin.post(&missing, json!({})).await.problem(404, "not_found");
    sqlx::query("UPDATE identity_providers SET kind = 'github' WHERE id = $1")
        .bind(other.id)
        .execute(&mut server.database().connect().await)
        .await
        .unwrap();
    error(other.get("/Users").await, 401, "");
}

#[tokio::test]
async fn malformed_requests_get_scim_errors() {
    let server = TestServer::start().await;
    let pusher = pusher(&server).await;
    let id = pusher.user("grace", None).await;
    let path = format!("/Users/{id}");
    let raw = async |method: Method, path: &str, kind: &str, body: String| {
        let request = pusher.client.request(method, &format!("{}{path}", pusher.base));
        pusher.client.send(request.header("content-type", kind).body(body)).await
    };
    let scim = "application/scim+json";
    error(raw(Method::POST, "/Users", scim, "{".into()).await, 400, "invalidSyntax");
    error(raw(Method::POST, "/Users", scim, "[]".into()).await, 400, "invalidSyntax");
    error(raw(Method::POST, "/Users", "text/plain", "{}".into()).await, 415, "");
    let deep = "[".repeat(10_000);
    error(raw(Method::POST, "/Users", scim, deep).await, 400, "invalidSyntax");
    let large = format!("{{\"title\":\"{}\"}}", "x".repeat(3 << 20));
    error(raw(Method::POST, "/Users", scim, large).await, 413, "");
    let nul = json!({ "schemas": [USER], "userName": "a\0b" }).to_string();
    error(raw(Method::POST, "/Users", scim, nul).await, 400, "invalidValue");
    // JSON is taken under its usual name too.
    let plain = json!({ "schemas": [USER], "userName": "plain" }).to_string();
    raw(Method::POST, "/Users", "application/json", plain).await.expect(201);

    for (method, path, body, status, scim_type) in [
        (Method::POST, "/Users", json!({ "userName": "x" }), 400, "invalidSyntax"),
        (Method::POST, "/Users", json!({ "schemas": [USER] }), 400, "invalidValue"),
        (
            Method::POST,
            "/Users",
            json!({ "schemas": [USER], "userName": "GRACE" }),
            409,
            "uniqueness",
        ),
        (
            Method::PUT,
            path.as_str(),
            json!({ "schemas": [USER], "userName": "plain" }),
            409,
            "uniqueness",
        ),
        (Method::POST, "/Groups", json!({ "schemas": [GROUP] }), 400, "invalidValue"),
        (Method::PATCH, path.as_str(), json!({ "Operations": [] }), 400, "invalidSyntax"),
        (Method::POST, "/Users/.search", json!({}), 400, "invalidValue"),
        (Method::PUT, "/Users/nothing", json!({}), 404, ""),
    ] {
        error(pusher.send(method, path, body).await, status, scim_type);
    }
    for (operation, scim_type) in [
        (json!({ "op": "replace", "path": "nothing", "value": 1 }), "invalidPath"),
        (json!({ "op": "replace", "path": "id", "value": "x" }), "mutability"),
        (json!({ "op": "remove" }), "noTarget"),
        (
            json!({ "op": "replace", "path": "emails[type eq \"work\"].value", "value": "x" }),
            "noTarget",
        ),
        (json!({ "op": "replace", "path": "active", "value": "perhaps" }), "invalidValue"),
    ] {
        error(pusher.patch(&path, json!([operation])).await, 400, scim_type);
    }
    // All or nothing.
    let half = json!([{ "op": "add", "path": "title", "value": "Admiral" },
        { "op": "remove", "path": "userName" }]);
    error(pusher.patch(&path, half).await, 400, "mutability");
    assert!(pusher.get(&path).await.value().get("title").is_none());

    // Groups in groups.
    let group = pusher.group("Inner", None, &[]).await;
    let members = [json!({ "value": group, "type": "Group" }), json!({ "value": group })];
    for member in members {
        let outer = json!({ "schemas": [GROUP], "displayName": "Outer", "members": [member] });
        let why = error(pusher.send(Method::POST, "/Groups", outer).await, 400, "invalidValue");
        assert!(why.contains("cannot be a member"), "{why}");
    }
    let stranger =
        json!([{ "op": "add", "path": "members", "value": [{ "value": Uuid::now_v7() }] }]);
    let why = error(pusher.patch(&format!("/Groups/{group}"), stranger).await, 400, "invalidValue");
    assert!(why.contains("no user"), "{why}");

    // Lost updates.
    let conditional = async |tag: &str, title: &str| {
        let body = json!({ "schemas": [PATCH],
            "Operations": [{ "op": "replace", "path": "title", "value": title }] });
        let path = format!("{}{path}", pusher.base);
        pusher.client.send_with(Method::PATCH, &path, ("if-match", tag), body).await
    };
    let tag = pusher.get(&path).await.header("etag").unwrap().to_owned();
    conditional(&tag, "one").await.expect(200);
    error(conditional(&tag, "two").await, 412, "");
    let newer = pusher.get(&path).await.header("etag").unwrap().to_owned();
    let request = pusher.client.request(Method::GET, &format!("{}{path}", pusher.base));
    pusher.client.send(request.header("if-none-match", &newer)).await.expect(304);
    // What changes nothing is no new version.
    conditional("*", "one").await.expect(200);
    assert_eq!(pusher.get(&path).await.header("etag"), Some(newer.as_str()));

    for schema in ["Schemas", "ResourceTypes"] {
        let all = pusher.get(&format!("/{schema}")).await.expect(200).value();
        for one in all["Resources"].as_array().unwrap() {
            let id = one["id"].as_str().unwrap();
            assert_eq!(pusher.get(&format!("/{schema}/{id}")).await.expect(200).value(), *one);
        }
        error(pusher.get(&format!("/{schema}/nothing")).await, 404, "");
    }
}

#[tokio::test]
async fn names_follow_the_person_and_are_not_inherited() {
    let server = TestServer::start().await;
    let pusher = pusher_named(&server, "Strict", "restricted").await;
    // A login that is taken by somebody else's account.
    server.user("grace").await;
    let id = pusher.user("grace", None).await;
    let principal = pusher.principal("user", "grace");
    let drover = drover_user(&server, &principal).await.unwrap();
    let admin = server.admin().await;
    let shown = admin.get(&format!("/v1/users/{drover}")).await.expect(200).value();
    assert_eq!(shown["login"], "grace-2");
    let environment = server.environment_named("Team").await.id;
    let seen = format!("/v1/environments/{environment}");
    grant(&server, environment, &principal, Role::Owner).await;
    let (key, _) = signed_in(&server, &pusher, &principal).await;
    key.get(&seen).await.expect(200);

    // The external id comes later: the same account, and the same role.
    let path = format!("/Users/{id}");
    let named = json!([{ "op": "add", "path": "externalId", "value": "e-1" }]);
    pusher.patch(&path, named).await.expect(200);
    let moved = pusher.principal("user", "e-1");
    assert_eq!(drover_user(&server, &moved).await, Some(drover));
    assert_eq!(drover_user(&server, &principal).await, None);
    key.get(&seen).await.expect(200);
    // Another's cannot be taken.
    let other = pusher.user("ada", Some("e-2")).await;
    let steal = json!([{ "op": "replace", "path": "externalId", "value": "e-1" }]);
    error(pusher.patch(&format!("/Users/{other}"), steal).await, 409, "uniqueness");

    // In the restricted mode, whoever loses the last group that let them in, loses the key too.
    let group = pusher.group("Ops", Some("g-1"), &[&other]).await;
    grant(&server, environment, &pusher.principal("group", "g-1"), Role::Readonly).await;
    let (ada, ada_session) = signed_in(&server, &pusher, &pusher.principal("user", "e-2")).await;
    ada.get("/v1/session").await.expect(200);
    assert_eq!(ada_session.status().await, 200);
    let remove = json!([{ "op": "remove", "path": "members" }]);
    pusher.patch(&format!("/Groups/{group}"), remove).await.expect(204);
    ada.get("/v1/session").await.expect(401);
    assert_eq!(ada_session.status().await, 401);

    // Gone, and hired again under the same name: nothing is left of the old account.
    pusher.delete(&path).await.expect(204);
    key.get(&seen).await.expect(401);
    let id = pusher.user("grace", Some("e-1")).await;
    assert_ne!(drover_user(&server, &moved).await, Some(drover));
    let (key, _) = signed_in(&server, &pusher, &moved).await;
    key.get(&seen).await.expect(404);
    // Made inactive from the start.
    pusher.delete(&format!("/Users/{id}")).await.expect(204);
    let inactive = json!({ "schemas": [USER], "userName": "late", "active": false });
    pusher.send(Method::POST, "/Users", inactive).await.expect(201);
    let (late, session) = signed_in(&server, &pusher, &pusher.principal("user", "late")).await;
    late.get("/v1/session").await.expect(401);
    assert_eq!(session.status().await, 401);
}

#[tokio::test]
async fn pushes_at_the_same_time_end_well() {
    let server = TestServer::start().await;
    let pusher = pusher(&server).await;
    let ids: Vec<String> = futures_util::future::join_all((0..12).map(|n| {
        let pusher = &pusher;
        async move { pusher.user(&format!("user-{n}"), None).await }
    }))
    .await;
    let group = pusher.group("All", None, &[]).await;
    let path = format!("/Groups/{group}");
    let both = ids.iter().map(|id| {
        let (pusher, path) = (&pusher, &path);
        async move {
            let add = json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]);
            let off = json!([{ "op": "replace", "path": "active", "value": false }]);
            let user = format!("/Users/{id}");
            let answers = tokio::join!(pusher.patch(path, add), pusher.patch(&user, off));
            (answers.0.status, answers.1.status)
        }
    });
    let answers = futures_util::future::join_all(both).await;
    assert!(answers.iter().all(|answer| *answer == (204, 200)), "{answers:?}");
    let whole = pusher.get(&path).await.expect(200).value();
    assert_eq!(whole["members"].as_array().unwrap().len(), 12);
    // Nobody who is deactivated acts for the group, whichever came first.
    let acting: i64 =
        sqlx::query_scalar("SELECT count(*) FROM user_principals WHERE source = 'scim'")
            .fetch_one(&mut server.database().connect().await)
            .await
            .unwrap();
    assert_eq!(acting, 0);
    // The same person at the same instant is made once.
    let same = (0..6).map(|_| {
        let user = json!({ "schemas": [USER], "userName": "twin" });
        pusher.send(Method::POST, "/Users", user)
    });
    let answers = futures_util::future::join_all(same).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn a_deactivation_closes_open_streams() {
    let server = TestServer::start().await;
    let pusher = pusher(&server).await;
    let id = pusher.user("grace", Some("e-1")).await;
    let (key, _) = signed_in(&server, &pusher, &pusher.principal("user", "e-1")).await;
    let request = key.request(Method::GET, "/v1/events");
    let mut stream = request.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let off = json!([{ "op": "replace", "path": "active", "value": false }]);
    pusher.patch(&format!("/Users/{id}"), off).await.expect(200);
    let start = Instant::now();
    eventually("the stream ends", Duration::from_secs(5), async || {
        let chunk = tokio::time::timeout(Duration::from_secs(5), stream.chunk()).await;
        matches!(chunk, Ok(Ok(None) | Err(_))).then_some(())
    })
    .await;
    assert!(start.elapsed() < Duration::from_secs(5));
}
