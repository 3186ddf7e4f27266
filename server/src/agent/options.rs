//! The command line of the agent.

use std::{io, path::PathBuf};

use clap::Args;
use secrecy::SecretString;

use super::{InCluster, Serves, in_cluster};
use crate::tunnel::dial::{ServerDialer, Trust, parse_fingerprint, proxy_of_environment};

/// Where the agent keeps who it is.
pub const STATE_DIR: &str = "/var/lib/drover-agent";

/// How to run the agent.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The server's address, e.g. https://drover.example.com. Kept after the first time.
    #[arg(long, env = "DROVER_AGENT_SERVER")]
    pub server: Option<String>,

    /// A registration token; needed the first time only.
    #[arg(long, env = "DROVER_AGENT_TOKEN", hide_env_values = true)]
    pub token: Option<SecretString>,

    /// The host's name in Drover. Default: the machine's own.
    #[arg(long, env = "DROVER_AGENT_NAME")]
    pub name: Option<String>,

    /// A label of the host, for placing containers; may be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub labels: Vec<(String, String)>,

    /// Trust only the authorities in this file (PEM) to sign the server's certificate.
    #[arg(long, env = "DROVER_AGENT_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// Trust only the server's certificate with this SHA-256, whoever has signed it.
    #[arg(long, env = "DROVER_AGENT_FINGERPRINT", value_parser = parse_fingerprint)]
    pub fingerprint: Option<[u8; 32]>,

    /// The HTTP proxy on the way to the server. Default: as HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and
    /// NO_PROXY say.
    #[arg(long, env = "DROVER_AGENT_PROXY", hide_env_values = true)]
    pub proxy: Option<String>,

    /// The Docker Engine's socket.
    #[arg(long, env = "DROVER_AGENT_DOCKER_SOCKET", default_value = "/var/run/docker.sock")]
    pub docker_socket: PathBuf,

    /// Give the server the way to the Kubernetes cluster that this pod is in, and not to Docker.
    #[arg(long, env = "DROVER_AGENT_KUBERNETES")]
    pub kubernetes: bool,

    /// Where the pod's service account is mounted.
    #[arg(long, hide = true, default_value = in_cluster::ACCOUNT)]
    pub service_account_dir: PathBuf,

    /// A file that says who the agent is, instead of the one in the state folder. The manifest of a
    /// cluster brings it.
    #[arg(long, env = "DROVER_AGENT_IDENTITY_FILE")]
    pub identity_file: Option<PathBuf>,

    /// Where the agent keeps who it is.
    #[arg(long, env = "DROVER_AGENT_STATE_DIR", default_value = STATE_DIR)]
    pub state_dir: PathBuf,

    /// What to log, e.g. `info` or `debug`.
    #[arg(long, env = "DROVER_AGENT_LOG", default_value = "info")]
    pub log: String,

    /// Say that this is another version: for tests of servers with older and newer agents.
    #[arg(long, hide = true)]
    pub pretend_version: Option<String>,

    /// Speak only this protocol: for the same tests.
    #[arg(long, hide = true)]
    pub pretend_protocol: Option<u32>,
}

impl Options {
    /// What the agent gives its server the way to.
    ///
    /// # Errors
    /// In words, when there is no such thing here.
    pub fn serves(&self) -> io::Result<Serves> {
        Ok(match self.kubernetes {
            true => Serves::Kubernetes(InCluster::of_process(&self.service_account_dir)?),
            false => Serves::Docker(self.docker_socket.clone()),
        })
    }

    /// The Docker Engine's socket, of an agent on a host.
    pub fn docker_socket(&self) -> Option<PathBuf> {
        (!self.kubernetes).then(|| self.docker_socket.clone())
    }

    /// The way to the server.
    ///
    /// # Errors
    /// In words, when it cannot be used.
    pub fn dialer(&self, server: &str) -> io::Result<ServerDialer> {
        let ca = match &self.ca_file {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                io::Error::new(error.kind(), format!("--ca-file {}: {error}", path.display()))
            })?),
            None => None,
        };
        let proxy = self.proxy.clone().or_else(|| proxy_of_environment(server));
        ServerDialer::new(server, &Trust { ca, fingerprint: self.fingerprint }, proxy.as_deref())
    }

    /// The same as arguments, for a start anew. Without the token, which is used up, and without
    /// what pretends.
    pub fn arguments(&self) -> Vec<String> {
        let mut all = vec!["agent".to_owned()];
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                all.extend([name.to_owned(), value]);
            }
        };
        let path = |path: &PathBuf| path.display().to_string();
        add("--server", self.server.clone());
        add("--ca-file", self.ca_file.as_ref().map(path));
        add(
            "--fingerprint",
            self.fingerprint.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        );
        add("--docker-socket", Some(path(&self.docker_socket)));
        add("--state-dir", Some(path(&self.state_dir)));
        add("--log", Some(self.log.clone()));
        all
    }
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "a label is KEY=VALUE".to_owned())
}
