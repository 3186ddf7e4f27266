//! [`Cluster`]: requests to one API server, over a pool of connections that Drover and all its
//! users share.
//!
//! The pool speaks HTTP/1.1, one connection a request that is open, and does not offer HTTP/2. On
//! HTTP/2 all would share one connection: its flow control, so that a browser that does not read
//! its log could hold up the index's watches, and its limit of streams (100 with today's API
//! servers), so that the hundred-and-first watch would wait for ever. Shells and port-forwards need
//! HTTP/1.1 anyway. A connection costs a handshake and some 40 KiB while it is open; short requests
//! use those that are idle.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri,
    header::{
        ACCEPT, AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION, RETRY_AFTER, USER_AGENT, WARNING,
    },
    uri::{PathAndQuery, Scheme},
};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tower::BoxError;

use super::{
    access::{Access, ServerAddress},
    call::warnings,
    dial::{Dial, Reach, Stream, TcpDialer},
    error::{Failure, FailureKind, Result, unreadable},
    tls::Tls,
    warned::{Warned, Warnings},
};
use crate::certificates;

/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long an answer's head may take. API servers end what takes them longer than a minute.
const ANSWER_LIMIT: Duration = Duration::from_secs(70);
/// The same for requests that are passed on, which may lead to an application in a pod.
const PASSED_ON_LIMIT: Duration = Duration::from_secs(300);
/// Connections that nobody has used for so long are closed: before load balancers do.
const IDLE: Duration = Duration::from_secs(50);
/// The most that a connection reads ahead. It is what an open watch costs at worst.
const READ_AHEAD: usize = 64 << 10;
/// The longest message of an error that is read.
const LONGEST_ERROR: usize = 256 << 10;

/// The body of a request.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;
/// The body of an answer: a stream of bytes.
pub type Body = Incoming;

/// No body.
pub fn empty() -> RequestBody {
    full(Bytes::new())
}

/// A body that is there as a whole.
pub fn full(bytes: impl Into<Bytes>) -> RequestBody {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// As whom a request is made.
#[derive(Debug, Clone, Copy)]
pub enum Identity<'a> {
    /// Drover's own account in the cluster.
    Drover,
    /// A user, whose rights the cluster itself decides.
    User(&'a Impersonation),
}

/// A user and groups that a request is made as.
///
/// <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation>
#[derive(Clone, PartialEq, Eq)]
pub struct Impersonation {
    user: HeaderValue,
    groups: Arc<[HeaderValue]>,
}

impl fmt::Debug for Impersonation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Impersonation({:?} {:?})", self.user, self.groups)
    }
}

const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");
const IMPERSONATE_GROUP: HeaderName = HeaderName::from_static("impersonate-group");

impl Impersonation {
    /// A user and groups. Drover's own account needs the right to impersonate them.
    ///
    /// # Errors
    /// When a name cannot be told in a header as it is: another one would arrive.
    pub fn new<'a>(user: &str, groups: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        Ok(Self {
            user: name_value(user)?,
            groups: groups.into_iter().map(name_value).collect::<Result<_>>()?,
        })
    }
}

fn name_value(name: &str) -> Result<HeaderValue> {
    let refused = || {
        Failure::new(
            FailureKind::BadRequest,
            format!(
                "The name {name:?} cannot be told to a cluster. Names have no control characters, and no spaces at their ends."
            ),
        )
    };
    // Spaces at the ends are lost on the way: one name would pass for another.
    if name.is_empty() || name.trim() != name {
        return Err(refused());
    }
    HeaderValue::from_bytes(name.as_bytes()).map_err(|_| refused())
}

/// A cluster's API. Cheap to clone; all clones share connections and credentials.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    wire: RwLock<Arc<Wire>>,
    /// Milliseconds since the Unix epoch; 0 for never.
    heard: AtomicI64,
    warned: Warnings,
}

/// All that is made of one [`Access`].
struct Wire {
    client: Client<Connector, RequestBody>,
    /// When the certificate ends that the server has shown; 0 for none. Seconds since the Unix epoch.
    served: Arc<AtomicI64>,
    address: ServerAddress,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    namespace: Option<String>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({})", self.wire().address.authority())
    }
}

