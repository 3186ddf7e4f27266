//! Becomes a newer version: fetches it from the server, checks it, takes its place, and starts
//! anew. Containers are Docker's, and notice nothing.

use std::{
    io,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::Agent;
use crate::tunnel::mux::MuxStream;

/// How long the download may take.
const LIMIT: Duration = Duration::from_secs(300);
/// A binary is not larger than this.
const LARGEST: usize = 1 << 30;

/// Upgrades, and tells how it goes. Does not return when all is well.
pub(super) async fn run(agent: &Agent, version: &str, mut stream: MuxStream) -> io::Result<()> {
    tracing::info!(version, "the server asks for an upgrade");
    if let Err(error) = take(agent, version, &mut stream).await {
        tracing::error!(%error, "the upgrade has failed");
        stream.write_all(format!("error: {error}\n").as_bytes()).await?;
        stream.shutdown().await?;
    }
    Ok(())
}

async fn take(agent: &Agent, version: &str, stream: &mut MuxStream) -> io::Result<()> {
    let options = agent.options.as_ref().ok_or_else(|| io::Error::other("it has no program"))?;
    let own = own_program()?;
    let base = format!("/agent/{}/drover", std::env::consts::ARCH);
    stream.write_all(b"downloading\n").await?;
    stream.flush().await?;
    let (wanted, content) =
        (fetch(agent, &format!("{base}.sha256"), 1024).await?, fetch(agent, &base, LARGEST).await?);
    let hash: String = Sha256::digest(&content).iter().map(|b| format!("{b:02x}")).collect();
    if hash.as_bytes() != wanted.trim_ascii() {
        return Err(io::Error::other("the download's checksum is not the server's"));
    }
    let new = own.with_extension("new");
    tokio::fs::write(&new, content).await?;
    tokio::fs::set_permissions(&new, PermissionsExt::from_mode(0o755)).await?;
    check(&new, version).await?;
    stream.write_all(b"starting anew\n").await?;
    stream.flush().await?;
    tokio::fs::rename(&new, &own).await?;
    // Lets the last line leave.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut command = Command::new(&own);
    command.args(options.arguments());
    if let Some(proxy) = &options.proxy {
        command.env("DROVER_AGENT_PROXY", proxy);
    }
    // Only comes back when it has not worked.
    Err(command.exec())
}

/// Where this program is. A replaced one has ` (deleted)` behind its name.
fn own_program() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let plain = own.to_str().and_then(|path| path.strip_suffix(" (deleted)")).map(PathBuf::from);
    Ok(plain.unwrap_or(own))
}

async fn fetch(agent: &Agent, path: &str, most: usize) -> io::Result<Vec<u8>> {
    let (status, body) = agent.dialer.request_up_to("GET", path, b"", LIMIT, most).await?;
    if status == 200 {
        return Ok(body);
    }
    Err(io::Error::other(format!("the server answered {status} for {path}")))
}

/// A program that does not run here must not take this one's place.
async fn check(program: &Path, version: &str) -> io::Result<()> {
    let said = tokio::process::Command::new(program).arg("--version").output().await?;
    let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    if said.ends_with(version) {
        return Ok(());
    }
    Err(io::Error::other(format!("the download says that it is `{said}`, not {version}")))
}
