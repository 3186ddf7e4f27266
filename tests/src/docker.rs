//! The tests' Docker Engine, through the `docker` program, and the images that tests run: nothing
//! can be pulled, so they are imported from busybox.

use std::{
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;
use uuid::Uuid;

use crate::setting;

const APPLETS: &[&str] =
    &["cat", "echo", "false", "httpd", "ls", "nc", "ping", "ps", "sh", "sleep", "stty", "true"];

/// An image of the tests.
struct Image {
    name: &'static str,
    /// What `/www/index.html` says.
    page: &'static str,
    /// Lines of a Dockerfile.
    changes: &'static [&'static str],
}

const SLEEP: &str = r#"CMD ["sleep", "100000"]"#;
const IMAGES: &[Image] = &[
    Image { name: "drover-test/web:1", page: "version 1\n", changes: WEB },
    Image { name: "drover-test/web:2", page: "version 2\n", changes: WEB },
    Image { name: "drover-test/sleep:1", page: "", changes: &[SLEEP] },
    Image {
        name: "drover-test/unhealthy:1",
        page: "",
        changes: &[SLEEP, "HEALTHCHECK --interval=1s --retries=2 CMD false"],
    },
    Image { name: "drover-test/crash:1", page: "", changes: &[r#"CMD ["false"]"#] },
];
/// Answers `version N` on 8080.
const WEB: &[&str] = &["EXPOSE 8080", r#"CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]"#];

/// A Docker Engine.
#[derive(Debug, Clone)]
pub struct Docker {
    socket: String,
}

impl Docker {
    /// The tests' engine, with the images in it.
    pub async fn start() -> Self {
        Self::at(setting("DROVER_TEST_DOCKER")).await
    }

    /// The engine on this socket, with the images in it.
    pub async fn at(socket: String) -> Self {
        let docker = Self { socket };
        let ready = docker.clone();
        tokio::task::spawn_blocking(move || ready.make_images()).await.unwrap();
        docker
    }

    /// The engine on this socket, as it is.
    pub(crate) fn on(socket: String) -> Self {
        Self { socket }
    }

    /// The names of the tests' images.
    pub(crate) fn images() -> Vec<&'static str> {
        IMAGES.iter().map(|image| image.name).collect()
    }

    /// Its socket.
    pub fn socket(&self) -> &str {
        &self.socket
    }

    /// Runs the `docker` program; what it prints, trimmed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "docker {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The same, where it may fail.
    pub fn try_run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("docker");
        command.args(["--host", &format!("unix://{}", self.socket)]).args(arguments);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// The ids of the containers with this label, running or not.
    pub fn containers(&self, label: &str) -> Vec<String> {
        let filter = format!("label={label}");
        let ids = self.run(&["ps", "--all", "--no-trunc", "--quiet", "--filter", &filter]);
        ids.lines().map(str::to_owned).collect()
    }

    /// Removes all that has this label.
    pub fn clean(&self, label: &str) {
        let filter = format!("label={label}");
        for id in self.containers(label) {
            self.try_run(&["rm", "--force", "--volumes", &id]);
        }
        for kind in ["network", "volume"] {
            let names = self.run(&[kind, "ls", "--quiet", "--filter", &filter]);
            for name in names.lines() {
                self.try_run(&[kind, "rm", name]);
            }
        }
    }

    fn make_images(&self) {
        let present = self.run(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
        for Image { name, page, changes } in IMAGES {
            if present.lines().any(|line| line == *name) {
                continue;
            }
            // Two tests may come here at once: the name is given last, and either is right.
            let folder = TempDir::with_prefix("drover-image-").unwrap();
            let archive = folder.path().join(format!("{}.tar", Uuid::new_v4()));
            let root = folder.path().join("root");
            root_filesystem(&root, page);
            let mut tar = Command::new("tar");
            tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".");
            assert!(tar.status().unwrap().success());
            let mut arguments = vec!["import"];
            for change in *changes {
                arguments.extend(["--change", change]);
            }
            arguments.extend([archive.to_str().unwrap(), name]);
            self.run(&arguments);
        }
    }
}

fn root_filesystem(root: &Path, page: &str) {
    for folder in ["bin", "etc", "tmp", "www"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    std::fs::write(root.join("www/index.html"), page).unwrap();
}
