//! A Docker Engine of a test's own.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{Certificates, Docker, eventually};

/// A Docker Engine of the test's own, which it can stop and start: on a socket, and over TCP with
/// mutual TLS.
pub struct Engine {
    folder: TempDir,
    port: u16,
    /// Those that it and its clients may use.
    pub certificates: Certificates,
    process: Option<Child>,
}

impl Engine {
    /// Starts one with this of the certificates.
    pub async fn start(server_certificate: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut engine = Self {
            folder: TempDir::with_prefix("drover-dockerd-").unwrap(),
            port,
            certificates: Certificates::make(),
            process: None,
        };
        engine.run(server_certificate).await;
        engine
    }

    /// `host:port` of its TCP side.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn bridge(&self) -> String {
        format!("drover{}", self.port)
    }

    /// An address for the bridge that no other has.
    fn gateway(&self) -> String {
        format!("10.{}.{}.1/24", 128 + self.port / 256 % 64, self.port % 256)
    }

    /// The networks that it makes are from here.
    fn pool(&self) -> String {
        format!("base=10.{}.{}.0/20,size=26", 192 + self.port / 4096 % 16, self.port % 16 * 16)
    }

    /// Its socket.
    pub fn socket(&self) -> String {
        self.folder.path().join("docker.sock").display().to_string()
    }

    /// The tests' images on it, and the `docker` program for it.
    pub async fn docker(&self) -> Docker {
        Docker::at(self.socket()).await
    }

    /// Starts it (again).
    pub async fn run(&mut self, certificate: &str) {
        // Without a bridge of its own it would take over the other engine's, and with none at all
        // it would remove that.
        let (bridge, gateway) = (self.bridge(), self.gateway());
        ip(&["link", "add", "name", &bridge, "type", "bridge"]);
        ip(&["address", "add", &gateway, "dev", &bridge]);
        ip(&["link", "set", &bridge, "up"]);
        let folder = |name: &str| self.folder.path().join(name).display().to_string();
        let file = |name: String| self.certificates.path(&name).display().to_string();
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let process = Command::new("dockerd")
            .args(["--data-root", &folder("data"), "--exec-root", &folder("exec")])
            .args(["--pidfile", &folder("pid"), "--host", &format!("unix://{}", self.socket())])
            .args(["--host", &format!("tcp://{}", self.address()), "--tlsverify"])
            .args(["--tlscacert", &file("ca.pem".into())])
            .args(["--tlscert", &file(format!("{certificate}.pem"))])
            .args(["--tlskey", &file(format!("{certificate}.key"))])
            .args(["--bridge", &bridge, "--iptables=false", "--ip-masq=false"])
            .args(["--default-address-pool", &self.pool(), "--shutdown-timeout=2"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
        eventually("dockerd is up", Duration::from_secs(30), async || {
            std::os::unix::net::UnixStream::connect(self.socket()).ok()
        })
        .await;
    }

    /// Ends it as an administrator of the machine would.
    pub async fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        let _ = Command::new("kill").arg(process.id().to_string()).status();
        eventually("dockerd ends", Duration::from_secs(30), async || process.try_wait().unwrap())
            .await;
    }
}

/// Fails for what is there or gone already.
fn ip(arguments: &[&str]) {
    let _ = Command::new("ip").args(arguments).stderr(Stdio::null()).status();
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = Command::new("kill").arg(process.id().to_string()).status();
            let _ = process.wait();
        }
        ip(&["link", "delete", &self.bridge()]);
        // Layers may be mounted still.
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let own = |line: &&str| line.contains(&*self.folder.path().to_string_lossy());
        for line in mounts.lines().filter(own) {
            if let Some(path) = line.split(' ').nth(1) {
                let _ = Command::new("umount").arg("-l").arg(Path::new(path)).status();
            }
        }
    }
}
