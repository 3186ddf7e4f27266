//! Commands in containers: real processes, each container in a folder of its own that is its root
//! where busybox and `chroot` are there, and its working folder elsewhere.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tempfile::TempDir;
use tokio::process::Command;

use super::Containers;

/// The programs that busybox stands for.
const APPLETS: &[&str] = &[
    "sh",
    "ash",
    "cat",
    "cp",
    "date",
    "dd",
    "df",
    "du",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "grep",
    "head",
    "hostname",
    "id",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mv",
    "nc",
    "nproc",
    "printenv",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "sleep",
    "sort",
    "stat",
    "stty",
    "tail",
    "tar",
    "tee",
    "test",
    "touch",
    "tr",
    "true",
    "tty",
    "uname",
    "wc",
    "which",
    "whoami",
    "xargs",
    "yes",
    "awk",
    "basename",
    "dirname",
    "cut",
    "md5sum",
    "sha256sum",
    "trap",
];

fn busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"].iter().map(PathBuf::from).find(|path| path.exists())
}

fn make_files(hostname: &str) -> std::io::Result<TempDir> {
    let folder = TempDir::with_prefix("drover-pod-")?;
    let root = folder.path();
    for name in ["bin", "etc", "tmp", "root", "usr", "var", "dev", "proc", "home"] {
        std::fs::create_dir_all(root.join(name))?;
    }
    std::fs::write(root.join("etc/hostname"), format!("{hostname}\n"))?;
    std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    std::fs::write(root.join("etc/group"), "root:x:0:\n")?;
    std::fs::write(root.join("dev/null"), "")?;
    if let Some(busybox) = busybox() {
        let inside = root.join("bin/busybox");
        if std::fs::hard_link(&busybox, &inside).is_err() {
            std::fs::copy(&busybox, &inside)?;
        }
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet))?;
        }
    }
    Ok(folder)
}

/// The folder of a container; nothing, if it does not run or none can be made.
pub async fn folder(containers: &Containers, pod: &str, name: &str, host: &str) -> Option<PathBuf> {
    let files = containers.files(pod, name)?;
    let folder = files.get_or_init(|| async { make_files(host).ok() }).await;
    folder.as_ref().map(|folder| folder.path().to_owned())
}

/// Whether a program is in the image.
pub fn is_there(root: &Path, program: &str) -> bool {
    let program = program.trim_start_matches('/');
    let inside = root.join(program);
    if program.contains('/') {
        return inside.exists()
            || program.starts_with("usr/bin/")
                && root.join("bin").join(program.trim_start_matches("usr/bin/")).exists();
    }
    if busybox().is_some() {
        root.join("bin").join(program).exists()
    } else {
        APPLETS.contains(&program)
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A command in a container, not yet started. It ends with what holds it.
pub fn command(
    root: &Path,
    words: &[String],
    environment: &[(String, String)],
    tty: bool,
) -> Command {
    let chroot = busybox().is_some();
    let mut line: Vec<String> = Vec::new();
    if chroot {
        line.extend(["chroot".to_owned(), root.to_string_lossy().into_owned()]);
    }
    line.extend(words.iter().cloned());
    if tty && Path::new("/usr/bin/script").exists() {
        let text: Vec<_> = line.iter().map(|word| quoted(word)).collect();
        line = ["/usr/bin/script", "-q", "-e", "-f", "-c"].map(str::to_owned).to_vec();
        line.extend([text.join(" "), "/dev/null".to_owned()]);
    }
    let mut command = Command::new(&line[0]);
    command
        .args(&line[1..])
        .current_dir(root)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(0);
    if tty {
        command.env("TERM", "xterm");
    }
    command
}
