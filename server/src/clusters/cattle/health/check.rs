//! One check of a container, through its host.
//!
//! A host of the server's own machine is asked directly at the container's address, one with an
//! agent through its tunnel. A host that is reached by TCP shows only the ports that the container
//! publishes.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use drover_api::Endpoint;
use drover_compose::HttpProbe;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::Subject;
use crate::{
    app::App,
    hosts::{
        LiveHost,
        driver::{Docker, models::ContainerInspectResponse},
    },
    tunnel::Target,
};

/// The longest status line that is read.
const LONGEST_LINE: usize = 1024;
/// The network that gives containers of overlay networks their way to the host.
const GATEWAY_NETWORK: &str = "docker_gwbridge";

/// What a check has found wrong.
#[derive(Debug)]
pub(super) enum Failure {
    /// The container does not answer as it should, in words.
    Failed(String),
    /// The host cannot be asked: nothing is known.
    Unknown,
}

/// Where the container was reached last; looked up anew after a failure.
#[derive(Debug, Default)]
pub(super) struct Address(Option<Way>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Direct(SocketAddr),
    Agent(SocketAddr),
    /// A host name or address, and a published port.
    Published(String, u16),
}

pub(super) async fn check(
    app: &App,
    subject: &Subject,
    address: &mut Address,
) -> Result<(), Failure> {
    let host = app.hosts.live(subject.environment, subject.host).ok_or(Failure::Unknown)?;
    let docker = host.docker().map_err(|_| Failure::Unknown)?;
    let limit = Duration::from_millis(subject.probe.timeout_ms.max(1));
    let way = match &address.0 {
        Some(way) => way.clone(),
        None => {
            let way = find_way(&host, &docker, subject).await?;
            address.0 = Some(way.clone());
            way
        }
    };
    let checked = tokio::time::timeout(limit, ask(app, subject, &way)).await;
    let result = match checked {
        Ok(Ok(())) => return Ok(()),
        // The engine's connection may have broken at the same moment.
        _ if host.docker().is_err() => Err(Failure::Unknown),
        Ok(Err(why)) => Err(Failure::Failed(why)),
        Err(_) => Err(Failure::Failed(format!(
            "Port {} has not answered within {} ms.",
            subject.probe.port, subject.probe.timeout_ms
        ))),
    };
    address.0 = None;
    result
}

async fn ask(app: &App, subject: &Subject, way: &Way) -> Result<(), String> {
    let port = subject.probe.port;
    let refused = |error: io::Error| format!("Port {port} cannot be reached: {error}.");
    match way {
        Way::Direct(address) => {
            let stream = TcpStream::connect(address).await.map_err(refused)?;
            talk(stream, subject.probe.http.as_ref(), port).await
        }
        Way::Published(host, published) => {
            let stream = TcpStream::connect((host.as_str(), *published)).await.map_err(refused)?;
            talk(stream, subject.probe.http.as_ref(), port).await
        }
        Way::Agent(address) => {
            let target = Target::Tcp { address: *address };
            let way = app.tunnels.way(subject.host);
            let stream = way.open(&target).await.map_err(refused)?;
            talk(stream, subject.probe.http.as_ref(), port).await
        }
    }
}

/// Over TCP, that there is a connection is enough.
async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    http: Option<&HttpProbe>,
    port: u16,
) -> Result<(), String> {
    let Some(http) = http else { return Ok(()) };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: drover-health\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        http.path
    );
    let broke = |error: io::Error| format!("Port {port} broke off: {error}.");
    stream.write_all(request.as_bytes()).await.map_err(broke)?;
    stream.flush().await.map_err(broke)?;
    let mut line = Vec::new();
    let mut part = [0; 256];
    while !line.contains(&b'\n') && line.len() < LONGEST_LINE {
        match stream.read(&mut part).await.map_err(broke)? {
            0 => break,
            count => line.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
    }
    let status = status_of(&line).ok_or_else(|| format!("Port {port} does not answer in HTTP."))?;
    let fits = match http.status {
        Some(wanted) => status == wanted,
        None => (200..400).contains(&status),
    };
    if fits { Ok(()) } else { Err(format!("`GET {}` is answered with {status}.", http.path)) }
}

fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok().filter(|status| (100..600).contains(status))
}

