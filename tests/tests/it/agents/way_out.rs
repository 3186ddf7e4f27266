//! The way from an agent to its server: TLS, pinned certificates, proxies.

use std::process::Command;

use drover_tests::{
    Agent, Certificates, Client, Docker, HttpProxy, TestServer, TlsFront, active_host,
    registration_token,
};
use uuid::Uuid;

/// A server behind TLS.
struct Fixture {
    _server: TestServer,
    docker: Docker,
    admin: Client,
    environment: Uuid,
    token: String,
    certificates: Certificates,
    front: TlsFront,
}

impl Fixture {
    async fn start() -> Self {
        let docker = Docker::start().await;
        let server = TestServer::start().await;
        let admin = server.admin().await;
        let environment = server.default_environment().await.id;
        let token = registration_token(&admin, environment).await;
        let certificates = Certificates::make();
        let address = server.base().replace("http://", "");
        let front = TlsFront::start(&address, &certificates, "server").await;
        Self { _server: server, docker, admin, environment, token, certificates, front }
    }

    fn agent(&self, name: &str, more: &[&str]) -> Agent {
        let mut agent =
            Agent::new(&self.front.url(), &self.token, name, self.docker.socket()).with(more);
        agent.run();
        agent
    }

    async fn connects(&self, name: &str, more: &[&str]) {
        let agent = self.agent(name, more);
        active_host(&self.admin, self.environment, name).await;
        agent.says("Connected to https://").await;
    }

    async fn is_refused(&self, name: &str, more: &[&str], why: &str) {
        let agent = self.agent(name, more);
        drover_tests::eventually(
            &format!("{name} says {why}"),
            std::time::Duration::from_secs(15),
            async || agent.log().contains(why).then_some(()),
        )
        .await;
    }

    fn fingerprint(&self, certificate: &str) -> String {
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(self.certificates.path(certificate))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().split_once('=').unwrap().1.to_owned()
    }
}

#[tokio::test]
async fn only_trusted_servers_are_spoken_to() {
    let fixture = Fixture::start().await;
    let path = |name: &str| fixture.certificates.path(name).display().to_string();
    fixture.connects("by-authority", &["--ca-file", &path("ca.pem")]).await;
    fixture
        .connects("by-fingerprint", &["--fingerprint", &fixture.fingerprint("server.pem")])
        .await;
    fixture.is_refused("nobodys", &[], "is not trusted").await;
    fixture.is_refused("anothers", &["--ca-file", &path("other-ca.pem")], "is not trusted").await;
    let other = fixture.fingerprint("misnamed.pem");
    fixture.is_refused("otherwise", &["--fingerprint", &other], "another fingerprint").await;
}

#[tokio::test]
async fn through_a_proxy_with_a_password() {
    let fixture = Fixture::start().await;
    let proxy = HttpProxy::start().await;
    let authority = fixture.certificates.path("ca.pem").display().to_string();
    let wrong = proxy.url("wrong");
    fixture.is_refused("kept-out", &["--ca-file", &authority, "--proxy", &wrong], "407").await;
    assert_eq!(proxy.used(), 0);
    fixture.connects("let-in", &["--ca-file", &authority, "--proxy", &proxy.url("secret")]).await;
    assert!(proxy.used() >= 2, "registering and the tunnel");
    // As the machine's settings say it.
    let before = proxy.used();
    let mut agent =
        Agent::new(&fixture.front.url(), &fixture.token, "by-setting", fixture.docker.socket())
            .with(&["--ca-file", &authority])
            .set("https_proxy", &proxy.url("secret"));
    agent.run();
    active_host(&fixture.admin, fixture.environment, "by-setting").await;
    assert!(proxy.used() > before);
}
