//! Dialling out to a server: through an HTTP proxy where the settings of the machine say so, over
//! TLS with the machine's authorities, a given one, or one pinned certificate.

use std::{io, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{client_async_with_config, tungstenite::client::IntoClientRequest};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Stream,
    websocket::{self, Socket},
};

/// How long each of look-up, connect, proxy, TLS and the WebSocket's handshake may take.
const STEP: Duration = Duration::from_secs(10);
/// So little is queued in the kernel beyond what is on its way, so that what is urgent does not
/// wait behind what is big.
const QUEUED: u32 = 64 << 10;

/// How to dial a server.
#[derive(Clone)]
pub struct ServerDialer {
    /// `https` or `http`.
    secure: bool,
    host: String,
    port: u16,
    proxy: Option<Proxy>,
    tls: Arc<ClientConfig>,
}

/// Whom to believe that it is the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Certificate authorities in PEM, instead of the machine's own.
    pub ca: Option<String>,
    /// The SHA-256 of the server's certificate, in hex.
    pub fingerprint: Option<[u8; 32]>,
}

#[derive(Clone)]
struct Proxy {
    host: String,
    port: u16,
    authorization: Option<String>,
}

impl ServerDialer {
    /// Checks the address and what is to be trusted; connects to nothing yet.
    ///
    /// # Errors
    /// In words, for what cannot be used.
    pub fn new(server: &str, trust: &Trust, proxy: Option<&str>) -> io::Result<Self> {
        let (secure, host, port) = split_url(server)?;
        let proxy = match proxy {
            Some(proxy) => Some(parse_proxy(proxy)?),
            None => None,
        };
        Ok(Self { secure, host, port, proxy, tls: Arc::new(client_config(trust)?) })
    }

    /// Opens a WebSocket.
    ///
    /// # Errors
    /// In words: which step has failed, and what to do.
    pub async fn websocket(&self, path: &str) -> io::Result<Socket> {
        let stream = self.connect().await?;
        let scheme = if self.secure { "wss" } else { "ws" };
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let request = format!("{scheme}://{host}:{}{path}", self.port)
            .into_client_request()
            .map_err(io::Error::other)?;
        let shaken = client_async_with_config(request, stream, Some(websocket::config()));
        match step("did not answer the WebSocket's handshake", shaken).await? {
            Ok((socket, _)) => Ok(socket),
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => {
                Err(io::Error::other(format!(
                    "The server at {}:{} answered {} instead of opening a WebSocket. A proxy on the way may not let WebSockets through.",
                    self.host,
                    self.port,
                    answer.status()
                )))
            }
            Err(error) => {
                Err(io::Error::other(format!("The WebSocket could not be opened: {error}.")))
            }
        }
    }

