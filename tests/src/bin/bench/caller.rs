//! Asks an API where it is, or through the server, by the same code.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// Where the API is.
#[derive(Clone)]
pub enum Caller {
    /// The engine's socket.
    Socket(String),
    /// A Kubernetes API server.
    Cluster {
        /// `HOST:PORT`
        address: String,
        /// Who is trusted.
        tls: TlsConnector,
        /// A bearer token.
        token: String,
    },
    /// Drover, for an API key.
    Server {
        /// `HOST:PORT`
        address: String,
        /// What comes before the API's own paths.
        prefix: String,
        /// The key.
        token: String,
    },
}

/// A connection that is kept.
pub type Connection = http1::SendRequest<Empty<Bytes>>;

impl Caller {
    /// A Kubernetes API server whose certificate is of that authority (PEM).
    pub fn cluster(address: String, authority: &str, token: String) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self::Cluster { address, tls: TlsConnector::from(Arc::new(config)), token }
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Connection {
        match self {
            Self::Socket(path) => shake(UnixStream::connect(path).await.unwrap()).await,
            Self::Cluster { address, tls, .. } => {
                let name = ServerName::try_from("localhost").unwrap();
                shake(tls.connect(name, tcp(address).await).await.unwrap()).await
            }
            Self::Server { address, .. } => shake(tcp(address).await).await,
        }
    }

    fn request(&self, path: &str) -> Request<Empty<Bytes>> {
        let request = match self {
            Self::Socket(_) => Request::get(path).header("host", "docker"),
            Self::Cluster { address, token, .. } => Request::get(path)
                .header("host", address)
                .header("authorization", format!("Bearer {token}")),
            Self::Server { address, prefix, token } => Request::get(format!("{prefix}{path}"))
                .header("host", address)
                .header("authorization", format!("Bearer {token}")),
        };
        request.body(Empty::new()).unwrap()
    }

    async fn send(&self, connection: &mut Connection, path: &str) -> Response<Incoming> {
        connection.ready().await.unwrap();
        let answer = connection.send_request(self.request(path)).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer
    }

    /// GET, and reads the answer whole.
    pub async fn get(&self, connection: &mut Connection, path: &str) -> Bytes {
        let answer = self.send(connection, path).await;
        answer.into_body().collect().await.unwrap().to_bytes()
    }

    /// How long such a request takes on one connection, in each of so many runs, ms.
    pub async fn latencies(&self, path: &str, runs: usize) -> Vec<f64> {
        let mut connection = self.connect().await;
        let mut values = Vec::new();
        // The first ones have all in place for the others.
        for n in 0..runs + runs.div_ceil(10) {
            let start = Instant::now();
            self.get(&mut connection, path).await;
            if n >= runs.div_ceil(10) {
                values.push(start.elapsed().as_secs_f64() * 1000.0);
            }
        }
        values
    }

    /// GET of something that does not end: gives its bytes away, and counts them, until it is
    /// dropped.
    pub async fn follow(&self, path: &str) -> JoinHandle<u64> {
        let mut connection = self.connect().await;
        let mut body = self.send(&mut connection, path).await.into_body();
        tokio::spawn(async move {
            // As long as it lives, so does the connection.
            let _connection = connection;
            let mut bytes = 0;
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
            }
            bytes
        })
    }

    /// GET of something big: its bytes, and how long it took from the first to the last.
    pub async fn stream(&self, path: &str) -> (u64, Duration) {
        let mut connection = self.connect().await;
        let mut body = self.send(&mut connection, path).await.into_body();
        let (mut bytes, mut start) = (0, None);
        while let Some(frame) = body.frame().await {
            start.get_or_insert_with(Instant::now);
            bytes += frame.unwrap().data_ref().map_or(0, Bytes::len) as u64;
        }
        (bytes, start.unwrap().elapsed())
    }

    /// Requests a second over so many connections, each asking again as soon as it is answered.
    pub async fn rate(&self, path: &str, connections: usize, span: Duration) -> f64 {
        let mut all = JoinSet::new();
        let start = Instant::now();
        for _ in 0..connections {
            let (caller, path) = (self.clone(), path.to_owned());
            all.spawn(async move {
                let mut connection = caller.connect().await;
                let mut count = 0;
                while start.elapsed() < span {
                    caller.get(&mut connection, &path).await;
                    count += 1;
                }
                count
            });
        }
        let count: u64 = all.join_all().await.into_iter().sum();
        count as f64 / start.elapsed().as_secs_f64()
    }
}

async fn tcp(address: &str) -> TcpStream {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp
}

async fn shake(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Connection {
    let (connection, driver) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(driver);
    connection
}
