//! What stands between an agent and its server: a proxy that does TLS for the server, and the
//! HTTP proxy of a company.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::{Certificates, tls_listener::TlsListener};

/// Does TLS for a server that does none.
pub struct TlsFront {
    address: SocketAddr,
}

impl TlsFront {
    /// Starts one before `target` (`HOST:PORT`), with the certificate of this name.
    pub async fn start(target: &str, certificates: &Certificates, name: &str) -> Self {
        let mut listener = TlsListener::bind(certificates, name).await;
        let address = listener.address();
        let target = target.to_owned();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await;
                let target = target.clone();
                tokio::spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self { address }
    }

    /// `https://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

/// An HTTP proxy that connects whoever has its password.
pub struct HttpProxy {
    address: SocketAddr,
    used: Arc<AtomicUsize>,
}

impl HttpProxy {
    /// Starts one for the user `me` with the password `secret`.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let used = Arc::new(AtomicUsize::new(0));
        let counter = used.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connect(client, counter.clone()));
            }
        });
        Self { address, used }
    }

    /// Its address, with user and password.
    pub fn url(&self, password: &str) -> String {
        format!("http://me:{password}@{}", self.address)
    }

    /// How many connections went through it.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

async fn connect(mut client: TcpStream, used: Arc<AtomicUsize>) {
    // Byte by byte: what follows is for the server.
    let mut reader = BufReader::with_capacity(1, &mut client).take(8192);
    let (mut first, mut allowed) = (String::new(), false);
    let _ = reader.read_line(&mut first).await;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await.unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        // me:secret
        allowed |= line.trim().eq_ignore_ascii_case("proxy-authorization: basic bWU6c2VjcmV0");
    }
    let target = first.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let (Some(target), true) = (target, allowed) else {
        let _ = client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        return;
    };
    let Ok(mut server) = TcpStream::connect(target).await else {
        let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
        return;
    };
    used.fetch_add(1, Ordering::Relaxed);
    let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