    /// A plain request, and its answer of at most 1 MiB.
    ///
    /// # Errors
    /// In words.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        limit: Duration,
    ) -> io::Result<(u16, Vec<u8>)> {
        self.request_up_to(method, path, body, limit, 1 << 20).await
    }

    /// The same, with an answer of at most `most` bytes.
    ///
    /// # Errors
    /// In words.
    pub async fn request_up_to(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        limit: Duration,
        most: usize,
    ) -> io::Result<(u16, Vec<u8>)> {
        let asked = async {
            let stream = self.connect().await?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(io::Error::other)?;
            // Ends with the answer.
            let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
            let request = hyper::Request::builder()
                .method(method)
                .uri(path)
                .header("host", format!("{}:{}", self.host, self.port))
                .header("content-type", "application/json")
                .body(Full::new(Bytes::copy_from_slice(body)))
                .map_err(io::Error::other)?;
            let answer = sender.send_request(request).await.map_err(io::Error::other)?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), most);
            Ok((status, body.collect().await.map_err(io::Error::other)?.to_bytes().to_vec()))
        };
        timeout(limit, asked).await.map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, "The server did not answer in time.")
        })?
    }

    async fn connect(&self) -> io::Result<Stream> {
        let (host, port) = match &self.proxy {
            Some(proxy) => (proxy.host.as_str(), proxy.port),
            None => (self.host.as_str(), self.port),
        };
        let tcp = step("did not accept a connection", TcpStream::connect((host, port))).await?;
        let tcp = tcp.map_err(|error| {
            io::Error::new(error.kind(), format!("{host}:{port} cannot be reached: {error}."))
        })?;
        tune(&tcp);
        let tcp = match &self.proxy {
            Some(proxy) => self.through(proxy, tcp).await?,
            None => tcp,
        };
        if !self.secure {
            return Ok(Box::pin(tcp));
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|_| {
            io::Error::other(format!("`{}` is not the name of a server.", self.host))
        })?;
        let shaken = TlsConnector::from(self.tls.clone()).connect(name, tcp);
        let tls = step("did not answer the TLS handshake", shaken).await?.map_err(|error| {
            io::Error::new(error.kind(), format!(
                "{}:{} is not trusted: {error}. Give the authority that signed its certificate (--ca-file) or the certificate's fingerprint (--fingerprint).",
                self.host, self.port
            ))
        })?;
        Ok(Box::pin(tls))
    }

    /// Has a proxy connect to the server (RFC 9110, section 9.3.6).
    async fn through(&self, proxy: &Proxy, mut tcp: TcpStream) -> io::Result<TcpStream> {
        let target = format!("{}:{}", self.host, self.port);
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = &proxy.authorization {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        let asked = async {
            tcp.write_all(request.as_bytes()).await?;
            // Byte by byte: what follows the answer belongs to the server.
            let mut reader = BufReader::with_capacity(1, &mut tcp).take(16 << 10);
            let mut status = String::new();
            reader.read_line(&mut status).await?;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).await? == 0 || line.trim().is_empty() {
                    return Ok::<_, io::Error>(status);
                }
            }
        };
        let status = step("(the proxy) did not answer", asked).await??;
        let code = status.split(' ').nth(1).unwrap_or_default();
        if code == "200" {
            return Ok(tcp);
        }
        Err(io::Error::other(format!(
            "The proxy {}:{} does not connect to {target}: it answered `{}`.",
            proxy.host,
            proxy.port,
            status.trim()
        )))
    }
}

/// Prompt, and with little queued; retries soon where little is under way.
pub fn tune(tcp: &TcpStream) {
    // Each of these only makes things better; a kernel without one goes on without.
    let _ = tcp.set_nodelay(true);
    let socket = socket2::SockRef::from(tcp);
    let _ = socket.set_tcp_notsent_lowat(QUEUED);
    let _ = socket.set_tcp_thin_linear_timeouts(true);
    let alive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(30));
    let _ = socket.set_tcp_keepalive(&alive);
}

async fn step<T>(what: &str, work: impl Future<Output = T>) -> io::Result<T> {
    timeout(STEP, work).await.map_err(|_| {
        let why = format!("The server {what} within {} seconds.", STEP.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, why)
    })
}

/// Splits `https://HOST[:PORT]`.
fn split_url(url: &str) -> io::Result<(bool, String, u16)> {
    let bad = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{url}` is not the address of a server, e.g. https://drover.example.com."),
        )
    };
    let (secure, rest) = match url.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        _ => return Err(bad()),
    };
    let rest = rest.trim_end_matches('/');
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| bad())?),
        _ => (rest, if secure { 443 } else { 80 }),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.contains(['/', '@', ' ']) {
        return Err(bad());
    }
    Ok((secure, host.to_owned(), port))
}

/// `http://[USER:PASSWORD@]HOST:PORT`.
fn parse_proxy(text: &str) -> io::Result<Proxy> {
    let (userinfo, bare) = match text.trim().rsplit_once('@') {
        Some((left, host)) => {
            let userinfo = left.split_once("://").map_or(left, |(_, rest)| rest);
            (Some(userinfo), host)
        }
        None => (None, text.trim().split_once("://").map_or(text.trim(), |(_, rest)| rest)),
    };
    let (_, host, port) = split_url(&format!("http://{bare}")).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "The proxy must be given as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT.",
        )
    })?;
    let authorization = userinfo.map(|userinfo| format!("Basic {}", STANDARD.encode(userinfo)));
    Ok(Proxy { host, port, authorization })
}

