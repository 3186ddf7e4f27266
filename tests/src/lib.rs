//! The harness of the integration and browser tests: it starts the real `drover` binary with a
//! database of its own, and drives it over HTTP and through Chromium. `scripts/test.sh` starts
//! what it needs (PostgreSQL, Docker Engine, chromedriver) and says where through `DROVER_TEST_*`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agent;
mod browser;
mod certificates;
mod client;
mod database;
mod directory;
mod docker;
mod engine;
mod events;
mod fake_docker;
mod fake_github;
mod front;
mod git_server;
mod hostile_openid;
mod kubernetes;
mod lan;
mod openid_provider;
mod proxy;
mod samba;
mod server;
mod shell;
mod site;
mod slapd;
mod tls_listener;
mod webhook;

pub use agent::{Agent, active_host, host_when, registration_token};
pub use browser::Browser;
pub use certificates::Certificates;
pub use client::{Answer, Client};
pub use database::Database;
pub use directory::{LDAP_PASSWORD, LEVEL, connect, large_company, ldap_config, provider_config};
pub use docker::Docker;
pub use engine::Engine;
pub use events::{Events, Message};
pub use fake_docker::{Failure, FakeDocker};
pub use fake_github::{
    CLIENT_ID as GITHUB_CLIENT_ID, CLIENT_SECRET as GITHUB_CLIENT_SECRET, FakeGithub, Trouble,
};
pub use front::{HttpProxy, TlsFront};
pub use git_server::{GIT_USER, GitServer};
pub use hostile_openid::{HostileOpenid, Plan, Signer};
pub use kubernetes::{CLUSTER_LIMIT, Kubernetes, KubernetesEnvironment, KubernetesSite, kubectl};
pub use lan::{HostProcess, Lan, LanHost, other_clock};
pub use openid_provider::{OpenidPerson, OpenidProvider, OpenidSettings};
pub use proxy::Proxy;
pub use samba::Samba;
pub use server::{ADMIN, Builder, Exit, PASSWORD, TestServer, drover, resident, run};
pub use shell::Shell;
pub use site::{LanAgent, Site};
pub use slapd::{LDAP_SERVICE, LDAP_SUFFIX, Slapd, group_dn, group_ldif, user_dn, user_ldif};
pub use webhook::{REFUSED, WARNED, Webhook};

use std::time::{Duration, Instant};

/// A variable that `scripts/test.sh` sets.
fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the tests with `make test`"))
}

/// A client of HTTP, without cookies and redirections unless it is told. In this process, the
/// server's own adapters bring a `reqwest` that wants to be told who does its cryptography.
pub fn http_client() -> reqwest::ClientBuilder {
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(Duration::from_secs(60))
        .redirect(reqwest::redirect::Policy::none())
}

/// Tries until it gets something, and panics with `what` after `limit`.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut attempt: impl AsyncFnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Words of `secrets` must not be in `text`.
#[track_caller]
pub fn assert_no_secret(text: &str, secrets: &[&str]) {
    for secret in secrets {
        if let Some(at) = text.find(secret) {
            let line = text[..at].lines().count();
            panic!("a secret ({}…) stands in line {line}", &secret[..secret.len().min(3)]);
        }
    }
}