async fn find_way(host: &LiveHost, docker: &Docker, subject: &Subject) -> Result<Way, Failure> {
    let failed = |why: &str| Failure::Failed(why.to_owned());
    let unknown = |_| Failure::Unknown;
    let found = docker.inspect_container(&subject.container).await.map_err(unknown)?;
    let port = subject.probe.port;
    let endpoint = host.row().endpoint.clone();
    if let Endpoint::Tcp { address } = &endpoint {
        let published = published(&found, port).ok_or_else(|| {
            Failure::Failed(format!(
                "Its health cannot be checked: the server reaches this host by TCP, where it sees published ports only. Publish port {port}, or use an agent."
            ))
        })?;
        let name = address.rsplit_once(':').map_or(address.as_str(), |(name, _)| name);
        return Ok(Way::Published(name.trim_matches(['[', ']']).to_owned(), published));
    }
    let ip = address_of(docker, &found, 0).await.map_err(unknown)?;
    let ip = ip.ok_or_else(|| failed("Its health cannot be checked: it has no address."))?;
    let address = SocketAddr::new(ip, port);
    Ok(if endpoint == Endpoint::Agent { Way::Agent(address) } else { Way::Direct(address) })
}

/// The port of the host on which a container's TCP port is published.
fn published(found: &ContainerInspectResponse, port: u16) -> Option<u16> {
    let ports = found.network_settings.as_ref()?.ports.as_ref()?;
    let bindings = ports.get(&format!("{port}/tcp"))?.as_ref()?;
    bindings.iter().find_map(|binding| binding.host_port.as_deref()?.parse().ok())
}

/// An address of a container that its host reaches.
async fn address_of(
    docker: &Docker,
    found: &ContainerInspectResponse,
    depth: usize,
) -> crate::hosts::driver::Result<Option<IpAddr>> {
    let mode = found.host_config.as_ref().and_then(|config| config.network_mode.as_deref());
    if mode == Some("host") {
        return Ok(Some(IpAddr::from([127, 0, 0, 1])));
    }
    if let Some(other) = mode.and_then(|mode| mode.strip_prefix("container:"))
        && depth == 0
    {
        let other = docker.inspect_container(other).await?;
        return Box::pin(address_of(docker, &other, 1)).await;
    }
    let Some(settings) = &found.network_settings else { return Ok(None) };
    // An overlay network's addresses are of no use to the host itself.
    if let Some(sandbox) = settings.sandbox_id.as_deref().filter(|id| id.len() >= 12)
        && let Some(gateway) = docker.find_network(GATEWAY_NETWORK).await?
    {
        let name = format!("gateway_{}", sandbox.get(..12).unwrap_or_default());
        let endpoints = gateway.containers.unwrap_or_default();
        let own = endpoints.values().find(|endpoint| endpoint.name.as_deref() == Some(&name));
        let address = own.and_then(|endpoint| endpoint.ipv4_address.as_deref());
        let ip = address.and_then(|address| address.split('/').next()?.parse().ok());
        if ip.is_some() {
            return Ok(ip);
        }
    }
    for (name, endpoint) in settings.networks.iter().flatten() {
        let ip = endpoint.ip_address.as_deref().and_then(|ip| ip.parse().ok());
        let network = endpoint.network_id.as_deref().filter(|id| !id.is_empty()).unwrap_or(name);
        if let Some(ip) = ip
            && docker.find_network(network).await?.and_then(|found| found.driver).as_deref()
                != Some("overlay")
        {
            return Ok(Some(ip));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_status_and_nothing_else() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 404 Not Found\r\nx: y", Some(404)),
            ("HTTP/2 204", Some(204)),
            ("SSH-2.0-OpenSSH\r\n", None),
            ("HTTP/1.1 9999 What", None),
            ("HTTP/1.1", None),
            ("", None),
        ] {
            assert_eq!(status_of(answer.as_bytes()), expected, "{answer}");
        }
    }

    #[tokio::test]
    async fn asks_for_a_path_and_judges_the_answer() {
        for (answer, http, passes) in [
            ("HTTP/1.1 302 Found\r\n\r\n", HttpProbe::default(), true),
            ("HTTP/1.1 503 Busy\r\n\r\n", HttpProbe::default(), false),
            (
                "HTTP/1.1 503 Busy\r\n\r\n",
                HttpProbe { status: Some(503), ..HttpProbe::default() },
                true,
            ),
            ("nonsense\n", HttpProbe::default(), false),
        ] {
            let (near, mut far) = tokio::io::duplex(4096);
            let serving = async {
                let mut asked = vec![0; 1024];
                let count = far.read(&mut asked).await.unwrap_or(0);
                assert!(asked[..count].starts_with(b"GET / HTTP/1.1\r\n"));
                let _ = far.write_all(answer.as_bytes()).await;
            };
            let (result, ()) = tokio::join!(talk(near, Some(&http), 80), serving);
            assert_eq!(result.is_ok(), passes, "{answer:?} {result:?}");
        }
    }
}
