//! The way to an engine: a Unix socket, TCP with mutual TLS from PEM texts in memory, or the tunnel
//! of the agent on the host.

use std::{
    fmt,
    future::Future,
    io,
    net::IpAddr,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use drover_api::{Endpoint, TlsCredentials};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::error::{DockerError, ErrorKind, Result};
use crate::tunnel;

/// How long each of look-up, connect and TLS handshake may take.
const STEP_LIMIT: Duration = Duration::from_secs(5);

/// Makes connections to one engine.
#[derive(Clone)]
pub struct Dialer(Way);

#[derive(Clone)]
enum Way {
    Socket(PathBuf),
    Tcp { host: String, port: u16, tls: TlsConnector, name: ServerName<'static> },
    Agent(tunnel::Way),
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Way::Socket(path) => write!(f, "Dialer(unix:{})", path.display()),
            Way::Tcp { host, port, .. } => write!(f, "Dialer(tls:{host}:{port})"),
            Way::Agent(way) => write!(f, "Dialer({way:?})"),
        }
    }
}

impl Dialer {
    /// Checks the endpoint and its credentials; connects to nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] for an address, [`ErrorKind::TlsFailed`] for credentials that cannot
    /// be used.
    pub fn new(endpoint: &Endpoint, tls: Option<&TlsCredentials>) -> Result<Self> {
        match endpoint {
            Endpoint::Socket { path } => Ok(Self(Way::Socket(path.into()))),
            Endpoint::Tcp { address } => {
                let (host, port) = parse_address(address)?;
                let tls = tls.ok_or_else(|| {
                    DockerError::new(
                        ErrorKind::TlsFailed,
                        "A TCP address needs TLS credentials: CA, client certificate and key.",
                    )
                })?;
                let name = ServerName::try_from(host.clone()).map_err(|_| bad_address(address))?;
                let tls = TlsConnector::from(Arc::new(tls_config(tls)?));
                Ok(Self(Way::Tcp { host, port, tls, name }))
            }
            Endpoint::Agent => Err(DockerError::new(
                ErrorKind::Refused,
                "A host with an agent is reached through the agent's own connection.",
            )),
        }
    }

    /// Through the tunnel of the host's agent.
    pub fn through(way: tunnel::Way) -> Self {
        Self(Way::Agent(way))
    }

    /// The address in words, for messages.
    pub fn describe(&self) -> String {
        match &self.0 {
            Way::Socket(path) => path.display().to_string(),
            Way::Tcp { host, port, .. } => format!("{host}:{port}"),
            Way::Agent(_) => "the agent".into(),
        }
    }

    /// Finds the addresses behind the host's name. Nothing for sockets.
    pub async fn resolve(&self) -> Result<Vec<IpAddr>> {
        let Way::Tcp { host, port, .. } = &self.0 else {
            return Ok(Vec::new());
        };
        let unknown = |why: String| {
            DockerError::new(
                ErrorKind::HostUnreachable,
                format!("The name {host} could not be looked up: {why}."),
            )
        };
        let found = timeout(STEP_LIMIT, tokio::net::lookup_host((host.as_str(), *port)))
            .await
            .map_err(|_| unknown("no answer within 5 seconds".into()))?
            .map_err(|error| unknown(error.to_string()))?;
        let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        if found.is_empty() { Err(unknown("it has no address".into())) } else { Ok(found) }
    }

    /// Opens the bare connection, without TLS.
    pub async fn connect(&self) -> Result<Bare> {
        let opened = match &self.0 {
            Way::Socket(path) => {
                timeout(STEP_LIMIT, UnixStream::connect(path)).await.map(|r| r.map(Bare::Unix))
            }
            Way::Tcp { host, port, .. } => {
                timeout(STEP_LIMIT, TcpStream::connect((host.as_str(), *port)))
                    .await
                    .map(|r| r.map(Bare::Tcp))
            }
            Way::Agent(way) => timeout(STEP_LIMIT, way.open(&tunnel::Target::Docker))
                .await
                .map(|r| r.map(Bare::Tunnel)),
        };
        match opened {
            Ok(Ok(Bare::Tcp(stream))) => {
                // Requests are small and answered at once: do not wait to fill segments.
                let _ = stream.set_nodelay(true);
                Ok(Bare::Tcp(stream))
            }
            Ok(Ok(stream)) => Ok(stream),
            // The tunnel's errors say what is wrong and what to do.
            Ok(Err(error)) if matches!(self.0, Way::Agent(_)) => {
                Err(DockerError::new(ErrorKind::HostUnreachable, error.to_string()))
            }
            Ok(Err(error)) => Err(DockerError::new(
                ErrorKind::HostUnreachable,
                connect_failure(&self.describe(), &error),
            )),
            Err(_) => Err(DockerError::new(
                ErrorKind::HostUnreachable,
                format!(
                    "{} did not accept a connection within 5 seconds. Check the address and the firewall.",
                    self.describe()
                ),
            )),
        }
    }