/// The proxy that the machine's settings name for a server, as curl reads them: `HTTPS_PROXY`,
/// `HTTP_PROXY`, `ALL_PROXY`, and `NO_PROXY` with names that need none.
pub fn proxy_of_environment(server: &str) -> Option<String> {
    let variable = |name: &str| {
        [name.to_ascii_lowercase(), name.to_owned()]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    };
    let (secure, host, _) = split_url(server).ok()?;
    let excepted = variable("NO_PROXY").unwrap_or_default();
    let is_excepted = excepted.split(',').map(str::trim).any(|name| {
        name == "*"
            || !name.is_empty() && {
                let name = name.trim_start_matches('.');
                host == name || host.ends_with(&format!(".{name}"))
            }
    });
    if is_excepted {
        return None;
    }
    variable(if secure { "HTTPS_PROXY" } else { "HTTP_PROXY" }).or_else(|| variable("ALL_PROXY"))
}

/// Reads a fingerprint: 64 hex digits, with or without colons and `sha256:` in front.
///
/// # Errors
/// In words.
pub fn parse_fingerprint(text: &str) -> Result<[u8; 32], String> {
    let bare = text.trim().to_ascii_lowercase();
    let bare = bare.strip_prefix("sha256:").unwrap_or(&bare).replace(':', "");
    let bad = || "a fingerprint is the SHA-256 of a certificate: 64 hex digits".to_owned();
    if bare.len() != 64 || !bare.is_ascii() {
        return Err(bad());
    }
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&bare[at..at + 2], 16).map_err(|_| bad())?;
    }
    Ok(bytes)
}

fn client_config(trust: &Trust) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    if let Some(fingerprint) = trust.fingerprint {
        let pinned = Arc::new(Pinned { fingerprint, provider });
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(pinned)
            .with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    match &trust.ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(io::Error::other)?;
                roots.add(certificate).map_err(io::Error::other)?;
            }
            if roots.is_empty() {
                return Err(io::Error::other("The CA file holds no certificate in PEM."));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Believes exactly one certificate, whoever has signed it and whatever its dates are.
#[derive(Debug)]
struct Pinned {
    fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if Sha256::digest(certificate)[..] == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General(
            "its certificate has another fingerprint than the given one".into(),
        ))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers() {
        let split = |text| split_url(text).ok();
        assert_eq!(split("https://a.test"), Some((true, "a.test".into(), 443)));
        assert_eq!(split("http://a.test:8080/"), Some((false, "a.test".into(), 8080)));
        assert_eq!(split("https://[fd00::1]:8443"), Some((true, "fd00::1".into(), 8443)));
        assert_eq!(split("http://[fd00::1]"), Some((false, "fd00::1".into(), 80)));
        for bad in
            ["", "a.test", "ftp://a.test", "http://", "http://a.test/b", "http://a:b", "http://u@a"]
        {
            assert_eq!(split(bad), None, "{bad}");
        }
    }

    #[test]
    fn proxies_with_and_without_a_password() {
        let proxy = parse_proxy("http://me:secret@proxy.test:3128").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.test", 3128));
        assert_eq!(proxy.authorization.as_deref(), Some("Basic bWU6c2VjcmV0"));
        let proxy = parse_proxy("proxy.test:3128").unwrap();
        assert_eq!(
            (proxy.host.as_str(), proxy.port, proxy.authorization),
            ("proxy.test", 3128, None)
        );
        assert!(parse_proxy("").is_err());
    }

    #[test]
    fn fingerprints_in_the_forms_that_tools_print() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(parse_fingerprint(&plain).unwrap(), [0xab; 32]);
        assert_eq!(parse_fingerprint(&format!("sha256:{colons}")).unwrap(), [0xab; 32]);
        for bad in ["", "ab", &"xy".repeat(32), &"é".repeat(32)] {
            assert!(parse_fingerprint(bad).is_err(), "{bad}");
        }
    }
}
