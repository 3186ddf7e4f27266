//! What the check of a request's caller and role costs, with a person who is in 500 groups that
//! are all members of environments: real directory, real database, the calls that
//! `server/src/access/enforce.rs` makes. `scripts/bench.sh` starts what this needs.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

use std::sync::OnceLock;

use axum::http::Method;
use drover_api::{List, Role, SetMember, User};
use drover_server::{
    access::{
        Identities, permits,
        table::{self, Needs},
    },
    auth::SessionStore,
};
use drover_tests::{LDAP_PASSWORD, Slapd, TestServer, connect, group_ldif, user_dn, user_ldif};
use futures_util::FutureExt;
use serde_json::json;
use sqlx::PgPool;
use tokio::runtime::Runtime;
use uuid::Uuid;

const GROUPS: usize = 500;
const ENVIRONMENTS: usize = 10;

static STAGE: OnceLock<Stage> = OnceLock::new();

struct Stage {
    runtime: Runtime,
    identities: Identities,
    token: String,
    environment: Uuid,
}

fn main() {
    let runtime = Runtime::new().unwrap();
    // They end with `main`.
    let (_server, _slapd, identities, token, environment) = runtime.block_on(prepare());
    let _ = STAGE.set(Stage { runtime, identities, token, environment });
    divan::main();
}

/// Someone in 500 groups, each of which has a role in one of ten environments, and their API key.
async fn prepare() -> (TestServer, Slapd, Identities, String, Uuid) {
    let mut ldif = user_ldif("alice", LDAP_PASSWORD);
    for number in 0..GROUPS {
        ldif.push_str(&group_ldif(&format!("group{number}"), &[&user_dn("alice")]));
    }
    let slapd = Slapd::start_with("server", &ldif).await;
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let provider = connect(&admin, &slapd, "Example Corp", "alice").await.id;
    let body = json!({ "login": "alice", "password": LDAP_PASSWORD, "provider_id": provider });
    let browser = server.client();
    let answer = browser.post("/v1/session", body).await.expect(200);
    let alice = browser.opened(&answer.json());

    let users: List<User> = admin.get("/v1/users?q=alice").await.expect(200).json();
    let user: User =
        admin.get(&format!("/v1/users/{}", users.items[0].id)).await.expect(200).json();
    let groups = &user.identities[0].groups;
    assert_eq!(groups.len(), GROUPS);
    let mut environments = Vec::new();
    for number in 0..ENVIRONMENTS {
        environments.push(server.environment_named(&format!("Team {number}")).await.id);
    }
    let roles = [Role::Readonly, Role::Restricted, Role::Member, Role::Owner];
    for (number, group) in groups.iter().enumerate() {
        let path = format!("/v1/environments/{}/members", environments[number % ENVIRONMENTS]);
        let role = roles[number / ENVIRONMENTS % roles.len()];
        let member = SetMember { principal_id: group.id.clone(), role };
        admin.put(&path, member).await.expect(204);
    }
    let (key, _) = server.key(&alice, None, None).await;
    let db = PgPool::connect(&server.database().url()).await.unwrap();
    let identities = Identities::new(db.clone(), SessionStore::new(db));
    (server, slapd, identities, key.token, environments[0])
}

/// As `enforce` does it for a route of an environment.
async fn check(stage: &Stage) -> bool {
    let path = divan::black_box("/v1/environments/{environment_id}/stacks");
    let rule = table::rule(&Method::POST, path).unwrap();
    let Needs::In(permission) = rule.needs else { panic!("{rule:?}") };
    let caller = stage.identities.by_api_key(&stage.token, "127.0.0.1").await.unwrap().unwrap();
    let role = caller.role_in(stage.environment).unwrap();
    let (state, _) = stage.identities.environment(stage.environment).await.unwrap().unwrap();
    permits(role, permission) && state == "active"
}

/// Each request but the first after a change, for a minute.
#[divan::bench]
fn cached(bencher: divan::Bencher<'_, '_>) {
    let stage = STAGE.get().unwrap();
    assert!(stage.runtime.block_on(check(stage)));
    // A check that waits for something is none of a cached caller.
    bencher.bench_local(|| assert!(check(stage).now_or_never().unwrap()));
}

/// The first request after a change: the caller, the groups and the roles come from the database.
#[divan::bench(sample_size = 1, sample_count = 500)]
fn uncached(bencher: divan::Bencher<'_, '_>) {
    let stage = STAGE.get().unwrap();
    let forget = || stage.identities.invalidate();
    bencher
        .with_inputs(forget)
        .bench_local_values(|()| assert!(stage.runtime.block_on(check(stage))));
}