impl Cluster {
    /// A cluster that `dial` leads to; connects to nothing yet.
    ///
    /// # Errors
    /// When address, CA or credentials cannot be used.
    pub fn new(access: &Access, dial: Arc<dyn Dial>) -> Result<Self> {
        let wire = RwLock::new(Arc::new(Wire::new(access, dial)?));
        Ok(Self(Arc::new(Inner { wire, heard: AtomicI64::new(0), warned: Warnings::default() })))
    }

    /// A cluster that is connected to from this machine, at the address in `access`.
    ///
    /// # Errors
    /// As [`Cluster::new`].
    pub fn direct(access: &Access, reach: Reach) -> Result<Self> {
        Self::new(access, tcp_dialer(access, reach)?)
    }

    /// Takes other credentials, another address or another way from now on. Requests that are open
    /// stay as they are.
    ///
    /// # Errors
    /// As [`Cluster::new`]; then everything stays as it was.
    pub fn replace(&self, access: &Access, dial: Arc<dyn Dial>) -> Result<()> {
        let wire = Arc::new(Wire::new(access, dial)?);
        *self.0.wire.write().unwrap_or_else(PoisonError::into_inner) = wire;
        Ok(())
    }

    /// When the cluster last answered anything.
    pub fn last_contact(&self) -> Option<OffsetDateTime> {
        let millis = self.0.heard.load(Ordering::Relaxed);
        (millis > 0)
            .then(|| OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok())
            .flatten()
    }

    /// Notes that the cluster is there.
    pub(crate) fn hear(&self) {
        let millis = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        self.0.heard.store(millis as i64, Ordering::Relaxed);
    }

    /// What it has warned of: APIs that go away, and who asked for them.
    pub fn warned(&self) -> Vec<Warned> {
        self.0.warned.all()
    }

    /// When the certificate ends that the API server shows.
    pub fn certificate_ends(&self) -> Option<OffsetDateTime> {
        let seconds = self.wire().served.load(Ordering::Relaxed);
        (seconds > 0).then(|| OffsetDateTime::from_unix_timestamp(seconds).ok()).flatten()
    }

    /// The API server's address in words.
    pub fn address(&self) -> String {
        self.wire().address.authority()
    }

    /// kube's client, as Drover itself.
    pub fn client(&self) -> kube::Client {
        self.kube_client(None)
    }

    /// kube's client, as a user.
    pub fn as_user(&self, user: &Impersonation) -> kube::Client {
        self.kube_client(Some(user.clone()))
    }

