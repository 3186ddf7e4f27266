//! A shell in a container, as a browser opens it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest},
};

/// How long what is waited for may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A WebSocket of the server's: a shell, a log or measurements.
pub struct Shell(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Shell {
    /// Opens one at `path` with an API key.
    pub async fn open(base: &str, token: &str, path: &str) -> Self {
        let url = format!("{}{path}", base.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        let (stream, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        if let MaybeTlsStream::Plain(tcp) = stream.get_ref() {
            tcp.set_nodelay(true).unwrap();
        }
        Self(stream)
    }

    /// The next message that carries something; none after the close.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            match timeout(LIMIT, self.0.next()).await.expect("no message in time")? {
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(message) => return Some(message),
            }
        }
    }

    /// Presses keys.
    pub async fn type_in(&mut self, keys: &str) {
        self.0.send(Message::Binary(keys.to_owned().into())).await.unwrap();
    }

    /// Whether this is shown before the connection ends.
    pub async fn shows(&mut self, wanted: &str) -> bool {
        let mut shown = String::new();
        while let Some(message) = self.next().await {
            shown += &String::from_utf8_lossy(&message.into_data());
            if shown.contains(wanted) {
                return true;
            }
        }
        false
    }

    /// Reads until the terminal has shown this since.
    pub async fn until(&mut self, wanted: &str) -> String {
        let mut shown = String::new();
        while !shown.contains(wanted) {
            match self.next().await {
                Some(Message::Binary(bytes)) => shown += &String::from_utf8_lossy(&bytes),
                Some(Message::Text(text)) => shown += &text,
                other => panic!("{other:?} after {shown}"),
            }
        }
        shown
    }
}