    /// Makes the TLS handshake over a bare TCP connection; a socket is used as it is.
    pub async fn secure(&self, bare: Bare) -> Result<EngineStream> {
        match (&self.0, bare) {
            (Way::Tcp { tls, name, .. }, Bare::Tcp(stream)) => {
                match timeout(STEP_LIMIT, tls.connect(name.clone(), stream)).await {
                    Ok(Ok(stream)) => Ok(EngineStream(Box::pin(stream))),
                    Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        Err(DockerError::new(
                            ErrorKind::TlsFailed,
                            "What listens there ended the TLS handshake. Check that it is Docker's TLS port.",
                        ))
                    }
                    Ok(Err(error)) => Err(DockerError::from_chain(&error)),
                    Err(_) => Err(DockerError::new(
                        ErrorKind::TlsFailed,
                        "The TLS handshake was not answered within 5 seconds. Check that it is Docker's TLS port.",
                    )),
                }
            }
            (_, Bare::Unix(stream)) => Ok(EngineStream(Box::pin(stream))),
            (_, Bare::Tcp(stream)) => Ok(EngineStream(Box::pin(stream))),
            (_, Bare::Tunnel(stream)) => Ok(EngineStream(stream)),
        }
    }

    /// Opens a connection that HTTP can be spoken on.
    pub async fn dial(&self) -> Result<EngineStream> {
        let bare = self.connect().await?;
        self.secure(bare).await
    }
}

/// A connection before its TLS handshake.
pub enum Bare {
    /// To a socket.
    Unix(UnixStream),
    /// To an address.
    Tcp(TcpStream),
    /// Through an agent's tunnel.
    Tunnel(tunnel::Stream),
}

/// A connection that HTTP can be spoken on.
pub struct EngineStream(tunnel::Stream);

impl AsyncRead for EngineStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for EngineStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}

impl Connection for EngineStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl tower::Service<hyper::Uri> for Dialer {
    type Response = TokioIo<EngineStream>;
    type Error = DockerError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: hyper::Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { dialer.dial().await.map(TokioIo::new) })
    }
}

/// Splits `HOST:PORT` or `[IPV6]:PORT`.
fn parse_address(address: &str) -> Result<(String, u16)> {
    let text = address.trim();
    let text = text.strip_prefix("tcp://").unwrap_or(text);
    let (host, port) = text.rsplit_once(':').ok_or_else(|| bad_address(address))?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(|| bad_address(address))?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    match bare {
        Some(host) => Ok((host.to_owned(), port)),
        // Without brackets a colon would make it unclear where the port begins.
        None if host.is_empty() || host.contains([':', '/', ' ', '@']) => Err(bad_address(address)),
        None => Ok((host.to_owned(), port)),
    }
}

fn bad_address(address: &str) -> DockerError {
    DockerError::new(
        ErrorKind::Refused,
        format!("`{address}` is not an address of the form HOST:PORT, e.g. 10.0.0.7:2376."),
    )
}

fn tls_config(credentials: &TlsCredentials) -> Result<ClientConfig> {
    let wrong = |what: &str, why: String| {
        DockerError::new(ErrorKind::TlsFailed, format!("The {what} cannot be used: {why}."))
    };
    let certificates = |what: &str, pem: &str| -> Result<Vec<CertificateDer<'static>>> {
        let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| wrong(what, error.to_string()))?;
        if found.is_empty() {
            return Err(wrong(what, "it holds no PEM certificate".into()));
        }
        Ok(found)
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("CA", &credentials.ca)? {
        roots.add(certificate).map_err(|error| wrong("CA", error.to_string()))?;
    }
    let chain = certificates("client certificate", &credentials.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes())
        .map_err(|_| wrong("client key", "it holds no PEM private key".into()))?;
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("TLS set-up", error.to_string()))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| wrong("client certificate and key", error.to_string()))
}

fn connect_failure(address: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("There is no Docker socket at {address}. Is Docker installed and running?")
        }
        io::ErrorKind::PermissionDenied => format!(
            "The server may not open {address}. Run it as a user in the group that owns the socket."
        ),
        io::ErrorKind::ConnectionRefused => {
            format!("{address} refused the connection: nothing listens there. Is Docker running?")
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("There is no route to {address}.")
        }
        _ => format!("{address} cannot be reached: {error}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(parse_address("10.0.0.7:2376").unwrap(), ("10.0.0.7".into(), 2376));
        assert_eq!(parse_address("tcp://node.test:2376").unwrap(), ("node.test".into(), 2376));
        assert_eq!(parse_address("[fd00::1]:2376").unwrap(), ("fd00::1".into(), 2376));
        for bad in
            ["", "node", "node:", "node:0", "node:99999", ":2376", "fd00::1:2376", "http://a/b:1"]
        {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tcp_wants_usable_credentials() {
        let endpoint = Endpoint::Tcp { address: "10.0.0.7:2376".into() };
        let error = Dialer::new(&endpoint, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TlsFailed);
        let empty = TlsCredentials { ca: "x".into(), certificate: "y".into(), key: "z".into() };
        let error = Dialer::new(&endpoint, Some(&empty)).unwrap_err();
        assert!(error.message().contains("CA"), "{error}");
    }
}