    fn kube_client(&self, user: Option<Impersonation>) -> kube::Client {
        let namespace = self.wire().namespace.clone().unwrap_or_else(|| "default".to_owned());
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (cluster, user) = (cluster.clone(), user.clone());
            async move {
                let request = request.map(|body| body.map_err(BoxError::from).boxed_unsync());
                cluster.send(request, identity(&user), ANSWER_LIMIT).await
            }
        });
        kube::Client::new(service, namespace)
    }

    /// Passes a request on as it is: method, path and query (what stands before the path is
    /// replaced), headers and body, and answers with whatever the cluster does, errors too. The
    /// identity is always set here: headers of the request that tell another one are taken out,
    /// and cookies with them. For upgrades, use [`hyper::upgrade::on`] on the answer.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn raw(
        &self,
        mut request: Request<RequestBody>,
        identity: Identity<'_>,
    ) -> Result<Response<Body>> {
        strip(request.headers_mut());
        self.send(request, identity, PASSED_ON_LIMIT).await
    }

    /// The same for what leads to an application in the cluster: its cookies pass.
    ///
    /// # Errors
    /// As [`Cluster::raw`].
    pub async fn to_application(
        &self,
        mut request: Request<RequestBody>,
        identity: Identity<'_>,
    ) -> Result<Response<Body>> {
        let cookies = request.headers_mut().remove(COOKIE);
        strip(request.headers_mut());
        if let Some(cookies) = cookies {
            request.headers_mut().insert(COOKIE, cookies);
        }
        self.send(request, identity, PASSED_ON_LIMIT).await
    }

    /// Asks for something; an answer with an error status becomes a [`Failure`].
    ///
    /// # Errors
    /// When no answer came, or an error.
    pub async fn request(
        &self,
        request: Request<RequestBody>,
        identity: Identity<'_>,
    ) -> Result<Response<Body>> {
        let answer = self.send(request, identity, ANSWER_LIMIT).await?;
        if answer.status().is_success() || answer.status().as_u16() == 101 {
            return Ok(answer);
        }
        Err(failure_of(answer).await)
    }

    /// Gets what is at `path` (with its query), as `accept`, as bytes.
    ///
    /// # Errors
    /// As [`Cluster::request`], and [`FailureKind::TooLarge`] when it is longer than `most` bytes.
    pub async fn get(
        &self,
        path: &str,
        accept: &'static str,
        identity: Identity<'_>,
        most: usize,
    ) -> Result<Bytes> {
        let answer = self.request(get_request(path, accept)?, identity).await?;
        let read = read_body(answer.into_body(), most);
        timeout(ANSWER_LIMIT, read)
            .await
            .map_err(|_| Failure::away("The cluster's answer did not come to its end in time."))?
    }

    /// Gets what is at `path` (with its query), as JSON of at most 64 MiB.
    ///
    /// # Errors
    /// As [`Cluster::get`], and when it is something else.
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        path: &str,
        identity: Identity<'_>,
    ) -> Result<T> {
        let bytes = self.get(path, "application/json", identity, 64 << 20).await?;
        serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))
    }

    async fn send(
        &self,
        mut request: Request<RequestBody>,
        identity: Identity<'_>,
        limit: Duration,
    ) -> Result<Response<Body>> {
        let wire = self.wire();
        *request.uri_mut() = wire.uri(request.uri())?;
        let headers = request.headers_mut();
        headers.insert(HOST, wire.host.clone());
        if let Some(authorization) = &wire.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static("drover"));
        if let Identity::User(user) = identity {
            headers.insert(IMPERSONATE_USER, user.user.clone());
            for group in user.groups.iter() {
                headers.append(IMPERSONATE_GROUP, group.clone());
            }
        }
        let answer = timeout(limit, wire.client.request(request))
            .await
            .map_err(|_| {
                Failure::away(format!(
                    "The cluster did not answer within {} seconds.",
                    limit.as_secs()
                ))
            })?
            .map_err(|error| Failure::from_chain(&error))?;
        self.hear();
        if answer.headers().contains_key(WARNING) {
            let user = match identity {
                Identity::User(user) => user.user.to_str().ok(),
                Identity::Drover => None,
            };
            self.0.warned.hear(user, warnings(answer.headers()));
        }
        Ok(answer)
    }

    fn wire(&self) -> Arc<Wire> {
        self.0.wire.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A dialer to the address in `access`.
///
/// # Errors
/// When that is none.
pub(crate) fn tcp_dialer(access: &Access, reach: Reach) -> Result<Arc<dyn Dial>> {
    let address = address_of(access)?;
    Ok(Arc::new(TcpDialer::new(&address.host, address.port, reach)))
}

fn address_of(access: &Access) -> Result<ServerAddress> {
    ServerAddress::parse(&access.server)
        .map_err(|problem| Failure::new(FailureKind::BadRequest, problem))
}

fn identity(user: &Option<Impersonation>) -> Identity<'_> {
    user.as_ref().map_or(Identity::Drover, Identity::User)
}

/// A request without a body.
pub(crate) fn get_request(path: &str, accept: &'static str) -> Result<Request<RequestBody>> {
    Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(ACCEPT, accept)
        .body(empty())
        .map_err(|_| Failure::new(FailureKind::BadRequest, format!("`{path}` is not a path.")))
}

/// Takes out what tells an identity, and what belongs to Drover alone.
fn strip(headers: &mut HeaderMap) {
    let own: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name)
                || name.as_str().starts_with("impersonate-")
                // By these a front proxy tells an API server who is asking.
                || name.as_str().starts_with("x-remote-")
        })
        .cloned()
        .collect();
    for name in own {
        headers.remove(name);
    }
}

/// The [`Failure`] in an answer with an error status.
pub(crate) async fn failure_of(answer: Response<Body>) -> Failure {
    let code = answer.status().as_u16();
    let seconds =
        answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let read = timeout(Duration::from_secs(10), read_body(answer.into_body(), LONGEST_ERROR));
    let body = read.await.ok().and_then(Result::ok).unwrap_or_default();
    Failure::from_answer(code, &body).with_retry_after(seconds.map(Duration::from_secs))
}

