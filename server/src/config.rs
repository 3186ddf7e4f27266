//! The command line and the settings. Every setting is a flag and an environment variable.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;

use crate::agent;

/// Containers on your own machines: hosts, stacks, an app catalog, roles.
#[derive(Debug, Parser)]
#[command(name = "drover", version, about, long_about = None)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `drover` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    Serve(Box<Settings>),
    /// Give a local user a new password and end the user's sessions. Reads the password from
    /// standard input, or makes one and prints it.
    ResetPassword {
        /// The user's login.
        login: String,
        /// Make a password rather than reading one.
        #[arg(long)]
        generate: bool,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Work with catalogs.
    Catalog {
        /// What to do.
        #[command(subcommand)]
        command: CatalogCommand,
    },
    /// Run the agent of this host, which connects it to a server; or see how it stands.
    Agent(Box<AgentArgs>),
    /// Print the OpenAPI document.
    Openapi,
}

/// `drover agent`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AgentArgs {
    /// What to do; without it: register if need be, and run.
    #[command(subcommand)]
    pub command: Option<AgentCommand>,
    /// How to run.
    #[command(flatten)]
    pub options: agent::Options,
}

/// What `drover agent` can do.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Register this machine as a host, and end.
    Register(Box<agent::Options>),
    /// Say how the agent stands, and what is wrong. Ends with 0 when it is connected.
    Status {
        /// The agent's folder.
        #[arg(long, env = "DROVER_AGENT_STATE_DIR", default_value = agent::STATE_DIR)]
        state_dir: PathBuf,
    },
}

/// What `drover catalog` can do.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Check a catalog's files; prints each problem with its file and line.
    Lint {
        /// The catalog's folder.
        directory: PathBuf,
    },
}

/// The server's settings.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where to listen for HTTP.
    #[arg(long, env = "DROVER_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// The PostgreSQL database, `postgres://…`. Without it a private PostgreSQL is started in the
    /// data directory, from the PostgreSQL that is installed on this machine.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<SecretString>,

    /// The most connections to hold to the database.
    #[arg(long, env = "DROVER_DATABASE_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=500))]
    pub database_connections: u32,

    /// Where the private PostgreSQL and the generated encryption key live. Default:
    /// /var/lib/drover for root, ~/.local/share/drover for others.
    #[arg(long, env = "DROVER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,

    /// The folder of PostgreSQL's programs, for the private PostgreSQL. Default: the newest under
    /// /usr/lib/postgresql, else the search path.
    #[arg(long, env = "DROVER_POSTGRES_BIN")]
    pub postgres_bin: Option<PathBuf>,

    /// The user that the private PostgreSQL runs as when Drover runs as root.
    #[arg(long, env = "DROVER_POSTGRES_USER", default_value = "postgres")]
    pub postgres_user: String,

    /// 32 bytes in base64: encrypts secrets at rest. Required with DATABASE_URL; without it one
    /// is made in the data directory. Keep a copy: without it the stored secrets are lost.
    #[arg(long, env = "DROVER_ENCRYPTION_KEY", hide_env_values = true)]
    pub encryption_key: Option<SecretString>,

    /// The address that people open, e.g. https://drover.example.com. With https, cookies are
    /// sent over TLS only.
    #[arg(long, env = "DROVER_PUBLIC_URL", value_parser = parse_public_url)]
    pub public_url: Option<String>,

    /// Addresses of reverse proxies whose X-Forwarded-For is believed, separated by commas.
    #[arg(long, env = "DROVER_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<std::net::IpAddr>,

    /// The Docker socket that becomes the first host at the first start, where it is there.
    #[arg(long, env = "DROVER_DOCKER_SOCKET", default_value = "/var/run/docker.sock")]
    pub docker_socket: PathBuf,

    /// Where the other replicas on the same database reach this one: HOST:PORT, or https://HOST:PORT
    /// where a proxy in front of it does TLS. Default: where it listens or, when that is every
    /// address, its address on the way to the database.
    #[arg(long, env = "DROVER_REPLICA_ADDRESS")]
    pub replica_address: Option<String>,

    /// A folder with agents for other architectures than the server's own, named `drover-ARCH`
    /// as `uname -m` says it, e.g. drover-aarch64.
    #[arg(long, env = "DROVER_AGENT_DIR")]
    pub agent_dir: Option<PathBuf>,

    /// A folder with one more catalog, read at each start.
    #[arg(long, env = "DROVER_CATALOG_DIR")]
    pub catalog_dir: Option<PathBuf>,

    /// Also write the one-time set-up link into this file (mode 0600).
    #[arg(long, env = "DROVER_SETUP_LINK_FILE")]
    pub setup_link_file: Option<PathBuf>,

    /// A browser session ends after this many hours without use.
    #[arg(long, env = "DROVER_SESSION_IDLE_HOURS", default_value_t = 72, value_parser = clap::value_parser!(u32).range(1..=8760))]
    pub session_idle_hours: u32,

    /// What to log, e.g. `info` or `drover_server=debug,info`.
    #[arg(long, env = "DROVER_LOG", default_value = "info")]
    pub log: String,

    /// How to log.
    #[arg(long, env = "DROVER_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

fn parse_public_url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or("must begin with http:// or https://")?;
    let host = rest.trim_end_matches('/');
    if host.is_empty() || host.contains('/') {
        return Err("must be a scheme and a host, with no path".into());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

impl Settings {
    /// The data directory, with its default filled in.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| {
            let home = std::env::var_os("HOME").map(PathBuf::from);
            match (is_root(), std::env::var_os("XDG_DATA_HOME"), home) {
                (true, ..) => "/var/lib/drover".into(),
                (_, Some(data), _) => PathBuf::from(data).join("drover"),
                (_, None, Some(home)) => home.join(".local/share/drover"),
                _ => "drover-data".into(),
            }
        })
    }

    /// The address that people open.
    pub fn public_url(&self) -> String {
        self.public_url.clone().unwrap_or_else(|| {
            let host = if self.listen.ip().is_unspecified() || self.listen.ip().is_loopback() {
                "localhost".to_owned()
            } else {
                self.listen.ip().to_string()
            };
            format!("http://{host}:{}", self.listen.port())
        })
    }

    /// Whether people come over TLS, so that cookies must not go without it.
    pub fn secure(&self) -> bool {
        self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}
