//! Where catalogs come from: the binary, a folder, a Git repository.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::read::Files;

/// The longest that reading a repository may take.
const SLOWEST_CLONE: Duration = Duration::from_secs(120);
/// The most that a clone may take on the disk, bytes.
const LARGEST_CLONE: u64 = 256 << 20;
/// The largest file of a catalog, bytes.
const LARGEST_FILE: u64 = 1 << 20;
/// The most files, and bytes in them together, of a catalog.
const MOST_FILES: usize = 20_000;
const LARGEST_CATALOG: usize = 64 << 20;

#[derive(rust_embed::RustEmbed)]
#[folder = "../charts-catalog"]
struct Builtin;

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("{path}: {error}", path = path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("The catalog is too large: at most 20,000 files and 64 MiB.")]
    TooLarge,
    #[error("The repository is too large: at most 256 MiB.")]
    TooLargeClone,
    #[error("The repository could not be read within two minutes.")]
    TooSlow,
    #[error("Git cannot be run: {0}. It must be installed on Drover's machine.")]
    NoGit(std::io::Error),
    #[error("{0}")]
    Git(String),
}

/// The catalog in the binary.
pub(super) fn builtin() -> Files {
    Builtin::iter()
        .filter_map(|path| {
            let file = Builtin::get(&path)?;
            Some((path.into_owned(), String::from_utf8(file.data.into_owned()).ok()?))
        })
        .collect()
}

/// What names a state of files that no commit names.
pub(super) fn digest(files: &Files) -> String {
    let mut hash = Sha256::new();
    for (path, text) in files {
        for part in [path, text] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The text files in a folder. Symbolic links are not followed: a catalog must not reach out of
/// itself.
pub(super) fn directory(root: &Path) -> Result<Files, SourceError> {
    let fault = |path: &Path, error| SourceError::File { path: path.to_owned(), error };
    let (mut files, mut size) = (Files::new(), 0);
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| fault(&folder, error))? {
            let entry = entry.map_err(|error| fault(&folder, error))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| fault(&path, error))?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let length = entry.metadata().map_err(|error| fault(&path, error))?.len();
            let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) else { continue };
            if !kind.is_file() || length > LARGEST_FILE {
                continue;
            }
            let bytes = std::fs::read(&path).map_err(|error| fault(&path, error))?;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            size += text.len();
            files.insert(name.to_owned(), text);
            if files.len() > MOST_FILES || size > LARGEST_CATALOG {
                return Err(SourceError::TooLarge);
            }
        }
    }
    Ok(files)
}

/// A Git repository.
#[derive(Debug)]
pub(super) struct Repository<'a> {
    pub location: &'a str,
    pub branch: Option<&'a str>,
    pub username: Option<&'a str>,
    pub secret: Option<&'a SecretString>,
    /// Remembers the keys of SSH servers from one time to the next.
    pub known_hosts: &'a Path,
}

/// Whether Drover would fetch from this address.
pub(super) fn is_location(location: &str) -> bool {
    let rest = location.strip_prefix("https://").or_else(|| location.strip_prefix("ssh://"));
    let plain = |c: char| !c.is_whitespace() && !c.is_control();
    rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        let (user, host) = host.rsplit_once('@').unwrap_or(("", host));
        // A password would be shown to everyone who may see the catalog.
        !user.contains(':') && !host.is_empty() && !host.starts_with('-')
    }) && location.chars().all(plain)
}

/// Whether this can be a branch.
pub(super) fn is_branch(branch: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+');
    (1..=200).contains(&branch.len()) && !branch.starts_with('-') && branch.chars().all(fits)
}

/// The files of a repository, and the commit that they are from.
pub(super) async fn git(repository: &Repository<'_>) -> Result<(Files, String), SourceError> {
    let scratch = tempfile::tempdir()
        .map_err(|error| SourceError::File { path: std::env::temp_dir(), error })?;
    let read = async {
        let watched = scratch.path().to_owned();
        tokio::select! {
            done = clone(repository, scratch.path()) => done,
            () = outgrown(watched) => Err(SourceError::TooLargeClone),
        }
    };
    let commit =
        tokio::time::timeout(SLOWEST_CLONE, read).await.map_err(|_| SourceError::TooSlow)??;
    let tree = scratch.path().join("tree");
    let files = tokio::task::spawn_blocking(move || directory(&tree))
        .await
        .map_err(|error| SourceError::Git(error.to_string()))??;
    Ok((files, commit))
}