/// Reads a body of at most `most` bytes.
pub(crate) async fn read_body(mut body: Body, most: usize) -> Result<Bytes> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Failure::from)?.into_data() else { continue };
        if read.len() + data.len() > most {
            return Err(Failure::new(
                FailureKind::TooLarge,
                format!("The cluster's answer is larger than {} KiB.", most >> 10),
            ));
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

impl Wire {
    fn new(access: &Access, dial: Arc<dyn Dial>) -> Result<Self> {
        let address = address_of(access)?;
        let tls = Tls::of(access, &address)?.map(|tls| (TlsConnector::from(tls.config), tls.name));
        let served = Arc::new(AtomicI64::new(0));
        let connector = Connector { dial, tls, served: served.clone() };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(8)
            .http1_max_buf_size(READ_AHEAD)
            .set_host(false)
            .build(connector);
        let host = HeaderValue::from_str(&address.authority()).map_err(|_| {
            Failure::new(
                FailureKind::BadRequest,
                "The API server's address has characters that no address has.",
            )
        })?;
        Ok(Self {
            client,
            served,
            host,
            authorization: authorization(access)?,
            namespace: access.namespace.clone(),
            address,
        })
    }

    /// The path as it is, behind the base path. The rest is a fiction: [`Connector`] knows where
    /// the cluster is and how it is spoken to.
    fn uri(&self, asked: &Uri) -> Result<Uri> {
        let path = asked.path_and_query().map_or("/", PathAndQuery::as_str);
        Uri::builder()
            .scheme(Scheme::HTTP)
            .authority("cluster")
            .path_and_query(format!("{}{path}", self.address.base_path))
            .build()
            .map_err(|_| Failure::new(FailureKind::BadRequest, "That is not a path."))
    }
}

fn authorization(access: &Access) -> Result<Option<HeaderValue>> {
    let text = match (&access.credentials.token, &access.credentials.basic) {
        (Some(token), _) => format!("Bearer {}", token.expose_secret()),
        (None, Some(basic)) => {
            let pair = format!("{}:{}", basic.user, basic.password.expose_secret());
            format!("Basic {}", BASE64_STANDARD.encode(pair))
        }
        (None, None) => return Ok(None),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        Failure::new(
            FailureKind::Unauthorized,
            "The token has characters that no token has. Copy it again.",
        )
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Opens connections for the pool.
#[derive(Clone)]
struct Connector {
    dial: Arc<dyn Dial>,
    served: Arc<AtomicI64>,
    tls: Option<(TlsConnector, rustls::pki_types::ServerName<'static>)>,
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<ClusterStream>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let bare = connector.dial.dial().await.map_err(|error| Failure::from_chain(&error))?;
            let Some((tls, name)) = connector.tls else {
                return Ok(TokioIo::new(ClusterStream(bare)));
            };
            match timeout(HANDSHAKE_LIMIT, tls.connect(name, bare)).await {
                Ok(Ok(stream)) => {
                    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    if let Some(ends) = shown.and_then(|shown| certificates::ends(shown)) {
                        connector.served.store(ends.unix_timestamp(), Ordering::Relaxed);
                    }
                    Ok(TokioIo::new(ClusterStream(Box::new(stream))))
                }
                Ok(Err(error)) => Err(Failure::from_chain(&error)),
                Err(_) => Err(Failure::away(
                    "The TLS handshake with the cluster was not answered within 10 seconds.",
                )),
            }
        })
    }
}

/// A connection that HTTP can be spoken on.
struct ClusterStream(Box<dyn Stream>);

impl AsyncRead for ClusterStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClusterStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Connection for ClusterStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_change_on_the_way_are_refused() {
        assert!(Impersonation::new("drover:ada", ["drover:users", "gruppe:möwe"]).is_ok());
        for bad in ["", " ada", "ada ", "a\r\nImpersonate-Group: system:masters", "a\0"] {
            assert!(Impersonation::new(bad, []).is_err(), "{bad:?}");
            assert!(Impersonation::new("ada", [bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn no_identity_comes_from_outside() {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "cookie",
            "impersonate-user",
            "impersonate-group",
            "impersonate-extra-scopes",
            "x-remote-user",
            "accept",
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        }
        strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }
}
