//! Clusters behind an agent: its tunnel carries the bytes, TLS between the server and the cluster
//! goes through it, and the agent's own service account is as whom the server speaks.

use std::{io, time::Duration};

use async_trait::async_trait;
use drover_kubernetes::client::{Access, Credentials, Dial, Stream};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

use crate::tunnel::{KubernetesAccount, Target, Way};

/// What every API server's certificate is good for, whatever its address.
const SERVER: &str = "https://kubernetes.default.svc";
/// Tokens of service accounts are good for an hour, and renewed when four fifths of it are over.
pub(super) const FRESH: Duration = Duration::from_secs(300);
/// How long the agent may take to tell its account.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest account.
const LONGEST: u64 = 256 << 10;

/// The way through an agent's tunnel.
pub(super) struct Tunnelled(pub Way);

#[async_trait]
impl Dial for Tunnelled {
    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        let stream = self.0.open(&Target::Kubernetes).await?;
        Ok(Box::new(stream))
    }
}

/// As nobody: before the agent has come.
pub(super) fn nobody() -> Access {
    Access {
        server: SERVER.to_owned(),
        ca_pem: None,
        tls_server_name: None,
        insecure: false,
        credentials: Credentials::default(),
        namespace: None,
    }
}

/// As whom the agent speaks to its cluster.
pub(super) async fn account(way: &Way) -> io::Result<Access> {
    let read = async {
        let stream = way.open(&Target::KubernetesAccount).await?;
        let account = read_account(stream).await?;
        Ok(Access {
            ca_pem: Some(account.ca_pem),
            credentials: Credentials::token(account.token.into()),
            ..nobody()
        })
    };
    timeout(LIMIT, read).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn read_account(stream: impl AsyncRead) -> io::Result<KubernetesAccount> {
    let mut text = Vec::new();
    std::pin::pin!(stream.take(LONGEST)).read_to_end(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}
