//! The test of a way to a host, step by step, so that what is wrong has a name.

use drover_api::{ConnectionTest, ConnectionTestStep, Endpoint, TlsCredentials};

use super::driver::{Dialer, Docker, ErrorKind, Result};

/// Tries all steps until one fails.
pub async fn run(endpoint: &Endpoint, tls: Option<&TlsCredentials>) -> ConnectionTest {
    let mut test = ConnectionTest { ok: false, steps: Vec::new(), facts: None };
    // `None` when a step has failed, which `test` says.
    test.ok = steps(endpoint, tls, &mut test).await.is_some();
    test
}

async fn steps(
    endpoint: &Endpoint,
    tls: Option<&TlsCredentials>,
    test: &mut ConnectionTest,
) -> Option<()> {
    let dialer = Dialer::new(endpoint, tls);
    let first = match &dialer {
        Err(error) if error.kind() == ErrorKind::TlsFailed => "tls",
        _ => "address",
    };
    let dialer = match dialer {
        Ok(dialer) => dialer,
        Err(error) => return test.step(first, Err(error), |()| String::new()),
    };
    let over_tcp = matches!(endpoint, Endpoint::Tcp { .. });
    if over_tcp {
        test.step("address", dialer.resolve().await, |found| {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            format!("{} is {}.", dialer.describe(), found.join(", "))
        })?;
    }
    let bare = dialer.connect().await;
    let mut opened = None;
    test.step("connect", bare, |bare| {
        opened = Some(bare);
        format!("{} accepts connections.", dialer.describe())
    })?;
    if over_tcp {
        let secured = dialer.secure(opened?).await;
        test.step("tls", secured, |_| "The engine's certificate is good.".to_owned())?;
    }
    // Under TLS 1.3 a refused client certificate shows with the first answer only.
    let connected = Docker::connect(dialer).await;
    let name = match &connected {
        Err(error) if error.kind() == ErrorKind::TlsFailed => "tls",
        Err(error) if error.kind() == ErrorKind::Refused => "version",
        _ => "ping",
    };
    if name == "tls" {
        test.steps.retain(|step| step.name != "tls");
    }
    let mut docker = None;
    test.step(name, connected, |connected| {
        docker = Some(connected);
        "The engine answers.".to_owned()
    })?;
    let facts = docker?.facts().await;
    let mut told = None;
    test.step("version", facts, |facts| {
        let text = format!(
            "Docker Engine {} (API {}) on {}.",
            facts.engine_version, facts.api_version, facts.operating_system
        );
        told = Some(facts);
        text
    })?;
    test.facts = told;
    Some(())
}

trait Steps {
    /// Writes down a step; `None` when it has failed.
    fn step<T>(
        &mut self,
        name: &str,
        tried: Result<T>,
        good: impl FnOnce(T) -> String,
    ) -> Option<()>;
}

impl Steps for ConnectionTest {
    fn step<T>(
        &mut self,
        name: &str,
        tried: Result<T>,
        good: impl FnOnce(T) -> String,
    ) -> Option<()> {
        let ok = tried.is_ok();
        let message = match tried {
            Ok(found) => good(found),
            Err(error) => error.message().to_owned(),
        };
        self.steps.push(ConnectionTestStep { name: name.to_owned(), ok, message });
        ok.then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_step_that_fails_is_named() {
        let socket = Endpoint::Socket { path: "/nowhere/docker.sock".into() };
        let test = run(&socket, None).await;
        assert!(!test.ok);
        let last = test.steps.last().unwrap();
        assert_eq!((last.name.as_str(), last.ok), ("connect", false));
        assert!(last.message.contains("no Docker socket"), "{}", last.message);

        let tcp = Endpoint::Tcp { address: "127.0.0.1".into() };
        let test = run(&tcp, None).await;
        assert_eq!(test.steps.last().unwrap().name, "address");
    }
}
