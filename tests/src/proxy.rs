//! A TCP proxy: to take PostgreSQL or a host away while the server runs, to be the balancer before
//! several replicas, and to be a slow line.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

/// How long a target may take before the next one is tried.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How many pieces of up to 64 KiB are on a slow line at once.
const ON_THE_LINE: usize = 64;

/// Passes connections on until it is cut.
pub struct Proxy {
    address: SocketAddr,
    open: watch::Sender<bool>,
    targets: Arc<Targets>,
}

impl Proxy {
    /// Starts one on loopback to `target`.
    pub async fn start(target: &str) -> Self {
        Self::start_with(Ipv4Addr::LOCALHOST, &[target], Duration::ZERO).await
    }

    /// Starts one on an address of this machine's. Each connection goes to the next of the targets
    /// that takes it, and all that goes through comes this much later, each way.
    pub async fn start_with(listen: impl Into<IpAddr>, targets: &[&str], delay: Duration) -> Self {
        let listener = TcpListener::bind((listen.into(), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, state) = watch::channel(true);
        let targets =
            Arc::new(Targets { addresses: RwLock::new(owned(targets)), turn: AtomicUsize::new(0) });
        let passed = targets.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A cut proxy ends connections as they come.
                if *state.borrow() {
                    tokio::spawn(pass(client, passed.clone(), delay, state.clone()));
                }
            }
        });
        Self { address, open, targets }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends new connections to these targets; those that are there stay where they are.
    pub fn retarget(&self, targets: &[&str]) {
        *self.targets.addresses.write().unwrap() = owned(targets);
    }

    /// Ends all connections, and refuses new ones.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Passes connections on again.
    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

fn owned(targets: &[&str]) -> Vec<String> {
    targets.iter().map(|&target| target.to_owned()).collect()
}

struct Targets {
    addresses: RwLock<Vec<String>>,
    turn: AtomicUsize,
}

impl Targets {
    /// Round robin, past those that do not take the connection.
    async fn connect(&self) -> Option<TcpStream> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let addresses = self.addresses.read().unwrap().clone();
        for offset in 0..addresses.len() {
            let address = &addresses[(first + offset) % addresses.len()];
            if let Ok(Ok(stream)) = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
                return Some(stream);
            }
        }
        None
    }
}

async fn pass(
    mut client: TcpStream,
    targets: Arc<Targets>,
    delay: Duration,
    mut state: watch::Receiver<bool>,
) {
    let Some(mut server) = targets.connect().await else {
        return;
    };
    let both = async {
        if delay.is_zero() {
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        } else {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let there = copy_late(from_client, to_server, delay);
            let back = copy_late(from_server, to_client, delay);
            tokio::join!(there, back);
        }
    };
    tokio::select! {
        () = both => {}
        _ = state.wait_for(|open| !open) => {}
    }
}

/// Writes what it reads this much later, and ends the writing as late after the end.
async fn copy_late(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
) {
    let (sender, mut line) = mpsc::channel::<(Instant, BytesMut)>(ON_THE_LINE);
    let read = async move {
        loop {
            let mut piece = BytesMut::with_capacity(64 * 1024);
            let more = matches!(from.read_buf(&mut piece).await, Ok(read) if read > 0);
            if sender.send((Instant::now() + delay, piece)).await.is_err() || !more {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = line.recv().await {
            sleep_until(due).await;
            if piece.is_empty() || to.write_all(&piece).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
