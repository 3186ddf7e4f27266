//! Where catalogs come from: built in, a folder on the server's disk, a Git repository. Each gives
//! a [`Snapshot`].

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use rust_embed::RustEmbed;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command};

use super::read::{self, Files};

/// The most that a catalog's files may have together, bytes.
const LARGEST_CATALOG: u64 = 64 << 20;
/// The most that a repository may need on disk while it is fetched, bytes.
const LARGEST_FETCH: u64 = 512 << 20;
const MOST_FILES: usize = 50_000;
/// For one fetch.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// How a repository may be reached. `file` and `ext` would read the server's disk or run programs.
pub const PROTOCOLS: &str = "https:ssh";

#[derive(RustEmbed)]
#[folder = "../charts-catalog"]
struct Builtin;

/// The files of a source at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The files that a catalog has a use for.
    pub files: Files,
    /// A Git commit, or `sha256:…` of the files.
    pub commit: String,
    /// The host keys that SSH saw, to be checked the next time.
    pub host_keys: Option<String>,
}

impl Snapshot {
    /// Files without a commit of their own.
    pub fn of(files: Files) -> Self {
        let mut hash = Sha256::new();
        for (path, bytes) in &files {
            hash.update((path.len() as u64).to_le_bytes());
            hash.update(path.as_bytes());
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { files, commit: format!("sha256:{digest}"), host_keys: None }
    }
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It is not there, or may not be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which file or folder.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is too large.
    #[error("the catalog is too large: its files may have 64 MiB together, a repository 512 MiB")]
    TooLarge,
    /// Git says no.
    #[error("git: {0}")]
    Git(String),
    /// Git cannot be started.
    #[error("cannot start git (is it installed?): {0}")]
    Start(std::io::Error),
    /// It does not answer.
    #[error("the repository has not answered within 120 seconds")]
    TimedOut,
}

/// The built-in catalog.
pub fn builtin() -> Files {
    Builtin::iter()
        .filter(|path| read::wants(path))
        .filter_map(|path| Some((path.to_string(), Builtin::get(&path)?.data.into_owned())))
        .collect()
}

/// A folder on the server's disk. Symbolic links are not followed: they could lead out of it.
pub fn directory(root: &Path) -> Result<Files, SourceError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| SourceError::File { path, source }
    };
    let mut files = Files::new();
    let mut folders = vec![(root.to_owned(), String::new())];
    let mut total = 0;
    while let Some((folder, prefix)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(failed(&folder))? {
            let entry = entry.map_err(failed(&folder))?;
            // Names that are no UTF-8 are none that a catalog has.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(failed(&entry.path()))?;
            if kind.is_dir() && !name.starts_with('.') && path.matches('/').count() < 2 {
                folders.push((entry.path(), format!("{path}/")));
            } else if kind.is_file() && read::wants(&path) {
                total += entry.metadata().map_err(failed(&entry.path()))?.len();
                if total > LARGEST_CATALOG || files.len() >= MOST_FILES {
                    return Err(SourceError::TooLarge);
                }
                let bytes = std::fs::read(entry.path()).map_err(failed(&entry.path()))?;
                files.insert(path, bytes);
            }
        }
    }
    Ok(files)
}

/// A Git repository.
#[derive(Clone)]
pub struct GitSource {
    /// `https://…` or `ssh://…`.
    pub location: String,
    /// The branch; absent: the repository's own default.
    pub branch: Option<String>,
    /// For https.
    pub username: Option<String>,
    /// For https: the password or token; for ssh: the private key.
    pub secret: Option<SecretString>,
    /// The host keys that SSH must see, once they are known.
    pub host_keys: Option<String>,
}

/// Fetches the newest commit, and nothing of its history. `protocols` as Git's
/// `GIT_ALLOW_PROTOCOL` has them: [`PROTOCOLS`] but in tests.
pub async fn git(source: &GitSource, protocols: &str) -> Result<Snapshot, SourceError> {
    let folder = tempfile::Builder::new().prefix("drover-catalog-").tempdir();
    let folder = folder.map_err(|source| SourceError::File { path: "/tmp".into(), source })?;
    let git = Git { folder, source, protocols };
    tokio::time::timeout(TIME_LIMIT, git.snapshot()).await.map_err(|_| SourceError::TimedOut)?
}

