//! How the agent gets onto a machine: the install script, the binary (which is this server's own),
//! and the same as an image that needs no registry.

use std::{
    collections::HashMap,
    io,
    path::{Path as FilePath, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
    time::SystemTime,
};

use askama::Template;
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use drover_api::AgentCommands;
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;

use super::version::VERSION;
use crate::{
    app::App,
    error::{Error, Result},
    extract::Path,
};

/// The routes of this part. They are files, not API, so OpenAPI does not list them.
pub fn router() -> Router<App> {
    Router::new()
        .route("/agent/install.sh", get(script))
        .route("/agent/{architecture}/drover", get(binary))
        .route("/agent/{architecture}/drover.sha256", get(checksum))
        .route("/agent/image.tar", get(image))
}

#[derive(Template)]
#[template(path = "agent_install.sh", escape = "none")]
struct Script<'a> {
    server: &'a str,
    version: &'a str,
    /// By architecture.
    checksums: Vec<(String, String)>,
}

/// What to paste on a machine.
pub(super) fn commands(server: &str, token: &str) -> AgentCommands {
    let arch = std::env::consts::ARCH;
    AgentCommands {
        script: format!("curl -fsSL {server}/agent/install.sh | sudo sh -s -- --token {token}"),
        docker: format!(
            "curl -fsSL {server}/agent/image.tar \\\n  \
             | docker import --change 'ENTRYPOINT [\"/drover\", \"agent\"]' - drover-agent:{VERSION} \\\n\
             && docker run --detach --name drover-agent --restart unless-stopped \\\n  \
             --network host --uts host \\\n  \
             --volume /var/run/docker.sock:/var/run/docker.sock \\\n  \
             --volume drover-agent:/var/lib/drover-agent \\\n  \
             drover-agent:{VERSION} --server {server} --token {token}"
        ),
        binary: format!(
            "curl -fsSLo drover {server}/agent/{arch}/drover\n\
             echo \"$(curl -fsSL {server}/agent/{arch}/drover.sha256)  drover\" | sha256sum --check\n\
             chmod +x drover\n\
             sudo ./drover agent --server {server} --token {token}"
        ),
    }
}

async fn script(State(app): State<App>) -> Result<Response> {
    let mut checksums = Vec::new();
    for (architecture, path) in binaries(&app) {
        match hashed(path).await {
            Ok(hash) => checksums.push((architecture, hash)),
            Err(error) => tracing::warn!(%architecture, %error, "cannot read an agent's binary"),
        }
    }
    let server = app.settings.public_url();
    let script = Script { server: &server, version: VERSION, checksums };
    let text = script.render().map_err(Error::internal)?;
    Ok(([(header::CONTENT_TYPE, "text/x-shellscript; charset=utf-8")], text).into_response())
}

/// The binaries that this server can give, by architecture.
fn binaries(app: &App) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    if let Ok(own) = std::env::current_exe() {
        found.push((std::env::consts::ARCH.to_owned(), own));
    }
    let others = app.settings.agent_dir.as_ref().and_then(|dir| std::fs::read_dir(dir).ok());
    for entry in others.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let architecture = name.to_str().and_then(|name| name.strip_prefix("drover-"));
        if let Some(architecture) = architecture.filter(|name| is_architecture(name)) {
            found.push((architecture.to_owned(), entry.path()));
        }
    }
    found
}

