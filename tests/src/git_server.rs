//! A Git repository behind HTTPS with a password, as a company has it: `git http-backend` with a
//! certificate of an authority of its own.

use std::{collections::HashMap, net::SocketAddr, path::Path, process::Stdio, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command, task::JoinHandle};

use crate::{Certificates, tls_listener::TlsListener};

/// The user and the password that it wants.
pub const GIT_USER: (&str, &str) = ("reader", "git-password-of-the-test");

const MOVED: &str = "/moved";

/// A running server with one repository, `catalog.git`.
pub struct GitServer {
    folder: TempDir,
    certificates: Certificates,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl GitServer {
    /// Starts one whose repository is empty.
    pub async fn start() -> Self {
        let folder = TempDir::with_prefix("drover-git-").unwrap();
        let certificates = Certificates::make();
        let listener = TlsListener::bind(&certificates, "server").await;
        let address = listener.address();
        let root: Arc<Path> = folder.path().into();
        let router = Router::new().fallback(backend).with_state(root);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let this = Self { folder, certificates, address, server };
        git(this.folder.path(), &["init", "--quiet", "--bare", "-b", "main", "catalog.git"]).await;
        git(this.folder.path(), &["clone", "--quiet", "catalog.git", "work"]).await;
        this
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}/catalog.git", self.address.port())
    }

    /// An address that leads to it by a redirection, before anybody signs in.
    pub fn moved_url(&self) -> String {
        format!("https://127.0.0.1:{}{MOVED}/catalog.git", self.address.port())
    }

    /// The file with the authority that its certificate is of.
    pub fn authority(&self) -> String {
        self.certificates.path("ca.pem").display().to_string()
    }

    /// Commits these files, pushes, and answers the commit.
    pub async fn commit(&self, files: &[(&str, &str)]) -> String {
        let work = self.folder.path().join("work");
        for (path, text) in files {
            let path = work.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        git(&work, &["add", "."]).await;
        git(&work, &["commit", "--quiet", "-m", "A change"]).await;
        git(&work, &["push", "--quiet", "origin", "HEAD:main"]).await;
        git(&work, &["rev-parse", "HEAD"]).await
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .await
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs `git http-backend` by the rules of CGI.
async fn backend(State(root): State<Arc<Path>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let header = |name: &str| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned()
    };
    if let Some(target) = parts.uri.to_string().strip_prefix(MOVED) {
        return Response::builder()
            .status(StatusCode::FOUND)
            .header(header::LOCATION, target)
            .body(Body::empty())
            .unwrap();
    }
    let (user, password) = GIT_USER;
    let wanted = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    if header("authorization") != wanted {
        return Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .header(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")
            .body(Body::empty())
            .unwrap();
    }
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &*root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_USER", user)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let body = to_bytes(body, 16 << 20).await.unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&body).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap().stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let mut headers: HashMap<&str, &str> =
        head.lines().filter_map(|line| line.split_once(": ")).collect();
    let status = headers.remove("Status").and_then(|status| status[..3].parse().ok());
    let mut response = Response::new(Body::from(output[end + 4..].to_vec()));
    *response.status_mut() = StatusCode::from_u16(status.unwrap_or(200)).unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    response
}
