//! What Kubernetes tells a program in a pod: where its API server is, and as whom to speak to it.
//! <https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::net::TcpStream;

use crate::tunnel::KubernetesAccount;

/// Where the service account is mounted.
pub const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The cluster that the agent is in.
#[derive(Debug, Clone)]
pub struct InCluster {
    host: String,
    port: u16,
    account: PathBuf,
}

impl InCluster {
    /// By the environment of the process.
    ///
    /// # Errors
    /// In words, when it is in no pod.
    pub fn of_process(account: &Path) -> io::Result<Self> {
        let variable = |name: &str| {
            std::env::var(name).map_err(|_| {
                let why = format!("--kubernetes is for pods: there is no {name}");
                io::Error::new(io::ErrorKind::InvalidInput, why)
            })
        };
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let port = port.parse().map_err(|_| {
            let why = format!("KUBERNETES_SERVICE_PORT is no port: {port}");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        })?;
        Ok(Self { host: variable("KUBERNETES_SERVICE_HOST")?, port, account: account.to_owned() })
    }

    /// Connects to the API server.
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The account as it is now: the kubelet writes a new token long before the old one ends.
    pub(super) async fn account(&self) -> io::Result<KubernetesAccount> {
        let read = async |name: &str| {
            let path = self.account.join(name);
            let text = tokio::fs::read_to_string(&path).await;
            text.map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}.", path.display()))
            })
        };
        Ok(KubernetesAccount {
            ca_pem: read("ca.crt").await?,
            token: read("token").await?.trim().to_owned(),
        })
    }

    /// For people.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}
