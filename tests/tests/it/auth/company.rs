//! A company with an OpenLDAP directory, connected to a server.

use std::time::Duration;

use drover_api::{
    IdentityState, List, Principal, PrincipalKind, PrincipalSearch, Provider, Role, SetMember, User,
};
use drover_tests::{Answer, Client, Slapd, TestServer, eventually};
pub use drover_tests::{LDAP_PASSWORD as THEIRS, connect, provider_config as config};
use serde_json::{Value, json};
use uuid::Uuid;

/// What is known to the server must take effect within this.
pub const SOON: Duration = Duration::from_secs(5);

/// A server with a directory that is switched on: `alice` and `bob` are in *platform*, `bob`,
/// alone, in *developers*; `carol` is in no group.
pub struct Company {
    pub server: TestServer,
    pub slapd: Slapd,
    pub admin: Client,
    pub provider: Provider,
    pub environment: Uuid,
}

impl Company {
    /// Everybody of the directory may sign in.
    pub async fn start() -> Self {
        let server = TestServer::start().await;
        Self::connected_to(server).await
    }

    pub async fn connected_to(server: TestServer) -> Self {
        let slapd = people().await;
        let admin = server.admin().await;
        let environment = server.default_environment().await.id;
        let provider = connect(&admin, &slapd, "Example Corp", "alice").await;
        Self { server, slapd, admin, provider, environment }
    }

    /// Signs in through the directory.
    pub async fn sign_in(&self, login: &str) -> Client {
        let answer = self.try_sign_in(login, THEIRS).await.expect(200);
        self.opened(answer)
    }

    pub fn opened(&self, answer: (Client, Answer)) -> Client {
        answer.0.opened(&answer.1.json())
    }

    /// Tries to, as a new browser.
    pub async fn try_sign_in(&self, login: &str, password: &str) -> Tried {
        try_sign_in(&self.server.client(), self.provider.id, login, password).await
    }

    pub fn provider_path(&self) -> String {
        format!("/v1/identity-providers/{}", self.provider.id)
    }

    pub async fn change_provider(&self, change: Value) -> Provider {
        self.admin.patch(&self.provider_path(), change).await.expect(200).json()
    }

    /// Everything that the directory says of people is read again.
    pub async fn refresh(&self) {
        refresh(&self.admin, self.provider.id).await;
    }

    /// The user or group of this name in the directory.
    pub async fn find(&self, name: &str, kind: PrincipalKind) -> Principal {
        let path = format!("/v1/principals?q={name}&provider_id={}", self.provider.id);
        let found: PrincipalSearch = self.admin.get(&path).await.expect(200).json();
        let is_it = |one: &Principal| one.kind == kind && one.name.starts_with(name);
        found.items.into_iter().find(is_it).unwrap()
    }

    /// Gives a group of the directory a role.
    pub async fn give_group(&self, name: &str, role: Role) -> Principal {
        let group = self.find(name, PrincipalKind::Group).await;
        set_member(&self.admin, self.environment, &group.id, role).await;
        group
    }

    pub async fn user(&self, login: &str) -> User {
        let users: List<User> =
            self.admin.get(&format!("/v1/users?q={login}")).await.expect(200).json();
        let user = users.items.into_iter().find(|user| user.login == login).unwrap();
        self.admin.get(&format!("/v1/users/{}", user.id)).await.expect(200).json()
    }

    pub async fn state_of(&self, login: &str) -> IdentityState {
        self.user(login).await.identities[0].state
    }

    /// The newest entries of the audit log with this action, as JSON.
    pub async fn audit(&self, action: &str) -> Vec<Value> {
        audit(&self.admin, action).await
    }
}

pub async fn audit(admin: &Client, action: &str) -> Vec<Value> {
    let list = admin.get(&format!("/v1/audit?action={action}")).await.expect(200).value();
    list["items"].as_array().unwrap().clone()
}

/// An answer to a sign-in, with the browser that it went to.
pub struct Tried(pub Client, pub Answer);

impl Tried {
    #[track_caller]
    pub fn expect(self, status: u16) -> (Client, Answer) {
        (self.0, self.1.expect(status))
    }

    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> drover_api::Problem {
        self.1.problem(status, code)
    }
}

pub async fn try_sign_in(client: &Client, provider: Uuid, login: &str, password: &str) -> Tried {
    let body = json!({ "login": login, "password": password, "provider_id": provider });
    Tried(client.clone(), client.post("/v1/session", body).await)
}

/// The directory that [`Company`] has.
pub async fn people() -> Slapd {
    let slapd = Slapd::start().await;
    let alice = slapd.add_user("alice", THEIRS);
    let bob = slapd.add_user("bob", THEIRS);
    slapd.add_user("carol", THEIRS);
    slapd.add_group("platform", &[&alice, &bob]);
    slapd.add_group("developers", &[&bob]);
    slapd
}

pub async fn set_member(admin: &Client, environment: Uuid, principal: &str, role: Role) {
    let member = SetMember { principal_id: principal.into(), role };
    admin.put(&format!("/v1/environments/{environment}/members"), member).await.expect(204);
}

/// Reads a provider's people again, and waits until all are read.
pub async fn refresh(admin: &Client, provider: Uuid) {
    let path = format!("/v1/identity-providers/{provider}");
    admin.post(&format!("{path}/refresh"), json!({})).await.expect(202);
    eventually("all are refreshed", Duration::from_secs(20), async || {
        let now: Provider = admin.get(&path).await.expect(200).json();
        (now.health.refresh_pending == 0).then_some(())
    })
    .await;
}

/// Waits until a client gets this answer to a GET.
pub async fn until_status(client: &Client, path: &str, status: u16) {
    eventually(&format!("{path} answers {status}"), SOON, async || {
        (client.get(path).await.status == status).then_some(())
    })
    .await;
}
