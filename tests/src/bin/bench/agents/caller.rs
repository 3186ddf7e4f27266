//! Asks a Docker API, on its own socket or through the server, by the same code.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinSet,
};

/// Where the API is.
#[derive(Clone)]
pub enum Caller {
    /// The engine's socket.
    Socket(String),
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
    /// Opens a connection.
    pub async fn connect(&self) -> Connection {
        match self {
            Self::Socket(path) => shake(UnixStream::connect(path).await.unwrap()).await,
            Self::Server { address, .. } => {
                let tcp = TcpStream::connect(address).await.unwrap();
                tcp.set_nodelay(true).unwrap();
                shake(tcp).await
            }
        }
    }

    fn request(&self, path: &str) -> Request<Empty<Bytes>> {
        let request = match self {
            Self::Socket(_) => Request::get(path).header("host", "docker"),
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
    pub async fn get(&self, connection: &mut Connection, path: &str) {
        let answer = self.send(connection, path).await;
        answer.into_body().collect().await.unwrap();
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

async fn shake(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Connection {
    let (connection, driver) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(driver);
    connection
}