async fn clone(repository: &Repository<'_>, scratch: &Path) -> Result<String, SourceError> {
    let mut clone = command(repository, scratch)?;
    clone.args(["clone", "--quiet", "--depth=1", "--single-branch", "--no-tags", "--template="]);
    if let Some(branch) = repository.branch {
        clone.args(["--branch", branch]);
    }
    clone.arg("--").arg(repository.location).arg(scratch.join("tree"));
    run(clone).await?;
    let mut head = command(repository, scratch)?;
    head.arg("-C").arg(scratch.join("tree")).args(["rev-parse", "HEAD"]);
    run(head).await
}

/// Git with nothing of the machine's own configuration, and the credentials where neither the
/// list of processes nor another server sees them.
fn command(repository: &Repository<'_>, scratch: &Path) -> Result<Command, SourceError> {
    let mut git = Command::new("git");
    git.kill_on_drop(true)
        .stdin(Stdio::null())
        .env("HOME", scratch)
        .env("LC_ALL", "C")
        .env("GIT_ALLOW_PROTOCOL", "https:ssh")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    let mut config = vec![
        ("http.followRedirects".to_owned(), "false".to_owned()),
        ("core.symlinks".to_owned(), "false".to_owned()),
        ("core.hooksPath".to_owned(), "/dev/null".to_owned()),
    ];
    let mut ssh = format!(
        "ssh -o BatchMode=yes -o ConnectTimeout=20 -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={}",
        quoted(repository.known_hosts)
    );
    if let Some(secret) = repository.secret {
        if repository.location.starts_with("https://") {
            let user = repository.username.unwrap_or("git");
            let both = STANDARD.encode(format!("{user}:{}", secret.expose_secret()));
            let server: String =
                repository.location.split('/').take(3).collect::<Vec<_>>().join("/");
            config.push((
                format!("http.{server}/.extraHeader"),
                format!("Authorization: Basic {both}"),
            ));
        } else {
            let key = scratch.join("key");
            write_key(&key, secret)
                .map_err(|error| SourceError::File { path: key.clone(), error })?;
            ssh.push_str(&format!(" -o IdentitiesOnly=yes -i {}", quoted(&key)));
        }
    }
    git.env("GIT_SSH_COMMAND", ssh).env("GIT_CONFIG_COUNT", config.len().to_string());
    for (at, (key, value)) in config.iter().enumerate() {
        git.env(format!("GIT_CONFIG_KEY_{at}"), key).env(format!("GIT_CONFIG_VALUE_{at}"), value);
    }
    Ok(git)
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn write_key(path: &Path, secret: &SecretString) -> std::io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // ssh refuses a key without its last line's end.
    writeln!(file, "{}", secret.expose_secret().trim_end())
}

async fn run(mut git: Command) -> Result<String, SourceError> {
    let output = git.output().await.map_err(SourceError::NoGit)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let reason = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("git failed");
    Err(SourceError::Git(reason.chars().take(500).collect()))
}

/// Ends when the folder has become too large.
async fn outgrown(folder: PathBuf) {
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let folder = folder.clone();
        let size = tokio::task::spawn_blocking(move || size_of(&folder)).await.unwrap_or_default();
        if size > LARGEST_CLONE {
            return;
        }
    }
}

/// What vanishes meanwhile counts nothing.
fn size_of(folder: &Path) -> u64 {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size_of(&entry.path()),
            _ => entry.metadata().map_or(0, |meta| meta.len()),
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_ssh_are_fetched_from() {
        for (location, expected) in [
            ("https://git.example.com/apps.git", true),
            ("ssh://git@git.example.com/apps.git", true),
            ("https://user:secret@git.example.com/apps.git", false),
            ("http://git.example.com/apps.git", false),
            ("file:///etc", false),
            ("ext::sh -c id", false),
            ("ssh://-oProxyCommand=id/x", false),
            ("https://", false),
        ] {
            assert_eq!(is_location(location), expected, "{location}");
        }
        assert!(is_branch("release/1.0") && !is_branch("--upload-pack=id") && !is_branch(""));
    }

    #[test]
    fn links_are_not_followed() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("catalog.yaml"), "name: Test")?;
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link"))?;
        let files = directory(folder.path()).unwrap_or_default();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["catalog.yaml"]);
        Ok(())
    }
}
