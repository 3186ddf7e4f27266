//! The HTTP server: TLS, then for each request the same steps in the same order as in Kubernetes:
//! who asks, as whom, what for, may they, and only then what is there.

use std::{
    convert::Infallible,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{
    audit, authn,
    authn::User,
    certificates,
    cluster::Cluster,
    finish::Wish,
    handlers,
    rbac::Attributes,
    request::RequestInfo,
    respond::Answer,
    status::{About, ApiError, Result},
};

/// The certificate that is shown to new connections.
#[derive(Debug)]
pub struct Tls(RwLock<Arc<ServerConfig>>);

impl Tls {
    /// Begins with that one.
    pub fn new(config: ServerConfig) -> Self {
        Self(RwLock::new(Arc::new(config)))
    }

    /// Shows another from now on.
    pub fn set(&self, config: ServerConfig) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    fn now(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes connections for as long as the task lives.
pub async fn accept(cluster: Arc<Cluster>, listener: TcpListener, tls: Arc<Tls>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if cluster.faults.is_away() {
            continue;
        }
        let (cluster, tls) = (Arc::clone(&cluster), tls.now());
        tokio::spawn(async move {
            let mut orders = cluster.faults.connection_orders();
            orders.mark_unchanged();
            tokio::select! {
                () = serve(cluster, stream, tls) => {}
                _ = orders.changed() => {}
            }
        });
    }
}

async fn serve(cluster: Arc<Cluster>, stream: TcpStream, tls: Arc<ServerConfig>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let handshake = TlsAcceptor::from(tls).accept(stream);
    let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_secs(10), handshake).await else {
        return;
    };
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .and_then(|certificate| certificates::subject(certificate));
    let service = service_fn(move |request: Request<Incoming>| {
        let (cluster, certificate) = (Arc::clone(&cluster), certificate.clone());
        async move { Ok::<_, Infallible>(answer(cluster, certificate, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(256 * 1024);
    builder.http2().max_concurrent_streams(1000);
    // How a client goes away is its own business.
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

/// Who asks, and as whom.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who is asking.
    pub user: User,
    /// As whom they want to be taken.
    pub impersonated: Option<User>,
}

impl Caller {
    /// Whose rights count.
    pub fn acting(&self) -> &User {
        self.impersonated.as_ref().unwrap_or(&self.user)
    }
}

async fn answer(
    cluster: Arc<Cluster>,
    certificate: Option<(String, Vec<String>)>,
    request: Request<Incoming>,
) -> Answer {
    let wait = cluster.faults.wait();
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    if let Some(seconds) = cluster.faults.take_refusal() {
        let message = "Too many requests, please try again later.";
        return ApiError::too_many_requests(message, seconds).answer();
    }
    let uri = request.uri().clone();
    let info = RequestInfo::of(request.method(), uri.path(), uri.query().unwrap_or_default());
    let wish = Wish::of(request.headers(), &info);
    let caller = match identify(&cluster, certificate.as_ref(), &request) {
        Ok(caller) => caller,
        Err(error) => return wish.finish(error.answer()).await,
    };
    let mut entry = entry_of(&caller, &info, &uri.to_string());
    let result = match authorize(&cluster, caller.acting(), &info) {
        Ok(()) => handlers::handle(Arc::clone(&cluster), caller, info, request).await,
        Err(error) => Err(error),
    };
    let answer = result.unwrap_or_else(|error| error.answer());
    entry.code = answer.status().as_u16();
    cluster.audit.add(entry);
    wish.finish(answer).await
}

fn identify(
    cluster: &Cluster,
    certificate: Option<&(String, Vec<String>)>,
    request: &Request<Incoming>,
) -> Result<Caller> {
    let headers = request.headers();
    let user = authn::authenticate(headers, certificate, &cluster.tokens, &cluster.store)?;
    let impersonated = authn::impersonate(headers, &user, &cluster.authorizer)?;
    Ok(Caller { user, impersonated })
}

fn authorize(cluster: &Cluster, user: &User, info: &RequestInfo) -> Result<()> {
    let wanted = attributes(info);
    let decision = cluster.authorizer.decide(user, &wanted);
    if decision.allowed {
        return Ok(());
    }
    let about = About { group: &info.group, resource: &info.resource, name: &info.name };
    Err(ApiError::forbidden(about, &wanted.refusal(user, &decision.reason)))
}

fn attributes(info: &RequestInfo) -> Attributes<'_> {
    Attributes {
        verb: &info.verb,
        group: &info.group,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
        name: &info.name,
        path: &info.path,
        is_resource: info.is_resource,
    }
}

fn entry_of(caller: &Caller, info: &RequestInfo, uri: &str) -> audit::Entry {
    let impersonated = caller.impersonated.as_ref();
    audit::Entry {
        user: caller.user.name.clone(),
        groups: caller.user.groups.clone(),
        impersonated: impersonated.map(|user| user.name.clone()),
        impersonated_groups: impersonated.map(|user| user.groups.clone()).unwrap_or_default(),
        verb: info.verb.clone(),
        group: info.group.clone(),
        resource: info.full_resource(),
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        uri: uri.to_owned(),
        code: 0,
    }
}