struct Git<'a> {
    /// Holds the repository, and SSH's key and known hosts; goes with this.
    folder: TempDir,
    source: &'a GitSource,
    protocols: &'a str,
}

impl Git<'_> {
    async fn snapshot(&self) -> Result<Snapshot, SourceError> {
        self.write_ssh_files().await?;
        self.run(&["init", "--quiet", "--bare", "."], b"").await?;
        self.fetch().await?;
        let commit = self.run(&["rev-parse", "--verify", "FETCH_HEAD^{commit}"], b"").await?;
        let commit = String::from_utf8_lossy(&commit).trim().to_owned();
        let wanted = self.list(&commit).await?;
        let files = self.read(&wanted).await?;
        let host_keys = tokio::fs::read_to_string(self.path("known_hosts")).await.ok();
        Ok(Snapshot { files, commit, host_keys: host_keys.filter(|keys| !keys.trim().is_empty()) })
    }

    async fn fetch(&self) -> Result<(), SourceError> {
        let wanted = self
            .source
            .branch
            .as_ref()
            .map_or_else(|| "HEAD".to_owned(), |branch| format!("refs/heads/{branch}"));
        let arguments = [
            "fetch",
            "--quiet",
            "--depth=1",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-commit-graph",
            "--",
            &self.source.location,
            &wanted,
        ];
        tokio::select! {
            fetched = self.run(&arguments, b"") => fetched.map(drop),
            () = self.grows_too_large() => Err(SourceError::TooLarge),
        }
    }

    /// Ends when the repository on disk is larger than it may be.
    async fn grows_too_large(&self) {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let folder = self.folder.path().to_owned();
            let size = tokio::task::spawn_blocking(move || size_of(&folder)).await;
            if size.is_ok_and(|size| size > LARGEST_FETCH) {
                return;
            }
        }
    }

    /// Path and object of each file that a catalog has a use for.
    async fn list(&self, commit: &str) -> Result<Vec<(String, String)>, SourceError> {
        let listed = self.run(&["ls-tree", "-r", "-l", "-z", "--full-tree", commit], b"").await?;
        let mut wanted = Vec::new();
        let mut total = 0;
        // MODE SP TYPE SP OBJECT SP* SIZE TAB PATH NUL
        for entry in listed.split(|byte| *byte == 0) {
            let Ok(entry) = std::str::from_utf8(entry) else { continue };
            let Some((facts, path)) = entry.split_once('\t') else { continue };
            let mut facts = facts.split_ascii_whitespace();
            let (mode, object) = (facts.next(), facts.nth(1));
            let size: u64 = facts.next().and_then(|size| size.parse().ok()).unwrap_or(0);
            // Neither symbolic links (120000) nor submodules (160000).
            if !mode.is_some_and(|mode| mode.starts_with("100")) || !read::wants(path) {
                continue;
            }
            total += size;
            if total > LARGEST_CATALOG || wanted.len() >= MOST_FILES {
                return Err(SourceError::TooLarge);
            }
            wanted.extend(object.map(|object| (path.to_owned(), object.to_owned())));
        }
        Ok(wanted)
    }

    async fn read(&self, wanted: &[(String, String)]) -> Result<Files, SourceError> {
        let mut asked = String::new();
        for (_, object) in wanted {
            asked.push_str(object);
            asked.push('\n');
        }
        let answered = self.run(&["cat-file", "--batch"], asked.as_bytes()).await?;
        let mut rest = answered.as_slice();
        let mut files = Files::new();
        let odd = || SourceError::Git("cat-file answers what cannot be read".into());
        for (path, _) in wanted {
            // OBJECT SP TYPE SP SIZE LF CONTENT LF
            let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(odd)?;
            let head = std::str::from_utf8(&rest[..end]).map_err(|_| odd())?;
            let size: usize =
                head.rsplit(' ').next().and_then(|size| size.parse().ok()).ok_or_else(odd)?;
            let content = rest.get(end + 1..end + 1 + size).ok_or_else(odd)?;
            files.insert(path.clone(), content.to_owned());
            rest = rest.get(end + 2 + size..).ok_or_else(odd)?;
        }
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn write_ssh_files(&self) -> Result<(), SourceError> {
        if !self.source.location.starts_with("ssh://") {
            return Ok(());
        }
        let mut key = self.source.secret.as_ref().map_or("", |key| key.expose_secret()).to_owned();
        // OpenSSH refuses a key without its last line break.
        key.push('\n');
        for (name, content) in
            [("key", key.as_str()), ("known_hosts", self.source.host_keys.as_deref().unwrap_or(""))]
        {
            let path = self.path(name);
            let failed = |source| SourceError::File { path: path.display().to_string(), source };
            let mut file = tokio::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .await
                .map_err(failed)?;
            file.write_all(content.as_bytes()).await.map_err(failed)?;
            file.flush().await.map_err(failed)?;
        }
        Ok(())
    }

    async fn run(&self, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, SourceError> {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(SourceError::Start)?;
        let stdin = child.stdin.take();
        let write = async {
            if let Some(mut stdin) = stdin {
                // A git that has ended already says why itself.
                let _ = stdin.write_all(input).await;
            }
        };
        let ((), ended) = tokio::join!(write, child.wait_with_output());
        let Output { status, stdout, stderr } = ended.map_err(SourceError::Start)?;
        if status.success() { Ok(stdout) } else { Err(SourceError::Git(reason(&stderr))) }
    }

    /// Git without anything of the machine's own settings.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.current_dir(self.folder.path()).env_clear();
        for name in [
            "PATH",
            "HTTPS_PROXY",
            "https_proxy",
            "NO_PROXY",
            "no_proxy",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "GIT_SSL_CAINFO",
            "GIT_SSL_CAPATH",
        ] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("HOME", self.folder.path())
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ALLOW_PROTOCOL", self.protocols)
            .env("GIT_SSH_COMMAND", self.ssh_command())
            .args(["-c", "core.hooksPath=/dev/null", "-c", "credential.helper="])
            // Only the server that the administrator named is asked, and gets the password:
            // another's redirection could lead to any address that this machine reaches.
            .args(["-c", "http.followRedirects=false", "-c", "gc.auto=0"])
            .args(["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30"]);
        if let Some(secret) = &self.source.secret
            && self.source.location.starts_with("https://")
        {
            // By the environment: arguments can be read by everybody on the machine.
            command
                .env("DROVER_GIT_USERNAME", self.source.username.as_deref().unwrap_or("git"))
                .env("DROVER_GIT_SECRET", secret.expose_secret())
                .arg("-c")
                .arg(
                    "credential.helper=!f() { printf 'username=%s\\npassword=%s\\n' \
                     \"$DROVER_GIT_USERNAME\" \"$DROVER_GIT_SECRET\"; }; f",
                );
        }
        command.args(arguments);
        command
    }

    fn ssh_command(&self) -> String {
        let quoted = |name| self.path(name).display().to_string().replace('\'', r"'\''");
        format!(
            "ssh -F /dev/null -i '{}' -o UserKnownHostsFile='{}' -o GlobalKnownHostsFile=/dev/null \
             -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=accept-new \
             -o ConnectTimeout=20",
            quoted("key"),
            quoted("known_hosts")
        )
    }
}

fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size_of(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// What Git says, short enough for a page.
fn reason(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let said: Vec<_> = text
        .lines()
        .map(|line| line.trim_start_matches("fatal: ").trim_start_matches("error: ").trim())
        .filter(|line| !line.is_empty())
        .collect();
    let text: String = said.join("; ").chars().take(500).collect();
    if text.is_empty() { "it failed without saying why".into() } else { text }
}

/// What is wrong with a repository's address, if anything.
pub fn check_location(location: &str) -> Option<&'static str> {
    if location.chars().any(|c| c.is_whitespace() || c.is_control()) || location.len() > 500 {
        return Some("An address has no spaces and at most 500 characters.");
    }
    let Some((scheme, rest)) = location.split_once("://") else {
        return Some("Write https://HOST/PATH or ssh://USER@HOST/PATH.");
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
    if !matches!(scheme, "https" | "ssh") {
        Some("A repository is reached by https:// or ssh://.")
    } else if host.is_empty() || host.starts_with('-') || !rest.contains('/') {
        Some("The host or the path is missing.")
    } else if user
        .is_some_and(|user| scheme == "https" || user.contains(':') || user.starts_with('-'))
    {
        Some(
            "User name and password have fields of their own: they do not belong into the address.",
        )
    } else {
        None
    }
}

/// Scheme and host of an address: who would get the password.
pub fn server_of(location: &str) -> &str {
    let after = location.find("://").map_or(0, |at| at + 3);
    location[after..].find('/').map_or(location, |end| &location[..after + end])
}

/// Whether this is the name of a branch.
pub fn is_branch(name: &str) -> bool {
    (1..=200).contains(&name.len())
        && !name.starts_with(['-', '/', '.'])
        && !name.ends_with(['/', '.'])
        && !name.contains("..")
        && !name.contains("//")
        && !name.ends_with(".lock")
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_./+#@".contains(c))
        && !name.contains("@{")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for (location, fits) in [
            ("https://git.example.com/apps.git", true),
            ("ssh://git@git.example.com:2222/apps.git", true),
            ("http://git.example.com/apps.git", false),
            ("file:///etc", false),
            ("ext::sh -c id", false),
            ("git@git.example.com:apps.git", false),
            ("https://user:secret@git.example.com/apps.git", false),
            ("https:///apps.git", false),
            ("https://git.example.com", false),
            ("ssh://-oProxyCommand=id/x", false),
            ("ssh://git:pw@host/x", false),
            ("https://host/a b", false),
        ] {
            assert_eq!(check_location(location).is_none(), fits, "{location}");
        }
        assert_eq!(server_of("https://a.example:8443/x/y"), "https://a.example:8443");
        for (branch, fits) in [
            ("main", true),
            ("release/1.x", true),
            ("-upload-pack=x", false),
            ("a..b", false),
            ("a b", false),
            ("", false),
            ("x.lock", false),
        ] {
            assert_eq!(is_branch(branch), fits, "{branch}");
        }
    }

    #[test]
    fn a_folder_is_read_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("app/1.0.0/deep")).unwrap();
        std::fs::create_dir_all(root.join(".git")).unwrap();
        for path in [
            "catalog.yaml",
            "app/template.yaml",
            "app/1.0.0/compose.yaml",
            "app/1.0.0/deep/x",
            ".git/config",
        ] {
            std::fs::write(root.join(path), "x").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", root.join("app/README.md")).unwrap();
        let files = directory(root).unwrap();
        let paths: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(paths, ["app/1.0.0/compose.yaml", "app/template.yaml", "catalog.yaml"]);
        assert_eq!(Snapshot::of(files.clone()).commit, Snapshot::of(files).commit);
        assert!(directory(&root.join("gone")).is_err());
    }

    async fn run_git(folder: &Path, arguments: &[&str]) {
        let done = Command::new("git")
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
            .args(arguments)
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .await
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    #[tokio::test]
    async fn a_repository_is_fetched_by_branch() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        run_git(root, &["init", "-q", "-b", "main"]).await;
        std::fs::create_dir_all(root.join("app/1.0.0")).unwrap();
        std::fs::write(root.join("app/template.yaml"), "name: One\n").unwrap();
        std::fs::write(root.join("app/1.0.0/compose.yaml"), "a: \0binary\n").unwrap();
        std::fs::write(root.join("other.txt"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("app/README.md")).unwrap();
        run_git(root, &["add", "-A"]).await;
        run_git(root, &["commit", "-q", "-m", "one"]).await;
        run_git(root, &["checkout", "-q", "-b", "next"]).await;
        std::fs::write(root.join("app/template.yaml"), "name: Two\n").unwrap();
        run_git(root, &["commit", "-q", "-a", "-m", "two"]).await;
        run_git(root, &["checkout", "-q", "main"]).await;
        let mut source = GitSource {
            location: format!("file://{}", root.display()),
            branch: None,
            username: None,
            secret: None,
            host_keys: None,
        };
        let one = git(&source, "file").await.unwrap();
        assert_eq!(one.files.len(), 2, "{:?}", one.files.keys());
        assert_eq!(one.files["app/template.yaml"], b"name: One\n");
        assert_eq!(one.files["app/1.0.0/compose.yaml"], b"a: \0binary\n");
        assert_eq!(one.commit.len(), 40);
        source.branch = Some("next".into());
        let two = git(&source, "file").await.unwrap();
        assert_eq!(two.files["app/template.yaml"], b"name: Two\n");
        source.branch = Some("gone".into());
        assert!(matches!(git(&source, "file").await, Err(SourceError::Git(_))));
        // As the server calls it, the disk is out of reach.
        let refused = git(&source, PROTOCOLS).await.err().map(|error| error.to_string());
        assert!(refused.as_ref().is_some_and(|why| why.contains("not allowed")), "{refused:?}");
    }
}
