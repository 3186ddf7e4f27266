//! A private PostgreSQL in the data directory, from the PostgreSQL that is installed on this
//! machine. It listens on a Unix socket only, in a folder that only its user can enter.

use std::{
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Stdio,
};

use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use tokio::process::Command;

use crate::config::{Settings, is_root};

/// Why the private PostgreSQL does not run.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// There is no PostgreSQL on this machine.
    #[error(
        "no PostgreSQL found: install it (Debian, Ubuntu: `apt-get install postgresql`), name its programs' folder with DROVER_POSTGRES_BIN, or set DATABASE_URL"
    )]
    NotInstalled,
    /// PostgreSQL refuses to run as root, and there is nobody else to run it as.
    #[error(
        "PostgreSQL does not run as root, and there is no user `{0}`: set DROVER_POSTGRES_USER"
    )]
    NoUser(String),
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which one.
        program: &'static str,
        /// What it printed.
        output: String,
    },
    /// A file or folder could not be made or read.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A running private PostgreSQL.
pub struct Postgres {
    bin: PathBuf,
    data: PathBuf,
    socket_dir: PathBuf,
    run_as: Option<(u32, u32)>,
    user: String,
}

/// Starts it, making it first where there is none. One that still runs from before is used.
pub async fn start(settings: &Settings) -> Result<Postgres, PrivateError> {
    let base = settings.data_dir();
    let data = base.join("postgres");
    let run_as = if is_root() { Some(user_ids(&settings.postgres_user)?) } else { None };
    let postgres = Postgres {
        bin: find_bin(settings.postgres_bin.as_deref(), &data).ok_or(PrivateError::NotInstalled)?,
        socket_dir: socket_dir(&base),
        data,
        run_as,
        user: "drover".into(),
    };
    make_dir(&base, 0o755, None)?;
    make_dir(&postgres.socket_dir, 0o700, run_as)?;
    if !postgres.data.join("PG_VERSION").exists() {
        make_dir(&postgres.data, 0o700, run_as)?;
        let data = postgres.data.display().to_string();
        let args = ["-D", &data, "-U", &postgres.user, "-A", "trust", "-E", "UTF8"];
        let locale = ["--no-locale", "--no-instructions"];
        postgres.run("initdb", &[&args[..], &locale[..]].concat()).await?;
    }
    if !postgres.is_running().await {
        // The log is opened by PostgreSQL's own user.
        let log = postgres.data.join("postgres.log").display().to_string();
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c unix_socket_permissions=0700",
            postgres.socket_dir.display()
        );
        let data = postgres.data.display().to_string();
        let args = ["start", "-w", "-t", "60", "-s", "-D", &data, "-l", &log, "-o", &options];
        postgres.run("pg_ctl", &args).await?;
    }
    Ok(postgres)
}

impl Postgres {
    /// How to connect to it.
    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_dir)
            .username(&self.user)
            .database("postgres")
    }

    /// Stops it. The data stays.
    pub async fn stop(&self) -> Result<(), PrivateError> {
        let data = self.data.display().to_string();
        self.run("pg_ctl", &["stop", "-m", "fast", "-w", "-t", "30", "-s", "-D", &data]).await
    }

    async fn is_running(&self) -> bool {
        let data = self.data.display().to_string();
        self.run("pg_ctl", &["status", "-D", &data]).await.is_ok()
    }

    async fn run(&self, program: &'static str, args: &[&str]) -> Result<(), PrivateError> {
        let mut command = Command::new(self.bin.join(program));
        command.args(args).current_dir("/").stdin(Stdio::null());
        if let Some((uid, gid)) = self.run_as {
            command.uid(uid).gid(gid);
        }
        // To a file: a PostgreSQL that pg_ctl leaves running would hold a pipe open.
        let file_error =
            |source| PrivateError::File { path: "output of PostgreSQL".into(), source };
        let output = tempfile::tempfile().map_err(file_error)?;
        let (out, err) = (output.try_clone(), output.try_clone());
        command.stdout(out.map_err(file_error)?).stderr(err.map_err(file_error)?);
        let status = command
            .status()
            .await
            .map_err(|source| PrivateError::File { path: self.bin.join(program), source })?;
        if status.success() {
            return Ok(());
        }
        let text = read_start(output).map_err(file_error)?;
        Err(PrivateError::Program { program, output: text.trim().to_owned() })
    }
}

fn read_start(mut file: std::fs::File) -> std::io::Result<String> {
    use std::io::{Read, Seek};
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(4096).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The programs to use: those that made the data, else the newest.
fn find_bin(named: Option<&Path>, data: &Path) -> Option<PathBuf> {
    if let Some(named) = named {
        return Some(named.to_owned());
    }
    let by_version = |version: &str| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
    if let Ok(version) = std::fs::read_to_string(data.join("PG_VERSION"))
        && by_version(version.trim()).join("pg_ctl").exists()
    {
        return Some(by_version(version.trim()));
    }
    let newest = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .map(|version| by_version(&version.to_string()));
    newest
        .into_iter()
        .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()))
        .find(|folder| folder.join("pg_ctl").exists() && folder.join("initdb").exists())
}

/// Beside the data, unless that makes the socket's path longer than the 107 bytes that Linux
/// allows.
fn socket_dir(base: &Path) -> PathBuf {
    let beside = base.join("postgres-run");
    if beside.as_os_str().len() < 85 {
        return beside;
    }
    let hash = Sha256::digest(base.as_os_str().as_encoded_bytes());
    let name: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    std::env::temp_dir().join(format!("drover-{name}"))
}

fn make_dir(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> Result<(), PrivateError> {
    let make = || {
        if !path.exists() {
            std::fs::create_dir_all(path)?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        match owner {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    };
    make().map_err(|source| PrivateError::File { path: path.to_owned(), source })
}

fn user_ids(name: &str) -> Result<(u32, u32), PrivateError> {
    let path = PathBuf::from("/etc/passwd");
    let passwd =
        std::fs::read_to_string(&path).map_err(|source| PrivateError::File { path, source })?;
    passwd
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(())?;
            Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
        })
        .ok_or_else(|| PrivateError::NoUser(name.to_owned()))
}