fn is_architecture(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn of_architecture(app: &App, architecture: &str) -> Result<PathBuf> {
    binaries(app)
        .into_iter()
        .find(|(name, _)| name == architecture)
        .map(|(_, path)| path)
        .ok_or_else(|| {
            Error::new(
                StatusCode::NOT_FOUND,
                "no_agent_for_architecture",
                format!(
                    "This server has no agent for {architecture}: put drover-{architecture} into its folder of agents (DROVER_AGENT_DIR)."
                ),
            )
        })
}

async fn binary(State(app): State<App>, Path(architecture): Path<String>) -> Result<Response> {
    let path = of_architecture(&app, &architecture)?;
    let file = tokio::fs::File::open(&path).await.map_err(Error::internal)?;
    let length = file.metadata().await.map_err(Error::internal)?.len();
    let mut response =
        Body::from_stream(ReaderStream::with_capacity(file, 64 << 10)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

async fn checksum(State(app): State<App>, Path(architecture): Path<String>) -> Result<String> {
    let path = of_architecture(&app, &architecture)?;
    hashed(path).await.map_err(Error::internal)
}

/// The SHA-256 of a file, in hex. Kept for as long as the file is not changed.
async fn hashed(path: PathBuf) -> io::Result<String> {
    type Known = Mutex<HashMap<PathBuf, (SystemTime, u64, String)>>;
    static KNOWN: LazyLock<Known> = LazyLock::new(Mutex::default);
    let meta = tokio::fs::metadata(&path).await?;
    let (changed, length) = (meta.modified()?, meta.len());
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
    if let Some((at, size, hash)) = known
        && (at, size) == (changed, length)
    {
        return Ok(hash);
    }
    let file = path.clone();
    let hash = tokio::task::spawn_blocking(move || digest(&mut std::fs::File::open(file)?))
        .await
        .map_err(io::Error::other)??;
    KNOWN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(path, (changed, length, hash.clone()));
    Ok(hash)
}

/// The SHA-256 of what a file has from here on, in hex.
pub(super) fn digest(file: &mut std::fs::File) -> io::Result<String> {
    use io::Read;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 256 << 10];
    loop {
        match file.read(&mut block)? {
            0 => break,
            n => hasher.update(&block[..n]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A root file system for `docker import`: this server's binary with the libraries that it has
/// loaded, and the authorities that sign certificates.
async fn image() -> Result<Response> {
    let archive = tokio::task::spawn_blocking(pack).await.map_err(Error::internal)?;
    let mut archive = tokio::fs::File::from_std(archive.map_err(Error::internal)?);
    tokio::io::AsyncSeekExt::rewind(&mut archive).await.map_err(Error::internal)?;
    let length = archive.metadata().await.map_err(Error::internal)?.len();
    let mut response =
        Body::from_stream(ReaderStream::with_capacity(archive, 64 << 10)).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    Ok(response)
}

pub(super) fn pack() -> io::Result<std::fs::File> {
    let mut archive = tar::Builder::new(tempfile::tempfile()?);
    let add = |archive: &mut tar::Builder<std::fs::File>, from: &FilePath, to: &str, mode| {
        let mut file = std::fs::File::open(from)?;
        let mut head = tar::Header::new_gnu();
        head.set_size(file.metadata()?.len());
        head.set_mode(mode);
        archive.append_data(&mut head, to.trim_start_matches('/'), &mut file)
    };
    let own = std::env::current_exe()?;
    add(&mut archive, &own, "drover", 0o755)?;
    for library in loaded_libraries(&std::fs::read_to_string("/proc/self/maps")?) {
        // Under the name that the linker asks for, with its links followed.
        add(&mut archive, FilePath::new(&library), &library, 0o755)?;
    }
    for loader in ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"] {
        if FilePath::new(loader).exists() {
            add(&mut archive, FilePath::new(loader), loader, 0o755)?;
        }
    }
    let authorities = "/etc/ssl/certs/ca-certificates.crt";
    if FilePath::new(authorities).exists() {
        add(&mut archive, FilePath::new(authorities), authorities, 0o644)?;
    }
    archive.into_inner()
}

/// The shared libraries in `/proc/self/maps`.
fn loaded_libraries(maps: &str) -> Vec<String> {
    let mut found: Vec<String> = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .filter(|path| path.starts_with('/') && path.contains(".so"))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_once_each() {
        let maps = "7f1 r-xp 0 fe:00 1 /usr/lib/libc.so.6\n7f2 r--p 0 fe:00 1 /usr/lib/libc.so.6\n7f3 rw-p 0 00:00 0 [heap]\n55 r-xp 0 fe:00 2 /usr/bin/drover\n";
        assert_eq!(loaded_libraries(maps), ["/usr/lib/libc.so.6"]);
    }

    #[test]
    fn commands_carry_server_and_token() {
        let commands = commands("https://drover.test", "drvreg_x");
        for command in [&commands.script, &commands.docker, &commands.binary] {
            assert!(command.contains("https://drover.test"), "{command}");
            assert!(command.contains("--token drvreg_x"), "{command}");
        }
    }

    #[test]
    fn an_architecture_is_no_path() {
        assert!(is_architecture("aarch64") && is_architecture("x86_64"));
        assert!(!is_architecture("") && !is_architecture("../x") && !is_architecture("a.b"));
    }
}
