//! The other replicas of the server: each can reach the tunnels that end on any of them.
//!
//! A replica dials another one when it first needs a stream there, and keeps that connection. Both
//! prove that they have the database's encryption key, which nobody else has.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::{
    Mux,
    dial::{ServerDialer, Trust},
    store,
    way::{Tunnels, forward},
    websocket::{Bytestream, Socket, receive_json, send_json},
};
use crate::{app::App, config::Settings, secrets::Cipher};

/// Where replicas dial.
pub const PATH: &str = "/v1/replicas/tunnel";
/// How often a replica says that it is there.
const BEAT: Duration = Duration::from_secs(3);
/// One that has not said so for this long, seconds, is gone.
const GONE: f64 = 30.0;
/// How long a replica that is dead may hold up a request.
const DIAL: Duration = Duration::from_secs(3);
/// One that could not be reached is left alone for this long.
const REST: Duration = Duration::from_secs(2);

/// What the dialled replica asks.
#[derive(Serialize, Deserialize)]
struct Question {
    nonce: String,
}

/// Its proof of the key: the nonce and its own id, sealed.
#[derive(Serialize, Deserialize)]
struct Proof {
    replica: Uuid,
    sealed: String,
}

/// Taken, with the dialled one's proof; `None`: refused.
#[derive(Serialize, Deserialize)]
struct Taken {
    proof: Option<String>,
}

/// The connections to other replicas.
pub struct Peers {
    replica: Uuid,
    cipher: Arc<Cipher>,
    known: std::sync::Mutex<HashMap<Uuid, Arc<Mutex<Peer>>>>,
}

/// The connection to one replica, or the moment when it could not be made.
#[derive(Default)]
struct Peer {
    mux: Option<Mux>,
    failed: Option<Instant>,
}

impl Peers {
    pub(super) fn new(replica: Uuid, cipher: Arc<Cipher>) -> Self {
        Self { replica, cipher, known: std::sync::Mutex::default() }
    }

    /// The connection to a replica, made when there is none. One that is dead is not dialled by
    /// each of the many that want to go there.
    pub(super) async fn mux(&self, replica: Uuid, address: &str) -> io::Result<Mux> {
        let peer = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(replica).or_default().clone()
        };
        let mut peer = peer.lock().await;
        if let Some(mux) = peer.mux.as_ref().filter(|mux| !mux.is_over()) {
            return Ok(mux.clone());
        }
        let silent = || {
            let why = format!("The server's replica at {address} does not answer.");
            io::Error::new(io::ErrorKind::TimedOut, why)
        };
        if peer.failed.is_some_and(|at| at.elapsed() < REST) {
            return Err(silent());
        }
        let dialled = timeout(DIAL, self.dial(address)).await.unwrap_or_else(|_| Err(silent()));
        peer.failed = dialled.is_err().then(Instant::now);
        peer.mux = dialled.as_ref().ok().cloned();
        dialled
    }

    /// Forgets replicas that are gone.
    fn forget_ended(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, peer| {
            let Ok(peer) = peer.try_lock() else { return true };
            peer.mux.as_ref().is_some_and(|mux| !mux.is_over())
        });
    }

    async fn dial(&self, address: &str) -> io::Result<Mux> {
        let url =
            if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let mut socket = ServerDialer::new(&url, &Trust::default(), None)?.websocket(PATH).await?;
        let question: Question = receive_json(&mut socket).await?;
        let sealed = self.prove(&question.nonce, self.replica);
        send_json(&mut socket, &Proof { replica: self.replica, sealed }).await?;
        let taken: Taken = receive_json(&mut socket).await?;
        // The answer is sealed with the same nonce, but with the word `taken` in place of an id.
        let proven = taken.proof.is_some_and(|proof| {
            self.open(&proof).as_deref() == Some(format!("taken {}", question.nonce).as_bytes())
        });
        if !proven {
            let why = "A replica of the server has another encryption key (DROVER_ENCRYPTION_KEY).";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let (mux, driver) = Mux::new(Bytestream::new(socket, true), true, drop);
        tokio::spawn(driver);
        Ok(mux)
    }

    fn prove(&self, nonce: &str, replica: Uuid) -> String {
        STANDARD.encode(self.cipher.seal(format!("{nonce} {replica}").as_bytes()))
    }

    fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        self.cipher.open(&STANDARD.decode(sealed).ok()?).ok()
    }

    /// Takes the connection of another replica, if it proves to be one.
    pub(super) async fn take(&self, tunnels: Tunnels, mut socket: Socket) -> io::Result<()> {
        let nonce = STANDARD.encode(rand::random::<[u8; 32]>());
        send_json(&mut socket, &Question { nonce: nonce.clone() }).await?;
        let proof: Proof = receive_json(&mut socket).await?;
        let wanted = format!("{nonce} {}", proof.replica);
        if self.open(&proof.sealed).as_deref() != Some(wanted.as_bytes()) {
            send_json(&mut socket, &Taken { proof: None }).await?;
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "no proof of the key"));
        }
        let sealed = STANDARD.encode(self.cipher.seal(format!("taken {nonce}").as_bytes()));
        send_json(&mut socket, &Taken { proof: Some(sealed) }).await?;
        let (_mux, driver) = Mux::new(Bytestream::new(socket, true), false, move |stream| {
            let tunnels = tunnels.clone();
            tokio::spawn(async move {
                if let Err(error) = forward(tunnels, stream).await {
                    tracing::debug!(%error, "a forwarded stream has ended");
                }
            });
        });
        driver.await
    }
}

/// Keeps this replica in the table, and those that are gone out of it.
pub async fn keep_listed(app: App) {
    let address = address(&app.settings, &app.db).await;
    tracing::debug!(%address, "other replicas reach this one here");
    loop {
        match store::beat(&app.db, app.events.replica(), &address, env!("CARGO_PKG_VERSION")).await
        {
            Ok(false) => {}
            // New, or thought to be gone: what ends here must be found again.
            Ok(true) => {
                for (host, tunnel) in app.tunnels.local_hosts() {
                    let replica = app.events.replica();
                    let claimed =
                        store::claim(&app.db, host, replica, tunnel.id, tunnel.process).await;
                    if let Err(error) = claimed {
                        tracing::warn!(%error, "cannot list a tunnel");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "cannot list this replica"),
        }
        match store::sweep(&app.db, GONE).await {
            Ok(0) => {}
            Ok(gone) => {
                tracing::info!(gone, "replicas of the server are gone");
                app.tunnels.peers().forget_ended();
            }
            Err(error) => tracing::warn!(%error, "cannot sweep replicas"),
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// Where other replicas reach this one: as set; else where it listens; else, when it listens
/// everywhere, the address that it has on the way to the database.
async fn address(settings: &Settings, db: &sqlx::PgPool) -> String {
    if let Some(address) = &settings.replica_address {
        return address.clone();
    }
    let listen = settings.listen;
    if !listen.ip().is_unspecified() {
        return listen.to_string();
    }
    let options = db.connect_options();
    let towards = async {
        let socket = tokio::net::UdpSocket::bind(SocketAddr::new(listen.ip(), 0)).await?;
        // Sends nothing: it only asks the kernel for the way.
        socket.connect((options.get_host(), options.get_port())).await?;
        socket.local_addr()
    };
    let ip = towards.await.map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip());
    SocketAddr::new(ip, listen.port()).to_string()
}
